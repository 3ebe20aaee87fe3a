//! Samba on this machine: smbstatus for the lists, smbcontrol to end connections, and MS-SRVS to close opens.
//!
//! smbstatus reads Samba's databases and needs root. Its JSON (from 4.17 on) omits every open if the name of one is not
//! UTF-8, and older versions have only text; both are read and joined.

mod join;
mod json;
mod status;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use control::{CloseFile, Connection, Ended, OpenFile, Session, Timestamp, number};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use wire::FoldedName;

use super::reader::{Found, Reader};
use super::source::{Finished, Source};
use super::{LocalServer, Make, denied, not_started};
use crate::limits::END_LOOKS;
use crate::remote::{Remote, ServerAddress};
use crate::smb::LogonCredentials;
use crate::srvs::{ENDS_CONNECTIONS, unsupported};
use crate::{Error, SrvsClient};
use join::{Joined, Shares};
use status::{DISCONNECTED, Status};

/// The Samba of this machine.
#[derive(Debug)]
pub(super) struct Samba<S> {
    source: S,
    /// The configuration file, if it is not the usual one.
    configuration: Option<PathBuf>,
    /// The logon with which opens are closed.
    logon: Option<LogonCredentials>,
    /// The directories of the shares, as of the first list that needed them.
    shares: OnceCell<Shares>,
    /// The sessions that end with each session, as of the last list.
    companions: Mutex<BTreeMap<u32, BTreeSet<u32>>>,
}

impl<S: Source> Samba<S> {
    /// The server that `source` shows.
    pub(super) fn new(source: S, configuration: Option<PathBuf>, logon: Option<LogonCredentials>) -> Self {
        Self { source, configuration, logon, shares: OnceCell::new(), companions: Mutex::default() }
    }

    /// Runs one of Samba's programs with the server's configuration.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<Finished, Error> {
        let mut all: Vec<&OsStr> = Vec::new();
        if let Some(configuration) = &self.configuration {
            all.extend([OsStr::new("-s"), configuration.as_os_str()]);
        }
        all.extend(arguments.iter().map(OsStr::new));
        self.finished(program, self.source.run(program, &all).await)
    }

    fn finished(&self, program: &str, outcome: io::Result<Finished>) -> Result<Finished, Error> {
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                not_started(format!("{program} is not installed, so Samba cannot be asked (package samba)"))
            }
            io::ErrorKind::TimedOut => Error::TimedOut,
            io::ErrorKind::PermissionDenied => denied(format!("samba: this user may not run {program}")),
            _ => Error::Nonsense(format!("samba: {program}: {error}")),
        })
    }

    /// The report of smbstatus: its JSON, and what only the text has.
    async fn status(&self) -> Result<Status, Error> {
        // A configuration that is missing is an empty one for smbstatus.
        if let Some(configuration) = self.configuration.as_deref().filter(|it| !it.is_file()) {
            return Err(not_started(format!("{} does not exist", configuration.display())));
        }
        let mut report = self.run("smbstatus", &["--json", "--byterange", "--resolve-uids"]).await?;
        refuse_without_root(&report)?;
        if is_usage(&report) {
            report = self.run("smbstatus", &["--json"]).await?;
        }
        let is_partial = report.messages.contains("json_");
        match json::parse(&report.output) {
            Some(status) if !is_partial => Ok(status),
            Some(mut status) => {
                let text = self.text().await?;
                let known: BTreeSet<(u64, String, String)> = status
                    .opens
                    .iter()
                    .map(|it| (it.process, it.directory.clone(), it.name.clone()))
                    .collect();
                let is_new = |it: &status::OpenRow| {
                    !known.contains(&(it.process, it.directory.clone(), it.name.clone()))
                };
                status.opens.extend(text.opens.into_iter().filter(is_new));
                // The locks of the omitted opens are omitted, too.
                status.locks = None;
                Ok(status)
            }
            None => self.text().await,
        }
    }

    async fn text(&self) -> Result<Status, Error> {
        let report = self.run("smbstatus", &[]).await?;
        refuse_without_root(&report)?;
        let status = text::parse(&report.output);
        if status.version.is_none() {
            let told = report.messages.lines().next().unwrap_or("smbstatus printed no report");
            return Err(Error::Nonsense(format!("samba: {told}")));
        }
        Ok(status)
    }

    /// The shares' directories, if a list needs them to tell which share an open is on.
    async fn shares(&self, status: &Status) -> &Shares {
        static NONE: Shares = BTreeMap::new();
        let mut connected: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for tree in status.trees.iter().filter(|tree| !wire::eq_ignore_case(&tree.share, "IPC$")) {
            connected.entry(tree.process).or_default().insert(&tree.share);
        }
        let is_clear =
            |open: &status::OpenRow| connected.get(&open.process).is_some_and(|shares| shares.len() == 1);
        if status.opens.iter().all(is_clear) {
            return &NONE;
        }
        // Without them, the shares of these opens stay unknown.
        self.shares.get_or_init(async || self.configured_shares().await.unwrap_or_default()).await
    }

    async fn configured_shares(&self) -> Result<Shares, Error> {
        let report = self.testparm(&[]).await?;
        Ok(shares_of(&String::from_utf8_lossy(&report.output)))
    }

    async fn testparm(&self, options: &[&str]) -> Result<Finished, Error> {
        let mut all: Vec<&OsStr> = ["-s"].iter().chain(options).map(OsStr::new).collect();
        all.extend(self.configuration.as_deref().map(Path::as_os_str));
        self.finished("testparm", self.source.run("testparm", &all).await)
    }

    /// The port of the server.
    async fn port(&self) -> Result<u16, Error> {
        let report = self.testparm(&["--parameter-name=smb ports"]).await?;
        let output = String::from_utf8_lossy(&report.output);
        let ports = output.split(|it: char| !it.is_ascii_digit()).filter_map(|word| word.parse().ok());
        Ok(ports.into_iter().next().unwrap_or(SMB_PORT))
    }

    /// The process of a session, with the numbers of sessions and opens that end with it.
    async fn process_of(&self, session: &Session) -> Result<(u64, u32, u32), Error> {
        let status = self.status().await?;
        let row = status.sessions.iter().find(|row| match session.id {
            Some(id) => row.id == Some(id),
            None => row.user == session.user && row.machine == session.computer,
        });
        let process = row.map(|row| row.process).ok_or_else(no_session)?;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sessions = status.sessions.iter().filter(|row| row.process == process).count();
        let opens = status.opens.iter().filter(|row| row.process == process).count();
        Ok((process, count(sessions), count(opens)))
    }

    /// Refuses to end a process that is not the server of one client: smbd can run as a single process.
    fn check_child(&self, process: u64) -> Result<(), Error> {
        let name = |process: &str, file: &str| {
            let bytes = self.source.read(&PathBuf::from(format!("/proc/{process}/{file}"))).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let status = name(&process.to_string(), "status").ok_or_else(no_session)?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
        let comm = parent.and_then(|parent| name(parent, "comm"));
        match comm.as_deref().map(str::trim_end) {
            Some("smbd") => Ok(()),
            _ => Err(unsupported(format!(
                "process {process} is not the child of an smbd, so ending it could end the whole server"
            ))),
        }
    }
}

impl<S: Source> Reader for Samba<S> {
    const MAKE: Make = Make::Samba;
    const HAS_PATHS: bool = true;

    async fn version(&self) -> Result<String, Error> {
        let version = self.status().await?.version;
        Ok(version.map(|version| format!("Samba {version}")).unwrap_or_default())
    }

    async fn sessions(&self) -> Result<Vec<Session>, Error> {
        let status = self.status().await?;
        let mut of_process: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        for row in &status.sessions {
            of_process.entry(row.process).or_default().extend(row.id);
        }
        let companions = of_process.into_values().flat_map(|all| {
            let each: Vec<u32> = all.iter().copied().collect();
            each.into_iter().map(move |id| (id, all.clone())).collect::<Vec<_>>()
        });
        *self.companions.lock() = companions.collect();
        let shares = self.shares(&status).await;
        Ok(Joined::new(&status, shares).sessions(Timestamp::now()))
    }

    async fn files(&self) -> Result<Vec<Found>, Error> {
        let status = self.status().await?;
        let shares = self.shares(&status).await;
        Ok(Joined::new(&status, shares).files())
    }

    async fn connections(&self) -> Result<Vec<Connection>, Error> {
        let status = self.status().await?;
        Ok(Joined::new(&status, &Shares::new()).connections(Timestamp::now()))
    }

    /// Without session ids nobody knows how many sessions a process has.
    fn ending_warning(&self, sessions: &[Session]) -> Option<&'static str> {
        let companions = self.companions.lock();
        let ids: BTreeSet<u32> = sessions.iter().filter_map(|session| session.id).collect();
        let is_alone = |session: &Session| {
            let with = session.id.and_then(|id| companions.get(&id));
            with.is_some_and(|with| with.is_subset(&ids))
        };
        (!sessions.iter().all(is_alone)).then_some(ENDS_CONNECTIONS)
    }

    /// Ends the process of the session, which is how Samba ends one over MS-SRVS, too.
    async fn end(&self, session: &Session) -> Result<Ended, Error> {
        let (process, sessions, files) = self.process_of(session).await?;
        if process == 0 || process == DISCONNECTED {
            return Err(Error::Nonsense(String::from("samba: a session without a process")));
        }
        self.check_child(process)?;
        let report = self.run("smbcontrol", &[&process.to_string(), "shutdown"]).await?;
        if !report.success {
            let told = report.messages.lines().next().unwrap_or("smbcontrol failed").to_owned();
            return Err(unsupported(format!("process {process} of Samba was not reached: {told}")));
        }
        for wait in END_LOOKS {
            tokio::time::sleep(wait).await;
            match self.process_of(session).await {
                Err(error) if error.number() == number::CLIENT_NAME_NOT_FOUND => {
                    return Ok(Ended { sessions, files, outcome: None });
                }
                Err(error) => return Err(error),
                Ok((now, ..)) if now != process => return Ok(Ended { sessions, files, outcome: None }),
                Ok(_) => {}
            }
        }
        let error = control::Error::new(number::BUSY, "The requested resource is in use.");
        Err(error.with_hint(format!("process {process} of Samba has not ended after its shutdown")).into())
    }

    /// Samba closes an open only over MS-SRVS, for an administrator who is logged on.
    async fn close(&self, file: &OpenFile, how: &CloseFile) -> Result<Ended, Error> {
        if how.grace.is_some_and(|seconds| seconds > 0) {
            return Err(unsupported(String::from("Samba closes at once and gives its clients no time")));
        }
        let Some(logon) = &self.logon else {
            return Err(denied(format!(
                "Samba closes a file only for an administrator who logs on to it: 'net file {} /close --server {} --login \
                 USER', for example as root; or end the whole session: 'net session --id {} /delete'",
                file.id,
                LocalServer { make: Make::Samba, place: self.configuration.clone() },
                file.session_id.map_or_else(|| String::from("ID"), |id| id.to_string())
            )));
        };
        let is_numbered = |status: &Status| {
            status.opens.iter().any(|open| open.number.is_some() && join::id(open) == file.id)
        };
        if !is_numbered(&self.status().await?) {
            return Err(unsupported(String::from(
                "smbstatus reports no number of this open, because its JSON cannot have names that are not UTF-8",
            )));
        }
        let place: ServerAddress = format!("127.0.0.1:{}", self.port().await?)
            .parse()
            .map_err(|_not_one| Error::Nonsense(String::from("samba: the port of the server")))?;
        let administration = SrvsClient::new(Remote::new(place, logon.clone()));
        let closed = administration.request_close(file.id).await;
        administration.rpc().log_off().await;
        closed.map_err(explained)?;
        for wait in END_LOOKS {
            tokio::time::sleep(wait).await;
            if !is_numbered(&self.status().await?) {
                return Ok(Ended { files: 1, ..Ended::default() });
            }
        }
        let error = control::Error::new(number::BUSY, "The requested resource is in use.");
        Err(error.with_hint("Samba has not closed the file, although it did not refuse to").into())
    }
}

/// Adds whom Samba lets close files.
fn explained(error: Error) -> Error {
    if error.number() != number::ACCESS_DENIED {
        return error;
    }
    denied(
        "Samba lets only root, members of Domain Admins and users with the privilege SeDiskOperatorPrivilege close \
         files; '--login USER' names one of them",
    )
}

fn refuse_without_root(report: &Finished) -> Result<(), Error> {
    if report.messages.contains("only works as root") {
        return Err(denied("samba: smbstatus works only as root; run the command as root"));
    }
    Ok(())
}

/// True if smbstatus did not understand an option.
fn is_usage(report: &Finished) -> bool {
    !report.success
        && (report.messages.contains("nvalid option") || report.messages.contains("unknown option"))
}

/// The directories of the shares in the output of `testparm -s`. A path with variables stands for several.
fn shares_of(text: &str) -> Shares {
    let mut shares = Shares::new();
    let mut name: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name = Some(section);
        } else if let Some((key, path)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case("path")
            && let Some(name) = name
            && !path.contains('%')
        {
            shares.insert(FoldedName::new(name), (name.to_owned(), path.trim().trim_matches('"').to_owned()));
        }
    }
    shares
}

fn no_session() -> Error {
    control::Error::new(number::CLIENT_NAME_NOT_FOUND, "A session does not exist with that computer name.")
        .into()
}

/// The port of SMB.
const SMB_PORT: u16 = 445;
