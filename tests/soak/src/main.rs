//! The soak by itself: `cargo xtask soak`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match soak::Options::parse(&words) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let report = soak::run(&options);
    println!("\n{report}");
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
