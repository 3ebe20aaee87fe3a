//! The configuration file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration file, as it was when the server read it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path of the file.
    pub path: PathBuf,
    /// The contents of the file.
    pub text: Arc<str>,
}

/// The reason for not replacing the file.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The file was changed after the server read it.
    #[error("it was edited after the server had read it")]
    Edited,
    /// An error of the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Source {
    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), text: read_text(path)?.into() })
    }

    /// The directory that relative paths in the file begin at.
    pub fn base(&self) -> PathBuf {
        let absolute = std::path::absolute(&self.path).ok();
        absolute.and_then(|path| path.parent().map(Path::to_path_buf)).unwrap_or_default()
    }

    /// Fails if the file was changed since it was read.
    pub(crate) fn check(&self) -> Result<(), ReplaceError> {
        if read_text(&self.path)? == *self.text { Ok(()) } else { Err(ReplaceError::Edited) }
    }

    /// Replaces the file by `text`. A reader finds either the old or the new file as a whole, even after a crash. The
    /// new file has the permission bits of the old one, and its owner if the server may change owners.
    pub fn replace(&self, text: &str) -> Result<Self, ReplaceError> {
        // If the path is a symbolic link, its target is replaced.
        let target = fs::canonicalize(&self.path)?;
        let directory = target.parent().ok_or_else(unnamed)?;
        let name = target.file_name().ok_or_else(unnamed)?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.new", std::process::id()));
        let temporary = directory.join(temporary);
        let written = self.write_new(&temporary, &target, text).and_then(|()| {
            // This check comes as late as possible: an edit between this and the next line is lost.
            self.check()?;
            Ok(fs::rename(&temporary, &target)?)
        });
        if written.is_err()
            && let Err(error) = fs::remove_file(&temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %temporary.display(), "cannot remove the temporary file of a failed change");
        }
        written?;
        File::open(directory)?.sync_all()?;
        Ok(Self { path: self.path.clone(), text: text.into() })
    }

    fn write_new(&self, temporary: &Path, target: &Path, text: &str) -> Result<(), ReplaceError> {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
        // Another process with the same id may have crashed here and left the file.
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let before = fs::metadata(target)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            // A user that is not root may replace files in its directory, but not change their owner.
            if let Err(error) = fchown(&file, Some(before.uid()), Some(before.gid())) {
                tracing::warn!(%error, path = %target.display(), "cannot keep the owner of the configuration file");
            }
        }
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(before.mode() & 0o7777))?;
        file.sync_all()?;
        Ok(())
    }
}

fn unnamed() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other("the file is too large for a configuration"));
    }
    Ok(text)
}

/// The maximal size of a configuration: 16,384 shares, the registry's limit, with a kibibyte for each.
const MAX_FILE: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replace_keeps_permission_bits_and_refuses_edited_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shareward.toml");
        let link = directory.path().join("link.toml");
        fs::write(&path, "a = 1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let source = Source::read(&link).unwrap();

        let next = source.replace("a = 2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a = 2\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        assert!(matches!(source.replace("a = 3\n"), Err(ReplaceError::Edited)));
        fs::write(&path, "a = 4\n").unwrap();
        assert!(matches!(next.replace("a = 3\n"), Err(ReplaceError::Edited)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a = 4\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
