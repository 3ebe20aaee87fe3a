//! The limit of a share for Time Machine: clients see a volume of this size, and fill it with backups.
//!
//! The files of the share are counted in the background, at times when clients ask for its space. Answers have the last
//! count, so that none of them waits for a search of the disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry::FileKey;
use tokio::sync::Notify;
use tokio::time::Instant;
use vfs::Space;
use wire::ShareName;

use crate::core::open::Open;
use crate::core::server::Server;
use crate::core::tree::Share;

/// The space that the shares with a limit use.
#[derive(Default)]
pub(crate) struct UsedSpace {
    counts: Mutex<HashMap<(ShareName, FileKey), Count>>,
    /// Reports that a share has to be counted for the first time.
    unknown: Notify,
}

/// The count of a share in one of its directories.
struct Count {
    /// The bytes that the files use; `None` until they have been counted.
    bytes: Option<u64>,
    /// True if a client asked since the last count.
    asked: bool,
    /// The earliest time of the next count.
    next: Instant,
}

impl UsedSpace {
    /// The space that the client of an open sees, of the space of the file system.
    pub(crate) fn limited(&self, open: &Open, space: Space) -> Space {
        let settings = &open.tree().share.settings;
        let Some(limit) = settings.time_machine_limit else { return space };
        let key = (ShareName::new(&settings.name), open.tree().root());
        let mut counts = self.counts.lock();
        let count = counts.entry(key).or_insert_with(|| {
            self.unknown.notify_one();
            Count { bytes: None, asked: true, next: Instant::now() }
        });
        count.asked = true;
        within(space, limit, count.bytes.unwrap_or(0))
    }

    /// Forgets the counts of shares that have no limit any more.
    fn forget_others(&self, limited: &[Arc<Share>]) {
        let mut counts = self.counts.lock();
        if !counts.is_empty() {
            let names: HashSet<ShareName> =
                limited.iter().map(|share| ShareName::new(&share.settings.name)).collect();
            counts.retain(|(name, _), _| names.contains(name));
        }
    }

    /// True if the share is to be counted now in this directory. The first count is made before a client asks.
    fn is_due(&self, share: &ShareName, root: FileKey) -> bool {
        let counts = self.counts.lock();
        counts
            .get(&(share.clone(), root))
            .is_none_or(|count| count.bytes.is_none() || (count.asked && count.next <= Instant::now()))
    }

    fn counted(&self, share: &ShareName, root: FileKey, bytes: Option<u64>, took: Duration) {
        let next = Instant::now() + INTERVAL.max(took.saturating_mul(REST));
        let mut counts = self.counts.lock();
        let before = counts.get(&(share.clone(), root)).and_then(|count| count.bytes);
        // After a failure, the last count is the best there is.
        let bytes = Some(bytes.or(before).unwrap_or(0));
        counts.insert((share.clone(), root), Count { bytes, asked: false, next });
    }
}

/// The space as a volume of `limit` bytes, of which `used` are used.
fn within(space: Space, limit: u64, used: u64) -> Space {
    let units = |bytes: u64| bytes / u64::from(space.unit_bytes.max(1));
    let left = units(limit.saturating_sub(used));
    Space {
        total: space.total.min(units(limit)),
        free: space.free.min(left),
        available: space.available.min(left),
        ..space
    }
}

/// Counts the files of shares with a limit, for as long as the server runs.
pub(crate) async fn count(server: Arc<Server>) {
    loop {
        let mut limited = server.shares();
        limited.retain(|share| share.settings.time_machine_limit.is_some());
        server.files.used_space.forget_others(&limited);
        for share in limited {
            count_share(&server, &share).await;
        }
        // A share that a client asks about for the first time is counted at once.
        let unknown = server.files.used_space.unknown.notified();
        let _ = tokio::time::timeout(LOOK, unknown).await;
    }
}

async fn count_share(server: &Server, share: &Share) {
    let (used, name) = (&server.files.used_space, ShareName::new(&share.settings.name));
    let Some(directory) = share.directory() else { return };
    let places = directory.places().await;
    let roots: Vec<FileKey> = places.iter().map(|files| files.root()).collect();
    used.counts.lock().retain(|(of, root), _| *of != name || roots.contains(root));
    for files in places {
        let root = files.root();
        if !used.is_due(&name, root) {
            continue;
        }
        let began = Instant::now();
        let work = move || files.backend().map(|backend| backend.used_bytes());
        let counted = crate::core::blocking::run_behind(Some(Arc::clone(&share.bulkhead)), work).await;
        let share = &share.settings.name;
        let bytes = match counted {
            Ok(Some(Ok(bytes))) => Some(bytes),
            Ok(Some(Err(error))) => {
                tracing::warn!(share, %error, "cannot count the space that the share uses; Time Machine may exceed its limit");
                None
            }
            Ok(None) => None,
            Err(status) => {
                tracing::warn!(share, %status, "cannot count the space that the share uses; Time Machine may exceed its limit");
                None
            }
        };
        used.counted(&name, root, bytes, began.elapsed());
    }
}

/// The least time between two counts: Time Machine asks before and during a backup, which takes minutes.
const INTERVAL: Duration = Duration::from_secs(30);

/// A count rests for this many times as long as it took, so that a slow disk is not searched all the time.
const REST: u32 = 20;

/// The interval at which shares that clients have asked about are looked for.
const LOOK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_has_the_size_of_the_limit_and_what_is_left_of_it() {
        let disk = Space { unit_bytes: 4096, total: 1000, free: 600, available: 500, read_only: false };
        let limited = |limit, used| {
            let space = within(disk, limit, used);
            (space.total, space.free, space.available)
        };
        assert_eq!(limited(100 * 4096, 0), (100, 100, 100));
        assert_eq!(limited(100 * 4096, 30 * 4096 + 1), (100, 69, 69));
        assert_eq!(limited(100 * 4096, 200 * 4096), (100, 0, 0));
        // The disk has less than the limit leaves.
        assert_eq!(limited(2000 * 4096, 0), (1000, 600, 500));
        assert_eq!(limited(550 * 4096, 0), (550, 550, 500));
    }
}
