//! `shareward check` reports everything that will not work, in one run.

use std::fs;
use std::path::Path;
use std::process::Command;

const HASH: &str =
    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-5F000000:";

fn check(directory: &Path, more: &str, users: &str) -> (bool, String) {
    let config = directory.join("shareward.toml");
    let place = directory.display();
    fs::write(
        &config,
        format!(
            "[server]\nusers_file = \"{place}/users\"\nstate_dir = \"{place}\"\n{more}\n\n[[share]]\nname = \"data\"\n\
             path = \"{place}\"\n"
        ),
    )
    .unwrap();
    fs::write(directory.join("users"), users).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_shareward")).arg("check").arg(&config).output().unwrap();
    let told = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8(told).unwrap())
}

#[test]
fn a_correct_configuration_has_no_problems() {
    let directory = tempfile::tempdir().unwrap();
    let users = format!("ann:1000:{HASH}\n");
    let (good, told) = check(directory.path(), "unix_identities = false", &users);
    assert!(good && told.contains("no problems found (1 share, 1 user)"), "{told}");
}

#[test]
fn missing_users_groups_and_directories_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("machine-sid"), "").unwrap();
    let users = format!("no-unix-account-of-this-name:1000:{HASH}\nroot:0:{HASH}\n");
    let more = "administrators = [\"chief\"]\nunix_identities = true\n\
                [[role]]\nallow = \"view\"\nusers = [\"viewer\"]\ngroups = [\"no-such-group-1\"]\nshares = [\"nope\"]\n\
                [[share]]\nname = \"other\"\npath = \"/\"\nusers = [\"@office\", \"ghost\", \"ROOT\"]\n\
                grants = [{ group = \"no-such-group-2\", right = \"read\" }, { user = \"spook\", right = \"read\" }, \
                { user = \"everyone\", right = \"read\" }]\n";
    let (good, told) = check(directory.path(), more, &users);
    assert!(!good, "{told}");
    for name in [
        "administrator chief",
        "user viewer",
        "no-such-group-1",
        "share nope",
        "user @office",
        "group = \"office\"",
        "user ghost",
        "no-such-group-2",
        "user spook",
        "user no-unix-account-of-this-name has no Unix account",
        "machine-sid: not a machine's SID",
    ] {
        assert!(told.contains(name), "{name} is not in {told}");
    }
    assert!(!told.contains("ROOT") && !told.contains("everyone"), "{told}");
}

#[test]
fn all_unknown_keys_are_reported_and_the_file_is_named_once() {
    let directory = tempfile::tempdir().unwrap();
    let (good, told) = check(directory.path(), "nmae = \"x\"\nlisen = []\nsigning = \"maybe\"", "");
    assert!(!good && ["nmae", "lisen", "signing is one of"].iter().all(|it| told.contains(it)), "{told}");
    let (good, told) = check(directory.path(), "", "ann:x\n");
    assert!(!good && told.matches("/users").count() == 1, "{told}");
}
