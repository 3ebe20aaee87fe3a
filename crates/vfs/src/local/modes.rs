//! The modes of new files and directories for which the client has not named one.

use super::resolve::Root;
use super::xattr::{self, Node};
use crate::backend::Actor;
use crate::error::Result;
use crate::stat::Kind;
use rustix::fs::{Mode, Statx};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// The modes of new files and directories.
///
/// By default, a server of root makes files 0644 and directories 0755, whatever its umask is, because its umask is not
/// that of the users. In a directory that passes its group on and that the group may write (`chmod g+ws`), the group may
/// write the new ones as well: 0664 and 0775. Other servers make 0664 and 0775 less their umask.
///
/// If the directory has a default ACL, the ACL takes permissions away from the mode (by default from 0664 and 0775), and
/// the umask does not count: that is the kernel's rule for all programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// The permission bits of new files; `None` for the default.
    pub file: Option<u32>,
    /// The permission bits of new directories, with the sticky bit and S_ISGID; `None` for the default.
    pub directory: Option<u32>,
    /// True if new directories have the mode of their directory, and new files its permissions to read and write.
    pub inherited: bool,
}

/// The mode of one new file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewMode {
    /// The bits for open(2) or mkdir(2).
    pub(super) bits: u32,
    /// The bits that it has in a directory without a default ACL; `None` if the process's umask decides.
    exact: Option<u32>,
}

impl Modes {
    /// The mode of a new file or directory in a directory with the mode `parent`. `is_users`: the server acts as its
    /// users, so its umask does not count.
    pub(super) fn of_new(&self, kind: Kind, parent: u32, is_users: bool) -> NewMode {
        let is_directory = kind == Kind::Directory;
        let exact = |bits| NewMode { bits, exact: Some(bits) };
        if self.inherited {
            return exact(match is_directory {
                true => parent & DIRECTORY_BITS | OWNER_OF_DIRECTORY,
                false => parent & READ_AND_WRITE | OWNER_OF_FILE,
            });
        }
        match if is_directory { self.directory } else { self.file } {
            Some(mode) => exact(mode & if is_directory { DIRECTORY_BITS } else { PERMISSIONS }),
            None => {
                let bits = if is_directory { 0o775 } else { 0o664 };
                let is_shared = parent & SET_GROUP != 0 && parent & GROUP_WRITES != 0;
                let kept = if is_shared { bits } else { bits & !GROUP_WRITES };
                NewMode { bits, exact: is_users.then_some(kept) }
            }
        }
    }
}

impl NewMode {
    /// A mode that a client has named: the caller sets it.
    pub(super) fn named(bits: u32) -> Self {
        Self { bits, exact: None }
    }

    /// Gives a new file or directory of `actor` the bits that the process's umask took away, or that mkdir(2) ignores.
    /// The thread acts as the process.
    pub(super) fn complete(
        self,
        root: &Root,
        actor: &Actor,
        parent: Node<'_>,
        (fd, raw): (BorrowedFd<'_>, &Statx),
    ) -> Result<()> {
        let Some(exact) = self.exact else { return Ok(()) };
        // A directory has S_ISGID from its own directory.
        let given = u32::from(raw.stx_mode) & ALL_BITS;
        let wanted = exact | given & SET_GROUP;
        if given == wanted || has_default_acl(parent)? {
            return Ok(());
        }
        let change = || rustix::fs::fchmod(fd, Mode::from_raw_mode(wanted));
        let changed = match change() {
            // Network file systems may give root fewer rights than the owner.
            Err(Errno::PERM | Errno::ACCESS) => {
                let _guard = root.credentials.assume(actor)?;
                change()
            }
            result => result,
        };
        match changed {
            // The file system has no modes, or its own.
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }
}

fn has_default_acl(directory: Node<'_>) -> Result<bool> {
    Ok(xattr::get(directory, xattr::POSIX_DEFAULT_ACL)?.is_some())
}

const PERMISSIONS: u32 = 0o777;
const READ_AND_WRITE: u32 = 0o666;
const GROUP_WRITES: u32 = 0o020;
const SET_GROUP: u32 = 0o2000;
/// S_ISUID has no effect on directories, and is not passed on.
const DIRECTORY_BITS: u32 = 0o3777;
const ALL_BITS: u32 = 0o7777;
/// The owner's rights that the server needs to initialize a new file or directory.
pub(super) const OWNER_OF_FILE: u32 = 0o600;
pub(super) const OWNER_OF_DIRECTORY: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(modes: Modes, kind: Kind, parent: u32) -> Option<u32> {
        modes.of_new(kind, parent, true).exact
    }

    #[test]
    fn groups_write_new_files_only_in_directories_that_are_theirs() {
        let modes = Modes::default();
        for (parent, file, directory) in [
            (0o755, 0o644, 0o755),
            (0o777, 0o644, 0o755),
            (0o2755, 0o644, 0o755),
            (0o2775, 0o664, 0o775),
            (0o3770, 0o664, 0o775),
        ] {
            assert_eq!(exact(modes, Kind::File, parent), Some(file), "{parent:o}");
            assert_eq!(exact(modes, Kind::Directory, parent), Some(directory), "{parent:o}");
        }
        let of_ordinary_user = modes.of_new(Kind::File, 0o2775, false);
        assert_eq!(of_ordinary_user, NewMode { bits: 0o664, exact: None }, "its umask decides");
    }

    #[test]
    fn set_and_inherited_modes_have_no_other_bits() {
        let set = Modes { file: Some(0o4640), directory: Some(0o6770), inherited: false };
        assert_eq!(exact(set, Kind::File, 0o3777), Some(0o640));
        assert_eq!(exact(set, Kind::Directory, 0o755), Some(0o2770));
        let inherited = Modes { inherited: true, ..Modes::default() };
        assert_eq!(exact(inherited, Kind::File, 0o6751), Some(0o640));
        assert_eq!(exact(inherited, Kind::Directory, 0o7751), Some(0o3751));
    }
}
