//! Several threads use one registry at a time. Afterwards the tables are consistent, and the event stream is a history
//! that a single thread could have made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use registry::{
    Admission, AdmitRequest, CloseReason, EventKind, Events, Filter, GrantedOpen, LimitReached, Limits,
    LockElement, Refused, Registry, RequestKey,
};
use wire::{AccessMask, FileGlobalId, LeaseState, OplockLevel, ShareAccess};

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
}

impl Worker<'_> {
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
                request.lease = Some(registry::LeaseRequest { key, state, version: 2, epoch: 0 });
            }
            _ => {}
        }
        request.delete_on_close = self.chance.below(40) == 0;
        let key = request.request;
        let (answer, effects) =
            self.registry.admit(request, |granted| u64::from(granted.global_id.value()), self.world_time);
        self.removed(&effects);
        match answer {
            Admission::Granted(granted) => self.opens.push(granted),
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
            3..24 => self.open(),
            _ if self.opens.len() > 20 => self.close(),
            number if number % 2 == 0 => self.close(),
            _ => self.open(),
        }
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

/// Lets all clients of a world work at a time, each in its thread, and returns the world.
fn work(mut world: World, steps: usize) -> World {
    let clients: Vec<Client> = (1..=THREADS).map(|number| world.client(number)).collect();
    let now = world.now;
    let World { state, .. } = world;
    let registry = Registry::new(state, || {});
    thread::scope(|scope| {
        for client in clients {
            let registry = &registry;
            scope.spawn(move || {
                let chance = Chance(u64::from(client.number) * 0x9e37_79b9);
                let mut worker =
                    Worker { registry, client, chance, opens: Vec::new(), last_request: 0, world_time: now };
                (0..steps).for_each(|_| worker.step());
            });
        }
    });
    let mut world = World::new();
    world.state = registry.into_state();
    world
}

/// Checks that each open of the events is ended once and after it was opened, and that no two exist at a time that
/// exclude each other, as far as the events tell. Returns those that are open in the end.
fn replayed(events: &Events) -> BTreeSet<FileGlobalId> {
    assert_eq!(events.lost, 0);
    let mut open = BTreeMap::new();
    for (before, event) in events.events.iter().zip(&events.events[1..]) {
        assert_eq!(before.seq + 1, event.seq, "the events are not numbered one by one");
    }
    for event in &events.events {
        match &event.kind {
            EventKind::Opened { open: it, .. } => {
                assert!(open.insert(it.file, it.path.clone()).is_none(), "{:?} is opened twice", it.file);
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
    let world = work(World::with(Limits { events: 1 << 20, ..Limits::default() }), 3_000);
    world.check();
    let listed = world.state.file_snapshots(&Filter::default(), None, usize::MAX).entries;
    let listed: BTreeSet<FileGlobalId> = listed.iter().map(|it| it.global_id).collect();
    assert_eq!(replayed(&world.state.events_after(0, usize::MAX)), listed);
    assert!(!listed.is_empty());
    let statistics = world.state.statistics().snapshot();
    let opened = world.state.events_after(0, usize::MAX).events;
    let opened = opened.iter().filter(|it| matches!(it.kind, EventKind::Opened { .. })).count();
    assert_eq!(statistics.file_opens, opened as u64);
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
                let chance = Chance(u64::from(client.number));
                let mut worker =
                    Worker { registry, client, chance, opens: Vec::new(), last_request: 0, world_time: now };
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
                let chance = Chance(u64::from(client.number));
                let mut worker =
                    Worker { registry, client, chance, opens: Vec::new(), last_request: 0, world_time: now };
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
