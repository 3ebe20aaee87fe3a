//! The users of the cluster, for nodes with `users = true`: each is a key with the line of a users file, sealed with the
//! secret of the cluster. The users file of a node has the node's own users, which come first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auth::UserDb;
use auth::users::User;
use cluster::ids::{Revision, ShareKey};
use cluster::keys::{Key, users_prefix};
use cluster::protocol::{Change, Compare, Entry, Event, Write};
use cluster::records::{self, SealedRecord};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::changes::{Author, Draft};
use super::operator::{Operator, Refused};
use super::secret::Secret;
use super::state::Cluster;
use super::store;
use crate::core::config::Settings;
use crate::core::server::Server;

/// The users of the cluster, as they were read.
pub(crate) struct FoundUsers {
    schema: Revision,
    cluster: String,
    secret: Secret,
    /// The users.
    pub(crate) users: UserDb,
    revisions: BTreeMap<ShareKey, Revision>,
}

/// The users that this server could read last. The thread of the member changes them, and a change of users by this server
/// takes them from here: it does not open thousands of values for one account.
#[derive(Debug, Default)]
pub(super) struct Opened(Mutex<BTreeMap<ShareKey, Arc<OpenedUser>>>);

/// A user, with the value that it was read from.
#[derive(Debug)]
struct OpenedUser {
    value: Vec<u8>,
    user: UserDb,
}

impl Opened {
    /// The user of a key, if it was read from this value.
    fn get(&self, key: &ShareKey, value: &[u8]) -> Option<Arc<OpenedUser>> {
        self.0.lock().get(key).filter(|it| it.value == value).cloned()
    }
}

impl Operator {
    /// The users of the cluster. Those of `opened` are not opened again.
    ///
    /// # Errors
    /// [`Refused`] if this machine does not have the secret of the cluster, or etcd does not answer.
    async fn find_users(&self, opened: Arc<Opened>) -> Result<FoundUsers, Refused> {
        let (schema, cluster) = self.schema_and_id().await?;
        let secret = self.secret().await?;
        let range = self.client.range(users_prefix(&self.prefix).as_bytes()).await;
        let entries = range.map_err(Refused::unreachable)?.entries;
        let prefix = self.prefix.clone();
        let find = move || {
            let (mut users, mut revisions) = (UserDb::default(), BTreeMap::new());
            for entry in entries.into_iter().map(store::entry) {
                let Some(Key::User(key)) = Key::from_path(&prefix, &entry.path) else { continue };
                // A value that cannot be read is replaced by a change of this user only.
                revisions.insert(key.clone(), entry.modified);
                if let Some(known) = opened.get(&key, &entry.value) {
                    users.merge(&known.user);
                } else if let Ok(user) = read(&secret, &cluster, &key, &entry) {
                    users.merge(&user);
                }
            }
            FoundUsers { schema, cluster, secret, users, revisions }
        };
        // This is the thread of the member, which also renews the lease.
        let found = tokio::task::spawn_blocking(find).await;
        found.map_err(|error| Refused::invalid(format!("the users of the cluster cannot be read: {error}")))
    }

    /// Writes the users that differ from those that were found. Returns the revision of the change.
    ///
    /// # Errors
    /// [`Refused`] if one of them was changed meanwhile, or etcd does not answer. Nothing has changed then, unless the reason
    /// says otherwise.
    pub(crate) async fn write_users(&self, found: &FoundUsers, after: &UserDb) -> Result<Revision, Refused> {
        let lines = |users: &UserDb| -> BTreeMap<String, String> {
            users.entries().map(|(user, line)| (user.name.clone(), line.to_owned())).collect()
        };
        let (before, after) = (lines(&found.users), lines(after));
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        let (mut conditions, mut writes, mut acts) = (Vec::new(), Vec::new(), Vec::new());
        for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
            let key = ShareKey::new(name).map_err(|_| Refused::invalid(NAME))?;
            let condition = match found.revisions.get(&key) {
                Some(revision) => Compare::Modified(Key::User(key.clone()), *revision),
                None => Compare::Absent(Key::User(key.clone())),
            };
            conditions.push(condition);
            let path = Key::User(key.clone()).to_path(&self.prefix);
            let act = match (before.get(name), after.get(name)) {
                (_, None) => "delete user",
                (None, Some(_)) => "add user",
                (Some(_), Some(_)) => "change user",
            };
            acts.push((act, name));
            writes.push(match after.get(name) {
                None => Write::Delete(Key::User(key)),
                Some(line) => {
                    let sealed = found.secret.seal(&found.cluster, &path, line).map_err(Refused::invalid)?;
                    let value = records::write(&SealedRecord { sealed });
                    records::read::<SealedRecord>(&value).map_err(Refused::invalid)?;
                    Write::Put { key: Key::User(key), value, lease: None }
                }
            });
        }
        let Some((act, name)) = acts.first() else { return Ok(Revision::default()) };
        let others = acts.iter().skip(1).map(|(act, name)| format!("{act} {name}")).collect();
        let draft = Draft { details: others, ..Draft::new(act, name) };
        self.commit(found.schema, conditions, writes, draft).await
    }

    /// The secret of the cluster, if it is the one that the other nodes have.
    pub(super) async fn secret(&self) -> Result<Secret, Refused> {
        let secret =
            Secret::load(&self.settings.state_directory, &self.own.name).map_err(Refused::invalid)?;
        let secret = secret.ok_or_else(|| Refused::invalid(NO_SECRET))?;
        match self.entry(&Key::Secret).await? {
            Some(mark) if mark.value == secret.mark().into_bytes() => Ok(secret),
            _ => Err(Refused::invalid(OTHER_SECRET)),
        }
    }
}

/// The users of the cluster for one change by this server.
pub(crate) struct UsersToChange {
    operator: Operator,
    found: FoundUsers,
    runtime: Handle,
    server: Arc<Server>,
}

impl Cluster {
    /// Reads the users of the cluster, to change them. `None` on a server that keeps no users there.
    pub(crate) fn users_to_change(
        &self,
        settings: &Settings,
        author: Author,
    ) -> Result<Option<UsersToChange>, Refused> {
        let Some(member) = self.member().filter(|_| settings.cluster.as_ref().is_some_and(|it| it.users))
        else {
            return Ok(None);
        };
        let Some((runtime, server)) = member.shell.get().cloned() else {
            return Err(Refused::unreachable("the server has just started"));
        };
        let operator = Operator::with(settings.clone(), member.etcd.clone(), author)?;
        let opened = Arc::clone(&member.opened_users);
        let (operator, found) = wait(&runtime, async move {
            let found = operator.find_users(opened).await;
            found.map(|found| (operator, found))
        })?;
        Ok(Some(UsersToChange { operator, found, runtime, server }))
    }
}

impl Cluster {
    /// Has the thread of the member look at the users again, after this server has written some.
    fn users_were_written(&self, revision: Revision) {
        let Some(member) = self.member() else { return };
        let mut written = member.users_written.lock();
        *written = Some(written.map_or(revision, |before| before.max(revision)));
        let _ = member.events.send(Event::Tick);
    }
}

impl UsersToChange {
    /// Carries out a change of the accounts of this server and the cluster. Those that are not in `own` go to the cluster.
    pub(crate) fn change<T, E>(
        self,
        own: &mut UserDb,
        change: impl FnOnce(&mut UserDb) -> Result<T, E>,
        refused: impl FnOnce(Refused) -> E,
    ) -> Result<T, E> {
        let Self { operator, found, runtime, server } = self;
        let mut all = own.clone();
        all.merge(&found.users);
        let outcome = change(&mut all)?;
        let mut of_cluster = all.split(|user| own.user(&user.name).is_none());
        // Those that the node's own users hide stay.
        let mut hidden = found.users.clone();
        let hidden = hidden.split(|user| own.user(&user.name).is_some());
        of_cluster.merge(&hidden);
        let write = async move {
            let revision = operator.write_users(&found, &of_cluster).await?;
            Ok((revision, of_cluster))
        };
        let (revision, users) = match wait(&runtime, write) {
            Ok(written) => written,
            Err(error) => return Err(refused(error)),
        };
        server.configuration.accounts.replace_of_cluster(users);
        server.cluster.users_were_written(revision);
        *own = all;
        Ok(outcome)
    }
}

/// Waits for calls of etcd, which the thread of the member makes.
fn wait<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    let (done, is_done) = std::sync::mpsc::channel();
    let working = runtime.spawn(async move { done.send(work.await).ok() });
    is_done.recv_timeout(CHANGE_MAX).unwrap_or_else(|_| {
        working.abort();
        Err(Refused::unreachable("etcd does not answer in time; a change may still take effect: look again"))
    })
}

/// The users of the cluster as a member follows them.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: BTreeMap<ShareKey, Entry>,
    opened: Arc<Opened>,
    has_changed: bool,
}

impl Users {
    pub(super) fn new(opened: Arc<Opened>) -> Self {
        Self { opened, ..Self::default() }
    }

    /// Follows the keys of users in an event.
    pub(super) fn follow(&mut self, event: &Event, prefix: &str) {
        let user = |path: &str| match Key::from_path(prefix, path) {
            Some(Key::User(key)) => Some(key),
            _ => None,
        };
        match event {
            Event::Snapshot { entries, .. } => {
                let users = entries.iter().filter_map(|it| Some((user(&it.path)?, it.clone())));
                self.entries = users.take(USERS_MAX).collect();
                self.has_changed = true;
            }
            Event::WatchBatch { changes, .. } => {
                for change in changes {
                    match change {
                        Change::Deleted { path } => {
                            let Some(key) = user(path) else { continue };
                            self.entries.remove(&key);
                        }
                        Change::Written(entry) => {
                            let Some(key) = user(&entry.path) else { continue };
                            if self.entries.len() < USERS_MAX || self.entries.contains_key(&key) {
                                self.entries.insert(key, entry.clone());
                            }
                        }
                    }
                    self.has_changed = true;
                }
            }
            _ => {}
        }
    }

    /// This server has written users at a revision, and has put those that it had found before, with its change, in place
    /// of these. If `seen`, the last revision that was followed, is not before it, others may have changed some of them
    /// since, which the server would not notice; otherwise the change is still to come, and is followed then.
    pub(super) fn were_written(&mut self, revision: Revision, seen: Revision) {
        self.has_changed |= seen >= revision;
    }

    /// True if they have changed since [`Users::changed`].
    pub(super) fn have_changed(&self) -> bool {
        self.has_changed
    }

    /// The users, if they have changed. A user whose value cannot be read stays as before.
    pub(super) fn changed(
        &mut self,
        read: impl Fn(&ShareKey, &Entry) -> Result<UserDb, String>,
        mut refused: impl FnMut(&Entry, Option<String>),
    ) -> Option<UserDb> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        let entries = &self.entries;
        self.opened.0.lock().retain(|key, _| entries.contains_key(key));
        for (key, entry) in entries {
            // The thread also renews the lease: it does not open thousands of values because one has changed.
            if self.opened.get(key, &entry.value).is_some() {
                refused(entry, None);
                continue;
            }
            match read(key, entry) {
                Ok(user) => {
                    let known = OpenedUser { value: entry.value.clone(), user };
                    self.opened.0.lock().insert(key.clone(), Arc::new(known));
                    refused(entry, None);
                }
                Err(reason) => refused(entry, Some(reason)),
            }
        }
        let mut all = UserDb::default();
        self.opened.0.lock().values().for_each(|it| all.merge(&it.user));
        Some(all)
    }
}

/// The user of a key of etcd.
pub(super) fn read(secret: &Secret, cluster: &str, key: &ShareKey, entry: &Entry) -> Result<UserDb, String> {
    let record: SealedRecord = records::read(&entry.value).map_err(|error| error.to_string())?;
    let line = secret.open(cluster, &entry.path, &record.sealed)?;
    let users = UserDb::parse(&line).map_err(|error| error.to_string())?;
    let is_its = |user: &User| ShareKey::new(&user.name).as_ref() == Ok(key);
    if users.users().count() == 1 && users.users().all(is_its) {
        Ok(users)
    } else {
        Err(String::from("the value is not the user of this key"))
    }
}

/// Each node reads all of them when it joins, and opens each.
const USERS_MAX: usize = 20_000;

/// Two transactions with a reading each, each call at its longest.
const CHANGE_MAX: Duration = Duration::from_secs(5);

const NAME: &str = "users of a cluster have names of at most 80 characters, without '/' and '\\'";

pub(super) const NO_SECRET: &str = "this server does not have the secret of the cluster: run 'shareward cluster invite' on a node that has it, and \
     'shareward cluster join' here";

pub(super) const OTHER_SECRET: &str =
    "this server has another secret than the other nodes of the cluster: run 'shareward cluster join' again";

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/shareward/c/";

    fn written(name: &str, modified: u64) -> Change {
        let key = Key::User(ShareKey::new(name).unwrap());
        Change::Written(Entry {
            path: key.to_path(PREFIX),
            value: modified.to_string().into_bytes(),
            created: Revision(1),
            modified: Revision(modified),
            lease: None,
        })
    }

    /// The user of this name, as if the value of the key were sealed.
    fn read(key: &ShareKey, _: &Entry) -> Result<UserDb, String> {
        let mut users = UserDb::default();
        users.add(key.as_str(), 1000, "secret", wire::FileTime(0)).map_err(|error| error.to_string())?;
        Ok(users)
    }

    #[test]
    fn only_values_that_have_changed_are_opened() {
        let opened = std::cell::Cell::new(0);
        let read = |key: &ShareKey, entry: &Entry| {
            opened.set(opened.get() + 1);
            read(key, entry)
        };
        let mut users = Users::default();
        let batch = |changes| Event::WatchBatch { watch: 1, revision: Revision(7), changes };
        users.follow(&batch(vec![written("ann", 5), written("bob", 6)]), PREFIX);
        assert_eq!(users.changed(read, |_, _| ()).unwrap().users().count(), 2);
        users.follow(&batch(vec![written("bob", 7)]), PREFIX);
        assert_eq!(users.changed(read, |_, _| ()).unwrap().users().count(), 2);
        assert_eq!(opened.get(), 3);
        // A change by this server finds them, unless etcd has another value meanwhile.
        let (cache, bob) = (Arc::clone(&users.opened), ShareKey::new("bob").unwrap());
        assert_eq!(cache.get(&bob, b"7").unwrap().user.users().count(), 1);
        assert!(cache.get(&bob, b"8").is_none());
        // A user that cannot be read stays as before, and is tried again.
        let fails = |_: &ShareKey, _: &Entry| Err(String::from("nonsense"));
        users.follow(&batch(vec![written("bob", 8)]), PREFIX);
        assert_eq!(users.changed(fails, |_, _| ()).unwrap().users().count(), 2);
        users.were_written(Revision(8), Revision(8));
        assert!(users.changed(read, |_, _| ()).is_some());
        assert_eq!(opened.get(), 4);
    }

    #[test]
    fn a_change_by_others_that_was_followed_before_the_own_is_put_in_force_is_not_lost() {
        let mut users = Users::default();
        let batch = |revision, changes| Event::WatchBatch { watch: 1, revision: Revision(revision), changes };
        users.follow(&batch(7, vec![written("ann", 7)]), PREFIX);
        // Another node adds a user while the answer to the own change at revision 7 is on its way.
        users.follow(&batch(8, vec![written("bob", 8)]), PREFIX);
        assert_eq!(users.changed(read, |_, _| ()).unwrap().users().count(), 2);
        assert!(users.changed(read, |_, _| ()).is_none());
        users.were_written(Revision(7), Revision(8));
        assert_eq!(users.changed(read, |_, _| ()).unwrap().users().count(), 2, "they take effect again");
        // The own change is still to come: what was followed does not have it.
        users.were_written(Revision(9), Revision(8));
        assert!(users.changed(read, |_, _| ()).is_none());
    }
}
