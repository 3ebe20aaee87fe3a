//! The registry's tables.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use wire::{Guid, SessionGlobalId, SessionId, ShareName, TreeGlobalId};

use crate::announced_closes::AnnouncedCloses;
use crate::connection::Connection;
use crate::deadlines::Deadlines;
use crate::deletion::PendingDeletes;
use crate::drains::Drains;
use crate::durable::CreateGuids;
use crate::events::EventLog;
use crate::file::{FileKey, Files};
use crate::holds::Holds;
use crate::ids::{GlobalIds, MixHash, OpenIds, WireIds, mix};
use crate::lease::Leases;
use crate::links::{Link, Links};
use crate::logging::Logs;
use crate::moves::Moves;
use crate::open::IdMap;
use crate::opens::Opens;
use crate::orphans::Orphans;
use crate::parts::{Count, Padded, PartedMap};
use crate::path_index::Paths;
use crate::refusals::RefusalLog;
use crate::session::Session;
use crate::share::Share;
use crate::strangers::Crowd;
use crate::tree::Tree;
use crate::user_counts::{ByUser, OpensOfUsers};
use crate::waiting::Waiting;
use crate::{ConnectionId, Limits, RequestKey, Shell, Statistics, Time};

/// The shared state of the server. It contains no synchronization: [`Registry`](crate::Registry) wraps
/// it.
///
/// Every object is owned by exactly one table, keyed by the id for administrators (so that listings are in order and
/// can be resumed); everything else refers to it by that id. The other maps are indexes; their comments name their
/// purpose.
pub struct State<S: Shell> {
    pub(crate) limits: Limits,
    pub(crate) statistics: Arc<Statistics>,

    pub(crate) connections: BTreeMap<ConnectionId, Connection<S>>,
    pub(crate) sessions: BTreeMap<SessionGlobalId, Session<S>>,
    pub(crate) trees: BTreeMap<TreeGlobalId, Tree<S>>,
    pub(crate) opens: Opens<S>,
    /// The number of opens: derived, for the limit.
    pub(crate) open_count: Padded<Count>,
    pub(crate) shares: BTreeMap<ShareName, Share>,
    /// Shares that were removed and whose tree connects are being ended.
    pub(crate) removed_shares: BTreeMap<u32, Share>,
    /// Boxed, because a hash table that has just grown is half empty.
    pub(crate) files: Files,
    pub(crate) leases: Leases,
    /// Deletes that wait for the last open of a link or stream.
    pub(crate) deletions: BTreeMap<FileKey, PendingDeletes<S>>,
    /// Links and streams that the server is removing or replacing, each with the number of these operations.
    pub(crate) vanishing: BTreeMap<FileKey, BTreeMap<Link, usize>>,
    /// The renames that the server is carrying out.
    pub(crate) moves: Moves,
    /// The named streams among the files, for opens that request a file's delete.
    pub(crate) streams: BTreeSet<FileKey>,

    /// The opens by their paths.
    pub(crate) paths: Paths,
    /// The number of opens of each file by each link: derived, for pending deletes.
    pub(crate) links: Links,
    /// The logs of shares, with the changes that are not in them yet.
    pub(crate) logs: Logs,
    /// Durable opens that wait for their client, by user and age.
    pub(crate) orphans: Orphans,
    /// Connections with sessions, by client: lease breaks are sent on them.
    pub(crate) client_connections: BTreeSet<(Guid, ConnectionId)>,
    /// The connections without a logon, which are closed first if others need their places.
    pub(crate) strangers: Crowd<ConnectionId>,
    /// The connections of guests, which are closed if there are no strangers.
    pub(crate) guests: Crowd<ConnectionId>,
    /// The sessions in progress, which are ended if other logons need their places.
    pub(crate) in_progress: Crowd<SessionGlobalId>,
    /// The valid sessions of anonymous callers and guests, which are ended if others of these need their places.
    pub(crate) stranger_sessions: Crowd<SessionGlobalId>,
    /// The number of tree connects of such sessions: derived, for the limit.
    pub(crate) stranger_trees: usize,
    /// The number of opens of such sessions: derived, for the limit.
    pub(crate) stranger_opens: usize,
    /// The numbers of valid sessions, tree connects and opens by user: derived, for the limit.
    pub(crate) user_sessions: ByUser,
    pub(crate) user_trees: ByUser,
    pub(crate) user_opens: OpensOfUsers,
    /// Sessions by the id in the header of every request.
    pub(crate) session_ids: IdMap<SessionId, SessionGlobalId>,
    /// Opens of earlier starts of the server by `Open.DurableFileId`, which a reconnect names. That of other opens has
    /// their global id in it ([`OpenIds::global_of`]).
    pub(crate) restored_ids: IdMap,
    /// Opens by client and create GUID, for replays, until the client has used the open.
    pub(crate) create_guids: CreateGuids,
    /// The requests that wait, with the objects that they wait for.
    pub(crate) waiting: HashMap<RequestKey, Waiting>,
    /// The deadlines of breaks, durable opens and logons.
    pub(crate) deadlines: Deadlines,

    /// The drains in force.
    pub(crate) drains: Drains,
    /// The paths that are kept from being opened.
    pub(crate) holds: Holds,
    /// The closes that are announced for later.
    pub(crate) announced_closes: AnnouncedCloses,

    pub(crate) refusals: RefusalLog,
    pub(crate) events: EventLog,

    /// The number of byte-range locks of all files: derived, for administrators.
    pub(crate) lock_total: usize,
    pub(crate) last_connection: u64,
    pub(crate) last_share: u32,
    /// The number of the request that began to wait last.
    pub(crate) last_wait: u64,
    pub(crate) session_globals: GlobalIds,
    pub(crate) tree_globals: GlobalIds,
    pub(crate) session_wire_ids: WireIds,
    pub(crate) open_ids: Padded<OpenIds>,
}

/// The numbers of objects in the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSizes {
    /// Transport connections.
    pub connections: usize,
    /// Sessions, also those in progress.
    pub sessions: usize,
    /// Tree connects.
    pub trees: usize,
    /// Opens, also of pipes and of absent clients.
    pub opens: usize,
    /// Files and streams that are open.
    pub files: usize,
    /// Byte-range locks that are held.
    pub locks: usize,
    /// Durable opens that wait for their clients.
    pub orphans: usize,
    /// Requests that wait for a lock or for the end of a break.
    pub waiting: usize,
    /// Shares.
    pub shares: usize,
}

impl<S: Shell> State<S> {
    /// Creates an empty state. `seed` keys the ids on the wire; it should come from the system's random source.
    pub fn new(limits: Limits, seed: u64, now: Time) -> Self {
        Self {
            statistics: Arc::new(Statistics::new(now)),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            trees: BTreeMap::new(),
            opens: Opens::default(),
            open_count: Padded::default(),
            shares: BTreeMap::new(),
            removed_shares: BTreeMap::new(),
            files: PartedMap::with_hasher(MixHash::new(mix(seed.rotate_left(32)))),
            leases: PartedMap::with_hasher(RandomState::new()),
            deletions: BTreeMap::new(),
            vanishing: BTreeMap::new(),
            moves: Moves::default(),
            streams: BTreeSet::new(),
            paths: Paths::default(),
            links: Links::default(),
            logs: Logs::default(),
            orphans: Orphans::default(),
            client_connections: BTreeSet::new(),
            strangers: Crowd::default(),
            guests: Crowd::default(),
            in_progress: Crowd::default(),
            stranger_sessions: Crowd::default(),
            stranger_trees: 0,
            stranger_opens: 0,
            user_sessions: ByUser::default(),
            user_trees: ByUser::default(),
            user_opens: OpensOfUsers::default(),
            session_ids: IdMap::default(),
            restored_ids: IdMap::default(),
            create_guids: PartedMap::with_hasher(RandomState::new()),
            waiting: HashMap::new(),
            deadlines: Deadlines::default(),
            drains: Drains::default(),
            holds: Holds::default(),
            announced_closes: AnnouncedCloses::new(),
            refusals: RefusalLog::new(limits.refusals),
            events: EventLog::new(limits.events),
            lock_total: 0,
            last_connection: 0,
            last_share: 0,
            last_wait: 0,
            session_globals: GlobalIds::starting_after(0),
            tree_globals: GlobalIds::starting_after(0),
            session_wire_ids: WireIds::new(mix(seed)),
            open_ids: Padded(OpenIds::new(mix(seed), mix(seed ^ u64::MAX))),
            limits,
        }
    }

    /// The counters, which are used without the lock.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The numbers of connections, sessions, tree connects and opens.
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        (self.connections.len(), self.sessions.len(), self.trees.len(), self.open_count.get())
    }

    /// The numbers of all kinds of objects, which are known without a walk over the tables.
    pub fn sizes(&self) -> TableSizes {
        TableSizes {
            connections: self.connections.len(),
            sessions: self.sessions.len(),
            trees: self.trees.len(),
            opens: self.open_count.get(),
            files: self.files.len(),
            locks: self.lock_total,
            orphans: self.orphans.len(),
            waiting: self.waiting.len(),
            shares: self.shares.len(),
        }
    }
}

impl<S: Shell> std::fmt::Debug for State<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (connections, sessions, trees, opens) = self.counts();
        f.debug_struct("State")
            .field("connections", &connections)
            .field("sessions", &sessions)
            .field("trees", &trees)
            .field("opens", &opens)
            .finish_non_exhaustive()
    }
}
