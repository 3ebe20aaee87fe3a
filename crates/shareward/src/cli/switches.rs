//! Parses words into operands and switches.

use crate::failure::Numbered;
use crate::messages;

/// A switch that a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// The name, in capitals.
    name: &'static str,
    takes: Takes,
    origin: Origin,
}

/// The value that a switch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No value.
    Nothing,
    /// A value: `/NAME:value`, `--name=value` or `--name value`.
    Value,
    /// An optional value after `:` or `=`.
    Optional,
}

/// The origin of a switch. NET's switches are tried first, so that a switch of ours never makes an abbreviation
/// ambiguous that NET accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Net,
    Own,
}

impl Switch {
    /// A switch of NET.
    pub(crate) const fn net(name: &'static str, takes: Takes) -> Self {
        Self { name, takes, origin: Origin::Net }
    }

    /// A switch of ours.
    pub(crate) const fn own(name: &'static str, takes: Takes) -> Self {
        Self { name, takes, origin: Origin::Own }
    }
}

/// A parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The words that are neither switches nor their values, in order.
    pub(crate) operands: Vec<String>,
    given: Vec<(&'static str, Option<String>)>,
}

impl Switch {
    /// The spelling of the switch in error messages.
    pub(crate) fn shown(&self) -> String {
        format!("--{}", self.name.to_ascii_lowercase())
    }
}

impl Words {
    /// True if the switch is given.
    pub(crate) fn has(&self, switch: &Switch) -> bool {
        self.given.iter().any(|(name, _)| *name == switch.name)
    }

    /// The value of the switch; the last one if it is given more than once.
    pub(crate) fn value(&self, switch: &Switch) -> Option<&str> {
        self.given.iter().rev().find(|(name, _)| *name == switch.name)?.1.as_deref()
    }

    /// The values of a switch that may be given more than once, in order.
    pub(crate) fn values(&self, switch: &Switch) -> impl Iterator<Item = &str> {
        let name = switch.name;
        self.given.iter().filter(move |(given, _)| *given == name).filter_map(|(_, value)| value.as_deref())
    }
}

/// Parses the words of a command that takes `switches`. `//` starts an operand (a computer); `--` ends the switches.
pub(crate) fn parse(words: &[String], switches: &[Switch]) -> Result<Words, Numbered> {
    sort(words, switches, |_| false)
}

/// As [`parse`] for a command whose operands are paths: a slash starts no switch.
pub(crate) fn parse_paths(words: &[String], switches: &[Switch]) -> Result<Words, Numbered> {
    sort(words, switches, |_| true)
}

/// As [`parse`] for a command whose operands may be paths. A word that starts with a slash is a path if its name
/// contains another slash, or if it is not a switch and `is_path` returns true.
pub(crate) fn parse_either(
    words: &[String],
    switches: &[Switch],
    is_path: impl Fn(&str) -> bool,
) -> Result<Words, Numbered> {
    sort(words, switches, |word| {
        let name = word.strip_prefix('/').unwrap_or(word);
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        name.contains('/')
            || (resolve(name, switches) == Err(messages::UNKNOWN_OPTION_NUMBER) && is_path(word))
    })
}

fn sort(words: &[String], switches: &[Switch], is_path: impl Fn(&str) -> bool) -> Result<Words, Numbered> {
    let mut sorted = Words::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            sorted.operands.extend(words.by_ref().cloned());
            break;
        }
        let Some(spelling) = Spelling::of(word).filter(|it| it.marker != "/" || !is_path(word)) else {
            sorted.operands.push(word.clone());
            continue;
        };
        let switch = resolve(spelling.name, switches)
            .map_err(|number| Numbered::new(number).about(spelling.shown()))?;
        let value = match (switch.takes, spelling.value) {
            (Takes::Nothing, None) => None,
            (Takes::Nothing, Some(_)) => return Err(Numbered::new(messages::OPTION_VALUE_NUMBER)),
            (Takes::Value | Takes::Optional, Some(value)) => Some(value.to_owned()),
            (Takes::Optional, None) => None,
            // A word that looks like a switch is one; as a value it requires the equals sign.
            (Takes::Value, None) if spelling.marker == "--" => {
                words.next_if(|word| !word.starts_with("--")).cloned()
            }
            (Takes::Value, None) => None,
        };
        let lacks_value = match switch.takes {
            Takes::Nothing => false,
            Takes::Value => value.as_deref().unwrap_or_default().is_empty(),
            Takes::Optional => value.as_deref() == Some(""),
        };
        if lacks_value {
            return Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER).about(spelling.shown()));
        }
        sorted.given.push((switch.name, value));
    }
    Ok(sorted)
}

/// The switch that `name` is or abbreviates, or the number of the error.
fn resolve<'s>(name: &str, switches: &'s [Switch]) -> Result<&'s Switch, u32> {
    let name = name.to_ascii_uppercase();
    if name.is_empty() {
        return Err(messages::UNKNOWN_OPTION_NUMBER);
    }
    if let Some(exact) = switches.iter().find(|switch| switch.name == name) {
        return Ok(exact);
    }
    for origin in [Origin::Net, Origin::Own] {
        let mut candidates =
            switches.iter().filter(|switch| switch.origin == origin && switch.name.starts_with(&name));
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => return Ok(only),
            (Some(_), Some(_)) => return Err(messages::AMBIGUOUS_OPTION_NUMBER),
            (None, _) => {}
        }
    }
    Err(messages::UNKNOWN_OPTION_NUMBER)
}

/// A switch as it was typed.
struct Spelling<'w> {
    marker: &'static str,
    name: &'w str,
    value: Option<&'w str>,
}

impl<'w> Spelling<'w> {
    fn of(word: &'w str) -> Option<Self> {
        let (marker, rest, separator) = if let Some(rest) = word.strip_prefix("--") {
            ("--", rest, '=')
        } else if let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            ("-", rest, '=')
        } else if let Some(rest) = word.strip_prefix('/').filter(|rest| !rest.starts_with('/')) {
            ("/", rest, ':')
        } else {
            return None;
        };
        let (name, value) = match rest.split_once(separator) {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        Some(Self { marker, name, value })
    }

    /// The spelling in error messages: NET's in capitals, others as typed.
    fn shown(&self) -> String {
        match self.marker {
            "/" => format!("/{}", self.name.to_ascii_uppercase()),
            marker => format!("{marker}{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELETE: Switch = Switch::net("DELETE", Takes::Nothing);
    const CLOSE: Switch = Switch::net("CLOSE", Takes::Nothing);
    const CLEAR: Switch = Switch::net("CLEAR", Takes::Nothing);
    const COMPAT: Switch = Switch::own("COMPAT", Takes::Nothing);
    const COMMENT: Switch = Switch::own("COMMENT", Takes::Value);
    const DELETED: Switch = Switch::own("DELETED", Takes::Nothing);
    const AS: Switch = Switch::own("AS", Takes::Optional);
    const ALL: &[Switch] = &[COMPAT, COMMENT, DELETED, DELETE, CLOSE, CLEAR, AS];

    fn parsed(line: &str, switches: &[Switch]) -> Result<Words, Numbered> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), switches)
    }

    #[test]
    fn every_spelling_of_a_switch() {
        for line in ["/DELETE", "/delete", "/Del", "/d", "--delete", "--DEL", "-delete", "-d"] {
            let words = parsed(line, ALL).unwrap();
            assert!(words.has(&DELETE) && !words.has(&DELETED), "{line}");
        }
        for line in ["/COMMENT:a=b:c", "--comment=a=b:c", "--comment a=b:c", "--comme a=b:c"] {
            assert_eq!(parsed(line, ALL).unwrap().value(&COMMENT), Some("a=b:c"), "{line}");
        }
        assert_eq!(parsed("--comment /srv/x", ALL).unwrap().value(&COMMENT), Some("/srv/x"));
    }

    #[test]
    fn a_value_that_may_be_left_out_does_not_take_the_next_word() {
        for (line, value, operands) in
            [("--as x", None, 1), ("--as=x", Some("x"), 0), ("/as:x", Some("x"), 0), ("/as", None, 0)]
        {
            let words = parsed(line, ALL).unwrap();
            assert!(words.has(&AS));
            assert_eq!((words.value(&AS), words.operands.len()), (value, operands), "{line}");
        }
        assert!(parsed("--as=", ALL).is_err());
    }

    #[test]
    fn nets_abbreviations_come_before_ours() {
        assert!(parsed("/clo", ALL).unwrap().has(&CLOSE));
        assert!(parsed("/comp", ALL).unwrap().has(&COMPAT));
        assert!(parsed("/c", &[CLOSE, COMPAT]).unwrap().has(&CLOSE));
    }

    #[test]
    fn wrong_switches_have_their_numbers() {
        for (line, number) in [
            ("/x", 3506),
            ("/", 3506),
            ("--close-all", 3506),
            ("/cl", 3507),
            ("/com", 3507),
            ("/delete:now", 3505),
            ("--delete=now", 3505),
            ("/comment", 3952),
            ("/comment:", 3952),
            ("--comment", 3952),
            ("--comment=", 3952),
        ] {
            let error = parsed(line, ALL).unwrap_err();
            assert!(format!("{error:?}").contains(&format!("number: {number}")), "{line} {error:?}");
        }
    }

    #[test]
    fn a_slash_starts_a_path_or_a_switch() {
        let line: Vec<String> =
            "/mnt/d /d /data /comment:a/b /dir:x/y".split(' ').map(str::to_owned).collect();
        let words = parse_either(&line[..4], ALL, |word| word == "/data" || word == "/d").unwrap();
        assert_eq!(words.operands, ["/mnt/d", "/data"]);
        assert!(words.has(&DELETE));
        assert_eq!(words.value(&COMMENT), Some("a/b"));
        assert!(parse_either(&line[4..], ALL, |_| false).is_err());
    }

    #[test]
    fn operands_are_what_is_left() {
        let words = parsed(r"\\host //[::1] - /d 7 -- /close --x", ALL).unwrap();
        assert_eq!(words.operands, [r"\\host", "//[::1]", "-", "7", "/close", "--x"]);
        assert!(words.has(&DELETE) && !words.has(&CLOSE));
    }

    proptest! {
        #[test]
        fn any_words_are_sorted_or_refused(words in prop::collection::vec("[-/\\\\=:a-zA-Z0-9é ]{0,12}", 0..6)) {
            let _ = parse(&words, ALL);
        }

        #[test]
        fn an_abbreviation_means_what_it_abbreviates_or_nothing(index in 0..ALL.len(), length in 1usize..9) {
            let switch = &ALL[index];
            let name: String = switch.name.chars().take(length).collect();
            if let Ok(found) = resolve(&name, ALL) {
                prop_assert!(found.name.starts_with(&name));
                let rivals = ALL.iter().filter(|other| {
                    other.origin == found.origin && other.name.starts_with(&name) && *other != found
                });
                prop_assert!(name == found.name || rivals.count() == 0);
            }
            prop_assert_eq!(resolve(switch.name, ALL), Ok(switch));
        }
    }
}
