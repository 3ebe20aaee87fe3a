//! The commands, one file each.
//!
//! A command is an [`Applet`] in [`APPLETS`]: its names, its help and its function. This module handles the help
//! switches of all commands.

mod accounts;
mod audit;
mod check;
mod cluster;
mod complete;
mod config;
mod demo;
mod doctor;
mod domain;
mod drain;
mod file;
mod held;
mod help;
mod helpmsg;
mod history;
mod import;
mod init;
mod links;
mod localgroup;
mod logon_times;
mod net_use;
mod openfiles;
mod psfile;
mod psloggedon;
mod rules;
mod samba_net;
mod serve;
mod service;
mod session;
mod share;
mod statistics;
mod time;
mod top;
mod user;
mod view;
mod wait;
mod who;

use std::path::Path;

use crate::cli::{self, Options, Words};
use crate::failure::{Failure, Numbered};
use crate::output::Console;

/// All commands, in the order of their names.
static APPLETS: &[&Applet] = &[
    &rules::APPLET,
    &accounts::APPLET,
    &audit::APPLET,
    &check::APPLET,
    &cluster::APPLET,
    &config::APPLET,
    &service::CONTINUE,
    &demo::APPLET,
    &doctor::APPLET,
    &domain::APPLET,
    &file::APPLET,
    &help::APPLET,
    &helpmsg::APPLET,
    &history::APPLET,
    &import::APPLET,
    &init::APPLET,
    &links::APPLET,
    &localgroup::APPLET,
    &openfiles::APPLET,
    &psfile::APPLET,
    &psloggedon::APPLET,
    &service::PAUSE,
    &serve::APPLET,
    &session::APPLET,
    &share::APPLET,
    &service::START,
    &statistics::APPLET,
    &service::STOP,
    &time::APPLET,
    &top::APPLET,
    &net_use::APPLET,
    &user::APPLET,
    &view::APPLET,
    &wait::APPLET,
    &who::APPLET,
];

/// Commands for programs, which the list of commands leaves out.
static HIDDEN: &[&Applet] = &[&complete::APPLET];

/// One command.
pub(crate) struct Applet {
    /// The name and its aliases, in lower case.
    names: &'static [&'static str],
    /// The family that has the command.
    family: Family,
    /// The line in the list of commands.
    summary: &'static str,
    /// The help.
    help: &'static Help,
    /// Runs the command. `words` are the arguments after its name.
    run: fn(words: &[String], console: &mut Console) -> Result<(), Failure>,
}

/// The set of commands that one belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// NET's commands: `net NAME`, `shareward net NAME`, `shareward NAME`.
    Net,
    /// Our own: `shareward NAME` only, where it precedes a NET command of the same name.
    Own,
}

/// The help of a command.
#[derive(Debug)]
pub(crate) struct Help {
    /// The syntax block, which error messages show, too; ends with a newline.
    pub(crate) syntax: &'static str,
    /// The description of the command and its arguments; ends with a newline.
    pub(crate) about: &'static str,
}

impl Family {
    /// The family of a program, by the name it was called by.
    fn of_program(program: &str) -> Self {
        if program_name(program) == "net" { Self::Net } else { Self::Own }
    }

    fn has(self, applet: &Applet) -> bool {
        self == Self::Own || applet.family == Self::Net
    }
}

/// Runs the program under its own name, if it was called by one of [`links::PROGRAMS`], or else the command that
/// `words` name.
pub(crate) fn run_as(program: &str, words: &[String], console: &mut Console) -> Result<(), Failure> {
    let name = program_name(program);
    if let Some(applet) = find(Family::Own, &name).filter(|_| links::PROGRAMS.contains(&name.as_str())) {
        return run(applet, words, console);
    }
    let outcome = dispatch(Family::of_program(program), words, console);
    // A line with an error may not have been parsed as far as `--json`.
    if outcome.is_err() && cli::wants_json(words) {
        console.set_json();
    }
    outcome
}

/// The file name of a program, in lower case.
fn program_name(program: &str) -> String {
    let stem = Path::new(program).file_stem();
    stem.map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Runs the command that `words` name.
fn dispatch(family: Family, words: &[String], console: &mut Console) -> Result<(), Failure> {
    let Some((name, rest)) = words.split_first() else {
        return Err(Failure::UnknownCommand { hint: None, overview: help::overview(family) });
    };
    if family == Family::Own && name.eq_ignore_ascii_case("net") {
        return dispatch(Family::Net, rest, console);
    }
    if matches!(name.as_str(), "--version" | "-V") {
        console.line(concat!("shareward ", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    if cli::wants_help(std::slice::from_ref(name)) {
        console.write(&help::overview(family));
        return Ok(());
    }
    let Some(applet) = find(family, name) else {
        let hint = Some(samba_net::unknown(family, words));
        return Err(Failure::UnknownCommand { hint, overview: help::overview(family) });
    };
    // The list of commands depends on the name that the program was called by.
    if std::ptr::eq(applet, &help::APPLET) && rest.is_empty() {
        console.write(&help::overview(family));
        return Ok(());
    }
    if std::ptr::eq(applet, &help::APPLET) {
        return help::answer(family, rest, console);
    }
    run(applet, rest, console)
}

fn run(applet: &Applet, words: &[String], console: &mut Console) -> Result<(), Failure> {
    if cli::wants_help(words) {
        help::show(applet, console);
        return Ok(());
    }
    (applet.run)(words, console)
}

/// The parsed words of a command and its common switches. With `--json`, sets the console to JSON.
fn command_line(
    sorted: Result<Words, Numbered>,
    help: &'static Help,
    console: &mut Console,
) -> Result<(Words, Options), Failure> {
    let usage = |error| Failure::Usage { error, help };
    let words = sorted.map_err(usage)?;
    let options = Options::of(&words).map_err(usage)?;
    if options.json {
        console.set_json();
    }
    Ok((words, options))
}

fn find(family: Family, name: &str) -> Option<&'static Applet> {
    let named = |applet: &&&Applet| applet.names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let all = || APPLETS.iter().chain(HIDDEN).filter(|applet| family.has(applet)).filter(named);
    all().find(|applet| applet.family == family).or_else(|| all().next()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_in_a_family() {
        for family in [Family::Net, Family::Own] {
            let applets = APPLETS.iter().filter(|applet| applet.family == family);
            let mut names: Vec<_> = applets.flat_map(|applet| applet.names).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all);
            assert!(names.iter().all(|name| **name == name.to_ascii_lowercase() && **name != "net"));
        }
    }

    #[test]
    fn help_ends_with_a_newline_and_fits_80_columns() {
        for applet in APPLETS {
            for text in [applet.help.syntax, applet.help.about] {
                assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{}", applet.names[0]);
                assert!(text.lines().all(|line| line.len() < 80), "{}", applet.names[0]);
            }
        }
        for family in [Family::Net, Family::Own] {
            assert!(help::overview(family).lines().all(|line| line.len() < 80));
        }
    }

    #[test]
    fn the_program_name_selects_the_family() {
        for program in ["net", "/usr/bin/net", "NET.EXE", "./Net"] {
            assert_eq!(Family::of_program(program), Family::Net, "{program}");
        }
        for program in ["shareward", "/usr/sbin/shareward", "", "netstat"] {
            assert_eq!(Family::of_program(program), Family::Own, "{program}");
        }
    }
}
