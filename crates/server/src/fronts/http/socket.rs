//! The socket in the file system.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket with a listener, and its name. The name is dropped first: as long as there is a listener, no other server
/// takes the name.
pub(super) struct Socket {
    _name: SocketName,
    pub(super) listener: tokio::net::UnixListener,
}

/// A [`Socket`] that belongs to no runtime yet.
pub(crate) struct BoundSocket {
    name: SocketName,
    listener: UnixListener,
}

impl BoundSocket {
    /// The socket on the current runtime.
    pub(super) fn start(self) -> io::Result<Socket> {
        Ok(Socket { listener: tokio::net::UnixListener::from_std(self.listener)?, _name: self.name })
    }
}

/// The name of a socket, which is removed when this is dropped.
struct SocketName(PathBuf);

impl Drop for SocketName {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "cannot remove the control socket");
        }
    }
}

/// Listens on a new socket that every user can connect to; their rights depend on their user ids. A socket without a
/// listener is replaced.
pub(crate) fn listen(path: &Path) -> io::Result<BoundSocket> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    let socket = BoundSocket { name: SocketName(path.to_owned()), listener };
    socket.listener.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(socket)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the path is a file that is not a socket",
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server is running")),
    }
}

/// Every user can reach the socket, and only the server can create one.
const DIRECTORY_MODE: u32 = 0o755;

/// A connection requires write permission.
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
    async fn socket_is_removed_with_its_server_and_stale_ones_are_replaced() {
        let directory = directory("socket");
        let path = directory.join("run").join("control.sock");
        let first = listen(&path).unwrap();
        assert_eq!(listen(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the socket is stale");
        drop(listen(&path).unwrap());
        assert!(!path.exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn regular_file_is_not_replaced() {
        let directory = directory("file");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
        assert!(path.exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
