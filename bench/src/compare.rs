//! A run against an earlier one of which `--json` kept the figures.

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use crate::measure::{Outcome, Round};
use crate::report::median;

/// The part of an earlier run's file that is compared.
#[derive(Debug, Deserialize)]
struct Earlier {
    peer: String,
    cases: Vec<EarlierCase>,
}

#[derive(Debug, Deserialize)]
struct EarlierCase {
    name: String,
    rounds: Vec<Round>,
}

/// A table of the processor time of each case, now and then, as ratios to the peer of the same run: that ratio does not
/// depend on the machine's other work as much as the times do. An error names the file and the reason.
pub(crate) fn markdown(outcomes: &[Outcome], path: &Path, peer: &str) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    let earlier: Earlier = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    if earlier.peer != peer {
        return Err(wrong(&format!("the peer was {}, and is {peer} now", earlier.peer)));
    }
    let mut table = String::from(
        "\nCPU ratio now and in the earlier run:\n\n| case | earlier | now | change |\n|---|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        let before = earlier.cases.iter().find(|case| case.name == outcome.name);
        let (before, now) = (before.and_then(|case| ratio(&case.rounds)), ratio(&outcome.rounds));
        let shown = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        let change = before.zip(now).map_or_else(
            || "-".into(),
            |(before, now)| {
                let change = (now / before - 1.0) * 100.0;
                let mark = if change > NOTABLE { " more" } else { "" };
                format!("{change:+.0} %{mark}")
            },
        );
        writeln!(table, "| {} | {} | {} | {change} |", outcome.name, shown(before), shown(now)).ok();
    }
    Ok(table)
}

/// Percent of a change that is marked: less than this is noise on a machine with other work.
const NOTABLE: f64 = 10.0;

fn ratio(rounds: &[Round]) -> Option<f64> {
    median(rounds.iter().filter_map(Round::cpu_ratio))
}
