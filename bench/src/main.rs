//! `cargo xtask bench`: compares our server with Samba's smbd on the same directory tree, with the same load
//! generator, in the same run.
//!
//! Each round measures one server and immediately the other, so that other work of the machine affects both. Ratios
//! are computed within a round; the report shows the median of the rounds with the lowest and the highest. Only the
//! loopback is used, and all times are limited.
#![forbid(unsafe_code)]

mod acceptors;
mod big_directory;
mod callgrind;
mod cases;
mod chart;
mod compare;
mod continuous;
mod data;
mod explorer;
mod full_load;
mod history;
mod instructions;
mod kernel;
mod listing;
mod load;
mod measure;
mod members;
mod memory;
mod options;
mod physical;
mod process;
mod quiet;
mod report;
mod scrape;
mod servers;
mod start;

use std::io::Write;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

use crate::members::Members;
use crate::options::{Mode, Options};
use crate::servers::Servers;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [argument, tree] = arguments.as_slice()
        && argument == physical::ARGUMENT
    {
        return physical::serve(tree.as_ref());
    }
    if let Some((first, command)) = arguments.split_first()
        && first == callgrind::WITHOUT_AUXILIARY_VECTOR
    {
        return callgrind::run(command);
    }
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(usage) => {
            say(&usage);
            return ExitCode::from(2);
        }
    };
    let with_runtime = |main: fn(&Options, &Runtime) -> ExitCode| match runtime(&options) {
        Some(runtime) => main(&options, &runtime),
        None => no_threads(),
    };
    match options.mode {
        Mode::Cases => cases(&options, &arguments),
        Mode::List => {
            cases::all().iter().for_each(|case| say(&format!("{:<28} {}", case.name, case.what)));
            ExitCode::SUCCESS
        }
        Mode::Acceptors => acceptors::main(),
        Mode::History => history::main(),
        Mode::Scrape => with_runtime(scrape::main),
        Mode::Instructions => with_runtime(instructions::main),
        Mode::Start => start::main(&options),
        Mode::Kernel => kernel::main(&options),
        Mode::FullLoad { .. } => with_runtime(full_load::main),
    }
}

/// Measures the cases.
fn cases(options: &Options, arguments: &[String]) -> ExitCode {
    let in_domain = |case: &cases::Case| options.wants_case(case) && case.in_domain();
    if cases::all().iter().any(in_domain) && Members::given().is_none() {
        match members::run_inside(arguments) {
            Some(code) => return code,
            None => say("the cases in a domain fail: there can be no domain here"),
        }
    }
    let Some(runtime) = runtime(options) else { return no_threads() };
    let servers = match Servers::start(options) {
        Ok(servers) => servers,
        Err(reason) => {
            say(&reason);
            return ExitCode::FAILURE;
        }
    };
    let results = runtime.block_on(measure::run(&servers, options));
    say(&report::markdown(&results, options));
    if let Some(path) = &options.compare {
        match compare::markdown(&results, path, options.peer()) {
            Ok(table) => say(&table),
            Err(reason) => {
                say(&format!("nothing to compare with: {reason}"));
                return ExitCode::FAILURE;
            }
        }
    }
    if let Some(path) = &options.chart
        && let Err(error) = std::fs::write(path, chart::svg(&results, options.peer()))
    {
        say(&format!("{}: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    match report::write_json(&results, options) {
        Ok(path) => say(&format!("\nEverything measured: {}", path.display())),
        Err(error) => say(&format!("\nthe figures could not be written: {error}")),
    }
    if results.iter().any(|result| result.rounds.is_empty()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn runtime(options: &Options) -> Option<Runtime> {
    Builder::new_multi_thread().worker_threads(options.threads).enable_all().build().ok()
}

fn no_threads() -> ExitCode {
    say("no threads to be had");
    ExitCode::FAILURE
}

/// Prints a line; ignores that the reader has closed the output.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Prints a line about the progress.
pub(crate) fn progress(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
