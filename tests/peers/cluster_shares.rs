//! The shares of a cluster, added, changed and deleted from any node, with a real etcd.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use client::smb::{Break, CreateParameters};
use testkit::{Output, Shareward, need, run, shareward_binary};
use wire::OplockLevel;
use wire::msg::OplockBreak;

use crate::cluster::{BACK_MAX, Cluster, connect, logon};

/// The nodes apply a change within a second, and a busy machine may take some more.
const APPLIED_MAX: Duration = Duration::from_secs(5);

fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < APPLIED_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command over SMB as a user.
fn as_user(node: &Shareward, user: &str, words: &[&str]) -> Output {
    let user = node.setup().user(user);
    let mut command = Command::new(shareward_binary());
    command.args(words).args(["--server", &node.address().to_string(), "--login", &user.name]);
    command.env("SHAREWARD_PASSWORD", &user.password);
    run(command, b"", Duration::from_secs(60))
}

#[tokio::test]
async fn shares_are_added_changed_and_deleted_from_any_node() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let plans = cluster.storage.path().join("plans");
    std::fs::create_dir(&plans).unwrap();
    std::fs::set_permissions(&plans, PermissionsExt::from_mode(0o777)).unwrap();
    let what = format!("plans={}", plans.display());
    let refused = as_user(a, "alice", &["share", &what, "/cluster"]).failure();
    assert!(refused.text().contains("System error 5"), "{}", refused.text());
    b.net(&["share", &what, "/cluster", "/grant:Everyone,full"]).success().says("was shared successfully");
    b.net(&["share"]).success().says("plans is a share of the cluster");
    soon("the other node does not know the share", || a.net(&["share"]).text().contains("plans is a share"));
    a.net(&["share", &what]).failure().says("2118");
    a.net(&["share", &what, "/cluster"]).failure().says("2118");
    let etc = a.net(&["share", "etc=/etc", "/cluster"]).failure();
    assert!(etc.text().contains("not below a directory of 'paths'"), "{}", etc.text());

    as_user(a, "admin", &["share", "PLANS", "/remark:of the year"]).success();
    soon("the other node has another remark", || b.net(&["share", "plans"]).text().contains("of the year"));
    // One that was given is changed as well, and keeps its other settings.
    b.net(&["share", "shared", "/users:7"]).success();
    soon("no limit", || a.net(&["share", "shared"]).success().text().contains('7'));
    let defined = cluster.etcd.ctl(&["get", "/shareward/office/shares/shared", "--print-value-only"]);
    assert!(defined.text().contains("\"continuous\":true"), "{}", defined.text());
    let history = a.configured(&["cluster", "history"]).success();
    history
        .says("add share plans")
        .says("remark: - -> \"of the year\"")
        .says("max_users: - -> 7")
        .says("admin (127.0.0.1) on a: change share")
        .says(" on b: change share shared");

    // The owner has its clients write back before a share ends.
    let owner = cluster.owner(None).await;
    let tree = connect(&cluster.nodes[owner]).await.expect("connect");
    let parameters =
        CreateParameters { oplock: OplockLevel::BATCH, ..CreateParameters::read_write("cached") };
    let file = tree.create(&parameters).await.expect("create");
    let mut breaks = tree.connection().breaks();
    let client = tokio::spawn(async move {
        let Some(Break::Oplock(OplockBreak { file_id, oplock_level })) =
            breaks.next().await.expect("a break")
        else {
            panic!("the connection ended without a break");
        };
        file.write(0, b"cached".to_vec()).await.expect("write");
        tree.acknowledge_oplock(file_id, oplock_level).await.expect("acknowledge");
    });
    cluster.nodes[1 - owner].net(&["share", "shared", "/delete", "/yes"]).success();
    tokio::time::timeout(BACK_MAX, client).await.expect("a break").expect("the client");
    let started = Instant::now();
    while connect(&cluster.nodes[owner]).await.is_ok() {
        assert!(started.elapsed() < APPLIED_MAX, "a deleted share is served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(std::fs::read(cluster.directory().join("cached")).unwrap(), b"cached");
    a.net(&["share", "shared"]).failure().says("2310");
    b.configured(&["cluster", "history"]).success().says("delete share shared");
    assert!(logon(a, &[]).await.is_ok());
}

/// Of two changes at the same time, one is carried out. The other one is refused with the first, and changes nothing.
#[test]
fn changes_at_the_same_time_are_refused_with_the_one_that_was_first() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let cluster = Cluster::start(1, 2, "");
    let (mut lost, mut done) = (0, 0);
    for round in 0..20 {
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let cluster = &cluster;
            let writers = (0..8).map(|writer| {
                let remark = format!("/remark:{round}-{writer}");
                scope.spawn(move || cluster.nodes[writer % 2].net(&["share", "shared", &remark]))
            });
            let writers: Vec<_> = writers.collect();
            writers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for output in outputs {
            if output.text().contains("was changed at the same time, so nothing was changed") {
                let named = output.text().contains("change share shared")
                    && output.text().contains("(the control socket) on node");
                assert!(named, "{}", output.text());
                output.failure();
                lost += 1;
            } else {
                output.success();
                done += 1;
            }
        }
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "no change was refused in {done}");
    let history = cluster.nodes[0].configured(&["cluster", "history"]).success().text();
    assert_eq!(history.matches("change share shared").count(), done, "{history}");
}

/// A definition that cannot be used changes nothing, also when the owner changes; it is reported, and can be deleted.
#[tokio::test]
async fn hostile_definitions_change_nothing_and_are_reported() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    let owner = cluster.owner(None).await;
    let key = "/shareward/office/shares/shared";
    let good = cluster.etcd.ctl(&["get", key, "--print-value-only"]).success().text();
    for hostile in [
        "\u{1}",
        "{\"weight\":1,\"definition\":{\"token\":\"t\",\"share\":{\"name\":\"shared\",\"path\":\"/etc\"}}}",
    ] {
        cluster.etcd.ctl(&["put", key, hostile]).success();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(connect(&cluster.nodes[owner]).await.is_ok(), "{hostile:?}");
        cluster.status().says("ignored key /shareward/office/shares/shared");
    }
    cluster.nodes[owner].kill();
    let second = cluster.owner(Some(owner)).await;
    assert!(cluster.nodes[second].log().contains("a value in etcd cannot be used"));
    cluster.etcd.ctl(&["put", key, good.trim()]).success();
    soon("the definition is still refused", || !cluster.status().text().contains("ignored key"));
    cluster.etcd.ctl(&["put", key, "{}"]).success();
    cluster.nodes[second].net(&["share", "shared", "/remark:x"]).failure().says("not what this key has");
    cluster.nodes[second].configured(&["cluster", "delete", "shared"]).success();
    let started = Instant::now();
    while connect(&cluster.nodes[second]).await.is_ok() {
        assert!(started.elapsed() < BACK_MAX, "a deleted share is served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Of several shares that are to get one address at the same time, one gets it. The others are refused, then and later, and
/// change nothing.
#[test]
fn address_is_that_of_one_share_when_administrators_race() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let lines = "share_addresses = [\"192.0.2.0/24\"]\naddress_command = [\"/bin/true\"]\n";
    let cluster = Cluster::start(1, 2, lines);
    let shares = ["shared", "plans", "drafts", "photos"];
    for name in &shares[1..] {
        let path = cluster.storage.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        let what = format!("{name}={}", path.display());
        cluster.nodes[0].configured(&["cluster", "share", &what]).success();
    }
    let holders = |address: &str| -> Vec<&str> {
        let has = |name: &&str| {
            let key = format!("/shareward/office/shares/{name}");
            let value = cluster.etcd.ctl(&["get", &key, "--print-value-only"]).success().stdout;
            value.contains(&format!("\"{address}\""))
        };
        shares.into_iter().filter(has).collect()
    };
    let raced = "the cluster was changed at the same time, so nothing was changed";
    let mut lost = 0;
    for round in 1..=20 {
        let address = format!("192.0.2.{round}");
        let words = format!("addresses={address}");
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let (cluster, words) = (&cluster, &words);
            let writers = shares.iter().enumerate().map(|(writer, share)| {
                let words = ["cluster", "share", *share, words.as_str()];
                scope.spawn(move || cluster.nodes[writer % 2].configured(&words))
            });
            let writers: Vec<_> = writers.collect();
            writers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let holder = holders(&address);
        let [holder] = holder.as_slice() else { panic!("{address} is an address of {holder:?}") };
        for (share, output) in shares.iter().zip(outputs) {
            let text = output.text();
            if share == holder {
                output.success();
            } else if text.contains(raced) {
                assert!(text.contains("The last change: ") && text.contains("change share"), "{text}");
                output.failure();
                lost += 1;
            } else {
                output.failure().says(&format!("{address} is an address of the share \"{holder}\""));
            }
        }
        for share in shares.iter().filter(|share| *share != holder) {
            let refused = cluster.nodes[0].configured(&["cluster", "share", share, &words]).failure();
            refused.says(&format!("{address} is an address of the share \"{holder}\""));
        }
        assert_eq!(holders(&address), [*holder]);
        if lost > 0 && round >= 3 {
            return;
        }
    }
    panic!("no two changes were at the same time");
}
