//! Tests of the registry's record of administrators, who have reserved places, when settings change.

use auth::Credentials;
use auth::users::UserDb;
use client::smb::{ClientConnection, ConnectOptions};
use wire::FileTime;

use super::TestServer;
use crate::core::config::{Allow, Role, Settings};

const PASSWORD: &str = "Wonder-Land 1";

/// Settings with these administrators, and with an administering role for these users and groups.
fn settings(administrators: &[&str], users: &[&str], groups: &[&str]) -> Settings {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let role =
        Role { allow: Allow::Administer, users: list(users), groups: list(groups), shares: Vec::new() };
    Settings {
        administrators: list(administrators),
        roles: vec![role],
        state_directory: "/nonexistent/shareward".into(),
        ..Settings::conventional(false, |_| None)
    }
}

fn accounts() -> UserDb {
    let mut accounts = UserDb::default();
    // A user that every Unix system has, in a group of the same name.
    accounts.add("root", 0, PASSWORD, FileTime::from_unix(1_700_000_000, 0)).unwrap();
    accounts
}

#[tokio::test]
async fn a_session_is_an_administrators_by_the_current_settings() {
    let server = TestServer::start(settings(&[], &[], &[]), accounts(), 1, |_| Err(vfs::Error::NotFound));
    let (from, to) = tokio::io::split(server.connect());
    let connection = ClientConnection::over(from, to, ConnectOptions::new().unwrap());
    connection.negotiate().await.unwrap();
    let _session = connection.logon(Credentials::password("root", "", PASSWORD)).await.unwrap();
    let administers = || {
        let registry = server.server.registry.lock("sessions");
        let (id, _) = registry.sessions_after(None, 1).remove(0);
        registry.session_by_global_id(id).unwrap().identity.flags.administrator
    };
    assert!(!administers());
    for (settings, expected) in [
        (settings(&["root"], &[], &[]), true),
        (settings(&[], &[], &[]), false),
        (settings(&[], &["ROOT"], &[]), true),
        (settings(&[], &["other"], &[]), false),
        (settings(&[], &[], &["root"]), true),
        (settings(&[], &[], &["no group of this name"]), false),
        (settings(&["root"], &[], &["root"]), true),
    ] {
        let shown = format!("{:?} {:?}", settings.administrators, settings.roles);
        server.reload(settings, accounts());
        // Groups are looked up asynchronously.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while administers() != expected {
            assert!(std::time::Instant::now() < deadline, "{shown}");
            tokio::task::yield_now().await;
        }
        server.check().unwrap();
    }
}
