//! `net wait PATH -- COMMAND`: a command that runs while nobody has the path open.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use client::Administration;
use control::{HoldState, NewHold};
use futures_util::StreamExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::administration;
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::open_files::{counted, shown_path, whose};
use crate::output::{Console, clean_line};

/// Waits until nobody has the path of the hold open, runs the command while it is held, and ends with its exit code.
pub(super) fn run(
    server: &dyn Administration,
    new: &NewHold,
    command: &[String],
    timeout: Option<Duration>,
    console: &mut Console,
) -> Result<(), Failure> {
    let code = administration::run(held(server, new, command, timeout, console))?;
    match code {
        0 => Ok(()),
        code => Err(Failure::Reported(ExitCode::System(code))),
    }
}

async fn held(
    server: &dyn Administration,
    new: &NewHold,
    command: &[String],
    timeout: Option<Duration>,
    console: &mut Console,
) -> Result<u8, Failure> {
    let failed = |failure: Failure| Failure::Exit { failure: Box::new(failure), code: FAILED };
    // Before the hold is taken, so that no signal ends this process between the hold and the command.
    let mut signals = Signals::new()
        .map_err(|error| failed(Failure::Plain(format!("cannot wait for signals: {error}"))))?;
    let mut states = server.hold(new).await.map_err(|error| failed(error.into()))?;
    let deadline = timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout));
    let mut last = HoldState::default();
    loop {
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let state = tokio::select! {
            biased;
            state = states.next() => state,
            number = signals.next() => {
                console.progress("");
                return Ok(SIGNALLED.saturating_add(number));
            }
            () = over => {
                console.progress("");
                still_in_use(&last, console);
                return Ok(TIMED_OUT);
            }
        };
        let ended = || failed(Numbered::new(control::number::SERVER_NOT_STARTED).into());
        let state = state.ok_or_else(ended)?.map_err(|error| failed(error.into()))?;
        if state.held.is_some() {
            break;
        }
        console.progress(&format!("Waiting: {} ...", in_the_way(&state)));
        last = state;
    }
    console.progress("");
    let Some((program, arguments)) = command.split_first() else { return Ok(FAILED) };
    let child = Command::new(program).args(arguments).stdin(Stdio::inherit()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTED };
            let failure = Failure::Plain(format!("cannot run {program}: {error}"));
            return Err(Failure::Exit { failure: Box::new(failure), code });
        }
    };
    let mut is_held = true;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| {
                    failed(Failure::Plain(format!("cannot wait for {program}: {error}")))
                })?;
                return Ok(code_of(status));
            }
            number = signals.next() => pass_on(&child, number),
            state = states.next(), if is_held => if !matches!(state, Some(Ok(_))) {
                is_held = false;
                console.error(&format!(
                    "warning: the connection to the server is lost; others can open {} while {program} goes on\n",
                    clean_line(&new.path)
                ));
            },
        }
    }
}

/// The signals that are passed on to the command, so that it can end and its hold is kept until then.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next signal.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            _ = self.hang_up.recv() => 1,
        }
    }
}

/// Sends a signal on to the command. An interrupt at the terminal has reached it already.
fn pass_on(child: &Child, number: u8) {
    let signal = match number {
        15 => rustix::process::Signal::TERM,
        1 => rustix::process::Signal::HUP,
        _ => return,
    };
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // A command that has just ended needs no signal.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The exit code of the command; for a signal, as in a shell.
fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let of_signal = || status.signal().and_then(|number| u8::try_from(number).ok());
    code.or_else(|| of_signal().map(|number| SIGNALLED.saturating_add(number))).unwrap_or(FAILED)
}

fn in_the_way(state: &HoldState) -> String {
    match (state.holders.as_slice(), state.holds.as_slice()) {
        ([], [hold, ..]) => clean_line(&format!("'{}' of {} holds it", hold.purpose, hold.by)),
        (holders, _) => counted(holders),
    }
}

fn still_in_use(state: &HoldState, console: &mut Console) {
    console.error(&format!("{} is still in use:\n\n", clean_line(&state.path)));
    for file in &state.holders {
        let line = format!("{}  {}  {}", file.id, shown_path(file), whose(file));
        console.error(&format!("{}\n", clean_line(&line)));
    }
    for hold in &state.holds {
        console.error(&format!("{}\n", clean_line(&format!("held by {} for '{}'", hold.by, hold.purpose))));
    }
}

/// The exit codes of timeout(1) and env(1): the time is over, this command failed, the other cannot be executed, the
/// other does not exist.
const TIMED_OUT: u8 = 124;
const FAILED: u8 = 125;
const NOT_EXECUTED: u8 = 126;
const NOT_FOUND: u8 = 127;

/// A signal's number is added to this.
const SIGNALLED: u8 = 128;
