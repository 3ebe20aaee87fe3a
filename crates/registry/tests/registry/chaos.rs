//! Arbitrary sequences of operations with caching, waiting, durable opens and time. There is no model
//! of what is granted; what must hold is that the tables stay consistent, that each request that waits
//! is answered once, that each open is released once, and that everything comes to rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use registry::{
    Admission, AdmitRequest, BreakKind, ConnectionId, DurableRequest, EndReason, LeaseRequest, Limits,
    LockElement, LockOutcome, Readiness, Reconnect, Replay, RequestKey, Rest, SessionFilter, Target,
};
use wire::{AccessMask, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId, ShareAccess};

use crate::world::{Bench, Client, World, file_key, guid};

type Effects = registry::Effects<Bench>;

const CLIENTS: u8 = 3;

#[derive(Clone, Debug)]
enum Operation {
    Open(Opening),
    Close { open: usize },
    Acknowledge { notice: usize, state: u32 },
    Write { open: usize },
    Rename { open: usize },
    KindClose { open: usize },
    ChangeDirectory { file: u64, key: Option<u8> },
    Outsider { file: u64 },
    Bind { client: u8 },
    LoseChannel { client: u8 },
    Replay { client: u8, request: usize },
    Lock { open: usize, offset: u64, wait: bool },
    Unlock { open: usize, offset: u64 },
    Cancel { request: usize },
    Disconnect { client: u8 },
    Logoff { client: u8 },
    AdministratorEnds { client: u8 },
    TreeDisconnect { client: u8 },
    Reconnect { open: usize },
    Pass { ms: u64 },
}

#[derive(Clone, Debug)]
struct Opening {
    client: u8,
    file: u64,
    access: u32,
    share: u32,
    overwrites: bool,
    oplock: u8,
    lease: Option<(u8, u32, u8)>,
    durable: u8,
    directory: bool,
}

fn opening() -> impl Strategy<Value = Opening> {
    (
        (0..CLIENTS, 0..3_u64),
        prop_oneof![4 => Just(0x1f_01ff_u32), 1 => Just(0x1), 1 => Just(0x80), 1 => Just(0x2_0080)],
        prop_oneof![4 => Just(7_u32), 1 => 0..8_u32],
        prop::bool::weighted(0.2),
        prop_oneof![Just(0_u8), Just(1), Just(8), Just(9)],
        prop::option::of((0..3_u8, 0..8_u32, 1..3_u8)),
        0..3_u8,
        prop::bool::weighted(0.1),
    )
        .prop_map(|((client, file), access, share, overwrites, oplock, lease, durable, directory)| {
            Opening { client, file, access, share, overwrites, oplock, lease, durable, directory }
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    let open = 0..16_usize;
    prop_oneof![
        12 => opening().prop_map(Operation::Open),
        4 => open.clone().prop_map(|open| Operation::Close { open }),
        6 => (0..8_usize, 0..8_u32).prop_map(|(notice, state)| Operation::Acknowledge { notice, state }),
        2 => open.clone().prop_map(|open| Operation::Write { open }),
        2 => open.clone().prop_map(|open| Operation::Rename { open }),
        1 => open.clone().prop_map(|open| Operation::KindClose { open }),
        1 => (0..3_u64, prop::option::of(0..3_u8))
            .prop_map(|(file, key)| Operation::ChangeDirectory { file, key }),
        1 => (0..3_u64).prop_map(|file| Operation::Outsider { file }),
        1 => (0..CLIENTS).prop_map(|client| Operation::Bind { client }),
        2 => (0..CLIENTS).prop_map(|client| Operation::LoseChannel { client }),
        2 => (0..CLIENTS, 0..8_usize).prop_map(|(client, request)| Operation::Replay { client, request }),
        2 => (open.clone(), 0..3_u64, any::<bool>())
            .prop_map(|(open, offset, wait)| Operation::Lock { open, offset, wait }),
        1 => (open.clone(), 0..3_u64).prop_map(|(open, offset)| Operation::Unlock { open, offset }),
        1 => (0..4_usize).prop_map(|request| Operation::Cancel { request }),
        2 => (0..CLIENTS).prop_map(|client| Operation::Disconnect { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::Logoff { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::AdministratorEnds { client }),
        1 => (0..CLIENTS).prop_map(|client| Operation::TreeDisconnect { client }),
        3 => open.prop_map(|open| Operation::Reconnect { open }),
        2 => prop_oneof![0..1_000_u64, 30_000..130_000_u64].prop_map(|ms| Operation::Pass { ms }),
    ]
}

#[derive(Clone, Debug)]
enum Pending {
    Create(Box<AdmitRequest>),
    Rename(FileGlobalId),
    Lock,
}

struct Chaos {
    world: World,
    clients: Vec<Client>,
    opens: Vec<(FileGlobalId, FileId, u8)>,
    released: BTreeSet<FileGlobalId>,
    pending: BTreeMap<RequestKey, Pending>,
    notices: Vec<(SessionId, u8, BreakKind)>,
    /// Further connections of the clients' sessions.
    channels: Vec<(u8, ConnectionId)>,
    /// What CREATEs could be replayed with.
    created: Vec<(Guid, Option<Guid>)>,
    /// What is to be gone on with, one before each operation.
    rest: VecDeque<Rest>,
}

impl Chaos {
    fn new(limits: Limits) -> Self {
        let mut world = World::with(limits);
        let clients = (0..CLIENTS).map(|number| world.client(number)).collect();
        Self {
            world,
            clients,
            opens: Vec::new(),
            released: BTreeSet::new(),
            pending: BTreeMap::new(),
            notices: Vec::new(),
            channels: Vec::new(),
            created: Vec::new(),
            rest: VecDeque::new(),
        }
    }

    fn client(&self, number: u8) -> Client {
        self.clients[usize::from(number)]
    }

    fn chosen(&self, open: usize) -> Option<(FileGlobalId, FileId, u8)> {
        let count = self.opens.len();
        (count > 0).then(|| self.opens[open % count])
    }

    fn step(&mut self, operation: Operation) {
        if let Some(rest) = self.rest.pop_front() {
            let effects = self.world.state.go_on(rest, self.world.now);
            self.apply(effects);
            self.world.check();
        }
        let now = self.world.now;
        match operation {
            Operation::Open(opening) => self.open(&opening),
            Operation::Close { open } => {
                let Some((id, ..)) = self.chosen(open) else { return };
                let effects =
                    self.world.state.close_open(id, registry::CloseReason::ClientClose, now).ok().unwrap();
                assert_eq!(effects.dropped.last().unwrap().global_id, id);
                self.apply(effects);
            }
            Operation::Acknowledge { notice, state } => self.acknowledge(notice, state),
            Operation::Write { open } => {
                let Some((id, ..)) = self.chosen(open) else { return };
                let shared = self.world.state.open(id).unwrap().shared;
                let needs = shared.write_needs_break();
                let effects = self.world.state.break_for_write(id, now).ok().unwrap();
                assert!(needs || effects.breaks.is_empty(), "a break that no writer would have asked for");
                self.apply(effects);
            }
            Operation::Rename { open } => {
                let Some((id, _, client)) = self.chosen(open) else { return };
                let key = self.world.key(self.client(client));
                self.rename(id, key);
            }
            Operation::KindClose { open } => {
                let Some((id, _, client)) = self.chosen(open) else { return };
                let key = self.world.key(self.client(client));
                // Administrators have no connection, and others may ask as well.
                let connection = if open % 2 == 0 { ConnectionId::NONE } else { key.connection };
                let key = RequestKey { connection, ..key };
                let (ready, effects) = self.world.state.break_for_close(id, key, now).ok().unwrap();
                if ready == Readiness::MustWait {
                    self.pending.insert(key, Pending::Lock);
                }
                self.apply(effects);
            }
            Operation::ChangeDirectory { file, key } => {
                let effects = self.world.state.break_directory_caching(file_key(file), key.map(guid), now);
                let spared = effects.breaks.iter().all(|notice| match notice.kind {
                    BreakKind::Lease { key: broken, .. } => Some(broken) != key.map(guid),
                    BreakKind::Oplock { .. } => true,
                });
                assert!(spared, "a lease is broken by its own holder");
                self.apply(effects);
            }
            Operation::Outsider { file } => {
                let effects = self.world.state.break_for_outsider(file_key(file), now);
                self.apply(effects);
            }
            Operation::Bind { client } => {
                let connection = self.world.connect(client);
                match self.world.state.bind_session(self.client(client).session, connection) {
                    Ok(()) => self.channels.push((client, connection)),
                    Err(_) => _ = self.lose(connection),
                }
            }
            Operation::LoseChannel { client } => self.lose_channel(client),
            Operation::Replay { client, request } => {
                let found = self.client(client);
                let Some((create_guid, lease)) =
                    self.created.get(request % self.created.len().max(1)).copied()
                else {
                    return;
                };
                let replay = Replay {
                    session: found.session,
                    tree: found.tree,
                    connection: found.connection,
                    create_guid,
                    lease,
                };
                if let Ok(Some(again)) = self.world.replay(&replay) {
                    let entry = self.opens.iter_mut().find(|it| it.0 == again.global_id).unwrap();
                    let found = (again.file_id.persistent, client);
                    assert_eq!((entry.1.persistent, entry.2), found, "another client's open");
                    entry.1 = again.file_id;
                }
            }
            Operation::Lock { open, offset, wait } => {
                let Some((id, _, client)) = self.chosen(open) else { return };
                let key = self.world.key(self.client(client));
                let element = LockElement { offset, length: 2, exclusive: true };
                let (result, effects) = self.world.state.lock(id, &[element], wait, key, now);
                if result == Ok(LockOutcome::Waiting) {
                    self.pending.insert(key, Pending::Lock);
                }
                self.apply(effects);
            }
            Operation::Unlock { open, offset } => {
                let Some((id, ..)) = self.chosen(open) else { return };
                let element = LockElement { offset, length: 2, exclusive: true };
                let (_, effects) = self.world.state.unlock(id, &[element], now);
                self.apply(effects);
            }
            Operation::Cancel { request } => {
                let count = self.pending.len();
                let Some(key) = self.pending.keys().nth(request % count.max(1)).copied() else { return };
                let effects = self.world.state.cancel(key, now);
                assert!(effects.cancelled.iter().any(|it| it.request == key));
                self.apply(effects);
            }
            Operation::Disconnect { client } => self.disconnect(client),
            Operation::Logoff { client } => {
                let found = self.client(client);
                let effects =
                    self.world.state.close_session(found.session, EndReason::Logoff, now).ok().unwrap();
                self.apply(effects);
                self.log_on_again(client);
            }
            Operation::AdministratorEnds { client } => {
                let name = format!("user{client}");
                let filter = SessionFilter { user: Some(&name), client: None };
                let (count, effects) = self.world.state.close_sessions(&filter, now);
                assert_eq!(count, 1);
                self.apply(effects);
                self.log_on_again(client);
            }
            Operation::TreeDisconnect { client } => {
                let found = self.client(client);
                let effects = self.world.state.tree_disconnect(found.session, found.tree, now).ok().unwrap();
                self.apply(effects);
                self.clients[usize::from(client)].tree = self.world.tree(found.session, "data");
            }
            Operation::Reconnect { open } => self.reconnect(open),
            Operation::Pass { ms } => {
                let effects = self.world.pass_ms(ms);
                self.apply(effects);
            }
        }
        self.world.check();
        assert_eq!(self.world.state.counts().3, self.opens.len());
    }

    fn open(&mut self, opening: &Opening) {
        let mut request = self.world.request(self.client(opening.client), opening.file);
        request.target = Target::File(file_key(opening.file));
        request.access = AccessMask(opening.access);
        request.share_access = ShareAccess(opening.share);
        request.overwrites = opening.overwrites;
        request.oplock = OplockLevel(opening.oplock);
        request.is_directory = opening.directory;
        request.lease = opening.lease.map(|(key, state, version)| LeaseRequest {
            key: guid(key),
            state: LeaseState(state),
            version,
            epoch: 0,
        });
        request.durable = match opening.durable {
            1 => Some(DurableRequest::V1),
            2 => {
                let create_guid = self.fresh_guid(request.request);
                self.created.push((create_guid, request.lease.map(|lease| lease.key)));
                Some(DurableRequest::V2 { create_guid, timeout_ms: 60_000 })
            }
            _ => None,
        };
        self.admit(request);
    }

    fn fresh_guid(&self, key: RequestKey) -> Guid {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&key.id.to_le_bytes());
        Guid(bytes)
    }

    fn admit(&mut self, request: AdmitRequest) {
        let before = self.world.state.counts().3;
        let (answer, effects) = self.world.admit(request.clone());
        let dropped = effects.dropped.len();
        match answer {
            Admission::Granted(granted) => {
                self.opens.push((granted.global_id, granted.file_id, self.number(&request)));
                assert_eq!(self.world.state.counts().3, before + 1 - dropped);
            }
            Admission::MustWait => {
                self.pending.insert(request.request, Pending::Create(Box::new(request)));
            }
            Admission::Refused(_) | Admission::LookAgain => {
                assert_eq!(self.world.state.counts().3, before - dropped);
            }
        }
        self.apply(effects);
    }

    fn number(&self, request: &AdmitRequest) -> u8 {
        self.clients.iter().find(|it| it.session == request.session).unwrap().number
    }

    fn rename(&mut self, id: FileGlobalId, key: RequestKey) {
        let Ok((ready, effects)) = self.world.state.break_handle_caching(id, key, self.world.now) else {
            return;
        };
        if ready == Readiness::MustWait {
            self.pending.insert(key, Pending::Rename(id));
        } else if let Ok(mut renamed) = self.world.state.rename(id, &format!("Dir\\file {}", key.id % 4)) {
            while let Some(rest) = renamed.rest {
                renamed = self.world.state.rename_on(rest);
            }
        }
        self.apply(effects);
    }

    fn acknowledge(&mut self, notice: usize, state: u32) {
        if self.notices.is_empty() {
            return;
        }
        let (session, client, kind) = self.notices.remove(notice % self.notices.len());
        let now = self.world.now;
        match kind {
            BreakKind::Oplock { file_id, level } => {
                let level = if state == 7 { OplockLevel::EXCLUSIVE } else { level };
                let (_, effects) = self.world.state.acknowledge_oplock(session, file_id, level, now);
                self.apply(effects);
            }
            BreakKind::Lease { key, new, .. } => {
                let state = if state == 7 { new } else { LeaseState(state) & new };
                if let Ok((_, effects)) = self.world.state.acknowledge_lease(guid(client), key, state, now) {
                    self.apply(effects);
                }
            }
        }
    }

    /// Everything of a client's is lost.
    fn disconnect(&mut self, number: u8) {
        while self.channels.iter().any(|(owner, _)| *owner == number) {
            self.lose_channel(number);
        }
        self.lose(self.client(number).connection);
        self.clients[usize::from(number)] = self.world.client(number);
    }

    /// The oldest connection of a session is lost, where it has others: its breaks go there.
    fn lose_channel(&mut self, number: u8) {
        let Some(index) = self.channels.iter().position(|(owner, _)| *owner == number) else { return };
        let (_, next) = self.channels.remove(index);
        let client = self.client(number);
        let sessions = self.world.state.counts().1;
        let lost = self.lose(client.connection);
        assert_eq!(self.world.state.counts().1, sessions, "a session with another channel goes on");
        assert_eq!(lost, 0, "its opens stay");
        self.clients[usize::from(number)] = Client { connection: next, ..client };
    }

    fn lose_spare_channels(&mut self, number: u8) {
        for (_, connection) in self.channels.extract_if(.., |(owner, _)| *owner == number).collect::<Vec<_>>()
        {
            self.lose(connection);
        }
    }

    fn lose(&mut self, connection: ConnectionId) -> usize {
        let effects = self.world.state.disconnect(connection, self.world.now);
        let state = &self.world.state;
        self.pending.retain(|key, _| key.connection != connection || state.is_waiting(*key));
        let dropped = effects.dropped.len();
        self.apply(effects);
        dropped
    }

    fn log_on_again(&mut self, number: u8) {
        self.lose_spare_channels(number);
        let client = self.client(number);
        let session = self.world.logon(client.connection, number);
        let tree = self.world.tree(session, "data");
        self.clients[usize::from(number)] = Client { session, tree, ..client };
    }

    fn reconnect(&mut self, open: usize) {
        let Some((id, file_id, number)) = self.chosen(open) else { return };
        let client = self.client(number);
        let shown = self.world.state.file_snapshot(id).unwrap();
        for create_guid in [None, Some(())] {
            for lease in [None, Some(0_u8), Some(1), Some(2)] {
                for version in [1, 2] {
                    let request = Reconnect {
                        session: client.session,
                        tree: client.tree,
                        connection: client.connection,
                        file_id,
                        create_guid: create_guid.map(|()| Guid([0; 16])),
                        lease: lease.map(|key| (guid(key), version)),
                        path: shown.path.clone(),
                        is_same_path: |one, other| one.to_lowercase() == other.to_lowercase(),
                    };
                    if let Ok(found) = self.world.state.reconnect(&request, |_, open| *open, self.world.now) {
                        assert!(shown.session.is_none() && shown.durable);
                        let entry = self.opens.iter_mut().find(|it| it.0 == id).unwrap();
                        entry.1 = found.granted.file_id;
                        return;
                    }
                }
            }
        }
    }

    fn apply(&mut self, effects: Effects) {
        self.world.remove(&effects);
        self.rest.extend(effects.rest);
        for notice in effects.breaks {
            self.notices.push((notice.session_id, notice.session, notice.kind));
        }
        for dropped in effects.dropped {
            assert!(self.released.insert(dropped.global_id), "released twice");
            self.opens.retain(|it| it.0 != dropped.global_id);
        }
        for cancelled in effects.cancelled {
            assert!(self.pending.remove(&cancelled.request).is_some(), "answered twice: {cancelled:?}");
        }
        for granted in effects.granted {
            assert!(self.pending.remove(&granted).is_some(), "answered twice: {granted:?}");
        }
        for request in effects.retry {
            match self.pending.remove(&request).expect("answered twice") {
                Pending::Create(mut request) => {
                    if self.clients.iter().any(|it| it.session == request.session) {
                        request.is_retry = true;
                        self.admit(*request);
                    }
                }
                Pending::Rename(id) => self.rename(id, request),
                Pending::Lock => {}
            }
        }
    }

    /// Nobody does anything any more: time alone brings everything that waits for breaks to an end.
    fn come_to_rest(&mut self) {
        (0..CLIENTS).for_each(|number| self.lose_spare_channels(number));
        while let Some(rest) = self.rest.pop_front() {
            let effects = self.world.state.go_on(rest, self.world.now);
            self.apply(effects);
        }
        for _ in 0..1_000 {
            let Some(at) = self.world.state.poll_timeout() else { break };
            let effects = self.world.pass_ms(at.since_ms(self.world.now));
            self.apply(effects);
        }
        assert_eq!(self.world.state.poll_timeout(), None);
        assert!(self.pending.values().all(|it| matches!(it, Pending::Lock)), "{:?}", self.pending);
        let effects = self.world.state.shutdown(self.world.now);
        self.apply(effects);
        self.world.check();
        assert!(self.opens.is_empty() && self.pending.is_empty());
        assert_eq!(self.world.state.counts(), (usize::from(CLIENTS), 0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, ..ProptestConfig::default() })]

    #[test]
    fn everything_stays_consistent_and_comes_to_rest(operations in prop::collection::vec(operation(), 1..150)) {
        let mut chaos = Chaos::new(Limits::default());
        for operation in operations {
            chaos.step(operation);
        }
        chaos.come_to_rest();
    }

    #[test]
    fn so_it_does_where_everything_is_done_in_parts(operations in prop::collection::vec(operation(), 1..150)) {
        let limits = Limits {
            work_per_hold: 2,
            orphans_per_user: 2,
            orphans: 4,
            cachers_per_file: 3,
            channels_per_session: 5,
            ..Limits::default()
        };
        let mut chaos = Chaos::new(limits);
        for operation in operations {
            chaos.step(operation);
        }
        chaos.come_to_rest();
    }
}
