//! The life of a package in a root of Debian: installed, used, upgraded, removed, purged. It runs in namespaces of its own.

use std::fs::{self, Permissions};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::holder::Holder;
use super::unit::Unit;
use crate::shell;

/// The longest wait for a start or a stop of the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port of SMB.
const PORT: u16 = 445;

/// Runs the scenario. The arguments are the root, a directory to work in, and the packages of the old and new version.
pub(super) fn main(arguments: &[String]) -> bool {
    let [root, work, old, new] = arguments else { return false };
    let machine = match Machine::new(Path::new(root), Path::new(work)) {
        Ok(machine) => machine,
        Err(error) => {
            println!("skipped: a root cannot be laid over {root} here: {error}");
            return false;
        }
    };
    match machine.live(Path::new(old), Path::new(new)) {
        Ok(()) => true,
        Err(error) => {
            println!("{error}");
            println!("{}", fs::read_to_string(machine.path("run/shareward-test/log")).unwrap_or_default());
            false
        }
    }
}

/// A root of Debian whose changes are kept in memory.
struct Machine {
    root: PathBuf,
    /// The changes.
    upper: PathBuf,
}

/// Stands for systemd: it starts, stops and enables the one unit. The scripts of packages find it in PATH.
const SYSTEMCTL: &str = r#"#!/bin/sh
state=/run/shareward-test
enabled=/etc/systemd/system/multi-user.target.wants/shareward.service
set -- $(printf '%s\n' "$@" | grep -v '^-')
echo "systemctl $*" >>$state/log
running() { test -s $state/pid && grep -q '^State:[^Z]*$' /proc/"$(cat $state/pid)"/status 2>/dev/null; }
stop() {
    running || return 0
    kill -TERM "$(cat $state/pid)"
    tries=0
    while running; do
        sleep 0.1
        tries=$((tries + 1))
        if test $tries = 600; then
            echo "the server has not ended on SIGTERM" >>$state/log
            exit 1
        fi
    done
    rm $state/pid
}
start() {
    running && return 0
    setsid sh -c 'echo $$ >'$state'/pid; exec sh '$state'/unit' >>$state/log 2>&1 </dev/null &
    while ! test -s $state/pid; do sleep 0.1; done
}
case "$1" in
start) start ;;
stop) stop ;;
restart) stop; start ;;
reload) if running; then kill -HUP "$(cat $state/pid)"; fi ;;
try-restart) if running; then stop; start; fi ;;
is-active) running ;;
preset | enable) mkdir -p ${enabled%/*}; ln -sf /usr/lib/systemd/system/shareward.service $enabled ;;
disable) rm -f $enabled ;;
is-enabled)
    if test -L $enabled; then echo enabled; else echo disabled; exit 1; fi ;;
esac
"#;

impl Machine {
    /// Lays a writable root over `lower`.
    fn new(lower: &Path, work: &Path) -> io::Result<Self> {
        mount(&["-t", "tmpfs", "-o", "mode=755", "none"], work)?;
        let (root, upper) = (work.join("root"), work.join("upper"));
        for directory in [&root, &upper, &work.join("overlay")] {
            fs::create_dir(directory)?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.join("overlay").display()
        );
        mount(&["-t", "overlay", "-o", &layers, "none"], &root)?;
        let machine = Self { root, upper };
        mount(&["-t", "proc", "proc"], &machine.path("proc"))?;
        mount(&["-t", "tmpfs", "-o", "mode=755", "none"], &machine.path("run"))?;
        mount(&["-t", "tmpfs", "-o", "mode=755", "none"], &machine.path("dev"))?;
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            fs::write(machine.path("dev").join(device), "")?;
            mount(&["--bind", &format!("/dev/{device}")], &machine.path("dev").join(device))?;
        }
        for directory in ["run/systemd/system", "run/shareward-test"] {
            fs::create_dir_all(machine.path(directory))?;
        }
        // A server that was used on this machine may have left its files.
        for directory in ["etc/shareward", "var/lib/shareward"] {
            if machine.path(directory).exists() {
                fs::remove_dir_all(machine.path(directory))?;
            }
        }
        // A policy of a container must not keep services from starting.
        fs::remove_file(machine.path("usr/sbin/policy-rc.d")).ok();
        fs::remove_file(machine.path("usr/bin/systemctl")).ok();
        fs::write(machine.path("usr/bin/systemctl"), SYSTEMCTL)?;
        fs::set_permissions(machine.path("usr/bin/systemctl"), Permissions::from_mode(0o755))?;
        expect(&mut shell::command("ip", &["link", "set", "lo", "up"])).map_err(io::Error::other)?;
        Ok(machine)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Runs a command in the root, without input.
    fn run(&self, words: &[&str]) -> Result<String, String> {
        expect(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(words).current_dir("/").env_clear().stdin(Stdio::null());
        command
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a command in the root with this input.
    fn run_with(&self, words: &[&str], input: &str) -> Result<String, String> {
        let file = self.path("run/shareward-test/input");
        fs::write(&file, input).map_err(|error| error.to_string())?;
        let input = fs::File::open(file).map_err(|error| error.to_string())?;
        expect(self.command(words).stdin(input))
    }

    fn install(&self, package: &Path) -> Result<String, String> {
        let name = package.file_name().unwrap_or_default();
        let copy = self.path("run/shareward-test").join(name);
        fs::copy(package, &copy).map_err(|error| error.to_string())?;
        self.run(&["dpkg", "--install", &format!("/run/shareward-test/{}", name.to_string_lossy())])
    }

    /// The process of the server; `None` if it does not run.
    fn server(&self) -> Option<String> {
        let pid = fs::read_to_string(self.path("run/shareward-test/pid")).ok()?.trim().to_owned();
        let status = fs::read_to_string(self.path("proc").join(&pid).join("status")).ok()?;
        // A process that has ended stays until its parent asks for its result.
        (!status.contains("State:\tZ")).then_some(pid)
    }

    fn live(&self, old: &Path, new: &Path) -> Result<(), String> {
        let text = fs::read_to_string(testkit::repository().join("packaging/shareward.service"));
        let unit = Unit::parse(&text.map_err(|error| error.to_string())?);
        fs::write(self.path("run/shareward-test/unit"), unit.script()).map_err(|error| error.to_string())?;
        for (directive, reason) in unit.left_out() {
            let reason = reason.ok_or_else(|| format!("{directive} of the unit is unknown to this test"))?;
            println!("  {directive} of the unit is left out: {reason}");
        }
        let net_before = fs::read(self.path("usr/bin/net")).ok();

        step("another server has the port: the service is neither enabled nor started");
        let other = take_port()?;
        let said = self.install(new)?;
        check(said.contains("not enabled"), &format!("the script does not say so: {said}"))?;
        check(self.server().is_none(), "the server runs")?;
        check(!self.path(ENABLED).is_symlink(), "the service is enabled")?;
        self.run(&["shareward", "--version"])?;
        self.run(&["dpkg", "--purge", "shareward"])?;
        drop(other);
        self.check_nothing_left()?;

        step("installed: the service runs under the restrictions of its unit");
        self.install(old)?;
        check(self.path(ENABLED).is_symlink(), "the service is not enabled")?;
        let first = self.wait_for_server()?;
        for name in ["openfiles", "psfile", "psloggedon"] {
            self.run(&[name, "--help"])?;
        }
        self.run(&["/usr/lib/shareward/bin/net", "session"])?;

        step("Samba's net stays, whichever package came first");
        let samba = net_before.is_some();
        if !samba {
            self.install(&self.package_with_net()?)?;
        }
        let net = fs::read(self.path("usr/bin/net")).map_err(|error| format!("/usr/bin/net: {error}"))?;
        check(net_before.is_none_or(|before| before == net), "/usr/bin/net has changed")?;

        step("a share serves a file to smbclient");
        self.run(&["useradd", "--create-home", USER])?;
        self.run_with(&["shareward", "user", "add", USER], &format!("{PASSWORD}\n"))?;
        for share in ["data", "vm"] {
            self.run(&["install", "--directory", "--owner", USER, &format!("/srv/{share}")])?;
            self.run(&[
                "shareward",
                "share",
                &format!("{share}=/srv/{share}"),
                &format!("/GRANT:{USER},FULL"),
            ])?;
        }
        let file = self.path("run/shareward-test/file");
        fs::write(&file, "content\n").map_err(|error| error.to_string())?;
        smbclient(&format!("put {} kept.txt", file.display()))?;
        let stored = fs::read_to_string(self.path("srv/data/kept.txt")).map_err(|error| error.to_string())?;
        check(stored == "content\n", &format!("the file has {stored:?}"))?;

        step("upgraded: configuration, accounts, state and durable opens stay, the new version runs");
        self.keep_opens_over_restarts()?;
        let holder = Holder::start(USER, PASSWORD)?;
        let kept = self.kept()?;
        self.install(new)?;
        let second = self.wait_for_server()?;
        check(first != second, "the old server still runs")?;
        check(self.kept()? == kept, "configuration, accounts or state have changed")?;
        holder.reclaim()?;
        for file in ["srv/data/held.txt", "srv/vm/held.txt"] {
            let content = fs::read_to_string(self.path(file)).map_err(|error| format!("{file}: {error}"))?;
            check(content == "after the upgrade ", &format!("{file} has {content:?}"))?;
        }
        let read = smbclient("get kept.txt -")?;
        check(read.contains("content"), &format!("the file cannot be read: {read}"))?;

        step("a stopped service stays stopped, a disabled one stays disabled");
        self.run(&["systemctl", "stop", "shareward"])?;
        self.run(&["systemctl", "disable", "shareward"])?;
        self.install(new)?;
        check(self.server().is_none(), "the server was started")?;
        check(!self.path(ENABLED).is_symlink(), "the service was enabled")?;
        self.run(&["systemctl", "enable", "shareward"])?;
        self.run(&["systemctl", "start", "shareward"])?;
        self.wait_for_server()?;

        step("removed: the server is stopped, configuration and accounts stay");
        self.run(&["dpkg", "--remove", "shareward"])?;
        check(self.server().is_none(), "the server runs")?;
        check(self.kept()? == kept, "configuration, accounts or state have changed")?;
        check(!self.path("usr/bin/openfiles").is_symlink(), "the link openfiles is left")?;

        step("installed again while another server has the port: neither enabled nor started");
        check(self.path(ENABLED).is_symlink(), "a removal is not expected to disable the service")?;
        let other = take_port()?;
        self.install(new)?;
        check(self.server().is_none(), "the server runs")?;
        check(!self.path(ENABLED).is_symlink(), "the service is enabled")?;
        drop(other);
        self.run(&["systemctl", "enable", "shareward"])?;
        self.run(&["dpkg", "--remove", "shareward"])?;

        step("installed again: the service runs, with its configuration and accounts");
        self.install(new)?;
        self.wait_for_server()?;
        check(self.kept()? == kept, "configuration, accounts or state have changed")?;

        step("purged: nothing is left but the users' files");
        self.run(&["dpkg", "--purge", "shareward"])?;
        self.check_nothing_left()?;
        check(self.path("srv/data/kept.txt").exists(), "the shared file is gone")?;
        check(fs::read(self.path("usr/bin/net")).is_ok_and(|now| now == net), "/usr/bin/net has changed")
    }

    /// Gives both shares the settings with which opens outlive the server.
    fn keep_opens_over_restarts(&self) -> Result<(), String> {
        let file = self.path("etc/shareward/shareward.toml");
        let mut text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        for (share, setting) in [("data", "durable_over_restart"), ("vm", "continuous")] {
            let name = format!("\nname = \"{share}\"\n");
            check(text.contains(&name), &format!("the configuration has no share {share}: {text}"))?;
            text = text.replace(&name, &format!("{name}{setting} = true\n"));
        }
        fs::write(file, text).map_err(|error| error.to_string())?;
        self.run(&["shareward", "check"])?;
        self.run(&["systemctl", "reload", "shareward"])?;
        // The server reads the file some time after the signal, and opens the log of a share when a client connects.
        let deadline = Instant::now() + PATIENCE;
        for share in ["data", "vm"] {
            while !self.path("srv").join(share).join(OPENS_LOG).exists() {
                check(Instant::now() < deadline, &format!("the share {share} has no log of its opens"))?;
                smbclient_on(share, "ls")?;
            }
        }
        Ok(())
    }

    /// The server's process, once it answers clients and commands.
    fn wait_for_server(&self) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listens = TcpStream::connect(("127.0.0.1", PORT)).is_ok();
            let answer = self.run(&["shareward", "config", "server"]);
            match (self.server(), answer) {
                (Some(pid), Ok(_)) if listens => return Ok(pid),
                (_, answer) if Instant::now() > deadline => {
                    return Err(format!("no server after {} s: {answer:?}", PATIENCE.as_secs()));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The contents that an upgrade and a removal have to keep.
    fn kept(&self) -> Result<Vec<String>, String> {
        let files = ["etc/shareward/shareward.toml", "etc/shareward/users", "var/lib/shareward/machine-sid"];
        let read = |file| fs::read_to_string(self.path(file)).map_err(|error| format!("{file}: {error}"));
        files.into_iter().map(read).collect()
    }

    /// Fails if a file of the package, or one that names it, is among the changes.
    fn check_nothing_left(&self) -> Result<(), String> {
        let mut left = Vec::new();
        let mut open = vec![self.upper.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).map_err(|error| error.to_string())?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = entry.path();
                let shown = path.strip_prefix(&self.upper).unwrap_or(&path).display().to_string();
                // The mark of a file of the lower root that was removed.
                if self.path(&shown).symlink_metadata().is_err() {
                    continue;
                }
                // The directories of the user, and of this test.
                if ["home", "srv", "tmp", "run", "var/mail"].contains(&shown.as_str()) {
                    continue;
                }
                if ["shareward", "openfiles", "psfile", "psloggedon"].iter().any(|it| name.contains(it)) {
                    left.push(shown);
                } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                }
            }
        }
        check(left.is_empty(), &format!("left behind: {}", left.join(", ")))
    }

    /// A package with the name and the program of Samba's.
    fn package_with_net(&self) -> Result<PathBuf, String> {
        let tree = self.upper.with_file_name("net-tree");
        let control = "Package: samba-common-bin\nVersion: 1\nArchitecture: all\n\
                       Maintainer: nobody <nobody@localhost>\nDescription: a program named net\n";
        for (name, content) in [("DEBIAN/control", control), ("usr/bin/net", "#!/bin/sh\necho Samba\n")] {
            let place = tree.join(name);
            fs::create_dir_all(place.parent().unwrap_or(&tree)).map_err(|error| error.to_string())?;
            fs::write(place, content).map_err(|error| error.to_string())?;
        }
        let package = self.upper.with_file_name("net.deb");
        expect(shell::command("dpkg-deb", &["--root-owner-group", "--build"]).arg(tree).arg(&package))?;
        Ok(package)
    }
}

/// The user of the shares.
const USER: &str = "shareward-alice";
const PASSWORD: &str = "Pass-4711-word";

/// The directory in a share with the log of opens that outlive the server.
const OPENS_LOG: &str = ".shareward-handles";

/// The link of an enabled service.
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants/shareward.service";

fn step(name: &str) {
    println!("  {name}");
}

fn check(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// A listener in the place of another server.
fn take_port() -> Result<TcpListener, String> {
    TcpListener::bind(("0.0.0.0", PORT)).map_err(|error| format!("port {PORT}: {error}"))
}

fn mount(options: &[&str], place: &Path) -> io::Result<()> {
    let mut command = shell::command("mount", options);
    expect(command.arg(place)).map(|_| ()).map_err(io::Error::other)
}

/// Runs a command of Samba's client on the share `data`.
fn smbclient(command: &str) -> Result<String, String> {
    smbclient_on("data", command)
}

fn smbclient_on(share: &str, command: &str) -> Result<String, String> {
    let (service, user) = (format!("//127.0.0.1/{share}"), format!("{USER}%{PASSWORD}"));
    expect(&mut shell::command("smbclient", &[&service, "-U", &user, "-c", command]))
}

/// Runs to the end and returns what was written, both streams.
fn expect(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let Output { status, stdout, stderr } = output;
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(text) } else { Err(format!("{command:?}: {status}: {text}")) }
}
