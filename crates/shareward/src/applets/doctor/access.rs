//! The permissions along the paths of the shares, tried as each user who may connect.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User, getgrouplist};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use server::config::{GUEST_ACCOUNT, GrantRight, Grantee, ShareSettings};

use super::{Examined, Finding, find, shell_word};
use crate::open_files::number;
use crate::setup;

const AREA: &str = "access";

/// The most users that are tried with a share.
const USERS_MAX: usize = 1000;

/// The Unix identity of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    name: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// The access that a user wants to a share's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Read,
    Write,
}

/// The place at which a user is stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// The user cannot pass this directory.
    Enter(PathBuf),
    /// The user cannot list the share's directory.
    Read,
    /// The user can read, but not create files in the share's directory.
    Write,
}

/// Tries the access of each user who may connect to each share.
pub(super) fn examine(examined: &Examined) -> Vec<Finding> {
    let Examined { settings, users, .. } = examined;
    let switches = settings.unix_identities && setup::is_root();
    let mut findings = Vec::new();
    for share in settings.shares.iter().filter(|it| it.path.is_dir()) {
        let mut identities = Vec::new();
        if switches {
            let enabled = users.users().filter(|user| user.is_enabled()).map(|user| user.name.as_str());
            identities.extend(enabled.filter_map(identity).filter_map(|it| Some((wanted(share, &it)?, it))));
            if share.guest {
                let wanted = if share.read_only { Wanted::Read } else { Wanted::Write };
                identities.extend(identity(GUEST_ACCOUNT).map(|it| (wanted, it)));
            }
            identities.truncate(USERS_MAX);
        } else {
            let wanted = if share.read_only { Wanted::Read } else { Wanted::Write };
            identities.extend(this_user().map(|it| (wanted, it)));
        }
        let mut stopped: BTreeMap<Stop, Vec<String>> = BTreeMap::new();
        for (wanted, identity) in &identities {
            if let Some(stop) = stop_of(&share.path, identity, *wanted, switches) {
                stopped.entry(stop).or_default().push(identity.name.clone());
            }
        }
        if stopped.is_empty() && !identities.is_empty() {
            let who =
                if switches { number(identities.len(), "user", "users") } else { String::from("the caller") };
            let reach = if identities.len() == 1 { "reaches" } else { "reach" };
            findings.push(Finding::ok(
                AREA,
                format!("share {}: {who} {reach} {}", share.name, share.path.display()),
            ));
        }
        findings.extend(stopped.into_iter().map(|(stop, names)| finding(share, &stop, &names)));
    }
    if settings.unix_identities && !setup::is_root() && !settings.shares.is_empty() {
        findings.push(Finding::warning(
            AREA,
            String::from("only the caller's own access was tried"),
            "a server that root runs acts as each of its users",
            String::from("sudo shareward doctor"),
        ));
    }
    findings
}

/// The access that a user of the machine wants to a share; `None` if the settings do not admit the user.
fn wanted(share: &ShareSettings, user: &Identity) -> Option<Wanted> {
    let is_listed =
        share.users.is_empty() || share.users.iter().any(|it| wire::eq_ignore_case(it, &user.name));
    let is_for = |who: &Grantee| match who {
        Grantee::User(name) => wire::eq_ignore_case(name, &user.name),
        Grantee::Group(name) => {
            let gid = Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
            gid.is_some_and(|gid| user.groups.contains(&gid))
        }
    };
    let granted = share.grants.iter().filter(|grant| grant.is_for_everyone() || is_for(&grant.who));
    let right = match (share.grants.is_empty(), granted.map(|grant| grant.right).max_by_key(|it| rank(*it))) {
        (true, _) => GrantRight::Full,
        (false, right) => right?,
    };
    let writes = !share.read_only && right != GrantRight::Read;
    is_listed.then_some(if writes { Wanted::Write } else { Wanted::Read })
}

const fn rank(right: GrantRight) -> u8 {
    match right {
        GrantRight::Read => 0,
        GrantRight::Change => 1,
        GrantRight::Full => 2,
    }
}

fn identity(name: &str) -> Option<Identity> {
    let account = User::from_name(name).ok()??;
    let groups = getgrouplist(&CString::new(name).ok()?, account.gid).ok()?;
    Some(Identity {
        name: name.to_owned(),
        uid: account.uid.as_raw(),
        gid: account.gid.as_raw(),
        groups: groups.into_iter().map(|gid| gid.as_raw()).collect(),
    })
}

fn this_user() -> Option<Identity> {
    User::from_uid(nix::unistd::geteuid()).ok()?.and_then(|user| identity(&user.name))
}

/// The first place on the way to a directory at which a user is stopped. `switches` acts as the user.
fn stop_of(path: &Path, identity: &Identity, wanted: Wanted, switches: bool) -> Option<Stop> {
    // Root passes everywhere.
    if switches && identity.uid == 0 {
        return None;
    }
    let walk = || {
        let may = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
        let mut way: Vec<&Path> = path.ancestors().filter(|it| !it.as_os_str().is_empty()).collect();
        way.reverse();
        if let Some(closed) = way.into_iter().find(|it| !may(it, Access::EXEC_OK)) {
            return Some(Stop::Enter(closed.to_owned()));
        }
        if !may(path, Access::READ_OK) {
            return Some(Stop::Read);
        }
        (wanted == Wanted::Write && !may(path, Access::WRITE_OK)).then_some(Stop::Write)
    };
    if !switches {
        return walk();
    }
    // Credentials belong to the thread, which ends with them.
    let acting = std::thread::scope(|scope| {
        let acts = scope.spawn(|| {
            let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
            let switched = set_thread_groups(&groups)
                .and_then(|()| set_thread_res_gid(None, Gid::from_raw(identity.gid), None))
                .and_then(|()| set_thread_res_uid(None, Uid::from_raw(identity.uid), None));
            switched.ok().and_then(|()| walk())
        });
        acts.join()
    });
    acting.unwrap_or_default()
}

fn finding(share: &ShareSettings, stop: &Stop, names: &[String]) -> Finding {
    let who = listed(names);
    let path = &share.path;
    match stop {
        Stop::Enter(directory) => Finding::error(
            AREA,
            format!("share {}: {who} cannot enter {}", share.name, described(directory)),
            "files below a directory can be reached only with its execute permission (x)",
            mend(names, "x", directory, "o+x"),
        ),
        Stop::Read => Finding::error(
            AREA,
            format!("share {}: {who} cannot read {}", share.name, described(path)),
            "these users connect, but see no files",
            mend(names, "rx", path, "o+rx"),
        ),
        Stop::Write => Finding::warning(
            AREA,
            format!("share {}: {who} cannot create files in {}", share.name, described(path)),
            "the share lets them write, but the directory does not",
            mend(names, "rwx", path, "o+rwx"),
        ),
    }
}

/// The command that gives these users the permissions: an ACL, or the mode if there is no setfacl.
fn mend(names: &[String], permissions: &str, directory: &Path, mode: &str) -> String {
    let directory = shell_word(&directory.display().to_string());
    if find("setfacl").is_none() || names.len() > ACL_USERS_MAX {
        return format!("chmod {mode} {directory}");
    }
    let entries: Vec<String> = names.iter().map(|name| format!("u:{name}:{permissions}")).collect();
    format!("setfacl -m {} {directory}", shell_word(&entries.join(",")))
}

/// The most users in a proposed ACL.
const ACL_USERS_MAX: usize = 5;

/// The directory with its mode and owner.
fn described(path: &Path) -> String {
    let Ok(metadata) = std::fs::metadata(path) else { return path.display().to_string() };
    let owner = User::from_uid(metadata.uid().into()).ok().flatten().map(|it| it.name);
    let group = Group::from_gid(metadata.gid().into()).ok().flatten().map(|it| it.name);
    let owner = owner.unwrap_or_else(|| metadata.uid().to_string());
    let group = group.unwrap_or_else(|| metadata.gid().to_string());
    format!("{} (mode {:04o}, {owner}:{group})", path.display(), metadata.mode() & 0o7777)
}

/// The names, of which at most three are shown.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// As root the walk acts as another user; otherwise as the caller.
    #[test]
    fn walk_names_the_directory_that_stops_the_user() {
        let directory = tempfile::tempdir().unwrap();
        let is_root = crate::setup::is_root();
        mode(directory.path(), 0o755);
        let (outer, inner) = (directory.path().join("outer"), directory.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let user = if is_root {
            Identity { name: String::from("somebody"), uid: 65_533, gid: 65_533, groups: vec![65_533] }
        } else {
            this_user().unwrap()
        };
        let stop = || stop_of(&inner, &user, Wanted::Write, is_root);
        let all = if is_root { 0o777 } else { 0o700 };
        mode(&outer, all);
        mode(&inner, all);
        assert_eq!(stop(), None);
        mode(&inner, all & 0o555);
        assert_eq!(stop(), Some(Stop::Write));
        assert_eq!(stop_of(&inner, &user, Wanted::Read, is_root), None);
        mode(&inner, all & 0o111);
        assert_eq!(stop(), Some(Stop::Read));
        mode(&inner, all);
        mode(&outer, all & 0o444);
        assert_eq!(stop(), Some(Stop::Enter(outer.clone())));
        mode(&outer, 0o700);
    }

    #[test]
    fn settings_of_a_share_decide_who_wants_what() {
        let user = Identity { name: String::from("ann"), uid: 1, gid: 0, groups: vec![0] };
        let grant = |who, right| server::config::Grant { who, right };
        let mut share = ShareSettings::new(String::from("data"), "/srv".into());
        assert_eq!(wanted(&share, &user), Some(Wanted::Write));
        share.grants = vec![grant(Grantee::User(String::from("Everyone")), GrantRight::Read)];
        assert_eq!(wanted(&share, &user), Some(Wanted::Read));
        share.grants.push(grant(Grantee::Group(String::from("root")), GrantRight::Change));
        assert_eq!(wanted(&share, &user), Some(Wanted::Write));
        share.read_only = true;
        assert_eq!(wanted(&share, &user), Some(Wanted::Read));
        share.grants = vec![grant(Grantee::User(String::from("bob")), GrantRight::Full)];
        assert_eq!(wanted(&share, &user), None);
        share.grants.clear();
        share.users = vec![String::from("bob")];
        assert_eq!(wanted(&share, &user), None);
    }
}
