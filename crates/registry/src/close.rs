//! The ends of opens, tree connects and sessions: one function for each, which all others call with their reasons.

use std::sync::Arc;

use wire::{FileGlobalId, SessionGlobalId, SessionId, TreeGlobalId, TreeId};

use crate::caching::Caching;
use crate::deadlines::Deadline;
use crate::events::EventKind;
use crate::links::Link;
use crate::open::{Home, Open};
use crate::remaining_work::Work;
use crate::session::{Ending, Session, SessionState};
use crate::snapshot::after_bound;
use crate::statistics::count;
use crate::{
    CloseReason, Dropped, Effects, EndReason, Filter, NotFound, OpenRef, Rest, SessionEnded, Shell, Standing,
    State, Time, TreeEnded,
};

impl<S: Shell> State<S> {
    /// Ends an open (MS-SMB2 3.3.4.17), by CLOSE or by an administrator. Its locks are released, requests that waited
    /// for them or for its caching continue, and a pending delete of the file is due with the last open.
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
        self.begin_to_end_tree(id, CloseReason::TreeDisconnect, false);
        self.end_tree_or_rest(id, now, &mut effects);
        Ok(effects)
    }

    /// Ends a session with its tree connects and opens (MS-SMB2 3.3.4.12, 3.3.5.6, 3.3.7.1), by LOGOFF, a lost
    /// connection or an administrator. Durable opens become orphans if the [reason](EndReason::keeps_durable_opens)
    /// allows that.
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

    /// Ends the session with this id for administrators.
    pub fn close_session_by_global_id(
        &mut self,
        session: SessionGlobalId,
        reason: EndReason,
        now: Time,
    ) -> Result<Effects<S>, NotFound> {
        let id = self.sessions.get(&session).ok_or(NotFound)?.session_id;
        self.close_session(id, reason, now)
    }

    /// Ends every session that a filter matches (MS-SRVS 3.1.4.6) and returns their number.
    pub fn close_sessions(&mut self, filter: &Filter, now: Time) -> (usize, Effects<S>) {
        let found: Vec<SessionGlobalId> = self
            .sessions
            .iter()
            .filter(|(id, session)| session.is_listed() && self.matches_session(**id, session, filter))
            .map(|(id, _)| *id)
            .collect();
        let mut effects = Effects::none();
        for id in &found {
            self.end_session(*id, EndReason::Administrator, now, &mut effects);
        }
        (found.len(), effects)
    }

    /// Ends the session that a new one names as its previous, if both belong to the same user (MS-SMB2 3.3.5.5.3).
    pub fn replace_previous_session(&mut self, new: SessionId, previous: SessionId, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        let (Ok(new), Ok(previous)) = (self.session_global(new), self.session_global(previous)) else {
            return effects;
        };
        let same_user = match (self.sessions.get(&new), self.sessions.get(&previous)) {
            (Some(new), Some(previous)) => {
                previous.state != SessionState::InProgress && new.identity.is_same_user(&previous.identity)
            }
            _ => false,
        };
        if new != previous && same_user {
            self.end_session(previous, EndReason::PreviousSession, now, &mut effects);
        }
        effects
    }

    /// Ends the sessions without opens whose user has been idle for too long (MS-SRVS 2.2.4.43, `sv102_disc`), among
    /// the next `length` after the last one seen. Returns the last of these if the table continues. `limit_ms` returns
    /// the allowed idle time of a session that is connected to these shares, which is at least `least_ms`; `None` if
    /// there is no limit.
    pub fn close_idle_sessions(
        &mut self,
        least_ms: u64,
        limit_ms: impl Fn(&[Arc<str>]) -> Option<u64>,
        after: Option<SessionGlobalId>,
        length: usize,
        now: Time,
    ) -> (Option<SessionGlobalId>, Effects<S>) {
        let mut next = self.sessions.range((after_bound(after), std::ops::Bound::Unbounded));
        let mut last = None;
        let idle: Vec<SessionGlobalId> = next
            .by_ref()
            .take(length)
            .inspect(|(id, _)| last = Some(**id))
            .filter(|(_, it)| it.is_listed() && it.open_count.get() == 0)
            .filter(|(_, it)| now.since_ms(it.shared.last_active()) >= least_ms)
            .filter(|(_, it)| {
                let limit = limit_ms(&self.shares_of(it));
                limit.is_some_and(|limit| now.since_ms(it.shared.last_active()) >= limit)
            })
            .map(|(id, _)| *id)
            .collect();
        let last = last.filter(|_| next.next().is_some());
        let mut effects = Effects::none();
        for id in idle {
            self.end_session(id, EndReason::Expired, now, &mut effects);
        }
        (last, effects)
    }

    /// Ends everything (MS-SMB2 3.3.4.22) under one hold of the lock, except for opens that a log keeps, which wait for
    /// [`Self::suspend_logged`]; the server no longer accepts requests.
    pub fn shutdown(&mut self, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        self.limits.work_per_hold = usize::MAX;
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(id, EndReason::Shutdown, now, &mut effects);
            while self.sessions.contains_key(&id) {
                self.end_session_part(id, now, &mut effects);
            }
        }
        effects.rest.clear();
        let unlogged = self.opens.iter().filter(|(_, open)| open.logged().is_none()).map(|(id, _)| id);
        for id in unlogged.collect::<Vec<_>>() {
            self.end_open(id, CloseReason::Shutdown, now, &mut effects);
        }
        for file in self.deletions.keys().copied().collect::<Vec<_>>() {
            self.go_on_deleting(file, &mut effects);
        }
        effects.disconnected = self.connections.values().map(|it| it.attached.clone()).collect();
        effects
    }

    /// Counts an open among those of its tree connect and its session.
    pub(crate) fn enter_home(&mut self, home: Home, id: FileGlobalId) {
        self.opens.enter_tree(home.tree, id);
        if let Some(tree) = self.trees.get(&home.tree) {
            tree.open_count.add();
        }
        if let Some(session) = self.sessions.get(&home.session) {
            session.open_count.add();
        }
    }

    pub(crate) fn leave_home(&mut self, home: Home, id: FileGlobalId) {
        self.opens.leave_tree(home.tree, id);
        if let Some(tree) = self.trees.get(&home.tree) {
            tree.open_count.subtract();
        }
        if let Some(session) = self.sessions.get(&home.session) {
            session.open_count.subtract();
        }
    }

    /// Ends an open. No other function removes opens from the table.
    pub(crate) fn end_open(
        &mut self,
        id: FileGlobalId,
        reason: CloseReason,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let work = self.opens.get(&id).map_or(0, |open| open.locks);
        effects.spent = effects.spent.saturating_add(work).saturating_add(1);
        self.release_locks(id, now, effects);
        if matches!(self.opens.get(&id).map(|open| open.caching), Some(Caching::Oplock { .. })) {
            self.set_oplock(id, wire::OplockLevel::NONE, None);
        }
        let Some(mut open) = self.opens.remove(&id) else {
            return;
        };
        self.open_count.subtract();
        self.orphans.leave(id, &mut open);
        self.announced_closes.remove(&id);
        self.paths.leave(id, &open);
        open.shared.close(reason);
        self.user_opens.remove(&open.user);
        if open.of_stranger {
            self.stranger_opens = self.stranger_opens.saturating_sub(1);
        }
        self.opens.unname(open.file_id.volatile);
        if let Some(home) = open.home {
            self.leave_home(home, id);
        }
        if let Some(name) = &open.replay {
            self.create_guids.remove(name);
        }
        if let Some(durable) = &open.durable {
            self.restored_ids.remove(&open.file_id.persistent);
            if let Some(deadline) = durable.deadline {
                self.deadlines.clear(deadline, Deadline::Durable(id));
            }
        }
        self.leave_log(id, &open, effects);
        if let Caching::Lease(lease) = open.caching {
            self.leave_lease(lease, id);
        }
        let mut removals = Vec::new();
        if let Some(key) = open.target.file() {
            self.wake(key, effects);
            if let Some(file) = self.files.get_mut(&key) {
                file.leave(id, &open);
                if file.opens.is_empty() {
                    self.leave_file(key);
                }
            }
            let link = Link::of(&open);
            self.links.leave(key, &link);
            if open.delete_on_close && reason != CloseReason::CreateFailed && reason != CloseReason::Suspended
            {
                self.delete_on_close(key, id, &open);
            }
            removals = self.due_removals(key, &link, open.deletes_with_own.then_some(id), effects);
            self.touch_logs_of_deleted(key, effects);
        }
        self.events.push(now, EventKind::Closed { open: open.event(id), reason, used: open.used() });
        effects.dropped.push(Dropped::of(id, *open, removals, reason));
    }

    /// Cuts off a tree connect from requests, before it is ended.
    pub(crate) fn begin_to_end_tree(&mut self, id: TreeGlobalId, reason: CloseReason, keeps_durable: bool) {
        let Some(tree) = self.trees.get_mut(&id).filter(|tree| tree.ending.is_none()) else {
            return;
        };
        tree.ending = Some((reason, keeps_durable));
        if let Some(session) = self.sessions.get_mut(&tree.session) {
            session.trees.remove(&tree.tree_id);
            session.ended_trees.insert(id);
            for channel in &session.channels {
                if let Some(connection) = self.connections.get_mut(channel) {
                    connection.trees = connection.trees.saturating_sub(1);
                }
            }
        }
    }

    pub(crate) fn end_tree_or_rest(&mut self, id: TreeGlobalId, now: Time, effects: &mut Effects<S>) {
        if !self.end_tree_part(id, now, effects) {
            effects.rest.push(Rest(Work::Tree(id)));
        }
    }

    /// Ends a tree connect that has begun to end; no other function removes tree connects from the table. Returns false
    /// if a part of the work is left.
    pub(crate) fn end_tree_part(&mut self, id: TreeGlobalId, now: Time, effects: &mut Effects<S>) -> bool {
        let Some(tree) = self.trees.get(&id) else { return true };
        let Some((reason, keeps_durable)) = tree.ending else { return true };
        loop {
            let some: Vec<FileGlobalId> = self.opens.of_tree(id, None).take(OPENS_AT_A_TIME).collect();
            if some.is_empty() {
                break;
            }
            for open in some {
                if !self.has_time(effects) {
                    return false;
                }
                let found = self.opens.get(&open);
                // At a shutdown, only opens that a log keeps wait for their clients.
                let may_outlive = |found: &Open<S>| {
                    keeps_durable || reason == CloseReason::Shutdown && found.logged().is_some()
                };
                if found.is_some_and(|found| may_outlive(found) && self.outlives_client(open, found)) {
                    self.orphan_open(open, now, effects);
                } else {
                    self.end_open(open, reason, now, effects);
                }
                self.opens.leave_tree(id, open);
            }
        }
        let Some(tree) = self.trees.remove(&id) else {
            return true;
        };
        effects.spent = effects.spent.saturating_add(1);
        if let Some(share) =
            self.shares.get_mut(&tree.origin.share).filter(|share| share.id == tree.origin.share_id)
        {
            share.uses.remove(&id);
        }
        if let Some(share) = self.removed_shares.get_mut(&tree.origin.share_id) {
            share.uses.remove(&id);
        }
        self.user_trees.remove(&tree.user);
        if tree.of_stranger {
            self.stranger_trees = self.stranger_trees.saturating_sub(1);
        }
        let (share, owner) =
            (tree.origin.share_name.clone(), self.sessions.get(&tree.session).map(|it| it.owner.clone()));
        self.events.push(now, EventKind::TreeDown { tree: id, session: tree.session, share, owner });
        if let Some(session) = self.sessions.get_mut(&tree.session) {
            session.ended_trees.remove(&id);
            effects.trees_ended.push(TreeEnded {
                global_id: id,
                tree_id: tree.tree_id,
                session_id: session.session_id,
                session: session.attached.clone(),
                attached: tree.attached,
            });
        }
        true
    }

    /// Begins to end a session: from now on its id is not found.
    pub(crate) fn end_session(
        &mut self,
        id: SessionGlobalId,
        reason: EndReason,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.ending.is_none()) else {
            return;
        };
        let hung_up = session.channels.iter().any(|it| self.connections.get(it).is_some_and(|it| it.hung_up));
        session.ending = Some(Ending { reason, hung_up });
        session.shared.end();
        self.session_ids.remove(&session.session_id);
        self.cancel_breaks_awaited_by(id, now, effects);
        self.end_session_part(id, now, effects);
    }

    /// Ends a session that has begun to end; no other function removes sessions from the table.
    pub(crate) fn end_session_part(&mut self, id: SessionGlobalId, now: Time, effects: &mut Effects<S>) {
        while let Some(session) = self.sessions.get(&id) {
            let Some(Ending { reason, .. }) = session.ending else { return };
            let next = session.ended_trees.first().or_else(|| session.trees.values().next());
            let Some(tree) = next.copied() else { break };
            if !self.has_time(effects) {
                return effects.rest.push(Rest(Work::Session(id)));
            }
            self.begin_to_end_tree(tree, reason.of_opens(), reason.keeps_durable_opens());
            if !self.end_tree_part(tree, now, effects) {
                return effects.rest.push(Rest(Work::Session(id)));
            }
        }
        self.cancel_breaks_awaited_by(id, now, effects);
        if let Some(session) = self.sessions.remove(&id) {
            self.leave_session(id, session, now, effects);
        }
    }

    fn leave_session(
        &mut self,
        id: SessionGlobalId,
        mut session: Session<S>,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(Ending { reason, hung_up }) = session.ending else { return };
        effects.spent = effects.spent.saturating_add(1);
        self.stranger_sessions.remove(session.group, id);
        if let Some(user) = &session.user {
            self.user_sessions.remove(user);
            drop(std::mem::take(&mut session.opens_of_user));
            self.user_opens.forget_unused(user);
        }
        if let Some(expiration) = session.expiration {
            self.deadlines.clear(expiration, Deadline::Expiration(id));
        }
        if let Some(deadline) = session.logon_deadline {
            self.deadlines.clear(deadline, Deadline::Logon(id));
            self.in_progress.remove(session.group, id);
        }
        let mut connections = Vec::new();
        let mut nobodys = Vec::new();
        for channel in &session.channels {
            let Some(connection) = self.connections.get_mut(channel) else {
                continue;
            };
            connection.sessions.remove(&id);
            connections.push(connection.attached.clone());
            let is_done = connection.sessions.is_empty();
            if is_done {
                nobodys.push(*channel);
            }
            // An administrator ends a session, not a connection: later requests of the client are still answered
            // (MS-SMB2 3.3.4.12).
            if is_done && matches!(reason, EndReason::Expired | EndReason::Shutdown) {
                effects.disconnected.push(connection.attached.clone());
            }
            self.index_client(*channel);
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
            self.events.push(now, EventKind::SessionDown { session: id, owner: session.owner, reason });
        }
        effects.sessions_ended.push(SessionEnded {
            global_id: id,
            session_id: session.session_id,
            attached: session.attached,
            connections,
            reason,
        });
    }
}

/// The number of opens of a tree connect that are looked up at a time to be ended.
const OPENS_AT_A_TIME: usize = 64;
