//! The routes, and the addresses of requests to them.
//!
//! | method | route | filters or body | answer | refusals |
//! |---|---|---|---|---|
//! | GET | [`SERVER`] | | [`crate::ServerInfo`] | 5 |
//! | GET | [`SESSIONS`] | [`crate::SessionQuery`] | [`crate::Page`] of [`crate::Session`] | 5, 87 |
//! | GET | [`SESSION`] | | [`crate::Session`] | 5, 87, 2312 |
//! | DELETE | [`SESSION`] | | [`crate::Ended`] | 5, 87, 2312 |
//! | POST | [`SESSIONS_CLOSE`] | [`crate::CloseSessions`] | [`crate::Ended`] | 5, 87, 2312 |
//! | GET | [`FILES`] | [`crate::FileQuery`] | [`crate::Page`] of [`crate::OpenFile`] | 5, 87 |
//! | GET | [`FILE`] | | [`crate::OpenFile`] | 5, 87, 2314 |
//! | DELETE | [`FILE`] | | [`crate::Ended`] | 5, 87, 2314 |
//! | GET | [`SHARES`] | | [`crate::Page`] of [`crate::Share`], always whole | 5 |
//! | GET | [`CONNECTIONS`] | [`crate::ConnectionQuery`] | [`crate::Page`] of [`crate::Connection`] | 5, 87 |
//! | GET | [`REFUSALS`] | [`crate::RefusalQuery`] | [`crate::Page`] of [`crate::Refusal`] | 5, 87 |
//!
//! A list that matches nothing is an empty page, not a refusal. A filter or a body field that the
//! server does not know is 87. Routes are written the way axum 0.8 takes them.

use std::fmt::Write as _;

use crate::{ConnectionQuery, FileQuery, RefusalQuery, SessionQuery};

/// The server itself.
pub const SERVER: &str = "/v1/server";
/// All sessions.
pub const SESSIONS: &str = "/v1/sessions";
/// One session, by its `SessionGlobalId`.
pub const SESSION: &str = "/v1/sessions/{id}";
/// Ends sessions by computer or user.
pub const SESSIONS_CLOSE: &str = "/v1/sessions/close";
/// All opens.
pub const FILES: &str = "/v1/files";
/// One open, by its `FileGlobalId`.
pub const FILE: &str = "/v1/files/{id}";
/// All shares.
pub const SHARES: &str = "/v1/shares";
/// All connections to shares.
pub const CONNECTIONS: &str = "/v1/connections";
/// Recent refusals.
pub const REFUSALS: &str = "/v1/refusals";

/// The address of the session `id`.
pub fn session(id: u32) -> String {
    format!("{SESSIONS}/{id}")
}

/// The address of the open `id`.
pub fn file(id: u32) -> String {
    format!("{FILES}/{id}")
}

/// The address of a page of sessions.
pub fn sessions(query: &SessionQuery) -> String {
    Address::new(SESSIONS)
        .text("user", query.user.as_deref())
        .text("client", query.client.as_deref())
        .page(query.after, query.limit)
}

/// The address of a page of opens.
pub fn files(query: &FileQuery) -> String {
    Address::new(FILES)
        .text("user", query.user.as_deref())
        .text("client", query.client.as_deref())
        .text("share", query.share.as_deref())
        .text("path", query.path.as_deref())
        .page(query.after, query.limit)
}

/// The address of a page of connections.
pub fn connections(query: &ConnectionQuery) -> String {
    Address::new(CONNECTIONS)
        .text("user", query.user.as_deref())
        .text("client", query.client.as_deref())
        .text("share", query.share.as_deref())
        .page(query.after, query.limit)
}

/// The address of a page of refusals.
pub fn refusals(query: &RefusalQuery) -> String {
    Address::new(REFUSALS)
        .text("user", query.user.as_deref())
        .text("client", query.client.as_deref())
        .text("share", query.share.as_deref())
        .text("path", query.path.as_deref())
        .page(query.after, query.limit)
}

struct Address {
    text: String,
    separator: char,
}

impl Address {
    fn new(route: &str) -> Self {
        Self { text: route.to_owned(), separator: '?' }
    }

    fn text(mut self, name: &str, value: Option<&str>) -> Self {
        let Some(value) = value else { return self };
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(name);
        self.text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.text.push(char::from(byte));
            } else {
                let _ = write!(self.text, "%{byte:02X}");
            }
        }
        self
    }

    fn page(self, after: Option<u64>, limit: Option<u32>) -> String {
        let after = after.map(|after| after.to_string());
        let limit = limit.map(|limit| limit.to_string());
        self.text("after", after.as_deref()).text("limit", limit.as_deref()).text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_in_a_filter_is_escaped() {
        let query = FileQuery {
            user: Some(r"DOM\jörg & co".into()),
            path: Some("a+b=c%?#".into()),
            after: Some(7),
            ..FileQuery::default()
        };
        assert_eq!(
            files(&query),
            "/v1/files?user=DOM%5Cj%C3%B6rg%20%26%20co&path=a%2Bb%3Dc%25%3F%23&after=7"
        );
        assert_eq!(sessions(&SessionQuery::default()), SESSIONS);
    }

    #[test]
    fn one_entry_is_where_its_route_says() {
        assert_eq!(session(u32::MAX), SESSION.replace("{id}", "4294967295"));
        assert_eq!(file(1), FILE.replace("{id}", "1"));
    }
}
