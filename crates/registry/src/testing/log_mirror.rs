//! A log of opens in memory, which a test compares with the registry after each operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::testing::world::World;
use crate::{
    FileKey, Identity, KeptOpen, Limits, LockElement, LogChanges, LogId, LoggedLease, LoggedOpen,
    RestoreRefused, RestoredLease, RestoredOpen, SessionFlags, Shell, State, UserKind,
};

/// The log of all opens of a [`Driver`](super::Driver).
pub(super) const LOG: LogId = LogId(1);

/// The timeout with which a driver requests a persistent handle.
pub const PERSISTENT_MS: u32 = 77_777;

/// The number of operations after which the log is restored: that takes longer than all the rest.
const RESTORES_EVERY: u32 = 8;

/// The contents of the log, as text, and the number of operations.
#[derive(Debug, Default)]
pub(super) struct LogMirror(BTreeMap<String, String>, u32);

impl LogMirror {
    /// Writes the changes of an operation, and checks that the log has what it should have, and that a new registry can
    /// be made of it.
    pub(super) fn follow(&mut self, world: &mut World) {
        let state = &mut world.state;
        // As handlers do after a LOCK.
        for locks in &state.whole_log(LOG).locks {
            let id = state.by_durable_id(locks.open).unwrap();
            state.log_locks(id, &[locks.element]);
        }
        self.unlock(state);
        let changes = state.log_changes(LOG);
        self.apply(&changes);
        assert!(state.log_changes(LOG).is_empty());
        let whole = state.whole_log(LOG);
        let mut expected = Self::default();
        expected.apply(&whole);
        assert_eq!(self.0, expected.0, "a change is missing in the log");
        self.1 += 1;
        if self.1.is_multiple_of(RESTORES_EVERY) {
            restore(world, &whole);
        }
    }

    /// Records the locks that the log has and that may have been released.
    fn unlock(&self, state: &mut State<impl Shell>) {
        for name in self.0.keys().filter(|name| name.starts_with("lock")) {
            let numbers: Vec<u64> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
            let element = LockElement { offset: numbers[1], length: numbers[2], exclusive: false };
            if let Some(id) = state.by_durable_id(numbers[0]) {
                state.log_locks(id, &[element]);
            }
        }
    }

    fn apply(&mut self, changes: &LogChanges<impl Shell>) {
        for ended in &changes.ended {
            self.0.remove(&format!("open {ended}"));
            self.0.retain(|name, _| !name.starts_with(&format!("lock {ended} ")));
        }
        for open in &changes.opens {
            self.0.insert(format!("open {}", open.kept.file_id.persistent), text(open));
        }
        for lock in &changes.locks {
            let LockElement { offset, length, exclusive } = lock.element;
            self.put(
                format!("lock {} {offset} {length} {exclusive}", lock.open),
                (lock.count > 0).then_some(lock.count),
            );
        }
        for LoggedLease { id, state } in &changes.leases {
            self.put(format!("lease {id:?}"), *state);
        }
    }

    fn put(&mut self, name: String, value: Option<impl std::fmt::Debug>) {
        match value {
            Some(value) => self.0.insert(name, format!("{value:?}")),
            None => self.0.remove(&name),
        };
    }
}

/// The parts of an open that its entry in the log must have. A use that ends its replay is not written.
fn text(open: &LoggedOpen<impl Shell>) -> String {
    let kept = KeptOpen { replayable: false, ..open.kept.clone() };
    format!("{kept:?} {:?} {}", open.lease, open.user)
}

/// Restores the opens of a log in a new registry.
fn restore<S: Shell>(world: &World, log: &LogChanges<S>) {
    let mut state: State<S> = State::new(Limits::default(), 7, world.now);
    for share in world.state.shares() {
        state.add_share(share.clone(), world.now).unwrap();
    }
    state.add_log(LOG);
    let mut restored = 0;
    for open in &log.opens {
        let lease = open.lease.and_then(|id| log.leases.iter().find(|lease| lease.id == id));
        let lease = lease.and_then(|it| {
            it.state.map(|(state, version, epoch)| RestoredLease { id: it.id, state, version, epoch })
        });
        assert_eq!(lease.is_some(), open.lease.is_some(), "the lease of an open is missing");
        let locks = log.locks.iter().filter(|lock| lock.open == open.kept.file_id.persistent);
        let locks = locks.flat_map(|lock| (0..lock.count).map(|_| lock.element)).collect();
        let flags = SessionFlags {
            guest: open.user_kind == UserKind::Guest,
            anonymous: open.user_kind == UserKind::Anonymous,
            ..SessionFlags::default()
        };
        let (user, domain, sid) = (open.user.clone(), open.domain.clone(), open.user_sid);
        let wanted = RestoredOpen {
            log: LOG,
            share: Arc::from("data"),
            root: FileKey::default(),
            kept: open.kept.clone(),
            lease,
            identity: Identity { user, domain, sid, flags },
            locks,
        };
        match state.restore(&wanted, |_| open.attached.clone(), world.now) {
            Ok(_) => restored += 1,
            Err(RestoreRefused::NotDurable) => {}
            Err(refused) => panic!("{refused:?}: {}", text(open)),
        }
        state.check_invariants().unwrap();
    }
    assert_eq!((state.counts().3, state.logged_opens(LOG)), (restored, restored));
}
