//! The directories that the kernel reports changes of (inotify).

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::limits;

/// The kernel's end, and what it has been asked for.
pub(super) struct Observed {
    kernel: Option<Arc<OwnedFd>>,
    /// By the kernel's number: one directory may be reached by several paths.
    directories: HashMap<i32, Vec<Place>>,
    numbers: HashMap<String, i32>,
    /// How many questions to the kernel are under way: each looks at a directory, which may hang.
    asking: usize,
    /// Numbers that nobody needs any more, kept until no question is under way that may be answered with one.
    unneeded: Vec<i32>,
}

/// A question to the kernel that is to be asked, without the tables being held.
pub(super) struct Question(Arc<OwnedFd>);

impl Question {
    /// Asks for reports on a directory, with `data` also on every write to a file in it.
    pub(super) fn ask(&self, way: &str, data: bool) -> Result<i32, Errno> {
        let flags = if data { NAMES | WatchFlags::MODIFY } else { NAMES };
        inotify::add_watch(&self.0, way, flags)
    }
}

/// The way to an open directory.
pub(super) fn way(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A directory: where watches know it, and where it is on disk.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As [`super::host_path`] has it.
    pub(super) path: String,
    /// The share's directory.
    pub(super) root: Arc<Path>,
    /// On disk, from there.
    pub(super) below: PathBuf,
}

impl Place {
    /// What has this name in it.
    pub(super) fn child(&self, name: &[u8]) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self {
            path: format!("{}/{}", self.path, vfs::local::wire_name(name)),
            root: Arc::clone(&self.root),
            below: self.below.join(std::ffi::OsStr::from_bytes(name)),
        }
    }

    /// Opens it; nothing on the way leads out of the share.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&*self.root, directory, Mode::empty())?;
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
                tracing::warn!(%error, "changes by local processes are not told: no inotify");
            })
            .ok();
        Self {
            kernel: kernel.map(Arc::new),
            directories: HashMap::new(),
            numbers: HashMap::new(),
            asking: 0,
            unneeded: Vec::new(),
        }
    }

    /// The descriptor that reports come from; none where there is no inotify.
    pub(super) fn kernel(&self) -> Option<&Arc<OwnedFd>> {
        self.kernel.as_ref()
    }

    /// Begins to ask for reports on a directory; none: they cannot be had. To be ended with [`Self::answered`].
    pub(super) fn question(&mut self, path: &str) -> Option<Question> {
        let kernel = self.kernel.as_ref()?;
        let known = self.numbers.len().saturating_add(self.unneeded.len()).saturating_add(self.asking);
        if !self.numbers.contains_key(path) && known >= limits::OBSERVED_DIRECTORIES {
            tracing::warn!("changes by local processes are not told everywhere: too many directories");
            return None;
        }
        self.asking += 1;
        Some(Question(Arc::clone(kernel)))
    }

    /// Takes in what the kernel says. False: there are no reports.
    pub(super) fn answered(&mut self, place: Place, number: Result<i32, Errno>) -> bool {
        self.asking = self.asking.saturating_sub(1);
        let is_observed = match number {
            Ok(number) => {
                if !self.numbers.contains_key(&place.path) {
                    self.numbers.insert(place.path.clone(), number);
                    self.directories.entry(number).or_default().push(place);
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "changes by local processes are not told everywhere");
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
            // A directory that is deleted takes its watch along.
            let _ = inotify::remove_watch(kernel, number);
        }
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.numbers.contains_key(path)
    }

    /// The directory with the kernel's number.
    pub(super) fn places(&self, number: i32) -> &[Place] {
        self.directories.get(&number).map(Vec::as_slice).unwrap_or_default()
    }

    /// Where the directory with this path is on disk.
    pub(super) fn place(&self, path: &str) -> Option<&Place> {
        let number = self.numbers.get(path)?;
        self.places(*number).iter().find(|place| place.path == path)
    }

    /// Asks for no more reports on a directory.
    pub(super) fn remove(&mut self, path: &str) {
        let Some(number) = self.numbers.remove(path) else { return };
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

    /// The directory at `path` and those below it.
    pub(super) fn paths_in(&self, path: &str) -> Vec<String> {
        self.numbers.keys().filter(|known| super::is_in(known, path)).cloned().collect()
    }

    /// The kernel has stopped reporting on a directory.
    pub(super) fn forget(&mut self, number: i32) {
        for place in self.directories.remove(&number).unwrap_or_default() {
            self.numbers.remove(&place.path);
        }
    }

    /// A directory is somewhere else in its share now, with all below.
    pub(super) fn renamed(&mut self, from: &str, to: &Place) {
        for old in self.paths_in(from) {
            let Some(number) = self.numbers.remove(&old) else { continue };
            let rest = old.get(from.len()..).unwrap_or_default();
            let new = format!("{}{rest}", to.path);
            let places = self.directories.entry(number).or_default();
            for place in places.iter_mut().filter(|place| place.path == old) {
                let depth = rest.matches('/').count();
                let tail: PathBuf = tail(&place.below, depth);
                place.path.clone_from(&new);
                place.root = Arc::clone(&to.root);
                place.below = to.below.join(tail);
            }
            self.numbers.insert(new, number);
        }
    }
}

/// The last components of a path.
fn tail(path: &Path, components: usize) -> PathBuf {
    let all: Vec<_> = path.components().collect();
    all.iter().skip(all.len().saturating_sub(components)).collect()
}

/// Everything that shows in a listing of the directory; data that are written, once the file is closed.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::MASK_ADD);
