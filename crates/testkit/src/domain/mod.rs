//! An Active Directory domain on this machine: `tools/ad-domain.sh` from Rust.
//!
//! All tests of a run share one domain, also those that run in processes of their own: the first process makes it, and
//! each holds a shared lock of a file. A keeper, which is started with the domain, removes it when the last lock is
//! gone, however the processes ended. A domain whose keeper was killed is made again.

mod host;
mod samba;

pub use host::{Host, Tickets};
pub use samba::SambaMember;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::limits::DOMAIN_MAX;
use crate::need::{need, skip};
use crate::output::{Output, run};
use crate::paths::{build_directory, repository};

/// The programs and files that a domain needs, for [`need`].
const NEEDS: &[&str] = &[
    "root",
    "ip",
    "unshare",
    "flock",
    "samba-tool",
    "samba",
    "/usr/share/samba/setup",
    "kinit",
    "net",
    "winbindd",
    "wbinfo",
    "smbclient",
];

/// The member server that ours is: the hosts of tests are copies of it.
const OURS: &str = "files";

/// The member server that Samba is.
const SAMBAS: &str = "smb1";

/// The first id of the domain's range in the `smb.conf` of its hosts (`idmap config CORP : range`).
pub const FIRST_ID: u32 = 100_000;

/// The password of a user of the domain, whose last letter is the user's first.
pub fn password(user: &str) -> String {
    let last = if user == "Administrator" { "x" } else { user.get(..1).unwrap_or_default() };
    format!("Passw0rd!{last}")
}

/// The domain CORP, whose realm is CORP.TEST, with the users and groups that the head of `tools/ad-domain.sh` names.
#[derive(Debug)]
pub struct Domain {
    directory: PathBuf,
    /// The shared lock, which lasts as long as this process.
    _in_use: File,
}

impl Domain {
    /// Returns the domain if `programs` and those of the domain itself are installed; otherwise the test is skipped
    /// (see [`need`]). Makes the domain if it does not exist, which takes about 20 seconds.
    ///
    /// Panics with the output of the script if the domain cannot be made.
    #[track_caller]
    pub fn with(programs: &[&str]) -> Option<&'static Self> {
        static DOMAIN: OnceLock<Domain> = OnceLock::new();
        if !need(&[NEEDS, programs].concat()) {
            return None;
        }
        if !namespaces_work() {
            skip("network namespaces with veth pairs cannot be made here");
            return None;
        }
        Some(DOMAIN.get_or_init(Self::find_or_make))
    }

    /// A copy of the member server `files.corp.test`, whose account has the service `HTTP` as well, with an address of its own: the place for a server of ours and its
    /// clients.
    pub fn member(&self) -> Arc<Host> {
        Arc::new(Host::make(self, &unique("files"), Some(OURS)))
    }

    /// A copy of the member server `smb1.corp.test`: the place for a [`SambaMember`].
    pub fn samba_member(&self) -> Arc<Host> {
        Arc::new(Host::make(self, &unique("smb1"), Some(SAMBAS)))
    }

    /// A host that is not a member of the domain.
    ///
    /// `name` becomes its account's name if it joins, so no two hosts may have the same.
    pub fn stranger(&self, name: &str) -> Arc<Host> {
        Arc::new(Host::make(self, name, None))
    }

    /// As [`Self::stranger`], and joins the domain with `net ads join`.
    pub fn joined(&self, name: &str) -> Arc<Host> {
        let host = self.stranger(name);
        self.script("join", &[name]).success();
        host
    }

    /// The SID of a user or group that the domain began with.
    ///
    /// Panics if it began without.
    #[track_caller]
    pub fn sid(&self, name: &str) -> String {
        let sids =
            fs::read_to_string(self.directory.join("hosts/dc1/run/sids")).expect("read the list of SIDs");
        let mut lines = sids.lines().filter_map(|line| line.split_once('\t'));
        let found = lines.find(|(_, account)| *account == name).map(|(sid, _)| sid.to_owned());
        found.unwrap_or_else(|| panic!("there was no account {name}"))
    }

    /// The Unix id that Samba's `idmap_rid` gives a user or group, with the range of the domain's member servers.
    #[track_caller]
    pub fn id(&self, name: &str) -> u32 {
        let relative: u32 = self.sid(name).rsplit('-').next().and_then(|it| it.parse().ok()).expect("a SID");
        FIRST_ID + relative
    }

    /// Runs a command on the domain controller.
    pub fn controller(&self, words: &[&str]) -> Output {
        self.script("exec", &[&["dc1"], words].concat())
    }

    /// Runs `samba-tool` on the domain controller.
    ///
    /// Panics if the tool fails.
    pub fn samba_tool(&self, words: &[&str]) -> Output {
        let configured = ["--configfile=/var/lib/samba/dc/etc/smb.conf"];
        self.controller(&[&["samba-tool"], words, &configured].concat()).success()
    }

    /// Runs a verb of the script.
    fn script(&self, verb: &str, words: &[&str]) -> Output {
        let mut command = script(verb, &self.directory);
        command.args(words);
        run(command, b"", DOMAIN_MAX)
    }

    fn find_or_make() -> Self {
        let place = build_directory().expect("a build directory");
        let directory = place.join("test-domain");
        let users = File::create(place.join("test-domain.users")).expect("create a lock file");
        users.lock_shared().expect("lock a file");
        let domain = Self { directory, _in_use: users };
        let making = File::create(place.join("test-domain.making")).expect("create a lock file");
        making.lock().expect("lock a file");
        if !domain.is_kept() {
            domain.script("up", &[]).success();
            for name in [OURS, SAMBAS] {
                domain.script("host", &[name]).success();
                domain.script("join", &[name]).success();
            }
            domain.samba_tool(&["spn", "add", "HTTP/files.corp.test", "FILES$"]);
            let mut keeper = script("keep", &domain.directory);
            keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            #[expect(clippy::zombie_processes, reason = "the keeper outlives this process")]
            let keeper = keeper.spawn().expect("start the domain's keeper");
            fs::write(domain.keeper(), keeper.id().to_string()).expect("write the keeper's number");
        }
        domain
    }

    fn keeper(&self) -> PathBuf {
        self.directory.join("keeper")
    }

    /// True if the domain exists and has a keeper.
    fn is_kept(&self) -> bool {
        let number = fs::read_to_string(self.keeper()).unwrap_or_default();
        let command = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        !number.is_empty() && String::from_utf8_lossy(&command).contains("ad-domain.sh")
    }
}

fn script(verb: &str, directory: &std::path::Path) -> Command {
    let mut command = Command::new(repository().join("tools/ad-domain.sh"));
    // Locale and tickets of the tests' caller change the output.
    command.arg(verb).arg(directory).env("LC_ALL", "C").env_remove("KRB5CCNAME").env_remove("KRB5_CONFIG");
    command
}

/// A name that no other host of the domain has.
fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// True if this process may make what hosts need.
fn namespaces_work() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "--uts", "ip", "link", "add", "name", "one", "type", "veth"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
