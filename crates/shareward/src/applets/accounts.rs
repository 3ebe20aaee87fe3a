//! `net user`: the server's accounts and their passwords.

use std::io::IsTerminal as _;

use client::Administration;
use control::{PasswordChange, User, UserChange, number};

use super::{Applet, Family, Help, command_line};
use crate::administration;
use crate::cli::{self, Options, Switch, Takes};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, RULE, clean_line, labelled, local_time, pad, yes_or_no};

pub(super) static APPLET: Applet = Applet {
    names: &["user", "users"],
    family: Family::Net,
    summary: "Show accounts, unlock them and change passwords",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
NET USER
username [password | *] [/ACTIVE:{YES | NO}] [--json]
[--socket PATH | --server NAME [--login USER] [--credentials FILE]
[--kerberos | --ntlm]]
",
    about: "\
Lists the server's accounts, shows one, changes its password, or activates or
deactivates it.

  username      the account
  password      the new password. Other users of this machine can see it while
                the command runs
  *             ask for the password without showing it. If standard input is
                not a terminal, read it from there
  /ACTIVE:YES   activate the account, and unlock it if wrong passwords have
                locked it
  /ACTIVE:NO    deactivate the account: its user cannot log on

Users can change their own password and are asked for the old one.
Administrators can change any password and activate accounts. To add or delete
accounts, use 'shareward user'.

Exit codes: 0 success; the number of a system error up to 255, such as 5
(access denied) or 86 (the old password is wrong); 2 for all others, such as
1909 (the account is locked), 2114 (no server is running) or 2221 (no such
account). The message contains the number.
",
};

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let (words, options) = command_line(cli::parse(words, &cli::asking(&[ACTIVE])), &HELP, console)?;
    let active = match words.value(&ACTIVE) {
        None => None,
        Some(word) if word.eq_ignore_ascii_case("yes") => Some(true),
        Some(word) if word.eq_ignore_ascii_case("no") => Some(false),
        Some(_) => return Err(usage(Numbered::new(messages::OPTION_VALUE_NUMBER))),
    };
    let server = administration::of(&options.target)?;
    match words.operands.as_slice() {
        [name] if let Some(active) = active => activate(&*server, name, active, &options, console),
        _ if active.is_some() => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
        [] => list(&*server, &options, console),
        [name] => show(&*server, name, &options, console),
        [name, password] => {
            let new = match password.as_str() {
                "*" => asked(console)?,
                password => password.to_owned(),
            };
            set(&*server, name, new, &options, console)
        }
        _ => Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
}

/// NET's own switch, which Windows has in `net user` too.
const ACTIVE: Switch = Switch::net("ACTIVE", Takes::Value);

fn list(server: &dyn Administration, options: &Options, console: &mut Console) -> Result<(), Failure> {
    let users = administration::run(async { Ok(server.users().await?) })?;
    if options.json {
        return console.document("users", &users);
    }
    let name = options.target.server.clone().unwrap_or_else(|| {
        administration::run(async { Ok(server.server().await.map(|it| it.name).unwrap_or_default()) })
            .unwrap_or_default()
    });
    let mut text = format!("\n{}\n\n{RULE}\n", clean_line(&format!(r"User accounts for \\{name}")));
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

fn activate(
    server: &dyn Administration,
    name: &str,
    active: bool,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let change = UserChange { active };
    let user = administration::run(async { Ok(server.change_user(name, &change).await?) })?;
    if options.json {
        return console.document("user", &user);
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
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
    lines.extend([
        ("Password last set", user.password_set.map(local_time).unwrap_or_default()),
        ("Password required", user.password_required.map(yes_or_no).unwrap_or_default().to_owned()),
        ("Administrator", user.administrator.map(yes_or_no).unwrap_or_default().to_owned()),
    ]);
    lines.iter().map(|(label, value)| labelled(LABEL_WIDTH, label, value)).collect()
}

const LABEL_WIDTH: usize = 29;

/// Sets a password. An administrator need not know the old one; other users are asked for it after the first refusal.
fn set(
    server: &dyn Administration,
    name: &str,
    new: String,
    options: &Options,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut change = PasswordChange { old: None, new };
    let outcome = administration::run(async { Ok(server.set_password(name, &change).await) })?;
    let user = match outcome {
        Err(error) if error.number() == number::ACCESS_DENIED && std::io::stdin().is_terminal() => {
            change.old = Some(hidden("Type the old password for the user:")?);
            administration::run(async { Ok(server.set_password(name, &change).await?) })?
        }
        other => other?,
    };
    if options.json {
        return console.document("user", &user);
    }
    console.line(&format!("{}\n", messages::COMPLETED));
    Ok(())
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
