//! POSIX permissions as security descriptors, and their hash.
//!
//! A descriptor that is derived from permissions has the owner's entries first, then those of groups, then everyone's.
//! Each is preceded by a denial of the rights that only a later entry would grant, because POSIX uses only the first
//! entry that applies.

use aws_lc_rs::digest;
use domain::ids::Kind;
use vfs::{PosixPermissions, Stat};
use wire::cursor::Put;
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, DecodeError, ReadCursor};

use super::Token;
use crate::core::domain::IdQuestion;

/// The descriptor with the rights of the permission bits, or of the ACLs if there are any.
pub(super) fn describe(
    stat: &Stat,
    (owner, group): (Sid, Sid),
    token: &Token,
    permissions: Option<&PosixPermissions>,
) -> SecurityDescriptor {
    let directory = stat.is_directory();
    let stored = |acl: fn(&PosixPermissions) -> Option<&Vec<u8>>| entries(acl(permissions?)?).ok();
    let access = stored(|it| it.access_acl.as_ref()).unwrap_or_else(|| of_mode(stat.mode));
    let mut aces = Vec::with_capacity(access.len().saturating_mul(2));
    describe_acl(&access, (owner, group), token, (directory, AceFlags::NONE), &mut aces);
    if let Some(default) = stored(|it| it.default_acl.as_ref()).filter(|acl| directory && !acl.is_empty()) {
        let flags = AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT | AceFlags::INHERIT_ONLY;
        let owners = (Sid::CREATOR_OWNER, Sid::CREATOR_GROUP);
        describe_acl(&default, owners, token, (directory, flags), &mut aces);
    }
    SecurityDescriptor::new(owner, group, Acl { aces })
}

/// Appends the entries for an ACL. The groups of a user count together, so the denials for groups come after all
/// entries that allow.
fn describe_acl(
    acl: &[Entry],
    (owner, group): (Sid, Sid),
    token: &Token,
    (directory, flags): (bool, AceFlags),
    aces: &mut Vec<Ace>,
) {
    let with_tag = |tag| acl.iter().filter(move |entry| entry.tag == tag);
    let all = |entry: &Entry| rights(entry.permissions.into(), directory);
    let mask = with_tag(tag::MASK).next().map(|entry| entry.permissions);
    let masked = |entry: &Entry| rights((entry.permissions & mask.unwrap_or(7)).into(), directory);
    let users: Vec<(Sid, AccessMask)> =
        with_tag(tag::USER).map(|entry| (token.user_sid(entry.id), masked(entry))).collect();
    let own_group = with_tag(tag::GROUP_OBJ).map(|entry| (group, masked(entry)));
    let named_groups = with_tag(tag::GROUP).map(|entry| (token.group_sid(entry.id), masked(entry)));
    let groups: Vec<(Sid, AccessMask)> = own_group.chain(named_groups).collect();
    let others = with_tag(tag::OTHER).map(all).fold(AccessMask::NONE, |sum, it| sum | it);
    let of_groups = groups.iter().fold(others, |sum, (_, it)| sum | *it);
    let of_users = users.iter().fold(of_groups, |sum, (_, it)| sum | *it);

    let user = with_tag(tag::USER_OBJ).map(all).fold(AccessMask::NONE, |sum, it| sum | it);
    let user = if user.contains(AccessMask::READ_DATA | AccessMask::WRITE_DATA) {
        AccessMask::FILE_ALL
    } else {
        user | OWNERS
    };
    let deny = |aces: &mut Vec<Ace>, sid, allowed: AccessMask, later: AccessMask| {
        let denied = later.without(allowed | EVERYONES);
        if !denied.is_none() {
            aces.push(Ace::deny(sid, denied, flags));
        }
    };
    deny(aces, owner, user, of_users);
    aces.push(Ace::allow(owner, user, flags));
    for (sid, allowed) in users {
        deny(aces, sid, allowed, of_groups);
        aces.push(Ace::allow(sid, allowed | EVERYONES, flags));
    }
    if let [(sid, allowed)] = groups.as_slice() {
        deny(aces, *sid, *allowed, others);
    }
    aces.extend(groups.iter().map(|(sid, allowed)| Ace::allow(*sid, *allowed | EVERYONES, flags)));
    if groups.len() > 1 {
        groups.iter().for_each(|(sid, allowed)| deny(aces, *sid, *allowed, others));
    }
    aces.push(Ace::allow(Sid::WORLD, others | EVERYONES, flags));
}

/// The ids of the users and groups that the ACLs name.
pub(super) fn named_ids(permissions: &PosixPermissions) -> Vec<IdQuestion> {
    let lists = [&permissions.access_acl, &permissions.default_acl];
    let entries = lists.into_iter().flatten().filter_map(|acl| entries(acl).ok()).flatten();
    let question = |entry: Entry| match entry.tag {
        tag::USER => Some(IdQuestion::OfId(Kind::User, entry.id)),
        tag::GROUP => Some(IdQuestion::OfId(Kind::Group, entry.id)),
        _ => None,
    };
    entries.filter_map(question).collect()
}

/// True if a hash is of these permissions. The kernel clears the set-id bits of a file when a program writes to it, and
/// the sticky bit does not affect who may read and write: these three bits may have changed.
pub(super) fn is_hash_of(stored: &[u8; 32], permissions: &PosixPermissions) -> bool {
    if *stored == hash(permissions) {
        return true;
    }
    let mut permissions = permissions.clone();
    let plain = permissions.mode & !SPECIAL_BITS;
    (0..8).any(|special| {
        permissions.mode = plain | special << 9;
        *stored == hash(&permissions)
    })
}

/// The SHA-256 hash of the permissions in Samba's serialization (`smb_acl_wrapper` in NDR), which shows if they have
/// changed since.
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

/// The ACL that is equivalent to permission bits.
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

/// The rights of three permission bits.
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

/// The rights of an owner in any case.
const OWNERS: AccessMask = AccessMask(
    EVERYONES.0
        | AccessMask::WRITE_ATTRIBUTES.0
        | AccessMask::READ_EA.0
        | AccessMask::WRITE_EA.0
        | AccessMask::WRITE_DAC.0
        | AccessMask::WRITE_OWNER.0,
);

/// The rights of every user that can reach the file.
const EVERYONES: AccessMask =
    AccessMask(AccessMask::READ_ATTRIBUTES.0 | AccessMask::READ_CONTROL.0 | AccessMask::SYNCHRONIZE.0);

/// The value of the first pointer in Samba's marshalling.
const FIRST_REFERENT: u32 = 0x0002_0000;

/// S_ISUID, S_ISGID and S_ISVTX.
const SPECIAL_BITS: u32 = 0o7000;

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
