//! The files that an import writes.

use std::path::{Path, PathBuf};
use std::{fs, io};

use auth::UserDb;
use auth::users::UpdateError;
use import::translate::{Places, Translation};
use import::users::{Merged, merge, user_sids};

use super::Found;
use super::machine::Machine;
use crate::failure::Failure;
use crate::setup;

/// The places of the files.
pub(super) struct Targets {
    directory: PathBuf,
    config: PathBuf,
    pub(super) users: PathBuf,
    state: PathBuf,
    /// The settings that name these places in the configuration.
    pub(super) places: Places,
}

impl Targets {
    /// The places below `output`, or those of the server.
    pub(super) fn of(output: Option<&Path>) -> Self {
        match output {
            Some(directory) => Self {
                directory: directory.to_owned(),
                config: directory.join("shareward.toml"),
                users: directory.join("users"),
                state: directory.join("state"),
                places: Places {
                    users_file: Some(String::from("users")),
                    state_dir: Some(String::from("state")),
                },
            },
            None => {
                let (places, defaults) = (setup::places(), setup::defaults());
                Self {
                    config: places.config.join("shareward.toml"),
                    directory: places.config,
                    users: defaults.users_file,
                    state: defaults.state_directory,
                    places: Places::default(),
                }
            }
        }
    }
}

/// The files that were written, and the accounts.
pub(super) struct Written {
    pub(super) files: Vec<PathBuf>,
    pub(super) config: PathBuf,
    pub(super) users: Merged,
}

/// Writes everything, or nothing if something exists already. `force` replaces the configuration and the SIDs.
pub(super) fn write(
    translation: &Translation,
    found: &Found,
    targets: &Targets,
    force: bool,
    system: &Machine,
) -> Result<Written, Failure> {
    let defaults = setup::defaults();
    // The parser of the server has the last word about what is written.
    if let Err(errors) = server::config::parse(&translation.toml, &targets.directory, defaults) {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Failure::Plain(format!(
            "the server would not accept the translation, so nothing was written; this is a fault of the import:\n{}",
            errors.join("\n")
        )));
    }
    let sids = found.sid.map(|sid| (format!("{sid}\n"), user_sids(&found.accounts, sid)));
    let mut files = vec![(targets.config.clone(), translation.toml.clone(), 0o644)];
    if let Some((machine, users)) = sids {
        files.push((targets.state.join("machine-sid"), machine, 0o600));
        if !users.is_empty() {
            files.push((targets.state.join("user-sids"), users, 0o600));
        }
    }
    let differs = |path: &Path, text: &str| match fs::read(path) {
        // Nobody has changed the configuration that a package installs.
        Ok(bytes) => bytes != text.as_bytes() && !(path == targets.config && setup::is_packaged(&bytes)),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    let existing: Vec<String> = files
        .iter()
        .filter(|(path, text, _)| !force && differs(path, text))
        .map(|(path, ..)| format!("{} exists already", path.display()))
        .collect();
    if !existing.is_empty() {
        return Err(Failure::Plain(format!(
            "{}; nothing was written\n\nhint: --force replaces it; --output DIR writes elsewhere",
            existing.join("\n")
        )));
    }
    setup::make_directory(&targets.directory, 0o750)?;
    setup::make_directory(&targets.state, 0o700)?;
    let users = write_users(found, &targets.users, system)?;
    let mut written = Vec::new();
    if !users.added.is_empty() {
        written.push(targets.users.clone());
    }
    for (path, text, mode) in files {
        setup::replace(&path, &text, mode)
            .map_err(|error| Failure::Plain(format!("cannot write {}: {error}", path.display())))?;
        written.push(path);
    }
    Ok(Written { files: written, config: targets.config.clone(), users })
}

/// Adds the accounts to the users file, under its lock.
fn write_users(found: &Found, path: &Path, system: &Machine) -> Result<Merged, Failure> {
    let plain = |error: String| Failure::Plain(format!("{}: {error}", path.display()));
    let merged = merge(&found.existing.to_text(), &found.accounts, system);
    let mut merged = merged.map_err(|error| plain(error.to_string()))?;
    if merged.added.is_empty() {
        return Ok(merged);
    }
    UserDb::update(path, |users| {
        // The file may have changed since it was read.
        let again = merge(&users.to_text(), &found.accounts, system)?;
        *users = UserDb::parse(&again.text)?;
        merged = again;
        Ok::<_, auth::users::ParseError>(())
    })
    .map_err(|error| match error {
        UpdateError::Refused(error) => plain(error.to_string()),
        UpdateError::Load(error) => Failure::Plain(error.to_string()),
        UpdateError::Lock(error) => Failure::Plain(format!("cannot lock {}: {error}", path.display())),
        UpdateError::Save(error) => Failure::Plain(format!("cannot write {}: {error}", path.display())),
    })?;
    Ok(merged)
}
