//! The rights to the cluster in the control API: over a pipe of users who may only look or not even that, and on the console
//! without a login.

use std::time::Duration;

use testkit::{Shareward, need, run};

use crate::cluster::{Cluster, connect};
use crate::control_pipe::{answer, get, pipe, tree};

/// The routes that change something, with good requests.
const CHANGES: [(&str, &str); 6] = [
    ("/v1/cluster/moves", r#"{"share": "shared", "node": "NODE"}"#),
    ("/v1/cluster/drains", r#"{"node": "OWNER", "drain": true}"#),
    ("/v1/cluster/drains", r#"{"node": "OWNER", "drain": false}"#),
    ("/v1/cluster/settings", r#"{"setting": "min_password_length", "value": 9}"#),
    ("/v1/cluster/invites", "{}"),
    ("/v1/cluster/leave", r#"{"force": true}"#),
];

const VIEWS: [&str; 2] = ["/v1/cluster", "/v1/cluster/changes"];

/// The statuses and bodies of requests over a pipe.
pub(crate) async fn ask(node: &Shareward, user: &str, requests: &[(&str, String)]) -> Vec<(u16, String)> {
    let (_connection, tree) = tree(node.address(), node.setup(), user, "IPC$").await;
    let pipe = pipe(&tree).await;
    let mut answers = Vec::new();
    for (path, body) in requests {
        let request = match body.as_str() {
            "" => get(path),
            body => format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        };
        pipe.write(0, request).await.expect("write");
        answers.push(answer(&pipe).await);
    }
    answers
}

#[tokio::test]
async fn only_administrators_change_the_cluster_and_only_viewers_see_it() {
    if !need(&["etcd", "etcdctl", "curl"]) {
        return;
    }
    let lines = "[console]\nlisten = [\"ADDRESS:0\"]\ntls = false\n\
                 [[role]]\nallow = \"view\"\nusers = [\"bob\"]\n";
    let cluster = Cluster::start(1, 2, lines);
    let (names, owner) = (["a", "b"], cluster.owner(None).await);
    let node = &cluster.nodes[owner];
    let views = VIEWS.map(|path| (path, String::new()));
    let changes = CHANGES
        .map(|(path, body)| (path, body.replace("NODE", names[1 - owner]).replace("OWNER", names[owner])));
    let keys = || {
        let keys = cluster.etcd.ctl(&["get", "--prefix", "/shareward/office/", "--keys-only"]).success();
        let last = cluster.etcd.ctl(&["get", "/shareward/office/changes/last", "--print-value-only"]);
        format!("{}{}", keys.stdout, last.success().stdout)
    };
    let before = keys();

    for (status, body) in ask(node, "alice", &[views.as_slice(), &changes].concat()).await {
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("\"code\":5"), "{body}");
    }
    for (status, body) in ask(node, "bob", &views).await {
        assert_eq!(status, 200, "{body}");
    }
    for (status, body) in ask(node, "bob", &changes).await {
        assert_eq!(status, 403, "{body}");
    }
    let log = node.log();
    let console = log.lines().find_map(|it| it.split_once("web console on ")?.1.split_whitespace().next());
    let console = console.unwrap_or_else(|| panic!("no console: {log}")).trim_end_matches('/');
    for (path, body) in views.iter().chain(&changes) {
        let mut command = std::process::Command::new("curl");
        command.args(["-s", "-w", "\n%{http_code}", "-H", &format!("Origin: {console}")]);
        if !body.is_empty() {
            command.args(["-X", "POST", "-H", "Content-Type: application/json", "-d", body]);
        }
        command.arg(format!("{console}{path}"));
        let text = run(command, b"", Duration::from_secs(20)).success().stdout;
        assert!(text.trim_end().ends_with("\n401"), "{path}: {text}");
        assert!(!text.contains("office"), "{text}");
    }

    assert_eq!(keys(), before, "a refused request has changed the cluster");
    let status = cluster.status();
    assert_eq!(status.text().matches("joined").count(), 2, "{}", status.text());
    assert!(connect(node).await.is_ok(), "a refused request has moved the share");

    // Requests of the same form are carried out for an administrator.
    for (status, body) in ask(node, "admin", &[views.as_slice(), &changes[1..4]].concat()).await {
        assert_eq!(status, 200, "{body}");
    }
    assert_ne!(keys(), before);
    let post = |path: &'static str, body: &str| [(path, body.to_owned())];
    let set = "/v1/cluster/settings";
    let answers = ask(node, "admin", &post(set, r#"{"setting": "lease_seconds", "value": 5}"#)).await;
    assert!(answers[0].1.contains("\"lease_seconds\":5"), "{answers:?}");
    assert!(answers[0].1.contains("\"min_password_length\":9"), "{answers:?}");
    cluster.status().says("setting lease_seconds = 5");
    let answers =
        ask(node, "admin", &post(set, r#"{"setting": "min_password_length", "value": null}"#)).await;
    assert!(answers[0].0 == 200 && !answers[0].1.contains("min_password_length"), "{answers:?}");
    for (body, code) in [
        (r#"{"setting": "listen", "value": 1}"#, 87),
        (r#"{"setting": "lease_seconds", "value": 61}"#, 87),
        (r#"{"value": 61}"#, 87),
    ] {
        let answers = ask(node, "admin", &post(set, body)).await;
        assert!(answers[0].0 >= 400 && answers[0].1.contains(&format!("\"code\":{code}")), "{answers:?}");
    }
    // The text of an invitation is a key, which is not sent in clear text.
    let answers = ask(node, "admin", &post("/v1/cluster/invites", "{}")).await;
    assert!(answers[0].1.contains("encrypted session"), "{answers:?}");
    let invited = format!("{:?}", node.log());
    assert!(invited.contains("invite node"), "{invited}");
}
