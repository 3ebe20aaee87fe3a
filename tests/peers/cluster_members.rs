//! Nodes that join a cluster and leave it, its users, and the control API of it, with a real etcd.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions};
use testkit::{Shareward, free_port, need, run};
use wire::Guid;

use crate::cluster::{BACK_MAX, Cluster, connect};
use crate::cluster_rights::ask;

async fn logs_on(node: &Shareward, user: &str, password: &str) -> bool {
    let options = ConnectOptions::with_guid(Guid([7; 16]));
    let connection = ClientConnection::connect(node.address(), None, options).await.expect("connect");
    connection.logon(Credentials::password(user, "", password)).await.is_ok()
}

async fn logs_on_soon(node: &Shareward, user: &str, password: &str) {
    let started = Instant::now();
    while !logs_on(node, user, password).await {
        assert!(started.elapsed() < Duration::from_secs(5), "{user} cannot log on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Gives the second node the secret, by an invitation of the first.
fn join(cluster: &Cluster) {
    let invitation = cluster.nodes[0].configured(&["cluster", "invite"]).success().stdout;
    cluster.nodes[1]
        .configured(&["cluster", "join", invitation.trim()])
        .success()
        .says("is a node of the cluster");
    // The invitation is used up.
    cluster.nodes[1].configured(&["cluster", "join", invitation.trim()]).failure().says("was used");
}

#[tokio::test]
async fn users_of_the_cluster_log_on_at_each_node() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "users = true\n");
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let add = ["net", "user", "carol", "first-Secret-1", "/add"];
    let without = b.net(&add).failure().text();
    let log = b.log();
    assert!(log.contains("does not have the secret of the cluster"), "{without} {log}");
    join(&cluster);
    a.net(&add).success();
    logs_on_soon(b, "carol", "first-Secret-1").await;
    logs_on_soon(a, "carol", "first-Secret-1").await;
    b.net(&["net", "user", "CAROL", "second-Secret-2"]).success();
    logs_on_soon(a, "carol", "second-Secret-2").await;
    assert!(!logs_on(a, "carol", "first-Secret-1").await);
    assert!(!std::fs::read_to_string(a.users_file()).unwrap().contains("carol"));

    // etcd does not know the hash, and a sealed value is good for its user only.
    let hash: String =
        auth::users::nt_hash("second-Secret-2").iter().map(|byte| format!("{byte:02X}")).collect();
    let key = "/shareward/office/users/carol";
    let sealed = cluster.etcd.ctl(&["get", key, "--print-value-only"]).success().stdout;
    assert!(sealed.contains("sealed") && !sealed.contains(&hash), "{sealed}");
    cluster.etcd.ctl(&["put", "/shareward/office/users/mallory", sealed.trim()]).success();
    cluster.etcd.ctl(&["put", key, "{}"]).success();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!logs_on(a, "mallory", "second-Secret-2").await);
    assert!(logs_on(a, "carol", "second-Secret-2").await, "the last good value stays");
    assert!(b.log().contains("a value in etcd cannot be used"));
    cluster.etcd.ctl(&["put", key, sealed.trim()]).success();

    // Those of the file are the node's own, and come first.
    a.net(&["net", "user", "alice", "other-Secret-3", "/add"]).failure().says("2224");
    a.net(&["net", "user", "alice", "/active:no"]).success();
    let alice = b.setup().user("alice");
    assert!(
        logs_on(b, &alice.name, &alice.password).await && !logs_on(a, &alice.name, &alice.password).await
    );

    b.net(&["net", "user"]).success().says("carol");
    b.net(&["net", "user", "carol", "/delete"]).success();
    let started = Instant::now();
    while logs_on(a, "carol", "second-Secret-2").await {
        assert!(started.elapsed() < Duration::from_secs(5), "a deleted user logs on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let history = a.configured(&["cluster", "history"]).success();
    history.says("add user carol").says("change user carol").says("delete user carol").never_says(&hash);
}

/// An attempt whose outcome is not known is taken up again: by the cluster that it has made, or by making that now.
#[test]
fn init_without_an_answer_is_taken_up_by_the_next_one() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 1, "");
    let node = &cluster.nodes[0];
    let init = || node.configured(&["cluster", "init"]);
    init().failure().says("exists already");
    let schema =
        cluster.etcd.ctl(&["get", "/shareward/office/schema", "--print-value-only"]).success().stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let id = schema["cluster"].as_str().unwrap();
    let unfinished = node.state_dir().join("cluster-office.init");
    assert!(!unfinished.exists(), "an attempt with an answer leaves nothing");

    std::fs::write(&unfinished, id).unwrap();
    init().success().says(id);
    assert!(!unfinished.exists());
    // That of another attempt is not the cluster that etcd has.
    std::fs::write(&unfinished, "0".repeat(32)).unwrap();
    init().failure().says("exists already");

    std::fs::write(&unfinished, id).unwrap();
    cluster.etcd.ctl(&["del", "/shareward/office/schema"]).success();
    cluster.etcd.ctl(&["del", "/shareward/office/secret"]).success();
    init().success().says(id);
    node.configured(&["cluster", "invite"]).success();
    // The secret of a finished cluster is not taken for that of a new one.
    cluster.etcd.ctl(&["del", "/shareward/office/schema"]).success();
    init().failure().says("this server has the secret of a cluster with this name");
}

/// The time of leases is that of the cluster from the next lease of a node on.
#[test]
fn lease_of_the_cluster_is_taken_by_a_node_that_joins() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    let lease = |cluster: &Cluster, node: &str| -> u64 {
        let key = format!("/shareward/office/nodes/{node}");
        let found = cluster.etcd.ctl(&["get", &key, "--write-out=json"]).success().stdout;
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        let lease = found["kvs"][0]["lease"].as_i64().unwrap();
        let told =
            cluster.etcd.ctl(&["lease", "timetolive", &format!("{lease:x}"), "--write-out=json"]).success();
        let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        told["granted-ttl"].as_u64().unwrap_or_else(|| panic!("{told}"))
    };
    assert_eq!(lease(&cluster, "a"), 3);
    cluster.nodes[0].configured(&["cluster", "set", "lease_seconds", "7"]).success();
    cluster.nodes[0].configured(&["cluster", "set", "lease_seconds", "61"]).failure().says("2 to 60");
    let port = cluster.nodes[0].address().port();
    cluster.add("c", Ipv4Addr::new(127, 0, 77, 9), port, "");
    let started = Instant::now();
    while cluster.status().text().matches("joined").count() < 3 {
        assert!(started.elapsed() < BACK_MAX, "{}", cluster.status().text());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((lease(&cluster, "a"), lease(&cluster, "c")), (3, 7), "a member keeps its lease");
}

/// The rules that the cluster has hold on each node instead of those of its file.
#[test]
fn settings_of_the_cluster_hold_on_each_node() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(5), "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let add = |password: &str| b.net(&["net", "user", "dora", password, "/add"]);
    a.configured(&["cluster", "set", "min_password_length", "9"]).success().says("min_password_length = 9");
    a.configured(&["cluster", "set", "min_password_length", "9"]).success().says("was so already");
    until("the rule does not hold", &|| b.net(&["accounts"]).success().text().contains('9'));
    add("short-1").failure().says("2245");
    let own = b.net(&["accounts", "/minpwlen:5"]).failure();
    own.says("System error 50").says("shareward cluster set");
    b.net(&["accounts", "/uniquepw:3"]).success();
    for (key, value, reason) in
        [("listen", "1", "no setting of a cluster"), ("lockout_threshold", "1000", "0 to 999")]
    {
        a.configured(&["cluster", "set", key, value]).failure().says(reason);
    }
    a.configured(&["cluster", "set", "max_password_age", "3"]).success();
    a.configured(&["cluster", "set", "min_password_age", "9"]).failure().says("min_password_age");
    let hostile = r#"{"values": {"min_password_length": 4000000000}}"#;
    cluster.etcd.ctl(&["put", "/shareward/office/settings", hostile]).success();
    until("the value is not reported", &|| b.log().contains("a value in etcd cannot be used"));
    cluster.status().says("ignored key /shareward/office/settings");
    add("short-1").failure().says("2245");
    a.configured(&["cluster", "set", "min_password_length", "8"]).success();
    cluster.status().says("setting min_password_length = 8");
    a.configured(&["cluster", "unset", "min_password_length"]).success();
    until("the rule still holds", &|| add("short-1").text().contains("successfully"));
    a.configured(&["cluster", "history"]).success().says("change settings settings");
}

#[tokio::test]
async fn nodes_join_with_a_free_name_and_leave_when_others_have_their_shares() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    join(&cluster);
    let invitation = cluster.nodes[0].configured(&["cluster", "invite"]).success().stdout;
    cluster.add("a", Ipv4Addr::new(127, 0, 77, 9), free_port(), "");
    let taken = cluster.nodes[2].configured(&["cluster", "join", invitation.trim()]).failure();
    taken.says("another node of the cluster is called a");
    let started = Instant::now();
    while !cluster.nodes[2].log().contains("another server has the name of this node") {
        assert!(started.elapsed() < BACK_MAX, "{}", cluster.nodes[2].log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(connect(&cluster.nodes[2]).await.is_err());
    cluster.nodes.remove(2).stop();
    let forged = format!("office.0123456789abcdef.{}", "0".repeat(64));
    cluster.nodes[1].configured(&["cluster", "join", &forged]).failure().says("was used");
    cluster.nodes[1].configured(&["cluster", "join", "x"]).failure().says("no invitation");

    let first = cluster.owner(None).await;
    let second = 1 - first;
    cluster.nodes[first].configured(&["cluster", "leave"]).success().says("has left the cluster");
    assert_eq!(cluster.owner(Some(first)).await, second);
    let names = ["a", "b"];
    let status = cluster.nodes[second].configured(&["cluster", "status", "--json"]).success().stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let nodes = status["cluster"]["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|it| it["name"] == names[second]), "{status}");
    assert!(!cluster.nodes[first].state_dir().join("cluster-office.secret").exists());
    let last = cluster.nodes[second].configured(&["cluster", "leave"]).failure();
    last.says("no other node can own the share");
    assert!(connect(&cluster.nodes[second]).await.is_ok());
    cluster.nodes[second].configured(&["cluster", "leave", "/force"]).success();
    assert!(connect(&cluster.nodes[second]).await.is_err());
}

/// Keys of another version of Shareward, and a directory that is not the storage of its share, are not used until they are
/// right again.
#[tokio::test]
async fn keys_of_another_version_and_another_storage_are_not_used() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (names, first) = (["a", "b"], cluster.owner(None).await);
    let second = &cluster.nodes[1 - first];
    let away = cluster.storage.path().join("away");
    std::fs::rename(cluster.directory(), &away).unwrap();
    std::fs::create_dir(cluster.directory()).unwrap();
    std::fs::set_permissions(cluster.directory(), PermissionsExt::from_mode(0o777)).unwrap();
    second.configured(&["cluster", "move", "shared", names[1 - first]]).success();
    let started = Instant::now();
    while !second.log().contains("the directory is not the storage of this share") {
        assert!(started.elapsed() < BACK_MAX, "{}", second.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(connect(second).await.is_err(), "another directory is served");
    std::fs::remove_dir_all(cluster.directory()).unwrap();
    std::fs::rename(&away, cluster.directory()).unwrap();
    cluster.owner(None).await;

    let key = "/shareward/office/schema";
    let schema = cluster.etcd.ctl(&["get", key, "--print-value-only"]).success().stdout;
    let reason = "those of another version of Shareward";
    let told = || cluster.nodes.iter().map(|it| it.log().matches(reason).count()).collect::<Vec<_>>();
    for (version, other) in [("newer", "\"version\":2"), ("older", "\"version\":0")] {
        let before = told();
        let value = schema.replace("\"version\":1", other);
        assert_ne!(value, schema);
        cluster.etcd.ctl(&["put", key, value.trim()]).success();
        let started = Instant::now();
        while connect(&cluster.nodes[0]).await.is_ok() || connect(&cluster.nodes[1]).await.is_ok() {
            assert!(started.elapsed() < BACK_MAX, "shares are served by the keys of {version} servers");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let started = Instant::now();
        while told().iter().zip(&before).any(|(now, before)| now == before) {
            assert!(started.elapsed() < BACK_MAX, "{version}: {}", second.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for words in [
            ["share", "shared", "remark='x'"].as_slice(),
            &["move", "shared", "a"],
            &["drain", "a"],
            &["set", "min_password_length", "9"],
            &["delete", "shared"],
            &["invite"],
        ] {
            second.configured(&[&["cluster"], words].concat()).failure().says(reason);
        }
        let kept = cluster.etcd.ctl(&["get", key, "--print-value-only"]).success().stdout;
        assert_eq!(kept.trim(), value.trim(), "the keys of {version} servers are changed");
        cluster.etcd.ctl(&["put", key, schema.trim()]).success();
        cluster.owner(None).await;
        for node in &cluster.nodes {
            let started = Instant::now();
            loop {
                let answers = ask(node, "admin", &[("/v1/cluster", String::new())]).await;
                let (status, body) = &answers[0];
                assert_eq!(*status, 200, "{body}");
                if body.contains(r#""trouble":null"#) {
                    break;
                }
                assert!(started.elapsed() < BACK_MAX, "the trouble stays: {body}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The control API shows the cluster to those who may see all shares, and has administrators change it.
#[tokio::test]
async fn control_api_shows_and_changes_the_cluster() {
    if !need(&["etcd", "etcdctl", "curl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (names, first) = (["a", "b"], cluster.owner(None).await);
    let asked = |path: &str, body: &str| -> serde_json::Value {
        let mut command = std::process::Command::new("curl");
        command.args(["-s", "--unix-socket"]).arg(cluster.nodes[0].socket());
        if !body.is_empty() {
            command.args(["-X", "POST", "-H", "Content-Type: application/json", "-d", body]);
        }
        command.arg(format!("http://server/v1/cluster{path}"));
        let output = run(command, b"", Duration::from_secs(20)).success();
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
    };
    let shown = asked("", "");
    assert_eq!(
        (&shown["name"], &shown["node"], &shown["trouble"]),
        (&"office".into(), &"a".into(), &serde_json::Value::Null)
    );
    assert_eq!(shown["shares"][0]["owner"], names[first]);
    assert_eq!(shown["nodes"].as_array().map(Vec::len), Some(2));
    cluster.etcd.ctl(&["put", "/shareward/office/shares/shared", "{}"]).success();
    let started = Instant::now();
    while asked("", "")["refused"][0]["key"] != "/shareward/office/shares/shared" {
        assert!(started.elapsed() < Duration::from_secs(5), "the refused value is not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let moved = asked("/moves", &format!(r#"{{"share": "shared", "node": "{}"}}"#, names[1 - first]));
    // Nobody knows which nodes reach its storage.
    assert_eq!(moved["code"], 87, "{moved}");
    let drained = asked("/drains", &format!(r#"{{"node": "{}", "drain": true}}"#, names[first]));
    assert!(drained["nodes"].is_array(), "{drained}");
    assert_eq!(cluster.owner(Some(first)).await, 1 - first);
    asked("/drains", &format!(r#"{{"node": "{}", "drain": false}}"#, names[first]));
    let none = asked("/moves", r#"{"share": "none", "node": "a"}"#);
    assert_eq!(none["code"], 2310, "{none}");
    let unknown = asked("/drains", r#"{"node": "c", "drain": true}"#);
    assert!(unknown["hint"].as_str().is_some_and(|it| it.contains("no member")), "{unknown}");
    let changes = asked("/changes", "");
    assert_eq!(changes["items"][0]["act"], "undrain node", "{changes}");
    assert_eq!(changes["items"][0]["from"], "the control socket");
}
