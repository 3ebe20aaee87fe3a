//! `net file`: what is open, and closing it.

mod close;

use client::Administration;
use control::{FileQuery, OpenFile, Timestamp};

use super::{Applet, Family, Help};
use crate::administration::{self, Servers};
use crate::cli::{self, Filter, Format, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::listing::{self, gather_now};
use crate::messages;
use crate::opens::{Shown, detail, more};
use crate::output::Console;
use crate::watch::{self, Watch, watch};

pub(super) static APPLET: Applet = Applet {
    names: &["file", "files"],
    family: Family::Net,
    summary: "shows the open files, and closes them",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET FILE
[id] [/CLOSE] [/YES | /NO]
[--user NAME] [--client COMPUTER] [--share NAME] [--path PATTERN]
[--idle BOUND] [--age BOUND] [--locked] [--writing] [--mine]
[--force | --grace SECONDS] [--expect-user NAME] [--expect-path PATH]
[--dry-run] [--watch [--for LENGTH]] [--verbose] [--compat]
[--json[=wmi] | --ndjson | --csv[=bom] [--no-header]]
[--server NAME[,NAME]] [--login USER] [--credentials FILE] [--socket PATH]
",
    about: "\
Without an id, lists the files, directories and pipes that clients have open on
this server. With an id, shows that one. With /CLOSE, closes that one, or all
that the filters let through.

  id         the number in the first column of the list
  /CLOSE     closes it. A client that may have changes which it has not written
             is asked for them first. Where filters are given, shows what is
             meant and asks before
  /YES, /NO  answers the question beforehand

Which ones; all that is given must match:
  --user     only what this user has open
  --client   only what is open from this computer: its address or its name
  --share    only what is open on this share
  --path     only paths that contain this text; or that match it as a pattern,
             where it has * or ?. In any case, / being the same as \\
  --idle     only what was not used for so long: '>1h', '<30m', 90s, 2d
  --age      only what has been open for so long
  --locked   only what has byte-range locks; --locked=no, what has none
  --writing  only what was opened for writing; --writing=no, what was not
  --mine     only what you have open yourself

How to close:
  --force    at once: what the client has not written is lost to it
  --grace    how many seconds the client has for writing, at most 35
  --expect-user, --expect-path
             only if it is this user's, or this path's, still; else 2314
  --dry-run  closes nothing, and shows what it would

How to show it:
  --watch    goes on showing it until Ctrl-C, or --for so long. Where output is
             no terminal, as a line for every change
  --verbose  also shows what NET does not: who has it open from where, since
             when, what they may cache, the byte ranges that are locked
  --compat   cuts long paths as NET did, also where output is not a terminal
  --json     a document for programs; --ndjson one to a line, --csv as a table,
             --json=wmi with the names of WMI's MSFT_SmbOpenFile
  --server   other machines' servers; of several, a list says whose it is
  --socket   the control socket of the server

Permissions are R read, W write, C create, X execute, D delete, A attributes,
P permissions.

Switches may be abbreviated and written in any case, as /CLOSE or --close.

Exit codes: 0 done, also where nothing is open; 5 you may not; 2 all else, as
2114 no server runs, 2314 nothing is open by this id, 3960 this is not an id,
and where the question was answered with no. The number is in the text.
",
};

const CLOSE: Switch = Switch::net("CLOSE", Takes::Nothing);
const FORCE: Switch = Switch::own("FORCE", Takes::Nothing);
const GRACE: Switch = Switch::own("GRACE", Takes::Value);
const EXPECT_USER: Switch = Switch::own("EXPECT-USER", Takes::Value);
const EXPECT_PATH: Switch = Switch::own("EXPECT-PATH", Takes::Value);
const DRY_RUN: Switch = Switch::own("DRY-RUN", Takes::Nothing);

/// Those that only mean something where something is closed.
const OF_CLOSE: [Switch; 5] = [FORCE, GRACE, EXPECT_USER, EXPECT_PATH, DRY_RUN];

const SWITCHES: [Switch; 5] = [CLOSE, cli::YES, cli::NO, cli::COMPAT, cli::VERBOSE];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let known = [
        SWITCHES.as_slice(),
        &OF_CLOSE,
        &cli::filter::SWITCHES,
        &cli::format::SWITCHES,
        &watch::SWITCHES,
        &cli::TARGET,
    ];
    let words = cli::parse(words, &known.concat()).map_err(usage)?;
    let options = Options::of(&words).map_err(usage)?;
    let format = Format::of(&words).map_err(usage)?;
    format.announce(console);
    let filter = Filter::of(&words).map_err(usage)?;
    let watched = Watch::of(&words, format).map_err(usage)?;
    let how = close::How::of(&words).map_err(usage)?;
    let conflict = || Err(usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)));
    let closes = words.has(&CLOSE);
    if (closes && (watched.is_some() || matches!(format, Format::Ndjson | Format::Csv { .. })))
        || (!closes && OF_CLOSE.iter().any(|switch| words.has(switch)))
    {
        return conflict();
    }
    let closing = close::Closing { how, dry_run: words.has(&DRY_RUN), preset: options.preset, format };
    match words.operands.as_slice() {
        [] if closes && filter.is_empty() => Err(usage(
            Numbered::new(messages::ARGUMENT_COUNT_NUMBER)
                .hint("which files? An id, or a filter as --user or --path"),
        )),
        [] if closes => closing.matching(&*administration::of(&options.target)?, &filter.files(), console),
        [] => list(&administration::all_of(&options.target)?, &filter, watched, &options, format, console),
        [_] if !filter.is_empty() || watched.is_some() => conflict(),
        [id] => {
            let id = file_id(id)?;
            let server = administration::of(&options.target)?;
            if closes {
                closing.one(&*server, id, console)
            } else {
                show(&*server, id, &options, format, console)
            }
        }
        _ => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
}

/// A file's number, as NET reads it: all of an unsigned 32-bit integer.
pub(super) fn file_id(text: &str) -> Result<u32, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = digits.then(|| text.parse().ok()).flatten();
    id.ok_or_else(|| Numbered::new(messages::FILE_NUMBER_NUMBER).into())
}

fn list(
    servers: &Servers,
    filter: &Filter,
    watched: Option<Watch>,
    options: &Options,
    format: Format,
    console: &mut Console,
) -> Result<(), Failure> {
    let query = filter.files();
    let question = async |server: &dyn Administration| server.files(&query).await;
    let shown = Shown { verbose: options.verbose, compat: options.compat, width: console.width() };
    if let Some(watched) = watched {
        let is_meant =
            |file: &OpenFile| FileQuery { mine: None, ..query.clone() }.matches(file, Timestamp::now());
        return watch(servers, watched, format, console, question, is_meant, |gathered| {
            shown.table(&gathered.entries, gathered.several)
        });
    }
    let gathered = gather_now(servers, question)?;
    if gathered.is_nothing(servers) || listing::write(&gathered, format, console)? {
        return gathered.conclude(console);
    }
    if gathered.entries.is_empty() {
        console.line(&format!("{}\n", messages::NO_ENTRIES));
    } else {
        console.line("");
        console.write(&shown.table(&gathered.entries, gathered.several));
        console.line(&format!("{}\n", messages::COMPLETED));
    }
    gathered.conclude(console)
}

fn show(
    server: &dyn Administration,
    id: u32,
    options: &Options,
    format: Format,
    console: &mut Console,
) -> Result<(), Failure> {
    let file = administration::run(async { Ok(server.file(id).await?) })?;
    if format == Format::Json {
        return console.document("file", &file);
    }
    let alone = listing::Gathered::of_one(vec![file]);
    if listing::write(&alone, format, console)? {
        return Ok(());
    }
    for file in alone.into_entries() {
        console.write(&detail(&file));
        if options.verbose {
            console.write(&more(&file));
        }
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
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
}
