//! This machine, as the import sees it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;

use import::System;
use nix::unistd::{Group, User, getgrouplist};

/// The files and accounts of this machine. Look-ups of names are remembered: large configurations repeat them.
#[derive(Default)]
pub(super) struct Machine {
    uids: RefCell<HashMap<String, Option<u32>>>,
    members: RefCell<HashMap<String, Vec<String>>>,
    groups: RefCell<HashMap<String, bool>>,
}

impl System for Machine {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        // A directory can be opened, and a device or pipe could be read forever.
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn has_entries(&self, directory: &Path) -> bool {
        std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn host_name(&self) -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        host.split('.').next().unwrap_or_default().to_owned()
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn uid(&self, user: &str) -> Option<u32> {
        let look_up = || User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
        *self.uids.borrow_mut().entry(user.to_owned()).or_insert_with(look_up)
    }

    fn has_group(&self, group: &str) -> bool {
        let look_up = || matches!(Group::from_name(group), Ok(Some(_)));
        *self.groups.borrow_mut().entry(group.to_owned()).or_insert_with(look_up)
    }

    fn groups_of(&self, user: &str) -> Vec<String> {
        self.members.borrow_mut().entry(user.to_owned()).or_insert_with(|| groups_of(user)).clone()
    }

    fn interfaces(&self) -> Vec<(String, IpAddr)> {
        let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let address = |it: nix::ifaddrs::InterfaceAddress| {
            let address = it.address?;
            let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
            Some((it.interface_name, v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))?))
        };
        all.filter_map(address).collect()
    }
}

fn groups_of(user: &str) -> Vec<String> {
    let Ok(Some(known)) = User::from_name(user) else { return Vec::new() };
    let Ok(name) = CString::new(user) else { return Vec::new() };
    let ids = getgrouplist(&name, known.gid).unwrap_or_default();
    ids.into_iter().filter_map(|id| Group::from_gid(id).ok().flatten()).map(|group| group.name).collect()
}
