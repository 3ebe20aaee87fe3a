//! The types that fields and parameters are made of.

use wire::NtStatus;
use wire::security::Sid;

use super::{Ndr, NdrError, Parameter, Reader, Writer};
use crate::Win32Error;
use crate::uuid::Uuid;

impl Ndr for u32 {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.u32(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.u32()
    }
}

impl Ndr for u16 {
    const MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        to.u16(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.u16()
    }
}

impl Ndr for u8 {
    const MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.octets(&[*self]);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.octets(1)?.first().copied().ok_or(NdrError::Truncated)
    }
}

/// OLD_LARGE_INTEGER (MS-SAMR 2.2.2.2): eight octets, but aligned as two integers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct OldLargeInteger(pub i64);

impl Ndr for OldLargeInteger {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        to.align();
        to.octets(&self.0.to_le_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.align();
        let octets = from.octets(8)?.first_chunk().copied().ok_or(NdrError::Truncated)?;
        Ok(Self(i64::from_le_bytes(octets)))
    }
}

/// The return value of a call.
impl Ndr for Win32Error {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.u32(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.u32().map(Self)
    }
}

/// The return value of a call of another interface.
impl Ndr for NtStatus {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.u32(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.u32().map(Self)
    }
}

impl Ndr for Uuid {
    const MIN: usize = 16;

    fn write(&self, to: &mut Writer) {
        to.align();
        to.octets(&self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.align();
        from.octets(16)?.first_chunk().copied().map(Self).ok_or(NdrError::Truncated)
    }
}

/// `[in] PRPC_SID` as a parameter: a reference pointer, of which nothing is written.
impl Parameter for Sid {
    fn write_whole(&self, to: &mut Writer) {
        Some(*self).write_deferred(to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let mut sid = Some(Self::default());
        sid.read_deferred(from)?;
        sid.ok_or(NdrError::Sid)
    }
}

/// `PRPC_SID` (MS-DTYP 2.4.2.3): a unique pointer.
impl Ndr for Option<Sid> {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.pointer(self.is_some());
    }

    fn write_deferred(&self, to: &mut Writer) {
        if let Some(sid) = self {
            to.count(sid.sub_authorities().len());
            let mut octets = Vec::with_capacity(sid.size());
            sid.encode(&mut octets);
            to.octets(&octets);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        Ok(from.pointer()?.then(Sid::default))
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        if let Some(sid) = self {
            let count = from.count(4)?;
            let size = u32::try_from(count.saturating_mul(4).saturating_add(8)).unwrap_or(u32::MAX);
            let octets = from.octets(size)?;
            // Samba sends this for unknown accounts.
            if octets == NIL_SID {
                return Ok(());
            }
            *sid = Sid::decode(octets).map_err(|_| NdrError::Sid)?;
            if sid.sub_authorities().len() != count {
                return Err(NdrError::Sid);
            }
        }
        Ok(())
    }
}

/// A SID without anything in it, not even the revision.
const NIL_SID: [u8; 8] = [0; 8];

/// A context handle (C706 14.2.16.6).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ContextHandle {
    /// `context_handle_attributes`
    pub attributes: u32,
    /// `context_handle_uuid`; zero in a null handle.
    pub uuid: [u8; 16],
}

impl Ndr for ContextHandle {
    const MIN: usize = 20;

    fn write(&self, to: &mut Writer) {
        to.u32(self.attributes);
        to.octets(&self.uuid);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let attributes = from.u32()?;
        let uuid = from.octets(16)?.first_chunk().copied().ok_or(NdrError::Truncated)?;
        Ok(Self { attributes, uuid })
    }
}

/// An `enum` of two octets (C706 14.2.5).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Enum16(pub u16);

impl Ndr for Enum16 {
    const MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        to.u16(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.u16().map(Self)
    }
}

/// `[unique] DWORD*`.
impl Parameter for Option<u32> {
    fn write_whole(&self, to: &mut Writer) {
        to.pointer(self.is_some());
        if let Some(value) = self {
            to.u32(*value);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        if from.pointer()? { from.u32().map(Some) } else { Ok(None) }
    }
}

/// `[string] WCHAR*` as a parameter: a reference pointer, of which nothing is written.
impl Parameter for String {
    fn write_whole(&self, to: &mut Writer) {
        to.string(self);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.string()
    }
}

/// `[string, unique] WCHAR*`.
impl Ndr for Option<String> {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.pointer(self.is_some());
    }

    fn write_deferred(&self, to: &mut Writer) {
        if let Some(text) = self {
            to.string(text);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        Ok(from.pointer()?.then(String::new))
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        if let Some(text) = self {
            *text = from.string()?;
        }
        Ok(())
    }
}

/// Octets that a reference pointer leads to: `[out, size_is(n)] unsigned char*` as a parameter.
impl Parameter for Vec<u8> {
    fn write_whole(&self, to: &mut Writer) {
        to.count(self.len());
        to.octets(self);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        read_octets(from)
    }
}

/// Two-octet units that a reference pointer leads to: `[out, size_is(n)] WCHAR*` as a parameter.
impl Parameter for Vec<u16> {
    fn write_whole(&self, to: &mut Writer) {
        to.count(self.len());
        for unit in self {
            to.u16(*unit);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let count = from.u32()?;
        let octets = from.octets(count.checked_mul(2).ok_or(NdrError::Count(count))?)?;
        Ok(octets.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
    }
}

/// A size and then a unique pointer to that many octets: a security descriptor (MS-SRVS 2.2.4.26).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SizedBuffer(pub Option<Vec<u8>>);

impl Ndr for SizedBuffer {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        to.count(self.0.as_ref().map_or(0, Vec::len));
        to.pointer(self.0.is_some());
    }

    fn write_deferred(&self, to: &mut Writer) {
        if let Some(octets) = &self.0 {
            octets.write_whole(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let _size = from.u32()?;
        Ok(Self(from.pointer()?.then(Vec::new)))
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        if let Some(octets) = &mut self.0 {
            *octets = read_octets(from)?;
        }
        Ok(())
    }
}

/// A unique pointer to octets and then their size: a transport address (MS-SRVS 2.2.4.93).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct BufferSized(pub Option<Vec<u8>>);

impl Ndr for BufferSized {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        to.pointer(self.0.is_some());
        to.count(self.0.as_ref().map_or(0, Vec::len));
    }

    fn write_deferred(&self, to: &mut Writer) {
        if let Some(octets) = &self.0 {
            octets.write_whole(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let present = from.pointer()?;
        let _size = from.u32()?;
        Ok(Self(present.then(Vec::new)))
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        if let Some(octets) = &mut self.0 {
            *octets = read_octets(from)?;
        }
        Ok(())
    }
}

fn read_octets(from: &mut Reader<'_>) -> Result<Vec<u8>, NdrError> {
    let count = from.u32()?;
    from.octets(count).map(<[u8]>::to_vec)
}

/// A parameter that is a number of entries and a unique pointer to them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Container<T>(pub Vec<T>);

impl<T: Ndr> Parameter for Container<T> {
    fn write_whole(&self, to: &mut Writer) {
        write_container(&self.0, to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        read_container(from).map(Self)
    }
}

/// Two parameters: a count, and a reference to that number of entries, `[in, size_is(n)] T*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CountedArray<T>(pub Vec<T>);

impl<T: Ndr> Parameter for CountedArray<T> {
    fn write_whole(&self, to: &mut Writer) {
        to.count(self.0.len());
        write_array(&self.0, to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let count = from.u32()?;
        read_array(count, from).map(Self)
    }
}

/// Writes a `..._CONTAINER`: the number of entries and a pointer to them, and then the entries.
/// Without entries the pointer is NULL, as Windows answers.
pub fn write_container<T: Ndr>(entries: &[T], to: &mut Writer) {
    to.count(entries.len());
    to.pointer(!entries.is_empty());
    if !entries.is_empty() {
        write_array(entries, to);
    }
}

/// Writes a conformant array: its size, all fixed parts, and then all that they refer to.
pub fn write_array<T: Ndr>(entries: &[T], to: &mut Writer) {
    to.count(entries.len());
    for entry in entries {
        entry.write(to);
    }
    for entry in entries {
        entry.write_deferred(to);
    }
}

/// Reads the output of [`write_container`].
pub fn read_container<T: Ndr>(from: &mut Reader<'_>) -> Result<Vec<T>, NdrError> {
    let entries_read = from.u32()?;
    if !from.pointer()? {
        return Ok(Vec::new());
    }
    read_array(entries_read, from)
}

/// Reads a conformant array with the given number of entries.
pub fn read_array<T: Ndr>(entries_read: u32, from: &mut Reader<'_>) -> Result<Vec<T>, NdrError> {
    let count = from.count(T::MIN)?;
    if u32::try_from(count) != Ok(entries_read) {
        return Err(NdrError::Count(entries_read));
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(T::read(from)?);
    }
    for entry in &mut entries {
        entry.read_deferred(from)?;
    }
    Ok(entries)
}
