//! The invariants of the tables. The rest of the registry relies on them; tests check them after every step.

use std::collections::BTreeMap;

use wire::{FileGlobalId, FoldedName, LeaseState};

use crate::ConnectionId;
use crate::admit::{is_lease_stat_open, is_stat_open};
use crate::caching::{Caching, Holder};
use crate::deadlines::Deadline;
use crate::few::FewSet;
use crate::file::{File, FileKey, ShareMode};
use crate::links::{Link, Links};
use crate::open::Open;
use crate::orphans::Orphans;
use crate::path_index::Paths;
use crate::session::SessionState;
use crate::user_counts::{ByUser, UserKey};
use crate::waiting::Waiting;
use crate::{AddressGroup, LogId, Shell, Standing, State};

/// Returns the message as an error unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}

impl<S: Shell> State<S> {
    /// Checks all tables. This is slow and used by tests.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check_connections()?;
        self.check_standings()?;
        self.check_sessions()?;
        self.check_trees()?;
        for (id, open) in self.opens.iter() {
            self.check_open(id, open)?;
        }
        self.check_indexes()?;
        self.check_deletions()?;
        for (key, file) in self.files.iter() {
            self.check_file(*key, file)?;
            self.check_ranges(*key, file)?;
            self.check_caching(*key, file)?;
        }
        let locks: usize = self.files.values().map(|file| file.ranges.len()).sum();
        ensure!(locks == self.lock_total, "{} locks are counted, and there are {locks}", self.lock_total);
        self.check_leases()?;
        self.check_waiting()?;
        self.check_deadlines()
    }

    fn check_connections(&self) -> Result<(), String> {
        for (client, id) in &self.client_connections {
            let found = self.connections.get(id).is_some_and(|it| it.client_guid == *client);
            ensure!(found, "the client index has connection {id} for {client:?}, which is not its client");
        }
        for (id, connection) in &self.connections {
            let indexed = self.client_connections.contains(&(connection.client_guid, *id));
            let is_meant = connection.dialect.is_some() && !connection.sessions.is_empty();
            ensure!(
                indexed == is_meant,
                "connection {id} is missing in its client's index, or should not be there"
            );
            for session in &connection.sessions {
                let channels =
                    self.sessions.get(session).map(|it| it.channels.as_slice()).unwrap_or_default();
                ensure!(
                    channels.contains(id),
                    "connection {id} carries session {session}, which is not bound to it"
                );
            }
            for request in &connection.waiting {
                ensure!(
                    request.connection == *id,
                    "connection {id} has {request:?} of another connection among its waiting requests"
                );
                ensure!(
                    self.waiting.contains_key(request),
                    "connection {id}: {request:?} is not in the table of waiting requests"
                );
            }
        }
        Ok(())
    }

    fn check_standings(&self) -> Result<(), String> {
        let consistent = self.strangers.is_consistent()
            && self.guests.is_consistent()
            && self.in_progress.is_consistent()
            && self.stranger_sessions.is_consistent();
        ensure!(consistent, "a crowd is inconsistent");
        let (mut strangers, mut guests) = (0, 0);
        for (id, connection) in &self.connections {
            let group = AddressGroup::of(connection.peer.ip());
            let (is_stranger, is_guest) =
                (self.strangers.contains(group, *id), self.guests.contains(group, *id));
            ensure!(
                is_stranger == (connection.standing == Standing::Stranger)
                    && is_guest == (connection.standing == Standing::Guest),
                "connection {id} is not in the crowd of its standing {:?}",
                connection.standing
            );
            strangers += usize::from(is_stranger);
            guests += usize::from(is_guest);
            let sessions = connection.sessions.iter().filter_map(|it| self.sessions.get(it));
            let trees: usize = sessions.map(|it| it.trees.len()).sum();
            ensure!(
                trees == connection.trees,
                "connection {id} counts {} tree connects, and has {trees}",
                connection.trees
            );
        }
        ensure!(
            (strangers, guests) == (self.strangers.len(), self.guests.len()),
            "a crowd has connections that have ended"
        );
        let (mut in_progress, mut of_strangers) = (0, 0);
        for (id, session) in &self.sessions {
            let progresses = session.state == SessionState::InProgress;
            let of_stranger = !progresses && session.identity.standing() == Standing::Stranger;
            ensure!(
                self.in_progress.contains(session.group, *id) == progresses
                    && session.logon_deadline.is_some() == progresses
                    && self.stranger_sessions.contains(session.group, *id) == of_stranger,
                "session {id} is not in the crowd of its state"
            );
            in_progress += usize::from(progresses);
            of_strangers += usize::from(of_stranger);
        }
        ensure!(
            (in_progress, of_strangers) == (self.in_progress.len(), self.stranger_sessions.len()),
            "a crowd has sessions that have ended"
        );
        let by_user = |users: &mut dyn Iterator<Item = &UserKey>| {
            let mut all = ByUser::default();
            users.for_each(|user| all.add(user));
            all
        };
        ensure!(
            by_user(&mut self.sessions.values().filter_map(|it| it.user.as_ref())) == self.user_sessions
                && by_user(&mut self.trees.values().map(|it| &it.user)) == self.user_trees
                && self.user_opens.are(&by_user(&mut self.opens.values().map(|it| &it.user))),
            "the counts of objects by user are wrong"
        );
        let trees = self.trees.values().filter(|it| it.of_stranger).count();
        let opens = self.opens.values().filter(|it| it.of_stranger).count();
        ensure!(
            (trees, opens) == (self.stranger_trees, self.stranger_opens),
            "strangers have {trees} tree connects and {opens} opens, which are counted otherwise"
        );
        Ok(())
    }

    fn check_sessions(&self) -> Result<(), String> {
        let named = self.sessions.values().filter(|it| it.ending.is_none()).count();
        ensure!(self.session_ids.len() == named, "session ids and sessions differ in number");
        for (id, session) in &self.sessions {
            let is_ending = session.ending.is_some();
            let is_named = self.session_ids.get(&session.session_id) == Some(id);
            ensure!(
                is_named != is_ending,
                "session {id} is missing in the index of ids, or should not be there"
            );
            ensure!(is_ending || !session.channels.is_empty(), "session {id} has no channel");
            ensure!(
                is_ending == session.shared.has_ended(),
                "session {id} is marked as ended and is not ending, or the reverse"
            );
            for channel in &session.channels {
                let carried = self.connections.get(channel).is_some_and(|it| it.sessions.contains(id));
                ensure!(carried, "session {id} is bound to connection {channel}, which does not list it");
            }
            let mut opens: usize = 0;
            for (tree_id, tree) in &session.trees {
                let found = self.trees.get(tree).filter(|it| it.session == *id && it.tree_id == *tree_id);
                ensure!(found.is_some(), "session {id} lists tree connect {tree}, which is not its own");
                opens += found.map_or(0, |it| it.open_count.get());
            }
            for tree in &session.ended_trees {
                let found = self.trees.get(tree).filter(|it| it.session == *id && it.ending.is_some());
                ensure!(
                    found.is_some(),
                    "session {id} lists tree connect {tree} as ending, which is not its own"
                );
                opens += found.map_or(0, |it| it.open_count.get());
            }
            ensure!(
                opens == session.open_count.get(),
                "session {id} counts {} opens, and has {opens}",
                session.open_count.get()
            );
        }
        Ok(())
    }

    fn check_trees(&self) -> Result<(), String> {
        let shares = || self.shares.values().chain(self.removed_shares.values());
        let uses: usize = shares().map(|share| share.uses.len()).sum();
        ensure!(uses == self.trees.len(), "shares count {uses} tree connects of {}", self.trees.len());
        for (id, tree) in &self.trees {
            let known = self.sessions.get(&tree.session).is_some_and(|it| match tree.ending {
                None => it.trees.get(&tree.tree_id) == Some(id),
                Some(_) => it.ended_trees.contains(id),
            });
            ensure!(known, "tree connect {id} is not listed by its session");
            let used = shares().any(|share| share.id == tree.origin.share_id && share.uses.contains(id));
            ensure!(used, "tree connect {id} is not listed by its share");
            let count = self.opens.of_tree(*id, None).count();
            ensure!(count == tree.open_count.get(), "tree connect {id} counts its {count} opens wrongly");
            for open in self.opens.of_tree(*id, None) {
                let home = self.opens.get(&open).and_then(|it| it.home);
                ensure!(
                    home.is_some_and(|it| it.tree == *id),
                    "tree connect {id} lists open {open}, which is not its own"
                );
            }
        }
        Ok(())
    }

    fn check_open(&self, id: FileGlobalId, open: &Open<S>) -> Result<(), String> {
        ensure!(open.shared.closed().is_none(), "open {id} is closed and still in the table");
        let user = UserKey::new(open.owner.kind, &open.owner.user, open.owner.sid);
        ensure!(open.user == user, "open {id} belongs to {user:?} and is counted for {:?}", open.user);
        match open.home {
            Some(home) => {
                let tree = self.trees.get(&home.tree);
                let fits = tree.is_some_and(|it| it.session == home.session);
                ensure!(fits, "open {id} belongs to a tree connect of another session");
                let found = self.opens.by_volatile_id(open.file_id.volatile);
                ensure!(found == Some(id), "open {id} is not found by its volatile id");
            }
            None => {
                let deadline = open.durable.as_ref().and_then(|it| it.deadline);
                ensure!(deadline.is_some(), "open {id} has neither a client nor a deadline");
                ensure!(open.waiting_locks == 0, "open {id} has no client and waits for a lock");
                let mut shares = self.shares.values().chain(self.removed_shares.values());
                ensure!(
                    shares.any(|it| it.id == open.origin.share_id),
                    "open {id} is an orphan of a share that was removed"
                );
                ensure!(open.orphaned.is_some(), "open {id} is not among the orphans");
            }
        }
        if let Some(name) = &open.replay {
            ensure!(self.create_guids.get(name) == Some(&id), "open {id} is not found by its create GUID");
        }
        if let Some(durable) = &open.durable {
            let found = self.by_durable_id(open.file_id.persistent);
            ensure!(found == Some(id), "durable open {id} is not found by its persistent id");
            ensure!(
                open.home.is_none() || durable.deadline.is_none(),
                "open {id} has a client and a deadline"
            );
        }
        if let Some(key) = open.target.file() {
            let known = self.files.get(&key).is_some_and(|file| file.opens.contains(&id));
            ensure!(known, "open {id} is not listed by its file");
        }
        Ok(())
    }

    fn check_indexes(&self) -> Result<(), String> {
        let homes = self.opens.values().filter(|open| open.home.is_some()).count();
        let orphans = self.opens.len().saturating_sub(homes);
        let mut expected = Orphans::default();
        self.opens.iter().for_each(|(id, open)| expected.enter(id, open));
        ensure!(expected == self.orphans && expected.len() == orphans, "the index of orphans is wrong");
        let mut paths = Paths::default();
        self.opens.iter().for_each(|(id, open)| paths.enter(id, open));
        ensure!(paths == self.paths, "the index of opens by paths is wrong");
        let is_folded = |open: &Open<S>| open.folded == FoldedName::new(&open.path);
        ensure!(self.opens.values().all(is_folded), "the folded path of an open is wrong");
        ensure!(self.opens.named() == homes, "volatile ids and opens differ in number");
        ensure!(self.open_count.get() == self.opens.len(), "{} opens are counted", self.open_count.get());
        let of_trees = self.opens.iter().filter_map(|(id, open)| Some((open.home?.tree, id)));
        ensure!(
            self.opens.of_trees_are(of_trees.collect()),
            "the index of the opens of tree connects is wrong"
        );
        let is_restored = |persistent: &u64, id: &FileGlobalId| {
            let open = self.opens.get(id);
            open.is_some_and(|open| open.durable.is_some() && open.file_id.persistent == *persistent)
        };
        ensure!(
            self.restored_ids.iter().all(|(persistent, id)| is_restored(persistent, id)),
            "the id of a restored open is not that of an open"
        );
        let guids = self.opens.values().filter(|it| it.replay.is_some()).count();
        ensure!(self.create_guids.len() == guids, "create GUIDs and their opens differ in number");
        let mut kept: BTreeMap<LogId, usize> = BTreeMap::new();
        for log in self.opens.values().filter_map(|open| open.logged()) {
            *kept.entry(log).or_default() += 1;
        }
        ensure!(kept == self.logs.kept(), "the numbers of opens that the logs keep are wrong");
        Ok(())
    }

    fn check_deletions(&self) -> Result<(), String> {
        for (key, pending) in &self.deletions {
            let checked = pending.check(*key, &self.links);
            ensure!(checked.is_ok(), "{key:?}, its pending deletes: {checked:?}");
            let mut keys = std::iter::once(*key).chain(self.streams_of(*key));
            ensure!(
                keys.any(|key| self.files.contains_key(&key)) || pending.is_going_on(),
                "{key:?} has a pending delete and no open"
            );
        }
        let counts = self.vanishing.values();
        ensure!(
            counts.clone().all(|links| !links.is_empty() && links.values().all(|count| *count != 0)),
            "the table of removals under way has an empty entry"
        );
        let mut links = Links::default();
        for open in self.opens.values() {
            if let Some(key) = open.target.file() {
                links.enter(key, Link::of(open));
            }
        }
        ensure!(links == self.links, "the counts of opens by links are wrong");
        Ok(())
    }

    fn check_file(&self, key: FileKey, file: &File) -> Result<(), String> {
        ensure!(!file.opens.is_empty(), "{key:?} has no opens");
        ensure!(
            (key.stream != 0) == self.streams.contains(&key),
            "{key:?} is missing in the index of streams, or should not be there"
        );
        let mut share_mode = ShareMode::default();
        let mut before: Vec<(FileGlobalId, &Open<S>)> = Vec::new();
        for id in file.opens.iter() {
            let open = self.opens.get(id).filter(|open| open.target.file() == Some(key));
            let Some(open) = open else {
                return Err(format!("{key:?} lists open {id}, which is not its own"));
            };
            share_mode.add(open.sharing());
            for (other_id, other) in &before {
                let conflict = open.sharing().conflicts_with(other.sharing());
                ensure!(!conflict, "{key:?}: opens {other_id} and {id} do not share");
            }
            before.push((*id, open));
        }
        let waits = |open: &&(FileGlobalId, &Open<S>)| open.1.is_persistent() && open.1.home.is_none();
        let awaited = before.iter().filter(waits).map(|(id, _)| *id);
        ensure!(
            awaited.eq(file.awaited.iter().copied()),
            "{key:?}: the persistent opens that wait are wrong"
        );
        ensure!(
            share_mode == file.share_mode,
            "{key:?} counts its share modes wrongly as {:?}",
            file.share_mode
        );
        ensure!(file.knows(before.into_iter()), "the indexes of the opens of {key:?} are wrong");
        Ok(())
    }

    fn check_ranges(&self, key: FileKey, file: &File) -> Result<(), String> {
        let held: Vec<_> = file.ranges.held().collect();
        ensure!(file.shared.lock_count() as usize == held.len(), "{key:?} shows a wrong number of locks");
        for (at, lock) in held.iter().enumerate() {
            ensure!(
                file.opens.contains(&lock.open),
                "{key:?}: a lock belongs to open {}, which has ended",
                lock.open
            );
            for other in held.iter().skip(at + 1) {
                let apart = !lock.conflicts_with(other) || !other.conflicts_with(lock);
                ensure!(apart, "{key:?}: {lock:?} and {other:?} are both held");
            }
        }
        let waiting: Vec<_> = file.ranges.waiting().copied().collect();
        for (at, waiter) in waiting.iter().enumerate() {
            let expected = Waiting::Lock { file: key, open: waiter.lock.open };
            ensure!(
                self.waiting.get(&waiter.request) == Some(&expected),
                "{key:?}: {waiter:?} is not in the table of waiting requests"
            );
            // A waiter that must have its lock outside of the registry may wait for that.
            let blocked = waiter.outside
                || held.iter().any(|it| it.conflicts_with(&waiter.lock))
                || waiting.iter().take(at).any(|it| it.lock.conflicts_with(&waiter.lock));
            ensure!(blocked, "{key:?}: {waiter:?} waits without a conflict");
        }
        for id in file.opens.iter() {
            let Some(open) = self.opens.get(id) else { continue };
            let locks = held.iter().filter(|it| it.open == *id).count();
            let waits = waiting.iter().filter(|it| it.lock.open == *id).count();
            ensure!(open.locks == locks, "open {id} counts {} locks, and has {locks}", open.locks);
            ensure!(
                open.waiting_locks == waits,
                "open {id} counts {} waiting locks, and has {waits}",
                open.waiting_locks
            );
        }
        Ok(())
    }

    fn check_caching(&self, key: FileKey, file: &File) -> Result<(), String> {
        let with_oplock = |id: &&FileGlobalId| {
            self.opens.get(id).is_some_and(|open| matches!(open.caching, Caching::Oplock { .. }))
        };
        let oplocks: FewSet<FileGlobalId> = file.opens.iter().filter(with_oplock).copied().collect();
        ensure!(oplocks == file.oplocks, "{key:?} lists other oplocks than its opens hold");
        let leases = file.leases.iter().map(|it| Holder::Lease(*it));
        let caching: FewSet<Holder> = leases
            .filter(|it| !self.held(*it).is_none())
            .chain(oplocks.iter().copied().map(Holder::Oplock))
            .collect();
        ensure!(caching == file.caching, "{key:?} lists other holders of caches than there are");
        ensure!(file.shared.cachers() as usize == caching.len(), "{key:?} shows a wrong number of caches");
        ensure!(
            caching.len() <= self.limits.cachers_per_file,
            "{key:?} has more holders of caches than the limit"
        );

        let holders = self.holders(key);
        let breaking = holders.iter().any(|holder| self.is_breaking(*holder) || self.is_owed(*holder));
        ensure!(
            file.waiting.is_empty() || breaking,
            "{key:?}: {:?} wait, and no break is under way",
            file.waiting
        );
        for holder in holders {
            if !self.held(holder).contains(LeaseState::WRITE) {
                continue;
            }
            let is_harmless = |open: &Open<S>| match holder {
                Holder::Lease(_) => is_lease_stat_open(open.access),
                Holder::Oplock(_) => is_stat_open(open.access),
            };
            let mut others = file.opens.iter().filter_map(|id| self.opens.get(id).map(|open| (*id, open)));
            let other = others
                .find(|(id, open)| self.holder_of(*id, open) != Some(holder) && !is_harmless(open))
                .map(|(id, _)| id);
            ensure!(other.is_none(), "{key:?}: {holder:?} caches writes beside open {other:?}");
        }
        Ok(())
    }

    fn check_leases(&self) -> Result<(), String> {
        for (id, lease) in self.leases.iter() {
            ensure!(!lease.opens.is_empty(), "{id:?} has no opens");
            let known = self.files.get(&lease.file).is_some_and(|file| file.leases.contains(id));
            ensure!(known, "{id:?} is not listed by its file");
            for open in lease.opens.iter() {
                let caching = self.opens.get(open).map(|it| it.caching);
                ensure!(
                    caching == Some(Caching::Lease(*id)),
                    "{id:?} lists open {open}, which is not its own"
                );
            }
            if let Some(breaking) = lease.breaking {
                ensure!(lease.state.contains(breaking.to), "{id:?} breaks to more than it holds");
                ensure!(lease.state != breaking.to, "{id:?} breaks to the state that it holds");
                ensure!(lease.owed.is_none(), "{id:?} breaks and is owed a break");
            }
            if let Some(owed) = lease.owed {
                ensure!(lease.state.contains(owed), "{id:?} is owed a break to more than it holds");
                ensure!(lease.state != owed, "{id:?} is owed a break to the state that it holds");
                ensure!(self.is_orphaned(Holder::Lease(*id)), "{id:?} has a client and is owed a break");
            }
        }
        let of_files: usize = self.files.values().map(|file| file.leases.len()).sum();
        ensure!(of_files == self.leases.len(), "files list {of_files} leases of {}", self.leases.len());
        Ok(())
    }

    fn check_waiting(&self) -> Result<(), String> {
        let mut found = 0;
        for (key, file) in self.files.iter() {
            for (number, request) in &file.waiting {
                let known = matches!(
                    self.waiting.get(request),
                    Some(Waiting::Break { file, place, .. }) if file == key && place == number
                );
                ensure!(known, "{key:?}: {request:?} is not in the table of waiting requests");
            }
            found += file.waiting.len() + file.ranges.waiting_len();
        }
        ensure!(found == self.waiting.len(), "files list {found} waiting requests of {}", self.waiting.len());
        for (request, waiting) in &self.waiting {
            // An administrator's request has no connection; the administrator ends the wait.
            if request.connection == ConnectionId::NONE
                && matches!(waiting, Waiting::Break { session: None, .. })
            {
                continue;
            }
            let stranded = match waiting {
                Waiting::Break { session: Some(session), .. } => {
                    self.sessions.get(session).is_some_and(|it| it.stranded.contains(request))
                }
                _ => false,
            };
            let known = stranded
                || self.connections.get(&request.connection).is_some_and(|it| it.waiting.contains(request));
            ensure!(known, "{request:?} is not listed by its connection or session");
        }
        Ok(())
    }

    fn check_deadlines(&self) -> Result<(), String> {
        let mut expected = 0;
        for (id, open) in self.opens.iter() {
            if let Caching::Oplock { breaking: Some(breaking), .. } = open.caching {
                expected += 1;
                let set = self.deadlines.contains(breaking.deadline, Deadline::OplockBreak(id));
                ensure!(set, "open {id}: its break has no deadline");
            }
            if let Some(deadline) = open.durable.and_then(|it| it.deadline) {
                expected += 1;
                ensure!(
                    self.deadlines.contains(deadline, Deadline::Durable(id)),
                    "orphan {id} has no deadline"
                );
            }
        }
        for (id, session) in &self.sessions {
            if let Some(deadline) = session.logon_deadline {
                expected += 1;
                let set = self.deadlines.contains(deadline, Deadline::Logon(*id));
                ensure!(set, "session {id} is in progress without a deadline");
            }
            if let Some(expiration) = session.expiration {
                expected += 1;
                let set = self.deadlines.contains(expiration, Deadline::Expiration(*id));
                ensure!(set && session.state == SessionState::Valid, "session {id} does not expire in time");
            }
            ensure!(
                session.shared.has_expired() == (session.state == SessionState::Expired),
                "requests do not see the state of session {id}"
            );
        }
        for (id, lease) in self.leases.iter() {
            if let Some(breaking) = lease.breaking {
                expected += 1;
                let set = self.deadlines.contains(breaking.deadline, Deadline::LeaseBreak(*id));
                ensure!(set, "{id:?}: its break has no deadline");
            }
        }
        ensure!(
            self.deadlines.len() == expected,
            "there are {} deadlines, and there should be {expected}",
            self.deadlines.len()
        );
        Ok(())
    }
}
