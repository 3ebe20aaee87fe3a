//! `net config`: the server's settings, and its name in the network.

use client::Administration;
use control::{ConsoleState, HistoryState, NoticeState, Sandbox, Settings, SettingsChange, number};

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, bytes, labelled, local_time, yes_or_no};

pub(super) static APPLET: Applet = Applet {
    names: &["config"],
    family: Family::Net,
    summary: "Show or change the server's settings",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET CONFIG
[SERVER | WORKSTATION] [/AUTODISCONNECT:minutes] [/SRVCOMMENT:\"text\"]
[/HIDDEN:{YES | NO}] [--json] [--socket PATH | --server NAME [--login USER]
[--credentials FILE] [--kerberos | --ntlm]]
",
    about: "\
Shows or changes the settings of the Server service. Changes are written to the
server's configuration file; its comments are kept. WORKSTATION shows the
server's name and its domain.

  SERVER           the service that has the settings
  WORKSTATION      the computer in its domain or workgroup
  /AUTODISCONNECT  end a session without open files after this many minutes
                   without requests, at most 65535; -1 means never
  /SRVCOMMENT      the description that clients see
  /HIDDEN          YES hides the server in lists of servers

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied); 2 for all others, such as 2114 (no server is running). The
message contains the number.
",
};

const AUTODISCONNECT: Switch = Switch::net("AUTODISCONNECT", Takes::Value);
const SRVCOMMENT: Switch = Switch::net("SRVCOMMENT", Takes::Value);
const HIDDEN: Switch = Switch::net("HIDDEN", Takes::Value);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) =
        command_line(cli::parse(words, &cli::asking(&[AUTODISCONNECT, SRVCOMMENT, HIDDEN])), &HELP, console)?;
    let change = change_of(&words).map_err(usage)?;
    let mut is_workstation = false;
    match words.operands.as_slice() {
        [] if change == SettingsChange::default() && !options.json => {
            if !runs(&*administration::of(&options.target)?)? {
                console.line(&format!("{}\n", messages::NO_ENTRIES));
                return Ok(());
            }
            console.write(CONFIGURABLE);
            console.line(&format!("{}\n", messages::COMPLETED));
            return Ok(());
        }
        [] => {}
        [service] if service.eq_ignore_ascii_case("server") => {}
        [service] if service.eq_ignore_ascii_case("workstation") => {
            if change != SettingsChange::default() {
                return Err(usage(Numbered::new(messages::SYNTAX_NUMBER)));
            }
            is_workstation = true;
        }
        [_] => return Err(usage(Numbered::new(messages::SYNTAX_NUMBER))),
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
    let server = administration::of(&options.target)?;
    if change == SettingsChange::default() {
        let settings = administration::run(async { Ok(server.settings().await?) })?;
        if options.json {
            return console.document("settings", &settings);
        }
        console.write(&if is_workstation { workstation(&settings) } else { shown(&settings) });
    } else {
        let settings = administration::run(async { Ok(server.change_settings(&change).await?) })?;
        if options.json {
            return console.document("settings", &settings);
        }
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// True if the service runs: it answers, even if it refuses access.
fn runs(server: &dyn Administration) -> Result<bool, Failure> {
    match administration::run(async { Ok(server.server().await) })? {
        Ok(_) => Ok(true),
        Err(error) if error.number() == number::ACCESS_DENIED => Ok(true),
        Err(error) if error.number() == number::SERVER_NOT_STARTED => Ok(false),
        Err(error) => Err(error.into()),
    }
}

const CONFIGURABLE: &str =
    "The following running services can be controlled:\n\n   Server\n   Workstation\n\n";

fn change_of(words: &Words) -> Result<SettingsChange, Numbered> {
    let wrong = |switch: &str| Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(switch);
    let autodisconnect = words.value(&AUTODISCONNECT).map(|minutes| {
        let minutes = minutes.parse().ok().filter(|minutes| (-1..=65_535).contains(minutes));
        minutes.ok_or_else(|| wrong("/AUTODISCONNECT"))
    });
    let hidden = words.value(&HIDDEN).map(|hidden| match hidden.to_ascii_lowercase().as_str() {
        "yes" | "y" => Ok(true),
        "no" | "n" => Ok(false),
        _ => Err(wrong("/HIDDEN")),
    });
    Ok(SettingsChange {
        comment: words.value(&SRVCOMMENT).map(str::to_owned),
        hidden: hidden.transpose()?,
        autodisconnect: autodisconnect.transpose()?,
        ..SettingsChange::default()
    })
}

fn shown(settings: &Settings) -> String {
    let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
    let limit = settings.users_max.map_or_else(|| messages::NO_LIMIT.to_owned(), |limit| limit.to_string());
    let hidden = settings.hidden.map(yes_or_no).unwrap_or_default();
    let idle = settings.autodisconnect.map(|minutes| minutes.to_string()).unwrap_or_default();
    let (first, more) =
        settings.listening.split_first().map_or(("", &[][..]), |(first, more)| (first.as_str(), more));
    let mut text = [
        line("Server Name", &format!(r"\\{}", settings.name)),
        line("Server Comment", &settings.comment),
        String::from("\n"),
        line("Software version", &settings.version),
        line("Server is active on", first),
    ]
    .concat();
    for address in more {
        text.push_str(&line("", address));
    }
    text.push_str(
        &[
            String::from("\n"),
            line("Server hidden", hidden),
            line("Maximum Logged On Users", &limit),
            line("Maximum open files per session", &number(settings.files_per_session_max)),
            String::from("\n"),
            line("Idle session time (min)", &idle),
        ]
        .concat(),
    );
    if settings.domain_member == Some(true) {
        let dns_name = settings.dns_domain.as_deref().unwrap_or_default();
        text.push_str(
            &[
                String::from("\n"),
                line("Domain", settings.domain.as_deref().unwrap_or_default()),
                line("Domain DNS Name", dns_name),
            ]
            .concat(),
        );
    }
    if let Some(drain) = &settings.drain {
        text.push('\n');
        text.push_str(&line("Drain", &super::drain::sentence(drain)));
    }
    for notice in &settings.notices {
        text.push('\n');
        text.push_str(&line("Notices", &notice.target));
        text.push_str(&line("", &notice.events.join(" ")));
        let NoticeState { queued, delivered, failed, dropped, .. } = notice;
        let counts = format!("{delivered} delivered, {queued} queued, {failed} failed, {dropped} dropped");
        text.push_str(&line("", &counts));
        if let Some(problem) = &notice.problem {
            text.push_str(&line("", problem));
        }
    }
    if let Some(history) = &settings.history {
        text.push_str(&state_of_history(history));
    }
    if let Some(sandbox) = &settings.sandbox {
        text.push_str(&restrictions(sandbox));
    }
    if let Some(console) = &settings.console {
        text.push_str(&web_console(console));
    }
    text
}

/// The server as a computer in the network, as Windows shows it, without what only a client of Windows has.
fn workstation(settings: &Settings) -> String {
    let line = |label, value: &str| labelled(WORKSTATION_LABEL_WIDTH, label, value);
    let dns_domain = settings.dns_domain.as_deref();
    let full_name = match dns_domain {
        Some(domain) => format!("{}.{domain}", settings.name.to_ascii_lowercase()),
        None => settings.name.clone(),
    };
    let group = if settings.domain_member == Some(false) { "Workgroup" } else { "Workstation domain" };
    let mut text = [
        line("Computer name", &format!(r"\\{}", settings.name)),
        line("Full Computer name", &full_name),
        String::from("\n"),
        line("Software version", &settings.version),
        String::from("\n"),
        line(group, settings.domain.as_deref().unwrap_or_default()),
    ]
    .concat();
    if let Some(domain) = dns_domain {
        text.push_str(&line("Workstation Domain DNS Name", domain));
    }
    text
}

fn web_console(console: &ConsoleState) -> String {
    let scheme = if console.certificate_sha256.is_some() { "https" } else { "http" };
    let mut text = String::from("\n");
    let mut label = "Web console";
    for address in &console.listening {
        text.push_str(&line(std::mem::take(&mut label), &format!("{scheme}://{address}/")));
    }
    if let Some(fingerprint) = &console.certificate_sha256 {
        let mut label = "Certificate (SHA-256)";
        let pairs: Vec<_> = fingerprint.split(':').collect();
        for part in pairs.chunks(PAIRS_PER_LINE) {
            text.push_str(&line(std::mem::take(&mut label), &part.join(":")));
        }
    }
    if let Some(expires) = console.certificate_expires {
        text.push_str(&line("Certificate expires", &local_time(expires)));
    }
    text
}

fn state_of_history(history: &HistoryState) -> String {
    let mut text = String::from("\n");
    text.push_str(&line("History", if history.enabled { "on" } else { "off" }));
    if !history.enabled {
        return text;
    }
    if let Some(oldest) = history.oldest {
        text.push_str(&line("", &format!("since {}", local_time(oldest))));
    }
    let HistoryState { written, waiting, left_out, .. } = history;
    let size = history.bytes.map(|it| format!("{}, ", bytes(it))).unwrap_or_default();
    text.push_str(&line("", &format!("{size}{written} written, {waiting} waiting, {left_out} left out")));
    if let Some(failure) = &history.failure {
        text.push_str(&line("", &format!("nothing is written: {failure}")));
    }
    text
}

fn restrictions(sandbox: &Sandbox) -> String {
    let mut text = [
        String::from("\n"),
        line("Sandbox", &sandbox.mode),
        line("Landlock", &sandbox.landlock),
        line("System calls", &sandbox.system_calls),
    ]
    .concat();
    let mut label = "Capabilities";
    for names in sandbox.capabilities.chunks(CAPABILITIES_PER_LINE) {
        text.push_str(&line(std::mem::take(&mut label), &names.join(" ")));
    }
    let mut label = "Missing";
    for missing in &sandbox.missing {
        text.push_str(&line(std::mem::take(&mut label), missing));
    }
    text
}

fn line(label: &str, value: &str) -> String {
    labelled(LABEL_WIDTH, label, value)
}

const LABEL_WIDTH: usize = 38;
const WORKSTATION_LABEL_WIDTH: usize = 37;

/// The pairs of digits of a fingerprint on a line, which fit into 80 columns.
const PAIRS_PER_LINE: usize = 8;

/// As many as fit into 80 columns.
const CAPABILITIES_PER_LINE: usize = 2;
