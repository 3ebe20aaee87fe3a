//! The record of the bytes that the server acknowledged, and the check that they exist.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use testkit::Random;

/// The bytes of a slot, the unit of writes.
pub(crate) const SLOT: usize = 4096;

/// One client's files, each of slots that are written whole.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    files: BTreeMap<String, FileLedger>,
}

#[derive(Debug, Default)]
struct FileLedger {
    /// The seed of the file's blocks.
    key: u64,
    slots: BTreeMap<usize, Slot>,
    /// True if the name is uncertain, because a rename or a removal was not answered.
    uncertain: bool,
    /// True if a write may still arrive, so that nothing more is written.
    left_alone: bool,
}

/// The numbers of the writes to a slot: later ones are higher.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tried: u64,
    acknowledged: u64,
    flushed: u64,
}

impl Ledger {
    /// A file that was made, or opened anew.
    pub(crate) fn made(&mut self, name: &str, key: u64) {
        self.files.insert(name.to_owned(), FileLedger { key, ..FileLedger::default() });
    }

    /// The blocks to write over slots from `first` on.
    pub(crate) fn try_write(&mut self, name: &str, first: usize, count: usize) -> Vec<u8> {
        let Some(file) = self.files.get_mut(name) else { return Vec::new() };
        let mut bytes = vec![0; count * SLOT];
        for (index, block) in (first..).zip(bytes.chunks_mut(SLOT)) {
            let slot = file.slots.entry(index).or_default();
            slot.tried += 1;
            fill(file.key, index, slot.tried, block);
        }
        bytes
    }

    /// Records that the server acknowledged `count` slots from `first` on.
    pub(crate) fn acknowledged(&mut self, name: &str, first: usize, count: usize) {
        let Some(file) = self.files.get_mut(name) else { return };
        for slot in file.slots.range_mut(first..first + count).map(|(_, slot)| slot) {
            slot.acknowledged = slot.tried;
        }
    }

    /// Records that the server flushed the acknowledged data.
    pub(crate) fn flushed(&mut self, name: &str) {
        let Some(file) = self.files.get_mut(name) else { return };
        file.slots.values_mut().for_each(|slot| slot.flushed = slot.acknowledged);
    }

    /// Records that the server was killed: only flushed data is guaranteed.
    pub(crate) fn server_killed(&mut self) {
        for slot in self.files.values_mut().flat_map(|file| file.slots.values_mut()) {
            slot.acknowledged = slot.flushed;
        }
    }

    pub(crate) fn renamed(&mut self, from: &str, to: &str) {
        if let Some(file) = self.files.remove(from) {
            self.files.insert(to.to_owned(), file);
        }
    }

    pub(crate) fn removed(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Records that a request which changes the file's name was not answered.
    pub(crate) fn uncertain(&mut self, name: &str) {
        if let Some(file) = self.files.get_mut(name) {
            file.uncertain = true;
        }
    }

    /// A write was not answered, and may still be made.
    pub(crate) fn leave_alone(&mut self, name: &str) {
        if let Some(file) = self.files.get_mut(name) {
            file.left_alone = true;
        }
    }

    /// The names of the files that may be written to.
    pub(crate) fn names_to_use(&self) -> Vec<String> {
        let usable = self.files.iter().filter(|(_, file)| !file.uncertain && !file.left_alone);
        usable.map(|(name, _)| name.clone()).collect()
    }

    /// The names that must be there.
    pub(crate) fn certain_names(&self) -> Vec<String> {
        self.files.iter().filter(|(_, file)| !file.uncertain).map(|(name, _)| name.clone()).collect()
    }

    /// The number of acknowledged slots.
    pub(crate) fn slots(&self) -> usize {
        let slots = self.files.values().flat_map(|file| file.slots.values());
        slots.filter(|slot| slot.acknowledged > 0).count()
    }

    /// The difference between a block that was read and the record, if there is one.
    pub(crate) fn check_read(&self, name: &str, index: usize, block: &[u8]) -> Result<(), String> {
        let Some(file) = self.files.get(name) else { return Ok(()) };
        let slot = file.slots.get(&index).copied().unwrap_or_default();
        file.check(slot, index, block).map_err(|what| format!("{name}, slot {index}: {what}"))
    }

    /// Everything that is wrong with the files in `directory`.
    pub(crate) fn check(&self, directory: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, file) in &self.files {
            let path = directory.join(name);
            let mut content = Vec::new();
            match File::open(&path).and_then(|mut it| it.read_to_end(&mut content)) {
                Ok(_) => {}
                Err(_) if file.uncertain => continue,
                Err(error) => {
                    wrong.push(format!("{}: {error}", path.display()));
                    continue;
                }
            }
            for (&index, &slot) in &file.slots {
                let mut block = content.get(index * SLOT..).unwrap_or_default().to_vec();
                block.resize(SLOT, 0);
                if let Err(what) = file.check(slot, index, &block) {
                    wrong.push(format!("{}, slot {index}: {what}", path.display()));
                }
            }
        }
        wrong
    }
}

impl FileLedger {
    fn check(&self, slot: Slot, index: usize, block: &[u8]) -> Result<(), String> {
        let found = block.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
        let mut expected = vec![0; SLOT];
        if found != 0 {
            fill(self.key, index, found, &mut expected);
        }
        let least = slot.acknowledged.max(slot.flushed);
        if expected[..block.len().min(SLOT)] != *block {
            return Err(format!("not a block of this place (number {found:#x}; {slot:?})"));
        }
        if found < least || found > slot.tried {
            return Err(format!("write {found} is there; {slot:?}"));
        }
        Ok(())
    }
}

/// Fills the block of one write with its number and values that are computed from it.
fn fill(key: u64, index: usize, number: u64, block: &mut [u8]) {
    let mut random = Random::new(key ^ number.rotate_left(20), index as u64);
    random.fill(block);
    if let Some(start) = block.first_chunk_mut() {
        *start = number.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_slots_must_exist() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::default();
        ledger.made("f", 7);
        let first = ledger.try_write("f", 0, 2);
        ledger.acknowledged("f", 0, 2);
        std::fs::write(directory.path().join("f"), &first).unwrap();
        assert_eq!(ledger.check(directory.path()), [""; 0]);
        // A write without an answer may or may not have happened.
        let second = ledger.try_write("f", 1, 1);
        assert_eq!(ledger.check(directory.path()), [""; 0]);
        ledger.acknowledged("f", 1, 1);
        assert_eq!(ledger.check(directory.path()).len(), 1, "an acknowledged write is not there");
        ledger.server_killed();
        assert_eq!(ledger.check(directory.path()), [""; 0], "nothing was flushed");
        std::fs::write(directory.path().join("f"), [&first[..SLOT], &second].concat()).unwrap();
        assert_eq!(ledger.check(directory.path()), [""; 0]);
        std::fs::write(directory.path().join("f"), [&second[..], &second].concat()).unwrap();
        assert_eq!(ledger.check(directory.path()).len(), 1, "a block at another's place");
    }
}
