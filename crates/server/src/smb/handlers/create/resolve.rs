//! A name to an open handle, without side effects on what exists (MS-FSA 2.1.5.1).

use std::cell::Cell;
use std::sync::Arc;

use registry::{FileKey, MoveCount};
use vfs::{Actor, Backend, Capabilities, Handle, Kind, Parent, RelativePath, Stat, Wanted};
use wire::ioctl::ReparseTag;
use wire::msg::{CreateAction, CreateDisposition, CreateOptions};
use wire::security::Privileges;
use wire::{AccessMask, FileAttributes, NtStatus};

use super::decode::Wish;
use crate::core::effects::Replacing;
use crate::core::security::{self, Subject};
use crate::core::status::of_vfs;
use crate::core::tree::Tree;
use crate::smb::connection::Request;
use crate::smb::handlers::ea;

/// A file that could be opened, if nobody objects.
pub(super) struct Resolved {
    pub(super) handle: Arc<dyn Handle>,
    /// Whose rights were asked.
    pub(super) actor: Actor,
    /// As it is spelled on disk, with the stream.
    pub(super) path: RelativePath,
    pub(super) stat: Stat,
    /// What the open will be granted.
    pub(super) access: AccessMask,
    pub(super) maximal_access: AccessMask,
    pub(super) action: CreateAction,
    /// Whether the file's content is to go.
    pub(super) overwrites: bool,
    /// Whether the file was created together with this stream of it.
    with_file: bool,
    /// The directory that a file was created in.
    parent: Option<FileKey>,
    /// The count of renames from before the name was looked up.
    pub(super) looked_up: MoveCount,
}

impl Resolved {
    /// The key under which the registry knows the file.
    pub(super) fn key(&self) -> FileKey {
        super::file_key(&self.stat, self.path.stream())
    }

    /// The path as administrators see it.
    pub(super) fn display_path(&self) -> String {
        crate::smb::handlers::display_path(&self.path)
    }

    /// Finds the file that this CREATE has made by the name that it has since others have renamed it or a directory above
    /// it; none where it has no name that is known.
    pub(super) fn found_again(mut self, request: &Request<'_>) -> Option<Self> {
        let looked_up = request.connection.server.registry.moves();
        self.path = self.moved_path(request)?;
        self.looked_up = looked_up;
        let backend = request.tree.as_ref()?.backend()?;
        backend.directory_of(&self.actor, &self.path, &*self.handle).ok()?;
        if self.path.stream().is_some() {
            backend.open_in(&self.actor, &*self.handle, &self.path, true).ok()?;
        }
        Some(self)
    }

    /// The path after the renames that were carried out since the name was looked up.
    fn moved_path(&self, request: &Request<'_>) -> Option<RelativePath> {
        let share = &request.tree.as_ref()?.share.settings.name;
        let registry = request.connection.server.registry.lock("create");
        let path = registry.moved_path(share, &self.display_path(), self.looked_up);
        drop(registry);
        relative(&path)
    }

    /// Takes back a creation that came to nothing.
    pub(super) fn undo(&self, request: &Request<'_>) {
        if self.action != CreateAction::CREATED {
            return;
        }
        let path = self.moved_path(request).unwrap_or_else(|| self.path.clone());
        let path = if self.with_file { path.without_stream() } else { path };
        let Some(tree) = &request.tree else { return };
        let Some(backend) = tree.backend() else { return };
        let server = &request.connection.server;
        // Who has opened it since has a file, and keeps it.
        let key = super::file_key(&self.stat, path.stream());
        let Some(_removing) = Replacing::begin(server, tree, key, &path) else { return };
        server.files.watches.note_own_undone(tree, &path);
        if let Err(error) = backend.remove(&self.actor, &path, &*self.handle) {
            tracing::warn!(%path, %error, "cannot remove a new file after its open was refused; the file remains");
        }
    }
}

/// The path that administrators see as `display`.
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

/// Opens what the name stands for, or creates it where there is nothing.
pub(super) fn resolve(request: &Request<'_>, wish: &Wish) -> Result<Resolved, NtStatus> {
    let looked_up = request.connection.server.registry.moves();
    look_up(request, wish).map(|resolved| Resolved { looked_up, ..resolved })
}

fn look_up(request: &Request<'_>, wish: &Wish) -> Result<Resolved, NtStatus> {
    let tree = request.tree()?;
    let backend = tree.backend().ok_or(NtStatus::BAD_DEVICE_TYPE)?;
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
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
    // Somebody may create or remove the file between the two looks.
    for _ in 0..LOOKS {
        match open_existing(tree, &subject, wish)? {
            Some(resolved) => return Ok(resolved),
            None if wish.delete_on_close && wish.attributes.contains(FileAttributes::READONLY) => {
                return Err(NtStatus::CANNOT_DELETE);
            }
            None if wish.encrypted => return Err(NtStatus::ACCESS_DENIED),
            None => match create_new(tree, &subject, wish) {
                Ok(resolved) => return check_parent(request, resolved),
                Err(NotMade::Vfs(vfs::Error::Exists)) => {}
                Err(NotMade::Vfs(error)) => return Err(status(&error)),
                Err(NotMade::Refused(status)) => return Err(status),
            },
        }
    }
    Err(NtStatus::OBJECT_NAME_COLLISION)
}

/// Takes a creation back that came into a directory that is to be deleted. Asked when it is made: whoever marks the
/// directory looks into it after that.
fn check_parent(request: &Request<'_>, resolved: Resolved) -> Result<Resolved, NtStatus> {
    let registry = &request.connection.server.registry;
    match resolved.parent {
        Some(parent) if registry.lock("create").is_delete_pending(parent) => {
            resolved.undo(request);
            Err(NtStatus::DELETE_PENDING)
        }
        _ => Ok(resolved),
    }
}

/// Changes an existing file as its disposition says (MS-FSA 2.1.5.1.2.2). It, and a new stream, get extended
/// attributes and space; a new file has them.
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

/// Sets the extended attributes and reserves the space that a CREATE asks for.
fn furnish(handle: &dyn Handle, stat: &Stat, wish: &Wish) -> Result<(), NtStatus> {
    if !wish.eas.is_empty() {
        ea::set(handle, &wish.eas)?;
    }
    match wish.allocation_size {
        Some(bytes) if bytes > 0 && !stat.is_directory() => match handle.allocate(bytes) {
            // A promise of space that the file system cannot make is no reason to refuse the file.
            Ok(()) | Err(vfs::Error::NotSupported | vfs::Error::AccessDenied) => Ok(()),
            Err(error) => Err(status(&error)),
        },
        _ => Ok(()),
    }
}

/// Why something was not made.
enum NotMade {
    /// The file system, or the descriptor of the directory.
    Vfs(vfs::Error),
    /// What the CREATE wants it to have cannot be had.
    Refused(NtStatus),
}

impl From<vfs::Error> for NotMade {
    fn from(error: vfs::Error) -> Self {
        Self::Vfs(error)
    }
}

/// Empties a stream, or a file with all its streams but those that somebody has open.
fn overwrite(request: &Request<'_>, wish: &Wish, resolved: &Resolved) -> vfs::Result<()> {
    if resolved.path.stream().is_some() {
        return resolved.handle.set_size(0);
    }
    // Asked first: an error must not leave the file empty.
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

/// None: there is nothing, and something may be created.
fn open_existing(tree: &Tree, subject: &Subject<'_>, wish: &Wish) -> Result<Option<Resolved>, NtStatus> {
    let Subject { backend, actor, .. } = *subject;
    let maximum_allowed = wish.access.contains(AccessMask::MAXIMUM_ALLOWED);
    let first_wanted = if maximum_allowed { Wanted::NOTHING } else { wanted(wish.access, wish.overwrites()) };
    let open = |wanted| match wish.opens_reparse_point() {
        true => backend.open_link(actor, &wish.path, wanted),
        false => backend.open(actor, &wish.path, wanted),
    };
    let mut opened = match open(first_wanted) {
        Ok(opened) => opened,
        Err(vfs::Error::NotFound) => {
            check_directory(subject, wish)?;
            return match wish.disposition {
                CreateDisposition::OPEN | CreateDisposition::OVERWRITE => {
                    Err(NtStatus::OBJECT_NAME_NOT_FOUND)
                }
                _ => Ok(None),
            };
        }
        // What is there, but may not be opened so, still is a reason not to create it.
        Err(vfs::Error::AccessDenied) if wish.disposition == CreateDisposition::CREATE => {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        Err(error @ (vfs::Error::PathNotFound | vfs::Error::NotADirectory)) => {
            // Symlinks that are kept as reparse data are no directories to the file system.
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
        // What other tags than a symlink's mean only clients know.
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
    let maximal_access = maximal_access(tree, subject, wish, &path, &*opened.handle, &opened.stat);
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
            // What was decided about, whatever has its name by now.
            opened = backend.reopen(actor, &opened, needed).map_err(|error| status(&error))?;
        }
    }
    let overwrites = wish.overwrites();
    Ok(Some(Resolved {
        handle: opened.handle,
        actor: actor.clone(),
        path,
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
    }))
}

/// Refuses extended attributes where the file system keeps none.
fn check_eas(backend: &dyn Backend, handle: &dyn Handle, wish: &Wish) -> Result<(), NtStatus> {
    if wish.eas.is_empty() {
        return Ok(());
    }
    let capabilities = backend.capabilities_at(handle).map_err(|error| status(&error))?;
    if capabilities.contains(Capabilities::XATTR) { Ok(()) } else { Err(NtStatus::EAS_NOT_SUPPORTED) }
}

/// A directory in which nothing is found may be a symlink that is kept as reparse data: to the file system it is empty.
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
        // Whoever goes on finds out himself.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Creates what the name stands for, which no open of others can be in the way of.
fn create_new(tree: &Tree, subject: &Subject<'_>, wish: &Wish) -> Result<Resolved, NotMade> {
    if wish.path.is_root() && wish.path.stream().is_none() {
        return Err(vfs::Error::Exists.into());
    }
    let parent = |path: &RelativePath| subject.backend.parent(subject.actor, path);
    match parent(&wish.path) {
        // A stream's file is created with it (MS-FSA 2.1.5.1.1).
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
            // Who makes a stream of a file gets no more of the file than without it.
            let of_file =
                wish.path.stream().map(|_| stream_access(tree, subject, wish, &parent)).transpose()?;
            create(tree, subject, wish, &parent, of_file)
        }
    }
}

/// What the user may do with a file of which a stream is to be created, if that is all that is asked for.
fn stream_access(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    file: &Parent,
) -> vfs::Result<(AccessMask, AccessMask)> {
    let maximal = maximal_access(tree, subject, wish, &wish.path, &*file.handle, &file.stat);
    let access = granted(wish, maximal, &file.stat).map_err(|_| vfs::Error::AccessDenied)?;
    Ok((access, maximal))
}

/// Creates in `parent`, whose descriptor says whether it may be. `granted` is what of an existing file the open and
/// the user may have; who creates a file may have all that the share lets anybody.
fn create(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    parent: &Parent,
    granted: Option<(AccessMask, AccessMask)>,
) -> Result<Resolved, NotMade> {
    let Subject { backend, actor, .. } = *subject;
    if !tree.maximal_access.contains(AccessMask::WRITE_DATA) {
        return Err(vfs::Error::AccessDenied.into());
    }
    // Whoever makes a file has every right to it, but through the share no more than the share gives (3.3.5.9). What
    // the privilege grants is not the share's.
    let asked = wish.access.without(AccessMask::MAXIMUM_ALLOWED | AccessMask::ACCESS_SYSTEM_SECURITY);
    if !tree.maximal_access.contains(asked) {
        return Err(vfs::Error::AccessDenied.into());
    }
    check_eas(backend, &*parent.handle, wish).map_err(NotMade::Refused)?;
    let owner = wish.security.as_ref().and_then(|descriptor| descriptor.owner);
    if owner.is_some_and(|owner| !subject.token.may_give(owner)) {
        return Err(vfs::Error::AccessDenied.into());
    }
    let inherited = subject.may_create(parent, wish.directory == Some(true))?;
    let attributes = wish.attributes.without(FileAttributes::NORMAL);
    let everything = wish.access.contains(AccessMask::MAXIMUM_ALLOWED);
    let as_creator = (if everything { tree.maximal_access } else { wish.access }, tree.maximal_access);
    let (access, mut maximal_access) = granted.unwrap_or(as_creator);
    let (descriptor, refused) = (Cell::new(None), Cell::new(None));
    // A file that anybody may read, or one without its attributes, is not what was asked for.
    let complete = |new: &vfs::Opened| {
        if new.stream.is_some() {
            return Ok(());
        }
        let (handle, token) = (&*new.handle, subject.token);
        let (given, wished) = (inherited.as_ref(), wish.security.as_ref());
        descriptor.set(security::endow(handle, &new.stat, token, given, wished)?);
        if wish.path.stream().is_some() {
            return Ok(());
        }
        furnish(handle, &new.stat, wish).map_err(|status| {
            refused.set(Some(status));
            vfs::Error::NotSupported
        })
    };
    let made = if wish.directory == Some(true) {
        backend.make_directory_in(actor, parent, attributes, &complete)
    } else {
        let wanted = wanted(access, wish.allocation_size.is_some());
        backend.make_file_in(actor, parent, attributes, wanted, &complete)
    };
    let opened = made.map_err(|error| refused.take().map_or(NotMade::Vfs(error), NotMade::Refused))?;
    let path = real_path(&opened).map_err(|_| vfs::Error::InvalidName)?;
    if let Some(descriptor) = descriptor.take() {
        maximal_access = maximal_access & subject.granted_by(&descriptor);
    }
    Ok(Resolved {
        handle: opened.handle,
        actor: actor.clone(),
        path,
        stat: opened.stat,
        access,
        maximal_access,
        action: CreateAction::CREATED,
        overwrites: false,
        with_file: false,
        parent: parent.path.stream().is_none().then(|| super::file_key(&parent.stat, None)),
        looked_up: MoveCount::NEVER_MOVED,
    })
}

/// A directory where a file is wanted, or the other way round (MS-FSA 2.1.5.1.2).
fn check_kind(wish: &Wish, stat: &Stat) -> Result<(), NtStatus> {
    if stat.kind == Kind::Symlink {
        return Ok(());
    }
    let is_directory = stat.is_directory() && wish.path.stream().is_none();
    match wish.directory {
        Some(true) if !is_directory => return Err(NtStatus::NOT_A_DIRECTORY),
        Some(false) if is_directory => return Err(NtStatus::FILE_IS_A_DIRECTORY),
        _ => {}
    }
    if is_directory && wish.overwrites() {
        // What NTFS says (MS-FSA 2.1.5.1.2): nobody takes the place of a directory, and least of all of the root.
        let is_root = wish.path.is_root();
        return Err(if is_root { NtStatus::ACCESS_DENIED } else { NtStatus::OBJECT_NAME_COLLISION });
    }
    // Hidden and system files are not emptied by who does not know that they are (MS-FSA 2.1.5.1.2).
    let guarded = stat.attributes & (FileAttributes::HIDDEN | FileAttributes::SYSTEM);
    if wish.overwrites() && wish.path.stream().is_none() && !wish.attributes.contains(guarded) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if wish.overwrites() && wish.encrypted {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if wish.delete_on_close && stat.attributes.contains(FileAttributes::READONLY) {
        return Err(NtStatus::CANNOT_DELETE);
    }
    Ok(())
}

/// What the user may do with the file through this share.
fn maximal_access(
    tree: &Tree,
    subject: &Subject<'_>,
    wish: &Wish,
    path: &RelativePath,
    handle: &dyn Handle,
    stat: &Stat,
) -> AccessMask {
    let mut interest = needed(wish);
    if wish.query_maximal_access || wish.app_instance.is_some() {
        interest |= AccessMask::MAXIMUM_ALLOWED;
    }
    subject.permitted(path, handle, stat, interest) & tree.maximal_access
}

/// What an open of an existing file is granted (MS-FSA 2.1.5.1.2.1). What a file's READONLY attribute takes is not
/// granted, but is the user's all the same: who may clear the attribute sees that.
fn granted(wish: &Wish, maximal: AccessMask, stat: &Stat) -> Result<AccessMask, NtStatus> {
    let is_readonly = stat.attributes.contains(FileAttributes::READONLY) && !stat.is_directory();
    let written = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA;
    let asked = wish.access.without(AccessMask::MAXIMUM_ALLOWED);
    // The privilege is what grants ACCESS_SYSTEM_SECURITY, whatever the descriptor says.
    let needed = needed(wish).without(AccessMask::MAXIMUM_ALLOWED | AccessMask::ACCESS_SYSTEM_SECURITY);
    if !maximal.contains(needed) || is_readonly && needed.intersects(written) {
        tracing::trace!(?needed, ?maximal, attributes = ?stat.attributes, "access denied");
        return Err(NtStatus::ACCESS_DENIED);
    }
    let system = asked & AccessMask::ACCESS_SYSTEM_SECURITY;
    let most = if is_readonly { maximal.without(written | AccessMask::DELETE_CHILD) } else { maximal };
    Ok(if wish.access.contains(AccessMask::MAXIMUM_ALLOWED) { most | system } else { asked })
}

/// What the open must be allowed.
fn needed(wish: &Wish) -> AccessMask {
    if wish.overwrites() { wish.access | AccessMask::WRITE_DATA } else { wish.access }
}

/// Which data access the handle needs for what the open may do.
fn wanted(access: AccessMask, overwrites: bool) -> Wanted {
    Wanted {
        read: access.intersects(AccessMask::READ_DATA | AccessMask::EXECUTE),
        write: overwrites || access.intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA),
    }
}

fn real_path(opened: &vfs::Opened) -> Result<RelativePath, NtStatus> {
    let path = RelativePath::new(opened.path.clone()).map_err(|error| status(&error))?;
    match &opened.stream {
        Some(stream) => path.with_stream(stream.clone()).map_err(|error| status(&error)),
        None => Ok(path),
    }
}

/// The status of a name that cannot be opened; where that is because of a symlink, the client is to follow it.
fn status(error: &vfs::Error) -> NtStatus {
    match error {
        vfs::Error::Loop => NtStatus::STOPPED_ON_SYMLINK,
        error => of_vfs(error),
    }
}

/// How often a name that comes and goes is looked at again.
const LOOKS: u32 = 8;
