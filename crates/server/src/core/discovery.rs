//! The server as it is announced to the local network.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aws_lc_rs::digest;
use discovery::{Announced, Disk, Group, Mdns};
use wire::{Guid, ShareName};

use crate::core::config::ShareSettings;
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
    let uuid = if announces { kept(&settings.state_directory, server.identity.guid) } else { String::new() };
    Announced {
        name: settings.name.clone(),
        group,
        port: listening.first().map_or(0, |it| it.port()),
        listening: listening.iter().map(|it| it.ip()).collect(),
        disks: disks(&settings.shares, &uuid),
        uuid,
        leave_out: settings.discovery.leave_out.clone(),
    }
}

/// Keeps the announcement by mDNS as the shares and the networks of the machine are, until it is dropped.
pub(crate) async fn follow(server: Arc<Server>, mdns: Weak<Mdns>, uuid: String) {
    loop {
        tokio::select! {
            () = server.signals.shares_changed.notified() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        let Some(mdns) = mdns.upgrade() else { return };
        let disks = disks(&server.settings().shares, &uuid);
        // It waits for nothing but the list of the machine's addresses.
        let _ = tokio::task::spawn_blocking(move || mdns.refresh(&disks)).await;
    }
}

/// The shares for Time Machine.
fn disks(shares: &[ShareSettings], server: &str) -> Vec<Disk> {
    let of_macs = shares.iter().filter(|share| share.time_machine);
    of_macs.map(|share| Disk { name: share.name.clone(), uuid: disk_number(server, &share.name) }).collect()
}

/// The number of a share, which is always the same for the same server and name (RFC 9562 5.8).
fn disk_number(server: &str, share: &str) -> String {
    let text = format!("{server}/{}", ShareName::new(share).as_str());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(hash.as_ref()).for_each(|(place, byte)| *place = *byte);
    // The version, which is the high half of a number in little-endian order here, and the variant.
    id[7] = id[7] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    Guid(id).to_string().to_ascii_uppercase()
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

/// The interval at which the addresses of the machine are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

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

    #[test]
    fn disks_are_the_shares_for_time_machine_and_keep_their_numbers() {
        let share = |name: &str, time_machine| ShareSettings {
            time_machine,
            ..ShareSettings::new(name.to_owned(), std::path::PathBuf::from("/srv"))
        };
        let found = disks(&[share("data", false), share("Backup", true)], "server");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "Backup");
        assert!(is_uuid(&found[0].uuid) && found[0].uuid.as_bytes()[14] == b'8', "{found:?}");
        assert_eq!(found[0].uuid, disk_number("server", "BACKUP"));
        assert_ne!(found[0].uuid, disk_number("other", "Backup"));
        assert_ne!(found[0].uuid, disk_number("server", "data"));
    }
}
