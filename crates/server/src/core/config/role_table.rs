//! Reads a table `[[role]]` of `shareward.toml` into a [`Role`].

use serde::Deserialize;
use toml::Spanned;

use super::parse::{Reader, check_share_name};
use super::{Allow, Role};

/// The table as it is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleTable {
    allow: Spanned<String>,
    #[serde(default)]
    users: Vec<Spanned<String>>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    shares: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Reader<'_> {
    /// Reads the table.
    pub(super) fn role(&mut self, table: RoleTable) -> Option<Role> {
        let allow = self.word("allow", &table.allow, &ALLOWS)?;
        if table.users.is_empty() && table.groups.is_empty() {
            self.error(&table.allow, String::from("a role needs users or groups"));
        }
        for name in table.users.iter().chain(&table.groups).filter(|name| name.get_ref().is_empty()) {
            self.error(name, String::from("the name of a user or group is empty"));
        }
        if let Some(shares) = &table.shares {
            if allow == Allow::Administer {
                self.error(shares, String::from("allow = 'administer' is for the whole server only"));
            } else if shares.get_ref().is_empty() {
                self.error(shares, String::from("shares is empty; leave it out for the whole server"));
            }
            for name in shares.get_ref() {
                if let Err(message) = check_share_name(name.get_ref()) {
                    self.error(name, message);
                }
            }
        }
        let names = |all: Vec<Spanned<String>>| all.into_iter().map(Spanned::into_inner).collect();
        let shares = table.shares.map(|shares| names(shares.into_inner())).unwrap_or_default();
        Some(Role { allow, users: names(table.users), groups: names(table.groups), shares })
    }
}

const ALLOWS: [(&str, Allow); 3] =
    [("view", Allow::View), ("close", Allow::Close), ("administer", Allow::Administer)];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{ConfigError, Settings, parse};
    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<ConfigError>> {
        parse(text, Path::new("/etc/shareward"), Settings::conventional(false, |_| None))
    }

    fn errors(text: &str) -> Vec<String> {
        read(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn roles_need_subjects_and_valid_shares() {
        let settings = read(
            "[[role]]\nallow = 'close'\nusers = ['ann']\ngroups = ['helpdesk']\nshares = ['data']\n\n\
             [[role]]\nallow = 'view'\ngroups = ['auditors']\n",
        )
        .unwrap();
        let strings = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let close = Role {
            allow: Allow::Close,
            users: strings(&["ann"]),
            groups: strings(&["helpdesk"]),
            shares: strings(&["data"]),
        };
        let view = Role {
            allow: Allow::View,
            users: Vec::new(),
            groups: strings(&["auditors"]),
            shares: Vec::new(),
        };
        assert_eq!(settings.roles, [close, view]);
        for (text, error) in [
            ("allow = 'view'", "2:9: a role needs users or groups"),
            ("allow = 'see'\nusers = ['a']", "2:9: allow is one of view, close, administer"),
            ("allow = 'view'\nusers = ['']", "3:10: the name of a user or group is empty"),
            (
                "allow = 'view'\nusers = ['a']\nshares = []",
                "4:10: shares is empty; leave it out for the whole server",
            ),
            (
                "allow = 'administer'\nusers = ['a']\nshares = ['data']",
                "4:10: allow = 'administer' is for the whole server only",
            ),
            ("allow = 'view'\nusers = ['a']\nshares = ['a/b']", "4:11: a share name cannot have '/'"),
        ] {
            assert_eq!(errors(&format!("[[role]]\n{text}\n")), [error], "{text}");
        }
        assert!(errors("[[role]]\nusers = ['a']\n")[0].contains("missing field `allow`"));
    }

    #[test]
    fn administrators_and_roles_name_users_in_any_case() {
        let settings =
            read("[server]\nadministrators = ['jürgen']\n[[role]]\nallow = 'close'\nusers = ['ähm']\n");
        let settings = settings.unwrap();
        let member = |name| crate::core::domain::Member::local(&settings, name, Vec::new);
        assert!(settings.is_administrator(&member("JÜRGEN")));
        let roles = crate::core::roles::Roles::of(&settings.roles, &member("ÄHM"));
        assert_eq!(roles.close, crate::core::roles::Reach::Everything);
    }
}
