//! The witness service (MS-SWN): a client that has registered with another node is told of the death of the owner, and of a move.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testkit::peer::PYTHON;
use testkit::{Output, free_port, need, repository, run};

use crate::cluster::{BACK_MAX, Cluster, connect};

/// A cluster of two nodes with the service, and the port of that.
fn start() -> (Cluster, u16) {
    let port = free_port();
    (Cluster::start(1, 2, &format!("witness = [\"ADDRESS:{port}\"]\n")), port)
}

fn script(cluster: &Cluster, port: u16, witness: usize, name: &str, of: usize) -> Command {
    let node = &cluster.nodes[witness];
    let alice = node.setup().user("alice");
    let mut command = Command::new("timeout");
    // A script that waits for ever ends with a failure.
    command.args(["40", PYTHON]).arg(repository().join("tests/peers/witness.py"));
    command.arg(node.address().ip().to_string()).arg(port.to_string());
    command.args([&alice.name, &alice.password, name]).arg(cluster.nodes[of].address().ip().to_string());
    command
}

#[tokio::test]
async fn calls_follow_the_specification() {
    if !need(&["etcd", "etcdctl", "python:impacket"]) {
        return;
    }
    let (cluster, port) = start();
    let owner = cluster.owner(None).await;
    let checked: Output =
        run(script(&cluster, port, 1 - owner, "calls_follow_the_specification", owner), b"", BACK_MAX);
    checked.success();
}

/// Samba's client, with NTLM alone and in SPNEGO, where the exchange has signed a message before.
#[tokio::test]
async fn samba_lists_interfaces_over_signed_and_sealed_connections() {
    if !need(&["etcd", "etcdctl", "smbtorture"]) {
        return;
    }
    let (cluster, port) = start();
    let node = &cluster.nodes[0];
    let (address, alice) = (node.address().ip(), node.setup().user("alice").credentials());
    for options in ["sign,ntlm", "seal,ntlm", "sign", "seal"] {
        let mut command = Command::new("smbtorture");
        command.arg(format!("ncacn_ip_tcp:{address}[{port},{options}]")).args(["-U", &alice]);
        command.args([
            "--configfile=/dev/null",
            "--use-kerberos=off",
            "rpc.witness.witness.GetInterfaceList",
        ]);
        run(command, b"", BACK_MAX).success().says("success: witness.GetInterfaceList");
    }
}

/// A registered client, which prints each notification.
struct Registered {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Registered {
    fn start(cluster: &Cluster, port: u16, witness: usize, of: usize) -> Self {
        let mut command = script(cluster, port, witness, "notifications_arrive", of);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("python3");
        let lines = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut registered = Self { process, lines };
        registered.line("registered");
        registered
    }

    /// The next line that begins with a word.
    fn line(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("a line");
            assert!(read > 0 && !line.contains("FAILED"), "no line {word}: {line}");
            if line.starts_with(word) {
                return line.trim().to_owned();
            }
        }
    }

    /// Waits for the notification of a move, and returns its time and addresses.
    fn moved(&mut self) -> (f64, String) {
        loop {
            let line = self.line("notified");
            let parts: Vec<&str> = line.splitn(4, ' ').collect();
            eprintln!("{line}");
            if parts[2] == "3" {
                return (parts[1].parse().expect("a time"), parts[3].to_owned());
            }
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64()
}

#[tokio::test]
async fn registered_client_hears_of_the_death_of_the_owner_and_of_a_move() {
    if !need(&["etcd", "etcdctl", "python:impacket"]) {
        return;
    }
    let (mut cluster, port) = start();
    let first = cluster.owner(None).await;
    let second = 1 - first;
    let tree = connect(&cluster.nodes[first]).await.expect("connect");
    let flags = tree.share.capabilities;
    assert!(flags.contains(wire::msg::ShareCapabilities::CLUSTER), "{flags:?}");
    assert!(flags.contains(wire::msg::ShareCapabilities::ASYMMETRIC), "{flags:?}");

    let mut registered = Registered::start(&cluster, port, second, first);
    cluster.nodes[first].kill();
    let killed = now();
    let waiting = tokio::task::spawn_blocking(move || (registered.moved(), registered));
    assert_eq!(cluster.owner(Some(first)).await, second);
    let served = now();
    let ((at, addresses), registered) =
        tokio::time::timeout(BACK_MAX, waiting).await.expect("in time").expect("a move");
    eprintln!("notified {:.2} s after the kill, served after {:.2} s", at - killed, served - killed);
    assert_eq!(addresses, cluster.nodes[second].address().ip().to_string());
    assert!(at < served + 1.0, "{at} {served}");
    drop(registered);

    cluster.nodes[first].start_again();
    let started = std::time::Instant::now();
    while cluster.nodes[second].configured(&["cluster", "status"]).success().text().matches("joined").count()
        < 2
    {
        assert!(started.elapsed() < BACK_MAX, "the node does not join again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut registered = Registered::start(&cluster, port, first, second);
    let asked = now();
    cluster.nodes[second].configured(&["cluster", "move", "shared", ["a", "b"][first]]).success();
    let waiting = tokio::task::spawn_blocking(move || registered.moved());
    let (at, addresses) = tokio::time::timeout(BACK_MAX, waiting).await.expect("in time").expect("a move");
    eprintln!("notified {:.2} s after the request to move", at - asked);
    assert_eq!(addresses, cluster.nodes[first].address().ip().to_string());
}
