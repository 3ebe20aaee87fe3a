//! Clients of other projects against the real binary; the tests are in `main.rs` and the files next to it.
#![forbid(unsafe_code)]
