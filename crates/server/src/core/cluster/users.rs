//! The users of the cluster, for nodes with `users = true`: each is a key with the line of a users file, sealed with the
//! secret of the cluster. The users file of a node has the node's own users, which come first.

use auth::UserDb;
use auth::users::User;
use cluster::ids::{Revision, ShareKey};
use cluster::keys::{Key, users_prefix};
use cluster::protocol::{Entry, Event};
use cluster::records::{self, SealedRecord};

use super::changes::{Author, Draft};
use super::operator::{Operator, Refused};
use super::sealed_change::{Found, ToChange, wait};
use super::sealed_entries::{Sealed, SealedEntries};
use super::secret::Secret;
use super::state::Cluster;
use super::store;
use crate::core::config::Settings;

impl Operator {
    /// Writes a user that was found, or deletes it. Returns the revision of the change.
    async fn write_user(&self, found: &Found<UserDb>, after: &UserDb) -> Result<Revision, Refused> {
        let line =
            |users: &UserDb| users.entries().next().map(|(user, line)| (user.name.clone(), line.to_owned()));
        let (before, after) = (found.value.as_ref().and_then(line), line(after));
        let (act, name) = match (&before, &after) {
            (before, after) if before == after => return Ok(Revision::default()),
            (Some((name, _)), None) => ("delete user", name),
            (None, Some((name, _))) => ("add user", name),
            (Some(_), Some((name, _))) => ("change user", name),
            (None, None) => return Ok(Revision::default()),
        };
        if after.as_ref().is_some_and(|(name, _)| ShareKey::new(name).as_ref() != Ok(&found.key)) {
            return Err(Refused::invalid("a user of the cluster keeps its name"));
        }
        let value = match &after {
            None => None,
            Some((_, line)) => {
                let value = self.sealed(found, line)?;
                records::read::<SealedRecord>(&value).map_err(Refused::invalid)?;
                Some(value)
            }
        };
        self.write_sealed(found, value, Draft::new(act, name)).await
    }

    /// Changes, adds or deletes one user of the cluster. The change gets the user alone, or nobody.
    ///
    /// # Errors
    /// [`Refused`] if the user was changed meanwhile, this machine does not have the secret of the cluster, or etcd does not
    /// answer. The inner error is that of the change.
    pub async fn change_user<E>(
        &self,
        name: &str,
        change: impl FnOnce(&mut UserDb) -> Result<(), E>,
    ) -> Result<Result<(), E>, Refused> {
        let found = self.find_sealed::<UserDb>(name).await?;
        let mut user = found.value.clone().unwrap_or_default();
        if let Err(error) = change(&mut user) {
            return Ok(Err(error));
        }
        if found.modified.is_none() && user.users().next().is_some() {
            let range = self.client.range(users_prefix(&self.prefix).as_bytes()).await;
            // Nodes would not know the last ones.
            if range.map_err(Refused::unreachable)?.entries.len() >= USERS_MAX {
                return Err(Refused::invalid(format!("a cluster has at most {USERS_MAX} users")));
            }
        }
        self.write_user(&found, &user).await.map(|_| Ok(()))
    }

    /// The users of the cluster, with the number of those that cannot be read.
    ///
    /// # Errors
    /// [`Refused`] if this machine does not have the secret of the cluster, or etcd does not answer.
    pub async fn users(&self) -> Result<(UserDb, usize), Refused> {
        let (_, cluster) = self.schema_and_id().await?;
        let secret = self.secret().await?;
        // A page at a time.
        let range = self.client.range(users_prefix(&self.prefix).as_bytes()).await;
        let (mut users, mut unreadable) = (UserDb::default(), 0_usize);
        for entry in range.map_err(Refused::unreachable)?.entries.into_iter().map(store::entry) {
            let Some(Key::User(key)) = Key::from_path(&self.prefix, &entry.path) else { continue };
            match read(&secret, &cluster, &key, &entry) {
                Ok(user) => users.merge(&user),
                Err(_) => unreadable = unreadable.saturating_add(1),
            }
        }
        Ok((users, unreadable))
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

/// A user of the cluster for one change by this server.
pub(crate) type UserToChange = ToChange<UserDb>;

impl Cluster {
    /// Reads a user of the cluster, to change it. `None` on a server that keeps no users there.
    pub(crate) fn user_to_change(
        &self,
        settings: &Settings,
        name: &str,
        author: Author,
    ) -> Result<Option<UserToChange>, Refused> {
        self.to_change(settings, name, author)
    }

    /// Has the thread of the member look at users and groups again, after this server has written some.
    pub(super) fn users_were_written(&self, revision: Revision) {
        let Some(member) = self.member() else { return };
        let mut written = member.users_written.lock();
        *written = Some(written.map_or(revision, |before| before.max(revision)));
        let _ = member.events.send(Event::Tick);
    }
}

impl UserToChange {
    /// Carries out a change of this user, who is not one of the server's own. Nothing is left to be done on this machine
    /// after the commit that could fail.
    pub(crate) fn change<T, E>(
        self,
        change: impl FnOnce(&mut UserDb) -> Result<T, E>,
        refused: impl FnOnce(Refused) -> E,
    ) -> Result<T, E> {
        let Self { operator, found, runtime, server } = self;
        let mut user = found.value.clone().unwrap_or_default();
        let outcome = change(&mut user)?;
        let is_new = found.value.is_none() && user.users().next().is_some();
        if is_new && server.configuration.accounts.of_cluster().users().count() >= USERS_MAX {
            return Err(refused(Refused::invalid(format!("a cluster has at most {USERS_MAX} users"))));
        }
        let key = found.key.clone();
        let write = async move {
            let revision = operator.write_user(&found, &user).await?;
            Ok((revision, user))
        };
        let (revision, user) = match wait(&runtime, write) {
            Ok(written) => written,
            Err(error) => return Err(refused(error)),
        };
        let is_it = |it: &User| ShareKey::new(&it.name).as_ref() == Ok(&key);
        server.configuration.accounts.replace_one_of_cluster(is_it, &user);
        server.cluster.users_were_written(revision);
        Ok(outcome)
    }
}

/// The users of the cluster as a member follows them.
pub(super) type Users = SealedEntries<UserDb>;

impl Sealed for UserDb {
    const MAX: usize = USERS_MAX;

    const NAMES: &str = "users of a cluster have names of at most 80 characters, without '/' and '\\'";

    fn of(key: Key) -> Option<ShareKey> {
        match key {
            Key::User(user) => Some(user),
            _ => None,
        }
    }

    fn key(name: ShareKey) -> Key {
        Key::User(name)
    }

    fn read(secret: &Secret, cluster: &str, key: &ShareKey, entry: &Entry) -> Result<Self, String> {
        read(secret, cluster, key, entry)
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

pub(super) const NO_SECRET: &str = "this server does not have the secret of the cluster: run 'shareward cluster invite' on a node that has it, and \
     'shareward cluster join' here";

pub(super) const OTHER_SECRET: &str =
    "this server has another secret than the other nodes of the cluster: run 'shareward cluster join' again";

#[cfg(test)]
mod tests {
    use cluster::protocol::Change;

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
        assert_eq!(users.changed(read, |_, _| ()).unwrap().count(), 2);
        users.follow(&batch(vec![written("bob", 7)]), PREFIX);
        assert_eq!(users.changed(read, |_, _| ()).unwrap().count(), 2);
        assert_eq!(opened.get(), 3);
        // A user that cannot be read stays as before, and is tried again.
        let fails = |_: &ShareKey, _: &Entry| Err(String::from("nonsense"));
        users.follow(&batch(vec![written("bob", 8)]), PREFIX);
        assert_eq!(users.changed(fails, |_, _| ()).unwrap().count(), 2);
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
        assert_eq!(users.changed(read, |_, _| ()).unwrap().count(), 2);
        assert!(users.changed(read, |_, _| ()).is_none());
        users.were_written(Revision(7), Revision(8));
        assert_eq!(users.changed(read, |_, _| ()).unwrap().count(), 2, "they take effect again");
        // The own change is still to come: what was followed does not have it.
        users.were_written(Revision(9), Revision(8));
        assert!(users.changed(read, |_, _| ()).is_none());
    }
}
