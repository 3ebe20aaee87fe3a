//! The errors of calls, by the status of the server.

use client::ErrorKind;
use client::smb::Error;
use fuser::Errno;
use wire::NtStatus;

/// The error for a failed exchange. Failures of the connection are EIO.
pub(crate) fn of(error: &Error) -> Errno {
    match error {
        Error::Status(status, _) | Error::TicketRefused(status, _) => of_status(*status),
        // The errors that Linux' own client has for them.
        Error::Ticket(error) if error.kind() == ErrorKind::NoTicket => of_system(rustix::io::Errno::NOKEY),
        Error::Ticket(error) if error.kind() == ErrorKind::Expired => {
            of_system(rustix::io::Errno::KEYEXPIRED)
        }
        Error::SessionExpired => of_system(rustix::io::Errno::KEYEXPIRED),
        Error::Ticket(_) | Error::NoKerberos => Errno::EACCES,
        _ => Errno::EIO,
    }
}

fn of_system(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

/// The error for a status of the server.
pub(crate) fn of_status(status: NtStatus) -> Errno {
    let found = TABLE.iter().find(|(known, _)| *known == status);
    found.map_or(Errno::EIO, |(_, errno)| *errno)
}

/// True if the server no longer knows the session or the share; a new logon may help.
pub(crate) fn is_session_lost(status: NtStatus) -> bool {
    matches!(
        status,
        NtStatus::USER_SESSION_DELETED
            | NtStatus::NETWORK_SESSION_EXPIRED
            | NtStatus::NETWORK_NAME_DELETED
            | NtStatus::CONNECTION_DISCONNECTED
    )
}

const TABLE: &[(NtStatus, Errno)] = &[
    (NtStatus::OBJECT_NAME_NOT_FOUND, Errno::ENOENT),
    (NtStatus::OBJECT_PATH_NOT_FOUND, Errno::ENOENT),
    (NtStatus::NO_SUCH_FILE, Errno::ENOENT),
    (NtStatus::DELETE_PENDING, Errno::ENOENT),
    (NtStatus::FILE_DELETED, Errno::ENOENT),
    (NtStatus::NOT_FOUND, Errno::ENOENT),
    (NtStatus::BAD_NETWORK_NAME, Errno::ENOENT),
    (NtStatus::OBJECT_NAME_INVALID, Errno::EINVAL),
    (NtStatus::OBJECT_PATH_SYNTAX_BAD, Errno::EINVAL),
    (NtStatus::OBJECT_PATH_INVALID, Errno::ENOTDIR),
    (NtStatus::OBJECT_NAME_COLLISION, Errno::EEXIST),
    (NtStatus::OBJECT_NAME_EXISTS, Errno::EEXIST),
    (NtStatus::NAME_TOO_LONG, Errno::ENAMETOOLONG),
    (NtStatus::ACCESS_DENIED, Errno::EACCES),
    (NtStatus::NETWORK_ACCESS_DENIED, Errno::EACCES),
    (NtStatus::CANNOT_DELETE, Errno::EACCES),
    (NtStatus::LOGON_FAILURE, Errno::EACCES),
    (NtStatus::ENCRYPTION_FAILED, Errno::EACCES),
    (NtStatus::PRIVILEGE_NOT_HELD, Errno::EPERM),
    (NtStatus::INVALID_OWNER, Errno::EPERM),
    (NtStatus::SHARING_VIOLATION, Errno::EBUSY),
    (NtStatus::FILES_OPEN, Errno::EBUSY),
    (NtStatus::PIPE_BUSY, Errno::EBUSY),
    (NtStatus::FILE_LOCK_CONFLICT, Errno::EACCES),
    (NtStatus::LOCK_NOT_GRANTED, Errno::EAGAIN),
    (NtStatus::RANGE_NOT_LOCKED, Errno::ENOLCK),
    (NtStatus::INVALID_LOCK_RANGE, Errno::EINVAL),
    (NtStatus::CANCELLED, Errno::EINTR),
    (NtStatus::FILE_IS_A_DIRECTORY, Errno::EISDIR),
    (NtStatus::NOT_A_DIRECTORY, Errno::ENOTDIR),
    (NtStatus::DIRECTORY_NOT_EMPTY, Errno::ENOTEMPTY),
    (NtStatus::NOT_SAME_DEVICE, Errno::EXDEV),
    (NtStatus::TOO_MANY_LINKS, Errno::EMLINK),
    (NtStatus::DISK_FULL, Errno::ENOSPC),
    (NtStatus::QUOTA_EXCEEDED, Errno::EDQUOT),
    (NtStatus::DISK_QUOTA_EXCEEDED, Errno::EDQUOT),
    (NtStatus::FILE_SYSTEM_LIMITATION, Errno::EFBIG),
    (NtStatus::MEDIA_WRITE_PROTECTED, Errno::EROFS),
    (NtStatus::INVALID_PARAMETER, Errno::EINVAL),
    (NtStatus::INVALID_INFO_CLASS, Errno::EOPNOTSUPP),
    (NtStatus::INVALID_DEVICE_REQUEST, Errno::EOPNOTSUPP),
    (NtStatus::NOT_SUPPORTED, Errno::EOPNOTSUPP),
    (NtStatus::NOT_IMPLEMENTED, Errno::EOPNOTSUPP),
    (NtStatus::EAS_NOT_SUPPORTED, Errno::EOPNOTSUPP),
    (NtStatus::NO_EAS_ON_FILE, Errno::ENODATA),
    (NtStatus::NONEXISTENT_EA_ENTRY, Errno::ENODATA),
    (NtStatus::EA_TOO_LARGE, Errno::ENOSPC),
    (NtStatus::INVALID_EA_NAME, Errno::EINVAL),
    (NtStatus::NOT_A_REPARSE_POINT, Errno::EINVAL),
    (NtStatus::IO_REPARSE_DATA_INVALID, Errno::EINVAL),
    (NtStatus::IO_REPARSE_TAG_NOT_HANDLED, Errno::EOPNOTSUPP),
    (NtStatus::STOPPED_ON_SYMLINK, Errno::ELOOP),
    (NtStatus::FILE_CLOSED, Errno::EBADF),
    (NtStatus::INVALID_HANDLE, Errno::EBADF),
    (NtStatus::TOO_MANY_OPENED_FILES, Errno::ENFILE),
    (NtStatus::INSUFFICIENT_RESOURCES, Errno::ENOMEM),
    (NtStatus::INSUFF_SERVER_RESOURCES, Errno::ENOMEM),
    (NtStatus::NO_MEMORY, Errno::ENOMEM),
    (NtStatus::IO_TIMEOUT, Errno::ETIMEDOUT),
    (NtStatus::RETRY, Errno::EAGAIN),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_listed_once() {
        for (index, (status, _)) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(index + 1).all(|(other, _)| other != status), "{status}");
        }
    }

    #[test]
    fn unknown_statuses_and_connection_failures_are_io_errors() {
        assert_eq!(of_status(NtStatus(0xc123_4567)).code(), Errno::EIO.code());
        assert_eq!(of(&Error::TimedOut(wire::Command::READ)).code(), Errno::EIO.code());
        assert_eq!(of_status(NtStatus::DISK_FULL).code(), Errno::ENOSPC.code());
    }
}
