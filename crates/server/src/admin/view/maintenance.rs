//! Maintenance in the form of the control API.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use control::{
    AnnounceClose, CloseFile, DrainPhase, DrainScope, EndDrain, HoldState, NewDrain, NewHold, OpenFile,
    Rechecked, RecheckedConnection, WhoQuery, limits,
};
use registry::{Hold, HoldId};
use tokio::time::Instant;
use wire::{SessionGlobalId, ShareName};

use super::{malformed, shown};
use crate::admin::{
    self, AdminSlot, Announcement, Aside, Caller, DrainOrder, DrainState, Error, Explained, HoldGuard,
    NotHeld, Seat, Selection, Wanted, saturated,
};
use crate::core::server::Server;

/// The drains that the caller may see.
pub(crate) fn drains(server: &Server, caller: &Caller) -> Result<Vec<control::Drain>, Error> {
    Ok(admin::drains(server, caller)?.iter().map(|it| drain(server, it)).collect())
}

/// Begins a drain.
pub(crate) fn begin_drain(
    server: &Server,
    caller: &Caller,
    new: &NewDrain,
) -> Result<control::Drain, Explained> {
    let order = DrainOrder {
        scope: scope(server, new.share.as_deref(), new.client.as_deref())?,
        within: new.seconds.map(Duration::from_secs),
        strict: new.strict,
        then_stop: new.then_stop,
    };
    Ok(drain(server, &admin::begin_drain(server, caller, order)?))
}

/// Ends a drain.
pub(crate) fn end_drain(
    server: &Server,
    caller: &Caller,
    which: &EndDrain,
) -> Result<control::Drain, Explained> {
    let scope = scope(server, which.share.as_deref(), which.client.as_deref())?;
    Ok(drain(server, &admin::end_drain(server, caller, &scope)?))
}

fn scope(
    server: &Server,
    share: Option<&str>,
    client: Option<&str>,
) -> Result<registry::DrainScope, Explained> {
    match (share, client) {
        (None, None) => Ok(registry::DrainScope::Server),
        (Some(share), None) if !share.is_empty() => Ok(registry::DrainScope::Share(ShareName::new(share))),
        (None, Some(client)) => {
            let client = Selection::of(server, Some(client), None).filter.client;
            Ok(registry::DrainScope::Client(client.ok_or(Error::InvalidComputer)?))
        }
        (Some(_), None) => Err(malformed("share is empty")),
        (Some(_), Some(_)) => Err(malformed("a drain is about a share or about a client")),
    }
}

/// The drain in the form of the control API.
fn drain(server: &Server, state: &DrainState) -> control::Drain {
    let shown = of_drain(server, &state.drain);
    control::Drain {
        files: saturated(state.files),
        users: state.users.iter().map(ToString::to_string).collect(),
        ..shown
    }
}

/// The drain without the users that are left.
fn of_drain(server: &Server, drain: &registry::Drain) -> control::Drain {
    let (mut share, mut client) = (None, None);
    let scope = match &drain.scope {
        registry::DrainScope::Server => DrainScope::Server,
        registry::DrainScope::Share(name) => {
            let served = server.share(name.as_str()).map(|it| it.settings.name.clone());
            share = Some(served.unwrap_or_else(|| name.as_str().to_owned()));
            DrainScope::Share
        }
        registry::DrainScope::Client(name) => {
            client = Some(name.as_str().to_owned());
            DrainScope::Client
        }
    };
    let (phase, done) = match drain.phase {
        registry::DrainPhase::Waiting => (DrainPhase::Waiting, None),
        registry::DrainPhase::Ending => (DrainPhase::Ending, None),
        registry::DrainPhase::Done(done) => (DrainPhase::Done, Some(done)),
    };
    let counts = done.unwrap_or_default();
    control::Drain {
        scope,
        share,
        client,
        phase,
        begun_at: Some(shown::timestamp(drain.begun)),
        deadline: drain.deadline.map(shown::timestamp),
        strict: drain.strict,
        then_stop: drain.then_stop,
        by: drain.by.to_string(),
        files: 0,
        users: Vec::new(),
        done_at: done.map(|it| shown::timestamp(it.at)),
        clean: saturated(counts.clean),
        flushed: saturated(counts.flushed),
        forced: saturated(counts.forced),
    }
}

/// The drain of a share, with the users that are left.
pub(super) fn drain_of_share(server: &Server, share: &str) -> Option<control::Drain> {
    let state = admin::drain_state(server, &registry::DrainScope::Share(ShareName::new(share)))?;
    Some(drain(server, &state))
}

/// The drain of the whole server, with the users that are left.
pub(super) fn drain_of_server(server: &Server) -> Option<control::Drain> {
    Some(drain(server, &admin::drain_state(server, &registry::DrainScope::Server)?))
}

/// The drain that applies to a session, without the users that are left: a list has many sessions.
pub(super) fn drain_of_session(server: &Server, session: SessionGlobalId) -> Option<control::Drain> {
    let found = server.registry.lock("drain_of_session").drain_of_session(session)?;
    Some(of_drain(server, &found))
}

/// An announced close in the form of the control API.
pub(super) fn announced(close: &registry::AnnouncedClose) -> control::AnnouncedClose {
    control::AnnouncedClose {
        at: shown::timestamp(close.at),
        text: close.text.to_string(),
        by: close.by.to_string(),
    }
}

/// Announces the close of an open.
pub(crate) fn announce_close(
    server: &Server,
    caller: &Caller,
    id: u32,
    announced: AnnounceClose,
) -> Result<OpenFile, Explained> {
    let AnnounceClose { seconds, text, grace, expect_user, expect_path } = announced;
    let how = CloseFile { force: false, grace, expect_user, expect_path };
    let announcement = Announcement { within: Duration::from_secs(seconds), text, how };
    Ok(shown::file(server, &admin::announce_close(server, caller, id, announcement)?))
}

/// Cancels an announced close.
pub(crate) fn cancel_announced_close(
    server: &Server,
    caller: &Caller,
    id: u32,
) -> Result<OpenFile, Explained> {
    Ok(shown::file(server, &admin::cancel_announced_close(server, caller, id)?))
}

/// Lists, and ends if requested, the connections of a share with more rights than it gives now.
pub(crate) async fn recheck(
    server: &Arc<Server>,
    caller: &Caller,
    share: &str,
    end: bool,
) -> Result<Rechecked, Error> {
    let reduced = admin::recheck(server, caller, share, end).await?;
    let connections = reduced.iter().map(|it| RecheckedConnection {
        connection: shown::connection(server, &it.tree),
        may_return: it.left.is_some(),
        files: it
            .files
            .iter()
            .take(limits::HOLDERS_SHOWN_MAX)
            .map(|file| shown::file(server, file))
            .collect(),
    });
    let connections = connections.collect();
    let name = server.share(share).map_or_else(|| share.to_owned(), |it| it.settings.name.clone());
    Ok(Rechecked { share: name, connections, ended: end })
}

/// The holds that the caller may see.
pub(crate) fn holds(server: &Server, caller: &Caller) -> Result<Vec<control::Hold>, Error> {
    Ok(admin::holds(server, caller)?.iter().map(|(id, it)| hold(*id, it)).collect())
}

/// A hold in the form of the control API.
pub(super) fn hold(id: HoldId, hold: &Hold) -> control::Hold {
    let place = hold.places.first();
    control::Hold {
        id: id.0,
        share: place.map(|it| it.share.to_string()).unwrap_or_default(),
        path: place.map(|it| it.path.to_string()).unwrap_or_default(),
        lets_in: hold.lets_in,
        by: hold.by.to_string(),
        from: hold.from.to_string(),
        purpose: hold.purpose.to_string(),
        since: Some(shown::timestamp(hold.since)),
    }
}

/// A way to the caller with the rights of the settings in force.
type Identify = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Caller, Error>> + Send>> + Send + Sync>;

/// A wait for a hold, and then the hold. Dropping it releases the hold.
pub(crate) struct HoldWait {
    server: Arc<Server>,
    wanted: Wanted,
    asked: NewHold,
    identify: Identify,
    guard: Option<HoldGuard>,
    /// The ids of the opens and holds in the way that were reported last.
    told: Option<(Vec<u32>, Vec<u64>)>,
    _place: AdminSlot,
    _aside: Aside,
}

/// Begins to wait for a hold.
pub(crate) async fn wait_for_hold(
    server: &Arc<Server>,
    asked: NewHold,
    seat: &Seat,
    identify: Identify,
) -> Result<HoldWait, Explained> {
    let purpose = &asked.purpose;
    if purpose.chars().count() > limits::NOTICE_TEXT_MAX || purpose.chars().any(char::is_control) {
        let most = limits::NOTICE_TEXT_MAX;
        return Err(malformed(format!("purpose is one line of at most {most} characters")));
    }
    let query = WhoQuery { path: asked.path.clone(), share: asked.share.clone(), wait: None };
    let wanted = super::who::place_of(server, &query, &identify).await?;
    let caller = identify().await?;
    let place = server.capacity.admin.holds.take(&caller).ok_or(Error::Busy)?;
    let mut wait = HoldWait {
        server: Arc::clone(server),
        wanted,
        asked,
        identify,
        guard: None,
        told: None,
        _place: place,
        _aside: seat.step_aside(),
    };
    // A caller without the right is refused before the answer begins.
    if let Err(NotHeld::Refused(error)) = wait.attempt(&caller) {
        return Err(error.into());
    }
    Ok(wait)
}

impl HoldWait {
    fn attempt(&mut self, caller: &Caller) -> Result<(), NotHeld> {
        let NewHold { lets_in, purpose, .. } = &self.asked;
        self.guard = Some(admin::take_hold(&self.server, caller, &self.wanted, *lets_in, purpose)?);
        Ok(())
    }

    /// The next line of the answer: a state if there is news, or `None` as a sign of life. An error ends the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<HoldState>, Error> {
        let server = Arc::clone(&self.server);
        let until = Instant::now() + SIGN_OF_LIFE;
        loop {
            let (happened, released) =
                (server.signals.event_added.notified(), server.signals.hold_released.notified());
            tokio::pin!(happened, released);
            happened.as_mut().enable();
            released.as_mut().enable();
            if self.guard.is_none() {
                let caller = (self.identify)().await?;
                match self.attempt(&caller) {
                    Ok(()) | Err(NotHeld::InUse) => {}
                    Err(NotHeld::Refused(error)) => return Err(error),
                }
                if self.guard.is_none()
                    && let Some(state) = self.in_the_way(&caller).await?
                {
                    return Ok(Some(state));
                }
            }
            if let Some(guard) = &self.guard {
                let news = (Vec::new(), vec![guard.id.0]);
                if self.told.as_ref() != Some(&news) {
                    let held = Some(hold(guard.id, &guard.hold));
                    self.told = Some(news);
                    return Ok(Some(self.state(held, Vec::new(), Vec::new())));
                }
                tokio::time::sleep_until(until).await;
                return Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(None),
                // Opens come and go quickly; one look for several of them is enough.
                () = async { tokio::select! { () = happened => {}, () = released => {} } } => {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// The opens and holds in the way, if they have changed since they were reported last.
    async fn in_the_way(&mut self, caller: &Caller) -> Result<Option<HoldState>, Error> {
        let (server, wanted, caller) = (Arc::clone(&self.server), self.wanted.clone(), caller.clone());
        let having = crate::core::blocking::run(move || admin::who(&server, &caller, &wanted)).await;
        let having = having.map_err(|_| Error::Internal)??;
        let holders: Vec<_> = having.holders.iter().take(limits::HOLDERS_SHOWN_MAX).collect();
        let news = (
            holders.iter().map(|it| it.global_id.value()).collect(),
            having.holds.iter().map(|(id, _)| id.0).collect(),
        );
        if self.told.as_ref() == Some(&news) {
            return Ok(None);
        }
        self.told = Some(news);
        let holders = holders.into_iter().map(|it| shown::file(&self.server, it)).collect();
        let holds = having.holds.iter().map(|(id, it)| hold(*id, it)).collect();
        Ok(Some(self.state(None, holders, holds)))
    }

    fn state(
        &self,
        held: Option<control::Hold>,
        holders: Vec<OpenFile>,
        holds: Vec<control::Hold>,
    ) -> HoldState {
        let place = self.wanted.place();
        HoldState {
            held,
            share: place.map(|it| it.share.clone()),
            path: place.map_or_else(|| self.asked.path.clone(), |it| it.path.clone()),
            holders,
            holds,
        }
    }
}

/// The interval of empty lines. Writing them finds out that a client is gone whose machine did not close the connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The pause before the next attempt after something was closed.
const LOOK: Duration = Duration::from_millis(20);
