//! The inputs and outputs of a node.

use std::time::Duration;

use crate::gate::WriteGate;
use crate::ids::{Attempt, Generation, Incarnation, LeaseId, NodeName, RequestId, Revision, ShareKey};
use crate::keys::Key;
use crate::records::Malformed;

/// A key of etcd with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path, with the prefix.
    pub path: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision at which the key was created.
    pub created: Revision,
    /// The revision at which it was last changed.
    pub modified: Revision,
    /// The lease with which it ends.
    pub lease: Option<LeaseId>,
}

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was deleted, or its lease ended.
    Deleted {
        /// The path, with the prefix.
        path: String,
    },
    /// The key was written.
    Written(Entry),
}

/// An input of a node.
///
/// The shell answers each request once, at the latest when its own time limit is over. Late and repeated answers do no
/// harm: a node ignores answers to requests that it does not wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A command of an administrator.
    Admin {
        /// The number for [`Action::AnswerAdmin`].
        ticket: u64,
        /// The command.
        command: Command,
    },
    /// The fencing hook has ended.
    Fenced {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// True if the hook reports that the former owner can no longer write.
        done: bool,
    },
    /// The answer to [`Action::PrepareHandover`].
    HandoverPrepared {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
    },
    /// The answer to [`Action::KeepAlive`].
    KeepAliveAnswered {
        /// The request.
        request: RequestId,
        /// The time to live of the answer. Zero if the lease does not exist.
        ttl: Duration,
    },
    /// The answer to [`Action::Grant`].
    LeaseGranted {
        /// The request.
        request: RequestId,
        /// The lease.
        lease: LeaseId,
        /// The time to live of the lease.
        ttl: Duration,
    },
    /// A [`Action::Grant`] or [`Action::Read`] failed, or its time limit is over.
    RequestFailed {
        /// The request.
        request: RequestId,
    },
    /// The answer to [`Action::Read`].
    Snapshot {
        /// The request.
        request: RequestId,
        /// The revision at which the entries were read, all at the same.
        revision: Revision,
        /// The id of etcd's own cluster, which differs after a restoration from a backup.
        store: u64,
        /// All entries below the prefix.
        entries: Vec<Entry>,
    },
    /// The log of the share has the stamp of a later owner than `generation` of [`Action::OpenStorage`], or of another
    /// one with that generation. The lock is held and nothing was written.
    StorageAhead {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The generation in the log.
        found: Generation,
    },
    /// Another process has the lock of the share's log.
    StorageBusy {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The last owner by the stamp in the log, if it can be read.
        holder: Option<Stamp>,
    },
    /// The storage cannot be used: the answer to [`Action::OpenStorage`], when the lock is not held, or the end of a
    /// storage that was served, because the lock is lost or the fencing hook of another node has cut this one off.
    StorageFailed {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The reason, for people.
        reason: String,
    },
    /// The lock of the share's log is held, and the log has the stamp of this owner.
    StorageOpened {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
    },
    /// The answer to [`Action::StopServing`]: nothing of this attempt writes any more, the storage is closed, and its
    /// lock is released.
    Stopped {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
    },
    /// Time has passed.
    Tick,
    /// The answer to [`Action::Transact`].
    TransactionAnswered {
        /// The request.
        request: RequestId,
        /// The outcome.
        outcome: Outcome,
    },
    /// Changes, in order, all of those up to `revision` that follow the last batch.
    WatchBatch {
        /// The watch.
        watch: u64,
        /// The revision that is complete with this batch.
        revision: Revision,
        /// The changes.
        changes: Vec<Change>,
    },
    /// The watch ended, or its next changes are compacted.
    WatchLost {
        /// The watch.
        watch: u64,
    },
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All conditions were met and all writes done.
    Done {
        /// The revision of the writes.
        revision: Revision,
    },
    /// A condition was not met, so that nothing was written.
    Failed {
        /// The revision at which the conditions were checked.
        revision: Revision,
    },
    /// There was an error or no answer. The transaction may have been done, may be done later, or never.
    Unknown,
}

/// The stamp of an owner in the log of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The owner.
    pub node: NodeName,
    /// The membership of the owner.
    pub incarnation: Incarnation,
    /// The generation of the owner.
    pub generation: Generation,
}

/// A command of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Takes all shares from a node, and gives it none.
    Drain(NodeName),
    /// Takes all shares from this node and ends its membership.
    Leave,
    /// Moves a share.
    Move {
        /// The share.
        share: ShareKey,
        /// The next owner of the share.
        target: NodeName,
    },
    /// Ends [`Command::Drain`].
    Undrain(NodeName),
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminOutcome {
    /// The request is in etcd; nodes carry it out. [`Command::Leave`] has ended.
    Accepted,
    /// The cluster has changed at the same time: look again.
    Conflict,
    /// This node is not a member at present.
    NotJoined,
    /// etcd did not answer: the command may be carried out or not.
    Unknown,
    /// There is no such node, or it is not a member at present.
    UnknownNode,
    /// There is no such share.
    UnknownShare,
    /// The share's storage cannot be reached from this node.
    Unreachable,
}

/// An output of a node. The shell carries them out in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Answers [`Event::Admin`].
    AnswerAdmin {
        /// The number of the command.
        ticket: u64,
        /// The answer.
        outcome: AdminOutcome,
    },
    /// Requests a lease.
    Grant {
        /// The request.
        request: RequestId,
        /// The time to live.
        ttl: Duration,
    },
    /// Renews the lease.
    KeepAlive {
        /// The request.
        request: RequestId,
        /// The lease.
        lease: LeaseId,
    },
    /// Takes the exclusive lock of the share's log, reads the stamp, and writes the new one if that is later. Answered by
    /// [`Event::StorageOpened`], [`Event::StorageAhead`], [`Event::StorageBusy`] or [`Event::StorageFailed`]. A second
    /// one with the same attempt has a higher generation and is for a lock that is held already.
    OpenStorage {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The stamp of the owner.
        stamp: Stamp,
    },
    /// Prepares a share for another owner, or for its end if it is deleted, while it is still served: clients write back
    /// what they cache.
    /// Answered by [`Event::HandoverPrepared`], within some seconds; the share may be stopped before.
    PrepareHandover {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
    },
    /// Reads all entries below the prefix, linearizable and at one revision.
    Read {
        /// The request.
        request: RequestId,
    },
    /// Tells people.
    Report(Report),
    /// Ends a lease. There is no answer.
    Revoke {
        /// The lease.
        lease: LeaseId,
    },
    /// Runs the operator's hook that takes the storage of the share away from the holder of its lock. Without a hook the
    /// answer is `done: false`.
    RunFence {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The last owner by the stamp in the log.
        holder: Option<Stamp>,
    },
    /// Serves the share. The data path asks the gate before each change.
    StartServing {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The permission.
        gate: WriteGate,
    },
    /// Ends the attempt, however far it has come: no new work, work in progress ends or is abandoned, the log is closed
    /// and its lock released. Answered by [`Event::Stopped`].
    StopServing {
        /// The share.
        share: ShareKey,
        /// The attempt.
        attempt: Attempt,
        /// The reason.
        why: StopReason,
    },
    /// Carries out a transaction.
    Transact {
        /// The request.
        request: RequestId,
        /// The transaction.
        transaction: Transaction,
    },
    /// Starts a watch below the prefix, which replaces the one before.
    Watch {
        /// The number of the watch.
        watch: u64,
        /// The first revision.
        from: Revision,
    },
}

/// The reason for the end of an attempt to serve a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The write permission has ended: tree connects end and files are closed, at once.
    Fence,
    /// The share goes to another node: leases are broken, and handles are handed over through the log.
    Handover,
    /// The share is no longer this node's, or is deleted.
    Lost,
    /// The share is given up without a next owner.
    Release,
}

/// A transaction of etcd: all writes if all conditions are met, else nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The conditions.
    pub compares: Vec<Compare>,
    /// The writes.
    pub writes: Vec<Write>,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent(Key),
    /// The key was created at that revision and exists since.
    Created(Key, Revision),
    /// The key was last changed at that revision.
    Modified(Key, Revision),
    /// The key exists.
    Present(Key),
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Deletes the key.
    Delete(Key),
    /// Writes the key.
    Put {
        /// The key.
        key: Key,
        /// The value.
        value: Vec<u8>,
        /// The lease with which the key ends.
        lease: Option<LeaseId>,
    },
}

/// A message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The keys below the prefix are those of another cluster, or of another version of this program. No share is
    /// served.
    ForeignStore(SchemaFault),
    /// The node has stopped all shares.
    Fenced(FenceReason),
    /// A key has a value that cannot be used. It is ignored; a share with such an owner stays with it.
    IgnoredKey {
        /// The path.
        path: String,
        /// The reason.
        why: Malformed,
    },
    /// Another member has this node's name for longer than a lease lasts after its end.
    NameTaken {
        /// The incarnation of the other.
        by: Incarnation,
    },
    /// A former owner still has the lock of a share's storage.
    StorageBusy {
        /// The share.
        share: ShareKey,
        /// The last owner by the stamp in the log.
        holder: Option<Stamp>,
    },
    /// The storage of a share cannot be used on this node.
    StorageFailed {
        /// The share.
        share: ShareKey,
        /// The reason.
        reason: String,
    },
    /// The fencing hook failed, or there is none: the share waits for the lock.
    FenceFailed {
        /// The share.
        share: ShareKey,
    },
    /// This node shall be drained, but no other can take its shares.
    NobodyTakes {
        /// One of the shares.
        share: ShareKey,
    },
    /// etcd has less than this node has seen: it was restored from a backup. The node joins again.
    StoreWentBack,
}

/// The reason for which a node does not use the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaFault {
    /// The key `schema` does not exist: the cluster was not initialized.
    Absent,
    /// Another cluster has this prefix.
    OtherCluster,
    /// The keys have another version.
    OtherVersion,
}

/// The reason for which a node fenced itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// The write permission has ended without a renewal.
    Expired,
    /// etcd does not have the lease any more.
    LeaseGone,
    /// The key with the node's name was deleted or replaced.
    NameLost,
    /// The keys are those of another cluster or version.
    Schema,
    /// etcd was restored from a backup.
    StoreWentBack,
}
