//! Shares of a cluster as Windows' tools see and change them, by MS-SRVS on any node, with a real etcd.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use auth::Credentials;
use client::{Administration as _, Error, Remote, SrvsClient};
use control::{NewShare, Share, ShareChange};
use testkit::{Shareward, need};

use crate::cluster::{Cluster, connect};

fn srvs(node: &Shareward, user: &str) -> SrvsClient<Remote> {
    let user = node.setup().user(user);
    let place = node.address().to_string().parse().expect("a place");
    SrvsClient::new(Remote::new(place, Credentials::password(&user.name, "", &user.password)))
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> u32 {
    match answer {
        Err(Error::Refused(error)) => error.code,
        other => panic!("no refusal: {other:?}"),
    }
}

/// Waits until a node shows a share as it should be. The nodes apply a change within a second.
async fn soon(
    admin: &SrvsClient<Remote>,
    name: &str,
    is_so: impl Fn(Option<&Share>) -> bool,
) -> Option<Share> {
    let started = Instant::now();
    loop {
        let shares = admin.shares().await.expect("shares");
        let share = shares.into_iter().find(|it| it.name.eq_ignore_ascii_case(name));
        if is_so(share.as_ref()) {
            return share;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{name}: {share:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn ms_srvs_changes_shares_of_the_cluster_on_any_node() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 3, "");
    let admins: Vec<SrvsClient<Remote>> = cluster.nodes.iter().map(|it| srvs(it, "admin")).collect();
    let (plans, local) = (cluster.storage.path().join("plans"), tempfile::tempdir().unwrap());
    std::fs::create_dir(&plans).unwrap();
    std::fs::set_permissions(&plans, PermissionsExt::from_mode(0o777)).unwrap();
    let new = |name: &str, path: &std::path::Path| NewShare {
        name: name.to_owned(),
        path: path.display().to_string(),
        ..NewShare::default()
    };

    // A directory below 'paths' is one of the cluster, any other one the node's own.
    assert_eq!(code(srvs(&cluster.nodes[0], "alice").add_share(&new("plans", &plans)).await), 5);
    admins[0].add_share(&new("plans", &plans)).await.expect("add");
    admins[0].add_share(&new("local", local.path())).await.expect("add");
    for admin in &admins {
        let share = soon(admin, "plans", |it| it.is_some()).await.expect("a share");
        assert!(
            share.path.as_deref().is_some_and(|it| it.replace('\\', "/").ends_with("plans")),
            "{share:?}"
        );
    }
    let keys = cluster.etcd.ctl(&["get", "--prefix", "/shareward/office/shares/", "--keys-only"]).success();
    assert!(keys.stdout.contains("shares/plans") && !keys.stdout.contains("local"), "{}", keys.stdout);
    assert!(admins[1].shares().await.expect("shares").iter().all(|it| it.name != "local"));
    assert_eq!(code(admins[1].add_share(&new("PLANS", &plans)).await), 2118);

    // Each node changes it, whether it serves it or not, and everybody browses it.
    for (index, admin) in admins.iter().enumerate() {
        let comment = format!("of node {index}");
        let change = ShareChange { comment: Some(comment.clone()), ..ShareChange::default() };
        let started = Instant::now();
        while let Err(error) = admin.change_share("plans", &change).await {
            // The change of the last node may just be seen by this one.
            assert!(started.elapsed() < Duration::from_secs(10), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for other in &admins {
            soon(other, "plans", |it| it.is_some_and(|it| it.comment == comment)).await;
        }
    }
    let listed = srvs(&cluster.nodes[2], "alice").shares().await.expect("shares");
    assert!(listed.iter().any(|it| it.name == "plans") && listed.iter().any(|it| it.name == "shared"));
    // The share that was given keeps the keys that MS-SRVS does not know.
    let limit = ShareChange { uses_max: Some(7), ..ShareChange::default() };
    admins[2].change_share("shared", &limit).await.expect("change");
    soon(&admins[0], "shared", |it| it.is_some_and(|it| it.uses_max == Some(7))).await;
    let defined = cluster.etcd.ctl(&["get", "/shareward/office/shares/shared", "--print-value-only"]);
    assert!(defined.stdout.contains("\"continuous\":true"), "{}", defined.stdout);
    assert_eq!(code(admins[0].change_share("nothing", &limit).await), 2310);
    assert_eq!(code(srvs(&cluster.nodes[0], "alice").delete_share("plans").await), 5);

    let history = cluster.nodes[0].configured(&["cluster", "history"]).success();
    history.says("add share plans").says("on c: change share plans").says("max_users: - -> 7");
    let owner = cluster.owner(None).await;
    let elsewhere = (owner + 1) % 3;
    admins[elsewhere].delete_share("shared").await.expect("delete");
    for admin in &admins {
        soon(admin, "shared", |it| it.is_none()).await;
    }
    let started = Instant::now();
    while connect(&cluster.nodes[owner]).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(10), "a deleted share is served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(cluster.directory().is_dir(), "its files stay");
}
