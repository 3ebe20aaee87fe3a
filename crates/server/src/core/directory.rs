//! The directories of shares: found anew for each tree connect, and held for as long as somebody uses them.
//!
//! A disk that is mounted on a share's directory, or a directory that is made in the place of one that was deleted, is
//! what the next tree connect gets; those before it keep what they have until they end. Nobody connected, nothing is
//! held: a disk can be unmounted. A directory that is not there refuses its own clients only.
//!
//! Opening a directory may hang. It is done behind the share's bulkhead, on a thread that nobody needs, by one at a time
//! for each share, and waited for no longer than a limit.

use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use registry::FileKey;
use tokio::sync::OwnedMutexGuard;
use vfs::Backend;
use vfs::local::{LocalBackend, LocalOptions};

use crate::core::bulkhead::Bulkhead;
use crate::core::config::ShareSettings;
use crate::core::limits;
use crate::core::server::OpenShare;
use crate::core::start_error::StartError;

/// The directory of a share.
pub(crate) struct Directory {
    /// What it is opened with: the name, which is the label, the path, and whether symbolic links are followed.
    share: ShareSettings,
    open: Arc<OpenShare>,
    bulkhead: Arc<Bulkhead>,
    /// Held while it is looked for.
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the last tree connect got.
    files: Weak<Files>,
    /// Why it is not there, as far as is known.
    away: Option<String>,
}

/// What a share's directory was when a tree connect was made.
pub(crate) struct Files {
    /// There until it is dropped.
    backend: Option<Arc<dyn Backend>>,
    root: FileKey,
    bulkhead: Arc<Bulkhead>,
}

impl Directory {
    /// A directory that nobody has looked for yet.
    pub(crate) fn new(share: &ShareSettings, open: &Arc<OpenShare>, bulkhead: &Arc<Bulkhead>) -> Arc<Self> {
        Arc::new(Self {
            share: share.clone(),
            open: Arc::clone(open),
            bulkhead: Arc::clone(bulkhead),
            turn: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// Whether it is what a share with these settings has, too.
    pub(crate) fn is_of(&self, settings: &ShareSettings) -> bool {
        let opened_with = |share: &ShareSettings| {
            let how = (share.follow_symlinks, share.streams, share.unicode_forms);
            (share.path.clone(), share.name.clone(), how)
        };
        opened_with(&self.share) == opened_with(settings)
    }

    /// Finds it for a tree connect. None: it is not there, or its file system does not say.
    pub(crate) async fn connect(self: &Arc<Self>) -> Option<Arc<Files>> {
        let this = Arc::clone(self);
        match self.in_turn(limits::SHARE_OPEN_WAIT, move || this.find().ok()).await {
            Some(found) => found,
            None => {
                self.note(Some(HANGS));
                // Who uses what is there already waits for that file system, and nobody else does.
                self.state().files.upgrade()
            }
        }
    }

    /// Finds it; call it behind the share's bulkhead.
    pub(crate) fn find(&self) -> vfs::Result<Arc<Files>> {
        let backend = match (self.open)(&self.share) {
            Ok(backend) => backend,
            Err(error) => {
                self.note(Some(&why(&error)));
                return Err(error);
            }
        };
        self.note(None);
        let found = backend.root();
        let mut state = self.state();
        // Names that were there a moment ago are remembered with it, for all clients alike.
        let known =
            state.files.upgrade().filter(|known| known.backend().is_some_and(|it| it.root() == found));
        if let Some(known) = known {
            drop(state);
            return Ok(known);
        }
        let root = FileKey { device: found.device, inode: found.inode, stream: 0 };
        let files = Arc::new(Files { backend: Some(backend), root, bulkhead: Arc::clone(&self.bulkhead) });
        state.files = Arc::downgrade(&files);
        Ok(files)
    }

    /// Looks whether it is there, without holding it.
    pub(crate) async fn look(self: &Arc<Self>) {
        let path = self.share.path.clone();
        let looked = self.in_turn(limits::SHARE_LOOK_WAIT, move || vfs::local::look(&path)).await;
        match looked {
            Some(Ok(())) => self.note(None),
            Some(Err(error)) => self.note(Some(&why(&error))),
            None => self.note(Some(HANGS)),
        }
    }

    /// Why it cannot be shared.
    pub(crate) fn refusal(&self, error: vfs::Error) -> StartError {
        StartError::Share { name: self.share.name.clone(), path: self.share.path.clone(), error }
    }

    /// Why it was not there when it was last looked for; none where it was.
    pub(crate) fn away(&self) -> Option<String> {
        self.state().away.clone()
    }

    /// Does something that may hang, on a thread for it; none if it takes too long, or what was done before it does.
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

    /// Takes in why it is not there, and says in the log when that changes.
    fn note(&self, away: Option<&str>) {
        let before = std::mem::replace(&mut self.state().away, away.map(str::to_owned));
        let (share, path) = (&self.share.name, self.share.path.display());
        match (before.as_deref(), away) {
            (before, Some(why)) if before != Some(why) => {
                tracing::warn!(share, %path, why, "a share's directory is not there; its clients are refused until it is");
            }
            (Some(_), None) => tracing::warn!(share, %path, "a share's directory is there again"),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Looks for directories side by side, not longer than a limit; those that are not there, and why.
pub(crate) fn look_for(directories: &[Arc<Directory>]) -> Vec<(Arc<Directory>, vfs::Error)> {
    let deadline = Instant::now() + limits::SHARE_OPEN_WAIT;
    let begun = directories.iter().map(|directory| (directory, begin(directory))).collect::<Vec<_>>();
    let mut missing = Vec::new();
    for (directory, found) in begun {
        let left = deadline.saturating_duration_since(Instant::now());
        let found = found.and_then(|found| {
            let Some(found) = found else { return Ok(()) };
            found.recv_timeout(left).unwrap_or_else(|_| {
                directory.note(Some(HANGS));
                Err(vfs::Error::Io(std::io::ErrorKind::TimedOut.into()))
            })
        });
        if let Err(error) = found {
            missing.push((Arc::clone(directory), error));
        }
    }
    missing
}

/// Begins to look for a directory, on a thread of its own: there may be no runtime. None: somebody is at it already, and
/// will say what comes of it.
fn begin(directory: &Arc<Directory>) -> vfs::Result<Option<mpsc::Receiver<vfs::Result<()>>>> {
    let Ok(turn) = Arc::clone(&directory.turn).try_lock_owned() else { return Ok(None) };
    let (says, found) = mpsc::channel();
    let directory = Arc::clone(directory);
    let look = move || {
        let found = directory.bulkhead.call_apart(|| directory.find().map(drop));
        drop(turn);
        // Nobody may be waiting any more.
        let _ = says.send(found);
    };
    std::thread::Builder::new().name(String::from("open share")).spawn(look)?;
    Ok(Some(found))
}

impl Files {
    /// The files.
    pub(crate) fn backend(&self) -> Option<&Arc<dyn Backend>> {
        self.backend.as_ref()
    }

    /// The directory itself, which tells it from what the share had before and will have.
    pub(crate) fn root(&self) -> FileKey {
        self.root
    }
}

impl Drop for Files {
    /// Closing a directory may hang.
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
        forms: share.unicode_forms,
        ..LocalOptions::default()
    };
    Ok(Arc::new(LocalBackend::open(&share.path, options)?))
}

/// Why a directory is not there, in words.
fn why(error: &vfs::Error) -> String {
    match error {
        vfs::Error::NotFound | vfs::Error::PathNotFound => String::from("no such directory"),
        other => other.to_string(),
    }
}

/// What is said of a directory that cannot be opened in time.
const HANGS: &str = "its file system does not answer";
