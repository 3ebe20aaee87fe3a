//! Server-side copy: MS-SMB2 3.3.5.15.5, 3.3.5.15.6.

use std::sync::Arc;

use vfs::Handle;
use wire::create_context::AaplServerCaps;
use wire::ioctl::{CopyChunk, CopyChunkRequest, CopyChunkResponse, FsctlCode, ResumeKey, ResumeKeyResponse};
use wire::layout::FixedLayout;
use wire::msg::IoctlRequest;
use wire::{AccessMask, FileId, NtStatus};

use super::{Answer, done};
use crate::core::bulkhead;
use crate::core::files::lock_conflicts::check_range;
use crate::core::limits;
use crate::core::open::{Open, OpenFile};
use crate::core::server::Server;
use crate::core::status::OrStatus;
use crate::smb::connection::Request;
use crate::smb::handlers::write::{WritePosition, append, place};

/// 3.3.5.15.5: a key with which the file can be the source of a copy.
pub(super) fn resume_key(open: &Open, ioctl: &IoctlRequest<'_>) -> Answer {
    if (ioctl.max_output_response as usize) < ResumeKeyResponse::SIZE {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let mut output = Vec::new();
    ResumeKeyResponse { resume_key: key_of(open.file_id()), context_length: 0 }.encode(&mut output);
    done(output)
}

/// 3.3.5.15.6: copies chunks from the file of a resume key to this one.
pub(super) async fn copy(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    code: FsctlCode,
    ioctl: &IoctlRequest<'_>,
) -> Answer {
    if (ioctl.max_output_response as usize) < CopyChunkResponse::SIZE {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let wish = CopyChunkRequest::decode(ioctl.input).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    let source = file_of(&wish.source_key).and_then(|id| request.session().ok()?.open(id));
    let source = source.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
    let _crossing = bulkhead::cross(&source.tree().share.bulkhead, &open.tree().share.bulkhead).await;
    if wish.chunks.is_empty() && open.tree().apple().contains(AaplServerCaps::OSX_COPYFILE) {
        return super::copy_file::copy(request, open, file, &source).await;
    }
    if !is_within_limits(&wish.chunks) {
        return Ok((NtStatus::INVALID_PARAMETER, encoded(LIMITS)));
    }
    let from = source.file().filter(|it| !it.is_directory).ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    if file.is_directory {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let reads_target = code == FsctlCode::SRV_COPYCHUNK;
    if !source.access().intersects(AccessMask::READ_DATA | AccessMask::EXECUTE)
        || !open.access().intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA)
        || (reads_target && !open.access().contains(AccessMask::READ_DATA))
    {
        return Err(NtStatus::ACCESS_DENIED);
    }
    // Chunks are checked in their order; those before an invalid one are copied.
    let size = from.handle.size().or_status()?;
    let mut chunks = Vec::with_capacity(wish.chunks.len());
    let mut refused = None;
    for chunk in wish.chunks {
        match check(request, &source, size, (open, file), &chunk) {
            Ok(place) => chunks.push((chunk, place)),
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    let change = (!chunks.is_empty()).then(|| file.begin_write());
    let server = &request.connection.server;
    let side = |open: &Arc<Open>, handle: &Arc<dyn Handle>| Side {
        server: Arc::clone(server),
        open: Arc::clone(open),
        handle: Arc::clone(handle),
    };
    let (from, to) = (side(&source, &from.handle), side(open, &file.handle));
    let (copied, result) = crate::core::blocking::run(move || copy_chunks(&from, &to, &chunks)).await?;
    drop(change);
    if copied.total_bytes_written != 0 {
        let now = request.connection.server.now();
        source.shared().count_read(copied.total_bytes_written.into(), now);
        crate::smb::handlers::write::announce_write(request, open, copied.total_bytes_written);
    }
    // The copied data stays, and its amount is reported to the client.
    let status = match result {
        Ok(()) => refused.unwrap_or(NtStatus::SUCCESS),
        Err(status) => status,
    };
    Ok((status, encoded(copied)))
}

/// The position of a chunk, if it can be copied: the source is long enough, and no lock conflicts.
fn check(
    request: &Request<'_>,
    source: &Open,
    source_size: u64,
    (target, file): (&Open, &OpenFile),
    chunk: &CopyChunk,
) -> Result<WritePosition, NtStatus> {
    let length = chunk.length.into();
    if chunk.source_offset.checked_add(length).is_none_or(|end| end > source_size) {
        return Err(INVALID_VIEW_SIZE);
    }
    let place = place(target, file, chunk.target_offset, chunk.length)?;
    let server = &request.connection.server;
    check_range(server, source, chunk.source_offset, length, false)?;
    if let WritePosition::At(offset) = place {
        check_range(server, target, offset, length, true)?;
    }
    Ok(place)
}

/// A source or target of a copy. Locks are checked for each chunk separately.
pub(super) struct Side {
    pub(super) server: Arc<Server>,
    pub(super) open: Arc<Open>,
    pub(super) handle: Arc<dyn Handle>,
}

impl Side {
    /// Reads the existing part of a range.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, NtStatus> {
        check_range(&self.server, &self.open, offset, buffer.len() as u64, false)?;
        self.handle.read_at(buffer, offset).or_status()
    }

    /// Writes a range; less than all of it if the disk is full.
    pub(super) fn write(&self, data: &[u8], place: WritePosition) -> Result<usize, NtStatus> {
        match place {
            WritePosition::At(offset) => {
                check_range(&self.server, &self.open, offset, data.len() as u64, true)?;
                self.handle.write_at(data, offset).or_status()
            }
            WritePosition::End => append(&self.server, &self.open, &*self.handle, data),
        }
    }
}

/// Copies chunk by chunk. Each one is read completely first, so that ranges of one file may overlap.
fn copy_chunks(
    from: &Side,
    to: &Side,
    chunks: &[(CopyChunk, WritePosition)],
) -> (CopyChunkResponse, Result<(), NtStatus>) {
    let mut copied = CopyChunkResponse::default();
    let mut buffer = Vec::new();
    for (chunk, place) in chunks {
        buffer.resize(chunk.length as usize, 0);
        let read = from.read(&mut buffer, chunk.source_offset);
        let written = read.and_then(|read| {
            // The source was truncated meanwhile.
            let data = buffer.get(..read).filter(|data| data.len() == buffer.len());
            to.write(data.ok_or(NtStatus::INVALID_PARAMETER)?, *place)
        });
        let written = match written {
            Ok(written) => u32::try_from(written).unwrap_or(chunk.length),
            Err(error) => return (copied, Err(error)),
        };
        copied.total_bytes_written = copied.total_bytes_written.saturating_add(written);
        if written < chunk.length {
            copied.chunk_bytes_written = written;
            return (copied, Err(NtStatus::DISK_FULL));
        }
        copied.chunks_written = copied.chunks_written.saturating_add(1);
    }
    (copied, Ok(()))
}

fn is_within_limits(chunks: &[CopyChunk]) -> bool {
    let total: u64 = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
    chunks.len() <= limits::COPY_CHUNKS as usize
        && chunks.iter().all(|chunk| (1..=limits::COPY_CHUNK_BYTES).contains(&chunk.length))
        && total <= limits::COPY_BYTES.into()
}

pub(super) fn encoded(response: CopyChunkResponse) -> Vec<u8> {
    let mut output = Vec::new();
    response.encode(&mut output);
    output
}

/// A resume key is the open's id, and valid only in its session.
fn key_of(id: FileId) -> ResumeKey {
    let mut key = [0; 24];
    let bytes = id.persistent.to_le_bytes().into_iter().chain(id.volatile.to_le_bytes());
    key.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    key
}

fn file_of(key: &ResumeKey) -> Option<FileId> {
    let [persistent, volatile, rest] = key.as_chunks::<8>().0 else { return None };
    let id = FileId { persistent: u64::from_le_bytes(*persistent), volatile: u64::from_le_bytes(*volatile) };
    (*rest == [0; 8]).then_some(id)
}

/// The answer to a request beyond the limits.
const LIMITS: CopyChunkResponse = CopyChunkResponse {
    chunks_written: limits::COPY_CHUNKS,
    chunk_bytes_written: limits::COPY_CHUNK_BYTES,
    total_bytes_written: limits::COPY_BYTES,
};

/// STATUS_INVALID_VIEW_SIZE (MS-ERREF 2.3.1).
const INVALID_VIEW_SIZE: NtStatus = NtStatus(0xc000_001f);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_key_identifies_its_open() {
        let id = FileId { persistent: 0x0102_0304_0506_0708, volatile: u64::MAX - 1 };
        let key = key_of(id);
        assert_eq!(file_of(&key), Some(id));
        let mut wrong = key;
        wrong[23] = 1;
        assert_eq!(file_of(&wrong), None);
    }

    #[test]
    fn limits_apply_to_each_chunk_and_to_all() {
        let chunk = |length| CopyChunk { length, ..CopyChunk::default() };
        assert!(is_within_limits(&[]));
        assert!(is_within_limits(&[chunk(limits::COPY_CHUNK_BYTES); 16]));
        assert!(!is_within_limits(&[chunk(limits::COPY_CHUNK_BYTES); 17]));
        assert!(!is_within_limits(&[chunk(0)]));
        assert!(!is_within_limits(&[chunk(limits::COPY_CHUNK_BYTES + 1)]));
        assert!(is_within_limits(&[chunk(1); 256]));
        assert!(!is_within_limits(&[chunk(1); 257]));
    }
}
