//! A kind close: the client writes back first, if it can and wants to.

use std::time::{Duration, Instant};

use super::*;

fn closing(
    control: &ControlClient,
    id: u32,
    how: CloseFile,
) -> tokio::task::JoinHandle<Result<Ended, Error>> {
    let control = control.clone();
    beside(async move || control.close_file(id, &how).await)
}

#[tokio::test]
async fn a_kind_close_lets_the_client_write_back() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut breaks = connection.breaks();
    let file = leased(&tree, "letter.txt", rwh()).await;
    let id = only_open(&control, "letter.txt").await.id;

    let closing = closing(&control, id, CloseFile::default());
    assert_eq!(next_lease_break(&mut breaks).await, R);
    // No other client waits meanwhile, and no other administrator.
    assert_eq!(only_open(&control, "letter.txt").await.id, id);
    file.write(0, b"what the client had".to_vec()).await.expect("write back");
    tree.acknowledge_lease(Guid([1; 16]), R).await.expect("acknowledge");
    let ended = closing.await.expect("joined").expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Flushed)));
    assert_eq!(
        std::fs::read(server.share_dir("data").join("letter.txt")).expect("on disk"),
        b"what the client had"
    );
    assert!(file.read(0, 1).await.expect_err("closed").is(NtStatus::FILE_CLOSED));
    assert_eq!(refusal(control.close_file(id, &CloseFile::default()).await).0, 2314);

    let log = server.log();
    let line =
        log.lines().find(|line| line.contains("close file") && line.contains("done")).expect("an audit line");
    for part in
        [&format!("file {id} data\\\\letter.txt of alice"), "Flushed", "the control socket", "files=1"]
    {
        assert!(line.replace("\\\\", "\\").contains(&part.replace("\\\\", "\\")), "{part} in {line}");
    }
}

#[tokio::test]
async fn an_unanswered_break_ends_in_a_forced_close() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut breaks = connection.breaks();
    let file = leased(&tree, "silent.txt", rwh()).await;
    let id = only_open(&control, "silent.txt").await.id;
    let begun = Instant::now();
    let how = CloseFile { grace: Some(1), ..CloseFile::default() };
    let ended = control.close_file(id, &how).await.expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Forced)));
    assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(8));
    assert_eq!(next_lease_break(&mut breaks).await, R);
    assert!(file.write(0, b"late".to_vec()).await.expect_err("closed").is(NtStatus::FILE_CLOSED));

    // At once, without a break.
    leased(&tree, "silent.txt", rwh()).await;
    let id = only_open(&control, "silent.txt").await.id;
    let how = CloseFile { force: true, ..CloseFile::default() };
    assert_eq!(control.close_file(id, &how).await.expect("closed").outcome, Some(Outcome::Forced));
    assert_eq!(breaks.try_next().expect("no loss"), None);
    let _ = leased(&tree, "silent.txt", R | LeaseState::HANDLE).await;
    let id = only_open(&control, "silent.txt").await.id;
    assert_eq!(control.close_file(id, &how).await.expect("closed").outcome, Some(Outcome::Clean));
    let _ = tree.create(&CreateParameters::read_write("silent.txt")).await.expect("create");
    let id = only_open(&control, "silent.txt").await.id;
    let ended = control.close_file(id, &CloseFile::default()).await.expect("closed");
    assert_eq!(ended.outcome, Some(Outcome::Clean));
    let too_long = CloseFile { grace: Some(36), ..CloseFile::default() };
    assert_eq!(refusal(control.close_file(id, &too_long).await).0, 87);
}

#[tokio::test]
async fn a_client_may_close_or_disconnect_meanwhile() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut breaks = connection.breaks();
    let file = leased(&tree, "deferred.txt", rwh()).await;
    let id = only_open(&control, "deferred.txt").await.id;
    let close = closing(&control, id, CloseFile::default());
    let _ = next_lease_break(&mut breaks).await;
    file.close().await.expect("close");
    let ended = close.await.expect("joined").expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Flushed)));

    let mut parameters = CreateParameters::read_write("batch.txt");
    parameters.oplock = OplockLevel::BATCH;
    let file = tree.create(&parameters).await.expect("create");
    assert_eq!(file.created.oplock, OplockLevel::BATCH);
    let id = only_open(&control, "batch.txt").await.id;
    let close = closing(&control, id, CloseFile::default());
    let told = tokio::time::timeout(Duration::from_secs(20), breaks.next()).await.expect("in time");
    assert!(matches!(told, Ok(Some(Break::Oplock(told))) if told.oplock_level == OplockLevel::LEVEL_II));
    tree.acknowledge_oplock(file.id(), OplockLevel::LEVEL_II).await.expect("acknowledge");
    assert_eq!(close.await.expect("joined").expect("closed").outcome, Some(Outcome::Flushed));

    leased(&tree, "gone.txt", rwh()).await;
    let id = only_open(&control, "gone.txt").await.id;
    let close = closing(&control, id, CloseFile::default());
    let _ = next_lease_break(&mut breaks).await;
    connection.disconnect();
    let ended = close.await.expect("joined").expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Forced)));
}

#[tokio::test]
async fn an_orphaned_open_is_closed_at_once() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut parameters = CreateParameters::read_write("durable.txt");
    parameters.contexts.lease = lease(1, rwh());
    parameters.contexts.durable_request_v2 =
        Some(DurableRequestV2 { create_guid: Guid([7; 16]), ..DurableRequestV2::default() });
    tree.create(&parameters).await.expect("create");
    let query = EventQuery::default();
    let mut events = control.events(&query).await.expect("events");
    connection.disconnect();
    event(&mut events, |it| it.kind == "orphaned").await;
    let open = only_open(&control, "durable.txt").await;
    assert_eq!((open.durable, open.session_id), (Some(true), None));
    let begun = Instant::now();
    let ended = control.close_file(open.id, &CloseFile::default()).await.expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Forced)));
    assert!(begun.elapsed() < Duration::from_secs(8), "nobody was waited for");
}

/// MS-SMB2 3.3.7.1: an open that is asked for its cache does not wait for a client that goes instead.
#[tokio::test]
async fn a_durable_open_that_is_being_closed_is_not_kept_for_its_client() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut breaks = connection.breaks();
    let create_guid = Guid([8; 16]);
    let mut parameters = CreateParameters::read_write("durable.txt");
    parameters.contexts.lease = lease(1, rwh());
    parameters.contexts.durable_request_v2 =
        Some(DurableRequestV2 { create_guid, ..DurableRequestV2::default() });
    let file = tree.create(&parameters).await.expect("create");
    let id = only_open(&control, "durable.txt").await.id;
    let close = closing(&control, id, CloseFile { grace: Some(30), ..CloseFile::default() });
    let _ = next_lease_break(&mut breaks).await;
    connection.disconnect();
    let ended = close.await.expect("joined").expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Forced)));

    let (_again, tree) = connected(server.address(), &setup, "alice").await;
    let mut reclaim = CreateParameters::open("durable.txt");
    reclaim.contexts.durable_reconnect_v2 =
        Some(DurableReconnectV2 { file_id: file.id(), create_guid, flags: 0 });
    let refused = tree.create(&reclaim).await.expect_err("it is gone");
    assert!(refused.is(NtStatus::OBJECT_NAME_NOT_FOUND), "{refused:?}");
}

/// A resilient open is kept (MS-SMB2 3.3.7.1), and its client can write back within the close's grace period.
#[tokio::test]
async fn a_client_that_reconnects_in_time_writes_back() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut breaks = connection.breaks();
    let mut parameters = CreateParameters::read_write("resilient.txt");
    parameters.oplock = OplockLevel::BATCH;
    let file = tree.create(&parameters).await.expect("create");
    let minute = [60_000_u32.to_le_bytes(), [0; 4]].concat();
    file.ioctl(FsctlCode::LMR_REQUEST_RESILIENCY, &minute, 0).await.expect("resilient");
    let id = only_open(&control, "resilient.txt").await.id;
    let query = EventQuery::default();
    let mut events = control.events(&query).await.expect("events");
    let close = closing(&control, id, CloseFile { grace: Some(30), ..CloseFile::default() });
    let told = tokio::time::timeout(Duration::from_secs(20), breaks.next()).await.expect("in time");
    assert!(matches!(told, Ok(Some(Break::Oplock(_)))), "{told:?}");
    connection.disconnect();
    event(&mut events, |it| it.kind == "orphaned").await;

    let (_again, tree) = connected(server.address(), &setup, "alice").await;
    let mut reclaim = CreateParameters::open("resilient.txt");
    reclaim.oplock = OplockLevel::BATCH;
    reclaim.contexts.durable_reconnect = Some(file.id());
    let file = tree.create(&reclaim).await.expect("it has waited");
    assert_eq!(only_open(&control, "resilient.txt").await.id, id);
    file.write(0, b"kept".to_vec()).await.expect("write back");
    tree.acknowledge_oplock(file.id(), OplockLevel::LEVEL_II).await.expect("acknowledge");
    let ended = close.await.expect("joined").expect("closed");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Flushed)));
    assert_eq!(std::fs::read(server.share_dir("data").join("resilient.txt")).expect("on disk"), b"kept");
}

#[tokio::test]
async fn only_the_named_open_of_a_lease_is_closed() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (connection, tree) = connected(server.address(), &setup, "alice").await;
    let mut breaks = connection.breaks();
    let first = leased(&tree, "shared.txt", rwh()).await;
    let id = only_open(&control, "shared.txt").await.id;
    let second = leased(&tree, "shared.txt", rwh()).await;
    let close = closing(&control, id, CloseFile::default());
    assert_eq!(next_lease_break(&mut breaks).await, R);
    second.write(0, b"through the other".to_vec()).await.expect("write back");
    tree.acknowledge_lease(Guid([1; 16]), R).await.expect("acknowledge");
    assert_eq!(close.await.expect("joined").expect("closed").outcome, Some(Outcome::Flushed));
    assert!(first.read(0, 1).await.expect_err("closed").is(NtStatus::FILE_CLOSED));
    assert_eq!(&second.read(0, 64).await.expect("read")[..], b"through the other");
    assert_eq!(only_open(&control, "shared.txt").await.lease.as_deref(), Some("R"));
    assert_eq!(breaks.try_next().expect("no loss"), None);
}

#[tokio::test]
async fn only_the_expected_open_is_closed() {
    let setup = Setup::default();
    let server = Shareward::start(&setup);
    let control = control(&server);
    let (_connection, tree) = connected(server.address(), &setup, "alice").await;
    let _file = tree.create(&CreateParameters::read_write("Expected.txt")).await.expect("create");
    let open = only_open(&control, "expected").await;
    let how = |user: Option<&str>, path: Option<&str>| CloseFile {
        expect_user: user.map(String::from),
        expect_path: path.map(String::from),
        ..CloseFile::default()
    };
    for wrong in [how(Some("bob"), None), how(None, Some("other.txt")), how(Some("alice"), Some("expected"))]
    {
        let (code, hint) = refusal(control.close_file(open.id, &wrong).await);
        assert_eq!(code, 2314, "{wrong:?}");
        assert!(hint.contains(r"data\Expected.txt of alice"), "{hint}");
    }
    let right = how(Some("ALICE"), open.server_path.as_deref());
    assert_eq!(control.close_file(open.id, &right).await.expect("closed").files, 1);
    let _file = tree.create(&CreateParameters::read_write("Expected.txt")).await.expect("create");
    let open = only_open(&control, "expected").await;
    assert_eq!(
        control.close_file(open.id, &how(None, Some("/EXPECTED.TXT"))).await.expect("closed").files,
        1
    );
}

/// A program that writes data into the kernel's cache under its lease, reports it, and keeps the file open until
/// signalled.
const CACHED: &str = r#"
set -eu
cd /mnt
python3 - <<'PY'
import os, time
cached = os.open("cached", os.O_RDWR | os.O_CREAT)
os.write(cached, b"k" * 300000)
os.close(os.open("marker", os.O_RDWR | os.O_CREAT))
for _ in range(400):
    if "go" in os.listdir("."):
        break
    time.sleep(0.1)
PY
test -e go
echo cached done
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernels_client_writes_back_what_it_cached() {
    let Some(subject) = Subject::with(KERNEL_CLIENT_NEEDS) else { return };
    let Subject::Shareward(server) = &subject else { return };
    let control = control(server);
    let directory = subject.share_dir("data");
    let query = EventQuery::default();
    let mut events = control.events(&query).await.expect("events");
    let subject = std::sync::Arc::new(subject);
    let running = {
        let subject = std::sync::Arc::clone(&subject);
        tokio::task::spawn_blocking(move || KernelClient::new(&subject, "actimeo=0").run(CACHED, &[]))
    };
    let is = |it: &Event, kind: &str, path: &str| it.kind == kind && it.path.as_deref() == Some(path);
    let opened = event(&mut events, |it| is(it, "opened", "cached")).await;
    event(&mut events, |it| is(it, "opened", "marker")).await;
    let before = std::fs::metadata(directory.join("cached")).expect("there").len();
    let ended =
        control.close_file(opened.file_id.expect("an id"), &CloseFile::default()).await.expect("closed");
    let after = std::fs::read(directory.join("cached")).expect("there");
    std::fs::write(directory.join("go"), "").expect("write");
    running.await.expect("joined").says("cached done");
    assert!(before < 300_000, "the kernel cached nothing: {before}");
    assert_eq!((ended.files, ended.outcome), (1, Some(Outcome::Flushed)));
    assert!(after.len() == 300_000 && after.iter().all(|byte| *byte == b'k'), "{} bytes", after.len());
}
