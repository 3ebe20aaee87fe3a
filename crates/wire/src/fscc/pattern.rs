//! The wildcards of a directory search (MS-FSA 2.1.4.4), in time bounded by pattern times name.

use super::limits::PATTERN_LENGTH_MAX;
use crate::names::upcase;

const WORDS: usize = PATTERN_LENGTH_MAX / 64 + 1;

/// A search pattern made ready for matching many names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    elements: Vec<Element>,
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
        Ok(Self { elements })
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
    ///
    /// Tracks all possible positions in the pattern at the same time, so that the cost is bounded.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_all() {
            return true;
        }
        let last_dot = name.rfind('.');
        let mut here = Positions::EMPTY;
        here.insert(0);
        for (offset, c) in name.char_indices() {
            let is_dot = c == '.';
            let is_last_dot = last_dot == Some(offset);
            let c = upcase(c);
            let mut next = Positions::EMPTY;
            for (position, element) in self.elements.iter().enumerate() {
                if !here.contains(position) {
                    continue;
                }
                let after = position.saturating_add(1);
                match *element {
                    Element::Char(expected) => {
                        if expected == c {
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
struct Positions([u64; WORDS]);

impl Positions {
    const EMPTY: Self = Self([0; WORDS]);

    fn insert(&mut self, position: usize) {
        if let Some(word) = self.0.get_mut(position >> 6) {
            *word |= 1 << (position & 63);
        }
    }

    fn contains(&self, position: usize) -> bool {
        self.0.get(position >> 6).is_some_and(|word| word & (1 << (position & 63)) != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
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
        fn a_literal_matches_itself_only(name in "[a-z.]{1,12}", other in "[a-z.]{1,12}") {
            prop_assert!(matches(&name.to_uppercase(), &name));
            prop_assert_eq!(matches(&name, &other), name == other);
        }
    }
}
