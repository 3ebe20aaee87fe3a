//! The server's own settings, its clock, and whether it serves (MS-SRVS 3.1.4.17, 3.1.4.18, 3.1.4.21).

use std::sync::Arc;

use registry::{Limits, Time};

use super::{Caller, Ended, Error, Right, audit, check};
use crate::core::config::{MAX_AUTODISCONNECT, Settings, check_remark};
use crate::core::server::Server;

/// A change of the server's settings: what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingsEdit {
    pub(crate) comment: Option<String>,
    pub(crate) hidden: Option<bool>,
    /// Minutes; none in it for never.
    pub(crate) autodisconnect: Option<Option<u32>>,
}

/// What the Server service is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAction {
    Stop,
    Pause,
    Continue,
}

/// What the Server service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceState {
    Running,
    Paused,
    Stopping,
}

/// The clock, and how long it has been counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) now: Time,
    /// Minutes that local time is ahead of UTC.
    pub(crate) offset_minutes: i32,
    /// Since the machine started.
    pub(crate) uptime_seconds: u64,
}

/// The settings in force and the limits that go with them.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Limits,
}

impl ServerSettings {
    fn of(server: &Server) -> Self {
        Self { settings: server.settings(), limits: server.registry.lock("limits").limits().clone() }
    }
}

/// The settings. `right` is what the caller wants to see of them.
pub(crate) fn settings(server: &Server, caller: &Caller, right: Right) -> Result<ServerSettings, Error> {
    check(caller, right)?;
    Ok(ServerSettings::of(server))
}

impl SettingsEdit {
    /// What changes, for the audit log.
    fn described(&self) -> String {
        let changes = [
            self.comment.as_ref().map(|it| format!("comment={it:?}")),
            self.hidden.map(|it| format!("hidden={it}")),
            self.autodisconnect.map(|it| match it {
                Some(minutes) => format!("autodisconnect={minutes}"),
                None => String::from("autodisconnect=-1"),
            }),
        ];
        changes.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Changes the settings. `edit`, which is not looked at for a caller who may not, is none where there is nothing to
/// change.
pub(crate) fn change_settings(
    server: &Server,
    caller: &Caller,
    edit: impl FnOnce(&ServerSettings) -> Result<Option<SettingsEdit>, Error>,
) -> Result<ServerSettings, Error> {
    check(caller, Right::ChangeSettings)?;
    let before = ServerSettings::of(server);
    let Some(edit) = edit(&before)? else { return Ok(before) };
    let object = edit.described();
    let changed = server.change_settings(|settings| apply(settings, edit));
    audit::act(caller, "change settings", &object, &changed.map(|_| Ended::default()));
    changed?;
    Ok(ServerSettings::of(server))
}

/// What the Server service is doing.
pub(crate) fn service(server: &Server, caller: &Caller) -> Result<ServiceState, Error> {
    check(caller, Right::ReadServer)?;
    Ok(match (server.running.is_stopping(), server.running.is_paused()) {
        (true, _) => ServiceState::Stopping,
        (false, true) => ServiceState::Paused,
        (false, false) => ServiceState::Running,
    })
}

/// Stops, pauses or continues the Server service. While it is paused, who is there goes on, and of
/// those who come only administrators get in.
pub(crate) fn control_service(
    server: &Server,
    caller: &Caller,
    action: ServiceAction,
) -> Result<ServiceState, Error> {
    check(caller, Right::ChangeSettings)?;
    let act = match action {
        ServiceAction::Stop => {
            server.running.stop();
            "stop service"
        }
        ServiceAction::Pause => {
            server.running.pause(true);
            "pause service"
        }
        ServiceAction::Continue => {
            server.running.pause(false);
            "continue service"
        }
    };
    audit::act(caller, act, &server.settings().name, &Ok(Ended::default()));
    service(server, caller)
}

/// The clock.
pub(crate) fn clock(server: &Server, caller: &Caller) -> Result<Clock, Error> {
    check(caller, Right::SeeServer)?;
    let now = server.now();
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    Ok(Clock { now, offset_minutes: offset_minutes(now), uptime_seconds: u64::try_from(uptime).unwrap_or(0) })
}

fn apply(settings: &mut Settings, edit: SettingsEdit) -> Result<(), Error> {
    if let Some(comment) = edit.comment {
        check_remark(&comment).map_err(|_| Error::InvalidParameter)?;
        settings.comment = comment;
    }
    if let Some(minutes) = edit.autodisconnect {
        if minutes.is_some_and(|minutes| i64::from(minutes) > MAX_AUTODISCONNECT) {
            return Err(Error::InvalidParameter);
        }
        settings.autodisconnect = minutes;
    }
    settings.hidden = edit.hidden.unwrap_or(settings.hidden);
    Ok(())
}

/// How far the machine's local time is ahead of UTC.
fn offset_minutes(now: Time) -> i32 {
    let now = i64::try_from(now.0).ok().and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
    now.map_or(0, |now| jiff::tz::TimeZone::system().to_offset(now).seconds() / 60)
}
