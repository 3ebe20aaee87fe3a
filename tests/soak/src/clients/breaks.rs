//! The answers of our own client to breaks.

use client::smb::{Break, ClientConnection, ClientTree};

/// Acknowledges every break for as long as the connection exists.
pub(super) async fn acknowledge(connection: ClientConnection, tree: ClientTree) {
    let mut breaks = connection.breaks();
    while let Ok(Some(notice)) = breaks.next().await {
        // A file that is closed meanwhile has nothing to acknowledge.
        let _ = match notice {
            Break::Oplock(notice) => {
                tree.acknowledge_oplock(notice.file_id, notice.oplock_level).await.map(drop)
            }
            Break::Lease(notice) => {
                tree.acknowledge_lease(notice.lease_key, notice.new_lease_state).await.map(drop)
            }
            Break::SessionClosed(_) => Ok(()),
        };
    }
}
