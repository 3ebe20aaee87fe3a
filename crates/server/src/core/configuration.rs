//! The configuration in force: the settings, the accounts and the shares, and how they change.

use std::collections::HashMap;
use std::sync::Arc;

use auth::IdentityKind;
use auth::users::{LoadError, UpdateError, UserDb};
use parking_lot::{Mutex, MutexGuard, RwLock};
use registry::{Effects, Guard, ShareDefinition, ShareKind};
use sandbox::Reach;
use wire::{AccountName, ShareName, eq_ignore_case};

use crate::core::accounts::Accounts;
use crate::core::bulkhead::Bulkhead;
use crate::core::cluster::{Author, Refused};
use crate::core::config::{
    self, ClusterWide, LocalGroup, Lockout, NotEditable, PasswordPolicy, ReplaceError, Settings,
    ShareSettings, Source,
};
use crate::core::directory::{self, Directory};
use crate::core::domain::Domain;
use crate::core::effects::SmbShell;
use crate::core::limits;
use crate::core::sandbox::webhook_out_of_reach;
use crate::core::security::UserSids;
use crate::core::server::Server;
use crate::core::session::User;
use crate::core::share_deletions::Deletions;
use crate::core::start_error::StartError;
use crate::core::tree::{Share, ShareContent};

/// The settings, the accounts and the shares in force.
pub(crate) struct Configuration {
    settings: RwLock<Arc<Settings>>,
    pub(crate) accounts: Accounts,
    shares: RwLock<Shares>,
    open_share: Arc<OpenShare>,
    /// The settings of the cluster, those that they replace, and the number of the last change.
    wide: Mutex<(ClusterWide, OwnRules, u64)>,
    /// The groups of the cluster, also those that groups of the file hide, and the number of the last change.
    groups_of_cluster: Mutex<(Vec<LocalGroup>, u64)>,
    /// The directories that the sandbox leaves to the server.
    reach: Reach,
    /// Held by a task that replaces settings, accounts or shares, so that no change is lost.
    changing: Mutex<()>,
    /// The shares that are about to be deleted.
    pub(crate) deletions: Deletions,
}

/// The rules for accounts and passwords of the file.
type OwnRules = (Lockout, PasswordPolicy);

/// The shares by their names.
type Shares = HashMap<ShareName, Arc<Share>>;

/// The function that opens a share's files: those of a directory on this machine, or others in tests.
pub(crate) type OpenShare = dyn Fn(&ShareSettings) -> vfs::Result<Arc<dyn vfs::Backend>> + Send + Sync;

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
    /// The setting is one of the cluster.
    #[error("{0} is a setting of the cluster: change it with 'shareward cluster set'")]
    OfCluster(&'static str),
    /// The users of the cluster cannot be read or changed.
    #[error("the users of the cluster were not changed: {0}")]
    Cluster(Refused),
}

impl Configuration {
    /// The configuration at the start, without shares.
    pub(crate) fn new(
        settings: Settings,
        accounts: UserDb,
        open_share: Arc<OpenShare>,
        reach: Reach,
    ) -> Self {
        let own = (settings.lockout, settings.passwords);
        Self {
            wide: Mutex::new((ClusterWide::default(), own, 0)),
            groups_of_cluster: Mutex::default(),
            settings: RwLock::new(Arc::new(settings)),
            accounts: Accounts::new(accounts),
            shares: RwLock::default(),
            open_share,
            reach,
            changing: Mutex::default(),
            deletions: Deletions::default(),
        }
    }

    /// Puts the groups of the cluster beside those of the file, which come first.
    fn lay_groups(&self, settings: &mut Settings) {
        let known = self.groups_of_cluster.lock();
        if known.0.is_empty() && settings.groups.iter().all(|group| !group.of_cluster) {
            return;
        }
        let groups = Arc::make_mut(&mut settings.groups);
        groups.retain(|group| !group.of_cluster);
        let own: Vec<AccountName> = groups.iter().map(|group| AccountName::new(&group.name)).collect();
        groups.extend(known.0.iter().filter(|group| !own.contains(&AccountName::new(&group.name))).cloned());
    }

    /// The settings of the cluster in force.
    pub(crate) fn cluster_wide(&self) -> ClusterWide {
        self.wide.lock().0.clone()
    }

    /// Locks settings, accounts and shares against changes.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }
}

impl Server {
    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.configuration.settings.read())
    }

    /// Looks at the settings in force, for every open: all cores would count references to them.
    pub(crate) fn look_at_settings<T>(&self, look: impl FnOnce(&Settings) -> T) -> T {
        look(&self.configuration.settings.read())
    }

    /// The share with this name, in any case.
    pub(crate) fn share(&self, name: &str) -> Option<Arc<Share>> {
        let shares = self.configuration.shares.read();
        shares.get(&ShareName::new(name)).map(Arc::clone)
    }

    /// The share that this name means for the user: the share with that name, or the one of home directories if the
    /// name is the user's own.
    pub(crate) fn share_of(&self, user: &User, name: &str) -> Option<Arc<Share>> {
        self.share(name).or_else(|| self.homes_of(user, name))
    }

    /// The share that this user reaches by its own name: one with `homes = true`.
    fn homes_of(&self, user: &User, name: &str) -> Option<Arc<Share>> {
        let own = user.name.rsplit('\\').next().unwrap_or_default();
        if user.kind != IdentityKind::User || !eq_ignore_case(own, name) {
            return None;
        }
        let shares = self.configuration.shares.read();
        shares
            .values()
            .filter(|share| share.settings.homes)
            .min_by_key(|it| &it.settings.name)
            .map(Arc::clone)
    }

    /// Calls `act` if the share is still served as it was looked up. Returns `None` if it is not.
    pub(crate) fn while_served<T>(&self, share: &Arc<Share>, act: impl FnOnce() -> T) -> Option<T> {
        let shares = self.configuration.shares.read();
        let current = shares.get(&ShareName::new(&share.settings.name))?;
        Arc::ptr_eq(current, share).then(act)
    }

    /// All shares, in no particular order.
    pub(crate) fn shares(&self) -> Vec<Arc<Share>> {
        self.configuration.shares.read().values().map(Arc::clone).collect()
    }

    /// A sentence about what the sandbox keeps from the server that these settings would need; `None` if there is nothing.
    /// The sandbox of a process cannot be widened.
    pub(crate) fn out_of_reach(&self, settings: &Settings) -> Option<String> {
        let (target, port) = webhook_out_of_reach(settings, &self.configuration.reach)?;
        Some(format!(
            "the sandbox in force does not let the server connect to port {port} of the webhook {target}; restart the server"
        ))
    }

    /// Replaces shares, users and administrators. A share with another directory is a new share: its tree connects end.
    pub(crate) fn reload<E>(&self, read: impl FnOnce() -> Result<(Settings, UserDb), E>) -> Result<(), E> {
        let _changing = self.configuration.changing();
        // A change by an administrator in between would be overwritten, so the files are read with the lock held.
        let (mut settings, accounts) = read()?;
        for share in self.settings().shares.iter().filter(|share| share.temporary) {
            if !settings.shares.iter().any(|it| eq_ignore_case(&it.name, &share.name)) {
                settings.shares.push(share.clone());
            }
        }
        {
            let mut wide = self.configuration.wide.lock();
            wide.1 = (settings.lockout, settings.passwords);
            warn_of_contradiction(&wide.0, wide.1.1);
            (settings.lockout, settings.passwords) = wide.0.over(wide.1);
        }
        self.configuration.lay_groups(&mut settings);
        let settings = Arc::new(settings);
        self.open_shares(&settings);
        let user_sids = UserSids::load(&settings.state_directory);
        *self.identity.user_sids.write() = Arc::new(user_sids);
        let before = self.domain();
        let domain = Domain::of(&settings, before.as_ref());
        let is_same = domain.as_ref().map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr);
        *self.identity.domain.write() = domain;
        if !is_same {
            self.signals.domain_changed.notify_one();
        }
        self.configuration.accounts.replace(accounts);
        self.notices.replace(&settings);
        *self.configuration.settings.write() = Arc::clone(&settings);
        self.signals.shares_changed.notify_one();
        if let Err(error) = self.console.load(&settings, self.file_time().to_unix().0) {
            tracing::warn!(%error, "the console keeps its certificate, and the metrics their token");
        }
        self.kerberos();
        self.refresh_users();
        self.end_refused_hosts();
        Ok(())
    }

    /// Changes settings that [`config::edit`] can change, in the configuration file and here. On an error, nothing
    /// changes. A server without a file keeps the change for as long as it runs. Returns the number of files that were
    /// closed with shares that were removed.
    pub(crate) fn change_settings<E: From<ChangeError>>(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), E>,
    ) -> Result<usize, E> {
        let _changing = self.configuration.changing();
        let before = self.settings();
        let mut after = Settings::clone(&before);
        change(&mut after)?;
        if let Some(key) = self.configuration.wide.lock().0.changed(&before, &after) {
            return Err(ChangeError::OfCluster(key).into());
        }
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
        if let Some(domain) = self.domain() {
            domain.prepare(&after);
        }
        self.note_own_rules(&before, &after);
        *self.configuration.settings.write() = Arc::new(after);
        self.signals.shares_changed.notify_one();
        self.refresh_users();
        Ok(self.replace_shares(shares))
    }

    /// Notes the rules of the file after a change of those that the cluster does not have.
    fn note_own_rules(&self, before: &Settings, after: &Settings) {
        let (lockout, passwords) = (after.lockout, after.passwords);
        if (before.lockout, before.passwords) == (lockout, passwords) {
            return;
        }
        let mut wide = self.configuration.wide.lock();
        // The others may be the cluster's, or have given way to them.
        let both = config::rules(before).into_iter().zip(config::rules(after));
        let changed = both.filter(|(before, after)| before != after);
        let changed: std::collections::BTreeMap<String, u32> =
            changed.map(|(_, (key, value))| (key.to_owned(), value)).collect();
        wide.1 = ClusterWide::unchecked(changed).laid_over(wide.1);
    }

    /// Has the settings of the cluster hold instead of those of the file. Of several calls at the same time, that with the
    /// highest number counts. This waits for other changes of settings and accounts, which may wait for the cluster.
    pub(crate) fn set_cluster_wide(&self, set: ClusterWide, number: u64) {
        let _changing = self.configuration.changing();
        let mut wide = self.configuration.wide.lock();
        if wide.2 > number {
            return;
        }
        wide.2 = number;
        if wide.0 == set {
            return;
        }
        warn_of_contradiction(&set, wide.1.1);
        let (lockout, passwords) = set.over(wide.1);
        tracing::info!(target: "audit", settings = ?set.values(), "the settings of the cluster have changed");
        wide.0 = set;
        let after = Settings { lockout, passwords, ..Settings::clone(&self.settings()) };
        *self.configuration.settings.write() = Arc::new(after);
    }

    /// Has the groups of the cluster hold beside those of the file. Of several calls at the same time, that with the highest
    /// number counts. This waits for other changes of settings and accounts, which may wait for the cluster.
    pub(crate) fn set_groups_of_cluster(&self, mut groups: Vec<LocalGroup>, number: u64) {
        groups.retain(may_be_of_cluster);
        self.change_groups_of_cluster(|known| {
            if known.1 > number {
                return false;
            }
            let is_changed = known.0 != groups;
            *known = (groups, number);
            is_changed
        });
    }

    /// Replaces one group of the cluster by its state after a change, or removes it.
    pub(crate) fn replace_group_of_cluster(&self, key: &cluster::ids::ShareKey, after: Option<LocalGroup>) {
        self.change_groups_of_cluster(|known| {
            known.0.retain(|group| cluster::ids::ShareKey::new(&group.name).as_ref() != Ok(key));
            known.0.extend(after.filter(may_be_of_cluster));
            true
        });
    }

    fn change_groups_of_cluster(&self, change: impl FnOnce(&mut (Vec<LocalGroup>, u64)) -> bool) {
        let _changing = self.configuration.changing();
        if !change(&mut self.configuration.groups_of_cluster.lock()) {
            return;
        }
        let mut after = Settings::clone(&self.settings());
        self.configuration.lay_groups(&mut after);
        if let Some(domain) = self.domain() {
            domain.prepare(&after);
        }
        *self.configuration.settings.write() = Arc::new(after);
        self.refresh_users();
    }

    /// Changes one account, in its file and here. Changes that others have made to the file meanwhile are kept. On a node of a
    /// cluster that keeps users there, an account that is not in the file is added, changed and deleted there, in the name of
    /// `author`. A change is one of the file or one of the cluster: none is half done if the other cannot be written.
    pub(crate) fn change_account<T, E: From<ChangeError>>(
        &self,
        author: Author,
        name: &str,
        change: impl FnOnce(&mut UserDb) -> Result<T, E>,
    ) -> Result<T, E> {
        self.refresh_accounts();
        // Without the lock, because the ends of shares wait for it: that nobody has changed the user since is compared later.
        let of_cluster = match self.configuration.accounts.own().user(name) {
            Some(_) => Ok(None),
            None => self.cluster.user_to_change(&self.settings(), name, author),
        };
        let of_cluster = of_cluster.map_err(ChangeError::Cluster)?;
        let _changing = self.configuration.changing();
        let settings = self.settings();
        let change = |own: &mut UserDb| match of_cluster {
            // The file, which is locked now, may have got the user a moment ago.
            Some(of_cluster) if own.user(name).is_none() => {
                of_cluster.change(change, |refused| ChangeError::Cluster(refused).into())
            }
            Some(_) | None => change(own),
        };
        // A server without a file has its accounts in memory only.
        let file = settings.source.as_ref().map(|_| settings.users_file.as_path());
        let (accounts, outcome) = match file {
            Some(path) => UserDb::update(path, change).map_err(|error| match error {
                UpdateError::Refused(error) => error,
                UpdateError::Load(error) => ChangeError::AccountsRead(error).into(),
                UpdateError::Lock(error) | UpdateError::Save(error) => ChangeError::Write(error).into(),
            })?,
            None => {
                let mut accounts = UserDb::clone(&self.configuration.accounts.own());
                let outcome = change(&mut accounts)?;
                (accounts, outcome)
            }
        };
        self.configuration.accounts.replace(accounts);
        Ok(outcome)
    }

    /// Replaces the shares by those of the settings. If a share's directory does not exist, its clients are refused
    /// until it does, and the server logs that.
    pub(super) fn open_shares(&self, settings: &Settings) {
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
        let before = self.configuration.shares.read().clone();
        let mut after = Shares::new();
        let own = settings.shares.iter().cloned().chain([ShareSettings::ipc()]).map(|share| (share, None));
        let is_own = |name: &str| settings.shares.iter().any(|share| eq_ignore_case(&share.name, name));
        let of_cluster = self.cluster.serving().into_iter().filter(|it| !is_own(&it.settings.name));
        let of_cluster = of_cluster.map(|it| (it.settings, Some(it.gate)));
        for (share, gate) in own.chain(of_cluster) {
            let key = ShareName::new(&share.name);
            let share = self.prepare_share(share, gate, before.get(&key));
            after.insert(key, share);
        }
        after
    }

    /// A share with these settings, which keeps what it can of the one before.
    fn prepare_share(
        &self,
        share: ShareSettings,
        gate: Option<vfs::Gate>,
        before: Option<&Arc<Share>>,
    ) -> Arc<Share> {
        let known = before.filter(|known| match &known.content {
            ShareContent::Disk(directory) => directory.is_of(&share),
            ShareContent::Pipes => true,
        });
        // The log stays when other options of the directory change, because the server has it open.
        let kept = before.and_then(|known| known.log.clone());
        let log = share.keeps_opens().then(|| kept.unwrap_or_default());
        let (content, bulkhead) = match known {
            Some(known) => (known.content.clone(), Arc::clone(&known.bulkhead)),
            None if share.name == ShareSettings::IPC => {
                (ShareContent::Pipes, Bulkhead::new(&share.name, limits::PIPE_PLACES))
            }
            None => {
                let bulkhead = Bulkhead::new(&share.name, limits::PLACES);
                let directory = Directory::new(
                    &share,
                    &self.configuration.open_share,
                    &bulkhead,
                    &self.configuration.reach,
                    gate,
                );
                (ShareContent::Disk(directory), bulkhead)
            }
        };
        Arc::new(Share { settings: share, content, bulkhead, log })
    }

    /// Follows a change of one share of the cluster, which this server serves from now on, has other settings of, or does
    /// not serve any more. The other shares cost nothing, so that a server can take over thousands.
    pub(crate) fn share_of_cluster_changed(&self, name: &str) {
        let _changing = self.configuration.changing();
        if self.settings().shares.iter().any(|share| eq_ignore_case(&share.name, name)) {
            return;
        }
        let key = ShareName::new(name);
        let before = self.configuration.shares.read().get(&key).cloned();
        let serving = self.cluster.serving_of(name);
        let after = serving.map(|it| self.prepare_share(it.settings, Some(it.gate), before.as_ref()));
        // A tree connect sees the share here and in the registry either before or after the change.
        let mut current = self.configuration.shares.write();
        let mut effects = Effects::none();
        let mut registry = self.registry.lock("share_of_cluster");
        if let Some(share) = &before
            && after.as_ref().is_none_or(|new| new.settings.path != share.settings.path)
        {
            effects.merge(registry.remove_share(&share.settings.name, self.now()).unwrap_or_default());
        }
        match after {
            Some(share) => {
                let is_unchanged = before.is_some_and(|old| old.settings == share.settings);
                if !is_unchanged || registry.share(&share.settings.name).is_none() {
                    self.define(&mut registry, &share);
                }
                current.insert(key, share);
            }
            None => drop(current.remove(&key)),
        }
        drop(registry);
        drop(current);
        self.apply(effects);
    }

    fn replace_shares(&self, after: Shares) -> usize {
        // A tree connect sees the shares here and in the registry either before or after the change.
        let mut current = self.configuration.shares.write();
        let before = current.clone();
        let mut effects = Effects::none();
        let mut registry = self.registry.lock("open_shares");
        for (key, share) in &before {
            if after.get(key).is_none_or(|new| new.settings.path != share.settings.path) {
                effects.merge(registry.remove_share(&share.settings.name, self.now()).unwrap_or_default());
            }
        }
        let is_unchanged = |key: &ShareName, share: &Share| {
            before.get(key).is_some_and(|old| old.settings == share.settings)
        };
        let mut shares: Vec<_> = after.iter().collect();
        shares.sort_by(|(_, one), (_, other)| one.settings.name.cmp(&other.settings.name));
        for (key, share) in shares {
            if is_unchanged(key, share) && registry.share(&share.settings.name).is_some() {
                continue;
            }
            self.define(&mut registry, share);
        }
        drop(registry);
        *current = after;
        drop(current);
        self.apply(effects).files
    }

    /// Adds a share to the registry, or replaces its definition there.
    fn define(&self, registry: &mut Guard<'_, SmbShell>, share: &Share) {
        let definition = definition(share);
        if registry.replace_share(definition.clone(), self.now()).is_err()
            && let Err(error) = registry.add_share(definition, self.now())
        {
            tracing::warn!(
                ?error,
                share = share.settings.name,
                "cannot add a share; clients cannot connect to it"
            );
        }
    }
}

/// False for a group of the cluster with the name of a Unix group of this machine: a role or a share of the file that names
/// the Unix group means its members, whoever administers the other nodes.
fn may_be_of_cluster(group: &LocalGroup) -> bool {
    let is_unix = crate::core::identity::gid_of(&group.name).is_some();
    if is_unix {
        let name = &group.name;
        tracing::warn!(
            name,
            "a group of the cluster is not used here: this machine has a Unix group of that name"
        );
    }
    !is_unix
}

/// Says that a rule of the file does not hold as it is written.
fn warn_of_contradiction(set: &ClusterWide, own: PasswordPolicy) {
    if set.contradicts(own) {
        tracing::warn!(
            "min_password_age or max_password_age of the file contradicts the other one of the cluster, and gives way to it"
        );
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
            && told.groups.iter().eq(after.own_groups())
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
    let kind = match share.content {
        ShareContent::Disk(_) => ShareKind::Disk,
        ShareContent::Pipes => ShareKind::Pipe,
    };
    ShareDefinition { kind, ..definition_of(&share.settings) }
}

/// The definition of a shared directory with these settings.
pub(crate) fn definition_of(settings: &ShareSettings) -> ShareDefinition {
    ShareDefinition {
        name: settings.name.as_str().into(),
        kind: ShareKind::Disk,
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

#[cfg(test)]
mod tests {
    use auth::UserDb;

    use super::*;

    /// Calls on several threads come in any order.
    #[tokio::test]
    async fn an_earlier_change_of_the_settings_of_the_cluster_does_not_undo_a_later_one() {
        let server = Server::new(Settings::conventional(false, |_| None), UserDb::default()).unwrap();
        let of = |length| {
            let values = [(String::from("min_password_length"), length)];
            ClusterWide::new(values.into_iter().collect()).unwrap()
        };
        server.set_cluster_wide(of(9), 1);
        server.set_cluster_wide(of(9), 3);
        server.set_cluster_wide(of(5), 2);
        assert_eq!(server.settings().passwords.min_length, 9);
        server.set_cluster_wide(of(5), 4);
        assert_eq!(server.settings().passwords.min_length, 5);
    }

    /// A rule of the file that gave way holds again without the cluster's, also after a change of another rule.
    #[tokio::test]
    async fn rules_of_the_file_that_gave_way_are_kept() {
        let mut settings = Settings::conventional(false, |_| None);
        settings.passwords.max_age_days = 3;
        let server = Server::new(settings, UserDb::default()).unwrap();
        let set = ClusterWide::new([(String::from("min_password_age"), 9)].into()).unwrap();
        server.set_cluster_wide(set, 1);
        let ages = || (server.settings().passwords.min_age_days, server.settings().passwords.max_age_days);
        assert_eq!(ages(), (9, 10));
        let changed = server.change_settings(|settings| {
            settings.passwords.history = 5;
            Ok::<_, ChangeError>(())
        });
        changed.unwrap();
        server.set_cluster_wide(ClusterWide::default(), 2);
        assert_eq!((ages(), server.settings().passwords.history), ((0, 3), 5));
    }
}
