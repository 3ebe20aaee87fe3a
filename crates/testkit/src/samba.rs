//! Samba's smbd with a separate configuration, next to any Samba of this machine.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::limits::PEER_MAX;
use crate::need::find;
use crate::output::run;
use crate::setup::{SambaRoot, Setup, User};

/// The first id of the temporary Unix users, above the ids that Debian assigns.
const FIRST_UID: usize = 64_100;

/// A running smbd over a temporary directory, which goes with it. Needs root.
#[derive(Debug)]
pub struct Samba {
    daemon: Daemon,
    root: TempDir,
    setup: Setup,
    accounts: Accounts,
}

impl Samba {
    /// Starts smbd with these users and shares and waits until it answers.
    ///
    /// Panics with smbd's log if it does not.
    pub fn start(setup: &Setup) -> Self {
        let root = tempfile::Builder::new().prefix("samba-test.").tempdir().expect("a temporary directory");
        let path = |name: &str| root.path().join(name);
        let chmod = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
        };
        chmod(root.path(), 0o755);
        for directory in ["private", "lock", "state", "cache", "run", "scratch", "shares"] {
            fs::create_dir(path(directory)).expect("create a directory");
        }
        for share in &setup.shares {
            let directory = setup.share_dir(root.path(), &share.name);
            fs::create_dir_all(&directory).expect("create a share");
            chmod(&directory, 0o777);
        }
        let accounts = Accounts::write(root.path(), &setup.users);
        let accounts = Accounts { system: setup.samba.clone(), ..accounts };
        write_config(root.path(), setup, 445);
        for user in &setup.users {
            let mut add = accounts.within(&accounts.program("pdbedit"));
            add.args(["-a", "-t", "-u", &user.name, "-s"]).arg(path("smb.conf"));
            run(add, format!("{0}\n{0}\n", user.password).as_bytes(), PEER_MAX).success();
        }
        let daemon = Daemon::start("smbd", &path("smbd.log"), |port| {
            write_config(root.path(), setup, port);
            server_command(&accounts, &path("smb.conf"))
        });
        Self { daemon, root, setup: setup.clone(), accounts }
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// The id of the first process; there is another one for each connection.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The users and shares it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The directory behind the share called `name`.
    pub fn share_dir(&self, name: &str) -> PathBuf {
        self.setup.share_dir(self.root.path(), name)
    }

    /// The path of the configuration file, for the option `-s` of Samba's programs.
    pub fn config(&self) -> PathBuf {
        self.root.path().join("smb.conf")
    }

    /// The command that runs smbd with this configuration and these accounts.
    pub fn server_command(&self) -> Command {
        server_command(&self.accounts, &self.config())
    }

    /// Kills it. Its files stay until this is dropped.
    pub fn kill(&mut self) {
        self.daemon.kill();
        // The RPC helpers become daemons and are recognized only by the path of their configuration.
        let pids: Vec<String> = with_argument(&self.config()).iter().map(u32::to_string).collect();
        if !pids.is_empty() {
            // Some may have ended by themselves.
            Command::new("kill").args(pids).stderr(Stdio::null()).status().ok();
        }
    }

    /// A command that runs one of Samba's programs as root with this server's configuration and accounts; arguments
    /// are appended to it.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = self.accounts.within(&self.accounts.program(name));
        command.arg("-s").arg(self.config());
        command
    }

    /// A command that runs `program` as root with this server's accounts; arguments are appended to it.
    pub fn within(&self, program: &Path) -> Command {
        self.accounts.within(program)
    }

    /// Makes a user a member of BUILTIN\\Administrators, which NetrSessionEnum and NetrFileEnum require and which
    /// only winbindd, which does not run, could report otherwise. Even then only `root` may end sessions and close
    /// files.
    ///
    /// Panics if Samba's programs refuse it.
    pub fn make_administrator(&self, user: &str) {
        let run_tool = |name: &str, arguments: &[&str]| {
            let mut tool = self.tool(name);
            tool.args(arguments);
            run(tool, b"", PEER_MAX).success()
        };
        let group = "groupmap add sid=S-1-5-32-544 unixgroup=root ntgroup=Administrators type=builtin";
        run_tool("net", &group.split(' ').collect::<Vec<_>>());
        let account = run_tool("pdbedit", &["-L", "-v", "-u", user]).stdout;
        let sid = account.lines().find_map(|line| line.strip_prefix("User SID:")).map(str::trim);
        run_tool("net", &["groupmap", "addmem", "S-1-5-32-544", sid.expect("the user's SID")]);
    }

    /// Starts winbindd next to smbd, waits until it answers, and adds the built-in group Administrators. With `idmap
    /// config * : range` in the configuration, other local groups can be added then. It ends with this server.
    ///
    /// Panics with its output if it does not start.
    pub fn start_winbindd(&self) {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.pid().to_string(), "sh", "-c", WITH_WINBINDD, "sh"]);
        command.arg(self.config()).arg(self.root.path());
        run(command, b"", PEER_MAX).success();
    }

    /// A temporary directory of this server's that no share shows.
    pub fn scratch(&self) -> PathBuf {
        self.root.path().join("scratch")
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// True if it answers a NEGOTIATE.
    pub fn answers(&self) -> bool {
        self.daemon.answers()
    }
}

impl Drop for Samba {
    /// Ends smbd and its RPC helpers.
    fn drop(&mut self) {
        self.kill();
    }
}

fn server_command(accounts: &Accounts, config: &Path) -> Command {
    let mut command = accounts.within(&accounts.program("smbd"));
    command.args(["--foreground", "--no-process-group", "--debug-stdout", "-s"]).arg(config);
    command
}

/// The processes that were given this path as an argument, or as part of one.
fn with_argument(path: &Path) -> Vec<u32> {
    let path = path.to_string_lossy();
    let has_it = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).split('\0').any(|argument| argument.contains(&*path))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has_it).collect()
}

/// Unix accounts for the users of a setup, seen only by the programs started [`within`](Accounts::within): a mount
/// namespace whose `/etc/passwd` and `/etc/group` have them, and in which no winbindd of this machine is asked for ids.
#[derive(Debug)]
pub(crate) struct Accounts {
    passwd: PathBuf,
    group: PathBuf,
    /// The system whose programs run; `None` for this one.
    system: Option<SambaRoot>,
}

impl Accounts {
    pub(crate) fn write(directory: &Path, users: &[User]) -> Self {
        let accounts =
            Self { passwd: directory.join("passwd"), group: directory.join("group"), system: None };
        let mut passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let mut group = fs::read_to_string("/etc/group").expect("/etc/group");
        for (index, user) in users.iter().enumerate() {
            let (name, id) = (&user.name, FIRST_UID + index);
            writeln!(passwd, "{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin").expect("a string");
            writeln!(group, "{name}:x:{id}:").expect("a string");
        }
        fs::write(&accounts.passwd, passwd).expect("write passwd");
        fs::write(&accounts.group, group).expect("write group");
        accounts
    }

    /// A command that runs `program` as root with these accounts; arguments are appended to it.
    pub(crate) fn within(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        match &self.system {
            None => command.args([ON_THIS_SYSTEM, "sh"]),
            Some(system) => {
                let temporary = std::env::temp_dir();
                let directories: Vec<&OsStr> =
                    system.directories.iter().chain([&temporary]).map(|path| path.as_os_str()).collect();
                command.arg(ON_ANOTHER_SYSTEM).args(["sh".as_ref(), system.path.as_os_str()]);
                command.arg(directories.join(" ".as_ref()))
            }
        };
        command.arg(&self.passwd).arg(&self.group).arg(program);
        command
    }

    /// The path of one of Samba's programs on its system.
    ///
    /// Panics if it is not there.
    fn program(&self, name: &str) -> PathBuf {
        match &self.system {
            None => find(name),
            Some(system) => ["/usr/sbin", "/usr/bin"]
                .iter()
                .map(|directory| Path::new(directory).join(name))
                .find(|path| path.strip_prefix("/").is_ok_and(|path| system.path.join(path).is_file())),
        }
        .unwrap_or_else(|| panic!("{name} is not installed (Debian: apt-get install samba)"))
    }
}

/// Runs a program with other accounts: passwd, group, program and arguments.
const ON_THIS_SYSTEM: &str = "mount --bind \"$1\" /etc/passwd && mount --bind \"$2\" /etc/group && shift 2 && \
     { [ ! -d /run/samba/winbindd ] || mount -t tmpfs tmpfs /run/samba/winbindd; } && exec \"$@\"";

/// Runs a program of another system: its root, the directories that it shares with this one, and as above.
const ON_ANOTHER_SYSTEM: &str = "root=$1; for directory in /proc /dev $2; do \
     mkdir -p \"$root$directory\" && mount --rbind \"$directory\" \"$root$directory\" || exit; done; \
     touch \"$root/etc/passwd\" \"$root/etc/group\" && mount --bind \"$3\" \"$root/etc/passwd\" && \
     mount --bind \"$4\" \"$root/etc/group\" && shift 4 && exec chroot \"$root\" \"$@\"";

/// Starts winbindd as a daemon, with a configuration and a directory for its log. Its sockets are visible only in the
/// mount namespace of smbd.
const WITH_WINBINDD: &str = "sockets=/run/samba/winbindd; mkdir -p $sockets && \
     mount -t tmpfs -o mode=755 tmpfs $sockets && winbindd --daemon -s \"$1\" -l \"$2\" || exit; \
     tries=0; until wbinfo --ping; do tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.1; done; \
     net -s \"$1\" sam createbuiltingroup Administrators";

fn write_config(root: &Path, setup: &Setup, port: u16) {
    let directory = root.display();
    let interfaces = if setup.ipv6 { "127.0.0.1 ::1" } else { "127.0.0.1" };
    let mut text = format!(
        "[global]\n\
         server role = standalone server\n\
         workgroup = WORKGROUP\n\
         netbios name = TESTED\n\
         interfaces = {interfaces}\n\
         bind interfaces only = yes\n\
         smb ports = {port}\n\
         disable netbios = yes\n\
         map to guest = never\n\
         passdb backend = tdbsam:{directory}/private/passdb.tdb\n\
         private dir = {directory}/private\n\
         lock directory = {directory}/lock\n\
         state directory = {directory}/state\n\
         cache directory = {directory}/cache\n\
         pid directory = {directory}/run\n\
         ncalrpc dir = {directory}/run/ncalrpc\n\
         log level = 1\n\
         load printers = no\n\
         printcap name = /dev/null\n\
         disable spoolss = yes\n\
         server min protocol = SMB2_02\n\
         kernel oplocks = no\n\
         vfs objects = acl_xattr streams_xattr\n\
         ea support = yes\n\
         store dos attributes = yes\n\
         smbd:FSCTL_SMBTORTURE = yes\n\
         {}\n",
        setup.extra_samba
    );
    let administrators: Vec<&str> =
        setup.users.iter().filter(|user| user.administrator).map(|user| user.name.as_str()).collect();
    for share in &setup.shares {
        let encrypt = if share.encrypted { "required" } else { "default" };
        let hides = if share.hides_unreadable { "yes" } else { "no" };
        let read_only = if share.read_only { "yes" } else { "no" };
        write!(
            text,
            "\n[{0}]\npath = {2}\nread only = {read_only}\nhide unreadable = {hides}\nserver smb encrypt = {encrypt}\n\
             admin users = {1}\n",
            share.name,
            administrators.join(" "),
            setup.share_dir(root, &share.name).display()
        )
        .expect("a string");
    }
    fs::write(root.join("smb.conf"), text).expect("write smb.conf");
}
