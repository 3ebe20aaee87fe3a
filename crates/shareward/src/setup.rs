//! The configuration file and the users file, as `serve`, `check` and `user` find them.

use std::io;
use std::path::{Path, PathBuf};

use auth::UserDb;
use auth::users::LoadError;
use server::config::{self, Places, Settings, Source};

use crate::cli::{Switch, Takes};
use crate::failure::Failure;

/// `--config FILE`.
pub(crate) const CONFIG: Switch = Switch::own("CONFIG", Takes::Value);

/// The configuration file: the one named, or the conventional one.
pub(crate) fn config_path(named: Option<&str>) -> PathBuf {
    named.map_or_else(|| places().config.join("shareward.toml"), PathBuf::from)
}

/// The conventional places of this process.
pub(crate) fn places() -> Places {
    Places::conventional(is_root(), environment)
}

/// The settings that a file says nothing about.
pub(crate) fn defaults() -> Settings {
    Settings::conventional(is_root(), environment)
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads a configuration file. Errors name the file, line and column, one to a line.
pub(crate) fn read(path: &Path) -> Result<Settings, Failure> {
    let source = Source::read(path).map_err(|error| unreadable(path, &error))?;
    let settings = config::parse(&source.text, &source.base(), defaults()).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(|error| format!("{}:{error}", path.display())).collect();
        Failure::Plain(lines.join("\n"))
    })?;
    Ok(Settings { source: Some(source), ..settings })
}

/// Reads a users file; one that is not there has no users. What is doubtful about it comes as a
/// text of its own.
pub(crate) fn users(path: &Path) -> Result<(UserDb, Option<String>), Failure> {
    match UserDb::load(path) {
        Ok((users, warning)) => Ok((users, warning.map(|warning| format!("{}: {warning}", path.display())))),
        Err(LoadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok((UserDb::default(), None))
        }
        Err(error) => Err(Failure::Plain(error.to_string())),
    }
}

/// Whether there is a Unix account of this name; one that the system cannot tell of counts as none.
pub(crate) fn has_unix_account(name: &str) -> bool {
    matches!(nix::unistd::User::from_name(name), Ok(Some(_)))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let mut text = format!("cannot read {}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        text.push_str("\n\nhint: `shareward serve DIR` shares a directory without a configuration file");
    }
    Failure::Plain(text)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
