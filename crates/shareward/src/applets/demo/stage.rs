//! The server of the demonstration, and the commands run against it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use auth::{Credentials, UserDb};
use client::ControlClient;
use server::Service;
use server::config::{Settings, ShareSettings};
use tempfile::TempDir;

use super::failed;
use crate::applets::serve;
use crate::failure::Failure;
use crate::output::Console;
use crate::setup;

/// The name of the share.
pub(super) const SHARE: &str = "demo";

/// The files in the share.
pub(super) const FILES: [&str; 3] = ["budget.xlsx", "notes.txt", "report.docx"];

/// The bytes of each file.
pub(super) const FILE_SIZE: usize = 16 << 10;

/// The users who can log on.
const USERS: [&str; 2] = ["alice", "bob"];

/// A running server with its files, in a temporary directory.
pub(super) struct Stage {
    directory: TempDir,
    program: PathBuf,
    service: Service,
    passwords: [String; 2],
    ipv6: bool,
}

impl Stage {
    /// Makes the directory and starts the server.
    pub(super) fn set() -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(failed("cannot find this program itself"))?;
        let directory = tempfile::Builder::new().prefix("shareward-").tempdir();
        let directory = directory.map_err(failed("cannot create a temporary directory"))?;
        let share = directory.path().join(SHARE);
        std::fs::create_dir(&share).map_err(failed("cannot create the share"))?;
        for name in FILES {
            let line = format!("{name}, made by the demonstration\n");
            let text: Vec<u8> = line.bytes().cycle().take(FILE_SIZE).collect();
            std::fs::write(share.join(name), text).map_err(failed(format_args!("cannot write {name}")))?;
        }
        let passwords = [serve::made_password()?, serve::made_password()?];
        let mut users = UserDb::default();
        for (user, password) in USERS.iter().zip(&passwords) {
            let uid = rustix::process::getuid().as_raw();
            users
                .add(user, uid, password, auth::users::now())
                .map_err(failed(format_args!("cannot create the user {user}")))?;
        }
        let ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let service = Service::start(settings(directory.path(), ipv6), users);
        let service = service.map_err(failed("the server does not start"))?;
        Ok(Self { directory, program, service, passwords, ipv6 })
    }

    /// Waits until an administrator asks the server to stop.
    pub(super) async fn stop_asked(&self) {
        self.service.stop_asked().await;
    }

    /// Stops the server and removes the directory.
    pub(super) async fn clear(self) -> Result<(), Failure> {
        self.service.stop().await;
        let path = self.directory.path().to_owned();
        self.directory.close().map_err(failed(format_args!("cannot remove {}", path.display())))
    }

    /// The addresses of the three clients. Without IPv6, the third is an IPv4 address, too.
    pub(super) fn client_addresses(&self) -> [IpAddr; 3] {
        let loopback = |last| IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        let third = if self.ipv6 { Ipv6Addr::LOCALHOST.into() } else { loopback(3) };
        [loopback(1), loopback(2), third]
    }

    /// True if this machine has IPv6.
    pub(super) const fn ipv6(&self) -> bool {
        self.ipv6
    }

    /// The address where the server listens for clients from an address of this family.
    pub(super) fn listening(&self, from: IpAddr) -> Result<SocketAddr, Failure> {
        let mut addresses = self.addresses().iter().copied();
        addresses
            .find(|address| address.is_ipv4() == from.is_ipv4())
            .ok_or_else(|| Failure::Plain(format!("the server does not listen where {from} could reach it")))
    }

    /// The addresses where the server listens.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.service.addresses()
    }

    /// The users and their passwords.
    pub(super) fn users(&self) -> impl Iterator<Item = (&'static str, &str)> {
        USERS.into_iter().zip(self.passwords.iter().map(String::as_str))
    }

    /// The credentials of a user.
    pub(super) fn credentials(&self, user: &str) -> Result<Credentials, Failure> {
        let found = self.users().find(|(name, _)| *name == user);
        let (_, password) = found.ok_or_else(|| Failure::Plain(format!("there is no user {user}")))?;
        Ok(Credentials::password(user, "", password))
    }

    /// The temporary directory.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The shared directory.
    pub(super) fn share(&self) -> PathBuf {
        self.directory().join(SHARE)
    }

    /// The control socket.
    pub(super) fn socket(&self) -> PathBuf {
        socket_in(self.directory())
    }

    /// This program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// A control client, for looking up ids and for checking effects.
    pub(super) fn administration(&self) -> ControlClient {
        ControlClient::new(vec![self.socket()])
    }

    /// Runs a net command as a separate process and shows its output.
    pub(super) async fn net(&self, words: &[&str], console: &mut Console) -> Result<(), Failure> {
        let line = format!("net {}", words.join(" "));
        console.line(&format!("$ {line}"));
        console.finish()?;
        let output = tokio::process::Command::new(&self.program)
            .arg("net")
            .args(words)
            .arg("--socket")
            .arg(self.socket())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(failed(format_args!("cannot run {line}")))?;
        console.write(&String::from_utf8_lossy(&output.stdout));
        console.write(&String::from_utf8_lossy(&output.stderr));
        console.finish()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(Failure::Plain(format!("{line} did not succeed: {}", output.status)))
        }
    }
}

fn settings(directory: &Path, ipv6: bool) -> Settings {
    let mut listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    if ipv6 {
        listen.push(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    }
    let mut share = ShareSettings::new(SHARE.to_owned(), directory.join(SHARE));
    share.remark = String::from("What the demonstration shares");
    Settings {
        listen,
        users_file: directory.join("users"),
        control_socket: Some(socket_in(directory)),
        state_directory: directory.join("state"),
        administrators: Vec::new(),
        // The users have no Unix accounts; the user who runs the demonstration owns the files.
        unix_identities: false,
        shares: vec![share],
        ..setup::defaults()
    }
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}
