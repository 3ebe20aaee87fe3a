//! Addresses that move with a share of a cluster: on hosts with network namespaces of their own, and with a command of the
//! operator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, Error};
use tempfile::TempDir;
use testkit::{Etcd, Network, RunAs, Setup, Shareward, need, run};
use wire::msg::GlobalCapabilities;
use wire::{FileId, Guid};

use crate::cluster::{BACK_MAX, Cluster, persistent};

const NODES: [&str; 2] = ["a", "b"];
const CLIENT: &str = "k";
const PORT: u16 = 4450;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
const ADDRESS_6: &str = "fd99::200";

/// Two nodes, a member of etcd and a client, each on a host of its own.
struct World {
    // In the order in which they must end.
    nodes: Vec<Shareward>,
    _etcd: Etcd,
    network: Arc<Network>,
    _storage: TempDir,
}

impl World {
    fn start() -> Self {
        let network = Arc::new(Network::of(&["a", "b", "e", CLIENT]));
        for (index, host) in ["a", "b", CLIENT].into_iter().enumerate() {
            let address = format!("fd99::{}/64", index + 1);
            network.on(host, || ip(&["-6", "address", "add", &address, "dev", "eth0", "nodad"]));
        }
        let etcd = Etcd::start_on(&network, &["e"]);
        let storage = tempfile::tempdir().unwrap();
        let directory = storage.path().join("shared");
        std::fs::create_dir(&directory).unwrap();
        for directory in [storage.path(), &directory] {
            std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let endpoints: Vec<_> = etcd.endpoints().iter().map(|it| format!("{it:?}")).collect();
        let start = |node: &&str| {
            let extra = format!(
                "unix_identities = false\n[cluster]\nname = \"office\"\nnode = {node:?}\nendpoints = [{}]\n\
                 allow_http = true\naddresses = [\"{}\"]\npaths = [{:?}]\n\
                 share_addresses = [\"10.99.0.192/26\", \"{ADDRESS_6}\"]\n",
                endpoints.join(", "),
                network.address(node),
                storage.path(),
            );
            let listen = Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT));
            let run_as = RunAs::Root;
            let setup = Setup { extra, listen, run_as, shares: Vec::new(), ..Setup::default() };
            network.on(node, || Shareward::start(&setup))
        };
        let nodes = NODES.iter().map(start).collect();
        let world = Self { nodes, _etcd: etcd, network, _storage: storage };
        world.command(&["cluster", "init"]);
        let what = format!("shared={}", directory.display());
        let addresses = format!("addresses={ADDRESS},{ADDRESS_6}");
        world.command(&["cluster", "share", &what, "continuous=true", &addresses]);
        world
    }

    fn command(&self, words: &[&str]) -> String {
        let command = self.nodes[0].configured_command(words);
        self.network.on("e", || run(command, b"", BACK_MAX)).success().text()
    }

    /// The nodes whose host has the address.
    fn holders(&self, address: &str) -> Vec<usize> {
        let has = |node: &usize| {
            let listed = self.network.on(NODES[*node], || ip(&["-o", "address", "show", "to", address]));
            !listed.trim().is_empty()
        };
        (0..NODES.len()).filter(has).collect()
    }

    /// Waits until one node holds the address, which is another than `except`.
    fn holder(&self, except: Option<usize>) -> usize {
        let started = Instant::now();
        loop {
            let holders = self.holders(&ADDRESS.to_string());
            assert!(holders.len() < 2, "both nodes hold the address");
            if let Some(holder) = holders.first().filter(|it| Some(**it) != except) {
                return *holder;
            }
            let logs = self.nodes.iter().map(Shareward::log).collect::<Vec<_>>().join("\n");
            assert!(
                started.elapsed() < BACK_MAX,
                "nobody holds it: {}\n{logs}",
                self.command(&["cluster", "status"])
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has a client, which knows nothing but the address, open a file or reclaim it, and write.
    fn write(&self, reclaimed: Option<FileId>, at: u64, text: &'static [u8]) -> FileId {
        self.network.on(CLIENT, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let user = self.nodes[0].setup().user("alice").clone();
            runtime.block_on(async {
                let started = Instant::now();
                loop {
                    let attempt = connect(&user.name, &user.password);
                    let tree = match tokio::time::timeout(Duration::from_secs(2), attempt).await {
                        Ok(Ok(tree)) => tree,
                        other => {
                            assert!(started.elapsed() < BACK_MAX, "{other:?}");
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            continue;
                        }
                    };
                    let file = tree.create(&persistent(reclaimed)).await.expect("create or reclaim");
                    file.write(at, text.to_vec()).await.expect("write");
                    file.flush().await.expect("flush");
                    // The end of the runtime cuts the connection; the open waits for its client.
                    return file.id();
                }
            })
        })
    }

    /// True if a host answers under the address of IPv6: nobody listens there.
    fn is_reached_by_ipv6(&self) -> bool {
        let address = SocketAddr::new(ADDRESS_6.parse::<IpAddr>().unwrap(), PORT);
        self.network.on(CLIENT, || {
            let refused = TcpStream::connect_timeout(&address, Duration::from_secs(1)).err();
            refused.is_some_and(|it| it.kind() == std::io::ErrorKind::ConnectionRefused)
        })
    }
}

async fn connect(user: &str, password: &str) -> Result<ClientTree, Error> {
    let mut options = ConnectOptions::with_guid(Guid([7; 16]));
    options.capabilities |= GlobalCapabilities::PERSISTENT_HANDLES;
    let address = SocketAddr::new(ADDRESS.into(), PORT);
    let connection = ClientConnection::connect(address, None, options).await?;
    let session = connection.logon(Credentials::password(user, "", password)).await?;
    session.tree_connect(r"\\files\shared").await
}

fn ip(arguments: &[&str]) -> String {
    let mut command = Command::new("ip");
    command.args(arguments);
    run(command, b"", BACK_MAX).success().stdout
}

/// The processes that a process has started.
fn children(process: u32) -> Vec<String> {
    let list =
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let direct: Vec<String> = list.split_whitespace().map(String::from).collect();
    let below: Vec<String> = direct.iter().flat_map(|it| children(it.parse().unwrap())).collect();
    direct.into_iter().chain(below).collect()
}

/// A client that knows only the address goes on with its persistent open when the owner is killed, and when the share is
/// moved. A node whose processes all stand still does not keep the address.
#[test]
fn address_moves_with_the_share_when_the_owner_is_killed_moved_or_stands_still() {
    if !need(&["root", "ip", "etcd", "etcdctl"]) {
        return;
    }
    let mut world = World::start();
    let first = world.holder(None);
    let id = world.write(None, 0, b"before");
    assert!(world.is_reached_by_ipv6());

    world.nodes[first].kill();
    let killed = Instant::now();
    while world.holders(&ADDRESS.to_string()).contains(&first) {
        assert!(killed.elapsed() < Duration::from_secs(2), "a node that was killed keeps the address");
        thread::sleep(Duration::from_millis(10));
    }
    eprintln!("the address is gone {:?} after the kill", killed.elapsed());
    let id = world.write(Some(id), 6, b", after");
    eprintln!("the client has written again {:?} after the kill", killed.elapsed());
    let second = world.holder(Some(first));
    assert_eq!(world.holders(ADDRESS_6), [second]);
    assert!(world.is_reached_by_ipv6());
    world.network.on(NODES[first], || world.nodes[first].start_again());

    let started = Instant::now();
    while world.command(&["cluster", "status"]).matches("joined").count() < NODES.len() {
        assert!(started.elapsed() < BACK_MAX, "the node does not join again");
        thread::sleep(Duration::from_millis(50));
    }
    world.command(&["cluster", "move", "shared", NODES[first]]);
    let moved = Instant::now();
    assert_eq!(world.holder(Some(second)), first);
    world.write(Some(id), 13, b", moved");
    eprintln!("the client has written again {:?} after the move", moved.elapsed());
    assert!(world.is_reached_by_ipv6());
    let status = world.command(&["cluster", "status"]);
    assert!(status.contains(&ADDRESS.to_string()) && !status.contains("fault"), "{status}");

    // Nobody is left to remove it but the kernel.
    let process = world.nodes[first].pid();
    let all: Vec<String> = children(process).into_iter().chain([process.to_string()]).collect();
    let signal = |name: &str| {
        let mut command = Command::new("kill");
        command.arg(format!("-{name}")).args(&all);
        run(command, b"", BACK_MAX).success();
    };
    signal("STOP");
    let stopped = Instant::now();
    while world.holders(&ADDRESS.to_string()).contains(&first) {
        assert!(stopped.elapsed() < Duration::from_secs(3), "a node that stands still keeps the address");
        thread::sleep(Duration::from_millis(10));
    }
    eprintln!("the address is gone {:?} after all processes stood still", stopped.elapsed());
    assert!(world.holders(ADDRESS_6).is_empty());
    signal("CONT");
    world.holder(None);
}

/// With `address_command`, the command assigns the addresses; a failure is in the status, and ends with the cause.
#[tokio::test]
async fn address_command_takes_and_releases_and_its_failure_is_in_the_status() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let (script, told, broken) =
        (scratch.path().join("assign"), scratch.path().join("told"), scratch.path().join("broken"));
    let text = format!(
        "#!/bin/sh\nif [ -e {0} ]; then echo no quota >&2; exit 3; fi\ncat >> {1}\necho >> {1}\n",
        broken.display(),
        told.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let lines = format!("share_addresses = [\"192.0.2.0/24\"]\naddress_command = [{script:?}]\n");
    let cluster = Cluster::start(1, 2, &lines);
    let (names, first) = (["a", "b"], cluster.owner(None).await);
    let node = &cluster.nodes[0];
    node.configured(&["cluster", "share", "shared", "addresses=198.51.100.1"])
        .failure()
        .says("share_addresses");
    node.configured(&["cluster", "share", "shared", "addresses=192.0.2.1,192.0.2.1"]).failure().says("twice");
    std::fs::write(&broken, "").unwrap();
    node.configured(&["cluster", "share", "shared", "addresses=192.0.2.7"]).success();
    let wait = |what: &str, is: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !is() {
            assert!(started.elapsed() < BACK_MAX, "{what}: {}", cluster.status().text());
            thread::sleep(Duration::from_millis(100));
        }
    };
    wait("no fault", &|| cluster.status().text().contains("no quota"));
    std::fs::remove_file(&broken).unwrap();
    let was_told = |act: &str, node: &str| {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        told.lines().any(|it| {
            it.contains(&format!("\"act\":\"{act}\""))
                && it.contains(&format!("\"node\":\"{node}\""))
                && it.contains("[\"192.0.2.7\"]")
        })
    };
    wait("not taken again", &|| was_told("take", names[first]));
    wait("the fault stays", &|| !cluster.status().text().contains("no quota"));
    node.configured(&["cluster", "move", "shared", names[1 - first]]).success();
    wait("not taken by the next owner", &|| was_told("take", names[1 - first]));
    assert!(was_told("release", names[first]));
    // An address that the definition loses is released by the owner, which goes on to serve the share.
    node.configured(&["cluster", "share", "shared", "addresses=192.0.2.8"]).success();
    wait("not released", &|| was_told("release", names[1 - first]));
}
