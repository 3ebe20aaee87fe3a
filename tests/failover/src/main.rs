//! The cluster under faults: `cargo xtask cluster`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::process::ExitCode;

use failover::Options;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&words) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    if let Some(missing) = failover::lacks() {
        eprintln!("not available here: {missing}");
        return ExitCode::FAILURE;
    }
    if let Some(runs) = options.figures {
        let figures = failover::figures(runs);
        println!("\n{figures}");
        return ExitCode::SUCCESS;
    }
    let report = failover::run(&options);
    println!("\n{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
