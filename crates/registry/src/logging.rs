//! Opens that a log keeps, so that they outlive the server: the changes that are not in the log yet.
//!
//! The registry does no I/O. It records which opens, locks and leases have changed, and [`State::log_changes`] returns
//! their present state, which the server writes to the log before it answers the request that made the change. What is
//! returned under one hold of the lock is consistent, so the server writes it as one unit. Only opens with a durable
//! handle in a share with a log are kept.
//!
//! Byte-range locks are the exception: a LOCK request is complete only when its sequence number is recorded with the
//! open (MS-SMB2 3.3.5.14), so the server reports both at once with [`State::log_locks`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::security::Sid;
use wire::{AccessMask, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, ShareAccess};

use crate::caching::Caching;
use crate::lease::Lease;
use crate::limits::{LOGGED_OPENS, OPENS_TOUCHED_BY_DELETE};
use crate::open::Open;
use crate::{
    AppInstance, CloseReason, Effects, FileKey, LeaseId, LockElement, OpenRef, Shell, State, Time, UserKind,
    cost,
};

/// The log of a share's opens. The server chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// The logs, with the changes that they do not contain yet.
#[derive(Debug, Default)]
pub(crate) struct Logs(BTreeMap<LogId, Unlogged>);

/// The changes that a log does not contain yet. There are no more entries than opens that the log keeps or has kept since
/// the last write.
#[derive(Debug, Default)]
struct Unlogged {
    opens: BTreeSet<FileGlobalId>,
    ended: Vec<u64>,
    locks: BTreeSet<(FileGlobalId, u64, u64, bool)>,
    leases: BTreeSet<LeaseId>,
    /// The number of opens that the log keeps.
    kept: usize,
}

/// Changes that a log does not contain yet, in the state of one moment.
pub struct LogChanges<S: Shell> {
    /// `Open.DurableFileId` of opens that have ended, with their locks.
    pub ended: Vec<u64>,
    /// Opens that are new or have changed.
    pub opens: Vec<LoggedOpen<S>>,
    /// Locks that were added or removed.
    pub locks: Vec<LoggedLock>,
    /// Leases that have changed or ended.
    pub leases: Vec<LoggedLease>,
}

/// The part of an open that is the same before and after a restart of the server.
#[derive(Clone, Debug)]
pub struct KeptOpen {
    /// `Open.DurableFileId` and `Open.FileId`.
    pub file_id: FileId,
    /// The file.
    pub file: FileKey,
    /// `Open.CreateGuid`; `None` for a version 1 handle.
    pub create_guid: Option<Guid>,
    /// `Open.ClientGuid`.
    pub client_guid: Guid,
    /// `Open.AppInstanceId`.
    pub app_instance: Option<AppInstance>,
    /// `Open.DurableOpenTimeout`.
    pub timeout_ms: u32,
    /// `Open.IsPersistent`.
    pub persistent: bool,
    /// `Open.IsResilient`.
    pub resilient: bool,
    /// `Open.IsReplayEligible`.
    pub replayable: bool,
    /// The path in the share.
    pub path: Arc<str>,
    /// `Open.GrantedAccess`.
    pub access: AccessMask,
    /// The access that the open shares with others.
    pub share_access: ShareAccess,
    /// FILE_DELETE_ON_CLOSE.
    pub delete_on_close: bool,
    /// FILE_DISPOSITION_POSIX_SEMANTICS.
    pub deletes_with_own: bool,
    /// True if a delete of the open's link or stream is pending.
    pub delete_pending: bool,
    /// `Open.OplockLevel`.
    pub oplock: OplockLevel,
    /// The client's name.
    pub client: Arc<str>,
}

/// An open as a log keeps it.
pub struct LoggedOpen<S: Shell> {
    /// The part that a restart does not change.
    pub kept: KeptOpen,
    /// The open's lease.
    pub lease: Option<LeaseId>,
    /// The user's name.
    pub user: Arc<str>,
    /// The kind of user.
    pub user_kind: UserKind,
    /// The SID of a user of a domain.
    pub user_sid: Option<Sid>,
    /// The domain or server that the client named.
    pub domain: Arc<str>,
    /// The server's part of the open.
    pub attached: S::Open,
}

/// A byte-range lock as a log keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedLock {
    /// `Open.DurableFileId` of the open.
    pub open: u64,
    /// The range and kind.
    pub element: LockElement,
    /// The number of equal locks; zero if the lock was released.
    pub count: u32,
}

/// A lease as a log keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedLease {
    /// The client and key.
    pub id: LeaseId,
    /// `Lease.LeaseState`, the version and the epoch; `None` if the log keeps no open of the lease any more.
    pub state: Option<(LeaseState, u8, u16)>,
}

impl<S: Shell> LogChanges<S> {
    /// True if there are no changes.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.opens.is_empty() && self.locks.is_empty() && self.leases.is_empty()
    }
}

impl Logs {
    /// Records that an open has changed.
    pub(crate) fn touch(&mut self, log: LogId, open: FileGlobalId) {
        cost::step();
        if let Some(unlogged) = self.0.get_mut(&log) {
            unlogged.opens.insert(open);
        }
    }

    /// True if the log can keep one more open. A log that was removed keeps none.
    pub(crate) fn has_room(&self, log: LogId) -> bool {
        self.0.get(&log).is_some_and(|unlogged| unlogged.kept < LOGGED_OPENS)
    }

    /// The numbers of opens that the logs keep. Used by tests.
    pub(crate) fn kept(&self) -> BTreeMap<LogId, usize> {
        self.0.iter().filter(|(_, it)| it.kept > 0).map(|(log, it)| (*log, it.kept)).collect()
    }
}

impl<S: Shell> State<S> {
    /// Adds a log. Opens name it in [`AdmitRequest::log`](crate::AdmitRequest::log).
    pub fn add_log(&mut self, log: LogId) {
        self.logs.0.entry(log).or_default();
    }

    /// Removes a log that is no longer written. Its opens stay, and do not outlive the server.
    pub fn remove_log(&mut self, log: LogId) {
        self.logs.0.remove(&log);
    }

    /// True if there are changes that a log does not contain yet.
    pub fn has_log_changes(&self, log: LogId) -> bool {
        self.logs.0.get(&log).is_some_and(|it| {
            !(it.opens.is_empty() && it.ended.is_empty() && it.locks.is_empty() && it.leases.is_empty())
        })
    }

    /// The number of opens that a log keeps.
    pub fn logged_opens(&self, log: LogId) -> usize {
        self.logs.0.get(&log).map_or(0, |it| it.kept)
    }

    /// Takes out the changes that a log does not contain yet. The caller writes them, as one unit and in the order of
    /// these calls.
    pub fn log_changes(&mut self, log: LogId) -> LogChanges<S> {
        let Some(unlogged) = self.logs.0.get_mut(&log) else {
            return LogChanges {
                ended: Vec::new(),
                opens: Vec::new(),
                locks: Vec::new(),
                leases: Vec::new(),
            };
        };
        let kept = unlogged.kept;
        let Unlogged { opens, ended, locks, leases, .. } =
            std::mem::replace(unlogged, Unlogged { kept, ..Unlogged::default() });
        let opens = opens.iter().filter_map(|id| self.logged_open(*id)).collect();
        let locks = locks.into_iter().filter_map(|(id, offset, length, exclusive)| {
            let open = self.opens.get(&id)?;
            let element = LockElement { offset, length, exclusive };
            let file = open.target.file().and_then(|key| self.files.get(&key))?;
            Some(LoggedLock {
                open: open.file_id.persistent,
                element,
                count: file.ranges.count_of(id, &element),
            })
        });
        let leases = leases.into_iter().map(|id| {
            let lease = self.leases.get(&id).filter(|lease| lease.logs.contains_key(&log));
            LoggedLease { id, state: lease.map(Lease::logged_state) }
        });
        LogChanges { ended, opens, locks: locks.collect(), leases: leases.collect() }
    }

    /// All that a log is to contain. Used by tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn whole_log(&self, log: LogId) -> LogChanges<S> {
        let kept = || self.opens.iter().filter(|(_, open)| open.logged() == Some(log));
        let locks = kept().flat_map(|(id, open)| {
            let ranges = open.target.file().and_then(|key| self.files.get(&key)).map(|file| &file.ranges);
            let held: BTreeMap<_, _> = ranges
                .into_iter()
                .flat_map(|ranges| ranges.held_by(id).map(|it| (it, ranges.count_of(id, &it))))
                .map(|(it, count)| ((it.offset, it.length, it.exclusive), count))
                .collect();
            held.into_iter().map(|((offset, length, exclusive), count)| LoggedLock {
                open: open.file_id.persistent,
                element: LockElement { offset, length, exclusive },
                count,
            })
        });
        let leases = self.leases.iter().filter(|(_, lease)| lease.logs.contains_key(&log));
        let leases = leases.map(|(id, it)| LoggedLease { id: *id, state: Some(it.logged_state()) });
        LogChanges {
            ended: Vec::new(),
            opens: kept().filter_map(|(id, _)| self.logged_open(id)).collect(),
            locks: locks.collect(),
            leases: leases.collect(),
        }
    }

    /// Records that locks of these ranges, of either kind, were added or released, and that the lock sequences of the
    /// open have changed. Returns false if no log keeps the open.
    pub fn log_locks(&mut self, open: impl Into<OpenRef>, elements: &[LockElement]) -> bool {
        let Ok(id) = self.open_global(open.into()) else { return false };
        let Some(log) = self.opens.get(&id).and_then(|open| open.logged()) else { return false };
        let Some(unlogged) = self.logs.0.get_mut(&log) else { return false };
        unlogged.opens.insert(id);
        for element in elements {
            cost::step();
            unlogged.locks.insert((id, element.offset, element.length, false));
            unlogged.locks.insert((id, element.offset, element.length, true));
        }
        true
    }

    /// The logs that keep opens of a lease.
    pub fn logs_of_lease(&self, lease: LeaseId) -> Vec<LogId> {
        self.leases.get(&lease).map(|it| it.logs.keys().copied().collect()).unwrap_or_default()
    }

    /// Ends the opens that logs keep, at a shutdown: the logs contain them still, and pending deletes of their files are
    /// left to the next start. The caller has written the last changes.
    pub fn suspend_logged(&mut self, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        self.logs.0.clear();
        for id in self.opens.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some(key) = self.opens.get(&id).and_then(|open| open.target.file()) {
                self.forget_deletes(key);
            }
            self.end_open(id, CloseReason::Suspended, now, &mut effects);
        }
        effects
    }

    /// Records that an open has changed, if a log keeps it.
    pub(crate) fn touch_log(&mut self, id: FileGlobalId) {
        if let Some(log) = self.opens.get(&id).and_then(|open| open.logged()) {
            self.logs.touch(log, id);
        }
    }

    /// Records that a lease has changed, for the logs that keep opens of it.
    pub(crate) fn touch_lease_log(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get(&id) else { return };
        for log in lease.logs.keys() {
            if let Some(unlogged) = self.logs.0.get_mut(log) {
                unlogged.leases.insert(id);
            }
        }
    }

    /// Records that a delete of a file became pending or was withdrawn. Returns the logs that keep opens of the file.
    pub(crate) fn touch_logs_of(&mut self, key: FileKey) -> BTreeSet<LogId> {
        let mut touched = BTreeSet::new();
        let Some(file) = self.files.get(&key).filter(|_| !self.logs.0.is_empty()) else { return touched };
        for id in file.opens.iter().take(OPENS_TOUCHED_BY_DELETE) {
            if let Some(log) = self.opens.get(id).and_then(|open| open.logged()) {
                self.logs.touch(log, *id);
                touched.insert(log);
            }
        }
        touched
    }

    /// Records the pending delete of a file with its remaining opens, because one of its opens has ended.
    pub(crate) fn touch_logs_of_deleted(&mut self, key: FileKey, effects: &mut Effects<S>) {
        if !self.logs.0.is_empty() && self.is_delete_pending(key) {
            effects.logs.extend(self.touch_logs_of(key));
        }
    }

    /// Enters an open that a log begins to keep.
    pub(crate) fn enter_log(&mut self, id: FileGlobalId) {
        let Some(open) = self.opens.get(&id) else { return };
        let (Some(log), caching) = (open.logged(), open.caching) else { return };
        let Some(unlogged) = self.logs.0.get_mut(&log) else { return };
        unlogged.kept = unlogged.kept.saturating_add(1);
        unlogged.opens.insert(id);
        if let Caching::Lease(lease) = caching {
            unlogged.leases.insert(lease);
            if let Some(lease) = self.leases.get_mut(&lease) {
                let count = lease.logs.entry(log).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// Removes an open that has ended. It is no longer in the table of opens.
    pub(crate) fn leave_log(&mut self, id: FileGlobalId, open: &Open<S>, effects: &mut Effects<S>) {
        let Some(log) = open.logged() else { return };
        let lease = match open.caching {
            Caching::Lease(lease) => Some(lease),
            Caching::Oplock { .. } | Caching::None => None,
        };
        if let Some(lease) = lease.and_then(|it| self.leases.get_mut(&it))
            && let Some(count) = lease.logs.get_mut(&log)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                lease.logs.remove(&log);
            }
        }
        let Some(unlogged) = self.logs.0.get_mut(&log) else { return };
        unlogged.kept = unlogged.kept.saturating_sub(1);
        unlogged.opens.remove(&id);
        unlogged.ended.push(open.file_id.persistent);
        unlogged.leases.extend(lease);
        effects.logs.insert(log);
    }

    fn logged_open(&self, id: FileGlobalId) -> Option<LoggedOpen<S>> {
        cost::step();
        let open = self.opens.get(&id)?;
        let durable = open.durable.as_ref()?;
        let (oplock, lease) = match open.caching {
            Caching::None => (OplockLevel::NONE, None),
            Caching::Oplock { level, .. } => (level, None),
            Caching::Lease(lease) => (OplockLevel::LEASE, Some(lease)),
        };
        let kept = KeptOpen {
            file_id: open.file_id,
            file: open.target.file()?,
            create_guid: durable.create_guid,
            client_guid: open.client_guid,
            app_instance: open.app_instance,
            timeout_ms: durable.timeout_ms,
            persistent: durable.persistent,
            resilient: durable.resilient,
            replayable: open.replay.is_some(),
            path: open.path.clone(),
            access: open.access,
            share_access: open.share_access,
            delete_on_close: open.delete_on_close,
            deletes_with_own: open.deletes_with_own,
            delete_pending: self.is_open_deleted(id),
            oplock,
            client: open.owner.client.clone(),
        };
        Some(LoggedOpen {
            kept,
            lease,
            user: open.owner.user.clone(),
            user_kind: open.owner.kind,
            user_sid: open.owner.sid,
            domain: open.owner.domain.clone(),
            attached: open.attached.clone(),
        })
    }
}
