//! The data of the server in these tests, and the form of results in snapshots.

use axum::routing::get;
use axum::{Json, Router};
use control::{
    Access, Connection, LockRange, OpenFile, Page, ServerInfo, Session, SessionShare, ShareKind, Timestamp,
    route,
};

use crate::fake::{Data, FakeServer};

/// 2026-03-01T09:30:00Z.
pub(crate) const THEN: i64 = 1_772_357_400_000;

pub(crate) fn session(id: u32, computer: &str, user: &str, opens: u32) -> Session {
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
        shares: Some(vec![SessionShare {
            name: "projects".into(),
            kind: ShareKind::Disk,
            opens: Some(opens),
        }]),
        ..Session::default()
    }
}

/// An open for reading, without caching.
pub(crate) fn file(id: u32, path: &str, user: &str) -> OpenFile {
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

/// An open for writing, whose client may have unwritten changes.
pub(crate) fn dirty(id: u32, path: &str, user: &str) -> OpenFile {
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

/// An open as a server of another make reports it.
pub(crate) fn little_known(id: u32, path: &str, user: &str, permissions: u32) -> OpenFile {
    OpenFile {
        id,
        path: path.into(),
        user: user.into(),
        permissions: Some(permissions),
        locks: Some(0),
        ..OpenFile::default()
    }
}

pub(crate) fn long_path() -> String {
    format!("{}/the name of it.txt", "directory".repeat(20))
}

pub(crate) fn stock() -> Data {
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

pub(crate) fn more() -> Router {
    let connection = |id, share: &str, user: &str, session_id| Connection {
        id,
        share: share.into(),
        kind: ShareKind::Disk,
        opens: Some(3),
        user: user.into(),
        realm: None,
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

pub(crate) fn start(data: Data) -> FakeServer {
    FakeServer::start_with(data, more())
}

/// Checks the snapshot of these lines: program, words and input.
pub(crate) fn check(name: &str, data: Data, lines: &[(&str, &str, &str)]) {
    let server = start(data);
    let told: Vec<String> =
        lines.iter().map(|(program, words, input)| without_now(&server.run(program, words, input))).collect();
    server.stop();
    snapshot(name, &told.join("\n"));
}

pub(crate) fn snapshot(name: &str, told: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told);
    });
}

/// `text` with `<now>` for times of the test run, and `<here>` for this machine's name.
pub(crate) fn without_now(text: &str) -> String {
    let here = rustix::system::uname().nodename().to_string_lossy().to_uppercase();
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = [24, 19].into_iter().find(|length| from.get(..*length).is_some_and(is_now));
        out.push_str(if length.is_some() { "<now>" } else { &from[..2] });
        rest = &from[length.unwrap_or(2)..];
    }
    out.push_str(rest);
    out.replace(here.split('.').next().unwrap(), "<here>")
}

/// True if it is a time of this run, in JSON's form or people's. The commands run in UTC.
fn is_now(text: &str) -> bool {
    let text = if text.len() == 19 { text.replace(' ', "T") + ".000Z" } else { text.to_owned() };
    Timestamp::parse(&text).is_some_and(|time| time.0 > THEN + 86_400_000)
}
