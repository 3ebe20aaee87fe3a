//! Refusals of the API.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The numbers (`NET_API_STATUS`, MS-SRVS 2.2.2.10 and MS-ERREF 2.2) that the API answers with.
pub mod number {
    /// ERROR_ACCESS_DENIED.
    pub const ACCESS_DENIED: u32 = 5;
    /// ERROR_NOT_SUPPORTED.
    pub const NOT_SUPPORTED: u32 = 50;
    /// ERROR_BAD_NETPATH.
    pub const BAD_NETPATH: u32 = 53;
    /// ERROR_INVALID_PASSWORD.
    pub const INVALID_PASSWORD: u32 = 86;
    /// ERROR_INVALID_PARAMETER.
    pub const INVALID_PARAMETER: u32 = 87;
    /// ERROR_INVALID_NAME: a share cannot have this name.
    pub const INVALID_NAME: u32 = 123;
    /// ERROR_INVALID_LEVEL.
    pub const INVALID_LEVEL: u32 = 124;
    /// ERROR_FILE_INVALID: the configuration was edited since the server read it.
    pub const FILE_INVALID: u32 = 1006;
    /// ERROR_NONE_MAPPED: a grant for an unknown account.
    pub const NONE_MAPPED: u32 = 1332;
    /// ERROR_BUSY.
    pub const BUSY: u32 = 170;
    /// ERROR_ACCOUNT_LOCKED_OUT.
    pub const ACCOUNT_LOCKED_OUT: u32 = 1909;
    /// NERR_ServerNotStarted.
    pub const SERVER_NOT_STARTED: u32 = 2114;
    /// NERR_UnknownDevDir.
    pub const UNKNOWN_DEV_DIR: u32 = 2116;
    /// NERR_InternalError.
    pub const INTERNAL_ERROR: u32 = 2140;
    /// NERR_DuplicateShare.
    pub const DUPLICATE_SHARE: u32 = 2118;
    /// NERR_UserNotFound.
    pub const USER_NOT_FOUND: u32 = 2221;
    /// NERR_NetNameNotFound.
    pub const NET_NAME_NOT_FOUND: u32 = 2310;
    /// NERR_ClientNameNotFound.
    pub const CLIENT_NAME_NOT_FOUND: u32 = 2312;
    /// NERR_FileIdNotFound.
    pub const FILE_ID_NOT_FOUND: u32 = 2314;
}

/// The body of every answer with an HTTP status other than success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// The number, of Win32 or of NET.
    pub code: u32,
    /// The message, one sentence.
    pub message: String,
    /// Advice, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Error {
    /// An error without a hint.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The HTTP status for the number.
    pub fn http_status(&self) -> u16 {
        match self.code {
            number::ACCESS_DENIED => 403,
            number::INVALID_PASSWORD | number::ACCOUNT_LOCKED_OUT => 403,
            number::INVALID_PARAMETER
            | number::INVALID_NAME
            | number::NONE_MAPPED
            | number::UNKNOWN_DEV_DIR => 400,
            number::DUPLICATE_SHARE | number::FILE_INVALID => 409,
            number::NET_NAME_NOT_FOUND
            | number::CLIENT_NAME_NOT_FOUND
            | number::FILE_ID_NOT_FOUND
            | number::USER_NOT_FOUND => 404,
            number::NOT_SUPPORTED | number::INVALID_LEVEL => 501,
            number::BUSY | number::SERVER_NOT_STARTED => 503,
            _ => 500,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The refusals in the table of routes are none of the server's own failures.
    #[test]
    fn refusals_of_routes_have_client_error_statuses() {
        let rows = include_str!("route.rs").lines().filter(|line| line.starts_with("//! |"));
        let columns = rows.filter_map(|row| row.trim_end().strip_suffix('|')?.rsplit('|').next());
        let numbers: Vec<u32> =
            columns.flat_map(|column| column.split(',')).filter_map(|it| it.trim().parse().ok()).collect();
        assert!(numbers.len() > 50, "the table was not found");
        for number in numbers {
            assert_ne!(Error::new(number, "").http_status(), 500, "{number}");
        }
    }
}
