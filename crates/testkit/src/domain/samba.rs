//! Samba as a member server of the domain.

use std::fs;
use std::sync::Arc;

use super::host::{CONFIG, Host};
use crate::daemon::Daemon;

/// winbindd and smbd on a host of the domain.
#[derive(Debug)]
pub struct SambaMember {
    daemon: Daemon,
    host: Arc<Host>,
}

impl SambaMember {
    /// The configuration file, in the command lines of smbd and winbindd.
    pub const CONFIG: &str = "/etc/samba/smb.conf";

    /// Starts winbindd and smbd on a host that has joined the domain, and waits until they answer.
    ///
    /// `shares` is appended to `smb.conf`. The directory of a share is best below `/var/lib` of the host.
    ///
    /// Panics with the log if they do not.
    pub fn start(host: Arc<Host>, shares: &str) -> Self {
        fs::write(host.file("/etc/samba/shares.conf"), shares).expect("write the shares");
        host.start_winbind();
        let mut smbd = host.command("smbd");
        smbd.args(["--foreground", "--no-process-group", "--debug-stdout", CONFIG]);
        let daemon = Daemon::start_at("smbd", &host.file("/var/log/smbd.log"), host.place(), smbd);
        Self { daemon, host }
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The id of the first process; there is another one for each connection.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}
