//! The routes of the server's settings, counters, clock and accounts.

use axum::Json;
use control::{
    Clock, Group, GroupChange, Logon, NewGroup, NewUser, Page, PasswordChange, Service, ServiceAction,
    Settings, SettingsChange, Statistics, StatisticsQuery, User, UserChange,
};

use super::asked::{Asked, Body, Filters, InPath, Name};
use super::routes::{Answer, performed};
use crate::admin::view;

pub(super) async fn get(asked: Asked) -> Answer<Settings> {
    Ok(Json(view::settings(&asked.server, &asked.caller)?))
}

pub(super) async fn change(asked: Asked, Body(change): Body<SettingsChange>) -> Answer<Settings> {
    performed(move || view::change_settings(&asked.server, &asked.caller, change)).await
}

pub(super) async fn statistics(asked: Asked, Filters(query): Filters<StatisticsQuery>) -> Answer<Statistics> {
    Ok(Json(view::statistics(&asked.server, &asked.caller, query)?))
}

pub(super) async fn service(asked: Asked) -> Answer<Service> {
    Ok(Json(view::service(&asked.server, &asked.caller)?))
}

pub(super) async fn control_service(asked: Asked, Body(action): Body<ServiceAction>) -> Answer<Service> {
    Ok(Json(view::control_service(&asked.server, &asked.caller, action)?))
}

pub(super) async fn clock(asked: Asked) -> Answer<Clock> {
    Ok(Json(view::clock(&asked.server, &asked.caller)?))
}

pub(super) async fn users(asked: Asked) -> Answer<Page<User>> {
    performed(move || view::users(&asked.server, &asked.caller).map(Page::whole)).await
}

pub(super) async fn set_password(
    asked: Asked,
    InPath(name): Name,
    Body(change): Body<PasswordChange>,
) -> Answer<User> {
    Ok(Json(view::set_password(&asked.server, &asked.caller, name, change).await?))
}

pub(super) async fn change_user(
    asked: Asked,
    InPath(name): Name,
    Body(change): Body<UserChange>,
) -> Answer<User> {
    performed(move || view::change_user(&asked.server, &asked.caller, &name, &change)).await
}

pub(super) async fn add_user(asked: Asked, Body(new): Body<NewUser>) -> Answer<User> {
    performed(move || view::add_user(&asked.server, &asked.caller, &new)).await
}

pub(super) async fn delete_user(asked: Asked, InPath(name): Name) -> Answer<User> {
    performed(move || view::delete_user(&asked.server, &asked.caller, &name)).await
}

pub(super) async fn groups(asked: Asked) -> Answer<Page<Group>> {
    performed(move || view::groups(&asked.server, &asked.caller).map(Page::whole)).await
}

pub(super) async fn add_group(asked: Asked, Body(new): Body<NewGroup>) -> Answer<Group> {
    performed(move || view::add_group(&asked.server, &asked.caller, &new)).await
}

pub(super) async fn change_group(
    asked: Asked,
    InPath(name): Name,
    Body(change): Body<GroupChange>,
) -> Answer<Group> {
    performed(move || view::change_group(&asked.server, &asked.caller, &name, change)).await
}

pub(super) async fn delete_group(asked: Asked, InPath(name): Name) -> Answer<Group> {
    performed(move || view::delete_group(&asked.server, &asked.caller, &name)).await
}

pub(super) async fn logons(asked: Asked) -> Answer<Page<Logon>> {
    performed(move || view::logons(&asked.caller).map(Page::whole)).await
}
