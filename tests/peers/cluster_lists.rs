//! Programs that show what happens on all nodes of a cluster, with a real etcd.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::smb::CreateParameters;
use testkit::{free_port, need, run, shareward_binary};

use crate::cluster::{BACK_MAX, Cluster, connect, logon};
use crate::top::Terminal;

/// A share was used on one node and then on the other one: its history is in parts on both.
#[tokio::test]
async fn history_of_all_nodes_has_what_happened_on_each() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (names, first) = (["a", "b"], cluster.owner(None).await);
    let second = 1 - first;
    let tree = connect(&cluster.nodes[first]).await.expect("connect");
    let file = tree.create(&CreateParameters::read_write("before.txt")).await.expect("create");
    file.close().await.expect("close");
    cluster.nodes[0].configured(&["cluster", "move", "shared", names[second]]).success();
    let started = Instant::now();
    let tree = loop {
        match connect(&cluster.nodes[second]).await {
            Ok(tree) => break tree,
            Err(error) => assert!(started.elapsed() < BACK_MAX, "it does not move: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let file = tree.create(&CreateParameters::read_write("after.txt")).await.expect("create");
    file.close().await.expect("close");

    let admin = cluster.nodes[0].setup().user("admin");
    let history = |more: &[&str]| {
        let mut command = Command::new(shareward_binary());
        command.arg("history").args(more).args(["--share", "shared", "", "--login", &admin.name]);
        command.arg(format!("--cluster={}", cluster.nodes[0].config().display()));
        command.env("SHAREWARD_PASSWORD", &admin.password);
        run(command, b"", Duration::from_secs(60)).success().stdout
    };
    // The servers write their histories after the acts.
    let started = Instant::now();
    let opened = loop {
        let listed: serde_json::Value = serde_json::from_str(&history(&["--opened", "--json"])).unwrap();
        let entries =
            listed["history"]["items"].as_array().unwrap_or_else(|| panic!("no list: {listed}")).clone();
        let opened: Vec<(String, String)> = entries
            .iter()
            .filter(|it| it["path"].as_str().is_some_and(|path| path.ends_with(".txt")))
            .map(|it| (it["server"].to_string(), it["path"].to_string()))
            .collect();
        if opened.len() >= 2 {
            break opened;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{listed}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let entry = |node: usize, path: &str| (format!("{:?}", names[node]), format!("{path:?}"));
    assert_eq!(opened, [entry(first, "before.txt"), entry(second, "after.txt")], "in the order of time");
    let shown = history(&[]);
    assert!(shown.contains("before.txt") && shown.contains("after.txt"), "{shown}");
}

/// One screen has the sessions of both nodes, with the names of the nodes.
#[tokio::test(flavor = "multi_thread")]
async fn top_shows_the_sessions_of_all_nodes() {
    if !need(&["tmux", "etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let mut sessions = Vec::new();
    for node in &cluster.nodes {
        sessions.push(logon(node, &[]).await.expect("logon"));
    }
    let terminal = Terminal::start(&cluster.nodes[0]);
    let admin = cluster.nodes[0].setup().user("admin");
    terminal.type_in(&format!(
        "clear; SHAREWARD_PASSWORD='{}' {} top --cluster={} --login {}",
        admin.password,
        shareward_binary().display(),
        cluster.nodes[0].config().display(),
        admin.name
    ));
    terminal.press("Enter");
    let has = |screen: &str, node: &str| {
        screen.lines().any(|it| it.contains("alice") && it.split_whitespace().any(|word| word == node))
    };
    terminal.wait("sessions of both nodes", |screen| has(screen, "a") && has(screen, "b"));
    // The list follows what happens on each of them.
    sessions.remove(1);
    terminal.wait("end of a session", |screen| has(screen, "a") && !has(screen, "b"));
    terminal.press("q");
    terminal.wait("shell", |screen| screen.contains("ready$") && !screen.contains("alice"));
}

/// Each node lists all of them for Prometheus, which scrapes each with the names of the cluster and the node.
#[test]
fn prometheus_finds_all_nodes_by_any_of_them() {
    if !need(&["etcd", "etcdctl", "curl", "prometheus"]) {
        return;
    }
    let port = free_port();
    let cluster = Cluster::start(1, 3, &format!("[metrics]\nlisten = [\"ADDRESS:{port}\"]\n"));
    let directory = tempfile::tempdir().unwrap();
    let asked = cluster.nodes[1].address().ip();
    let config = directory.path().join("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: shareward\n  http_sd_configs:\n  \
         - url: http://{asked}:{port}/metrics/targets\n    refresh_interval: 1s\n"
    );
    std::fs::write(&config, text).unwrap();
    let web = free_port();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{web}"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _prometheus = Killed(command.spawn().expect("prometheus"));
    let query = |what: &str| -> Vec<(String, String)> {
        let mut command = Command::new("curl");
        command.args(["-s", "-G", "--data-urlencode", &format!("query={what}")]);
        command.arg(format!("http://127.0.0.1:{web}/api/v1/query"));
        let text = run(command, b"", Duration::from_secs(20)).stdout;
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let found = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let text = |it: &serde_json::Value| it.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> =
            found.iter().map(|it| (text(&it["metric"]["node"]), text(&it["value"][1]))).collect();
        found.sort();
        found
    };
    let all = |value: &str| ["a", "b", "c"].map(|node| (node.to_owned(), value.to_owned())).to_vec();
    let started = Instant::now();
    while query("up{cluster=\"office\"}") != all("1") || query("shareward_cluster_nodes") != all("3") {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", query("up"));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(query("shareward_cluster_shares"), all("1"));
    assert_eq!(query("shareward_cluster_member"), all("1"));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
