//! Sessions outside of the registry: identity, keys, and tables of tree connects and opens.
//!
//! The registry owns the session; this part is attached to it. The tables are for quick access: an entry may outlive
//! its object by a moment, and every use checks the registry's own mark first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use auth::DomainUser;
use auth::preauth::PreauthHash;
use auth::sealing::{Cipher, SealingError, SealingKey};
use auth::signing::SigningKey;
use parking_lot::{Mutex, RwLock};
use registry::{SessionShared, Time};
use wire::header::TransformHeader;
use wire::security::Sid;
use wire::{Dialect, FileId, FileTime, SessionGlobalId, SessionId, TreeId};

use crate::core::clock::system_time;
use crate::core::open::Open;
use crate::core::pipe_usage::PipeUsage;
use crate::core::security::Token;
use crate::core::tree::Tree;

/// A session, which is attached to the registry's session (MS-SMB2 3.3.1.8).
pub(crate) struct Session {
    id: SessionId,
    global_id: SessionGlobalId,
    shared: Arc<SessionShared>,
    established: OnceLock<Established>,
    user: RwLock<Option<Arc<User>>>,
    /// `Session.ExpirationTime` as a FILETIME, or [`NEVER`].
    expiration: AtomicU64,
    trees: Mutex<HashMap<TreeId, Arc<Tree>>>,
    opens: Mutex<HashMap<u64, Arc<Open>>>,
    /// The memory of its named pipes.
    pub(crate) pipes: Arc<PipeUsage>,
}

/// A session on one connection: an entry of `Session.ChannelList` (MS-SMB2 3.3.1.14).
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) session: Arc<Session>,
    /// `Channel.SigningKey`; `None` before the logon, and for sessions without keys.
    pub(crate) signing: Option<Arc<SigningKey>>,
}

impl Channel {
    /// The key, if it has signed the message.
    pub(crate) fn verify(&self, message: &[u8]) -> Option<Arc<SigningKey>> {
        self.signing.as_ref().filter(|key| key.verify(message).is_ok()).map(Arc::clone)
    }
}

/// A logon between its first and its last message: the first of a session, a repeated one, or one that binds the
/// session to a further connection.
pub(crate) struct PendingLogon {
    pub(crate) acceptor: auth::Acceptor,
    /// `Session.PreauthIntegrityHashValue`, or that of an entry of `Connection.PreauthSessionTable` (3.1.1).
    pub(crate) preauth: PreauthHash,
    pub(crate) rounds: u32,
    /// The session that is being bound, which is not in the connection's table yet.
    pub(crate) binding: Option<Arc<Session>>,
}

/// The properties of a session that its first logon determines.
pub(crate) struct Established {
    /// `Session.Connection.Dialect`.
    pub(crate) dialect: Dialect,
    /// `Session.Connection.CipherId`.
    pub(crate) cipher: Option<Cipher>,
    /// `Session.SigningKey`; `None` for guests. The key of an anonymous session consists of zeros, and protects
    /// nothing.
    pub(crate) signing: Option<Arc<SigningKey>>,
    /// `Session.EncryptionKey` and `Session.DecryptionKey`.
    pub(crate) sealing: Option<SealingKeys>,
    /// `Session.SigningRequired`.
    pub(crate) must_sign: bool,
    /// `Session.EncryptData`.
    pub(crate) must_seal: bool,
    /// The kind of the user of the keys: only those of an account are a secret.
    pub(crate) kind: auth::IdentityKind,
}

/// The keys of a session that can be encrypted.
pub(crate) struct SealingKeys {
    pub(crate) outgoing: SealingKey,
    pub(crate) incoming: SealingKey,
}

/// The user of a session.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// The account's name as in the users file, or as `CORP\\carol`; empty for anonymous callers.
    pub(crate) name: String,
    pub(crate) kind: auth::IdentityKind,
    /// The user to whom the file system applies its permissions.
    pub(crate) actor: vfs::Actor,
    /// The user as its domain describes it; `None` for accounts of the users file, guests and anonymous callers.
    pub(crate) domain: Option<Arc<DomainUser>>,
    /// The identity of the user in security descriptors.
    pub(crate) token: Token,
    /// True if the user may administer the server.
    pub(crate) administrator: bool,
}

impl User {
    /// The SID of a user of a domain; `None` for others.
    pub(crate) fn sid(&self) -> Option<Sid> {
        self.domain.as_ref().map(|user| user.sid)
    }
}

impl Session {
    /// Creates a session before its logon.
    pub(crate) fn new(id: SessionId, global_id: SessionGlobalId, shared: Arc<SessionShared>) -> Self {
        Self {
            id,
            global_id,
            shared,
            established: OnceLock::new(),
            user: RwLock::new(None),
            expiration: AtomicU64::new(NEVER),
            trees: Mutex::default(),
            opens: Mutex::default(),
            pipes: Arc::default(),
        }
    }

    /// `Session.SessionId`.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// `Session.SessionGlobalId`.
    pub(crate) fn global_id(&self) -> SessionGlobalId {
        self.global_id
    }

    /// The properties that the first logon determined; `None` before it.
    pub(crate) fn established(&self) -> Option<&Established> {
        self.established.get()
    }

    /// Sets the properties of the first logon. Returns false if they were set before.
    pub(crate) fn establish(&self, established: Established) -> bool {
        self.established.set(established).is_ok()
    }

    /// The user of the session; `None` before the first logon.
    pub(crate) fn user(&self) -> Option<Arc<User>> {
        self.user.read().clone()
    }

    /// Sets the user of the session.
    pub(crate) fn set_user(&self, user: User) {
        *self.user.write() = Some(Arc::new(user));
    }

    /// Replaces the user of the session, unless it has changed meanwhile.
    pub(crate) fn replace_user(&self, before: &Arc<User>, after: User) -> bool {
        let mut user = self.user.write();
        let is_same = user.as_ref().is_some_and(|user| Arc::ptr_eq(user, before));
        if is_same {
            *user = Some(Arc::new(after));
        }
        is_same
    }

    /// Records a request of the user.
    pub(crate) fn touch(&self, now: Time) {
        self.shared.touch(now);
    }

    /// Encrypts a message in place, and fills in the header before it.
    pub(crate) fn seal(
        &self,
        transform: &mut [u8; TransformHeader::SIZE],
        message: &mut [u8],
    ) -> Result<(), SealingError> {
        let keys = self.established().and_then(|it| it.sealing.as_ref()).ok_or(SealingError::Failed)?;
        let header = TransformHeader {
            original_message_size: u32::try_from(message.len()).map_err(|_| SealingError::Failed)?,
            flags: TransformHeader::ENCRYPTED,
            session_id: self.id(),
            ..TransformHeader::default()
        };
        *transform = header.to_bytes();
        keys.outgoing.seal_in_place(transform, message)
    }

    /// Decrypts a message in place.
    pub(crate) fn unseal(
        &self,
        transform: &[u8; TransformHeader::SIZE],
        message: &mut [u8],
    ) -> Result<(), SealingError> {
        let keys = self.established().and_then(|it| it.sealing.as_ref()).ok_or(SealingError::Failed)?;
        keys.incoming.open_in_place(transform, message)
    }

    /// True if messages that the server sends without a request must be encrypted.
    pub(crate) fn seals(&self) -> bool {
        self.established().is_some_and(|it| it.must_seal && it.sealing.is_some())
    }

    /// The tree connect with this id.
    pub(crate) fn tree(&self, id: TreeId) -> Option<Arc<Tree>> {
        self.trees().get(&id).filter(|tree| !tree.has_ended()).map(Arc::clone)
    }

    /// The tree connects that have not ended.
    pub(crate) fn tree_connects(&self) -> Vec<Arc<Tree>> {
        self.trees().values().filter(|tree| !tree.has_ended()).map(Arc::clone).collect()
    }

    /// Enters a tree connect, unless it has ended. The end of a tree connect removes it from here.
    pub(crate) fn remember_tree(&self, tree: Arc<Tree>) {
        self.trees().insert(tree.id(), Arc::clone(&tree));
        if tree.has_ended() {
            self.forget_tree(tree.id());
        }
    }

    /// Removes a tree connect that has ended.
    pub(crate) fn forget_tree(&self, id: TreeId) {
        self.trees().remove(&id);
    }

    /// The open with this id, if it has not ended.
    pub(crate) fn open(&self, id: FileId) -> Option<Arc<Open>> {
        let opens = self.opens.lock();
        opens.get(&id.volatile).filter(|open| open.file_id() == id && !open.is_closed()).map(Arc::clone)
    }

    /// Enters an open, unless it has ended: an administrator may have closed it before the answer to its CREATE. The
    /// end of an open removes it from here.
    pub(crate) fn remember_open(&self, open: Arc<Open>) {
        let id = open.file_id();
        self.opens.lock().insert(id.volatile, Arc::clone(&open));
        if open.is_closed() {
            self.forget_open(id);
        }
    }

    /// Removes an open that has ended.
    pub(crate) fn forget_open(&self, id: FileId) {
        self.opens.lock().remove(&id.volatile);
    }

    /// True if the authentication has expired (MS-SMB2 3.3.5.2.9).
    ///
    /// The registry's deadline passes by a clock that stands still while the machine is suspended, so the end is compared
    /// with the system's time, too.
    pub(crate) fn has_expired(&self) -> bool {
        let end = self.expiration.load(Ordering::Relaxed);
        self.shared.has_expired() || end != NEVER && system_time().0 > end
    }

    /// Sets the system's time at which the authentication expires.
    pub(crate) fn set_expiration(&self, end: Option<FileTime>) {
        self.expiration.store(end.map_or(NEVER, |it| it.0), Ordering::Relaxed);
    }

    /// True if the session has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Removes all entries of a session that has ended.
    pub(crate) fn end(&self) {
        self.trees().clear();
        self.opens.lock().clear();
    }

    fn trees(&self) -> parking_lot::MutexGuard<'_, HashMap<TreeId, Arc<Tree>>> {
        self.trees.lock()
    }
}

/// The expiration of a session that does not expire.
const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use registry::{CloseReason, OpenTarget};

    use super::*;
    use crate::core::fixture::Fixture;

    /// The registry's clock stands still while the machine is suspended.
    #[test]
    fn session_expires_by_the_systems_time() {
        let Fixture { session, .. } = Fixture::with_open(OpenTarget::Pipe("srvsvc".into()));
        assert!(!session.has_expired());
        session.set_expiration(Some(FileTime(system_time().0 + 600_000_000)));
        assert!(!session.has_expired());
        session.set_expiration(Some(FileTime(system_time().0 - 1)));
        assert!(session.has_expired());
        session.set_expiration(None);
        assert!(!session.has_expired());
    }

    /// An administrator, or the removal of a share, may end an object before the handler that created it enters it
    /// here.
    #[test]
    fn a_session_keeps_nothing_that_is_over() {
        let Fixture { server, session, tree, open: id, .. } =
            Fixture::with_open(OpenTarget::Pipe("srvsvc".into()));
        let mut registry = server.registry.lock("test");
        let now = server.now();
        let open = registry.open(id).unwrap().attached;
        session.remember_tree(Arc::clone(&tree));
        session.remember_open(Arc::clone(&open));
        assert!(session.tree(tree.id()).is_some() && session.open(id).is_some());
        let closed = registry.close_open(id, CloseReason::Administrator, now).unwrap();
        let ended = registry.tree_disconnect(session.id(), tree.id(), now).unwrap();
        drop(registry);
        server.apply(closed);
        server.apply(ended);
        assert!(session.trees().is_empty() && session.opens.lock().is_empty(), "ended objects are removed");
        session.remember_tree(tree);
        session.remember_open(open);
        assert!(
            session.trees().is_empty() && session.opens.lock().is_empty(),
            "ended objects are not entered"
        );
    }
}
