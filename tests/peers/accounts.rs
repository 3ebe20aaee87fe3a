//! Accounts: users that are changed while the server runs, guests, and the right to list shares.

use std::fs;

use testkit::peer::{rpcclient, smbclient};
use testkit::{Output, RunAs, Setup, Shareward, Subject, User, need};
use wire::msg::{EchoRequest, SecurityMode, SessionFlags};
use wire::{Command, Dialect, NtStatus, TreeId};

use crate::raw::{Keys, Protection, Raw};
use crate::reload::reconfigure;

const MODE: SecurityMode = SecurityMode::SIGNING_ENABLED;

fn with_guests(settings: &str) -> Option<Subject> {
    if !need(&["smbclient", "rpcclient"]) {
        return None;
    }
    let setup = Setup { extra: settings.into(), ..Setup::default() };
    let server = Shareward::start(&setup);
    let path = server.scratch();
    let hidden = |name: &str, more: &str| {
        format!("\n[[share]]\nname = {name:?}\npath = {path:?}\nhidden = true\n{more}")
    };
    let (attic, cellar) = (hidden("attic", ""), hidden("cellar", "guest = true\n"));
    let other = "name = \"other\"\n";
    reconfigure(&server, other, &format!("{other}guest = true\n"));
    let all = "[[share]]\nname = \"data\"\n";
    reconfigure(&server, all, &format!("{attic}{cellar}\n{all}"));
    Some(Subject::Shareward(server))
}

fn ours(subject: &Subject) -> &Shareward {
    match subject {
        Subject::Shareward(server) => server,
        Subject::Samba(_) => panic!("not ours"),
    }
}

fn stranger(name: &str) -> User {
    User { name: name.into(), password: "whatever".into(), administrator: false }
}

fn logon(subject: &Subject, name: &str, password: &str) -> Result<(Raw, Keys), NtStatus> {
    let mut raw = Raw::speaking(subject, Dialect::SMB311, MODE);
    let keys = raw.logon(auth::Credentials::password(name, "", password), MODE)?;
    Ok((raw, keys))
}

fn list(subject: &Subject, user: &User, options: &[&str]) -> Output {
    let mut all = vec!["-L", "127.0.0.1"];
    all.extend(options);
    smbclient(subject, user, "IPC$", &all, "")
}

#[track_caller]
fn lists(output: Output, shares: &[(&str, bool)]) {
    for (share, is_listed) in shares {
        let told = output.stdout.lines().any(|line| line.trim_start().starts_with(&format!("{share} ")));
        assert_eq!(told, *is_listed, "{share} in {}", output.stdout);
    }
}

#[test]
fn changes_of_users_take_effect_at_the_next_logon_and_sessions_continue() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = ours(&subject);
    assert_eq!(logon(&subject, "dora", "First 1").err(), Some(NtStatus::LOGON_FAILURE));
    server.user(&["add", "dora"], "First 1\n").success();
    let (mut raw, keys) = logon(&subject, "dora", "First 1").expect("dora");
    server.user(&["passwd", "dora"], "Second 2\n").success();
    assert_eq!(logon(&subject, "dora", "First 1").err(), Some(NtStatus::LOGON_FAILURE));
    logon(&subject, "dora", "Second 2").expect("the new password");
    // An editor writes the file anew, in place.
    let text = fs::read_to_string(server.users_file()).expect("the users file");
    let edited: Vec<_> = text
        .lines()
        .map(|line| match line.starts_with("dora:") {
            true => line.replace("[U ", "[DU"),
            false => line.to_owned(),
        })
        .collect();
    fs::write(server.users_file(), edited.join("\n") + "\n").expect("write");
    assert_eq!(logon(&subject, "dora", "Second 2").err(), Some(NtStatus::ACCOUNT_DISABLED));
    server.user(&["del", "dora"], "").success();
    assert_eq!(logon(&subject, "dora", "Second 2").err(), Some(NtStatus::LOGON_FAILURE));
    let message = raw.message(Command::ECHO, keys.id, TreeId(0), |out, base| EchoRequest.encode(out, base));
    assert_eq!(raw.ask(message, Protection::Clear).header.status, NtStatus::SUCCESS, "her session goes on");
}

#[test]
fn an_unreadable_users_file_changes_nothing_and_is_logged_once() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = ours(&subject);
    let password = subject.user("alice").password.clone();
    let text = fs::read_to_string(server.users_file()).expect("the users file");
    fs::write(server.users_file(), format!("{text}dora:x\n")).expect("write");
    for _ in 0..3 {
        logon(&subject, "alice", &password).expect("alice");
    }
    assert_eq!(server.log().matches("the users in force stay as they were").count(), 1, "{}", server.log());
    fs::write(server.users_file(), "").expect("write");
    logon(&subject, "alice", &password).expect("an editor is about to write it");
}

#[test]
fn a_new_user_is_no_longer_a_guest() {
    let Some(subject) = with_guests("") else { return };
    let flags = |name: &str, password: &str| logon(&subject, name, password).map(|(_, keys)| keys.flags);
    assert_eq!(flags("dora", "First 1"), Ok(SessionFlags::IS_GUEST));
    let server = ours(&subject);
    assert!(server.log().contains("unknown user: logged on as a guest account=\"dora\""), "{}", server.log());
    server.user(&["add", "dora"], "First 1\n").success();
    assert_eq!(flags("dora", "First 1"), Ok(SessionFlags::NONE));
    assert_eq!(flags("dora", "wrong"), Err(NtStatus::LOGON_FAILURE));
}

#[test]
fn users_of_other_domains_do_not_become_guests() {
    let Some(subject) = with_guests("guest_domains = [\"HOME\"]") else { return };
    let attempt =
        |name: &str, domain: &str| smbclient(&subject, &stranger(name), "other", &["-W", domain], "ls");
    for domain in ["WORKGROUP", "TESTED", "home"] {
        attempt("stranger", domain).success();
    }
    attempt("stranger", "OTHER").failure().says("NT_STATUS_LOGON_FAILURE");
    attempt("stranger@OTHER", "").failure().says("NT_STATUS_LOGON_FAILURE");
    // Local accounts are taken whatever their domain is called.
    let alice = subject.user("alice");
    for (name, domain) in [("alice", "OTHER"), ("alice", "LAPTOP"), ("alice@OTHER", "WORKGROUP")] {
        let user = User { name: name.into(), ..alice.clone() };
        smbclient(&subject, &user, "data", &["-W", domain], "ls").success();
    }
    let wrong = User { name: "alice@OTHER".into(), password: "wrong".into(), administrator: false };
    smbclient(&subject, &wrong, "other", &[], "ls").failure().says("NT_STATUS_LOGON_FAILURE");
}

#[test]
fn guests_list_usable_shares_and_users_list_visible_ones() {
    let Some(subject) = with_guests("") else { return };
    let of_guests = [("other", true), ("data", false), ("attic", false), ("cellar", false), ("IPC$", true)];
    lists(list(&subject, &stranger("stranger"), &[]).success(), &of_guests);
    lists(list(&subject, &stranger("stranger"), &["-N"]).success(), &of_guests);
    let of_users = [("other", true), ("data", true), ("attic", false), ("cellar", false), ("IPC$", true)];
    lists(list(&subject, subject.user("alice"), &[]).success(), &of_users);
    let of_all = [("other", true), ("data", true), ("attic", true), ("cellar", true), ("IPC$", true)];
    lists(list(&subject, subject.user("admin"), &[]).success(), &of_all);
    rpcclient(&subject, subject.user("alice"), "netshareenum 1").success().never_says("attic");
    // Users who know its name can use it.
    rpcclient(&subject, subject.user("alice"), "netsharegetinfo attic 1").success().says("attic");
    smbclient(&subject, subject.user("alice"), "attic", &[], "ls").success();
    // Anonymous callers are refused.
    rpcclient(&subject, &User { password: String::new(), ..stranger("") }, "netshareenum 1")
        .failure()
        .says("NT_STATUS_ACCESS_DENIED");
    assert!(ours(&subject).log().contains("pipe refused"));
    // Names and remarks are all that guests see.
    for call in ["netshareenum 2", "netsharegetinfo data 1", "srvinfo", "netsessenum"] {
        rpcclient(&subject, &stranger("stranger"), call).says("ACCESS_DENIED");
    }
}

#[test]
fn the_setting_list_shares_determines_who_may_list() {
    let anonymous = User { password: String::new(), ..stranger("") };
    if let Some(subject) = with_guests("list_shares = \"anonymous\"") {
        lists(list(&subject, &anonymous, &[]).success(), &[("other", true), ("data", false)]);
    }
    if let Some(subject) = with_guests("list_shares = \"users\"") {
        rpcclient(&subject, &stranger("stranger"), "netshareenum 1")
            .failure()
            .says("NT_STATUS_ACCESS_DENIED");
        lists(list(&subject, subject.user("alice"), &[]).success(), &[("other", true)]);
    }
}

#[test]
fn a_user_without_a_unix_account_is_named_in_the_log() {
    if !need(&["root", "unshare"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup { run_as: RunAs::Root, ..Setup::default() }));
    let server = ours(&subject);
    let made = server.user(&["add", "ghost"], "First 1\n").success();
    for words in ["ghost cannot log on: there is no Unix account", "useradd", "unix_identities = false"] {
        assert!(made.stderr.contains(words), "{words} is not in {}", made.stderr);
    }
    assert_eq!(logon(&subject, "ghost", "First 1").err(), Some(NtStatus::LOGON_FAILURE));
    let log = server.log();
    let told = log.lines().find(|line| line.contains("logon refused")).expect("a line");
    for words in ["ghost", "127.0.0.1", "no Unix account"] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    // A user with a Unix account causes no warning.
    let has_one = server.user(&["passwd", "alice"], "Another 1\n").success();
    assert!(!has_one.stderr.contains("Unix"), "{}", has_one.stderr);
}

#[test]
fn unknown_names_are_counted_like_wrong_passwords() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = ours(&subject);
    for name in ["alice", "nobody-here"] {
        assert_eq!(logon(&subject, name, "wrong").err(), Some(NtStatus::LOGON_FAILURE));
    }
    let told = server.net(&["net", "statistics", "server"]).success().stdout;
    let line = told.lines().find(|line| line.starts_with("Password violations")).expect("a line");
    assert!(line.ends_with(" 2"), "{line}");
}

#[test]
fn refusals_in_the_log_name_the_user_the_address_the_reason_and_the_remedy() {
    if !need(&["smbclient"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = ours(&subject);
    let data = "name = \"data\"\n";
    reconfigure(server, data, &format!("{data}users = [\"bob\"]\n"));
    let as_user = |name: &str, password: &str| User {
        name: name.into(),
        password: password.into(),
        administrator: false,
    };
    let alice = subject.user("alice").clone();
    let refused = |user: &User, share: &str, options: &[&str], words: &[&str]| {
        smbclient(&subject, user, share, options, "ls").failure();
        let is_it = |line: &&str| words.iter().all(|word| line.contains(word));
        let log = server.log();
        let told = log.lines().rev().find(is_it).unwrap_or_else(|| panic!("no line has {words:?}: {log}"));
        assert!(told.contains("127.0.0.1") && told.contains("audit") && told.contains("hint="), "{told}");
    };
    let logon = "logon refused";
    refused(
        &as_user("stranger", "x"),
        "other",
        &[],
        &[logon, "stranger", "no such user", "shareward user add"],
    );
    refused(&as_user("alice", "x"), "other", &[], &[logon, "alice", "wrong password", "user passwd"]);
    let v1 = ["--option=client NTLMv2 auth=no"];
    refused(&alice, "other", &v1, &[logon, "alice", "NTLMv1", "LmCompatibilityLevel"]);
    refused(&alice, "data", &[], &["share refused", "alice", "data", "do not admit", "'users'"]);
    refused(&alice, "dta", &[], &["share refused", "alice", "dta", "no share of this name", "net share"]);
    fs::remove_dir(subject.share_dir("other")).expect("remove the directory");
    refused(&alice, "other", &[], &["share refused", "alice", "other", "cannot be opened", "net share"]);
    server.net(&["net", "user", "alice", "/active:no"]).success();
    refused(&alice, "other", &[], &[logon, "alice", "disabled", "/active:yes"]);
}

#[test]
fn net_user_adds_changes_and_deletes_an_account() {
    if !need(&["smbpasswd"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = ours(&subject);
    let net = |words: &[&str]| server.net(&[&["net", "user"], words].concat());
    let refused = |password: &str| logon(&subject, "carl", password).err();
    net(&["carl", "First 1", "/add", "/expires:never"]).success();
    assert_eq!(refused("First 1"), None);
    net(&["carl", "First 1", "/add"]).failure().says("2224");
    net(&["a:b", "First 1", "/add"]).failure().says("2202");
    net(&["carl", "", "/add"]).failure();
    net(&["carl", "/expires:2001-02-03"]).success();
    assert_eq!(refused("First 1"), Some(NtStatus::ACCOUNT_EXPIRED));
    net(&["carl"]).success().says("Account expires").says("2001-02-0");
    net(&["carl", "/expires:tomorrow"]).failure();
    // No time is permitted; a wrong password is not told from that.
    net(&["carl", "/expires:NEVER", "/times:never"]).success();
    assert_eq!(refused("First 1"), Some(NtStatus::INVALID_LOGON_HOURS));
    assert_eq!(refused("wrong"), Some(NtStatus::LOGON_FAILURE));
    net(&["carl"]).success().says("Logon hours allowed").says("None");
    assert!(server.log().contains("may not log on at this hour"), "{}", server.log());
    net(&["carl", "/times:M-F,8-18"]).success();
    net(&["carl"]).success().says("Friday 8:00 AM - 6:00 PM");
    net(&["carl", "/times:M-F"]).failure();
    net(&["carl", "/times:Su-Sa,0-24"]).success();
    assert_eq!(refused("First 1"), None);
    net(&["carl", "/expires:NEVER", "/logonpasswordchg:yes"]).success();
    assert_eq!(refused("First 1"), Some(NtStatus::PASSWORD_MUST_CHANGE));
    net(&["carl"]).success().says("At the next logon");
    // The user changes it without a logon.
    let carl = User { name: "carl".into(), password: "First 1".into(), administrator: false };
    testkit::peer::smbpasswd(&subject, &carl, "Second 2").success();
    assert_eq!(refused("Second 2"), None);
    net(&["carl", "/passwordchg:no"]).success();
    let carl = User { password: "Second 2".into(), ..carl };
    testkit::peer::smbpasswd(&subject, &carl, "Third 3").failure();
    assert_eq!(refused("Second 2"), None);
    net(&["carl", "/delete", "/active:no"]).failure();
    net(&["carl", "/delete"]).success();
    assert_eq!(refused("Second 2"), Some(NtStatus::LOGON_FAILURE));
    net(&["carl", "/delete"]).failure().says("2221");
    let log = server.log();
    for act in ["add account", "change account", "delete account"] {
        assert!(log.contains(act), "{act} is not in {log}");
    }
}

#[test]
fn rules_for_passwords_apply_to_administrators_users_and_logons() {
    if !need(&["smbpasswd"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = ours(&subject);
    let accounts = |words: &[&str]| server.net(&[&["net", "accounts"], words].concat());
    accounts(&[]).success().says("Minimum password length:").says("Unlimited");
    accounts(&["/minpwlen:8", "/uniquepw:2", "/lockoutthreshold:7"]).success();
    let text = fs::read_to_string(server.config()).expect("the configuration");
    for line in ["min_password_length = 8", "password_history = 2", "lockout_threshold = 7"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    accounts(&["/uniquepw:25"]).failure().says("87");
    accounts(&["/maxpwage:5", "/minpwage:5"]).failure().says("87");
    server.net(&["net", "user", "bob", "seven 7"]).failure().says("2245");
    server.net(&["net", "user", "new", "seven 7", "/add"]).failure().says("2245");
    server.user(&["add", "new"], "seven 7\n").failure().says("8 characters");
    // The user's own change, over SAMR.
    let alice = subject.user("alice").clone();
    let changed = |old: &str, new: &str| {
        let user = User { password: old.into(), ..alice.clone() };
        testkit::peer::smbpasswd(&subject, &user, new).status == Some(0)
    };
    assert!(!changed(&alice.password, "seven 7"));
    assert!(!changed(&alice.password, &alice.password), "the password is the current one");
    assert!(changed(&alice.password, "Second 22"));
    assert!(!changed("Second 22", &alice.password), "the password is one of the last two");
    assert!(changed("Second 22", "Third 333"));
    assert!(changed("Third 333", &alice.password), "two others were used since");
    // A password that was set years ago.
    accounts(&["/maxpwage:30"]).success();
    let users = fs::read_to_string(server.users_file()).expect("the users");
    let aged: String = users
        .lines()
        .map(|line| match line.split_once(":LCT-") {
            Some((front, rest)) if front.starts_with("bob:") => {
                format!("{front}:LCT-5F000000{}\n", &rest[8..])
            }
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(server.users_file(), aged).expect("write the users");
    let bob = subject.user("bob").clone();
    assert_eq!(logon(&subject, "bob", &bob.password).err(), Some(NtStatus::PASSWORD_EXPIRED));
    testkit::peer::smbpasswd(&subject, &bob, "b0b is New").success();
    assert_eq!(logon(&subject, "bob", "b0b is New").err(), None);
    accounts(&["/maxpwage:unlimited"]).success().says("completed");
}
