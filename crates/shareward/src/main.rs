//! The `shareward` binary. Called as `net`, it has only the `net` commands; called as `shareward`, it has these, the
//! server and its own commands. `shareward session` and `shareward net session` are the same as `net session`.
//! `openfiles`, `psfile` and `psloggedon` run under their own names, too.
#![forbid(unsafe_code)]

mod administration;
mod applets;
mod cli;
mod credentials;
mod event_feed;
mod exit;
mod failure;
mod listing;
mod messages;
mod open_files;
mod output;
mod programs;
mod prompt;
mod setup;
mod watch;
mod who_query;
mod wmi;

use std::process::ExitCode;

use output::Console;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    // The server starts itself as the process that runs the commands of notices.
    if words.len() == 1 && words.first().is_some_and(|word| word == server::HELPER_WORD) {
        return match server::run_helper() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    // And as the process that holds the addresses of shares of a cluster.
    if words.len() == 1 && words.first().is_some_and(|word| word == server::KEEPER_WORD) {
        return match server::run_keeper() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let mut console = Console::standard();
    let outcome = applets::run_as(&program, &words, &mut console);
    let code = failure::conclude(outcome, &mut console);
    administration::leave();
    code.into()
}
