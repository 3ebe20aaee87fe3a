//! The registry's part of a CREATE: requests one open, which is granted or refused, or has to wait.

use std::sync::Arc;

use registry::{
    Admission, AdmitRequest, AppInstance, DurableRequest, GrantedOpen, LeaseRequest, OpenTarget, Refused,
    RequestKey,
};
use wire::create_context::LeaseContext;
use wire::{AccessMask, LeaseState, NtStatus};

use super::decode::Wish;
use super::parent_key;
use super::resolve::Resolved;
use crate::core::files::host_locks::HostLocking;
use crate::core::limits;
use crate::core::open::{Content, Created, Open, OpenFile};
use crate::core::server::Server;
use crate::core::waiting::{Ticket, Wake};
use crate::smb::connection::{AnswerBuilder, Pending, Request};

/// The result of a CREATE whose name is resolved.
pub(super) enum Admitted {
    /// The registry has granted the open.
    Granted { resolved: Resolved, open: Arc<Open>, granted: GrantedOpen },
    /// The name must be looked up again.
    LookAgain(Resolved),
}

/// The waiting of one CREATE, over all its attempts.
#[derive(Default)]
pub(super) struct Wait<'a> {
    key: Option<RequestKey>,
    pending: Option<Pending<'a>>,
    /// True if the client has received the interim answer.
    told: bool,
}

/// Requests the open from the registry, waiting once for conflicting opens.
pub(super) async fn admit<'a>(
    request: &mut Request<'a>,
    answer: &mut AnswerBuilder,
    wish: &Wish,
    resolved: Resolved,
    wait: &mut Wait<'a>,
) -> Result<Admitted, NtStatus> {
    let server = &request.connection.server;
    let is_retry = wait.key.is_some();
    let key = *wait.key.get_or_insert_with(|| server.waiters.new_key(request.connection.id));
    let content = Content::File(open_file(request, wish, &resolved)?);
    let mut asked = AdmitRequest { is_retry, ..admit_request(request, wish, &resolved, key)? };
    let leased = asked.is_directory && prepare_lease(request, &resolved, asked.lease.as_mut());
    let display = Arc::clone(&asked.path);
    let created = Created {
        actor: resolved.actor.clone(),
        action: resolved.action,
        channel_sequence: request.header.channel_sequence(),
        has_guid: matches!(wish.durable, Some(DurableRequest::V2 { .. })),
        parent_key: wish.lease.as_ref().and_then(parent_key),
    };
    let mut ticket = Ticket::take(server, key);
    let (admission, open) = ask_registry(request, asked, content, created)?;
    if leased {
        match &open {
            Some(open) => keep_lease(request, open, &resolved),
            None => server.files.watches.unlease(resolved.key()),
        }
    }
    match (admission, open) {
        (Admission::Granted(granted), Some(open)) => {
            ticket.give_back();
            if wish.delete_on_close && wish.posix.is_some() {
                delete_as_posix(server, &open)?;
            }
            request.session()?.remember_open(Arc::clone(&open));
            Ok(Admitted::Granted { resolved, open, granted })
        }
        (Admission::LookAgain, _) => {
            ticket.give_back();
            let (file, share) = (resolved.key(), &request.tree()?.share.settings.name);
            server
                .wait_while_moving(|registry| {
                    registry.is_vanishing(file) || registry.is_moving(share, &display)
                })
                .await;
            Ok(Admitted::LookAgain(resolved))
        }
        (Admission::MustWait, _) => {
            wait.wait(request, answer, wish, &mut ticket).await?;
            Ok(Admitted::LookAgain(resolved))
        }
        (Admission::Refused(refused), _) => {
            ticket.give_back();
            resolved.undo(request);
            // The status is one of SMB 3.
            Err(match refused {
                Refused::AwaitsClient { .. } if !request.is_smb3() => NtStatus::SHARING_VIOLATION,
                refused => refused_status(refused),
            })
        }
        (Admission::Granted(_), None) => Err(NtStatus::INTERNAL_ERROR),
    }
}

/// Requests an open from the registry; it gets `content` if it is granted.
pub(super) fn ask_registry(
    request: &Request<'_>,
    asked: AdmitRequest,
    content: Content,
    created: Created,
) -> Result<(Admission, Option<Arc<Open>>), NtStatus> {
    let server = &request.connection.server;
    let (session, tree) = (Arc::clone(request.session()?), Arc::clone(request.tree()?));
    let access = asked.access;
    let mut open = None;
    let attach = |granted: &GrantedOpen| {
        Arc::clone(open.insert(Arc::new(Open::new(granted, access, session, tree, content, created))))
    };
    let (admission, effects) = server.registry.admit(asked, attach, server.now());
    server.apply(effects);
    Ok((admission, open))
}

/// The first request to the registry.
fn admit_request(
    request: &Request<'_>,
    wish: &Wish,
    resolved: &Resolved,
    key: RequestKey,
) -> Result<AdmitRequest, NtStatus> {
    let ids = (request.session()?.id(), request.tree()?.id());
    let target = OpenTarget::File(resolved.key());
    Ok(AdmitRequest {
        connection: request.connection.id,
        access: resolved.access,
        share_access: wish.share_access,
        overwrites: resolved.overwrites,
        looked_up: resolved.looked_up,
        allocation: resolved.stat.allocation.max(resolved.stat.size),
        delete_on_close: wish.delete_on_close,
        is_directory: resolved.stat.is_directory(),
        oplock: wish.oplock,
        lease: wish.lease.as_ref().map(lease_request),
        durable: wish.durable,
        log: request.tree()?.log().map(|log| log.id()),
        app_instance: wish
            .app_instance
            .map(|instance| AppInstance { maximal_access: resolved.maximal_access, ..instance }),
        ..AdmitRequest::new(key, ids, target, resolved.display_path().as_str().into())
    })
}

/// The file of the open.
fn open_file(request: &Request<'_>, wish: &Wish, resolved: &Resolved) -> Result<OpenFile, NtStatus> {
    let server = &request.connection.server;
    let (handle, is_directory) = (Arc::clone(&resolved.handle), resolved.stat.is_directory());
    let writes = server.files.write_times.of(resolved.key());
    let mut file = OpenFile::new(handle, resolved.path.clone(), is_directory, wish.mode(), writes);
    file.posix = wish.posix.is_some();
    file.append_only = !resolved.maximal_access.contains(AccessMask::WRITE_DATA);
    if !is_directory && !file.is_stream {
        let share = &request.tree()?.share.settings;
        file.locking = HostLocking::new(resolved.key(), server, share);
    }
    Ok(file)
}

/// Makes FILE_DELETE_ON_CLOSE of a POSIX open remove the name with this open, even if the file has other opens.
fn delete_as_posix(server: &Server, open: &Open) -> Result<(), NtStatus> {
    let mut registry = server.registry.lock("delete_as_posix");
    registry.set_delete_with_own_open(open.file_id(), true).map_err(|_| NtStatus::FILE_CLOSED)
}

impl<'a> Wait<'a> {
    /// Waits until the registry allows another request. The client receives an interim answer if that takes a
    /// while.
    async fn wait(
        &mut self,
        request: &mut Request<'a>,
        answer: &mut AnswerBuilder,
        wish: &Wish,
        ticket: &mut Ticket<'_>,
    ) -> Result<(), NtStatus> {
        if self.pending.is_none() {
            self.pending = Some(request.wait_untold()?);
        }
        let pending = self.pending.as_ref().ok_or(NtStatus::INTERNAL_ERROR)?;
        if let (Some(DurableRequest::V2 { .. }), Some(key)) = (wish.durable, self.key) {
            // The client can query the result on another channel.
            pending.survive(key);
        }
        let waited = async {
            tokio::select! {
                woken = ticket.woken() => Some(woken),
                () = pending.cancelled() => None,
            }
        };
        let mut waited = std::pin::pin!(waited);
        let ended = match tokio::time::timeout(limits::INTERIM_DELAY, waited.as_mut()).await {
            Ok(ended) => ended,
            Err(_) => {
                if !std::mem::replace(&mut self.told, true) {
                    request.tell_waiting(answer, pending);
                }
                waited.await
            }
        };
        match ended {
            Some(Some(Wake::Retry | Wake::Granted)) => Ok(()),
            Some(Some(Wake::Ended(_)) | None) | None => Err(NtStatus::CANCELLED),
        }
    }
}

/// Prepares that local changes of a directory break the lease requested for it. If that is impossible, the
/// lease allows no caching.
fn prepare_lease(request: &Request<'_>, resolved: &Resolved, lease: Option<&mut LeaseRequest>) -> bool {
    let Some(lease) = lease.filter(|lease| lease.version >= 2 && !lease.state.is_none()) else {
        return false;
    };
    let Some(tree) = &request.tree else { return false };
    let watches = &request.connection.server.files.watches;
    let user = request.session().ok().and_then(|session| session.user());
    let watcher = crate::core::files::notify::watcher(user.as_deref());
    let prepared = watches.lease(tree, &resolved.path, &*resolved.handle, resolved.key(), watcher);
    if !prepared {
        lease.state = LeaseState::NONE;
    }
    prepared
}

/// Records the prepared lease in the open that must release it; if the open has ended already, releases it
/// here.
fn keep_lease(request: &Request<'_>, open: &Open, resolved: &Resolved) {
    if let Some(file) = open.file() {
        file.state().leased = true;
        if open.is_closed() && std::mem::take(&mut file.state().leased) {
            request.connection.server.files.watches.unlease(resolved.key());
        }
    }
}

fn lease_request(lease: &LeaseContext) -> LeaseRequest {
    LeaseRequest {
        key: lease.key,
        state: lease.state,
        version: if lease.v2.is_some() { 2 } else { 1 },
        epoch: lease.v2.map_or(0, |v2| v2.epoch),
    }
}

/// The status for an open that the registry refuses.
pub(crate) fn refused_status(refused: Refused) -> NtStatus {
    match refused {
        Refused::SharingViolation { .. } => NtStatus::SHARING_VIOLATION,
        Refused::AwaitsClient { .. } => NtStatus::FILE_NOT_AVAILABLE,
        Refused::DeletePending => NtStatus::DELETE_PENDING,
        Refused::LeaseKeyInUse => NtStatus::INVALID_PARAMETER,
        Refused::Draining => NtStatus::SHARING_PAUSED,
        Refused::Held => NtStatus::SHARING_VIOLATION,
        Refused::NewerInstance => NtStatus::FILE_FORCED_CLOSED,
        Refused::CreateGuidInUse { .. } => NtStatus::DUPLICATE_OBJECTID,
        Refused::LimitReached(limit) => crate::core::status::of_limit(limit),
        Refused::SessionGone => NtStatus::USER_SESSION_DELETED,
        Refused::TreeGone => NtStatus::NETWORK_NAME_DELETED,
    }
}
