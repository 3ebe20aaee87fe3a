//! Checks that documents are true: paths and crates exist, and commands run.

use std::fs;
use std::path::Path;

use super::Findings;

pub(super) fn check(top: &Path, findings: &mut Findings) {
    for name in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"] {
        let path = top.join(name);
        let Ok(text) = fs::read_to_string(&path) else {
            findings.warning(&path, 0, "there is none");
            continue;
        };
        paths(top, &path, &text, findings);
        names(top, &path, &text, findings);
        commands(top, &path, &text, findings);
    }
    for path in crate::shell::files(&top.join("docs"), &["md"]) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        paths(top, &path, &text, findings);
        // There, `net` is Samba's program, too.
        if !["from-samba.md", "samba.md", "other-servers.md"].iter().any(|name| path.ends_with(name)) {
            commands(top, &path, &text, findings);
        }
    }
}

/// Reports texts in backticks that look like paths of this tree but do not exist.
fn paths(top: &Path, document: &Path, text: &str, findings: &mut Findings) {
    let known = [
        "crates/",
        "tests/",
        "tools/",
        "xtask/",
        "bench/",
        "fuzz/",
        "packaging/",
        "docs/",
        ".ci/",
        ".cargo/",
    ];
    let folders = folders(text);
    for (line, quoted) in quoted(text) {
        let folder = folders.get(line - 1).copied().flatten();
        let path = quoted.split("::").next().unwrap_or_default().trim_end_matches('/');
        let file = path.ends_with(".rs")
            || path.ends_with(".md")
            || path.ends_with(".sh")
            || path.ends_with(".toml");
        let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let full = known.iter().any(|start| quoted.starts_with(start));
        let below = folder.is_some() && quoted.ends_with('/');
        let inside = full || below || (file && !path.starts_with('/'));
        if !plain || !inside {
            continue;
        }
        // `registry/src/open.rs` is short for `crates/registry/src/open.rs`, `open.rs` alone for a file somewhere.
        let exists = match folder {
            Some(folder) if !full => {
                [folder, &format!("{folder}/src")].iter().any(|it| top.join(it).join(path).exists())
            }
            _ => {
                top.join(path).exists()
                    || top.join("crates").join(path).exists()
                    || (!path.contains('/') && somewhere(top, path))
            }
        };
        // These are files of a user, not of this tree.
        let users = ["shareward.toml", "smb.conf"].contains(&path);
        if !exists && !users {
            findings.error(document, line, format!("`{quoted}` does not exist"));
        }
    }
}

/// The folder that short names are relative to, for each line: the one in bold at the head of the paragraph.
fn folders(text: &str) -> Vec<Option<&str>> {
    let mut folder = None;
    let mut folders = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("**`").and_then(|rest| rest.split_once("`**")) {
            Some((head, _)) => folder = Some(head),
            None if line.starts_with('#') => folder = None,
            None => {}
        }
        folders.push(folder);
    }
    folders
}

fn somewhere(top: &Path, name: &str) -> bool {
    crate::shell::files(top, &["rs", "md", "sh", "toml"]).iter().any(|path| path.ends_with(name))
}

/// Reports names of functions, types and constants that their file does not have: `name` of `path.rs`.
fn names(top: &Path, document: &Path, text: &str, findings: &mut Findings) {
    let pieces: Vec<&str> = text.split('`').collect();
    let mut line = 1;
    for (index, piece) in pieces.iter().enumerate() {
        if let [name, of, path, ..] = &pieces[index..]
            && index % 2 == 1
            && of.split_whitespace().eq(["of"])
            && path.ends_with(".rs")
            && let Ok(source) = fs::read_to_string(top.join(path))
            && !source
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| Some(word) == name.rsplit("::").next())
        {
            findings.error(document, line, format!("`{path}` has no `{name}`"));
        }
        line += piece.matches('\n').count();
    }
}

/// Commands in code blocks: our own subcommands must exist.
fn commands(top: &Path, document: &Path, text: &str, findings: &mut Findings) {
    let applets = sources_of(&top.join("crates/shareward/src"));
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            continue;
        }
        let code = line.trim_start().trim_start_matches("$ ").trim_start_matches("sudo ");
        let words: Vec<&str> = code.split_whitespace().collect();
        if !inside && !line.starts_with("    ") {
            continue;
        }
        match words.as_slice() {
            ["cargo", "xtask", chore, ..] => {
                let chores = [
                    "test", "tidy", "torture", "kernel", "fuzz", "soak", "cluster", "bench", "book",
                    "package", "dist",
                ];
                if !chores.contains(chore) {
                    findings.error(document, index + 1, format!("there is no `cargo xtask {chore}`"));
                }
            }
            ["cargo", "run", rest @ ..] => {
                let applet = rest.iter().skip_while(|word| **word != "--").nth(1);
                unknown(applet, &applets, document, index, findings);
            }
            ["shareward" | "net", applet, ..] => unknown(Some(applet), &applets, document, index, findings),
            _ => {}
        }
    }
}

fn unknown(applet: Option<&&str>, applets: &str, document: &Path, index: usize, findings: &mut Findings) {
    let Some(applet) = applet else { return };
    let name: String = applet.chars().take_while(char::is_ascii_alphanumeric).collect();
    if !name.is_empty() && !applets.contains(&format!("\"{}\"", name.to_lowercase())) {
        findings.error(document, index + 1, format!("there is no command `{name}`"));
    }
}

fn sources_of(directory: &Path) -> String {
    let texts =
        crate::shell::files(directory, &["rs"]).into_iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.collect::<Vec<_>>().concat()
}

/// The texts in single backticks outside of code blocks, with their lines.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            let pieces = line.split('`').skip(1).step_by(2);
            found.extend(pieces.map(|piece| (index + 1, piece)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_pieces_are_found_outside_blocks() {
        let text = "see `a/b.rs` and `c`\n```\n`no`\n```\n`d`\n";
        assert_eq!(quoted(text), [(1, "a/b.rs"), (1, "c"), (5, "d")]);
    }

    #[test]
    fn short_names_are_looked_for_in_the_folder_of_their_paragraph() {
        let mut findings = Findings { errors: Vec::new(), warnings: Vec::new() };
        let text = "**`xtask`**: chores\n- `tidy/doors.rs`, `tidy/`, `doors.rs`\n- `torture/`\n\n# Next\n`doors.rs`\n";
        paths(&testkit::repository(), Path::new("A.md"), text, &mut findings);
        assert_eq!(findings.errors.len(), 2, "{:?}", findings.errors);
        assert!(findings.errors[0].contains("A.md:2: `doors.rs`"), "{:?}", findings.errors);
        assert!(findings.errors[1].contains("A.md:3: `torture/`"), "{:?}", findings.errors);
    }

    #[test]
    fn a_name_that_its_file_does_not_have_is_an_error() {
        let mut findings = Findings { errors: Vec::new(), warnings: Vec::new() };
        let file = "xtask/src/tidy/documents.rs";
        let text = format!("`names` of\n`{file}`, `X::names` of `{file}`\nand `no{}` of `{file}`", "body");
        names(&testkit::repository(), Path::new("A.md"), &text, &mut findings);
        assert_eq!(findings.errors.len(), 1, "{:?}", findings.errors);
        assert!(findings.errors[0].contains("A.md:3:"), "{:?}", findings.errors);
    }
}
