//! What can go wrong in a backend, in file system terms; the server maps it to NTSTATUS in one place.

use std::io;

/// The result of every backend call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a backend call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The last component does not exist (a dangling symlink included).
    #[error("no such file")]
    NotFound,
    /// A component before the last does not exist or is no directory.
    #[error("no such directory on the way")]
    PathNotFound,
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// A file with data was needed.
    #[error("is a directory")]
    IsADirectory,
    /// The name is taken.
    #[error("the name exists")]
    Exists,
    /// The actor may not, or the handle was not opened for it, or a symlink leads out of the share, or the
    /// name is a special file (FIFO, socket, device) and data access was wanted.
    #[error("access denied")]
    AccessDenied,
    /// Nobody can remove it: it is immutable, only to be appended to, or what a file system is mounted on.
    #[error("cannot be removed")]
    Undeletable,
    /// The directory still has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// Symlinks turn in a circle, there are too many of them, or the share leaves them to its clients
    /// ([`crate::Backend::first_symlink`]).
    #[error("too many symbolic links")]
    Loop,
    /// The file cannot have more hard links.
    #[error("too many hard links")]
    TooManyLinks,
    /// The device or the quota is full.
    #[error("no space left")]
    NoSpace,
    /// The file system has no place for that much, however much room there is: an extended attribute, or a stream that is
    /// kept in one, that is too large for it.
    #[error("more than the file system can keep there")]
    Limitation,
    /// The file system is mounted read-only.
    #[error("the file system is read-only")]
    ReadOnly,
    /// The two names lie on different file systems below the share.
    #[error("not on the same file system")]
    CrossDevice,
    /// The name cannot exist here: empty, `.` or `..`, forbidden characters, too long.
    #[error("invalid name")]
    InvalidName,
    /// An argument no file can have (offset or size out of range).
    #[error("invalid argument")]
    InvalidArgument,
    /// The process or the system has no file descriptors left.
    #[error("too many open files")]
    TooManyOpen,
    /// The file system, or this kind of file, cannot do it.
    #[error("not supported")]
    NotSupported,
    /// Somebody outside holds it (a kernel lease, a running program), or names keep changing underfoot.
    #[error("busy")]
    Busy,
    /// The name no longer stands for the file of the handle; nothing was changed.
    #[error("the name stands for another file")]
    Replaced,
    /// Anything else the operating system said.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(errno) = rustix::io::Errno::from_io_error(&error) {
            return errno.into();
        }
        Self::Io(error)
    }
}

#[cfg(target_os = "linux")]
impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::ISDIR => Self::IsADirectory,
            Errno::EXIST => Self::Exists,
            // EBADF: the descriptor was not opened for this access. ENXIO: a socket, or a FIFO nobody reads.
            Errno::ACCESS | Errno::PERM | Errno::BADF | Errno::NXIO | Errno::NODEV => Self::AccessDenied,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::LOOP => Self::Loop,
            Errno::MLINK => Self::TooManyLinks,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::ROFS => Self::ReadOnly,
            Errno::XDEV => Self::CrossDevice,
            Errno::NAMETOOLONG | Errno::ILSEQ => Self::InvalidName,
            Errno::INVAL | Errno::FBIG | Errno::OVERFLOW | Errno::RANGE => Self::InvalidArgument,
            Errno::MFILE | Errno::NFILE => Self::TooManyOpen,
            Errno::OPNOTSUPP | Errno::NOSYS => Self::NotSupported,
            Errno::BUSY | Errno::TXTBSY | Errno::AGAIN | Errno::INPROGRESS => Self::Busy,
            other => Self::Io(other.into()),
        }
    }
}
