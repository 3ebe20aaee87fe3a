//! What our own client does when it is asked for what it caches.

use client::smb::{Break, Connection, Tree};

/// Gives up what the server asks for, as long as the connection is there.
pub(super) async fn acknowledge(connection: Connection, tree: Tree) {
    let mut breaks = connection.breaks();
    while let Ok(Some(notice)) = breaks.next().await {
        // A file that is closed meanwhile has nothing to give up.
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
