//! POSIX opens, which extend MS-SMB2 3.3.5.9: their names, modes and attributes (POSIX-SMB2, POSIX-FSCC).

use std::borrow::Cow;

use vfs::{Kind, Stat};
use wire::ioctl::ReparseTag;
use wire::posix::{PosixAttributes, PosixKind, PosixMode};
use wire::private_use::{BACKSLASH, end_from_private, from_private, to_private, with_private_end};

use crate::core::security::Token;

/// The POSIX attributes of a file of `links` names, as the user of `token` sees its owner and group.
///
/// The mode of a directory lacks the kind, as ksmbd's does. Linux before 6.12 adds it to S_IFDIR and then takes the share
/// for no directory; later versions go by FILE_ATTRIBUTE_DIRECTORY where the kind is missing.
pub(crate) fn attributes(token: &Token, stat: &Stat, links: u32) -> PosixAttributes {
    let kind = match stat.kind {
        Kind::Symlink => PosixKind::Symlink,
        Kind::File if stat.reparse_tag == ReparseTag::SYMLINK.0 => PosixKind::Symlink,
        Kind::File | Kind::Directory | Kind::Other => PosixKind::File,
    };
    PosixAttributes {
        links,
        reparse_tag: stat.reparse_tag,
        mode: PosixMode::new(kind, stat.mode),
        owner: token.unix_owner_of(stat),
        group: token.unix_group_of(stat),
    }
}

/// `DeviceId`: the part of the device number that there is room for.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest 32 bits have the numbers of all usual devices"
)]
pub(crate) fn device(stat: &Stat) -> u32 {
    stat.device as u32
}

/// A path of a POSIX open with the separators and characters of other opens. `/` separates as well as `\`; the other
/// characters that Windows forbids, and a space or dot at the end of a name, become the private use characters that
/// stand for them (`docs/names.md`).
pub(crate) fn windows_path(path: &str) -> String {
    let component = |name: &str| -> String {
        match name {
            "." | ".." => name.to_owned(),
            _ => with_private_end(name.chars().map(to_private).collect()),
        }
    };
    path.split(['/', '\\']).map(component).collect::<Vec<_>>().join("\\")
}

/// A listed name as a POSIX open shows it: with the characters for which private use characters stand, except for the
/// separator.
pub(crate) fn posix_name(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    let shown = |c| match c {
        BACKSLASH => c,
        c => end_from_private(from_private(c)),
    };
    Cow::Owned(name.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posix_names_have_every_character_but_the_separators() {
        for (posix, windows) in [
            ("dir/a:b", "dir\\a\u{f022}b"),
            ("dir\\plain", "dir\\plain"),
            ("tab\there?", "tab\u{f009}here\u{f025}"),
            ("dir./ends /", "dir\u{f029}\\ends\u{f028}\\"),
            ("./../...", ".\\..\\..\u{f029}"),
            ("a\u{f022}b", "a\u{f022}b"),
        ] {
            assert_eq!(windows_path(posix), windows);
        }
        for (listed, shown) in [
            ("plain", "plain"),
            ("é\u{f022}\u{f009}", "é:\t"),
            ("end\u{f028}", "end "),
            ("end\u{f029}", "end."),
            // A backslash would separate.
            ("a\u{f026}b", "a\u{f026}b"),
        ] {
            assert_eq!(posix_name(listed), shown);
        }
    }
}
