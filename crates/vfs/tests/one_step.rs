//! Tests of results that one step of the local backend passes to a later one, which asks no more: they must be those that
//! the later step would have found.
#![cfg(target_os = "linux")]

use rustix::fs::XattrFlags;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vfs::{Actor, Backend, Error, Found, LocalBackend, LocalOptions, OpenHow, Parent, RelativePath, Wanted};
use wire::ioctl::{ReparseData, ReparseTag, SymlinkData};
use wire::{AccessMask, FileAttributes};

struct Share {
    outer: tempfile::TempDir,
    backend: LocalBackend,
}

impl Share {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let backend = LocalBackend::open(outer.path(), LocalOptions::default()).unwrap();
        Self { outer, backend }
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.outer.path().join(name)
    }

    fn look(&self, text: &str) -> Result<Found, Error> {
        let how = OpenHow { wanted: Wanted::NOTHING, link: false };
        self.backend.open_or_miss(&Actor::Process, &path(text), how, AccessMask::NONE)
    }

    /// The directory in which a name was missed.
    fn missed(&self, text: &str) -> Parent {
        match self.look(text).unwrap() {
            Found::Missed(Some(parent)) => parent,
            Found::Missed(None) => panic!("{text}: no directory"),
            Found::File(_) => panic!("{text} exists"),
        }
    }
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

#[test]
fn new_items_show_what_is_on_the_disk() {
    let share = Share::new();
    let sets = [
        FileAttributes::NONE,
        FileAttributes::HIDDEN | FileAttributes::READONLY,
        // An attribute that has no meaning without reparse data.
        FileAttributes::REPARSE_POINT,
    ];
    for (number, attributes) in sets.into_iter().enumerate() {
        let (file, directory) = (path(&format!("file {number}")), path(&format!("directory {number}")));
        for wanted in [Wanted::NOTHING, Wanted::READ, Wanted::BOTH] {
            let made = share.backend.create_file(&Actor::Process, &file, attributes, wanted).unwrap();
            assert_eq!(made.stat, made.handle.stat().unwrap(), "{attributes:?}");
            let again = share.backend.open(&Actor::Process, &file, Wanted::NOTHING).unwrap();
            assert_eq!(made.stat, again.stat, "{attributes:?}");
            share.backend.remove(&Actor::Process, &file, &*made.handle).unwrap();
        }
        let made = share.backend.create_directory(&Actor::Process, &directory, attributes).unwrap();
        assert_eq!(made.stat, made.handle.stat().unwrap(), "{attributes:?}");
    }
}

#[test]
fn ea_sizes_follow_changes_by_other_programs() {
    let share = Share::new();
    std::fs::write(share.disk("f"), "").unwrap();
    let put = |length: usize| {
        rustix::fs::setxattr(share.disk("f"), "user.ea", &vec![b'x'; length], XattrFlags::empty()).unwrap();
    };
    for wanted in [Wanted::NOTHING, Wanted::READ] {
        let handle = share.backend.open(&Actor::Process, &path("f"), wanted).unwrap().handle;
        let check = |length: usize| {
            let (stat, size) = handle.stat_and_ea_size().unwrap();
            // Four bytes of the list and five of the entry (MS-FSCC 2.4.12).
            assert_eq!(usize::try_from(size).unwrap(), 4 + 5 + "ea".len() + length);
            assert_eq!((stat, size), (handle.stat().unwrap(), handle.ea_size().unwrap()));
        };
        for length in 1..300 {
            put(length);
            check(length);
        }
        // Long enough after the last change, the size is kept.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            check(299);
        }
        put(7);
        check(7);
        rustix::fs::removexattr(share.disk("f"), "user.ea").unwrap();
        assert_eq!(handle.stat_and_ea_size().unwrap().1, 0);
    }
}

#[test]
fn a_miss_returns_the_directory_that_lacks_the_name() {
    let share = Share::new();
    std::fs::create_dir(share.disk("d")).unwrap();
    let inode = std::fs::metadata(share.disk("d")).unwrap().ino();
    for text in ["d/new", "D/new"] {
        assert_eq!(share.missed(text).stat.inode, inode, "{text}");
    }
    assert_eq!(share.missed("new").stat.inode, share.backend.root().inode);
    // The directory gets another name, and the name another directory.
    let parent = share.missed("d/new");
    std::fs::rename(share.disk("d"), share.disk("e")).unwrap();
    std::fs::create_dir(share.disk("d")).unwrap();
    let made = share.backend.create_file_in(&Actor::Process, &parent, FileAttributes::NONE, Wanted::BOTH);
    made.unwrap();
    assert!(share.disk("e/new").exists() && !share.disk("d/new").exists());
    assert!(matches!(share.look("e/NEW").unwrap(), Found::File(_)), "another spelling exists");
    // A name that another program has created since the miss.
    let parent = share.missed("d/late");
    std::fs::write(share.disk("d/LATE"), "").unwrap();
    let made = share.backend.create_file_in(&Actor::Process, &parent, FileAttributes::NONE, Wanted::BOTH);
    assert!(matches!(made.map(drop), Err(Error::Exists)));
    assert!(matches!(share.look("none/new").map(drop), Err(Error::PathNotFound)));
}

#[test]
fn a_symlink_is_no_directory_and_no_free_name() {
    let share = Share::new();
    symlink("nowhere", share.disk("dangling")).unwrap();
    assert!(matches!(share.look("dangling").unwrap(), Found::Missed(None)));
    let made =
        share.backend.create_file(&Actor::Process, &path("dangling"), FileAttributes::NONE, Wanted::BOTH);
    assert!(matches!(made.map(drop), Err(Error::Exists)));
    // A symlink that a client has stored is an empty directory for the file system.
    let link = share.backend.create_directory(&Actor::Process, &path("link"), FileAttributes::NONE).unwrap();
    let target = SymlinkData { substitute_name: "target", print_name: "target", relative: true };
    let mut data = Vec::new();
    target.encode(&mut data);
    let mut reparse = Vec::new();
    ReparseData { tag: ReparseTag::SYMLINK, guid: None, data: &data }.encode(&mut reparse);
    link.handle.set_reparse_data(Some(&reparse)).unwrap();
    assert!(matches!(share.look("link/new").map(drop), Err(Error::Loop)));
    link.handle.set_reparse_data(None).unwrap();
    assert_eq!(share.missed("link/new").stat.inode, link.stat.inode);
}

#[test]
fn a_parent_comes_with_the_entry_of_the_name() {
    let share = Share::new();
    std::fs::create_dir(share.disk("d")).unwrap();
    std::fs::write(share.disk("d/F"), "").unwrap();
    symlink("nowhere", share.disk("d/link")).unwrap();
    let look = |text: &str| share.backend.parent_and_entry(&Actor::Process, &path(text));
    for (text, entry) in
        [("d/f", Some("d/F")), ("D/F", Some("d/F")), ("d/link", Some("d/link")), ("d/g", None)]
    {
        let (parent, found) = look(text).unwrap();
        assert_eq!(found.map(|it| it.path).as_deref(), entry, "{text}");
        let alone = share.backend.parent(&Actor::Process, &path(text)).unwrap();
        assert!(parent.stat.is_same_file(&alone.stat), "{text}");
        assert_eq!(parent.path, alone.path, "{text}");
    }
    assert!(matches!(look("none/f").map(drop), Err(Error::PathNotFound)));
}
