//! FSCTL_SRV_COPYCHUNK without chunks, by which Apple's clients copy a file with all that it has
//! (kAAPL_SUPPORTS_OSX_COPYFILE).

use std::sync::Arc;

use vfs::{Actor, Backend, Handle, Parent, RelativePath, Wanted};
use wire::ioctl::CopyChunkResponse;
use wire::{AccessMask, FileAttributes, NtStatus};

use super::ranges::check_locks;
use super::{Answer, copy};
use crate::connection::Request;
use crate::handlers::actor;
use crate::limits::COPY_CHUNK_BYTES;
use crate::open::{Open, OpenFile};
use crate::status::of_vfs;

/// Copies data, streams and extended attributes of `source`.
pub(super) async fn copy(request: &Request<'_>, open: &Open, file: &OpenFile, source: &Open) -> Answer {
    let from = source.file().filter(|it| !it.is_directory).ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    if file.is_directory {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    if !source.access().contains(AccessMask::READ_DATA) || !open.access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let to_backend = Arc::clone(open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    let from_backend = Arc::clone(source.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?);
    check_locks(request, source, 0, u64::MAX, false)?;
    check_locks(request, open, 0, u64::MAX, true)?;
    let (from, to) = (
        Side { backend: from_backend, handle: Arc::clone(&from.handle), path: from.path() },
        Side { backend: to_backend, handle: Arc::clone(&file.handle), path: file.path() },
    );
    let actor = actor(request)?;
    let copied = crate::blocking::run(move || copy_all(&actor, &from, &to)).await?;
    let bytes = u32::try_from(copied.map_err(|error| of_vfs(&error))?).unwrap_or(u32::MAX);
    source.shared().count_read(bytes.into(), request.connection.server.now());
    crate::handlers::write::wrote(request, open, bytes);
    let response = CopyChunkResponse { total_bytes_written: bytes, ..CopyChunkResponse::default() };
    Ok((NtStatus::SUCCESS, copy::encoded(response)))
}

/// One of the two files.
struct Side {
    backend: Arc<dyn Backend>,
    handle: Arc<dyn Handle>,
    path: RelativePath,
}

/// The bytes of the data that were copied.
fn copy_all(actor: &Actor, from: &Side, to: &Side) -> vfs::Result<u64> {
    let bytes = copy_data(&*from.handle, &*to.handle)?;
    if from.path.stream().is_some() || to.path.stream().is_some() {
        return Ok(bytes);
    }
    for stream in optional(from.handle.streams())? {
        // The streams of the files that are open, whatever has their names by now.
        let path = |side: &Side| side.path.clone().with_stream(stream.name.clone());
        let source = from.backend.open_in(actor, &*from.handle, &path(from)?, true)?;
        let source = from.backend.reopen(actor, &source, Wanted::READ)?;
        let target = match to.backend.open_in(actor, &*to.handle, &path(to)?, true) {
            Err(vfs::Error::NotFound) => {
                let parent = Parent::of(Arc::clone(&to.handle), path(to)?)?;
                to.backend.create_file_in(actor, &parent, FileAttributes::NONE, Wanted::WRITE)?
            }
            opened => to.backend.reopen(actor, &opened?, Wanted::WRITE)?,
        };
        copy_data(&*source.handle, &*target.handle)?;
    }
    for xattr in optional(from.handle.xattrs())? {
        to.handle.set_xattr(&xattr.name, &xattr.value)?;
    }
    Ok(bytes)
}

fn copy_data(from: &dyn Handle, to: &dyn Handle) -> vfs::Result<u64> {
    let mut buffer = vec![0; COPY_CHUNK_BYTES as usize];
    let mut done = 0_u64;
    loop {
        let read = from.read_at(&mut buffer, done)?;
        let data = buffer.get(..read).unwrap_or_default();
        if data.is_empty() {
            break;
        }
        let written = to.write_at(data, done)?;
        if written < data.len() {
            return Err(vfs::Error::NoSpace);
        }
        done = done.saturating_add(written as u64);
    }
    to.set_size(done)?;
    Ok(done)
}

/// What some file systems have none of.
fn optional<T>(result: vfs::Result<Vec<T>>) -> vfs::Result<Vec<T>> {
    match result {
        Err(vfs::Error::NotSupported) => Ok(Vec::new()),
        result => result,
    }
}
