//! Several threads at one file, through one share or through two over the same directory.
#![cfg(target_os = "linux")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vfs::{
    Actor, Backend, Handle, LocalBackend, LocalOptions, MemBackend, Opened, RelativePath, SetTimes, Wanted,
};
use wire::{FileAttributes, FileTime};

/// Two shares over one directory.
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
fn a_stream_written_through_two_shares_loses_nothing() {
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
fn attributes_set_through_two_shares_keep_each_other() {
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
fn attributes_of_one_name_in_two_spellings_are_one() {
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
fn a_stream_keeps_what_is_written_while_it_is_renamed() {
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
fn appends_lose_nothing() {
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

/// Four threads append, and a fifth writes behind the end, as an ordinary writer does who knows where that is.
fn append_from_all_sides(first: &Arc<dyn Handle>, second: &Arc<dyn Handle>, with_writer: bool) {
    // A stream is no larger than an attribute may be.
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
fn an_append_is_told_its_place_and_can_be_refused() {
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
fn zeros_give_back_the_space_of_sparse_files_only() {
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
fn who_has_a_stream_open_that_is_gone_does_not_reach_its_successor() {
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
