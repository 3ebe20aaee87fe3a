//! `shareward top`: a screen with sessions, open files, the busiest files and refusals, which acts on them.
//!
//! [`model`] has the state, which is a function of inputs; [`view`] draws it; [`run`] connects both with the terminal
//! and with the servers, which [`collect`] asks.

mod collect;
mod dialog;
mod model;
mod run;
mod server_state;
mod table;
#[cfg(test)]
mod tests;
mod view;

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use view::Look;

pub(super) static APPLET: Applet = Applet {
    names: &["top"],
    family: Family::Own,
    summary: "Show sessions, open files and throughput on a screen",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD TOP
[--ascii] [--server NAME[,NAME] | --cluster] [--login USER]
[--credentials FILE] [--socket PATH] [--kerberos | --ntlm]
",
    about: "\
Shows the server, or several, on a screen that is kept up to date: who is
connected, what is open, which files are busy and what was refused, with the
throughput of the last minutes. Files can be closed and sessions ended.

  --ascii    draw with ASCII characters only. This is the default if the locale
             is not UTF-8
  --cluster  show all nodes of this machine's cluster

Keys:
  1 2 3 4, Tab   sessions, open files, busiest files, refusals
  Up, Down, PgUp, PgDn, Home, End, j, k
                 move
  Enter          details of the entry
  c              close the open file. Its client writes its cached changes
                 first; the outcome is shown
  e              end the session
  f              filter: show only entries with a text; Esc removes it
  /, n, N        search for a text, the next and the previous one
  s, r           sort by the next column, reverse the order
  R              ask all servers again
  Ctrl-L, Ctrl-Z draw again, suspend
  q, Ctrl-C      quit
  ?              this list

Acts are confirmed with y. Users without rights on the server see their own
sessions and files, and can close these.

A Shareward server reports changes as they happen. Servers of other makes are
asked every two seconds, over MS-SRVS or by their own programs, and show what
they can: a hyphen stands for a value that is unknown.

Colours are not used if NO_COLOR is set. The screen needs a terminal; 'net file
--watch' writes changes as lines.

Exit codes: 0 success; 50 (not supported) if standard input or output is not a
terminal that can show a screen; the number of another system error up to 255;
2 for all others.
",
};

const ASCII: Switch = Switch::own("ASCII", Takes::Nothing);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let known = [[ASCII, cli::CLUSTER].as_slice(), &cli::TARGET].concat();
    let (words, options) = command_line(cli::parse(words, &known), &HELP, console)?;
    let options = options.with_cluster(&words).map_err(usage)?;
    if !words.operands.is_empty() {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    }
    let servers = administration::all_of(&options.target)?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let look =
        Look { colour: variable("NO_COLOR").is_none(), unicode: !words.has(&ASCII) && is_utf8(variable) };
    administration::run(run::run(&servers, look))
}

/// True if the locale's characters are UTF-8: by the first of these variables that is set, as POSIX has it.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
