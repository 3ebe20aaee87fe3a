//! Points in time, in JSON as RFC 3339.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z. In JSON it is a string like "2026-03-01T09:30:00.250Z": RFC 3339, always
/// UTC and with milliseconds, so that strings sort as times do. Years before 0 and after 9999 are clamped when
/// written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The current time.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The time `seconds` and `nanoseconds` after the Unix epoch.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        Self(seconds.saturating_mul(1000).saturating_add(i64::from(nanoseconds / 1_000_000)))
    }

    /// Parses RFC 3339; a fraction beyond milliseconds is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        // jiff reads more of ISO 8601 than RFC 3339 has.
        let shape = text.replace(|c: char| c.is_ascii_digit(), "0");
        let (clock, rest) = shape.split_at_checked(CLOCK)?;
        let zone = match rest.strip_prefix('.') {
            Some(fraction) if !fraction.starts_with('0') => return None,
            Some(fraction) => fraction.trim_start_matches('0'),
            None => rest,
        };
        let is_clock = matches!(clock, "0000-00-00T00:00:00" | "0000-00-00t00:00:00" | "0000-00-00 00:00:00");
        if !is_clock || !matches!(zone, "Z" | "z" | "+00:00" | "-00:00") {
            return None;
        }
        let (clock, zone) = text.split_at_checked(text.len().checked_sub(zone.len())?)?;
        let clock: DateTime = clock.get(..clock.len().min(CLOCK_MILLISECONDS))?.parse().ok()?;
        let milliseconds = i64::try_from(clock.duration_since(EPOCH).as_millis()).ok()?;
        Some(Self(milliseconds.checked_sub(offset_milliseconds(zone)?)?))
    }
}

/// Bytes of `2026-03-01T09:30:00`, and of the same with milliseconds.
const CLOCK: usize = 19;
const CLOCK_MILLISECONDS: usize = 23;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The offset from UTC of `Z`, or of a text like `+02:00`.
fn offset_milliseconds(zone: &str) -> Option<i64> {
    let Some((hours, minutes)) = zone.split_once(':') else { return Some(0) };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minutes = if zone.starts_with('-') { -minutes } else { minutes };
    (hours.abs() < 24 && minutes.abs() < 60).then_some((hours * 60 + minutes) * 60_000)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let milliseconds =
            |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(milliseconds(after)),
            Err(before) => Self(-milliseconds(before.duration())),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.clamp(YEAR_0_MILLISECONDS, YEAR_9999_MILLISECONDS);
        write!(f, "{:.3}Z", EPOCH.saturating_add(SignedDuration::from_millis(milliseconds)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"an RFC 3339 time"))
    }
}

const YEAR_0_MILLISECONDS: i64 = -62_167_219_200_000;
const YEAR_9999_MILLISECONDS: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(milliseconds).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(milliseconds)));
        }
    }

    #[test]
    fn other_spellings_of_rfc_3339() {
        let expected = Timestamp::parse("2026-03-01T09:30:00.250Z");
        assert!(expected.is_some());
        for text in
            ["2026-03-01T09:30:00.25Z", "2026-03-01t11:30:00.250999+02:00", "2026-03-01 00:00:00.250-09:30"]
        {
            assert_eq!(Timestamp::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "2026-03-01",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T09:30:00",
            "2026-03-01T09:30:00.Z",
            "2026-03-01T09:30:00+0200",
            "2026-+3-01T09:30:00Z",
            "２０２６-03-01T09:30:00Z",
            "2026-03-01T09:30:00+9223372036854775807:00",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_outside_0_to_9999_are_clamped() {
        assert_eq!(Timestamp(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn text_and_back(milliseconds in YEAR_0_MILLISECONDS..=YEAR_9999_MILLISECONDS) {
            let text = Timestamp(milliseconds).to_string();
            prop_assert_eq!(Timestamp::parse(&text), Some(Timestamp(milliseconds)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Timestamp::parse(&text);
        }

        #[test]
        fn texts_sort_as_times(
            a in YEAR_0_MILLISECONDS..=YEAR_9999_MILLISECONDS,
            b in YEAR_0_MILLISECONDS..=YEAR_9999_MILLISECONDS,
        ) {
            prop_assert_eq!(Timestamp(a).to_string().cmp(&Timestamp(b).to_string()), a.cmp(&b));
        }
    }
}
