//! The machine on which the commands of the documents run.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Output, need, repository, run, shareward_binary, skip};

/// No command of the documents takes as long on a busy machine.
pub(super) const COMMAND_MAX: Duration = Duration::from_secs(60);

/// The password of all users.
pub(super) const PASSWORD: &str = "Passw0rd!1";

/// Programs of Debian that no test has installed, or that need systemd.
const STAND_INS: [(&str, &str); 3] = [
    ("systemctl", include_str!("systemctl.sh")),
    ("journalctl", include_str!("journalctl.sh")),
    ("sudo", "#!/bin/sh\nexec \"$@\"\n"),
];

/// This machine, called `files`, as it is before anything of the documents is installed. The directory of its commands
/// looks like the source tree after a build.
pub(super) struct Machine {
    root: TempDir,
    /// The first process of the machine, which ends with it.
    holder: Child,
    /// The id of the process whose namespaces are those of the machine.
    first: String,
}

impl Machine {
    /// Makes the machine; `None` if this one cannot.
    pub(super) fn new() -> Option<Self> {
        let programs = ["root", "unshare", "nsenter", "ip", "smbd", "smbclient", "pdbedit", "useradd"];
        if !need(&programs) {
            return None;
        }
        let root = tempfile::Builder::new().prefix("machine.").tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("chmod");
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg("/etc").arg(path("etc"));
        run(copy, b"", COMMAND_MAX).success();
        for directory in ["etc/shareward", "etc/samba"] {
            fs::remove_dir_all(path(directory)).ok();
        }
        for directory in [
            "etc/samba",
            "home",
            "mnt",
            "run/samba",
            "srv",
            "stand-ins",
            "tree/target/release",
            "var/cache/samba",
            "var/lib/samba/private",
            "var/log/samba",
        ] {
            fs::create_dir_all(path(directory)).expect("a directory");
        }
        fs::write(path("etc/hosts"), "127.0.0.1 localhost\n192.0.2.7 files nas\n").expect("write");
        fs::write(path("etc/samba/smb.conf"), "").expect("write");
        for (name, script) in STAND_INS {
            fs::write(path("stand-ins").join(name), script).expect("write");
        }
        let binary = shareward_binary();
        symlink(&binary, path("tree/target/release/shareward")).expect("a link");
        symlink(&binary, path("tree/shareward")).expect("a link");
        symlink(repository().join("packaging"), path("tree/packaging")).expect("a link");

        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child"]);
        unshare.args(["--propagation", "private", "sh"]);
        unshare.arg(repository().join("tests/peers/book/machine.sh")).arg(root.path());
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().expect("start unshare");
        let mut first = String::new();
        let mut lines = BufReader::new(holder.stdout.take().expect("a pipe"));
        lines.read_line(&mut first).expect("read");
        let first = first.trim().to_owned();
        let machine = Self { root, holder, first };
        if machine.first == "no overlay" {
            skip("this kernel has no overlay file system");
            return None;
        }
        assert!(!machine.first.is_empty(), "the machine does not start: its error is above");
        Some(machine)
    }

    /// The machine after the steps of `docs/install.md`, except for the copies, with the users alice and bob.
    pub(super) fn installed() -> Option<Self> {
        let machine = Self::new()?;
        for line in [
            "ln -s \"$PWD/shareward\" /usr/bin/shareward",
            "install -d -m 750 /etc/shareward",
            "cp packaging/shareward.toml /etc/shareward",
            "cp packaging/shareward.service /etc/systemd/system",
            "shareward links /usr/local/bin",
        ] {
            machine.run(line, "").success();
        }
        for user in ["alice", "bob"] {
            machine.run(&format!("useradd {user}"), "").success();
            machine.run(&format!("shareward user add {user}"), &format!("{PASSWORD}\n")).success();
        }
        Some(machine)
    }

    /// The path, as this process sees it, of a file below a private directory of the machine or, if it is not absolute,
    /// below the directory of the commands.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        match path.strip_prefix('/') {
            Some(path) => self.root.path().join(path),
            None => self.root.path().join("tree").join(path),
        }
    }

    /// A command that runs a line of shell.
    pub(super) fn command(&self, line: impl AsRef<OsStr>) -> Command {
        const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--net", "--uts", "--pid"]);
        command.arg(format!("--wd={}", self.file("").display()));
        command.args(["bash", "-c"]).arg(line).env_clear();
        // smbclient takes the password from PASSWD.
        let names = ["PASSWD", "SHAREWARD_PASSWORD"];
        command.envs(names.map(|name| (name, PASSWORD)));
        command.envs([
            ("HOME", "/root"),
            ("PATH", PATH),
            ("TERM", "dumb"),
            ("TZ", "UTC"),
            ("LC_ALL", "C.UTF-8"),
        ]);
        command
    }

    /// Runs a line of shell.
    #[track_caller]
    pub(super) fn run(&self, line: &str, input: &str) -> Output {
        let mut output = run(self.command(line), input.as_bytes(), COMMAND_MAX);
        line.clone_into(&mut output.command);
        output
    }

    /// The logs of the units, for a message.
    pub(super) fn logs(&self) -> String {
        let directory = self.file("/var/log");
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        ["shareward", "smbd"].map(|unit| read(&directory.join(format!("unit-{unit}.log")))).concat()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
