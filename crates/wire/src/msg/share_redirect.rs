//! The error context that leads a client to the owner of a share (MS-SMB2 2.2.2.2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::size;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::limits::REDIRECT_ADDRESSES_MAX;
use crate::utf16::Utf16;

/// `Share Redirect Error Context Response` (MS-SMB2 2.2.2.2.2): the data of BAD_NETWORK_NAME for a TREE_CONNECT with
/// REDIRECT_TO_OWNER, in an error context with the id SHARE_REDIRECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareRedirect<'a> {
    /// `IPAddrMoveList`: the addresses of the owner.
    pub addresses: Vec<IpAddr>,
    /// `ResourceName`: the share.
    pub share: Utf16<'a>,
}

impl<'a> ShareRedirect<'a> {
    /// Reads the data of the error context. Addresses of unknown types are left out.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let whole = ReadCursor::new(data);
        let mut cursor = ReadCursor::new(data);
        // StructureSize is 48 however long the structure is, or counts it, by the version of the specification.
        cursor.skip(4)?;
        if cursor.u32()? != SHARE_MOVE_NOTIFICATION {
            return Err(DecodeError::InvalidValue);
        }
        let (name_offset, name_length) = (size(cursor.u32()?)?, size(cursor.u32()?)?);
        // Flags and TargetType.
        cursor.skip(4)?;
        let count = size(cursor.u32()?)?;
        if count > REDIRECT_ADDRESSES_MAX {
            return Err(DecodeError::TooMany);
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let kind = cursor.u32()?;
            cursor.skip(4)?;
            let bytes = cursor.array::<16>()?;
            let [a, b, c, d, ..] = bytes;
            match kind {
                MOVE_DST_IPADDR_V4 => addresses.push(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
                MOVE_DST_IPADDR_V6 => addresses.push(IpAddr::V6(Ipv6Addr::from(bytes))),
                _ => {}
            }
        }
        Ok(Self { addresses, share: Utf16::new(whole.at(name_offset, name_length)?)? })
    }

    /// Appends the data of the error context; addresses beyond [`REDIRECT_ADDRESSES_MAX`] are left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let addresses = self.addresses.get(..REDIRECT_ADDRESSES_MAX).unwrap_or(&self.addresses);
        let list = addresses.len().saturating_mul(MOVE_DST_IPADDR);
        out.put_u32(STRUCTURE_SIZE);
        out.put_u32(SHARE_MOVE_NOTIFICATION);
        out.put_u32(wire_u32(list.saturating_add(FIXED)));
        out.put_u32(wire_u32(self.share.as_bytes().len()));
        // Flags and TargetType.
        out.put_u32(0);
        out.put_u32(wire_u32(addresses.len()));
        for address in addresses {
            let mut octets = [0; 16];
            let kind = match address {
                IpAddr::V4(address) => {
                    octets[..4].copy_from_slice(&address.octets());
                    MOVE_DST_IPADDR_V4
                }
                IpAddr::V6(address) => {
                    octets = address.octets();
                    MOVE_DST_IPADDR_V6
                }
            };
            out.put_u32(kind);
            out.put_u32(0);
            out.put_bytes(&octets);
        }
        out.put_bytes(self.share.as_bytes());
    }
}

/// `StructureSize`: the size with one address and no name, whatever there is.
const STRUCTURE_SIZE: u32 = 48;

/// The bytes before `IPAddrMoveList`.
const FIXED: usize = 24;

/// The bytes of one `MOVE_DST_IPADDR` (MS-SMB2 2.2.2.2.2.1).
const MOVE_DST_IPADDR: usize = 24;

/// `NotificationType` (MS-SWN 2.2.2.4).
const SHARE_MOVE_NOTIFICATION: u32 = 3;

const MOVE_DST_IPADDR_V4: u32 = 1;
const MOVE_DST_IPADDR_V6: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::utf16::utf16le;

    /// The fields at their places of MS-SMB2 2.2.2.2.2 and 2.2.2.2.2.1.
    #[test]
    fn fields_are_at_their_places() {
        let name = utf16le("da");
        let redirect = ShareRedirect {
            addresses: vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5])],
            share: Utf16::new(&name).unwrap(),
        };
        let mut bytes = Vec::new();
        redirect.encode(&mut bytes);
        let mut expected = vec![48, 0, 0, 0, 3, 0, 0, 0, 72, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]);
        expected.extend([0; 12]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        expected.extend(b"d\0a\0");
        assert_eq!(bytes, expected);
        assert_eq!(ShareRedirect::decode(&bytes), Ok(redirect));
    }

    #[test]
    fn hostile_counts_and_offsets_are_refused() {
        let (name, mut bytes) = (utf16le("da"), Vec::new());
        let addresses = vec![IpAddr::from([192, 0, 2, 1])];
        ShareRedirect { addresses, share: Utf16::new(&name).unwrap() }.encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(ShareRedirect::decode(&bytes[..length]).is_err(), "{length}");
        }
        for (at, value) in [(4, 1), (8, 255), (12, 254), (20, 255)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert!(ShareRedirect::decode(&wrong).is_err(), "{at}");
        }
    }

    #[test]
    fn no_more_addresses_are_sent_than_are_read() {
        let many =
            ShareRedirect { addresses: vec![IpAddr::from([192, 0, 2, 1]); 100], share: Utf16::default() };
        let mut bytes = Vec::new();
        many.encode(&mut bytes);
        let read = ShareRedirect::decode(&bytes).unwrap();
        assert_eq!(read.addresses.len(), REDIRECT_ADDRESSES_MAX);
    }
}
