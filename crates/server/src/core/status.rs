//! The NTSTATUS codes for errors of other parts of the server: one `match` for each kind of error, without `_`.

use registry::{IoRefused, LimitReached, TreeConnectError};
use wire::NtStatus;

/// Turns errors of the backend into the statuses for clients.
pub(crate) trait OrStatus<T> {
    /// Returns the value, or [`of_vfs`] of the error.
    fn or_status(self) -> Result<T, NtStatus>;
}

impl<T> OrStatus<T> for vfs::Result<T> {
    fn or_status(self) -> Result<T, NtStatus> {
        self.map_err(|error| of_vfs(&error))
    }
}

/// The status of a backend's error (MS-FSA 2.1.5; MS-ERREF 2.3).
pub(crate) fn of_vfs(error: &vfs::Error) -> NtStatus {
    use vfs::Error;
    match error {
        Error::NotFound => NtStatus::OBJECT_NAME_NOT_FOUND,
        Error::PathNotFound => NtStatus::OBJECT_PATH_NOT_FOUND,
        Error::NotADirectory => NtStatus::NOT_A_DIRECTORY,
        Error::IsADirectory => NtStatus::FILE_IS_A_DIRECTORY,
        Error::Exists => NtStatus::OBJECT_NAME_COLLISION,
        Error::AccessDenied => NtStatus::ACCESS_DENIED,
        Error::Undeletable => NtStatus::CANNOT_DELETE,
        Error::NotEmpty => NtStatus::DIRECTORY_NOT_EMPTY,
        Error::Loop => NtStatus::OBJECT_PATH_NOT_FOUND,
        Error::TooManyLinks => NtStatus::TOO_MANY_LINKS,
        Error::NoSpace => NtStatus::DISK_FULL,
        Error::Limitation => NtStatus::FILE_SYSTEM_LIMITATION,
        Error::ReadOnly => NtStatus::MEDIA_WRITE_PROTECTED,
        Error::CrossDevice => NtStatus::NOT_SAME_DEVICE,
        Error::InvalidName => NtStatus::OBJECT_NAME_INVALID,
        Error::InvalidArgument => NtStatus::INVALID_PARAMETER,
        Error::TooManyOpen => NtStatus::TOO_MANY_OPENED_FILES,
        Error::NotSupported => NtStatus::NOT_SUPPORTED,
        Error::Busy => NtStatus::SHARING_VIOLATION,
        Error::Replaced => NtStatus::OBJECT_NAME_NOT_FOUND,
        // The client connects to the share again, and finds its owner.
        Error::Fenced => NtStatus::NETWORK_NAME_DELETED,
        Error::Io(error) => {
            tracing::warn!(%error, "the file system failed; a client gets STATUS_UNEXPECTED_IO_ERROR");
            NtStatus::UNEXPECTED_IO_ERROR
        }
    }
}

/// The status of a limit. The client may try again later.
pub(crate) fn of_limit(limit: LimitReached) -> NtStatus {
    match limit {
        LimitReached::Connections
        | LimitReached::Sessions
        | LimitReached::SessionsPerConnection
        | LimitReached::ChannelsPerSession
        | LimitReached::TreesPerSession
        | LimitReached::TreesPerConnection
        | LimitReached::Trees
        | LimitReached::LocksPerOpen
        | LimitReached::LocksPerFile
        | LimitReached::WaitingLocksPerFile
        | LimitReached::WaitingPerConnection
        | LimitReached::Shares => NtStatus::INSUFFICIENT_RESOURCES,
        LimitReached::Opens | LimitReached::OpensPerSession => NtStatus::TOO_MANY_OPENED_FILES,
    }
}

/// The status of a refused tree connect (MS-SMB2 3.3.5.7).
pub(crate) fn of_tree_refusal(error: TreeConnectError) -> NtStatus {
    match error {
        TreeConnectError::SessionGone => NtStatus::USER_SESSION_DELETED,
        TreeConnectError::NoSuchShare => NtStatus::BAD_NETWORK_NAME,
        TreeConnectError::ShareFull => NtStatus::REQUEST_NOT_ACCEPTED,
        TreeConnectError::LimitReached(limit) => of_limit(limit),
    }
}

/// The status of a READ or WRITE that conflicts with a byte-range lock (MS-FSA 2.1.5.3).
pub(crate) fn of_io_refusal(IoRefused { .. }: IoRefused) -> NtStatus {
    NtStatus::FILE_LOCK_CONFLICT
}
