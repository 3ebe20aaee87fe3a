//! Short names of eight and three characters (MS-FSCC 2.1.5.2.1), for clients that request them.
//!
//! They are derived from the long name alone and not stored, so that a file always has the same short name. A
//! derived name consists of a character of the name, five digits, a tilde, a digit, and the part of the
//! extension that fits. The digits (base 36) are a hash, so that two names in a directory practically never
//! share a short name; if they do, the short name stands for the first one that a search meets.

use wire::fscc::Symbol;
use wire::names::upcase;

/// The lengths of a short base name and extension.
const BASE_CHARS: usize = 8;
const EXTENSION_CHARS: usize = 3;

/// The position of the tilde in a derived base name.
const TILDE: usize = 6;

const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The short name of a file: its name in upper case if it is short enough, otherwise a derived one. `None`
/// for `.` and `..`.
pub fn short_name(name: &str) -> Option<String> {
    match name {
        "" | "." | ".." => None,
        _ if is_short(name) => Some(name.to_ascii_uppercase()),
        _ => Some(derived(name)),
    }
}

/// The short name, if it differs from the name.
pub fn other_short_name(name: &str) -> Option<String> {
    (!is_short(name)).then(|| short_name(name)).flatten()
}

/// True if `name` has the form of a derived short name, in any case.
pub fn may_be_derived(name: &str) -> bool {
    let base = name.split_once('.').map_or(name, |(base, _)| base);
    base.len() == BASE_CHARS && base.as_bytes().get(TILDE) == Some(&b'~') && is_short(name)
}

/// True if `short`, which has the form of a derived name, is the short name of `name`.
pub fn stands_for(short: &str, name: &str) -> bool {
    !is_short(name) && derived(name).eq_ignore_ascii_case(short)
}

/// True if the name is itself a short name, in any case.
fn is_short(name: &str) -> bool {
    let (base, extension) = name.split_once('.').unwrap_or((name, "x"));
    let fits = |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(is_allowed);
    fits(base, BASE_CHARS) && fits(extension, EXTENSION_CHARS)
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// The form of the derived short name of a file, which takes less time than the name: its digits are not known.
#[derive(Clone, Copy, Debug)]
pub struct ShortNameForm {
    symbols: [Symbol; FORM_SYMBOLS],
    length: usize,
}

const FORM_SYMBOLS: usize = BASE_CHARS + 1 + EXTENSION_CHARS;

impl ShortNameForm {
    /// The form of the short name of a file, if that differs from the file's name.
    pub fn of(name: &str) -> Option<Self> {
        let has_none = matches!(name, "" | "." | "..") || is_short(name);
        (!has_none).then(|| Self::derived(name))
    }

    fn derived(name: &str) -> Self {
        let stem = name.trim_start_matches('.');
        let (base, extension) = stem.rsplit_once('.').unwrap_or((stem, ""));
        let mut form = Self { symbols: [Symbol::Base36; FORM_SYMBOLS], length: 0 };
        let first = allowed(base).next().unwrap_or(Symbol::Char('_'));
        let digits = std::iter::repeat_n(Symbol::Base36, TILDE.saturating_sub(1));
        let base = std::iter::once(first).chain(digits).chain([Symbol::Char('~'), Symbol::Base36]);
        let extension = allowed(extension).take(EXTENSION_CHARS);
        let dot = extension.clone().next().map(|_| Symbol::Char('.'));
        for (place, symbol) in form.symbols.iter_mut().zip(base.chain(dot).chain(extension)) {
            *place = symbol;
            form.length = form.length.saturating_add(1);
        }
        form
    }

    /// The symbols of the form.
    pub fn symbols(&self) -> &[Symbol] {
        self.symbols.get(..self.length).unwrap_or_default()
    }
}

/// The characters of a part of a name that a short name can have, in upper case.
fn allowed(part: &str) -> impl Iterator<Item = Symbol> + Clone {
    let bytes = part.bytes().filter(|byte| is_allowed(*byte));
    bytes.map(|byte| Symbol::Char(char::from(byte.to_ascii_uppercase())))
}

fn derived(name: &str) -> String {
    let mut rest = hash(name);
    let mut digits = [b'0'; BASE_CHARS];
    for digit in &mut digits {
        let index = usize::try_from(rest.rem_euclid(DIGITS.len() as u64)).unwrap_or_default();
        *digit = DIGITS.get(index).copied().unwrap_or(b'0');
        rest = rest.div_euclid(DIGITS.len() as u64);
    }
    // The last digit follows the tilde.
    let digits = digits.iter().take(TILDE.saturating_sub(1)).chain(digits.last());
    let mut digits = digits.map(|digit| char::from(*digit));
    let form = ShortNameForm::derived(name);
    let symbols = form.symbols().iter();
    symbols.filter_map(|symbol| if let Symbol::Char(c) = symbol { Some(*c) } else { digits.next() }).collect()
}

/// The FNV-1a hash of the folded name: every spelling has the same short name.
fn hash(name: &str) -> u64 {
    name.chars().fold(0xcbf2_9ce4_8422_2325, |hash: u64, c| {
        (hash ^ u64::from(u32::from(upcase(c)))).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_are_short_are_their_own_short_names() {
        for name in ["A", "readme.txt", "AUTOEXEC.BAT", "~a$b", "12345678.123"] {
            assert_eq!(short_name(name).unwrap(), name.to_uppercase());
            assert_eq!(other_short_name(name), None, "{name}");
        }
        assert_eq!((short_name("."), short_name("..")), (None, None));
    }

    #[test]
    fn long_names_get_short_names_of_the_right_form() {
        let long = ["a long name.txt", ".profile", "a.b.c", "tool.java", "name.", "a+b", "äöü", "x y", "…"];
        for name in long {
            let short = other_short_name(name).unwrap();
            assert!(is_short(&short) && may_be_derived(&short), "{name}: {short}");
            assert!(stands_for(&short.to_lowercase(), name));
            assert_eq!(other_short_name(&name.to_uppercase()).unwrap(), short);
        }
        assert!(other_short_name("a long name.text").unwrap().ends_with(".TEX"));
        assert!(other_short_name("Long name").unwrap().starts_with('L'));
        assert!(!may_be_derived("readme.txt") && !may_be_derived("abcdef~12"));
    }

    #[test]
    fn short_names_are_those_of_earlier_versions() {
        for (name, short) in [
            ("a long name.txt", "AVLYAX~B.TXT"),
            (".profile", "P635HN~J"),
            ("…", "_LPOGT~C"),
            ("x.y.z.conf", "XQ1PJU~U.CON"),
        ] {
            assert_eq!(other_short_name(name).unwrap(), short, "{name}");
        }
    }

    #[test]
    fn the_form_is_that_of_the_short_name() {
        for name in ["a long name.txt", ".profile", "a.b.c", "tool.java", "name.", "a+b", "äöü", "…", "..x y"]
        {
            let form = ShortNameForm::of(name).unwrap();
            let short = other_short_name(name).unwrap();
            assert_eq!(short.chars().count(), form.symbols().len(), "{name}");
            for (c, symbol) in short.chars().zip(form.symbols()) {
                match symbol {
                    Symbol::Char(known) => assert_eq!(c, *known, "{name}"),
                    Symbol::Base36 => assert!(DIGITS.contains(&u8::try_from(c).unwrap()), "{name}"),
                }
            }
        }
        for name in ["", ".", "..", "readme.txt"] {
            assert!(ShortNameForm::of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn names_that_differ_a_little_do_not_collide() {
        let shorts: HashSet<_> = (0..20_000)
            .map(|number| other_short_name(&format!("A document {number}.txt")).unwrap())
            .collect();
        assert!(shorts.len() >= 19_999, "{}", shorts.len());
    }
}
