//! The text of `shareward.toml`.

use std::fmt::Write as _;

use crate::smbconf::{Config, Place, Value};

/// A table of settings. Each line ends with its source.
#[derive(Debug, Default)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    pub(crate) fn new(head: &str) -> Self {
        Self { text: format!("{head}\n") }
    }

    /// Adds a setting whose value is TOML already.
    pub(crate) fn set(&mut self, key: &str, value: &str, source: &str) {
        let _ = writeln!(self.text, "{key} = {value}  # {}", one_line(source));
    }

    /// Adds a line of comment.
    pub(crate) fn comment(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {}", one_line(text));
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True if there is nothing below the head.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.lines().nth(1).is_none()
    }
}

/// The text as comments.
pub(crate) fn commented(text: &str) -> String {
    text.lines().map(|line| format!("#{line}\n")).collect()
}

/// A string of TOML.
pub(crate) fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            other if other.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(other));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// An array of strings.
pub(crate) fn strings<S: AsRef<str>>(texts: &[S]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| string(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// The text without line ends and other control characters, for a comment.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The name of a line: that of its file, without the directories for the first file, and its number.
pub(crate) fn place(config: &Config, place: Place) -> String {
    let path = config.file(place);
    let name = match (place.file, path.file_name()) {
        (0, Some(name)) => name.to_string_lossy().into_owned(),
        _ => path.display().to_string(),
    };
    format!("{name}:{}", place.line)
}

/// The source of a setting: the line, or Samba's default.
pub(crate) fn source(config: &Config, value: Option<&Value>) -> String {
    value.map_or_else(|| String::from("Samba's default"), |value| place(config, value.place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a\"b\\c\u{7f}\né"), "\"a\\\"b\\\\c\\u007F\\u000Aé\"");
        assert_eq!(strings(&["a", "b"]), "[\"a\", \"b\"]");
        assert_eq!(commented("a\nb\n"), "#a\n#b\n");
    }
}
