//! Shares whose file systems hang: only their own users wait.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, File, write_part};
use futures_util::future::join_all;
use testkit::{Operation, Output, RunAs, Setup, Share, Shareward, StuckFs, Subject, need};
use tokio::task::JoinHandle;
use wire::NtStatus;
use wire::fscc::FileInfoClass;
use wire::msg::{AdditionalInformation, CompletionFilter, InfoType, WatchFlags, WriteResponse};

use crate::scripted::{logged_on, rename, tree};

/// Clients of the hanging share, each on a separate connection: more than the server has threads.
const CLIENTS: usize = 40;

/// The time limit for requests of other users, on a busy machine.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(4);

/// The time limit for an administrator's command, which waits a while for the files that it has closed.
const COMMAND_MAX: Duration = Duration::from_secs(12);

/// The time until the state is as before.
const RECOVERY_MAX: Duration = Duration::from_secs(40);

/// A server with a share that hangs on request, and the share `data`, which does not.
struct Scene {
    subject: Subject,
    stuck: StuckFs,
    _directory: tempfile::TempDir,
    descriptors: usize,
}

impl Scene {
    fn set() -> Option<Self> {
        if !need(&["root", "/dev/fuse", "umount"]) {
            return None;
        }
        let (directory, stuck) = mounted();
        Some(Self::with(directory, stuck))
    }

    fn with(directory: tempfile::TempDir, stuck: StuckFs) -> Self {
        let subject = Subject::Shareward(Shareward::start(&setup(directory.path())));
        let descriptors = server(&subject).descriptors();
        Self { subject, stuck, _directory: directory, descriptors }
    }

    fn server(&self) -> &Shareward {
        server(&self.subject)
    }

    /// A command of an administrator, which ends in time.
    async fn net(&self, words: &[&str]) -> Output {
        let begun = Instant::now();
        let output = tokio::task::block_in_place(|| self.server().net(words));
        assert!(begun.elapsed() < COMMAND_MAX, "{words:?} took {:?}", begun.elapsed());
        output
    }

    /// Checks that other users can read, write and log on, and that the administrators' commands work.
    async fn others_go_on(&self, neighbour: &ClientTree) {
        let mut slowest = Duration::ZERO;
        for round in 0..40 {
            let begun = Instant::now();
            let name = format!("neighbour{round}.txt");
            let file = neighbour.create(&CreateParameters::read_write(&name)).await.expect("create");
            file.write(0, b"still here".to_vec()).await.expect("write");
            assert_eq!(&file.read(0, 64).await.expect("read")[..], b"still here");
            file.flush().await.expect("flush");
            file.close().await.expect("close");
            slowest = slowest.max(begun.elapsed());
        }
        assert!(slowest < OTHERS_WAIT_MAX, "somebody else waited for {slowest:?}");
        let begun = Instant::now();
        let another = tree(&self.subject, "bob", "data").await;
        another.create(&CreateParameters::open("")).await.expect("open");
        assert!(begun.elapsed() < OTHERS_WAIT_MAX, "a logon took {:?}", begun.elapsed());
        another.connection().disconnect();
    }

    /// Checks that the file system works again and nothing is left of the waiting clients.
    async fn everything_is_as_before(&self) {
        self.stuck.release();
        let begun = Instant::now();
        loop {
            let sessions = self.net(&["session", "--csv", "--no-header"]).await.success().stdout;
            let files = self.net(&["file", "--csv", "--no-header"]).await.success().stdout;
            let open = self.server().descriptors();
            let left = (self.stuck.opens(), self.stuck.hanging());
            if sessions.trim().is_empty()
                && files.trim().is_empty()
                && left == (0, 0)
                && open <= self.descriptors
            {
                return;
            }
            assert!(
                begun.elapsed() < RECOVERY_MAX,
                "left over: {left:?} in the file system, {open} descriptors of {}\n{sessions}\n{files}",
                self.descriptors
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn mounted() -> (tempfile::TempDir, StuckFs) {
    let directory = tempfile::Builder::new().prefix("shareward-stuck.").tempdir().expect("a directory");
    open_to_all(directory.path());
    for share in ["hung", "data"] {
        std::fs::create_dir(directory.path().join(share)).expect("a directory");
        open_to_all(&directory.path().join(share));
    }
    let stuck = StuckFs::mount(&directory.path().join("hung"));
    (directory, stuck)
}

fn setup(directory: &Path) -> Setup {
    let share = |name: &str| Share {
        name: name.into(),
        encrypted: false,
        read_only: false,
        hides_unreadable: false,
        shows_symlinks: false,
    };
    Setup {
        shares: vec![share("hung"), share("data")],
        tree: Some(PathBuf::from(directory)),
        ..Setup::default()
    }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("chmod");
}

fn server(subject: &Subject) -> &Shareward {
    match subject {
        Subject::Shareward(server) => server,
        Subject::Samba(_) => panic!("the server is ours"),
    }
}

/// A client of the share that hangs, with a file open there.
#[derive(Clone)]
struct Victim {
    tree: ClientTree,
    file: File,
    root: File,
    name: String,
}

impl Victim {
    async fn new(subject: &Subject, number: usize) -> Self {
        let tree = tree(subject, "alice", "hung").await;
        let name = format!("file{number}");
        let file = tree.create(&CreateParameters::read_write(&name)).await.expect("create");
        file.write(0, vec![b'x'; 4096]).await.expect("write");
        let root = tree.create(&CreateParameters::directory("")).await.expect("open the directory");
        Self { tree, file, root, name }
    }

    /// A request that takes the operation.
    async fn needs(self, operation: Operation) -> Result<(), Error> {
        let Self { tree, file, root, name } = self;
        let query = |file: File, kind, class| async move {
            file.query_info(kind, class, AdditionalInformation::NONE, 4096).await.map(drop)
        };
        match operation {
            Operation::Lookup => tree.create(&CreateParameters::open(&name)).await.map(drop),
            Operation::Open => {
                tree.create(&CreateParameters::read_write(&format!("{name}.new"))).await.map(drop)
            }
            Operation::Attributes => query(file, InfoType::FILE, FileInfoClass::BASIC.0).await,
            Operation::Read => file.read(0, 4096).await.map(drop),
            Operation::Write => file.write(0, vec![b'y'; 4096]).await.map(drop),
            Operation::Flush => file.close().await,
            Operation::Sync => file.flush().await,
            Operation::List => root.list(FileInfoClass::DIRECTORY, "*").all(1000).await.map(drop),
            Operation::Unlink => {
                file.set_delete_on_close(true).await?;
                file.close().await
            }
            Operation::Rename => rename(&file, &format!("{name}.renamed")).await,
            Operation::Statfs => query(root, InfoType::FILESYSTEM, FS_FULL_SIZE_INFORMATION).await,
            Operation::Xattrs => query(file, InfoType::FILE, FileInfoClass::EA.0).await,
        }
    }
}

/// FileFsFullSizeInformation (MS-FSCC 2.5.4).
const FS_FULL_SIZE_INFORMATION: u8 = 7;

async fn victims(subject: &Subject) -> Vec<Victim> {
    join_all((0..CLIENTS).map(|number| Victim::new(subject, number))).await
}

/// Sends a request for each victim, and returns once calls hang.
async fn hang<F>(
    scene: &Scene,
    victims: &[Victim],
    request: impl Fn(Victim) -> F,
) -> Vec<JoinHandle<F::Output>>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let requests: Vec<_> = victims.iter().map(|victim| tokio::spawn(request(victim.clone()))).collect();
    until("calls hang", || scene.stuck.hanging() != 0).await;
    requests
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < RECOVERY_MAX, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The ids in a list of files.
fn ids(listed: &str) -> BTreeSet<String> {
    listed.lines().filter_map(|line| line.split(',').next()).map(str::to_owned).collect()
}

async fn a_share_that_hangs_in(operation: Operation) {
    let Some(scene) = Scene::set() else { return };
    let neighbour = tree(&scene.subject, "bob", "data").await;
    let victims = victims(&scene.subject).await;
    scene.stuck.hang(&[operation]);
    let requests = hang(&scene, &victims, |victim| victim.needs(operation)).await;
    scene.others_go_on(&neighbour).await;

    // Administrators see all sessions, and close a file and end sessions of waiting clients.
    let sessions = scene.net(&["session"]).await.success();
    assert!(sessions.stdout.contains("alice") && sessions.stdout.contains("bob"), "{sessions}");
    let files = scene.net(&["file", "--csv", "--no-header"]).await.success().stdout;
    let listed = ids(&files);
    let id = listed.first().expect("a file that is open");
    scene.net(&["file", id, "/close"]).await.success();
    let files = scene.net(&["file", "--csv", "--no-header"]).await.success().stdout;
    assert!(!ids(&files).contains(id), "{files}");
    scene.net(&["session", r"\\127.0.0.1", "--user", "alice", "/delete", "/y"]).await.success();
    let sessions = scene.net(&["session", "--csv", "--no-header"]).await.success().stdout;
    assert!(!sessions.contains("alice"), "{sessions}");
    scene.server().signal("HUP");
    until("the configuration is read again", || scene.server().log().contains("configuration read again"))
        .await;
    scene.others_go_on(&neighbour).await;

    scene.stuck.release();
    for request in join_all(requests).await {
        // Their sessions are over.
        drop(request.expect("a request"));
    }
    // The share works again, for new clients.
    let again = Victim::new(&scene.subject, CLIENTS).await;
    again.tree.connection().disconnect();
    for victim in &victims {
        victim.tree.connection().disconnect();
    }
    neighbour.connection().disconnect();
    scene.everything_is_as_before().await;
}

macro_rules! hangs_in {
    ($($name:ident: $operation:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            a_share_that_hangs_in(Operation::$operation).await;
        })*
    };
}

hangs_in! {
    a_lookup_that_hangs: Lookup,
    metadata_that_hang: Attributes,
    an_open_that_hangs: Open,
    a_read_that_hangs: Read,
    a_write_that_hangs: Write,
    a_close_that_hangs: Flush,
    a_flush_that_hangs: Sync,
    a_listing_that_hangs: List,
    a_removal_that_hangs: Unlink,
    a_rename_that_hangs: Rename,
    a_file_system_that_does_not_say_how_large_it_is: Statfs,
    attributes_that_hang: Xattrs,
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_disconnect_during_a_hang_leave_nothing() {
    let Some(scene) = Scene::set() else { return };
    let neighbour = tree(&scene.subject, "bob", "data").await;
    let victims = victims(&scene.subject).await;
    scene.stuck.hang(&Operation::ALL);
    // Some wait, others just go.
    let requests = hang(&scene, &victims[..CLIENTS / 2], |victim| victim.needs(Operation::Write)).await;
    for victim in &victims {
        victim.tree.connection().disconnect();
    }
    for request in join_all(requests).await {
        assert!(request.expect("a request").is_err());
    }
    scene.others_go_on(&neighbour).await;
    neighbour.connection().disconnect();
    scene.everything_is_as_before().await;
    assert_eq!(scene.stuck.names().len(), CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_file_system_ends_all_waits() {
    let Some(scene) = Scene::set() else { return };
    let neighbour = tree(&scene.subject, "bob", "data").await;
    let victims = victims(&scene.subject).await;
    scene.stuck.hang(&Operation::ALL);
    let requests = hang(&scene, &victims, |victim| victim.needs(Operation::Read)).await;
    scene.others_go_on(&neighbour).await;
    scene.stuck.kill();
    for request in join_all(requests).await {
        assert!(request.expect("a request").is_err());
    }
    for tree in victims.iter().map(|victim| &victim.tree).chain([&neighbour]) {
        tree.connection().disconnect();
    }
    until("no session is left", || {
        scene.server().net(&["session", "--csv", "--no-header"]).success().stdout.trim().is_empty()
    })
    .await;
    until("no descriptor is left", || scene.server().descriptors() <= scene.descriptors).await;
}

/// Also for a client that uses the share that hangs and another one on one connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_request_does_not_block_its_connection() {
    let Some(scene) = Scene::set() else { return };
    let victims = victims(&scene.subject).await;
    scene.stuck.hang(&[Operation::Attributes]);
    let requests = hang(&scene, &victims, |victim| victim.needs(Operation::Attributes)).await;
    // The share is known to hang by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let session = logged_on(&scene.subject, "bob", ConnectOptions::new().expect("options")).await;
    let hung = session.tree_connect(r"\\127.0.0.1\hung").await.expect("tree connect");
    let data = session.tree_connect(r"\\127.0.0.1\data").await.expect("tree connect");
    let waits = tokio::spawn(async move { hung.create(&CreateParameters::open("file0")).await.map(drop) });
    scene.others_go_on(&data).await;
    session.connection().echo().await.expect("echo");
    // Another client needs the data that this client has cached.
    let mut parameters = CreateParameters::read_write("cached");
    parameters.oplock = wire::OplockLevel::BATCH;
    let mut breaks = session.connection().breaks();
    let cached = data.create(&parameters).await.expect("create");
    let closes = async {
        breaks.next().await.expect("a break").expect("a break");
        cached.close().await.expect("close");
    };
    let begun = Instant::now();
    let others = tree(&scene.subject, "bob", "data").await;
    let (opened, ()) = tokio::join!(
        async { others.create(&CreateParameters::read_write("cached")).await.map(drop) },
        closes
    );
    opened.expect("open");
    assert!(begun.elapsed() < OTHERS_WAIT_MAX, "a break took {:?}", begun.elapsed());
    scene.stuck.release();
    waits.await.expect("a request").expect("it goes on");
    for request in join_all(requests).await {
        request.expect("a request").expect("it goes on");
    }
    let own = [session.connection(), others.connection()];
    for connection in victims.iter().map(|victim| victim.tree.connection()).chain(own) {
        connection.disconnect();
    }
    scene.everything_is_as_before().await;
}

/// The data of large unsigned WRITEs usually stay in the socket until they are written.
#[tokio::test(flavor = "multi_thread")]
async fn large_writes_that_hang_do_not_block_their_connection() {
    const SIZE: usize = 1 << 20;
    let Some(scene) = Scene::set() else { return };
    let victims = victims(&scene.subject).await;
    let session = logged_on(&scene.subject, "bob", ConnectOptions::new().expect("options")).await;
    let hung = session.tree_connect(r"\\127.0.0.1\hung").await.expect("tree connect");
    let data = session.tree_connect(r"\\127.0.0.1\data").await.expect("tree connect");
    let file = hung.create(&CreateParameters::read_write("large")).await.expect("create");
    let part = |number: usize| write_part(file.id(), (number * SIZE) as u64, vec![7; SIZE].into());
    // After a large frame, the next one is expected to be large.
    hung.request(part(0)).await.expect("write");
    scene.stuck.hang(&[Operation::Attributes]);
    let requests = hang(&scene, &victims, |victim| victim.needs(Operation::Attributes)).await;
    // The share is known to hang by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut writes = Vec::new();
    for number in 1..5 {
        writes.push(session.connection().submit(hung.scope(), part(number)).await.expect("send"));
    }
    scene.others_go_on(&data).await;
    session.connection().echo().await.expect("echo");
    scene.stuck.release();
    for write in writes {
        let answer = write.response().await.expect("an answer").success().expect("written");
        assert_eq!(WriteResponse::decode(&answer.message).expect("an answer to WRITE").count, SIZE as u32);
    }
    for request in join_all(requests).await {
        request.expect("a request").expect("it goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_and_stops_with_a_hanging_share() {
    if !need(&["root", "/dev/fuse", "umount"]) {
        return;
    }
    let (directory, stuck) = mounted();
    // The directory of the share cannot even be opened.
    let setup = setup(directory.path());
    let first = Shareward::start(&setup);
    let subject = Subject::Shareward(first);
    stuck.hang(&Operation::ALL);
    let Subject::Shareward(mut server) = subject else { return };
    tokio::task::block_in_place(|| server.restart());
    let subject = Subject::Shareward(server);
    let scene =
        Scene { descriptors: self::server(&subject).descriptors(), subject, stuck, _directory: directory };
    let neighbour = tree(&scene.subject, "bob", "data").await;
    scene.others_go_on(&neighbour).await;
    let session = logged_on(&scene.subject, "alice", ConnectOptions::new().expect("options")).await;
    // However many ask for it, one is at it.
    let asks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.tree_connect(r"\\127.0.0.1\hung").await.map(drop) })
        })
        .collect();
    scene.others_go_on(&neighbour).await;
    for refused in join_all(asks).await {
        let refused = refused.expect("an attempt").expect_err("it is not there yet");
        assert!(refused.is(NtStatus::BAD_NETWORK_NAME), "{refused}");
    }
    assert!(scene.stuck.hanging() <= 1, "{} threads are stuck", scene.stuck.hanging());
    let listed = scene.net(&["share"]).await.success().stdout;
    assert!(listed.contains("hung is unavailable: its file system does not answer"), "{listed}");
    scene.stuck.release();
    let begun = Instant::now();
    let hung = loop {
        match session.tree_connect(r"\\127.0.0.1\hung").await {
            Ok(hung) => break hung,
            Err(error) => assert!(begun.elapsed() < RECOVERY_MAX, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let file = hung.create(&CreateParameters::read_write("late")).await.expect("create");
    file.write(0, b"late".to_vec()).await.expect("write");

    // The server stops although files there can be neither flushed nor closed.
    scene.stuck.hang(&Operation::ALL);
    let Scene { subject, stuck, _directory, .. } = scene;
    let Subject::Shareward(server) = subject else { return };
    server.signal("TERM");
    let address = server.address();
    let begun = Instant::now();
    // A process cannot end while the kernel waits in it, but it no longer listens.
    until("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(begun.elapsed() < COMMAND_MAX, "it took {:?}", begun.elapsed());
    stuck.release();
    let stopped = tokio::task::block_in_place(|| server.stop());
    assert!(stopped.is_some_and(|status| status.success()), "{stopped:?}");
}

/// Watching and leasing a directory makes the kernel look at it.
#[tokio::test(flavor = "multi_thread")]
async fn watches_of_a_hanging_share_do_not_block_other_watches() {
    let Some(scene) = Scene::set() else { return };
    let victims = victims(&scene.subject).await;
    scene.stuck.hang(&[Operation::Attributes, Operation::Open, Operation::List]);
    let requests = hang(&scene, &victims, |victim| async move {
        let watch =
            victim.root.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::WATCH_TREE, 4096).await?;
        watch.response().await.map(drop)
    })
    .await;
    let neighbour = tree(&scene.subject, "bob", "data").await;
    scene.others_go_on(&neighbour).await;
    let root = neighbour.create(&CreateParameters::directory("")).await.expect("open");
    let watch =
        root.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::NONE, 4096).await.expect("a watch");
    // Changes by a local process are notified as well.
    watch.pending().await.expect("it waits");
    std::fs::write(scene.server().share_dir("data").join("local"), b"x").expect("write");
    watch.response_within(OTHERS_WAIT_MAX).await.expect("an answer");
    scene.stuck.release();
    for victim in &victims {
        victim.tree.connection().disconnect();
    }
    neighbour.connection().disconnect();
    for request in join_all(requests).await {
        drop(request.expect("a request"));
    }
    scene.everything_is_as_before().await;
}

/// The name service that knows Unix accounts reads them from a file system that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_service_that_hangs_delays_logons_only() {
    if !need(&["root", "/dev/fuse", "umount", "unshare"]) {
        return;
    }
    let (directory, stuck) = mounted();
    let accounts = Some(directory.path().join("hung"));
    let mut setup = Setup { run_as: RunAs::Root, accounts, ..setup(directory.path()) };
    setup.shares.retain(|share| share.name == "data");
    let subject = Subject::Shareward(Shareward::start(&setup));
    let data = tree(&subject, "alice", "data").await;
    stuck.hang(&[Operation::Open, Operation::Read]);
    let attempts: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let address = subject.address();
            let user = subject.user("bob").clone();
            tokio::spawn(async move {
                let options = ConnectOptions::new()?;
                let connection = ClientConnection::connect(address, None, options).await?;
                connection.logon(Credentials::password(&user.name, "", &user.password)).await.map(drop)
            })
        })
        .collect();
    until("somebody is asked for", || stuck.hanging() != 0).await;
    for round in 0..40 {
        let begun = Instant::now();
        let file = data.create(&CreateParameters::read_write(&format!("f{round}"))).await.expect("create");
        file.write(0, b"still here".to_vec()).await.expect("write");
        file.close().await.expect("close");
        assert!(begun.elapsed() < OTHERS_WAIT_MAX, "files took {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    let sessions = tokio::task::block_in_place(|| server(&subject).net(&["session"])).success();
    assert!(sessions.stdout.contains("alice"), "{sessions}");
    assert!(begun.elapsed() < OTHERS_WAIT_MAX, "an administrator waited for {:?}", begun.elapsed());
    for attempt in join_all(attempts).await {
        let refused = attempt.expect("an attempt").expect_err("nobody knows who that is");
        assert!(refused.is(NtStatus::LOGON_FAILURE), "{refused}");
    }
    stuck.release();
    let begun = Instant::now();
    loop {
        let options = ConnectOptions::new().expect("options");
        let connection = ClientConnection::connect(subject.address(), None, options).await.expect("connect");
        let user = subject.user("bob");
        match connection.logon(Credentials::password(&user.name, "", &user.password)).await {
            Ok(_) => break,
            Err(error) => assert!(begun.elapsed() < RECOVERY_MAX, "bob stays unknown: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
