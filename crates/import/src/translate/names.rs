//! Vetoed and hidden names, and the bin for deleted files.

use super::Context;
use super::text::{self, Table, source, strings};
use crate::report::Answers;
use crate::smbconf::{Section, Value, boolean, integer, list};

/// Writes `veto_files`, `hide_files` and their kin.
pub(super) fn rules(context: &Context<'_>, section: &Section, table: &mut Table, answers: &mut Answers) {
    let config = context.config;
    for (parameter, key) in [("veto files", "veto_files"), ("hide files", "hide_files")] {
        let Some(value) = section.value(parameter) else { continue };
        let (patterns, left_out) = patterns(context, value);
        if !left_out.is_empty() {
            answers.not_yet(Some(value), format!("these patterns: {}", left_out.join(" ")));
        }
        if !patterns.is_empty() {
            table.set(key, &strings(&patterns), &source(config, Some(value)));
        }
    }
    if section.is("delete veto files") {
        table.set("delete_veto_files", "true", &source(config, section.value("delete veto files")));
    }
    if section.is("hide dot files") {
        table.set("hide_dot_files", "true", &source(config, section.value("hide dot files")));
    }
}

/// The patterns of a list, in which `/` separates, and those that Shareward does not have.
fn patterns(context: &Context<'_>, value: &Value) -> (Vec<String>, Vec<String>) {
    let text = context.config.charset.text(&value.bytes);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for pattern in text.split('/').map(str::trim).filter(|pattern| !pattern.is_empty()) {
        let has_variable = context.substituted(pattern, "").is_err();
        let is_bad = has_variable || !is_pattern(pattern);
        if is_bad { &mut bad } else { &mut good }.push(pattern.to_owned());
    }
    (good, bad)
}

/// True if the settings accept the pattern. One that matches all names is a mistake.
fn is_pattern(pattern: &str) -> bool {
    !pattern.contains('/') && pattern.len() <= PATTERN_BYTES_MAX && pattern.chars().any(|c| c != '*')
}

/// True if the settings accept the path as the directory of a bin.
fn is_below_share(path: &str) -> bool {
    let is_forbidden = |c: char| c < ' ' || "\"*:<>?\\|%".contains(c);
    path.len() <= DIRECTORY_BYTES_MAX
        && !path.contains(is_forbidden)
        && path.split('/').all(|it| !matches!(it, "" | "." | ".."))
}

/// The longest directory of a bin that is carried over: as long as one name can be.
const DIRECTORY_BYTES_MAX: usize = 255;

/// The largest `max_file_mib`: a pebibyte.
const FILE_MEBIBYTES_MAX: i64 = 1 << 30;

/// The longest pattern that is carried over.
const PATTERN_BYTES_MAX: usize = 200;

/// The table `[share.recycle]` for the module recycle; empty without it.
pub(super) fn bin(context: &Context<'_>, section: &Section, answers: &mut Answers) -> String {
    let config = context.config;
    let modules = section.value("vfs objects").map(|value| list(&value.bytes)).unwrap_or_default();
    if !modules.iter().any(|it| it.eq_ignore_ascii_case(b"recycle")) {
        return String::new();
    }
    let option = |name: &str| section.option(config, name).map(|it| &it.value);
    let is = |name: &str| option(name).and_then(|value| boolean(&value.bytes)).unwrap_or(false);
    let mut table = Table::new("[share.recycle]");
    if let Some(value) = option("recycle:repository") {
        let whole = config.charset.text(&value.bytes);
        // Each user has a directory anyway.
        let name = whole.trim_end_matches('/');
        let name = ["/%U", "/%u"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        match is_below_share(name) {
            true => table.set("directory", &text::string(name), &source(config, Some(value))),
            false => answers.not_yet(Some(value), format!("a bin in {whole}; it is .recycle of the share")),
        }
    }
    for (parameter, key) in [("recycle:keeptree", "keep_tree"), ("recycle:versions", "versions")] {
        if !is(parameter) {
            table.set(key, "false", &source(config, option(parameter)));
        }
    }
    if let Some(value) = option("recycle:exclude") {
        let words: Vec<String> = list(&value.bytes).iter().map(|it| config.charset.text(it)).collect();
        let (good, bad): (Vec<&String>, Vec<&String>) = words.iter().partition(|it| is_pattern(it));
        if let [_, ..] = bad.as_slice() {
            let bad: Vec<&str> = bad.into_iter().map(String::as_str).collect();
            answers.not_yet(Some(value), format!("these patterns: {}", bad.join(" ")));
        }
        table.set("exclude", &strings(&good), &source(config, Some(value)));
    }
    let most = option("recycle:maxsize").and_then(|value| integer(&value.bytes)).unwrap_or(0);
    if most > 0 {
        let mebibytes = (most.saturating_add((1 << 20) - 1) / (1 << 20)).min(FILE_MEBIBYTES_MAX);
        table.set("max_file_mib", &mebibytes.to_string(), &source(config, option("recycle:maxsize")));
    }
    table.text().to_owned()
}
