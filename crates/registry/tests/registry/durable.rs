//! Durable opens (MS-SMB2 3.3.5.9.6, 3.3.5.9.7, 3.3.5.9.10, 3.3.5.9.12, 3.3.7.1).

use registry::limits::{DURABLE_V1_TIMEOUT_MS, DURABLE_V2_TIMEOUT_MAX_MS, DURABLE_V2_TIMEOUT_MS};
use registry::{
    Admission, AdmitRequest, AppInstance, BreakKind, CloseReason, DurableGranted, DurableRequest, EndReason,
    GrantedOpen, Readiness, Reconnect, ReconnectError, Refused, Replay, ReplayError,
};
use wire::{AccessMask, OplockLevel};

use crate::world::{ALL_ACCESS, Client, RH, RWH, SHARE_NONE, World, durable_v2, guid, lease};

fn v1_with_batch(world: &mut World, client: Client) -> AdmitRequest {
    let mut request = world.request(client, 1);
    request.oplock = OplockLevel::BATCH;
    request.durable = Some(DurableRequest::V1);
    request.share_access = SHARE_NONE;
    request
}

fn v2_with_lease(world: &mut World, client: Client) -> AdmitRequest {
    let mut request = world.request(client, 1);
    request.lease = lease(5, RWH);
    request.durable = durable_v2(0xd0, 0);
    request
}

pub(crate) fn back(client: Client, open: &GrantedOpen) -> Reconnect {
    Reconnect {
        session: client.session,
        tree: client.tree,
        connection: client.connection,
        file_id: open.file_id,
        create_guid: None,
        persistent: false,
        lease: None,
        lease_epoch: 0,
        path: "dir\\file1".into(),
        is_same_path: wire::eq_ignore_case,
    }
}

fn back_v2(client: Client, open: &GrantedOpen) -> Reconnect {
    Reconnect { create_guid: Some(guid(0xd0)), lease: Some((guid(5), 1)), ..back(client, open) }
}

pub(crate) fn lose(world: &mut World, client: Client) {
    let effects = world.state.disconnect(client.connection, world.now);
    world.check();
    assert!(effects.dropped.is_empty());
    assert_eq!(effects.sessions_ended.len(), 1);
}

fn error(world: &mut World, request: &Reconnect) -> Option<ReconnectError> {
    world.state.reconnect(request, |_, attached| *attached, world.now).err()
}

/// The share has another directory by now; opens below the previous one are not in this one.
#[test]
fn an_open_is_not_reclaimed_below_another_directory() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v2_with_lease(&mut world, client);
    let open = world.open(request);
    lose(&mut world, client);
    let mut client = world.client(1);
    let here = client.tree;
    client.tree =
        world.tree_at(client.session, "data", registry::FileKey { device: 7, ..crate::world::ROOT });
    assert_eq!(error(&mut world, &back_v2(client, &open)), Some(ReconnectError::NotFound));
    client.tree = here;
    assert_eq!(error(&mut world, &back_v2(client, &open)), None);
}

#[test]
fn durable_handle_requires_handle_caching() {
    let mut world = World::new();
    let client = world.client(1);
    for (oplock, lease, granted) in [
        (OplockLevel::BATCH, None, true),
        (OplockLevel::EXCLUSIVE, None, false),
        (OplockLevel::NONE, lease(1, RH), true),
        (OplockLevel::NONE, lease(2, crate::world::RW), false),
    ] {
        let mut request = world.request(client, 1);
        request.oplock = oplock;
        request.lease = lease;
        request.durable = Some(DurableRequest::V1);
        let open = world.open(request);
        assert_eq!(open.durable.is_some(), granted, "{oplock:?} {lease:?}");
        assert!(!world.close(&open).dropped.is_empty());
    }
    for (asked, given) in [(0, DURABLE_V2_TIMEOUT_MS), (1_000, 1_000), (u32::MAX, DURABLE_V2_TIMEOUT_MAX_MS)]
    {
        let mut request = v2_with_lease(&mut world, client);
        request.durable = durable_v2(1, asked);
        let open = world.open(request);
        assert_eq!(
            open.durable,
            Some(DurableGranted::V2 { timeout_ms: u32::try_from(given).unwrap(), persistent: false })
        );
        assert!(!world.close(&open).dropped.is_empty());
    }
}

#[test]
fn client_reclaims_its_open_after_connection_loss() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v1_with_batch(&mut world, client);
    let open = world.open(request);
    let locks = [registry::LockElement { offset: 0, length: 1, exclusive: true }];
    let key = world.key(client);
    assert!(world.state.lock(open.file_id, &locks, false, key, world.now).0.is_ok());
    lose(&mut world, client);
    assert!(world.state.open(open.file_id).is_none(), "the old volatile id is not found");
    assert!(world.state.open(open.global_id).unwrap().session.is_none());
    assert_eq!(open.shared.closed(), None);
    assert_eq!(world.state.poll_timeout(), Some(world.now.after_ms(DURABLE_V1_TIMEOUT_MS)));

    let again = world.client(1);
    let found =
        world.state.reconnect(&back(again, &open), |_, attached| *attached + 1_000, world.now).ok().unwrap();
    world.check();
    assert_eq!(found.attached, u64::from(open.global_id.value()) + 1_000);
    let found = found.granted;
    assert_eq!(found.global_id, open.global_id);
    assert_eq!(found.file_id.persistent, open.file_id.persistent);
    assert_ne!(found.file_id.volatile, open.file_id.volatile);
    assert_eq!(found.oplock, OplockLevel::BATCH);
    assert_eq!(world.state.poll_timeout(), None);
    assert_eq!(error(&mut world, &back(again, &open)), Some(ReconnectError::NotFound), "it has a client");
    assert_eq!(found.shared.file.lock_count(), 1);
    let effects = world.state.close_open(found.file_id, CloseReason::ClientClose, world.now).ok().unwrap();
    assert_eq!(effects.dropped.len(), 1);
    world.check();
}

#[test]
fn reconnect_checks_user_share_guid_and_lease() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v2_with_lease(&mut world, client);
    let open = world.open(request);
    lose(&mut world, client);

    let again = world.client(1);
    let good = back_v2(again, &open);
    let other_tree = world.tree(again.session, "other");
    let other = world.client(2);
    let other_user = world.logon(again.connection, 2);
    let other_user_tree = world.tree(other_user, "data");
    let mut wrong_id = good.clone();
    wrong_id.file_id.persistent ^= 1;
    use ReconnectError::{InvalidParameter, NotFound, OtherUser};
    for (wrong, expected) in [
        (wrong_id, NotFound),
        (Reconnect { create_guid: Some(guid(1)), ..good.clone() }, NotFound),
        (Reconnect { lease: None, ..good.clone() }, NotFound),
        (Reconnect { lease: Some((guid(6), 1)), ..good.clone() }, NotFound),
        (Reconnect { lease: Some((guid(5), 2)), ..good.clone() }, InvalidParameter),
        (Reconnect { path: "dir\\else".into(), ..good.clone() }, InvalidParameter),
        (Reconnect { tree: other_tree, ..good.clone() }, NotFound),
        (back_v2(other, &open), NotFound),
        (Reconnect { session: other_user, tree: other_user_tree, ..good.clone() }, OtherUser),
    ] {
        assert_eq!(error(&mut world, &wrong), Some(expected), "{wrong:?}");
        world.check();
    }
    // The share decides which paths are equal.
    let is_same_path = |open: &str, asked: &str| (open, asked) == ("dir\\file1", "dir\\else");
    assert_eq!(error(&mut world, &Reconnect { path: "dir\\else".into(), is_same_path, ..good }), None);
}

#[test]
fn durable_open_ends_when_its_time_is_over() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = v1_with_batch(&mut world, client);
    request.delete_on_close = true;
    let open = world.open(request);
    lose(&mut world, client);
    assert!(world.pass_ms(DURABLE_V1_TIMEOUT_MS - 1).is_empty());
    let effects = world.pass_ms(1);
    assert_eq!(effects.dropped[0].reason, CloseReason::DurableExpired);
    assert!(effects.dropped[0].delete_on_close_now);
    assert_eq!(open.shared.closed(), Some(CloseReason::DurableExpired));
    let again = world.client(1);
    assert_eq!(error(&mut world, &back(again, &open)), Some(ReconnectError::NotFound));
}

#[test]
fn conflicting_open_closes_an_orphan() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v1_with_batch(&mut world, client);
    let orphan = world.open(request);
    lose(&mut world, client);
    let other = world.client(2);
    let request = world.request(other, 1);
    let (_, effects) = world.open_with_effects(request);
    assert!(effects.breaks.is_empty(), "an orphan has no client to notify");
    assert_eq!(effects.dropped[0].global_id, orphan.global_id);
    assert_eq!(effects.dropped[0].reason, CloseReason::DurableConflict);
}

#[test]
fn kind_close_of_an_orphan_does_not_wait() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v2_with_lease(&mut world, client);
    let orphan = world.open(request);
    lose(&mut world, client);
    let key = world.key(client);
    let (ready, effects) = world.state.break_for_close(orphan.global_id, key, world.now).unwrap();
    assert!(ready == Readiness::Ready && effects.is_empty());
    assert!(world.state.write_caching(orphan.global_id).unwrap().held, "the caching ends with the open");
    world.check();
}

#[test]
fn orphan_without_conflict_stays() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = v2_with_lease(&mut world, client);
    request.lease = lease(5, RH);
    let orphan = world.open(request);
    lose(&mut world, client);
    let other = world.client(2);
    let request = world.request(other, 1);
    world.open(request);
    assert!(world.state.open(orphan.global_id).is_some(), "a read and handle lease conflicts with no open");
}

#[test]
fn reason_of_session_end_decides_about_durable_opens() {
    for reason in [
        EndReason::Logoff,
        EndReason::ConnectionLost,
        EndReason::PreviousSession,
        EndReason::Expired,
        EndReason::Administrator,
        EndReason::Shutdown,
    ] {
        let mut world = World::new();
        let client = world.client(1);
        let request = v1_with_batch(&mut world, client);
        let open = world.open(request);
        let effects = world.state.close_session(client.session, reason, world.now).ok().unwrap();
        world.check();
        let kept = world.state.open(open.global_id).is_some();
        assert_eq!(kept, reason.keeps_durable_opens(), "{reason:?}");
        assert_eq!(effects.dropped.is_empty(), kept);
    }
    let mut world = World::new();
    let client = world.client(1);
    let request = v1_with_batch(&mut world, client);
    world.open(request);
    let effects = world.state.tree_disconnect(client.session, client.tree, world.now).ok().unwrap();
    world.check();
    assert_eq!(effects.dropped[0].reason, CloseReason::TreeDisconnect);
}

#[test]
fn an_open_whose_caching_is_being_broken_does_not_outlive_its_client() {
    let mut world = World::new();
    let (client, other) = (world.client(1), world.client(2));
    let mut request = v1_with_batch(&mut world, client);
    request.share_access = crate::world::SHARE_ALL;
    world.open(request);
    let request = world.request(other, 1);
    let waiting = request.request;
    let _ = world.must_wait(request);
    let effects = world.state.disconnect(client.connection, world.now);
    world.check();
    assert_eq!(effects.dropped.len(), 1);
    assert_eq!(effects.retry, [waiting]);
}

#[test]
fn a_create_guid_names_one_open() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v2_with_lease(&mut world, client);
    let open = world.open(request.clone());
    assert_eq!(world.state.open_by_create_guid(guid(1), guid(0xd0)), Some(open.global_id));
    assert_eq!(world.refused(request), Refused::CreateGuidInUse { open: open.global_id });
    assert!(!world.close(&open).dropped.is_empty());
    assert_eq!(world.state.open_by_create_guid(guid(1), guid(0xd0)), None);
}

#[test]
fn removed_share_closes_its_orphans() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v1_with_batch(&mut world, client);
    world.open(request);
    lose(&mut world, client);
    let effects = world.state.remove_share("DATA", world.now).ok().unwrap();
    world.check();
    assert_eq!(effects.dropped[0].reason, CloseReason::ShareRemoved);
    assert_eq!(world.state.poll_timeout(), None);
}

#[test]
fn open_looks_again_if_a_closed_orphan_deletes_the_file() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = v1_with_batch(&mut world, client);
    request.delete_on_close = true;
    world.open(request);
    lose(&mut world, client);
    let other = world.client(2);
    let request = world.request(other, 1);
    let (admission, effects) = world.admit(request);
    assert!(matches!(admission, Admission::LookAgain), "{admission:?}");
    assert!(effects.dropped[0].delete_on_close_now);
    let request = world.request(other, 1);
    world.open(request);
}

#[test]
fn request_that_looks_again_does_not_wait_for_a_break() {
    let mut world = World::new();
    let client = world.client(1);
    let mut request = world.request(client, 1);
    (request.oplock, request.lease) = (OplockLevel::LEASE, lease(1, RH));
    (request.durable, request.delete_on_close) = (Some(DurableRequest::V1), true);
    world.open(request);
    lose(&mut world, client);
    // Another client, which is connected, caches the file by another link. The delete is of the first link only.
    let holder = world.client(3);
    let mut request = world.request(holder, 1);
    (request.path, request.access) = ("other link".into(), AccessMask::READ_ATTRIBUTES);
    (request.oplock, request.lease) = (OplockLevel::LEASE, lease(3, RH));
    world.open(request);

    let other = world.client(2);
    let mut request = world.request(other, 1);
    request.delete_on_close = true;
    let key = request.request;
    let (admission, effects) = world.admit(request);
    assert!(matches!(admission, Admission::LookAgain), "{admission:?}");
    assert_eq!((effects.dropped.len(), effects.breaks.len()), (1, 1));
    assert!(!world.state.is_waiting(key));
}

#[test]
fn replayed_create_returns_the_open_it_made() {
    let mut world = World::new();
    let client = world.client(1);
    let request = v2_with_lease(&mut world, client);
    let replay = Replay {
        session: client.session,
        tree: client.tree,
        connection: client.connection,
        create_guid: guid(0xd0),
        lease: Some(guid(5)),
    };
    assert!(world.replay(&replay).unwrap().is_none(), "the CREATE was not executed yet");
    let open = world.open(request);
    let found = world.replay(&replay).unwrap().unwrap();
    assert_eq!((found.file_id, found.lease_state), (open.file_id, RWH));
    let mut plain = world.request(client, 2);
    plain.durable = durable_v2(0xd1, 0);
    let plain = world.open(plain);
    let of_plain = Replay { create_guid: guid(0xd1), lease: None, ..replay };
    assert_eq!(plain.durable, None);
    assert!(world.replay(&of_plain).unwrap().is_some(), "a replay works without durability");
    world.state.forget_replay(plain.global_id);
    world.check();
    assert!(world.replay(&of_plain).unwrap().is_none(), "a used open has no replay");
    let error = |world: &mut World, replay: Replay| world.replay(&replay).err();
    assert_eq!(error(&mut world, Replay { lease: None, ..replay }), Some(ReplayError::Denied));
    assert_eq!(error(&mut world, Replay { lease: Some(guid(6)), ..replay }), Some(ReplayError::Denied));
    let again = world.logon(client.connection, 1);
    let tree = world.tree(again, "data");
    assert_eq!(error(&mut world, Replay { session: again, tree, ..replay }), Some(ReplayError::Elsewhere));
    let stranger = world.logon(client.connection, 2);
    let tree = world.tree(stranger, "data");
    assert_eq!(error(&mut world, Replay { session: stranger, tree, ..replay }), Some(ReplayError::Denied));
    let other = world.client(2);
    let elsewhere =
        Replay { session: other.session, tree: other.tree, connection: other.connection, ..replay };
    assert!(world.replay(&elsewhere).unwrap().is_none(), "create GUIDs are separate for each client");
}

#[test]
fn waiting_request_outlives_its_channel() {
    let mut world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let second = world.connect(2);
    world.state.bind_session(client.session, second).unwrap();
    let request = v1_with_batch(&mut world, holder);
    let held = world.open(AdmitRequest { share_access: crate::world::SHARE_ALL, ..request });
    let request = world.request(client, 1);
    let waiting = request.request;
    let _ = world.must_wait(request.clone());
    let effects = world.state.disconnect(client.connection, world.now);
    world.check();
    assert!(effects.is_empty());
    assert!(world.state.is_waiting(waiting));
    assert_eq!(world.close(&held).retry, [waiting]);
    world.open(AdmitRequest { is_retry: true, ..request });
}

#[test]
fn a_request_without_any_channel_left_is_cancelled() {
    let mut world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let second = world.connect(2);
    world.state.bind_session(client.session, second).unwrap();
    let request = v1_with_batch(&mut world, holder);
    world.open(request);
    let request = world.request(client, 1);
    let waiting = request.request;
    let _ = world.must_wait(request);
    assert!(world.state.disconnect(client.connection, world.now).is_empty());
    let effects = world.state.disconnect(second, world.now);
    world.check();
    assert_eq!(effects.cancelled.iter().map(|it| it.request).collect::<Vec<_>>(), [waiting]);
    assert!(!world.state.is_waiting(waiting));
}

#[test]
fn break_is_sent_again_when_its_channel_is_lost() {
    let mut world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let second = world.connect(1);
    world.state.bind_session(holder.session, second).unwrap();
    let request = v2_with_lease(&mut world, holder);
    world.open(request);
    let request = world.request(client, 1);
    let first = world.must_wait(request);
    let effects = world.state.disconnect(holder.connection, world.now);
    world.check();
    let (before, after) = (&first.breaks[0].kind, &effects.breaks[0].kind);
    assert!(matches!(before, BreakKind::Lease { .. }));
    assert_eq!(before, after);
}

#[test]
fn new_app_instance_closes_opens_of_the_previous_one() {
    let mut world = World::new();
    let instance = |version| Some(AppInstance { id: guid(0xa), version, maximal_access: ALL_ACCESS });
    let (one, other) = (world.client(1), world.client(2));
    let mut request = v2_with_lease(&mut world, one);
    request.share_access = SHARE_NONE;
    request.app_instance = instance(Some((1, 1)));
    let open = world.open(request.clone());
    let mut again = world.request(other, 1);
    again.app_instance = instance(Some((1, 1)));
    assert_eq!(world.refused(again.clone()), Refused::NewerInstance);
    again.app_instance = instance(Some((1, 2)));
    let (_, effects) = world.open_with_effects(again);
    assert!(effects.breaks.is_empty());
    assert_eq!(
        (effects.dropped[0].global_id, effects.dropped[0].reason),
        (open.global_id, CloseReason::FailedOver)
    );
}

#[test]
fn resilient_open_outlives_its_client_without_caching() {
    let mut world = World::new();
    let client = world.client(1);
    let request = world.request(client, 1);
    let open = world.open(request);
    world.state.make_resilient(open.file_id, 5_000).unwrap();
    world.check();
    lose(&mut world, client);
    let again = world.client(1);
    assert_eq!(error(&mut world, &back(again, &open)), None);
    world.check();
    lose(&mut world, again);
    assert_eq!(world.pass_ms(5_000).dropped[0].reason, CloseReason::DurableExpired);
}

#[test]
fn lease_break_acknowledgment_ends_replays() {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let request = v2_with_lease(&mut world, one);
    world.open(request);
    let request = world.request(two, 1);
    let _ = world.must_wait(request);
    assert!(world.state.acknowledge_lease(guid(1), guid(5), RH, world.now).is_ok());
    world.check();
    let replay = Replay {
        session: one.session,
        tree: one.tree,
        connection: one.connection,
        create_guid: guid(0xd0),
        lease: Some(guid(5)),
    };
    assert!(world.replay(&replay).unwrap().is_none(), "an acknowledged lease has no replay");
}

#[test]
fn breaks_of_opens_in_an_encrypted_share_are_sealed() {
    for encrypted in [false, true] {
        let mut world = World::new();
        let (mut one, two) = (world.client(1), world.client(2));
        // A connection of the same client that does not have the session's keys.
        let elsewhere = world.connect(1);
        world.logon(elsewhere, 1);
        let newer = world.connect(1);
        one.session = world.logon(newer, 1);
        one.connection = newer;
        one.tree = world
            .state
            .tree_connect(one.session, "data", encrypted, crate::world::ROOT, |_, _| 0, world.now)
            .unwrap()
            .tree_id;
        let mut leased = world.request(one, 1);
        leased.lease = lease(5, RWH);
        world.open(leased);
        let mut exclusive = world.request(one, 2);
        exclusive.oplock = OplockLevel::BATCH;
        world.open(exclusive);
        for file in [1, 2] {
            let request = world.request(two, file);
            let effects = world.must_wait(request);
            assert_eq!(effects.breaks[0].sealed, encrypted, "{file}");
            // Another connection has no key for it.
            let only_own = effects.breaks[0].connections.len() == 1;
            assert!(file == 2 || only_own == encrypted, "{file}");
        }
        let effects = world.state.disconnect(newer, world.now);
        assert!(effects.breaks.iter().all(|it| it.sealed == encrypted));
    }
}
