//! SMB2 FLUSH (MS-SMB2 2.2.17).

use super::fixed;
use crate::cursor::{DecodeError, Put};
use crate::ids::FileId;

/// SMB2 FLUSH Request (MS-SMB2 2.2.17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushRequest {
    /// `FileId`.
    pub file_id: FileId,
}

impl FlushRequest {
    /// Reads the message.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<24>(message, REQUEST_SIZE)?;
        cursor.skip(6)?;
        Ok(Self { file_id: cursor.file_id()? })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_zeros(6);
        out.put_file_id(self.file_id);
    }
}

const REQUEST_SIZE: u16 = 24;
