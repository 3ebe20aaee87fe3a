//! Renames that are being carried out (MS-FSA 2.1.5.15.11), and errors in caching and sharing that smbtorture has
//! found.

use registry::{
    Admission, AdmitRequest, BreakKind, InTheWay, LockElement, MoveCount, MoveNames, Refused, Replay,
    ReplayError,
};
use wire::{AccessMask, LeaseState, OplockLevel, ShareAccess};

use crate::world::{Client, NONE, R, RH, ROOT, RW, RWH, World, file_key, guid, lease, lease_v2};

fn of_path(world: &mut World, client: Client, file: u64, path: &str) -> AdmitRequest {
    let request = world.request(client, file);
    AdmitRequest { path: path.into(), ..request }
}

/// A rename in the share `data`, whose names were looked up just now.
fn names<'a>(from: &'a str, to: &'a str) -> MoveNames<'a> {
    MoveNames { share: "DATA", from, to, looked_up: MoveCount::NEVER_MOVED }
}

fn looks_again(world: &mut World, request: AdmitRequest) -> bool {
    matches!(world.admit(request).0, Admission::LookAgain)
}

#[test]
fn handle_caching_is_not_granted_while_a_rename_is_under_way() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    let renamer = world.open(request);
    let mut request = world.request(two, 1);
    request.lease = lease(7, RH);
    let again = world.open(request);
    let begun = world.state.begin_move(renamer.file_id, names("dir\\File1", "to"), ROOT, false);
    assert_eq!(begun.err(), Some(InTheWay::CachedHandle), "this lease was granted after the breaks");
    assert!(!world.close(&again).dropped.is_empty());
    let moving = world.state.begin_move(renamer.file_id, names("dir\\File1", "to"), ROOT, false).unwrap();

    assert!(world.state.is_moving("data", "DIR\\file1") && !world.state.is_moving("other", "dir\\file1"));
    for path in ["dir\\file1", "DIR\\FILE1", "dir\\file1\\below", "dir\\file1:stream", "TO", "to\\a"] {
        let request = of_path(&mut world, two, 2, path);
        assert!(looks_again(&mut world, request), "{path}");
    }
    let request = of_path(&mut world, two, 2, "dir\\file10");
    world.open(request);
    // The file can be opened by another of its names, but its handle cannot be cached.
    for (oplock, wanted, left) in
        [(OplockLevel::NONE, lease(8, RH), R), (OplockLevel::NONE, lease(9, RWH), R)]
    {
        let mut request = of_path(&mut world, two, 1, "another");
        (request.oplock, request.lease) = (oplock, wanted);
        let open = world.open(request);
        assert_eq!(open.lease_state, left);
        assert!(!world.close(&open).dropped.is_empty());
    }
    world.state.end_move(&moving);
    let request = of_path(&mut world, two, 1, "dir\\file1");
    world.open(request);
}

#[test]
fn create_with_a_lookup_before_a_rename_looks_again() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let directory = of_path(&mut world, one, 1, "Dir");
    let directory = world.open(AdmitRequest { is_directory: true, ..directory });
    let before = world.state.moves();
    let mut moving =
        world.state.begin_move(directory.file_id, names("Dir", "Else\\New"), ROOT, false).unwrap();
    moving.moved_to("Else\\New", world.now);
    world.state.end_move(&moving);
    let after = world.state.moves();
    for (path, has_moved) in [
        ("dir", true),
        ("DIR\\a", true),
        ("dir:s", true),
        ("Else", false),
        ("dirt", false),
        // The file that had the new name before has been replaced.
        ("else\\new\\a", true),
    ] {
        for (looked_up, again) in [(before, has_moved), (after, false)] {
            let request = of_path(&mut world, two, 2, path);
            let request = AdmitRequest { looked_up, ..request };
            assert_eq!(looks_again(&mut world, request), again, "{path} {looked_up:?}");
        }
    }
    // The lower case of this name is longer.
    for (path, now) in
        [("dIR\\\u{130}\\b", "Else\\New\\\u{130}\\b"), ("dir:S", "Else\\New:S"), ("dirt", "dirt")]
    {
        assert_eq!(&*world.state.moved_path("data", path, before), now);
        assert_eq!(&*world.state.moved_path("other", path, before), path);
        assert_eq!(&*world.state.moved_path("data", path, after), path);
    }
    // A rename that failed has moved nothing, and only the last of many renames are remembered.
    for (number, moves) in [(0, false), (1, true)] {
        for _ in 0..300 {
            let mut moving = world.state.begin_move(directory.file_id, names("x", "y"), ROOT, false).unwrap();
            if moves {
                moving.moved_to("y", world.now);
            }
            world.state.end_move(&moving);
        }
        let request = of_path(&mut world, two, 3, &format!("far\\{number}"));
        let request = AdmitRequest { looked_up: after, ..request };
        assert_eq!(looks_again(&mut world, request), moves);
    }
}

#[test]
fn change_of_the_roots_own_streams_concerns_nothing_below_the_root() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let root = of_path(&mut world, one, 1, "");
    let root = world.open(AdmitRequest { is_directory: true, ..root });
    let before = world.state.moves();
    let mut moving = world.state.begin_move(root.file_id, names("", ""), ROOT, false).unwrap();
    moving.moved_to("", world.now);
    world.state.end_move(&moving);
    for (path, has_moved) in [("", true), (":s", true), ("dir", false), ("dir\\f", false)] {
        let request = of_path(&mut world, two, 2, path);
        let request = AdmitRequest { looked_up: before, ..request };
        assert_eq!(looks_again(&mut world, request), has_moved, "{path}");
    }
}

#[test]
fn renames_with_common_names_exclude_each_other() {
    let mut world = World::new();
    let one = world.client(1);
    let mut opened = |path: &str, number| {
        let request = of_path(&mut world, one, number, path);
        let open = world.open(request);
        open.file_id
    };
    let (file, other, stream) = (opened("a\\f", 1), opened("b\\g", 2), opened("c\\h:s", 3));
    let moving = world.state.begin_move(file, names("a\\f", "d\\f"), ROOT, false).unwrap();
    for (from, to, meets) in [
        ("b\\g", "D\\F", true),
        ("b\\g", "d\\f\\below", true),
        ("b\\g", "a\\f:s", true),
        ("D", "e", true),
        ("a", "e", true),
        ("b\\g", "d\\ff", false),
        ("b\\g", "g", false),
    ] {
        assert_eq!([from, to].iter().any(|path| world.state.meets_move("data", path)), meets);
        let begun = world.state.begin_move(other, names(from, to), ROOT, true);
        assert_eq!(begun.as_ref().err(), meets.then_some(&InTheWay::OtherMove), "{from} to {to}");
        begun.iter().for_each(|begun| world.state.end_move(begun));
    }
    world.state.end_move(&moving);
    let first = world.state.begin_stream_move(stream, names("c\\h:s", "c\\h:t")).unwrap();
    for (from, to) in [("c\\h:u", "c\\h:T"), ("c\\h:S", "c\\h:v"), ("c\\h", "c\\i")] {
        let begun = world.state.begin_stream_move(stream, names(from, to));
        assert_eq!(begun.err(), Some(InTheWay::OtherMove), "{from} to {to}");
    }
    world.state.end_move(&first);
    // The name that was looked up may stand for another file by now.
    let looked_up = world.state.moves();
    let mut moving = world.state.begin_move(file, names("d", "e"), ROOT, true).unwrap();
    moving.moved_to("e", world.now);
    world.state.end_move(&moving);
    let late = MoveNames { looked_up, ..names("b\\g", "d\\g") };
    let begun = world.state.begin_move(other, late, ROOT, false);
    assert_eq!(begun.err(), Some(InTheWay::OtherMove));
    assert!(!world.state.meets_move("data", "d\\g"), "the rename is over");
}

#[test]
fn opens_of_streams_and_below_are_in_the_way_of_a_rename() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let directory = of_path(&mut world, one, 1, "dir");
    let directory = world.open(AdmitRequest { is_directory: true, ..directory });
    let below = world.request(two, 2);
    let below = world.open(below);
    let begin =
        |world: &mut World| world.state.begin_move(directory.file_id, names("dir", "to"), ROOT, false);
    assert_eq!(begin(&mut world).err(), Some(InTheWay::Open));
    assert_eq!(world.state.caching_of_file(below.global_id), Some(NONE));
    assert!(!world.close(&below).dropped.is_empty());
    assert_eq!(world.state.caching_of_file(below.global_id), None);
    let moving = begin(&mut world).unwrap();
    world.state.end_move(&moving);
    assert!(!world.close(&directory).dropped.is_empty());
    assert_eq!(begin(&mut world).err(), Some(InTheWay::Closed));
}

#[test]
fn lock_of_existing_data_prevents_caching() {
    for (allocation, overwrites, left) in [(4096, false, NONE), (0, false, R), (4096, true, R)] {
        let mut world = World::new();
        let (one, two) = (world.client(1), world.client(2));
        let request = world.request(one, 1);
        let locked = world.open(request);
        let key = world.key(one);
        let lock = LockElement { offset: 0, length: 1, exclusive: true };
        assert!(world.state.lock(locked.file_id, &[lock], false, key, world.now).0.is_ok());
        let request = world.request(two, 1);
        let open = world.open(AdmitRequest { allocation, overwrites, lease: lease(2, R), ..request });
        assert_eq!(open.lease_state, left, "{allocation} {overwrites}");
    }
}

#[test]
fn lease_without_state_keeps_the_epoch_of_the_request() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let mut request = world.request(one, 1);
    request.oplock = OplockLevel::NONE;
    let locked = world.open(request);
    let key = world.key(one);
    let lock = LockElement { offset: 0, length: 1, exclusive: true };
    assert!(world.state.lock(locked.file_id, &[lock], false, key, world.now).0.is_ok());
    let request = world.request(two, 1);
    let open = world.open(AdmitRequest { lease: lease_v2(2, R, 100), ..request });
    assert_eq!((open.lease_state, open.lease_epoch), (NONE, 100));
}

#[test]
fn overwrite_with_sharing_violation_breaks_only_handle_caching() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = world.request(one, 1);
    let reader = world.open(AdmitRequest {
        access: AccessMask::READ_DATA,
        share_access: ShareAccess::READ,
        lease: lease(1, RWH),
        ..request
    });
    let request = world.request(two, 1);
    let overwriting = AdmitRequest {
        access: AccessMask::READ_DATA,
        share_access: ShareAccess::READ,
        overwrites: true,
        ..request
    };
    let effects = world.must_wait(overwriting.clone());
    let [notice] = &*effects.breaks else { panic!("{} breaks", effects.breaks.len()) };
    assert!(matches!(notice.kind, BreakKind::Lease { current: RWH, new: RW, .. }), "{:?}", notice.kind);
    let _ = world.state.acknowledge_lease(guid(1), guid(1), RW, world.now).unwrap();
    let refused = world.refused(AdmitRequest { is_retry: true, ..overwriting });
    assert_eq!(
        refused,
        Refused::SharingViolation { blocker: reader.global_id },
        "the CREATE empties the file"
    );
    assert_eq!(world.lease_of(reader.global_id), RW);
}

#[test]
fn locks_outlive_their_client_with_write_caching_only() {
    for (state, outlives) in [(RWH, true), (RH, false)] {
        let mut world = World::new();
        let one = world.client(1);
        let mut request = world.request(one, 1);
        request.lease = lease(1, state);
        request.durable = Some(registry::DurableRequest::V1);
        let open = world.open(request);
        assert!(open.durable.is_some());
        let key = world.key(one);
        let lock = LockElement { offset: 0, length: 1, exclusive: true };
        assert!(world.state.lock(open.file_id, &[lock], false, key, world.now).0.is_ok());
        let _ = world.state.disconnect(one.connection, world.now);
        world.check();
        assert_eq!(world.state.open(open.global_id).is_some(), outlives, "{state:?}");
    }
}

#[test]
fn a_replay_on_a_new_connection_finds_the_open_of_the_lost_one() {
    let mut world = World::new();
    let one = world.client(1);
    let mut request = world.request(one, 1);
    request.lease = lease(5, LeaseState::READ | LeaseState::HANDLE);
    request.durable =
        Some(registry::DurableRequest::V2 { create_guid: guid(0xd0), timeout_ms: 0, persistent: false });
    let open = world.open(request);
    let _ = world.state.disconnect(one.connection, world.now);
    let again = world.client(1);
    let replay = Replay {
        session: again.session,
        tree: again.tree,
        connection: again.connection,
        create_guid: guid(0xd0),
        lease: Some(guid(5)),
    };
    let elsewhere = world.tree(again.session, "other");
    let error = world.replay(&Replay { tree: elsewhere, ..replay }).err();
    assert_eq!(error, Some(ReplayError::Elsewhere), "another share");
    let elsewhere = world.tree_at(again.session, "data", registry::FileKey { device: 7, ..ROOT });
    let error = world.replay(&Replay { tree: elsewhere, ..replay }).err();
    assert_eq!(error, Some(ReplayError::Elsewhere), "another directory of the share");
    assert_eq!(world.replay(&Replay { lease: None, ..replay }).err(), Some(ReplayError::Denied));
    let found = world.replay(&replay).unwrap().unwrap();
    assert_eq!(found.global_id, open.global_id);
    assert!(world.state.open(found.file_id).is_some(), "the open is connected again");
    assert_eq!(world.state.poll_timeout(), None);
    assert_eq!(
        world.replay(&replay).unwrap().unwrap().file_id,
        found.file_id,
        "a further replay finds it, too"
    );
    assert!(world.state.lease_file(registry::LeaseId { client: guid(1), key: guid(5) }) == Some(file_key(1)));
}
