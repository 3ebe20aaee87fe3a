//! The Linux kernel's own client, in a virtual machine that runs as an ordinary process. Its scripts are in the
//! folder `kernel`; long tests run only in `cargo xtask kernel`.

mod lost;
mod nfsd;

use std::time::Duration;

use testkit::peer::{KERNEL_CLIENT_NEEDS, KernelClient};
use testkit::{Output, Subject, find, need, repository};

const EVERYDAY: &str = concat!("set -eu\n", include_str!("everyday.sh"));
const DIALECTS: &str = include_str!("dialects.sh");
const TWO_MOUNTS: &str = include_str!("two_mounts.py");
const DIRECTORIES: &str = include_str!("directories.py");
const FILES: &str = include_str!("files.py");

/// The time limit of tests in `cargo xtask kernel`.
const LONG: Duration = Duration::from_secs(540);

/// Everything that changes the wire: dialect, caching, protection.
const OPTIONS: &[&str] = &[
    "vers=2.1",
    "vers=2.1,cache=none,sign",
    "vers=3.0",
    "vers=3.0,seal",
    "vers=3.1.1,cache=none",
    "vers=3.1.1,sign",
    "vers=3.1.1,seal",
    "vers=3.1.1,nolease",
];

fn run(options: &str, limit: Option<Duration>, script: &str, arguments: &[&str]) -> Option<Output> {
    let subject = Subject::with(KERNEL_CLIENT_NEEDS)?;
    let client = KernelClient::new(&subject, options);
    let client = KernelClient { limit: limit.unwrap_or(client.limit), ..client };
    Some(client.run(script, arguments).success())
}

#[test]
fn everyday_use_in_every_dialect() {
    let Some(output) = run("none", None, &[EVERYDAY, DIALECTS].concat(), OPTIONS) else { return };
    for options in OPTIONS {
        assert!(output.stdout.contains(&format!("with {options}: done")), "{output}");
    }
}

#[test]
fn two_clients() {
    run("none", None, TWO_MOUNTS, &["vers=3.1.1"]).map(|output| output.says("two mounts done"));
}

#[test]
#[ignore = "takes minutes: cargo xtask kernel"]
fn two_clients_in_every_dialect() {
    for options in OPTIONS {
        run("none", Some(LONG), TWO_MOUNTS, &[options]).map(|output| output.says("two mounts done"));
    }
}

#[test]
fn modes_with_the_posix_extensions() {
    let script = concat!("set -eu\n", include_str!("posix.sh"));
    run("posix", None, script, &[]).map(|output| output.says("posix done"));
}

#[test]
fn extended_attributes_and_holes() {
    run("", None, FILES, &[]).map(|output| output.says("xattrs done").says("holes done"));
}

#[test]
fn directories_and_renames() {
    run("", None, DIRECTORIES, &["500", "200"]).map(|output| output.says("renames done"));
}

#[test]
#[ignore = "takes minutes: cargo xtask kernel"]
fn a_large_directory_and_a_rename_storm() {
    for options in ["", "cache=none"] {
        run(options, Some(LONG), DIRECTORIES, &["5000", "5000"]).map(|output| output.says("renames done"));
    }
}

#[test]
fn several_channels() {
    if !need(KERNEL_CLIENT_NEEDS) {
        return;
    }
    let subject = Subject::start(&Default::default());
    let script = [EVERYDAY, include_str!("channels.sh")].concat();
    let options = "vers=3.1.1,multichannel,max_channels=2";
    let client = KernelClient { shares_loopback: true, ..KernelClient::new(&subject, options) };
    client.run(&script, &[]).success().says("channels done");
}

/// fsx: random reads, writes, truncations, holes and mappings of one file, each checked.
fn fsx(options: &str, operations: u32, limit: Option<Duration>) {
    let mut needs = KERNEL_CLIENT_NEEDS.to_vec();
    needs.push("fsx");
    if !need(&needs) {
        return;
    }
    let program = find("fsx").expect("it is needed");
    let script = include_str!("fsx.sh");
    let configuration = repository().join("tests/peers/kernel/fsx.toml");
    let [program, configuration] = [program, configuration].map(|path| path.display().to_string());
    let arguments = [&*program, &*configuration, &*operations.to_string(), &left_out(options)];
    run(options, limit, script, &arguments).map(|output| output.says("fsx done"));
}

/// The operations that this client does not support: without a cache, mappings and writes are not coherent; before
/// SMB 3 it neither punches holes nor lets the server copy.
fn left_out(options: &str) -> String {
    let cannot = [("cache=none", "map.*"), ("vers=2", "punch_hole|copy_file_range")];
    let cannot = cannot.iter().filter(|(option, _)| options.contains(option));
    cannot.map(|(_, operations)| *operations).collect::<Vec<_>>().join("|")
}

#[test]
fn fsx_some_operations() {
    fsx("", 1_500, None);
}

#[test]
#[ignore = "takes minutes: cargo xtask kernel"]
fn fsx_20_000_operations_cached() {
    fsx("cache=strict", 20_000, Some(LONG));
}

#[test]
#[ignore = "takes minutes: cargo xtask kernel"]
fn fsx_20_000_operations_uncached() {
    fsx("cache=none", 20_000, Some(LONG));
}

#[test]
#[ignore = "takes minutes: cargo xtask kernel"]
fn fsx_in_every_dialect() {
    for options in OPTIONS {
        fsx(options, 4_000, Some(LONG));
    }
}

#[test]
fn the_client_follows_symlinks() {
    let mut setup = testkit::Setup::default();
    setup.shares[0].shows_symlinks = true;
    if !need(KERNEL_CLIENT_NEEDS) {
        return;
    }
    let subject = Subject::start(&setup);
    let data = subject.share_dir("data");
    std::fs::create_dir(data.join("d")).expect("mkdir");
    std::fs::write(data.join("d/f"), "text\n").expect("write");
    for name in ["d", "d/f"] {
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(data.join(name), all).expect("chmod");
    }
    for (link, target) in [("file", "d/f"), ("d/up", "../d"), ("nowhere", "d/nothing")] {
        std::os::unix::fs::symlink(target, data.join(link)).expect("symlink");
    }
    let script = include_str!("symlinks.sh");
    KernelClient::new(&subject, "").run(script, &[]).success().says("symlinks done");
}
