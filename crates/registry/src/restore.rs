//! Opens that a log has kept over a restart of the server. They wait for their clients as orphans do, and hold their
//! share modes, locks and caching against others.

use std::sync::Arc;

use wire::{FileGlobalId, FoldedName, LeaseState, OplockLevel, ShareName};

use crate::caching::Caching;
use crate::deadlines::Deadline;
use crate::durable::Durable;
use crate::events::EventKind;
use crate::lease::{Lease, usable};
use crate::open::{Open, Owner};
use crate::share::Origin;
use crate::user_counts::UserKey;
use crate::{
    CloseReason, Effects, FileKey, GrantedOpen, Identity, KeptOpen, LeaseId, LockElement, LogId, OpenShared,
    OpenTarget, Shell, Standing, State, Time,
};

/// An open of an earlier start of the server.
#[derive(Clone, Debug)]
pub struct RestoredOpen {
    /// The log that keeps it.
    pub log: LogId,
    /// The share's name.
    pub share: Arc<str>,
    /// The share's directory.
    pub root: FileKey,
    /// The part that the restart has not changed.
    pub kept: KeptOpen,
    /// The open's lease.
    pub lease: Option<RestoredLease>,
    /// The user.
    pub identity: Identity,
    /// The byte-range locks, equal ones as often as they are held.
    pub locks: Vec<LockElement>,
}

/// A lease of an earlier start of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredLease {
    /// The client and key.
    pub id: LeaseId,
    /// `Lease.LeaseState`.
    pub state: LeaseState,
    /// 1 or 2.
    pub version: u8,
    /// `Lease.Epoch`.
    pub epoch: u16,
}

/// The reason for not restoring an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreRefused {
    /// There is no such share.
    ShareGone,
    /// Another open, a lock or a lease conflicts.
    Conflict,
    /// The registry has too many opens.
    LimitReached,
    /// The open is not durable without its caching, which it had lost before.
    NotDurable,
}

impl<S: Shell> State<S> {
    /// Restores an open, which waits for its client from now on. `attach` makes the server's part of it. On an error,
    /// nothing has changed.
    pub fn restore(
        &mut self,
        it: &RestoredOpen,
        attach: impl FnOnce(&GrantedOpen) -> S::Open,
        now: Time,
    ) -> Result<Effects<S>, RestoreRefused> {
        let kept = &it.kept;
        let share = ShareName::new(&it.share);
        let found = self.shares.get(&share).ok_or(RestoreRefused::ShareGone)?;
        let share_name = found.definition.name.clone();
        let origin = Arc::new(Origin { share, share_id: found.id, share_name, root: it.root });
        if self.open_count.get() >= self.limits.opens {
            return Err(RestoreRefused::LimitReached);
        }
        let is_known = self.by_durable_id(kept.file_id.persistent).is_some();
        let is_leased_elsewhere =
            it.lease.is_some_and(|lease| self.lease_file(lease.id).is_some_and(|file| file != kept.file));
        if is_known
            || is_leased_elsewhere
            || self.share_conflict(kept.file, kept.access, kept.share_access).is_some()
        {
            return Err(RestoreRefused::Conflict);
        }
        let id = self.new_open_ids().global;
        let file = self.enter_file(kept.file).shared.clone();
        let lease = it.lease.map(|lease| self.restore_lease(lease, kept.file, id));
        let shared = Arc::new(OpenShared::new(file, lease, now));
        let durable = Durable {
            create_guid: kept.create_guid,
            timeout_ms: kept.timeout_ms,
            deadline: None,
            resilient: kept.resilient,
            persistent: kept.persistent,
        };
        let granted = GrantedOpen {
            file_id: kept.file_id,
            global_id: id,
            oplock: if it.lease.is_some() { OplockLevel::LEASE } else { kept.oplock },
            lease_state: it.lease.map_or(LeaseState::NONE, |lease| lease.state),
            lease_version: it.lease.map_or(0, |lease| lease.version),
            lease_epoch: it.lease.map_or(0, |lease| lease.epoch),
            lease_breaking: false,
            durable: Some(durable.granted()),
            shared: shared.clone(),
        };
        let open = Open {
            file_id: kept.file_id,
            home: None,
            target: OpenTarget::File(kept.file),
            origin,
            folded: FoldedName::of(&kept.path),
            path: kept.path.clone(),
            access: kept.access,
            share_access: kept.share_access,
            is_directory: false,
            delete_on_close: kept.delete_on_close,
            deletes_with_own: kept.deletes_with_own,
            caching: it.lease.map_or(Caching::None, |lease| Caching::Lease(lease.id)),
            durable: Some(durable),
            log: Some(it.log),
            orphaned: None,
            replay: kept.create_guid.filter(|_| kept.replayable).map(|guid| (kept.client_guid, guid)),
            app_instance: kept.app_instance,
            client_guid: kept.client_guid,
            owner: Arc::new(Owner::new(&it.identity, kept.client.clone())),
            user: UserKey::of(&it.identity),
            created: now,
            locks: 0,
            waiting_locks: 0,
            locked_event: None,
            unanswered_breaks: 0,
            of_stranger: it.identity.standing() == Standing::Stranger,
            shared,
            attached: attach(&granted),
        };
        self.insert_open(id, open, now);
        self.restored_ids.insert(kept.file_id.persistent, id);
        self.opens.unname(kept.file_id.volatile);
        if it.lease.is_none() {
            self.set_oplock(id, kept.oplock, None);
        }
        let mut effects = Effects::none();
        match self.restore_rest(id, it) {
            Ok(()) => {
                self.wait_for_client(id, now, &mut effects);
                Ok(effects)
            }
            Err(refused) => {
                // Its handle is closed with the effects, which contain nothing else: a delete is not carried out.
                if let Some(open) = self.opens.get_mut(&id) {
                    open.delete_on_close = false;
                }
                self.end_open(id, CloseReason::Suspended, now, &mut effects);
                Err(refused)
            }
        }
    }

    /// Ends an open that was just restored and cannot be used after all. Its file is not deleted.
    pub fn abandon_restored(&mut self, id: FileGlobalId, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        if let Some(open) = self.opens.get_mut(&id) {
            open.delete_on_close = false;
            let key = open.target.file();
            if let Some(key) = key {
                self.forget_deletes(key);
            }
            self.end_open(id, CloseReason::Suspended, now, &mut effects);
        }
        effects
    }

    /// Makes an open without a client an orphan.
    fn wait_for_client(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        let Some(open) = self.opens.get_mut(&id) else { return };
        if open.is_persistent()
            && let Some(file) = open.target.file().and_then(|key| self.files.get_mut(&key))
        {
            file.awaited.insert(id);
        }
        if let Some(durable) = &mut open.durable {
            let deadline = now.after_ms(u64::from(durable.timeout_ms));
            durable.deadline = Some(deadline);
            self.deadlines.set(deadline, Deadline::Durable(id));
        }
        let orphaned = EventKind::Orphaned { open: open.event(id) };
        self.events.push(now, orphaned);
        self.enter_orphan(id, now, effects);
    }

    /// Restores the locks and the pending delete of an open.
    fn restore_rest(&mut self, id: FileGlobalId, it: &RestoredOpen) -> Result<(), RestoreRefused> {
        let kept = &it.kept;
        let file = self.files.get_mut(&kept.file).ok_or(RestoreRefused::Conflict)?;
        if !it.locks.iter().all(LockElement::is_valid) {
            return Err(RestoreRefused::Conflict);
        }
        // An open may add a shared lock to its own exclusive one, and not the other way round.
        let mut locks = it.locks.clone();
        locks.sort_by_key(|lock| !lock.exclusive);
        file.ranges.lock_all(id, &locks).map_err(|_| RestoreRefused::Conflict)?;
        self.count_locks(kept.file);
        if let Some(open) = self.opens.get_mut(&id) {
            open.locks = it.locks.len();
        }
        if !self.opens.get(&id).is_some_and(|open| self.outlives_client(id, open)) {
            return Err(RestoreRefused::NotDurable);
        }
        if kept.delete_pending {
            self.restore_delete(kept.file, id);
        }
        Ok(())
    }

    fn restore_lease(
        &mut self,
        lease: RestoredLease,
        file: FileKey,
        open: FileGlobalId,
    ) -> Arc<std::sync::atomic::AtomicU8> {
        let is_new = !self.leases.contains_key(&lease.id);
        let entry = self.leases.get_or_insert_with(lease.id, || Lease::new(file, lease.version, lease.epoch));
        entry.opens.insert(open);
        let shared = entry.shared.clone();
        if is_new {
            if let Some(file) = self.files.get_mut(&file) {
                file.leases.insert(lease.id);
            }
            self.set_lease_state(lease.id, usable(lease.state));
        }
        shared
    }
}
