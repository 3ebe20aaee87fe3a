//! Servers that share directories as a cluster, with a real etcd, on one machine: each has an address of its own in
//! 127.0.0.0/8. The owner of a share is killed, stopped or asked to stop, and clients go on with the next one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{
    Break, ClientConnection, ClientSession, ClientTree, ConnectOptions, CreateParameters, Error, SharePlace,
};
use tempfile::TempDir;
use testkit::{Etcd, Output, Setup, Shareward, free_port, need, run, shareward_binary};
use wire::Guid;
use wire::create_context::{CreateContextsRequest, DurableFlags, DurableReconnectV2, DurableRequestV2};
use wire::msg::{GlobalCapabilities, OplockBreak, ShareCapabilities};
use wire::{Dialect, FileId, NtStatus, OplockLevel};

/// The time within which a share is served again: a lease of 3 s, and the rest on a busy machine.
pub(crate) const BACK_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    pub(crate) etcd: Etcd,
    pub(crate) nodes: Vec<Shareward>,
    pub(crate) storage: TempDir,
}

impl Cluster {
    /// Starts etcd and nodes called `a`, `b`, ..., with the share `shared` that keeps its opens.
    pub(crate) fn start(members: usize, nodes: u8, lines: &str) -> Self {
        let etcd = Etcd::start(members);
        let storage = tempfile::tempdir().unwrap();
        std::fs::create_dir(storage.path().join("shared")).unwrap();
        for directory in [storage.path().to_owned(), storage.path().join("shared")] {
            std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let port = free_port();
        let mut cluster = Self { etcd, nodes: Vec::new(), storage };
        for index in 0..nodes {
            let node = char::from(b'a' + index);
            let lines = lines.replace("NODE", &node.to_string());
            cluster.add(&node.to_string(), Ipv4Addr::new(127, 0, 77, index + 1), port, &lines);
            if index == 0 {
                cluster.nodes[0].configured(&["cluster", "init"]).success().says("The cluster was made");
                let path = cluster.directory();
                let what = format!("shared={}", path.display());
                cluster.nodes[0].configured(&["cluster", "share", &what, "continuous=true"]).success();
            }
        }
        let started = Instant::now();
        while cluster.status().text().matches("joined").count() < usize::from(nodes) {
            assert!(started.elapsed() < BACK_MAX, "not all nodes join: {}", cluster.status().text());
            thread::sleep(Duration::from_millis(100));
        }
        cluster
    }

    pub(crate) fn add(&mut self, node: &str, address: Ipv4Addr, port: u16, lines: &str) {
        let lines = lines.replace("ADDRESS", &address.to_string());
        let endpoints: Vec<_> = self.etcd.endpoints().iter().map(|it| format!("{it:?}")).collect();
        let extra = format!(
            "unix_identities = false\n[cluster]\nname = \"office\"\nnode = {node:?}\nendpoints = [{}]\n\
             addresses = [\"{address}\"]\npaths = [{:?}]\n{lines}",
            endpoints.join(", "),
            self.storage.path()
        );
        let listen = Some(SocketAddr::new(IpAddr::V4(address), port));
        self.nodes.push(Shareward::start(&Setup { extra, listen, shares: Vec::new(), ..Setup::default() }));
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.storage.path().join("shared")
    }

    /// The index of the node that owns the share, by what it logs and serves.
    pub(crate) async fn owner(&self, except: Option<usize>) -> usize {
        let started = Instant::now();
        loop {
            for index in (0..self.nodes.len()).filter(|index| Some(*index) != except) {
                if connect(&self.nodes[index]).await.is_ok() {
                    return index;
                }
            }
            assert!(started.elapsed() < BACK_MAX, "nobody serves the share: {}", self.status().text());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    pub(crate) fn status(&self) -> Output {
        self.nodes[0].configured(&["cluster", "status"]).success()
    }
}

pub(crate) async fn connect(node: &Shareward) -> Result<ClientTree, Error> {
    logon(node, &[]).await?.tree_connect(r"\\tested\shared").await
}

/// A session with one of these dialects, or with any.
pub(crate) async fn logon(node: &Shareward, dialects: &[Dialect]) -> Result<ClientSession, Error> {
    let user = node.setup().user("alice");
    let mut options = ConnectOptions::with_guid(Guid([7; 16]));
    options.capabilities |= GlobalCapabilities::PERSISTENT_HANDLES;
    if !dialects.is_empty() {
        options.dialects = dialects.to_vec();
    }
    let connection = ClientConnection::connect(node.address(), None, options).await?;
    connection.logon(Credentials::password(&user.name, "", &user.password)).await
}

pub(crate) fn persistent(reclaimed: Option<FileId>) -> CreateParameters<'static> {
    persistent_open("file", 9, reclaimed)
}

/// The parameters for a persistent open of a file, with the number of its create GUID.
pub(crate) fn persistent_open(name: &str, number: u8, reclaimed: Option<FileId>) -> CreateParameters<'_> {
    let (flags, create_guid) = (DurableFlags::PERSISTENT.0, Guid([number; 16]));
    let contexts = match reclaimed {
        None => CreateContextsRequest {
            durable_request_v2: Some(DurableRequestV2 { timeout_ms: 60_000, flags, create_guid }),
            ..CreateContextsRequest::default()
        },
        Some(file_id) => CreateContextsRequest {
            durable_reconnect_v2: Some(DurableReconnectV2 { file_id, create_guid, flags }),
            ..CreateContextsRequest::default()
        },
    };
    CreateParameters { contexts, oplock: OplockLevel::NONE, ..CreateParameters::read_write(name) }
}

/// A client with a persistent handle writes and flushes, the owner is killed, and the client goes on with its handle on the
/// next owner.
#[tokio::test]
async fn client_goes_on_with_its_handle_when_the_owner_is_killed() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(3, 2, "");
    let first = cluster.owner(None).await;
    let tree = connect(&cluster.nodes[first]).await.unwrap();
    let file = tree.create(&persistent(None)).await.expect("create");
    assert!(file.created.contexts.durable_v2.is_some());
    file.write(0, b"before".to_vec()).await.expect("write");
    file.flush().await.expect("flush");
    let id = file.id();

    cluster.nodes[first].kill();
    // A member of etcd goes with the machine of the owner.
    cluster.etcd.kill(first);
    let killed = Instant::now();
    let second = cluster.owner(Some(first)).await;
    assert_ne!(second, first);
    eprintln!("served again after {:?}", killed.elapsed());
    let tree = connect(&cluster.nodes[second]).await.unwrap();
    let file = tree.create(&persistent(Some(id))).await.expect("reclaim");
    assert_eq!(&file.read(0, 16).await.expect("read")[..], b"before");
    file.write(6, b", after".to_vec()).await.expect("write");
    file.close().await.expect("close");
    assert_eq!(std::fs::read(cluster.directory().join("file")).unwrap(), b"before, after");

    // The former owner comes back, and takes no share away.
    cluster.nodes[first].start_again();
    thread::sleep(Duration::from_secs(2));
    assert!(connect(&cluster.nodes[second]).await.is_ok());
    assert!(connect(&cluster.nodes[first]).await.is_err());
}

/// A client counts in a file, each number flushed, while its owner is killed or stands still again and again. No flushed
/// number is lost, and none is written by an owner that was fenced.
#[tokio::test]
async fn no_flushed_number_is_lost_when_owners_die_and_stand_still() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(3, 2, "");
    let (mut flushed, mut id, mut away) = (0_u64, None, None);
    for round in 0..4 {
        let owner = cluster.owner(away).await;
        if let Some(away) = away.take().filter(|_| round % 2 == 1) {
            cluster.nodes[away].start_again();
        }
        let tree = connect(&cluster.nodes[owner]).await.expect("connect");
        let file = tree.create(&persistent(id)).await.expect("create or reclaim");
        id = Some(file.id());
        for number in 0..flushed {
            let read = file.read(8 * number, 8).await.expect("read");
            assert_eq!(&read[..], number.to_le_bytes(), "round {round}");
        }
        let counted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(flushed));
        let counter = std::sync::Arc::clone(&counted);
        let counting = tokio::spawn(async move {
            loop {
                let number = counter.load(std::sync::atomic::Ordering::SeqCst);
                file.write(8 * number, number.to_le_bytes().to_vec()).await?;
                file.flush().await?;
                counter.store(number + 1, std::sync::atomic::Ordering::SeqCst);
            }
            #[expect(unreachable_code, reason = "names the type of the error")]
            Ok::<(), Error>(())
        });
        tokio::time::sleep(Duration::from_millis(700)).await;
        match round % 2 {
            0 => cluster.nodes[owner].kill(),
            _ => {
                // It goes on before others could have its lock, which it holds.
                cluster.nodes[owner].signal("STOP");
                tokio::time::sleep(Duration::from_secs(5)).await;
                cluster.nodes[owner].signal("CONT");
            }
        }
        let ended = tokio::time::timeout(BACK_MAX, counting).await.expect("an answer or an end");
        assert!(ended.unwrap().is_err());
        let now = counted.load(std::sync::atomic::Ordering::SeqCst);
        assert!(now > flushed, "nothing was written in round {round}");
        (flushed, away) = (now, Some(owner));
    }
    let bytes = std::fs::read(cluster.directory().join("file")).unwrap();
    let numbers = bytes.chunks_exact(8).map(|it| u64::from_le_bytes(it.try_into().unwrap()));
    assert!(numbers.eq(0..bytes.len() as u64 / 8), "a number is missing");
    // The number that was written when the owner went may be there without having been acknowledged.
    assert!((flushed..=flushed + 1).contains(&(bytes.len() as u64 / 8)), "{flushed} of {}", bytes.len() / 8);
    eprintln!("{flushed} numbers");
}

/// An owner whose process stands still for longer than its lease writes nothing when it goes on. Its lock keeps others out
/// until then; fence_command can end that.
#[tokio::test]
async fn owner_that_was_stopped_is_fenced_before_it_writes() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let first = cluster.owner(None).await;
    let tree = connect(&cluster.nodes[first]).await.unwrap();
    let file = tree.create(&CreateParameters::read_write("late")).await.expect("create");
    file.write(0, b"in time".to_vec()).await.expect("write");
    cluster.nodes[first].signal("STOP");
    // The request waits in the owner's socket until the owner goes on.
    let late = tokio::spawn(async move { file.write(0, b"too late".to_vec()).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.nodes[first].signal("CONT");
    let outcome = tokio::time::timeout(BACK_MAX, late).await.unwrap().unwrap();
    assert!(outcome.is_err(), "the fenced owner has written");
    assert_eq!(std::fs::read(cluster.directory().join("late")).unwrap(), b"in time");
    let second = cluster.owner(Some(first)).await;
    assert!(cluster.nodes[first].log().contains("its lease was not renewed in time"));
    let tree = connect(&cluster.nodes[second]).await.unwrap();
    let file = tree.create(&CreateParameters::read_write("late")).await.expect("create");
    assert_eq!(&file.read(0, 16).await.expect("read")[..], b"in time");
}

#[tokio::test]
async fn fence_command_cuts_off_an_owner_that_holds_the_lock() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let script = scratch.path().join("fence");
    let (told, pids) = (scratch.path().join("told"), scratch.path().join("pids"));
    let text = format!("#!/bin/sh\ncat > {}\nread pid < {}\nkill -9 $pid\n", told.display(), pids.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let cluster = Cluster::start(1, 2, &format!("fence_command = [{script:?}]\n"));
    let first = cluster.owner(None).await;
    std::fs::write(&pids, format!("{}\n", cluster.nodes[first].pid())).unwrap();
    cluster.nodes[first].signal("STOP");
    let second = cluster.owner(Some(first)).await;
    assert_ne!(second, first);
    let told = std::fs::read_to_string(told).unwrap();
    let node = if first == 0 { r#""node":"a""# } else { r#""node":"b""# };
    assert!(told.contains(node) && told.contains(r#""share":"shared""#), "{told}");
}

/// smbclient follows the referral from any node to the owner, also after a planned move.
#[tokio::test]
async fn referrals_lead_to_the_owner_and_operators_move_shares() {
    if !need(&["etcd", "etcdctl", "smbclient"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let first = cluster.owner(None).await;
    let put = |node: &Shareward, name: &str| {
        let mut command = std::process::Command::new("smbclient");
        let address = node.address();
        command.arg("-p").arg(address.port().to_string()).arg(format!("//{}/shared", address.ip()));
        command.args(["-U", &node.setup().user("alice").credentials()]);
        command.args(["-c", &format!("put /etc/hostname {name}")]);
        run(command, b"", Duration::from_secs(20))
    };
    for node in &cluster.nodes {
        put(node, "one").success();
    }
    let (names, second) = (["a", "b"], 1 - first);
    cluster.nodes[0].configured(&["cluster", "move", "shared", names[second]]).success();
    let started = Instant::now();
    while connect(&cluster.nodes[second]).await.is_err() {
        assert!(started.elapsed() < BACK_MAX, "it does not move: {}", cluster.status().text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("moved after {:?}", started.elapsed());
    for node in &cluster.nodes {
        put(node, "two").success();
    }
    cluster.nodes[0].configured(&["cluster", "drain", names[second]]).success();
    assert_eq!(cluster.owner(Some(second)).await, first);
    cluster.status().says("draining").says("shared");
    cluster.nodes[0].configured(&["cluster", "undrain", names[second]]).success();
    cluster.nodes[0].configured(&["cluster", "share", "shared", "remark='moved'"]).success();
    cluster.nodes[0].configured(&["cluster", "delete", "shared"]).success();
    let started = Instant::now();
    while connect(&cluster.nodes[first]).await.is_ok() {
        assert!(started.elapsed() < BACK_MAX, "a deleted share is served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// MS-SMB2 3.3.5.7 and 2.2.2.2.2: with 3.1.1, a node that does not own a share leads clients to the owner, if they say that
/// they follow. The mount follows.
#[tokio::test]
async fn tree_connect_leads_to_the_owner() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let first = cluster.owner(None).await;
    let (owner, other) = (&cluster.nodes[first], &cluster.nodes[1 - first]);
    let path = r"\\tested\shared";
    let session = logon(other, &[]).await.expect("logon");
    match session.find_share(path).await.expect("an owner") {
        SharePlace::At(addresses) => assert_eq!(addresses, [owner.address().ip()]),
        SharePlace::Here(_) => panic!("another node serves the share"),
    }
    let silent = session.tree_connect(path).await.expect_err("it does not follow");
    assert!(silent.is(NtStatus::BAD_NETWORK_NAME), "{silent}");
    let none = session.find_share(r"\\tested\none").await.expect_err("no such share");
    assert!(none.is(NtStatus::BAD_NETWORK_NAME), "{none}");
    let older = logon(other, &[Dialect::SMB302]).await.expect("logon").find_share(path).await;
    assert!(older.is_err_and(|error| error.is(NtStatus::BAD_NETWORK_NAME)), "3.0.2 has no redirects");

    let offers = |tree: &ClientTree| tree.share.capabilities.contains(ShareCapabilities::REDIRECT_TO_OWNER);
    assert!(offers(&connect(owner).await.expect("connect")));
    let older = logon(owner, &[Dialect::SMB302]).await.expect("logon").tree_connect(path).await;
    assert!(!offers(&older.expect("connect")));

    let (host, port) = (other.address().ip().to_string(), other.address().port());
    let target = mount::ShareAddress { host, port, share: String::from("shared") };
    let user = other.setup().user("alice");
    let credentials = Credentials::password(&user.name, "", &user.password).into();
    let tree = mount::connect(&target, &credentials).await.unwrap_or_else(|error| panic!("{error}"));
    tree.create(&CreateParameters::read_write("from-the-mount")).await.expect("create");
    assert!(cluster.directory().join("from-the-mount").exists());
}

/// Before a share moves, clients that have no persistent handles write back what they cache.
#[tokio::test]
async fn clients_write_back_what_they_cache_before_a_share_moves() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let first = cluster.owner(None).await;
    let tree = connect(&cluster.nodes[first]).await.expect("connect");
    let parameters =
        CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("cached") };
    let file = tree.create(&parameters).await.expect("create");
    assert_eq!(file.created.oplock, OplockLevel::BATCH);
    let mut breaks = tree.connection().breaks();
    let client = tokio::spawn(async move {
        let Some(Break::Oplock(OplockBreak { file_id, oplock_level })) =
            breaks.next().await.expect("a break")
        else {
            panic!("the connection ended without a break");
        };
        assert_eq!(file_id, file.id());
        file.write(0, b"cached".to_vec()).await.expect("write");
        tree.acknowledge_oplock(file_id, oplock_level).await.expect("acknowledge");
    });
    let names = ["a", "b"];
    cluster.nodes[0].configured(&["cluster", "move", "shared", names[1 - first]]).success();
    tokio::time::timeout(BACK_MAX, client).await.expect("a break").expect("the client");
    assert_eq!(cluster.owner(Some(first)).await, 1 - first);
    assert_eq!(std::fs::read(cluster.directory().join("cached")).unwrap(), b"cached");
}

/// One list of all nodes: each entry has its node, an id names its node, and a node that does not answer is named.
#[tokio::test]
async fn lists_of_all_nodes_name_the_nodes() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (names, first) = (["a", "b"], cluster.owner(None).await);
    let tree = connect(&cluster.nodes[first]).await.expect("connect");
    tree.create(&CreateParameters::read_write("listed")).await.expect("create");
    let nodes = format!("cluster:{}", cluster.nodes[0].config().display());
    let admin = cluster.nodes[0].setup().user("admin");
    let asked = |words: &[&str]| {
        let mut command = std::process::Command::new(shareward_binary());
        command.args(words).args(["--server", &nodes, "--login", &admin.name]);
        command.env("SHAREWARD_PASSWORD", &admin.password);
        run(command, b"", Duration::from_secs(60))
    };
    let listed: serde_json::Value =
        serde_json::from_str(&asked(&["file", "--json"]).success().stdout).unwrap();
    let open = &listed["files"][0];
    assert_eq!(open["server"], names[first], "{listed}");
    let id = format!("{}:{}", names[first], open["id"]);
    asked(&["file", &id]).success().says("listed");
    asked(&["file", &format!("c:{}", open["id"])]).failure().says("no server c");
    asked(&["file", &id, "/close", "/yes"]).success();
    asked(&["file"]).success().never_says("listed");
    // `--cluster` means the same. Nodes that do not own the share have nothing to say about it.
    let tree = connect(&cluster.nodes[first]).await.expect("connect");
    tree.create(&CreateParameters::read_write("listed")).await.expect("create");
    let switch = format!("--cluster={}", cluster.nodes[0].config().display());
    let of_all = |words: &[&str]| {
        let mut command = std::process::Command::new(shareward_binary());
        command.args(words).args([&switch, "--login", &admin.name]);
        command.env("SHAREWARD_PASSWORD", &admin.password);
        run(command, b"", Duration::from_secs(60))
    };
    of_all(&["file"]).success().says(names[first]).says("listed");
    let who = of_all(&["who", "listed", "--share", "shared"]).success();
    who.says("1 open").says("alice").never_says(names[1 - first].repeat(2).as_str());
    let who = of_all(&["who", "listed", "--share", "shared", "--json"]).success().stdout;
    let who: serde_json::Value = serde_json::from_str(&who).unwrap();
    assert_eq!(who["who"][0]["server"], names[first], "{who}");
    of_all(&["who", "x", "--share", "none"]).failure().says("2310");
    let statistics = of_all(&["statistics", "server", "--json"]).success().stdout;
    let statistics: serde_json::Value = serde_json::from_str(&statistics).unwrap();
    assert_eq!(statistics["statistics"].as_array().map(Vec::len), Some(2), "{statistics}");
    of_all(&["statistics", "server"]).success().says("a\n").says("b\n");
    of_all(&["history", "--share", "shared", "listed"]).success().says("listed");
    of_all(&["session", "--server", "x"]).failure().says("conflict");
    // A node that is stopped stays a member until its lease ends.
    cluster.nodes[1 - first].signal("STOP");
    let partial = asked(&["session"]).failure().text();
    cluster.nodes[1 - first].signal("CONT");
    let named = partial.lines().any(|it| it.starts_with(&format!("{}:", names[1 - first])));
    assert!(named && partial.contains("alice"), "{partial}");
}

/// A node reports the reason for which it does not serve shares of a cluster.
#[tokio::test]
async fn wrong_clusters_are_refused_with_their_reason() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    let first = cluster.owner(None).await;
    let node = &cluster.nodes[0];
    node.configured(&["cluster", "init"]).failure().says("exists already");
    node.configured(&["cluster", "move", "shared", "c"]).failure().says("no member at present");
    node.configured(&["cluster", "move", "none", "a"]).failure().says("no such share");
    node.configured(&["cluster", "share", "etc=/etc"]).failure().says("not below a directory of 'paths'");
    node.configured(&["cluster", "share", "shared", "nonsense=1"]).failure().says("unknown field");
    // The path leads to another directory on one of the nodes.
    let other = cluster.storage.path().join("other");
    let what = format!("other={}", other.display());
    node.configured(&["cluster", "share", &what]).failure().says("cannot use");
    std::fs::create_dir(&other).unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o777)).unwrap();
    node.configured(&["cluster", "share", &what]).success();
    // A hostile value, and one of a later version, are reported and ignored.
    cluster.etcd.ctl(&["put", "/shareward/office/shares/evil", "{\"weight\": 0}"]).success();
    cluster.etcd.ctl(&["put", "/shareward/office/newer/x", "1"]).success();
    node.configured(&["cluster", "status"]).success().says("shares/evil").says("newer/x");
    assert!(connect(&cluster.nodes[first]).await.is_ok());
    // Another cluster with the same name: whoever has joined this one does not take part.
    let schema = r#"{"version": 1, "cluster": "another"}"#;
    cluster.etcd.ctl(&["put", "/shareward/office/schema", schema]).success();
    let started = Instant::now();
    while connect(&cluster.nodes[first]).await.is_ok() {
        assert!(started.elapsed() < BACK_MAX, "the shares of another cluster are served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.etcd.kill(0);
    cluster.nodes[first].kill();
    cluster.nodes[first].start_again();
    let log = cluster.nodes[first].log();
    assert!(log.contains("has another cluster of this name"), "{log}");
}

/// The cluster under faults in its short form.
#[test]
fn short_run_of_faults_has_no_findings() {
    if let Some(missing) = failover::lacks() {
        need(&missing.split(", ").collect::<Vec<_>>());
        return;
    }
    let report = failover::run(&failover::Options::short(16));
    assert!(report.is_good(), "{report}");
    eprintln!("{report}");
}
