//! The history of a client, as it saw it, and its checks.
//!
//! Each client has a file of its own with a ring of slots, and writes a [`Record`] into one slot after the other: with a
//! number that rises with each slot, and a number that rises with each sending of it. So a slot shows which WRITE was
//! the last one to reach the storage. Two clients of each share increment a number in a common file under a lock.

use std::collections::BTreeMap;
use std::time::Duration;

/// The contents of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// The number of the record. It rises with each record of a client.
    pub(crate) number: u64,
    /// The number of the sending. It rises with each WRITE of a client.
    pub(crate) sending: u64,
}

/// An event as a client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A WRITE of the record was begun.
    Sent(Record),
    /// The WRITE of the record was acknowledged.
    Written(Record),
    /// A FLUSH was acknowledged, after all WRITEs so far.
    Flushed,
    /// A slot had these contents, or none.
    Read { slot: u64, record: Option<Record> },
    /// A lock was granted. The time is that after the answer.
    Locked { at: Duration },
    /// The lock is given up. The time is that before the request.
    Unlocking { at: Duration },
}

/// The slots of a ring: enough to see much of what was written lately, and little to read.
pub(crate) const SLOTS: u64 = 512;

/// The bytes of a slot.
pub(crate) const SLOT: u64 = 32;

const MAGIC: u64 = 0x7357_6f72_4c66_2d31;

impl Record {
    pub(crate) fn slot(self) -> u64 {
        self.number % SLOTS
    }

    pub(crate) fn to_bytes(self, client: u64) -> Vec<u8> {
        let check = MAGIC ^ self.number.rotate_left(17) ^ self.sending.rotate_left(41) ^ client;
        [self.number, self.sending, client, check].iter().flat_map(|it| it.to_le_bytes()).collect()
    }

    /// The record in the bytes of a slot; `None` if they were never written.
    ///
    /// # Errors
    /// The bytes are no record of this client.
    pub(crate) fn from_bytes(bytes: &[u8], client: u64) -> Result<Option<Self>, String> {
        if bytes.iter().all(|it| *it == 0) {
            return Ok(None);
        }
        let mut words = bytes.chunks_exact(8).map(|it| it.try_into().map_or(0, u64::from_le_bytes));
        let (number, sending) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let record = Self { number, sending };
        if record.to_bytes(client) == bytes { Ok(Some(record)) } else { Err(format!("{bytes:02x?}")) }
    }
}

/// Checks the entries of one client about its ring: no acknowledged WRITE is lost, and none is overwritten by one that was
/// sent earlier, as an owner that was fenced would do.
pub(crate) fn check_ring(entries: &[Entry]) -> Vec<String> {
    let mut found = Vec::new();
    let mut slots: BTreeMap<u64, Slot> = BTreeMap::new();
    for entry in entries {
        match *entry {
            Entry::Sent(record) => slots.entry(record.slot()).or_default().sent.push(record),
            Entry::Written(record) => {
                // The server has executed the earlier records or never will; later ones are on their way.
                let slot = slots.entry(record.slot()).or_default();
                slot.sent.retain(|it| it.sending > record.sending);
                (slot.written, slot.is_flushed) = (Some(record), false);
            }
            Entry::Flushed => slots.values_mut().for_each(|it| it.is_flushed = true),
            Entry::Read { slot: number, record } => {
                let slot = slots.entry(number).or_default();
                if record != slot.written && !record.is_some_and(|it| slot.sent.contains(&it)) {
                    let kind = if slot.is_flushed { "flushed" } else { "acknowledged" };
                    found.push(match (record, slot.written) {
                        (Some(record), Some(written)) if record.sending < written.sending => format!(
                            "slot {number} has {record:?}, which was sent before the {kind} {written:?}"
                        ),
                        _ => format!(
                            "slot {number} has {record:?} after {kind} {:?} and unanswered {:?}",
                            slot.written, slot.sent
                        ),
                    });
                }
            }
            Entry::Locked { .. } | Entry::Unlocking { .. } => {}
        }
    }
    found
}

#[derive(Default)]
struct Slot {
    written: Option<Record>,
    is_flushed: bool,
    /// WRITEs without an answer since the last one that was acknowledged.
    sent: Vec<Record>,
}

/// Checks that no two clients have held a lock at once, by the entries of all that use it.
pub(crate) fn check_locks(clients: &[(String, Vec<Entry>)]) -> Vec<String> {
    let mut held = Vec::new();
    for (name, entries) in clients {
        let mut since = None;
        for entry in entries {
            match *entry {
                Entry::Locked { at } => since = Some(at),
                Entry::Unlocking { at } => held.extend(since.take().map(|since| (since, at, name.as_str()))),
                _ => {}
            }
        }
        held.extend(since.map(|since| (since, Duration::MAX, name.as_str())));
    }
    held.sort_unstable();
    let mut found = Vec::new();
    for pair in held.windows(2) {
        if let [(_, until, one), (since, _, other)] = pair
            && since < until
        {
            found.push(format!("{other} got the lock at {since:?} that {one} had until {until:?}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, sending: u64) -> Record {
        Record { number, sending }
    }

    fn read(record: Record) -> Entry {
        Entry::Read { slot: record.slot(), record: Some(record) }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let one = record(3, 5);
        let mut bytes = one.to_bytes(7);
        assert_eq!(bytes.len() as u64, SLOT);
        assert_eq!(Record::from_bytes(&bytes, 7), Ok(Some(one)));
        assert_eq!(Record::from_bytes(&[0; 32], 7), Ok(None));
        assert!(Record::from_bytes(&bytes, 8).is_err());
        bytes[0] ^= 1;
        assert!(Record::from_bytes(&bytes, 7).is_err());
    }

    #[test]
    fn unanswered_writes_may_be_there_or_not() {
        let (first, again, next) = (record(1, 1), record(1, 2), record(1 + SLOTS, 3));
        let before = [Entry::Sent(first), Entry::Sent(again), Entry::Written(again), Entry::Sent(next)];
        for end in [again, next] {
            assert_eq!(check_ring(&[&before[..], &[read(end)]].concat()), Vec::<String>::new());
        }
        let found = check_ring(&[&before[..], &[read(first)]].concat());
        assert!(found.len() == 1 && found[0].contains("sent before the acknowledged"), "{found:?}");
    }

    #[test]
    fn lost_writes_are_found() {
        let one = record(1, 1);
        let empty = Entry::Read { slot: 1, record: None };
        assert_eq!(check_ring(&[Entry::Sent(one), empty]), Vec::<String>::new());
        let found = check_ring(&[Entry::Sent(one), Entry::Written(one), Entry::Flushed, empty]);
        assert!(found.len() == 1 && found[0].contains("after flushed"), "{found:?}");
        assert_eq!(check_ring(&[read(one)]).len(), 1, "nobody has sent it");
    }

    #[test]
    fn two_holders_of_a_lock_are_found() {
        let at = Duration::from_millis;
        let times = |times: &[(u64, u64)]| {
            let pair =
                |(from, to): &(u64, u64)| [Entry::Locked { at: at(*from) }, Entry::Unlocking { at: at(*to) }];
            times.iter().flat_map(pair).collect::<Vec<_>>()
        };
        let one = (String::from("one"), times(&[(1, 3), (7, 9)]));
        assert_eq!(
            check_locks(&[one.clone(), (String::from("two"), times(&[(4, 6)]))]),
            Vec::<String>::new()
        );
        assert_eq!(check_locks(&[one.clone(), (String::from("two"), times(&[(2, 6)]))]).len(), 1);
        let open = (String::from("two"), vec![Entry::Locked { at: at(5) }]);
        assert_eq!(check_locks(&[one, open]).len(), 1);
    }
}
