//! The grammar of `openfiles`, `psfile` and `psloggedon`: unabbreviated switches, with their values in the next word.

/// The name of a switch, and the value that it takes.
pub(crate) type Known = (&'static str, Value);

/// The value that a switch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// No value.
    None,
    /// The next word.
    Needed,
    /// The next word, unless that is a switch.
    Optional,
}

/// A parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The words that are neither switches nor their values, in order.
    pub(crate) operands: Vec<String>,
    given: Vec<(&'static str, Option<String>)>,
}

/// An error in a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The switch is unknown.
    Unknown(String),
    /// The switch lacks its value.
    Lacks(&'static str),
    /// The switch is given more than once.
    Twice(&'static str),
}

impl Line {
    /// Parses `words`. A switch begins with one of `marks`. Another word that begins with one is an error, unless it
    /// is an absolute path of more than one component.
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

    /// True if the switch is given.
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
    fn errors_name_the_switch() {
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
