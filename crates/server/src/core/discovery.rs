//! The server as it is announced to the local network.

use std::path::Path;

use discovery::{Announced, Group};
use wire::Guid;

use crate::core::server::Server;
use crate::core::state_file;

/// The server's announcement by its settings and the addresses that it listens on.
pub(crate) fn announced(server: &Server) -> Announced {
    let settings = server.settings();
    let listening = server.identity.listening();
    let group = match &settings.domain {
        Some(domain) => Group::Domain(domain.name.clone()),
        None => Group::Workgroup(settings.discovery.workgroup.clone()),
    };
    let announces = settings.discovery.wsd || settings.discovery.mdns;
    Announced {
        name: settings.name.clone(),
        group,
        port: listening.first().map_or(0, |it| it.port()),
        listening: listening.iter().map(|it| it.ip()).collect(),
        uuid: if announces { kept(&settings.state_directory, server.identity.guid) } else { String::new() },
        leave_out: settings.discovery.leave_out.clone(),
    }
}

/// The number by which clients know the server again: the kept one, or `new`, which is kept from now on.
fn kept(state_directory: &Path, new: Guid) -> String {
    if let Ok(text) = state_file::read(state_directory, FILE, UUID_LENGTH + 1)
        && is_uuid(text.trim())
    {
        return text.trim().to_owned();
    }
    let text = new.to_string().to_ascii_lowercase();
    if let Err(error) = state_file::replace(state_directory, FILE, &format!("{text}\n")) {
        tracing::warn!(%error, "cannot keep the number of the server; clients will take it for another one");
    }
    text
}

fn is_uuid(text: &str) -> bool {
    text.len() as u64 == UUID_LENGTH && text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
}

const FILE: &str = "discovery-uuid";

const UUID_LENGTH: u64 = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_kept_and_a_damaged_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let first = kept(directory.path(), Guid([1; 16]));
        assert_eq!(first, "01010101-0101-0101-0101-010101010101");
        assert_eq!(kept(directory.path(), Guid([2; 16])), first);
        std::fs::write(directory.path().join(FILE), "<x>").unwrap();
        assert_eq!(kept(directory.path(), Guid([2; 16])), "02020202-0202-0202-0202-020202020202");
    }
}
