//! Names: any that Linux allows, as an SMB server takes them.
//!
//! What Windows forbids in a name goes to code points of the private use area and comes back from there, as
//! Apple's clients ("Services for Macintosh") and the Linux kernel's (`mapposix`) do it: a file that one of them
//! named is the same for all.

use std::ffi::OsStr;

use fuser::Errno;
use wire::fscc::name::utf16_length;

use crate::limits::{NAME_UNITS_MAX, SERVER_NAME_BYTES_MAX, SERVER_PATH_BYTES_MAX};

/// The name as the server has it. EILSEQ where it is no Unicode, ENAMETOOLONG where it is too long.
pub(crate) fn to_server(name: &OsStr) -> Result<String, Errno> {
    let name = name.to_str().ok_or(Errno::EILSEQ)?;
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(Errno::EINVAL);
    }
    let body = name.trim_end_matches([' ', '.']);
    let mut mapped: String = body.chars().map(|c| map(c, TO_SERVER)).collect();
    let tail = name.get(body.len()..).unwrap_or_default();
    mapped.extend(tail.chars().enumerate().map(|(index, c)| {
        // Only the very end is lost to a server.
        if index.saturating_add(1) == tail.len() { map(c, TAIL_TO_SERVER) } else { c }
    }));
    if utf16_length(&mapped) > NAME_UNITS_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(mapped)
}

/// The name as Linux shows it. None where it cannot be one.
pub(crate) fn from_server(name: &str) -> Option<String> {
    let mut shown: String = name.chars().map(|c| unmap(c, TO_SERVER)).collect();
    if let Some(last) = shown.pop() {
        shown.push(unmap(last, TAIL_TO_SERVER));
    }
    // A backslash would lead on into another directory of the server's when the name is used.
    let possible = !name.contains('\\') && utf16_length(name) <= NAME_UNITS_MAX;
    let usable = !shown.is_empty() && shown != "." && shown != ".." && !shown.contains(['/', '\0']);
    (possible && usable).then_some(shown)
}

/// The path of `name` in the directory of path `parent`, which is empty for the root.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}\\{name}") }
}

/// Whether a path is longer than many servers' file systems take, although it could be one: their limits count bytes,
/// and they call such a name invalid.
pub(crate) fn is_long(path: &str) -> bool {
    let mut names = path.split('\\');
    path.len() > SERVER_PATH_BYTES_MAX || names.any(|name| name.len() > SERVER_NAME_BYTES_MAX)
}

/// The target of a symbolic link as the server has it.
pub(crate) fn target_to_server(target: &str) -> String {
    let components = target.split('/').map(|part| match part {
        "" | "." | ".." => part.to_owned(),
        part => part.chars().map(|c| map(c, TO_SERVER)).collect(),
    });
    components.collect::<Vec<_>>().join("\\")
}

/// The target of a symbolic link as Linux has it.
pub(crate) fn target_from_server(target: &str) -> String {
    target.replace('\\', "/").chars().map(|c| unmap(c, TO_SERVER)).collect()
}

fn map(c: char, pairs: &[(char, char)]) -> char {
    match c {
        '\u{1}'..='\u{1f}' => char::from_u32(CONTROLS.saturating_add(c.into())).unwrap_or(c),
        c => pairs.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to),
    }
}

fn unmap(c: char, pairs: &[(char, char)]) -> char {
    match c {
        '\u{f001}'..='\u{f01f}' => char::from_u32(u32::from(c).saturating_sub(CONTROLS)).unwrap_or(c),
        c => pairs.iter().find(|(_, to)| *to == c).map_or(c, |(from, _)| *from),
    }
}

/// Where the control characters go.
const CONTROLS: u32 = 0xf000;

const TO_SERVER: &[(char, char)] = &[
    ('"', '\u{f020}'),
    ('*', '\u{f021}'),
    (':', '\u{f022}'),
    ('<', '\u{f023}'),
    ('>', '\u{f024}'),
    ('?', '\u{f025}'),
    ('\\', '\u{f026}'),
    ('|', '\u{f027}'),
];

const TAIL_TO_SERVER: &[(char, char)] = &[(' ', '\u{f028}'), ('.', '\u{f029}')];

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_windows_forbids_is_mapped() {
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
    fn what_is_no_name_is_refused() {
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
    fn names_and_paths_that_unix_servers_do_not_take_are_long() {
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
        fn names_come_back(name in "[^/\0\u{f000}-\u{f0ff}]{1,60}") {
            prop_assume!(name != "." && name != "..");
            let mapped = to_server(OsStr::new(&name)).unwrap();
            prop_assert!(wire::fscc::name::check_component(&mapped).is_ok());
            prop_assert_eq!(from_server(&mapped), Some(name));
        }
    }
}
