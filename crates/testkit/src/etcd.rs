//! A cluster of etcd: processes of Debian's etcd-server with data in a temporary directory.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::daemon::{free_port, kill_group, tail, watchdog};
use crate::limits::{POLL, READY_MAX};
use crate::network::Network;
use crate::output::{Output, run};

/// Members of etcd on 127.0.0.1, or each on a host of a network. Dropping it ends them.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    scratch: TempDir,
    tls: Option<EtcdTls>,
    network: Option<Arc<Network>>,
}

/// The files with which members serve clients: certificate, key, and the authority that signs clients' certificates.
#[derive(Clone, Debug)]
pub struct EtcdTls {
    /// The certificate of the members.
    pub certificate: PathBuf,
    /// The key of the members.
    pub key: PathBuf,
    /// The authority of clients' certificates.
    pub authority: PathBuf,
}

#[derive(Debug)]
struct Member {
    /// The host of the network.
    host: String,
    address: Ipv4Addr,
    client: u16,
    peer: u16,
    /// The number of times that it was started.
    starts: usize,
    processes: Option<(Child, Option<Child>)>,
}

impl Etcd {
    /// Starts a cluster of `members` processes, and waits until it has a leader.
    pub fn start(members: usize) -> Self {
        Self::launch((0..members).map(|_| Member::local()).collect(), None, None)
    }

    /// Starts one member on each of these hosts.
    pub fn start_on(network: &Arc<Network>, hosts: &[&str]) -> Self {
        let member = |host: &&str| Member {
            host: String::from(*host),
            address: network.address(host),
            client: 2379,
            peer: 2380,
            starts: 0,
            processes: None,
        };
        Self::launch(hosts.iter().map(member).collect(), None, Some(Arc::clone(network)))
    }

    /// Starts one member that wants TLS and certificates of its clients.
    pub fn start_with_tls(tls: EtcdTls) -> Self {
        Self::launch(vec![Member::local()], Some(tls), None)
    }

    fn launch(members: Vec<Member>, tls: Option<EtcdTls>, network: Option<Arc<Network>>) -> Self {
        let scratch = tempfile::tempdir().expect("a directory for etcd");
        let mut etcd = Self { members, scratch, tls, network };
        (0..etcd.members.len()).for_each(|index| etcd.run(index));
        etcd.wait();
        etcd
    }

    /// The URLs for clients.
    pub fn endpoints(&self) -> Vec<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.members.iter().map(|it| format!("{scheme}://{}:{}", it.address, it.client)).collect()
    }

    /// Runs etcdctl and returns its output.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.endpoints().join(",")));
        if let Some(tls) = &self.tls {
            command.arg(format!("--cacert={}", tls.authority.display()));
            command.arg(format!("--cert={}", tls.certificate.display()));
            command.arg(format!("--key={}", tls.key.display()));
        }
        command.args(arguments);
        let within = move || run(command, b"", Duration::from_secs(20));
        match &self.network {
            Some(network) => network.on(&self.members[0].host, within),
            None => within(),
        }
    }

    /// Kills a member.
    pub fn kill(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// Stops the process of a member, as if its machine were stuck.
    pub fn pause(&self, index: usize) {
        self.signal(index, "STOP");
    }

    /// Goes on after [`Etcd::pause`].
    pub fn resume(&self, index: usize) {
        self.signal(index, "CONT");
    }

    /// Starts a member again after [`Etcd::kill`].
    pub fn restart(&mut self, index: usize) {
        self.run(index);
        self.wait();
    }

    /// As [`Etcd::restart`], without waiting until it serves, which it does not without a majority.
    pub fn start_member(&mut self, index: usize) {
        if self.members[index].processes.is_none() {
            self.run(index);
        }
    }

    fn signal(&self, index: usize, name: &str) {
        if let Some((process, _)) = &self.members[index].processes {
            kill_group(process.id(), name);
        }
    }

    fn run(&mut self, index: usize) {
        let name = |index: usize| format!("m{index}");
        let peers: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(index, it)| format!("{}=http://{}:{}", name(index), it.address, it.peer))
            .collect();
        let log = self.log(index);
        let output = File::options().create(true).append(true).open(&log).expect("a log");
        let member = &mut self.members[index];
        let peer = format!("http://{}:{}", member.address, member.peer);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://{}:{}", member.address, member.client);
        let mut command = Command::new("etcd");
        command.arg("--name").arg(name(index)).arg("--data-dir");
        command.arg(self.scratch.path().join(name(index)));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &peers.join(","), "--heartbeat-interval", "100"]);
        command.args(["--election-timeout", "1000", "--logger", "zap"]);
        if let Some(tls) = &self.tls {
            command.arg("--cert-file").arg(&tls.certificate).arg("--key-file").arg(&tls.key);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&tls.authority);
        }
        let errors = output.try_clone().expect("a log");
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let mut spawn = move || command.spawn().expect("etcd starts");
        let child = match &self.network {
            Some(network) => network.on(&member.host, spawn),
            None => spawn(),
        };
        let guard = watchdog(child.id());
        member.processes = Some((child, guard));
        member.starts += 1;
    }

    /// Waits until all members that run serve clients, which they do when they have joined the others. The kernel takes
    /// connections for them before.
    fn wait(&self) {
        let started = Instant::now();
        for (index, member) in self.members.iter().enumerate().filter(|(_, it)| it.processes.is_some()) {
            let ready = || {
                let log = fs::read_to_string(self.log(index)).unwrap_or_default();
                log.matches("serving client traffic").count() >= member.starts
            };
            while !ready() {
                assert!(started.elapsed() < READY_MAX, "etcd does not answer\n{}", tail(&self.log(index)));
                thread::sleep(POLL);
            }
        }
    }

    fn log(&self, index: usize) -> PathBuf {
        log_of(self.scratch.path(), index)
    }
}

fn log_of(scratch: &Path, index: usize) -> PathBuf {
    scratch.join(format!("m{index}.log"))
}

impl Member {
    fn local() -> Self {
        Self {
            host: String::new(),
            address: Ipv4Addr::LOCALHOST,
            client: free_port(),
            peer: free_port(),
            starts: 0,
            processes: None,
        }
    }

    fn kill(&mut self) {
        let Some((mut child, guard)) = self.processes.take() else { return };
        if let Some(mut guard) = guard {
            guard.kill().ok();
            guard.wait().ok();
        }
        kill_group(child.id(), "KILL");
        child.wait().ok();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        if thread::panicking() {
            for index in 0..self.members.len() {
                eprintln!("--- the log of etcd {index}:\n{}", tail(&log_of(self.scratch.path(), index)));
            }
        }
    }
}
