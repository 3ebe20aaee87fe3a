//! Drains in commands: beginning and ending one, and its description.

use client::Administration;
use control::{Drain, DrainPhase, DrainScope, EndDrain, FileQuery, NewDrain, OpenFile};

use crate::administration;
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::listing::TableForm;
use crate::messages;
use crate::open_files;
use crate::output::{Console, Of, clean_line, local_time};

pub(super) const DRAIN: Switch = Switch::own("DRAIN", Takes::Optional);
pub(super) const UNDRAIN: Switch = Switch::own("UNDRAIN", Takes::Nothing);
pub(super) const STRICT: Switch = Switch::own("STRICT", Takes::Nothing);

/// The request of the words for a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Begin(NewDrain),
    End,
}

/// The request of the words, without its scope; `None` if there is none.
pub(super) fn asked(words: &Words) -> Result<Option<Asked>, Numbered> {
    let conflict = || Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER);
    match (words.has(&DRAIN), words.has(&UNDRAIN), words.has(&STRICT)) {
        (false, false, false) => Ok(None),
        (false, true, false) => Ok(Some(Asked::End)),
        (true, false, strict) => {
            let seconds = words.value(&DRAIN).map(|text| cli::deadline(text, "/DRAIN")).transpose()?;
            let seconds = seconds.map(|it| it.as_secs());
            Ok(Some(Asked::Begin(NewDrain { seconds, strict, ..NewDrain::default() })))
        }
        (false, false, true) => Err(conflict().hint("/STRICT requires /DRAIN")),
        (true, true, _) | (false, true, true) => Err(conflict()),
    }
}

/// Begins or ends the drain of this scope, and shows who is left.
pub(super) fn carry_out(
    server: &dyn Administration,
    asked: &Asked,
    scope: &EndDrain,
    console: &mut Console,
) -> Result<(), Failure> {
    let EndDrain { share, client } = scope.clone();
    match asked {
        Asked::Begin(new) => {
            let new = NewDrain { share, client, ..new.clone() };
            let begun = administration::run(async { Ok(server.begin_drain(&new).await?) })?;
            if console.json() {
                return console.document("drain", &begun);
            }
            console.line(&format!("{}.\n", sentence(&begun)));
            show_left(server, &begun, console)?;
        }
        Asked::End => {
            let ended = administration::run(async { Ok(server.end_drain(scope).await?) })?;
            if console.json() {
                return console.document("drain", &ended);
            }
            console.line(&format!("{} takes new opens again.\n", clean_line(&subject(&ended))));
        }
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// Lists the files that are still open.
fn show_left(server: &dyn Administration, drain: &Drain, console: &mut Console) -> Result<(), Failure> {
    let query =
        FileQuery { share: drain.share.clone(), client: drain.client.clone(), ..FileQuery::default() };
    let files = administration::run(async { Ok(server.files(&query).await?) })?;
    let left: Vec<OpenFile> = files.into_iter().filter(|it| !it.pipe && it.directory != Some(true)).collect();
    if left.is_empty() {
        console.line("No file is open.\n");
        return Ok(());
    }
    let listed: Vec<Of<OpenFile>> =
        left.iter().take(SHOWN_MAX).map(|file| Of { server: None, entry: file.clone() }).collect();
    let form = TableForm { width: console.width(), ..TableForm::default() };
    console.write(&open_files::table(&listed, false, form));
    if left.len() > SHOWN_MAX {
        console.line(&format!("and {} more", left.len() - SHOWN_MAX));
    }
    console.line(&format!("\n{}.\n", open_files::counted(&left)));
    Ok(())
}

/// The part of the server that a drain is about.
fn subject(drain: &Drain) -> String {
    match drain.scope {
        DrainScope::Server => String::from("The server"),
        DrainScope::Share => drain.share.clone().unwrap_or_default(),
        DrainScope::Client => format!(r"\\{}", drain.client.as_deref().unwrap_or_default()),
    }
}

/// A short sentence about a drain, without the users that are left.
pub(super) fn short(drain: &Drain) -> String {
    let until = drain.deadline.map(|at| format!(" until {}", local_time(at))).unwrap_or_default();
    match drain.phase {
        DrainPhase::Waiting => clean_line(&format!("{} is being drained{until}", subject(drain))),
        DrainPhase::Ending | DrainPhase::Done => sentence(drain),
    }
}

/// A sentence about a drain, without its full stop.
pub(super) fn sentence(drain: &Drain) -> String {
    let subject = subject(drain);
    let text = match drain.phase {
        DrainPhase::Waiting => {
            let until = match drain.deadline {
                Some(at) => format!("until {}", local_time(at)),
                None => String::from("until no file is open"),
            };
            let users = match drain.users.as_slice() {
                [] => String::new(),
                users => format!(" ({})", users.join(", ")),
            };
            let open = open_files::number(drain.files as usize, "file", "files");
            format!("{subject} is being drained {until}; {open} open{users}")
        }
        DrainPhase::Ending => format!("{subject} is being drained; the last files are being closed"),
        DrainPhase::Done => {
            let Drain { clean, flushed, forced, .. } = drain;
            let at = drain.done_at.map(|at| format!(" since {}", local_time(at))).unwrap_or_default();
            let closed = match clean + flushed + forced {
                0 => String::new(),
                _ => format!("; closed: {clean} clean, {flushed} flushed, {forced} forced"),
            };
            format!("{subject} is drained{at}{closed}")
        }
    };
    clean_line(&text)
}

/// The most rows of files that are shown.
const SHOWN_MAX: usize = 20;
