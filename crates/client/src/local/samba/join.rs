//! Sessions, opens and connections from the rows of smbstatus.
//!
//! A row of an open has the process, the Unix id and the share's directory, but neither session nor share. They are
//! derived where only one can be meant; otherwise they stay unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use control::{
    Access, Connection, LockRange, OpenFile, Session, SessionShare, ShareKind, Timestamp, address, smb,
};
use wire::{AccessMask, FoldedName, ShareAccess};

use super::status::{DISCONNECTED, OpenRow, Protection, SessionRow, Status, TreeRow};
use crate::local::reader::{Found, first_ranges, hashed_id};

/// The names of the configured shares with their directories.
pub(super) type Shares = BTreeMap<FoldedName, (String, String)>;

/// A file in a process: the process, the share's directory, and the path below it.
type InProcess<'a> = (u64, &'a str, &'a str);

/// The rows, with what joins them.
pub(super) struct Joined<'a> {
    status: &'a Status,
    shares: &'a Shares,
    /// The shares that a process has connected, by its number.
    trees: BTreeMap<u64, Vec<&'a TreeRow>>,
    sessions: BTreeMap<u64, Vec<&'a SessionRow>>,
    opens: BTreeMap<u64, Vec<&'a OpenRow>>,
    /// `None` if locks are not reported.
    locks: Option<BTreeMap<InProcess<'a>, Vec<LockRange>>>,
}

impl<'a> Joined<'a> {
    pub(super) fn new(status: &'a Status, shares: &'a Shares) -> Self {
        let mut trees: BTreeMap<u64, Vec<&TreeRow>> = BTreeMap::new();
        for tree in &status.trees {
            trees.entry(tree.process).or_default().push(tree);
        }
        let mut sessions: BTreeMap<u64, Vec<&SessionRow>> = BTreeMap::new();
        for session in &status.sessions {
            sessions.entry(session.process).or_default().push(session);
        }
        let mut opens: BTreeMap<u64, Vec<&OpenRow>> = BTreeMap::new();
        for open in &status.opens {
            opens.entry(open.process).or_default().push(open);
        }
        let locks = status.locks.as_ref().map(|rows| {
            let mut locks: BTreeMap<InProcess<'_>, Vec<LockRange>> = BTreeMap::new();
            for row in rows {
                locks.entry((row.process, &row.directory, &row.name)).or_default().push(row.range);
            }
            locks
        });
        Self { status, shares, trees, sessions, opens, locks }
    }

    pub(super) fn sessions(&self, now: Timestamp) -> Vec<Session> {
        self.status.sessions.iter().map(|row| self.session(row, now)).collect()
    }

    fn session(&self, row: &SessionRow, now: Timestamp) -> Session {
        let address = row.socket.as_deref().and_then(address_of_socket);
        let named = address::parse(&row.machine).is_none() && !row.machine.is_empty();
        let (domain, user) = account(&row.user);
        let of_process = self.opens.get(&row.process).into_iter().flatten().copied();
        let opens: Vec<&OpenRow> =
            of_process.filter(|open| row.uid.is_none() || open.uid == row.uid).collect();
        let is_alone = self.only_session(row.process, row.uid).is_some();
        let mut shares: Vec<SessionShare> = Vec::new();
        for tree in self.trees.get(&row.process).into_iter().flatten() {
            let is_own = match (tree.session, row.id) {
                (Some(of), Some(id)) => of == id,
                _ => is_alone,
            };
            if is_own && !shares.iter().any(|share| wire::eq_ignore_case(&share.name, &tree.share)) {
                let on_it = |open: &&&OpenRow| self.share(open).as_deref() == Some(tree.share.as_str());
                let is_known = is_alone && opens.iter().all(|open| self.share(open).is_some());
                let count = opens.iter().filter(on_it).count();
                shares.push(SessionShare {
                    name: tree.share.clone(),
                    kind: kind(&tree.share),
                    opens: u32::try_from(count)
                        .ok()
                        .filter(|_| is_known && kind(&tree.share) == ShareKind::Disk),
                });
            }
        }
        let active = row.created.and_then(|time| u64::try_from(now.0.saturating_sub(time.0) / 1000).ok());
        let (signed, signing) = protection(&row.signing);
        let (encrypted, cipher) = protection(&row.encryption);
        Session {
            id: row.id,
            computer: address.unwrap_or_else(|| computer(&row.machine)),
            computer_name: named.then(|| row.machine.clone()),
            user: user.to_owned(),
            domain: domain.map(str::to_owned),
            opens: u32::try_from(opens.len()).ok().filter(|_| is_alone),
            connected_at: row.created,
            active_seconds: active,
            dialect: row.dialect.as_deref().map(dialect_name),
            signed,
            signing,
            encrypted,
            cipher,
            transport: row.transport.clone(),
            shares: Some(shares),
            ..Session::default()
        }
    }

    pub(super) fn files(&self) -> Vec<Found> {
        let mut of_file: BTreeMap<InProcess<'_>, usize> = BTreeMap::new();
        for open in &self.status.opens {
            *of_file.entry((open.process, &open.directory, &open.name)).or_default() += 1;
        }
        let mut real: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for open in &self.status.opens {
            real.entry(&open.directory).or_insert_with(|| real_path(&open.directory));
        }
        let of_process = |open: &OpenRow| {
            of_file
                .get(&(open.process, open.directory.as_str(), open.name.as_str()))
                .copied()
                .unwrap_or_default()
        };
        let found = self.status.opens.iter().map(|open| Found {
            file: self.file(open, of_process(open)),
            inode: open.inode,
            real_path: real
                .get(open.directory.as_str())
                .and_then(Option::as_ref)
                .map(|directory| server_path(directory, &open.name)),
        });
        found.collect()
    }

    /// An open; `same` is the number of opens of this file that its process has.
    fn file(&self, open: &OpenRow, same: usize) -> OpenFile {
        let is_disconnected = open.process == DISCONNECTED;
        let session = self.only_session(open.process, open.uid);
        let machine = self.sessions.get(&open.process).and_then(|rows| rows.first());
        let user = session.map(|row| row.user.clone()).or_else(|| open.user.clone());
        // A lock is of a process and a file. With several opens of both, only "no lock" is certain.
        let locks = self.locks.as_ref().map(|locks| {
            let of_file = locks.get(&(open.process, open.directory.as_str(), open.name.as_str()));
            of_file.map(Vec::as_slice).unwrap_or_default()
        });
        let locks = locks.filter(|locks| locks.is_empty() || same == 1);
        OpenFile {
            id: id(open),
            path: below_share(&open.name),
            server_path: Some(server_path(&open.directory, &open.name)),
            share: self.share(open),
            user: user.or_else(|| open.uid.map(|uid| format!("uid {uid}"))).unwrap_or_default(),
            computer: machine.map(|row| {
                row.socket.as_deref().and_then(address_of_socket).unwrap_or_else(|| computer(&row.machine))
            }),
            session_id: session.and_then(|row| row.id),
            access: open.access.map(|mask| Access::of_mask(AccessMask(mask))),
            permissions: open.access.map(|mask| smb::permissions(AccessMask(mask), false)),
            share_access: open.share_access.map(|mask| smb::share_access(ShareAccess(mask))),
            locks: locks.as_ref().and_then(|locks| u32::try_from(locks.len()).ok()),
            lock_ranges: first_ranges(locks.into_iter().flatten().copied()),
            oplock: open.oplock.clone(),
            lease: open.lease.clone(),
            durable: is_disconnected.then_some(true),
            delete_pending: open.delete_pending,
            opened_at: open.opened,
            ..OpenFile::default()
        }
    }

    pub(super) fn connections(&self, now: Timestamp) -> Vec<Connection> {
        let connection = |tree: &TreeRow| {
            let sessions = self.sessions.get(&tree.process).map(Vec::as_slice).unwrap_or_default();
            let session = match tree.session {
                Some(id) => sessions.iter().find(|row| row.id == Some(id)).copied(),
                None => sessions.first().filter(|_| sessions.len() == 1).copied(),
            };
            let active =
                tree.connected.and_then(|time| u64::try_from(now.0.saturating_sub(time.0) / 1000).ok());
            Connection {
                id: tree
                    .id
                    .unwrap_or_else(|| hashed_id(&[&tree.process.to_be_bytes(), tree.share.as_bytes()])),
                share: tree.share.clone(),
                kind: kind(&tree.share),
                opens: None,
                user: session.map(|row| row.user.clone()).unwrap_or_default(),
                realm: None,
                computer: Some(computer(&tree.machine)).filter(|it| !it.is_empty()),
                session_id: tree.session,
                connected_at: tree.connected,
                active_seconds: active,
            }
        };
        self.status.trees.iter().map(connection).collect()
    }

    /// The session of this user in the process, if it is the only one. Text has no Unix ids in sessions; there, the
    /// session must be the only one of the process.
    fn only_session(&self, process: u64, uid: Option<u32>) -> Option<&'a SessionRow> {
        let rows = self.sessions.get(&process)?;
        let mut of_user = rows.iter().filter(|row| row.uid.is_none() || uid.is_none() || row.uid == uid);
        let first = of_user.next()?;
        of_user.next().is_none().then_some(*first)
    }

    /// The share of an open: the only one that the process has connected, or else the only one with this directory.
    fn share(&self, open: &OpenRow) -> Option<String> {
        let trees = self.trees.get(&open.process).into_iter().flatten();
        let connected: BTreeSet<&str> =
            trees.map(|tree| tree.share.as_str()).filter(|share| kind(share) == ShareKind::Disk).collect();
        let mut names = connected.iter();
        if let (Some(only), None) = (names.next(), names.next()) {
            return Some((*only).to_owned());
        }
        let directory = open.directory.trim_end_matches('/');
        let connected: BTreeSet<FoldedName> = connected.into_iter().map(FoldedName::new).collect();
        let is_candidate = |(key, (_, path)): &(&FoldedName, &(String, String))| {
            let is_connected = connected.is_empty() || connected.contains(*key);
            is_connected && path.trim_end_matches('/') == directory
        };
        let mut candidates = self.shares.iter().filter(is_candidate).map(|(_, (name, _))| name);
        candidates.next().filter(|_| candidates.next().is_none()).cloned()
    }
}

/// The id of an open: the one that MS-SRVS gives it, by which Samba closes it. An open without a number has another,
/// which closes nothing.
pub(super) fn id(open: &OpenRow) -> u32 {
    match open.number {
        Some(number) => (low(open.process) << 16) | low(number),
        None => {
            let uid = open.uid.unwrap_or_default().to_be_bytes();
            hashed_id(&[&open.process.to_be_bytes(), &uid, open.directory.as_bytes(), open.name.as_bytes()])
        }
    }
}

/// The low 32 bits.
fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
}

fn server_path(directory: &str, name: &str) -> String {
    let directory = directory.trim_end_matches('/');
    if name == "." || name.is_empty() {
        return if directory.is_empty() { String::from("/") } else { directory.to_owned() };
    }
    format!("{directory}/{name}")
}

/// The directory without symbolic links, if that makes a difference.
fn real_path(directory: &str) -> Option<String> {
    let real = Path::new(directory).canonicalize().ok()?;
    let real = real.to_str()?;
    (real != directory.trim_end_matches('/')).then(|| real.to_owned())
}

fn below_share(name: &str) -> String {
    if name == "." { String::new() } else { name.replace('/', r"\") }
}

/// The address in `ipv4:192.0.2.7:49152` or `ipv6:2001:db8::7:49152`.
fn address_of_socket(socket: &str) -> Option<String> {
    let (family, rest) = socket.split_once(':')?;
    let host = match family {
        "ipv4" | "ipv6" => rest.rsplit_once(':')?.0,
        _ => return None,
    };
    address::parse(host).map(|address| address.to_string())
}

fn computer(machine: &str) -> String {
    address::parse(machine).map_or_else(|| machine.to_owned(), |address| address.to_string())
}

/// The domain and the user of a name. Names of the server's own users have no domain.
fn account(name: &str) -> (Option<&str>, &str) {
    match name.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    }
}

/// In use, with its algorithm, which an unprotected session has only in theory.
fn protection(it: &Protection) -> (Option<bool>, Option<String>) {
    (it.used, it.algorithm.clone().filter(|_| it.used == Some(true)))
}

fn kind(share: &str) -> ShareKind {
    if wire::eq_ignore_case(share, "IPC$") { ShareKind::Ipc } else { ShareKind::Disk }
}

/// The name of a dialect in Samba's spelling.
fn dialect_name(name: &str) -> String {
    let revision = match name {
        "SMB2_02" => 0x0202,
        "SMB2_10" => 0x0210,
        "SMB3_00" => 0x0300,
        "SMB3_02" => 0x0302,
        "SMB3_11" => 0x0311,
        other => return other.to_owned(),
    };
    smb::dialect(revision)
}
