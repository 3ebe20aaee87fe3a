//! Journals: files beside a locked file, whose presence and size describe its state.
//!
//! The kernel caches names and attributes for a second, which a process that has locked a database must not
//! rely on: SQLite checks for a journal right after it has the lock, and must undo the changes that another
//! client recorded there before it lost its connection. So a granted lock invalidates the kernel's cache of
//! the journals as well as of the file itself.

use std::ffi::OsString;

use fuser::{FileHandle, INodeNo};

use crate::names;
use crate::volume::Volume;

impl Volume {
    /// Makes the kernel query a file and its journals again after a lock of the file was granted: the
    /// previous holder of the lock may have changed them.
    pub(crate) async fn forget_guarded(&self, number: INodeNo, handle: FileHandle) {
        if self.is_alone(handle) {
            // No other client had the file open.
            return;
        }
        self.invalidate(number).await;
        let Some(notifier) = self.notifier.get() else { return };
        for (parent, name, journal) in self.journals(number) {
            self.invalidate(journal).await;
            let notifier = notifier.clone();
            // An error means that the kernel does not know the name, and so will query it anyway.
            tokio::task::spawn_blocking(move || notifier.inval_entry(parent, &name).ok()).await.ok();
        }
    }

    /// The journals of a file that the kernel knows: their directories, names and numbers.
    fn journals(&self, number: INodeNo) -> Vec<(INodeNo, OsString, INodeNo)> {
        let inodes = self.inodes();
        let names = inodes.names(number);
        let possible = names.iter().flat_map(|((parent, name), _)| {
            ENDINGS.iter().map(move |ending| (INodeNo(*parent), format!("{name}{ending}")))
        });
        let known = possible.filter_map(|(parent, name)| {
            let journal = inodes.number(parent, &name)?;
            Some((parent, names::from_server(&name)?.into(), journal))
        });
        known.collect()
    }
}

/// The endings that SQLite appends to the name of a database for its journals.
const ENDINGS: &[&str] = &["-journal", "-wal"];
