//! The clients of a round, each until the round is over.

mod breaks;
mod impacket;
mod kernel;
mod mount;
mod ours;
mod smbclient;

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::allowed::{Operation, Trouble, allowed, may_break};
use crate::options::Kind;
use crate::world::World;

pub(crate) use ours::COMMON;

/// Starts the clients of a round.
pub(crate) fn start(world: &Arc<World>, kinds: &[Kind]) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::new();
    let mut spawn = |work: Box<dyn FnOnce() + Send>| threads.push(thread::spawn(work));
    for kind in kinds {
        for number in 0..many(*kind) {
            let world = Arc::clone(world);
            match kind {
                Kind::Ours => spawn(Box::new(move || ours::work(&world, number))),
                Kind::Smbclient => spawn(Box::new(move || smbclient::work(&world, number))),
                Kind::Impacket => spawn(Box::new(move || impacket::work(&world, number))),
                Kind::Mount => spawn(Box::new(move || mount::work(&world, number))),
                Kind::Kernel => spawn(Box::new(move || kernel::work(&world))),
            }
        }
    }
    threads
}

/// A missing requirement of a kind, if any.
pub(crate) fn lacks(kind: Kind) -> Option<&'static str> {
    let missing = |programs: &'static [&'static str]| {
        programs.iter().copied().find(|name| match *name {
            "root" => !testkit::is_root(),
            path if path.starts_with('/') => !std::path::Path::new(path).exists(),
            name => testkit::find(name).is_none(),
        })
    };
    match kind {
        Kind::Ours => None,
        Kind::Smbclient => missing(&["smbclient"]),
        Kind::Impacket => {
            let mut python = Command::new(testkit::peer::PYTHON);
            let there = python.args(["-c", "import impacket"]).output().is_ok_and(|it| it.status.success());
            (!there).then_some("python:impacket")
        }
        Kind::Mount => missing(&["root", "/dev/fuse"]),
        Kind::Kernel => missing(testkit::peer::KERNEL_CLIENT_NEEDS),
    }
}

fn many(kind: Kind) -> usize {
    match kind {
        Kind::Ours => 6,
        Kind::Smbclient | Kind::Impacket => 2,
        Kind::Mount | Kind::Kernel => 1,
    }
}

/// The output of a program, and whether it was killed.
struct Said {
    good: bool,
    killed: bool,
    text: String,
}

/// Runs a program that may be killed, until it ends or `limit` is over.
fn run(world: &World, who: &str, mut command: Command, limit: Duration) -> Said {
    let path = world.scratch("said").join(who);
    let file = File::create(&path).expect("a file");
    command.stdin(Stdio::null()).stdout(file.try_clone().expect("a descriptor")).stderr(file);
    let mut child = command.spawn().expect("a process");
    let _victim = world.victims.add(child.id());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if started.elapsed() > limit {
            world.finding(who, format_args!("hangs: {command:?}"));
            child.kill().ok();
            break child.wait().expect("a child");
        }
        thread::sleep(POLL);
    };
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
    Said { good: status.success(), killed: status.code().is_none(), text }
}

/// Checks the statuses in the output of a program, and its end.
fn judge(world: &World, who: &str, said: &Said) {
    let troubles = world.troubles();
    let mut named = 0;
    for word in said.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let Some(name) = word.strip_prefix("NT_STATUS_").or_else(|| word.strip_prefix("STATUS_")) else {
            continue;
        };
        named += 1;
        let is_allowed = allowed(Operation::Peer, &troubles).any(|status| status.name() == Some(name))
            || is_of_the_client(name) && may_break(&troubles);
        world.count(Operation::Peer, name);
        if !is_allowed {
            world.finding(who, format_args!("said {name}: {}", said.text));
        }
    }
    let excused = said.killed && troubles.contains(&Trouble::KillClients);
    let broken = may_break(&troubles);
    if !said.good && named == 0 && !excused && !broken {
        world.finding(who, format_args!("failed: {}", said.text));
    }
}

/// True for the errors that Samba's client itself reports for a lost connection or session. ACCESS_DENIED: an answer
/// is not signed although it must be, as that of a session without a key. INVALID_NETWORK_RESPONSE: after the first
/// refusal it forgets the other requests of a transfer, and takes the answers to these for invalid.
fn is_of_the_client(name: &str) -> bool {
    [
        "ACCESS_DENIED",
        "CONNECTION_DISCONNECTED",
        "CONNECTION_RESET",
        "CONNECTION_REFUSED",
        "IO_TIMEOUT",
        "END_OF_FILE",
        "PIPE_BROKEN",
        "UNEXPECTED_NETWORK_ERROR",
        "NETWORK_UNREACHABLE",
        "INVALID_CONNECTION",
        "INVALID_NETWORK_RESPONSE",
        "UNSUCCESSFUL",
    ]
    .contains(&name)
}

const POLL: Duration = Duration::from_millis(5);
