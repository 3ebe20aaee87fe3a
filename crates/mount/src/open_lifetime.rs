//! How long an open lasts, and who else may have the file open meanwhile.
//!
//! SQLite's write-ahead log needs memory that all processes using the database share: they map the file `NAME-shm` and
//! lock single bytes of it. Over SMB that goes wrong twice. A lock is binding for the server, so that pages of the file
//! can neither be read nor written while any process has a lock in them. And what a process on one machine changes in
//! its mapping, another machine does not see, although the locks look as if it did: two machines would overwrite each
//! other's log.
//!
//! So a file of such a name is opened for this machine alone. As long as anybody here may write to it, the server
//! refuses everybody else (a sharing violation, EBUSY here), and the locks need not leave this machine. All processes
//! of the mount share one open of the server's, in which no lock is in the way. Once the connection is lost the claim
//! is lost, too: whoever has the file open then gets EIO until it is closed. No lock is granted before the server has
//! been asked something about that open, which shows that it still has it.
//!
//! The log itself, `NAME-wal`, has no locks of its own. An open of it that could go on after a lost connection would
//! write into a log that another machine has taken over by then, so it ends as well.

use std::sync::Arc;

use client::smb::CreateParameters;
use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenFlags};
use wire::ShareAccess;

use crate::files::{OpenFile, opening};
use crate::volume::Volume;

/// How long an open lasts, and who else may have the file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// Others may have it open, and it is opened again when the connection was lost.
    Shared,
    /// Others may have it open. It ends with the connection.
    Once,
    /// Nobody else may have it open. It ends with the connection.
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

    /// Who else may have the file open.
    pub(crate) fn share(self) -> ShareAccess {
        match self {
            // It may be given another name and be deleted.
            Self::Alone => ShareAccess::DELETE,
            Self::Shared | Self::Once => ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE,
        }
    }
}

impl Volume {
    /// Opens a file for this machine alone, or joins the open there is of that kind.
    pub(crate) async fn open_alone(
        &self,
        number: INodeNo,
        flags: OpenFlags,
    ) -> Result<(FileHandle, FopenFlags), Errno> {
        let _turn = self.files.alone.lock().await;
        let told = self.unflushed.opened(number);
        let mut joined = None;
        for other in self.files.of(number) {
            // One that its connection has left is closed by those who have it, sooner or later.
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

    /// Whether the file behind a handle is open for this machine alone.
    pub(crate) fn is_alone(&self, handle: FileHandle) -> bool {
        self.files.get(handle).is_ok_and(|open: Arc<OpenFile>| open.tenure == Tenure::Alone)
    }
}

/// How SQLite's names end of the files that processes map together, and of those that are write-ahead logs
/// (<https://sqlite.org/walformat.html>).
const SHARED_MEMORY: &str = "-shm";
const LOG: &str = "-wal";
