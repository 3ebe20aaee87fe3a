//! The kernel's SMB server, ksmbd, through /proc/fs/ksmbd (Linux 7.0): `sessions/ID` for each session, and `files`.
//!
//! There are two forms of these files: the first kernels write tables and columns, later ones a line for each field.

mod parse;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use control::{CloseFile, Connection, Ended, OpenFile, Session, ShareKind};

use super::reader::{Found, Reader};
use super::source::Source;
use super::{Make, not_started, unreadable};
use crate::Error;
use crate::srvs::unsupported;
use parse::SessionText;

/// The server's directory.
pub(super) const DIRECTORY: &str = "/proc/fs/ksmbd";

/// The ksmbd of this machine, or a copy of its directory.
#[derive(Debug)]
pub(super) struct Ksmbd<S> {
    source: S,
    base: PathBuf,
    /// The kernel's release, if the directory is that of the running one.
    release: Option<String>,
}

impl<S: Source> Ksmbd<S> {
    /// The server that `source` shows, in [`DIRECTORY`] or in `place`.
    pub(super) fn new(source: S, place: Option<PathBuf>) -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self {
            source,
            release: place.is_none().then_some(release),
            base: place.unwrap_or_else(|| DIRECTORY.into()),
        }
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        let path = self.base.join(name);
        match self.source.read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_there(&path)),
            Err(error) => Err(unreadable(Make::Ksmbd, &path, &error)),
        }
    }

    /// The sessions with their ids. One may end between the list and its file.
    fn all(&self) -> Result<Vec<SessionText>, Error> {
        let directory = self.base.join("sessions");
        let names = match self.source.names(&directory) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_there(&directory)),
            Err(error) => return Err(unreadable(Make::Ksmbd, &directory, &error)),
        };
        let mut sessions = Vec::new();
        for name in names.iter().filter(|name| name.parse::<u64>().is_ok()) {
            let path = directory.join(name);
            match self.source.read(&path) {
                Ok(bytes) => sessions.push(SessionText::parse(name, &String::from_utf8_lossy(&bytes))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(Make::Ksmbd, &path, &error)),
            }
        }
        Ok(sessions)
    }
}

impl<S: Source> Reader for Ksmbd<S> {
    const MAKE: Make = Make::Ksmbd;
    const HAS_PATHS: bool = false;

    async fn version(&self) -> Result<String, Error> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Ok(format!("Linux {release}"))
    }

    async fn sessions(&self) -> Result<Vec<Session>, Error> {
        Ok(self.all()?.iter().map(SessionText::session).collect())
    }

    async fn files(&self) -> Result<Vec<Found>, Error> {
        if self.release.as_deref().is_some_and(crashes_on_files) {
            return Err(unsupported(String::from(
                "this kernel may crash when /proc/fs/ksmbd/files is read (CVE-2026-64140), so it is not read; Linux \
                 7.0.11 is repaired",
            )));
        }
        let sessions = self.all()?;
        let files = parse::files(&self.text("files")?);
        Ok(files.iter().map(|file| file.found(&sessions)).collect())
    }

    async fn connections(&self) -> Result<Vec<Connection>, Error> {
        let mut connections = Vec::new();
        for session in self.all()? {
            let shown = session.session();
            for share in &session.shares {
                connections.push(Connection {
                    id: share.tree,
                    share: share.name.clone(),
                    kind: if share.is_pipe { ShareKind::Ipc } else { ShareKind::Disk },
                    user: shown.user.clone(),
                    computer: Some(shown.computer.clone()).filter(|it| !it.is_empty()),
                    session_id: shown.id,
                    ..Connection::default()
                });
            }
        }
        Ok(connections)
    }

    async fn end(&self, _session: &Session) -> Result<Ended, Error> {
        Err(unsupported(String::from(
            "ksmbd ends no sessions; as root, 'ss -K dst ADDRESS sport = :445' cuts the connections of a computer",
        )))
    }

    async fn close(&self, _file: &OpenFile, _how: &CloseFile) -> Result<Ended, Error> {
        Err(unsupported(String::from("ksmbd closes no files for an administrator")))
    }
}

/// True if reading `files` can crash a kernel of this release: 7.0 before 7.0.11. A distribution may have repaired its
/// own, which the release does not show.
fn crashes_on_files(release: &str) -> bool {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    match (next(), next()) {
        (Some(7), Some(0)) => next().is_none_or(|patch| patch < 11),
        _ => false,
    }
}

fn not_there(path: &Path) -> Error {
    not_started(format!(
        "{} does not exist: ksmbd does not run, or it is older than Linux 7.0, which shows nothing",
        path.display()
    ))
}
