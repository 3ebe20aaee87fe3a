//! The log against a plain table: whatever happens to the file, what was committed is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use handlelog::{
    Actor, AppInstance, Birth, Change, Contents, Damage, Durability, Entry, HandleLog, Key, LeaseRecord,
    LockRecord, OpenError, OpenFlags, OpenRecord, Owner, StoredOpen, decode,
};
use proptest::prelude::*;
use wire::security::Sid;
use wire::{AccessMask, FileId, Guid, LeaseState, OplockLevel, ShareAccess};

const BOOT: [u8; 16] = [7; 16];

fn directory(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn open(path: &Path) -> Result<(HandleLog, Contents), OpenError> {
    HandleLog::open(directory(path), "log", Durability::Power, BOOT)
}

fn record(id: u64, salt: u64) -> OpenRecord {
    OpenRecord {
        file_id: FileId { persistent: id, volatile: salt },
        create_guid: (salt & 1 == 0).then_some(Guid([salt as u8; 16])),
        client_guid: Guid([3; 16]),
        app_instance: (salt & 2 == 0).then_some(AppInstance {
            id: Guid([4; 16]),
            version: (salt & 4 == 0).then_some((salt, 1)),
            maximal_access: AccessMask::FILE_ALL,
        }),
        timeout_ms: 60_000,
        flags: OpenFlags::PERSISTENT | OpenFlags::REPLAYABLE,
        access: AccessMask::FILE_GENERIC_READ,
        share_access: ShareAccess::READ,
        mode: 2,
        action: 1,
        position: salt,
        oplock: OplockLevel::LEASE,
        lease: Some((Guid([3; 16]), Guid([5; 16]))),
        parent_key: None,
        path: format!("directory/größe {salt}"),
        stream: (salt & 8 == 0).then(|| String::from("stream")),
        inode: id.wrapping_mul(3),
        birth: Some(Birth { seconds: -1, nanoseconds: 5 }),
        owner: Owner {
            user: String::from("carol"),
            domain: String::from("CORP"),
            sid: (salt & 16 == 0).then(|| Sid::unix_user(1000)),
            client: String::from("192.0.2.7"),
        },
        actor: (salt & 32 == 0).then(|| Actor { uid: 1000, gid: 100, groups: vec![1, 2, 3] }),
        lock_sequences: vec![(1, 2), (64, 15)],
    }
}

/// The contents of a log as a plain table.
type Model = BTreeMap<Key, Entry>;

fn apply(model: &mut Model, change: &Change) {
    match change {
        Change::Put(entry) => {
            model.insert(entry.key(), entry.clone());
        }
        Change::Drop(Key::Open(id)) => {
            model.remove(&Key::Open(*id));
            model.retain(|key, _| !matches!(key, Key::Lock { open, .. } if open == id));
        }
        Change::Drop(key) => {
            model.remove(key);
        }
    }
}

fn entries(contents: &Contents) -> Model {
    let opens = contents.opens.iter().flat_map(|StoredOpen { open, locks }| {
        let locks = locks.iter().map(|lock| Entry::Lock(*lock));
        [Entry::Open(Box::new(open.clone()))].into_iter().chain(locks)
    });
    let leases = contents.leases.iter().map(|lease| Entry::Lease(*lease));
    opens.chain(leases).map(|entry| (entry.key(), entry)).collect()
}

/// The entries of the model that a reader gets: locks without an open are left out.
fn readable(model: &Model) -> Model {
    let has_open = |key: &Key| match key {
        Key::Lock { open, .. } => model.contains_key(&Key::Open(*open)),
        _ => true,
    };
    model.iter().filter(|(key, _)| has_open(key)).map(|(key, entry)| (*key, entry.clone())).collect()
}

fn change() -> impl Strategy<Value = Change> {
    let id = 1..6_u64;
    let lock =
        (id.clone(), 0..4_u64, any::<bool>(), 1..3_u32).prop_map(|(open, offset, exclusive, count)| {
            Entry::Lock(LockRecord { open, offset, length: 1, exclusive, count })
        });
    let lease = (0..3_u8, 0..8_u32, any::<u16>()).prop_map(|(key, state, epoch)| {
        Entry::Lease(LeaseRecord {
            client: Guid([1; 16]),
            key: Guid([key; 16]),
            state: LeaseState(state),
            version: 2,
            epoch,
        })
    });
    let entry = prop_oneof![
        (id, any::<u64>()).prop_map(|(id, salt)| Entry::Open(Box::new(record(id, salt)))),
        lock,
        lease,
    ];
    (entry, 0..4_u8).prop_map(|(entry, kind)| match kind {
        0 => Change::Drop(entry.key()),
        _ => Change::Put(entry),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After a crash at any byte of the last frame, all earlier commits are there, and the last one as a whole or not
    /// at all. A log that was cut can be continued.
    #[test]
    fn log_that_was_cut_anywhere_in_its_last_frame_has_all_earlier_commits(
        batches in prop::collection::vec(prop::collection::vec(change(), 1..5), 1..12),
        cut in any::<prop::sample::Index>(),
        reopen_at in any::<prop::sample::Index>(),
    ) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let (mut log, _) = open(scratch.path()).unwrap();
        let mut model = Model::new();
        let mut before = model.clone();
        let mut start = log.length();
        for (number, batch) in batches.iter().enumerate() {
            if number == reopen_at.index(batches.len()) {
                drop(log);
                let (again, contents) = open(scratch.path()).unwrap();
                prop_assert_eq!(entries(&contents), readable(&model));
                prop_assert_eq!(contents.cut, 0);
                log = again;
            }
            before.clone_from(&model);
            start = log.length();
            log.commit(batch).unwrap();
            batch.iter().for_each(|change| apply(&mut model, change));
        }
        let end = log.length();
        prop_assert_eq!(fs::metadata(&path).unwrap().len(), end);
        drop(log);
        let length = start + cut.index(usize::try_from(end - start).unwrap() + 1) as u64;
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let (mut log, contents) = open(scratch.path()).unwrap();
        let expected = if length == end { &model } else { &before };
        prop_assert_eq!(entries(&contents), readable(expected));
        log.commit(&[Change::Put(Entry::Open(Box::new(record(9, 9))))]).unwrap();
        drop(log);
        prop_assert!(open(scratch.path()).unwrap().1.opens.iter().any(|it| it.open == record(9, 9)));
    }

    /// A damaged byte in any frame but the last is an error, and the file stays as it is.
    #[test]
    fn damage_before_the_last_frame_is_refused(
        batches in prop::collection::vec(prop::collection::vec(change(), 1..4), 2..6),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let (mut log, _) = open(scratch.path()).unwrap();
        let mut last = log.length();
        for batch in &batches {
            last = log.length();
            log.commit(batch).unwrap();
        }
        drop(log);
        let mut bytes = fs::read(&path).unwrap();
        let at = place.index(usize::try_from(last).unwrap());
        bytes[at] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        let refused = open(scratch.path());
        prop_assert!(matches!(refused, Err(OpenError::Damaged(_))), "byte {} of {}", at, last);
        prop_assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn log_is_written_anew_when_most_of_it_is_outdated() {
    let scratch = tempfile::tempdir().unwrap();
    let open = || HandleLog::open(directory(scratch.path()), "log", Durability::Process, BOOT).unwrap();
    let (mut log, _) = open();
    let mut longest = 0;
    for salt in 0..4000 {
        log.commit(&[Change::Put(Entry::Open(Box::new(record(salt % 3, salt))))]).unwrap();
        longest = longest.max(log.length());
    }
    assert!((256 << 10..270 << 10).contains(&longest), "{longest}");
    drop(log);
    let (_, contents) = open();
    assert_eq!(
        contents.opens.iter().map(|it| it.open.clone()).collect::<Vec<_>>(),
        [record(0, 3999), record(1, 3997), record(2, 3998)]
    );
}

#[test]
fn log_of_a_process_ends_with_the_boot_of_the_machine() {
    let scratch = tempfile::tempdir().unwrap();
    let open = |boot| HandleLog::open(directory(scratch.path()), "log", Durability::Process, boot).unwrap();
    let (mut log, _) = open(BOOT);
    log.commit(&[Change::Put(Entry::Open(Box::new(record(1, 1))))]).unwrap();
    drop(log);
    let (log, contents) = open(BOOT);
    assert_eq!((contents.opens.len(), contents.outdated, log.generation()), (1, false, 2));
    drop(log);
    let (log, contents) = open([8; 16]);
    assert_eq!((contents.opens.len(), contents.outdated, log.generation()), (0, true, 3));
}

#[test]
fn log_in_use_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (log, _) = open(scratch.path()).unwrap();
    assert!(matches!(open(scratch.path()), Err(OpenError::InUse)));
    drop(log);
    open(scratch.path()).unwrap();
}

#[test]
fn other_files_and_later_versions_are_refused_and_stay() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("log");
    let (mut log, _) = open(scratch.path()).unwrap();
    log.commit(&[Change::Put(Entry::Open(Box::new(record(1, 1))))]).unwrap();
    drop(log);
    let good = fs::read(&path).unwrap();
    let mut later = good.clone();
    later[16] = 2;
    for (bytes, damage) in [
        (later, Damage::Version(2)),
        (good[..51].to_vec(), Damage::Header),
        (b"something else that is as long as the header of a log is".to_vec(), Damage::Header),
        (Vec::new(), Damage::Header),
    ] {
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(scratch.path()), Err(OpenError::Damaged(it)) if it == damage), "{damage}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(decode(&bytes).unwrap_err(), damage);
    }
}

/// A commit that has failed is made up for by the next one.
#[test]
fn commit_after_a_failed_one_has_the_changes_of_both() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path()).unwrap();
    log.commit(&[Change::Put(Entry::Open(Box::new(record(1, 1))))]).unwrap();
    // The log becomes long enough to be written anew, which a directory of its temporary name prevents.
    fs::create_dir(scratch.path().join("log.new")).unwrap();
    let mut salt = 0;
    while !log.has_failed() {
        salt += 1;
        let _ = log.commit(&[Change::Put(Entry::Open(Box::new(record(2, salt))))]);
    }
    log.commit(&[Change::Put(Entry::Open(Box::new(record(3, 3))))]).unwrap_err();
    fs::remove_dir(scratch.path().join("log.new")).unwrap();
    log.commit(&[Change::Drop(Key::Open(1))]).unwrap();
    drop(log);
    let (_, contents) = open(scratch.path()).unwrap();
    let opens: Vec<_> = contents.opens.into_iter().map(|it| it.open).collect();
    assert_eq!(opens, [record(2, salt), record(3, 3)]);
}

/// A batch takes effect as a whole or not at all, however long it is: a lock sequence without its locks would be wrong.
#[test]
fn long_batch_that_is_cut_anywhere_has_no_effect() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("log");
    let (mut log, _) = open(scratch.path()).unwrap();
    log.commit(&[Change::Put(Entry::Open(Box::new(record(1, 1))))]).unwrap();
    let start = log.length();
    let lock = |offset| LockRecord { open: 1, offset, length: 1, exclusive: true, count: 1 };
    let mut batch = vec![Change::Put(Entry::Open(Box::new(record(1, 2))))];
    batch.extend((0..60_000).map(|offset| Change::Put(Entry::Lock(lock(offset)))));
    log.commit(&batch).unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 2 << 20, "{}", whole.len());
    for length in [whole.len() - 1, whole.len() / 2, usize::try_from(start).unwrap() + 20] {
        fs::write(&path, &whole[..length]).unwrap();
        let (_, contents) = open(scratch.path()).unwrap();
        let found: Vec<_> = contents.opens.iter().map(|it| (it.open.clone(), it.locks.len())).collect();
        assert_eq!(found, [(record(1, 1), 0)], "{length} of {} bytes", whole.len());
    }
}
