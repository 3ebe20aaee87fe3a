//! One host of the domain.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::{Domain, password, script};
use crate::daemon::Place;
use crate::limits::{PEER_MAX, POLL, READY_MAX};
use crate::output::{Output, run};

/// A host with a name, an address and directories of its own; dropping it ends its processes and removes it.
#[derive(Debug)]
pub struct Host {
    /// The domain's directory.
    domain: PathBuf,
    /// The name by which the script knows it.
    key: String,
    name: String,
    address: Ipv4Addr,
    caches: AtomicU32,
    /// Running programs that no [`crate::daemon::Daemon`] has.
    programs: Mutex<Vec<Child>>,
}

/// The option that names the usual configuration of Samba's programs, by which a benchmark finds their processes.
pub(super) const CONFIG: &str = "--configfile=/etc/samba/smb.conf";

/// A cache of tickets on a host, for `KRB5CCNAME`.
#[derive(Clone, Debug)]
pub struct Tickets(String);

impl Tickets {
    /// The name of the cache.
    pub fn cache(&self) -> &str {
        &self.0
    }
}

impl Host {
    pub(super) fn make(domain: &Domain, key: &str, like: Option<&str>) -> Self {
        let mut words = vec![key];
        words.extend(like);
        let address = domain.script("host", &words).success().stdout;
        Self {
            domain: domain.directory.clone(),
            key: key.to_owned(),
            name: like.unwrap_or(key).to_owned(),
            address: address.trim().parse().expect("the script prints the address"),
            caches: AtomicU32::new(0),
            programs: Mutex::default(),
        }
    }

    /// The name without the domain, as `files`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full name, as `files.corp.test`.
    pub fn full_name(&self) -> String {
        format!("{}.corp.test", self.name)
    }

    /// The address in the domain's network, which only its hosts reach.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The place of a server on port 445 of this host.
    pub(crate) fn place(&self) -> Place {
        let namespaces = Path::new("/run/netns");
        let sum = self.domain_tag();
        Place {
            address: SocketAddr::from((self.address, 445)),
            namespace: Some(namespaces.join(format!("ad{sum}-{}", self.key))),
        }
    }

    /// Connects to a port of a loopback address of the host, as a program of the host does.
    pub fn connect_to_itself(&self, port: u16) -> io::Result<TcpStream> {
        let place = Place { address: SocketAddr::from(([127, 0, 0, 1], port)), ..self.place() };
        place.connect()
    }

    /// The path, as this process sees it, of a file below `/etc`, `/run`, `/srv`, `/var/lib`, `/var/cache` or
    /// `/var/log` of the host.
    pub fn file(&self, path: &str) -> PathBuf {
        self.domain.join("hosts").join(&self.key).join(path.trim_start_matches('/'))
    }

    /// A command that runs a program on the host; arguments are appended to it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = script("exec", &self.domain);
        command.arg(&self.key).arg(program).env("HOME", "/run");
        command
    }

    /// Runs a program with arguments on the host.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Output {
        self.run_with(words, "")
    }

    /// As [`Self::run`], with standard input.
    #[track_caller]
    pub fn run_with(&self, words: &[&str], input: &str) -> Output {
        let [program, arguments @ ..] = words else { panic!("no program") };
        let mut command = self.command(program);
        command.args(arguments);
        run(command, input.as_bytes(), PEER_MAX)
    }

    /// As [`Self::run`], with tickets.
    #[track_caller]
    pub fn run_as(&self, tickets: &Tickets, words: &[&str]) -> Output {
        let [program, arguments @ ..] = words else { panic!("no program") };
        run(self.command_as(tickets, program, arguments), b"", PEER_MAX)
    }

    /// The command of [`Self::run_as`].
    pub fn command_as(&self, tickets: &Tickets, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(program);
        command.args(arguments).env("KRB5CCNAME", tickets.cache());
        command
    }

    /// Gets a ticket-granting ticket for a user of the domain, in a new cache.
    ///
    /// Panics with what kinit printed if it fails.
    #[track_caller]
    pub fn log_on(&self, user: &str) -> Tickets {
        self.log_on_with(user, &[])
    }

    /// As [`Self::log_on`], with options of kinit.
    #[track_caller]
    pub fn log_on_with(&self, user: &str, options: &[&str]) -> Tickets {
        let tickets = self.empty_cache();
        self.log_on_again(&tickets, user, options);
        tickets
    }

    /// Gets a new ticket for a user of the domain, in place of those in a cache.
    ///
    /// Panics with what kinit printed if it fails.
    #[track_caller]
    pub fn log_on_again(&self, tickets: &Tickets, user: &str, options: &[&str]) {
        let account = user.split(['@', '.']).next().unwrap_or_default();
        let mut kinit = self.command_as(tickets, "kinit", options);
        kinit.arg(user);
        run(kinit, format!("{}\n", password(account)).as_bytes(), PEER_MAX).success();
    }

    /// A cache without tickets: a plain path, which impacket needs.
    pub fn empty_cache(&self) -> Tickets {
        Tickets(format!("/run/tickets-{}", self.caches.fetch_add(1, Ordering::Relaxed)))
    }

    /// Makes the name of another host known on this one. If it is this host's own name, as with two copies of one member
    /// server, it stands for the other one from now on.
    pub fn knows(&self, other: &Self) {
        let hosts = self.file("/etc/hosts");
        let text = fs::read_to_string(&hosts).expect("read the hosts file");
        let name = other.full_name();
        let others = text.lines().filter(|line| !line.split(' ').any(|word| word == name));
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        lines.push(format!("{} {name} {}\n", other.address, other.name));
        fs::write(hosts, lines.join("\n")).expect("write the hosts file");
    }

    /// Starts a program that runs until the host is removed.
    pub fn spawn(&self, words: &[&str], log: &str) {
        let [program, arguments @ ..] = words else { panic!("no program") };
        let file = fs::File::create(self.file(log)).expect("create a log");
        let errors = file.try_clone().expect("a descriptor");
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(file).stderr(errors);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.programs.lock().push(command.spawn().expect("start a program"));
    }

    /// Starts winbindd, as a member has it, and waits until it has reached the controller.
    ///
    /// Panics with its log if it does not.
    pub fn start_winbind(&self) {
        const LOG: &str = "/var/log/winbindd.log";
        self.spawn(&["winbindd", "--foreground", "--no-process-group", CONFIG], LOG);
        let started = Instant::now();
        while self.run(&["wbinfo", "--ping-dc"]).status != Some(0) {
            let log = fs::read_to_string(self.file(LOG)).unwrap_or_default();
            assert!(started.elapsed() < READY_MAX, "winbindd does not reach the controller:\n{log}");
            thread::sleep(POLL);
        }
    }

    fn domain_tag(&self) -> String {
        let mut cksum = Command::new("cksum");
        cksum.env("LC_ALL", "C");
        let output = run(cksum, self.domain.as_os_str().as_encoded_bytes(), PEER_MAX).success();
        output.stdout.split(' ').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut command = script("remove", &self.domain);
        command.arg(&self.key).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().ok();
        for mut program in self.programs.get_mut().drain(..) {
            program.wait().ok();
        }
    }
}
