//! Drains, holds, announced closes and rechecks, with clients of our own and smbclient.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use client::smb::{ClientTree, CreateParameters, File};
use serde_json::Value;
use testkit::peer::smbclient;
use testkit::{Output, Setup, Shareward, Subject, need, run, shareward_binary};

use crate::scripted::tree;

/// The time in which something that is due happens on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn started() -> Subject {
    Subject::Shareward(Shareward::start(&Setup::default()))
}

fn of(subject: &Subject) -> &Shareward {
    let Subject::Shareward(server) = subject else { panic!("the server is ours") };
    server
}

async fn create(tree: &ClientTree, name: &str) -> File {
    tree.create(&CreateParameters::read_write(name)).await.expect("create")
}

/// Waits until the condition holds.
fn await_that(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn json(server: &Shareward, words: &[&str]) -> Value {
    let said = server.net(&[words, &["--json"]].concat()).success();
    serde_json::from_str(&said.stdout).expect("JSON")
}

/// `net wait` with a command, whose words must be the last ones.
fn wait_command(server: &Shareward, words: &[&str]) -> Command {
    let mut command = Command::new(shareward_binary());
    command.arg("wait").args(words).env("SHAREWARD_SOCKET", server.socket());
    command
}

fn wait(server: &Shareward, words: &[&str]) -> Output {
    run(wait_command(server, words), b"", SOON * 2)
}

#[tokio::test]
async fn drained_share_refuses_strangers_and_lets_present_users_finish() {
    let subject = started();
    let server = of(&subject);
    let (alice, bob) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    let file = create(&alice, "report.docx").await;
    let said = server.net(&["share", "data", "/drain:1h"]).success();
    assert!(
        said.stdout.contains("1 file open (alice)") && said.stdout.contains("report.docx"),
        "{}",
        said.text()
    );
    let refused = bob.create(&CreateParameters::read_write("new.txt")).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("SHARING_PAUSED"), "{refused}");
    assert!(!server.share_dir("data").join("new.txt").exists(), "a refused CREATE makes no file");
    // Saving makes other files beside the document.
    create(&alice, "~report.tmp").await.close().await.expect("close");
    server.net(&["who", "new.txt", "--share", "data"]).success().says("is drained");
    server.net(&["share"]).success().says("data is being drained until");
    assert_eq!(json(server, &["share", "data"])["share"]["drain"]["files"], 1);

    // It survives a reload of the configuration.
    server.signal("HUP");
    await_that("no reload", || server.log().contains("configuration read again"));
    assert!(bob.create(&CreateParameters::read_write("new.txt")).await.is_err());

    file.close().await.expect("close");
    await_that("the drain is not done", || {
        json(server, &["share", "data"])["share"]["drain"]["phase"] == "done"
    });
    let late = alice.create(&CreateParameters::read_write("late.txt")).await;
    assert!(late.is_err(), "nobody has a file open any more");
    server.net(&["share", "data", "/undrain"]).success().says("data takes new opens again");
    create(&bob, "new.txt").await.close().await.expect("close");
    server.net(&["share", "data", "/undrain"]).failure().says("not being drained");
}

#[tokio::test]
async fn drain_closes_the_rest_at_its_deadline_and_outlives_a_restart() {
    let mut subject = started();
    let alice = tree(&subject, "alice", "data").await;
    let file = create(&alice, "report.docx").await;
    let server = of(&subject);
    server.net(&["share", "data", "/drain:1s", "/strict"]).success();
    assert!(
        alice.create(&CreateParameters::read_write("more")).await.is_err(),
        "a strict drain admits nobody"
    );
    await_that("the file is still open", || {
        json(server, &["share", "data"])["share"]["drain"]["phase"] == "done"
    });
    assert_eq!(json(server, &["share", "data"])["share"]["drain"]["clean"], 1);
    let read = file.read(0, 1).await.map(|_| ()).unwrap_err();
    assert!(read.to_string().contains("FILE_CLOSED"), "{read}");
    drop((file, alice));
    let Subject::Shareward(own) = &mut subject else { unreachable!() };
    own.restart();
    let bob = tree(&subject, "bob", "data").await;
    assert!(bob.create(&CreateParameters::read_write("new")).await.is_err(), "the drain is still in force");
    of(&subject).net(&["share", "data", "/undrain"]).success();
    create(&bob, "new").await.close().await.expect("close");
}

#[test]
fn smbclient_is_refused_with_the_message_of_a_paused_server() {
    if !need(&["smbclient"]) {
        return;
    }
    let subject = started();
    of(&subject).net(&["share", "data", "/drain"]).success().says("No file is open");
    let said = smbclient(&subject, subject.user("alice"), "data", &[], "put /etc/hostname x");
    assert!(said.text().contains("NT_STATUS_SHARING_PAUSED"), "{said}");
    let said = smbclient(&subject, subject.user("alice"), "other", &[], "put /etc/hostname x");
    assert!(!said.text().contains("NT_STATUS"), "{said}");
}

#[tokio::test]
async fn drained_client_is_refused_and_shown() {
    let subject = started();
    let server = of(&subject);
    let alice = tree(&subject, "alice", "data").await;
    server.net(&["session", "//127.0.0.1", "/drain"]).success();
    assert!(alice.create(&CreateParameters::read_write("x")).await.is_err());
    server.net(&["session"]).success().says(r"\\127.0.0.1 is drained");
    server.net(&["session", "//127.0.0.1", "/undrain"]).success();
    create(&alice, "x").await.close().await.expect("close");
    server.net(&["session", "/drain"]).failure();
    server.net(&["session", "//127.0.0.1", "/drain", "/delete"]).failure();
}

#[tokio::test]
async fn server_stops_when_the_last_file_is_closed() {
    let subject = started();
    let server = of(&subject);
    let alice = tree(&subject, "alice", "data").await;
    let file = create(&alice, "report.docx").await;
    let mut command = server.net_command(&["stop", "server", "/drain", "/yes"]);
    let mut stopping = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawn");
    await_that("no drain", || json(server, &["config", "server"])["settings"]["drain"]["then_stop"] == true);
    assert!(stopping.try_wait().expect("wait").is_none(), "it waits for alice");
    server
        .net(&["config", "server"])
        .success()
        .says("is being drained until no file is open; 1 file open (alice)");
    // It can be cancelled.
    server.net(&["continue", "server"]).success();
    assert!(!stopping.wait().expect("wait").success());
    assert!(json(server, &["config", "server"])["settings"].get("drain").is_none());
    let mut command = server.net_command(&["stop", "server", "/drain", "/yes"]);
    let mut stopping = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawn");
    await_that("no drain", || json(server, &["config", "server"])["settings"]["drain"]["then_stop"] == true);
    file.close().await.expect("close");
    assert!(stopping.wait().expect("wait").success());
    await_that("it still answers", || !server.answers());
}

#[test]
fn deadlines_and_targets_that_make_no_sense_change_nothing() {
    let subject = started();
    let server = of(&subject);
    for words in [
        &["share", "data", "/drain:soon"][..],
        &["share", "data", "/drain:25:00"],
        &["share", "data", "/drain:8d"],
        &["share", "data", "/drain:10m", "/undrain"],
        &["share", "data", "/strict"],
        &["share", "data", "/recheck", "/drain"],
        &["share", "/drain"],
        &["share", "nope", "/drain"],
        &["share", "IPC$", "/drain"],
        &["share", "x=/tmp", "/drain"],
        &["stop", "server", "/drain:yesterday"],
        &["pause", "server", "/drain:-1m"],
        &["file", "1", "/close", "/notice:later"],
        &["file", "1", "/notice:10m"],
        &["file", "1", "/close", "/notice:10m", "a", "b"],
        &["file", "1", "/close", "/notice:10m", "/force"],
        &["file", "999", "/close", "/notice:10m", "text"],
        &["file", "999", "/close", "/notice:cancel"],
    ] {
        server.net(words).failure();
    }
    assert!(json(server, &["share", "data"])["share"].get("drain").is_none());
    assert!(server.answers());
}

#[tokio::test]
async fn command_runs_when_nobody_has_the_path_and_holds_it_meanwhile() {
    let subject = started();
    let server = of(&subject);
    let alice = tree(&subject, "alice", "data").await;
    let file = create(&alice, "report.docx").await;
    let marks = server.scratch();
    let (begun, go) = (marks.join("begun"), marks.join("go"));
    let script =
        format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done; exit 7", begun.display(), go.display());
    let words = ["report.docx", "--share", "data", "--", "sh", "-c", &script];
    let mut waiting = wait_command(server, &words).stderr(Stdio::null()).spawn().expect("spawn");
    thread::sleep(Duration::from_millis(300));
    assert!(!begun.exists() && waiting.try_wait().expect("wait").is_none(), "alice has it open");
    file.close().await.expect("close");
    await_that("the command does not run", || begun.exists());
    for name in ["report.docx", "report.docx:stream"] {
        let refused = alice.create(&CreateParameters::read_write(name)).await.map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("SHARING_VIOLATION"), "{name}: {refused}");
    }
    create(&alice, "other.docx").await.close().await.expect("close");
    let who = server.net(&["who", "report.docx", "--share", "data"]).success();
    assert!(who.stdout.contains("is held by") && who.stdout.contains("a command holds"), "{}", who.text());
    std::fs::write(&go, "").expect("write");
    assert_eq!(waiting.wait().expect("wait").code(), Some(7), "the exit code of the command");
    create(&alice, "report.docx").await.close().await.expect("close");
}

#[tokio::test]
async fn hold_ends_when_the_waiting_program_is_killed() {
    let subject = started();
    let server = of(&subject);
    let alice = tree(&subject, "alice", "data").await;
    let directory = server.share_dir("data").join("dir");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::set_permissions(&directory, Permissions::from_mode(0o777)).expect("permissions");
    let marks = server.scratch();
    let begun = marks.join("begun");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", begun.display());
    let words = ["dir", "--share", "data", "--", "sh", "-c", &script];
    let mut waiting = wait_command(server, &words).stderr(Stdio::null()).spawn().expect("spawn");
    await_that("the command does not run", || begun.exists());
    let refused = alice.create(&CreateParameters::read_write("dir\\x")).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("SHARING_VIOLATION"), "{refused}");
    assert_eq!(wait(server, &["dir", "--share", "data", "--timeout", "0", "--", "true"]).status, Some(124));
    waiting.kill().expect("kill");
    waiting.wait().expect("wait");
    let started = Instant::now();
    loop {
        if let Ok(file) = alice.create(&CreateParameters::read_write("dir\\x")).await {
            file.close().await.expect("close");
            break;
        }
        assert!(started.elapsed() < SOON, "the hold is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    end(&begun);
    assert_eq!(json_of_holds(server), 0);
}

/// Ends the process whose id is in the file.
fn end(file: &Path) {
    let id = std::fs::read_to_string(file).expect("the id");
    Command::new("kill").arg(id.trim()).status().expect("kill");
}

fn json_of_holds(server: &Shareward) -> usize {
    let who = json(server, &["who", "", "--share", "data"]);
    who["who"]["holds"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn command_that_lets_others_in_and_its_exit_codes() {
    let subject = started();
    let server = of(&subject);
    let alice = tree(&subject, "alice", "data").await;
    let path = server.share_dir("data").join("a.txt");
    let path = path.to_str().expect("a path");
    let begun = server.scratch().join("begun");
    let script = format!("touch {}; exec sleep 60", begun.display());
    let words = [path, "--let-in", "--", "sh", "-c", &script];
    let mut waiting: Child = wait_command(server, &words).stderr(Stdio::null()).spawn().expect("spawn");
    await_that("the command does not run", || begun.exists());
    create(&alice, "a.txt").await.close().await.expect("close");
    // TERM is passed on to the command.
    Command::new("kill").arg(waiting.id().to_string()).status().expect("kill");
    assert_eq!(waiting.wait().expect("wait").code(), Some(128 + 15));
    assert_eq!(wait(server, &[path, "--", "/nonexistent/program"]).status, Some(127));
    assert_eq!(wait(server, &[path, "--", "/etc/hostname"]).status, Some(126));
    assert_eq!(wait(server, &["/nowhere", "--", "true"]).status, Some(125));
    assert_eq!(wait(server, &[path, "--", "true"]).status, Some(0));
    assert_ne!(wait(server, &[path, "--"]).status, Some(0));
}

#[tokio::test]
async fn announced_close_is_shown_and_happens_or_is_cancelled() {
    let subject = started();
    let server = of(&subject);
    let alice = tree(&subject, "alice", "data").await;
    let file = create(&alice, "report.docx").await;
    let id = json(server, &["file", "--path", "report"])["files"][0]["id"].to_string();
    server
        .net(&["file", &id, "/close", "/notice:1h", "The disk is replaced."])
        .success()
        .says("is closed at");
    let listed = json(server, &["file", &id]);
    assert_eq!(listed["file"]["closing"]["text"], "The disk is replaced.");
    server.net(&["file"]).success().says("The disk is replaced.");
    server.net(&["file", &id]).success().says("Closes at");
    server.net(&["file", &id, "/close", "/notice:cancel"]).success().says("stays open");
    server
        .net(&["file", &id, "/close", "/notice:cancel"])
        .failure()
        .says("no close of this file is announced");
    file.read(0, 1).await.map(|_| ()).ok();
    server.net(&["file", &id, "/close", "/notice:1s"]).success();
    await_that("it is still open", || !server.net(&["file", &id]).stdout.contains("report.docx"));
    let read = file.read(0, 1).await.map(|_| ()).unwrap_err();
    assert!(read.to_string().contains("FILE_CLOSED"), "{read}");
}

#[tokio::test]
async fn recheck_lists_and_ends_connections_with_more_rights_than_now() {
    let subject = started();
    let server = of(&subject);
    let (alice, bob) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    let (of_alice, of_bob) = (create(&alice, "a.txt").await, create(&bob, "b.txt").await);
    server.net(&["share", "data", "/recheck"]).success().says("No connection has more rights");
    of_bob.write(0, &b"still"[..]).await.expect("nothing is ended yet");
    // Fewer rights are no reason to end what needs no more.
    let read = bob.create(&CreateParameters::open("b.txt")).await.expect("open");
    server.net(&["share", "data", "/grant:bob,READ", "/grant:alice,FULL"]).success();
    let said = server.net(&["share", "data", "/recheck", "/yes"]).success();
    assert!(said.stdout.contains("1 connection reduced"), "{}", said.text());
    assert!(of_bob.write(0, &b"late"[..]).await.is_err());
    assert_eq!(&read.read(0, 5).await.expect("it is still open")[..], b"still");
    bob.create(&CreateParameters::open("b.txt")).await.expect("the connection stays");
    assert!(bob.create(&CreateParameters::read_write("b.txt")).await.is_err());
    server.net(&["share", "data", "/recheck"]).success().says("No connection has more rights");
    server.net(&["share", "data", "/grant:bob,FULL", "/grant:alice,FULL"]).success();
    let bob = tree(&subject, "bob", "data").await;
    let of_bob = create(&bob, "b.txt").await;
    server.net(&["share", "data", "/grant:alice,FULL"]).success();
    let listed = server.net(&["share", "data", "/recheck", "/no"]).failure();
    assert_ne!(listed.status, Some(0));
    of_bob.write(0, &b"still"[..]).await.expect("nothing is ended without a yes");
    let said = server.net(&["share", "data", "/recheck", "/yes"]).success();
    assert!(said.stdout.contains("2 connections ended"), "{}", said.text());
    assert!(of_bob.write(0, &b"late"[..]).await.is_err());
    of_alice.write(0, &b"x"[..]).await.expect("alice keeps hers");
    assert_eq!(
        json(server, &["share", "data", "/recheck", "/yes"])["recheck"]["connections"],
        Value::Array(vec![])
    );
    server.net(&["share", "nope", "/recheck"]).failure();
}
