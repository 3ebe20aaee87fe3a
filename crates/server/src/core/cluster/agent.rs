//! The thread of a member: it feeds the state machine, and carries out its actions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use auth::UserDb;
use cluster::Node;
use cluster::clock::Moment;
use cluster::ids::{Attempt, NodeName, Revision, ShareKey};
use cluster::keys::{Key, prefix};
use cluster::protocol::{Action, Event, FenceReason, Outcome, Report, SchemaFault};
use cluster::records::{self, SchemaRecord};
use cluster::settings::Balance;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::addresses::{Addresses, StartedKeeper};
use super::attempt::{self, Serving, Step, Surroundings};
use super::faults::PublishedFaults;
use super::groups::{self, Groups};
use super::secret::Secret;
use super::state::Member;
use super::users::{NO_SECRET, Users};
use super::{definition, fence, now, screen, settings, store, users};
use crate::core::bulkhead;
use crate::core::server::Server;
use crate::core::start_error::StartError;
use crate::core::state_file;

/// Starts the membership if the settings have one. It must be called on the server's runtime.
pub(crate) fn start(server: &Arc<Server>, keeper: Option<StartedKeeper>) -> Result<(), StartError> {
    let Some(settings) = server.settings().cluster.clone() else { return Ok(()) };
    let client =
        || etcd::Client::new(settings.etcd.clone()).map_err(|error| StartError::Cluster(error.to_string()));
    let clients = (client()?, client()?);
    let (events, inbox) = mpsc::unbounded_channel();
    let addresses = Addresses::new(&settings, keeper, events.clone());
    let addresses = addresses.map_err(|error| StartError::Cluster(error.to_string()))?;
    if !server.cluster.enter(settings, clients, addresses, events.clone()) {
        return Ok(());
    }
    let around = Surroundings { server: Arc::clone(server), runtime: Handle::current(), events };
    let failed = |error: std::io::Error| StartError::Cluster(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || {
        runtime.block_on(Agent::new(around).run(inbox));
        // A storage that hangs must not keep the process.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name(String::from("cluster")).spawn(run).map_err(failed)?;
    Ok(())
}

struct Agent {
    around: Surroundings,
    prefix: String,
    attempts: BTreeMap<ShareKey, (Attempt, mpsc::UnboundedSender<Step>)>,
    watch: Option<JoinHandle<()>>,
    /// The revision of the last definition that was looked at.
    looked: Revision,
    /// The id of the cluster.
    cluster: String,
    users: Users,
    groups: Groups,
    /// The settings in etcd, if they have changed.
    settings: Option<Option<cluster::protocol::Entry>>,
    faults: PublishedFaults,
    /// The number of changes of the settings.
    settings_seen: u64,
    /// The number of changes of the groups.
    groups_seen: u64,
}

impl Agent {
    fn new(around: Surroundings) -> Self {
        Self {
            around,
            prefix: String::new(),
            attempts: BTreeMap::new(),
            watch: None,
            looked: Revision::default(),
            cluster: String::new(),
            users: Users::default(),
            groups: Groups::default(),
            settings: None,
            faults: PublishedFaults::default(),
            settings_seen: 0,
            groups_seen: 0,
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) {
        let server = Arc::clone(&self.around.server);
        let Some(member) = server.cluster.member() else { return };
        let Ok(prefix) = prefix(member.settings.name.as_str()) else { return };
        self.prefix = prefix;
        let _ = member.shell.set((Handle::current(), Arc::clone(&server)));
        let cluster = self.find_cluster(member).await;
        self.cluster.clone_from(&cluster);
        let mut boot = [0; 8];
        if crate::core::random::fill(&mut boot).is_err() {
            return note(member, Some(String::from("the system has no random bytes")));
        }
        let settings = cluster::settings::Settings {
            node: member.node_name().clone(),
            prefix: self.prefix.clone(),
            cluster,
            addresses: member.settings.addresses.iter().map(ToString::to_string).collect(),
            weight: member.settings.weight,
            boot: u64::from_le_bytes(boot),
            timing: member.settings.timing.clone(),
            balance: Balance::default(),
        };
        match Node::new(settings, now()) {
            Ok(node) => *member.node.lock() = Some(node),
            Err(error) => return note(member, Some(error.to_string())),
        }
        note(member, None);
        let mut event = Event::Tick;
        loop {
            if let Some(changed) = settings::of(&event, &self.prefix) {
                // Before the event itself: a snapshot has the node ask for its lease.
                set_lease(member, changed.as_ref());
                self.settings = Some(changed);
            }
            if member.settings.users {
                self.users.follow(&event, &self.prefix);
                self.groups.follow(&event, &self.prefix);
            }
            let screened = self.screened(member, event);
            let Some((actions, wake, has_left)) = step(member, screened) else { return };
            for action in actions {
                match action {
                    // The last call of this thread, which ends with it otherwise.
                    Action::Revoke { lease } if has_left => {
                        let _ = member.etcd.revoke(lease.0).await;
                    }
                    action => self.carry_out(member, action),
                }
            }
            if has_left {
                return note(member, Some(String::from("the server has left the cluster")));
            }
            // Keys of another cluster or version were the only trouble until now.
            if self.is_ours(member) {
                note(member, None);
            }
            self.follow_definitions(member);
            self.follow_users(member);
            self.follow_settings(member);
            self.follow_view(member);
            self.faults.publish(member, &self.prefix);
            let wait = wake.since(now()).min(WAKE_MAX);
            event = tokio::select! {
                biased;
                event = inbox.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                () = tokio::time::sleep(wait) => Event::Tick,
            };
        }
    }

    /// The id of the cluster: the one that this server has joined before, or the one that etcd has. Waits until etcd
    /// answers.
    async fn find_cluster(&self, member: &Member) -> String {
        let directory = self.around.server.settings().state_directory.clone();
        let file = id_file(&member.settings.name);
        if let Some(known) = joined(&directory, &member.settings.name) {
            return known;
        }
        loop {
            let found = member.etcd.get(Key::Schema.to_path(&self.prefix).as_bytes()).await;
            let trouble = match found {
                Ok(Some(found)) => match records::read::<SchemaRecord>(&found.value) {
                    Ok(schema) if schema.version == records::SCHEMA => {
                        if let Err(error) = state_file::replace(&directory, &file, &schema.cluster) {
                            tracing::warn!(%error, "cannot store the id of the cluster; another one of this name would not be noticed");
                        }
                        return schema.cluster;
                    }
                    _ => schema_fault(SchemaFault::OtherVersion).to_owned(),
                },
                Ok(None) => schema_fault(SchemaFault::Absent).to_owned(),
                Err(error) => error.to_string(),
            };
            note(member, Some(trouble));
            tokio::time::sleep(FIND_AGAIN).await;
        }
    }

    fn carry_out(&mut self, member: &Member, action: Action) {
        let (client, events) = (member.etcd.clone(), self.around.events.clone());
        match action {
            Action::AnswerAdmin { ticket, outcome } => member.answer(ticket, outcome),
            Action::Grant { request, ttl } => {
                bulkhead::spawn(async move {
                    let _ = events.send(match client.grant(ttl).await {
                        Ok(it) => Event::LeaseGranted {
                            request,
                            lease: cluster::ids::LeaseId(it.lease),
                            ttl: it.ttl,
                        },
                        Err(_) => Event::RequestFailed { request },
                    });
                });
            }
            Action::KeepAlive { request, lease } => {
                bulkhead::spawn(async move {
                    match client.keep_alive(lease.0).await {
                        Ok(ttl) => drop(events.send(Event::KeepAliveAnswered { request, ttl })),
                        Err(error) => tracing::debug!(%error, "a renewal has no answer"),
                    }
                });
            }
            Action::Read { request } => {
                let prefix = self.prefix.clone();
                bulkhead::spawn(async move {
                    let _ = events.send(store::read(&client, &prefix, request).await);
                });
            }
            Action::Revoke { lease } => {
                // If it fails, the lease ends by itself.
                bulkhead::spawn(async move { client.revoke(lease.0).await });
            }
            Action::Transact { request, transaction } => {
                let prefix = self.prefix.clone();
                bulkhead::spawn(async move {
                    let outcome = store::transact(&client, &prefix, &transaction).await;
                    let outcome = outcome.unwrap_or_else(|error| {
                        tracing::debug!(%error, "a transaction of the cluster has no answer");
                        Outcome::Unknown
                    });
                    let _ = events.send(Event::TransactionAnswered { request, outcome });
                });
            }
            Action::Watch { watch, from } => self.watch(member, watch, from),
            Action::OpenStorage { share, attempt, stamp } => {
                match self.settings_of(member, &share) {
                    Ok((settings, token, _)) => {
                        let settings = Box::new(settings);
                        self.send(&share, attempt, Step::Open { settings, token, stamp });
                    }
                    Err(reason) => drop(events.send(Event::StorageFailed { share, attempt, reason })),
                };
            }
            Action::StartServing { share, attempt, gate } => match self.settings_of(member, &share) {
                Ok((settings, _, modified)) => {
                    let gate = attempt::gate(gate);
                    let addresses = addresses_of(member, &share);
                    let serving =
                        Serving { settings, gate, key: share.clone(), attempt, modified, addresses };
                    self.send(&share, attempt, Step::Serve { serving: Box::new(serving) });
                }
                Err(reason) => drop(events.send(Event::StorageFailed { share, attempt, reason })),
            },
            Action::PrepareHandover { share, attempt } => {
                let server = Arc::clone(&self.around.server);
                let is_deleted = !member.is_defined(&share);
                // Not a step of the attempt: the share can be stopped meanwhile.
                let preparing = self.around.runtime.spawn(async move {
                    server.prepare_handover(share.as_str(), is_deleted).await;
                    let _ = events.send(Event::HandoverPrepared { share, attempt });
                });
                drop(preparing);
            }
            Action::StopServing { share, attempt, why } => {
                self.send(&share, attempt, Step::Stop { why });
                self.attempts.remove(&share);
            }
            Action::RunFence { share, attempt, holder } => {
                let command = member.settings.fence_command.clone();
                let server = Arc::clone(&self.around.server);
                let fencing = self.around.runtime.spawn(async move {
                    let done = !command.is_empty() && fence::run(&server, &command, &share, holder).await;
                    let _ = events.send(Event::Fenced { share, attempt, done });
                });
                drop(fencing);
            }
            Action::Report(report) => report_to_log(member, &report),
        }
    }

    /// Sends a step to an attempt, which begins with its first.
    fn send(&mut self, share: &ShareKey, attempt: Attempt, step: Step) {
        let known = self.attempts.get(share).filter(|(current, _)| *current == attempt);
        let steps = match known {
            Some((_, steps)) => steps.clone(),
            None => {
                let steps = attempt::begin(self.around.clone(), share.clone(), attempt);
                self.attempts.insert(share.clone(), (attempt, steps.clone()));
                steps
            }
        };
        let _ = steps.send(step);
    }

    fn watch(&mut self, member: &Member, watch: u64, from: Revision) {
        if let Some(before) = self.watch.take() {
            before.abort();
        }
        let (client, events, prefix) = (member.etcd.clone(), self.around.events.clone(), self.prefix.clone());
        self.watch = Some(bulkhead::spawn(async move {
            let from = i64::try_from(from.0).unwrap_or(i64::MAX);
            let mut stream = match client.watch(prefix.as_bytes(), from).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot watch the keys of the cluster");
                    tokio::time::sleep(WATCH_AGAIN).await;
                    return drop(events.send(Event::WatchLost { watch }));
                }
            };
            loop {
                match stream.next().await {
                    Ok(batch) => drop(events.send(store::batch(watch, batch))),
                    Err(error) => {
                        tracing::debug!(%error, "the watch of the keys of the cluster has ended");
                        return drop(events.send(Event::WatchLost { watch }));
                    }
                }
            }
        }));
    }

    fn settings_of(
        &self,
        member: &Member,
        share: &ShareKey,
    ) -> Result<(crate::core::config::ShareSettings, String, Revision), String> {
        let found = {
            let node = member.node.lock();
            let definition = node.as_ref().and_then(|it| it.view().shares().get(share));
            definition.map(|it| (Arc::clone(&it.settings), it.modified))
        };
        let (value, modified) = found.ok_or("it is not defined any more")?;
        let settings = self.around.server.settings();
        let (settings, token) = definition::read(share, &value, &settings, &member.settings)?;
        Ok((settings, token, modified))
    }

    /// True if the keys are those of the cluster that this server has joined.
    fn is_ours(&self, member: &Member) -> bool {
        member.node.lock().as_ref().is_some_and(|it| it.view().schema_fault(&self.cluster).is_none())
    }

    /// Has changed settings of the cluster take effect. Those that cannot be used change nothing.
    fn follow_settings(&mut self, member: &Member) {
        if self.settings.is_none() || !self.is_ours(member) {
            return;
        }
        let Some(entry) = self.settings.take() else { return };
        let read = entry.as_ref().map(settings::read).transpose();
        let path = Key::Settings.to_path(&self.prefix);
        member.screen.lock().set(&path, read.as_ref().err().cloned());
        if let Ok(set) = read {
            self.settings_seen = self.settings_seen.saturating_add(1);
            let (server, number) = (Arc::clone(&self.around.server), self.settings_seen);
            // A change of accounts waits for this thread, and holds the lock that this needs.
            tokio::task::spawn_blocking(move || server.set_cluster_wide(set.unwrap_or_default(), number));
        }
    }

    /// Has changed users and groups of the cluster take effect, if the keys are those of the cluster that this server has joined.
    fn follow_users(&mut self, member: &Member) {
        if let Some(revision) = member.users_written.lock().take() {
            let seen = member.node.lock().as_ref().map(|it| it.view().revision());
            self.users.were_written(revision, seen.unwrap_or_default());
            self.groups.were_written(revision, seen.unwrap_or_default());
        }
        if !self.users.have_changed() && !self.groups.have_changed() {
            return;
        }
        if !self.is_ours(member) {
            return;
        }
        let server = &self.around.server;
        let secret = Secret::load(&server.settings().state_directory, &member.settings.name);
        let secret = secret.and_then(|it| it.ok_or_else(|| String::from(NO_SECRET)));
        let at = Key::Secret.to_path(&self.prefix);
        let secret = match secret {
            Ok(secret) => secret,
            // An administrator may give this server the secret while it runs.
            Err(reason) => return member.screen.lock().set(&at, Some(reason)),
        };
        member.screen.lock().set(&at, None);
        let read = |key: &ShareKey, entry: &_| users::read(&secret, &self.cluster, key, entry);
        let refused =
            |entry: &cluster::protocol::Entry, reason| member.screen.lock().set(&entry.path, reason);
        if let Some(users) = self.users.changed(read, refused) {
            let mut all = UserDb::default();
            users.for_each(|user| all.merge(user));
            server.configuration.accounts.replace_of_cluster(all);
        }
        let read = |key: &ShareKey, entry: &_| groups::read(&secret, &self.cluster, key, entry);
        let changed = self.groups.changed(read, refused).map(|groups| groups.cloned().collect());
        if let Some(groups) = changed {
            self.groups_seen = self.groups_seen.saturating_add(1);
            let (server, number) = (Arc::clone(server), self.groups_seen);
            // As for settings.
            tokio::task::spawn_blocking(move || server.set_groups_of_cluster(groups, number));
        }
    }

    /// The event without definitions that cannot be used.
    fn screened(&self, member: &Member, event: Event) -> Event {
        if !matches!(event, Event::WatchBatch { .. } | Event::Snapshot { .. }) {
            return event;
        }
        let settings = self.around.server.settings();
        let node = member.node.lock();
        let Some(node) = node.as_ref() else { return event };
        let usable = |key: &ShareKey, entry: &_| screen::usable(member, &settings, key, entry);
        member.screen.lock().screened(event, node.view(), &self.prefix, usable)
    }

    /// Extends the time of the addresses of the shares that are served, and tells registered clients of changes.
    fn follow_view(&self, member: &Member) {
        let until = {
            let node = member.node.lock();
            let Some(node) = node.as_ref() else { return };
            member.witness.follow(node.view());
            node.permitted_until()
        };
        if let Some(until) = until {
            member.addresses.extend(until);
        }
    }

    /// Has changed definitions of shares that are served take effect.
    fn follow_definitions(&mut self, member: &Member) {
        let changed: Vec<Serving> = {
            let node = member.node.lock();
            let Some(node) = node.as_ref() else { return };
            let is_late = member.has_late_definition.swap(false, Ordering::Relaxed);
            if node.view().defined() == self.looked && !is_late {
                return;
            }
            self.looked = node.view().defined();
            let definitions = node.view().shares();
            let serving = self.around.server.cluster.serving();
            member.addresses.follow(&self.around, node.view(), || self.around.server.cluster.serving());
            serving
                .into_iter()
                .filter(|it| definitions.get(&it.key).is_some_and(|new| new.modified != it.modified))
                .collect()
        };
        for mut serving in changed {
            match self.settings_of(member, &serving.key) {
                Ok((settings, _, modified)) if settings.path == serving.settings.path => {
                    (serving.settings, serving.modified) = (settings, modified);
                    let around = self.around.clone();
                    tokio::task::spawn_blocking(move || {
                        let _entered = around.runtime.enter();
                        around.server.change_of_cluster(serving);
                    });
                }
                Ok(_) => {
                    tracing::warn!(share = %serving.key, "the path of a share of the cluster has changed, which takes effect when it moves");
                }
                Err(reason) => {
                    tracing::warn!(share = %serving.key, reason, "a share of the cluster keeps its settings");
                }
            }
        }
    }
}

/// The id of the cluster of this name that this server has joined. `None` if there is none, or it cannot be read.
pub(super) fn joined(state_directory: &Path, name: &NodeName) -> Option<String> {
    let known = state_file::read(state_directory, &id_file(name), ID_BYTES_MAX).ok()?;
    Some(known.trim().to_owned())
}

pub(super) fn id_file(name: &NodeName) -> String {
    format!("cluster-{name}")
}

/// The addresses of a share by its definition.
fn addresses_of(member: &Member, share: &ShareKey) -> Vec<std::net::IpAddr> {
    let node = member.node.lock();
    let definition = node.as_ref().and_then(|it| it.view().shares().get(share));
    definition.map(|it| it.addresses.clone()).unwrap_or_default()
}

/// Gives an event to the state machine.
fn step(member: &Member, event: Event) -> Option<(Vec<Action>, Moment, bool)> {
    let mut node = member.node.lock();
    let node = node.as_mut()?;
    let actions = node.step(now(), event);
    Some((actions, node.next_wake(), node.has_left()))
}

/// Has the node ask for leases of the time that the cluster has, or else of that of its file, from the next one on. Settings
/// that cannot be used change nothing.
fn set_lease(member: &Member, entry: Option<&cluster::protocol::Entry>) {
    let Ok(set) = entry.map(settings::read).transpose() else { return };
    let lease = set.and_then(|it| it.lease()).unwrap_or(member.settings.timing.ttl);
    if let Some(node) = member.node.lock().as_mut()
        && let Err(error) = node.set_lease(lease)
    {
        tracing::warn!(%error, "lease_seconds of the cluster cannot be used; the time of leases stays as it was");
    }
}

/// Notes the reason why the member takes no part, and logs changes of it.
fn note(member: &Member, trouble: Option<String>) {
    let mut current = member.trouble.lock();
    if *current != trouble {
        match &trouble {
            Some(reason) => tracing::warn!(
                reason,
                "the server takes no part in the cluster; its shares of the cluster are not served"
            ),
            None => {
                tracing::info!(cluster = %member.settings.name, node = %member.settings.node, "the server takes part in the cluster")
            }
        }
        *current = trouble;
    }
}

fn report_to_log(member: &Member, report: &Report) {
    match report {
        Report::ForeignStore(fault) => note(member, Some(schema_fault(*fault).to_owned())),
        Report::Fenced(why) => {
            let reason = match why {
                FenceReason::Expired => "its lease was not renewed in time",
                FenceReason::LeaseGone => "etcd has ended its lease",
                FenceReason::NameLost => "the key with its name was deleted or replaced",
                FenceReason::Schema => "the keys in etcd are those of another cluster or version",
                FenceReason::StoreWentBack => "etcd was restored from a backup",
            };
            tracing::warn!(reason, "the server has stopped to serve all shares of the cluster");
        }
        Report::IgnoredKey { path, why } => {
            tracing::warn!(key = path.escape_debug().to_string(), reason = %why, "a key in etcd is ignored");
        }
        Report::NameTaken { by } => tracing::error!(
            node = %member.settings.node,
            incarnation = %by,
            "another server has the name of this node: set another 'node' in [cluster]"
        ),
        Report::StorageBusy { share, holder } => {
            let holder = holder.as_ref().map(|it| it.node.to_string()).unwrap_or_default();
            tracing::warn!(share = %share, holder, "the former owner of a share still holds its storage");
        }
        Report::StorageFailed { share, reason } => {
            tracing::warn!(share = %share, reason, "this server cannot serve a share of the cluster");
        }
        Report::FenceFailed { share } => {
            tracing::warn!(share = %share, "no fence_command has cut off the former owner of a share; it waits for the lock of the storage");
        }
        Report::NobodyTakes { share } => {
            tracing::warn!(share = %share, "the server shall be drained, but no other can take its shares");
        }
        Report::StoreWentBack => tracing::warn!("etcd was restored from a backup; the server joins again"),
    }
}

fn schema_fault(fault: SchemaFault) -> &'static str {
    match fault {
        SchemaFault::Absent => NO_CLUSTER,
        SchemaFault::OtherCluster => OTHER_CLUSTER,
        SchemaFault::OtherVersion => OTHER_VERSION,
    }
}

pub(super) const NO_CLUSTER: &str = "etcd has no such cluster: 'shareward cluster init' makes one";

pub(super) const OTHER_CLUSTER: &str =
    "etcd has another cluster of this name than the one that this server has joined";

pub(super) const OTHER_VERSION: &str = "the keys of the cluster are those of another version of Shareward";

/// The clock of the runtime stands still while the machine is suspended; the state machine's does not.
const WAKE_MAX: Duration = Duration::from_secs(1);

const FIND_AGAIN: Duration = Duration::from_secs(1);

/// An endpoint that refuses a watch is not asked again at once.
const WATCH_AGAIN: Duration = Duration::from_millis(300);

const ID_BYTES_MAX: u64 = 256;
