//! Measures for how long an open and a close hold the registry's locks, and so how many opens a second fill each.
//!
//! `cargo run --release -p shareward-registry --features testing,lock-report --example hold`
//!
//! The server calls the registry once for a CREATE and once for a CLOSE, and once for the first use of an open with a
//! durable handle. Four tables:
//! - the memory of opens;
//! - plain opens and closes as the server makes them, in one thread and in two (build it without `lock-report` for
//!   these: its clocks take a third of the time), and what it costs that two cores change one number;
//! - the holds of each lock of such an open and close, and the opens a second at which the lock is held all the time.
//!   A lock in 16 parts is full at 16 times that of one part. These need `lock-report`;
//! - the same open and close under the whole lock, where they are made if they have consequences for others.
//!
//! All times are those of the fastest tenth of the rounds, because other programs run, too. What the server attaches to
//! an open under the lock, and waits for locks, are not in these numbers:
//! `--features shareward-registry/lock-report` shows the holds of a server.
#![expect(clippy::print_stdout, reason = "the result")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use registry::testing::world::{Bench, Client, World};
use registry::{
    Admission, AdmitRequest, CloseReason, DurableRequest, GrantedOpen, LeaseRequest, OpenTarget, Registry,
    RequestKey,
};
use wire::{Guid, LeaseState, OplockLevel};

/// The opens that are measured at a time.
const ROUND: u64 = 1_000;
/// The rounds.
const ROUNDS: usize = 200;
/// The opens that exist beside those that are measured.
const OTHERS: [u64; 3] = [0, 10_000, 100_000];

fn main() {
    // First, while no memory that was freed is used again.
    memory();
    println!();
    println!("beside others (the server's way)");
    println!("other opens | kind           | open and close, 1 thread | 2 threads | opens a second of both");
    for others in OTHERS {
        for (kind, prepare) in KINDS {
            let [one, two] = [1, 2].map(|threads| beside(others, prepare, threads).as_nanos());
            let both = 2_000_000_000 / two.max(1);
            println!("{others:>11} | {kind:<14} | {one:>21} ns | {two:>6} ns | {both:>9}");
        }
    }
    counters();
    #[cfg(feature = "lock-report")]
    holds::print();
    println!();
    println!("under the whole lock");
    println!("other opens | kind           | open      | close     | opens a second that fill it");
    for others in OTHERS {
        let (mut world, clients) = filled(others);
        for (kind, prepare) in KINDS {
            let (open, close) = alone(&mut world, clients[0], prepare);
            let (open, close) = (open.as_nanos(), close.as_nanos());
            let full = Duration::from_secs(1).as_nanos() / (open + close).max(1);
            println!("{others:>11} | {kind:<14} | {open:>6} ns | {close:>6} ns | {full:>9}");
        }
    }
}

/// The memory of opens of different files, without what the server attaches.
fn memory() {
    const OPENS: u64 = 100_000;
    println!("kind           | bytes an open takes, of {OPENS}");
    for (kind, prepare) in KINDS {
        let (mut world, clients) = filled(0);
        let before = resident();
        for (file, client) in (0..OPENS).zip(clients.iter().cycle()) {
            let request = prepare(world.request(*client, file), file);
            let (answer, _) = world.state.admit(request, |_| 0, world.now);
            assert!(matches!(answer, Admission::Granted(_)), "{answer:?}");
        }
        println!("{kind:<14} | {:>5}", resident().saturating_sub(before) / OPENS);
        // Its memory would be used again by the next.
        std::mem::forget(world);
    }
}

/// The resident bytes of this process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

type Prepare = fn(AdmitRequest, u64) -> AdmitRequest;

const KINDS: [(&str, Prepare); 4] = [
    ("no caching", |request, _| request),
    ("batch oplock", |request, _| AdmitRequest { oplock: OplockLevel::BATCH, ..request }),
    ("lease RWH", |request, file| {
        let key = Guid(u128::from(file + 1).to_le_bytes());
        let lease = Some(LeaseRequest { key, state: LeaseState(7), version: 2, epoch: 0 });
        AdmitRequest { oplock: OplockLevel::LEASE, lease, ..request }
    }),
    ("RWH, durable", |request, file| {
        let [_, _, (_, leased), _] = KINDS;
        let create_guid = Guid(u128::from(file).to_le_bytes());
        let durable = Some(DurableRequest::V2 { create_guid, timeout_ms: 0, persistent: false });
        AdmitRequest { durable, ..leased(request, file) }
    }),
];

/// A world with this many opens of 20 clients.
fn filled(others: u64) -> (World, Vec<Client>) {
    let mut world = World::new();
    world.beside_others = false;
    let clients: Vec<_> = (1..=20).map(|number| world.client(number)).collect();
    for (number, client) in (0..others).zip(clients.iter().cycle()) {
        let request = world.request(*client, 1_000_000 + number);
        let attach = |granted: &GrantedOpen| u64::from(granted.global_id.value());
        let (answer, _) = world.state.admit(request, attach, world.now);
        assert!(matches!(answer, Admission::Granted(_)), "another open");
    }
    (world, clients)
}

/// Opens and closes files in threads of different clients. Returns the time of one open and close.
fn beside(others: u64, prepare: Prepare, threads: usize) -> Duration {
    let (world, clients) = filled(others);
    let now = world.now;
    let registry = Registry::new(world.state, || {});
    in_threads(threads, |thread, number| open_and_close(&registry, clients[thread], number, prepare, now))
}

/// The time of a call of which each thread makes many, in the fastest tenth of the rounds: other programs lengthen
/// the others.
fn in_threads(threads: usize, call: impl Fn(usize, u64) + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let rounds: Vec<Duration> = thread::scope(|scope| {
        let measure = |thread| {
            let (call, barrier) = (&call, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let round = |_| {
                    let begun = Instant::now();
                    (0..ROUND).for_each(|number| call(thread, number));
                    begun.elapsed()
                };
                (0..ROUNDS).map(round).collect::<Vec<Duration>>()
            })
        };
        let running: Vec<_> = (0..threads).map(measure).collect();
        running.into_iter().flat_map(|it| it.join().expect("a measurement")).collect()
    });
    fast(rounds)
}

/// The time of one call in the fastest tenth of the rounds.
fn fast(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 10] / u32::try_from(ROUND).unwrap_or(1)
}

fn open_and_close(
    registry: &Registry<Bench>,
    client: Client,
    number: u64,
    prepare: Prepare,
    now: registry::Time,
) {
    let file = u64::from(client.number) * ROUND + number % ROUND;
    let key = RequestKey { connection: client.connection, id: number };
    let path = format!("dir\\file{file}").into();
    let target = OpenTarget::File(registry::testing::world::file_key(file));
    let plain = AdmitRequest::new(key, (client.session, client.tree), target, path);
    let request = prepare(AdmitRequest { access: wire::AccessMask::FILE_ALL, ..plain }, file);
    let (answer, effects) = registry.admit(request, |granted| u64::from(granted.global_id.value()), now);
    drop(effects);
    let Admission::Granted(granted) = answer else { panic!("refused: {answer:?}") };
    if granted.durable.is_some() {
        registry.forget_replay(granted.global_id);
    }
    let closed = registry.close_open(granted.file_id, CloseReason::ClientClose, now);
    drop(closed.expect("an open"));
}

/// A number that all opens and closes change moves from core to core; it is full when it moves all the time.
fn counters() {
    let number = Alone(AtomicU64::new(0));
    let change = |_, count| {
        number.0.fetch_add(1, Relaxed);
        // Something else, so that the other thread gets the number.
        let other = (0..100_u64).fold(count, |it, step| std::hint::black_box(it ^ step));
        std::hint::black_box(other);
    };
    let [one, two] = [1, 2].map(|threads| in_threads(threads, change).as_nanos());
    let moved = two.saturating_sub(one).max(1);
    println!();
    println!("a number that 2 threads change by turns takes {moved} ns to come over");
    println!("number             | changes | full at opens a second");
    for (name, changes) in [("opens there are", 2), ("ids of opens", 1), ("last event", 2)] {
        println!("{name:<18} | {changes:>7} | {:>9}", 1_000_000_000 / (moved * changes));
    }
}

/// A number on a cache line of its own.
#[repr(align(128))]
struct Alone(AtomicU64);

/// The holds of each lock.
#[cfg(feature = "lock-report")]
mod holds {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use registry::{Registry, take_holds};

    use super::{KINDS, OTHERS, ROUND, ROUNDS, fast, filled, open_and_close};

    /// The parts of a table, of which one is locked at a time.
    const PARTS: u128 = 16;
    /// The lanes of the event stream, of which each thread has one.
    const LANES: u128 = 8;

    pub(super) fn print() {
        println!();
        println!("the holds of an open and a close beside others");
        println!(
            "other opens | kind           | lock                       | holds | together | parts | full at"
        );
        for others in OTHERS {
            for (kind, prepare) in KINDS {
                let (world, clients) = filled(others);
                let now = world.now;
                let registry = Registry::new(world.state, || {});
                let mut rounds: BTreeMap<&str, (u32, Vec<Duration>)> = BTreeMap::new();
                for _ in 0..ROUNDS {
                    take_holds();
                    (0..ROUND).for_each(|number| open_and_close(&registry, clients[0], number, prepare, now));
                    for (lock, held) in take_holds() {
                        let (count, times) = rounds.entry(lock).or_default();
                        *count = held.count / u32::try_from(ROUND).unwrap_or(1);
                        times.push(held.time);
                    }
                }
                for (lock, (holds, times)) in rounds {
                    let parts = match lock {
                        _ if lock.starts_with("a part") => PARTS,
                        _ if lock.starts_with("a lane") => LANES,
                        // These are shared.
                        _ => continue,
                    };
                    let time = fast(times).as_nanos();
                    let full = 1_000_000_000 * parts / time.max(1);
                    println!(
                        "{others:>11} | {kind:<14} | {lock:<26} | {holds:>5} | {time:>5} ns | {parts:>5} | {full:>9}"
                    );
                }
            }
        }
    }
}

/// The time of an open and of a close under the whole lock.
fn alone(world: &mut World, client: Client, prepare: Prepare) -> (Duration, Duration) {
    let (mut opens, mut closes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut opening, mut closing) = (Duration::ZERO, Duration::ZERO);
        for file in 0..ROUND {
            let request = prepare(world.request(client, file), file);
            let begun = Instant::now();
            let attach = |granted: &GrantedOpen| u64::from(granted.global_id.value());
            let (admission, effects) = world.state.admit(request, attach, world.now);
            opening += begun.elapsed();
            drop(effects);
            let Admission::Granted(granted) = admission else { panic!("refused") };
            if granted.durable.is_some() {
                world.state.forget_replay(granted.global_id);
            }
            let begun = Instant::now();
            let closed = world.state.close_open(granted.file_id, CloseReason::ClientClose, world.now);
            closing += begun.elapsed();
            drop(closed.expect("an open"));
        }
        opens.push(opening);
        closes.push(closing);
    }
    (fast(opens), fast(closes))
}
