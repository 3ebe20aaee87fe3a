//! Plain words in doc comments, as far as a program can check them; CONTRIBUTING.md has the whole rule.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Findings, crates};
use crate::shell::files;

/// The beginnings of a doc comment that name no subject.
const OPENINGS: &[&str] = &[
    "How", "It", "Its", "So", "That", "They", "Those", "What", "Whatever", "Where", "Wherever", "Whether",
    "Which", "Who", "Whoever", "Whom", "Whose", "Why",
];

/// The phrases that stand for a `None`; a doc comment says "`None` if ..." instead.
const NONE_PHRASES: &[&str] = &["; none", ", none ", "none if ", "none when ", "none where ", "None where "];

/// The verbs that personify a program, as whole words.
const PERSONIFYING: &[&str] = &["hear", "heard", "hears", "wish", "wishes"];

pub(super) fn check(top: &Path, findings: &mut Findings) {
    for path in areas(top).iter().flat_map(|directory| files(directory, &["rs"])) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (line, fault) in faults_in(&text) {
            findings.error(&path, line, &fault);
        }
    }
}

/// The directories of the crates, the test packages and the tools.
fn areas(top: &Path) -> Vec<PathBuf> {
    let others =
        ["xtask", "bench", "fuzz", "tests/failover", "tests/peers", "tests/rust-clients", "tests/soak"];
    let others = others.map(|name| top.join(name));
    crates(top).into_iter().map(|(_, directory)| directory).chain(others).collect()
}

/// The doc comments with a fault, by their first line. A comment is reported once, with its first fault.
fn faults_in(text: &str) -> Vec<(usize, String)> {
    doc_comments(text).into_iter().filter_map(|(line, comment)| Some((line, fault(&comment)?))).collect()
}

fn fault(comment: &str) -> Option<String> {
    let opening = comment.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if OPENINGS.contains(&opening) {
        return Some(format!("a doc comment begins with \"{opening}\": name the subject or define the item"));
    }
    if comment.starts_with("The same ") || comment.starts_with("The same,") {
        return Some("a doc comment begins with \"The same\": name the item that it resembles".to_owned());
    }
    if let Some(phrase) = NONE_PHRASES.iter().find(|phrase| comment.contains(**phrase)) {
        return Some(format!("\"{}\" in a doc comment: write \"`None` if ...\"", phrase.trim()));
    }
    let word = comment.split(|c: char| !c.is_alphanumeric()).find(|word| PERSONIFYING.contains(word));
    word.map(|word| format!("\"{word}\" in a doc comment: name what the program does"))
}

/// The doc comments with the numbers of their first lines; the lines of each are joined with spaces.
fn doc_comments(text: &str) -> Vec<(usize, String)> {
    let mut comments: Vec<(usize, &str, String)> = Vec::new();
    let mut previous = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["///", "//!"].into_iter().find(|marker| line.starts_with(marker));
        let Some(marker) = marker.filter(|_| !line.starts_with("////")) else {
            previous = None;
            continue;
        };
        let content = line.trim_start_matches(marker).trim();
        match comments.last_mut().filter(|_| previous == Some(marker)) {
            Some((_, _, comment)) => {
                comment.push(' ');
                comment.push_str(content);
            }
            None => comments.push((index + 1, marker, content.to_owned())),
        }
        previous = Some(marker);
    }
    comments.into_iter().map(|(line, _, comment)| (line, comment)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_doc_comment_are_joined() {
        let text =
            "//! A module.\n\n/// One\n/// two.\nstruct S; // no doc comment\n    /// Three.\n//// rule\n";
        let expected = [(1, "A module."), (3, "One two."), (6, "Three.")];
        assert_eq!(doc_comments(text), expected.map(|(line, comment)| (line, comment.to_owned())));
    }

    #[test]
    fn comments_without_a_subject_are_faults() {
        for comment in [
            "What happens when nothing else does.",
            "Whether the open is durable.",
            "Who has it open.",
            "It in one line.",
            "So many look-ups fewer.",
            "Those that match.",
            "The same, with options.",
            "The lease of an open; none without one.",
            "The share, none where it is gone.",
            "The watcher hears of it.",
        ] {
            assert!(fault(comment).is_some(), "{comment}");
        }
        for comment in [
            "The lease table of one client.",
            "`None` if the open has no lease.",
            "Returns `None` if the open has no lease.",
            "Itself a server.",
            "True if none of the opens is durable.",
            "The same-named stream.",
        ] {
            assert_eq!(fault(comment), None, "{comment}");
        }
    }
}
