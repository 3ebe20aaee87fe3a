//! The conversion of a server's metadata to that of Linux.

use std::time::{Duration, SystemTime};

use client::smb::Created;
use fuser::{Errno, FileAttr, FileType, INodeNo};
use wire::fscc::DirectoryEntry;
use wire::fscc::file_info::{BasicInfo, StandardInfo};
use wire::layout::FixedLayout as _;
use wire::posix::PosixInfo;
use wire::{DecodeError, FileAttributes, FileTime};

use crate::identity::Identity;
use crate::modes::Unix;

/// The metadata that a server reports for a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) attributes: FileAttributes,
    pub(crate) size: u64,
    pub(crate) allocation: u64,
    pub(crate) created: FileTime,
    pub(crate) accessed: FileTime,
    pub(crate) modified: FileTime,
    pub(crate) changed: FileTime,
    /// True for a symbolic link.
    pub(crate) symlink: bool,
    /// The number of names; `None` if unknown.
    pub(crate) links: Option<u32>,
    /// The identity of the file.
    pub(crate) identity: Identity,
    /// The mode and the owners; `None` if the server lacks the POSIX extensions.
    pub(crate) unix: Option<Unix>,
}

/// The owner and the restrictions of the files shown if the server reports no modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) read_only: bool,
    /// The user's uid on the server; `None` if unknown. Files of that uid are shown as files of `uid`.
    pub(crate) on_server: Option<u32>,
    /// True if other users of this machine have access. The server's numbers of users and groups must not count as this
    /// machine's then: the numbers of strangers would make them owners.
    pub(crate) others: bool,
}

/// The user and the group of no one, which Linux shows for numbers without a meaning on this machine (overflowuid).
pub(crate) const NOBODY: u32 = 65_534;

impl From<&Created> for Facts {
    fn from(created: &Created) -> Self {
        Self {
            attributes: created.attributes,
            size: created.end_of_file,
            allocation: created.allocation_size,
            created: created.creation_time,
            accessed: created.last_access_time,
            modified: created.last_write_time,
            changed: created.change_time,
            symlink: false,
            links: created.contexts.posix.map(|posix| posix.links),
            identity: Identity::of(created),
            unix: created.contexts.posix.as_ref().map(Unix::from),
        }
    }
}

impl From<&DirectoryEntry<'_>> for Facts {
    fn from(entry: &DirectoryEntry<'_>) -> Self {
        Self {
            attributes: entry.attributes,
            size: entry.size,
            allocation: entry.allocation_size,
            created: entry.created,
            accessed: entry.accessed,
            modified: entry.modified,
            changed: entry.changed,
            symlink: false,
            links: entry.posix.map(|posix| posix.links),
            identity: Identity::default(),
            unix: entry.posix.as_ref().map(Unix::from),
        }
    }
}

impl Facts {
    /// Decodes a FileAllInformation, or the start of one (MS-FSCC 2.4.2).
    pub(crate) fn of_all(info: &[u8]) -> Result<Self, DecodeError> {
        let basic = BasicInfo::decode(info)?;
        let standard = StandardInfo::decode(info.get(BasicInfo::SIZE..).unwrap_or_default())?;
        Ok(Self {
            attributes: basic.attributes,
            size: standard.end_of_file,
            allocation: standard.allocation_size,
            created: basic.created,
            accessed: basic.accessed,
            modified: basic.modified,
            changed: basic.changed,
            symlink: false,
            links: Some(links(&standard)),
            identity: Identity::default(),
            unix: None,
        })
    }

    /// Checks that the sizes are valid for Linux: the kernel would refuse a whole directory because of one
    /// larger file (MS-FSCC 2.4.29 has signed sizes as well).
    pub(crate) fn possible(self) -> Result<Self, Errno> {
        let fits = |bytes: u64| i64::try_from(bytes).is_ok();
        if fits(self.size) && fits(self.allocation) { Ok(self) } else { Err(Errno::EIO) }
    }

    /// The kind of the file. The server resolves reparse points other than symbolic links.
    pub(crate) fn kind(&self) -> FileType {
        if self.symlink {
            FileType::Symlink
        } else if self.attributes.contains(FileAttributes::DIRECTORY) {
            FileType::Directory
        } else {
            FileType::RegularFile
        }
    }

    /// True for a reparse point; its tag determines the kind.
    pub(crate) fn is_reparse_point(&self) -> bool {
        self.attributes.contains(FileAttributes::REPARSE_POINT)
    }

    /// The permission bits; from a server with modes also the set-id bits and the sticky bit. READONLY clears the
    /// write bits of a file; for a directory it has another meaning (MS-FSCC 2.6).
    pub(crate) fn permissions(&self, view: &View) -> u16 {
        let unix =
            self.unix.map(|unix| if view.others { self.for_others(unix.mode, view) } else { unix.mode });
        let all = match (self.kind(), unix) {
            (FileType::Symlink, _) => return 0o777,
            (FileType::Directory, Some(mode)) => return mode,
            (_, Some(mode)) if self.attributes.contains(FileAttributes::READONLY) => return mode & !0o222,
            (_, Some(mode)) => return mode,
            (FileType::Directory, None) => return if view.read_only { 0o555 } else { 0o755 },
            _ => 0o755,
        };
        let writable = !view.read_only && !self.attributes.contains(FileAttributes::READONLY);
        if writable { all } else { all & 0o555 }
    }

    /// A mode if other users of this machine have access: it permits them what it permits everyone except writing, as if
    /// they were in no group of the server. Nobody here is the owner of a file of another user.
    fn for_others(&self, mode: u16, view: &View) -> u16 {
        let everyone = mode & 0o5;
        let owner = if self.is_of_another(view) { everyone << 6 } else { mode & 0o700 };
        (mode & 0o7000) | owner | (everyone << 3) | everyone
    }

    /// The mode for the server if a program asks for this one. Programs compute it from the mode that is shown: the
    /// permissions that it leaves as they are shown stay as they are on the server, unless it takes all that
    /// is shown from the owner, the group or the others.
    pub(crate) fn asked_mode(&self, asked: u32, view: &View) -> u32 {
        let Some(unix) = self.unix.filter(|_| view.others) else { return asked };
        let shown = u32::from(self.for_others(unix.mode, view));
        let not_taken = |class: &u32| asked & class != 0 || shown & class == 0;
        let classes = [0o700, 0o070, 0o007].into_iter().filter(not_taken);
        let kept = !(asked ^ shown) & classes.fold(0, |all, class| all | class);
        (asked & !kept) | (u32::from(unix.mode) & kept)
    }

    /// True if the server has modes and does not say that the file is the user's.
    fn is_of_another(&self, view: &View) -> bool {
        let owner = self.unix.map(|unix| unix.uid);
        owner.is_some_and(|uid| uid.is_none() || uid != view.on_server)
    }

    /// The attributes for `stat`.
    pub(crate) fn shown(&self, number: INodeNo, view: &View) -> FileAttr {
        let directory = self.kind() == FileType::Directory;
        let unix = self.unix.filter(|_| !view.others);
        let nobody = self.unix.filter(|_| view.others).map(|_| NOBODY);
        FileAttr {
            ino: number,
            size: if directory { 0 } else { self.size },
            blocks: self.allocation.max(if directory { 0 } else { 1.min(self.size) }).div_ceil(512),
            atime: time(self.accessed),
            mtime: time(self.modified),
            ctime: time(self.changed),
            crtime: time(self.created),
            kind: self.kind(),
            perm: self.permissions(view),
            nlink: if directory { 2 } else { self.links.unwrap_or(1) },
            uid: unix
                .and_then(|unix| unix.uid)
                .or(nobody)
                .filter(|_| self.is_of_another(view))
                .unwrap_or(view.uid),
            gid: unix.and_then(|unix| unix.gid).or(nobody).unwrap_or(view.gid),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl From<&PosixInfo> for Facts {
    fn from(info: &PosixInfo) -> Self {
        Self {
            attributes: info.attributes,
            size: info.size,
            allocation: info.allocation_size,
            created: info.created,
            accessed: info.accessed,
            modified: info.modified,
            changed: info.changed,
            symlink: false,
            links: Some(info.posix.links),
            identity: Identity::default(),
            unix: Some(Unix::from(&info.posix)),
        }
    }
}

/// The number of names of a file. It is at least one unless the file is being deleted, because some servers
/// do not count.
pub(crate) fn links(standard: &StandardInfo) -> u32 {
    standard.number_of_links.max(u32::from(!standard.delete_pending))
}

/// Converts a time from the wire.
pub(crate) fn time(time: FileTime) -> SystemTime {
    if time == FileTime::NONE {
        return SystemTime::UNIX_EPOCH;
    }
    let (seconds, nanoseconds) = time.to_unix();
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    let time = start.and_then(|start| start.checked_add(Duration::from_nanos(nanoseconds.into())));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Converts a time for the wire.
pub(crate) fn wire_time(time: SystemTime) -> FileTime {
    let (seconds, nanoseconds) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX).saturating_neg();
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanoseconds => (seconds.saturating_sub(1), 1_000_000_000u32.saturating_sub(nanoseconds)),
            }
        }
    };
    FileTime::from_unix(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View { uid: 7, gid: 8, read_only: false, on_server: Some(70), others: false };

    #[test]
    fn times_round_trip_in_units_of_100_nanoseconds() {
        for (seconds, nanoseconds) in [(0, 100), (1_700_000_000, 123_456_700), (4_000_000_000, 999_999_900)] {
            let there = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(time(wire_time(there)), there);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::new(1, 500_000_000);
        assert_eq!(time(wire_time(before)), before);
    }

    #[test]
    fn only_the_read_only_attribute_of_files_changes_the_mode() {
        let facts = |attributes| Facts { attributes, size: 1, ..Facts::default() };
        assert_eq!(facts(FileAttributes::ARCHIVE).permissions(&VIEW), 0o755);
        assert_eq!(facts(FileAttributes::READONLY).permissions(&VIEW), 0o555);
        assert_eq!(facts(FileAttributes::READONLY | FileAttributes::DIRECTORY).permissions(&VIEW), 0o755);
        let read_only = View { read_only: true, ..VIEW };
        assert_eq!(facts(FileAttributes::NORMAL).permissions(&read_only), 0o555);
    }

    #[test]
    fn a_server_with_modes_says_whose_a_file_is_and_what_it_permits() {
        let shown = |mode, uid, attributes| {
            let unix = Some(Unix { mode, uid, gid: Some(90) });
            let shown = Facts { unix, attributes, ..Facts::default() }.shown(INodeNo(5), &VIEW);
            (shown.perm, shown.uid, shown.gid)
        };
        assert_eq!(shown(0o640, Some(71), FileAttributes::ARCHIVE), (0o640, 71, 90));
        assert_eq!(shown(0o640, Some(70), FileAttributes::READONLY), (0o440, 7, 90));
        assert_eq!(shown(0o1777, None, FileAttributes::DIRECTORY), (0o1777, 7, 90));
    }

    #[test]
    fn numbers_of_the_server_give_other_users_of_this_machine_no_rights() {
        let shown = |mode, uid, on_server| {
            let unix = Some(Unix { mode, uid, gid: Some(90) });
            let view = View { others: true, on_server, ..VIEW };
            let shown = Facts { unix, ..Facts::default() }.shown(INodeNo(5), &view);
            (shown.perm, shown.uid, shown.gid)
        };
        assert_eq!(shown(0o664, Some(70), Some(70)), (0o644, 7, NOBODY));
        assert_eq!(shown(0o660, Some(70), Some(70)), (0o600, 7, NOBODY));
        assert_eq!(shown(0o666, Some(71), Some(70)), (0o444, NOBODY, NOBODY));
        assert_eq!(shown(0o700, None, Some(70)), (0, NOBODY, NOBODY));
        for uid in [Some(70), None] {
            assert_eq!(shown(0o1777, uid, None), (0o1555, NOBODY, NOBODY));
        }
        let asked = |mode, asked| {
            let unix = Some(Unix { mode, uid: Some(70), gid: None });
            let view = View { others: true, ..VIEW };
            Facts { unix, ..Facts::default() }.asked_mode(asked, &view)
        };
        for (mode, wanted, sent) in [
            (0o664, 0o744, 0o764),
            (0o604, 0o744, 0o704),
            (0o664, 0o644, 0o664),
            (0o660, 0o604, 0o664),
            (0o660, 0o700, 0o760),
            (0o666, 0o640, 0o660),
        ] {
            assert_eq!(asked(mode, wanted), sent, "{mode:o} {wanted:o}");
        }
        // Without modes, all files are the user's.
        let view = View { others: true, ..VIEW };
        let plain = Facts::default().shown(INodeNo(5), &view);
        assert_eq!((plain.perm, plain.uid, plain.gid), (0o755, 7, 8));
    }

    #[test]
    fn impossible_sizes_are_an_error() {
        let facts = |size, allocation| Facts { size, allocation, ..Facts::default() };
        assert!(facts(i64::MAX as u64, i64::MAX as u64).possible().is_ok());
        for impossible in [facts(1 << 63, 0), facts(0, u64::MAX)] {
            assert_eq!(impossible.possible().unwrap_err().code(), Errno::EIO.code());
        }
    }

    #[test]
    fn the_link_count_is_that_of_the_server() {
        let standard = |number_of_links, delete_pending| {
            let mut info = Vec::new();
            BasicInfo::default().encode(&mut info);
            let standard =
                StandardInfo { number_of_links, delete_pending, end_of_file: 7, ..StandardInfo::default() };
            standard.encode(&mut info);
            info
        };
        for (info, shown) in [
            (standard(3, false), 3),
            (standard(0, true), 0),
            // The server does not count links.
            (standard(0, false), 1),
        ] {
            let facts = Facts::of_all(&info).unwrap();
            let attributes = facts.shown(INodeNo(5), &VIEW);
            assert_eq!((attributes.nlink, attributes.size), (shown, 7));
        }
        Facts::of_all(&standard(1, false)[..50]).unwrap_err();
    }

    #[test]
    fn kinds() {
        let link =
            Facts { attributes: FileAttributes::REPARSE_POINT, symlink: true, size: 3, ..Facts::default() };
        assert_eq!(link.shown(INodeNo(5), &VIEW).kind, FileType::Symlink);
        let directory = Facts { attributes: FileAttributes::DIRECTORY, ..Facts::default() };
        let shown = directory.shown(INodeNo(5), &VIEW);
        assert_eq!((shown.kind, shown.size, shown.uid, shown.gid), (FileType::Directory, 0, 7, 8));
    }
}
