//! Reading the NDR of a PAC: one structure with the headers of MS-RPCE 2.2.6 (type serialization version 1), in little
//! endian. Pointers are unique: their targets follow the structure in the order of the pointers.

use wire::security::Sid;
use zeroize::Zeroizing;

use crate::bytes::{array_at, from_utf16le};

/// The bytes are not the NDR of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotNdr;

pub(super) type Result<T> = core::result::Result<T, NotNdr>;

pub(super) struct Ndr<'a> {
    data: &'a [u8],
    at: usize,
}

/// `RPC_UNICODE_STRING` (MS-DTYP 2.3.10) before its characters.
pub(super) struct StringHead {
    bytes: u16,
    present: bool,
}

impl<'a> Ndr<'a> {
    /// Reads the headers and the pointer to the structure.
    pub(super) fn of(data: &'a [u8]) -> Result<Self> {
        let head: [u8; 16] = array_at(data, 0).ok_or(NotNdr)?;
        // Version 1, little endian, and the length of this header.
        let [1, 0x10, 8, 0, _, _, _, _, a, b, c, d, ..] = head else { return Err(NotNdr) };
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| NotNdr)?;
        let object = data.get(head.len()..).and_then(|rest| rest.get(..len)).ok_or(NotNdr)?;
        let mut ndr = Self { data: object, at: 0 };
        if ndr.pointer()? { Ok(ndr) } else { Err(NotNdr) }
    }

    fn take<const N: usize>(&mut self, align: usize) -> Result<[u8; N]> {
        let at = self.at.checked_next_multiple_of(align).ok_or(NotNdr)?;
        let bytes = array_at(self.data, at).ok_or(NotNdr)?;
        self.at = at.checked_add(N).ok_or(NotNdr)?;
        Ok(bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.take(2).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.take(4).map(u32::from_le_bytes)
    }

    /// Skips `count` numbers of 32 bits.
    pub(super) fn skip_u32(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.u32().map(drop))
    }

    /// True if there is something behind a pointer.
    pub(super) fn pointer(&mut self) -> Result<bool> {
        Ok(self.u32()? != 0)
    }

    pub(super) fn string_head(&mut self) -> Result<StringHead> {
        let bytes = self.u16()?;
        let most = self.u16()?;
        let present = self.pointer()?;
        if bytes > most || bytes % 2 != 0 || (bytes != 0 && !present) {
            return Err(NotNdr);
        }
        Ok(StringHead { bytes, present })
    }

    /// The characters of a string: a conformant and varying array.
    pub(super) fn string(&mut self, head: &StringHead) -> Result<String> {
        if !head.present {
            return Ok(String::new());
        }
        let (most, offset, count) = (self.u32()?, self.u32()?, self.u32()?);
        if offset != 0 || count > most || count != u32::from(head.bytes) / 2 {
            return Err(NotNdr);
        }
        let end = self.at.checked_add(usize::from(head.bytes)).ok_or(NotNdr)?;
        let text = self.data.get(self.at..end).and_then(from_utf16le).ok_or(NotNdr)?;
        self.at = end;
        Ok(text)
    }

    /// `RPC_SID` (MS-DTYP 2.4.2.3).
    pub(super) fn sid(&mut self) -> Result<Sid> {
        let count = self.u32()?;
        let [revision, sub_authorities]: [u8; 2] = self.take(1)?;
        let authority: [u8; 6] = self.take(1)?;
        if count != u32::from(sub_authorities) {
            return Err(NotNdr);
        }
        let mut bytes = vec![revision, sub_authorities];
        bytes.extend(authority);
        for _ in 0..sub_authorities {
            bytes.extend(self.u32()?.to_le_bytes());
        }
        Sid::decode(&bytes).map_err(|_| NotNdr)
    }

    /// The count in front of a conformant array, which must be `expected`; at most `limit`.
    pub(super) fn array(&mut self, expected: u32, limit: usize) -> Result<usize> {
        let count = self.u32()?;
        usize::try_from(count).ok().filter(|it| count == expected && *it <= limit).ok_or(NotNdr)
    }
}

/// The bytes of a session key, which are read over.
pub(super) fn skip_key(ndr: &mut Ndr<'_>) -> Result<()> {
    ndr.take::<16>(1).map(Zeroizing::new).map(drop)
}
