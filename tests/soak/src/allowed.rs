//! The errors that the specifications allow, by the operation and by the other activities.

use wire::NtStatus;

/// The operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// A connection, a logon and a tree connect.
    Connect,
    /// An open of a file that is the client's alone.
    CreateOwn,
    /// An open of a file that others use as well.
    CreateCommon,
    /// READ, WRITE, FLUSH and the like on an own file.
    UseOwn,
    /// Use of a file that others use as well.
    UseCommon,
    /// LOCK and its undoing.
    Lock,
    /// CHANGE_NOTIFY.
    Notify,
    /// A rename or removal of an own file.
    NameOwn,
    /// A rename or removal of a file that others use as well.
    NameCommon,
    /// Anything on the share that is full now and then.
    Small,
    /// Anything on the share that comes and goes.
    Passing,
    /// An error that another program reports.
    Peer,
}

/// The other activities in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Administrators close files, with and without a grace period.
    CloseFiles,
    /// Administrators end sessions.
    EndSessions,
    /// Shares come, change and go.
    ChangeShares,
    /// The configuration is read again.
    Reload,
    /// Connections break.
    CutCables,
    /// A disk is full.
    FillDisk,
    /// Clients are killed.
    KillClients,
    /// The server is stopped and started again.
    RestartServer,
    /// The server is killed and started again.
    KillServer,
}

/// All troubles, in the order in which each occurs alone.
pub(crate) const TROUBLES: [Trouble; 9] = [
    Trouble::CloseFiles,
    Trouble::KillServer,
    Trouble::CutCables,
    Trouble::EndSessions,
    Trouble::KillClients,
    Trouble::FillDisk,
    Trouble::ChangeShares,
    Trouble::RestartServer,
    Trouble::Reload,
];

use Operation as O;
use Trouble as T;

/// The statuses that are allowed because of other clients.
const ALWAYS: &[(&[Operation], &[NtStatus])] = &[
    (
        // MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1.
        &[O::CreateCommon, O::NameCommon, O::Small, O::Passing],
        &[
            NtStatus::SHARING_VIOLATION,
            NtStatus::OBJECT_NAME_NOT_FOUND,
            NtStatus::OBJECT_NAME_COLLISION,
            NtStatus::DELETE_PENDING,
        ],
    ),
    // MS-FSA 2.1.5.15.11: a target that is open is not replaced; 2.1.5.1: nor is a file emptied that may not be.
    (&[O::NameCommon, O::CreateCommon], &[NtStatus::ACCESS_DENIED]),
    // MS-FSA 2.1.5.3, 2.1.5.4.
    (&[O::UseCommon], &[NtStatus::FILE_LOCK_CONFLICT, NtStatus::END_OF_FILE]),
    // MS-FSA 2.1.5.8, 2.1.5.9.
    (&[O::Lock], &[NtStatus::LOCK_NOT_GRANTED, NtStatus::RANGE_NOT_LOCKED, NtStatus::FILE_LOCK_CONFLICT]),
    // MS-SMB2 3.3.5.19, and requests that the client itself cancels.
    (&[O::Notify], &[NtStatus::NOTIFY_ENUM_DIR, NtStatus::NOTIFY_CLEANUP, NtStatus::CANCELLED]),
    // MS-FSA 2.1.5.4 and 2.1.5.1.1: all of them together want more than there is.
    (&[O::Small], &[NtStatus::DISK_FULL, NtStatus::FILE_SYSTEM_LIMITATION]),
    // The client reads up to the end of the file.
    (&[O::UseOwn], &[NtStatus::END_OF_FILE]),
];

/// The statuses of a request whose open was closed meanwhile (MS-SMB2 3.3.4.17).
const CLOSED: &[NtStatus] =
    &[NtStatus::FILE_CLOSED, NtStatus::CANCELLED, NtStatus::NOTIFY_CLEANUP, NtStatus::RANGE_NOT_LOCKED];

/// The statuses of a request whose session has ended (MS-SMB2 3.3.4.12, 3.3.5.2.9).
const ENDED: &[NtStatus] = &[
    NtStatus::USER_SESSION_DELETED,
    NtStatus::NETWORK_SESSION_EXPIRED,
    NtStatus::FILE_CLOSED,
    NtStatus::NETWORK_NAME_DELETED,
    NtStatus::CANCELLED,
    NtStatus::NOTIFY_CLEANUP,
];

/// The statuses that a trouble allows, for some operations or (if empty) for all.
const BECAUSE: &[(Trouble, &[Operation], &[NtStatus])] = &[
    (T::CloseFiles, &[], CLOSED),
    (T::EndSessions, &[], ENDED),
    // MS-SMB2 3.3.4.16: the share's tree connects end.
    (T::ChangeShares, &[O::Passing, O::Peer], ENDED),
    (T::ChangeShares, &[O::Passing, O::Peer], &[NtStatus::BAD_NETWORK_NAME]),
    (T::RestartServer, &[], ENDED),
    (T::KillServer, &[], ENDED),
    // A file blocks its own client until the server notices that the connection is lost.
    (T::CutCables, &[O::CreateOwn, O::NameOwn], &[NtStatus::SHARING_VIOLATION]),
];

/// The statuses that may be answered.
pub(crate) fn allowed(operation: Operation, troubles: &[Trouble]) -> impl Iterator<Item = NtStatus> {
    let always = ALWAYS.iter().filter(move |(to, _)| to.contains(&operation)).map(|(_, all)| *all);
    let because = BECAUSE.iter().filter(move |(trouble, to, _)| {
        troubles.contains(trouble) && (to.is_empty() || to.contains(&operation))
    });
    always.chain(because.map(|(_, _, all)| *all)).flatten().copied()
}

/// True if a status is allowed.
pub(crate) fn is_allowed(operation: Operation, status: NtStatus, troubles: &[Trouble]) -> bool {
    allowed(operation, troubles).any(|it| it == status)
}

/// True if a connection may be lost.
pub(crate) fn may_break(troubles: &[Trouble]) -> bool {
    let breaking = [T::CutCables, T::KillClients, T::RestartServer, T::KillServer, T::EndSessions];
    troubles.iter().any(|trouble| breaking.contains(trouble))
}
