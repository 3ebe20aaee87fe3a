//! Tests with locks of clients and of local programs. A program is a handle of the file that the server does
//! not know.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use client::smb::{CreateParameters, Error, File, InFlight, Response};
use tokio::time::{Instant, sleep, timeout};
use vfs::faulty::Rates;
use vfs::{Handle, RangeLock};
use wire::msg::{LockElement, LockFlags};
use wire::{NtStatus, OplockLevel};

use super::failing_files::World;
use crate::core::limits;

const SHARED: LockFlags = LockFlags::SHARED_LOCK;
const EXCLUSIVE: LockFlags = LockFlags::EXCLUSIVE_LOCK;

fn element(range: Range<u64>, flags: LockFlags) -> LockElement {
    LockElement { offset: range.start, length: range.end - range.start, flags }
}

fn at_once(range: Range<u64>, kind: LockFlags) -> LockElement {
    element(range, kind | LockFlags::FAIL_IMMEDIATELY)
}

async fn unlock(file: &File, range: Range<u64>) -> Result<(), Error> {
    file.lock(&[element(range, LockFlags::UNLOCK)]).await
}

fn is(result: Result<(), Error>, status: NtStatus) -> bool {
    result.is_err_and(|error| error.is(status))
}

/// The locks of a file's bytes as a program sees them: `.` unlocked, `s` shared, `x` exclusive.
fn seen(program: &Arc<dyn Handle>, range: Range<u64>) -> String {
    let kind = |byte: u64| {
        let is_locked = |lock| program.is_range_locked(byte..byte + 1, lock).unwrap();
        match (is_locked(RangeLock::Shared), is_locked(RangeLock::Exclusive)) {
            (true, _) => 'x',
            (false, true) => 's',
            (false, false) => '.',
        }
    };
    range.map(kind).collect()
}

fn takes(program: &Arc<dyn Handle>, range: Range<u64>, lock: RangeLock) {
    assert!(program.set_range_lock(range, Some(lock)).unwrap(), "the range is free");
}

async fn opened(tree: &client::smb::ClientTree) -> File {
    tree.create(&CreateParameters::read_write("f")).await.unwrap()
}

/// The result of a request that waits for a program's lock.
async fn ended(request: InFlight) -> Result<(), Error> {
    let answer = timeout(Duration::from_secs(5), request.response()).await.expect("it waits for ever");
    answer.and_then(Response::success).map(drop)
}

#[tokio::test(start_paused = true)]
async fn local_programs_see_the_locks_of_clients() {
    let world = World::new(21);
    let (one, tree) = world.client().await;
    let (other, others) = world.client().await;
    let (file, another) = (opened(&tree).await, opened(&others).await);
    let program = world.real("f").unwrap();
    file.lock(&[at_once(0..6, SHARED), at_once(8..10, EXCLUSIVE)]).await.unwrap();
    another.lock(&[at_once(4..7, SHARED)]).await.unwrap();
    assert_eq!(seen(&program, 0..11), "sssssss.xx.");

    // Both locks of a range must be released; a smaller lock within a larger one is released separately.
    file.lock(&[at_once(0..6, SHARED), at_once(2..4, SHARED), at_once(8..10, SHARED)]).await.unwrap();
    unlock(&file, 0..6).await.unwrap();
    assert_eq!(seen(&program, 0..11), "sssssss.xx.");
    unlock(&file, 0..6).await.unwrap();
    assert_eq!(seen(&program, 0..11), "..sssss.xx.");
    unlock(&file, 8..10).await.unwrap();
    assert_eq!(seen(&program, 0..11), "..sssss.ss.", "the exclusive one goes first");

    // A refused request neither adds nor removes locks.
    let wanted = [at_once(20..30, EXCLUSIVE), at_once(5..6, EXCLUSIVE)];
    assert!(is(file.lock(&wanted).await, NtStatus::LOCK_NOT_GRANTED));
    assert!(is(unlock(&file, 2..3).await, NtStatus::RANGE_NOT_LOCKED));
    assert_eq!(seen(&program, 0..30), format!("..sssss.ss.{}", ".".repeat(19)));

    file.close().await.unwrap();
    assert_eq!(seen(&program, 0..11), "....sss....");
    other.disconnect();
    while seen(&program, 0..11) != "..........." {
        sleep(Duration::from_secs(1)).await;
    }
    one.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn clients_are_refused_ranges_that_local_programs_have_locked() {
    let world = World::new(22);
    let (one, tree) = world.client().await;
    let (other, others) = world.client().await;
    let (file, another) = (opened(&tree).await, opened(&others).await);
    let program = world.real("f").unwrap();
    takes(&program, 0..10, RangeLock::Shared);
    takes(&program, 10..20, RangeLock::Exclusive);
    for (range, kind, granted) in [
        (0..10, SHARED, true),
        (0..10, EXCLUSIVE, false),
        (5..15, SHARED, false),
        (10..11, SHARED, false),
        (20..30, EXCLUSIVE, true),
    ] {
        let locked = file.lock(&[at_once(range.clone(), kind)]).await;
        assert_eq!(locked.is_ok(), granted, "{range:?} {kind:?}");
        assert!(granted || is(locked, NtStatus::LOCK_NOT_GRANTED));
    }
    // Several locks are granted all or none; the bytes stay usable for other clients meanwhile and
    // afterwards.
    let wanted = [at_once(40..50, EXCLUSIVE), at_once(12..13, EXCLUSIVE)];
    assert!(is(file.lock(&wanted).await, NtStatus::LOCK_NOT_GRANTED));
    another.lock(&[at_once(40..50, EXCLUSIVE)]).await.unwrap();
    another.write(12, b"advice".to_vec()).await.unwrap();
    assert_eq!(file.read(12, 6).await.unwrap()[..], b"advice"[..]);
    program.set_range_lock(0..20, None).unwrap();
    file.lock(&[at_once(10..20, EXCLUSIVE)]).await.unwrap();
    one.disconnect();
    other.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_a_lock_of_a_local_program() {
    let world = World::new(23);
    let (connection, tree) = world.client().await;
    let file = opened(&tree).await;
    let program = world.real("f").unwrap();
    takes(&program, 0..10, RangeLock::Exclusive);
    let waits = file.submit_lock(&[element(5..6, SHARED)]).await.unwrap();
    assert!(waits.pending().await.is_some(), "an interim answer is sent");
    assert!(is(file.read(5, 1).await.map(drop), NtStatus::END_OF_FILE), "nothing is locked");
    sleep(Duration::from_secs(60)).await;
    program.set_range_lock(0..10, None).unwrap();
    let since = Instant::now();
    ended(waits).await.unwrap();
    assert!(since.elapsed() <= limits::HOST_LOCK_LAST_RETRY, "{:?}", since.elapsed());
    assert_eq!(seen(&program, 0..10), ".....s....");
    connection.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn clients_that_wait_for_a_program_are_served_in_their_order() {
    let world = World::new(24);
    let (one, tree) = world.client().await;
    let (other, others) = world.client().await;
    let (file, another) = (opened(&tree).await, opened(&others).await);
    let program = world.real("f").unwrap();
    takes(&program, 0..10, RangeLock::Exclusive);
    let first = file.submit_lock(&[element(0..10, EXCLUSIVE)]).await.unwrap();
    assert!(first.pending().await.is_some());
    let second = another.submit_lock(&[element(0..1, EXCLUSIVE)]).await.unwrap();
    assert!(second.pending().await.is_some());
    program.set_range_lock(0..10, None).unwrap();
    ended(first).await.unwrap();
    // The second request now waits for a client, and continues as soon as that one is done.
    let mut second = Box::pin(ended(second));
    assert!(timeout(Duration::from_secs(3), &mut second).await.is_err());
    file.close().await.unwrap();
    let since = Instant::now();
    second.await.unwrap();
    assert!(since.elapsed() < limits::HOST_LOCK_FIRST_RETRY, "{:?}", since.elapsed());
    assert_eq!(seen(&program, 0..2), "x.");
    one.disconnect();
    other.disconnect();
    world.comes_to_rest().await;
}

/// The ways in which a wait ends without a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cancel,
    Close,
    Logoff,
    Disconnect,
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_local_program_ends_with_its_request_open_session_or_connection() {
    for end in [End::Cancel, End::Close, End::Logoff, End::Disconnect] {
        let world = World::new(25);
        let (connection, tree) = world.client().await;
        let (file, another) = (opened(&tree).await, opened(&tree).await);
        let program = world.real("f").unwrap();
        takes(&program, 0..10, RangeLock::Exclusive);
        let waits = file.submit_lock(&[element(0..10, EXCLUSIVE)]).await.unwrap();
        assert!(waits.pending().await.is_some());
        sleep(Duration::from_secs(7)).await;
        let since = Instant::now();
        let status = match end {
            End::Cancel => {
                connection.cancel(&waits).await.unwrap();
                NtStatus::CANCELLED
            }
            End::Close => {
                file.close().await.unwrap();
                NtStatus::RANGE_NOT_LOCKED
            }
            End::Logoff => {
                tree.session().logoff().await.unwrap();
                NtStatus::RANGE_NOT_LOCKED
            }
            End::Disconnect => {
                connection.disconnect();
                NtStatus::SUCCESS
            }
        };
        if end != End::Disconnect {
            let error = ended(waits).await.unwrap_err();
            assert!(error.is(status), "{end:?}: {error}");
        }
        assert!(since.elapsed() < limits::HOST_LOCK_FIRST_RETRY, "{end:?}: {:?}", since.elapsed());
        program.set_range_lock(0..10, None).unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(seen(&program, 0..10), "..........", "{end:?}");
        if end == End::Cancel {
            another.lock(&[at_once(0..10, EXCLUSIVE)]).await.unwrap();
        }
        connection.disconnect();
        world.comes_to_rest().await;
    }
}

/// The locks of a closed open are released on the machine after the close; that must not refuse other
/// clients.
#[tokio::test(start_paused = true)]
async fn locks_of_a_closed_open_do_not_conflict_with_other_clients() {
    let world = World::new(26);
    let (one, tree) = world.client().await;
    let (other, others) = world.client().await;
    for round in 0..20 {
        let (file, another) = (opened(&tree).await, opened(&others).await);
        file.lock(&[at_once(0..10, EXCLUSIVE)]).await.unwrap();
        let waits = another.submit_lock(&[element(0..10, EXCLUSIVE)]).await.unwrap();
        assert!(waits.pending().await.is_some());
        if round % 2 == 0 {
            file.close().await.unwrap();
        } else {
            unlock(&file, 0..10).await.unwrap();
            assert!(is(file.lock(&[at_once(0..1, EXCLUSIVE)]).await, NtStatus::LOCK_NOT_GRANTED));
        }
        ended(waits).await.unwrap();
        another.close().await.unwrap();
        let third = opened(&others).await;
        third.lock(&[at_once(0..10, EXCLUSIVE)]).await.unwrap();
        third.close().await.unwrap();
    }
    one.disconnect();
    other.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_the_file_system_fails_to_take_is_refused() {
    let world = World::new(27);
    let (one, tree) = world.client().await;
    let (other, others) = world.client().await;
    let (file, another) = (opened(&tree).await, opened(&others).await);
    let program = world.real("f").unwrap();
    world.faults.set_rates(Rates { fails: 1024, ..Rates::NONE });
    for wanted in [at_once(0..10, EXCLUSIVE), element(0..10, SHARED)] {
        let error = file.lock(&[wanted]).await.unwrap_err();
        assert!(!error.is(NtStatus::LOCK_NOT_GRANTED) && !error.is(NtStatus::INTERNAL_ERROR), "{error}");
    }
    world.faults.set_rates(Rates::NONE);
    another.lock(&[at_once(0..10, EXCLUSIVE)]).await.unwrap();
    another.close().await.unwrap();
    // A release may fail, too: it counts for clients at once, and for programs at the end of the open at the
    // latest.
    file.lock(&[at_once(0..10, EXCLUSIVE), at_once(20..30, SHARED)]).await.unwrap();
    world.faults.set_rates(Rates { fails: 1024, ..Rates::NONE });
    unlock(&file, 0..10).await.unwrap();
    world.faults.set_rates(Rates::NONE);
    assert_eq!(seen(&program, 0..1), "x");
    unlock(&file, 20..30).await.unwrap();
    assert_eq!(seen(&program, 0..30), ".".repeat(30));
    one.disconnect();
    other.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn with_strict_locking_reads_and_writes_respect_locks_of_local_programs() {
    let world = World::with(28, |share| share.strict_locking = Some(true));
    let (one, tree) = world.client().await;
    let (other, others) = world.client().await;
    let (file, another) = (opened(&tree).await, opened(&others).await);
    file.write(0, vec![7; 30]).await.unwrap();
    let program = world.real("f").unwrap();
    takes(&program, 0..10, RangeLock::Shared);
    takes(&program, 10..20, RangeLock::Exclusive);
    for (range, reads, writes) in [(0..10, true, false), (5..15, false, false), (20..30, true, true)] {
        let length = u32::try_from(range.end - range.start).unwrap();
        let read = file.read(range.start, length).await.map(drop);
        let written = file.write(range.start, vec![8; 10]).await.map(drop);
        assert_eq!((read.is_ok(), written.is_ok()), (reads, writes), "{range:?}");
        for refused in [read, written].into_iter().filter(Result::is_err) {
            assert!(is(refused, NtStatus::FILE_LOCK_CONFLICT), "{range:?}");
        }
    }
    // A client's own lock affects only other clients.
    file.lock(&[at_once(20..30, EXCLUSIVE)]).await.unwrap();
    file.write(20, vec![9; 10]).await.unwrap();
    assert!(is(another.read(20, 1).await.map(drop), NtStatus::FILE_LOCK_CONFLICT));
    file.close().await.unwrap();
    assert_eq!(another.read(20, 1).await.unwrap()[..], [9]);
    one.disconnect();
    other.disconnect();
    world.comes_to_rest().await;
}

#[tokio::test(start_paused = true)]
async fn without_posix_locking_local_programs_do_not_see_locks() {
    let world = World::with(29, |share| share.posix_locking = Some(false));
    let (one, tree) = world.client().await;
    let file = opened(&tree).await;
    let program = world.real("f").unwrap();
    takes(&program, 0..10, RangeLock::Exclusive);
    file.lock(&[at_once(0..20, EXCLUSIVE)]).await.unwrap();
    assert_eq!(seen(&program, 0..20), ".".repeat(20));
    one.disconnect();
    world.comes_to_rest().await;
}

/// A disconnected durable open keeps its locks, also on the machine, and has them after the reconnection.
#[tokio::test(start_paused = true)]
async fn the_locks_of_a_durable_open_stay_on_the_machine() {
    for comes_back in [true, false] {
        let world = World::new(30);
        let (connection, tree) = world.client().await;
        let mut wanted = CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("f") };
        wanted.contexts.durable_request = true;
        let file = tree.create(&wanted).await.unwrap();
        file.lock(&[at_once(0..4, EXCLUSIVE), at_once(6..8, SHARED)]).await.unwrap();
        let program = world.real("f").unwrap();
        connection.disconnect();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(seen(&program, 0..9), "xxxx..ss.");
        assert!(!program.set_range_lock(3..4, Some(RangeLock::Shared)).unwrap());
        if comes_back {
            let (connection, tree) = world.client().await;
            wanted.contexts.durable_request = false;
            wanted.contexts.durable_reconnect = Some(file.id());
            let file = tree.create(&wanted).await.unwrap();
            unlock(&file, 0..4).await.unwrap();
            assert_eq!(seen(&program, 0..9), "......ss.");
            file.lock(&[at_once(4..5, EXCLUSIVE)]).await.unwrap();
            assert_eq!(seen(&program, 0..9), "....x.ss.");
            file.close().await.unwrap();
            connection.disconnect();
        } else {
            sleep(Duration::from_secs(3600)).await;
        }
        assert_eq!(seen(&program, 0..9), ".........");
        world.comes_to_rest().await;
    }
}
