//! Guessing passwords: refusals are delayed and logged, and lock accounts if the settings say so.

use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions, CreateParameters, Error};
use client::{Administration, RemoteClient};
use control::PasswordChange;
use testkit::{Setup, Shareward, Subject};
use wire::NtStatus;

use crate::scripted::connected;

/// The delay of a refusal on Windows (`InvalidAuthenticationDelayTimeInMs`).
const DELAY: Duration = Duration::from_secs(2);

async fn attempt(server: &Shareward, user: &str, password: &str) -> Result<(), Error> {
    let options = ConnectOptions { request_timeout: Duration::from_secs(60), ..ConnectOptions::new()? };
    let connection = ClientConnection::connect(server.address(), None, options).await?;
    connection.logon(Credentials::password(user, "DOM", password)).await.map(|_| ())
}

#[track_caller]
fn refused_with(outcome: &Result<(), Error>, status: NtStatus) {
    match outcome {
        Err(error) => assert!(error.is(status), "{error}, not {status}"),
        Ok(()) => panic!("logged on"),
    }
}

fn lines(server: &Shareward, words: &[&str]) -> Vec<String> {
    let log = server.log();
    let matching = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    matching.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_refusal_is_delayed_and_other_requests_of_its_connection_are_not() {
    let subject = Subject::start(&Setup::default());
    let (connection, tree) = connected(&subject, "alice").await;
    for user in ["bob", "nobody-here"] {
        let again = connection.clone();
        let began = Instant::now();
        let guessing =
            tokio::spawn(async move { again.logon(Credentials::password(user, "", "wrong")).await });
        let mut served = 0;
        while !guessing.is_finished() {
            let file = tree.create(&CreateParameters::read_write("meanwhile")).await.expect("create");
            file.close().await.expect("close");
            served += 1;
        }
        let took = began.elapsed();
        let refused = guessing.await.expect("the task").map(|_| ());
        refused_with(&refused, NtStatus::LOGON_FAILURE);
        assert!(took >= DELAY, "{user}: {took:?}");
        assert!(served > 20, "{user}: {served} requests were served meanwhile");
    }
}

#[tokio::test]
async fn concurrent_guesses_are_checked_one_after_another() {
    let server = Shareward::start(&Setup::default());
    for user in ["bob", "nobody-here"] {
        let began = Instant::now();
        let attempts = (0..30).map(|_| attempt(&server, user, "wrong"));
        for outcome in futures_util::future::join_all(attempts).await {
            refused_with(&outcome, NtStatus::LOGON_FAILURE);
        }
        let took = began.elapsed().as_secs();
        let account = format!("account=\"{user}\"");
        let judged = lines(&server, &[&account, "logon refused"])
            .iter()
            .filter(|line| line.contains("wrong password") || line.contains("no such user"))
            .count();
        assert!(judged >= 2, "{user}: {judged} judged");
        assert!(judged as u64 <= took / 2 + 1, "{user}: {judged} judged in {took} s");
    }
    // The right password is accepted, from the same address, too.
    attempt(&server, "bob", &server.setup().user("bob").password).await.expect("log on");
    attempt(&server, "alice", &server.setup().user("alice").password).await.expect("log on");
}

#[tokio::test]
async fn a_refused_logon_is_one_line_in_the_log() {
    let server = Shareward::start(&Setup::default());
    let name = "bo\nb\u{1b}[2J";
    refused_with(&attempt(&server, name, "wrong").await, NtStatus::LOGON_FAILURE);
    let told = lines(&server, &["logon refused"]);
    let [line] = told.as_slice() else { panic!("{told:?}") };
    for part in ["127.0.0.1", "DOM", "no such user", "NTLM", "[2J"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains('\u{1b}'), "{line:?}");
}

#[tokio::test]
async fn wrong_passwords_lock_an_account_and_an_administrator_unlocks_it() {
    let extra = "lockout_threshold = 3\nlockout_duration = 0\n";
    let server = Shareward::start(&Setup { extra: extra.into(), ..Setup::default() });
    let right = server.setup().user("bob").password.clone();
    let show = || server.net(&["net", "user", "bob"]).success().stdout;
    // Names without an account behave in the same way.
    for user in ["bob", "nobody-here"] {
        for _ in 0..3 {
            refused_with(&attempt(&server, user, "wrong").await, NtStatus::LOGON_FAILURE);
        }
        refused_with(&attempt(&server, user, &right).await, NtStatus::ACCOUNT_LOCKED_OUT);
    }
    assert!(show().contains("Locked"), "{}", show());
    assert_eq!(lines(&server, &["account locked"]).len(), 2);
    attempt(&server, "alice", &server.setup().user("alice").password).await.expect("others are not locked");
    server.net(&["net", "user", "bob", "/active:yes"]).success();
    assert!(!show().contains("Locked"), "{}", show());
    attempt(&server, "bob", &right).await.expect("log on");
    server.net(&["net", "user", "bob", "/active:no"]).success();
    refused_with(&attempt(&server, "bob", &right).await, NtStatus::ACCOUNT_DISABLED);
}

#[tokio::test]
async fn a_restart_unlocks_no_account() {
    let extra = "lockout_threshold = 2\nlockout_duration = 0\n";
    let mut server = Shareward::start(&Setup { extra: extra.into(), ..Setup::default() });
    let right = server.setup().user("bob").password.clone();
    let kept = server.state_dir().join("guesses");
    for user in ["bob", "nobody-here"] {
        for _ in 0..2 {
            refused_with(&attempt(&server, user, "wrong").await, NtStatus::LOGON_FAILURE);
        }
    }
    refused_with(&attempt(&server, "alice", "wrong").await, NtStatus::LOGON_FAILURE);
    server.restart();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&kept).expect("it is kept"));
    assert_eq!(mode & 0o7777, 0o600);
    let text = std::fs::read_to_string(&kept).expect("text");
    assert!(!text.contains("bob") && !text.contains("127.0.0.1"), "{text}");
    for user in ["bob", "nobody-here"] {
        refused_with(&attempt(&server, user, &right).await, NtStatus::ACCOUNT_LOCKED_OUT);
    }
    // The wrong password before the restart counts too.
    refused_with(&attempt(&server, "alice", "wrong").await, NtStatus::LOGON_FAILURE);
    let alice = server.setup().user("alice").password.clone();
    refused_with(&attempt(&server, "alice", &alice).await, NtStatus::ACCOUNT_LOCKED_OUT);
    server.net(&["net", "user", "bob", "/active:yes"]).success();
    server.restart();
    attempt(&server, "bob", &right).await.expect("an administrator has unlocked it");
    refused_with(&attempt(&server, "alice", &alice).await, NtStatus::ACCOUNT_LOCKED_OUT);

    // The state file can contain anything: the server starts, and logs the problem.
    server.restart();
    std::fs::write(&kept, b"\xff\0nonsense").expect("write");
    server.kill_and_restart();
    attempt(&server, "alice", &alice).await.expect("nobody is locked");
    assert_eq!(lines(&server, &["no account is locked"]).len(), 1);
}

#[tokio::test]
async fn a_lock_survives_killing_the_server() {
    let extra = "lockout_threshold = 2\nlockout_duration = 0\n";
    let mut server = Shareward::start(&Setup { extra: extra.into(), ..Setup::default() });
    for _ in 0..2 {
        refused_with(&attempt(&server, "bob", "wrong").await, NtStatus::LOGON_FAILURE);
    }
    let kept = server.state_dir().join("guesses");
    let began = Instant::now();
    while !std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("locked")) {
        assert!(began.elapsed() < Duration::from_secs(20), "the lock is not kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill_and_restart();
    let right = server.setup().user("bob").password.clone();
    refused_with(&attempt(&server, "bob", &right).await, NtStatus::ACCOUNT_LOCKED_OUT);
}

#[tokio::test]
async fn old_passwords_cannot_be_guessed_faster() {
    let server = Shareward::start(&Setup::default());
    let user = server.setup().user("bob").clone();
    let client = || {
        let place = server.address().to_string().parse().expect("a place");
        RemoteClient::new(place, Credentials::password(&user.name, "", &user.password))
    };
    let began = Instant::now();
    let guesses = (0..8).map(|n| {
        let client = client();
        async move {
            let change = PasswordChange { old: Some(format!("guess {n}")), new: String::from("An0ther-one") };
            let outcome = client.set_password("bob", &change).await;
            outcome.map(|_| 0).unwrap_or_else(|error| error.number())
        }
    });
    let outcomes = futures_util::future::join_all(guesses).await;
    let took = began.elapsed();
    let judged = outcomes.iter().filter(|code| **code == 86).count();
    assert!(outcomes.iter().all(|code| [86, 170].contains(code)), "{outcomes:?}");
    assert!(took >= DELAY && judged as u64 <= took.as_secs() / 2 + 1, "{judged} judged in {took:?}");
    let change = PasswordChange { old: Some(user.password.clone()), new: String::from("An0ther-one") };
    client().set_password("bob", &change).await.expect("the right one");
    attempt(&server, "bob", "An0ther-one").await.expect("log on");
}
