//! Why a verb was refused, and the numbers (`NET_API_STATUS`, MS-ERREF 2.2) that say so.

use rpc::Win32Error;

/// Why a verb was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The caller may not.
    #[error("Access is denied.")]
    AccessDenied,
    /// A parameter is missing or wrong.
    #[error("The parameter is incorrect.")]
    InvalidParameter,
    /// There is no such information level.
    #[error("The system call level is not correct.")]
    InvalidLevel,
    /// A computer's name that does not begin with two backslashes.
    #[error("This computer name is invalid.")]
    InvalidComputer,
    /// A name that no object of its kind can have.
    #[error("The name is invalid.")]
    InvalidName,
    /// No session of that client, or with that id.
    #[error("A session does not exist with that computer name.")]
    NoSuchSession,
    /// No session of that user.
    #[error("The user name could not be found.")]
    NoSuchUser,
    /// No open with that id.
    #[error("There is not an open file with that identification number.")]
    NoSuchFile,
    /// No such share.
    #[error("This shared resource does not exist.")]
    NoSuchShare,
    /// A device that no share shares.
    #[error("This device is not shared.")]
    DeviceNotShared,
    /// The server does not do this.
    #[error("The request is not supported.")]
    NotSupported,
    /// The server failed.
    #[error("An internal error occurred.")]
    Internal,
}

impl Error {
    /// The number that says so.
    pub(crate) const fn number(self) -> Win32Error {
        match self {
            Self::AccessDenied => Win32Error::ACCESS_DENIED,
            Self::InvalidParameter => Win32Error::INVALID_PARAMETER,
            Self::InvalidLevel => Win32Error::INVALID_LEVEL,
            Self::InvalidComputer => Win32Error::INVALID_COMPUTER,
            Self::InvalidName => Win32Error::INVALID_NAME,
            Self::NoSuchSession => Win32Error::CLIENT_NAME_NOT_FOUND,
            Self::NoSuchUser => Win32Error::USER_NOT_FOUND,
            Self::NoSuchFile => Win32Error::FILE_ID_NOT_FOUND,
            Self::NoSuchShare => Win32Error::NET_NAME_NOT_FOUND,
            Self::DeviceNotShared => Win32Error::DEVICE_NOT_SHARED,
            Self::NotSupported => Win32Error::NOT_SUPPORTED,
            Self::Internal => Win32Error(control::number::INTERNAL_ERROR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipes_and_the_control_api_use_the_same_numbers() {
        for (error, number) in [
            (Error::AccessDenied, control::number::ACCESS_DENIED),
            (Error::InvalidParameter, control::number::INVALID_PARAMETER),
            (Error::InvalidLevel, control::number::INVALID_LEVEL),
            (Error::NoSuchSession, control::number::CLIENT_NAME_NOT_FOUND),
            (Error::NoSuchUser, control::number::USER_NOT_FOUND),
            (Error::NoSuchFile, control::number::FILE_ID_NOT_FOUND),
            (Error::NoSuchShare, control::number::NET_NAME_NOT_FOUND),
            (Error::NotSupported, control::number::NOT_SUPPORTED),
        ] {
            assert_eq!(error.number().0, number, "{error}");
        }
    }
}
