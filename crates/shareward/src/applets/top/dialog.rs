//! The windows above the list: help, details of an entry, and the question before an act.

use control::{CloseFile, Session};

use super::model::Command;
use super::server_state::{FileId, ServerState};
use super::table::{RowKey, session_key};
use crate::applets::session::shown;
use crate::open_files;
use crate::output::{Of, bytes, clean_line, local_time};

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialog {
    Help,
    Detail(RowKey),
    Confirm(Box<Act>),
}

/// An act of the user on an entry, before it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    question: Vec<String>,
    subject: String,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    File(usize, u32, CloseFile),
    Session(usize, Box<Session>),
}

impl Act {
    /// Closes the open of a row.
    pub(super) fn of_close(key: &RowKey, servers: &[ServerState]) -> Result<Self, &'static str> {
        let RowKey::File(number, id) = key else {
            return Err("Only an open file can be closed: 2 shows them.");
        };
        let file = servers.get(*number).and_then(|it| it.files.as_ref()?.get(id));
        let file = file.ok_or("This file is closed already.")?;
        let path = clean_line(open_files::shown_path(file));
        let mut question =
            vec![format!("Close {path},"), clean_line(&format!("open by {}?", open_files::whose(file)))];
        match open_files::may_have_unwritten(file) {
            Some(true) => question.push(String::from("The client writes its cached changes first.")),
            None if open_files::may_write(file) => {
                question.push(String::from("Changes that are not written yet may be lost."));
            }
            _ => {}
        }
        // Ids are reused at some time: the server compares what the user has confirmed.
        let user = Some(file.user.clone()).filter(|it| !it.is_empty() && file.guest != Some(true));
        let path_now = open_files::shown_path(file).to_owned();
        let how = CloseFile { expect_user: user, expect_path: Some(path_now), ..CloseFile::default() };
        Ok(Self { question, subject: path, target: Target::File(*number, file.id, how) })
    }

    /// Ends the session of a row, or the session that has the file of a row open.
    pub(super) fn of_end(key: &RowKey, servers: &[ServerState]) -> Result<Self, &'static str> {
        let session = match key {
            RowKey::Session(number, ..) => {
                find_session(servers, *number, |it| session_key(*number, it) == *key)
            }
            RowKey::File(number, id) => session_of_file(servers, *number, id),
            _ => return Err("Only a session can be ended: 1 shows them."),
        };
        let (number, session) = session.ok_or("This session has ended already.")?;
        let whose = clean_line(&open_files::by(&session.user, Some(&session.computer)));
        let mut question = vec![format!("End the session of {whose}?")];
        match session.opens {
            Some(0) => {}
            Some(opens) => {
                let opens = usize::try_from(opens).unwrap_or(usize::MAX);
                question.push(format!(
                    "It has {} open; unwritten changes are lost.",
                    open_files::number(opens, "file", "files")
                ));
            }
            None => question.push(String::from("Its open files are closed; unwritten changes are lost.")),
        }
        let target = Target::Session(number, Box::new(session.clone()));
        Ok(Self { question, subject: format!("the session of {whose}"), target })
    }

    /// The work, once it is confirmed.
    pub(super) fn command(&self) -> Command {
        match &self.target {
            Target::File(server, id, how) => Command::Close(*server, *id, how.clone()),
            Target::Session(server, session) => Command::End(*server, session.clone()),
        }
    }

    /// The text that is shown until the outcome is known.
    pub(super) fn progress(&self) -> String {
        match &self.target {
            Target::File(..) => format!("Closing {} ...", self.subject),
            Target::Session(..) => format!("Ending {} ...", self.subject),
        }
    }

    /// The lines of the question.
    pub(super) fn question(&self) -> Vec<String> {
        let mut lines = self.question.clone();
        lines.push(String::new());
        lines.push(String::from("y yes   n no"));
        lines
    }
}

fn find_session(
    servers: &[ServerState],
    number: usize,
    is_it: impl Fn(&Session) -> bool,
) -> Option<(usize, &Session)> {
    let sessions = servers.get(number)?.sessions.as_ref()?;
    sessions.iter().find(|it| is_it(it)).map(|it| (number, it))
}

fn session_of_file<'a>(
    servers: &'a [ServerState],
    number: usize,
    id: &FileId,
) -> Option<(usize, &'a Session)> {
    let file = servers.get(number)?.files.as_ref()?.get(id)?;
    let of_file = |it: &Session| match (file.session_id, it.id) {
        (Some(of), Some(id)) => of == id,
        _ => it.user == file.user && file.computer.as_ref() == Some(&it.computer),
    };
    find_session(servers, number, of_file)
}

/// The lines about an entry; `None` if it has ended.
pub(super) fn detail(key: &RowKey, servers: &[ServerState]) -> Option<Vec<String>> {
    let lines = |text: String| text.lines().map(clean_line).collect();
    match key {
        RowKey::Session(number, ..) => {
            let (_, session) = find_session(servers, *number, |it| session_key(*number, it) == *key)?;
            let it = Of { server: None, entry: session.clone() };
            Some(lines(shown::details(&[it], true, true, false)))
        }
        RowKey::File(number, id) => {
            let file = servers.get(*number)?.files.as_ref()?.get(id)?;
            Some(lines(format!("{}{}", open_files::detail(file), open_files::more(file))))
        }
        RowKey::Path(number, share, path) => {
            let server = servers.get(*number)?;
            let is_it = |(_, file): &(&FileId, &control::OpenFile)| {
                file.share.as_deref().unwrap_or_default() == share && file.path == *path
            };
            let opens: Vec<_> = server.files.as_ref()?.iter().filter(is_it).collect();
            let mut text = vec![clean_line(&format!("{share}\\{path}")), String::new()];
            for (id, file) in &opens {
                let rate = bytes(server.busy.get(*id).copied().unwrap_or(0));
                text.push(clean_line(&format!("{}  {}  {rate}/s", file.id, open_files::whose(file))));
            }
            (!opens.is_empty()).then_some(text)
        }
        RowKey::Refusal(number, event) => {
            let refused = servers.get(*number)?.refusals.iter().find(|it| it.number == *event)?;
            let at = refused.at.map(local_time).unwrap_or_default();
            let who = open_files::by(&refused.user, Some(&refused.computer));
            let holder = if refused.holder.is_empty() { "nobody" } else { &refused.holder };
            let text = [
                format!("Time        {at}"),
                format!("Reason      {}", refused.reason),
                format!("Path        {}\\{}", refused.share, refused.path),
                format!("Refused     {who}"),
                format!("In the way  {holder}"),
            ];
            Some(text.iter().map(|line| clean_line(line)).collect())
        }
    }
}

/// The lines of the help.
pub(super) const HELP: [&str; 17] = [
    "1 2 3 4, Tab   sessions, open files, busiest, refusals",
    "Up Down, j k   move; PgUp PgDn Home End as usual",
    "Enter          details of the entry",
    "",
    "c              close the open file kindly: its client",
    "               writes its cached changes first",
    "e              end the session",
    "",
    "f              filter: show only entries with a text",
    "Esc            remove the filter, close a window",
    "/ n N          search for a text, next, previous",
    "s r            sort by the next column, reverse",
    "",
    "R              ask all servers again",
    "Ctrl-L Ctrl-Z  draw again, suspend",
    "q, Ctrl-C      quit",
    "?              this help",
];
