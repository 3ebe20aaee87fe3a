//! Reasons for refusing an operation, and their numbers (`NET_API_STATUS`, MS-ERREF 2.2).

use rpc::Win32Error;

use crate::core::cluster::RefusedKind;
use crate::core::config::ReplaceError;
use crate::core::configuration::ChangeError;
use crate::core::directory::is_outside_sandbox;
use crate::core::start_error::StartError;

/// The reason why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The caller does not have the right.
    #[error("Access is denied.")]
    AccessDenied,
    /// The context handle is unknown.
    #[error("The handle is invalid.")]
    InvalidHandle,
    /// A parameter is missing or wrong.
    #[error("The parameter is incorrect.")]
    InvalidParameter,
    /// The information level does not exist.
    #[error("The system call level is not correct.")]
    InvalidLevel,
    /// The computer name does not begin with two backslashes.
    #[error("This computer name is invalid.")]
    InvalidComputer,
    /// The name is invalid for objects of this kind.
    #[error("The name is invalid.")]
    InvalidName,
    /// There is no session of that client, or with that id.
    #[error("A session does not exist with that computer name.")]
    NoSuchSession,
    /// There is no such user, or no session of the user.
    #[error("The user name could not be found.")]
    NoSuchUser,
    /// There is no open with that id.
    #[error("There is not an open file with that identification number.")]
    NoSuchFile,
    /// There is no such share.
    #[error("This shared resource does not exist.")]
    NoSuchShare,
    /// No share shares this device.
    #[error("This device is not shared.")]
    DeviceNotShared,
    /// The directory does not exist or cannot be shared.
    #[error("The device or directory does not exist.")]
    NoSuchDirectory,
    /// The directory of a share is outside of the server's sandbox.
    #[error("The request is not supported.")]
    OutsideSandbox,
    /// The file does not exist.
    #[error("The system cannot find the file specified.")]
    FileNotFound,
    /// The answer does not fit into the buffer.
    #[error("The API return buffer is too small.")]
    NoRoom,
    /// A share of this name exists.
    #[error("The name has already been shared.")]
    DuplicateShare,
    /// A grant names an unknown account.
    #[error("No mapping between account names and security IDs was done.")]
    NoSuchAccount,
    /// The caller may not make this account the owner.
    #[error("This security ID may not be assigned as the owner of this object.")]
    InvalidOwner,
    /// The security descriptor is malformed.
    #[error("The security descriptor structure is invalid.")]
    InvalidDescriptor,
    /// The old password is wrong.
    #[error("The specified network password is not correct.")]
    WrongPassword,
    /// An account of this name exists.
    #[error("The account already exists.")]
    UserExists,
    /// The name cannot be that of an account.
    #[error("The specified username is invalid.")]
    BadUserName,
    /// There is no such local group.
    #[error("The specified local group does not exist.")]
    NoSuchGroup,
    /// A group of this name exists, or a Unix group.
    #[error("The specified local group already exists.")]
    GroupExists,
    /// The group is one that every machine has.
    #[error("Cannot perform this operation on built-in accounts.")]
    SpecialGroup,
    /// The user or group is in the group already.
    #[error("The specified account name is already a member of the group.")]
    MemberInGroup,
    /// The user or group is not in the group.
    #[error("The specified account name is not a member of the group.")]
    MemberNotInGroup,
    /// There is no such user or group.
    #[error(
        "A member could not be added to or removed from the local group because the member does not exist."
    )]
    NoSuchMember,
    /// Groups like this cannot be in a group.
    #[error(
        "A new member could not be added to a local group because the member has the wrong account type."
    )]
    InvalidMember,
    /// The user may not change the password.
    #[error("The password of this user cannot change.")]
    PasswordFixed,
    /// The password was used before.
    #[error("This password cannot be used now.")]
    PasswordUsed,
    /// The password is too short.
    #[error("The password is shorter than required.")]
    PasswordTooShort,
    /// The password was changed a short time ago.
    #[error("The password of this user is too recent to change.")]
    PasswordTooRecent,
    /// The account is locked after too many wrong passwords.
    #[error("The referenced account is currently locked out and may not be logged on to.")]
    LockedOut,
    /// The request exceeds a limit of the server.
    #[error("Not enough memory resources are available to process this command.")]
    TooMuch,
    /// The configuration file was changed since the server read it.
    #[error("The volume for a file has been externally altered so that the opened file is no longer valid.")]
    ConfigurationEdited,
    /// The setting is one of the cluster.
    #[error("The request is not supported.")]
    OfCluster,
    /// The configuration file has a form that the server cannot edit.
    #[error("The request is not supported.")]
    ConfigurationNotEditable,
    /// The server cannot write the configuration file or the users file.
    #[error("The system cannot write to the specified device.")]
    NotWritten,
    /// Too many operations of this kind are in progress.
    #[error("The requested resource is in use.")]
    Busy,
    /// The server does not support the operation.
    #[error("The request is not supported.")]
    NotSupported,
    /// The server failed internally.
    #[error("An internal error occurred.")]
    Internal,
}

impl Error {
    /// The number of the error.
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
            Self::LockedOut => Win32Error::ACCOUNT_LOCKED_OUT,
            Self::UserExists => Win32Error::USER_EXISTS,
            Self::NoSuchGroup => Win32Error::NO_SUCH_ALIAS,
            Self::GroupExists => Win32Error::ALIAS_EXISTS,
            Self::SpecialGroup => Win32Error::SPECIAL_ACCOUNT,
            Self::MemberInGroup => Win32Error::MEMBER_IN_ALIAS,
            Self::MemberNotInGroup => Win32Error::MEMBER_NOT_IN_ALIAS,
            Self::NoSuchMember => Win32Error::NO_SUCH_MEMBER,
            Self::InvalidMember => Win32Error::INVALID_MEMBER,
            Self::BadUserName => Win32Error::BAD_USERNAME,
            Self::PasswordFixed => Win32Error::PASSWORD_CANT_CHANGE,
            Self::PasswordUsed => Win32Error::PASSWORD_HIST_CONFLICT,
            Self::PasswordTooShort => Win32Error::PASSWORD_TOO_SHORT,
            Self::PasswordTooRecent => Win32Error::PASSWORD_TOO_RECENT,
            Self::TooMuch => Win32Error::NOT_ENOUGH_MEMORY,
            Self::ConfigurationEdited => Win32Error::FILE_INVALID,
            Self::NotWritten => Win32Error::WRITE_FAULT,
            Self::Busy => Win32Error::BUSY,
            Self::NotSupported | Self::ConfigurationNotEditable | Self::OfCluster | Self::OutsideSandbox => {
                Win32Error::NOT_SUPPORTED
            }
            Self::Internal => Win32Error::INTERNAL_ERROR,
        }
    }
}

impl Error {
    /// A hint for the user, if there is one.
    pub(crate) const fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::AccessDenied => {
                "this needs root, the user that runs the server, an administrator of the server, or a role that \
                 allows it; 'net session --mine' and 'net file --mine' list your own sessions and files"
            }
            Self::NoSuchDirectory => "the directory must exist on the server, and its path must be absolute",
            Self::OutsideSandbox => {
                "with sandbox = \"strict\", the server can only access directories that were shared when it started; \
                 add the share to the configuration file and restart the server"
            }
            Self::ConfigurationEdited => {
                "the configuration file was edited since the server read it; reload it with SIGHUP (systemctl reload)"
            }
            Self::ConfigurationNotEditable => {
                "the server cannot edit this form of configuration file; edit it by hand"
            }
            Self::OfCluster => {
                "all nodes of the cluster have this setting in common: 'shareward cluster set' changes it"
            }
            Self::LockedOut => {
                "too many wrong passwords; an administrator can unlock the account: net user NAME /active:yes"
            }
            Self::PasswordFixed | Self::PasswordUsed | Self::PasswordTooShort | Self::PasswordTooRecent => {
                "'net accounts' shows the rules for passwords"
            }
            Self::Busy => "too many operations of this kind are in progress; try again later",
            Self::NotWritten => {
                "the server cannot write its configuration or users file; its log has the reason"
            }
            _ => return None,
        })
    }
}

/// A refusal with a reason in words, for interfaces that can return more than a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) error: Error,
    /// The reason, if it adds to the number.
    pub(crate) reason: Option<String>,
}

impl Explained {
    /// Creates a refusal with this reason.
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
        tracing::warn!(%error, "cannot change the settings");
        match error {
            ChangeError::Replace(ReplaceError::Edited) => Self::ConfigurationEdited,
            ChangeError::Replace(ReplaceError::Io(_)) | ChangeError::Write(_) => Self::NotWritten,
            ChangeError::NotEditable(_) | ChangeError::NotKept => Self::ConfigurationNotEditable,
            ChangeError::Share(StartError::Share { error, .. }) if is_outside_sandbox(&error) => {
                Self::OutsideSandbox
            }
            ChangeError::Share(_) => Self::NoSuchDirectory,
            ChangeError::AccountsRead(_) => Self::Internal,
            ChangeError::OfCluster(_) => Self::OfCluster,
            ChangeError::Cluster(refused) => refused.kind().into(),
        }
    }
}

impl From<RefusedKind> for Error {
    fn from(kind: RefusedKind) -> Self {
        match kind {
            RefusedKind::Conflict => Self::ConfigurationEdited,
            RefusedKind::Exists => Self::DuplicateShare,
            RefusedKind::Invalid => Self::InvalidParameter,
            RefusedKind::NoShare => Self::NoSuchShare,
            RefusedKind::Unreachable => Self::Busy,
        }
    }
}
