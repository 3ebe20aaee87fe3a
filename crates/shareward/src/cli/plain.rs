//! The grammar of the programs that are not NET: whole names of switches, their values in the next word.

/// A switch, and whether a value follows it.
pub(crate) type Known = (&'static str, Value);

/// What follows a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing.
    None,
    /// A word.
    Needed,
    /// A word, unless that is a switch.
    Optional,
}

/// A command line, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// What is not a switch, in order.
    pub(crate) operands: Vec<String>,
    given: Vec<(&'static str, Option<String>)>,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// There is no such switch.
    Unknown(String),
    /// The switch needs a value.
    Lacks(&'static str),
    /// The switch is there more than once.
    Twice(&'static str),
}

impl Line {
    /// Sorts `words`. A switch begins with a character of `marks`; a word that begins so and is none is wrong, unless it
    /// can only be a path.
    pub(crate) fn of(words: &[String], marks: &[char], known: &[Known]) -> Result<Self, Wrong> {
        let mut line = Self::default();
        let switch = |word: &str| {
            let name = word.strip_prefix(marks)?;
            known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some((name, value)) = switch(word) else {
                let path = word.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
                if word.len() > 1 && word.starts_with(marks) && !path {
                    return Err(Wrong::Unknown(word.clone()));
                }
                line.operands.push(word.clone());
                continue;
            };
            if line.has(name) {
                return Err(Wrong::Twice(name));
            }
            let next = match value {
                Value::None => None,
                Value::Needed | Value::Optional => words.next_if(|word| switch(word).is_none()),
            };
            if *value == Value::Needed && next.is_none() {
                return Err(Wrong::Lacks(name));
            }
            line.given.push((name, next.cloned()));
        }
        Ok(line)
    }

    /// Whether the switch is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// The value of the switch.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == name)?.1.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: &[Known] = &[("s", Value::Needed), ("p", Value::Optional), ("nh", Value::None)];

    fn sorted(line: &str) -> Result<Line, Wrong> {
        Line::of(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &['/', '-'], KNOWN)
    }

    #[test]
    fn values_are_the_next_word() {
        let line = sorted(r"/S nas -p /NH \\host /srv/x - y").unwrap();
        assert_eq!(line.value("s"), Some("nas"));
        assert!(line.has("p") && line.value("p").is_none() && line.has("nh"));
        assert_eq!(line.operands, [r"\\host", "/srv/x", "-", "y"]);
        assert_eq!(sorted("/p secret").unwrap().value("p"), Some("secret"));
        assert_eq!(sorted("/s /srv/x").unwrap().value("s"), Some("/srv/x"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(sorted("/foo"), Err(Wrong::Unknown("/foo".into())));
        assert_eq!(sorted("/s"), Err(Wrong::Lacks("s")));
        assert_eq!(sorted("/s /nh"), Err(Wrong::Lacks("s")));
        assert_eq!(sorted("/nh -nh"), Err(Wrong::Twice("nh")));
    }

    proptest! {
        #[test]
        fn any_words_are_sorted_or_refused(words in prop::collection::vec("[-/\\\\a-zé ]{0,6}", 0..6)) {
            let _ = Line::of(&words, &['/', '-'], KNOWN);
        }
    }
}
