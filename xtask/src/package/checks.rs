//! Checks of the packages' contents.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::{Outcome, Trouble};
use crate::dist::{Release, man};
use crate::shell;

/// Every command of `shareward help` has a page, and each switch of its help is in it.
pub(super) fn pages(release: &Release, program: &Path) -> Outcome {
    let commands = man::commands(&man::help(program, &["help"])?);
    let mut missing = Vec::new();
    let mut seen = 0;
    for command in &commands {
        let name = command.page(&commands);
        let Some(page) = release.pages.iter().find(|page| page.name == name) else {
            missing.push(name);
            continue;
        };
        let text = page.roff.replace("\\-", "-").replace("\\e", "\\").replace("\\fB", "").replace("\\fR", "");
        let words: BTreeSet<&str> = text.split(SEPARATORS).collect();
        let help = man::help(program, &command.help_words())?;
        for switch in help.split(SEPARATORS).filter(|word| word.starts_with(['-', '/']) && word.len() > 1) {
            seen += 1;
            if !words.contains(switch) {
                missing.push(format!("{switch} in {name}"));
            }
        }
    }
    if seen < 100 {
        return Err(Trouble::Failed(format!("only {seen} switches were found in the help")));
    }
    if missing.is_empty() { Ok(()) } else { Err(Trouble::Failed(format!("missing: {}", missing.join(", ")))) }
}

/// The characters around switches.
const SEPARATORS: &[char] = &[' ', '\n', '[', ']', '{', '}', '|', ',', ':', ';', '.', '=', '\'', '(', ')'];

/// The formatter of manual pages has nothing to say about them.
pub(super) fn formatting(release: &Release, directory: &Path) -> Outcome {
    if !shell::installed("groff") {
        return Err(Trouble::Skipped("groff is not installed".into()));
    }
    let place = directory.join("page");
    let mut warnings = String::new();
    for page in &release.pages {
        fs::write(&place, &page.roff)?;
        // The warnings that lintian enables, and the width of a terminal.
        let mut groff = shell::command("groff", &["-man", "-ww", "-Tutf8", "-rLL=80n", "-z"]);
        let output = groff.arg(&place).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        // Lines of the syntax are as long as in the help.
        for line in text.lines().filter(|line| !line.contains("can't break line")) {
            warnings += &format!("\n{}: {line}", page.name);
        }
        if !output.status.success() {
            warnings += &format!("\n{}: groff failed", page.name);
        }
    }
    fs::remove_file(place)?;
    if warnings.is_empty() { Ok(()) } else { Err(Trouble::Failed(warnings)) }
}

/// lintian finds neither errors nor warnings.
pub(super) fn lintian(package: &Path) -> Outcome {
    if !shell::installed("lintian") {
        return Err(Trouble::Skipped("lintian is not installed".into()));
    }
    let mut command = shell::command("lintian", &["--no-cfg", "--allow-root", "--fail-on", "error,warning"]);
    let output = command.arg(package).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(());
    }
    let error = io::Error::other(if text.is_empty() { "lintian failed".into() } else { format!("\n{text}") });
    Err(error.into())
}
