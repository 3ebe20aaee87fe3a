//! FileRenameInformation of a named stream: MS-FSA 2.1.5.15.11.1.

use std::sync::Arc;

use vfs::{RelativePath, Wanted};
use wire::NtStatus;
use wire::fscc::StreamName;
use wire::fscc::name::parse_stream;
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;

use super::rename::clear_parent;
use crate::connection::{AnswerBuilder, Request};
use crate::handlers::create::{file_key, path_status};
use crate::handlers::{actor, breaks, display_path};
use crate::open::{Open, OpenFile};
use crate::status::of_vfs;

/// Gives a stream another name on its file, or makes it the file's data.
pub(super) async fn rename(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Arc<Open>,
    file: &OpenFile,
    name: &str,
    replace: bool,
) -> Result<(), NtStatus> {
    let Some(to) = name.strip_prefix(':') else {
        return Err(refuse_full_name(request, answer, open, name).await);
    };
    let backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let id = open.file_id();
    breaks::wait(request, answer, |registry, key, now| {
        registry.break_handle_caching(id, key, now).map_err(|_| NtStatus::FILE_CLOSED)
    })
    .await?;
    let from = file.path();
    let to = match parse_stream(to).map_err(path_status)? {
        StreamName::Named(name) => {
            from.without_stream().with_stream(name).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?
        }
        StreamName::Data => from.without_stream(),
        StreamName::None | StreamName::Index => return Err(NtStatus::INVALID_PARAMETER),
    };
    let stat = file.handle.stat().map_err(|error| of_vfs(&error))?;
    let (own, key) = (file_key(&stat, from.stream()), file_key(&stat, to.stream()));
    let actor = actor(request);
    if own != key {
        let registry = request.connection.server.registry.lock("rename_stream");
        let opens = registry.file_summary(own).map_or(0, |it| it.opens);
        if opens > registry.limits().opens_of_renamed_stream {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        drop(registry);
        match backend.open(&actor, &to, Wanted::NOTHING) {
            Ok(_) if !replace => return Err(NtStatus::OBJECT_NAME_COLLISION),
            // Only what holds nothing and nobody uses gives way.
            Ok(existing) => {
                let registry = request.connection.server.registry.lock("rename_stream");
                if existing.stat.is_directory()
                    || existing.stat.size > 0
                    || registry.file_summary(key).is_some()
                {
                    return Err(NtStatus::INVALID_PARAMETER);
                }
            }
            Err(vfs::Error::NotFound) => {}
            Err(error) => return Err(of_vfs(&error)),
        }
    }
    backend.rename(&actor, &*file.handle, &from, &to, replace).map_err(|error| of_vfs(&error))?;
    moved(request, open, file, key, &from, &to);
    Ok(())
}

/// A stream cannot leave its file. Who has the directory open in a way that excludes a rename hears of that
/// first.
async fn refuse_full_name(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    name: &str,
) -> NtStatus {
    let path = name.split(':').next().unwrap_or_default().trim_matches('\\').replace('\\', "/");
    let Ok(path) = RelativePath::new(path) else { return NtStatus::OBJECT_NAME_INVALID };
    match clear_parent(request, answer, open, &path).await {
        Err(status) => status,
        Ok(()) => NtStatus::INVALID_PARAMETER,
    }
}

/// Lets every open of the stream know what it is called now.
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
    server.changed(open, from, NotifyAction::REMOVED_STREAM, what);
    if to.stream().is_some() {
        server.changed(open, to, NotifyAction::ADDED_STREAM, what);
    }
    file.state().path = to.clone();
    for other in renamed.unwrap_or_default().iter().filter_map(|other| other.file()) {
        other.state().path = to.clone();
    }
}
