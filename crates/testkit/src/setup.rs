//! The configuration of a server under test, for every subject.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::Host;

/// An account.
#[derive(Clone, Debug)]
pub struct User {
    /// The account's name.
    pub name: String,
    /// The password.
    pub password: String,
    /// True if the user administers the server.
    pub administrator: bool,
}

impl User {
    /// `name%password`, as Samba's tools take it.
    pub fn credentials(&self) -> String {
        format!("{}%{}", self.name, self.password)
    }
}

/// A share with a separate directory.
#[derive(Clone, Debug)]
pub struct Share {
    /// The share's name, which is its directory's too.
    pub name: String,
    /// True if clients must encrypt.
    pub encrypted: bool,
    /// True if the share is read-only.
    pub read_only: bool,
    /// True if listings omit files that the user cannot read.
    pub hides_unreadable: bool,
    /// True if clients see symbolic links and follow them themselves.
    pub shows_symlinks: bool,
}

/// The owner of the server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// An ordinary user, as whom all files are accessed. A test that runs as root uses `nobody`.
    Ordinary,
    /// Root's: sessions act as the Unix user of their name. Needs root.
    Root,
}

/// Users and shares of a server, with a useful default: `alice`, `bob` and the administrator `admin`; the shares
/// `data` and `other`, and `sealed`, which demands encryption.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The accounts.
    pub users: Vec<User>,
    /// The shares.
    pub shares: Vec<Share>,
    /// The parent of the shares' directories, for two servers over the same files; `None` for a directory of the
    /// server's own.
    pub tree: Option<PathBuf>,
    /// The binary of our server; `None` for the one under test.
    pub binary: Option<PathBuf>,
    /// The owner of the process (Samba's is always root).
    pub run_as: RunAs,
    /// The directory of the Unix accounts for a server that runs as root; `None` for the server's own directory.
    pub accounts: Option<PathBuf>,
    /// The host of a domain that our server runs on as root, on port 445 and with the host's name; `None` for this
    /// machine.
    pub host: Option<Arc<Host>>,
    /// The address and port to listen on; `None` for a free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// True to listen on `::1` as well, on the same port.
    pub ipv6: bool,
    /// The limit of descriptors of our server; `None` for the test's own limit.
    pub descriptors: Option<u32>,
    /// Lines appended to `[server]` of our configuration.
    pub extra: String,
    /// Lines appended to each `[[share]]` of our configuration.
    pub extra_share: String,
    /// Lines appended to `[global]` of Samba's.
    pub extra_samba: String,
    /// Another system whose Samba is to run; `None` for the installed one.
    pub samba: Option<SambaRoot>,
}

/// The root of another system, with a Samba of another version.
#[derive(Clone, Debug)]
pub struct SambaRoot {
    /// The path of the root.
    pub path: PathBuf,
    /// Directories of this machine that its smbd needs, beside the temporary directory, under the same paths.
    pub directories: Vec<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        let user = |name: &str, password: &str, administrator| User {
            name: name.into(),
            password: password.into(),
            administrator,
        };
        let share = |name: &str, encrypted| Share {
            name: name.into(),
            encrypted,
            read_only: false,
            hides_unreadable: false,
            shows_symlinks: false,
        };
        Self {
            users: vec![
                user("alice", "Wonder-Land 1", false),
                user("bob", "b0b-the-Builder", false),
                user("admin", "Adm1n-secret", true),
            ],
            shares: vec![share("data", false), share("other", false), share("sealed", true)],
            tree: None,
            binary: None,
            run_as: RunAs::Ordinary,
            accounts: None,
            host: None,
            listen: None,
            ipv6: false,
            descriptors: None,
            extra: String::new(),
            extra_share: String::new(),
            extra_samba: String::new(),
            samba: None,
        }
    }
}

impl Setup {
    /// The directory behind the share called `name`, for a server whose own directory is `root`.
    pub(crate) fn share_dir(&self, root: &Path, name: &str) -> PathBuf {
        self.tree.clone().unwrap_or_else(|| root.join("shares")).join(name)
    }

    /// The account called `name`.
    ///
    /// Panics if it does not exist.
    #[track_caller]
    pub fn user(&self, name: &str) -> &User {
        let found = self.users.iter().find(|user| user.name == name);
        found.unwrap_or_else(|| panic!("no user {name} in this setup"))
    }
}
