//! The rules for an open of an existing file: its kind and attributes, and the access that it is granted.

use vfs::{Handle, Kind, RelativePath, Stat, Wanted};
use wire::{AccessMask, FileAttributes, NtStatus};

use super::decode::Wish;
use crate::core::security::{Known, Subject};
use crate::core::tree::Tree;

/// Checks that the file is a directory if one is requested, and the reverse (MS-FSA 2.1.5.1.2).
pub(super) fn check_kind(wish: &Wish, stat: &Stat) -> Result<(), NtStatus> {
    if stat.kind == Kind::Symlink {
        return Ok(());
    }
    let is_directory = stat.is_directory() && wish.path.stream().is_none();
    match wish.directory {
        Some(true) if !is_directory => return Err(NtStatus::NOT_A_DIRECTORY),
        Some(false) if is_directory => return Err(NtStatus::FILE_IS_A_DIRECTORY),
        _ => {}
    }
    if is_directory && wish.overwrites() {
        // As in NTFS (MS-FSA 2.1.5.1.2), directories cannot be overwritten.
        let is_root = wish.path.is_root();
        return Err(if is_root { NtStatus::ACCESS_DENIED } else { NtStatus::OBJECT_NAME_COLLISION });
    }
    // Hidden and system files are overwritten only if the request has the same attributes (MS-FSA 2.1.5.1.2).
    let guarded = stat.attributes & (FileAttributes::HIDDEN | FileAttributes::SYSTEM);
    if wish.overwrites() && wish.path.stream().is_none() && !wish.attributes.contains(guarded) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if wish.overwrites() && wish.encrypted {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if wish.delete_on_close && stat.attributes.contains(FileAttributes::READONLY) {
        return Err(NtStatus::CANNOT_DELETE);
    }
    Ok(())
}

/// The user's maximal access to the file through this share; exact for the rights of [`interest`].
pub(super) fn maximal_access(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    path: &RelativePath,
    (handle, stat, known): (&dyn Handle, &Stat, Known<'_>),
) -> AccessMask {
    subject.permitted_with(path, handle, stat, interest(wish), known) & tree.maximal_access()
}

/// The rights that the open depends on.
pub(super) fn interest(wish: &Wish) -> AccessMask {
    if wish.query_maximal_access || wish.app_instance.is_some() {
        needed(wish) | AccessMask::MAXIMUM_ALLOWED
    } else {
        needed(wish)
    }
}

/// The access that an open of an existing file is granted (MS-FSA 2.1.5.1.2.1). READONLY removes write access
/// from the grant, but not from the maximal access: users who may clear the attribute see that.
pub(super) fn granted(wish: &Wish, maximal: AccessMask, stat: &Stat) -> Result<AccessMask, NtStatus> {
    let is_readonly = stat.attributes.contains(FileAttributes::READONLY) && !stat.is_directory();
    let written = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA;
    let asked = wish.access.without(AccessMask::MAXIMUM_ALLOWED);
    // ACCESS_SYSTEM_SECURITY is granted by the privilege only, not by descriptors.
    let needed = needed(wish).without(AccessMask::MAXIMUM_ALLOWED | AccessMask::ACCESS_SYSTEM_SECURITY);
    if !maximal.contains(needed) || is_readonly && needed.intersects(written) {
        tracing::trace!(?needed, ?maximal, attributes = ?stat.attributes, "access denied");
        return Err(NtStatus::ACCESS_DENIED);
    }
    let system = asked & AccessMask::ACCESS_SYSTEM_SECURITY;
    let most = if is_readonly { maximal.without(written | AccessMask::DELETE_CHILD) } else { maximal };
    Ok(if wish.access.contains(AccessMask::MAXIMUM_ALLOWED) { most | system } else { asked })
}

/// The access that the open needs.
pub(super) fn needed(wish: &Wish) -> AccessMask {
    if wish.overwrites() { wish.access | AccessMask::WRITE_DATA } else { wish.access }
}

/// The data access that the handle needs for the open's access.
pub(super) fn wanted(access: AccessMask, overwrites: bool) -> Wanted {
    Wanted {
        read: access.intersects(AccessMask::READ_DATA | AccessMask::EXECUTE),
        write: overwrites || access.intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA),
    }
}
