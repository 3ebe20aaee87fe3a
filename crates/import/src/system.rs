//! The machine as the import sees it, so that everything else is a function of its inputs.

use std::io;
use std::net::IpAddr;
use std::path::Path;

/// The files, names and accounts of the machine.
pub trait System {
    /// The content of a file of at most `most` bytes; FileTooLarge for a larger one.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;
    /// True if the directory exists and has entries.
    fn has_entries(&self, directory: &Path) -> bool;
    /// The name of the host, without a domain.
    fn host_name(&self) -> String;
    /// A variable of the environment.
    fn environment(&self, name: &str) -> Option<String>;
    /// The uid of a Unix account.
    fn uid(&self, user: &str) -> Option<u32>;
    /// True if the Unix group exists.
    fn has_group(&self, group: &str) -> bool;
    /// The names of the groups of a Unix account.
    fn groups_of(&self, user: &str) -> Vec<String>;
    /// The names and addresses of the network interfaces.
    fn interfaces(&self) -> Vec<(String, IpAddr)>;
}
