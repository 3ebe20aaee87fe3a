//! Answers to readdir: names only, or with all attributes for `stat`.
//!
//! The kernel requests attributes only when a program needs them. A listing of a server without the POSIX extensions
//! contains neither the number of links of a file nor the current size of an open file, so entries with attributes are
//! queried one by one, many at a time.
//!
//! A listing of a server with these extensions contains all attributes. They count as long as the kernel would cache
//! them, and until something is changed through this mount: a name may be gone by then, or a file have another size.
//! Files that are open here are queried in any case.

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
                let known = listed.known(&entries, self.changes(), |name| {
                    self.inodes().number(number, name).is_some_and(|number| open.contains(&number))
                });
                let look = if known.is_some() { None } else { self.start_look(&directory, listed) };
                (next, listed, known, look)
            });
            for (next, listed, known, look) in looks.collect::<Vec<_>>() {
                let found = match look {
                    Some(look) => {
                        look.await.map_err(|_| Errno::EIO)?.ok().map(|it| (it, limits::ATTRIBUTES_TIME))
                    }
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
        found: Option<(Facts, Duration)>,
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
        let (facts, time) = found.unwrap_or((entry.facts, Duration::ZERO));
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
                let (read, changes) = (Instant::now(), self.changes());
                let all = self.list(&self.path(directory.number)?).await?;
                let entries = Arc::new(Entries { read, changes, all });
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
    /// The metadata from the listing and the time for which the kernel may cache it, if it is complete and as recent as
    /// the kernel's caches. `changes` is the present number of changes; `is_open` returns true for the name of a file
    /// that is open here.
    fn known(
        &self,
        entries: &Entries,
        changes: u64,
        is_open: impl Fn(&str) -> bool,
    ) -> Option<(Facts, Duration)> {
        let Listed::Entry(entry) = self else { return None };
        let is_told = entry.facts.unix.is_some() && !entry.facts.is_reparse_point();
        let left =
            limits::ATTRIBUTES_TIME.checked_sub(entries.read.elapsed()).filter(|left| !left.is_zero())?;
        let is_current = entries.changes == changes && !is_open(&entry.server_name);
        (is_told && is_current).then_some((entry.facts, left))
    }
}

/// The lines from a position on, each with the position after it.
fn positions(entries: &[Entry], offset: u64) -> impl Iterator<Item = (u64, Listed<'_>)> {
    let own = [".", ".."].into_iter().map(Listed::Own);
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    (1u64..).zip(own.chain(entries.iter().map(Listed::Entry))).skip(skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::Unix;

    #[test]
    fn a_listing_counts_until_something_changes_or_a_second_has_passed() {
        let unix = Some(Unix { mode: 0o644, uid: None, gid: None });
        let entry = |unix| Entry {
            name: "f".into(),
            server_name: "f".into(),
            facts: Facts { unix, ..Facts::default() },
        };
        let entries = |read| Entries { read, changes: 3, all: Vec::new() };
        let (now, told) = (Instant::now(), entry(unix));
        let (_, left) = Listed::Entry(&told).known(&entries(now), 3, |_| false).expect("it is recent");
        assert!(left <= limits::ATTRIBUTES_TIME);
        assert_eq!(Listed::Entry(&told).known(&entries(now), 4, |_| false), None);
        assert_eq!(Listed::Entry(&told).known(&entries(now), 3, |name| name == "f"), None);
        assert_eq!(Listed::Entry(&entry(None)).known(&entries(now), 3, |_| false), None);
        let past = now.checked_sub(limits::ATTRIBUTES_TIME).expect("a time");
        assert_eq!(Listed::Entry(&told).known(&entries(past), 3, |_| false), None);
    }
}
