//! Lengths of time in options.

use std::time::Duration;

use super::{Switch, Words};
use crate::failure::Numbered;
use crate::messages;

/// The length of time that the switch gives: `90s`, `5m`, `2h` or `1d`; a number alone is in seconds.
pub(crate) fn length(words: &Words, switch: &Switch) -> Result<Option<Duration>, Numbered> {
    let Some(text) = words.value(switch) else { return Ok(None) };
    let seconds = seconds(text).ok_or_else(|| {
        Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
            .about(switch.shown())
            .hint("a length of time is written as 90s, 5m, 2h or 1d")
    })?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// The seconds of a length of time.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (digits, factor) = match text.char_indices().next_back()? {
        (at, 's' | 'S') => (text.get(..at)?, 1),
        (at, 'm' | 'M') => (text.get(..at)?, 60),
        (at, 'h' | 'H') => (text.get(..at)?, 3600),
        (at, 'd' | 'D') => (text.get(..at)?, 86_400),
        _ => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    (seconds <= SECONDS_MAX).then_some(seconds)
}

/// Ten years, which no deadline computed from it overflows.
const SECONDS_MAX: u64 = 3650 * 86_400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_as_people_write_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("90s", Some(90)),
            ("5M", Some(300)),
            ("2h", Some(7200)),
            ("1d", Some(86_400)),
            ("3650d", Some(SECONDS_MAX)),
            ("3651d", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            (">1h", None),
            ("1.5h", None),
            ("1w", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = seconds(&text);
        }
    }
}
