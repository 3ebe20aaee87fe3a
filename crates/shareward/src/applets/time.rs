//! `net time`: a server's clock.

use control::Timestamp;

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line, local_time};
use crate::prompt::{self, DefaultAnswer};

pub(super) static APPLET: Applet = Applet {
    names: &["time"],
    family: Family::Net,
    summary: "Show a server's time, or set this machine's clock to it",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET TIME
[\\\\computername] [/SET [/YES | /NO]] [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Shows the time of this machine's server or of another computer.

  \\\\computername  the computer; the same as --server computername
  /SET            set this machine's clock to that time; asks for confirmation

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied) or 53 (the computer was not found); 2 for all others, such as
1314 (setting the clock was not permitted). The message contains the number.
",
};

const SET: Switch = Switch::net("SET", Takes::Nothing);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, mut options) =
        command_line(cli::parse(words, &cli::asking(&[SET, cli::YES, cli::NO])), &HELP, console)?;
    options.target.named_by(&words.operands).map_err(usage)?;
    let server = administration::of(&options.target)?;
    let (clock, took) = administration::run(async {
        let asked = std::time::Instant::now();
        let clock = server.clock().await?;
        Ok((clock, asked.elapsed()))
    })?;
    if options.json && !words.has(&SET) {
        return console.document("clock", &clock);
    }
    let name = match administration::shown_name(&options.target) {
        Some(name) => clean_line(&format!(r"\\{name}")),
        None => String::from("this computer"),
    };
    console.talk(&format!("Current time at {name} is {}\n\n", local_time(clock.now)));
    if words.has(&SET) {
        let here = Timestamp::now();
        let text = format!(
            "The current local clock is {}\nDo you want to set the local computer's time to match the\ntime at {name}?\n\n",
            local_time(here)
        );
        prompt::confirm(console, &text, DefaultAnswer::Yes, options.preset)?;
        // The answer left the server about half a round trip ago.
        let half = i64::try_from(took.as_millis() / 2).unwrap_or_default();
        set(Timestamp(clock.now.0.saturating_add(half)))?;
    }
    if options.json {
        return console.document("clock", &clock);
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn set(now: Timestamp) -> Result<(), Failure> {
    let time = rustix::time::Timespec {
        tv_sec: now.0.div_euclid(1000),
        tv_nsec: now.0.rem_euclid(1000).saturating_mul(1_000_000),
    };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)
        .map_err(|error| Numbered::new(control::number::PRIVILEGE_NOT_HELD).hint(error.to_string()).into())
}
