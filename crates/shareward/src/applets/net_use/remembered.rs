//! The file of remembered connections. It contains no passwords, only the names of credentials files.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mount::{ShareAddress, Via};
use serde::{Deserialize, Serialize};

use crate::credentials::Protocol;
use crate::failure::Failure;
use crate::setup;

/// The remembered connections and the default for new ones.
#[derive(Debug)]
pub(super) struct Remembered {
    /// `None` if no place for the file is known.
    path: Option<PathBuf>,
    content: Content,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    /// True if new connections are remembered by default.
    #[serde(default)]
    remember: bool,
    #[serde(default)]
    connections: Vec<RememberedConnection>,
}

/// A connection that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedConnection {
    pub(super) directory: PathBuf,
    pub(super) target: ShareAddress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<Via>,
    #[serde(default, skip_serializing_if = "Protocol::is_any")]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) read_only: bool,
    #[serde(default)]
    pub(super) allow_others: bool,
}

impl Remembered {
    /// Reads the file; a missing file means that nothing is remembered.
    pub(super) fn load() -> Result<Self, Failure> {
        Self::of(file())
    }

    fn of(path: Option<PathBuf>) -> Result<Self, Failure> {
        let content = path.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(Self { path, content })
    }

    /// True if new connections are remembered by default.
    pub(super) fn by_default(&self) -> bool {
        self.content.remember
    }

    /// All remembered connections.
    pub(super) fn connections(&self) -> &[RememberedConnection] {
        &self.content.connections
    }

    /// The remembered connection of a directory.
    pub(super) fn of_directory(&self, directory: &Path) -> Option<&RememberedConnection> {
        self.content.connections.iter().find(|connection| connection.directory == directory)
    }

    /// Sets whether new connections are remembered by default.
    pub(super) fn set_default(&mut self, remember: bool) -> Result<(), Failure> {
        self.change(|content| {
            content.remember = remember;
            true
        })
        .map(drop)
    }

    /// Remembers a connection and forgets the previous one of its directory.
    pub(super) fn add(&mut self, connection: RememberedConnection) -> Result<(), Failure> {
        self.change(|content| {
            content.connections.retain(|known| known.directory != connection.directory);
            content.connections.push(connection);
            true
        })
        .map(drop)
    }

    /// Forgets the connection of a directory. Returns false if none was remembered.
    pub(super) fn remove(&mut self, directory: &Path) -> Result<bool, Failure> {
        if self.path.is_none() {
            return Ok(false);
        }
        self.change(|content| {
            let before = content.connections.len();
            content.connections.retain(|known| known.directory != directory);
            content.connections.len() < before
        })
    }

    /// Reads the file again and changes it under a lock, so that changes by other commands since then are kept.
    /// `change` returns false if it changed nothing.
    fn change(&mut self, change: impl FnOnce(&mut Content) -> bool) -> Result<bool, Failure> {
        let Some(path) = &self.path else {
            return Err(Failure::Plain(
                "cannot remember the connection: neither XDG_STATE_HOME nor HOME is set".into(),
            ));
        };
        let failed = |error: io::Error| Failure::Plain(format!("cannot write {}: {error}", path.display()));
        let directory = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(failed)?;
        let lock = lock(&path.with_extension("lock")).map_err(failed)?;
        self.content = read(path)?;
        let changed = change(&mut self.content);
        if changed {
            write(path, directory, &self.content).map_err(failed)?;
        }
        drop(lock);
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Content, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Plain(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Content::default()),
        Err(error) => Err(Failure::Plain(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Replaces the file atomically. After a power loss it has the old or the new content.
fn write(path: &Path, directory: &Path, content: &Content) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// Waits for the lock, which is a file of its own because the other file is replaced. The lock ends when it is
/// dropped or when the process ends.
fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).write(true).truncate(false).open(path)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIME_MAX => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other(format!("{} is locked by another command", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// A command holds the lock while it writes a small file. A command that is suspended meanwhile must not block others
/// for ever.
const LOCK_TIME_MAX: Duration = Duration::from_secs(10);

/// The pause between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The path of `connections.json` in the user's state directory.
fn file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match variable("XDG_STATE_HOME") {
        Some(state) => state,
        None if setup::is_root() => PathBuf::from("/var/lib"),
        None => variable("HOME")?.join(".local").join("state"),
    };
    Some(base.join("shareward").join("connections.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(number: usize) -> RememberedConnection {
        RememberedConnection {
            directory: PathBuf::from(format!("/mnt/{number}")),
            target: ShareAddress { host: "nas".into(), port: 445, share: "data".into() },
            user: None,
            credentials: None,
            protocol: Protocol::Any,
            via: None,
            read_only: false,
            allow_others: false,
        }
    }

    #[test]
    fn concurrent_changes_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("connections.json");
        // All of them have read the file before any writes it.
        let commands: Vec<Remembered> = (0..8).map(|_| Remembered::of(Some(path.clone())).unwrap()).collect();
        std::thread::scope(|threads| {
            for (number, mut command) in commands.into_iter().enumerate() {
                threads.spawn(move || {
                    command.add(connection(number)).unwrap();
                    assert!(command.of_directory(&connection(number).directory).is_some());
                });
            }
        });
        let mut all = Remembered::of(Some(path.clone())).unwrap();
        assert_eq!(all.connections().len(), 8);
        let mut other = Remembered::of(Some(path.clone())).unwrap();
        other.set_default(true).unwrap();
        assert!(all.remove(Path::new("/mnt/3")).unwrap());
        assert!(!all.remove(Path::new("/mnt/3")).unwrap());
        let left = Remembered::of(Some(path)).unwrap();
        assert!(left.by_default() && left.connections().len() == 7);
    }
}
