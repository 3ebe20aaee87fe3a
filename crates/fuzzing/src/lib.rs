//! The fuzz targets: one function for each parser of data from clients, servers or files.
//!
//! Each takes any bytes and panics if a promise is broken: nothing panics, decoded data encodes to the same meaning,
//! and answers stay within the requested length. libFuzzer calls them from `fuzz_targets/`; [`replay`] and [`smoke`]
//! call them in ordinary tests.
#![forbid(unsafe_code)]

mod cluster;
mod config;
mod connection;
mod control;
mod dns;
mod fscc;

mod input;
mod ioctl;
mod logon;
mod logons;
mod opens;
mod registry;
mod replay;
mod rpc;
mod samba;
mod schedules;
mod security;
pub mod seeds;
mod servers;
mod smb;
mod soap;
mod tickets;
mod users;
mod wrap;

pub use cluster::{definitions, invitations, records, sealed};
pub use config::config;
pub use connection::connection;
pub use control::control;
pub use dns::dns;
pub use fscc::{fscc, names};

pub use ioctl::ioctl;
pub use logon::{logon, tokens};
pub use logons::logons;
pub use opens::opens;
pub use registry::registry;
pub use replay::{replay, smoke};
pub use rpc::{epm, lsarpc, rpc_client, rpc_server, samr, srvsvc, witness, wkssvc};
pub use samba::{passdb, smbconf};
pub use schedules::schedules;
pub use security::security;
pub use servers::servers;
pub use smb::{smb_body, smb_frame};
pub use soap::soap;
pub use tickets::tickets;
pub use users::users;
pub use wrap::wrap;

/// A target: its name, which is also that of its corpus and binary, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("config", config),
    ("connection", connection),
    ("control", control),
    ("definitions", definitions),
    ("dns", dns),
    ("epm", epm),
    ("fscc", fscc),
    ("invitations", invitations),
    ("ioctl", ioctl),
    ("logon", logon),
    ("logons", logons),
    ("lsarpc", lsarpc),
    ("names", names),
    ("opens", opens),
    ("passdb", passdb),
    ("records", records),
    ("registry", registry),
    ("rpc_client", rpc_client),
    ("rpc_server", rpc_server),
    ("samr", samr),
    ("schedules", schedules),
    ("sealed", sealed),
    ("security", security),
    ("servers", servers),
    ("smb_body", smb_body),
    ("smb_frame", smb_frame),
    ("smbconf", smbconf),
    ("soap", soap),
    ("srvsvc", srvsvc),
    ("tickets", tickets),
    ("tokens", tokens),
    ("users", users),
    ("witness", witness),
    ("wkssvc", wkssvc),
    ("wrap", wrap),
];
