//! The access that the kernel grants to a user of an open file.

use super::handle::{LocalHandle, permits};
use super::resolve::statx_fd;
use crate::backend::Actor;
use crate::stat::Kind;
use rustix::fs::Access;
use wire::AccessMask;

/// The sticky bit: only owners can remove entries.
const STICKY: u32 = 0o1000;

/// The access that the file's owner, permission bits and ACL grant to `actor`.
pub(super) fn maximal_access(handle: &LocalHandle, actor: &Actor) -> AccessMask {
    let credentials = &handle.root.credentials;
    if credentials.is_all_powerful(actor) {
        return AccessMask::FILE_ALL;
    }
    let mut access = AccessMask::READ_ATTRIBUTES | AccessMask::READ_CONTROL | AccessMask::SYNCHRONIZE;
    let Ok(raw) = statx_fd(handle.fd()) else { return access };
    if credentials.uid(actor) == raw.stx_uid {
        access |= AccessMask::WRITE_ATTRIBUTES
            | AccessMask::READ_EA
            | AccessMask::WRITE_EA
            | AccessMask::WRITE_DAC
            | AccessMask::WRITE_OWNER;
    }
    let Ok(_guard) = credentials.assume(actor) else { return access };
    if permits(handle.fd(), Access::READ_OK) {
        access |= AccessMask::READ_DATA | AccessMask::READ_EA;
    }
    if permits(handle.fd(), Access::WRITE_OK) {
        access |= AccessMask::WRITE_DATA
            | AccessMask::APPEND_DATA
            | AccessMask::WRITE_EA
            | AccessMask::WRITE_ATTRIBUTES;
        if handle.kind() == Kind::Directory && u32::from(raw.stx_mode) & STICKY == 0 {
            access |= AccessMask::DELETE_CHILD;
        }
    }
    if permits(handle.fd(), Access::EXEC_OK) {
        access |= AccessMask::EXECUTE;
    }
    access
}
