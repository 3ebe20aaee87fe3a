//! Mounts of the Linux kernel's client with tickets, which its helper `cifs.upcall` takes from the user's cache.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use testkit::peer::KERNEL_CLIENT_NEEDS;
use testkit::{Domain, repository, run};

use super::Member;

/// The machine boots in seconds; the first time, its kernel is fetched.
const KERNEL_MAX: Duration = Duration::from_secs(180);

#[test]
fn the_kernel_mounts_with_a_ticket() {
    let needs = [KERNEL_CLIENT_NEEDS, &["cifs.upcall", "mount.cifs"]].concat();
    let Some(domain) = Domain::with(&needs) else { return };
    let member = Member::start(domain);
    let host = member.host();
    let machine = repository().join("tools/kernel-client.sh");
    let mut prepare = Command::new(&machine);
    prepare.arg("prepare");
    run(prepare, b"", KERNEL_MAX).success();
    let carol = host.log_on("carol");
    host.run_as(&carol, &["kvno", "-q", &member.service("cifs")]).success();
    // The helper runs as root, without the environment of the one who mounts.
    host.run_as(&carol, &["sh", "-c", "cp \"${KRB5CCNAME#FILE:}\" /run/krb5cc_0"]).success();
    let mut client = host.command(&machine);
    // The place of what was fetched.
    for name in ["HOME", "XDG_CACHE_HOME"] {
        if let Some(place) = std::env::var_os(name) {
            client.env(name, place);
        }
    }
    client.args(["445", "data", "carol", "-", "-", &host.full_name()]).env("KC_OPTS", "none");
    client.env("KC_HOST", host.address().to_string());
    let said = run(client, include_bytes!("kernel.sh"), KERNEL_MAX).success();
    for options in ["sec=krb5i", "sec=krb5", "sec=krb5i,seal", "sec=krb5i,vers=2.1"] {
        assert!(said.stdout.contains(&format!("with {options}: done")), "{said}");
    }
    let written = std::fs::metadata(member.share_dir("data").join("by-kernel")).expect("the file");
    assert_eq!(written.uid(), domain.id("carol"));
}
