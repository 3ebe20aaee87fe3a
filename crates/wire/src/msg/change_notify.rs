//! SMB2 CHANGE_NOTIFY (MS-SMB2 2.2.35).

use super::fixed;
use crate::bit_mask;
use crate::cursor::{DecodeError, Put};
use crate::ids::FileId;

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.35).
    WatchFlags(u16) {
        /// SMB2_WATCH_TREE.
        WATCH_TREE = 1,
    }
}

bit_mask! {
    /// `CompletionFilter` (MS-SMB2 2.2.35).
    CompletionFilter(u32) {
        /// FILE_NOTIFY_CHANGE_FILE_NAME.
        FILE_NAME = 0x001,
        /// FILE_NOTIFY_CHANGE_DIR_NAME.
        DIR_NAME = 0x002,
        /// FILE_NOTIFY_CHANGE_ATTRIBUTES.
        ATTRIBUTES = 0x004,
        /// FILE_NOTIFY_CHANGE_SIZE.
        SIZE = 0x008,
        /// FILE_NOTIFY_CHANGE_LAST_WRITE.
        LAST_WRITE = 0x010,
        /// FILE_NOTIFY_CHANGE_LAST_ACCESS.
        LAST_ACCESS = 0x020,
        /// FILE_NOTIFY_CHANGE_CREATION.
        CREATION = 0x040,
        /// FILE_NOTIFY_CHANGE_EA.
        EA = 0x080,
        /// FILE_NOTIFY_CHANGE_SECURITY.
        SECURITY = 0x100,
        /// FILE_NOTIFY_CHANGE_STREAM_NAME.
        STREAM_NAME = 0x200,
        /// FILE_NOTIFY_CHANGE_STREAM_SIZE.
        STREAM_SIZE = 0x400,
        /// FILE_NOTIFY_CHANGE_STREAM_WRITE.
        STREAM_WRITE = 0x800,
    }
}

/// SMB2 CHANGE_NOTIFY Request (MS-SMB2 2.2.35).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeNotifyRequest {
    /// `Flags`.
    pub flags: WatchFlags,
    /// `OutputBufferLength`.
    pub output_buffer_length: u32,
    /// `FileId`.
    pub file_id: FileId,
    /// `CompletionFilter`.
    pub completion_filter: CompletionFilter,
}

impl ChangeNotifyRequest {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<32>(message, REQUEST_SIZE)?;
        let flags = WatchFlags(cursor.u16()?);
        let output_buffer_length = cursor.u32()?;
        let file_id = cursor.file_id()?;
        let completion_filter = CompletionFilter(cursor.u32()?);
        Ok(Self { flags, output_buffer_length, file_id, completion_filter })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u16(self.flags.0);
        out.put_u32(self.output_buffer_length);
        out.put_file_id(self.file_id);
        out.put_u32(self.completion_filter.0);
        out.put_u32(0);
    }
}

const REQUEST_SIZE: u16 = 32;
