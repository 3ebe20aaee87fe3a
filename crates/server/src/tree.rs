//! Shares and tree connects as the shell sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::{AccessMask, TreeId};

use crate::config::ShareSettings;

/// What a share gives access to.
#[derive(Clone)]
pub(crate) enum ShareContent {
    /// Files.
    Disk(Arc<dyn vfs::Backend>),
    /// The named pipes: IPC$.
    Pipes,
}

/// A share that is being served.
pub(crate) struct Share {
    pub(crate) settings: ShareSettings,
    pub(crate) content: ShareContent,
}

/// A tree connect; attached to the registry's (MS-SMB2 3.3.1.9).
pub(crate) struct Tree {
    id: TreeId,
    pub(crate) share: Arc<Share>,
    /// `TreeConnect.MaximalAccess`.
    pub(crate) maximal_access: AccessMask,
    ended: AtomicBool,
    /// Whether listings are for one of Apple's clients.
    for_apple: AtomicBool,
}

impl Tree {
    /// A tree connect with the id the registry gave it.
    pub(crate) fn new(id: TreeId, share: Arc<Share>, maximal_access: AccessMask) -> Self {
        let (ended, for_apple) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { id, share, maximal_access, ended, for_apple }
    }

    /// `TreeConnect.TreeId`.
    pub(crate) fn id(&self) -> TreeId {
        self.id
    }

    /// Whether requests on it must be sealed.
    pub(crate) fn must_seal(&self) -> bool {
        self.share.settings.encrypt
    }

    /// The share's files; none for IPC$.
    pub(crate) fn backend(&self) -> Option<&Arc<dyn vfs::Backend>> {
        match &self.share.content {
            ShareContent::Disk(backend) => Some(backend),
            ShareContent::Pipes => None,
        }
    }

    /// Whether listings are for one of Apple's clients.
    pub(crate) fn lists_for_apple(&self) -> bool {
        self.for_apple.load(Ordering::Relaxed)
    }

    /// Notes who listings are for.
    pub(crate) fn list_for_apple(&self, wanted: bool) {
        self.for_apple.store(wanted, Ordering::Relaxed);
    }

    /// Whether the tree connect is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Marks the tree connect as over.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}
