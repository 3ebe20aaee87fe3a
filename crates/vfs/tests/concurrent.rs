//! Tests with several threads that use one file, through one share or two shares of one directory.
#![cfg(target_os = "linux")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use vfs::{
    Actor, Backend, EntryWanted, Handle, LocalBackend, LocalOptions, MemBackend, Opened, RelativePath,
    SetTimes, Wanted,
};
use wire::{FileAttributes, FileTime};

/// Two shares of one directory.
fn two_shares() -> (tempfile::TempDir, LocalBackend, LocalBackend) {
    let directory = tempfile::tempdir().unwrap();
    let share = |path: &Path| LocalBackend::open(path, LocalOptions::default()).unwrap();
    let (one, other) = (share(directory.path()), share(directory.path()));
    (directory, one, other)
}

fn create(backend: &dyn Backend, path: &RelativePath) -> Opened {
    backend.create_file(&Actor::Process, path, FileAttributes::NONE, Wanted::BOTH).unwrap()
}

fn open(backend: &dyn Backend, path: &RelativePath) -> Opened {
    backend.open(&Actor::Process, path, Wanted::BOTH).unwrap()
}

fn content(handle: &dyn Handle) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 20];
    let read = handle.read_at(&mut buffer, 0).unwrap();
    buffer.truncate(read);
    buffer
}

fn file() -> RelativePath {
    RelativePath::new("f").unwrap()
}

#[test]
fn concurrent_stream_writes_through_two_shares_are_all_kept() {
    let (_directory, one, other) = two_shares();
    let _file = create(&one, &file());
    let stream = file().with_stream("s").unwrap();
    let first = create(&one, &stream);
    let second = open(&other, &stream);
    const BYTES: u64 = 1000;
    std::thread::scope(|scope| {
        for (index, handle) in [&first.handle, &second.handle].into_iter().enumerate() {
            scope.spawn(move || {
                for at in 0..BYTES {
                    assert_eq!(handle.write_at(b"x", at * 2 + index as u64).unwrap(), 1);
                }
            });
        }
    });
    assert_eq!(content(&*first.handle), vec![b'x'; 2 * BYTES as usize]);
}

#[test]
fn concurrent_attribute_changes_through_two_shares_are_all_kept() {
    let (_directory, one, other) = two_shares();
    let first = create(&one, &file());
    let second = open(&other, &file());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut sparse = false;
                while !done.load(Ordering::Relaxed) {
                    sparse = !sparse;
                    second.handle.set_sparse(sparse).unwrap();
                }
            });
        }
        for number in 1..3000 {
            let created = FileTime(131_000_000_000_000_000 + number);
            first.handle.set_times(SetTimes { created: Some(created), ..SetTimes::default() }).unwrap();
            if first.handle.stat().unwrap().created != created {
                done.store(true, Ordering::Relaxed);
                panic!("a creation time that was set is gone");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_extended_attribute_set_in_two_spellings_is_stored_once() {
    let (directory, one, other) = two_shares();
    for round in 0..300 {
        let path = RelativePath::new(format!("f{round}")).unwrap();
        let first = create(&one, &path);
        let second = open(&other, &path);
        std::thread::scope(|scope| {
            scope.spawn(|| first.handle.set_xattr("Name", b"1").unwrap());
            scope.spawn(|| second.handle.set_xattr("NAME", b"2").unwrap());
        });
        assert_eq!(first.handle.xattrs().unwrap().len(), 1, "{}", directory.path().display());
    }
}

#[test]
fn a_write_during_a_stream_rename_is_not_lost() {
    let (_directory, one, other) = two_shares();
    let opened = create(&one, &file());
    let name = |number: u32| file().with_stream(format!("s{number}")).unwrap();
    let stream = create(&one, &name(0));
    const RENAMES: u32 = 300;
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(stream.handle.write_at(b"x", written).unwrap(), 1);
                assert_eq!(stream.handle.stat().unwrap().size, written + 1);
                written = (written + 1) % 512;
                if written == 0 {
                    stream.handle.set_size(0).unwrap();
                }
            }
            written
        });
        let base = open(&other, &file());
        for number in 0..RENAMES {
            other.rename(&Actor::Process, &*base.handle, &name(number), &name(number + 1), false).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert_eq!(content(&*open(&other, &name(RENAMES)).handle).len() as u64, written);
    assert_eq!(opened.handle.streams().unwrap().len(), 1);
}

#[test]
fn concurrent_appends_are_all_kept() {
    let (_directory, one, other) = two_shares();
    let memory = MemBackend::new();
    let stream = file().with_stream("s").unwrap();
    for path in [file(), stream] {
        let local = (create(&one, &path).handle, open(&other, &path).handle);
        let in_memory = (create(&memory, &path).handle, open(&memory, &path).handle);
        for (first, second) in [local, in_memory] {
            append_from_all_sides(&first, &second, path.stream().is_none());
        }
    }
}

/// Four threads append; a fifth thread, if requested, writes at the end with its offset, as an ordinary
/// writer would.
fn append_from_all_sides(first: &Arc<dyn Handle>, second: &Arc<dyn Handle>, with_writer: bool) {
    // A stream must fit into an attribute.
    const RECORDS: usize = 200;
    const RECORD: usize = 4;
    std::thread::scope(|scope| {
        for (index, handle) in [first, second, first, second].into_iter().enumerate() {
            scope.spawn(move || {
                let record = [b'a' + index as u8; RECORD];
                for _ in 0..RECORDS {
                    assert_eq!(handle.append(&record, &|_| true).unwrap(), Some(RECORD));
                }
            });
        }
        if with_writer {
            scope.spawn(|| {
                for _ in 0..RECORDS {
                    let end = second.stat().unwrap().size;
                    assert_eq!(second.write_at(&[b'-'; RECORD], end + (1 << 16)).unwrap(), RECORD);
                }
            });
        }
    });
    let mut counts = [0; 256];
    let size = usize::try_from(first.stat().unwrap().size).unwrap();
    let mut all = vec![0; size];
    assert_eq!(first.read_at(&mut all, 0).unwrap(), size);
    for byte in all {
        counts[usize::from(byte)] += 1;
    }
    assert_eq!(counts[usize::from(b'a')..=usize::from(b'd')], [RECORDS * RECORD; 4]);
}

#[test]
fn an_append_passes_its_offset_to_the_check_which_can_refuse_it() {
    let (_directory, one, _) = two_shares();
    let memory = MemBackend::new();
    let stream = file().with_stream("s").unwrap();
    for path in [file(), stream] {
        for backend in [&one as &dyn Backend, &memory] {
            let handle = create(backend, &path).handle;
            handle.write_at(b"12345", 0).unwrap();
            assert_eq!(handle.append(b"x", &|end| end != 5).unwrap(), None);
            assert_eq!(handle.append(b"x", &|end| end == 5).unwrap(), Some(1));
            assert_eq!(content(&*handle), b"12345x");
            let reader = backend.open(&Actor::Process, &path, Wanted::READ).unwrap();
            assert!(matches!(reader.handle.append(b"x", &|_| true), Err(vfs::Error::AccessDenied)));
        }
    }
}

#[test]
fn zeroing_frees_the_space_of_sparse_files_only() {
    let (directory, one, _) = two_shares();
    let handle = create(&one, &file()).handle;
    let data = vec![1; 1 << 20];
    handle.write_at(&data, 0).unwrap();
    handle.flush().unwrap();
    let blocks = || std::fs::metadata(directory.path().join("f")).unwrap().blocks();
    let before = blocks();
    handle.zero(0..1 << 20).unwrap();
    handle.flush().unwrap();
    assert!(blocks() >= before, "what was reserved is gone: {} of {before} blocks", blocks());
    assert_eq!(content(&*handle), vec![0; 1 << 20]);
    handle.write_at(&data, 0).unwrap();
    handle.set_sparse(true).unwrap();
    handle.zero(0..1 << 20).unwrap();
    handle.flush().unwrap();
    assert_eq!(content(&*handle), vec![0; 1 << 20]);
    assert!(blocks() < before);
}

#[test]
fn a_handle_of_a_removed_stream_does_not_access_a_new_one_of_that_name() {
    let (_directory, one, other) = two_shares();
    let base = create(&one, &file());
    let path = file().with_stream("s").unwrap();
    let create_again = || {
        let handle = create(&other, &path).handle;
        handle.write_at(b"new", 0).unwrap();
        handle
    };
    let removed = create(&one, &path).handle;
    other.remove(&Actor::Process, &path, &*open(&other, &file()).handle).unwrap();
    let replaced = create_again();
    let successor = file().with_stream("t").unwrap();
    create(&one, &successor).handle.write_at(b"new", 0).unwrap();
    one.rename(&Actor::Process, &*base.handle, &successor, &path, true).unwrap();
    for gone in [removed, replaced] {
        assert!(matches!(gone.write_at(b"old", 0), Err(vfs::Error::NotFound)));
        assert!(matches!(gone.stat(), Err(vfs::Error::NotFound)));
    }
    assert_eq!(content(&*open(&other, &path).handle), b"new");
}

/// Longer than a call that does not wait.
const A_WHILE: Duration = Duration::from_millis(200);

/// A thread that opens or lists a new file waits until its creator has completed it.
#[test]
fn opens_and_listings_wait_until_a_new_file_is_complete() {
    const RECORD: &[u8] = b"a descriptor";
    type Look = fn(&dyn Backend) -> vfs::Result<Arc<dyn Handle>>;
    let looks: [(&str, Look); 4] = [
        ("open", |share| share.open(&Actor::Process, &file(), Wanted::NOTHING).map(|it| it.handle)),
        ("open in its directory", |share| {
            let parent = share.parent(&Actor::Process, &file())?;
            share.open_in(&Actor::Process, &*parent.handle, &file(), true).map(|it| it.handle)
        }),
        ("hold what is in it", |share| {
            // A file contains nothing.
            match share.parent(&Actor::Process, &RelativePath::new("f/g")?) {
                Err(_) => share.open(&Actor::Process, &file(), Wanted::NOTHING).map(|it| it.handle),
                parent => parent.map(|it| it.handle),
            }
        }),
        ("list", |share| {
            let root = share.open(&Actor::Process, &RelativePath::default(), Wanted::READ)?;
            let mut cursor = root.handle.read_directory()?;
            while cursor.next(&mut |_| EntryWanted::Stat)?.is_some() {}
            share.open(&Actor::Process, &file(), Wanted::NOTHING).map(|it| it.handle)
        }),
    ];
    for is_directory in [false, true] {
        for (what, look) in looks {
            let (_directory, one, other) = two_shares();
            let (found, is_found) = mpsc::channel();
            std::thread::scope(|scope| {
                let complete = |new: &Opened| {
                    let (found, other) = (found.clone(), &other);
                    scope.spawn(move || found.send(look(other).unwrap().security_record().unwrap()));
                    assert!(is_found.recv_timeout(A_WHILE).is_err(), "{what}: it was there too early");
                    new.handle.set_security_record(RECORD)
                };
                let parent = one.parent(&Actor::Process, &file()).unwrap();
                let none = FileAttributes::NONE.into();
                let made = match is_directory {
                    true => one.make_directory_in(&Actor::Process, &parent, none, &complete),
                    false => one.make_file_in(&Actor::Process, &parent, none, Wanted::BOTH, &complete),
                };
                assert!(made.is_ok());
                assert_eq!(is_found.recv().unwrap().as_deref(), Some(RECORD), "{what}");
            });
        }
    }
}

#[test]
fn a_file_whose_completion_fails_is_removed() {
    let (directory, one, other) = two_shares();
    let local: [&dyn Backend; 2] = [&one, &other];
    let memory = MemBackend::new();
    let refuse = |_: &Opened| Err(vfs::Error::NoSpace);
    for share in local.into_iter().chain([&memory as &dyn Backend]) {
        let parent = share.parent(&Actor::Process, &file()).unwrap();
        let none = FileAttributes::NONE.into();
        let made = [
            share.make_file_in(&Actor::Process, &parent, none, Wanted::BOTH, &refuse),
            share.make_directory_in(&Actor::Process, &parent, none, &refuse),
        ];
        assert!(made.iter().all(|it| matches!(it, Err(vfs::Error::NoSpace))));
        let opened = share.open(&Actor::Process, &file(), Wanted::NOTHING);
        assert!(matches!(opened, Err(vfs::Error::NotFound)));
        create(share, &file());
        let stream = file().with_stream("s").unwrap();
        let parent = share.parent(&Actor::Process, &stream).unwrap();
        assert!(share.make_file_in(&Actor::Process, &parent, none, Wanted::BOTH, &refuse).is_err());
        assert!(share.open(&Actor::Process, &stream, Wanted::NOTHING).is_err());
        let created = open(share, &file());
        share.remove(&Actor::Process, &file(), &*created.handle).unwrap();
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// The end that an append passes to its check is the place where the data are written.
#[test]
fn an_append_writes_at_the_offset_that_the_check_accepted() {
    type Move = fn(&dyn Handle);
    let moves: [Move; 3] = [
        |it| assert_eq!(it.write_at(b"x", 50).unwrap(), 1),
        |it| it.set_size(80).unwrap(),
        |it| {
            it.set_size(1).unwrap();
        },
    ];
    for moves in moves {
        let (_directory, one, other) = two_shares();
        let first = create(&one, &file());
        first.handle.write_at(b"0123456789", 0).unwrap();
        let second = open(&other, &file());
        let (done, is_done) = mpsc::channel();
        let told = std::thread::scope(|scope| {
            let told = std::cell::Cell::new(None);
            let may_write_at = |end| {
                told.set(Some(end));
                let (done, second) = (done.clone(), &second);
                scope.spawn(move || {
                    moves(&*second.handle);
                    done.send(()).unwrap();
                });
                // A thread that moves the end waits.
                let _ = is_done.recv_timeout(A_WHILE);
                true
            };
            assert_eq!(first.handle.append(b"appended", &may_write_at).unwrap(), Some(8));
            assert_eq!(first.handle.stat().unwrap().inode, second.handle.stat().unwrap().inode);
            let mut written = [0; 8];
            let at = told.get().unwrap();
            let read = first.handle.read_at(&mut written, at).unwrap();
            (at, written[..read].to_vec())
        });
        assert_eq!(told.0, 10);
        // The data were written there, and truncated if the other thread has done that since.
        assert!(told.1 == b"appended" || told.1.is_empty(), "{told:?}");
    }
}

/// A new file never has a mode that lets others in whom its own mode keeps out.
#[test]
fn a_new_file_has_its_mode_before_it_is_complete() {
    let (_directory, one, _) = two_shares();
    let private = |new: &Opened| {
        assert_eq!(new.stat.mode & 0o077, 0o040);
        Ok(())
    };
    let new = vfs::New { mode: Some(0o040), ..FileAttributes::NONE.into() };
    let parent = one.parent(&Actor::Process, &file()).unwrap();
    one.make_file_in(&Actor::Process, &parent, new, Wanted::BOTH, &private).unwrap();
    let parent = one.parent(&Actor::Process, &RelativePath::new("d").unwrap()).unwrap();
    one.make_directory_in(&Actor::Process, &parent, new, &private).unwrap();
}
