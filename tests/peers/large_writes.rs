//! Large WRITEs without a signature, whose data go from the socket to the file, and those that must not.
//!
//! The client sends several at once, so a WRITE that is refused is followed by others in the same stream of bytes.

use std::fs;

use client::smb::{ClientTree, CreateParameters, File, write_part};
use testkit::{Setup, Subject, need};
use wire::msg::{LockElement, LockFlags, WriteResponse};
use wire::{AccessMask, FileId, NtStatus};

use crate::scripted::tree;
use crate::small_disks::Mounted;

/// Bytes of a WRITE.
const SIZE: usize = 1 << 20;

/// WRITEs under way at the same time.
const AT_ONCE: usize = 6;

/// Data that differ at every place and in every WRITE.
fn data(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 3 + at / 4096 + number) as u8).collect()
}

/// Sends all WRITEs before the first answer is awaited, and returns the numbers of bytes that were written.
async fn write_all(tree: &ClientTree, writes: &[(FileId, u64, Vec<u8>)]) -> Vec<Result<u32, NtStatus>> {
    let mut under_way = Vec::new();
    for (file, offset, data) in writes {
        let part = write_part(*file, *offset, data.clone().into());
        under_way.push(tree.connection().submit(tree.scope(), part).await.expect("send"));
    }
    let mut written = Vec::new();
    for request in under_way {
        let answer = request.response().await.expect("an answer").success();
        written.push(match answer {
            Ok(answer) => Ok(WriteResponse::decode(&answer.message).expect("an answer to WRITE").count),
            Err(error) => Err(error.status().expect("a status")),
        });
    }
    written
}

async fn file(tree: &ClientTree, name: &str) -> File {
    tree.create(&CreateParameters::read_write(name)).await.expect("create")
}

const WHOLE: Result<u32, NtStatus> = Ok(SIZE as u32);

#[tokio::test]
async fn large_writes_of_many_sizes_are_stored_in_order() {
    let subject = Subject::start(&Setup::default());
    let tree = tree(&subject, "alice", "data").await;
    let file = file(&tree, "f").await;
    let sizes = [SIZE, SIZE, 10, SIZE - 1, 600_000, 300_000, 0, SIZE, 65_536, SIZE, 524_288, 2 << 20];
    let (mut writes, mut expected) = (Vec::new(), Vec::new());
    for (number, size) in sizes.into_iter().enumerate() {
        let data = data(number, size);
        writes.push((file.id(), expected.len() as u64, data.clone()));
        expected.extend_from_slice(&data);
    }
    // The second time, the file exists.
    for _ in 0..2 {
        let written = write_all(&tree, &writes).await;
        assert_eq!(written, sizes.map(|size| Ok(size as u32)));
        assert!(fs::read(subject.share_dir("data").join("f")).expect("read") == expected);
    }
}

#[tokio::test]
async fn refused_large_writes_change_nothing_and_later_requests_are_answered() {
    let subject = Subject::start(&Setup::default());
    let tree = tree(&subject, "alice", "data").await;
    let (whole, locked, read_only) = (file(&tree, "whole").await, file(&tree, "locked").await, {
        let access = AccessMask::READ_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE;
        tree.create(&CreateParameters { access, ..CreateParameters::open("whole") }).await.expect("open")
    });
    let locker = file(&tree, "locked").await;
    let flags = LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY;
    locker.lock(&[LockElement { offset: SIZE as u64 - 1, length: 1, flags }]).await.expect("lock");
    let gone = FileId { persistent: 77, volatile: 77 };
    let written = write_all(
        &tree,
        &[
            (whole.id(), 0, data(1, SIZE)),
            (gone, 0, data(2, SIZE)),
            (locked.id(), 0, data(3, SIZE)),
            (locked.id(), SIZE as u64, data(4, SIZE)),
            (read_only.id(), 0, data(5, SIZE)),
            (whole.id(), i64::MAX as u64, data(6, SIZE)),
            (whole.id(), SIZE as u64, data(7, SIZE)),
        ],
    )
    .await;
    let expected = [
        WHOLE,
        Err(NtStatus::FILE_CLOSED),
        Err(NtStatus::FILE_LOCK_CONFLICT),
        WHOLE,
        Err(NtStatus::ACCESS_DENIED),
        Err(NtStatus::INVALID_PARAMETER),
        WHOLE,
    ];
    assert_eq!(written, expected);
    let stored = |name: &str| fs::read(subject.share_dir("data").join(name)).expect("read");
    assert!(stored("whole") == [data(1, SIZE), data(7, SIZE)].concat());
    assert!(stored("locked") == [vec![0; SIZE], data(4, SIZE)].concat());
}

/// Named streams are not written through a descriptor of their own, and an append has no offset.
#[tokio::test]
async fn large_writes_to_streams_and_ends_are_stored() {
    let subject = Subject::start(&Setup::default());
    let tree = tree(&subject, "alice", "data").await;
    let main = file(&tree, "f").await;
    main.write(0, &b"start"[..]).await.expect("write");
    let access = AccessMask::APPEND_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE;
    let end = tree.create(&CreateParameters { access, ..CreateParameters::open("f") }).await.expect("open");
    let mut writes = vec![(end.id(), u64::MAX, data(1, SIZE)), (end.id(), u64::MAX, data(2, SIZE))];
    let stream = file(&tree, "f:s").await;
    writes.insert(1, (stream.id(), 0, data(3, SIZE)));
    let written = write_all(&tree, &writes).await;
    assert_eq!(written, [WHOLE, WHOLE, WHOLE]);
    assert!(stream.read(0, SIZE as u32).await.expect("read") == data(3, SIZE));
    let stored = fs::read(subject.share_dir("data").join("f")).expect("read");
    assert!(stored == [b"start".to_vec(), data(1, SIZE), data(2, SIZE)].concat());
}

#[tokio::test]
async fn large_writes_to_a_full_disk_store_a_part_or_nothing() {
    if !need(&["root"]) {
        return;
    }
    let disk = tempfile::tempdir().expect("a directory");
    let _mount = Mounted::on(disk.path());
    let subject = Subject::start(&Setup { tree: Some(disk.path().to_owned()), ..Setup::default() });
    let tree = tree(&subject, "alice", "data").await;
    let full = file(&tree, "full").await;
    let writes: Vec<_> =
        (0..AT_ONCE).map(|number| (full.id(), (number * SIZE) as u64, data(number, SIZE))).collect();
    let written = write_all(&tree, &writes).await;
    assert_eq!(written.first(), Some(&WHOLE));
    assert_eq!(written.last(), Some(&Err(NtStatus::DISK_FULL)));
    let sum: u64 = written.iter().flatten().map(|count| u64::from(*count)).sum();
    let stored = fs::read(subject.share_dir("data").join("full")).expect("read");
    assert_eq!(stored.len() as u64, sum, "what was answered is stored");
    let sent: Vec<u8> = writes.iter().flat_map(|(_, _, data)| data.clone()).collect();
    assert!(stored == sent[..stored.len()]);
    // There is space again.
    fs::remove_file(subject.share_dir("data").join("full")).expect("remove");
    full.close().await.expect("close");
    let next = file(&tree, "next").await;
    assert_eq!(write_all(&tree, &[(next.id(), 0, data(9, SIZE))]).await, [WHOLE]);
    assert!(fs::read(subject.share_dir("data").join("next")).expect("read") == data(9, SIZE));
}
