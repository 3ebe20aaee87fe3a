//! Paths relative to a share, without components that lead out of it.

use crate::error::{Error, Result};
use crate::limits::{COMPONENT_UNITS_MAX, PATH_UNITS_MAX};
use std::fmt;

/// A path relative to the share: components separated by `/`, with an optional stream. `""` is the share's
/// root.
///
/// The constructor refuses what no file name on the wire can contain (MS-FSCC 2.1.5.2): empty components, `.`
/// and `..`, control characters and `" * : < > ? \ |`. If names on disk contain such characters, they are
/// mapped to the private use area (see `local::names`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RelativePath {
    text: String,
    stream: Option<String>,
}

impl RelativePath {
    /// Accepts a path with `/` between components, but not at its start or end.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if !text.is_empty() {
            if text.encode_utf16().count() > PATH_UNITS_MAX {
                return Err(Error::InvalidName);
            }
            text.split('/').try_for_each(check_component)?;
        }
        Ok(Self { text, stream: None })
    }

    /// The share's root.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a named stream of this file (the name only: no colons, no `$DATA`); MS-FSCC 2.1.5.3.
    pub fn with_stream(mut self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let forbidden = |c: char| matches!(c, '/' | '\\' | ':' | '\0');
        if name.is_empty() || name.contains(forbidden) || name.encode_utf16().count() > COMPONENT_UNITS_MAX {
            return Err(Error::InvalidName);
        }
        self.stream = Some(name);
        Ok(self)
    }

    /// The path of the file without the stream.
    pub fn without_stream(&self) -> Self {
        Self { text: self.text.clone(), stream: None }
    }

    /// The stream's name, if the path has one.
    pub fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// The file's path, without the stream.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the file is the share's root.
    pub fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// The components from the root down; empty for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text.split('/').filter(|component| !component.is_empty())
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// The directory that contains the file; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let text = self.text.rsplit_once('/').map_or("", |(parent, _)| parent);
        Some(Self { text: text.to_owned(), stream: None })
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &str) -> Result<Self> {
        check_component(name)?;
        Self::new(if self.is_root() { name.to_owned() } else { format!("{}/{name}", self.text) })
    }

    /// The parent's path and the last component; `None` for the root.
    pub(crate) fn split(&self) -> Option<(&str, &str)> {
        (!self.is_root()).then(|| self.text.rsplit_once('/').unwrap_or(("", &self.text)))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.stream {
            Some(stream) => write!(f, ":{stream}"),
            None => Ok(()),
        }
    }
}

fn check_component(component: &str) -> Result<()> {
    let forbidden = |c: char| c < ' ' || matches!(c, '"' | '*' | ':' | '<' | '>' | '?' | '\\' | '|' | '/');
    if matches!(component, "" | "." | "..")
        || component.contains(forbidden)
        || component.encode_utf16().count() > COMPONENT_UNITS_MAX
    {
        return Err(Error::InvalidName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_share_or_are_invalid_are_refused() {
        for bad in
            ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\\b", "a:b", "a*", "a\0b", "a\x1f", "a|b"]
        {
            assert!(RelativePath::new(bad).is_err(), "{bad:?}");
        }
        assert!(RelativePath::new("x".repeat(COMPONENT_UNITS_MAX + 1)).is_err());
        assert!(RelativePath::new("x".repeat(COMPONENT_UNITS_MAX)).is_ok());
        for bad in ["", "a:b", "a/b", "a\\b"] {
            assert!(RelativePath::root().with_stream(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_are_split_and_joined() {
        let path = RelativePath::new("a/b. c/…").unwrap();
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b. c", "…"]);
        assert_eq!(path.name(), Some("…"));
        assert_eq!(path.parent().unwrap().as_str(), "a/b. c");
        assert_eq!(path.parent().unwrap().join("…").unwrap(), path);
        assert_eq!(RelativePath::root().join("a").unwrap().parent(), Some(RelativePath::root()));
        assert_eq!(RelativePath::root().parent(), None);
        assert_eq!(RelativePath::root().name(), None);
        assert!(RelativePath::root().join("..").is_err());
        assert!(RelativePath::root().join("a/b").is_err());
    }
}
