//! `FILETIME` (MS-DTYP 2.3.3).

/// Hundreds of nanoseconds since 1601-01-01T00:00:00Z; 0 is "no time".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);

impl FileTime {
    /// No time: "leave it as it is" in a set request, "unknown" in an answer.
    pub const NONE: Self = Self(0);

    /// The Unix epoch.
    pub const UNIX_EPOCH: Self = Self(116_444_736_000_000_000);

    /// The time `seconds` and `nanoseconds` after the Unix epoch; what FILETIME cannot hold is clamped.
    pub const fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        let ticks = (seconds as i128) * 10_000_000 + (nanoseconds / 100) as i128 + Self::UNIX_EPOCH.0 as i128;
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
        let ticks = self.0 as i128 - Self::UNIX_EPOCH.0 as i128;
        (ticks.div_euclid(10_000_000) as i64, (ticks.rem_euclid(10_000_000) * 100) as u32)
    }
}
