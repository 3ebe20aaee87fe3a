//! The routes, and the URLs of requests to them.
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
//! | DELETE | [`FILE`] | [`crate::CloseFile`] | [`crate::Ended`] | 5, 87, 170, 2314 |
//! | PUT | [`FILE_CLOSING`] | [`crate::AnnounceClose`] | [`crate::OpenFile`] | 5, 87, 170, 2314 |
//! | DELETE | [`FILE_CLOSING`] | | [`crate::OpenFile`] | 5, 87, 2314 |
//! | GET | [`WHO`] | [`crate::WhoQuery`] | [`crate::Who`] | 5, 87, 170, 2310 |
//! | GET | [`HISTORY`] | [`crate::HistoryQuery`] | [`crate::History`] | 5, 50, 87, 170, 2310 |
//! | GET | [`SHARES`] | | [`crate::Page`] of [`crate::Share`], always whole | 5 |
//! | POST | [`SHARES`] | [`crate::NewShare`] | [`crate::Share`] | 5, 50, 87, 123, 1006, 1332, 2116, 2118 |
//! | GET | [`SHARE`] | | [`crate::Share`] | 5, 2310 |
//! | PATCH | [`SHARE`] | [`crate::ShareChange`] | [`crate::Share`] | 5, 50, 87, 1006, 1332, 2310 |
//! | DELETE | [`SHARE`] | | [`crate::Ended`] | 5, 50, 1006, 2310 |
//! | POST | [`SHARE_RECHECK`] | [`crate::Recheck`] | [`crate::Rechecked`] | 5, 87, 2310 |
//! | GET | [`DRAINS`] | | [`crate::Page`] of [`crate::Drain`], always whole | 5 |
//! | POST | [`DRAINS`] | [`crate::NewDrain`] | [`crate::Drain`] | 5, 87, 170, 2310 |
//! | POST | [`DRAINS_END`] | [`crate::EndDrain`] | [`crate::Drain`] | 5, 87 |
//! | GET | [`HOLDS`] | | [`crate::Page`] of [`crate::Hold`], always whole | 5 |
//! | POST | [`HOLDS`] | [`crate::NewHold`] | lines of [`crate::HoldState`] without end | 5, 87, 170, 2310 |
//! | GET | [`CONNECTIONS`] | [`crate::ConnectionQuery`] | [`crate::Page`] of [`crate::Connection`] | 5, 87 |
//! | GET | [`REFUSALS`] | [`crate::RefusalQuery`] | [`crate::Page`] of [`crate::Refusal`] | 5, 87 |
//! | GET | [`EVENTS`] | [`crate::EventQuery`] | lines of [`crate::Event`] without end | 5, 87, 170 |
//! | GET | [`SETTINGS`] | | [`crate::Settings`] | 5 |
//! | PATCH | [`SETTINGS`] | [`crate::SettingsChange`] | [`crate::Settings`] | 5, 50, 87, 1006 |
//! | GET | [`STATISTICS`] | [`crate::StatisticsQuery`] | [`crate::Statistics`] | 5, 87 |
//! | GET | [`SERVICE`] | | [`crate::Service`] | 5 |
//! | POST | [`SERVICE`] | [`crate::ServiceAction`] | [`crate::Service`] | 5, 87 |
//! | GET | [`CLOCK`] | | [`crate::Clock`] | 5 |
//! | GET | [`USERS`] | | [`crate::Page`] of [`crate::User`], always whole | 5 |
//! | PATCH | [`USER`] | [`crate::UserChange`] | [`crate::User`] | 5, 87, 2221 |
//! | PUT | [`USER_PASSWORD`] | [`crate::PasswordChange`] | [`crate::User`] | 5, 86, 87, 170, 1909, 2221 |
//! | GET | [`GROUPS`] | | [`crate::Page`] of [`crate::Group`], always whole | 5 |
//! | POST | [`GROUPS`] | [`crate::NewGroup`] | [`crate::Group`] | 5, 50, 87, 123, 1006, 1379, 2224 |
//! | PATCH | [`GROUP`] | [`crate::GroupChange`] | [`crate::Group`] | 5, 50, 87, 1006, 1371, 1376, 1377, 1378, 1387, 1388 |
//! | DELETE | [`GROUP`] | | [`crate::Group`] | 5, 50, 1006, 1371, 1376 |
//! | GET | [`CLUSTER`] | | [`crate::Cluster`] | 5, 50 |
//! | GET | [`CLUSTER_CHANGES`] | | [`crate::Page`] of [`crate::ClusterChange`], always whole | 5, 50, 170 |
//! | POST | [`CLUSTER_MOVES`] | [`crate::NewMove`] | [`crate::Cluster`] | 5, 50, 87, 170, 1006, 2310 |
//! | POST | [`CLUSTER_DRAINS`] | [`crate::NodeDrain`] | [`crate::Cluster`] | 5, 50, 87, 170, 1006 |
//! | POST | [`CLUSTER_SETTINGS`] | [`crate::ClusterSetting`] | [`crate::Cluster`] | 5, 50, 87, 170, 1006 |
//! | POST | [`CLUSTER_INVITES`] | | [`crate::Invitation`] | 5, 50, 87, 170, 1006 |
//! | POST | [`CLUSTER_LEAVE`] | [`crate::LeaveCluster`] | [`crate::Cluster`] | 5, 50, 87, 170 |
//! | GET | [`LOGONS`] | | [`crate::Page`] of [`crate::Logon`], always whole | 5 |
//!
//! Changes are written to the configuration file; its comments are kept. 1006 means that the file was edited since
//! the server read it, 50 that the server cannot edit its form. A server without such a file keeps changes until it
//! stops.
//!
//! 170 means that too many requests of this kind are waiting. `docs/openapi.json` describes all this and every field
//! for machines.
//!
//! A list without matches is an empty page, not a refusal. A filter or a body field that the server does not know is
//! refused with 87. The syntax of routes is that of axum 0.8.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Serialize;

use crate::{
    CloseFile, ConnectionQuery, EventQuery, FileQuery, HistoryQuery, RefusalQuery, SessionQuery,
    StatisticsQuery, WhoQuery,
};

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
/// The announced close of an open.
pub const FILE_CLOSING: &str = "/v1/files/{id}/closing";
/// All shares.
pub const SHARES: &str = "/v1/shares";
/// One share, by its name.
pub const SHARE: &str = "/v1/shares/{name}";
/// Compares the connections of a share with its present grants.
pub const SHARE_RECHECK: &str = "/v1/shares/{name}/recheck";
/// The drains.
pub const DRAINS: &str = "/v1/drains";
/// Ends a drain.
pub const DRAINS_END: &str = "/v1/drains/end";
/// The holds.
pub const HOLDS: &str = "/v1/holds";
/// All connections to shares.
pub const CONNECTIONS: &str = "/v1/connections";
/// Recent refusals.
pub const REFUSALS: &str = "/v1/refusals";
/// The opens and the recent refusals of a file or directory.
pub const WHO: &str = "/v1/who";
/// The history.
pub const HISTORY: &str = "/v1/history";
/// The stream of events.
pub const EVENTS: &str = "/v1/events";
/// The settings.
pub const SETTINGS: &str = "/v1/settings";
/// The counters.
pub const STATISTICS: &str = "/v1/statistics";
/// The state of the Server service.
pub const SERVICE: &str = "/v1/service";
/// The server's clock.
pub const CLOCK: &str = "/v1/clock";
/// The accounts.
pub const USERS: &str = "/v1/users";
/// One account, by its name.
pub const USER: &str = "/v1/users/{name}";
/// An account's password.
pub const USER_PASSWORD: &str = "/v1/users/{name}/password";
/// The local groups.
pub const GROUPS: &str = "/v1/groups";
/// One local group, by its name.
pub const GROUP: &str = "/v1/groups/{name}";
/// The logons at the machine itself.
pub const LOGONS: &str = "/v1/logons";

/// The cluster.
pub const CLUSTER: &str = "/v1/cluster";
/// The last changes of the cluster.
pub const CLUSTER_CHANGES: &str = "/v1/cluster/changes";
/// Moves of shares to nodes.
pub const CLUSTER_MOVES: &str = "/v1/cluster/moves";
/// Drains of nodes.
pub const CLUSTER_DRAINS: &str = "/v1/cluster/drains";
/// Settings that all nodes have in common.
pub const CLUSTER_SETTINGS: &str = "/v1/cluster/settings";
/// Invitations for new nodes.
pub const CLUSTER_INVITES: &str = "/v1/cluster/invites";
/// Ends the membership of the server.
pub const CLUSTER_LEAVE: &str = "/v1/cluster/leave";

/// Every route with each of its methods.
pub const ALL: [(&str, &str); 49] = [
    ("GET", SERVER),
    ("GET", SESSIONS),
    ("GET", SESSION),
    ("DELETE", SESSION),
    ("POST", SESSIONS_CLOSE),
    ("GET", FILES),
    ("GET", FILE),
    ("DELETE", FILE),
    ("PUT", FILE_CLOSING),
    ("DELETE", FILE_CLOSING),
    ("GET", WHO),
    ("GET", HISTORY),
    ("GET", SHARES),
    ("POST", SHARES),
    ("GET", SHARE),
    ("PATCH", SHARE),
    ("DELETE", SHARE),
    ("POST", SHARE_RECHECK),
    ("GET", DRAINS),
    ("POST", DRAINS),
    ("POST", DRAINS_END),
    ("GET", HOLDS),
    ("POST", HOLDS),
    ("GET", CONNECTIONS),
    ("GET", REFUSALS),
    ("GET", EVENTS),
    ("GET", SETTINGS),
    ("PATCH", SETTINGS),
    ("GET", STATISTICS),
    ("GET", SERVICE),
    ("POST", SERVICE),
    ("GET", CLOCK),
    ("GET", USERS),
    ("POST", USERS),
    ("PATCH", USER),
    ("DELETE", USER),
    ("PUT", USER_PASSWORD),
    ("GET", GROUPS),
    ("POST", GROUPS),
    ("PATCH", GROUP),
    ("DELETE", GROUP),
    ("GET", LOGONS),
    ("GET", CLUSTER),
    ("GET", CLUSTER_CHANGES),
    ("POST", CLUSTER_MOVES),
    ("POST", CLUSTER_DRAINS),
    ("POST", CLUSTER_SETTINGS),
    ("POST", CLUSTER_INVITES),
    ("POST", CLUSTER_LEAVE),
];

/// The URL of the session `id`.
pub fn session(id: u32) -> String {
    format!("{SESSIONS}/{id}")
}

/// The URL of the open `id`.
pub fn file(id: u32) -> String {
    format!("{FILES}/{id}")
}

/// The URL of the announced close of the open `id`.
pub fn file_closing(id: u32) -> String {
    format!("{FILES}/{id}/closing")
}

/// The URL for closing the open `id`.
pub fn close_file(id: u32, how: &CloseFile) -> String {
    #[derive(Serialize)]
    struct Query<'a> {
        /// Not set where it has its default.
        force: Option<bool>,
        grace: Option<u32>,
        expect_user: Option<&'a str>,
        expect_path: Option<&'a str>,
    }
    let query = Query {
        force: how.force.then_some(true),
        grace: how.grace,
        expect_user: how.expect_user.as_deref(),
        expect_path: how.expect_path.as_deref(),
    };
    address(&file(id), &query)
}

/// The URL of the share `name`.
pub fn share(name: &str) -> String {
    format!("{SHARES}/{}", escaped(name))
}

/// The URL of the check of the share `name`.
pub fn share_recheck(name: &str) -> String {
    format!("{SHARES}/{}/recheck", escaped(name))
}

/// The URL of the account `name`.
pub fn user(name: &str) -> String {
    format!("{USERS}/{}", escaped(name))
}

/// The URL of the password of the account `name`.
pub fn user_password(name: &str) -> String {
    format!("{USERS}/{}/password", escaped(name))
}

/// The URL of the local group `name`.
pub fn group(name: &str) -> String {
    format!("{GROUPS}/{}", escaped(name))
}

/// The URL of the query for a path's opens and refusals.
pub fn who(query: &WhoQuery) -> String {
    address(WHO, query)
}

/// The URL of a query to the history.
pub fn history(query: &HistoryQuery) -> String {
    address(HISTORY, query)
}

/// The URL of a stream of events.
pub fn events(query: &EventQuery) -> String {
    address(EVENTS, query)
}

/// The URL of a page of sessions.
pub fn sessions(query: &SessionQuery) -> String {
    address(SESSIONS, query)
}

/// The URL of a page of opens.
pub fn files(query: &FileQuery) -> String {
    address(FILES, query)
}

/// The URL of a page of connections.
pub fn connections(query: &ConnectionQuery) -> String {
    address(CONNECTIONS, query)
}

/// The URL of a page of refusals.
pub fn refusals(query: &RefusalQuery) -> String {
    address(REFUSALS, query)
}

/// The URL of the counters.
pub fn statistics(query: &StatisticsQuery) -> String {
    address(STATISTICS, query)
}

/// The address of a route with the fields of `query` that are set.
#[expect(clippy::expect_used, reason = "queries are flat structures of numbers and texts")]
fn address(route: &str, query: &impl Serialize) -> String {
    let query = serde_urlencoded::to_string(query).expect("a flat structure");
    if query.is_empty() { route.to_owned() } else { format!("{route}?{query}") }
}

/// `value` as one segment of a path (RFC 3986 3.3).
fn escaped(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, SPECIAL)
}

/// All but the unreserved characters of RFC 3986 2.3.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_in_filters_are_escaped() {
        let query = FileQuery {
            user: Some(r"DOM\jörg & co".into()),
            path: Some("a+b=c%?#".into()),
            after: Some(7),
            ..FileQuery::default()
        };
        assert_eq!(files(&query), "/v1/files?user=DOM%5Cj%C3%B6rg+%26+co&path=a%2Bb%3Dc%25%3F%23&after=7");
        assert_eq!(sessions(&SessionQuery::default()), SESSIONS);
    }

    #[test]
    fn names_are_one_segment_of_a_path() {
        assert_eq!(share("a/b ü.~"), "/v1/shares/a%2Fb%20%C3%BC.~");
    }

    #[test]
    fn one_entry_is_where_its_route_says() {
        assert_eq!(session(u32::MAX), SESSION.replace("{id}", "4294967295"));
        assert_eq!(file(1), FILE.replace("{id}", "1"));
    }
}
