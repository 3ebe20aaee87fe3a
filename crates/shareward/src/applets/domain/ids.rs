//! `shareward domain ids`.

use std::io::Read;

use domain::ids::{IdMap, IdsOfDomain, Kind, Mapping};
use serde::Serialize;

use super::{HELP, failed, login, member, preset, settings};
use crate::cli::Words;
use crate::failure::{Failure, Numbered};
use crate::messages;
use crate::output::{Align, Column, Console, Cut, Table};
use crate::prompt::{self, DefaultAnswer};

/// The text of an import: `net idmap dump` of a large domain has a line for each of some 100,000 ids.
const IMPORT_MAX: u64 = 64 << 20;

pub(super) fn run(operands: &[&str], words: &Words, console: &mut Console) -> Result<(), Failure> {
    let usage = |number| Failure::Usage { error: Numbered::new(number), help: &HELP };
    let Some((verb, rest)) = operands.split_first() else { return list(words, console) };
    match (verb.to_ascii_lowercase().as_str(), rest) {
        ("import", [file]) => import(file, words, console),
        ("forget", []) => forget(words, console),
        ("import" | "forget", _) => Err(usage(messages::ARGUMENT_COUNT_NUMBER)),
        _ => Err(usage(messages::SYNTAX_NUMBER)),
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Ids {
    ranges: Vec<RangeEntry>,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct RangeEntry {
    domain: Option<String>,
    sid: Option<String>,
    first: u32,
    last: u32,
    first_rid: u32,
}

#[derive(Serialize)]
struct Entry {
    kind: &'static str,
    id: u32,
    sid: String,
    name: Option<String>,
    /// `name-service` or `rule`.
    source: &'static str,
}

fn list(words: &Words, console: &mut Console) -> Result<(), Failure> {
    let (_, settings) = settings(words)?;
    let stored = IdMap::read(&settings.state_directory).map_err(|error| failed(error, None))?;
    let (ranges, mappings) = stored.map(|stored| (stored.ranges, stored.mappings)).unwrap_or_default();
    let ids =
        Ids { ranges: ranges.iter().map(range).collect(), entries: mappings.iter().map(entry).collect() };
    if console.json() {
        return console.document("ids", &ids);
    }
    if ids.ranges.is_empty() && ids.entries.is_empty() {
        console.line(messages::NO_ENTRIES);
        return Ok(());
    }
    let width = console.width();
    let rows = ids.ranges.iter().map(|range| {
        vec![
            format!("{}-{}", range.first, range.last),
            range.first_rid.to_string(),
            range.domain.clone().unwrap_or_else(|| String::from("-")),
            range.sid.clone().unwrap_or_else(|| String::from("reserved")),
        ]
    });
    console.write(&Table { columns: &RANGE_COLUMNS, rows }.text(false, width));
    if !ids.entries.is_empty() {
        console.line("");
        let rows = ids.entries.iter().map(|entry| {
            vec![
                entry.kind.to_owned(),
                entry.id.to_string(),
                entry.name.clone().unwrap_or_else(|| String::from("-")),
                entry.sid.clone(),
                entry.source.to_owned(),
            ]
        });
        console.write(&Table { columns: &COLUMNS, rows }.text(false, width));
    }
    Ok(())
}

const fn column(title: &'static str, width: usize) -> Column {
    Column { title, width, align: Align::Left, cut: Cut::Never }
}

const RANGE_COLUMNS: [Column; 4] =
    [column("Ids", 24), column("From RID", 11), column("Domain", 18), column("SID", 44)];

const COLUMNS: [Column; 5] =
    [column("Kind", 7), column("Id", 11), column("Name", 26), column("SID", 47), column("Given by", 12)];

fn range(range: &IdsOfDomain) -> RangeEntry {
    RangeEntry {
        domain: range.name.clone(),
        sid: range.domain.map(|sid| sid.to_string()),
        first: range.first,
        last: range.last,
        first_rid: range.first_rid,
    }
}

fn entry(mapping: &Mapping) -> Entry {
    Entry {
        kind: match mapping.kind {
            Kind::User => "user",
            Kind::Group => "group",
        },
        id: mapping.id,
        sid: mapping.sid.to_string(),
        name: mapping.name.clone(),
        source: if mapping.is_recorded { "name-service" } else { "rule" },
    }
}

fn import(file: &str, words: &Words, console: &mut Console) -> Result<(), Failure> {
    login::root()?;
    let (_, settings, domain) = member(words)?;
    let text = if file == "-" {
        console.input(IMPORT_MAX)
    } else {
        std::fs::File::open(file).and_then(|file| {
            let mut text = String::new();
            file.take(IMPORT_MAX).read_to_string(&mut text)?;
            Ok(text)
        })
    };
    let text = text.map_err(|error| failed(format!("{file}: {error}"), None))?;
    let imported = IdMap::import(&settings.state_directory, domain.id_rules(), &text);
    let imported = imported.map_err(|error| failed(error, None))?;
    console.line(&format!("{} ranges and {} ids were taken over.", imported.ranges, imported.ids));
    Ok(())
}

fn forget(words: &Words, console: &mut Console) -> Result<(), Failure> {
    login::root()?;
    let preset = preset(words)?;
    let (_, settings) = settings(words)?;
    let warning = "All Unix ids of users and groups of domains will be forgotten. Files keep the ids that they\nhave; with \
                   other settings, these may then belong to other users.\n";
    prompt::confirm(console, warning, DefaultAnswer::No, preset)?;
    let existed = IdMap::forget(&settings.state_directory).map_err(|error| failed(error, None))?;
    console.line(if existed { "The ids were forgotten." } else { messages::NO_ENTRIES });
    Ok(())
}
