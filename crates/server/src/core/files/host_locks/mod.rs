//! Locks on the host for clients' byte-range locks: local programs, NFS servers and databases see them, and clients see
//! theirs, as with Samba's `posix locking`.
//!
//! The registry decides between clients. A lock is first taken on the host, and released there if the registry refuses
//! it, so the registry never contains a lock that the host may still refuse. A client that waits for a program's lock
//! keeps its place in the registry's queue, and the server tries again
//! ([`limits::HOST_LOCK_FIRST_RETRY`](crate::core::limits::HOST_LOCK_FIRST_RETRY)), because the kernel would only wake
//! a thread that waits all the time.
//!
//! Each open has its locks on its own descriptor. A request that changes locks of a file takes a turn
//! ([`HostFile::turn`]), so that the changes in the registry and on the host are one change to all others. Opens that
//! end are the exception, because they end without a call into the file system: their locks on the host are released a
//! moment later, or by the next request that finds them. Until then they conflict only with local programs.
//!
//! Some locks exist in the registry only: locks of named streams, at offsets from 2^63 on, of no bytes, and shared
//! locks of opens that cannot read. An exclusive lock of an open that cannot write is a shared one on the host
//! ([`vfs::RangeLock`]). On file systems without locks, all locks exist in the registry only.

mod cover;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use registry::{FileKey, LockElement, OpenShared};
use vfs::RangeLock;
use wire::{FileGlobalId, NtStatus};

use crate::core::config::ShareSettings;
use crate::core::open::{Open, OpenFile};
use crate::core::server::Server;
use crate::core::status::{OrStatus, of_vfs};
use cover::{Cover, Piece};

/// The files whose opens have locks on the host.
#[derive(Default)]
pub(crate) struct HostLocks {
    files: Mutex<HashMap<FileKey, Arc<Mutex<FileLocks>>>>,
}

/// The use of locks on the host by an open.
#[derive(Debug, Default)]
pub(crate) struct HostLocking {
    /// The file; `None` if its locks are for clients only.
    file: Option<FileKey>,
    /// True if the open cannot read or write ranges that programs have locked.
    strict: bool,
    /// True if the open may have locks.
    used: AtomicBool,
}

/// A file whose locks are in use.
pub(crate) struct HostFile<'a> {
    table: &'a HostLocks,
    key: FileKey,
    locks: Arc<Mutex<FileLocks>>,
}

/// The locks of one file on the host.
#[derive(Default)]
pub(crate) struct FileLocks {
    opens: BTreeMap<FileGlobalId, OpenLocks>,
}

/// The locks of an open.
struct OpenLocks {
    handle: Arc<dyn vfs::Handle>,
    shared: Arc<OpenShared>,
    cover: Cover,
    /// True if the file system has no locks.
    unsupported: bool,
    /// True if more may be locked than `cover` contains, because a release has failed.
    unsure: bool,
}

/// All bytes that the host can lock.
const ALL: Range<u64> = 0..vfs::handle::LOCKABLE_END;

impl HostLocking {
    /// The use of locks by an open of a file's data in a share.
    pub(crate) fn new(file: FileKey, server: &Server, share: &ShareSettings) -> Self {
        let (locks, strict) = server.look_at_settings(|settings| {
            let locks = share.posix_locking.unwrap_or(settings.posix_locking);
            (locks, share.strict_locking.unwrap_or(settings.strict_locking))
        });
        Self { file: locks.then_some(file), strict: locks && strict, used: AtomicBool::new(false) }
    }

    /// True if the open cannot read or write ranges that programs have locked.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }
}

impl HostLocks {
    /// The file of an open; `None` if its locks are for clients only.
    pub(crate) fn file(&self, open: &OpenFile) -> Option<HostFile<'_>> {
        let key = open.locking.file?;
        let locks = Arc::clone(self.files().entry(key).or_default());
        Some(HostFile { table: self, key, locks })
    }

    /// Releases the locks of an open that has ended.
    pub(crate) fn end(&self, id: FileGlobalId, open: &OpenFile) {
        if !open.locking.used.load(Ordering::Relaxed) {
            return;
        }
        let Some(file) = self.file(open) else { return };
        // This is one turn, so that the lock of another open is not refused because of locks that are being released.
        let mut turn = file.turn();
        if let Some(mut ended) = turn.opens.remove(&id) {
            ended.give_up_all();
        }
    }

    /// True if a program's lock does not allow an open to read or write a range.
    pub(crate) fn denies(&self, open: &OpenFile, range: Range<u64>, writes: bool) -> Result<bool, NtStatus> {
        let lock = if writes { RangeLock::Exclusive } else { RangeLock::Shared };
        let is_locked = || match open.handle.is_range_locked(range.clone(), lock) {
            Err(vfs::Error::NotSupported) => Ok(false),
            result => result.or_status(),
        };
        if !is_locked()? {
            return Ok(false);
        }
        // The lock may belong to an open that has ended and not released it yet.
        let has_given_up = self.file(open).is_some_and(|file| file.turn().give_up_ended());
        if has_given_up { is_locked() } else { Ok(true) }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileKey, Arc<Mutex<FileLocks>>>> {
        self.files.lock()
    }
}

impl HostFile<'_> {
    /// Waits for the turn to change locks of the file. The holder calls into the file system meanwhile, so a caller
    /// must not wait with the registry's lock, and must not hold the turn across an await.
    pub(crate) fn turn(&self) -> MutexGuard<'_, FileLocks> {
        self.locks.lock()
    }
}

impl Drop for HostFile<'_> {
    fn drop(&mut self) {
        let mut files = self.table.files();
        // Other clones are made under the table's lock.
        let is_last = Arc::strong_count(&self.locks) == 2;
        if is_last && self.locks.try_lock().is_some_and(|locks| locks.opens.is_empty()) {
            files.remove(&self.key);
        }
    }
}

impl FileLocks {
    /// Takes locks for an open, all or none. Returns false if a lock of a program, or of an open that the registry has,
    /// conflicts. The caller must have the registry grant the same locks, or call [`Self::give_back`].
    pub(crate) fn take(&mut self, open: &Open, elements: &[LockElement]) -> Result<bool, NtStatus> {
        loop {
            let taken = self.try_to_take(open, elements)?;
            if taken || !self.give_up_ended() {
                return Ok(taken);
            }
        }
    }

    /// Releases locks of an open that the registry has released or not granted, each of its kind. Other locks of the
    /// open in the same range stay.
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

    /// Releases the locks of opens that have ended. Returns false if there are none.
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
    /// Takes a lock. If the result is not true, nothing has changed.
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

    /// Reduces locks, with which no other lock can conflict. If that fails nevertheless, clients no longer see the
    /// locks, and programs see them until the open's last lock is released.
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
                    "cannot release a client's lock on the host; local programs still see it"
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

/// The status for a lock that the file system could not take.
fn of_lock(error: &vfs::Error) -> NtStatus {
    match error {
        // ENOLCK: its table of locks is full, or the lock service of a network file system does not respond.
        vfs::Error::Io(_) => {
            tracing::warn!(%error, "the file system cannot lock; clients' locks of its files are refused");
            NtStatus::INSUFFICIENT_RESOURCES
        }
        error => of_vfs(error),
    }
}
