//! Opening the directories of shares, some of which may be in file systems that hang.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use vfs::local::{LocalBackend, LocalOptions};

use crate::config::ShareSettings;
use crate::limits;
use crate::server::{OpenShare, Server};
use crate::service::StartError;

/// The directories that are being opened.
pub(crate) struct Openings(Arc<Table>);

struct Table {
    open: OpenShare,
    openings: Mutex<HashMap<Key, Opening>>,
    changed: Condvar,
}

/// What a directory is opened with: the share's name, which is its label, the directory, and whether symbolic links are
/// followed. Settings that have changed meanwhile do not get what was opened for others.
type Key = (String, PathBuf, bool);

type Backend = Result<Arc<dyn vfs::Backend>, StartError>;

enum Opening {
    UnderWay {
        /// Nobody waits for it any more: the server is told.
        is_late: bool,
    },
    Done(Backend),
}

/// What has come of opening a directory.
pub(crate) enum Opened {
    /// It is open, or cannot be opened.
    Done(Backend),
    /// Its file system does not say. The server is told once it does.
    Later,
}

impl Openings {
    /// No openings yet; `open` opens what a share has.
    pub(crate) fn new(open: OpenShare) -> Self {
        Self(Arc::new(Table { open, openings: Mutex::default(), changed: Condvar::new() }))
    }

    /// Opens the directories of shares side by side.
    pub(crate) fn open(
        &self,
        server: &Weak<Server>,
        shares: Vec<ShareSettings>,
    ) -> Vec<(ShareSettings, Opened)> {
        if shares.is_empty() {
            return Vec::new();
        }
        for share in &shares {
            self.0.begin(server, share);
        }
        let deadline = Instant::now() + limits::SHARE_OPEN_WAIT;
        shares
            .into_iter()
            .map(|share| {
                let opened = self.0.wait(&key(&share), deadline);
                (share, opened)
            })
            .collect()
    }
}

impl Table {
    fn begin(self: &Arc<Self>, server: &Weak<Server>, share: &ShareSettings) {
        let key = key(share);
        let mut openings = self.openings();
        if openings.contains_key(&key) {
            return;
        }
        openings.insert(key.clone(), Opening::UnderWay { is_late: false });
        drop(openings);
        let (table, server, share, place) =
            (Arc::clone(self), Weak::clone(server), share.clone(), key.clone());
        let open = move || table.done(&server, place, (table.open)(&share));
        let spawned = std::thread::Builder::new().name(String::from("open share")).spawn(open);
        if let Err(error) = spawned {
            let (name, path, _) = key.clone();
            let error = StartError::Share { name, path, error: vfs::Error::Io(error) };
            self.openings().insert(key, Opening::Done(Err(error)));
        }
    }

    fn done(&self, server: &Weak<Server>, key: Key, backend: Backend) {
        let mut openings = self.openings();
        let is_late = matches!(openings.get(&key), Some(Opening::UnderWay { is_late: true }));
        if let (true, Err(error)) = (is_late, &backend) {
            tracing::warn!(%error, "a share is not there");
            openings.remove(&key);
            return;
        }
        openings.insert(key, Opening::Done(backend));
        drop(openings);
        self.changed.notify_all();
        if is_late && let Some(server) = server.upgrade() {
            server.opened_late();
        }
    }

    fn wait(&self, key: &Key, deadline: Instant) -> Opened {
        let mut openings = self.openings();
        loop {
            match openings.get_mut(key) {
                Some(Opening::UnderWay { is_late: true }) => return Opened::Later,
                Some(Opening::UnderWay { is_late }) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        *is_late = true;
                        return Opened::Later;
                    }
                    let waited = self.changed.wait_timeout(openings, left);
                    openings = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(Opening::Done(_)) | None => break,
            }
        }
        match openings.remove(key) {
            Some(Opening::Done(backend)) => Opened::Done(backend),
            // Two shares of one name and directory, which no configuration has.
            Some(Opening::UnderWay { .. }) | None => Opened::Later,
        }
    }

    fn openings(&self) -> MutexGuard<'_, HashMap<Key, Opening>> {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(share: &ShareSettings) -> Key {
    (share.name.clone(), share.path.clone(), share.follow_symlinks)
}

/// Opens a share's directory.
pub(crate) fn open_directory(share: &ShareSettings) -> Backend {
    let options = LocalOptions {
        label: share.name.clone(),
        follow_symlinks: share.follow_symlinks,
        ..LocalOptions::default()
    };
    let backend = LocalBackend::open(&share.path, options).map_err(|error| StartError::Share {
        name: share.name.clone(),
        path: share.path.clone(),
        error,
    })?;
    Ok(Arc::new(backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share whose directory is to be opened in another way, and cannot be yet, is served as it was.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_share_goes_on_until_it_is_opened_with_its_new_settings() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let open_share: OpenShare = Box::new(move |share| {
            if share.follow_symlinks {
                let _released = held.lock().unwrap().recv();
            }
            Ok(Arc::new(vfs::mem::MemBackend::new()))
        });
        let settings = |follow_symlinks| {
            let plain = ShareSettings::new(String::from("data"), "/nowhere".into());
            let mut settings = crate::config::Settings::conventional(false, |_| None);
            settings.shares = vec![ShareSettings { follow_symlinks, ..plain }];
            settings
        };
        let accounts = || auth::users::UserDb::parse("").unwrap();
        let surroundings = crate::server::Surroundings { seed: 1, guid: wire::Guid([1; 16]), open_share };
        let server = Server::within(settings(false), accounts(), surroundings).unwrap();
        let before = server.share("data").unwrap();
        server.reload::<StartError>(|| Ok((settings(true), accounts()))).unwrap();
        let meanwhile = server.share("data").expect("it is still there");
        assert!(!meanwhile.settings.follow_symlinks && Arc::ptr_eq(&meanwhile.bulkhead, &before.bulkhead));
        drop(release);
        let deadline = Instant::now() + std::time::Duration::from_secs(20);
        while !server.share("data").unwrap().settings.follow_symlinks {
            assert!(Instant::now() < deadline, "it is never opened");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What is being opened for settings that are no longer in force is not what new ones get.
    #[test]
    fn an_opening_that_is_late_is_not_for_other_settings() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let openings = Openings::new(Box::new(move |share| {
            if share.follow_symlinks {
                // Until the test is over.
                let _ended = held.lock().unwrap().recv();
            }
            let (name, path) = (share.name.clone(), share.path.clone());
            Err(StartError::Share { name, path, error: vfs::Error::NotFound })
        }));
        let share = |follow_symlinks| ShareSettings { follow_symlinks, ..ShareSettings::ipc() };
        let server = Weak::new();
        let mut first = openings.open(&server, vec![share(true)]);
        assert!(matches!(first.remove(0).1, Opened::Later));
        let mut second = openings.open(&server, vec![share(false)]);
        assert!(matches!(second.remove(0).1, Opened::Done(_)));
        drop(release);
    }
}
