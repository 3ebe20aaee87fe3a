//! The records, as the caller passes them in.

/// The number of an entry: the microseconds since the Unix epoch at its beginning, made unique. Entries are ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub i64);

impl EntryId {
    /// The first number of entries that began at this time, in milliseconds since the Unix epoch.
    pub const fn at(time_ms: i64) -> Self {
        Self(time_ms.saturating_mul(PER_MS))
    }

    /// The next number for an entry that began at this time: numbers rise, whatever the clock does.
    #[must_use]
    pub fn next(self, time_ms: i64) -> Self {
        Self::at(time_ms).max(Self(self.0.saturating_add(1)))
    }

    /// The time at which the entry began, in milliseconds since the Unix epoch.
    pub const fn time_ms(self) -> i64 {
        self.0.div_euclid(PER_MS)
    }
}

/// The numbers of entries in a millisecond.
pub(crate) const PER_MS: i64 = 1_000;

/// The kinds of entries. The numbers are those in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A session, from its logon to its end.
    Session = 1,
    /// An open of a file or directory, from its CREATE to its end.
    Open = 2,
    /// A file or directory was deleted.
    Deleted = 3,
    /// A file or directory was renamed.
    Renamed = 4,
    /// An open, a lock or a transfer was refused.
    Refused = 5,
    /// A logon was refused.
    LogonRefused = 6,
    /// Entries are missing.
    Gap = 7,
    /// A drain has begun or ended.
    Drain = 8,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Session,
        Self::Open,
        Self::Deleted,
        Self::Renamed,
        Self::Refused,
        Self::LogonRefused,
        Self::Gap,
        Self::Drain,
    ];

    pub(crate) fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == number)
    }
}

/// The kinds of users. The numbers are those in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PersonKind {
    /// An account that has proved its password or its ticket.
    #[default]
    Account = 0,
    /// A guest, who only claims a name.
    Guest = 1,
    /// The anonymous user.
    Anonymous = 2,
    /// The name in a logon that was refused: anybody can claim it.
    Claimed = 3,
}

impl PersonKind {
    pub(crate) fn of(number: i64) -> Self {
        match number {
            0 => Self::Account,
            1 => Self::Guest,
            2 => Self::Anonymous,
            _ => Self::Claimed,
        }
    }
}

/// A user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Person<'a> {
    /// The kind of user.
    pub kind: PersonKind,
    /// The name.
    pub name: &'a str,
    /// The domain or server that the client named.
    pub domain: &'a str,
    /// The SID of a user of a domain; empty for others.
    pub sid: &'a str,
}

/// The open that stood in the way of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocker<'a> {
    /// The user of the open.
    pub person: Person<'a>,
    /// The client of the open.
    pub client: &'a str,
    /// `Open.FileGlobalId`.
    pub file: u32,
}

/// The end of a session or open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish<'a> {
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The reason.
    pub reason: &'a str,
    /// The bytes that were read through an open.
    pub read: u64,
    /// The bytes that were written through an open.
    pub written: u64,
}

/// An entry of the history, except acts of administration. Fields that do not apply to its kind have their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The number of the entry, and with it the time of its beginning.
    pub id: EntryId,
    /// The kind.
    pub kind: Kind,
    /// The share and the path in it, with backslashes. The path of a rename is the old one.
    pub place: Option<(&'a str, &'a str)>,
    /// The new path of a rename; of a deletion, the path of the file that took the name.
    pub to: Option<&'a str>,
    /// The user.
    pub person: Option<Person<'a>>,
    /// The client.
    pub client: Option<&'a str>,
    /// `Session.SessionGlobalId`.
    pub session: Option<u32>,
    /// `Open.FileGlobalId`.
    pub file: Option<u32>,
    /// The granted or requested access (MS-SMB2 2.2.13.1).
    pub access: Option<u32>,
    /// The reason of a refusal, a deletion or a gap; the step of a drain.
    pub reason: Option<&'a str>,
    /// The open that stood in the way.
    pub blocker: Option<Blocker<'a>>,
    /// The number of missing entries, of a gap; of a drain, that of the opens that were closed.
    pub count: Option<u64>,
    /// The end of a session, an open or a gap; `None` while it lasts.
    pub finish: Option<Finish<'a>>,
}

impl Entry<'_> {
    /// An entry of this kind, with nothing else in it.
    pub const fn new(id: EntryId, kind: Kind) -> Self {
        Self {
            id,
            kind,
            place: None,
            to: None,
            person: None,
            client: None,
            session: None,
            file: None,
            access: None,
            reason: None,
            blocker: None,
            count: None,
            finish: None,
        }
    }
}

/// An act of administration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The user who asked for the act.
    pub user: String,
    /// The address or the program from which it was asked for.
    pub from: String,
    /// The act.
    pub act: String,
    /// The object.
    pub object: String,
    /// The outcome.
    pub outcome: String,
}
