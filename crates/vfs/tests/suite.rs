//! The behaviour that all backends share; each check runs with every backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vfs::{
    Actor, Backend, Capabilities, EntryWanted, Error, Kind, LocalBackend, LocalOptions, MemBackend, Opened,
    Parent, RangeLock, RelativePath, SetTimes, Wanted,
};
use wire::{FileAttributes, FileTime};

/// Runs a check over every backend.
fn check(test: impl Fn(Arc<dyn Backend>)) {
    test(Arc::new(MemBackend::new()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(LocalBackend::open(directory.path(), LocalOptions::default()).unwrap()));
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn stream(text: &str, name: &str) -> RelativePath {
    path(text).with_stream(name).unwrap()
}

fn file(backend: &dyn Backend, text: &str) -> Opened {
    backend.create_file(&Actor::Process, &path(text), FileAttributes::NONE, Wanted::BOTH).unwrap()
}

fn directory(backend: &dyn Backend, text: &str) -> Opened {
    backend.create_directory(&Actor::Process, &path(text), FileAttributes::NONE).unwrap()
}

fn open(backend: &dyn Backend, text: &str) -> Result<Opened, Error> {
    backend.open(&Actor::Process, &path(text), Wanted::NOTHING)
}

fn list(opened: &Opened) -> Vec<String> {
    let mut cursor = opened.handle.read_directory().unwrap();
    let mut names = Vec::new();
    while let Some(entry) = cursor.next(&mut |_| EntryWanted::Name).unwrap() {
        assert!(entry.stat.is_none());
        names.push(entry.name);
    }
    names[2..].sort();
    names
}

#[test]
fn data_is_written_read_truncated_and_zeroed() {
    check(|backend| {
        let Opened { handle, stat, path: real, .. } = file(&*backend, "f");
        assert_eq!((stat.size, stat.kind, stat.links), (0, Kind::File, 1));
        assert_eq!(stat.attributes, FileAttributes::ARCHIVE);
        assert_eq!(real, "f");
        assert_eq!(handle.write_at(b"hello", 3).unwrap(), 5);
        let mut buffer = [0xff; 16];
        assert_eq!(handle.read_at(&mut buffer, 0).unwrap(), 8);
        assert_eq!(&buffer[..8], b"\0\0\0hello");
        assert_eq!(handle.read_at(&mut buffer, 8).unwrap(), 0);
        assert_eq!(handle.read_at(&mut buffer, 1 << 40).unwrap(), 0);
        if let Some(read) = handle.try_read_at(&mut buffer, 5).unwrap() {
            assert_eq!(&buffer[..read], b"llo");
        }
        handle.zero(4..100).unwrap();
        assert_eq!(handle.stat().unwrap().size, 8);
        handle.set_size(5).unwrap();
        assert_eq!(handle.read_at(&mut buffer, 0).unwrap(), 5);
        assert_eq!(&buffer[..5], b"\0\0\0h\0");
        handle.set_size(10).unwrap();
        handle.allocate(1 << 16).unwrap();
        let stat = handle.stat().unwrap();
        assert_eq!(stat.size, 10);
        assert!(stat.allocation >= 1 << 16);
        assert_eq!(handle.write_at(b"", 1 << 20).unwrap(), 0);
        assert_eq!(handle.stat().unwrap().size, 10);
        handle.flush().unwrap();
        let ranges = handle.allocated_ranges(2..u64::MAX >> 1).unwrap();
        assert!(ranges.iter().all(|range| range.start >= 2 && range.end <= 10), "{ranges:?}");
        for result in [handle.set_size(u64::MAX), handle.allocate(u64::MAX), handle.zero(0..u64::MAX)] {
            assert!(matches!(result, Err(Error::InvalidArgument) | Ok(())));
        }
        assert!(handle.write_at(b"x", u64::MAX).is_err());
    });
}

/// The ways to open a file for data access.
const DATA: [Wanted; 3] = [Wanted::READ, Wanted::WRITE, Wanted::BOTH];

#[test]
fn range_locks_belong_to_their_handle() {
    let (shared, exclusive) = (Some(RangeLock::Shared), Some(RangeLock::Exclusive));
    check(|backend| {
        let one = file(&*backend, "f").handle;
        let other = backend.open(&Actor::Process, &path("f"), Wanted::BOTH).unwrap().handle;
        let third = backend.open(&Actor::Process, &path("f"), Wanted::BOTH).unwrap().handle;
        assert!(one.set_range_lock(10..20, exclusive).unwrap());
        for (range, free) in [(0..10, true), (20..30, true), (19..20, false), (0..u64::MAX, false)] {
            assert_eq!(other.is_range_locked(range.clone(), RangeLock::Shared).unwrap(), !free, "{range:?}");
            assert_eq!(other.set_range_lock(range.clone(), shared).unwrap(), free, "{range:?}");
        }
        assert!(!one.is_range_locked(10..20, RangeLock::Exclusive).unwrap(), "it is its own");
        drop(third);
        assert!(other.is_range_locked(10..20, RangeLock::Shared).unwrap(), "others' handles may go");

        // Releasing the middle preserves both ends, and another kind replaces the previous lock.
        assert!(one.set_range_lock(12..18, None).unwrap());
        assert!(one.set_range_lock(10..11, shared).unwrap());
        let seen: Vec<(bool, bool)> = (9..21)
            .map(|at| {
                [RangeLock::Shared, RangeLock::Exclusive].map(|kind| other.is_range_locked(at..at + 1, kind))
            })
            .map(|seen| seen.map(Result::unwrap))
            .map(|[reads, writes]| (reads, writes))
            .collect();
        let (free, as_shared, as_exclusive) = ((false, false), (false, true), (true, true));
        let middle = [free; 6];
        let expected = [&[free, as_shared, as_exclusive][..], &middle, &[as_exclusive, as_exclusive, free]];
        assert_eq!(seen, expected.concat());
        assert!(other.set_range_lock(10..11, shared).unwrap());
        assert!(!one.set_range_lock(10..11, exclusive).unwrap(), "the other has one as well");
        drop(one);
        assert!(
            !other.is_range_locked(0..u64::MAX, RangeLock::Exclusive).unwrap(),
            "it goes with its handle"
        );
    });
}

#[test]
fn range_locks_depend_on_the_access_of_the_handle() {
    let can = |handle: &Arc<dyn vfs::Handle>, other: &Arc<dyn vfs::Handle>, lock| {
        let taken = handle.set_range_lock(0..10, Some(lock)).unwrap();
        let seen =
            [RangeLock::Shared, RangeLock::Exclusive].map(|kind| other.is_range_locked(0..10, kind).unwrap());
        handle.set_range_lock(0..10, None).unwrap();
        (taken, seen)
    };
    check(|backend| {
        let other = file(&*backend, "f").handle;
        for wanted in DATA {
            let handle = backend.open(&Actor::Process, &path("f"), wanted).unwrap().handle;
            let (as_shared, as_exclusive) = match (wanted.read, wanted.write) {
                (true, true) => ([false, true], [true, true]),
                (true, false) => ([false, true], [false, true]),
                _ => ([false, false], [true, true]),
            };
            assert_eq!(can(&handle, &other, RangeLock::Shared), (true, as_shared), "{wanted:?}");
            assert_eq!(can(&handle, &other, RangeLock::Exclusive), (true, as_exclusive), "{wanted:?}");
            // A lock that cannot be held is still refused if it conflicts.
            other.set_range_lock(0..1, Some(RangeLock::Shared)).unwrap();
            assert!(!handle.set_range_lock(0..10, Some(RangeLock::Exclusive)).unwrap(), "{wanted:?}");
            other.set_range_lock(0..1, Some(RangeLock::Exclusive)).unwrap();
            assert!(!handle.set_range_lock(0..10, Some(RangeLock::Shared)).unwrap(), "{wanted:?}");
            other.set_range_lock(0..1, None).unwrap();
        }
        let blind = open(&*backend, "f").unwrap().handle;
        assert!(matches!(blind.set_range_lock(0..1, None), Err(Error::NotSupported)));
        let in_stream = backend
            .create_file(&Actor::Process, &stream("f", "s"), FileAttributes::NONE, Wanted::BOTH)
            .unwrap();
        let refused = in_stream.handle.set_range_lock(0..1, Some(RangeLock::Shared));
        assert!(matches!(refused, Err(Error::NotSupported)), "a stream has no file of its own");
    });
}

#[test]
fn range_locks_end_at_the_largest_lockable_offset() {
    check(|backend| {
        let one = file(&*backend, "f").handle;
        let other = backend.open(&Actor::Process, &path("f"), Wanted::BOTH).unwrap().handle;
        let end = vfs::handle::LOCKABLE_END;
        let lock = Some(RangeLock::Exclusive);
        for range in [end..u64::MAX, 7..7, u64::MAX..u64::MAX] {
            assert!(
                one.set_range_lock(range.clone(), lock).unwrap()
                    && other.set_range_lock(range, lock).unwrap()
            );
        }
        assert!(one.set_range_lock(end - 1..u64::MAX, lock).unwrap());
        assert!(other.set_range_lock(0..end - 1, lock).unwrap());
        assert!(!other.set_range_lock(0..end, lock).unwrap());
        assert!(one.set_range_lock(0..u64::MAX, None).unwrap());
        assert!(other.set_range_lock(0..u64::MAX, lock).unwrap());
    });
}

#[test]
fn a_handle_has_only_the_access_it_was_opened_with() {
    check(|backend| {
        file(&*backend, "f").handle.write_at(b"data", 0).unwrap();
        let actor = Actor::Process;
        let mut buffer = [0; 4];
        for (wanted, may_read, may_write) in [
            (Wanted::NOTHING, false, false),
            (Wanted::READ, true, false),
            (Wanted::WRITE, false, true),
            (Wanted::BOTH, true, true),
        ] {
            let handle = backend.open(&actor, &path("f"), wanted).unwrap().handle;
            let denied = |result: Result<usize, Error>| matches!(result, Err(Error::AccessDenied));
            assert_eq!(denied(handle.read_at(&mut buffer, 0)), !may_read, "{wanted:?}");
            assert_eq!(denied(handle.try_read_at(&mut buffer, 0).map(Option::unwrap_or_default)), !may_read);
            assert_eq!(denied(handle.write_at(b"data", 0)), !may_write, "{wanted:?}");
            assert_eq!(denied(handle.set_size(4).map(|()| 0)), !may_write, "{wanted:?}");
            handle.flush().unwrap();
            assert_eq!(handle.stat().unwrap().size, 4);
            handle.set_attributes(FileAttributes::HIDDEN).unwrap();
            assert_eq!(handle.stat().unwrap().attributes, FileAttributes::HIDDEN);
            assert!(matches!(handle.read_directory(), Err(Error::NotADirectory)));
        }
        let created = backend.create_file(&actor, &path("g"), FileAttributes::NONE, Wanted::NOTHING).unwrap();
        assert!(matches!(created.handle.read_at(&mut buffer, 0), Err(Error::AccessDenied)));
        directory(&*backend, "d");
        for wanted in [Wanted::NOTHING, Wanted::READ, Wanted::WRITE, Wanted::BOTH] {
            let handle = backend.open(&actor, &path("d"), wanted).unwrap().handle;
            assert!(matches!(handle.read_at(&mut buffer, 0), Err(Error::IsADirectory)));
            assert!(matches!(handle.write_at(b"x", 0), Err(Error::IsADirectory)));
            assert_eq!(handle.stat().unwrap().kind, Kind::Directory);
            handle.flush().unwrap();
        }
    });
}

#[test]
fn open_distinguishes_missing_files_from_missing_directories() {
    check(|backend| {
        directory(&*backend, "d");
        file(&*backend, "d/f");
        assert!(matches!(open(&*backend, "x"), Err(Error::NotFound)));
        assert!(matches!(open(&*backend, "d/x"), Err(Error::NotFound)));
        assert!(matches!(open(&*backend, "x/y"), Err(Error::PathNotFound)));
        assert!(matches!(open(&*backend, "d/x/y"), Err(Error::PathNotFound)));
        assert!(matches!(open(&*backend, "d/f/y"), Err(Error::PathNotFound)));
        assert!(matches!(open(&*backend, "D/F/y"), Err(Error::PathNotFound)));
        let root = open(&*backend, "").unwrap();
        assert_eq!((root.path.as_str(), root.stat.kind), ("", Kind::Directory));
        assert!(root.stat.attributes.contains(FileAttributes::DIRECTORY));
        let create = |text: &str| {
            let created =
                backend.create_file(&Actor::Process, &path(text), FileAttributes::NONE, Wanted::BOTH);
            let made = backend.create_directory(&Actor::Process, &path(text), FileAttributes::NONE);
            (created.err(), made.err())
        };
        assert!(matches!(create(""), (Some(Error::Exists), Some(Error::Exists))));
        assert!(matches!(create("d"), (Some(Error::Exists), Some(Error::Exists))));
        assert!(matches!(create("D"), (Some(Error::Exists), Some(Error::Exists))));
        assert!(matches!(create("x/y"), (Some(Error::PathNotFound), Some(Error::PathNotFound))));
        assert!(matches!(create("d/f/y"), (Some(Error::PathNotFound), Some(Error::PathNotFound))));
    });
}

#[test]
fn names_are_found_in_any_case() {
    check(|backend| {
        assert!(backend.capabilities().contains(Capabilities::CASE_INSENSITIVE));
        directory(&*backend, "Größe");
        directory(&*backend, "Größe/Sub Dir");
        let made = file(&*backend, "gRÖSSE/x".replace("SSE", "ßE").as_str());
        assert_eq!(made.path, "Größe/x");
        let made = file(&*backend, "GRÖßE/sub dir/Страница.TXT");
        assert_eq!(made.path, "Größe/Sub Dir/Страница.TXT");
        for spelling in ["Größe/Sub Dir/Страница.TXT", "größe/SUB DIR/страница.txt"] {
            let opened = open(&*backend, spelling).unwrap();
            assert_eq!(opened.path, "Größe/Sub Dir/Страница.TXT");
            assert!(opened.stat.is_same_file(&made.stat));
        }
        assert!(matches!(open(&*backend, "Grösse"), Err(Error::NotFound)));
    });
}

#[test]
fn a_rename_refuses_existing_targets_unless_they_are_to_be_replaced() {
    check(|backend| {
        let actor = Actor::Process;
        let a = file(&*backend, "a");
        let b = file(&*backend, "B");
        let d = directory(&*backend, "Dir");
        let rename = |opened: &Opened, from: &str, to: &str, replace| {
            backend.rename(&actor, &*opened.handle, &path(from), &path(to), replace)
        };
        assert!(matches!(rename(&a, "a", "b", false), Err(Error::Exists)));
        assert!(matches!(rename(&a, "a", "dir", true), Err(Error::AccessDenied)));
        assert!(matches!(rename(&d, "Dir", "b", true), Err(Error::AccessDenied)));
        assert!(matches!(rename(&a, "a", "x/y", false), Err(Error::PathNotFound)));
        assert!(matches!(rename(&a, "none", "c", false), Err(Error::NotFound)));
        assert!(matches!(rename(&a, "B", "c", false), Err(Error::Replaced)));
        assert!(matches!(rename(&d, "Dir", "dir/below", false), Err(Error::AccessDenied)));
        assert!(matches!(rename(&d, "", "c", false), Err(Error::AccessDenied)));
        assert!(matches!(rename(&d, "Dir", "", true), Err(Error::AccessDenied)));
        assert_eq!(rename(&a, "a", "A", false).unwrap(), "A");
        assert_eq!(rename(&a, "A", "A", false).unwrap(), "A");
        assert_eq!(open(&*backend, "a").unwrap().path, "A");
        assert_eq!(rename(&a, "a", "DIR/New", false).unwrap(), "Dir/New");
        assert!(matches!(open(&*backend, "a"), Err(Error::NotFound)));
        b.handle.set_attributes(FileAttributes::READONLY).unwrap();
        assert!(matches!(rename(&a, "Dir/New", "b", true), Err(Error::AccessDenied)));
        b.handle.set_attributes(FileAttributes::NORMAL).unwrap();
        assert_eq!(rename(&a, "dir/new", "b", true).unwrap(), "B");
        let now = open(&*backend, "b").unwrap();
        assert!(now.stat.is_same_file(&a.stat));
        assert_eq!(b.handle.stat().unwrap().links, 0);
        assert_eq!(rename(&d, "dir", "DIR2", false).unwrap(), "DIR2");
        assert!(backend.is_empty_directory(&*d.handle).unwrap());
    });
}

#[test]
fn a_link_is_another_name_of_the_file() {
    check(|backend| {
        let actor = Actor::Process;
        let a = file(&*backend, "a");
        let b = file(&*backend, "b");
        let d = directory(&*backend, "d");
        assert!(matches!(backend.link(&actor, &*d.handle, &path("e"), false), Err(Error::IsADirectory)));
        assert!(matches!(backend.link(&actor, &*a.handle, &path("B"), false), Err(Error::Exists)));
        assert!(matches!(backend.link(&actor, &*a.handle, &path("d"), true), Err(Error::AccessDenied)));
        assert_eq!(backend.link(&actor, &*a.handle, &path("D/Link"), false).unwrap(), "d/Link");
        assert_eq!(a.handle.stat().unwrap().links, 2);
        assert_eq!(backend.link(&actor, &*a.handle, &path("b"), true).unwrap(), "b");
        assert_eq!((a.handle.stat().unwrap().links, b.handle.stat().unwrap().links), (3, 0));
        // Links can be made from a handle without data access.
        let c = open(&*backend, "a").unwrap();
        backend.link(&actor, &*c.handle, &path("c"), false).unwrap();
        assert_eq!(a.handle.stat().unwrap().links, 4);
        // Renaming one link over another of the same file removes one name.
        assert_eq!(backend.rename(&actor, &*a.handle, &path("a"), &path("c"), true).unwrap(), "c");
        assert!(matches!(open(&*backend, "a"), Err(Error::NotFound)));
        assert_eq!(a.handle.stat().unwrap().links, 3);
        assert!(backend.link(&actor, &*b.handle, &path("again"), false).is_err());
    });
}

#[test]
fn calls_act_on_the_found_directory_after_its_name_changed() {
    check(|backend| {
        let actor = Actor::Process;
        directory(&*backend, "d");
        let old = file(&*backend, "d/f");
        old.handle.write_at(b"old", 0).unwrap();
        let opened = open(&*backend, "d/f").unwrap();
        let parent = backend.parent(&actor, &path("D/New")).unwrap();
        assert!(parent.stat.is_same_file(&open(&*backend, "d").unwrap().stat));
        assert!(matches!(backend.parent(&actor, &path("x/y")), Err(Error::PathNotFound)));
        assert!(matches!(backend.parent(&actor, &stream("x", "s")), Err(Error::NotFound)));

        // Both names belong to other files now.
        let d = open(&*backend, "d").unwrap();
        backend.rename(&actor, &*d.handle, &path("d"), &path("moved"), false).unwrap();
        directory(&*backend, "d");
        file(&*backend, "d/f").handle.write_at(b"other", 0).unwrap();
        let again = backend.reopen(&actor, &opened, Wanted::READ).unwrap();
        assert!(
            again.stat.is_same_file(&old.stat)
                && !again.stat.is_same_file(&open(&*backend, "d/f").unwrap().stat)
        );
        let mut buffer = [0; 8];
        assert_eq!(again.handle.read_at(&mut buffer, 0).unwrap(), 3);
        assert!(matches!(again.handle.write_at(b"x", 0), Err(Error::AccessDenied)));
        backend.create_file_in(&actor, &parent, FileAttributes::NONE, Wanted::NOTHING).unwrap();
        assert!(open(&*backend, "moved/New").is_ok() && open(&*backend, "d/New").is_err());
        let taken = backend.create_directory_in(&actor, &parent, FileAttributes::NONE);
        assert!(matches!(taken, Err(Error::Exists)));
        let found = backend.open_in(&actor, &*parent.handle, &path("d/F"), true).unwrap();
        assert!(found.stat.is_same_file(&old.stat));
        assert!(matches!(backend.open_in(&actor, &*parent.handle, &path("d/x"), true), Err(Error::NotFound)));
        let is_of = |text: &str| {
            let named = backend.directory_of(&actor, &path(text), &*old.handle)?;
            Ok::<_, Error>(named.is_removable && named.directory.stat()?.is_same_file(&parent.stat))
        };
        assert!(is_of("moved/F").unwrap());
        assert!(matches!(is_of("d/f"), Err(Error::Replaced)));
        assert!(matches!(is_of("d/none"), Err(Error::NotFound)));
        assert!(is_of("").is_err());

        // Streams belong to the open file.
        let of_old = Parent::of(old.handle.clone(), stream("d/f", "s")).unwrap();
        let made = backend.create_file_in(&actor, &of_old, FileAttributes::NONE, Wanted::BOTH).unwrap();
        made.handle.write_at(b"stream", 0).unwrap();
        assert_eq!(old.handle.streams().unwrap().len(), 1);
        let seen = backend.open_in(&actor, &*old.handle, &stream("d/f", "S"), true).unwrap();
        assert_eq!((seen.stat.size, seen.stream.as_deref()), (6, Some("s")));
        let read = backend.reopen(&actor, &seen, Wanted::READ).unwrap();
        assert_eq!(read.handle.read_at(&mut buffer, 0).unwrap(), 6);
        assert_eq!(backend.file_of(&actor, &*read.handle).unwrap().stat.size, 3);
    });
}

#[test]
fn a_rename_replaces_only_the_file_that_was_opened() {
    check(|backend| {
        let actor = Actor::Process;
        let (a, b) = (file(&*backend, "a"), file(&*backend, "b"));
        let to = backend.parent(&actor, &path("B")).unwrap();
        backend.remove(&actor, &path("b"), &*b.handle).unwrap();
        let c = file(&*backend, "b");
        for replaced in [None, Some(&*b.handle)] {
            let renamed = backend.rename_in(&actor, &*a.handle, &path("a"), &to, replaced);
            assert!(matches!(renamed, Err(Error::Exists | Error::Replaced)), "{renamed:?}");
            let linked = backend.link_in(&actor, &*a.handle, &to, replaced);
            assert!(matches!(linked, Err(Error::Exists | Error::Replaced)), "{linked:?}");
        }
        assert!(open(&*backend, "b").unwrap().stat.is_same_file(&c.stat));
        assert_eq!(backend.link_in(&actor, &*a.handle, &to, Some(&*c.handle)).unwrap(), "b");
        assert!(open(&*backend, "b").unwrap().stat.is_same_file(&a.stat));
    });
}

#[test]
fn remove_refuses_a_name_of_another_file() {
    check(|backend| {
        let actor = Actor::Process;
        let old = file(&*backend, "name");
        backend.rename(&actor, &*old.handle, &path("name"), &path("moved"), false).unwrap();
        let new = file(&*backend, "name");
        assert!(matches!(backend.remove(&actor, &path("name"), &*old.handle), Err(Error::Replaced)));
        assert!(open(&*backend, "name").unwrap().stat.is_same_file(&new.stat));
        backend.remove(&actor, &path("MOVED"), &*old.handle).unwrap();
        assert!(matches!(backend.remove(&actor, &path("moved"), &*old.handle), Err(Error::NotFound)));
        assert_eq!(old.handle.write_at(b"still open", 0).unwrap(), 10);

        let d = directory(&*backend, "d");
        let inner = file(&*backend, "d/f");
        assert!(!backend.is_empty_directory(&*d.handle).unwrap());
        assert!(matches!(backend.remove(&actor, &path("d"), &*d.handle), Err(Error::NotEmpty)));
        backend.remove(&actor, &path("d/f"), &*inner.handle).unwrap();
        assert!(backend.is_empty_directory(&*d.handle).unwrap());
        backend.remove(&actor, &path("d"), &*d.handle).unwrap();
        let root = open(&*backend, "").unwrap();
        assert!(matches!(backend.remove(&actor, &path(""), &*root.handle), Err(Error::AccessDenied)));
    });
}

#[test]
fn attributes_and_times_are_stored() {
    check(|backend| {
        let attributes = FileAttributes::HIDDEN | FileAttributes::SYSTEM;
        let made = backend.create_file(&Actor::Process, &path("f"), attributes, Wanted::READ).unwrap();
        assert_eq!(made.stat.attributes, attributes | FileAttributes::ARCHIVE);
        let times = SetTimes {
            created: Some(FileTime::from_unix(1_000_000_000, 100)),
            accessed: Some(FileTime::from_unix(1_100_000_000, 200)),
            modified: Some(FileTime::from_unix(1_200_000_000, 300)),
            changed: None,
        };
        made.handle.set_times(times).unwrap();
        let reopened = open(&*backend, "f").unwrap();
        reopened.handle.set_attributes(FileAttributes::READONLY | FileAttributes::DIRECTORY).unwrap();
        reopened.handle.set_sparse(true).unwrap();
        reopened.handle.set_times(SetTimes::default()).unwrap();
        let stat = made.handle.stat().unwrap();
        assert_eq!(Some(stat.created), times.created);
        assert_eq!(Some(stat.accessed), times.accessed);
        assert_eq!(Some(stat.modified), times.modified);
        assert_eq!(stat.attributes, FileAttributes::READONLY | FileAttributes::SPARSE_FILE);
        reopened.handle.set_attributes(FileAttributes::NORMAL).unwrap();
        assert_eq!(made.handle.stat().unwrap().attributes, FileAttributes::SPARSE_FILE);
        reopened.handle.set_sparse(false).unwrap();
        assert_eq!(made.handle.stat().unwrap().attributes, FileAttributes::NORMAL);

        let d = backend.create_directory(&Actor::Process, &path("d"), FileAttributes::HIDDEN).unwrap();
        assert_eq!(d.stat.attributes, FileAttributes::HIDDEN | FileAttributes::DIRECTORY);
        d.handle.set_attributes(FileAttributes::NONE).unwrap();
        assert_eq!(open(&*backend, "d").unwrap().stat.attributes, FileAttributes::DIRECTORY);
        assert_eq!(d.handle.stat().unwrap().links, 1);
    });
}

#[test]
fn a_change_time_is_returned_until_the_file_changes() {
    check(|backend| {
        let made = file(&*backend, "f");
        let changed = Some(FileTime::from_unix(1_000_000_000, 0));
        made.handle.set_times(SetTimes { changed, modified: changed, ..SetTimes::default() }).unwrap();
        assert_eq!(Some(made.handle.stat().unwrap().changed), changed);
        made.handle.set_xattr("one", b"11").unwrap();
        made.handle.set_times(SetTimes { changed, ..SetTimes::default() }).unwrap();
        let root = backend.open(&Actor::Process, &RelativePath::root(), Wanted::READ).unwrap();
        let mut cursor = root.handle.read_directory().unwrap();
        let mut wanted = |name: &str| if name == "f" { EntryWanted::Full } else { EntryWanted::Skip };
        let entry = cursor.next(&mut wanted).unwrap().unwrap();
        assert_eq!((entry.stat.map(|stat| stat.changed), entry.ea_size), (changed, 4 + 5 + 3 + 2));
        made.handle.set_attributes(FileAttributes::HIDDEN).unwrap();
        assert_ne!(Some(open(&*backend, "f").unwrap().stat.changed), changed);
        made.handle.set_times(SetTimes { changed, ..SetTimes::default() }).unwrap();
        let stat = open(&*backend, "f").unwrap().stat;
        assert_eq!((Some(stat.changed), stat.attributes), (changed, FileAttributes::HIDDEN));
    });
}

#[test]
fn extended_attributes_and_streams() {
    check(|backend| {
        let actor = Actor::Process;
        let handle = file(&*backend, "f").handle;
        for handle in [handle, open(&*backend, "f").unwrap().handle] {
            assert_eq!(handle.xattr("one").unwrap(), None);
            handle.set_xattr("One", b"1").unwrap();
            handle.set_xattr("ONE", b"11").unwrap();
            handle.set_xattr("two", &[7; 2000]).unwrap();
            assert_eq!(handle.xattr("one").unwrap().as_deref(), Some(&b"11"[..]));
            let names: Vec<_> = handle.xattrs().unwrap().into_iter().map(|xattr| xattr.name).collect();
            assert_eq!(names, ["One", "two"]);
            assert_eq!(handle.xattr("two").unwrap().unwrap().len(), 2000);
            handle.remove_xattr("oNe").unwrap();
            handle.remove_xattr("one").unwrap();
            handle.remove_xattr("two").unwrap();
            assert!(handle.xattrs().unwrap().is_empty());
        }

        let main = stream("F", "Notes");
        assert!(matches!(backend.open(&actor, &main, Wanted::READ), Err(Error::NotFound)));
        let made = backend.create_file(&actor, &main, FileAttributes::NONE, Wanted::BOTH).unwrap();
        assert_eq!((made.path.as_str(), made.stream.as_deref()), ("f", Some("Notes")));
        made.handle.write_at(b"text", 2).unwrap();
        let again = backend.create_file(&actor, &stream("f", "NOTES"), FileAttributes::NONE, Wanted::BOTH);
        assert!(matches!(again, Err(Error::Exists)));
        let opened = backend.open(&actor, &stream("f", "nOTES"), Wanted::READ).unwrap();
        assert_eq!(opened.stream.as_deref(), Some("Notes"));
        assert_eq!((opened.stat.size, opened.stat.kind), (6, Kind::File));
        let mut buffer = [0; 8];
        assert_eq!(opened.handle.read_at(&mut buffer, 0).unwrap(), 6);
        assert_eq!(&buffer[..6], b"\0\0text");
        assert!(matches!(opened.handle.write_at(b"x", 0), Err(Error::AccessDenied)));
        made.handle.set_size(3).unwrap();
        let streams = open(&*backend, "f").unwrap().handle.streams().unwrap();
        assert_eq!(streams.iter().map(|s| (s.name.as_str(), s.size)).collect::<Vec<_>>(), [("Notes", 3)]);
        assert_eq!(open(&*backend, "f").unwrap().stat.size, 0);

        let other = stream("f", "other");
        backend.create_file(&actor, &other, FileAttributes::NONE, Wanted::BOTH).unwrap();
        assert!(matches!(backend.rename(&actor, &*made.handle, &main, &other, false), Err(Error::Exists)));
        backend.rename(&actor, &*made.handle, &main, &other, true).unwrap();
        assert_eq!(backend.open(&actor, &other, Wanted::READ).unwrap().stat.size, 3);
        // Open handles of the stream follow it.
        made.handle.write_at(b"more", 0).unwrap();
        assert_eq!(opened.handle.stat().unwrap().size, 4);
        let opened = backend.open(&actor, &other, Wanted::READ).unwrap();
        backend.remove(&actor, &other, &*opened.handle).unwrap();
        assert!(matches!(backend.open(&actor, &other, Wanted::READ), Err(Error::NotFound)));
        assert!(open(&*backend, "f").is_ok());

        let d = directory(&*backend, "d");
        backend.create_file(&actor, &stream("d", "s"), FileAttributes::NONE, Wanted::BOTH).unwrap();
        assert_eq!(d.handle.streams().unwrap().len(), 1);
        let data = backend.rename(&actor, &*d.handle, &stream("d", "s"), &path("d"), true);
        assert!(matches!(data, Err(Error::IsADirectory)));
    });
}

#[test]
fn a_stream_can_be_renamed_to_the_data_of_an_empty_file() {
    check(|backend| {
        let actor = Actor::Process;
        let base = file(&*backend, "f");
        let made = stream("f", "s");
        let made = backend.create_file(&actor, &made, FileAttributes::NONE, Wanted::BOTH).unwrap();
        made.handle.write_at(b"text", 0).unwrap();
        base.handle.write_at(b"x", 0).unwrap();
        let full = backend.rename(&actor, &*made.handle, &stream("f", "s"), &path("f"), true);
        assert!(matches!(full, Err(Error::Exists)));
        base.handle.set_size(0).unwrap();
        backend.rename(&actor, &*made.handle, &stream("f", "s"), &path("f"), true).unwrap();
        assert!(base.handle.streams().unwrap().is_empty());
        made.handle.write_at(b"T", 0).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(base.handle.read_at(&mut buffer, 0).unwrap(), 4);
        assert_eq!(&buffer[..4], b"Text");
        assert_eq!(made.handle.stat().unwrap().size, 4);
    });
}

#[test]
fn short_names_are_found_unless_a_file_has_that_name() {
    check(|backend| {
        let actor = Actor::Process;
        directory(&*backend, "A long name");
        file(&*backend, "A long name/Another.long.name");
        let (parent, name) = (short("A long name"), short("Another.long.name"));
        let opened = open(&*backend, &format!("{parent}/{}", name.to_lowercase())).unwrap();
        assert_eq!(opened.path, "A long name/Another.long.name");
        let again = path(&format!("a long name/{name}"));
        let again = backend.create_file(&actor, &again, FileAttributes::NONE, Wanted::READ);
        assert!(matches!(again, Err(Error::Exists)));
    });
}

fn short(name: &str) -> String {
    vfs::short_name::other_short_name(name).unwrap()
}

#[test]
fn listings_begin_with_dots_and_can_restart() {
    check(|backend| {
        let root = backend.open(&Actor::Process, &path(""), Wanted::READ).unwrap();
        assert_eq!(list(&root), [".", ".."]);
        let d = directory(&*backend, "d");
        file(&*backend, "d/one").handle.write_at(b"12345", 0).unwrap();
        assert_eq!(list(&d), [".", "..", "one"]);
        assert_eq!(list(&open(&*backend, "d").unwrap()), [".", "..", "one"]);
        let mut cursor = d.handle.read_directory().unwrap();
        let mut stat_of = |wanted: &str| {
            cursor.restart().unwrap();
            let mut pick = |name: &str| if name == wanted { EntryWanted::Stat } else { EntryWanted::Skip };
            let entry = cursor.next(&mut pick).unwrap();
            entry.map(|entry| entry.stat.unwrap())
        };
        assert_eq!(stat_of("one").unwrap(), open(&*backend, "d/one").unwrap().stat);
        assert!(stat_of(".").unwrap().is_same_file(&d.stat));
        assert!(stat_of("..").unwrap().is_same_file(&root.stat));
        assert!(stat_of("two").is_none());
        file(&*backend, "d/two");
        assert!(stat_of("two").is_some());
        let mut up = root.handle.read_directory().unwrap();
        let mut dots = |name: &str| if name == ".." { EntryWanted::Stat } else { EntryWanted::Skip };
        let entry = up.next(&mut dots).unwrap().unwrap();
        assert!(entry.stat.unwrap().is_same_file(&root.stat), "the root has nothing above");
    });
}

#[test]
fn a_long_listing_returns_each_entry_once_during_changes() {
    check(|backend| {
        let d = directory(&*backend, "d");
        for number in 0..10_000 {
            let name = path(&format!("d/file {number:05}"));
            backend.create_file(&Actor::Process, &name, FileAttributes::NONE, Wanted::READ).unwrap();
        }
        let done = AtomicBool::new(false);
        let mut seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..2_000 {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    file(&*backend, &format!("d/new {number}"));
                }
            });
            let mut cursor = d.handle.read_directory().unwrap();
            let mut seen = Vec::new();
            let mut wanted =
                |name: &str| if name.starts_with("file") { EntryWanted::Stat } else { EntryWanted::Skip };
            while let Some(entry) = cursor.next(&mut wanted).unwrap() {
                assert_eq!(entry.stat.unwrap().kind, Kind::File);
                seen.push(entry.name);
            }
            done.store(true, Ordering::Relaxed);
            seen
        });
        seen.sort();
        let expected: Vec<_> = (0..10_000).map(|number| format!("file {number:05}")).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn volume_and_space_have_plausible_values() {
    check(|backend| {
        let root = backend.open(&Actor::Process, &RelativePath::root(), Wanted::NOTHING).unwrap().handle;
        let space = backend.space(&*root).unwrap();
        assert!(space.unit_bytes >= 512);
        assert!(space.total >= space.free && space.free >= space.available);
        let volume = backend.volume(&*root).unwrap();
        assert_eq!(volume, backend.volume(&*root).unwrap());
        assert_ne!(volume.created, FileTime::NONE);
        assert_eq!(volume.component_units_max, 255);
    });
}
