//! Rules for source files: their length, the places of `unsafe`, the citations in handlers, and forbidden words.

use std::fs;
use std::path::Path;

use super::Findings;
use crate::shell::files;

/// A file of more lines is too long; of more than [`LINES_WARN`], it soon will be.
const LINES_MAX: usize = 900;
const LINES_WARN: usize = 600;

/// Longer files that were reviewed and are better in one piece, with the reason.
const LONG: &[(&str, &str)] = &[];

/// The modules that may contain `unsafe`, each with the reason why it must.
const UNSAFE: &[(&str, &str)] = &[
    ("crates/domain/src/winbind/native.rs", "loads a C library, of which it declares the functions"),
    ("crates/domain/src/winbind/calls.rs", "calls the functions of that library"),
    (
        "crates/domain/src/lib.rs",
        "forbids nothing, so that the modules above can be the exception; it denies",
    ),
    ("crates/gss/src/native.rs", "loads a C library, of which it declares the functions"),
    ("crates/gss/src/objects.rs", "calls the functions of that library"),
    ("crates/gss/src/lib.rs", "forbids nothing, so that the modules above can be the exception; it denies"),
    ("crates/registry/src/lock.rs", "gives one thread the state that several share at other times"),
    ("crates/registry/src/shared.rs", "gives several threads different parts of one state"),
    ("crates/registry/src/gate.rs", "its tests put in a lock, the trait of which is unsafe"),
    (
        "crates/registry/src/lib.rs",
        "forbids nothing, so that the modules above can be the exception; it denies",
    ),
    ("crates/vfs/src/local/clone.rs", "FICLONERANGE has no safe wrapper"),
    ("crates/vfs/src/local/closing.rs", "close has no safe wrapper that tells its error"),
    ("crates/vfs/src/lib.rs", "forbids nothing, so that the modules above can be the exception; it denies"),
];

/// The places where the server may spawn untracked tasks: the bulkheads themselves, and tasks without file access.
const SPAWNING: &[&str] =
    &["crates/server/src/core/bulkhead", "crates/server/src/testing", "crates/server/src/testing.rs"];

/// The files that may change the case of more than ASCII, with the reason. All others compare names by `wire::names`.
const CASES: &[(&str, &str)] = &[
    ("crates/wire/src/names.rs", "the comparison of names itself"),
    (
        "crates/server/src/core/security/token.rs",
        "files keep relative ids that were made of names in lower case",
    ),
];

/// Markers of unfinished work.
const LEFTOVERS: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

pub(super) fn check(top: &Path, findings: &mut Findings) {
    let mut sources = Vec::new();
    for directory in ["crates", "bench", "fuzz", "tests", "xtask"] {
        sources.extend(files(&top.join(directory), &["rs"]));
    }
    for path in &sources {
        let Ok(text) = fs::read_to_string(path) else {
            findings.error(path, 0, "not UTF-8");
            continue;
        };
        length(top, path, &text, findings);
        unsafety(top, path, &text, findings);
        spawning(top, path, &text, findings);
        folding(top, path, &text, findings);
    }
    let handlers = top.join("crates/server/src/smb/handlers");
    // One file per command; deeper files have parts of a command.
    for path in files(&handlers, &["rs"]).iter().filter(|path| path.parent() == Some(&handlers)) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let shared = path.file_name().is_some_and(|name| name == "mod.rs");
        if !shared && !text.contains("MS-SMB2 3.3.5.") {
            findings.error(
                path,
                0,
                "a handler that cites no section: its first line names `MS-SMB2 3.3.5.`...",
            );
        }
    }
    words(top, findings);
}

fn length(top: &Path, path: &Path, text: &str, findings: &mut Findings) {
    let lines = text.lines().count();
    let reviewed =
        LONG.iter().any(|(long, _)| path.strip_prefix(top).is_ok_and(|path| path == Path::new(long)));
    if lines > LINES_MAX && !reviewed {
        findings.error(path, 0, format!("{lines} lines: split it (at most {LINES_MAX})"));
    } else if lines > LINES_WARN {
        findings.warning(path, 0, format!("{lines} lines"));
    }
}

fn unsafety(top: &Path, path: &Path, text: &str, findings: &mut Findings) {
    let relative = path.strip_prefix(top).unwrap_or(path);
    let allowed = UNSAFE.iter().any(|(module, _)| relative.to_string_lossy().starts_with(module));
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let uses = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"];
        // This file contains the names as strings.
        if uses.iter().any(|word| code.contains(word)) && !allowed && !relative.starts_with("xtask") {
            findings.error(path, index + 1, "`unsafe` outside the modules that may have it");
        }
    }
    let root = path.file_name().is_some_and(|name| name == "lib.rs");
    let may = UNSAFE.iter().any(|(module, _)| relative.to_string_lossy().starts_with(module));
    let auth = relative.starts_with("crates/auth");
    if root && relative.starts_with("crates") && !may && !auth && !text.contains("#![forbid(unsafe_code)]") {
        findings.error(path, 0, "a crate without #![forbid(unsafe_code)]");
    }
}

/// A task that is spawned without `bulkhead::spawn` may be stuck behind another task's call into a hung file system.
fn spawning(top: &Path, path: &Path, text: &str, findings: &mut Findings) {
    let relative = path.strip_prefix(top).unwrap_or(path);
    let is_test = relative.ends_with("tests.rs");
    if is_test
        || !relative.starts_with("crates/server/src")
        || SPAWNING.iter().any(|it| relative.starts_with(it))
    {
        return;
    }
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for (index, line) in code.lines().enumerate().filter(|(_, line)| line.contains("tokio::spawn(")) {
        findings.error(path, index + 1, format!("bulkhead::spawn instead of {}", line.trim()));
    }
}

/// A second way of ignoring case makes two names of one, or one of two.
fn folding(top: &Path, path: &Path, text: &str, findings: &mut Findings) {
    let relative = path.strip_prefix(top).unwrap_or(path);
    let is_product =
        relative.starts_with("crates") && relative.components().any(|it| it.as_os_str() == "src");
    let is_test = relative.ends_with("tests.rs") || relative.starts_with("crates/testkit");
    if !is_product || is_test || CASES.iter().any(|(allowed, _)| relative == Path::new(allowed)) {
        return;
    }
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (index, line) in code.lines().enumerate() {
        if ["to_lowercase", "to_uppercase"].iter().any(|it| line.contains(it)) {
            findings.error(
                path,
                index + 1,
                "names are compared by wire::names; words of ASCII have to_ascii_lowercase",
            );
        }
    }
}

fn words(top: &Path, findings: &mut Findings) {
    // Put together here, so that this file does not contain them.
    let workplace = [["/wo", "rk/"].concat(), ["DESI", "GN.md"].concat(), ["STY", "LE.md"].concat()];
    let kinds = ["rs", "md", "toml", "sh", "py", "service", "tsv", "txt", "yml", "yaml", "json"];
    for path in files(top, &kinds) {
        let this = path.ends_with("xtask/src/tidy/sources.rs");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = workplace.iter().find(|word| line.contains(word.as_str())) {
                findings.error(&path, index + 1, format!("{word} is a place that no reader has"));
            }
            let word = |word: &&&str| has_word(line, word);
            if let Some(word) = LEFTOVERS.iter().find(word).filter(|_| !this) {
                findings.error(&path, index + 1, format!("{word}: do it, or write an issue"));
            }
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_words() {
        assert!(has_word("// FIXME: later", "FIXME"));
        assert!(!has_word("mktemp kernel-client.XXXXXX", "XXX"));
    }
}
