//! From a name to an open handle, without side effects on existing files (MS-FSA 2.1.5.1).

use std::cell::Cell;
use std::sync::Arc;

use registry::{FileKey, MoveCount};
use vfs::{
    Actor, Backend, Capabilities, Found, Handle, Kind, New, OpenHow, Parent, RelativePath, Stat, Wanted,
};
use wire::ioctl::ReparseTag;
use wire::msg::{CreateAction, CreateDisposition, CreateOptions};
use wire::security::Privileges;
use wire::{AccessMask, FileAttributes, NtStatus};

use super::decode::Wish;
use super::rules::{check_kind, granted, interest, maximal_access, wanted};
use crate::core::effects::Replacing;
use crate::core::security::{self, Known, Subject};
use crate::core::status::of_vfs;
use crate::core::tree::Tree;
use crate::smb::connection::Request;
use crate::smb::handlers::ea;

/// A file that can be opened if the registry admits the open.
pub(super) struct Resolved {
    pub(super) handle: Arc<dyn Handle>,
    /// The actor whose permissions were checked.
    pub(super) actor: Actor,
    /// The path in its spelling on disk, with the stream.
    pub(super) path: RelativePath,
    pub(super) stat: Stat,
    /// True if this CREATE changes the file no more, so that `stat` is right for its answer.
    pub(super) has_current_stat: bool,
    /// The access for the open.
    pub(super) access: AccessMask,
    pub(super) maximal_access: AccessMask,
    pub(super) action: CreateAction,
    /// True if the file's content must be removed.
    pub(super) overwrites: bool,
    /// True if the file was created together with this stream.
    with_file: bool,
    /// The directory in which a file was created.
    parent: Option<FileKey>,
    /// The registry's count of renames before the lookup.
    pub(super) looked_up: MoveCount,
}

impl Resolved {
    /// The registry's key of the file.
    pub(super) fn key(&self) -> FileKey {
        super::file_key(&self.stat, self.path.stream())
    }

    /// The path in the form for administrators.
    pub(super) fn display_path(&self) -> String {
        crate::smb::handlers::display_path(&self.path)
    }

    /// Finds the file that this CREATE has made again, if it or a directory above it was renamed since;
    /// `None` if its name is unknown.
    pub(super) fn found_again(mut self, request: &Request<'_>) -> Option<Self> {
        let looked_up = request.connection.server.registry.moves();
        self.path = self.moved_path(request)?;
        self.looked_up = looked_up;
        // Others may have changed the file.
        self.has_current_stat = false;
        let backend = request.tree.as_ref()?.backend()?;
        backend.directory_of(&self.actor, &self.path, &*self.handle).ok()?;
        if self.path.stream().is_some() {
            backend.open_in(&self.actor, &*self.handle, &self.path, true).ok()?;
        }
        Some(self)
    }

    /// The path after the renames since the lookup.
    fn moved_path(&self, request: &Request<'_>) -> Option<RelativePath> {
        let share = &request.tree.as_ref()?.share.settings.name;
        let registry = request.connection.server.registry.lock("create");
        let path = registry.moved_path(share, &self.display_path(), self.looked_up);
        drop(registry);
        relative(&path)
    }

    /// Removes a new file whose CREATE has failed.
    pub(super) fn undo(&self, request: &Request<'_>) {
        if self.action != CreateAction::CREATED {
            return;
        }
        let path = self.moved_path(request).unwrap_or_else(|| self.path.clone());
        let path = if self.with_file { path.without_stream() } else { path };
        let Some(tree) = &request.tree else { return };
        let Some(backend) = tree.backend() else { return };
        let server = &request.connection.server;
        // If another client has opened the file since, it stays.
        let key = super::file_key(&self.stat, path.stream());
        let Some(_removing) = Replacing::begin(server, tree, key, &path) else { return };
        server.files.watches.note_own_undone(tree, &path);
        if let Err(error) = backend.remove(&self.actor, &path, &*self.handle) {
            tracing::warn!(%path, %error, "cannot remove a new file after its open was refused; the file remains");
        }
    }
}

/// Converts a path in the form for administrators.
fn relative(display: &str) -> Option<RelativePath> {
    let (path, stream) = match display.split_once(':') {
        Some((path, stream)) => (path, Some(stream)),
        None => (display, None),
    };
    let path = RelativePath::new(path.replace('\\', "/")).ok()?;
    match stream {
        Some(stream) => path.with_stream(stream).ok(),
        None => Some(path),
    }
}

/// Opens the file of the name, or creates it if there is none.
pub(super) fn resolve(request: &Request<'_>, wish: &Wish) -> Result<Resolved, NtStatus> {
    let looked_up = request.connection.server.registry.moves();
    look_up(request, wish).map(|resolved| Resolved { looked_up, ..resolved })
}

fn look_up(request: &Request<'_>, wish: &Wish) -> Result<Resolved, NtStatus> {
    let tree = request.tree()?;
    let backend = tree.backend().ok_or(NtStatus::BAD_DEVICE_TYPE)?;
    let user = crate::smb::handlers::user_of_files(request)?;
    let subject = Subject {
        backend: &**backend,
        actor: &user.actor,
        token: &user.token,
        for_backup: wish.options.contains(CreateOptions::OPEN_FOR_BACKUP_INTENT),
    };
    if wish.access.contains(AccessMask::ACCESS_SYSTEM_SECURITY)
        && !user.token.privileges().contains(Privileges::SECURITY)
    {
        return Err(NtStatus::PRIVILEGE_NOT_HELD);
    }
    // Others may create or remove the file between the two attempts.
    for _ in 0..LOOKS {
        let directory = match open_existing(tree, &subject, wish)? {
            Existing::Resolved(resolved) => return Ok(*resolved),
            Existing::Missed(directory) => directory,
        };
        if wish.delete_on_close && wish.attributes.contains(FileAttributes::READONLY) {
            return Err(NtStatus::CANNOT_DELETE);
        }
        if wish.encrypted {
            return Err(NtStatus::ACCESS_DENIED);
        }
        match create_new(tree, &subject, wish, directory) {
            Ok(resolved) => return check_parent(request, resolved),
            Err(NotMade::Vfs(vfs::Error::Exists)) => {}
            Err(NotMade::Vfs(error)) => return Err(status(&error)),
            Err(NotMade::Refused(status)) => return Err(status),
        }
    }
    Err(NtStatus::OBJECT_NAME_COLLISION)
}

/// Removes a new file in a directory that is being deleted. This is checked after the creation; a client that
/// marks the directory for deletion checks for entries after the mark.
fn check_parent(request: &Request<'_>, resolved: Resolved) -> Result<Resolved, NtStatus> {
    let registry = &request.connection.server.registry;
    match resolved.parent.filter(|_| registry.has_pending_deletes()) {
        Some(parent) if registry.lock("create").is_delete_pending(parent) => {
            resolved.undo(request);
            Err(NtStatus::DELETE_PENDING)
        }
        _ => Ok(resolved),
    }
}

/// Applies the disposition to an existing file (MS-FSA 2.1.5.1.2.2). Overwritten files and new streams get
/// extended attributes and space here; new files have them already.
pub(super) fn change(request: &Request<'_>, wish: &Wish, resolved: &Resolved) -> Result<(), NtStatus> {
    let is_new_stream = resolved.action == CreateAction::CREATED && resolved.path.stream().is_some();
    if resolved.overwrites {
        overwrite(request, wish, resolved).map_err(|error| status(&error))?;
    }
    if resolved.overwrites && resolved.path.stream().is_none() {
        ea::clear(&*resolved.handle)?;
    }
    if resolved.overwrites || is_new_stream {
        furnish(&*resolved.handle, &resolved.stat, wish)
    } else {
        Ok(())
    }
}

/// Sets the extended attributes and reserves the space that a CREATE requests.
fn furnish(handle: &dyn Handle, stat: &Stat, wish: &Wish) -> Result<(), NtStatus> {
    if !wish.eas.is_empty() {
        ea::set(handle, &wish.eas)?;
    }
    match wish.allocation_size {
        Some(bytes) if bytes > 0 && !stat.is_directory() => match handle.allocate(bytes) {
            // If the file system cannot reserve space, the file is created nevertheless.
            Ok(()) | Err(vfs::Error::NotSupported | vfs::Error::AccessDenied) => Ok(()),
            Err(error) => Err(status(&error)),
        },
        _ => Ok(()),
    }
}

/// The reason why a file was not created.
enum NotMade {
    /// An error of the file system, or a refusal by the descriptor of the directory.
    Vfs(vfs::Error),
    /// A refused property of the new file.
    Refused(NtStatus),
}

impl From<vfs::Error> for NotMade {
    fn from(error: vfs::Error) -> Self {
        Self::Vfs(error)
    }
}

/// Truncates a stream, or truncates a file and removes its streams except for open ones.
fn overwrite(request: &Request<'_>, wish: &Wish, resolved: &Resolved) -> vfs::Result<()> {
    if resolved.path.stream().is_some() {
        return resolved.handle.set_size(0);
    }
    // Queried first, because an error must not leave the file truncated.
    let streams = match resolved.handle.streams() {
        Err(vfs::Error::NotSupported) => Vec::new(),
        streams => streams?,
    };
    resolved.handle.set_size(0)?;
    let attributes = wish.attributes.without(FileAttributes::NORMAL) | FileAttributes::ARCHIVE;
    let lock = resolved.handle.lock_security_record();
    security::keeping(&*resolved.handle, || resolved.handle.set_attributes(attributes))?;
    drop(lock);
    let Some(tree) = &request.tree else { return Ok(()) };
    let Some(backend) = tree.backend() else { return Ok(()) };
    let server = &request.connection.server;
    for stream in streams {
        let key = super::file_key(&resolved.stat, Some(&stream.name));
        let path = resolved.path.clone().with_stream(stream.name)?;
        if let Some(_removing) = Replacing::begin(server, tree, key, &path) {
            backend.remove(&resolved.actor, &path, &*resolved.handle)?;
        }
    }
    Ok(())
}

/// The result of a search for an existing file.
enum Existing {
    Resolved(Box<Resolved>),
    /// There is none, and it may be created. The directory in which it was missed, if it is known.
    Missed(Option<Parent>),
}

/// Opens an existing file.
fn open_existing(tree: &Tree, subject: &Subject<'_>, wish: &Wish) -> Result<Existing, NtStatus> {
    let Subject { backend, actor, .. } = *subject;
    let maximum_allowed = wish.access.contains(AccessMask::MAXIMUM_ALLOWED);
    let first_wanted = if maximum_allowed { Wanted::NOTHING } else { wanted(wish.access, wish.overwrites()) };
    let how = OpenHow { wanted: first_wanted, link: wish.opens_reparse_point() };
    let mut opened = match backend.open_or_miss(actor, &wish.path, how, interest(wish)) {
        Ok(Found::File(opened)) => opened,
        Ok(Found::Missed(directory)) => {
            if directory.is_none() {
                check_directory(subject, wish)?;
            }
            return match wish.disposition {
                CreateDisposition::OPEN | CreateDisposition::OVERWRITE => {
                    Err(NtStatus::OBJECT_NAME_NOT_FOUND)
                }
                _ => Ok(Existing::Missed(directory)),
            };
        }
        // A file that exists but cannot be opened with this access still prevents its creation.
        Err(vfs::Error::AccessDenied) if wish.disposition == CreateDisposition::CREATE => {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        Err(error @ (vfs::Error::PathNotFound | vfs::Error::NotADirectory)) => {
            // Symlinks stored as reparse data are not directories for the file system.
            return Err(match backend.first_symlink(actor, &wish.path) {
                Ok(Some(_)) => NtStatus::STOPPED_ON_SYMLINK,
                _ => status(&error),
            });
        }
        Err(error) => return Err(status(&error)),
    };
    if wish.disposition == CreateDisposition::CREATE {
        return Err(NtStatus::OBJECT_NAME_COLLISION);
    }
    if opened.stat.reparse_tag != 0 && !wish.opens_reparse_point() {
        // Only clients can interpret tags other than that of symlinks.
        return Err(match opened.stat.reparse_tag == ReparseTag::SYMLINK.0 {
            true => NtStatus::STOPPED_ON_SYMLINK,
            false => NtStatus::IO_REPARSE_TAG_NOT_HANDLED,
        });
    }
    check_kind(wish, &opened.stat)?;
    if wish.overwrites() {
        check_eas(backend, &*opened.handle, wish)?;
    }
    let path = real_path(&opened)?;
    let of = (&*opened.handle, &opened.stat, Known::of(&opened));
    let maximal_access = maximal_access(tree, subject, wish, &path, of);
    let access = granted(wish, maximal_access, &opened.stat)?;
    if wish.delete_on_close {
        if path.is_root() && path.stream().is_none() {
            return Err(NtStatus::CANNOT_DELETE);
        }
        backend.check_removable(actor, &path, &*opened.handle).map_err(|error| status(&error))?;
    }
    if maximum_allowed {
        let needed = wanted(access, wish.overwrites());
        if needed != Wanted::NOTHING {
            // Reopens the file that was checked, even if its name belongs to another file by now.
            opened = backend.reopen(actor, &opened, needed).map_err(|error| status(&error))?;
        }
    }
    let overwrites = wish.overwrites();
    Ok(Existing::Resolved(Box::new(Resolved {
        handle: opened.handle,
        actor: actor.clone(),
        path,
        has_current_stat: !overwrites && opened.stat.kind != Kind::Symlink,
        stat: opened.stat,
        access,
        maximal_access,
        action: match wish.disposition {
            CreateDisposition::SUPERSEDE => CreateAction::SUPERSEDED,
            CreateDisposition::OVERWRITE | CreateDisposition::OVERWRITE_IF => CreateAction::OVERWRITTEN,
            _ => CreateAction::OPENED,
        },
        overwrites,
        with_file: false,
        parent: None,
        looked_up: MoveCount::NEVER_MOVED,
    })))
}

/// Refuses extended attributes if the file system has none.
fn check_eas(backend: &dyn Backend, handle: &dyn Handle, wish: &Wish) -> Result<(), NtStatus> {
    if wish.eas.is_empty() {
        return Ok(());
    }
    let capabilities = backend.capabilities_at(handle).map_err(|error| status(&error))?;
    if capabilities.contains(Capabilities::XATTR) { Ok(()) } else { Err(NtStatus::EAS_NOT_SUPPORTED) }
}

/// Checks whether the parent directory is a symlink stored as reparse data: for the file system, it is an
/// empty directory.
fn check_directory(subject: &Subject<'_>, wish: &Wish) -> Result<(), NtStatus> {
    let Subject { backend, actor, .. } = *subject;
    if wish.path.parent().is_none_or(|directory| directory.is_root()) {
        return Ok(());
    }
    let tag = backend
        .parent(actor, &wish.path.without_stream())
        .and_then(|parent| Ok(parent.handle.stat()?.reparse_tag));
    match tag {
        Ok(tag) if tag == ReparseTag::SYMLINK.0 => Err(NtStatus::STOPPED_ON_SYMLINK),
        // The following steps report other errors.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Creates the file of the name; there are no opens of it to conflict with. `directory` is the one in which it was missed, if
/// it is known.
fn create_new(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    directory: Option<Parent>,
) -> Result<Resolved, NotMade> {
    if wish.path.is_root() && wish.path.stream().is_none() {
        return Err(vfs::Error::Exists.into());
    }
    let parent = |path: &RelativePath| subject.backend.parent(subject.actor, path);
    match directory.map_or_else(|| parent(&wish.path), Ok) {
        // The file of a stream is created with it (MS-FSA 2.1.5.1.1).
        Err(vfs::Error::NotFound) if wish.path.stream().is_some() => {
            let file = create(tree, subject, wish, &parent(&wish.path.without_stream())?, None)?;
            let with_stream = Parent::of(Arc::clone(&file.handle), wish.path.clone())
                .map_err(NotMade::from)
                .and_then(|parent| create(tree, subject, wish, &parent, None));
            match with_stream {
                Ok(stream) => Ok(Resolved { with_file: true, parent: file.parent, ..stream }),
                Err(error) => {
                    if let Err(error) = subject.backend.remove(subject.actor, &file.path, &*file.handle) {
                        tracing::warn!(path = %file.path, %error, "cannot remove a new file after its stream was refused; the file remains");
                    }
                    Err(error)
                }
            }
        }
        parent => {
            let parent = parent?;
            // Creating a stream gives no additional access to its file.
            let of_file =
                wish.path.stream().map(|_| stream_access(tree, subject, wish, &parent)).transpose()?;
            create(tree, subject, wish, &parent, of_file)
        }
    }
}

/// The access to a file for creating a stream of it, and the maximal access; an error if the requested access
/// is not granted.
fn stream_access(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    file: &Parent,
) -> vfs::Result<(AccessMask, AccessMask)> {
    let of = (&*file.handle, &file.stat, Known::default());
    let maximal = maximal_access(tree, subject, wish, &wish.path, of);
    let access = granted(wish, maximal, &file.stat).map_err(|_| vfs::Error::AccessDenied)?;
    Ok((access, maximal))
}

/// Creates a file in `parent`, if its descriptor allows that. `granted` is the access and the maximal access
/// for a stream of an existing file; the creator of a file has all access that the share allows.
fn create(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    parent: &Parent,
    granted: Option<(AccessMask, AccessMask)>,
) -> Result<Resolved, NotMade> {
    let Subject { backend, actor, .. } = *subject;
    if !tree.maximal_access().contains(AccessMask::WRITE_DATA) {
        return Err(vfs::Error::AccessDenied.into());
    }
    // The creator of a file has all rights to it, but not more than the share allows (3.3.5.9).
    // ACCESS_SYSTEM_SECURITY depends on a privilege, not on the share.
    let asked = wish.access.without(AccessMask::MAXIMUM_ALLOWED | AccessMask::ACCESS_SYSTEM_SECURITY);
    if !tree.maximal_access().contains(asked) {
        return Err(vfs::Error::AccessDenied.into());
    }
    check_eas(backend, &*parent.handle, wish).map_err(NotMade::Refused)?;
    let owner = wish.security.as_ref().and_then(|descriptor| descriptor.owner);
    if owner.is_some_and(|owner| !subject.token.may_give(owner)) {
        return Err(vfs::Error::AccessDenied.into());
    }
    let posix = wish.posix.filter(|_| wish.path.stream().is_none());
    let has_foreign_group = |creator| !security::mode::may_have_group(subject.token, creator);
    if posix.is_some() && wish.security.as_ref().is_some_and(has_foreign_group) {
        return Err(vfs::Error::AccessDenied.into());
    }
    let inherited = subject.may_create(parent, wish.directory == Some(true))?;
    let attributes = wish.attributes.without(FileAttributes::NORMAL);
    let everything = wish.access.contains(AccessMask::MAXIMUM_ALLOWED);
    let as_creator = (if everything { tree.maximal_access() } else { wish.access }, tree.maximal_access());
    let (access, mut maximal_access) = granted.unwrap_or(as_creator);
    let (descriptor, refused) = (Cell::new(None), Cell::new(None));
    // The descriptor and the attributes are set before others can open the file.
    let complete = |new: &vfs::Opened| {
        if new.stream.is_some() {
            return Ok(());
        }
        let (handle, token) = (&*new.handle, subject.token);
        let refuse = |status| {
            refused.set(Some(status));
            vfs::Error::NotSupported
        };
        let (given, wished) = (inherited.as_ref(), wish.security.as_ref());
        descriptor.set(match posix {
            Some(mode) => {
                let parent = &*parent.handle;
                let asked = (mode, wished, !wish.eas.is_empty());
                security::mode::endow(handle, token, parent, given, asked).map_err(refuse)?
            }
            None => security::endow(handle, &new.stat, token, given, wished)?,
        });
        if wish.path.stream().is_some() {
            return Ok(());
        }
        furnish(handle, &new.stat, wish).map_err(refuse)
    };
    let new = New { attributes, mode: posix };
    let made = if wish.directory == Some(true) {
        backend.make_directory_in(actor, parent, new, &complete)
    } else {
        let wanted = wanted(access, wish.allocation_size.is_some());
        backend.make_file_in(actor, parent, new, wanted, &complete)
    };
    let opened = made.map_err(|error| refused.take().map_or(NotMade::Vfs(error), NotMade::Refused))?;
    let path = real_path(&opened).map_err(|_| vfs::Error::InvalidName)?;
    let descriptor = descriptor.take();
    let is_furnished = !wish.eas.is_empty() || wish.allocation_size.is_some();
    let has_current_stat =
        path.stream().is_none() && descriptor.is_none() && posix.is_none() && !is_furnished;
    if let Some(descriptor) = descriptor {
        maximal_access = maximal_access & subject.granted_by(&descriptor);
    }
    Ok(Resolved {
        handle: opened.handle,
        actor: actor.clone(),
        path,
        stat: opened.stat,
        has_current_stat,
        access,
        maximal_access,
        action: CreateAction::CREATED,
        overwrites: false,
        with_file: false,
        parent: parent.path.stream().is_none().then(|| super::file_key(&parent.stat, None)),
        looked_up: MoveCount::NEVER_MOVED,
    })
}

fn real_path(opened: &vfs::Opened) -> Result<RelativePath, NtStatus> {
    let path = RelativePath::new(opened.path.clone()).map_err(|error| status(&error))?;
    match &opened.stream {
        Some(stream) => path.with_stream(stream.clone()).map_err(|error| status(&error)),
        None => Ok(path),
    }
}

/// The status for a name that cannot be opened; if a symlink is the reason, the client must follow it.
fn status(error: &vfs::Error) -> NtStatus {
    match error {
        vfs::Error::Loop => NtStatus::STOPPED_ON_SYMLINK,
        error => of_vfs(error),
    }
}

/// The number of attempts for a name that others keep creating and removing.
const LOOKS: u32 = 8;
