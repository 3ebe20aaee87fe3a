//! Failures of commands and their messages.

use std::fmt::Write as _;

use crate::applets::Help;
use crate::exit::ExitCode;
use crate::messages;
use crate::output::{Console, document};

/// The reason that a command failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// A numbered error of the system or of NET.
    Numbered(Numbered),
    /// An error in the command line. The message includes the syntax.
    Usage {
        /// The error.
        error: Numbered,
        /// The help that has the syntax.
        help: &'static Help,
    },
    /// An unknown command. The message is the overview of all commands.
    UnknownCommand {
        /// The name as typed, and where such a command is; `None` if no command was given.
        hint: Option<String>,
        /// The overview.
        overview: String,
    },
    /// The user answered a question with no.
    Declined,
    /// A failure without a number of NET, with its whole message; exit code 1.
    Plain(String),
    /// A failure that was reported already; only the exit code is left.
    Reported(ExitCode),
    /// A failure whose exit code is not that of its number.
    Exit {
        /// The failure.
        failure: Box<Failure>,
        /// The exit code.
        code: u8,
    },
}

/// A numbered error.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    number: u32,
    insert: Option<String>,
    message: Option<String>,
    hint: Option<String>,
}

impl Numbered {
    /// The error with this number.
    pub(crate) fn new(number: u32) -> Self {
        Self { number, insert: None, message: None, hint: None }
    }

    /// Sets the text that replaces `%1` in the message.
    pub(crate) fn about(mut self, insert: impl Into<String>) -> Self {
        self.insert = Some(insert.into());
        self
    }

    /// Sets the hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message on one line, without the number.
    pub(crate) fn sentence(&self) -> String {
        crate::output::clean_line(&self.text())
    }

    /// The message on one line, and the hint in a paragraph of its own.
    pub(crate) fn explained(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\n\nhint: {}", crate::output::clean(hint)));
        self.sentence() + &hint.unwrap_or_default()
    }

    /// The exit code for the number.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::of_number(self.number)
    }

    /// The error in the form that JSON output and the control API use.
    pub(crate) fn content(&self) -> control::Error {
        control::Error { code: self.number, message: self.text(), hint: self.hint.clone() }
    }

    fn text(&self) -> String {
        match (messages::text(self.number), &self.message) {
            (Some(text), _) => messages::insert(text, self.insert.as_deref().unwrap_or_default()),
            (None, Some(message)) => message.clone(),
            (None, None) => format!("Error {}.", self.number),
        }
    }
}

impl From<Numbered> for Failure {
    fn from(error: Numbered) -> Self {
        Self::Numbered(error)
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self::Numbered(error.into())
    }
}

impl From<client::Error> for Numbered {
    fn from(error: client::Error) -> Self {
        Self {
            number: error.number(),
            insert: None,
            message: error.message().map(str::to_owned),
            hint: error.hint(),
        }
    }
}

/// Reports a failure and returns the exit code.
pub(crate) fn conclude(outcome: Result<(), Failure>, console: &mut Console) -> ExitCode {
    let outcome = outcome.and(console.finish());
    match outcome {
        Ok(()) => ExitCode::Done,
        Err(failure) => {
            let (text, code) = message_and_code(&failure, console.json());
            console.error(&text);
            code
        }
    }
}

fn message_and_code(failure: &Failure, as_json: bool) -> (String, ExitCode) {
    match failure {
        Failure::Numbered(error) | Failure::Usage { error, .. } if as_json => {
            (json_block(error), ExitCode::of_number(error.number))
        }
        Failure::Numbered(error) => (block(error, None), ExitCode::of_number(error.number)),
        Failure::Usage { error, help } => {
            (block(error, Some(help.syntax)), ExitCode::of_number(error.number))
        }
        Failure::UnknownCommand { hint, .. } if as_json => {
            let error = Numbered::new(messages::SYNTAX_NUMBER);
            let error = match hint {
                Some(hint) => error.hint(hint),
                None => error,
            };
            (json_block(&error), ExitCode::Failed)
        }
        Failure::Declined if as_json => {
            (json_block(&Numbered::new(control::number::CANCELLED)), ExitCode::Failed)
        }
        Failure::Plain(text) if as_json => {
            let (message, hint) = match text.split_once("\n\nhint: ") {
                Some((message, hint)) => (message, Some(hint.to_owned())),
                None => (text.as_str(), None),
            };
            let content = control::Error { code: PLAIN, message: message.to_owned(), hint };
            let text = document("error", &content).unwrap_or_else(|_unlikely| format!("{text}\n"));
            (text, ExitCode::of_number(PLAIN))
        }
        Failure::UnknownCommand { hint, overview } => {
            let mut text = overview.clone();
            if let Some(hint) = hint {
                let _ = writeln!(text, "hint: {}", crate::output::clean(hint));
            }
            (text, ExitCode::Failed)
        }
        Failure::Declined => (String::new(), ExitCode::of_number(control::number::CANCELLED)),
        Failure::Plain(text) => (format!("{text}\n"), ExitCode::of_number(PLAIN)),
        Failure::Reported(code) => (String::new(), *code),
        Failure::Exit { failure, code } => (message_and_code(failure, as_json).0, ExitCode::System(*code)),
    }
}

/// The message and exit code for one of several servers that failed.
pub(crate) fn server_failure_message(
    server: &str,
    error: client::Error,
    as_json: bool,
) -> (String, ExitCode) {
    let code = ExitCode::of_number(error.number());
    let error = Numbered::from(error);
    if as_json {
        let content = error.content();
        let content = crate::output::Of { server: Some(server.to_owned()), entry: content };
        let text = document("error", &content).unwrap_or_else(|_unlikely| block(&error, None));
        return (text, code);
    }
    (format!("{}: {}", crate::output::clean_line(server), block(&error, None)), code)
}

/// The message in NET's layout: the number precedes a system error; a reference to HELPMSG follows an error of NET.
fn block(error: &Numbered, syntax: Option<&str>) -> String {
    let mut text = String::new();
    let net = messages::NET_NUMBERS.contains(&error.number);
    if !net {
        let _ = write!(text, "{}\n\n", messages::insert(messages::SYSTEM_ERROR, &error.number.to_string()));
    }
    let _ = write!(text, "{}\n\n", crate::output::clean(&error.text()));
    if let Some(syntax) = syntax {
        let _ = write!(text, "{}\n\n{syntax}\n", messages::SYNTAX_IS);
    }
    if net {
        let _ = write!(text, "{}\n\n", messages::insert(messages::MORE_HELP, &error.number.to_string()));
    }
    if let Some(hint) = &error.hint {
        let _ = writeln!(text, "hint: {}", crate::output::clean(hint));
    }
    text
}

fn json_block(error: &Numbered) -> String {
    document("error", &error.content()).unwrap_or_else(|_unlikely| block(error, None))
}

/// The exit code of a failure without a number of NET.
const PLAIN: u32 = 1;
