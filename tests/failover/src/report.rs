//! The report of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The work of the clients, the answers that they got, and the findings.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) seed: u64,
    pub(crate) fences: bool,
    pub(crate) rounds: u64,
    pub(crate) records: u64,
    pub(crate) increments: u64,
    pub(crate) read: usize,
    /// From the end of each round's last fault until all clients have worked again.
    pub(crate) back: Vec<Duration>,
    pub(crate) told: BTreeMap<String, u64>,
    pub(crate) findings: Vec<String>,
}

impl Report {
    /// True if nothing was found.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fence = if self.fences { "with" } else { "without" };
        writeln!(f, "seed {}, {} rounds of faults {fence} a fence_command", self.seed, self.rounds)?;
        for (what, times) in &self.told {
            writeln!(f, "{times:8} {what}")?;
        }
        writeln!(
            f,
            "{} records written and flushed, {} slots read, {} increments under a lock",
            self.records, self.read, self.increments
        )?;
        writeln!(f, "all clients work again after the last fault: {}", Times(&self.back))?;
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        write!(f, "{} findings", self.findings.len())
    }
}

/// Times, shown by their number, median and largest.
pub(crate) struct Times<'a>(pub(crate) &'a [Duration]);

impl fmt::Display for Times<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.to_vec();
        sorted.sort_unstable();
        match (sorted.get(sorted.len() / 2), sorted.last()) {
            (Some(median), Some(worst)) => write!(
                f,
                "median {:.3} s, worst {:.3} s of {}",
                median.as_secs_f64(),
                worst.as_secs_f64(),
                sorted.len()
            ),
            _ => f.write_str("never"),
        }
    }
}
