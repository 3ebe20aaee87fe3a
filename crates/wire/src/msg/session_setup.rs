//! SMB2 SESSION_SETUP (MS-SMB2 2.2.5, 2.2.6).

use super::negotiate::{GlobalCapabilities, SecurityMode};
use super::{behind, fixed, variable};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, wire_u16};
use crate::ids::SessionId;

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.5).
    SessionSetupFlags(u8) {
        /// SMB2_SESSION_FLAG_BINDING.
        BINDING = 1,
    }
}

bit_mask! {
    /// `SessionFlags` (MS-SMB2 2.2.6).
    SessionFlags(u16) {
        /// SMB2_SESSION_FLAG_IS_GUEST.
        IS_GUEST = 1,
        /// SMB2_SESSION_FLAG_IS_NULL.
        IS_NULL = 2,
        /// SMB2_SESSION_FLAG_ENCRYPT_DATA.
        ENCRYPT_DATA = 4,
    }
}

/// SMB2 SESSION_SETUP Request (MS-SMB2 2.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionSetupRequest<'a> {
    /// `Flags`.
    pub flags: SessionSetupFlags,
    /// `SecurityMode`: one byte here.
    pub security_mode: SecurityMode,
    /// `Capabilities`.
    pub capabilities: GlobalCapabilities,
    /// `PreviousSessionId`: the session this one replaces after a lost connection.
    pub previous_session_id: SessionId,
    /// The security buffer: the client's token.
    pub security_buffer: &'a [u8],
}

impl<'a> SessionSetupRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let flags = SessionSetupFlags(cursor.u8()?);
        let security_mode = SecurityMode(cursor.u8()?.into());
        let capabilities = GlobalCapabilities(cursor.u32()?);
        cursor.skip(4)?;
        let offset = cursor.u16()?;
        let length = cursor.u16()?;
        let previous_session_id = SessionId(cursor.u64()?);
        let security_buffer = variable(message, REQUEST_FIXED, offset.into(), length.into())?;
        Ok(Self { flags, security_mode, capabilities, previous_session_id, security_buffer })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        let [security_mode, _] = self.security_mode.0.to_le_bytes();
        out.put_u16(REQUEST_SIZE);
        out.put_u8(self.flags.0);
        out.put_u8(security_mode);
        out.put_u32(self.capabilities.0);
        out.put_u32(0);
        out.put_u16(behind(24));
        out.put_u16(wire_u16(self.security_buffer.len()));
        out.put_u64(self.previous_session_id.0);
        out.put_bytes(self.security_buffer);
    }
}

/// SMB2 SESSION_SETUP Response (MS-SMB2 2.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionSetupResponse<'a> {
    /// `SessionFlags`.
    pub session_flags: SessionFlags,
    /// The security buffer: the server's token.
    pub security_buffer: &'a [u8],
}

impl<'a> SessionSetupResponse<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<RESPONSE_FIXED>(message, RESPONSE_SIZE)?;
        let session_flags = SessionFlags(cursor.u16()?);
        let offset = cursor.u16()?;
        let length = cursor.u16()?;
        let security_buffer = variable(message, RESPONSE_FIXED, offset.into(), length.into())?;
        Ok(Self { session_flags, security_buffer })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(RESPONSE_SIZE);
        out.put_u16(self.session_flags.0);
        out.put_u16(behind(8));
        out.put_u16(wire_u16(self.security_buffer.len()));
        out.put_bytes(self.security_buffer);
    }
}

const REQUEST_SIZE: u16 = 25;
const REQUEST_FIXED: usize = 24;
const RESPONSE_SIZE: u16 = 9;
const RESPONSE_FIXED: usize = 8;
