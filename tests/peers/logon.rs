//! Logons with right and wrong passwords, with a MIC (Samba's clients send one) and without (impacket sends none).

use testkit::peer::{impacket, smbclient};
use testkit::{Subject, User};

const IMPACKET: &[&str] = &["python:impacket"];

fn attempt(subject: &Subject, name: &str, password: &str) -> testkit::Output {
    let user = User { name: name.into(), password: password.into(), administrator: false };
    smbclient(subject, &user, "data", &[], "ls")
}

#[test]
fn the_right_password_with_a_mic() {
    let Some(subject) = Subject::with(&["smbclient"]) else { return };
    for name in ["alice", "bob", "ALICE", "WORKGROUP/alice"] {
        let password =
            &subject.user(name.rsplit('/').next().expect("a name").to_lowercase().as_str()).password;
        attempt(&subject, name, password).success();
    }
}

#[test]
fn wrong_passwords_with_a_mic() {
    let Some(subject) = Subject::with(&["smbclient"]) else { return };
    let right = &subject.user("alice").password;
    for wrong in ["wrong", &right.to_lowercase(), &format!("{right} "), &subject.user("bob").password] {
        attempt(&subject, "alice", wrong).failure().says("NT_STATUS_LOGON_FAILURE");
    }
    attempt(&subject, "nobody-here", right).failure().says("NT_STATUS_LOGON_FAILURE");
    attempt(&subject, "alice", right).success();
}

#[test]
fn an_anonymous_logon_gets_no_files() {
    let Some(subject) = Subject::with(&["smbclient"]) else { return };
    smbclient(
        &subject,
        &User { name: String::new(), password: String::new(), administrator: false },
        "data",
        &["-N"],
        "ls",
    )
    .failure();
}

fn without_mic(check: &str) {
    let Some(subject) = Subject::with(IMPACKET) else { return };
    impacket(&subject, subject.user("alice"), "logon.py", &[check]).success();
}

#[test]
fn the_right_password_without_a_mic() {
    without_mic("right");
}

#[test]
fn wrong_passwords_without_a_mic() {
    without_mic("wrong");
}

#[test]
fn an_unknown_user_without_a_mic() {
    without_mic("unknown_user");
}

#[test]
fn a_promised_mic_that_is_missing() {
    without_mic("promised_mic_missing");
}

fn whatever_the_clock(check: &str, told: &str) {
    let Some(subject) = Subject::with(IMPACKET) else { return };
    impacket(&subject, subject.user("alice"), "logon.py", &[check]).success();
    let Subject::Shareward(server) = &subject else { return };
    // Once for two logons.
    let log = server.log();
    assert_eq!(
        log.lines().filter(|line| line.contains(told) && line.contains("127.0.0.1")).count(),
        1,
        "{log}"
    );
}

#[test]
fn the_right_password_without_a_time() {
    whatever_the_clock("no_time", "gives its logons no time");
}

#[test]
fn the_right_password_with_a_wrong_clock() {
    whatever_the_clock("clock_of_2001", "the client's clock differs");
}

#[test]
fn wrong_passwords_lock_nobody_out() {
    without_mic("many_in_a_row");
}
