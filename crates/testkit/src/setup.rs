//! What a test wants of a server, said once for every subject.

use std::path::{Path, PathBuf};

/// An account.
#[derive(Clone, Debug)]
pub struct User {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// Whether it administers the server.
    pub administrator: bool,
}

impl User {
    /// `name%password`, as Samba's tools take it.
    pub fn credentials(&self) -> String {
        format!("{}%{}", self.name, self.password)
    }
}

/// A share over a directory of its own.
#[derive(Clone, Debug)]
pub struct Share {
    /// The share's name, which is its directory's too.
    pub name: String,
    /// Whether clients must encrypt.
    pub encrypted: bool,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
    /// Whether listings leave out what the user cannot read.
    pub hides_unreadable: bool,
    /// Whether clients see symlinks and follow them themselves.
    pub shows_symlinks: bool,
}

/// Whose process the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// An ordinary user's: everything is done as that user. A test run by root becomes `nobody`.
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
    /// Where the shares' directories are, for two servers over the same files; below the server's own directory
    /// where this is none.
    pub tree: Option<PathBuf>,
    /// Whose process it is (Samba's is always root's).
    pub run_as: RunAs,
    /// Where the Unix accounts of a server that is root's are kept; with the server's own files where this is none.
    pub accounts: Option<PathBuf>,
    /// Whether it also listens on `::1`, on the same port.
    pub ipv6: bool,
    /// How many descriptors our server may have; what the test may have where this is none.
    pub descriptors: Option<u32>,
    /// Lines appended to `[server]` of our configuration.
    pub extra: String,
    /// Lines appended to each `[[share]]` of our configuration.
    pub extra_share: String,
    /// Lines appended to `[global]` of Samba's.
    pub extra_samba: String,
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
            run_as: RunAs::Ordinary,
            accounts: None,
            ipv6: false,
            descriptors: None,
            extra: String::new(),
            extra_share: String::new(),
            extra_samba: String::new(),
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
    /// Panics where there is none.
    #[track_caller]
    pub fn user(&self, name: &str) -> &User {
        let found = self.users.iter().find(|user| user.name == name);
        found.unwrap_or_else(|| panic!("no user {name} in this setup"))
    }
}
