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
use crate::admin::{self, Caller, Error, Having, Seat, Wanted};
use crate::server::Server;

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
    let wanted = Arc::new(admin::wanted(&server, &query.path, query.share.as_deref())?);
    if wanted.is_nowhere() {
        return Err(Refused::malformed("no share has this path"));
    }
    let _permit = match wait.is_zero() {
        true => None,
        false => {
            let caller = peer.caller(&server).await?;
            let place = server.desk.waits.take(&caller).ok_or(Error::Busy)?;
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
            return Ok(Json(shown(&server, &wanted, &having)));
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

async fn having(server: &Arc<Server>, caller: Caller, wanted: &Arc<Wanted>) -> Result<Having, Refused> {
    let (server, wanted) = (Arc::clone(server), Arc::clone(wanted));
    let having = crate::blocking::run(move || admin::who(&server, &caller, &wanted)).await;
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

fn shown(server: &Server, wanted: &Wanted, having: &Having) -> Who {
    let place = wanted.place();
    Who {
        share: place.map(|it| it.share.clone()),
        path: place.map_or_else(String::new, |it| it.path.clone()),
        holders: having.holders.iter().map(|it| view::file(server, it)).collect(),
        refusals: Some(view::refusals(having.refusals.clone()).collect()),
        ..Who::default()
    }
}
