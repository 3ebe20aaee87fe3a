//! The server that a case runs against.

use auth::users::UserDb;
use server::config::{Settings, ShareSettings};
use wire::FileTime;

/// The settings of a case, usually the common ones.
pub(super) fn settings(choice: u8) -> Settings {
    let choice = if choice & 0xc0 == 0xc0 { choice } else { 0 };
    let mut settings = Settings::conventional(false, |_| None);
    settings.name = "FUZZED".into();
    settings.control_socket = None;
    settings.state_directory = "/nonexistent/shareward-fuzz".into();
    settings.administrators = vec!["alice".into()];
    settings.unix_identities = false;
    if choice & 1 == 1 {
        settings.signing = server::config::Signing::Required;
    }
    for name in ["data", "sealed", "guests"] {
        let mut share = ShareSettings::new(name.into(), format!("/nonexistent/{name}").into());
        share.encrypt = name == "sealed" || choice & 2 == 2;
        share.guest = name == "guests";
        share.read_only = choice & 4 == 4;
        share.access_based_enum = choice & 8 == 8;
        share.max_users = (choice & 16 == 16).then_some(1);
        if choice & 32 == 0 || name != "data" {
            settings.shares.push(share);
        }
    }
    settings
}

/// The users who can log on.
pub(super) fn accounts() -> UserDb {
    let mut accounts = UserDb::default();
    for (name, uid) in [("alice", 60_001), ("bob", 60_002)] {
        accounts.add(name, uid, PASSWORD, FileTime::from_unix(1_700_000_000, 0)).unwrap();
    }
    accounts
}

/// The password of all users.
pub(super) const PASSWORD: &str = "Wonder-Land 1";
