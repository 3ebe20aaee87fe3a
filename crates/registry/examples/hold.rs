//! Measures the time for which an open and a close hold the registry's lock, and so the opens a second that fill it.
//!
//! `cargo run --release -p shareward-registry --features testing --example hold`
//!
//! The server holds the lock once for a CREATE and once for a CLOSE. What it attaches to an open under the lock, and the
//! wait for the lock, are not in these numbers: `--features shareward-registry/lock-report` shows the holds of a server.
#![expect(clippy::print_stdout, reason = "the result")]

use std::time::{Duration, Instant};

use registry::testing::world::{Client, World, lease};
use registry::{Admission, AdmitRequest, CloseReason, GrantedOpen};
use wire::{LeaseState, OplockLevel};

/// The opens that are measured at a time.
const ROUND: u64 = 1_000;
/// The rounds; the fastest tenth and the slowest tenth do not count.
const ROUNDS: usize = 200;

fn main() {
    println!("other opens | kind           | open      | close     | opens a second that fill the lock");
    for others in [0, 10_000, 100_000] {
        let mut world = World::new();
        let clients: Vec<_> = (1..=20).map(|number| world.client(number)).collect();
        for (number, client) in (0..others).zip(clients.iter().cycle()) {
            let request = world.request(*client, 1_000_000 + number);
            grant(&mut world, request).0.expect("another open");
        }
        for (kind, prepare) in KINDS {
            let (open, close) = measured(&mut world, clients[0], prepare);
            let (open, close) = (open.as_nanos(), close.as_nanos());
            let full = Duration::from_secs(1).as_nanos() / (open + close).max(1);
            println!("{others:>11} | {kind:<14} | {open:>6} ns | {close:>6} ns | {full:>9}");
        }
    }
}

type Prepare = fn(AdmitRequest, u64) -> AdmitRequest;

const KINDS: [(&str, Prepare); 3] = [
    ("no caching", |request, _| request),
    ("batch oplock", |request, _| AdmitRequest { oplock: OplockLevel::BATCH, ..request }),
    ("lease RWH", |request, file| {
        let key = u8::try_from(file % 250 + 1).unwrap_or(1);
        AdmitRequest { oplock: OplockLevel::LEASE, lease: lease(key, LeaseState(7)), ..request }
    }),
];

/// The typical time of an open and of a close.
fn measured(world: &mut World, client: Client, prepare: Prepare) -> (Duration, Duration) {
    let (mut opens, mut closes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut opening, mut closing) = (Duration::ZERO, Duration::ZERO);
        for file in 0..ROUND {
            let request = prepare(world.request(client, file), file);
            let (granted, time) = grant(world, request);
            opening += time;
            let Some(granted) = granted else { panic!("refused") };
            let begun = Instant::now();
            let closed = world.state.close_open(granted.file_id, CloseReason::ClientClose, world.now);
            closing += begun.elapsed();
            drop(closed.expect("an open"));
        }
        opens.push(opening);
        closes.push(closing);
    }
    (typical(opens), typical(closes))
}

/// Opens a file, without the checks that the tests make after each step.
fn grant(world: &mut World, request: AdmitRequest) -> (Option<GrantedOpen>, Duration) {
    let begun = Instant::now();
    let attach = |granted: &GrantedOpen| u64::from(granted.global_id.value());
    let (admission, effects) = world.state.admit(request, attach, world.now);
    let time = begun.elapsed();
    drop(effects);
    match admission {
        Admission::Granted(granted) => (Some(granted), time),
        _ => (None, time),
    }
}

/// The mean of the middle eight tenths of the rounds, for one open.
fn typical(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    let tenth = rounds.len() / 10;
    let middle = &rounds[tenth..rounds.len() - tenth];
    let sum: Duration = middle.iter().sum();
    sum / u32::try_from(middle.len()).unwrap_or(1) / u32::try_from(ROUND).unwrap_or(1)
}
