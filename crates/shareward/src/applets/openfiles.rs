//! `openfiles`: lists and closes open files, like the program of this name on Windows.

use client::Administration;
use control::{CloseFile, FileQuery, OpenFile, glob, permission};

use wire::names::eq_ignore_case;
use zeroize::Zeroizing;

use super::{Applet, Family, Help};
use crate::administration::{self, ServerTarget};
use crate::cli::plain::{Known, Line, Value, Wrong};
use crate::failure::{Failure, Numbered};
use crate::open_files::{shown_path, user_name};
use crate::output::{Console, clean_line, columns, pad};
use crate::programs::{csv_row, host_name};

pub(super) static APPLET: Applet = Applet {
    names: &["openfiles"],
    family: Family::Own,
    summary: "Show or close open files, like Windows' openfiles",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
OPENFILES [/QUERY] [/S system [/U username [/P [password]]]]
          [/FO TABLE | LIST | CSV] [/NH] [/V]
OPENFILES /DISCONNECT [/S system [/U username [/P [password]]]]
          {[/ID id | *] [/A user] [/O READ | WRITE | READ/WRITE | *]}
          [/OP name]
OPENFILES /LOCAL [ON | OFF]
",
    about: "\
/QUERY       list the files that clients have open on the server
/DISCONNECT  close the opens that match all of the given options. A client that
             may have cached changes can write them back first
/LOCAL       not supported here; prints what to use instead

  /S   the server to ask; by default, this machine's
  /U   the user to log on as, as user or DOMAIN\\user
  /P   the password; if it is missing, the command asks for it
  /FO  output format: a table, a list, or comma-separated values
  /NH  no header line (with TABLE and CSV)
  /V   also show computer, number of locks and open mode
  /ID  the open with this number
  /A   opens of this user; * and ? are wildcards
  /O   opens with exactly this mode
  /OP  opens of this path, on the server's disk or below the share; * and ? are
       wildcards

Switches cannot be abbreviated. They can be written in any case, with a slash
or a hyphen. In scripts, prefer 'net file --csv' or 'net file --json': they
print more, and their field names do not change.

Exit codes: 0 success, even if nothing is open; 1 an error occurred, or no open
matched /DISCONNECT.
",
};

const KNOWN: &[Known] = &[
    ("query", Value::None),
    ("disconnect", Value::None),
    ("local", Value::Optional),
    ("s", Value::Needed),
    ("u", Value::Needed),
    ("p", Value::Optional),
    ("fo", Value::Needed),
    ("nh", Value::None),
    ("v", Value::None),
    ("id", Value::Needed),
    ("a", Value::Needed),
    ("o", Value::Needed),
    ("op", Value::Needed),
    ("socket", Value::Needed),
];

const OF_QUERY: [&str; 3] = ["fo", "nh", "v"];
const OF_DISCONNECT: [&str; 4] = ["id", "a", "o", "op"];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let line = Line::of(words, &['/', '-'], KNOWN).map_err(|wrong| match wrong {
        Wrong::Unknown(word) => misused(&format!("Invalid argument/option - '{}'.", clean_line(&word))),
        Wrong::Lacks(name) => misused(&format!("Invalid syntax. Value expected for '/{name}'.")),
        Wrong::Twice(name) => {
            misused(&format!("Invalid syntax. '/{name}' option is not allowed more than '1' time(s)."))
        }
    })?;
    if let Some(word) = line.operands.first() {
        return Err(misused(&format!("Invalid argument/option - '{}'.", clean_line(word))));
    }
    let given = |names: &[&str]| names.iter().any(|name| line.has(name));
    let verbs = ["query", "disconnect", "local"].into_iter().filter(|name| line.has(name)).count();
    if verbs > 1 || (!line.has("s") && given(&["u", "p"])) || (line.has("p") && !line.has("u")) {
        return Err(misused("Invalid syntax."));
    }
    if line.has("local") {
        return local(&line, console);
    }
    let target = ServerTarget {
        socket: line.value("socket").map(Into::into),
        server: line.value("s").map(|name| control::address::bare(name).to_owned()),
        login: line.value("u").map(str::to_owned),
        password: line.value("p").map(|password| Zeroizing::new(password.to_owned())),
        ..ServerTarget::default()
    };
    if line.has("disconnect") {
        if given(&OF_QUERY) || !given(&OF_DISCONNECT) {
            return Err(misused("Invalid syntax."));
        }
        let selection = Selection::of(&line)?;
        return disconnect(&*asked(&target)?, &selection, console);
    }
    if given(&OF_DISCONNECT) {
        return Err(misused("Invalid syntax."));
    }
    let form = Form::of(&line)?;
    query(&*asked(&target)?, &target, form, line.has("v"), console)
}

fn misused(text: &str) -> Failure {
    Failure::Plain(format!("ERROR: {text}\nType \"OPENFILES /?\" for usage."))
}

/// The server; an error has the form of this program's messages.
fn asked(target: &ServerTarget) -> Result<Box<dyn Administration>, Failure> {
    administration::of(target).map_err(|failure| match failure {
        Failure::Numbered(error) => Failure::Plain(format!("ERROR: {}", error.explained())),
        other => other,
    })
}

fn refused(error: client::Error) -> Failure {
    Failure::Plain(format!("ERROR: {}", Numbered::from(error).explained()))
}

/// Answers `/LOCAL`. Windows can track files that local programs open; this server does not.
fn local(line: &Line, console: &mut Console) -> Result<(), Failure> {
    let text = "This server does not track files that local programs have open.\n\
                'lsof' and 'fuser' show them.";
    match line.value("local") {
        None => {
            console.line(&format!("\nINFO: {}", text.replace('\n', "\n      ")));
            Ok(())
        }
        Some(word) if ["on", "off"].contains(&word.to_ascii_lowercase().as_str()) => {
            Err(Failure::Plain(format!("ERROR: The request is not supported. {text}")))
        }
        Some(word) => Err(misused(&format!("Invalid argument/option - '{}'.", clean_line(word)))),
    }
}

/// The output format of a query.
enum Form {
    Table { header: bool },
    List,
    Csv { header: bool },
}

impl Form {
    fn of(line: &Line) -> Result<Self, Failure> {
        let header = !line.has("nh");
        match line.value("fo").unwrap_or("table").to_ascii_lowercase().as_str() {
            "table" => Ok(Self::Table { header }),
            "csv" => Ok(Self::Csv { header }),
            "list" if header => Ok(Self::List),
            "list" => {
                Err(misused("Invalid syntax. /NH option is allowed only for \"TABLE\" and \"CSV\" formats."))
            }
            other => Err(misused(&format!(
                "Invalid syntax. '{}' value is not allowed for '/fo' option.",
                clean_line(other)
            ))),
        }
    }
}

const HEADING: &str = "
Files opened remotely via local share points:
---------------------------------------------
";

/// Titles and the widths of their columns.
const TITLES: [(&str, usize); 4] =
    [("ID", 8), ("Accessed By", 20), ("Type", 10), ("Open File (Path\\executable)", 45)];
const VERBOSE_TITLES: [(&str, usize); 7] = [
    ("Hostname", 15),
    ("ID", 8),
    ("Accessed By", 20),
    ("Type", 10),
    ("#Locks", 10),
    ("Open Mode", 15),
    ("Open File (Path\\executable)", 45),
];

fn query(
    server: &dyn Administration,
    target: &ServerTarget,
    form: Form,
    verbose: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    let files =
        administration::run(async { Ok(server.files(&FileQuery::default()).await) })?.map_err(refused)?;
    console.write(HEADING);
    if files.is_empty() {
        console.line("\nINFO: No shared open files found.");
        return Ok(());
    }
    let host = if verbose { host_name(server, target) } else { String::new() };
    let titles = if verbose { VERBOSE_TITLES.as_slice() } else { TITLES.as_slice() };
    let rows: Vec<Vec<String>> = files.iter().map(|file| row(file, verbose.then_some(&host))).collect();
    match form {
        Form::Table { header } => console.write(&table(titles, &rows, header)),
        Form::List => console.write(&list(titles, &rows)),
        Form::Csv { header } => {
            if header {
                console.write(&csv_row(titles.iter().map(|(title, _)| *title)));
            }
            for row in &rows {
                console.write(&csv_row(row.iter().map(String::as_str)));
            }
        }
    }
    Ok(())
}

fn row(file: &OpenFile, host: Option<&String>) -> Vec<String> {
    let (id, user, path) = (file.id.to_string(), user_name(file).to_owned(), path_of(file));
    let kind = if file.make.as_deref() == Some("nfs") { "NFS" } else { "Windows" }.to_owned();
    let row = match host {
        None => vec![id, user, kind, path],
        Some(host) => {
            let locks = file.locks.map_or_else(|| "N/A".to_owned(), |locks| locks.to_string());
            vec![host.clone(), id, user, kind, locks, mode(file).to_owned(), path]
        }
    };
    row.iter().map(|value| clean_line(value)).collect()
}

/// The path in Windows' form: a directory ends with a separator.
fn path_of(file: &OpenFile) -> String {
    let separator = if file.server_path.is_some() { '/' } else { '\\' };
    let path = shown_path(file);
    if file.directory == Some(true) && !path.ends_with(['/', '\\']) {
        format!("{path}{separator}")
    } else {
        path.to_owned()
    }
}

fn mode(file: &OpenFile) -> &'static str {
    let Some(bits) = file.permissions else { return "N/A" };
    match (bits & permission::READ != 0, bits & permission::WRITE != 0) {
        (true, true) => "Write + Read",
        (true, false) => "Read",
        (false, true) => "Write",
        (false, false) => "No Access.",
    }
}

fn table(titles: &[(&str, usize)], rows: &[Vec<String>], header: bool) -> String {
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(index, (_, width))| {
            let values = rows.iter().filter_map(|row| row.get(index)).map(|value| columns(value));
            values.max().unwrap_or_default().max(*width)
        })
        .collect();
    let line = |values: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = values.zip(&widths).map(|(value, width)| pad(&value, *width)).collect();
        format!("{}\n", cells.join(" ").trim_end())
    };
    let mut text = String::from("\n");
    if header {
        text.push_str(&line(&mut titles.iter().map(|(title, _)| (*title).to_owned())));
        text.push_str(&line(&mut widths.iter().map(|width| "=".repeat(*width))));
    }
    for row in rows {
        text.push_str(&line(&mut row.iter().cloned()));
    }
    text
}

fn list(titles: &[(&str, usize)], rows: &[Vec<String>]) -> String {
    let width = titles.iter().map(|(title, _)| title.len()).max().unwrap_or_default() + 2;
    let mut text = String::new();
    for row in rows {
        text.push('\n');
        for ((title, _), value) in titles.iter().zip(row) {
            text.push_str(format!("{:<width$}{value}", format!("{title}:")).trim_end());
            text.push('\n');
        }
    }
    text
}

/// The options that select opens to close.
struct Selection {
    id: Option<u32>,
    user: Option<String>,
    mode: Option<&'static str>,
    path: Option<String>,
}

impl Selection {
    fn of(line: &Line) -> Result<Self, Failure> {
        let given = |name| line.value(name).filter(|value| *value != "*").map(str::to_owned);
        let wrong = |name, value: &str| {
            misused(&format!(
                "Invalid syntax. '{}' value is not allowed for '/{name}' option.",
                clean_line(value)
            ))
        };
        let id = given("id").map(|text| text.parse().map_err(|_not_one| wrong("id", &text))).transpose()?;
        let mode = given("o").map(|text| match text.to_ascii_lowercase().as_str() {
            "read" => Ok("Read"),
            "write" => Ok("Write"),
            "read/write" | "write/read" => Ok("Write + Read"),
            _ => Err(wrong("o", &text)),
        });
        Ok(Self { id, user: given("a"), mode: mode.transpose()?, path: given("op") })
    }

    fn has(&self, file: &OpenFile) -> bool {
        let paths = [Some(&file.path), file.server_path.as_ref()];
        self.id.is_none_or(|id| id == file.id)
            && self.user.as_ref().is_none_or(|user| is(user, &file.user))
            && self.mode.is_none_or(|wanted| wanted == mode(file))
            && self.path.as_ref().is_none_or(|path| paths.into_iter().flatten().any(|it| is_path(path, it)))
    }
}

/// True if `text` is `wanted` or matches it as a pattern.
fn is(wanted: &str, text: &str) -> bool {
    if wanted.contains(['*', '?']) {
        return glob::matches(wanted, text);
    }
    eq_ignore_case(wanted, text)
}

/// As [`is`], for paths, whose separators may be of both kinds. A path that begins with one is a path of the server, and
/// another without it a path of a share.
fn is_path(wanted: &str, text: &str) -> bool {
    let [wanted, text] = [wanted, text].map(|path| path.replace('/', r"\"));
    is(wanted.trim_end_matches('\\'), text.trim_end_matches('\\'))
}

fn disconnect(
    server: &dyn Administration,
    selection: &Selection,
    console: &mut Console,
) -> Result<(), Failure> {
    let all =
        administration::run(async { Ok(server.files(&FileQuery::default()).await) })?.map_err(refused)?;
    let mut failed = false;
    let mut any = false;
    let is_meant =
        |file: &&OpenFile| selection.has(file) && (selection.id.is_some() || !server.carries(file));
    for file in all.iter().filter(is_meant) {
        any = true;
        // Closes an open only if it still has the listed path.
        let how = CloseFile { expect_path: Some(shown_path(file).to_owned()), ..CloseFile::default() };
        let closed = administration::run(async { Ok(server.close_file(file.id, &how).await) })?;
        let path = clean_line(&path_of(file));
        match closed {
            Ok(_) => {
                let text =
                    format!("SUCCESS: The connection to the open file \"{path}\" has been terminated.");
                console.line(&text);
            }
            Err(error) => {
                failed = true;
                let reason = Numbered::from(error).explained();
                console.error(&format!(
                    "ERROR: The connection to the open file \"{path}\" could not be terminated.\n       {reason}\n"
                ));
            }
        }
    }
    match (any, failed) {
        (false, _) => Err(Failure::Plain("ERROR: No open file matches.".to_owned())),
        (true, true) => Err(Failure::Reported(crate::exit::ExitCode::System(1))),
        (true, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_a_whole_and_patterns_as_patterns() {
        for (wanted, text, same) in [
            (r"Plan\A.txt", "plan/a.TXT", true),
            ("plan", r"plan\a.txt", false),
            ("plan/", "plan", true),
            ("/plan/a.txt", r"plan\a.txt", false),
            ("*.txt", r"plan\a.txt", true),
            ("/srv/*.txt", "/srv/plan.txt", true),
        ] {
            assert_eq!(is_path(wanted, text), same, "{wanted} {text}");
        }
        for (wanted, text, same) in [
            ("al?ce", "Alice", true),
            ("al?ce", "alicex", false),
            ("MÜLLER", "müller", true),
            ("ann/", "ann", false),
        ] {
            assert_eq!(is(wanted, text), same, "{wanted} {text}");
        }
    }
}
