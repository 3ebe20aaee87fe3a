//! `shareward demo`: every step has its effect, and nothing is left behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[test]
fn the_demo_succeeds_and_leaves_no_files() {
    let place = tempfile::tempdir().unwrap();
    let output = demo(&place, &[]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}\n{complaints}");
    assert_eq!(complaints, "");
    assert_eq!(entries(place.path()), [""; 0]);

    let said = squeezed(&said);
    let (before, after) = said.split_once("An administrator ends the session of bob").expect(&said);
    for (part, expected) in [
        (before, r"\\127.0.0.1 alice 1 00:00:0"),
        (before, r"\\127.0.0.2 bob 1 00:00:0"),
        (before, "User name bob\nComputer 127.0.0.2\n"),
        (before, "demo Disk 1\n"),
        (before, "/demo/budget.xlsx alice 2\n"),
        (before, "/demo/report.docx bob 0\n"),
        (before, "Locks 2\n"),
        (before, "READ: STATUS_FILE_LOCK_CONFLICT\n"),
        (before, " /close\nClosed; the client had no unwritten data.\nThe command completed"),
        (before, "alice at 127.0.0.1 reads budget.xlsx again and gets READ: STATUS_FILE_CLOSED\n"),
        (after, "$ net session \\\\127.0.0.2 /delete /y\nThe command completed successfully.\n"),
        (after, "bob at 127.0.0.2 reads report.docx and gets READ: STATUS_USER_SESSION_DELETED\n"),
        (after, "is not affected: it reads 1024 bytes of notes.txt.\n"),
        (after, r"\\127.0.0.1 alice 0 00:00:0"),
        (after, "/demo/notes.txt alice 0\n"),
    ] {
        assert!(part.contains(expected), "{expected:?} is not in\n{said}");
    }
    let lists = after.split_once("Who is connected now").expect(&said).1;
    assert!(!lists.contains("bob") && !lists.contains("report.docx"), "{said}");
    let third = if said.contains("This machine has no IPv6") { r"\\127.0.0.3" } else { r"\\[::1]" };
    assert!(before.contains(third) && after.contains(third), "{said}");
}

#[test]
fn a_server_that_is_kept_runs_until_it_is_stopped() {
    let place = tempfile::tempdir().unwrap();
    let (mut child, mut output, mut said) = kept(&place);
    assert!(said.contains("  smbclient //127.0.0.1/demo -p "), "{said}");
    let line = said.lines().find(|line| line.contains(" net file --socket ")).expect(&said);
    let words: Vec<_> = line.split_whitespace().collect();
    let listed = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("notes.txt"), "{listed:?}");

    kill_process(Pid::from_child(&child.0), Signal::INT).unwrap();
    output.read_to_string(&mut said).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0), "{said}");
    assert_eq!(entries(place.path()), [""; 0]);
}

#[test]
fn the_programs_that_list_and_close_agree_about_a_real_server() {
    let place = tempfile::tempdir().unwrap();
    let (mut child, _output, said) = kept(&place);
    let socket =
        said.split_whitespace().skip_while(|word| *word != "--socket").nth(1).expect(&said).to_owned();
    let run = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
        command.args(words.split_whitespace()).env("SHAREWARD_SOCKET", &socket).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
    };
    let says = |words: &str, expected: &str, code: i32| {
        let (text, errors, ended) = run(words);
        assert!(text.contains(expected) && ended == Some(code), "{words}: {ended:?}\n{text}{errors}");
        text
    };

    let row = says("file --path notes --csv --no-header --user alice --writing=no", ",notes.txt,", 0);
    let path = row.split(',').nth(2).unwrap().to_owned();
    says(&format!("who {path}"), "User name        alice\n", 0);
    says("who notes.txt --share demo --json", "\"opened_at\": \"20", 0);
    says(&format!("wait {path} --timeout 0"), "is still open:", 1);
    says("session --path notes --age <1h --ndjson", "\"user\":\"alice\"", 0);
    says("session --json=wmi", "\"ShareName\": \"demo\"", 0);
    says("file --watch --ndjson --for 0s --path notes", "", 0);
    says("openfiles /query /fo csv /v", &format!("\"0\",\"Read\",\"{path}\""), 0);
    says("psfile -nobanner notes", &format!("] {path}\n    User:   alice\n"), 0);
    says("psloggedon -nobanner alice", "alice logged onto ", 0);
    says("file --path notes /close --dry-run", "1 file: 1 of alice. Dry run: no file was closed", 0);
    says("file --path notes /close", "(Y/N) [Y]: ", 2);
    says("file --path notes /close /y", "1 file closed: 1 clean.\n", 0);
    says(&format!("wait {path} --timeout 5s"), "Nobody has ", 0);

    kill_process(Pid::from_child(&child.0), Signal::INT).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

/// The command of the demonstration, with its temporary files below `place`.
fn demo(place: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shareward"));
    command.arg("demo").args(words).env("TMPDIR", place.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A demonstration whose server keeps running: its process, the rest of its output, and the output so far.
fn kept(place: &TempDir) -> (Kept, BufReader<ChildStdout>, String) {
    let mut child = Kept(demo(place, &["--keep"]).spawn().unwrap());
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        assert_ne!(output.read_line(&mut said).unwrap(), 0, "it ended:\n{said}");
    }
    (child, output, said)
}

/// The text with single spaces: the width of a column depends on the temporary directory's name.
fn squeezed(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

/// The names in a directory.
fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// A server that is killed when a test fails.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
