//! Conversion of Linux names, which allow nearly all characters, for SMB servers.
//!
//! Characters that Windows forbids are mapped to the private use area and back, as Apple's clients ("Services
//! for Macintosh") and the Linux kernel's (`mapposix`) do, so that a file has the same name for all of them.

use std::ffi::OsStr;

use fuser::Errno;
use wire::fscc::name::utf16_length;
use wire::private_use::{end_from_private, from_private, to_private, with_private_end};

use crate::limits::{NAME_UNITS_MAX, SERVER_NAME_BYTES_MAX, SERVER_PATH_BYTES_MAX};

/// The server's form of a name. EILSEQ if it is not Unicode, ENAMETOOLONG if it is too long.
pub(crate) fn to_server(name: &OsStr) -> Result<String, Errno> {
    let name = name.to_str().ok_or(Errno::EILSEQ)?;
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(Errno::EINVAL);
    }
    // Servers strip only the last character.
    let mapped = with_private_end(name.chars().map(to_private).collect());
    if utf16_length(&mapped) > NAME_UNITS_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(mapped)
}

/// The Linux form of a name; `None` if it is not valid there.
pub(crate) fn from_server(name: &str) -> Option<String> {
    let mut shown: String = name.chars().map(from_private).collect();
    if let Some(last) = shown.pop() {
        shown.push(end_from_private(last));
    }
    // A server would interpret a backslash as the start of another component.
    let possible = !name.contains('\\') && utf16_length(name) <= NAME_UNITS_MAX;
    let usable = !shown.is_empty() && shown != "." && shown != ".." && !shown.contains(['/', '\0']);
    (possible && usable).then_some(shown)
}

/// The path of `name` in the directory at `parent`, which is empty for the root.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}\\{name}") }
}

/// True for a path that is valid, but too long for many servers' file systems, which count bytes and report
/// an invalid name.
pub(crate) fn is_long(path: &str) -> bool {
    let mut names = path.split('\\');
    path.len() > SERVER_PATH_BYTES_MAX || names.any(|name| name.len() > SERVER_NAME_BYTES_MAX)
}

/// The server's form of a symbolic link's target.
pub(crate) fn target_to_server(target: &str) -> String {
    let components = target.split('/').map(|part| match part {
        "" | "." | ".." => part.to_owned(),
        part => part.chars().map(to_private).collect(),
    });
    components.collect::<Vec<_>>().join("\\")
}

/// The Linux form of a symbolic link's target.
pub(crate) fn target_from_server(target: &str) -> String {
    target.replace('\\', "/").chars().map(from_private).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forbidden_characters_are_mapped_both_ways() {
        for (name, mapped) in [
            ("plain.txt", "plain.txt"),
            ("a:b", "a\u{f022}b"),
            ("back\\slash", "back\u{f026}slash"),
            ("dots..", "dots.\u{f029}"),
            ("space ", "space\u{f028}"),
            ("...", "..\u{f029}"),
            ("tab\there", "tab\u{f009}here"),
        ] {
            assert_eq!(to_server(OsStr::new(name)).unwrap(), mapped);
            assert_eq!(from_server(mapped).unwrap(), name);
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        for name in ["", ".", "..", "a/b"] {
            assert_eq!(to_server(OsStr::new(name)).unwrap_err().code(), Errno::EINVAL.code());
        }
        assert_eq!(to_server(OsStr::from_bytes(b"\xff")).unwrap_err().code(), Errno::EILSEQ.code());
        assert!(to_server(OsStr::new(&"é".repeat(255))).is_ok());
        assert_eq!(to_server(OsStr::new(&"é".repeat(256))).unwrap_err().code(), Errno::ENAMETOOLONG.code());
        assert_eq!(from_server(".."), None);
        for name in ["", ".", "\u{f029}", ".\u{f029}", "a/b", "a\\b", "..\\b", "a\0b", &"x".repeat(256)] {
            assert_eq!(from_server(name), None, "{name:?}");
        }
    }

    #[test]
    fn names_and_paths_beyond_the_limits_of_unix_servers_are_long() {
        let name = "日".repeat(85);
        assert!(to_server(OsStr::new(&name)).is_ok() && !is_long(&name));
        assert!(is_long(&format!("{name}x")) && is_long(&format!("d\\{name}x\\e")));
        let deep = vec![name; 17].join("\\");
        assert!(!is_long(&deep[..4095]) && is_long(&deep));
    }

    #[test]
    fn link_targets_keep_their_components() {
        assert_eq!(target_to_server("../a b/c:d"), "..\\a b\\c\u{f022}d");
        assert_eq!(target_from_server("..\\a b\\c\u{f022}d"), "../a b/c:d");
    }

    proptest! {
        #[test]
        fn mapped_names_round_trip(name in "[^/\0\u{f000}-\u{f0ff}]{1,60}") {
            prop_assume!(name != "." && name != "..");
            let mapped = to_server(OsStr::new(&name)).unwrap();
            prop_assert!(wire::fscc::name::check_component(&mapped).is_ok());
            prop_assert_eq!(from_server(&mapped), Some(name));
        }
    }
}
