//! `shareward init` and `shareward doctor` of an ordinary user, with switches only.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn shareward(words: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn init(directory: &Path, more: &[&str], input: &str) -> (Option<i32>, String) {
    let output = directory.join("server");
    let mut words = vec!["init", "--yes", "--output", output.to_str().unwrap(), "--listen", "127.0.0.1:4459"];
    words.extend(more);
    shareward(&words, input)
}

#[test]
fn init_with_switches_asks_only_for_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let share = format!("data={}/a b", directory.path().display());
    let more = ["--share", &share, "--user", "first-user", "--user", "second-user", "--read-only"];
    let (code, told) = init(directory.path(), &more, "pass 1\npass 2\n");
    assert_eq!(code, Some(0), "{told}");
    assert!(directory.path().join("a b").is_dir());
    let config = directory.path().join("server/shareward.toml");
    for words in [config.to_str().unwrap(), "shareward serve --config", "smb://", ":4459/data"] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    let text = fs::read_to_string(&config).unwrap();
    assert!(
        text.contains("users = [\"first-user\", \"second-user\"]") && text.contains("read_only = true"),
        "{text}"
    );
    let users = fs::read_to_string(directory.path().join("server/users")).unwrap();
    assert_eq!(users.lines().count(), 2);

    let (code, told) = init(directory.path(), &more, "other\nother\n");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("exists already"), "{told}");
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    assert_eq!(fs::read_to_string(directory.path().join("server/users")).unwrap(), users);
}

#[test]
fn init_that_cannot_finish_writes_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let good = format!("data={}/data", directory.path().display());
    let file = format!("data={}/file", directory.path().display());
    for (more, input, words) in [
        (vec!["--guest"], "", "--yes requires --share"),
        (vec!["--share", &good], "", "nobody could log on"),
        (vec!["--share", "data"], "", "NAME=DIRECTORY"),
        (vec!["--share", "a/b=/srv", "--guest"], "", "share name"),
        (vec!["--share", &file, "--guest"], "", "is not a directory"),
        (vec!["--share", &good, "--user", "a:b"], "x\n", "not acceptable"),
        (vec!["--share", &good, "--user", "ann"], "", "contains no password"),
    ] {
        let (code, told) = init(directory.path(), &more, input);
        assert_eq!(code, Some(1), "{more:?}: {told}");
        assert!(told.contains(words), "{words} is not in {told}");
        assert!(!directory.path().join("server/shareward.toml").exists());
    }
}

#[test]
fn doctor_reports_errors_of_the_configuration_with_their_commands() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("shareward.toml");
    let place = directory.path().display();
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:4459\"]\nusers_file = \"users\"\nstate_dir = \"state\"\nunix_identities = true\n\
         [[share]]\nname = \"data\"\npath = \"{place}\"\n[[share]]\nname = \"gone\"\npath = \"{place}/gone\"\n"
    );
    fs::write(&config, text).unwrap();
    let hash =
        "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-5F000000:";
    fs::write(directory.path().join("users"), format!("no-such-unix-user:1000:{hash}\n")).unwrap();
    let config = config.to_str().unwrap();
    let (code, told) = shareward(&["doctor", "--config", config], "");
    assert_eq!(code, Some(1), "{told}");
    for words in [
        "error: configuration: user no-such-unix-user has no Unix account",
        "fix: useradd no-such-unix-user",
        "share gone",
        "why: ",
        "disk: share data",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    let (code, told) = shareward(&["doctor", "--config", config, "--json"], "");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("\"doctor\"") && told.contains("\"severity\": \"error\""), "{told}");
    let (code, told) = shareward(&["doctor", "extra"], "");
    assert_eq!(code, Some(2), "{told}");
}
