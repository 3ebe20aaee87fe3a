//! The operations with the plain data of the control API (`control`), and with its filters.

mod event;
mod groups;
mod history;
mod lists;
mod maintenance;
mod settings;
mod share_words;
mod shown;
mod who;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use control::{CloseFile, CloseSessions, NewShare, OpenFile, ServerInfo, Session, Share, ShareChange};

use super::{Caller, Error, Explained, Own, Right, Seat, Selection};
use crate::core::server::Server;

pub(crate) use event::event;
pub(crate) use groups::{add_group, change_group, delete_group, groups};
pub(crate) use history::history;
pub(crate) use lists::{Looked, connections, files, refusals, sessions};
pub(crate) use maintenance::{
    HoldWait, announce_close, begin_drain, cancel_announced_close, drains, end_drain, holds, recheck,
    wait_for_hold,
};
pub(crate) use settings::{
    add_user, change_settings, change_user, clock, control_service, delete_user, logons, service,
    set_password, settings, statistics, users,
};
pub(crate) use shown::timestamp;
pub(crate) use who::who;

/// The server, and the numbers of its objects.
pub(crate) fn server(server: &Server, caller: &Caller) -> Result<ServerInfo, Error> {
    let counts = super::counts(server, caller)?;
    Ok(shown::server(server, counts, server.statistics.snapshot().started))
}

/// One session that the caller may see.
pub(crate) fn session(server: &Server, caller: &Caller, id: u32) -> Result<Session, Error> {
    let session = super::session(server, caller, id)?;
    let shares = lists::shares_of_sessions(server, caller, Some(session.global_id));
    Ok(shown::session(server, &session, &shares))
}

/// Ends one session.
pub(crate) fn end_session(server: &Server, caller: &Caller, id: u32) -> Result<control::Ended, Error> {
    super::end_session(server, caller, id).map(shown::ended)
}

/// Ends the sessions of a computer, of a user, or of a user on a computer.
pub(crate) fn end_sessions(
    server: &Server,
    caller: &Caller,
    which: &CloseSessions,
) -> Result<control::Ended, Error> {
    let selection = Selection::of(server, which.computer.as_deref(), which.user.as_deref());
    // Separators alone are no computer, and must not mean all of them.
    if which.computer.as_ref().is_some_and(|it| !it.is_empty()) && selection.filter.client.is_none() {
        return Err(Error::InvalidComputer);
    }
    super::end_sessions(server, caller, selection).map(shown::ended)
}

/// One open that the caller may see.
pub(crate) fn file(server: &Server, caller: &Caller, id: u32) -> Result<OpenFile, Error> {
    Ok(shown::file(server, &super::file(server, caller, id, Own::Too)?))
}

/// Closes one open. A close that waits for its client does not occupy the connection's place meanwhile.
pub(crate) async fn close_file(
    server: &Arc<Server>,
    caller: &Caller,
    seat: &Seat,
    id: u32,
    how: CloseFile,
) -> Result<control::Ended, Explained> {
    let _aside = (!how.force).then(|| seat.step_aside());
    super::close_file(server, caller, id, how).await.map(shown::ended)
}

/// The shares that the caller may know of, with the details that the caller may see. Those of a cluster that other nodes own
/// are among them for callers who may see all shares.
pub(crate) async fn shares(server: &Arc<Server>, caller: &Arc<Caller>) -> Result<Vec<Share>, Error> {
    let right = right_to_shares(caller);
    let shares = super::shares(server, caller, right)?;
    look_at(server, right, server.shares()).await;
    let mut shown: Vec<Share> = shares.iter().map(|it| shown::share(server, it, right)).collect();
    if right == Right::ReadShares && server.cluster.is_member() {
        let (of, who) = (Arc::clone(server), Arc::clone(caller));
        // Each definition is parsed, and a cluster can have many.
        let of_cluster = crate::core::blocking::run(move || super::shares_of_cluster(&of, &who)).await;
        let of_cluster = of_cluster.map_err(|_| Error::Internal)??;
        let places = shown.iter().enumerate().map(|(place, it)| (wire::ShareName::new(&it.name), place));
        let places: HashMap<_, _> = places.collect();
        for defined in of_cluster {
            let place = places.get(&wire::ShareName::new(&defined.settings.name));
            match place.and_then(|place| shown.get_mut(*place)) {
                Some(here) => here.owner = Some(defined.owner.unwrap_or_default()),
                None => shown.push(shown::share_of_cluster(&defined)),
            }
        }
        shown.sort_by_cached_key(|it| wire::ShareName::new(&it.name));
    }
    Ok(shown)
}

/// One share, with the details that the caller may see.
pub(crate) async fn share(server: &Server, caller: &Caller, name: &str) -> Result<Share, Error> {
    let right = right_to_shares(caller);
    let is_of_cluster = right == Right::ReadShares && super::has_share_of_cluster(server, name);
    let share = match super::share(server, caller, name, right) {
        Err(Error::NoSuchShare) if is_of_cluster => {
            return super::share_of_cluster(server, caller, name).map(|it| shown::share_of_cluster(&it));
        }
        share => share?,
    };
    look_at(server, right, server.share(name).into_iter().collect()).await;
    let mut shown = shown::share(server, &share, right);
    if is_of_cluster {
        shown.owner = Some(super::share_of_cluster(server, caller, name)?.owner.unwrap_or_default());
    }
    Ok(shown)
}

/// Shares a directory.
pub(crate) async fn add_share(
    server: Arc<Server>,
    caller: Arc<Caller>,
    share: NewShare,
) -> Result<Share, Explained> {
    share_words::check_words(Some(&share), &share.settings)?;
    let NewShare { name, path, cluster, settings } = share;
    let new = || Ok(super::NewShare { name, path: PathBuf::from(path), edit: share_words::edit(settings)? });
    if cluster {
        let add = move || super::add_share_of_cluster(&server, &caller, new);
        return waiting(add).await.map(|added| shown::share_of_cluster(&added));
    }
    waiting(move || Ok(shown::share(&server, &super::add_share(&server, &caller, new)?, Right::ReadShares)))
        .await
}

/// Changes a share, of the server or of its cluster.
pub(crate) async fn change_share(
    server: Arc<Server>,
    caller: Arc<Caller>,
    name: String,
    change: ShareChange,
) -> Result<Share, Explained> {
    share_words::check_words(None, &change)?;
    if super::has_share_of_cluster(&server, &name) {
        let edit = || share_words::edit(change);
        let change = move || super::change_share_of_cluster(&server, &caller, &name, edit);
        return waiting(change).await.map(|changed| shown::share_of_cluster(&changed));
    }
    waiting(move || {
        let changed = super::change_share(&server, &caller, &name, || share_words::edit(change))?;
        Ok(shown::share(&server, &changed, Right::ReadShares))
    })
    .await
}

/// Stops sharing a directory, of the server or of its cluster.
pub(crate) async fn delete_share(
    server: Arc<Server>,
    caller: Arc<Caller>,
    name: String,
) -> Result<control::Ended, Explained> {
    if super::has_share_of_cluster(&server, &name) {
        let delete = move || super::delete_share_of_cluster(&server, &caller, &name);
        return waiting(delete).await.map(shown::ended);
    }
    waiting(move || Ok(super::delete_share(&server, &caller, || Ok(name)).map(shown::ended)?)).await
}

/// Runs an operation that may wait for a disk, without delaying other requests.
async fn waiting<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Explained> + Send + 'static,
) -> Result<T, Explained> {
    crate::core::blocking::run(act).await.map_err(|_| Error::Internal)?
}

/// The right that gives the caller the most details of shares. Every account has the right for browsing
/// (MS-SRVS 3.1.4.8, level 1).
fn right_to_shares(caller: &Caller) -> Right {
    if super::may(caller, Right::ReadShares) || !super::may(caller, Right::BrowseShares) {
        Right::ReadShares
    } else {
        Right::BrowseShares
    }
}

/// Checks whether the shares' directories exist, for callers who may see that.
async fn look_at(server: &Server, right: Right, shares: Vec<Arc<crate::core::tree::Share>>) {
    if right == Right::ReadShares {
        server.look_at(&shares).await;
    }
}

/// The refusal of a malformed request.
fn malformed(reason: impl std::fmt::Display) -> Explained {
    Explained::new(Error::InvalidParameter, reason)
}
