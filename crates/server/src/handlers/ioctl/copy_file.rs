//! FSCTL_SRV_COPYCHUNK without chunks, by which Apple's clients copy a file with all that it has
//! (kAAPL_SUPPORTS_OSX_COPYFILE).

use std::sync::Arc;

use vfs::Handle;
use wire::ioctl::CopyChunkResponse;
use wire::{AccessMask, NtStatus};

use super::ranges::check_locks;
use super::stream::{self, Use};
use super::{Answer, copy};
use crate::connection::Request;
use crate::limits::COPY_CHUNK_BYTES;
use crate::open::{Open, OpenFile};
use crate::status::of_vfs;

/// Copies data, streams and extended attributes of `source`.
pub(super) async fn copy(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    source: &Arc<Open>,
) -> Answer {
    let from = source.file().filter(|it| !it.is_directory).ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    if file.is_directory {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    if !source.access().contains(AccessMask::READ_DATA) || !open.access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    // Whoever has one of the streams open is asked before anything is copied, as by a CREATE of each.
    let mut streams = Vec::new();
    if !from.is_stream && !file.is_stream {
        for stream in optional(from.handle.streams()).map_err(|error| of_vfs(&error))? {
            let from = stream::open(request, source, &stream.name, Use::Read).await?;
            streams.push((from, stream::open(request, open, &stream.name, Use::Overwrite).await?));
        }
    }
    let pairs: Vec<(&Open, &Open)> = std::iter::once((&**source, &**open))
        .chain(streams.iter().map(|(from, to)| (from.open(), to.open())))
        .collect();
    for &(from, to) in &pairs {
        check_locks(request, from, 0, u64::MAX, false)?;
        check_locks(request, to, 0, u64::MAX, true)?;
    }
    file.state().times.writing(&*file.handle);
    let handle = |open: &Open| open.file().map(|file| Arc::clone(&file.handle));
    let handles: Vec<Handles> = pairs
        .iter()
        .filter_map(|(from, to)| Some(Handles { from: handle(from)?, to: handle(to)? }))
        .collect();
    let copied = crate::blocking::run(move || copy_all(&handles)).await?;
    // What was copied until something failed is told of too.
    let now = request.connection.server.now();
    for ((from, to), bytes) in pairs.into_iter().zip(&copied.bytes) {
        let bytes = u32::try_from(*bytes).unwrap_or(u32::MAX);
        from.shared().count_read(bytes.into(), now);
        crate::handlers::write::wrote(request, to, bytes);
    }
    copied.result.map_err(|error| of_vfs(&error))?;
    let bytes = copied.bytes.first().and_then(|bytes| u32::try_from(*bytes).ok()).unwrap_or(u32::MAX);
    let response = CopyChunkResponse { total_bytes_written: bytes, ..CopyChunkResponse::default() };
    Ok((NtStatus::SUCCESS, copy::encoded(response)))
}

/// What is copied from and to.
struct Handles {
    from: Arc<dyn Handle>,
    to: Arc<dyn Handle>,
}

/// What came of a copy.
struct Copied {
    /// How many bytes of the file, and of each stream, as far as it came.
    bytes: Vec<u64>,
    result: vfs::Result<()>,
}

/// Copies the first pair with its extended attributes, and the data of the others.
fn copy_all(pairs: &[Handles]) -> Copied {
    let mut bytes = Vec::with_capacity(pairs.len());
    let mut copy = || {
        for Handles { from, to } in pairs {
            let mut done = 0;
            let copied = copy_data(&**from, &**to, &mut done);
            bytes.push(done);
            copied?;
        }
        let Some(Handles { from, to }) = pairs.first() else { return Ok(()) };
        for xattr in optional(from.xattrs())? {
            to.set_xattr(&xattr.name, &xattr.value)?;
        }
        Ok(())
    };
    let result = copy();
    Copied { bytes, result }
}

fn copy_data(from: &dyn Handle, to: &dyn Handle, done: &mut u64) -> vfs::Result<()> {
    let mut buffer = vec![0; COPY_CHUNK_BYTES as usize];
    loop {
        let read = from.read_at(&mut buffer, *done)?;
        let data = buffer.get(..read).unwrap_or_default();
        if data.is_empty() {
            return to.set_size(*done);
        }
        let written = to.write_at(data, *done)?;
        *done = done.saturating_add(written as u64);
        if written < data.len() {
            return Err(vfs::Error::NoSpace);
        }
    }
}

/// What some file systems have none of.
fn optional<T>(result: vfs::Result<Vec<T>>) -> vfs::Result<Vec<T>> {
    match result {
        Err(vfs::Error::NotSupported) => Ok(Vec::new()),
        result => result,
    }
}
