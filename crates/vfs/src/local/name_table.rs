//! The names of one directory, found by their folded form.
//!
//! The table contains a 32-bit hash of each folded name and the name as it is on disk, in one block of memory. A name
//! costs its own bytes, two for its length, and 10 to 21 for its slot; no memory is allocated for a single name. The
//! hash is keyed, so that clients cannot choose names that collide.

use super::names;
use crate::fold::{Forms, fold_in};
use crate::short_name;
use hashbrown::HashTable;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use wire::private_use::with_private_end;

/// The names of a directory.
pub(super) struct NameTable {
    forms: Forms,
    slots: HashTable<Slot>,
    /// The records: the length of a name in two bytes, then the name.
    records: Vec<u8>,
    /// Bytes of records that belong to removed names.
    dead: usize,
    /// The hashes of derived short names with the positions of the records. It is made when the first short name is
    /// looked up, since most clients never do that.
    short: Option<BTreeSet<(u32, u32)>>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The hash of the folded name.
    hash: u32,
    /// The position of the record.
    position: u32,
}

impl NameTable {
    pub(super) fn new(forms: Forms) -> Self {
        Self { forms, slots: HashTable::new(), records: Vec::new(), dead: 0, short: None }
    }

    /// The number of names.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The memory that the table occupies, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let short = self.short.as_ref().map_or(0, |short| short.len().saturating_mul(SHORT_NAME_BYTES));
        self.slots.allocation_size().saturating_add(self.records.capacity()).saturating_add(short)
    }

    /// Adds a name on disk; there is no effect if the table contains it. Returns false if the table cannot hold it.
    #[must_use]
    pub(super) fn insert(&mut self, name: &[u8]) -> bool {
        let hash = hash_of_disk(self.forms, name);
        if self.slot(hash, name).is_some() {
            return true;
        }
        let (Ok(length), Ok(position)) = (u16::try_from(name.len()), u32::try_from(self.records.len()))
        else {
            return false;
        };
        let needed = name.len().saturating_add(LENGTH_BYTES);
        if self.records.capacity().saturating_sub(self.records.len()) < needed {
            self.records.reserve_exact(needed.max(self.records.len() / 8));
        }
        self.records.extend_from_slice(&length.to_le_bytes());
        self.records.extend_from_slice(name);
        self.slots.insert_unique(spread(hash), Slot { hash, position }, |slot| spread(slot.hash));
        if let Some(short) = &mut self.short
            && let Some(hash) = hash_of_short_name(name)
        {
            short.insert((hash, position));
        }
        true
    }

    /// Removes a name on disk; there is no effect if the table does not contain it.
    pub(super) fn remove(&mut self, name: &[u8]) {
        let hash = hash_of_disk(self.forms, name);
        let Some(Slot { position, .. }) = self.slot(hash, name) else { return };
        if let Ok(entry) = self.slots.find_entry(spread(hash), |slot| slot.position == position) {
            entry.remove();
        }
        if let Some(short) = &mut self.short
            && let Some(hash) = hash_of_short_name(name)
        {
            short.remove(&(hash, position));
        }
        self.dead = self.dead.saturating_add(name.len()).saturating_add(LENGTH_BYTES);
        if self.dead > DEAD_BYTES_MIN && self.dead > self.records.len() / 2 {
            self.compact();
        }
    }

    /// The name on disk that equals `wanted` in all but case and normalization, the first by its bytes if there are
    /// several; otherwise the one whose short name is `wanted`.
    pub(super) fn find(&mut self, wanted: &str) -> Option<&[u8]> {
        if short_name::may_be_derived(wanted) {
            self.index_short_names();
        }
        self.spelling(wanted).or_else(|| self.by_short_name(wanted))
    }

    fn spelling(&self, wanted: &str) -> Option<&[u8]> {
        let hash = hash_of(self.forms, &with_private_end(wanted.to_owned()));
        let same = self.slots.iter_hash(spread(hash)).filter(|slot| slot.hash == hash);
        same.map(|slot| self.record(slot.position))
            .filter(|name| names::matches(self.forms, name, wanted))
            .min()
    }

    fn by_short_name(&self, wanted: &str) -> Option<&[u8]> {
        if !short_name::may_be_derived(wanted) {
            return None;
        }
        let hash = hash_of_text(&wanted.to_ascii_uppercase());
        let same = self.short.as_ref()?.range((hash, 0)..=(hash, u32::MAX));
        same.map(|(_, position)| self.record(*position))
            .filter(|name| short_name::stands_for(wanted, &names::decode(name)))
            .min()
    }

    fn index_short_names(&mut self) {
        if self.short.is_none() {
            let short = self
                .slots
                .iter()
                .filter_map(|slot| Some((hash_of_short_name(self.record(slot.position))?, slot.position)));
            self.short = Some(short.collect());
        }
    }

    fn slot(&self, hash: u32, name: &[u8]) -> Option<Slot> {
        let is_same = |slot: &Slot| slot.hash == hash && self.record(slot.position) == name;
        self.slots.find(spread(hash), is_same).copied()
    }

    /// The name of the record at a position.
    fn record(&self, position: u32) -> &[u8] {
        let records = usize::try_from(position).ok().and_then(|position| self.records.get(position..));
        let Some((length, rest)) = records.and_then(<[u8]>::split_first_chunk) else { return &[] };
        rest.get(..usize::from(u16::from_le_bytes(*length))).unwrap_or_default()
    }

    /// Releases the memory of removed names.
    fn compact(&mut self) {
        let mut compacted = Self::new(self.forms);
        let live = self.records.len().saturating_sub(self.dead);
        compacted.records.reserve_exact(live.saturating_add(live / 8));
        compacted.slots.reserve(self.slots.len(), |slot| spread(slot.hash));
        for slot in &self.slots {
            let name = self.record(slot.position);
            // All positions are below those of the table that is compacted, which fit.
            let position = u32::try_from(compacted.records.len()).unwrap_or(u32::MAX);
            compacted.records.extend_from_slice(&u16::try_from(name.len()).unwrap_or_default().to_le_bytes());
            compacted.records.extend_from_slice(name);
            let moved = Slot { position, ..*slot };
            compacted.slots.insert_unique(spread(slot.hash), moved, |slot| spread(slot.hash));
        }
        let had_short_names = self.short.is_some();
        *self = compacted;
        if had_short_names {
            self.index_short_names();
        }
    }
}

/// The key of the hash, which is different in each process.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The bytes of a record before the name.
const LENGTH_BYTES: usize = 2;

/// Bytes of removed names up to which a table is not compacted.
const DEAD_BYTES_MIN: usize = 64 * 1024;

/// The memory of one short name in a B-tree whose nodes are at least half full, in bytes.
const SHORT_NAME_BYTES: usize = 24;

/// Names on disk that are longer are not hashed on the stack.
const PLAIN_BYTES_MAX: usize = 255;

fn hash_of_disk(forms: Forms, name: &[u8]) -> u32 {
    let mut folded = [0; PLAIN_BYTES_MAX];
    match folded.get_mut(..name.len()) {
        Some(folded) if names::is_plain(name) => {
            folded.copy_from_slice(name);
            folded.make_ascii_lowercase();
            hash_of_bytes(folded)
        }
        _ => hash_of(forms, &names::decode(name)),
    }
}

fn hash_of(forms: Forms, name: &str) -> u32 {
    hash_of_text(fold_in(forms, name).as_str())
}

fn hash_of_short_name(disk: &[u8]) -> Option<u32> {
    short_name::other_short_name(&names::decode(disk)).map(|short| hash_of_text(&short))
}

fn hash_of_text(text: &str) -> u32 {
    hash_of_bytes(text.as_bytes())
}

fn hash_of_bytes(bytes: &[u8]) -> u32 {
    u32::try_from(KEY.hash_one(bytes) >> 32).unwrap_or_default()
}

/// The hash for the table of slots, which uses the lowest and the highest bits of 64.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(forms: Forms, names: &[&str]) -> NameTable {
        let mut table = NameTable::new(forms);
        names.iter().for_each(|name| assert!(table.insert(name.as_bytes())));
        table
    }

    #[test]
    fn the_first_of_several_spellings_is_found() {
        let mut table = table(Forms::Exact, &["name", "Name", "other"]);
        assert_eq!(table.find("NAME"), Some(&b"Name"[..]));
        table.remove(b"Name");
        assert_eq!(table.find("NAME"), Some(&b"name"[..]));
        table.remove(b"Name");
        table.remove(b"name");
        assert_eq!(table.find("NAME"), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_name_that_is_added_twice_is_removed_once() {
        let mut table = table(Forms::Any, &["größe", "größe"]);
        assert_eq!(table.find("gro\u{308}ßE"), Some("größe".as_bytes()));
        table.remove("größe".as_bytes());
        assert_eq!(table.find("größe"), None);
    }

    #[test]
    fn a_name_costs_at_most_28_bytes_and_its_own() {
        let mut table = NameTable::new(Forms::Exact);
        let (mut own, count) = (0, 100_000);
        for number in 0..count {
            let name = format!("Document {number:06}.txt");
            own += name.len();
            assert!(table.insert(name.as_bytes()));
        }
        let each = (table.size_bytes() - own) as f64 / f64::from(count);
        assert!((12.0..=28.0).contains(&each), "{each}");
        let all = table.size_bytes();
        for number in 0..count {
            table.remove(format!("Document {number:06}.txt").as_bytes());
        }
        assert!(table.size_bytes() < all / 100, "{} of {all}", table.size_bytes());
    }

    #[test]
    fn short_names_are_found_also_if_names_were_added_later() {
        let mut table = table(Forms::Exact, &["a long name.txt"]);
        for name in ["a long name.txt", "another long name.txt"] {
            let short = short_name::short_name(name).unwrap();
            assert!(table.insert(name.as_bytes()));
            assert_eq!(table.find(&short.to_lowercase()), Some(name.as_bytes()));
        }
        let short = short_name::short_name("a long name.txt").unwrap();
        table.remove(b"a long name.txt");
        assert_eq!(table.find(&short), None);
    }

    proptest! {
        #[test]
        fn a_table_finds_what_a_search_of_all_names_finds(
            any in any::<bool>(),
            changes in proptest::collection::vec((any::<bool>(), "[aAäÄa\u{308}ſk:. ]{1,3}(long|LONG)?"), 1..60),
            wanted in "[aAäÄa\u{308}ſk]{1,3}(long|LONG)?",
        ) {
            let forms = if any { Forms::Any } else { Forms::Exact };
            let (mut table, mut all) = (NameTable::new(forms), BTreeSet::new());
            for (number, (is_added, name)) in changes.into_iter().enumerate() {
                if is_added {
                    prop_assert!(table.insert(name.as_bytes()));
                    all.insert(name.into_bytes());
                } else {
                    table.remove(name.as_bytes());
                    all.remove(name.as_bytes());
                }
                if number % 20 == 19 {
                    table.compact();
                }
                prop_assert_eq!(table.len(), all.len());
            }
            let expected = all.iter().find(|name| names::matches(forms, name, &wanted));
            prop_assert_eq!(table.find(&wanted), expected.map(Vec::as_slice));
            for name in &all {
                let Some(short) = short_name::other_short_name(&names::decode(name)) else { continue };
                let expected = all.iter().find(|name| short_name::stands_for(&short, &names::decode(name)));
                prop_assert_eq!(table.find(&short), expected.map(Vec::as_slice));
            }
        }
    }
}
