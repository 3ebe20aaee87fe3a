//! `cargo xtask bench`: our server and Samba's smbd side by side, over the same directory tree, with the same
//! load generator, in the same run.
//!
//! Every figure is taken in rounds, each on the one server and at once on the other, so that what else the machine
//! does meets both. A ratio is taken within a round; what is shown is the median of the rounds, with the lowest
//! and the highest. Only the loopback is used, and everything is bounded in time.
#![forbid(unsafe_code)]

mod cases;
mod data;
mod listing;
mod load;
mod measure;
mod memory;
mod options;
mod process;
mod report;
mod servers;

use std::io::Write;
use std::process::ExitCode;

use crate::options::Options;
use crate::servers::Servers;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(usage) => {
            say(&usage);
            return ExitCode::from(2);
        }
    };
    if options.list {
        cases::all().iter().for_each(|case| say(&format!("{:<28} {}", case.name, case.what)));
        return ExitCode::SUCCESS;
    }
    let Some(runtime) = runtime(&options) else {
        say("no threads to be had");
        return ExitCode::FAILURE;
    };
    let servers = match Servers::start(&options) {
        Ok(servers) => servers,
        Err(reason) => {
            say(&reason);
            return ExitCode::FAILURE;
        }
    };
    let results = runtime.block_on(measure::run(&servers, &options));
    say(&report::markdown(&results, &options));
    match report::write_json(&results, &options) {
        Ok(path) => say(&format!("\nEverything measured: {}", path.display())),
        Err(error) => say(&format!("\nthe figures could not be written: {error}")),
    }
    if results.iter().any(|result| result.rounds.is_empty()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn runtime(options: &Options) -> Option<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build().ok()
}

/// Prints a line; whoever closed the output does not want it.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Prints a line about the progress.
pub(crate) fn progress(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
