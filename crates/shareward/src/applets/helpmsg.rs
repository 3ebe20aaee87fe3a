//! `net helpmsg`.

use serde::Serialize;

use super::{Applet, Family, Help};
use crate::cli::{self, Format};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;

pub(super) static APPLET: Applet = Applet {
    names: &["helpmsg"],
    family: Family::Net,
    summary: "Show the text of an error number",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET HELPMSG
message# [--json]
",
    about: "\
Shows the text of an error number, for example 5, 53, 2114 or 2312. *** stands
for a value that is not known here.

Exit codes: 0 success; 2 no such number (3871).
",
};

/// The content of `--json`.
#[derive(Serialize)]
struct Message {
    number: u32,
    text: String,
}

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, &[cli::format::JSON]).map_err(usage)?;
    let format = Format::of(&words).map_err(usage)?;
    if format == Format::Wmi {
        return Err(usage(Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(cli::format::JSON.shown())));
    }
    format.announce(console);
    let [number] = words.operands.as_slice() else {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    };
    let bare = number.strip_prefix("NET").or(number.strip_prefix("net")).unwrap_or(number);
    let found = bare.parse().ok().and_then(|number: u32| Some((number, messages::text(number)?)));
    let Some((number, text)) = found else {
        return Err(Numbered::new(messages::NOT_A_MESSAGE_NUMBER).about(number).into());
    };
    if format.is_json() {
        return console.document("message", &Message { number, text: messages::insert(text, "***") });
    }
    console.write(&format!("\n{}\n\n", messages::insert(text, "***")));
    Ok(())
}
