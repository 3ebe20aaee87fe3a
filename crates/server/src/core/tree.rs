//! Shares and tree connects outside of the registry.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use auth::IdentityKind;
use registry::FileKey;
use wire::create_context::AaplServerCaps;
use wire::{AccessMask, FileAttributes, TreeId};

use crate::core::bulkhead::Bulkhead;
use crate::core::config::{GrantRight, ShareSettings};
use crate::core::directory::{Directory, Files};
use crate::core::domain::Member;
use crate::core::files::notify::WatchRoot;
use crate::core::forced_identity::ForcedIdentity;
use crate::core::handle_logs::{OpenLog, ShareLog};
use crate::core::server::Server;
use crate::core::session::User;

/// The contents of a share.
#[derive(Clone)]
pub(crate) enum ShareContent {
    /// Files.
    Disk(Arc<Directory>),
    /// The named pipes: IPC$.
    Pipes,
}

/// A share in service.
pub(crate) struct Share {
    pub(crate) settings: ShareSettings,
    pub(crate) content: ShareContent,
    /// The bulkhead of the calls into its files, which may hang.
    pub(crate) bulkhead: Arc<Bulkhead>,
    /// The log of opens that outlive the server; `None` if the share keeps none.
    pub(crate) log: Option<Arc<ShareLog>>,
}

impl Share {
    /// The directory of the share; `None` for IPC$.
    pub(crate) fn directory(&self) -> Option<&Arc<Directory>> {
        match &self.content {
            ShareContent::Disk(directory) => Some(directory),
            ShareContent::Pipes => None,
        }
    }

    /// True if the share has a directory with this path.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.directory().is_some_and(|directory| directory.is_at(path))
    }

    /// The access that the share itself allows the user; `None` if the user may not connect.
    pub(crate) fn access_of(&self, server: &Server, user: &User) -> Option<AccessMask> {
        let settings = &self.settings;
        if let ShareContent::Pipes = self.content {
            return Some(AccessMask::FILE_ALL);
        }
        let member = server.member(&server.settings(), user);
        let listed = settings.users.is_empty() || settings.users.iter().any(|name| member.is(name));
        let admitted = match user.kind {
            IdentityKind::User => listed,
            IdentityKind::Guest | IdentityKind::Anonymous => settings.guest,
        };
        let granted = granted(settings, &member).filter(|_| admitted)?;
        Some(if settings.read_only { granted & GrantRight::Read.access() } else { granted })
    }
}

/// A tree connect, which is attached to the registry's tree connect (MS-SMB2 3.3.1.9).
pub(crate) struct Tree {
    id: TreeId,
    pub(crate) share: Arc<Share>,
    /// The share's directory at the time of the tree connect; `None` for IPC$.
    files: Option<Arc<Files>>,
    /// The directory for watches, once it is needed.
    pub(crate) watch_root: OnceLock<Arc<WatchRoot>>,
    /// `TreeConnect.MaximalAccess`, which an administrator can reduce.
    maximal_access: AtomicU32,
    /// The address of the client that connected.
    pub(crate) peer: IpAddr,
    /// The identity of the user in the share's files; `None` if it is the user's own.
    pub(crate) forced: Option<ForcedIdentity>,
    /// The log of opens that outlive the server.
    log: Option<Arc<OpenLog>>,
    /// True if the client got a handle that the log keeps.
    has_kept_opens: AtomicBool,
    ended: AtomicBool,
    /// The Apple extensions that were announced to the client.
    apple: AtomicU64,
}

impl Tree {
    /// Creates a tree connect with an id of the registry.
    pub(crate) fn new(
        id: TreeId,
        share: Arc<Share>,
        files: Option<Arc<Files>>,
        (maximal_access, forced): (AccessMask, Option<ForcedIdentity>),
        peer: IpAddr,
    ) -> Self {
        let (ended, apple) = (AtomicBool::new(false), AtomicU64::new(0));
        let watch_root = OnceLock::new();
        let maximal_access = AtomicU32::new(maximal_access.0);
        let has_kept_opens = AtomicBool::new(false);
        Self {
            id,
            share,
            files,
            watch_root,
            maximal_access,
            peer,
            forced,
            log: None,
            has_kept_opens,
            ended,
            apple,
        }
    }

    /// `TreeConnect.MaximalAccess`.
    pub(crate) fn maximal_access(&self) -> AccessMask {
        AccessMask(self.maximal_access.load(Ordering::Acquire))
    }

    /// Takes rights away that are not among these. Opens keep what they have.
    pub(crate) fn reduce_access(&self, to: AccessMask) {
        self.maximal_access.fetch_and(to.0, Ordering::AcqRel);
    }

    /// The tree connect with the log of its share.
    pub(crate) fn with_log(self, log: Option<Arc<OpenLog>>) -> Self {
        Self { log, ..self }
    }

    /// The log of opens that outlive the server; `None` if the share keeps none.
    pub(crate) fn log(&self) -> Option<&Arc<OpenLog>> {
        self.log.as_ref()
    }

    /// True if clients may have persistent handles (`Share.IsCA`, MS-SMB2 3.3.1.6).
    pub(crate) fn is_continuous(&self) -> bool {
        self.log.is_some() && self.share.settings.continuous
    }

    /// Records that the client got a durable or persistent handle.
    pub(crate) fn note_durable(&self) {
        if self.log.is_some() {
            self.has_kept_opens.store(true, Ordering::Relaxed);
        }
    }

    /// True if the share was given up while the client had handles that the next owner keeps for it.
    pub(crate) fn has_moved(&self) -> bool {
        self.has_kept_opens.load(Ordering::Relaxed) && self.is_fenced()
    }

    /// `TreeConnect.TreeId`.
    pub(crate) fn id(&self) -> TreeId {
        self.id
    }

    /// True if requests must be encrypted.
    pub(crate) fn must_seal(&self) -> bool {
        self.share.settings.encrypt
    }

    /// True if the share was given up, because another server of the cluster may own it by now.
    pub(crate) fn is_fenced(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.is_fenced())
    }

    /// The share's files; `None` for IPC$.
    pub(crate) fn backend(&self) -> Option<&Arc<dyn vfs::Backend>> {
        self.files.as_ref()?.backend()
    }

    /// The path of the share's directory on this machine.
    pub(crate) fn path(&self) -> &Path {
        self.files.as_ref().map_or(&self.share.settings.path, |files| files.path())
    }

    /// The directory that paths begin at, which distinguishes it from other directories of the share.
    pub(crate) fn root(&self) -> FileKey {
        self.files.as_ref().map_or(FileKey::default(), |files| files.root())
    }

    /// The Apple extensions that were announced to the client; empty for other clients.
    pub(crate) fn apple(&self) -> AaplServerCaps {
        AaplServerCaps(self.apple.load(Ordering::Relaxed))
    }

    /// Records extensions that are announced to the client.
    pub(crate) fn told_apple(&self, caps: AaplServerCaps) {
        self.apple.fetch_or(caps.0, Ordering::Relaxed);
    }

    /// The user of the session, as the share's files see it.
    pub(crate) fn user_of_files(&self, server: &Server, user: Arc<User>) -> Arc<User> {
        match &self.forced {
            Some(forced) => forced.of_user(server, user),
            None => user,
        }
    }

    /// The attributes that clients see of a file with this name.
    pub(crate) fn shown_attributes(&self, name: Option<&str>, attributes: FileAttributes) -> FileAttributes {
        let rules = self.share.settings.files.names.as_ref();
        let added = rules.zip(name).map_or(FileAttributes::NONE, |(rules, name)| rules.attributes_of(name));
        if added.is_none() { attributes } else { attributes.without(FileAttributes::NORMAL) | added }
    }

    /// True if the tree connect has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Marks the tree connect as ended.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// The highest right that a grant gives the user; full access if there are no grants. Guests do not have the grants of
/// accounts whose names they claim.
fn granted(settings: &ShareSettings, user: &Member<'_>) -> Option<AccessMask> {
    if settings.grants.is_empty() {
        return Some(AccessMask::FILE_ALL);
    }
    let right = settings.grants.iter().filter(|grant| grant.is_for(user)).map(|grant| grant.right).max()?;
    Some(right.access())
}
