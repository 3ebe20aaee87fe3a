//! The readers of values of others, for fuzzing: as a node of a cluster whose id, secret and settings are known.

use auth::UserDb;
use cluster::ids::{Revision, ShareKey};
use cluster::keys::Key;
use cluster::protocol::Entry;

use super::join::Invitation;
use super::secret::Secret;
use super::{definition, users};
use crate::core::config::{self, Settings, ShareSettings};

/// The directory below which shares may be.
pub const PATH: &str = "/srv/c";

const ID: &str = "00112233445566778899aabbccddeeff";
const PREFIX: &str = "/shareward/office/";

/// The text of the invitation that was read. `None` if it is none.
pub fn invitation(text: &str) -> Option<String> {
    Invitation::parse(text).map(|it| it.text())
}

/// A text, sealed for the key of this user.
///
/// # Panics
/// If the name is not valid, or the system has no random bytes.
pub fn seal(user: &str, text: &str) -> String {
    let path = Key::User(ShareKey::new(user).unwrap()).to_path(PREFIX);
    secret().seal(ID, &path, text).unwrap()
}

/// The user whose key has this value.
///
/// # Errors
/// The reason for which the value cannot be used.
///
/// # Panics
/// If the name is not valid.
pub fn user(user: &str, value: &[u8]) -> Result<UserDb, String> {
    let key = ShareKey::new(user).unwrap();
    let path = Key::User(key.clone()).to_path(PREFIX);
    let (created, modified) = (Revision(1), Revision(1));
    let entry = Entry { path, value: value.to_vec(), created, modified, lease: None };
    users::read(&secret(), ID, &key, &entry)
}

/// The share with this definition.
///
/// # Errors
/// The reason for which the definition cannot be used.
///
/// # Panics
/// If the name is not valid.
pub fn share(name: &str, value: &serde_json::Value) -> Result<ShareSettings, String> {
    let file = format!(
        "[cluster]\nname = 'office'\nnode = 'a'\nendpoints = ['http://127.0.0.1:1']\npaths = ['{PATH}']\n"
    );
    let defaults = Settings::conventional(false, |_| None);
    let settings = config::parse(&file, std::path::Path::new("/"), defaults).unwrap();
    let own = settings.cluster.clone().unwrap();
    definition::read(&ShareKey::new(name).unwrap(), value, &settings, &own).map(|(share, _)| share)
}

fn secret() -> Secret {
    Secret::parse(&"07".repeat(32)).unwrap()
}
