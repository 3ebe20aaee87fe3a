//! Our own commands with tickets: against ours, against Samba as a member, and against the domain controller.

use std::sync::Arc;

use testkit::{Domain, Host, Output, Tickets, password, run, shareward_binary};

use super::Member;

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
