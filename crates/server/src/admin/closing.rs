//! Announced closes: an open is closed at a later time, of which its user is told.

use std::time::Duration;

use control::{CloseFile, limits};
use registry::{AnnounceError, AnnouncedClose, FileSnapshot};

use super::close::{GRACE, expected};
use super::files::describe;
use super::{Caller, Ended, Error, Explained, Own, audit, maintenance};
use crate::core::server::Server;

/// The announcement of a close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) within: Duration,
    /// The message for the user.
    pub(crate) text: String,
    /// The expectations and the time for writing back.
    pub(crate) how: CloseFile,
}

/// Announces the close of an open. An earlier announcement is replaced.
pub(crate) fn announce_close(
    server: &Server,
    caller: &Caller,
    id: u32,
    announcement: Announcement,
) -> Result<FileSnapshot, Explained> {
    let Announcement { within, text, how } = announcement;
    if within.as_secs() > limits::DRAIN_SECONDS_MAX {
        let days = limits::DRAIN_SECONDS_MAX / 86_400;
        return Err(Explained::new(Error::InvalidParameter, format!("a close is at most {days} days away")));
    }
    if text.chars().count() > limits::NOTICE_TEXT_MAX || text.chars().any(char::is_control) {
        let reason = format!("text is one line of at most {} characters", limits::NOTICE_TEXT_MAX);
        return Err(Explained::new(Error::InvalidParameter, reason));
    }
    if how.grace.is_some_and(|grace| grace > limits::GRACE_MAX) {
        let reason = format!("grace is at most {} seconds", limits::GRACE_MAX);
        return Err(Explained::new(Error::InvalidParameter, reason));
    }
    let file = expected(server, caller, id, Own::Too, &how)?;
    let milliseconds = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    let now = server.now();
    let grace = how.grace.map_or(GRACE, |grace| Duration::from_secs(grace.into()));
    let close = AnnouncedClose {
        at: now.after_ms(milliseconds(within)),
        text: text.as_str().into(),
        by: caller.user.as_str().into(),
        announced: now,
        grace_ms: milliseconds(grace),
    };
    let mut state = server.registry.lock("announce_close");
    let announced = state.announce_close(file.global_id, close);
    let after = state.file_snapshot(file.global_id);
    drop(state);
    let outcome = announced.map_err(|error| match error {
        AnnounceError::NotFound => Error::NoSuchFile,
        AnnounceError::TooMany => Error::Busy,
    });
    audit::act(server, caller, "announce close", &describe(&file), &outcome.map(|()| Ended::default()));
    outcome?;
    server.signals.maintenance_changed.notify_one();
    let after = after.ok_or(Error::NoSuchFile)?;
    maintenance::report_announced(server, &after);
    Ok(after)
}

/// Cancels an announced close.
pub(crate) fn cancel_announced_close(
    server: &Server,
    caller: &Caller,
    id: u32,
) -> Result<FileSnapshot, Explained> {
    let file = expected(server, caller, id, Own::Too, &CloseFile::default())?;
    let mut state = server.registry.lock("cancel_announced_close");
    let cancelled = state.cancel_announced_close(file.global_id, &caller.user, server.now());
    let after = state.file_snapshot(file.global_id);
    drop(state);
    if cancelled.is_err() {
        return Err(Explained::new(Error::InvalidParameter, "no close of this file is announced"));
    }
    audit::act(server, caller, "cancel announced close", &describe(&file), &Ok(Ended::default()));
    server.signals.maintenance_changed.notify_one();
    maintenance::report_cancelled(server, caller, &file);
    Ok(after.ok_or(Error::NoSuchFile)?)
}
