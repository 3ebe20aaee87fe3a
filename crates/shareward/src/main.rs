//! One program under several names: as `net` it is the commands alone, as `shareward` also the server
//! and its own commands. `shareward net session` and `shareward session` are `net session`; `openfiles`, `psfile` and
//! `psloggedon` are commands under their own names.
#![forbid(unsafe_code)]

mod administration;
mod applets;
mod cli;
mod credentials;
mod exit;
mod failure;
mod holders;
mod listing;
mod messages;
mod opens;
mod output;
mod programs;
mod prompt;
mod setup;
mod watch;
mod wmi;

use std::process::ExitCode;

use output::Console;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let mut console = Console::standard();
    let outcome = applets::run_as(&program, &words, &mut console);
    let code = failure::conclude(outcome, &mut console);
    administration::leave();
    code.into()
}
