//! Normalization forms of names that count as one name, besides spellings in another case ([`wire::names`]).

use unicode_normalization::UnicodeNormalization;
use wire::FoldedName;
use wire::names::{eq_ignore_case, upcase};

/// The Unicode normalization forms that count as one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forms {
    /// Every spelling is a distinct name, as in Windows.
    #[default]
    Exact,
    /// Canonically equivalent spellings are one name: "ä" equals "a" followed by U+0308.
    Any,
}

/// The folded form of `name` under the given normalization forms.
pub fn fold_in(forms: Forms, name: &str) -> FoldedName {
    match forms {
        Forms::Exact => FoldedName::new(name),
        Forms::Any => FoldedName::new(&decomposed(name).collect::<String>()),
    }
}

/// True if two names differ at most in case and in normalization forms that count as one name.
pub fn equal_in(forms: Forms, left: &str, right: &str) -> bool {
    match forms {
        // ASCII names have only one normalization form.
        Forms::Any if !left.is_ascii() || !right.is_ascii() => decomposed(left).eq(decomposed(right)),
        _ => eq_ignore_case(left, right),
    }
}

fn decomposed(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(not_ascii).nfd().map(|c| if c == YPOGEGRAMMENI { KEPT } else { upcase(c) })
}

/// The combining iota subscript. Its capital is a separate letter; folding it would make alpha with iota
/// subscript equal to alpha and iota.
const YPOGEGRAMMENI: char = '\u{345}';
/// A noncharacter that stands for it in folded names.
const KEPT: char = '\u{fdd3}';

/// Protects three characters beyond ASCII from being decomposed to ASCII: the Greek question mark, the varia
/// and the Kelvin sign. It maps them to noncharacters, which occur in no name.
fn not_ascii(c: char) -> char {
    match c {
        '\u{37e}' => '\u{fdd0}',
        '\u{1fef}' => '\u{fdd1}',
        '\u{212a}' => '\u{fdd2}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonically_equivalent_names_are_equal_if_so_configured() {
        for (left, right) in [
            ("Bär", "Ba\u{308}r"),
            ("BÄR", "ba\u{308}r"),
            ("\u{1e69}", "s\u{323}\u{307}"),
            ("s\u{307}\u{323}", "s\u{323}\u{307}"),
            ("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
            ("Å", "\u{212b}"),
        ] {
            assert!(equal_in(Forms::Any, left, right), "{left} {right}");
            assert_eq!(fold_in(Forms::Any, left), fold_in(Forms::Any, right));
            assert!(!equal_in(Forms::Exact, left, right), "{left} {right}");
        }
        for (left, right) in [("ä", "a"), ("ᾳ", "αι"), ("\u{212a}", "k"), ("\u{37e}", ";"), ("ﬁ", "fi")]
        {
            assert!(!equal_in(Forms::Any, left, right), "{left} {right}");
            assert_ne!(fold_in(Forms::Any, left), fold_in(Forms::Any, right));
        }
    }

    #[test]
    fn names_that_differ_in_case_only_are_equal_in_any_form() {
        // The exceptions: U+0345, and the long s with a dot above, which equals its fold only without
        // decomposition.
        let all = (0..=0xffff).filter_map(char::from_u32);
        for c in all.filter(|c| !matches!(*c, YPOGEGRAMMENI | '\u{1e9b}')) {
            let (one, other) = (String::from(c), String::from(upcase(c)));
            assert!(equal_in(Forms::Any, &one, &other), "{c:?}");
            assert_eq!(fold_in(Forms::Any, &one).as_str().is_ascii(), one.is_ascii(), "{c:?}");
        }
    }
}
