//! The administration of one server of this machine, from what its reader reports.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::{
    CloseFile, Connection, ConnectionQuery, Ended, FileQuery, OpenFile, Refusal, RefusalQuery, ServerInfo,
    Session, SessionQuery, Share, Timestamp, Who, WhoQuery, limits, number,
};
use tokio::time::{Instant, sleep};

use super::reader::{Found, Reader};
use crate::limits::{LOOK_AGAIN, TREE_ENTRIES_MAX};
use crate::srvs::unsupported;
use crate::srvs::who::QueriedPath;
use crate::{Administration, Answer, Error};

/// One server of this machine.
#[derive(Debug)]
pub(crate) struct LocalClient<R> {
    reader: R,
}

impl<R: Reader> LocalClient<R> {
    /// The server that `reader` reads.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader }
    }

    async fn session_list(&self, query: &SessionQuery) -> Result<Vec<Session>, Error> {
        refuse_mine(query.mine)?;
        let mut sessions = self.reader.sessions().await?;
        let know = |asked, is_known: fn(&Session) -> bool, what| {
            check_known::<R, _>(asked, &sessions, is_known, what)
        };
        know(query.user.is_some(), |it| is_user_known(&it.user, it.anonymous), "the users of sessions")?;
        know(query.share.is_some(), |it| it.shares.is_some(), "the shares of sessions")?;
        know(query.idle.is_some(), |it| it.idle_seconds.is_some(), "the idle times of sessions")?;
        know(query.age.is_some(), |it| it.active_seconds.is_some(), "the ages of sessions")?;
        sessions.retain(|session| query.matches(session));
        for session in &mut sessions {
            session.make = Some(R::MAKE.word());
        }
        sessions.sort_by(|a, b| (a.id, &a.computer, &a.user).cmp(&(b.id, &b.computer, &b.user)));
        Ok(sessions)
    }

    async fn found(&self) -> Result<Vec<Found>, Error> {
        let mut found = self.reader.files().await?;
        for it in &mut found {
            it.file.make = Some(R::MAKE.word());
        }
        found.sort_by_key(|it| it.file.id);
        Ok(found)
    }

    async fn file_list(&self, query: &FileQuery) -> Result<Vec<OpenFile>, Error> {
        refuse_mine(query.mine)?;
        let mut files: Vec<OpenFile> = self.found().await?.into_iter().map(|it| it.file).collect();
        let know =
            |asked, is_known: fn(&OpenFile) -> bool, what| check_known::<R, _>(asked, &files, is_known, what);
        know(query.user.is_some(), |it| !it.user.is_empty(), "the users of opens")?;
        know(query.client.is_some(), |it| it.computer.is_some(), "the computers of opens")?;
        know(query.share.is_some(), |it| it.share.is_some(), "the shares of opens")?;
        know(query.session.is_some(), |it| it.session_id.is_some(), "the sessions of opens")?;
        know(query.idle.is_some(), |it| it.idle_seconds.is_some(), "the idle times of opens")?;
        know(query.age.is_some(), |it| it.opened_at.is_some(), "the open times of opens")?;
        know(query.locked.is_some(), |it| it.locks.is_some(), "the locks of opens")?;
        know(query.writing.is_some(), |it| it.permissions.is_some(), "the access of opens")?;
        know(
            query.waiting.is_some(),
            |it| it.waits_until.is_some(),
            "the opens that wait for their clients",
        )?;
        let now = Timestamp::now();
        files.retain(|file| query.matches(file, now));
        Ok(files)
    }

    /// The only open with this id.
    async fn file_of_id(&self, id: u32) -> Result<OpenFile, Error> {
        let found = self.found().await?;
        let mut same = found.into_iter().map(|it| it.file).filter(|file| file.id == id);
        let file = same.next().ok_or_else(no_file)?;
        match same.next() {
            None => Ok(file),
            Some(_) => Err(unsupported(format!(
                "several opens of {} have the id {id}, so this one cannot be told from the others",
                R::MAKE
            ))),
        }
    }

    async fn holders(&self, query: &WhoQuery) -> Result<Who, Error> {
        let queried = QueriedPath::of(query);
        let wait = Duration::from_secs(query.wait.unwrap_or(0).min(limits::WAIT_MAX).into());
        let deadline = Instant::now() + wait;
        loop {
            let found = self.found().await?;
            let holders = held::<R>(&queried, query, found)?;
            if holders.is_empty() || Instant::now() + LOOK_AGAIN > deadline {
                let (share, path) = match queried {
                    QueriedPath::Below { share, path } => (Some(share), path),
                    QueriedPath::OnDisk(_) => (None, query.path.clone()),
                };
                return Ok(Who { share, path, holders, ..Who::default() });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// The opens of the queried path or below it.
fn held<R: Reader>(
    queried: &QueriedPath,
    query: &WhoQuery,
    found: Vec<Found>,
) -> Result<Vec<OpenFile>, Error> {
    let disk = match queried {
        QueriedPath::OnDisk(_) => Some(OnDisk::new(Path::new(&query.path))),
        QueriedPath::Below { .. } => None,
    };
    if let Some(disk) = &disk
        && !R::HAS_PATHS
    {
        return held_by_inode_or_name::<R>(disk, found);
    }
    let is_partial = found.iter().any(|it| !queried.is_comparable(&it.file));
    let holders: Vec<OpenFile> = found
        .into_iter()
        .filter(|it| queried.has(&it.file) || disk.as_ref().is_some_and(|disk| disk.has(it, queried)))
        .map(|it| it.file)
        .collect();
    if holders.is_empty() && is_partial {
        return Err(unsupported(format!(
            "{} does not report the share of every open: it is unknown if anybody has it open; \
             give a path on this machine",
            R::MAKE
        )));
    }
    Ok(holders)
}

/// The opens of a path on a server that reports inodes or names only.
fn held_by_inode_or_name<R: Reader>(disk: &OnDisk, found: Vec<Found>) -> Result<Vec<OpenFile>, Error> {
    if found.iter().all(|it| it.inode.is_some()) {
        let below = if disk.is_directory { inodes_below(&disk.path)? } else { disk.inodes.clone() };
        return Ok(found.into_iter().filter(|it| below.has(it)).map(|it| it.file).collect());
    }
    let name = disk.path.file_name().unwrap_or_default().to_string_lossy();
    let is_named =
        |it: &Found| it.file.path.rsplit('\\').next().is_some_and(|last| wire::eq_ignore_case(last, &name));
    let is_there = if disk.is_directory { !found.is_empty() } else { found.iter().any(is_named) };
    match (is_there, disk.is_directory) {
        (false, _) => Ok(Vec::new()),
        (true, true) => Err(unsupported(format!(
            "{} reports names without directories: it is unknown if anything is open below this one",
            R::MAKE
        ))),
        (true, false) => Err(unsupported(format!(
            "{} reports names without directories, and an open file has this name: it is unknown if it is this one; \
             'net file --path NAME' shows it",
            R::MAKE
        ))),
    }
}

/// A path of this machine.
struct OnDisk {
    path: PathBuf,
    is_directory: bool,
    inodes: Inodes,
}

impl OnDisk {
    fn new(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            path: path.to_owned(),
            is_directory: metadata.as_ref().is_some_and(fs::Metadata::is_dir),
            inodes: Inodes(metadata.iter().map(|it| (it.ino(), it.dev(), name.clone())).collect()),
        }
    }

    /// True if the open is of this file, or below it by the path without symbolic links.
    fn has(&self, it: &Found, queried: &QueriedPath) -> bool {
        let real = it.real_path.as_ref().is_some_and(|real| {
            queried.has(&OpenFile { server_path: Some(real.clone()), ..OpenFile::default() })
        });
        real || self.inodes.has(it)
    }
}

/// Files, by inode, device and name.
#[derive(Clone, Default)]
struct Inodes(HashSet<(u64, u64, String)>);

impl Inodes {
    /// True if the open is of one of the files. A file system of several parts, like btrfs, has another device for the
    /// server than for programs; there, the name decides.
    fn has(&self, it: &Found) -> bool {
        let Self(inodes) = self;
        let Some((device, inode)) = it.inode else { return false };
        let last = it.file.path.rsplit('\\').next().unwrap_or_default();
        inodes
            .iter()
            .any(|(known, of, name)| *known == inode && (*of == device || (!last.is_empty() && name == last)))
    }
}

/// The files below a directory, without following symbolic links.
fn inodes_below(directory: &Path) -> Result<Inodes, Error> {
    let mut inodes = OnDisk::new(directory).inodes;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            inodes.0.insert((metadata.ino(), metadata.dev(), name));
            if inodes.0.len() > TREE_ENTRIES_MAX {
                return Err(unsupported(format!(
                    "this server reports only the inodes of files, and more than {TREE_ENTRIES_MAX} files are below \
                     this directory; ask for a smaller one"
                )));
            }
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(inodes)
}

/// Refuses a filter on information that no entry has: an empty list would suggest that nothing matches.
fn check_known<R: Reader, T>(
    asked: bool,
    entries: &[T],
    is_known: fn(&T) -> bool,
    what: &str,
) -> Result<(), Error> {
    if asked && !entries.is_empty() && !entries.iter().any(is_known) {
        return Err(unsupported(format!("{} does not report {what}", R::MAKE)));
    }
    Ok(())
}

fn is_user_known(user: &str, anonymous: Option<bool>) -> bool {
    !user.is_empty() || anonymous == Some(true)
}

/// Only root can use most of these servers' lists, and root is no user of theirs.
fn refuse_mine(mine: Option<bool>) -> Result<(), Error> {
    match mine {
        Some(true) => Err(unsupported(String::from(
            "on a server of another make, it is not known which entries are yours; use --user NAME",
        ))),
        _ => Ok(()),
    }
}

fn no_file() -> Error {
    let message = "There is not an open file with that identification number.";
    control::Error::new(number::FILE_ID_NOT_FOUND, message).into()
}

impl<R: Reader> Administration for LocalClient<R> {
    fn server(&self) -> Answer<'_, ServerInfo> {
        Box::pin(async {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let version = self.reader.version().await?;
            Ok(ServerInfo {
                version,
                ..ServerInfo::new(name.split('.').next().unwrap_or_default().to_owned())
            })
        })
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Answer<'a, Vec<Session>> {
        Box::pin(self.session_list(query))
    }

    fn end_session<'a>(&'a self, session: &'a Session) -> Answer<'a, Ended> {
        Box::pin(self.reader.end(session))
    }

    fn ending_warning(&self, sessions: &[Session]) -> Option<&'static str> {
        self.reader.ending_warning(sessions)
    }

    fn files<'a>(&'a self, query: &'a FileQuery) -> Answer<'a, Vec<OpenFile>> {
        Box::pin(self.file_list(query))
    }

    fn file(&self, id: u32) -> Answer<'_, OpenFile> {
        Box::pin(self.file_of_id(id))
    }

    fn close_file<'a>(&'a self, id: u32, how: &'a CloseFile) -> Answer<'a, Ended> {
        Box::pin(async move {
            let file = self.file_of_id(id).await?;
            if !how.expects(&file) {
                return Err(no_file());
            }
            self.reader.close(&file, how).await
        })
    }

    fn who<'a>(&'a self, query: &'a WhoQuery) -> Answer<'a, Who> {
        Box::pin(self.holders(query))
    }

    fn shares(&self) -> Answer<'_, Vec<Share>> {
        Box::pin(async { Err(unsupported(format!("{} is not asked for its shares", R::MAKE))) })
    }

    fn connections<'a>(&'a self, query: &'a ConnectionQuery) -> Answer<'a, Vec<Connection>> {
        Box::pin(async move {
            let mut connections = self.reader.connections().await?;
            connections.retain(|it| query.matches(it));
            connections.sort_by_key(|it| it.id);
            Ok(connections)
        })
    }

    fn refusals<'a>(&'a self, _query: &'a RefusalQuery) -> Answer<'a, Vec<Refusal>> {
        Box::pin(async { Err(unsupported(format!("{} does not report refusals", R::MAKE))) })
    }
}
