//! The lifetime of an open, and the access of other clients meanwhile.
//!
//! SQLite's write-ahead log needs memory that is shared by all processes using the database: they map the
//! file `NAME-shm` and lock single bytes of it. Over SMB that fails for two reasons. Locks are binding for
//! the server, so pages of the file can be neither read nor written while any process has a lock in them. And
//! changes in a mapping on one machine are not visible on another machine, although the locks work across
//! both: two machines would overwrite each other's log.
//!
//! So a file of such a name is opened exclusively for this machine. While a process here may write to it, the
//! server refuses all other machines (a sharing violation, EBUSY here), and the locks are kept locally. All
//! processes of the mount share one open at the server, in which no lock conflicts. When the connection is
//! lost, exclusivity is lost, too: all opens of the file return EIO until they are closed. Before a lock is
//! granted, a request for that open verifies that the server still has it.
//!
//! The log itself, `NAME-wal`, has no locks. If an open of it survived a lost connection, it could write into
//! a log that another machine has taken over; so it ends with the connection as well.

use std::sync::Arc;

use client::smb::CreateParameters;
use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenFlags};
use wire::ShareAccess;

use crate::files::{OpenFile, opening};
use crate::volume::Volume;

/// The lifetime of an open, and the access of other clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// Others may have the file open; it is reopened after the connection was lost.
    Shared,
    /// Others may have the file open; the open ends with the connection.
    Once,
    /// No other machine may have the file open; the open ends with the connection.
    Alone,
}

impl Tenure {
    /// The tenure of an open of the file at a path.
    pub(crate) fn of(path: &str, writes: bool) -> Self {
        match writes {
            true if path.ends_with(SHARED_MEMORY) => Self::Alone,
            true if path.ends_with(LOG) => Self::Once,
            _ => Self::Shared,
        }
    }

    /// The access that others may have to the file.
    pub(crate) fn share(self) -> ShareAccess {
        match self {
            // Renaming and deleting stay possible.
            Self::Alone => ShareAccess::DELETE,
            Self::Shared | Self::Once => ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE,
        }
    }
}

impl Volume {
    /// Opens a file exclusively for this machine, or joins an existing exclusive open.
    pub(crate) async fn open_alone(
        &self,
        number: INodeNo,
        flags: OpenFlags,
    ) -> Result<(FileHandle, FopenFlags), Errno> {
        let _turn = self.files.alone.lock().await;
        let told = self.unflushed.opened(number);
        let mut joined = None;
        for other in self.files.of(number) {
            // An open whose connection is lost does not count; its processes will close it.
            if other.tenure == Tenure::Alone && self.through(&other).await.is_ok() {
                joined = Some(other);
                break;
            }
        }
        let open = match joined {
            Some(other) => OpenFile::joining(&other, flags, told),
            None => {
                let live = self.live().await?;
                let how = CreateParameters { share: Tenure::Alone.share(), ..opening("", true, true) };
                let file = self.open_latest(&live, number, &how).await?;
                OpenFile::new(number, flags, file, &live, told, Tenure::Alone)
            }
        };
        let how = open.how();
        Ok((self.files.add(open), how))
    }

    /// True if the handle's file is open exclusively for this machine.
    pub(crate) fn is_alone(&self, handle: FileHandle) -> bool {
        self.files.get(handle).is_ok_and(|open: Arc<OpenFile>| open.tenure == Tenure::Alone)
    }
}

/// The endings of SQLite's names for shared memory and for write-ahead logs
/// (<https://sqlite.org/walformat.html>).
const SHARED_MEMORY: &str = "-shm";
const LOG: &str = "-wal";
