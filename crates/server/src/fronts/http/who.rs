//! Who has it: the verb's answer as the control API tells it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use control::{Who, WhoQuery, limits};
use registry::EventKind;
use tokio::time::Instant;

use super::answer::Refused;
use super::routes::{Answer, Filters};
use super::{Peer, view};
use crate::admin::{self, Caller, Error, Having, Right, Seat, Wanted};
use crate::core::server::Server;

/// `GET /v1/who`.
pub(super) async fn who(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Peer>,
    Extension(seat): Extension<Seat>,
    query: Filters<WhoQuery>,
) -> Answer<Who> {
    let Query(query) = query.map_err(Refused::malformed)?;
    let wait = Duration::from_secs(query.wait.unwrap_or_default().into());
    if wait > Duration::from_secs(limits::WAIT_MAX.into()) {
        return Err(Refused::malformed(format!("wait is at most {} seconds", limits::WAIT_MAX)));
    }
    if query.path.is_empty() && query.share.is_none() {
        return Err(Refused::malformed("path is missing: the file or directory that is asked about"));
    }
    let wanted = Arc::new(resolved(&server, &peer, &query).await?);
    let _permit = match wait.is_zero() {
        true => None,
        false => {
            let caller = peer.caller(&server).await?;
            let place = server.admin_places.waits.take(&caller).ok_or(Error::Busy)?;
            Some((place, seat.step_aside()))
        }
    };
    let deadline = Instant::now() + wait;
    loop {
        let happened = server.happened.notified();
        tokio::pin!(happened);
        happened.as_mut().enable();
        let mut after = server.registry.lock("last_event").last_event();
        // Who waits has the rights of the settings in force whenever there is something to tell.
        let caller = peer.caller(&server).await?;
        let having = having(&server, caller, &wanted).await?;
        if having.holders.is_empty() || Instant::now() >= deadline {
            return Ok(Json(shown(&server, &query.path, &wanted, &having)));
        }
        loop {
            tokio::select! {
                () = &mut happened => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
            happened.set(server.happened.notified());
            happened.as_mut().enable();
            if concerns(&server, &mut after, &having) {
                break;
            }
        }
    }
}

/// What a question means. What means nothing in any share is refused, and the shares are named.
async fn resolved(server: &Arc<Server>, peer: &Peer, query: &WhoQuery) -> Result<Wanted, Refused> {
    let wanted = admin::wanted(server, &query.path, query.share.as_deref());
    let why = match &wanted {
        Ok(wanted) if !wanted.is_nowhere() => String::new(),
        Ok(_) => String::from("no share has this path"),
        Err(Error::NoSuchShare) => String::new(),
        Err(Error::InvalidParameter) => {
            format!("{} names no share: give the share too, or //server/share/path", query.path)
        }
        Err(error) => return Err((*error).into()),
    };
    if let (Ok(wanted), true) = (&wanted, why.is_empty()) {
        return Ok(wanted.clone());
    }
    let caller = peer.caller(server).await?;
    let shares = admin::shares(server, &caller, Right::BrowseShares).unwrap_or_default();
    let names: Vec<_> = shares
        .iter()
        .filter(|it| it.definition.kind == registry::ShareKind::Disk)
        .map(|it| it.definition.name.to_string())
        .collect();
    let shares = match names.is_empty() {
        true => String::from("there are no shares"),
        false => format!("the shares are: {}", names.join(", ")),
    };
    match wanted {
        Err(error @ Error::NoSuchShare) => {
            Err(control::Error::new(error.number().0, error.to_string()).with_hint(shares).into())
        }
        _ => Err(Refused::malformed(format!("{why}; {shares}"))),
    }
}

async fn having(server: &Arc<Server>, caller: Caller, wanted: &Arc<Wanted>) -> Result<Having, Refused> {
    let (server, wanted) = (Arc::clone(server), Arc::clone(wanted));
    let having = crate::core::blocking::run(move || admin::who(&server, &caller, &wanted)).await;
    Ok(having.map_err(|_| Error::Internal)??)
}

/// Whether one of those who have it has it no longer.
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

fn shown(server: &Server, asked: &str, wanted: &Wanted, having: &Having) -> Who {
    // What lies above shares is in none of them.
    let place = wanted.place();
    Who {
        share: place.map(|it| it.share.clone()),
        path: place.map_or_else(|| asked.to_owned(), |it| it.path.clone()),
        holders: having.holders.iter().map(|it| view::file(server, it)).collect(),
        refusals: Some(view::refusals(having.refusals.clone()).collect()),
        ..Who::default()
    }
}
