//! The connections that are remembered, in a file: no passwords, but where one is.

use std::io;
use std::path::{Path, PathBuf};

use mount::{Target, Via};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::setup;

/// What is remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    /// None where there is no place for it.
    path: Option<PathBuf>,
    content: Content,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    /// Whether new connections are remembered.
    #[serde(default)]
    remember: bool,
    #[serde(default)]
    connections: Vec<Connection>,
}

/// A connection that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    pub(super) directory: PathBuf,
    pub(super) target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<Via>,
    #[serde(default)]
    pub(super) read_only: bool,
    #[serde(default)]
    pub(super) allow_others: bool,
}

impl Remembered {
    /// Reads the file; where there is none nothing is remembered.
    pub(super) fn load() -> Result<Self, Failure> {
        let Some(path) = file() else { return Ok(Self { path: None, content: Content::default() }) };
        let content = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Failure::Plain(format!("{}: {error}", path.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(Failure::Plain(format!("cannot read {}: {error}", path.display()))),
        };
        Ok(Self { path: Some(path), content })
    }

    /// Whether new connections are remembered.
    pub(super) fn by_default(&self) -> bool {
        self.content.remember
    }

    /// All of them.
    pub(super) fn connections(&self) -> &[Connection] {
        &self.content.connections
    }

    /// The one of a directory.
    pub(super) fn of_directory(&self, directory: &Path) -> Option<&Connection> {
        self.content.connections.iter().find(|connection| connection.directory == directory)
    }

    /// Says whether new connections are remembered.
    pub(super) fn set_default(&mut self, remember: bool) -> Result<(), Failure> {
        self.content.remember = remember;
        self.save()
    }

    /// Remembers a connection, instead of what the directory had.
    pub(super) fn add(&mut self, connection: Connection) -> Result<(), Failure> {
        self.content.connections.retain(|known| known.directory != connection.directory);
        self.content.connections.push(connection);
        self.save()
    }

    /// Forgets the connection of a directory: whether there was one.
    pub(super) fn remove(&mut self, directory: &Path) -> Result<bool, Failure> {
        let before = self.content.connections.len();
        self.content.connections.retain(|known| known.directory != directory);
        let removed = self.content.connections.len() < before;
        if removed {
            self.save()?;
        }
        Ok(removed)
    }

    fn save(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else {
            return Err(Failure::Plain(
                "there is no place to remember it: neither XDG_STATE_HOME nor HOME is set".into(),
            ));
        };
        let written = || -> io::Result<()> {
            let directory = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(directory)?;
            // Whoever reads it meanwhile sees the old one or the new one.
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer_pretty(&mut file, &self.content)?;
            file.persist(path)?;
            Ok(())
        };
        written().map_err(|error| Failure::Plain(format!("cannot write {}: {error}", path.display())))
    }
}

/// `connections.json` in the directory of what outlives a restart.
fn file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match variable("XDG_STATE_HOME") {
        Some(state) => state,
        None if setup::is_root() => PathBuf::from("/var/lib"),
        None => variable("HOME")?.join(".local").join("state"),
    };
    Some(base.join("shareward").join("connections.json"))
}
