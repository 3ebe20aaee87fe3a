//! The `net` commands, run against a control server with canned data: output, stream and exit code.

mod fake;

use std::path::PathBuf;
use std::process::Stdio;

use control::{Access, Error, LockRange, OpenFile, Session, SessionShare, ShareKind, Timestamp, number};
use fake::{Data, FakeServer};

fn nowhere() -> PathBuf {
    PathBuf::from("/nonexistent/control.sock")
}

fn session(id: u32, computer: &str, user: &str, opens: u32, idle_seconds: u64) -> Session {
    Session {
        id: Some(id),
        computer: computer.into(),
        user: user.into(),
        domain: Some("OFFICE".into()),
        opens: Some(opens),
        connected_at: Some(Timestamp(1_772_357_400_000)),
        active_seconds: Some(idle_seconds + 600),
        idle_seconds: Some(idle_seconds),
        guest: Some(false),
        anonymous: Some(user.is_empty()),
        dialect: Some("3.1.1".into()),
        signed: Some(true),
        signing: Some("AES-128-GMAC".into()),
        encrypted: Some(false),
        transport: Some("tcp".into()),
        ..Session::default()
    }
}

fn alice() -> Session {
    Session {
        computer_name: Some("desk7.office.example".into()),
        shares: Some(vec![
            SessionShare { name: "projects".into(), kind: ShareKind::Disk, opens: Some(4) },
            SessionShare { name: "IPC$".into(), kind: ShareKind::Ipc, opens: Some(1) },
            SessionShare {
                name: "a share with a long name".into(),
                kind: ShareKind::Disk,
                opens: Some(12345),
            },
        ]),
        ..session(1, "10.0.0.5", "alice", 5, 117)
    }
}

fn some_sessions() -> Data {
    Data {
        sessions: vec![
            alice(),
            session(2, "::1", "svc-admin", 0, 4),
            session(3, "10.0.0.5", "bob", 0, 86_399),
            session(7, "2001:db8:1234:5678:9abc:def0:1234:5678", "jörg.müller@office.example", 1, 511_379),
            session(4_294_967_295, "10.0.0.9", "", 0, 30),
        ],
        ..Data::default()
    }
}

fn idle_sessions() -> Data {
    Data {
        sessions: vec![
            session(1, "10.0.0.5", "alice", 0, 1),
            session(2, "::1", "bob", 0, 2),
            session(3, "::1", "eve", 0, 3),
        ],
        ..Data::default()
    }
}

fn file(id: u32, path: &str, user: &str, locks: u32) -> OpenFile {
    OpenFile {
        id,
        path: path.replace('/', "\\"),
        server_path: Some(format!("/srv/projects/{path}")),
        share: Some("projects".into()),
        user: user.into(),
        computer: Some("fe80::1".into()),
        permissions: Some(3),
        locks: Some(locks),
        oplock: Some("none".into()),
        ..OpenFile::default()
    }
}

fn some_files() -> Data {
    let report = OpenFile {
        session_id: Some(1),
        access: Some(Access::new(0x0012_019f, vec!["READ_DATA".into(), "WRITE_DATA".into()])),
        share_access: Some(vec!["read".into()]),
        permissions: Some(0x7f),
        lock_ranges: vec![
            LockRange { offset: 0, length: 1, exclusive: true },
            LockRange { offset: u64::MAX, length: 0, exclusive: false },
        ],
        oplock: Some("lease".into()),
        lease: Some("RWH".into()),
        durable: Some(true),
        directory: Some(false),
        delete_pending: Some(false),
        opened_at: Some(Timestamp(1_772_357_400_250)),
        idle_seconds: Some(61),
        bytes_read: Some(1 << 40),
        bytes_written: Some(0),
        ..file(1, "plan/report.docx", "alice", 2)
    };
    let pipe =
        OpenFile { server_path: None, share: Some("IPC$".into()), pipe: true, ..file(2, "srvsvc", "", 0) };
    Data {
        files: vec![report, pipe, file(2_214_593_372, "報告/月次.xlsx", "jörg", 0)], ..Data::default()
    }
}

fn long_path() -> Data {
    let path = format!("{}/the name of it.txt", "directory".repeat(20));
    Data { files: vec![file(5, "short.txt", "alice", 0), file(6, &path, "bob", 10)], ..Data::default() }
}

fn check(name: &str, data: Data, lines: &[(&str, &str)]) {
    let server = FakeServer::start(data);
    let told: Vec<String> = lines.iter().map(|(words, input)| server.net(words, input)).collect();
    server.stop();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told.join("\n"));
    });
}

#[test]
fn session_lists() {
    check(
        "session_lists",
        some_sessions(),
        &[
            ("session", ""),
            ("SESS /compat", ""),
            ("sessions --user bob", ""),
            ("session /l --user bob", ""),
            ("session /LIST /verbose --user alice", ""),
            ("session --user nobody", ""),
        ],
    );
}

#[test]
fn session_details() {
    check(
        "session_details",
        some_sessions(),
        &[
            (r"session \\10.0.0.5", ""),
            (r"session \\::ffff:10.0.0.5 --user bob", ""),
            ("session //DESK7 --user alice --verbose", ""),
            (r"session \\[2001:0db8:1234:5678:9ABC:def0:1234:5678]", ""),
            (r"session \::1", ""),
            (r"session \\10.0.0.9 --compat", ""),
            (r"session \\10.0.0.77", ""),
        ],
    );
}

#[test]
fn session_delete_of_one_computer() {
    check(
        "session_delete_of_one_computer",
        some_sessions(),
        &[
            (r"session \\10.0.0.77 /delete", ""),
            (r"session \\10.0.0.5 /delete", ""),
            (r"session \\10.0.0.5 /delete", "n\n"),
            (r"session \\10.0.0.5 /delete", "\n"),
            (r"session \\10.0.0.5 /delete", "what\nindeed\nno idea\ny\n"),
            (r"session \\10.0.0.5 /delete /n", ""),
            (r"session \\10.0.0.5 /del", "perhaps\nY\n"),
            (r"session \\10.0.0.5 /del", ""),
            (r"session \\[::1] --delete", ""),
            (r"session //2001:db8:1234:5678:9abc:def0:1234:5678 /d /y", ""),
            (r"session //10.0.0.9 --delete --json", ""),
        ],
    );
}

#[test]
fn session_delete_of_all() {
    check(
        "session_delete_of_all_open",
        some_sessions(),
        &[
            ("session /delete", "n\n"),
            ("session /delete", "\n"),
            ("session /delete --json", "y\n"),
            ("session /delete", ""),
            ("session /delete --json", ""),
        ],
    );
    check(
        "session_delete_of_all_idle",
        idle_sessions(),
        &[("session /delete /no", ""), ("session /delete --user eve", "y\n"), ("session /delete", "\n")],
    );
    check("session_delete_of_all_yes", some_sessions(), &[("session /delete /yes", "")]);
}

#[test]
fn empty_lists() {
    check(
        "empty_lists",
        Data::default(),
        &[
            ("session", ""),
            ("session /list", ""),
            ("session /delete", ""),
            ("session --json", ""),
            (r"session \\10.0.0.1 --json", ""),
            ("file", ""),
            ("files --json", ""),
        ],
    );
}

#[test]
fn file_lists() {
    check(
        "file_lists",
        some_files(),
        &[("file", ""), ("FILES --path report --user alice", ""), ("file --client //[fe80::1]", "")],
    );
    check("file_lists_long", long_path(), &[("file", ""), ("file /compat", "")]);
}

#[test]
fn file_details() {
    check(
        "file_details",
        some_files(),
        &[
            ("file 1", ""),
            ("file 1 /verbose", ""),
            ("file 2 /v", ""),
            ("file 2214593372", ""),
            ("file 3", ""),
            ("file 0", ""),
            ("file 4294967296", ""),
            ("file -- -1", ""),
            ("file report.docx", ""),
        ],
    );
}

#[test]
fn file_close() {
    check(
        "file_close",
        some_files(),
        &[
            ("file 2214593372 /close", ""),
            ("file 2214593372 /c", ""),
            ("file 1 --close --json", ""),
            ("file 1 --close --json", ""),
            ("file x /close", ""),
            ("file /close", ""),
        ],
    );
}

#[test]
fn json() {
    check(
        "json",
        Data { sessions: vec![alice()], ..some_files() },
        &[
            ("session --json", ""),
            (r"session \\10.0.0.5 /json", ""),
            ("file 1 --json", ""),
            ("file --json", ""),
        ],
    );
}

#[test]
fn wrong_words() {
    check(
        "wrong_words",
        some_sessions(),
        &[
            ("session /foo", ""),
            ("session --Foo=7", ""),
            ("session /s", ""),
            ("session /delete:now", ""),
            ("session /delete /list", ""),
            ("session /y /n", ""),
            ("session desk7", ""),
            (r"session \\", ""),
            (r"session \\a \\b", ""),
            ("session --socket", ""),
            ("file 1 2", ""),
            ("file 1 --user bob", ""),
            ("file --path=", ""),
            ("frobnicate", ""),
            ("", ""),
        ],
    );
}

#[test]
fn another_server_that_does_not_answer() {
    check(
        "another_server",
        some_sessions(),
        &[("session --server nas", ""), ("file 1 /close /server:nas --json", "")],
    );
}

#[test]
fn kerberos_without_a_ticket() {
    check(
        "kerberos_without_a_ticket",
        some_sessions(),
        &[
            ("session --kerberos", ""),
            ("session --server nas --kerberos --ntlm", ""),
            ("session --server 192.0.2.1 --kerberos", ""),
            ("session --server nas --login CORP\\carol --kerberos", "a password\n"),
            ("session --server nas --login carol --kerberos", ""),
        ],
    );
}

#[test]
fn no_rights() {
    let refusal = Error::new(number::ACCESS_DENIED, "Only administrators may ask.").with_hint("ask root");
    let data = Data { refusal: Some(refusal), ..some_sessions() };
    check(
        "no_rights",
        data,
        &[("session", ""), ("session /delete /y", ""), ("file 7 /close", ""), ("file --json", "")],
    );
}

#[test]
fn a_refusal_with_an_unknown_number_shows_the_servers_message() {
    let data = Data { refusal: Some(Error::new(9_999, "The moon is\u{1b}[2J wrong.")), ..Data::default() };
    check("unknown_refusal", data, &[("session", "")]);
}

#[test]
fn no_server() {
    let told =
        ["session", "file 7 /close", "session --json"].map(|words| fake::run_at(nowhere(), "net", words, ""));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("no_server", told.join("\n"));
    });
}

#[test]
fn help() {
    let told = [
        ("net", "help"),
        ("net", "help session"),
        ("net", "file /?"),
        ("net", "help frobnicate"),
        ("net", "helpmsg 2312"),
        ("net", "helpmsg 3506"),
        ("net", "helpmsg NET2314"),
        ("net", "helpmsg 99999"),
        ("net", "helpmsg soup"),
        ("net", "helpmsg"),
    ]
    .map(|(program, words)| fake::run_at(nowhere(), program, words, ""));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("help", told.join("\n"));
    });
}

#[test]
fn net_commands_run_under_every_program_name() {
    let server = FakeServer::start(some_sessions());
    let outcome = |program, words| {
        let told = server.run(program, words, "");
        told.split_once('\n').map(|(_line, rest)| rest.to_owned())
    };
    let expected = outcome("net", "session");
    for (program, words) in [
        ("shareward", "session"),
        ("shareward", "net session"),
        ("shareward", "NET Sess"),
        ("/usr/bin/net", "SESSIONS"),
    ] {
        assert_eq!(outcome(program, words), expected, "{program} {words}");
    }
    for (net, ours) in
        [("session --help", "session /?"), ("help file", "files /HELP"), ("file --help", "file -h")]
    {
        assert_eq!(outcome("net", net), outcome("shareward", ours), "{net} {ours}");
    }
    server.stop();
}

#[test]
fn the_socket_switch_precedes_the_environment() {
    let server = FakeServer::start(idle_sessions());
    let words = format!("session --socket {}", server.socket().display());
    let told = fake::run_at(nowhere(), "net", &words, "");
    assert!(told.ends_with("exit 0\n") && told.contains("alice"), "{told}");
    server.stop();
}

#[test]
fn a_closed_pipe_does_not_stop_the_command() {
    let server = FakeServer::start(some_sessions());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = fake::command(server.socket(), "net", "session /delete /y");
    let output = command.stdin(Stdio::null()).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert_eq!(server.sessions_left(), 0);
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn a_write_error_on_stdout_fails_the_command() {
    let server = FakeServer::start(some_sessions());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = fake::command(server.socket(), "net", "session").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(29));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("System error 29 has occurred.\n\n"));
    server.stop();
}
