//! POSIX permissions as descriptors, and their hash.
//!
//! A descriptor made up from permissions says what they say: the owner's entries come first, then the
//! group's, then everyone's, and each is preceded by a denial of what only a later one would grant, since
//! POSIX stops at the first that applies.

use aws_lc_rs::digest;
use vfs::{PosixPermissions, Stat};
use wire::cursor::Put;
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, DecodeError, ReadCursor};

/// The descriptor that says what the permission bits say.
pub(super) fn describe(stat: &Stat) -> SecurityDescriptor {
    let (owner, group) = (Sid::unix_user(stat.uid), Sid::unix_group(stat.gid));
    let directory = stat.is_directory();
    let [user, members, others] = [6, 3, 0].map(|shift| rights(stat.mode >> shift, directory));
    let user = if user.contains(AccessMask::READ_DATA | AccessMask::WRITE_DATA) {
        AccessMask::FILE_ALL
    } else {
        user | OWNERS
    };
    let mut aces = Vec::with_capacity(5);
    let mut grant = |sid, allowed: AccessMask, later: AccessMask| {
        let denied = later.without(allowed);
        if !denied.is_none() {
            aces.push(Ace::deny(sid, denied, AceFlags::NONE));
        }
        aces.push(Ace::allow(sid, allowed, AceFlags::NONE));
    };
    grant(owner, user, members | others);
    grant(group, members | EVERYONES, others);
    grant(Sid::WORLD, others | EVERYONES, AccessMask::NONE);
    SecurityDescriptor::new(owner, group, Acl { aces })
}

/// SHA-256 of the permissions as Samba puts them in a row (`smb_acl_wrapper` in NDR), which tells whether
/// they have changed since.
pub(super) fn hash(permissions: &PosixPermissions) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, &in_a_row(permissions));
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

fn in_a_row(permissions: &PosixPermissions) -> Vec<u8> {
    let is_directory = permissions.mode & TYPE_MASK == TYPE_DIRECTORY;
    let mut out = Vec::with_capacity(256);
    out.put_u32(FIRST_REFERENT);
    out.put_u32(if is_directory { FIRST_REFERENT + 4 } else { 0 });
    out.put_u64(permissions.uid.into());
    out.put_u64(permissions.gid.into());
    out.put_u32(permissions.mode);
    let access = permissions.access_acl.as_deref().and_then(|acl| entries(acl).ok());
    put_acl(&mut out, &access.unwrap_or_else(|| of_mode(permissions.mode)));
    if is_directory {
        let default = permissions.default_acl.as_deref().and_then(|acl| entries(acl).ok());
        put_acl(&mut out, &default.unwrap_or_default());
    }
    out
}

/// An entry of a POSIX ACL: tag, permissions, and the id of a named user or group.
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// The entries of an ACL as the kernel stores it (acl(5), `struct posix_acl_xattr_header`).
fn entries(acl: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let mut cursor = ReadCursor::new(acl);
    if cursor.u32()? != XATTR_VERSION {
        return Err(DecodeError::InvalidValue);
    }
    let mut entries = Vec::with_capacity(cursor.remaining() / 8);
    while !cursor.is_empty() {
        entries.push(Entry { tag: cursor.u16()?, permissions: cursor.u16()?, id: cursor.u32()? });
    }
    Ok(entries)
}

/// The ACL that permission bits alone are.
fn of_mode(mode: u32) -> Vec<Entry> {
    let bits = |shift: u32| u16::try_from(mode >> shift & 7).unwrap_or_default();
    [(tag::USER_OBJ, 6), (tag::GROUP_OBJ, 3), (tag::OTHER, 0)]
        .map(|(tag, shift)| Entry { tag, permissions: bits(shift), id: 0 })
        .into()
}

fn put_acl(out: &mut Vec<u8>, entries: &[Entry]) {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    out.put_u32(count);
    out.pad_to(0, 8);
    out.put_u32(count);
    out.put_u32(0);
    for entry in entries {
        let sambas = match entry.tag {
            tag::USER => 1,
            tag::USER_OBJ => 2,
            tag::GROUP => 3,
            tag::GROUP_OBJ => 4,
            tag::OTHER => 5,
            tag::MASK => 6,
            _ => 0,
        };
        out.pad_to(0, 8);
        out.put_u16(sambas);
        out.put_u16(sambas);
        if matches!(entry.tag, tag::USER | tag::GROUP) {
            out.pad_to(0, 8);
            out.put_u64(entry.id.into());
        }
        out.put_u32(entry.permissions.into());
    }
}

/// What three permission bits allow.
fn rights(mode: u32, directory: bool) -> AccessMask {
    let mut rights = AccessMask::NONE;
    if mode & 4 != 0 {
        rights |= AccessMask::READ_DATA | AccessMask::READ_EA;
    }
    if mode & 2 != 0 {
        rights |= AccessMask::WRITE_DATA | AccessMask::APPEND_DATA | AccessMask::WRITE_EA;
        rights |= AccessMask::WRITE_ATTRIBUTES;
        if directory {
            rights |= AccessMask::DELETE_CHILD;
        }
    }
    if mode & 1 != 0 {
        rights |= AccessMask::EXECUTE;
    }
    rights
}

/// What an owner may in any case.
const OWNERS: AccessMask = AccessMask(
    EVERYONES.0
        | AccessMask::WRITE_ATTRIBUTES.0
        | AccessMask::READ_EA.0
        | AccessMask::WRITE_EA.0
        | AccessMask::WRITE_DAC.0
        | AccessMask::WRITE_OWNER.0,
);

/// What everyone may who gets to the file.
const EVERYONES: AccessMask =
    AccessMask(AccessMask::READ_ATTRIBUTES.0 | AccessMask::READ_CONTROL.0 | AccessMask::SYNCHRONIZE.0);

/// What Samba's marshalling calls the first pointer.
const FIRST_REFERENT: u32 = 0x0002_0000;

/// S_IFMT and S_IFDIR.
const TYPE_MASK: u32 = 0o170_000;
const TYPE_DIRECTORY: u32 = 0o040_000;

/// POSIX_ACL_XATTR_VERSION.
const XATTR_VERSION: u32 = 2;

/// The kernel's tags of ACL entries.
mod tag {
    pub(super) const USER_OBJ: u16 = 0x01;
    pub(super) const USER: u16 = 0x02;
    pub(super) const GROUP_OBJ: u16 = 0x04;
    pub(super) const GROUP: u16 = 0x08;
    pub(super) const MASK: u16 = 0x10;
    pub(super) const OTHER: u16 = 0x20;
}
