//! The accounts in force: those of the users file as it is now.
//!
//! A change of the file, by `shareward user`, by an administrator over the network or with an editor, applies from the
//! next logon on: each logon checks if the file is still the one that was read. A file that cannot be read or is
//! malformed changes nothing; the server logs this once for each version of the file. A file that is being written
//! changes nothing either: it was changed a moment ago and does not end with a whole line.
//!
//! A node of a cluster that keeps users there has these as well. Those of the file come first: they are the node's own.
//!
//! As on Windows, a session continues when its account is removed or disabled or gets another password.

use std::io;
use std::path::Path;
use std::sync::Arc;

use auth::users::{LoadError, User, UserDb};
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::core::file_version::Version;
use crate::core::server::Server;

/// The accounts, and the version of the file that they were read from.
pub(crate) struct Accounts {
    /// The accounts of the file, then those of the cluster.
    current: RwLock<Arc<UserDb>>,
    parts: Mutex<Parts>,
    seen: Mutex<Seen>,
}

/// The accounts by their origins.
struct Parts {
    own: Arc<UserDb>,
    of_cluster: Arc<UserDb>,
}

/// The known versions of the file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The version that was read last; `None` if the file has to be read again in any case.
    version: Option<Version>,
    /// The version that the log has reported as unusable.
    told: Option<Version>,
}

impl Accounts {
    /// Creates the accounts that were read when the server started.
    pub(crate) fn new(users: UserDb) -> Self {
        let own = Arc::new(users);
        let parts = Parts { own: Arc::clone(&own), of_cluster: Arc::default() };
        Self { current: RwLock::new(own), parts: Mutex::new(parts), seen: Mutex::default() }
    }

    /// The accounts in force.
    pub(crate) fn current(&self) -> Arc<UserDb> {
        Arc::clone(&self.current.read())
    }

    /// Replaces the accounts by those that the caller has written to the file. The file is still read again.
    pub(crate) fn replace(&self, users: UserDb) {
        self.seen().version = None;
        self.set_own(users);
    }

    /// The accounts of the file.
    pub(crate) fn own(&self) -> Arc<UserDb> {
        Arc::clone(&self.parts.lock().own)
    }

    /// The accounts of the cluster, also those that the file hides.
    pub(crate) fn of_cluster(&self) -> Arc<UserDb> {
        Arc::clone(&self.parts.lock().of_cluster)
    }

    /// Replaces one account of the cluster by its state after a change, or removes it.
    pub(crate) fn replace_one_of_cluster(&self, is_it: impl Fn(&User) -> bool, after: &UserDb) {
        self.merge(|parts| {
            let mut all = UserDb::clone(&parts.of_cluster);
            drop(all.split(is_it));
            all.merge(after);
            parts.of_cluster = Arc::new(all);
        });
    }

    /// Replaces the accounts of the cluster.
    pub(crate) fn replace_of_cluster(&self, users: UserDb) {
        self.merge(|parts| parts.of_cluster = Arc::new(users));
    }

    fn set_own(&self, users: UserDb) {
        self.merge(|parts| parts.own = Arc::new(users));
    }

    fn merge(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock();
        change(&mut parts);
        let all = match parts.of_cluster.users().next() {
            None => Arc::clone(&parts.own),
            Some(_) => {
                let mut all = UserDb::clone(&parts.own);
                all.merge(&parts.of_cluster);
                Arc::new(all)
            }
        };
        *self.current.write() = all;
    }

    fn is_of(&self, version: Version) -> bool {
        self.seen().version == Some(version)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }

    /// True if the file contains the accounts that are in force. No lock is held meanwhile, so others may log on.
    fn are_as_in(&self, path: &Path) -> bool {
        matches!(UserDb::load(path), Ok((users, _)) if *users.to_text() == *self.own().to_text())
    }

    /// Reads the file again if it may have changed. The caller prevents other changes of the accounts.
    fn refresh(&self, path: &Path) {
        // The version is taken before the file is read: a change in between has another version the next time.
        let (version, is_young) = Version::of(path);
        if self.is_of(version) {
            return;
        }
        let is_first = self.seen().version.is_none();
        // Until a file has settled, its next version may look the same.
        self.seen().version = (!is_young).then_some(version);
        let loaded = UserDb::load(path);
        match loaded {
            Ok((users, warning)) if !is_young || users.ends_whole() => {
                let before = self.own();
                if *before.to_text() == *users.to_text() {
                    return;
                }
                if let Some(warning) = warning.filter(|_| !is_first) {
                    tracing::warn!(path = %path.display(), "{warning}");
                }
                tracing::info!(target: "audit", users = users.users().count(), "the users file has changed");
                self.set_own(users);
            }
            // The file is being written.
            Ok(_) => {}
            // There was never a file.
            Err(LoadError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && self.own().users().next().is_none() => {}
            Err(error) => {
                if self.seen().told.replace(version) != Some(version) {
                    tracing::warn!("{error}; the users in force stay as they were");
                }
            }
        }
    }
}

impl Server {
    /// The accounts in force.
    pub(crate) fn accounts(&self) -> Arc<UserDb> {
        self.configuration.accounts.current()
    }

    /// The age in seconds at which passwords expire by the settings; 0 for never.
    pub(crate) fn password_age_max(&self) -> u64 {
        self.settings().passwords.max_age_seconds()
    }

    /// Reads the users file if it has changed. This waits for the file system, and, if the accounts change, for other
    /// changes of settings.
    pub(crate) fn refresh_accounts(&self) {
        let settings = self.settings();
        // Without a configuration file, the server has its accounts in memory only.
        if settings.source.is_none() {
            return;
        }
        let (version, is_young) = Version::of(&settings.users_file);
        if self.configuration.accounts.is_of(version)
            || is_young && self.configuration.accounts.are_as_in(&settings.users_file)
        {
            return;
        }
        let _changing = self.configuration.changing();
        self.configuration.accounts.refresh(&self.settings().users_file);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::core::config::{Settings, Source};

    const ALICE: &str = "alice:1000:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-5F000000:\n";

    fn names(accounts: &Accounts) -> Vec<String> {
        accounts.current().users().map(|user| user.name.clone()).collect()
    }

    #[tokio::test]
    async fn unchanged_young_file_is_recognized_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, ALICE).unwrap();
        let mut settings = Settings::conventional(false, |_| None);
        let source = Source { path: directory.path().join("config"), text: "".into() };
        (settings.users_file, settings.source) = (path.clone(), Some(source));
        let server = Server::new(settings, UserDb::load(&path).unwrap().0).unwrap();
        let changing = server.configuration.changing();
        std::thread::scope(|scope| {
            let (done, is_done) = std::sync::mpsc::channel();
            let looking = &server;
            let looking = scope.spawn(move || {
                looking.refresh_accounts();
                done.send(()).unwrap();
            });
            let waits = is_done.recv_timeout(Duration::from_secs(20)).is_err();
            drop(changing);
            looking.join().unwrap();
            assert!(!waits);
        });
        fs::write(&path, ALICE.replace("alice", "carol")).unwrap();
        server.refresh_accounts();
        assert_eq!(names(&server.configuration.accounts), ["carol"]);
    }

    /// Makes a file look as if it had been written long ago, as far as its times can be set.
    fn aged(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn changes_of_the_users_file_apply() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let accounts = Accounts::new(UserDb::default());
        accounts.refresh(&path);
        assert!(names(&accounts).is_empty());
        fs::write(&path, ALICE).unwrap();
        accounts.refresh(&path);
        assert_eq!(names(&accounts), ["alice"]);
        // The file changes again at once, with the same size and within a tick of the clock.
        fs::write(&path, ALICE.replace("alice", "carol")).unwrap();
        accounts.refresh(&path);
        assert_eq!(names(&accounts), ["carol"]);
        UserDb::update(&path, |users| users.add("bob", 1, "password", auth::users::now())).unwrap();
        accounts.refresh(&path);
        assert_eq!(names(&accounts), ["carol", "bob"]);
        UserDb::update(&path, |users| users.delete("carol")).unwrap();
        accounts.refresh(&path);
        assert_eq!(names(&accounts), ["bob"]);
    }

    #[test]
    fn malformed_unfinished_or_missing_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, ALICE).unwrap();
        let accounts = Accounts::new(UserDb::load(&path).unwrap().0);
        for text in ["", "bob:1:X:Y:Z", &ALICE[..ALICE.len() - 30], "bob\n"] {
            fs::write(&path, text).unwrap();
            accounts.refresh(&path);
            assert_eq!(names(&accounts), ["alice"], "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        accounts.refresh(&path);
        assert_eq!(names(&accounts), ["alice"]);
        fs::write(&path, ALICE.replace("alice", "carol")).unwrap();
        accounts.refresh(&path);
        assert_eq!(names(&accounts), ["carol"]);
    }

    #[test]
    fn changed_file_is_young_for_a_moment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, ALICE).unwrap();
        assert!(Version::of(&path).1);
        // The inode still has changed a moment ago.
        aged(&path, 100);
        assert!(Version::of(&path).1);
    }
}
