//! The commands that list, follow and close what is open, as they are typed, against a control server with canned data.

mod fake;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use axum::routing::get;
use axum::{Json, Router};
use control::{
    Access, Connection, Error, Event, LockRange, Logon, OpenFile, Outcome, Page, Refusal, RefusalKind,
    ServerInfo, Session, SessionShare, ShareKind, Timestamp, Who, number, route,
};
use fake::{Data, FakeServer};

/// 2026-03-01T09:30:00Z.
const THEN: i64 = 1_772_357_400_000;

fn session(id: u32, computer: &str, user: &str, opens: u32) -> Session {
    Session {
        id: Some(id),
        computer: computer.into(),
        user: user.into(),
        domain: Some("OFFICE".into()),
        opens: Some(opens),
        connected_at: Some(Timestamp(THEN)),
        active_seconds: Some(7200),
        idle_seconds: Some(u64::from(id) * 60),
        guest: Some(false),
        anonymous: Some(user.is_empty()),
        shares: vec![SessionShare { name: "projects".into(), kind: ShareKind::Disk, opens }],
        ..Session::default()
    }
}

/// An open that may read, for which the client caches nothing.
fn file(id: u32, path: &str, user: &str) -> OpenFile {
    OpenFile {
        id,
        path: path.replace('/', "\\"),
        server_path: Some(format!("/srv/projects/{path}")),
        share: Some("projects".into()),
        user: user.into(),
        computer: Some("10.0.0.5".into()),
        session_id: Some(1),
        access: Some(Access::new(0x0012_0089, vec!["READ_DATA".into(), "READ_ATTRIBUTES".into()])),
        share_access: Some(vec!["read".into(), "write".into()]),
        permissions: Some(1),
        locks: Some(0),
        oplock: Some("none".into()),
        opened_at: Some(Timestamp(THEN)),
        idle_seconds: Some(61),
        ..OpenFile::default()
    }
}

/// An open for writing, whose client may have what it has not written.
fn dirty(id: u32, path: &str, user: &str) -> OpenFile {
    OpenFile {
        permissions: Some(3),
        oplock: Some("lease".into()),
        lease: Some("RWH".into()),
        locks: Some(2),
        lock_ranges: vec![
            LockRange { offset: 0, length: 1, exclusive: true },
            LockRange { offset: u64::MAX, length: 0, exclusive: false },
        ],
        ..file(id, path, user)
    }
}

/// What a server of another make tells of an open.
fn little_known(id: u32, path: &str, user: &str, permissions: u32) -> OpenFile {
    OpenFile {
        id,
        path: path.into(),
        user: user.into(),
        permissions: Some(permissions),
        locks: Some(0),
        ..OpenFile::default()
    }
}

fn long_path() -> String {
    format!("{}/the name of it.txt", "directory".repeat(20))
}

fn stock() -> Data {
    let directory = OpenFile { directory: Some(true), permissions: Some(0), ..file(5, "plan", "bob") };
    let mut far = file(4_294_967_295, "報告/月次 \"Q1\", final.xlsx", "jörg");
    far.computer = Some("2001:db8::7".into());
    far.session_id = Some(2);
    Data {
        sessions: vec![session(1, "10.0.0.5", "alice", 3), session(2, "2001:db8::7", "jörg", 1)],
        files: vec![
            dirty(1, "plan/report.docx", "alice"),
            file(2, "plan/old.docx", "alice"),
            directory,
            file(2_214_593_372, &long_path(), "bob"),
            far,
        ],
        ..Data::default()
    }
}

fn more() -> Router {
    let connection = |id, share: &str, user: &str, session_id| Connection {
        id,
        share: share.into(),
        kind: ShareKind::Disk,
        opens: Some(3),
        user: user.into(),
        computer: Some("10.0.0.5".into()),
        session_id: Some(session_id),
        connected_at: Some(Timestamp(THEN)),
        active_seconds: Some(7000),
    };
    let connections = Page::whole(vec![connection(1, "projects", "alice", 1), connection(9, "x", "bob", 77)]);
    Router::new()
        .route(route::SERVER, get(async || Json(ServerInfo::new("nas1".into()))))
        .route(route::CONNECTIONS, get(async || Json(connections)))
}

fn start(data: Data) -> FakeServer {
    FakeServer::start_with(data, more())
}

/// Each line is the program, its words, and its input.
fn check(name: &str, data: Data, lines: &[(&str, &str, &str)]) {
    let server = start(data);
    let told: Vec<String> =
        lines.iter().map(|(program, words, input)| without_now(&server.run(program, words, input))).collect();
    server.stop();
    snapshot(name, &told.join("\n"));
}

fn snapshot(name: &str, told: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told);
    });
}

/// `text` with `<now>` for times that are the test's own, and `<here>` for this machine.
fn without_now(text: &str) -> String {
    let here = rustix::system::uname().nodename().to_string_lossy().to_uppercase();
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let found = from
            .get(..24)
            .filter(|text| Timestamp::parse(text).is_some_and(|time| time.0 > THEN + 86_400_000));
        out.push_str(if found.is_some() { "<now>" } else { &from[..2] });
        rest = &from[if found.is_some() { 24 } else { 2 }..];
    }
    out.push_str(rest);
    out.replace(here.split('.').next().unwrap(), "<here>")
}

#[test]
fn filters() {
    check(
        "filters",
        stock(),
        &[
            ("net", "file --user ALICE", ""),
            ("net", r"file --client \\[2001:DB8:0::7] --idle >1m", ""),
            ("net", "file --path *.docx --writing", ""),
            ("net", "file --path plan/old", ""),
            ("net", "file --writing=no --locked=no --share Projects --age 1h --user bob", ""),
            ("net", "file --locked --mine", ""),
            ("net", "file --user nobody", ""),
            ("net", "session --locked", ""),
            ("net", "session --path 報告 --user jörg", ""),
            ("net", "session --id 2", ""),
            ("net", "session --idle <2m --age >1h --share projects", ""),
            ("net", "session --share nothing", ""),
        ],
    );
}

#[test]
fn formats() {
    check(
        "formats_of_files",
        stock(),
        &[
            ("net", "file --user alice --ndjson", ""),
            ("net", "file --csv", ""),
            ("net", "file --user nobody --csv", ""),
            ("net", "file --csv --no-header --user bob", ""),
            ("net", "file 2 --csv", ""),
            ("net", "file --json=wmi --user jörg", ""),
            ("net", "file 2 --json=wmi", ""),
            ("net", "file --user nobody --ndjson", ""),
            ("net", "file /verbose", ""),
        ],
    );
    check(
        "formats_of_sessions",
        stock(),
        &[
            ("net", "session --ndjson", ""),
            ("net", "session --csv", ""),
            ("net", "session --json=WMI", ""),
            ("net", r"session \\10.0.0.5 --csv --no-header", ""),
        ],
    );
}

#[test]
fn wrong_filters_and_formats() {
    check(
        "wrong_filters_and_formats",
        stock(),
        &[
            ("net", "file --idle soon", ""),
            ("net", "file --age=1w", ""),
            ("net", "file --locked=perhaps", ""),
            ("net", "file --json=yaml", ""),
            ("net", "file --json --csv", ""),
            ("net", "file --no-header", ""),
            ("net", "file --watch --json", ""),
            ("net", "file --for 5s", ""),
            ("net", "file --watch --for soon", ""),
            ("net", "file 1 --watch", ""),
            ("net", "file --force", ""),
            ("net", "file 1 /close --grace 36", ""),
            ("net", "file 1 /close --grace 5 --force", ""),
            ("net", "file 1 /close --csv", ""),
            ("net", "file /close", ""),
            ("net", "session --dry-run", ""),
            ("net", "session --id x", ""),
            ("net", "session /delete --watch", ""),
        ],
    );
}

#[test]
fn closing_one() {
    let data = Data {
        outcomes: vec![(1, Ok(Outcome::Flushed)), (8, Ok(Outcome::Forced))],
        files: vec![
            dirty(1, "plan/report.docx", "alice"),
            file(2, "plan/old.docx", "alice"),
            dirty(3, "plan/a.docx", "alice"),
            dirty(4, "plan/b.docx", "alice"),
            little_known(5, r"C:\data\w.txt", "eve", 3),
            little_known(6, r"C:\data\r.txt", "eve", 1),
            dirty(8, "plan/c.docx", ""),
        ],
        ..Data::default()
    };
    check(
        "closing_one",
        data,
        &[
            ("net", "file 1 /close --dry-run", ""),
            ("net", "file 1 /close --expect-user bob", ""),
            ("net", "file 1 /close --expect-path /srv/projects/plan/report.docx --grace 10", ""),
            ("net", "file 2 /close --force", ""),
            ("net", "file 3 /close /force", "\n"),
            ("net", "file 3 /close /force", ""),
            ("net", "file 3 /close /force", "y\n"),
            ("net", "file 4 /close /force /y", ""),
            ("net", "file 5 /close", "\n"),
            ("net", "file 5 /close --json", "y\n"),
            ("net", "file 6 /close", ""),
            ("net", "file 8 /close", ""),
            ("net", "file 8 /close --dry-run", ""),
        ],
    );
}

#[test]
fn closing_many() {
    let denied = Error::new(number::ACCESS_DENIED, "Not yours.");
    let data = Data { outcomes: vec![(1, Ok(Outcome::Flushed)), (5, Err(denied))], ..stock() };
    check(
        "closing_many",
        data,
        &[
            ("net", "file --path plan /close --dry-run", ""),
            ("net", "file --path plan /close --dry-run --json --user bob", ""),
            ("net", "file --user alice /close", "\n"),
            ("net", "file --path old /close", "n\n"),
            ("net", "file --user alice /close --force", ""),
            ("net", "file --path plan /close", "y\n"),
            ("net", "file --share projects /close --json /y", ""),
            ("net", "file --user alice /close", ""),
            ("net", "file --user alice /close --json", ""),
        ],
    );
    let files = (1..=25).map(|id| file(id, &format!("{id}.txt"), "alice")).collect();
    check("closing_very_many", Data { files, ..Data::default() }, &[("net", "file --mine /close", "\n")]);
}

#[test]
fn sessions_that_would_end() {
    check(
        "sessions_that_would_end",
        stock(),
        &[
            ("net", "session /delete --dry-run", ""),
            ("net", "session /delete --dry-run --json --user nobody", ""),
            ("net", "session /delete --writing", "y\n"),
            ("net", "session", ""),
        ],
    );
}

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
fn following() {
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
fn a_view_ends_with_its_reader() {
    let server = start(Data { events: None, ..changing() });
    let (mut child, mut reader) = follower(&server);
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    server.stop();
}

fn refused() -> Vec<Refusal> {
    let refusal = Refusal {
        id: 1,
        at: Some(Timestamp(THEN)),
        kind: RefusalKind::SharingViolation,
        status: "0xc0000043".into(),
        share: Some("projects".into()),
        path: r"plan\report.docx".into(),
        user: "bob".into(),
        computer: Some("fe80::2".into()),
        wanted: Some(Access::new(2, vec!["WRITE_DATA".into()])),
        holder_file_id: Some(1),
        holder_user: Some("alice".into()),
        holder_computer: Some("10.0.0.5".into()),
        ..Refusal::default()
    };
    vec![
        refusal.clone(),
        Refusal {
            at: Some(Timestamp(THEN + 1000)),
            kind: RefusalKind::AccessDenied,
            wanted: None,
            holder_file_id: None,
            holder_user: None,
            holder_computer: None,
            ..refusal.clone()
        },
        Refusal { kind: RefusalKind::LockConflict, holder_user: None, computer: None, ..refusal },
    ]
}

fn held() -> Who {
    Who {
        share: Some("projects".into()),
        path: r"plan\report.docx".into(),
        holders: vec![dirty(1, "plan/report.docx", "alice"), file(2_214_593_372, "plan/report.docx", "")],
        refusals: Some(refused()),
        ..Who::default()
    }
}

fn free() -> Who {
    Who { holders: Vec::new(), refusals: Some(Vec::new()), ..held() }
}

#[test]
fn who_has_it() {
    let who = |answer| Data { who: vec![answer], ..Data::default() };
    check(
        "who_has_it",
        who(held()),
        &[
            ("net", "who /srv/projects/plan/report.docx", ""),
            ("net", "who //nas/projects/plan/report.docx", ""),
            ("net", "who plan/report.docx --share projects --json", ""),
            ("shareward", "who", ""),
            ("net", "who a b", ""),
            ("net", "who a --share", ""),
        ],
    );
    check("nobody_has_it", who(free()), &[("net", "who /srv/projects/plan/report.docx", "")]);
    check(
        "who_has_it_on_other_servers",
        stock(),
        &[
            ("net", "who /srv/projects/plan", ""),
            ("net", r"who \\nas\projects\plan\old.docx", ""),
            ("net", "who /srv/projects/pla", ""),
        ],
    );
}

#[test]
fn waiting() {
    let one = Who { holders: vec![file(7, "plan/report.docx", "alice")], ..held() };
    check(
        "waiting_until_free",
        Data { who: vec![held(), one.clone(), free()], ..Data::default() },
        &[("net", "wait /srv/projects/plan/report.docx --timeout 1m", "")],
    );
    check(
        "waiting_in_vain",
        Data { who: vec![held()], ..Data::default() },
        &[
            ("net", "wait /srv/projects/plan/report.docx --timeout 0", ""),
            ("net", "wait /srv/projects/plan/report.docx --timeout 0 --json", ""),
            ("net", "wait /srv/projects/plan/report.docx --timeout 1s", ""),
            ("net", "wait /srv/x --timeout never", ""),
            ("net", "wait", ""),
        ],
    );
    check("waiting_on_other_servers", stock(), &[("net", "wait /srv/projects/nothing", "")]);
}

#[test]
fn openfiles() {
    check(
        "openfiles_query",
        stock(),
        &[
            ("openfiles", "", ""),
            ("OPENFILES", "/Query /V /NH", ""),
            ("openfiles", "/query /fo CSV /v", ""),
            ("openfiles", "-query -fo csv -nh", ""),
            ("openfiles", "/fo list", ""),
            ("shareward", "openfiles /fo list /v", ""),
            ("openfiles", "/local", ""),
            ("openfiles", "/local on", ""),
        ],
    );
    check(
        "openfiles_disconnect",
        stock(),
        &[
            ("openfiles", "/disconnect /id 77", ""),
            ("openfiles", r"/disconnect /op plan\OLD.docx", ""),
            ("openfiles", "/disconnect /a al* /o read/write", ""),
            ("openfiles", "/disconnect /a bob /op *.txt", ""),
            ("openfiles", "/disconnect /id * /o *", ""),
            ("openfiles", "/disconnect /id *", ""),
            ("openfiles", "", ""),
        ],
    );
    check(
        "openfiles_wrong",
        stock(),
        &[
            ("openfiles", "/foo", ""),
            ("openfiles", "file", ""),
            ("openfiles", "/fo", ""),
            ("openfiles", "/fo xml", ""),
            ("openfiles", "/fo list /nh", ""),
            ("openfiles", "/v /v", ""),
            ("openfiles", "/query /disconnect", ""),
            ("openfiles", "/disconnect", ""),
            ("openfiles", "/disconnect /id x", ""),
            ("openfiles", "/disconnect /o append", ""),
            ("openfiles", "/u alice", ""),
            ("openfiles", "/local maybe", ""),
            ("openfiles", "/?", ""),
        ],
    );
}

#[test]
fn psfile() {
    check(
        "psfile",
        stock(),
        &[
            ("psfile", "", ""),
            ("psfile", "-nobanner REPORT", ""),
            ("psfile", "-nobanner 4294967295", ""),
            ("psfile", "-nobanner nothing", ""),
            ("psfile", "-nobanner 2214593372 -c", ""),
            ("psfile", "-nobanner 2214593372 -c", ""),
            ("psfile", "-nobanner plan -c", ""),
            ("psfile", "-c", ""),
            ("psfile", "-x", ""),
            ("psfile", "-u", ""),
            ("psfile", "a b", ""),
            ("psfile", "-?", ""),
        ],
    );
    check("psfile_nothing", Data::default(), &[("psfile", "-nobanner", "")]);
}

#[test]
fn psloggedon() {
    let logon = |user: &str, domain: Option<&str>, since| Logon {
        user: user.into(),
        domain: domain.map(str::to_owned),
        since,
        ..Logon::default()
    };
    let logons = vec![logon("root", None, Some(Timestamp(THEN))), logon("jeffadmin", Some("CORP"), None)];
    check(
        "psloggedon",
        Data { logons: Some(logons), ..stock() },
        &[
            ("psloggedon", "", ""),
            ("psloggedon", "-l -nobanner", ""),
            ("psloggedon", "-x - -nobanner", ""),
            ("psloggedon", "-nobanner ALICE", ""),
            ("psloggedon", r"-nobanner corp\jeffadmin", ""),
            ("psloggedon", "-nobanner nobody", ""),
            ("psloggedon", "-z", ""),
            ("psloggedon", "a b", ""),
        ],
    );
    let nobody = Data { logons: Some(Vec::new()), ..Data::default() };
    check("psloggedon_nobody", nobody, &[("psloggedon", "-nobanner", "")]);
}

#[test]
fn nobody_may_ask() {
    let refusal = Error::new(number::ACCESS_DENIED, "Only administrators may ask.").with_hint("ask root");
    let data = Data { refusal: Some(refusal), ..stock() };
    check(
        "nobody_may_ask",
        data,
        &[
            ("net", "who /srv/x", ""),
            ("net", "wait /srv/x", ""),
            ("net", "file --watch", ""),
            ("net", "file --csv", ""),
            ("openfiles", "", ""),
            ("openfiles", "/disconnect /id 1", ""),
            ("psfile", "-nobanner", ""),
        ],
    );
}

#[test]
fn nobody_answers() {
    let nowhere = || PathBuf::from("/nonexistent/control.sock");
    let told = [
        ("net", "who /srv/x"),
        ("net", "wait /srv/x"),
        ("net", "session --watch --ndjson"),
        ("openfiles", ""),
        ("psfile", "-nobanner"),
    ]
    .map(|(program, words)| fake::run_at(nowhere(), program, words, ""));
    snapshot("nobody_answers", &told.join("\n"));
    let told = fake::run_at(nowhere(), "psloggedon", "-nobanner", "");
    assert!(told.contains("Unable to query resource logons\n") && told.ends_with("exit 2\n"), "{told}");
}

#[test]
fn links_and_what_they_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display().to_string();
    let server = start(stock());
    let told = |words: &str| server.run("shareward", words, "").replace(&at, "DIR");
    let mut all = vec![told(&format!("links {at}"))];
    for program in ["net", "openfiles", "psfile", "psloggedon"] {
        let mut command = Command::new(directory.path().join(program));
        let output = command.arg("--help").env_clear().output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap().to_lowercase();
        assert!(output.status.success() && text.contains(program), "{program}: {text}");
    }
    std::fs::remove_file(directory.path().join("net")).unwrap();
    std::fs::write(directory.path().join("net"), "somebody's").unwrap();
    for words in ["links DIR", "links DIR psfile", "links DIR --remove", "links DIR ps", "links"] {
        all.push(told(&words.replace("DIR", &at)));
    }
    assert_eq!(std::fs::read(directory.path().join("net")).unwrap(), b"somebody's");
    let program = env!("CARGO_BIN_EXE_shareward");
    snapshot("links", &all.join("\n").replace(program, "PROGRAM"));
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
fn a_terminal_is_asked_and_shown_progress() {
    let server = start(stock());
    let (told, code) = in_a_terminal(&server, "file 1 /close /force", "y\n");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Forcing it closed loses them.") && told.contains("(Y/N) [N]: "), "{told}");
    let (told, code) = in_a_terminal(&server, "file --user bob /close /y", "");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Closing 1 of 2 ...") && told.contains("2 files closed: 2 clean."), "{told}");
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_is_drawn_over() {
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
