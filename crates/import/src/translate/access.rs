//! The users of a share: `valid users`, `invalid users`, `read list`, `write list` and `read only` as `users`, `grants`
//! and `read_only`.
//!
//! Samba decides for each user: a member of `write list` may write, else a member of `read list` may read, else `read
//! only` counts. Shareward adds the rights of all grants that are for the user, and has no grant that takes a right
//! away. Where that cannot be the same, the share gets fewer rights, never more.

use super::{Context, text};
use crate::limits::USERS_MAX;
use crate::report::Answers;
use crate::smbconf::{Section, Value, list};
use wire::security::ShareRight;

/// The settings that decide who may use a share.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) read_only: bool,
    pub(super) users: Vec<String>,
    pub(super) grants: Vec<(Principal, &'static str)>,
    /// The reason that the share would admit more users than Samba's.
    pub(super) closed: Option<String>,
}

impl Access {
    /// Takes away what is above a right. True if anything was.
    pub(super) fn limit(&mut self, most: ShareRight) -> bool {
        let right = match most {
            ShareRight::Full => return false,
            ShareRight::Change => "change",
            ShareRight::Read => "read",
        };
        if self.read_only {
            return false;
        }
        if self.grants.is_empty() {
            match most {
                ShareRight::Read => self.read_only = true,
                _ => self.grants.push((Principal::User(String::from("Everyone")), right)),
            }
            return true;
        }
        let mut is_changed = false;
        for (_, granted) in &mut self.grants {
            if *granted == "full" {
                *granted = right;
                is_changed = true;
            }
        }
        is_changed
    }
}

/// A user or group of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Principal {
    User(String),
    Group(String),
}

impl Principal {
    /// The grant in TOML.
    pub(super) fn grant(&self, right: &str) -> String {
        let (kind, name) = match self {
            Self::User(name) => ("user", name),
            Self::Group(name) => ("group", name),
        };
        format!("{{ {kind} = {}, right = {} }}", text::string(name), text::string(right))
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User(a), Self::User(b)) => wire::eq_ignore_case(a, b),
            (Self::Group(a), Self::Group(b)) => a == b,
            _ => false,
        }
    }
}

/// A list of users and groups.
#[derive(Debug, Default)]
struct Members {
    members: Vec<Principal>,
    /// An entry that Shareward cannot have, with the reason.
    problem: Option<String>,
}

impl Members {
    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.problem.is_none()
    }

    fn names(&self, principal: &Principal) -> bool {
        self.members.iter().any(|it| it.is(principal))
    }

    /// True if a user is in the list, now.
    fn has_user(&self, context: &Context<'_>, user: &str) -> bool {
        self.names(&Principal::User(user.to_owned())) || {
            let groups = context.system.groups_of(user);
            self.members.iter().any(|it| matches!(it, Principal::Group(group) if groups.contains(group)))
        }
    }

    fn groups(&self) -> impl Iterator<Item = &String> {
        self.members.iter().filter_map(|it| match it {
            Principal::Group(name) => Some(name),
            Principal::User(_) => None,
        })
    }

    fn users(&self) -> Vec<String> {
        let user = |it: &Principal| match it {
            Principal::User(name) => Some(name.clone()),
            Principal::Group(_) => None,
        };
        self.members.iter().filter_map(user).collect()
    }
}

/// Translates the lists of a section.
pub(super) fn access(context: &Context<'_>, section: &Section, guest: bool, answers: &mut Answers) -> Access {
    let of = |name: &str| (section.value(name), members(context, section, section.value(name)));
    let (valid_value, valid) = of("valid users");
    let (read_value, readers) = of("read list");
    let (write_value, writers) = of("write list");
    let (invalid_value, invalid) = of("invalid users");
    let writable = !section.is("read only");
    let mut access = Access { read_only: !writable, ..Access::default() };

    if let Some(problem) = &valid.problem {
        answers.not_yet(valid_value, problem.clone());
        access.closed = Some(format!("valid users: {problem}"));
    }
    if let Some(problem) = &writers.problem {
        answers.not_yet(write_value, format!("{problem}; its members may not write"));
    }
    let everyone = Principal::User(String::from("Everyone"));
    if writable && !readers.is_empty() {
        mixed(context, (&valid, &readers, &writers), read_value, &mut access, answers);
    } else if writable || writers.members.is_empty() {
        if valid.groups().next().is_none() {
            access.users = valid.users();
        } else {
            let right = if writable { "full" } else { "read" };
            access.grants = valid.members.iter().map(|it| (it.clone(), right)).collect();
        }
        if !writable {
            answers.not_needed(read_value, "the share is read-only for all");
        } else {
            answers.not_needed(write_value, "the share is writable for all");
        }
    } else {
        // Read for all, and more for some.
        access.read_only = false;
        answers.not_needed(read_value, "all others may only read");
        let has_groups = valid.groups().next().is_some();
        if has_groups {
            let readers = valid.members.iter().filter(|it| !writers.names(it));
            access.grants = readers.map(|it| (it.clone(), "read")).collect();
        } else {
            access.users = valid.users();
            access.grants = vec![(everyone, "read")];
        }
        for writer in &writers.members {
            let may_connect = match writer {
                _ if !has_groups || valid.names(writer) => true,
                Principal::User(name) => valid.has_user(context, name),
                Principal::Group(_) => false,
            };
            if may_connect {
                access.grants.push((writer.clone(), "full"));
            } else {
                answers.not_yet(
                    write_value,
                    format!(
                        "{}: users in both this group and 'valid users'; they may not write",
                        name_of(writer)
                    ),
                );
            }
        }
    }
    if !invalid.is_empty() {
        exclude(context, (invalid_value, &invalid), guest, &mut access, answers);
    }
    access
}

/// `read list` in a writable share: everyone else may write, which no grant can express for users who are not known.
fn mixed(
    context: &Context<'_>,
    (valid, readers, writers): (&Members, &Members, &Members),
    read_value: Option<&Value>,
    access: &mut Access,
    answers: &mut Answers,
) {
    let everyone = || vec![Principal::User(String::from("Everyone"))];
    let known = context.accounts.len() <= USERS_MAX && !context.accounts.is_empty() && !context.is_member;
    if known && readers.problem.is_none() {
        let may_connect = |name: &&String| valid.is_empty() || valid.has_user(context, name);
        let right = |name: &str| {
            if writers.has_user(context, name) || !readers.has_user(context, name) { "full" } else { "read" }
        };
        let grant = |name: &String| (Principal::User(name.clone()), right(name));
        access.grants = context.accounts.iter().filter(may_connect).map(grant).collect();
        if !access.grants.is_empty() {
            answers
                .carried(read_value, "grants, as a list of the accounts that exist now; add new ones to it");
            return;
        }
    }
    let all = if valid.members.is_empty() { everyone() } else { valid.members.clone() };
    access.grants = all.into_iter().map(|it| (it, "read")).collect();
    let may_connect = |writer: &&Principal| valid.is_empty() || valid.names(writer);
    access.grants.extend(writers.members.iter().filter(may_connect).map(|it| (it.clone(), "full")));
    access.read_only = false;
    answers.not_yet(
        read_value,
        "users who may only read among users who may write; all may only read, except those of 'write list'",
    );
}

/// `invalid users`: the share is for all other accounts.
fn exclude(
    context: &Context<'_>,
    (value, invalid): (Option<&Value>, &Members),
    guest: bool,
    access: &mut Access,
    answers: &mut Answers,
) {
    let mut close = |reason: String| {
        access.closed.get_or_insert_with(|| format!("invalid users: {reason}"));
        answers.not_yet(value, reason);
    };
    if let Some(problem) = &invalid.problem {
        return close(problem.clone());
    }
    if context.is_member || context.accounts.is_empty() || context.accounts.len() > USERS_MAX {
        return close(String::from("users who may not use the share; the share is written as a comment"));
    }
    let (denied, others): (Vec<_>, Vec<_>) =
        context.accounts.iter().cloned().partition(|name| invalid.has_user(context, name));
    if denied.is_empty() {
        return answers.not_needed(value, "none of these has an account");
    }
    if guest {
        return close(format!(
            "refusing {} where guests may come; the share is written as a comment",
            denied.join(", ")
        ));
    }
    if access.users.is_empty() {
        access.users = others;
    } else {
        access.users.retain(|name| !denied.iter().any(|it| wire::eq_ignore_case(it, name)));
    }
    if access.users.is_empty() {
        return close(String::from("no account may use the share"));
    }
    answers.carried(value, "users, as a list of the other accounts that exist now; add new ones to it");
}

fn name_of(principal: &Principal) -> String {
    match principal {
        Principal::User(name) => name.clone(),
        Principal::Group(name) => format!("@{name}"),
    }
}

/// The users and groups of a list.
fn members(context: &Context<'_>, section: &Section, value: Option<&Value>) -> Members {
    let mut members = Members::default();
    let Some(value) = value else { return members };
    for word in list(&value.bytes) {
        let word = context.config.charset.text(&word);
        // In [homes], %S is the user itself, who reaches no other directory anyway.
        if word.ends_with("%S") && super::share::is_homes(&context.config.charset.text(&section.name)) {
            continue;
        }
        match principal(context, section, &word) {
            Ok(principal) => members.members.push(principal),
            Err(problem) => _ = members.problem.get_or_insert(problem),
        }
    }
    members
}

/// One entry of a list: a user, or with `@` or `+` a Unix group.
fn principal(context: &Context<'_>, section: &Section, word: &str) -> Result<Principal, String> {
    let name = word.trim_start_matches(['@', '+', '&']);
    let prefix = word.strip_suffix(name).unwrap_or_default();
    let share = context.config.charset.text(&section.name);
    let name = context
        .substituted(name, &share)
        .map_err(|variable| format!("{word}: a name with the variable %{variable}"))?;
    if name.is_empty() || name.contains(char::is_control) {
        return Err(format!("{word:?} is no name"));
    }
    let name = context.qualified(&name).ok_or_else(|| format!("{word}: a user or group of a domain"))?;
    if prefix == "&" {
        return Err(format!("{word}: a NIS netgroup"));
    }
    let is_group = !prefix.is_empty()
        || !name.contains('\\')
            && context.system.uid(&name).is_none()
            && context.system.has_group(&name)
            && !context.accounts.iter().any(|it| wire::eq_ignore_case(it, &name));
    Ok(if is_group { Principal::Group(name) } else { Principal::User(name) })
}
