//! The holders of a file and the refusals, in the form of the control API; at once, or when the last holder
//! has closed it.

use std::sync::Arc;
use std::time::Duration;

use control::{Who, WhoQuery, limits};
use registry::{EventKind, ShareKind};
use tokio::time::Instant;

use super::{malformed, shown};
use crate::admin::{self, Caller, Error, Explained, Having, Right, Seat, Wanted};
use crate::core::server::Server;

/// The holders of the file in the query; with a wait, returns when there are none, or when the wait is over.
/// `identify` is called for each check, so that a waiting caller has the rights of the current settings.
pub(crate) async fn who<F>(
    server: &Arc<Server>,
    query: &WhoQuery,
    seat: &Seat,
    identify: impl Fn() -> F,
) -> Result<Who, Explained>
where
    F: Future<Output = Result<Caller, Error>>,
{
    let wait = Duration::from_secs(query.wait.unwrap_or_default().into());
    if wait > Duration::from_secs(limits::WAIT_MAX.into()) {
        return Err(malformed(format!("wait is at most {} seconds", limits::WAIT_MAX)));
    }
    let wanted = Arc::new(place_of(server, query, &identify).await?);
    let _places = match wait.is_zero() {
        true => None,
        false => {
            let place = server.capacity.admin.waits.take(&identify().await?).ok_or(Error::Busy)?;
            Some((place, seat.step_aside()))
        }
    };
    let deadline = Instant::now() + wait;
    loop {
        let happened = server.signals.event_added.notified();
        tokio::pin!(happened);
        happened.as_mut().enable();
        let mut after = server.registry.lock("last_event").last_event();
        let having = having(server, identify().await?, &wanted).await?;
        if having.holders.is_empty() || Instant::now() >= deadline {
            return Ok(answer(server, &query.path, &wanted, &having));
        }
        loop {
            tokio::select! {
                () = &mut happened => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
            happened.set(server.signals.event_added.notified());
            happened.as_mut().enable();
            if concerns(server, &mut after, &having) {
                break;
            }
        }
    }
}

/// The reason why a question has no place in any share.
pub(super) enum Unresolved {
    NoSuchShare,
    /// Another reason, in words.
    Malformed(String),
    Refused(Error),
}

/// Resolves the path of a question, or refuses it with the names of the shares.
pub(super) async fn place_of<F>(
    server: &Server,
    query: &WhoQuery,
    identify: impl Fn() -> F,
) -> Result<Wanted, Explained>
where
    F: Future<Output = Result<Caller, Error>>,
{
    if query.path.is_empty() && query.share.is_none() {
        return Err(malformed("path is missing: name a file or directory"));
    }
    match resolved(server, &query.path, query.share.as_deref()) {
        Ok(wanted) => Ok(wanted),
        Err(refused) => Err(refused.naming_shares(server, &identify().await?)),
    }
}

/// Resolves the path of a question.
fn resolved(server: &Server, path: &str, share: Option<&str>) -> Result<Wanted, Unresolved> {
    usable(admin::wanted(server, path, share), path)
}

/// The places of a path, or the reason for which there are none.
pub(super) fn usable(found: Result<Wanted, Error>, path: &str) -> Result<Wanted, Unresolved> {
    match found {
        Ok(wanted) if !wanted.is_nowhere() => Ok(wanted),
        Ok(_) => Err(Unresolved::Malformed(String::from("no share has this path"))),
        Err(Error::NoSuchShare) => Err(Unresolved::NoSuchShare),
        Err(Error::InvalidParameter) => Err(Unresolved::Malformed(format!(
            "{path} names no share: add the share, or use //server/share/path"
        ))),
        Err(error) => Err(Unresolved::Refused(error)),
    }
}

impl Unresolved {
    /// The refusal, with the names of the shares that the caller may know of.
    pub(super) fn naming_shares(self, server: &Server, caller: &Caller) -> Explained {
        let why = match self {
            Self::NoSuchShare => None,
            Self::Malformed(why) => Some(why),
            Self::Refused(error) => return error.into(),
        };
        let shares = admin::shares(server, caller, Right::BrowseShares).unwrap_or_default();
        let names: Vec<_> = shares
            .iter()
            .filter(|it| it.definition.kind == ShareKind::Disk)
            .map(|it| it.definition.name.to_string())
            .collect();
        let shares = match names.is_empty() {
            true => String::from("no shares are visible to this user"),
            false => format!("the shares are: {}", names.join(", ")),
        };
        match why {
            None => Explained::new(Error::NoSuchShare, shares),
            Some(why) => malformed(format!("{why}; {shares}")),
        }
    }
}

async fn having(server: &Arc<Server>, caller: Caller, wanted: &Arc<Wanted>) -> Result<Having, Error> {
    let (server, wanted) = (Arc::clone(server), Arc::clone(wanted));
    let having = crate::core::blocking::run(move || admin::who(&server, &caller, &wanted)).await;
    having.map_err(|_| Error::Internal)?
}

/// True if one of the holders has closed the file since.
fn concerns(server: &Server, after: &mut u64, having: &Having) -> bool {
    let news = server.registry.lock("events_after").events_after(*after, usize::MAX);
    *after = news.last_seq;
    let is_holder = |file| having.holders.iter().any(|it| it.global_id == file);
    news.lost > 0
        || news.events.iter().any(|event| match &event.kind {
            EventKind::Closed { open, .. } => is_holder(open.file),
            _ => false,
        })
}

fn answer(server: &Server, asked: &str, wanted: &Wanted, having: &Having) -> Who {
    // A path above all shares is in none of them.
    let place = wanted.place();
    Who {
        share: place.map(|it| it.share.clone()),
        path: place.map_or_else(|| asked.to_owned(), |it| it.path.clone()),
        holders: having.holders.iter().map(|it| shown::file(server, it)).collect(),
        refusals: Some(shown::refusals(having.refusals.clone()).collect()),
        holds: having.holds.iter().map(|(id, hold)| super::maintenance::hold(*id, hold)).collect(),
        ..Who::default()
    }
}
