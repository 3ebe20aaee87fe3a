//! The file of a log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::frame::{Damage, Header, Table, append_frame, decode};
use crate::limits::{COMPACT_BYTES_MIN, LOG_BYTES_MAX, RESERVED_BYTES};
use crate::record::{Change, Entry, LeaseRecord, LockRecord, OpenRecord};

/// The events that a committed change outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the server's process, however it comes. A commit is a write into memory.
    Process,
    /// A loss of power, too. A commit waits for the disk.
    Power,
}

/// The reason for not opening a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server uses the log.
    #[error("another server uses it")]
    InUse,
    /// The log cannot be understood. It stays as it is.
    #[error("{0}")]
    Damaged(#[from] Damage),
    /// The file system has refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// The contents of a log that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The opens.
    pub opens: Vec<StoredOpen>,
    /// The leases.
    pub leases: Vec<LeaseRecord>,
    /// Bytes of an incomplete frame at the end, which were cut.
    pub cut: u64,
    /// True if the log was of an earlier boot of the machine and did not outlive its end: it is empty now.
    pub outdated: bool,
}

/// An open with its byte-range locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOpen {
    /// The open.
    pub open: OpenRecord,
    /// The byte-range locks of the open.
    pub locks: Vec<LockRecord>,
}

/// A log that is open for appending. No other process can open it meanwhile.
#[derive(Debug)]
pub struct HandleLog {
    directory: OwnedFd,
    name: String,
    /// Locked as long as the log is open. It is not the log itself, because that is replaced.
    _lock: OwnedFd,
    header: Header,
    table: Table,
    /// `None` after an error, until the log is written anew.
    file: Option<File>,
    /// The length of the file in bytes.
    length: u64,
    /// [`LOG_BYTES_MAX`], without the header.
    longest: u64,
}

impl HandleLog {
    /// Opens the log `name` in a directory that no other user can write to, or creates it. `boot` identifies the boot
    /// of the machine.
    pub fn open(
        directory: OwnedFd,
        name: &str,
        durability: Durability,
        boot: [u8; 16],
    ) -> Result<(Self, Contents), OpenError> {
        let lock = lock(&directory, name)?;
        let mut contents = Contents::default();
        let mut table = Table::default();
        let mut generation = 0;
        if let Some(bytes) = read(&directory, name)? {
            let (header, found, length) = decode(&bytes)?;
            generation = header.generation;
            contents.cut = (bytes.len().saturating_sub(length)) as u64;
            // Without synchronization, nothing is known about the file after the machine has stopped.
            contents.outdated = !header.synchronized && header.boot != boot && !found.is_empty();
            if header.synchronized || header.boot == boot {
                table = found;
            }
        }
        collect(&table, &mut contents);
        let header = Header {
            synchronized: durability == Durability::Power,
            generation: generation.saturating_add(1),
            boot,
        };
        let name = name.to_owned();
        let mut log =
            Self { directory, name, _lock: lock, header, table, file: None, length: 0, longest: LONGEST };
        log.rewrite()?;
        Ok((log, contents))
    }

    /// Records changes, and returns when they are as durable as the log is. After an error, the file may lack them; the
    /// next call writes the whole log anew, with these changes.
    pub fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        for change in changes {
            self.table.apply(change);
        }
        let outdated = self.length > COMPACT_BYTES_MIN && self.length > self.table.bytes().saturating_mul(2);
        let Some(file) = self.file.as_ref().filter(|_| !outdated) else {
            return self.rewrite();
        };
        if changes.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        append_frame(&mut bytes, self.length, changes);
        // Entries beyond the limit are refused at once, so that the log can be written again when they have ended.
        let length = self.length.saturating_add(bytes.len() as u64);
        if length > self.longest || self.table.bytes() > self.longest {
            return self.rewrite();
        }
        let written = file.write_all_at(&bytes, self.length).and_then(|()| self.synchronize(file));
        if written.is_err() {
            // A part of the frame may be in the file; after a failed synchronization, its state is unknown.
            self.file = None;
        } else {
            self.length = self.length.saturating_add(bytes.len() as u64);
        }
        written
    }

    /// Sets the durability of later commits. The log is written anew if it changes.
    pub fn set_durability(&mut self, durability: Durability) -> io::Result<()> {
        let synchronized = durability == Durability::Power;
        if self.header.synchronized == synchronized {
            return Ok(());
        }
        self.header.synchronized = synchronized;
        self.rewrite()
    }

    /// True if the last commit has failed.
    pub fn has_failed(&self) -> bool {
        self.file.is_none()
    }

    /// The number that has risen when this log was opened.
    pub fn generation(&self) -> u64 {
        self.header.generation
    }

    /// The length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The table of entries.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Replaces the file by one with the present entries.
    fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let unfinished = format!("{}.new", self.name);
        self.write_new(&unfinished).inspect_err(|_| {
            // It takes up space on a disk that may be full. The next attempt removes it, too.
            let _ = rustix::fs::unlinkat(&self.directory, unfinished.as_str(), AtFlags::empty());
        })
    }

    fn write_new(&mut self, unfinished: &str) -> io::Result<()> {
        // The table counts at least as many bytes for its entries as they have in the file.
        if self.table.bytes() > self.longest {
            let longest = self.longest;
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("the log of opens has more than {longest} bytes"),
            ));
        }
        let mut bytes = self.header.encode();
        self.table.append_all(&mut bytes);
        match rustix::fs::unlinkat(&self.directory, unfinished, AtFlags::empty()) {
            Err(error) if error != Errno::NOENT => return Err(error.into()),
            _ => {}
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, unfinished, flags, MODE)?;
        let file = File::from(file);
        file.write_all_at(&bytes, 0)?;
        let length = bytes.len() as u64;
        // Not every file system can do this; without it, a full disk is only noticed earlier.
        let ahead = length.saturating_add(RESERVED_BYTES);
        let _ = rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ahead);
        self.synchronize(&file)?;
        rustix::fs::renameat(&self.directory, unfinished, &self.directory, self.name.as_str())?;
        if self.header.synchronized {
            rustix::fs::fsync(&self.directory)?;
        }
        (self.length, self.file) = (length, Some(file));
        Ok(())
    }

    fn synchronize(&self, file: &File) -> io::Result<()> {
        if self.header.synchronized { file.sync_data() } else { Ok(()) }
    }
}

/// Takes the lock of a log.
fn lock(directory: &OwnedFd, name: &str) -> Result<OwnedFd, OpenError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(directory, format!("{name}.lock"), flags, MODE)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(OpenError::InUse),
        result => Ok(result.map(|()| lock)?),
    }
}

/// The bytes of a log; `None` if there is none.
fn read(directory: &OwnedFd, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        file => File::from(file?),
    };
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LOG_BYTES_MAX {
        return Err(Damage::TooLong.into());
    }
    Ok(Some(bytes))
}

fn collect(table: &Table, contents: &mut Contents) {
    let mut opens: BTreeMap<u64, StoredOpen> = BTreeMap::new();
    // Opens come first in the order of keys.
    for entry in table.entries() {
        match entry {
            Entry::Open(open) => {
                let id = open.file_id.persistent;
                opens.insert(id, StoredOpen { open: *open, locks: Vec::new() });
            }
            Entry::Lock(lock) => {
                if let Some(stored) = opens.get_mut(&lock.open) {
                    stored.locks.push(lock);
                }
            }
            Entry::Lease(lease) => contents.leases.push(lease),
        }
    }
    contents.opens = opens.into_values().collect();
}

/// Bytes of a log that can be read again.
const LONGEST: u64 = LOG_BYTES_MAX - 4096;

/// Only the server's user can read the files.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

#[cfg(test)]
mod tests {
    use super::*;

    fn lock_entry(offset: u64) -> Change {
        Change::Put(Entry::Lock(LockRecord { open: 1, offset, length: 1, exclusive: true, count: 1 }))
    }

    /// A log that were too long to be read again would lose all opens at the next start.
    #[test]
    fn changes_that_make_the_log_too_long_are_refused_until_entries_end() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = || OwnedFd::from(File::open(scratch.path()).unwrap());
        let open = || HandleLog::open(directory(), "log", Durability::Process, [1; 16]).unwrap().0;
        let mut log = open();
        log.longest = 4096;
        let mut taken = Vec::new();
        let refused = loop {
            let change = lock_entry(taken.len() as u64);
            match log.commit(std::slice::from_ref(&change)) {
                Ok(()) => taken.push(change),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert!(taken.len() > 50, "{}", taken.len());
        log.commit(&[]).unwrap_err();
        let drops = |change: &Change| match change {
            Change::Put(entry) => Change::Drop(entry.key()),
            Change::Drop(key) => Change::Drop(*key),
        };
        log.commit(&[drops(&lock_entry(taken.len() as u64))]).unwrap();
        assert!(log.length() <= 4096, "{}", log.length());
        drop(log);
        assert_eq!(open().table().len(), taken.len());
    }
}
