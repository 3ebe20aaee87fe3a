//! A network of hosts, which are network namespaces of this machine, on one bridge. Links between two hosts can be cut.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::limits::PEER_MAX;
use crate::output::run;

/// Hosts with addresses of their own, which reach each other and nothing else. Dropping it removes them; processes that run
/// there go on without a network. Needs root and `ip`.
#[derive(Debug)]
pub struct Network {
    tag: String,
    hosts: Vec<String>,
}

impl Network {
    /// Makes a network of hosts with these names, each a letter or a few.
    ///
    /// Panics with what `ip` printed if it cannot.
    pub fn of(hosts: &[&str]) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        remove_abandoned();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{PREFIX}{}-{number}", std::process::id());
        let network = Self { tag, hosts: hosts.iter().map(|it| String::from(*it)).collect() };
        let hub = network.namespace(HUB);
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &hub, "link", "set", "bridge", "up"]);
        for name in &network.hosts {
            let (host, port) = (network.namespace(name), format!("to-{name}"));
            ip(&["netns", "add", &host]);
            ip(&[
                "link", "add", DEVICE, "netns", &host, "type", "veth", "peer", "name", &port, "netns", &hub,
            ]);
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"]);
            let address = format!("{}/24", network.address(name));
            ip(&["-n", &host, "address", "add", &address, "dev", DEVICE]);
            ip(&["-n", &host, "link", "set", DEVICE, "up"]);
            ip(&["-n", &host, "link", "set", "lo", "up"]);
        }
        network
    }

    /// The address of a host.
    pub fn address(&self, host: &str) -> Ipv4Addr {
        let index = self.hosts.iter().position(|it| it == host);
        let index = index.unwrap_or_else(|| panic!("no host {host}"));
        Ipv4Addr::new(10, 99, 0, u8::try_from(index + 1).expect("a few hosts"))
    }

    /// Carries out work on a host: its sockets, and the processes that it starts, are there.
    pub fn on<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        // A thread of its own, because it stays in the namespace.
        thread::scope(|threads| {
            let done = threads.spawn(|| {
                self.enter(host);
                work()
            });
            done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread to a host, where it stays.
    pub fn enter(&self, host: &str) {
        let namespace = File::open(PathBuf::from(NAMESPACES).join(self.namespace(host)));
        let namespace = namespace.expect("the namespace of the host");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
    }

    /// Cuts the link between two hosts: what one sends to the other is lost without a notice.
    pub fn cut(&self, one: &str, other: &str) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Has everything be lost that one host sends to another: it goes to a hardware address that nobody has.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        let (from, to) = (self.namespace(from), self.address(to).to_string());
        let nobody = "02:00:00:00:00:01";
        ip(&["-n", &from, "neigh", "replace", &to, "lladdr", nobody, "dev", DEVICE, "nud", "permanent"]);
    }

    /// Ends the cuts between two hosts, if there are any.
    pub fn mend(&self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            let (from, to) = (self.namespace(from), self.address(to).to_string());
            Command::new("ip").args(["-n", &from, "neigh", "del", &to, "dev", DEVICE]).output().ok();
        }
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in self.hosts.iter().map(String::as_str).chain([HUB]) {
            Command::new("ip").args(["netns", "delete", &self.namespace(host)]).output().ok();
        }
    }
}

/// Removes the namespaces of processes that were killed.
fn remove_abandoned() {
    for entry in fs::read_dir(NAMESPACES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|it| it.split('-').next());
        if process.is_some_and(|it| it.parse::<u32>().is_ok() && !PathBuf::from("/proc").join(it).exists()) {
            Command::new("ip").args(["netns", "delete", &name]).output().ok();
        }
    }
}

fn ip(arguments: &[&str]) {
    let mut command = Command::new("ip");
    command.args(arguments);
    run(command, b"", PEER_MAX).success();
}

const NAMESPACES: &str = "/run/netns";

/// The beginning of the names of namespaces; the process that made them follows.
const PREFIX: &str = "swnet";

/// The host with the bridge.
const HUB: &str = "hub";

const DEVICE: &str = "eth0";
