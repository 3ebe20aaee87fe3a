//! Clients of other projects, each as one call against a [`Subject`] that returns the output.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::limits::{KERNEL_MAX, KERNEL_SPARE, PEER_MAX};
use crate::output::{Output, run};
use crate::paths::repository;
use crate::setup::User;
use crate::subject::Subject;

/// Debian's Python, for which python3-impacket is installed.
pub const PYTHON: &str = "/usr/bin/python3";

/// The requirements of the kernel client, for [`need`](crate::need).
pub const KERNEL_CLIENT_NEEDS: &[&str] =
    &["root", "/dev/net/tun", "ip", "unshare", "python3", "apt-get", "dpkg-deb"];

/// The dialects an SMB2 client can be held to, as Samba names them.
pub const DIALECTS: [&str; 5] = ["SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"];

/// Runs `commands` (separated by `;`) of smbclient in a share, with more options than the usual ones.
pub fn smbclient(subject: &Subject, user: &User, share: &str, options: &[&str], commands: &str) -> Output {
    let mut command = samba_tool("smbclient", subject);
    command.arg(format!("//127.0.0.1/{share}")).arg("-p").arg(subject.port().to_string());
    command.arg("-U").arg(user.credentials()).args(options).arg("-c").arg(commands);
    run(command, b"", PEER_MAX)
}

/// Runs `commands` of rpcclient (separated by `;`) over `ncacn_np`.
pub fn rpcclient(subject: &Subject, user: &User, commands: &str) -> Output {
    rpcclient_with(subject, user, &[], commands)
}

/// As [`rpcclient`] with additional options.
pub fn rpcclient_with(subject: &Subject, user: &User, options: &[&str], commands: &str) -> Output {
    rpcclient_at(subject, "127.0.0.1", user, options, commands)
}

/// As [`rpcclient`] with protection by RPC itself: `level` is `sign` or `seal`.
pub fn rpcclient_protected(subject: &Subject, user: &User, level: &str, commands: &str) -> Output {
    rpcclient_at(subject, &format!("ncacn_np:127.0.0.1[{level}]"), user, &[], commands)
}

fn rpcclient_at(subject: &Subject, server: &str, user: &User, options: &[&str], commands: &str) -> Output {
    let mut command = samba_tool("rpcclient", subject);
    command.args(options).arg(server).arg("-p").arg(subject.port().to_string());
    command.arg("-U").arg(user.credentials()).arg("-c").arg(commands);
    run(command, b"", PEER_MAX)
}

/// Runs `net rpc ARGUMENTS`. This program only uses port 445, so a separate address forwards it to the subject's
/// port, which requires root.
pub fn net_rpc(subject: &Subject, user: &User, arguments: &[&str]) -> Output {
    let address = forward_445(subject).to_string();
    let mut command = samba_tool("net", subject);
    command.arg("rpc").args(arguments).args(["-S", &address, "-U"]).arg(user.credentials());
    run(command, b"", PEER_MAX)
}

/// Lets a user change their own password with smbpasswd. As [`net_rpc`], it needs port 445.
pub fn smbpasswd(subject: &Subject, user: &User, new: &str) -> Output {
    let address = forward_445(subject).to_string();
    let scratch = subject.scratch();
    let mut command = Command::new("smbpasswd");
    command.args(["-c", "/dev/null", "-s", "-r", &address, "-U", &user.name]).current_dir(&scratch);
    command.env("HOME", &scratch);
    run(command, format!("{}\n{new}\n{new}\n", user.password).as_bytes(), PEER_MAX)
}

/// The path of samrdump in Debian's python3-impacket.
pub const SAMRDUMP: &str = "/usr/share/doc/python3-impacket/examples/samrdump.py";

/// Runs impacket's samrdump, which lists the accounts. Like [`net_rpc`], it requires port 445.
pub fn samrdump(subject: &Subject, user: &User) -> Output {
    let mut command = Command::new(PYTHON);
    command.args(["-B", SAMRDUMP]);
    command.arg(format!("{}:{}@{}", user.name, user.password, forward_445(subject)));
    run(command, b"", PEER_MAX)
}

/// Runs smbcacls for a file of a share. As [`net_rpc`], it needs port 445.
pub fn smbcacls(subject: &Subject, user: &User, share: &str, file: &str, arguments: &[&str]) -> Output {
    let address = forward_445(subject);
    let mut command = samba_tool("smbcacls", subject);
    command.arg(format!("//{address}/{share}")).arg(file).arg("-U").arg(user.credentials()).args(arguments);
    run(command, b"", PEER_MAX)
}

/// Runs a script of `tests/peers/` with Debian's Python and impacket; it is given address, port, user, password and
/// then `arguments`.
pub fn impacket(subject: &Subject, user: &User, script: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PYTHON);
    command.arg("-B").arg(repository().join("tests/peers").join(script));
    command.args(["127.0.0.1", &subject.port().to_string(), &user.name, &user.password]).args(arguments);
    run(command, b"", PEER_MAX)
}

/// A machine with the Linux kernel's client, for one script (see `tools/kernel-client.sh`).
#[derive(Clone, Copy, Debug)]
pub struct KernelClient<'a> {
    /// The server's port, or that of something in between.
    pub port: u16,
    /// The user who mounts.
    pub user: &'a User,
    /// The share that is mounted on `/mnt`.
    pub share: &'a str,
    /// With which options; `none` leaves that to the script.
    pub options: &'a str,
    /// True if 127.0.0.1 is the address of the server on this machine, as the server reports its addresses.
    pub shares_loopback: bool,
    /// The time limit for all commands together.
    pub limit: Duration,
}

impl<'a> KernelClient<'a> {
    /// The share `data`, for `alice`, with these options.
    pub fn new(subject: &'a Subject, options: &'a str) -> Self {
        Self::at(subject.port(), subject.user("alice"), options)
    }

    /// The share `data` of whatever listens on this port of 127.0.0.1.
    pub fn at(port: u16, user: &'a User, options: &'a str) -> Self {
        Self { port, user, share: "data", options, shares_loopback: false, limit: KERNEL_MAX }
    }

    /// Runs a script there.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let Self { port, user, share, options, shares_loopback, limit } = *self;
        let mut command = Command::new(repository().join("tools/kernel-client.sh"));
        command.args([port.to_string().as_str(), share, &user.name, &user.password, "-"]).args(arguments);
        command.env("KC_OPTS", options).env("KC_TIMEOUT", limit.as_secs().to_string()).current_dir("/");
        if shares_loopback {
            command.env("KC_LO", "host");
        }
        run(command, script.as_bytes(), limit + KERNEL_SPARE)
    }
}

/// One of Samba's tools, kept from this machine's own configuration, tickets and state.
fn samba_tool(name: impl AsRef<OsStr>, subject: &Subject) -> Command {
    let scratch = subject.scratch();
    let mut command = Command::new(name);
    command
        .arg("--configfile=/dev/null")
        .arg("--use-kerberos=off")
        .current_dir(&scratch)
        .env("HOME", &scratch);
    for option in ["lock directory", "state directory", "cache directory", "private dir"] {
        command.arg(format!("--option={option}={}", scratch.display()));
    }
    command
}

/// Listens on port 445 of a loopback address that no other process uses, while this process runs, and forwards every
/// connection to the subject.
fn forward_445(subject: &Subject) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = u8::try_from(subject.port() % 200 + 2).expect("at most 201");
    let address = Ipv4Addr::new(127, high.max(1), low, last);
    let target = subject.address();
    // A second call for the same subject finds the first one's listener in place.
    if let Ok(listener) = TcpListener::bind((address, 445)) {
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || relay(&client, target));
            }
        });
    }
    address
}

fn relay(client: &TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect(target)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write)
    });
    let (mut from_server, mut to_client) = (server, client.try_clone()?);
    std::io::copy(&mut from_server, &mut to_client).ok();
    to_client.shutdown(Shutdown::Both)
}
