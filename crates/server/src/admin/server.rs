//! The server itself (MS-SRVS 3.1.4.17, 3.1.4.20).

use registry::{Refusal, StatisticsSnapshot, TableSizes};

use super::{Caller, Error, Own, Right, check, scope};
use crate::core::history;
use crate::core::request_counters::CommandCounts;
use crate::core::server::Server;

/// The numbers of sessions, tree connects, opens and shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sessions: usize,
    pub(crate) trees: usize,
    pub(crate) opens: usize,
    pub(crate) shares: usize,
}

/// Counts sessions, tree connects, opens and shares.
pub(crate) fn counts(server: &Server, caller: &Caller) -> Result<Counts, Error> {
    check(caller, Right::ReadServer)?;
    let state = server.registry.lock("counts");
    let (_, sessions, trees, opens) = state.counts();
    Ok(Counts { sessions, trees, opens, shares: state.shares().count() })
}

/// The counters.
pub(crate) fn statistics(server: &Server, caller: &Caller) -> Result<StatisticsSnapshot, Error> {
    check(caller, Right::ReadStatistics)?;
    Ok(server.statistics.snapshot())
}

/// All that the server counts and measures at one moment. None of it takes a walk over the registry's tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measurements {
    /// The counters since the start.
    pub(crate) counted: StatisticsSnapshot,
    /// The counts of requests, by command.
    pub(crate) requests: Vec<CommandCounts>,
    /// The numbers of sessions, opens and the like.
    pub(crate) sizes: TableSizes,
    /// The logons that are delayed after wrong passwords.
    pub(crate) delayed_logons: usize,
    /// The history.
    pub(crate) history: HistoryFigures,
}

/// The state of the history, with what is not written yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryFigures {
    pub(crate) status: history::Status,
    /// The number of events and records that wait for the recorder.
    pub(crate) waiting: u64,
}

/// The figures of the history. Does not check rights: part of an operation.
pub(crate) fn history_figures(server: &Server) -> HistoryFigures {
    let last_event = server.registry.lock("last_event").last_event();
    HistoryFigures { status: server.history.status(), waiting: server.history.waiting(last_event) }
}

/// The counters, with the counts of requests and the sizes of the tables.
pub(crate) fn measurements(server: &Server, caller: &Caller) -> Result<Measurements, Error> {
    check(caller, Right::ReadStatistics)?;
    Ok(measure(server))
}

/// The counters and measurements. Does not check rights: part of an operation.
pub(super) fn measure(server: &Server) -> Measurements {
    let sizes = server.registry.lock("sizes").sizes();
    Measurements {
        counted: server.statistics.snapshot(),
        requests: server.requests.snapshot(),
        sizes,
        delayed_logons: server.logons.delayed.count(),
        history: history_figures(server),
    }
}

/// The recent refusals, the earliest first.
pub(crate) fn refusals(server: &Server, caller: &Caller) -> Result<Vec<Refusal>, Error> {
    let scope = scope(caller, Right::ReadRefusals, Own::No)?;
    let mut refusals = server.registry.lock("refusals").refusals();
    refusals.reverse();
    refusals.retain(|it| scope.has_share(&it.share));
    Ok(refusals)
}
