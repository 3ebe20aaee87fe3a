//! `shareward user`: the users file.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use auth::UserDb;
use auth::users::{UpdateError, now};
use server::config::Settings;

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["user"],
    family: Family::Own,
    summary: "List, add, change or delete the server's users",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD USER
{LIST | ADD name | PASSWD name | DEL name} [--config FILE] [--file USERS]
",
    about: "\
Lists or changes the users of the server, which are stored in a file in Samba's
smbpasswd format.

  LIST          List the users.
  ADD           Add a user. Asks for the password; if standard input is not a
                terminal, reads it from there.
  PASSWD        Change the password of a user.
  DEL           Delete a user.
  --config      The configuration file that names the users file.
  --file        The users file, instead of the one in the configuration.

A running server uses the changes from the next logon on. Existing sessions
continue; 'shareward net session /delete' ends them.
The setting 'administrators' in the configuration lists the users who may
administer the server.

Exit codes: 0 success; 1 nothing was changed; 2 the command line is wrong.
",
};

const FILE: Switch = Switch::own("FILE", Takes::Value);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |number| Failure::Usage { error: Numbered::new(number), help: &HELP };
    let words = cli::parse_paths(words, &[setup::CONFIG, FILE])
        .map_err(|error| Failure::Usage { error, help: &HELP })?;
    let operands: Vec<&str> = words.operands.iter().map(String::as_str).collect();
    let (verb, name) = match operands.as_slice() {
        [verb] => (verb.to_ascii_lowercase(), None),
        [verb, name] => (verb.to_ascii_lowercase(), Some(*name)),
        _ => return Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
    };
    let (path, settings) = place(&words)?;
    match (verb.as_str(), name) {
        ("list", None) => list(&path, console),
        ("add", Some(name)) => {
            if known(&path, console)?.user(name).is_some() {
                return Err(Failure::Plain(format!("the user {name} already exists")));
            }
            let password = permitted(password(name, console)?, &settings)?;
            add(&path, name, &password)?;
            if settings.cluster.as_ref().is_some_and(|it| it.users) {
                console.error(&format!(
                    "hint: {name} is a user of this node only; 'net user {name} /add' adds one to the cluster\n"
                ));
            }
            if let Some(warning) = no_unix_account(name, &settings) {
                console.error(&format!("warning: {warning}\n"));
            }
            Ok(())
        }
        ("passwd", Some(name)) => {
            if known(&path, console)?.user(name).is_none() {
                return Err(Failure::Plain(format!("there is no user {name}")));
            }
            let password = permitted(password(name, console)?, &settings)?;
            let hash = auth::users::nt_hash(&password);
            let policy = usize::try_from(settings.passwords.history.saturating_sub(1)).unwrap_or(0);
            change(&path, |users| {
                // The settings that the server follows may be others: what is remembered stays.
                let known = users.user(name).map_or(0, |user| user.rules.old_hashes.len());
                users.replace_password(name, hash, policy.max(known), now())
            })
        }
        ("del" | "delete", Some(name)) => {
            if known(&path, console)?.user(name).is_none() {
                return Err(Failure::Plain(format!("there is no user {name}")));
            }
            change(&path, |users| users.delete(name))
        }
        _ => Err(usage(messages::SYNTAX_NUMBER)),
    }
}

/// The password, if it is as long as the rules of the settings demand.
fn permitted(password: String, settings: &Settings) -> Result<String, Failure> {
    let min = settings.passwords.min_length;
    if password.chars().count() < usize::try_from(min).unwrap_or(usize::MAX) {
        return Err(Failure::Plain(format!(
            "the password has fewer than {min} characters\n\nhint: min_password_length, or 'shareward net accounts', has this rule"
        )));
    }
    Ok(password)
}

/// Adds an account to a users file.
pub(super) fn add(path: &Path, name: &str, password: &str) -> Result<(), Failure> {
    change(path, |users| users.add(name, uid_of(name), password, now()))
}

fn list(path: &Path, console: &mut Console) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::Plain(format!(
            "there are no users: {} does not exist\n\nhint: 'shareward user add NAME' creates it",
            path.display()
        )));
    }
    for user in known(path, console)?.users() {
        let state = if user.is_enabled() { "" } else { "  (disabled)" };
        console.line(&format!("{}{state}", user.name));
    }
    Ok(())
}

/// The current content of the file.
fn known(path: &Path, console: &mut Console) -> Result<UserDb, Failure> {
    let (users, warning) = setup::users(path)?;
    if let Some(warning) = warning {
        console.error(&format!("warning: {warning}\n"));
    }
    Ok(users)
}

/// Changes the file under a lock. All questions were asked before, so that nobody is locked out while one is open.
fn change(
    path: &Path,
    change: impl FnOnce(&mut UserDb) -> Result<(), auth::users::ChangeError>,
) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::Plain(format!("cannot create {}: {error}", directory.display())))?;
    }
    UserDb::update(path, change).map(|_| ()).map_err(|error| {
        Failure::Plain(match error {
            UpdateError::Refused(error) => error.to_string(),
            UpdateError::Load(error) => error.to_string(),
            UpdateError::Lock(error) => format!("cannot lock {}: {error}", path.display()),
            UpdateError::Save(error) => format!("cannot write {}: {error}", path.display()),
        })
    })
}

/// The users file and the settings. The configuration may be missing: users can be added before it exists.
fn place(words: &Words) -> Result<(PathBuf, Settings), Failure> {
    let named = words.value(&setup::CONFIG);
    let config = setup::config_path(named);
    let file = words.value(&FILE).map(PathBuf::from);
    // A users file that is named explicitly can be changed even if the configuration has errors.
    let settings = match (&file, named) {
        (Some(_), None) => setup::defaults(),
        (None, None) if !config.exists() => setup::defaults(),
        _ => setup::read(&config)?,
    };
    Ok((file.unwrap_or_else(|| settings.users_file.clone()), settings))
}

/// The warning for a user who cannot act as a Unix user of the same name.
fn no_unix_account(name: &str, settings: &Settings) -> Option<String> {
    let is_missing = settings.unix_identities && !setup::has_unix_account(name);
    is_missing.then(|| {
        format!(
            "{name} cannot log on: there is no Unix account of this name\n\n\
             hint: create one with 'useradd {name}', or let all users act as the user who runs\n\
             the server, with 'unix_identities = false' in {}",
            settings.source.as_ref().map_or_else(|| setup::config_path(None), |it| it.path.clone()).display()
        )
    })
}

/// Asks twice without echo, or reads one line if standard input is not a terminal.
pub(super) fn password(name: &str, console: &mut Console) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| Failure::Plain(format!("cannot read the password: {error}"));
    let wrong = |text: &str| Failure::Plain(text.to_owned());
    if !std::io::stdin().is_terminal() {
        let line = console.answer().map(|line| line.trim_end_matches(['\n', '\r']).to_owned());
        let given = line.filter(|line| !line.is_empty());
        return given.ok_or_else(|| wrong("standard input contains no password"));
    }
    let first = rpassword::prompt_password(format!("Password for {name}: ")).map_err(unreadable)?;
    if first.is_empty() {
        return Err(wrong("the password is empty"));
    }
    let second = rpassword::prompt_password("Once more: ").map_err(unreadable)?;
    if first == second { Ok(first) } else { Err(wrong("the passwords do not match")) }
}

fn uid_of(name: &str) -> u32 {
    let account = nix::unistd::User::from_name(name).ok().flatten();
    account.map_or_else(|| rustix::process::getuid().as_raw(), |account| account.uid.as_raw())
}
