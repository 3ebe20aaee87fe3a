//! The process behind a connection through FUSE: this program again, told on its standard input what to do.

use std::path::{Path, PathBuf};

use client::smb::Tree;
use mount::{ConnectError, Target};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::make::{connect_failure, mount_failure};
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::output::Console;

/// What such a process is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) target: Target,
    pub(super) directory: PathBuf,
    pub(super) user: String,
    pub(super) domain: String,
    pub(super) password: String,
    pub(super) read_only: bool,
    pub(super) allow_others: bool,
}

/// What it says when the share is mounted; anything else is why it is not.
pub(super) const READY: &str = "ready";

impl Order {
    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            user: self.user.clone(),
            domain: self.domain.clone(),
            password: Zeroizing::new(self.password.clone()),
        }
    }
}

/// Does what the order on standard input says, until the share is unmounted or the process is to end.
pub(super) fn from_stdin(console: &mut Console) -> Result<(), Failure> {
    let wrong = |error: String| Failure::Plain(format!("the order cannot be read: {error}"));
    let text = console.input(ORDER_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    let order: Order = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    drop(text);
    // A session of its own: what ends the terminal's processes does not end this one.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").map_err(|error| wrong(error.to_string()))?;
    here(&order, || {
        console.line(READY);
        // Whoever waits for it may be gone.
        let _ = console.finish();
    })
}

/// Mounts and serves in this process. `ready` is called when the share is mounted.
pub(super) fn here(order: &Order, ready: impl FnOnce()) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Plain(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(async {
        let tree = connect(&order.target, &order.credentials()).await.map_err(connect_failure)?;
        let options = mount::Options {
            target: order.target.clone(),
            credentials: order.credentials().logon(),
            user: order.user.clone(),
            read_only: order.read_only,
            others: order.allow_others,
        };
        let served = mount::serve(tree, &order.directory, options, told_to_stop(), ready).await;
        served.map_err(|error| mount_failure(&order.directory, &error))
    });
    // What still waits for the server or the kernel need not be waited for.
    runtime.shutdown_background();
    outcome
}

/// Connects with what the person gave.
pub(super) async fn connect(target: &Target, credentials: &Credentials) -> Result<Tree, ConnectError> {
    mount::connect(target, &credentials.logon()).await
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The directory's name as it goes to a log or a table.
pub(super) fn shown(directory: &Path) -> String {
    crate::output::clean_line(&directory.display().to_string())
}

/// Bytes of an order: a few names and paths.
const ORDER_BYTES_MAX: u64 = 64 << 10;

/// Threads that serve a mount: one that is busy with a large answer leaves another.
const WORKERS: usize = 2;
