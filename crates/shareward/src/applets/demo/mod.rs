//! `shareward demo`: a server, three clients and an administrator, live.

mod clients;
mod stage;
mod story;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use stage::Stage;

pub(super) static APPLET: Applet = Applet {
    names: &["demo"],
    family: Family::Own,
    summary: "Run a demonstration with a temporary server and clients",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD DEMO
[--keep]
",
    about: "\
Starts a server on a free port of this machine with a temporary directory,
connects three SMB clients, and runs net commands that show what the clients do
and close their files and sessions. Everything is removed afterwards.

  --keep   keep the server running afterwards, so that you can try your own
           clients and commands; Ctrl-C stops it

Exit codes: 0 every step had its effect; 1 a step failed, as printed.
",
};

const KEEP: Switch = Switch::own("KEEP", Takes::Nothing);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, &[KEEP]).map_err(usage)?;
    if !words.operands.is_empty() {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    }
    let runtime = server::Runtime::start().map_err(failed("cannot start"))?;
    let outcome = runtime.block_on(perform(words.has(&KEEP), console));
    runtime.shut_down();
    outcome
}

async fn perform(keep: bool, console: &mut Console) -> Result<(), Failure> {
    let mut stop = Stop::new().map_err(failed("cannot wait for signals"))?;
    let stage = Stage::set()?;
    let told = tokio::select! {
        told = story::run_all(&stage, console) => told,
        () = stop.asked() => Err(Failure::Plain(String::from("interrupted"))),
    };
    let outcome = match told {
        Ok(clients) if keep => {
            // The clients stay connected, so that lists are not empty.
            let outcome = invite(&stage, console);
            tokio::select! {
                () = stop.asked() => {}
                () = stage.stop_asked() => {}
            }
            drop(clients);
            outcome
        }
        Ok(clients) => clients.leave().await,
        Err(failure) => Err(failure),
    };
    let cleared = stage.clear().await;
    outcome.and(cleared)?;
    if !keep {
        console.line("The server has stopped, and its directory is gone.");
    }
    Ok(())
}

/// Prints how to use the running server.
fn invite(stage: &Stage, console: &mut Console) -> Result<(), Failure> {
    let address = stage.listening(std::net::Ipv4Addr::LOCALHOST.into())?;
    let (program, socket) = (stage.program().display(), stage.socket());
    let socket = socket.display();
    console.line(&format!(
        "\
The server keeps running. In another terminal:

  smbclient //{}/{} -p {} -U '{}'
  {program} net session --socket {socket}
  {program} net file --socket {socket}
  {program} net file ID /close --socket {socket}

Ctrl-C here stops it and removes {}.",
        address.ip(),
        stage::SHARE,
        address.port(),
        stage.users().map(|(user, password)| format!("{user}%{password}")).collect::<Vec<_>>().join("' or '"),
        stage.directory().display(),
    ));
    console.finish()
}

/// A request by a signal to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A failure with the attempted action and the error.
fn failed<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Plain(format!("{what}: {error}"))
}
