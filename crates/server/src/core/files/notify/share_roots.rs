//! The names that the directories of shares have in the tables of watches and leases.
//!
//! A share may have several directories at a time: when the directory is exchanged for another, or a disk is mounted
//! over it, clients that were connected before keep the previous one. Changes in one of them are not reported for the
//! other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use registry::FileKey;

/// The directory of a share for watches.
#[derive(Debug)]
pub(crate) struct WatchRoot {
    /// The path of the directory on the host, without a trailing separator. If another directory with the same path is
    /// in use, a number precedes the path.
    pub(super) name: String,
    /// The device and inode of the directory.
    pub(super) identity: FileKey,
}

/// The directories in use.
#[derive(Debug, Default)]
pub(super) struct Roots(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_path: HashMap<String, Vec<Weak<WatchRoot>>>,
    /// The number of directories that needed a prefix.
    told_apart: u64,
}

impl Roots {
    /// The directory `identity` with this path on the host. Its name is the same for all shares.
    pub(super) fn of(&self, path: &Path, identity: FileKey) -> Arc<WatchRoot> {
        let path = path.to_string_lossy();
        let path = path.trim_end_matches('/');
        let mut table = self.0.lock();
        let Table { by_path, told_apart } = &mut *table;
        // A directory that is no longer used is removed by the next call.
        by_path.retain(|_, roots| {
            roots.retain(|root| root.strong_count() != 0);
            !roots.is_empty()
        });
        let roots = by_path.entry(path.to_owned()).or_default();
        let mut known = roots.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|root| root.identity == identity) {
            return known;
        }
        let is_first = !roots.iter().filter_map(Weak::upgrade).any(|root| root.name == path);
        let name = if is_first {
            path.to_owned()
        } else {
            *told_apart = told_apart.saturating_add(1);
            format!("{told_apart}{path}")
        };
        let root = Arc::new(WatchRoot { name, identity });
        roots.push(Arc::downgrade(&root));
        root
    }
}

/// The path on the host of the directory with this name.
pub(super) fn on_host(name: &str) -> &str {
    name.trim_start_matches(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_one_path_have_distinct_names_while_in_use() {
        let roots = Roots::default();
        let of = |path: &str, inode| roots.of(Path::new(path), FileKey { device: 1, inode, stream: 0 });
        let (first, second, other) = (of("/srv/a", 1), of("/srv/a/", 2), of("/srv/b", 1));
        assert_eq!((&*first.name, &*second.name, &*other.name), ("/srv/a", "1/srv/a", "/srv/b"));
        assert!(Arc::ptr_eq(&second, &of("/srv/a", 2)) && Arc::ptr_eq(&first, &of("/srv/a", 1)));
        assert_eq!((on_host(&first.name), on_host(&second.name)), ("/srv/a", "/srv/a"));
        drop(first);
        let third = of("/srv/a", 3);
        assert_eq!(third.name, "/srv/a");
        assert_eq!(of("/srv/a", 1).name, "2/srv/a");
        drop((second, third, other));
        assert_eq!(of("/srv/c", 1).name, "/srv/c");
        assert_eq!(roots.0.lock().by_path.len(), 1);
    }
}
