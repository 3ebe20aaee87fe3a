//! A soak test: many clients work at random with one real server, while administrators, cables, disks and signals
//! disturb them, and the results are checked afterwards.
//!
//! A soak has rounds. In each, clients of all kinds ([`Kind`]) work for a while, disturbed by some troubles; then all
//! clients leave, and these checks follow: every acknowledged byte is in place, the registry is empty, no descriptor
//! and no memory is left over, no client got an error that the specifications do not allow in the circumstances, and
//! the server's log contains neither panics nor errors. All random choices derive from one seed; only the order of
//! concurrent events varies.
#![forbid(unsafe_code)]

mod allowed;
mod clients;
mod ledger;
mod mounts;
mod options;
mod report;
mod rest;
mod trouble;
mod victims;
mod world;

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use allowed::{TROUBLES, Trouble};
use testkit::Random;
use world::{World, lock};

pub use options::{Kind, Options};
pub use report::Report;

/// Runs a soak to its end.
pub fn run(options: &Options) -> Report {
    let started = Instant::now();
    let mut report = Report { seed: options.seed, ..Report::default() };
    let mut kinds = Vec::new();
    for kind in &options.clients {
        match clients::lacks(*kind) {
            None => kinds.push(*kind),
            Some(missing) => report.skipped.push(format!("{kind:?}: not available here: {missing}")),
        }
    }
    let world = Arc::new(World::start(options.seed));
    if world.small.is_none() {
        report.skipped.push("full disks: only root can mount a small one".into());
    }
    let mut idle = rest::Idle::of(&world);
    let mut random = Random::new(options.seed, 0xffff);
    while report.rounds == 0 || started.elapsed() < options.length {
        let mut troubles = troubles(report.rounds, &mut random);
        if options.one_server {
            troubles.retain(|it| !matches!(it, Trouble::RestartServer | Trouble::KillServer));
        }
        eprintln!("[{:6.0} s] round {} {troubles:?}", started.elapsed().as_secs_f64(), report.rounds);
        world.begin(report.rounds, troubles);
        let before = world.found();
        let clients = clients::start(&world, &kinds);
        let disturbers = trouble::start(&world);
        thread::sleep(options.round);
        world.end();
        for thread in disturbers.into_iter().chain(clients) {
            if thread.join().is_err() {
                world.finding("soak", "a thread of its own panicked");
            }
        }
        report.check("clients", world.found() == before);
        rest::check(&world, &mut idle, &mut report);
        report.slots += world.ledgers().iter().map(|(_, ledger)| lock(ledger).slots()).sum::<usize>();
        report.rounds += 1;
    }
    rest::check_finally(&world, &idle, &mut report);
    report.told = world.told();
    report.findings = world.findings();
    report
}

/// The troubles of a round: none, then each by itself, then some together.
fn troubles(round: usize, random: &mut Random) -> Vec<Trouble> {
    match round {
        0 => Vec::new(),
        1..=9 => vec![TROUBLES[round - 1]],
        _ => TROUBLES.into_iter().filter(|_| random.once_in(3)).collect(),
    }
}
