//! Unix permissions in descriptors, as Apple's and Linux' clients expect them from Microsoft's NFS server
//! (kAAPL_SUPPORTS_NFS_ACE): three entries that deny nothing to `S-1-5-88-1-UID`, `S-1-5-88-2-GID` and
//! `S-1-5-88-3-MODE`.

use vfs::PosixPermissions;
use wire::AccessMask;
use wire::security::{Ace, AceBody, AceFlags, Acl, Sid};

/// Adds the entries for a file's permissions.
pub(crate) fn show(dacl: &mut Acl, permissions: &PosixPermissions) {
    let entries = [(MODE, permissions.mode), (USER, permissions.uid), (GROUP, permissions.gid)];
    let entry = |(kind, value)| {
        let sid = Sid::of(NT_AUTHORITY, [NFS, kind, value]);
        Ace::deny(sid, AccessMask::NONE, AceFlags::NONE)
    };
    dacl.aces.extend(entries.map(entry));
}

/// Removes the entries, and returns the permission bits that the client sets, if one of the entries has them.
pub(crate) fn take(dacl: &mut Acl) -> Option<u32> {
    let mut mode = None;
    dacl.aces.retain(|ace| {
        let AceBody::Principal { sid, .. } = &ace.body else { return true };
        match (sid.authority(), sid.sub_authorities()) {
            (NT_AUTHORITY, [NFS, MODE, wanted]) => mode = Some(*wanted & PERMISSIONS),
            (NT_AUTHORITY, [NFS, ..]) => {}
            _ => return true,
        }
        false
    });
    mode
}

/// The mode that an entry of the list says, with the set-id bits and the sticky bit; the last one counts.
pub(crate) fn mode_in(dacl: &Acl) -> Option<u32> {
    dacl.aces.iter().rev().find_map(|ace| match &ace.body {
        AceBody::Principal { sid, .. } => match (sid.authority(), sid.sub_authorities()) {
            (NT_AUTHORITY, [NFS, MODE, mode]) => Some(*mode & MODE_BITS),
            _ => None,
        },
        _ => None,
    })
}

/// The Unix user or group in the form of other Unix SIDs; other SIDs stay as they are.
pub(crate) fn unix_owner(sid: Sid) -> Sid {
    match (sid.authority(), sid.sub_authorities()) {
        (NT_AUTHORITY, [NFS, USER, uid]) => Sid::unix_user(*uid),
        (NT_AUTHORITY, [NFS, GROUP, gid]) => Sid::unix_group(*gid),
        _ => sid,
    }
}

const NT_AUTHORITY: u64 = 5;
const NFS: u32 = 88;
const USER: u32 = 1;
const GROUP: u32 = 2;
const MODE: u32 = 3;

/// The bits of a mode that a client may set, without the set-id bits.
pub(super) const PERMISSIONS: u32 = 0o777;

/// The bits of a mode beside the kind of the file.
pub(super) const MODE_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_entries_are_removed_again() {
        let everyone = Ace::allow(Sid::WORLD, AccessMask::FILE_ALL, AceFlags::NONE);
        let mut dacl = Acl { aces: vec![everyone] };
        let permissions = PosixPermissions { mode: 0o104_751, uid: 7, gid: 8, ..PosixPermissions::default() };
        show(&mut dacl, &permissions);
        assert_eq!(dacl.aces.len(), 4);
        show(&mut dacl, &permissions);
        assert_eq!(mode_in(&dacl), Some(0o4751));
        assert_eq!(take(&mut dacl), Some(0o751));
        assert_eq!(mode_in(&dacl), None);
        assert_eq!((dacl.aces.len(), take(&mut dacl)), (1, None));
    }
}
