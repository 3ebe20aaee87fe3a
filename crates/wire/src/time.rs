//! `FILETIME` (MS-DTYP 2.3.3).

/// Hundreds of nanoseconds since 1601-01-01T00:00:00Z; 0 is "no time".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);

impl FileTime {
    /// No time: "do not change" in a set request, "unknown" in an answer.
    pub const NONE: Self = Self(0);

    /// The Unix epoch.
    pub const UNIX_EPOCH: Self = Self(116_444_736_000_000_000);

    /// The time `seconds` and `nanoseconds` after the Unix epoch, clamped to the range of FILETIME.
    pub const fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        let since_epoch =
            (seconds as i128).saturating_mul(TICKS_PER_SECOND).saturating_add((nanoseconds / 100) as i128);
        let ticks = since_epoch.saturating_add(Self::UNIX_EPOCH.0 as i128);
        if ticks < 0 {
            Self(0)
        } else if ticks > i64::MAX as i128 {
            Self(i64::MAX as u64)
        } else {
            Self(ticks as u64)
        }
    }

    /// Seconds and nanoseconds since the Unix epoch (negative seconds before it).
    pub const fn to_unix(self) -> (i64, u32) {
        let ticks = (self.0 as i128).saturating_sub(Self::UNIX_EPOCH.0 as i128);
        let nanoseconds = ticks.rem_euclid(TICKS_PER_SECOND).saturating_mul(100);
        (ticks.div_euclid(TICKS_PER_SECOND) as i64, nanoseconds as u32)
    }
}

const TICKS_PER_SECOND: i128 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_times_survive_and_are_clamped() {
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 123_456_700), (-1, 999_999_900)] {
            assert_eq!(FileTime::from_unix(seconds, nanoseconds).to_unix(), (seconds, nanoseconds));
        }
        assert_eq!(FileTime::from_unix(0, 0), FileTime::UNIX_EPOCH);
        assert_eq!(FileTime::from_unix(i64::MIN, 0), FileTime::NONE);
        assert_eq!(FileTime::from_unix(i64::MAX, u32::MAX), FileTime(i64::MAX as u64));
    }
}
