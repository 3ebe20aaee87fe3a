//! `psfile`: lists and closes open files, like the program of this name.

use client::Administration;
use control::{CloseFile, FileQuery, OpenFile, Outcome, glob, permission};

use zeroize::Zeroizing;

use super::{Applet, Family, Help};
use crate::administration::{self, ServerTarget};
use crate::cli;
use crate::cli::plain::{Known, Line, Value, Wrong};
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::open_files::{shown_path, user_name};
use crate::output::{Console, clean_line, or_unknown};
use crate::programs::host_name;

pub(super) static APPLET: Applet = Applet {
    names: &["psfile"],
    family: Family::Own,
    summary: "Show or close open files, like Sysinternals' psfile",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
PSFILE [\\\\computer [-u username [-p password]]] [[id | path] [-c]] [-nobanner]
",
    about: "\
Lists the files that clients have open on the server, or closes them.

  \\\\computer  the server to ask; by default, this machine's. In a shell, write
              //computer or quote it
  -u          the user to log on as, as user or DOMAIN\\user
  -p          the password; if it is missing, the command asks for it
  id          the number of an open
  path        text that the path contains, in any case; * and ? are wildcards
  -c          close the open with this id, or all opens with a matching path. A
              client that may have cached changes can write them back first
  -nobanner   do not print the program's name and version

Exit codes: 0 success, even if nothing is open; 1 an error occurred, or no open
matched the id or path.
",
};

const KNOWN: &[Known] = &[
    ("u", Value::Needed),
    ("p", Value::Needed),
    ("c", Value::None),
    ("nobanner", Value::None),
    ("accepteula", Value::None),
    ("socket", Value::Needed),
];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let misused = |text: String| Failure::Plain(format!("{text}\n\n{}", HELP.syntax.trim_end()));
    let line = Line::of(words, &['-'], KNOWN).map_err(|wrong| match wrong {
        Wrong::Unknown(word) => misused(format!("Unknown switch {}.", clean_line(&word))),
        Wrong::Lacks(name) => misused(format!("-{name} needs a value.")),
        Wrong::Twice(name) => misused(format!("-{name} is given twice.")),
    })?;
    let mut operands = line.operands.as_slice();
    let mut computer = None;
    if let [first, rest @ ..] = operands
        && (first.starts_with('\\') || first.starts_with("//"))
    {
        let name = cli::computer(first).map_err(|error| Failure::Plain(error.explained()))?;
        (computer, operands) = (Some(name), rest);
    }
    let selection = match operands {
        [] => Selection::All,
        [word] => word.parse().map_or_else(|_not_one| Selection::Path(word.clone()), Selection::Id),
        _ => return Err(misused("Too many arguments.".to_owned())),
    };
    if computer.is_none() && (line.has("u") || line.has("p")) {
        return Err(misused("-u and -p require a computer.".to_owned()));
    }
    if line.has("p") && !line.has("u") {
        return Err(misused("-p requires -u.".to_owned()));
    }
    if line.has("c") && selection == Selection::All {
        return Err(misused("-c needs an id or a path.".to_owned()));
    }
    if !line.has("nobanner") {
        console.error(concat!(
            "\nPsFile of Shareward ",
            env!("CARGO_PKG_VERSION"),
            " - Lists files and directories opened remotely\n\n"
        ));
    }
    let target = ServerTarget {
        socket: line.value("socket").map(Into::into),
        server: computer,
        login: line.value("u").map(str::to_owned),
        password: line.value("p").map(|password| Zeroizing::new(password.to_owned())),
        ..ServerTarget::default()
    };
    let server = administration::of(&target).map_err(|failure| match failure {
        Failure::Numbered(error) => Failure::Plain(error.explained()),
        other => other,
    })?;
    let host = host_name(&*server, &target);
    let mut files = administration::run(async { Ok(server.files(&FileQuery::default()).await) })?
        .map_err(|error| Failure::Plain(Numbered::from(error).explained()))?;
    files.retain(|file| selection.has(file));
    if line.has("c") {
        files.retain(|file| matches!(selection, Selection::Id(_)) || !server.carries(file));
        close(&*server, &files, &host, console)
    } else {
        list(&files, &selection, &host, console)
    }
}

/// The opens that the command line selects.
#[derive(Debug, PartialEq, Eq)]
enum Selection {
    All,
    Id(u32),
    Path(String),
}

impl Selection {
    fn has(&self, file: &OpenFile) -> bool {
        let paths = [Some(&file.path), file.server_path.as_ref()];
        match self {
            Self::All => true,
            Self::Id(id) => *id == file.id,
            Self::Path(path) => paths.into_iter().flatten().any(|it| glob::matches(path, it)),
        }
    }
}

fn list(files: &[OpenFile], selection: &Selection, host: &str, console: &mut Console) -> Result<(), Failure> {
    let host = clean_line(host);
    if files.is_empty() {
        if *selection != Selection::All {
            return Err(nothing(&host));
        }
        console.line(&format!("No files opened remotely on {host}."));
        return Ok(());
    }
    console.line(&format!("Files opened remotely on {host}:\n"));
    for file in files {
        console.line(&clean_line(&format!("[{}] {}", file.id, shown_path(file))));
        for (name, value) in [
            ("User:", user_name(file).to_owned()),
            ("Locks:", or_unknown(file.locks)),
            ("Access:", access(file)),
        ] {
            console.line(format!("    {name:<8}{}", clean_line(&value)).trim_end());
        }
    }
    Ok(())
}

fn access(file: &OpenFile) -> String {
    let Some(bits) = file.permissions else { return "-".to_owned() };
    let words = [(permission::READ, "Read"), (permission::WRITE, "Write"), (permission::CREATE, "Create")];
    let words: Vec<&str> =
        words.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| word).collect();
    if words.is_empty() { "None".to_owned() } else { words.join(" ") }
}

fn close(
    server: &dyn Administration,
    files: &[OpenFile],
    host: &str,
    console: &mut Console,
) -> Result<(), Failure> {
    let host = clean_line(host);
    if files.is_empty() {
        return Err(nothing(&host));
    }
    let mut failed = false;
    for file in files {
        // Closes an open only if it still has the listed path.
        let how = CloseFile { expect_path: Some(shown_path(file).to_owned()), ..CloseFile::default() };
        let path = clean_line(shown_path(file));
        match administration::run(async { Ok(server.close_file(file.id, &how).await) })? {
            Ok(ended) => {
                let outcome = match ended.outcome {
                    Some(Outcome::Clean) => ", clean",
                    Some(Outcome::Flushed) => ", flushed",
                    Some(Outcome::Forced) => ", forced",
                    None => "",
                };
                console.line(&format!("[{}] {path} closed on {host}{outcome}.", file.id));
            }
            Err(error) => {
                failed = true;
                let reason = Numbered::from(error).explained();
                console.error(&format!("[{}] {path} was not closed on {host}: {reason}\n", file.id));
            }
        }
    }
    if failed { Err(Failure::Reported(ExitCode::System(1))) } else { Ok(()) }
}

fn nothing(host: &str) -> Failure {
    Failure::Plain(format!("No files opened remotely on {host} match."))
}
