//! The errors of a backend, in terms of file systems; the server maps them to NTSTATUS in one place.

use std::io;

/// The result of every backend call.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a backend call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The last component does not exist (a dangling symlink included).
    #[error("no such file")]
    NotFound,
    /// A component before the last does not exist or is no directory.
    #[error("no such directory in the path")]
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
    /// The permissions deny it, the handle was not opened for this access, a symlink leads out of the share,
    /// or data access to a special file (FIFO, socket, device) was requested.
    #[error("access denied")]
    AccessDenied,
    /// No user can remove it: it is immutable, append-only, or a mount point.
    #[error("cannot be removed")]
    Undeletable,
    /// The directory still has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The symlinks form a loop, there are too many, or the share does not follow symlinks
    /// ([`crate::Backend::first_symlink`]).
    #[error("too many symbolic links")]
    Loop,
    /// The file cannot have more hard links.
    #[error("too many hard links")]
    TooManyLinks,
    /// The device or the quota is full.
    #[error("no space left")]
    NoSpace,
    /// The value is larger than the file system can store in this place, even with free space: for example, a
    /// large extended attribute, or a large stream that is stored in one.
    #[error("too large for the file system")]
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
    /// The argument is valid for no file (offset or size out of range).
    #[error("invalid argument")]
    InvalidArgument,
    /// The process or the system has no file descriptors left.
    #[error("too many open files")]
    TooManyOpen,
    /// The file system does not support the operation, or not for this kind of file.
    #[error("not supported")]
    NotSupported,
    /// Another process holds the file (a kernel lease, a running program), or its names keep changing.
    #[error("busy")]
    Busy,
    /// The name now stands for a file other than the handle's; nothing was changed.
    #[error("the name stands for another file")]
    Replaced,
    /// Another server of the cluster may own the files by now; nothing was changed.
    #[error("this server does not own the share any more")]
    Fenced,
    /// Any other error of the operating system.
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
            // EBADF: the descriptor was not opened for this access. ENXIO: a socket, or a FIFO without a
            // reader.
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
