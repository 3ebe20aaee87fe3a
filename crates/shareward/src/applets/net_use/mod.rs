//! `net use`: connects shares of other servers to directories of this machine.

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
    summary: "Connect directories to shares of other servers",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET USE
[directory | *] [\\\\computername[@port]\\sharename [password | *]]
[/USER:[domainname\\]username] [/PERSISTENT:{YES | NO}] [--credentials FILE]
[--kerberos | --ntlm] [--via {CIFS | FUSE}] [--port N] [--read-only]
[--allow-others] [--foreground]

NET USE
{directory | \\\\computername\\sharename | *} /DELETE [/YES | /NO]

NET USE
[directory] [/PERSISTENT:{YES | NO}] [--restore] [--json]
",
    about: "\
Lists this machine's connections to shares, or shows, makes or ends one. A
share is connected to an existing directory. With *, or without a directory,
the command creates shareward/mounts/COMPUTER/SHARE below $XDG_RUNTIME_DIR, or
below /run for root.

  \\\\computername\\sharename
                  the share. In a shell, write //computername/sharename or
                  quote it
  password        the password; * asks for it. Other users of this machine can
                  see it while the command runs
  /USER           the user to log on as; by default, the user who runs this
  /DELETE         end the connection, and do not remember it any more. If files
                  are open, asks first
  /PERSISTENT     whether to remember the connection for --restore. Alone, sets
                  the default for new connections
  --credentials   a file with the lines username=, password= and domain=, which
                  only its owner may access (mode 0600)
  --kerberos      log on only with a Kerberos ticket; --ntlm: only with a
                  password
  --via           CIFS: the kernel's client; FUSE: this program. By default,
                  CIFS for root if the kernel has it, else FUSE
  --port          the server's port, if it is not 445
  --read-only     make the connection read-only
  --allow-others  allow other users of this machine to use the connection
  --foreground    do not return before the connection ends (FUSE)
  --restore       connect all remembered shares that are not connected
  --json          print one JSON document

If no password is given and the user has a Kerberos ticket for the computer's
name (see kinit), the ticket is used. Through FUSE, a renewed ticket is taken
when the old one ends.

The password is the one on the command line, or else the one in the credentials
file, or else SHAREWARD_PASSWORD in the environment; otherwise the command asks
for it. The password is never stored; only the name of the credentials file is.

Through FUSE, chmod, modes and owners are the server's if it has the POSIX
extensions of SMB 3.1.1, as Shareward and Samba 4.23 do. With other servers,
chmod changes the read-only attribute of files and nothing else.

An argument that starts with a slash is a directory if it contains another
slash, or if it is not a switch and such a directory exists.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied), 53 (the server was not found), 67 (no such share) or 85 (the
directory is in use); 2 for all others, such as 1326 (wrong user name or
password) or 2250 (no such connection). The message contains the number.
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
/// The internal switch that starts the process of a connection.
const SERVE_MOUNT: Switch = Switch::own("SERVE-MOUNT-FROM-STDIN", Takes::Nothing);

const SWITCHES: &[Switch] = &[
    DELETE,
    PERSISTENT,
    USER,
    cli::YES,
    cli::NO,
    cli::JSON,
    cli::CREDENTIALS,
    cli::KERBEROS,
    cli::NTLM,
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

/// The value of `/PERSISTENT`.
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
