//! Recently removed names (MS-FSA 2.1.1.1, TunnelCacheList): if a program saves a file by removing it and
//! creating it again under its short name, the new file gets the long name.

use crate::limits::{TUNNEL_AGE_MAX, TUNNEL_NAMES_MAX};
use crate::short_name;
use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::Mutex;

/// The removed names, oldest first.
#[derive(Default)]
pub(super) struct Tunnel(Mutex<VecDeque<Gone>>);

struct Gone {
    directory: (u64, u64),
    name: String,
    short_name: String,
    since: Instant,
}

impl Tunnel {
    /// Remembers a name that was removed from a directory (device, inode).
    pub(super) fn removed(&self, directory: (u64, u64), name: &str) {
        let Some(short_name) = short_name::other_short_name(name) else { return };
        let mut gone = self.0.lock();
        gone.retain(|it| it.since.elapsed() < TUNNEL_AGE_MAX);
        if gone.len() >= TUNNEL_NAMES_MAX {
            gone.pop_front();
        }
        gone.push_back(Gone { directory, name: name.to_owned(), short_name, since: Instant::now() });
    }

    /// The long name that a new file `name` in a directory gets instead: a removed name with this short name.
    pub(super) fn take(&self, directory: (u64, u64), name: &str) -> Option<String> {
        if !short_name::may_be_derived(name) {
            return None;
        }
        let mut gone = self.0.lock();
        let index = gone.iter().rposition(|it| {
            it.directory == directory
                && it.short_name.eq_ignore_ascii_case(name)
                && it.since.elapsed() < TUNNEL_AGE_MAX
        })?;
        gone.remove(index).map(|it| it.name)
    }
}
