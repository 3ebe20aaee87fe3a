//! FSCTL_SRV_ENUMERATE_SNAPSHOTS (MS-SMB2 2.2.32.2) and the `@GMT-` tokens it lists.

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
    /// SnapShots; empty where the buffer did not hold all.
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

/// Appends the answer; where `max` bytes do not hold all tokens, only how much room they need. False
/// where `max` is below the smallest answer (STATUS_INVALID_PARAMETER, MS-SMB2 3.3.5.15.1).
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

/// The token `@GMT-YYYY.MM.DD-HH.MM.SS` of a time (MS-SMB2 2.2.32.2).
pub fn format_gmt_token(time: FileTime) -> String {
    let (seconds, _) = time.to_unix();
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("@GMT-{year:04}.{month:02}.{day:02}-{hour:02}.{minute:02}.{second:02}")
}

/// The time of a token; none where the text is no token.
pub fn parse_gmt_token(text: &str) -> Option<FileTime> {
    let (date, time) = text.strip_prefix("@GMT-")?.split_once('-')?;
    let [year, month, day] = numbers(date, [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let seconds = days
        .checked_mul(86_400)?
        .checked_add(hour.checked_mul(3600)?)?
        .checked_add(minute.checked_mul(60)?)?
        .checked_add(second)?;
    Some(FileTime::from_unix(seconds, 0)).filter(|time| *time != FileTime::NONE)
}

fn numbers(text: &str, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split('.');
    let mut result = [0; 3];
    for (place, width) in result.iter_mut().zip(widths) {
        let part =
            parts.next().filter(|part| part.len() == width && part.bytes().all(|b| b.is_ascii_digit()))?;
        *place = part.parse().ok()?;
    }
    if parts.next().is_some() { None } else { Some(result) }
}

#[expect(clippy::arithmetic_side_effects, reason = "a FILETIME's days are below 2^24, far from overflow")]
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[expect(clippy::arithmetic_side_effects, reason = "the parts have at most four digits")]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
