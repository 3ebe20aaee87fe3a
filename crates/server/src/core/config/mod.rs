//! The server's settings: the contents of `shareward.toml`, with defaults.

mod cluster_table;
mod cluster_wide;
mod console;
mod domain;
mod domain_table;
mod edit;
mod edit_domain;
mod file_settings;
mod history;
mod hosts;
mod local_group;
mod notice_table;
mod parse;
mod recycle;
mod role_table;
mod share_table;
mod source;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::core::domain::Member;

pub use wire::security::ShareRight as GrantRight;

pub use cluster_table::ClusterSettings;
pub use cluster_wide::ClusterWide;
pub use console::{CertificateFiles, ConsoleSettings, MetricsSettings};
pub use domain::{DomainSettings, IdRange, IdRule};
pub(crate) use edit::rules;
pub use edit::{NotEditable, edit};
pub use edit_domain::{JoinedDomain, remove_domain, set_domain};
pub use file_settings::{FileSettings, ForcedGroup};
pub use history::HistorySettings;
pub use hosts::{HostList, HostRules};
pub use local_group::LocalGroup;
pub(crate) use local_group::{LocalGroups, check_group_name};
pub use notice_table::{NoticeSettings, NoticeTarget};
pub use parse::{ConfigError, check_share_name, listen_addresses, parse};
pub(crate) use parse::{MAX_AUTODISCONNECT, check_remark};
pub use recycle::RecycleSettings;
pub use source::{ReplaceError, Source};

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's NetBIOS-like name, at most 15 characters.
    pub name: String,
    /// The comment that administrators see (`sv101_comment`).
    pub comment: String,
    /// True if the server is left out of lists of servers (`sv102_hidden`).
    pub hidden: bool,
    /// Minutes after which an idle session without open files is ended (`sv102_disc`); `None` if it is not ended.
    pub autodisconnect: Option<u32>,
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The file with the users, in smbpasswd format.
    pub users_file: PathBuf,
    /// The computers that may connect.
    pub hosts: HostRules,
    /// The Unix socket of the control API; `None` if there is no such socket.
    pub control_socket: Option<PathBuf>,
    /// The directory of the files that outlive a restart.
    pub state_directory: PathBuf,
    /// The users that may administer the server, and groups of the domain with such users.
    pub administrators: Vec<String>,
    /// The policy on signing.
    pub signing: Signing,
    /// The policy on encryption, for every share.
    pub encryption: Encryption,
    /// The policy on locking accounts after wrong passwords.
    pub lockout: Lockout,
    /// The rules for passwords of local accounts.
    pub passwords: PasswordPolicy,
    /// The lowest kind of caller that may list the shares.
    pub list_shares: ListShares,
    /// The domains whose unknown users become guests if the share accepts guests, in addition to callers without a
    /// domain; `*` stands for all.
    pub guest_domains: Vec<String>,
    /// The lowest and the highest dialect of the server.
    pub dialects: (wire::Dialect, wire::Dialect),
    /// True if the server offers the POSIX extensions of SMB 3.1.1.
    pub posix_extensions: bool,
    /// True if each session acts with its user's Unix identity, which requires root.
    pub unix_identities: bool,
    /// True if byte-range locks of clients are locks for local programs as well, and vice versa.
    pub posix_locking: bool,
    /// True if clients cannot read or write ranges that local programs have locked, even if they lock nothing
    /// themselves.
    pub strict_locking: bool,
    /// The restrictions that the server puts on itself.
    pub sandbox: sandbox::Mode,
    /// The announcements to the local network.
    pub discovery: DiscoverySettings,
    /// The web console.
    pub console: ConsoleSettings,
    /// The metrics.
    pub metrics: MetricsSettings,
    /// The record of sessions, opens, changes and acts of administration.
    pub history: HistorySettings,
    /// The domain that the server is a member of; `None` if there is none.
    pub domain: Option<DomainSettings>,
    /// The cluster that the server is a member of. `None` if there is none.
    pub cluster: Option<ClusterSettings>,
    /// The roles of users that are not administrators.
    pub roles: Vec<Role>,
    /// The server's own groups.
    pub groups: Arc<Vec<LocalGroup>>,
    /// The notices of events to webhooks and commands.
    pub notices: Vec<NoticeSettings>,
    /// The shares, in the order of the file, without IPC$.
    pub shares: Vec<ShareSettings>,
    /// The configuration file, in which changes are saved; `None` if changes are not saved.
    pub source: Option<Source>,
}

/// The `[discovery]` table: announcements to the local network. They are off by default, because a server on a public
/// network must not make itself known without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// True to announce the server by mDNS.
    pub mdns: bool,
    /// True to announce the server with WS-Discovery.
    pub wsd: bool,
    /// The workgroup in which Windows shows the server if it is no member of a domain.
    pub workgroup: String,
    /// The names of network interfaces on which the server is silent.
    pub leave_out: Vec<String>,
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        Self { mdns: false, wsd: false, workgroup: String::from("WORKGROUP"), leave_out: Vec::new() }
    }
}

/// One `[[role]]`: permissions of users and groups for some shares or the whole server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The permission.
    pub allow: Allow,
    /// Names of users, compared without regard to case.
    pub users: Vec<String>,
    /// Groups of the server, of a domain, or Unix groups.
    pub groups: Vec<String>,
    /// Names of the shares that the role is for, compared without regard to case; empty for the whole server.
    pub shares: Vec<String>,
}

/// The permission of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// The permission to do all that an administrator may do.
    Administer,
    /// The permission to see sessions, connections and opens, and to close opens; if the role is for the whole server,
    /// also to end sessions.
    Close,
    /// The permission to see sessions, connections, opens, refusals and events.
    View,
}

/// One `[[share]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSettings {
    /// The share's name.
    pub name: String,
    /// The directory that the share gives access to.
    pub path: PathBuf,
    /// The beginning of the path of a user's directory that only administrators can change; symlinks behind it are not
    /// followed. `None` for a path without variables.
    pub trusted: Option<PathBuf>,
    /// The remark that administrators and browsers see.
    pub remark: String,
    /// True if no user may write.
    pub read_only: bool,
    /// True if guests and anonymous callers may use the share.
    pub guest: bool,
    /// True if clients must encrypt.
    pub encrypt: bool,
    /// True if listings leave out files that the user cannot read.
    pub access_based_enum: bool,
    /// True if the server follows symlinks; otherwise clients do.
    pub follow_symlinks: bool,
    /// [`Settings::posix_locking`] for this share; `None` for the server's setting.
    pub posix_locking: Option<bool>,
    /// [`Settings::strict_locking`] for this share; `None` for the server's setting.
    pub strict_locking: Option<bool>,
    /// True if the share is continuously available: clients get persistent handles, which outlive the server, and each
    /// change of them is on the disk before it is answered.
    pub continuous: bool,
    /// True if durable handles outlive the server's process.
    pub durable_over_restart: bool,
    /// The place where named streams are stored.
    pub streams: vfs::Streams,
    /// The spellings of a name with composed characters that count as equal.
    pub unicode_forms: vfs::Forms,
    /// True if the share is left out of browse lists.
    pub hidden: bool,
    /// The maximal number of tree connects at the same time; `None` if there is no limit.
    pub max_users: Option<u32>,
    /// The users that may use the share; empty for every user that can log on.
    pub users: Vec<String>,
    /// The permissions of users and groups; if empty, every user in `users` has full access. `read_only` and `users`
    /// apply in addition: access that one of the three refuses is refused.
    pub grants: Vec<Grant>,
    /// The files that clients may cache for offline use.
    pub caching: Caching,
    /// The computers that may use the share, among those that may connect to the server.
    pub hosts: HostRules,
    /// The settings about files on the disk.
    pub files: FileSettings,
    /// True if the history has the opens of the share, and the changes of its files.
    pub history: bool,
    /// True if users also reach the share by their own names.
    pub homes: bool,
    /// True if the share is announced to Macs as a disk for Time Machine.
    pub time_machine: bool,
    /// The size in bytes of the volume that clients of a share for Time Machine see; `None` for that of its file system.
    pub time_machine_limit: Option<u64>,
    /// True if the share is in no file and ends with the server (STYPE_TEMPORARY).
    pub temporary: bool,
    /// [`Settings::autodisconnect`] for sessions that are connected to this share; `None` for the server's setting.
    pub autodisconnect: Option<u32>,
}

/// A permission of a user or group for a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The user or group.
    pub who: Grantee,
    /// The right that the grant gives.
    pub right: GrantRight,
}

/// The user or group of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// The user, in any case, or [`EVERYONE`].
    User(String),
    /// The users in this group: `CORP\\staff`, `staff@corp.example` or a SID for one of a domain, else a group of the
    /// server, else a Unix group.
    Group(String),
}

/// The name in a grant that stands for every user.
pub const EVERYONE: &str = "Everyone";

impl Grant {
    /// True if the grant applies to the user.
    pub(crate) fn is_for(&self, user: &Member<'_>) -> bool {
        match &self.who {
            Grantee::User(name) => self.is_for_everyone() || user.is(name),
            Grantee::Group(name) => user.is_in(name),
        }
    }

    /// True if the grant applies to every account.
    pub fn is_for_everyone(&self) -> bool {
        matches!(&self.who, Grantee::User(name) if name.eq_ignore_ascii_case(EVERYONE))
    }
}

/// The files that clients may cache for offline use (`CSC_CACHE_*`, MS-SRVS 2.2.4.29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Files that users choose.
    #[default]
    Manual,
    /// Files that users open.
    Documents,
    /// Files that users open; programs are run from the cache.
    Programs,
    /// No files.
    None,
}

impl ShareSettings {
    /// The name of the share of the named pipes.
    pub(crate) const IPC: &str = "IPC$";

    /// The permissions as grants. Without grants, these are all rights that the share gives at all, for the users in
    /// `users`.
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

    /// True if the path has variables, so that the directory depends on the user or the client.
    pub fn has_variables(&self) -> bool {
        crate::core::path_variables::has_variables(&self.path)
    }

    /// True if opens of the share are kept in a log, so that they outlive the server.
    pub(crate) fn keeps_opens(&self) -> bool {
        self.continuous || self.durable_over_restart
    }

    /// Creates the settings of a share of a directory, for every user.
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

    /// The settings of the share of the named pipes.
    pub(crate) fn ipc() -> Self {
        Self {
            name: String::from(Self::IPC),
            path: PathBuf::new(),
            trusted: None,
            remark: String::from("Remote IPC"),
            read_only: false,
            guest: true,
            encrypt: false,
            access_based_enum: false,
            follow_symlinks: true,
            posix_locking: None,
            strict_locking: None,
            continuous: false,
            durable_over_restart: false,
            streams: vfs::Streams::Auto,
            unicode_forms: vfs::Forms::Exact,
            hidden: true,
            max_users: None,
            users: Vec::new(),
            grants: Vec::new(),
            caching: Caching::None,
            hosts: HostRules::default(),
            files: FileSettings::default(),
            history: true,
            homes: false,
            time_machine: false,
            time_machine_limit: None,
            temporary: false,
            autodisconnect: None,
        }
    }
}

/// The policy on locking accounts after wrong passwords. It is off by default, because anyone who knows the name of an
/// account could lock its user out, and guessing passwords is slow in any case. The default times are those of Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// The number of wrong passwords that lock an account; 0 for never.
    pub threshold: u32,
    /// Minutes until the account is unlocked; 0 if only an administrator can unlock it.
    pub duration: u32,
    /// Minutes after the last wrong password until the wrong passwords are forgotten.
    pub window: u32,
}

impl Default for Lockout {
    fn default() -> Self {
        Self { threshold: 0, duration: 10, window: 10 }
    }
}

/// The rules for passwords of local accounts. By default there are none, as in Samba.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The fewest characters of a new password; an empty one is always refused.
    pub min_length: u32,
    /// The days after which a password expires; 0 for never.
    pub max_age_days: u32,
    /// The days before which its user cannot change a password again; administrators can.
    pub min_age_days: u32,
    /// The number of last passwords, with the current one, that cannot be used again.
    pub history: u32,
}

impl PasswordPolicy {
    /// The age in seconds at which a password expires; 0 for never.
    pub(crate) fn max_age_seconds(&self) -> u64 {
        u64::from(self.max_age_days).saturating_mul(SECONDS_OF_DAY)
    }
}

/// The seconds of a day.
pub(crate) const SECONDS_OF_DAY: u64 = 24 * 60 * 60;

/// The policy on signing (MS-SMB2 3.3.3, `RequireMessageSigning`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// Messages are signed if the client requires it.
    #[default]
    Enabled,
    /// Messages that are neither signed nor sealed are refused.
    Required,
}

/// The policy on encryption (MS-SMB2 3.3.3, `EncryptData`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Encryption is not offered.
    Off,
    /// Clients may encrypt, and shares may require it.
    #[default]
    Enabled,
    /// Clients must encrypt; those that cannot are refused.
    Required,
}

/// The lowest kind of caller that may list the shares. Windows does not allow anonymous callers
/// (`RestrictNullSessAccess`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListShares {
    /// Users.
    Users,
    /// Guests as well, limited to shares that they may use. There are no guests unless a share accepts them.
    #[default]
    Guests,
    /// Anonymous callers as well, limited to shares that they may use.
    Anonymous,
}

impl Settings {
    /// True if a user of this kind may list the shares.
    pub(crate) fn lists_shares(&self, kind: auth::IdentityKind) -> bool {
        self.list_shares
            >= match kind {
                auth::IdentityKind::User => ListShares::Users,
                auth::IdentityKind::Guest => ListShares::Guests,
                auth::IdentityKind::Anonymous => ListShares::Anonymous,
            }
    }

    /// The parameters of logons. Anonymous callers may log on: they can do nothing on IPC$, and shares accept them only
    /// by their settings. Unknown users become guests if any share accepts guests. The keys for tickets are not settings.
    pub(crate) fn acceptor_config(&self) -> auth::AcceptorConfig {
        let name = self.name.to_ascii_uppercase();
        let (domain, dns_domain) = match &self.domain {
            Some(domain) => (domain.name.clone(), domain.realm.to_ascii_lowercase()),
            None => (name.clone(), String::new()),
        };
        auth::AcceptorConfig {
            dns_name: self.dns_name(),
            domain,
            netbios_name: name,
            dns_domain,
            allow_anonymous: true,
            guest_for_unknown: self.shares.iter().any(|share| share.guest),
            guest_domains: self.guest_domains.clone(),
            pass_through: self.domain.as_ref().is_some_and(|domain| domain.ntlm),
            kerberos: None,
        }
    }

    /// The server's DNS name, in lower case: in a domain, its name in the domain's zone.
    pub(crate) fn dns_name(&self) -> String {
        let host = self.name.to_ascii_lowercase();
        match &self.domain {
            Some(domain) => format!("{host}.{}", domain.realm.to_ascii_lowercase()),
            None => host,
        }
    }

    /// True if the user is an administrator: the settings list it, or it is a member of the group Domain Admins of the
    /// server's domain.
    pub(crate) fn is_administrator(&self, user: &Member<'_>) -> bool {
        self.administrators.iter().any(|it| user.is(it)) || user.is_domain_administrator()
    }

    /// The default settings, with the conventional directories: the system's for root, the XDG directories for an
    /// ordinary user (`environment` looks up a variable).
    pub fn conventional(root: bool, environment: impl Fn(&str) -> Option<String>) -> Self {
        let places = Places::conventional(root, environment);
        Self {
            name: default_name(),
            comment: String::from("Shareward"),
            hidden: false,
            autodisconnect: None,
            listen: vec![SocketAddr::from(([0, 0, 0, 0], SMB_PORT)), SocketAddr::from(([0u16; 8], SMB_PORT))],
            users_file: places.config.join("users"),
            hosts: HostRules::default(),
            control_socket: Some(places.runtime.join("control.sock")),
            state_directory: places.state,
            administrators: Vec::new(),
            signing: Signing::default(),
            encryption: Encryption::default(),
            lockout: Lockout::default(),
            passwords: PasswordPolicy::default(),
            list_shares: ListShares::default(),
            guest_domains: Vec::new(),
            dialects: (wire::Dialect::SMB202, wire::Dialect::SMB311),
            posix_extensions: true,
            unix_identities: root,
            posix_locking: true,
            strict_locking: false,
            sandbox: sandbox::Mode::default(),
            discovery: DiscoverySettings::default(),
            console: ConsoleSettings::default(),
            metrics: MetricsSettings::default(),
            history: HistorySettings::default(),
            domain: None,
            cluster: None,
            roles: Vec::new(),
            groups: Arc::default(),
            notices: Vec::new(),
            shares: Vec::new(),
            source: None,
        }
    }
}

/// The conventional directories.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of `shareward.toml` and `users`.
    pub config: PathBuf,
    /// The directory of the control socket.
    pub runtime: PathBuf,
    /// The directory of the files that outlive a restart.
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

/// Checks the files in the state directory; the error lists all faults. Files that do not exist are no faults, because
/// the server creates them when it starts.
pub fn check_state(directory: &std::path::Path) -> Result<(), String> {
    crate::core::security::check_state(directory)
}

/// The port of SMB over direct TCP (MS-SMB2 2.1).
pub const SMB_PORT: u16 = 445;

/// The maximal length of a server name: a NetBIOS name without its suffix byte.
pub const MAX_NAME: usize = 15;

/// The machine's name as a NetBIOS name.
fn default_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let first = host.split('.').next().unwrap_or_default();
    let name: String =
        first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MAX_NAME).collect();
    if name.is_empty() { String::from("SHAREWARD") } else { name.to_ascii_uppercase() }
}
