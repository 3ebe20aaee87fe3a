//! The Server service: the registry, the settings and the tasks around them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::AcceptorConfig;
use auth::users::{LoadError, UpdateError, UserDb};
use parking_lot::{Mutex, MutexGuard, RwLock};
use registry::{Effects, Limits, Registry, ShareDefinition, ShareKind, State, Statistics, Time};
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::security::Sid;
use wire::{FileTime, Guid};

use crate::core::accounts::Accounts;
use crate::core::admin_slots::AdminSlots;
use crate::core::bulkhead::{self, Bulkhead};
use crate::core::config::{self, NotEditable, ReplaceError, Settings, ShareSettings, Source};
use crate::core::delayed_logons::DelayedLogons;
use crate::core::directory::{self, Directory, open_directory};
use crate::core::effects::SmbShell;
use crate::core::files::host_locks::HostLocks;
use crate::core::files::notify::Watches;
use crate::core::files::replay::Creations;
use crate::core::files::times::WriteTimes;
use crate::core::guesses::Guesses;
use crate::core::input_budget::InputBudget;
use crate::core::limits;
use crate::core::logon_log::LogonLog;
use crate::core::pipe_usage::PipeUsage;
use crate::core::run_state::Running;
use crate::core::security::{Machine, UserSids, domain_users};
use crate::core::share_deletions::Deletions;
use crate::core::start_error::StartError;
use crate::core::tree::{Share, ShareContent};
use crate::core::waiting::Waiters;

/// A server that is running or about to start.
pub(crate) struct Server {
    this: Weak<Server>,
    pub(crate) registry: Registry<SmbShell>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) waiters: Waiters,
    /// The watches and directory leases of clients.
    pub(crate) watches: Watches,
    /// The memory of the named pipes of all sessions.
    pub(crate) pipes: Arc<PipeUsage>,
    /// The part of it for sessions of guests and anonymous callers.
    pub(crate) strangers_pipes: Arc<PipeUsage>,
    /// The changes of open files that affect their times.
    pub(crate) write_times: WriteTimes,
    /// Wakes the task that handles the registry's timeouts.
    pub(crate) timeouts_changed: Notify,
    /// Notified when a removal, replacement or rename ends.
    pub(crate) vanished: Notify,
    pub(crate) guid: Guid,
    settings: RwLock<Arc<Settings>>,
    pub(crate) accounts: Accounts,
    shares: RwLock<Shares>,
    /// The function that opens a share's files.
    open_share: Arc<OpenShare>,
    /// The bulkhead of logons, which may hang.
    pub(crate) logons: Arc<Bulkhead>,
    /// The bulkhead of tree connects, which may look up groups.
    pub(crate) connects: Arc<Bulkhead>,
    /// The bulkhead of the control API, which looks up callers' names and groups at each request.
    pub(crate) callers: Arc<Bulkhead>,
    /// Locked while settings, accounts or shares are replaced, so that no change is lost.
    changing: Mutex<()>,
    /// The state of the Server service.
    pub(crate) running: Running,
    clock: Clock,
    pub(crate) machine: OnceLock<Machine>,
    /// The addresses that it listens on: those of the configuration, with the ports that the system chose.
    listening: OnceLock<Vec<SocketAddr>>,
    user_sids: RwLock<Arc<UserSids>>,
    request_keys: AtomicU64,
    /// Shares that are about to be deleted.
    pub(crate) deletions: Deletions,
    /// CREATEs under way, for replays.
    pub(crate) creations: Creations,
    /// The unfinished input of connections without a logon.
    pub(crate) strangers_input: InputBudget,
    /// The unfinished input of connections of guests.
    pub(crate) guests_input: InputBudget,
    /// The time at which the log last reported that connections were closed to make room.
    told_of_eviction: Mutex<Option<Instant>>,
    /// The delayed logons.
    pub(crate) held_back: DelayedLogons,
    guesses: Mutex<Guesses>,
    /// The limit on log entries about logons.
    pub(crate) logon_log: LogonLog,
    /// Locks on the host for clients' locks.
    pub(crate) host_locks: HostLocks,
    /// The places for administrative requests.
    pub(crate) admin_places: AdminSlots,
    /// Notified of every addition to the registry's event stream.
    pub(crate) happened: Arc<Notify>,
}

/// The shares by their names in lower case.
type Shares = HashMap<String, Arc<Share>>;

/// The function that opens a share's files: those of a directory on this machine, or others in tests.
pub(crate) type OpenShare = dyn Fn(&ShareSettings) -> vfs::Result<Arc<dyn vfs::Backend>> + Send + Sync;

/// The inputs of a server that are not in its settings.
pub(crate) struct Surroundings {
    /// The seed of the ids of sessions and opens.
    pub(crate) seed: u64,
    /// `ServerGuid`.
    pub(crate) guid: Guid,
    /// The function that opens a share's files.
    pub(crate) open_share: Arc<OpenShare>,
}

/// The reason for not changing settings or accounts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The configuration was edited since it was read, or cannot be written.
    #[error("the configuration file was not replaced: {0}")]
    Replace(#[from] ReplaceError),
    /// The configuration has a form that only people can edit.
    #[error(transparent)]
    NotEditable(#[from] NotEditable),
    /// The text that would be written does not contain the change.
    #[error("the configuration file cannot express this change")]
    NotKept,
    /// A share's directory cannot be served.
    #[error(transparent)]
    Share(StartError),
    /// The users file cannot be read.
    #[error(transparent)]
    AccountsRead(LoadError),
    /// The users file cannot be written.
    #[error("the users file cannot be written: {0}")]
    Write(std::io::Error),
}

/// A clock that starts at the system's time and never goes back.
#[derive(Debug)]
struct Clock {
    origin: Instant,
    origin_unix: Duration,
}

impl Clock {
    fn new() -> Self {
        let origin_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_unix }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    fn since_epoch(&self) -> Duration {
        self.origin_unix + self.origin.elapsed()
    }
}

impl Server {
    /// Creates a server without connections.
    pub(crate) fn new(settings: Settings, accounts: UserDb) -> Result<Arc<Self>, StartError> {
        let mut seed = [0; 8];
        let mut guid = [0; 16];
        crate::core::random::fill(&mut seed)
            .and_then(|()| crate::core::random::fill(&mut guid))
            .map_err(|_| StartError::Random)?;
        let seed = u64::from_le_bytes(seed);
        let surroundings = Surroundings { seed, guid: Guid(guid), open_share: Arc::new(open_directory) };
        Ok(Self::within(settings, accounts, surroundings))
    }

    /// Creates a server without connections, with the given surroundings.
    pub(crate) fn within(settings: Settings, accounts: UserDb, surroundings: Surroundings) -> Arc<Self> {
        let Surroundings { seed, guid, open_share } = surroundings;
        let clock = Clock::new();
        let happened = Arc::new(Notify::new());
        let announce = Arc::clone(&happened);
        let state = State::new(registry_limits(), seed, clock.now());
        let statistics = Arc::clone(state.statistics());
        let server = Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: Weak::clone(this),
            registry: Registry::new(state, move || announce.notify_waiters()),
            statistics,
            waiters: Waiters::default(),
            watches: Watches::default(),
            pipes: Arc::default(),
            strangers_pipes: Arc::default(),
            write_times: WriteTimes::default(),
            timeouts_changed: Notify::new(),
            vanished: Notify::new(),
            guid,
            user_sids: RwLock::new(Arc::new(UserSids::load(&settings.state_directory))),
            settings: RwLock::new(Arc::new(settings)),
            accounts: Accounts::new(accounts),
            shares: RwLock::default(),
            open_share,
            logons: Bulkhead::new("logons", limits::LOGON_PLACES),
            connects: Bulkhead::new("tree connects", limits::LOGON_PLACES),
            callers: Bulkhead::new("callers of the control API", limits::CALLER_PLACES),
            changing: Mutex::new(()),
            running: Running::default(),
            clock,
            machine: OnceLock::new(),
            listening: OnceLock::new(),
            request_keys: AtomicU64::new(1),
            deletions: Deletions::default(),
            creations: Creations::default(),
            strangers_input: InputBudget::new(limits::STRANGERS_INPUT),
            guests_input: InputBudget::new(limits::GUESTS_INPUT),
            told_of_eviction: Mutex::default(),
            held_back: DelayedLogons::default(),
            guesses: Mutex::default(),
            logon_log: LogonLog::default(),
            host_locks: HostLocks::default(),
            admin_places: AdminSlots::default(),
            happened,
        });
        server.open_shares(&server.settings());
        server
    }

    /// The server as an `Arc`; `None` if it has ended.
    pub(crate) fn this(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Records the addresses that the server listens on. This happens once: new addresses in the settings need a
    /// restart.
    pub(crate) fn listens_on(&self, addresses: Vec<SocketAddr>) {
        let _ = self.listening.set(addresses);
    }

    /// The addresses that the server listens on.
    pub(crate) fn listening(&self) -> &[SocketAddr] {
        self.listening.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Replaces shares, users and administrators. A share with another directory is a new share: its tree connects end.
    pub(crate) fn reload<E>(&self, read: impl FnOnce() -> Result<(Settings, UserDb), E>) -> Result<(), E> {
        let _changing = self.changing.lock();
        // A change by an administrator in between would be overwritten, so the files are read with the lock held.
        let (mut settings, accounts) = read()?;
        for share in self.settings().shares.iter().filter(|share| share.temporary) {
            if !settings.shares.iter().any(|it| it.name.to_lowercase() == share.name.to_lowercase()) {
                settings.shares.push(share.clone());
            }
        }
        let settings = Arc::new(settings);
        self.open_shares(&settings);
        let user_sids = UserSids::load(&settings.state_directory);
        *self.user_sids.write() = Arc::new(user_sids);
        self.accounts.replace(accounts);
        *self.settings.write() = settings;
        self.refresh_users();
        Ok(())
    }

    /// Changes settings that [`config::edit`] can change, in the configuration file and here. On an error, nothing
    /// changes. A server without a file keeps the change for as long as it runs. Returns the number of files that were
    /// closed with shares that were removed.
    pub(crate) fn change_settings<E: From<ChangeError>>(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), E>,
    ) -> Result<usize, E> {
        let _changing = self.changing.lock();
        let before = self.settings();
        let mut after = Settings::clone(&before);
        change(&mut after)?;
        let shares = self.prepare_shares(&after);
        // The directory of an existing share may be missing for a while; that of a new one must exist.
        let is_new = |share: &&Arc<Share>| before.shares.iter().all(|it| it.path != share.settings.path);
        let new: Vec<_> = shares.values().filter(is_new).filter_map(|it| it.directory()).cloned().collect();
        if let Some((missing, error)) = directory::look_for(&new).into_iter().next() {
            return Err(ChangeError::Share(missing.refusal(error)).into());
        }
        if let Some(source) = &before.source {
            after.source = Some(keep(source, &before, &after)?);
        }
        *self.settings.write() = Arc::new(after);
        self.refresh_users();
        Ok(self.replace_shares(shares))
    }

    /// Changes the accounts, in their file and here. Changes that others have made to the file meanwhile are kept.
    pub(crate) fn change_accounts<T, E: From<ChangeError>>(
        &self,
        change: impl FnOnce(&mut UserDb) -> Result<T, E>,
    ) -> Result<T, E> {
        let _changing = self.changing.lock();
        let settings = self.settings();
        // A server without a file has its accounts in memory only.
        let file = settings.source.as_ref().map(|_| settings.users_file.as_path());
        let (accounts, outcome) = match file {
            Some(path) => UserDb::update(path, change).map_err(|error| match error {
                UpdateError::Refused(error) => error,
                UpdateError::Load(error) => ChangeError::AccountsRead(error).into(),
                UpdateError::Lock(error) | UpdateError::Save(error) => ChangeError::Write(error).into(),
            })?,
            None => {
                let mut accounts = UserDb::clone(&self.accounts());
                let outcome = change(&mut accounts)?;
                (accounts, outcome)
            }
        };
        self.accounts.replace(accounts);
        Ok(outcome)
    }

    /// Ends all sessions. Files are flushed and closed, except those on file systems that hang.
    pub(crate) async fn shut_down(&self) {
        let mut effects = self.registry.lock("shutdown").shutdown(self.now());
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

    /// Locks settings, accounts and shares against changes.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// Loads the guesses that an earlier run has saved.
    pub(crate) fn load_guesses(&self, state_directory: &Path) {
        let kept = Guesses::load(state_directory, self.now());
        *self.guesses() = kept;
    }

    /// The recent guesses. The lock is held for lookups and while a logon is decided, never across an await.
    pub(crate) fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock()
    }

    /// Does the work after connections were closed to make room, and logs that from time to time.
    pub(crate) fn made_room(&self, effects: Effects<SmbShell>) {
        if !effects.disconnected.is_empty() {
            let mut told = self.told_of_eviction.lock();
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

    /// Replaces the shares by those of the settings. If a share's directory does not exist, its clients are refused
    /// until it does, and the server logs that.
    fn open_shares(&self, settings: &Settings) {
        let shares = self.prepare_shares(settings);
        let directories: Vec<_> = shares.values().filter_map(|it| it.directory()).cloned().collect();
        self.replace_shares(shares);
        directory::look_for(&directories);
    }

    /// Checks if the directories of shares exist, for a limited time.
    pub(crate) async fn look_at(&self, shares: &[Arc<Share>]) {
        let directories = shares.iter().filter_map(|it| it.directory());
        futures_util::future::join_all(directories.map(|directory| directory.look())).await;
    }

    /// The shares of the settings. Changed options for opening a directory apply to later tree connects.
    fn prepare_shares(&self, settings: &Settings) -> Shares {
        let before = self.shares.read().clone();
        let mut after = Shares::new();
        for share in settings.shares.iter().cloned().chain([ShareSettings::ipc()]) {
            let key = share.name.to_lowercase();
            let known = before.get(&key).filter(|known| match &known.content {
                ShareContent::Disk(directory) => directory.is_of(&share),
                ShareContent::Pipes => true,
            });
            let (content, bulkhead) = match known {
                Some(known) => (known.content.clone(), Arc::clone(&known.bulkhead)),
                None if share.name == ShareSettings::IPC => {
                    (ShareContent::Pipes, Bulkhead::new(&share.name, limits::PIPE_PLACES))
                }
                None => {
                    let bulkhead = Bulkhead::new(&share.name, limits::PLACES);
                    let directory = Directory::new(&share, &self.open_share, &bulkhead);
                    (ShareContent::Disk(directory), bulkhead)
                }
            };
            after.insert(key, Arc::new(Share { settings: share, content, bulkhead }));
        }
        after
    }

    fn replace_shares(&self, after: Shares) -> usize {
        // A tree connect sees the shares here and in the registry either before or after the change.
        let mut current = self.shares.write();
        let before = current.clone();
        let mut effects = Effects::none();
        let mut registry = self.registry.lock("open_shares");
        for (key, share) in &before {
            if after.get(key).is_none_or(|new| new.settings.path != share.settings.path) {
                effects.merge(registry.remove_share(&share.settings.name, self.now()).unwrap_or_default());
            }
        }
        let mut shares: Vec<_> = after.values().collect();
        shares.sort_by(|one, other| one.settings.name.cmp(&other.settings.name));
        for share in shares {
            let definition = definition(share);
            if registry.replace_share(definition.clone()).is_err()
                && let Err(error) = registry.add_share(definition, self.now())
            {
                tracing::warn!(
                    ?error,
                    share = share.settings.name,
                    "cannot add a share; clients cannot connect to it"
                );
            }
        }
        drop(registry);
        *current = after;
        drop(current);
        self.apply(effects).files
    }

    /// The time for the registry.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The time for messages.
    pub(crate) fn file_time(&self) -> FileTime {
        let now = self.clock.since_epoch();
        FileTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos())
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// The parameters of logons by the settings in force.
    pub(crate) fn acceptor_config(&self) -> AcceptorConfig {
        acceptor_config(&self.settings())
    }

    /// The share with this name, in any case.
    pub(crate) fn share(&self, name: &str) -> Option<Arc<Share>> {
        let shares = self.shares.read();
        shares.get(&name.to_lowercase()).map(Arc::clone)
    }

    /// Calls `act` if the share is still served as it was looked up. Returns `None` if it is not.
    pub(crate) fn while_served<T>(&self, share: &Arc<Share>, act: impl FnOnce() -> T) -> Option<T> {
        let shares = self.shares.read();
        let current = shares.get(&share.settings.name.to_lowercase())?;
        Arc::ptr_eq(current, share).then(act)
    }

    /// All shares, in no particular order.
    pub(crate) fn shares(&self) -> Vec<Arc<Share>> {
        self.shares.read().values().map(Arc::clone).collect()
    }

    /// The SIDs of a user of the users file in security descriptors, in addition to the Unix ids: those of this
    /// machine, and those of the server that had the files before.
    pub(crate) fn sids_of(&self, account: &auth::users::User) -> Vec<Sid> {
        let machine = self.machine();
        let user_sids = Arc::clone(&self.user_sids.read());
        let users = user_sids.of(&account.name).into_iter().chain([machine.user(&account.name, account.uid)]);
        users.flat_map(|user| [Some(user), domain_users(user)]).flatten().collect()
    }

    /// The machine SID.
    pub(crate) fn machine(&self) -> Machine {
        *self.machine.get_or_init(|| Machine::load(&self.settings().state_directory))
    }

    /// Returns a number that no other request of this server has.
    pub(crate) fn next_request(&self) -> u64 {
        self.request_keys.fetch_add(1, Ordering::Relaxed)
    }
}

/// The registry's limits, reduced to the descriptors that the process may open, so that one session cannot take the
/// descriptors that others and new connections need.
fn registry_limits() -> Limits {
    let defaults = Limits::default();
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(descriptors) = descriptors.and_then(|count| usize::try_from(count).ok()) else {
        return defaults;
    };
    let opens = (descriptors - descriptors / 4).min(defaults.opens);
    Limits {
        opens,
        opens_per_session: (opens / 2).min(defaults.opens_per_session),
        connections: (descriptors / 8).min(defaults.connections),
        orphans: (opens / 4).min(defaults.orphans),
        orphans_per_user: (opens / 16).min(defaults.orphans_per_user),
        ..defaults
    }
}

/// Writes the change into the file, and checks that the file then contains the settings.
fn keep(source: &Source, before: &Settings, after: &Settings) -> Result<Source, ChangeError> {
    source.check()?;
    let text = config::edit(&source.text, before, after)?;
    let defaults = Settings::conventional(false, |_| None);
    let told = config::parse(&text, &source.base(), defaults);
    let same = told.is_ok_and(|told| {
        told.shares.iter().eq(after.shares.iter().filter(|share| !share.temporary))
            && (told.comment, told.hidden, told.autodisconnect)
                == (after.comment.clone(), after.hidden, after.autodisconnect)
    });
    if !same {
        return Err(ChangeError::NotKept);
    }
    Ok(source.replace(&text)?)
}

/// The share's definition for the registry and administrators.
fn definition(share: &Share) -> ShareDefinition {
    let settings = &share.settings;
    ShareDefinition {
        name: settings.name.as_str().into(),
        kind: match share.content {
            ShareContent::Disk(_) => ShareKind::Disk,
            ShareContent::Pipes => ShareKind::Pipe,
        },
        path: settings.path.to_string_lossy().into(),
        remark: settings.remark.as_str().into(),
        max_uses: settings.max_users,
        flags: if settings.access_based_enum { SHI1005_ACCESS_BASED_ENUM } else { 0 },
        hidden: settings.hidden,
        temporary: settings.temporary,
    }
}

/// SHI1005_FLAGS_ACCESS_BASED_DIRECTORY_ENUM (MS-SRVS 2.2.4.29).
const SHI1005_ACCESS_BASED_ENUM: u32 = 0x0800;

/// The parameters of logons. Anonymous callers may log on: they can do nothing on IPC$, and shares accept them only by
/// their settings. Unknown users become guests if any share accepts guests.
fn acceptor_config(settings: &Settings) -> AcceptorConfig {
    let name = settings.name.to_uppercase();
    AcceptorConfig {
        dns_name: settings.name.to_lowercase(),
        domain: name.clone(),
        netbios_name: name,
        dns_domain: String::new(),
        allow_anonymous: true,
        guest_for_unknown: settings.shares.iter().any(|share| share.guest),
        guest_domains: settings.guest_domains.clone(),
    }
}
