//! The wildcards of a directory search (MS-FSA 2.1.4.4), in time bounded by pattern times name.

use super::limits::PATTERN_LENGTH_MAX;
use crate::names::upcase;

const WORDS: usize = PATTERN_LENGTH_MAX / 64 + 1;

/// A search pattern made ready for matching many names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    elements: Vec<Element>,
    /// The characters after the last wildcard, with which each name that matches ends; `None` if one of them is not ASCII.
    ending: Option<Vec<u8>>,
}

/// A position in a name of which only some is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// This character, in upper case.
    Char(char),
    /// A digit to the base of 36: one of `0` to `9` and `A` to `Z`.
    Base36,
}

/// The pattern has more elements than [`PATTERN_LENGTH_MAX`]: STATUS_OBJECT_NAME_INVALID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternTooLong;

impl Pattern {
    /// The pattern of a QUERY_DIRECTORY; empty means "everything" (MS-FSA 2.1.5.6.3).
    pub fn new(text: &str) -> Result<Self, PatternTooLong> {
        let mut elements: Vec<Element> = Vec::new();
        for c in text.chars() {
            let element = Element::of(c);
            if element == Element::Star && elements.last() == Some(&Element::Star) {
                continue;
            }
            if elements.len() >= PATTERN_LENGTH_MAX {
                return Err(PatternTooLong);
            }
            elements.push(element);
        }
        if elements.is_empty() {
            elements.push(Element::Star);
        }
        let ending = elements.iter().rev().map_while(|element| match element {
            Element::Char(c) => Some(u8::try_from(*c).ok().filter(u8::is_ascii)),
            _ => None,
        });
        let ending = ending.collect::<Option<Vec<u8>>>().map(|mut ending| {
            ending.reverse();
            ending
        });
        Ok(Self { elements, ending })
    }

    /// True if every name matches.
    pub fn is_all(&self) -> bool {
        self.elements == [Element::Star]
    }

    /// True if any element is a wildcard. Without one at most one name matches, so that a lookup suffices.
    pub fn has_wildcards(&self) -> bool {
        self.elements.iter().any(|element| !matches!(element, Element::Char(_)))
    }

    /// True if `name` matches, ignoring case.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_all() {
            return true;
        }
        if !self.may_end(name) {
            return false;
        }
        let last_dot = name.rfind('.');
        self.run(name.char_indices().map(|(offset, c)| (Symbol::Char(upcase(c)), last_dot == Some(offset))))
    }

    /// True if a name of this form may match; false if none does.
    pub fn may_match(&self, form: &[Symbol]) -> bool {
        let last_dot = form.iter().rposition(|symbol| *symbol == Symbol::Char('.'));
        self.run(form.iter().enumerate().map(|(at, symbol)| (*symbol, last_dot == Some(at))))
    }

    /// False if `name` does not end as all names do that match: a test that takes no time.
    fn may_end(&self, name: &str) -> bool {
        let Some(ending) = &self.ending else { return true };
        let name = name.as_bytes();
        let end = name.len().checked_sub(ending.len()).and_then(|start| name.get(start..));
        // No other character has an ASCII one as its upper case.
        end.is_some_and(|end| end.eq_ignore_ascii_case(ending))
    }

    /// Matches a name, each symbol of which comes with a mark if it is the last dot.
    fn run(&self, name: impl Iterator<Item = (Symbol, bool)>) -> bool {
        if self.elements.len() < 64 {
            self.run_with::<u64>(name)
        } else {
            self.run_with::<[u64; WORDS]>(name)
        }
    }

    /// Tracks all possible positions in the pattern at the same time, so that the cost is bounded.
    fn run_with<P: Positions>(&self, name: impl Iterator<Item = (Symbol, bool)>) -> bool {
        let mut here = P::EMPTY;
        here.insert(0);
        for (symbol, is_last_dot) in name {
            let is_dot = symbol == Symbol::Char('.');
            let mut next = P::EMPTY;
            for (position, element) in self.elements.iter().enumerate() {
                if !here.contains(position) {
                    continue;
                }
                let after = position.saturating_add(1);
                match *element {
                    Element::Char(expected) => {
                        if symbol.can_be(expected) {
                            next.insert(after);
                        }
                    }
                    Element::Any => next.insert(after),
                    Element::Star => {
                        next.insert(position);
                        here.insert(after);
                    }
                    Element::DosStar => {
                        next.insert(if is_last_dot { after } else { position });
                        here.insert(after);
                    }
                    Element::DosAny => {
                        if is_dot {
                            here.insert(after);
                        } else {
                            next.insert(after);
                        }
                    }
                    Element::DosDot => {
                        if is_dot {
                            next.insert(after);
                        }
                    }
                }
            }
            if next.is_empty() {
                return false;
            }
            here = next;
        }
        let trailing = self
            .elements
            .iter()
            .rev()
            .take_while(|element| !matches!(element, Element::Char(_) | Element::Any))
            .count();
        (self.elements.len().saturating_sub(trailing)..=self.elements.len())
            .any(|position| here.contains(position))
    }
}

impl Symbol {
    /// True if the symbol can stand for a character in upper case.
    fn can_be(self, expected: char) -> bool {
        match self {
            Self::Char(c) => c == expected,
            Self::Base36 => expected.is_ascii_digit() || expected.is_ascii_uppercase(),
        }
    }
}

/// True if `text` contains a wildcard of MS-FSA 2.1.4.4.
pub fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '<', '>', '"'])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Char(char),
    /// `?`: one character.
    Any,
    /// `*`: any number of characters.
    Star,
    /// `<`, DOS_STAR: any number of characters up to and with the last dot.
    DosStar,
    /// `>`, DOS_QM: one character, or none before a dot or the end.
    DosAny,
    /// `"`, DOS_DOT: a dot, or nothing at the end.
    DosDot,
}

impl Element {
    fn of(c: char) -> Self {
        match c {
            '*' => Self::Star,
            '?' => Self::Any,
            '<' => Self::DosStar,
            '>' => Self::DosAny,
            '"' => Self::DosDot,
            c => Self::Char(upcase(c)),
        }
    }
}

/// A set of positions in a pattern.
trait Positions {
    const EMPTY: Self;

    fn insert(&mut self, position: usize);
    fn contains(&self, position: usize) -> bool;
    fn is_empty(&self) -> bool;
}

/// The positions in a pattern of less than 64 elements, which has as many positions as bits.
impl Positions for u64 {
    const EMPTY: Self = 0;

    fn insert(&mut self, position: usize) {
        *self |= 1 << (position & 63);
    }

    fn contains(&self, position: usize) -> bool {
        self & 1 << (position & 63) != 0
    }

    fn is_empty(&self) -> bool {
        *self == 0
    }
}

impl Positions for [u64; WORDS] {
    const EMPTY: Self = [0; WORDS];

    fn insert(&mut self, position: usize) {
        if let Some(word) = self.get_mut(position >> 6) {
            *word |= 1 << (position & 63);
        }
    }

    fn contains(&self, position: usize) -> bool {
        self.get(position >> 6).is_some_and(|word| word & (1 << (position & 63)) != 0)
    }

    fn is_empty(&self) -> bool {
        self.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_star_matches_everything() {
        assert!(Pattern::new("*").unwrap().is_all());
        assert!(Pattern::new("***").unwrap().is_all());
        assert!(Pattern::new("").unwrap().is_all());
        assert!(!Pattern::new("*.*").unwrap().is_all());
        assert!(!Pattern::new("a").unwrap().has_wildcards());
    }

    #[test]
    fn star_and_question_mark() {
        assert!(matches("*.TXT", "read me.txt"));
        assert!(!matches("*.txt", "txt"));
        assert!(matches("a?c", "ABC"));
        assert!(!matches("a?c", "ac"));
        assert!(!matches("*.*", "no dot"));
        assert!(matches("größe*", "GRÖSSE.x".replace("SS", "ß").as_str()));
    }

    #[test]
    fn dos_star_ends_with_the_last_dot() {
        assert!(matches("<.txt", "a.b.txt"));
        assert!(matches("<", "name"));
        assert!(!matches("<", "name.txt"));
        assert!(matches("<txt", "a.b.txt"));
        assert!(!matches("<b.txt.x", "a.b.txt"));
    }

    #[test]
    fn dos_question_mark_and_dos_dot() {
        assert!(matches("abc>>>\">>>", "abc.tx"));
        assert!(matches("abc>>>\">>>", "abcdef"));
        assert!(!matches("abc>\"", "abcde"));
        assert!(matches("abc\"", "abc"));
        assert!(matches("abc\"", "abc."));
        assert!(!matches("abc\"d", "abcd"));
    }

    #[test]
    fn the_cost_of_a_pattern_is_bounded() {
        let pattern = "*a".repeat(PATTERN_LENGTH_MAX / 2);
        assert!(!matches(&pattern, &"a".repeat(200)));
        assert_eq!(Pattern::new(&"a".repeat(PATTERN_LENGTH_MAX + 1)), Err(PatternTooLong));
    }

    #[test]
    fn names_in_all_spellings_end_as_the_pattern_does() {
        assert!(matches("*07.TXT", "a name 07.txt") && !matches("*07.txt", "a name 08.txt"));
        assert!(!matches("*07.txt", "7.txt") && !matches("*ab", "b"));
        assert!(matches("*größe", "GRÖßE") && matches("*é.txt", "É.TXT"));
        // These have an upper case of ASCII in Unicode, but not in the comparison of names.
        assert!(!matches("*s", "\u{17f}") && !matches("*i", "\u{131}") && !matches("*k", "\u{212a}"));
    }

    #[test]
    fn a_long_pattern_matches_as_a_short_one() {
        for length in [62, 63, 64, 65, 127, 128, 300] {
            let name = "a".repeat(length);
            for pattern in [format!("{name}*"), format!("{name}?"), format!("{name}>\"<")] {
                let is_longer = pattern.ends_with('?');
                assert_eq!(matches(&pattern, &name), !is_longer, "{length}");
                assert!(matches(&pattern, &format!("{name}b")), "{length}");
                assert!(!matches(&pattern, &name[1..]), "{length}");
            }
        }
    }

    /// The definitions of MS-FSA 2.1.4.4 as a recursion over both strings.
    fn model(pattern: &[char], name: &[char], last_dot: bool) -> bool {
        let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
        let at_last_dot = last_dot && name.first() == Some(&'.') && !name[1..].contains(&'.');
        match first {
            '*' => model(rest, name, last_dot) || (!name.is_empty() && model(pattern, &name[1..], last_dot)),
            '<' if at_last_dot => model(rest, name, last_dot) || model(rest, &name[1..], last_dot),
            '<' => model(rest, name, last_dot) || (!name.is_empty() && model(pattern, &name[1..], last_dot)),
            '>' if name.is_empty() || name[0] == '.' => model(rest, name, last_dot),
            '>' | '?' => !name.is_empty() && model(rest, &name[1..], last_dot),
            '"' if name.is_empty() => model(rest, name, last_dot),
            '"' => name[0] == '.' && model(rest, &name[1..], last_dot),
            c => !name.is_empty() && name[0].eq_ignore_ascii_case(c) && model(rest, &name[1..], last_dot),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn matching_agrees_with_the_recursive_definition(pattern in r#"[aA.*?<>"]{1,7}"#, name in "[abA.]{0,8}") {
            let p: Vec<char> = pattern.chars().collect();
            let n: Vec<char> = name.chars().collect();
            prop_assert_eq!(matches(&pattern, &name), model(&p, &n, true), "{} on {}", pattern, name);
        }

        #[test]
        fn a_form_may_match_if_one_of_its_names_does(pattern in r#"[A-C7.*?<>"~]{1,7}"#, name in "[A-C7.~]{0,8}", known: u8) {
            let form: Vec<Symbol> = name.chars().enumerate().map(|(at, c)| {
                let is_unknown = c.is_ascii_alphanumeric() && known >> at & 1 == 0;
                if is_unknown { Symbol::Base36 } else { Symbol::Char(c) }
            }).collect();
            let pattern = Pattern::new(&pattern).unwrap();
            prop_assert!(!pattern.matches(&name) || pattern.may_match(&form));
            let all_known: Vec<Symbol> = name.chars().map(Symbol::Char).collect();
            prop_assert_eq!(pattern.matches(&name), pattern.may_match(&all_known));
        }

        #[test]
        fn a_literal_matches_itself_only(name in "[a-z.]{1,12}", other in "[a-z.]{1,12}") {
            prop_assert!(matches(&name.to_uppercase(), &name));
            prop_assert_eq!(matches(&name, &other), name == other);
        }
    }
}
