//! Opens that outlive the server: persistent handles of continuously available shares, and durable handles with
//! `durable_over_restart`. The server is killed or restarted, and the clients go on.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, File, Part};
use testkit::{Setup, Shareward, Subject, User, need};
use wire::create_context::{
    CreateContextsRequest, DurableFlags, DurableReconnectV2, DurableRequestV2, LeaseContext, LeaseFlags,
};
use wire::msg::{
    CreateOptions, GlobalCapabilities, LockElement, LockFlags, LockRequest, Locks, ShareCapabilities,
};
use wire::{Command, FileId, Guid, LeaseState, NtStatus, OplockLevel};

use crate::reload::reconfigure;
use crate::scripted::{DATA, refused};
use crate::small_disks::{Frozen, Mounted, fill};

/// The time limit for a client that comes back.
const BACK_MAX: Duration = Duration::from_secs(30);

/// Without handle caching, other opens are refused while the client is away; with it, they wait.
const RW: LeaseState = LeaseState(LeaseState::READ.0 | LeaseState::WRITE.0);

const EXCLUSIVE: LockFlags = LockFlags(LockFlags::EXCLUSIVE_LOCK.0 | LockFlags::FAIL_IMMEDIATELY.0);

fn started(setting: &str) -> Subject {
    let setup = Setup { extra_share: format!("{setting} = true"), ..Setup::default() };
    Subject::Shareward(Shareward::start(&setup))
}

fn server(subject: &mut Subject) -> &mut Shareward {
    match subject {
        Subject::Shareward(server) => server,
        Subject::Samba(_) => panic!("the server is ours"),
    }
}

/// A tree connect of a client that supports persistent handles.
async fn connect(subject: &Subject, user: &str, guid: Guid) -> Result<ClientTree, Error> {
    connect_to(subject.address(), subject.user(user), guid).await
}

async fn connect_to(address: SocketAddr, user: &User, guid: Guid) -> Result<ClientTree, Error> {
    let mut options = ConnectOptions::with_guid(guid);
    options.capabilities |= GlobalCapabilities::PERSISTENT_HANDLES;
    let connection = ClientConnection::connect(address, None, options).await?;
    let session = connection.logon(Credentials::password(&user.name, "", &user.password)).await?;
    session.tree_connect(DATA).await
}

/// The contexts that request a durable handle, and those that reclaim it.
#[derive(Clone, Copy)]
struct Handle {
    create: Guid,
    lease: Option<Guid>,
    persistent: bool,
}

impl Handle {
    fn flags(&self) -> u32 {
        if self.persistent { DurableFlags::PERSISTENT.0 } else { 0 }
    }

    fn lease(&self) -> Option<LeaseContext> {
        self.lease.map(|key| LeaseContext { key, state: RW, flags: LeaseFlags::NONE, v2: None })
    }

    fn open<'a>(&self, name: &'a str) -> CreateParameters<'a> {
        let (flags, create_guid) = (self.flags(), self.create);
        let contexts = CreateContextsRequest {
            durable_request_v2: Some(DurableRequestV2 { timeout_ms: 60_000, flags, create_guid }),
            lease: self.lease(),
            ..CreateContextsRequest::default()
        };
        let oplock = if self.persistent { OplockLevel::NONE } else { OplockLevel::BATCH };
        CreateParameters { contexts, oplock, ..CreateParameters::read_write(name) }
    }

    fn reclaim<'a>(&self, name: &'a str, file_id: FileId) -> CreateParameters<'a> {
        let (flags, create_guid) = (self.flags(), self.create);
        let contexts = CreateContextsRequest {
            durable_reconnect_v2: Some(DurableReconnectV2 { file_id, create_guid, flags }),
            lease: self.lease(),
            ..CreateContextsRequest::default()
        };
        CreateParameters { contexts, ..CreateParameters::read_write(name) }
    }
}

fn guid(number: u8) -> Guid {
    Guid([number; 16])
}

/// A LOCK of one range with a sequence number (MS-SMB2 2.2.26).
pub(crate) async fn lock(file: &File, offset: u64, flags: LockFlags, sequence: u32) -> Result<(), Error> {
    let element = LockElement { offset, length: 8, flags };
    let mut buffer = Vec::new();
    let locks = Locks::build(&[element], &mut buffer);
    let body = LockRequest { lock_sequence: sequence, file_id: file.id(), locks };
    let part = Part::new(Command::LOCK, |out, base| body.encode(out, base));
    file.tree().request(part).await.map(drop)
}

/// MS-SMB2 3.3.5.9.12: after a crash of the server, a client reclaims its open with its lease and its lock, and repeats
/// the requests that were not answered. Until then others cannot open the file.
#[tokio::test]
async fn persistent_open_outlives_a_killed_server_with_its_lock_and_lease() {
    let mut subject = started("continuous");
    let handle = Handle { create: guid(3), lease: Some(guid(4)), persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    assert!(tree.share.capabilities.contains(ShareCapabilities::CONTINUOUS_AVAILABILITY));
    let file = tree.create(&handle.open("file")).await.expect("create");
    let granted = file.created.contexts.durable_v2.expect("a durable handle");
    assert_eq!((granted.flags, granted.timeout_ms), (DurableFlags::PERSISTENT.0, 60_000));
    file.write(0, b"before".to_vec()).await.expect("write");
    lock(&file, 0, EXCLUSIVE, 0x12).await.expect("lock");
    let id = file.id();

    server(&mut subject).kill_and_restart();

    let other = connect(&subject, "bob", guid(2)).await.expect("connect");
    refused(other.create(&CreateParameters::read_write("file")).await, NtStatus::FILE_NOT_AVAILABLE);
    let shown = server(&mut subject).net(&["file"]).success().text();
    assert!(shown.contains("file") && shown.contains("alice"), "{shown}");
    // The persistent flag and the GUID must match.
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    for wrong in [Handle { persistent: false, ..handle }, Handle { create: guid(5), ..handle }] {
        refused(tree.create(&wrong.reclaim("file", id)).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    let back = tree.create(&handle.reclaim("file", id)).await.expect("reclaim");
    assert_eq!(back.id().persistent, id.persistent);
    assert_eq!(back.created.contexts.lease.map(|lease| lease.state), Some(RW));
    assert_eq!(&back.read(0, 16).await.expect("read")[..], b"before");
    // The repeated LOCK was carried out before; with another number it conflicts with the lock that is held.
    lock(&back, 0, EXCLUSIVE, 0x12).await.expect("a repeated lock");
    refused(lock(&back, 0, EXCLUSIVE, 0x23).await, NtStatus::LOCK_NOT_GRANTED);
    lock(&back, 0, LockFlags::UNLOCK, 0x34).await.expect("unlock");
    lock(&back, 8, EXCLUSIVE, 0x45).await.expect("lock");
    back.close().await.expect("close");
    other.create(&CreateParameters::read_write("file")).await.expect("others can open it now");

    // The end of the open outlives the server, too.
    server(&mut subject).kill_and_restart();
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    refused(tree.create(&handle.reclaim("file", id)).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    tree.create(&CreateParameters::read_write("file")).await.expect("nobody has it open");
}

/// MS-SMB2 3.3.5.14: a refused LOCK empties the bucket of its number, for the next start of the server as well. Else the
/// sixteenth LOCK after one that was carried out, which has the same number, would pass for a repeated one.
#[tokio::test]
async fn refused_lock_does_not_pass_for_a_repeated_one_after_a_crash() {
    let mut subject = started("continuous");
    let one = Handle { create: guid(3), lease: None, persistent: true };
    let other = Handle { create: guid(4), ..one };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let file = tree.create(&one.open("file")).await.expect("create");
    let holder = tree.create(&other.open("file")).await.expect("create");
    lock(&file, 0, EXCLUSIVE, 0x11).await.expect("lock");
    lock(&file, 0, LockFlags::UNLOCK, 0x12).await.expect("unlock");
    lock(&holder, 0, EXCLUSIVE, 0x11).await.expect("lock");
    for number in 3..18 {
        refused(lock(&file, 0, EXCLUSIVE, 0x10 | number & 0xf).await, NtStatus::LOCK_NOT_GRANTED);
    }

    server(&mut subject).kill_and_restart();

    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    tree.create(&other.reclaim("file", holder.id())).await.expect("reclaim");
    let file = tree.create(&one.reclaim("file", file.id())).await.expect("reclaim");
    refused(lock(&file, 0, EXCLUSIVE, 0x12).await, NtStatus::LOCK_NOT_GRANTED);
}

/// Until its client is back, an open is listed with the time left, and an administrator can close it for good.
#[tokio::test]
async fn open_that_waits_for_its_client_is_shown_and_closed() {
    let mut subject = started("continuous");
    let handle = Handle { create: guid(3), lease: None, persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let file = tree.create(&handle.open("file")).await.expect("create");
    let server = server(&mut subject);
    let shown = server.net(&["file", "--waiting"]).success().text();
    assert!(shown.contains("There are no entries in the list."), "{shown}");

    server.kill_and_restart();

    let shown = server.net(&["file", "--waiting"]).success().text();
    assert!(shown.contains("waits for its client until") && shown.contains("from now"), "{shown}");
    let shown = server.net(&["session"]).success().text();
    assert!(shown.contains("1 open file of alice from 127.0.0.1 waits for the client"), "{shown}");
    let listed = server.net(&["file", "--json", "--waiting"]).success().text();
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let open = &listed["files"][0];
    assert!(open["waits_until"].is_string() && open["session_id"].is_null(), "{listed}");
    let id = open["id"].to_string();
    server.net(&["file", &id, "/close", "/yes"]).success();
    let shown = server.net(&["session"]).success().text();
    assert!(!shown.contains("waits for the client"), "{shown}");

    // The closed open is gone from the log as well.
    server.kill_and_restart();
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    refused(tree.create(&handle.reclaim("file", file.id())).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    tree.create(&CreateParameters::read_write("file")).await.expect("nobody has it open");
}

/// A stop of the service keeps the opens, and the files that are to be deleted on close.
#[tokio::test]
async fn durable_open_outlives_a_restart_of_the_service_if_the_share_keeps_it() {
    for (setting, outlives) in [("durable_over_restart", true), ("hidden", false)] {
        let mut subject = started(setting);
        let handle = Handle { create: guid(3), lease: None, persistent: false };
        let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
        assert!(!tree.share.capabilities.contains(ShareCapabilities::CONTINUOUS_AVAILABILITY));
        let mut parameters = handle.open("file");
        parameters.options |= CreateOptions::DELETE_ON_CLOSE;
        let file = tree.create(&parameters).await.expect("create");
        assert_eq!(file.created.contexts.durable_v2.expect("a durable handle").flags, 0);
        file.write(0, b"before".to_vec()).await.expect("write");
        let path = server(&mut subject).share_dir("data").join("file");

        server(&mut subject).restart();

        assert_eq!(path.exists(), outlives, "{setting}");
        let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
        let back = tree.create(&handle.reclaim("file", file.id())).await;
        if !outlives {
            refused(back, NtStatus::OBJECT_NAME_NOT_FOUND);
            continue;
        }
        let back = back.expect("reclaim");
        assert_eq!(&back.read(0, 16).await.expect("read")[..], b"before");
        back.close().await.expect("close");
        assert!(!path.exists(), "it was to be deleted on close");
    }
}

/// An open whose path leads to another file by now is not restored.
#[tokio::test]
async fn open_of_a_replaced_file_does_not_outlive_the_server() {
    let mut subject = started("continuous");
    let handle = |number| Handle { create: guid(number), lease: None, persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let mut ids = Vec::new();
    for (number, name) in [(3, "replaced"), (4, "removed"), (5, "kept")] {
        ids.push(tree.create(&handle(number).open(name)).await.expect("create").id());
    }
    let directory = server(&mut subject).share_dir("data");
    fs::write(directory.join("new"), "another file").expect("write");
    fs::rename(directory.join("new"), directory.join("replaced")).expect("rename");
    fs::remove_file(directory.join("removed")).expect("remove");
    server(&mut subject).kill_and_restart();
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    for (number, name) in [(3, "replaced"), (4, "removed")] {
        let id = ids[usize::from(number) - 3];
        refused(tree.create(&handle(number).reclaim(name, id)).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    tree.create(&handle(5).reclaim("kept", ids[2])).await.expect("reclaim");
    let log = server(&mut subject).log();
    assert!(log.contains("another file has its path") && log.contains("its file is gone"), "{log}");
}

/// A damaged log is refused and kept, and the share works without it.
#[tokio::test]
async fn share_with_a_damaged_log_gives_out_no_persistent_handles() {
    let mut subject = started("continuous");
    let handle = Handle { create: guid(3), lease: None, persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let file = tree.create(&handle.open("one")).await.expect("create");
    tree.create(&Handle { create: guid(4), ..handle }.open("two")).await.expect("create");
    let log = server(&mut subject).share_dir("data").join(".shareward-handles/data");
    let mut bytes = fs::read(&log).expect("the log");
    bytes[80] ^= 1;
    fs::write(&log, &bytes).expect("write");
    server(&mut subject).kill_and_restart();
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    assert!(!tree.share.capabilities.contains(ShareCapabilities::CONTINUOUS_AVAILABILITY));
    refused(tree.create(&handle.reclaim("one", file.id())).await, NtStatus::OBJECT_NAME_NOT_FOUND);
    let plain = tree.create(&handle.open("one")).await.expect("create");
    assert_eq!(plain.created.contexts.durable_v2, None, "a persistent handle needs the log");
    assert_eq!(fs::read(&log).expect("the log"), bytes);
    let said = server(&mut subject).log();
    assert!(said.contains("cannot use the log of opens") && said.contains("is damaged"), "{said}");
    // Clients do not see the directory.
    refused(tree.create(&CreateParameters::open(".shareward-handles\\data")).await, NtStatus::ACCESS_DENIED);
}

/// A reload that changes how the share's directory is opened, or that takes the setting away for a while, does not take
/// the persistent handles from clients that come later.
#[tokio::test]
async fn share_stays_continuous_over_reloads_of_its_other_settings() {
    let mut subject = started("continuous");
    let handle = Handle { create: guid(3), lease: None, persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let file = tree.create(&handle.open("file")).await.expect("create");
    for (number, (before, after)) in [
        ("continuous = true", "continuous = true\nfollow_symlinks = false"),
        ("continuous = true", "continuous = false"),
        ("continuous = false", "continuous = true"),
    ]
    .into_iter()
    .enumerate()
    {
        reconfigure(server(&mut subject), before, after);
        let is_on = after.starts_with("continuous = true");
        let other = connect(&subject, "bob", guid(2)).await.expect("connect");
        let offered = other.share.capabilities.contains(ShareCapabilities::CONTINUOUS_AVAILABILITY);
        assert_eq!(offered, is_on, "{after}: {}", server(&mut subject).log());
        let create = Handle { create: guid(4 + u8::try_from(number).expect("a number")), ..handle };
        let name = format!("file{number}");
        let opened = other.create(&create.open(&name)).await.expect("create");
        assert_eq!(opened.created.contexts.durable_v2.is_some(), is_on, "{after}");
    }
    server(&mut subject).kill_and_restart();
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    tree.create(&handle.reclaim("file", file.id())).await.expect("reclaim");
}

/// A client that increments a number in a file under a lock, and comes back whenever the server was killed.
struct Counter {
    address: SocketAddr,
    user: User,
    client: Guid,
    handle: Handle,
    file: File,
    /// The number of the last LOCK.
    sequence: u32,
}

impl Counter {
    async fn begin(subject: &Subject, number: u8) -> Self {
        let handle = Handle { create: guid(number), lease: None, persistent: true };
        let (address, user) = (subject.address(), subject.user("alice").clone());
        let tree = connect_to(address, &user, guid(number)).await.expect("connect");
        let file = tree.create(&handle.open("counter")).await.expect("create");
        Self { address, user, client: guid(number), handle, file, sequence: 0 }
    }

    /// Reclaims the open after the connection was lost.
    async fn come_back(&mut self) {
        let deadline = Instant::now() + BACK_MAX;
        loop {
            let back = match connect_to(self.address, &self.user, self.client).await {
                Ok(tree) => tree.create(&self.handle.reclaim("counter", self.file.id())).await,
                Err(error) => Err(error),
            };
            match back {
                Ok(file) => {
                    self.file = file;
                    return;
                }
                Err(error) => assert!(Instant::now() < deadline, "the open is lost: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Repeats a LOCK until it is answered. Returns false if the range is locked by the other client.
    async fn lock(&mut self, flags: LockFlags) -> bool {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = 0x10 | self.sequence & 0xf;
        loop {
            match lock(&self.file, 0, flags, sequence).await {
                Ok(()) => return true,
                Err(error) if error.is(NtStatus::LOCK_NOT_GRANTED) => return false,
                Err(Error::Status(status, _)) => panic!("LOCK: {status:?}"),
                Err(_) => self.come_back().await,
            }
        }
    }

    async fn value(&mut self) -> u64 {
        loop {
            match self.file.read(0, 8).await {
                Ok(bytes) => return u64::from_le_bytes(bytes[..].try_into().expect("eight bytes")),
                Err(Error::Status(status, _)) => panic!("READ: {status:?}"),
                Err(_) => self.come_back().await,
            }
        }
    }

    async fn increment(&mut self) {
        while !self.lock(EXCLUSIVE).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let after = self.value().await + 1;
        loop {
            match self.file.write(0, after.to_le_bytes().to_vec()).await {
                Ok(_) => break,
                Err(Error::Status(status, _)) => panic!("WRITE: {status:?}"),
                Err(_) => self.come_back().await,
            }
        }
        assert!(self.lock(LockFlags::UNLOCK).await, "the lock is lost");
    }

    /// Increments until it is over; returns the number of increments.
    async fn run(mut self, over: Arc<AtomicBool>) -> (Self, u64) {
        let mut done = 0;
        while !over.load(Ordering::Relaxed) {
            self.increment().await;
            done += 1;
        }
        (self, done)
    }
}

/// Two clients increment a number under a lock while the server is killed: each increment counts once, so no
/// acknowledged write or lock is lost, and no lock is held twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_server_is_killed_again_and_again() {
    const ROUNDS: u32 = 8;
    let mut subject = started("continuous");
    let tree = connect(&subject, "alice", guid(9)).await.expect("connect");
    let file = tree.create(&CreateParameters::read_write("counter")).await.expect("create");
    file.write(0, vec![0; 8]).await.expect("write");
    file.close().await.expect("close");
    let (one, other) = (Counter::begin(&subject, 1).await, Counter::begin(&subject, 2).await);
    let over = Arc::new(AtomicBool::new(false));
    let (one, other) = (tokio::spawn(one.run(over.clone())), tokio::spawn(other.run(over.clone())));
    let killed = tokio::task::spawn_blocking(move || {
        for _ in 0..ROUNDS {
            // Long enough for some work in each round, which need not be much.
            std::thread::sleep(Duration::from_millis(300));
            server(&mut subject).kill_and_restart();
        }
        subject
    });
    let subject = killed.await.expect("the server");
    over.store(true, Ordering::Relaxed);
    let ((mut one, ones), (_, others)) = (one.await.expect("a client"), other.await.expect("a client"));
    assert!(ones > 0 && others > 0, "{ones} {others}");
    assert_eq!(one.value().await, ones + others);
    drop(subject);
}

/// On a full disk, a request whose change cannot be recorded is refused, and nothing else is lost.
#[tokio::test]
async fn full_disk_refuses_new_persistent_handles_and_keeps_the_others() {
    if !need(&["root"]) {
        return;
    }
    let disk = tempfile::tempdir().expect("a directory");
    let mount = Mounted::on(disk.path());
    let setup = Setup {
        extra_share: String::from("continuous = true"),
        tree: Some(disk.path().to_owned()),
        ..Setup::default()
    };
    let mut subject = Subject::Shareward(Shareward::start(&setup));
    let handle = |number| Handle { create: guid(number), lease: None, persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let first = tree.create(&handle(3).open("first")).await.expect("create");
    lock(&first, 0, EXCLUSIVE, 0x11).await.expect("lock");
    let second = tree.create(&handle(4).open("second")).await.expect("create");
    // Files for later, which need no space.
    for number in 5..=255_u16 {
        let name = format!("file{number}");
        tree.create(&CreateParameters::read_write(&name))
            .await
            .expect("create")
            .close()
            .await
            .expect("close");
    }
    let filler = disk.path().join("filler");
    fill(&filler);
    // The space that the log has reserved is used up first.
    let mut opened = Vec::new();
    let status = 'full: {
        for number in 5..=255_u16 {
            for _ in 0..16 {
                let name = format!("file{number}");
                match tree.create(&handle(u8::try_from(number).expect("a number")).open(&name)).await {
                    Ok(file) => match file.close().await {
                        Ok(()) => {}
                        Err(Error::Status(status, _)) => break 'full Some(status),
                        Err(error) => panic!("{error}"),
                    },
                    Err(Error::Status(status, _)) => break 'full Some(status),
                    Err(error) => panic!("{error}"),
                }
            }
            opened.push(number);
        }
        None
    };
    assert_eq!(status, Some(NtStatus::DISK_FULL), "after {} files", opened.len());
    refused(lock(&first, 8, EXCLUSIVE, 0x21).await, NtStatus::DISK_FULL);
    assert!(server(&mut subject).log().contains("cannot write the log of opens"));
    server(&mut subject).kill_and_restart();
    fs::remove_file(&filler).expect("remove");
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let back = tree.create(&handle(3).reclaim("first", first.id())).await.expect("reclaim");
    tree.create(&handle(4).reclaim("second", second.id())).await.expect("reclaim");
    lock(&back, 0, LockFlags::UNLOCK, 0x31).await.expect("it still has its lock");
    refused(lock(&back, 8, LockFlags::UNLOCK, 0x41).await, NtStatus::RANGE_NOT_LOCKED);
    drop(subject);
    drop(mount);
}

/// A LOCK that is repeated while the first is on its way to the log waits for it: a server that takes over knows only what
/// is in the log.
#[tokio::test]
async fn repeated_lock_waits_for_the_log() {
    if !need(&["root", "mkfs.ext4", "fsfreeze"]) {
        return;
    }
    let (disk, scratch) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let mount = Mounted::ext4(&scratch.path().join("image"), disk.path());
    let setup = Setup {
        extra_share: String::from("continuous = true"),
        tree: Some(disk.path().to_owned()),
        ..Setup::default()
    };
    let subject = Subject::Shareward(Shareward::start(&setup));
    let handle = Handle { create: guid(3), lease: None, persistent: true };
    let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
    let file = tree.create(&handle.open("file")).await.expect("create");
    let frozen = Frozen::freeze(disk.path());
    let within = Duration::from_secs(1);
    let first = tokio::time::timeout(within, lock(&file, 0, EXCLUSIVE, 0x11)).await;
    assert!(first.is_err(), "the log cannot be written: {first:?}");
    tree.connection().disconnect();
    let deadline = Instant::now() + BACK_MAX;
    let back = loop {
        let tree = connect(&subject, "alice", guid(1)).await.expect("connect");
        match tree.create(&handle.reclaim("file", file.id())).await {
            Ok(back) => break back,
            // The server has not noticed the lost connection yet.
            Err(error) => assert!(Instant::now() < deadline, "the open is lost: {error}"),
        }
    };
    let again = tokio::time::timeout(within, lock(&back, 0, EXCLUSIVE, 0x11)).await;
    assert!(again.is_err(), "the log still cannot be written: {again:?}");
    drop(frozen);
    lock(&back, 0, EXCLUSIVE, 0x11).await.expect("a repeated lock");
    lock(&back, 0, LockFlags::UNLOCK, 0x12).await.expect("it is held");
    drop(subject);
    drop(mount);
}
