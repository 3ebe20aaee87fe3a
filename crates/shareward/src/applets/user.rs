//! `shareward user`: the users file, and on a node of a cluster that keeps users there, the users of the cluster.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use auth::UserDb;
use auth::users::{UpdateError, now};
use server::cluster_operator::{Operator, Refused};
use server::config::{PasswordPolicy, Settings};

use super::{Applet, Family, Help};
use crate::administration;
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Console, clean_line};
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

On a node of a cluster with 'users = true', a user that is not in the file is
one of the cluster, which all nodes have at once: ADD adds one there. --file
NAME has the command act on the file alone.

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
    let cluster = of_cluster(&words, &settings)?;
    match (verb.as_str(), name) {
        ("list", None) => list(&path, cluster.as_ref(), console),
        ("add", Some(name)) => {
            if known(&path, cluster.as_ref(), console)?.user(name).is_some() {
                return Err(Failure::Plain(format!("the user {name} already exists")));
            }
            let rules = password_rules(&settings, cluster.as_ref())?;
            let password = permitted(password(name, console)?, rules)?;
            match &cluster {
                Some(cluster) => {
                    in_cluster(cluster, name, |users| users.add(name, uid_of(name), &password, now()))?;
                }
                None => add(&path, name, &password)?,
            }
            if let Some(warning) = no_unix_account(name, &settings) {
                console.error(&format!("warning: {warning}\n"));
            }
            Ok(())
        }
        ("passwd", Some(name)) => {
            let cluster = unless_own(cluster, &path, name)?;
            if cluster.is_none() && known(&path, None, console)?.user(name).is_none() {
                return Err(Failure::Plain(format!("there is no user {name}")));
            }
            let rules = password_rules(&settings, cluster.as_ref())?;
            let password = permitted(password(name, console)?, rules)?;
            let hash = auth::users::nt_hash(&password);
            let policy = usize::try_from(rules.history.saturating_sub(1)).unwrap_or(0);
            let replace = |users: &mut UserDb| {
                // The settings that the server follows may be others: what is remembered stays.
                let known = users.user(name).map_or(0, |user| user.rules.old_hashes.len());
                users.replace_password(name, hash, policy.max(known), now())
            };
            match &cluster {
                Some(cluster) => in_cluster(cluster, name, replace),
                None => change(&path, replace),
            }
        }
        ("del" | "delete", Some(name)) => match unless_own(cluster, &path, name)? {
            Some(cluster) => in_cluster(&cluster, name, |users| users.delete(name)),
            None if known(&path, None, console)?.user(name).is_none() => {
                Err(Failure::Plain(format!("there is no user {name}")))
            }
            None => change(&path, |users| users.delete(name)),
        },
        _ => Err(usage(messages::SYNTAX_NUMBER)),
    }
}

/// The cluster, if the configuration of this node keeps users there and no users file was named.
fn of_cluster(words: &Words, settings: &Settings) -> Result<Option<Operator>, Failure> {
    let is_member = settings.cluster.as_ref().is_some_and(|it| it.users);
    if !is_member || words.value(&FILE).is_some() {
        return Ok(None);
    }
    Operator::new(settings.clone()).map(Some).map_err(failed)
}

/// The rules for the password of a user: those of the cluster, if it is one of the cluster's.
fn password_rules(settings: &Settings, cluster: Option<&Operator>) -> Result<PasswordPolicy, Failure> {
    match cluster {
        Some(cluster) => administration::run(async { cluster.passwords().await.map_err(failed) }),
        None => Ok(settings.passwords),
    }
}

/// Changes a user of the cluster.
fn in_cluster(
    cluster: &Operator,
    name: &str,
    change: impl FnOnce(&mut UserDb) -> Result<(), auth::users::ChangeError>,
) -> Result<(), Failure> {
    let changed = administration::run(async { cluster.change_user(name, change).await.map_err(failed) })?;
    changed.map_err(|error| Failure::Plain(error.to_string()))
}

fn failed(error: Refused) -> Failure {
    Failure::Plain(clean_line(&error.to_string()))
}

/// The cluster, unless the users file has a user of this name. A file that cannot be read may have it, so that nothing is
/// changed then.
fn unless_own(cluster: Option<Operator>, path: &Path, name: &str) -> Result<Option<Operator>, Failure> {
    let Some(cluster) = cluster else { return Ok(None) };
    let (users, _) = setup::users(path)?;
    Ok(Some(cluster).filter(|_| users.user(name).is_none()))
}

/// The password, if it is as long as the rules of the settings demand.
fn permitted(password: String, rules: PasswordPolicy) -> Result<String, Failure> {
    let min = rules.min_length;
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

fn list(path: &Path, cluster: Option<&Operator>, console: &mut Console) -> Result<(), Failure> {
    if !path.exists() && cluster.is_none() {
        return Err(Failure::Plain(format!(
            "there are no users: {} does not exist\n\nhint: 'shareward user add NAME' creates it",
            path.display()
        )));
    }
    for user in known(path, cluster, console)?.users() {
        let state = if user.is_enabled() { "" } else { "  (disabled)" };
        console.line(&format!("{}{state}", user.name));
    }
    Ok(())
}

/// The current content of the file, and then the users of the cluster.
fn known(path: &Path, cluster: Option<&Operator>, console: &mut Console) -> Result<UserDb, Failure> {
    let (mut users, warning) = match cluster {
        // A node may have no users of its own.
        Some(_) if !path.exists() => (UserDb::default(), None),
        _ => setup::users(path)?,
    };
    if let Some(warning) = warning {
        console.error(&format!("warning: {warning}\n"));
    }
    if let Some(cluster) = cluster {
        let (others, unreadable) = administration::run(async { cluster.users().await.map_err(failed) })?;
        if unreadable > 0 {
            console.error(&format!(
                "warning: {unreadable} users of the cluster cannot be read; the log of the server has the reasons\n"
            ));
        }
        users.merge(&others);
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
