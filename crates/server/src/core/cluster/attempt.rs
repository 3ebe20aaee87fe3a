//! One attempt to serve a share: the storage is opened, the share served and stopped, one after the other, on threads that
//! may hang with the share's file system.

use std::sync::Arc;
use std::time::Duration;

use cluster::WriteGate;
use cluster::ids::{Attempt, ShareKey};
use cluster::protocol::{Event, Stamp, StopReason};
use handlelog::OwnerLock;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use vfs::Gate;

use super::{now, storage};
use crate::core::bulkhead;
use crate::core::config::ShareSettings;
use crate::core::server::Server;

/// A share of the cluster that this server serves.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) settings: ShareSettings,
    /// The permission to use its files.
    pub(crate) gate: Gate,
    pub(super) key: ShareKey,
    pub(super) attempt: Attempt,
    /// The revision of the definition.
    pub(super) modified: cluster::ids::Revision,
    /// The addresses that the share had when it was served.
    pub(super) addresses: Vec<std::net::IpAddr>,
}

/// A step of an attempt.
pub(super) enum Step {
    /// Opens the storage, or raises the generation of one that is open.
    Open { settings: Box<ShareSettings>, token: String, stamp: Stamp },
    /// Serves the share.
    Serve { serving: Box<Serving> },
    /// Ends the attempt.
    Stop { why: StopReason },
}

/// The surroundings of attempts.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) server: Arc<Server>,
    /// The runtime of the server: its effects belong there.
    pub(super) runtime: Handle,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

/// Begins an attempt, whose steps are sent to the returned end.
pub(super) fn begin(around: Surroundings, share: ShareKey, attempt: Attempt) -> mpsc::UnboundedSender<Step> {
    let (steps, received) = mpsc::unbounded_channel();
    bulkhead::spawn(run(around, share, attempt, received));
    steps
}

/// The gate of a share, as its files ask it.
pub(super) fn gate(gate: WriteGate) -> Gate {
    Gate::new(move || gate.permits(now()))
}

async fn run(
    around: Surroundings,
    share: ShareKey,
    attempt: Attempt,
    mut steps: mpsc::UnboundedReceiver<Step>,
) {
    let mut lock: Option<OwnerLock> = None;
    let mut served: Option<Serving> = None;
    while let Some(step) = steps.recv().await {
        match step {
            Step::Open { settings, token, stamp } => {
                let (held, key) = (lock.take(), share.clone());
                let open = move || storage::open(&key, attempt, held, (&settings, &token), &stamp);
                let opened = tokio::task::spawn_blocking(open).await;
                let (event, taken) = opened.unwrap_or_else(|error| {
                    let reason = format!("the storage cannot be opened: {error}");
                    (Event::StorageFailed { share: share.clone(), attempt, reason }, None)
                });
                lock = taken;
                let _ = around.events.send(event);
            }
            Step::Serve { serving } => {
                let around_it = around.clone();
                let now_served = Serving::clone(&serving);
                let serve = move || {
                    let _entered = around_it.runtime.enter();
                    around_it.server.serve_of_cluster(*serving)
                };
                let outcome = tokio::task::spawn_blocking(serve).await;
                match outcome
                    .unwrap_or_else(|error| Err(format!("the server cannot serve the share: {error}")))
                {
                    Err(reason) => {
                        let share = share.clone();
                        let _ = around.events.send(Event::StorageFailed { share, attempt, reason });
                    }
                    Ok(()) => {
                        // Clients find the share when they find the address.
                        if let Some(member) = around.server.cluster.member() {
                            member.addresses.hold(&around, &now_served);
                        }
                    }
                }
                served = Some(now_served);
            }
            Step::Stop { why } => {
                stop(&around, &share, served.take(), lock.take(), why).await;
                let _ = around.events.send(Event::Stopped { share, attempt });
                return;
            }
        }
    }
}

/// Stops serving, and releases the lock of the storage when nothing is on its way to it.
async fn stop(
    around: &Surroundings,
    share: &ShareKey,
    served: Option<Serving>,
    lock: Option<OwnerLock>,
    why: StopReason,
) {
    if let Some(serving) = served {
        tracing::info!(share = %share, ?why, "the server stops serving a share of the cluster");
        let (around_it, gate, attempt) = (around.clone(), serving.gate.clone(), serving.attempt);
        let stop = move || {
            let _entered = around_it.runtime.enter();
            around_it.server.stop_of_cluster(&serving);
        };
        let _ = tokio::task::spawn_blocking(stop).await;
        // Before anything that can hang with the storage.
        give_up_addresses(around, share, attempt).await;
        while !gate.is_idle() {
            tokio::time::sleep(IDLE_POLL).await;
        }
    }
    let Some(lock) = lock else { return };
    let release = move || {
        if let Err(error) = lock.synchronize() {
            tracing::warn!(%error, "cannot write back the files of a share before its storage is released");
        }
        drop(lock);
    };
    let _ = tokio::task::spawn_blocking(release).await;
}

/// Ends the connections of clients to the addresses of a share, and gives the addresses up.
async fn give_up_addresses(around: &Surroundings, share: &ShareKey, attempt: Attempt) {
    let Some(member) = around.server.cluster.member() else { return };
    let addresses = member.addresses.of_share_alone(share, attempt);
    if !addresses.is_empty() && around.server.close_connections_at(&addresses) {
        // The ends reach the clients only while the address is here.
        tokio::time::sleep(CLOSING).await;
    }
    member.addresses.release(around, share, attempt).await;
}

/// The task of a connection closes it within this time, unless the server is overloaded.
const CLOSING: Duration = Duration::from_millis(20);

/// Calls that are under way take some milliseconds unless the file system hangs.
const IDLE_POLL: Duration = Duration::from_millis(2);
