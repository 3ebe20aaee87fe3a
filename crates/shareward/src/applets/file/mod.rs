//! `net file`: lists, shows and closes opens.

mod close;

pub(super) use close::outcome_message;

use client::Administration;
use control::{FileQuery, OpenFile, Timestamp};

use super::{Applet, Family, Help};
use crate::administration::{self, ServerTarget, Servers};
use crate::cli::{self, Filter, Format, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::listing::{self, TableForm, gather_now};
use crate::messages;
use crate::open_files::{detail, more, table};
use crate::output::Console;
use crate::watch::{self, Watch, watch};

pub(super) static APPLET: Applet = Applet {
    names: &["file", "files"],
    family: Family::Net,
    summary: "Show or close open files",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET FILE
[id] [/CLOSE] [/YES | /NO]
[--user NAME] [--client COMPUTER] [--share NAME] [--path PATTERN]
[--idle BOUND] [--age BOUND] [--locked] [--writing] [--waiting]
[--mine]
[/NOTICE:DEADLINE [\"text\"] | /NOTICE:CANCEL]
[--force | --grace SECONDS] [--expect-user NAME] [--expect-path PATH]
[--dry-run] [--watch [--for LENGTH]] [--verbose] [--compat]
[--json[=wmi] | --ndjson | --csv[=bom] [--no-header]]
[--server NAME[,NAME] | --cluster] [--login USER] [--credentials FILE]
[--socket PATH]
[--kerberos | --ntlm]
",
    about: "\
Lists the files, directories and pipes that clients have open on this server,
shows one of them, or closes them.

  id         a number from the first column of the list
  /CLOSE     close this open, or all opens that match the filters. By default,
             a client that may have cached changes can write them back first.
             With filters, lists the matches and asks for confirmation
  /NOTICE    with /CLOSE: close it at DEADLINE (10m, 2h, 18:00), and tell its
             user with this text through the notices of the configuration.
             The list shows the deadline. A restart of the server forgets it.
             /NOTICE:CANCEL cancels it
  /YES, /NO  answer the question in advance

Filters (an open is selected if it matches all of them):
  --user     opens of this user
  --client   opens from this computer, by address or name
  --share    opens on this share
  --path     paths that contain this text or, if it has * or ?, match it as a
             pattern. Case is ignored; / is the same as \\
  --idle     opens that were not used for this time: '>1h', '<30m', 90s, 2d
  --age      opens that have existed for this time
  --locked   opens with byte-range locks; --locked=no: without
  --writing  opens with write access; --writing=no: without
  --waiting  opens that wait for their clients to come back after a lost
             connection or a restart of the server; --waiting=no: the others
  --mine     your own opens

With /CLOSE:
  --force    close at once. Changes that the client has not written are lost
  --grace    seconds that the client has to write its changes, at most 35;
             10 without this option
  --expect-user, --expect-path
             close only if the open still has this user or path; else fail
             with 2314
  --dry-run  show the selected opens, close none

Output and target:
  --watch    keep the list up to date until Ctrl-C, or for the time given with
             --for. If output is not a terminal, print changes
  --verbose  also show computer, access, caching, locked byte ranges and times
  --compat   cut long paths to the column widths of Windows
  --json     print one JSON document; --json=wmi uses the names of WMI's
             MSFT_SmbOpenFile
  --ndjson, --csv
             print one JSON document per line, or comma-separated values
  --server   ask these servers instead of the local one; samba:, ksmbd: and
             nfs: are those of this machine. Without this switch they are
             asked if no Shareward server runs here
  --cluster  ask all nodes of this machine's cluster, each with the login; one
             that does not answer is named after the others, and NODE:ID is
             a file of that node
  --kerberos log on there only with a Kerberos ticket; --ntlm: only with a
             password
  --socket   path of the local server's control socket

Permissions are R read, W write, C create, X execute, D delete, A attributes,
P permissions.

Switches can be abbreviated and written in any case: /CLOSE, --close.

Exit codes: 0 success, even if nothing is open; the number of a system error up
to 255, such as 5 (access denied); 2 for all others, such as 2114 (no server is
running), 2314 (no open with this id), 3960 (not a valid id), or a question
answered with no. The message contains the number.
",
};

const CLOSE: Switch = Switch::net("CLOSE", Takes::Nothing);
const FORCE: Switch = Switch::own("FORCE", Takes::Nothing);
const GRACE: Switch = Switch::own("GRACE", Takes::Value);
const EXPECT_USER: Switch = Switch::own("EXPECT-USER", Takes::Value);
const EXPECT_PATH: Switch = Switch::own("EXPECT-PATH", Takes::Value);
const NOTICE: Switch = Switch::own("NOTICE", Takes::Value);
const DRY_RUN: Switch = Switch::own("DRY-RUN", Takes::Nothing);

/// The switches that require `/CLOSE`.
const OF_CLOSE: [Switch; 6] = [NOTICE, FORCE, GRACE, EXPECT_USER, EXPECT_PATH, DRY_RUN];

const SWITCHES: [Switch; 5] = [CLOSE, cli::YES, cli::NO, cli::COMPAT, cli::VERBOSE];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let known = [
        SWITCHES.as_slice(),
        &OF_CLOSE,
        &cli::filter::SWITCHES,
        &cli::filter::FILE_SWITCHES,
        &cli::format::SWITCHES,
        &watch::SWITCHES,
        &cli::TARGET,
        &[cli::CLUSTER],
    ];
    let words = cli::parse(words, &known.concat()).map_err(usage)?;
    let options = Options::of(&words).and_then(|it| it.with_cluster(&words)).map_err(usage)?;
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
    if let Some(notice) = words.value(&NOTICE) {
        let (id, text) = match words.operands.as_slice() {
            [id] => (id, ""),
            [id, text] => (id, text.as_str()),
            _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
        };
        if words.has(&FORCE) || words.has(&DRY_RUN) || !filter.is_empty() {
            return conflict();
        }
        let planned = closing.planned(notice, text).map_err(usage)?;
        let (target, id) = of_server(&options.target, id)?;
        return closing.later(&*administration::of(&target)?, id, planned, console);
    }
    match words.operands.as_slice() {
        [] if closes && filter.is_empty() => Err(usage(
            Numbered::new(messages::ARGUMENT_COUNT_NUMBER)
                .hint("give an id, or a filter such as --user or --path"),
        )),
        [] if closes => closing.matching(&*administration::of(&options.target)?, &filter.files(), console),
        [] => list(&administration::all_of(&options.target)?, &filter, watched, &options, format, console),
        [_] if !filter.is_empty() || watched.is_some() => conflict(),
        [id] => {
            let (target, id) = of_server(&options.target, id)?;
            let server = administration::of(&target)?;
            if closes {
                closing.one(&*server, id, console)
            } else {
                show(&*server, id, &options, format, console)
            }
        }
        _ => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
}

/// The server and the number of an id, which may name the server: `b:17`.
fn of_server(target: &ServerTarget, text: &str) -> Result<(ServerTarget, u32), Failure> {
    let mut target = target.clone();
    let Some((server, id)) = text.rsplit_once(':').filter(|_| target.server.is_some()) else {
        return Ok((target, file_id(text)?));
    };
    target.only = Some(server.to_owned());
    Ok((target, file_id(id)?))
}

/// Parses a file id as NET does: an unsigned 32-bit number in decimal.
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
    let form = TableForm { verbose: options.verbose, compat: options.compat, width: console.width() };
    if let Some(watched) = watched {
        let is_selected =
            |file: &OpenFile| FileQuery { mine: None, ..query.clone() }.matches(file, Timestamp::now());
        return watch(servers, watched, format, console, question, is_selected, |gathered| {
            table(&gathered.entries, gathered.several, form)
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
        console.write(&table(&gathered.entries, gathered.several, form));
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
