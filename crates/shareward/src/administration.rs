//! The way from a command to the server it is about.

use std::future::Future;
use std::path::PathBuf;

use client::{Administration, ControlClient};

use crate::cli;
use crate::failure::{Failure, Numbered};
use crate::messages;

/// The servers that a command line names, and as whom to ask them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// `--socket`: the control socket of a server on this machine.
    pub(crate) socket: Option<PathBuf>,
    /// `--server`: other machines, as `[USER@]NAME[:PORT]`, several with commas between them.
    pub(crate) server: Option<String>,
    /// `--login`: as whom, as `[DOMAIN\]USER`.
    pub(crate) login: Option<String>,
    /// `--credentials`: the file that has user and password.
    pub(crate) credentials: Option<PathBuf>,
}

impl Target {
    /// The same where a command names its server by an operand, as `\\\\NAME`, and not by `--server`.
    pub(crate) fn named_by(&mut self, operands: &[String]) -> Result<(), Numbered> {
        match operands {
            [] => Ok(()),
            [operand] => {
                let computer = cli::computer(operand)?;
                if self.server.is_some() || self.socket.is_some() {
                    return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
                }
                self.server = Some(computer);
                Ok(())
            }
            _ => Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)),
        }
    }
}

/// A server that is asked.
pub(crate) struct Server {
    /// How the command line names it; none for this machine's.
    pub(crate) name: Option<String>,
    /// The way to it.
    pub(crate) administration: Box<dyn Administration>,
}

/// All servers that a command line names.
pub(crate) struct Servers {
    servers: Vec<Server>,
}

impl Servers {
    /// Whether more than one is named, so that answers must say whose they are.
    pub(crate) fn are_several(&self) -> bool {
        self.servers.len() > 1
    }

    /// Asks all of them at the same time. The answers come in the order of the command line.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFn(&dyn Administration) -> Result<T, client::Error>,
    ) -> Vec<(&Server, Result<T, client::Error>)> {
        let asked = self.servers.iter().map(async |server| (server, question(&*server.administration).await));
        futures_util::future::join_all(asked).await
    }
}

/// The servers that the command line names, or this machine's.
pub(crate) fn all_of(target: &Target) -> Result<Servers, Failure> {
    let name = target.server.clone();
    Ok(Servers { servers: vec![Server { name, administration: of(target)? }] })
}

/// The administration of the one server that the command line names, or of this machine's.
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
