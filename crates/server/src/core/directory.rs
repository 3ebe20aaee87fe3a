//! The directories of shares, which are opened for each tree connect and kept open while a client uses them.
//!
//! If a disk is mounted on a share's directory, or the directory is deleted and created again, the next tree connect
//! gets the new one; earlier ones keep the previous one until they end. Without tree connects, nothing is open, so a
//! disk can be unmounted. If a directory does not exist, only its own clients are refused.
//!
//! An open of a directory may hang. It is done behind the share's bulkhead, on a thread that no other work needs, one
//! at a time for each share, and with a limited wait.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use registry::FileKey;
use sandbox::Reach;
use tokio::sync::OwnedMutexGuard;
use vfs::local::{LocalBackend, LocalOptions};
use vfs::{Backend, Gate, GatedBackend};

use crate::core::bulkhead::Bulkhead;
use crate::core::config::ShareSettings;
use crate::core::configuration::OpenShare;
use crate::core::limits;
use crate::core::path_variables::{Variables, expanded, has_variables, trusted_part};
use crate::core::start_error::StartError;

/// The directory of a share.
pub(crate) struct Directory {
    /// The settings that the open depends on: the name, which is the label, the path, and the options for links,
    /// streams, names, changes and modes.
    share: ShareSettings,
    open: Arc<OpenShare>,
    bulkhead: Arc<Bulkhead>,
    /// The directories that the sandbox leaves to the server.
    reach: Reach,
    /// The permission to use the files of a share of the cluster. `None` for shares of the server's own.
    gate: Option<Gate>,
    /// Locked while the directory is being opened.
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
    /// The directories in use of a share whose path has variables.
    by_path: Mutex<HashMap<PathBuf, Weak<Directory>>>,
}

#[derive(Default)]
struct State {
    /// The files that the last tree connect got.
    files: Weak<Files>,
    /// The reason why the directory is not available, as far as is known.
    away: Option<String>,
}

/// The directory of a share at the time of a tree connect.
pub(crate) struct Files {
    /// Present until this is dropped.
    backend: Option<Arc<dyn Backend>>,
    root: FileKey,
    /// The path of the directory.
    path: PathBuf,
    /// Keeps the directory of a path with variables known while it is used.
    of: Arc<Directory>,
    bulkhead: Arc<Bulkhead>,
}

impl Directory {
    /// Creates a directory that has not been opened yet.
    pub(crate) fn new(
        share: &ShareSettings,
        open: &Arc<OpenShare>,
        bulkhead: &Arc<Bulkhead>,
        reach: &Reach,
        gate: Option<Gate>,
    ) -> Arc<Self> {
        Arc::new(Self {
            share: share.clone(),
            open: Arc::clone(open),
            bulkhead: Arc::clone(bulkhead),
            reach: reach.clone(),
            gate,
            turn: Arc::default(),
            state: Mutex::default(),
            by_path: Mutex::default(),
        })
    }

    /// True if a share with these settings has the same directory.
    pub(crate) fn is_of(&self, settings: &ShareSettings) -> bool {
        let opened_with = |share: &ShareSettings| {
            let how = (share.follow_symlinks, share.streams, share.unicode_forms, share.read_only);
            (share.path.clone(), share.name.clone(), how, share.files.modes, share.files.names.clone())
        };
        opened_with(&self.share) == opened_with(settings)
    }

    /// The directory for a tree connect. The error, for a path with variables, is the reason for the log.
    pub(crate) fn of_user(self: &Arc<Self>, variables: &Variables<'_>) -> Result<Arc<Self>, String> {
        if !has_variables(&self.share.path) {
            return Ok(Arc::clone(self));
        }
        let path = expanded(&self.share.path, variables)?;
        let trusted = trusted_part(&self.share.path, &path).ok_or("a '/' must follow %H")?;
        let mut by_path = self.by_path.lock();
        if let Some(known) = by_path.get(&path).and_then(Weak::upgrade) {
            return Ok(known);
        }
        by_path.retain(|_, directory| directory.strong_count() != 0);
        let share = ShareSettings { path: path.clone(), trusted: Some(trusted), ..self.share.clone() };
        let directory = Self::new(&share, &self.open, &self.bulkhead, &self.reach, self.gate.clone());
        by_path.insert(path, Arc::downgrade(&directory));
        Ok(directory)
    }

    /// True if this is the directory with that path, or one of a path with variables that is in use.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.share.path == path
            || self.by_path.lock().get(path).is_some_and(|directory| directory.strong_count() != 0)
    }

    /// The paths of the directories in use, if the path of the share has variables.
    pub(crate) fn paths_in_use(&self) -> Vec<PathBuf> {
        let by_path = self.by_path.lock();
        by_path.iter().filter(|(_, used)| used.strong_count() != 0).map(|(path, _)| path.clone()).collect()
    }

    /// The directories that can be opened without a client: the share's, or, if its path has variables, those in use.
    pub(crate) async fn places(self: &Arc<Self>) -> Vec<Arc<Files>> {
        if !has_variables(&self.share.path) {
            return self.connect().await.into_iter().collect();
        }
        let used: Vec<_> = self.by_path.lock().values().filter_map(Weak::upgrade).collect();
        used.iter().filter_map(|directory| directory.state().files.upgrade()).collect()
    }

    /// Opens the directory for a tree connect. Returns `None` if it does not exist, or its file system does not
    /// respond.
    pub(crate) async fn connect(self: &Arc<Self>) -> Option<Arc<Files>> {
        let this = Arc::clone(self);
        match self.in_turn(limits::SHARE_OPEN_WAIT, move || this.find().ok()).await {
            Some(found) => found,
            None => {
                self.note(Some(HANGS));
                // Clients of the directory that is open already wait for that file system, and no others do.
                self.state().files.upgrade()
            }
        }
    }

    /// Opens the directory. The caller is behind the share's bulkhead.
    pub(crate) fn find(self: &Arc<Self>) -> vfs::Result<Arc<Files>> {
        let opened = within(&self.reach, &self.share.path).and_then(|()| (self.open)(&self.share));
        let backend = match opened {
            Ok(backend) => match &self.gate {
                Some(gate) => Arc::new(GatedBackend::new(backend, gate.clone())),
                None => backend,
            },
            Err(error) => {
                self.note(Some(&why(&error)));
                return Err(error);
            }
        };
        self.note(None);
        let found = backend.root();
        let mut state = self.state();
        // If the directory is the same, the open one is used, with its cache of names, for all clients.
        let known =
            state.files.upgrade().filter(|known| known.backend().is_some_and(|it| it.root() == found));
        if let Some(known) = known {
            drop(state);
            return Ok(known);
        }
        let root = FileKey { device: found.device, inode: found.inode, stream: 0 };
        let (path, bulkhead) = (self.share.path.clone(), Arc::clone(&self.bulkhead));
        let files = Arc::new(Files { backend: Some(backend), root, path, of: Arc::clone(self), bulkhead });
        state.files = Arc::downgrade(&files);
        Ok(files)
    }

    /// Checks if the directory exists, without keeping it open.
    pub(crate) async fn look(self: &Arc<Self>) {
        if has_variables(&self.share.path) {
            return;
        }
        let (path, reach) = (self.share.path.clone(), self.reach.clone());
        let look = move || within(&reach, &path).and_then(|()| vfs::local::look(&path));
        let looked = self.in_turn(limits::SHARE_LOOK_WAIT, look).await;
        match looked {
            Some(Ok(())) => self.note(None),
            Some(Err(error)) => self.note(Some(&why(&error))),
            None => self.note(Some(HANGS)),
        }
    }

    /// The error for a directory that cannot be shared.
    pub(crate) fn refusal(&self, error: vfs::Error) -> StartError {
        StartError::Share { name: self.share.name.clone(), path: self.share.path.clone(), error }
    }

    /// The reason why the directory was not available at the last check; `None` if it was.
    pub(crate) fn away(&self) -> Option<String> {
        self.state().away.clone()
    }

    /// Runs work that may hang on its own thread. Returns `None` if this, or previous work of this kind, takes too
    /// long.
    async fn in_turn<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (turn, bulkhead) = (Arc::clone(&self.turn), Arc::clone(&self.bulkhead));
        let done = async move {
            let turn: OwnedMutexGuard<()> = turn.lock_owned().await;
            let work = move || {
                let done = bulkhead.call_apart(work);
                drop(turn);
                done
            };
            tokio::task::spawn_blocking(work).await.ok()
        };
        tokio::time::timeout(wait, done).await.ok().flatten()
    }

    /// Records the reason why the directory is not available, and logs changes.
    fn note(&self, away: Option<&str>) {
        let before = std::mem::replace(&mut self.state().away, away.map(str::to_owned));
        let (share, path) = (&self.share.name, self.share.path.display());
        match (before.as_deref(), away) {
            (before, Some(why)) if before != Some(why) => {
                tracing::warn!(share, %path, why, "a share's directory is not available; its clients are refused until it is");
            }
            (Some(_), None) => tracing::warn!(share, %path, "the share's directory is available again"),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Opens directories in parallel, with a limited wait. Returns those that failed, with their errors.
///
/// A few threads do that; they become more only while none of them makes progress, because file systems hang.
pub(crate) fn look_for(directories: &[Arc<Directory>]) -> Vec<(Arc<Directory>, vfs::Error)> {
    let deadline = Instant::now() + limits::SHARE_OPEN_WAIT;
    let begun: Vec<_> = directories.iter().filter_map(Opening::begin).collect();
    let mut awaited: HashMap<usize, Arc<Directory>> =
        begun.iter().map(|opening| Arc::clone(&opening.directory)).enumerate().collect();
    let queue: Queue = Arc::new(Mutex::new(begun.into_iter().enumerate().collect()));
    let (says, found) = mpsc::channel();
    let mut missing = Vec::new();
    let (mut threads, mut wanted) = (0, FIRST_OPENERS);
    while !awaited.is_empty() {
        // There is one thread for each waiting directory at most.
        let most = threads + queue.lock().len();
        while threads < wanted.min(most) {
            let (queue, says) = (Arc::clone(&queue), says.clone());
            let open = move || open_all(&queue, &says);
            match std::thread::Builder::new().name(String::from("open share")).spawn(open) {
                Ok(_) => threads += 1,
                Err(error) if threads == 0 => {
                    let kind = error.kind();
                    let failed = awaited.drain().map(|(_, it)| (it, vfs::Error::Io(kind.into())));
                    missing.extend(failed);
                    return missing;
                }
                // The threads that there are go on.
                Err(_) => break,
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match found.recv_timeout(left.min(OPENERS_STALL)) {
            Ok((number, outcome)) => {
                let directory = awaited.remove(&number);
                missing.extend(directory.zip(outcome.err()));
            }
            Err(_) if left.is_zero() => break,
            Err(_) => wanted = threads.saturating_mul(2),
        }
    }
    // Those that no thread has begun are not begun any more.
    queue.lock().clear();
    for directory in awaited.into_values() {
        directory.note(Some(HANGS));
        missing.push((directory, vfs::Error::Io(std::io::ErrorKind::TimedOut.into())));
    }
    missing
}

/// A directory that waits to be opened, and its turn.
struct Opening {
    directory: Arc<Directory>,
    turn: OwnedMutexGuard<()>,
}

type Queue = Arc<Mutex<VecDeque<(usize, Opening)>>>;

/// The result of the opening with a number.
type Outcome = (usize, vfs::Result<()>);

impl Opening {
    /// `None` if another thread opens the directory and will record the result, or if the path has variables.
    fn begin(directory: &Arc<Directory>) -> Option<Self> {
        if has_variables(&directory.share.path) {
            return None;
        }
        let turn = Arc::clone(&directory.turn).try_lock_owned().ok()?;
        Some(Self { directory: Arc::clone(directory), turn })
    }
}

/// Opens directories of a queue until it is empty. There may be no runtime.
fn open_all(queue: &Queue, says: &mpsc::Sender<Outcome>) {
    loop {
        let Some((number, Opening { directory, turn })) = queue.lock().pop_front() else { return };
        let found = directory.bulkhead.call_apart(|| directory.find().map(drop));
        drop(turn);
        // The send fails if the caller no longer waits, which is no error.
        let _ = says.send((number, found));
    }
}

/// The number of threads that begin to open directories.
const FIRST_OPENERS: usize = 4;

/// The time without progress after which the threads that open directories are doubled.
const OPENERS_STALL: Duration = Duration::from_millis(50);

impl Files {
    /// The files.
    pub(crate) fn backend(&self) -> Option<&Arc<dyn Backend>> {
        self.backend.as_ref()
    }

    /// True if another server of the cluster may own the files by now.
    pub(crate) fn is_fenced(&self) -> bool {
        self.of.gate.as_ref().is_some_and(|gate| !gate.is_open())
    }

    /// Makes a change beside the files of the share, such as in the log of its opens, if the server still owns them.
    pub(crate) fn within_gate<T>(&self, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(gate) = &self.of.gate else { return change() };
        gate.within(|| Ok(change())).unwrap_or_else(|error| Err(io::Error::other(error.to_string())))
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself, which distinguishes it from earlier and later ones of the share.
    pub(crate) fn root(&self) -> FileKey {
        self.root
    }
}

impl Drop for Files {
    /// The close of a directory may hang, so it becomes a job.
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            self.bulkhead.submit(false, move || drop(backend));
        }
    }
}

/// Opens a share's directory.
pub(crate) fn open_directory(share: &ShareSettings) -> vfs::Result<Arc<dyn Backend>> {
    let options = LocalOptions {
        label: share.name.clone(),
        follow_symlinks: share.follow_symlinks,
        streams: share.streams,
        read_only: share.read_only,
        forms: share.unicode_forms,
        modes: share.files.modes,
        names: share.files.names.clone(),
        ..LocalOptions::default()
    };
    let backend = match &share.trusted {
        Some(trusted) => {
            let below = share.path.strip_prefix(trusted).map_err(|_| vfs::Error::AccessDenied)?;
            LocalBackend::open_below(trusted, below, options)?
        }
        None => LocalBackend::open(&share.path, options)?,
    };
    Ok(Arc::new(backend))
}

/// The error for a directory that the sandbox does not leave to the server.
#[derive(Debug, thiserror::Error)]
#[error("outside of the server's sandbox; restart the server to include it")]
struct OutsideSandbox;

/// True for the error of a directory that the sandbox does not leave to the server.
pub(crate) fn is_outside_sandbox(error: &vfs::Error) -> bool {
    let vfs::Error::Io(error) = error else { return false };
    error.get_ref().is_some_and(|source| source.is::<OutsideSandbox>())
}

/// Fails if the sandbox does not leave a directory to the server.
fn within(reach: &Reach, directory: &Path) -> vfs::Result<()> {
    match reach.covers(directory)? {
        true => Ok(()),
        false => Err(vfs::Error::Io(std::io::Error::other(OutsideSandbox))),
    }
}

/// The reason why a directory is not available, as text.
fn why(error: &vfs::Error) -> String {
    match error {
        vfs::Error::NotFound | vfs::Error::PathNotFound => String::from("no such directory"),
        other => other.to_string(),
    }
}

/// The reason for a directory that cannot be opened in time.
const HANGS: &str = "its file system does not answer";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread::ThreadId;

    use vfs::MemBackend;

    use super::*;

    /// Directories that `open` opens, with their numbers as names.
    fn directories(count: usize, open: &Arc<OpenShare>) -> Vec<Arc<Directory>> {
        let reach = sandbox::Report::off().reach;
        let directory = |number: usize| {
            let share = ShareSettings::new(number.to_string(), "/".into());
            let bulkhead = Bulkhead::new(&share.name, limits::PLACES);
            Directory::new(&share, open, &bulkhead, &reach, None)
        };
        (0..count).map(directory).collect()
    }

    #[test]
    fn many_directories_are_opened_by_a_few_threads() {
        let threads: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
        let seen = Arc::clone(&threads);
        let open: Arc<OpenShare> = Arc::new(move |share: &ShareSettings| {
            seen.lock().insert(std::thread::current().id());
            match share.name.as_str() {
                "7" => Err(vfs::Error::NotFound),
                _ => Ok(Arc::new(MemBackend::new()) as Arc<dyn Backend>),
            }
        });
        let directories = directories(500, &open);
        let missing = look_for(&directories);
        assert!(matches!(&missing[..], [(directory, vfs::Error::NotFound)] if directory.share.name == "7"));
        assert_eq!(directories.iter().filter(|it| it.away().is_some()).count(), 1);
        let threads = threads.lock().len();
        assert!((1..=FIRST_OPENERS).contains(&threads), "{threads} threads");
    }

    #[test]
    fn directories_that_hang_do_not_keep_others_from_being_opened() {
        let (go, may_go) = mpsc::channel::<()>();
        let may_go = Mutex::new(may_go);
        let open: Arc<OpenShare> = Arc::new(move |share: &ShareSettings| {
            // More of them than the threads at first, and all before the others.
            if share.name.len() == 1 {
                let _ = may_go.lock().recv();
            }
            Ok(Arc::new(MemBackend::new()) as Arc<dyn Backend>)
        });
        let directories = directories(100, &open);
        let missing = look_for(&directories);
        assert_eq!(missing.len(), 10);
        for directory in &directories {
            assert_eq!(directory.away().is_some(), directory.share.name.len() == 1);
        }
        drop(go);
    }
}
