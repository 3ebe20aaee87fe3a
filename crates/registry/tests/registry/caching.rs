//! Oplocks and leases (MS-FSA 2.1.4.12, MS-SMB2 3.3.4.6, 3.3.4.7, 3.3.5.9.8, 3.3.5.22).

use registry::limits::BREAK_TIMEOUT_MS;
use registry::{
    AcknowledgeLeaseError, AcknowledgeOplockError, AdmitRequest, BreakKind, ConnectionId, Effects,
    GrantedOpen, Outcome, Readiness, Refused, RequestKey, WriteCaching,
};
use wire::{AccessMask, LeaseState, OplockLevel, ShareAccess};

use crate::world::{Bench, Client, NONE, R, RH, RW, RWH, SHARE_NONE, World, file_key, guid, lease, lease_v2};

fn with_lease(world: &mut World, client: Client, key: u8, state: LeaseState) -> AdmitRequest {
    let mut request = world.request(client, 1);
    request.lease = lease(key, state);
    request
}

fn with_oplock(world: &mut World, client: Client, level: OplockLevel) -> AdmitRequest {
    let mut request = world.request(client, 1);
    request.oplock = level;
    request
}

fn retry(mut request: AdmitRequest) -> AdmitRequest {
    request.is_retry = true;
    request
}

fn acknowledge(world: &mut World, client: Client, key: u8, state: LeaseState) -> Effects<Bench> {
    let (left, effects) = world
        .state
        .acknowledge_lease(guid(client.number), guid(key), state, world.now)
        .unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(left, state);
    world.check();
    effects
}

fn lease_error(
    world: &mut World,
    client: Client,
    key: u8,
    state: LeaseState,
) -> Option<AcknowledgeLeaseError> {
    world.state.acknowledge_lease(guid(client.number), guid(key), state, world.now).err()
}

#[track_caller]
fn one_break(effects: &Effects<Bench>) -> BreakKind {
    assert_eq!(effects.breaks.len(), 1);
    effects.breaks[0].kind
}

fn lease_break(key: u8, current: LeaseState, new: LeaseState) -> BreakKind {
    BreakKind::Lease { key: guid(key), current, new, ack_required: current != R, epoch: 0 }
}

fn pair() -> (World, Client, Client) {
    let mut world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    (world, one, two)
}

/// The caching that a second open gets beside a first one, and the caching that remains for the first, for every pair.
#[test]
fn second_open_is_granted_compatible_caching() {
    use OplockLevel as O;
    let lease_state = |granted: &GrantedOpen| granted.lease_state;
    for (held, asked, granted) in [
        (NONE, RWH, RH),
        (R, RWH, RH),
        (RH, RWH, RH),
        (RW, RH, RH),
        (RWH, RW, R),
        (RH, R, R),
        (R, LeaseState::HANDLE, NONE),
        (R, LeaseState::WRITE, NONE),
    ] {
        let (mut world, one, two) = pair();
        let request = with_lease(&mut world, one, 1, held);
        world.open(request);
        let second = with_lease(&mut world, two, 1, asked);
        if held.contains(LeaseState::WRITE) {
            let effects = world.must_wait(second.clone());
            let left = held.without(LeaseState::WRITE);
            assert_eq!(one_break(&effects), lease_break(1, held, left));
            assert_eq!(acknowledge(&mut world, one, 1, left).retry, [second.request]);
        }
        assert_eq!(lease_state(&world.open(retry(second))), granted, "{asked:?} beside {held:?}");
    }
    for (held, asked, granted) in [
        (O::NONE, O::BATCH, O::LEVEL_II),
        (O::LEVEL_II, O::EXCLUSIVE, O::LEVEL_II),
        (O::LEVEL_II, O::LEVEL_II, O::LEVEL_II),
    ] {
        let (mut world, one, two) = pair();
        let request = with_oplock(&mut world, one, held);
        world.open(request);
        let request = with_oplock(&mut world, two, asked);
        assert_eq!(world.open(request).oplock, granted, "{asked:?} beside {held:?}");
    }
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RH);
    world.open(request);
    let request = with_oplock(&mut world, two, O::BATCH);
    assert_eq!(world.open(request).oplock, O::NONE, "no oplock beside a handle lease");
    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, O::LEVEL_II);
    world.open(request);
    let request = with_lease(&mut world, two, 1, RWH);
    assert_eq!(world.open(request).lease_state, R, "no handle lease beside an oplock");
}

#[test]
fn a_batch_oplock_is_broken_and_acknowledged() {
    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let first = world.open(request);
    let second = with_oplock(&mut world, two, OplockLevel::BATCH);
    let effects = world.must_wait(second.clone());
    assert_eq!(
        one_break(&effects),
        BreakKind::Oplock { file_id: first.file_id, level: OplockLevel::LEVEL_II }
    );
    assert_eq!((effects.breaks[0].session_id, &effects.breaks[0].connections[..]), (one.session, &[1][..]));
    assert!(world.must_wait(second.clone()).is_empty(), "one notification is sent");

    let (result, effects) =
        world.state.acknowledge_oplock(one.session, first.file_id, OplockLevel::LEVEL_II, world.now);
    assert_eq!(result, Ok(OplockLevel::LEVEL_II));
    assert_eq!(effects.retry, [second.request]);
    assert_eq!(world.open(retry(second)).oplock, OplockLevel::LEVEL_II);
    assert_eq!(world.oplock_of(first.global_id), OplockLevel::LEVEL_II);
    assert_eq!(world.state.poll_timeout(), None);
}

/// Before a share goes to another server, what its clients cache is called back, once.
#[test]
fn share_that_is_handed_over_calls_back_what_clients_cache() {
    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let first = world.open(request);
    let mut read = world.request(two, 2);
    read.lease = lease(2, R);
    world.open(read);
    assert_eq!(world.state.caching_opens("other"), []);
    let opens = world.state.caching_opens("DATA");
    assert_eq!(opens, [first.global_id], "read caching has nothing to write back");
    assert!(!world.state.are_breaking(&opens));
    let effects = world.state.break_caching(&opens, world.now);
    assert_eq!(
        one_break(&effects),
        BreakKind::Oplock { file_id: first.file_id, level: OplockLevel::LEVEL_II }
    );
    assert!(world.state.are_breaking(&opens));
    assert!(world.state.break_caching(&opens, world.now).breaks.is_empty(), "one notification is sent");
    let acknowledged =
        world.state.acknowledge_oplock(one.session, first.file_id, OplockLevel::LEVEL_II, world.now);
    assert_eq!(acknowledged.0, Ok(OplockLevel::LEVEL_II));
    assert!(!world.state.are_breaking(&opens));
    assert_eq!(world.state.caching_opens("data"), []);
}

#[test]
fn wrong_oplock_acknowledgments_are_refused() {
    use AcknowledgeOplockError::{NoSuchOpen, NotBreaking};
    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::EXCLUSIVE);
    let first = world.open(request);
    let now = world.now;
    let mut try_it = |session, level| world.state.acknowledge_oplock(session, first.file_id, level, now).0;
    assert_eq!(try_it(two.session, OplockLevel::NONE), Err(NoSuchOpen), "another's open");
    for level in [OplockLevel::LEASE, OplockLevel::NONE, OplockLevel::BATCH] {
        assert_eq!(try_it(one.session, level), Err(NotBreaking));
    }
    assert_eq!(world.oplock_of(first.global_id), OplockLevel::EXCLUSIVE, "without a break, the oplock stays");
}

#[test]
fn acknowledgment_of_invalid_level_ends_the_oplock() {
    use AcknowledgeOplockError::{BadLevel, LevelOfLease};
    for (level, error) in [(OplockLevel::EXCLUSIVE, BadLevel), (OplockLevel::LEASE, LevelOfLease)] {
        let (mut world, one, two) = pair();
        let request = with_oplock(&mut world, one, OplockLevel::EXCLUSIVE);
        let first = world.open(request);
        let request = with_oplock(&mut world, two, OplockLevel::NONE);
        let waiting = request.request;
        let _ = world.must_wait(request);
        let (result, effects) = world.state.acknowledge_oplock(one.session, first.file_id, level, world.now);
        world.check();
        assert_eq!(result, Err(error));
        assert_eq!(effects.retry, [waiting], "the oplock is lost and the waiting request continues");
        assert_eq!(world.oplock_of(first.global_id), OplockLevel::NONE);
    }
}

#[test]
fn overwrite_breaks_to_none_and_waits_only_for_write_caching() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RH);
    let first = world.open(request);
    let mut second = with_oplock(&mut world, two, OplockLevel::NONE);
    second.overwrites = true;
    let (_, effects) = world.open_with_effects(second.clone());
    assert_eq!(one_break(&effects), lease_break(1, RH, NONE));
    second.request = world.key(two);
    assert!(world.open_with_effects(second).1.is_empty(), "the break under way does not delay it");

    let request = with_lease(&mut world, one, 1, NONE);
    let again = world.open(request);
    assert_eq!((again.lease_state, again.lease_breaking), (RH, true));
    assert!(acknowledge(&mut world, one, 1, NONE).is_empty());
    assert_eq!(world.lease_of(first.global_id), NONE);

    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let first = world.open(request);
    let mut second = with_oplock(&mut world, two, OplockLevel::NONE);
    second.overwrites = true;
    let effects = world.must_wait(second);
    assert_eq!(one_break(&effects), BreakKind::Oplock { file_id: first.file_id, level: OplockLevel::NONE });
}

#[test]
fn growing_lease_break_takes_several_steps() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RWH);
    world.open(request);
    let plain = with_oplock(&mut world, two, OplockLevel::NONE);
    assert_eq!(one_break(&world.must_wait(plain.clone())), lease_break(1, RWH, RH));
    let mut overwriting = with_oplock(&mut world, two, OplockLevel::NONE);
    overwriting.overwrites = true;
    assert!(world.must_wait(overwriting.clone()).is_empty());

    assert_eq!(lease_error(&mut world, one, 1, RWH), Some(AcknowledgeLeaseError::BadState));
    let effects = acknowledge(&mut world, one, 1, RH);
    assert_eq!(one_break(&effects), lease_break(1, RH, R));
    assert_eq!(effects.retry, [plain.request, overwriting.request]);
    assert!(world.must_wait(retry(plain.clone())).is_empty());
    assert!(world.must_wait(retry(overwriting.clone())).is_empty());

    let effects = acknowledge(&mut world, one, 1, R);
    assert_eq!(one_break(&effects), lease_break(1, R, NONE));
    assert_eq!(lease_error(&mut world, one, 1, NONE), Some(AcknowledgeLeaseError::NotBreaking));
    assert_eq!(lease_error(&mut world, one, 2, NONE), Some(AcknowledgeLeaseError::NoSuchLease));
    world.open(retry(plain));
    world.open(retry(overwriting));
}

#[test]
fn acknowledgment_may_keep_less_than_the_break_allows() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RWH);
    let first = world.open(request);
    let second = with_oplock(&mut world, two, OplockLevel::NONE);
    let _ = world.must_wait(second.clone());
    let request = with_lease(&mut world, one, 1, RWH);
    let same = world.open(request);
    assert_eq!(
        (same.lease_state, same.lease_breaking),
        (RWH, true),
        "an open with the same lease key does not wait"
    );
    assert_eq!(acknowledge(&mut world, one, 1, NONE).retry, [second.request]);
    assert_eq!(world.lease_of(first.global_id), NONE);
    world.open(retry(second));
}

#[test]
fn handle_caching_is_broken_before_a_sharing_violation_is_reported() {
    for closes in [true, false] {
        let (mut world, one, two) = pair();
        let mut request = with_lease(&mut world, one, 1, RWH);
        request.share_access = ShareAccess::READ;
        let first = world.open(request);
        let mut second = with_oplock(&mut world, two, OplockLevel::NONE);
        second.share_access = SHARE_NONE;
        let effects = world.must_wait(second.clone());
        assert_eq!(one_break(&effects), lease_break(1, RWH, RW));
        assert!(world.state.refusals().is_empty());
        if closes {
            assert_eq!(world.close(&first).retry, [second.request]);
            world.open(retry(second));
        } else {
            assert_eq!(acknowledge(&mut world, one, 1, RW).retry, [second.request]);
            let refused = world.refused(retry(second));
            assert_eq!(refused, Refused::SharingViolation { blocker: first.global_id });
            assert_eq!(world.lease_of(first.global_id), RW);
        }
    }
    let (mut world, one, two) = pair();
    let mut request = with_oplock(&mut world, one, OplockLevel::EXCLUSIVE);
    request.share_access = SHARE_NONE;
    let first = world.open(request);
    let second = with_oplock(&mut world, two, OplockLevel::NONE);
    assert_eq!(world.refused(second), Refused::SharingViolation { blocker: first.global_id });
    assert_eq!(
        world.oplock_of(first.global_id),
        OplockLevel::EXCLUSIVE,
        "without handle caching there is no break"
    );
}

#[test]
fn a_break_that_is_not_acknowledged_takes_effect_in_time() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RWH);
    let leased = world.open(request);
    let mut request = with_oplock(&mut world, one, OplockLevel::BATCH);
    request.target = registry::OpenTarget::File(file_key(2));
    let oplocked = world.open(request);
    let second = with_oplock(&mut world, two, OplockLevel::NONE);
    let _ = world.must_wait(second.clone());
    let mut third = with_oplock(&mut world, two, OplockLevel::NONE);
    third.target = registry::OpenTarget::File(file_key(2));
    let _ = world.must_wait(third.clone());

    assert_eq!(world.state.poll_timeout(), Some(world.now.after_ms(BREAK_TIMEOUT_MS)));
    assert!(world.pass_ms(BREAK_TIMEOUT_MS - 1).is_empty());
    let mut woken = world.pass_ms(1).retry;
    woken.sort();
    assert_eq!(woken, [second.request, third.request]);
    assert_eq!(world.lease_of(leased.global_id), NONE);
    assert_eq!(world.oplock_of(oplocked.global_id), OplockLevel::NONE);
    assert_eq!(lease_error(&mut world, one, 1, RH), Some(AcknowledgeLeaseError::NotBreaking));
    assert_eq!(world.state.poll_timeout(), None);
    assert_eq!(world.state.statistics().snapshot().breaks_timed_out, 2);
    world.open(retry(second));
    world.open(retry(third));
}

#[test]
fn write_breaks_read_caching_of_others_and_own_level_ii_oplock() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RH);
    let leased = world.open(request);
    let request = with_lease(&mut world, two, 1, R);
    let reader = world.open(request);
    assert!(leased.shared.write_needs_break());
    let effects = world.state.break_for_write(leased.file_id, world.now).unwrap();
    world.check();
    assert_eq!(one_break(&effects), lease_break(1, R, NONE));
    assert_eq!(world.lease_of(leased.global_id), RH, "its own lease stays");
    assert_eq!(world.lease_of(reader.global_id), NONE);
    assert!(!leased.shared.write_needs_break());
    assert!(reader.shared.write_needs_break());

    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::LEVEL_II);
    let first = world.open(request);
    let request = with_oplock(&mut world, two, OplockLevel::LEVEL_II);
    world.open(request);
    assert!(first.shared.write_needs_break());
    let effects = world.state.break_for_write(first.file_id, world.now).unwrap();
    assert_eq!(effects.breaks.len(), 2);
    world.check();
    assert!(!first.shared.write_needs_break());
}

#[test]
fn an_exclusive_oplock_stays_when_its_holder_writes() {
    let (mut world, one, _) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let first = world.open(request);
    assert!(!first.shared.write_needs_break());
    assert!(world.state.break_for_write(first.file_id, world.now).unwrap().is_empty());
    assert_eq!(world.oplock_of(first.global_id), OplockLevel::BATCH);
}

#[test]
fn a_rename_waits_for_the_handle_caching_of_others() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RH);
    let renamer = world.open(request);
    let request = with_lease(&mut world, two, 1, RH);
    world.open(request);
    let key = world.key(one);
    let (ready, effects) = world.state.break_handle_caching(renamer.file_id, key, world.now).unwrap();
    world.check();
    assert_eq!((ready, one_break(&effects)), (Readiness::MustWait, lease_break(1, RH, R)));
    assert_eq!(acknowledge(&mut world, two, 1, R).retry, [key]);
    let (ready, effects) = world.state.break_handle_caching(renamer.file_id, key, world.now).unwrap();
    assert!(ready == Readiness::Ready && effects.is_empty());
    assert_eq!(world.lease_of(renamer.global_id), RH);

    let (ready, effects) = world.state.break_handle_caching_of(file_key(1), key, world.now);
    assert_eq!((ready, one_break(&effects)), (Readiness::MustWait, lease_break(1, RH, R)));
}

#[test]
fn a_kind_close_lets_the_client_write_back() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RWH);
    let open = world.open(request);
    let key = world.key(two);
    let (ready, effects) = world.state.break_for_close(open.global_id, key, world.now).unwrap();
    assert_eq!((ready, one_break(&effects)), (Readiness::MustWait, lease_break(1, RWH, R)));
    assert_eq!(acknowledge(&mut world, one, 1, R).retry, [key]);
    assert_eq!(world.state.break_for_close(open.global_id, key, world.now).unwrap().0, Readiness::Ready);
}

#[test]
fn write_caching_counts_unanswered_breaks() {
    let (mut world, one, _) = pair();
    let request = with_lease(&mut world, one, 1, RWH);
    let open = world.open(request);
    let told = |world: &World| world.state.write_caching(open.global_id).unwrap();
    assert_eq!(told(&world), WriteCaching { held: true, unanswered_breaks: 0 });
    let administrator = RequestKey { connection: ConnectionId::NONE, id: 1 };
    let (ready, effects) = world.state.break_for_close(open.global_id, administrator, world.now).unwrap();
    world.check();
    assert_eq!((ready, one_break(&effects)), (Readiness::MustWait, lease_break(1, RWH, R)));
    assert!(told(&world).held, "write caching is held until the acknowledgment");
    world.now = world.now.after_ms(BREAK_TIMEOUT_MS);
    assert_eq!(world.state.handle_timeout(world.now).retry, [administrator]);
    world.check();
    assert_eq!(told(&world), WriteCaching { held: false, unanswered_breaks: 1 });
}

#[test]
fn wait_of_an_administrator_can_be_cancelled() {
    let (mut world, one, _) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let open = world.open(request);
    let administrator = RequestKey { connection: ConnectionId::NONE, id: 1 };
    let (ready, _) = world.state.break_for_close(open.global_id, administrator, world.now).unwrap();
    assert_eq!(ready, Readiness::MustWait);
    assert_eq!(world.state.cancel(administrator, world.now).cancelled.len(), 1);
    world.check();
    assert!(world.state.write_caching(open.global_id).unwrap().held);
}

#[test]
fn epoch_of_version_2_lease_advances_with_every_change() {
    let (mut world, one, two) = pair();
    let mut request = world.request(one, 1);
    request.lease = lease_v2(1, R, 0x4711);
    assert_eq!(world.open(request.clone()).lease_epoch, 0x4712);
    request.request = world.key(one);
    assert_eq!(world.open(request.clone()).lease_epoch, 0x4712, "nothing changed");
    request.request = world.key(one);
    request.lease = lease_v2(1, RWH, 0);
    let raised = world.open(request.clone());
    assert_eq!((raised.lease_state, raised.lease_epoch), (RWH, 0x4713));
    request.request = world.key(one);
    request.lease = lease_v2(1, R, 0);
    let lower = world.open(request);
    assert_eq!((lower.lease_state, lower.lease_epoch), (RWH, 0x4713), "a request for less does not lower it");
    let second = with_oplock(&mut world, two, OplockLevel::NONE);
    let effects = world.must_wait(second);
    let BreakKind::Lease { epoch, .. } = one_break(&effects) else { panic!() };
    assert_eq!(epoch, 0x4714);
}

#[test]
fn steps_of_growing_break_advance_the_epoch_once() {
    let (mut world, one, two) = pair();
    let mut request = world.request(one, 1);
    request.lease = lease_v2(1, RWH, 0x10);
    world.open(request);
    let epoch = |effects: &Effects<Bench>| match one_break(effects) {
        BreakKind::Lease { epoch, .. } => epoch,
        other => panic!("{other:?}"),
    };
    let plain = with_oplock(&mut world, two, OplockLevel::NONE);
    assert_eq!(epoch(&world.must_wait(plain)), 0x12);
    let mut overwriting = with_oplock(&mut world, two, OplockLevel::NONE);
    overwriting.overwrites = true;
    let _ = world.must_wait(overwriting);
    assert_eq!(epoch(&acknowledge(&mut world, one, 1, RH)), 0x12);
    assert_eq!(epoch(&acknowledge(&mut world, one, 1, R)), 0x12);
}

#[test]
fn lease_keeps_the_version_of_its_first_open() {
    for (first, second, version, epoch) in
        [(lease_v2(1, R, 0x10), lease(1, RH), 2, 0x12), (lease(1, R), lease_v2(1, RH, 0x10), 1, 0)]
    {
        let (mut world, one, _) = pair();
        let mut request = world.request(one, 1);
        request.lease = first;
        world.open(request.clone());
        request.request = world.key(one);
        request.lease = second;
        let raised = world.open(request);
        assert_eq!((raised.lease_state, raised.lease_version, raised.lease_epoch), (RH, version, epoch));
    }
}

#[test]
fn lease_is_raised_to_the_whole_requested_state_or_not_at_all() {
    for (held, other, asked, left) in [
        (R, R, RH, RH),
        (R, R, RWH, R),
        (R, RH, RW, R),
        (RH, R, RW, RH),
        (RH, RH, RWH, RH),
        (NONE, RH, RWH, NONE),
        (NONE, RH, RH, RH),
    ] {
        let (mut world, one, two) = pair();
        for (client, state) in [(one, held), (two, other)] {
            let request = with_lease(&mut world, client, 1, state);
            world.open(request);
        }
        let request = with_lease(&mut world, one, 1, asked);
        assert_eq!(world.open(request).lease_state, left, "{asked:?} for {held:?} beside {other:?}");
    }
}

#[test]
fn write_caching_is_held_by_one_holder_alone() {
    for access in [AccessMask::READ_ATTRIBUTES, AccessMask::SYNCHRONIZE] {
        let (mut world, one, two) = pair();
        let request = with_oplock(&mut world, one, OplockLevel::EXCLUSIVE);
        world.open(request);
        let mut request = with_oplock(&mut world, two, OplockLevel::BATCH);
        request.access = access;
        assert_eq!(world.open(request).oplock, OplockLevel::NONE);
        let mut request = with_lease(&mut world, two, 1, RWH);
        request.access = access;
        assert_eq!(world.open(request).lease_state, NONE);
    }
}

#[test]
fn overwrite_with_attribute_access_breaks_caching() {
    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let first = world.open(request);
    let mut second = with_oplock(&mut world, two, OplockLevel::LEVEL_II);
    second.access = AccessMask::READ_ATTRIBUTES;
    second.overwrites = true;
    let effects = world.must_wait(second.clone());
    assert_eq!(one_break(&effects), BreakKind::Oplock { file_id: first.file_id, level: OplockLevel::NONE });
    let (result, _) =
        world.state.acknowledge_oplock(one.session, first.file_id, OplockLevel::NONE, world.now);
    assert_eq!(result, Ok(OplockLevel::NONE));
    let granted = world.open(retry(second));
    assert_eq!(granted.oplock, OplockLevel::LEVEL_II);
    let effects = world.state.break_for_overwrite(granted.file_id, world.now).unwrap();
    assert!(effects.is_empty(), "its own caching is of the empty file");

    let request = with_lease(&mut world, one, 1, R);
    world.open(request);
    let effects = world.state.break_for_overwrite(granted.file_id, world.now).unwrap();
    world.check();
    assert_eq!(one_break(&effects), lease_break(1, R, NONE));
}

#[test]
fn an_open_that_deletes_waits_for_cached_handles() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, RH);
    let first = world.open(request);
    let mut deleting = with_oplock(&mut world, two, OplockLevel::NONE);
    deleting.delete_on_close = true;
    let effects = world.must_wait(deleting.clone());
    assert_eq!(one_break(&effects), lease_break(1, RH, R));
    assert_eq!(world.close(&first).retry, [deleting.request]);
    let granted = world.open(retry(deleting));
    assert!(world.close(&granted).dropped[0].delete_on_close_now);
}

#[test]
fn lease_breaks_are_sent_on_the_oldest_connection_of_the_client() {
    let mut world = World::new();
    let other = world.client(2);
    let unused = world.connect(1);
    let (older, newer) = (world.client(1), world.client(1));
    let request = with_lease(&mut world, newer, 1, R);
    world.open(request);
    let write = with_oplock(&mut world, other, OplockLevel::NONE);
    let write = world.open(write);
    let connections = |effects: &Effects<Bench>| effects.breaks[0].connections.len();
    let effects = world.state.break_for_write(write.file_id, world.now).unwrap();
    assert_eq!(connections(&effects), 2, "a connection without a session gets no break");

    let _ = world.state.disconnect(unused, world.now);
    let _ = world.state.disconnect(older.connection, world.now);
    world.check();
    let request = with_lease(&mut world, newer, 1, R);
    world.open(request);
    let effects = world.state.break_for_write(write.file_id, world.now).unwrap();
    assert_eq!(connections(&effects), 1);
}

#[test]
fn directories_are_cached_by_leases_of_version_2_only() {
    let (mut world, one, two) = pair();
    for (asked, granted) in
        [(lease(1, RWH), (OplockLevel::NONE, NONE)), (lease_v2(2, RWH, 0), (OplockLevel::LEASE, RH))]
    {
        let mut request = world.request(one, 1);
        request.is_directory = true;
        request.lease = asked;
        let open = world.open(request);
        assert_eq!((open.oplock, open.lease_state), granted);
    }
    assert!(world.state.break_directory_caching(file_key(1), Some(guid(2)), world.now).is_empty());
    let effects = world.state.break_directory_caching(file_key(1), None, world.now);
    world.check();
    assert!(matches!(one_break(&effects), BreakKind::Lease { new: NONE, ack_required: true, .. }));
    let mut request = world.request(two, 2);
    request.is_directory = true;
    request.oplock = OplockLevel::BATCH;
    assert_eq!(world.open(request).oplock, OplockLevel::NONE);
}

#[test]
fn a_waiting_open_is_cancelled_or_ends_with_its_session() {
    let (mut world, one, two) = pair();
    let request = with_oplock(&mut world, one, OplockLevel::BATCH);
    let first = world.open(request);
    let second = with_oplock(&mut world, two, OplockLevel::NONE);
    let _ = world.must_wait(second.clone());
    let effects = world.state.cancel(second.request, world.now);
    world.check();
    assert_eq!(effects.cancelled[0].outcome, Outcome::Cancelled);

    let second = with_oplock(&mut world, two, OplockLevel::NONE);
    let _ = world.must_wait(second.clone());
    let effects =
        world.state.close_session(two.session, registry::EndReason::Logoff, world.now).ok().unwrap();
    world.check();
    assert_eq!(
        (effects.cancelled[0].request, effects.cancelled[0].outcome),
        (second.request, Outcome::SessionEnded)
    );
    assert!(world.close(&first).retry.is_empty());
}

#[test]
fn a_directory_lease_is_spared_by_its_own_key_only() {
    let (mut world, one, two) = pair();
    for (client, key) in [(one, 1), (one, 2), (two, 3)] {
        let mut request = world.request(client, 1);
        request.is_directory = true;
        request.lease = lease_v2(key, RH, 0);
        assert_eq!(world.open(request).lease_state, RH);
    }
    let keys = |effects: &Effects<Bench>| {
        let mut keys: Vec<u8> = effects
            .breaks
            .iter()
            .map(|notice| match notice.kind {
                BreakKind::Lease { key, new: NONE, ack_required: true, .. } => key.0[0],
                other => panic!("{other:?}"),
            })
            .collect();
        keys.sort_unstable();
        keys
    };
    let effects = world.state.break_directory_caching(file_key(1), Some(guid(2)), world.now);
    assert_eq!(keys(&effects), [1, 3]);
    let effects = world.state.break_directory_caching(file_key(1), Some(guid(2)), world.now);
    assert!(effects.is_empty(), "their breaks are under way");
    let effects = world.state.break_for_outsider(file_key(1), world.now);
    assert_eq!(keys(&effects), [2]);
    world.check();
    let _ = acknowledge(&mut world, one, 1, NONE);
    assert!(world.state.break_for_outsider(file_key(1), world.now).is_empty(), "the lease has no state");
    let mut request = world.request(one, 1);
    request.is_directory = true;
    request.lease = lease_v2(1, RH, 0);
    assert_eq!(world.open(request).lease_state, RH, "the lease can be granted again");
}

#[test]
fn removal_names_the_open_that_requested_the_delete() {
    let (mut world, one, two) = pair();
    for asked_by_last in [false, true] {
        let opens = [one, two].map(|client| {
            let request = world.request(client, 1);
            world.open(request)
        });
        world.state.set_delete_pending(opens[usize::from(asked_by_last)].file_id, true).unwrap();
        assert!(!world.close(&opens[0]).dropped[0].delete_on_close_now);
        let effects = world.close(&opens[1]);
        assert!(effects.dropped[0].delete_on_close_now);
        let removal = &effects.dropped[0].removals[0];
        assert_eq!(removal.by, opens[usize::from(asked_by_last)].global_id);
        assert_eq!(removal.attached, removal.by.value().into());
    }
}

#[test]
fn lease_break_is_sent_again_when_its_connection_is_lost() {
    let mut world = World::new();
    let other = world.client(2);
    let (older, newer) = (world.client(1), world.client(1));
    let request = with_lease(&mut world, newer, 1, RWH);
    world.open(request);
    let request = with_oplock(&mut world, other, OplockLevel::NONE);
    let effects = world.must_wait(request);
    assert_eq!(effects.breaks[0].connections.len(), 2, "the break names both connections");
    let told = one_break(&effects);

    let effects = world.state.disconnect(older.connection, world.now);
    world.check();
    assert_eq!(one_break(&effects), told);
    assert_eq!(effects.breaks[0].connections.len(), 1);
    assert!(effects.retry.is_empty(), "the request still waits");
    let effects = acknowledge(&mut world, newer, 1, RH);
    assert_eq!(effects.retry.len(), 1);
    let effects = world.state.disconnect(newer.connection, world.now);
    assert!(effects.breaks.is_empty(), "no break is under way");
}

#[test]
fn oplock_break_names_the_channel_of_the_open_first() {
    let (mut world, one, two) = pair();
    let (third, fourth) = (world.connect(3), world.connect(4));
    for channel in [third, fourth] {
        world.state.bind_session(one.session, channel).unwrap();
    }
    let by_third = Client { connection: third, ..one };
    let mut request = with_oplock(&mut world, by_third, OplockLevel::BATCH);
    request.connection = third;
    let open = world.open(request);
    let request = with_oplock(&mut world, two, OplockLevel::NONE);
    let effects = world.must_wait(request);
    assert_eq!(effects.breaks[0].connections, [3, 1, 4]);
    let awaited = effects.breaks[0].awaited.expect("an acknowledgment is required");
    assert!(world.state.is_awaited(&awaited));

    // The break was not sent on this connection.
    assert!(world.state.disconnect(fourth, world.now).breaks.is_empty());
    assert!(world.state.is_dispensable(third) && world.state.is_dispensable(one.connection));
    let effects = world.state.disconnect(third, world.now);
    world.check();
    assert_eq!((&effects.breaks[0].connections[..], effects.breaks[0].awaited), (&[1][..], Some(awaited)));
    assert!(!world.state.is_dispensable(one.connection), "the session ends with its last connection");
    assert!(!world.state.is_dispensable(third), "the connection has ended");

    let level = OplockLevel::NONE;
    let (result, _) = world.state.acknowledge_oplock(one.session, open.file_id, level, world.now);
    assert_eq!(result, Ok(level));
    assert!(!world.state.is_awaited(&awaited));
}

#[test]
fn break_without_acknowledgment_is_not_awaited() {
    let (mut world, one, two) = pair();
    let request = with_lease(&mut world, one, 1, R);
    world.open(request);
    let request = world.request(two, 1);
    let writer = world.open(request);
    let effects = world.state.break_for_write(writer.global_id, world.now).unwrap();
    assert_eq!((effects.breaks.len(), effects.breaks[0].awaited), (1, None));
}
