//! `net user`: the server's accounts and their passwords.

use std::io::IsTerminal as _;

use client::Administration;
use control::{NewUser, PasswordChange, Timestamp, User, UserChange, number};
use serde::Serialize;

use super::{Applet, Family, Help, command_line, logon_times};
use crate::administration;
use crate::cli::{self, Options, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, RULE, clean_line, labelled, local_time, pad, yes_or_no};

pub(super) static APPLET: Applet = Applet {
    names: &["user", "users"],
    family: Family::Net,
    summary: "Show, add, change or delete accounts, and set passwords",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET USER
username [password | *] [/ACTIVE:{YES | NO}] [/EXPIRES:{date | NEVER}]
        [/PASSWORDCHG:{YES | NO}] [/PASSWORDREQ:{YES | NO}]
        [/LOGONPASSWORDCHG:{YES | NO}] [/TIMES:{times | ALL | NEVER}]
username {password | *} /ADD [options]
username /DELETE
[--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Lists the server's accounts, shows one, adds, changes or deletes one, or sets
its password.

  username      the account
  password      the new password. Other users of this machine can see it while
                the command runs
  *             ask for the password without showing it. If standard input is
                not a terminal, read it from there
  /ADD          add an account. If root runs the server, the user also needs a
                Unix account; a warning says so
  /DELETE       delete the account. Its sessions continue
  /ACTIVE:YES   activate the account, and unlock it if wrong passwords have
                locked it
  /ACTIVE:NO    deactivate the account: its user cannot log on
  /EXPIRES      the last day on which the user can log on, as 2027-03-31, or
                NEVER
  /PASSWORDCHG  whether the user may change the password
  /PASSWORDREQ  NO exempts the account from the rules of 'net accounts'
  /LOGONPASSWORDCHG
                whether the user must change the password before the next logon
  /TIMES        the hours at which the user can log on, in this machine's time
                zone, such as M-F,8-18 or M,4AM-5PM;Sa-Su,0-24. Days are M, T,
                W, Th, F, Sa, Su. Sessions continue after these hours

Users can change their own password and are asked for the old one.
Administrators can do everything.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied) or 86 (the old password is wrong); 2 for all others, such as
1909 (the account is locked), 2114 (no server is running), 2221 (no such
account), 2224 (the account exists), or 2243 to 2246 (a rule for passwords).
The message contains the number.
",
};

/// NET's own switches, which Windows has in `net user`, too.
const ACTIVE: Switch = Switch::net("ACTIVE", Takes::Value);
const ADD: Switch = Switch::net("ADD", Takes::Nothing);
const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);
const EXPIRES: Switch = Switch::net("EXPIRES", Takes::Value);
const LOGON_PASSWORD_CHG: Switch = Switch::net("LOGONPASSWORDCHG", Takes::Value);
const TIMES: Switch = Switch::net("TIMES", Takes::Value);
const PASSWORD_CHG: Switch = Switch::net("PASSWORDCHG", Takes::Value);
const PASSWORD_REQ: Switch = Switch::net("PASSWORDREQ", Takes::Value);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |number| Failure::Usage { error: Numbered::new(number), help: &HELP };
    let switches = [ACTIVE, ADD, DELETE, EXPIRES, LOGON_PASSWORD_CHG, PASSWORD_CHG, PASSWORD_REQ, TIMES];
    let (words, options) = command_line(cli::parse(words, &cli::asking(&switches)), &HELP, console)?;
    let change = change_of(&words)?;
    let changes = change != UserChange::default();
    if words.has(&DELETE) && (words.has(&ADD) || changes) {
        return Err(usage(messages::CONFLICTING_OPTIONS_NUMBER));
    }
    let server = administration::of(&options.target)?;
    match words.operands.as_slice() {
        [name] if words.has(&DELETE) => {
            let user = administration::run(async { Ok(server.delete_user(name).await?) })?;
            done("user", &user, &options, console)
        }
        [name, password] if words.has(&ADD) => {
            let password = given(password, console)?;
            let new = NewUser { name: name.to_owned(), password, settings: change };
            let user = administration::run(async { Ok(server.add_user(&new).await?) })?;
            if user.unix_account == Some(false) {
                console.error(&format!(
                    "warning: {} cannot log on: there is no Unix account of this name on the server\n\nhint: create one \
                     there with 'useradd {0}', or set unix_identities = false\n",
                    clean_line(name)
                ));
            }
            done("user", &user, &options, console)
        }
        _ if words.has(&ADD) || words.has(&DELETE) => Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
        [name] if changes => amend(&*server, name, &change, &options, console),
        [] if changes => Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
        [] => list(&*server, &options, console),
        [name] => show(&*server, name, &options, console),
        [name, password] => {
            let new = given(password, console)?;
            let user = set(&*server, name, new)?;
            if changes {
                amend(&*server, name, &change, &options, console)
            } else {
                done("user", &user, &options, console)
            }
        }
        _ => Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
    }
}

/// The change of an account that the switches describe.
fn change_of(words: &Words) -> Result<UserChange, Failure> {
    let wrong = || Failure::Usage { error: Numbered::new(messages::OPTION_VALUE_NUMBER), help: &HELP };
    let flag = |switch: &Switch| match words.value(switch) {
        None => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("yes") => Ok(Some(true)),
        Some(word) if word.eq_ignore_ascii_case("no") => Ok(Some(false)),
        Some(_) => Err(wrong()),
    };
    let mut change = UserChange {
        active: flag(&ACTIVE)?,
        must_change_password: flag(&LOGON_PASSWORD_CHG)?,
        password_changeable: flag(&PASSWORD_CHG)?,
        password_required: flag(&PASSWORD_REQ)?,
        ..UserChange::default()
    };
    if let Some(times) = words.value(&TIMES) {
        change.logon_hours = Some(logon_times::parse(times).ok_or_else(wrong)?);
    }
    match words.value(&EXPIRES) {
        None => {}
        Some(word) if word.eq_ignore_ascii_case("never") => change.never_expires = Some(true),
        Some(word) => change.expires = Some(end_of_day(word).ok_or_else(wrong)?),
    }
    Ok(change)
}

/// The end of a day in this machine's time zone.
fn end_of_day(date: &str) -> Option<Timestamp> {
    let day: jiff::civil::Date = date.parse().ok()?;
    let end = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::system()).ok()?;
    Some(Timestamp(end.timestamp().as_millisecond()))
}

/// The password of the command line, or the one that `*` asks for.
fn given(password: &str, console: &mut Console) -> Result<String, Failure> {
    if password == "*" { asked(console) } else { Ok(password.to_owned()) }
}

/// Prints the changed account or group in JSON, or that the command has completed.
pub(super) fn done<T: Serialize>(
    field: &'static str,
    changed: &T,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    if options.json {
        return console.document(field, changed);
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

/// The lines above a list of names: the title with the name of the server.
pub(super) fn heading(title: &str, server: &dyn Administration, options: &Options) -> String {
    let name = administration::shown_name(&options.target).unwrap_or_else(|| {
        administration::run(async { Ok(server.server().await.map(|it| it.name).unwrap_or_default()) })
            .unwrap_or_default()
    });
    format!("\n{}\n\n{RULE}\n", clean_line(&format!(r"{title} \\{name}")))
}

fn list(server: &dyn Administration, options: &Options, console: &mut Console) -> Result<(), Failure> {
    let users = administration::run(async { Ok(server.users().await?) })?;
    if options.json {
        return console.document("users", &users);
    }
    let mut text = heading("User accounts for", server, options);
    for row in users.chunks(NAMES_IN_A_ROW) {
        let names = row.iter().map(|user| pad(&clean_line(&user.name), NAME_WIDTH));
        text.push_str(names.collect::<String>().trim_end());
        text.push('\n');
    }
    console.write(&text);
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

const NAMES_IN_A_ROW: usize = 3;
const NAME_WIDTH: usize = 25;

fn show(
    server: &dyn Administration,
    name: &str,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let users = administration::run(async { Ok(server.users().await?) })?;
    let user = users.into_iter().find(|user| wire::eq_ignore_case(&user.name, name));
    let user = user.ok_or_else(|| Numbered::new(number::USER_NOT_FOUND))?;
    if options.json {
        return console.document("user", &user);
    }
    console.write(&detail(&user));
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
}

fn amend(
    server: &dyn Administration,
    name: &str,
    change: &UserChange,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let user = administration::run(async { Ok(server.change_user(name, change).await?) })?;
    done("user", &user, options, console)
}

fn detail(user: &User) -> String {
    // As on Windows: a disabled account is not active, whether locked or not.
    let active = match user.locked {
        Some(true) if user.enabled => "Locked",
        _ => yes_or_no(user.enabled),
    };
    let mut lines = vec![("User name", user.name.clone()), ("Account active", active.to_owned())];
    if let Some(until) = user.locked_until {
        lines.push(("Locked until", local_time(until)));
    }
    // An older server does not report the rules of an account.
    let changeable = user.password_changeable.map(|it| yes_or_no(it).to_owned());
    if changeable.is_some() {
        lines.push(("Account expires", user.expires.map_or_else(|| String::from("Never"), local_time)));
    }
    lines.push(("Password last set", user.password_set.map(local_time).unwrap_or_default()));
    if changeable.is_some() {
        lines.push(("Password expires", password_expires(user)));
    }
    lines.push(("Password required", user.password_required.map(yes_or_no).unwrap_or_default().to_owned()));
    let is_known = changeable.is_some();
    lines.extend(changeable.map(|changeable| ("User may change password", changeable)));
    if is_known {
        let hours = logon_times::lines(user.logon_hours);
        let labels = std::iter::once("Logon hours allowed").chain(std::iter::repeat(""));
        lines.extend(labels.zip(hours));
    }
    lines.push(("Administrator", user.administrator.map(yes_or_no).unwrap_or_default().to_owned()));
    lines.iter().map(|(label, value)| labelled(LABEL_WIDTH, label, value)).collect()
}

const LABEL_WIDTH: usize = 29;

/// The end of the password.
fn password_expires(user: &User) -> String {
    match user.password_expires {
        _ if user.must_change_password == Some(true) => String::from("At the next logon"),
        Some(at) => local_time(at),
        None => String::from("Never"),
    }
}

/// Sets a password. An administrator need not know the old one; other users are asked for it after the first refusal.
fn set(server: &dyn Administration, name: &str, new: String) -> Result<User, Failure> {
    let mut change = PasswordChange { old: None, new };
    let outcome = administration::run(async { Ok(server.set_password(name, &change).await) })?;
    match outcome {
        Err(error) if error.number() == number::ACCESS_DENIED && std::io::stdin().is_terminal() => {
            change.old = Some(hidden("Type the old password for the user:")?);
            administration::run(async { Ok(server.set_password(name, &change).await?) })
        }
        other => Ok(other?),
    }
}

fn asked(console: &mut Console) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        let line = console.answer().map(|line| line.trim_end_matches(['\n', '\r']).to_owned());
        return line
            .filter(|line| !line.is_empty())
            .ok_or_else(|| Numbered::new(messages::NO_RESPONSE_NUMBER).into());
    }
    let first = hidden("Type a password for the user:")?;
    if first.is_empty() {
        return Err(Numbered::new(number::BAD_PASSWORD).hint("the password is empty").into());
    }
    if first != hidden("Retype the password to confirm:")? {
        return Err(Numbered::new(number::BAD_PASSWORD).hint("the passwords do not match").into());
    }
    Ok(first)
}

fn hidden(question: &str) -> Result<String, Failure> {
    rpassword::prompt_password(format!("{question} "))
        .map_err(|error| Numbered::new(messages::NO_RESPONSE_NUMBER).hint(error.to_string()).into())
}
