//! The configuration file and the users file of `serve`, `check` and `user`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use auth::UserDb;
use auth::users::LoadError;
use server::config::{self, Places, Settings, Source};

use crate::cli::{Switch, Takes};
use crate::failure::Failure;

/// `--config FILE`.
pub(crate) const CONFIG: Switch = Switch::own("CONFIG", Takes::Value);

/// The path of the configuration file: the named one or the default.
pub(crate) fn config_path(named: Option<&str>) -> PathBuf {
    named.map_or_else(|| places().config.join("shareward.toml"), PathBuf::from)
}

/// The default places of this process.
pub(crate) fn places() -> Places {
    Places::conventional(is_root(), environment)
}

/// The settings that apply if the configuration file does not set them.
pub(crate) fn defaults() -> Settings {
    Settings::conventional(is_root(), environment)
}

/// True if this process runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads a configuration file. Errors name file, line and column, one per line.
pub(crate) fn read(path: &Path) -> Result<Settings, Failure> {
    let source = Source::read(path).map_err(|error| unreadable(path, &error))?;
    let settings = config::parse(&source.text, &source.base(), defaults()).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(|error| format!("{}:{error}", path.display())).collect();
        Failure::Plain(lines.join("\n"))
    })?;
    Ok(Settings { source: Some(source), ..settings })
}

/// Reads a users file; a missing file has no users. The second value is a warning about its content.
pub(crate) fn users(path: &Path) -> Result<(UserDb, Option<String>), Failure> {
    match UserDb::load(path) {
        Ok((users, warning)) => Ok((users, warning.map(|warning| format!("{}: {warning}", path.display())))),
        Err(LoadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok((UserDb::default(), None))
        }
        Err(error) => Err(Failure::Plain(error.to_string())),
    }
}

/// True if a Unix account of this name exists. An account that the system cannot look up counts as missing.
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

/// The configuration that packages install, in which almost everything is a comment.
pub(crate) const PACKAGED: &[u8] = include_bytes!("../../../packaging/shareward.toml");

/// True for the configuration that a package of this or another version has installed, as long as nobody has set anything
/// in it: versions differ in the comments.
pub(crate) fn is_packaged(config: &[u8]) -> bool {
    fn settings(config: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lines = config.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
    }
    settings(config).eq(settings(PACKAGED))
}

/// Creates a directory that does not exist, with its parents.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    let made = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| DirBuilder::new().mode(mode).create(path));
    made.map_err(|error| Failure::Plain(format!("cannot create {}: {error}", path.display())))
}

/// Replaces a file: after a crash it has the old or the new content.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let unfinished = directory.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(directory)?.sync_all()
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
