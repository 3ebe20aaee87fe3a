//! Owners and access control lists of the domain's users.

use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::{Domain, Tickets};

use super::Member;

/// The descriptor of a file, as smbcacls prints it, without the lines of its head.
pub(super) fn acl(member: &Member, tickets: &Tickets, file: &str, options: &[&str]) -> Vec<String> {
    let unc = member.unc("data");
    let words = ["smbcacls", "--use-kerberos=required", "--no-pass", &unc, file];
    let said = member.host().run_as(tickets, &[&words, options].concat()).success().stdout;
    let begins = |line: &&str| ["OWNER:", "GROUP:", "ACL:"].iter().any(|word| line.contains(word));
    // The first line follows the question for a password, which smbcacls asks despite its option.
    let lines = said.lines().filter(begins).map(|line| line.rsplit("]:").next().unwrap_or(line));
    // Samba writes "Creator Owner", Windows and ours "CREATOR OWNER".
    let mut lines: Vec<String> = lines.map(|line| line.replace("Creator Owner", "CREATOR OWNER")).collect();
    for line in &mut lines {
        *line = line.replace("Creator Group", "CREATOR GROUP");
    }
    lines.sort();
    lines
}

#[test]
fn smbcacls_shows_and_sets_names_of_the_domain() {
    let Some(domain) = Domain::with(&["smbcacls"]) else { return };
    let member = Member::start(domain);
    let carol = member.host().log_on("carol");
    member.smbclient(&carol, "data", &[], "put /etc/hosts mine").success();
    let owner = fs::metadata(member.share_dir("data").join("mine")).expect("the file");
    assert_eq!((owner.uid(), owner.gid()), (domain.id("carol"), domain.id("Domain Users")));
    let shown = acl(&member, &carol, "mine", &[]);
    assert!(shown.contains(&String::from("OWNER:CORP\\carol")), "{shown:?}");
    assert!(shown.contains(&String::from("GROUP:CORP\\Domain Users")), "{shown:?}");
    acl(&member, &carol, "mine", &["--set", "ACL:CORP\\carol:ALLOWED/0/FULL,ACL:CORP\\staff:ALLOWED/0/READ"]);
    let shown = acl(&member, &carol, "mine", &[]);
    for entry in ["ACL:CORP\\carol:ALLOWED/0x0/FULL", "ACL:CORP\\staff:ALLOWED/0x0/READ"] {
        assert!(shown.contains(&String::from(entry)), "{shown:?}");
    }
    // erin is in the group, dave is not.
    let erin = member.host().log_on("erin");
    member.smbclient(&erin, "data", &[], "get mine -").success();
    let dave = member.host().log_on("dave");
    member.smbclient(&dave, "data", &[], "get mine -").failure().says("ACCESS_DENIED");
}

/// Nested groups count: carol is in staff through helpdesk.
#[test]
fn nested_groups_count_in_descriptors() {
    let Some(domain) = Domain::with(&["smbcacls"]) else { return };
    let member = Member::start(domain);
    let erin = member.host().log_on("erin");
    member.smbclient(&erin, "data", &[], "put /etc/hosts for-staff").success();
    acl(
        &member,
        &erin,
        "for-staff",
        &["--set", "ACL:CORP\\erin:ALLOWED/0/FULL,ACL:CORP\\staff:ALLOWED/0/READ"],
    );
    let carol = member.host().log_on("carol");
    member.smbclient(&carol, "data", &[], "get for-staff -").success();
    let dave = member.host().log_on("dave");
    member.smbclient(&dave, "data", &[], "get for-staff -").failure().says("ACCESS_DENIED");
}

/// Runs a command of smbclient and sets a descriptor, as files of users that work with both servers have them.
fn write_as(member: &Member, user: &str, directory: &str) {
    let tickets = member.host().log_on(user);
    let commands = format!("mkdir {directory}; cd {directory}; put /etc/hosts file; put /etc/hosts shared");
    member.smbclient(&tickets, "data", &[], &commands).success();
    let entries = format!(
        "ACL:CORP\\{user}:ALLOWED/0/FULL,ACL:CORP\\staff:ALLOWED/0/CHANGE,ACL:CORP\\dave:DENIED/0/READ"
    );
    acl(member, &tickets, &format!("{directory}/shared"), &["--set", &entries]);
}

/// Ids of owner and group on the disk, and what smbcacls shows, for each file.
fn seen(member: &Member, directory: &str) -> Vec<(String, (u32, u32), Vec<String>)> {
    let reader = member.host().log_on("carol");
    let of_file = |name: &str| {
        let path = if name.is_empty() { directory.to_owned() } else { format!("{directory}/{name}") };
        let found = fs::metadata(member.share_dir("data").join(&path)).expect("the file");
        (path.clone(), (found.uid(), found.gid()), acl(member, &reader, &path, &[]))
    };
    ["", "file", "shared"].map(of_file).into()
}

#[test]
fn files_keep_owners_and_descriptors_between_samba_and_ours() {
    let Some(domain) = Domain::with(&["smbcacls"]) else { return };
    let samba = Member::samba(domain);
    let tree = samba.share_dir("data").parent().expect("a parent").to_path_buf();
    let ours = Member::ours_with(domain, |setup| setup.tree = Some(tree));
    for (writer, reader, directory) in [(&samba, &ours, "by-samba"), (&ours, &samba, "by-ours")] {
        write_as(writer, "erin", directory);
        let (written, read) = (seen(writer, directory), seen(reader, directory));
        let owners = |files: &[(String, (u32, u32), Vec<String>)]| {
            let of_file = |entries: &Vec<String>| {
                let owners = entries.iter().filter(|entry| !entry.starts_with("ACL"));
                owners.cloned().collect::<Vec<_>>()
            };
            files.iter().map(|it| (it.1, of_file(&it.2))).collect::<Vec<_>>()
        };
        assert_eq!(owners(&written), owners(&read), "{directory}");
        // Without a stored descriptor, each server derives one from the permission bits in its own way.
        assert_eq!(written.last(), read.last(), "{directory}");
        for (path, owner, entries) in &written {
            assert_eq!(*owner, (domain.id("erin"), domain.id("Domain Users")), "{path}");
            assert!(entries.contains(&String::from("OWNER:CORP\\erin")), "{path}: {entries:?}");
        }
        let shared = format!("{directory}/shared");
        let get = |user: &str| {
            let tickets = reader.host().log_on(user);
            reader.smbclient(&tickets, "data", &[], &format!("get {shared} -"))
        };
        get("carol").success();
        get("dave").failure().says("ACCESS_DENIED");
    }
}
