//! Answers to readdir: names only, or with all attributes for `stat`.
//!
//! A server's listing contains neither the number of links of a file nor the current size of an open file. So
//! entries with attributes are queried one by one, many at a time; the kernel requests attributes only when a
//! program needs them.
//! The listing of a server with the POSIX extensions says everything. It is believed as long as the kernel believes
//! attributes, except of files that are open here, which may have changed since.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{Errno, FileHandle, FileType, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};

use crate::attributes::Facts;
use crate::files::Entries;
use crate::inodes::UNKNOWN;
use crate::limits;
use crate::names::join;
use crate::volume::{Entry, Volume};

impl Volume {
    /// Adds names from a position on until the answer is full.
    pub(crate) async fn list_names(
        &self,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: &mut ReplyDirectory,
    ) -> Result<(), Errno> {
        let entries = self.entries(handle, offset).await?;
        for (next, listed) in positions(&entries.all, offset) {
            let full = match listed {
                Listed::Own(name) => {
                    let shown = if name == "." { number } else { UNKNOWN };
                    reply.add(shown, next, FileType::Directory, name)
                }
                Listed::Entry(entry) => {
                    let shown = self.inodes().listed(number, &entry.server_name, entry.facts.identity);
                    reply.add(shown, next, entry.facts.kind(), &entry.name)
                }
            };
            if full {
                break;
            }
        }
        Ok(())
    }

    /// Adds entries with attributes until the answer is full. Each added entry counts as a look-up.
    pub(crate) async fn list_all(
        self: &Arc<Self>,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<(), Errno> {
        let entries = self.entries(handle, offset).await?;
        let directory = self.path(number)?;
        let open = self.files.numbers();
        let mut rest = positions(&entries.all, offset);
        loop {
            let batch: Vec<_> = rest.by_ref().take(limits::LOOKS_AT_ONCE).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let looks = batch.into_iter().map(|(next, listed)| {
                let known = listed.known(&entries, |name| {
                    self.inodes().number(number, name).is_some_and(|number| open.contains(&number))
                });
                let look = if known.is_some() { None } else { self.start_look(&directory, listed) };
                (next, listed, known, look)
            });
            for (next, listed, known, look) in looks.collect::<Vec<_>>() {
                let found = match look {
                    Some(look) => look.await.map_err(|_| Errno::EIO)?.ok(),
                    None => known,
                };
                if self.add(number, next, listed, found, reply) {
                    return Ok(());
                }
            }
        }
    }

    fn start_look(
        self: &Arc<Self>,
        directory: &str,
        listed: Listed<'_>,
    ) -> Option<tokio::task::JoinHandle<Result<Facts, Errno>>> {
        let Listed::Entry(entry) = listed else { return None };
        let (volume, path) = (Arc::clone(self), join(directory, &entry.server_name));
        Some(tokio::spawn(async move { volume.stat(&path).await }))
    }

    /// Adds one entry; true if the answer is full.
    fn add(
        &self,
        number: INodeNo,
        next: u64,
        listed: Listed<'_>,
        found: Option<Facts>,
        reply: &mut ReplyDirectoryPlus,
    ) -> bool {
        let generation = Generation(0);
        let entry = match listed {
            // The directory itself and its parent do not count as look-ups (readdirplus of FUSE).
            Listed::Own(name) => {
                let own = Facts { attributes: wire::FileAttributes::DIRECTORY, ..Facts::default() };
                return reply.add(
                    number,
                    next,
                    name,
                    &Duration::ZERO,
                    &own.shown(number, &self.view),
                    generation,
                );
            }
            Listed::Entry(entry) => entry,
        };
        // If an entry could not be queried or is gone, its attributes are not cached.
        let (facts, time) = match found {
            Some(facts) => (facts, limits::ATTRIBUTES_TIME),
            None => (entry.facts, Duration::ZERO),
        };
        let known = self.inodes().look_up(number, &entry.server_name, &facts);
        let full = reply.add(known, next, &entry.name, &time, &facts.shown(known, &self.view), generation);
        if full {
            self.forget(known, 1);
        }
        full
    }

    /// Subtracts look-ups that the kernel has dropped from a number.
    pub(crate) fn forget(&self, number: INodeNo, lookups: u64) {
        if self.inodes().forget(number, lookups) {
            self.unflushed.forget(number);
        }
    }

    /// The entries of an open directory; a read from the start lists it again.
    async fn entries(&self, handle: FileHandle, offset: u64) -> Result<Arc<Entries>, Errno> {
        let directory = self.files.directory(handle)?;
        let mut known = directory.entries.lock().await;
        match &*known {
            Some(entries) if offset > 0 => Ok(Arc::clone(entries)),
            _ => {
                let read = Instant::now();
                let all = self.list(&self.path(directory.number)?).await?;
                let entries = Arc::new(Entries { read, all });
                *known = Some(Arc::clone(&entries));
                Ok(entries)
            }
        }
    }
}

/// A line of a listing.
#[derive(Clone, Copy, Debug)]
enum Listed<'a> {
    /// `.` or `..`.
    Own(&'static str),
    Entry(&'a Entry),
}

impl Listed<'_> {
    /// The metadata from the listing, if it is complete and recent. `is_open` returns true for the name of a file that is
    /// open here.
    fn known(&self, entries: &Entries, is_open: impl Fn(&str) -> bool) -> Option<Facts> {
        let Listed::Entry(entry) = self else { return None };
        let is_told = entry.facts.unix.is_some() && !entry.facts.is_reparse_point();
        let is_new = entries.read.elapsed() < limits::ATTRIBUTES_TIME;
        (is_told && is_new && !is_open(&entry.server_name)).then_some(entry.facts)
    }
}

/// The lines from a position on, each with the position after it.
fn positions(entries: &[Entry], offset: u64) -> impl Iterator<Item = (u64, Listed<'_>)> {
    let own = [".", ".."].into_iter().map(Listed::Own);
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    (1u64..).zip(own.chain(entries.iter().map(Listed::Entry))).skip(skipped)
}
