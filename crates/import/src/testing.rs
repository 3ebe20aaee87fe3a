//! A machine in memory.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::system::System;

/// Files, users and groups that exist only here.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    files: BTreeMap<PathBuf, Vec<u8>>,
    users: BTreeMap<String, (u32, Vec<String>)>,
    interfaces: Vec<(String, IpAddr)>,
}

impl Machine {
    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(PathBuf::from(path), content.into());
        self
    }

    /// Adds a user who is in these groups.
    #[must_use]
    pub fn with_user(mut self, name: &str, uid: u32, groups: &[&str]) -> Self {
        self.users.insert(name.to_owned(), (uid, groups.iter().map(ToString::to_string).collect()));
        self
    }

    /// Adds an address of a network interface.
    #[must_use]
    pub fn with_interface(mut self, name: &str, address: IpAddr) -> Self {
        self.interfaces.push((name.to_owned(), address));
        self
    }
}

impl System for Machine {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.clone()) }
    }

    fn has_entries(&self, directory: &Path) -> bool {
        self.files.keys().any(|path| path.parent() == Some(directory))
    }

    fn host_name(&self) -> String {
        String::from("oldbox")
    }

    fn environment(&self, name: &str) -> Option<String> {
        (name == "PLACE").then(|| String::from("place"))
    }

    fn uid(&self, user: &str) -> Option<u32> {
        self.users.get(user).map(|(uid, _)| *uid)
    }

    fn has_group(&self, group: &str) -> bool {
        self.users.values().any(|(_, groups)| groups.iter().any(|it| it == group))
    }

    fn groups_of(&self, user: &str) -> Vec<String> {
        self.users.get(user).map(|(_, groups)| groups.clone()).unwrap_or_default()
    }

    fn interfaces(&self) -> Vec<(String, IpAddr)> {
        self.interfaces.clone()
    }
}
