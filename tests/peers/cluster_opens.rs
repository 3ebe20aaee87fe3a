//! Opens that outlive their owner, beyond what they write: files that are to be deleted when they are closed, and locks. And
//! the shares of the file of a node that finds no etcd.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use client::smb::{CreateParameters, Error, File};
use testkit::{free_port, need};
use wire::NtStatus;
use wire::msg::{CreateOptions, LockFlags};

use crate::cluster::{BACK_MAX, Cluster, connect, logon, persistent_open};
use crate::continuous;
use crate::scripted::refused;

/// The ways in which a share gets another owner.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Kill,
    Move,
}

/// A file that is to be deleted on close stays while its client is away, and is deleted by the owner that closes it.
#[tokio::test]
async fn next_owner_deletes_a_file_on_close() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    for change in [Change::Move, Change::Kill] {
        let first = cluster.owner(None).await;
        let tree = connect(&cluster.nodes[first]).await.expect("connect");
        let parameters = |reclaimed| {
            let mut parameters = persistent_open("gone", 3, reclaimed);
            parameters.options |= CreateOptions::DELETE_ON_CLOSE;
            parameters
        };
        let id = tree.create(&parameters(None)).await.expect("create").id();
        let path = cluster.directory().join("gone");
        assert!(path.exists());
        let second = change_owner(&mut cluster, change, first).await;
        assert!(path.exists(), "{change:?} closes the open of a client that is away");
        let tree = connect(&cluster.nodes[second]).await.expect("connect");
        let file = tree.create(&parameters(Some(id))).await.expect("reclaim");
        file.write(0, b"here".to_vec()).await.expect("write");
        assert!(path.exists());
        file.close().await.expect("close");
        assert!(!path.exists(), "it stays after {change:?}");
        if change == Change::Kill {
            cluster.nodes[first].start_again();
        }
    }
}

/// A lock is held by one open also after the share has another owner, whether its client is back or not.
#[tokio::test]
async fn next_owner_keeps_a_lock_from_others() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    for change in [Change::Move, Change::Kill] {
        let first = cluster.owner(None).await;
        let tree = connect(&cluster.nodes[first]).await.expect("connect");
        let file = tree.create(&persistent_open("locked", 3, None)).await.expect("create");
        let other = tree.create(&persistent_open("locked", 4, None)).await.expect("create");
        lock(&file, LockFlags::EXCLUSIVE_LOCK, 0x11).await.expect("lock");
        refused(lock(&other, LockFlags::EXCLUSIVE_LOCK, 0x11).await, NtStatus::LOCK_NOT_GRANTED);
        let ids = (file.id(), other.id());
        let second = change_owner(&mut cluster, change, first).await;
        let tree = connect(&cluster.nodes[second]).await.expect("connect");
        let other = tree.create(&persistent_open("locked", 4, Some(ids.1))).await.expect("reclaim");
        refused(lock(&other, LockFlags::EXCLUSIVE_LOCK, 0x22).await, NtStatus::LOCK_NOT_GRANTED);
        let file = tree.create(&persistent_open("locked", 3, Some(ids.0))).await.expect("reclaim");
        refused(lock(&other, LockFlags::EXCLUSIVE_LOCK, 0x33).await, NtStatus::LOCK_NOT_GRANTED);
        lock(&file, LockFlags::UNLOCK, 0x22).await.expect("unlock");
        lock(&other, LockFlags::EXCLUSIVE_LOCK, 0x44).await.expect("lock");
        file.close().await.expect("close");
        other.close().await.expect("close");
        if change == Change::Kill {
            cluster.nodes[first].start_again();
        }
    }
}

/// In a planned move, no error reaches a client with persistent handles: it loses its connection, and comes back to the next
/// owner. A client without them keeps its connection, and is told that the share is gone.
#[tokio::test]
async fn planned_move_ends_the_connections_of_persistent_handles() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 2, "");
    let first = cluster.owner(None).await;
    let persistent = connect(&cluster.nodes[first]).await.expect("connect");
    let file = persistent.create(&persistent_open("kept", 3, None)).await.expect("create");
    let plain = connect(&cluster.nodes[first]).await.expect("connect");
    let other = plain.create(&CreateParameters::read_write("not-kept")).await.expect("create");
    let id = file.id();
    let writing = tokio::spawn(async move {
        for number in (0_u8..=u8::MAX).cycle() {
            if let Err(error) = file.write(0, vec![number; 100]).await {
                return error;
            }
        }
        unreachable!("a client writes until it cannot")
    });
    let second = change_owner(&mut cluster, Change::Move, first).await;
    let ended = tokio::time::timeout(BACK_MAX, writing).await.expect("the writes end").expect("the client");
    assert!(matches!(ended, Error::Io(_)), "{ended}");
    refused(other.write(0, vec![1]).await.map(drop), NtStatus::NETWORK_NAME_DELETED);
    let tree = connect(&cluster.nodes[second]).await.expect("connect");
    let file = tree.create(&persistent_open("kept", 3, Some(id))).await.expect("reclaim");
    file.write(0, b"here".to_vec()).await.expect("write");
}

/// A node that starts while etcd is away serves the shares of its file, says why it serves none of the cluster's, and takes
/// part when etcd is there.
#[tokio::test]
async fn node_without_etcd_serves_the_shares_of_its_file() {
    if !need(&["etcd", "etcdctl"]) {
        return;
    }
    let mut cluster = Cluster::start(1, 1, "");
    cluster.etcd.kill(0);
    let own = cluster.storage.path().join("own");
    std::fs::create_dir(&own).expect("a directory");
    let own = format!("[[share]]\nname = \"own\"\npath = {own:?}\n");
    cluster.add("b", Ipv4Addr::new(127, 0, 77, 2), free_port(), &own);
    cluster.nodes[0].kill();
    let node = &cluster.nodes[1];
    let session = logon(node, &[]).await.expect("logon");
    session.tree_connect(r"\\tested\own").await.expect("a share of its file");
    refused(session.tree_connect(r"\\tested\shared").await.map(drop), NtStatus::BAD_NETWORK_NAME);
    let started = Instant::now();
    while !node.log().contains("Connection refused") {
        assert!(started.elapsed() < BACK_MAX, "the reason is not logged: {}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.etcd.restart(0);
    assert_eq!(cluster.owner(Some(0)).await, 1);
}

/// Has the other node own the share, and returns its index.
async fn change_owner(cluster: &mut Cluster, change: Change, first: usize) -> usize {
    let second = 1 - first;
    match change {
        Change::Kill => cluster.nodes[first].kill(),
        Change::Move => {
            let name = ["a", "b"][second];
            cluster.nodes[second].configured(&["cluster", "move", "shared", name]).success();
        }
    }
    let started = Instant::now();
    while connect(&cluster.nodes[second]).await.is_err() {
        assert!(started.elapsed() < BACK_MAX, "{change:?}: nobody serves the share");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    second
}

/// A LOCK of eight bytes that does not wait.
async fn lock(file: &File, flags: LockFlags, sequence: u32) -> Result<(), Error> {
    let flags = if flags == LockFlags::UNLOCK { flags } else { flags | LockFlags::FAIL_IMMEDIATELY };
    continuous::lock(file, 0, flags, sequence).await
}
