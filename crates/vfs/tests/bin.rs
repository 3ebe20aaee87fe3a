//! The bin for deleted files of a local directory.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::{Duration, SystemTime};

use vfs::{Actor, Backend, Bin, BinLimits, Error, LocalBackend, LocalOptions, RelativePath, Trimmed, Wanted};
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
    let trim = |since| share.trim_bin(&path("bin"), &BinLimits { since: Some(since), bytes: None }).unwrap();
    assert_eq!(trim(SystemTime::now() - hour), Trimmed { files: 0, bytes_left: 2 });
    assert_eq!(trim(SystemTime::now() + hour), Trimmed { files: 2, bytes_left: 0 });
    assert!(directory.path().join("d").exists() && directory.path().join("bin").exists());
    assert_eq!(fs::read_dir(directory.path().join("bin")).unwrap().count(), 0);
    assert!(matches!(share.trim_bin(&path("none"), &BinLimits::default()), Err(Error::NotFound)));
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
    let limits = BinLimits { since: Some(later), bytes: None };
    assert_eq!(share.trim_bin(&path("bin"), &limits).unwrap(), Trimmed { files: 1, bytes_left: 0 });
    assert!(theirs.join("kept").exists());
}

#[test]
fn used_bytes_are_those_of_all_files_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    let empty = share.used_bytes().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    let with_directories = share.used_bytes().unwrap();
    fs::write(directory.path().join("a/b/large"), vec![7; 1 << 20]).unwrap();
    fs::write(directory.path().join("small"), vec![7; 4096]).unwrap();
    fs::write(outside.path().join("elsewhere"), vec![7; 1 << 20]).unwrap();
    std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).unwrap();
    let sparse = fs::File::create(directory.path().join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    fs::File::open(directory.path()).unwrap().sync_all().unwrap();
    rustix::fs::syncfs(fs::File::open(directory.path()).unwrap()).unwrap();
    let used = share.used_bytes().unwrap();
    let files = used - with_directories;
    assert!(
        ((1 << 20) + 4096..(1 << 20) + (128 << 10)).contains(&files),
        "{empty} {with_directories} {used}"
    );
    // A second name takes no space.
    fs::hard_link(directory.path().join("a/b/large"), directory.path().join("again")).unwrap();
    let linked = share.used_bytes().unwrap();
    assert!(linked.abs_diff(used) < 64 << 10, "{used} {linked}");
}

/// Waits until the clock that the file system uses for its times has advanced.
fn wait_for_next_time(directory: &std::path::Path) {
    use std::os::linux::fs::MetadataExt as _;
    let time = || {
        let file = directory.join("clock");
        fs::write(&file, "x").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        fs::remove_file(&file).unwrap();
        (metadata.st_ctime(), metadata.st_ctime_nsec())
    };
    let (before, began) = (time(), std::time::Instant::now());
    while time() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "the time of files does not advance");
    }
}

#[test]
fn oldest_files_are_removed_while_the_bin_is_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    for name in ["first", "second", "third"] {
        fs::write(directory.path().join(name), vec![0; 100]).unwrap();
        delete(&share, name, true).unwrap();
        wait_for_next_time(directory.path());
    }
    let trim = |most, left| {
        let limits = BinLimits { since: None, bytes: Some((most, left)) };
        share.trim_bin(&path("bin"), &limits).unwrap()
    };
    assert_eq!(trim(300, 100), Trimmed { files: 0, bytes_left: 300 }, "the limit is not exceeded");
    assert_eq!(trim(299, 250), Trimmed { files: 1, bytes_left: 200 });
    let kept = |name: &str| directory.path().join("bin/me").join(name).exists();
    assert!(!kept("first") && kept("second") && kept("third"));
    assert_eq!(trim(1, 0), Trimmed { files: 2, bytes_left: 0 });
}

#[test]
fn replaced_file_is_kept_and_the_name_belongs_to_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/report"), "old").unwrap();
    fs::write(at("new"), "new").unwrap();
    let opened = |name: &str| share.open(&Actor::Process, &path(name), Wanted::NOTHING).unwrap();
    let (new, old) = (opened("new"), opened("d/report"));
    let to = share.parent(&Actor::Process, &path("d/report")).unwrap();
    let done =
        share.rename_keeping_in(&Actor::Process, &*new.handle, &path("new"), &to, &*old.handle, &bin(true));
    let (real, kept) = done.unwrap();
    kept.unwrap();
    assert_eq!(real, "d/report");
    assert_eq!(fs::read_to_string(at("d/report")).unwrap(), "new");
    assert_eq!(fs::read_to_string(at("bin/me/d/report")).unwrap(), "old");
    assert!(!at("new").exists());
}

#[test]
fn replaced_file_that_the_bin_cannot_take_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let share = share(directory.path());
    let at = |name: &str| directory.path().join(name);
    fs::write(at("old"), "old").unwrap();
    fs::write(at("new"), "new").unwrap();
    // The place of the bin is taken by a file.
    fs::write(at("bin"), "x").unwrap();
    let opened = |name: &str| share.open(&Actor::Process, &path(name), Wanted::NOTHING).unwrap();
    let (new, old) = (opened("new"), opened("old"));
    let to = share.parent(&Actor::Process, &path("old")).unwrap();
    let done =
        share.rename_keeping_in(&Actor::Process, &*new.handle, &path("new"), &to, &*old.handle, &bin(true));
    let (_, kept) = done.unwrap();
    assert!(kept.is_err());
    assert_eq!(fs::read_to_string(at("old")).unwrap(), "new");
    assert!(!at("new").exists());
}

#[test]
fn directory_of_a_user_that_was_left_to_the_server_is_given_to_the_user() {
    use std::os::linux::fs::MetadataExt as _;
    let directory = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(directory.path(), Some(4321), None).is_err() {
        return testkit::skip("only root gives files to others");
    }
    let share = share(directory.path());
    let user = Actor::User(vfs::Identity { uid: 4321, gid: 4321, groups: Default::default() }.into());
    fs::create_dir_all(directory.path().join("bin/me")).unwrap();
    fs::write(directory.path().join("f"), "x").unwrap();
    let opened = share.open(&user, &path("f"), Wanted::NOTHING).unwrap();
    share.recycle(&user, &path("f"), &*opened.handle, &bin(true)).unwrap();
    assert_eq!(fs::metadata(directory.path().join("bin/me")).unwrap().st_uid(), 4321);
    assert!(directory.path().join("bin/me/f").exists());
}
