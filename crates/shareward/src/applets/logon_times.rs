//! The hours at which a user can log on, as `net user /TIMES` has them, in the time zone of this machine.

use control::LogonHours;

/// Reads times such as `M-F,8AM-6PM;Sa,9-12`, or `ALL` or `NEVER`. `None` if the text is none of these.
pub(super) fn parse(text: &str) -> Option<LogonHours> {
    parse_at(text, offset_hours())
}

fn parse_at(text: &str, offset: usize) -> Option<LogonHours> {
    if text.eq_ignore_ascii_case("all") {
        return Some(LogonHours::ALL);
    }
    let mut local = [false; HOURS];
    let is_never = text.eq_ignore_ascii_case("never");
    for unit in text.split(';').filter(|_| !is_never) {
        let parts: Vec<&str> = unit.split(',').map(str::trim).collect();
        let days: Vec<_> = parts.iter().map_while(|part| days(part)).collect();
        let times: Option<Vec<_>> = parts.iter().skip(days.len()).map(|part| hours(part)).collect();
        let times = times.filter(|times| !times.is_empty() && !days.is_empty())?;
        for day in days.into_iter().flatten() {
            for hour in times.iter().cloned().flatten() {
                *local.get_mut(day * 24 + hour)? = true;
            }
        }
    }
    let mut utc = local;
    utc.rotate_left(offset);
    Some(LogonHours::of_flags(&utc))
}

/// The hours as text: a line for each day that has some, or one word.
pub(super) fn lines(hours: Option<LogonHours>) -> Vec<String> {
    lines_at(hours, offset_hours())
}

fn lines_at(hours: Option<LogonHours>, offset: usize) -> Vec<String> {
    let Some(hours) = hours.filter(|hours| hours.limited().is_some()) else {
        return vec![String::from("All")];
    };
    let mut local = hours.flags();
    local.rotate_right(offset);
    let mut lines = Vec::new();
    for (name, day) in DAYS.iter().map(|(_, name)| name).zip(local.chunks(24)) {
        let mut begin = None;
        for (hour, is_permitted) in day.iter().copied().chain([false]).enumerate() {
            match (begin, is_permitted) {
                (None, true) => begin = Some(hour),
                (Some(from), false) => {
                    lines.push(format!("{name} {} - {}", clock(from), clock(hour)));
                    begin = None;
                }
                _ => {}
            }
        }
    }
    if lines.is_empty() { vec![String::from("None")] } else { lines }
}

/// An hour as on the dial of a clock.
fn clock(hour: usize) -> String {
    let half = if hour % 24 < 12 { "AM" } else { "PM" };
    let hour = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    format!("{hour}:00 {half}")
}

/// The days of `M`, `Monday` or `M-F`, counted from Sunday.
fn days(text: &str) -> Option<Vec<usize>> {
    let one = |text: &str| {
        DAYS.iter()
            .position(|(short, long)| text.eq_ignore_ascii_case(short) || text.eq_ignore_ascii_case(long))
    };
    let Some((from, to)) = text.split_once('-') else { return Some(vec![one(text)?]) };
    let (from, to) = (one(from)?, one(to)?);
    let last = if to < from { to + DAYS.len() } else { to };
    Some((from..=last).map(|day| day % DAYS.len()).collect())
}

/// The hours of `8AM-5PM` or `8:00-17:00`; the last one is excluded.
fn hours(text: &str) -> Option<std::ops::Range<usize>> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (hour(from)?, hour(to)?);
    // Midnight at the end of the day.
    let to = if to == 0 { 24 } else { to };
    (from < to).then_some(from..to)
}

/// A full hour, with 12 or 24 hours a day.
fn hour(text: &str) -> Option<usize> {
    let text = text.trim().to_ascii_lowercase().replace('.', "");
    let (number, half) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(number), _) => (number, Some(0)),
        (_, Some(number)) => (number, Some(12)),
        _ => (text.as_str(), None),
    };
    let number = number.trim();
    let digits = number.strip_suffix(":00").unwrap_or(number);
    let hour: usize = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    match half {
        None => (hour <= 24).then_some(hour),
        Some(half) => (1..=12).contains(&hour).then_some(hour % 12 + half),
    }
}

/// The offset of this machine's time from UTC, in full hours of the week: only hours of UTC can be stored.
fn offset_hours() -> usize {
    let seconds = jiff::Zoned::now().offset().seconds();
    usize::try_from(seconds.div_euclid(3600).rem_euclid(HOURS_I32)).unwrap_or(0)
}

/// The hours of a week.
const HOURS: usize = 7 * 24;
const HOURS_I32: i32 = 7 * 24;

/// The days with their abbreviations.
const DAYS: [(&str, &str); 7] = [
    ("Su", "Sunday"),
    ("M", "Monday"),
    ("T", "Tuesday"),
    ("W", "Wednesday"),
    ("Th", "Thursday"),
    ("F", "Friday"),
    ("Sa", "Saturday"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown_for_each_day() {
        for (text, shown) in [
            ("M,8-17", "Monday 8:00 AM - 5:00 PM"),
            ("m,8AM-5P.M.;Saturday,12am-1am", "Monday 8:00 AM - 5:00 PM\nSaturday 12:00 AM - 1:00 AM"),
            (
                "T-W,9:00-12,13-24",
                "Tuesday 9:00 AM - 12:00 PM\nTuesday 1:00 PM - 12:00 AM\nWednesday 9:00 AM - 12:00 PM\nWednesday 1:00 PM - 12:00 AM",
            ),
            ("Sa-Su,0-24", "Sunday 12:00 AM - 12:00 AM\nSaturday 12:00 AM - 12:00 AM"),
            ("su-sa,0-24", "All"),
            ("all", "All"),
            ("Never", "None"),
        ] {
            let hours = parse_at(text, 0).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(lines_at(Some(hours), 0).join("\n"), shown, "{text}");
        }
        for text in [
            "M",
            "8-17",
            "M,17-8",
            "M,8-8",
            "M,13pm-2pm",
            "M,8:30-9",
            "X,8-9",
            "M,8-25",
            "",
            ";",
            "M,+8-9",
            "M,8-9,T",
        ] {
            assert_eq!(parse_at(text, 0), None, "{text}");
        }
    }

    #[test]
    fn hours_are_stored_in_utc() {
        // One hour east of Greenwich, Monday begins at 23 o'clock of Sunday.
        let hours = parse_at("M,0-1", 1).unwrap();
        assert_eq!(hours.flags().iter().position(|flag| *flag), Some(23));
        assert_eq!(lines_at(Some(hours), 1), ["Monday 12:00 AM - 1:00 AM"]);
        // West of it, in the other direction.
        let hours = parse_at("Sa,23-24", HOURS - 5).unwrap();
        assert_eq!(hours.flags().iter().position(|flag| *flag), Some(4));
    }
}
