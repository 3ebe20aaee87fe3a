//! Persistent opens (MS-SMB2 3.3.5.9, 3.3.5.9.10, 3.3.5.9.12).

use registry::{
    BreakKind, CloseReason, DurableRequest, Effects, GrantedOpen, Reconnect, Reconnected, Refused,
};
use wire::{LeaseState, OplockLevel};

use crate::durable::{back, lose};
use crate::world::{Bench, RH, RWH, SHARE_ALL, World, guid, lease_v2};

/// A persistent open with this lease of version 2, with epoch 1, that shares all access, and whose client is away.
fn persistent_orphan(world: &mut World, state: LeaseState) -> GrantedOpen {
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.share_access = SHARE_ALL;
    (request.oplock, request.lease) = (OplockLevel::LEASE, lease_v2(5, state, 0));
    request.durable =
        Some(DurableRequest::V2 { create_guid: guid(0xd0), timeout_ms: 60_000, persistent: true });
    let open = world.open(request);
    assert_eq!((open.lease_state, open.lease_epoch), (state, 1));
    lose(world, client);
    open
}

fn back_persistent(world: &mut World, open: &GrantedOpen, lease_epoch: u16) -> Reconnected<Bench> {
    let request = Reconnect {
        create_guid: Some(guid(0xd0)),
        lease: Some((guid(5), 2)),
        lease_epoch,
        persistent: true,
        ..back(world.client(1), open)
    };
    let found = world.state.reconnect(&request, |_, attached| *attached, world.now).ok().unwrap();
    world.check();
    found
}

fn break_of(effects: &Effects<Bench>) -> Option<(LeaseState, LeaseState, u16)> {
    match effects.breaks.first().map(|notice| &notice.kind) {
        Some(BreakKind::Lease { current, new, epoch, .. }) => Some((*current, *new, *epoch)),
        _ => None,
    }
}

#[test]
fn lease_of_a_persistent_open_is_broken_when_its_client_is_back() {
    let mut world = World::new();
    let open = persistent_orphan(&mut world, RWH);
    let other = world.client(2);
    let request = world.request(other, 1);
    let waiting = request.request;
    let effects = world.must_wait(request.clone());
    assert!(effects.is_empty() || effects.logs.len() == 1, "no client is there to be told");
    // The break is owed even if nobody waits for it any more.
    let _ = world.state.cancel(waiting, world.now);
    let _ = world.must_wait(request);

    let found = back_persistent(&mut world, &open, 128);
    assert_eq!((found.granted.lease_state, found.granted.lease_epoch), (RWH, 1));
    assert_eq!(break_of(&found.effects), Some((RWH, RH, 2)));
    assert!(found.effects.retry.is_empty());
    let (_, effects) = world.state.acknowledge_lease(guid(1), guid(5), RH, world.now).unwrap();
    world.check();
    assert_eq!(effects.retry, [waiting]);
    let request = world.request(other, 1);
    world.open(request);
}

#[test]
fn open_that_waits_for_a_persistent_open_goes_on_when_that_ends() {
    let mut world = World::new();
    persistent_orphan(&mut world, RWH);
    let other = world.client(2);
    let request = world.request(other, 1);
    let waiting = request.request;
    let _ = world.must_wait(request.clone());
    let effects = world.pass_ms(60_000);
    assert_eq!(effects.dropped[0].reason, CloseReason::DurableExpired);
    assert_eq!(effects.retry, [waiting]);
    world.open(request);
}

#[test]
fn overwriting_beside_a_persistent_open_owes_it_the_break() {
    let mut world = World::new();
    let open = persistent_orphan(&mut world, RH);
    let other = world.client(2);
    let mut request = world.request(other, 1);
    request.overwrites = true;
    let overwriting = world.open(request);
    let _ = world.state.break_for_overwrite(overwriting.file_id, world.now).unwrap();
    world.check();
    let found = back_persistent(&mut world, &open, 128);
    assert_eq!((found.granted.lease_state, found.granted.lease_epoch), (RH, 1));
    assert_eq!(break_of(&found.effects), Some((RH, LeaseState::NONE, 2)));
}

#[test]
fn owed_break_is_sent_to_a_client_that_opens_the_file_anew() {
    let mut world = World::new();
    persistent_orphan(&mut world, RWH);
    let other = world.client(2);
    let request = world.request(other, 1);
    let _ = world.must_wait(request);
    let again = world.client(1);
    let mut request = world.request(again, 1);
    (request.oplock, request.lease) = (OplockLevel::LEASE, lease_v2(5, RWH, 1));
    let (_, effects) = world.open_with_effects(request);
    world.check();
    assert_eq!(break_of(&effects), Some((RWH, RH, 2)));
}

#[test]
fn lease_without_handle_caching_is_granted_again_to_a_persistent_open() {
    let rw = LeaseState::READ | LeaseState::WRITE;
    for (state, locked, again, epoch) in [
        (LeaseState::READ, false, LeaseState::READ, 129),
        (rw, false, rw, 128),
        (rw, true, rw, 128),
        (RWH, true, RWH, 1),
        (RH, false, RH, 1),
        (RH, true, LeaseState::NONE, 128),
        (LeaseState::READ, true, LeaseState::NONE, 128),
    ] {
        let mut world = World::new();
        let client = world.client(1);
        let mut request = world.request(client, 1);
        request.share_access = SHARE_ALL;
        (request.oplock, request.lease) = (OplockLevel::LEASE, lease_v2(5, state, 0));
        request.durable =
            Some(DurableRequest::V2 { create_guid: guid(0xd0), timeout_ms: 0, persistent: true });
        let open = world.open(request);
        if locked {
            let lock = [registry::LockElement { offset: 0, length: 1, exclusive: true }];
            let key = world.key(client);
            assert!(world.state.lock(open.file_id, &lock, false, key, world.now).0.is_ok());
        }
        lose(&mut world, client);
        // Opens that are not compatible are refused before the client is back, unless handles are cached.
        if !state.contains(LeaseState::HANDLE) || locked && state == RH {
            let other = world.client(2);
            let request = world.request(other, 1);
            assert!(matches!(world.refused(request), Refused::AwaitsClient { .. }), "{state:?}");
        }
        let found = back_persistent(&mut world, &open, 128);
        assert_eq!((found.granted.lease_state, found.granted.lease_epoch), (again, epoch), "{state:?}");
        assert!(found.effects.is_empty());
    }
}

/// Byte-range locks of any open of the file count, as in Windows.
#[test]
fn locks_protect_a_persistent_open_without_write_caching() {
    let mut world = World::new();
    let (locker, other) = (world.client(3), world.client(2));
    let request = world.request(locker, 1);
    let locking = world.open(request);
    let client = world.client(1);
    let mut request = world.request(client, 1);
    request.share_access = SHARE_ALL;
    (request.oplock, request.lease) = (OplockLevel::LEASE, lease_v2(5, RH, 0));
    request.durable = Some(DurableRequest::V2 { create_guid: guid(0xd0), timeout_ms: 0, persistent: true });
    assert_eq!(world.open(request).lease_state, RH);
    lose(&mut world, client);
    let request = world.request(other, 1);
    world.open(request);
    let lock = [registry::LockElement { offset: 0, length: 1, exclusive: true }];
    let key = world.key(locker);
    assert!(world.state.lock(locking.file_id, &lock, false, key, world.now).0.is_ok());
    let request = world.request(other, 1);
    assert!(matches!(world.refused(request), Refused::AwaitsClient { .. }));
}
