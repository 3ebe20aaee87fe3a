//! The directories on which the kernel reports changes (inotify).

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry::FileKey;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use vfs::Streams;
use wire::names::rest_below;

use super::Watcher;
use crate::core::limits;

/// The inotify descriptor, and the directories on which it reports.
pub(super) struct Observed {
    kernel: Option<Arc<OwnedFd>>,
    /// The directories by the kernel's number: one directory may have several paths.
    directories: HashMap<i32, Vec<WatchedDirectory>>,
    numbers: HashMap<String, (i32, Watcher)>,
    /// The number of observed directories of each user.
    counts: HashMap<Watcher, usize>,
    /// The number of calls to the kernel under way: each accesses a directory, which may hang.
    asking: usize,
    /// Numbers that are no longer needed. They are kept while calls are under way, because a call may return one of
    /// them again.
    unneeded: Vec<i32>,
}

/// A call to the kernel, which is made without locking the tables.
pub(super) struct Question(Arc<OwnedFd>);

impl Question {
    /// Lets the kernel report on a directory; with `data`, also on every write to a file in it.
    pub(super) fn ask(&self, way: &str, data: bool) -> Result<i32, Errno> {
        let flags = if data { NAMES | WatchFlags::MODIFY } else { NAMES };
        inotify::add_watch(&self.0, way, flags)
    }
}

/// A path to an open directory.
pub(super) fn way(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A directory, by its name for watches and its place on the disk.
#[derive(Clone, Debug)]
pub(super) struct WatchedDirectory {
    /// The path in the form of [`super::Watches::host_path`].
    pub(super) path: String,
    /// The share's directory.
    pub(super) root: Arc<Path>,
    /// The device and inode of that directory, which may have been exchanged for another since.
    pub(super) identity: FileKey,
    /// The path below that directory on the disk.
    pub(super) below: PathBuf,
    /// The setting that determines the directories of streams, which clients do not see.
    pub(super) streams: Streams,
}

impl WatchedDirectory {
    /// The place of a name in the directory; `None` for a directory that clients do not see.
    pub(super) fn child(&self, name: &[u8]) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let is_top = self.below.as_os_str().is_empty();
        if vfs::local::is_of_streams(self.streams, is_top, name) {
            return None;
        }
        Some(Self {
            path: format!("{}/{}", self.path, vfs::local::wire_name(name)),
            root: Arc::clone(&self.root),
            identity: self.identity,
            below: self.below.join(std::ffi::OsStr::from_bytes(name)),
            streams: self.streams,
        })
    }

    /// Opens the directory, unless the share has another directory by now. The path cannot lead out of the share.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&*self.root, directory, Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        if (stat.st_dev, stat.st_ino) != (self.identity.device, self.identity.inode) {
            return Err(Errno::NOENT);
        }
        let below = if self.below.as_os_str().is_empty() { Path::new(".") } else { &self.below };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&root, below, flags, Mode::empty(), resolve)
    }
}

impl Observed {
    pub(super) fn new() -> Self {
        let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .inspect_err(|error| {
                tracing::warn!(%error, "inotify is not available; clients are not notified of changes by local processes");
            })
            .ok();
        Self {
            kernel: kernel.map(Arc::new),
            directories: HashMap::new(),
            numbers: HashMap::new(),
            counts: HashMap::new(),
            asking: 0,
            unneeded: Vec::new(),
        }
    }

    /// The descriptor for the kernel's reports; `None` if there is no inotify.
    pub(super) fn kernel(&self) -> Option<&Arc<OwnedFd>> {
        self.kernel.as_ref()
    }

    /// Begins a call for reports on a directory. Returns `None` if a limit does not allow it. [`Self::answered`] ends
    /// the call.
    pub(super) fn question(&mut self, path: &str, watcher: &Watcher) -> Option<Question> {
        let kernel = self.kernel.as_ref()?;
        let is_new = !self.numbers.contains_key(path);
        let known = self.numbers.len().saturating_add(self.unneeded.len()).saturating_add(self.asking);
        if is_new && known >= limits::OBSERVED_DIRECTORIES {
            tracing::warn!(
                "too many directories are watched; clients are not notified of changes by local processes in others"
            );
            return None;
        }
        if is_new && self.count_of(watcher) >= limits::OBSERVED_PER_USER {
            tracing::debug!(
                "a user watches too many directories; the user's clients are not notified of changes by local processes in others"
            );
            return None;
        }
        self.asking += 1;
        Some(Question(Arc::clone(kernel)))
    }

    /// Records the result of a call. Returns false if there are no reports.
    pub(super) fn answered(
        &mut self,
        place: WatchedDirectory,
        number: Result<i32, Errno>,
        watcher: Watcher,
    ) -> bool {
        self.asking = self.asking.saturating_sub(1);
        let is_observed = match number {
            Ok(number) => {
                if !self.numbers.contains_key(&place.path) {
                    *self.counts.entry(Watcher::clone(&watcher)).or_default() += 1;
                    self.numbers.insert(place.path.clone(), (number, watcher));
                    self.directories.entry(number).or_default().push(place);
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch a directory; clients are not notified of changes by local processes in it");
                false
            }
        };
        if self.asking == 0 {
            for number in std::mem::take(&mut self.unneeded) {
                if !self.directories.contains_key(&number) {
                    self.remove_number(number);
                }
            }
        }
        is_observed
    }

    fn remove_number(&self, number: i32) {
        if let Some(kernel) = &self.kernel {
            match inotify::remove_watch(kernel, number) {
                // The kernel removes the watch of a directory that is deleted.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot end the kernel's reports on a directory that is no longer watched")
                }
            }
        }
    }

    /// Counts an observed directory for another user, even beyond that user's limit.
    pub(super) fn count_for(&mut self, path: &str, watcher: Watcher) {
        let Some((_, counted)) = self.numbers.get_mut(path) else { return };
        *self.counts.entry(Watcher::clone(&watcher)).or_default() += 1;
        let before = std::mem::replace(counted, watcher);
        self.uncount(&before);
    }

    fn count_of(&self, watcher: &Watcher) -> usize {
        self.counts.get(watcher).copied().unwrap_or(0)
    }

    fn uncount(&mut self, watcher: &Watcher) {
        if let Some(count) = self.counts.get_mut(watcher) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(watcher);
            }
        }
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.numbers.contains_key(path)
    }

    /// The directories with the kernel's number.
    pub(super) fn places(&self, number: i32) -> &[WatchedDirectory] {
        self.directories.get(&number).map(Vec::as_slice).unwrap_or_default()
    }

    /// The place on the disk of the directory with this path.
    pub(super) fn place(&self, path: &str) -> Option<&WatchedDirectory> {
        let (number, _) = self.numbers.get(path)?;
        self.places(*number).iter().find(|place| place.path == path)
    }

    /// Ends the reports on a directory.
    pub(super) fn remove(&mut self, path: &str) {
        let Some((number, watcher)) = self.numbers.remove(path) else { return };
        self.uncount(&watcher);
        let Some(places) = self.directories.get_mut(&number) else { return };
        places.retain(|place| place.path != path);
        if places.is_empty() {
            self.directories.remove(&number);
            if self.asking == 0 {
                self.remove_number(number);
            } else {
                self.unneeded.push(number);
            }
        }
    }

    /// The paths of the directory at `path` and of those below it.
    pub(super) fn paths_in(&self, path: &str) -> Vec<String> {
        self.numbers.keys().filter(|known| rest_below(known, path, &['/']).is_some()).cloned().collect()
    }

    /// Removes a directory on which the kernel has stopped to report.
    pub(super) fn forget(&mut self, number: i32) {
        for place in self.directories.remove(&number).unwrap_or_default() {
            if let Some((_, watcher)) = self.numbers.remove(&place.path) {
                self.uncount(&watcher);
            }
        }
    }

    /// Gives directories their new paths in the tables, where they have one. On the disk nothing has moved.
    pub(super) fn known_as(&mut self, new_name: impl Fn(&str) -> Option<String>) {
        let moved: Vec<_> =
            self.numbers.keys().filter_map(|old| Some((old.clone(), new_name(old)?))).collect();
        for (old, new) in moved {
            let Some((number, watcher)) = self.numbers.remove(&old) else { continue };
            let places = self.directories.entry(number).or_default();
            places.iter_mut().filter(|place| place.path == old).for_each(|place| place.path.clone_from(&new));
            if let Some((_, replaced)) = self.numbers.insert(new, (number, watcher)) {
                self.uncount(&replaced);
            }
        }
    }

    /// Records that a directory was renamed, with all directories below it.
    pub(super) fn renamed(&mut self, from: &str, to: &WatchedDirectory) {
        for old in self.paths_in(from) {
            let Some((number, watcher)) = self.numbers.remove(&old) else { continue };
            let rest = old.get(from.len()..).unwrap_or_default();
            let new = format!("{}{rest}", to.path);
            let places = self.directories.entry(number).or_default();
            for place in places.iter_mut().filter(|place| place.path == old) {
                let depth = rest.matches('/').count();
                let tail: PathBuf = tail(&place.below, depth);
                place.path.clone_from(&new);
                place.root = Arc::clone(&to.root);
                place.identity = to.identity;
                place.below = to.below.join(tail);
            }
            if let Some((_, replaced)) = self.numbers.insert(new, (number, watcher)) {
                self.uncount(&replaced);
            }
        }
    }
}

/// The last components of a path.
fn tail(path: &Path, components: usize) -> PathBuf {
    let all: Vec<_> = path.components().collect();
    all.iter().skip(all.len().saturating_sub(components)).collect()
}

/// All changes that a listing of the directory shows; written data when the file is closed.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::MASK_ADD);

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &Path, name: &str) -> WatchedDirectory {
        let path = format!("{}/{name}", root.display());
        let below = PathBuf::from(name);
        WatchedDirectory {
            path,
            root: root.into(),
            identity: FileKey::default(),
            below,
            streams: Streams::Depot,
        }
    }

    #[test]
    fn observed_directories_are_limited_for_each_user() {
        let root = tempfile::tempdir().unwrap();
        let mut observed = Observed::new();
        let [ann, bob]: [Watcher; 2] =
            ["ann", "bob"].map(|it| Some(Arc::new((auth::IdentityKind::User, wire::AccountName::new(it)))));
        // The same directory by many paths, as through many shares.
        let add = |observed: &mut Observed, number: usize, watcher: &Watcher| {
            let way = root.path().display().to_string();
            let place = place(root.path(), &number.to_string());
            let Some(question) = observed.question(&place.path, watcher) else { return false };
            observed.answered(place, question.ask(&way, false), Watcher::clone(watcher))
        };
        let anns = (0..limits::OBSERVED_DIRECTORIES).take_while(|number| add(&mut observed, *number, &ann));
        assert_eq!(anns.count(), limits::OBSERVED_PER_USER);
        assert!(add(&mut observed, 0, &ann), "a directory that is observed already needs no place");
        assert!(add(&mut observed, 100_000, &bob));
        assert!(!add(&mut observed, 100_001, &ann));
        // A directory that another user still needs when the first one has left is counted for the other.
        observed.count_for(&place(root.path(), "0").path, Watcher::clone(&bob));
        assert!(add(&mut observed, 100_001, &ann));
        observed.remove(&place(root.path(), "1").path);
        assert_eq!((observed.count_of(&ann), observed.count_of(&bob)), (limits::OBSERVED_PER_USER - 1, 2));
        let numbers: Vec<i32> = observed.directories.keys().copied().collect();
        numbers.into_iter().for_each(|number| observed.forget(number));
        assert!(observed.counts.is_empty() && observed.numbers.is_empty());
    }
}
