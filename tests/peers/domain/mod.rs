//! The server as a member of a real Active Directory domain, with clients of other projects and our own commands.
//!
//! As elsewhere, `SHAREWARD_TEST_SUBJECT=samba` runs the tests that are not about our own features with Samba as the
//! member server.

mod commands;
mod console;
mod document;
mod files;
mod ids;
mod kernel;
mod logons;
mod rights;
mod tickets;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::{
    Domain, FIRST_ID, Host, Output, RunAs, SambaMember, Setup, Share, Shareward, Tickets, password,
};

/// The table `[domain]` of our server, with the ids that the domain's Samba servers use.
fn table() -> String {
    format!(
        "\n[domain]\nrealm = \"CORP.TEST\"\nids = \"rid\"\n\
         id_ranges = [{{ domain = \"CORP\", first = {FIRST_ID}, last = 999999 }}]\n"
    )
}

/// The shares of both servers.
const SHARES: [&str; 2] = ["data", "other"];

/// A line of the log is there long before.
const LOGGED_MAX: Duration = Duration::from_secs(10);

/// A member server with its host.
enum Member {
    Ours { server: Box<Shareward>, host: Arc<Host> },
    Samba(SambaMember),
}

impl Member {
    /// Starts the subject with the usual settings.
    fn start(domain: &Domain) -> Self {
        if samba_is_the_subject() { Self::samba(domain) } else { Self::ours(domain, "") }
    }

    /// Starts the subject on a host that has joined the domain.
    fn start_on(host: Arc<Host>) -> Self {
        if samba_is_the_subject() { Self::samba_on(host) } else { Self::ours_on(host, &table()) }
    }

    /// Samba, with two shares and all that they store.
    fn samba(domain: &Domain) -> Self {
        Self::samba_on(domain.samba_member())
    }

    fn samba_on(host: Arc<Host>) -> Self {
        let share = |name| {
            format!(
                "[{name}]\npath = /var/lib/shares/{name}\nread only = no\nvfs objects = acl_xattr streams_xattr\n\
                 ea support = yes\nstore dos attributes = yes\n"
            )
        };
        let member = SambaMember::start(host, &SHARES.map(share).concat());
        let server = Self::Samba(member);
        for name in SHARES {
            fs::create_dir_all(server.share_dir(name)).expect("create a share");
            fs::set_permissions(server.share_dir(name), Permissions::from_mode(0o1777)).expect("chmod");
        }
        server
    }

    /// Our server, with these lines in its configuration after the table `[domain]`.
    fn ours(domain: &Domain, extra: &str) -> Self {
        Self::ours_on(domain.member(), &format!("{}{extra}", table()))
    }

    /// Our server on a host, with these lines in its configuration.
    fn ours_on(host: Arc<Host>, extra: &str) -> Self {
        Self::ours_as(host, extra, |_| {})
    }

    /// As [`Self::ours`] with other changes of its settings.
    fn ours_with(domain: &Domain, change: impl FnOnce(&mut Setup)) -> Self {
        Self::ours_as(domain.member(), &table(), change)
    }

    fn ours_as(host: Arc<Host>, extra: &str, change: impl FnOnce(&mut Setup)) -> Self {
        let share = |name: &str| Share {
            name: name.into(),
            encrypted: false,
            read_only: false,
            hides_unreadable: false,
            shows_symlinks: false,
        };
        let mut setup = Setup {
            shares: SHARES.map(share).into(),
            run_as: RunAs::Root,
            host: Some(Arc::clone(&host)),
            extra: extra.into(),
            ..Setup::default()
        };
        change(&mut setup);
        Self::Ours { server: Box::new(Shareward::start(&setup)), host }
    }

    fn host(&self) -> &Arc<Host> {
        match self {
            Self::Ours { host, .. } => host,
            Self::Samba(member) => member.host(),
        }
    }

    /// Our server.
    ///
    /// Panics if it is Samba.
    fn shareward(&self) -> &Shareward {
        match self {
            Self::Ours { server, .. } => server,
            Self::Samba(_) => panic!("this test is for our server"),
        }
    }

    fn is_samba(&self) -> bool {
        matches!(self, Self::Samba(_))
    }

    /// Starts winbindd for our server; Samba has one.
    fn start_winbind(&self) {
        if let Self::Ours { host, .. } = self {
            host.start_winbind();
        }
    }

    /// The name of a service of the host, as `cifs/files.corp.test`.
    fn service(&self, kind: &str) -> String {
        format!("{kind}/{}", self.host().full_name())
    }

    /// Waits until a line of our server's log has all these words.
    ///
    /// Panics with the log if none appears.
    #[track_caller]
    fn logs(&self, words: &[&str]) -> String {
        let started = Instant::now();
        loop {
            let log = self.shareward().log();
            if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            assert!(started.elapsed() < LOGGED_MAX, "no line with {words:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn share_dir(&self, name: &str) -> PathBuf {
        match self {
            Self::Ours { server, .. } => server.share_dir(name),
            Self::Samba(member) => member.host().file(&format!("/var/lib/shares/{name}")),
        }
    }

    fn unc(&self, share: &str) -> String {
        format!("//{}/{share}", self.host().full_name())
    }

    /// Runs commands of smbclient in a share, with tickets only.
    #[track_caller]
    fn smbclient(&self, tickets: &Tickets, share: &str, options: &[&str], commands: &str) -> Output {
        let unc = self.unc(share);
        let words = ["smbclient", "--use-kerberos=required", "--no-pass", &unc];
        self.host().run_as(tickets, &[&words, options, &["-c", commands]].concat())
    }

    /// Runs commands of smbclient in a share by the server's address, with a name and the password of a user of the
    /// domain, by NTLM.
    #[track_caller]
    fn smbclient_ntlm(&self, name: &str, user: &str, share: &str, commands: &str) -> Output {
        let unc = format!("//{}/{share}", self.host().address());
        let login = format!("{name}%{}", password(user));
        self.host().run(&["smbclient", "--use-kerberos=off", &unc, "-U", &login, "-c", commands])
    }
}

fn samba_is_the_subject() -> bool {
    std::env::var("SHAREWARD_TEST_SUBJECT").is_ok_and(|it| it == "samba")
}
