//! The server's settings: what `shareward.toml` says, with its defaults filled in.

mod edit;
mod parse;
mod source;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use wire::security::ShareRight as GrantRight;

pub use edit::{NotEditable, edit};
pub use parse::{ConfigError, check_share_name, listen_addresses, parse};
pub(crate) use parse::{MAX_AUTODISCONNECT, check_remark};
pub(crate) use source::ReplaceError;
pub use source::Source;

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's NetBIOS-like name, at most 15 characters.
    pub name: String,
    /// The comment that administrators see (`sv101_comment`).
    pub comment: String,
    /// Whether it is left out of lists of servers (`sv102_hidden`).
    pub hidden: bool,
    /// Minutes after which an idle session without open files is ended (`sv102_disc`); none for never.
    pub autodisconnect: Option<u32>,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// The users, in smbpasswd format.
    pub users_file: PathBuf,
    /// The control API's Unix socket; none to have none.
    pub control_socket: Option<PathBuf>,
    /// What outlives a restart.
    pub state_directory: PathBuf,
    /// Users that may administer the server.
    pub administrators: Vec<String>,
    /// Whether clients must sign.
    pub signing: Signing,
    /// Whether clients must seal, for every share.
    pub encryption: Encryption,
    /// When wrong passwords lock an account.
    pub lockout: Lockout,
    /// Who else than users may have a list of the shares that they may use.
    pub list_shares: ListShares,
    /// Domains whose unknown users become guests where a share takes guests, beside those that are none; `*` is all.
    pub guest_domains: Vec<String>,
    /// The lowest and the highest dialect spoken.
    pub dialects: (wire::Dialect, wire::Dialect),
    /// Whether each session acts with its user's Unix identity; only root can.
    pub unix_identities: bool,
    /// Clients' locks of files' ranges are locks for local programs as well, and the other way round.
    pub posix_locking: bool,
    /// Clients do not read or write what local programs have locked, although they lock nothing themselves.
    pub strict_locking: bool,
    /// Who else may look after the server, and how far.
    pub roles: Vec<Role>,
    /// The shares, in the order of the file; IPC$ is not among them.
    pub shares: Vec<ShareSettings>,
    /// The file that says all this, to keep changes in; none for a server that keeps nothing.
    pub source: Option<Source>,
}

/// One `[[role]]`: what it allows to whom, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// What it allows.
    pub allow: Allow,
    /// Accounts, in any case.
    pub users: Vec<String>,
    /// Unix groups.
    pub groups: Vec<String>,
    /// The shares it is for, in any case; empty for the whole server.
    pub shares: Vec<String>,
}

/// What a role allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Everything that an administrator may.
    Administer,
    /// To see, and to close opens; with the whole server, to end sessions as well.
    Close,
    /// To see sessions, connections, opens, refusals and events.
    View,
}

/// One `[[share]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSettings {
    /// The share's name.
    pub name: String,
    /// The directory it shares.
    pub path: PathBuf,
    /// The remark that administrators and browsers see.
    pub remark: String,
    /// Whether nobody may write.
    pub read_only: bool,
    /// Whether guests and anonymous callers may use it.
    pub guest: bool,
    /// Whether clients must seal.
    pub encrypt: bool,
    /// Whether listings leave out what the user cannot read.
    pub access_based_enum: bool,
    /// Whether the server follows symlinks; otherwise clients do.
    pub follow_symlinks: bool,
    /// [`Settings::posix_locking`] for this share; none for the server's.
    pub posix_locking: Option<bool>,
    /// [`Settings::strict_locking`] for this share; none for the server's.
    pub strict_locking: Option<bool>,
    /// The place of named streams.
    pub streams: vfs::Streams,
    /// The spellings of a name with composed characters that are one.
    pub unicode_forms: vfs::Forms,
    /// Whether it is left out of browse lists.
    pub hidden: bool,
    /// Tree connects at the same time; none for no limit.
    pub max_users: Option<u32>,
    /// Who may use it: empty for every user that can log on.
    pub users: Vec<String>,
    /// Who may do what: empty for everything to whom `users` lets in. `read_only` and `users` hold
    /// beside it: what one of the three refuses is refused.
    pub grants: Vec<Grant>,
    /// What clients may cache while they are offline.
    pub caching: Caching,
    /// Whether it is in no file and goes with the server (STYPE_TEMPORARY).
    pub temporary: bool,
    /// [`Settings::autodisconnect`] for sessions that are connected to this share; none for the server's.
    pub autodisconnect: Option<u32>,
}

/// Who may do what with a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whom it means.
    pub who: Grantee,
    /// What they may do.
    pub right: GrantRight,
}

/// Whom a grant means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// The account, in any case, or [`EVERYONE`].
    User(String),
    /// The accounts that are in this Unix group.
    Group(String),
}

/// Whom a grant means that means every user.
pub const EVERYONE: &str = "Everyone";

impl Grant {
    /// Whether it means this account, which is in these Unix groups.
    pub fn is_for(&self, user: &str, groups: &[String]) -> bool {
        match &self.who {
            Grantee::User(name) => self.is_for_everyone() || name.to_lowercase() == user.to_lowercase(),
            Grantee::Group(name) => groups.contains(name),
        }
    }

    /// Whether it means every account.
    pub fn is_for_everyone(&self) -> bool {
        matches!(&self.who, Grantee::User(name) if name.eq_ignore_ascii_case(EVERYONE))
    }
}

/// What clients may cache while they are offline (`CSC_CACHE_*`, MS-SRVS 2.2.4.29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Files that their users choose.
    #[default]
    Manual,
    /// Files that were opened.
    Documents,
    /// Files that were opened, and programs are run from there.
    Programs,
    /// Nothing.
    None,
}

impl ShareSettings {
    /// The name of the share that has the named pipes.
    pub(crate) const IPC: &str = "IPC$";

    /// Who may do what, in grants: where there are none, all that the share lets anybody do, for those whom `users`
    /// lets in.
    pub(crate) fn permissions(&self) -> Cow<'_, [Grant]> {
        if !self.grants.is_empty() {
            return Cow::Borrowed(&self.grants);
        }
        let right = if self.read_only { GrantRight::Read } else { GrantRight::Full };
        let grant = |name: &str| Grant { who: Grantee::User(name.to_owned()), right };
        if self.users.is_empty() {
            return Cow::Owned(vec![grant(EVERYONE)]);
        }
        Cow::Owned(self.users.iter().map(|name| grant(name)).collect())
    }

    /// A share of a directory, for every user.
    pub fn new(name: String, path: PathBuf) -> Self {
        Self {
            name,
            path,
            remark: String::new(),
            guest: false,
            hidden: false,
            caching: Caching::Manual,
            ..Self::ipc()
        }
    }

    /// The share of the named pipes.
    pub(crate) fn ipc() -> Self {
        Self {
            name: String::from(Self::IPC),
            path: PathBuf::new(),
            remark: String::from("Remote IPC"),
            read_only: false,
            guest: true,
            encrypt: false,
            access_based_enum: false,
            follow_symlinks: true,
            posix_locking: None,
            strict_locking: None,
            streams: vfs::Streams::Attributes,
            unicode_forms: vfs::Forms::Exact,
            hidden: true,
            max_users: None,
            users: Vec::new(),
            grants: Vec::new(),
            caching: Caching::None,
            temporary: false,
            autodisconnect: None,
        }
    }
}

/// When wrong passwords lock an account. Off unless it is asked for, because whoever knows an account's name could
/// lock its user out; guessing is slow all the same. The times are Windows' defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Wrong passwords that lock the account; 0 for never.
    pub threshold: u32,
    /// Minutes until it is unlocked by itself; 0 where only an administrator unlocks it.
    pub duration: u32,
    /// Minutes after the last wrong password in which they are forgotten.
    pub window: u32,
}

impl Default for Lockout {
    fn default() -> Self {
        Self { threshold: 0, duration: 10, window: 10 }
    }
}

/// Whether clients must sign (MS-SMB2 3.3.3, `RequireMessageSigning`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// Messages are signed where the client asks for it.
    #[default]
    Enabled,
    /// Messages that are neither signed nor sealed are refused.
    Required,
}

/// Whether clients must seal (MS-SMB2 3.3.3, `EncryptData`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Sealing is not offered.
    Off,
    /// Clients may seal; shares may demand it.
    #[default]
    Enabled,
    /// Clients are told to seal, and refused where they can't.
    Required,
}

/// Who may have a list of the shares. Windows keeps it from anonymous callers (`RestrictNullSessAccess`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListShares {
    /// Users.
    Users,
    /// Guests too, of what they may use. There are none unless a share takes guests.
    #[default]
    Guests,
    /// Anonymous callers too, of what they may use.
    Anonymous,
}

impl Settings {
    /// Whether a user of this kind may have a list of shares.
    pub(crate) fn lists_shares(&self, kind: auth::IdentityKind) -> bool {
        self.list_shares
            >= match kind {
                auth::IdentityKind::User => ListShares::Users,
                auth::IdentityKind::Guest => ListShares::Guests,
                auth::IdentityKind::Anonymous => ListShares::Anonymous,
            }
    }

    /// Whether the account called `name` is one of the administrators.
    pub(crate) fn is_administrator(&self, name: &str) -> bool {
        self.administrators.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// The settings of a server that nothing is said about, with the conventional places: the
    /// system's for root, the XDG directories for an ordinary user (`environment` looks up a variable).
    pub fn conventional(root: bool, environment: impl Fn(&str) -> Option<String>) -> Self {
        let places = Places::conventional(root, environment);
        Self {
            name: default_name(),
            comment: String::from("Shareward"),
            hidden: false,
            autodisconnect: None,
            listen: vec![SocketAddr::from(([0, 0, 0, 0], SMB_PORT)), SocketAddr::from(([0u16; 8], SMB_PORT))],
            users_file: places.config.join("users"),
            control_socket: Some(places.runtime.join("control.sock")),
            state_directory: places.state,
            administrators: Vec::new(),
            signing: Signing::default(),
            encryption: Encryption::default(),
            lockout: Lockout::default(),
            list_shares: ListShares::default(),
            guest_domains: Vec::new(),
            dialects: (wire::Dialect::SMB202, wire::Dialect::SMB311),
            unix_identities: root,
            posix_locking: true,
            strict_locking: false,
            roles: Vec::new(),
            shares: Vec::new(),
            source: None,
        }
    }
}

/// The conventional directories.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where `shareward.toml` and `users` are.
    pub config: PathBuf,
    /// Where the control socket is.
    pub runtime: PathBuf,
    /// Where what outlives a restart is.
    pub state: PathBuf,
}

impl Places {
    /// The system's directories for root, the XDG directories for an ordinary user.
    pub fn conventional(root: bool, environment: impl Fn(&str) -> Option<String>) -> Self {
        if root {
            return Self {
                config: PathBuf::from("/etc/shareward"),
                runtime: PathBuf::from("/run/shareward"),
                state: PathBuf::from("/var/lib/shareward"),
            };
        }
        let home = PathBuf::from(environment("HOME").unwrap_or_else(|| String::from("/")));
        let place = |variable: &str, below_home: &str| {
            let set = environment(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            set.unwrap_or_else(|| home.join(below_home)).join("shareward")
        };
        let state = place("XDG_STATE_HOME", ".local/state");
        let runtime =
            match environment("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()) {
                Some(path) => path.join("shareward"),
                None => state.clone(),
            };
        Self { config: place("XDG_CONFIG_HOME", ".config"), runtime, state }
    }
}

/// The Unix account of guests and anonymous callers.
pub const GUEST_ACCOUNT: &str = "nobody";

/// Whether what is kept in the state directory can be used; the error says all that cannot. What is not there is made
/// when the server starts.
pub fn check_state(directory: &std::path::Path) -> Result<(), String> {
    crate::core::security::check_state(directory)
}

/// The port of SMB over direct TCP (MS-SMB2 2.1).
pub const SMB_PORT: u16 = 445;

/// Longest server name: a NetBIOS name without its suffix byte.
pub const MAX_NAME: usize = 15;

/// The machine's name as a NetBIOS name.
fn default_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let first = host.split('.').next().unwrap_or_default();
    let name: String =
        first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MAX_NAME).collect();
    if name.is_empty() { String::from("SHAREWARD") } else { name.to_ascii_uppercase() }
}
