//! Comparison of names as in Windows: simple upper case in the basic plane, one character to one (MS-FSA
//! 2.1.4.4 with the upcase table of NTFS).

use unicode_normalization::UnicodeNormalization;

/// The Unicode normalization forms that count as one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forms {
    /// Every spelling is a distinct name, as in Windows.
    #[default]
    Exact,
    /// Canonically equivalent spellings are one name: "ä" equals "a" followed by U+0308.
    Any,
}

/// The folded character that stands for `c` in comparisons.
///
/// No character beyond ASCII folds into ASCII (dotless i, long s, Kelvin), so an ASCII name matches only
/// ASCII names.
pub fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    if u32::from(c) > 0xffff {
        return c;
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) if !one.is_ascii() && u32::from(one) <= 0xffff => one,
        _ => c,
    }
}

/// The folded form of `name`, which is equal for equal names.
pub fn fold(name: &str) -> String {
    name.chars().map(fold_char).collect()
}

/// The folded form of `name` under the given normalization forms.
pub fn fold_in(forms: Forms, name: &str) -> String {
    match forms {
        Forms::Exact => fold(name),
        Forms::Any => folded_decomposed(name).collect(),
    }
}

/// True if two names differ at most in case and in normalization forms that count as one name.
pub fn equal_in(forms: Forms, left: &str, right: &str) -> bool {
    match forms {
        // ASCII names have only one normalization form.
        Forms::Any if !left.is_ascii() || !right.is_ascii() => {
            folded_decomposed(left).eq(folded_decomposed(right))
        }
        _ => equal(left, right),
    }
}

fn folded_decomposed(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(not_ascii).nfd().map(|c| if c == YPOGEGRAMMENI { c } else { fold_char(c) })
}

/// The combining iota subscript. Its capital is a separate letter; folding it would make alpha with iota
/// subscript equal to alpha and iota.
const YPOGEGRAMMENI: char = '\u{345}';

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

/// True if two names differ at most in case.
pub fn equal(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    left.chars().map(fold_char).eq(right.chars().map(fold_char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_as_in_windows() {
        for (left, right) in [("abc", "ABC"), ("äöü", "ÄÖÜ"), ("страница", "СТРАНИЦА"), ("ÿ", "Ÿ")]
        {
            assert!(equal(left, right), "{left} {right}");
            assert_eq!(fold(left), fold(right));
        }
        for (left, right) in
            [("straße", "STRASSE"), ("ı", "I"), ("ſ", "S"), ("𐐨", "𐐀"), ("a", "b"), ("a", "aa")]
        {
            assert!(!equal(left, right), "{left} {right}");
            assert_ne!(fold(left), fold(right));
        }
    }

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
            let (one, other) = (String::from(c), String::from(fold_char(c)));
            assert!(equal_in(Forms::Any, &one, &other), "{c:?}");
            assert_eq!(fold_in(Forms::Any, &one).is_ascii(), one.is_ascii(), "{c:?}");
        }
    }

    #[test]
    fn folding_is_idempotent() {
        for c in (0..=0xffff).filter_map(char::from_u32) {
            let once = fold_char(c);
            assert!(fold_char(once) == once, "{c:?}");
        }
    }
}
