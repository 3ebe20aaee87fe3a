//! Streams that the server itself opens while it copies a file, with the same effects on others as a client's
//! open (MS-FSA 2.1.5.1.2).

use std::sync::Arc;

use registry::{Admission, AdmitRequest, CloseReason, OpenTarget, Readiness};
use vfs::{Handle, Parent, RelativePath, Wanted};
use wire::fscc::notify::NotifyAction;
use wire::msg::{CompletionFilter, CreateAction};
use wire::{AccessMask, FileAttributes, NtStatus};

use crate::core::limits;
use crate::core::open::{Content, Created, Open, OpenFile};
use crate::core::server::Server;
use crate::core::status::OrStatus;
use crate::smb::connection::Request;
use crate::smb::handlers::create::{file_key, refused_status};
use crate::smb::handlers::{actor, display_path, handle_breaks};

/// The purpose of opening a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Reading an existing stream.
    Read,
    /// Writing; the stream is created if it does not exist.
    Overwrite,
}

impl Use {
    fn access(self) -> AccessMask {
        match self {
            Self::Read => AccessMask::READ_DATA,
            Self::Overwrite => AccessMask::WRITE_DATA,
        }
    }

    fn wanted(self) -> Wanted {
        match self {
            Self::Read => Wanted::READ,
            Self::Overwrite => Wanted::WRITE,
        }
    }
}

/// An open that no client knows. It ends when this is dropped.
pub(super) struct StreamOpen {
    server: Arc<Server>,
    open: Arc<Open>,
}

impl StreamOpen {
    /// The open, as in the registry and the watches.
    pub(super) fn open(&self) -> &Arc<Open> {
        &self.open
    }
}

impl Drop for StreamOpen {
    fn drop(&mut self) {
        let reason = CloseReason::ClientClose;
        let closed =
            self.server.registry.lock("stream").close_open(self.open.file_id(), reason, self.server.now());
        // If it is not found, it ended with its session.
        self.server.apply(closed.unwrap_or_default());
    }
}

/// Opens a stream of the file that `base` has open. Caching by other clients is broken first.
pub(super) async fn open(
    request: &mut Request<'_>,
    base: &Open,
    name: &str,
    why: Use,
) -> Result<StreamOpen, NtStatus> {
    for _ in 0..limits::MAX_NAME_ATTEMPTS {
        if let Some(opened) = open_once(request, base, name, why).await? {
            return Ok(opened);
        }
        let (file, share) = (base.file().ok_or(NtStatus::FILE_CLOSED)?, &base.tree().share.settings.name);
        let shown = display_path(&file.path());
        request.connection.server.wait_while_moving(|registry| registry.is_moving(share, &shown)).await;
    }
    // The stream was deleted meanwhile.
    Err(NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Tries to open a stream once; `None` if it is being removed or its file is being renamed.
async fn open_once(
    request: &mut Request<'_>,
    base: &Open,
    name: &str,
    why: Use,
) -> Result<Option<StreamOpen>, NtStatus> {
    let looked_up = request.connection.server.registry.moves();
    let tree = Arc::clone(base.tree());
    let backend = Arc::clone(tree.backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let file = base.file().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let path = file.path().with_stream(name).or_status()?;
    let actor = actor(request)?;
    // The streams of the open file, even if its name belongs to another file by now.
    let (opened, is_new) = match backend.open_in(&actor, &*file.handle, &path, true) {
        Err(vfs::Error::NotFound) if why == Use::Overwrite => {
            let parent = Parent::of(Arc::clone(&file.handle), path.clone()).or_status()?;
            (backend.create_file_in(&actor, &parent, FileAttributes::NONE, why.wanted()), true)
        }
        opened => (opened.and_then(|opened| backend.reopen(&actor, &opened, why.wanted())), false),
    };
    let opened = opened.or_status()?;
    let key = file_key(&opened.stat, path.stream());
    let server = Arc::clone(&request.connection.server);
    let session = Arc::clone(request.session()?);
    let channel_sequence = request.header.channel_sequence();
    let writes = server.files.write_times.of(key);
    let mut attached = None;
    let mut is_retry = false;
    let mut refusal = Some(NtStatus::INTERNAL_ERROR);
    let asked = handle_breaks::wait(request, |registry, key_of_request, now| {
        let (target, shown) = (OpenTarget::File(key), display_path(&path).as_str().into());
        let admission = AdmitRequest {
            is_retry: std::mem::replace(&mut is_retry, true),
            access: why.access(),
            overwrites: why == Use::Overwrite,
            looked_up,
            allocation: opened.stat.allocation.max(opened.stat.size),
            ..AdmitRequest::new(key_of_request, (session.id(), tree.id()), target, shown)
        };
        let attach = |granted: &registry::GrantedOpen| {
            let (handle, writes) = (Arc::clone(&opened.handle), Arc::clone(&writes));
            let file = OpenFile::new(handle, path.clone(), false, 0, writes);
            let created = Created {
                action: CreateAction::OPENED,
                channel_sequence,
                has_guid: false,
                parent_key: base.parent_key(),
                actor: actor.clone(),
            };
            let content = Content::File(file);
            let open =
                Open::new(granted, why.access(), Arc::clone(&session), Arc::clone(&tree), content, created);
            Arc::clone(attached.insert(Arc::new(open)))
        };
        let (admission, effects) = registry.admit(admission, attach, now);
        match admission {
            Admission::Granted(_) => {}
            Admission::MustWait => return Ok((Readiness::MustWait, effects)),
            Admission::LookAgain => refusal = None,
            Admission::Refused(refused) => refusal = Some(refused_status(refused)),
        }
        Ok((Readiness::Ready, effects))
    })
    .await;
    let open = match (asked, attached) {
        (Ok(_), Some(open)) => open,
        (asked, _) => {
            undo(&*backend, &actor, &path, &*opened.handle, is_new);
            return asked.and(refusal.map_or(Ok(None), Err));
        }
    };
    if is_new {
        server.notify_change(&open, &path, NotifyAction::ADDED_STREAM, CompletionFilter::STREAM_NAME);
    }
    Ok(Some(StreamOpen { server, open }))
}

/// Removes a new stream that must not be opened.
fn undo(
    backend: &dyn vfs::Backend,
    actor: &vfs::Actor,
    path: &RelativePath,
    handle: &dyn Handle,
    is_new: bool,
) {
    if is_new && let Err(error) = backend.remove(actor, path, handle) {
        tracing::warn!(%path, %error, "cannot remove a stream whose creation was refused; an empty stream remains");
    }
}
