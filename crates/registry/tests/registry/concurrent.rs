//! Several threads use one registry at a time. Afterwards the tables are consistent, and the event stream is a history
//! that a single thread could have made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use proptest::prelude::*;
use registry::{
    Admission, AdmitRequest, CloseReason, DurableRequest, EventKind, Events, Filter, GrantedOpen,
    LeaseRequest, LimitReached, Limits, LockElement, Refused, Registry, RequestKey,
};
use wire::{AccessMask, FileGlobalId, Guid, LeaseState, OplockLevel, ShareAccess};

use crate::world::{ALL_ACCESS, Bench, Client, READ, SHARE_ALL, SHARE_NONE, World, file_key, guid};

const THREADS: u8 = 4;
/// The files that all threads open: few, so that they meet.
const FILES: u64 = 6;

/// A source of numbers that is the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// The work of one thread on behalf of one client.
struct Worker<'a> {
    registry: &'a Registry<Bench>,
    client: Client,
    chance: Chance,
    opens: Vec<GrantedOpen>,
    last_request: u64,
    world_time: registry::Time,
    history: History,
}

/// The requests of a thread that were answered.
#[derive(Default)]
struct History {
    granted: Vec<(FileGlobalId, Asked)>,
    /// With the open that was in the way.
    refused: Vec<(FileGlobalId, Asked)>,
}

/// The part of a request that decides about others, and the caching that it got.
#[derive(Clone, Copy, Debug)]
struct Asked {
    client: u8,
    file: u64,
    access: AccessMask,
    share: ShareAccess,
    /// The key, if the open has a lease.
    lease: Option<Guid>,
    /// True if the open may cache what it writes.
    caches_writes: bool,
}

impl Asked {
    /// True if two opens cannot exist at the same time: bit for bit as in the table of MS-FSA 2.1.5.1.2.
    fn clashes_with(&self, other: &Self) -> bool {
        const GROUPS: [(u32, u32); 3] = [(0x21, 1), (0x06, 2), (0x1_0000, 4)];
        let takes_part = |it: &Self| GROUPS.iter().any(|(access, _)| it.access.0 & access != 0);
        let denies = |one: &Self, other: &Self| {
            GROUPS.iter().any(|(access, share)| other.access.0 & access != 0 && one.share.0 & share == 0)
        };
        self.file == other.file
            && takes_part(self)
            && takes_part(other)
            && (denies(self, other) || denies(other, self))
    }

    /// True if `new` must not be allowed to cache writes beside this.
    fn keeps_from_caching(&self, new: &Self) -> bool {
        let is_same_lease = self.lease.is_some() && (self.client, self.lease) == (new.client, new.lease);
        self.file == new.file && !is_same_lease && (self.access.0 & !0x10_0180 != 0 || self.caches_writes)
    }
}

impl<'a> Worker<'a> {
    fn new(registry: &'a Registry<Bench>, client: Client, world_time: registry::Time) -> Self {
        let chance = Chance(u64::from(client.number));
        let (opens, history) = (Vec::new(), History::default());
        Self { registry, client, chance, opens, last_request: 0, world_time, history }
    }

    fn request(&mut self, file: u64) -> AdmitRequest {
        self.last_request += 1;
        let key = RequestKey { connection: self.client.connection, id: self.last_request };
        let ids = (self.client.session, self.client.tree);
        let target = registry::OpenTarget::File(file_key(file));
        AdmitRequest {
            allocation: 4096,
            ..AdmitRequest::new(key, ids, target, format!("dir\\file{file}").into())
        }
    }

    fn open(&mut self) {
        let file = self.chance.below(FILES);
        let mut request = self.request(file);
        request.access = self.chance.one_of(&[READ, ALL_ACCESS, AccessMask::READ_ATTRIBUTES]);
        request.share_access =
            self.chance.one_of(&[SHARE_ALL, SHARE_ALL, SHARE_ALL, ShareAccess::READ, SHARE_NONE]);
        match self.chance.below(4) {
            0 => request.oplock = self.chance.one_of(&[OplockLevel::LEVEL_II, OplockLevel::BATCH]),
            1 => {
                let state = self.chance.one_of(&[LeaseState(1), LeaseState(3), LeaseState(7)]);
                let key = guid(u8::try_from(file).unwrap() + 1);
                request.lease = Some(LeaseRequest { key, state, version: 2, epoch: 0 });
            }
            _ => {}
        }
        let has_handle_caching = request.lease.is_some() || request.oplock == OplockLevel::BATCH;
        if has_handle_caching && self.chance.below(2) == 0 {
            // Few GUIDs: some are those of opens that have not been used yet.
            let create_guid = guid(u8::try_from(self.chance.below(8)).unwrap());
            request.durable = Some(DurableRequest::V2 { create_guid, timeout_ms: 0, persistent: false });
        }
        request.delete_on_close = self.chance.below(40) == 0;
        let key = request.request;
        let asked = Asked {
            client: self.client.number,
            file,
            access: request.access,
            share: request.share_access,
            lease: request.lease.map(|lease| lease.key),
            caches_writes: false,
        };
        let (answer, effects) =
            self.registry.admit(request, |granted| u64::from(granted.global_id.value()), self.world_time);
        self.removed(&effects);
        match answer {
            Admission::Granted(granted) => {
                let exclusive = [OplockLevel::BATCH, OplockLevel::EXCLUSIVE].contains(&granted.oplock);
                let caches_writes = exclusive || granted.lease_state.contains(LeaseState::WRITE);
                self.history.granted.push((granted.global_id, Asked { caches_writes, ..asked }));
                self.opens.push(granted);
            }
            Admission::Refused(Refused::SharingViolation { blocker }) => {
                self.history.refused.push((blocker, asked));
            }
            Admission::MustWait => {
                let cancelled = self.registry.lock("cancel").cancel(key, self.world_time);
                self.removed(&cancelled);
            }
            Admission::Refused(_) | Admission::LookAgain => {}
        }
    }

    fn close(&mut self) {
        if self.opens.is_empty() {
            return;
        }
        let open =
            self.opens.swap_remove(usize::try_from(self.chance.below(self.opens.len() as u64)).unwrap());
        let (id, now) = (open.global_id, self.world_time);
        let effects = match self.chance.below(8) {
            0 => self.registry.lock("close").close_open(id, CloseReason::Administrator, now),
            _ => self.registry.close_open(open.file_id, CloseReason::ClientClose, now),
        };
        // Another thread has ended the session, or closed all opens of it.
        let Ok(effects) = effects else { return };
        assert_eq!(effects.dropped.last().unwrap().global_id, id);
        assert!(open.shared.closed().is_some(), "open {id} has ended and does not show it");
        self.removed(&effects);
        let again = self.registry.close_open(open.file_id, CloseReason::ClientClose, now);
        assert!(again.is_err(), "open {id} has ended twice");
    }

    /// Closes all opens; `granted` is never more than there are.
    fn close_all(&mut self, granted: &AtomicUsize) {
        for open in self.opens.drain(..) {
            granted.fetch_sub(1, Relaxed);
            let closed = self.registry.close_open(open.file_id, CloseReason::ClientClose, self.world_time);
            drop(closed.unwrap_or_else(|_| panic!("an open is lost")));
        }
    }

    fn removed(&self, effects: &registry::Effects<Bench>) {
        for removal in effects.dropped.iter().flat_map(|it| &it.removals).chain(&effects.removals) {
            self.registry.lock("removed").removed(removal);
        }
    }

    fn step(&mut self) {
        match self.chance.below(64) {
            0 => self.registry.lock("check").check_invariants().unwrap(),
            1 => {
                if let Some(open) = self.opens.first() {
                    let element = LockElement { offset: self.chance.below(4), length: 1, exclusive: true };
                    let key = RequestKey { connection: self.client.connection, id: u64::MAX };
                    let id = open.global_id;
                    let (_, effects) =
                        self.registry.lock("lock").lock(id, &[element], false, key, self.world_time);
                    self.removed(&effects);
                }
            }
            2 => self.list(),
            3..6 => self.use_one(),
            6..24 => self.open(),
            _ if self.opens.len() > 20 => self.close(),
            number if number % 2 == 0 => self.close(),
            _ => self.open(),
        }
    }

    fn use_one(&mut self) {
        if self.opens.is_empty() {
            return;
        }
        let chosen = self.chance.below(self.opens.len() as u64);
        self.registry.forget_replay(self.opens[usize::try_from(chosen).unwrap()].global_id);
    }

    /// A list is of one moment: the numbers of opens that other tables count are those of the list.
    fn list(&self) {
        let state = self.registry.lock("list");
        let list = state.file_snapshots(&Filter::default(), None, usize::MAX).entries;
        let trees = state.tree_snapshots(&Filter::default(), None, usize::MAX).entries;
        assert_eq!(list.len(), state.counts().3);
        assert_eq!(list.len(), trees.iter().map(|it| it.opens).sum::<usize>());
        assert!(list.is_sorted_by_key(|it| it.global_id), "the list is not in the order of the ids");
    }
}

/// Lets all clients of a world work at a time, each in its thread, and returns the world with what they have seen.
fn work(mut world: World, steps: usize, seed: u64) -> (World, History) {
    let clients: Vec<Client> = (1..=THREADS).map(|number| world.client(number)).collect();
    let now = world.now;
    let World { state, .. } = world;
    let registry = Registry::new(state, || {});
    let mut seen = History::default();
    let work = |client: Client| {
        let mut worker = Worker::new(&registry, client, now);
        worker.chance = Chance(seed ^ (u64::from(client.number) * 0x9e37_79b9));
        (0..steps).for_each(|_| worker.step());
        worker.history
    };
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || work(client))).collect();
        for thread in running {
            let own = thread.join().unwrap();
            seen.granted.extend(own.granted);
            seen.refused.extend(own.refused);
        }
    });
    let mut world = World::new();
    world.state = registry.into_state();
    (world, seen)
}

/// Checks that each open of the events is ended once and after it was opened, that no two exist at a time that exclude
/// each other, that none caches writes beside another, and that what was refused had a reason. Returns those that are
/// open in the end.
fn replayed(events: &Events, seen: &History) -> BTreeSet<FileGlobalId> {
    assert_eq!(events.lost, 0);
    let mut open = BTreeMap::new();
    let asked: BTreeMap<FileGlobalId, Asked> = seen.granted.iter().copied().collect();
    assert_eq!(asked.len(), seen.granted.len(), "an id was issued twice");
    for (blocker, refused) in &seen.refused {
        assert!(
            asked[blocker].clashes_with(refused),
            "{refused:?} was refused because of {:?}",
            asked[blocker]
        );
    }
    for (before, event) in events.events.iter().zip(&events.events[1..]) {
        assert_eq!(before.seq + 1, event.seq, "the events are not numbered one by one");
    }
    for event in &events.events {
        match &event.kind {
            EventKind::Opened { open: it, .. } => {
                let new = asked[&it.file];
                for other in open.values() {
                    assert!(!new.clashes_with(other), "{new:?} was granted beside {other:?}");
                    let is_cached = new.caches_writes && other.keeps_from_caching(&new);
                    assert!(!is_cached, "{new:?} may cache beside {other:?}");
                }
                assert!(open.insert(it.file, new).is_none(), "{:?} is opened twice", it.file);
            }
            EventKind::Closed { open: it, .. } => {
                assert!(open.remove(&it.file).is_some(), "{:?} ends before it is opened", it.file);
            }
            _ => {}
        }
    }
    open.into_keys().collect()
}

#[test]
fn threads_leave_consistent_tables_and_a_history() {
    let (world, seen) = work(World::with(Limits { events: 1 << 20, ..Limits::default() }), 3_000, 0);
    world.check();
    let listed = world.state.file_snapshots(&Filter::default(), None, usize::MAX).entries;
    let listed: BTreeSet<FileGlobalId> = listed.iter().map(|it| it.global_id).collect();
    assert_eq!(replayed(&world.state.events_after(0, usize::MAX), &seen), listed);
    assert!(!seen.refused.is_empty() && seen.granted.iter().any(|(_, asked)| asked.caches_writes));
    assert!(!listed.is_empty());
    let statistics = world.state.statistics().snapshot();
    let opened = world.state.events_after(0, usize::MAX).events;
    let opened = opened.iter().filter(|it| matches!(it.kind, EventKind::Opened { .. })).count();
    assert_eq!(statistics.file_opens, opened as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_schedule_of_threads_is_a_history_of_the_rules(seed in any::<u64>(), steps in 50..600_usize) {
        let (world, seen) = work(World::with(Limits { events: 1 << 20, ..Limits::default() }), steps, seed);
        world.check();
        replayed(&world.state.events_after(0, usize::MAX), &seen);
    }
}

/// Several connections of one client open files of their own at the same time, again and again. Returns the number of
/// those that were granted in each round; `prepare` names what only one of them can have, and `is_refusal` recognizes the
/// answer to the others.
fn race(prepare: fn(&mut AdmitRequest, u64), is_refusal: fn(&Refused) -> bool) -> Vec<usize> {
    const ROUNDS: usize = 500;
    let mut world = World::new();
    let clients: Vec<Client> = (0..THREADS).map(|_| world.client(1)).collect();
    let now = world.now;
    let registry = Registry::new(world.state, || {});
    let barrier = Barrier::new(usize::from(THREADS));
    let granted: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (thread, client) in (0..).zip(clients) {
            let (registry, barrier, granted) = (&registry, &barrier, &granted);
            scope.spawn(move || {
                let mut worker = Worker::new(registry, client, now);
                for (round, count) in (0..).zip(granted) {
                    let mut request = worker.request(thread);
                    prepare(&mut request, round);
                    barrier.wait();
                    let (answer, _) = registry.admit(request, |_| 0, now);
                    barrier.wait();
                    match answer {
                        Admission::Granted(open) => {
                            count.fetch_add(1, Relaxed);
                            let closed = registry.close_open(open.file_id, CloseReason::ClientClose, now);
                            drop(closed.unwrap_or_else(|_| panic!("an open is lost")));
                        }
                        Admission::Refused(refused) => assert!(is_refusal(&refused), "{refused:?}"),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let state = registry.into_state();
    state.check_invariants().unwrap();
    assert_eq!(state.counts().3, 0);
    granted.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn create_guid_is_granted_once_while_threads_ask_for_it() {
    let prepare = |request: &mut AdmitRequest, round| {
        let create_guid = Guid(u128::from(round).to_le_bytes());
        request.durable = Some(DurableRequest::V2 { create_guid, timeout_ms: 0, persistent: false });
        request.oplock = OplockLevel::BATCH;
    };
    let granted = race(prepare, |refused| matches!(refused, Refused::CreateGuidInUse { .. }));
    assert!(granted.iter().all(|count| *count == 1), "{granted:?}");
}

#[test]
fn lease_key_is_of_one_file_while_threads_ask_for_it() {
    let prepare = |request: &mut AdmitRequest, _| {
        request.lease = Some(LeaseRequest { key: guid(1), state: LeaseState(7), version: 2, epoch: 0 });
    };
    let granted = race(prepare, |refused| matches!(refused, Refused::LeaseKeyInUse));
    assert!(granted.iter().all(|count| *count == 1), "{granted:?}");
}

#[test]
fn limit_is_exact_while_threads_open_and_close() {
    const LIMIT: usize = 64;
    let mut world = World::with(Limits { opens: LIMIT, ..Limits::default() });
    let clients: Vec<Client> = (1..=THREADS).map(|number| world.client(number)).collect();
    let now = world.now;
    // A part of the places is kept for administrators.
    let places = LIMIT - LIMIT / 16;
    let (granted, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let registry = Registry::new(world.state, || {});
    thread::scope(|scope| {
        for client in clients {
            let (registry, granted, most) = (&registry, &granted, &most);
            scope.spawn(move || {
                let mut worker = Worker::new(registry, client, now);
                for round in 0..2_000 {
                    let file = u64::from(client.number) * 1_000_000 + round;
                    let request = AdmitRequest { access: READ, ..worker.request(file) };
                    match registry.admit(request, |_| 0, now).0 {
                        Admission::Granted(open) => {
                            worker.opens.push(open);
                            most.fetch_max(granted.fetch_add(1, Relaxed) + 1, Relaxed);
                        }
                        Admission::Refused(Refused::LimitReached(LimitReached::Opens)) => {
                            // The places are taken, by this thread and by others.
                            worker.close_all(granted);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                worker.close_all(granted);
            });
        }
    });
    assert!(most.into_inner() <= places, "more opens than the limit");
    let state = registry.into_state();
    state.check_invariants().unwrap();
    assert_eq!(state.counts().3, 0);
}

#[test]
fn session_that_ends_takes_all_its_opens_along() {
    let mut world = World::new();
    let clients: Vec<Client> = (1..=THREADS).map(|number| world.client(number)).collect();
    let now = world.now;
    let registry = Registry::new(world.state, || {});
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in &clients {
            let (registry, is_over, client) = (&registry, &is_over, *client);
            scope.spawn(move || {
                let mut worker = Worker::new(registry, client, now);
                // After the end of its session, nothing is granted.
                let mut ended = false;
                while !is_over.load(Relaxed) || !ended {
                    let file = worker.chance.below(FILES);
                    let request = AdmitRequest { access: READ, ..worker.request(file) };
                    match registry.admit(request, |_| 0, now).0 {
                        Admission::Granted(open) => {
                            assert!(!ended, "an open is granted after the end of its session");
                            if worker.opens.len() > 50 {
                                let id = worker.opens.pop().unwrap().file_id;
                                let _ = registry.close_open(id, CloseReason::ClientClose, now);
                            }
                            worker.opens.push(open);
                        }
                        Admission::Refused(Refused::SessionGone) => ended = true,
                        other => panic!("{other:?}"),
                    }
                }
                assert!(
                    worker.opens.iter().all(|open| open.shared.closed().is_some()),
                    "an open has outlived its session"
                );
            });
        }
        for client in &clients {
            thread::yield_now();
            let mut state = registry.lock("end_session");
            let mut effects =
                state.close_session(client.session, registry::EndReason::Administrator, now).ok().unwrap();
            while let Some(rest) = effects.rest.pop() {
                let more = state.go_on(rest, now);
                effects.merge(more);
            }
            drop(state);
            drop(effects);
        }
        is_over.store(true, Relaxed);
    });
    let state = registry.into_state();
    state.check_invariants().unwrap();
    assert_eq!(state.counts().3, 0);
}
