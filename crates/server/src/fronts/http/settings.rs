//! The routes of the server's settings, counters, clock and accounts.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use control::{
    Clock, Logon, Page, PasswordChange, Service, ServiceAction, ServiceState, Settings, SettingsChange,
    Statistics, Timestamp, User, UserChange,
};
use registry::StatisticsSnapshot;
use tokio::time::Instant;

use super::answer::Refused;
use super::routes::{Answer, Asker, Body, Name, named, performed};
use super::view::timestamp;
use crate::admin::{self, Error, NotSet, SettingsEdit};
use crate::core::server::Server;
use crate::core::{config, limits};

pub(super) async fn get(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Settings> {
    Ok(Json(settings(&server, &*admin::settings(&server, &caller)?)))
}

pub(super) async fn change(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<SettingsChange>,
) -> Answer<Settings> {
    let Json(change) = body.map_err(Refused::malformed)?;
    performed(move || {
        let autodisconnect = match change.autodisconnect {
            None => None,
            Some(-1) => Some(None),
            Some(minutes) => Some(Some(u32::try_from(minutes).map_err(|_| Error::InvalidParameter)?)),
        };
        let edit = SettingsEdit { comment: change.comment, hidden: change.hidden, autodisconnect };
        Ok(settings(&server, &*admin::change_settings(&server, &caller, edit)?))
    })
    .await
}

pub(super) async fn statistics(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
) -> Answer<Statistics> {
    Ok(Json(counters(&server, &admin::statistics(&server, &caller)?)))
}

pub(super) async fn service(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Service> {
    Ok(Json(state(admin::service(&server, &caller)?)))
}

pub(super) async fn control_service(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<ServiceAction>,
) -> Answer<Service> {
    let Json(action) = body.map_err(Refused::malformed)?;
    let action = match action {
        ServiceAction::Stop => admin::ServiceAction::Stop,
        ServiceAction::Pause => admin::ServiceAction::Pause,
        ServiceAction::Continue => admin::ServiceAction::Continue,
    };
    Ok(Json(state(admin::control_service(&server, &caller, action)?)))
}

pub(super) async fn clock(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Clock> {
    let clock = admin::clock(&server, &caller)?;
    Ok(Json(Clock {
        now: timestamp(clock.now),
        offset_minutes: Some(clock.offset_minutes),
        uptime_seconds: Some(clock.uptime_seconds),
    }))
}

pub(super) async fn users(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Page<User>> {
    performed(move || {
        let users = admin::users(&server, &caller)?;
        Ok(Page::whole(users.iter().map(|it| user(&server, it)).collect()))
    })
    .await
}

pub(super) async fn set_password(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
    body: Body<PasswordChange>,
) -> Answer<User> {
    let name = named(name)?;
    let Json(change) = body.map_err(Refused::malformed)?;
    let patience = Instant::now() + limits::GUESS_PATIENCE;
    let change = Arc::new(change);
    loop {
        let (server, caller, name) = (Arc::clone(&server), Arc::clone(&caller), name.clone());
        let change = Arc::clone(&change);
        let set = crate::core::blocking::run(move || {
            let changed = admin::set_password(&server, &caller, &name, change.old.as_deref(), &change.new)?;
            Ok(user(&server, &changed))
        });
        match set.await.map_err(|_| Error::Internal)? {
            Ok(changed) => return Ok(Json(changed)),
            Err(NotSet::NotYet(wait)) if Instant::now() + wait <= patience => tokio::time::sleep(wait).await,
            Err(NotSet::NotYet(_)) => return Err(Error::Busy.into()),
            Err(NotSet::Refused(error)) => {
                if matches!(error, Error::WrongPassword | Error::LockedOut) {
                    tokio::time::sleep(limits::REFUSED_LOGON_DELAY).await;
                }
                return Err(error.into());
            }
        }
    }
}

pub(super) async fn change_user(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
    body: Body<UserChange>,
) -> Answer<User> {
    let name = named(name)?;
    let Json(change) = body.map_err(Refused::malformed)?;
    performed(move || {
        let changed = admin::set_active(&server, &caller, &name, change.active)?;
        Ok(user(&server, &changed))
    })
    .await
}

pub(super) async fn logons(Extension(caller): Asker) -> Answer<Page<Logon>> {
    performed(move || {
        let logons = admin::logons(&caller)?.into_iter();
        let shown = logons.map(|it| Logon {
            user: it.user,
            domain: None,
            terminal: Some(it.terminal).filter(|it| !it.is_empty()),
            from: Some(it.from).filter(|it| !it.is_empty()),
            since: it.since_ms.map(Timestamp),
        });
        Ok(Page::whole(shown.collect()))
    })
    .await
}

fn settings(server: &Server, settings: &config::Settings) -> Settings {
    let state = server.registry.lock("limits");
    let limits = state.limits();
    Settings {
        name: settings.name.clone(),
        comment: settings.comment.clone(),
        version: format!("Shareward {}", env!("CARGO_PKG_VERSION")),
        listening: server.listening().iter().map(ToString::to_string).collect(),
        hidden: Some(settings.hidden),
        users_max: u32::try_from(limits.sessions).ok(),
        files_per_session_max: u32::try_from(limits.opens_per_session).ok(),
        autodisconnect: Some(settings.autodisconnect.map_or(-1, i64::from)),
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

fn user(server: &Server, user: &auth::users::User) -> User {
    let guessed = admin::guessed(server, &user.name);
    let locked = guessed.locked_until.is_some() || user.flags.contains('L');
    let set = Some(user.last_change).filter(|set| *set != wire::FileTime::NONE);
    User {
        name: user.name.clone(),
        enabled: user.is_enabled(),
        administrator: Some(admin::is_administrator(server, &user.name)),
        password_set: set.map(|set| Timestamp(set.to_unix().0.saturating_mul(1000))),
        password_required: Some(!user.flags.contains('N')),
        locked: Some(locked),
        locked_until: guessed.locked_until.filter(|until| until.0 != u64::MAX).map(timestamp),
        wrong_passwords: Some(guessed.wrong),
    }
}
