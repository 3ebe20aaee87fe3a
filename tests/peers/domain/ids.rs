//! Unix ids of users and groups of the domain who have not logged on.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use testkit::{Domain, shareward_binary};

use super::files::acl;
use super::{LOGGED_MAX, Member};

/// A file of the administrator, who may give it to others.
fn owned_file(member: &Member) -> (testkit::Tickets, std::path::PathBuf) {
    let administrator = member.host().log_on("Administrator");
    member.smbclient(&administrator, "data", &[], "put /etc/hosts owned").success();
    (administrator, member.share_dir("data").join("owned"))
}

/// The list of `shareward domain ids`.
fn ids(member: &Member) -> String {
    let config = member.shareward().config().display().to_string();
    let program = shareward_binary().display().to_string();
    member.host().run(&[&program, "domain", "ids", "--config", &config]).success().stdout
}

#[test]
fn owners_who_have_not_logged_on_have_the_ids_of_winbind() {
    let Some(domain) = Domain::with(&["smbcacls"]) else { return };
    // Ours would give them other ids.
    let settings = "\n[domain]\nrealm = \"CORP.TEST\"\nids = \"auto\"\n";
    let member = Member::ours_on(domain.member(), settings);
    member.start_winbind();
    let (administrator, path) = owned_file(&member);
    let owners = || fs::metadata(&path).map(|it| (it.uid(), it.gid())).expect("the file");
    acl(&member, &administrator, "owned", &["--chown", "CORP\\dave"]);
    assert_eq!(owners().0, domain.id("dave"));
    assert!(
        acl(&member, &administrator, "owned", &[]).contains(&String::from("OWNER:CORP\\dave")),
        "the owner as it was set"
    );
    // Ids that local programs have set.
    fs::remove_file(&path).expect("remove the file");
    fs::write(&path, "text").expect("write a file");
    chown(&path, Some(domain.id("erin")), Some(domain.id("helpdesk"))).expect("chown");
    let shown = acl(&member, &administrator, "owned", &[]);
    for line in ["OWNER:CORP\\erin", "GROUP:CORP\\helpdesk"] {
        assert!(shown.contains(&String::from(line)), "{shown:?}");
    }
    // The groups of a user who logs on are known, too.
    let carol = member.host().log_on("carol");
    member.smbclient(&carol, "data", &[], "ls").success();
    let started = std::time::Instant::now();
    let listed = || ids(&member);
    while !listed().contains(&domain.id("staff").to_string()) {
        assert!(started.elapsed() < LOGGED_MAX, "{}", listed());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn owners_whom_winbind_does_not_know_have_the_ids_of_the_rule() {
    let Some(domain) = Domain::with(&["smbcacls"]) else { return };
    let member = Member::ours(domain, "");
    let (administrator, path) = owned_file(&member);
    acl(&member, &administrator, "owned", &["--chown", "CORP\\frank"]);
    assert_eq!(fs::metadata(&path).expect("the file").uid(), domain.id("frank"));
}

#[test]
fn autorid_gives_the_ids_of_sambas_autorid() {
    let Some(domain) = Domain::with(&["smbcacls"]) else { return };
    let settings = "\n[domain]\nrealm = \"CORP.TEST\"\nids = \"autorid\"\n\
                    id_ranges = [{ first = 1000000, last = 1999999 }]\n";
    let member = Member::ours_on(domain.member(), settings);
    let host = member.host();
    let conf = host.file("/etc/samba/smb.conf");
    let text = fs::read_to_string(&conf).expect("read smb.conf");
    let lines = text.lines().filter(|line| !line.contains("idmap config"));
    let autorid = "\tidmap config * : backend = autorid\n\tidmap config * : range = 1000000-1999999";
    let lines = lines.map(|line| if line == "[global]" { format!("{line}\n{autorid}") } else { line.into() });
    fs::write(&conf, lines.collect::<Vec<_>>().join("\n")).expect("write smb.conf");
    member.start_winbind();
    let (administrator, path) = owned_file(&member);
    acl(&member, &administrator, "owned", &["--chown", "CORP\\dave"]);
    let sid = domain.sid("dave");
    let sambas = host.run(&["wbinfo", "--sid-to-uid", &sid]).success().stdout;
    assert_eq!(fs::metadata(&path).expect("the file").uid().to_string(), sambas.trim());
    let listed = ids(&member);
    assert!(listed.contains("CORP"), "{listed}");
}
