//! Changes to `shareward.toml` in place, which keep comments and formatting.

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, RawString, Table, Value};
use wire::eq_ignore_case;

use super::{Caching, Grant, GrantRight, Grantee, LocalGroup, Settings, ShareSettings};

/// The text is not a configuration, or has a form that cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be edited: {0}")]
pub struct NotEditable(String);

impl NotEditable {
    pub(super) fn new(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// Changes `text`, which contains the settings `before`, so that it contains `after`. Only settings that administrators
/// can change while the server runs are considered: the shares, the groups, and of the server `comment`, `hidden`,
/// `autodisconnect` and the rules for accounts and passwords. Settings that are the same in both are not touched.
pub fn edit(text: &str, before: &Settings, after: &Settings) -> Result<String, NotEditable> {
    let mut document: DocumentMut = text.parse().map_err(|error| NotEditable(format!("{error}")))?;
    edit_server(&mut document, before, after)?;
    if !before.own_groups().eq(after.own_groups()) {
        edit_groups(&mut document, before, after)?;
    }
    if before.shares != after.shares {
        edit_shares(&mut document, before, after)?;
    }
    Ok(document.to_string())
}

fn edit_server(document: &mut DocumentMut, before: &Settings, after: &Settings) -> Result<(), NotEditable> {
    let edited = |it: &Settings| (it.comment.clone(), it.hidden, it.autodisconnect, it.lockout, it.passwords);
    if edited(before) == edited(after) {
        return Ok(());
    }
    let item = document.entry("server").or_insert_with(|| Item::Table(Table::new()));
    let table = item.as_table_like_mut().ok_or_else(|| not_a("server", "table"))?;
    let mut set = |key: &str, value: Value| put(table, key, Some(value));
    if before.comment != after.comment {
        set("comment", after.comment.as_str().into());
    }
    if before.hidden != after.hidden {
        set("hidden", after.hidden.into());
    }
    if before.autodisconnect != after.autodisconnect {
        set("autodisconnect", after.autodisconnect.map_or(-1, i64::from).into());
    }
    for ((key, before), (_, after)) in rules(before).into_iter().zip(rules(after)) {
        if before != after {
            set(key, i64::from(after).into());
        }
    }
    Ok(())
}

/// The rules for accounts and passwords, with their names in the file.
pub(crate) fn rules(settings: &Settings) -> [(&'static str, u32); 7] {
    let Settings { lockout, passwords, .. } = settings;
    [
        ("lockout_threshold", lockout.threshold),
        ("lockout_duration", lockout.duration),
        ("lockout_window", lockout.window),
        ("min_password_length", passwords.min_length),
        ("max_password_age", passwords.max_age_days),
        ("min_password_age", passwords.min_age_days),
        ("password_history", passwords.history),
    ]
}

fn edit_groups(document: &mut DocumentMut, before: &Settings, after: &Settings) -> Result<(), NotEditable> {
    let item = document.entry("group").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tables = item.as_array_of_tables_mut().ok_or_else(|| not_a("group", "list of [[group]]"))?;
    tables.retain(|table| after.own_groups().any(|group| is_called(table, &group.name)));
    for group in after.own_groups() {
        let place = tables.iter().position(|table| is_called(table, &group.name));
        let known = before.own_groups().find(|it| eq_ignore_case(&it.name, &group.name));
        match (place.and_then(|place| tables.get_mut(place)), known) {
            (Some(table), Some(known)) => edit_group(table, known, group),
            (Some(_), None) => return Err(NotEditable(format!("group {:?} exists already", group.name))),
            (None, _) => {
                let mut table = Table::new();
                put(&mut table, "name", Some(group.name.as_str().into()));
                edit_group(&mut table, &LocalGroup::default(), group);
                tables.push(table);
            }
        }
    }
    if tables.is_empty() {
        document.remove("group");
    }
    Ok(())
}

fn edit_group(table: &mut Table, before: &LocalGroup, after: &LocalGroup) {
    if before.comment != after.comment {
        let comment = (!after.comment.is_empty()).then(|| Value::from(after.comment.as_str()));
        put(table, "comment", comment);
    }
    for (key, before, after) in
        [("users", &before.users, &after.users), ("groups", &before.groups, &after.groups)]
    {
        if before != after {
            edit_names(table, key, after);
        }
    }
}

/// Makes a list contain these names. Names that stay keep their comments.
fn edit_names(table: &mut Table, key: &str, names: &[String]) {
    let Some(array) = table.get_mut(key).and_then(Item::as_array_mut) else {
        put(table, key, list(names.iter().map(|name| name.as_str().into())));
        return;
    };
    if names.is_empty() {
        table.remove(key);
        return;
    }
    // The parser keeps the comment behind an element in front of the next element, or at the end of the list.
    let text = |raw: Option<&RawString>| raw.and_then(RawString::as_str).unwrap_or_default().to_owned();
    let split = |text: String| {
        let at = text.find('\n').unwrap_or(0);
        (text.get(..at).unwrap_or_default().to_owned(), text.get(at..).unwrap_or_default().to_owned())
    };
    let mut parts: Vec<(String, String)> =
        array.iter().map(|value| split(text(value.decor().prefix()))).collect();
    parts.push(split(text(Some(array.trailing()))));
    let known = |name: &str| {
        let place = array.iter().position(|value| value.as_str() == Some(name))?;
        let behind = parts.get(place.checked_add(1)?)?.0.clone();
        Some((array.get(place)?.clone(), parts.get(place)?.1.clone(), behind))
    };
    let (mut edited, mut indent, mut behind_last) = (Array::new(), String::new(), String::new());
    for name in names {
        let (mut value, before, behind) = known(name).unwrap_or_else(|| {
            let is_in_line = indent.is_empty() && !edited.is_empty();
            let before = if is_in_line { String::from(" ") } else { indent.clone() };
            (name.as_str().into(), before, String::new())
        });
        indent = before.rfind('\n').and_then(|at| before.get(at..)).unwrap_or_default().to_owned();
        value.decor_mut().set_prefix(format!("{behind_last}{before}"));
        value.decor_mut().set_suffix("");
        edited.push_formatted(value);
        behind_last = behind;
    }
    let end = parts.last().map(|(_, end)| end.as_str()).unwrap_or_default();
    edited.set_trailing(format!("{behind_last}{end}"));
    edited.set_trailing_comma(array.trailing_comma());
    *edited.decor_mut() = array.decor().clone();
    *array = edited;
}

fn edit_shares(document: &mut DocumentMut, before: &Settings, after: &Settings) -> Result<(), NotEditable> {
    let item = document.entry("share").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tables = item.as_array_of_tables_mut().ok_or_else(|| not_a("share", "list of [[share]]"))?;
    let kept = || after.shares.iter().filter(|share| !share.temporary);
    tables.retain(|table| kept().any(|share| is_called(table, &share.name)));
    for share in kept() {
        let place = tables.iter().position(|table| is_called(table, &share.name));
        if let Some(table) = place.and_then(|place| tables.get_mut(place)) {
            let known = before.shares.iter().find(|it| eq_ignore_case(&it.name, &share.name));
            let known = known.ok_or_else(|| NotEditable(format!("share {:?} exists already", share.name)))?;
            edit_share(table, known, share);
        } else {
            tables.push(new_share(share));
        }
    }
    if tables.is_empty() {
        document.remove("share");
    }
    Ok(())
}

fn new_share(share: &ShareSettings) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", Some(share.name.as_str().into()));
    put(&mut table, "path", Some(share.path.to_string_lossy().as_ref().into()));
    let plain = ShareSettings::new(share.name.clone(), share.path.clone());
    let hidden = share.name.ends_with('$');
    edit_share(&mut table, &ShareSettings { hidden, ..plain }, share);
    table
}

fn edit_share(table: &mut Table, before: &ShareSettings, after: &ShareSettings) {
    let flag = |set: bool| set.then(|| Value::from(true));
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let number = |number: Option<u32>| number.map(|number| Value::from(i64::from(number)));
    let mut set = |key: &str, differs: bool, value: Option<Value>| {
        if differs {
            put(table, key, value);
        }
    };
    set("remark", before.remark != after.remark, text(&after.remark));
    set("read_only", before.read_only != after.read_only, flag(after.read_only));
    set("guest", before.guest != after.guest, flag(after.guest));
    set("encrypt", before.encrypt != after.encrypt, flag(after.encrypt));
    set(
        "access_based_enum",
        before.access_based_enum != after.access_based_enum,
        flag(after.access_based_enum),
    );
    set("hidden", before.hidden != after.hidden, flag(after.hidden));
    set("max_users", before.max_users != after.max_users, number(after.max_users));
    set("users", before.users != after.users, list(after.users.iter().map(|user| user.as_str().into())));
    set("grants", before.grants != after.grants, list(after.grants.iter().map(grant)));
    set("caching", before.caching != after.caching, Some(caching(after.caching).into()));
    set("autodisconnect", before.autodisconnect != after.autodisconnect, number(after.autodisconnect));
}

/// Sets a value, with the comment and the spaces of the value before it; removes the key if there is no value.
fn put(table: &mut dyn toml_edit::TableLike, key: &str, value: Option<Value>) {
    let Some(mut value) = value else {
        table.remove(key);
        return;
    };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(there) => {
            *value.decor_mut() = there.decor().clone();
            *there = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn is_called(table: &Table, name: &str) -> bool {
    table.get("name").and_then(Item::as_str).is_some_and(|it| eq_ignore_case(it, name))
}

fn list(values: impl Iterator<Item = Value>) -> Option<Value> {
    let array: Array = values.collect();
    (!array.is_empty()).then_some(Value::Array(array))
}

fn grant(grant: &Grant) -> Value {
    let mut table = InlineTable::new();
    let (key, name) = match &grant.who {
        Grantee::User(name) => ("user", name),
        Grantee::Group(name) => ("group", name),
    };
    table.insert(key, name.as_str().into());
    table.insert("right", right(grant.right).into());
    Value::InlineTable(table)
}

/// The name of a right in the file.
fn right(right: GrantRight) -> &'static str {
    match right {
        GrantRight::Read => "read",
        GrantRight::Change => "change",
        GrantRight::Full => "full",
    }
}

/// The name of a caching policy in the file.
fn caching(caching: Caching) -> &'static str {
    match caching {
        Caching::Manual => "manual",
        Caching::Documents => "documents",
        Caching::Programs => "programs",
        Caching::None => "none",
    }
}

fn not_a(key: &str, form: &str) -> NotEditable {
    NotEditable(format!("{key} is not a {form}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    const FILE: &str = "\
# The attic's server.
[server]
name = 'ATTIC' # as on the door
comment = \"old\" # what it was called
# autodisconnect = 15

# For everybody.
[[share]]
name = \"data\" # not Data
path = \"/srv/data\"
max_users = 3   # the licence says so
users = [
  \"ann\", # her too
]

# Secret.
[[share]]
name = \"secret$\"
path = \"/srv/secret\"
";

    fn read(text: &str) -> Settings {
        let defaults = Settings::conventional(false, |_| None);
        super::super::parse(text, Path::new("/etc/shareward"), defaults).unwrap()
    }

    /// Edits the file for a change and checks that exactly this was changed.
    fn changed(text: &str, change: impl FnOnce(&mut Settings)) -> String {
        let before = read(text);
        let mut after = before.clone();
        change(&mut after);
        let edited = edit(text, &before, &after).unwrap();
        let told = read(&edited);
        assert_eq!(told.shares, after.shares, "{edited}");
        assert_eq!(told.groups, after.groups, "{edited}");
        assert_eq!(
            (told.comment, told.hidden, told.autodisconnect, told.lockout, told.passwords),
            (after.comment, after.hidden, after.autodisconnect, after.lockout, after.passwords),
            "{edited}"
        );
        edited
    }

    #[test]
    fn unchanged_settings_leave_the_text_unchanged() {
        assert_eq!(changed(FILE, |_| ()), FILE);
        assert_eq!(changed("", |_| ()), "");
    }

    #[test]
    fn changed_value_keeps_its_comment() {
        let text = changed(FILE, |settings| {
            settings.comment = String::from("new");
            settings.autodisconnect = Some(15);
            settings.shares[0].max_users = Some(4);
        });
        assert_eq!(
            text,
            FILE.replace("\"old\"", "\"new\"")
                .replace("max_users = 3", "max_users = 4")
                .replace("# what it was called\n", "# what it was called\nautodisconnect = 15\n")
        );
    }

    #[test]
    fn groups_are_added_changed_and_removed_with_the_comments_of_others() {
        const GROUPS: &str = "\n# Those who write.\n[[group]]\nname = \"editors\" # of the paper\nusers = [\n  \
                              \"ann\", # the chief\n  \"bob\",\n]\n";
        let file = format!("{FILE}{GROUPS}");
        let readers = LocalGroup {
            name: String::from("readers"),
            comment: String::from("All the others"),
            users: vec![String::from("carl")],
            groups: vec![String::from("staff")],
            of_cluster: false,
        };
        let text = changed(&file, |settings| Arc::make_mut(&mut settings.groups).push(readers));
        assert_eq!(
            text,
            format!(
                "{file}\n[[group]]\nname = \"readers\"\ncomment = \"All the others\"\nusers = [\"carl\"]\ngroups = [\"staff\"]\n"
            )
        );
        let text = changed(&file, |settings| {
            Arc::make_mut(&mut settings.groups)[0].users = vec!["ann".into(), "CORP\\dora".into()];
        });
        assert_eq!(text, file.replace("  \"bob\",\n", "  'CORP\\dora',\n"));
        // A name goes with its own comment, and names on one line stay there.
        let text = changed(&file, |settings| {
            Arc::make_mut(&mut settings.groups)[0].users = vec!["bob".into()];
        });
        assert_eq!(text, file.replace("  \"ann\", # the chief\n", ""));
        let line = "[[group]]\nname = \"a\"\nusers = [\"ann\", \"bob\"] # two\n";
        let text = changed(line, |settings| {
            Arc::make_mut(&mut settings.groups)[0].users = vec!["ann".into(), "carl".into(), "dora".into()];
        });
        assert_eq!(text, line.replace("\"bob\"", "\"carl\", \"dora\""));
        assert_eq!(changed(&file, |settings| Arc::make_mut(&mut settings.groups).clear()), FILE);
    }

    #[test]
    fn rules_for_passwords_are_written() {
        let text = changed(FILE, |settings| {
            settings.passwords.min_length = 8;
            settings.passwords.history = 24;
            settings.lockout.window = 1;
        });
        assert!(
            text.contains("lockout_window = 1\nmin_password_length = 8\npassword_history = 24\n"),
            "{text}"
        );
        changed(&text, |settings| settings.passwords = super::super::PasswordPolicy::default());
    }

    #[test]
    fn shares_are_added_and_removed() {
        let mut share = ShareSettings::new(String::from("new'name"), "/srv/a b".into());
        share.remark = String::from("line 1\nline 2 \u{7}");
        share.grants = vec![Grant { who: Grantee::User(String::from("Everyone")), right: GrantRight::Read }];
        share.caching = Caching::None;
        let added = changed(FILE, |settings| settings.shares.push(share));
        assert!(added.starts_with(FILE), "{added}");
        let deleted = changed(&added, |settings| drop(settings.shares.remove(0)));
        assert!(!deleted.contains("licence") && deleted.contains("# Secret."), "{deleted}");
        let emptied = changed(&deleted, |settings| settings.shares.clear());
        assert!(!emptied.contains("share]"), "{emptied}");
        changed(&emptied, |settings| {
            settings.shares.push(ShareSettings {
                hidden: true,
                ..ShareSettings::new(String::from("again$"), "/srv".into())
            });
        });
    }

    #[test]
    fn every_setting_of_a_share_is_written_and_removed() {
        let full = ShareSettings {
            remark: String::from("r"),
            read_only: true,
            guest: true,
            encrypt: true,
            access_based_enum: true,
            hidden: true,
            max_users: Some(9),
            users: vec![String::from("ann"), String::from("bob")],
            grants: vec![
                Grant { who: Grantee::User(String::from("ann")), right: GrantRight::Full },
                Grant { who: Grantee::Group(String::from("bobs")), right: GrantRight::Change },
            ],
            caching: Caching::Programs,
            autodisconnect: Some(0),
            ..ShareSettings::new(String::from("data"), "/srv/data".into())
        };
        let written = changed(FILE, |settings| settings.shares[0] = full);
        changed(&written, |settings| {
            settings.shares[0] = ShareSettings::new(String::from("data"), "/srv/data".into());
        });
    }

    #[test]
    fn malformed_text_is_refused() {
        let (before, mut after) = (read(FILE), read(FILE));
        after.shares.clear();
        after.comment.clear();
        for text in ["server = 3\n", "server = { name = 'x'", "[server]\n[share]\nname = 'x'\n"] {
            assert!(edit(text, &before, &after).is_err(), "{text}");
        }
    }
}
