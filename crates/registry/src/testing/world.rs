//! A small world in which the registry is tested: a clock, clients, and checks after every step.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::{
    Admission, AdmitRequest, CloseReason, ConnectionDetails, ConnectionId, DurableRequest, Effects, FileKey,
    GrantedOpen, Identity, LeaseRequest, Limits, NotFound, OpenTarget, Reconnected, Refused, Registry,
    Replay, ReplayError, RequestKey, ShareDefinition, ShareKind, Shell, State, Time,
};
use wire::{
    AccessMask, Dialect, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId, ShareAccess, TreeId,
};

#[derive(Debug)]
pub struct Bench;

impl Shell for Bench {
    type Connection = u8;
    type Session = u8;
    type Tree = u8;
    type Open = u64;
}

pub const READ: AccessMask = AccessMask::READ_DATA;
pub const WRITE: AccessMask = AccessMask::WRITE_DATA;
pub const ALL_ACCESS: AccessMask = AccessMask::FILE_ALL;
pub const SHARE_ALL: ShareAccess = ShareAccess(7);
pub const SHARE_NONE: ShareAccess = ShareAccess::NONE;

pub const NONE: LeaseState = LeaseState::NONE;
pub const R: LeaseState = LeaseState::READ;
pub const RH: LeaseState = LeaseState(3);
pub const RW: LeaseState = LeaseState(5);
pub const RWH: LeaseState = LeaseState(7);

/// The directory of every share.
pub const ROOT: FileKey = FileKey { device: 1, inode: 2, stream: 0 };

pub struct World {
    pub state: State<Bench>,
    pub now: Time,
    /// True if opens are made and ended beside others where that is possible, as in a server.
    pub beside_others: bool,
    last_request: u64,
}

/// A client with one connection, one session and one tree connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub number: u8,
    pub connection: ConnectionId,
    pub session: SessionId,
    pub tree: TreeId,
}

impl Default for World {
    fn default() -> Self {
        Self::with(Limits::default())
    }
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(limits: Limits) -> Self {
        let now = Time(1_000_000);
        let mut state = State::new(limits, 0x5eed, now);
        for name in ["data", "other"] {
            state.add_share(share(name, None), now).unwrap();
        }
        Self { state, now, beside_others: true, last_request: 0 }
    }

    /// Adds a client with this number, which is also its GUID, its address and its user's name.
    pub fn client(&mut self, number: u8) -> Client {
        let connection = self.connect(number);
        let session = self.logon(connection, number);
        let tree = self.tree(session, "data");
        Client { number, connection, session, tree }
    }

    pub fn connect(&mut self, number: u8) -> ConnectionId {
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 50_000);
        let (id, effects) = self.state.add_connection(peer, number, self.now).unwrap();
        assert!(effects.is_empty(), "the connection has closed another");
        self.state.connection_negotiated(
            id,
            ConnectionDetails { client_guid: guid(number), dialect: Dialect::SMB311, client_name: None },
        );
        id
    }

    pub fn logon(&mut self, connection: ConnectionId, number: u8) -> SessionId {
        let session = self
            .state
            .create_session(connection, |_, _, _| number, self.now)
            .map(|(it, _)| it.session_id)
            .unwrap();
        let effects = self.state.session_valid(session, identity(number), None, self.now).unwrap();
        assert!(effects.is_empty(), "the session has ended another");
        session
    }

    pub fn tree(&mut self, session: SessionId, share: &str) -> TreeId {
        self.tree_at(session, share, ROOT)
    }

    /// Connects to a share that has this directory at the time.
    pub fn tree_at(&mut self, session: SessionId, share: &str, root: FileKey) -> TreeId {
        self.state.tree_connect(session, share, false, root, |_, _| 0, self.now).map(|it| it.tree_id).unwrap()
    }

    pub fn key(&mut self, client: Client) -> RequestKey {
        self.last_request += 1;
        RequestKey { connection: client.connection, id: self.last_request }
    }

    /// The request of an ordinary open of a file. A test changes the fields that it concerns.
    pub fn request(&mut self, client: Client, file: u64) -> AdmitRequest {
        let (target, path) = (OpenTarget::File(file_key(file)), format!("dir\\file{file}").into());
        let plain = AdmitRequest::new(self.key(client), (client.session, client.tree), target, path);
        AdmitRequest { access: ALL_ACCESS, allocation: 4096, ..plain }
    }

    /// Decides on an open without the checks that the other functions make after it.
    pub fn admit_unchecked(&mut self, request: AdmitRequest) -> (Admission, Effects<Bench>) {
        let attach = |granted: &GrantedOpen| u64::from(granted.global_id.value());
        let now = self.now;
        if self.beside_others {
            return self.in_registry(|registry| registry.admit(request, attach, now));
        }
        self.state.admit(request, attach, now)
    }

    /// Ends an open by its client, without the checks that the other functions make after it.
    pub fn close_unchecked(&mut self, open: FileId) -> Result<Effects<Bench>, NotFound> {
        let (reason, now) = (CloseReason::ClientClose, self.now);
        if self.beside_others {
            return self.in_registry(|registry| registry.close_open(open, reason, now));
        }
        self.state.close_open(open, reason, now)
    }

    /// Reports that a client uses an open.
    pub fn use_first(&mut self, open: FileGlobalId) {
        match self.beside_others {
            true => self.in_registry(|registry| registry.forget_replay(open)),
            false => self.state.forget_replay(open),
        }
    }

    /// Puts the state behind its lock for a call.
    fn in_registry<T>(&mut self, call: impl FnOnce(&Registry<Bench>) -> T) -> T {
        let nothing = State::new(Limits::default(), 0, self.now);
        let registry = Registry::new(std::mem::replace(&mut self.state, nothing), || {});
        let result = call(&registry);
        self.state = registry.into_state();
        result
    }

    pub fn admit(&mut self, request: AdmitRequest) -> (Admission, Effects<Bench>) {
        let (answer, effects) = self.admit_unchecked(request);
        self.check();
        self.remove(&effects);
        (answer, effects)
    }

    /// Opens a file that must be granted at once and without effects.
    pub fn open(&mut self, request: AdmitRequest) -> GrantedOpen {
        let (granted, effects) = self.open_with_effects(request);
        assert!(effects.is_empty(), "the open has effects");
        granted
    }

    pub fn open_with_effects(&mut self, request: AdmitRequest) -> (GrantedOpen, Effects<Bench>) {
        match self.admit(request) {
            (Admission::Granted(granted), effects) => (granted, effects),
            (other, _) => panic!("not granted: {other:?}"),
        }
    }

    pub fn refused(&mut self, request: AdmitRequest) -> Refused {
        match self.admit(request) {
            (Admission::Refused(refused), effects) => {
                assert!(effects.is_empty());
                refused
            }
            (other, _) => panic!("not refused: {other:?}"),
        }
    }

    pub fn must_wait(&mut self, request: AdmitRequest) -> Effects<Bench> {
        match self.admit(request) {
            (Admission::MustWait, effects) => effects,
            (other, _) => panic!("need not wait: {other:?}"),
        }
    }

    pub fn replay(&mut self, request: &Replay) -> Result<Option<GrantedOpen>, ReplayError> {
        self.replay_with_effects(request).map(|found| found.map(|it| it.granted))
    }

    pub fn replay_with_effects(
        &mut self,
        request: &Replay,
    ) -> Result<Option<Reconnected<Bench>>, ReplayError> {
        let found = self.state.replay(request, |_, attached| *attached, self.now);
        self.check();
        found
    }

    pub fn close(&mut self, open: &GrantedOpen) -> Effects<Bench> {
        let effects = self.close_unchecked(open.file_id).unwrap_or_else(|it| panic!("{it:?}"));
        self.check();
        self.remove(&effects);
        effects
    }

    /// Reports all removals as carried out.
    pub fn remove(&mut self, effects: &Effects<Bench>) {
        for removal in effects.dropped.iter().flat_map(|it| &it.removals).chain(&effects.removals) {
            self.state.removed(removal);
        }
    }

    /// Advances the clock.
    pub fn pass_ms(&mut self, ms: u64) -> Effects<Bench> {
        self.now = self.now.after_ms(ms);
        let effects = self.state.handle_timeout(self.now);
        self.check();
        self.remove(&effects);
        effects
    }

    pub fn check(&self) {
        if let Err(message) = self.state.check_invariants() {
            panic!("{message}");
        }
    }

    pub fn lease_of(&self, open: FileGlobalId) -> LeaseState {
        self.state.open(open).unwrap().lease
    }

    pub fn oplock_of(&self, open: FileGlobalId) -> OplockLevel {
        self.state.open(open).unwrap().oplock
    }
}

pub fn guid(number: u8) -> Guid {
    Guid([number; 16])
}

pub fn identity(number: u8) -> Identity {
    Identity { user: format!("user{number}").into(), domain: "DOMAIN".into(), ..Identity::default() }
}

pub fn file_key(file: u64) -> FileKey {
    FileKey { device: 1, inode: file, stream: 0 }
}

pub fn share(name: &str, max_uses: Option<u32>) -> ShareDefinition {
    ShareDefinition {
        name: name.into(),
        kind: ShareKind::Disk,
        path: format!("/srv/{name}").into(),
        remark: Arc::default(),
        max_uses,
        flags: 0,
        hidden: false,
        temporary: false,
    }
}

pub fn lease(key: u8, state: LeaseState) -> Option<LeaseRequest> {
    Some(LeaseRequest { key: guid(key), state, version: 1, epoch: 0 })
}

pub fn lease_v2(key: u8, state: LeaseState, epoch: u16) -> Option<LeaseRequest> {
    Some(LeaseRequest { key: guid(key), state, version: 2, epoch })
}

pub fn durable_v2(guid_number: u8, timeout_ms: u32) -> Option<DurableRequest> {
    Some(DurableRequest::V2 { create_guid: guid(guid_number), timeout_ms, persistent: false })
}
