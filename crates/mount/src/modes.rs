//! Modes and owners of servers with the POSIX extensions.

use client::smb::{ClientTree, CreateParameters};
use fuser::{AccessFlags, Errno, FileHandle, FileType, INodeNo};
use wire::create_context::CreateContextsRequest;
use wire::msg::CreateOptions;
use wire::posix::PosixAttributes;
use wire::security::Sid;
use wire::{AccessMask, FileAttributes, FileTime};

use crate::attributes::{Facts, View};
use crate::identity;
use crate::volume::Volume;

/// The mode and the owners of a file on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unix {
    /// The permissions, the set-id bits and the sticky bit.
    pub(crate) mode: u16,
    /// The owner; `None` if the server has no Unix user for it.
    pub(crate) uid: Option<u32>,
    /// The group; `None` if the server has no Unix group for it.
    pub(crate) gid: Option<u32>,
}

impl From<&PosixAttributes> for Unix {
    fn from(attributes: &PosixAttributes) -> Self {
        Self {
            mode: u16::try_from(attributes.mode.permissions()).unwrap_or_default(),
            uid: unix_id(attributes.owner, USERS),
            gid: unix_id(attributes.group, GROUPS),
        }
    }
}

impl Volume {
    /// Changes a file's mode. Returns the new value of the read-only attribute if it has to change.
    ///
    /// Without the POSIX extensions, that attribute is all of a mode that the server stores. With them, a mode with a
    /// write bit clears it, and no mode sets it.
    pub(crate) async fn change_mode(
        &self,
        number: INodeNo,
        handle: Option<FileHandle>,
        mode: u32,
    ) -> Result<Option<bool>, Errno> {
        let facts = self.attributes(number, handle).await?;
        let is_read_only = facts.attributes.contains(FileAttributes::READONLY);
        let wants_read_only = mode & WRITE_BITS == 0;
        if facts.unix.is_none() {
            let is_file = facts.kind() == FileType::RegularFile;
            return Ok((is_file && wants_read_only != is_read_only).then_some(wants_read_only));
        }
        if !self.inodes().is_linked(number) {
            // A deleted file has no path, and its opens lack the right.
            return Ok(None);
        }
        let mode = facts.asked_mode(mode & MODE_BITS, &self.view);
        let access = AccessMask::WRITE_DAC | AccessMask::READ_ATTRIBUTES;
        let changed = self
            .with_number(number, access, CreateOptions::NONE, async |file| file.set_posix_mode(mode).await)
            .await;
        match changed {
            // The error of chmod(2) for a user who does not own the file.
            Err(errno) if errno.code() == Errno::EACCES.code() => return Err(Errno::EPERM),
            changed => changed?,
        };
        Ok((is_read_only && !wants_read_only).then_some(false))
    }
}

impl Volume {
    /// access(2), if the kernel does not decide by the shown mode: EACCES unless the server grants all that is asked for.
    pub(crate) async fn check_access(&self, number: INodeNo, asked: AccessFlags) -> Result<(), Errno> {
        if asked.is_empty() {
            return Ok(());
        }
        let (facts, granted) = if self.inodes().is_linked(number) {
            let live = self.live().await?;
            let contexts =
                CreateContextsRequest { maximal_access: Some(FileTime::NONE), ..identity::asking() };
            let access = AccessMask::READ_ATTRIBUTES;
            let options = CreateOptions::OPEN_REPARSE_POINT;
            let open = CreateParameters { access, options, contexts, ..CreateParameters::open("") };
            let file = self.open_number(&live, number, &open).await?;
            self.close(&live, &file).await;
            let told = file.created.contexts.maximal_access.filter(|told| told.status.is_success());
            (Facts::from(&file.created), told.map(|told| told.access))
        } else {
            (self.attributes(number, None).await?, None)
        };
        if grants(&facts, &self.view, granted, asked) { Ok(()) } else { Err(Errno::EACCES) }
    }
}

/// True if a file's metadata and the server's answer about the user's rights allow what is asked for. Without an answer,
/// the mode counts as that of the owner.
fn grants(facts: &Facts, view: &View, granted: Option<AccessMask>, asked: AccessFlags) -> bool {
    let mode = facts.permissions(view);
    let is_directory = facts.kind() == FileType::Directory;
    // Nobody runs a file without any such bit, and nobody writes to a file with the read-only attribute; servers do not
    // say so with the rights.
    let runs = is_directory || mode & 0o111 != 0;
    let writes = is_directory || !facts.attributes.contains(FileAttributes::READONLY);
    let may =
        |bit: u16, right: AccessMask| granted.map_or(mode & bit != 0, |granted| granted.contains(right));
    (!asked.contains(AccessFlags::R_OK) || may(0o400, AccessMask::READ_DATA))
        && (!asked.contains(AccessFlags::W_OK) || (writes && may(0o200, AccessMask::WRITE_DATA)))
        && (!asked.contains(AccessFlags::X_OK) || (runs && may(0o100, AccessMask::EXECUTE)))
}

/// The user's uid on a server with modes; `None` if it does not reveal it.
pub(crate) async fn user_on_server(tree: &ClientTree, user: &str) -> Option<u32> {
    let name = user.rsplit('\\').next().filter(|name| !name.is_empty())?;
    // Without an answer, the user's files are shown with the uid on the server.
    let sid = tree.session().sid_of(&format!(r"Unix User\{name}")).await.ok()??;
    unix_id(sid, USERS)
}

/// The number of a Unix user or group in its SID: Samba's form, or that of Microsoft's NFS server.
fn unix_id(sid: Sid, kind: u32) -> Option<u32> {
    match (sid.authority(), sid.sub_authorities()) {
        (22, [found, id]) | (5, [88, found, id]) if *found == kind => Some(*id),
        _ => None,
    }
}

const USERS: u32 = 1;
const GROUPS: u32 = 2;

pub(crate) const WRITE_BITS: u32 = 0o222;

/// The bits of a mode beside the kind of the file.
pub(crate) const MODE_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use wire::posix::{PosixKind, PosixMode};

    use super::*;

    #[test]
    fn access_is_what_the_server_grants() {
        let view = View { uid: 1, gid: 1, read_only: false, on_server: None, others: false };
        let facts = |mode, attributes| {
            let unix = Some(Unix { mode, uid: Some(7), gid: None });
            Facts { unix, attributes, ..Facts::default() }
        };
        let (file, read_only) = (FileAttributes::NORMAL, FileAttributes::READONLY);
        let reading = AccessMask::READ_DATA | AccessMask::EXECUTE;
        let rights = |mode, attributes, granted| {
            [AccessFlags::R_OK, AccessFlags::W_OK, AccessFlags::X_OK]
                .map(|asked| grants(&facts(mode, attributes), &view, granted, asked))
        };
        assert_eq!(rights(0o644, file, Some(AccessMask::FILE_ALL)), [true, true, false]);
        assert_eq!(rights(0o755, file, Some(reading)), [true, false, true]);
        assert_eq!(rights(0o777, file, Some(AccessMask::READ_ATTRIBUTES)), [false; 3]);
        assert_eq!(rights(0o755, read_only, Some(AccessMask::FILE_ALL)), [true, false, true]);
        assert_eq!(rights(0o555, FileAttributes::DIRECTORY, Some(AccessMask::FILE_ALL)), [true; 3]);
        assert_eq!(rights(0o540, file, None), [true, false, true]);
        let both = AccessFlags::R_OK | AccessFlags::W_OK;
        assert!(!grants(&facts(0o755, file), &view, Some(reading), both));
    }

    #[test]
    fn owners_are_unix_ids_where_the_server_says_so() {
        let told = |owner, group| {
            let mode = PosixMode::new(PosixKind::Directory, 0o1750);
            let unix = Unix::from(&PosixAttributes { mode, owner, group, ..PosixAttributes::default() });
            (unix.mode, unix.uid, unix.gid)
        };
        assert_eq!(told(Sid::unix_user(5), Sid::unix_group(6)), (0o1750, Some(5), Some(6)));
        assert_eq!(told(Sid::of(5, [88, 1, 7]), Sid::of(5, [88, 2, 8])), (0o1750, Some(7), Some(8)));
        assert_eq!(told(Sid::unix_group(5), Sid::of_domain([1, 2, 3], 513)), (0o1750, None, None));
    }
}
