//! FILE_NOTIFY_INFORMATION (MS-FSCC 2.7.1), the answer to CHANGE_NOTIFY.

use super::limits::CHAIN_ENTRIES_MAX;
use super::{Chain, ChainWriter, index, name_bytes, put_name};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::utf16::Utf16;
use crate::wire_enum;

wire_enum! {
    /// `Action` of FILE_NOTIFY_INFORMATION (MS-FSCC 2.7.1).
    NotifyAction(u32) {
        /// FILE_ACTION_ADDED.
        ADDED = 1,
        /// FILE_ACTION_REMOVED.
        REMOVED = 2,
        /// FILE_ACTION_MODIFIED.
        MODIFIED = 3,
        /// FILE_ACTION_RENAMED_OLD_NAME.
        RENAMED_OLD_NAME = 4,
        /// FILE_ACTION_RENAMED_NEW_NAME.
        RENAMED_NEW_NAME = 5,
        /// FILE_ACTION_ADDED_STREAM.
        ADDED_STREAM = 6,
        /// FILE_ACTION_REMOVED_STREAM.
        REMOVED_STREAM = 7,
        /// FILE_ACTION_MODIFIED_STREAM.
        MODIFIED_STREAM = 8,
        /// FILE_ACTION_REMOVED_BY_DELETE.
        REMOVED_BY_DELETE = 9,
    }
}

/// One change below a watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyEntry<N> {
    /// Action.
    pub action: NotifyAction,
    /// FileName, relative to the watched directory.
    pub name: N,
}

/// Appends all changes. Returns false and appends nothing if they need more than `max` bytes; the client then gets
/// STATUS_NOTIFY_ENUM_DIR and lists the directory (MS-SMB2 3.3.4.2).
#[must_use]
pub fn encode_changes<'a>(
    changes: impl IntoIterator<Item = NotifyEntry<&'a str>>,
    out: &mut Vec<u8>,
    max: usize,
) -> bool {
    let start = out.len();
    let mut chain = ChainWriter::new(out, max, 4);
    for change in changes {
        let length = name_bytes(change.name);
        let Some(out) = chain.begin(length.saturating_add(12)) else {
            out.truncate(start);
            return false;
        };
        out.put_u32(0);
        out.put_u32(change.action.0);
        out.put_u32(wire_u32(length));
        put_name(out, change.name);
    }
    true
}

/// The changes in an answer.
pub fn decode_changes(
    data: &[u8],
) -> impl Iterator<Item = Result<NotifyEntry<Utf16<'_>>, DecodeError>> + use<'_> {
    Chain::new(data, CHAIN_ENTRIES_MAX).map(|element| {
        let mut cursor = ReadCursor::new(element?);
        cursor.skip(4)?;
        let action = NotifyAction(cursor.u32()?);
        let length = index(cursor.u32()?)?;
        Ok(NotifyEntry { action, name: Utf16::new(cursor.bytes(length)?)? })
    })
}
