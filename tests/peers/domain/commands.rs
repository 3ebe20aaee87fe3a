//! Our own commands with tickets: against ours, against Samba as a member, and against the domain controller.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::{Domain, Host, Output, Tickets, password, run, shareward_binary};

use super::Member;
use super::rights::Holder;

/// The ticket of 20 s, in which a busy machine makes the mount, ends long before.
const RENEWAL_MAX: Duration = Duration::from_secs(120);

/// A command of ours on a host, with tickets and without anybody to ask for a password.
#[track_caller]
pub(super) fn ask(host: &Host, tickets: &Tickets, words: &[&str]) -> Output {
    let program = shareward_binary().display().to_string();
    host.run_as(tickets, &[&[program.as_str()], words].concat())
}

/// A command with the password of a user.
fn ask_with_password(host: &Host, user: &str, words: &[&str]) -> Output {
    let program = shareward_binary().display().to_string();
    let mut command = host.command_as(&host.empty_cache(), &program, words);
    command.env("SHAREWARD_PASSWORD", password(user));
    run(command, b"", std::time::Duration::from_secs(60))
}

#[test]
fn shares_are_listed_with_a_ticket() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::start(domain);
    let (host, name) = (member.host(), member.host().full_name());
    let carol = host.log_on("carol");
    ask(host, &carol, &["share", "--server", &name, "--kerberos"]).success().says("data");
    // Without --kerberos a password is not asked either.
    ask(host, &carol, &["share", "--server", &name]).success().says("data");
}

#[test]
fn a_password_of_the_domain_gets_a_ticket() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::start(domain);
    let (host, name) = (member.host(), member.host().full_name());
    for (login, user) in [("carol@CORP.TEST", "carol"), ("grace.hopper@corp.test", "grace")] {
        let words = ["share", "--server", &name, "--kerberos", "--login", login];
        ask_with_password(host, user, &words).success().says("data");
    }
    let wrong = ["share", "--server", &name, "--kerberos", "--login", "carol@CORP.TEST"];
    ask_with_password(host, "dave", &wrong).failure().says("1326");
}

/// The pipe of the command's own list is none of the user's files, so that a close of all of them succeeds.
#[test]
fn users_close_their_own_files_and_not_the_pipe_of_the_command() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::ours(domain, "");
    let (host, name) = (member.host(), member.host().full_name());
    let carol = host.log_on("carol");
    let mine = |words: &[&str]| ask(host, &carol, &[&["file", "--mine", "--server", &name], words].concat());
    mine(&[]).success().says("There are no entries in the list.");
    let _holder = Holder::start(&member, "carol", "data", "held-by-carol");
    mine(&["--close", "/yes"]).success().says("1 file closed");
    mine(&["--close", "/yes"]).success().says("There are no entries in the list.");
}

#[test]
fn kerberos_is_not_replaced_where_it_is_demanded() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::start(domain);
    let host = member.host();
    let (carol, nobody) = (host.log_on("carol"), host.empty_cache());
    let (name, address) = (host.full_name(), host.address().to_string());
    ask(host, &carol, &["share", "--server", &address, "--kerberos"]).failure();
    ask(host, &nobody, &["share", "--server", &name, "--kerberos"]).failure().says("1312");
}

#[test]
fn a_controller_lists_its_shares_and_sessions() {
    let Some(domain) = Domain::with(&[]) else { return };
    let host = domain.member();
    let administrator = host.log_on("Administrator");
    ask(&host, &administrator, &["share", "--server", "dc1.corp.test", "--kerberos"])
        .success()
        .says("sysvol");
    ask(&host, &administrator, &["session", "--server", "dc1.corp.test", "--kerberos"]).success();
    let carol = host.log_on("carol");
    ask(&host, &carol, &["share", "--server", "dc1.corp.test", "--kerberos"]).success().says("netlogon");
    ask(&host, &carol, &["session", "--server", "dc1.corp.test", "--kerberos"]).failure().says("5");
}

#[test]
fn samba_as_a_member_lists_its_shares_and_files() {
    let Some(domain) = Domain::with(&[]) else { return };
    let samba = Member::samba(domain);
    let host: &Arc<Host> = samba.host();
    let (administrator, name) = (host.log_on("Administrator"), host.full_name());
    ask(host, &administrator, &["share", "--server", &name, "--kerberos"]).success().says("other");
    ask(host, &administrator, &["file", "--server", &name, "--kerberos"]).success();
    ask(host, &administrator, &["session", "--server", &name, "--kerberos"]).success();
}

/// The session of a mount is renewed when its ticket ends, with the one that the cache has then.
#[test]
fn a_mount_works_on_with_a_ticket_that_was_renewed() {
    let Some(domain) = Domain::with(&["/dev/fuse", "fusermount3"]) else { return };
    let member = Member::start(domain);
    let host = member.host();
    let service = member.service("cifs");
    let carol = host.log_on_with("carol", &["-l", "20s", "-S", &service]);
    // Each line of standard input has a file read again.
    let script = r#"
set -eu
mkdir -p /run/renewed
"$1" use /run/renewed "$2" --via fuse --kerberos >/dev/null
echo text >/run/renewed/by-carol
while read -r number; do
    test "$(cat /run/renewed/by-carol)" = text
    touch "/run/renewed/$number"
    echo read
done
"$1" use /run/renewed /delete >/dev/null
echo unmounted
"#;
    let program = shareward_binary().display().to_string();
    let mut client = host.command_as(&carol, "sh", &["-c", script, "sh", &program, &member.unc("data")]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a shell");
    let mut input = client.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut read = |number: usize| {
        writeln!(input, "{number}").expect("type");
        assert_eq!(lines.next().as_deref(), Some("read"), "{}", member.shareward().log());
    };
    read(0);
    host.log_on_again(&carol, "carol", &["-l", "1h", "-S", &service]);
    let granted = || member.shareward().log().lines().filter(|it| it.contains("logon granted")).count();
    let (before, started) = (granted(), Instant::now());
    let mut number = 1;
    while granted() == before {
        assert!(started.elapsed() < RENEWAL_MAX, "{}", member.shareward().log());
        read(number);
        number += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    read(number);
    drop(input);
    assert_eq!(lines.next().as_deref(), Some("unmounted"));
    assert!(client.wait().expect("wait").success());
    assert!(member.share_dir("data").join(number.to_string()).exists());
}

/// A mount through FUSE shows the files of the ticket's user, and works on after the ticket was replaced.
#[test]
fn net_use_mounts_with_a_ticket() {
    let Some(domain) = Domain::with(&["/dev/fuse", "fusermount3"]) else { return };
    let member = Member::start(domain);
    let host = member.host();
    let carol = host.log_on("carol");
    let script = r#"
set -eu
mkdir -p /run/mounted
"$1" use /run/mounted "$2" --via fuse --kerberos
echo text >/run/mounted/by-carol
test "$(cat /run/mounted/by-carol)" = text
"$1" use
"$1" use /run/mounted /delete
echo all done
"#;
    let program = shareward_binary().display().to_string();
    let said = host.run_as(&carol, &["sh", "-c", script, "sh", &program, &member.unc("data")]);
    said.success().says("all done").says("OK ");
    let written = std::fs::metadata(member.share_dir("data").join("by-carol")).expect("the file");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&written), domain.id("carol"));
}
