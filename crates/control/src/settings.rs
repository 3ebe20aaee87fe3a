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
    /// Where it listens, as "192.0.2.1:445".
    pub listening: Vec<String>,
    /// Whether it is left out of lists of servers (`sv102_hidden`).
    pub hidden: Option<bool>,
    /// Users at most (`sv102_users`); none for no limit.
    pub users_max: Option<u32>,
    /// Opens of one session at most (`sv502_opensearch` and its kin).
    pub files_per_session_max: Option<u32>,
    /// Minutes after which an idle session without open files is ended (`sv102_disc`); -1 for never; none if unknown.
    pub autodisconnect: Option<i64>,
}

/// A change of settings: what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsChange {
    /// See [`Settings::comment`].
    pub comment: Option<String>,
    /// See [`Settings::hidden`].
    pub hidden: Option<bool>,
    /// See [`Settings::autodisconnect`]: -1 to 65535.
    pub autodisconnect: Option<i64>,
}

/// The counters (`STAT_SERVER_0`, MS-SRVS 2.2.4.39). What a server does not count is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// The server's name, without backslashes.
    pub server: String,
    /// When counting began.
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
    /// Milliseconds that an answer took on average.
    pub response_milliseconds: Option<u64>,
    /// Errors of the server's own.
    pub system_errors: Option<u64>,
    /// Accesses denied.
    pub permission_violations: Option<u64>,
    /// Wrong passwords.
    pub password_violations: Option<u64>,
    /// Files opened.
    pub files_opened: Option<u64>,
    /// Pipes and devices opened.
    pub devices_opened: Option<u64>,
    /// Print jobs.
    pub jobs_spooled: Option<u64>,
    /// Times big buffers ran out.
    pub big_buffers_exhausted: Option<u64>,
    /// Times request buffers ran out.
    pub request_buffers_exhausted: Option<u64>,
}

/// The server's clock (`TIME_OF_DAY_INFO`, MS-SRVS 2.2.4.105).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The time there.
    pub now: Timestamp,
    /// Minutes that its local time is ahead of UTC.
    pub offset_minutes: Option<i32>,
    /// Seconds since the machine started.
    pub uptime_seconds: Option<u64>,
}

/// What the Server service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It serves.
    #[default]
    Running,
    /// It serves who is there and takes nobody new.
    Paused,
    /// It is about to stop.
    Stopping,
}

/// What the Server service is to do; the body of `POST /v1/service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "action", deny_unknown_fields)]
pub enum ServiceAction {
    /// To end all sessions and stop.
    Stop,
    /// To take nobody new.
    Pause,
    /// To take everybody again.
    Continue,
}

/// The body of the answer to requests about the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What it is doing.
    pub state: ServiceState,
}
