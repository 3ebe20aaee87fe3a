//! Ends sessions.

use client::Administration;
use control::{Ended, Session, address, number};

use super::shown;
use crate::administration;
use crate::cli::Format;
use crate::failure::{Failure, Numbered};
use crate::listing::TableForm;
use crate::messages;
use crate::open_files;
use crate::output::{Console, Of, clean_line};
use crate::prompt::{self, DefaultAnswer, Preset};

/// The options of ending sessions.
pub(super) struct Ending {
    pub(super) one_computer: bool,
    pub(super) dry_run: bool,
    pub(super) preset: Preset,
    pub(super) format: Format,
}

impl Ending {
    pub(super) fn run(
        &self,
        server: &dyn Administration,
        sessions: &[Session],
        console: &mut Console,
    ) -> Result<(), Failure> {
        if self.dry_run {
            return self.would_end(sessions, console);
        }
        if sessions.is_empty() && !self.format.is_json() {
            console.line(&format!("{}\n", messages::NO_ENTRIES));
            return Ok(());
        }
        let beside = server.ending_warning(sessions).filter(|_| !sessions.is_empty());
        if let Some((text, default)) = with_beside(warning(sessions, self.one_computer), beside) {
            prompt::confirm(console, &text, default, self.preset)?;
        }
        let (mut ended, mut gone) = (Ended::default(), 0);
        for (index, session) in sessions.iter().enumerate() {
            console.progress(&format!("Ending {} of {} ...", index + 1, sessions.len()));
            let outcome = administration::run(async { Ok(server.end_session(session).await) });
            console.progress("");
            match outcome? {
                Ok(this) => ended = ended.plus(this),
                Err(error) if error.number() == number::CLIENT_NAME_NOT_FOUND => gone += 1,
                Err(error) => return Err(error.into()),
            }
        }
        if self.one_computer && gone == sessions.len() {
            return Err(Numbered::new(number::CLIENT_NAME_NOT_FOUND).into());
        }
        if self.format.is_json() {
            console.document("ended", &ended)?;
        } else {
            console.line(&format!("{}\n", messages::COMPLETED));
        }
        Ok(())
    }

    fn would_end(&self, sessions: &[Session], console: &mut Console) -> Result<(), Failure> {
        if self.format.is_json() {
            return console.document("would_end", &sessions);
        }
        if sessions.is_empty() {
            console.line(&format!("{}\n", messages::NO_ENTRIES));
            return Ok(());
        }
        let listed: Vec<Of<Session>> =
            sessions.iter().map(|session| Of { server: None, entry: session.clone() }).collect();
        console.write(&format!("{}\n", shown::table(&listed, false, TableForm::default())));
        console.line(&format!(
            "{}. Dry run: no session was ended.\n",
            open_files::number(sessions.len(), "session", "sessions")
        ));
        Ok(())
    }
}

/// Adds the sessions that end as a side effect on this server. They are always a reason to ask.
fn with_beside(
    warning: Option<(String, DefaultAnswer)>,
    beside: Option<&str>,
) -> Option<(String, DefaultAnswer)> {
    let Some(beside) = beside else { return warning };
    let text = warning.map(|(text, _)| text).unwrap_or_default();
    Some((format!("{text}{beside}\n\n"), DefaultAnswer::No))
}

/// The warning and the default answer; `None` if no question is needed. The sessions of one computer end without a
/// question if nothing is open.
fn warning(sessions: &[Session], one_computer: bool) -> Option<(String, DefaultAnswer)> {
    let with_files: Vec<&Session> = sessions.iter().filter(|session| session.opens != Some(0)).collect();
    if one_computer {
        let session = with_files.first()?;
        let name = clean_line(&address::bracketed(&session.computer));
        let text = format!("{}\n\n", messages::insert(messages::SESSION_HAS_FILES, &name));
        return Some((text, DefaultAnswer::No));
    }
    if sessions.is_empty() {
        return None;
    }
    if with_files.is_empty() {
        let all: Vec<&Session> = sessions.iter().collect();
        Some((named(messages::SESSIONS_ON_SERVER, &all), DefaultAnswer::Yes))
    } else {
        Some((named(messages::SESSIONS_WITH_FILES, &with_files), DefaultAnswer::No))
    }
}

fn named(heading: &str, sessions: &[&Session]) -> String {
    let mut computers: Vec<String> = Vec::new();
    for session in sessions {
        let name = clean_line(&address::display(&session.computer));
        if !computers.contains(&name) {
            computers.push(name);
        }
    }
    let names: String = computers.iter().map(|name| format!("{:20}{name}\n", "")).collect();
    format!("{heading}\n\n{names}\n")
}
