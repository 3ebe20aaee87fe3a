//! Shares (MS-SRVS 3.1.4.8, 3.1.4.10).

use registry::{ShareKind, ShareSnapshot};

use super::{Caller, Error, Right, audit, check, may};
use crate::core::server::Server;

/// The shares that the caller may know of, by name. `right` is the right that the caller needs for the
/// requested details.
///
/// Callers who may read all details of shares see all of them. Others do not see hidden shares, as with
/// Samba's `browseable = no`; callers without an account see only shares that they may use.
pub(crate) fn shares(server: &Server, caller: &Caller, right: Right) -> Result<Vec<ShareSnapshot>, Error> {
    check(caller, right)?;
    let mut shares = server.registry.lock("share_snapshots").share_snapshots(None, usize::MAX);
    if !may(caller, Right::ReadShares) {
        shares.retain(|share| {
            let is_listed = !share.definition.hidden || share.definition.kind == ShareKind::Pipe;
            is_listed && may_know(server, caller, share)
        });
    }
    Ok(shares)
}

/// The shares that exist after a restart, because the settings define them; the server's own share is not
/// included (MS-SRVS 3.1.4.9).
pub(crate) fn sticky_shares(
    server: &Server,
    caller: &Caller,
    right: Right,
) -> Result<Vec<ShareSnapshot>, Error> {
    let mut shares = shares(server, caller, right)?;
    shares.retain(|it| it.definition.kind != ShareKind::Pipe && !it.definition.temporary);
    Ok(shares)
}

/// One share, hidden or not. `right` is the right that the caller needs for the requested details.
pub(crate) fn share(
    server: &Server,
    caller: &Caller,
    name: &str,
    right: Right,
) -> Result<ShareSnapshot, Error> {
    check(caller, right)?;
    let share = server.registry.lock("share_snapshot").share_snapshot(name).ok_or(Error::NoSuchShare)?;
    if !may_know(server, caller, &share) {
        audit::denied(caller, right);
        return Err(Error::AccessDenied);
    }
    Ok(share)
}

/// True unless the share is concealed from a caller without an account.
fn may_know(server: &Server, caller: &Caller, share: &ShareSnapshot) -> bool {
    if caller.administrator || !caller.user.is_empty() {
        return true;
    }
    let served = server.share(&share.definition.name);
    served.is_some_and(|it| {
        caller.session_user.as_ref().is_some_and(|user| it.access_of(server, user).is_some())
    })
}
