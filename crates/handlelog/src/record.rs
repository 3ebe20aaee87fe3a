//! The entries of the log, and their bytes.

use wire::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use wire::security::Sid;
use wire::{AccessMask, FileId, Guid, LeaseState, OplockLevel, ShareAccess};

use crate::limits::{GROUPS_MAX, SEQUENCES_MAX, TEXT_BYTES_MAX};

/// The key of an entry. The locks of an open follow the open in the order of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An open, by `Open.DurableFileId`.
    Open(u64),
    /// A byte-range lock of an open.
    Lock {
        /// `Open.DurableFileId`.
        open: u64,
        /// The first byte.
        offset: u64,
        /// The number of bytes.
        length: u64,
        /// True for an exclusive lock.
        exclusive: bool,
    },
    /// A lease: the client's GUID and the lease key.
    Lease([u8; 16], [u8; 16]),
}

/// A change of the log's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds an entry, or replaces the one with the same key.
    Put(Entry),
    /// Removes the entry with this key. With an open, its locks are removed.
    Drop(Key),
}

/// An entry of the log's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An open.
    Open(Box<OpenRecord>),
    /// A byte-range lock.
    Lock(LockRecord),
    /// A lease.
    Lease(LeaseRecord),
}

/// A byte-range lock of an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRecord {
    /// `Open.DurableFileId` of the open.
    pub open: u64,
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
    /// True for an exclusive lock.
    pub exclusive: bool,
    /// The number of equal locks: an open may lock a range several times.
    pub count: u32,
}

/// A lease (MS-SMB2 3.3.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// `LeaseTable.ClientGuid`.
    pub client: Guid,
    /// `Lease.LeaseKey`.
    pub key: Guid,
    /// `Lease.LeaseState`.
    pub state: LeaseState,
    /// `Lease.Version`: 1 or 2.
    pub version: u8,
    /// `Lease.Epoch`.
    pub epoch: u16,
}

wire::bit_mask! {
    /// The properties of an open that are true or false.
    OpenFlags(u32) {
        /// `Open.IsPersistent`.
        PERSISTENT = 0x0001,
        /// `Open.IsResilient`.
        RESILIENT = 0x0002,
        /// `Open.IsReplayEligible`.
        REPLAYABLE = 0x0004,
        /// FILE_DELETE_ON_CLOSE.
        DELETE_ON_CLOSE = 0x0008,
        /// The name is removed with this open (FILE_DISPOSITION_POSIX_SEMANTICS).
        DELETES_WITH_OWN = 0x0010,
        /// A delete of the file is pending.
        DELETE_PENDING = 0x0020,
        /// An open of the POSIX extensions.
        POSIX = 0x0040,
        /// The user may append data and not change existing data.
        APPEND_ONLY = 0x0080,
        /// `Session.IsGuest` of the session that made the open.
        GUEST = 0x0100,
        /// `Session.IsAnonymous` of the session that made the open.
        ANONYMOUS = 0x0200,
    }
}

/// The time at which a file was made, by the clock of its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

/// The user and client of an open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user's name.
    pub user: String,
    /// The domain or server that the client named.
    pub domain: String,
    /// The SID of a user of a domain.
    pub sid: Option<Sid>,
    /// The client's name.
    pub client: String,
}

/// A Unix identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

/// `Open.AppInstanceId` and `Open.ApplicationInstanceVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppInstance {
    /// `AppInstanceId`.
    pub id: Guid,
    /// `AppInstanceVersionHigh` and `AppInstanceVersionLow`.
    pub version: Option<(u64, u64)>,
    /// The maximal access of the user to the file.
    pub maximal_access: AccessMask,
}

/// An open (MS-SMB2 3.3.1.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenRecord {
    /// `Open.DurableFileId` and `Open.FileId`.
    pub file_id: FileId,
    /// `Open.CreateGuid`; `None` for a version 1 handle.
    pub create_guid: Option<Guid>,
    /// `Open.ClientGuid`.
    pub client_guid: Guid,
    /// `Open.AppInstanceId`.
    pub app_instance: Option<AppInstance>,
    /// `Open.DurableOpenTimeout`, in milliseconds.
    pub timeout_ms: u32,
    /// The properties that are true or false.
    pub flags: OpenFlags,
    /// `Open.GrantedAccess`.
    pub access: AccessMask,
    /// The access that the open shares with others.
    pub share_access: ShareAccess,
    /// `FileModeInformation` (MS-FSCC 2.4.31).
    pub mode: u32,
    /// `CreateAction` of the answer to the CREATE.
    pub action: u32,
    /// `FilePositionInformation` (MS-FSCC 2.4.40).
    pub position: u64,
    /// `Open.OplockLevel`.
    pub oplock: OplockLevel,
    /// The client's GUID and the key of the open's lease.
    pub lease: Option<(Guid, Guid)>,
    /// `Lease.ParentLeaseKey`.
    pub parent_key: Option<Guid>,
    /// The path in the share, with `/`.
    pub path: String,
    /// The named stream.
    pub stream: Option<String>,
    /// The inode number of the file.
    pub inode: u64,
    /// The birth time of the file; `None` if its file system has none.
    pub birth: Option<Birth>,
    /// The user and client.
    pub owner: Owner,
    /// The Unix identity of the user; `None` if the user acts as the server's process.
    pub actor: Option<Actor>,
    /// `Open.LockSequenceArray`: the index and number of each valid entry.
    pub lock_sequences: Vec<(u8, u8)>,
}

const OPEN: u8 = 1;
const LOCK: u8 = 2;
const LEASE: u8 = 3;

impl Key {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open(id) => {
                out.put_u8(OPEN);
                out.put_u64(*id);
            }
            Self::Lock { open, offset, length, exclusive } => {
                out.put_u8(LOCK);
                out.put_u64(*open);
                out.put_u64(*offset);
                out.put_u64(*length);
                out.put_u8(u8::from(*exclusive));
            }
            Self::Lease(client, key) => {
                out.put_u8(LEASE);
                out.put_bytes(client);
                out.put_bytes(key);
            }
        }
    }

    pub(crate) fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        Ok(match cursor.u8()? {
            OPEN => Self::Open(cursor.u64()?),
            LOCK => Self::Lock {
                open: cursor.u64()?,
                offset: cursor.u64()?,
                length: cursor.u64()?,
                exclusive: flag(cursor)?,
            },
            LEASE => Self::Lease(cursor.array()?, cursor.array()?),
            _ => return Err(DecodeError::InvalidValue),
        })
    }
}

impl Entry {
    /// The key of the entry.
    pub fn key(&self) -> Key {
        match self {
            Self::Open(open) => Key::Open(open.file_id.persistent),
            Self::Lock(lock) => Key::Lock {
                open: lock.open,
                offset: lock.offset,
                length: lock.length,
                exclusive: lock.exclusive,
            },
            Self::Lease(lease) => Key::Lease(lease.client.0, lease.key.0),
        }
    }

    /// Appends the part of the entry that is not in its key.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Lock(lock) => out.put_u32(lock.count),
            Self::Lease(lease) => {
                out.put_u32(lease.state.0);
                out.put_u8(lease.version);
                out.put_u16(lease.epoch);
            }
        }
    }

    /// Decodes the entry with this key, which must take up all of `bytes`.
    pub(crate) fn decode(key: Key, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(bytes);
        let entry = match key {
            Key::Open(persistent) => Self::Open(Box::new(OpenRecord::read(persistent, &mut cursor)?)),
            Key::Lock { open, offset, length, exclusive } => {
                let count = cursor.u32()?;
                if count == 0 {
                    return Err(DecodeError::InvalidValue);
                }
                Self::Lock(LockRecord { open, offset, length, exclusive, count })
            }
            Key::Lease(client, key) => {
                let state = LeaseState(cursor.u32()?);
                let all = LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE;
                let version = cursor.u8()?;
                if !all.contains(state) || !(1..=2).contains(&version) {
                    return Err(DecodeError::InvalidValue);
                }
                let (client, key) = (Guid(client), Guid(key));
                Self::Lease(LeaseRecord { client, key, state, version, epoch: cursor.u16()? })
            }
        };
        if cursor.rest().is_empty() { Ok(entry) } else { Err(DecodeError::InvalidValue) }
    }
}

impl OpenRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.file_id.volatile);
        put_guid(out, self.create_guid);
        out.put_guid(self.client_guid);
        put_some(out, self.app_instance.as_ref(), |out, instance| {
            out.put_guid(instance.id);
            put_some(out, instance.version.as_ref(), |out, (high, low)| {
                out.put_u64(*high);
                out.put_u64(*low);
            });
            out.put_u32(instance.maximal_access.0);
        });
        out.put_u32(self.timeout_ms);
        out.put_u32(self.flags.0);
        out.put_u32(self.access.0);
        out.put_u32(self.share_access.0);
        out.put_u32(self.mode);
        out.put_u32(self.action);
        out.put_u64(self.position);
        out.put_u8(self.oplock.0);
        put_some(out, self.lease.as_ref(), |out, (client, key)| {
            out.put_guid(*client);
            out.put_guid(*key);
        });
        put_guid(out, self.parent_key);
        put_text(out, &self.path);
        put_some(out, self.stream.as_ref(), |out, stream| put_text(out, stream));
        out.put_u64(self.inode);
        put_some(out, self.birth.as_ref(), |out, birth| {
            out.put_i64(birth.seconds);
            out.put_u32(birth.nanoseconds);
        });
        put_text(out, &self.owner.user);
        put_text(out, &self.owner.domain);
        put_some(out, self.owner.sid.as_ref(), |out, sid| sid.encode(out));
        put_text(out, &self.owner.client);
        put_some(out, self.actor.as_ref(), |out, actor| {
            out.put_u32(actor.uid);
            out.put_u32(actor.gid);
            let groups = actor.groups.get(..GROUPS_MAX).unwrap_or(&actor.groups);
            out.put_u32(wire_u32(groups.len()));
            groups.iter().for_each(|group| out.put_u32(*group));
        });
        let sequences = self.lock_sequences.get(..SEQUENCES_MAX).unwrap_or(&self.lock_sequences);
        out.put_u8(u8::try_from(sequences.len()).unwrap_or(u8::MAX));
        for (index, number) in sequences {
            out.put_u8(*index);
            out.put_u8(*number);
        }
    }

    fn read(persistent: u64, cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            file_id: FileId { persistent, volatile: cursor.u64()? },
            create_guid: some(cursor, ReadCursor::guid)?,
            client_guid: cursor.guid()?,
            app_instance: some(cursor, |cursor| {
                Ok(AppInstance {
                    id: cursor.guid()?,
                    version: some(cursor, |cursor| Ok((cursor.u64()?, cursor.u64()?)))?,
                    maximal_access: AccessMask(cursor.u32()?),
                })
            })?,
            timeout_ms: cursor.u32()?,
            flags: OpenFlags(cursor.u32()?),
            access: AccessMask(cursor.u32()?),
            share_access: ShareAccess(cursor.u32()?),
            mode: cursor.u32()?,
            action: cursor.u32()?,
            position: cursor.u64()?,
            oplock: OplockLevel(cursor.u8()?),
            lease: some(cursor, |cursor| Ok((cursor.guid()?, cursor.guid()?)))?,
            parent_key: some(cursor, ReadCursor::guid)?,
            path: text(cursor)?,
            stream: some(cursor, text)?,
            inode: cursor.u64()?,
            birth: some(cursor, |cursor| Ok(Birth { seconds: cursor.i64()?, nanoseconds: cursor.u32()? }))?,
            owner: Owner {
                user: text(cursor)?,
                domain: text(cursor)?,
                sid: some(cursor, Sid::read)?,
                client: text(cursor)?,
            },
            actor: some(cursor, |cursor| {
                let (uid, gid, count) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
                if usize::try_from(count).is_ok_and(|count| count > GROUPS_MAX) {
                    return Err(DecodeError::InvalidValue);
                }
                let groups = (0..count).map(|_| cursor.u32()).collect::<Result<_, _>>()?;
                Ok(Actor { uid, gid, groups })
            })?,
            lock_sequences: {
                let count = cursor.u8()?;
                if usize::from(count) > SEQUENCES_MAX {
                    return Err(DecodeError::InvalidValue);
                }
                (0..count).map(|_| Ok((cursor.u8()?, cursor.u8()?))).collect::<Result<_, _>>()?
            },
        })
    }
}

fn put_some<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_guid(out: &mut Vec<u8>, guid: Option<Guid>) {
    put_some(out, guid.as_ref(), |out, guid| out.put_guid(*guid));
}

/// Appends a text. A longer one than a record can have, which no caller has, is left out.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = if text.len() <= TEXT_BYTES_MAX { text.as_bytes() } else { b"" };
    out.put_u32(wire_u32(bytes.len()));
    out.put_bytes(bytes);
}

fn text(cursor: &mut ReadCursor<'_>) -> Result<String, DecodeError> {
    let length = usize::try_from(cursor.u32()?).map_err(|_| DecodeError::InvalidValue)?;
    if length > TEXT_BYTES_MAX {
        return Err(DecodeError::InvalidValue);
    }
    let bytes = cursor.bytes(length)?;
    core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::InvalidValue)
}

fn flag(cursor: &mut ReadCursor<'_>) -> Result<bool, DecodeError> {
    match cursor.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::InvalidValue),
    }
}

fn some<'a, T>(
    cursor: &mut ReadCursor<'a>,
    read: impl FnOnce(&mut ReadCursor<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    Ok(if flag(cursor)? { Some(read(cursor)?) } else { None })
}
