//! The routes of the server's settings, counters, clock and accounts.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use control::{
    Clock, Logon, Page, PasswordChange, Service, ServiceAction, Settings, SettingsChange, Statistics, User,
    UserChange,
};

use super::answer::Refused;
use super::routes::{Answer, Asker, Body, Name, named, performed};
use crate::admin::view;
use crate::core::server::Server;

pub(super) async fn get(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Settings> {
    Ok(Json(view::settings(&server, &caller)?))
}

pub(super) async fn change(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<SettingsChange>,
) -> Answer<Settings> {
    let Json(change) = body.map_err(Refused::malformed)?;
    performed(move || view::change_settings(&server, &caller, change)).await
}

pub(super) async fn statistics(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
) -> Answer<Statistics> {
    Ok(Json(view::statistics(&server, &caller)?))
}

pub(super) async fn service(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Service> {
    Ok(Json(view::service(&server, &caller)?))
}

pub(super) async fn control_service(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<ServiceAction>,
) -> Answer<Service> {
    let Json(action) = body.map_err(Refused::malformed)?;
    Ok(Json(view::control_service(&server, &caller, action)?))
}

pub(super) async fn clock(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Clock> {
    Ok(Json(view::clock(&server, &caller)?))
}

pub(super) async fn users(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Page<User>> {
    performed(move || view::users(&server, &caller).map(Page::whole)).await
}

pub(super) async fn set_password(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
    body: Body<PasswordChange>,
) -> Answer<User> {
    let name = named(name)?;
    let Json(change) = body.map_err(Refused::malformed)?;
    Ok(Json(view::set_password(&server, &caller, name, change).await?))
}

pub(super) async fn change_user(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
    body: Body<UserChange>,
) -> Answer<User> {
    let name = named(name)?;
    let Json(change) = body.map_err(Refused::malformed)?;
    performed(move || view::set_active(&server, &caller, &name, change.active)).await
}

pub(super) async fn logons(Extension(caller): Asker) -> Answer<Page<Logon>> {
    performed(move || view::logons(&caller).map(Page::whole)).await
}
