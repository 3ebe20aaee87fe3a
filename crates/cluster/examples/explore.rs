//! Runs many schedules of the simulator, and prints those that break an invariant.
//!
//! Arguments: `locks` or `time`, the first seed, the number of seeds, and the name of a wrong of `simulator::WRONGS`. A single
//! schedule is traced to standard error.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::time::Duration;

use cluster::simulator::{Scenario, Schedule, WRONGS, run};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|it| it.parse::<u64>().ok());
    let mut scenario = match arguments.first().map(String::as_str) {
        Some("time") => Scenario::with_time_alone(),
        _ => Scenario::with_locks(),
    };
    if let Some(name) = arguments.get(3) {
        let Some((_, change)) = WRONGS.iter().find(|it| it.0 == name) else {
            println!("there is no wrong of that name");
            std::process::exit(2);
        };
        change(&mut scenario);
    }
    let (first, count) = (number(1).unwrap_or(0), number(2).unwrap_or(100));
    scenario.trace = count == 1;
    // Most schedules are over soon, and the gates are looked at beside the writes.
    (scenario.quiet, scenario.pace) = (Duration::from_secs(8), 2);
    let (mut broken, mut worst, mut events) = (0_u64, (Duration::ZERO, 0), 0);
    let (mut hooks, mut raises, mut writes, mut handovers) = (0, 0, 0, 0);
    for seed in first..first.saturating_add(count) {
        if seed > first && (seed - first).is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{} schedules, {broken} broken", seed - first);
        }
        match run(&scenario, &Schedule::from_seed(seed, &scenario.faults)) {
            Ok(summary) => {
                events += summary.events;
                hooks += summary.hooks;
                raises += summary.raises;
                writes += summary.writes;
                handovers += summary.handovers;
                worst = worst.max((summary.recovery, seed));
            }
            Err(violation) => {
                broken += 1;
                if broken <= 10 {
                    println!("seed {seed}: {violation}");
                }
            }
        }
    }
    println!(
        "{count} schedules, {broken} broken; slowest recovery {:?} with seed {}; {events} events, {writes} writes, \
         {handovers} handovers, {hooks} runs of the hook, {raises} raised generations",
        worst.0, worst.1
    );
    std::process::exit(i32::from(broken > 0));
}

/// Many schedules take minutes.
const PROGRESS_EVERY: u64 = 10_000;
