//! Tests of shares whose directory is replaced while clients are connected.

use std::path::Path;
use std::sync::Arc;

use auth::Credentials;
use auth::users::UserDb;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, File, InFlight};
use vfs::local::{LocalBackend, LocalOptions};
use wire::FileTime;
use wire::msg::{CompletionFilter, OutputResponse, WatchFlags};

use super::TestServer;
use crate::core::config::{Settings, ShareSettings};

const PASSWORD: &str = "Wonder-Land 1";

fn server(directory: &Path) -> TestServer {
    server_of(&[("data", directory)])
}

fn server_of(shares: &[(&str, &Path)]) -> TestServer {
    let mut settings = Settings::conventional(false, |_| None);
    settings.control_socket = None;
    settings.state_directory = "/nonexistent/shareward".into();
    let shares = shares.iter().map(|(name, path)| ShareSettings::new((*name).into(), (*path).into()));
    settings.shares.extend(shares);
    let mut accounts = UserDb::default();
    accounts.add("alice", 60_001, PASSWORD, FileTime::from_unix(1_700_000_000, 0)).unwrap();
    TestServer::start(settings, accounts, 1, |share| {
        Ok(Arc::new(LocalBackend::open(&share.path, LocalOptions::default())?))
    })
}

async fn connect(server: &TestServer) -> (ClientConnection, ClientTree) {
    connect_to(server, "data").await
}

async fn connect_to(server: &TestServer, share: &str) -> (ClientConnection, ClientTree) {
    let (from, to) = tokio::io::split(server.connect());
    let connection = ClientConnection::over(from, to, ConnectOptions::new().unwrap());
    connection.negotiate().await.unwrap();
    let session = connection.logon(Credentials::password("alice", "", PASSWORD)).await.unwrap();
    let tree = session.tree_connect(&format!(r"\\localhost\{share}")).await.unwrap();
    (connection, tree)
}

/// Starts watching the names in the root.
async fn watch(tree: &ClientTree) -> (File, InFlight) {
    let root = tree.create(&CreateParameters::directory("")).await.unwrap();
    let notify = root.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::WATCH_TREE, 1000).await.unwrap();
    assert!(notify.pending().await.is_some());
    (root, notify)
}

async fn make(tree: &ClientTree, name: &str) {
    tree.create(&CreateParameters::read_write(name)).await.unwrap().close().await.unwrap();
}

/// The first name that a watch reports.
async fn told(notify: InFlight) -> String {
    let answer = notify.response().await.unwrap();
    let changes = OutputResponse::decode(&answer.message).unwrap().output_buffer;
    let name: Vec<u16> =
        changes[12..].as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16(&name).unwrap()
}

#[tokio::test]
async fn a_watch_does_not_report_changes_of_a_replaced_root() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("share");
    std::fs::create_dir(&directory).unwrap();
    let server = server(&directory);
    let (_one, before) = connect(&server).await;
    let (_root, of_before) = watch(&before).await;

    std::fs::rename(&directory, parent.path().join("away")).unwrap();
    std::fs::create_dir(&directory).unwrap();
    let (_two, after) = connect(&server).await;
    let (_root, of_after) = watch(&after).await;
    make(&after, "new").await;
    make(&before, "old").await;
    assert!(parent.path().join("away/old").exists() && directory.join("new").exists());
    assert_eq!((told(of_before).await, told(of_after).await), ("old".to_owned(), "new".to_owned()));
}

/// The shares `all` and `data`, which is in it; `exchanged` takes the place of what was there when clients had
/// connected. They connect again to `first`, and then to the other.
async fn nested_shares_tell_each_other_after(exchanged: &str, first: &str) {
    let parent = tempfile::tempdir().unwrap();
    let (outer, inner) = (parent.path().join("all"), parent.path().join("all/data"));
    std::fs::create_dir_all(&inner).unwrap();
    let server = server_of(&[("all", &outer), ("data", &inner)]);
    let (_one, outer_before) = connect_to(&server, "all").await;
    let (_two, inner_before) = connect_to(&server, "data").await;
    let (_root, of_outer_before) = watch(&outer_before).await;
    let (_root, _of_inner_before) = watch(&inner_before).await;

    std::fs::rename(parent.path().join(exchanged), parent.path().join("away")).unwrap();
    std::fs::create_dir_all(&inner).unwrap();
    let (_three, after) = connect_to(&server, first).await;
    let (_four, other) = connect_to(&server, if first == "all" { "data" } else { "all" }).await;
    let (outer_after, inner_after) = if first == "all" { (after, other) } else { (other, after) };
    let (_root, of_outer) = watch(&outer_after).await;
    let (_root, of_inner) = watch(&inner_after).await;
    let (_root, of_inner_too) = watch(&inner_after).await;
    make(&inner_after, "one").await;
    assert_eq!((told(of_outer).await, told(of_inner).await), (r"data\one".to_owned(), "one".to_owned()));
    make(&outer_after, r"data\two").await;
    assert_eq!(told(of_inner_too).await, "one", "and then two");
    let (_root, of_inner) = watch(&inner_after).await;
    make(&outer_after, r"data\three").await;
    assert_eq!(told(of_inner).await, "three");

    // Those who were connected before are together as they were, where all of it went.
    if (exchanged, first) == ("all", "all") {
        make(&inner_before, "four").await;
        assert_eq!(told(of_outer_before).await, r"data\four");
    }
}

#[tokio::test]
async fn nested_shares_tell_each_other_after_the_inner_directory_was_exchanged() {
    nested_shares_tell_each_other_after("all/data", "data").await;
    nested_shares_tell_each_other_after("all/data", "all").await;
}

#[tokio::test]
async fn nested_shares_tell_each_other_after_the_outer_directory_was_exchanged() {
    nested_shares_tell_each_other_after("all", "data").await;
    nested_shares_tell_each_other_after("all", "all").await;
}

#[tokio::test]
async fn a_connect_to_pipes_is_none_to_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path());
    let (_one, _pipes) = connect_to(&server, "IPC$").await;
    assert_eq!(server.server.files.watches.known_paths(), 0);
    let (_two, _files) = connect(&server).await;
    assert_eq!(server.server.files.watches.known_paths(), 1);
}
