//! The report of an import.

use std::path::{Path, PathBuf};

use import::report::{Entry, ShareEntry, ShareOutcome, Verdict};
use import::translate::Translation;
use serde::Serialize;

use super::Found;
use super::write::Written;
use crate::failure::Failure;
use crate::open_files::number;
use crate::output::{Console, clean_line};
use crate::setup;

/// The report in JSON.
#[derive(Serialize)]
struct Document<'a> {
    config: &'a Path,
    parameters: &'a [Entry],
    shares: &'a [ShareEntry],
    carried: usize,
    not_needed: usize,
    not_yet: usize,
    accounts: Accounts<'a>,
    machine_sid: Option<String>,
    notes: Vec<&'a String>,
    written: &'a [PathBuf],
}

/// The accounts in JSON.
#[derive(Default, Serialize)]
struct Accounts<'a> {
    source: Option<&'a Path>,
    found: Vec<&'a str>,
    added: &'a [String],
    kept: &'a [String],
    left_out: &'a [String],
    without_unix_account: &'a [String],
}

/// Shows all answers.
pub(super) fn check(
    path: &Path,
    translation: &Translation,
    found: &Found,
    console: &mut Console,
) -> Result<(), Failure> {
    if console.json() {
        return json(path, translation, found, None, console);
    }
    for verdict in [Verdict::NotYet, Verdict::Carried, Verdict::NotNeeded] {
        lines(translation, verdict, console);
    }
    shares(translation, console);
    console.line(&summary(translation));
    let users = found.accounts.iter().filter(|it| !it.is_machine() && !it.is_guest()).count();
    if let Some(source) = &found.source {
        console.line(&format!("Accounts in {}: {}.", source.display(), number(users, "user", "users")));
    }
    if let Some(sid) = found.sid {
        console.line(&format!("SID of the server: {sid}."));
    }
    notes(translation, found, console);
    Ok(())
}

/// Shows what was written, what is missing, and what to do next.
pub(super) fn imported(
    path: &Path,
    translation: &Translation,
    found: &Found,
    written: &Written,
    console: &mut Console,
) -> Result<(), Failure> {
    if console.json() {
        return json(path, translation, found, Some(written), console);
    }
    lines(translation, Verdict::NotYet, console);
    shares(translation, console);
    console.line(&summary(translation));
    notes(translation, found, console);
    accounts(written, console);
    for file in &written.files {
        console.line(&format!("Written: {}", file.display()));
    }
    let is_default = written.config == setup::config_path(None);
    let named = if is_default { String::new() } else { format!(" --config {}", written.config.display()) };
    console.line(&format!(
        "\nNext:\n\
         \x20 shareward check{named}\n\
         \x20 shareward share, after the start, shows the shares and why one cannot be used\n\
         Both servers want port 445: stop Samba (systemctl disable --now smbd), then\n\
         {}",
        if is_default {
            String::from("  systemctl enable --now shareward")
        } else {
            format!("  shareward serve{named}")
        }
    ));
    Ok(())
}

fn lines(translation: &Translation, verdict: Verdict, console: &mut Console) {
    let of_verdict: Vec<&Entry> =
        translation.entries.iter().filter(|entry| entry.answer == verdict).collect();
    if of_verdict.is_empty() {
        return;
    }
    console.line(&format!("{}:", capital(verdict.words())));
    for entry in of_verdict {
        let Entry { file, line, section, parameter, value, detail, .. } = entry;
        console.line(&clean_line(&format!("  {file}:{line}: [{section}] {parameter} = {value}")));
        console.line(&clean_line(&format!("      {detail}")));
    }
    console.line("");
}

fn shares(translation: &Translation, console: &mut Console) {
    let others: Vec<&ShareEntry> =
        translation.shares.iter().filter(|share| share.outcome != ShareOutcome::Share).collect();
    if others.is_empty() {
        return;
    }
    console.line("Sections that are not served:");
    for share in others {
        let how = match share.outcome {
            ShareOutcome::Comment => "written as a comment",
            _ => "left out",
        };
        console.line(&clean_line(&format!(
            "  {}:{}: [{}] {how}: {}",
            share.file, share.line, share.name, share.detail
        )));
    }
    console.line("");
}

fn accounts(written: &Written, console: &mut Console) {
    let users = &written.users;
    let mut say = |names: &[String], text: &str| {
        if !names.is_empty() {
            let shown = names.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
            console.line(&clean_line(&format!("Accounts {text} ({}): {shown}{more}", names.len())));
        }
    };
    say(&users.added, "added, with their passwords");
    say(&users.kept, "that exist already, not changed");
    say(&users.left_out, "of computers and guests, left out");
    say(&users.impossible, "with impossible names, left out");
    say(&users.without_unix, "without a Unix account, who cannot log on until 'useradd NAME' creates it");
}

fn notes(translation: &Translation, found: &Found, console: &mut Console) {
    for note in found.notes(translation) {
        console.line(&clean_line(&format!("Note: {note}.")));
    }
}

fn summary(translation: &Translation) -> String {
    let shares = translation.shares.iter().filter(|share| share.outcome == ShareOutcome::Share).count();
    format!(
        "{}: {} carried over, {} not needed, {} not there yet. {} of {}.",
        number(translation.entries.len(), "parameter", "parameters"),
        count(translation, Verdict::Carried),
        count(translation, Verdict::NotNeeded),
        count(translation, Verdict::NotYet),
        number(shares, "share", "shares"),
        number(translation.shares.len(), "section", "sections"),
    )
}

fn count(translation: &Translation, verdict: Verdict) -> usize {
    translation.entries.iter().filter(|entry| entry.answer == verdict).count()
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

fn json(
    path: &Path,
    translation: &Translation,
    found: &Found,
    written: Option<&Written>,
    console: &mut Console,
) -> Result<(), Failure> {
    let users = written.map(|it| &it.users);
    let names = |of: fn(&import::users::Merged) -> &Vec<String>| {
        users.map(|it| of(it).as_slice()).unwrap_or_default()
    };
    let document = Document {
        config: path,
        parameters: &translation.entries,
        shares: &translation.shares,
        carried: count(translation, Verdict::Carried),
        not_needed: count(translation, Verdict::NotNeeded),
        not_yet: count(translation, Verdict::NotYet),
        accounts: Accounts {
            source: found.source.as_deref(),
            found: found.accounts.iter().map(|it| it.name.as_str()).collect(),
            added: names(|it| &it.added),
            kept: names(|it| &it.kept),
            left_out: names(|it| &it.left_out),
            without_unix_account: names(|it| &it.without_unix),
        },
        machine_sid: found.sid.map(|sid| sid.to_string()),
        notes: found.notes(translation).collect(),
        written: written.map(|it| it.files.as_slice()).unwrap_or_default(),
    };
    console.document("import", &document)
}

/// The most names in a line.
const NAMES_MAX: usize = 20;
