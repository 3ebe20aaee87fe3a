//! Ends connections.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use wire::names::eq_ignore_case;

use super::operand::{Local, Operand, conventional};
use super::remembered::Remembered;
use super::show::{self, ListedConnection};
use crate::cli::Options;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line};
use crate::prompt::{self, DefaultAnswer, Preset};

/// The ended connections, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Deleted {
    connections: Vec<PathBuf>,
}

/// Ends the connection of a directory, or all connections to a share.
pub(super) fn one(
    operand: &Operand,
    remembered: &mut Remembered,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut connections = show::all(remembered)?;
    match operand {
        Operand::Local(Local::Directory(directory)) => {
            connections.retain(|connection| connection.local == *directory);
        }
        Operand::Remote(target) => {
            let remote = target.to_string();
            connections.retain(|connection| eq_ignore_case(&connection.remote, &remote));
        }
        Operand::Local(Local::Any) | Operand::Password(_) => connections.clear(),
    }
    if connections.is_empty() {
        return Err(Numbered::new(control::number::USE_NOT_FOUND).into());
    }
    end(&connections, remembered, options.preset, console)
}

/// Ends all connections.
pub(super) fn all(
    remembered: &mut Remembered,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let connections = show::all(remembered)?;
    if connections.is_empty() {
        if console.json() {
            return console.document("deleted", &Deleted { connections: Vec::new() });
        }
        console.line(&format!("{}\n", messages::NO_ENTRIES));
        return Ok(());
    }
    let lines: String = connections
        .iter()
        .map(|connection| {
            let local = clean_line(&connection.local.display().to_string());
            format!("    {local:<15} {}\n", clean_line(&connection.remote))
        })
        .collect();
    let warning = format!("{}\n\n{lines}{}\n\n", messages::REMOTE_CONNECTIONS, messages::CONTINUING_CANCELS);
    prompt::confirm(console, &warning, DefaultAnswer::No, options.preset)?;
    end(&connections, remembered, options.preset, console)
}

fn end(
    connections: &[ListedConnection],
    remembered: &mut Remembered,
    preset: Preset,
    console: &mut Console,
) -> Result<(), Failure> {
    for connection in connections {
        if connection.via.is_some() {
            unmount(connection, preset, console)?;
        }
        remembered.remove(&connection.local)?;
    }
    if console.json() {
        let connections = connections.iter().map(|connection| connection.local.clone()).collect();
        return console.document("deleted", &Deleted { connections });
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn unmount(connection: &ListedConnection, preset: Preset, console: &mut Console) -> Result<(), Failure> {
    let directory = &connection.local;
    match unmount_idle(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let name = clean_line(&directory.display().to_string());
            let warning = format!("{}\n\n", messages::insert(messages::OPEN_ON_CONNECTION, &name));
            let question = messages::FORCE_QUESTION;
            prompt::ask(console, &warning, question, DefaultAnswer::No, preset)?;
            mount::unmount(directory, true).map_err(|error| refused(&error))?;
            if let Some(pid) = connection.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
            {
                // Open files keep the mount alive until its process ends. The process may already have ended.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        Err(error) => return Err(refused(&error)),
    }
    tidy(directory, connection);
    Ok(())
}

/// Unmounts an idle directory. A program that lists the machine's mounts makes each busy for a moment.
fn unmount_idle(directory: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match mount::unmount(directory, false) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

fn refused(error: &io::Error) -> Failure {
    let number = match error.kind() {
        io::ErrorKind::PermissionDenied => 5,
        io::ErrorKind::ResourceBusy => 2401,
        io::ErrorKind::InvalidInput | io::ErrorKind::NotFound => control::number::USE_NOT_FOUND,
        _ => 59,
    };
    Numbered::new(number).hint(error.to_string()).into()
}

/// Removes a directory that was created for its connection.
fn tidy(directory: &Path, connection: &ListedConnection) {
    let words = [connection.remote.clone()];
    let Ok(operands) = super::operand::all(&words, None) else { return };
    if let [Operand::Remote(target)] = operands.as_slice()
        && conventional(target).as_deref() == Some(directory)
    {
        // The parent may contain other connections.
        let _ = std::fs::remove_dir(directory);
        let _ = directory.parent().map(std::fs::remove_dir);
    }
}

/// The number of attempts to unmount a busy directory before the user is asked, and the pause between them: longer
/// than a look at the directory takes, too short to notice.
const BUSY_TRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(50);
