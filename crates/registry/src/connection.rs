//! Connections (MS-SMB2 3.3.1.7).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use wire::{Dialect, Guid, SessionGlobalId};

use crate::events::EventKind;
use crate::limits::{STRANGERS_PER_ADDRESS_PART, has_room};
use crate::remaining_work::Work;
use crate::strangers::{AddressGroup, Crowd};
use crate::{ConnectionId, Effects, EndReason, LimitReached, RequestKey, Rest, Shell, State, Time};

pub(crate) struct Connection<S: Shell> {
    pub(crate) peer: SocketAddr,
    pub(crate) client_name: Arc<str>,
    pub(crate) client_guid: Guid,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) created: Time,
    pub(crate) standing: Standing,
    pub(crate) sessions: BTreeSet<SessionGlobalId>,
    /// The number of tree connects of its sessions: derived, for the limit.
    pub(crate) trees: usize,
    pub(crate) waiting: BTreeSet<RequestKey>,
    /// True if the client closed the connection in order.
    pub(crate) hung_up: bool,
    /// True if the connection is lost: nothing is sent on it any more.
    pub(crate) lost: bool,
    pub(crate) attached: S::Connection,
}

/// The standing of a connection's or session's client, from the least trusted to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// No user has logged on. There may be sessions of anonymous callers or guests, without a tree connect other than
    /// to IPC$.
    #[default]
    Stranger,
    /// An anonymous caller or a guest has connected to a share that accepts guests. The operator allows that, but the
    /// client has proved nothing.
    Guest,
    /// A user has logged on.
    User,
    /// An administrator has logged on.
    Administrator,
}

/// The results of NEGOTIATE (MS-SMB2 3.3.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionDetails {
    /// `Connection.ClientGuid`; all zeroes for a client of dialect 2.0.2.
    pub client_guid: Guid,
    /// `Connection.Dialect`.
    pub dialect: Dialect,
    /// The name that the client has given; `None` if its address is to be shown.
    pub client_name: Option<Arc<str>>,
}

/// The registry's view of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The id of the connection.
    pub id: ConnectionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// The client's name, or its address.
    pub client_name: Arc<str>,
    /// `Connection.ClientGuid`.
    pub client_guid: Guid,
    /// `Connection.Dialect`, once negotiated.
    pub dialect: Option<Dialect>,
    /// `Connection.CreationTime`.
    pub created: Time,
    /// The number of sessions of the connection.
    pub sessions: usize,
    /// The standing of the client.
    pub standing: Standing,
}

impl<S: Shell> State<S> {
    /// Adds a new transport connection (MS-SMB2 3.3.5.1). If its address has too many connections without a logon, or
    /// the table is full, the oldest of those is closed to make room; connections of users are not.
    pub fn add_connection(
        &mut self,
        peer: SocketAddr,
        attached: S::Connection,
        now: Time,
    ) -> Result<(ConnectionId, Effects<S>), LimitReached> {
        let mut effects = Effects::none();
        let group = AddressGroup::of(peer.ip());
        let part = (self.limits.connections / STRANGERS_PER_ADDRESS_PART).max(1);
        let per_address = self.limits.strangers_per_address.min(part);
        if let Some(oldest) = self.strangers.in_the_way(group, per_address, usize::MAX) {
            self.evict(oldest, now, &mut effects);
        }
        if self.connections.len() >= self.limits.connections {
            let strangers = self.strangers.oldest_of_largest();
            let oldest = strangers.or_else(|| self.guests.oldest_of_largest());
            self.evict(oldest.ok_or(LimitReached::Connections)?, now, &mut effects);
        }
        self.last_connection = self.last_connection.saturating_add(1);
        let id = ConnectionId(self.last_connection);
        let connection = Connection {
            peer,
            client_name: peer.ip().to_canonical().to_string().into(),
            client_guid: Guid::default(),
            dialect: None,
            created: now,
            standing: Standing::Stranger,
            sessions: BTreeSet::new(),
            trees: 0,
            waiting: BTreeSet::new(),
            hung_up: false,
            lost: false,
            attached,
        };
        self.events
            .push(now, EventKind::ConnectionUp { connection: id, client: connection.client_name.clone() });
        self.connections.insert(id, connection);
        self.strangers.insert(group, id);
        Ok((id, effects))
    }

    /// Ends a connection to make room, and has its task close it.
    fn evict(&mut self, id: ConnectionId, now: Time, effects: &mut Effects<S>) {
        let Some(attached) = self.connections.get(&id).map(|it| it.attached.clone()) else {
            return;
        };
        effects.merge(self.disconnect(id, now));
        effects.disconnected.push(attached);
    }

    /// Checks that a client may get this standing on a connection. Some places are kept for administrators, including
    /// those who have not logged on yet.
    pub(crate) fn check_standing(&self, id: ConnectionId, standing: Standing) -> Result<(), LimitReached> {
        let before = self.connections.get(&id).map_or(Standing::Stranger, |it| it.standing);
        if standing < Standing::User || standing <= before || before >= Standing::User {
            return Ok(());
        }
        let nobodys = self.strangers.len().saturating_add(self.guests.len());
        let known = self.connections.len().saturating_sub(nobodys);
        if has_room(self.limits.connections, known, standing) {
            Ok(())
        } else {
            Err(LimitReached::Connections)
        }
    }

    /// Raises the standing of a connection's client.
    pub(crate) fn raise_standing(&mut self, id: ConnectionId, standing: Standing) {
        if self.connections.get(&id).is_some_and(|it| it.standing < standing) {
            self.set_standing(id, standing);
        }
    }

    /// Sets the standing of a connection's client.
    pub(crate) fn set_standing(&mut self, id: ConnectionId, standing: Standing) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut connection.standing, standing);
        let group = AddressGroup::of(connection.peer.ip());
        if let Some(crowd) = self.crowd_of(before) {
            crowd.remove(group, id);
        }
        if let Some(crowd) = self.crowd_of(standing) {
            crowd.insert(group, id);
        }
    }

    /// The connections of this standing, if they make room for others; `None` if they do not.
    fn crowd_of(&mut self, standing: Standing) -> Option<&mut Crowd<ConnectionId>> {
        match standing {
            Standing::Stranger => Some(&mut self.strangers),
            Standing::Guest => Some(&mut self.guests),
            Standing::User | Standing::Administrator => None,
        }
    }

    /// Records the results of NEGOTIATE (MS-SMB2 3.3.5.4). If the connection has ended, nothing is done.
    pub fn connection_negotiated(&mut self, id: ConnectionId, details: ConnectionDetails) {
        if let Some(connection) = self.connections.get_mut(&id) {
            self.client_connections.remove(&(connection.client_guid, id));
            connection.client_guid = details.client_guid;
            connection.dialect = Some(details.dialect);
            if let Some(name) = details.client_name {
                connection.client_name = name;
            }
            self.index_client(id);
        }
    }

    /// Enters a connection in the index of its client, or removes it: lease breaks are sent on connections with
    /// sessions.
    pub(crate) fn index_client(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let entry = (connection.client_guid, id);
        if connection.dialect.is_some() && !connection.sessions.is_empty() && !connection.lost {
            self.client_connections.insert(entry);
        } else {
            self.client_connections.remove(&entry);
        }
    }

    /// Records that the client itself closes the connection, in order. Sessions that end with it are then counted as
    /// ended, not as lost.
    pub fn connection_hung_up(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.hung_up = true;
        }
    }

    /// Ends a connection (MS-SMB2 3.3.7.1). Its waiting requests end without an answer, sessions without another
    /// channel end, and durable opens remain as orphans. If a session has another channel, its breaks are sent again
    /// there, and its requests that wait for a break continue to wait.
    pub fn disconnect(&mut self, id: ConnectionId, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        let Some(connection) = self.connections.get_mut(&id) else {
            return effects;
        };
        connection.lost = true;
        let client = connection.client_guid;
        let (waiting, sessions) = (connection.waiting.clone(), connection.sessions.clone());
        let (breaks, more) = self.lease_breaks_on(client, id);
        // Nothing more is sent on this connection.
        self.client_connections.remove(&(client, id));
        let waiting: Vec<RequestKey> = waiting.into_iter().filter(|it| !self.strand(*it, id)).collect();
        self.forget_waiting(&waiting, now, &mut effects);
        effects.forgotten.extend(waiting);
        for session in sessions {
            self.unbind(session, id, now, &mut effects);
        }
        for lease in breaks {
            self.repeat_lease_break(lease, now, &mut effects);
        }
        if let Some(after) = more {
            effects.rest.push(Rest(Work::LeaseBreaks { client, lost: id, after }));
        }
        if let Some(connection) = self.connections.remove(&id) {
            let group = AddressGroup::of(connection.peer.ip());
            if let Some(crowd) = self.crowd_of(connection.standing) {
                crowd.remove(group, id);
            }
            self.events
                .push(now, EventKind::ConnectionDown { connection: id, client: connection.client_name });
        }
        effects
    }

    /// True if every session of a connection has another channel, so that no session ends with it.
    pub fn is_dispensable(&self, id: ConnectionId) -> bool {
        let has_another = |session| self.sessions.get(session).is_some_and(|it| it.channels.len() > 1);
        self.connections.get(&id).is_some_and(|it| it.sessions.iter().all(has_another))
    }

    /// The connections of clients with this name, or all, for the server to close. Their state remains until the server
    /// reports them as [disconnected](Self::disconnect).
    pub fn connections_of(&self, client: Option<&str>) -> Vec<(ConnectionId, S::Connection)> {
        self.connections
            .iter()
            .filter(|(_, it)| client.is_none_or(|name| it.client_name.eq_ignore_ascii_case(name)))
            .map(|(id, it)| (*id, it.attached.clone()))
            .collect()
    }

    /// The server's part of a connection.
    pub fn connection_link(&self, id: ConnectionId) -> Option<S::Connection> {
        self.connections.get(&id).map(|it| it.attached.clone())
    }

    /// The registry's view of a connection.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        self.connections.get(&id).map(|it| it.info(id))
    }

    fn unbind(
        &mut self,
        session: SessionGlobalId,
        connection: ConnectionId,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(found) = self.sessions.get_mut(&session) else {
            return;
        };
        if found.channels.len() > 1 {
            let was_first = found.channels.first() == Some(&connection);
            found.channels.retain(|channel| *channel != connection);
            let trees = found.trees.len();
            if let Some(found) = self.connections.get_mut(&connection) {
                found.sessions.remove(&session);
                found.trees = found.trees.saturating_sub(trees);
            }
            self.repeat_breaks(session, connection, was_first, None, now, effects);
            return;
        }
        self.end_session(session, EndReason::ConnectionLost, now, effects);
        // If a part of the work is left, it is done without this connection.
        if let Some(found) = self.sessions.get_mut(&session) {
            found.channels.retain(|channel| *channel != connection);
        }
    }
}

impl<S: Shell> Connection<S> {
    pub(crate) fn info(&self, id: ConnectionId) -> ConnectionInfo {
        ConnectionInfo {
            id,
            peer: self.peer,
            client_name: self.client_name.clone(),
            client_guid: self.client_guid,
            dialect: self.dialect,
            created: self.created,
            sessions: self.sessions.len(),
            standing: self.standing,
        }
    }
}
