//! Shares and settings, changed with other people's tools: in the server and in its configuration file.

use std::fs;

use testkit::peer::{impacket, rpcclient, smbclient};
use testkit::{Subject, skip};

/// Runs a check of `administer.py`.
fn administer(check: &str) {
    let Some(subject) = Subject::with(&["python:impacket"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 does less of this, and by scripts that it is to be configured with");
    }
    let (admin, alice) = (subject.user("admin"), subject.user("alice"));
    let directory = subject.share_dir("data").join("made");
    fs::create_dir(&directory).expect("a directory");
    open_to_all(&directory);
    let directory = directory.to_str().expect("UTF-8");
    impacket(&subject, admin, "administer.py", &[check, &alice.name, &alice.password, directory]).success();
}

macro_rules! administer_tests {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            administer(stringify!($name));
        })*
    };
}

administer_tests! {
    file_security,
    not_admin,
    paths_and_names,
    server_calls,
    server_settings,
    share_check,
    share_deletions,
    share_life,
    share_permissions,
    statistics,
    workstation,
}

#[test]
fn rpcclient_changes_shares_in_the_file() {
    let Some(subject) = Subject::with(&["rpcclient", "smbclient"]) else { return };
    let Subject::Shareward(server) = &subject else { return skip("it looks at our configuration file") };
    let admin = subject.user("admin");
    let before = fs::read_to_string(server.config()).expect("the configuration");
    let commented = format!("# Mine.\n{before}\n# The end.\n");
    fs::write(server.config(), &commented).expect("write the configuration");

    // Edited behind the server's back: it keeps off.
    let path = subject.share_dir("other").display().to_string().replace('/', "\\\\");
    let add = format!("netshareadd C:{path} made 7 remark");
    rpcclient(&subject, admin, &add).says("WERR_FILE_INVALID");
    assert_eq!(fs::read_to_string(server.config()).expect("the configuration"), commented);

    server.signal("HUP");
    let added = (0..100).any(|_| !rpcclient(&subject, admin, &add).text().contains("WERR_FILE_INVALID"));
    assert!(added, "{}", server.log());
    let text = fs::read_to_string(server.config()).expect("the configuration");
    assert!(
        text.starts_with("# Mine.\n") && text.contains("# The end.") && text.contains("name = \"made\""),
        "{text}"
    );
    assert!(text.contains("max_users = 7") && text.contains("remark = \"remark\""), "{text}");

    rpcclient(&subject, admin, "netsharegetinfo made 502")
        .success()
        .says("netname: made")
        .says("max_uses:\t7");
    smbclient(&subject, subject.user("alice"), "made", &[], "ls").success();
    rpcclient(&subject, admin, "netsharesetinfo made 1004").never_says("NT_STATUS");
    rpcclient(&subject, admin, "netsharedel made").success().never_says("WERR");
    assert!(!fs::read_to_string(server.config()).expect("the configuration").contains("made\""));
    smbclient(&subject, subject.user("alice"), "made", &[], "ls").failure();
}

#[test]
fn rpcclient_makes_the_other_calls() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 asks for BUILTIN\\Administrators, which needs winbindd");
    }
    fs::write(subject.share_dir("data").join("f"), "f").expect("a file");
    let admin = subject.user("admin");
    for (command, said) in [
        ("netnamevalidate abc 9", ""),
        ("netfilegetsec data f", "DACL"),
        ("netdiskenum", ""),
        ("wkssvc_wkstagetinfo 102", ""),
        ("wkssvc_getjoininformation", "TESTED"),
        ("wkssvc_enumeratecomputernames", "TESTED"),
        ("wkssvc_enumerateusers", ""),
    ] {
        rpcclient(&subject, admin, command).success().says(said).never_says("NT_STATUS").never_says("WERR");
    }
}

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
}
