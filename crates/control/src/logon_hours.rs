//! The hours of the week at which an account may log on.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A bit for each hour of the week in UTC, as in MS-SAMR 2.2.6.5: the lowest bit of the first octet is the hour from midnight
/// to one o'clock on Sunday. In JSON 42 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogonHours(pub [u8; 21]);

impl LogonHours {
    /// All hours.
    pub const ALL: Self = Self([0xff; 21]);

    /// The hours; `None` if there is no limit.
    pub fn limited(self) -> Option<[u8; 21]> {
        (self != Self::ALL).then_some(self.0)
    }

    /// The hours for a flag for each hour of the week in UTC.
    pub fn of_flags(flags: &[bool; 168]) -> Self {
        let mut octets = [0; 21];
        for (octet, flags) in octets.iter_mut().zip(flags.chunks(8)) {
            *octet = flags.iter().rev().fold(0, |octet, flag| octet << 1 | u8::from(*flag));
        }
        Self(octets)
    }

    /// A flag for each hour of the week in UTC.
    pub fn flags(&self) -> [bool; 168] {
        let mut flags = [false; 168];
        for (octet, flags) in self.0.iter().zip(flags.chunks_mut(8)) {
            for (bit, flag) in flags.iter_mut().enumerate() {
                *flag = octet >> bit & 1 == 1;
            }
        }
        flags
    }
}

impl Serialize for LogonHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.map(|octet| format!("{octet:02X}")).concat())
    }
}

impl<'de> Deserialize<'de> for LogonHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("logon hours are 42 hexadecimal digits");
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let octet = |pair: &[u8; 2]| {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let [high, low] = *pair;
            u8::try_from((digit(high)? << 4) | digit(low)?).ok()
        };
        let octets: Option<Vec<u8>> = pairs.iter().map(octet).collect();
        let octets = octets.filter(|_| rest.is_empty()).ok_or_else(wrong)?;
        octets.try_into().map(Self).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_digits_say_the_same() {
        let mut flags = [false; 168];
        // From 8 to 10 o'clock on Monday, and the last hour of Saturday.
        for hour in [32, 33, 167] {
            flags[hour] = true;
        }
        let hours = LogonHours::of_flags(&flags);
        let text = serde_json::to_string(&hours).unwrap();
        assert_eq!(text, "\"000000000300000000000000000000000000000080\"");
        assert_eq!(serde_json::from_str::<LogonHours>(&text).unwrap().flags(), flags);
        for wrong in ["\"00\"", "\"0\"", "\"é\"", "3", &text.replace('8', "x")] {
            assert!(serde_json::from_str::<LogonHours>(wrong).is_err(), "{wrong}");
        }
        assert_eq!((LogonHours::ALL.limited(), hours.limited()), (None, Some(hours.0)));
    }
}
