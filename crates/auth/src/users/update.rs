//! Changes of the users file by several programs at once: the server, and `shareward user`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Instant;

use thiserror::Error;

use super::{LoadError, UserDb, place};
use crate::limits::{USERS_LOCK_PATIENCE, USERS_LOCK_RETRY};

/// The reason that a file was not changed.
#[derive(Debug, Error)]
pub enum UpdateError<E> {
    /// Another process holds the lock for too long, or the lock file cannot be created.
    #[error("it cannot be locked: {0}")]
    Lock(io::Error),
    /// The file cannot be read.
    #[error(transparent)]
    Load(LoadError),
    /// The change was not made.
    #[error("{0}")]
    Refused(E),
    /// The file cannot be written.
    #[error("it cannot be written: {0}")]
    Save(io::Error),
}

impl UserDb {
    /// Reads a file, changes its content and replaces it, as one step for all processes that use this function: they
    /// lock a second file, because each change replaces the first. A missing file has no users. The edit should not
    /// wait for anything. An edit that changes nothing does not replace the file.
    pub fn update<T, E>(
        path: &Path,
        edit: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<(Self, T), UpdateError<E>> {
        let _lock = lock(path).map_err(UpdateError::Lock)?;
        let mut users = match Self::load(path) {
            Ok((users, _)) => users,
            Err(LoadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(UpdateError::Load(error)),
        };
        let before = users.to_text();
        let outcome = edit(&mut users).map_err(UpdateError::Refused)?;
        if *users.to_text() != *before {
            users.save(path).map_err(UpdateError::Save)?;
        }
        Ok((users, outcome))
    }
}

/// Locks a users file until the result is dropped.
fn lock(path: &Path) -> io::Result<File> {
    let (path, directory) = place(path);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut lock_name = std::ffi::OsString::from(".");
    lock_name.push(name);
    lock_name.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(directory.join(lock_name))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < USERS_LOCK_PATIENCE => {
                std::thread::sleep(USERS_LOCK_RETRY);
            }
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::now;
    use super::*;

    #[test]
    fn concurrent_changes_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let add = |writer: usize| {
            for number in 0..CHANGES {
                let name = format!("user{writer}-{number}");
                UserDb::update(&path, |users| users.add(&name, 1000, "password", now())).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                scope.spawn(move || add(writer));
            }
        });
        let (users, warning) = UserDb::load(&path).unwrap();
        assert_eq!((users.users().count(), warning), (WRITERS * CHANGES, None));
    }

    #[test]
    fn a_refused_change_leaves_the_file_and_frees_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let refused = UserDb::update(&path, |users| users.delete("nobody"));
        assert!(matches!(refused, Err(UpdateError::Refused(_))));
        assert!(!path.exists());
        let added = UserDb::update(&path, |users| users.add("somebody", 1, "password", now()));
        assert_eq!(added.unwrap().0.users().count(), 1);
    }

    const WRITERS: usize = 3;
    const CHANGES: usize = 20;
}
