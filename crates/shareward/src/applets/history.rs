//! `net history`: shows what was open, changed, refused and administered.

use client::Administration;
use control::{History, HistoryEntry, HistoryName, HistoryQuery, Timestamp};
use serde::Serialize;

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Format, Switch, Takes, Words, format, time_words};
use crate::failure::{Failure, Numbered};
use crate::listing::{self, gather_now};
use crate::messages;
use crate::open_files::{by, number};
use crate::output::{Align, Column, Console, Csv, Cut, Of, Table, clean_line, local_time};
use crate::who_query;

pub(super) static APPLET: Applet = Applet {
    names: &["history"],
    family: Family::Net,
    summary: "Show what was open, changed and refused, by whom and when",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET HISTORY
[path [--share NAME]] [--at TIME | [--since TIME] [--until TIME]]
[--user NAME] [--client COMPUTER]
[--opened] [--deleted] [--renamed] [--refused] [--sessions] [--drains]
[--acts]
[--limit N] [--json | --ndjson | --csv[=bom] [--no-header]]
[--server NAME[,NAME] | --cluster] [--login USER] [--credentials FILE]
[--socket PATH]
[--kerberos | --ntlm]
",
    about: "\
Shows the history of a file, of everything below a directory, or of the whole
server, the latest entries last: opens with the bytes that were read and
written, deletions, renames, refusals with the open that stood in the way,
sessions, refused logons, drains and the acts of administrators. A renamed file
is followed: its entries under its other names are shown, too. Administrators
see everything, other users their own entries.

  path        a path on this machine, or //server/share/path
  --share     the path is relative to this share
  --at        only what was open, or who was connected, at this time
  --since     only what had not ended at this time
  --until     only what had begun at this time
  --user      only entries of this user, or that this user stood in the way of
  --client    only entries of this computer
  --opened, --deleted, --renamed, --refused, --sessions, --drains, --acts
              only entries of these kinds
  --limit     show at most N entries, up to 5000: the latest; 1000 by default
  --json      print one JSON document; --ndjson: one for each entry
  --csv       print comma-separated values
  --server    ask these servers instead of the local one; with several, the
              entries are in the order of time and name their servers
  --cluster   ask all nodes of this machine's cluster
  --socket    path of the local server's control socket

TIME is 14:02, 'yesterday 14:02', 2026-11-30T14:02, 2026-11-30 or '2h ago'.

Examples:

  net history /srv/data/plan.odt                 what happened to the file
  net history /srv/data/plan.odt --deleted       who deleted it
  net history /srv/data/plan.odt --at 14:02      who had it open at 14:02
  net history /srv/data --refused --since 2h     who was refused, and by whom
  net history --acts --since yesterday           what administrators did

The server records a history unless its [history] settings turn it off.

Exit codes: 0 success, even if nothing is found; the number of a system error
up to 255, such as 5 (access denied) or 50 (no history); 2 for all others.
",
};

const AT: Switch = Switch::own("AT", Takes::Value);
const SINCE: Switch = Switch::own("SINCE", Takes::Value);
const UNTIL: Switch = Switch::own("UNTIL", Takes::Value);
const USER: Switch = Switch::own("USER", Takes::Value);
const CLIENT: Switch = Switch::own("CLIENT", Takes::Value);
const LIMIT: Switch = Switch::own("LIMIT", Takes::Value);

/// The switches of kinds, with the kinds.
const KINDS: [(Switch, &str); 7] = [
    (Switch::own("OPENED", Takes::Nothing), "open"),
    (Switch::own("DELETED", Takes::Nothing), "deleted"),
    (Switch::own("RENAMED", Takes::Nothing), "renamed"),
    (Switch::own("REFUSED", Takes::Nothing), "refused,logon_refused"),
    (Switch::own("SESSIONS", Takes::Nothing), "session"),
    (Switch::own("DRAINS", Takes::Nothing), "drain"),
    (Switch::own("ACTS", Takes::Nothing), "act"),
];

const CSV: Csv = Csv {
    columns: &[
        ("id", "/id"),
        ("kind", "/kind"),
        ("at", "/at"),
        ("ended_at", "/ended_at"),
        ("share", "/share"),
        ("path", "/path"),
        ("new_path", "/new_path"),
        ("user", "/user"),
        ("computer", "/computer"),
        ("session_id", "/session_id"),
        ("file_id", "/file_id"),
        ("access", "/access/mask"),
        ("bytes_read", "/bytes_read"),
        ("bytes_written", "/bytes_written"),
        ("reason", "/reason"),
        ("holder_file_id", "/holder_file_id"),
        ("holder_user", "/holder_user"),
        ("holder_computer", "/holder_computer"),
        ("missing", "/missing"),
        ("act", "/act"),
        ("object", "/object"),
        ("outcome", "/outcome"),
        ("replaced_by", "/replaced_by"),
        ("closed", "/closed"),
    ],
    more: &[],
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) = command_line(cli::parse_paths(words, &known()), &HELP, console)?;
    let options = options.with_cluster(&words).map_err(usage)?;
    let form = Format::of(&words).and_then(|form| match form {
        Format::Wmi => Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
            .about(format::JSON.shown())
            .hint("WMI has no history; use --json")),
        form => Ok(form),
    });
    let form = form.map_err(usage)?;
    form.announce(console);
    let query = question(&words, &options.target).map_err(usage)?;
    let servers = administration::all_of(&options.target)?;
    let gathered =
        gather_now(&servers, async |server: &dyn Administration| Ok(vec![server.history(&query).await?]))?;
    if gathered.is_nothing(&servers) {
        return gathered.conclude(console);
    }
    let limit = query.limit.unwrap_or(control::limits::HISTORY_DEFAULT);
    let history = Merged::of(&gathered.entries, usize::try_from(limit).unwrap_or(usize::MAX));
    match form {
        Format::Json => match gathered.entries.as_slice() {
            [Of { server: None, entry }] => console.document("history", entry)?,
            _ => console.document("history", &history)?,
        },
        Format::Ndjson => {
            for entry in &history.items {
                listing::write_line("history", entry, console)?;
            }
        }
        Format::Csv { header, mark } => {
            if mark {
                console.write(listing::BYTE_ORDER_MARK);
            }
            if header {
                console.write(&CSV.header(gathered.several));
            }
            let clean = console.width().is_some();
            for Of { server, entry } in &history.items {
                console.write(&CSV.row(server.as_deref(), entry, clean));
            }
        }
        Format::Text | Format::Wmi => {
            let text = for_people(&history, console.width());
            console.write(&text);
            console.line(&format!("{}\n", messages::COMPLETED));
        }
    }
    gathered.conclude(console)
}

fn known() -> Vec<Switch> {
    let own = [AT, SINCE, UNTIL, USER, CLIENT, LIMIT].into_iter().chain(KINDS.map(|(switch, _)| switch));
    let own: Vec<Switch> = own.chain(who_query::SWITCHES).chain(format::SWITCHES).collect();
    [own.as_slice(), &cli::TARGET, &[cli::CLUSTER]].concat()
}

fn question(words: &Words, target: &administration::ServerTarget) -> Result<HistoryQuery, Numbered> {
    let (path, share) = match words.operands.as_slice() {
        [] => (None, words.value(&who_query::SHARE).map(str::to_owned)),
        [_] => {
            let who = who_query::question(words, target)?;
            (Some(who.path), who.share)
        }
        _ => return Err(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)),
    };
    let time = |switch: &Switch| words.value(switch).map(|text| time_words::time(switch, text)).transpose();
    let (at, since, until) = (time(&AT)?, time(&SINCE)?, time(&UNTIL)?);
    if at.is_some() && (since.is_some() || until.is_some()) {
        return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
    }
    for (switch, time) in [(&AT, at), (&SINCE, since)] {
        if time.is_some_and(time_words::is_future) {
            return Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
                .about(switch.shown())
                .hint("this time has not come yet; for the day before, write 'yesterday 14:02'"));
        }
    }
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
            .about(UNTIL.shown())
            .hint("--until is a time after --since"));
    }
    let limit = words.value(&LIMIT).map(|text| match text.parse::<u32>() {
        Ok(limit) if (1..=control::limits::HISTORY_MAX).contains(&limit) => Ok(limit),
        _ => Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
            .about(LIMIT.shown())
            .hint(format!("a number from 1 to {}", control::limits::HISTORY_MAX))),
    });
    let kinds: Vec<&str> =
        KINDS.iter().filter(|(switch, _)| words.has(switch)).map(|(_, kinds)| *kinds).collect();
    Ok(HistoryQuery {
        path,
        share,
        at,
        since,
        until,
        user: words.value(&USER).map(str::to_owned),
        client: words.value(&CLIENT).map(str::to_owned),
        // Missing entries may be of any kind.
        kinds: (!kinds.is_empty()).then(|| format!("{},gap", kinds.join(","))),
        limit: limit.transpose()?,
    })
}

/// The answers of all servers as one.
#[derive(Debug, Serialize)]
struct Merged {
    schema: u32,
    /// The entries of all servers, in the order of their beginnings.
    items: Vec<Of<HistoryEntry>>,
    names: Vec<Of<HistoryName>>,
    has_earlier: bool,
    /// The extents of the histories, one for each server.
    servers: Vec<Of<Extent>>,
}

/// The extent of one server's history.
#[derive(Debug, Serialize)]
struct Extent {
    begins: Option<Timestamp>,
    left_out: Option<u64>,
    failure: Option<String>,
}

impl Merged {
    /// The latest entries of the answers, at most `limit`: older ones may be missing in some answers.
    fn of(answers: &[Of<History>], limit: usize) -> Self {
        let mut all = Self {
            schema: control::SCHEMA,
            items: Vec::new(),
            names: Vec::new(),
            has_earlier: false,
            servers: Vec::new(),
        };
        for Of { server, entry } in answers {
            let of = || server.clone();
            all.items.extend(entry.items.iter().map(|it| Of { server: of(), entry: it.clone() }));
            all.names.extend(entry.names.iter().map(|it| Of { server: of(), entry: it.clone() }));
            all.has_earlier |= entry.has_earlier;
            let History { begins, left_out, failure, .. } = entry;
            let extent = Extent { begins: *begins, left_out: *left_out, failure: failure.clone() };
            all.servers.push(Of { server: of(), entry: extent });
        }
        all.items.sort_by_key(|it| it.entry.at);
        let more = all.items.len().saturating_sub(limit);
        all.has_earlier |= more > 0;
        all.items.drain(..more);
        all
    }
}

fn for_people(history: &Merged, width: Option<usize>) -> String {
    let mut text = String::new();
    for Of { server, entry: name } in &history.names {
        let place = server.as_ref().map(|server| format!(" of {server}")).unwrap_or_default();
        let path = clean_line(&format!("{} on {}{place}", name.path, name.share));
        let line = match (name.later, name.until, name.since) {
            (false, Some(until), _) => format!("It was called {path} until {}.\n", local_time(until)),
            (true, Some(until), Some(since)) => {
                format!("It was called {path} from {} until {}.\n", local_time(since), local_time(until))
            }
            (_, None, Some(since)) => format!("It has been called {path} since {}.\n", local_time(since)),
            _ => format!("It was also called {path}.\n"),
        };
        text.push_str(&line);
    }
    if !history.names.is_empty() {
        text.push('\n');
    }
    text.push_str(&table(&history.items, width));
    text.push('\n');
    if history.has_earlier {
        text.push_str("There are earlier entries: use --since, --until or --limit.\n");
    }
    for Of { server, entry: Extent { begins, left_out, failure } } in &history.servers {
        let of = server.as_ref().map(|server| format!(" of {}", clean_line(server))).unwrap_or_default();
        if let Some(begins) = begins {
            text.push_str(&format!("The history{of} begins at {}.\n", local_time(*begins)));
        }
        if let Some(left_out @ 1..) = left_out {
            let entries = number(usize::try_from(*left_out).unwrap_or(usize::MAX), "entry", "entries");
            text.push_str(&format!(
                "{entries}{of} could not be recorded since the server started; gaps show where.\n"
            ));
        }
        if let Some(failure) = failure {
            text.push_str(&format!("Nothing{of} is recorded at present: {}\n", clean_line(failure)));
        }
    }
    text
}

fn table(items: &[Of<HistoryEntry>], width: Option<usize>) -> String {
    if items.is_empty() {
        return String::from("The history has nothing that matches.\n");
    }
    let column = |title, width| Column { title, width, align: Align::Left, cut: Cut::Never };
    let of_server = items.iter().any(|it| it.server.is_some()).then(|| column("Server", 15));
    let columns: Vec<Column> = of_server
        .into_iter()
        .chain([
            column("Time", 19),
            column("What", 8),
            Column { cut: Cut::Middle, ..column("Path", 24) },
            column("By", 12),
            column("Details", 7),
        ])
        .collect();
    let rows: Vec<Vec<String>> =
        items.iter().map(|it| it.server.iter().cloned().chain(row(&it.entry)).collect()).collect();
    Table { columns: &columns, rows: rows.iter().map(|row| row.iter().collect()) }.text(false, width)
}

/// The values of a row: time, kind, path, user and details.
fn row(entry: &HistoryEntry) -> Vec<String> {
    let what = match entry.kind.as_str() {
        "open" => "opened",
        "logon_refused" => "logon refused",
        other => other,
    };
    let path = match (&entry.share, &entry.path) {
        (Some(share), Some(path)) => format!("{share}\\{path}"),
        _ => entry.object.clone().unwrap_or_else(|| String::from("-")),
    };
    let user = match (&entry.user, &entry.computer) {
        (None, None) => String::from("-"),
        (user, computer) => by(user.as_deref().unwrap_or_default(), computer.as_deref()),
    };
    vec![local_time(entry.at), what.to_owned(), path, user, details(entry)]
}

fn details(entry: &HistoryEntry) -> String {
    let reason = entry.reason.as_deref().map(|reason| reason.replace('_', " "));
    let reason = reason.unwrap_or_default();
    let ended = || match entry.ended_at {
        Some(end) => format!("until {} ({reason})", local_time(end)),
        None => String::from("still open"),
    };
    match entry.kind.as_str() {
        "open" => {
            let (read, written) = (entry.bytes_read.unwrap_or(0), entry.bytes_written.unwrap_or(0));
            let used = [(read, "read"), (written, "written")];
            let used = used.iter().filter(|(bytes, _)| *bytes > 0);
            used.fold(ended(), |text, (bytes, what)| format!("{text}, {bytes} bytes {what}"))
        }
        "session" if entry.ended_at.is_none() => String::from("still connected"),
        "session" => ended(),
        "deleted" => match &entry.replaced_by {
            Some(other) => format!("replaced by {other}"),
            None => reason,
        },
        "drain" => match entry.closed {
            Some(closed @ 1..) => {
                let closed = usize::try_from(closed).unwrap_or(usize::MAX);
                format!("{reason}, {} closed", number(closed, "file", "files"))
            }
            _ => reason,
        },
        "renamed" => format!("to {}", entry.new_path.as_deref().unwrap_or("-")),
        "refused" => match (entry.holder_file_id, &entry.holder_user) {
            (None, None) => reason,
            (id, user) => {
                let open = id.map(|id| format!("open {id} of ")).unwrap_or_default();
                let holder = by(user.as_deref().unwrap_or_default(), entry.holder_computer.as_deref());
                format!("{reason}: blocked by {open}{holder}")
            }
        },
        "act" => format!(
            "{}: {}",
            entry.act.as_deref().unwrap_or_default(),
            entry.outcome.as_deref().unwrap_or_default()
        ),
        "gap" => {
            let missing = usize::try_from(entry.missing.unwrap_or(0)).unwrap_or(usize::MAX);
            format!("{} missing, {}", number(missing, "entry is", "entries are"), ended())
        }
        _ => reason,
    }
}
