//! FSCTL_SRV_ENUMERATE_SNAPSHOTS (MS-SMB2 2.2.32.2) and the `@GMT-` tokens it lists.

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::time::FileTime;
use crate::utf16::{Utf16, encode_utf16le};

/// Bytes of one token with its terminating zero: 24 characters and one.
const TOKEN_SIZE: usize = 50;

/// Bytes before the tokens.
const FIXED_SIZE: usize = 12;

/// SRV_SNAPSHOT_ARRAY (MS-SMB2 2.2.32.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotArray {
    /// NumberOfSnapShots: all there are.
    pub number: u32,
    /// SnapShotArraySize: bytes that all tokens take.
    pub array_size: u32,
    /// SnapShots; empty if the buffer did not hold all of them.
    pub snapshots: Vec<FileTime>,
}

impl SnapshotArray {
    /// Reads the answer.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let number = cursor.u32()?;
        let returned = usize::try_from(cursor.u32()?).map_err(|_| DecodeError::TooMany)?;
        let array_size = cursor.u32()?;
        if returned > cursor.remaining() / TOKEN_SIZE {
            return Err(DecodeError::Truncated);
        }
        let token = |_| {
            let text = Utf16::new(cursor.bytes(TOKEN_SIZE)?)?.to_text();
            parse_gmt_token(text.trim_end_matches('\0')).ok_or(DecodeError::InvalidValue)
        };
        Ok(Self { number, array_size, snapshots: (0..returned).map(token).collect::<Result<_, _>>()? })
    }
}

/// Appends the answer; if `max` bytes cannot hold all tokens, only the size that they need. Returns false if `max` is
/// below the smallest answer (STATUS_INVALID_PARAMETER, MS-SMB2 3.3.5.15.1).
#[must_use]
pub fn encode_snapshots(snapshots: &[FileTime], out: &mut Vec<u8>, max: usize) -> bool {
    if max < FIXED_SIZE.saturating_add(4) {
        return false;
    }
    let size = snapshots.len().saturating_mul(TOKEN_SIZE).saturating_add(2);
    let fits = FIXED_SIZE.saturating_add(size) <= max && !snapshots.is_empty();
    out.put_u32(wire_u32(snapshots.len()));
    out.put_u32(if fits { wire_u32(snapshots.len()) } else { 0 });
    out.put_u32(wire_u32(size));
    if fits {
        for snapshot in snapshots {
            encode_utf16le(&format_gmt_token(*snapshot), out);
            out.put_u16(0);
        }
        out.put_u16(0);
    } else {
        out.put_u32(0);
    }
    true
}

/// The token `@GMT-YYYY.MM.DD-HH.MM.SS` of a time (MS-SMB2 2.2.32.2). Times after the year 9999 have that year's last.
pub fn format_gmt_token(time: FileTime) -> String {
    let (seconds, _) = time.to_unix();
    UNIX_EPOCH.saturating_add(SignedDuration::from_secs(seconds)).strftime(GMT_TOKEN).to_string()
}

/// The time of a token; `None` if the text is not a token.
pub fn parse_gmt_token(text: &str) -> Option<FileTime> {
    let time = DateTime::strptime(GMT_TOKEN, text).ok()?;
    let time = FileTime::from_unix(time.duration_since(UNIX_EPOCH).as_secs(), 0);
    // strptime takes shorter numbers and leap seconds, too.
    (time != FileTime::NONE && format_gmt_token(time) == text).then_some(time)
}

const GMT_TOKEN: &str = "@GMT-%Y.%m.%d-%H.%M.%S";

const UNIX_EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
