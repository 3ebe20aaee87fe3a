//! Rounds: each case on the one server and on the other, again and again.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cases::{self, Case, Load};
use crate::options::Options;
use crate::process::{cpu_seconds, own_cpu_seconds};
use crate::servers::{Servers, Target};
use crate::{load, progress, quiet};

/// Before the clock runs, each server gets a little of every load.
const WARM_UP: Duration = Duration::from_millis(100);

/// The additional time after which a measurement is considered to hang.
const SETUP_MAX: Duration = Duration::from_secs(90);

/// The limit for cases that list opens: opening so many files takes minutes in user-mode Linux, where system calls
/// are slow.
const LISTING_MAX: Duration = Duration::from_secs(900);

/// The result of one load.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Figure {
    /// The units and the time.
    Load {
        units: f64,
        seconds: f64,
        server_cpu_seconds: f64,
        client_cpu_seconds: f64,
        /// Milliseconds that another client of the server had to wait meanwhile, at most.
        #[serde(skip_serializing_if = "Option::is_none")]
        longest_wait_ms: Option<f64>,
        /// True if it was aborted: the units would have taken longer than these seconds.
        given_up: bool,
    },
    /// The waits of a client.
    Waits { reads: usize, p50_ms: f64, p99_ms: f64, p999_ms: f64 },
    /// The memory of the sessions.
    Memory { sessions: usize, pss_kib: f64, rss_kib: f64, processes: usize },
}

impl Figure {
    /// Adds the longest wait of another client.
    pub(crate) fn with_longest_wait(mut self, wait: Duration) -> Self {
        if let Self::Load { longest_wait_ms, .. } = &mut self {
            *longest_wait_ms = Some(wait.as_secs_f64() * 1e3);
        }
        self
    }

    /// Marks the figure as a bound.
    pub(crate) fn given_up(mut self) -> Self {
        if let Self::Load { given_up, .. } = &mut self {
            *given_up = true;
        }
        self
    }

    /// True if it is only a bound.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self, Self::Load { given_up: true, .. })
    }

    /// The longest wait of another client in milliseconds, if it was measured.
    pub(crate) fn longest_wait_ms(&self) -> Option<f64> {
        match self {
            Self::Load { longest_wait_ms, .. } => *longest_wait_ms,
            Self::Memory { .. } | Self::Waits { .. } => None,
        }
    }

    /// Units per second, KiB per session, or the milliseconds of the 99th percentile.
    pub(crate) fn value(&self) -> f64 {
        match self {
            Self::Load { units, seconds, .. } => units / seconds,
            Self::Memory { pss_kib, .. } => *pss_kib,
            Self::Waits { p99_ms, .. } => *p99_ms,
        }
    }

    /// Microseconds of processor time of the server per unit.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        match self {
            Self::Load { units, server_cpu_seconds, .. } => Some(server_cpu_seconds / units * 1e6),
            Self::Memory { .. } | Self::Waits { .. } => None,
        }
    }
}

/// The figures of both servers in one round; `None` if the load failed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Round {
    pub(crate) shareward: Option<Figure>,
    pub(crate) peer: Option<Figure>,
    /// The figure of the physical limit, if the case is a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<Figure>,
}

impl Round {
    /// Our processor time per unit, as part of the peer's.
    pub(crate) fn cpu_ratio(&self) -> Option<f64> {
        Some(self.shareward?.cpu_micros()? / self.peer?.cpu_micros()?)
    }

    /// Our rate as a multiple of the peer's, or our memory.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.shareward?.value() / self.peer?.value())
    }

    /// Our processor time per unit as a multiple of what moving the same bytes takes.
    pub(crate) fn limit_ratio(&self) -> Option<f64> {
        Some(self.shareward?.cpu_micros()? / self.limit?.cpu_micros()?)
    }
}

/// All rounds of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rounds: Vec<Round>,
    /// The errors, each once.
    pub(crate) errors: Vec<String>,
}

/// Measures everything that the options ask for.
pub(crate) async fn run(servers: &Servers, options: &Options) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for case in cases::all().iter().filter(|case| options.wants_case(case)) {
        progress(case.name);
        outcomes.push(rounds(case, servers, options).await);
    }
    outcomes
}

async fn rounds(case: &Case, servers: &Servers, options: &Options) -> Outcome {
    let Some(targets) = servers.targets(case) else {
        let errors = vec![String::from("there is no domain")];
        return Outcome { name: case.name, what: case.what, unit: case.unit, rounds: Vec::new(), errors };
    };
    let mut outcome =
        Outcome { name: case.name, what: case.what, unit: case.unit, rounds: Vec::new(), errors: Vec::new() };
    let mut works = [true; 2];
    for (target, works) in targets.iter().zip(&mut works).filter(|_| !case.is_measured_at_once()) {
        *works = one(case, target, options, WARM_UP, &mut outcome.errors).await.is_some();
    }
    for _ in 0..options.rounds {
        let mut figures = [None; 2];
        for ((figure, target), works) in figures.iter_mut().zip(&targets).zip(works) {
            if works {
                *figure = one(case, target, options, options.load, &mut outcome.errors).await;
            }
        }
        let limit = match servers.limit().measure(case, options, options.load).await {
            Some(Ok(figure)) => Some(figure),
            Some(Err(error)) => {
                note(&mut outcome.errors, format!("physical limit: {error}"));
                None
            }
            None => None,
        };
        let [shareward, peer] = figures;
        if shareward.is_some() || peer.is_some() {
            outcome.rounds.push(Round { shareward, peer, limit });
        }
    }
    outcome
}

async fn one(
    case: &Case,
    target: &Target,
    options: &Options,
    time: Duration,
    errors: &mut Vec<String>,
) -> Option<Figure> {
    let is_long = case.lists() || case.needs_many_files() || case.needs_clients();
    let longest = time + if is_long { LISTING_MAX } else { SETUP_MAX };
    let measured = async {
        match case.load {
            Load::Quiet(disturbance) => quiet::measure(case, target, options, time, disturbance).await,
            _ => {
                quiet::release(target).await?;
                load::run(case, target, options, time).await
            }
        }
    };
    let failed = match tokio::time::timeout(longest, measured).await {
        Ok(Ok(figure)) => return Some(figure),
        Ok(Err(error)) => format!("{}: {error}", target.name),
        Err(_) => format!("{}: not done after {longest:?}", target.name),
    };
    note(errors, failed);
    None
}

/// Reports an error, and adds it unless it is there already.
fn note(errors: &mut Vec<String>, failed: String) {
    progress(&format!("  {failed}"));
    if !errors.contains(&failed) {
        errors.push(failed);
    }
}

/// The clocks, running.
pub(crate) struct Stopwatch<C> {
    /// Seconds of processor time that the server has used so far.
    clock: C,
    server_cpu: f64,
    client_cpu: f64,
    started: Instant,
}

/// Starts the clocks of a server.
pub(crate) fn stopwatch(target: &Target) -> Stopwatch<impl Fn() -> f64> {
    Stopwatch::of(move || cpu_seconds(target))
}

impl<C: Fn() -> f64> Stopwatch<C> {
    pub(crate) fn of(clock: C) -> Self {
        let (server_cpu, client_cpu) = (clock(), own_cpu_seconds());
        Self { clock, server_cpu, client_cpu, started: Instant::now() }
    }

    pub(crate) fn stop(self, units: f64) -> Figure {
        let seconds = self.started.elapsed().as_secs_f64();
        Figure::Load {
            units,
            seconds,
            server_cpu_seconds: (self.clock)() - self.server_cpu,
            client_cpu_seconds: own_cpu_seconds() - self.client_cpu,
            longest_wait_ms: None,
            given_up: false,
        }
    }
}
