//! The way from a command to the server it is about.

use std::future::Future;
use std::path::PathBuf;

use client::{Administration, ControlClient};

use crate::failure::{Failure, Numbered};

/// The server that a command line names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// `--socket`: the control socket of a server on this machine.
    pub(crate) socket: Option<PathBuf>,
    /// `--server`: another machine.
    pub(crate) server: Option<String>,
}

/// The administration of the server that the command line names, or of this machine's.
pub(crate) fn of(target: &Target) -> Result<Box<dyn Administration>, Failure> {
    if target.server.is_some() {
        return Err(Numbered::new(control::number::NOT_SUPPORTED)
            .hint("--server is not available in this version; run the command on the server itself")
            .into());
    }
    let sockets = match &target.socket {
        Some(socket) => vec![socket.clone()],
        None => control::places::socket_candidates(|name| std::env::var_os(name)),
    };
    Ok(Box::new(ControlClient::new(sockets)))
}

/// Runs what talks to the server; a command does one thing at a time.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            let number =
                error.raw_os_error().map_or(ERROR_NOT_ENOUGH_MEMORY, |_errno| ERROR_NO_SYSTEM_RESOURCES);
            Err(Numbered::new(number).hint(error.to_string()).into())
        }
    }
}

const ERROR_NOT_ENOUGH_MEMORY: u32 = 8;
const ERROR_NO_SYSTEM_RESOURCES: u32 = 1450;
