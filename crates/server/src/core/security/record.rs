//! The record in `security.NTACL`: Samba's `xattr_NTACL` in NDR, versions 1 to 4.

use wire::cursor::Put;
use wire::security::{SecurityDescriptor, TooLarge};
use wire::{DecodeError, FileTime, ReadCursor};

/// A stored descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) descriptor: SecurityDescriptor,
    /// The SHA-256 hash of the file's permissions at the time of the record; `None` if the record has no such hash.
    pub(super) system_hash: Option<[u8; 32]>,
}

/// Reads a record.
pub(super) fn decode(data: &[u8]) -> Result<Record, DecodeError> {
    let mut cursor = ReadCursor::new(data);
    let version = cursor.u16()?;
    // The version selects the arm of the union, and NDR repeats it.
    if cursor.u16()? != version || cursor.u32()? == 0 {
        return Err(DecodeError::InvalidValue);
    }
    let mut system_hash = None;
    if version != 1 && cursor.u32()? == 0 {
        return Err(DecodeError::InvalidValue);
    }
    match version {
        1 => {}
        2 => cursor.skip(OLD_HASH_BYTES)?,
        3 | 4 => {
            let hash_type = cursor.u16()?;
            cursor.skip(HASH_BYTES)?;
            if version == 4 {
                skip_text(&mut cursor)?;
                cursor.align(4);
                cursor.skip(8)?;
                let hash = cursor.array::<HASH_BYTES>()?;
                system_hash = hash.first_chunk().copied().filter(|_| hash_type == HASH_SHA256);
            }
        }
        _ => return Err(DecodeError::InvalidValue),
    }
    cursor.align(4);
    let descriptor = descriptor_at(data, cursor.position())?;
    Ok(Record { descriptor, system_hash })
}

/// Encodes a record of version 4.
///
/// Samba uses it as long as `system_hash` is the hash of the file's permissions. The other hash, which Samba compares
/// if the first differs, is of the descriptor that Samba would derive from the permissions; it is left empty.
pub(super) fn encode(
    descriptor: &SecurityDescriptor,
    system_hash: &[u8; 32],
    now: FileTime,
) -> Result<Vec<u8>, TooLarge> {
    let mut out = Vec::with_capacity(512);
    out.put_u16(4);
    out.put_u16(4);
    out.put_u32(FIRST_REFERENT);
    out.put_u32(FIRST_REFERENT + 4);
    out.put_u16(HASH_SHA256);
    out.put_zeros(HASH_BYTES);
    out.put_bytes(b"posix_acl\0");
    out.pad_to(0, 4);
    out.put_time(now);
    out.put_bytes(system_hash);
    out.put_zeros(HASH_BYTES - system_hash.len());
    let start = out.len();
    descriptor.encode(&mut out)?;
    move_offsets(&mut out, start, |offset| offset.checked_add(u32::try_from(start).ok()?)).ok_or(TooLarge)?;
    Ok(out)
}

/// The descriptor at `start`, whose offsets count from the record's first byte.
fn descriptor_at(data: &[u8], start: usize) -> Result<SecurityDescriptor, DecodeError> {
    let mut bytes = data.get(start..).ok_or(DecodeError::Truncated)?.to_vec();
    move_offsets(&mut bytes, 0, |offset| offset.checked_sub(u32::try_from(start).ok()?))
        .ok_or(DecodeError::OffsetOutOfRange)?;
    SecurityDescriptor::decode(&bytes)
}

/// Changes the four offsets of the descriptor at `start`, except those that are zero.
fn move_offsets(bytes: &mut [u8], start: usize, change: impl Fn(u32) -> Option<u32>) -> Option<()> {
    let fields = bytes.get_mut(start..)?.get_mut(4..20)?;
    for field in fields.chunks_exact_mut(4) {
        let offset = u32::from_le_bytes(field.try_into().ok()?);
        if offset != 0 {
            field.copy_from_slice(&change(offset)?.to_le_bytes());
        }
    }
    Some(())
}

/// Skips a text that ends with a NUL byte.
fn skip_text(cursor: &mut ReadCursor<'_>) -> Result<(), DecodeError> {
    while cursor.u8()? != 0 {}
    Ok(())
}

/// The value of the first pointer in Samba's marshalling.
const FIRST_REFERENT: u32 = 0x0002_0000;

/// XATTR_SD_HASH_TYPE_SHA256.
const HASH_SHA256: u16 = 1;

/// Bytes of a hash of version 2.
const OLD_HASH_BYTES: usize = 16;

/// The size of the hash field from version 3 on; SHA-256 uses the first 32 bytes.
const HASH_BYTES: usize = 64;
