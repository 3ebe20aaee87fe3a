use super::*;
use proptest::prelude::*;

const NOW: FileTime = FileTime::from_unix(0x6543_2100, 0);

/// A file written by `pdbedit -e smbpasswd:` with users, a machine account, a disabled account and one without a
/// password.
const EXPORTED: &str = "\
alice:1000:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-5F000000:
BOB:1001:AAD3B435B51404EEAAD3B435B51404EE:8846f7eaee8fb117ad06bdd830b7586c:[UX         ]:LCT-5F000001:
station$:1002:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[W          ]:LCT-00000000:
carol:1003:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[DU         ]:LCT-5F000002:
dave:4294967295:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:[NU         ]:LCT-5F000003:
";

fn parse(text: &str) -> UserDb {
    UserDb::parse(text).unwrap()
}

#[test]
fn an_exported_file_works_unchanged() {
    let db = parse(EXPORTED);
    assert_eq!(db.to_text().as_str(), EXPORTED);
    let alice = Accounts::nt_hash(&db.at(NOW, 0), "ANY", "ALICE").unwrap();
    assert_eq!((alice.name.as_str(), alice.nt_hash), ("alice", Some(nt_hash("password"))));
    assert!(!alice.disabled && !alice.locked_out);
    assert!(!Accounts::nt_hash(&db.at(NOW, 0), "", "bob").unwrap().disabled);
    assert!(Accounts::nt_hash(&db.at(NOW, 0), "", "station$").unwrap().disabled, "a machine is no user");
    assert!(Accounts::nt_hash(&db.at(NOW, 0), "", "carol").unwrap().disabled);
    assert_eq!(
        Accounts::nt_hash(&db.at(NOW, 0), "", "dave").unwrap().nt_hash,
        None,
        "an account, and no password"
    );
    assert!(Accounts::nt_hash(&db.at(NOW, 0), "", "erin").is_none());
    assert_eq!(db.user("alice").unwrap().last_change.to_unix().0, 0x5f00_0000);
}

#[test]
fn a_domain_in_a_name_is_ignored_like_a_separate_one() {
    let db = parse(&EXPORTED.replace("carol:", "carol@home:"));
    let found = |domain: &str, name: &str| db.meant(domain, name).map(|user| user.name.as_str());
    assert_eq!(found("OTHER", "alice"), Some("alice"));
    assert_eq!(found("", "Alice@OTHER"), Some("alice"));
    assert_eq!(found("", "carol@home"), Some("carol@home"), "an account that is called so");
    assert_eq!(found("MicrosoftAccount", "alice@example.com"), None);
    assert_eq!((found("", "@OTHER"), found("", "erin@OTHER")), (None, None));
}

#[test]
fn a_change_rewrites_its_line_only() {
    let text = format!(
        "# people\n\n{}",
        EXPORTED.replace("[UX         ]:LCT-5F000001:", "[UXQ        ]:LCT-5F000001:Bob B:x")
    );
    let mut db = parse(&text);
    db.set_password("bob", "new", NOW).unwrap();
    db.delete("Carol").unwrap();
    let written = db.to_text();
    let old: Vec<&str> = text.lines().collect();
    let new: Vec<&str> = written.lines().collect();
    assert_eq!(new.len(), old.len() - 1);
    assert_eq!(new[..3], old[..3]);
    assert!(new[3].starts_with("BOB:1001:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:"), "the LM hash is gone");
    assert!(new[3].ends_with(":[UXQ        ]:LCT-65432100:Bob B:x"), "{}", new[3]);
    assert_eq!(new[4], old[4]);
    assert_eq!(new[5], old[6]);
    let again = parse(&written);
    assert_eq!(again.user("bob").unwrap().nt_hash, Some(nt_hash("new")));
    assert_eq!(again.user("dave"), db.user("dave"));
}

#[test]
fn accounts_are_added_and_deleted() {
    let mut db = parse("# no newline at the end");
    db.add("Zoë", 7, "secret", NOW).unwrap();
    assert_eq!(db.add("ZOË", 8, "x", NOW), Err(ChangeError::Exists));
    assert_eq!(db.add("a:b", 8, "x", NOW), Err(ChangeError::BadName));
    assert_eq!(db.add("", 8, "x", NOW), Err(ChangeError::BadName));
    db.set_enabled("zoë", false).unwrap();
    let again = parse(&db.to_text());
    let user = again.user("zoë").unwrap();
    assert_eq!((user.uid, user.nt_hash, user.is_enabled()), (7, Some(nt_hash("secret")), false));
    assert_eq!(user.last_change, NOW);
    db.set_enabled("zoë", true).unwrap();
    assert!(db.user("zoë").unwrap().is_enabled());
    db.delete("zoë").unwrap();
    assert_eq!(db.delete("zoë"), Err(ChangeError::NoSuchUser));
    assert_eq!(db.set_password("zoë", "x", NOW), Err(ChangeError::NoSuchUser));
    assert_eq!(db.to_text().as_str(), "# no newline at the end\n");
}

#[test]
fn errors_name_their_line() {
    let good = EXPORTED.lines().next().unwrap();
    for (line, problem) in [
        ("x", Problem::MissingFields),
        (":1:X:XXXX:[U]:", Problem::BadName),
        ("x:one:X:XXXX:[U]:", Problem::BadUid),
        ("x:1:X:123:[U]:", Problem::BadHash),
        ("x:1:X:8846F7EAEE8FB117AD06BDD830B7586G:[U]:", Problem::BadHash),
        ("x:1:X:XXXX:[U:", Problem::BadFlags),
        ("x:1:X:XXXX:U:", Problem::BadFlags),
        ("x:1:X:XXXX:[U]:LCT-zz:", Problem::BadTime),
        ("ALICE:1:X:XXXX:[U]:", Problem::Duplicate),
    ] {
        let text = format!("# c\n{good}\n{line}\n");
        assert_eq!(UserDb::parse(&text).unwrap_err(), ParseError { line: 3, problem }, "{line}");
    }
}

#[test]
fn accounts_that_differ_in_case_only_are_one() {
    let line = |name: &str| format!("{name}:1:X:XXXX:[U]:");
    for (one, other) in [("jürgen", "JÜRGEN"), ("νικος", "ΝΙΚΟΣ")] {
        let problem = Problem::Duplicate;
        let both = format!("{}\n{}\n", line(one), line(other));
        assert_eq!(UserDb::parse(&both).unwrap_err(), ParseError { line: 2, problem });
        assert_eq!(parse(&line(one)).user(other).unwrap().name, one);
    }
    assert!(UserDb::parse(&format!("{}\n{}\n", line("ı"), line("i"))).is_ok());
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let db = parse(EXPORTED);
    let shown = format!("{db:?} {:?} {:?}", db.user("alice"), Accounts::nt_hash(&db.at(NOW, 0), "", "alice"));
    assert!(!shown.contains("136") && !shown.contains("8846"), "{shown}");
}

#[cfg(unix)]
#[test]
fn saving_replaces_the_file_and_closes_it_to_others() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    fs::write(&path, EXPORTED).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();

    let (mut db, warning) = UserDb::load(&link).unwrap();
    assert_eq!(warning, Some(Warning::Exposed { mode: 0o640 }));
    db.delete("alice").unwrap();
    db.save(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (again, warning) = UserDb::load(&path).unwrap();
    assert_eq!(warning, None);
    assert_eq!(again.to_text(), db.to_text());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "no temporary file is left");

    let fresh = directory.path().join("fresh");
    db.save(&fresh).unwrap();
    assert_eq!(fs::read_to_string(&fresh).unwrap(), db.to_text().as_str());
    assert!(db.save(&directory.path().join("missing/users")).is_err());
}

#[test]
fn invalid_utf8_is_an_error_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    fs::write(&path, b"# one\n# two\nx\xff:1\n").unwrap();
    let Err(LoadError::Parse { source, .. }) = UserDb::load(&path) else { panic!("the file is read") };
    assert_eq!(source, ParseError { line: 3, problem: Problem::NotUtf8 });
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9äöüé._-]{1,12}\\$?"
}

proptest! {
    #[test]
    fn written_files_read_back(
        names in proptest::collection::vec((name(), any::<u32>(), ".{0,10}", any::<bool>()), 0..8),
        time: u32,
    ) {
        let mut db = UserDb::default();
        for (name, uid, password, enabled) in &names {
            let added = db.add(name, *uid, password, FileTime::from_unix(i64::from(time), 0));
            prop_assert!(matches!(added, Ok(()) | Err(ChangeError::Exists)));
            db.set_enabled(name, *enabled).unwrap();
        }
        let text = db.to_text();
        let again = UserDb::parse(&text).unwrap();
        prop_assert_eq!(again.to_text(), text);
        prop_assert!(again.users().eq(db.users()));
    }

    #[test]
    fn arbitrary_text_never_panics_and_is_kept(text in "([a-z#:\\[\\]X 0-9-]{0,40}\r?\n){0,5}.{0,20}") {
        if let Ok(db) = UserDb::parse(&text) {
            let written = db.to_text();
            prop_assert_eq!(written.as_str(), text);
        }
    }
}

const SET_2020: &str = "alice:1000:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-5F000000:\n";

#[test]
fn rules_without_a_field_are_kept_behind_the_known_fields() {
    let mut db = UserDb::parse(&SET_2020.replace(":\n", ":Alice,,,:/home\n")).unwrap();
    db.amend("alice", |_, rules| {
        rules.expires = Some(FileTime::from_unix(1_900_000_000, 0));
        rules.is_password_fixed = true;
    })
    .unwrap();
    for new in ["first", "second", "third"] {
        db.replace_password("alice", nt_hash(new), 2, now()).unwrap();
    }
    let text = db.to_text();
    assert!(text.contains(":shareward expires=1900000000 fixed old="), "{}", *text);
    assert!(text.ends_with(":Alice,,,:/home\n"), "{}", *text);
    let read = UserDb::parse(&text).unwrap();
    let user = read.user("alice").unwrap();
    assert_eq!(user.rules.old_hashes, [nt_hash("second"), nt_hash("first")]);
    assert!(user.rules == db.user("alice").unwrap().rules);
    db.amend("alice", |_, rules| *rules = AccountRules::default()).unwrap();
    assert!(db.to_text().ends_with(":Alice,,,:/home\n") && !db.to_text().contains("shareward"));
}

#[test]
fn account_and_password_become_too_old() {
    const DAY: i64 = 24 * 60 * 60;
    let set = i64::from(0x5F00_0000_u32);
    let at = |seconds: i64| FileTime::from_unix(set + seconds, 0);
    let outdated = |db: &UserDb, now, age: i64| {
        let age = u64::try_from(age).unwrap();
        db.at(now, age).nt_hash("", "alice").unwrap().outdated
    };
    let mut db = UserDb::parse(SET_2020).unwrap();
    assert_eq!(outdated(&db, at(1000 * DAY), 0), None);
    assert_eq!(outdated(&db, at(2 * DAY - 1), 2 * DAY), None);
    assert_eq!(outdated(&db, at(2 * DAY), 2 * DAY), Some(Outdated::Password));
    db.amend("alice", |_, rules| rules.expires = Some(at(DAY))).unwrap();
    assert_eq!(outdated(&db, at(DAY - 1), 0), None);
    assert_eq!(outdated(&db, at(DAY), 0), Some(Outdated::Account));
    db.amend("alice", |flags, rules| {
        rules.expires = None;
        flags.set('X', true);
    })
    .unwrap();
    assert_eq!(outdated(&db, at(2 * DAY), 2 * DAY), None);
    db.set_must_change("alice", true, at(0)).unwrap();
    assert!(db.to_text().contains("LCT-00000000"));
    assert_eq!(outdated(&db, at(0), 0), Some(Outdated::MustChange));
    db.set_password("alice", "new", at(0)).unwrap();
    assert_eq!(outdated(&db, at(0), 0), None);
}

#[test]
fn account_without_a_time_of_change_is_changed_without_one() {
    let hash = "8846F7EAEE8FB117AD06BDD830B7586C";
    for (line, changed) in [
        (format!("alice:1000:{hash}:{hash}\n"), "[UD         ]::\n"),
        (format!("alice:1000:{hash}:{hash}:[U]:Alice,,,:/home\n"), "[UD         ]:Alice,,,:/home\n"),
    ] {
        let mut db = parse(&line);
        db.set_enabled("alice", false).unwrap();
        assert!(db.to_text().ends_with(changed), "{}", *db.to_text());
        assert!(!parse(&db.to_text()).user("alice").unwrap().must_change_password());
    }
}

#[test]
fn text_of_another_program_is_no_rules() {
    for text in ["shareward", "shareward fixed-term", "sharewardian fixed", "shareward expires=never:x"] {
        let mut db = parse(&SET_2020.replace(":\n", &format!(":{text}:/home\n")));
        assert!(db.user("alice").unwrap().rules == AccountRules::default(), "{text}");
        db.set_enabled("alice", false).unwrap();
        assert!(db.to_text().ends_with(&format!(":{text}:/home\n")), "{}", *db.to_text());
    }
}

#[test]
fn logon_hours_are_bits_of_the_week_in_utc() {
    let mut db = UserDb::parse(SET_2020).unwrap();
    // Monday from 8 to 10 o'clock: the bits 32 and 33.
    let mut hours = [0; 21];
    hours[4] = 0b11;
    db.amend("alice", |_, rules| rules.logon_hours = Some(hours)).unwrap();
    let text = db.to_text();
    assert!(text.contains(":shareward hours=0000000003"), "{}", *text);
    let db = UserDb::parse(&text).unwrap();
    let outdated = |time: &str| {
        let seconds = time.parse::<i64>().unwrap();
        db.at(FileTime::from_unix(seconds, 0), 0).nt_hash("", "alice").unwrap().outdated
    };
    // Around 8 and 10 o'clock of a Monday, and at 8 o'clock of the next day.
    for (time, expected) in [
        ("1796025599", Some(Outdated::Hours)),
        ("1796025600", None),
        ("1796032799", None),
        ("1796032800", Some(Outdated::Hours)),
        ("1796112000", Some(Outdated::Hours)),
    ] {
        assert_eq!(outdated(time), expected, "{time}");
    }
    let wrong = text.replace("hours=00", "hours=0x");
    assert!(UserDb::parse(&wrong).unwrap().user("alice").unwrap().rules.logon_hours.is_none());
}
