//! All output: the only module that uses stdout and stderr.

use std::borrow::Cow;

mod console;
mod csv;
mod json;
mod screen;
mod table;
mod width;

pub(crate) use console::Console;
pub(crate) use csv::{Csv, inert};
use json::write_document;
pub(crate) use json::{Of, document, line};
pub(crate) use screen::Screen;
pub(crate) use table::{Align, Column, Cut, Table};
pub(crate) use width::{columns, cut_end, cut_middle, pad};

/// The line below a table's header.
pub(crate) const RULE: &str =
    "-------------------------------------------------------------------------------";

/// Replaces the characters of `text` that a terminal could interpret. Names come from clients, and names on a POSIX
/// disk can contain any byte.
pub(crate) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// [`clean`] for a text that must stay on one line.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace('\n', "\u{fffd}")
}

/// [`clean_line`] without a copy for plain ASCII.
fn cleaned_line(text: &str) -> Cow<'_, str> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { Cow::Borrowed(text) } else { Cow::Owned(clean_line(text)) }
}

/// A time in this machine's time zone, to the second: `2026-03-01 09:30:00`.
pub(crate) fn local_time(time: control::Timestamp) -> String {
    let zoned = jiff::Timestamp::from_millisecond(time.0).map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(|_| time.to_string(), |zoned| zoned.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A number of bytes in at most nine columns.
pub(crate) fn bytes(value: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (value, 0);
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        (whole, unit) = (whole / 1024, larger);
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

/// A line of a block: the label, padded to `width` columns, and the value.
pub(crate) fn labelled(width: usize, label: &str, value: &str) -> String {
    format!("{}\n", format!("{}{}", pad(label, width), clean_line(value)).trim_end())
}

/// As [`labelled`], if there is a value.
pub(crate) fn labelled_if_any(width: usize, label: &str, value: Option<String>) -> String {
    value.map(|value| labelled(width, label, &value)).unwrap_or_default()
}

/// A flag in NET's spelling.
pub(crate) fn yes_or_no(flag: bool) -> &'static str {
    if flag { "Yes" } else { "No" }
}

/// A span of seconds as NET shows it: `HH:MM:SS` below a day, `05D 22H 02M` from there on.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60 % 60, seconds / 3600 % 24, seconds / 86_400);
    if days == 0 {
        format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
    } else {
        format!("{days:02}D {hours:02}H {minutes:02}M")
    }
}

/// The value, or a hyphen if the server did not report it: an empty field or zero would be wrong.
pub(crate) fn or_unknown(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| String::from("-"), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_change_their_form_after_a_day() {
        for (seconds, text) in [
            (0, "00:00:00"),
            (117, "00:01:57"),
            (86_399, "23:59:59"),
            (86_400, "01D 00H 00M"),
            (5 * 86_400 + 22 * 3600 + 2 * 60 + 59, "05D 22H 02M"),
            (100 * 86_400, "100D 00H 00M"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(clean_line("a\u{1b}[2Jb\nc\u{202e}d\u{7f}é"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}é");
        assert_eq!(clean("two\nlines"), "two\nlines");
    }
}
