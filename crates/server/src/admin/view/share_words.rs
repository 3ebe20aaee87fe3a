//! Conversion between the words of the control API and the settings of shares.

use control::{Grant, GrantRight, NewShare, ShareChange};

use super::malformed;
use crate::admin::{Error, Explained, ShareEdit};
use crate::core::config::{self, Caching, Grantee, check_remark, check_share_name};

/// Checks a new share or a change, to report the reason that the operation itself would not give.
pub(super) fn check_words(new: Option<&NewShare>, change: &ShareChange) -> Result<(), Explained> {
    if let Some(share) = new {
        if let Err(why) = check_share_name(&share.name) {
            return Err(Explained::new(Error::InvalidName, why));
        }
        if !share.path.starts_with('/') {
            let path = &share.path;
            return Err(malformed(format!("the path {path} is not absolute")));
        }
    }
    if let Some(Err(why)) = change.comment.as_deref().map(check_remark) {
        return Err(malformed(format!("the remark: {why}")));
    }
    if let Some(word) = change.caching.as_deref().filter(|word| policy(word).is_none()) {
        let all = [Caching::Manual, Caching::Documents, Caching::Programs, Caching::None].map(self::word);
        return Err(malformed(format!("caching {word} is none of {}", all.join(", "))));
    }
    Ok(())
}

/// The change that a request describes.
pub(super) fn edit(change: ShareChange) -> Result<ShareEdit, Error> {
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

/// The word for a caching policy, as in `control::Share::caching`.
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

/// The grant in the form of the control API.
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
