//! Snapshots for administrators: plain data, in the order of the ids for administrators, so that a listing can be
//! resumed after the last id seen while entries are added and removed.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use wire::security::Sid;
use wire::{
    AccessMask, Account, Dialect, FileGlobalId, LeaseState, OplockLevel, SessionGlobalId, ShareAccess,
    ShareName, TreeGlobalId,
};

use crate::locks::RangeLock;
use crate::open::Open;
use crate::session::{Session, SessionState};
use crate::user_counts::UserKey;
use crate::{
    AnnouncedClose, ConnectionId, ConnectionInfo, Identity, OpenTarget, ShareDefinition, Shell, State, Time,
    UserKind, cost,
};

/// A filter of sessions, tree connects and opens (MS-SRVS 3.1.4.1, 3.1.4.2, 3.1.4.5). Without conditions it matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The user's account. A guest of the same name does not match.
    pub account: Option<Account>,
    /// The SID of the account, if it is one of a domain and the SID is known. Users with a SID are then compared by it
    /// instead of by name.
    pub sid: Option<Sid>,
    /// The client's name or address.
    pub client: Option<ClientName>,
    /// The share. It does not apply to sessions.
    pub share: Option<ShareName>,
    /// The session.
    pub session: Option<SessionGlobalId>,
}

impl Filter {
    /// True if this user with the name `user` matches; `domain` is what its client named.
    pub(crate) fn is_of_user(&self, key: &UserKey, domain: &str, user: &str) -> bool {
        let Some(account) = &self.account else { return true };
        match key {
            UserKey::Local(UserKind::Account, name) => account.is_named(domain, name),
            UserKey::Local(UserKind::Guest | UserKind::Anonymous, _) => false,
            UserKey::OfDomain(sid) => self.sid.map_or_else(|| account.is(domain, user), |it| it == **sid),
        }
    }

    /// True if the open's user matches.
    pub fn is_of_user_of(&self, file: &FileSnapshot) -> bool {
        let key = UserKey::new(file.user_kind, &file.user, file.user_sid);
        self.is_of_user(&key, &file.domain, &file.user)
    }
}

/// A client's name, which may be its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName {
    name: String,
    address: Option<IpAddr>,
}

/// A session (MS-SRVS 2.2.4.15 SESSION_INFO_502, and more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// `Session.SessionGlobalId`.
    pub global_id: SessionGlobalId,
    /// `Session.State`.
    pub state: SessionState,
    /// The user of the session.
    pub identity: Identity,
    /// The client's name.
    pub client: Arc<str>,
    /// The connections that the session is bound to.
    pub connections: Vec<ConnectionInfo>,
    /// The time of its creation.
    pub created: Time,
    /// The time of its user's last request.
    pub last_active: Time,
    /// The number of opens of the session.
    pub opens: usize,
    /// The number of tree connects of the session.
    pub trees: usize,
    /// The shares that the session is connected to, each once.
    pub shares: Vec<Arc<str>>,
    /// `Connection.Dialect` of its first connection.
    pub dialect: Option<Dialect>,
}

/// An open (MS-SRVS 2.2.4.7 FILE_INFO_3, and more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSnapshot {
    /// `Open.FileGlobalId`.
    pub global_id: FileGlobalId,
    /// The session of the open; `None` for an orphan, whose client may still reclaim it.
    pub session: Option<SessionGlobalId>,
    /// The tree connect of the open; `None` for an orphan.
    pub tree: Option<TreeGlobalId>,
    /// The user's name.
    pub user: Arc<str>,
    /// The kind of user.
    pub user_kind: UserKind,
    /// The SID of a user of a domain.
    pub user_sid: Option<Sid>,
    /// The domain or server that the client named.
    pub domain: Arc<str>,
    /// The client's name.
    pub client: Arc<str>,
    /// The file or pipe.
    pub target: OpenTarget,
    /// The share.
    pub share: Arc<str>,
    /// The path in the share.
    pub path: Arc<str>,
    /// True for a directory.
    pub is_directory: bool,
    /// `Open.GrantedAccess`.
    pub access: AccessMask,
    /// The access that the open shares with others.
    pub share_access: ShareAccess,
    /// The byte-range locks of the open, held and waited for.
    pub locks: Vec<RangeLock>,
    /// `Open.OplockLevel`.
    pub oplock: OplockLevel,
    /// The state of the open's lease.
    pub lease: LeaseState,
    /// `Open.IsDurable`.
    pub durable: bool,
    /// `Open.IsPersistent`.
    pub persistent: bool,
    /// The time when the open ends unless its client reclaims it.
    pub expires: Option<Time>,
    /// True if a delete is pending: the file is removed with its last open.
    pub delete_pending: bool,
    /// The announcement of its close, if there is one.
    pub closing: Option<Arc<AnnouncedClose>>,
    /// The time of the open.
    pub opened: Time,
    /// The time of the last READ or WRITE.
    pub last_io: Time,
    /// The number of bytes that were read through the open.
    pub bytes_read: u64,
    /// The number of bytes that were written through the open.
    pub bytes_written: u64,
}

/// A tree connect, which MS-SRVS calls a connection (2.2.4.2 CONNECTION_INFO_1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSnapshot {
    /// `TreeConnect.TreeGlobalId`.
    pub global_id: TreeGlobalId,
    /// The session of the tree connect.
    pub session: SessionGlobalId,
    /// The share.
    pub share: Arc<str>,
    /// The user's name.
    pub user: Arc<str>,
    /// The kind of user.
    pub user_kind: UserKind,
    /// The SID of a user of a domain.
    pub user_sid: Option<Sid>,
    /// The client's name.
    pub client: Arc<str>,
    /// The number of opens of the tree connect.
    pub opens: usize,
    /// The time of its creation.
    pub created: Time,
}

/// A share (MS-SRVS 2.2.4.26 SHARE_INFO_502).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSnapshot {
    /// The number of the share in lists that are resumed. It stays the same while other shares are added and removed.
    pub id: u32,
    /// The definition of the share.
    pub definition: ShareDefinition,
    /// `Share.CurrentUses`.
    pub uses: usize,
}

/// The matching entries of one part of a table. All entries of the part count for its length, matching or not, so that
/// a selective filter does not hold the lock for longer; entries with much to show make the part shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T, I> {
    /// The entries.
    pub entries: Vec<T>,
    /// The last id examined, if the table continues; `None` at its end.
    pub last: Option<I>,
}

impl<S: Shell> State<S> {
    /// The matching sessions among the next `length` after the last one seen. Sessions in progress have no user yet and
    /// are left out.
    pub fn session_snapshots(
        &self,
        filter: &Filter,
        after: Option<SessionGlobalId>,
        length: usize,
    ) -> Part<SessionSnapshot, SessionGlobalId> {
        part(
            after_key(&self.sessions, after),
            length,
            |it| it.trees.len(),
            |id, it| {
                let is_wanted = it.is_listed() && self.matches_session(id, it, filter);
                is_wanted.then(|| self.session_snapshot(id, it))
            },
        )
    }

    /// The matching opens among the next `length` after the last one seen.
    pub fn file_snapshots(
        &self,
        filter: &Filter,
        after: Option<FileGlobalId>,
        length: usize,
    ) -> Part<FileSnapshot, FileGlobalId> {
        part(
            self.opens.after(after),
            length,
            |open| open.shown_locks(),
            |id, open| self.matches_file(open, filter).then(|| self.snapshot_of(id, open)),
        )
    }

    /// One open.
    pub fn file_snapshot(&self, id: FileGlobalId) -> Option<FileSnapshot> {
        self.opens.get(&id).map(|open| self.snapshot_of(id, open))
    }

    /// The matching tree connects among the next `length` after the last one seen.
    pub fn tree_snapshots(
        &self,
        filter: &Filter,
        after: Option<TreeGlobalId>,
        length: usize,
    ) -> Part<TreeSnapshot, TreeGlobalId> {
        part(
            after_key(&self.trees, after),
            length,
            |_| 0,
            |global_id, tree| {
                let session = self.sessions.get(&tree.session)?;
                let is_wanted = filter.share.as_ref().is_none_or(|share| tree.origin.share == *share)
                    && self.matches_session(tree.session, session, filter);
                is_wanted.then(|| TreeSnapshot {
                    global_id,
                    session: tree.session,
                    share: tree.origin.share_name.clone(),
                    user: session.identity.user.clone(),
                    user_kind: session.identity.kind(),
                    user_sid: session.identity.sid,
                    client: session.owner.client.clone(),
                    opens: tree.open_count.get(),
                    created: tree.created,
                })
            },
        )
    }

    /// The transport connections, after the last one seen.
    pub fn connection_snapshots(&self, after: Option<ConnectionId>, limit: usize) -> Vec<ConnectionInfo> {
        self.connections
            .range((after_bound(after), std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(id, it)| it.info(*id))
            .collect()
    }

    /// The shares, by name, after the last one seen.
    pub fn share_snapshots(&self, after: Option<&str>, limit: usize) -> Vec<ShareSnapshot> {
        self.shares
            .range((after_bound(after.map(ShareName::new)), std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(_, it)| it.snapshot())
            .collect()
    }

    /// One share.
    pub fn share_snapshot(&self, name: &str) -> Option<ShareSnapshot> {
        self.shares.get(&ShareName::new(name)).map(|it| it.snapshot())
    }

    pub(crate) fn matches_session(&self, id: SessionGlobalId, session: &Session<S>, filter: &Filter) -> bool {
        let Identity { user, domain, .. } = &session.identity;
        let is_user = || session.user.as_ref().is_some_and(|key| filter.is_of_user(key, domain, user));
        (filter.account.is_none() || is_user())
            && filter.session.is_none_or(|wanted| wanted == id)
            && filter.client.as_ref().is_none_or(|client| self.is_from(session, client))
    }

    pub(crate) fn is_from(&self, session: &Session<S>, client: &ClientName) -> bool {
        let connections = || session.channels.iter().filter_map(|id| self.connections.get(id));
        client.is_called(&session.owner.client)
            || connections().any(|it| client.is_called(&it.client_name) || client.has_address(it.peer.ip()))
    }

    fn matches_file(&self, open: &Open<S>, filter: &Filter) -> bool {
        let session = open.home.map(|home| home.session);
        filter.share.as_ref().is_none_or(|share| open.origin.share == *share)
            && filter.is_of_user(&open.user, &open.owner.domain, &open.owner.user)
            && filter.session.is_none_or(|wanted| session == Some(wanted))
            && filter.client.as_ref().is_none_or(|client| {
                let session = session.and_then(|id| self.sessions.get(&id));
                client.is_called(&open.owner.client) || session.is_some_and(|it| self.is_from(it, client))
            })
    }

    /// The shares that a session is connected to, each once.
    pub(crate) fn shares_of(&self, session: &Session<S>) -> Vec<Arc<str>> {
        let mut seen = HashSet::new();
        let trees = session.trees.values().filter_map(|tree| self.trees.get(tree));
        trees.map(|tree| &tree.origin.share_name).filter(|it| seen.insert(Arc::clone(it))).cloned().collect()
    }

    fn session_snapshot(&self, global_id: SessionGlobalId, session: &Session<S>) -> SessionSnapshot {
        let connections: Vec<ConnectionInfo> = session
            .channels
            .iter()
            .filter_map(|id| self.connections.get(id).map(|connection| connection.info(*id)))
            .collect();
        SessionSnapshot {
            global_id,
            state: session.state,
            identity: session.identity.clone(),
            client: session.owner.client.clone(),
            dialect: connections.first().and_then(|it| it.dialect),
            connections,
            created: session.created,
            last_active: session.shared.last_active(),
            opens: session.open_count.get(),
            trees: session.trees.len(),
            shares: self.shares_of(session),
        }
    }

    pub(crate) fn snapshot_of(&self, global_id: FileGlobalId, open: &Open<S>) -> FileSnapshot {
        let (oplock, lease) = self.caching_of(open);
        let key = open.target.file();
        let has_locks = open.locks != 0 || open.waiting_locks != 0;
        FileSnapshot {
            global_id,
            session: open.home.map(|home| home.session),
            tree: open.home.map(|home| home.tree),
            user: open.owner.user.clone(),
            user_kind: open.owner.kind,
            user_sid: open.owner.sid,
            domain: open.owner.domain.clone(),
            client: open.owner.client.clone(),
            target: open.target.clone(),
            share: open.origin.share_name.clone(),
            path: open.path.clone(),
            is_directory: open.is_directory,
            access: open.access,
            share_access: open.share_access,
            locks: if has_locks { self.locks_of(global_id, key) } else { Vec::new() },
            oplock,
            lease,
            durable: open.durable.is_some(),
            persistent: open.is_persistent(),
            expires: open.durable.as_ref().and_then(|durable| durable.deadline),
            delete_pending: self.is_open_deleted(global_id),
            closing: self.announced_closes.get(&global_id).cloned(),
            opened: open.created,
            last_io: open.shared.last_io(),
            bytes_read: open.shared.bytes_read(),
            bytes_written: open.shared.bytes_written(),
        }
    }
}

impl ClientName {
    /// The client of this name or address.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), address: name.parse().ok() }
    }

    /// The name, or the address in its text.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        wire::names::eq_ignore_case(name, &self.name)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.address == Some(address.to_canonical())
    }
}

impl<S: Shell> Open<S> {
    /// The number of locks in the snapshot of the open.
    pub(crate) fn shown_locks(&self) -> usize {
        self.locks.saturating_add(self.waiting_locks)
    }
}

/// The work that is left for one part of a list.
pub(crate) struct PartWork(usize);

impl PartWork {
    pub(crate) const fn new(length: usize) -> Self {
        Self(length.saturating_mul(DETAILS_PER_ENTRY))
    }

    pub(crate) const fn is_left(&self) -> bool {
        self.0 != 0
    }

    /// Subtracts the work of an entry with this number of details.
    pub(crate) fn take(&mut self, details: usize) {
        self.0 = self.0.saturating_sub(details.saturating_add(DETAILS_PER_ENTRY));
    }
}

fn part<'a, I: Copy + Ord, V: 'a, T>(
    mut rest: impl Iterator<Item = (I, &'a V)>,
    length: usize,
    details: impl Fn(&V) -> usize,
    shown: impl Fn(I, &V) -> Option<T>,
) -> Part<T, I> {
    let (mut entries, mut last, mut work) = (Vec::new(), None, PartWork::new(length));
    while work.is_left()
        && let Some((id, it)) = rest.next()
    {
        cost::step();
        last = Some(id);
        work.take(details(it));
        entries.extend(shown(id, it));
    }
    Part { entries, last: last.filter(|_| rest.next().is_some()) }
}

/// The entries of a table after the one that was last seen.
fn after_key<I: Copy + Ord, V>(table: &BTreeMap<I, V>, after: Option<I>) -> impl Iterator<Item = (I, &V)> {
    table.range((after_bound(after), std::ops::Bound::Unbounded)).map(|(id, it)| (*id, it))
}

/// The number of details of an entry (locks, tree connects) that take as long to show as the entry itself. A part with
/// more details has fewer entries.
const DETAILS_PER_ENTRY: usize = 16;

pub(crate) fn after_bound<T>(after: Option<T>) -> std::ops::Bound<T> {
    after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded)
}
