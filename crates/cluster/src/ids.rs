//! The names and numbers of the protocol. Each can only hold a valid value.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::FoldedName;

/// The name of a node: 1 to [`NODE_NAME_BYTES_MAX`] small letters, digits and hyphens, as in a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The node called `name`.
    ///
    /// # Errors
    /// [`InvalidName`] if the name is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let fits = (1..=NODE_NAME_BYTES_MAX).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && plain && !name.starts_with('-') { Ok(Self(name.into())) } else { Err(InvalidName) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(&text)
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a share as it is compared and as it stands in etcd's keys: case is folded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareKey(Arc<str>);

impl ShareKey {
    /// The share called `name`, in any case.
    ///
    /// # Errors
    /// [`InvalidName`] if the name is empty, longer than [`SHARE_NAME_CHARS_MAX`], or has a separator or a control
    /// character, which a key of etcd must not have.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let fits = !name.is_empty() && name.chars().count() <= SHARE_NAME_CHARS_MAX;
        if !fits || name.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
            return Err(InvalidName);
        }
        Ok(Self(FoldedName::new(name).as_str().into()))
    }

    /// The share of a key of etcd, which is valid only in its folded form: two spellings would be two shares.
    ///
    /// # Errors
    /// [`InvalidName`] as [`ShareKey::new`], and if the text is not folded.
    pub fn from_folded(text: &str) -> Result<Self, InvalidName> {
        Self::new(text).ok().filter(|key| &*key.0 == text).ok_or(InvalidName)
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a node or share is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid name")]
pub struct InvalidName;

/// One membership of a node: it begins with a lease and ends with it, and is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation {
    /// The random number of the process.
    pub boot: u64,
    /// The number of the membership within the process.
    pub count: u32,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.boot, self.count)
    }
}

impl TryFrom<String> for Incarnation {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let (boot, count) = text.split_once('.').ok_or(InvalidName)?;
        let boot = u64::from_str_radix(boot, 16).map_err(|_| InvalidName)?;
        let read = Self { boot, count: count.parse().map_err(|_| InvalidName)? };
        if read.to_string() == text { Ok(read) } else { Err(InvalidName) }
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        incarnation.to_string()
    }
}

/// A lease of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A revision of etcd's store: each change has a higher one than those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// The number of an ownership of a share. The storage of a share accepts owners only in rising order of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// A request to etcd, numbered by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One attempt of a node to open and serve a share, from the opening of its storage to its closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// A host name's label has this many bytes at most (RFC 1035 2.3.4); operators use host names.
pub const NODE_NAME_BYTES_MAX: usize = 63;

/// Windows allows 80 characters (NNLEN).
pub const SHARE_NAME_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_names_in_any_case_are_one_key() {
        assert_eq!(ShareKey::new("Data"), ShareKey::new("dATA"));
        let folded = ShareKey::new("Data").unwrap();
        assert_eq!(ShareKey::from_folded(folded.as_str()), Ok(folded));
        assert_eq!(ShareKey::from_folded("DATA"), Err(InvalidName));
        for wrong in ["", "a/b", "a\\b", "a\nb"] {
            assert_eq!(ShareKey::new(wrong), Err(InvalidName), "{wrong:?}");
        }
    }

    #[test]
    fn incarnations_have_one_spelling() {
        let incarnation = Incarnation { boot: 0xab, count: 3 };
        assert_eq!(Incarnation::try_from(incarnation.to_string()), Ok(incarnation));
        for wrong in ["", "ab.3", "00000000000000AB.3", "00000000000000ab.03", "00000000000000ab.-1"] {
            assert_eq!(Incarnation::try_from(wrong.to_owned()), Err(InvalidName), "{wrong:?}");
        }
    }

    #[test]
    fn node_names_are_labels_of_host_names() {
        assert!(NodeName::new("fs-01").is_ok());
        for wrong in ["", "-a", "A", "a.b", "a/b", &"a".repeat(64)] {
            assert_eq!(NodeName::new(wrong), Err(InvalidName), "{wrong:?}");
        }
    }
}
