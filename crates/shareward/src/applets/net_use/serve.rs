//! The process of a connection through FUSE: this program again, which reads its parameters from standard input.

use std::path::{Path, PathBuf};

use client::smb::ClientTree;
use mount::{ConnectError, ShareAddress};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::make::{connect_failure, mount_failure};
use crate::credentials::{Credentials, Proof};
use crate::failure::Failure;
use crate::output::Console;

/// The parameters of such a process.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) target: ShareAddress,
    pub(super) directory: PathBuf,
    pub(super) user: String,
    pub(super) domain: String,
    /// `None` for the tickets of the user who runs this.
    pub(super) password: Option<String>,
    /// The principal that the password is of; `None` if it is for NTLM alone.
    pub(super) principal: Option<String>,
    /// True if the password is for NTLM, too.
    pub(super) ntlm: bool,
    pub(super) read_only: bool,
    pub(super) allow_others: bool,
}

/// The line that the process prints when the share is mounted. Anything else is an error.
pub(super) const READY: &str = "ready";

impl Order {
    /// The parameters of a connection with these credentials.
    pub(super) fn new(target: ShareAddress, directory: PathBuf, credentials: &Credentials) -> Self {
        let (password, principal, ntlm) = match &credentials.proof {
            Proof::Password(password) => (Some(password), None, true),
            Proof::TicketByPassword { password, principal, ntlm } => (Some(password), Some(principal), *ntlm),
            Proof::Ticket => (None, None, false),
        };
        Self {
            target,
            directory,
            user: credentials.user.clone(),
            domain: credentials.domain.clone(),
            password: password.map(|password| password.to_string()),
            principal: principal.cloned(),
            ntlm,
            read_only: false,
            allow_others: false,
        }
    }

    pub(super) fn credentials(&self) -> Credentials {
        let password = self.password.clone().map(Zeroizing::new);
        let proof = match (password, self.principal.clone()) {
            (None, _) => Proof::Ticket,
            (Some(password), None) => Proof::Password(password),
            (Some(password), Some(principal)) => {
                Proof::TicketByPassword { password, principal, ntlm: self.ntlm }
            }
        };
        Credentials { user: self.user.clone(), domain: self.domain.clone(), proof }
    }
}

/// Reads the parameters from standard input and serves the mount until it is unmounted or the process is stopped.
pub(super) fn from_stdin(console: &mut Console) -> Result<(), Failure> {
    let wrong = |error: String| Failure::Plain(format!("cannot read the parameters: {error}"));
    let text = console.input(ORDER_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    let order: Order = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    drop(text);
    // A separate session, so that signals of the terminal do not reach this process.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").map_err(|error| wrong(error.to_string()))?;
    here(&order, || {
        console.line(READY);
        // The parent may be gone.
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
        let served = mount::serve(tree, &order.directory, options, stop_signal(), ready).await;
        served.map_err(|error| mount_failure(&order.directory, &error))
    });
    // Tasks that still wait for the server or the kernel are abandoned.
    runtime.shutdown_background();
    outcome
}

/// Connects to the share.
pub(super) async fn connect(
    target: &ShareAddress,
    credentials: &Credentials,
) -> Result<ClientTree, ConnectError> {
    mount::connect(target, &credentials.logon()).await
}

async fn stop_signal() {
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

/// The directory's name in logs and tables.
pub(super) fn shown(directory: &Path) -> String {
    crate::output::clean_line(&directory.display().to_string())
}

/// The most bytes of the parameters, which are a few names and paths.
const ORDER_BYTES_MAX: u64 = 64 << 10;

/// The threads that serve a mount; while one handles a large answer, another is free.
const WORKERS: usize = 2;
