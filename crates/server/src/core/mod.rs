//! The state of the server outside of the registry, which the three other rooms share.
//!
//! The server with its sessions, tree connects and opens; the settings and the accounts; the work that the registry's
//! decisions require ([`effects`]); security descriptors and files.

pub(crate) mod accounts;
pub(crate) mod admin_slots;
pub(crate) mod admission;
pub(crate) mod audit;
pub(crate) mod blocking;
pub(crate) mod bulkhead;
pub(crate) mod caller;
pub(crate) mod certificate;
mod channel_bindings;
pub(crate) mod clock;
pub(crate) mod cluster;
pub mod config;
pub(crate) mod configuration;
pub(crate) mod connection_link;
pub(crate) mod console;
pub(crate) mod delayed_logons;
pub(crate) mod directory;
pub(crate) mod discovery;
pub(crate) mod domain;
pub(crate) mod effects;
pub(crate) mod expiring_table;
pub(crate) mod file_version;
pub(crate) mod files;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod forced_identity;
pub(crate) mod guesses;
pub(crate) mod handle_logs;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod input_budget;
pub(crate) mod limits;
pub(crate) mod logon_log;
pub(crate) mod logon_user;
pub mod logons;
pub(crate) mod notices;
pub(crate) mod open;
pub(crate) mod parted;
pub(crate) mod pass_through;
pub(crate) mod password_logon;
pub(crate) mod path_variables;
pub(crate) mod pipe;
pub(crate) mod pipe_usage;
pub(crate) mod process_figures;
pub(crate) mod random;
pub(crate) mod refused_hosts;
pub(crate) mod replay_journal;
pub(crate) mod request_counters;
pub(crate) mod roles;
pub(crate) mod run_state;
pub(crate) mod runtime;
pub(crate) mod sandbox;
pub(crate) mod security;
pub(crate) mod server;
pub(crate) mod service_keys;
pub(crate) mod session;
pub(crate) mod session_user;
pub(crate) mod share_deletions;
pub(crate) mod start_error;
pub(crate) mod state_file;
pub(crate) mod status;
pub(crate) mod ticket_logon;
pub(crate) mod tree;
pub(crate) mod waiting;
