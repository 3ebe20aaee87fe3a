//! The definition of a share in etcd: the keys of a `[[share]]` table, and the token of its storage.

use std::path::{Component, Path};

use cluster::ids::ShareKey;
use serde::{Deserialize, Serialize};

use crate::core::config::{self, ClusterSettings, Settings, ShareSettings};

/// The definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Definition {
    /// The token of the directory that is the share's storage.
    pub(super) token: String,
    /// The table.
    pub(super) share: serde_json::Map<String, serde_json::Value>,
}

/// The settings of a share, from its definition. Whoever can write to etcd must not make a server share any directory: the
/// path must be below one that the server's own settings name.
pub(super) fn read(
    key: &ShareKey,
    value: &serde_json::Value,
    settings: &Settings,
    own: &ClusterSettings,
) -> Result<(ShareSettings, String), String> {
    let definition = Definition::deserialize(value).map_err(|error| format!("its definition: {error}"))?;
    if definition.token.is_empty() || definition.token.len() > TOKEN_CHARS_MAX {
        return Err(String::from("its definition has no token of its storage"));
    }
    let file =
        File { server: Server { unix_identities: settings.unix_identities }, share: [&definition.share] };
    let text = toml::to_string(&file).map_err(|error| format!("its definition: {error}"))?;
    let defaults = Settings { shares: Vec::new(), source: None, ..settings.clone() };
    let read = config::parse(&text, Path::new("/"), defaults).map_err(|errors| {
        let first = errors.first().map(|it| it.message.clone()).unwrap_or_default();
        format!("its definition: {first}")
    })?;
    let share = read.shares.into_iter().next().ok_or("its definition has no share")?;
    if ShareKey::new(&share.name).as_ref() != Ok(key) {
        return Err(format!("its definition is that of {:?}", share.name));
    }
    check(&share, own)?;
    Ok((share, definition.token))
}

/// The table of a share as the text of a configuration file.
pub(super) fn text_of(table: &serde_json::Map<String, serde_json::Value>) -> Result<String, String> {
    toml::to_string(&Shares { share: [table] }).map_err(|error| format!("its definition: {error}"))
}

/// Checks that a share can be one of the cluster on this server.
pub(super) fn check(share: &ShareSettings, own: &ClusterSettings) -> Result<(), String> {
    if share.has_variables() || share.homes {
        return Err(String::from("a share of the cluster has one directory for all users"));
    }
    if share.read_only {
        return Err(String::from(
            "a share of the cluster is not read_only, because its owner is recorded in its directory: use grants",
        ));
    }
    let is_plain = share.path.components().all(|it| !matches!(it, Component::ParentDir));
    if !is_plain || !own.paths.iter().any(|path| share.path.starts_with(path)) {
        let path = share.path.display();
        return Err(format!("{path} is not below a directory of 'paths' in [cluster] of this server"));
    }
    Ok(())
}

/// The name of the files about a share in the directory of its storage.
pub(super) fn file_name(key: &ShareKey) -> String {
    key.as_str().bytes().fold(String::new(), |mut name, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
        name
    })
}

#[derive(Serialize)]
struct File<'a> {
    server: Server,
    share: [&'a serde_json::Map<String, serde_json::Value>; 1],
}

#[derive(Serialize)]
struct Shares<'a> {
    share: [&'a serde_json::Map<String, serde_json::Value>; 1],
}

#[derive(Serialize)]
struct Server {
    unix_identities: bool,
}

/// A token is 32 hexadecimal digits.
const TOKEN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(ShareSettings, String), String> {
        let cluster =
            "[cluster]\nname = 'c'\nnode = 'a'\nendpoints = ['http://127.0.0.1:1']\npaths = ['/srv/c']\n";
        let settings =
            config::parse(cluster, Path::new("/"), Settings::conventional(false, |_| None)).unwrap();
        let own = settings.cluster.clone().unwrap();
        read(&ShareKey::new("data").unwrap(), &serde_json::from_str(text).unwrap(), &settings, &own)
    }

    #[test]
    fn definitions_are_tables_of_shares() {
        let (share, token) =
            of(r#"{"token": "t", "share": {"name": "Data", "path": "/srv/c/data", "continuous": true,
                "grants": [{"user": "ann", "right": "full"}], "recycle": {"max_age_days": 7}}}"#)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((share.name.as_str(), token.as_str(), share.continuous), ("Data", "t", true));
        assert_eq!(share.grants.len(), 1);
    }

    #[test]
    fn hostile_definitions_are_refused() {
        let share = |table: &str| of(&format!(r#"{{"token": "t", "share": {table}}}"#)).unwrap_err();
        assert!(share(r#"{"name": "data", "path": "/etc"}"#).contains("not below a directory of 'paths'"));
        assert!(share(r#"{"name": "data", "path": "/srv/c/../../etc"}"#).contains("not below"));
        assert!(share(r#"{"name": "data", "path": "/srv/c/%U"}"#).contains("one directory"));
        assert!(share(r#"{"name": "other", "path": "/srv/c/a"}"#).contains("that of \"other\""));
        assert!(share(r#"{"name": "data", "path": "/srv/c/a", "newer": 1}"#).contains("unknown"));
        assert!(share(r#"{"name": "data", "path": "/srv/c/a", "remark": null}"#).contains("its definition"));
        assert!(share(r#"{"name": "data", "path": "/srv/c/a", "read_only": true}"#).contains("read_only"));
        assert!(of(r#"{"share": {"name": "data", "path": "/srv/c/a"}}"#).is_err());
        assert!(of("3").is_err());
    }
}
