//! The licences of everything that the binary contains, as a machine-readable Debian copyright file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::shell;

/// A crate of somebody else in the binary.
#[derive(Debug)]
struct Dependency {
    name: String,
    version: String,
    /// The expression of its manifest (SPDX).
    license: String,
    holders: Vec<String>,
    /// The texts of its licence files, without those that every Debian system has.
    texts: Vec<String>,
    /// True if one of its licence files is the Apache License 2.0, or it has no file and may be used under it.
    apache: bool,
}

/// The copyright file for a build for `triple`.
pub(super) fn file(triple: &str, repository: &Path) -> io::Result<String> {
    let dependencies = dependencies(triple)?;
    let mit = fs::read_to_string(repository.join("LICENSE-MIT"))?;
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: Shareward\n\
         Source: {}\nComment: The program is linked with the crates below, which come from https://crates.io.\n\n\
         Files: *\nCopyright: {}\nLicense: MIT or Apache-2.0\n{}{}",
        SOURCE,
        holders_of(&mit).into_iter().next().unwrap_or_else(|| "the authors of Shareward".into()),
        indented(&mit),
        APACHE
    );
    // Crates of one project have the same licence and holders: one paragraph for all of them.
    let mut groups: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for it in dependencies {
        let mut body: String = it.texts.iter().map(|text| indented(text)).collect::<Vec<_>>().join(" .\n");
        if it.apache {
            body += APACHE;
        }
        let key = (debian_name(&it.license), it.holders.join("\n "), body);
        groups.entry(key).or_default().push(format!("vendor/{}-{}/*", it.name, it.version));
    }
    for ((license, holders, body), files) in groups {
        text += &format!("\nFiles: {}\nCopyright: {holders}\nLicense: {license}\n{body}", files.join("\n "));
    }
    Ok(text)
}

/// The place of the source.
const SOURCE: &str = env!("CARGO_PKG_REPOSITORY");

/// The reference to the text that every Debian system has.
const APACHE: &str =
    " .\n The text of the Apache License, version 2.0, is in\n /usr/share/common-licenses/Apache-2.0.\n";

/// The crates of others that are linked into the binary, by name and version.
fn dependencies(triple: &str) -> io::Result<Vec<Dependency>> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", triple];
    let text =
        shell::output(shell::cargo(&arguments)).ok_or_else(|| io::Error::other("`cargo metadata` failed"))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (string(&package["id"]), package)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (string(&node["id"]), node)).collect();
    let root = packages.iter().find(|(_, package)| package["name"] == "shareward");
    let mut open: Vec<String> = root.map(|(id, _)| id.clone()).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dependency in list(&nodes.get(&id).cloned().unwrap_or_default()["deps"]) {
            // Kinds other than null are for build scripts and tests.
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                open.push(string(&dependency["pkg"]));
            }
        }
    }
    let theirs = seen.iter().filter_map(|id| packages.get(id)).filter(|package| !package["source"].is_null());
    let mut found: Vec<Dependency> = theirs.map(dependency).collect::<io::Result<_>>()?;
    if found.is_empty() {
        return Err(io::Error::other("`cargo metadata` names no dependency"));
    }
    found.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(found)
}

fn dependency(package: &Value) -> io::Result<Dependency> {
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, license) = (string(&package["name"]), string(&package["license"]));
    let manifest = string(&package["manifest_path"]);
    let directory = Path::new(&manifest).parent().unwrap_or(Path::new("/"));
    let mut files = license_files(directory);
    // aws-lc-sys has the C library in a folder.
    files.extend(license_files(&directory.join("aws-lc")));
    let mut texts = Vec::new();
    let mut holders = Vec::new();
    let mut apache = false;
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
        let (text, had_apache) = without_apache(&text);
        apache |= had_apache;
        if !text.trim().is_empty() && !texts.contains(&text) {
            holders.extend(holders_of(&text));
            texts.push(text);
        }
    }
    if texts.is_empty() && !apache {
        if !license.contains("Apache-2.0") {
            return Err(io::Error::other(format!("{name} ({license}) has no text of its licence")));
        }
        apache = true;
    }
    if holders.is_empty() {
        let authors = package["authors"].as_array().cloned().unwrap_or_default();
        holders = authors.iter().filter_map(|author| author.as_str().map(str::to_owned)).collect();
    }
    if holders.is_empty() {
        holders = vec![format!("the authors of {name}")];
    }
    let mut known = BTreeSet::new();
    holders.retain(|holder| known.insert(holder.clone()));
    Ok(Dependency { version: string(&package["version"]), name, license, holders, texts, apache })
}

fn license_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
                .iter()
                .any(|front| name.starts_with(front))
        })
        .collect();
    found.sort();
    found
}

/// The text without the Apache License 2.0, which every Debian system has, and true if it was there.
fn without_apache(text: &str) -> (String, bool) {
    let mut left = String::new();
    let mut end_of_part = None;
    let mut found = false;
    for line in text.lines() {
        let bare = line.trim();
        if let Some(end) = end_of_part {
            if bare.ends_with(end) {
                end_of_part = None;
            }
        } else if let Some((_, end)) = APACHE_PARTS.iter().find(|(start, _)| begins_part(bare, start)) {
            end_of_part = Some(*end);
            found = true;
        } else {
            left.push_str(line);
            left.push('\n');
        }
    }
    // A part without its end could hide another licence.
    if end_of_part.is_some() { (text.to_owned(), false) } else { (left, found) }
}

/// True if the line begins a part. The title stands alone on its line; elsewhere it is a mention.
fn begins_part(line: &str, start: &str) -> bool {
    if start == TERMS { line == start } else { line.starts_with(start) }
}

/// The first line and the end of the last line of the parts of the Apache License 2.0: the terms, and the advice on their
/// use.
const APACHE_PARTS: [(&str, &str); 2] =
    [(TERMS, "END OF TERMS AND CONDITIONS"), ("APPENDIX: How to apply the Apache", "third-party archives.")];
const TERMS: &str = "Apache License";

/// The lines of a licence that name a holder of the copyright.
fn holders_of(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let marked = lines.filter(|line| {
        let line = line.to_lowercase();
        let named = line.strip_prefix("copyright").map(str::trim_start).unwrap_or_default();
        named.starts_with("(c)") || named.starts_with('©') || named.starts_with(|c: char| c.is_ascii_digit())
    });
    // The field contains years and names only.
    let bare = marked.map(|line| {
        let rest = line.get("copyright".len()..).unwrap_or_default().trim_start();
        let rest = ["(c)", "(C)", "©"].iter().find_map(|mark| rest.strip_prefix(mark)).unwrap_or(rest);
        rest.trim().trim_end_matches('.').to_owned()
    });
    let mut found: Vec<String> = bare.filter(|holder| !holder.is_empty() && holder.len() < 120).collect();
    found.dedup();
    found.truncate(20);
    found
}

/// A licence expression as Debian writes it: alternatives with "or", which binds closer than ", and".
fn debian_name(spdx: &str) -> String {
    let parts = spdx.replace('/', " OR ");
    let parts: Vec<String> = parts
        .split(" AND ")
        .map(|part| part.trim().trim_start_matches('(').trim_end_matches(')').replace(" OR ", " or "))
        .map(|part| part.replace(" WITH LLVM-exception", " with LLVM-exception exception"))
        .collect();
    parts.join(", and ")
}

/// The text as the continuation of a field: each line indented, empty lines as a dot.
fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(str::trim_end).skip_while(|line| line.is_empty());
    let lines = lines.map(|line| line.replace(['\u{c}', '\u{feff}'], ""));
    lines.map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_debians_form() {
        for (spdx, expected) in [
            ("MIT OR Apache-2.0", "MIT or Apache-2.0"),
            ("MIT/Apache-2.0", "MIT or Apache-2.0"),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", "MIT or Apache-2.0, and Unicode-3.0"),
        ] {
            assert_eq!(debian_name(spdx), expected);
        }
    }

    #[test]
    fn text_of_the_apache_license_is_cut_out() {
        let repository = testkit::repository();
        let apache = fs::read_to_string(repository.join("LICENSE-APACHE")).unwrap();
        let mention = "Under the Apache License, Version 2.0.\n";
        assert_eq!(without_apache(&format!("{mention}{apache}")), (mention.to_owned(), true));
        assert_eq!(without_apache("MIT License\n"), ("MIT License\n".to_owned(), false));
    }

    #[test]
    fn holders_are_the_lines_of_the_licence() {
        let text = "MIT License\n\n  Copyright (c) 2020 A <a@b.c>\nCopyright 2021-2023 B\nThe above copyright notice\n";
        assert_eq!(holders_of(text), ["2020 A <a@b.c>", "2021-2023 B"]);
    }

    #[test]
    fn every_dependency_of_the_binary_has_its_licence() {
        let repository = testkit::repository();
        let text = file("x86_64-unknown-linux-gnu", &repository).unwrap();
        // Two that are certain to stay: the runtime, and the library with parts of many licences.
        for part in ["vendor/tokio-", "vendor/aws-lc-sys-", "License: MIT or Apache-2.0\n"] {
            assert!(text.contains(part), "{part}");
        }
        for stanza in text.split("\n\n").skip(1) {
            let fields: Vec<_> = stanza.lines().filter(|line| !line.starts_with(' ')).collect();
            let names: Vec<_> =
                fields.iter().filter_map(|line| line.split_once(':')).map(|it| it.0).collect();
            assert_eq!(names, ["Files", "Copyright", "License"], "{stanza}");
            assert!(stanza.lines().last().is_some_and(|line| line.starts_with(' ')), "{stanza}");
        }
    }
}
