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
    summary: "lists and changes the server's users",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD USER
{LIST | ADD name | PASSWD name | DEL name} [--config FILE] [--file USERS]
",
    about: "\
Lists and changes the users of the server, which are in a file of Samba's
smbpasswd format.

  LIST          The users there are.
  ADD           A new user. The password is asked for, or read from standard
                input where that is no terminal; never an argument.
  PASSWD        Another password for a user.
  DEL           Removes a user.
  --file        The users file, instead of the configuration's.

A running server takes changes over with the next logon. Who is connected stays
so: 'net session /delete' ends sessions.
Who administers the server is said in the configuration (administrators).

Exit codes: 0 done; 1 not done.
",
};

const FILE: Switch = Switch::own("FILE", Takes::Value);

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |number| Failure::Usage { error: Numbered::new(number), help: &HELP };
    let words = cli::parse_paths(words, &[setup::CONFIG, FILE])
        .map_err(|error| Failure::Usage { error, help: &HELP })?;
    let operands: Vec<&str> = words.operands.iter().map(String::as_str).collect();
    let (verb, name) = match operands.as_slice() {
        [verb] => (verb.to_lowercase(), None),
        [verb, name] => (verb.to_lowercase(), Some(*name)),
        _ => return Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
    };
    let (path, settings) = place(&words)?;
    match (verb.as_str(), name) {
        ("list", None) => list(&path, console),
        ("add", Some(name)) => {
            if known(&path, console)?.user(name).is_some() {
                return Err(Failure::Plain(format!("{name} exists already")));
            }
            let password = password(name, console)?;
            change(&path, |users| users.add(name, uid_of(name), &password, now()))?;
            if let Some(warning) = no_unix_account(name, &settings) {
                console.error(&format!("warning: {warning}\n"));
            }
            Ok(())
        }
        ("passwd", Some(name)) => {
            if known(&path, console)?.user(name).is_none() {
                return Err(Failure::Plain(format!("there is no user {name}")));
            }
            let password = password(name, console)?;
            change(&path, |users| users.set_password(name, &password, now()))
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

fn list(path: &Path, console: &mut Console) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::Plain(format!(
            "there are no users yet: there is no {}\n\nhint: 'shareward user add NAME' makes it",
            path.display()
        )));
    }
    for user in known(path, console)?.users() {
        let state = if user.is_enabled() { "" } else { "  (disabled)" };
        console.line(&format!("{}{state}", user.name));
    }
    Ok(())
}

/// What the file says now.
fn known(path: &Path, console: &mut Console) -> Result<UserDb, Failure> {
    let (users, warning) = setup::users(path)?;
    if let Some(warning) = warning {
        console.error(&format!("warning: {warning}\n"));
    }
    Ok(users)
}

/// Changes the file. Whatever is to be asked has been: nobody else can change it meanwhile.
fn change(
    path: &Path,
    change: impl FnOnce(&mut UserDb) -> Result<(), auth::users::ChangeError>,
) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::Plain(format!("cannot make {}: {error}", directory.display())))?;
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

/// The users file and the settings. The configuration need not be there yet: users may come first.
fn place(words: &Words) -> Result<(PathBuf, Settings), Failure> {
    let named = words.value(&setup::CONFIG);
    let config = setup::config_path(named);
    let file = words.value(&FILE).map(PathBuf::from);
    // Users of a file that is named are changed whatever the configuration is like.
    let settings = match (&file, named) {
        (Some(_), None) => setup::defaults(),
        (None, None) if !config.exists() => setup::defaults(),
        _ => setup::read(&config)?,
    };
    Ok((file.unwrap_or_else(|| settings.users_file.clone()), settings))
}

/// What is wrong with a user who cannot act as the Unix user of the name.
fn no_unix_account(name: &str, settings: &Settings) -> Option<String> {
    let is_missing = settings.unix_identities && !setup::has_unix_account(name);
    is_missing.then(|| {
        format!(
            "there is no Unix account called {name}: {name} cannot log on\n\n\
             hint: 'useradd {name}' makes one; or all act as whoever runs the server,\n\
             with 'unix_identities = false' in {}",
            settings.source.as_ref().map_or_else(|| setup::config_path(None), |it| it.path.clone()).display()
        )
    })
}

/// Asks twice without echo, or reads a line where nobody is there to ask.
fn password(name: &str, console: &mut Console) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| Failure::Plain(format!("cannot read the password: {error}"));
    let wrong = |text: &str| Failure::Plain(text.to_owned());
    if !std::io::stdin().is_terminal() {
        let line = console.answer().map(|line| line.trim_end_matches(['\n', '\r']).to_owned());
        let given = line.filter(|line| !line.is_empty());
        return given.ok_or_else(|| wrong("there is no password on standard input"));
    }
    let first = rpassword::prompt_password(format!("Password for {name}: ")).map_err(unreadable)?;
    if first.is_empty() {
        return Err(wrong("an empty password is none"));
    }
    let second = rpassword::prompt_password("Once more: ").map_err(unreadable)?;
    if first == second { Ok(first) } else { Err(wrong("the two passwords differ")) }
}

fn uid_of(name: &str) -> u32 {
    let account = nix::unistd::User::from_name(name).ok().flatten();
    account.map_or_else(|| rustix::process::getuid().as_raw(), |account| account.uid.as_raw())
}
