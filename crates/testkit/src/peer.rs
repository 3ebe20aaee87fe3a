//! Other people's clients, each as one call against a [`Subject`] that returns what it said.

use std::ffi::OsStr;
use std::process::Command;

use crate::limits::{KERNEL_MAX, PEER_MAX};
use crate::output::{Output, run};
use crate::places::repository;
use crate::setup::User;
use crate::subject::Subject;

/// Debian's own Python, where Debian's python3-impacket is.
pub const PYTHON: &str = "/usr/bin/python3";

/// What the kernel client needs, for [`need`](crate::need).
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
    let mut command = samba_tool("rpcclient", subject);
    command.arg("127.0.0.1").arg("-p").arg(subject.port().to_string());
    command.arg("-U").arg(user.credentials()).arg("-c").arg(commands);
    run(command, b"", PEER_MAX)
}

/// Runs `net rpc ARGUMENTS`.
pub fn net_rpc(subject: &Subject, user: &User, arguments: &[&str]) -> Output {
    let mut command = samba_tool("net", subject);
    command.arg("rpc").args(arguments).args(["-S", "127.0.0.1", "-p"]).arg(subject.port().to_string());
    command.arg("-U").arg(user.credentials());
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

/// Mounts a share with the Linux kernel's client (see `tools/kernel-client.sh`) and runs `script` there, in `/mnt`.
pub fn kernel_client(subject: &Subject, user: &User, share: &str, options: &str, script: &str) -> Output {
    let mut command = Command::new(repository().join("tools/kernel-client.sh"));
    command.args([subject.port().to_string().as_str(), share, &user.name, &user.password, "-"]);
    command.env("KC_OPTS", options).current_dir("/");
    run(command, script.as_bytes(), KERNEL_MAX)
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
