//! The corpus as ordinary tests, without libFuzzer.

/// Every input of the corpus.
#[test]
fn corpus() {
    assert!(targets::replay() > 0);
}

/// Inputs near those of the corpus, the same ones every time.
#[test]
fn inputs_near_the_corpus() {
    targets::smoke(5_000);
}

/// Each target has a binary and a corpus of its name.
#[test]
fn targets_are_complete() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut binaries: Vec<_> = std::fs::read_dir(here.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    binaries.sort();
    assert_eq!(binaries, targets::TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for name in binaries {
        let files = std::fs::read_dir(here.join("corpus").join(&name)).unwrap().count();
        assert!(files > 0, "{name}");
    }
}
