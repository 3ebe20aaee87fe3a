//! `shareward import samba` on a machine with Samba: the commands of `docs/from-samba.md`, and both servers with the result.
//!
//! The machine is this one with a copy of `/etc` and empty directories for Samba's state, seen only by the programs of a
//! test.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Output, need, repository, run, shareward_binary};

/// A machine with Samba.
struct Machine {
    root: TempDir,
    port: u16,
}

/// The users with their passwords. Only the first two have the group `team`.
const USERS: [(&str, &str); 3] = [("ann", "Ann's 1st"), ("bob", "pässword"), ("eve", "x")];

const CONFIG: &str = "\
[global]
   netbios name = OLDBOX
   workgroup = WORKGROUP
   server role = standalone server
   interfaces = 127.0.0.1
   bind interfaces only = yes
   smb ports = PORT
   disable netbios = yes
   map to guest = bad user
   load printers = no
   printcap name = /dev/null
   log file = /var/log/samba/log.%m
   passwd program = /usr/bin/passwd %u
   vfs objects = acl_xattr streams_xattr
   include = /etc/samba/more.conf

[printers]
   path = /var/tmp
   printable = yes

[project]
   comment = The \"team\"
   path = ROOT/project
   valid users = @team, eve
   write list = ann

[drop]
   path = ROOT/drop
   read only = no
   valid users = bob

[public]
   path = ROOT/public
   guest ok = yes

[limited]
   path = ROOT/limited
   hosts allow = 192.0.2.
   hosts deny = 127.0.0.1
   dont descend = /proc
";

impl Machine {
    /// Prepares the machine; `None` if this one cannot.
    fn new() -> Option<Self> {
        if !need(&["root", "smbd", "smbclient", "pdbedit", "net", "unshare"]) {
            return None;
        }
        let root = tempfile::Builder::new().prefix("import.").tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg("/etc").arg(path("etc"));
        run(copy, b"", LIMIT).success();
        fs::remove_dir_all(path("etc/shareward")).ok();
        fs::remove_dir_all(path("etc/samba")).ok();
        for directory in ["etc/samba", "lib/samba/private", "cache/samba", "log/samba", "run/samba"] {
            fs::create_dir_all(path(directory)).expect("a directory");
        }
        let mut passwd = fs::read_to_string(path("etc/passwd")).expect("accounts");
        let mut group = fs::read_to_string(path("etc/group")).expect("groups") + "team:x:64200:ann,bob\n";
        for (index, (name, _)) in USERS.iter().enumerate() {
            let id = 64201 + index;
            passwd += &format!("{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin\n");
            group += &format!("{name}:x:{id}:\n");
        }
        fs::write(path("etc/passwd"), passwd).expect("write");
        fs::write(path("etc/group"), group).expect("write");
        use std::os::unix::fs::PermissionsExt;
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
        open(root.path());
        for share in ["project", "drop", "public", "limited"] {
            fs::create_dir(path(share)).expect("a directory");
            open(&path(share));
            fs::write(path(share).join("seen"), share).expect("write");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let config =
            CONFIG.replace("PORT", &port.to_string()).replace("ROOT", &root.path().to_string_lossy());
        fs::write(path("etc/samba/smb.conf"), config).expect("write");
        fs::write(path("etc/samba/more.conf"), "server string = %h of the office\n").expect("write");
        let machine = Self { root, port };
        for (name, password) in USERS {
            let mut add = machine.command("pdbedit");
            add.args(["-a", "-t", "-u", name]);
            run(add, format!("{password}\n{password}\n").as_bytes(), LIMIT).success();
        }
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A command that runs a program on this machine; arguments are appended to it.
    fn command(&self, program: &str) -> Command {
        const SCRIPT: &str = "mount --bind \"$1/etc\" /etc && mount --bind \"$1/lib\" /var/lib &&
            mount --bind \"$1/cache\" /var/cache && mount --bind \"$1/log\" /var/log && mount --bind \"$1/run\" /run &&
            PATH=\"$2:$PATH:/usr/sbin\" && shift 2 && exec \"$@\"";
        let binary = shareward_binary();
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(self.root.path()).current_dir(self.root.path());
        command.arg(binary.parent().expect("the directory of the binary")).arg(program);
        command
    }

    fn shell(&self, line: &str) -> Output {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        run(command, b"", LIMIT)
    }

    /// Starts a server and waits until its port is open.
    fn serve(&self, program: &str, arguments: &[&str]) -> Server {
        let log = self.path("server.log");
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(file.try_clone().expect("a log"))
            .stdout(file)
            .process_group(0);
        let server = Server(command.spawn().expect("a server"));
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let text = fs::read_to_string(&log).unwrap_or_default();
            assert!(started.elapsed() < LIMIT, "{program} does not listen:\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The access of a user to a share: nothing, read, or write.
    fn access(&self, user: Option<(&str, &str)>, share: &str) -> &'static str {
        let does = |commands: &str| {
            let mut client = Command::new("smbclient");
            client
                .arg(format!("//127.0.0.1/{share}"))
                .args(["-s", "/dev/null", "-p"])
                .arg(self.port.to_string());
            match user {
                Some((name, password)) => client.arg("-U").arg(format!("{name}%{password}")),
                None => client.arg("-N"),
            };
            client.args(["-c", commands]);
            let output = run(client, b"", LIMIT);
            output.status == Some(0) && !output.text().contains("NT_STATUS")
        };
        match (does("ls seen"), does("mkdir made; rmdir made")) {
            (false, _) => "nothing",
            (true, false) => "read",
            (true, true) => "write",
        }
    }

    /// [`Self::access`] of all users and of a guest to all shares.
    fn all_access(&self) -> Vec<(String, &'static str)> {
        let mut all = Vec::new();
        for share in ["project", "drop", "public", "limited"] {
            for (name, password) in USERS {
                all.push((format!("{name} {share}"), self.access(Some((name, password)), share)));
            }
            all.push((format!("{share} with a wrong password"), self.access(Some(("ann", "wrong")), share)));
            all.push((format!("{share} without an account"), self.access(Some(("nobody-here", "x")), share)));
            all.push((format!("{share} anonymously"), self.access(None, share)));
        }
        all
    }

    /// The shares that are listed, with their comments.
    fn listed(&self) -> Vec<String> {
        let mut client = Command::new("smbclient");
        client
            .args(["-s", "/dev/null", "-g", "-L", "127.0.0.1", "-U", "ann%Ann's 1st", "-p"])
            .arg(self.port.to_string());
        let output = run(client, b"", LIMIT).success();
        let mut lines: Vec<String> =
            output.stdout.lines().filter(|line| line.starts_with("Disk|")).map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
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

/// The commands of `docs/from-samba.md` that import or check.
fn documented() -> Vec<String> {
    let text = fs::read_to_string(repository().join("docs/from-samba.md")).expect("the document");
    let commands = text.lines().filter_map(|line| line.strip_prefix("    ").or(line.strip_prefix("$ ")));
    let kinds = ["shareward import", "shareward check", "pdbedit -L -v"];
    commands.filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).map(str::to_owned).collect()
}

#[test]
fn the_commands_for_a_move_from_samba_make_the_same_server() {
    let Some(machine) = Machine::new() else { return };
    let samba = machine.serve("smbd", &["--foreground", "--no-process-group", "--debug-stdout"]);
    let (before, listed) = (machine.all_access(), machine.listed());
    drop(samba);
    for (who, access) in [
        ("ann project", "write"),
        ("bob project", "read"),
        ("eve drop", "nothing"),
        ("bob drop", "write"),
        ("public without an account", "read"),
        ("ann limited", "nothing"),
    ] {
        assert!(before.contains(&(who.to_owned(), access)), "{who} has not {access} in {before:?}");
    }

    assert_eq!(listed.len(), 4, "{listed:?}");
    for line in documented() {
        let sids = fs::read_to_string(machine.path("lib/shareward/user-sids")).unwrap_or_default();
        if line.contains("--users accounts") {
            machine.shell("pdbedit -L -w > accounts").success();
        }
        let output = machine.shell(&line);
        match line.as_str() {
            "shareward import samba --check" => {
                let output = output.says("[limited] dont descend = /proc");
                assert_eq!(output.status, Some(3), "{output}");
                let output = output.says("/etc/samba/more.conf:1: [global] server string = %h of the office");
                output.says("Accounts in /var/lib/samba/private/passdb.tdb: 3 users.");
                assert!(!machine.path("etc/shareward").exists(), "--check has written something");
            }
            line if line.starts_with("shareward ") => {
                output.success();
            }
            // Samba's own programs, which must say what the import has found.
            _ => {
                output.success();
                let again = fs::read_to_string(machine.path("lib/shareward/user-sids")).expect("the list");
                assert_eq!(sorted(&sids), sorted(&again));
                assert_eq!(sids.lines().count(), USERS.len());
            }
        }
    }
    for (path, mode) in [("etc/shareward", 0o750), ("etc/shareward/users", 0o600), ("lib/shareward", 0o700)] {
        use std::os::unix::fs::PermissionsExt;
        let found = fs::metadata(machine.path(path)).expect(path).permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    let sid = fs::read_to_string(machine.path("lib/shareward/machine-sid")).expect("the SID");
    machine.shell("/usr/bin/net getlocalsid").success().says(sid.trim());
    let hashes = machine.shell("pdbedit -L -w").success().stdout;
    let users = fs::read_to_string(machine.path("etc/shareward/users")).expect("the users");
    for line in hashes.lines().filter(|line| !line.starts_with('#')) {
        assert!(users.contains(line), "{line}\n{users}");
    }

    let _ours = machine.serve("shareward", &["serve"]);
    assert_eq!(machine.listed(), listed);
    assert_eq!(machine.all_access(), before);
}

#[test]
fn an_import_replaces_nothing_without_being_asked() {
    let Some(machine) = Machine::new() else { return };
    machine.shell("mkdir -m 750 /etc/shareward && echo pw | shareward user add BOB").success();
    let bob = fs::read_to_string(machine.path("etc/shareward/users")).expect("the users");
    let output = machine.shell("shareward import samba").success();
    output.says("not changed (1): bob").says("with their passwords (2): ann, eve");
    let users = fs::read_to_string(machine.path("etc/shareward/users")).expect("the users");
    assert!(users.starts_with(&bob) && users.lines().count() == 3, "{users}");

    fs::write(machine.path("etc/shareward/shareward.toml"), "# mine\n").expect("write");
    let refused = machine.shell("shareward import samba").failure();
    assert_eq!(refused.status, Some(1), "{refused}");
    refused.says("/etc/shareward/shareward.toml exists already").says("--force");
    let config =
        || fs::read_to_string(machine.path("etc/shareward/shareward.toml")).expect("the configuration");
    assert_eq!(config(), "# mine\n");
    machine.shell("shareward import samba --force").success();
    assert!(config().contains("[[share]]"));

    // A damaged file of accounts is no empty one.
    let passdb = machine.path("lib/samba/private/passdb.tdb");
    let bytes = fs::read(&passdb).expect("the accounts");
    fs::write(&passdb, &bytes[..1000]).expect("write");
    let refused = machine.shell("shareward import samba --output cut").failure();
    refused.says("passdb.tdb").says("nothing was written");
    assert!(!machine.path("cut").exists());
}

/// The limit of each command.
const LIMIT: Duration = Duration::from_secs(60);
