//! The cluster of a run: three nodes, three members of etcd and the clients' host in one network, and the shared storage.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use testkit::{Etcd, Network, Output, Setup, Shareward, User, run};

use crate::disk::{Disk, open_to_all};
use crate::limits::{BACK_MAX, COMMAND_MAX, FINDINGS_MAX};

/// The hosts of the nodes, whose names they have in the cluster.
pub(crate) const NODES: [&str; 3] = ["a", "b", "c"];

/// The hosts of the members of etcd.
pub(crate) const MEMBERS: [&str; 3] = ["e", "f", "g"];

/// The host of the clients and administrators.
pub(crate) const CLIENTS: &str = "k";

pub(crate) const SHARES: [&str; 3] = ["one", "two", "three"];

/// A port that an ordinary user may listen on.
const PORT: u16 = 4450;

/// A cluster under test.
pub(crate) struct World {
    // In the order in which they must end.
    nodes: Vec<Mutex<Shareward>>,
    pub(crate) etcd: Mutex<Etcd>,
    pub(crate) disk: Disk,
    pub(crate) network: Arc<Network>,
    started: Instant,
    pub(crate) user: User,
    /// The nodes that a fault drains.
    pub(crate) drained: Mutex<BTreeSet<usize>>,
    over: AtomicBool,
    findings: Mutex<Vec<String>>,
    told: Mutex<BTreeMap<String, u64>>,
}

impl World {
    pub(crate) fn start(fences: bool) -> Self {
        let hosts: Vec<&str> = NODES.into_iter().chain(MEMBERS).chain([CLIENTS]).collect();
        let network = Arc::new(Network::of(&hosts));
        let disk = Disk::mount();
        for share in SHARES {
            std::fs::create_dir(disk.path().join(share)).expect("a directory");
            open_to_all(&disk.path().join(share));
        }
        let etcd = Etcd::start_on(&network, &MEMBERS);
        let endpoints: Vec<_> = etcd.endpoints().iter().map(|it| format!("{it:?}")).collect();
        let fence = if fences { fence_command(&disk) } else { String::new() };
        let start = |node: &str| {
            let address = network.address(node);
            let extra = format!(
                "unix_identities = false\n[cluster]\nname = \"office\"\nnode = {node:?}\nendpoints = [{}]\n\
                 allow_http = true\naddresses = [\"{address}\"]\npaths = [{:?}]\n{fence}",
                endpoints.join(", "),
                disk.path()
            );
            let listen = Some(SocketAddr::new(IpAddr::V4(address), PORT));
            let setup = Setup { extra, listen, shares: Vec::new(), ..Setup::default() };
            Mutex::new(network.on(node, || Shareward::start(&setup)))
        };
        let nodes: Vec<_> = NODES.into_iter().map(start).collect();
        let user = nodes[0].lock().setup().user("alice").clone();
        let world = Self {
            nodes,
            etcd: Mutex::new(etcd),
            disk,
            network,
            started: Instant::now(),
            user,
            drained: Mutex::default(),
            over: AtomicBool::new(false),
            findings: Mutex::default(),
            told: Mutex::default(),
        };
        world.note_processes();
        world.command(0, &["cluster", "init"]).success();
        for share in SHARES {
            let what = format!("{share}={}", world.disk.path().join(share).display());
            world.command(0, &["cluster", "share", &what, "continuous=true"]).success();
        }
        world.wait_for_nodes();
        world
    }

    /// The time since the start, which is that of all entries.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.network.address(NODES[node])), PORT)
    }

    /// Runs a command of the binary on the clients' host, with the configuration of a node.
    pub(crate) fn command(&self, node: usize, words: &[&str]) -> Output {
        // The lock is not held while the command runs: a fault may want it.
        let command = self.nodes[node].lock().configured_command(words);
        self.network.on(CLIENTS, || run(command, b"", COMMAND_MAX))
    }

    /// Kills a node.
    pub(crate) fn kill(&self, node: usize) {
        self.nodes[node].lock().kill();
    }

    /// Starts a node again after [`Self::kill`].
    pub(crate) fn start_again(&self, node: usize) {
        self.network.on(NODES[node], || self.nodes[node].lock().start_again());
        self.note_processes();
    }

    /// Stops a node as its service manager does, and starts it again.
    pub(crate) fn restart(&self, node: usize) {
        self.signal(node, "TERM");
        let asked = Instant::now();
        while self.is_running(node) && asked.elapsed() < COMMAND_MAX {
            thread::sleep(Duration::from_millis(20));
        }
        if self.is_running(node) {
            self.finding(format!("{} does not end after SIGTERM", NODES[node]));
        }
        self.kill(node);
        self.start_again(node);
    }

    pub(crate) fn signal(&self, node: usize, name: &str) {
        self.nodes[node].lock().signal(name);
    }

    /// Starts nodes that the fence_command has killed, and waits until all have joined.
    pub(crate) fn heal(&self) {
        for (node, name) in NODES.into_iter().enumerate() {
            if !self.is_running(node) {
                self.kill(node);
                self.network.on(name, || self.nodes[node].lock().start_again());
            }
        }
        self.note_processes();
    }

    /// Ends the drain of a node. It is tried again when the faults are over, because etcd may not answer now.
    pub(crate) fn undrain(&self, node: usize) {
        if self.command(node, &["cluster", "undrain", NODES[node]]).status == Some(0) {
            self.drained.lock().remove(&node);
        }
    }

    /// The node that owns a share, by etcd.
    pub(crate) fn owner(&self, share: &str) -> Option<usize> {
        let status = self.command(0, &["cluster", "status"]);
        let of_share = status.stdout.lines().find(|it| it.split_whitespace().next() == Some(share))?;
        let owner = of_share.split_whitespace().nth(1)?;
        NODES.iter().position(|it| *it == owner)
    }

    /// Waits until all nodes are members, and none is drained.
    pub(crate) fn wait_for_nodes(&self) {
        let started = Instant::now();
        loop {
            let drained = self.drained.lock().clone();
            drained.into_iter().for_each(|node| self.undrain(node));
            let status = self.command(0, &["cluster", "status"]);
            if status.text().matches("joined").count() == NODES.len() {
                return;
            }
            if started.elapsed() > BACK_MAX {
                return self.finding(format!("not all nodes are members again: {status}"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The last lines of the nodes' logs.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for (node, name) in self.nodes.iter().zip(NODES) {
            let log = node.lock().log();
            let lines: Vec<_> = log.lines().collect();
            text +=
                &format!("--- the log of {name}:\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        text
    }

    /// Finds panics in the nodes' logs.
    pub(crate) fn check_logs(&self) {
        for (node, name) in self.nodes.iter().zip(NODES) {
            for line in node.lock().log().lines().filter(|it| it.contains("panicked")) {
                self.finding(format!("{name}: {line}"));
            }
        }
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn finding(&self, what: impl Into<String>) {
        let text = what.into();
        eprintln!("[{:7.2} s] FOUND {text}", self.now().as_secs_f64());
        let mut findings = self.findings.lock();
        if findings.len() < FINDINGS_MAX {
            findings.push(text);
        }
    }

    pub(crate) fn findings(&self) -> Vec<String> {
        self.findings.lock().clone()
    }

    /// Counts an answer.
    pub(crate) fn count(&self, what: String) {
        *self.told.lock().entry(what).or_default() += 1;
    }

    pub(crate) fn told(&self) -> BTreeMap<String, u64> {
        self.told.lock().clone()
    }

    fn is_running(&self, node: usize) -> bool {
        let process = PathBuf::from("/proc").join(self.nodes[node].lock().pid().to_string()).join("stat");
        // The state follows the name in parentheses; one that was killed is a zombie.
        let stat = std::fs::read_to_string(process).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|it| !it.trim().is_empty() && !it.trim().starts_with('Z'))
    }

    /// Notes the nodes' processes for the fence_command.
    fn note_processes(&self) {
        for (node, name) in self.nodes.iter().zip(NODES) {
            let file = self.disk.scratch().join(format!("{name}.pid"));
            std::fs::write(file, node.lock().pid().to_string()).expect("write");
        }
    }
}

/// The line of the settings with a fence_command that kills the process of the former owner, and succeeds when it is gone.
fn fence_command(disk: &Disk) -> String {
    let script = disk.scratch().join("fence");
    let text = format!(
        "#!/bin/sh\n\
         node=$(sed 's/.*\"node\":\"\\([a-z]*\\)\".*/\\1/')\n\
         pid=$(cat {}/$node.pid) || exit 1\n\
         kill -9 $pid\n\
         for i in 1 2 3 4 5 6 7 8 9 10; do\n\
         grep -q 'State:.[A-Y]' /proc/$pid/status || exit 0\n\
         sleep 0.1\n\
         done\n\
         exit 1\n",
        disk.scratch().display()
    );
    std::fs::write(&script, text).expect("write a script");
    let mut command = Command::new("chmod");
    command.arg("755").arg(&script);
    run(command, b"", COMMAND_MAX).success();
    format!("fence_command = [{script:?}]\n")
}
