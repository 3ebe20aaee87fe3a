//! The access that the kernel grants to a user of an open file.

use super::handle::{LocalHandle, permits};
use super::resolve::statx_fd;
use crate::backend::{Actor, Permits};
use crate::stat::{Kind, Stat};
use rustix::fs::Access;
use std::os::fd::BorrowedFd;
use wire::AccessMask;

/// The sticky bit: only owners can remove entries.
const STICKY: u32 = 0o1000;

/// The access that the file's owner, permission bits and ACL grant to `actor`.
pub(super) fn maximal_access(handle: &LocalHandle, actor: &Actor) -> AccessMask {
    let owner = statx_fd(handle.fd()).map(|raw| (raw.stx_uid, u32::from(raw.stx_mode))).ok();
    access(handle, actor, owner, AccessMask::MAXIMUM_ALLOWED, Permits::default())
}

/// The access as in [`maximal_access`], exact for the rights in `asked` only.
pub(super) fn granted_access(
    handle: &LocalHandle,
    actor: &Actor,
    stat: &Stat,
    asked: AccessMask,
    permits: Permits,
) -> AccessMask {
    if handle.kind() == Kind::Symlink {
        return maximal_access(handle, actor);
    }
    access(handle, actor, Some((stat.uid, stat.mode)), asked, permits)
}

/// The access to a file with this owner and mode; `None` if they are unknown.
fn access(
    handle: &LocalHandle,
    actor: &Actor,
    owner: Option<(u32, u32)>,
    asked: AccessMask,
    known: Permits,
) -> AccessMask {
    let credentials = &handle.root.credentials;
    if credentials.is_all_powerful(actor) {
        return AccessMask::FILE_ALL;
    }
    let mut access = AccessMask::READ_ATTRIBUTES | AccessMask::READ_CONTROL | AccessMask::SYNCHRONIZE;
    let Some((uid, mode)) = owner else { return access };
    if credentials.uid(actor) == uid {
        access |= AccessMask::WRITE_ATTRIBUTES
            | AccessMask::READ_EA
            | AccessMask::WRITE_EA
            | AccessMask::WRITE_DAC
            | AccessMask::WRITE_OWNER;
    }
    let mut known = known;
    if !is_answered(known, asked) {
        let Ok(_guard) = credentials.assume(actor) else { return access };
        known = ask(handle.fd(), asked, known);
    }
    if known.read == Some(true) {
        access |= AccessMask::READ_DATA | AccessMask::READ_EA;
    }
    if known.write == Some(true) {
        access |= AccessMask::WRITE_DATA
            | AccessMask::APPEND_DATA
            | AccessMask::WRITE_EA
            | AccessMask::WRITE_ATTRIBUTES;
        if handle.kind() == Kind::Directory && mode & STICKY == 0 {
            access |= AccessMask::DELETE_CHILD;
        }
    }
    if known.execute == Some(true) {
        access |= AccessMask::EXECUTE;
    }
    access
}

/// Asks the kernel for the permissions that decide about the rights `asked`, except for those that are known. The calling
/// thread must act as the user.
pub(super) fn ask(fd: BorrowedFd<'_>, asked: AccessMask, known: Permits) -> Permits {
    let [read, write, execute] = questions(asked);
    let answer = |known: Option<bool>, is_asked: bool, access| match known {
        None if is_asked => Some(permits(fd, access)),
        known => known,
    };
    Permits {
        read: answer(known.read, read, Access::READ_OK),
        write: answer(known.write, write, Access::WRITE_OK),
        execute: answer(known.execute, execute, Access::EXEC_OK),
    }
}

/// True if nothing is left to ask.
fn is_answered(known: Permits, asked: AccessMask) -> bool {
    let [read, write, execute] = questions(asked);
    (known.read.is_some() || !read)
        && (known.write.is_some() || !write)
        && (known.execute.is_some() || !execute)
}

/// True for each permission (read, write, execute) that decides about one of these rights.
fn questions(asked: AccessMask) -> [bool; 3] {
    // Rights beyond those of data depend on several permissions: an owner who may read and write has them all.
    let others = !asked.without(UNCONDITIONAL | OF_READ | OF_WRITE | OF_DIRECTORY).is_none();
    [
        others || asked.intersects(OF_READ),
        others || asked.intersects(OF_WRITE),
        asked.intersects(AccessMask::EXECUTE | AccessMask::MAXIMUM_ALLOWED),
    ]
}

/// The rights of everybody who reaches a file.
const UNCONDITIONAL: AccessMask =
    AccessMask(AccessMask::READ_ATTRIBUTES.0 | AccessMask::READ_CONTROL.0 | AccessMask::SYNCHRONIZE.0);

/// The right that the permissions of the directory alone grant: [`crate::Backend::directory_of`].
const OF_DIRECTORY: AccessMask = AccessMask::DELETE;

/// The rights that the permission to read grants.
const OF_READ: AccessMask = AccessMask(AccessMask::READ_DATA.0 | AccessMask::READ_EA.0);

/// The rights that the permission to write grants to files.
const OF_WRITE: AccessMask = AccessMask(
    AccessMask::WRITE_DATA.0
        | AccessMask::APPEND_DATA.0
        | AccessMask::WRITE_EA.0
        | AccessMask::WRITE_ATTRIBUTES.0,
);
