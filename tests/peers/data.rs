//! Data integrity: acknowledged data is in the file, and protected data is not changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use client::smb::{ClientTree, CreateParameters, Error, File};
use testkit::{RunAs, Setup, Subject, need, skip};
use wire::create_context::{AaplParts, AaplRequest, AaplServerCaps, CreateContextsRequest};
use wire::fscc::file_info::{AllocationInfo, BasicInfo, EndOfFileInfo, FileInfoClass};
use wire::ioctl::{CopyChunk, CopyChunkRequest, FsctlCode, ZeroData};
use wire::layout::FixedLayout;
use wire::msg::{AdditionalInformation, InfoType, LockElement, LockFlags};
use wire::security::{Ace, AceFlags, Acl, SecurityDescriptor, Sid};
use wire::{AccessMask, FileTime, NtStatus, OplockLevel, ShareAccess};

use crate::scripted::tree;

/// FILE_APPEND_DATA and no right to write elsewhere.
fn appending(name: &str) -> CreateParameters<'_> {
    let access = AccessMask::APPEND_DATA | AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE;
    CreateParameters { access, ..CreateParameters::open(name) }
}

async fn file_of(tree: &ClientTree, name: &str, data: &[u8]) -> File {
    let file = tree.create(&CreateParameters::read_write(name)).await.expect("create");
    file.write(0, data.to_vec()).await.expect("write");
    file
}

fn encoded(info: &impl FixedLayout) -> Vec<u8> {
    let mut data = Vec::new();
    info.encode(&mut data);
    data
}

async fn set(file: &File, class: FileInfoClass, info: &impl FixedLayout) -> Result<(), Error> {
    file.set_info(InfoType::FILE, class.0, AdditionalInformation::NONE, &encoded(info)).await
}

/// Copies `length` bytes from the start of `from` to `offset`.
async fn copy(from: &File, to: &File, offset: u64, length: u32) -> Result<(), Error> {
    let key = from.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await.expect("a key");
    let chunk = CopyChunk { source_offset: 0, target_offset: offset, length };
    let source_key = *key.first_chunk().expect("a key of 24 bytes");
    let mut wish = Vec::new();
    CopyChunkRequest { source_key, chunks: vec![chunk] }.encode(&mut wish);
    to.ioctl(FsctlCode::SRV_COPYCHUNK_WRITE, &wish, 12).await.map(|_| ())
}

fn refused<T>(outcome: Result<T, Error>) -> Option<NtStatus> {
    outcome.err().and_then(|error| error.status())
}

#[tokio::test]
async fn an_append_only_open_writes_where_windows_does() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let whole = file_of(&data, "f", b"12345").await;
    let open = data.create(&appending("f")).await.expect("open");
    open.write(0, b"a".to_vec()).await.expect("write");
    copy(&whole, &open, 1, 1).await.expect("copy");
    assert_eq!(whole.read(0, 10).await.expect("read")[..], *b"aa345");
    if subject.is_samba() {
        return skip("Samba takes the offset -1 from its own clients for POSIX only");
    }
    open.write(u64::MAX, b"6".to_vec()).await.expect("append");
    copy(&whole, &open, u64::MAX, 1).await.expect("append by a copy");
    assert_eq!(whole.read(0, 10).await.expect("read")[..], *b"aa3456a");
    assert_eq!(refused(whole.write(u64::MAX, b"x".to_vec()).await), Some(NtStatus::INVALID_PARAMETER));
    for invalid in [u64::MAX - 1, 1 << 63] {
        assert_eq!(refused(open.write(invalid, b"x".to_vec()).await), Some(NtStatus::INVALID_PARAMETER));
    }
}

/// An ACL that lets its user append protects the existing data against every kind of write.
#[tokio::test]
async fn append_only_access_cannot_change_existing_data() {
    if !need(&["root", "unshare"]) {
        return;
    }
    let subject = Subject::start(&Setup { run_as: RunAs::Root, ..Setup::default() });
    if subject.is_samba() {
        return skip("Samba lets append-only users write anywhere");
    }
    let (alices, bobs) = (tree(&subject, "alice", "data").await, tree(&subject, "bob", "data").await);
    let uid = |name: &str| fs::metadata(subject.share_dir("data").join(name)).expect("a file").uid();
    let source = file_of(&bobs, "of-bob", b"overwritten").await;
    let asking = CreateParameters { access: AccessMask::FILE_ALL, ..CreateParameters::read_write("log") };
    let log = alices.create(&asking).await.expect("create");
    log.write(0, b"entry".to_vec()).await.expect("write");
    let path = subject.share_dir("data").join("log");
    // The kernel allows writing to all users; the descriptor restricts it.
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("chmod");
    let alice = Sid::unix_user(uid("log"));
    let only_append = AccessMask::APPEND_DATA
        | AccessMask::READ_DATA
        | AccessMask::READ_ATTRIBUTES
        | AccessMask::WRITE_ATTRIBUTES
        | AccessMask::SYNCHRONIZE;
    let aces = vec![
        Ace::allow(alice, AccessMask::FILE_ALL, AceFlags::NONE),
        Ace::allow(Sid::unix_user(uid("of-bob")), only_append, AceFlags::NONE),
    ];
    let mut descriptor = Vec::new();
    SecurityDescriptor::new(alice, Sid::WORLD, Acl { aces }).encode(&mut descriptor).expect("a descriptor");
    log.set_info(InfoType::SECURITY, 0, AdditionalInformation::DACL, &descriptor).await.expect("set");

    let writing = CreateParameters { access: AccessMask::WRITE_DATA, ..CreateParameters::open("log") };
    assert_eq!(refused(bobs.create(&writing).await), Some(NtStatus::ACCESS_DENIED));
    for access in [only_append, AccessMask::MAXIMUM_ALLOWED] {
        let before = fs::read(&path).expect("the log");
        let open =
            bobs.create(&CreateParameters { access, ..CreateParameters::open("log") }).await.expect("open");
        open.write(0, b"W".to_vec()).await.expect("write");
        copy(&source, &open, 0, 4).await.expect("copy");
        open.write(u64::MAX, b"E".to_vec()).await.expect("append");
        let denied = Some(NtStatus::ACCESS_DENIED);
        let zero = ZeroData { file_offset: 0, beyond_final_zero: 5 };
        assert_eq!(refused(open.ioctl(FsctlCode::SET_ZERO_DATA, &encoded(&zero), 0).await), denied);
        let end = set(&open, FileInfoClass::END_OF_FILE, &EndOfFileInfo { end_of_file: 1 }).await;
        assert_eq!(refused(end), denied);
        let allocation = set(&open, FileInfoClass::ALLOCATION, &AllocationInfo { allocation_size: 0 }).await;
        assert_eq!(refused(allocation), denied);
        open.close().await.expect("close");
        assert_eq!(fs::read(&path).expect("the log"), [&before[..], b"WoverE"].concat());
    }
}

#[tokio::test]
async fn appends_of_several_clients_are_all_there() {
    let subject = Subject::start(&Setup::default());
    if subject.is_samba() {
        return skip("Samba takes the offset -1 from its own clients for POSIX only");
    }
    const APPENDS: usize = 300;
    let data = tree(&subject, "alice", "data").await;
    for name in ["f", "f:stream"] {
        let file = file_of(&data, name, b"").await;
        let mut clients = Vec::new();
        for number in 0..4_u8 {
            let open = tree(&subject, "alice", "data").await.create(&appending(name)).await.expect("open");
            clients.push(tokio::spawn(async move {
                for _ in 0..APPENDS {
                    assert_eq!(open.write(u64::MAX, vec![b'a' + number; 2]).await.expect("append"), 2);
                }
            }));
        }
        for client in clients {
            client.await.expect("a client");
        }
        let all = file.read(0, 65_536).await.expect("read");
        assert_eq!(all.len(), 4 * 2 * APPENDS, "{name}");
        for number in 0..4 {
            assert_eq!(all.iter().filter(|&&byte| byte == b'a' + number).count(), 2 * APPENDS, "{name}");
        }
    }
}

/// A stream is written by reading and writing back all of it.
#[tokio::test]
async fn two_shares_over_one_directory_lose_no_write_to_a_stream() {
    let files = tempfile::tempdir().expect("a directory");
    fs::set_permissions(files.path(), Permissions::from_mode(0o777)).expect("chmod");
    let again = format!("\n[[share]]\nname = \"again\"\npath = {:?}\n", files.path().join("data"));
    let setup = Setup { extra: again, tree: Some(files.path().to_owned()), ..Setup::default() };
    let subject = Subject::start(&setup);
    if subject.is_samba() {
        return skip("the second share is in our configuration only");
    }
    const WRITES: u64 = 500;
    let data = tree(&subject, "alice", "data").await;
    file_of(&data, "f:s", b"").await;
    let mut clients = Vec::new();
    for (share, first) in [("data", 0), ("again", 1), ("data", 2), ("again", 3)] {
        let open = tree(&subject, "alice", share).await.create(&CreateParameters::read_write("f:s")).await;
        let open = open.expect("open");
        clients.push(tokio::spawn(async move {
            for number in 0..WRITES {
                assert_eq!(open.write(first + 4 * number, b"x".to_vec()).await.expect("write"), 1);
            }
        }));
    }
    for client in clients {
        client.await.expect("a client");
    }
    let stream = data.create(&CreateParameters::open("f:s")).await.expect("open");
    let all = stream.read(0, 65_536).await.expect("read");
    let lost = all.iter().filter(|&&byte| byte != b'x').count();
    assert_eq!((all.len() as u64, lost), (4 * WRITES, 0));
}

#[tokio::test]
async fn an_append_checks_locks_at_its_position() {
    let subject = Subject::start(&Setup::default());
    if subject.is_samba() {
        return skip("Samba takes the offset -1 from its own clients for POSIX only");
    }
    let data = tree(&subject, "alice", "data").await;
    let holder = file_of(&data, "f", b"12345").await;
    let open = data.create(&appending("f")).await.expect("open");
    let lock = |offset, flags| LockElement { offset, length: 5, flags };
    let exclusive = LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY;
    holder.lock(&[lock(0, exclusive)]).await.expect("lock what is there");
    open.write(u64::MAX, b"6".to_vec()).await.expect("the end is free");
    holder.lock(&[lock(6, exclusive)]).await.expect("lock the end");
    assert_eq!(refused(open.write(u64::MAX, b"7".to_vec()).await), Some(NtStatus::FILE_LOCK_CONFLICT));
    assert_eq!(refused(copy(&holder, &open, u64::MAX, 1).await), Some(NtStatus::FILE_LOCK_CONFLICT));
    assert_eq!(fs::read(subject.share_dir("data").join("f")).expect("the file"), b"123456");
}

/// MS-SMB2 3.3.5.14.1: processing stops at the unlock that fails; earlier elements stay in effect, later ones are
/// skipped.
#[tokio::test]
async fn a_failed_unlock_keeps_the_earlier_elements() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let holder = file_of(&data, "f", b"").await;
    let other = data.create(&CreateParameters::read_write("f")).await.expect("open");
    let element = |offset, flags| LockElement { offset, length: 1, flags };
    let exclusive = LockFlags::EXCLUSIVE_LOCK | LockFlags::FAIL_IMMEDIATELY;
    holder.lock(&[element(0, exclusive), element(2, exclusive)]).await.expect("lock");
    let unlocks = [0, 1, 2].map(|offset| element(offset, LockFlags::UNLOCK));
    assert_eq!(refused(holder.lock(&unlocks).await), Some(NtStatus::RANGE_NOT_LOCKED));
    other.lock(&[element(0, exclusive)]).await.expect("the first was unlocked");
    assert_eq!(refused(other.lock(&[element(2, exclusive)]).await), Some(NtStatus::LOCK_NOT_GRANTED));
    let mixed = [element(2, LockFlags::UNLOCK), element(3, exclusive)];
    assert_eq!(refused(holder.lock(&mixed).await), Some(NtStatus::INVALID_PARAMETER));
    other.lock(&[element(2, exclusive)]).await.expect("it was unlocked before the lock was refused");
}

/// MS-FSA 2.1.5.15.1: the allocation is rounded up to clusters before anything is cut off.
#[tokio::test]
async fn an_allocation_size_cuts_whole_clusters() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let file = file_of(&data, "f", &[b'x'; 6000]).await;
    let size = || fs::metadata(subject.share_dir("data").join("f")).expect("the file").len();
    for (allocation_size, expected) in
        [(5000, 6000), (6000, 6000), (100_000, 6000), (4096, 4096), (1, 4096), (0, 0)]
    {
        set(&file, FileInfoClass::ALLOCATION, &AllocationInfo { allocation_size }).await.expect("set");
        assert_eq!(size(), expected, "{allocation_size}");
    }
    let too_much = set(&file, FileInfoClass::ALLOCATION, &AllocationInfo { allocation_size: i64::MAX }).await;
    assert!(too_much.is_err());
}

/// A backup that compares times must notice the writes of others after the time was set.
#[tokio::test]
async fn closing_keeps_the_write_time_of_later_writers() {
    let subject = Subject::start(&Setup::default());
    if subject.is_samba() {
        return skip("Samba keeps a time that was set for as long as the file is open");
    }
    let data = tree(&subject, "alice", "data").await;
    let path = subject.share_dir("data").join("f");
    let old = FileTime(131_000_000_000_000_000);
    let is_old = || fs::metadata(&path).expect("the file").mtime() < 1_600_000_000;
    let info = BasicInfo { modified: old, ..BasicInfo::default() };
    for by_client in [true, false] {
        let keeper = file_of(&data, "f", b"1").await;
        set(&keeper, FileInfoClass::BASIC, &info).await.expect("set");
        keeper.write(0, b"2".to_vec()).await.expect("write");
        if by_client {
            file_of(&data, "f", b"3").await.close().await.expect("close");
        } else {
            fs::write(&path, "3").expect("write locally");
        }
        keeper.close().await.expect("close");
        assert!(!is_old(), "new content with an old time");
    }
    let keeper = file_of(&data, "f", b"1").await;
    set(&keeper, FileInfoClass::BASIC, &info).await.expect("set");
    keeper.write(0, b"2".to_vec()).await.expect("write");
    keeper.close().await.expect("close");
    assert!(is_old(), "what the open itself wrote leaves the time it has set");
}

/// Apple's copy of a whole file: its streams are opened as a client would open them.
#[tokio::test]
async fn copying_a_stream_checks_share_modes() {
    let subject = Subject::start(&Setup::default());
    let data = tree(&subject, "alice", "data").await;
    let aapl =
        AaplRequest::ServerQuery { parts: AaplParts::SERVER_CAPS, client_caps: AaplServerCaps::OSX_COPYFILE };
    let contexts = CreateContextsRequest { aapl: Some(aapl), ..CreateContextsRequest::default() };
    data.create(&CreateParameters { contexts, ..CreateParameters::directory("") }).await.expect("ask");
    let from = file_of(&data, "from", b"data").await;
    file_of(&data, "from:s", b"stream").await.close().await.expect("close");
    let to = file_of(&data, "to", b"old").await;
    let key = from.ioctl(FsctlCode::SRV_REQUEST_RESUME_KEY, &[], 32).await.expect("a key");
    let wish = [&key[..24], &[0; 8]].concat();
    let copy_all = || to.ioctl(FsctlCode::SRV_COPYCHUNK, &wish, 12);

    let other = tree(&subject, "bob", "data").await;
    let alone = CreateParameters { share: ShareAccess::READ, ..CreateParameters::read_write("to:s") };
    let open = other.create(&alone).await.expect("create");
    open.write(0, b"mine".to_vec()).await.expect("write");
    assert_eq!(refused(copy_all().await), Some(NtStatus::SHARING_VIOLATION));
    assert_eq!(open.read(0, 10).await.expect("read")[..], *b"mine");
    assert_eq!(to.read(0, 10).await.expect("read")[..], *b"old", "nothing was copied");
    open.close().await.expect("close");

    let caching = CreateParameters { oplock: OplockLevel::LEVEL_II, ..CreateParameters::open("to:s") };
    let mut said = other.connection().breaks();
    let reader = other.create(&caching).await.expect("open");
    assert_eq!(reader.created.oplock, OplockLevel::LEVEL_II);
    copy_all().await.expect("copy");
    let told = tokio::time::timeout(Duration::from_secs(20), said.next()).await;
    told.expect("who caches the stream is told").expect("a break");
    assert_eq!(reader.read(0, 10).await.expect("read")[..], *b"stream");
    let left = fs::read(subject.share_dir("data").join("to")).expect("the file");
    assert_eq!(left, b"data");
}
