//! `\PIPE\lsarpc`: the names of accounts, requested by impacket and rpcclient.

use testkit::peer::{impacket, rpcclient, smbcacls};
use testkit::{Subject, skip};

fn check(name: &str, samba_does: bool) {
    let Some(subject) = Subject::with(&["python:impacket"]) else { return };
    if subject.is_samba() && !samba_does {
        return skip("Samba 4.17 does otherwise");
    }
    let (admin, alice) = (subject.user("admin"), subject.user("alice"));
    impacket(&subject, admin, "names.py", &[name, &alice.name, &alice.password]).success();
}

#[test]
fn names_and_sids() {
    check("names_and_sids", false); // it knows no BUILTIN where winbindd does not run
}

#[test]
fn anonymous_callers_get_no_policy() {
    check("anonymous_callers_get_no_policy", false); // it tells anybody
}

#[test]
fn the_policy_opens_for_lookups_only() {
    check("the_policy_opens_for_lookups_only", false); // it makes up what is audited
}

/// LsarOpenPolicy3, which Windows 11 calls before its editor of access lists shows anything; impacket lacks it.
#[test]
fn open_policy3_opens_the_policy() {
    check("open_policy3_opens_the_policy", false); // Samba 4.17 lacks it too
}

#[test]
fn rpcclient_asks_for_names() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    let alice = subject.user("alice");
    for (command, said) in [
        ("lsaquery", "Domain Name:"),
        ("getusername", "Account Name: alice"),
        ("lookupnames Everyone", "Everyone S-1-1-0 (Well-known Group: 5)"),
        ("lookupnames 'Unix Group\\root'", "S-1-22-2-0 (Domain Group: 2)"),
        ("lookupnames root", "root S-1-22-1-0 (User: 1)"),
        ("lookupsids S-1-1-0", "S-1-1-0 \\Everyone (5)"),
        ("lookupsids S-1-22-2-0", "S-1-22-2-0 Unix Group\\root (2)"),
        ("lookupsids3 S-1-1-0", "NT_STATUS"),
    ] {
        let output = rpcclient(&subject, alice, command);
        assert!(output.text().contains(said), "{command}: {}", output.text());
    }
    let output = rpcclient(&subject, alice, "lookupnames alice").success();
    let said = output.text();
    let sid = said.split_whitespace().find(|word| word.starts_with("S-1-5-21-")).expect("a SID").to_owned();
    rpcclient(&subject, alice, &format!("lookupsids {sid}")).success().says(r"TESTED\alice (1)");
    rpcclient(&subject, alice, "lookupnames nobody-here").says("NT_STATUS_NONE_MAPPED");
}

/// The program requests the names of the SIDs in a file's descriptor.
#[test]
fn smbcacls_shows_names() {
    let Some(subject) = Subject::with(&["smbcacls", "root"]) else { return };
    std::fs::write(subject.share_dir("data").join("f"), "f").expect("a file");
    let shown = smbcacls(&subject, subject.user("alice"), "data", "f", &[]).success();
    shown.says("OWNER:Unix User\\").says("ACL:Everyone:");
}
