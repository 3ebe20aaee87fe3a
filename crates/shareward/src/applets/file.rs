//! `net file`: what is open, and closing it.

use std::fmt::Write as _;

use client::Administration;
use control::{CloseFile, Ended, FileQuery, OpenFile, permission};

use super::{Applet, Family, Help};
use crate::administration;
use crate::cli::{self, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Align, Column, Console, Cut, Table, clean_line, or_unknown, span};

pub(super) static APPLET: Applet = Applet {
    names: &["file", "files"],
    family: Family::Net,
    summary: "shows the open files, and closes one",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET FILE
[id [/CLOSE]]
[--path TEXT] [--user NAME] [--share NAME] [--client ADDRESS]
[--verbose] [--compat] [--json] [--socket PATH]
",
    about: "\
Without an id, lists the files, directories and pipes that clients have open on
this server. With an id, shows that one, or closes it.

  id         the number in the first column of the list
  /CLOSE     closes it. What the client has not written yet is lost to it
  --path     only paths that contain this text, in any case
  --user     only what this user has open
  --share    only what is open on this share
  --client   only what is open from this computer
  --verbose  with an id, also shows who has it open from where, since when,
             and the byte ranges that are locked
  --compat   cuts long paths as NET did, also where output is not a terminal
  --json     output for programs
  --socket   the control socket of the server

Permissions are R read, W write, C create, X execute, D delete, A attributes,
P permissions.

Switches may be abbreviated and written in any case, as /CLOSE or --close.

Exit codes: 0 done, also where nothing is open; 5 you may not; 2 all else, as
2114 no server runs, 2314 nothing is open by this id, 3960 this is not an id.
The number is in the text.
",
};

const CLOSE: Switch = Switch::net("CLOSE", Takes::Nothing);
const PATH: Switch = Switch::own("PATH", Takes::Value);
const USER: Switch = Switch::own("USER", Takes::Value);
const SHARE: Switch = Switch::own("SHARE", Takes::Value);
const CLIENT: Switch = Switch::own("CLIENT", Takes::Value);

const SWITCHES: &[Switch] = &[
    CLOSE,
    PATH,
    USER,
    SHARE,
    CLIENT,
    cli::YES,
    cli::NO,
    cli::JSON,
    cli::COMPAT,
    cli::VERBOSE,
    cli::SOCKET,
    cli::SERVER,
    cli::LOGIN,
    cli::CREDENTIALS,
];

const COLUMNS: [Column; 4] = [
    Column { title: "ID", width: 10, align: Align::Left, cut: Cut::Never },
    Column { title: "Path", width: 39, align: Align::Left, cut: Cut::Middle },
    Column { title: "User name", width: 20, align: Align::Left, cut: Cut::End },
    Column { title: "# Locks", width: 7, align: Align::Left, cut: Cut::Never },
];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, SWITCHES).map_err(usage)?;
    let options = Options::of(&words).map_err(usage)?;
    if options.json {
        console.set_json();
    }
    let given = |switch| words.value(switch).map(str::to_owned);
    let query = FileQuery {
        user: given(&USER),
        client: given(&CLIENT).map(|client| client.trim_start_matches(['\\', '/']).to_owned()),
        share: given(&SHARE),
        path: given(&PATH),
        ..FileQuery::default()
    };
    let close = words.has(&CLOSE);
    match words.operands.as_slice() {
        [] if close => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
        [] => list(&*administration::of(&options.target)?, &query, &options, console),
        [_] if query != FileQuery::default() => {
            Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)))
        }
        [id] => {
            let id = file_id(id)?;
            let server = administration::of(&options.target)?;
            if close {
                close_one(&*server, id, &options, console)
            } else {
                show(&*server, id, &options, console)
            }
        }
        _ => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
}

fn file_id(text: &str) -> Result<u32, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = digits.then(|| text.parse().ok()).flatten();
    id.ok_or_else(|| Numbered::new(messages::FILE_NUMBER_NUMBER).into())
}

fn list(
    server: &dyn Administration,
    query: &FileQuery,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let files = administration::run(async { Ok(server.files(query).await?) })?;
    if options.json {
        console.document("files", &files)?;
    } else if files.is_empty() {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
    } else {
        let rows = files.iter().map(|file| {
            vec![file.id.to_string(), shown_path(file).to_owned(), file.user.clone(), or_unknown(file.locks)]
        });
        let table = Table { columns: &COLUMNS, rows: rows.collect() };
        console.write(&format!("\n{}", table.text(options.compat, console.width())));
        console.line(&format!("{}\n", messages::COMPLETED));
    }
    Ok(())
}

fn show(
    server: &dyn Administration,
    id: u32,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let file = administration::run(async { Ok(server.file(id).await?) })?;
    if options.json {
        return console.document("file", &file);
    }
    console.write(&detail(&file));
    if options.verbose {
        console.write(&more(&file));
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn close_one(
    server: &dyn Administration,
    id: u32,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let ended: Ended =
        administration::run(async { Ok(server.close_file(id, &CloseFile::default()).await?) })?;
    if options.json {
        console.document("ended", &ended)?;
    } else {
        console.line(&format!("{}\n", messages::COMPLETED));
    }
    Ok(())
}

/// The path that NET shows is the server's own; a pipe has only a name.
fn shown_path(file: &OpenFile) -> &str {
    file.server_path.as_deref().unwrap_or(&file.path)
}

fn detail(file: &OpenFile) -> String {
    [
        label("File ID", &file.id.to_string()),
        label("User name", &file.user),
        label("Locks", &or_unknown(file.locks)),
        label("Path", shown_path(file)),
        label("Permissions", &or_unknown(file.permissions.map(letters))),
    ]
    .concat()
}

fn more(file: &OpenFile) -> String {
    let optional =
        |name: &str, value: Option<String>| value.map(|value| label(name, &value)).unwrap_or_default();
    let yes = |flag: Option<bool>| flag.map(|flag| if flag { "Yes" } else { "No" }.to_owned());
    let text = |value: &Option<String>| value.clone();
    let mut lines = [
        optional("Computer", file.computer.as_deref().map(control::address::bracketed)),
        optional("Session ID", file.session_id.map(|id| id.to_string())),
        optional("Share", text(&file.share)),
        optional("Share path", Some(file.path.clone()).filter(|_| file.server_path.is_some())),
        optional(
            "Access",
            file.access.as_ref().map(|access| format!("{} {}", access.mask, access.names.join(" "))),
        ),
        optional("Shared for", file.share_access.as_ref().map(|names| names.join(" "))),
        optional("Oplock", text(&file.oplock)),
        optional("Lease", text(&file.lease)),
        optional("Durable", yes(file.durable)),
        optional("Directory", yes(file.directory)),
        optional("Delete pending", yes(file.delete_pending)),
        optional("Opened", file.opened_at.map(|time| time.to_string())),
        optional("Idle time", file.idle_seconds.map(span)),
        optional("Bytes read", file.bytes_read.map(|bytes| bytes.to_string())),
        optional("Bytes written", file.bytes_written.map(|bytes| bytes.to_string())),
    ]
    .concat();
    for range in &file.lock_ranges {
        let kind = if range.exclusive { "exclusive" } else { "shared" };
        let value = format!("{} bytes from {}, {kind}", range.length, range.offset);
        let _ = write!(lines, "{}", label("Locked", &value));
    }
    lines
}

fn label(name: &str, value: &str) -> String {
    format!("{}\n", format!("{name:<17}{}", clean_line(value)).trim_end())
}

/// The letters of LAN Manager's permissions.
fn letters(permissions: u32) -> String {
    let bits = [
        (permission::READ, 'R'),
        (permission::WRITE, 'W'),
        (permission::CREATE, 'C'),
        (permission::EXECUTE, 'X'),
        (permission::DELETE, 'D'),
        (permission::ATTRIBUTES, 'A'),
        (permission::PERMISSIONS, 'P'),
    ];
    bits.into_iter().filter(|(bit, _)| permissions & bit != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_whole_of_u32_in_decimal() {
        for (text, id) in
            [("0", 0), ("7", 7), ("007", 7), ("2214593372", 2_214_593_372), ("4294967295", u32::MAX)]
        {
            assert_eq!(file_id(text).ok(), Some(id));
        }
        for text in ["", "x", "+7", "-7", "7 ", "0x7", "4294967296", "٧"] {
            assert!(file_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_narrow_terminal_shortens_the_path_and_nothing_else() {
        let path = "/srv/data/projects/a/very/long/way/down/report.docx";
        let table = Table {
            columns: &COLUMNS,
            rows: vec![vec!["2214593372".into(), path.into(), "alice".into(), "0".into()]],
        };
        assert!(table.text(false, None).contains(path));
        assert!(table.text(false, Some(200)).contains(path));
        for text in [table.text(false, Some(80)), table.text(true, None), table.text(true, Some(200))] {
            assert!(!text.contains(path));
            assert!(text.contains("/report.docx alice                0\n"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}
