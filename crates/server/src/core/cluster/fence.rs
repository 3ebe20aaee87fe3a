//! The operator's command that cuts off a server which holds the storage of a share and does not let go.

use std::sync::Arc;

use cluster::ids::ShareKey;
use cluster::protocol::Stamp;

use crate::core::server::Server;

/// Runs the command with the share and the holder as JSON on its standard input. Returns true if it reports success: the
/// holder can no longer write.
pub(super) async fn run(
    server: &Arc<Server>,
    command: &[String],
    share: &ShareKey,
    holder: Option<Stamp>,
) -> bool {
    let text = serde_json::json!({
        "share": share.as_str(),
        "node": holder.as_ref().map(|it| it.node.as_str()),
        "incarnation": holder.as_ref().map(|it| it.incarnation.to_string()),
        "generation": holder.as_ref().map(|it| it.generation.0),
    });
    let Some(helper) = server.notices.helper() else { return false };
    match helper.run_text(command, "fence", text.to_string()).await {
        Ok(()) => {
            tracing::warn!(share = %share, holder = %text, "fence_command has cut off the former owner of a share");
            true
        }
        Err(error) => {
            tracing::error!(share = %share, %error, "fence_command has failed");
            false
        }
    }
}
