//! The server's settings, counters, clock and accounts in the form of the control API.

use std::sync::Arc;

use control::{
    Clock, ConsoleState, CurrentCounts, HistoryState, Logon, LogonHours, NewUser, PasswordChange,
    PasswordRules, PasswordRulesChange, RequestStatistics, Sandbox, Service, ServiceAction, ServiceState,
    Settings, SettingsChange, Statistics, StatisticsQuery, TimeClass, Timestamp, User, UserChange,
};
use tokio::time::Instant;
use wire::FileTime;

use super::shown::timestamp;
use crate::admin::{
    self, Caller, Error, HistoryFigures, Measurements, NotSet, Right, ServerSettings, SettingsEdit,
    StatisticsSnapshot, UserEdit,
};
use crate::core::config::{self, Lockout, PasswordPolicy};
use crate::core::limits;
use crate::core::request_counters::{CommandCounts, ResultClass, TIME_BOUNDS_US};
use crate::core::server::Server;

/// The settings.
pub(crate) fn settings(server: &Server, caller: &Caller) -> Result<Settings, Error> {
    let settings = admin::settings(server, caller, Right::ReadServer)?;
    Ok(shown(server, caller, &settings))
}

/// Changes the settings.
pub(crate) fn change_settings(
    server: &Server,
    caller: &Caller,
    change: SettingsChange,
) -> Result<Settings, Error> {
    let edit = |before: &ServerSettings| {
        let autodisconnect = match change.autodisconnect {
            None => None,
            Some(-1) => Some(None),
            Some(minutes) => Some(Some(u32::try_from(minutes).map_err(|_| Error::InvalidParameter)?)),
        };
        let rules = change.password_rules.map(|change| rules(&before.settings, &change));
        Ok(Some(SettingsEdit { comment: change.comment, hidden: change.hidden, autodisconnect, rules }))
    };
    Ok(shown(server, caller, &admin::change_settings(server, caller, edit)?))
}

/// The rules of the settings with a change.
fn rules(settings: &config::Settings, change: &PasswordRulesChange) -> (Lockout, PasswordPolicy) {
    let config::Settings { lockout, passwords, .. } = settings;
    let lockout = Lockout {
        threshold: change.lockout_threshold.unwrap_or(lockout.threshold),
        duration: change.lockout_minutes.unwrap_or(lockout.duration),
        window: change.lockout_window_minutes.unwrap_or(lockout.window),
    };
    let passwords = PasswordPolicy {
        min_length: change.min_length.unwrap_or(passwords.min_length),
        max_age_days: change.max_age_days.unwrap_or(passwords.max_age_days),
        min_age_days: change.min_age_days.unwrap_or(passwords.min_age_days),
        history: change.history.unwrap_or(passwords.history),
    };
    (lockout, passwords)
}

/// The counters.
pub(crate) fn statistics(
    server: &Server,
    caller: &Caller,
    query: StatisticsQuery,
) -> Result<Statistics, Error> {
    let statistics = Statistics {
        history: Some(history(&admin::history_figures(server))),
        ..counters(server, &admin::statistics(server, caller)?)
    };
    if query.detail != Some(true) {
        return Ok(statistics);
    }
    Ok(with_detail(statistics, &admin::measurements(server, caller)?))
}

/// The state of the Server service.
pub(crate) fn service(server: &Server, caller: &Caller) -> Result<Service, Error> {
    admin::service(server, caller).map(state)
}

/// Stops, pauses or continues the Server service.
pub(crate) fn control_service(
    server: &Server,
    caller: &Caller,
    action: ServiceAction,
) -> Result<Service, Error> {
    let action = match action {
        ServiceAction::Stop => admin::ServiceAction::Stop,
        ServiceAction::Pause => admin::ServiceAction::Pause,
        ServiceAction::Continue => admin::ServiceAction::Continue,
    };
    admin::control_service(server, caller, action).map(state)
}

/// The clock.
pub(crate) fn clock(server: &Server, caller: &Caller) -> Result<Clock, Error> {
    let clock = admin::clock(server, caller)?;
    Ok(Clock {
        now: timestamp(clock.now),
        offset_minutes: Some(clock.offset_minutes),
        uptime_seconds: Some(clock.uptime_seconds),
    })
}

/// The accounts.
pub(crate) fn users(server: &Server, caller: &Caller) -> Result<Vec<User>, Error> {
    Ok(admin::users(server, caller)?.iter().map(|it| shown_user(server, it)).collect())
}

/// Changes an account.
pub(crate) fn change_user(
    server: &Server,
    caller: &Caller,
    name: &str,
    change: &UserChange,
) -> Result<User, Error> {
    Ok(shown_user(server, &admin::change_user(server, caller, name, &edit_of(change))?))
}

/// Adds an account.
pub(crate) fn add_user(server: &Server, caller: &Caller, new: &NewUser) -> Result<User, Error> {
    let edit = edit_of(&new.settings);
    Ok(shown_user(server, &admin::add_user(server, caller, &new.name, &new.password, &edit)?))
}

/// Deletes an account, and returns its last state.
pub(crate) fn delete_user(server: &Server, caller: &Caller, name: &str) -> Result<User, Error> {
    Ok(shown_user(server, &admin::delete_user(server, caller, name)?))
}

fn edit_of(change: &UserChange) -> UserEdit {
    let never = (change.never_expires == Some(true)).then_some(None);
    let at = change.expires.map(|at| Some(FileTime::from_unix(at.0.div_euclid(1000), 0)));
    UserEdit {
        active: change.active,
        expires: never.or(at),
        logon_hours: change.logon_hours.map(|hours| hours.limited()),
        must_change_password: change.must_change_password,
        password_changeable: change.password_changeable,
        password_required: change.password_required,
    }
}

/// Sets a password, waiting until an attempt is permitted. The answer to a wrong old one is delayed.
pub(crate) async fn set_password(
    server: &Arc<Server>,
    caller: &Arc<Caller>,
    name: String,
    change: PasswordChange,
) -> Result<User, Error> {
    let patience = Instant::now() + limits::GUESS_PATIENCE;
    let change = Arc::new(change);
    loop {
        let (server, caller, name) = (Arc::clone(server), Arc::clone(caller), name.clone());
        let change = Arc::clone(&change);
        let set = crate::core::blocking::run(move || {
            let changed = admin::set_password(&server, &caller, &name, change.old.as_deref(), &change.new)?;
            Ok(shown_user(&server, &changed))
        });
        match set.await.map_err(|_| Error::Internal)? {
            Ok(changed) => return Ok(changed),
            Err(NotSet::NotYet(wait)) if Instant::now() + wait <= patience => tokio::time::sleep(wait).await,
            Err(NotSet::NotYet(_)) => return Err(Error::Busy),
            Err(NotSet::Refused(error)) => {
                if matches!(error, Error::WrongPassword | Error::LockedOut) {
                    tokio::time::sleep(limits::REFUSED_LOGON_DELAY).await;
                }
                return Err(error);
            }
        }
    }
}

/// The logons at the machine itself.
pub(crate) fn logons(caller: &Caller) -> Result<Vec<Logon>, Error> {
    Ok(admin::logons(caller)?.into_iter().map(Logon::from).collect())
}

fn shown(server: &Server, caller: &Caller, ServerSettings { settings, limits }: &ServerSettings) -> Settings {
    let may_read = admin::check(caller, Right::ReadStatistics).is_ok();
    Settings {
        name: settings.name.clone(),
        comment: settings.comment.clone(),
        version: format!("Shareward {}", env!("CARGO_PKG_VERSION")),
        listening: server.identity.listening().iter().map(ToString::to_string).collect(),
        hidden: Some(settings.hidden),
        users_max: u32::try_from(limits.sessions).ok(),
        files_per_session_max: u32::try_from(limits.opens_per_session).ok(),
        autodisconnect: Some(settings.autodisconnect.map_or(-1, i64::from)),
        domain: Some(settings.domain.as_ref().map_or(&settings.name, |domain| &domain.name).clone()),
        dns_domain: settings.domain.as_ref().map(|domain| domain.realm.to_ascii_lowercase()),
        domain_member: Some(settings.domain.is_some()),
        password_rules: Some(PasswordRules {
            min_length: settings.passwords.min_length,
            max_age_days: settings.passwords.max_age_days,
            min_age_days: settings.passwords.min_age_days,
            history: settings.passwords.history,
            lockout_threshold: settings.lockout.threshold,
            lockout_minutes: settings.lockout.duration,
            lockout_window_minutes: settings.lockout.window,
        }),
        notices: server.notices.states(),
        drain: super::maintenance::drain_of_server(server),
        sandbox: Some(restrictions(&server.sandbox)),
        console: console(server),
        history: may_read.then(|| history(&admin::history_figures(server))),
    }
}

fn history(HistoryFigures { status, waiting }: &HistoryFigures) -> HistoryState {
    HistoryState {
        enabled: status.enabled,
        failure: status.failure.clone(),
        written: status.written,
        waiting: *waiting,
        left_out: status.left_out,
        bytes: status.extent.map(|it| it.bytes),
        oldest: status.extent.and_then(|it| it.oldest_ms).map(Timestamp),
    }
}

fn console(server: &Server) -> Option<ConsoleState> {
    let listening = server.console.listening();
    if listening.is_empty() {
        return None;
    }
    let certificate = server.console.certificate();
    Some(ConsoleState {
        listening: listening.iter().map(ToString::to_string).collect(),
        certificate_sha256: certificate.as_ref().map(|it| it.fingerprint.clone()),
        certificate_expires: certificate.map(|it| Timestamp(it.expires.saturating_mul(1000))),
    })
}

fn restrictions(report: &sandbox::Report) -> Sandbox {
    let names = report.capabilities.iter().flat_map(sandbox::Held::names);
    Sandbox {
        mode: report.mode.name().to_owned(),
        landlock: report.files.to_string(),
        system_calls: report.calls.to_string(),
        capabilities: names.map(str::to_owned).collect(),
        missing: report.shortcomings(),
    }
}

fn counters(server: &Server, counted: &StatisticsSnapshot) -> Statistics {
    Statistics {
        server: server.settings().name.clone(),
        since: Some(timestamp(counted.started)),
        sessions_accepted: Some(counted.session_opens),
        sessions_timed_out: Some(counted.sessions_timed_out),
        sessions_errored_out: Some(counted.sessions_errored_out),
        bytes_sent: Some(counted.bytes_sent),
        bytes_received: Some(counted.bytes_received),
        response_milliseconds: Some(counted.average_response_ms()),
        system_errors: Some(counted.system_errors),
        permission_violations: Some(counted.permission_errors),
        password_violations: Some(counted.password_errors),
        files_opened: Some(counted.file_opens),
        devices_opened: Some(counted.device_opens),
        jobs_spooled: Some(counted.jobs_queued),
        big_buffers_exhausted: None,
        request_buffers_exhausted: None,
        ..Statistics::default()
    }
}

fn with_detail(statistics: Statistics, measured: &Measurements) -> Statistics {
    let counted = &measured.counted;
    Statistics {
        opens_refused: Some(counted.opens_refused),
        lock_conflicts: Some(counted.lock_conflicts),
        breaks_sent: Some(counted.breaks_sent),
        breaks_timed_out: Some(counted.breaks_timed_out),
        credits_granted: Some(counted.credits_granted),
        credits_charged: Some(counted.credits_charged),
        requests: measured.requests.iter().map(of_command).collect(),
        current: Some(current(measured)),
        ..statistics
    }
}

fn of_command(counts: &CommandCounts) -> RequestStatistics {
    let bounds = TIME_BOUNDS_US.into_iter().map(Some).chain([None]);
    let times =
        bounds.zip(counts.times).map(|(microseconds_max, count)| TimeClass { microseconds_max, count });
    RequestStatistics {
        command: counts.command.name().unwrap_or_default().to_ascii_lowercase(),
        success: counts.of(ResultClass::Success),
        not_found: counts.of(ResultClass::NotFound),
        denied: counts.of(ResultClass::Denied),
        conflict: counts.of(ResultClass::Conflict),
        cancelled: counts.of(ResultClass::Cancelled),
        server_error: counts.of(ResultClass::ServerError),
        other: counts.of(ResultClass::Other),
        timed: counts.timed(),
        microseconds: counts.total_us,
        times: times.collect(),
    }
}

fn current(measured: &Measurements) -> CurrentCounts {
    let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
    let sizes = measured.sizes;
    CurrentCounts {
        connections: count(sizes.connections),
        sessions: count(sizes.sessions),
        trees: count(sizes.trees),
        opens: count(sizes.opens),
        files: count(sizes.files),
        locks: count(sizes.locks),
        orphans: count(sizes.orphans),
        waiting_requests: count(sizes.waiting),
        delayed_logons: count(measured.delayed_logons),
        shares: count(sizes.shares),
    }
}

fn state(state: admin::ServiceState) -> Service {
    let state = match state {
        admin::ServiceState::Running => ServiceState::Running,
        admin::ServiceState::Paused => ServiceState::Paused,
        admin::ServiceState::Stopping => ServiceState::Stopping,
    };
    Service { state }
}

fn shown_user(server: &Server, user: &auth::users::User) -> User {
    let guessed = admin::guessed(server, &user.name);
    let locked = guessed.locked_until.is_some() || user.flags.contains('L');
    let time = |at: FileTime| Timestamp(at.to_unix().0.saturating_mul(1000));
    let must_change = user.must_change_password();
    let set = Some(user.last_change).filter(|set| *set != FileTime::NONE && !must_change);
    User {
        name: user.name.clone(),
        enabled: user.is_enabled(),
        administrator: Some(admin::is_administrator(server, &user.name)),
        password_set: set.map(time),
        password_required: Some(!user.flags.contains('N')),
        locked: Some(locked),
        locked_until: guessed.locked_until.filter(|until| until.0 != u64::MAX).map(timestamp),
        wrong_passwords: Some(guessed.wrong),
        expires: user.rules.expires.map(time),
        logon_hours: user.rules.logon_hours.map(LogonHours),
        password_expires: user.password_expires(server.password_age_max()).map(time),
        must_change_password: Some(must_change),
        password_changeable: Some(!user.rules.is_password_fixed),
        unix_account: admin::has_unix_account(server, &user.name),
    }
}
