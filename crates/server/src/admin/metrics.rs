//! The figures for programs that watch the server.
//!
//! They are counters and lengths of tables, so that the cost does not depend on the number of sessions and opens.

use super::{Caller, Error, Measurements, Right, check, server};
use crate::core::cluster::ClusterFigures;
use crate::core::server::Server;

/// The reader of the figures.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MetricsReader<'a> {
    /// A program that the settings allow to read them: by its address, or by a token.
    Configured,
    /// A user.
    User(&'a Caller),
}

/// The figures at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// All that the server counts and measures.
    pub(crate) measured: Measurements,
    /// The number of users in the users file.
    pub(crate) users: usize,
    /// The end of the validity of the console's certificate, in seconds since 1970; `None` without TLS.
    pub(crate) certificate_expires: Option<i64>,
    /// The shares; empty if the settings do not ask for them.
    pub(crate) by_share: Vec<ShareMetrics>,
    pub(crate) is_paused: bool,
    /// The cluster; `None` on a server that is no member of one.
    pub(crate) cluster: Option<ClusterFigures>,
    /// The age of the oldest record of the history, in seconds.
    pub(crate) oldest_record_age: i64,
}

/// The figures of a share.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShareMetrics {
    pub(crate) name: String,
    pub(crate) tree_connects: usize,
    pub(crate) opens: usize,
}

/// The figures.
pub(crate) fn metrics(server: &Server, reader: MetricsReader<'_>) -> Result<Metrics, Error> {
    if let MetricsReader::User(caller) = reader {
        check(caller, Right::ReadStatistics)?;
    }
    let settings = server.settings();
    let by_share = if settings.metrics.per_share { of_shares(server) } else { Vec::new() };
    let measured = server::measure(server);
    let oldest = measured.history.status.extent.and_then(|it| it.oldest_ms);
    let now = i64::try_from(server.now().0).unwrap_or(i64::MAX);
    Ok(Metrics {
        oldest_record_age: oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0) / 1000),
        measured,
        users: server.accounts().users().count(),
        certificate_expires: server.console.certificate().map(|certificate| certificate.expires),
        by_share,
        is_paused: server.running.is_paused(),
        cluster: server.cluster.figures(),
    })
}

/// The cluster, for the discovery of what each of its nodes measures.
pub(crate) fn cluster_figures(
    server: &Server,
    reader: MetricsReader<'_>,
) -> Result<Option<ClusterFigures>, Error> {
    if let MetricsReader::User(caller) = reader {
        check(caller, Right::ReadStatistics)?;
    }
    Ok(server.cluster.figures())
}

fn of_shares(server: &Server) -> Vec<ShareMetrics> {
    let state = server.registry.lock("metrics");
    let all = state.share_snapshots(None, SHARES_MAX);
    all.into_iter()
        .map(|share| ShareMetrics {
            name: share.definition.name.to_string(),
            tree_connects: share.uses,
            opens: state.opens_of_share(share.id),
        })
        .collect()
}

/// The number of shares with figures of their own. Others are left out, because each is a time series for whoever
/// collects them.
const SHARES_MAX: usize = 1000;
