//! Unix accounts of users.

use std::ffi::CString;

use nix::unistd::{Group, User};

/// The names of the Unix groups of the account called so; none if there is no such account.
pub(crate) fn group_names(name: &str) -> Vec<String> {
    let Ok(Some(account)) = User::from_name(name) else { return Vec::new() };
    let Ok(c_name) = CString::new(name) else { return Vec::new() };
    let groups = nix::unistd::getgrouplist(&c_name, account.gid).unwrap_or_default();
    groups.into_iter().filter_map(|gid| Some(Group::from_gid(gid).ok()??.name)).collect()
}

/// The number of the Unix group called so; none if there is no such group.
pub(crate) fn gid_of(group: &str) -> Option<u32> {
    Some(Group::from_name(group).ok()??.gid.as_raw())
}

/// The name of a Unix group; none if there is no such group.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    Some(Group::from_gid(gid.into()).ok()??.name)
}

/// The number of the Unix user called so; none if there is no such user.
pub(crate) fn uid_of(user: &str) -> Option<u32> {
    Some(User::from_name(user).ok()??.uid.as_raw())
}

/// The name of a Unix user; none if there is no such user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    Some(User::from_uid(uid.into()).ok()??.name)
}

/// Who acts where nobody is logged on: never the server itself.
pub(crate) fn nobody() -> vfs::Actor {
    vfs::Actor::user(OVERFLOW_ID, OVERFLOW_ID, Vec::new())
}

/// The Unix identity of the account called so; none if there is no such account.
pub(crate) fn actor_of(name: &str) -> Option<vfs::Actor> {
    let account = User::from_name(name).ok()??;
    let groups = nix::unistd::getgrouplist(&CString::new(name).ok()?, account.gid).ok()?;
    let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    Some(vfs::Actor::user(account.uid.as_raw(), account.gid.as_raw(), groups))
}

/// `/proc/sys/kernel/overflowuid`: owns what nobody owns.
const OVERFLOW_ID: u32 = 65_534;
