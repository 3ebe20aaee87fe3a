//! The work that a state change leaves to the server, outside the lock, as data.

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::{
    FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionGlobalId, SessionId, TreeGlobalId, TreeId,
};

use crate::open::Open;
use crate::{AwaitedBreak, LogId, OpenTarget, Removal, RequestKey, Rest, Shell};

/// The work that is to be done outside the lock. All changes return this one type, so that their work can be merged.
///
/// The order of the fields is the order of the work: breaks are sent before anything that could delay them, and handles
/// are released before requests that wait for them are tried again.
#[must_use = "the work in it is lost unless it is applied"]
pub struct Effects<S: Shell> {
    /// Breaks to send.
    pub breaks: Vec<BreakNotice<S>>,
    /// Handles to release, in order.
    pub dropped: Vec<Dropped<S>>,
    /// Names to remove, in order; their opens have been released before.
    pub removals: Vec<Removal<S>>,
    /// Waiting requests that fail and are answered now.
    pub cancelled: Vec<Cancelled>,
    /// Waiting requests that have ended and whose connection is lost.
    pub forgotten: Vec<RequestKey>,
    /// Waiting lock requests that now hold their lock.
    pub granted: Vec<RequestKey>,
    /// Requests to try again: they waited for breaks, or for a conflicting lock here although they need their lock
    /// outside of the registry, too.
    pub retry: Vec<RequestKey>,
    /// Tree connects that ended.
    pub trees_ended: Vec<TreeEnded<S>>,
    /// Sessions that ended.
    pub sessions_ended: Vec<SessionEnded<S>>,
    /// Connections to tear down.
    pub disconnected: Vec<S::Connection>,
    /// Work that is left, for [`State::go_on`](crate::State::go_on), after the other fields are done.
    pub rest: Vec<Rest>,
    /// The logs with changes that no request waits for, such as the end of opens.
    pub logs: BTreeSet<LogId>,
    /// The work that this hold of the lock has done already, as a number of opens and locks that ended.
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
            logs: BTreeSet::new(),
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
            && self.logs.is_empty()
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
        self.logs.extend(later.logs);
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
    /// The connections on which the notification may be sent, the best first; one is enough. For a lease they need not
    /// belong to the session.
    pub connections: Vec<S::Connection>,
    /// The session whose keys seal the notification.
    pub session: S::Session,
    /// True if the notification must be sealed: `Session.EncryptData` or `Share.EncryptData` of the open is set.
    pub sealed: bool,
    /// The id of the session.
    pub session_id: SessionId,
    /// The oplock or lease that is broken.
    pub kind: BreakKind,
    /// The break that the client has to acknowledge; `None` if no acknowledgment is required.
    pub awaited: Option<AwaitedBreak>,
}

/// The contents of a break notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakKind {
    /// An oplock break (MS-SMB2 2.2.23.1).
    Oplock {
        /// The open that holds the oplock.
        file_id: FileId,
        /// The new level.
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

/// An open that has ended, whose handle the server releases outside the lock.
pub struct Dropped<S: Shell> {
    /// `Open.FileGlobalId`.
    pub global_id: FileGlobalId,
    /// `Open.FileId` and `Open.DurableFileId`.
    pub file_id: FileId,
    /// The server's part of the open.
    pub attached: S::Open,
    /// The file or pipe that was open.
    pub target: OpenTarget,
    /// The share of the open.
    pub share: Arc<str>,
    /// The path in the share at the end of the open.
    pub path: Arc<str>,
    /// True if a delete was pending and this was the last open of its link or stream (MS-FSA 2.1.5.5): there are
    /// `removals`.
    pub delete_on_close_now: bool,
    /// The names and streams to remove now, in order.
    pub removals: Vec<Removal<S>>,
    /// The reason of the end.
    pub reason: CloseReason,
}

impl<S: Shell> Dropped<S> {
    /// An open that has left all tables, with the names and streams that its end removes.
    pub(crate) fn of(
        id: FileGlobalId,
        open: Open<S>,
        removals: Vec<Removal<S>>,
        reason: CloseReason,
    ) -> Self {
        Self {
            global_id: id,
            file_id: open.file_id,
            attached: open.attached,
            target: open.target,
            share: open.origin.share_name.clone(),
            path: open.path,
            delete_on_close_now: !removals.is_empty(),
            removals,
            reason,
        }
    }
}

/// The reason of an open's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client's CLOSE (MS-SMB2 3.3.5.10).
    ClientClose = 1,
    /// The tree connect ended (MS-SMB2 3.3.5.8).
    TreeDisconnect = 2,
    /// The session ended by LOGOFF (MS-SMB2 3.3.5.6).
    Logoff = 3,
    /// The connection was lost (MS-SMB2 3.3.7.1).
    ConnectionLost = 4,
    /// An administrator closed the open or its session (MS-SMB2 3.3.4.17, MS-SRVS 3.1.4.2).
    Administrator = 5,
    /// The open was durable, and its client did not reclaim it in time (MS-SMB2 3.3.6.2) or there were too many newer
    /// orphans.
    DurableExpired = 6,
    /// The open was durable, without a client, and conflicted with another open.
    DurableConflict = 7,
    /// The share was removed (MS-SMB2 3.3.4.14).
    ShareRemoved = 8,
    /// The session expired, or a newer one of the same client replaced it.
    SessionReplaced = 9,
    /// The server shuts down (MS-SMB2 3.3.4.22).
    Shutdown = 10,
    /// The server granted the open and could not complete the CREATE.
    CreateFailed = 11,
    /// Another instance of the application replaced it (MS-SMB2 3.3.5.9.13).
    FailedOver = 12,
    /// The server stops, and its log keeps the open for the next start.
    Suspended = 13,
}

impl CloseReason {
    /// Every reason, in order of its number.
    pub const ALL: [Self; 13] = [
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
        Self::Suspended,
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
    /// The last connection was lost (MS-SMB2 3.3.7.1).
    ConnectionLost = 2,
    /// An administrator ended it (MS-SRVS 3.1.4.6).
    Administrator = 3,
    /// The client set up a new session that names this one as previous (MS-SMB2 3.3.5.5.3).
    PreviousSession = 4,
    /// The authentication expired and was not renewed (MS-SMB2 3.3.6.3), or the session was idle for too long or made
    /// room for another.
    Expired = 5,
    /// The authentication failed or was not finished in time (MS-SMB2 3.3.5.5.3).
    LogonFailed = 6,
    /// The server shuts down (MS-SMB2 3.3.4.22).
    Shutdown = 7,
}

impl EndReason {
    /// The reason for which the opens of the session end.
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

/// A waiting request that the server answers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The request.
    pub request: RequestKey,
    /// The outcome that determines the answer.
    pub outcome: Outcome,
}

/// The outcome of a waiting request that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request was cancelled: STATUS_CANCELLED.
    Cancelled,
    /// The open that requested the lock ended: STATUS_RANGE_NOT_LOCKED, as Windows answers.
    HandleClosed,
    /// The session or tree connect of the request ended.
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
    /// The connections that the session was bound to, which have to forget it.
    pub connections: Vec<S::Connection>,
    /// The reason of the end.
    pub reason: EndReason,
}
