//! `\PIPE\samr`: the accounts as other people's programs list them, and passwords that users change themselves.

use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions, Pipe};
use rpc::ndr::Octets;
use rpc::samr::{Connect2Request, INTERFACE, UnicodeChangePasswordUser2Request};
use testkit::peer::{
    SAMRDUMP, impacket, net_rpc, rpcclient, rpcclient_protected, rpcclient_with, samrdump, smbpasswd,
};
use testkit::{Setup, Subject, User, need, skip};
use wire::NtStatus;

const LOCKOUT: &str = "lockout_threshold = 3\n";

fn check(name: &str, samba_does: bool) {
    if !need(&["python:impacket"]) {
        return;
    }
    let subject = Subject::start(&Setup { extra: LOCKOUT.into(), ..Setup::default() });
    if subject.is_samba() && !samba_does {
        return skip("Samba 4.17 does otherwise");
    }
    let (admin, alice) = (subject.user("admin"), subject.user("alice"));
    impacket(&subject, admin, "samr.py", &[name, &alice.name, &alice.password]).success();
}

#[test]
fn accounts_are_enumerated_and_described() {
    check("accounts_are_enumerated_and_described", false);
}

#[test]
fn groups_are_added_described_and_deleted() {
    check("groups_are_added_described_and_deleted", false);
}

/// As Windows since version 10.
#[test]
fn only_administrators_list() {
    check("only_administrators_list", false);
}

#[test]
fn users_change_their_own_password() {
    check("users_change_their_own_password", false);
}

#[test]
fn an_expired_password_is_changed_without_a_logon() {
    check("an_expired_password_is_changed_without_a_logon", false);
}

#[test]
fn hashes_under_des_are_refused_without_encryption() {
    check("hashes_under_des_are_refused_without_encryption", false);
}

fn with_password(user: &User, password: &str) -> User {
    User { password: password.into(), ..user.clone() }
}

#[test]
fn rpcclient_lists_accounts_and_changes_passwords() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    if subject.is_samba() {
        return skip("its users have the RIDs of Unix ids");
    }
    let admin = subject.user("admin");
    let listed = rpcclient(&subject, admin, "enumdomusers").success().text();
    for user in ["alice", "bob", "admin"] {
        assert!(listed.contains(&format!("user:[{user}] rid:[0x")), "{listed}");
    }
    let line = listed.lines().find(|line| line.contains("[bob]")).expect("bob");
    let rid = line.split("rid:[").nth(1).and_then(|rest| rest.split(']').next()).expect("a RID");
    rpcclient(&subject, admin, &format!("queryuser {rid}")).success().says("User Name   :\tbob");
    rpcclient(&subject, admin, "querydispinfo").success().says("Account: bob");
    rpcclient(&subject, admin, "querydominfo").success().says("Domain:\t\tTESTED");
    rpcclient(&subject, admin, "getdompwinfo").success().says("min_password_length: 1");
    rpcclient(&subject, admin, "samlookupnames domain bob").success().says("bob");
    rpcclient(&subject, admin, "enumalsgroups builtin").success().says("Administrators");
    rpcclient(&subject, subject.user("bob"), "enumdomusers").never_says("user:[");

    let mut bob = subject.user("bob").clone();
    let sealed = ["--client-protection=encrypt"];
    for (number, (command, options)) in
        [("chgpasswd", &sealed[..]), ("chgpasswd2", &[]), ("chgpasswd3", &[])].into_iter().enumerate()
    {
        let new = format!("N3w-secret-{number}");
        let change = format!("{command} bob '{}' '{new}'", bob.password);
        let output = rpcclient_with(&subject, &bob, options, &change).success();
        assert!(!output.text().contains("NT_STATUS"), "{command}: {}", output.text());
        rpcclient(&subject, &bob, "getusername").says("NT_STATUS_LOGON_FAILURE");
        bob = with_password(&bob, &new);
        rpcclient(&subject, &bob, "getusername").success().says("bob");
    }
}

/// Requests and answers of one fragment and of several, protected by RPC in addition to SMB.
#[test]
fn rpc_protects_its_messages_itself() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    let admin = subject.user("admin");
    let many = format!("lookupsids{}", " S-1-5-32-544".repeat(400));
    for level in ["sign", "seal"] {
        let output = rpcclient_protected(&subject, admin, level, "getusername;netshareenum").success();
        let said = output.text();
        assert!(said.contains("admin") && said.contains("netname: data"), "{level}: {said}");
        let output = rpcclient_protected(&subject, admin, level, &many);
        if !subject.is_samba() {
            let said = output.success().text();
            assert_eq!(said.matches(r"BUILTIN\Administrators").count(), 400, "{level}: {said}");
        }
    }
}

#[test]
fn net_rpc_lists_accounts() {
    let Some(subject) = Subject::with(&["net", "root"]) else { return };
    let admin = subject.user("admin");
    let listed = net_rpc(&subject, admin, &["user"]).success().text();
    for user in ["alice", "bob", "admin"] {
        assert!(listed.lines().any(|line| line.trim() == user), "{listed}");
    }
    net_rpc(&subject, admin, &["info"]).success().says("Domain Name: TESTED").says("Num users: ");
}

#[test]
fn smbpasswd_changes_a_password() {
    let Some(subject) = Subject::with(&["smbpasswd", "rpcclient", "root"]) else { return };
    let alice = subject.user("alice");
    smbpasswd(&subject, alice, "Another 1").success().says("Password changed for user alice");
    let changed = with_password(alice, "Another 1");
    rpcclient(&subject, &changed, "getusername").success().says("alice");
    let output = smbpasswd(&subject, alice, "Another 2");
    assert!(!output.text().contains("Password changed"), "{}", output.text());
    rpcclient(&subject, &changed, "getusername").success().says("alice");
}

#[test]
fn samrdump_lists_accounts() {
    let Some(subject) = Subject::with(&["python:impacket", SAMRDUMP, "root"]) else { return };
    let output = samrdump(&subject, subject.user("admin")).success();
    for said in ["Found user: alice", "bob (", "/AccountIsDisabled: False"] {
        assert!(output.text().contains(said), "{said}: {}", output.text());
    }
}

/// A wrong old password counts as a wrong password: its refusal is delayed, and it locks the account if configured.
#[tokio::test]
async fn old_passwords_are_guessed_as_slowly_as_logons() {
    guess_old_passwords(false).await;
}

/// Users who cannot log on, because the password has expired, can change it, and see nothing else.
#[tokio::test]
async fn old_passwords_are_guessed_no_faster_without_a_logon() {
    guess_old_passwords(true).await;
}

async fn guess_old_passwords(anonymous: bool) {
    let subject = Subject::start(&Setup { extra: LOCKOUT.into(), ..Setup::default() });
    if subject.is_samba() {
        return skip("it has no such setting here");
    }
    let options = ConnectOptions {
        request_timeout: Duration::from_secs(60),
        ..ConnectOptions::new().expect("options")
    };
    let connection =
        ClientConnection::connect(subject.address(), None, options.clone()).await.expect("connect");
    let alice = subject.user("alice");
    let session = match anonymous {
        true => connection.logon_anonymous().await,
        false => connection.logon(Credentials::password(&alice.name, "", &alice.password)).await,
    };
    let session = session.expect("log on");
    let mut pipe = Pipe::connect(&session, "samr", INTERFACE).await.expect("the pipe");
    let look = Connect2Request { server_name: None, desired_access: 1 };
    let looked = pipe.call(&look).await.map(|answer| answer.status);
    assert_eq!(looked.ok() == Some(NtStatus::SUCCESS), !anonymous);
    for user in ["bob", "nobody-here"] {
        let request = UnicodeChangePasswordUser2Request {
            server_name: None,
            user_name: user.into(),
            new_with_old_nt: Some(Octets::from([7; 516])),
            old_nt_with_new_nt: Some(Octets::from([7; 16])),
            lm_present: 0,
            new_with_old_lm: None,
            old_lm_with_new_nt: None,
        };
        for _ in 0..3 {
            let began = Instant::now();
            let answer = pipe.call(&request).await.expect("an answer");
            assert_eq!(answer.status, NtStatus::WRONG_PASSWORD, "{user}");
            assert!(began.elapsed() >= Duration::from_secs(2), "{user}: {:?}", began.elapsed());
        }
        assert_eq!(
            pipe.call(&request).await.expect("an answer").status,
            NtStatus::ACCOUNT_LOCKED_OUT,
            "{user}"
        );
    }
    let bob = subject.user("bob");
    let connection = ClientConnection::connect(subject.address(), None, options).await.expect("connect");
    match connection.logon(Credentials::password(&bob.name, "", &bob.password)).await {
        Err(error) => assert!(error.is(NtStatus::ACCOUNT_LOCKED_OUT), "{error}"),
        Ok(_) => panic!("logged on"),
    }
}
