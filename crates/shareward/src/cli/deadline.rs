//! Deadlines in options: a length of time, or a time of today.

use std::time::Duration;

use super::length::seconds;
use crate::failure::Numbered;
use crate::messages;

/// The time until the deadline `text` of the option `shown`: `10m`, `2h`, or `18:00`, which is a time of today in this
/// machine's time zone.
pub(crate) fn deadline(text: &str, shown: &str) -> Result<Duration, Numbered> {
    until(text, &jiff::Zoned::now())
        .map_err(|why| Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(shown.to_owned()).hint(why))
}

fn until(text: &str, now: &jiff::Zoned) -> Result<Duration, String> {
    let wrong =
        || String::from("a deadline is a length of time, such as 90s, 10m or 2h, or a time such as 18:00");
    let length = match text.split_once(':') {
        None => Duration::from_secs(seconds(text).ok_or_else(wrong)?),
        Some((hour, minute)) => {
            let number = |part: &str, digits: std::ops::RangeInclusive<usize>| {
                let is_number = digits.contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
                is_number.then(|| part.parse::<i8>().ok()).flatten()
            };
            let (hour, minute) = number(hour, 1..=2).zip(number(minute, 2..=2)).ok_or_else(wrong)?;
            let time = jiff::civil::Time::new(hour, minute, 0, 0).map_err(|_| wrong())?;
            let at = now.date().to_datetime(time).to_zoned(now.time_zone().clone()).map_err(|_| wrong())?;
            let milliseconds =
                at.timestamp().as_millisecond().saturating_sub(now.timestamp().as_millisecond());
            if milliseconds <= 0 {
                return Err(format!("{text} is over today; give a later time, or a length such as 10m"));
            }
            Duration::from_secs(u64::try_from(milliseconds).unwrap_or(0).div_ceil(1000))
        }
    };
    if length.as_secs() > control::limits::DRAIN_SECONDS_MAX {
        return Err(format!(
            "a deadline is at most {} days away",
            control::limits::DRAIN_SECONDS_MAX / 86_400
        ));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Result<u64, String> {
        let now: jiff::Zoned = "2026-11-30T17:30:00+01:00[Europe/Berlin]".parse().unwrap();
        until(text, &now).map(|it| it.as_secs())
    }

    #[test]
    fn deadlines_are_lengths_or_times_of_today() {
        for (text, expected) in [
            ("10m", 600),
            ("0", 0),
            ("90s", 90),
            ("7d", 604_800),
            ("18:00", 1_800),
            ("17:31", 60),
            ("23:59", 23_340),
        ] {
            assert_eq!(at(text), Ok(expected), "{text}");
        }
        for text in
            ["", "soon", "-5m", "8d", "24:00", "18:60", "18:0", "1800:", ":30", "18:00:00", "+1:00", "6pm"]
        {
            assert!(at(text).is_err(), "{text}");
        }
        for text in ["17:30", "9:00", "09:00"] {
            assert!(at(text).unwrap_err().contains("is over today"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = at(&text);
        }
    }
}
