//! Two independent SMB clients in Rust against the real binary: the tests are in `main.rs` and the files beside it.
#![forbid(unsafe_code)]
