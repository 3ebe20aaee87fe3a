//! The routes of shares.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use control::{Ended, Grant, GrantRight, NewShare, Page, Share, ShareChange};
use registry::ShareSnapshot;

use super::answer::Refused;
use super::routes::{Answer, Asker, Body, Name, named, performed};
use super::view;
use crate::admin::{self, Caller, Error, Right, ShareEdit};
use crate::core::config::{self, Caching, Grantee, check_remark, check_share_name};
use crate::core::server::Server;

pub(super) async fn list(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Page<Share>> {
    let right = right(&caller);
    look(&server, right, server.shares()).await;
    let shares = admin::shares(&server, &caller, right)?;
    Ok(Json(Page::whole(shares.iter().map(|it| seen(&server, it, right)).collect())))
}

pub(super) async fn get(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
) -> Answer<Share> {
    let name = named(name)?;
    let right = right(&caller);
    look(&server, right, server.share(&name).into_iter().collect()).await;
    Ok(Json(seen(&server, &admin::share(&server, &caller, &name, right)?, right)))
}

/// Whoever has logged on may learn what browsing takes (MS-SRVS 3.1.4.8, level 1).
fn right(caller: &Caller) -> Right {
    if admin::may(caller, Right::ReadShares) || !admin::may(caller, Right::BrowseShares) {
        Right::ReadShares
    } else {
        Right::BrowseShares
    }
}

/// Looks whether the shares' directories are there, for those who are told.
async fn look(server: &Server, right: Right, shares: Vec<Arc<crate::core::tree::Share>>) {
    if right == Right::ReadShares {
        server.look_at(&shares).await;
    }
}

fn seen(server: &Server, share: &ShareSnapshot, right: Right) -> Share {
    let all = view::share(server, share);
    if right == Right::ReadShares {
        return all;
    }
    Share { name: all.name, kind: all.kind, special: all.special, comment: all.comment, ..Share::default() }
}

pub(super) async fn add(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<NewShare>,
) -> Answer<Share> {
    let Json(share) = body.map_err(Refused::malformed)?;
    check_words(Some(&share), &share.settings)?;
    performed(move || {
        let edit = edit(share.settings)?;
        let added = admin::add_share(&server, &caller, &share.name, PathBuf::from(share.path), edit)?;
        Ok(view::share(&server, &added))
    })
    .await
}

pub(super) async fn change(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
    body: Body<ShareChange>,
) -> Answer<Share> {
    let name = named(name)?;
    let Json(change) = body.map_err(Refused::malformed)?;
    check_words(None, &change)?;
    performed(move || {
        let changed = admin::change_share(&server, &caller, &name, edit(change)?)?;
        Ok(view::share(&server, &changed))
    })
    .await
}

pub(super) async fn delete(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
) -> Answer<Ended> {
    let name = named(name)?;
    performed(move || Ok(view::ended(admin::delete_share(&server, &caller, &name)?))).await
}

/// Says what is wrong with the words of a new share or of a change, where the verb would only say that something is.
fn check_words(new: Option<&NewShare>, change: &ShareChange) -> Result<(), Refused> {
    if let Some(share) = new {
        if let Err(why) = check_share_name(&share.name) {
            let error = Error::InvalidName;
            return Err(control::Error::new(error.number().0, error.to_string()).with_hint(why).into());
        }
        if !share.path.starts_with('/') {
            let path = &share.path;
            return Err(Refused::malformed(format!(
                "{path} is not absolute: the server needs the whole path"
            )));
        }
    }
    if let Some(Err(why)) = change.comment.as_deref().map(check_remark) {
        return Err(Refused::malformed(format!("the remark: {why}")));
    }
    if let Some(word) = change.caching.as_deref().filter(|word| policy(word).is_none()) {
        let all = [Caching::Manual, Caching::Documents, Caching::Programs, Caching::None].map(self::word);
        return Err(Refused::malformed(format!("caching {word} is none of {}", all.join(", "))));
    }
    Ok(())
}

fn edit(change: ShareChange) -> Result<ShareEdit, Error> {
    let ShareChange { comment, uses_max, caching, read_only, grants } = change;
    Ok(ShareEdit {
        remark: comment,
        max_users: uses_max.map(|max| Some(max).filter(|max| *max != 0)),
        caching: caching.map(|word| policy(&word).ok_or(Error::InvalidParameter)).transpose()?,
        read_only,
        encrypt: None,
        access_based_enum: None,
        temporary: None,
        grants: grants.map(|grants| grants.into_iter().map(grant).collect()).transpose()?,
    })
}

/// The word for a caching policy, as `control::Share::caching` has it.
pub(super) fn word(caching: Caching) -> &'static str {
    match caching {
        Caching::Manual => "manual",
        Caching::Documents => "documents",
        Caching::Programs => "programs",
        Caching::None => "none",
    }
}

fn policy(asked: &str) -> Option<Caching> {
    let all = [Caching::Manual, Caching::Documents, Caching::Programs, Caching::None];
    all.into_iter().find(|it| word(*it).eq_ignore_ascii_case(asked))
}

fn grant(grant: Grant) -> Result<config::Grant, Error> {
    let right = match grant.right {
        _ if grant.denied || grant.mask.is_some() => return Err(Error::NotSupported),
        GrantRight::Read => config::GrantRight::Read,
        GrantRight::Change => config::GrantRight::Change,
        GrantRight::Full => config::GrantRight::Full,
        GrantRight::Special => return Err(Error::NotSupported),
    };
    let who = match grant.group {
        None if !grant.user.is_empty() => Grantee::User(grant.user),
        Some(group) if grant.user.is_empty() && !group.is_empty() => Grantee::Group(group),
        _ => return Err(Error::InvalidParameter),
    };
    Ok(config::Grant { who, right })
}

/// A grant as the control API shows it.
pub(super) fn shown(grant: &config::Grant) -> Grant {
    let right = match grant.right {
        config::GrantRight::Read => GrantRight::Read,
        config::GrantRight::Change => GrantRight::Change,
        config::GrantRight::Full => GrantRight::Full,
    };
    let who = match &grant.who {
        Grantee::User(name) => Grant::of_user(name),
        Grantee::Group(name) => Grant::of_group(name),
    };
    Grant { right, ..who }
}
