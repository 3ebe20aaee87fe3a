//! The server's settings, counters, clock and state.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The settings (`net config server`; `SERVER_INFO_102` and `SERVER_INFO_502`, MS-SRVS 2.2.4.43, 2.2.4.46).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The server's name, without backslashes.
    pub name: String,
    /// The remark.
    pub comment: String,
    /// The software and its version.
    pub version: String,
    /// The addresses on which it listens, for example "192.0.2.1:445".
    pub listening: Vec<String>,
    /// True if the server is hidden in lists of servers (`sv102_hidden`).
    pub hidden: Option<bool>,
    /// The maximum of users (`sv102_users`); `None` for no limit.
    pub users_max: Option<u32>,
    /// The maximum of opens of one session (`sv502_opensearch` and similar fields).
    pub files_per_session_max: Option<u32>,
    /// The minutes after which an idle session without open files is ended (`sv102_disc`); -1 for never; `None` if
    /// unknown.
    pub autodisconnect: Option<i64>,
    /// The NetBIOS name of the domain that the server is a member of, or of its workgroup; `None` if unknown.
    pub domain: Option<String>,
    /// The DNS name of the domain; `None` in a workgroup, or if unknown.
    pub dns_domain: Option<String>,
    /// True for a member of a domain, false for one of a workgroup (MS-WKST 2.2.3.1); `None` if unknown.
    pub domain_member: Option<bool>,
    /// The rules for accounts and passwords (`net accounts`).
    pub password_rules: Option<PasswordRules>,
    /// The state of each `[[notice]]` of the configuration; empty if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<crate::NoticeState>,
    /// The drain of the whole server, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<crate::Drain>,
    /// The restrictions that the server has put on itself; `None` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// The web console; `None` if the server has none, or if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<ConsoleState>,
    /// The history; `None` if unknown, or for a caller who may not read the statistics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<crate::HistoryState>,
}

/// The web console of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleState {
    /// The addresses on which it listens, for example "192.0.2.1:8445".
    pub listening: Vec<String>,
    /// The SHA-256 of its certificate: pairs of hexadecimal digits with colons; `None` without TLS.
    pub certificate_sha256: Option<String>,
    /// The end of the validity of its certificate; `None` without TLS.
    pub certificate_expires: Option<Timestamp>,
}

/// The restrictions that a server has put on itself when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    /// The setting: "on", "strict" or "off".
    pub mode: String,
    /// The state of Landlock, as text.
    pub landlock: String,
    /// The state of the filter of system calls, as text.
    pub system_calls: String,
    /// The capabilities of the server, for example "CAP_CHOWN"; empty if it does not run as root.
    pub capabilities: Vec<String>,
    /// The restrictions and capabilities that the server should have and does not have, each with the consequence.
    pub missing: Vec<String>,
}

/// The rules for accounts and passwords (`USER_MODALS_INFO_0` and `USER_MODALS_INFO_3`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordRules {
    /// The fewest characters of a password.
    pub min_length: u32,
    /// The days after which a password expires; 0 for never.
    pub max_age_days: u32,
    /// The days before which its user cannot change a password again.
    pub min_age_days: u32,
    /// The number of last passwords that cannot be used again; 0 for none.
    pub history: u32,
    /// The number of wrong passwords that locks an account; 0 for never.
    pub lockout_threshold: u32,
    /// The minutes of a lock; 0 until an administrator ends it.
    pub lockout_minutes: u32,
    /// The minutes after which wrong passwords are forgotten.
    pub lockout_window_minutes: u32,
}

/// A change of [`PasswordRules`]. A field that is `None` leaves the rule as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordRulesChange {
    /// 0 to 256.
    pub min_length: Option<u32>,
    /// 0 to 999.
    pub max_age_days: Option<u32>,
    /// 0 to 998.
    pub min_age_days: Option<u32>,
    /// 0 to 24.
    pub history: Option<u32>,
    /// 0 to 999.
    pub lockout_threshold: Option<u32>,
    /// 0 to 99999.
    pub lockout_minutes: Option<u32>,
    /// 1 to 99999.
    pub lockout_window_minutes: Option<u32>,
}

/// A change of settings. A field that is `None` leaves the setting as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsChange {
    /// See [`Settings::comment`].
    pub comment: Option<String>,
    /// See [`Settings::hidden`].
    pub hidden: Option<bool>,
    /// See [`Settings::autodisconnect`]: -1 to 65535.
    pub autodisconnect: Option<i64>,
    /// See [`Settings::password_rules`]. It is left out if it is `None`: servers refuse fields that they do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_rules: Option<PasswordRulesChange>,
}

/// The filters of `GET /v1/statistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatisticsQuery {
    /// True for all counters; otherwise the answer has only those of MS-SRVS.
    pub detail: Option<bool>,
}

/// The counters (`STAT_SERVER_0`, MS-SRVS 2.2.4.39). A counter that the server does not keep is `None`. From
/// `opens_refused` on, the counters are reported only if [`StatisticsQuery::detail`] is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// The server's name, without backslashes.
    pub server: String,
    /// The start of counting.
    pub since: Option<Timestamp>,
    /// Sessions started.
    pub sessions_accepted: Option<u64>,
    /// Sessions ended because they were idle or expired.
    pub sessions_timed_out: Option<u64>,
    /// Sessions ended by a lost connection or another error.
    pub sessions_errored_out: Option<u64>,
    /// Bytes sent.
    pub bytes_sent: Option<u64>,
    /// Bytes received.
    pub bytes_received: Option<u64>,
    /// The average time of an answer, in milliseconds.
    pub response_milliseconds: Option<u64>,
    /// Internal errors.
    pub system_errors: Option<u64>,
    /// Requests with access denied.
    pub permission_violations: Option<u64>,
    /// Logons refused for a wrong name or password.
    pub password_violations: Option<u64>,
    /// Files opened.
    pub files_opened: Option<u64>,
    /// Pipes and devices opened.
    pub devices_opened: Option<u64>,
    /// Print jobs.
    pub jobs_spooled: Option<u64>,
    /// The number of times that big buffers ran out.
    pub big_buffers_exhausted: Option<u64>,
    /// The number of times that request buffers ran out.
    pub request_buffers_exhausted: Option<u64>,
    /// The history; `None` if the server does not report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<crate::HistoryState>,
    /// Opens refused because of another open or of a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_refused: Option<u64>,
    /// LOCK, READ and WRITE requests refused because of a byte-range lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_conflicts: Option<u64>,
    /// Breaks of oplocks and leases sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks_sent: Option<u64>,
    /// Breaks that clients did not acknowledge in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks_timed_out: Option<u64>,
    /// Credits granted to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits_granted: Option<u64>,
    /// Credits that the requests of clients have used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits_charged: Option<u64>,
    /// The requests by command; empty if the server does not count them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestStatistics>,
    /// The numbers of objects at this moment; `None` if the server does not report them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<CurrentCounts>,
}

/// The counts of the requests of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestStatistics {
    /// The command's name in MS-SMB2 2.2.1.1, in lower case, for example "query_info".
    pub command: String,
    /// Requests that were carried out.
    pub success: u64,
    /// Requests for names that do not exist.
    pub not_found: u64,
    /// Requests and logons that were denied.
    pub denied: u64,
    /// Requests that another open, a lock or an existing name stood in the way of.
    pub conflict: u64,
    /// Requests that were cancelled, or whose open or session ended.
    pub cancelled: u64,
    /// Requests that failed because of the server, its disk or a limit.
    pub server_error: u64,
    /// Requests with any other status.
    pub other: u64,
    /// The number of requests whose times were measured: those that did not wait for other clients.
    pub timed: u64,
    /// The sum of these times, in microseconds.
    pub microseconds: u64,
    /// The classes of these times, in ascending order.
    pub times: Vec<TimeClass>,
}

impl RequestStatistics {
    /// The number of all requests.
    pub fn total(&self) -> u64 {
        let results = [
            self.success,
            self.not_found,
            self.denied,
            self.conflict,
            self.cancelled,
            self.server_error,
            self.other,
        ];
        results.into_iter().fold(0, u64::saturating_add)
    }

    /// The longest time of the class in which `percent` of the measured requests are reached, in microseconds;
    /// `Some(None)` if that is the last class, and `None` if no request was measured.
    pub fn within(&self, percent: u64) -> Option<Option<u64>> {
        let wanted = self.timed.saturating_mul(percent).div_ceil(100).max(1);
        let mut reached = 0_u64;
        let class = self.times.iter().find(|class| {
            reached = reached.saturating_add(class.count);
            reached >= wanted
        });
        class.map(|class| class.microseconds_max)
    }
}

/// The number of requests whose times are in one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeClass {
    /// The longest time of the class, in microseconds; `None` for the last class.
    pub microseconds_max: Option<u64>,
    /// The number of requests that belong to this class and to no lower one.
    pub count: u64,
}

/// The numbers of objects at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurrentCounts {
    /// Transport connections.
    pub connections: u64,
    /// Sessions.
    pub sessions: u64,
    /// Connections of sessions to shares.
    pub trees: u64,
    /// Opens, also of pipes and of absent clients.
    pub opens: u64,
    /// Files and streams that are open.
    pub files: u64,
    /// Byte-range locks.
    pub locks: u64,
    /// Durable opens that wait for their clients.
    pub orphans: u64,
    /// Requests that wait for a lock or for the end of a break.
    pub waiting_requests: u64,
    /// Logons that are delayed after wrong passwords.
    pub delayed_logons: u64,
    /// Shares.
    pub shares: u64,
}

/// The server's clock (`TIME_OF_DAY_INFO`, MS-SRVS 2.2.4.105).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The server's time.
    pub now: Timestamp,
    /// The difference of its local time from UTC, in minutes.
    pub offset_minutes: Option<i32>,
    /// Seconds since the machine started.
    pub uptime_seconds: Option<u64>,
}

/// The state of the Server service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// The service accepts new sessions.
    #[default]
    Running,
    /// The service keeps existing sessions and refuses new ones.
    Paused,
    /// The service is stopping.
    Stopping,
}

/// An action on the Server service: the body of `POST /v1/service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "action", deny_unknown_fields)]
pub enum ServiceAction {
    /// End all sessions and stop.
    Stop,
    /// Refuse new sessions.
    Pause,
    /// Accept new sessions again.
    Continue,
}

/// The answer to requests about the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The state.
    pub state: ServiceState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_a_percentile_is_the_first_that_reaches_it() {
        let class = |microseconds_max, count| TimeClass { microseconds_max, count };
        let times = vec![class(Some(50), 98), class(Some(100), 1), class(None, 1)];
        let requests = RequestStatistics { timed: 100, times, ..RequestStatistics::default() };
        assert_eq!(
            [50, 98, 99, 100].map(|it| requests.within(it)),
            [Some(Some(50)), Some(Some(50)), Some(Some(100)), Some(None)]
        );
        assert_eq!(RequestStatistics::default().within(99), None);
    }
}
