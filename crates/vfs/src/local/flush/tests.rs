//! Flushes on a file system of ext4 in a file, and cuts of its power: a copy of the file is the disk as the cut leaves
//! it, because what the kernel has not yet written to the disk is not in it.

use crate::local::LocalBackend;
use crate::{Actor, Backend, Handle, LocalOptions, RelativePath, Wanted};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

thread_local! {
    /// The directories that this thread has flushed.
    pub(super) static DIRECTORIES_FLUSHED: Cell<usize> = const { Cell::new(0) };
}

/// The number of directories that `act` flushes.
fn directories_flushed(act: impl FnOnce()) -> usize {
    let before = DIRECTORIES_FLUSHED.get();
    act();
    DIRECTORIES_FLUSHED.get() - before
}

/// A mounted file system, until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn of(image: &Path, on: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir(&on).unwrap();
        run("mount", &["-o", options], &[image, &on]).then_some(Self(on))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l"], &[&self.0]);
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> bool {
    Command::new(program).args(options).args(paths).status().is_ok_and(|status| status.success())
}

/// A share on a disk of its own.
struct Disk {
    top: TempDir,
    backend: LocalBackend,
    mounted: Mounted,
    cuts: Cell<usize>,
}

impl Disk {
    /// Makes a disk of ext4 with a journal, which commits nothing by itself while a test runs; `None` without root,
    /// mkfs.ext4 or loop devices.
    fn with_journal() -> Option<Self> {
        Self::make(&[], "loop,commit=600")
    }

    /// Makes a disk with the options of mkfs.ext4 and mount.
    fn make(options: &[&str], mount: &str) -> Option<Self> {
        if !testkit::need(&["root", "mkfs.ext4"]) {
            return None;
        }
        let top = tempfile::tempdir().unwrap();
        let image = top.path().join("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        assert!(run("mkfs.ext4", &[&["-q"], options].concat(), &[&image]));
        let Some(mounted) = Mounted::of(&image, top.path().join("disk"), mount) else {
            testkit::skip("there are no loop devices");
            return None;
        };
        let backend = LocalBackend::open(&mounted.0, LocalOptions::default()).unwrap();
        Some(Self { top, backend, mounted, cuts: Cell::new(0) })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.mounted.0.join(path)
    }

    fn make_directory(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    /// Creates a file that contains its name, and opens it.
    fn make_file(&self, path: &str) -> Arc<dyn Handle> {
        fs::write(self.path(path), path).unwrap();
        let path = RelativePath::new(path.to_owned()).unwrap();
        self.backend.open(&Actor::Process, &path, Wanted::BOTH).unwrap().handle
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// The content of a file after a cut of the power at this moment.
    fn after_power_cut(&self, path: &str) -> Option<String> {
        let cut = self.cuts.replace(self.cuts.get() + 1);
        let copy = self.top.path().join(format!("copy-{cut}"));
        fs::copy(self.top.path().join("image"), &copy).unwrap();
        let again = Mounted::of(&copy, self.top.path().join(format!("again-{cut}")), "loop").unwrap();
        let content = fs::read_to_string(again.0.join(path)).ok();
        drop(again);
        fs::remove_file(copy).unwrap();
        content
    }
}

#[test]
fn flush_of_a_new_file_needs_no_flush_of_its_directories_on_ext4_with_a_journal() {
    let Some(disk) = Disk::with_journal() else { return };
    disk.make_directory("a/b");
    let file = disk.make_file("a/b/file");
    assert_eq!(disk.after_power_cut("a/b/file"), None, "the test would not find a mistake");
    let flushed = directories_flushed(|| {
        // Later than the directories, also by a clock that ticks slowly.
        while !is_newer(&disk.path("a/b/file"), &disk.path("a/b")) {
            file.write_at(b"a/b/file", 0).unwrap();
        }
        file.flush().unwrap();
    });
    assert_eq!(flushed, 0);
    assert_eq!(disk.after_power_cut("a/b/file").as_deref(), Some("a/b/file"));
}

#[test]
fn flush_makes_names_durable_that_changed_after_the_file() {
    let Some(disk) = Disk::with_journal() else { return };
    disk.make_directory("a/b");
    let file = disk.make_file("a/b/file");
    file.flush().unwrap();
    // Of a directory above the file.
    disk.rename("a", "c");
    assert_eq!(disk.after_power_cut("c/b/file"), None, "the test would not find a mistake");
    file.flush().unwrap();
    assert!(disk.after_power_cut("c/b/file").is_some());
    // Of the file's directory, into another one.
    disk.make_directory("d/e");
    disk.rename("c/b", "d/e/b");
    file.flush().unwrap();
    assert!(disk.after_power_cut("d/e/b/file").is_some());
    // Of the file.
    disk.rename("d/e/b/file", "d/name");
    file.flush().unwrap();
    assert!(disk.after_power_cut("d/name").is_some());
    // Away and back: the path is the one that was durable before.
    disk.rename("d", "x");
    file.write_at(b"new", 0).unwrap();
    file.flush().unwrap();
    disk.rename("x", "d");
    file.flush().unwrap();
    assert!(disk.after_power_cut("d/name").is_some_and(|content| content.starts_with("new")));
}

#[test]
fn flush_of_a_directory_makes_its_name_durable() {
    let Some(disk) = Disk::with_journal() else { return };
    disk.make_directory("a/b");
    disk.make_file("a/b/file");
    let path = RelativePath::new("a/b".to_owned()).unwrap();
    let directory = disk.backend.open(&Actor::Process, &path, Wanted::NOTHING).unwrap().handle;
    directory.flush().unwrap();
    assert!(disk.after_power_cut("a/b/file").is_some());
    disk.rename("a", "c");
    directory.flush().unwrap();
    assert!(disk.after_power_cut("c/b/file").is_some());
}

#[test]
fn flush_includes_all_new_directories_without_a_journal() {
    let Some(disk) = Disk::make(&["-O", "^has_journal"], "loop") else { return };
    disk.make_directory("a/b");
    let file = disk.make_file("a/b/file");
    let flushed = directories_flushed(|| {
        while !is_newer(&disk.path("a/b/file"), &disk.path("a/b")) {
            file.write_at(b"a/b/file", 0).unwrap();
        }
        file.flush().unwrap();
    });
    assert_eq!(flushed, 3);
    assert!(disk.after_power_cut("a/b/file").is_some());
}

#[test]
fn flush_reaches_directories_at_any_depth() {
    let Some(disk) = Disk::with_journal() else { return };
    let deep = vec!["d"; 300].join("/");
    disk.make_directory(&deep);
    let file = disk.make_file(&format!("{deep}/file"));
    file.flush().unwrap();
    disk.rename("d", "other");
    let moved = format!("other/{}/file", vec!["d"; 299].join("/"));
    assert_eq!(disk.after_power_cut(&moved), None, "the test would not find a mistake");
    file.flush().unwrap();
    assert!(disk.after_power_cut(&moved).is_some());
}

/// True if the first file has changed after the second.
fn is_newer(file: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let changed = |path: &Path| fs::metadata(path).map(|it| (it.ctime(), it.ctime_nsec())).unwrap();
    changed(file) > changed(other)
}
