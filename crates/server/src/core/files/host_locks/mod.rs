//! The locks that clients have of files' ranges, on the machine: local programs, NFS servers and databases see them, and
//! theirs are seen by clients, as with Samba's `posix locking`.
//!
//! Among clients the registry decides. A lock that it is to grant is taken on the machine first, and given back there
//! where the registry refuses it: so nobody ever meets a lock in the registry that the machine has yet to agree to. A
//! client that waits for what a program has keeps its place in the registry's queue, and its request asks again
//! ([`limits::HOST_LOCK_FIRST_RETRY`](crate::core::limits::HOST_LOCK_FIRST_RETRY)): the kernel wakes nobody but a thread
//! that it has kept until then.
//!
//! Each open has its locks on a descriptor of its own. Whoever changes locks of a file has its turn ([`HostFile::turn`]):
//! the change in the registry and the change on the machine are one to all others. Opens that end are the exception,
//! since they end without a call into the file system: their locks are given up on the machine a moment later, or by
//! whoever meets them before. Until then they are in the way of nobody but local programs.
//!
//! What the machine cannot have is the registry's alone: named streams, offsets from 2^63 on, locks of no bytes, shared
//! locks of opens that cannot read, and that an exclusive lock of an open that cannot write is more than a shared one
//! ([`vfs::RangeLock`]). So it is on file systems without locks.

mod cover;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use registry::{FileKey, LockElement, OpenShared};
use vfs::RangeLock;
use wire::{FileGlobalId, NtStatus};

use crate::core::config::{Settings, ShareSettings};
use crate::core::open::{Open, OpenFile};
use crate::core::status::{OrStatus, of_vfs};
use cover::{Cover, Piece};

/// The files of which opens have locks on the machine.
#[derive(Default)]
pub(crate) struct HostLocks {
    files: Mutex<HashMap<FileKey, Arc<Mutex<FileLocks>>>>,
}

/// How an open goes about locks on the machine.
#[derive(Debug, Default)]
pub(crate) struct HostLocking {
    /// The file; none where its locks are the clients' alone.
    file: Option<FileKey>,
    /// The open does not read or write what programs have locked.
    strict: bool,
    /// The open may have locks.
    used: AtomicBool,
}

/// A file whose locks are looked at.
pub(crate) struct HostFile<'a> {
    table: &'a HostLocks,
    key: FileKey,
    locks: Arc<Mutex<FileLocks>>,
}

/// The locks of one file on the machine.
#[derive(Default)]
pub(crate) struct FileLocks {
    opens: BTreeMap<FileGlobalId, OpenLocks>,
}

/// The locks of an open.
struct OpenLocks {
    handle: Arc<dyn vfs::Handle>,
    shared: Arc<OpenShared>,
    cover: Cover,
    /// The file system has no locks.
    unsupported: bool,
    /// More may be locked than `cover` says, because giving up has failed.
    unsure: bool,
}

/// Every byte that the machine can lock.
const ALL: Range<u64> = 0..vfs::handle::LOCKABLE_END;

impl HostLocking {
    /// That of an open of a file's data in a share.
    pub(crate) fn new(file: FileKey, settings: &Settings, share: &ShareSettings) -> Self {
        let locks = share.posix_locking.unwrap_or(settings.posix_locking);
        let strict = share.strict_locking.unwrap_or(settings.strict_locking);
        Self { file: locks.then_some(file), strict: locks && strict, used: AtomicBool::new(false) }
    }

    /// The answer is true for an open that does not read or write what programs have locked.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }
}

impl HostLocks {
    /// The file of an open; none where its locks are the clients' alone.
    pub(crate) fn file(&self, open: &OpenFile) -> Option<HostFile<'_>> {
        let key = open.locking.file?;
        let locks = Arc::clone(self.files().entry(key).or_default());
        Some(HostFile { table: self, key, locks })
    }

    /// Gives up what an open that has ended still has.
    pub(crate) fn end(&self, id: FileGlobalId, open: &OpenFile) {
        if !open.locking.used.load(Ordering::Relaxed) {
            return;
        }
        let Some(file) = self.file(open) else { return };
        // In one turn: another open's lock must not be refused because of locks that are being given up.
        let mut turn = file.turn();
        if let Some(mut ended) = turn.opens.remove(&id) {
            ended.give_up_all();
        }
    }

    /// Asks the machine for a program's lock that keeps an open from reading or writing a range.
    pub(crate) fn denies(&self, open: &OpenFile, range: Range<u64>, writes: bool) -> Result<bool, NtStatus> {
        let lock = if writes { RangeLock::Exclusive } else { RangeLock::Shared };
        let is_locked = || match open.handle.is_range_locked(range.clone(), lock) {
            Err(vfs::Error::NotSupported) => Ok(false),
            result => result.or_status(),
        };
        if !is_locked()? {
            return Ok(false);
        }
        // It may be what an open that has ended has not given up yet.
        let has_given_up = self.file(open).is_some_and(|file| file.turn().give_up_ended());
        if has_given_up { is_locked() } else { Ok(true) }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileKey, Arc<Mutex<FileLocks>>>> {
        self.files.lock()
    }
}

impl HostFile<'_> {
    /// Waits for the turn to change locks of the file. Calls into its file system are made meanwhile: not to be waited
    /// for with the registry's lock, nor held across an await.
    pub(crate) fn turn(&self) -> MutexGuard<'_, FileLocks> {
        self.locks.lock()
    }
}

impl Drop for HostFile<'_> {
    fn drop(&mut self) {
        let mut files = self.table.files();
        // Others have cloned it under the table's lock.
        let is_last = Arc::strong_count(&self.locks) == 2;
        if is_last && self.locks.try_lock().is_some_and(|locks| locks.opens.is_empty()) {
            files.remove(&self.key);
        }
    }
}

impl FileLocks {
    /// Takes locks for an open, all or none; false: a program has one that is in the way, or an open that the registry
    /// knows of. The registry is to grant the same, or [`Self::give_back`] is to follow.
    pub(crate) fn take(&mut self, open: &Open, elements: &[LockElement]) -> Result<bool, NtStatus> {
        loop {
            let taken = self.try_to_take(open, elements)?;
            if taken || !self.give_up_ended() {
                return Ok(taken);
            }
        }
    }

    /// Gives back locks of an open that the registry has given up or has not granted, each of its kind. What other locks
    /// of the open have of the range stays.
    pub(crate) fn give_back(&mut self, open: &Open, elements: &[LockElement]) {
        let Some(locks) = self.opens.get_mut(&open.global_id()) else { return };
        for element in elements {
            let pieces = locks.cover.remove(element);
            locks.set_what_is_left(&pieces);
        }
        self.forget_if_empty(open.global_id());
    }

    fn try_to_take(&mut self, open: &Open, elements: &[LockElement]) -> Result<bool, NtStatus> {
        let Some(file) = open.file() else { return Ok(true) };
        file.locking.used.store(true, Ordering::Relaxed);
        let locks = self.opens.entry(open.global_id()).or_insert_with(|| OpenLocks {
            handle: Arc::clone(&file.handle),
            shared: Arc::clone(open.shared()),
            cover: Cover::default(),
            unsupported: false,
            unsure: false,
        });
        for (at, element) in elements.iter().enumerate() {
            let taken = locks.take(element);
            if !matches!(taken, Ok(true)) {
                self.give_back(open, elements.get(..at).unwrap_or_default());
                self.forget_if_empty(open.global_id());
                return taken.map_err(|error| of_lock(&error));
            }
        }
        Ok(true)
    }

    /// Gives up what opens have that have ended; false: there are none.
    fn give_up_ended(&mut self) -> bool {
        let mut has_given_up = false;
        for locks in self.opens.values_mut().filter(|it| it.shared.closed().is_some() && !it.cover.is_empty())
        {
            locks.give_up_all();
            has_given_up = true;
        }
        has_given_up
    }

    fn forget_if_empty(&mut self, open: FileGlobalId) {
        if let Some(locks) = self.opens.get_mut(&open)
            && locks.cover.is_empty()
        {
            if locks.unsure {
                locks.give_up_all();
            }
            self.opens.remove(&open);
        }
    }
}

impl OpenLocks {
    /// Takes a lock; with anything but true nothing has changed.
    fn take(&mut self, element: &LockElement) -> vfs::Result<bool> {
        let pieces = self.cover.add(element);
        for (range, lock) in &pieces {
            match self.set(range, *lock) {
                Ok(true) => {}
                refused => {
                    self.cover.remove(element);
                    let before = self.cover.within(element);
                    self.set_what_is_left(&before);
                    return refused;
                }
            }
        }
        Ok(true)
    }

    fn set(&mut self, range: &Range<u64>, lock: Option<RangeLock>) -> vfs::Result<bool> {
        if self.unsupported {
            return Ok(true);
        }
        match self.handle.set_range_lock(range.clone(), lock) {
            Err(vfs::Error::NotSupported) => {
                self.unsupported = true;
                Ok(true)
            }
            result => result,
        }
    }

    /// Sets what is less than was there before, which nobody's lock can be in the way of. Where it fails all the same,
    /// the locks are given up for clients, and for programs when the open's last one is.
    fn set_what_is_left(&mut self, pieces: &[Piece]) {
        for (range, lock) in pieces {
            let set = self.set(range, *lock);
            if !matches!(set, Ok(true)) {
                self.unsure = true;
                let error = set.err().map(tracing::field::display);
                tracing::warn!(
                    error,
                    offset = range.start,
                    end = range.end,
                    "a client's lock is given up, and local programs still see it"
                );
            }
        }
    }

    fn give_up_all(&mut self) {
        if !self.cover.is_empty() || self.unsure {
            self.cover.clear();
            self.set_what_is_left(&[(ALL, None)]);
        }
    }
}

/// The status of a lock that the file system could not take.
fn of_lock(error: &vfs::Error) -> NtStatus {
    match error {
        // ENOLCK: its table of locks is full, or whoever keeps it for a network file system is away.
        vfs::Error::Io(_) => {
            tracing::warn!(%error, "a file system refuses to lock; clients' locks of its files are refused");
            NtStatus::INSUFFICIENT_RESOURCES
        }
        error => of_vfs(error),
    }
}
