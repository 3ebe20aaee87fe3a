//! Files in the state directory, which outlive a restart.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

/// Reads a file of the state directory. Fails with NotFound if it does not exist, and with FileTooLarge if it has more
/// than `most` bytes.
pub(crate) fn read(state_directory: &Path, name: &str, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(state_directory.join(name))?;
    if file.take(most.saturating_add(1)).read_to_string(&mut text)? as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Replaces a file of the state directory, and creates the directory if necessary. After a crash the file has either
/// the old or the new contents; when this returns, the new ones are on the disk. Only the server's user can read the
/// file.
pub(crate) fn replace(state_directory: &Path, name: &str, text: &str) -> io::Result<()> {
    replace_by(state_directory, name, || Ok(text.to_owned()))
}

/// As [`replace`], with the text that `text` returns. Of several writers, one is at work at a time, from its call of `text`
/// on: a text that describes the present state does not take the place of a later one.
pub(crate) fn replace_by(
    state_directory: &Path,
    name: &str,
    text: impl FnOnce() -> io::Result<String>,
) -> io::Result<()> {
    write(state_directory, name, text, |_| Ok(()))
}

/// As [`replace`], for a command that root runs, perhaps for a server with another user: the file belongs to the user whom
/// the directory belongs to.
pub(crate) fn replace_for_owner(state_directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let give = |file: &File| {
        if !nix::unistd::Uid::effective().is_root() {
            return Ok(());
        }
        let owner = fs::metadata(state_directory)?;
        // By the open file and not by its name: the owner of the directory can put a link to any other file there.
        fchown(file, Some(owner.uid()), Some(owner.gid()))
    };
    write(state_directory, name, || Ok(text.to_owned()), give)
}

fn write(
    state_directory: &Path,
    name: &str,
    text: impl FnOnce() -> io::Result<String>,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let writer = writer_of(state_directory.join(name));
    let _writing = writer.lock();
    let text = &text()?;
    DirBuilder::new().recursive(true).mode(0o700).create(state_directory)?;
    let unfinished = state_directory.join(format!(".{name}.new"));
    // A server that ended here may have left the file.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&unfinished, text, finish)
        .and_then(|()| fs::rename(&unfinished, state_directory.join(name)));
    if let Err(error) = written {
        if let Err(left) = fs::remove_file(&unfinished)
            && left.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(error = %left, path = %unfinished.display(), "cannot remove the temporary file of a failed write");
        }
        return Err(error);
    }
    File::open(state_directory)?.sync_all()
}

/// The lock of the writers of a file, which also have the name of the unfinished file for themselves.
fn writer_of(path: PathBuf) -> Arc<Mutex<()>> {
    // The server has a few such files.
    static WRITERS: LazyLock<Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>> = LazyLock::new(Mutex::default);
    Arc::clone(WRITERS.lock().entry(path).or_default())
}

fn write_new(path: &Path, text: &str, finish: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    finish(&file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn file_is_replaced_atomically_and_private() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("state");
        assert_eq!(read(&directory, "f", 10).unwrap_err().kind(), io::ErrorKind::NotFound);
        replace(&directory, "f", "one").unwrap();
        fs::write(directory.join(".f.new"), "left over").unwrap();
        replace(&directory, "f", "two").unwrap();
        assert_eq!(read(&directory, "f", 3).unwrap(), "two");
        assert_eq!(read(&directory, "f", 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join("f"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        // A file that cannot be replaced stays, and no temporary file is left.
        fs::create_dir_all(directory.join("g/full")).unwrap();
        replace(&directory, "g", "text").unwrap_err();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }

    /// The owner of the directory waits for the file and puts a link in its place, which must not be followed.
    #[test]
    fn another_file_never_gets_the_owner_of_the_directory() {
        use std::os::unix::fs::{MetadataExt as _, chown, symlink};
        use std::sync::atomic::{AtomicBool, Ordering};
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let (directory, victim) = (scratch.path().join("state"), scratch.path().join("victim"));
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(12_345), Some(12_346)).unwrap();
        fs::write(&victim, "of root").unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let link = directory.join("link");
                while !is_over.load(Ordering::Relaxed) {
                    // Both may fail while the other side is at work.
                    let _ = symlink(&victim, &link);
                    let _ = fs::rename(&link, directory.join("f"));
                }
            });
            for _ in 0..200 {
                replace_for_owner(&directory, "f", "secret").unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
        replace_for_owner(&directory, "f", "secret").unwrap();
        let file = fs::symlink_metadata(directory.join("f")).unwrap();
        assert_eq!((file.uid(), file.gid(), file.is_file()), (12_345, 12_346, true));
    }

    #[test]
    fn writers_of_one_file_take_turns() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let scratch = tempfile::tempdir().unwrap();
        let latest = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let text = || Ok(latest.fetch_add(1, Ordering::Relaxed).to_string());
                        replace_by(scratch.path(), "f", text).unwrap();
                    }
                });
            }
        });
        assert_eq!(read(scratch.path(), "f", 10).unwrap(), "159");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
