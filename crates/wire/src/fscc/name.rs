//! Names and paths (MS-FSCC 2.1.5): the valid names for CREATE and rename, and their parts.

use super::limits::{COMPONENT_LENGTH_MAX, PATH_LENGTH_MAX};

/// The reason that a path is refused. Each variant names its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// STATUS_OBJECT_NAME_INVALID: a component longer than 255 UTF-16 units (MS-FSCC 2.1.5.2).
    ComponentTooLong,
    /// STATUS_OBJECT_NAME_INVALID: a component that is `.` (MS-FSCC 2.1.5.1).
    Dot,
    /// STATUS_OBJECT_PATH_SYNTAX_BAD: a component that is `..`, which could lead out of the share.
    DotDot,
    /// STATUS_OBJECT_NAME_INVALID: two separators in a row.
    EmptyComponent,
    /// STATUS_INVALID_PARAMETER: a path that starts with a separator (MS-SMB2 3.3.5.9).
    LeadingSeparator,
    /// STATUS_OBJECT_NAME_INVALID: a path longer than 32,760 UTF-16 units (MS-FSCC 2.1.5).
    PathTooLong,
    /// STATUS_OBJECT_NAME_INVALID: a character that MS-FSCC 2.1.5.2 reserves.
    ReservedCharacter,
    /// STATUS_OBJECT_NAME_INVALID: a stream's name or type that MS-FSCC 2.1.5.3 does not allow.
    StreamSyntax,
}

/// The stream of a file that a path names (MS-FSCC 2.1.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamName<'a> {
    /// The path names no stream: the data of a file, or a directory.
    #[default]
    None,
    /// `::$DATA`: the data of a file, explicitly; wrong for a directory.
    Data,
    /// `::$INDEX_ALLOCATION` or `:$I30:$INDEX_ALLOCATION`: the directory itself; wrong for a file.
    Index,
    /// `:name` or `:name:$DATA`.
    Named(&'a str),
}

/// A path that obeys the rules, relative to its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmbPath<'a> {
    path: &'a str,
    stream: StreamName<'a>,
    trailing_separator: bool,
}

impl<'a> SmbPath<'a> {
    /// Checks and splits the name of a CREATE (MS-SMB2 2.2.13) or the new name of a rename; empty is the share's root.
    pub fn parse(text: &'a str) -> Result<Self, PathError> {
        if text.len() > PATH_LENGTH_MAX && utf16_length(text) > PATH_LENGTH_MAX {
            return Err(PathError::PathTooLong);
        }
        if text.starts_with('\\') {
            return Err(PathError::LeadingSeparator);
        }
        let (path, stream) = match text.split_once(':') {
            Some((path, stream)) => (path, parse_stream(stream)?),
            None => (text, StreamName::None),
        };
        let (path, trailing_separator) = match path.strip_suffix('\\') {
            Some(_) if stream != StreamName::None => return Err(PathError::EmptyComponent),
            Some(path) => (path, true),
            None => (path, false),
        };
        if !path.is_empty() {
            path.split('\\').try_for_each(check_component)?;
        }
        Ok(Self { path, stream, trailing_separator })
    }

    /// The components from the root down; empty for the root itself.
    pub fn components(self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.path.split('\\').filter(|component| !component.is_empty())
    }

    /// The path without its stream and without a separator at its end.
    pub fn path(self) -> &'a str {
        self.path
    }

    /// The directory of the last component, and that component; `None` for the root.
    pub fn parent_and_name(self) -> Option<(&'a str, &'a str)> {
        match self.path {
            "" => None,
            path => Some(path.rsplit_once('\\').unwrap_or(("", path))),
        }
    }

    /// The stream.
    pub fn stream(self) -> StreamName<'a> {
        self.stream
    }

    /// True if the path is the share's root.
    pub fn is_root(self) -> bool {
        self.path.is_empty()
    }

    /// True if the path ends with a separator, so that it must be a directory (MS-FSA 2.1.5.1).
    pub fn must_be_directory(self) -> bool {
        self.trailing_separator || self.stream == StreamName::Index
    }
}

/// Checks one component of a path (MS-FSCC 2.1.5.2).
pub fn check_component(name: &str) -> Result<(), PathError> {
    match name {
        "" => return Err(PathError::EmptyComponent),
        "." => return Err(PathError::Dot),
        ".." => return Err(PathError::DotDot),
        _ => {}
    }
    if name.chars().any(is_reserved) {
        return Err(PathError::ReservedCharacter);
    }
    if name.len() > COMPONENT_LENGTH_MAX && utf16_length(name) > COMPONENT_LENGTH_MAX {
        return Err(PathError::ComponentTooLong);
    }
    Ok(())
}

/// Parses the text after the first colon of a path (MS-FSCC 2.1.5.3), or the new name of a renamed stream without its
/// leading colon.
pub fn parse_stream(text: &str) -> Result<StreamName<'_>, PathError> {
    let (name, kind) = match text.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (text, None),
    };
    if name.contains(['\\', '/', '\0']) {
        return Err(PathError::StreamSyntax);
    }
    if name.len() > COMPONENT_LENGTH_MAX && utf16_length(name) > COMPONENT_LENGTH_MAX {
        return Err(PathError::ComponentTooLong);
    }
    match kind {
        None if name.is_empty() => Err(PathError::StreamSyntax),
        None => Ok(StreamName::Named(name)),
        Some(kind) if kind.eq_ignore_ascii_case("$DATA") => {
            Ok(if name.is_empty() { StreamName::Data } else { StreamName::Named(name) })
        }
        Some(kind) if kind.eq_ignore_ascii_case("$INDEX_ALLOCATION") => {
            if name.is_empty() || name.eq_ignore_ascii_case("$I30") {
                Ok(StreamName::Index)
            } else {
                Err(PathError::StreamSyntax)
            }
        }
        Some(_) => Err(PathError::StreamSyntax),
    }
}

/// UTF-16 code units of a name.
pub fn utf16_length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { crate::utf16::units(text).count() }
}

fn is_reserved(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '"' | '*' | '/' | ':' | '<' | '>' | '?' | '\\' | '|')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn components(path: &str) -> Vec<&str> {
        SmbPath::parse(path).unwrap().components().collect()
    }

    #[test]
    fn paths_split() {
        assert_eq!(components(""), Vec::<&str>::new());
        assert_eq!(components("a"), ["a"]);
        assert_eq!(components(r"a\b c\d.e"), ["a", "b c", "d.e"]);
        assert_eq!(components(r"a\b\"), ["a", "b"]);
        assert!(SmbPath::parse(r"a\b\").unwrap().must_be_directory());
        assert_eq!(SmbPath::parse(r"a\b\c:s").unwrap().parent_and_name(), Some((r"a\b", "c")));
        assert_eq!(SmbPath::parse("c").unwrap().parent_and_name(), Some(("", "c")));
        assert_eq!(SmbPath::parse("").unwrap().parent_and_name(), None);
    }

    #[test]
    fn refusals() {
        for (path, error) in [
            (r"\a", PathError::LeadingSeparator),
            (r"a\\b", PathError::EmptyComponent),
            (r"a\\", PathError::EmptyComponent),
            (r"a\.\b", PathError::Dot),
            (r"a\..\b", PathError::DotDot),
            ("..", PathError::DotDot),
            ("a/b", PathError::ReservedCharacter),
            ("a*", PathError::ReservedCharacter),
            ("a\u{1}", PathError::ReservedCharacter),
            ("a:", PathError::StreamSyntax),
            ("a::", PathError::StreamSyntax),
            ("a:s:", PathError::StreamSyntax),
            ("a:s:$FOO", PathError::StreamSyntax),
            ("a:s:$DATA:x", PathError::StreamSyntax),
            (r"a:s\b", PathError::StreamSyntax),
            ("a:s/b", PathError::StreamSyntax),
            ("a:s:$INDEX_ALLOCATION", PathError::StreamSyntax),
            (r"a\:s", PathError::EmptyComponent),
        ] {
            assert_eq!(SmbPath::parse(path), Err(error), "{path}");
        }
        assert_eq!(SmbPath::parse(&"a".repeat(256)), Err(PathError::ComponentTooLong));
        assert!(SmbPath::parse(&"ä".repeat(255)).is_ok());
        assert_eq!(SmbPath::parse(&"\u{1f600}".repeat(128)), Err(PathError::ComponentTooLong));
        assert_eq!(SmbPath::parse(&r"abcdefg\".repeat(4200)), Err(PathError::PathTooLong));
    }

    #[test]
    fn streams() {
        for (path, stream) in [
            ("a", StreamName::None),
            ("a::$data", StreamName::Data),
            ("a:s", StreamName::Named("s")),
            ("a:s:$DATA", StreamName::Named("s")),
            (":s", StreamName::Named("s")),
            ("a:?*\"<>|:$DATA", StreamName::Named("?*\"<>|")),
            ("a::$INDEX_ALLOCATION", StreamName::Index),
            ("a:$I30:$Index_Allocation", StreamName::Index),
        ] {
            assert_eq!(SmbPath::parse(path).map(SmbPath::stream), Ok(stream), "{path}");
        }
    }

    proptest! {
        #[test]
        fn accepted_components_obey_the_rules(path in r#"[ab.\\:/*é]{0,10}"#) {
            if let Ok(parsed) = SmbPath::parse(&path) {
                for component in parsed.components() {
                    prop_assert_eq!(check_component(component), Ok(()));
                }
                let joined = parsed.components().collect::<Vec<_>>().join("\\");
                prop_assert_eq!(joined.as_str(), parsed.path());
            }
        }
    }
}
