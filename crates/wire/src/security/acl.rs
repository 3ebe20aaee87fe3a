//! ACE (MS-DTYP 2.4.4) and ACL (2.4.5).

use super::Sid;
use crate::cursor::{DecodeError, Put, ReadCursor};
use crate::masks::AccessMask;
use crate::{bit_mask, wire_enum};

wire_enum! {
    /// `AceType` (MS-DTYP 2.4.4.1).
    AceType(u8) {
        /// ACCESS_ALLOWED_ACE_TYPE.
        ACCESS_ALLOWED = 0x00,
        /// ACCESS_DENIED_ACE_TYPE.
        ACCESS_DENIED = 0x01,
        /// SYSTEM_AUDIT_ACE_TYPE.
        SYSTEM_AUDIT = 0x02,
        /// SYSTEM_ALARM_ACE_TYPE.
        SYSTEM_ALARM = 0x03,
        /// ACCESS_ALLOWED_OBJECT_ACE_TYPE.
        ACCESS_ALLOWED_OBJECT = 0x05,
        /// ACCESS_DENIED_OBJECT_ACE_TYPE.
        ACCESS_DENIED_OBJECT = 0x06,
        /// SYSTEM_AUDIT_OBJECT_ACE_TYPE.
        SYSTEM_AUDIT_OBJECT = 0x07,
        /// ACCESS_ALLOWED_CALLBACK_ACE_TYPE: with a condition.
        ACCESS_ALLOWED_CALLBACK = 0x09,
        /// ACCESS_DENIED_CALLBACK_ACE_TYPE: with a condition.
        ACCESS_DENIED_CALLBACK = 0x0a,
        /// SYSTEM_AUDIT_CALLBACK_ACE_TYPE.
        SYSTEM_AUDIT_CALLBACK = 0x0d,
        /// SYSTEM_MANDATORY_LABEL_ACE_TYPE.
        SYSTEM_MANDATORY_LABEL = 0x11,
        /// SYSTEM_RESOURCE_ATTRIBUTE_ACE_TYPE.
        SYSTEM_RESOURCE_ATTRIBUTE = 0x12,
        /// SYSTEM_SCOPED_POLICY_ID_ACE_TYPE.
        SYSTEM_SCOPED_POLICY_ID = 0x13,
    }
}

impl AceType {
    /// True if the body is a mask, a SID and data of the application.
    pub const fn has_principal(self) -> bool {
        matches!(self.0, 0x00..=0x03 | 0x09 | 0x0a | 0x0d | 0x0e | 0x11..=0x13)
    }
}

bit_mask! {
    /// `AceFlags` (MS-DTYP 2.4.4.1).
    AceFlags(u8) {
        /// OBJECT_INHERIT_ACE: files inherit.
        OBJECT_INHERIT = 0x01,
        /// CONTAINER_INHERIT_ACE: directories inherit.
        CONTAINER_INHERIT = 0x02,
        /// NO_PROPAGATE_INHERIT_ACE: the child inherits the entry but does not pass it on.
        NO_PROPAGATE_INHERIT = 0x04,
        /// INHERIT_ONLY_ACE: does not apply to the object itself.
        INHERIT_ONLY = 0x08,
        /// INHERITED_ACE.
        INHERITED = 0x10,
        /// SUCCESSFUL_ACCESS_ACE_FLAG.
        SUCCESSFUL_ACCESS = 0x40,
        /// FAILED_ACCESS_ACE_FLAG.
        FAILED_ACCESS = 0x80,
    }
}

/// An access control entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ace {
    /// AceType.
    pub kind: AceType,
    /// AceFlags.
    pub flags: AceFlags,
    /// The part after the header.
    pub body: AceBody,
}

/// The body of an ACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AceBody {
    /// The body of the types for which [`AceType::has_principal`] is true.
    Principal {
        /// Mask.
        mask: AccessMask,
        /// Sid.
        sid: Sid,
        /// ApplicationData: a condition, a resource attribute; usually empty.
        data: Vec<u8>,
    },
    /// The body of any other type: kept unchanged, without effect on files.
    Opaque(Vec<u8>),
}

impl Ace {
    /// An ACCESS_ALLOWED_ACE (MS-DTYP 2.4.4.2).
    pub const fn allow(sid: Sid, mask: AccessMask, flags: AceFlags) -> Self {
        let body = AceBody::Principal { mask, sid, data: Vec::new() };
        Self { kind: AceType::ACCESS_ALLOWED, flags, body }
    }

    /// An ACCESS_DENIED_ACE (MS-DTYP 2.4.4.4).
    pub const fn deny(sid: Sid, mask: AccessMask, flags: AceFlags) -> Self {
        let body = AceBody::Principal { mask, sid, data: Vec::new() };
        Self { kind: AceType::ACCESS_DENIED, flags, body }
    }

    /// Reads an ACE; the cursor moves behind it.
    pub fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        let kind = AceType(cursor.u8()?);
        let flags = AceFlags(cursor.u8()?);
        let size = usize::from(cursor.u16()?);
        if size % 4 != 0 {
            return Err(DecodeError::Misaligned);
        }
        let mut body = cursor.sub(size.checked_sub(4).ok_or(DecodeError::Truncated)?)?;
        let body = if kind.has_principal() {
            let mask = AccessMask(body.u32()?);
            AceBody::Principal { mask, sid: Sid::read(&mut body)?, data: body.rest().to_vec() }
        } else {
            AceBody::Opaque(body.rest().to_vec())
        };
        Ok(Self { kind, flags, body })
    }

    /// Appends the ACE; its data is padded with zeros to a multiple of four bytes.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let start = out.len();
        out.put_u8(self.kind.0);
        out.put_u8(self.flags.0);
        out.put_u16(0);
        match &self.body {
            AceBody::Principal { mask, sid, data } => {
                out.put_u32(mask.0);
                sid.encode(out);
                out.put_bytes(data);
            }
            AceBody::Opaque(data) => out.put_bytes(data),
        }
        out.pad_to(start, 4);
        patch_size(out, start)
    }
}

/// An access control list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// The entries in their order, which matters.
    pub aces: Vec<Ace>,
}

/// An ACE or ACL is longer than the 65,535 bytes that its size field can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Acl {
    /// Reads the ACL at the start of `data`; more bytes may follow.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        // Clients write revisions between these two, which have no name and the same form.
        if !(ACL_REVISION..=ACL_REVISION_DS).contains(&cursor.u8()?) {
            return Err(DecodeError::InvalidValue);
        }
        cursor.skip(1)?;
        let size = usize::from(cursor.u16()?);
        let count = usize::from(cursor.u16()?);
        cursor.skip(2)?;
        let mut entries = cursor.sub(size.checked_sub(8).ok_or(DecodeError::Truncated)?)?;
        let mut aces = Vec::with_capacity(count.min(entries.remaining() / 8));
        for _ in 0..count {
            aces.push(Ace::read(&mut entries)?);
        }
        Ok(Self { aces })
    }

    /// This list with generic rights mapped in the entries that apply to the object itself. Entries that are only
    /// inherited keep theirs.
    pub fn with_generic_mapped(&self) -> Self {
        let mut mapped = self.clone();
        for ace in &mut mapped.aces {
            if let AceBody::Principal { mask, .. } = &mut ace.body
                && !ace.flags.contains(AceFlags::INHERIT_ONLY)
            {
                *mask = mask.map_generic();
            }
        }
        mapped
    }

    /// Appends the ACL.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let start = out.len();
        let plain = self.aces.iter().all(|ace| ace.kind.has_principal());
        out.put_u8(if plain { ACL_REVISION } else { ACL_REVISION_DS });
        out.put_u8(0);
        out.put_u16(0);
        out.put_u16(u16::try_from(self.aces.len()).map_err(|_| TooLarge)?);
        out.put_u16(0);
        self.aces.iter().try_for_each(|ace| ace.encode(out))?;
        patch_size(out, start)
    }
}

/// Writes the length of the structure at `start` into the size field, which ACE and ACL have at the same offset.
fn patch_size(out: &mut Vec<u8>, start: usize) -> Result<(), TooLarge> {
    let size = u16::try_from(out.len().saturating_sub(start)).map_err(|_| TooLarge)?;
    out.patch_u16(start.saturating_add(2), size);
    Ok(())
}

const ACL_REVISION: u8 = 2;
const ACL_REVISION_DS: u8 = 4;
