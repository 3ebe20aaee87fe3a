//! `\PIPE\srvsvc` with impacket, rpcclient and Samba's `net`, together with our own `net` commands.

use testkit::peer::{impacket, net_rpc, rpcclient};
use testkit::{Subject, skip};

/// Runs a check of `srvsvc.py`. `samba_does` is false for the checks that Samba is known to fail.
fn srvsvc(check: &str, samba_does: bool) {
    let Some(subject) = Subject::with(&["python:impacket"]) else { return };
    if subject.is_samba() && !samba_does {
        return skip("Samba 4.17 does otherwise");
    }
    let (admin, alice) = (subject.user("admin"), subject.user("alice"));
    impacket(&subject, admin, "srvsvc.py", &[check, &alice.name, &alice.password]).success();
}

macro_rules! srvsvc_tests {
    ($($name:ident $(($samba_does:literal))?),* $(,)?) => {
        $(#[test]
        fn $name() {
            srvsvc(stringify!($name), true $(&& $samba_does)?);
        })*
    };
}

srvsvc_tests! {
    anonymous(false), // it lists its shares to anybody
    connections(false),
    file_close(false), // it answers 2 although it closed
    file_filters(false),
    file_info(false),
    file_level_2(false),
    files(false),
    fragments(false),
    not_admin(false),
    resume(false),
    server_info,
    session_del(false),
    session_filters(false),
    session_levels(false), // 124 for levels above 1
    sessions(false),
    share_info(false), // 123 for a share that is not there
    shares,
    time,
}

fn says(command: &str, expected: &[&str]) {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    let mut output = rpcclient(&subject, subject.user("admin"), command).success().never_says("NT_STATUS");
    for text in expected {
        output = output.says(text);
    }
}

#[test]
fn rpcclient_srvinfo() {
    says("srvinfo", &["TESTED", "platform_id"]);
}

#[test]
fn rpcclient_netshareenum() {
    says("netshareenum 1", &["netname: data"]);
    says("netshareenumall 2", &["netname: data", "netname: IPC$"]);
}

#[test]
fn rpcclient_netsharegetinfo() {
    says("netsharegetinfo data 2", &["netname: data", "path:"]);
}

#[test]
fn rpcclient_netremotetod() {
    says("netremotetod", &[]);
}

#[test]
fn rpcclient_netsessenum() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 asks for BUILTIN\\Administrators, which needs winbindd");
    }
    rpcclient(&subject, subject.user("admin"), "netsessenum").success().says("Received 1 entries");
}

#[test]
fn rpcclient_netfileenum() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 asks for BUILTIN\\Administrators, which needs winbindd");
    }
    rpcclient(&subject, subject.user("admin"), "netfileenum").success();
}

#[test]
fn rpcclient_netconnenum() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 asks for BUILTIN\\Administrators, which needs winbindd");
    }
    rpcclient(&subject, subject.user("admin"), "netconnenum IPC$").success();
}

#[test]
fn rpcclient_netsessdel_of_nobody() {
    let Some(subject) = Subject::with(&["rpcclient"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 asks for BUILTIN\\Administrators, which needs winbindd");
    }
    let output = rpcclient(&subject, subject.user("admin"), r"netsessdel \\192.0.2.1 nobody-here");
    output.never_says("NT_STATUS");
}

#[test]
fn samba_net_rpc_share() {
    let Some(subject) = Subject::with(&["net", "root"]) else { return };
    net_rpc(&subject, subject.user("admin"), &["share", "list"]).success().says("data").says("IPC$");
}

#[test]
fn samba_net_rpc_file() {
    let Some(subject) = Subject::with(&["net", "root"]) else { return };
    if subject.is_samba() {
        return skip("Samba 4.17 asks for BUILTIN\\Administrators, which needs winbindd");
    }
    let admin = subject.user("admin");
    net_rpc(&subject, admin, &["file"]).success().says("FileId");
    net_rpc(&subject, admin, &["file", "close", "2147483000"]).never_says("NT_STATUS_IO");
    net_rpc(&subject, subject.user("alice"), &["file"]).never_says("FileId");
}
