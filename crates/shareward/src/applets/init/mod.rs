//! `shareward init`: the first configuration.

mod ask;
mod write;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use server::config::{ShareSettings, check_share_name, listen_addresses};

use super::{Applet, Family, Help};
use crate::cli::{self, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use crate::setup;

pub(super) static APPLET: Applet = Applet {
    names: &["init"],
    family: Family::Own,
    summary: "Write the first configuration: what to share, and with whom",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD INIT
[--share NAME=DIRECTORY]... [--user NAME]... [--guest] [--read-only]
[--listen ADDRESS[:PORT],...] [--unix-accounts] [--output DIR] [--yes]
",
    about: "\
Asks what to share and with whom, writes a configuration and the users file,
and creates the directories that the server needs. Asks nothing that a switch
answers. Never changes an existing configuration.

  --share          Share this directory under this name. It is created if it
                   does not exist.
  --user           A user who may use the shares. The password is asked for; if
                   standard input is not a terminal, it is read from there, one
                   line for each user.
  --guest          Everybody may use the shares, without an account.
  --read-only      Nobody may write.
  --listen         The addresses and ports. Default: port 445 of all addresses
                   for root, port 4450 for others.
  --unix-accounts  Create a Unix account for each user who has none. A server
                   that root runs acts as the Unix user of the same name.
  --output         Write everything below DIR, for a separate server. Default:
                   /etc/shareward and /var/lib/shareward for root, the
                   directories of XDG for others.
  --yes            Ask nothing but passwords.

Exit codes: 0 success; 1 the configuration was not written; 2 the command line
is wrong.
",
};

const SHARE: Switch = Switch::own("SHARE", Takes::Value);
const USER: Switch = Switch::own("USER", Takes::Value);
const GUEST: Switch = Switch::own("GUEST", Takes::Nothing);
const READ_ONLY: Switch = Switch::own("READ-ONLY", Takes::Nothing);
const LISTEN: Switch = Switch::own("LISTEN", Takes::Value);
const UNIX_ACCOUNTS: Switch = Switch::own("UNIX-ACCOUNTS", Takes::Nothing);
const OUTPUT: Switch = Switch::own("OUTPUT", Takes::Value);

/// The files and directories of the new server.
struct Places {
    config: PathBuf,
    users: PathBuf,
    state: PathBuf,
    /// True if the configuration has to name them, because they are not the conventional ones.
    are_own: bool,
}

impl Places {
    fn of(output: Option<&Path>) -> Result<Self, Failure> {
        let Some(directory) = output else {
            let (places, defaults) = (setup::places(), setup::defaults());
            return Ok(Self {
                config: places.config.join("shareward.toml"),
                users: defaults.users_file,
                state: defaults.state_directory,
                are_own: false,
            });
        };
        let directory = std::path::absolute(directory)
            .map_err(|error| Failure::Plain(format!("cannot use {}: {error}", directory.display())))?;
        Ok(Self {
            config: directory.join("shareward.toml"),
            users: directory.join("users"),
            state: directory.join("state"),
            are_own: true,
        })
    }
}

/// The answers to all questions.
struct Plan {
    shares: Vec<(String, PathBuf)>,
    users: Vec<String>,
    guest: bool,
    read_only: bool,
    /// The words of `listen`; empty for the default of the server.
    listen: Vec<String>,
    /// True if users without a Unix account get one.
    unix_accounts: bool,
    places: Places,
}

impl Plan {
    /// The addresses that the server will listen on.
    fn addresses(&self) -> Vec<SocketAddr> {
        if self.listen.is_empty() {
            return setup::defaults().listen;
        }
        self.listen.iter().filter_map(|word| listen_addresses(word).ok()).flatten().collect()
    }

    /// The settings of a share.
    fn settings(&self, name: &str, path: &Path) -> ShareSettings {
        ShareSettings {
            guest: self.guest,
            read_only: self.read_only,
            // With guests, everybody may use it.
            users: if self.guest { Vec::new() } else { self.users.clone() },
            hidden: name.ends_with('$'),
            ..ShareSettings::new(name.to_owned(), path.to_owned())
        }
    }
}

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let switches = [SHARE, USER, GUEST, READ_ONLY, LISTEN, UNIX_ACCOUNTS, OUTPUT, cli::YES];
    let words = cli::parse_paths(words, &switches).map_err(usage)?;
    if !words.operands.is_empty() {
        return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER)));
    }
    let places = Places::of(words.value(&OUTPUT).map(Path::new))?;
    write::check_absent(&places.config)?;
    let given = given(&words, places)?;
    let plan = if words.has(&cli::YES) { decided(given)? } else { ask::ask(given, &words, console)? };
    write::write(&plan, console)
}

/// The plan as the switches have it.
fn given(words: &Words, places: Places) -> Result<Plan, Failure> {
    let mut plan = Plan {
        shares: Vec::new(),
        users: Vec::new(),
        guest: words.has(&GUEST),
        read_only: words.has(&READ_ONLY),
        listen: Vec::new(),
        unix_accounts: words.has(&UNIX_ACCOUNTS),
        places,
    };
    for word in words.values(&SHARE) {
        let Some((name, path)) = word.split_once('=') else {
            return Err(Failure::Plain(format!("--share {word}: it has the form NAME=DIRECTORY")));
        };
        add_share(&mut plan, name, path).map_err(Failure::Plain)?;
    }
    for name in words.values(&USER) {
        add_user(&mut plan, name).map_err(Failure::Plain)?;
    }
    if let Some(list) = words.value(&LISTEN) {
        plan.listen = listened(list).map_err(Failure::Plain)?;
    } else if !setup::is_root() {
        plan.listen = vec![String::from(":4450")];
    }
    Ok(plan)
}

/// The plan without questions.
fn decided(plan: Plan) -> Result<Plan, Failure> {
    if plan.shares.is_empty() {
        return Err(Failure::Plain(String::from("--yes requires --share NAME=DIRECTORY")));
    }
    if plan.users.is_empty() && !plan.guest {
        return Err(Failure::Plain(String::from(
            "--yes requires --user NAME or --guest: nobody could log on",
        )));
    }
    Ok(plan)
}

/// Adds a share; an error says what is wrong.
fn add_share(plan: &mut Plan, name: &str, path: &str) -> Result<(), String> {
    check_share_name(name)?;
    if plan.shares.iter().any(|(known, _)| wire::eq_ignore_case(known, name)) {
        return Err(format!("the share {name} is named twice"));
    }
    let path = match path.strip_prefix("~/").zip(std::env::home_dir()) {
        Some((rest, home)) => home.join(rest),
        None => std::path::absolute(path).map_err(|error| format!("{path:?} is not a path: {error}"))?,
    };
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_dir() => return Err(format!("{} is not a directory", path.display())),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", path.display()));
        }
        _ => {}
    }
    if path.to_str().is_none() {
        return Err(format!("{} is not UTF-8", path.display()));
    }
    plan.shares.push((name.to_owned(), path));
    Ok(())
}

/// Adds a user; an error says what is wrong.
fn add_user(plan: &mut Plan, name: &str) -> Result<(), String> {
    // The users file has the rules for names.
    auth::UserDb::default()
        .add(name, 0, "password", auth::users::now())
        .map_err(|error| format!("{name:?}: {error}"))?;
    if !plan.users.iter().any(|known| wire::eq_ignore_case(known, name)) {
        plan.users.push(name.to_owned());
    }
    Ok(())
}

/// The words of a list of addresses; an error says what is wrong.
fn listened(list: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
    for word in &words {
        listen_addresses(word)?;
    }
    Ok(words)
}
