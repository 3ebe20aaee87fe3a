//! The report of a soak.

use std::collections::BTreeMap;
use std::fmt;

/// The checks of all rounds, the statuses that clients got, and the findings.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) checks: BTreeMap<String, (usize, usize)>,
    pub(crate) told: BTreeMap<String, u64>,
    pub(crate) findings: Vec<String>,
    pub(crate) skipped: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) slots: usize,
    pub(crate) seed: u64,
}

impl Report {
    /// Notes a check.
    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        let (passed, failed) = self.checks.entry(what.to_owned()).or_default();
        *(if holds { passed } else { failed }) += 1;
    }

    /// The number of checks that passed.
    pub fn passed(&self) -> usize {
        self.checks.values().map(|(passed, _)| passed).sum()
    }

    /// The number of checks that failed.
    pub fn failed(&self) -> usize {
        self.checks.values().map(|(_, failed)| failed).sum()
    }

    /// The skipped parts, with reasons.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, {} rounds, {} acknowledged blocks checked",
            self.seed, self.rounds, self.slots
        )?;
        for (what, times) in &self.told {
            writeln!(f, "{times:10} {what}")?;
        }
        for reason in &self.skipped {
            writeln!(f, "skipped: {reason}")?;
        }
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        for (what, (passed, failed)) in &self.checks {
            writeln!(f, "{what:14}{passed:6} passed {failed:4} failed")?;
        }
        write!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}
