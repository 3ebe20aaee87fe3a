//! The private use characters that stand for characters which Windows forbids in names ("Services for Macintosh"), as
//! Apple's and Linux's clients (`mapposix`) and Samba's `vfs_fruit` and `vfs_catia` use them.

/// The character for a space at the end of a name.
pub const SPACE: char = '\u{f028}';
/// The character for a dot at the end of a name.
pub const DOT: char = '\u{f029}';
/// The character for a backslash, which would separate components.
pub const BACKSLASH: char = '\u{f026}';

/// The distance of the private use characters from the control characters for which they stand.
const CONTROLS: u32 = 0xf000;

/// The private use character for a control character or for one of `" * : < > ? \ |`; all others stand for themselves.
pub fn to_private(c: char) -> char {
    match c {
        '\u{1}'..='\u{1f}' => char::from_u32(CONTROLS.saturating_add(c.into())).unwrap_or(c),
        '"' => '\u{f020}',
        '*' => '\u{f021}',
        ':' => '\u{f022}',
        '<' => '\u{f023}',
        '>' => '\u{f024}',
        '?' => '\u{f025}',
        '\\' => BACKSLASH,
        '|' => '\u{f027}',
        c => c,
    }
}

/// The inverse of [`to_private`].
pub fn from_private(c: char) -> char {
    match c {
        '\u{f001}'..='\u{f01f}' => char::from_u32(u32::from(c).saturating_sub(CONTROLS)).unwrap_or(c),
        '\u{f020}' => '"',
        '\u{f021}' => '*',
        '\u{f022}' => ':',
        '\u{f023}' => '<',
        '\u{f024}' => '>',
        '\u{f025}' => '?',
        BACKSLASH => '\\',
        '\u{f027}' => '|',
        c => c,
    }
}

/// The name with the private use character for a space or a dot at its end, which Windows would remove.
pub fn with_private_end(mut name: String) -> String {
    if let Some(end) = name.pop() {
        name.push(match end {
            ' ' => SPACE,
            '.' => DOT,
            end => end,
        });
    }
    name
}

/// The inverse of [`with_private_end`] for the last character of a name.
pub fn end_from_private(c: char) -> char {
    match c {
        SPACE => ' ',
        DOT => '.',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_characters_and_private_ones_correspond() {
        let forbidden = (1..=0x1f).filter_map(char::from_u32).chain("\"*:<>?\\|".chars());
        let private = (0xf001..=0xf01f).chain(0xf020..=0xf027).filter_map(char::from_u32);
        assert!(forbidden.clone().map(to_private).eq(private.clone()));
        assert!(private.map(from_private).eq(forbidden));
        for c in [' ', '.', '/', 'a', '\0', '\u{7f}', '\u{f000}', SPACE, DOT, '\u{f02a}'] {
            assert_eq!((to_private(c), from_private(c)), (c, c), "{c:?}");
        }
        for (name, mapped) in
            [("a ", "a\u{f028}"), ("a..", "a.\u{f029}"), (" .a", " .a"), ("", ""), (".", "\u{f029}")]
        {
            assert_eq!(with_private_end(name.to_owned()), mapped);
        }
        assert_eq!([SPACE, DOT, 'a'].map(end_from_private), [' ', '.', 'a']);
    }
}
