//! The users file.

use auth::UserDb;

use crate::logon::NOW;

/// A users file: kept to the byte, and still one when accounts change.
pub fn users(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(mut db) = UserDb::parse(text) else { return };
    assert_eq!(db.to_text().as_str(), text);
    let names: Vec<String> = db.users().map(|user| user.name.clone()).collect();
    for name in &names {
        assert_eq!(db.user(name).map(|user| &user.name), Some(name));
    }
    let others = |db: &UserDb, except: &str| -> Vec<String> {
        db.users().map(|user| user.name.clone()).filter(|name| name != except).collect()
    };
    if let Some(name) = names.first() {
        let before = others(&db, name);
        db.set_password(name, "another", NOW).unwrap();
        db.set_enabled(name, false).unwrap();
        let read = same(&db);
        assert!(!read.user(name).unwrap().is_enabled());
        assert_eq!(others(&read, name), before);
        db.delete(name).unwrap();
        let read = same(&db);
        assert!(read.user(name).is_none());
        assert_eq!(others(&read, name), before);
    }
    if db.add("somebody", 1000, "secret", NOW).is_ok() {
        assert!(same(&db).user("SOMEBODY").unwrap().is_enabled());
    }
}

/// The accounts as they would be read after a restart, which are these.
fn same(db: &UserDb) -> UserDb {
    let read = UserDb::parse(&db.to_text()).unwrap();
    assert!(read.users().eq(db.users()));
    read
}
