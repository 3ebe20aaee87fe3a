//! `net ads` of Samba (net(8)).

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::MemfdFlags;
use tokio::process::Command;

use super::{Account, Error, Login, SMB_CONF, Tool, samba_is_member};

pub(super) async fn join(tool: &Tool, account: &Account<'_>, login: &Login) -> Result<String, Error> {
    let configuration = configuration(tool, account)?;
    let mut command = begin(tool, &configuration, account);
    command.args(["ads", "join", "--no-dns-updates"]);
    if let Some(unit) = account.unit {
        command.arg(format!("createcomputer={}", path_of_unit(unit)));
    }
    let password = log_in(tool, &mut command, login)?;
    let joined = tool.run(&mut command, &[]).await?;
    drop(password);
    // From here on, the machine logs on with the password that the join has stored.
    for what in [&["create"][..], &["add", "cifs"]] {
        let mut command = begin(tool, &configuration, account);
        command.args(["ads", "keytab"]).args(what).arg("--machine-pass");
        tool.run(&mut command, &[]).await?;
    }
    Ok(joined)
}

pub(super) async fn leave(tool: &Tool, account: &Account<'_>, login: &Login) -> Result<String, Error> {
    let configuration = configuration(tool, account)?;
    let mut command = begin(tool, &configuration, account);
    command.args(["ads", "leave"]);
    let _password = log_in(tool, &mut command, login)?;
    tool.run(&mut command, &[]).await
}

fn begin(tool: &Tool, configuration: &Path, account: &Account<'_>) -> Command {
    let mut command = tool.command();
    command.arg("-s").arg(configuration);
    command.arg("--option=kerberos method=dedicated keytab");
    command.arg(format!("--option=dedicated keytab file={}", account.keytab.display()));
    if let Some(controller) = account.controller {
        command.arg("-S").arg(controller);
    }
    command
}

/// The user, and the file in memory with the password, which has to live until the program has ended.
fn log_in(tool: &Tool, command: &mut Command, login: &Login) -> Result<Option<OwnedFd>, Error> {
    match login {
        Login::Password { user, password } => {
            let failed = |error| Error::Run(tool.path.display().to_string(), error);
            let file = memory_file(password.as_bytes()).map_err(failed)?;
            command.arg("-U").arg(user);
            // The program inherits the descriptor, and reads it more than once.
            command.env("PASSWD_FILE", format!("/proc/self/fd/{}", file.as_raw_fd()));
            Ok(Some(file))
        }
        Login::Tickets => {
            command.args(["--use-kerberos=required", "-N"]);
            Ok(None)
        }
    }
}

fn memory_file(contents: &[u8]) -> io::Result<OwnedFd> {
    // Without CLOEXEC: it is there for the program that is started.
    let mut file = File::from(rustix::fs::memfd_create("password", MemfdFlags::empty())?);
    file.write_all(contents)?;
    Ok(file.into())
}

/// The machine's configuration, if it is that of a member of the realm; otherwise one of our own, so that the program
/// does not depend on what else the machine does with Samba.
fn configuration(tool: &Tool, account: &Account<'_>) -> Result<PathBuf, Error> {
    if samba_is_member(account.realm) {
        return Ok(PathBuf::from(SMB_CONF));
    }
    let failed = |error| Error::Run(tool.path.display().to_string(), error);
    let directory = account.state.join("samba");
    let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
    make(&directory).map_err(failed)?;
    let domain = account.realm.split('.').next().unwrap_or_default();
    let mut text = format!(
        "# Written by shareward for 'net ads'.\n[global]\n security = ads\n realm = {}\n workgroup = {domain}\n netbios name = {}\n",
        account.realm, account.computer
    );
    for (parameter, name) in [
        ("private dir", "private"),
        ("cache directory", "cache"),
        ("state directory", "state"),
        ("lock directory", "lock"),
        ("pid directory", "run"),
    ] {
        let path = directory.join(name);
        make(&path).map_err(failed)?;
        text.push_str(&format!(" {parameter} = {}\n", path.display()));
    }
    let path = directory.join("smb.conf");
    fs::write(&path, text).map_err(failed)?;
    Ok(path)
}

/// The path of an organizational unit as `net ads join` takes it, from the top down: `servers/files` for
/// `OU=files,OU=servers,DC=corp,DC=example`.
fn path_of_unit(unit: &str) -> String {
    let parts = unit.split(',').filter_map(|part| {
        let (kind, name) = part.trim().split_once('=')?;
        (kind.eq_ignore_ascii_case("ou") || kind.eq_ignore_ascii_case("cn")).then_some(name)
    });
    let mut parts: Vec<&str> = parts.collect();
    parts.reverse();
    if parts.is_empty() { unit.to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_becomes_a_path() {
        assert_eq!(path_of_unit("OU=files, ou=servers,DC=corp,DC=example"), "servers/files");
        assert_eq!(path_of_unit("servers/files"), "servers/files");
    }

    #[test]
    fn password_can_be_read_more_than_once_and_has_no_name() {
        let file = memory_file(b"secret").unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        for _ in 0..2 {
            assert_eq!(fs::read(&path).unwrap(), b"secret");
        }
        assert!(fs::read_link(&path).unwrap().to_string_lossy().contains("memfd:password"));
    }
}
