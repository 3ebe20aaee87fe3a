//! The bytes of a whole log.
//!
//! ```text
//! header:  magic (16) | version (4) | flags (4) | generation (8) | boot id (16) | CRC-32 of these (4)
//! frame:   marker (4) | length of the payload (4) | CRC-32 of the payload (4) | CRC-32 of these and the offset (4) | payload
//! payload: changes: kind (1) | key | for an entry that is put: length (4) | bytes
//! ```
//!
//! All numbers are little-endian. A frame is written at the end of the file, and the next one only when it is complete,
//! so after a crash at most the last frame is incomplete: it is cut, because nothing was answered that depends on it. A
//! frame that is damaged although a complete one follows, or although its beginning says that it is complete, is an
//! error: what clients were promised is not known then.

use std::collections::BTreeMap;

use wire::cursor::{Put, ReadCursor, wire_u32};

use crate::limits::{LOG_BYTES_MAX, WHOLE_FRAME_BYTES};
use crate::record::{Change, Entry, Key};

/// The first bytes of a log.
const MAGIC: &[u8; 16] = b"SHAREWARD OPENS\n";

/// The version of the format. Another one is refused.
const VERSION: u32 = 1;

const HEADER_BYTES: usize = 52;
const FRAME_HEADER_BYTES: usize = 16;
const MARKER: u32 = 0x4d52_4653;

const PUT: u8 = 1;
const DROP: u8 = 2;

/// The beginning of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// True if each frame was synchronized with the disk, so that the log outlives a loss of power.
    pub synchronized: bool,
    /// A number that rises whenever a server opens the log.
    pub generation: u64,
    /// The boot of the machine in which the log was written.
    pub boot: [u8; 16],
}

/// The reason for refusing a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file is something else, or its header is damaged.
    #[error("it is no log of opens, or its header is damaged")]
    Header,
    /// A newer server has written it.
    #[error("it has version {0}, which this server does not know")]
    Version(u32),
    /// A frame is damaged that was complete.
    #[error("the frame at byte {0} is damaged")]
    Frame(u64),
    /// The file exceeds [`LOG_BYTES_MAX`].
    #[error("it is longer than {LOG_BYTES_MAX} bytes")]
    TooLong,
}

/// The entries of a log by their keys, and the bytes that a log of just these entries would have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    entries: BTreeMap<Key, Vec<u8>>,
    bytes: u64,
}

impl Table {
    /// The table that a frame's payload makes; `None` if it is invalid.
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        let mut table = Self::default();
        apply_payload(&mut table, payload).map(|()| table)
    }

    /// Carries out a change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(entry) => {
                let mut bytes = Vec::new();
                entry.encode(&mut bytes);
                self.put(entry.key(), bytes);
            }
            Change::Drop(key) => self.remove(*key),
        }
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        // The bytes were encoded here, or decoded once when the log was read.
        self.entries.iter().filter_map(|(key, bytes)| Entry::decode(*key, bytes).ok())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the entries take up in a log.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends frames with all entries.
    pub(crate) fn append_all(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        for (key, bytes) in &self.entries {
            if payload.len().saturating_add(bytes.len()) > WHOLE_FRAME_BYTES {
                frame(out, &payload);
                payload.clear();
            }
            put(&mut payload, *key, bytes);
        }
        if !payload.is_empty() {
            frame(out, &payload);
        }
    }

    fn put(&mut self, key: Key, bytes: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(weight(&bytes));
        if let Some(before) = self.entries.insert(key, bytes) {
            self.bytes = self.bytes.saturating_sub(weight(&before));
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(before) = self.entries.remove(&key) {
            self.bytes = self.bytes.saturating_sub(weight(&before));
        }
        let Key::Open(open) = key else { return };
        let lock = |limit: u64, exclusive| Key::Lock { open, offset: limit, length: limit, exclusive };
        let locks = self.entries.range(lock(0, false)..=lock(u64::MAX, true)).map(|(key, _)| *key);
        for key in locks.collect::<Vec<_>>() {
            self.remove(key);
        }
    }
}

/// Bytes of an entry in a log, with an estimate for its key.
fn weight(bytes: &[u8]) -> u64 {
    const KEY_BYTES: u64 = 40;
    KEY_BYTES.saturating_add(bytes.len() as u64)
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.put_u32(VERSION);
        out.put_u32(u32::from(self.synchronized));
        out.put_u64(self.generation);
        out.put_bytes(&self.boot);
        let sum = crc32fast::hash(&out);
        out.put_u32(sum);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let head = bytes.first_chunk::<HEADER_BYTES>().ok_or(Damage::Header)?;
        let (summed, sum) = head.split_last_chunk::<4>().ok_or(Damage::Header)?;
        let mut cursor = ReadCursor::new(summed);
        let mut read = || -> Result<_, wire::cursor::DecodeError> {
            Ok((cursor.array::<16>()?, cursor.u32()?, cursor.u32()?, cursor.u64()?, cursor.array()?))
        };
        let (magic, version, flags, generation, boot) = read().map_err(|_| Damage::Header)?;
        if magic != *MAGIC {
            return Err(Damage::Header);
        }
        // The header of another version may be longer.
        if version != VERSION {
            return Err(Damage::Version(version));
        }
        if crc32fast::hash(summed) != u32::from_le_bytes(*sum) || flags > 1 {
            return Err(Damage::Header);
        }
        Ok(Self { synchronized: flags == 1, generation, boot })
    }
}

/// Appends a frame with these changes to the bytes of a log. They are in one frame however many they are: a LOCK whose
/// sequence number is in the log without its locks would be lost.
pub fn append_frame(out: &mut Vec<u8>, offset: u64, changes: &[Change]) {
    let start = out.len() as u64;
    let mut payload = Vec::new();
    for change in changes {
        match change {
            Change::Put(entry) => {
                let mut bytes = Vec::new();
                entry.encode(&mut bytes);
                put(&mut payload, entry.key(), &bytes);
            }
            Change::Drop(key) => {
                payload.put_u8(DROP);
                key.encode(&mut payload);
            }
        }
    }
    if !payload.is_empty() {
        frame_at(out, start, offset, &payload);
    }
}

fn put(payload: &mut Vec<u8>, key: Key, bytes: &[u8]) {
    payload.put_u8(PUT);
    key.encode(payload);
    payload.put_u32(wire_u32(bytes.len()));
    payload.put_bytes(bytes);
}

/// Appends a frame to the bytes of a whole log.
fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    frame_at(out, 0, 0, payload);
}

/// Appends a frame to bytes of which the one at `start` is at `offset` of the log.
fn frame_at(out: &mut Vec<u8>, start: u64, offset: u64, payload: &[u8]) {
    let at = offset.saturating_add((out.len() as u64).saturating_sub(start));
    let mut head = Vec::with_capacity(FRAME_HEADER_BYTES);
    head.put_u32(MARKER);
    head.put_u32(wire_u32(payload.len()));
    head.put_u32(crc32fast::hash(payload));
    let sum = head_sum(&head, at);
    head.put_u32(sum);
    out.put_bytes(&head);
    out.put_bytes(payload);
}

/// The check sum of a frame's header at this offset: a frame is valid in its own place only.
fn head_sum(head: &[u8], at: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(&at.to_le_bytes());
    hasher.finalize()
}

/// Decodes a log: its header, its table and the length of its valid part. The rest is an incomplete frame.
pub fn decode(bytes: &[u8]) -> Result<(Header, Table, usize), Damage> {
    let header = Header::decode(bytes)?;
    let mut table = Table::default();
    let mut at = HEADER_BYTES;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let damaged = || Damage::Frame(at as u64);
        match payload_of(rest, at) {
            Some(Ok(payload)) => {
                apply_payload(&mut table, payload).ok_or_else(damaged)?;
                at = at.saturating_add(FRAME_HEADER_BYTES).saturating_add(payload.len());
            }
            // Its header is valid, and all of its bytes are there.
            Some(Err(length)) if has_frame(bytes, at.saturating_add(length)) => return Err(damaged()),
            None if has_frame(bytes, at) => return Err(damaged()),
            Some(Err(_)) | None => break,
        }
    }
    Ok((header, table, at.min(bytes.len())))
}

/// The payload of the frame at the beginning of `rest`. `None` if its header is invalid; its length, with the header, if
/// the payload is incomplete or invalid.
fn payload_of(rest: &[u8], at: usize) -> Option<Result<&[u8], usize>> {
    let (head, behind) = rest.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let (summed, sum) = head.split_last_chunk::<4>()?;
    let mut cursor = ReadCursor::new(summed);
    let (marker, length, payload_sum) = (cursor.u32().ok()?, cursor.u32().ok()?, cursor.u32().ok()?);
    if marker != MARKER || head_sum(summed, at as u64) != u32::from_le_bytes(*sum) {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    let whole = FRAME_HEADER_BYTES.saturating_add(length);
    let Some(payload) = behind.get(..length) else { return Some(Err(whole)) };
    Some(if crc32fast::hash(payload) == payload_sum { Ok(payload) } else { Err(whole) })
}

/// True if a valid frame begins at or after `from`.
fn has_frame(bytes: &[u8], from: usize) -> bool {
    let marker = MARKER.to_le_bytes();
    let Some(rest) = bytes.get(from..) else { return false };
    let mut starts = rest.windows(marker.len()).enumerate().filter(|(_, window)| *window == marker);
    starts.any(|(offset, _)| {
        let at = from.saturating_add(offset);
        bytes.get(at..).is_some_and(|rest| matches!(payload_of(rest, at), Some(Ok(_))))
    })
}

fn apply_payload(table: &mut Table, payload: &[u8]) -> Option<()> {
    let mut cursor = ReadCursor::new(payload);
    loop {
        let kind = match cursor.u8() {
            Ok(kind) => kind,
            Err(_) => return Some(()),
        };
        let key = Key::read(&mut cursor).ok()?;
        match kind {
            PUT => {
                let length = usize::try_from(cursor.u32().ok()?).ok()?;
                let bytes = cursor.bytes(length).ok()?;
                Entry::decode(key, bytes).ok()?;
                table.put(key, bytes.to_vec());
            }
            DROP => table.remove(key),
            _ => return None,
        }
    }
}
