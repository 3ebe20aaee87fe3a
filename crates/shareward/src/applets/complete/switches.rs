//! The switches of a command, read from its help, which lists them all.

use super::{Candidate, begins_with};
use crate::applets::Help;

/// A switch, as the help spells it.
#[derive(Debug)]
pub(super) struct KnownSwitch {
    /// `/`, `-` or `--`.
    mark: &'static str,
    name: String,
    value: Value,
    description: String,
}

/// The value that a switch takes.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    None,
    /// After a colon: `/NAME:value`.
    Colon(Vec<String>),
    /// The next word.
    NextWord(Vec<String>),
    /// After an equals sign, if at all: `--name[=value]`.
    Optional(Vec<String>),
}

/// The switches of a command.
pub(super) fn of(help: &Help) -> Vec<KnownSwitch> {
    let mut found: Vec<KnownSwitch> = Vec::new();
    let mut rest = help.syntax;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let switch = if matches!(before, ' ' | '\n' | '[' | '{' | '|') { spelled_at(rest) } else { None };
        if let Some((mark, name, after)) = switch {
            if !found.iter().any(|known| known.name.eq_ignore_ascii_case(name) && known.mark == mark) {
                let description = description(help.about, mark, name);
                found.push(KnownSwitch { mark, name: name.to_owned(), value: value_at(after), description });
            }
            rest = after;
            before = 'x';
        } else {
            before = next;
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    found
}

impl KnownSwitch {
    /// The candidate for a word that begins as this switch does. `-` begins every spelling with hyphens, and NET's
    /// switches can be written with hyphens, too.
    pub(super) fn completing(&self, partial: &str) -> Option<Candidate> {
        let lower = self.name.to_ascii_lowercase();
        let spellings = match self.mark {
            "/" => vec![format!("/{}", self.name), format!("--{lower}")],
            mark => vec![format!("{mark}{}", self.name)],
        };
        let word = spellings.into_iter().find(|word| begins_with(word, partial))?;
        let colon = matches!(self.value, Value::Colon(_)) && word.starts_with('/');
        let word = if colon { word + ":" } else { word };
        Some(Candidate::new(word, &*self.description))
    }

    /// True if the word is this switch, in any spelling and without a value.
    pub(super) fn is_spelled(&self, word: &str) -> bool {
        word.starts_with(['-', '/'])
            && word.trim_start_matches('-').trim_start_matches('/').eq_ignore_ascii_case(&self.name)
    }

    /// True if the word is this switch and the word after it is its value.
    pub(super) fn takes_next_word(&self, word: &str) -> bool {
        let spelled = self.is_spelled(word);
        match self.value {
            Value::NextWord(_) => spelled,
            Value::Colon(_) => spelled && word.starts_with("--"),
            Value::None | Value::Optional(_) => false,
        }
    }

    /// The values that the help lists and that begin with `partial`, behind `front`.
    pub(super) fn values_with(&self, partial: &str, front: &str) -> Vec<Candidate> {
        let (Value::Colon(values) | Value::NextWord(values) | Value::Optional(values)) = &self.value else {
            return Vec::new();
        };
        let matching = values.iter().filter(|value| begins_with(value, partial));
        matching.map(|value| Candidate::new(format!("{front}{value}"), "")).collect()
    }
}

/// The mark and the name of the switch that the text begins with, and the text after it.
fn spelled_at(text: &str) -> Option<(&'static str, &str, &str)> {
    let mark = ["--", "-", "/"].into_iter().find(|mark| text.starts_with(mark))?;
    let rest = text.strip_prefix(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    (name.starts_with(|c: char| c.is_ascii_alphabetic())).then_some((mark, name, after))
}

/// The value that the syntax shows after the name of a switch.
fn value_at(after: &str) -> Value {
    if let Some(rest) = after.strip_prefix("[=") {
        return Value::Optional(vec![rest.split(']').next().unwrap_or_default().to_owned()]);
    }
    if let Some(rest) = after.strip_prefix(':') {
        return Value::Colon(listed(rest));
    }
    let Some(rest) = after.strip_prefix([' ', '\n']) else { return Value::None };
    match rest.chars().next() {
        Some('{') => Value::NextWord(listed(rest)),
        Some(first) if first.is_ascii_alphanumeric() => {
            // Words with bars between them are the values; a single one is a name for the value.
            let upto = rest.split([']', '[', '}', '\n']).next().unwrap_or_default();
            if upto.contains('|') { Value::NextWord(words(upto)) } else { Value::NextWord(Vec::new()) }
        }
        _ => Value::None,
    }
}

/// The alternatives in braces at the start of the text.
fn listed(text: &str) -> Vec<String> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inner, _)| inner);
    inner.map(words).unwrap_or_default()
}

/// The words between bars. An alternative of several words, and one in lower case with a bar before a switch, is not a
/// value.
fn words(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('|').map(str::trim).collect();
    if parts.iter().any(|part| part.starts_with(['-', '/']) || part.contains(' ') || part.is_empty()) {
        return Vec::new();
    }
    parts.into_iter().filter(|part| *part != "*").map(str::to_owned).collect()
}

/// The first sentence of the help's line about a switch.
fn description(about: &str, mark: &str, name: &str) -> String {
    let wanted = format!("{mark}{name}");
    let mut lines =
        about.lines().skip_while(|line| !labels(line).any(|label| label.eq_ignore_ascii_case(&wanted)));
    let Some(first) = lines.next() else { return String::new() };
    let start = first.trim_start().split_once("  ").map_or("", |(_, text)| text.trim_start());
    let mut text = start.to_owned();
    // The rest of the paragraph is indented further than its label.
    for line in lines.take_while(|line| line.starts_with("    ")) {
        text = format!("{text} {}", line.trim());
    }
    let text = text.trim();
    let end = [". ", "; "].iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The switches that a line of the help begins with.
fn labels(line: &str) -> impl Iterator<Item = &str> {
    let text = line.trim_start();
    let indented = line.len() - text.len() <= 2;
    let label = text.split("  ").next().unwrap_or_default();
    let label = if indented && text.starts_with(['-', '/']) { label } else { "" };
    label.split(", ").filter_map(|part| part.split([' ', ':']).next()).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    static HELP: Help = Help {
        syntax: "\
NET THING
[id] [/CLOSE | /LIST] [--user NAME] [--json[=wmi] | --ndjson]
[/MODE:{SLOW | FAST}] [--with {adcli | net}] [/FO TABLE | CSV]
[/P [password]] [--kerberos | --ntlm]
",
        about: "\
Does things.

  id       a number with /CLOSE and --user
  /CLOSE   close it. By default, softly
  --user   opens of this user,
           or of that one; sometimes
  --json, --ndjson
           print JSON
",
    };

    #[test]
    fn switches_have_their_values_and_descriptions() {
        let found = of(&HELP);
        let named = |name: &str| found.iter().find(|it| it.name == name).unwrap();
        let values = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(found.len(), 11, "{found:?}");
        assert_eq!(named("CLOSE").value, Value::None);
        assert_eq!(named("CLOSE").description, "close it");
        assert_eq!(named("user").value, Value::NextWord(Vec::new()));
        assert_eq!(named("user").description, "opens of this user, or of that one");
        assert_eq!(named("json").value, Value::Optional(values(&["wmi"])));
        assert_eq!(named("ndjson").description, "print JSON");
        assert_eq!(named("MODE").value, Value::Colon(values(&["SLOW", "FAST"])));
        assert_eq!(named("with").value, Value::NextWord(values(&["adcli", "net"])));
        assert_eq!(named("FO").value, Value::NextWord(values(&["TABLE", "CSV"])));
        assert_eq!(named("kerberos").value, Value::None);
    }
}
