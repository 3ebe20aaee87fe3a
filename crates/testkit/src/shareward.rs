//! The binary under test, serving.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use crate::daemon::{Daemon, Place};
use crate::limits::PEER_MAX;
use crate::output::{Output, run};
use crate::samba::Accounts;
use crate::setup::{RunAs, Setup};
use crate::{is_root, paths};

/// `nobody` and `nogroup` on Debian.
const NOBODY: u32 = 65_534;

/// A running `shareward serve` over a temporary directory, which goes with it.
#[derive(Debug)]
pub struct Shareward {
    daemon: Daemon,
    files: Files,
}

/// The files of a server, and how to run the binary with them.
#[derive(Debug)]
struct Files {
    root: TempDir,
    setup: Setup,
    accounts: Option<Accounts>,
}

impl Shareward {
    /// Starts a server with these users and shares and waits until it answers.
    ///
    /// Panics with the server's log if it does not.
    pub fn start(setup: &Setup) -> Self {
        let files = Files::prepare(setup);
        // The accounts need a configuration, which names a port; the one that is served on comes with the start.
        files.write_config(0);
        for user in &setup.users {
            files.user(&["add", &user.name], &format!("{}\n", user.password)).success();
        }
        let log = files.path("server.log");
        let daemon = match (&setup.host, setup.listen) {
            (None, Some(address)) => {
                files.write_config(address.port());
                Daemon::start_at("shareward", &log, Place { address, namespace: None }, files.serve())
            }
            (Some(host), _) => {
                files.write_config(445);
                Daemon::start_at("shareward", &log, host.place(), files.serve())
            }
            (None, None) => Daemon::start("shareward", &log, |port| {
                files.write_config(port);
                files.serve()
            }),
        };
        Self { daemon, files }
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The number of its descriptors, without those of its history, which are opened with the first entry and stay.
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let files = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        files.filter(|file| !file.to_string_lossy().contains("/history.sqlite")).count()
    }

    /// The users and shares it was started with.
    pub fn setup(&self) -> &Setup {
        &self.files.setup
    }

    /// The directory behind the share called `name`.
    pub fn share_dir(&self, name: &str) -> PathBuf {
        self.files.share_dir(name)
    }

    /// The directory of the persistent state.
    pub fn state_dir(&self) -> PathBuf {
        self.files.path("state")
    }

    /// The users file, in smbpasswd format.
    pub fn users_file(&self) -> PathBuf {
        self.files.path("users")
    }

    /// The configuration file, which a test may rewrite before [`Shareward::signal`]`("HUP")`.
    pub fn config(&self) -> PathBuf {
        self.files.path("shareward.toml")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.files.path("run/control.sock")
    }

    /// A temporary directory of this server's that no share shows.
    pub fn scratch(&self) -> PathBuf {
        self.files.path("scratch")
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// True if it answers a NEGOTIATE.
    pub fn answers(&self) -> bool {
        self.daemon.answers()
    }

    /// Sends a signal by name, without `SIG`.
    pub fn signal(&self, name: &str) {
        self.daemon.signal(name);
    }

    /// Ends it with SIGTERM and starts it again on the same port, with the same files.
    ///
    /// Panics if it does not end or does not start.
    pub fn restart(&mut self) {
        let status = self.daemon.stop();
        assert!(status.is_some_and(|status| status.success()), "it ended with {status:?}");
        self.daemon.start_again(self.files.serve());
    }

    /// Ends it with SIGKILL and starts it again on the same port, with the same files.
    ///
    /// Panics if it does not start.
    pub fn kill_and_restart(&mut self) {
        self.daemon.kill();
        self.daemon.start_again(self.files.serve());
    }

    /// Ends it with SIGTERM; `None` if it did not end in time.
    pub fn stop(mut self) -> Option<ExitStatus> {
        self.daemon.stop()
    }

    /// Runs `shareward user` with these arguments on its users file.
    pub fn user(&self, words: &[&str], input: &str) -> Output {
        self.files.user(words, input)
    }

    /// Kills it. Its files stay until this is dropped.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again on the same port, with the same files, after [`Shareward::kill`].
    ///
    /// Panics if it does not start.
    pub fn start_again(&mut self) {
        self.daemon.start_again(self.files.serve());
    }

    /// Runs a command of the binary that reads the configuration, as the user that the server runs as.
    pub fn configured(&self, arguments: &[&str]) -> Output {
        run(self.configured_command(arguments), b"", PEER_MAX)
    }

    /// As [`Self::configured`], without running the command.
    pub fn configured_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.files.command();
        command.args(arguments).arg("--config").arg(self.files.path("shareward.toml"));
        command
    }

    /// Runs a command of the binary (`["session"]`, `["file", "7", "/close"]`, ...) against this server, as the user
    /// it runs as.
    pub fn net(&self, arguments: &[&str]) -> Output {
        run(self.net_command(arguments), b"", PEER_MAX)
    }

    /// As [`Self::net`], without running the command.
    pub fn net_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.files.command();
        command.args(arguments).arg("--socket").arg(self.files.path("run/control.sock"));
        command
    }
}

impl Files {
    fn prepare(setup: &Setup) -> Self {
        let root =
            tempfile::Builder::new().prefix("shareward-test.").tempdir().expect("a temporary directory");
        let accounts = (setup.run_as == RunAs::Root).then(|| {
            let etc = setup.host.as_ref().map(|host| host.file("/etc"));
            Accounts::write(etc.as_deref().or(setup.accounts.as_deref()).unwrap_or(root.path()), &setup.users)
        });
        let files = Self { root, setup: setup.clone(), accounts };
        let binary = setup.binary.clone().unwrap_or_else(paths::shareward_binary);
        // `nobody` may not have access to the build directory, which can also be on another file system.
        if fs::hard_link(&binary, files.path("shareward")).is_err() {
            fs::copy(&binary, files.path("shareward")).expect("copy the binary");
        }
        let mut directories: Vec<_> =
            ["run", "state", "scratch", "shares"].iter().map(|name| files.path(name)).collect();
        directories.extend(setup.shares.iter().map(|share| files.share_dir(&share.name)));
        for directory in &directories {
            fs::create_dir_all(directory).expect("create a directory");
        }
        match setup.run_as {
            RunAs::Ordinary if is_root() => {
                chown(files.root.path(), Some(NOBODY), Some(NOBODY)).expect("chown");
                for directory in &directories {
                    chown(directory, Some(NOBODY), Some(NOBODY)).expect("chown");
                }
            }
            RunAs::Ordinary => {}
            RunAs::Root => {
                open_to_all(files.root.path(), 0o755);
                for share in &setup.shares {
                    open_to_all(&files.share_dir(&share.name), 0o1777);
                }
            }
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn share_dir(&self, name: &str) -> PathBuf {
        self.setup.share_dir(self.root.path(), name)
    }

    /// The binary, run as whom the server runs as.
    fn command(&self) -> Command {
        self.command_within(&[])
    }

    /// As [`Self::command`], within limits that `prlimit` sets.
    fn command_within(&self, limits: &[&str]) -> Command {
        let binary = self.path("shareward");
        let program = if limits.is_empty() { binary.clone() } else { PathBuf::from("prlimit") };
        let mut command = match (&self.setup.host, &self.accounts) {
            (Some(host), _) => host.command(&program),
            (None, Some(accounts)) => accounts.within(&program),
            (None, None) => {
                let mut command = Command::new(&program);
                if is_root() {
                    command.uid(NOBODY).gid(NOBODY);
                }
                command
            }
        };
        if !limits.is_empty() {
            command.args(limits).arg(&binary);
        }
        command.current_dir(self.root.path()).env("HOME", self.root.path()).env_remove("XDG_RUNTIME_DIR");
        command
    }

    fn user(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command();
        command.arg("user").args(words).arg("--config").arg(self.path("shareward.toml"));
        // On a node of a cluster, users of the node itself.
        command.arg("--file").arg(self.path("users"));
        run(command, input.as_bytes(), PEER_MAX)
    }

    fn serve(&self) -> Command {
        let mut command = match self.setup.descriptors {
            Some(count) => self.command_within(&[&format!("--nofile={count}:{count}")]),
            None => self.command(),
        };
        command.arg("serve").arg("--config").arg(self.path("shareward.toml"));
        command
    }

    fn write_config(&self, port: u16) {
        let root = self.root.path().display();
        let listed =
            |users: Vec<&str>| users.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let administrators =
            listed(self.setup.users.iter().filter(|u| u.administrator).map(|u| u.name.as_str()).collect());
        let also = if self.setup.ipv6 { format!(", \"[::1]:{port}\"") } else { String::new() };
        let (address, name) = match &self.setup.host {
            Some(host) => (host.address().into(), host.name().to_uppercase()),
            None => {
                let address = self.setup.listen.map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |it| it.ip());
                (address, String::from("TESTED"))
            }
        };
        let mut text = format!(
            "[server]\nlisten = [\"{address}:{port}\"{also}]\nname = {name:?}\ncontrol_socket = \"{root}/run/control.sock\"\n\
             users_file = \"{root}/users\"\nstate_dir = \"{root}/state\"\nadministrators = [{administrators}]\n{}\n",
            self.setup.extra
        );
        for share in &self.setup.shares {
            write!(text, "\n[[share]]\nname = {:?}\npath = {:?}\n", share.name, self.share_dir(&share.name))
                .expect("a string");
            if share.encrypted {
                text.push_str("encrypt = true\n");
            }
            if share.read_only {
                text.push_str("read_only = true\n");
            }
            if share.hides_unreadable {
                text.push_str("access_based_enum = true\n");
            }
            if share.shows_symlinks {
                text.push_str("follow_symlinks = false\n");
            }
            writeln!(text, "{}", self.setup.extra_share).expect("a string");
        }
        let path = self.path("shareward.toml");
        fs::write(&path, text).expect("write the configuration");
        open_to_all(&path, 0o644);
    }
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}
