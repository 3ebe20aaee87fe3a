//! The logs of shares whose opens outlive the server (`continuous`, `durable_over_restart`; `docs/continuous.md`).
//!
//! The registry knows which changes a log lacks. A handler that has made one calls [`OpenLog::commit`] before it answers.
//! Requests that come while the log is being written wait for their turn, and the next of them writes the changes of all
//! (group commit). Changes that no request waits for, such as the end of an open whose time is over, are written by
//! [`keep`].
//!
//! A log is opened with the share's directory: at the start of the server, before clients are accepted, or when the
//! directory becomes available (`restore.rs`). It is open as long as the share is served. If it cannot be opened or
//! understood, the share gives out handles that do not outlive the server, and the reason is logged.

mod entries;
mod restore;

pub(crate) use restore::{open, restore_all};

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use handlelog::{Durability, HandleLog};
use parking_lot::Mutex;
use registry::{FileKey, LeaseId, LogId};
use wire::{NtStatus, ShareName};

use crate::core::blocking;
use crate::core::bulkhead::{self, Bulkhead};
use crate::core::directory::Files;
use crate::core::limits;
use crate::core::open::Open;
use crate::core::server::Server;
use crate::core::status::of_vfs;

/// The logs that are open.
#[derive(Default)]
pub(crate) struct HandleLogs {
    open: Mutex<BTreeMap<LogId, Arc<OpenLog>>>,
    last: AtomicU32,
}

/// The log of a share, which may be open.
#[derive(Default)]
pub(crate) struct ShareLog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Option<Arc<OpenLog>>,
    /// The directory for which the log could not be opened.
    refused: Option<FileKey>,
}

/// A log that is open.
pub(crate) struct OpenLog {
    id: LogId,
    share: String,
    files: Arc<Files>,
    bulkhead: Arc<Bulkhead>,
    /// The log itself; `None` after the server has stopped to write it. Held while it is written.
    log: Mutex<Option<HandleLog>>,
    /// The turn to write the log.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// True if commits wait for the disk.
    waits_for_disk: AtomicBool,
    /// True if the last write has failed.
    failed: AtomicBool,
    /// True if the server does not write it any more, because it stops or does not serve the share any more.
    is_over: AtomicBool,
}

impl OpenLog {
    /// The registry's number of the log.
    pub(crate) fn id(&self) -> LogId {
        self.id
    }

    /// Writes the changes that the log lacks, and returns when they are as durable as the share's settings want it. The
    /// error is the status for the client whose request depends on them.
    pub(crate) async fn commit(self: &Arc<Self>, server: &Arc<Server>) -> Result<(), NtStatus> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Another request may have written the changes, with its own. Or they were forgotten when the share was given up, which
        // is after its gate has closed.
        if !self.is_due(server) {
            return if self.files.is_fenced() { Err(of_vfs(&vfs::Error::Fenced)) } else { Ok(()) };
        }
        let written = if self.waits_for_disk.load(Ordering::Relaxed) {
            let (this, server) = (Arc::clone(self), Arc::clone(server));
            let write = move || {
                let written = this.write(&server);
                drop(turn);
                written
            };
            blocking::run_behind(Some(Arc::clone(&self.bulkhead)), write).await?
        } else {
            // A write into memory.
            self.write(server)
        };
        written.map_err(|error| match error.kind() {
            // The disk is full, or the log has its greatest length.
            io::ErrorKind::StorageFull => NtStatus::DISK_FULL,
            // The client comes back, here or at another server, and repeats the request.
            _ if self.is_over.load(Ordering::Relaxed) || self.files.is_fenced() => {
                NtStatus::NETWORK_NAME_DELETED
            }
            _ => of_vfs(&error.into()),
        })
    }

    /// True if the log lacks changes, or has to be written anew.
    fn is_due(&self, server: &Server) -> bool {
        self.failed.load(Ordering::Relaxed) || server.registry.lock("log_changes").has_log_changes(self.id)
    }

    /// Writes the changes that the log lacks. The caller has the turn.
    fn write(&self, server: &Server) -> io::Result<()> {
        let mut log = self.log.lock();
        let Some(log) = log.as_mut() else {
            return Err(io::Error::other("the server has stopped to write the log of opens"));
        };
        let changes = server.registry.lock("log_changes").log_changes(self.id);
        let entries = entries::of_changes(&changes);
        let written = self.files.within_gate(|| log.commit(&entries));
        // The share was given up meanwhile, and nothing is written any more.
        if self.is_over.load(Ordering::Relaxed) {
            return written;
        }
        let has_failed = written.is_err();
        if self.failed.swap(has_failed, Ordering::Relaxed) != has_failed {
            match &written {
                Err(error) => tracing::warn!(
                    %error,
                    share = self.share,
                    "cannot write the log of opens; requests that change durable handles are refused until it can be written"
                ),
                Ok(()) => tracing::warn!(share = self.share, "the log of opens is written again"),
            }
        }
        written
    }

    /// Writes the last changes and closes the log.
    fn close(&self, server: &Server) {
        // The error is in the log of the server.
        let _ = self.write(server);
        self.is_over.store(true, Ordering::Relaxed);
        *self.log.lock() = None;
    }

    fn set_durability(&self, durability: Durability) {
        let waits = durability == Durability::Power;
        if self.waits_for_disk.swap(waits, Ordering::Relaxed) == waits {
            return;
        }
        let set = self.log.lock().as_mut().map_or(Ok(()), |log| log.set_durability(durability));
        if let Err(error) = set {
            self.failed.store(true, Ordering::Relaxed);
            tracing::warn!(%error, share = self.share, "cannot write the log of opens");
        }
    }
}

impl HandleLogs {
    fn enter(&self, log: &Arc<OpenLog>) {
        self.open.lock().insert(log.id, Arc::clone(log));
    }

    fn leave(&self, id: LogId) {
        self.open.lock().remove(&id);
    }

    /// The log that is open for this share in this directory.
    fn of(&self, share: &str, root: FileKey) -> Option<Arc<OpenLog>> {
        let share = ShareName::new(share);
        let open = self.open.lock();
        open.values().find(|log| log.files.root() == root && ShareName::new(&log.share) == share).cloned()
    }

    fn next_id(&self) -> LogId {
        LogId(self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    fn all(&self) -> Vec<Arc<OpenLog>> {
        self.open.lock().values().cloned().collect()
    }

    /// Closes the logs of a share of the cluster that another server may own by now. They have all that was acknowledged;
    /// the ends of opens that follow are not recorded, so that the next owner has the opens.
    pub(crate) fn abandon(&self, server: &Server, share: &str) {
        let share = ShareName::new(share);
        for log in self.all().into_iter().filter(|log| ShareName::new(&log.share) == share) {
            server.registry.lock("remove_log").remove_log(log.id);
            self.leave(log.id);
            log.is_over.store(true, Ordering::Relaxed);
            log.failed.store(true, Ordering::Relaxed);
            log.bulkhead.call_apart(|| *log.log.lock() = None);
        }
    }

    /// Writes the last changes of all logs at a stop of the server, and closes the logs.
    pub(crate) fn close_all(&self, server: &Server) {
        for log in self.all() {
            log.bulkhead.call_apart(|| log.close(server));
            // A request that changes an open after this is refused.
            log.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Server {
    /// Writes the changes of the log that keeps an open, before a request that has changed the open is answered.
    pub(crate) async fn commit_open(&self, open: &Open) -> Result<(), NtStatus> {
        let Some(log) = open.tree().log().filter(|_| open.is_durable()) else { return Ok(()) };
        let server = self.this().ok_or(NtStatus::INTERNAL_ERROR)?;
        log.commit(&server).await
    }

    /// Writes the changes of the log of a share, before a request that may have changed several opens is answered.
    pub(crate) async fn commit_share(&self, tree: &crate::core::tree::Tree) -> Result<(), NtStatus> {
        let Some(log) = tree.log() else { return Ok(()) };
        let server = self.this().ok_or(NtStatus::INTERNAL_ERROR)?;
        log.commit(&server).await
    }

    /// Writes the changes of the logs that keep opens of a lease.
    pub(crate) async fn commit_lease(&self, lease: LeaseId) -> Result<(), NtStatus> {
        if self.files.handle_logs.open.lock().is_empty() {
            return Ok(());
        }
        let ids = self.registry.lock("logs_of_lease").logs_of_lease(lease);
        let server = self.this().ok_or(NtStatus::INTERNAL_ERROR)?;
        for id in ids {
            let log = self.files.handle_logs.open.lock().get(&id).cloned();
            if let Some(log) = log {
                log.commit(&server).await?;
            }
        }
        Ok(())
    }
}

/// Writes the changes that no request waits for, for as long as the server runs.
pub(crate) async fn keep(server: Arc<Server>) {
    loop {
        let changed = server.signals.logs_changed.notified();
        if server.files.handle_logs.open.lock().is_empty() {
            changed.await;
        } else {
            // Not every change is announced: requests of other clients take caching from an open.
            let _ = tokio::time::timeout(limits::UNLOGGED_MAX, changed).await;
        }
        for log in server.files.handle_logs.all() {
            // A log that could not be written is tried again with the next change.
            if !server.registry.lock("log_changes").has_log_changes(log.id) {
                continue;
            }
            // A file system that hangs does not delay the logs of other shares.
            let server = Arc::clone(&server);
            bulkhead::spawn(async move {
                // The error is in the log of the server, and the next change tries again.
                let _ = log.commit(&server).await;
            });
        }
    }
}
