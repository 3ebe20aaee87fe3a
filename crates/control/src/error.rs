//! Refusals of the API.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use wire::win32::number;

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
            number::ACCESS_DENIED | number::SPECIAL_ACCOUNT => 403,
            number::INVALID_PASSWORD
            | number::ACCOUNT_LOCKED_OUT
            | number::PASSWORD_CANT_CHANGE
            | number::PASSWORD_TOO_RECENT => 403,
            number::INVALID_PARAMETER
            | number::BAD_USERNAME
            | number::PASSWORD_HIST_CONFLICT
            | number::PASSWORD_TOO_SHORT
            | number::INVALID_NAME
            | number::NONE_MAPPED
            | number::NO_SUCH_MEMBER
            | number::INVALID_MEMBER
            | number::INVALID_COMPUTER
            | number::UNKNOWN_DEV_DIR => 400,
            number::DUPLICATE_SHARE
            | number::FILE_INVALID
            | number::ALIAS_EXISTS
            | number::MEMBER_IN_ALIAS
            | number::MEMBER_NOT_IN_ALIAS
            | number::USER_EXISTS => 409,
            number::NET_NAME_NOT_FOUND
            | number::CLIENT_NAME_NOT_FOUND
            | number::FILE_ID_NOT_FOUND
            | number::NO_SUCH_ALIAS
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
