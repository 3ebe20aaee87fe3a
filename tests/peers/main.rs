//! Other people's clients against the real binary.
//!
//! `SHAREWARD_TEST_SUBJECT=samba` runs the same tests against Samba's smbd, which shows whether a test or the server
//! is wrong. `cargo xtask test` installs the clients; without them a test says loudly that it was skipped.
#![forbid(unsafe_code)]

mod abuse;
mod administration;
mod attributes;
mod changes;
mod control_pipe;
mod documents;
mod grammar;
mod hostile;
mod kernel;
mod kind_close;
mod logon;
mod moves;
mod names;
mod net_use;
mod ownership;
mod remote;
mod reparse;
mod roles;
mod scripted;
mod settings;
mod shares;
mod smbclient;
mod soak;
mod verbs;
