//! `shareward import` with configurations that are files of the test.

use std::fs;
use std::path::Path;
use std::process::Command;

fn import(directory: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
    command.arg("import").args(words).current_dir(directory);
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

fn with(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = config.replace("HERE", &directory.path().to_string_lossy());
    fs::write(directory.path().join("smb.conf"), config).unwrap();
    directory
}

const SIMPLE: &str = "[global]\nprivate dir = HERE\n[data]\npath = HERE\nread only = no\n";

#[test]
fn check_reports_every_line_and_its_exit_code_says_if_something_is_missing() {
    let directory = with(&format!("{SIMPLE}delete readonly = yes\nworkgroup = X\n"));
    let (code, out, error) = import(directory.path(), &["samba", "--config", "smb.conf", "--check"]);
    assert_eq!((code, error.as_str()), (3, ""), "{out}");
    let missing = out.find("Not there yet:\n  smb.conf:6: [data] delete readonly = yes\n").unwrap();
    let carried = out.find("Carried over:\n  smb.conf:2: [global] private dir").unwrap();
    let rest = out.find("Not needed:\n  smb.conf:7: [data] workgroup = X\n").unwrap();
    assert!(missing < carried && carried < rest, "{out}");
    assert!(
        out.contains("5 parameters: 3 carried over, 1 not needed, 1 not there yet. 1 share of 1 section."),
        "{out}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was written");

    let (code, out, _) = import(directory.path(), &["samba", "--config", "smb.conf", "--check", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let it = &told["import"];
    assert_eq!((code, it["not_yet"].as_u64()), (3, Some(1)));
    let line = &it["parameters"][3];
    assert_eq!((line["answer"].as_str(), line["line"].as_u64()), (Some("not_yet"), Some(6)), "{line}");
    assert_eq!(
        (line["parameter"].as_str(), line["section"].as_str()),
        (Some("delete readonly"), Some("data"))
    );
    assert_eq!(it["shares"][0]["outcome"], "share");

    let directory = with(SIMPLE);
    assert_eq!(import(directory.path(), &["samba", "--config", "smb.conf", "--check"]).0, 0);
}

#[test]
fn output_directory_has_a_configuration_that_can_be_checked() {
    let directory = with(SIMPLE);
    let hash = "X".repeat(32);
    let list = format!(
        "root:0:{hash}:{}:[U          ]:LCT-5F000000:\npc$:9:{hash}:{hash}:[W          ]:LCT-5F000000:\n",
        "8846F7EAEE8FB117AD06BDD830B7586C"
    );
    fs::write(directory.path().join("list"), list).unwrap();
    let words = ["samba", "--config", "smb.conf", "--users", "list", "--output", "new"];
    let (code, out, error) = import(directory.path(), &words);
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        out.contains("Accounts added, with their passwords (1): root") && out.contains("left out (1): pc$"),
        "{out}"
    );
    assert!(
        out.contains("Written: new/shareward.toml")
            && out.contains("shareward check --config new/shareward.toml"),
        "{out}"
    );
    let check = Command::new(env!("CARGO_BIN_EXE_shareward"))
        .args(["check", "--config", "new/shareward.toml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");

    // Importing the same configuration again replaces nothing; importing a different one does.
    assert_eq!(import(directory.path(), &words).0, 0);
    let toml = directory.path().join("new/shareward.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, "# edited\n").unwrap();
    let (code, _, error) = import(directory.path(), &words);
    assert!(
        code == 1 && error.contains("exists already") && error.contains("nothing was written"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&toml).unwrap(), "# edited\n");
    assert_eq!(import(directory.path(), &[&words[..], &["--force"]].concat()).0, 0);
    assert_eq!(fs::read_to_string(&toml).unwrap(), text);
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_place() {
    let directory = with("[s]\npath = /p\nread only = maybe\n");
    let (code, out, error) = import(directory.path(), &["samba", "--config", "smb.conf", "--check"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.starts_with("smb.conf:3: read only: \"maybe\" is not yes or no\n"), "{error}");
    let (code, _, error) = import(directory.path(), &["samba", "--config", "none"]);
    assert!(code == 1 && error.contains("cannot read none") && error.contains("--config"), "{error}");

    let directory = with(SIMPLE);
    for (name, content) in
        [("cut", &b"TDB file\n\0"[..]), ("other", b"SQLite format 3\0"), ("line", b"no account\n")]
    {
        fs::write(directory.path().join(name), content).unwrap();
        let words = ["samba", "--config", "smb.conf", "--users", name, "--output", "new"];
        let (code, _, error) = import(directory.path(), &words);
        assert!(code == 1 && error.contains(name) && error.contains("nothing was written"), "{error}");
        let (code, out, error) = import(directory.path(), &[&words[..], &["--check"]].concat());
        assert!(code == 1 && out.contains("carried over") && error.contains(name), "{error}");
    }
    assert!(!directory.path().join("new").exists());
    let (code, _, error) = import(directory.path(), &["windows"]);
    assert!(code != 0 && error.contains("'windows' cannot be imported"), "{error}");
}
