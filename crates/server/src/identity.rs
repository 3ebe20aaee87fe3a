//! Unix accounts of users.

use std::ffi::CString;

use nix::unistd::User;

/// The Unix identity of the account called so; none if there is no such account.
pub(crate) fn actor_of(name: &str) -> Option<vfs::Actor> {
    let account = User::from_name(name).ok()??;
    let groups = nix::unistd::getgrouplist(&CString::new(name).ok()?, account.gid).ok()?;
    let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    Some(vfs::Actor::user(account.uid.as_raw(), account.gid.as_raw(), groups))
}
