//! Notices: what the server sends to a webhook or writes to a command.

use serde::{Deserialize, Serialize};

use crate::{Outcome, SCHEMA, Timestamp};

/// The event that a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// An open was refused because of another open, a lock, a hold or a drain.
    Refused,
    /// An administrator has closed an open, or the close that one had announced was due.
    Closed,
    /// An administrator has announced the close of an open.
    CloseAnnounced,
    /// An announced close was cancelled.
    CloseCancelled,
    /// A drain has begun.
    DrainBegun,
    /// Nothing is open any more where a drain applies.
    DrainDone,
    /// An administrator has ended a drain.
    DrainEnded,
    /// A session was ended because it was idle for too long.
    IdleSessionEnded,
    /// More logons have failed than the configuration expects.
    LogonFailures,
}

impl NoticeEvent {
    /// The events by their names in the configuration and in JSON.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("refused", Self::Refused),
        ("closed", Self::Closed),
        ("close_announced", Self::CloseAnnounced),
        ("close_cancelled", Self::CloseCancelled),
        ("drain_begun", Self::DrainBegun),
        ("drain_done", Self::DrainDone),
        ("drain_ended", Self::DrainEnded),
        ("idle_session_ended", Self::IdleSessionEnded),
        ("logon_failures", Self::LogonFailures),
    ];

    /// True if notices of this event can have a share.
    pub fn can_have_share(self) -> bool {
        !matches!(self, Self::IdleSessionEnded | Self::LogonFailures)
    }

    /// True if notices of this event have a path.
    pub fn can_have_path(self) -> bool {
        matches!(self, Self::Refused | Self::Closed | Self::CloseAnnounced | Self::CloseCancelled)
    }

    /// The event's name in the configuration and in JSON.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, event)| *event == self).map_or("", |(name, _)| name)
    }
}

/// A notice. Fields that do not apply to its event are not present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The number of the notice, which a repeated delivery repeats. It rises while the server runs.
    pub id: u64,
    /// The event.
    pub event: NoticeEvent,
    /// The time of the event.
    pub at: Timestamp,
    /// The server's name.
    pub server: String,
    /// The share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// The path below the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The `FileGlobalId` of the open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<u32>,
    /// The account that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computer: Option<String>,
    /// The administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The time of an announced close, or the deadline of a drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The administrator's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The outcome of a close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The number of files that are open, of opens that were closed, or of logons that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The users of these files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

impl Notice {
    /// A notice of an event; the server sets `id`, `at` and `server` when it sends the notice.
    pub fn of(event: NoticeEvent) -> Self {
        Self {
            schema: SCHEMA,
            id: 0,
            event,
            at: Timestamp(0),
            server: String::new(),
            share: None,
            path: None,
            file_id: None,
            user: None,
            computer: None,
            by: None,
            deadline: None,
            text: None,
            reason: None,
            outcome: None,
            count: None,
            users: Vec::new(),
        }
    }
}

/// The state of one `[[notice]]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeState {
    /// The host of the webhook without its path, which may be a secret, or the program of the command.
    pub target: String,
    /// The names of its events.
    pub events: Vec<String>,
    /// Notices that wait for their delivery.
    pub queued: u64,
    /// Notices that were delivered.
    pub delivered: u64,
    /// Notices that could not be delivered, after all attempts.
    pub failed: u64,
    /// Notices that were left out because too many were waiting.
    pub dropped: u64,
    /// The reason why nothing can be delivered until the server is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events_are_those_of_the_json() {
        for (name, event) in NoticeEvent::NAMES {
            assert_eq!(serde_json::to_value(event).unwrap(), name);
            assert_eq!(event.name(), name);
        }
    }
}
