//! The socket in the file system.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The socket's name, which goes when this is dropped, unless another socket has taken it.
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|it| (it.dev(), it.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the control socket was not removed");
        }
    }
}

/// Listens on a new socket that everybody can connect to: who is at the other end decides what they
/// may. A socket that nobody listens on any more is replaced.
pub(super) fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    let metadata = fs::symlink_metadata(path)?;
    Ok((listener, SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) }))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server is running")),
    }
}

/// Everybody finds the socket, and only the server makes one.
const DIRECTORY_MODE: u32 = 0o755;

/// Connecting takes the right to write.
const SOCKET_MODE: u32 = 0o666;

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("shareward-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    #[tokio::test]
    async fn a_socket_comes_and_goes_with_its_server() {
        let directory = directory("socket");
        let path = directory.join("run").join("control.sock");
        let (first, file) = listen(&path).unwrap();
        assert_eq!(listen(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        drop(first);
        let (second, replacing) = listen(&path).unwrap();
        drop(file);
        assert!(path.exists(), "the name belongs to the second socket");
        drop((second, replacing));
        assert!(!path.exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn a_file_is_not_replaced() {
        let directory = directory("file");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
        assert!(path.exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
