//! [`targets::invitations`] under libFuzzer.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::invitations(data));

/// Without libFuzzer there is nothing to run here: `tests/replay.rs` runs the corpus.
#[cfg(not(fuzzing))]
fn main() {}
