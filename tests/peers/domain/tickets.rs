//! The lives of tickets and keys: expiry, clocks, new keys.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use testkit::peer::PYTHON;
use testkit::{Domain, repository};

use super::Member;

/// The seconds for which the first ticket is valid.
const SHORT: &str = "5s";

/// The ticket comes from the authentication service itself: Samba's controller does not take ticket-granting tickets of
/// less than two minutes, which it keeps for changes of passwords.
#[test]
fn a_session_ends_with_its_ticket_and_a_new_logon_keeps_its_opens() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::start(domain);
    let host = member.host();
    let service = member.service("cifs");
    let carol = host.log_on_with("carol", &["-l", SHORT, "-S", &service]);
    let script = repository().join("tests/peers/domain.py").display().to_string();
    let address = host.address().to_string();
    let words = ["-B", &script, &host.full_name(), &address, "carol", "expires"];
    let mut client = host.command_as(&carol, PYTHON, &words);
    client.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().expect("start Python");
    let mut said = String::new();
    let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines();
    for line in lines.by_ref().map_while(Result::ok) {
        said += &format!("{line}\n");
        if line == "renew" {
            break;
        }
    }
    assert!(said.ends_with("renew\n"), "{said}");
    host.log_on_again(&carol, "carol", &["-l", "1h", "-S", &service]);
    let mut input = client.stdin.take().expect("a pipe");
    input.write_all(b"\n").expect("wake the client");
    said.extend(lines.map_while(Result::ok));
    assert!(client.wait().expect("wait").success(), "{said}");
}

/// The refusal has the server's time (MS-KILE 3.4.5), with which smbclient makes another request.
#[test]
fn a_client_with_a_wrong_clock_is_refused_until_it_corrects_its_time() {
    let Some(domain) = Domain::with(&["faketime"]) else { return };
    let member = Member::start(domain);
    let host = member.host();
    let carol = host.log_on("carol");
    host.run_as(&carol, &["kvno", "-q", &member.service("cifs")]).success();
    let unc = member.unc("data");
    let at = |shift| {
        let client = ["smbclient", "--use-kerberos=required", "--no-pass", &unc, "-c", "ls"];
        host.run_as(&carol, &[&["faketime", "-f", shift][..], &client].concat())
    };
    at("+2m").success();
    at("-2m").success();
    for shift in ["+15m", "-15m"] {
        if member.is_samba() {
            at(shift).failure();
        } else {
            at(shift).success();
            member.logs(&["audit", "logon refused", "clock"]);
        }
    }
}

#[test]
fn a_new_key_is_taken_without_a_restart_and_old_tickets_stay_valid() {
    let Some(domain) = Domain::with(&[]) else { return };
    rotates(domain, "rotating", &["net", "ads", "changetrustpw"]);
}

/// adcli changes the password with the keytab alone, which it writes entry by entry.
#[test]
fn a_new_key_of_adcli_is_taken_without_a_restart_and_old_tickets_stay_valid() {
    let Some(domain) = Domain::with(&["adcli"]) else { return };
    let update = ["adcli", "update", "--domain=corp.test", "--computer-password-lifetime=0"];
    rotates(domain, "adcli-rotating", &update);
}

/// Changes the account's password by this command, as a timer of the machine does it, while the server runs on.
fn rotates(domain: &Domain, name: &str, command: &[&str]) {
    // A machine account of its own: the others are those of all tests.
    let host = domain.joined(name);
    let member = Member::start_on(host);
    let host = member.host();
    let service = member.service("cifs");
    let number = |tickets| {
        let said = host.run_as(tickets, &["kvno", &service]).success().stdout;
        said.rsplit("kvno = ").next().and_then(|it| it.trim().parse::<u32>().ok()).expect("the key's number")
    };
    let before = host.log_on("carol");
    let old = number(&before);
    member.smbclient(&before, "data", &[], "ls").success();
    host.run(command).success();
    let after = host.log_on("carol");
    assert_eq!(number(&after), old + 1);
    member.smbclient(&after, "data", &[], "ls").success();
    assert_eq!(number(&before), old);
    member.smbclient(&before, "data", &[], "ls").success();
}
