//! Tests of shares whose directory is replaced while clients are connected.

use std::path::Path;
use std::sync::Arc;

use auth::Credentials;
use auth::users::UserDb;
use client::smb::{ClientConnection, ClientTree, ConnectOptions, CreateParameters, File, InFlight};
use vfs::local::{LocalBackend, LocalOptions};
use wire::FileTime;
use wire::msg::{ChangeNotifyResponse, CompletionFilter, WatchFlags};

use super::TestServer;
use crate::core::config::{Settings, ShareSettings};

const PASSWORD: &str = "Wonder-Land 1";

fn server(directory: &Path) -> TestServer {
    let mut settings = Settings::conventional(false, |_| None);
    settings.control_socket = None;
    settings.state_directory = "/nonexistent/shareward".into();
    settings.shares.push(ShareSettings::new("data".into(), directory.into()));
    let mut accounts = UserDb::default();
    accounts.add("alice", 60_001, PASSWORD, FileTime::from_unix(1_700_000_000, 0)).unwrap();
    TestServer::start(settings, accounts, 1, |share| {
        Ok(Arc::new(LocalBackend::open(&share.path, LocalOptions::default())?))
    })
}

async fn connect(server: &TestServer) -> (ClientConnection, ClientTree) {
    let (from, to) = tokio::io::split(server.connect());
    let connection = ClientConnection::over(from, to, ConnectOptions::new().unwrap());
    connection.negotiate().await.unwrap();
    let session = connection.logon(Credentials::password("alice", "", PASSWORD)).await.unwrap();
    let tree = session.tree_connect(r"\\localhost\data").await.unwrap();
    (connection, tree)
}

/// Starts watching the names in the root.
async fn watch(tree: &ClientTree) -> (File, InFlight) {
    let root = tree.create(&CreateParameters::directory("")).await.unwrap();
    let notify = root.submit_notify(CompletionFilter::FILE_NAME, WatchFlags::NONE, 1000).await.unwrap();
    assert!(notify.pending().await.is_some());
    (root, notify)
}

async fn make(tree: &ClientTree, name: &str) {
    tree.create(&CreateParameters::read_write(name)).await.unwrap().close().await.unwrap();
}

/// The first name that a watch reports.
async fn told(notify: InFlight) -> String {
    let answer = notify.response().await.unwrap();
    let changes = ChangeNotifyResponse::decode(&answer.message).unwrap().output_buffer;
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
