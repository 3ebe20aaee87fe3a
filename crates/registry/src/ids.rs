//! Identifiers of the registry's own, and how identifiers are issued.

use std::cmp::Ordering;
use std::num::NonZeroU32;

use wire::Guid;

/// A transport connection, unique for the life of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// A request that may have to wait, named by the server: its connection and a number that is unique
/// there while the request lives (its message id, its async id).
///
/// The server chooses it, so that it can be ready for the answer before it asks the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// The connection it came on.
    pub connection: ConnectionId,
    /// Its number there.
    pub id: u64,
}

/// A lease's name: the lease key within the client's lease table (MS-SMB2 3.3.1.11, 3.3.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// `LeaseTable.ClientGuid`.
    pub client: Guid,
    /// `Lease.LeaseKey`.
    pub key: Guid,
}

impl PartialOrd for LeaseId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LeaseId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.client.0, self.key.0).cmp(&(other.client.0, other.key.0))
    }
}

/// Issues the non-zero 32-bit ids that administrators use: rising, and after the wrap skipping those
/// still in use, so that an id gets a new meaning only after four billion others.
#[derive(Debug)]
pub(crate) struct GlobalIds {
    last: u32,
}

impl GlobalIds {
    pub(crate) fn starting_after(last: u32) -> Self {
        Self { last }
    }

    /// The next id for which `in_use` is false. The tables have limits far below 2^32, so this ends.
    pub(crate) fn issue(&mut self, in_use: impl Fn(NonZeroU32) -> bool) -> NonZeroU32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if let Some(id) = NonZeroU32::new(self.last)
                && !in_use(id)
            {
                return id;
            }
        }
    }
}

/// Issues 64-bit ids: a counter through a keyed bijection, so that they are unique without a lookup
/// and the next one does not follow from the last.
///
/// This is no cipher. An id is a name and not a secret: every use of one is checked against the
/// session it came with.
#[derive(Debug)]
pub(crate) struct WireIds {
    key: u64,
    counter: u64,
}

impl WireIds {
    pub(crate) fn new(key: u64) -> Self {
        Self { key, counter: 0 }
    }

    /// The next id; never zero and never all ones, which mean "none" and "the previous one".
    pub(crate) fn issue(&mut self) -> u64 {
        loop {
            self.counter = self.counter.wrapping_add(1);
            let id = mix(self.counter ^ self.key);
            if id != 0 && id != u64::MAX {
                return id;
            }
        }
    }
}

/// The finalizer of SplitMix64: a bijection of u64.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
