//! The restrictions that the server puts on itself (`docs/hardening.md`), while clients of other projects use it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testkit::peer::smbclient;
use testkit::{RunAs, Setup, Shareward, Subject, is_root, need, skip};

use crate::reload::reconfigure;

/// The values of a field of all threads of a process.
fn of_threads(process: u32, field: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the threads");
    let value = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    // A thread may end meanwhile.
    threads
        .flatten()
        .filter_map(|thread| value(&fs::read_to_string(thread.path().join("status")).ok()?))
        .collect()
}

/// The sandbox in the answer of `net config server --json`.
fn reported(server: &Shareward) -> serde_json::Value {
    let output = server.net(&["config", "server", "--json"]).success();
    let answer: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    answer["settings"]["sandbox"].clone()
}

#[test]
fn all_threads_have_the_filter_and_no_further_capabilities() {
    let run_as = if is_root() { RunAs::Root } else { RunAs::Ordinary };
    let server = Shareward::start(&Setup { run_as, ..Setup::default() });
    let filters = of_threads(server.pid(), "Seccomp");
    assert!(filters.len() > 4 && filters.iter().all(|mode| mode == "2"), "{filters:?}");
    assert!(of_threads(server.pid(), "NoNewPrivs").iter().all(|flag| flag == "1"));
    let reported = reported(&server);
    assert_eq!(reported["mode"], "on", "{reported}");
    let names = reported["capabilities"].as_array().expect("an array").len();
    for sets in ["CapPrm", "CapBnd"].map(|set| of_threads(server.pid(), set)) {
        for set in sets {
            let bits = u64::from_str_radix(&set, 16).expect("a set of capabilities");
            let is_limited = usize::try_from(bits.count_ones()).is_ok_and(|count| count <= names);
            assert!(!is_root() || is_limited, "{set} {reported}");
        }
    }
}

#[test]
fn sandbox_can_be_off() {
    let server = Shareward::start(&Setup { extra: "sandbox = \"off\"\n".into(), ..Setup::default() });
    assert_eq!(reported(&server)["mode"], "off");
    // The test itself may run under a filter.
    let own = of_threads(std::process::id(), "Seccomp");
    assert!(of_threads(server.pid(), "Seccomp").iter().all(|mode| own.contains(mode)));
}

#[test]
fn strict_sandbox_serves_its_shares_and_refuses_new_ones() {
    if !need(&["smbclient"]) {
        return;
    }
    let server = Shareward::start(&Setup { extra: "sandbox = \"strict\"\n".into(), ..Setup::default() });
    if reported(&server)["landlock"].as_str().is_some_and(|state| state.starts_with("none")) {
        return skip("the kernel has no Landlock");
    }
    let subject = Subject::Shareward(server);
    let Subject::Shareward(server) = &subject else { return };
    let alice = subject.user("alice");
    let run = |commands: &str| smbclient(&subject, alice, "data", &[], commands);
    run("mkdir a; mkdir b; put /etc/hostname a/one; rename a/one b/two; get b/two /dev/null; del b/two")
        .success();
    // Accounts and shares are still written to their files.
    server.net(&["users", "bob", "/active:no"]).success();
    server.net(&["share", "other", "/remark:changed"]).success();

    let inside = subject.share_dir("data").join("a");
    server.net(&["share", &share("inside", &inside), "/grant:Everyone,FULL"]).success();
    smbclient(&subject, alice, "inside", &[], "put /etc/hostname three; ls").says("three");

    let place = tempfile::tempdir().expect("a directory");
    let outside = place.path().join("outside");
    open_to_all(&outside);
    open_to_all(place.path());
    let refused = server.net(&["share", &share("outside", &outside)]).failure();
    refused.says("restart the server").says("System error 50");
    let config = fs::read_to_string(server.config()).expect("the configuration");
    assert!(!config.contains("outside"), "{config}");

    // A share that comes with the configuration file shows the reason.
    let table = format!("[[share]]\nname = \"late\"\npath = {:?}\n\n[[share]]\nname = \"other\"", outside);
    reconfigure(server, "[[share]]\nname = \"other\"", &table);
    server.net(&["share", "late"]).says("outside of the server's sandbox");
    smbclient(&subject, alice, "late", &[], "ls").failure();
    run("ls").success();
}

fn share(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn open_to_all(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).expect("open to all");
}
