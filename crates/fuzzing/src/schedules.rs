//! The ownership of shares in a cluster, under schedules of faults.

use cluster::simulator::{Scenario, Schedule, run};

/// A schedule of faults, with storages that have locks, or that have none.
pub fn schedules(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let scenario = if kind % 2 == 0 { Scenario::with_locks() } else { Scenario::with_time_alone() };
    let mut schedule = Schedule::from_bytes(rest);
    // Without locks, some faults are outside of what the protocol promises to survive.
    schedule.steps.retain(|step| scenario.faults.contains(&step.fault));
    if let Err(violation) = run(&scenario, &schedule) {
        panic!("{violation}");
    }
}
