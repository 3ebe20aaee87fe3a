//! Local groups: the server's own, which administrators add and change, and those that every machine has.

use std::sync::Arc;

use auth::users::User;
use wire::AccountName;
use wire::security::{Sid, WellKnown};

use super::{Caller, Ended, Error, Right, audit, check, is_administrator};
use crate::core::audit::loggable;
use crate::core::config::{Grant, GrantRight, Grantee, LocalGroup, Settings, check_group_name, check_remark};
use crate::core::configuration::ChangeError;
use crate::core::limits::{LOCAL_GROUP_MEMBERS_MAX, LOCAL_GROUPS_MAX};
use crate::core::security::{Names, Principal, PrincipalKind};
use crate::core::server::Server;

/// A local group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// The name, the comment and the members.
    pub(crate) group: LocalGroup,
    /// True for a group that every machine has, whose members other settings determine.
    pub(crate) built_in: bool,
}

/// A change of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupEdit {
    /// The new comment; `None` leaves it.
    pub(crate) comment: Option<String>,
    /// The users and groups to add.
    pub(crate) add: Vec<String>,
    /// The users and groups to remove.
    pub(crate) remove: Vec<String>,
}

/// All local groups, in the order of their names.
pub(crate) fn groups(server: &Server, caller: &Caller) -> Result<Vec<Group>, Error> {
    check(caller, Right::ReadUsers)?;
    server.refresh_accounts();
    let mut all: Vec<Group> = WellKnown::aliases().map(|alias| built_in(server, alias)).collect();
    let own = server.settings();
    all.extend(own.groups.iter().map(|group| Group { group: group.clone(), built_in: false }));
    all.sort_by_cached_key(|it| AccountName::new(&it.group.name));
    Ok(all)
}

/// The members of a group that every machine has: of Administrators the users in the settings, of Users all accounts.
fn built_in(server: &Server, alias: WellKnown) -> Group {
    let accounts = server.accounts();
    let is_in = |account: &&User| match alias.sid {
        Sid::ADMINISTRATORS => is_administrator(server, &account.name),
        Sid::USERS => true,
        _ => false,
    };
    let mut users: Vec<String> = accounts.users().filter(is_in).map(|account| account.name.clone()).collect();
    if alias.sid == Sid::ADMINISTRATORS {
        let known: Vec<AccountName> = users.iter().map(|name| AccountName::new(name)).collect();
        let settings = server.settings();
        let others = settings.administrators.iter().filter(|name| {
            let local = server.local_name(name).unwrap_or(name);
            !known.contains(&AccountName::new(local))
        });
        users.extend(others.cloned());
    }
    let group = LocalGroup { name: alias.name.to_owned(), users, ..LocalGroup::default() };
    Group { group, built_in: true }
}

/// The SIDs of the members of an own group, as far as they are known.
pub(crate) fn group_members(server: &Server, caller: &Caller, name: &str) -> Result<Vec<Sid>, Error> {
    check(caller, Right::ReadUsers)?;
    let group = server.settings().local_group(name).ok_or(Error::NoSuchGroup)?;
    let names = Names::for_caller(server, caller);
    let members: Vec<Grant> = group
        .users
        .into_iter()
        .map(Grantee::User)
        .chain(group.groups.into_iter().map(Grantee::Group))
        .map(|who| Grant { who, right: GrantRight::Read })
        .collect();
    names.look_up_grantees(&members);
    Ok(members.iter().filter_map(|member| names.of_grantee(member)).collect())
}

/// Adds a group without members.
pub(crate) fn add_group(server: &Server, caller: &Caller, name: &str, comment: &str) -> Result<Group, Error> {
    check(caller, Right::ChangeSettings)?;
    server.refresh_accounts();
    let added = change(server, caller, name, |settings| {
        check_group_name(name).map_err(|_| Error::InvalidName)?;
        check_remark(comment).map_err(|_| Error::InvalidParameter)?;
        let is_taken = settings.local_group(name).is_some() || name.eq_ignore_ascii_case(&settings.name);
        // Grants for a Unix group of this name would be for others from now on.
        if is_taken || crate::core::identity::gid_of(name).is_some() {
            return Err(Error::GroupExists);
        }
        if server.accounts().user(name).is_some() {
            return Err(Error::UserExists);
        }
        if settings.groups.len() >= LOCAL_GROUPS_MAX {
            return Err(Error::TooMuch);
        }
        let group =
            LocalGroup { name: name.to_owned(), comment: comment.to_owned(), ..LocalGroup::default() };
        Arc::make_mut(&mut settings.groups).push(group);
        Ok(())
    });
    record(server, caller, "add group", name, &added);
    added?;
    own(server, name)
}

/// Changes a group and its members: all of what is asked, or nothing.
pub(crate) fn change_group(
    server: &Server,
    caller: &Caller,
    name: &str,
    edit: &GroupEdit,
) -> Result<Group, Error> {
    check(caller, Right::ChangeSettings)?;
    server.refresh_accounts();
    let names = Names::for_caller(server, caller);
    names.look_up_names(edit.add.iter().chain(&edit.remove).map(String::as_str));
    let changed = change(server, caller, name, |settings| {
        let group = to_change(settings, name)?;
        if let Some(comment) = &edit.comment {
            check_remark(comment).map_err(|_| Error::InvalidParameter)?;
            comment.clone_into(&mut group.comment);
        }
        for written in &edit.add {
            let (member, is_group) = member(server, &names, written)?;
            let list = if is_group { &mut group.groups } else { &mut group.users };
            if list.iter().any(|it| is_same(it, &member)) {
                return Err(Error::MemberInGroup);
            }
            list.push(member);
        }
        for written in &edit.remove {
            remove(server, &names, group, written)?;
        }
        if group.users.len().saturating_add(group.groups.len()) > LOCAL_GROUP_MEMBERS_MAX {
            return Err(Error::TooMuch);
        }
        Ok(())
    });
    let words = |act: &str, all: &[String]| {
        all.iter().map(|it| format!(" {act}{}", loggable(it))).collect::<String>()
    };
    let object = format!("{}{}{}", loggable(name), words("+", &edit.add), words("-", &edit.remove));
    record(server, caller, "change group", &object, &changed);
    changed?;
    own(server, name)
}

/// Deletes a group, and returns its last state. Grants for it are for nobody then, or for a Unix group of that name.
pub(crate) fn delete_group(server: &Server, caller: &Caller, name: &str) -> Result<Group, Error> {
    check(caller, Right::ChangeSettings)?;
    let mut last = None;
    let deleted = change(server, caller, name, |settings| {
        let known = to_change(settings, name)?.clone();
        Arc::make_mut(&mut settings.groups).retain(|group| group.name != known.name);
        last = Some(known);
        Ok(())
    });
    record(server, caller, "delete group", name, &deleted);
    deleted?;
    last.map(|group| Group { group, built_in: false }).ok_or(Error::Internal)
}

/// Changes a group, of the server or of its cluster. On a node of a cluster that keeps users there, a group that is not in the
/// file is added, changed and deleted there.
fn change(
    server: &Server,
    caller: &Caller,
    written: &str,
    change: impl FnOnce(&mut Settings) -> Result<(), Error>,
) -> Result<(), Error> {
    let settings = server.settings();
    let is_own = |name: &str| {
        settings.own_groups().any(|group| AccountName::new(&group.name) == AccountName::new(name))
    };
    let name =
        settings.name_of_group(written).filter(|name| !is_own(name) && WellKnown::of_name(name).is_none());
    let of_cluster = match name {
        Some(name) => server.cluster.group_to_change(&settings, name, super::cluster_shares::author(caller)),
        None => Ok(None),
    };
    match of_cluster.map_err(ChangeError::Cluster)? {
        Some(of_cluster) => of_cluster.change(change, |refused| ChangeError::Cluster(refused).into()),
        None => server.change_settings(change).map(drop),
    }
}

fn record(server: &Server, caller: &Caller, act: &'static str, object: &str, outcome: &Result<(), Error>) {
    let outcome = outcome.map(|()| Ended::default());
    audit::act(server, caller, act, &format!("group {object}"), &outcome);
}

fn own(server: &Server, name: &str) -> Result<Group, Error> {
    let group = server.settings().local_group(name).ok_or(Error::NoSuchGroup)?;
    Ok(Group { group, built_in: false })
}

/// The own group with this name, to be changed.
fn to_change<'a>(settings: &'a mut Settings, name: &str) -> Result<&'a mut LocalGroup, Error> {
    let known = settings.local_group(name).ok_or_else(|| match WellKnown::of_name(name) {
        Some(it) if it.is_alias() => Error::SpecialGroup,
        _ => Error::NoSuchGroup,
    })?;
    let groups = Arc::make_mut(&mut settings.groups);
    groups.iter_mut().find(|group| group.name == known.name).ok_or(Error::NoSuchGroup)
}

/// The user or group as the settings name it; true for a group.
fn member(server: &Server, names: &Names<'_>, written: &str) -> Result<(String, bool), Error> {
    let Principal { kind, domain, name, sid, .. } = names.of_name(written).ok_or(Error::NoSuchMember)?;
    let is_own = sid.split_rid().is_some_and(|(of, _)| of == server.machine().sid());
    let is_unix = matches!((sid.authority(), sid.sub_authorities()), (22, _));
    match kind {
        // A Unix user without an account cannot log on.
        PrincipalKind::User if is_unix => Err(Error::NoSuchMember),
        PrincipalKind::User
            if is_own
                || server.accounts().user(&name).is_some_and(|_| server.local_name(written).is_some()) =>
        {
            Ok((name, false))
        }
        PrincipalKind::User => Ok((format!("{domain}\\{name}"), false)),
        PrincipalKind::Group if is_unix => Ok((name, true)),
        // Own groups are in no group, and the groups that every machine has are not the server's.
        PrincipalKind::Group | PrincipalKind::Alias if is_own => Err(Error::InvalidMember),
        PrincipalKind::Group => Ok((format!("{domain}\\{name}"), true)),
        PrincipalKind::Alias if WellKnown::of_sid(sid).is_none() => Ok((format!("{domain}\\{name}"), true)),
        PrincipalKind::Alias | PrincipalKind::Domain | PrincipalKind::WellKnownGroup => {
            Err(Error::InvalidMember)
        }
    }
}

/// Removes a member, whether its name is still known or not.
fn remove(server: &Server, names: &Names<'_>, group: &mut LocalGroup, written: &str) -> Result<(), Error> {
    let known = member(server, names, written).ok().map(|(name, _)| name);
    let is_meant =
        |it: &String| is_same(it, written) || known.as_ref().is_some_and(|known| is_same(it, known));
    for list in [&mut group.users, &mut group.groups] {
        if let Some(place) = list.iter().position(is_meant) {
            list.remove(place);
            return Ok(());
        }
    }
    Err(Error::MemberNotInGroup)
}

fn is_same(one: &str, other: &str) -> bool {
    AccountName::new(one) == AccountName::new(other)
}
