//! Direct TCP transport framing (MS-SMB2 2.1): a zero byte and a 24-bit big-endian length.

use crate::cursor::DecodeError;

/// The length of the prefix before every message.
pub const PREFIX_SIZE: usize = 4;

/// The length a prefix can express.
pub const LENGTH_MAX: usize = 0x00ff_ffff;

/// The length of the message that follows `prefix`; more than `max` is [`DecodeError::TooLong`] and a
/// first byte other than zero (a NetBIOS session packet) is [`DecodeError::InvalidValue`].
#[inline]
pub const fn decode_prefix(prefix: [u8; PREFIX_SIZE], max: usize) -> Result<usize, DecodeError> {
    let [kind, high, middle, low] = prefix;
    if kind != 0 {
        return Err(DecodeError::InvalidValue);
    }
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > max { Err(DecodeError::TooLong) } else { Ok(length) }
}

/// The prefix of a message of `length` bytes.
#[inline]
pub const fn encode_prefix(length: usize) -> Result<[u8; PREFIX_SIZE], DecodeError> {
    if length > LENGTH_MAX {
        return Err(DecodeError::TooLong);
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 24 bits, checked above")]
    let length = length as u32;
    Ok(length.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_survive_up_to_24_bits() {
        for length in [0, 1, 0x1234, LENGTH_MAX] {
            assert_eq!(decode_prefix(encode_prefix(length).unwrap(), LENGTH_MAX), Ok(length));
        }
        assert_eq!(encode_prefix(LENGTH_MAX + 1), Err(DecodeError::TooLong));
    }

    #[test]
    fn foreign_and_oversized_prefixes_are_refused() {
        assert_eq!(decode_prefix([0x85, 0, 0, 0], 100), Err(DecodeError::InvalidValue));
        assert_eq!(decode_prefix([0, 0, 0, 101], 100), Err(DecodeError::TooLong));
    }
}
