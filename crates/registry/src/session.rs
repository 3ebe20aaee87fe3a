//! Sessions (MS-SMB2 3.3.1.8).
//!
//! ```text
//!   create_session          session_valid
//!        |   1   InProgress ------2-----> Valid <---4--- reauthenticated
//!        +-----> |    |                   |  ^ \
//!                |    5 close_session     |  |  3 expire_session
//!                |    v                   |  4   v
//!                +-> (gone) <------5------+--+- Expired
//! ```
//!
//! 1 [`State::create_session`]; 2 [`State::session_valid`]; 3 [`State::expire_session`], or the time of
//! [`State::set_expiration`];
//! 4 [`State::session_valid`] again (MS-SMB2 3.3.5.5.3, reauthentication);
//! 5 [`State::close_session`](crate::State::close_session), which ends every session; a session in progress is also
//! ended when its time is over, or when newer ones need its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use wire::security::Sid;
use wire::{SessionGlobalId, SessionId, TreeGlobalId, TreeId};

use crate::deadlines::Deadline;
use crate::events::EventKind;
use crate::limits::{STRANGERS_PART, has_room};
use crate::open::Owner;
use crate::parts::{Count, Padded};
use crate::statistics::count;
use crate::strangers::AddressGroup;
use crate::user_counts::UserKey;
use crate::{
    ConnectionId, Effects, EndReason, LimitReached, NotFound, RequestKey, Shell, Standing, State, Time,
};

pub(crate) struct Session<S: Shell> {
    pub(crate) session_id: SessionId,
    pub(crate) state: SessionState,
    pub(crate) identity: Identity,
    /// The user, once the session is valid.
    pub(crate) user: Option<UserKey>,
    /// The identity and client of the session, for its opens.
    pub(crate) owner: Arc<Owner>,
    pub(crate) channels: Vec<ConnectionId>,
    /// Requests that wait for a break and whose connection is lost.
    pub(crate) stranded: Vec<RequestKey>,
    pub(crate) created: Time,
    /// The address from which the session was set up.
    pub(crate) group: AddressGroup,
    /// The time when the session ends if it is still in progress.
    pub(crate) logon_deadline: Option<Time>,
    /// `Session.ExpirationTime`: the time when a valid session expires, if it does.
    pub(crate) expiration: Option<Time>,
    pub(crate) trees: BTreeMap<TreeId, TreeGlobalId>,
    /// Tree connects that are being ended.
    pub(crate) ended_trees: BTreeSet<TreeGlobalId>,
    /// Set while the session is being ended: its id is not found any more.
    pub(crate) ending: Option<Ending>,
    pub(crate) last_tree: u32,
    /// The number of opens of all its tree connects: derived, for the limit and for administrators.
    pub(crate) open_count: Box<Padded<Count>>,
    /// The number of opens of its user, also by other sessions.
    pub(crate) opens_of_user: Arc<Padded<Count>>,
    pub(crate) shared: Arc<SessionShared>,
    pub(crate) attached: S::Session,
}

/// The end of a session, while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    /// True if the client closed the connection in order.
    pub(crate) hung_up: bool,
}

/// `Session.State` (MS-SMB2 3.3.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// The authentication is not complete.
    InProgress,
    /// The session may be used.
    Valid,
    /// The authentication has expired: only reauthentication and closing are allowed.
    Expired,
}

/// The user of a session, which is known once the session is valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `Session.UserName`: the name of the account, the name that a guest claims, or empty for the anonymous user.
    pub user: Arc<str>,
    /// The domain or server that the client named, unchecked.
    pub domain: Arc<str>,
    /// The SID of a user of a domain; `None` for accounts of the server itself, guests and anonymous users.
    pub sid: Option<Sid>,
    /// The flags of the session.
    pub flags: SessionFlags,
}

impl Identity {
    /// True if both are the same user: of the same kind, and of the same account. Users of a domain are compared by
    /// their SIDs alone: a user whose account was renamed is the same, another account that gets its name is not.
    /// The `domain` of an account is not compared, because the client chooses it and it does not affect the account.
    pub fn is_same_user(&self, other: &Self) -> bool {
        UserKey::of(self) == UserKey::of(other)
    }

    /// The kind of user.
    pub const fn kind(&self) -> UserKind {
        match self.flags {
            SessionFlags { anonymous: true, .. } => UserKind::Anonymous,
            SessionFlags { guest: true, .. } => UserKind::Guest,
            SessionFlags { .. } => UserKind::Account,
        }
    }
}

/// The kinds of users. A guest only claims a name and is not the account of that name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UserKind {
    /// An account that has proved its password.
    #[default]
    Account,
    /// `Session.IsGuest`.
    Guest,
    /// `Session.IsAnonymous`.
    Anonymous,
}

/// The flags of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionFlags {
    /// `Session.IsAnonymous`.
    pub anonymous: bool,
    /// `Session.IsGuest`; SESS_GUEST of MS-SRVS 2.2.4.12.
    pub guest: bool,
    /// `Session.EncryptData`.
    pub encrypted: bool,
    /// `Session.SigningRequired`.
    pub signed: bool,
    /// True if the user may administer the server and use the places that are kept for administrators.
    pub administrator: bool,
}

impl Identity {
    /// The standing of the user, which determines the places that it may take in tables.
    pub fn standing(&self) -> Standing {
        if self.flags.anonymous || self.flags.guest {
            Standing::Stranger
        } else if self.flags.administrator {
            Standing::Administrator
        } else {
            Standing::User
        }
    }
}

/// The part of a session that requests use without the registry's lock.
#[derive(Debug, Default)]
pub struct SessionShared {
    ended: AtomicU8,
    expired: AtomicU8,
    last_active: AtomicU64,
}

impl SessionShared {
    /// Records a request of the user. ECHO does not call this, because the client's system sends it without the user.
    pub fn touch(&self, now: Time) {
        self.last_active.store(now.0, Relaxed);
    }

    /// The time of the user's last request: `Session.IdleTime`.
    pub fn last_active(&self) -> Time {
        Time(self.last_active.load(Relaxed))
    }

    /// True if the session has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed) != 0
    }

    /// True if the authentication has expired: only reauthentication and closing are allowed.
    pub fn has_expired(&self) -> bool {
        self.expired.load(Relaxed) != 0
    }

    fn set_expired(&self, expired: bool) {
        self.expired.store(expired.into(), Relaxed);
    }

    pub(crate) fn end(&self) {
        self.ended.store(1, Relaxed);
    }
}

/// The reason for not binding a session to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// There is no such session, or no such connection.
    NotFound,
    /// A limit was reached.
    LimitReached(LimitReached),
}

/// The reason for not making a session valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstablishError {
    /// The session has ended.
    NotFound,
    /// A limit was reached.
    LimitReached(LimitReached),
}

/// The registry's view of a session.
pub struct SessionInfo<S: Shell> {
    /// `Session.SessionId`.
    pub session_id: SessionId,
    /// `Session.SessionGlobalId`.
    pub global_id: SessionGlobalId,
    /// `Session.State`.
    pub state: SessionState,
    /// The user of the session.
    pub identity: Identity,
    /// The connections that the session is bound to: `Session.ChannelList`.
    pub channels: Vec<ConnectionId>,
    /// The number of opens of the session.
    pub opens: usize,
    /// The part that requests use without the lock.
    pub shared: Arc<SessionShared>,
    /// The server's part of the session.
    pub attached: S::Session,
}

impl<S: Shell> State<S> {
    /// Begins a session on a connection, in progress (MS-SMB2 3.3.5.5.1). `attach` makes the server's part of it from
    /// its ids. If the connection has ended, this returns `LimitReached::Connections`. If there are too many sessions
    /// in progress, the oldest is ended to make room.
    pub fn create_session(
        &mut self,
        connection: ConnectionId,
        attach: impl FnOnce(SessionId, SessionGlobalId, &Arc<SessionShared>) -> S::Session,
        now: Time,
    ) -> Result<(SessionInfo<S>, Effects<S>), LimitReached> {
        let Some(carrier) = self.connections.get(&connection) else {
            return Err(LimitReached::Connections);
        };
        let most = match carrier.standing {
            Standing::Stranger | Standing::Guest => self.limits.sessions_per_stranger,
            Standing::User | Standing::Administrator => usize::MAX,
        };
        if carrier.sessions.len() >= most.min(self.limits.sessions_per_connection) {
            return Err(LimitReached::SessionsPerConnection);
        }
        let group = AddressGroup::of(carrier.peer.ip());
        let mut effects = Effects::none();
        let (per_address, total) =
            (self.limits.sessions_in_progress_per_address, self.limits.sessions_in_progress);
        if let Some(oldest) = self.in_progress.in_the_way(group, per_address, total) {
            self.end_session(oldest, EndReason::LogonFailed, now, &mut effects);
        }
        let Some(carrier) = self.connections.get_mut(&connection) else {
            return Err(LimitReached::Connections);
        };
        let sessions = &self.sessions;
        let global_id =
            SessionGlobalId(self.session_globals.issue(|id| sessions.contains_key(&SessionGlobalId(id))));
        // The id has 32 bits, because some clients keep no more.
        let session_id = loop {
            let id = SessionId(self.session_wire_ids.issue() & u64::from(u32::MAX));
            if id.0 != 0 && !self.session_ids.contains_key(&id) {
                break id;
            }
        };
        let shared = Arc::new(SessionShared::default());
        shared.touch(now);
        let deadline = now.after_ms(self.limits.logon_timeout_ms);
        let session = Session {
            session_id,
            state: SessionState::InProgress,
            identity: Identity::default(),
            user: None,
            owner: Arc::new(Owner::new(&Identity::default(), carrier.client_name.clone())),
            channels: vec![connection],
            stranded: Vec::new(),
            created: now,
            group,
            logon_deadline: Some(deadline),
            expiration: None,
            trees: BTreeMap::new(),
            ended_trees: BTreeSet::new(),
            ending: None,
            last_tree: 0,
            open_count: Box::default(),
            opens_of_user: Arc::default(),
            attached: attach(session_id, global_id, &shared),
            shared,
        };
        carrier.sessions.insert(global_id);
        let info = session.info(global_id);
        self.session_ids.insert(session_id, global_id);
        self.sessions.insert(global_id, session);
        self.index_client(connection);
        self.in_progress.insert(group, global_id);
        self.deadlines.set(deadline, Deadline::Logon(global_id));
        Ok((info, effects))
    }

    /// Makes a session valid: its authentication succeeded, for the first time or again (MS-SMB2 3.3.5.5.3). It does not
    /// expire, unless [`set_expiration`](Self::set_expiration) says so. `attached`
    /// replaces the server's part of it, if given. Users are refused if the remaining places are kept for
    /// administrators; for anonymous callers and guests, the oldest session of these is ended to make room.
    pub fn session_valid(
        &mut self,
        id: SessionId,
        identity: Identity,
        attached: Option<S::Session>,
        now: Time,
    ) -> Result<Effects<S>, EstablishError> {
        let global_id = self.session_global(id).map_err(|_| EstablishError::NotFound)?;
        let effects = self.make_room_to_establish(global_id, &identity, now)?;
        let session = self.sessions.get_mut(&global_id).ok_or(EstablishError::NotFound)?;
        let first = session.state == SessionState::InProgress;
        session.state = SessionState::Valid;
        session.shared.set_expired(false);
        if let Some(expiration) = session.expiration.take() {
            self.deadlines.clear(expiration, Deadline::Expiration(global_id));
        }
        let (group, standing) = (session.group, identity.standing());
        if let Some(deadline) = session.logon_deadline.take() {
            self.deadlines.clear(deadline, Deadline::Logon(global_id));
            self.in_progress.remove(group, global_id);
        }
        if standing == Standing::Stranger {
            self.stranger_sessions.insert(group, global_id);
        } else {
            self.stranger_sessions.remove(group, global_id);
        }
        let user = UserKey::of(&identity);
        self.user_sessions.add(&user);
        session.opens_of_user = self.user_opens.of(&user);
        if let Some(before) = session.user.replace(user) {
            self.user_sessions.remove(&before);
            self.user_opens.forget_unused(&before);
        }
        session.identity = identity;
        session.shared.touch(now);
        if let Some(name) = session
            .channels
            .first()
            .and_then(|it| self.connections.get(it))
            .map(|connection| connection.client_name.clone())
        {
            session.owner = Arc::new(Owner::new(&session.identity, name));
        }
        if let Some(attached) = attached {
            session.attached = attached;
        }
        if first {
            count(&self.statistics.session_opens);
            self.events.push(now, EventKind::SessionUp { session: global_id, owner: session.owner.clone() });
        }
        for channel in session.channels.clone() {
            self.raise_standing(channel, standing);
        }
        Ok(effects)
    }

    /// Makes room for a session to become valid with this identity.
    fn make_room_to_establish(
        &mut self,
        id: SessionGlobalId,
        identity: &Identity,
        now: Time,
    ) -> Result<Effects<S>, EstablishError> {
        let session = self.sessions.get(&id).ok_or(EstablishError::NotFound)?;
        let (first, group) = (session.state == SessionState::InProgress, session.group);
        let standing = identity.standing();
        let user = UserKey::of(identity);
        let is_more = session.user.as_ref() != Some(&user) && standing != Standing::Stranger;
        if is_more && !self.user_sessions.has_room(&user, self.limits.sessions, standing) {
            return Err(EstablishError::LimitReached(LimitReached::Sessions));
        }
        if !first && session.identity.standing() == standing {
            return Ok(Effects::none());
        }
        for channel in &session.channels {
            self.check_standing(*channel, standing).map_err(EstablishError::LimitReached)?;
        }
        let most = (self.limits.sessions / STRANGERS_PART).max(1);
        let oldest = Some(standing).filter(|it| *it == Standing::Stranger);
        let oldest = oldest.and_then(|_| self.stranger_sessions.in_the_way(group, usize::MAX, most));
        let valid = self.sessions.len().saturating_sub(self.in_progress.len());
        let used = valid.saturating_sub(usize::from(oldest.is_some()));
        if first && !has_room(self.limits.sessions, used, standing) {
            return Err(EstablishError::LimitReached(LimitReached::Sessions));
        }
        let mut effects = Effects::none();
        if let Some(oldest) = oldest {
            self.end_session(oldest, EndReason::Expired, now, &mut effects);
        }
        Ok(effects)
    }

    /// Sets or clears a session's administrator flag, after the configuration has changed. The session keeps its tree
    /// connects and opens; the limits for later ones depend on the new flag.
    pub fn set_administrator(&mut self, id: SessionId, administrator: bool) -> Result<(), NotFound> {
        let global_id = self.session_global(id)?;
        let session = self.sessions.get_mut(&global_id).ok_or(NotFound)?;
        if session.state == SessionState::InProgress || session.identity.standing() == Standing::Stranger {
            return Ok(());
        }
        session.identity.flags.administrator = administrator;
        let standing = session.identity.standing();
        for channel in session.channels.clone() {
            self.raise_standing(channel, standing);
        }
        Ok(())
    }

    /// Marks a session's authentication as expired (MS-SMB2 3.3.6.3); its opens stay.
    pub fn expire_session(&mut self, id: SessionId) -> Result<(), NotFound> {
        let global_id = self.session_global(id)?;
        self.expire(global_id);
        Ok(())
    }

    /// Sets the time when a valid session expires: `Session.ExpirationTime` (MS-SMB2 3.3.5.5.3). A session that is not
    /// valid stays as it is.
    pub fn set_expiration(&mut self, id: SessionId, at: Time) -> Result<(), NotFound> {
        let global_id = self.session_global(id)?;
        let session = self.sessions.get_mut(&global_id).ok_or(NotFound)?;
        if session.state == SessionState::Valid {
            let before = session.expiration.replace(at);
            if let Some(before) = before {
                self.deadlines.clear(before, Deadline::Expiration(global_id));
            }
            self.deadlines.set(at, Deadline::Expiration(global_id));
        }
        Ok(())
    }

    pub(crate) fn expire(&mut self, id: SessionGlobalId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|it| it.state == SessionState::Valid) else {
            return;
        };
        session.state = SessionState::Expired;
        session.shared.set_expired(true);
        if let Some(expiration) = session.expiration.take() {
            self.deadlines.clear(expiration, Deadline::Expiration(id));
        }
    }

    /// Binds a session to one more connection (MS-SMB2 3.3.5.5.2). The server has compared the properties that the
    /// protocol requires to be equal.
    pub fn bind_session(&mut self, id: SessionId, connection: ConnectionId) -> Result<(), BindError> {
        let global_id = self.session_global(id).map_err(|_| BindError::NotFound)?;
        let standing = self.sessions.get(&global_id).map_or(Standing::Stranger, |it| it.identity.standing());
        self.check_standing(connection, standing).map_err(BindError::LimitReached)?;
        let session = self.sessions.get_mut(&global_id).ok_or(BindError::NotFound)?;
        let carrier = self.connections.get_mut(&connection).ok_or(BindError::NotFound)?;
        if carrier.sessions.contains(&global_id) {
            return Ok(());
        }
        if session.channels.len() >= self.limits.channels_per_session {
            return Err(BindError::LimitReached(LimitReached::ChannelsPerSession));
        }
        if carrier.sessions.len() >= self.limits.sessions_per_connection {
            return Err(BindError::LimitReached(LimitReached::SessionsPerConnection));
        }
        carrier.sessions.insert(global_id);
        carrier.trees = carrier.trees.saturating_add(session.trees.len());
        session.channels.push(connection);
        self.index_client(connection);
        self.raise_standing(connection, standing);
        Ok(())
    }

    /// The server's parts of the next sessions after the last one seen, at most `limit`.
    pub fn sessions_after(
        &self,
        after: Option<SessionGlobalId>,
        limit: usize,
    ) -> Vec<(SessionGlobalId, S::Session)> {
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let next = self.sessions.range((start, std::ops::Bound::Unbounded)).take(limit);
        next.map(|(id, it)| (*id, it.attached.clone())).collect()
    }

    /// The registry's view of a session.
    pub fn session(&self, id: SessionId) -> Option<SessionInfo<S>> {
        self.session_global(id).ok().and_then(|id| self.session_by_global_id(id))
    }

    /// The registry's view of the session with this id for administrators.
    pub fn session_by_global_id(&self, id: SessionGlobalId) -> Option<SessionInfo<S>> {
        self.sessions.get(&id).map(|it| it.info(id))
    }

    pub(crate) fn session_global(&self, id: SessionId) -> Result<SessionGlobalId, NotFound> {
        self.session_ids.get(&id).copied().ok_or(NotFound)
    }
}

impl<S: Shell> Session<S> {
    /// True if administrators see the session in lists.
    pub(crate) fn is_listed(&self) -> bool {
        self.state != SessionState::InProgress && self.ending.is_none()
    }

    fn info(&self, global_id: SessionGlobalId) -> SessionInfo<S> {
        SessionInfo {
            session_id: self.session_id,
            global_id,
            state: self.state,
            identity: self.identity.clone(),
            channels: self.channels.clone(),
            opens: self.open_count.get(),
            shared: self.shared.clone(),
            attached: self.attached.clone(),
        }
    }
}
