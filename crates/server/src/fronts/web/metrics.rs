//! `/metrics`, `/health`, and `/metrics/targets`: the nodes of a cluster for the discovery of Prometheus by HTTP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use control::number;
use serde_json::json;

use super::openmetrics::{Format, Text, Times};
use super::{Remote, Web, identity};
use crate::admin::{self, HistoryFigures, Measurements, Metrics, MetricsReader};
use crate::core::process_figures;
use crate::core::request_counters::{CommandCounts, ResultClass, TIME_BOUNDS_US};
use crate::fronts::http::Refused;

/// `GET /health`: the server answers requests.
pub(super) async fn health() -> Response {
    ([(CONTENT_TYPE, "application/json")], "{\"status\":\"ok\"}\n").into_response()
}

/// `GET /metrics` on a listener of its own, for everybody who can connect.
pub(super) async fn open(State(web): State<Arc<Web>>, headers: HeaderMap) -> Result<Response, Refused> {
    Ok(answer(&web, &headers, &admin::metrics(&web.server, MetricsReader::Configured)?))
}

/// `GET /metrics` of the console, for programs with the token of the settings, and for users with the right.
pub(super) async fn protected(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    request: Request,
) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    permitted(&web, remote, request, |reader| {
        Ok(answer(&web, &headers, &admin::metrics(&web.server, reader)?))
    })
    .await
}

/// `GET /metrics/targets` on a listener of the metrics.
pub(super) async fn open_targets(State(web): State<Arc<Web>>) -> Result<Response, Refused> {
    let settings = web.server.settings();
    targets(&web, settings.metrics.listen.first(), MetricsReader::Configured)
}

/// `GET /metrics/targets` of the console.
pub(super) async fn protected_targets(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    request: Request,
) -> Result<Response, Refused> {
    let settings = web.server.settings();
    let listen = settings.console.listen.first();
    permitted(&web, remote, request, |reader| targets(&web, listen, reader)).await
}

/// Answers a request with the token of the settings, or of a user, whose right `act` checks.
async fn permitted(
    web: &Arc<Web>,
    remote: Remote,
    request: Request,
    act: impl FnOnce(MetricsReader<'_>) -> Result<Response, Refused>,
) -> Result<Response, Refused> {
    if let Some(token) = bearer(request.headers()) {
        if web.server.console.is_token(token) {
            return act(MetricsReader::Configured);
        }
        tokio::time::sleep(crate::core::limits::REFUSED_LOGON_DELAY).await;
        return Ok(unauthorized());
    }
    let Ok(visit) = identity::visit(web, remote, &request) else { return Ok(unauthorized()) };
    let (_, caller, _) = identity::caller(web, remote, visit).await?;
    act(MetricsReader::User(&caller))
}

/// The nodes of the cluster that are members at present, each a group of targets with labels. All nodes have the metrics at
/// the port that this one has them at. A server that is no member has no targets.
fn targets(web: &Web, listen: Option<&SocketAddr>, reader: MetricsReader<'_>) -> Result<Response, Refused> {
    let cluster = admin::cluster_figures(&web.server, reader)?.unwrap_or_default();
    let port = listen.map_or(0, SocketAddr::port);
    let group = |(node, address): (String, Option<String>)| {
        let address: IpAddr = address?.parse().ok()?;
        let target = SocketAddr::new(address, port).to_string();
        Some(json!({ "targets": [target], "labels": { "cluster": cluster.name, "node": node } }))
    };
    let groups: Vec<_> = cluster.nodes.into_iter().filter_map(group).collect();
    Ok(axum::Json(groups).into_response())
}

/// The path of the targets.
pub(super) const TARGETS: &str = "/metrics/targets";

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized() -> Response {
    let message = "The metrics need the token of token_file in [metrics].";
    let refused = Refused::new(StatusCode::UNAUTHORIZED, number::ACCESS_DENIED, message);
    ([(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))], refused).into_response()
}

fn answer(web: &Web, headers: &HeaderMap, metrics: &Metrics) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::of(accept);
    let mut text = Text::new(format);
    of_server(&mut text, metrics);
    of_console(&mut text, web, metrics);
    of_process(&mut text);
    ([(CONTENT_TYPE, format.media_type())], text.finish()).into_response()
}

fn of_server(text: &mut Text, metrics: &Metrics) {
    let Measurements { sizes, counted, delayed_logons, .. } = &metrics.measured;
    text.gauges(
        "shareward_build_info",
        "The version of the server; always 1.",
        [(&[("version", env!("CARGO_PKG_VERSION"))][..], String::from("1"))],
    );
    for (name, help, value) in [
        ("shareward_paused", "1 while the service is paused.", usize::from(metrics.is_paused)),
        ("shareward_connections", "Transport connections of SMB clients.", sizes.connections),
        ("shareward_sessions", "Sessions.", sizes.sessions),
        ("shareward_tree_connects", "Connections of sessions to shares.", sizes.trees),
        ("shareward_opens", "Opens of files, directories and pipes.", sizes.opens),
        ("shareward_open_files", "Files and streams that are open.", sizes.files),
        ("shareward_locks", "Byte-range locks.", sizes.locks),
        ("shareward_orphans", "Durable opens that wait for their clients.", sizes.orphans),
        (
            "shareward_waiting_requests",
            "Requests that wait for a lock or for the end of a break.",
            sizes.waiting,
        ),
        ("shareward_delayed_logons", "Logons that are delayed after wrong passwords.", *delayed_logons),
        ("shareward_shares", "Shares, including IPC$.", sizes.shares),
        ("shareward_users", "Accounts in the users file.", metrics.users),
    ] {
        text.gauge(name, help, value);
    }
    for (name, help, value) in [
        ("shareward_sessions_started", "Sessions started.", counted.session_opens),
        (
            "shareward_sessions_timed_out",
            "Sessions ended because they were idle or expired.",
            counted.sessions_timed_out,
        ),
        (
            "shareward_sessions_failed",
            "Sessions ended by a lost connection or another error.",
            counted.sessions_errored_out,
        ),
        ("shareward_files_opened", "Files and directories opened.", counted.file_opens),
        ("shareward_pipes_opened", "Named pipes opened.", counted.device_opens),
        (
            "shareward_opens_refused",
            "Opens refused because of another open or of a limit.",
            counted.opens_refused,
        ),
        (
            "shareward_lock_conflicts",
            "Requests refused because of a byte-range lock.",
            counted.lock_conflicts,
        ),
        ("shareward_logon_failures", "Wrong passwords.", counted.password_errors),
        ("shareward_access_denied", "Requests refused for lack of permission.", counted.permission_errors),
        (
            "shareward_system_errors",
            "Requests that failed because of an error of the server.",
            counted.system_errors,
        ),
        ("shareward_breaks_sent", "Breaks of oplocks and leases sent.", counted.breaks_sent),
        (
            "shareward_breaks_timed_out",
            "Breaks that were not acknowledged in time.",
            counted.breaks_timed_out,
        ),
        ("shareward_credits_granted", "Credits granted to clients.", counted.credits_granted),
        ("shareward_credits_charged", "Credits that requests have used.", counted.credits_charged),
        ("shareward_sent_bytes", "Bytes sent to SMB clients.", counted.bytes_sent),
        ("shareward_received_bytes", "Bytes received from SMB clients.", counted.bytes_received),
    ] {
        text.counter(name, help, value);
    }
    of_history(text, metrics);
    of_requests(text, &metrics.measured.requests);
    if let Some(cluster) = &metrics.cluster {
        for (name, help, value) in [
            (
                "shareward_cluster_member",
                "1 while the server takes part in its cluster.",
                usize::from(cluster.takes_part),
            ),
            (
                "shareward_cluster_nodes",
                "Nodes that are members of the cluster at present.",
                cluster.nodes.len(),
            ),
            ("shareward_cluster_shares", "Shares of the cluster.", cluster.shares),
            (
                "shareward_cluster_shares_without_owner",
                "Shares of the cluster that no node owns.",
                cluster.shares_without_owner,
            ),
            (
                "shareward_cluster_refused_values",
                "Values in etcd that the server does not use.",
                cluster.refused,
            ),
        ] {
            text.gauge(name, help, value);
        }
    }
    if !metrics.by_share.is_empty() {
        let labels: Vec<_> = metrics.by_share.iter().map(|share| [("share", share.name.as_str())]).collect();
        let samples = labels.iter().zip(&metrics.by_share);
        text.gauges(
            "shareward_share_tree_connects",
            "Connections of sessions to the share.",
            samples.clone().map(|(labels, share)| (&labels[..], share.tree_connects.to_string())),
        );
        text.gauges(
            "shareward_share_opens",
            "Opens of files, directories and pipes in the share.",
            samples.map(|(labels, share)| (&labels[..], share.opens.to_string())),
        );
    }
}

/// The history, if it is on. Its extent is missing while its file cannot be used.
fn of_history(text: &mut Text, metrics: &Metrics) {
    let HistoryFigures { status, waiting } = &metrics.measured.history;
    if !status.enabled {
        return;
    }
    text.counter("shareward_history_records_written", "Records written to the history.", status.written);
    text.counter(
        "shareward_history_records_left_out",
        "Records that are missing in the history because it could not be written.",
        status.left_out,
    );
    text.gauge(
        "shareward_history_waiting_records",
        "Events and records that wait for being written to the history.",
        waiting,
    );
    text.gauge(
        "shareward_history_failing",
        "1 while the history cannot be written.",
        usize::from(status.failure.is_some()),
    );
    if let Some(extent) = status.extent {
        text.gauge("shareward_history_size_bytes", "Bytes of the file of the history.", extent.bytes);
        text.gauge(
            "shareward_history_oldest_record_age_seconds",
            "The age of the oldest record of the history; 0 if it is empty.",
            metrics.oldest_record_age,
        );
    }
}

/// The requests by command and result, and their times.
fn of_requests(text: &mut Text, requests: &[CommandCounts]) {
    let named: Vec<_> = requests
        .iter()
        .filter_map(|counts| Some((counts.command.name()?.to_ascii_lowercase(), counts)))
        .collect();
    let labels: Vec<_> = named
        .iter()
        .flat_map(|(command, counts)| {
            RESULTS.map(|(result, class)| {
                ([("command", command.as_str()), ("result", result)], counts.of(class))
            })
        })
        .collect();
    text.counters(
        "shareward_requests",
        "Requests of SMB clients by command and result.",
        labels.iter().map(|(labels, count)| (&labels[..], *count)),
    );
    text.histogram(
        "shareward_request_duration_seconds",
        "Times of requests that did not wait for other clients, by command.",
        &TIME_BOUNDS_US,
        named.iter().map(|(command, counts)| Times {
            labels: ("command", command),
            counts: &counts.times,
            total_us: counts.total_us,
        }),
    );
}

/// The classes of results and their labels, as `net statistics` shows them.
const RESULTS: [(&str, ResultClass); 7] = [
    ("success", ResultClass::Success),
    ("not_found", ResultClass::NotFound),
    ("denied", ResultClass::Denied),
    ("conflict", ResultClass::Conflict),
    ("cancelled", ResultClass::Cancelled),
    ("server_error", ResultClass::ServerError),
    ("other", ResultClass::Other),
];

fn of_console(text: &mut Text, web: &Web, metrics: &Metrics) {
    text.gauge("shareward_console_connections", "Connections to the web console.", web.places.taken());
    text.gauge(
        "shareward_console_sessions",
        "Users who are logged on at the web console.",
        web.sessions.count(web.server.now()),
    );
    text.counter(
        "shareward_console_connections_refused",
        "Connections to the web console that were closed because there were too many.",
        web.places.refused(),
    );
    if let Some(expires) = metrics.certificate_expires {
        text.gauge(
            "shareward_console_certificate_expiry_timestamp_seconds",
            "The time at which the certificate of the web console expires.",
            expires,
        );
    }
}

/// The figures of the process, with the names that all programs use for them. A figure that the system does not have is
/// left out.
fn of_process(text: &mut Text) {
    let Some(process) = process_figures::current() else { return };
    text.counter_of_fractions("process_cpu_seconds", "User and system CPU time.", process.cpu_seconds);
    text.gauge("process_resident_memory_bytes", "Resident memory.", process.resident_bytes);
    text.gauge("process_virtual_memory_bytes", "Virtual memory.", process.virtual_bytes);
    text.gauge("process_threads", "Threads.", process.threads);
    text.gauge(
        "process_start_time_seconds",
        "The start of the process, in seconds since 1970.",
        process.start_seconds,
    );
    if let Some(open) = process.open_descriptors {
        text.gauge("process_open_fds", "Open file descriptors.", open);
    }
    text.gauge("process_max_fds", "The limit of file descriptors.", process.max_descriptors);
}
