//! Schedules of faults.

use super::random::Random;

/// The faults of a run, and the seed of all else that is random in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The seed of delays, rates of clocks and losses.
    pub seed: u64,
    /// The faults, in order.
    pub steps: Vec<Step>,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time since the step before, in milliseconds.
    pub after_ms: u64,
    /// The fault.
    pub fault: Fault,
    /// The node or share that it concerns, by its number, modulo the number of these.
    pub object: usize,
    /// The time that it lasts, in milliseconds.
    pub lasts_ms: u64,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answers of etcd to a node are lost.
    AnswersLost,
    /// The link between a node and etcd is cut.
    Cut,
    /// etcd's history is compacted.
    Compact,
    /// A process is killed and started again afterwards.
    Crash,
    /// An administrator drains a node for that time.
    Drain,
    /// etcd ends the lease of a node before its time, as a deposed leader can.
    EarlyEnd,
    /// Somebody deletes the owner key of a share.
    OwnerDeleted,
    /// Somebody writes nonsense into a key.
    Hostile,
    /// An administrator lets a node leave; it is started again afterwards.
    Leave,
    /// etcd has no majority.
    MajorityLost,
    /// An administrator moves a share.
    Move,
    /// A node does not run.
    Pause,
    /// The requests of a node to etcd are lost.
    RequestsLost,
    /// etcd is restored from a backup that was made when the run began, or at the last restoration.
    Restore,
    /// A node's requests and answers are slow.
    Slow,
    /// A node needs long to stop shares.
    SlowStop,
    /// A node cannot use the storage of any share.
    StorageFails,
    /// A node's watch brings nothing.
    WatchStalls,
    /// The clock of a node jumps ahead, by the time that the fault lasts.
    ClockAhead,
    /// The clock of a node is set back, by the time that the fault lasts.
    ClockBack,
}

/// All kinds. New ones are at the end: a seed chooses by place.
pub const FAULTS: &[Fault] = &[
    Fault::AnswersLost,
    Fault::Cut,
    Fault::Compact,
    Fault::Crash,
    Fault::Drain,
    Fault::EarlyEnd,
    Fault::OwnerDeleted,
    Fault::Hostile,
    Fault::Leave,
    Fault::MajorityLost,
    Fault::Move,
    Fault::Pause,
    Fault::RequestsLost,
    Fault::Restore,
    Fault::Slow,
    Fault::SlowStop,
    Fault::StorageFails,
    Fault::WatchStalls,
    Fault::ClockAhead,
    Fault::ClockBack,
];

impl Schedule {
    /// The schedule of a seed, of faults of these kinds.
    pub fn from_seed(seed: u64, faults: &[Fault]) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let count = random.between(3, 20);
        let steps = (0..count)
            .map(|_| Step {
                after_ms: random.below(2_500),
                fault: faults
                    .get(random.below(faults.len() as u64) as usize)
                    .copied()
                    .unwrap_or(Fault::Compact),
                object: usize::from(random.any() as u8),
                lasts_ms: random.between(50, 6_000),
            })
            .collect();
        Self { seed, steps }
    }

    /// The schedule that the bytes of a fuzzer stand for: a seed of two bytes, then four for each step.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (seed, rest) = bytes.split_at(bytes.len().min(2));
        let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let (steps, _) = rest.as_chunks::<4>();
        let steps = steps.iter().take(STEPS_MAX).map(|[after, fault, object, lasts]| Step {
            after_ms: u64::from(*after) * 10,
            fault: FAULTS.get(usize::from(*fault) % FAULTS.len()).copied().unwrap_or(Fault::Cut),
            object: usize::from(*object),
            lasts_ms: 50 + u64::from(*lasts) * 24,
        });
        Self { seed, steps: steps.collect() }
    }
}

/// More only make a case slow.
const STEPS_MAX: usize = 24;
