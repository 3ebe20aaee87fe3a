//! Writes the seeds into the corpus, some of each kind. Inputs that fuzzing found are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Files per target; the replay runs the others too, without files.
const FILES_MAX: usize = 24;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut of_target: BTreeMap<&str, Vec<targets::seeds::Seed>> = BTreeMap::new();
    for seed in targets::seeds::seeds() {
        of_target.entry(seed.target).or_default().push(seed);
    }
    for (target, seeds) in of_target {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        // Evenly over all of them, for they are in order of kind.
        let step = seeds.len().div_ceil(FILES_MAX).max(1);
        for seed in seeds.iter().step_by(step) {
            fs::write(directory.join(&seed.name), &seed.bytes)?;
        }
    }
    Ok(())
}
