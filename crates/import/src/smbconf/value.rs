//! The values of parameters.

/// A yes or no, as Samba reads it.
pub fn boolean(value: &[u8]) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if is(&["yes", "true", "on", "1"]) {
        Some(true)
    } else if is(&["no", "false", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A number as C's `strtol` with base 0 reads it: in decimal, octal (`0`) or hexadecimal (`0x`), up to the first
/// character that is no digit. `None` without any digit.
pub fn integer(value: &[u8]) -> Option<i64> {
    let (negative, digits) = match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let mut number: Option<i64> = None;
    for digit in digits.iter().map_while(|digit| char::from(*digit).to_digit(radix)) {
        number = Some(number.unwrap_or(0).saturating_mul(i64::from(radix)).saturating_add(i64::from(digit)));
    }
    number.map(|number| if negative { number.saturating_neg() } else { number })
}

/// Permission bits: the octal digits at the beginning. `None` if there is none.
pub fn octal(value: &[u8]) -> Option<u32> {
    let digits: Vec<u32> = value.iter().map_while(|digit| char::from(*digit).to_digit(8)).collect();
    (!digits.is_empty())
        .then(|| digits.iter().fold(0u32, |mode, digit| mode.wrapping_mul(8).wrapping_add(*digit)))
}

/// The value of an enumeration in lower case, with one spelling for each meaning. `None` if it is not one of `choices`,
/// which `|` separates.
pub fn choice(value: &[u8], choices: &str) -> Option<String> {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let known: Vec<String> = choices.split('|').map(str::to_ascii_lowercase).collect();
    if !known.contains(&value) {
        return None;
    }
    let is_signing = known.iter().any(|it| it == "enforced");
    Some(String::from(match value.as_str() {
        "false" | "0" | "off" | "disabled" => "no",
        "true" | "1" | "on" | "yes" | "enabled" | "auto" if is_signing => "if_required",
        "mandatory" | "force" | "forced" | "enforced" => "required",
        "true" | "1" | "on" => "yes",
        "smb3_11" => "smb3",
        "windows and unix" => "yes",
        other => return Some(other.to_owned()),
    }))
}

/// The words of a list. Spaces, commas and semicolons separate; quotes keep words with spaces together.
pub fn list(value: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted = false;
    for byte in value {
        match byte {
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            b' ' | b'\t' | b',' | b';' | b'\n' | b'\r' if !quoted => words.extend(word.take()),
            byte => word.get_or_insert_default().push(*byte),
        }
    }
    words.extend(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The value without the quotes around it.
pub fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'"') => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_in_c() {
        for (text, number) in [
            ("12abc", Some(12)),
            ("0777", Some(511)),
            ("0x10", Some(16)),
            ("-5", Some(-5)),
            ("abc", None),
            ("0x", Some(0)),
        ] {
            assert_eq!(integer(text.as_bytes()), number, "{text}");
        }
        assert_eq!((octal(b"0664x"), octal(b"8"), octal(b"")), (Some(0o664), None, None));
    }

    #[test]
    fn words_of_lists_may_have_quotes() {
        let words = |text: &str| -> Vec<String> {
            list(text.as_bytes()).into_iter().map(|it| String::from_utf8(it).unwrap()).collect()
        };
        assert_eq!(
            words(r#""a b", @"c d" x"y z";+w "un closed"#),
            ["a b", "@c d", "xy z", "+w", "un closed"]
        );
        assert!(words(" , ;\t").is_empty());
    }
}
