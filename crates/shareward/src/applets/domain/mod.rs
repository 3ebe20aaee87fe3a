//! `shareward domain`: the membership in an Active Directory domain.

mod ids;
mod join;
mod leave;
mod login;
pub(super) mod status;

use std::path::PathBuf;

use domain::names::Membership;
use server::config::{DomainSettings, Settings};

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use crate::prompt::Preset;
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["domain"],
    family: Family::Own,
    summary: "Join or leave an Active Directory domain, and check membership",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD DOMAIN
JOIN REALM [--user ADMIN | --kerberos] [--controller HOST] [--ou OU]
[--keytab FILE] [--with {adcli | net}] [--config FILE] [/YES | /NO]

SHAREWARD DOMAIN
LEAVE [--user ADMIN | --kerberos] [--controller HOST] [--with {adcli | net}]
[--config FILE] [/YES | /NO]

SHAREWARD DOMAIN
STATUS [--json] [--config FILE]

SHAREWARD DOMAIN
IDS [IMPORT FILE | FORGET [/YES]] [--json] [--config FILE]
",
    about: "\
Makes this server a member of an Active Directory domain, and shows what that
needs.

  JOIN          makes the computer's account and its keys, through 'adcli' or
                Samba's 'net ads', whichever is installed; 'net ads' comes
                first if smb.conf has the realm, because winbind needs its
                join. Checks that the keys work, and offers to write [domain]
                into the configuration. The password is asked for, or is the
                first line of input.
  LEAVE         removes the computer's account; offers to remove its keys, and
                [domain] from the configuration
  STATUS        checks the controllers, the clocks, the keys, the machine's
                account, winbind and the ids
  IDS           lists the Unix ids of the domain's users and groups
  IDS IMPORT    takes over the ranges of ids of Samba's autorid, from the
                output of 'net idmap get ranges' or 'net idmap dump'; or those
                of a lost map, from its copy. '-' is the input. The server
                must not run.
  IDS FORGET    forgets all ids. Files keep the old ones. The server must not
                run.

  --user        a user who may join computers; by default Administrator
  --kerberos    use the tickets of 'kinit' instead of a password
  --controller  the domain controller to use; by default the DNS finds one
  --ou          the organizational unit for the account, such as
                OU=servers,DC=corp,DC=example
  --keytab      the file for the keys; by default /etc/krb5.keytab
  --with        the program to use
  --config      the configuration file; by default, the one that 'shareward
                serve' reads
  /YES, /NO     the answer to all questions

Any keytab works that has the machine's keys, whoever made it: realmd, adcli,
'net ads keytab' or ktpass.

Exit codes: 0 success; 1 failed, or STATUS found an error; 2 the command line
is wrong.
",
};

const USER: Switch = Switch::own("USER", Takes::Value);
const CONTROLLER: Switch = Switch::own("CONTROLLER", Takes::Value);
const OU: Switch = Switch::own("OU", Takes::Value);
const KEYTAB: Switch = Switch::own("KEYTAB", Takes::Value);
const WITH: Switch = Switch::own("WITH", Takes::Value);

/// The place of the machine's keys, if nothing else is said (krb5.conf(5), `default_keytab_name`).
const DEFAULT_KEYTAB: &str = "/etc/krb5.keytab";

const SWITCHES: [Switch; 10] =
    [USER, cli::KERBEROS, CONTROLLER, OU, KEYTAB, WITH, setup::CONFIG, cli::JSON, cli::YES, cli::NO];

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let words = cli::parse_either(words, &SWITCHES, |word| word.len() > 1).map_err(usage)?;
    if words.has(&cli::JSON) {
        console.set_json();
    }
    let operands: Vec<&str> = words.operands.iter().map(String::as_str).collect();
    let Some((verb, rest)) = operands.split_first() else {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    };
    match (verb.to_ascii_lowercase().as_str(), rest) {
        ("join", [realm]) => join::run(realm, &words, console),
        ("leave", []) => leave::run(&words, console),
        ("status", []) => status::run(&words, console),
        ("ids", rest) => ids::run(rest, &words, console),
        ("join" | "leave" | "status", _) => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
        _ => Err(usage(Numbered::new(messages::SYNTAX_NUMBER))),
    }
}

/// The answer given in advance to questions.
fn preset(words: &Words) -> Result<Preset, Failure> {
    match (words.has(&cli::YES), words.has(&cli::NO)) {
        (true, true) => {
            Err(Failure::Usage { error: Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER), help: &HELP })
        }
        (true, false) => Ok(Preset::Yes),
        (false, true) => Ok(Preset::No),
        (false, false) => Ok(Preset::Ask),
    }
}

/// The settings of the configuration file; the defaults if there is none and none is named.
fn settings(words: &Words) -> Result<(PathBuf, Settings), Failure> {
    let named = words.value(&setup::CONFIG);
    let path = setup::config_path(named);
    if named.is_none() && !path.exists() {
        return Ok((path, setup::defaults()));
    }
    let settings = setup::read(&path)?;
    Ok((path, settings))
}

/// The settings with their domain. Fails if they have none.
fn member(words: &Words) -> Result<(PathBuf, Settings, DomainSettings), Failure> {
    let (path, settings) = settings(words)?;
    let Some(domain) = settings.domain.clone() else {
        return Err(Failure::Plain(format!(
            "the server is a member of no domain: {} has no [domain]\n\nhint: 'shareward domain join REALM' makes it one",
            path.display()
        )));
    };
    Ok((path, settings, domain))
}

fn membership(domain: &DomainSettings) -> Membership {
    Membership {
        realm: domain.realm.clone(),
        keytab: domain.keytab.clone(),
        controllers: domain.controllers.clone(),
    }
}

/// A failure with a hint.
fn failed(what: impl std::fmt::Display, hint: Option<&str>) -> Failure {
    let hint = hint.map(|hint| format!("\n\nhint: {hint}")).unwrap_or_default();
    Failure::Plain(format!("{what}{hint}"))
}
