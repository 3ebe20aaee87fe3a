//! Closes one open by its id, or all opens that match the filters.

use client::Administration;
use control::{AnnounceClose, CloseFile, Ended, FileQuery, OpenFile, Outcome, number};
use serde::Serialize;

use super::{EXPECT_PATH, EXPECT_USER, FORCE, GRACE};
use crate::administration;
use crate::cli::{self, Format, Words};
use crate::failure::{Failure, Numbered};
use crate::listing::TableForm;
use crate::messages;
use crate::open_files::{self, counted, may_have_unwritten, may_write, shown_path, whose};
use crate::output::{Console, Of, clean_line, local_time};
use crate::prompt::{self, DefaultAnswer, Preset};

/// The options of a close.
pub(super) struct How(CloseFile);

impl How {
    /// The options in `words`.
    pub(super) fn of(words: &Words) -> Result<Self, Numbered> {
        let grace = words.value(&GRACE).map(|text| {
            let seconds = text.parse().ok().filter(|seconds| *seconds <= control::limits::GRACE_MAX);
            seconds.ok_or_else(|| {
                Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
                    .about(GRACE.shown())
                    .hint(format!("the value is a number of seconds, at most {}", control::limits::GRACE_MAX))
            })
        });
        let grace = grace.transpose()?;
        if words.has(&FORCE) && grace.is_some() {
            return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
        }
        let text = |switch| words.value(switch).map(str::to_owned);
        Ok(Self(CloseFile {
            force: words.has(&FORCE),
            grace,
            expect_user: text(&EXPECT_USER),
            expect_path: text(&EXPECT_PATH),
        }))
    }

    /// True if the expectations match this open. The server checks them again.
    fn expects(&self, file: &OpenFile) -> bool {
        self.0.expects(file)
    }
}

/// A close and its options.
pub(super) struct Closing {
    pub(super) how: How,
    pub(super) dry_run: bool,
    pub(super) preset: Preset,
    pub(super) format: Format,
}

/// The result for one of several opens, as `--json` prints it.
#[derive(Serialize)]
struct Closed {
    id: u32,
    path: String,
    user: String,
    computer: Option<String>,
    outcome: Option<Outcome>,
    error: Option<control::Error>,
}

impl Closing {
    /// Closes the open `id`. Asks only if the client may lose unwritten changes.
    pub(super) fn one(
        &self,
        server: &dyn Administration,
        id: u32,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let file = administration::run(async {
            match server.file(id).await {
                Ok(file) => Ok(Some(file)),
                // A server that cannot show one open may still close it.
                Err(error) if error.number() == number::NOT_SUPPORTED => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        if let Some(file) = file.as_ref().filter(|file| !self.how.expects(file)) {
            let whose = format!("{} of {}", shown_path(file), whose(file));
            return Err(Numbered::new(number::FILE_ID_NOT_FOUND)
                .hint(format!("this id now stands for {whose}"))
                .into());
        }
        if self.dry_run {
            return self.would_close(&file.into_iter().collect::<Vec<_>>(), console);
        }
        if let Some(warning) = self.warning(file.as_ref()) {
            prompt::confirm(console, &format!("{warning}\n\n"), DefaultAnswer::No, self.preset)?;
        }
        if !self.how.0.force && file.as_ref().and_then(may_have_unwritten) == Some(true) {
            console.progress("Waiting for the client to write its cached changes ...");
        }
        let ended = administration::run(async { Ok(server.close_file(id, &self.how.0).await?) });
        console.progress("");
        let ended = ended?;
        if self.format.is_json() {
            return console.document("ended", &ended);
        }
        if let Some(outcome) = ended.outcome {
            console.line(outcome_message(outcome));
        }
        console.line(&format!("{}\n", messages::COMPLETED));
        Ok(())
    }

    /// The announcement that `/NOTICE` asks for; `None` to cancel one.
    pub(super) fn planned(&self, notice: &str, text: &str) -> Result<Option<AnnounceClose>, Numbered> {
        if notice.eq_ignore_ascii_case("cancel") {
            return match text {
                "" => Ok(None),
                _ => Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)),
            };
        }
        let CloseFile { grace, expect_user, expect_path, .. } = self.how.0.clone();
        let seconds = cli::deadline(notice, "/NOTICE")?.as_secs();
        Ok(Some(AnnounceClose { seconds, text: text.to_owned(), grace, expect_user, expect_path }))
    }

    /// Announces the close of the open `id`, or cancels that.
    pub(super) fn later(
        &self,
        server: &dyn Administration,
        id: u32,
        planned: Option<AnnounceClose>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let file = administration::run(async {
            Ok(match &planned {
                Some(announced) => server.announce_close(id, announced).await?,
                None => server.cancel_close(id).await?,
            })
        })?;
        if self.format.is_json() {
            return console.document("file", &file);
        }
        let path = clean_line(shown_path(&file));
        match &file.closing {
            Some(closing) => {
                let at = local_time(closing.at);
                console.line(&format!("{path} of {} is closed at {at}.\n", clean_line(&whose(&file))));
            }
            None => console.line(&format!("{path} stays open.\n")),
        }
        console.line(&format!("{}\n", messages::COMPLETED));
        Ok(())
    }

    /// Closes all opens that match, after one question.
    pub(super) fn matching(
        &self,
        server: &dyn Administration,
        query: &FileQuery,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let mut files = administration::run(async { Ok(server.files(query).await?) })?;
        files.retain(|file| !server.carries(file));
        if self.dry_run {
            return self.would_close(&files, console);
        }
        if !files.is_empty() {
            let (warning, default) = self.question(&files, console.width());
            prompt::confirm(console, &warning, default, self.preset)?;
        }
        let mut closed = Vec::new();
        for (index, file) in files.iter().enumerate() {
            console.progress(&format!("Closing {} of {} ...", index + 1, files.len()));
            let outcome = administration::run(async { Ok(self.close(server, file).await) });
            console.progress("");
            match outcome? {
                Ok(ended) => closed.push((file, Ok(ended))),
                Err(error) if is_about_one(&error) => closed.push((file, Err(Numbered::from(error)))),
                Err(error) => {
                    // The connection is lost, or the server refuses everything: the results so far are reported.
                    closed.push((file, Err(Numbered::from(error))));
                    break;
                }
            }
        }
        self.report(&closed, console)
    }

    /// Closes an open only if it still has the listed user and path.
    async fn close(&self, server: &dyn Administration, file: &OpenFile) -> Result<Ended, client::Error> {
        let given = &self.how.0;
        let how = CloseFile {
            expect_user: given
                .expect_user
                .clone()
                // An account is never a guest's name.
                .or_else(|| Some(file.user.clone()).filter(|it| !it.is_empty() && file.guest != Some(true))),
            expect_path: given.expect_path.clone().or_else(|| Some(shown_path(file).to_owned())),
            ..given.clone()
        };
        server.close_file(file.id, &how).await
    }

    fn warning(&self, file: Option<&OpenFile>) -> Option<String> {
        let Some(file) = file else {
            return Some("Changes that the client has not written yet may be lost.".to_owned());
        };
        let who = clean_line(&whose(file));
        let path = clean_line(shown_path(file));
        match may_have_unwritten(file) {
            Some(true) if self.how.0.force => Some(format!(
                "{path} is open by {who},\n\
                 which may have cached changes. Forcing the close loses them."
            )),
            None if may_write(file) => Some(format!(
                "{path} is open for writing by {who}.\n\
                 This server closes it at once; changes that are not written yet are lost."
            )),
            _ => None,
        }
    }

    /// The list of opens with a warning, and the default answer: yes only if nothing can be lost.
    fn question(&self, files: &[OpenFile], width: Option<usize>) -> (String, DefaultAnswer) {
        let form = TableForm { width, ..TableForm::default() };
        let listed: Vec<Of<OpenFile>> =
            files.iter().take(SHOWN_MAX).map(|file| Of { server: None, entry: file.clone() }).collect();
        let mut text = format!("These files will be closed:\n\n{}", open_files::table(&listed, false, form));
        if files.len() > SHOWN_MAX {
            text.push_str(&format!("and {} more\n", files.len() - SHOWN_MAX));
        }
        text.push_str(&format!("\n{}.\n", counted(files)));
        let losing = files.iter().filter(|file| self.warning(Some(file)).is_some()).count();
        if losing > 0 {
            text.push_str(&format!(
                "{} may have changes that are not written yet and would be lost.\n",
                if losing == files.len() { "All".to_owned() } else { format!("{losing} of them") }
            ));
        }
        text.push('\n');
        let harmless = losing == 0 && !files.iter().any(may_write);
        (text, if harmless { DefaultAnswer::Yes } else { DefaultAnswer::No })
    }

    fn would_close(&self, files: &[OpenFile], console: &mut Console) -> Result<(), Failure> {
        if self.format.is_json() {
            return console.document("would_close", &files);
        }
        if files.is_empty() {
            console.line(&format!("{}\n", messages::NO_ENTRIES));
            return Ok(());
        }
        let form = TableForm { width: console.width(), ..TableForm::default() };
        let listed: Vec<Of<OpenFile>> =
            files.iter().map(|file| Of { server: None, entry: file.clone() }).collect();
        console.write(&format!("\n{}\n", open_files::table(&listed, false, form)));
        console.line(&format!("{}. Dry run: no file was closed.\n", counted(files)));
        Ok(())
    }

    fn report(
        &self,
        closed: &[(&OpenFile, Result<Ended, Numbered>)],
        console: &mut Console,
    ) -> Result<(), Failure> {
        let failed = || closed.iter().filter_map(|(file, outcome)| Some((*file, outcome.as_ref().err()?)));
        if self.format.is_json() {
            let all: Vec<Closed> = closed.iter().map(|(file, outcome)| closed_entry(file, outcome)).collect();
            console.document("closed", &all)?;
        } else if closed.is_empty() {
            console.line(&format!("{}\n", messages::NO_ENTRIES));
        } else {
            console.line(&summary(closed));
            for (file, error) in failed() {
                let path = clean_line(shown_path(file));
                console.error(&format!("{} {path}: {}\n", file.id, error.sentence()));
            }
        }
        match failed().find(|(_, error)| !is_gone(error)) {
            Some((_, error)) => Err(Failure::Reported(error.exit_code())),
            None if self.format.is_json() || closed.is_empty() => Ok(()),
            None => {
                console.line(&format!("{}\n", messages::COMPLETED));
                Ok(())
            }
        }
    }
}

fn summary(closed: &[(&OpenFile, Result<Ended, Numbered>)]) -> String {
    let ended = || closed.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
    let of = |outcome| ended().filter(|ended| ended.outcome == Some(outcome)).count();
    let outcomes = [(Outcome::Clean, "clean"), (Outcome::Flushed, "flushed"), (Outcome::Forced, "forced")];
    let parts: Vec<String> = outcomes
        .into_iter()
        .map(|(outcome, name)| (of(outcome), name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let mut text = format!("{} closed", open_files::number(ended().count(), "file", "files"));
    if !parts.is_empty() {
        text.push_str(&format!(": {}", parts.join(", ")));
    }
    text.push('.');
    let errors = closed.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
    let gone = errors.filter(|error| is_gone(error)).count();
    if gone > 0 {
        text.push_str(&format!(" {gone} had already been closed or renamed."));
    }
    text
}

fn closed_entry(file: &OpenFile, outcome: &Result<Ended, Numbered>) -> Closed {
    Closed {
        id: file.id,
        path: file.path.clone(),
        user: file.user.clone(),
        computer: file.computer.clone(),
        outcome: outcome.as_ref().ok().and_then(|ended| ended.outcome),
        error: outcome.as_ref().err().map(Numbered::content),
    }
}

/// The message for the outcome of a close.
pub(in crate::applets) fn outcome_message(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Clean => "Closed; the client had no unwritten data.",
        Outcome::Flushed => "Closed; the client wrote its cached data first.",
        Outcome::Forced => "Closed; data that the client had cached but not written is lost.",
    }
}

fn is_gone(error: &Numbered) -> bool {
    error.content().code == number::FILE_ID_NOT_FOUND
}

/// True if the error concerns this open only, so that closing the next one may succeed.
fn is_about_one(error: &client::Error) -> bool {
    matches!(error.number(), number::FILE_ID_NOT_FOUND | number::ACCESS_DENIED)
}

/// The most rows shown before a question, so that they fit on a screen.
const SHOWN_MAX: usize = 20;
