//! `net statistics`: the server's counters.

use client::Administration;
use control::{HistoryState, RequestStatistics, Statistics};

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli;
use crate::failure::{Failure, Numbered};
use crate::listing::gather_now;
use crate::messages;
use crate::output::{Align, Column, Console, Cut, Of, RULE, Table, clean_line, labelled, local_time};

pub(super) static APPLET: Applet = Applet {
    names: &["statistics", "stats"],
    family: Family::Net,
    summary: "Show the server's counters",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET STATISTICS
[SERVER] [--verbose] [--json]
[--socket PATH | {--server NAME | --cluster} [--login USER]
[--credentials FILE] [--kerberos | --ntlm]]
",
    about: "\
Shows what the Server service has counted since it started. A counter that the
server does not keep is left empty.

  --verbose  also show what Shareward counts beyond that: requests by command
             with their results and times, refusals, breaks, the numbers of
             sessions and open files at this moment, and the records of the
             history
  --cluster  show the counters of each node of this machine's cluster

Records that the history had to leave out are shown in any case.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 2114 (no server is running). The
message contains the number.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) =
        command_line(cli::parse(words, &cli::asking(&[cli::VERBOSE, cli::CLUSTER])), &HELP, console)?;
    let options = options.with_cluster(&words).map_err(usage)?;
    match words.operands.as_slice() {
        [] => {}
        [service] if ["server", "srv"].contains(&service.to_ascii_lowercase().as_str()) => {}
        [_] => return Err(usage(Numbered::new(messages::SYNTAX_NUMBER))),
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
    let servers = administration::all_of(&options.target)?;
    let gathered = gather_now(&servers, async |server: &dyn Administration| {
        let answer = if options.verbose { server.measurements().await? } else { server.statistics().await? };
        Ok(vec![answer])
    })?;
    if gathered.is_nothing(&servers) {
        return gathered.conclude(console);
    }
    match gathered.entries.as_slice() {
        [Of { server: None, entry }] if options.json => console.document("statistics", entry)?,
        several if options.json => {
            let several: Vec<OfNode<'_>> = several.iter().map(OfNode::from).collect();
            console.document("statistics", &several)?;
        }
        all => {
            for Of { server, entry } in all {
                if let Some(server) = server {
                    console.write(&format!("{}\n{}\n\n", clean_line(server), RULE));
                }
                console.write(&shown(entry));
                if let Some(history) = &entry.history {
                    console.write(&missing(history, options.verbose));
                }
                if options.verbose {
                    console.write(&more(entry, console.width()));
                }
            }
            console.line(&format!("{}\n", messages::COMPLETED));
        }
    }
    gathered.conclude(console)
}

/// The statistics of one of several servers, whose name `server` is that on the command line: the statistics have the name
/// that the server gives itself.
#[derive(serde::Serialize)]
struct OfNode<'a> {
    server: &'a str,
    statistics: &'a Statistics,
}

impl<'a> From<&'a Of<Statistics>> for OfNode<'a> {
    fn from(it: &'a Of<Statistics>) -> Self {
        Self { server: it.server.as_deref().unwrap_or_default(), statistics: &it.entry }
    }
}

fn shown(statistics: &Statistics) -> String {
    let since = statistics.since.map(local_time).unwrap_or_default();
    let kilobytes = |bytes: Option<u64>| bytes.map(|bytes| bytes / 1024);
    let groups: [&[(&str, Option<u64>)]; 4] = [
        &[
            ("Sessions accepted", statistics.sessions_accepted),
            ("Sessions timed-out", statistics.sessions_timed_out),
            ("Sessions errored-out", statistics.sessions_errored_out),
        ],
        &[
            ("Kilobytes sent", kilobytes(statistics.bytes_sent)),
            ("Kilobytes received", kilobytes(statistics.bytes_received)),
            ("Mean response time (msec)", statistics.response_milliseconds),
        ],
        &[
            ("System errors", statistics.system_errors),
            ("Permission violations", statistics.permission_violations),
            ("Password violations", statistics.password_violations),
        ],
        &[
            ("Files accessed", statistics.files_opened),
            ("Communication devices accessed", statistics.devices_opened),
            ("Print jobs spooled", statistics.jobs_spooled),
        ],
    ];
    let mut text = format!(
        "Server Statistics for {}\n\n\nStatistics since {since}\n\n\n",
        clean_line(&format!(r"\\{}", statistics.server))
    );
    for group in groups {
        for (label, value) in group {
            text.push_str(&line(label, *value));
        }
        text.push('\n');
    }
    text.push_str("Times buffers exhausted\n\n");
    text.push_str(&line("  Big buffers", statistics.big_buffers_exhausted));
    text.push_str(&line("  Request buffers", statistics.request_buffers_exhausted));
    text.push('\n');
    text
}

/// A fault of the history, which is shown even if nobody asks for more than other servers have.
fn missing(history: &HistoryState, has_all: bool) -> String {
    let mut text = String::new();
    if history.left_out > 0 && !has_all {
        text.push_str(&line("History records left out", Some(history.left_out)));
    }
    if let Some(failure) = &history.failure {
        text.push_str(&labelled(LABEL_WIDTH, "History cannot be written", failure));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The counters that only Shareward has.
fn more(statistics: &Statistics, width: Option<usize>) -> String {
    let current = statistics.current;
    let now = |of: fn(control::CurrentCounts) -> u64| current.map(of);
    let lines = [
        ("Opens refused", statistics.opens_refused),
        ("Lock conflicts", statistics.lock_conflicts),
        ("Breaks sent", statistics.breaks_sent),
        ("Breaks not acknowledged", statistics.breaks_timed_out),
        ("Connections now", now(|it| it.connections)),
        ("Sessions now", now(|it| it.sessions)),
        ("Open files now", now(|it| it.opens)),
        ("Locks now", now(|it| it.locks)),
        ("Opens that wait for their client", now(|it| it.orphans)),
        ("Waiting requests now", now(|it| it.waiting_requests)),
    ];
    let history = statistics.history.as_ref();
    let recorded = [
        ("History records written", history.map(|it| it.written)),
        ("History records waiting", history.map(|it| it.waiting)),
        ("History records left out", history.map(|it| it.left_out)),
        ("History in kilobytes", history.and_then(|it| it.bytes).map(|bytes| bytes / 1024)),
    ];
    let lines = lines.iter().chain(&recorded);
    let mut text: String = lines.map(|(label, value)| line(label, *value)).collect();
    let requests = statistics.requests.iter().filter(|it| it.total() != 0);
    let rows: Vec<Vec<String>> = requests.map(row).collect();
    if !rows.is_empty() {
        text.push_str(&format!(
            "\n{}",
            Table { columns: &COLUMNS, rows: rows.into_iter() }.text(false, width)
        ));
    }
    text.push('\n');
    text
}

fn row(requests: &RequestStatistics) -> Vec<String> {
    let failed = requests.server_error.saturating_add(requests.other);
    let mean = requests.microseconds.checked_div(requests.timed).map(microseconds).unwrap_or_default();
    let most = requests.within(99).flatten().map(microseconds).unwrap_or_default();
    let counts = [
        requests.success,
        requests.not_found,
        requests.denied,
        requests.conflict,
        requests.cancelled,
        failed,
    ];
    let counts = counts.map(|count| count.to_string());
    [vec![requests.command.clone()], counts.to_vec(), vec![mean, most]].concat()
}

fn microseconds(time: u64) -> String {
    match time {
        0..1_000 => format!("{time} us"),
        1_000..1_000_000 => format!("{}.{} ms", time / 1_000, time % 1_000 / 100),
        _ => format!("{}.{} s", time / 1_000_000, time % 1_000_000 / 100_000),
    }
}

const fn counted(title: &'static str, width: usize) -> Column {
    Column { title, width, align: Align::Right, cut: Cut::Never }
}

const COLUMNS: [Column; 9] = [
    Column { title: "Command", width: 15, align: Align::Left, cut: Cut::Never },
    counted("Done", 8),
    counted("Missing", 7),
    counted("Denied", 6),
    counted("Conflict", 8),
    counted("Ended", 5),
    counted("Failed", 6),
    counted("Mean", 8),
    counted("99 % in", 8),
];

fn line(label: &str, value: Option<u64>) -> String {
    let value = value.map(|value| value.to_string()).unwrap_or_default();
    labelled(LABEL_WIDTH, label, &value)
}

const LABEL_WIDTH: usize = 35;
