//! The one SMB1 message an SMB2 server answers: NEGOTIATE with its dialect strings
//! (MS-SMB2 3.3.5.3; MS-CIFS 2.2.4.52.1).

use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::limits::SMB1_DIALECTS_MAX;

/// The dialect string for SMB 2.0.2.
pub const DIALECT_SMB_2_002: &[u8] = b"SMB 2.002";

/// The dialect string for any later SMB2 dialect: the client goes on with an SMB2 NEGOTIATE.
pub const DIALECT_SMB_2_WILDCARD: &[u8] = b"SMB 2.???";

/// The relevant content of an SMB1 NEGOTIATE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Smb1Negotiate {
    /// True if the dialects include `SMB 2.002`.
    pub smb_2_002: bool,
    /// True if the dialects include `SMB 2.???`.
    pub smb_2_wildcard: bool,
}

impl Smb1Negotiate {
    /// Reads an SMB1 message, which must be a NEGOTIATE.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(message);
        if cursor.array()? != PROTOCOL_ID {
            return Err(DecodeError::ProtocolId);
        }
        if cursor.u8()? != COMMAND_NEGOTIATE {
            return Err(DecodeError::UnknownCommand);
        }
        cursor.skip(HEADER_AFTER_COMMAND)?;
        let word_count = cursor.u8()?;
        if word_count != 0 {
            return Err(DecodeError::StructureSize);
        }
        let byte_count = usize::from(cursor.u16()?);
        let mut dialects = cursor.sub(byte_count)?.rest();
        let mut found = Self::default();
        let mut count: usize = 0;
        while let Some((format, behind)) = dialects.split_first() {
            if *format != BUFFER_FORMAT_DIALECT {
                return Err(DecodeError::InvalidValue);
            }
            if count == SMB1_DIALECTS_MAX {
                return Err(DecodeError::TooMany);
            }
            count = count.saturating_add(1);
            let length = behind.iter().position(|byte| *byte == 0).ok_or(DecodeError::Truncated)?;
            let (dialect, terminated) = behind.split_at(length);
            found.smb_2_002 |= dialect == DIALECT_SMB_2_002;
            found.smb_2_wildcard |= dialect == DIALECT_SMB_2_WILDCARD;
            dialects = terminated.split_first().map_or(&[], |(_, rest)| rest);
        }
        if count == 0 { Err(DecodeError::Empty) } else { Ok(found) }
    }
}

/// Appends an SMB1 NEGOTIATE that offers `dialects`.
pub fn encode_negotiate(dialects: &[&[u8]], out: &mut Vec<u8>) {
    out.put_bytes(&PROTOCOL_ID);
    out.put_u8(COMMAND_NEGOTIATE);
    out.put_u32(0);
    out.put_u8(FLAGS_CANONICAL);
    out.put_u16(FLAGS2_MODERN);
    out.put_zeros(HEADER_AFTER_COMMAND.saturating_sub(7));
    out.put_u8(0);
    let count = out.len();
    out.put_u16(0);
    let start = out.len();
    for dialect in dialects {
        out.put_u8(BUFFER_FORMAT_DIALECT);
        out.put_bytes(dialect);
        out.put_u8(0);
    }
    let length = wire_u16(out.len().saturating_sub(start));
    out.patch_u16(count, length);
}

const PROTOCOL_ID: [u8; 4] = [0xff, b'S', b'M', b'B'];
const COMMAND_NEGOTIATE: u8 = 0x72;
const BUFFER_FORMAT_DIALECT: u8 = 2;
/// The SMB1 header is 32 bytes, of which the protocol id and the command have been read.
const HEADER_AFTER_COMMAND: usize = 27;
const FLAGS_CANONICAL: u8 = 0x18;
/// Unicode, NT status codes, extended security, long names.
const FLAGS2_MODERN: u16 = 0xc801;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_found() {
        let mut message = Vec::new();
        encode_negotiate(&[b"NT LM 0.12", DIALECT_SMB_2_002, DIALECT_SMB_2_WILDCARD], &mut message);
        assert_eq!(
            Smb1Negotiate::decode(&message),
            Ok(Smb1Negotiate { smb_2_002: true, smb_2_wildcard: true })
        );
        message.clear();
        encode_negotiate(&[b"NT LM 0.12"], &mut message);
        assert_eq!(Smb1Negotiate::decode(&message), Ok(Smb1Negotiate::default()));
        message.clear();
        encode_negotiate(&[], &mut message);
        assert_eq!(Smb1Negotiate::decode(&message), Err(DecodeError::Empty));
    }

    #[test]
    fn every_truncation_is_refused() {
        let mut message = Vec::new();
        encode_negotiate(&[DIALECT_SMB_2_WILDCARD], &mut message);
        for length in 0..message.len() {
            assert!(Smb1Negotiate::decode(&message[..length]).is_err());
        }
    }

    #[test]
    fn too_many_dialects_are_refused() {
        let mut message = Vec::new();
        encode_negotiate(&[b"X".as_slice(); SMB1_DIALECTS_MAX + 1], &mut message);
        assert_eq!(Smb1Negotiate::decode(&message), Err(DecodeError::TooMany));
    }
}
