//! The two servers over one directory tree.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use auth::{Cipher, Credentials, SigningAlgorithm};
use client::Tickets;
use client::smb::{
    ClientConnection, ClientSession, ClientTree, ConnectOptions, Error, LogonCredentials, Signing,
};
use tempfile::TempDir;
use testkit::{RunAs, Samba, SambaRoot, Setup, Shareward, StuckFs, User, is_root};
use tokio::sync::Mutex;
use wire::Dialect;
use wire::msg::GlobalCapabilities;

use crate::cases::{self, Case};
use crate::listing::Held;
use crate::members::{Members, Place};
use crate::options::Options;
use crate::physical::Limit;
use crate::quiet::Crowd;
use crate::{continuous, data, progress};

/// Both servers and their tree; dropping it ends the servers and removes the tree.
pub(crate) struct Servers {
    ours: Shareward,
    peer: Peer,
    held: [Arc<Mutex<Held>>; 2],
    crowd: [Arc<Mutex<Crowd>>; 2],
    stuck: Option<Arc<StuckFs>>,
    members: Option<Members>,
    limit: Limit,
    /// The servers with a share with persistent handles, if a case needs them.
    continuous: Option<(Shareward, Peer)>,
    tree: TempDir,
}

/// The server to compare with.
enum Peer {
    Samba(Box<Samba>),
    Shareward(Box<Shareward>),
}

/// One of the servers.
#[derive(Clone)]
pub(crate) struct Target {
    /// `shareward`, `samba` or `other binary`.
    pub(crate) name: &'static str,
    /// The address on which it listens.
    pub(crate) address: SocketAddr,
    /// The id of its first process.
    pub(crate) pid: u32,
    /// The full name of a member of a domain, whose users log on with tickets; `None` for NTLM.
    host: Option<String>,
    /// The directory of the share.
    pub(crate) tree: Arc<Path>,
    /// A path in the command lines of all its processes.
    pub(crate) mark: Arc<str>,
    /// The commands that list opens, as text and as JSON.
    list: [Arc<[OsString]>; 2],
    /// The opens for these lists.
    pub(crate) held: Arc<Mutex<Held>>,
    /// The connections around a quiet client.
    pub(crate) crowd: Arc<Mutex<Crowd>>,
    /// The file system that hangs, if a case needs it.
    pub(crate) stuck: Option<Arc<StuckFs>>,
}

/// The protection of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    Plain,
    /// AES-128-GMAC if the server supports it (Samba 4.17 does).
    Signed,
    /// AES-128-GCM.
    Sealed,
}

/// The share that both servers have.
const SHARE: &str = r"\\localhost\bench";
pub(crate) const SHARE_NAME: &str = "bench";

/// The users of the load; single connections use the first. Our server limits a user to half of all opens.
const USERS: [(&str, &str); 4] = [
    ("alice", "Wonder-Land 1"),
    ("bob", "Wonder-Land 2"),
    ("carol", "Wonder-Land 3"),
    ("dave", "Wonder-Land 4"),
];

/// The administrator: without winbindd, only root can be made an administrator of Samba.
const ADMINISTRATOR: (&str, &str) = ("root", "Adm1n-secret");

/// The user whose tickets a load in a domain uses.
const PRINCIPAL: &str = "carol@CORP.TEST";

impl Peer {
    fn start(setup: &Setup, options: &Options) -> Self {
        let Some(binary) = &options.against else {
            let samba = Samba::start(setup);
            samba.make_administrator(ADMINISTRATOR.0);
            return Self::Samba(Box::new(samba));
        };
        let history = if options.against_without_history { "\n[history]\nenabled = false\n" } else { "" };
        let extra = setup.extra.clone() + history;
        let setup = Setup { binary: Some(binary.clone()), extra, ..setup.clone() };
        Self::Shareward(Box::new(Shareward::start(&setup)))
    }
}

impl Servers {
    /// Makes the tree and starts both.
    pub(crate) fn start(options: &Options) -> Result<Self, String> {
        if !is_root() {
            return Err("smbd needs root, and with it this".into());
        }
        progress("making the directory tree");
        let tree = data::make(&options.directory, options.connections)
            .map_err(|error| format!("no directory tree in {}: {error}", options.directory.display()))?;
        let stuck = stuck(tree.path(), options)
            .map_err(|error| format!("no file in the file system that hangs: {error}"))?;
        let setup = setup(tree.path(), options);
        progress("starting the servers");
        let peer = Peer::start(&setup, options);
        let (ours, members) = (Shareward::start(&setup), Members::given());
        let limit =
            Limit::start(tree.path()).map_err(|error| format!("no server of the physical limit: {error}"))?;
        let continuous = continuous(tree.path(), options)
            .map_err(|error| format!("no directories for persistent handles: {error}"))?;
        Ok(Self {
            ours,
            peer,
            continuous,
            held: Default::default(),
            crowd: Default::default(),
            stuck,
            members,
            limit,
            tree,
        })
    }

    /// The server that only moves bytes.
    pub(crate) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Both servers for a case, ours first; `None` if it is for members of a domain and there is none.
    pub(crate) fn targets(&self, case: &Case) -> Option<[Target; 2]> {
        if case.in_domain() {
            let Members([ours, samba]) = self.members.clone()?;
            let member = |name, place| Target::member(name, place, self.tree());
            return Some([member("shareward", ours), member("samba", samba)]);
        }
        if case.is_continuous() {
            let (ours, peer) = self.continuous.as_ref()?;
            return Some(self.both((ours, peer), Default::default()));
        }
        let targets = self.usual();
        let with = |target, crowd: &Arc<Mutex<Crowd>>| Target {
            crowd: Arc::clone(crowd),
            stuck: self.stuck.clone(),
            ..target
        };
        let ([ours, peer], [first, second]) = (targets, &self.crowd);
        Some([with(ours, first), with(peer, second)])
    }

    /// Both servers for work that is no case, ours first.
    pub(crate) fn usual(&self) -> [Target; 2] {
        self.both((&self.ours, &self.peer), self.held.clone())
    }

    fn both(
        &self,
        (ours, peer): (&Shareward, &Peer),
        [held_by_ours, held_by_peer]: [Arc<Mutex<Held>>; 2],
    ) -> [Target; 2] {
        let peer = match peer {
            Peer::Shareward(server) => Target::shareward("other binary", server, (self.tree(), held_by_peer)),
            Peer::Samba(samba) => Target {
                name: "samba",
                address: samba.address(),
                pid: samba.pid(),
                host: None,
                tree: self.tree(),
                mark: mark(samba.config()),
                list: list(samba.tool("smbstatus"), [Some("-L"), Some("--json")]),
                held: held_by_peer,
                crowd: Arc::default(),
                stuck: None,
            },
        };
        [Target::shareward("shareward", ours, (self.tree(), held_by_ours)), peer]
    }

    fn tree(&self) -> Arc<Path> {
        self.tree.path().into()
    }
}

/// Starts servers with persistent handles, if a case needs them.
fn continuous(tree: &Path, options: &Options) -> std::io::Result<Option<(Shareward, Peer)>> {
    if !cases::all().iter().any(|case| case.is_continuous() && options.wants_case(case)) {
        return Ok(None);
    }
    continuous::make(tree)?;
    let with = |directory: &str| {
        let setup = setup(tree, options);
        let extra = setup.extra + &continuous::ours(tree, directory);
        // The global option goes before the section of the first share.
        let extra_samba =
            continuous::SAMBA_GLOBAL.to_owned() + &setup.extra_samba + &continuous::sambas(tree);
        Setup { extra, extra_samba, ..setup }
    };
    let ours = Shareward::start(&with(continuous::OURS));
    Ok(Some((ours, Peer::start(&with(continuous::PEERS), options))))
}

/// Mounts the file system that hangs, with a file, if a case needs it. The servers start after it, because their mounts
/// are their own.
fn stuck(tree: &Path, options: &Options) -> std::io::Result<Option<Arc<StuckFs>>> {
    if !cases::all().iter().any(|case| case.needs_stuck_disk() && options.wants_case(case)) {
        return Ok(None);
    }
    let directory = tree.join(data::STUCK_DIRECTORY);
    let disk = StuckFs::mount(&directory);
    std::fs::write(directory.join(data::STUCK_LEAF), vec![0; 1 << 20])?;
    Ok(Some(Arc::new(disk)))
}

/// The text that is in the command lines of all processes of a server with this configuration file.
fn mark(config: PathBuf) -> Arc<str> {
    Arc::from(config.to_string_lossy())
}

/// The command lines of a list as text and as JSON, which the switches tell apart.
fn list(command: Command, switches: [Option<&str>; 2]) -> [Arc<[OsString]>; 2] {
    let words: Vec<OsString> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_owned).collect();
    switches.map(|more| words.iter().cloned().chain(more.map(OsString::from)).collect())
}

impl Target {
    /// Our server without another one to compare it with.
    pub(crate) fn alone(server: &Shareward, tree: &Path) -> Self {
        Self::shareward("shareward", server, (tree.into(), Arc::default()))
    }

    fn shareward(
        name: &'static str,
        server: &Shareward,
        (tree, held): (Arc<Path>, Arc<Mutex<Held>>),
    ) -> Self {
        Self {
            name,
            address: server.address(),
            pid: server.pid(),
            host: None,
            tree,
            mark: mark(server.config()),
            list: list(server.net_command(&["file"]), [None, Some("--json")]),
            held,
            crowd: Arc::default(),
            stuck: None,
        }
    }

    fn member(name: &'static str, place: Place, tree: Arc<Path>) -> Self {
        Self {
            name,
            address: SocketAddr::from((place.address, 445)),
            pid: place.pid,
            host: Some(place.host),
            tree,
            mark: place.mark,
            list: Default::default(),
            held: Arc::default(),
            crowd: Arc::default(),
            stuck: None,
        }
    }

    /// The command that lists opens.
    pub(crate) fn list_command(&self, json: bool) -> &[OsString] {
        let [text, as_json] = &self.list;
        if json { as_json } else { text }
    }

    /// The loading user and the password.
    pub(crate) fn user(&self) -> (&'static str, &'static str) {
        let [user, ..] = USERS;
        user
    }

    /// Connects and logs the loading user on.
    pub(crate) async fn logon(&self, protection: Protection) -> Result<ClientSession, Error> {
        self.logon_as(self.user(), protection).await
    }

    /// Connects and logs the administrator on.
    pub(crate) async fn logon_administrator(&self) -> Result<ClientSession, Error> {
        self.logon_as(ADMINISTRATOR, Protection::Plain).await
    }

    /// Connects to the share.
    pub(crate) async fn tree(&self, protection: Protection) -> Result<ClientTree, Error> {
        self.logon(protection).await?.tree_connect(SHARE).await
    }

    /// Connects to another share.
    pub(crate) async fn tree_of(&self, protection: Protection, share: &str) -> Result<ClientTree, Error> {
        self.logon(protection).await?.tree_connect(&format!(r"\\localhost\{share}")).await
    }

    /// Connects to the share as the loading users in turn.
    pub(crate) async fn tree_in_turn(
        &self,
        number: usize,
        protection: Protection,
    ) -> Result<ClientTree, Error> {
        let [first, ..] = USERS;
        let user = USERS.get(number % USERS.len()).copied().unwrap_or(first);
        self.logon_as(user, protection).await?.tree_connect(SHARE).await
    }

    async fn logon_as(&self, who: (&str, &str), protection: Protection) -> Result<ClientSession, Error> {
        let options = ConnectOptions {
            signing: if protection == Protection::Signed { Signing::Required } else { Signing::IfRequired },
            seal: protection == Protection::Sealed,
            ciphers: vec![Cipher::Aes128Gcm],
            signing_algorithms: vec![SigningAlgorithm::AesGmac, SigningAlgorithm::AesCmac],
            ..ConnectOptions::new()?.dialect(Dialect::SMB311)
        };
        // As Windows.
        let capabilities = options.capabilities | GlobalCapabilities::PERSISTENT_HANDLES;
        let options = ConnectOptions { capabilities, ..options };
        let Some(host) = &self.host else {
            let connection = ClientConnection::connect(self.address, None, options).await?;
            return connection.logon(Credentials::password(who.0, "", who.1)).await;
        };
        let options = ConnectOptions { server_name: host.clone(), ..options };
        let connection = ClientConnection::connect(self.address, None, options).await?;
        // The caches are read again for each logon, which costs the load generator some time.
        connection.logon(LogonCredentials::with_tickets(Tickets::of_principal(PRINCIPAL), None)).await
    }
}

/// The setup of both servers: the typical use of a file server, without features of only one of them.
pub(crate) fn setup(tree: &Path, options: &Options) -> Setup {
    let path = tree.display();
    let user = |(name, password): (&str, &str), administrator| User {
        name: name.into(),
        password: password.into(),
        administrator,
    };
    Setup {
        users: USERS.into_iter().map(|who| user(who, false)).chain([user(ADMINISTRATOR, true)]).collect(),
        run_as: if options.ordinary { RunAs::Ordinary } else { RunAs::Root },
        extra: format!("\n[[share]]\nname = \"bench\"\npath = \"{path}\"\n"),
        // No object is stacked on the file system: the load uses neither ACLs nor streams.
        extra_samba: format!(
            "vfs objects =\nuse sendfile = yes\nlog level = 0\n\n[bench]\npath = {path}\nread only = no"
        ),
        samba: options
            .samba
            .clone()
            .map(|path| SambaRoot { path, directories: vec![options.directory.clone()] }),
        ..Setup::default()
    }
}
