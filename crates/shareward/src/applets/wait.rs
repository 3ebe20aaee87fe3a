//! `net wait`: waits until nobody has a file open.

use std::time::{Duration, Instant};

use client::Administration;
use control::{NewHold, OpenFile, Who, WhoQuery};
use serde::Serialize;
use tokio::time::sleep;

use super::{Applet, Family, Help, command_line, held};
use crate::administration;
use crate::cli::{self, Switch, Takes};
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::open_files::{counted, shown_path, whose};
use crate::output::{Console, clean_line, local_time};
use crate::who_query;

pub(super) static APPLET: Applet = Applet {
    names: &["wait"],
    family: Family::Net,
    summary: "Wait until nobody has a file or directory open",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET WAIT
path [--timeout LENGTH] [--share NAME] [--json]
path [--timeout LENGTH] [--share NAME] [--let-in] -- COMMAND [ARGUMENTS]
[--server NAME] [--login USER] [--credentials FILE] [--socket PATH]
[--kerberos | --ntlm]
",
    about: "\
Waits until nobody has the file open, or anything below the directory. With a
command, holds the path from that moment, and runs the command: until it ends,
nobody can open the path over SMB (they get a sharing violation).

  path       a path on this machine, or //server/share/path
  --timeout  how long to wait: 90s, 5m, 2h; 0 checks once. Default: no limit
  --share    the path is relative to this share
  --let-in   let others open the path while the command runs
  --json     print one JSON document
  --server   ask this server instead of the local one: a name, or samba:,
             ksmbd: or nfs: on this machine
  --socket   path of the local server's control socket

Exit codes: 0 nobody has it open; 1 it was still open when the time was over
(the output lists the opens); 2 an error occurred. With a command: its own exit
code; 124 the time was over; 125 an error occurred before it ran; 126 or 127 it
cannot be run or found. The hold ends with the command, and when this process
is killed; TERM and HUP are passed on to the command.
",
};

const LET_IN: Switch = Switch::own("LET-IN", Takes::Nothing);
const TIMEOUT: Switch = Switch::own("TIMEOUT", Takes::Value);

/// The content of `--json`.
#[derive(Serialize)]
struct Waited {
    free: bool,
    seconds: u64,
    share: Option<String>,
    path: String,
    holders: Vec<OpenFile>,
}

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    if let Some(place) = words.iter().position(|word| word == "--")
        && let (own, [_, command @ ..]) = words.split_at(place)
        && !own.is_empty()
    {
        return run_held(own, command, console);
    }
    let outcome = waited(words, console);
    // 1 means that the file is still open, so every error has the same other code.
    outcome.map_err(|failure| match failure {
        Failure::Reported(code) => Failure::Reported(code),
        failure => Failure::Exit { failure: Box::new(failure), code: ERROR },
    })
}

/// Runs a command while the path is held.
fn run_held(words: &[String], command: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let sorted = cli::parse_paths(words, &who_query::known(&[TIMEOUT, LET_IN]));
    let (words, options) = command_line(sorted, &HELP, console)?;
    let program = command.first().ok_or_else(|| usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)))?;
    if options.json {
        return Err(usage(
            Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)
                .hint("with a command, the output is that of the command"),
        ));
    }
    let timeout = cli::length(&words, &TIMEOUT).map_err(usage)?;
    let query = who_query::question(&words, &options.target).map_err(usage)?;
    let purpose = program.chars().filter(|it| !it.is_control()).take(PURPOSE_MAX).collect();
    let new = NewHold { path: query.path, share: query.share, lets_in: words.has(&LET_IN), purpose };
    held::run(&*administration::of(&options.target)?, &new, command, timeout, console)
}

fn waited(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) =
        command_line(cli::parse_paths(words, &who_query::known(&[TIMEOUT])), &HELP, console)?;
    let timeout = cli::length(&words, &TIMEOUT).map_err(usage)?;
    let query = who_query::question(&words, &options.target).map_err(usage)?;
    let server = administration::of(&options.target)?;
    let started = Instant::now();
    let who = administration::run(until_free(&*server, query, timeout, console));
    console.progress("");
    let who = who?;
    let free = who.holders.is_empty();
    if options.json {
        let (share, path) = (who.share, who.path);
        let seconds = started.elapsed().as_secs();
        console.document("waited", &Waited { free, seconds, share, path, holders: who.holders })?;
    } else if free {
        console.line(&format!("Nobody has {} open.", clean_line(&who_query::subject(&who))));
        console.line(&format!("{}\n", messages::COMPLETED));
    } else {
        console.line(&format!("{} is still open:\n", clean_line(&who_query::subject(&who))));
        for file in &who.holders {
            let since =
                file.opened_at.map(|time| format!(", since {}", local_time(time))).unwrap_or_default();
            console.line(&clean_line(&format!("{}  {}  {}{since}", file.id, shown_path(file), whose(file))));
        }
        console.line("");
    }
    if free { Ok(()) } else { Err(Failure::Reported(ExitCode::System(STILL_OPEN))) }
}

/// Asks until nobody has the file open or the time is over. The server waits, too, so that the answer comes as soon
/// as the last open is closed. A server that cannot wait is asked every second.
async fn until_free(
    server: &dyn Administration,
    mut query: WhoQuery,
    timeout: Option<Duration>,
    console: &mut Console,
) -> Result<Who, Failure> {
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let whole_seconds = left.map_or(u64::MAX, |left| left.as_secs());
        let wait = u32::try_from(whole_seconds).unwrap_or(u32::MAX).min(control::limits::WAIT_MAX);
        query.wait = Some(wait).filter(|seconds| *seconds > 0);
        let asked = Instant::now();
        let who = who_query::ask(server, &query).await?;
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if who.holders.is_empty() || left.is_some_and(|left| left.is_zero()) {
            return Ok(who);
        }
        console.progress(&format!("Waiting: {} ...", counted(&who.holders)));
        let pause = AT_MOST_EVERY.saturating_sub(asked.elapsed());
        sleep(left.map_or(pause, |left| left.min(pause))).await;
    }
}

/// The characters of the command's name in lists of holds.
const PURPOSE_MAX: usize = 200;

const STILL_OPEN: u8 = 1;
const ERROR: u8 = 2;
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
