//! The width of text on a terminal.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar as _;

/// The number of columns that `text` takes.
pub(crate) fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(columns_of).sum() }
}

/// `text`, padded with spaces to `width` columns; a longer text stays as it is.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// The first `width` columns of `text`.
pub(crate) fn cut_end(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().scan(0, |used, c| {
        *used += columns_of(c);
        (*used <= width).then_some(c)
    });
    Cow::Owned(kept.collect())
}

/// `text` in `width` columns. A longer text has `...` in its middle; the end keeps the larger part, because the
/// file's name is there.
pub(crate) fn cut_middle(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let Some(kept) = width.checked_sub(DOTS.len()) else { return cut_end(text, width) };
    let head = cut_end(text, kept / 3);
    let reversed: String = text.chars().rev().collect();
    let tail: String = cut_end(&reversed, kept - columns(&head)).chars().rev().collect();
    Cow::Owned(format!("{head}{DOTS}{tail}"))
}

const DOTS: &str = "...";

/// The columns of a character: 0 for combining characters, 2 for wide East Asian characters and emoji (UAX 11), 1 for
/// others, control characters among them.
fn columns_of(c: char) -> usize {
    c.width().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_path_is_cut_in_the_middle() {
        assert_eq!(cut_middle("/srv/data/projects/2026/report.docx", 24), "/srv/da...26/report.docx");
        assert_eq!(cut_middle("short", 24), "short");
        assert_eq!(cut_middle("abcdef", 2), "ab");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(columns("報告.txt"), 8);
        assert_eq!(columns("e\u{301}"), 1);
        assert_eq!(pad("報告", 6), "報告  ");
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in "\\PC{0,60}", width in 0usize..40) {
            prop_assert!(columns(&cut_end(&text, width)) <= width);
            prop_assert!(columns(&cut_middle(&text, width)) <= width);
        }
    }
}
