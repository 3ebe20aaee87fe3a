//! A server process: started, waited for until it answers, stopped with all its children.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use crate::limits::{CONNECT_MAX, LOG_TAIL_LINES, POLL, PORTS, READY_MAX, START_ATTEMPTS, STOP_MAX};
use crate::paths;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A running server whose log is in a file. Dropping it ends it; dropping it in a panic shows the log.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// Ends the server when this process dies without dropping anything: its standard input ends with us.
    watchdog: Option<Child>,
    killed: bool,
    name: &'static str,
    log: PathBuf,
    place: Place,
}

/// The place where a server listens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The address and port.
    pub(crate) address: SocketAddr,
    /// The network namespace, as a file; `None` for that of this process.
    pub(crate) namespace: Option<PathBuf>,
}

impl Daemon {
    /// Starts the command for a free port, and waits until it answers SMB2 on 127.0.0.1.
    pub(crate) fn start(name: &'static str, log: &Path, command: impl Fn(u16) -> Command) -> Self {
        let mut said = String::new();
        for _ in 0..START_ATTEMPTS {
            let port = free_port();
            let place = Place { address: SocketAddr::from(([127, 0, 0, 1], port)), namespace: None };
            match Self::attempt(name, log, place, command(port)) {
                Ok(daemon) => return daemon,
                Err(reason) => said = reason,
            }
            let text = fs::read_to_string(log).unwrap_or_default();
            if !text.to_lowercase().contains("in use") {
                break;
            }
            fs::remove_file(log).ok();
        }
        panic!("{said}\n{}", tail(log));
    }

    /// Starts the command for a place that nobody else uses, and waits until it answers SMB2 there.
    pub(crate) fn start_at(name: &'static str, log: &Path, place: Place, command: Command) -> Self {
        Self::attempt(name, log, place, command).unwrap_or_else(|reason| panic!("{reason}\n{}", tail(log)))
    }

    /// Starts `command` again on the same port, after [`stop`](Self::stop).
    pub(crate) fn start_again(&mut self, command: Command) {
        let again = Self::attempt(self.name, &self.log, self.place.clone(), command);
        *self = again.unwrap_or_else(|reason| panic!("{reason}\n{}", tail(&self.log)));
    }

    fn attempt(name: &'static str, log: &Path, place: Place, mut command: Command) -> Result<Self, String> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|error| format!("cannot create {}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| format!("cannot use {}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child = command.spawn().map_err(|error| format!("cannot start {name} ({command:?}): {error}"))?;
        let watchdog = watchdog(child.id());
        let mut daemon = Self { child, watchdog, killed: false, name, log: log.to_path_buf(), place };
        let started = Instant::now();
        while !daemon.answers() {
            if let Ok(Some(status)) = daemon.child.try_wait() {
                return Err(format!("{name} ended at once ({status})"));
            }
            if started.elapsed() > READY_MAX {
                return Err(format!("{name} does not answer on {} after {READY_MAX:?}", daemon.address()));
            }
            thread::sleep(POLL);
        }
        Ok(daemon)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True if the server answers a NEGOTIATE.
    pub(crate) fn answers(&self) -> bool {
        self.place.answers()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child.id().to_string(), name);
        if name == "STOP" {
            self.wait_until_stopped();
        }
    }

    /// Waits until no thread runs any more. After SIGSTOP, the thread that takes the signal stops the others, which may
    /// answer requests until then.
    fn wait_until_stopped(&self) {
        let asked = Instant::now();
        while !is_stopped(self.child.id()) {
            assert!(asked.elapsed() < STOP_MAX, "process {} is not stopped", self.child.id());
            thread::sleep(POLL);
        }
    }

    /// Sends SIGTERM and waits for the end; `None` if the process had to be killed.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        self.signal("TERM");
        let asked = Instant::now();
        while asked.elapsed() < STOP_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(POLL);
        }
        None
    }

    /// Ends it and its children at once.
    pub(crate) fn kill(&mut self) {
        if std::mem::replace(&mut self.killed, true) {
            return;
        }
        // First, lest it hit a process group that has the number by then.
        if let Some(mut watchdog) = self.watchdog.take() {
            watchdog.kill().ok();
            watchdog.wait().ok();
        }
        kill_group(self.child.id(), "KILL");
        self.child.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- the log of {} on {}:\n{}", self.name, self.address(), tail(&self.log));
            if let Some(kept) = keep(&self.log, self.name, self.address()) {
                eprintln!("--- all of it: {}", kept.display());
            }
        }
    }
}

/// A process that kills the group `group` when this process ends.
pub(crate) fn watchdog(group: u32) -> Option<Child> {
    let script = "read -r _; kill -s KILL -- \"-$1\" 2>/dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", &group.to_string()]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

/// Sends a signal to a process group, whose number is its first process's.
pub(crate) fn kill_group(pid: u32, name: &str) {
    signal(&format!("-{pid}"), name);
}

/// True if all threads of a process are stopped, or it has ended (proc_pid_stat(5)).
fn is_stopped(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
    threads.flatten().all(|thread| {
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { return true };
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't', 'Z', 'X']))
    })
}

fn signal(target: &str, name: &str) {
    let script = "kill -s \"$1\" -- \"$2\" 2>/dev/null";
    Command::new("sh").args(["-c", script, "sh", name, target]).status().ok();
}

impl Place {
    /// True if a server answers a NEGOTIATE there.
    fn answers(&self) -> bool {
        self.connect().is_ok_and(answers)
    }

    /// Connects to the address.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let connect = || TcpStream::connect_timeout(&self.address, CONNECT_MAX);
        let Some(namespace) = &self.namespace else { return connect() };
        // A thread of its own, because it stays in the namespace.
        thread::scope(|threads| {
            let connected = threads.spawn(|| {
                let namespace = File::open(namespace)?;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                connect()
            });
            connected.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        })
    }
}

/// Sends an SMB2 NEGOTIATE and waits for the start of an answer: a hung server still has the kernel accept
/// connections for it.
fn answers(mut stream: TcpStream) -> bool {
    let mut prefix = [0; 4];
    stream.set_read_timeout(Some(CONNECT_MAX)).is_ok()
        && stream.write_all(&negotiate()).is_ok()
        && stream.read_exact(&mut prefix).is_ok()
}

/// MS-SMB2 2.2.3: a NEGOTIATE for 2.0.2 to 3.0.2, framed.
pub fn negotiate() -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 108];
    frame.extend([0xfe, b'S', b'M', b'B', 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    frame.extend([0; 48]);
    frame.extend([36, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend([0x11; 16]);
    frame.extend([0; 8]);
    frame.extend([0x02, 0x02, 0x10, 0x02, 0x00, 0x03, 0x02, 0x03]);
    frame
}

/// A free port. Processes search from different positions of the range, so that concurrent tests rarely choose the
/// same one; [`Daemon::start`] then tries another.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(7);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + u16::try_from(first.wrapping_add(step) % span).expect("within the range");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {} and {}", PORTS.start, PORTS.end);
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_TAIL_LINES);
    lines[from..].join("\n")
}

fn keep(log: &Path, name: &str, address: SocketAddr) -> Option<PathBuf> {
    let directory = paths::build_directory()?.join("test-logs");
    fs::create_dir_all(&directory).ok()?;
    let kept = directory.join(format!("{name}-{}-{}.log", address.port(), std::process::id()));
    fs::copy(log, &kept).ok()?;
    Some(kept)
}
