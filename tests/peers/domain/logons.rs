//! Logons of the domain's users with clients of other projects.

use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::peer::PYTHON;
use testkit::{Domain, User, repository, skip};

use super::Member;

/// Writes a file and reads it, in the dialect and with the protection that the options give.
fn smbclient_works(options: &[&str]) {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::start(domain);
    let carol = member.host().log_on("carol");
    let commands = "put /etc/hosts written; get written -; rm written";
    member.smbclient(&carol, "data", options, commands).success().says("dc1.corp.test");
}

#[test]
fn smbclient_with_a_ticket_in_3_1_1() {
    smbclient_works(&["--max-protocol=SMB3_11", "--option=client min protocol=SMB3_11"]);
}

#[test]
fn smbclient_with_a_ticket_signs_in_3_1_1() {
    smbclient_works(&["--option=client min protocol=SMB3_11", "--client-protection=sign"]);
}

#[test]
fn smbclient_with_a_ticket_seals_in_3_1_1() {
    smbclient_works(&["--option=client min protocol=SMB3_11", "--client-protection=encrypt"]);
}

#[test]
fn smbclient_with_a_ticket_signs_in_2_1() {
    smbclient_works(&["--max-protocol=SMB2_10", "--client-protection=sign"]);
}

/// Runs a check of `domain.py` as carol, with a ticket for this service of the host.
fn impacket(member: &Member, service: &str, check: &[&str]) {
    let carol = member.host().log_on("carol");
    member.host().run_as(&carol, &["kvno", "-q", &member.service(service)]).success();
    let script = repository().join("tests/peers/domain.py").display().to_string();
    let address = member.host().address().to_string();
    let words = [PYTHON, "-B", &script, &member.host().full_name(), &address, "carol"];
    member.host().run_as(&carol, &[&words, check].concat()).success();
}

#[test]
fn impacket_with_the_tickets_of_the_cache() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::start(domain);
    impacket(&member, "cifs", &["tickets_in_the_cache"]);
}

#[test]
fn altered_tickets_are_refused() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::start(domain);
    impacket(&member, "cifs", &["altered"]);
}

#[test]
fn a_repeated_request_is_refused() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::start(domain);
    if member.is_samba() {
        return skip("Samba has no replay cache");
    }
    impacket(&member, "cifs", &["replayed"]);
}

#[test]
fn a_ticket_for_another_service_of_the_host_is_refused() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::start(domain);
    if member.is_samba() {
        return skip("Samba accepts every service of its account");
    }
    impacket(&member, "HTTP", &["ticket_for", &member.service("HTTP")]);
    member.logs(&["audit", "logon refused", "HTTP"]);
}

#[test]
fn rpcclient_with_a_ticket() {
    let Some(domain) = Domain::with(&["rpcclient"]) else { return };
    let member = Member::start(domain);
    let carol = member.host().log_on("carol");
    let name = member.host().full_name();
    let words = ["rpcclient", "--use-kerberos=required", "--no-pass", &name, "-c"];
    let run = |command| member.host().run_as(&carol, &[&words[..], &[command]].concat());
    run("srvinfo").success().says(&member.host().name().to_uppercase());
    run("netshareenum 1").success().says("netname: data");
}

/// The messages of the pipe are signed or encrypted with the keys of another ticket for the same user (MS-RPCE 3.3.1.5.2),
/// in SPNEGO and without it.
#[test]
fn rpcclient_protects_messages_with_a_ticket() {
    let Some(domain) = Domain::with(&["rpcclient"]) else { return };
    let member = Member::start(domain);
    let carol = member.host().log_on("carol");
    let name = member.host().full_name();
    for options in ["spnego,sign", "spnego,seal", "krb5,sign", "krb5,seal"] {
        let binding = format!("ncacn_np:{name}[{options}]");
        let words = ["rpcclient", "--use-kerberos=required", "--no-pass", &binding, "-c"];
        let run = |command| member.host().run_as(&carol, &[&words[..], &[command]].concat());
        run("srvinfo").success().says(&member.host().name().to_uppercase());
        // Several calls, and answers of several fragments.
        run("netshareenum 1; netshareenum 502; netshareenum 1").success().says("netname: data");
    }
}

#[test]
fn impacket_protects_messages_with_a_ticket() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::start(domain);
    impacket(&member, "cifs", &["rpc"]);
}

/// The names by which one user is known, with a password and NTLM, by the server's address.
#[test]
fn ntlm_by_the_address_with_all_forms_of_the_name() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::start(domain);
    member.start_winbind();
    for (name, user) in [
        ("CORP\\carol", "carol"),
        ("corp.test\\carol", "carol"),
        ("carol@corp.test", "carol"),
        ("carol@CORP", "carol"),
        ("grace.hopper@corp.test", "grace"),
    ] {
        let said =
            member.smbclient_ntlm(name, user, "data", "put /etc/hosts by-ntlm; allinfo by-ntlm; rm by-ntlm");
        assert_eq!(said.status, Some(0), "{said}");
    }
    for (name, user) in
        [("CORP\\carol", "dave"), ("CORP\\nobody-here", "carol"), ("carol@other.test", "carol")]
    {
        member.smbclient_ntlm(name, user, "data", "ls").failure().says("NT_STATUS_LOGON_FAILURE");
    }
}

/// An administrator sees who has come, how, and from where.
#[test]
fn logons_are_audited_with_their_methods() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::ours_with(domain, |setup| {
        setup.users.push(testkit::User {
            name: "local".into(),
            password: "Local-secret 1".into(),
            administrator: false,
        });
    });
    member.start_winbind();
    let host = member.host();
    let from = format!("from={}", host.address());
    let carol = host.log_on("carol");
    member.smbclient(&carol, "data", &[], "ls").success();
    let account = "account=\"CORP\\\\carol\"";
    member.logs(&[
        "audit",
        "logon granted",
        account,
        "domain=\"CORP\"",
        &from,
        "method=\"Kerberos\"",
        "session=",
    ]);
    member.smbclient_ntlm("CORP\\dave", "dave", "data", "ls").success();
    let account = "account=\"CORP\\\\dave\"";
    member.logs(&["audit", "logon granted", account, &from, "method=\"NTLM\"", "session="]);
    let address = format!("//{}/data", host.address());
    let login = "FILES\\local%Local-secret 1";
    host.run(&["smbclient", "--use-kerberos=off", &address, "-U", login, "-c", "ls"]).success();
    member.logs(&["audit", "logon granted", "account=\"local\"", &from, "method=\"NTLM\"", "session="]);
    member.smbclient_ntlm("CORP\\carol", "dave", "data", "ls").failure();
    member.logs(&["audit", "logon refused", "carol", &from, "method=\"NTLM\""]);
}

#[test]
fn a_ticket_for_a_user_principal_name() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::start(domain);
    let grace = member.host().log_on_with("grace.hopper@corp.test", &["-E"]);
    member.smbclient(&grace, "data", &[], "put /etc/hosts of-grace").success();
    let written = fs::metadata(member.share_dir("data").join("of-grace")).expect("the file");
    assert_eq!(written.uid(), domain.id("grace"));
}

/// Two users with one name: the domain's, with a ticket, and the server's own, with a password.
#[test]
fn a_durable_handle_of_a_domain_user_is_not_the_local_accounts() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    const PASSWORD: &str = "Local-1 carol";
    let user = User { name: "carol".into(), password: PASSWORD.into(), administrator: false };
    let member = Member::ours_with(domain, |setup| setup.users.push(user));
    impacket(&member, "cifs", &["reclaims", PASSWORD]);
}
