//! FSCTL_SRV_COPYCHUNK without chunks: Apple's clients copy a complete file with it
//! (kAAPL_SUPPORTS_OSX_COPYFILE).

use std::sync::Arc;

use wire::ioctl::CopyChunkResponse;
use wire::{AccessMask, NtStatus};

use super::stream::{self, Use};
use super::{Answer, copy, copy::Side};
use crate::core::files::lock_conflicts::check_range;
use crate::core::limits::COPY_CHUNK_BYTES;
use crate::core::open::{Open, OpenFile};
use crate::core::status::{OrStatus, of_vfs};
use crate::smb::connection::Request;
use crate::smb::handlers::write::WritePosition;

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
    // Opens all streams before anything is copied, which breaks their caching as a CREATE of each would.
    let mut streams = Vec::new();
    if !from.is_stream && !file.is_stream {
        for stream in optional(from.handle.streams()).or_status()? {
            let from = stream::open(request, source, &stream.name, Use::Read).await?;
            streams.push((from, stream::open(request, open, &stream.name, Use::Overwrite).await?));
        }
    }
    let pairs: Vec<(&Arc<Open>, &Arc<Open>)> = std::iter::once((source, open))
        .chain(streams.iter().map(|(from, to)| (from.open(), to.open())))
        .collect();
    let server = &request.connection.server;
    for &(from, to) in &pairs {
        check_range(server, from, 0, u64::MAX, false)?;
        check_range(server, to, 0, u64::MAX, true)?;
    }
    let change = file.begin_write();
    let side = |open: &Arc<Open>| {
        let handle = Arc::clone(&open.file()?.handle);
        Some(Side { server: Arc::clone(server), open: Arc::clone(open), handle })
    };
    let sides: Vec<(Side, Side)> =
        pairs.iter().filter_map(|(from, to)| Some((side(from)?, side(to)?))).collect();
    let copied = crate::core::blocking::run(move || copy_all(&sides)).await?;
    change.done();
    // Data that was copied before an error is reported, too.
    let now = request.connection.server.now();
    for ((from, to), bytes) in pairs.into_iter().zip(&copied.bytes) {
        let bytes = u32::try_from(*bytes).unwrap_or(u32::MAX);
        from.shared().count_read(bytes.into(), now);
        crate::smb::handlers::write::announce_write(request, to, bytes);
    }
    copied.result?;
    let bytes = copied.bytes.first().and_then(|bytes| u32::try_from(*bytes).ok()).unwrap_or(u32::MAX);
    let response = CopyChunkResponse { total_bytes_written: bytes, ..CopyChunkResponse::default() };
    Ok((NtStatus::SUCCESS, copy::encoded(response)))
}

/// The result of a copy.
struct Copied {
    /// The number of copied bytes of the file and of each stream.
    bytes: Vec<u64>,
    result: Result<(), NtStatus>,
}

/// Copies the first pair with its extended attributes, and the data of the others.
fn copy_all(pairs: &[(Side, Side)]) -> Copied {
    let mut bytes = Vec::with_capacity(pairs.len());
    let mut copy = || {
        for (from, to) in pairs {
            let mut done = 0;
            let copied = copy_data(from, to, &mut done);
            bytes.push(done);
            copied?;
        }
        let Some((from, to)) = pairs.first() else { return Ok(()) };
        for xattr in optional(from.handle.xattrs()).or_status()? {
            to.handle.set_xattr(&xattr.name, &xattr.value).or_status()?;
        }
        Ok(())
    };
    let result = copy();
    Copied { bytes, result }
}

fn copy_data(from: &Side, to: &Side, done: &mut u64) -> Result<(), NtStatus> {
    let mut buffer = vec![0; COPY_CHUNK_BYTES as usize];
    loop {
        let read = from.read(&mut buffer, *done)?;
        let data = buffer.get(..read).unwrap_or_default();
        if data.is_empty() {
            return to.handle.set_size(*done).or_status();
        }
        let written = to.write(data, WritePosition::At(*done))?;
        *done = done.saturating_add(written as u64);
        if written < data.len() {
            return Err(of_vfs(&vfs::Error::NoSpace));
        }
    }
}

/// An empty list for file systems without such items.
fn optional<T>(result: vfs::Result<Vec<T>>) -> vfs::Result<Vec<T>> {
    match result {
        Err(vfs::Error::NotSupported) => Ok(Vec::new()),
        result => result,
    }
}
