//! Byte-range locks (MS-FSA 2.1.5.8, 2.1.5.9, 2.1.4.10).

use registry::{
    CloseReason, EventKind, GrantedOpen, LockElement, LockError, LockOutcome, Outcome, RefusalKind,
    RequestKey,
};

use crate::world::{Bench, Client, World, lease};

type Effects = registry::Effects<Bench>;

const fn exclusive(offset: u64, length: u64) -> LockElement {
    LockElement { offset, length, exclusive: true }
}

const fn shared(offset: u64, length: u64) -> LockElement {
    LockElement { offset, length, exclusive: false }
}

struct Locker {
    world: World,
    client: Client,
    one: GrantedOpen,
    two: GrantedOpen,
}

impl Locker {
    fn new() -> Self {
        let mut world = World::new();
        let client = world.client(1);
        let request = world.request(client, 1);
        let one = world.open(request);
        let request = world.request(client, 1);
        let two = world.open(request);
        Self { world, client, one, two }
    }

    fn open(&mut self) -> GrantedOpen {
        let request = self.world.request(self.client, 1);
        self.world.open(request)
    }

    fn lock(&mut self, open: &GrantedOpen, elements: &[LockElement]) -> Result<(), LockError> {
        let request = self.world.key(self.client);
        let (result, effects) = self.world.state.lock(open.file_id, elements, false, request, self.world.now);
        assert!(effects.is_empty());
        self.world.check();
        result.map(|outcome| assert_eq!(outcome, LockOutcome::Granted))
    }

    fn lock_or_wait(&mut self, open: &GrantedOpen, element: LockElement) -> Option<RequestKey> {
        let request = self.world.key(self.client);
        let (result, effects) =
            self.world.state.lock(open.file_id, &[element], true, request, self.world.now);
        assert!(effects.is_empty());
        self.world.check();
        match result.unwrap() {
            LockOutcome::Granted => None,
            LockOutcome::Waiting | LockOutcome::WaitingOutside => Some(request),
        }
    }

    fn waits(&mut self, open: &GrantedOpen, element: LockElement) -> RequestKey {
        self.lock_or_wait(open, element).unwrap()
    }

    fn unlock(&mut self, open: &GrantedOpen, elements: &[LockElement]) -> (Result<(), LockError>, Effects) {
        let answer = self.world.state.unlock(open.file_id, elements, self.world.now);
        self.world.check();
        answer
    }

    fn io(&mut self, open: &GrantedOpen, offset: u64, length: u64, write: bool) -> bool {
        open.shared.has_locks()
            && self.world.state.check_io(open.file_id, offset, length, write, self.world.now).is_err()
    }
}

#[test]
fn shared_locks_may_overlap_and_exclusive_locks_may_not() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert_eq!(it.lock(&one, &[shared(0, 10)]), Ok(()));
    assert_eq!(it.lock(&two, &[shared(5, 10)]), Ok(()));
    assert_eq!(it.lock(&two, &[exclusive(9, 1)]), Err(LockError::NotGranted { blocker: one.global_id }));
    assert_eq!(it.lock(&two, &[exclusive(15, 1)]), Ok(()));
    assert_eq!(it.lock(&one, &[shared(15, 1)]), Err(LockError::NotGranted { blocker: two.global_id }));
    assert_eq!(it.world.state.refusals()[0].kind, RefusalKind::LockConflict);
    assert_eq!(it.world.state.refusals()[0].range, Some((15, 1)));
}

#[test]
fn an_open_may_add_a_shared_lock_to_its_exclusive_one_but_not_the_reverse() {
    let mut it = Locker::new();
    let one = it.one.clone();
    assert_eq!(it.lock(&one, &[exclusive(0, 10)]), Ok(()));
    assert_eq!(it.lock(&one, &[exclusive(0, 10)]), Err(LockError::NotGranted { blocker: one.global_id }));
    assert_eq!(it.lock(&one, &[shared(0, 10)]), Ok(()));
    assert_eq!(it.unlock(&one, &[shared(0, 10)]).0, Ok(()), "the exclusive lock is released first");
    assert!(it.io(&one, 0, 1, true), "the shared lock remains");
    assert_eq!(it.lock(&one, &[exclusive(0, 10)]), Err(LockError::NotGranted { blocker: one.global_id }));
    assert_eq!(it.unlock(&one, &[shared(0, 10)]).0, Ok(()));
    assert_eq!(it.unlock(&one, &[shared(0, 10)]).0, Err(LockError::RangeNotLocked));
}

#[test]
fn a_range_of_no_bytes_conflicts_only_inside_another() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert_eq!(it.lock(&one, &[exclusive(10, 10)]), Ok(()));
    for (offset, granted) in [(9, true), (10, true), (11, false), (19, false), (20, true)] {
        assert_eq!(it.lock(&two, &[exclusive(offset, 0)]).is_ok(), granted, "{offset}");
    }
    assert_eq!(it.lock(&two, &[exclusive(30, 0)]), Ok(()));
    assert_eq!(it.lock(&one, &[exclusive(30, 0)]), Ok(()), "two empty ranges do not conflict");
    assert!(matches!(it.lock(&one, &[exclusive(29, 2)]), Err(LockError::NotGranted { .. })));
    assert_eq!(it.lock(&one, &[exclusive(30, 1)]), Ok(()));
}

#[test]
fn a_range_beyond_the_largest_offset_is_refused() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert_eq!(it.lock(&one, &[exclusive(u64::MAX, 1)]), Ok(()));
    assert_eq!(it.lock(&one, &[exclusive(u64::MAX, 2)]), Err(LockError::InvalidRange));
    assert_eq!(
        it.lock(&two, &[exclusive(1, u64::MAX)]),
        Err(LockError::NotGranted { blocker: one.global_id })
    );
    assert_eq!(it.lock(&two, &[exclusive(0, u64::MAX)]), Ok(()));
    assert_eq!(it.unlock(&one, &[exclusive(2, u64::MAX)]).0, Err(LockError::InvalidRange));
}

#[test]
fn several_elements_are_locked_all_or_none_and_unlocked_one_by_one() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert_eq!(it.lock(&two, &[exclusive(20, 1)]), Ok(()));
    let wanted = [exclusive(0, 1), exclusive(10, 1), exclusive(20, 1)];
    assert_eq!(it.lock(&one, &wanted), Err(LockError::NotGranted { blocker: two.global_id }));
    assert_eq!(one.shared.file.lock_count(), 1);
    assert_eq!(it.lock(&one, &wanted[..2]), Ok(()));
    assert_eq!(it.unlock(&one, &wanted).0, Err(LockError::RangeNotLocked));
    assert_eq!(one.shared.file.lock_count(), 1, "the elements before the missing one are unlocked");
    let request = it.world.key(it.client);
    let (result, _) = it.world.state.lock(one.file_id, &wanted, true, request, it.world.now);
    assert_eq!(result, Err(LockError::InvalidParameter), "only a single element can wait");
    assert_eq!(it.lock(&one, &[]), Err(LockError::InvalidParameter));
}

#[test]
fn locks_refuse_reads_and_writes_of_other_opens() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert!(!it.io(&two, 0, 1, true));
    assert_eq!(it.lock(&one, &[exclusive(0, 10), shared(20, 10)]), Ok(()));
    for (open, offset, length, write, refused) in [
        (&one, 0, 10, true, false),
        (&one, 0, 10, false, false),
        (&two, 9, 1, false, true),
        (&two, 9, 1, true, true),
        (&two, 10, 10, true, false),
        (&two, 5, 0, true, false),
        (&two, 20, 1, false, false),
        (&two, 20, 1, true, true),
        (&one, 20, 1, true, true),
    ] {
        assert_eq!(it.io(open, offset, length, write), refused, "{offset} {length} {write}");
    }
    assert_eq!(it.world.state.refusals()[0].kind, RefusalKind::IoConflict);
}

#[test]
fn waiters_are_served_in_order_and_the_exclusive_one_is_not_starved() {
    let mut it = Locker::new();
    let (one, two, three, four) = (it.one.clone(), it.two.clone(), it.open(), it.open());
    assert_eq!(it.lock(&one, &[shared(0, 10)]), Ok(()));
    let wants_all = it.waits(&two, exclusive(0, 10));
    let behind = it.waits(&three, shared(0, 5));
    assert_eq!(it.lock(&four, &[shared(0, 5)]), Ok(()), "a request that does not wait takes a free range");
    assert_eq!(it.lock_or_wait(&four, shared(50, 1)), None, "there is no conflict elsewhere");

    assert!(it.unlock(&four, &[shared(0, 5)]).1.granted.is_empty());
    assert_eq!(it.unlock(&one, &[shared(0, 10)]).1.granted, [wants_all]);
    let effects = it.world.close(&two);
    assert_eq!(effects.granted, [behind]);
    assert!(it.io(&one, 0, 1, true));
}

#[test]
fn a_cancelled_waiter_lets_those_behind_it_go_on() {
    let mut it = Locker::new();
    let (one, two, three) = (it.one.clone(), it.two.clone(), it.open());
    assert_eq!(it.lock(&one, &[shared(0, 10)]), Ok(()));
    let wants_all = it.waits(&two, exclusive(0, 10));
    let behind = it.waits(&three, shared(0, 5));
    assert!(it.world.state.is_waiting(wants_all));
    let effects = it.world.state.cancel(wants_all, it.world.now);
    it.world.check();
    assert_eq!(effects.cancelled.len(), 1);
    assert_eq!((effects.cancelled[0].request, effects.cancelled[0].outcome), (wants_all, Outcome::Cancelled));
    assert_eq!(effects.granted, [behind]);
    assert!(it.world.state.cancel(wants_all, it.world.now).is_empty(), "the request has been answered");
}

#[test]
fn a_close_cancels_its_own_waiters_and_wakes_the_others() {
    let mut it = Locker::new();
    let (one, two, three) = (it.one.clone(), it.two.clone(), it.open());
    assert_eq!(it.lock(&one, &[exclusive(0, 10), exclusive(20, 10)]), Ok(()));
    let of_two = it.waits(&two, exclusive(0, 10));
    let of_three = it.waits(&three, exclusive(5, 20));
    let effects = it.world.close(&two);
    assert_eq!((effects.cancelled[0].request, effects.cancelled[0].outcome), (of_two, Outcome::HandleClosed));
    let effects = it.world.close(&one);
    assert_eq!(effects.granted, [of_three]);
    assert_eq!(three.shared.file.lock_count(), 1);
}

#[test]
fn lost_connection_and_logoff_end_their_waiters() {
    let mut it = Locker::new();
    let one = it.one.clone();
    assert_eq!(it.lock(&one, &[exclusive(0, 10)]), Ok(()));
    let other = it.world.client(2);
    let request = it.world.request(other, 1);
    let theirs = it.world.open(request);
    let key = it.world.key(other);
    let (result, _) = it.world.state.lock(theirs.file_id, &[exclusive(0, 1)], true, key, it.world.now);
    assert_eq!(result, Ok(LockOutcome::Waiting));
    let effects = it.world.state.disconnect(other.connection, it.world.now);
    it.world.check();
    assert!(effects.cancelled.is_empty(), "no request waits for an answer");
    assert_eq!(effects.dropped[0].reason, CloseReason::ConnectionLost);
    assert!(it.world.close(&one).granted.is_empty());
}

#[test]
fn lock_breaks_read_caching_of_others() {
    let mut it = Locker::new();
    let one = it.one.clone();
    let other = it.world.client(2);
    let mut request = it.world.request(other, 1);
    request.lease = lease(1, crate::world::RH);
    let theirs = it.world.open(request);
    assert!(one.shared.write_needs_break());
    assert!(!theirs.shared.write_needs_break());
    let key = it.world.key(it.client);
    let (_, effects) = it.world.state.lock(one.file_id, &[exclusive(0, 1)], false, key, it.world.now);
    it.world.check();
    assert_eq!(effects.breaks.len(), 1);
    let none = crate::world::NONE;
    let (client, key) = (crate::world::guid(2), crate::world::guid(1));
    assert!(it.world.state.acknowledge_lease(client, key, none, it.world.now).is_ok());
    let mut request = it.world.request(other, 1);
    request.lease = lease(2, crate::world::RH);
    assert!(it.world.open(request).lease_state.is_none(), "a file with locks is not cached");
}

#[test]
fn limits_refuse_and_change_nothing() {
    let limits = registry::Limits {
        locks_per_open: 2,
        locks_per_file: 3,
        waiting_locks_per_file: 2,
        waiting_per_connection: 1,
        ..registry::Limits::default()
    };
    let mut world = World::with(limits);
    let client = world.client(1);
    let request = world.request(client, 1);
    let one = world.open(request);
    let request = world.request(client, 1);
    let two = world.open(request);
    let mut it = Locker { world, client, one: one.clone(), two: two.clone() };
    use registry::LimitReached::{LocksPerFile, LocksPerOpen, WaitingPerConnection};
    assert_eq!(it.lock(&one, &[shared(0, 1), shared(1, 1)]), Ok(()));
    assert_eq!(it.lock(&one, &[shared(2, 1)]), Err(LockError::LimitReached(LocksPerOpen)));
    assert_eq!(it.lock(&two, &[shared(2, 1), shared(3, 1)]), Err(LockError::LimitReached(LocksPerFile)));
    it.waits(&two, exclusive(0, 1));
    let request = it.world.key(client);
    let (result, _) = it.world.state.lock(two.file_id, &[exclusive(1, 1)], true, request, it.world.now);
    assert_eq!(result, Err(LockError::LimitReached(WaitingPerConnection)));
    it.world.check();
}

impl Locker {
    fn lock_outside(
        &mut self,
        open: &GrantedOpen,
        element: LockElement,
        wait: bool,
        is_free: bool,
    ) -> (Result<LockOutcome, LockError>, RequestKey) {
        let request = self.world.key(self.client);
        let (result, effects) =
            self.world.state.lock_outside(open.file_id, &[element], wait, request, is_free, self.world.now);
        assert!(effects.is_empty());
        self.world.check();
        (result, request)
    }

    fn retry(&mut self, request: RequestKey) -> Option<LockOutcome> {
        let (outcome, effects) = self.world.state.retry_lock(request, self.world.now);
        assert!(effects.is_empty());
        self.world.check();
        outcome
    }
}

#[test]
fn lock_held_outside_is_refused_and_changes_nothing() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert_eq!(it.lock_outside(&one, exclusive(0, 10), false, false).0, Err(LockError::HeldOutside));
    assert!(!one.shared.has_locks() && !it.io(&two, 0, 1, true));
    assert_eq!(it.lock_outside(&one, exclusive(0, 10), false, true).0, Ok(LockOutcome::Granted));
    let not_granted = Err(LockError::NotGranted { blocker: one.global_id });
    assert_eq!(
        it.lock_outside(&two, exclusive(0, 10), false, false).0,
        not_granted,
        "an open's lock is named"
    );
}

#[test]
fn a_request_that_waits_for_a_lock_outside_is_granted_once_its_caller_has_it() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    let (outcome, waits) = it.lock_outside(&one, exclusive(0, 10), true, false);
    assert_eq!(outcome, Ok(LockOutcome::WaitingOutside));
    assert!(it.world.state.is_waiting(waits) && !one.shared.has_locks());
    // A request that does not wait takes a free range; when that lock ends, the waiter is to try again.
    assert_eq!(it.lock(&two, &[exclusive(5, 1)]), Ok(()));
    assert_eq!(it.retry(waits), Some(LockOutcome::Waiting));
    let (_, effects) = it.unlock(&two, &[exclusive(5, 1)]);
    assert_eq!((effects.retry, effects.granted), (vec![waits], vec![]));
    assert!(!one.shared.has_locks(), "no caller has tried outside again");
    assert_eq!(it.retry(waits), Some(LockOutcome::Granted));
    assert!(it.io(&two, 0, 1, false));
    assert_eq!(it.retry(waits), None, "the request no longer waits");
}

#[test]
fn a_request_that_waits_for_a_lock_outside_keeps_its_place() {
    let mut it = Locker::new();
    let (one, two, three) = (it.one.clone(), it.two.clone(), it.open());
    let (_, first) = it.lock_outside(&one, exclusive(0, 10), true, false);
    let (outcome, second) = it.lock_outside(&two, shared(0, 10), true, true);
    assert_eq!(outcome, Ok(LockOutcome::Waiting), "it waits behind the first request");
    assert_eq!(it.retry(second), Some(LockOutcome::Waiting));
    let third = it.waits(&three, shared(0, 1));
    let effects = it.world.state.cancel(first, it.world.now);
    it.world.check();
    assert_eq!((effects.retry, effects.granted), (vec![second], vec![third]));
    let effects = it.world.close(&two);
    assert_eq!(effects.cancelled[0].request, second);
    assert_eq!(it.retry(second), None);
}

#[test]
fn unlock_each_returns_the_released_locks() {
    let mut it = Locker::new();
    let one = it.one.clone();
    assert_eq!(it.lock(&one, &[exclusive(0, 10), shared(0, 10), shared(20, 1)]), Ok(()));
    let wanted = [shared(20, 1), exclusive(0, 10), exclusive(0, 10), exclusive(7, 7)];
    let (released, result, _) = it.world.state.unlock_each(one.file_id, &wanted, it.world.now);
    assert_eq!(released, [shared(20, 1), exclusive(0, 10), shared(0, 10)]);
    assert_eq!(result, Err(LockError::RangeNotLocked));
}

#[test]
fn a_request_that_is_to_try_again_keeps_its_range() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    assert_eq!(it.lock(&one, &[exclusive(0, 10)]), Ok(()));
    let (_, waits) = it.lock_outside(&two, exclusive(0, 10), true, true);
    assert_eq!(it.unlock(&one, &[exclusive(0, 10)]).1.retry, [waits]);
    let not_granted = Err(LockError::NotGranted { blocker: two.global_id });
    assert_eq!(it.lock(&one, &[shared(20, 1), shared(9, 1)]), not_granted);
    assert_eq!(it.lock(&one, &[shared(20, 1), shared(10, 1)]), Ok(()), "beside it");
    assert_eq!(it.lock_outside(&one, exclusive(0, 10), false, true).0.map(drop), not_granted);
    // The caller is refused outside, so others may take the free range again.
    assert!(it.world.state.refused_outside(waits));
    assert_eq!(it.lock(&one, &[shared(9, 1)]), Ok(()));
    assert_eq!(it.retry(waits), Some(LockOutcome::Waiting));
    let _ = it.world.close(&two);
    assert!(!it.world.state.refused_outside(waits));
}

#[test]
fn events_tell_of_the_first_lock_of_an_open_and_not_of_each() {
    let mut it = Locker::new();
    let (one, two) = (it.one.clone(), it.two.clone());
    let start = it.world.state.last_event();
    let is_locked = |event: &registry::Event| match &event.kind {
        EventKind::Locked { open } => Some(open.file),
        _ => None,
    };
    let locked = |it: &mut Locker| -> Vec<_> {
        it.world.state.events_after(start, 1000).events.iter().filter_map(is_locked).collect()
    };
    for _ in 0..100 {
        it.lock(&one, &[exclusive(0, 1), exclusive(5, 1)]).unwrap();
        let (result, _) =
            it.world.state.unlock(one.file_id, &[exclusive(0, 1), exclusive(5, 1)], it.world.now);
        result.unwrap();
    }
    it.lock(&two, &[exclusive(9, 1)]).unwrap();
    assert_eq!(locked(&mut it), [one.global_id, two.global_id]);
    let _ = it.world.pass_ms(registry::limits::LOCKED_EVENT_MS);
    it.lock(&two, &[exclusive(19, 1)]).unwrap();
    it.lock(&one, &[exclusive(0, 1)]).unwrap();
    assert_eq!(locked(&mut it), [one.global_id, two.global_id, one.global_id], "two was locked all the time");
}
