//! Grants and roles for users and groups of the domain.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use testkit::peer::PYTHON;
use testkit::{Domain, Tickets, repository};

use super::Member;
use super::commands::ask;

/// Nothing that a test waits for takes as long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that has a file open; dropping it ends the client.
pub(super) struct Holder(Child);

impl Holder {
    /// Opens a file of a share with impacket and returns when it is open.
    pub(super) fn start(member: &Member, user: &str, share: &str, file: &str) -> Self {
        let host = member.host();
        let tickets = host.log_on(user);
        host.run_as(&tickets, &["kvno", "-q", &member.service("cifs")]).success();
        let script = repository().join("tests/peers/domain.py").display().to_string();
        let address = host.address().to_string();
        let words = ["-B", &script, &host.full_name(), &address, user, "holds", share, file];
        let mut client = host.command_as(&tickets, PYTHON, &words);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().expect("start Python");
        let mut said = String::new();
        BufReader::new(client.stdout.as_mut().expect("a pipe")).read_line(&mut said).expect("a line");
        assert_eq!(said, "open\n");
        Self(client)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The ids and paths of the open files, as an administrator of the machine sees them.
fn opens(member: &Member) -> Vec<(String, String)> {
    let said = member.shareward().net(&["file"]).success().stdout;
    let lines = said.lines().filter(|line| line.contains("/held-"));
    let words = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.map(|words| (words[0].clone(), words[1].clone())).collect()
}

/// `net rpc file close` of Samba, with a ticket.
fn close(member: &Member, tickets: &Tickets, id: &str) -> testkit::Output {
    let name = member.host().full_name();
    member
        .host()
        .run_as(tickets, &["net", "rpc", "file", "close", id, "-S", &name, "--use-kerberos=required"])
}

const ROLES: &str = "\n[[role]]\nallow = \"close\"\ngroups = ['CORP\\helpdesk']\nshares = [\"data\"]\n";

#[test]
fn a_group_of_the_domain_closes_files_of_one_share() {
    let Some(domain) = Domain::with(&["net", "python:impacket"]) else { return };
    let member = Member::ours(domain, ROLES);
    let _inside = Holder::start(&member, "erin", "data", "held-inside");
    let _outside = Holder::start(&member, "erin", "other", "held-outside");
    let found = opens(&member);
    let id = |name: &str| found.iter().find(|it| it.1.ends_with(name)).expect("the open").0.clone();
    let (carol, dave) = (member.host().log_on("carol"), member.host().log_on("dave"));
    close(&member, &dave, &id("held-inside"));
    close(&member, &carol, &id("held-outside"));
    assert_eq!(opens(&member).len(), 2);
    close(&member, &carol, &id("held-inside")).success();
    let left = opens(&member);
    assert!(left.len() == 1 && left[0].1.ends_with("held-outside"), "{left:?}");
    member.logs(&["audit", "CORP\\\\carol"]);
}

/// erin is in staff, carol is in staff through helpdesk, dave is in neither.
#[test]
fn grants_name_users_and_nested_groups_of_the_domain() {
    let Some(domain) = Domain::with(&[]) else { return };
    let grants = "grants = [{ group = 'CORP\\staff', right = \"change\" }, { user = 'frank@corp.test', right = \"read\" }]";
    let member = Member::ours_with(domain, |setup| setup.extra_share = grants.into());
    let run = |user: &str, commands: &str| {
        let tickets = member.host().log_on(user);
        member.smbclient(&tickets, "data", &[], commands)
    };
    run("erin", "put /etc/hosts by-erin").success();
    run("carol", "put /etc/hosts by-carol; get by-erin -").success();
    run("frank", "get by-erin -").success();
    run("frank", "put /etc/hosts by-frank").failure().says("ACCESS_DENIED");
    run("dave", "ls").failure().says("ACCESS_DENIED");
}

/// Users and groups of the domain are members of a group of the server; carol is in staff through helpdesk.
#[test]
fn groups_of_the_server_have_members_of_the_domain() {
    let Some(domain) = Domain::with(&[]) else { return };
    let group = "\n[[group]]\nname = \"editors\"\n";
    let member = Member::ours_with(domain, |setup| {
        setup.extra = format!("{}{group}", setup.extra);
        setup.extra_share = String::from("grants = [{ group = 'editors', right = \"change\" }]");
    });
    let net = |words: &[&str]| member.shareward().net(words);
    let run = |user: &str| {
        let tickets = member.host().log_on(user);
        member.smbclient(&tickets, "data", &[], &format!("put /etc/hosts by-{user}"))
    };
    run("dave").failure().says("ACCESS_DENIED");
    net(&["localgroup", "editors", "CORP\\staff", "CORP\\dave", "/add"]).success();
    net(&["localgroup", "editors"]).success().says("CORP\\dave").says("CORP\\staff");
    for user in ["carol", "dave", "erin"] {
        run(user).success();
    }
    run("frank").failure().says("ACCESS_DENIED");
    net(&["localgroup", "editors", "CORP\\nobody-here", "/add"]).failure().says("1387");
    net(&["localgroup", "editors", "CORP\\staff", "/delete"]).success();
    run("erin").failure().says("ACCESS_DENIED");
    run("dave").success();
}

#[test]
fn only_members_of_the_logon_groups_log_on() {
    let Some(domain) = Domain::with(&[]) else { return };
    let member = Member::ours(domain, "logon_groups = ['CORP\\staff']\n");
    let run = |user: &str| {
        let tickets = member.host().log_on(user);
        member.smbclient(&tickets, "data", &[], "ls")
    };
    run("carol").success();
    run("dave").failure();
    member.logs(&["audit", "logon refused", "dave", "logon_groups"]);
}

/// The sessions of users who may no longer log on end with the change of the settings; the others go on.
#[test]
fn sessions_of_users_who_leave_the_logon_groups_end() {
    const BEFORE: &str = "logon_groups = ['CORP\\Domain Users']";
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::ours(domain, &format!("{BEFORE}\n"));
    let _stays = Holder::start(&member, "erin", "data", "held-by-staff");
    let _goes = Holder::start(&member, "dave", "data", "held-by-dave");
    assert_eq!(opens(&member).len(), 2);
    crate::reload::reconfigure(member.shareward(), BEFORE, "logon_groups = ['CORP\\staff']");
    // The members of the new group are asked of the domain.
    let started = Instant::now();
    while opens(&member).len() > 1 {
        assert!(started.elapsed() < PATIENCE, "{:?}", opens(&member));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(opens(&member)[0].1.ends_with("held-by-staff"), "{:?}", opens(&member));
}

/// A local account is another user than the domain's user of the same name.
#[test]
fn local_accounts_and_users_of_the_domain_never_mix() {
    let Some(domain) = Domain::with(&["python:impacket"]) else { return };
    let member = Member::ours_with(domain, |setup| {
        setup.users.push(testkit::User {
            name: "carol".into(),
            password: "Local-secret 1".into(),
            administrator: false,
        });
    });
    let host = member.host();
    let (name, address) = (host.full_name(), format!("//{}/data", host.address()));
    let local = |commands: &str| {
        let login = "FILES\\carol%Local-secret 1";
        host.run(&["smbclient", "--use-kerberos=off", &address, "-U", login, "-c", commands])
    };
    local("put /etc/hosts of-local-carol").success();
    let tickets = host.log_on("carol");
    member.smbclient(&tickets, "data", &[], "put /etc/hosts of-domain-carol").success();
    let owner = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(member.share_dir("data").join(name)).expect("the file").uid()
    };
    assert_eq!(owner("of-domain-carol"), domain.id("carol"));
    assert_ne!(owner("of-local-carol"), domain.id("carol"));
    // The local carol's lists and closes do not reach the opens of CORP\carol.
    let _held = Holder::start(&member, "carol", "data", "held-by-domain-carol");
    let found = opens(&member);
    assert_eq!(found.len(), 1);
    let of_local = ["net", "rpc", "file", "close", &found[0].0, "-S", &host.address().to_string()];
    host.run(&[&of_local[..], &["--use-kerberos=off", "-U", "FILES\\carol%Local-secret 1"]].concat());
    assert_eq!(opens(&member), found);
    let mine =
        |words: &[&str]| ask(host, &tickets, &[&["file", "--mine", "--server", &name], words].concat());
    mine(&[]).success().says("held-by-domain-carol");
    mine(&["--path", "held-by", "--close", "/yes"]).success();
    assert!(opens(&member).is_empty());
    let sessions = member.shareward().net(&["session", "--user", "CORP\\carol", "--json"]).success();
    sessions.never_says("\"user\": \"carol\"");
}
