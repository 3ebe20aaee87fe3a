//! Bounds on lengths of time in filters, for example "longer than an hour".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A bound on a length of time: `>1h`, `>=30m`, `<2d`, `<=90s`; `1h` alone means `>=1h`. Units are `s`, `m`, `h` and
/// `d`; a number alone is in seconds. In JSON and in URLs it is this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bound {
    side: Side,
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// A text that is not a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is written as '>1h', '<30m' or '90s'")]
pub struct NotABound;

impl Bound {
    /// True if `seconds` is within the bound.
    pub fn allows(self, seconds: u64) -> bool {
        match self.side {
            Side::Above => seconds > self.seconds,
            Side::AtLeast => seconds >= self.seconds,
            Side::Below => seconds < self.seconds,
            Side::AtMost => seconds <= self.seconds,
        }
    }
}

impl FromStr for Bound {
    type Err = NotABound;

    fn from_str(text: &str) -> Result<Self, NotABound> {
        let text = text.trim();
        let (side, length) = [
            (">=", Side::AtLeast),
            ("<=", Side::AtMost),
            (">", Side::Above),
            ("<", Side::Below),
            ("", Side::AtLeast),
        ]
        .into_iter()
        .find_map(|(sign, side)| Some((side, text.strip_prefix(sign)?.trim())))
        .ok_or(NotABound)?;
        let (digits, unit) = match length.char_indices().next_back().filter(|(_, unit)| unit.is_alphabetic())
        {
            Some((at, unit)) => (length.get(..at).unwrap_or_default(), unit),
            None => (length, 's'),
        };
        let factor = match unit.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(NotABound),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotABound);
        }
        let number: u64 = digits.parse().map_err(|_| NotABound)?;
        Ok(Self { side, seconds: number.checked_mul(factor).ok_or(NotABound)? })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.side {
            Side::Above => ">",
            Side::AtLeast => ">=",
            Side::Below => "<",
            Side::AtMost => "<=",
        };
        write!(f, "{sign}{}s", self.seconds)
    }
}

impl TryFrom<String> for Bound {
    type Error = NotABound;

    fn try_from(text: String) -> Result<Self, NotABound> {
        text.parse()
    }
}

impl From<Bound> for String {
    fn from(bound: Bound) -> Self {
        bound.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_as_people_write_them() {
        for (text, seconds, allowed) in [
            (">1h", 3600, false),
            (">1h", 3601, true),
            ("1h", 3600, true),
            (">= 30m", 1800, true),
            ("<2d", 172_799, true),
            ("<2D", 172_800, false),
            ("<=90s", 90, true),
            ("90", 89, false),
        ] {
            let bound: Bound = text.parse().unwrap();
            assert_eq!(bound.allows(seconds), allowed, "{text} {seconds}");
        }
        for text in
            ["", ">", "h", "1w", "-1s", "1.5h", "１h", ">99999999999999999999s", ">9999999999999999999d"]
        {
            assert_eq!(text.parse::<Bound>(), Err(NotABound), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(text in "(|>|<|>=|<=)[0-9]{1,6}[smhd]?") {
            let bound: Bound = text.parse().unwrap();
            prop_assert_eq!(bound.to_string().parse(), Ok(bound));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = text.parse::<Bound>();
        }
    }
}
