//! FileRenameInformation and FileLinkInformation: MS-FSA 2.1.5.15.11, 2.1.5.15.7.

use std::sync::Arc;

use registry::{Effects, FileKey, Readiness};
use vfs::{RelativePath, Wanted};
use wire::fscc::named_info::RenameInfo;
use wire::fscc::{SmbPath, StreamName};
use wire::{AccessMask, NtStatus, ShareAccess};

use crate::connection::{AnswerBuilder, Request};
use crate::handlers::create::{path_status, relative_path};
use crate::handlers::{actor, breaks, display_path, flush};
use crate::open::{Open, OpenFile};
use crate::security::Subject;
use crate::status::of_vfs;

use super::stream;
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;

/// Renames a file or directory.
pub(super) async fn rename(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Arc<Open>,
    file: &OpenFile,
    data: &[u8],
) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::DELETE) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let (name, replace) = wish(data)?;
    let from = file.path();
    if from.stream().is_some() {
        return stream::rename(request, answer, open, file, &name, replace).await;
    }
    let to = target(&name)?;
    if from.is_root() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let id = open.file_id();
    breaks::wait(request, answer, |registry, key, now| {
        registry.break_handle_caching(id, key, now).map_err(|_| NtStatus::FILE_CLOSED)
    })
    .await?;
    if file.is_directory {
        clear_below(request, answer, open, &from).await?;
    }
    clear_parent(request, answer, open, &to).await?;
    clear_target(request, answer, open, file, &to, replace).await?;
    if request.connection.server.registry.lock("rename").has_open_streams(id) {
        return Err(NtStatus::ACCESS_DENIED);
    }

    check_name(request, &*backend, &to, file.is_directory)?;
    // Waiting gave others time to move it.
    let from = file.path();
    let real = backend
        .rename(&actor(request), &*file.handle, &from, &to, replace)
        .map_err(|error| of_vfs(&error))?;
    let real = RelativePath::new(real).map_err(|error| of_vfs(&error))?;
    moved(request, open, file, &from, &real);
    match from.parent().filter(|left| Some(left) != real.parent().as_ref()) {
        Some(left) => flush::remember(open, file, left).await,
        None => Ok(()),
    }
}

/// Gives a file a further name.
pub(super) async fn link(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Arc<Open>,
    file: &OpenFile,
    data: &[u8],
) -> Result<(), NtStatus> {
    let (name, replace) = wish(data)?;
    let to = target(&name)?;
    if file.is_directory {
        return Err(NtStatus::FILE_IS_A_DIRECTORY);
    }
    if file.path().stream().is_some() {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    // The open itself needs no right for this, but the share must let names be made.
    if !open.tree().maximal_access.contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    clear_target(request, answer, open, file, &to, replace).await?;
    check_name(request, &*backend, &to, false)?;
    backend.link(&actor(request), &*file.handle, &to, replace).map_err(|error| of_vfs(&error))?;
    request.connection.server.changed(open, &to, NotifyAction::ADDED, name_change(file));
    match to.parent() {
        Some(directory) => flush::remember(open, file, directory).await,
        None => Ok(()),
    }
}

/// The new name, and whether it may replace what has it.
fn wish(data: &[u8]) -> Result<(String, bool), NtStatus> {
    let info = RenameInfo::decode(data).map_err(|_| NtStatus::INFO_LENGTH_MISMATCH)?;
    // MS-FSCC 2.4.42.2: over the network there is no directory to start from.
    if info.root_directory != 0 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let name = info.name.to_string().map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
    Ok((name, info.replace_if_exists))
}

/// The new name of a file: from the share's root, as CREATE has it, without a stream.
fn target(name: &str) -> Result<RelativePath, NtStatus> {
    if name.starts_with(':') {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    // Unlike CREATE's, these are found with a separator before them, from Samba's client for one.
    let path = SmbPath::parse(name.strip_prefix('\\').unwrap_or(name)).map_err(path_status)?;
    if path.is_root() {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if path.stream() != StreamName::None {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    relative_path(path)
}

/// Lets those who only cache handles below a directory close them. Any that stays is in the way.
async fn clear_below(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    directory: &RelativePath,
) -> Result<(), NtStatus> {
    let share = open.tree().share.settings.name.clone();
    let directory = display_path(directory);
    breaks::wait(request, answer, |registry, key, now| {
        let mut effects = Effects::none();
        for below in registry.opens_below(&share, &directory) {
            let target = registry.open(below).and_then(|info| info.target.file());
            let Some(file) = target else { continue };
            let (readiness, breaks) = registry.break_handle_caching_of(file, key, now);
            effects.merge(breaks);
            if readiness == Readiness::MustWait {
                return Ok((Readiness::MustWait, effects));
            }
        }
        Ok((Readiness::Ready, effects))
    })
    .await?;
    let registry = request.connection.server.registry.lock("rename");
    if registry.opens_below(&share, &directory).is_empty() { Ok(()) } else { Err(NtStatus::ACCESS_DENIED) }
}

/// The directory that the name goes to is opened for the time of the rename, to add to it (FILE_ADD_FILE) and
/// shared for reading and writing: who may delete it, or does not share it for writing, is in the way.
pub(super) async fn clear_parent(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    to: &RelativePath,
) -> Result<(), NtStatus> {
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let Some(parent) = to.parent() else { return Ok(()) };
    let Some(parent) = seen(backend.open(&actor(request), &parent, Wanted::NOTHING))? else { return Ok(()) };
    let key = FileKey { device: parent.stat.device, inode: parent.stat.inode, stream: 0 };
    let share = ShareAccess::READ | ShareAccess::WRITE;
    let server = &request.connection.server;
    if server.registry.lock("rename").share_conflict(key, AccessMask::WRITE_DATA, share).is_none() {
        return Ok(());
    }
    breaks::wait(request, answer, |registry, request, now| {
        Ok(registry.break_handle_caching_of(key, request, now))
    })
    .await?;
    match server.registry.lock("rename").share_conflict(key, AccessMask::WRITE_DATA, share) {
        Some(_) => Err(NtStatus::SHARING_VIOLATION),
        None => Ok(()),
    }
}

/// Lets those who only cache handles of the file that is to be replaced close them. One that stays
/// open is in the way.
async fn clear_target(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    file: &OpenFile,
    to: &RelativePath,
    replace: bool,
) -> Result<(), NtStatus> {
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let Some(existing) = seen(backend.open(&actor(request), to, Wanted::NOTHING))? else { return Ok(()) };
    let own = file.handle.stat().map_err(|error| of_vfs(&error))?;
    if existing.stat.is_same_file(&own) {
        return Ok(());
    }
    if !replace {
        return Err(NtStatus::OBJECT_NAME_COLLISION);
    }
    if existing.stat.is_directory() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let key = FileKey { device: existing.stat.device, inode: existing.stat.inode, stream: 0 };
    breaks::wait(request, answer, |registry, request, now| {
        Ok(registry.break_handle_caching_of(key, request, now))
    })
    .await?;
    let registry = request.connection.server.registry.lock("rename");
    if registry.file_summary(key).is_some_and(|file| file.opens != 0) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    Ok(())
}

/// What is there, if anything is that the user can see. What cannot be seen for a reason that lies in the name is the
/// backend's to decide on; where it cannot be told what is there, nothing may be put in its place.
fn seen(opened: vfs::Result<vfs::Opened>) -> Result<Option<vfs::Opened>, NtStatus> {
    use vfs::Error;
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(
            Error::NotFound
            | Error::PathNotFound
            | Error::NotADirectory
            | Error::AccessDenied
            | Error::Loop
            | Error::InvalidName,
        ) => Ok(None),
        Err(error) => Err(of_vfs(&error)),
    }
}

/// What the directory's security descriptor says to the new name.
fn check_name(
    request: &Request<'_>,
    backend: &dyn vfs::Backend,
    to: &RelativePath,
    is_directory: bool,
) -> Result<(), NtStatus> {
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    Subject::of(&user, backend).check_name(to, is_directory)
}

fn name_change(file: &OpenFile) -> CompletionFilter {
    if file.is_directory { CompletionFilter::DIR_NAME } else { CompletionFilter::FILE_NAME }
}

/// Lets every open that the rename has moved know where it is now.
fn moved(request: &Request<'_>, open: &Open, file: &OpenFile, from: &RelativePath, to: &RelativePath) {
    let (old, new) = (display_path(from), display_path(to));
    let share = &open.tree().share.settings.name;
    let mut registry = request.connection.server.registry.lock("rename");
    let renamed = registry.rename(open.file_id(), &new).unwrap_or_default();
    let below = if file.is_directory { registry.rename_below(share, &old, &new) } else { Vec::new() };
    drop(registry);
    let server = &request.connection.server;
    let what = name_change(file);
    if from.parent() == to.parent() {
        server.changed(open, from, NotifyAction::RENAMED_OLD_NAME, what);
        server.changed(open, to, NotifyAction::RENAMED_NEW_NAME, what);
    } else {
        server.changed(open, from, NotifyAction::REMOVED, what);
        server.changed(open, to, NotifyAction::ADDED, what);
    }
    if file.is_directory {
        server.watches.renamed(open.tree(), from, to);
    }
    {
        let mut state = file.state();
        state.path = to.clone();
        state.renamed = true;
    }
    for other in renamed.iter().filter_map(|other| other.file()) {
        other.state().path = to.clone();
    }
    for other in below.iter().filter_map(|other| other.file()) {
        let mut state = other.state();
        if let Some(path) = rebased(&state.path, from, to) {
            state.path = path;
        }
    }
}

/// The path that `path`, below `from`, has below `to`.
fn rebased(path: &RelativePath, from: &RelativePath, to: &RelativePath) -> Option<RelativePath> {
    let rest = path.as_str().strip_prefix(from.as_str())?;
    let moved = RelativePath::new(format!("{}{rest}", to.as_str())).ok()?;
    match path.stream() {
        Some(stream) => moved.with_stream(stream).ok(),
        None => Some(moved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_names_from_the_root() {
        assert_eq!(target(r"a\b c.txt").unwrap().as_str(), "a/b c.txt");
        assert_eq!(target(r"dir\").unwrap().as_str(), "dir");
        assert_eq!(target(r"\dir\a").unwrap().as_str(), "dir/a");
        for (name, status) in [
            ("", NtStatus::INVALID_PARAMETER),
            (r"\\a", NtStatus::INVALID_PARAMETER),
            (r"a\..\b", NtStatus::OBJECT_PATH_SYNTAX_BAD),
            ("a*", NtStatus::OBJECT_NAME_INVALID),
            ("a:stream", NtStatus::OBJECT_NAME_INVALID),
            (":stream", NtStatus::NOT_SUPPORTED),
        ] {
            assert_eq!(target(name), Err(status), "{name}");
        }
    }

    #[test]
    fn what_is_below_moves_along() {
        let path = |text: &str| RelativePath::new(text).unwrap();
        let moved = rebased(&path("a/b/c").with_stream("s").unwrap(), &path("a/b"), &path("x")).unwrap();
        assert_eq!((moved.as_str(), moved.stream()), ("x/c", Some("s")));
        assert_eq!(rebased(&path("z/c"), &path("a/b"), &path("x")), None);
    }
}
