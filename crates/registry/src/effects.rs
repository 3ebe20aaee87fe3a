//! The duties of the server after a state change, outside the lock, as data.

use std::sync::Arc;

use wire::{
    FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionGlobalId, SessionId, TreeGlobalId, TreeId,
};

use crate::{AwaitedBreak, OpenTarget, Removal, RequestKey, Rest, Shell};

/// The work that is due outside the lock. One type for every change, so that they can be merged.
///
/// The order of the fields is the order in which to act: breaks go out before anything that could
/// delay them, handles are released before those who wait for them try again.
#[must_use = "breaks, releases and answers get lost with it"]
pub struct Effects<S: Shell> {
    /// Breaks to send.
    pub breaks: Vec<BreakNotice<S>>,
    /// Handles to release, in order.
    pub dropped: Vec<Dropped<S>>,
    /// Names to remove whose opens have been released before, in order.
    pub removals: Vec<Removal<S>>,
    /// Waiting requests to answer now, unsuccessfully.
    pub cancelled: Vec<Cancelled>,
    /// Waiting requests that are over and whose connection is lost.
    pub forgotten: Vec<RequestKey>,
    /// Waiting lock requests that hold their lock now.
    pub granted: Vec<RequestKey>,
    /// Requests that waited for breaks, or for what is in the way of a lock that they must have outside as well, and
    /// should try again.
    pub retry: Vec<RequestKey>,
    /// Tree connects that ended.
    pub trees_ended: Vec<TreeEnded<S>>,
    /// Sessions that ended.
    pub sessions_ended: Vec<SessionEnded<S>>,
    /// Connections to tear down.
    pub disconnected: Vec<S::Connection>,
    /// Work that is left: [`State::go_on`](crate::State::go_on) does it, once the other fields are done.
    pub rest: Vec<Rest>,
    /// The work that this hold of the lock has done already, in opens and locks that ended.
    pub(crate) spent: usize,
}

impl<S: Shell> Effects<S> {
    /// No work.
    pub const fn none() -> Self {
        Self {
            breaks: Vec::new(),
            dropped: Vec::new(),
            removals: Vec::new(),
            cancelled: Vec::new(),
            forgotten: Vec::new(),
            granted: Vec::new(),
            retry: Vec::new(),
            trees_ended: Vec::new(),
            sessions_ended: Vec::new(),
            disconnected: Vec::new(),
            rest: Vec::new(),
            spent: 0,
        }
    }

    /// True if there is no work.
    pub fn is_empty(&self) -> bool {
        self.breaks.is_empty()
            && self.dropped.is_empty()
            && self.removals.is_empty()
            && self.cancelled.is_empty()
            && self.forgotten.is_empty()
            && self.granted.is_empty()
            && self.retry.is_empty()
            && self.trees_ended.is_empty()
            && self.sessions_ended.is_empty()
            && self.disconnected.is_empty()
            && self.rest.is_empty()
    }

    /// Adds the work of a later change.
    pub fn merge(&mut self, later: Self) {
        self.breaks.extend(later.breaks);
        self.dropped.extend(later.dropped);
        self.removals.extend(later.removals);
        self.cancelled.extend(later.cancelled);
        self.forgotten.extend(later.forgotten);
        self.granted.extend(later.granted);
        self.retry.extend(later.retry);
        self.trees_ended.extend(later.trees_ended);
        self.sessions_ended.extend(later.sessions_ended);
        self.disconnected.extend(later.disconnected);
        self.rest.extend(later.rest);
        self.spent = self.spent.saturating_add(later.spent);
    }
}

impl<S: Shell> Default for Effects<S> {
    fn default() -> Self {
        Self::none()
    }
}

/// A break notification to send (MS-SMB2 3.3.4.6, 3.3.4.7).
pub struct BreakNotice<S: Shell> {
    /// The connections it may be sent on, the best first; one is enough. For a lease they need not be the
    /// session's.
    pub connections: Vec<S::Connection>,
    /// The session whose keys seal it.
    pub session: S::Session,
    /// The notification must be sealed: `Session.EncryptData` or `Share.EncryptData` of the open is set.
    pub sealed: bool,
    /// That session's id.
    pub session_id: SessionId,
    /// The oplock or lease that is broken.
    pub kind: BreakKind,
    /// The break to be acknowledged; `None` if no acknowledgment is required.
    pub awaited: Option<AwaitedBreak>,
}

/// The contents of a break notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakKind {
    /// An oplock break (MS-SMB2 2.2.23.1).
    Oplock {
        /// The open that holds it.
        file_id: FileId,
        /// The level it is broken to.
        level: OplockLevel,
    },
    /// A lease break (MS-SMB2 2.2.23.2).
    Lease {
        /// `LeaseKey`.
        key: Guid,
        /// `CurrentLeaseState`.
        current: LeaseState,
        /// `NewLeaseState`.
        new: LeaseState,
        /// SMB2_NOTIFY_BREAK_LEASE_FLAG_ACK_REQUIRED.
        ack_required: bool,
        /// `NewEpoch`: zero for a lease of version 1.
        epoch: u16,
    },
}

/// An open that has ended: its handle is to be released outside the lock.
pub struct Dropped<S: Shell> {
    /// `Open.FileGlobalId`.
    pub global_id: FileGlobalId,
    /// `Open.FileId` and `Open.DurableFileId`.
    pub file_id: FileId,
    /// The server's part of the open.
    pub attached: S::Open,
    /// The file or pipe that was open.
    pub target: OpenTarget,
    /// The share it was in.
    pub share: Arc<str>,
    /// Its path in the share when it ended.
    pub path: Arc<str>,
    /// A delete was pending and this was the last open of its link or stream (MS-FSA 2.1.5.5): there are `removals`.
    pub delete_on_close_now: bool,
    /// The names and streams to remove now, in order.
    pub removals: Vec<Removal<S>>,
    /// The reason of its end.
    pub reason: CloseReason,
}

/// The reason of an open's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client's CLOSE (MS-SMB2 3.3.5.10).
    ClientClose = 1,
    /// Its tree connect ended (MS-SMB2 3.3.5.8).
    TreeDisconnect = 2,
    /// Its session ended by LOGOFF (MS-SMB2 3.3.5.6).
    Logoff = 3,
    /// Its connection was lost (MS-SMB2 3.3.7.1).
    ConnectionLost = 4,
    /// An administrator closed it or its session (MS-SMB2 3.3.4.17, MS-SRVS 3.1.4.2).
    Administrator = 5,
    /// It was durable and its client did not come back in time (MS-SMB2 3.3.6.2), or too many newer ones were left
    /// behind.
    DurableExpired = 6,
    /// It was durable, without a client, and in the way of another open.
    DurableConflict = 7,
    /// Its share was removed (MS-SMB2 3.3.4.14).
    ShareRemoved = 8,
    /// Its session expired or was replaced by a newer one of the same client.
    SessionReplaced = 9,
    /// The server shuts down (MS-SMB2 3.3.4.22).
    Shutdown = 10,
    /// The server granted it and could not carry the CREATE through.
    CreateFailed = 11,
    /// Another instance of its application has taken its place (MS-SMB2 3.3.5.9.13).
    FailedOver = 12,
}

impl CloseReason {
    /// Every reason, in order of its number.
    pub const ALL: [Self; 12] = [
        Self::ClientClose,
        Self::TreeDisconnect,
        Self::Logoff,
        Self::ConnectionLost,
        Self::Administrator,
        Self::DurableExpired,
        Self::DurableConflict,
        Self::ShareRemoved,
        Self::SessionReplaced,
        Self::Shutdown,
        Self::CreateFailed,
        Self::FailedOver,
    ];

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }
}

/// The reason of a session's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// LOGOFF (MS-SMB2 3.3.5.6).
    Logoff = 1,
    /// Its last connection was lost (MS-SMB2 3.3.7.1).
    ConnectionLost = 2,
    /// An administrator ended it (MS-SRVS 3.1.4.6).
    Administrator = 3,
    /// Its client came back with a new session that names this one as previous (MS-SMB2 3.3.5.5.3).
    PreviousSession = 4,
    /// Its authentication expired for good (MS-SMB2 3.3.6.3).
    Expired = 5,
    /// Its authentication failed before it became valid (MS-SMB2 3.3.5.5.3).
    LogonFailed = 6,
    /// The server shuts down (MS-SMB2 3.3.4.22).
    Shutdown = 7,
}

impl EndReason {
    /// The reason of the opens of a session that ends for this reason.
    pub const fn of_opens(self) -> CloseReason {
        match self {
            Self::Logoff => CloseReason::Logoff,
            Self::ConnectionLost => CloseReason::ConnectionLost,
            Self::Administrator => CloseReason::Administrator,
            Self::PreviousSession | Self::Expired | Self::LogonFailed => CloseReason::SessionReplaced,
            Self::Shutdown => CloseReason::Shutdown,
        }
    }

    /// True if durable opens outlive a session that ends for this reason.
    pub const fn keeps_durable_opens(self) -> bool {
        matches!(self, Self::Logoff | Self::ConnectionLost | Self::PreviousSession | Self::Expired)
    }
}

/// A waiting request that is to be answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The request.
    pub request: RequestKey,
    /// The outcome to answer with.
    pub outcome: Outcome,
}

/// The outcome of a waiting request that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was cancelled: STATUS_CANCELLED.
    Cancelled,
    /// The open whose lock it wanted ended: STATUS_RANGE_NOT_LOCKED, as Windows answers.
    HandleClosed,
    /// The session or tree connect it belongs to ended.
    SessionEnded,
}

/// A tree connect that has ended.
pub struct TreeEnded<S: Shell> {
    /// `TreeConnect.TreeGlobalId`.
    pub global_id: TreeGlobalId,
    /// `TreeConnect.TreeId`.
    pub tree_id: TreeId,
    /// The session's id.
    pub session_id: SessionId,
    /// The server's part of the session.
    pub session: S::Session,
    /// The server's part of the tree connect.
    pub attached: S::Tree,
}

/// A session that has ended.
pub struct SessionEnded<S: Shell> {
    /// `Session.SessionGlobalId`.
    pub global_id: SessionGlobalId,
    /// `Session.SessionId`.
    pub session_id: SessionId,
    /// The server's part of the session.
    pub attached: S::Session,
    /// The connections it was bound to, which are to forget it.
    pub connections: Vec<S::Connection>,
    /// The reason of its end.
    pub reason: EndReason,
}
