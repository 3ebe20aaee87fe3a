//! Names that clients cannot see, and names that appear hidden to them.

use wire::FileAttributes;
use wire::fscc::{Pattern, PatternTooLong};

/// The rules of a share about names, which are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRules {
    vetoed: Vec<Pattern>,
    hidden: Vec<Pattern>,
    /// True if names that begin with a dot are hidden.
    pub hides_dot_files: bool,
    /// True if the removal of a directory removes vetoed files in it; otherwise they prevent it.
    pub removes_vetoed: bool,
}

impl NameRules {
    /// Adds a pattern, with the wildcards `*` and `?`, of names that do not exist for clients.
    pub fn veto(&mut self, pattern: &str) -> Result<(), PatternTooLong> {
        self.vetoed.push(Pattern::new(pattern)?);
        Ok(())
    }

    /// Adds a pattern of names that have the attribute HIDDEN.
    pub fn hide(&mut self, pattern: &str) -> Result<(), PatternTooLong> {
        self.hidden.push(Pattern::new(pattern)?);
        Ok(())
    }

    /// True if there are names that do not exist for clients.
    pub fn has_vetoes(&self) -> bool {
        !self.vetoed.is_empty()
    }

    /// True if the name does not exist for clients.
    pub fn is_vetoed(&self, name: &str) -> bool {
        let has = |name: &str| self.vetoed.iter().any(|pattern| pattern.matches(name));
        has(name) || (self.has_vetoes() && !name.is_ascii() && has(&plain(name)))
    }

    /// True if a component of the path, which `/` or `\` separates, does not exist for clients.
    pub fn is_path_vetoed(&self, path: &str) -> bool {
        self.has_vetoes() && path.split(['/', '\\']).any(|name| self.is_vetoed(name))
    }

    /// The attribute that the name of a file adds to its own.
    pub fn attributes_of(&self, name: &str) -> FileAttributes {
        let is_dot_file = self.hides_dot_files && name.starts_with('.') && !matches!(name, "." | "..");
        match is_dot_file || self.hidden.iter().any(|pattern| pattern.matches(name)) {
            true => FileAttributes::HIDDEN,
            false => FileAttributes::NONE,
        }
    }
}

/// The name in letters that directories with casefolding (ext4, F2FS) take for the same: they ignore characters that are
/// not visible, and fold more letters than names on the wire.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for character in name.chars().filter(|character| !is_ignorable(*character)) {
        match character {
            '\u{17f}' => plain.push('s'),
            '\u{fb05}' | '\u{fb06}' => plain.push_str("st"),
            '\u{212a}' => plain.push('k'),
            other => plain.push(other),
        }
    }
    plain
}

/// The property Default_Ignorable_Code_Point of Unicode.
pub(crate) fn is_ignorable(character: char) -> bool {
    matches!(u32::from(character),
        0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfff8
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(vetoed: &[&str], hidden: &[&str]) -> NameRules {
        let mut rules = NameRules::default();
        vetoed.iter().for_each(|pattern| rules.veto(pattern).unwrap());
        hidden.iter().for_each(|pattern| rules.hide(pattern).unwrap());
        rules
    }

    #[test]
    fn vetoed_names_are_compared_as_the_file_system_could() {
        let rules = rules(&["*.tmp", "secret", "ä?"], &[]);
        for name in ["a.tmp", "A.TMP", ".tmp", "secret", "SECRET", "ſecret", "sec\u{200b}ret", "Äx"] {
            assert!(rules.is_vetoed(name), "{name}");
        }
        for name in ["a.tmpx", "secrets", "ä", "äxy", "tmp"] {
            assert!(!rules.is_vetoed(name), "{name}");
        }
        assert!(rules.is_path_vetoed("a/Secret/b") && !rules.is_path_vetoed("a/secrets/b"));
        assert!(!NameRules::default().is_vetoed("a"));
    }

    #[test]
    fn hidden_names_are_those_of_the_patterns_and_dot_files() {
        let mut rules = rules(&[], &["*.bak"]);
        assert_eq!(rules.attributes_of("A.BAK"), FileAttributes::HIDDEN);
        assert_eq!(rules.attributes_of(".profile"), FileAttributes::NONE);
        rules.hides_dot_files = true;
        assert_eq!(rules.attributes_of(".profile"), FileAttributes::HIDDEN);
        for name in [".", "..", "a.b"] {
            assert_eq!(rules.attributes_of(name), FileAttributes::NONE, "{name}");
        }
    }
}
