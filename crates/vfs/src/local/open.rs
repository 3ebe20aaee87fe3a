//! Opening what exists.

use super::handle::LocalHandle;
use super::resolve::Root;
use super::stream::{self, LocalStream};
use super::{change, metadata, names};
use crate::backend::{Actor, Opened, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::stat::Kind;
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use wire::FileAttributes;

/// Opens a path, or the stream it names.
pub(super) fn open(root: &Arc<Root>, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
    let Some(wanted_stream) = path.stream() else {
        let (fd, has_data, disk) = open_file(root, actor, path, wanted)?;
        return finish(root, actor, fd, wanted, has_data, disk);
    };
    let base = open_base(root, actor, path)?;
    // A rename of the stream reaches all that have it open: nobody is half-way in between.
    let lock = base.lock_attributes();
    let name = stream::find(base.fd(), wanted_stream)?.ok_or(Error::NotFound)?;
    let opened = finish_stream(base, name, wanted);
    drop(lock);
    opened
}

/// Creates a stream on a file that exists.
pub(super) fn create_stream(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    wanted: Wanted,
) -> Result<Opened> {
    let name = path.stream().ok_or(Error::InvalidArgument)?;
    let base = open_base(root, actor, path)?;
    if !base.permits(actor, Access::WRITE_OK) {
        return Err(Error::AccessDenied);
    }
    let lock = base.lock_attributes();
    if stream::find(base.fd(), name)?.is_some() {
        return Err(Error::Exists);
    }
    stream::create(&base, name)?;
    let opened = finish_stream(base, name.to_owned(), wanted);
    drop(lock);
    opened
}

/// Creates a file or a stream.
pub(super) fn create_file(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    attributes: FileAttributes,
    wanted: Wanted,
) -> Result<Opened> {
    match path.stream() {
        Some(_) => create_stream(root, actor, path, wanted),
        None => change::create_file(root, actor, path, attributes, wanted),
    }
}

/// Makes a handle of a descriptor.
pub(super) fn finish(
    root: &Arc<Root>,
    actor: &Actor,
    fd: OwnedFd,
    wanted: Wanted,
    has_data: bool,
    disk: Vec<u8>,
) -> Result<Opened> {
    let stat = metadata::stat_fd(fd.as_fd())?;
    if !metadata::has_attributes(stat.kind) && (wanted.read || wanted.write) {
        return Err(Error::AccessDenied);
    }
    let path = names::decode_path(&disk);
    let handle = LocalHandle::new(root, fd, wanted, has_data, &stat, disk, actor);
    Ok(Opened { handle: Arc::new(handle), path, stream: None, stat })
}

/// The file behind a handle of this backend, whether it or a stream of it is open.
pub(super) fn base_of(handle: &dyn Handle) -> Option<&LocalHandle> {
    let any = handle.as_any();
    any.downcast_ref::<LocalHandle>().or_else(|| Some(any.downcast_ref::<LocalStream>()?.base()))
}

/// Opens the descriptor: exact spelling with one call, other spellings after a search.
fn open_file(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    wanted: Wanted,
) -> Result<(OwnedFd, bool, Vec<u8>)> {
    let _guard = root.credentials.assume(actor)?;
    let exact = names::encode_path(path.as_str())?;
    match open_descriptor(root, &exact, wanted) {
        Ok((fd, has_data)) => Ok((fd, has_data, exact)),
        Err(Errno::NOENT | Errno::NOTDIR) if !path.is_root() => {
            let located = root.locate(path)?;
            if !located.exists {
                return Err(Error::NotFound);
            }
            let found = located.path();
            let (fd, has_data) = open_descriptor(root, &found, wanted)?;
            Ok((fd, has_data, found))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens with the access that is wanted; with O_PATH where it is none, and where a directory is only to be
/// written to. Says which.
fn open_descriptor(root: &Root, disk: &[u8], wanted: Wanted) -> std::result::Result<(OwnedFd, bool), Errno> {
    let flags = match wanted {
        Wanted { read: false, write: false } => OFlags::PATH,
        Wanted { read: true, write: false } => OFlags::RDONLY,
        Wanted { read: false, write: true } => OFlags::WRONLY,
        Wanted { read: true, write: true } => OFlags::RDWR,
    };
    match root.open_at(disk, flags, Mode::empty()) {
        Err(Errno::ISDIR) => {
            let flags = if wanted.read { OFlags::RDONLY } else { OFlags::PATH };
            let fd = root.open_at(disk, flags | OFlags::DIRECTORY, Mode::empty())?;
            Ok((fd, wanted.read))
        }
        result => result.map(|fd| (fd, !flags.contains(OFlags::PATH))),
    }
}

fn open_base(root: &Arc<Root>, actor: &Actor, path: &RelativePath) -> Result<LocalHandle> {
    let (fd, has_data, disk) = open_file(root, actor, path, Wanted::NOTHING)?;
    let stat = metadata::stat_fd(fd.as_fd())?;
    if stat.kind != Kind::File && stat.kind != Kind::Directory {
        return Err(Error::AccessDenied);
    }
    Ok(LocalHandle::new(root, fd, Wanted::NOTHING, has_data, &stat, disk, actor))
}

fn finish_stream(base: LocalHandle, name: String, wanted: Wanted) -> Result<Opened> {
    let path = names::decode_path(&base.path);
    let handle = LocalStream::new(base, &name, wanted)?;
    let stat = handle.stat()?;
    Ok(Opened { handle: Arc::new(handle), path, stream: Some(name), stat })
}
