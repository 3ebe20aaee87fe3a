//! The kernel's NFS server, through /proc/fs/nfsd/clients (nfsd(7), Linux 5.3).
//!
//! A directory of it is an NFSv4 client: `info` describes it, `states` lists its opens, locks, delegations and layouts,
//! and `ctl` takes `expire`. NFSv3 has no opens, so its clients are not there.

mod parse;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use control::{CloseFile, Ended, Session, number};

use super::reader::{Found, Reader};
use super::source::Source;
use super::{Make, not_started, unreadable};
use crate::Error;
use crate::limits::{END_LOOKS, LIST_ENTRIES_MAX};
use crate::srvs::unsupported;
use parse::{Client, State};

/// The server's directory.
pub(super) const DIRECTORY: &str = "/proc/fs/nfsd";

/// The NFS server of this machine, or a copy of its directory.
#[derive(Debug)]
pub(super) struct Nfs<S> {
    source: S,
    base: PathBuf,
}

impl<S: Source> Nfs<S> {
    /// The server that `source` shows, in [`DIRECTORY`] or in `place`.
    pub(super) fn new(source: S, place: Option<PathBuf>) -> Self {
        Self { source, base: place.unwrap_or_else(|| DIRECTORY.into()) }
    }

    fn clients_directory(&self) -> PathBuf {
        self.base.join("clients")
    }

    /// The clients, by the numbers of their directories.
    fn clients(&self) -> Result<Vec<(u32, Client)>, Error> {
        let directory = self.clients_directory();
        let names = match self.source.names(&directory) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_started(format!(
                    "{} does not exist: the kernel's NFS server does not run, or it is older than Linux 5.3",
                    directory.display()
                )));
            }
            Err(error) => return Err(unreadable(Make::Nfs, &directory, &error)),
        };
        let mut clients = Vec::new();
        for number in names.iter().filter_map(|name| name.parse().ok()) {
            if let Some(text) = self.text_of(number, "info")? {
                clients.push((number, Client::parse(&text)));
            }
        }
        clients.sort_by_key(|(number, _)| *number);
        Ok(clients)
    }

    /// A file of a client; `None` if the client has gone.
    fn text_of(&self, number: u32, name: &str) -> Result<Option<String>, Error> {
        let path = self.clients_directory().join(number.to_string()).join(name);
        match self.source.read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if has_gone(&error) => Ok(None),
            Err(error) => Err(unreadable(Make::Nfs, &path, &error)),
        }
    }

    fn states(&self, number: u32) -> Result<Option<Vec<State>>, Error> {
        Ok(self.text_of(number, "states")?.map(|text| parse::states(&text)))
    }

    fn exists(&self, number: u32) -> bool {
        let names = self.source.names(&self.clients_directory()).unwrap_or_default();
        names.iter().any(|name| name.parse() == Ok(number))
    }
}

impl<S: Source> Reader for Nfs<S> {
    const MAKE: Make = Make::Nfs;
    const HAS_PATHS: bool = false;

    async fn version(&self) -> Result<String, Error> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Ok(format!("Linux {release}"))
    }

    async fn sessions(&self) -> Result<Vec<Session>, Error> {
        let mut sessions = Vec::new();
        for (number, client) in self.clients()? {
            if let Some(states) = self.states(number)? {
                sessions.push(client.session(number, &states));
            }
        }
        Ok(sessions)
    }

    async fn files(&self) -> Result<Vec<Found>, Error> {
        let mut files = Vec::new();
        for (number, client) in self.clients()? {
            let states = self.states(number)?.unwrap_or_default();
            files.extend(client.opens(number, &states));
            if files.len() > LIST_ENTRIES_MAX {
                return Err(Error::Nonsense("nfs: the list of opens does not end".into()));
            }
        }
        Ok(files)
    }

    /// Expires the client: its opens, locks and delegations end. The kernel answers when they have ended.
    async fn end(&self, session: &Session) -> Result<Ended, Error> {
        let number = session.id.ok_or_else(|| Error::Nonsense("nfs: a session without an id".into()))?;
        let path = self.clients_directory().join(number.to_string()).join("ctl");
        match self.source.write(&path, b"expire\n") {
            Ok(()) => {}
            Err(error) if has_gone(&error) => return Err(no_session()),
            Err(error) => return Err(unwritable(&path, &error)),
        }
        for wait in END_LOOKS {
            tokio::time::sleep(wait).await;
            if !self.exists(number) {
                return Ok(Ended { sessions: 1, files: session.opens.unwrap_or(0), outcome: None });
            }
        }
        let error = control::Error::new(number::BUSY, "The requested resource is in use.");
        Err(error.with_hint(format!("the NFS server still has the client {number} after 'expire'")).into())
    }

    async fn close(&self, _file: &control::OpenFile, _how: &CloseFile) -> Result<Ended, Error> {
        Err(unsupported(String::from(
            "the kernel's NFS server closes no single file; 'net session --id ID /delete --server nfs:' ends all state \
             of a client ('net file ID /verbose' shows its id)",
        )))
    }
}

/// True if a client's directory has gone while it was read.
fn has_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENXIO)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return super::denied(format!("nfs: only root may end clients ({})", path.display()));
    }
    Error::Nonsense(format!("nfs: cannot write to {}: {error}", path.display()))
}

fn no_session() -> Error {
    control::Error::new(number::CLIENT_NAME_NOT_FOUND, "A session does not exist with that computer name.")
        .into()
}

/// The kernel's answer for a client that has ended.
const ENXIO: i32 = 6;
