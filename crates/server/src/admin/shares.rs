//! Shares (MS-SRVS 3.1.4.8, 3.1.4.10).

use registry::ShareSnapshot;

use super::{Caller, Error, Right, check};
use crate::server::Server;

/// All shares, by name. `right` is what the caller wants to see of them.
pub(crate) fn shares(server: &Server, caller: &Caller, right: Right) -> Result<Vec<ShareSnapshot>, Error> {
    check(caller, right)?;
    Ok(server.registry.lock("share_snapshots").share_snapshots(None, usize::MAX))
}

/// One share. `right` is what the caller wants to see of it.
pub(crate) fn share(
    server: &Server,
    caller: &Caller,
    name: &str,
    right: Right,
) -> Result<ShareSnapshot, Error> {
    check(caller, right)?;
    server.registry.lock("share_snapshot").share_snapshot(name).ok_or(Error::NoSuchShare)
}
