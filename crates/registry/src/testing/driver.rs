//! Arbitrary sequences of operations, as clients, administrators and the clock cause them.
//!
//! The driver has no model of the decisions. It checks that the tables stay consistent, that each request that waits is
//! answered once, that each open is released once, and that in the end nothing waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wire::{AccessMask, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId, ShareAccess};

use super::log_mirror::{LOG, LogMirror, PERSISTENT_MS};
use super::world::{Bench, Client, World, file_key, guid};
use crate::{
    Admission, AdmitRequest, AppInstance, BreakKind, CloseReason, ConnectionId, DurableRequest, EndReason,
    Events, FileSnapshot, Filter, LeaseRequest, Limits, LockElement, LockOutcome, Readiness, Reconnect,
    Replay, RequestKey, Rest,
};

type Effects = crate::Effects<Bench>;

/// The number of clients, which are numbered from zero.
pub const CLIENTS: u8 = 3;

/// One operation. Opens, notices and requests are chosen by a number among those that exist.
#[derive(Clone, Debug)]
pub enum Operation {
    Open(Opening),
    Close {
        open: usize,
    },
    /// Acknowledges a break; `None` stands for the level or state in the notification.
    Acknowledge {
        notice: usize,
        level: Option<OplockLevel>,
        state: Option<LeaseState>,
    },
    /// Reports that the client uses the open, so that no replayed CREATE finds it any more.
    Use {
        open: usize,
    },
    Write {
        open: usize,
    },
    Rename {
        open: usize,
    },
    /// Breaks the caching of an open, as before an administrator's close.
    WriteBack {
        open: usize,
        by_administrator: bool,
    },
    ChangeDirectory {
        file: u64,
        spared: Option<Guid>,
    },
    ChangeByOutsider {
        file: u64,
    },
    Bind {
        client: u8,
    },
    LoseChannel {
        client: u8,
    },
    Replay {
        client: u8,
        of: Replayed,
    },
    Lock {
        open: usize,
        element: LockElement,
        wait: bool,
        /// Set if the lock is needed outside of the registry, too: true if the caller has it there.
        outside: Option<bool>,
    },
    /// Tries again to get a lock that is needed outside of the registry, too.
    RetryLock {
        request: usize,
    },
    Unlock {
        open: usize,
        element: LockElement,
    },
    Cancel {
        request: usize,
    },
    Disconnect {
        client: u8,
    },
    Logoff {
        client: u8,
    },
    EndByAdministrator {
        client: u8,
    },
    TreeDisconnect {
        client: u8,
    },
    Reconnect {
        open: usize,
        by: ReclaimedBy,
    },
    Pass {
        ms: u64,
    },
}

/// The CREATE of [`Operation::Open`].
#[derive(Clone, Debug)]
pub struct Opening {
    pub client: u8,
    pub file: u64,
    pub access: AccessMask,
    pub share_access: ShareAccess,
    pub overwrites: bool,
    pub delete_on_close: bool,
    pub is_directory: bool,
    pub oplock: OplockLevel,
    pub lease: Option<LeaseRequest>,
    pub durable: Option<DurableKind>,
    pub app_instance: Option<AppInstance>,
    /// True if a log keeps the open if it is durable. Otherwise it is not persistent.
    pub is_logged: bool,
}

/// The durable handle of an [`Opening`]. Without a create GUID it gets a unique one.
#[derive(Clone, Copy, Debug)]
pub enum DurableKind {
    V1,
    V2 { create_guid: Option<Guid>, timeout_ms: u32 },
}

/// The CREATE that [`Operation::Replay`] repeats.
#[derive(Clone, Copy, Debug)]
pub enum Replayed {
    /// One of the earlier ones.
    Made(usize),
    /// One by its create GUID, with the key of its lease.
    Named(Guid, Option<Guid>),
}

/// The contexts by which [`Operation::Reconnect`] reclaims an open.
#[derive(Clone, Copy, Debug)]
pub enum ReclaimedBy {
    /// All contexts that may match, one after the other.
    Any,
    /// The create GUID, and the key and version of the lease.
    Contexts { create_guid: Option<Guid>, lease: Option<(Guid, u8)> },
}

/// A request that waits, with the act that follows when it is woken.
#[derive(Debug)]
enum Pending {
    Create(Box<AdmitRequest>),
    Rename(FileGlobalId),
    Other,
}

/// The driver, which carries out operations and checks the invariants after each.
pub struct Driver {
    world: World,
    clients: Vec<Client>,
    /// Further channels of the clients' sessions.
    channels: Vec<(u8, ConnectionId)>,
    opens: Vec<(FileGlobalId, FileId, u8)>,
    pending: BTreeMap<RequestKey, Pending>,
    /// The lock requests, past ones included, that need their lock outside of the registry, too.
    outside: BTreeSet<RequestKey>,
    notices: Vec<(SessionId, u8, BreakKind)>,
    released: BTreeSet<FileGlobalId>,
    /// The create GUIDs of CREATEs that can be replayed, and the keys of their leases.
    created: Vec<(Guid, Option<Guid>)>,
    log: LogMirror,
    /// Unfinished work: one part is done before each operation.
    rest: VecDeque<Rest>,
    /// The answers to all opens, as text.
    answers: Vec<String>,
}

impl Driver {
    pub fn new(limits: Limits) -> Self {
        let mut world = World::with(limits);
        world.state.add_log(LOG);
        let clients = (0..CLIENTS).map(|number| world.client(number)).collect();
        Self {
            world,
            clients,
            channels: Vec::new(),
            opens: Vec::new(),
            pending: BTreeMap::new(),
            outside: BTreeSet::new(),
            notices: Vec::new(),
            released: BTreeSet::new(),
            created: Vec::new(),
            log: LogMirror::default(),
            rest: VecDeque::new(),
            answers: Vec::new(),
        }
    }

    /// Makes and ends all opens under the whole lock.
    pub fn alone(mut self) -> Self {
        self.world.beside_others = false;
        self
    }

    /// All answers to opens, and all that is open now.
    pub fn seen(&self) -> (Vec<String>, Vec<FileSnapshot>, Events) {
        let opens = self.world.state.file_snapshots(&Filter::default(), None, usize::MAX).entries;
        (self.answers.clone(), opens, self.world.state.events_after(0, usize::MAX))
    }

    /// Carries out one operation, after a part of the work that earlier ones have left.
    pub fn step(&mut self, operation: Operation) {
        if self.go_on() {
            self.world.check();
        }
        self.carry_out(operation);
        self.world.check();
        self.log.follow(&mut self.world);
        assert_eq!(self.world.state.counts().3, self.opens.len());
    }

    /// Lets only time pass until no request waits for breaks, and shuts down.
    pub fn come_to_rest(mut self) {
        (0..CLIENTS).for_each(|number| self.lose_spare_channels(number));
        while self.go_on() {}
        for _ in 0..1_000 {
            let Some(at) = self.world.state.poll_timeout() else { break };
            self.pass(at.since_ms(self.world.now));
            self.world.check();
        }
        assert_eq!(self.world.state.poll_timeout(), None, "deadlines remain for ever");
        let is_over = self.pending.values().all(|it| matches!(it, Pending::Other));
        assert!(is_over, "a request waits for ever: {:?}", self.pending);
        let effects = self.world.state.shutdown(self.world.now);
        self.apply(effects);
        self.log.follow(&mut self.world);
        let effects = self.world.state.suspend_logged(self.world.now);
        assert!(effects.dropped.iter().all(|it| it.removals.is_empty()) && effects.removals.is_empty());
        self.apply(effects);
        self.world.check();
        assert!(self.opens.is_empty() && self.pending.is_empty());
        assert_eq!(self.world.state.counts(), (usize::from(CLIENTS), 0, 0, 0));
    }

    fn client(&self, number: u8) -> Client {
        self.clients[usize::from(number)]
    }

    fn chosen(&self, open: usize) -> Option<(FileGlobalId, FileId, Client)> {
        let (id, file_id, client) = *self.opens.get(open % self.opens.len().max(1))?;
        Some((id, file_id, self.client(client)))
    }

    fn go_on(&mut self) -> bool {
        let Some(rest) = self.rest.pop_front() else { return false };
        let effects = self.world.state.go_on(rest, self.world.now);
        self.apply(effects);
        true
    }

    fn carry_out(&mut self, operation: Operation) {
        let now = self.world.now;
        match operation {
            Operation::Open(opening) => self.open(&opening),
            Operation::Close { open } => {
                let Some((id, file_id, _)) = self.chosen(open) else { return };
                let is_orphan = self.world.state.open(file_id).is_none();
                let effects = match is_orphan {
                    true => self.world.state.close_open(id, CloseReason::ClientClose, now),
                    false => self.world.close_unchecked(file_id),
                };
                let effects = effects.ok().unwrap();
                assert_eq!(effects.dropped.last().unwrap().global_id, id);
                self.apply(effects);
            }
            Operation::Acknowledge { notice, level, state } => self.acknowledge(notice, level, state),
            Operation::Use { open } => {
                let Some((id, ..)) = self.chosen(open) else { return };
                self.world.use_first(id);
            }
            Operation::Write { open } => {
                let Some((id, ..)) = self.chosen(open) else { return };
                let needs = self.world.state.open(id).unwrap().shared.write_needs_break();
                let effects = self.world.state.break_for_write(id, now).ok().unwrap();
                assert!(
                    needs || effects.breaks.is_empty(),
                    "write_needs_break was false, and there is a break"
                );
                self.apply(effects);
            }
            Operation::Rename { open } => {
                let Some((id, _, client)) = self.chosen(open) else { return };
                let key = self.world.key(client);
                self.rename(id, key);
            }
            Operation::WriteBack { open, by_administrator } => {
                let Some((id, _, client)) = self.chosen(open) else { return };
                let key = self.world.key(client);
                // Administrators have no connection.
                let connection = if by_administrator { ConnectionId::NONE } else { key.connection };
                let key = RequestKey { connection, ..key };
                let (ready, effects) = self.world.state.break_for_close(id, key, now).ok().unwrap();
                if ready == Readiness::MustWait {
                    self.pending.insert(key, Pending::Other);
                }
                self.apply(effects);
            }
            Operation::ChangeDirectory { file, spared } => {
                let effects = self.world.state.break_directory_caching(file_key(file), spared, now);
                let is_spared = effects.breaks.iter().all(|notice| match notice.kind {
                    BreakKind::Lease { key: broken, .. } => Some(broken) != spared,
                    BreakKind::Oplock { .. } => true,
                });
                assert!(is_spared, "the spared lease is broken");
                self.apply(effects);
            }
            Operation::ChangeByOutsider { file } => {
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
            Operation::LoseChannel { client } => _ = self.lose_channel(client),
            Operation::Replay { client, of } => self.replay(client, of),
            Operation::Lock { open, element, wait, outside } => {
                let Some((id, _, client)) = self.chosen(open) else { return };
                let key = self.world.key(client);
                let state = &mut self.world.state;
                let (result, effects) = match outside {
                    Some(is_free) => state.lock_outside(id, &[element], wait, key, is_free, now),
                    None => state.lock(id, &[element], wait, key, now),
                };
                if matches!(result, Ok(LockOutcome::Waiting | LockOutcome::WaitingOutside)) {
                    self.pending.insert(key, Pending::Other);
                    self.outside.extend(outside.map(|_| key));
                }
                self.apply(effects);
            }
            Operation::RetryLock { request } => {
                let count = self.outside.len();
                let Some(key) = self.outside.iter().nth(request % count.max(1)).copied() else { return };
                self.retry_lock(key);
            }
            Operation::Unlock { open, element } => {
                let Some((id, ..)) = self.chosen(open) else { return };
                let (_, effects) = self.world.state.unlock(id, &[element], now);
                self.apply(effects);
                let LockElement { offset, length, exclusive } = element;
                let _ = self.world.state.check_io(id, offset, length, exclusive, now);
            }
            Operation::Cancel { request } => {
                let count = self.pending.len();
                let Some(key) = self.pending.keys().nth(request % count.max(1)).copied() else { return };
                let effects = self.world.state.cancel(key, now);
                assert!(effects.cancelled.iter().any(|it| it.request == key));
                self.apply(effects);
            }
            Operation::Disconnect { client } => {
                while self.lose_channel(client) {}
                self.lose(self.client(client).connection);
                self.clients[usize::from(client)] = self.world.client(client);
            }
            Operation::Logoff { client } => {
                let session = self.client(client).session;
                let effects = self.world.state.close_session(session, EndReason::Logoff, now).ok().unwrap();
                self.apply(effects);
                self.log_on_again(client);
            }
            Operation::EndByAdministrator { client } => {
                let name = format!("user{client}");
                let filter = Filter { account: Some(wire::Account::new(&name)), ..Filter::default() };
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
            Operation::Reconnect { open, by } => self.reconnect(open, by),
            Operation::Pass { ms } => self.pass(ms),
        }
    }

    fn open(&mut self, opening: &Opening) {
        let mut request = self.world.request(self.client(opening.client), opening.file);
        let unique = {
            let mut bytes = [0xee; 16];
            bytes[..8].copy_from_slice(&request.request.id.to_le_bytes());
            Guid(bytes)
        };
        request.access = opening.access;
        request.share_access = opening.share_access;
        request.overwrites = opening.overwrites;
        request.delete_on_close = opening.delete_on_close;
        request.is_directory = opening.is_directory;
        request.oplock = opening.oplock;
        request.lease = opening.lease;
        request.app_instance = opening.app_instance;
        request.log = Some(LOG).filter(|_| opening.is_logged);
        request.durable = opening.durable.map(|kind| match kind {
            DurableKind::V1 => DurableRequest::V1,
            DurableKind::V2 { create_guid, timeout_ms } => {
                let create_guid = create_guid.unwrap_or(unique);
                self.created.push((create_guid, request.lease.map(|lease| lease.key)));
                DurableRequest::V2 {
                    create_guid,
                    timeout_ms,
                    persistent: opening.is_logged && timeout_ms == PERSISTENT_MS,
                }
            }
        });
        self.admit(request);
    }

    fn admit(&mut self, request: AdmitRequest) {
        let before = self.world.state.counts().3;
        let (answer, effects) = self.world.admit_unchecked(request.clone());
        self.world.check();
        self.answers.push(format!("{answer:?}"));
        let dropped = effects.dropped.len();
        match answer {
            Admission::Granted(granted) => {
                let number = self.clients.iter().find(|it| it.session == request.session).unwrap().number;
                self.opens.push((granted.global_id, granted.file_id, number));
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

    fn acknowledge(&mut self, notice: usize, level: Option<OplockLevel>, state: Option<LeaseState>) {
        if self.notices.is_empty() {
            return;
        }
        let (session, client, kind) = self.notices.remove(notice % self.notices.len());
        let now = self.world.now;
        match kind {
            BreakKind::Oplock { file_id, level: asked } => {
                let level = level.unwrap_or(asked);
                let (_, effects) = self.world.state.acknowledge_oplock(session, file_id, level, now);
                self.apply(effects);
            }
            BreakKind::Lease { key, new, .. } => {
                let state = state.unwrap_or(new);
                if let Ok((_, effects)) = self.world.state.acknowledge_lease(guid(client), key, state, now) {
                    self.apply(effects);
                }
            }
        }
    }

    fn replay(&mut self, client: u8, of: Replayed) {
        let found = self.client(client);
        let named = match of {
            Replayed::Made(at) => self.created.get(at % self.created.len().max(1)).copied(),
            Replayed::Named(create_guid, lease) => Some((create_guid, lease)),
        };
        let Some((create_guid, lease)) = named else { return };
        let Client { connection, session, tree, .. } = found;
        let replay = Replay { session, tree, connection, create_guid, lease };
        if let Ok(Some(found)) = self.world.replay_with_effects(&replay) {
            self.apply(found.effects);
            let again = found.granted;
            let entry = self.opens.iter_mut().find(|it| it.0 == again.global_id).unwrap();
            let found = (again.file_id.persistent, client);
            assert_eq!((entry.1.persistent, entry.2), found, "the open belongs to another client");
            entry.1 = again.file_id;
        }
    }

    /// Loses the oldest connection of a client's session, if it has others, on which its breaks are sent again.
    fn lose_channel(&mut self, number: u8) -> bool {
        let Some(index) = self.channels.iter().position(|(owner, _)| *owner == number) else { return false };
        let (_, next) = self.channels.remove(index);
        let client = self.client(number);
        let sessions = self.world.state.counts().1;
        let lost = self.lose(client.connection);
        assert_eq!(self.world.state.counts().1, sessions, "a session with another channel has ended");
        assert_eq!(lost, 0, "its opens have ended");
        self.clients[usize::from(number)] = Client { connection: next, ..client };
        true
    }

    fn lose_spare_channels(&mut self, number: u8) {
        let spare = self.channels.extract_if(.., |(owner, _)| *owner == number);
        for (_, connection) in spare.collect::<Vec<_>>() {
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

    fn reconnect(&mut self, open: usize, by: ReclaimedBy) {
        let Some((id, file_id, client)) = self.chosen(open) else { return };
        let shown = self.world.state.file_snapshot(id).unwrap();
        let contexts = match by {
            ReclaimedBy::Contexts { create_guid, lease } => vec![(create_guid, lease)],
            ReclaimedBy::Any => {
                let keys = (0..3_u8).flat_map(|key| [1, 2].map(|version| Some((guid(key), version))));
                let leases: Vec<_> = std::iter::once(None).chain(keys).collect();
                let guids = [None, Some(Guid::default())];
                guids.into_iter().flat_map(|guid| leases.iter().map(move |lease| (guid, *lease))).collect()
            }
        };
        for (create_guid, lease) in contexts {
            let Client { connection, session, tree, .. } = client;
            let path = shown.path.clone();
            let is_same_path = wire::eq_ignore_case;
            let persistent = shown.persistent;
            let request = Reconnect {
                session,
                tree,
                connection,
                file_id,
                create_guid,
                persistent,
                lease,
                lease_epoch: 0,
                path,
                is_same_path,
            };
            if let Ok(found) = self.world.state.reconnect(&request, |_, open| *open, self.world.now) {
                assert!(shown.session.is_none() && shown.durable, "the open was no orphan");
                self.opens.iter_mut().find(|it| it.0 == id).unwrap().1 = found.granted.file_id;
                self.apply(found.effects);
                return;
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.world.now = self.world.now.after_ms(ms);
        let effects = self.world.state.handle_timeout(self.world.now);
        self.apply(effects);
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
        for answered in effects.cancelled.iter().map(|it| it.request).chain(effects.granted) {
            assert!(self.pending.remove(&answered).is_some(), "answered twice: {answered:?}");
        }
        for request in effects.retry {
            // A request may be reported twice, and other effects may have cancelled it.
            if self.outside.contains(&request) {
                self.retry_lock(request);
                continue;
            }
            match self.pending.remove(&request).expect("answered twice") {
                Pending::Create(mut request) => {
                    if self.clients.iter().any(|it| it.session == request.session) {
                        request.is_retry = true;
                        self.admit(*request);
                    }
                }
                Pending::Rename(id) => self.rename(id, request),
                Pending::Other => {}
            }
        }
    }

    fn retry_lock(&mut self, request: RequestKey) {
        let (outcome, effects) = self.world.state.retry_lock(request, self.world.now);
        match outcome {
            Some(LockOutcome::Granted) => assert!(self.pending.remove(&request).is_some(), "answered twice"),
            Some(_) => assert!(self.pending.contains_key(&request)),
            None => {
                assert!(
                    !self.pending.contains_key(&request),
                    "the request is pending and not in the registry"
                )
            }
        }
        self.apply(effects);
    }
}
