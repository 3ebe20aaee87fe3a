//! The names that the directories of shares have in the tables of watches and leases.
//!
//! A share may have several directories at a time: when the directory is exchanged for another, or a disk is mounted
//! over it, clients that were connected before keep the previous one. Changes in one of them are not reported for the
//! other.
//!
//! The directory of a share may be below that of another, and the names show it: the directory that a client connected
//! to last has its path on the host as its name. The one that had this name before gets another, with all directories
//! below it, because they went with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use registry::FileKey;

use super::is_in;

/// The directory of a share for watches.
#[derive(Debug)]
pub(crate) struct WatchRoot {
    /// The path of the directory on the host, without a trailing separator. A number precedes the path if another
    /// directory has taken its place, as far as is known.
    name: Mutex<Arc<str>>,
    /// The device and inode of the directory.
    pub(super) identity: FileKey,
}

impl WatchRoot {
    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.lock())
    }
}

/// All names at and below one have become others, but for those at and below some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renamed {
    pub(super) from: String,
    pub(super) to: String,
    but: Vec<String>,
}

impl Renamed {
    /// The name that has taken the place of one.
    pub(super) fn new_name(&self, old: &str) -> Option<String> {
        let is_meant = is_in(old, &self.from) && !self.but.iter().any(|but| is_in(old, but));
        is_meant.then(|| format!("{}{}", self.to, old.get(self.from.len()..).unwrap_or_default()))
    }
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
    /// The directory `identity` with this path on the host, for a client that connects to it. Its name is the same for
    /// all shares. `there` are those of [`Self::in_doubt`] that were found in their places. Also returns the names that
    /// have changed, in this order.
    pub(super) fn of(
        &self,
        path: &Path,
        identity: FileKey,
        there: &[Arc<WatchRoot>],
    ) -> (Arc<WatchRoot>, Vec<Renamed>) {
        let path = path.to_string_lossy();
        let path = path.trim_end_matches('/');
        let mut table = self.0.lock();
        // A directory that is no longer used is removed by the next call.
        table.by_path.retain(|_, roots| {
            roots.retain(|root| root.strong_count() != 0);
            !roots.is_empty()
        });
        let roots: Vec<_> = table.by_path.get(path).into_iter().flatten().filter_map(Weak::upgrade).collect();
        let known = roots.iter().find(|root| root.identity == identity);
        let before = known.map(|known| known.name());
        let mut renamed = Vec::new();
        if before.as_deref() == Some(path) {
            return (known.map(Arc::clone).unwrap_or_else(|| table.enter(path, identity)), renamed);
        }
        if roots.iter().any(|root| *root.name() == *path) {
            table.told_apart = table.told_apart.saturating_add(1);
            let aside = format!("{}{path}", table.told_apart);
            let but = there.iter().map(|root| root.name().to_string()).collect();
            renamed.push(table.rename(Renamed { from: path.to_owned(), to: aside, but }));
        }
        match (known, before) {
            (Some(known), Some(before)) => {
                let (from, to) = (before.to_string(), path.to_owned());
                renamed.push(table.rename(Renamed { from, to, but: Vec::new() }));
                (Arc::clone(known), renamed)
            }
            _ => (table.enter(path, identity), renamed),
        }
    }
}

impl Roots {
    /// The directories below `path` that may have gone with the one that had that name, if `identity` has it now.
    pub(super) fn in_doubt(&self, path: &Path, identity: FileKey) -> Vec<Arc<WatchRoot>> {
        let path = path.to_string_lossy();
        let path = path.trim_end_matches('/');
        let table = self.0.lock();
        let named = |path: &str| {
            let roots = table.by_path.get(path).into_iter().flatten().filter_map(Weak::upgrade);
            roots.into_iter().find(|root| *root.name() == *path)
        };
        if named(path).is_none_or(|root| root.identity == identity) {
            return Vec::new();
        }
        table
            .by_path
            .keys()
            .filter(|below| *below != path && is_in(below, path))
            .filter_map(|it| named(it))
            .collect()
    }
}

#[cfg(test)]
impl Roots {
    pub(super) fn known_paths(&self) -> usize {
        self.0.lock().by_path.len()
    }
}

impl Table {
    fn enter(&mut self, path: &str, identity: FileKey) -> Arc<WatchRoot> {
        let root = Arc::new(WatchRoot { name: Mutex::new(path.into()), identity });
        self.by_path.entry(path.to_owned()).or_default().push(Arc::downgrade(&root));
        root
    }

    fn rename(&self, renamed: Renamed) -> Renamed {
        for root in self.by_path.values().flatten().filter_map(Weak::upgrade) {
            let mut name = root.name.lock();
            if let Some(new) = renamed.new_name(&name) {
                *name = new.into();
            }
        }
        renamed
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
    fn the_directory_that_clients_connect_to_has_its_path_as_its_name() {
        let roots = Roots::default();
        let asked =
            |path: &str, inode| roots.of(Path::new(path), FileKey { device: 1, inode, stream: 0 }, &[]);
        let of = |path: &str, inode| asked(path, inode).0;
        let names =
            |roots: &[&Arc<WatchRoot>]| roots.iter().map(|it| it.name().to_string()).collect::<Vec<_>>();
        let (first, inner, beside) = (of("/srv/a", 1), of("/srv/a/inner", 2), of("/srv/ab", 3));
        let (second, renamed) = asked("/srv/a/", 4);
        assert_eq!(renamed, [Renamed { from: "/srv/a".into(), to: "1/srv/a".into(), but: Vec::new() }]);
        assert_eq!(
            names(&[&first, &inner, &beside, &second]),
            ["1/srv/a", "1/srv/a/inner", "/srv/ab", "/srv/a"]
        );
        assert_eq!(on_host(&first.name()), "/srv/a");
        let second_inner = of("/srv/a/inner", 5);
        // The first is there again.
        assert!(Arc::ptr_eq(&first, &of("/srv/a", 1)) && Arc::ptr_eq(&inner, &of("/srv/a/inner", 2)));
        assert_eq!(names(&[&first, &inner]), ["/srv/a", "/srv/a/inner"]);
        assert_eq!(names(&[&second, &second_inner]), ["2/srv/a", "2/srv/a/inner"]);
        drop((first, inner, second, second_inner));
        let (last, renamed) = asked("/srv/c", 1);
        assert_eq!((names(&[&last, &beside]), renamed), (vec!["/srv/c".into(), "/srv/ab".into()], vec![]));
        assert_eq!(roots.0.lock().by_path.len(), 2);
    }

    #[test]
    fn a_root_keeps_its_name_while_the_tables_that_contain_it_are_in_use() {
        let watches = super::super::Watches::default();
        let at = |inode| watches.root_at(Path::new("/srv/a"), FileKey { device: 1, inode, stream: 0 }, &[]);
        let first = at(1);
        let tables = watches.tables();
        let meanwhile = std::thread::scope(|scope| {
            let second = scope.spawn(|| at(2));
            std::thread::sleep(std::time::Duration::from_millis(200));
            let meanwhile = first.name();
            drop(tables);
            assert_eq!(&*second.join().unwrap().name(), "/srv/a");
            meanwhile
        });
        assert_eq!((&*meanwhile, &*first.name()), ("/srv/a", "1/srv/a"));
    }
}
