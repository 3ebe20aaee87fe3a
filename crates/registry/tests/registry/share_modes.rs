//! Share modes (MS-FSA 2.1.5.1.2), pending deletes, renames and the refusal log.

use crate::world::{ALL_ACCESS, Client, READ, SHARE_ALL, SHARE_NONE, WRITE, World, file_key, lease};
use registry::{Admission, AdmitRequest, CloseReason, RefusalKind, Refused};
use wire::{AccessMask, OplockLevel, ShareAccess};

/// Every pair of accesses and share modes, against the deny rule written out for two opens.
#[test]
fn every_pair_of_opens_is_admitted_by_the_deny_table() {
    let rights = [
        AccessMask::READ_DATA,
        AccessMask::WRITE_DATA,
        AccessMask::APPEND_DATA,
        AccessMask::EXECUTE,
        AccessMask::DELETE,
        AccessMask::READ_ATTRIBUTES,
    ];
    let accesses: Vec<AccessMask> = (0..64_u32)
        .map(|bits| {
            let chosen = rights.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
            chosen.fold(AccessMask::NONE, |mask, (_, right)| mask | *right)
        })
        .collect();
    let denied = |access: AccessMask, share: u32| {
        (access.0 & 0x21 != 0 && share & 1 == 0)
            || (access.0 & 0x06 != 0 && share & 2 == 0)
            || (access.0 & 0x1_0000 != 0 && share & 4 == 0)
    };
    let takes_part = |access: AccessMask| access.0 & 0x1_0027 != 0;

    let mut world = World::new();
    let client = world.client(1);
    for first_access in &accesses {
        for first_share in 0..8 {
            let mut first = world.request(client, 1);
            first.access = *first_access;
            first.share_access = ShareAccess(first_share);
            let first = world.open(first);
            for second_access in &accesses {
                for second_share in 0..8 {
                    let mut second = world.request(client, 1);
                    second.access = *second_access;
                    second.share_access = ShareAccess(second_share);
                    let (answer, effects) = world.state.admit(second, |_| 0, world.now);
                    assert!(effects.is_empty());
                    let conflict = takes_part(*first_access)
                        && takes_part(*second_access)
                        && (denied(*first_access, second_share) || denied(*second_access, first_share));
                    let case = (first_access, first_share, second_access, second_share);
                    match answer {
                        Admission::Granted(second) => {
                            assert!(!conflict, "{case:?} was granted");
                            let effects =
                                world.state.close_open(second.global_id, CloseReason::ClientClose, world.now);
                            assert_eq!(effects.map(|it| it.dropped.len()).ok(), Some(1));
                        }
                        Admission::Refused(Refused::SharingViolation { blocker }) => {
                            assert!(conflict, "{case:?} was refused");
                            assert_eq!(blocker, first.global_id);
                        }
                        other => panic!("{case:?}: {other:?}"),
                    }
                }
            }
            assert_eq!(world.close(&first).dropped.len(), 1);
        }
    }
    assert_eq!(world.state.counts().3, 0);
}

#[test]
fn a_refused_open_changes_nothing_but_the_refusal_log() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let mut first = world.request(one, 7);
    first.share_access = ShareAccess::READ;
    let first = world.open(first);
    let before = world.state.file_summary(file_key(7));

    let mut second = world.request(two, 7);
    second.access = WRITE;
    second.share_access = SHARE_NONE;
    second.delete_on_close = true;
    assert_eq!(world.refused(second), Refused::SharingViolation { blocker: first.global_id });

    assert_eq!(world.state.file_summary(file_key(7)), before);
    assert_eq!(world.state.counts().3, 1);
    let refusals = world.state.refusals();
    let [refusal] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert_eq!(refusal.kind, RefusalKind::SharingViolation);
    assert_eq!((&*refusal.user, &*refusal.client, &*refusal.share), ("user2", "10.0.0.2", "data"));
    assert_eq!((refusal.access, refusal.share_access), (WRITE, SHARE_NONE));
    let blocker = refusal.blocker.as_ref().unwrap();
    assert_eq!((blocker.global_id, &*blocker.user, &*blocker.client), (first.global_id, "user1", "10.0.0.1"));
    assert_eq!((blocker.access, blocker.share_access), (ALL_ACCESS, ShareAccess::READ));
}

#[test]
fn pending_delete_refuses_opens_and_removes_the_file_at_last_close() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    let first = world.open(request);
    let request = world.request(two, 1);
    let second = world.open(request);
    world.state.set_delete_pending(first.file_id, true).unwrap();
    assert!(world.state.is_delete_pending(file_key(1)));

    let request = world.request(two, 1);
    assert_eq!(world.refused(request), Refused::DeletePending);
    assert!(!world.close(&first).dropped[0].delete_on_close_now);
    let effects = world.close(&second);
    assert!(effects.dropped[0].delete_on_close_now);
    assert_eq!(&*effects.dropped[0].path, "dir\\file1");
    assert!(!world.state.is_delete_pending(file_key(1)));
}

#[test]
fn delete_on_close_becomes_pending_at_close_and_can_be_withdrawn() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.delete_on_close = true;
    let first = world.open(request);
    let request = world.request(client, 1);
    let second = world.open(request);
    assert!(!world.close(&first).dropped[0].delete_on_close_now);
    let request = world.request(client, 1);
    assert_eq!(world.refused(request), Refused::DeletePending);
    world.state.set_delete_pending(second.global_id, false).unwrap();
    assert!(!world.close(&second).dropped[0].delete_on_close_now);
}

#[test]
fn a_create_that_failed_after_it_was_granted_deletes_nothing() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.delete_on_close = true;
    let open = world.open(request);
    let effects = world.state.close_open(open.global_id, CloseReason::CreateFailed, world.now).ok().unwrap();
    assert!(!effects.dropped[0].delete_on_close_now);
}

#[test]
fn attribute_opens_neither_conflict_nor_break() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let mut request = world.request(one, 1);
    request.share_access = SHARE_NONE;
    request.oplock = OplockLevel::BATCH;
    let first = world.open(request);
    let mut request = world.request(two, 1);
    request.access = AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE;
    request.share_access = SHARE_NONE;
    let stat = world.open(request);
    assert_eq!(world.oplock_of(first.global_id), OplockLevel::BATCH);
    assert_eq!(stat.oplock, OplockLevel::NONE);

    let mut request = world.request(two, 2);
    request.access = AccessMask::READ_ATTRIBUTES;
    world.open(request);
    let mut request = world.request(one, 2);
    request.oplock = OplockLevel::BATCH;
    assert_eq!(
        world.open(request).oplock,
        OplockLevel::BATCH,
        "an open for attributes does not prevent caching"
    );
}

#[test]
fn a_lease_key_names_one_file() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.lease = lease(9, crate::world::RWH);
    world.open(request);
    let mut request = world.request(client, 2);
    request.lease = lease(9, crate::world::RWH);
    assert_eq!(world.refused(request), Refused::LeaseKeyInUse);
    let other = world.client(2);
    let mut request = world.request(other, 2);
    request.lease = lease(9, crate::world::RWH);
    world.open(request);
}

#[test]
fn rename_changes_the_path_of_every_open_and_below_a_directory() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let first = world.open(request);
    let request = world.request(client, 1);
    let second = world.open(request);
    let mut request = world.request(client, 2);
    request.path = "dirty\\file".into();
    let beside = world.open(request);

    world.state.rename(first.file_id, "dir\\renamed").unwrap();
    assert_eq!(&*world.state.open(second.file_id).unwrap().path, "dir\\renamed");
    assert_eq!(
        world.state.opens_below("DATA", crate::world::ROOT, "DIR", 9),
        [first.global_id, second.global_id]
    );
    assert!(world.state.opens_below("other", crate::world::ROOT, "dir", 9).is_empty());
    world.state.rename_below("data", crate::world::ROOT, "dir", "elsewhere\\deep");
    assert_eq!(&*world.state.open(first.file_id).unwrap().path, "elsewhere\\deep\\renamed");
    assert_eq!(&*world.state.open(beside.file_id).unwrap().path, "dirty\\file");
}

/// If another disk is mounted on a share's directory, the same paths are other files.
#[test]
fn a_rename_is_below_the_directory_that_the_share_had() {
    let mut world = World::new();
    let before = world.client(1);
    let mut since = world.client(2);
    let disk = registry::FileKey { device: 7, ..crate::world::ROOT };
    since.tree = world.tree_at(since.session, "data", disk);
    let request = world.request(before, 1);
    let old = world.open(request);
    assert!(world.state.opens_below("data", disk, "dir", 9).is_empty());
    let mut request = world.request(since, 2);
    request.path = "dir\\file1".into();
    let new = world.open(request);
    assert_eq!(world.state.opens_below("data", disk, "dir", 9), [new.global_id]);
    world.state.rename_below("data", disk, "dir", "moved");
    assert_eq!(&*world.state.open(old.file_id).unwrap().path, "dir\\file1");
    assert_eq!(&*world.state.open(new.file_id).unwrap().path, "moved\\file1");
    world.check();
}

#[test]
fn share_conflict_reports_conflicts_without_an_open() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.access = READ;
    request.share_access = ShareAccess::READ;
    let open = world.open(request);
    let conflict = |access| world.state.share_conflict(file_key(1), access, SHARE_ALL);
    assert_eq!(conflict(AccessMask::DELETE), Some(open.global_id));
    assert_eq!(conflict(READ), None);
}

fn stream_of(world: &mut World, client: Client, file: u64) -> AdmitRequest {
    let mut request = world.request(client, file);
    request.target = registry::OpenTarget::File(registry::FileKey { stream: 7, ..file_key(file) });
    request
}

#[test]
fn stream_without_share_delete_prevents_open_of_its_file_for_delete() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = stream_of(&mut world, client, 1);
    request.share_access = ShareAccess::READ;
    let stream = world.open(request);
    let mut deleting = world.request(client, 1);
    deleting.access = AccessMask::DELETE;
    assert_eq!(world.refused(deleting.clone()), Refused::SharingViolation { blocker: stream.global_id });
    let mut writing = world.request(client, 1);
    writing.access = WRITE;
    world.open(writing);
    deleting.target = registry::OpenTarget::File(file_key(2));
    world.open(deleting);
}

#[test]
fn a_deleted_file_stays_until_its_streams_are_closed() {
    let mut world = World::new();
    let client = world.client(1);
    let request = stream_of(&mut world, client, 1);
    let stream = world.open(request);
    let mut deleting = world.request(client, 1);
    deleting.delete_on_close = true;
    let file = world.open(deleting);
    let closed = &world.close(&file).dropped[0];
    assert!(!closed.delete_on_close_now);
    for request in [world.request(client, 1), stream_of(&mut world, client, 1)] {
        assert_eq!(world.refused(request), Refused::DeletePending);
    }
    let closed = &world.close(&stream).dropped[0];
    assert_eq!(closed.removals.iter().map(|it| it.target).collect::<Vec<_>>(), [file_key(1)]);
    let request = world.request(client, 1);
    world.open(request);
}

#[test]
fn delete_removes_the_link_of_the_requesting_open() {
    let mut world = World::new();
    let client = world.client(1);
    let by = |world: &mut World, path: &str| {
        let mut request = world.request(client, 1);
        request.path = path.into();
        request
    };
    let request = by(&mut world, "one");
    let one = world.open(request);
    let request = by(&mut world, "two");
    let two = world.open(request);
    let request = by(&mut world, "one");
    let same = world.open(request);
    world.state.set_delete_pending(one.file_id, true).unwrap();
    assert!(world.state.is_open_deleted(same.file_id) && !world.state.is_open_deleted(two.file_id));
    assert_eq!(world.state.deleted_links(file_key(1)), 1);
    let request = by(&mut world, "one");
    assert_eq!(world.refused(request), Refused::DeletePending);
    let request = by(&mut world, "two");
    let again = world.open(request);

    // Opens by the other name neither delay the delete nor cause one.
    assert!(world.close(&again).dropped[0].removals.is_empty());
    assert!(world.close(&one).dropped[0].removals.is_empty());
    let effects = world.close(&same);
    let removal = &effects.dropped[0].removals[0];
    assert_eq!((removal.by, removal.target), (one.global_id, file_key(1)));
    assert_eq!(
        removal.attached,
        one.global_id.value().into(),
        "the removal has the path of the requesting open"
    );
    assert!(!world.state.is_open_deleted(two.file_id));
    assert!(!world.close(&two).dropped[0].delete_on_close_now);
}

#[test]
fn a_renamed_link_is_deleted_by_its_new_name() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let one = world.open(request);
    let request = world.request(client, 1);
    let two = world.open(request);
    world.state.set_delete_pending(one.file_id, true).unwrap();
    assert!(world.close(&one).dropped[0].removals.is_empty());
    let asked: u64 = one.global_id.value().into();
    let moved = world.state.rename(two.file_id, "dir\\new").unwrap();
    assert!(moved.opens.contains(&asked), "the requesting open is returned, although it has ended");
    // The open that renamed the file may have ended.
    let moved = world.state.rename_by_path(file_key(1), "data", crate::world::ROOT, "dir\\new", "dir\\newer");
    assert_eq!(moved.opens.len(), 2);
    assert_eq!(&*world.state.open(two.file_id).unwrap().path, "dir\\newer");
    assert!(world.state.is_open_deleted(two.file_id));
    assert_eq!(world.close(&two).dropped[0].removals.len(), 1);
}

#[test]
fn posix_delete_removes_the_name_with_the_requesting_open() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let other = world.open(request);
    for on_close in [false, true] {
        let mut request = world.request(client, 1);
        request.delete_on_close = on_close;
        let one = world.open(request);
        if on_close {
            world.state.set_delete_on_close(one.file_id, false).unwrap();
            world.state.set_delete_on_close(one.file_id, true).unwrap();
        } else {
            world.state.set_delete_pending(one.file_id, true).unwrap();
            let request = world.request(client, 1);
            assert_eq!(world.refused(request), Refused::DeletePending);
        }
        world.state.set_delete_with_own_open(one.file_id, true).unwrap();
        world.check();
        let removals = world.close(&one).dropped.remove(0).removals;
        assert_eq!(removals.len(), 1, "the other client has the file open");
        assert!(!world.state.is_open_deleted(other.file_id));
    }
    // If the request is withdrawn, nothing has changed, and a plain delete waits for the last open.
    let request = world.request(client, 1);
    let one = world.open(request);
    world.state.set_delete_pending(one.file_id, true).unwrap();
    world.state.set_delete_with_own_open(one.file_id, true).unwrap();
    world.state.set_delete_pending(one.file_id, true).unwrap();
    assert!(world.close(&one).dropped.remove(0).removals.is_empty());
    assert_eq!(world.close(&other).dropped.remove(0).removals.len(), 1);
    let mut request = world.request(client, 1);
    request.delete_on_close = true;
    let one = world.open(request);
    world.state.set_delete_on_close(one.file_id, false).unwrap();
    assert!(world.close(&one).dropped.remove(0).removals.is_empty());
}

#[test]
fn opens_are_refused_while_a_file_is_removed_or_replaced() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.delete_on_close = true;
    let open = world.open(request);
    assert!(world.state.begin_replace(file_key(1), "data", "dir\\file1").is_none(), "the file is open");
    let effects = world.state.close_open(open.file_id, CloseReason::ClientClose, world.now).ok().unwrap();
    for path in ["dir\\file1", "dir\\file1:stream"] {
        let mut request = world.request(client, 1);
        request.path = path.into();
        let (admission, effects) = world.admit(request);
        assert!(matches!(admission, Admission::LookAgain) && effects.is_empty(), "{admission:?}");
    }
    let mut request = world.request(client, 1);
    request.path = "other link".into();
    let other = world.open(request);
    assert!(world.close(&other).dropped[0].removals.is_empty());
    world.remove(&effects);
    let request = world.request(client, 1);
    let open = world.open(request);
    assert!(world.close(&open).dropped[0].removals.is_empty());

    let replacing = world.state.begin_replace(file_key(1), "data", "dir\\file1").unwrap();
    let request = world.request(client, 1);
    assert!(matches!(world.admit(request).0, Admission::LookAgain));
    world.state.end_replace(&replacing);
    let request = world.request(client, 1);
    world.open(request);
}
