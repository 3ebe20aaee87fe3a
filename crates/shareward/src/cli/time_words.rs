//! Times as people write them, in this machine's time zone.

use control::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan as _, Zoned};

use super::Switch;
use crate::failure::Numbered;
use crate::messages;

/// The forms, for messages and the help.
const FORMS: &str = "write a time as 14:02, 'yesterday 14:02', 2026-11-30T14:02, 2026-11-30 or '2h ago'";

/// The time in the value of a switch.
pub(crate) fn time(switch: &Switch, text: &str) -> Result<Timestamp, Numbered> {
    parse(text, &Zoned::now()).map_err(|why| {
        let hint = if why.is_empty() { FORMS.to_owned() } else { format!("{why}; {FORMS}") };
        Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(switch.shown()).hint(hint)
    })
}

/// The time that a text means at the moment `now`; an error is a reason, or empty.
fn parse(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let text = text.trim().to_ascii_lowercase();
    if text == "now" {
        return Ok(Timestamp(now.timestamp().as_millisecond()));
    }
    if let Some(time) = Timestamp::parse(&text.to_ascii_uppercase()) {
        return Ok(time);
    }
    if let Some(ago) = ago(&text, now) {
        return ago;
    }
    let (day, clock) =
        match text.split_once(['t', ' ']).filter(|(day, _)| day.starts_with(|c: char| c.is_ascii_digit())) {
            Some((day, clock)) => (Some(day), Some(clock.trim())),
            None => match text.split_once(' ') {
                Some((day, clock)) => (Some(day), Some(clock.trim())),
                None if text.contains(':') => (None, Some(text.as_str())),
                None => (Some(text.as_str()), None),
            },
        };
    let day = match day {
        None | Some("today") => now.date(),
        Some("yesterday") => now.date().yesterday().map_err(|error| error.to_string())?,
        Some(day) => date(day)?,
    };
    let clock = clock.map_or(Ok(Time::midnight()), clock_time)?;
    let zoned = DateTime::from_parts(day, clock).to_zoned(now.time_zone().clone());
    let zoned = zoned.map_err(|error| error.to_string())?;
    Ok(Timestamp(zoned.timestamp().as_millisecond()))
}

/// A span before `now`: `2h ago`, `2h`, `3 days ago`. `None` if the text is no span.
fn ago(text: &str, now: &Zoned) -> Option<Result<Timestamp, String>> {
    let span = text.strip_suffix("ago").unwrap_or(text).trim();
    let end = span.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (number, unit) = span.split_at_checked(end)?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        _ => return None,
    };
    let before = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds));
    let before = before.ok_or_else(|| format!("{number} is too large"));
    Some(before.and_then(|seconds| {
        let time = now.timestamp().checked_sub(SignedDuration::from_secs(seconds));
        time.map(|time| Timestamp(time.as_millisecond())).map_err(|_| format!("{number} is too large"))
    }))
}

/// A date like `2026-11-30`.
fn date(text: &str) -> Result<Date, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return Err(String::new()) };
    if year.len() != 4 {
        return Err(String::new());
    }
    let (year, month, day) = (year.parse(), month.parse(), day.parse());
    let (Ok(year), Ok(month), Ok(day)) = (year, month, day) else { return Err(String::new()) };
    Date::new(year, month, day).map_err(|_| format!("{text} is not a day"))
}

/// A time of the day like `14:02` or `14:02:30`.
fn clock_time(text: &str) -> Result<Time, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |text: &str| text.parse::<i8>().map_err(|_| String::new());
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (number(hour)?, number(minute)?, 0),
        [hour, minute, second] => (number(hour)?, number(minute)?, number(second)?),
        _ => return Err(String::new()),
    };
    Time::new(hour, minute, second, 0).map_err(|_| format!("{text} is not a time of the day"))
}

/// True if the time has not come yet, even if the clocks of two machines differ a little.
pub(crate) fn is_future(time: Timestamp) -> bool {
    let soon = Zoned::now().checked_add(1.minute()).map_or(i64::MAX, |it| it.timestamp().as_millisecond());
    time.0 > soon
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday in Berlin, where the clock is an hour before UTC.
    fn at(text: &str) -> Result<String, String> {
        let now: Zoned = "2026-11-30T16:00:00+01:00[+01:00]".parse().unwrap();
        parse(text, &now).map(|time| time.to_string())
    }

    #[test]
    fn times_have_the_forms_that_people_write() {
        for (text, expected) in [
            ("14:02", "2026-11-30T13:02:00.000Z"),
            ("9:05:30", "2026-11-30T08:05:30.000Z"),
            ("today 14:02", "2026-11-30T13:02:00.000Z"),
            ("Yesterday 14:02", "2026-11-29T13:02:00.000Z"),
            ("yesterday", "2026-11-28T23:00:00.000Z"),
            ("2026-11-30T14:02", "2026-11-30T13:02:00.000Z"),
            ("2026-11-30 14:02:07", "2026-11-30T13:02:07.000Z"),
            ("2026-11-30T14:02:00Z", "2026-11-30T14:02:00.000Z"),
            ("2026-11-30T14:02:00.5+02:00", "2026-11-30T12:02:00.500Z"),
            ("2026-11-01", "2026-10-31T23:00:00.000Z"),
            ("now", "2026-11-30T15:00:00.000Z"),
            ("2h ago", "2026-11-30T13:00:00.000Z"),
            ("90m", "2026-11-30T13:30:00.000Z"),
            ("3 days ago", "2026-11-27T15:00:00.000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn words_that_are_no_time_are_refused_with_the_reason() {
        for (text, why) in [
            ("25:00", "25:00 is not a time of the day"),
            ("2026-02-30", "2026-02-30 is not a day"),
            ("yesterday 12:61", "12:61 is not a time of the day"),
            ("99999999999999999999h ago", "99999999999999999999 is too large"),
            ("tomorrow", ""),
            ("noonish", ""),
            ("", ""),
            ("5 o'clock", ""),
            ("14", ""),
            ("1:2:3:4", ""),
        ] {
            assert_eq!(at(text), Err(why.to_owned()), "{text}");
        }
    }
}
