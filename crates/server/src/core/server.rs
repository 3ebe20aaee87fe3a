//! The Server service: the registry, the settings and the tasks around them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use auth::users::UserDb;
use domain::winbind::Winbind;
use parking_lot::{Mutex, MutexGuard, RwLock};
use registry::{Effects, Registry, State, Statistics, Time};
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::security::Sid;
use wire::{FileTime, Guid};

use crate::core::admin_slots::AdminSlots;
use crate::core::bulkhead::{self, Bulkhead};
use crate::core::clock::{self, Clock};
use crate::core::cluster::Cluster;
use crate::core::config::Settings;
use crate::core::configuration::{Configuration, OpenShare};
use crate::core::console::Console;
use crate::core::delayed_logons::DelayedLogons;
use crate::core::directory::open_directory;
use crate::core::domain::Domain;
use crate::core::effects::SmbShell;
use crate::core::files::host_locks::HostLocks;
use crate::core::files::notify::Watches;
use crate::core::files::recycle::Bins;
use crate::core::files::replay::Creations;
use crate::core::files::space_limit::UsedSpace;
use crate::core::files::times::WriteTimes;
use crate::core::guesses::Guesses;
use crate::core::handle_logs::HandleLogs;
use crate::core::history::History;
use crate::core::input_budget::InputBudget;
use crate::core::limits;
use crate::core::logon_log::{LogKind, LogonLog};
use crate::core::notices::Notices;
use crate::core::pipe_usage::PipeUsage;
use crate::core::request_counters::RequestCounters;
use crate::core::run_state::Running;
use crate::core::security::{Machine, UserSids, domain_users};
use crate::core::service_keys::ServiceKeys;
use crate::core::start_error::StartError;
use crate::core::waiting::Waiters;

/// A server that is running or about to start.
pub(crate) struct Server {
    this: Weak<Server>,
    pub(crate) registry: Registry<SmbShell>,
    pub(crate) statistics: Arc<Statistics>,
    /// The counts of requests by command.
    pub(crate) requests: RequestCounters,
    pub(crate) waiters: Waiters,
    pub(crate) configuration: Configuration,
    pub(crate) identity: ServerIdentity,
    pub(crate) console: Console,
    pub(crate) running: Running,
    pub(crate) files: SharedByFiles,
    pub(crate) logons: SharedByLogons,
    pub(crate) capacity: Capacity,
    pub(crate) signals: Signals,
    pub(crate) notices: Notices,
    pub(crate) history: History,
    pub(crate) cluster: Cluster,
    /// The restrictions that the server has put on itself.
    pub(crate) sandbox: sandbox::Report,
    clock: Clock,
}

/// The server as clients and security descriptors know it.
pub(crate) struct ServerIdentity {
    /// `ServerGuid`.
    pub(crate) guid: Guid,
    pub(crate) machine: OnceLock<Machine>,
    pub(super) user_sids: RwLock<Arc<UserSids>>,
    /// The domain that the server is a member of.
    pub(in crate::core) domain: RwLock<Option<Arc<Domain>>>,
    /// The addresses of the configuration, with the ports that the system chose.
    listening: OnceLock<Vec<SocketAddr>>,
}

/// The tables that the open files of all shares have in common.
#[derive(Default)]
pub(crate) struct SharedByFiles {
    /// The watches of directories and the leases on them.
    pub(crate) watches: Watches,
    /// The changes of open files that affect their times.
    pub(crate) write_times: WriteTimes,
    /// Locks on the host for clients' locks.
    pub(crate) host_locks: HostLocks,
    /// The CREATEs under way: a replay of one of them is refused.
    pub(crate) creations: Creations,
    /// The sizes of bins.
    pub(crate) bins: Bins,
    /// The space that shares with a limit use.
    pub(crate) used_space: UsedSpace,
    /// The logs of opens that outlive the server.
    pub(crate) handle_logs: HandleLogs,
}

/// The tables that the logons of all connections have in common.
pub(crate) struct SharedByLogons {
    guesses: Mutex<Guesses>,
    /// The logons that are delayed.
    pub(crate) delayed: DelayedLogons,
    /// The limit on log entries about logons that are refused.
    pub(crate) log: LogonLog,
    /// The limit on log entries about logons that are granted.
    pub(crate) granted_log: LogonLog,
    /// The limit on log entries about refused shares.
    pub(crate) share_log: LogonLog,
    /// The keys for tickets.
    pub(crate) keys: ServiceKeys,
    /// The way to a controller for users of domains who come with NTLM.
    pub(crate) winbind: Winbind,
}

/// The limits on the threads, the memory and the requests of all clients and callers together.
pub(crate) struct Capacity {
    /// The bulkhead of logons, which may hang.
    pub(crate) logons: Arc<Bulkhead>,
    /// The bulkhead of tree connects, which may look up groups.
    pub(crate) connects: Arc<Bulkhead>,
    /// The bulkhead of the control API, which looks up its callers' names and groups at each request.
    pub(crate) callers: Arc<Bulkhead>,
    /// The memory of the named pipes of all sessions.
    pub(crate) pipes: Arc<PipeUsage>,
    /// The part of it for sessions of guests and anonymous callers.
    pub(crate) strangers_pipes: Arc<PipeUsage>,
    /// The unfinished input of connections without a logon.
    pub(crate) strangers_input: InputBudget,
    /// The unfinished input of connections of guests.
    pub(crate) guests_input: InputBudget,
    /// The places for administrative requests.
    pub(crate) admin: AdminSlots,
    /// The time at which the log last reported that connections were closed to make room.
    told_of_eviction: Mutex<Option<Instant>>,
}

/// The signals between tasks.
#[derive(Default)]
pub(crate) struct Signals {
    /// Wakes the task that handles the registry's timeouts.
    pub(crate) timeouts_changed: Notify,
    /// Notified when the shares have changed.
    pub(crate) shares_changed: Notify,
    /// Notified when the settings of the domain have changed.
    pub(crate) domain_changed: Notify,
    /// Notified when a removal, replacement or rename ends.
    pub(crate) moving_ended: Notify,
    /// Notified when a drain or an announced close has begun, changed or ended.
    pub(crate) maintenance_changed: Notify,
    /// Notified when a hold was released.
    pub(crate) hold_released: Notify,
    /// Notified when a log of opens lacks changes that no request waits for.
    pub(crate) logs_changed: Notify,
    /// Notified of every addition to the registry's event stream.
    pub(crate) event_added: Arc<Notify>,
}

/// The inputs of a server that are not in its settings.
pub(crate) struct Surroundings {
    /// The seed of the ids of sessions and opens.
    pub(crate) seed: u64,
    /// `ServerGuid`.
    pub(crate) guid: Guid,
    /// The function that opens a share's files.
    pub(crate) open_share: Arc<OpenShare>,
    /// The restrictions that the server has put on itself.
    pub(crate) sandbox: sandbox::Report,
}

impl Server {
    /// Creates a server without connections, in a process without restrictions.
    #[cfg(test)]
    pub(crate) fn new(settings: Settings, accounts: UserDb) -> Result<Arc<Self>, StartError> {
        Self::confined(settings, accounts, sandbox::Report::off())
    }

    /// Creates a server without connections in a process that has put these restrictions on itself.
    pub(crate) fn confined(
        settings: Settings,
        accounts: UserDb,
        sandbox: sandbox::Report,
    ) -> Result<Arc<Self>, StartError> {
        let mut seed = [0; 8];
        let mut guid = [0; 16];
        crate::core::random::fill(&mut seed)
            .and_then(|()| crate::core::random::fill(&mut guid))
            .map_err(|_| StartError::Random)?;
        let seed = u64::from_le_bytes(seed);
        let surroundings =
            Surroundings { seed, guid: Guid(guid), open_share: Arc::new(open_directory), sandbox };
        Ok(Self::within(settings, accounts, surroundings))
    }

    /// Creates a server without connections, with the given surroundings.
    pub(crate) fn within(settings: Settings, accounts: UserDb, surroundings: Surroundings) -> Arc<Self> {
        let Surroundings { seed, guid, open_share, sandbox } = surroundings;
        let (clock, signals) = (Clock::new(), Signals::default());
        let event_added = Arc::clone(&signals.event_added);
        let state = State::new(limits::of_registry(), seed, clock.now());
        let server = Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: Weak::clone(this),
            statistics: Arc::clone(state.statistics()),
            requests: RequestCounters::default(),
            registry: Registry::new(state, move || event_added.notify_waiters()),
            waiters: Waiters::default(),
            identity: ServerIdentity {
                guid,
                machine: OnceLock::new(),
                user_sids: RwLock::new(Arc::new(UserSids::load(&settings.state_directory))),
                domain: RwLock::new(Domain::of(&settings, None)),
                listening: OnceLock::new(),
            },
            console: Console::default(),
            history: History::new(settings.state_directory.clone()),
            configuration: Configuration::new(settings, accounts, open_share, sandbox.reach.clone()),
            running: Running::default(),
            files: SharedByFiles::default(),
            logons: SharedByLogons::default(),
            capacity: Capacity::new(),
            signals,
            cluster: Cluster::default(),
            notices: Notices::default(),
            sandbox,
            clock,
        });
        server.open_shares(&server.settings());
        server
    }

    /// The server as an `Arc`; `None` if it has ended.
    pub(crate) fn this(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Ends all sessions. Files are flushed and closed, except those on file systems that hang.
    pub(crate) async fn shut_down(&self) {
        let effects = self.registry.lock("shutdown").shutdown(self.now());
        self.end_all(effects).await;
        if let Some(server) = self.this() {
            // If it is interrupted, the logs are as after a crash.
            let _ = tokio::task::spawn_blocking(move || server.files.handle_logs.close_all(&server)).await;
        }
        let effects = self.registry.lock("shutdown").suspend_logged(self.now());
        self.end_all(effects).await;
    }

    /// Flushes and closes the files of opens that a stop of the server has ended.
    async fn end_all(&self, mut effects: Effects<SmbShell>) {
        let ((), jobs) = bulkhead::collected_all(|| {
            for dropped in effects.dropped.extract_if(.., |it| it.attached.file().is_some()) {
                dropped.attached.session().forget_open(dropped.file_id);
                self.end_file(dropped, true);
            }
            self.apply(effects);
        });
        if !bulkhead::settle_all(jobs).await {
            tracing::warn!("a file system hangs; some of its files may not have been flushed and closed");
        }
    }

    /// Does the work after connections were closed to make room, and logs that from time to time.
    pub(crate) fn made_room(&self, effects: Effects<SmbShell>) {
        if !effects.disconnected.is_empty() {
            let mut told = self.capacity.told_of_eviction.lock();
            if told.is_none_or(|at| at.elapsed() >= limits::EVICTION_NOTICE) {
                *told = Some(Instant::now());
                tracing::warn!(
                    connections = self.registry.lock("counts").counts().0,
                    "too many connections without a logon; the oldest are closed to make room"
                );
            }
        }
        self.apply(effects);
    }

    /// True if there are connections.
    pub(crate) fn has_connections(&self) -> bool {
        self.registry.lock("counts").counts().0 != 0
    }

    /// The time for the registry.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The system's time, for messages and tickets.
    pub(crate) fn file_time(&self) -> FileTime {
        clock::system_time()
    }

    /// The time for the registry at which the system's time will be `end`.
    pub(crate) fn deadline_of(&self, end: FileTime) -> Time {
        self.clock.time_of(end, self.file_time())
    }

    /// The SIDs of a user of the users file in security descriptors, in addition to the Unix ids: those of this
    /// machine, and those of the server that had the files before.
    pub(crate) fn sids_of(&self, account: &auth::users::User) -> Vec<Sid> {
        let machine = self.machine();
        let user_sids = Arc::clone(&self.identity.user_sids.read());
        let users = user_sids.of(&account.name).into_iter().chain([machine.user(&account.name, account.uid)]);
        users.flat_map(|user| [Some(user), domain_users(user)]).flatten().collect()
    }

    /// The machine SID.
    pub(crate) fn machine(&self) -> Machine {
        *self.identity.machine.get_or_init(|| Machine::load(&self.settings().state_directory))
    }
}

impl ServerIdentity {
    /// Records the addresses that the server listens on. This happens once: new addresses in the settings need a
    /// restart.
    pub(crate) fn listens_on(&self, addresses: Vec<SocketAddr>) {
        let _ = self.listening.set(addresses);
    }

    /// The addresses that the server listens on.
    pub(crate) fn listening(&self) -> &[SocketAddr] {
        self.listening.get().map(Vec::as_slice).unwrap_or_default()
    }
}

impl Default for SharedByLogons {
    fn default() -> Self {
        Self {
            keys: ServiceKeys::default(),
            winbind: Winbind::new(),
            guesses: Mutex::default(),
            delayed: DelayedLogons::default(),
            log: LogonLog::new(LogKind::Refused),
            granted_log: LogonLog::new(LogKind::Granted),
            share_log: LogonLog::new(LogKind::Share),
        }
    }
}

impl SharedByLogons {
    /// The recent guesses. The lock is held for lookups and while a logon is decided, never across an await.
    pub(crate) fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock()
    }
}

impl Capacity {
    fn new() -> Self {
        Self {
            logons: Bulkhead::new("logons", limits::LOGON_PLACES),
            connects: Bulkhead::new("tree connects", limits::LOGON_PLACES),
            callers: Bulkhead::new("callers of the control API", limits::CALLER_PLACES),
            pipes: Arc::default(),
            strangers_pipes: Arc::default(),
            strangers_input: InputBudget::new(limits::STRANGERS_INPUT),
            guests_input: InputBudget::new(limits::GUESTS_INPUT),
            admin: AdminSlots::default(),
            told_of_eviction: Mutex::default(),
        }
    }
}
