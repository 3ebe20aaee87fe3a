//! The operations of the control API with clients that hold the objects.

mod closing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{Break, Breaks, ClientConnection, ClientTree, ConnectOptions, CreateParameters, File};
use client::{Administration as _, ControlClient, Error, Events, RemoteClient};
use control::{
    CloseFile, Ended, Event, EventQuery, FileQuery, OpenFile, Outcome, RefusalKind, SessionQuery, WhoQuery,
};
use futures_util::StreamExt as _;
use testkit::peer::{KERNEL_CLIENT_NEEDS, KernelClient};
use testkit::{Setup, Shareward, Subject, need};
use wire::create_context::{DurableReconnectV2, DurableRequestV2, LeaseContext, LeaseFlags, LeaseV2};
use wire::ioctl::FsctlCode;
use wire::msg::{LockElement, LockFlags};
use wire::{Guid, LeaseState, NtStatus, OplockLevel, ShareAccess};

const R: LeaseState = LeaseState::READ;

fn rwh() -> LeaseState {
    LeaseState::READ | LeaseState::WRITE | LeaseState::HANDLE
}

fn socket(server: &Shareward) -> PathBuf {
    server.config().with_file_name("run").join("control.sock")
}

fn control(server: &Shareward) -> ControlClient {
    ControlClient::new(vec![socket(server)])
}

async fn connected(server: SocketAddr, setup: &Setup, name: &str) -> (ClientConnection, ClientTree) {
    let options = ConnectOptions::new().expect("options");
    let connection = ClientConnection::connect(server, None, options).await.expect("connect");
    let user = setup.user(name);
    let credentials = Credentials::password(&user.name, "", &user.password);
    let session = connection.logon(credentials).await.expect("log on");
    let tree = session.tree_connect(r"\\127.0.0.1\data").await.expect("tree connect");
    (connection, tree)
}

fn lease(key: u8, state: LeaseState) -> Option<LeaseContext> {
    Some(LeaseContext { key: Guid([key; 16]), state, flags: LeaseFlags::NONE, v2: Some(LeaseV2::default()) })
}

async fn leased(tree: &ClientTree, name: &str, state: LeaseState) -> File {
    let mut parameters = CreateParameters::read_write(name);
    parameters.contexts.lease = lease(1, state);
    let file = tree.create(&parameters).await.expect("create");
    assert_eq!(file.created.contexts.lease.map(|it| it.state), Some(state));
    file
}

async fn only_open(control: &ControlClient, path: &str) -> OpenFile {
    let query = FileQuery { path: Some(path.into()), ..FileQuery::default() };
    let mut all = control.files(&query).await.expect("files");
    assert_eq!(all.len(), 1, "{path}: {all:?}");
    all.remove(0)
}

async fn next_lease_break(breaks: &mut Breaks) -> LeaseState {
    let told = tokio::time::timeout(Duration::from_secs(20), breaks.next()).await.expect("a break in time");
    match told.expect("a break") {
        Some(Break::Lease(told)) => told.new_lease_state,
        other => panic!("no lease break: {other:?}"),
    }
}

fn refusal(answer: Result<Ended, Error>) -> (u32, String) {
    match answer {
        Err(Error::Refused(error)) => (error.code, error.hint.unwrap_or_default()),
        other => panic!("no refusal: {other:?}"),
    }
}

/// Waits for an event.
async fn event(events: &mut Events<'_>, mut is_it: impl FnMut(&Event) -> bool) -> Event {
    let wait = async {
        while let Some(event) = events.next().await {
            let event = event.expect("an event");
            if is_it(&event) {
                return event;
            }
        }
        panic!("the events have ended");
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the event in time")
}

/// Runs a query concurrently, in a separate thread.
fn beside<T: Send + 'static>(
    ask: impl AsyncFnOnce() -> Result<T, Error> + Send + 'static,
) -> tokio::task::JoinHandle<Result<T, Error>> {
    tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(ask())
    })
}

#[tokio::test]
async fn lists_are_filtered() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (_alice, tree) = connected(server.address(), &setup, "alice").await;
    let (_bob, other) = connected(server.address(), &setup, "bob").await;
    let locked = tree.create(&CreateParameters::read_write("locked.txt")).await.expect("create");
    locked
        .lock(&[LockElement {
            offset: 0,
            length: 1,
            flags: LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY,
        }])
        .await
        .expect("lock");
    let _read = tree.create(&CreateParameters::open("locked.txt")).await.expect("open");
    let _bobs = other.create(&CreateParameters::read_write("bob.doc")).await.expect("create");
    let all = control.files(&FileQuery::default()).await.expect("files");
    let session = |user: &str| all.iter().find(|it| it.user == user).and_then(|it| it.session_id);
    let count = async |query: FileQuery| control.files(&query).await.expect("files").len();
    let any = FileQuery::default;
    for (expected, query) in [
        (3, any()),
        (1, FileQuery { locked: Some(true), ..any() }),
        (2, FileQuery { locked: Some(false), ..any() }),
        (2, FileQuery { writing: Some(true), ..any() }),
        (1, FileQuery { writing: Some(false), ..any() }),
        (2, FileQuery { session: session("alice"), ..any() }),
        (1, FileQuery { session: session("bob"), ..any() }),
        (0, FileQuery { session: Some(0), ..any() }),
        (1, FileQuery { path: Some("*.DOC".into()), ..any() }),
        (2, FileQuery { path: Some("locked".into()), ..any() }),
        (3, FileQuery { share: Some("DATA".into()), ..any() }),
        (0, FileQuery { share: Some("other".into()), ..any() }),
        (0, FileQuery { idle: ">1h".parse().ok(), ..any() }),
        (3, FileQuery { age: "<1h".parse().ok(), ..any() }),
        (1, FileQuery { user: Some("BOB".into()), writing: Some(true), ..any() }),
    ] {
        assert_eq!(count(query.clone()).await, expected, "{query:?}");
    }
    let sessions = async |query: SessionQuery| control.sessions(&query).await.expect("sessions").len();
    let any = SessionQuery::default;
    for (expected, query) in [
        (2, any()),
        (2, SessionQuery { share: Some("Data".into()), ..any() }),
        (0, SessionQuery { share: Some("other".into()), ..any() }),
        (2, SessionQuery { idle: "<1h".parse().ok(), ..any() }),
        (0, SessionQuery { age: ">1h".parse().ok(), ..any() }),
        (1, SessionQuery { user: Some("alice".into()), client: Some("127.0.0.1".into()), ..any() }),
    ] {
        assert_eq!(sessions(query.clone()).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn who_lists_opens_and_refusals() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (_alice, tree) = connected(server.address(), &setup, "alice").await;
    let (_bob, other) = connected(server.address(), &setup, "bob").await;
    let alone = CreateParameters { share: ShareAccess::NONE, ..CreateParameters::read_write("plan.txt") };
    let file = tree.create(&alone).await.expect("create");
    for _ in 0..2 {
        let refused = other.create(&CreateParameters::open("plan.txt")).await.expect_err("refused");
        assert!(refused.is(NtStatus::SHARING_VIOLATION));
    }
    let path = server.share_dir("data").join("PLAN.txt").display().to_string();
    let query = |path: &str, share: Option<&str>| WhoQuery {
        path: path.into(),
        share: share.map(String::from),
        wait: None,
    };
    for query in [
        query(&path, None),
        query(&server.share_dir("data").display().to_string(), None),
        query("plan.txt", Some("data")),
        query("", Some("data")),
        query(r"\\tested\DATA\Plan.TXT", None),
    ] {
        let who = control.who(&query).await.expect("who");
        assert_eq!(who.share.as_deref(), Some("data"), "{query:?}");
        assert_eq!(who.holders.iter().map(|it| it.user.as_str()).collect::<Vec<_>>(), ["alice"], "{query:?}");
        let refusals = who.refusals.expect("refusals");
        assert_eq!(refusals.len(), 2, "{query:?}");
        assert!(refusals[0].id < refusals[1].id);
        let last = refusals.last().expect("two");
        assert_eq!((last.kind, last.user.as_str()), (RefusalKind::SharingViolation, "bob"));
        assert_eq!(last.holder_file_id, Some(who.holders[0].id));
        assert!(last.session_id.is_some_and(|it| Some(it) != who.holders[0].session_id));
    }
    let nothing = control.who(&query("plan", Some("data"))).await.expect("who");
    assert!(nothing.holders.is_empty(), "a part of a name is none");
    for (query, code) in
        [(query("x", Some("nope")), 2310), (query("/nowhere/at/all", None), 87), (query("", None), 87)]
    {
        match control.who(&query).await {
            Err(Error::Refused(error)) => assert_eq!(error.code, code, "{query:?}"),
            other => panic!("{query:?}: {other:?}"),
        }
    }

    let waiting = {
        let (control, query) =
            (control.clone(), WhoQuery { wait: Some(20), ..query("plan.txt", Some("data")) });
        beside(async move || control.who(&query).await)
    };
    // Others come and go; only the last one's close counts.
    other
        .create(&CreateParameters::read_write("else.txt"))
        .await
        .expect("create")
        .close()
        .await
        .expect("close");
    let begun = Instant::now();
    file.close().await.expect("close");
    assert!(waiting.await.expect("joined").expect("who").holders.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10));
    let _file = tree.create(&alone).await.expect("create");
    let who = control.who(&WhoQuery { wait: Some(1), ..query("plan.txt", Some("data")) }).await.expect("who");
    assert_eq!(who.holders.len(), 1);
}

#[tokio::test]
async fn events_are_streamed() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let query = EventQuery::default();
    let mut events = control.events(&query).await.expect("events");
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let file = tree.create(&CreateParameters::read_write("seen.txt")).await.expect("create");
    let up = event(&mut events, |it| it.kind == "session_up").await;
    assert_eq!((up.user.as_deref(), up.computer.as_deref()), (Some("alice"), Some("127.0.0.1")));
    let opened = event(&mut events, |it| it.kind == "opened").await;
    assert_eq!((opened.path.as_deref(), opened.session_id), (Some("seen.txt"), up.session_id));
    file.close().await.expect("close");
    let closed = event(&mut events, |it| it.kind == "closed").await;
    assert_eq!((closed.file_id, closed.reason.as_deref()), (opened.file_id, Some("client_close")));
    assert_eq!(closed.user.as_deref(), Some("alice"));
    connection.disconnect();
    event(&mut events, |it| it.kind == "connection_down").await;

    let query = EventQuery { after: Some(opened.id), ..EventQuery::default() };
    let mut again = control.events(&query).await.expect("events");
    let begin = event(&mut again, |_| true).await;
    assert_eq!((begin.id, begin.kind.as_str()), (opened.id, "begin"));
    let first = event(&mut again, |_| true).await;
    assert_eq!((first.id, first.kind.as_str()), (opened.id + 1, "closed"));
    let query = EventQuery { epoch: begin.epoch, ..query };
    let mut again = control.events(&query).await.expect("events");
    let first = event(&mut again, |it| it.kind != "begin").await;
    assert_eq!((first.id, first.kind.as_str()), (opened.id + 1, "closed"));

    let query = EventQuery { epoch: begin.epoch.map(|it| it + 1), ..query };
    let mut again = control.events(&query).await.expect("events");
    let first = event(&mut again, |it| it.kind != "begin").await;
    assert_eq!((first.kind.as_str(), first.reason.as_deref()), ("lost", Some("server_restarted")));
    assert_eq!(event(&mut again, |_| true).await.id, 1, "all events of this run follow");

    let query = EventQuery::default();
    let mut readers = Vec::new();
    let refused = loop {
        match control.events(&query).await {
            Ok(reader) => readers.push(reader),
            Err(error) => break error,
        }
        assert!(readers.len() < 100, "readers have a limit");
    };
    assert!(matches!(refused, Error::Refused(ref error) if error.code == 170), "{refused:?}");
}

#[tokio::test]
async fn users_read_the_events_of_their_own_sessions_and_opens() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let (_bob, bobs) = connected(server.address(), &setup, "bob").await;
    let place = format!("127.0.0.1:{}", server.address().port()).parse().expect("a place");
    let user = setup.user("alice");
    let alice = RemoteClient::new(place, Credentials::password(&user.name, "", &user.password));
    let all = alice.events(&EventQuery::default()).await.err().expect("not for everybody");
    assert_eq!(all.number(), 5, "{all:?}");
    let query = EventQuery { mine: Some(true), ..EventQuery::default() };
    let mut events = alice.events(&query).await.expect("events");
    let _hidden = bobs.create(&CreateParameters::read_write("bobs.txt")).await.expect("create");
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let _seen = tree.create(&CreateParameters::read_write("alices.txt")).await.expect("create");
    connection.disconnect();
    let mut kinds = Vec::new();
    event(&mut events, |it| {
        assert!(it.kind == "begin" || it.user.as_deref() == Some("alice"), "{it:?}");
        kinds.push(it.kind.clone());
        it.kind == "session_down"
    })
    .await;
    assert_eq!(kinds, ["begin", "session_up", "tree_up", "opened", "closed", "tree_down", "session_down"]);
}

/// More events than the server keeps for a slow reader (16,384) and the pipes in between can hold.
#[tokio::test]
async fn a_slow_reader_gets_the_number_of_lost_events() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let query = EventQuery::default();
    let mut events = control.events(&query).await.expect("events");
    let (_connection, tree) = connected(server.address(), &setup, "alice").await;
    let first = event(&mut events, |it| it.kind == "session_up").await;
    let opens = futures_util::stream::iter(0..MISSED).map(|number| {
        let tree = tree.clone();
        async move {
            let name = format!("{}.txt", number % 16);
            tree.create(&CreateParameters::read_write(&name))
                .await
                .expect("create")
                .close()
                .await
                .expect("close");
        }
    });
    opens.buffer_unordered(8).collect::<Vec<()>>().await;
    let kept = tree.create(&CreateParameters::read_write("kept.txt")).await.expect("create");

    let mut read = 0;
    let lost = event(&mut events, |it| {
        read += 1;
        it.kind == "lost"
    })
    .await;
    let missed = lost.lost.expect("how many");
    assert_eq!(lost.id, first.id + read - 1 + missed, "the number of the last that is missing");
    // The remaining events follow, and the current ones are requested.
    let next = event(&mut events, |_| true).await;
    assert_eq!(next.id, lost.id + 1);
    assert_eq!(only_open(&control, "kept.txt").await.path, "kept.txt");
    let query = EventQuery { after: Some(first.id), ..EventQuery::default() };
    let mut again = control.events(&query).await.expect("events");
    let lost = event(&mut again, |it| it.kind != "begin").await;
    assert_eq!((lost.kind.as_str(), lost.id), ("lost", first.id + lost.lost.expect("how many")));
    event(&mut again, |it| it.kind == "opened" && it.path.as_deref() == Some("kept.txt")).await;
    kept.close().await.expect("close");
}

/// Each is opened and closed.
const MISSED: u32 = 16_000;

#[tokio::test]
async fn idle_sessions_end_despite_keepalive_requests() {
    let setup = Setup { extra: String::from("autodisconnect = 0"), ..Setup::default() };
    let server = Shareward::start(&setup);
    let control = control(&server);
    let query = EventQuery::default();
    let mut events = control.events(&query).await.expect("events");
    let (_busy, tree) = connected(server.address(), &setup, "bob").await;
    let _file = tree.create(&CreateParameters::read_write("open.txt")).await.expect("create");
    let (idle, _tree) = connected(server.address(), &setup, "alice").await;
    let probing = tokio::spawn(async move { while idle.echo().await.is_ok() {} });
    let down = event(&mut events, |it| it.kind == "session_down").await;
    assert_eq!((down.user.as_deref(), down.reason.as_deref()), (Some("alice"), Some("expired")));
    probing.await.expect("joined");
    let left = control.sessions(&SessionQuery::default()).await.expect("sessions");
    assert_eq!(left.iter().map(|it| it.user.as_str()).collect::<Vec<_>>(), ["bob"]);
    assert_eq!(control.statistics().await.expect("statistics").sessions_timed_out, Some(1));
}

/// Asks as another Unix user: the status and the body.
fn ask_as(uid: u32, server: &Shareward, method: &str, address: &str) -> (u16, String) {
    use std::os::unix::process::CommandExt as _;
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "--request", method]);
    curl.arg("--unix-socket").arg(socket(server)).arg(format!("http://server{address}")).uid(uid).gid(uid);
    let text = String::from_utf8(curl.current_dir("/").output().expect("curl").stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

#[tokio::test]
async fn users_manage_their_own_opens_and_roles_add_rights() {
    if !need(&["root", "curl"]) {
        return;
    }
    let mut setup = Setup::default();
    // Debian's first accounts, which are also users of the server.
    for name in ["daemon", "bin"] {
        setup.users.push(testkit::User {
            name: name.into(),
            password: "Passw0rd!".into(),
            administrator: false,
        });
    }
    let (daemon, bin, sys) = (1, 2, 3);
    setup.extra = String::from(
        "[[role]]\nallow = \"view\"\nusers = [\"sys\"]\nshares = [\"data\"]\n\
         [[role]]\nallow = \"close\"\ngroups = [\"bin\"]\nshares = [\"other\"]\n",
    );
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (_daemon, tree) = connected(server.address(), &setup, "daemon").await;
    let (_alice, alices) = connected(server.address(), &setup, "alice").await;
    let _mine = tree.create(&CreateParameters::read_write("mine.txt")).await.expect("create");
    let _hers = alices.create(&CreateParameters::read_write("hers.txt")).await.expect("create");
    let (mine, hers) = (only_open(&control, "mine.txt").await, only_open(&control, "hers.txt").await);

    for (uid, method, address, status) in [
        (daemon, "GET", String::from("/v1/files"), 403),
        (daemon, "GET", String::from("/v1/sessions"), 403),
        (daemon, "GET", String::from("/v1/who?share=data&path=mine.txt"), 403),
        (daemon, "GET", String::from("/v1/events"), 403),
        (daemon, "GET", format!("/v1/files/{}", mine.id), 200),
        (daemon, "GET", format!("/v1/files/{}", hers.id), 403),
        (daemon, "GET", String::from("/v1/files/4000000000"), 403),
        (daemon, "DELETE", format!("/v1/files/{}", hers.id), 403),
        (daemon, "DELETE", format!("/v1/sessions/{}", hers.session_id.unwrap_or_default()), 403),
        // A role is limited to its shares and rights.
        (bin, "DELETE", format!("/v1/files/{}", hers.id), 403),
        (bin, "GET", format!("/v1/files/{}", hers.id), 403),
        (sys, "GET", String::from("/v1/who?share=data&path="), 200),
        (sys, "GET", String::from("/v1/who?share=other&path="), 403),
        (sys, "DELETE", format!("/v1/files/{}", hers.id), 403),
        (sys, "GET", String::from("/v1/statistics"), 403),
        (sys, "GET", String::from("/v1/refusals"), 200),
    ] {
        assert_eq!(ask_as(uid, &server, method, &address).0, status, "{uid} {method} {address}");
    }
    let has = |answer: (u16, String), name: &str| answer.0 == 200 && answer.1.contains(name);
    assert!(has(ask_as(daemon, &server, "GET", "/v1/files?mine=true"), "mine.txt"));
    assert!(!ask_as(daemon, &server, "GET", "/v1/files?mine=true").1.contains("hers.txt"));
    let sessions = ask_as(daemon, &server, "GET", "/v1/sessions?mine=true").1;
    assert!(sessions.contains(r#""daemon""#) && !sessions.contains("alice"), "{sessions}");
    assert!(sessions.contains(r#""name":"data""#), "{sessions}");
    assert!(has(ask_as(sys, &server, "GET", "/v1/files"), "hers.txt"));
    assert!(has(ask_as(bin, &server, "GET", "/v1/files"), r#""items":[]"#));
    let (status, body) = ask_as(daemon, &server, "DELETE", &format!("/v1/files/{}", mine.id));
    assert_eq!((status, body.contains(r#""outcome":"clean""#)), (200, true), "{body}");
    let own = format!("/v1/sessions/{}", mine.session_id.unwrap_or_default());
    assert_eq!(ask_as(daemon, &server, "DELETE", &own).0, 200);
    let log = server.log();
    assert!(log.contains("access denied") && log.contains("user=\"daemon\""), "{log}");
}

#[tokio::test]
async fn every_action_is_in_the_audit_log() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (_alice, tree) = connected(server.address(), &setup, "alice").await;
    let _file = tree.create(&CreateParameters::read_write("a.txt")).await.expect("create");
    let id = only_open(&control, "a.txt").await.id;
    let wrong = CloseFile { expect_user: Some("bob".into()), ..CloseFile::default() };
    assert_eq!(refusal(control.close_file(id, &wrong).await).0, 2314);
    control.close_file(id, &CloseFile::default()).await.expect("closed");
    let sessions = control.sessions(&SessionQuery::default()).await.expect("sessions");
    control.end_session(&sessions[0]).await.expect("ended");
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("audit")).collect();
    for parts in [
        &["refused", "close file", "of alice", "error=2314"][..],
        &["done", "close file", "of alice", "127.0.0.1", "outcome=Clean"],
        &["done", "end session", "of alice", "sessions=1"],
    ] {
        let found = lines.iter().any(|line| {
            parts.iter().chain(&["user=", "from=\"the control socket\""]).all(|part| line.contains(part))
        });
        assert!(found, "{parts:?} in\n{}", lines.join("\n"));
    }
}
