//! The program that joins and leaves, and the proof that the caller may do so.

use domain::tool::{Login, Tool, ToolKind};
use zeroize::Zeroizing;

use super::{HELP, USER, WITH};
use crate::cli::{self, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

/// The user who may join computers, if none is named: every domain has it.
const ADMINISTRATOR: &str = "Administrator";

/// The program to use. `by_hand` says what to type if there is none.
pub(super) fn tool(words: &Words, realm: &str, by_hand: &str) -> Result<Tool, Failure> {
    let wanted = match words.value(&WITH).map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("adcli") => Some(ToolKind::Adcli),
        Some("net") => Some(ToolKind::Samba),
        Some(_) => {
            let error = Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about("--with");
            return Err(Failure::Usage { error, help: &HELP });
        }
    };
    Tool::find(wanted, realm).ok_or_else(|| {
        let missing = match wanted {
            Some(kind) => format!("'{}' is not installed", kind.program()),
            None => String::from("neither 'adcli' nor Samba's 'net' is installed"),
        };
        Failure::Plain(format!("{missing}\n\nhint: {by_hand}"))
    })
}

/// Asks for the password, unless tickets are used.
pub(super) fn login(words: &Words, console: &mut Console) -> Result<Login, Failure> {
    match (words.has(&cli::KERBEROS), words.value(&USER)) {
        (true, Some(_)) => {
            Err(Failure::Usage { error: Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER), help: &HELP })
        }
        (true, None) => Ok(Login::Tickets),
        (false, user) => {
            let user = user.unwrap_or(ADMINISTRATOR).to_owned();
            let question = format!("Password of {user}: ");
            let password = console.secret(&question).map_err(|error| Failure::Plain(error.to_string()))?;
            match password.map(Zeroizing::new) {
                Some(password) if !password.is_empty() => Ok(Login::Password { user, password }),
                _ => Err(Failure::Plain(String::from("no password was given"))),
            }
        }
    }
}

/// Fails unless root runs this: the keytab and the state are root's.
pub(super) fn root() -> Result<(), Failure> {
    if crate::setup::is_root() {
        return Ok(());
    }
    Err(Numbered::new(control::number::ACCESS_DENIED)
        .hint("the machine's keys are root's: run this as root")
        .into())
}
