//! Logs of opens that outlive the server.

use handlelog::{
    Actor, AppInstance, Birth, Change, Entry, Header, Key, LeaseRecord, LockRecord, OpenFlags, OpenRecord,
    Owner, append_frame,
};
use wire::security::Sid;
use wire::{AccessMask, FileId, Guid, LeaseState, OplockLevel, ShareAccess};

use super::Seeds;

/// Two logs, and the payload of a frame.
pub(super) fn opens(all: &mut Seeds) {
    let (client, key) = (Guid([3; 16]), Guid([5; 16]));
    let open = OpenRecord {
        file_id: FileId { persistent: 7, volatile: 9 },
        create_guid: Some(Guid([1; 16])),
        client_guid: client,
        app_instance: Some(AppInstance {
            id: Guid([4; 16]),
            version: Some((1, 2)),
            maximal_access: AccessMask::FILE_ALL,
        }),
        timeout_ms: 60_000,
        flags: OpenFlags::PERSISTENT,
        access: AccessMask::FILE_GENERIC_READ,
        share_access: ShareAccess::READ,
        oplock: OplockLevel::LEASE,
        lease: Some((client, key)),
        path: String::from("directory/file"),
        stream: Some(String::from("stream")),
        inode: 11,
        birth: Some(Birth { seconds: 1, nanoseconds: 2 }),
        owner: Owner { user: String::from("carol"), sid: Some(Sid::WORLD), ..Owner::default() },
        actor: Some(Actor { uid: 1000, gid: 100, groups: vec![1, 2] }),
        lock_sequences: vec![(1, 2)],
        ..OpenRecord::default()
    };
    let changes = [
        Change::Put(Entry::Open(Box::new(open))),
        Change::Put(Entry::Lock(LockRecord { open: 7, offset: 0, length: 8, exclusive: true, count: 1 })),
        Change::Put(Entry::Lease(LeaseRecord { client, key, state: LeaseState::READ, version: 2, epoch: 1 })),
    ];
    let mut log = Header { synchronized: true, generation: 1, boot: [7; 16] }.encode();
    let begin = log.len();
    append_frame(&mut log, begin as u64, &changes);
    all.add("opens", "one-frame", log.clone());
    all.add("opens", "payload", &log[begin + FRAME_HEADER_BYTES..]);
    let offset = log.len() as u64;
    append_frame(&mut log, offset, &[Change::Drop(Key::Open(7))]);
    all.add("opens", "two-frames", log);
}

/// The bytes of a frame before its payload.
const FRAME_HEADER_BYTES: usize = 16;
