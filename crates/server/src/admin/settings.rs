//! The server's settings, its clock, and the state of the Server service (MS-SRVS 3.1.4.17, 3.1.4.18,
//! 3.1.4.21).

use std::sync::Arc;

use registry::{Limits, Time};

use super::{Caller, Ended, Error, Right, audit, check};
use crate::core::config::{Lockout, MAX_AUTODISCONNECT, PasswordPolicy, Settings, check_remark};
use crate::core::limits::{
    LOCKOUT_MINUTES_MAX, LOCKOUT_THRESHOLD_MAX, PASSWORD_DAYS_MAX, PASSWORD_HISTORY_MAX, PASSWORD_LENGTH_MAX,
};
use crate::core::server::Server;

/// A change of the server's settings; `None` leaves a setting unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingsEdit {
    pub(crate) comment: Option<String>,
    pub(crate) hidden: Option<bool>,
    /// Minutes; the inner `None` means never.
    pub(crate) autodisconnect: Option<Option<u32>>,
    /// The rules for accounts and passwords.
    pub(crate) rules: Option<(Lockout, PasswordPolicy)>,
}

/// A request to the Server service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAction {
    Stop,
    Pause,
    Continue,
}

/// The state of the Server service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceState {
    Running,
    Paused,
    Stopping,
}

/// The clock and the uptime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) now: Time,
    /// The offset of local time from UTC in minutes, positive to the east.
    pub(crate) offset_minutes: i32,
    /// The seconds since the machine started.
    pub(crate) uptime_seconds: u64,
}

/// The current settings and the limits that belong to them.
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

/// The current settings; `right` is the right that the caller needs for the requested part.
pub(crate) fn settings(server: &Server, caller: &Caller, right: Right) -> Result<ServerSettings, Error> {
    check(caller, right)?;
    Ok(ServerSettings::of(server))
}

impl SettingsEdit {
    /// A description of the change for the audit log.
    fn described(&self) -> String {
        let changes = [
            self.comment.as_ref().map(|it| format!("comment={it:?}")),
            self.hidden.map(|it| format!("hidden={it}")),
            self.autodisconnect.map(|it| match it {
                Some(minutes) => format!("autodisconnect={minutes}"),
                None => String::from("autodisconnect=-1"),
            }),
            self.rules.map(|(lockout, passwords)| {
                format!(
                    "min_password_length={} max_password_age={} min_password_age={} password_history={} \
                     lockout_threshold={} lockout_duration={} lockout_window={}",
                    passwords.min_length,
                    passwords.max_age_days,
                    passwords.min_age_days,
                    passwords.history,
                    lockout.threshold,
                    lockout.duration,
                    lockout.window
                )
            }),
        ];
        changes.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Changes the settings. `edit` is called only if the caller has the right; it returns `None` if there is
/// nothing to change.
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
    audit::act(server, caller, "change settings", &object, &changed.map(|_| Ended::default()));
    changed?;
    Ok(ServerSettings::of(server))
}

/// The state of the Server service.
pub(crate) fn service(server: &Server, caller: &Caller) -> Result<ServiceState, Error> {
    check(caller, Right::ReadServer)?;
    Ok(match (server.running.is_stopping(), server.running.is_paused()) {
        (true, _) => ServiceState::Stopping,
        (false, true) => ServiceState::Paused,
        (false, false) => ServiceState::Running,
    })
}

/// Stops, pauses or continues the Server service. While it is paused, existing sessions continue, and only
/// administrators can start new ones.
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
            // A drain is what keeps users from opening files, and may be about to stop the server.
            let scope = registry::DrainScope::Server;
            if super::drain_state(server, &scope).is_some() {
                super::end_drain(server, caller, &scope).map_err(|it| it.error)?;
            }
            "continue service"
        }
    };
    audit::act(server, caller, act, &server.settings().name, &Ok(Ended::default()));
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
    if let Some((lockout, passwords)) = edit.rules {
        let within = |value: u32, max: i64| i64::from(value) <= max;
        let is_good = within(lockout.threshold, LOCKOUT_THRESHOLD_MAX)
            && within(lockout.duration, LOCKOUT_MINUTES_MAX)
            && within(lockout.window, LOCKOUT_MINUTES_MAX)
            && lockout.window > 0
            && within(passwords.min_length, PASSWORD_LENGTH_MAX)
            && within(passwords.max_age_days, PASSWORD_DAYS_MAX)
            && within(passwords.min_age_days, PASSWORD_DAYS_MAX)
            && within(passwords.history, PASSWORD_HISTORY_MAX);
        // A password that expires before it can be changed would lock its user out.
        if !is_good || passwords.max_age_days != 0 && passwords.min_age_days >= passwords.max_age_days {
            return Err(Error::InvalidParameter);
        }
        (settings.lockout, settings.passwords) = (lockout, passwords);
    }
    Ok(())
}

/// The offset of the machine's local time from UTC.
fn offset_minutes(now: Time) -> i32 {
    let now = i64::try_from(now.0).ok().and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
    now.map_or(0, |now| jiff::tz::TimeZone::system().to_offset(now).seconds() / 60)
}
