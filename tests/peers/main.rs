//! Clients of other projects against the real binary.
//!
//! `SHAREWARD_TEST_SUBJECT=samba` runs the same tests against Samba's smbd, which shows whether a test or the server
//! is wrong. `cargo xtask test` installs the clients; without them a test reports that it was skipped.
#![forbid(unsafe_code)]

mod abuse;
mod accounts;
mod administration;
mod apple;
mod attributes;
mod book;
mod bounds;
mod breaks;
mod changes;
mod cmdlets;
mod completion;
mod control_pipe;
mod data;
mod discovery;
mod disks;
mod documents;
mod domain;
mod downgrade;
mod durability;
mod exchange;
mod first_steps;
mod grammar;
mod guesses;
mod hang;
mod host_locks;
mod hostile;
mod import;
mod kernel;
mod kind_close;
mod late;
mod logon;
mod mount_faults;
mod mount_programs;
mod moves;
mod names;
mod net_use;
mod numbers;
mod ownership;
mod paths;
mod posix;
mod protection;
mod raw;
mod reload;
mod remote;
mod reparse;
mod rogue;
mod roles;
mod samr;
mod sandbox;
mod scripted;
mod settings;
mod share_settings;
mod shares;
mod smbclient;
mod soak;
mod statuses;
mod strangers;
mod streams;
mod system_calls;
mod verbs;
mod who;
mod your_server;
