//! The bin for deleted files of a local directory.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::{Duration, SystemTime};

use vfs::{Actor, Backend, Bin, Error, LocalBackend, LocalOptions, RelativePath, Wanted};
use wire::FileAttributes;

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn bin(keeps_versions: bool) -> Bin {
    Bin { directory: path("bin/me"), keeps_tree: true, keeps_versions }
}

fn share(directory: &std::path::Path) -> LocalBackend {
    LocalBackend::open(directory, LocalOptions::default()).unwrap()
}

fn delete(share: &LocalBackend, name: &str, keeps_versions: bool) -> vfs::Result<()> {
    let opened = share.open(&Actor::Process, &path(name), Wanted::NOTHING)?;
    share.recycle(&Actor::Process, &path(name), &*opened.handle, &bin(keeps_versions))
}

#[test]
fn versions_are_kept_or_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    fs::create_dir(directory.path().join("d")).unwrap();
    let at = |name: &str| directory.path().join(name);
    for (content, keeps) in [("1", true), ("2", true), ("3", false)] {
        fs::write(at("d/a.txt"), content).unwrap();
        delete(&share, "d/a.txt", keeps).unwrap();
        assert!(!at("d/a.txt").exists());
    }
    assert_eq!(fs::read_to_string(at("bin/me/d/a.txt")).unwrap(), "3");
    assert_eq!(fs::read_to_string(at("bin/me/d/a (2).txt")).unwrap(), "2");
    // A directory of the name does not keep the file from its place in the bin.
    fs::create_dir(at("bin/me/d/b")).unwrap();
    fs::write(at("d/b"), "b").unwrap();
    delete(&share, "d/b", false).unwrap();
    assert_eq!(fs::read_to_string(at("bin/me/d/b (2)")).unwrap(), "b");
}

#[test]
fn open_handles_and_other_names_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    let made = share.create_file(&Actor::Process, &path("f"), FileAttributes::NONE, Wanted::BOTH).unwrap();
    made.handle.write_at(b"kept", 0).unwrap();
    share.recycle(&Actor::Process, &path("f"), &*made.handle, &bin(true)).unwrap();
    let mut buffer = [0; 4];
    assert_eq!(made.handle.read_at(&mut buffer, 0).unwrap(), 4);
    assert_eq!(&buffer, b"kept");
    // The name belongs to nobody now.
    let again = share.recycle(&Actor::Process, &path("f"), &*made.handle, &bin(true));
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    fs::write(directory.path().join("f"), "other").unwrap();
    let other = share.recycle(&Actor::Process, &path("f"), &*made.handle, &bin(true));
    assert!(matches!(other, Err(Error::Replaced)), "{other:?}");
    assert!(directory.path().join("f").exists());
}

#[test]
fn directories_and_links_to_elsewhere_are_not_moved_or_followed() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    fs::create_dir(directory.path().join("d")).unwrap();
    assert!(matches!(delete(&share, "d", true), Err(Error::NotSupported)));
    fs::write(directory.path().join("f"), "x").unwrap();
    fs::remove_dir_all(directory.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(outside.path(), directory.path().join("bin")).unwrap();
    assert!(delete(&share, "f", true).is_err());
    assert!(directory.path().join("f").exists());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn old_files_and_empty_directories_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    fs::create_dir(directory.path().join("d")).unwrap();
    for name in ["a", "d/b"] {
        fs::write(directory.path().join(name), "x").unwrap();
        delete(&share, name, true).unwrap();
    }
    let hour = Duration::from_secs(3600);
    assert_eq!(share.expire_bin(&path("bin"), SystemTime::now() - hour).unwrap(), 0);
    assert_eq!(share.expire_bin(&path("bin"), SystemTime::now() + hour).unwrap(), 2);
    assert!(directory.path().join("d").exists() && directory.path().join("bin").exists());
    assert_eq!(fs::read_dir(directory.path().join("bin")).unwrap().count(), 0);
    assert!(matches!(share.expire_bin(&path("none"), SystemTime::now()), Err(Error::NotFound)));
}

#[test]
fn directories_of_others_in_a_bin_are_left() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    fs::create_dir_all(directory.path().join("bin/me/theirs")).unwrap();
    for name in ["mine", "theirs/kept"] {
        fs::write(directory.path().join("bin/me").join(name), "x").unwrap();
    }
    let theirs = directory.path().join("bin/me/theirs");
    if std::os::unix::fs::chown(&theirs, Some(4321), None).is_err() {
        return testkit::skip("only root gives files to others");
    }
    let later = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(share.expire_bin(&path("bin"), later).unwrap(), 1);
    assert!(theirs.join("kept").exists());
}
