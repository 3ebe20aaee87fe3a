//! Other people's clients against the real binary: the tests are in `main.rs` and the files beside it.
#![forbid(unsafe_code)]
