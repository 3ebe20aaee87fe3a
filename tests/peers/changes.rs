//! Notifications about changes in directories that clients watch or have leases on: by other clients, and by
//! processes on the server's own machine.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use auth::Credentials;
use client::smb::{
    Break, Breaks, ClientConnection, ClientTree, ConnectOptions, CreateParameters, File, InFlight,
};
use testkit::{Setup, Subject, skip};
use wire::create_context::{CreateContextsRequest, LeaseContext, LeaseFlags, LeaseV2};
use wire::fscc::notify::{NotifyAction, decode_changes};
use wire::msg::{CompletionFilter, CreateDisposition, LeaseBreakFlags, OutputResponse, WatchFlags};
use wire::{AccessMask, Guid, LeaseState, NtStatus, OplockLevel};

const RH: LeaseState = LeaseState(LeaseState::READ.0 | LeaseState::HANDLE.0);

const ALL: CompletionFilter = CompletionFilter(0xfff);

/// The time for a notification, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The time to wait if no notification is expected.
const A_WHILE: Duration = Duration::from_millis(400);

struct Client {
    connection: ClientConnection,
    tree: ClientTree,
}

impl Client {
    async fn of(subject: &Subject) -> Self {
        let options = ConnectOptions::new().expect("options");
        let address = SocketAddr::from(([127, 0, 0, 1], subject.port()));
        let connection = ClientConnection::connect(address, None, options).await.expect("connect");
        let user = subject.user("alice");
        let credentials = Credentials::password(&user.name, "", &user.password);
        let session = connection.logon(credentials).await.expect("log on");
        let tree = session.tree_connect(r"\\127.0.0.1\data").await.expect("tree connect");
        Self { connection, tree }
    }

    /// Opens a directory and asks for a lease on it.
    async fn leased(&self, name: &str, key: u8) -> File {
        let parameters = CreateParameters {
            contexts: lease(key, RH, None),
            access: AccessMask::READ_DATA | AccessMask::READ_ATTRIBUTES,
            ..CreateParameters::directory(name)
        };
        self.tree.create(&parameters).await.expect("open the directory")
    }

    /// Makes or opens a file; `parent`: the key of the lease on its directory.
    async fn file(&self, name: &str, key: u8, parent: Option<u8>) -> File {
        let contexts = lease(key, LeaseState::READ, parent);
        let parameters = CreateParameters { contexts, ..CreateParameters::read_write(name) };
        self.tree.create(&parameters).await.expect("create")
    }
}

fn guid(number: u8) -> Guid {
    Guid([number; 16])
}

fn lease(key: u8, state: LeaseState, parent: Option<u8>) -> CreateContextsRequest<'static> {
    let flags = if parent.is_some() { LeaseFlags::PARENT_LEASE_KEY_SET } else { LeaseFlags::NONE };
    let v2 = LeaseV2 { parent_key: parent.map(guid).unwrap_or_default(), epoch: 0 };
    CreateContextsRequest {
        lease: Some(LeaseContext { key: guid(key), state, flags, v2: Some(v2) }),
        ..CreateContextsRequest::default()
    }
}

fn granted(file: &File) -> LeaseState {
    file.created.contexts.lease.expect("a lease").state
}

async fn next_break(breaks: &mut Breaks) -> (u8, LeaseState, bool) {
    let next = tokio::time::timeout(SOON, breaks.next()).await.expect("a break in time");
    match next.expect("breaks").expect("a connection") {
        Break::Lease(it) => {
            (it.lease_key.0[0], it.new_lease_state, it.flags.contains(LeaseBreakFlags::ACK_REQUIRED))
        }
        other => panic!("{other:?}"),
    }
}

async fn no_break(breaks: &mut Breaks) {
    let next = tokio::time::timeout(A_WHILE, breaks.next()).await;
    assert!(next.is_err(), "a break: {next:?}");
}

/// A directory with a watch on it, and a request that waits.
struct Watched {
    directory: File,
    flags: WatchFlags,
    waiting: Option<InFlight>,
    settled: u32,
}

impl Watched {
    async fn begin(client: &Client, name: &str, flags: WatchFlags) -> Self {
        let directory = client.tree.create(&CreateParameters::directory(name)).await.expect("open");
        let mut watched = Self { directory, flags, waiting: None, settled: 0 };
        watched.ask().await;
        // The interim answer says that the watch has begun.
        assert!(watched.waiting.as_ref().expect("a request").pending().await.is_some());
        watched
    }

    /// Creates a directory in the watched one and waits for its notification. Earlier changes have been processed
    /// then, because the kernel reports them in order. Returns the other notifications.
    async fn settle(&mut self, watched: &Path) -> Vec<(NotifyAction, String)> {
        self.settled += 1;
        let name = format!("settled-{}", self.settled);
        fs::create_dir(watched.join(&name)).expect("a directory");
        let mut told = self.until(&name).await;
        told.retain(|(_, changed)| *changed != name);
        told
    }

    async fn ask(&mut self) {
        let asked = self.directory.submit_notify(ALL, self.flags, 4096).await;
        self.waiting = Some(asked.expect("CHANGE_NOTIFY"));
    }

    /// The next changes; `None` if the client must list the directory.
    async fn next(&mut self) -> Option<Vec<(NotifyAction, String)>> {
        let waiting = self.waiting.take().expect("a request");
        let answer = waiting.response_within(SOON).await.expect("changes in time");
        let answer = answer.success_or(&[NtStatus::NOTIFY_ENUM_DIR]).expect("changes");
        self.ask().await;
        if answer.header.status == NtStatus::NOTIFY_ENUM_DIR {
            return None;
        }
        let body = OutputResponse::decode(&answer.message).expect("an answer");
        let entries = decode_changes(body.output_buffer);
        Some(
            entries
                .map(|entry| entry.expect("an entry"))
                .map(|entry| (entry.action, entry.name.to_text()))
                .collect(),
        )
    }

    /// All changes of names up to one of `last`.
    async fn until(&mut self, last: &str) -> Vec<(NotifyAction, String)> {
        let mut all = Vec::new();
        loop {
            let changes = self.next().await.expect("no overflow");
            let done = changes.iter().any(|(_, name)| name == last);
            all.extend(changes.into_iter().filter(|(action, _)| *action != NotifyAction::MODIFIED));
            if done {
                return all;
            }
        }
    }
}

fn shared(subject: &Subject, name: &str) -> PathBuf {
    let directory = subject.share_dir("data").join(name);
    make_directory(&directory);
    directory
}

fn make_directory(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir(path).expect("a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("permissions");
}

fn changes(expected: &[(NotifyAction, &str)]) -> Vec<(NotifyAction, String)> {
    expected.iter().map(|(action, name)| (*action, (*name).to_owned())).collect()
}

#[tokio::test]
async fn local_changes_are_notified() {
    let subject = Subject::start(&Setup::default());
    let directory = shared(&subject, "watched");
    let client = Client::of(&subject).await;
    let mut watched = Watched::begin(&client, "watched", WatchFlags::NONE).await;
    let file = directory.join("a.txt");
    fs::write(&file, "one").expect("write");
    assert_eq!(watched.next().await.expect("no overflow")[0], (NotifyAction::ADDED, "a.txt".into()));
    // Later notifications of the same write.
    watched.settle(&directory).await;
    fs::rename(&file, directory.join("b.txt")).expect("rename");
    fs::remove_file(directory.join("b.txt")).expect("remove");
    make_directory(&directory.join("last"));
    let told = watched.until("last").await;
    let expected = changes(&[
        (NotifyAction::RENAMED_OLD_NAME, "a.txt"),
        (NotifyAction::RENAMED_NEW_NAME, "b.txt"),
        (NotifyAction::REMOVED, "b.txt"),
        (NotifyAction::ADDED, "last"),
    ]);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn local_writes_are_notified_like_those_of_clients() {
    let subject = Subject::start(&Setup::default());
    let directory = shared(&subject, "watched");
    let (client, other) = (Client::of(&subject).await, Client::of(&subject).await);
    let file = other.tree.create(&CreateParameters::read_write(r"watched\a.txt")).await.expect("create");
    let mut watched = Watched::begin(&client, "watched", WatchFlags::NONE).await;
    file.write(0, b"one".to_vec()).await.expect("write");
    let modified = changes(&[(NotifyAction::MODIFIED, "a.txt")]);
    assert_eq!(watched.next().await, Some(modified.clone()));
    // The server and another process have just written the file.
    watched.settle(&directory).await;
    fs::write(directory.join("a.txt"), "two").expect("write");
    assert_eq!(watched.next().await, Some(modified));
}

#[tokio::test]
async fn no_change_is_notified_twice() {
    let subject = Subject::start(&Setup::default());
    let directory = shared(&subject, "watched");
    let (client, other) = (Client::of(&subject).await, Client::of(&subject).await);
    let mut watched = Watched::begin(&client, "watched", WatchFlags::WATCH_TREE).await;
    let mut expected = Vec::new();
    for number in 0..20 {
        let name = format!("file{number}");
        let path = format!(r"watched\{name}");
        let parameters = CreateParameters {
            disposition: CreateDisposition::CREATE,
            ..CreateParameters::read_write(&path)
        };
        let file = other.tree.create(&parameters).await.expect("create");
        file.write(0, b"content".to_vec()).await.expect("write");
        expected.push((NotifyAction::ADDED, name.clone()));
        if number % 2 == 0 {
            file.set_delete_on_close(true).await.expect("delete");
            expected.push((NotifyAction::REMOVED, name));
        }
        file.close().await.expect("close");
    }
    let mut told = watched.settle(&directory).await;
    // Another process creates a name that a client had before.
    fs::write(directory.join("file0"), "again").expect("write");
    expected.push((NotifyAction::ADDED, "file0".into()));
    make_directory(&directory.join("last"));
    expected.push((NotifyAction::ADDED, "last".into()));
    told.extend(watched.until("last").await);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn local_changes_deep_below_are_notified() {
    let subject = Subject::start(&Setup::default());
    let directory = shared(&subject, "tree");
    make_directory(&directory.join("old"));
    let client = Client::of(&subject).await;
    let mut watched = Watched::begin(&client, "tree", WatchFlags::WATCH_TREE).await;
    // The tree is walked after the watch has begun.
    for attempt in 0.. {
        fs::write(directory.join(format!("old/file{attempt}")), "").expect("write");
        let told = watched.settle(&directory).await;
        if told.contains(&(NotifyAction::ADDED, format!(r"old\file{attempt}"))) {
            break;
        }
    }
    fs::create_dir_all(directory.join("new/deep")).expect("directories");
    fs::write(directory.join("new/deep/file"), "").expect("write");
    let told = watched.until(r"new\deep\file").await;
    assert!(told.contains(&(NotifyAction::ADDED, "new".into())), "{told:?}");
    assert!(told.contains(&(NotifyAction::ADDED, r"new\deep".into())), "{told:?}");
    watched.settle(&directory).await;
    fs::rename(directory.join("new"), directory.join("moved")).expect("rename");
    watched.until("moved").await;
    watched.settle(&directory).await;
    fs::remove_file(directory.join("moved/deep/file")).expect("remove");
    let told = watched.until(r"moved\deep\file").await;
    assert!(told.contains(&(NotifyAction::REMOVED, r"moved\deep\file".into())), "{told:?}");
}

#[tokio::test]
async fn changes_in_the_directory_of_streams_are_not_reported() {
    let subject = Subject::start(&Setup::default());
    if matches!(subject, Subject::Samba(_)) {
        return skip("its shares keep streams in attributes alone");
    }
    let client = Client::of(&subject).await;
    let root = subject.share_dir("data");
    let mut watched = Watched::begin(&client, "", WatchFlags::WATCH_TREE).await;
    drop(client.file("f", 1, None).await);
    let stream = client.tree.create(&CreateParameters::read_write("f:s")).await.expect("create");
    stream.write(0, vec![1; 20_000]).await.expect("write");
    let kept = root.join(".shareward-streams");
    fs::write(kept.join("local"), "a local program's").expect("write");
    let told = watched.settle(&root).await;
    assert!(told.iter().any(|(_, name)| name == "f"), "{told:?}");
    assert!(told.iter().all(|(_, name)| !name.contains("streams")), "{told:?}");
}

#[tokio::test]
async fn too_many_local_changes_end_in_one_notification() {
    let subject = Subject::start(&Setup::default());
    let directory = shared(&subject, "storm");
    let client = Client::of(&subject).await;
    let mut watched = Watched::begin(&client, "storm", WatchFlags::NONE).await;
    for number in 0..30_000 {
        fs::write(directory.join(format!("a-file-with-a-name-{number}")), "").expect("write");
    }
    while watched.next().await.is_some() {}
}

#[tokio::test]
async fn others_changes_break_directory_leases() {
    let subject = Subject::start(&Setup::default());
    shared(&subject, "leased");
    if subject.is_samba() {
        return skip("Samba 4.17 has no directory leases");
    }
    let (one, two) = (Client::of(&subject).await, Client::of(&subject).await);
    let mut breaks = one.connection.breaks();
    let directory = one.leased("leased", 1).await;
    assert_eq!((directory.created.oplock, granted(&directory)), (OplockLevel::LEASE, RH));
    // The holder's own doings, which name the lease.
    let own = one.file(r"leased\own", 2, Some(1)).await;
    own.write(0, b"content".to_vec()).await.expect("write");
    own.close().await.expect("close");
    no_break(&mut breaks).await;
    // The client's own changes do not.
    let own = one.file(r"leased\another", 3, None).await;
    assert_eq!(next_break(&mut breaks).await, (1, LeaseState::NONE, true));
    one.tree.acknowledge_lease(guid(1), LeaseState::NONE).await.expect("acknowledge");
    assert_eq!(granted(&one.leased("leased", 1).await), RH, "it is had again");
    // A listing shows the new size after the file is closed.
    own.write(0, b"content".to_vec()).await.expect("write");
    no_break(&mut breaks).await;
    own.close().await.expect("close");
    assert_eq!(next_break(&mut breaks).await, (1, LeaseState::NONE, true));
    one.tree.acknowledge_lease(guid(1), LeaseState::NONE).await.expect("acknowledge");
    assert_eq!(granted(&one.leased("leased", 1).await), RH);
    let file = two.tree.create(&CreateParameters::read_write(r"leased\theirs")).await.expect("create");
    assert_eq!(next_break(&mut breaks).await, (1, LeaseState::NONE, true));
    one.tree.acknowledge_lease(guid(1), LeaseState::NONE).await.expect("acknowledge");
    assert_eq!(granted(&one.leased("leased", 1).await), RH);
    file.set_delete_on_close(true).await.expect("delete");
    no_break(&mut breaks).await;
    file.close().await.expect("close");
    assert_eq!(next_break(&mut breaks).await, (1, LeaseState::NONE, true));
}

#[tokio::test]
async fn local_changes_break_directory_leases() {
    let subject = Subject::start(&Setup::default());
    let path = shared(&subject, "leased");
    if subject.is_samba() {
        return skip("Samba 4.17 has no directory leases");
    }
    let client = Client::of(&subject).await;
    let mut watched = Watched::begin(&Client::of(&subject).await, "leased", WatchFlags::NONE).await;
    let mut breaks = client.connection.breaks();
    for change in 0..4 {
        assert_eq!(granted(&client.leased("leased", 1).await), RH);
        match change {
            0 => fs::write(path.join("local"), "content").expect("write"),
            1 => fs::write(path.join("local"), "more content").expect("write"),
            2 => fs::rename(path.join("local"), path.join("renamed")).expect("rename"),
            _ => fs::remove_file(path.join("renamed")).expect("remove"),
        }
        assert_eq!(next_break(&mut breaks).await, (1, LeaseState::NONE, true), "change {change}");
        client.tree.acknowledge_lease(guid(1), LeaseState::NONE).await.expect("acknowledge");
        // Other notifications of the kernel.
        watched.settle(&path).await;
    }
}

#[tokio::test]
async fn a_local_write_breaks_caching_of_the_file() {
    let subject = Subject::start(&Setup::default());
    let path = shared(&subject, "leased");
    if subject.is_samba() {
        return skip("Samba 4.17 has no directory leases");
    }
    let client = Client::of(&subject).await;
    let mut breaks = client.connection.breaks();
    let mut watched = Watched::begin(&Client::of(&subject).await, "leased", WatchFlags::NONE).await;
    let file = client.file(r"leased\file", 2, None).await;
    assert_eq!(granted(&file), LeaseState::READ);
    watched.settle(&path).await;
    assert_eq!(granted(&client.leased("leased", 1).await), RH);
    fs::write(path.join("file"), "content").expect("write");
    let mut broken = [next_break(&mut breaks).await, next_break(&mut breaks).await];
    broken.sort_by_key(|(key, ..)| *key);
    assert_eq!(broken, [(1, LeaseState::NONE, true), (2, LeaseState::NONE, false)]);
}

#[test]
fn smbclient_notify() {
    let Some(subject) = Subject::with(&["smbclient"]) else { return };
    let directory = shared(&subject, "watched");
    let user = subject.user("alice");
    let mut smbclient = Command::new("smbclient")
        .args(["//127.0.0.1/data", "--configfile=/dev/null", "-p", &subject.port().to_string(), "-U"])
        .args([&user.credentials(), "-c", "notify watched"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("smbclient");
    let output = smbclient.stdout.take().expect("its output");
    // smbclient prints nothing before the first change.
    let changes = std::thread::spawn(move || {
        for number in 0..200 {
            fs::write(directory.join(format!("local-{number}")), "").expect("write");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let line = std::io::BufRead::lines(std::io::BufReader::new(output)).next();
    smbclient.kill().expect("kill");
    smbclient.wait().expect("wait");
    let line = line.expect("a line").expect("text");
    assert!(line.contains("local-"), "{line}");
    drop(changes);
}
