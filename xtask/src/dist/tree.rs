//! Directories of files, laid out for an archive or a package.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::shell;

/// A directory that becomes the root of an archive or a package.
pub(crate) struct Tree(PathBuf);

impl Tree {
    /// An empty directory.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        if root.exists() {
            fs::remove_dir_all(root)?;
        }
        fs::create_dir_all(root)?;
        fs::set_permissions(root, Permissions::from_mode(0o755))?;
        Ok(Self(root.to_owned()))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The place of a file, with its directories, which everybody may read.
    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let mut place = self.0.clone();
        let path = Path::new(path);
        for part in path.parent().into_iter().flat_map(Path::components) {
            place.push(part);
            if !place.exists() {
                fs::create_dir(&place)?;
                fs::set_permissions(&place, Permissions::from_mode(0o755))?;
            }
        }
        Ok(place.join(path.file_name().unwrap_or_default()))
    }

    /// Creates a directory.
    pub(crate) fn directory(&self, path: &str, mode: u32) -> io::Result<()> {
        let place = self.place(path)?;
        fs::create_dir(&place)?;
        fs::set_permissions(place, Permissions::from_mode(mode))
    }

    /// Creates a file with this content.
    pub(crate) fn write(&self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let place = self.place(path)?;
        fs::write(&place, content)?;
        fs::set_permissions(place, Permissions::from_mode(mode))
    }

    /// Creates a compressed file, always the same one from the same content.
    pub(crate) fn write_compressed(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let mut gzip = shell::command("gzip", &["-9", "--no-name"]);
        let mut child = gzip.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // gzip reads everything before it writes so little.
        let mut input = child.stdin.take().ok_or_else(|| io::Error::other("gzip has no input"))?;
        let content = content.to_owned();
        let writer = std::thread::spawn(move || input.write_all(&content));
        let output = child.wait_with_output()?;
        writer.join().map_err(|_| io::Error::other("cannot write to gzip"))??;
        if !output.status.success() {
            return Err(io::Error::other(format!("gzip failed: {}", output.status)));
        }
        self.write(path, &output.stdout, 0o644)
    }

    /// Copies a file.
    pub(crate) fn copy(&self, from: &Path, path: &str, mode: u32) -> io::Result<()> {
        let content = fs::read(from)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", from.display())))?;
        self.write(path, &content, mode)
    }

    /// Copies a directory with all its files, or one file.
    pub(crate) fn copy_all(&self, from: &Path, path: &str) -> io::Result<()> {
        if !from.is_dir() {
            return self.copy(from, path, 0o644);
        }
        let mut entries: Vec<_> = fs::read_dir(from)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            self.copy_all(&entry.path(), &format!("{path}/{}", name.to_string_lossy()))?;
        }
        Ok(())
    }

    /// Creates a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        symlink(target, self.place(path)?)
    }

    /// The files and links below the root, relative to it, sorted.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![self.0.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                } else if let Ok(path) = entry.path().strip_prefix(&self.0) {
                    found.push(path.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}
