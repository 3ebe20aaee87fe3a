//! SMB2 OPLOCK_BREAK for oplocks and leases (MS-SMB2 2.2.23, 2.2.24, 2.2.25). `StructureSize` determines the kind of
//! the message.

use super::fixed;
use crate::bit_mask;
use crate::cursor::{DecodeError, Put};
use crate::header::Header;
use crate::ids::{FileId, Guid};
use crate::masks::{AccessMask, LeaseState, OplockLevel, ShareAccess};

bit_mask! {
    /// `Flags` of a lease break notification (MS-SMB2 2.2.23.2).
    LeaseBreakFlags(u32) {
        /// SMB2_NOTIFY_BREAK_LEASE_FLAG_ACK_REQUIRED.
        ACK_REQUIRED = 1,
    }
}

/// The notification (MS-SMB2 2.2.23.1), the acknowledgment (2.2.24.1) and its response (2.2.25.1) of an
/// oplock break: three messages, one structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OplockBreak {
    /// `OplockLevel`.
    pub oplock_level: OplockLevel,
    /// `FileId`.
    pub file_id: FileId,
}

impl OplockBreak {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<24>(message, OPLOCK_SIZE)?;
        let oplock_level = OplockLevel(cursor.u8()?);
        cursor.skip(5)?;
        let file_id = cursor.file_id()?;
        Ok(Self { oplock_level, file_id })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(OPLOCK_SIZE);
        out.put_u8(self.oplock_level.0);
        out.put_zeros(5);
        out.put_file_id(self.file_id);
    }
}

/// SMB2 Lease Break Notification (MS-SMB2 2.2.23.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseBreakNotification {
    /// `NewEpoch`.
    pub new_epoch: u16,
    /// `Flags`.
    pub flags: LeaseBreakFlags,
    /// `LeaseKey`.
    pub lease_key: Guid,
    /// `CurrentLeaseState`.
    pub current_lease_state: LeaseState,
    /// `NewLeaseState`.
    pub new_lease_state: LeaseState,
    /// `BreakReason`: reserved, 0.
    pub break_reason: u32,
    /// `AccessMaskHint`: reserved, 0.
    pub access_mask_hint: AccessMask,
    /// `ShareMaskHint`: reserved, 0.
    pub share_mask_hint: ShareAccess,
}

impl LeaseBreakNotification {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<44>(message, LEASE_NOTIFICATION_SIZE)?;
        Ok(Self {
            new_epoch: cursor.u16()?,
            flags: LeaseBreakFlags(cursor.u32()?),
            lease_key: cursor.guid()?,
            current_lease_state: LeaseState(cursor.u32()?),
            new_lease_state: LeaseState(cursor.u32()?),
            break_reason: cursor.u32()?,
            access_mask_hint: AccessMask(cursor.u32()?),
            share_mask_hint: ShareAccess(cursor.u32()?),
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(LEASE_NOTIFICATION_SIZE);
        out.put_u16(self.new_epoch);
        out.put_u32(self.flags.0);
        out.put_guid(self.lease_key);
        out.put_u32(self.current_lease_state.0);
        out.put_u32(self.new_lease_state.0);
        out.put_u32(self.break_reason);
        out.put_u32(self.access_mask_hint.0);
        out.put_u32(self.share_mask_hint.0);
    }
}

/// The acknowledgment (MS-SMB2 2.2.24.2) and its response (2.2.25.2) of a lease break: two messages, one
/// structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseBreak {
    /// `Flags`: reserved, 0.
    pub flags: u32,
    /// `LeaseKey`.
    pub lease_key: Guid,
    /// `LeaseState`.
    pub lease_state: LeaseState,
    /// `LeaseDuration`: reserved, 0.
    pub lease_duration: u64,
}

impl LeaseBreak {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<36>(message, LEASE_SIZE)?;
        cursor.skip(2)?;
        Ok(Self {
            flags: cursor.u32()?,
            lease_key: cursor.guid()?,
            lease_state: LeaseState(cursor.u32()?),
            lease_duration: cursor.u64()?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(LEASE_SIZE);
        out.put_u16(0);
        out.put_u32(self.flags);
        out.put_guid(self.lease_key);
        out.put_u32(self.lease_state.0);
        out.put_u64(self.lease_duration);
    }
}

/// An OPLOCK_BREAK from a client: an acknowledgment (MS-SMB2 2.2.24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OplockBreakRequest {
    /// MS-SMB2 2.2.24.1.
    Oplock(OplockBreak),
    /// MS-SMB2 2.2.24.2.
    Lease(LeaseBreak),
}

impl OplockBreakRequest {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        match structure_size(message)? {
            OPLOCK_SIZE => OplockBreak::decode(message).map(Self::Oplock),
            LEASE_SIZE => LeaseBreak::decode(message).map(Self::Lease),
            _ => Err(DecodeError::StructureSize),
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        match self {
            Self::Oplock(message) => message.encode(out, base),
            Self::Lease(message) => message.encode(out, base),
        }
    }
}

/// An OPLOCK_BREAK from a server: a notification, with `MessageId` all ones (MS-SMB2 2.2.23), or the response to an
/// acknowledgment (2.2.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OplockBreakResponse {
    /// MS-SMB2 2.2.23.1, 2.2.25.1.
    Oplock(OplockBreak),
    /// MS-SMB2 2.2.25.2.
    Lease(LeaseBreak),
    /// MS-SMB2 2.2.23.2.
    LeaseNotification(LeaseBreakNotification),
}

impl OplockBreakResponse {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        match structure_size(message)? {
            OPLOCK_SIZE => OplockBreak::decode(message).map(Self::Oplock),
            LEASE_SIZE => LeaseBreak::decode(message).map(Self::Lease),
            LEASE_NOTIFICATION_SIZE => LeaseBreakNotification::decode(message).map(Self::LeaseNotification),
            _ => Err(DecodeError::StructureSize),
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        match self {
            Self::Oplock(message) => message.encode(out, base),
            Self::Lease(message) => message.encode(out, base),
            Self::LeaseNotification(message) => message.encode(out, base),
        }
    }
}

const OPLOCK_SIZE: u16 = 24;
const LEASE_SIZE: u16 = 36;
const LEASE_NOTIFICATION_SIZE: u16 = 44;

/// `StructureSize` of the body.
pub(super) fn structure_size(message: &[u8]) -> Result<u16, DecodeError> {
    let body = message.get(Header::SIZE..).and_then(|body| body.first_chunk());
    body.map(|size| u16::from_le_bytes(*size)).ok_or(DecodeError::Truncated)
}
