//! `--full-load MINUTES`: the memory of our server while loads of all kinds run as fast as they can. It must be as much
//! at the end as it was when the server was warm.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::smb::Error;
use testkit::Shareward;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::cases::{self, Case};
use crate::options::{Mode, Options};
use crate::process::{cpu_seconds, memory};
use crate::report::median;
use crate::servers::{Target, setup};
use crate::{data, load, progress, say};

/// The loads that run at the same time.
const LOADS: &[&str] = &[
    "read-64k-32",
    "read-1m-8-sealed",
    "write-1m-8-signed",
    "random-write-4k-32",
    "open-read-close",
    "open-read-close-compound",
    "create-write-close",
    "stat",
    "list",
    "explorer",
    "logon",
    "lease-break",
];

/// The time after which a load begins anew, with new connections.
const SLICE: Duration = Duration::from_secs(5);

/// Between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The part of the time in which the server becomes warm: pools fill, and each thread of its allocator has been busy.
const WARM_PART: u32 = 5;

/// The part of the rest that is compared: its begin with its end.
const COMPARED_PART: usize = 4;

/// The most that the end may be above the begin, as a factor.
const GROWTH_MAX: f64 = 1.1;

/// Runs the loads and prints. Fails if the memory grows, or if a load fails.
pub(crate) fn main(options: &Options, runtime: &Runtime) -> ExitCode {
    match runtime.block_on(measure(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            say(&format!("no full load: {reason}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<bool, String> {
    let Mode::FullLoad { minutes } = options.mode else { return Err("for how long?".into()) };
    let length = Duration::from_secs(60 * minutes as u64);
    let tree = data::make(&options.directory, 1).map_err(|error| error.to_string())?;
    let server = Shareward::start(&setup(tree.path(), options));
    let target = Target::alone(&server, tree.path());
    let (begun, cpu) = (Instant::now(), cpu_seconds(&target));
    let idle = look(&target, begun);
    say("| after | resident | descriptors | threads |\n|---:|---:|---:|---:|");
    say(&idle.row());
    let until = begun + length;
    let loads = load_fully(&target, options, until);
    let mut looks: Vec<Look> = Vec::new();
    while Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
        let now = look(&target, begun);
        // A row a minute.
        let minute = |look: &Look| look.after.as_secs() / 60;
        if looks.last().is_none_or(|last| minute(last) != minute(&now)) {
            say(&now.row());
        }
        looks.push(now);
    }
    let cpu = cpu_seconds(&target) - cpu;
    let failed = failures(loads).await;
    say(&look(&target, begun).row());
    failed.iter().for_each(|reason| say(reason));
    let is_flat = judge(&looks, length);
    let seconds = length.as_secs_f64();
    say(&format!("The server used {:.0} % of a processor.", cpu / seconds * 100.0));
    Ok(is_flat && failed.is_empty())
}

/// Starts all loads; each begins anew until the time is up.
fn load_fully(target: &Target, options: &Options, until: Instant) -> JoinSet<Result<f64, String>> {
    let mut loads = JoinSet::new();
    for case in cases::all().iter().filter(|case| LOADS.contains(&case.name)) {
        let (target, options) = (target.clone(), Options { connections: 1, ..options.clone() });
        loads.spawn(async move { again_and_again(case, &target, &options, until).await });
    }
    loads
}

async fn again_and_again(
    case: &Case,
    target: &Target,
    options: &Options,
    until: Instant,
) -> Result<f64, String> {
    let mut units = 0.0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            progress(&format!("  {}: {units:.0} {}", case.name, case.unit));
            return Ok(units);
        }
        let slice = load::run(case, target, options, SLICE.min(left)).await;
        units +=
            slice.map_err(|error: Error| format!("{}: {error}", case.name))?.value() * SLICE.as_secs_f64();
    }
}

async fn failures(mut loads: JoinSet<Result<f64, String>>) -> Vec<String> {
    let mut failed = Vec::new();
    while let Some(load) = loads.join_next().await {
        match load {
            Ok(Ok(_)) => {}
            Ok(Err(reason)) => failed.push(reason),
            Err(error) => failed.push(error.to_string()),
        }
    }
    failed
}

/// The server at a time.
#[derive(Clone, Copy, Debug)]
struct Look {
    after: Duration,
    resident_kib: f64,
    descriptors: usize,
    threads: usize,
}

fn look(target: &Target, begun: Instant) -> Look {
    let count =
        |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", target.pid)).map_or(0, Iterator::count);
    Look {
        after: begun.elapsed(),
        resident_kib: memory(target).rss,
        descriptors: count("fd"),
        threads: count("task"),
    }
}

impl Look {
    fn row(&self) -> String {
        let Self { after, resident_kib, descriptors, threads } = self;
        format!("| {} s | {resident_kib:.0} KiB | {descriptors} | {threads} |", after.as_secs())
    }
}

/// Compares the begin of the warm time with its end, says so, and returns true if the memory did not grow.
fn judge(looks: &[Look], length: Duration) -> bool {
    let warm: Vec<f64> =
        looks.iter().filter(|look| look.after > length / WARM_PART).map(|look| look.resident_kib).collect();
    let compared = (warm.len() / COMPARED_PART).max(1);
    let begin = median(warm.iter().copied().take(compared));
    let end = median(warm.iter().copied().rev().take(compared));
    let Some((begin, end)) = begin.zip(end) else {
        say("\nThe time is too short to compare memory.");
        return false;
    };
    let change = (end / begin - 1.0) * 100.0;
    let is_flat = end <= begin * GROWTH_MAX;
    let verdict = if is_flat { "flat" } else { "GROWING" };
    say(&format!("\nMemory: {begin:.0} KiB when warm, {end:.0} KiB at the end ({change:+.1} %): {verdict}."));
    is_flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_no_flat_memory() {
        let looks = |grows: f64| -> Vec<Look> {
            let look = |second: u32| Look {
                after: Duration::from_secs(second.into()),
                resident_kib: 10_000.0 + grows * f64::from(second),
                descriptors: 1,
                threads: 1,
            };
            (0..600).step_by(5).map(look).collect()
        };
        let length = Duration::from_secs(600);
        assert!(judge(&looks(0.0), length));
        assert!(judge(&looks(1.0), length));
        assert!(!judge(&looks(10.0), length));
        assert!(!judge(&[], length));
    }
}
