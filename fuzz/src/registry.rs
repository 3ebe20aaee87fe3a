//! Operations on the registry, as clients, administrators and the clock cause them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use registry::{
    Admission, AdmitRequest, AppInstance, BreakKind, CloseReason, ConnectionDetails, ConnectionId,
    DurableRequest, EndReason, FileKey, Identity, LeaseRequest, Limits, LockElement, LockOutcome, Readiness,
    Reconnect, Replay, RequestKey, Rest, SessionFilter, ShareDefinition, ShareKind, Shell, State, Target,
    Time,
};
use wire::{
    AccessMask, Dialect, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId, ShareAccess, TreeId,
};

use crate::input::Input;

/// Runs the operations of a case, a few bytes each, and checks the tables after each. At the end, the passing of time
/// alone empties the tables.
pub fn registry(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        world.operation(&mut input);
        world.check();
    }
    world.come_to_rest();
}

/// More than this only makes a case slow: the tables are looked at as a whole after each.
const OPERATIONS_MAX: usize = 200;

const CLIENTS: u8 = 3;

struct Attached;

impl Shell for Attached {
    type Connection = u8;
    type Session = u8;
    type Tree = u8;
    type Open = u64;
}

type Effects = registry::Effects<Attached>;

#[derive(Clone, Copy)]
struct Client {
    number: u8,
    connection: ConnectionId,
    session: SessionId,
    tree: TreeId,
}

enum Pending {
    Create(Box<AdmitRequest>),
    Rename(FileGlobalId),
    OutsideLock,
    Other,
}

struct World {
    state: State<Attached>,
    now: Time,
    clients: Vec<Client>,
    opens: Vec<(FileGlobalId, FileId, u8)>,
    released: BTreeSet<FileGlobalId>,
    pending: BTreeMap<RequestKey, Pending>,
    notices: Vec<(SessionId, u8, BreakKind)>,
    /// Further connections of the clients' sessions.
    channels: Vec<(u8, ConnectionId)>,
    last_request: u64,
    rest: VecDeque<Rest>,
}

impl World {
    fn new() -> Self {
        let now = Time(1_000_000);
        // Small enough that cases reach them.
        let limits = Limits {
            opens: 24,
            opens_per_session: 12,
            work_per_hold: 3,
            orphans_per_user: 4,
            orphans: 6,
            cachers_per_file: 4,
            ..Limits::default()
        };
        let mut state = State::new(limits, 0x5eed, now);
        let data = ShareDefinition {
            name: "data".into(),
            kind: ShareKind::Disk,
            path: "/srv/data".into(),
            remark: Arc::default(),
            max_uses: None,
            flags: 0,
            hidden: false,
            temporary: false,
        };
        state.add_share(data, now).unwrap();
        let mut world = Self {
            state,
            now,
            clients: Vec::new(),
            opens: Vec::new(),
            released: BTreeSet::new(),
            pending: BTreeMap::new(),
            notices: Vec::new(),
            channels: Vec::new(),
            last_request: 0,
            rest: VecDeque::new(),
        };
        for number in 0..CLIENTS {
            let client = world.client(number);
            world.clients.push(client);
        }
        world
    }

    fn connection(&mut self, number: u8) -> ConnectionId {
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 50_000);
        let (connection, effects) = self.state.add_connection(peer, number, self.now).unwrap();
        assert!(effects.is_empty(), "a connection that pushes another out");
        let details =
            ConnectionDetails { client_guid: guid(number), dialect: Dialect::SMB311, client_name: None };
        self.state.connection_negotiated(connection, details);
        connection
    }

    fn client(&mut self, number: u8) -> Client {
        let connection = self.connection(number);
        self.logged_on(number, connection)
    }

    /// The oldest connection of a session is lost, if it has another.
    fn lose_channel(&mut self, number: u8) -> bool {
        let Some(index) = self.channels.iter().position(|(owner, _)| *owner == number) else { return false };
        let (_, next) = self.channels.remove(index);
        let client = self.clients[usize::from(number)];
        let opens = self.opens.len();
        self.lose(client.connection);
        assert_eq!(self.opens.len(), opens, "an open is lost with one of its session's channels");
        self.clients[usize::from(number)].connection = next;
        true
    }

    fn lose_spare_channels(&mut self, number: u8) {
        while let Some(index) = self.channels.iter().position(|(owner, _)| *owner == number) {
            let (_, connection) = self.channels.remove(index);
            self.lose(connection);
        }
    }

    fn lose(&mut self, connection: ConnectionId) {
        let effects = self.state.disconnect(connection, self.now);
        let state = &self.state;
        self.pending.retain(|key, _| key.connection != connection || state.is_waiting(*key));
        self.apply(effects);
    }

    fn replay(&mut self, input: &mut Input<'_>) {
        let client = self.chosen_client(input);
        let [create_guid, lease] = [input.byte(), input.byte()];
        let replay = Replay {
            session: client.session,
            tree: client.tree,
            connection: client.connection,
            create_guid: guid(create_guid),
            lease: (lease & 1 == 1).then(|| guid(lease >> 1 & 3)),
        };
        if let Ok(Some(again)) = self.state.replay(&replay, |_, attached| *attached, self.now) {
            let entry = self.opens.iter_mut().find(|it| it.0 == again.granted.global_id).unwrap();
            let found = (again.granted.file_id.persistent, client.number);
            assert_eq!((entry.1.persistent, entry.2), found, "another's open");
            entry.1 = again.granted.file_id;
        }
    }

    fn logged_on(&mut self, number: u8, connection: ConnectionId) -> Client {
        let created = self.state.create_session(connection, |_, _, _| number, self.now);
        let session = created.map(|(it, _)| it.session_id).unwrap();
        let identity =
            Identity { user: format!("user{number}").into(), domain: "DOMAIN".into(), ..Identity::default() };
        let effects = self.state.session_valid(session, identity, None, self.now).unwrap();
        assert!(effects.is_empty(), "a session that pushes another out");
        let tree = self.tree(session);
        Client { number, connection, session, tree }
    }

    fn tree(&mut self, session: SessionId) -> TreeId {
        self.state
            .tree_connect(session, "data", false, FileKey::default(), |_, _| 0, self.now)
            .map(|it| it.tree_id)
            .unwrap()
    }

    fn key(&mut self, client: Client) -> RequestKey {
        self.last_request += 1;
        RequestKey { connection: client.connection, id: self.last_request }
    }

    fn chosen_client(&self, input: &mut Input<'_>) -> Client {
        self.clients[usize::from(input.byte() % CLIENTS)]
    }

    fn chosen_open(&self, input: &mut Input<'_>) -> Option<(FileGlobalId, FileId, Client)> {
        let choice = usize::from(input.byte());
        let (id, file_id, client) = *self.opens.get(choice % self.opens.len().max(1))?;
        Some((id, file_id, self.clients[usize::from(client)]))
    }

    fn operation(&mut self, input: &mut Input<'_>) {
        self.go_on();
        match input.byte() % 25 {
            0..4 => self.open(input),
            4 => {
                let Some((id, ..)) = self.chosen_open(input) else { return };
                let effects = self.state.close_open(id, CloseReason::ClientClose, self.now).ok().unwrap();
                self.apply(effects);
            }
            5..7 => self.acknowledge(input),
            7 => {
                let Some((id, ..)) = self.chosen_open(input) else { return };
                let effects = self.state.break_for_write(id, self.now).ok().unwrap();
                self.apply(effects);
            }
            8 => {
                let Some((id, _, client)) = self.chosen_open(input) else { return };
                let key = self.key(client);
                self.rename(id, key);
            }
            9 => {
                let Some((id, _, client)) = self.chosen_open(input) else { return };
                let key = self.key(client);
                let (ready, effects) = self.state.break_for_close(id, key, self.now).ok().unwrap();
                if ready == Readiness::MustWait {
                    self.pending.insert(key, Pending::Other);
                }
                self.apply(effects);
            }
            10 => {
                let [file, key] = [input.byte(), input.byte()];
                let spared = (key & 1 == 1).then(|| guid(key >> 1 & 3));
                let effects = self.state.break_directory_caching(file_key(file), spared, self.now);
                self.apply(effects);
            }
            11 => self.lock(input),
            12 => {
                let Some((id, ..)) = self.chosen_open(input) else { return };
                let element = element(input);
                let (_, effects) = self.state.unlock(id, &[element], self.now);
                self.apply(effects);
                let _ = self.state.check_io(id, element.offset, element.length, element.exclusive, self.now);
            }
            13 => {
                let choice = usize::from(input.byte());
                let Some(key) = self.pending.keys().nth(choice % self.pending.len().max(1)).copied() else {
                    return;
                };
                let effects = self.state.cancel(key, self.now);
                assert!(effects.cancelled.iter().any(|it| it.request == key));
                self.apply(effects);
            }
            14 => {
                let number = input.byte() % CLIENTS;
                while self.lose_channel(number) {}
                self.lose(self.clients[usize::from(number)].connection);
                self.clients[usize::from(number)] = self.client(number);
            }
            15 => {
                let client = self.chosen_client(input);
                let effects = if input.byte() & 1 == 0 {
                    self.state.close_session(client.session, EndReason::Logoff, self.now).ok().unwrap()
                } else {
                    let name = format!("user{}", client.number);
                    let filter = SessionFilter { user: Some(&name), client: None };
                    let (count, effects) = self.state.close_sessions(&filter, self.now);
                    assert_eq!(count, 1);
                    effects
                };
                self.apply(effects);
                self.lose_spare_channels(client.number);
                self.clients[usize::from(client.number)] = self.logged_on(client.number, client.connection);
            }
            16 => {
                let client = self.chosen_client(input);
                let effects = self.state.tree_disconnect(client.session, client.tree, self.now).ok().unwrap();
                self.apply(effects);
                self.clients[usize::from(client.number)].tree = self.tree(client.session);
            }
            17 => self.reconnect(input),
            18 => {
                let file = file_key(input.byte());
                let effects = self.state.break_for_outsider(file, self.now);
                self.apply(effects);
            }
            19 => {
                let client = self.chosen_client(input);
                let connection = self.connection(client.number);
                if self.state.bind_session(client.session, connection).is_ok() {
                    self.channels.push((client.number, connection));
                } else {
                    self.lose(connection);
                }
            }
            20 => {
                let number = input.byte() % CLIENTS;
                self.lose_channel(number);
            }
            21 => self.replay(input),
            _ => {
                // Up to about two minutes: beyond every timeout but the longest.
                let ms = u64::from(input.u16()) * 2;
                self.pass(ms);
            }
        }
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let client = self.chosen_client(input);
        let [file, rights, choices, lease, durable] = [(); 5].map(|()| input.byte());
        let access = [0x1f_01ff, 0x1f_01ff, 0x1, 0x2, 0x80, 0x1_0000, 0x2_0080, 0x12_0089];
        let request = self.key(client);
        let app_instance = (durable & 0x0c == 0x0c).then(|| AppInstance {
            id: guid(0xaa),
            version: (durable & 0x10 == 0x10).then(|| (0, u64::from(durable >> 5))),
            maximal_access: AccessMask(if durable & 0x20 == 0x20 { 0x12_0089 } else { 0x1f_01ff }),
        });
        let durable = match durable % 4 {
            1 => Some(DurableRequest::V1),
            2 => Some(DurableRequest::V2 { create_guid: unique(request), timeout_ms: 60_000 }),
            3 => Some(DurableRequest::V2 { create_guid: guid(durable), timeout_ms: u32::MAX }),
            _ => None,
        };
        self.admit(AdmitRequest {
            request,
            is_retry: false,
            session: client.session,
            tree: client.tree,
            connection: client.connection,
            target: Target::File(file_key(file)),
            path: format!("dir\\file{}", file % 3).into(),
            access: AccessMask(access[usize::from(rights % 8)]),
            share_access: ShareAccess(u32::from(!(rights >> 3) & 7)),
            overwrites: choices & 1 == 1,
            looked_up: registry::MoveCount::NEVER_MOVED,
            allocation: 4096,
            delete_on_close: choices & 2 == 2,
            // The kind of a file is constant.
            is_directory: file % 3 == 2,
            oplock: OplockLevel([0, 1, 8, 9][usize::from(choices >> 3 & 3)]),
            lease: (lease & 1 == 1).then(|| LeaseRequest {
                key: guid(lease >> 1 & 3),
                state: LeaseState(u32::from(lease >> 3 & 7)),
                version: 1 + (lease >> 6 & 1),
                epoch: u16::from(lease >> 7),
            }),
            durable,
            app_instance,
        });
    }

    fn admit(&mut self, request: AdmitRequest) {
        let (answer, effects) =
            self.state.admit(request.clone(), |granted| u64::from(granted.global_id.value()), self.now);
        match answer {
            Admission::Granted(granted) => {
                let number = self.clients.iter().find(|it| it.session == request.session).unwrap().number;
                self.opens.push((granted.global_id, granted.file_id, number));
            }
            Admission::MustWait => {
                self.pending.insert(request.request, Pending::Create(Box::new(request)));
            }
            Admission::Refused(_) | Admission::LookAgain => {}
        }
        self.apply(effects);
    }

    fn rename(&mut self, id: FileGlobalId, key: RequestKey) {
        let Ok((ready, effects)) = self.state.break_handle_caching(id, key, self.now) else { return };
        if ready == Readiness::MustWait {
            self.pending.insert(key, Pending::Rename(id));
        }
        self.apply(effects);
    }

    fn lock(&mut self, input: &mut Input<'_>) {
        let Some((id, _, client)) = self.chosen_open(input) else { return };
        let key = self.key(client);
        let element = element(input);
        let how = input.byte();
        let (wait, outside) = (how & 1 == 1, (how & 2 == 2).then_some(how & 4 == 4));
        let (result, effects) = match outside {
            Some(is_free) => self.state.lock_outside(id, &[element], wait, key, is_free, self.now),
            None => self.state.lock(id, &[element], wait, key, self.now),
        };
        if matches!(result, Ok(LockOutcome::Waiting | LockOutcome::WaitingOutside)) {
            let waits = if outside.is_some() { Pending::OutsideLock } else { Pending::Other };
            self.pending.insert(key, waits);
        }
        self.apply(effects);
    }

    fn acknowledge(&mut self, input: &mut Input<'_>) {
        let [notice, state] = [input.byte(), input.byte()];
        if self.notices.is_empty() {
            return;
        }
        let (session, client, kind) = self.notices.remove(usize::from(notice) % self.notices.len());
        match kind {
            BreakKind::Oplock { file_id, level } => {
                let level = if state & 8 == 8 { OplockLevel::EXCLUSIVE } else { level };
                let (_, effects) = self.state.acknowledge_oplock(session, file_id, level, self.now);
                self.apply(effects);
            }
            BreakKind::Lease { key, .. } => {
                let state = LeaseState(u32::from(state & 7));
                if let Ok((_, effects)) = self.state.acknowledge_lease(guid(client), key, state, self.now) {
                    self.apply(effects);
                }
            }
        }
    }

    fn reconnect(&mut self, input: &mut Input<'_>) {
        let Some((id, file_id, client)) = self.chosen_open(input) else { return };
        let [choices, create_guid] = [input.byte(), input.byte()];
        let Some(shown) = self.state.file_snapshot(id) else { return };
        let request = Reconnect {
            session: client.session,
            tree: client.tree,
            connection: client.connection,
            file_id,
            create_guid: (choices & 1 == 1).then(|| guid(create_guid)),
            lease: (choices & 2 == 2).then(|| (guid(choices >> 2 & 3), 1 + (choices >> 4 & 1))),
            path: shown.path.clone(),
        };
        if let Ok(found) = self.state.reconnect(&request, |_, open| *open, self.now) {
            assert!(shown.session.is_none() && shown.durable, "an open that nobody had lost is reconnected");
            self.opens.iter_mut().find(|it| it.0 == id).unwrap().1 = found.granted.file_id;
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        let effects = self.state.handle_timeout(self.now);
        self.apply(effects);
    }

    fn go_on(&mut self) -> bool {
        let Some(rest) = self.rest.pop_front() else { return false };
        let effects = self.state.go_on(rest, self.now);
        self.apply(effects);
        true
    }

    fn apply(&mut self, effects: Effects) {
        self.rest.extend(effects.rest);
        for notice in effects.breaks {
            self.notices.push((notice.session_id, notice.session, notice.kind));
        }
        for removal in effects.dropped.iter().flat_map(|it| &it.removals).chain(&effects.removals) {
            self.state.removed(removal);
        }
        for dropped in effects.dropped {
            assert!(self.released.insert(dropped.global_id), "released twice");
            self.opens.retain(|it| it.0 != dropped.global_id);
        }
        for answered in effects.cancelled.iter().map(|it| it.request).chain(effects.granted) {
            assert!(self.pending.remove(&answered).is_some(), "answered twice: {answered:?}");
        }
        for request in effects.retry {
            let pending = match self.pending.remove(&request) {
                Some(pending) => pending,
                // Told twice, or cancelled by what else is told.
                None => {
                    assert_eq!(self.state.retry_lock(request, self.now).0, None, "it waits and nobody knows");
                    continue;
                }
            };
            match pending {
                Pending::Create(mut request) => {
                    if self.clients.iter().any(|it| it.session == request.session) {
                        request.is_retry = true;
                        self.admit(*request);
                    }
                }
                Pending::Rename(id) => self.rename(id, request),
                Pending::Other => {}
                Pending::OutsideLock => {
                    let (outcome, effects) = self.state.retry_lock(request, self.now);
                    if outcome == Some(LockOutcome::Waiting) {
                        self.pending.insert(request, Pending::OutsideLock);
                    }
                    self.apply(effects);
                }
            }
        }
    }

    fn check(&self) {
        if let Err(message) = self.state.check_invariants() {
            panic!("{message}");
        }
        assert_eq!(self.state.counts().3, self.opens.len());
    }

    fn come_to_rest(&mut self) {
        (0..CLIENTS).for_each(|number| self.lose_spare_channels(number));
        while self.go_on() {}
        for _ in 0..1_000 {
            let Some(at) = self.state.poll_timeout() else { break };
            self.pass(at.since_ms(self.now));
            self.check();
        }
        assert_eq!(self.state.poll_timeout(), None, "timers without end");
        assert!(self.pending.values().all(|it| matches!(it, Pending::Other | Pending::OutsideLock)), "a request waits for ever");
        let effects = self.state.shutdown(self.now);
        self.apply(effects);
        self.check();
        assert!(self.opens.is_empty() && self.pending.is_empty());
        assert_eq!(self.state.counts(), (usize::from(CLIENTS), 0, 0, 0));
    }
}

fn guid(number: u8) -> Guid {
    Guid([number; 16])
}

fn unique(request: RequestKey) -> Guid {
    let mut bytes = [0xee; 16];
    bytes[..8].copy_from_slice(&request.id.to_le_bytes());
    Guid(bytes)
}

fn file_key(file: u8) -> FileKey {
    FileKey { device: 1, inode: u64::from(file % 3), stream: 0 }
}

fn element(input: &mut Input<'_>) -> LockElement {
    let [place, length] = [input.byte(), input.byte()];
    let offset = if place & 0x80 == 0 { u64::from(place & 7) } else { u64::MAX - u64::from(place & 7) };
    let length = if length == 0xff { u64::MAX } else { u64::from(length & 7) };
    LockElement { offset, length, exclusive: place & 0x40 == 0 }
}
