//! `net who`: shows who has a file open, and who was refused.

use client::Administration;
use control::{Refusal, RefusalKind, Who};

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli;
use crate::failure::Failure;
use crate::listing::gather_now;
use crate::messages;
use crate::open_files::{self, by, caching, label, lock_ranges, shown_path};
use crate::output::{Console, Of, RULE, clean_line, local_time, or_unknown, span};
use crate::who_query;

pub(super) static APPLET: Applet = Applet {
    names: &["who"],
    family: Family::Net,
    summary: "Show who has a file or directory open, and who was refused",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET WHO
path [--share NAME] [--json]
[--server NAME | --cluster] [--login USER] [--credentials FILE] [--socket PATH]
[--kerberos | --ntlm]
",
    about: "\
Shows who has a file open, or anything below a directory: user, computer,
access, sharing, caching, locked byte ranges, open time and idle time. Then
shows who was refused recently, and whose open blocked them.

  path      a path on this machine, or //server/share/path
  --share   the path is relative to this share
  --json    print one JSON document
  --server  ask these servers instead of the local one: names, or samba:,
            ksmbd: or nfs: on this machine
  --cluster ask all nodes of this machine's cluster, each with the login; those
            that do not answer are named after the others
  --socket  path of the local server's control socket

Exit codes: 0 success, even if nobody has it open; the number of a system error
up to 255, such as 5 (access denied); 2 for all others, such as 2114 (no server
is running). The message contains the number. In scripts, 'net wait --timeout
0' tells by its exit code whether a file is open.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) =
        command_line(cli::parse_paths(words, &who_query::known(&[cli::CLUSTER])), &HELP, console)?;
    let options = options.with_cluster(&words).map_err(usage)?;
    let query = who_query::question(&words, &options.target).map_err(usage)?;
    let servers = administration::all_of(&options.target)?;
    let gathered = gather_now(&servers, async |server: &dyn Administration| {
        Ok(vec![who_query::ask(server, &query).await?])
    })?;
    if gathered.is_nothing(&servers) {
        return gathered.conclude(console);
    }
    match gathered.entries.as_slice() {
        [Of { server: None, entry }] if options.json => console.document("who", entry)?,
        several if options.json => console.document("who", &several)?,
        all => {
            for Of { server, entry } in all {
                if let Some(server) = server {
                    console.write(&format!("{}\n{}\n\n", clean_line(server), RULE));
                }
                console.write(&opens_and_refusals(entry));
            }
            console.line(&format!("{}\n", messages::COMPLETED));
        }
    }
    gathered.conclude(console)
}

fn opens_and_refusals(who: &Who) -> String {
    let subject = clean_line(&who_query::subject(who));
    let mut text = match who.holders.len() {
        0 => format!("Nobody has {subject} open.\n\n"),
        count => format!("{subject}: {}.\n\n", open_files::number(count, "open", "opens")),
    };
    for file in &who.holders {
        let access =
            open_files::access(file).unwrap_or_else(|| or_unknown(file.permissions.map(open_files::letters)));
        let shared = file.share_access.as_ref().map(|names| match names.join(", ") {
            names if names.is_empty() => "nothing".to_owned(),
            names => names,
        });
        let lines = [
            label("File ID", &file.id.to_string()),
            label("Path", shown_path(file)),
            label("User name", open_files::user_name(file)),
            label("Computer", &or_unknown(file.computer.as_deref().map(control::address::bracketed))),
            label("Access", &access),
            label("Shared for", &or_unknown(shared)),
            label("Caching", &caching(file)),
            label("Locks", &or_unknown(file.locks)),
            lock_ranges(file),
            label("Opened", &or_unknown(file.opened_at.map(local_time))),
            label("Idle time", &or_unknown(file.idle_seconds.map(span))),
        ];
        text.push_str(&lines.concat());
        text.push('\n');
    }
    for hold in &who.holds {
        let lets_in = if hold.lets_in { "; others may open it" } else { "" };
        let since = or_unknown(hold.since.map(local_time));
        let place = if hold.path.is_empty() { &hold.share } else { &hold.path };
        text.push_str(&clean_line(&format!(
            "{place} is held by {} for '{}' since {since}{lets_in}.",
            hold.by, hold.purpose
        )));
        text.push_str("\n\n");
    }
    match who.refusals.as_deref() {
        None => text.push_str("This server does not report refusals.\n\n"),
        Some([]) => text.push_str("Nobody was refused recently.\n\n"),
        Some(refusals) => {
            text.push_str("Recently refused:\n\n");
            for refusal in refusals {
                text.push_str(&refusal_text(refusal));
            }
            text.push('\n');
        }
    }
    text
}

fn refusal_text(refusal: &Refusal) -> String {
    let wanted = refusal.wanted.as_ref().map(|access| match access.names.join(" ") {
        names if names.is_empty() => access.mask.to_string(),
        names => names,
    });
    let mut lines = clean_line(&format!(
        "{}  {} requested {}: {}",
        or_unknown(refusal.at.map(local_time)),
        by(&refusal.user, refusal.computer.as_deref()),
        wanted.as_deref().unwrap_or("access"),
        reason(refusal)
    ));
    lines.push('\n');
    let holder = match (refusal.holder_file_id, &refusal.holder_user) {
        (None, None) => return lines,
        (id, user) => {
            let open = id.map(|id| format!("open {id} of ")).unwrap_or_default();
            format!("{open}{}", by(user.as_deref().unwrap_or_default(), refusal.holder_computer.as_deref()))
        }
    };
    lines.push_str(&format!("    blocked by: {}\n", clean_line(&holder)));
    lines
}

fn reason(refusal: &Refusal) -> String {
    match refusal.kind {
        RefusalKind::SharingViolation => "another open does not share this access".to_owned(),
        RefusalKind::LockConflict => "another open has locked the byte range".to_owned(),
        RefusalKind::AccessDenied => "access denied".to_owned(),
        RefusalKind::DeletePending => "the file is being deleted".to_owned(),
        RefusalKind::Draining => "the share, the client or the server is drained".to_owned(),
        RefusalKind::Held => "a command holds the path".to_owned(),
        RefusalKind::Other => refusal.status.clone(),
    }
}
