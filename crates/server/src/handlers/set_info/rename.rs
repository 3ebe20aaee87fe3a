//! FileRenameInformation and FileLinkInformation: MS-FSA 2.1.5.15.11, 2.1.5.15.7.

use std::sync::Arc;

use registry::{Effects, FileKey, Readiness, Renamed};
use vfs::{Opened, Parent, RelativePath};
use wire::fscc::named_info::RenameInfo;
use wire::fscc::{SmbPath, StreamName};
use wire::{AccessMask, NtStatus, ShareAccess};

use crate::connection::{AnswerBuilder, Request};
use crate::handlers::create::{canonical, file_key, path_status, relative_path};
use crate::handlers::{actor, breaks, display_path, flush};
use crate::limits;
use crate::open::{Open, OpenFile};
use crate::security::Subject;
use crate::server::Server;
use crate::shell::{Replacing, SmbShell};
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
    let id = open.file_id();
    breaks::wait(request, answer, |registry, key, now| {
        registry.break_handle_caching(id, key, now).map_err(|_| NtStatus::FILE_CLOSED)
    })
    .await?;
    if file.is_directory {
        clear_below(request, answer, open, &from).await?;
    }
    let (from, real) = give_name(request, answer, open, file, &to, replace, NameChange::Rename).await?;
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
    // MS-FSA 2.1.5.15.6: what is to be deleted keeps nothing by another name.
    if is_deleted(request, open) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let (_, real) = give_name(request, answer, open, file, &to, replace, NameChange::Link).await?;
    request.connection.server.changed(open, &real, NotifyAction::ADDED, name_change(file));
    match real.parent() {
        Some(directory) => flush::remember(open, file, directory).await,
        None => Ok(()),
    }
}

/// What a new name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameChange {
    /// Instead of the name that the file was opened by.
    Rename,
    /// Beside it.
    Link,
}

/// Clears the way for the new name and gives it to the file: in the directory that was found and checked, and
/// replacing no other file than the one that was. Says where the file was, and where it is by its new name.
async fn give_name(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Arc<Open>,
    file: &OpenFile,
    to: &RelativePath,
    replace: bool,
    change: NameChange,
) -> Result<(RelativePath, RelativePath), NtStatus> {
    let backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let actor = actor(request)?;
    let mut last = NtStatus::SHARING_VIOLATION;
    for _ in 0..limits::MAX_NAME_ATTEMPTS {
        let parent = backend.parent(&actor, to).map_err(|error| of_vfs(&error))?;
        if change == NameChange::Rename {
            clear_parent(request, answer, &parent).await?;
        }
        let existing = clear_target(request, answer, open, file, &parent, replace).await?;
        let server = &request.connection.server;
        match change {
            NameChange::Rename if server.registry.lock("rename").has_open_streams(open.file_id()) => {
                return Err(NtStatus::ACCESS_DENIED);
            }
            // Somebody may have asked for it since.
            NameChange::Link if is_deleted(request, open) => return Err(NtStatus::ACCESS_DENIED),
            _ => {}
        }
        check_name(request, &*backend, &parent, file.is_directory)?;
        let replacing = match &existing {
            Some(Existing { opened, key: Some(key) }) => {
                let path = RelativePath::new(opened.path.clone()).map_err(|error| of_vfs(&error))?;
                // One that stays open, or was opened since, is in the way.
                let replacing = Replacing::begin(server, open.tree(), *key, &path);
                Some(replacing.ok_or(NtStatus::ACCESS_DENIED)?)
            }
            _ => None,
        };
        // Waiting gave others time to move it.
        let from = file.path();
        let replaced = existing.as_ref().map(|existing| &*existing.opened.handle);
        let done = match change {
            NameChange::Rename => backend.rename_in(&actor, &*file.handle, &from, &parent, replaced),
            NameChange::Link => backend.link_in(&actor, &*file.handle, &parent, replaced),
        };
        drop(replacing);
        match done {
            Ok(real) => {
                let real = RelativePath::new(real).map_err(|error| of_vfs(&error))?;
                return Ok((from, real));
            }
            // Another has the name by now than when it was looked at.
            Err(error @ (vfs::Error::Exists | vfs::Error::Replaced)) if replace => last = of_vfs(&error),
            Err(error) => return Err(of_vfs(&error)),
        }
    }
    Err(last)
}

/// Whether the name that the file was opened by is to be deleted.
fn is_deleted(request: &Request<'_>, open: &Open) -> bool {
    request.connection.server.registry.lock("link").is_open_deleted(open.file_id())
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
    let name = canonical(name.trim_start_matches('\\'))?;
    let path = SmbPath::parse(&name).map_err(path_status)?;
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
    loop {
        let mut asked = Vec::new();
        breaks::wait(request, answer, |registry, key, now| {
            let mut effects = Effects::none();
            asked = registry.opens_below(&share, &directory, OPENS_BELOW);
            for below in &asked {
                let target = registry.open(*below).and_then(|info| info.target.file());
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
        if registry.opens_below(&share, &directory, 1).is_empty() {
            return Ok(());
        }
        if asked.iter().any(|open| registry.open(*open).is_some()) {
            return Err(NtStatus::ACCESS_DENIED);
        }
    }
}

/// The directory that the name goes to is opened for the time of the rename, to add to it (FILE_ADD_FILE) and
/// shared for reading and writing: who may delete it, or does not share it for writing, is in the way.
pub(super) async fn clear_parent(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    parent: &Parent,
) -> Result<(), NtStatus> {
    let key = file_key(&parent.stat, None);
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

/// What has the new name and is to be replaced.
struct Existing {
    opened: Opened,
    /// The file whose opens are in the way; none for the file itself that gets the name.
    key: Option<FileKey>,
}

/// Lets those who only cache handles of the file that is to be replaced close them; what is to be replaced.
async fn clear_target(
    request: &mut Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Open,
    file: &OpenFile,
    parent: &Parent,
    replace: bool,
) -> Result<Option<Existing>, NtStatus> {
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let opened = match backend.open_in(&actor(request)?, &*parent.handle, &parent.path, false) {
        Err(vfs::Error::NotFound) => return Ok(None),
        opened => opened.map_err(|error| of_vfs(&error))?,
    };
    let own = file.handle.stat().map_err(|error| of_vfs(&error))?;
    if opened.stat.is_same_file(&own) {
        return Ok(replace.then_some(Existing { opened, key: None }));
    }
    if !replace {
        return Err(NtStatus::OBJECT_NAME_COLLISION);
    }
    if opened.stat.is_directory() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let key = file_key(&opened.stat, None);
    breaks::wait(request, answer, |registry, request, now| {
        Ok(registry.break_handle_caching_of(key, request, now))
    })
    .await?;
    Ok(Some(Existing { opened, key: Some(key) }))
}

/// What the directory's security descriptor says to the new name.
fn check_name(
    request: &Request<'_>,
    backend: &dyn vfs::Backend,
    parent: &Parent,
    is_directory: bool,
) -> Result<(), NtStatus> {
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    let checked = Subject::of(&user, backend).may_create(parent, is_directory);
    checked.map(drop).map_err(|error| of_vfs(&error))
}

fn name_change(file: &OpenFile) -> CompletionFilter {
    if file.is_directory { CompletionFilter::DIR_NAME } else { CompletionFilter::FILE_NAME }
}

/// The opens that a rename has moved, with those that one hold of the lock had no time for.
fn all_renamed(server: &Server, first: Renamed<SmbShell>) -> Vec<Arc<Open>> {
    let Renamed { mut opens, mut rest } = first;
    while let Some(rename) = rest {
        let next = server.registry.lock("rename").rename_on(rename);
        opens.extend(next.opens);
        rest = next.rest;
    }
    opens
}

/// Lets every open that the rename has moved know where it is now.
fn moved(request: &Request<'_>, open: &Open, file: &OpenFile, from: &RelativePath, to: &RelativePath) {
    let (old, new) = (display_path(from), display_path(to));
    let share = &open.tree().share.settings.name;
    let server = &request.connection.server;
    // An administrator may have ended the open meanwhile; others know the file by the old name all the same.
    let key = file.handle.stat().map(|stat| file_key(&stat, None));
    let itself = {
        let mut registry = server.registry.lock("rename");
        let renamed = registry.rename(open.file_id(), &new);
        renamed.or_else(|_| key.map(|key| registry.rename_by_path(key, share, &old, &new)))
    };
    let renamed = itself.map(|first| all_renamed(server, first)).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot tell other opens of a renamed file; they know it by its old name");
        Vec::new()
    });
    let below = if file.is_directory {
        let first = server.registry.lock("rename").rename_below(share, &old, &new);
        all_renamed(server, first)
    } else {
        Vec::new()
    };
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

/// Opens below a directory that are asked at once to give up what they cache, before it is renamed: few enough for
/// one hold of the registry's lock.
const OPENS_BELOW: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_names_from_the_root() {
        assert_eq!(target(r"a\b c.txt").unwrap().as_str(), "a/b c.txt");
        assert_eq!(target(r"dir\").unwrap().as_str(), "dir");
        assert_eq!(target(r"\dir\a").unwrap().as_str(), "dir/a");
        assert_eq!(target(r"\\dir\\a").unwrap().as_str(), "dir/a");
        assert_eq!(target(r"a\..\b").unwrap().as_str(), "b");
        for (name, status) in [
            ("", NtStatus::INVALID_PARAMETER),
            (r"..\b", NtStatus::OBJECT_PATH_SYNTAX_BAD),
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
