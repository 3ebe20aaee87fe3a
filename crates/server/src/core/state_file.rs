//! Files of the state directory: what outlives a restart.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Reads a file of the state directory; NotFound where there is none, FileTooLarge where it has more than `most`
/// bytes.
pub(crate) fn read(state_directory: &Path, name: &str, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(state_directory.join(name))?;
    if file.take(most.saturating_add(1)).read_to_string(&mut text)? as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Replaces a file of the state directory, which is made where it is not there. Whenever the machine stops, the file
/// is as it was or as it is to be; when this returns, it is on the disk. Nobody but the server's user can read it.
pub(crate) fn replace(state_directory: &Path, name: &str, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_directory)?;
    let unfinished = state_directory.join(format!(".{name}.new"));
    // Left over from a server that ended here.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written =
        write_new(&unfinished, text).and_then(|()| fs::rename(&unfinished, state_directory.join(name)));
    if let Err(error) = written {
        if let Err(left) = fs::remove_file(&unfinished)
            && left.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(error = %left, path = %unfinished.display(), "an unfinished file is left");
        }
        return Err(error);
    }
    File::open(state_directory)?.sync_all()
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_nobody_elses() {
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
        // What cannot be replaced stays, and nothing is left beside it.
        fs::create_dir_all(directory.join("g/full")).unwrap();
        replace(&directory, "g", "text").unwrap_err();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }
}
