//! Server-side copy: FSCTL_SRV_REQUEST_RESUME_KEY and FSCTL_SRV_COPYCHUNK (MS-SMB2 2.2.31.1, 2.2.32.1, 2.2.32.3).

use super::payload::LISTED_MAX;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::layout::{FixedLayout, fixed_layout};

/// The opaque name of a source file (MS-SMB2 2.2.32.3).
pub type ResumeKey = [u8; 24];

fixed_layout! {
    /// SRV_REQUEST_RESUME_KEY response (MS-SMB2 2.2.32.3); Windows sends 4 bytes of empty context.
    ResumeKeyResponse {
        /// ResumeKey.
        resume_key: ResumeKey;
        /// ContextLength, always 0.
        context_length: u32, pad 4;
    }
}

fixed_layout! {
    /// SRV_COPYCHUNK (MS-SMB2 2.2.31.1.1).
    CopyChunk {
        /// SourceOffset.
        source_offset: u64;
        /// TargetOffset.
        target_offset: u64;
        /// Length.
        length: u32, pad 4;
    }
}

/// SRV_COPYCHUNK_COPY (MS-SMB2 2.2.31.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyChunkRequest {
    /// SourceKey.
    pub source_key: ResumeKey,
    /// Chunks.
    pub chunks: Vec<CopyChunk>,
}

impl CopyChunkRequest {
    /// Decodes the request. Only the buffer limits the number of chunks here; the server's own limit is in its
    /// refusal.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let source_key = cursor.array()?;
        let count = cursor.u32()?;
        cursor.skip(4)?;
        let count = usize::try_from(count).map_err(|_| DecodeError::TooMany)?;
        if count > LISTED_MAX {
            return Err(DecodeError::TooMany);
        }
        if count > cursor.remaining() / CopyChunk::SIZE {
            return Err(DecodeError::Truncated);
        }
        let chunks = (0..count).map(|_| CopyChunk::read(&mut cursor)).collect::<Result<_, _>>()?;
        Ok(Self { source_key, chunks })
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.source_key);
        out.put_u32(wire_u32(self.chunks.len()));
        out.put_u32(0);
        self.chunks.iter().for_each(|chunk| chunk.encode(out));
    }
}

fixed_layout! {
    /// SRV_COPYCHUNK_RESPONSE (MS-SMB2 2.2.32.1): with STATUS_INVALID_PARAMETER, the server's limits.
    CopyChunkResponse {
        /// ChunksWritten; the most chunks in one request.
        chunks_written: u32;
        /// ChunkBytesWritten of a chunk that failed halfway; the most bytes in one chunk.
        chunk_bytes_written: u32;
        /// TotalBytesWritten; the most bytes in one request.
        total_bytes_written: u32;
    }
}
