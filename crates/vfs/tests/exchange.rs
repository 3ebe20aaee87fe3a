//! Names that a local process exchanges while the backend works on them: the backend must change the file
//! that it has found and checked. Each test runs one operation as a user during an endless RENAME_EXCHANGE,
//! and then inspects the files of the other user. Needs root, to use two Unix users.
#![cfg(target_os = "linux")]

use rustix::fs::{CWD, RenameFlags};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vfs::{
    Actor, Backend, Error, Found, Kind, LocalBackend, LocalOptions, NamedIn, OpenHow, Opened, Parent,
    RelativePath, Wanted,
};
use wire::{AccessMask, FileAttributes};

/// The uid of the user who calls the backend.
const USER: u32 = 65_534;
/// The owner of the files that must stay unchanged.
const OTHER: u32 = 65_533;
/// The limits of the number of attempts, and of their time.
const TRIES: usize = 1_500;
const TIME: Duration = Duration::from_secs(4);

struct Share {
    outer: tempfile::TempDir,
    backend: LocalBackend,
    actor: Actor,
}

impl Share {
    /// `None` if the tests cannot run.
    fn new(follow_symlinks: bool) -> Option<Self> {
        // Only root can act as two users.
        if !testkit::need(&["root"]) {
            return None;
        }
        let outer = tempfile::tempdir().unwrap();
        let options = LocalOptions { follow_symlinks, ..LocalOptions::default() };
        std::fs::set_permissions(outer.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let backend = LocalBackend::open(outer.path(), options).unwrap();
        Some(Self { outer, backend, actor: Actor::user(USER, USER, vec![]) })
    }

    fn disk(&self, name: impl AsRef<Path>) -> PathBuf {
        self.outer.path().join(name)
    }

    /// A directory that every user may change as far as the kernel is concerned; only a descriptor would
    /// restrict it.
    fn directory(&self, name: &str, owner: u32) {
        std::fs::create_dir(self.disk(name)).unwrap();
        self.give(name, owner, 0o777);
    }

    fn file(&self, name: &str, owner: u32) {
        std::fs::write(self.disk(name), name).unwrap();
        self.give(name, owner, 0o644);
    }

    fn give(&self, name: &str, owner: u32, mode: u32) {
        std::os::unix::fs::chown(self.disk(name), Some(owner), Some(owner)).unwrap();
        std::fs::set_permissions(self.disk(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Removes a symlink or an empty file, but no other file that has the name by now.
    fn remove_what_is_empty(&self, name: &str) {
        let (name, aside) = (self.disk(name), self.disk("aside"));
        if std::fs::rename(&name, &aside).is_err() {
            return;
        }
        let found = std::fs::symlink_metadata(&aside).unwrap();
        if found.is_symlink() || found.len() == 0 {
            std::fs::remove_file(&aside).unwrap();
        } else {
            std::fs::rename(&aside, &name).unwrap();
        }
    }

    fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.disk(name)).unwrap();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Exchanges two names while `verb` is tried; returns the number of successes.
    fn exchanging(&self, one: &str, other: &str, mut verb: impl FnMut(usize) -> bool) -> usize {
        let done = AtomicBool::new(false);
        let rounds = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (one, other) = (self.disk(one), self.disk(other));
                while !done.load(Ordering::Relaxed) {
                    // A name may be missing for a moment while the operation removes or creates it.
                    let exchanged = rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
                    if exchanged.is_ok() {
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let _ends = SetOnDrop(&done);
            let start = Instant::now();
            let mut succeeded = 0;
            for number in 0..TRIES {
                if start.elapsed() >= TIME {
                    break;
                }
                succeeded += usize::from(verb(number));
            }
            assert!(rounds.load(Ordering::Relaxed) > 0, "nothing was exchanged");
            succeeded
        })
    }

    fn parent(&self, text: &str) -> Option<Parent> {
        accepted(self.backend.parent(&self.actor, &path(text)))
    }

    /// The directory in which a name was missed.
    fn missed(&self, text: &str) -> Option<Parent> {
        let how = OpenHow { wanted: Wanted::NOTHING, link: false };
        let found = self.backend.open_or_miss(&self.actor, &path(text), how, AccessMask::NONE);
        match accepted(found)? {
            Found::Missed(parent) => parent,
            Found::File(opened) => panic!("{} exists", opened.path),
        }
    }

    /// The directory that has no such entry.
    fn free(&self, text: &str) -> Option<Parent> {
        let (parent, entry) = accepted(self.backend.parent_and_entry(&self.actor, &path(text)))?;
        assert!(entry.is_none());
        Some(parent)
    }

    fn open(&self, text: &str) -> Option<Opened> {
        accepted(self.backend.open(&self.actor, &path(text), Wanted::NOTHING))
    }
}

/// Ends the exchanges, also in a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

/// The result of an operation whose names are exchanged; `None` for an expected error, and a panic for
/// others.
fn accepted<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(
            Error::NotFound
            | Error::PathNotFound
            | Error::Exists
            | Error::Replaced
            | Error::AccessDenied
            | Error::NotADirectory
            | Error::Busy
            | Error::Loop,
        ) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn reopen_opens_the_checked_file_despite_exchanged_names() {
    let Some(share) = Share::new(true) else { return };
    share.file("mine", USER);
    share.file("others", OTHER);
    symlink("others", share.disk("trap")).unwrap();
    let succeeded = share.exchanging("mine", "trap", |_| {
        let Some(opened) = share.open("mine") else { return false };
        let Some(again) = accepted(share.backend.reopen(&share.actor, &opened, Wanted::BOTH)) else {
            assert_eq!(opened.stat.uid, OTHER, "the user's own file can be written to");
            return false;
        };
        assert!(again.stat.is_same_file(&opened.stat));
        assert_eq!(again.stat.uid, USER);
        again.handle.write_at(b"written", 0).unwrap();
        true
    });
    assert!(succeeded > 0);
    assert_eq!(std::fs::read(share.disk("others")).unwrap(), b"others");
}

#[test]
fn create_acts_in_the_checked_directory() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    share.directory("closed", OTHER);
    symlink("closed", share.disk("trap")).unwrap();
    for (is_directory, is_missed) in [(false, false), (true, false), (false, true), (true, true)] {
        let succeeded = share.exchanging("door", "trap", |number| {
            let name = format!("door/new {number} {is_directory} {is_missed}");
            let parent = if is_missed { share.missed(&name) } else { share.parent(&name) };
            let Some(parent) = parent else { return false };
            // The check of the directory's descriptor would refuse the user.
            if parent.stat.uid != USER {
                return false;
            }
            let (actor, attributes) = (&share.actor, FileAttributes::NONE);
            let made = if is_directory {
                share.backend.create_directory_in(actor, &parent, attributes)
            } else {
                share.backend.create_file_in(actor, &parent, attributes, Wanted::BOTH)
            };
            made.unwrap();
            true
        });
        assert!(succeeded > 0);
    }
    assert_eq!(share.names("closed"), [""; 0]);
}

#[test]
fn rename_and_link_act_in_the_checked_directory() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    share.directory("closed", OTHER);
    share.directory("work", USER);
    symlink("closed", share.disk("trap")).unwrap();
    for (is_link, with_entry) in [(false, false), (true, false), (false, true), (true, true)] {
        let succeeded = share.exchanging("door", "trap", |number| {
            let from = format!("work/{number} {is_link} {with_entry}");
            share.file(&from, USER);
            let opened = share.open(&from).unwrap();
            let to = format!("door/{number} {is_link} {with_entry}");
            let parent = if with_entry { share.free(&to) } else { share.parent(&to) };
            let Some(parent) = parent else { return false };
            if parent.stat.uid != USER {
                return false;
            }
            if is_link {
                share.backend.link_in(&share.actor, &*opened.handle, &parent, None).unwrap();
            } else {
                share.backend.rename_in(&share.actor, &*opened.handle, &path(&from), &parent, None).unwrap();
            }
            true
        });
        assert!(succeeded > 0);
    }
    assert_eq!(share.names("closed"), [""; 0]);
}

#[test]
fn a_new_directory_is_not_confused_with_an_exchanged_one() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    let (round, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (made, refused) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let number = round.load(Ordering::Relaxed);
                let (new, decoy) =
                    (share.disk(format!("door/new {number}")), share.disk(format!("door/decoy {number}")));
                // The exchange fails until the directory exists.
                let _exchanged = rustix::fs::renameat_with(CWD, new, CWD, decoy, RenameFlags::EXCHANGE);
            }
        });
        let _ends = SetOnDrop(&done);
        let (mut made, mut refused) = (0, 0);
        let start = Instant::now();
        for number in 1..TRIES {
            if start.elapsed() >= TIME {
                break;
            }
            share.directory(&format!("door/decoy {number}"), OTHER);
            round.store(number, Ordering::Relaxed);
            let new = path(&format!("door/new {number}"));
            match share.backend.create_directory(&share.actor, &new, FileAttributes::NONE) {
                Ok(opened) => {
                    assert_eq!(opened.stat.uid, USER);
                    made += 1;
                }
                Err(Error::Exists) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        (made, refused)
    });
    assert!(made > 0, "{refused} refused");
    for name in share.names("door") {
        let found = std::fs::metadata(share.disk("door").join(&name)).unwrap();
        let attributes =
            rustix::fs::lgetxattr(share.disk("door").join(&name), "user.DOSATTRIB", &mut [0; 256]);
        assert!(found.uid() == USER || attributes.is_err(), "{name}: another's directory was changed");
    }
}

#[test]
fn remove_removes_only_the_open_file() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    share.directory("closed", OTHER);
    share.file("closed/f", OTHER);
    symlink("closed", share.disk("trap")).unwrap();
    share.directory("work", USER);
    let succeeded = share.exchanging("door", "trap", |number| {
        let made = share.parent("door/f").filter(|parent| parent.stat.uid == USER);
        let Some(made) = made.map(|parent| {
            share.backend.create_file_in(&share.actor, &parent, FileAttributes::NONE, Wanted::NOTHING)
        }) else {
            return false;
        };
        let Some(made) = accepted(made) else { return false };
        // The name belongs to the file half of the time.
        let start = Instant::now();
        while accepted(share.backend.remove(&share.actor, &path("door/f"), &*made.handle)).is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "{number}: never removed");
            std::thread::yield_now();
        }
        true
    });
    assert!(succeeded > 0);
    assert_eq!(std::fs::read(share.disk("closed/f")).unwrap(), b"closed/f");
}

#[test]
fn rename_replaces_only_the_checked_file() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    share.directory("closed", OTHER);
    share.file("closed/f", OTHER);
    share.file("door/f", USER);
    symlink("closed", share.disk("trap")).unwrap();
    let succeeded = share.exchanging("door", "trap", |number| {
        let from = format!("new {number}");
        share.file(&from, USER);
        let opened = share.open(&from).unwrap();
        let Some(parent) = share.parent("door/f").filter(|parent| parent.stat.uid == USER) else {
            return false;
        };
        let replaced = share.backend.open_in(&share.actor, &*parent.handle, &parent.path, false).unwrap();
        assert_eq!(replaced.stat.uid, USER);
        let replaced = Some(&*replaced.handle);
        share.backend.rename_in(&share.actor, &*opened.handle, &path(&from), &parent, replaced).unwrap();
        true
    });
    assert!(succeeded > 0);
    assert_eq!(std::fs::read(share.disk("closed/f")).unwrap(), b"closed/f");
}

/// A file that has taken the name since the check is not replaced.
#[test]
fn rename_does_not_replace_an_unchecked_file() {
    let Some(share) = Share::new(true) else { return };
    for name in ["a", "b", "c"] {
        share.file(name, USER);
    }
    let open = |name: &str| share.open(name).unwrap();
    let (a, b) = (open("a"), open("b"));
    let to = share.parent("b").unwrap();
    std::fs::rename(share.disk("c"), share.disk("b")).unwrap();
    for replaced in [Some(&*b.handle), None] {
        let renamed = share.backend.rename_in(&share.actor, &*a.handle, &path("a"), &to, replaced);
        assert!(matches!(renamed, Err(Error::Replaced | Error::Exists)), "{renamed:?}");
        let linked = share.backend.link_in(&share.actor, &*a.handle, &to, replaced);
        assert!(matches!(linked, Err(Error::Replaced | Error::Exists)), "{linked:?}");
    }
    assert_eq!(std::fs::read(share.disk("b")).unwrap(), b"c");
}

#[test]
fn the_right_to_delete_comes_from_the_directory_of_the_file() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    share.directory("closed", OTHER);
    share.give("closed", OTHER, 0o755);
    share.file("closed/f", OTHER);
    share.file("door/f", USER);
    symlink("closed", share.disk("trap")).unwrap();
    let succeeded = share.exchanging("door", "trap", |_| {
        let Some(opened) = share.open("door/f") else { return false };
        let named = share.backend.directory_of(&share.actor, &path("door/f"), &*opened.handle);
        let Some(NamedIn { directory, is_removable }) = accepted(named) else { return false };
        assert_eq!(directory.stat().unwrap().uid, opened.stat.uid);
        assert_eq!(is_removable, opened.stat.uid == USER);
        true
    });
    assert!(succeeded > 0);
    // The same, found by the open itself.
    let succeeded = share.exchanging("door", "trap", |_| {
        let how = OpenHow { wanted: Wanted::NOTHING, link: false };
        let opened = share.backend.open_asking(&share.actor, &path("door/f"), how, AccessMask::DELETE);
        let Some(opened) = accepted(opened) else { return false };
        let Some(NamedIn { directory, is_removable }) = opened.named else { return false };
        assert_eq!(directory.stat().unwrap().uid, opened.stat.uid);
        assert_eq!(is_removable, opened.stat.uid == USER);
        true
    });
    assert!(succeeded > 0);
}

#[test]
fn a_rename_within_a_directory_stays_in_the_checked_one() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", USER);
    share.directory("closed", OTHER);
    symlink("closed", share.disk("trap")).unwrap();
    share.file("door/first", USER);
    // A file of the same name, which must not move.
    share.file("closed/first", OTHER);
    let opened = share.open("door/first").unwrap();
    let mut name = String::from("first");
    let succeeded = share.exchanging("door", "trap", |number| {
        let next = format!("next {number}");
        let Some(parent) = share.free(&format!("door/{next}")) else { return false };
        let from = path(&format!("door/{name}"));
        let renamed = share.backend.rename_in(&share.actor, &*opened.handle, &from, &parent, None);
        if accepted(renamed).is_none() {
            return false;
        }
        assert_eq!(parent.stat.uid, USER);
        name = next;
        true
    });
    assert!(succeeded > 0);
    assert_eq!(share.names("closed"), ["first"]);
}

#[test]
fn open_in_looks_names_up_in_the_open_directory() {
    let Some(share) = Share::new(true) else { return };
    share.directory("door", OTHER);
    share.directory("mine", USER);
    share.file("door/secret", OTHER);
    share.file("mine/secret", USER);
    let listed = share.backend.open(&Actor::Process, &path("door"), Wanted::READ).unwrap();
    let succeeded = share.exchanging("door", "mine", |_| {
        let looked_up =
            share.backend.open_in(&Actor::Process, &*listed.handle, &path("door/secret"), true).unwrap();
        assert_eq!(looked_up.stat.uid, OTHER);
        true
    });
    assert!(succeeded > 0);
}

#[test]
fn a_stream_is_created_on_the_checked_file() {
    let Some(share) = Share::new(true) else { return };
    share.file("mine", USER);
    share.file("others", OTHER);
    share.give("others", OTHER, 0o666);
    symlink("others", share.disk("trap")).unwrap();
    let succeeded = share.exchanging("mine", "trap", |number| {
        let stream = path("mine").with_stream(format!("s{number}")).unwrap();
        let Some(parent) = accepted(share.backend.parent(&share.actor, &stream)) else { return false };
        if parent.stat.uid != USER {
            return false;
        }
        let made =
            share.backend.create_file_in(&share.actor, &parent, FileAttributes::NONE, Wanted::BOTH).unwrap();
        assert_eq!(made.stat.uid, USER);
        share.backend.remove(&share.actor, &stream, &*made.handle).unwrap();
        true
    });
    assert!(succeeded > 0);
    let streams = share.backend.open(&Actor::Process, &path("others"), Wanted::NOTHING).unwrap();
    assert!(streams.handle.streams().unwrap().is_empty());
}

#[test]
fn make_symlink_replaces_no_other_file() {
    let Some(share) = Share::new(false) else { return };
    share.directory("work", USER);
    share.file("work/full", USER);
    let mut left = 0;
    let succeeded = share.exchanging("work/empty", "work/full", |_| {
        let made = share.backend.create_file(
            &share.actor,
            &path("work/empty"),
            FileAttributes::NONE,
            Wanted::NOTHING,
        );
        let Some(made) = accepted(made) else {
            // The files of the previous round have one of the two names each.
            for name in ["work/empty", "work/full"] {
                share.remove_what_is_empty(name);
            }
            return false;
        };
        left += 1;
        let placed =
            share.backend.make_symlink(&share.actor, &path("work/empty"), &*made.handle, "elsewhere");
        let placed = accepted(placed).is_some();
        assert_eq!(placed, made.handle.stat().unwrap().kind == Kind::Symlink);
        placed
    });
    assert!(left > 0, "nothing was made");
    // The exchanging thread may always be faster; without it, the operation must succeed.
    if succeeded == 0 {
        let path = path("work/alone");
        let made =
            share.backend.create_file(&share.actor, &path, FileAttributes::NONE, Wanted::NOTHING).unwrap();
        share.backend.make_symlink(&share.actor, &path, &*made.handle, "elsewhere").unwrap();
    }
    let mut full = 0;
    for name in share.names("work") {
        assert!(!name.starts_with('.'), "nothing temporary stays: {name}");
        full += usize::from(std::fs::read(share.disk("work").join(name)).is_ok_and(|it| it == b"work/full"));
    }
    assert_eq!(full, 1, "the file that was in the way is still there");
}
