//! Watched lists, and terminals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use control::{Event, OpenFile, Timestamp};

use crate::fake::{self, Data, FakeServer};
use crate::stock::{THEN, check, file, long_path, start, stock};

fn changing() -> Data {
    let event = |kind: &str, file_id, path: &str| Event {
        id: 7,
        at: Some(Timestamp(THEN + 1000)),
        kind: kind.into(),
        file_id: Some(file_id),
        share: Some("projects".into()),
        path: Some(path.into()),
        user: Some("alice".into()),
        computer: Some("fe80::1".into()),
        ..Event::default()
    };
    let locked = OpenFile { locks: Some(1), idle_seconds: Some(0), ..file(1, "a.txt", "alice") };
    let later = OpenFile { idle_seconds: Some(3), bytes_read: Some(9), ..locked.clone() };
    Data {
        files: vec![file(1, "a.txt", "alice"), file(2, "b\u{1b}[2J.txt", "alice")],
        later: vec![vec![locked, file(3, "c.txt", "alice")], vec![later]],
        events: Some(vec![
            event("opened", 3, "c.txt"),
            event("opened", 9, "short.tmp"),
            event("opened", 10, "somebody's.tmp"),
            event("closed", 9, "short.tmp"),
            event("refused", 9, "short.tmp"),
        ]),
        ..Data::default()
    }
}

#[test]
fn watched_lists_print_every_change() {
    let mut data = changing();
    if let Some(events) = &mut data.events {
        events[2].user = Some("bob".into());
    }
    check("following_ndjson", data, &[("net", "file --user alice --watch --ndjson --for 2s", "")]);
    check(
        "following_lines",
        Data { events: None, ..changing() },
        &[("net", "file --watch --for 3s", ""), ("net", "session --watch --for 0s", "")],
    );
}

fn follower(server: &FakeServer) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = fake::command(server.socket(), "net", "file --watch --ndjson");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let reader = BufReader::new(child.stdout.take().unwrap());
    (child, reader)
}

#[test]
fn ctrl_c_ends_a_view_cleanly() {
    let server = start(Data { files: vec![file(1, "a.txt", "alice")], ..Data::default() });
    let (mut child, mut reader) = follower(&server);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("\"what\":\"present\""), "{line}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    server.stop();
}

#[test]
fn watch_ends_when_its_reader_is_gone() {
    let server = start(Data { events: None, ..changing() });
    let (mut child, mut reader) = follower(&server);
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    server.stop();
}

/// Runs `shareward` with these words in a terminal of 60 columns and 12 lines.
#[cfg(target_os = "linux")]
fn in_a_terminal(server: &FakeServer, words: &str, input: &str) -> (String, Option<i32>) {
    let inner = format!("stty cols 60 rows 12; exec {} {words}", env!("CARGO_BIN_EXE_shareward"));
    let mut command = Command::new("script");
    command.args(["-qefc", &inner, "/dev/null"]).env("SHAREWARD_SOCKET", server.socket());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap().replace('\r', ""), output.status.code())
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_cuts_paths_and_a_pipe_does_not() {
    let server = start(stock());
    let (told, code) = in_a_terminal(&server, "file --user bob", "");
    assert_eq!(code, Some(0));
    assert!(
        told.contains("the name of it.txt") && told.contains("...") && !told.contains(&long_path()),
        "{told}"
    );
    assert!(server.net("file --user bob", "").contains(&long_path()));
    let (told, _) = in_a_terminal(&server, "file --csv", "");
    assert!(told.contains(&long_path()), "{told}");
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn closing_in_a_terminal_asks_and_shows_progress() {
    let server = start(stock());
    let (told, code) = in_a_terminal(&server, "file 1 /close /force", "y\n");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Forcing the close loses them.") && told.contains("(Y/N) [N]: "), "{told}");
    let (told, code) = in_a_terminal(&server, "file --user bob /close /y", "");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Closing 1 of 2 ...") && told.contains("2 files closed: 2 clean."), "{told}");
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn watch_redraws_a_terminal() {
    let mut data = changing();
    data.files.extend((11..30).map(|id| file(id, &format!("{id}.txt"), "alice")));
    let server = start(data);
    let (told, code) = in_a_terminal(&server, "file --watch --for 2s", "");
    assert_eq!(code, Some(0), "{told}");
    let frames: Vec<&str> = told.split("\u{1b}[H").skip(1).collect();
    assert!(frames.len() >= 2, "{told:?}");
    assert!(frames.iter().all(|frame| frame.lines().count() <= 13), "{told:?}");
    assert!(frames[0].contains("a.txt") && frames[0].contains("21 in the list"), "{told:?}");
    assert!(!told.contains("\u{1b}[2J"), "{told:?}");
    server.stop();
}
