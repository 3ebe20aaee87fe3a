//! SECURITY_DESCRIPTOR in its self-relative form (MS-DTYP 2.4.6).

use super::{Acl, Sid, TooLarge};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::msg::info::AdditionalInformation;

bit_mask! {
    /// `Control` of a security descriptor (MS-DTYP 2.4.6).
    SdControl(u16) {
        /// Owner Defaulted.
        OWNER_DEFAULTED = 0x0001,
        /// Group Defaulted.
        GROUP_DEFAULTED = 0x0002,
        /// DACL Present.
        DACL_PRESENT = 0x0004,
        /// DACL Defaulted.
        DACL_DEFAULTED = 0x0008,
        /// SACL Present.
        SACL_PRESENT = 0x0010,
        /// SACL Defaulted.
        SACL_DEFAULTED = 0x0020,
        /// Server Security.
        SERVER_SECURITY = 0x0080,
        /// DACL Computed Inheritance Required.
        DACL_AUTO_INHERIT_REQ = 0x0100,
        /// SACL Computed Inheritance Required.
        SACL_AUTO_INHERIT_REQ = 0x0200,
        /// DACL Auto-Inherited.
        DACL_AUTO_INHERITED = 0x0400,
        /// SACL Auto-Inherited.
        SACL_AUTO_INHERITED = 0x0800,
        /// DACL Protected.
        DACL_PROTECTED = 0x1000,
        /// SACL Protected.
        SACL_PROTECTED = 0x2000,
        /// RM Control Valid.
        RM_CONTROL_VALID = 0x4000,
        /// Self-Relative.
        SELF_RELATIVE = 0x8000,
    }
}

/// A security descriptor.
///
/// `DACL_PRESENT` in `control` without a `dacl` is a NULL DACL, which grants everybody full access. An empty list
/// grants nobody any access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// Control.
    pub control: SdControl,
    /// OwnerSid.
    pub owner: Option<Sid>,
    /// GroupSid.
    pub group: Option<Sid>,
    /// Sacl.
    pub sacl: Option<Acl>,
    /// Dacl.
    pub dacl: Option<Acl>,
}

/// Bytes before the parts.
const FIXED_SIZE: usize = 20;

impl SecurityDescriptor {
    /// A descriptor with an owner, a group and a DACL.
    pub fn new(owner: Sid, group: Sid, dacl: Acl) -> Self {
        Self {
            control: SdControl::SELF_RELATIVE | SdControl::DACL_PRESENT,
            owner: Some(owner),
            group: Some(group),
            sacl: None,
            dacl: Some(dacl),
        }
    }

    /// Reads a descriptor; its parts may lie anywhere behind the fixed fields.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        if cursor.u8()? != 1 {
            return Err(DecodeError::InvalidValue);
        }
        cursor.skip(1)?;
        let control = SdControl(cursor.u16()?);
        if !control.contains(SdControl::SELF_RELATIVE) {
            return Err(DecodeError::InvalidValue);
        }
        let (owner, group, sacl, dacl) = (cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let sacl = if control.contains(SdControl::SACL_PRESENT) { part(data, sacl)? } else { None };
        let dacl = if control.contains(SdControl::DACL_PRESENT) { part(data, dacl)? } else { None };
        Ok(Self {
            control,
            owner: part(data, owner)?.map(Sid::decode).transpose()?,
            group: part(data, group)?.map(Sid::decode).transpose()?,
            sacl: sacl.map(Acl::decode).transpose()?,
            dacl: dacl.map(Acl::decode).transpose()?,
        })
    }

    /// Appends the descriptor.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let start = out.len();
        let mut control = self.control | SdControl::SELF_RELATIVE;
        if self.dacl.is_some() {
            control |= SdControl::DACL_PRESENT;
        }
        if self.sacl.is_some() {
            control |= SdControl::SACL_PRESENT;
        }
        out.put_u8(1);
        out.put_u8(0);
        out.put_u16(control.0);
        out.put_zeros(16);
        let offsets = start.saturating_add(4);
        for (field, sid) in [(0, &self.owner), (4, &self.group)] {
            if let Some(sid) = sid {
                let offset = wire_u32(out.len().saturating_sub(start));
                out.patch_u32(offsets.saturating_add(field), offset);
                sid.encode(out);
            }
        }
        for (field, acl) in [(8, &self.sacl), (12, &self.dacl)] {
            if let Some(acl) = acl {
                let offset = wire_u32(out.len().saturating_sub(start));
                out.patch_u32(offsets.saturating_add(field), offset);
                acl.encode(out)?;
            }
        }
        Ok(())
    }

    /// The parts that a query for `which` returns.
    pub fn selected(&self, which: AdditionalInformation) -> Self {
        let mut selected = Self { control: SdControl::SELF_RELATIVE, ..Self::default() };
        if which.contains(AdditionalInformation::OWNER) {
            selected.owner = self.owner;
        }
        if which.contains(AdditionalInformation::GROUP) {
            selected.group = self.group;
        }
        if which.contains(AdditionalInformation::DACL) {
            selected.dacl = self.dacl.clone();
            selected.control |= self.control & DACL_CONTROL;
        }
        if which.contains(AdditionalInformation::SACL) {
            selected.sacl = self.sacl.clone();
            selected.control |= self.control & SACL_CONTROL;
        }
        selected
    }

    /// This descriptor with the parts of `which` taken from `new`, as SET_INFO stores it (MS-FSA 2.1.5.17).
    ///
    /// "Auto-inherited" is stored only if it was also requested, and generic rights are mapped.
    pub fn replaced(&self, new: &Self, which: AdditionalInformation) -> Self {
        let mut result = self.clone();
        if which.contains(AdditionalInformation::OWNER) && new.owner.is_some() {
            result.owner = new.owner;
        }
        if which.contains(AdditionalInformation::GROUP) && new.group.is_some() {
            result.group = new.group;
        }
        if which.contains(AdditionalInformation::DACL) {
            result.dacl = new.dacl.as_ref().map(Acl::with_generic_mapped);
            let asked = SdControl::DACL_AUTO_INHERITED | SdControl::DACL_AUTO_INHERIT_REQ;
            result.control = result.control.without(DACL_CONTROL)
                | SdControl::DACL_PRESENT
                | (new.control & SdControl::DACL_PROTECTED);
            if new.control.contains(asked) {
                result.control |= SdControl::DACL_AUTO_INHERITED;
            }
        }
        if which.contains(AdditionalInformation::SACL) {
            result.sacl = new.sacl.clone();
            let asked = SdControl::SACL_AUTO_INHERITED | SdControl::SACL_AUTO_INHERIT_REQ;
            result.control = result.control.without(SACL_CONTROL)
                | (new.control & (SdControl::SACL_PRESENT | SdControl::SACL_PROTECTED));
            if new.control.contains(asked) {
                result.control |= SdControl::SACL_AUTO_INHERITED;
            }
        }
        result
    }
}

const DACL_CONTROL: SdControl = SdControl(
    SdControl::DACL_PRESENT.0
        | SdControl::DACL_DEFAULTED.0
        | SdControl::DACL_AUTO_INHERIT_REQ.0
        | SdControl::DACL_AUTO_INHERITED.0
        | SdControl::DACL_PROTECTED.0,
);

const SACL_CONTROL: SdControl = SdControl(
    SdControl::SACL_PRESENT.0
        | SdControl::SACL_DEFAULTED.0
        | SdControl::SACL_AUTO_INHERIT_REQ.0
        | SdControl::SACL_AUTO_INHERITED.0
        | SdControl::SACL_PROTECTED.0,
);

/// The bytes from `offset` on; `None` for offset 0.
fn part(data: &[u8], offset: u32) -> Result<Option<&[u8]>, DecodeError> {
    if offset == 0 {
        return Ok(None);
    }
    let offset = usize::try_from(offset).map_err(|_| DecodeError::OffsetOutOfRange)?;
    if offset < FIXED_SIZE {
        return Err(DecodeError::OffsetOutOfRange);
    }
    data.get(offset..).map(Some).ok_or(DecodeError::OffsetOutOfRange)
}
