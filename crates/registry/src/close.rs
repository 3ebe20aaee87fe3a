//! Leaving: one function ends an open, one a tree connect, one a session. All others are callers with
//! different reasons.

use std::net::IpAddr;
use std::sync::Arc;

use wire::{FileGlobalId, SessionGlobalId, SessionId, TreeGlobalId, TreeId};

use crate::caching::Caching;
use crate::deadlines::Deadline;
use crate::events::EventKind;
use crate::file::Deletion;
use crate::locks::Waiting;
use crate::session::SessionState;
use crate::share::ShareKey;
use crate::statistics::count;
use crate::{
    Cancelled, CloseReason, Dropped, Effects, EndReason, LeaseId, NotFound, OpenRef, Outcome, RequestKey,
    SessionEnded, SessionFilter, Shell, Standing, State, Time, TreeEnded,
};

impl<S: Shell> State<S> {
    /// Ends an open (MS-SMB2 3.3.4.17): CLOSE and every administrator's close alike. Its locks go, who
    /// waited for them or for its caching goes on, and the last open of a file takes a file along that
    /// is to be deleted.
    pub fn close_open(
        &mut self,
        open: impl Into<OpenRef>,
        reason: CloseReason,
        now: Time,
    ) -> Result<Effects<S>, NotFound> {
        let id = self.open_global(open.into())?;
        let mut effects = Effects::none();
        self.end_open(id, reason, now, &mut effects);
        Ok(effects)
    }

    /// Ends a session's tree connect and its opens (MS-SMB2 3.3.5.8).
    pub fn tree_disconnect(
        &mut self,
        session: SessionId,
        tree: TreeId,
        now: Time,
    ) -> Result<Effects<S>, NotFound> {
        let id = self.tree_global(session, tree)?;
        let mut effects = Effects::none();
        self.end_tree(id, CloseReason::TreeDisconnect, now, &mut effects);
        Ok(effects)
    }

    /// Ends a session with its tree connects and opens (MS-SMB2 3.3.4.12, 3.3.5.6, 3.3.7.1): LOGOFF, a
    /// lost connection and an administrator alike. Durable opens stay behind where the
    /// [reason](EndReason::keeps_durable_opens) lets them.
    pub fn close_session(
        &mut self,
        session: SessionId,
        reason: EndReason,
        now: Time,
    ) -> Result<Effects<S>, NotFound> {
        let id = self.session_global(session)?;
        let mut effects = Effects::none();
        self.end_session(id, reason, now, &mut effects);
        Ok(effects)
    }

    /// Ends the session an administrator names.
    pub fn close_session_by_global_id(
        &mut self,
        session: SessionGlobalId,
        reason: EndReason,
        now: Time,
    ) -> Result<Effects<S>, NotFound> {
        let id = self.sessions.get(&session).ok_or(NotFound)?.session_id;
        self.close_session(id, reason, now)
    }

    /// Ends every session an administrator means (MS-SRVS 3.1.4.6) and says how many they were.
    pub fn close_sessions(&mut self, filter: &SessionFilter<'_>, now: Time) -> (usize, Effects<S>) {
        let meant: Vec<SessionGlobalId> = self
            .sessions
            .iter()
            .filter(|(_, session)| {
                session.state != SessionState::InProgress && self.matches_session(session, filter)
            })
            .map(|(id, _)| *id)
            .collect();
        let mut effects = Effects::none();
        for id in &meant {
            self.end_session(*id, EndReason::Administrator, now, &mut effects);
        }
        (meant.len(), effects)
    }

    /// Ends the session a new one names as its previous, if it is the same user's (MS-SMB2 3.3.5.5.3).
    pub fn replace_previous_session(&mut self, new: SessionId, previous: SessionId, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        let (Ok(new), Ok(previous)) = (self.session_global(new), self.session_global(previous)) else {
            return effects;
        };
        let same_user = match (self.sessions.get(&new), self.sessions.get(&previous)) {
            (Some(new), Some(previous)) => {
                new.identity.user.to_lowercase() == previous.identity.user.to_lowercase()
                    && new.identity.domain.to_lowercase() == previous.identity.domain.to_lowercase()
                    && new.identity.flags.anonymous == previous.identity.flags.anonymous
            }
            _ => false,
        };
        if new != previous && same_user {
            self.end_session(previous, EndReason::PreviousSession, now, &mut effects);
        }
        effects
    }

    /// Ends the sessions that have no opens and whose user did nothing for too long (MS-SRVS 2.2.4.43,
    /// `sv102_disc`). `limit_ms` says how long that is for a session connected to these shares; none
    /// for never, and for nobody less than `least_ms`.
    pub fn close_idle_sessions(
        &mut self,
        least_ms: u64,
        limit_ms: impl Fn(&[Arc<str>]) -> Option<u64>,
        now: Time,
    ) -> Effects<S> {
        let idle: Vec<SessionGlobalId> = self
            .sessions
            .iter()
            .filter(|(_, it)| it.state != SessionState::InProgress && it.open_count == 0)
            .filter(|(_, it)| now.since_ms(it.shared.last_active()) >= least_ms)
            .filter(|(_, it)| {
                let limit = limit_ms(&self.shares_of(it));
                limit.is_some_and(|limit| now.since_ms(it.shared.last_active()) >= limit)
            })
            .map(|(id, _)| *id)
            .collect();
        let mut effects = Effects::none();
        for id in idle {
            self.end_session(id, EndReason::Expired, now, &mut effects);
        }
        effects
    }

    /// Ends everything (MS-SMB2 3.3.4.22).
    pub fn shutdown(&mut self, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(id, EndReason::Shutdown, now, &mut effects);
        }
        for id in self.opens.keys().copied().collect::<Vec<_>>() {
            self.end_open(id, CloseReason::Shutdown, now, &mut effects);
        }
        effects.disconnected = self.connections.values().map(|it| it.attached.clone()).collect();
        effects
    }

    /// The only way out of the table of opens.
    pub(crate) fn end_open(
        &mut self,
        id: FileGlobalId,
        reason: CloseReason,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        self.release_locks(id, now, effects);
        if matches!(self.opens.get(&id).map(|open| open.caching), Some(Caching::Oplock { .. })) {
            self.set_oplock(id, wire::OplockLevel::NONE, None);
        }
        let Some(open) = self.opens.remove(&id) else {
            return;
        };
        open.shared.close(reason);
        if open.of_stranger {
            self.stranger_opens = self.stranger_opens.saturating_sub(1);
        }
        self.volatile_ids.remove(&open.file_id.volatile);
        if let Some(home) = open.home {
            if let Some(tree) = self.trees.get_mut(&home.tree) {
                tree.opens.remove(&id);
            }
            if let Some(session) = self.sessions.get_mut(&home.session) {
                session.open_count = session.open_count.saturating_sub(1);
            }
        }
        if let Some(name) = &open.replay {
            self.create_guids.remove(name);
        }
        if let Some(durable) = &open.durable {
            self.durable_ids.remove(&open.file_id.persistent);
            if let Some(deadline) = durable.deadline {
                self.deadlines.clear(deadline, Deadline::Durable(id));
            }
        }
        if let Caching::Lease(lease) = open.caching {
            self.leave_lease(lease, id);
        }
        let mut deletion = Deletion::None;
        let mut deleted_by = None;
        if let Some(key) = open.target.file() {
            self.wake(key, effects);
            if let Some(file) = self.files.get_mut(&key) {
                file.share_mode.remove(open.sharing());
                file.opens.remove(&id);
                if open.delete_on_close && reason != CloseReason::CreateFailed {
                    file.delete_pending = true;
                    file.deleted_by.get_or_insert(id);
                }
                deleted_by = file.deleted_by;
                if file.opens.is_empty() {
                    deletion = self.leave_file(key);
                }
            }
        }
        self.events.push(now, EventKind::Closed { open: open.event(id), reason });
        effects.dropped.push(Dropped {
            global_id: id,
            file_id: open.file_id,
            attached: open.attached,
            target: open.target,
            share: open.share_name,
            path: open.path,
            delete_on_close_now: deletion != Deletion::None,
            deletes_file: deletion == Deletion::File,
            deletes_for_another: deleted_by.is_some_and(|by| by != id),
            reason,
        });
    }

    /// The only way out of the table of tree connects.
    pub(crate) fn end_tree(
        &mut self,
        id: TreeGlobalId,
        reason: CloseReason,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(tree) = self.trees.get(&id) else {
            return;
        };
        for open in tree.opens.clone() {
            self.end_open(open, reason, now, effects);
        }
        let Some(tree) = self.trees.remove(&id) else {
            return;
        };
        if let Some(share) = self.shares.get_mut(&tree.share) {
            share.uses.remove(&id);
        }
        if tree.of_stranger {
            self.stranger_trees = self.stranger_trees.saturating_sub(1);
        }
        self.events
            .push(now, EventKind::TreeDown { tree: id, session: tree.session, share: tree.share_name });
        if let Some(session) = self.sessions.get_mut(&tree.session) {
            session.trees.remove(&tree.tree_id);
            for channel in &session.channels {
                if let Some(connection) = self.connections.get_mut(channel) {
                    connection.trees = connection.trees.saturating_sub(1);
                }
            }
            effects.trees_ended.push(TreeEnded {
                global_id: id,
                tree_id: tree.tree_id,
                session_id: session.session_id,
                attached: tree.attached,
            });
        }
    }

    /// The durable opens in a share that wait for their client.
    pub(crate) fn orphans_of(&self, share: &ShareKey) -> Vec<FileGlobalId> {
        self.durable_ids
            .values()
            .filter(|id| self.opens.get(id).is_some_and(|open| open.home.is_none() && open.share == *share))
            .copied()
            .collect()
    }

    /// The only way out of the table of sessions.
    pub(crate) fn end_session(
        &mut self,
        id: SessionGlobalId,
        reason: EndReason,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        session.shared.end();
        let trees: Vec<TreeGlobalId> = session.trees.values().copied().collect();
        for request in self.breaks_awaited_by(id) {
            if self.forget_waiting(&[request], now, effects) != 0 {
                effects.cancelled.push(Cancelled { request, outcome: Outcome::SessionEnded });
            }
        }
        for tree in trees {
            if reason.keeps_durable_opens() {
                self.orphan_opens(tree, now, effects);
            }
            self.end_tree(tree, reason.of_opens(), now, effects);
        }
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.session_ids.remove(&session.session_id);
        self.stranger_sessions.remove(session.group, id);
        if let Some(deadline) = session.logon_deadline {
            self.deadlines.clear(deadline, Deadline::Logon(id));
            self.in_progress.remove(session.group, id);
        }
        let mut connections = Vec::new();
        let mut hung_up = false;
        let mut nobodys = Vec::new();
        for channel in &session.channels {
            let Some(connection) = self.connections.get_mut(channel) else {
                continue;
            };
            hung_up |= connection.hung_up;
            connection.sessions.remove(&id);
            connections.push(connection.attached.clone());
            let is_done = connection.sessions.is_empty();
            if is_done {
                nobodys.push(*channel);
            }
            // An administrator ends a session, not a connection: its client is to hear so (MS-SMB2 3.3.4.12).
            if is_done && matches!(reason, EndReason::Expired | EndReason::Shutdown) {
                effects.disconnected.push(connection.attached.clone());
            }
        }
        for connection in nobodys {
            self.set_standing(connection, Standing::Stranger);
        }
        if session.state != SessionState::InProgress {
            match reason {
                EndReason::Expired => count(&self.statistics.sessions_timed_out),
                EndReason::ConnectionLost if !hung_up => count(&self.statistics.sessions_errored_out),
                _ => {}
            }
            self.events.push(
                now,
                EventKind::SessionDown {
                    session: id,
                    user: session.identity.user.clone(),
                    client: session.owner.client.clone(),
                    reason,
                },
            );
        }
        effects.sessions_ended.push(SessionEnded {
            global_id: id,
            session_id: session.session_id,
            attached: session.attached,
            connections,
            reason,
        });
    }

    fn orphan_opens(&mut self, tree: TreeGlobalId, now: Time, effects: &mut Effects<S>) {
        let Some(tree) = self.trees.get(&tree) else {
            return;
        };
        let durable: Vec<FileGlobalId> = tree
            .opens
            .iter()
            .filter(|id| self.opens.get(id).is_some_and(|open| self.outlives_client(**id, open)))
            .copied()
            .collect();
        for id in durable {
            self.orphan_open(id, now, effects);
        }
    }

    fn breaks_awaited_by(&self, session: SessionGlobalId) -> Vec<RequestKey> {
        let Some(found) = self.sessions.get(&session) else {
            return Vec::new();
        };
        let requests =
            found.channels.iter().filter_map(|id| self.connections.get(id)).flat_map(|it| &it.waiting);
        requests
            .chain(&found.stranded)
            .filter(|request| {
                matches!(self.waiting.get(request), Some(Waiting::Break { session: Some(it), .. }) if *it == session)
            })
            .copied()
            .collect()
    }

    fn leave_lease(&mut self, id: LeaseId, open: FileGlobalId) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        lease.opens.remove(&open);
        if !lease.opens.is_empty() {
            return;
        }
        if let Some(breaking) = lease.breaking.take() {
            self.deadlines.clear(breaking.deadline, Deadline::LeaseBreak(id));
        }
        self.set_lease_state(id, wire::LeaseState::NONE);
        if let Some(lease) = self.leases.remove(&id)
            && let Some(file) = self.files.get_mut(&lease.file)
        {
            file.leases.remove(&id);
        }
    }
}

/// Whether a client's name or address is the one meant.
pub(crate) fn is_client(name: &str, address: IpAddr, meant: &str) -> bool {
    name.eq_ignore_ascii_case(meant) || meant.parse() == Ok(address.to_canonical())
}
