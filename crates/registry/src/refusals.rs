//! Recent refusals: the user, the request and the conflicting open.

use std::collections::VecDeque;
use std::sync::Arc;

use wire::security::Sid;
use wire::{AccessMask, FileGlobalId, SessionGlobalId, ShareAccess};

use crate::events::EventKind;
use crate::{Shell, State, Time, UserKind};

/// The refusal of a request because of another open or of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the refusal: rising by one, from one.
    pub number: u64,
    /// The time of the refusal.
    pub time: Time,
    /// The reason of the refusal.
    pub kind: RefusalKind,
    /// The user of the request.
    pub user: Arc<str>,
    /// The kind of user.
    pub user_kind: UserKind,
    /// The SID of a user of a domain.
    pub user_sid: Option<Sid>,
    /// The domain or server that the client named.
    pub domain: Arc<str>,
    /// The client of the request.
    pub client: Arc<str>,
    /// The session; `None` for an orphan, whose client is gone.
    pub session: Option<SessionGlobalId>,
    /// The share.
    pub share: Arc<str>,
    /// The path in the share.
    pub path: Arc<str>,
    /// The requested access.
    pub access: AccessMask,
    /// The access that the request would share with others.
    pub share_access: ShareAccess,
    /// The requested range; `None` for an open.
    pub range: Option<(u64, u64)>,
    /// The open that conflicted, as it was then; it may have ended.
    pub blocker: Option<RefusalOpen>,
}

/// The reasons of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// STATUS_SHARING_VIOLATION.
    SharingViolation,
    /// STATUS_DELETE_PENDING.
    DeletePending,
    /// STATUS_LOCK_NOT_GRANTED, or a wait for a lock.
    LockConflict,
    /// STATUS_FILE_LOCK_CONFLICT.
    IoConflict,
    /// The lease key is in use for another file.
    LeaseKeyInUse,
    /// A limit was reached.
    LimitReached,
    /// STATUS_SHARING_PAUSED: the share, the client or the server is drained.
    Draining,
    /// STATUS_SHARING_VIOLATION: the path is held.
    Held,
}

/// The open that conflicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalOpen {
    /// The id of the open, for `net file`.
    pub global_id: FileGlobalId,
    /// The user of the open.
    pub user: Arc<str>,
    /// The client of the open.
    pub client: Arc<str>,
    /// The path of the open.
    pub path: Arc<str>,
    /// The granted access of the open.
    pub access: AccessMask,
    /// The access that the open shares with others.
    pub share_access: ShareAccess,
}

pub(crate) struct RefusalLog {
    ring: VecDeque<Arc<Refusal>>,
    capacity: usize,
    last: u64,
}

impl RefusalLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { ring: VecDeque::new(), capacity, last: 0 }
    }

    fn push(&mut self, refusal: Refusal) -> Arc<Refusal> {
        self.last = self.last.saturating_add(1);
        let refusal = Arc::new(Refusal { number: self.last, ..refusal });
        if self.capacity != 0 {
            if self.ring.len() >= self.capacity {
                self.ring.pop_front();
            }
            self.ring.push_back(refusal.clone());
        }
        refusal
    }
}

impl<S: Shell> State<S> {
    /// The refusals that are remembered, the latest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.refusals.ring.iter().rev().map(|it| Refusal::clone(it)).collect()
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        let refusal = self.refusals.push(refusal);
        self.events.push(refusal.time, EventKind::Refused { refusal });
    }

    pub(crate) fn refusal_open(&self, id: FileGlobalId) -> Option<RefusalOpen> {
        self.opens.get(&id).map(|open| RefusalOpen {
            global_id: id,
            user: open.owner.user.clone(),
            client: open.owner.client.clone(),
            path: open.path.clone(),
            access: open.access,
            share_access: open.share_access,
        })
    }
}
