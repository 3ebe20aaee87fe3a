//! The state that clients, troubles and checks share: the server, the record of data, and the findings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use client::smb::Error;
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;
use testkit::{Cable, Output, RunAs, Setup, Share, Shareward, User};
use wire::NtStatus;

use crate::allowed::{Operation, Trouble, is_allowed, may_break};
use crate::ledger::Ledger;
use crate::mounts::Small;
use crate::victims::Victims;
use testkit::Random;

/// A soak under way.
pub(crate) struct World {
    server: Mutex<Shareward>,
    address: SocketAddr,
    pub(crate) cables: Vec<Cable>,
    /// The parent of the shares' directories and of the clients' files.
    pub(crate) tree: TempDir,
    pub(crate) small: Option<Small>,
    pub(crate) seed: u64,
    findings: Mutex<Vec<String>>,
    found: AtomicUsize,
    told: Mutex<BTreeMap<String, u64>>,
    round: Mutex<Round>,
    over: AtomicBool,
    pub(crate) victims: Victims,
    /// The lines that the server acknowledged in the file that all clients append to.
    pub(crate) appended: Mutex<Vec<[u8; LINE]>>,
}

/// The bytes of a line in the file that all clients append to.
pub(crate) const LINE: usize = 64;

#[derive(Default)]
struct Round {
    number: usize,
    troubles: Vec<Trouble>,
    /// The ledgers of its clients, with the directories of their files.
    ledgers: Vec<(PathBuf, Arc<Mutex<Ledger>>)>,
}

impl World {
    pub(crate) fn start(seed: u64) -> Self {
        let tree =
            tempfile::Builder::new().prefix("shareward-soak.").tempdir().expect("a temporary directory");
        open_to_all(tree.path());
        let share = |name: &str| Share {
            name: name.into(),
            encrypted: name == "sealed",
            read_only: false,
            hides_unreadable: false,
            shows_symlinks: false,
        };
        let shares = ["data", "sealed", "small", "passing"].map(share).to_vec();
        for share in &shares {
            let directory = tree.path().join("shares").join(&share.name);
            std::fs::create_dir_all(&directory).expect("a directory");
        }
        let small = Small::mount(&tree.path().join("shares/small"));
        let setup = Setup {
            shares,
            tree: Some(tree.path().join("shares")),
            run_as: RunAs::Ordinary,
            ..Setup::default()
        };
        let server = Shareward::start(&setup);
        let address = server.address();
        Self {
            cables: (0..3).map(|_| Cable::to(address)).collect(),
            server: Mutex::new(server),
            address,
            tree,
            small,
            seed,
            findings: Mutex::default(),
            found: AtomicUsize::new(0),
            told: Mutex::default(),
            round: Mutex::default(),
            over: AtomicBool::new(true),
            victims: Victims::default(),
            appended: Mutex::default(),
        }
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, Shareward> {
        lock(&self.server)
    }

    pub(crate) fn user(&self, name: &str) -> User {
        self.server().setup().user(name).clone()
    }

    /// A command of the binary against the server, run as its administrator.
    pub(crate) fn net(&self, words: &[&str]) -> Output {
        let command = self.server().net_command(words);
        testkit::run(command, b"", COMMAND_MAX)
    }

    /// One of the ways to the server: straight, or over a cable.
    pub(crate) fn way(&self, random: &mut Random) -> SocketAddr {
        match self.cables.get(random.below(self.cables.len() + 1)) {
            Some(cable) => SocketAddr::from(([127, 0, 0, 1], cable.port())),
            None => self.address,
        }
    }

    /// The directory of the share that all clients use.
    pub(crate) fn data(&self) -> PathBuf {
        self.tree.path().join("shares/data")
    }

    /// A directory of this soak's that no share shows.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        let directory = self.tree.path().join("scratch").join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    /// Starts a round.
    pub(crate) fn begin(&self, number: usize, troubles: Vec<Trouble>) {
        *lock(&self.round) = Round { number, troubles, ledgers: Vec::new() };
        self.over.store(false, Ordering::Relaxed);
    }

    /// Makes the clients finish.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn round(&self) -> usize {
        lock(&self.round).number
    }

    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        lock(&self.round).troubles.clone()
    }

    /// A ledger for the files that a client has in a directory of the share `data`.
    pub(crate) fn ledger(&self, directory: &str) -> Arc<Mutex<Ledger>> {
        let ledger = Arc::<Mutex<Ledger>>::default();
        lock(&self.round).ledgers.push((self.data().join(directory), Arc::clone(&ledger)));
        ledger
    }

    pub(crate) fn ledgers(&self) -> Vec<(PathBuf, Arc<Mutex<Ledger>>)> {
        lock(&self.round).ledgers.clone()
    }

    /// Notes that something is wrong.
    pub(crate) fn finding(&self, who: &str, what: impl std::fmt::Display) {
        let (round, troubles) = (self.round(), self.troubles());
        let text = format!("round {round} {troubles:?}, {who}: {what}");
        eprintln!("FOUND {text}");
        self.found.fetch_add(1, Ordering::Relaxed);
        let mut findings = lock(&self.findings);
        if findings.len() < FINDINGS_MAX {
            findings.push(text);
        }
    }

    /// The number of findings.
    pub(crate) fn found(&self) -> usize {
        self.found.load(Ordering::Relaxed)
    }

    pub(crate) fn findings(&self) -> Vec<String> {
        lock(&self.findings).clone()
    }

    /// Records a list that failed, which happens while the server restarts.
    pub(crate) fn unlisted(&self, output: &Output) {
        let troubles = self.troubles();
        let away = troubles.contains(&Trouble::RestartServer) || troubles.contains(&Trouble::KillServer);
        if !away || self.is_over() {
            self.finding("administrator", output);
        }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, operation: Operation, what: &str) {
        *lock(&self.told).entry(format!("{operation:?} {what}")).or_default() += 1;
    }

    pub(crate) fn told(&self) -> BTreeMap<String, u64> {
        lock(&self.told).clone()
    }

    /// Checks an error that a client got.
    pub(crate) fn judge(&self, who: &str, operation: Operation, error: &Error) {
        let troubles = self.troubles();
        match error {
            Error::Status(status, command) => {
                self.status(who, operation, *status, &format!("{command:?}"));
            }
            Error::Io(_) if may_break(&troubles) => self.count(operation, "a broken connection"),
            // The server does not listen while it restarts.
            Error::TimedOut(_) if may_break(&troubles) && operation == Operation::Connect => {
                self.count(operation, "no answer in time");
            }
            other => self.finding(who, format_args!("{operation:?}: {other}")),
        }
    }

    /// Checks a status that a client got.
    pub(crate) fn status(&self, who: &str, operation: Operation, status: NtStatus, what: &str) {
        self.count(operation, &format!("{status:?}"));
        if !is_allowed(operation, status, &self.troubles()) {
            self.finding(who, format_args!("{operation:?}: {what} answered {status:?}"));
        }
    }

    /// Stops the server and starts it again, or kills it and starts it again.
    pub(crate) fn restart(&self, kill: bool) {
        let mut server = self.server();
        if kill {
            server.kill_and_restart();
            for (_, ledger) in lock(&self.round).ledgers.iter() {
                lock(ledger).server_killed();
            }
        } else {
            server.restart();
        }
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Makes a directory readable and writable for all users.
pub(crate) fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777));
}

/// More findings would only repeat these.
const FINDINGS_MAX: usize = 200;

/// The time limit for a command of the binary; a close waits for clients.
const COMMAND_MAX: std::time::Duration = std::time::Duration::from_secs(90);
