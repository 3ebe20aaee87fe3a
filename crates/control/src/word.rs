//! Strings from small vocabularies.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A string that occurs in every entry of a long list. Strings that this version knows take no memory of their own;
/// others are stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(Cow<'static, str>);

impl Word {
    /// A string that is written out here.
    pub const fn known(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Word {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<&str> for Word {
    fn from(word: &str) -> Self {
        match KNOWN.iter().find(|known| **known == word) {
            Some(known) => Self::known(known),
            None => Self(Cow::Owned(word.to_owned())),
        }
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Word, E> {
                Ok(word.into())
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The strings that a server of this version uses, the frequent ones first.
const KNOWN: [&str; 26] = [
    "none",
    "read",
    "write",
    "delete",
    "lease",
    "RH",
    "RWH",
    "R",
    "RW",
    "",
    "level2",
    "exclusive",
    "batch",
    "FILE_READ_DATA",
    "FILE_WRITE_DATA",
    "FILE_APPEND_DATA",
    "FILE_READ_EA",
    "FILE_WRITE_EA",
    "FILE_EXECUTE",
    "FILE_DELETE_CHILD",
    "FILE_READ_ATTRIBUTES",
    "FILE_WRITE_ATTRIBUTES",
    "DELETE",
    "READ_CONTROL",
    "WRITE_DAC",
    "SYNCHRONIZE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_strings_are_static_and_others_are_stored() {
        for word in KNOWN.into_iter().chain(["WRITE_OWNER", "a new word"]) {
            let read: Word = serde_json::from_value(serde_json::json!(word)).unwrap();
            assert_eq!(&*read, word);
            assert_eq!(matches!(read.0, Cow::Borrowed(_)), KNOWN.contains(&word));
            assert_eq!(serde_json::to_value(&read).unwrap(), word);
        }
    }
}
