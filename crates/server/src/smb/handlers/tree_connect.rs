//! TREE_CONNECT: MS-SMB2 3.3.5.7.

use std::net::IpAddr;
use std::sync::Arc;

use auth::IdentityKind;
use registry::{FileKey, Standing};
use wire::msg::{
    ErrorId, ShareCapabilities, ShareFlags, ShareRedirect, ShareType, TreeConnectFlags, TreeConnectRequest,
    TreeConnectResponse,
};
use wire::{Dialect, NtStatus, Utf16, utf16le};

use super::{malformed, put_error_context};
use crate::core::admission::{Admission, NotAdmitted};
use crate::core::audit::{Why, share_refused};
use crate::core::blocking;
use crate::core::cluster::Elsewhere;
use crate::core::config::{Caching, ShareSettings};
use crate::core::directory::Files;
use crate::core::handle_logs::{self, OpenLog};
use crate::core::session::Session;
use crate::core::tree::{Share, ShareContent, Tree};
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles TREE_CONNECT.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let server = &request.connection.server;
    let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let asked = TreeConnectRequest::decode(request.message).map_err(malformed)?;
    let path = asked.path.to_text();
    let name = share_name(&path).ok_or(NtStatus::INVALID_PARAMETER)?;
    let session = Arc::clone(request.session()?);
    let (share, tree) = match connect(request, &session, name).await {
        Ok(connected) => connected,
        Err(NotConnected { status, why, owner }) => {
            // 3.3.5.7: a client that says so is led to the owner at once, and nothing is wrong.
            let follows = asked.flags.contains(TreeConnectFlags::REDIRECT_TO_OWNER)
                && negotiated.dialect >= Dialect::SMB311;
            if follows && !owner.is_empty() {
                redirect(answer, name, owner)?;
                return Ok(status);
            }
            if let Some(why) = why.filter(|_| request.connection.has_log_room_for_share()) {
                let user = session.user().map(|user| user.name.clone()).unwrap_or_default();
                share_refused(&request.connection.peer, &user, name, &why);
            }
            return Err(status);
        }
    };
    session.remember_tree(Arc::clone(&tree));
    if matches!(share.content, ShareContent::Disk(_)) {
        server.connected(&tree).await;
        // Anonymous users and guests reach this only for a share that accepts them.
        request.connection.raise_standing(Standing::Guest);
    }
    request.chain.tree_id = tree.id();
    request.header.tree = wire::TreeOrAsync::Tree { process_id: 0, tree_id: tree.id() };

    let share_type = match share.content {
        ShareContent::Disk(_) => ShareType::DISK,
        ShareContent::Pipes => ShareType::PIPE,
    };
    let mut flags = caching(&share.settings);
    if share.settings.encrypt && negotiated.dialect >= Dialect::SMB300 {
        flags |= ShareFlags::ENCRYPT_DATA;
    }
    if share.settings.access_based_enum {
        flags |= ShareFlags::ACCESS_BASED_DIRECTORY_ENUM;
    }
    let mut capabilities = ShareCapabilities::NONE;
    if tree.is_continuous() && negotiated.dialect >= Dialect::SMB300 {
        capabilities |= ShareCapabilities::CONTINUOUS_AVAILABILITY;
    }
    if server.cluster.is_serving(&share.settings.name) && negotiated.dialect >= Dialect::SMB311 {
        capabilities |= ShareCapabilities::REDIRECT_TO_OWNER;
    }
    // 3.3.5.7: clients register with the witness service, which tells them when the owner of the share changes.
    if server.cluster.has_witness() && server.cluster.is_serving(&share.settings.name) {
        if negotiated.dialect >= Dialect::SMB300 {
            capabilities |= ShareCapabilities::CLUSTER;
        }
        if negotiated.dialect >= Dialect::SMB302 {
            capabilities |= ShareCapabilities::ASYMMETRIC;
        }
    }
    let base = answer.base();
    TreeConnectResponse {
        share_type,
        share_flags: flags,
        capabilities,
        maximal_access: tree.maximal_access(),
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// Writes the body that leads a client to the owner of a share (2.2.2.2.2).
fn redirect(answer: &mut AnswerBuilder, share: &str, addresses: Vec<IpAddr>) -> Result<(), NtStatus> {
    let (name, mut data) = (utf16le(share), Vec::new());
    ShareRedirect { addresses, share: Utf16::new(&name).map_err(malformed)? }.encode(&mut data);
    put_error_context(answer, ErrorId::SHARE_REDIRECT, &data);
    Ok(())
}

/// A refused tree connect.
struct NotConnected {
    /// The status for the client.
    status: NtStatus,
    /// The reason for the log, if the status does not say it all.
    why: Option<Why>,
    /// The addresses of another server, which owns the share.
    owner: Vec<IpAddr>,
}

impl From<NtStatus> for NotConnected {
    fn from(status: NtStatus) -> Self {
        Self { status, why: None, owner: Vec::new() }
    }
}

impl NotConnected {
    fn new(status: NtStatus, reason: &str, remedy: &'static str) -> Self {
        let why = Some(Why { reason: reason.to_owned(), remedy: Some(remedy) });
        Self { status, why, owner: Vec::new() }
    }
}

/// Connects a session to the current share of this name, and to its current directory. If the directory does
/// not exist, the answer is that the share does not exist, as in Windows and Samba.
async fn connect(
    request: &Request<'_>,
    session: &Session,
    name: &str,
) -> Result<(Arc<Share>, Arc<Tree>), NotConnected> {
    let (server, peer) = (&*request.connection.server, request.connection.peer.ip());
    let established = session.established().ok_or(NtStatus::USER_SESSION_DELETED)?;
    let user = session.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    for _ in 0..LOOKS {
        let share = server.share_of(&user, name).ok_or_else(|| match server.cluster.elsewhere(name) {
            Some(Elsewhere::At(owner)) => NotConnected {
                owner,
                ..NotConnected::new(
                    NtStatus::BAD_NETWORK_NAME,
                    "another server of the cluster owns the share",
                    "the client must follow redirections or DFS referrals, or connect to the owner",
                )
            },
            Some(Elsewhere::Nowhere) => NotConnected::new(
                NtStatus::BAD_NETWORK_NAME,
                "no server of the cluster owns the share at present",
                "'shareward cluster status' shows the owners",
            ),
            None => NotConnected::new(
                NtStatus::BAD_NETWORK_NAME,
                "there is no share of this name",
                "'shareward net share' lists the shares",
            ),
        })?;
        let admitted = share.admit(server, &user, peer);
        let Admission { access, forced, directory } =
            admitted.map_err(|reason| not_admitted(&share.settings, reason))?;
        // 3.3.5.7: the share requires encryption and the client cannot encrypt. The key of an anonymous user
        // does not count.
        let can_seal = established.sealing.is_some() && user.kind == IdentityKind::User;
        if share.settings.encrypt && !can_seal {
            return Err(NotConnected::new(
                NtStatus::ACCESS_DENIED,
                "the share requires encryption, and the client or its logon does not support it",
                "the client must use SMB 3.0 or later and log on as a user, or remove 'encrypt' of the share",
            ));
        }
        let files = match directory {
            Some(directory) => Some(directory.connect().await.ok_or_else(|| {
                NotConnected::new(
                    NtStatus::BAD_NETWORK_NAME,
                    "the directory of the share cannot be opened",
                    "'shareward net share' shows the reason",
                )
            })?),
            None => None,
        };
        let log = match &files {
            Some(files) if share.log.is_some() => open_log(request, &share, files).await?,
            _ => None,
        };
        let root = files.as_ref().map_or(FileKey::default(), |files| files.root());
        let access = (access, forced);
        let attach = |id, _| Arc::new(Tree::new(id, Arc::clone(&share), files, access, peer).with_log(log));
        let ShareSettings { name, encrypt, .. } = &share.settings;
        let connected = server.while_served(&share, || {
            let mut registry = server.registry.lock("tree_connect");
            registry.tree_connect(session.id(), name, *encrypt, root, attach, server.now())
        });
        if let Some(connected) = connected {
            let connected = connected.map_err(crate::core::status::of_tree_refusal);
            let tree = connected?.attached;
            return Ok((share, tree));
        }
    }
    Err(NtStatus::BAD_NETWORK_NAME.into())
}

/// The log of the share's opens, which is opened if the directory was not available before.
async fn open_log(
    request: &Request<'_>,
    share: &Arc<Share>,
    files: &Arc<Files>,
) -> Result<Option<Arc<OpenLog>>, NtStatus> {
    let (server, share, files) =
        (Arc::clone(&request.connection.server), Arc::clone(share), Arc::clone(files));
    let bulkhead = Arc::clone(&share.bulkhead);
    blocking::run_behind(Some(bulkhead), move || handle_logs::open(&server, &share, &files)).await
}

/// The refusal of a user whom the share does not admit.
fn not_admitted(settings: &ShareSettings, reason: NotAdmitted) -> NotConnected {
    let why = match reason {
        NotAdmitted::Host => Why::host_refused(),
        NotAdmitted::User(kind) => user_refused(settings, kind),
        NotAdmitted::ForcedIdentity(reason) => {
            Why { reason, remedy: Some("'shareward check' checks the names") }
        }
        NotAdmitted::Directory(reason) => Why { reason, remedy: None },
    };
    NotConnected { status: NtStatus::ACCESS_DENIED, why: Some(why), owner: Vec::new() }
}

/// The reason of the settings that do not admit a user of this kind.
fn user_refused(settings: &ShareSettings, kind: IdentityKind) -> Why {
    let (reason, remedy) = match kind {
        IdentityKind::User if !settings.users.is_empty() => {
            ("'users' or 'grants' of the share do not admit the user", "add the user to 'users' of the share")
        }
        IdentityKind::User => (
            "no grant of the share is for the user",
            "'shareward net share SHARE /grant:NAME,CHANGE' adds one",
        ),
        IdentityKind::Guest | IdentityKind::Anonymous => {
            ("the share does not admit guests", "log on with an account, or set guest = true for the share")
        }
    };
    Why { reason: reason.to_owned(), remedy: Some(remedy) }
}

/// The share in `\\server\share`; the server's name is ignored.
fn share_name(path: &str) -> Option<&str> {
    let (server, share) = path.strip_prefix("\\\\")?.split_once('\\')?;
    (!server.is_empty() && !share.is_empty() && !share.contains('\\')).then_some(share)
}

/// The number of lookups if the share's settings change meanwhile.
const LOOKS: u32 = 8;

/// The caching policy for offline clients (MS-SMB2 2.2.10).
fn caching(settings: &ShareSettings) -> ShareFlags {
    match settings.caching {
        Caching::Manual => ShareFlags::NONE,
        Caching::Documents => ShareFlags::AUTO_CACHING,
        Caching::Programs => ShareFlags::VDO_CACHING,
        Caching::None => ShareFlags::NO_CACHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_name_is_taken_from_a_unc_path() {
        assert_eq!(share_name("\\\\server\\data"), Some("data"));
        assert_eq!(share_name("\\\\::1\\IPC$"), Some("IPC$"));
        for bad in ["", "data", "\\data", "\\\\data", "\\\\server\\", "\\\\\\data", "\\\\a\\b\\c"] {
            assert_eq!(share_name(bad), None, "{bad:?}");
        }
    }
}
