//! CREATE's AAPL context: the supported part of Apple's extensions.

use vfs::Capabilities;
use wire::create_context::{AaplParts, AaplRequest, AaplServerAnswer, AaplServerCaps, AaplVolumeCaps};

use crate::core::open::Open;

/// Answers a server query, which comes with the first open, and records the requested features of listings.
pub(super) fn answer(open: &Open, asked: Option<AaplRequest>) -> Option<AaplServerAnswer> {
    let AaplRequest::ServerQuery { parts, client_caps } = asked? else { return None };
    let tree = open.tree();
    let capabilities = tree.backend()?.capabilities_at(&*open.file()?.handle);
    let has_streams = capabilities.is_ok_and(|it| it.contains(Capabilities::STREAMS));
    // These are enabled without a request by the client.
    let mut caps = AaplServerCaps::OSX_COPYFILE | AaplServerCaps::UNIX_BASED | AaplServerCaps::NFS_ACE;
    if has_streams && client_caps.contains(AaplServerCaps::READ_DIR_ATTR) {
        caps |= AaplServerCaps::READ_DIR_ATTR;
    }
    if parts.contains(AaplParts::SERVER_CAPS) {
        tree.told_apple(caps);
    }
    Some(AaplServerAnswer {
        server_caps: parts.contains(AaplParts::SERVER_CAPS).then_some(caps),
        // FLUSH always flushes the disk's cache, with or without F_FULLFSYNC.
        volume_caps: parts.contains(AaplParts::VOLUME_CAPS).then_some(AaplVolumeCaps::FULL_SYNC),
        model: parts.contains(AaplParts::MODEL_INFO).then(|| String::from(MODEL)),
    })
}

/// The model that determines Finder's icon: an unknown one is shown as a server.
const MODEL: &str = "SmbShare";
