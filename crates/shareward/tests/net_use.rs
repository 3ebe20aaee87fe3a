//! `net use` without connections: its grammar, its messages, and the remembered connections. Connections themselves
//! are in `tests/peers/net_use.rs`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

const REMEMBERED: &str = r#"{
  "remember": true,
  "connections": [
    { "directory": "/nowhere/data", "target": { "host": "nas", "port": 445, "share": "data" }, "user": "alice" },
    { "directory": "/nowhere/photos", "target": { "host": "nas", "port": 4450, "share": "photos" } }
  ]
}"#;

/// A machine: its state directory, and a directory to connect.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new(remembered: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("shareward")).unwrap();
        std::fs::create_dir(root.path().join("dir")).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        if !remembered.is_empty() {
            std::fs::write(root.path().join("shareward/connections.json"), remembered).unwrap();
        }
        Self { root }
    }

    fn path(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    /// Runs `net use` and returns its output and exit code; `DIR` in a word is the machine's directory.
    fn net_use(&self, words: &str, input: &str) -> String {
        let typed = words.split_whitespace().map(|word| word.replace("DIR", self.path()).replace('_', " "));
        let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
        command.args(["net", "use"]).args(typed);
        command.env_clear().env("XDG_STATE_HOME", self.root.path()).env("XDG_RUNTIME_DIR", self.root.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that asks nothing may already be gone.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let mut told = format!("$ net use {words}\n");
        if !input.is_empty() {
            writeln!(told, "< {input:?}").unwrap();
        }
        for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8(bytes).unwrap().replace(self.path(), "DIR");
            if !text.is_empty() {
                writeln!(told, "--- {name}\n{text}---").unwrap();
            }
        }
        writeln!(told, "exit {}", output.status.code().unwrap()).unwrap();
        told
    }
}

/// True if this machine has connections, which lists would show.
fn has_connections() -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let has = ["fuse.shareward", "cifs", "smb3"].iter().any(|kind| table.contains(&format!(" - {kind} ")));
    if has {
        testkit::skip("this machine is connected to shares, which the lists would show");
    }
    has
}

fn check(name: &str, remembered: &str, lines: &[(&str, &str)]) {
    let machine = Machine::new(remembered);
    let told: Vec<String> = lines.iter().map(|(words, input)| machine.net_use(words, input)).collect();
    // Another program may have made a connection meanwhile.
    if has_connections() {
        return;
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told.join("\n"));
    });
}

#[test]
fn wrong_words() {
    check(
        "use_wrong_words",
        "",
        &[
            ("/x", ""),
            ("/persistent:maybe", ""),
            ("/persistent", ""),
            ("DIR/dir //nas/data --via smoke", ""),
            ("DIR/dir //nas/data --port 0", ""),
            ("DIR/dir //nas/data --via cifs --foreground", ""),
            ("//nas/data /delete /persistent:no", ""),
            ("//nas/data /delete /yes /no", ""),
            ("DIR/dir DIR/dir", ""),
            ("DIR/dir //nas/data secret more", ""),
            ("* ", ""),
            ("/delete", ""),
        ],
    );
}

#[test]
fn wrong_names() {
    check(
        "use_wrong_names",
        "",
        &[
            ("DIR/dir //nas", ""),
            (r"DIR/dir \\nas\data\deeper", ""),
            ("DIR/dir //nas:x/data", ""),
            ("DIR/missing //nas/data secret /user:alice", ""),
            ("DIR/file //nas/data secret /user:alice", ""),
            ("DIR/dir", ""),
            ("DIR/dir /delete", ""),
            ("//nas/data /delete", ""),
            ("DIR/dir /delete --json", ""),
        ],
    );
}

#[test]
fn nobody_answers() {
    check(
        "use_nobody_answers",
        "",
        &[
            ("DIR/dir //127.0.0.1:1/data /user:alice", ""),
            ("DIR/dir //127.0.0.1:1/data /user:alice", "secret\n"),
            ("DIR/dir //127.0.0.1:1/data * /user:alice --json", "secret\n"),
        ],
    );
}

#[test]
fn credentials_are_for_their_owner_only() {
    let machine = Machine::new("");
    let file = machine.root.path().join("credentials");
    std::fs::write(&file, "username=alice\npassword=secret\n").unwrap();
    let words = "DIR/dir //127.0.0.1:1/data --credentials DIR/credentials";
    let mut told = String::new();
    for mode in [0o644, 0o600] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        told.push_str(&machine.net_use(words, ""));
    }
    std::fs::write(&file, "username=alice\nsecret\n").unwrap();
    told.push_str(&machine.net_use(words, ""));
    assert!(!told.contains("secret"), "{told}");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("use_credentials", told);
    });
}

#[test]
fn lists() {
    if has_connections() {
        return;
    }
    check(
        "use_lists",
        "",
        &[
            ("", ""),
            ("--json", ""),
            ("* /delete", ""),
            ("* /delete --json", ""),
            ("/persistent:yes", ""),
            ("", ""),
            ("--persistent=no", ""),
            ("", ""),
            ("--restore", ""),
        ],
    );
}

#[test]
fn remembered_connections_are_listed_and_forgotten() {
    if has_connections() {
        return;
    }
    check(
        "use_remembered",
        REMEMBERED,
        &[
            ("", ""),
            ("--json", ""),
            ("/nowhere/data", ""),
            ("/nowhere/data --json", ""),
            ("//127.0.0.1:1/other /nowhere/data", ""),
            ("/nowhere/data //127.0.0.1:1/other secret", ""),
            ("* /delete", "\n"),
            ("* /delete", ""),
            ("/nowhere/photos /del", ""),
            ("* /d /y", ""),
            ("", ""),
        ],
    );
}

#[test]
fn restore_reports_connections_that_fail() {
    check(
        "use_restore",
        &REMEMBERED.replace("\"nas\"", "\"127.0.0.1\"").replace("445,", "1,").replace("4450", "2"),
        &[("--restore", "secret\nsecret\n")],
    );
}

#[test]
fn a_damaged_file_of_connections_is_reported() {
    check("use_damaged", "{ \"connections\": [ 1 ] }", &[("", "")]);
}
