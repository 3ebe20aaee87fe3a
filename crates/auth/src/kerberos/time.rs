//! `KerberosTime` (RFC 4120 5.2.3): whole seconds in UTC.

use core::fmt;

use wire::FileTime;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KerberosTime(pub i64);

impl KerberosTime {
    /// The time in whole seconds.
    pub const fn of(time: FileTime) -> Self {
        Self(time.to_unix().0)
    }

    /// The time in FILETIME.
    pub const fn file_time(self) -> FileTime {
        FileTime::from_unix(self.0, 0)
    }

    /// The time in the form `20261129221300Z`; `None` if it has another form.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"Z").filter(|it| it.len() == 14)?;
        let number = |at: usize, len: usize| {
            digits.get(at..at + len)?.iter().try_fold(0_i64, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
            })
        };
        let (year, month, day) = (number(0, 4)?, number(4, 2)?, number(6, 2)?);
        let (hour, minute, second) = (number(8, 2)?, number(10, 2)?, number(12, 2)?);
        let time = Self(days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second);
        // A date that does not exist, as February 30, is another one.
        (time.digits().as_bytes() == digits).then_some(time)
    }

    /// The time in the form `20261129221300Z`.
    pub(super) fn encode(self) -> Vec<u8> {
        format!("{}Z", self.digits()).into_bytes()
    }

    fn digits(self) -> String {
        let (year, month, day, hour, minute, second) = self.parts();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
    }

    fn parts(self) -> (i64, i64, i64, i64, i64, i64) {
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // Years begin in March here, so that the leap day is the last of one.
        let days = days.saturating_add(MARCH_OF_YEAR_0);
        let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + i64::from(month <= 2);
        (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
    }
}

impl fmt::Display for KerberosTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.parts();
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// The days from 1970 to a day of the proleptic Gregorian calendar.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let month = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - MARCH_OF_YEAR_0
}

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days in 400 years.
const ERA: i64 = 146_097;
/// Days from the first of March of the year 0 to 1970.
const MARCH_OF_YEAR_0: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, seconds) in [
            ("19700101000000Z", 0),
            ("20000229120000Z", 951_825_600),
            ("20261129221305Z", 1_795_990_385),
            ("20380119031408Z", 1 << 31),
            ("19691231235959Z", -1),
        ] {
            assert_eq!(KerberosTime::parse(text.as_bytes()), Some(KerberosTime(seconds)), "{text}");
            assert_eq!(KerberosTime(seconds).encode(), text.as_bytes());
        }
        assert_eq!(KerberosTime(951_825_600).to_string(), "2000-02-29 12:00:00 UTC");
        for day in -800_000..800_000 {
            let (year, month, day_of_month, ..) = KerberosTime(day * DAY).parts();
            assert_eq!(days_before(year, month, day_of_month), day);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "Z",
            "20260230000000Z",
            "20261329000000Z",
            "20260001000000Z",
            "20260100000000Z",
            "20260101240000Z",
            "20260101006000Z",
            "20260101000060Z",
            "2026010100000Z",
            "20260101000000",
            "20260101000000.1Z",
            "20260101000000+0100",
            "2026010100000 Z",
            "+0260101000000Z",
        ] {
            assert_eq!(KerberosTime::parse(text.as_bytes()), None, "{text}");
        }
    }
}
