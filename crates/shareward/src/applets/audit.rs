//! `shareward audit verify`: checks the chain of administrators' acts.

use journal::{Fault, Head, Verified};

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes};
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::open_files::number;
use crate::output::{Console, clean_line};
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["audit"],
    family: Family::Own,
    summary: "Check that no record of an administrator's act was changed",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD AUDIT VERIFY
[--expect NUMBER:HASH] [--config FILE] [--json]
",
    about: "\
Checks the acts of administrators in the server's history. Each act has the
hash of its contents and of the hash before it, so that a changed, missing or
inserted act is found. Prints the number and the hash of the last act.

Who can write the file can make the whole chain anew. Such a change is found
with the number and the hash of an act that were noted elsewhere: the server's
log has them after each act ('acts recorded in the history').

  --expect  the number and the hash of an act, as noted before
  --config  the configuration file; by default, the one that 'shareward serve'
            reads
  --json    print one JSON document

'net history --acts' shows the acts.

Exit codes: 0 the chain is whole; 1 it is not, or cannot be read; 2 the command
line is wrong.
",
};

const EXPECT: Switch = Switch::own("EXPECT", Takes::Value);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse(words, &[EXPECT, setup::CONFIG, cli::JSON]).map_err(usage)?;
    match words.operands.as_slice() {
        [verb] if verb.eq_ignore_ascii_case("verify") => {}
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
    if words.has(&cli::JSON) {
        console.set_json();
    }
    let expected = words.value(&EXPECT).map(|text| {
        head(text).ok_or_else(|| {
            usage(
                Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
                    .about(EXPECT.shown())
                    .hint("a number, a colon and 64 hexadecimal digits"),
            )
        })
    });
    let expected = expected.transpose()?;
    let settings = setup::read(&setup::config_path(words.value(&setup::CONFIG)))?;
    let verified = journal::verify(&settings.state_directory, expected.as_ref())
        .map_err(|error| Failure::Plain(clean_line(&error.to_string())))?;
    if words.has(&cli::JSON) {
        console.document("audit", &Document::of(&verified))?;
    } else {
        console.write(&text(&verified));
    }
    match &verified.fault {
        None => Ok(()),
        Some(_) if words.has(&cli::JSON) => Err(Failure::Reported(ExitCode::System(1))),
        Some(fault) => Err(Failure::Plain(describe(fault))),
    }
}

/// The number and the hash of an act; `None` if the text is not of that form.
fn head(text: &str) -> Option<Head> {
    let (number, digits) = text.split_once(':')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = is_hash.then(|| digits.as_bytes().chunks(2))?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    Some(Head { number, hash: bytes.map(byte).collect::<Option<_>>()? })
}

fn text(verified: &Verified) -> String {
    let acts = usize::try_from(verified.acts).unwrap_or(usize::MAX);
    let acts = number(acts, "act is", "acts are");
    match verified.acts {
        0 => String::from("There are no acts.\n"),
        _ => format!(
            "{acts} as recorded, from number {} to {}.\nlast act: {}:{}\n",
            verified.first,
            verified.head.number,
            verified.head.number,
            verified.head.hex()
        ),
    }
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Changed(number) => format!("act {number} was changed after it was recorded"),
        Fault::Missing(number) => format!("act {number} is missing"),
        Fault::Unexpected(number) => {
            format!(
                "act {number} is not the expected one: the acts were recorded anew, or come from another history"
            )
        }
    }
}

/// The result in JSON.
#[derive(serde::Serialize)]
struct Document {
    acts: u64,
    first: i64,
    last: i64,
    hash: String,
    fault: Option<&'static str>,
    fault_at: Option<i64>,
}

impl Document {
    fn of(verified: &Verified) -> Self {
        let (fault, fault_at) = match &verified.fault {
            None => (None, None),
            Some(Fault::Changed(number)) => (Some("changed"), Some(*number)),
            Some(Fault::Missing(number)) => (Some("missing"), Some(*number)),
            Some(Fault::Unexpected(number)) => (Some("unexpected"), Some(*number)),
        };
        let (last, hash) = (verified.head.number, verified.head.hex());
        Self { acts: verified.acts, first: verified.first, last, hash, fault, fault_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_number_and_a_hash() {
        let digits = "0f".repeat(32);
        assert_eq!(head(&format!("7:{digits}")), Some(Head { number: 7, hash: vec![15; 32] }));
        for text in
            ["", "7", "7:", &format!("0:{digits}"), &format!("x:{digits}"), &format!("7:{digits}0"), "7:zz"]
        {
            assert_eq!(head(text), None, "{text}");
        }
    }
}
