//! The file that the settings came from.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration file, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it said.
    pub text: Arc<str>,
}

/// Why the file was not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// It says something else than when the server read it.
    #[error("it was edited since the server read it")]
    Edited,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Source {
    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), text: read_text(path)?.into() })
    }

    /// The directory that relative paths in it begin at.
    pub fn base(&self) -> PathBuf {
        let absolute = std::path::absolute(&self.path).ok();
        absolute.and_then(|path| path.parent().map(Path::to_path_buf)).unwrap_or_default()
    }

    /// Refuses where the file is not what it was.
    pub(crate) fn check(&self) -> Result<(), ReplaceError> {
        if read_text(&self.path)? == *self.text { Ok(()) } else { Err(ReplaceError::Edited) }
    }

    /// Replaces the file by `text`: a reader finds the old or the new one, whole, whatever happens
    /// meanwhile. The new one has the permission bits of the old, and its owner where the server may give
    /// files away.
    pub(crate) fn replace(&self, text: &str) -> Result<Self, ReplaceError> {
        // A symbolic link stays one: what it points to is replaced.
        let target = fs::canonicalize(&self.path)?;
        let directory = target.parent().ok_or_else(unnamed)?;
        let name = target.file_name().ok_or_else(unnamed)?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.new", std::process::id()));
        let temporary = directory.join(temporary);
        let written = self.write_new(&temporary, &target, text).and_then(|()| {
            // As late as can be: whoever saves the file between this and the next line loses.
            self.check()?;
            Ok(fs::rename(&temporary, &target)?)
        });
        if written.is_err()
            && let Err(error) = fs::remove_file(&temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %temporary.display(), "an unfinished configuration file stays");
        }
        written?;
        File::open(directory)?.sync_all()?;
        Ok(Self { path: self.path.clone(), text: text.into() })
    }

    fn write_new(&self, temporary: &Path, target: &Path, text: &str) -> Result<(), ReplaceError> {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
        // Left over from a process of the same id that died here.
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let before = fs::metadata(target)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            // Who may write the directory and is not root may replace the file, and not give it away.
            if let Err(error) = fchown(&file, Some(before.uid()), Some(before.gid())) {
                tracing::warn!(%error, path = %target.display(), "the configuration file gets another owner");
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
        return Err(io::Error::other("the file is larger than any configuration"));
    }
    Ok(text)
}

/// Bytes of the largest configuration: 16,384 shares, the registry's bound, with a kibibyte for each.
const MAX_FILE: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_bits_and_not_where_it_was_edited() {
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
