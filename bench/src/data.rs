//! The directory tree that both servers share: the same bytes every time.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

/// Bytes of each large file: small enough to stay in the page cache, large enough that no processor's does.
pub(crate) const LARGE_BYTES: u64 = 64 << 20;

/// The distance between the stamps in a large file, which contain their own position.
pub(crate) const STAMP_EVERY: u64 = 4096;

/// Small files, and their bytes.
pub(crate) const SMALL_FILES: usize = 2000;
pub(crate) const SMALL_BYTES: u32 = 4096;

/// Entries of the large directory.
pub(crate) const MANY_FILES: usize = 10_000;

/// Creates the tree below `parent`, accessible to all users: the servers run as different users.
pub(crate) fn make(parent: &Path, connections: usize) -> std::io::Result<TempDir> {
    let root = tempfile::Builder::new().prefix("shareward-bench.").tempdir_in(parent)?;
    open_to_all(root.path(), 0o777)?;
    for directory in ["small", "many", "new", FOLDER, STUCK_DIRECTORY] {
        fs::create_dir(root.path().join(directory))?;
        open_to_all(&root.path().join(directory), 0o777)?;
    }
    for index in 0..connections {
        for name in [read_name(index), write_name(index)] {
            large(&root.path().join(name))?;
        }
    }
    let content = small_content();
    small_files(&root.path().join("small"))?;
    for index in 0..MANY_FILES {
        let path = root.path().join("many").join(many_leaf(index));
        File::create(&path)?;
        open_to_all(&path, 0o666)?;
    }
    for index in 0..FOLDER_FILES {
        let path = root.path().join(FOLDER).join(folder_leaf(index));
        fs::write(&path, &content)?;
        open_to_all(&path, 0o666)?;
    }
    let lease = root.path().join(LEASE_NAME);
    File::create(&lease)?;
    open_to_all(&lease, 0o666)?;
    Ok(root)
}

/// Makes the small files in a directory.
pub(crate) fn small_files(directory: &Path) -> std::io::Result<()> {
    let content = small_content();
    for index in 0..SMALL_FILES {
        let path = directory.join(small_leaf(index));
        fs::write(&path, &content)?;
        open_to_all(&path, 0o666)?;
    }
    Ok(())
}

fn small_content() -> Vec<u8> {
    (0..SMALL_BYTES).map(|byte| byte.to_le_bytes()[0]).collect()
}

/// The directory that Explorer opens, and its files.
pub(crate) const FOLDER: &str = "folder";
pub(crate) const FOLDER_FILES: usize = 200;

/// A file of the directory that Explorer opens.
pub(crate) fn folder_leaf(index: usize) -> String {
    format!("A report of the year {index:03}.docx")
}

/// The directory on which a file system that hangs is mounted, and a file there.
pub(crate) const STUCK_DIRECTORY: &str = "stuck";
pub(crate) const STUCK_NAME: &str = r"stuck\file";
pub(crate) const STUCK_LEAF: &str = "file";

/// The file that leases are broken on.
pub(crate) const LEASE_NAME: &str = "lease";

/// The file that the connection of this index reads.
pub(crate) fn read_name(index: usize) -> String {
    format!("read-{index}")
}

/// The file that the connection of this index writes.
pub(crate) fn write_name(index: usize) -> String {
    format!("write-{index}")
}

/// A small file.
pub(crate) fn small_name(index: usize) -> String {
    format!(r"small\{}", small_leaf(index % SMALL_FILES))
}

/// A file that a worker creates.
pub(crate) fn new_name(worker: usize, number: u32) -> String {
    format!(r"new\{worker}-{number}")
}

/// Takes the files that workers have created out of the way, until the tree is removed. For some seconds after a removal,
/// ext4 searches for an inode that was not removed just now, which would cost the next load more than the server does.
pub(crate) fn set_aside_new(root: &Path) -> std::io::Result<()> {
    let aside = (0_u32..).map(|number| root.join(format!("aside-{number}"))).find(|it| !it.exists());
    let new = root.join("new");
    fs::rename(&new, aside.ok_or(std::io::ErrorKind::AlreadyExists)?)?;
    fs::create_dir(&new)?;
    open_to_all(&new, 0o777)
}

/// Removes the files that workers have created.
pub(crate) fn remove_new(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join("new"))? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// A file of the large directory.
pub(crate) fn many_name(index: usize) -> String {
    format!(r"many\{}", many_leaf(index % MANY_FILES))
}

/// True if data that was read at `offset` begins with the right stamp.
pub(crate) fn is_stamped(data: &[u8], offset: u64) -> bool {
    data.first_chunk().is_some_and(|stamp| u64::from_le_bytes(*stamp) == offset)
}

fn small_leaf(index: usize) -> String {
    format!("small-{index:05}.dat")
}

fn many_leaf(index: usize) -> String {
    format!("{MANY_STEM}{index:05}.txt")
}

/// The beginning of the names in the large directory.
pub(crate) const MANY_STEM: &str = "an ordinary name ";

fn large(path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let filler = [0x5a; STAMP_EVERY as usize - 8];
    for offset in (0..LARGE_BYTES).step_by(STAMP_EVERY as usize) {
        file.write_all(&offset.to_le_bytes())?;
        file.write_all(&filler)?;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?;
    open_to_all(path, 0o666)
}

pub(crate) fn open_to_all(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}
