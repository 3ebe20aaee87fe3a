//! Arbitrary sequences of operations against a model that follows the specification in the plainest way: it searches
//! lists and compares single bytes.

use proptest::prelude::*;
use registry::{
    Admission, CloseReason, EndReason, LockElement, LockError, LockOutcome, Outcome, Refused, RequestKey,
};
use wire::{AccessMask, FileGlobalId, FileId, ShareAccess};

use crate::world::{Bench, Client, World, file_key};

type Effects = registry::Effects<Bench>;

const CLIENTS: u8 = 3;
const FILES: u64 = 3;
const ACCESSES: [u32; 6] = [0x1, 0x2, 0x4, 0x20, 0x1_0000, 0x80];

#[derive(Clone, Debug)]
enum Operation {
    Open { client: u8, file: u64, access: u8, share: u32, delete_on_close: bool },
    Close { open: usize, administrator: bool },
    Lock { open: usize, elements: Vec<LockElement> },
    LockOrWait { open: usize, element: LockElement },
    Unlock { open: usize, lock: usize, and_another: bool },
    Io { open: usize, offset: u64, length: u64, write: bool },
    Cancel { waiter: usize },
    SetDeletePending { open: usize, pending: bool },
    TreeDisconnect { client: u8 },
    Logoff { client: u8 },
    Disconnect { client: u8 },
}

fn element() -> impl Strategy<Value = LockElement> {
    (0..10_u64, 0..6_u64, any::<bool>()).prop_map(|(offset, length, exclusive)| LockElement {
        offset,
        length,
        exclusive,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let open = 0..16_usize;
    prop_oneof![
        6 => (0..CLIENTS, 0..FILES, any::<u8>(), prop_oneof![3 => Just(7), 2 => 0..8_u32], prop::bool::weighted(0.1))
            .prop_map(|(client, file, access, share, delete_on_close)| {
                Operation::Open { client, file, access, share, delete_on_close }
            }),
        3 => (open.clone(), any::<bool>()).prop_map(|(open, administrator)| Operation::Close { open, administrator }),
        4 => (open.clone(), prop::collection::vec(element(), 1..4))
            .prop_map(|(open, elements)| Operation::Lock { open, elements }),
        8 => (open.clone(), element()).prop_map(|(open, element)| Operation::LockOrWait { open, element }),
        5 => (open.clone(), 0..4_usize, prop::bool::weighted(0.2))
            .prop_map(|(open, lock, and_another)| Operation::Unlock { open, lock, and_another }),
        4 => (open.clone(), 0..16_u64, 0..4_u64, any::<bool>())
            .prop_map(|(open, offset, length, write)| Operation::Io { open, offset, length, write }),
        2 => (0..4_usize).prop_map(|waiter| Operation::Cancel { waiter }),
        1 => (open, any::<bool>()).prop_map(|(open, pending)| Operation::SetDeletePending { open, pending }),
        1 => (0..CLIENTS).prop_map(|client| Operation::TreeDisconnect { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::Logoff { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::Disconnect { client }),
    ]
}

#[derive(Clone, Debug)]
struct ModelOpen {
    id: FileGlobalId,
    file_id: FileId,
    client: u8,
    file: u64,
    access: u32,
    share: u32,
    delete_on_close: bool,
}

#[derive(Clone, Debug)]
struct ModelLock {
    open: FileGlobalId,
    file: u64,
    element: LockElement,
    request: Option<RequestKey>,
}

/// The expected state.
#[derive(Default)]
struct Model {
    opens: Vec<ModelOpen>,
    locks: Vec<ModelLock>,
    queue: Vec<ModelLock>,
    delete_pending: Vec<u64>,
}

/// The expected effects.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    dropped: Vec<(FileGlobalId, bool)>,
    granted: Vec<RequestKey>,
    cancelled: Vec<(RequestKey, Outcome)>,
}

impl Expected {
    fn assert_is(&self, effects: &Effects) {
        let actual = Self {
            dropped: effects.dropped.iter().map(|it| (it.global_id, it.delete_on_close_now)).collect(),
            granted: effects.granted.clone(),
            cancelled: effects.cancelled.iter().map(|it| (it.request, it.outcome)).collect(),
        };
        assert_eq!(*self, actual);
        assert!(effects.breaks.is_empty() && effects.retry.is_empty());
    }
}

fn share_clash(one: &ModelOpen, other: &ModelOpen) -> bool {
    let groups = [(0x21, 1), (0x06, 2), (0x1_0000, 4)];
    let takes_part = |open: &ModelOpen| groups.iter().any(|(access, _)| open.access & access != 0);
    let denies = |a: &ModelOpen, b: &ModelOpen| {
        groups.iter().any(|(access, share)| b.access & access != 0 && a.share & share == 0)
    };
    takes_part(one) && takes_part(other) && (denies(one, other) || denies(other, one))
}

fn has_byte(range: &LockElement, byte: i128) -> bool {
    let (start, length) = (i128::from(range.offset), i128::from(range.length));
    (start..start + length).contains(&byte)
}

fn overlap(one: &LockElement, other: &LockElement) -> bool {
    let surrounds = |range: &LockElement, point: u64| {
        has_byte(range, i128::from(point) - 1) && has_byte(range, i128::from(point))
    };
    match (one.length, other.length) {
        (0, _) => surrounds(other, one.offset),
        (_, 0) => surrounds(one, other.offset),
        _ => (0..64).any(|byte| has_byte(one, byte) && has_byte(other, byte)),
    }
}

fn lock_clash(held: &ModelLock, new: &ModelLock) -> bool {
    if held.file != new.file || !overlap(&held.element, &new.element) {
        return false;
    }
    match (held.element.exclusive, new.element.exclusive) {
        (false, false) => false,
        (true, false) => held.open != new.open,
        (_, true) => true,
    }
}

impl Model {
    fn serve_queue(&mut self, file: u64, expected: &mut Expected) {
        let mut at = 0;
        while at < self.queue.len() {
            let waiter = self.queue[at].clone();
            let free = waiter.file == file
                && !self.locks.iter().any(|held| lock_clash(held, &waiter))
                && !self.queue[..at].iter().any(|earlier| lock_clash(earlier, &waiter));
            if free {
                self.queue.remove(at);
                expected.granted.extend(waiter.request);
                self.locks.push(waiter);
            } else {
                at += 1;
            }
        }
    }

    fn unwait(&mut self, request: RequestKey, expected: &mut Expected) {
        let at = self.queue.iter().position(|it| it.request == Some(request)).unwrap();
        let file = self.queue.remove(at).file;
        self.serve_queue(file, expected);
    }

    fn close(&mut self, id: FileGlobalId, expected: &mut Expected) {
        let at = self.opens.iter().position(|it| it.id == id).unwrap();
        let open = self.opens[at].clone();
        for waiter in self.queue.iter().filter(|it| it.open == id) {
            expected.cancelled.push((waiter.request.unwrap(), Outcome::HandleClosed));
        }
        self.queue.retain(|it| it.open != id);
        self.serve_queue(open.file, expected);
        self.locks.retain(|it| it.open != id);
        self.serve_queue(open.file, expected);
        self.opens.remove(at);
        if open.delete_on_close && !self.delete_pending.contains(&open.file) {
            self.delete_pending.push(open.file);
        }
        let mut deleted = false;
        if !self.opens.iter().any(|it| it.file == open.file) {
            deleted = self.delete_pending.contains(&open.file);
            self.delete_pending.retain(|it| *it != open.file);
        }
        expected.dropped.push((id, deleted));
    }

    fn close_all_of(&mut self, client: u8, expected: &mut Expected) {
        let mut ids: Vec<_> = self.opens.iter().filter(|it| it.client == client).map(|it| it.id).collect();
        ids.sort();
        for id in ids {
            self.close(id, expected);
        }
    }
}

struct Run {
    world: World,
    clients: Vec<Client>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new();
        let clients = (0..CLIENTS).map(|number| world.client(number)).collect();
        Self { world, clients, model: Model::default() }
    }

    fn client(&self, number: u8) -> Client {
        self.clients[usize::from(number)]
    }

    fn chosen(&self, open: usize) -> Option<ModelOpen> {
        let count = self.model.opens.len();
        (count > 0).then(|| self.model.opens[open % count].clone())
    }

    fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Open { client, file, access, share, delete_on_close } => {
                self.open(client, file, access, share, delete_on_close);
            }
            Operation::Close { open, administrator } => self.close(open, administrator),
            Operation::Lock { open, elements } => self.lock(open, &elements),
            Operation::LockOrWait { open, element } => self.lock_or_wait(open, element),
            Operation::Unlock { open, lock, and_another } => self.unlock(open, lock, and_another),
            Operation::Io { open, offset, length, write } => self.io(open, offset, length, write),
            Operation::Cancel { waiter } => self.cancel(waiter),
            Operation::SetDeletePending { open, pending } => self.set_delete_pending(open, pending),
            Operation::TreeDisconnect { client } => self.tree_disconnect(client),
            Operation::Logoff { client } => self.logoff(client),
            Operation::Disconnect { client } => self.disconnect(client),
        }
        self.compare();
    }

    fn open(&mut self, client: u8, file: u64, access: u8, share: u32, delete_on_close: bool) {
        let bits = ACCESSES.iter().enumerate().filter(|(at, _)| access & (1 << at) != 0);
        let access = bits.fold(0, |mask, (_, bit)| mask | bit);
        let mut request = self.world.request(self.client(client), file);
        request.access = AccessMask(access);
        request.share_access = ShareAccess(share);
        request.delete_on_close = delete_on_close;
        let (answer, effects) = self.world.admit(request);
        assert!(effects.is_empty());
        let (id, file_id) = match &answer {
            Admission::Granted(granted) => (granted.global_id, granted.file_id),
            _ => (FileGlobalId::new(1).unwrap(), FileId::default()),
        };
        let new = ModelOpen { id, file_id, client, file, access, share, delete_on_close };
        let clashes: Vec<FileGlobalId> = self
            .model
            .opens
            .iter()
            .filter(|it| it.file == file && share_clash(it, &new))
            .map(|it| it.id)
            .collect();
        match answer {
            Admission::Granted(_) => {
                assert!(clashes.is_empty() && !self.model.delete_pending.contains(&file));
                self.model.opens.push(new);
            }
            Admission::Refused(Refused::DeletePending) => assert!(self.model.delete_pending.contains(&file)),
            Admission::Refused(Refused::SharingViolation { blocker }) => {
                assert!(!self.model.delete_pending.contains(&file));
                assert!(clashes.contains(&blocker));
            }
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self, open: usize, administrator: bool) {
        let Some(open) = self.chosen(open) else { return };
        let now = self.world.now;
        let effects = match administrator {
            true => self.world.state.close_open(open.id, CloseReason::Administrator, now),
            false => self.world.state.close_open(open.file_id, CloseReason::ClientClose, now),
        };
        let effects = effects.ok().unwrap();
        self.world.remove(&effects);
        let mut expected = Expected::default();
        self.model.close(open.id, &mut expected);
        expected.assert_is(&effects);
        assert!(
            self.world.state.close_open(open.id, CloseReason::Administrator, now).is_err(),
            "closed once"
        );
    }

    fn lock(&mut self, open: usize, elements: &[LockElement]) {
        let Some(open) = self.chosen(open) else { return };
        let before = self.model.locks.len();
        let mut fits = true;
        for element in elements {
            let new = ModelLock { open: open.id, file: open.file, element: *element, request: None };
            fits &= !self.model.locks.iter().any(|held| lock_clash(held, &new));
            self.model.locks.push(new);
        }
        if !fits {
            self.model.locks.truncate(before);
        }
        let request = self.world.key(self.client(open.client));
        let (result, effects) = self.world.state.lock(open.file_id, elements, false, request, self.world.now);
        assert!(effects.is_empty());
        match result {
            Ok(outcome) => assert!(fits && outcome == LockOutcome::Granted),
            Err(LockError::NotGranted { .. }) => assert!(!fits),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn lock_or_wait(&mut self, open: usize, element: LockElement) {
        let Some(open) = self.chosen(open) else { return };
        let request = self.world.key(self.client(open.client));
        let new = ModelLock { open: open.id, file: open.file, element, request: Some(request) };
        let clash = self.model.locks.iter().chain(&self.model.queue).any(|held| lock_clash(held, &new));
        let (result, effects) =
            self.world.state.lock(open.file_id, &[element], true, request, self.world.now);
        assert!(effects.is_empty());
        assert_eq!(result, Ok(if clash { LockOutcome::Waiting } else { LockOutcome::Granted }));
        if clash { self.model.queue.push(new) } else { self.model.locks.push(new) }
    }

    fn unlock(&mut self, open: usize, lock: usize, and_another: bool) {
        let Some(open) = self.chosen(open) else { return };
        let held: Vec<LockElement> =
            self.model.locks.iter().filter(|it| it.open == open.id).map(|it| it.element).collect();
        let mut elements = vec![LockElement { offset: 40, length: 1, exclusive: true }];
        if !held.is_empty() {
            elements[0] = held[lock % held.len()];
        }
        if and_another {
            elements.push(LockElement { offset: 41, length: 1, exclusive: true });
        }
        let mut result = Ok(());
        for element in &elements {
            let same = |it: &ModelLock| {
                (it.open, it.element.offset, it.element.length) == (open.id, element.offset, element.length)
            };
            let found = self.model.locks.iter().position(|it| same(it) && it.element.exclusive);
            match found.or_else(|| self.model.locks.iter().position(same)) {
                Some(at) => drop(self.model.locks.remove(at)),
                None => {
                    result = Err(LockError::RangeNotLocked);
                    break;
                }
            }
        }
        let mut expected = Expected::default();
        self.model.serve_queue(open.file, &mut expected);
        let (actual, effects) = self.world.state.unlock(open.file_id, &elements, self.world.now);
        assert_eq!(actual, result);
        expected.assert_is(&effects);
    }

    fn io(&mut self, open: usize, offset: u64, length: u64, write: bool) {
        let Some(open) = self.chosen(open) else { return };
        let range = LockElement { offset, length, exclusive: write };
        let denied = length > 0
            && self.model.locks.iter().any(|held| {
                let mine = held.open == open.id;
                let free =
                    if write { mine && held.element.exclusive } else { mine || !held.element.exclusive };
                held.file == open.file && overlap(&held.element, &range) && !free
            });
        let actual = self.world.state.check_io(open.file_id, offset, length, write, self.world.now);
        assert_eq!(actual.is_err(), denied);
    }

    fn cancel(&mut self, waiter: usize) {
        let count = self.model.queue.len();
        if count == 0 {
            return;
        }
        let request = self.model.queue[waiter % count].request.unwrap();
        let mut expected = Expected { cancelled: vec![(request, Outcome::Cancelled)], ..Expected::default() };
        self.model.unwait(request, &mut expected);
        expected.assert_is(&self.world.state.cancel(request, self.world.now));
    }

    fn set_delete_pending(&mut self, open: usize, pending: bool) {
        let Some(open) = self.chosen(open) else { return };
        self.model.delete_pending.retain(|it| *it != open.file);
        if pending {
            self.model.delete_pending.push(open.file);
        }
        self.world.state.set_delete_pending(open.file_id, pending).unwrap();
    }

    fn tree_disconnect(&mut self, number: u8) {
        let client = self.client(number);
        let effects =
            self.world.state.tree_disconnect(client.session, client.tree, self.world.now).ok().unwrap();
        let mut expected = Expected::default();
        self.model.close_all_of(number, &mut expected);
        self.world.remove(&effects);
        expected.assert_is(&effects);
        self.clients[usize::from(number)].tree = self.world.tree(client.session, "data");
    }

    fn logoff(&mut self, number: u8) {
        let client = self.client(number);
        let effects =
            self.world.state.close_session(client.session, EndReason::Logoff, self.world.now).ok().unwrap();
        let mut expected = Expected::default();
        self.model.close_all_of(number, &mut expected);
        self.world.remove(&effects);
        expected.assert_is(&effects);
        let session = self.world.logon(client.connection, number);
        let tree = self.world.tree(session, "data");
        self.clients[usize::from(number)] = Client { session, tree, ..client };
    }

    fn disconnect(&mut self, number: u8) {
        let client = self.client(number);
        let mut expected = Expected::default();
        self.model.queue.retain(|it| it.request.unwrap().connection != client.connection);
        for file in 0..FILES {
            self.model.serve_queue(file, &mut expected);
        }
        self.model.close_all_of(number, &mut expected);
        let effects = self.world.state.disconnect(client.connection, self.world.now);
        self.world.remove(&effects);
        expected.assert_is(&effects);
        self.clients[usize::from(number)] = self.world.client(number);
    }

    fn compare(&self) {
        self.world.check();
        assert_eq!(self.world.state.counts().3, self.model.opens.len());
        for file in 0..FILES {
            let opens = self.model.opens.iter().filter(|it| it.file == file).count();
            let summary = self.world.state.file_summary(file_key(file));
            assert_eq!(summary.map_or(0, |it| it.opens), opens);
            if let Some(summary) = summary {
                assert_eq!(summary.delete_pending, self.model.delete_pending.contains(&file));
                assert_eq!(summary.locks, self.model.locks.iter().filter(|it| it.file == file).count());
            }
        }
        for open in &self.model.opens {
            let shown = self.world.state.file_snapshot(open.id).unwrap();
            let held = self.model.locks.iter().filter(|it| it.open == open.id).count();
            let wanted = self.model.queue.iter().filter(|it| it.open == open.id).count();
            assert_eq!(shown.locks.iter().filter(|it| !it.waiting).count(), held);
            assert_eq!(shown.locks.iter().filter(|it| it.waiting).count(), wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_operations_have_the_outcomes_of_the_model(operations in prop::collection::vec(operation(), 1..120)) {
        let mut run = Run::new();
        for operation in operations {
            run.step(operation);
        }
    }
}
