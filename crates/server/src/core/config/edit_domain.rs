//! Changes of the table `[domain]` in `shareward.toml`, which keep the rest of the file as it is.

use std::path::PathBuf;

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::edit::NotEditable;

/// The settings of `[domain]` that a join finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedDomain {
    /// The realm.
    pub realm: String,
    /// The NetBIOS name.
    pub name: String,
    /// The keytab; `None` for the default place.
    pub keytab: Option<PathBuf>,
    /// The controllers; empty if they are found by DNS.
    pub controllers: Vec<String>,
}

/// Changes `text` so that the server is a member of the domain; other settings in the table stay.
pub fn set_domain(text: &str, joined: &JoinedDomain) -> Result<String, NotEditable> {
    let mut document = parse(text)?;
    let is_new = !document.contains_key("domain");
    let item = document.entry("domain").or_insert_with(|| Item::Table(Table::new()));
    let table = item.as_table_like_mut().ok_or_else(|| NotEditable::new("domain is not a table"))?;
    let mut set =
        |key: &str, value: Option<Value>| match (table.get_mut(key).and_then(Item::as_value_mut), value) {
            (Some(there), Some(mut value)) => {
                *value.decor_mut() = there.decor().clone();
                *there = value;
            }
            (None, Some(value)) => _ = table.insert(key, Item::Value(value)),
            (_, None) => _ = table.remove(key),
        };
    set("realm", Some(joined.realm.as_str().into()));
    // The server takes the first label of the realm if there is no name.
    let label = joined.realm.split('.').next().unwrap_or_default();
    let has_other_name = !wire::eq_ignore_case(label, &joined.name);
    set("name", has_other_name.then(|| joined.name.as_str().into()));
    set("keytab", joined.keytab.as_ref().map(|path| path.to_string_lossy().as_ref().into()));
    if !joined.controllers.is_empty() {
        let controllers: Array = joined.controllers.iter().map(String::as_str).collect();
        set("controllers", Some(Value::Array(controllers)));
    }
    if is_new && let Some(table) = document.get_mut("domain").and_then(Item::as_table_mut) {
        table.decor_mut().set_prefix(if text.trim().is_empty() { "" } else { "\n" });
    }
    Ok(document.to_string())
}

/// Removes the table from `text`. Returns `None` if there is none.
pub fn remove_domain(text: &str) -> Result<Option<String>, NotEditable> {
    let mut document = parse(text)?;
    Ok(document.remove("domain").map(|_| document.to_string()))
}

fn parse(text: &str) -> Result<DocumentMut, NotEditable> {
    text.parse().map_err(|error: toml_edit::TomlError| NotEditable::new(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> JoinedDomain {
        JoinedDomain {
            realm: String::from("CORP.EXAMPLE"),
            name: String::from("CORP"),
            keytab: None,
            controllers: Vec::new(),
        }
    }

    #[test]
    fn table_is_added_behind_what_is_there() {
        let text = "# mine\n[server]\nname = \"FILES\" # here\n";
        let joined = joined();
        let with = set_domain(text, &joined).unwrap();
        assert_eq!(with, format!("{text}\n[domain]\nrealm = \"CORP.EXAMPLE\"\n"));
        assert_eq!(remove_domain(&with).unwrap().as_deref(), Some(text));
        assert_eq!(remove_domain(text).unwrap(), None);
        assert_eq!(set_domain("", &joined).unwrap(), "[domain]\nrealm = \"CORP.EXAMPLE\"\n");
    }

    #[test]
    fn other_settings_and_comments_of_the_table_stay() {
        let text = "[domain]\nrealm = \"OLD.EXAMPLE\" # ours\n# few\nlogon_groups = ['CORP\\staff']\nkeytab = \"/old\"\n\n[[share]]\nname = \"x\"\n";
        let joined = JoinedDomain {
            name: String::from("WORK"),
            keytab: Some(PathBuf::from("/k")),
            controllers: vec![String::from("dc1.corp.example")],
            ..joined()
        };
        let with = set_domain(text, &joined).unwrap();
        assert_eq!(
            with,
            "[domain]\nrealm = \"CORP.EXAMPLE\" # ours\n# few\nlogon_groups = ['CORP\\staff']\nkeytab = \"/k\"\nname = \"WORK\"\n\
             controllers = [\"dc1.corp.example\"]\n\n[[share]]\nname = \"x\"\n"
        );
        set_domain("domain = 1\n", &joined).unwrap_err();
        set_domain("not toml", &joined).unwrap_err();
    }
}
