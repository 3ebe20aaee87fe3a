//! `net statistics`: the server's counters.

use control::Statistics;

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line, labelled, local_time};

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
[SERVER] [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Shows what the Server service has counted since it started. A counter that the
server does not keep is left empty.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 2114 (no server is running). The
message contains the number.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) = command_line(cli::parse(words, &cli::asking(&[])), &HELP, console)?;
    match words.operands.as_slice() {
        [] => {}
        [service] if ["server", "srv"].contains(&service.to_ascii_lowercase().as_str()) => {}
        [_] => return Err(usage(Numbered::new(messages::SYNTAX_NUMBER))),
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
    let server = administration::of(&options.target)?;
    let statistics = administration::run(async { Ok(server.statistics().await?) })?;
    if options.json {
        return console.document("statistics", &statistics);
    }
    console.write(&shown(&statistics));
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
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

fn line(label: &str, value: Option<u64>) -> String {
    let value = value.map(|value| value.to_string()).unwrap_or_default();
    labelled(LABEL_WIDTH, label, &value)
}

const LABEL_WIDTH: usize = 35;
