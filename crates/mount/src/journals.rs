//! Journals: files beside a file that is locked, whose presence and size say what state it is in.
//!
//! The kernel believes names and attributes for a second. Whoever has locked a database must not: SQLite looks whether
//! there is a journal, right after it has the lock, and what another client wrote into one a moment ago, before it was
//! cut off, has to be undone before anything is read. So with a lock granted, what is known of the journals is forgotten
//! as well as what is known of the file itself.

use std::ffi::OsString;

use fuser::{FileHandle, INodeNo};

use crate::names;
use crate::volume::Volume;

impl Volume {
    /// A lock of this file was granted: what it guards may have been changed by whoever had it before. The kernel is to
    /// ask for it again.
    pub(crate) async fn forget_guarded(&self, number: INodeNo, handle: FileHandle) {
        if self.is_alone(handle) {
            // Nobody else had it.
            return;
        }
        self.invalidate(number).await;
        let Some(notifier) = self.notifier.get() else { return };
        for (parent, name, journal) in self.journals(number) {
            self.invalidate(journal).await;
            let notifier = notifier.clone();
            // The kernel refuses for what it does not know any more, and so asks for.
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

/// What SQLite puts behind the name of a database for those of its journals.
const ENDINGS: &[&str] = &["-journal", "-wal"];
