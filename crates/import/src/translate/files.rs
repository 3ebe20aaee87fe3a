//! The modes of new files, and the Unix identity of the users of a share.

use super::Context;
use super::text::{self, Table, source};
use crate::report::Answers;
use crate::smbconf::{Section, Value, octal, unquoted};

/// Writes the settings about files on the disk.
pub(super) fn settings(
    context: &Context<'_>,
    section: &Section,
    share: &str,
    table: &mut Table,
    answers: &mut Answers,
) {
    modes(context, section, table, answers);
    for (parameter, key) in [("force user", "force_user"), ("force group", "force_group")] {
        forced(context, section, share, (parameter, key), table, answers);
    }
}

/// Samba gives new files the rights to read and write, less those that are not in the mask, and the forced ones; new
/// directories all rights in the same way.
fn modes(context: &Context<'_>, section: &Section, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    let kinds = [
        ("create mask", "force create mode", "file_mode", FILE),
        ("directory mask", "force directory mode", "directory_mode", DIRECTORY),
    ];
    if section.is("inherit permissions") {
        table.set("inherit_permissions", "true", &source(config, section.value("inherit permissions")));
        for value in kinds.iter().flat_map(|(mask, forced, ..)| [section.value(mask), section.value(forced)])
        {
            answers
                .not_needed(value, "new files have the mode of their directory (inherit permissions = yes)");
        }
        return;
    }
    for (mask, forced, key, kind) in kinds {
        let (mask, forced) = (section.value(mask), section.value(forced));
        if mask.is_none() && forced.is_none() {
            continue;
        }
        let bits = |value: Option<&Value>| value.and_then(|value| octal(&value.bytes));
        let mode = kind.all & bits(mask).unwrap_or(kind.default_mask) | bits(forced).unwrap_or(0);
        if mode & !kind.allowed != 0 {
            answers.not_yet(forced, format!("modes with other bits than 0{:o}", kind.allowed));
        }
        if mode & kind.owner != kind.owner {
            answers.carried(mask, format!("{key}, with all rights of the owner"));
        }
        let mode = mode & kind.allowed | kind.owner;
        table.set(key, &text::string(&format!("0{mode:o}")), &source(config, mask.or(forced)));
    }
}

/// The modes of files or of directories.
struct KindOfFile {
    /// The bits before the mask.
    all: u32,
    default_mask: u32,
    /// The bits that Shareward sets.
    allowed: u32,
    /// The owner's bits.
    owner: u32,
}

const FILE: KindOfFile = KindOfFile { all: 0o666, default_mask: 0o744, allowed: 0o777, owner: 0o600 };
const DIRECTORY: KindOfFile = KindOfFile { all: 0o777, default_mask: 0o755, allowed: 0o3777, owner: 0o700 };

fn forced(
    context: &Context<'_>,
    section: &Section,
    share: &str,
    (parameter, key): (&str, &str),
    table: &mut Table,
    answers: &mut Answers,
) {
    let Some(value) = section.value(parameter) else { return };
    let name = context.config.charset.text(unquoted(&value.bytes));
    if name.trim().is_empty() {
        return;
    }
    match context.substituted(name.trim(), share) {
        Err(variable) => answers.not_yet(Some(value), format!("a name with the variable %{variable}")),
        Ok(name) => table.set(key, &text::string(&name), &source(context.config, Some(value))),
    }
}
