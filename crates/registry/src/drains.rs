//! Drains: a share, a client or the whole server takes no new opens, so that its users come to an end.
//!
//! A session that has a file open where the drain applies may open more, unless the drain is strict: a program saves a
//! document by making other files beside it. Directories do not count as open files, because a window that shows a
//! directory keeps it open for hours.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{FileGlobalId, SessionGlobalId, ShareName};

use crate::{ClientName, FileSnapshot, NotFound, Part, Shell, State, Time, cost};

/// The part of the server that a drain is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainScope {
    /// All shares.
    Server,
    /// One share, by its name.
    Share(ShareName),
    /// The sessions of one client.
    Client(ClientName),
}

/// The progress of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainPhase {
    /// The users finish their work.
    Waiting,
    /// The deadline is over, and the rest is being closed.
    Ending,
    /// Nothing is open any more.
    Done(Drained),
}

/// The result of a drain: the numbers of opens that were closed at its deadline, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The time when nothing was open any more.
    pub at: Time,
    /// Opens whose client had no unwritten data.
    pub clean: usize,
    /// Opens whose client wrote its cached data first.
    pub flushed: usize,
    /// Opens whose client did not give up its cached data in time.
    pub forced: usize,
}

/// A drain in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The part of the server that it is about.
    pub scope: DrainScope,
    /// The time of its beginning.
    pub begun: Time,
    /// The time at which the remaining opens are closed; `None` to wait for their users.
    pub deadline: Option<Time>,
    /// True if sessions that have files open cannot open more either.
    pub strict: bool,
    /// True if the server stops when nothing is open any more.
    pub then_stop: bool,
    /// The administrator.
    pub by: Arc<str>,
    /// The progress.
    pub phase: DrainPhase,
}

/// The limit of drains is reached: [`SHARE_DRAINS`] or [`CLIENT_DRAINS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyDrains;

/// The drains in force, by scope.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    server: Option<Drain>,
    shares: BTreeMap<ShareName, Drain>,
    /// At most [`CLIENT_DRAINS`], all of which are compared with the client of each open.
    clients: Vec<Drain>,
}

impl Drains {
    pub(crate) fn is_empty(&self) -> bool {
        self.server.is_none() && self.shares.is_empty() && self.clients.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Drain> {
        self.server.iter().chain(self.shares.values()).chain(&self.clients)
    }

    fn get_mut(&mut self, scope: &DrainScope) -> Option<&mut Drain> {
        match scope {
            DrainScope::Server => self.server.as_mut(),
            DrainScope::Share(share) => self.shares.get_mut(share),
            DrainScope::Client(_) => self.clients.iter_mut().find(|it| it.scope == *scope),
        }
    }

    fn remove(&mut self, scope: &DrainScope) -> Option<Drain> {
        match scope {
            DrainScope::Server => self.server.take(),
            DrainScope::Share(share) => self.shares.remove(share),
            DrainScope::Client(_) => {
                let place = self.clients.iter().position(|it| it.scope == *scope)?;
                Some(self.clients.remove(place))
            }
        }
    }
}

impl<S: Shell> State<S> {
    /// Begins a drain, or replaces the one of the same scope. The present opens stay.
    ///
    /// # Errors
    ///
    /// There are too many drains ([`SHARE_DRAINS`], [`CLIENT_DRAINS`]).
    pub fn begin_drain(&mut self, drain: Drain) -> Result<(), TooManyDrains> {
        if let Some(same) = self.drains.get_mut(&drain.scope) {
            *same = drain;
            return Ok(());
        }
        match &drain.scope {
            DrainScope::Server => self.drains.server = Some(drain),
            DrainScope::Share(share) if self.drains.shares.len() < SHARE_DRAINS => {
                self.drains.shares.insert(share.clone(), drain);
            }
            DrainScope::Client(_) if self.drains.clients.len() < CLIENT_DRAINS => {
                self.drains.clients.push(drain);
            }
            DrainScope::Share(_) | DrainScope::Client(_) => return Err(TooManyDrains),
        }
        Ok(())
    }

    /// Ends a drain; opens are admitted again. Returns its last state.
    ///
    /// # Errors
    ///
    /// There is no drain of this scope.
    pub fn end_drain(&mut self, scope: &DrainScope) -> Result<Drain, NotFound> {
        self.drains.remove(scope).ok_or(NotFound)
    }

    /// Sets the phase of the drain of this scope that began at this time, unless it was ended or replaced meanwhile.
    /// Returns the drain.
    ///
    /// # Errors
    ///
    /// There is no such drain any more.
    pub fn set_drain_phase(
        &mut self,
        scope: &DrainScope,
        begun: Time,
        phase: DrainPhase,
    ) -> Result<&Drain, NotFound> {
        let drain = self.drains.get_mut(scope).filter(|it| it.begun == begun).ok_or(NotFound)?;
        drain.phase = phase;
        Ok(drain)
    }

    /// The drains in force: the server's, those of shares by name, those of clients by age.
    pub fn drains(&self) -> Vec<Drain> {
        self.drains.all().cloned().collect()
    }

    /// The drain of this scope.
    pub fn drain(&self, scope: &DrainScope) -> Option<Drain> {
        self.drains.all().find(|it| it.scope == *scope).cloned()
    }

    /// The drains that apply to a session: the server's and those of its client.
    pub fn drain_of_session(&self, session: SessionGlobalId) -> Option<Drain> {
        let session = self.sessions.get(&session)?;
        let of_client = |it: &&Drain| match &it.scope {
            DrainScope::Client(client) => self.is_from(session, client),
            DrainScope::Server | DrainScope::Share(_) => false,
        };
        self.drains.clients.iter().find(of_client).or(self.drains.server.as_ref()).cloned()
    }

    /// The opens of files and directories where the drain applies, among the next `length` opens after the last one
    /// seen.
    pub fn opens_to_drain(
        &self,
        scope: &DrainScope,
        after: Option<FileGlobalId>,
        length: usize,
    ) -> Part<FileSnapshot, FileGlobalId> {
        let mut next = self.opens.after(after);
        let (mut entries, mut last) = (Vec::new(), None);
        for (id, open) in next.by_ref().take(length) {
            cost::step();
            last = Some(id);
            let is_meant = match scope {
                DrainScope::Server => true,
                DrainScope::Share(share) => open.origin.share == *share,
                DrainScope::Client(client) => {
                    let session = open.home.and_then(|home| self.sessions.get(&home.session));
                    client.is_called(&open.owner.client) || session.is_some_and(|it| self.is_from(it, client))
                }
            };
            if is_meant && open.target.file().is_some() {
                entries.push(self.snapshot_of(id, open));
            }
        }
        Part { entries, last: last.filter(|_| next.next().is_some()) }
    }

    /// True if a drain refuses this session a new open in this share.
    pub(crate) fn is_drained(&self, session: SessionGlobalId, share: &ShareName) -> bool {
        if self.drains.is_empty() {
            return false;
        }
        let Some(of_session) = self.sessions.get(&session) else { return false };
        let refuses = |drain: &Drain, share: Option<&ShareName>| {
            drain.strict || drain.phase != DrainPhase::Waiting || !self.has_file_open(session, share)
        };
        self.drains.server.as_ref().is_some_and(|drain| refuses(drain, None))
            || self.drains.shares.get(share).is_some_and(|drain| refuses(drain, Some(share)))
            || self.drains.clients.iter().any(|drain| {
                cost::step();
                matches!(&drain.scope, DrainScope::Client(client) if self.is_from(of_session, client))
                    && refuses(drain, None)
            })
    }

    /// True if the session has a file open in the share, or in any share. Directories do not count. Looks at
    /// [`OPENS_LOOKED_AT`] opens at most; if these are all directories, the answer is false.
    fn has_file_open(&self, session: SessionGlobalId, share: Option<&ShareName>) -> bool {
        let trees = self.sessions.get(&session).into_iter().flat_map(|it| it.trees.values());
        let trees = trees.filter_map(|id| Some((*id, self.trees.get(id)?))).take(OPENS_LOOKED_AT);
        let meant = trees.filter(|(_, tree)| share.is_none_or(|share| tree.origin.share == *share));
        let mut opens = meant.flat_map(|(id, _)| self.opens.of_tree(id, None)).take(OPENS_LOOKED_AT);
        opens.any(|id| {
            cost::step();
            self.opens.get(&id).is_some_and(|open| open.target.file().is_some() && !open.is_directory)
        })
    }
}

/// The number of shares with a drain: more than an administrator closes at once. One more is refused.
pub const SHARE_DRAINS: usize = 1_024;

/// The number of clients with a drain, each of which is compared with the client of every CREATE. One more is refused.
pub const CLIENT_DRAINS: usize = 64;

/// The number of a session's tree connects, and of their opens, that are searched for an open file at each CREATE during
/// a drain. A session whose first opens are that many directories counts as one without files.
const OPENS_LOOKED_AT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::world::{Client, World};
    use crate::{Admission, AdmitRequest, Refused};

    fn drain(scope: DrainScope, now: Time) -> Drain {
        Drain {
            scope,
            begun: now,
            deadline: None,
            strict: false,
            then_stop: false,
            by: "root".into(),
            phase: DrainPhase::Waiting,
        }
    }

    /// True if the client may open the file.
    fn may_open(world: &mut World, client: Client, file: u64) -> bool {
        may(world, client, file, |_| {})
    }

    fn may(world: &mut World, client: Client, file: u64, change: impl Fn(&mut AdmitRequest)) -> bool {
        let mut request = world.request(client, file);
        change(&mut request);
        match world.state.admit(request, |_| 0, world.now).0 {
            Admission::Granted(_) => true,
            Admission::Refused(Refused::Draining) => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn drained_share_admits_only_sessions_that_have_a_file_open_there() {
        let mut world = World::new();
        let [busy, idle, looking] = [1, 2, 3].map(|number| world.client(number));
        let elsewhere = Client { tree: world.tree(idle.session, "other"), ..idle };
        assert!(may_open(&mut world, busy, 1) && may_open(&mut world, elsewhere, 9));
        assert!(may(&mut world, looking, 2, |it| it.is_directory = true));
        let scope = DrainScope::Share(ShareName::new("DATA"));
        world.state.begin_drain(drain(scope.clone(), world.now)).unwrap();
        assert!(may_open(&mut world, busy, 3), "a program may save");
        assert!(!may_open(&mut world, idle, 3), "its file is in another share");
        assert!(!may_open(&mut world, looking, 3), "a directory is not a file");
        assert!(may_open(&mut world, elsewhere, 10), "the other share is not drained");
        assert_eq!(world.state.opens_to_drain(&scope, None, 100).entries.len(), 3);
        assert_eq!(world.state.refusals()[0].kind, crate::RefusalKind::Draining);

        world.state.begin_drain(Drain { strict: true, ..drain(scope.clone(), world.now) }).unwrap();
        assert!(!may_open(&mut world, busy, 4), "a strict drain admits nobody");
        world.state.end_drain(&scope).unwrap();
        assert_eq!(world.state.end_drain(&scope), Err(NotFound));
        assert!(may_open(&mut world, idle, 4));
        world.check();
    }

    #[test]
    fn nobody_is_admitted_when_the_rest_is_being_closed() {
        let mut world = World::new();
        let busy = world.client(1);
        assert!(may_open(&mut world, busy, 1));
        let begun = world.now;
        world.state.begin_drain(drain(DrainScope::Server, begun)).unwrap();
        assert!(may_open(&mut world, busy, 2));
        world.state.set_drain_phase(&DrainScope::Server, begun, DrainPhase::Ending).unwrap();
        assert!(!may_open(&mut world, busy, 3));
        let later = begun.after_ms(1);
        let stale = world.state.set_drain_phase(&DrainScope::Server, later, DrainPhase::Waiting);
        assert_eq!(stale.map(|_| ()), Err(NotFound), "another drain has taken its place");
    }

    #[test]
    fn drained_client_is_found_by_its_address_and_others_are_admitted() {
        let mut world = World::new();
        let [one, other] = [1, 2].map(|number| world.client(number));
        let scope = DrainScope::Client(ClientName::new("10.0.0.1"));
        world.state.begin_drain(drain(scope.clone(), world.now)).unwrap();
        assert!(!may_open(&mut world, one, 1) && may_open(&mut world, other, 1));
        let sessions = world.state.session_snapshots(&crate::Filter::default(), None, 10).entries;
        let drained: Vec<bool> =
            sessions.iter().map(|it| world.state.drain_of_session(it.global_id).is_some()).collect();
        assert_eq!(drained, [true, false]);
        for number in 0..CLIENT_DRAINS - 1 {
            let scope = DrainScope::Client(ClientName::new(&format!("c{number}")));
            world.state.begin_drain(drain(scope, world.now)).unwrap();
        }
        let one_more = drain(DrainScope::Client(ClientName::new("x")), world.now);
        assert_eq!(world.state.begin_drain(one_more), Err(TooManyDrains));
        assert_eq!(world.state.begin_drain(drain(scope, world.now)), Ok(()), "replacing is no addition");
    }

    #[test]
    fn drained_session_with_many_directories_costs_a_bounded_number_of_steps() {
        let mut world = World::new();
        let client = world.client(1);
        for file in 0..2_000 {
            assert!(may(&mut world, client, file, |it| it.is_directory = true));
        }
        world.state.begin_drain(drain(DrainScope::Server, world.now)).unwrap();
        let request = world.request(client, 5_000);
        let (_, steps) = cost::of(|| world.state.admit(request, |_| 0, world.now));
        assert!(steps <= OPENS_LOOKED_AT as u64 + 100, "{steps} steps");
    }
}
