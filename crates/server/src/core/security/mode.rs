//! Modes and Unix owners, as clients of the POSIX extensions set them.
//!
//! A mode is the file's Unix mode, which the operating system applies. Where a descriptor is stored as well, its DACL
//! becomes what the mode says, so that the descriptor neither refuses nor grants what the mode does not. Users who are
//! one Unix user are told apart by descriptors alone: without one, a mode changes nothing between them. A server that
//! is not root reads attributes only of files that it may read, and sets those only of files that it may write: it takes
//! the former right from none of its own files, and the latter from none that keeps a descriptor.

use vfs::{Handle, Stat};
use wire::NtStatus;
use wire::msg::AdditionalInformation;
use wire::security::{AceFlags, Acl, Privileges, SdControl, SecurityDescriptor, Sid};

use super::nfs::{MODE_BITS, PERMISSIONS};
use super::{Machine, Stored, Token, change, made_up, nfs, posix, store, stored};
use crate::core::status::OrStatus;

/// Carries out a change of the security of a POSIX open's file; the user may, as far as access goes.
///
/// `S-1-5-88-3-MODE` in the DACL is a chmod, and then nothing else of the DACL counts. Unix users and groups as owner
/// and group are a chown. Everything else is as with other opens.
pub(crate) fn change(
    machine: Machine,
    token: &Token,
    handle: &dyn Handle,
    which: AdditionalInformation,
    mut new: SecurityDescriptor,
) -> Result<(), NtStatus> {
    new.owner = new.owner.map(nfs::unix_owner);
    new.group = new.group.map(nfs::unix_owner);
    let has_dacl = which.contains(AdditionalInformation::DACL);
    let mode = new.dacl.as_ref().filter(|_| has_dacl).and_then(nfs::mode_in);
    let others = if mode.is_some() { which.without(AdditionalInformation::DACL) } else { which };
    let group = new.group.filter(|_| which.contains(AdditionalInformation::GROUP));
    change::check_owner(token, which, &new)?;
    if let Some(group) = group {
        check_group(token, group)?;
    }
    let followed_mode = match stored(handle) {
        Stored::Nothing => true,
        Stored::Descriptor(before) => of_mode(handle, token, &before)?.dacl == before.dacl,
        Stored::Unreadable => false,
    };
    // First what may fail: a descriptor with the new group beside the old group would be half of a change.
    if let Some(gid) = group.and_then(|group| unix_group(token, group)) {
        own_group(handle, gid)?;
    }
    if !others.is_none() {
        change::replace(machine, token, handle, others, &new)?;
    }
    let is_chown = others.intersects(AdditionalInformation::OWNER | AdditionalInformation::GROUP);
    match mode {
        Some(mode) => set(handle, token, mode),
        // The descriptor that is stored by now is of the owners that were before.
        None if followed_mode && is_chown && !others.contains(AdditionalInformation::DACL) => {
            set(handle, token, handle.stat().or_status()?.mode)
        }
        None => Ok(()),
    }
}

/// Separates the mode from the descriptor that a POSIX open brings for a new file. As in [`change`], the rest of a DACL
/// with a mode does not count.
pub(crate) fn of_creator(mut creator: SecurityDescriptor) -> (SecurityDescriptor, Option<u32>) {
    creator.owner = creator.owner.map(nfs::unix_owner);
    creator.group = creator.group.map(nfs::unix_owner);
    let mode = creator.dacl.as_ref().and_then(nfs::mode_in);
    if mode.is_some() {
        creator.dacl = None;
        creator.control = creator.control.without(SdControl::DACL_PRESENT);
    }
    (creator, mode)
}

/// Gives a new file in `parent`, which was made with this mode, the rest of what its CREATE asks for: the mode, as far
/// as a default ACL permits it, and the security.
pub(crate) fn endow(
    handle: &dyn Handle,
    token: &Token,
    parent: &dyn Handle,
    inherited: Option<&SecurityDescriptor>,
    (mode, creator, has_eas): (u32, Option<&SecurityDescriptor>, bool),
) -> Result<Option<SecurityDescriptor>, NtStatus> {
    let mut creator = creator.cloned();
    if let Some(creator) = &mut creator
        && let Some(gid) = creator.group.and_then(|group| unix_group(token, group))
    {
        // A directory with S_ISGID decides on the group, as it does for local programs.
        if parent.stat().or_status()?.mode & SET_GROUP == 0 {
            own_group(handle, gid)?;
        }
        creator.group = None;
    }
    let stat = handle.stat().or_status()?;
    if let Some(creator) = &mut creator {
        let (user, group) = (Sid::unix_user(stat.uid), Sid::unix_group(stat.gid));
        creator.owner = creator.owner.filter(|it| ![user, token.user_sid(stat.uid)].contains(it));
        creator.group = creator.group.filter(|it| ![group, token.group_sid(stat.gid)].contains(it));
    }
    let creator = creator.as_ref();
    let has_descriptor = super::has_descriptor(inherited, creator, stat.is_directory());
    give(handle, token, parent, (&stat, mode, has_descriptor || has_eas)).or_status()?;
    let stored = super::endow(handle, &stat, token, inherited, creator).or_status()?;
    let has_list = creator.is_some_and(|creator| creator.control.contains(SdControl::DACL_PRESENT))
        || inherited.is_some_and(|parent| super::passes_on(parent, stat.is_directory()));
    match stored {
        // The list of rights that nobody has asked for would contradict the mode.
        Some(descriptor) if !has_list => {
            let descriptor = of_mode(handle, token, &descriptor)?;
            store(handle, &descriptor).or_status()?;
            Ok(Some(descriptor))
        }
        stored => Ok(stored),
    }
}

/// Sets the mode of a new file that was made with it and has this metadata. A file system without modes, or
/// whose modes are not its files', leaves it as it is, as it does for local programs.
fn give(
    handle: &dyn Handle,
    token: &Token,
    parent: &dyn Handle,
    (stat, mode, has_attributes): (&Stat, u32, bool),
) -> vfs::Result<()> {
    // A file inherits the group of a directory with S_ISGID; a directory inherits S_ISGID, too.
    let mut wanted = settable(token, stat, mode | stat.mode & SET_GROUP);
    let lacking = wanted & PERMISSIONS & !stat.mode;
    // Either the process's umask took them, which is not the client's, or the default ACL of the directory.
    if lacking != 0 && parent.posix_permissions()?.is_some_and(|parent| parent.default_acl.is_some()) {
        wanted &= !lacking;
    }
    wanted |= own_bits(token, stat, has_attributes);
    if wanted == stat.mode & MODE_BITS {
        return Ok(());
    }
    match handle.set_mode(wanted) {
        Err(vfs::Error::NotSupported | vfs::Error::AccessDenied) => Ok(()),
        outcome => outcome,
    }
}

/// Checks the group that a POSIX open asks for, as [`change`] does.
pub(crate) fn may_have_group(token: &Token, creator: &SecurityDescriptor) -> bool {
    creator.group.is_none_or(|group| check_group(token, group).is_ok())
}

/// Sets a file's mode, and the DACL of its descriptor if one is stored.
fn set(handle: &dyn Handle, token: &Token, mode: u32) -> Result<(), NtStatus> {
    let before = stored(handle);
    let stat = handle.stat().or_status()?;
    let own = own_bits(token, &stat, !matches!(handle.security_record(), Ok(None)));
    if mode & own != own {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    handle.set_mode(settable(token, &stat, mode)).or_status()?;
    let before = match before {
        Stored::Descriptor(descriptor) => descriptor,
        // An outdated record may be of just this mode.
        Stored::Nothing if stored(handle) == Stored::Nothing => return Ok(()),
        Stored::Nothing | Stored::Unreadable => made_up(handle, token)?,
    };
    store(handle, &of_mode(handle, token, &before)?).or_status()
}

/// The descriptor with the DACL that the file's mode says. What a directory's children inherit stays.
fn of_mode(
    handle: &dyn Handle,
    token: &Token,
    before: &SecurityDescriptor,
) -> Result<SecurityDescriptor, NtStatus> {
    let stat = handle.stat().or_status()?;
    let permissions = handle.posix_permissions().or_status()?;
    let owner = before.owner.unwrap_or_else(|| token.owner_of(&stat));
    let group = before.group.unwrap_or_else(|| token.group_of(&stat));
    let mut said = posix::describe(&stat, (owner, group), token, permissions.as_ref());
    let passed_on = AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT;
    let kept = before.dacl.iter().flat_map(|dacl| &dacl.aces).filter(|ace| ace.flags.intersects(passed_on));
    let kept: Vec<_> = kept.cloned().collect();
    let dacl = said.dacl.get_or_insert_with(Acl::default);
    dacl.aces.retain(|ace| !ace.flags.intersects(passed_on));
    dacl.aces.extend(kept.into_iter().map(|mut ace| {
        ace.flags |= AceFlags::INHERIT_ONLY;
        ace
    }));
    Ok(before.replaced(&said, AdditionalInformation::DACL))
}

/// The bits of a mode that a client may set: the permissions; for directories also the sticky bit, and S_ISGID for
/// those who are in the group. A set-id bit of a file can only be kept, and only by those for whom chmod(2) keeps it: it
/// may have been cleared since `stat`, by a write.
fn settable(token: &Token, stat: &Stat, mode: u32) -> u32 {
    let mut bits = PERMISSIONS;
    if token.is(Sid::unix_user(stat.uid)) {
        bits |= stat.mode & SET_USER;
    }
    if token.is(Sid::unix_group(stat.gid)) {
        bits |= stat.mode & SET_GROUP;
    }
    if stat.is_directory() {
        bits |= STICKY | stat.mode & (SET_USER | SET_GROUP);
        if token.is(Sid::unix_group(stat.gid)) || token.privileges().contains(Privileges::RESTORE) {
            bits |= SET_GROUP;
        }
    }
    mode & bits
}

/// The bits of a file's mode without which the server could not read its descriptor any more or, if the file has
/// attributes of the server, set them.
fn own_bits(token: &Token, stat: &Stat, has_attributes: bool) -> u32 {
    match token.is_servers_own(stat) {
        true if has_attributes => OWNER_READS | OWNER_WRITES,
        true => OWNER_READS,
        false => 0,
    }
}

/// Refuses a group that the user is not in, as chown(2) does.
fn check_group(token: &Token, group: Sid) -> Result<(), NtStatus> {
    if token.may_give(group) { Ok(()) } else { Err(NtStatus::INVALID_OWNER) }
}

/// Gives a file to another Unix group.
fn own_group(handle: &dyn Handle, gid: u32) -> Result<(), NtStatus> {
    if handle.stat().or_status()?.gid == gid {
        return Ok(());
    }
    // The stored descriptor still counts: it says the same of the group.
    super::keeping(handle, || handle.set_group(gid)).or_status()
}

/// The Unix group that a SID stands for.
fn unix_group(token: &Token, sid: Sid) -> Option<u32> {
    match sid.sub_authorities() {
        [_, gid] if sid == Sid::unix_group(*gid) => Some(*gid),
        _ => token.gid(sid),
    }
}

const OWNER_READS: u32 = 0o400;
const OWNER_WRITES: u32 = 0o200;
const STICKY: u32 = 0o1000;
const SET_GROUP: u32 = 0o2000;
const SET_USER: u32 = 0o4000;

/// Metadata for tests: a file of root without permissions.
#[cfg(test)]
pub(super) fn stat_for_tests() -> Stat {
    Stat {
        device: 1,
        inode: 2,
        size: 0,
        allocation: 0,
        links: 1,
        kind: vfs::Kind::File,
        created: wire::FileTime::NONE,
        accessed: wire::FileTime::NONE,
        modified: wire::FileTime::NONE,
        changed: wire::FileTime::NONE,
        attributes: wire::FileAttributes::NORMAL,
        reparse_tag: 0,
        mode: 0,
        uid: 0,
        gid: 0,
    }
}

#[cfg(test)]
mod tests {
    use auth::IdentityKind;
    use vfs::{Actor, Backend as _, Kind, MemBackend, RelativePath, Wanted};
    use wire::FileAttributes;

    use super::*;

    #[test]
    fn only_members_of_the_group_set_its_bit_and_nobody_sets_set_id_bits_of_files() {
        let of = |uid, kind, mode, gid| Stat { kind, mode, uid, gid, ..stat_for_tests() };
        let stat = |kind, mode, gid| of(7, kind, mode, gid);
        let token = Token::new(IdentityKind::User, &Actor::user(7, 7, vec![8]), &[], false);
        for (stat, set) in [
            (stat(Kind::File, 0o644, 8), 0o777),
            (stat(Kind::File, 0o4644, 8), 0o4777),
            (of(9, Kind::File, 0o4644, 8), 0o777),
            (stat(Kind::File, 0o2654, 8), 0o2777),
            (stat(Kind::File, 0o2654, 9), 0o777),
            (stat(Kind::Directory, 0o755, 8), 0o3777),
            (stat(Kind::Directory, 0o755, 9), 0o1777),
            (stat(Kind::Directory, 0o2755, 9), 0o3777),
        ] {
            assert_eq!(settable(&token, &stat, 0o7777), set, "{stat:?}");
        }
    }

    #[test]
    fn a_chgrp_that_the_file_system_refuses_leaves_the_descriptor_alone() {
        let (backend, actor) = (MemBackend::new(), Actor::user(7, 7, vec![8]));
        let token = Token::new(IdentityKind::User, &actor, &[], false);
        let path = RelativePath::new("f").unwrap();
        let file = backend.create_file(&actor, &path, FileAttributes::NONE, Wanted::BOTH).unwrap().handle;
        let group = SecurityDescriptor { group: Some(Sid::unix_group(8)), ..SecurityDescriptor::default() };
        let outcome = change(Machine([1, 2, 3]), &token, &*file, AdditionalInformation::GROUP, group);
        assert_eq!(outcome, Err(NtStatus::NOT_SUPPORTED));
        assert_eq!(file.security_record().unwrap(), None);
    }
}
