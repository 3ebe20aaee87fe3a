//! `net history` and `shareward audit verify`: what clients did is found afterwards, also after restarts, kills, full disks
//! and damaged files.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use client::smb::CreateParameters;
use testkit::peer::smbclient;
use testkit::{Output, Setup, Shareward, Subject, need, run};
use wire::ShareAccess;

use crate::scripted::tree;

/// The time until something that has happened is in the history, or the server has noticed it.
const RECORDED_MAX: Duration = Duration::from_secs(20);

/// The time limit for a command about file systems.
const LIMIT: Duration = Duration::from_secs(30);

fn server(subject: &Subject) -> &Shareward {
    match subject {
        Subject::Shareward(server) => server,
        Subject::Samba(_) => panic!("the server is ours"),
    }
}

/// Asks until the answer has all these parts.
#[track_caller]
fn history_with(server: &Shareward, words: &[&str], parts: &[&str]) -> Output {
    let deadline = Instant::now() + RECORDED_MAX;
    loop {
        let said = server.net(&[&["net", "history"], words].concat()).success();
        if parts.iter().all(|part| said.stdout.contains(part)) {
            return said;
        }
        assert!(Instant::now() < deadline, "{parts:?} not in\n{}\n{}", said.text(), server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn wait_for_log(server: &Shareward, part: &str) {
    let deadline = Instant::now() + RECORDED_MAX;
    while !server.log().contains(part) {
        assert!(Instant::now() < deadline, "{part} not in\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn do_as(subject: &Subject, user: &str, commands: &str) {
    smbclient(subject, subject.user(user), "data", &[], commands).success();
}

#[tokio::test]
async fn opens_changes_and_refusals_are_found_by_path_user_and_kind() {
    if !need(&["smbclient"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = server(&subject);
    fs::write(server.scratch().join("up"), "contents").expect("write");
    let up = server.scratch().join("up");
    let up = up.to_str().expect("a path");
    do_as(
        &subject,
        "alice",
        &format!("mkdir plans; put {up} plans\\draft.txt; rename plans\\draft.txt plans\\final.txt"),
    );
    do_as(&subject, "bob", "get plans\\final.txt /dev/null; del plans\\final.txt");
    let alone = CreateParameters { share: ShareAccess::NONE, ..CreateParameters::read_write("locked.txt") };
    let tree = tree(&subject, "alice", "data").await;
    let file = tree.create(&alone).await.expect("create");
    smbclient(&subject, subject.user("bob"), "data", &[], "get locked.txt /dev/null").failure();
    smbclient(
        &subject,
        &testkit::User { password: "wrong".into(), ..subject.user("bob").clone() },
        "data",
        &[],
        "ls",
    )
    .failure();

    // The question by the first name, in another case, leads to the deletion under the last name.
    let said = history_with(server, &["PLANS\\DRAFT.TXT", "--share", "data"], &["deleted", "renamed"]);
    said.says("It was called plans\\final.txt on data")
        .says("8 bytes written")
        .says("8 bytes read")
        .never_says("locked");
    let said = history_with(
        server,
        &["plans", "--share", "data", "--deleted", "--csv", "--no-header"],
        &["deleted"],
    );
    assert_eq!(said.stdout.lines().count(), 1, "{}", said.text());
    said.says("plans\\final.txt").says(",bob,127.0.0.1,");
    history_with(
        server,
        &["--refused"],
        &["sharing violation: blocked by open", "of alice", "logon refused"],
    );
    history_with(server, &["--refused", "--user", "alice"], &["blocked by"]);
    let json =
        history_with(server, &["locked.txt", "--share", "data", "--at", "now", "--json"], &["locked.txt"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let items = json["history"]["items"].as_array().expect("items");
    assert_eq!((items.len(), &items[0]["ended_at"]), (1, &serde_json::Value::Null), "{json}");
    file.close().await.expect("close");
    history_with(server, &["locked.txt", "--share", "data", "--opened"], &["(client close)"]);

    // Times and options that make no sense are refused.
    for (words, hint) in [
        (&["--at", "noonish"][..], "write a time as 14:02"),
        (&["--since", "25:00"], "25:00 is not a time of the day"),
        (&["--at", "2999-01-01"], "has not come yet"),
        (&["--since", "1h ago", "--until", "2h ago"], "--until is a time after --since"),
        (&["--at", "now", "--since", "1h"], ""),
        (&["--limit", "0"], "a number from 1 to 5000"),
        (&["/nowhere/x"], "the shares are: data"),
    ] {
        server.net(&[&["net", "history"], words].concat()).failure().says(hint);
    }
}

#[tokio::test]
async fn users_see_their_own_entries_through_the_pipe_and_administrators_see_all() {
    if !need(&["smbclient"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = server(&subject);
    do_as(&subject, "alice", "mkdir of-alice");
    do_as(&subject, "bob", "mkdir of-bob");
    history_with(server, &["--opened"], &["of-alice", "of-bob"]);
    let ask = |user: &str, words: &[&str]| {
        let user = subject.user(user);
        let mut command = Command::new(testkit::shareward_binary());
        let address = server.address().to_string();
        command.args(["net", "history", "--server", &address, "--login", &user.name]).args(words);
        command.env("SHAREWARD_PASSWORD", &user.password);
        run(command, b"", LIMIT)
    };
    ask("alice", &["--opened"]).success().says("of-alice").never_says("of-bob");
    ask("alice", &["//server/data"]).success().says("of-alice").never_says("of-bob");
    ask("admin", &["--opened"]).success().says("of-alice").says("of-bob");
    ask("alice", &["--acts"]).success().says("nothing that matches");
}

#[tokio::test]
async fn the_history_outlives_restarts_and_kills() {
    if !need(&["smbclient"]) {
        return;
    }
    let mut subject = Subject::Shareward(Shareward::start(&Setup::default()));
    do_as(&subject, "alice", "mkdir first");
    let held = tree(&subject, "bob", "data").await;
    let _file = held.create(&CreateParameters::read_write("held.txt")).await.expect("create");
    let Subject::Shareward(server) = &mut subject else { panic!("the server is ours") };
    history_with(server, &["--opened"], &["first", "held.txt"]);
    server.kill_and_restart();
    history_with(server, &["held.txt", "--share", "data"], &["(server lost)"]);
    server
        .net(&["net", "history", "first", "--share", "data"])
        .success()
        .says("alice")
        .says("(client close)");
    server.restart();
    do_as(&subject, "alice", "mkdir second");
    history_with(self::server(&subject), &["--opened"], &["first", "second", "held.txt"]);
}

#[tokio::test]
async fn shares_without_history_and_a_history_that_is_off_leave_no_entries() {
    if !need(&["smbclient"]) {
        return;
    }
    let setup = Setup { extra_share: String::from("history = false\n"), ..Setup::default() };
    let subject = Subject::Shareward(Shareward::start(&setup));
    let server = server(&subject);
    do_as(&subject, "alice", "mkdir secret");
    // The session is recorded after the directory would have been.
    history_with(server, &["--sessions"], &["alice", "(connection lost)"]).never_says("secret");
    server.net(&["net", "history", "--opened"]).success().never_says("secret");
    let config = fs::read_to_string(server.config()).expect("read");
    fs::write(server.config(), format!("{config}\n[history]\nenabled = false\n")).expect("write");
    server.signal("HUP");
    wait_for_log(server, "configuration read again");
    do_as(&subject, "bob", "mkdir later");
    server.net(&["net", "history"]).success().says("alice").never_says("bob");
}

#[tokio::test]
async fn acts_are_chained_and_a_changed_act_is_found() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = server(&subject);
    let held = tree(&subject, "alice", "data").await;
    for name in ["a.txt", "b.txt"] {
        let _file = held.create(&CreateParameters::read_write(name)).await.expect("create");
    }
    server.net(&["net", "file", "--user", "alice", "/close", "/yes", "--force"]).success();
    history_with(server, &["--acts"], &["close file: done", "a.txt", "b.txt"]);
    let config = server.config();
    let verify = |more: &[&str]| {
        let mut command = Command::new(testkit::shareward_binary());
        command.args(["audit", "verify", "--config"]).arg(&config).args(more);
        run(command, b"", LIMIT)
    };
    let said = verify(&[]).success().says("2 acts are as recorded");
    let head = said
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("last act: "))
        .expect("the last act")
        .to_owned();
    let (number, hash) = head.split_once(':').expect("number and hash");
    assert!(server.log().contains(hash), "{}", server.log());
    verify(&["--expect", &head]).success();
    verify(&["--expect", &format!("{number}:{}", "0".repeat(64))]).failure().says("not the expected one");
    verify(&["--expect", "x"]).failure().says("64 hexadecimal digits");

    let state = server.state_dir();
    let Subject::Shareward(server) = subject else { panic!("the server is ours") };
    let journal = state.join("history.sqlite");
    let copy = fs::read(&journal).expect("read");
    let log = fs::read(state.join("history.sqlite-wal")).unwrap_or_default();
    assert!(contains(&copy, b"close file") || contains(&log, b"close file"));
    drop(held);
    // The files go with the server, so the change is made while it runs.
    replace(&journal, b"close file", b"close life");
    replace(&state.join("history.sqlite-wal"), b"close file", b"close life");
    let said = verify(&[]).failure();
    assert!(said.text().contains("was changed") || said.text().contains("missing"), "{}", said.text());
    drop(server);
}

#[tokio::test]
async fn a_file_that_a_rename_replaces_is_a_deletion_with_who_and_by_what() {
    if !need(&["smbclient"]) {
        return;
    }
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = server(&subject);
    do_as(&subject, "alice", "put /etc/hostname plan.odt");
    do_as(&subject, "bob", "put /etc/hostname plan.tmp; rename plan.tmp plan.odt -f");
    let words = ["plan.odt", "--share", "data", "--deleted"];
    history_with(server, &words, &["plan.odt", "bob", "replaced by plan.tmp"]);
    let json = history_with(server, &[&words[..], &["--json"]].concat(), &["replaced_by"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let deleted = &json["history"]["items"][0];
    assert_eq!((&deleted["reason"], &deleted["replaced_by"]), (&"replaced".into(), &"plan.tmp".into()));
    assert_eq!(deleted["new_path"], serde_json::Value::Null);
    // A rename to a free name replaces nothing.
    do_as(&subject, "bob", "rename plan.odt free.odt");
    history_with(server, &["--renamed"], &["to free.odt"]);
    server.net(&["net", "history", "free.odt", "--share", "data", "--deleted"]).success().never_says("free");
}

#[tokio::test]
async fn drains_are_in_the_history_of_their_share() {
    let subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let server = server(&subject);
    let tree = tree(&subject, "alice", "data").await;
    let _held = tree.create(&CreateParameters::read_write("held.txt")).await.expect("create");
    server.net(&["share", "data", "/drain:1s", "/strict"]).success();
    history_with(server, &["--drains"], &["begun", "done, 1 file closed", "data\\"]);
    server.net(&["share", "data", "/undrain"]).success();
    server.net(&["share", "other", "/drain"]).success();
    let said = history_with(server, &["--share", "data", "--drains", "--csv"], &[",ended,"]);
    said.never_says("other");
    // Administrators' acts have them, too.
    history_with(server, &["--acts"], &["begin drain: done", "end drain: done"]);
}

#[tokio::test]
async fn histories_of_several_servers_are_merged_and_a_silent_server_is_named() {
    if !need(&["smbclient"]) {
        return;
    }
    let subjects = [(); 2].map(|()| Subject::Shareward(Shareward::start(&Setup::default())));
    do_as(&subjects[0], "alice", "mkdir first");
    do_as(&subjects[1], "alice", "mkdir second");
    do_as(&subjects[0], "alice", "mkdir third");
    for (subject, part) in [(&subjects[0], "third"), (&subjects[1], "second")] {
        history_with(server(subject), &["--opened"], &[part]);
    }
    let [one, other] = [0, 1].map(|it| server(&subjects[it]).address().to_string());
    let ask = |servers: &[&str], words: &[&str]| {
        let user = subjects[0].user("admin");
        let mut command = Command::new(testkit::shareward_binary());
        command.args(["net", "history", "--opened", "--login", &user.name]);
        for server in servers {
            command.args(["--server", server]);
        }
        command.args(words).env("SHAREWARD_PASSWORD", &user.password);
        run(command, b"", LIMIT)
    };
    let said = ask(&[&one, &other], &[]).success();
    let places = ["first", "second", "third"].map(|it| said.stdout.find(it).expect("the directory"));
    assert!(places.is_sorted(), "{}", said.text());
    said.says("Server").says(&format!("The history of {one} begins"));
    let csv = ask(&[&one, &other], &["--csv", "--no-header"]).success().stdout;
    assert!(csv.lines().any(|it| it.starts_with(&format!("{other},")) && it.contains("second")), "{csv}");
    let json: serde_json::Value =
        serde_json::from_str(&ask(&[&one, &other], &["--json"]).success().stdout).expect("JSON");
    assert_eq!(json["history"]["servers"][1]["server"], other, "{json}");
    // Of both servers' entries, these are the latest.
    let said = ask(&[&one, &other], &["--limit", "1"]).success();
    said.says("third").never_says("second").says("There are earlier entries");
    let silent = ask(&[&one, "127.0.0.1:1"], &[]).failure();
    assert!(silent.stdout.contains("third") && silent.stderr.contains("127.0.0.1:1"), "{}", silent.text());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

/// Replaces every occurrence of bytes in a file, in place.
fn replace(path: &Path, part: &[u8], other: &[u8]) {
    let Ok(bytes) = fs::read(path) else { return };
    let file = fs::OpenOptions::new().write(true).open(path).expect("open");
    for (at, window) in bytes.windows(part.len()).enumerate() {
        if window == part {
            file.write_all_at(other, u64::try_from(at).expect("an offset")).expect("write");
        }
    }
}

#[tokio::test]
async fn a_damaged_history_is_moved_aside_and_a_newer_one_is_left_alone() {
    if !need(&["smbclient"]) {
        return;
    }
    let mut subject = Subject::Shareward(Shareward::start(&Setup::default()));
    do_as(&subject, "alice", "mkdir first");
    let Subject::Shareward(server) = &mut subject else { panic!("the server is ours") };
    let journal = server.state_dir().join("history.sqlite");
    history_with(server, &[], &["first"]);
    server.restart();
    // user_version is at offset 60 of the file (SQLite's file format, 1.3).
    let file = fs::OpenOptions::new().write(true).open(&journal).expect("open");
    server.signal("STOP");
    let _ = fs::remove_file(server.state_dir().join("history.sqlite-wal"));
    file.write_all_at(&99_u32.to_be_bytes(), 60).expect("write");
    server.signal("CONT");
    server.kill_and_restart();
    wait_for_log(server, "has format 99, which a newer version of shareward has written");
    let said = server.net(&["net", "history"]).failure();
    said.says("format 99");
    file.write_all_at(&[b'x'; 4096], 0).expect("write");
    server.restart();
    wait_for_log(server, "the history was damaged and is kept under another name");
    do_as(&subject, "alice", "mkdir second");
    let server = self::server(&subject);
    history_with(server, &[], &["second"]).never_says("first");
    let names = fs::read_dir(server.state_dir()).expect("read").map(|it| it.expect("an entry").file_name());
    let aside = names.filter(|it| it.to_string_lossy().starts_with("history.sqlite.damaged-")).count();
    assert!(aside >= 1);
}

/// A small file system in memory, until this is gone.
struct Disk(PathBuf);

impl Disk {
    fn mount(on: &Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "mode=777,size=2m", "tmpfs"]).arg(on);
        run(mount, b"", LIMIT).success();
        Self(on.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount.arg("-l").arg(&self.0);
        let _ = unmount.stderr(std::process::Stdio::null()).status();
    }
}

#[tokio::test]
async fn with_a_full_disk_the_server_goes_on_and_reports_what_is_missing() {
    if !need(&["root", "smbclient"]) {
        return;
    }
    let mut subject = Subject::Shareward(Shareward::start(&Setup::default()));
    let Subject::Shareward(server) = &mut subject else { panic!("the server is ours") };
    let state = server.state_dir();
    let disk = Disk::mount(&state);
    server.restart();
    do_as(&subject, "alice", "mkdir before");
    let server = self::server(&subject);
    history_with(server, &[], &["before"]);
    // The disk is full: no byte can be added.
    let filler = state.join("filler");
    let file = fs::File::create(&filler).expect("create");
    let mut at = 0;
    while let Ok(()) = file.write_all_at(&[0; 4096], at) {
        at += 4096;
    }
    drop(file);
    let deadline = Instant::now() + RECORDED_MAX;
    let mut number = 0;
    while !server.log().contains("no space left on the device") {
        do_as(&subject, "alice", &format!("mkdir during{number}; rmdir during{number}"));
        number += 1;
        assert!(Instant::now() < deadline, "{}", server.log());
    }
    server
        .net(&["net", "history"])
        .success()
        .says("could not be recorded")
        .says("Nothing is recorded at present");
    fs::remove_file(&filler).expect("remove");
    do_as(&subject, "alice", "mkdir after");
    let said = history_with(server, &[], &["after", "gap"]);
    said.says("before").says("missing").never_says("Nothing is recorded");
    assert!(server.log().contains("the history is written again"));
    drop(subject);
    drop(disk);
}
