//! `net use`: other servers' shares as directories of this machine.

mod make;
mod operand;
mod remembered;
mod remove;
mod serve;
mod show;

use super::{Applet, Family, Help, command_line};
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use operand::{Local, Operand};
use remembered::Remembered;

pub(super) static APPLET: Applet = Applet {
    names: &["use"],
    family: Family::Net,
    summary: "connects directories to shares of servers",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET USE
[directory | *] [\\\\computername[@port]\\sharename [password | *]]
[/USER:[domainname\\]username] [/PERSISTENT:{YES | NO}] [--credentials FILE]
[--via {CIFS | FUSE}] [--port N] [--read-only] [--allow-others] [--foreground]

NET USE
{directory | \\\\computername\\sharename | *} /DELETE [/YES | /NO]

NET USE
[directory] [/PERSISTENT:{YES | NO}] [--restore] [--json]
",
    about: "\
Lists this machine's connections to shares, or shows, makes or ends one. A
share is connected to a directory that is there. With *, or without one, it is
shareward/mounts/COMPUTER/SHARE below $XDG_RUNTIME_DIR, or below /run for
root, which is made.

  \\\\computername\\sharename
                  the share. In a shell, write //computername/sharename or
                  quote it
  password        the password. Others on this machine can see it while the
                  command runs; * asks for it
  /USER           as whom to connect, instead of as who runs this
  /DELETE         ends the connection, and forgets it. Where something is open
                  it asks first
  /PERSISTENT     whether the connection is remembered for --restore; alone,
                  whether new ones are where nothing is said
  --credentials   a file with lines username=, password= and domain=, which
                  nobody else may read (mode 0600)
  --via           through the kernel's client (CIFS) or through ours (FUSE).
                  Without it: the kernel's, where it has one and this is root
  --port          the server's port, if not 445
  --read-only     nothing can be changed through the connection
  --allow-others  other users of this machine may use the connection, too
  --foreground    does not return while the share is connected (FUSE)
  --restore       connects again what is remembered and not connected
  --json          output for programs

The password is the one given, else the credentials file's, else that of the
environment's SHAREWARD_PASSWORD, else it is asked for. It is never stored:
what is remembered is the name of the credentials file.

A word that starts with a slash is a directory if it has another slash, or if
it is no switch and there is such a directory.

Exit codes: 0 done; 5 you may not; 53 there is no such server; 67 no such
share; 85 the directory is in use; 2 all else, as 1326 wrong user or password,
2250 no such connection. The number is in the text.
",
};

const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);
const PERSISTENT: Switch = Switch::net("PERSISTENT", Takes::Value);
const USER: Switch = Switch::net("USER", Takes::Value);
const ALLOW_OTHERS: Switch = Switch::own("ALLOW-OTHERS", Takes::Nothing);
const FOREGROUND: Switch = Switch::own("FOREGROUND", Takes::Nothing);
const PORT: Switch = Switch::own("PORT", Takes::Value);
const READ_ONLY: Switch = Switch::own("READ-ONLY", Takes::Nothing);
const RESTORE: Switch = Switch::own("RESTORE", Takes::Nothing);
const VIA: Switch = Switch::own("VIA", Takes::Value);
/// How the process that serves a connection is started: not for people.
const SERVE_MOUNT: Switch = Switch::own("SERVE-MOUNT-FROM-STDIN", Takes::Nothing);

const SWITCHES: &[Switch] = &[
    DELETE,
    PERSISTENT,
    USER,
    cli::YES,
    cli::NO,
    cli::JSON,
    cli::CREDENTIALS,
    ALLOW_OTHERS,
    FOREGROUND,
    PORT,
    READ_ONLY,
    RESTORE,
    SERVE_MOUNT,
    VIA,
];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let sorted = cli::parse_either(words, SWITCHES, |word| std::path::Path::new(word).is_dir());
    let (words, options) = command_line(sorted, &HELP, console)?;
    if words.has(&SERVE_MOUNT) {
        return serve::from_stdin(console);
    }
    let persistent = yes_or_no(&words).map_err(usage)?;
    let operands = operand::all(&words.operands, port(&words).map_err(usage)?)?;
    let conflicting = || usage(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
    let count = || usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER));
    let mut remembered = Remembered::load()?;
    if words.has(&DELETE) {
        if words.has(&RESTORE) || persistent.is_some() || words.has(&USER) {
            return Err(conflicting());
        }
        return match operands.as_slice() {
            [Operand::Local(Local::Any)] => remove::all(&mut remembered, &options, console),
            [one] => remove::one(one, &mut remembered, &options, console),
            _ => Err(count()),
        };
    }
    match operands.as_slice() {
        [] if words.has(&RESTORE) => make::restore(&remembered, console),
        [] => match persistent {
            Some(persistent) => {
                remembered.set_default(persistent)?;
                console.line(&format!("{}\n", messages::COMPLETED));
                Ok(())
            }
            None => show::list(&remembered, console),
        },
        [Operand::Local(Local::Directory(directory))] => show::details(directory, &remembered, console),
        [Operand::Remote(target), password @ ..] if password.len() < 2 => {
            let asked = make::Asked::of(&words, None, target, password).map_err(usage)?;
            make::connection(asked, persistent, &mut remembered, console)
        }
        [Operand::Local(local), Operand::Remote(target), password @ ..] if password.len() < 2 => {
            let asked = make::Asked::of(&words, Some(local), target, password).map_err(usage)?;
            make::connection(asked, persistent, &mut remembered, console)
        }
        _ => Err(count()),
    }
}

/// What `/PERSISTENT` says.
fn yes_or_no(words: &Words) -> Result<Option<bool>, Numbered> {
    match words.value(&PERSISTENT).map(str::to_ascii_uppercase).as_deref() {
        None => Ok(None),
        Some("YES" | "Y") => Ok(Some(true)),
        Some("NO" | "N") => Ok(Some(false)),
        Some(_) => Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about("/PERSISTENT")),
    }
}

fn port(words: &Words) -> Result<Option<u16>, Numbered> {
    let Some(port) = words.value(&PORT) else { return Ok(None) };
    match port.parse() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about("--port")),
    }
}
