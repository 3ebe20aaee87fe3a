//! Why a verb was refused, and the numbers (`NET_API_STATUS`, MS-ERREF 2.2) that say so.

use rpc::Win32Error;

use crate::core::config::ReplaceError;
use crate::core::server::ChangeError;

/// Why a verb was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The caller may not.
    #[error("Access is denied.")]
    AccessDenied,
    /// A context handle that is nobody's.
    #[error("The handle is invalid.")]
    InvalidHandle,
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
    /// A directory that is not there, or that cannot be shared.
    #[error("The device or directory does not exist.")]
    NoSuchDirectory,
    /// A file that is not there.
    #[error("The system cannot find the file specified.")]
    FileNotFound,
    /// An answer that does not fit where it is to go.
    #[error("The API return buffer is too small.")]
    NoRoom,
    /// A share of this name is there.
    #[error("The name has already been shared.")]
    DuplicateShare,
    /// A grant for somebody who has no account.
    #[error("No mapping between account names and security IDs was done.")]
    NoSuchAccount,
    /// An owner that the caller may not make of somebody.
    #[error("This security ID may not be assigned as the owner of this object.")]
    InvalidOwner,
    /// What is to be a security descriptor is none.
    #[error("The security descriptor structure is invalid.")]
    InvalidDescriptor,
    /// The old password is wrong.
    #[error("The specified network password is not correct.")]
    WrongPassword,
    /// Too many passwords were wrong.
    #[error("The referenced account is currently locked out and may not be logged on to.")]
    LockedOut,
    /// More than the server has room for.
    #[error("Not enough memory resources are available to process this command.")]
    TooMuch,
    /// The configuration file says something else than when it was read.
    #[error("The volume for a file has been externally altered so that the opened file is no longer valid.")]
    ConfigurationEdited,
    /// The configuration file has a form that the server does not edit.
    #[error("The request is not supported.")]
    ConfigurationNotEditable,
    /// The configuration file or the users file cannot be written.
    #[error("The system cannot write to the specified device.")]
    NotWritten,
    /// Too many do that at the same time.
    #[error("The requested resource is in use.")]
    Busy,
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
            Self::InvalidHandle => Win32Error::INVALID_HANDLE,
            Self::InvalidParameter => Win32Error::INVALID_PARAMETER,
            Self::InvalidLevel => Win32Error::INVALID_LEVEL,
            Self::InvalidComputer => Win32Error::INVALID_COMPUTER,
            Self::InvalidName => Win32Error::INVALID_NAME,
            Self::NoSuchSession => Win32Error::CLIENT_NAME_NOT_FOUND,
            Self::NoSuchUser => Win32Error::USER_NOT_FOUND,
            Self::NoSuchFile => Win32Error::FILE_ID_NOT_FOUND,
            Self::NoSuchShare => Win32Error::NET_NAME_NOT_FOUND,
            Self::DeviceNotShared => Win32Error::DEVICE_NOT_SHARED,
            Self::NoSuchDirectory => Win32Error::UNKNOWN_DEV_DIR,
            Self::FileNotFound => Win32Error::FILE_NOT_FOUND,
            Self::NoRoom => Win32Error::BUF_TOO_SMALL,
            Self::DuplicateShare => Win32Error::DUPLICATE_SHARE,
            Self::NoSuchAccount => Win32Error::NONE_MAPPED,
            Self::InvalidOwner => Win32Error::INVALID_OWNER,
            Self::InvalidDescriptor => Win32Error::INVALID_SECURITY_DESCR,
            Self::WrongPassword => Win32Error::INVALID_PASSWORD,
            Self::LockedOut => Win32Error(control::number::ACCOUNT_LOCKED_OUT),
            Self::TooMuch => Win32Error::NOT_ENOUGH_MEMORY,
            Self::ConfigurationEdited => Win32Error::FILE_INVALID,
            Self::NotWritten => Win32Error::WRITE_FAULT,
            Self::Busy => Win32Error(control::number::BUSY),
            Self::NotSupported | Self::ConfigurationNotEditable => Win32Error::NOT_SUPPORTED,
            Self::Internal => Win32Error(control::number::INTERNAL_ERROR),
        }
    }
}

impl Error {
    /// What to do about it, where that is known.
    pub(crate) const fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::AccessDenied => {
                "ask as root, as the user the server runs as, or as one of its administrators; what is your own \
                 --mine shows"
            }
            Self::NoSuchDirectory => "the server shares directories that are there, by their absolute path",
            Self::ConfigurationEdited => {
                "the configuration file was edited since the server read it; SIGHUP (systemctl reload) makes it \
                 read it again"
            }
            Self::ConfigurationNotEditable => {
                "the configuration file has a form that has to be edited by hand"
            }
            Self::LockedOut => {
                "too many passwords were wrong; an administrator unlocks the account: net user NAME /active:yes"
            }
            Self::Busy => "too many wait for the same kind of thing; ask again in a while",
            Self::NotWritten => "the server may not write its configuration or users file; its log says why",
            _ => return None,
        })
    }
}

/// A refusal with its reason in words, for callers that can be given more than a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) error: Error,
    /// The reason, where the number does not say it.
    pub(crate) reason: Option<String>,
}

impl Explained {
    /// A refusal for this reason.
    pub(crate) fn new(error: Error, reason: impl std::fmt::Display) -> Self {
        Self { error, reason: Some(reason.to_string()) }
    }
}

impl From<Error> for Explained {
    fn from(error: Error) -> Self {
        Self { error, reason: None }
    }
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        tracing::warn!(%error, "settings not changed");
        match error {
            ChangeError::Replace(ReplaceError::Edited) => Self::ConfigurationEdited,
            ChangeError::Replace(ReplaceError::Io(_)) | ChangeError::Write(_) => Self::NotWritten,
            ChangeError::NotEditable(_) | ChangeError::NotKept => Self::ConfigurationNotEditable,
            ChangeError::Share(_) => Self::NoSuchDirectory,
            ChangeError::AccountsRead(_) => Self::Internal,
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
