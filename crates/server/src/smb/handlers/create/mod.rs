//! CREATE: MS-SMB2 3.3.5.9.
//!
//! In phases: decode and check (`decode.rs`), resolve the name and open without side effects
//! (`resolve.rs`), ask the registry ([`admit`]), only then change the file ([`act`]), and answer. A
//! refused CREATE changed nothing.

mod apple;
mod decode;
mod durable;
mod quota;
mod resolve;
mod special_file;
mod symlink;

pub(crate) use decode::{canonical, path_status, relative_path};

use std::sync::Arc;

use registry::{
    Admission, AdmitRequest, AppInstance, DurableGranted, DurableRequest, FileKey, LeaseRequest, OpenTarget,
    Refused, RequestKey,
};
use vfs::Stat;
use wire::create_context::{
    AaplServerAnswer, CreateContextsResponse, DiskId, LeaseContext, LeaseFlags, LeaseV2, MaximalAccess,
};
use wire::fscc::notify::NotifyAction;
use wire::msg::{CompletionFilter, CreateAction, CreateContexts, CreateResponse, CreateResponseFlags};
use wire::{AccessMask, Guid, LeaseState, NtStatus, OplockLevel};

use crate::core::files::host_locks::HostLocking;
use crate::core::limits;
use crate::core::open::{Content, Created, Open, OpenFile};
use crate::core::pipe_usage::Charge;
use crate::core::waiting::{Ticket, Wake};
use crate::fronts::pipes;
use crate::smb::connection::{AnswerBuilder, Outcome, Pending, Request};
use decode::{Asked, Wish};
use resolve::Resolved;
use special_file::SpecialFile;

/// Handles CREATE.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let tree = Arc::clone(request.tree()?);
    if tree.backend().is_none() {
        return open_pipe(request, answer);
    }
    let wish = match decode::decode(request)? {
        Asked::Open(wish) => wish,
        Asked::QuotaFile(access) => return quota::open(request, answer, access),
        Asked::Reclaim(asked) => return durable::reclaim(request, answer, &asked),
    };
    match open(request, answer, &wish).await {
        Err(NtStatus::STOPPED_ON_SYMLINK) => symlink::stop(request, answer, &wish),
        outcome => outcome,
    }
}

/// Opens a file.
async fn open(request: &mut Request<'_>, answer: &mut AnswerBuilder, wish: &Wish) -> Outcome {
    let _creation = durable::begin(request, wish)?;
    if let Some((extras, opened)) = durable::replayed(request, wish)? {
        return respond(request, answer, &extras, &opened);
    }
    let mut wait = Wait::default();
    let mut made: Option<Resolved> = None;
    for _ in 0..limits::MAX_CREATE_ATTEMPTS {
        // What this CREATE has made it does not make again.
        let resolved = match made.take().and_then(|made| made.found_again(request)) {
            Some(made) => made,
            None => resolve::resolve(request, wish)?,
        };
        match admit(request, answer, wish, resolved, &mut wait).await? {
            Admitted::Opened(opened) => {
                write_through(request, &opened).await?;
                let extras = Extras::of(&opened.open, wish, &opened.granted);
                return respond(request, answer, &extras, &opened);
            }
            // Something made way: the name may mean another file by now.
            Admitted::LookAgain(resolved) => {
                made = Some(resolved).filter(|it| it.action == CreateAction::CREATED);
            }
        }
    }
    if let Some(made) = made {
        made.undo(request);
    }
    Err(NtStatus::SHARING_VIOLATION)
}

/// The answer to a CREATE whose name is resolved.
enum Admitted {
    Opened(Opened),
    /// The name is to be looked up again.
    LookAgain(Resolved),
}

/// A file that is open, and what to tell the client about it.
struct Opened {
    open: Arc<Open>,
    granted: registry::GrantedOpen,
    maximal_access: AccessMask,
    action: CreateAction,
    stat: Stat,
}

/// What is answered beside the open itself.
struct Extras {
    maximal_access: bool,
    disk_id: bool,
    /// The lease as it was asked for.
    lease: Option<LeaseContext>,
    durable: Option<DurableGranted>,
    apple: Option<AaplServerAnswer>,
}

/// Whether this request has waited already, and what for.
#[derive(Default)]
struct Wait<'a> {
    key: Option<RequestKey>,
    pending: Option<Pending<'a>>,
    /// Whether its client knows.
    told: bool,
}

/// Asks the registry for the open, waiting once for what is in the way.
async fn admit<'a>(
    request: &mut Request<'a>,
    answer: &mut AnswerBuilder,
    wish: &Wish,
    resolved: Resolved,
    wait: &mut Wait<'a>,
) -> Result<Admitted, NtStatus> {
    let server = &request.connection.server;
    let (session, tree) = (Arc::clone(request.session()?), Arc::clone(request.tree()?));
    let is_retry = wait.key.is_some();
    let key = *wait.key.get_or_insert_with(|| server.waiters.new_key(request.connection.id));
    let is_directory = resolved.stat.is_directory();
    let display = resolved.display_path();
    let mut lease = wish.lease.as_ref().map(lease_request);
    let leased = is_directory && prepare_lease(request, &resolved, lease.as_mut());
    let admission = AdmitRequest {
        request: key,
        is_retry,
        session: session.id(),
        tree: tree.id(),
        connection: request.connection.id,
        target: OpenTarget::File(resolved.key()),
        path: display.as_str().into(),
        access: resolved.access,
        share_access: wish.share_access,
        overwrites: resolved.overwrites,
        looked_up: resolved.looked_up,
        allocation: resolved.stat.allocation.max(resolved.stat.size),
        delete_on_close: wish.delete_on_close,
        is_directory,
        oplock: wish.oplock,
        lease,
        durable: wish.durable,
        app_instance: wish
            .app_instance
            .map(|instance| AppInstance { maximal_access: resolved.maximal_access, ..instance }),
    };
    let handle = Arc::clone(&resolved.handle);
    let writes = server.files.write_times.of(resolved.key());
    let mut file = OpenFile::new(handle, resolved.path.clone(), is_directory, wish.mode(), writes);
    file.append_only = !resolved.maximal_access.contains(AccessMask::WRITE_DATA);
    if !is_directory && !file.is_stream {
        file.locking = HostLocking::new(resolved.key(), &server.settings(), &tree.share.settings);
    }
    let content = Content::File(file);
    let mut ticket = Ticket::take(server, key);
    let created = Created {
        actor: resolved.actor.clone(),
        action: resolved.action,
        channel_sequence: request.header.channel_sequence(),
        has_guid: matches!(wish.durable, Some(DurableRequest::V2 { .. })),
        parent_key: wish.lease.as_ref().and_then(parent_key),
    };
    let access = resolved.access;
    let attach = |granted: &registry::GrantedOpen| {
        Arc::new(Open::new(granted, access, Arc::clone(&session), tree, content, created))
    };
    let mut attached = None;
    let (admission, effects) = server.registry.lock("create").admit(
        admission,
        |granted| Arc::clone(attached.insert(attach(granted))),
        server.now(),
    );
    server.apply(effects);
    if leased {
        match &attached {
            Some(open) => keep_lease(server, open, &resolved),
            None => server.files.watches.unlease(resolved.key()),
        }
    }
    match (admission, attached) {
        (Admission::Granted(granted), Some(open)) => {
            ticket.give_back();
            session.remember_open(Arc::clone(&open));
            act(request, wish, resolved, open, granted).map(Admitted::Opened)
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
            if wait.pending.is_none() {
                wait.pending = Some(request.wait_untold()?);
            }
            let pending = wait.pending.as_ref().ok_or(NtStatus::INTERNAL_ERROR)?;
            if let Some(DurableRequest::V2 { .. }) = wish.durable {
                // The client can ask on another channel what came of it.
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
                    if !std::mem::replace(&mut wait.told, true) {
                        request.tell_waiting(answer, pending);
                    }
                    waited.await
                }
            };
            match ended {
                Some(Some(Wake::Retry | Wake::Granted)) => Ok(Admitted::LookAgain(resolved)),
                Some(Some(Wake::Ended(_)) | None) | None => Err(NtStatus::CANCELLED),
            }
        }
        (Admission::Refused(refused), _) => {
            ticket.give_back();
            resolved.undo(request);
            Err(refused_status(refused))
        }
        (Admission::Granted(_), None) => Err(NtStatus::INTERNAL_ERROR),
    }
}

/// Brings what a CREATE has made or emptied to the disk, where it asks for FILE_WRITE_THROUGH. If that fails the open
/// is taken back; what was done to the file stays.
async fn write_through(request: &Request<'_>, opened: &Opened) -> Result<(), NtStatus> {
    let Some(file) = opened.open.file().filter(|_| opened.action != CreateAction::OPENED) else {
        return Ok(());
    };
    let flushed = super::flush::through(&opened.open, file).await;
    if flushed.is_err() {
        take_back(request, &opened.open);
    }
    flushed
}

/// Ends an open whose CREATE fails after all.
fn take_back(request: &Request<'_>, open: &Open) {
    let server = &request.connection.server;
    let reason = registry::CloseReason::CreateFailed;
    let closed = server.registry.lock("create_failed").close_open(open.file_id(), reason, server.now());
    // Where it is not found, somebody else has ended it meanwhile.
    server.apply(closed.unwrap_or_default());
}

/// Changes the file, now that nobody objects; if that fails the open is taken back.
fn act(
    request: &Request<'_>,
    wish: &Wish,
    resolved: Resolved,
    open: Arc<Open>,
    granted: registry::GrantedOpen,
) -> Result<Opened, NtStatus> {
    let server = &request.connection.server;
    let file = open.file().ok_or(NtStatus::INTERNAL_ERROR)?;
    let overwriting = resolved.overwrites.then(|| file.begin_write());
    let changed = resolve::change(request, wish, &resolved);
    drop(overwriting);
    let stat = changed.and_then(|()| file.stat().map_err(|error| crate::core::status::of_vfs(&error)));
    let stat = match stat {
        Ok(stat) => stat,
        Err(error) => {
            take_back(request, &open);
            resolved.undo(request);
            return Err(error);
        }
    };
    if resolved.overwrites {
        // Who cached the content while it was there is told that it is gone.
        super::write::announce_overwrite(request, &open);
    }
    if resolved.action == CreateAction::CREATED {
        let (action, what) = match (resolved.path.stream(), stat.is_directory()) {
            (Some(_), _) => (NotifyAction::ADDED_STREAM, CompletionFilter::STREAM_NAME),
            (None, true) => (NotifyAction::ADDED, CompletionFilter::DIR_NAME),
            (None, false) => (NotifyAction::ADDED, CompletionFilter::FILE_NAME),
        };
        server.notify_change_of(&open, action, what);
    }
    let maximal_access = resolved.maximal_access;
    Ok(Opened { open, granted, maximal_access, action: resolved.action, stat })
}

/// What tells the file apart (MS-SMB2 2.2.14.2.9), as queries and listings do.
fn disk_id(opened: &Opened) -> Option<DiskId> {
    let (backend, file) = (opened.open.tree().backend()?, opened.open.file()?);
    let volume_id = backend.volume(&*file.handle).ok()?.serial.into();
    Some(DiskId { file_id: backend.file_id(&*file.handle, &opened.stat), volume_id })
}

/// Writes the answer (MS-SMB2 3.3.5.9, last part).
fn respond(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    extras: &Extras,
    opened: &Opened,
) -> Outcome {
    let stat = &opened.stat;
    request.chain.file = Some(opened.open.file_id());
    let contexts = CreateContextsResponse {
        maximal_access: extras
            .maximal_access
            .then_some(MaximalAccess { status: NtStatus::SUCCESS, access: opened.maximal_access }),
        disk_id: extras.disk_id.then(|| disk_id(opened)).flatten(),
        durable: extras.durable == Some(DurableGranted::V1),
        durable_v2: durable::answer_v2(extras.durable),
        lease: extras.lease.as_ref().and_then(|asked| granted_lease(asked, &opened.granted)),
        aapl: extras.apple.clone(),
    };
    let is_reparse_point = stat.reparse_tag != 0 && request.is_smb3();
    let mut chain = Vec::new();
    contexts.encode(&mut chain);
    let base = answer.base();
    CreateResponse {
        oplock_level: opened.granted.oplock,
        flags: if is_reparse_point { CreateResponseFlags::REPARSEPOINT } else { CreateResponseFlags::NONE },
        create_action: opened.action,
        creation_time: stat.created,
        last_access_time: stat.accessed,
        last_write_time: stat.modified,
        change_time: stat.changed,
        allocation_size: stat.allocation,
        end_of_file: stat.size,
        file_attributes: stat.attributes,
        file_id: opened.open.file_id(),
        contexts: CreateContexts(&chain),
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// The lease as granted: in the version it was made in, whatever this request asks in.
fn granted_lease(asked: &LeaseContext, granted: &registry::GrantedOpen) -> Option<LeaseContext> {
    if granted.oplock != OplockLevel::LEASE {
        return None;
    }
    let v2 = (granted.lease_version >= 2).then(|| LeaseV2 {
        epoch: granted.lease_epoch,
        // Without the flag the field means nothing.
        parent_key: parent_key(asked).unwrap_or_default(),
    });
    let breaking = if granted.lease_breaking { LeaseFlags::BREAK_IN_PROGRESS } else { LeaseFlags::NONE };
    let parent = if v2.is_some() { asked.flags & LeaseFlags::PARENT_LEASE_KEY_SET } else { LeaseFlags::NONE };
    Some(LeaseContext { key: asked.key, state: granted.lease_state, flags: breaking | parent, v2 })
}

/// Opens a named pipe. Guests and anonymous callers get none but that of the list of shares, where the settings give
/// them that, and the one by which passwords are changed: what pipes tell is not for strangers. Nor does Windows open
/// others than `NullSessionPipes` to them.
fn open_pipe(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let (name, access) = decode::pipe(request)?;
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    if !pipes::exists(&name) {
        return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    let settings = request.connection.server.settings();
    let lists = || pipes::lists_shares(&name) && settings.lists_shares(user.kind);
    if user.kind != auth::IdentityKind::User && !lists() && !pipes::changes_passwords(&name) {
        let server = &request.connection.server;
        if server.logons.log.has_room(request.connection.peer.ip(), server.now()) {
            crate::core::audit::pipe_refused(&request.connection.peer, &name);
        }
        return Err(NtStatus::ACCESS_DENIED);
    }
    let (server, of_session) = (&request.connection.server, &request.session()?.pipes);
    let charge = match user.kind {
        auth::IdentityKind::User => Charge::new(of_session, &server.capacity.pipes),
        _ => Charge::of_stranger(of_session, &server.capacity.strangers_pipes, &server.capacity.pipes),
    };
    let pipe = pipes::open(&name, charge.ok_or(NtStatus::PIPE_NOT_AVAILABLE)?)?;
    let apart = SpecialFile {
        target: OpenTarget::Pipe(pipe.name().into()),
        path: pipe.name().into(),
        access,
        content: Content::Pipe(pipe),
    };
    let open = special_file::admit(request, apart)?;
    let base = answer.base();
    CreateResponse {
        create_action: CreateAction::OPENED,
        allocation_size: PIPE_ALLOCATION,
        file_attributes: wire::FileAttributes::NORMAL,
        file_id: open.file_id(),
        ..CreateResponse::default()
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// Sees to it that local changes to a directory break the lease asked for on it. Where they cannot, nothing
/// may be cached.
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

/// Remembers what was prepared with the open that is to give it back; one that is over already does so here.
fn keep_lease(server: &crate::core::server::Server, open: &Open, resolved: &Resolved) {
    if let Some(file) = open.file() {
        file.state().leased = true;
        if open.is_closed() && std::mem::take(&mut file.state().leased) {
            server.files.watches.unlease(resolved.key());
        }
    }
}

/// `ParentLeaseKey`, where there is one (MS-SMB2 3.3.5.9.11).
fn parent_key(lease: &LeaseContext) -> Option<Guid> {
    lease.v2.filter(|_| lease.flags.contains(LeaseFlags::PARENT_LEASE_KEY_SET)).map(|v2| v2.parent_key)
}

fn lease_request(lease: &LeaseContext) -> LeaseRequest {
    LeaseRequest {
        key: lease.key,
        state: lease.state,
        version: if lease.v2.is_some() { 2 } else { 1 },
        epoch: lease.v2.map_or(0, |v2| v2.epoch),
    }
}

/// The status of an open that the registry refuses.
pub(crate) fn refused_status(refused: Refused) -> NtStatus {
    match refused {
        Refused::SharingViolation { .. } => NtStatus::SHARING_VIOLATION,
        Refused::DeletePending => NtStatus::DELETE_PENDING,
        Refused::LeaseKeyInUse => NtStatus::INVALID_PARAMETER,
        Refused::NewerInstance => NtStatus::FILE_FORCED_CLOSED,
        Refused::CreateGuidInUse { .. } => NtStatus::DUPLICATE_OBJECTID,
        Refused::LimitReached(limit) => crate::core::status::of_limit(limit),
        Refused::SessionGone => NtStatus::USER_SESSION_DELETED,
        Refused::TreeGone => NtStatus::NETWORK_NAME_DELETED,
    }
}

/// The key under which the registry knows a file.
pub(crate) fn file_key(stat: &Stat, stream: Option<&str>) -> FileKey {
    FileKey { device: stat.device, inode: stat.inode, stream: stream.map_or(0, stream_key) }
}

/// A number for a stream's name in any case; never the unnamed stream's zero.
fn stream_key(name: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    for c in name.chars() {
        hasher.write_u32(wire::fscc::name::upcase(c).into());
    }
    hasher.finish() | 1
}

/// `AllocationSize` of a pipe, bytes: what Windows says.
const PIPE_ALLOCATION: u64 = 4096;
