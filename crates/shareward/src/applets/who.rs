//! `net who`: who has a file, and who was refused it.

use control::{Refusal, RefusalKind, Who};

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli;
use crate::failure::Failure;
use crate::holders;
use crate::messages;
use crate::opens::{self, by, caching, label, lock_ranges, shown_path};
use crate::output::{Console, clean_line, local_time, or_unknown, span};

pub(super) static APPLET: Applet = Applet {
    names: &["who"],
    family: Family::Net,
    summary: "shows who has a file or directory open, and who was refused it",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET WHO
path [--share NAME] [--json]
[--server NAME] [--login USER] [--credentials FILE] [--socket PATH]
",
    about: "\
Shows who has a file open, or anything below a directory: from where, for what,
what others may do meanwhile, what the client may cache, which byte ranges are
locked, since when, and how long nothing was done with it. Then, who was
refused it recently, and whose open stood in the way.

  path      on this machine, as any command takes it; or //server/share/path
  --share   the path is below this share
  --json    output for programs
  --server  another machine's server
  --socket  the control socket of the server

Exit codes: 0 done, also where nobody has it; 5 you may not; 2 all else, as
2114 no server runs. The number is in the text. 'net wait' tells by its exit
code whether somebody has it.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) = command_line(cli::parse_paths(words, &holders::known(&[])), &HELP, console)?;
    let query = holders::question(&words, &options.target).map_err(usage)?;
    let server = administration::of(&options.target)?;
    let who = administration::run(async { Ok(holders::ask(&*server, &query).await?) })?;
    if options.json {
        return console.document("who", &who);
    }
    console.write(&told(&who));
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn told(who: &Who) -> String {
    let subject = clean_line(&holders::subject(who));
    let mut text = match who.holders.len() {
        0 => format!("Nobody has {subject} open.\n\n"),
        count => format!("{subject}: {}.\n\n", opens::number(count, "open", "opens")),
    };
    for file in &who.holders {
        let access = opens::access(file).unwrap_or_else(|| or_unknown(file.permissions.map(opens::letters)));
        let shared = file.share_access.as_ref().map(|names| match names.join(", ") {
            names if names.is_empty() => "nothing".to_owned(),
            names => names,
        });
        let lines = [
            label("File ID", &file.id.to_string()),
            label("Path", shown_path(file)),
            label("User name", if file.user.is_empty() { "(anonymous)" } else { &file.user }),
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
    match who.refusals.as_deref() {
        None => text.push_str("This server does not tell who was refused.\n\n"),
        Some([]) => text.push_str("Nobody was refused recently.\n\n"),
        Some(refusals) => {
            text.push_str("Recently refused:\n\n");
            for refusal in refusals {
                text.push_str(&told_of(refusal));
            }
            text.push('\n');
        }
    }
    text
}

fn told_of(refusal: &Refusal) -> String {
    let wanted = refusal.wanted.as_ref().map(|access| match access.names.join(" ") {
        names if names.is_empty() => access.mask.to_string(),
        names => names,
    });
    let mut lines = clean_line(&format!(
        "{}  {} wanted {}: {}",
        or_unknown(refusal.at.map(local_time)),
        by(&refusal.user, refusal.computer.as_deref()),
        wanted.as_deref().unwrap_or("it"),
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
    lines.push_str(&format!("    in the way: {}\n", clean_line(&holder)));
    lines
}

fn reason(refusal: &Refusal) -> String {
    match refusal.kind {
        RefusalKind::SharingViolation => "another open excludes it".to_owned(),
        RefusalKind::LockConflict => "a lock covers the bytes".to_owned(),
        RefusalKind::AccessDenied => "not permitted".to_owned(),
        RefusalKind::DeletePending => "the file is going away".to_owned(),
        RefusalKind::Other => refusal.status.clone(),
    }
}
