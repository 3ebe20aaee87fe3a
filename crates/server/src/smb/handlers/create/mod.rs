//! CREATE: MS-SMB2 3.3.5.9.
//!
//! In phases: decode and check (`decode.rs`), resolve the name and open without side effects
//! (`resolve.rs`), ask the registry (`admit.rs`), only then change the file ([`act`]), and answer. A
//! refused CREATE has changed nothing.

mod admit;
mod apple;
mod decode;
mod durable;
mod quota;
mod resolve;
mod rules;
mod special_file;
mod symlink;

pub(crate) use crate::core::files::file_key;
pub(crate) use admit::refused_status;
pub(crate) use decode::{canonical, path_status, relative_path};

use std::sync::Arc;

use registry::{DurableGranted, OpenTarget};
use vfs::Stat;
use wire::create_context::{
    AaplServerAnswer, CreateContextsResponse, DiskId, LeaseContext, LeaseFlags, LeaseV2, MaximalAccess,
};
use wire::fscc::notify::NotifyAction;
use wire::msg::{
    AdditionalInformation, CompletionFilter, CreateAction, CreateContexts, CreateResponse,
    CreateResponseFlags,
};
use wire::posix::PosixAttributes;
use wire::{AccessMask, FileAttributes, Guid, NtStatus, OplockLevel};

use crate::core::domain::Unsure;
use crate::core::limits;
use crate::core::open::{Content, Open};
use crate::core::pipe_usage::Charge;
use crate::core::security;
use crate::core::status::OrStatus;
use crate::fronts::pipes;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};
use crate::smb::handlers::posix;
use admit::{Admitted, Wait};
use decode::{Asked, Wish};
use resolve::Resolved;

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
    // A POSIX open gives the file to the group on the disk.
    if let Some(creator) = wish.security.as_ref().filter(|_| wish.posix.is_some()) {
        let questions = security::ids_to_set(OWNERS, creator);
        request.connection.server.find_ids(questions).await.map_err(|Unsure| NtStatus::IO_TIMEOUT)?;
    }
    let _creation = durable::begin(request, wish)?;
    if let Some((extras, opened)) = durable::replayed(request, wish)? {
        return respond(request, answer, &extras, &opened);
    }
    let mut wait = Wait::default();
    let mut made: Option<Resolved> = None;
    for _ in 0..limits::MAX_CREATE_ATTEMPTS {
        // A file that this CREATE has made is not created again.
        let resolved = match made.take().and_then(|made| made.found_again(request)) {
            Some(made) => made,
            None => resolve::resolve(request, wish)?,
        };
        match admit::admit(request, answer, wish, resolved, &mut wait).await? {
            Admitted::Granted { resolved, open, granted } => {
                let opened = act(request, wish, resolved, open, granted)?;
                write_through(request, &opened).await?;
                log(request, &opened).await?;
                let extras = Extras::of(&opened.open, wish, &opened.granted);
                return respond(request, answer, &extras, &opened);
            }
            // A conflicting open has ended, so the name may belong to another file now.
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

/// The parts of a creator's descriptor that are Unix owners, too.
const OWNERS: AdditionalInformation =
    AdditionalInformation(AdditionalInformation::OWNER.0 | AdditionalInformation::GROUP.0);

/// An open file with the data for the answer.
struct Opened {
    open: Arc<Open>,
    granted: registry::GrantedOpen,
    maximal_access: AccessMask,
    action: CreateAction,
    stat: Stat,
}

/// The additional parts of the answer.
struct Extras {
    maximal_access: bool,
    disk_id: bool,
    /// The requested lease.
    lease: Option<LeaseContext>,
    durable: Option<DurableGranted>,
    apple: Option<AaplServerAnswer>,
}

/// Flushes a file that a CREATE with FILE_WRITE_THROUGH has created or truncated. If that fails, the open is
/// closed; the changes to the file remain.
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

/// Records a durable open, and the lease of an open, in the log of the share. If that fails, the open is closed; the
/// changes to the file remain.
async fn log(request: &Request<'_>, opened: &Opened) -> Result<(), NtStatus> {
    if opened.granted.durable.is_none() && opened.granted.oplock != OplockLevel::LEASE {
        return Ok(());
    }
    let logged = request.connection.server.commit_share(opened.open.tree()).await;
    if logged.is_err() {
        take_back(request, &opened.open);
    }
    logged
}

/// Closes an open whose CREATE has failed.
fn take_back(request: &Request<'_>, open: &Open) {
    let server = &request.connection.server;
    let reason = registry::CloseReason::CreateFailed;
    let closed = server.registry.lock("create_failed").close_open(open.file_id(), reason, server.now());
    // If it is not found, another request has ended it.
    server.apply(closed.unwrap_or_default());
}

/// Changes the file after the registry has admitted the open; closes the open if that fails.
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
    // A client that may cache must know the state at the time of the grant, not that before.
    let is_current = resolved.has_current_stat && granted.oplock == OplockLevel::NONE;
    let stat = changed.and_then(|()| match is_current {
        true => Ok(file.shown(resolved.stat.clone())),
        false => file.stat().or_status(),
    });
    let stat = match stat {
        Ok(stat) => stat,
        Err(error) => {
            take_back(request, &open);
            resolved.undo(request);
            return Err(error);
        }
    };
    if resolved.overwrites {
        // Breaks the caching of clients that have cached the previous content.
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

/// The file's id on disk (MS-SMB2 2.2.14.2.9), as in queries and listings.
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
        posix: posix_attributes(request, opened),
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
        file_attributes: shown_attributes(opened),
        file_id: opened.open.file_id(),
        contexts: CreateContexts(&chain),
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// The attributes of the file, as queries show them.
fn shown_attributes(opened: &Opened) -> FileAttributes {
    let attributes = opened.stat.attributes;
    let Some(file) = opened.open.file() else { return attributes };
    opened.open.tree().shown_attributes(file.path().name(), attributes)
}

/// The POSIX attributes of a POSIX open's file.
fn posix_attributes(request: &Request<'_>, opened: &Opened) -> Option<PosixAttributes> {
    opened.open.file().filter(|file| file.posix)?;
    let user = super::user_of_files(request).ok()?;
    let key = file_key(&opened.stat, None);
    let deleted = request.connection.server.registry.lock("posix_attributes").deleted_links(key);
    let links = opened.stat.links.saturating_sub(u32::try_from(deleted).unwrap_or(u32::MAX));
    Some(posix::attributes(&user.token, &opened.stat, links))
}

/// The granted lease, in the version in which it was created, independent of this request's version.
fn granted_lease(asked: &LeaseContext, granted: &registry::GrantedOpen) -> Option<LeaseContext> {
    if granted.oplock != OplockLevel::LEASE {
        return None;
    }
    let v2 = (granted.lease_version >= 2).then(|| LeaseV2 {
        epoch: granted.lease_epoch,
        // Without the flag, the field is ignored.
        parent_key: parent_key(asked).unwrap_or_default(),
    });
    let breaking = if granted.lease_breaking { LeaseFlags::BREAK_IN_PROGRESS } else { LeaseFlags::NONE };
    let parent = if v2.is_some() { asked.flags & LeaseFlags::PARENT_LEASE_KEY_SET } else { LeaseFlags::NONE };
    Some(LeaseContext { key: asked.key, state: granted.lease_state, flags: breaking | parent, v2 })
}

/// Opens a named pipe. Guests and anonymous users can open only the pipe for changing passwords and, if the
/// settings allow it, the one for listing shares, because others disclose information. Windows has the same
/// restriction (`NullSessionPipes`).
fn open_pipe(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let (name, access) = decode::pipe(request)?;
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    if !pipes::exists(&name) {
        return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    let settings = request.connection.server.settings();
    let lists = || pipes::lists_shares(&name) && settings.lists_shares(user.kind);
    if user.kind != auth::IdentityKind::User && !lists() && !pipes::changes_passwords(&name) {
        if request.connection.has_log_room() {
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
    let name = Arc::<str>::from(pipe.name());
    let target = OpenTarget::Pipe(Arc::clone(&name));
    let open = special_file::admit(request, target, &name, access, Content::Pipe(pipe))?;
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

/// `ParentLeaseKey`, if it is set (MS-SMB2 3.3.5.9.11).
fn parent_key(lease: &LeaseContext) -> Option<Guid> {
    lease.v2.filter(|_| lease.flags.contains(LeaseFlags::PARENT_LEASE_KEY_SET)).map(|v2| v2.parent_key)
}

/// `AllocationSize` of a pipe in bytes, as in Windows.
const PIPE_ALLOCATION: u64 = 4096;
