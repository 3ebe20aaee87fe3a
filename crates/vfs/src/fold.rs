//! How names compare: simple upper case of the basic plane, one character to one, as Windows does
//! (MS-FSA 2.1.4.4 with the upcase table of NTFS).

/// The character that `c` compares as.
///
/// No character beyond ASCII folds into ASCII (dotless i, long s, Kelvin), so that an ASCII name only ever
/// matches ASCII names.
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

/// `name` as it compares.
pub fn fold(name: &str) -> String {
    name.chars().map(fold_char).collect()
}

/// Whether two names are equal but for case.
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
    fn compares_as_windows_does() {
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
    fn folding_is_idempotent() {
        for c in (0..=0xffff).filter_map(char::from_u32) {
            let once = fold_char(c);
            assert!(fold_char(once) == once, "{c:?}");
        }
    }
}
