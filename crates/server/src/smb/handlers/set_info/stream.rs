//! FileRenameInformation of a named stream: MS-FSA 2.1.5.15.11.1.

use std::sync::Arc;

use registry::InTheWay;
use vfs::{Parent, RelativePath};
use wire::NtStatus;
use wire::fscc::StreamName;
use wire::fscc::name::parse_stream;
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;

use super::rename::{clear_handles, clear_parent, others_moved};
use crate::core::effects::{Moving, Replacing};
use crate::core::limits;
use crate::core::open::{Open, OpenFile};
use crate::core::status::{OrStatus, of_vfs};
use crate::smb::connection::Request;
use crate::smb::handlers::create::{file_key, path_status};
use crate::smb::handlers::{actor, display_path};

/// Renames a stream on its file, or makes it the file's data.
pub(super) async fn rename(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    name: &str,
    replace: bool,
) -> Result<(), NtStatus> {
    let Some(to) = name.strip_prefix(':') else {
        return Err(refuse_full_name(request, open, name).await);
    };
    for _ in 0..limits::MAX_NAME_ATTEMPTS {
        clear_handles(request, open).await?;
        // Others may have moved the file during the wait.
        let looked_up = request.connection.server.registry.moves();
        let from = file.path();
        let to = new_path(&from, to)?;
        let server = &request.connection.server;
        match Moving::begin(server, open, (&from, &to), looked_up, true) {
            Ok(moving) => return give_name(request, open, file, (&from, &to), replace, moving),
            Err(InTheWay::Open) => return Err(NtStatus::ACCESS_DENIED),
            Err(InTheWay::Held) => return Err(NtStatus::SHARING_VIOLATION),
            Err(InTheWay::Closed) => return Err(NtStatus::FILE_CLOSED),
            // Another client caches a handle again since the breaks.
            Err(InTheWay::CachedHandle) => {}
            Err(InTheWay::OtherMove) => others_moved(server, open, (&from, &to)).await,
        }
    }
    Err(NtStatus::SHARING_VIOLATION)
}

/// The path with the new name of the stream, or that of its file.
fn new_path(from: &RelativePath, name: &str) -> Result<RelativePath, NtStatus> {
    match parse_stream(name).map_err(path_status)? {
        StreamName::Named(name) => {
            from.without_stream().with_stream(name).map_err(|_| NtStatus::OBJECT_NAME_INVALID)
        }
        StreamName::Data => Ok(from.without_stream()),
        StreamName::None | StreamName::Index => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// Gives the stream its new name, if that is free or belongs to a replaceable stream. Meanwhile, no other
/// open is admitted by either name.
fn give_name(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    (from, to): (&RelativePath, &RelativePath),
    replace: bool,
    mut moving: Moving,
) -> Result<(), NtStatus> {
    let backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let stat = file.handle.stat().or_status()?;
    let (own, key) = (file_key(&stat, from.stream()), file_key(&stat, to.stream()));
    let actor = actor(request)?;
    // The open file, even if its name belongs to another file by now.
    let parent = Parent::of(Arc::clone(&file.handle), to.clone()).or_status()?;
    let mut existing = None;
    let mut replacing = None;
    if own != key {
        let registry = request.connection.server.registry.lock("rename_stream");
        let opens = registry.file_summary(own).map_or(0, |it| it.opens);
        if opens > registry.limits().opens_of_renamed_stream {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        drop(registry);
        let found = match to.stream() {
            Some(_) => backend.open_in(&actor, &*file.handle, to, true),
            None => backend.file_of(&actor, &*file.handle),
        };
        match found {
            Ok(_) if !replace => return Err(NtStatus::OBJECT_NAME_COLLISION),
            // Only an empty stream without opens can be replaced.
            Ok(found) => {
                replacing = Replacing::begin(&request.connection.server, open.tree(), key, to);
                if found.stat.is_directory() || found.stat.size > 0 || replacing.is_none() {
                    return Err(NtStatus::INVALID_PARAMETER);
                }
                existing = Some(found);
            }
            Err(vfs::Error::NotFound) => {}
            Err(error) => return Err(of_vfs(&error)),
        }
    }
    let replaced = existing.as_ref().map(|existing| &*existing.handle);
    let change = file.begin_change();
    backend.rename_in(&actor, &*file.handle, from, &parent, replaced).or_status()?;
    change.done();
    moving.moved_to(to);
    moved(request, open, file, key, from, to);
    drop((replacing, moving));
    Ok(())
}

/// Refuses a full path, because a stream cannot leave its file. A conflicting open of the directory is
/// reported first.
async fn refuse_full_name(request: &mut Request<'_>, open: &Open, name: &str) -> NtStatus {
    let path = name.split(':').next().unwrap_or_default().trim_matches('\\').replace('\\', "/");
    let Ok(path) = RelativePath::new(path) else { return NtStatus::OBJECT_NAME_INVALID };
    let (Some(backend), Ok(actor)) = (open.tree().backend(), actor(request)) else {
        return NtStatus::INVALID_PARAMETER;
    };
    // A directory that the user cannot see does not conflict.
    let Ok(parent) = backend.parent(&actor, &path) else { return NtStatus::INVALID_PARAMETER };
    match clear_parent(request, &parent).await {
        Err(status) => status,
        Ok(()) => NtStatus::INVALID_PARAMETER,
    }
}

/// Updates the name of the stream in all its opens.
fn moved(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    key: registry::FileKey,
    from: &RelativePath,
    to: &RelativePath,
) {
    let server = &request.connection.server;
    let renamed = server.registry.lock("rename_stream").rename_stream(open.file_id(), key, &display_path(to));
    let what = CompletionFilter::STREAM_NAME;
    server.notify_change(open, from, NotifyAction::REMOVED_STREAM, what);
    if to.stream().is_some() {
        server.notify_change(open, to, NotifyAction::ADDED_STREAM, what);
    }
    file.state().path = to.clone();
    for other in renamed.unwrap_or_default().iter().filter_map(|other| other.file()) {
        other.state().path = to.clone();
    }
}
