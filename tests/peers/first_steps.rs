//! The first steps of a new user on a fresh machine: `shareward init`, `doctor` and the first client.
//!
//! The machine is this one with a copy of `/etc` and empty directories for the state, seen only by the programs of the
//! test.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Output, need, run, shareward_binary};

const LIMIT: Duration = Duration::from_secs(60);

/// A machine on which nothing is installed but the binary.
struct Machine {
    root: TempDir,
    port: u16,
}

impl Machine {
    /// Prepares the machine; `None` if this one cannot.
    fn new() -> Option<Self> {
        if !need(&["root", "smbclient", "unshare", "useradd"]) {
            return None;
        }
        let root = tempfile::Builder::new().prefix("first-steps.").tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg("/etc").arg(path("etc"));
        run(copy, b"", LIMIT).success();
        fs::remove_dir_all(path("etc/shareward")).ok();
        for directory in ["lib", "run", "srv"] {
            fs::create_dir(path(directory)).expect("a directory");
        }
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("chmod");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        Some(Self { root, port })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A command that runs a shell on this machine; a line and its arguments are appended to it.
    fn command(&self) -> Command {
        const SCRIPT: &str = "mount --bind \"$1/etc\" /etc && mount --bind \"$1/lib\" /var/lib &&
            mount --bind \"$1/run\" /run && mount --bind \"$1/srv\" /srv &&
            PATH=\"$2:$PATH:/usr/sbin\" && shift 2 && exec sh -c \"$@\"";
        let binary = shareward_binary();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--fork", "--kill-child"]);
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(self.root.path());
        command.arg(binary.parent().expect("the directory of the binary")).current_dir("/");
        command
    }

    fn shell(&self, line: &str, input: &str) -> Output {
        let mut command = self.command();
        command.arg(line);
        run(command, input.as_bytes(), LIMIT)
    }

    /// Starts the server and waits until its port is open.
    fn serve(&self) -> Server {
        let log = self.path("server.log");
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.command();
        command.arg("exec shareward serve").stdin(Stdio::null()).process_group(0);
        command.stderr(file.try_clone().expect("a log")).stdout(file);
        let server = Server(command.spawn().expect("a server"));
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let text = fs::read_to_string(&log).unwrap_or_default();
            assert!(started.elapsed() < LIMIT, "the server does not listen:\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn smbclient(&self, commands: &str) -> Output {
        let mut client = Command::new("smbclient");
        client.args([
            "//127.0.0.1/team",
            "-s",
            "/dev/null",
            "-U",
            "nan%First 1",
            "-p",
            &self.port.to_string(),
        ]);
        client.args(["-c", commands]);
        run(client, b"", LIMIT)
    }
}

/// A server that ends with its value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // unshare kills what it started.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn init_and_doctor_lead_a_new_user_to_the_first_file() {
    let Some(machine) = Machine::new() else { return };
    let missing = machine.shell("shareward doctor", "");
    assert_eq!(missing.status, Some(1), "{missing}");
    missing.says("there is no /etc/shareward/shareward.toml").says("fix: shareward init");

    // Directory, name, another one, users, guests, address, Unix accounts, password.
    let answers = format!("/srv/Team\n\nn\nnan\nn\n127.0.0.1:{}\ny\nFirst 1\n", machine.port);
    let made = machine.shell("shareward init", &answers).success();
    made.says("/etc/shareward/shareward.toml was written")
        .says("shareward serve")
        .says("/team")
        .never_says("Nobody");
    for (path, mode) in [("etc/shareward", 0o750), ("etc/shareward/users", 0o600), ("lib/shareward", 0o700)] {
        let found = fs::metadata(machine.path(path)).expect(path).permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    machine.shell("shareward check", "").success();
    let again = machine.shell("shareward init --yes --share x=/srv --guest", "").failure();
    again.says("exists already");

    let server = machine.serve();
    machine.smbclient("put /etc/hostname a; ls a").success().never_says("NT_STATUS");
    drop(server);

    // Permissions that stop the user, and the command that mends them.
    fs::set_permissions(machine.path("srv"), Permissions::from_mode(0o700)).expect("chmod");
    let stopped = machine.shell("shareward doctor", "");
    assert_eq!(stopped.status, Some(1), "{stopped}");
    let stopped = stopped.says("error: access: share team: nan cannot enter /srv (mode 0700, root:root)");
    let lines = stopped.stdout.lines().skip_while(|line| !line.contains("cannot enter"));
    let fix = lines.map(str::trim).find_map(|line| line.strip_prefix("fix: ")).expect("a command").to_owned();
    machine.shell(&fix, "").success();
    machine.shell("shareward doctor", "").never_says("cannot enter");
    let _server = machine.serve();
    machine.smbclient("get a -").success().never_says("NT_STATUS");

    // A program that has the port.
    let taken = machine.shell("shareward doctor --json", "");
    taken.says("listens on 127.0.0.1").says("\"area\": \"ports\"");
}
