//! `net share` about other servers: permissions, and creating, changing and deleting shares.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use auth::Credentials;
use client::{Administration as _, Remote, SrvsClient};
use control::{Grant, GrantRight, NewShare, ShareChange};
use testkit::peer::{rpcclient, smbclient};
use testkit::{Samba, Setup, Shareward, Subject, need, run, skip};

use crate::remote::{ALICE, COMMAND_MAX, ROOT, Transcript, setup};

/// The script that Samba runs to change shares, with the configuration and a share's name, path, remark and uses.
const SCRIPT: &str = r#"#!/bin/sh
set -e
action=$1 config=$2 name=$3
awk -v section="[$name]" '/^\[/ { skip = ($0 == section) } !skip' "$config" > "$config.new"
if [ "$action" != delete ]; then
    printf '\n[%s]\npath = %s\ncomment = %s\nmax connections = %s\nread only = no\n' \
        "$name" "$4" "$5" "$6" >> "$config.new"
fi
cat "$config.new" > "$config"
"#;

/// Samba that can change its shares, and the directory that its script is in.
fn samba_with_scripts() -> Option<(Samba, tempfile::TempDir)> {
    if !need(&["root", "smbd", "net", "pdbedit", "unshare"]) {
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("share");
    fs::write(&script, SCRIPT).expect("write");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("chmod");
    let script = script.display();
    let extra_samba = format!(
        "add share command = {script} add\nchange share command = {script} change\n\
         delete share command = {script} delete"
    );
    let samba = Samba::start(&Setup { extra_samba, ..setup() });
    samba.make_administrator(ROOT.0);
    Some((samba, directory))
}

fn samba() -> Option<Samba> {
    if !need(&["root", "smbd", "net", "pdbedit", "unshare"]) {
        return None;
    }
    let samba = Samba::start(&setup());
    samba.make_administrator(ROOT.0);
    Some(samba)
}

/// A directory of the server's that no share shows.
fn unshared(scratch: PathBuf) -> PathBuf {
    let directory = scratch.join("made");
    fs::create_dir(&directory).expect("a directory");
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).expect("chmod");
    directory
}

#[test]
fn samba_makes_changes_and_deletes_a_share() {
    let Some((samba, _scripts)) = samba_with_scripts() else { return };
    let at = format!("--server root@{}", samba.address());
    let directory = unshared(samba.scratch());
    let mut seen = Transcript::new(samba.address());
    seen.hide(directory.display().to_string(), "/MADE");
    seen.hide(directory.display().to_string().replace('/', "\\"), r"\MADE");
    let path = directory.display();
    seen.run(&format!("share made={path} /remark:first /users:7 /grant:alice,READ {at}"), ROOT, "");
    seen.run(&format!("share made {at}"), ROOT, "");
    seen.run(&format!("share made={path} {at}"), ROOT, "");
    seen.run(&format!("share made /remark:second /users:9 /grant:alice,CHANGE {at}"), ROOT, "");
    seen.run(&format!("share made {at}"), ROOT, "");
    seen.run(&format!("share made /delete /y {at}"), ROOT, "");
    seen.run(&format!("share made {at}"), ROOT, "");
    seen.run(&format!("share made /delete /y {at}"), ROOT, "");
    let alice = format!("--server alice@{}", samba.address());
    seen.run(&format!("share made={path} {alice}"), ALICE, "");
    seen.run(&format!("share data /remark:x {alice}"), ALICE, "");
    seen.run(&format!("share data /grant:alice,FULL {alice}"), ALICE, "");
    seen.run(&format!("share data /delete /y {alice}"), ALICE, "");
    insta::assert_snapshot!(seen.text);
}

#[test]
fn samba_without_scripts_refuses_changes() {
    let Some(samba) = samba() else { return };
    let at = format!("--server root@{}", samba.address());
    let directory = unshared(samba.scratch());
    let mut seen = Transcript::new(samba.address());
    seen.hide(directory.display().to_string(), "/MADE");
    seen.run(&format!("share made={} {at}", directory.display()), ROOT, "");
    seen.run(&format!("share data /remark:x {at}"), ROOT, "");
    seen.run(&format!("share data /delete /y {at}"), ROOT, "");
    insta::assert_snapshot!(seen.text);
}

/// Set by us, and seen by Samba's own program; set by that, and seen by us.
#[test]
fn samba_reports_and_accepts_permissions() {
    let Some(samba) = samba() else { return };
    let at = format!("--server root@{}", samba.address());
    let mut seen = Transcript::new(samba.address());
    seen.hide(samba.share_dir("").to_string_lossy().trim_end_matches('/').replace('/', "\\"), r"\SHARES");
    // In the form of JSON.
    seen.hide(samba.share_dir("").to_string_lossy().trim_end_matches('/').replace('/', "\\\\"), r"\\SHARES");
    seen.run(&format!("share data {at}"), ROOT, "");
    seen.run(
        &format!("share data /grant:alice,CHANGE /grant:TESTED\\bob,READ /grant:Everyone,READ {at}"),
        ROOT,
        "",
    );
    seen.run(&format!("share data {at}"), ROOT, "");
    let sharesec = |arguments: &[&str]| {
        let mut tool = samba.tool("sharesec");
        tool.args(arguments);
        run(tool, b"", COMMAND_MAX).success()
    };
    let told = sharesec(&["-v", "data"]).says("S-1-1-0:ALLOWED/0x0/READ").stdout;
    assert_eq!(told.matches("ALLOWED/0x0/RWXD").count(), 1, "{told}");
    assert_eq!(told.matches("ALLOWED/0x0/READ").count(), 2, "{told}");
    let unusual = "S-1-5-21-1-2-3-1234:DENIED/0x0/FULL,S-1-5-32-544:ALLOWED/0x0/FULL,\
                   S-1-22-2-0:ALLOWED/0x0/READ,S-1-1-0:ALLOWED/0x0/0x00120089";
    sharesec(&["data", "-R", unusual]);
    seen.run(&format!("share data {at}"), ROOT, "");
    seen.run(&format!("share data --json {at}"), ROOT, "");
    seen.run(&format!("share data /grant:nobody-here,READ {at}"), ROOT, "");
    seen.run(&format!("share data {at}"), ROOT, "");
    insta::assert_snapshot!(seen.text);
}

/// Our own server as one that has only MS-SRVS: its permissions travel both ways, groups too.
#[tokio::test]
async fn our_own_server_reports_and_accepts_permissions() {
    let server = Shareward::start(&setup());
    let place = server.address().to_string().parse().expect("a place");
    let client = SrvsClient::new(Remote::new(place, Credentials::password(ROOT.0, "", ROOT.1)));
    let grant = |who: Grant, right| Grant { right, ..who };
    let everyone = vec![grant(Grant::of_user("Everyone"), GrantRight::Full)];
    assert_eq!(client.share("data").await.expect("the share").grants, Some(everyone));

    let change = |grants| ShareChange { grants: Some(grants), ..ShareChange::default() };
    let asked = vec![
        grant(Grant::of_user("alice"), GrantRight::Change),
        grant(Grant::of_group("root"), GrantRight::Read),
        grant(Grant::of_user("Everyone"), GrantRight::Read),
    ];
    let mut told = asked.clone();
    told[0].user = r"TESTED\alice".into();
    told[1].group = Some(r"Unix Group\root".into());
    let mut by_group = change(asked);
    // A name alone may be a user's; the group's name identifies it.
    by_group.grants.as_mut().expect("grants")[1].group = Some(r"Unix Group\root".into());
    let share = client.change_share("data", &by_group).await.expect("changed");
    assert_eq!(share.grants.as_ref(), Some(&told));
    let config = fs::read_to_string(server.config()).expect("the configuration");
    assert!(config.contains("{ user = \"alice\", right = \"change\" }"), "{config}");
    assert!(config.contains("{ group = \"root\", right = \"read\" }"), "{config}");

    let directory = unshared(server.scratch());
    let share = NewShare {
        name: "made".into(),
        path: directory.display().to_string(),
        settings: by_group.clone(),
        ..NewShare::default()
    };
    assert_eq!(client.add_share(&share).await.expect("made").grants, Some(told));
    let nobody = change(vec![Grant::of_user("nobody-here")]);
    assert_eq!(client.change_share("made", &nobody).await.expect_err("nobody").number(), 1332);
    client.delete_share("made").await.expect("deleted");
}

#[test]
fn groups_have_the_rights_of_their_grants() {
    let Some(subject) = Subject::with(&["smbclient", "rpcclient", "root"]) else { return };
    let Subject::Shareward(server) = &subject else { return skip("it looks at our configuration file") };
    let admin = subject.user("admin");
    let at = format!("--server admin@{}", subject.address());
    let mut seen = Transcript::new(subject.address());
    seen.hide(subject.share_dir("").to_string_lossy().trim_end_matches('/').to_owned(), "/SHARES");
    let admins = (admin.name.as_str(), admin.password.as_str());
    seen.run(&format!("share other /grant:@no-such-group,READ {at}"), admins, "");
    seen.run(&format!("share other /grant:@root,CHANGE /grant:alice,READ {at}"), admins, "").success();
    seen.run(&format!("share other {at}"), admins, "");
    let config = fs::read_to_string(server.config()).expect("the configuration");
    assert!(config.contains("{ group = \"root\", right = \"change\" }"), "{config}");
    // Neither bob nor the administrator is in that group, and users without a grant are refused.
    smbclient(&subject, subject.user("alice"), "other", &[], "ls").success();
    smbclient(&subject, subject.user("bob"), "other", &[], "ls").says("NT_STATUS_ACCESS_DENIED");
    rpcclient(&subject, admin, "netsharegetinfo other 502").success().says("S-1-22-2-0");
    insta::assert_snapshot!(seen.text);
}

/// The Unix user of that name is in the group.
#[test]
fn members_of_a_group_can_connect() {
    if !need(&["root", "smbclient"]) {
        return;
    }
    let server = Shareward::start(&setup());
    let subject = Subject::Shareward(server);
    let at = format!("--server root@{}", subject.address());
    let mut seen = Transcript::new(subject.address());
    seen.run(&format!("share data /grant:@root,READ {at}"), ROOT, "").success();
    smbclient(&subject, subject.user("root"), "data", &[], "ls; mkdir x")
        .says("NT_STATUS_ACCESS_DENIED making remote");
    smbclient(&subject, subject.user("alice"), "data", &[], "ls").says("tree connect failed");
}
