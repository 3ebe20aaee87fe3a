//! Groups of a cluster, and users by `shareward user`, with a real etcd.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::smb::{ClientConnection, ConnectOptions, CreateParameters};
use testkit::{Output, Shareward, need, run};
use wire::Guid;

use crate::cluster::{BACK_MAX, Cluster};

async fn logs_on(node: &Shareward, user: &str, password: &str) -> bool {
    let options = ConnectOptions::with_guid(Guid([7; 16]));
    let connection = ClientConnection::connect(node.address(), None, options).await.expect("connect");
    connection.logon(Credentials::password(user, "", password)).await.is_ok()
}

/// True if the user can connect to the share at one of the nodes and write in it.
async fn writes(cluster: &Cluster, user: &str, password: &str, share: &str) -> bool {
    for node in &cluster.nodes {
        let options = ConnectOptions::with_guid(Guid([8; 16]));
        let connection = ClientConnection::connect(node.address(), None, options).await.expect("connect");
        let session = connection.logon(Credentials::password(user, "", password)).await.expect("logon");
        if let Ok(tree) = session.tree_connect(&format!(r"\\tested\{share}")).await
            && tree.create(&CreateParameters::read_write(&format!("by-{user}"))).await.is_ok()
        {
            return true;
        }
    }
    false
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < BACK_MAX, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn user_command(node: &Shareward, words: &[&str], input: &str) -> Output {
    run(node.configured_command(&[&["user"], words].concat()), input.as_bytes(), Duration::from_secs(60))
}

fn join_all(cluster: &Cluster) {
    for node in &cluster.nodes[1..] {
        let invitation = cluster.nodes[0].configured(&["cluster", "invite"]).success().stdout;
        node.configured(&["cluster", "join", invitation.trim()]).success();
    }
}

#[tokio::test]
async fn groups_and_users_reach_every_node_at_once() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let own = "users = true\n[[group]]\nname = \"watchers\"\nusers = [\"NODE-only\"]\n";
    let cluster = Cluster::start(1, 3, own);
    join_all(&cluster);
    let (a, b, c) = (&cluster.nodes[0], &cluster.nodes[1], &cluster.nodes[2]);

    // Without a running server's help, a user of the cluster is added, and logs on at another node with the next request.
    user_command(a, &["add", "carol"], "first-Secret-1\n").success();
    until("carol does not log on", async || logs_on(c, "carol", "first-Secret-1").await).await;
    user_command(b, &["add", "CAROL"], "x-Secret-1\n").failure().says("already exists");
    user_command(b, &["list"], "").success().says("alice").says("carol");
    user_command(b, &["passwd", "carol"], "second-Secret-2\n").success();
    until("the old password is valid", async || logs_on(a, "carol", "second-Secret-2").await).await;
    user_command(b, &["passwd", "nobody-here"], "second-Secret-2\n").failure();
    assert!(!std::fs::read_to_string(a.users_file()).unwrap().contains("carol"));
    // One of the file is changed there.
    user_command(b, &["passwd", "alice"], "third-Secret-3\n").success();
    until("alice has the old password", async || logs_on(b, "alice", "third-Secret-3").await).await;
    assert!(!logs_on(a, "alice", "third-Secret-3").await);
    let history = a.configured(&["cluster", "history"]).success();
    history.says("add user carol").says("change user carol").never_says("user alice");

    // A group that was added on one node counts on the others: it gives rights at the next connection.
    let plans = cluster.storage.path().join("plans");
    std::fs::create_dir(&plans).unwrap();
    std::fs::set_permissions(&plans, PermissionsExt::from_mode(0o777)).unwrap();
    a.net(&["net", "localgroup", "editors", "/add", "/comment:They write"]).success();
    let what = format!("plans={}", plans.display());
    a.net(&["share", &what, "/cluster", "/grant:@editors,CHANGE"]).success();
    for node in [b, c] {
        until("the group is not there", async || {
            node.net(&["net", "localgroup"]).success().text().contains("editors")
        })
        .await;
    }
    assert!(!writes(&cluster, "carol", "second-Secret-2", "plans").await);
    b.net(&["net", "localgroup", "editors", "carol", "/add"]).success();
    b.net(&["net", "localgroup", "editors"]).success().says("carol").says("They write");
    b.net(&["net", "localgroup", "editors", "carol", "/add"]).failure().says("1378");
    until("carol cannot write", async || writes(&cluster, "carol", "second-Secret-2", "plans").await).await;
    c.net(&["net", "localgroup", "EDITORS", "carol", "/delete"]).success();
    until("carol still writes", async || !writes(&cluster, "carol", "second-Secret-2", "plans").await).await;

    // Groups of the file are the node's own, and the file gets none of the cluster's.
    c.net(&["net", "localgroup", "watchers", "alice", "/add"]).success();
    c.net(&["net", "localgroup", "watchers"]).success().says("alice").says("c-only");
    a.net(&["net", "localgroup", "watchers"]).success().never_says("alice").says("a-only");
    let file = std::fs::read_to_string(c.config()).unwrap();
    assert!(file.contains("watchers") && !file.contains("editors"), "{file}");
    c.net(&["net", "localgroup", "editors", "/add"]).failure().says("1379");

    // etcd does not know what is in a group, and a value that was not sealed counts nowhere.
    let key = "/shareward/office/groups/editors";
    let sealed = cluster.etcd.ctl(&["get", key, "--print-value-only"]).success().stdout;
    assert!(sealed.contains("sealed") && !sealed.contains("They write"), "{sealed}");
    let hostile = r#"{"name":"editors","comment":"","users":["alice"],"groups":[]}"#;
    cluster.etcd.ctl(&["put", key, hostile]).success();
    cluster.etcd.ctl(&["put", "/shareward/office/groups/watchers", sealed.trim()]).success();
    until("the value is not reported", async || {
        a.log().contains("a value in etcd cannot be used") && a.log().contains("groups/watchers")
    })
    .await;
    a.net(&["net", "localgroup", "editors"]).success().says("They write").never_says("alice");
    cluster.etcd.ctl(&["put", key, sealed.trim()]).success();

    b.net(&["net", "localgroup", "editors", "/delete"]).success();
    for node in [a, c] {
        until("a deleted group is there", async || {
            !node.net(&["net", "localgroup"]).success().text().contains("editors")
        })
        .await;
    }
    a.net(&["net", "localgroup", "editors"]).failure().says("1376");
    let history = a.configured(&["cluster", "history"]).success();
    history
        .says("add group editors")
        .says("change group editors")
        .says("+carol")
        .says("delete group editors");
}

/// A change of the cluster needs nothing of the users file, which may be on a full or read-only file system.
#[tokio::test]
async fn users_of_the_cluster_are_changed_although_the_users_file_cannot_be_written() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "users = true\n");
    join_all(&cluster);
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let file = a.users_file();
    let before = std::fs::read(&file).unwrap();
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    a.net(&["net", "user", "carol", "first-Secret-1", "/add"]).success();
    until("carol does not log on", async || logs_on(b, "carol", "first-Secret-1").await).await;
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), modified, "the file was replaced");
}
