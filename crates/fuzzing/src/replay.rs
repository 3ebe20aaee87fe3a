//! The targets without libFuzzer: the corpus itself, and slightly damaged inputs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::{TARGETS, Target, seeds};

/// Runs every input of the corpus, and the seeds that are too many to keep as files. Returns their number.
///
/// # Panics
/// If a target panics: with the first such input of each target.
pub fn replay() -> usize {
    let mut count = 0;
    let found = TARGETS.iter().filter_map(|target| {
        let corpus = corpus(target.0);
        count += corpus.len();
        corpus.iter().find_map(|(name, bytes)| run(target, name, bytes))
    });
    nothing(found.collect());
    count
}

/// Runs inputs that are changed in a few places each: `per_target` for each target, fewer for the slow ones, the same
/// ones every time.
///
/// # Panics
/// As [`replay`].
pub fn smoke(per_target: usize) {
    let found = TARGETS.iter().enumerate().filter_map(|(number, target)| {
        let corpus = corpus(target.0);
        assert!(!corpus.is_empty(), "{} has no corpus", target.0);
        let mut random = Random(number as u64 + 1);
        let count = if SLOW.contains(&target.0) { per_target / SLOWNESS } else { per_target };
        (0..count).find_map(|_| {
            let (origin, bytes) = &corpus[random.below(corpus.len())];
            let (_, other) = &corpus[random.below(corpus.len())];
            run(target, origin, &random.changed(bytes, other))
        })
    });
    nothing(found.collect());
}

/// Targets whose inputs take milliseconds, not microseconds, and how many times fewer they get.
const SLOW: &[&str] = &["connection", "schedules"];
const SLOWNESS: usize = 20;

/// The report about an input on which the target panics, with its bytes for a new file of the corpus.
fn run((name, target): &Target, origin: &str, bytes: &[u8]) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).err()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{name}, from {origin}: {hex}"))
}

fn nothing(found: Vec<String>) {
    assert!(found.is_empty(), "{} targets panicked; why is above\n{}", found.len(), found.join("\n"));
}

/// The inputs of a target with their names: the files of its corpus and the generated seeds.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory().join(target))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    let read = |path: PathBuf| Some((path.display().to_string(), fs::read(path).ok()?));
    let generated = seeds::seeds().into_iter().filter(|seed| seed.target == target);
    files.into_iter().filter_map(read).chain(generated.map(|seed| (seed.name, seed.bytes))).collect()
}

/// The directory of the corpora, where cargo-fuzz expects them.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// A small generator (splitmix64) with the same output everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).unwrap_or(0)
    }

    /// `bytes` with one to four changes, each of a kind that finds other faults.
    fn changed(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(8) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                3 => {
                    // A length, an offset or a count at its border.
                    let value =
                        [0, 1, 0x7fff, 0xffff, 0x8000_0000, 0xffff_ffff_u32][self.below(6)].to_le_bytes();
                    let size = [1, 2, 4][self.below(3)];
                    for (place, byte) in bytes.iter_mut().skip(at & !1).zip(&value[..size]) {
                        *place = *byte;
                    }
                }
                4 => bytes.insert(at, self.next() as u8),
                5 => {
                    let end = at + self.below(bytes.len() - at + 1);
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                6 => {
                    let end = at + self.below(bytes.len() - at + 1);
                    bytes.drain(at..end);
                }
                _ => {
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }
}
