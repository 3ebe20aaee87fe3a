//! The server's own groups: the tables `[[group]]` of `shareward.toml`.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use wire::AccountName;
use wire::security::WellKnown;

use super::Settings;
use super::parse::{MAX_REMARK, Reader};
use crate::core::limits::{LOCAL_GROUP_MEMBERS_MAX, LOCAL_GROUP_NAME_MAX, LOCAL_GROUPS_MAX};

/// One of the server's own groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalGroup {
    /// The name.
    pub name: String,
    /// The comment that administrators see.
    pub comment: String,
    /// The users in it: local accounts, and users of a domain.
    pub users: Vec<String>,
    /// The groups in it: those of a domain, and Unix groups. Own groups are in no group.
    pub groups: Vec<String>,
    /// True for a group of the server's cluster, which is not in the file.
    pub of_cluster: bool,
}

/// The server's own groups and those of its cluster, and the name of the server, with which they can be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalGroups {
    server: String,
    groups: Arc<Vec<LocalGroup>>,
}

impl LocalGroups {
    /// The group that is written so: `NAME`, `.\NAME` or `SERVER\NAME`, in any case.
    pub(crate) fn find(&self, written: &str) -> Option<&LocalGroup> {
        let name = match written.split_once('\\') {
            None => written,
            Some((of, name)) if of == "." || AccountName::new(of) == AccountName::new(&self.server) => name,
            Some(_) => return None,
        };
        if self.groups.is_empty() {
            return None;
        }
        let name = AccountName::new(name);
        self.groups.iter().find(|group| AccountName::new(&group.name) == name)
    }
}

impl Settings {
    /// The groups of the file.
    pub(crate) fn own_groups(&self) -> impl Iterator<Item = &LocalGroup> {
        self.groups.iter().filter(|group| !group.of_cluster)
    }

    /// The name of a local group in what is written for one: `NAME`, `.\NAME` or `SERVER\NAME`. `None` if it is none.
    pub(crate) fn name_of_group<'a>(&self, written: &'a str) -> Option<&'a str> {
        match written.split_once('\\') {
            None => Some(written),
            Some((of, name)) if of == "." || AccountName::new(of) == AccountName::new(&self.name) => {
                Some(name)
            }
            Some(_) => None,
        }
    }

    /// The server's own groups, and those of its cluster.
    pub(crate) fn local_groups(&self) -> LocalGroups {
        LocalGroups { server: self.name.clone(), groups: Arc::clone(&self.groups) }
    }

    /// The own group that is written so.
    pub(crate) fn local_group(&self, written: &str) -> Option<LocalGroup> {
        self.local_groups().find(written).cloned()
    }

    /// True if an own group contains other groups: its members are then known only when those of the others are.
    pub(crate) fn has_nested_groups(&self) -> bool {
        self.groups.iter().any(|group| !group.groups.is_empty())
    }
}

/// Checks the name of a new group. It must not be mistaken for a user of a domain, for a SID, or for one of the groups that
/// every machine has.
pub(crate) fn check_group_name(name: &str) -> Result<(), String> {
    if name.trim() != name || name.is_empty() || name.chars().count() > LOCAL_GROUP_NAME_MAX {
        return Err(format!(
            "the name of a group has 1 to {LOCAL_GROUP_NAME_MAX} characters, without spaces around it"
        ));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || "\"/\\[]:;|=,+*?<>@%".contains(*c)) {
        return Err(format!("the name of a group cannot have {bad:?}"));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        || name.parse::<wire::security::Sid>().is_ok()
        || WellKnown::of_name(name).is_some()
        || name.eq_ignore_ascii_case("None")
    {
        return Err(format!("{name:?} is reserved"));
    }
    Ok(())
}

/// The table as it is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupTable {
    name: Spanned<String>,
    comment: Option<Spanned<String>>,
    #[serde(default)]
    users: Vec<Spanned<String>>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
}

impl Reader<'_> {
    /// Reads all tables. `server` is the name of the server.
    pub(super) fn local_groups(&mut self, tables: Vec<GroupTable>, server: &str) -> Arc<Vec<LocalGroup>> {
        if let Some(one_more) = tables.get(LOCAL_GROUPS_MAX) {
            self.error(&one_more.name, format!("there are more than {LOCAL_GROUPS_MAX} groups"));
        }
        let mut all: Vec<LocalGroup> = Vec::new();
        let mut nested: Vec<Spanned<String>> = Vec::new();
        for table in tables {
            let name = table.name.get_ref();
            if let Err(message) = check_group_name(name) {
                self.error(&table.name, message);
            } else if all.iter().any(|it| AccountName::new(&it.name) == AccountName::new(name)) {
                self.error(&table.name, format!("group {name:?} is defined twice"));
            }
            if let Some(comment) = &table.comment {
                self.text_of("comment", comment, MAX_REMARK);
            }
            for member in table.users.iter().chain(&table.groups).filter(|it| it.get_ref().is_empty()) {
                self.error(member, String::from("the name of a user or group is empty"));
            }
            if table.users.len().saturating_add(table.groups.len()) > LOCAL_GROUP_MEMBERS_MAX {
                self.error(&table.name, format!("a group has at most {LOCAL_GROUP_MEMBERS_MAX} members"));
            }
            nested.extend(table.groups.iter().cloned());
            let names = |all: Vec<Spanned<String>>| all.into_iter().map(Spanned::into_inner).collect();
            all.push(LocalGroup {
                name: table.name.into_inner(),
                comment: table.comment.map(Spanned::into_inner).unwrap_or_default(),
                users: names(table.users),
                groups: names(table.groups),
                of_cluster: false,
            });
        }
        let own = LocalGroups { server: server.to_owned(), groups: Arc::new(all) };
        for group in nested.iter().filter(|group| own.find(group.get_ref()).is_some()) {
            let message =
                format!("{:?} is a group of this server, which can be in no other group", group.get_ref());
            self.error(group, message);
        }
        own.groups
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{ConfigError, parse};
    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<ConfigError>> {
        let mut defaults = Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        parse(text, Path::new("/etc/shareward"), defaults)
    }

    #[test]
    fn groups_are_found_by_every_spelling() {
        let settings = read(
            "[[group]]\nname = 'Editors'\ncomment = 'They write'\nusers = ['ann', 'CORP\\bob']\ngroups = ['staff']\n",
        )
        .unwrap();
        let group = LocalGroup {
            name: "Editors".into(),
            comment: "They write".into(),
            users: vec!["ann".into(), "CORP\\bob".into()],
            groups: vec!["staff".into()],
            of_cluster: false,
        };
        for written in ["editors", ".\\EDITORS", "files\\Editors"] {
            assert_eq!(settings.local_group(written).as_ref(), Some(&group), "{written}");
        }
        for written in ["editor", "CORP\\Editors", "", "staff"] {
            assert_eq!(settings.local_group(written), None, "{written}");
        }
        assert!(settings.has_nested_groups());
    }

    #[test]
    fn names_and_members_are_checked() {
        for (text, error) in [
            ("name = 'a'\n[[group]]\nname = 'A'", "4:8: group \"A\" is defined twice"),
            ("name = 'a\\b'", "2:8: the name of a group cannot have '\\\\'"),
            ("name = ' a'", "2:8: the name of a group has 1 to 256 characters, without spaces around it"),
            ("name = 'administrators'", "2:8: \"administrators\" is reserved"),
            ("name = '12.3'", "2:8: \"12.3\" is reserved"),
            ("name = 'a'\nusers = ['']", "3:10: the name of a user or group is empty"),
            (
                "name = 'a'\ngroups = ['B']\n[[group]]\nname = 'b'",
                "3:11: \"B\" is a group of this server, which can be in no other group",
            ),
        ] {
            let errors = read(&format!("[[group]]\n{text}\n")).unwrap_err();
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [error], "{text}");
        }
    }
}
