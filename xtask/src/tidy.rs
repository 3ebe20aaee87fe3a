//! `cargo xtask tidy`: house rules that neither the compiler nor clippy checks.

mod book;
mod dependencies;
mod documents;
mod doors;
mod sources;
mod words;

use std::path::{Path, PathBuf};

/// The results of the checks.
#[derive(Default)]
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn error(&mut self, path: &Path, line: usize, what: impl AsRef<str>) {
        self.errors.push(place(path, line, what.as_ref()));
    }

    fn warning(&mut self, path: &Path, line: usize, what: impl AsRef<str>) {
        self.warnings.push(place(path, line, what.as_ref()));
    }
}

/// Runs all checks and prints their results. Returns true if there are no errors.
pub(crate) fn main() -> bool {
    let mut findings = Findings::default();
    let top = testkit::repository();
    dependencies::check(&top, &mut findings);
    doors::check(&top, &mut findings);
    sources::check(&top, &mut findings);
    words::check(&top, &mut findings);
    documents::check(&top, &mut findings);
    book::check(&top, &mut findings);
    findings.warnings.iter().for_each(|line| println!("warning: {line}"));
    findings.errors.iter().for_each(|line| println!("error: {line}"));
    println!("tidy: {} errors, {} warnings", findings.errors.len(), findings.warnings.len());
    findings.errors.is_empty()
}

fn place(path: &Path, line: usize, what: &str) -> String {
    let path = path.strip_prefix(testkit::repository()).unwrap_or(path).display();
    if line == 0 { format!("{path}: {what}") } else { format!("{path}:{line}: {what}") }
}

/// The directories with a crate's manifest, by the crate's short name.
fn crates(top: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(top.join("crates"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    found.sort();
    found
}
