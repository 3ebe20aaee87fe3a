//! Keys and values of etcd, and invitations: nodes of a cluster read these from each other.

use std::path::{Component, Path};

use cluster::ids::{LeaseId, Revision, ShareKey};
use cluster::keys::{Key, prefix};
use cluster::protocol::{Change, Entry};
use cluster::records::{
    self, ChangeRecord, Check, DrainRecord, FaultsRecord, LastChange, MoveRecord, NodeRecord, OwnerRecord,
    SchemaRecord, SealedRecord, SettingsRecord, ShareRecord,
};
use cluster::{Owner, View};
use serde::Serialize;
use serde::de::DeserializeOwned;
use server::testing::hostile_values as values;

use crate::input::Input;

/// Keys of etcd: for each a byte of flags, the path behind the prefix, and the value.
pub fn records(data: &[u8]) {
    let prefix = prefix("office").unwrap();
    let (mut input, mut view, mut paths) = (Input(data), View::default(), Vec::new());
    while !input.is_empty() {
        let flags = input.byte();
        let path = format!("{prefix}{}", String::from_utf8_lossy(input.piece()));
        let value = input.piece().to_vec();
        if let Some(key) = Key::from_path(&prefix, &path) {
            assert_eq!(key.to_path(&prefix), path, "a key with two paths");
            record(&key, &value);
        }
        let revision = Revision(1 + paths.len() as u64);
        let lease = (flags & 1 == 1).then_some(LeaseId(7));
        let entry = Entry { path: path.clone(), value, created: revision, modified: revision, lease };
        view.take(&prefix, &Change::Written(entry));
        paths.push(path);
        sums(&view);
    }
    for path in paths {
        view.take(&prefix, &Change::Deleted { path });
        sums(&view);
    }
    let is_empty = view.members().is_empty() && view.shares().is_empty() && view.owners().is_empty();
    assert!(is_empty && view.drains().is_empty() && view.weight() == 0, "{view:?}");
}

/// The value of a key: it is written as it was read.
fn record(key: &Key, value: &[u8]) {
    match key {
        Key::Change(_) => {
            if let Some(record) = same::<ChangeRecord>(value) {
                assert_eq!(record.clone().bounded().bounded(), record.bounded());
            }
        }
        Key::Drain(_) => _ = same::<DrainRecord>(value),
        Key::Group(_) | Key::Invite(_) | Key::User(_) => _ = same::<SealedRecord>(value),
        Key::LastChange => _ = same::<LastChange>(value),
        Key::Faults(_) => _ = same::<FaultsRecord>(value),
        Key::Move(_) => _ = same::<MoveRecord>(value),
        Key::Node(_) => _ = same::<NodeRecord>(value),
        Key::Owner(_) => {
            if let Some(record) = same::<OwnerRecord>(value) {
                let _ = record.generation(Revision(u64::MAX));
            }
        }
        Key::Schema => _ = same::<SchemaRecord>(value),
        Key::Settings => _ = same::<SettingsRecord>(value),
        // The numbers of a definition may have fractions, which are not kept to the last digit.
        Key::Share(_) => {
            if let Ok(record) = records::read::<ShareRecord>(value) {
                same::<ShareRecord>(&records::write(&ShareRecord { definition: 0.into(), ..record }))
                    .unwrap();
            }
        }
        Key::Secret => {}
    }
}

fn same<T: DeserializeOwned + Serialize + Check + PartialEq + std::fmt::Debug>(value: &[u8]) -> Option<T> {
    let record = records::read::<T>(value).ok()?;
    assert_eq!(records::read::<T>(&records::write(&record)).as_ref(), Ok(&record));
    Some(record)
}

/// The sums of the view are those of its parts.
fn sums(view: &View) {
    assert_eq!(view.weight(), view.shares().values().map(|it| u64::from(it.weight)).sum::<u64>());
    for node in view.members().keys() {
        let is_its = |it: &Owner| matches!(it, Owner::Known { record, .. } if record.node == *node);
        let owned = view.owners().iter().filter(|it| is_its(it.1)).filter_map(|it| view.shares().get(it.0));
        let weights: Vec<u64> = owned.map(|it| it.weight.into()).collect();
        let holding = view.holding(node);
        assert_eq!((holding.shares, holding.weight), (weights.len() as u64, weights.iter().sum()), "{node}");
    }
}

/// The text of an invitation, which has one spelling apart from case and the spaces around it.
pub fn invitations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(read) = values::invitation(text) {
        assert!(read.eq_ignore_ascii_case(text.trim()), "{text:?} is read as {read:?}");
        assert_eq!(values::invitation(&read).as_deref(), Some(read.as_str()));
    }
}

/// The value of a user: one that nobody has sealed, or a line that somebody with the secret has. The first byte says which,
/// and changes of the sealed value follow.
pub fn sealed(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    if kind & 1 == 0 {
        assert!(values::user("ann", input.0).is_err(), "a value that nobody has sealed");
        return;
    }
    let (at, changed) = (usize::from(input.u16()), input.byte());
    let Ok(line) = std::str::from_utf8(input.0) else { return };
    let mut sealed = values::seal("ann", line).into_bytes();
    match values::user("ann", &records::write(&SealedRecord { sealed: text(&sealed) })) {
        Ok(users) => {
            let names: Vec<&str> = users.users().map(|user| user.name.as_str()).collect();
            assert!(names.len() == 1 && names[0].eq_ignore_ascii_case("ann"), "{names:?}");
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
    let other = values::user("bob", &records::write(&SealedRecord { sealed: text(&sealed) }));
    assert!(other.is_err(), "a value is good for another user");
    if changed != 0 {
        let at = at % sealed.len();
        sealed[at] ^= changed & 0x7f | 1;
        assert!(values::user("ann", &records::write(&SealedRecord { sealed: text(&sealed) })).is_err());
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The definition of the share `data`: whoever writes to etcd has no node share a directory that is not below its paths.
pub fn definitions(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else { return };
    match values::share("data", &value) {
        Ok(share) => {
            assert_eq!(ShareKey::new(&share.name), ShareKey::new("data"));
            let is_plain = share.path.components().all(|it| !matches!(it, Component::ParentDir));
            assert!(is_plain && share.path.starts_with(Path::new(values::PATH)), "{:?}", share.path);
            assert!(!share.read_only && !share.homes && !share.has_variables());
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// The inputs to begin with, by target.
pub(crate) fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let entry = |flags: u8, path: &str, value: &str| {
        [vec![flags], crate::input::join([path.as_bytes(), value.as_bytes()])].concat()
    };
    let node = r#"{"incarnation":"00000000000000ff.2","addresses":["192.0.2.1"],"weight":1}"#;
    let share = r#"{"weight":3,"nodes":["a"],"addresses":["192.0.2.9"],"definition":{"token":"t","share":{"name":"Data"}}}"#;
    let owner = r#"{"node":"a","incarnation":"00000000000000ff.2","offset":1}"#;
    let change = r#"{"number":7,"at_ms":1,"node":"a","user":"ann","from":"b","act":"add share","object":"data","details":["x: 1 -> 2"]}"#;
    let all = [
        entry(0, "schema", r#"{"version":1,"cluster":"0123"}"#),
        entry(1, "nodes/a", node),
        entry(0, "shares/data", share),
        entry(1, "owners/data", owner),
        entry(1, "moves/data", r#"{"target":"a"}"#),
        entry(0, "drains/a", "{}"),
    ];
    let others = [
        entry(0, "settings", r#"{"values":{"min_password_length":9}}"#),
        entry(0, "users/ann", r#"{"sealed":"AAAA"}"#),
        entry(0, "secret", "0123"),
        entry(1, "invites/0123", r#"{"sealed":"AAAA"}"#),
        entry(0, "changes/last", r#"{"number":7}"#),
        entry(0, "changes/0007", change),
        entry(1, "faults/a", r#"{"faults":[{"share":"data","reason":"full"}]}"#),
    ];
    let wrong = [
        entry(0, "nodes/a", node),
        entry(1, "nodes/A", node),
        entry(1, "owners/data", "{}"),
        entry(0, "owners/data", owner),
        entry(1, "owners/data", &owner.replace("\"a\"", "\"b\"")),
        entry(0, "shares/data", r#"{"weight":0}"#),
        entry(0, "changes/7", change),
    ];
    let key = "0123456789abcdef".repeat(4);
    let ann = concat!(
        "ann:1000:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:",
        "[U          ]:LCT-5F000000:Ann:\n"
    );
    let table = |keys: &str| format!(r#"{{"token":"t","share":{{"name":"Data",{keys}}}}}"#).into_bytes();
    vec![
        ("records", "shares", all.concat()),
        ("records", "others", others.concat()),
        ("records", "wrong", wrong.concat()),
        ("invitations", "one", format!("office.0123456789abcdef.{key}").into_bytes()),
        ("invitations", "spaces", format!(" office.0.{}\n", key.to_ascii_uppercase()).into_bytes()),
        ("invitations", "sign", format!("office.0.+{}", &key[1..]).into_bytes()),
        ("sealed", "user", [b"\x01\x05\0\0", ann.as_bytes()].concat()),
        ("sealed", "changed", [b"\x01\x05\0\x01", ann.as_bytes()].concat()),
        ("sealed", "other", [b"\x01\0\0\0", ann.replace("ann:", "bob:").as_bytes()].concat()),
        ("sealed", "none", b"\0{\"sealed\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\"}".to_vec()),
        ("definitions", "plain", table(r#""path":"/srv/c/data","continuous":true,"remark":"r""#)),
        ("definitions", "grants", table(r#""path":"/srv/c/data","grants":[{"user":"ann","right":"full"}]"#)),
        ("definitions", "outside", table(r#""path":"/srv/c/../../etc""#)),
        ("definitions", "variables", table(r#""path":"/srv/c/%U","recycle":{"max_age_days":7}"#)),
    ]
}
