//! FileRenameInformation and FileLinkInformation: MS-FSA 2.1.5.15.11, 2.1.5.15.7.

use std::sync::Arc;

use registry::{Effects, FileKey, InTheWay, Readiness, Renamed};
use vfs::{Actor, Handle, Opened, Parent, RelativePath};
use wire::create_context::AaplServerCaps;
use wire::fscc::named_info::RenameInfo;
use wire::fscc::{SmbPath, StreamName};
use wire::{AccessMask, FileGlobalId, LeaseState, NtStatus, ShareAccess};

use crate::core::effects::{Moving, Replacing, SmbShell};
use crate::core::files::recycle::{bin_of_replaced, kept_replaced};
use crate::core::limits;
use crate::core::open::{Open, OpenFile};
use crate::core::security::Subject;
use crate::core::server::Server;
use crate::core::status::{OrStatus, of_vfs};
use crate::smb::connection::Request;
use crate::smb::handlers::create::{canonical, file_key, path_status, relative_path};
use crate::smb::handlers::{actor, display_path, flush, handle_breaks, posix};

use super::stream;
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;

/// Renames a file or directory.
pub(super) async fn rename(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    data: &[u8],
) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::DELETE) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let (name, replace) = wish(file, data)?;
    let from = file.path();
    if from.stream().is_some() {
        return stream::rename(request, open, file, &name, replace).await;
    }
    let to = target(&name)?;
    if from.is_root() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    clear_handles(request, open).await?;
    if file.is_directory && !lets_opens_follow(open) {
        clear_below(request, open, &from).await?;
    }
    let given = give_name(request, open, file, &to, replace, NameChange::Rename).await?;
    let Given { from, real, moving } = given;
    moved(request, open, file, &from, &real);
    drop(moving);
    match from.parent().filter(|left| Some(left) != real.parent().as_ref()) {
        Some(left) => flush::remember(open, file, left).await,
        None => Ok(()),
    }
}

/// Gives a file an additional name.
pub(super) async fn link(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    data: &[u8],
) -> Result<(), NtStatus> {
    let (name, replace) = wish(file, data)?;
    let to = target(&name)?;
    if file.is_directory {
        return Err(NtStatus::FILE_IS_A_DIRECTORY);
    }
    if file.path().stream().is_some() {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    // The open itself needs no right for this, but the share must be writable.
    if !open.tree().maximal_access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    // MS-FSA 2.1.5.15.6: a file that is being deleted gets no other name.
    if is_deleted(request, open) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let real = give_name(request, open, file, &to, replace, NameChange::Link).await?.real;
    // A link changes the file's metadata under its other names, too; that must not count as a change by a
    // local program.
    request.connection.server.files.watches.note_own_change(open);
    request.connection.server.notify_change(open, &real, NotifyAction::ADDED, name_change(file));
    match real.parent() {
        Some(directory) => flush::remember(open, file, directory).await,
        None => Ok(()),
    }
}

/// The kind of a new name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameChange {
    /// A replacement of the name that the file was opened by.
    Rename,
    /// An additional name.
    Link,
}

/// A name that was given to a file.
struct Given {
    /// The previous path.
    from: RelativePath,
    /// The new path.
    real: RelativePath,
    /// Prevents opens by the old name until the new name is visible.
    moving: Option<Moving>,
}

/// Breaks conflicting caches and gives the file its new name, in the directory that was found and checked,
/// replacing only the file that was checked.
async fn give_name(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    to: &RelativePath,
    replace: bool,
    change: NameChange,
) -> Result<Given, NtStatus> {
    let backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let actor = actor(request)?;
    let mut last = NtStatus::SHARING_VIOLATION;
    for _ in 0..limits::MAX_NAME_ATTEMPTS {
        let looked_up = request.connection.server.registry.moves();
        let (parent, entry) = backend.parent_and_entry(&actor, to).or_status()?;
        if change == NameChange::Rename {
            clear_parent(request, &parent).await?;
        }
        let existing = clear_target(request, file, entry, replace).await?;
        let server = &request.connection.server;
        // The file may have been marked for deletion meanwhile.
        if change == NameChange::Link && is_deleted(request, open) {
            return Err(NtStatus::ACCESS_DENIED);
        }
        check_name(request, &*backend, &parent, file.is_directory)?;
        let replacing = match &existing {
            Some(Existing { opened, key: Some(key) }) => {
                let path = RelativePath::new(opened.path.clone()).or_status()?;
                // A target that is still open, or opened again, prevents the rename.
                let replacing = Replacing::begin(server, open.tree(), *key, &path);
                Some(replacing.ok_or(NtStatus::ACCESS_DENIED)?)
            }
            _ => None,
        };
        // Others may have moved the file during the wait.
        let from = file.path();
        let begun = match change {
            NameChange::Rename => {
                let names = (&from, &parent.path);
                Moving::begin(server, open, names, looked_up, lets_opens_follow(open)).map(Some)
            }
            NameChange::Link => {
                let share = &open.tree().share.settings.name;
                let target = crate::smb::handlers::display_path(&parent.path);
                match server.registry.lock("keeps_closed").keeps_closed(share, &target) {
                    true => Err(InTheWay::Held),
                    false => Ok(None),
                }
            }
        };
        let mut moving = match begun {
            Ok(moving) => moving,
            Err(InTheWay::Open) => return Err(NtStatus::ACCESS_DENIED),
            Err(InTheWay::Held) => return Err(NtStatus::SHARING_VIOLATION),
            Err(InTheWay::Closed) => return Err(NtStatus::FILE_CLOSED),
            // Another client caches a handle again since the breaks.
            Err(InTheWay::CachedHandle) => {
                drop(replacing);
                clear_handles(request, open).await?;
                continue;
            }
            Err(InTheWay::OtherMove) => {
                drop(replacing);
                others_moved(server, open, (&from, &parent.path)).await;
                continue;
            }
        };
        let replaced = existing.as_ref().map(|existing| &*existing.opened.handle);
        let under_way = file.begin_change();
        let done = match change {
            NameChange::Rename => {
                let existing = existing.as_ref().filter(|existing| existing.key.is_some());
                rename_in(server, open, file, (&from, &parent), &actor, existing, replaced)
            }
            NameChange::Link => backend.link_in(&actor, &*file.handle, &parent, replaced),
        };
        under_way.done();
        drop(replacing);
        match done {
            Ok(real) => {
                let real = RelativePath::new(real).or_status()?;
                if existing.is_some_and(|it| it.key.is_some()) {
                    let now = server.now();
                    server.registry.lock("replaced").replaced(open.file_id(), &display_path(&real), now);
                }
                if let Some(moving) = &mut moving {
                    moving.moved_to(&real);
                }
                return Ok(Given { from, real, moving });
            }
            // The name belongs to another file than when it was checked.
            Err(error @ (vfs::Error::Exists | vfs::Error::Replaced)) if replace => last = of_vfs(&error),
            Err(error) => return Err(of_vfs(&error)),
        }
    }
    Err(last)
}

/// Renames in the directory of `parent`. A file that is replaced may go to the bin of the share.
fn rename_in(
    server: &Server,
    open: &Open,
    file: &OpenFile,
    (from, parent): (&RelativePath, &Parent),
    actor: &Actor,
    other: Option<&Existing>,
    replaced: Option<&dyn Handle>,
) -> vfs::Result<String> {
    let backend = open.tree().backend().ok_or(vfs::Error::NotSupported)?;
    let kept = other.and_then(|other| Some((other, bin_of_replaced(open, &other.opened, &parent.path)?)));
    let Some((other, bin)) = kept else {
        return backend.rename_in(actor, &*file.handle, from, parent, replaced);
    };
    let (real, result) =
        backend.rename_keeping_in(actor, &*file.handle, from, parent, &*other.opened.handle, &bin)?;
    kept_replaced(&server.files.bins, open, other.opened.stat.size, result);
    Ok(real)
}

/// Waits until conflicting renames are finished.
pub(super) async fn others_moved(server: &Server, open: &Open, (from, to): (&RelativePath, &RelativePath)) {
    let (share, names) = (&open.tree().share.settings.name, [display_path(from), display_path(to)]);
    server.wait_while_moving(|registry| names.iter().any(|name| registry.meets_move(share, name))).await;
}

/// True if the client expects the POSIX semantics of renames: the opens of the POSIX extensions, and macOS, which
/// keeps files open while it renames them or a directory above them. Opens follow to the new name, as in Samba,
/// which breaks no caches for this.
fn lets_opens_follow(open: &Open) -> bool {
    open.file().is_some_and(|file| file.posix) || open.tree().apple() != AaplServerCaps::NONE
}

/// True if the name that the file was opened by is being deleted.
fn is_deleted(request: &Request<'_>, open: &Open) -> bool {
    request.connection.server.registry.lock("link").is_open_deleted(open.file_id())
}

/// The new name, and the flag that an existing file is replaced.
fn wish(file: &OpenFile, data: &[u8]) -> Result<(String, bool), NtStatus> {
    let info = RenameInfo::decode(data).map_err(|_| NtStatus::INFO_LENGTH_MISMATCH)?;
    // MS-FSCC 2.4.42.2: always zero over the network.
    if info.root_directory != 0 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let name = info.name.to_text();
    let name = if file.posix { posix::windows_path(&name) } else { name };
    Ok((name, info.replace_if_exists))
}

/// The new path of a file: relative to the share's root, as in CREATE, without a stream.
fn target(name: &str) -> Result<RelativePath, NtStatus> {
    if name.starts_with(':') {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    // Unlike in CREATE, some clients send a leading separator, for example Samba's.
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

/// Waits until other clients have given up their cached handles of the file to be renamed; returns true if it has waited.
pub(super) async fn clear_handles(request: &mut Request<'_>, open: &Open) -> Result<bool, NtStatus> {
    let id = open.file_id();
    handle_breaks::wait(request, |registry, key, now| {
        registry.break_handle_caching(id, key, now).map_err(|_| NtStatus::FILE_CLOSED)
    })
    .await
}

/// Breaks cached handles below a directory (MS-FSA 2.1.4.2), all at once, so that it takes no longer than for
/// one. A remaining open, or one made meanwhile, prevents the rename. If an open cannot be closed by a break
/// anyway, no break is sent.
async fn clear_below(
    request: &mut Request<'_>,
    open: &Open,
    directory: &RelativePath,
) -> Result<(), NtStatus> {
    let (share, root) = (open.tree().share.settings.name.clone(), open.tree().root());
    let directory = display_path(directory);
    let below = |request: &Request<'_>, limit| {
        request.connection.server.registry.lock("rename").opens_below(&share, root, &directory, limit)
    };
    let found = below(request, OPENS_BELOW);
    ask_for_handles(&request.connection.server, &found)?;
    for id in &found {
        handle_breaks::wait(request, |registry, key, now| {
            let target = registry.open(*id).and_then(|info| info.target.file());
            Ok(match target {
                Some(file) => registry.break_handle_caching_of(file, key, now),
                None => (Readiness::Ready, Effects::none()),
            })
        })
        .await?;
        if request.connection.server.registry.lock("rename").open(*id).is_some() {
            return Err(NtStatus::ACCESS_DENIED);
        }
    }
    match below(request, 1).is_empty() {
        true => Ok(()),
        false => Err(NtStatus::ACCESS_DENIED),
    }
}

/// Breaks the cached handles of these opens' files, if all the opens have some.
fn ask_for_handles(server: &Server, opens: &[FileGlobalId]) -> Result<(), NtStatus> {
    let mut registry = server.registry.lock("rename");
    let has_handle = |id| registry.caching_of_file(id).is_none_or(|held| held.contains(LeaseState::HANDLE));
    if !opens.iter().all(|id| has_handle(*id)) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let effects = registry.break_handles_of_all(opens, server.now());
    drop(registry);
    server.apply(effects);
    Ok(())
}

/// Checks the directory of the new name as if it were opened during the rename to add to it (FILE_ADD_FILE),
/// shared for reading and writing: an open that may delete it, or does not share it for writing, conflicts.
pub(super) async fn clear_parent(request: &mut Request<'_>, parent: &Parent) -> Result<(), NtStatus> {
    let key = file_key(&parent.stat, None);
    let share = ShareAccess::READ | ShareAccess::WRITE;
    let server = &request.connection.server;
    if server.registry.lock("rename").share_conflict(key, AccessMask::WRITE_DATA, share).is_none() {
        return Ok(());
    }
    handle_breaks::wait(request, |registry, request, now| {
        Ok(registry.break_handle_caching_of(key, request, now))
    })
    .await?;
    match server.registry.lock("rename").share_conflict(key, AccessMask::WRITE_DATA, share) {
        Some(_) => Err(NtStatus::SHARING_VIOLATION),
        None => Ok(()),
    }
}

/// The existing file with the new name, which is to be replaced.
struct Existing {
    opened: Opened,
    /// The file whose opens would conflict; `None` if it is the file to be renamed itself.
    key: Option<FileKey>,
}

/// Breaks cached handles of the file to be replaced, which has the new name, and returns that file.
async fn clear_target(
    request: &mut Request<'_>,
    file: &OpenFile,
    entry: Option<Opened>,
    replace: bool,
) -> Result<Option<Existing>, NtStatus> {
    let Some(opened) = entry else { return Ok(None) };
    let own = file.handle.stat().or_status()?;
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
    handle_breaks::wait(request, |registry, request, now| {
        Ok(registry.break_handle_caching_of(key, request, now))
    })
    .await?;
    Ok(Some(Existing { opened, key: Some(key) }))
}

/// Checks whether the directory's security descriptor allows the new name.
fn check_name(
    request: &Request<'_>,
    backend: &dyn vfs::Backend,
    parent: &Parent,
    is_directory: bool,
) -> Result<(), NtStatus> {
    let user = crate::smb::handlers::user_of_files(request)?;
    let checked = Subject::of(&user, backend).may_create(parent, is_directory);
    checked.map(drop).or_status()
}

fn name_change(file: &OpenFile) -> CompletionFilter {
    if file.is_directory { CompletionFilter::DIR_NAME } else { CompletionFilter::FILE_NAME }
}

/// All opens that a rename has moved, including those beyond the first part.
fn all_renamed(server: &Server, first: Renamed<SmbShell>) -> Vec<Arc<Open>> {
    let Renamed { mut opens, mut rest } = first;
    while let Some(rename) = rest {
        let next = server.registry.lock("rename").rename_on(rename);
        opens.extend(next.opens);
        rest = next.rest;
    }
    opens
}

/// Updates the paths of all opens after a rename.
fn moved(request: &Request<'_>, open: &Open, file: &OpenFile, from: &RelativePath, to: &RelativePath) {
    let (old, new) = (display_path(from), display_path(to));
    let (share, root) = (&open.tree().share.settings.name, open.tree().root());
    let server = &request.connection.server;
    // An administrator may have ended the open meanwhile; other opens of the file still have the old name.
    let key = file.handle.inode().map(|(device, inode)| FileKey { device, inode, stream: 0 });
    let of_streams = key.as_ref().ok().copied();
    let itself = {
        let mut registry = server.registry.lock("rename");
        let renamed = registry.rename(open.file_id(), &new);
        renamed.or_else(|_| key.map(|key| registry.rename_by_path(key, share, root, &old, &new)))
    };
    let renamed = itself.map(|first| all_renamed(server, first)).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot update other opens of a renamed file; they keep its old name");
        Vec::new()
    });
    let mut below = of_streams.map_or_else(Vec::new, |key| {
        let first = server.registry.lock("rename").rename_streams(key, share, root, &old, &new);
        all_renamed(server, first)
    });
    if file.is_directory {
        let first = server.registry.lock("rename").rename_below(share, root, &old, &new);
        below.extend(all_renamed(server, first));
    }
    let what = name_change(file);
    if from.parent() == to.parent() {
        server.notify_change(open, from, NotifyAction::RENAMED_OLD_NAME, what);
        server.notify_change(open, to, NotifyAction::RENAMED_NEW_NAME, what);
    } else {
        server.notify_change(open, from, NotifyAction::REMOVED, what);
        server.notify_change(open, to, NotifyAction::ADDED, what);
    }
    if file.is_directory {
        server.files.watches.follow_rename(open.tree(), from, to);
    }
    file.moved(to.clone());
    file.state().renamed = true;
    for other in renamed.iter().filter_map(|other| other.file()) {
        other.moved(to.clone());
    }
    for other in below.iter().filter_map(|other| other.file()) {
        if let Some(path) = rebased(&other.path(), from, to) {
            other.moved(path);
        }
    }
}

/// The new path of `path`, which is `from` or below it, when `from` becomes `to`; `None` for other paths.
fn rebased(path: &RelativePath, from: &RelativePath, to: &RelativePath) -> Option<RelativePath> {
    let rest = wire::names::rest_below(path.as_str(), from.as_str(), &['/'])?;
    let moved = RelativePath::new(format!("{}{rest}", to.as_str())).ok()?;
    match path.stream() {
        Some(stream) => moved.with_stream(stream).ok(),
        None => Some(moved),
    }
}

/// Opens below a directory whose caches are broken before it is renamed: few enough for one hold of the
/// registry's lock. Beyond, the rename is refused.
const OPENS_BELOW: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rename_targets_are_relative_to_the_share() {
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
    fn paths_below_a_renamed_directory_are_updated() {
        let path = |text: &str| RelativePath::new(text).unwrap();
        let moved = rebased(&path("a/b/c").with_stream("s").unwrap(), &path("a/b"), &path("x")).unwrap();
        assert_eq!((moved.as_str(), moved.stream()), ("x/c", Some("s")));
        assert_eq!(rebased(&path("z/c"), &path("a/b"), &path("x")), None);
        // A path that has been updated already.
        assert_eq!(rebased(&path("ab/c"), &path("a"), &path("ab")), None);
    }
}
