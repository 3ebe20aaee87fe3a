//! `shareward import`: takes over the configuration and the accounts of a Samba server.

mod machine;
mod show;
mod write;

use std::path::{Path, PathBuf};

use auth::UserDb;
use import::passdb::{Account, accounts, machine_sid};
use import::report::{ShareOutcome, Verdict};
use import::smbconf::{Charset, Config, LoadError, load};
use import::translate::{
    AccountsSource, Translation, accounts_source, private_directory, server_name, translate,
};
use import::{ACCOUNTS_BYTES_MAX, System};
use wire::security::Sid;

use super::{Applet, Family, Help};
use crate::cli::{self, JSON, Switch, Takes};
use crate::exit::ExitCode;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::Console;
use crate::setup;
use machine::Machine;

pub(super) static APPLET: Applet = Applet {
    names: &["import"],
    family: Family::Own,
    summary: "Take over the configuration and accounts of Samba",
    help: &HELP,
    run,
};

static HELP: Help = Help {
    syntax: "\
SHAREWARD IMPORT
SAMBA [--config FILE] [--users FILE] [--check] [--json]
[--output DIR] [--force]
",
    about: "\
Translates the configuration of a Samba server on this machine, its accounts
with their passwords, and the SIDs of the server and its users. Samba's files
are only read.

  --config  Samba's configuration; default /etc/samba/smb.conf
  --users   the accounts: a passdb.tdb, an smbpasswd file, or the output of
            'pdbedit -L -w'; by default those that the configuration names
  --check   write nothing; report for each parameter, with file and line,
            whether it is carried over, not needed, or not there yet
  --json    print the report as JSON
  --output  write into this directory, instead of the places of the server
  --force   replace an existing configuration and existing SIDs. Accounts in
            the users file are never replaced

A share that would admit other users or computers than with Samba is written as
a comment, with the reason. Without --output, the command writes
/etc/shareward/shareward.toml, /etc/shareward/users, and machine-sid and
user-sids in /var/lib/shareward.

Exit codes: 0 success; 1 nothing was written, or the configuration or the
accounts cannot be read; 2 the command line is wrong; 3 with --check, something
is not there yet.
",
};

const USERS: Switch = Switch::own("USERS", Takes::Value);
const CHECK: Switch = Switch::own("CHECK", Takes::Nothing);
const OUTPUT: Switch = Switch::own("OUTPUT", Takes::Value);
const FORCE: Switch = Switch::own("FORCE", Takes::Nothing);

/// Samba's configuration on all distributions of Linux.
const SAMBA_CONFIG: &str = "/etc/samba/smb.conf";

/// The exit code of `--check` if something is not there yet.
const NOT_YET: u8 = 3;

fn run(words: &[String], console: &mut Console) -> Result<(), Failure> {
    let usage = |error| Failure::Usage { error, help: &HELP };
    let switches = [setup::CONFIG, USERS, CHECK, JSON, OUTPUT, FORCE];
    let words = cli::parse_paths(words, &switches).map_err(usage)?;
    if words.has(&JSON) {
        console.set_json();
    }
    match words.operands.as_slice() {
        [source] if source.eq_ignore_ascii_case("samba") => {}
        [source] => {
            let error = Numbered::new(messages::SYNTAX_NUMBER);
            return Err(usage(error.hint(format!("'{source}' cannot be imported; 'samba' can"))));
        }
        _ => return Err(usage(Numbered::new(messages::ARGUMENT_COUNT_NUMBER))),
    }
    let path = PathBuf::from(words.value(&setup::CONFIG).unwrap_or(SAMBA_CONFIG));
    let system = Machine::default();
    let config = load(&path, &system).map_err(|error| unreadable(&path, &error))?;
    let targets = write::Targets::of(words.value(&OUTPUT).map(Path::new));
    let found = Found::of(&config, words.value(&USERS).map(Path::new), &targets, &system);
    let names = found.names(&system)?;
    let translation = translate(&config, &names, &targets.places, &system);
    if words.has(&CHECK) {
        show::check(&path, &translation, &found, console)?;
        if !found.problems.is_empty() {
            return Err(Failure::Plain(found.problems.join("\n")));
        }
        // Permissions of shares that are not there yet are in no line of the configuration.
        let is_complete = translation.entries.iter().all(|entry| entry.answer != Verdict::NotYet)
            && translation.shares.iter().all(|share| share.outcome != ShareOutcome::Comment);
        return if is_complete { Ok(()) } else { Err(Failure::Reported(ExitCode::System(NOT_YET))) };
    }
    if !found.problems.is_empty() {
        return Err(Failure::Plain(format!(
            "{}\nnothing was written\n\nhint: --check shows the rest of the report",
            found.problems.join("\n")
        )));
    }
    let written = write::write(&translation, &found, &targets, words.has(&FORCE), &system)?;
    show::imported(&path, &translation, &found, &written, console)
}

fn unreadable(path: &Path, error: &LoadError) -> Failure {
    Failure::Plain(match error {
        LoadError::Io { .. } => format!("{error}\n\nhint: --config names the configuration of Samba"),
        LoadError::Faults(_) => {
            format!(
                "{error}\n\nhint: Samba does not load {} with these lines either; see testparm",
                path.display()
            )
        }
    })
}

/// The accounts and SIDs that were found.
struct Found {
    /// The file of the accounts; `None` if there is none.
    source: Option<PathBuf>,
    accounts: Vec<Account>,
    /// The SID of the Samba server.
    sid: Option<Sid>,
    /// The text of the users file so far.
    existing: UserDb,
    /// Files that cannot be read.
    problems: Vec<String>,
    /// Things that are missing and need not be there.
    notes: Vec<String>,
}

impl Found {
    fn of(config: &Config, named: Option<&Path>, targets: &write::Targets, system: &Machine) -> Self {
        let mut found = Self {
            source: None,
            accounts: Vec::new(),
            sid: None,
            existing: UserDb::default(),
            problems: Vec::new(),
            notes: Vec::new(),
        };
        match setup::users(&targets.users) {
            Ok((users, _)) => found.existing = users,
            Err(Failure::Plain(error)) => found.problems.push(error),
            Err(_) => {}
        }
        let default = match accounts_source(config) {
            AccountsSource::Tdb(path) | AccountsSource::Smbpasswd(path) => Some(path),
            AccountsSource::Other(_) => None,
        };
        if let Some(path) = named.map(Path::to_owned).or(default) {
            found.read_accounts(&path, named.is_some(), &config.charset, system);
        }
        found.read_sid(config, system);
        found
    }

    fn read_accounts(&mut self, path: &Path, is_named: bool, charset: &Charset, system: &Machine) {
        let bytes = match read_whole(path, system) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => {
                self.notes.push(format!("accounts: there is no {}, so none were imported", path.display()));
                return;
            }
            Err(error) => {
                self.problems.push(format!("cannot read the accounts in {}: {error}", path.display()));
                return;
            }
        };
        self.source = Some(path.to_owned());
        match accounts(&bytes, charset) {
            Ok(accounts) => self.accounts = accounts,
            Err(error) => self.problems.push(format!("{}: {error}", path.display())),
        }
        if self.accounts.iter().any(|it| it.rid.is_none() && !it.is_machine()) {
            self.notes.push(String::from(
                "SIDs: this list of accounts has none. If files have descriptors of Samba, make user-sids as docs/from-samba.md \
                 describes",
            ));
        }
    }

    fn read_sid(&mut self, config: &Config, system: &Machine) {
        let path = private_directory(config).join("secrets.tdb");
        let name = server_name(config, system);
        match read_whole(&path, system).map(|bytes| machine_sid(&bytes, &name)) {
            Ok(Ok(Some(sid))) => self.sid = Some(sid),
            Ok(Ok(None)) => {
                self.notes
                    .push(format!("SIDs: {} has no SID of {name}; the server creates one", path.display()));
            }
            Ok(Err(error)) => self.problems.push(format!("{}: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.notes.push(format!("SIDs: there is no {}; the server creates its own", path.display()));
            }
            Err(error) => self.problems.push(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// The names in the users file after the import.
    fn names(&self, system: &Machine) -> Result<Vec<String>, Failure> {
        let merged = import::users::merge(&self.existing.to_text(), &self.accounts, system)
            .map_err(|error| Failure::Plain(error.to_string()))?;
        let users = UserDb::parse(&merged.text).map_err(|error| Failure::Plain(error.to_string()))?;
        Ok(users.users().map(|user| user.name.clone()).collect())
    }

    /// All notes, with those of the translation.
    fn notes<'a>(&'a self, translation: &'a Translation) -> impl Iterator<Item = &'a String> {
        self.notes.iter().chain(&translation.notes)
    }
}

/// Reads a file that another program may be writing: until two readings are the same.
fn read_whole(path: &Path, system: &Machine) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let read = || system.read(path, ACCOUNTS_BYTES_MAX).map(zeroize::Zeroizing::new);
    let mut before = read()?;
    for _ in 0..READINGS {
        let again = read()?;
        if again == before {
            return Ok(again);
        }
        before = again;
    }
    Err(std::io::Error::other("the file changes all the time"))
}

/// The most readings of a file that changes.
const READINGS: usize = 10;
