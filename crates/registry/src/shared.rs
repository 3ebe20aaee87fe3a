//! Access to the state beside other threads: each sees all tables that do not change meanwhile, and changes the parts of
//! the others whose locks it holds.

#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use lock_api::RwLockReadGuard;
use parking_lot::{MutexGuard, RawRwLock};
use wire::{SessionGlobalId, SessionId, TreeGlobalId};

use crate::announced_closes::AnnouncedCloses;
use crate::connection::Connection;
use crate::deletion::PendingDeletes;
use crate::drains::Drains;
use crate::durable::CreateGuidsPart;
use crate::events::EventLog;
use crate::file::File;
use crate::gate::Lane;
use crate::holds::Holds;
use crate::ids::{MixHash, OpenIds};
use crate::lease::Lease;
use crate::links::{Link, LinksPart};
use crate::moves::Moves;
use crate::open::IdMap;
use crate::opens::OpensPart;
use crate::order::{Rank, Ranked};
use crate::parts::{Count, Part, PartNumber, Parts};
use crate::path_index::PathsPart;
use crate::report::Report;
use crate::session::Session;
use crate::tree::Tree;
use crate::waiting::Waiting;
use crate::{ConnectionId, FileKey, LeaseId, Limits, Registry, RequestKey, Shell, State, Statistics};

/// The registry, shared with other threads.
pub(crate) struct Shared<'a, S: Shell> {
    registry: &'a Registry<S>,
    _report: Report,
    _lane: RwLockReadGuard<'a, RawRwLock, ()>,
    _rank: Ranked,
}

/// The fields of the state that no shared holder changes, and those that several may change at a time.
pub(crate) struct Common<'a, S: Shell> {
    pub(crate) limits: &'a Limits,
    pub(crate) statistics: &'a Statistics,
    pub(crate) connections: &'a BTreeMap<ConnectionId, Connection<S>>,
    pub(crate) sessions: &'a BTreeMap<SessionGlobalId, Session<S>>,
    pub(crate) session_ids: &'a IdMap<SessionId, SessionGlobalId>,
    pub(crate) trees: &'a BTreeMap<TreeGlobalId, Tree<S>>,
    pub(crate) deletions: &'a BTreeMap<FileKey, PendingDeletes<S>>,
    pub(crate) vanishing: &'a BTreeMap<FileKey, BTreeMap<Link, usize>>,
    pub(crate) moves: &'a Moves,
    pub(crate) streams: &'a BTreeSet<FileKey>,
    pub(crate) restored_ids: &'a IdMap,
    pub(crate) waiting: &'a HashMap<RequestKey, Waiting>,
    pub(crate) drains: &'a Drains,
    pub(crate) holds: &'a Holds,
    pub(crate) announced_closes: &'a AnnouncedCloses,
    pub(crate) open_count: &'a Count,
    pub(crate) open_ids: &'a OpenIds,
    pub(crate) events: &'a EventLog,
}

/// A part of a table, until it is dropped.
pub(crate) struct PartGuard<'a, T> {
    value: &'a mut T,
    _report: Report,
    _lock: MutexGuard<'a, ()>,
    _rank: Ranked,
}

impl<T> Deref for PartGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> DerefMut for PartGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
    }
}

/// The files of a part, with their links, until it is dropped.
pub(crate) struct FilesGuard<'a> {
    files: PartGuard<'a, HashMap<FileKey, Box<File>, MixHash>>,
    links: &'a mut LinksPart,
}

impl FilesGuard<'_> {
    pub(crate) fn files(&mut self) -> &mut HashMap<FileKey, Box<File>, MixHash> {
        &mut self.files
    }

    pub(crate) fn file(&self, key: FileKey) -> Option<&File> {
        self.files.get(&key).map(|file| &**file)
    }

    pub(crate) fn links(&mut self) -> &mut LinksPart {
        self.links
    }
}

impl<'a, S: Shell> Shared<'a, S> {
    pub(crate) fn enter(registry: &'a Registry<S>, purpose: &'static str) -> Self {
        let rank = Ranked::new(Rank::Registry);
        let lane = registry.gate.shared(Lane::of_this_thread());
        Self { registry, _report: Report::start(purpose), _lane: lane, _rank: rank }
    }

    pub(crate) fn common(&self) -> Common<'_, S> {
        let state: *const State<S> = self.registry.state.get();
        // SAFETY: while this exists, nobody has the whole state, and no shared holder makes a mutable reference to one of
        // these fields: this is the only function, beside those below, that makes references from the pointer.
        unsafe {
            Common {
                limits: &(*state).limits,
                statistics: &*Arc::as_ptr(&(*state).statistics),
                connections: &(*state).connections,
                sessions: &(*state).sessions,
                session_ids: &(*state).session_ids,
                trees: &(*state).trees,
                deletions: &(*state).deletions,
                vanishing: &(*state).vanishing,
                moves: &(*state).moves,
                streams: &(*state).streams,
                restored_ids: &(*state).restored_ids,
                waiting: &(*state).waiting,
                drains: &(*state).drains,
                holds: &(*state).holds,
                announced_closes: &(*state).announced_closes,
                open_count: &(*state).open_count.0,
                open_ids: &(*state).open_ids.0,
                events: &(*state).events,
            }
        }
    }

    pub(crate) fn files(&self, part: PartNumber) -> FilesGuard<'_> {
        let state = self.registry.state.get();
        // SAFETY: the tables belong to the state, which outlives this. The links of a part have no lock of their own:
        // they are reached only here, under the lock of the files of the same part.
        unsafe {
            let files = lock_part(&raw mut (*state).files.0, part, Rank::Files);
            let links = part_of(&raw mut (*state).links.0, part);
            FilesGuard { files, links: &mut (*links).value }
        }
    }

    pub(crate) fn opens(&self, part: PartNumber) -> PartGuard<'_, OpensPart<S>> {
        // SAFETY: the table belongs to the state, which outlives this.
        unsafe { lock_part(&raw mut (*self.registry.state.get()).opens.0, part, Rank::Opens) }
    }

    pub(crate) fn leases(&self, part: PartNumber) -> PartGuard<'_, HashMap<LeaseId, Lease>> {
        // SAFETY: the table belongs to the state, which outlives this.
        unsafe { lock_part(&raw mut (*self.registry.state.get()).leases.0, part, Rank::Leases) }
    }

    pub(crate) fn create_guids(&self, part: PartNumber) -> PartGuard<'_, CreateGuidsPart> {
        // SAFETY: the table belongs to the state, which outlives this.
        unsafe { lock_part(&raw mut (*self.registry.state.get()).create_guids.0, part, Rank::CreateGuids) }
    }

    pub(crate) fn paths(&self, part: PartNumber) -> PartGuard<'_, PathsPart> {
        // SAFETY: the table belongs to the state, which outlives this.
        unsafe { lock_part(&raw mut (*self.registry.state.get()).paths.0, part, Rank::Paths) }
    }
}

/// Locks a part of a table.
///
/// # Safety
///
/// The table exists for `'a`, during which nobody refers to it as a whole, nor to the value of this part except through
/// this function.
unsafe fn lock_part<'a, T>(table: *mut Parts<T>, number: PartNumber, rank: Rank) -> PartGuard<'a, T> {
    let (purpose, ranked) = (rank.name(), Ranked::new(rank));
    // SAFETY: as the caller promises. References to the lock are always shared ones.
    unsafe {
        let part = part_of(table, number);
        let lock = (*part).lock.lock();
        PartGuard { value: &mut (*part).value, _report: Report::start(purpose), _lock: lock, _rank: ranked }
    }
}

/// The place of a part of a table, of which no reference is made.
///
/// # Safety
///
/// The table exists.
unsafe fn part_of<T>(table: *mut Parts<T>, number: PartNumber) -> *mut Part<T> {
    // SAFETY: the box is read and not changed: the parts stay where they are as long as the table exists. The number of a
    // part is below their number.
    #[expect(clippy::indexing_slicing, reason = "the number of a part is below their number")]
    unsafe {
        &raw mut (*(*table).0)[number.index()]
    }
}
