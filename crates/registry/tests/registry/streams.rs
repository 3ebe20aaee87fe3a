//! Renames of streams (MS-FSA 2.1.5.15.11).

use crate::world::{Client, World, file_key, lease};
use registry::{AdmitRequest, FileKey, LockElement, LockOutcome, OpenTarget};
use wire::LeaseState;

fn key(stream: u64) -> FileKey {
    FileKey { stream, ..file_key(1) }
}

fn stream(world: &mut World, client: Client, stream: u64) -> AdmitRequest {
    let mut request = world.request(client, 1);
    request.target = OpenTarget::File(key(stream));
    request
}

#[test]
fn locks_and_leases_follow_a_renamed_stream() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = stream(&mut world, client, 7);
    request.lease = lease(1, LeaseState::READ | LeaseState::HANDLE);
    let one = world.open(request.clone());
    let two = world.open(request);
    let lock = LockElement { offset: 0, length: 1, exclusive: true };
    let waiter = world.key(client);
    for (open, request, outcome) in
        [(&one, world.key(client), LockOutcome::Granted), (&two, waiter, LockOutcome::Waiting)]
    {
        let (result, _) = world.state.lock(open.file_id, &[lock], true, request, world.now);
        assert_eq!(result.unwrap(), outcome);
    }
    let renamed = world.state.rename_stream(one.file_id, key(9), "file:new").unwrap();
    assert_eq!(renamed.len(), 2);
    world.check();
    assert!(world.state.file_summary(key(7)).is_none());
    assert_eq!(world.state.file_summary(key(9)).unwrap().locks, 1);
    let (result, effects) = world.state.unlock(one.file_id, &[lock], world.now);
    result.unwrap();
    assert_eq!(effects.granted, [waiter]);
    world.check();
}

#[test]
fn opens_of_streams_follow_their_renamed_file() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let base = world.open(request);
    let mut request = stream(&mut world, client, 7);
    request.path = "dir\\FILE1:Stream".into();
    let one = world.open(request);
    // By another name of the file, and of another file.
    let mut request = stream(&mut world, client, 8);
    request.path = "dir\\link:other".into();
    let linked = world.open(request);
    let mut request = world.request(client, 2);
    request.target = OpenTarget::File(FileKey { stream: 7, ..file_key(2) });
    request.path = "dir\\file1:stale".into();
    let stale = world.open(request);
    world.state.rename(base.file_id, "new\\name").unwrap();
    let moved = world.state.rename_streams(key(0), "data", crate::world::ROOT, "dir\\file1", "new\\name");
    assert_eq!((moved.opens.len(), moved.rest.is_none()), (1, true));
    for (open, path) in
        [(&one, "new\\name:Stream"), (&linked, "dir\\link:other"), (&stale, "dir\\file1:stale")]
    {
        assert_eq!(&*world.state.open(open.file_id).unwrap().path, path);
    }
    world.check();
}

#[test]
fn a_stream_that_is_open_is_not_replaced() {
    let mut world = World::new();
    let client = world.client(1);
    let request = stream(&mut world, client, 7);
    let one = world.open(request);
    assert!(world.state.has_open_streams(one.file_id));
    let request = world.request(client, 1);
    let base = world.open(request);
    assert!(world.state.has_open_streams(base.file_id));
    assert!(world.state.rename_stream(one.file_id, key(0), "file").is_err());
    _ = world.close(&base);
    assert!(world.state.rename_stream(one.file_id, key(0), "file").is_ok());
    assert!(!world.state.has_open_streams(one.file_id));
    world.check();
}

/// A pending delete moves with the stream, so that no delete is left that would refuse the old name.
#[test]
fn a_pending_delete_follows_a_renamed_stream() {
    let mut world = World::new();
    let client = world.client(1);
    let request = stream(&mut world, client, 7);
    let (one, two) = (world.open(request.clone()), world.open(request));
    world.state.set_delete_pending(one.file_id, true).unwrap();
    assert!(world.close(&one).dropped[0].removals.is_empty());
    let asked: u64 = one.global_id.value().into();
    let renamed = world.state.rename_stream(two.file_id, key(9), "file1:new").unwrap();
    assert!(renamed.contains(&asked), "the requesting open is returned, although it has ended");
    world.check();
    assert!(world.state.is_delete_pending(key(9)) && !world.state.is_delete_pending(key(7)));
    let removals = world.close(&two).dropped.remove(0).removals;
    assert_eq!(removals.iter().map(|it| it.target).collect::<Vec<_>>(), [key(9)]);
}

/// The new name of a stream does not change the name of its file.
#[test]
fn rename_of_stream_keeps_the_pending_delete_of_its_file() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let path = request.path.clone();
    let base = world.open(request);
    let mut request = stream(&mut world, client, 7);
    request.path = format!("{path}:old").into();
    let one = world.open(request);
    world.state.set_delete_pending(base.file_id, true).unwrap();
    let renamed = world.state.rename_stream(one.file_id, key(9), &format!("{path}:new")).unwrap();
    assert_eq!(renamed, [u64::from(one.global_id.value())]);
    world.check();
}
