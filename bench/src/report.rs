//! The report, for people and for programs.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::measure::{Figure, Outcome, Round};
use crate::options::Options;

/// A table of all cases.
pub(crate) fn markdown(outcomes: &[Outcome], options: &Options) -> String {
    let peer = options.peer();
    let mut text = format!(
        "{} rounds of {:.1} s each, {} connections, {} threads of the load generator, {} processors; SMB 3.1.1, \
         signed with AES-GMAC, sealed with AES-128-GCM{}.\n\n\
         | case | shareward | {peer} | ratio (min..max) | CPU of shareward | of {peer} | CPU ratio (min..max) | goal |\n\
         |---|---:|---:|---:|---:|---:|---:|---|\n",
        options.rounds,
        options.load.as_secs_f64(),
        options.connections,
        options.threads,
        std::thread::available_parallelism().map_or(1, usize::from),
        if options.against.is_some() { "" } else { "; smbd: sendfile and aio, no VFS modules" },
    );
    let (mut notes, mut waited, mut quiet) = (String::new(), String::new(), String::new());
    for outcome in outcomes {
        if quiet_row(outcome, &mut quiet) {
            continue;
        }
        row(outcome, options, &mut text);
        waits(outcome, peer, &mut waited);
        for error in &outcome.errors {
            write!(notes, "\n- {}: {error}", outcome.name).ok();
        }
    }
    writeln!(
        text,
        "\nA ratio is ours divided by that of {peer} in the same round; the table has the median of the rounds. Higher \
         rates are better, and less memory and processor time. The goals are half of the processor time of Samba, or the least \
         that moves the bytes, and its rate.",
    )
    .ok();
    text.push_str(&waited);
    text.push_str(&limits(outcomes));
    if !quiet.is_empty() {
        write!(
            text,
            "\nMilliseconds that a READ of 4 KiB of a quiet client takes, with {} other connections (median of the rounds):\n\n\
             | case | shareward p50 | p99 | p99.9 | {peer} p50 | p99 | p99.9 | goal |\n\
             |---|---:|---:|---:|---:|---:|---:|---|\n{quiet}",
            options.clients(),
        )
        .ok();
    }
    text.push_str(&big_directories(outcomes, peer));
    text.push_str(&persistent_handles(outcomes, peer));
    if !notes.is_empty() {
        write!(text, "\nWhat failed:\n{notes}\n").ok();
    }
    text
}

/// Writes all figures as JSON and returns the path.
pub(crate) fn write_json(outcomes: &[Outcome], options: &Options) -> std::io::Result<PathBuf> {
    #[derive(Serialize)]
    struct Document<'a> {
        rounds: usize,
        seconds: f64,
        connections: usize,
        threads: usize,
        peer: &'a str,
        cases: &'a [Outcome],
    }
    let path = options.json.clone().unwrap_or_else(|| default_path("bench.json"));
    let document = Document {
        rounds: options.rounds,
        seconds: options.load.as_secs_f64(),
        connections: options.connections,
        threads: options.threads,
        peer: options.peer(),
        cases: outcomes,
    };
    std::fs::write(&path, serde_json::to_vec_pretty(&document)?)?;
    Ok(path)
}

/// A file of the build directory: the running program is in `target/release` or the like.
pub(crate) fn default_path(name: &str) -> PathBuf {
    let target =
        std::env::current_exe().ok().and_then(|program| Some(program.parent()?.parent()?.to_path_buf()));
    target.unwrap_or_default().join(name)
}

fn row(outcome: &Outcome, options: &Options, text: &mut String) {
    let ours = |round: &Round| round.shareward;
    let peer = |round: &Round| round.peer;
    let values = |of: &dyn Fn(&Round) -> Option<Figure>| {
        spread(outcome.rounds.iter().filter_map(|round| Some(of(round)?.value())))
    };
    let cpus = |of: &dyn Fn(&Round) -> Option<Figure>| {
        spread(outcome.rounds.iter().filter_map(|round| of(round)?.cpu_micros()))
    };
    let ratios = spread(outcome.rounds.iter().filter_map(Round::ratio));
    let cpu_ratios = spread(outcome.rounds.iter().filter_map(Round::cpu_ratio));
    let is_memory = outcome
        .rounds
        .iter()
        .any(|round| matches!(round.shareward.or(round.peer), Some(Figure::Memory { .. })));
    let per = if is_memory { format!("KiB/{}", outcome.unit) } else { format!("{}/s", outcome.unit) };
    let rate = |spread: Option<Spread>| {
        spread.map_or_else(|| "-".into(), |spread| format!("{} {per}", significant(spread.median)))
    };
    let cpu = |spread: Option<Spread>| {
        let shown = |spread: Spread| format!("{} us/{}", significant(spread.median), outcome.unit);
        spread.map_or_else(|| "-".into(), shown)
    };
    let ratio = |spread: Option<Spread>| {
        let digits = |s: Spread| if s.median < 0.1 { 3 } else { 2 };
        let shown = |s: Spread| format!("{:.3$} ({:.3$}..{:.3$})", s.median, s.min, s.max, digits(s));
        spread.map_or_else(|| "-".into(), shown)
    };
    let is_bound = |of: &dyn Fn(&Round) -> Option<Figure>| {
        outcome.rounds.iter().filter_map(of).any(|figure| figure.is_given_up())
    };
    let bound = |is_bound: bool, sign: &'static str| if is_bound { sign } else { "" };
    let (ours_is, peer_is) = (is_bound(&ours), is_bound(&peer));
    writeln!(
        text,
        "| {} | {}{} | {}{} | {}{} | {} | {} | {} | {} |",
        outcome.name,
        bound(ours_is, "< "),
        rate(values(&ours)),
        bound(peer_is, "< "),
        rate(values(&peer)),
        bound(peer_is && !ours_is, "> "),
        ratio(ratios),
        cpu(cpus(&ours)),
        cpu(cpus(&peer)),
        ratio(cpu_ratios),
        if options.against.is_none() && !is_memory { goal(outcome, ratios, cpu_ratios) } else { "" },
    )
    .ok();
}

/// Adds the waits of a quiet client; returns false if the outcome is another one.
fn quiet_row(outcome: &Outcome, text: &mut String) -> bool {
    let waits = |of: &dyn Fn(&Round) -> Option<Figure>| -> [Option<f64>; 3] {
        let part = |pick: &dyn Fn([f64; 3]) -> f64| {
            median(outcome.rounds.iter().filter_map(|round| match of(round)? {
                Figure::Waits { p50_ms, p99_ms, p999_ms, .. } => Some(pick([p50_ms, p99_ms, p999_ms])),
                _ => None,
            }))
        };
        [part(&|[p50, _, _]| p50), part(&|[_, p99, _]| p99), part(&|[_, _, p999]| p999)]
    };
    let (ours, peer) = (waits(&|round| round.shareward), waits(&|round| round.peer));
    if ours.iter().chain(&peer).all(Option::is_none) {
        return false;
    }
    let cells = |waits: [Option<f64>; 3]| {
        waits.map(|wait| wait.map_or_else(|| "-".into(), |wait| format!("{wait:.2}"))).join(" | ")
    };
    let [_, p99, _] = ours;
    let goal = if p99.is_some_and(|p99| p99 <= QUIET_P99_MAX_MS) { "met" } else { "missed" };
    writeln!(text, "| {} | {} | {} | {goal} |", outcome.name, cells(ours), cells(peer)).ok();
    true
}

/// The goal for 99 of 100 READs of a quiet client.
const QUIET_P99_MAX_MS: f64 = 5.0;

/// The goals beside Samba: half of its processor time, and never a lower rate. "least" means that half of Samba's is less
/// than what moving the bytes takes, and that we take no more than [`LIMIT_RATIO_MAX`] times that.
fn goal(outcome: &Outcome, ratios: Option<Spread>, cpu_ratios: Option<Spread>) -> &'static str {
    let (Some(ratio), Some(cpu)) = (ratios, cpu_ratios) else { return "" };
    let limit = median(outcome.rounds.iter().filter_map(Round::limit_ratio));
    let is_least = limit.is_some_and(|it| it <= LIMIT_RATIO_MAX && cpu.median / it >= CPU_RATIO_MAX);
    match (cpu.median <= CPU_RATIO_MAX, is_least, ratio.median >= 1.0) {
        (true, _, true) => "met",
        (false, true, true) => "least",
        (true, _, false) => "rate missed",
        (false, true, false) => "least, rate missed",
        (false, false, true) => "CPU missed",
        (false, false, false) => "CPU and rate missed",
    }
}

/// The goal for our processor time per unit, as part of Samba's.
pub(crate) const CPU_RATIO_MAX: f64 = 0.5;

/// The goal for our processor time per byte, as a multiple of the least that moves it.
const LIMIT_RATIO_MAX: f64 = 1.3;

/// A table of transfers beside the least that moves the same bytes.
fn limits(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let Some(ratio) = spread(outcome.rounds.iter().filter_map(Round::limit_ratio)) else { continue };
        let cpu = |of: &dyn Fn(&Round) -> Option<Figure>| {
            let median = median(outcome.rounds.iter().filter_map(|round| of(round)?.cpu_micros()));
            median.map_or_else(|| "-".into(), |micros| format!("{} us/{}", significant(micros), outcome.unit))
        };
        let missed = if ratio.median > LIMIT_RATIO_MAX { ", above the goal" } else { "" };
        writeln!(
            text,
            "| {} | {} | {} | {:.2} ({:.2}..{:.2}){missed} |",
            outcome.name,
            cpu(&|round| round.shareward),
            cpu(&|round| round.limit),
            ratio.median,
            ratio.min,
            ratio.max,
        )
        .ok();
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\nProcessor time beside the least that moves the same bytes (sendfile, or pread and send, recv and pwrite, with \
         AES-GMAC or AES-GCM):\n\n| case | CPU of shareward | least | ratio (min..max) |\n|---|---:|---:|---:|\n{text}"
    )
}

/// The rates in big directories as parts of those in an empty one, or with one entry.
fn big_directories(outcomes: &[Outcome], peer: &str) -> String {
    let rate = |name: &str, of: &dyn Fn(&Round) -> Option<Figure>| rate(outcomes, name, of);
    let mut text = String::new();
    for Outcome { name, .. } in outcomes.iter().filter(|outcome| outcome.name.starts_with("big-directory-")) {
        let Some((act, size)) = name.rsplit_once('-').filter(|(_, size)| !matches!(*size, "0" | "1")) else {
            continue;
        };
        // The first answer of a listing has as many entries as fit, and one entry is less work.
        if act == "big-directory-first" {
            continue;
        }
        let part = |of: &dyn Fn(&Round) -> Option<Figure>| {
            let empty = rate(&format!("{act}-0"), of).or_else(|| rate(&format!("{act}-1"), of))?;
            Some(rate(name, of)? / empty)
        };
        let (Some(ours), others) = (part(&|round| round.shareward), part(&|round| round.peer)) else {
            continue;
        };
        let others = others.map_or_else(|| "-".into(), |part| format!("{part:.3}"));
        let missed = if ours < EMPTY_PART_MIN { ", below the goal" } else { "" };
        writeln!(text, "| {act} | {size} | {ours:.3}{missed} | {others} |").ok();
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\nRates in big directories, as parts of those in an empty one:\n\n\
         | operation | entries | shareward | {peer} |\n|---|---:|---:|---:|\n{text}"
    )
}

/// The median rate of a case.
fn rate(outcomes: &[Outcome], name: &str, of: &dyn Fn(&Round) -> Option<Figure>) -> Option<f64> {
    let outcome = outcomes.iter().find(|outcome| outcome.name == name)?;
    median(outcome.rounds.iter().filter_map(|round| Some(of(round)?.value())))
}

/// The rates with persistent handles as parts of those without.
fn persistent_handles(outcomes: &[Outcome], peer: &str) -> String {
    let part = |of: &dyn Fn(&Round) -> Option<Figure>| {
        let part = rate(outcomes, "durable-continuous", of)? / rate(outcomes, "durable", of)?;
        Some(format!("{part:.3}"))
    };
    match (part(&|round| round.shareward), part(&|round| round.peer)) {
        (Some(ours), Some(peers)) => format!(
            "\nWith persistent handles, files are opened at this part of the rate without: shareward {ours}, {peer} {peers}.\n"
        ),
        _ => String::new(),
    }
}

/// The goal for rates in big directories.
const EMPTY_PART_MIN: f64 = 0.5;

/// Adds the longest waits of another client, if they were measured.
fn waits(outcome: &Outcome, name: &str, text: &mut String) {
    let longest = |of: &dyn Fn(&Round) -> Option<Figure>| {
        spread(outcome.rounds.iter().filter_map(|round| of(round)?.longest_wait_ms())).map_or_else(
            || "-".into(),
            |spread| format!("{} ms (to {})", significant(spread.median), significant(spread.max)),
        )
    };
    if outcome.rounds.iter().any(|round| round.shareward.is_some_and(|it| it.longest_wait_ms().is_some())) {
        writeln!(
            text,
            "\n{}: a READ of another client took at most {} on shareward, {} on {name}.",
            outcome.name,
            longest(&|round| round.shareward),
            longest(&|round| round.peer),
        )
        .ok();
    }
}

/// The median and the range of figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The median of the figures, as [`spread`] has it.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    spread(figures).map(|spread| spread.median)
}

/// The spread of the figures; those that are not numbers, because the divisor was zero, do not count.
pub(crate) fn spread(figures: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = figures.filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (*sorted.get((sorted.len() - 1) / 2)?, *sorted.get(sorted.len() / 2)?);
    Some(Spread { median: f64::midpoint(low, high), min, max })
}

/// Three digits that matter.
pub(crate) fn significant(figure: f64) -> String {
    let decimals = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_have_a_middle() {
        assert_eq!(spread([].into_iter()), None);
        let odd = spread([3.0, f64::NAN, 1.0, 9.0].into_iter()).unwrap();
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 3.0, 9.0));
        assert_eq!(spread([1.0, 2.0].into_iter()).unwrap().median, 1.5);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([1234.56, 45.67, 0.128].map(significant), ["1235", "45.7", "0.13"]);
    }
}
