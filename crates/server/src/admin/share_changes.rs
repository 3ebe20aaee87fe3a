//! Adding, changing and deleting shares (MS-SRVS 3.1.4.7, 3.1.4.11, 3.1.4.12).
//!
//! A new share is available at once. Changes apply to new tree connects; existing ones keep the previous
//! settings. Deleting a share ends its tree connects and their opens.

use std::fmt;
use std::path::PathBuf;

use registry::ShareSnapshot;
use wire::eq_ignore_case;

use super::{Caller, Ended, Error, Right, audit, check};
use crate::core::config::{
    Caching, EVERYONE, Grant, GrantRight, Grantee, Settings, ShareSettings, check_remark, check_share_name,
};
use crate::core::security::Names;
use crate::core::server::Server;

/// A change of a share; `None` leaves a setting unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShareEdit {
    pub(crate) remark: Option<String>,
    /// The limit of tree connects; the inner `None` means no limit.
    pub(crate) max_users: Option<Option<u32>>,
    pub(crate) caching: Option<Caching>,
    pub(crate) read_only: Option<bool>,
    pub(crate) encrypt: Option<bool>,
    pub(crate) access_based_enum: Option<bool>,
    /// True if the share is not stored permanently.
    pub(crate) temporary: Option<bool>,
    /// The new grants, which replace the existing ones.
    pub(crate) grants: Option<Vec<Grant>>,
}

/// The changed fields, for the audit log.
impl fmt::Display for ShareEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn shown(value: &Option<impl fmt::Debug>) -> Option<String> {
            value.as_ref().map(|value| format!("{value:?}"))
        }
        let fields = [
            ("remark", shown(&self.remark)),
            (
                "max_users",
                self.max_users.map(|it| it.map_or("unlimited".into(), |number| number.to_string())),
            ),
            ("caching", shown(&self.caching)),
            ("read_only", shown(&self.read_only)),
            ("encrypt", shown(&self.encrypt)),
            ("access_based_enum", shown(&self.access_based_enum)),
            ("temporary", shown(&self.temporary)),
            ("grants", shown(&self.grants)),
        ];
        let changed = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        f.write_str(&changed.collect::<Vec<_>>().join(" "))
    }
}

/// A new share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewShare {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) edit: ShareEdit,
}

/// Shares a directory. `new` is called only if the caller has the right. If no grants are given, everyone may
/// read.
pub(crate) fn add_share(
    server: &Server,
    caller: &Caller,
    new: impl FnOnce() -> Result<NewShare, Error>,
) -> Result<ShareSnapshot, Error> {
    check(caller, Right::ChangeSettings)?;
    let NewShare { name, path, edit } = new()?;
    let name = name.as_str();
    // Grants name accounts.
    server.refresh_accounts();
    look_up(server, &edit);
    let object = format!("share {name} of {}", path.display());
    let added = server.change_settings(|settings| {
        check_share_name(name).map_err(|_| Error::InvalidName)?;
        if find(settings, name).is_some() || server.cluster.has_share(name) {
            return Err(Error::DuplicateShare);
        }
        if settings.shares.len() >= server.registry.lock("limits").limits().shares.saturating_sub(1) {
            return Err(Error::TooMuch);
        }
        let share = new_share(server, NewShare { name: name.to_owned(), path, edit })?;
        settings.shares.push(share);
        Ok(())
    });
    audit::act(server, caller, "add share", &object, &done(&added));
    added?;
    snapshot(server, name)
}

/// Changes a share. `edit` is called only if the caller has the right.
pub(crate) fn change_share(
    server: &Server,
    caller: &Caller,
    name: &str,
    edit: impl FnOnce() -> Result<ShareEdit, Error>,
) -> Result<ShareSnapshot, Error> {
    check(caller, Right::ChangeSettings)?;
    let edit = edit()?;
    server.refresh_accounts();
    look_up(server, &edit);
    let object = format!("share {name}: {edit}");
    let changed = server.change_settings(|settings| {
        let place = to_change(settings, name)?;
        match settings.shares.get_mut(place) {
            Some(share) => apply(share, edit, server),
            None => Err(Error::NoSuchShare),
        }
    });
    audit::act(server, caller, "change share", &object, &done(&changed));
    changed?;
    snapshot(server, name)
}

/// Stops sharing a directory. `name` is called only if the caller has the right.
pub(crate) fn delete_share(
    server: &Server,
    caller: &Caller,
    name: impl FnOnce() -> Result<String, Error>,
) -> Result<Ended, Error> {
    check(caller, Right::ChangeSettings)?;
    delete(server, caller, &name()?)
}

/// Announces the deletion of a share (MS-SRVS 3.1.4.14). Returns the handle for [`announced_deletion`].
pub(crate) fn announce_deletion(server: &Server, caller: &Caller, name: &str) -> Result<[u8; 16], Error> {
    check(caller, Right::ChangeSettings)?;
    if !super::has_share_of_cluster(server, name) {
        snapshot(server, name)?;
    }
    let mut handle = [0; 16];
    crate::core::random::fill(&mut handle).map_err(|_| Error::Internal)?;
    server.configuration.deletions.begin(handle, name);
    Ok(handle)
}

/// The share whose deletion was announced with this handle, which becomes invalid (MS-SRVS 3.1.4.15). Part of deletions, which
/// check the right.
pub(crate) fn announced_deletion(server: &Server, handle: [u8; 16]) -> Result<String, Error> {
    server.configuration.deletions.end(handle).ok_or(Error::InvalidHandle)
}

fn delete(server: &Server, caller: &Caller, name: &str) -> Result<Ended, Error> {
    let deleted = server.change_settings(|settings| {
        let place = to_change(settings, name)?;
        settings.shares.remove(place);
        Ok(())
    });
    let deleted = deleted.map(|files| Ended { sessions: 0, files, outcome: None });
    audit::act(server, caller, "delete share", &format!("share {name}"), &deleted);
    deleted
}

/// The index of the share in the settings; the server's own share cannot be changed.
fn to_change(settings: &Settings, name: &str) -> Result<usize, Error> {
    if eq_ignore_case(name, ShareSettings::IPC) {
        return Err(Error::AccessDenied);
    }
    find(settings, name).ok_or(Error::NoSuchShare)
}

fn find(settings: &Settings, name: &str) -> Option<usize> {
    settings.shares.iter().position(|share| eq_ignore_case(&share.name, name))
}

/// The settings of a new share. If no grants are given, everyone may read.
pub(super) fn new_share(server: &Server, new: NewShare) -> Result<ShareSettings, Error> {
    let NewShare { name, path, edit } = new;
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Error::InvalidParameter);
    }
    let mut share = ShareSettings::new(name, path);
    share.hidden = share.name.ends_with('$');
    // The default of Windows for a share that is created without a descriptor. In the configuration file,
    // the default is full access.
    share.grants = vec![Grant { who: Grantee::User(EVERYONE.to_owned()), right: GrantRight::Read }];
    apply(&mut share, edit, server)?;
    Ok(share)
}

/// Asks the domain for the users and groups that grants name, which may take a while.
pub(super) fn look_up(server: &Server, edit: &ShareEdit) {
    if let Some(grants) = &edit.grants {
        Names::new(server).look_up_grantees(grants);
    }
}

pub(super) fn apply(share: &mut ShareSettings, edit: ShareEdit, server: &Server) -> Result<(), Error> {
    let ShareEdit { remark, max_users, caching, read_only, encrypt, access_based_enum, temporary, grants } =
        edit;
    if let Some(remark) = remark {
        check_remark(&remark).map_err(|_| Error::InvalidParameter)?;
        share.remark = remark;
    }
    if let Some(grants) = grants {
        let names = Names::new(server);
        let is_new = |grant: &&Grant| !share.grants.contains(grant);
        if grants.iter().filter(is_new).any(|grant| names.of_grantee(grant).is_none()) {
            return Err(Error::NoSuchAccount);
        }
        if grants.len() > GRANTS_MAX {
            return Err(Error::TooMuch);
        }
        share.grants = grants;
    }
    if max_users == Some(Some(0)) {
        return Err(Error::InvalidParameter);
    }
    share.max_users = max_users.unwrap_or(share.max_users);
    share.temporary = temporary.unwrap_or(share.temporary);
    share.caching = caching.unwrap_or(share.caching);
    share.read_only = read_only.unwrap_or(share.read_only);
    share.encrypt = encrypt.unwrap_or(share.encrypt);
    share.access_based_enum = access_based_enum.unwrap_or(share.access_based_enum);
    Ok(())
}

fn snapshot(server: &Server, name: &str) -> Result<ShareSnapshot, Error> {
    // Another administrator may have removed it again.
    server.registry.lock("share_snapshot").share_snapshot(name).ok_or(Error::NoSuchShare)
}

fn done(outcome: &Result<usize, Error>) -> Result<Ended, Error> {
    outcome.map(|files| Ended { sessions: 0, files, outcome: None })
}

/// Grants of one share: as many as fit into an access control list of 64 KiB.
const GRANTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_names_the_changed_fields_only() {
        let edit =
            ShareEdit { remark: Some("Documents".into()), max_users: Some(None), ..ShareEdit::default() };
        assert_eq!(edit.to_string(), "remark=\"Documents\" max_users=unlimited");
    }
}
