//! The metrics, by their own listener and by the console's.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Setup, Shareward, need};

use super::http::{Console, console, listener};
use crate::scripted;

const TOKEN: &str = "0123456789abcdefghij";

fn with_metrics() -> Console {
    let extra = String::from("\n[metrics]\nlisten = [\"127.0.0.1:0\"]\nper_share = true\n");
    let server = Shareward::start(&Setup { extra, ..Setup::default() });
    let address = listener(&server, "metrics on http://");
    Console { server, address }
}

/// The value of a sample without labels.
#[track_caller]
fn value(text: &str, name: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[tokio::test]
async fn figures_follow_the_server() {
    let console = with_metrics();
    let before = console.get("/metrics");
    assert_eq!(
        (before.status, before.field("content-type")),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(value(&before.body, "shareward_sessions"), 0.0);
    let failures = value(&before.body, "shareward_logon_failures_total");
    let subject = testkit::Subject::Shareward(console.server);
    let tree = scripted::tree(&subject, "alice", "data").await;
    let testkit::Subject::Shareward(server) = subject else { unreachable!("it was one above") };
    let console = Console { server, ..console };
    let after = console.get("/metrics").body;
    assert_eq!(value(&after, "shareward_sessions"), 1.0);
    assert_eq!(value(&after, "shareward_tree_connects"), 1.0);
    assert!(after.contains("shareward_share_tree_connects{share=\"data\"} 1"), "{after}");
    assert!(after.contains("shareward_share_opens{share=\"data\"} 0"), "{after}");
    let file = tree.create(&client::smb::CreateParameters::read_write("x")).await.expect("create");
    let text = with_history(&console);
    assert!(text.contains("shareward_share_opens{share=\"data\"} 1"), "{text}");
    assert_eq!(value(&text, "shareward_history_failing"), 0.0);
    assert_eq!(value(&text, "shareward_history_records_left_out_total"), 0.0);
    assert!(value(&text, "shareward_history_size_bytes") > 4096.0);
    drop(file);
    assert_eq!(value(&after, "shareward_logon_failures_total"), failures);
    let connects = "shareward_requests_total{command=\"tree_connect\",result=\"success\"}";
    assert_eq!((value(&before.body, connects), value(&after, connects)), (0.0, 1.0));
    let times = "shareward_request_duration_seconds_count{command=\"tree_connect\"}";
    assert_eq!(value(&after, times), 1.0);
    assert!(value(&after, "shareward_received_bytes_total") > 0.0);
    assert!(value(&after, "process_resident_memory_bytes") > 1_000_000.0);
    drop(tree);
    let open =
        console.request("GET /metrics", &[("Accept", "application/openmetrics-text; version=1.0.0")], "");
    assert!(open.field("content-type").starts_with("application/openmetrics-text"));
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    // Nothing else is served there.
    assert_eq!(console.get("/v1/files").status, 404);
    assert_eq!(console.get("/").status, 404);
    assert_eq!(console.get("/health").json()["status"], "ok");
}

#[test]
fn metrics_of_the_console_need_a_token_or_a_right() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("write");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let console = console(&format!("\n[metrics]\ntoken_file = {file:?}\n"));
    assert_eq!(console.get("/metrics").status, 401);
    let bearer = |token: &str| {
        console.request("GET /metrics", &[("Authorization", &format!("Bearer {token}"))], "").status
    };
    assert_eq!(bearer(TOKEN), 200);
    let begun = Instant::now();
    assert_eq!(bearer("0123456789abcdefghiJ"), 401);
    assert!(begun.elapsed() >= Duration::from_secs(1), "guesses are delayed");
    assert_eq!(console.get_as(&console.log_on("admin"), "/metrics").status, 200);
    assert_eq!(console.get_as(&console.log_on("alice"), "/metrics").status, 403);
}

/// The metrics, once the history has records.
fn with_history(console: &Console) -> String {
    let begun = Instant::now();
    loop {
        let text = console.get("/metrics").body;
        let written = text.lines().find_map(|it| it.strip_prefix("shareward_history_records_written_total "));
        if written.is_some_and(|it| it != "0") {
            return text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of metrics that a text uses.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("shareward_")).map(str::to_owned).collect()
}

/// The dashboard and the rules for alerts use metrics that exist.
#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    // With TLS, so that the certificate has a metric, too.
    let extra = String::from(
        "\n[console]\nlisten = [\"127.0.0.1:0\"]\n\n[metrics]\nlisten = [\"127.0.0.1:0\"]\nper_share = true\n",
    );
    let server = Shareward::start(&Setup { extra, ..Setup::default() });
    let console = Console { address: listener(&server, "metrics on http://"), server };
    // The history has a size when its file is there.
    let begun = Instant::now();
    let mut text = console.get("/metrics").body;
    while !text.contains("shareward_history_size_bytes ") && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
        text = console.get("/metrics").body;
    }
    let samples: BTreeSet<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next().map(str::to_owned))
        .collect();
    let packaging = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging");
    for file in ["grafana-dashboard.json", "prometheus-alerts.yml"] {
        let text = std::fs::read_to_string(format!("{packaging}/{file}")).expect("the file");
        let used = names(&text);
        assert!(used.len() > 4, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&samples).collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}, which the server does not have");
    }
    let dashboard = std::fs::read_to_string(format!("{packaging}/grafana-dashboard.json")).expect("the file");
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("JSON");
}

/// Prometheus' own tool accepts the metrics and the rules for alerts.
#[test]
fn promtool_accepts_metrics_and_alerts() {
    if !need(&["promtool"]) {
        return;
    }
    let console = with_metrics();
    let text = console.get("/metrics").body;
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run promtool");
    std::io::Write::write_all(&mut check.stdin.take().expect("its input"), text.as_bytes()).expect("write");
    let output = check.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/prometheus-alerts.yml");
    let rules = Command::new("promtool").args(["check", "rules", alerts]).output().expect("run promtool");
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
}
