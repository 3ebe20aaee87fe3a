//! SMB2 NEGOTIATE (MS-SMB2 2.2.3, 2.2.4).

use super::negotiate_context::{NegotiateContexts, U16List};
use super::{behind, end32, fixed, size, variable};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, wire_u16};
use crate::header::Header;
use crate::ids::Guid;
use crate::limits::{DIALECTS_MAX, NEGOTIATE_CONTEXTS_MAX};
use crate::masks::Dialect;
use crate::time::FileTime;

bit_mask! {
    /// `SecurityMode` (MS-SMB2 2.2.3, 2.2.4, 2.2.5).
    SecurityMode(u16) {
        /// SMB2_NEGOTIATE_SIGNING_ENABLED.
        SIGNING_ENABLED = 1,
        /// SMB2_NEGOTIATE_SIGNING_REQUIRED.
        SIGNING_REQUIRED = 2,
    }
}

bit_mask! {
    /// `Capabilities` (MS-SMB2 2.2.3, 2.2.4, 2.2.5).
    GlobalCapabilities(u32) {
        /// SMB2_GLOBAL_CAP_DFS.
        DFS = 0x01,
        /// SMB2_GLOBAL_CAP_LEASING.
        LEASING = 0x02,
        /// SMB2_GLOBAL_CAP_LARGE_MTU.
        LARGE_MTU = 0x04,
        /// SMB2_GLOBAL_CAP_MULTI_CHANNEL.
        MULTI_CHANNEL = 0x08,
        /// SMB2_GLOBAL_CAP_PERSISTENT_HANDLES.
        PERSISTENT_HANDLES = 0x10,
        /// SMB2_GLOBAL_CAP_DIRECTORY_LEASING.
        DIRECTORY_LEASING = 0x20,
        /// SMB2_GLOBAL_CAP_ENCRYPTION.
        ENCRYPTION = 0x40,
        /// SMB2_GLOBAL_CAP_NOTIFICATIONS.
        NOTIFICATIONS = 0x80,
    }
}

/// SMB2 NEGOTIATE Request (MS-SMB2 2.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NegotiateRequest<'a> {
    /// `SecurityMode`.
    pub security_mode: SecurityMode,
    /// `Capabilities`.
    pub capabilities: GlobalCapabilities,
    /// `ClientGuid`.
    pub client_guid: Guid,
    /// `Dialects`.
    pub dialects: U16List<'a>,
    /// `NegotiateContextList`; empty unless the dialects include 3.1.1.
    pub contexts: NegotiateContexts<'a>,
}

impl<'a> NegotiateRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let dialect_count = usize::from(cursor.u16()?);
        let security_mode = SecurityMode(cursor.u16()?);
        cursor.skip(2)?;
        let capabilities = GlobalCapabilities(cursor.u32()?);
        let client_guid = cursor.guid()?;
        let context_offset = cursor.u32()?;
        let context_count = cursor.u16()?;
        if dialect_count == 0 {
            return Err(DecodeError::Empty);
        }
        if dialect_count > DIALECTS_MAX {
            return Err(DecodeError::TooMany);
        }
        let dialects_at = Header::SIZE.saturating_add(REQUEST_FIXED);
        let dialects_end = dialects_at.saturating_add(dialect_count.saturating_mul(2));
        let dialects = U16List::new(message.get(dialects_at..dialects_end).ok_or(DecodeError::Truncated)?)?;
        let mut request = Self {
            security_mode,
            capabilities,
            client_guid,
            dialects,
            contexts: NegotiateContexts::default(),
        };
        // Before 3.1.1 these eight bytes are ClientStartTime.
        if request.offers(Dialect::SMB311) {
            request.contexts = contexts(message, dialects_end, context_offset, context_count)?;
        }
        Ok(request)
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u16(wire_u16(self.dialects.len()));
        out.put_u16(self.security_mode.0);
        out.put_u16(0);
        out.put_u32(self.capabilities.0);
        out.put_guid(self.client_guid);
        let offset_at = out.len();
        out.put_u32(0);
        out.put_u16(self.contexts.count());
        out.put_u16(0);
        out.put_bytes(self.dialects.as_bytes());
        encode_contexts(self.contexts, out, base, offset_at);
    }

    /// True if the dialects include this one.
    pub fn offers(&self, dialect: Dialect) -> bool {
        self.dialects().any(|offered| offered == dialect)
    }

    /// The dialects in the client's order.
    pub fn dialects(&self) -> impl Iterator<Item = Dialect> + use<'a> {
        self.dialects.iter().map(Dialect)
    }
}

/// SMB2 NEGOTIATE Response (MS-SMB2 2.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NegotiateResponse<'a> {
    /// `SecurityMode`.
    pub security_mode: SecurityMode,
    /// `DialectRevision`.
    pub dialect_revision: Dialect,
    /// `ServerGuid`.
    pub server_guid: Guid,
    /// `Capabilities`.
    pub capabilities: GlobalCapabilities,
    /// `MaxTransactSize`.
    pub max_transact_size: u32,
    /// `MaxReadSize`.
    pub max_read_size: u32,
    /// `MaxWriteSize`.
    pub max_write_size: u32,
    /// `SystemTime`.
    pub system_time: FileTime,
    /// `ServerStartTime`: zero in practice, so that strangers do not learn when the server started.
    pub server_start_time: FileTime,
    /// The security buffer: the first token of the server.
    pub security_buffer: &'a [u8],
    /// `NegotiateContextList`; empty unless the dialect is 3.1.1.
    pub contexts: NegotiateContexts<'a>,
}

impl<'a> NegotiateResponse<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<RESPONSE_FIXED>(message, RESPONSE_SIZE)?;
        let security_mode = SecurityMode(cursor.u16()?);
        let dialect_revision = Dialect(cursor.u16()?);
        let context_count = cursor.u16()?;
        let server_guid = cursor.guid()?;
        let capabilities = GlobalCapabilities(cursor.u32()?);
        let max_transact_size = cursor.u32()?;
        let max_read_size = cursor.u32()?;
        let max_write_size = cursor.u32()?;
        let system_time = cursor.time()?;
        let server_start_time = cursor.time()?;
        let buffer_offset = cursor.u16()?;
        let buffer_length = cursor.u16()?;
        let context_offset = cursor.u32()?;
        let security_buffer = variable(message, RESPONSE_FIXED, buffer_offset.into(), buffer_length.into())?;
        let contexts = if dialect_revision == Dialect::SMB311 {
            let behind_fixed = Header::SIZE.saturating_add(RESPONSE_FIXED);
            contexts(message, behind_fixed, context_offset, context_count)?
        } else {
            NegotiateContexts::default()
        };
        Ok(Self {
            security_mode,
            dialect_revision,
            server_guid,
            capabilities,
            max_transact_size,
            max_read_size,
            max_write_size,
            system_time,
            server_start_time,
            security_buffer,
            contexts,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        out.put_u16(RESPONSE_SIZE);
        out.put_u16(self.security_mode.0);
        out.put_u16(self.dialect_revision.0);
        out.put_u16(self.contexts.count());
        out.put_guid(self.server_guid);
        out.put_u32(self.capabilities.0);
        out.put_u32(self.max_transact_size);
        out.put_u32(self.max_read_size);
        out.put_u32(self.max_write_size);
        out.put_time(self.system_time);
        out.put_time(self.server_start_time);
        out.put_u16(behind(64));
        out.put_u16(wire_u16(self.security_buffer.len()));
        let offset_at = out.len();
        out.put_u32(0);
        out.put_bytes(self.security_buffer);
        encode_contexts(self.contexts, out, base, offset_at);
    }
}

const REQUEST_SIZE: u16 = 36;
const REQUEST_FIXED: usize = 36;
const RESPONSE_SIZE: u16 = 65;
const RESPONSE_FIXED: usize = 64;

fn contexts(
    message: &[u8],
    earliest: usize,
    offset: u32,
    count: u16,
) -> Result<NegotiateContexts<'_>, DecodeError> {
    if count == 0 {
        return Ok(NegotiateContexts::default());
    }
    if usize::from(count) > NEGOTIATE_CONTEXTS_MAX {
        return Err(DecodeError::TooMany);
    }
    let offset = size(offset)?;
    if offset < earliest {
        return Err(DecodeError::OffsetOutOfRange);
    }
    if !offset.is_multiple_of(8) {
        return Err(DecodeError::Misaligned);
    }
    let area = message.get(offset..).ok_or(DecodeError::OffsetOutOfRange)?;
    NegotiateContexts::new(area, count)
}

fn encode_contexts(contexts: NegotiateContexts<'_>, out: &mut Vec<u8>, base: usize, offset_at: usize) {
    if contexts.count() > 0 {
        out.pad_to(base, 8);
        let offset = end32(out, base);
        out.patch_u32(offset_at, offset);
        out.put_bytes(contexts.as_bytes());
    }
}
