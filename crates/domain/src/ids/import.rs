//! Ranges as text: those of a Samba server, and the copy of our own.

use std::fmt::Write;
use std::path::Path;

use wire::security::Sid;

use super::error::Error;
use super::rules::{Rules, Run, is_domain};
use super::table::{Change, Table};
use super::{IdMap, IdsOfDomain, Kind, store};

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The ranges that were not known.
    pub ranges: usize,
    /// The recorded ids that were not known.
    pub ids: usize,
}

const HEAD: &str = "# The ranges of Unix ids of the domains, as a copy of domain-ids.sqlite. If that file is lost,\n\
                    # `shareward domain ids import` makes it anew from this one.\n";

/// The copy of the ranges.
pub(super) fn text(ranges: &[IdsOfDomain]) -> String {
    let mut text = String::from(HEAD);
    for range in ranges {
        let domain = range.domain.map_or_else(|| String::from("ALLOC"), |sid| sid.to_string());
        let name = range.name.as_deref().unwrap_or("-");
        _ = writeln!(text, "IDS {}-{} {} {domain} {name}", range.first, range.last, range.first_rid);
    }
    text
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Ids {
        run: Run,
        domain: Option<Sid>,
        name: Option<String>,
    },
    /// Of `net idmap get ranges`: the number of a part of autorid's range, and the index of the domain's part.
    Part {
        number: u32,
        domain: Option<Sid>,
        index: u32,
    },
    /// The range of Samba's autorid, and the size of its parts.
    Config {
        first: u32,
        size: u32,
    },
    Id {
        sid: Sid,
        kind: Kind,
        id: u32,
    },
    Nothing,
}

impl IdMap {
    /// Takes ranges and ids from a text: the output of Samba's `net idmap get ranges` or `net idmap dump` (with
    /// [`Rules::Autorid`] of the same range), or the copy of the ranges of a lost map. Nothing is taken if a line is
    /// wrong or contradicts the map. No server may have the map open.
    pub fn import(state_directory: &Path, rules: Rules, text: &str) -> Result<Imported, Error> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let read = read(line.trim()).ok_or_else(|| Error::Line {
                line: index.saturating_add(1),
                text: line.chars().take(200).collect(),
            })?;
            lines.push(read);
        }
        // Ranges before the ids in them.
        lines.sort_by_key(|line| matches!(line, Line::Id { .. }));
        let map = Self::open_with(state_directory, rules.clone(), true)?;
        let mut imported = Imported::default();
        let taken = map.change(|table| {
            let mut after = table.clone();
            let mut all = Vec::new();
            for (index, line) in lines.into_iter().enumerate() {
                for change in plan(&after, &rules, line)? {
                    match change {
                        Change::Range { .. } => imported.ranges = imported.ranges.saturating_add(1),
                        Change::Record { .. } => imported.ids = imported.ids.saturating_add(1),
                        Change::Domain { .. } | Change::Name { .. } => {}
                    }
                    let wrong = |text| Error::Line { line: index.saturating_add(1), text };
                    after.load(change.clone()).map_err(wrong)?;
                    all.push(change);
                }
            }
            all.extend(after.settle()?);
            Ok(all)
        });
        if taken.is_err() {
            map.store.lock().undo()?;
        }
        taken.map(|()| imported)
    }

    /// Removes the map: later, users of domains get ids as if there had never been one. Returns false if there is none.
    /// No server may have the map open.
    pub fn forget(state_directory: &Path) -> Result<bool, Error> {
        store::remove(state_directory)
    }
}

fn plan(table: &Table, rules: &Rules, line: Line) -> Result<Vec<Change>, Error> {
    match line {
        Line::Nothing => Ok(Vec::new()),
        Line::Config { first, size } => match rules {
            Rules::Autorid { first: own, range_size, .. } if (*own, *range_size) == (first, size) => {
                Ok(Vec::new())
            }
            _ => Err(Error::Rules(format!(
                "Samba's begins with {first} and has parts of {size} ids (ids = \"autorid\"), those of the settings do not"
            ))),
        },
        Line::Id { sid, kind, id } => table.plan_record(sid, kind, id),
        Line::Part { number, domain, index } => {
            let run = rules.autorid_run(number, index).ok_or_else(|| {
                Error::Rules(format!(
                    "the settings have no part {number} of a range for all domains (autorid)"
                ))
            })?;
            table.plan_import(run, domain)
        }
        Line::Ids { run, domain, name } => {
            let mut changes = table.plan_import(run, domain)?;
            // The name is first: the rules ask for it.
            let named = match (domain, name) {
                (Some(sid), Some(name)) if is_domain(sid) => table.plan_domain(&name, sid)?,
                _ => Vec::new(),
            };
            changes.splice(0..0, named.into_iter().filter(|change| matches!(change, Change::Domain { .. })));
            Ok(changes)
        }
    }
}

fn read(line: &str) -> Option<Line> {
    if line.is_empty() || line.starts_with('#') || line.starts_with("dumping id mapping") {
        return Some(Line::Nothing);
    }
    // The high water marks of Samba's file.
    if ["UID HWM:", "GID HWM:", "USER HWM", "GROUP HWM", "RANGE HWM:", "NEXT RANGE:"]
        .iter()
        .any(|it| line.starts_with(it))
    {
        return Some(Line::Nothing);
    }
    if let Some(rest) = line.strip_prefix("CONFIG:") {
        let value =
            |name: &str| rest.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
        return Some(Line::Config { first: value("minvalue:")?, size: value("rangesize:")? });
    }
    if let Some(rest) = line.strip_prefix("RANGE ") {
        let (number, domain) = rest.split_once(':')?;
        let (domain, index) = domain.trim().split_once('#').unwrap_or((domain.trim(), "0"));
        return Some(Line::Part {
            number: number.trim().parse().ok()?,
            domain: domain_of(domain)?,
            index: index.parse().ok()?,
        });
    }
    let mut words = line.split_ascii_whitespace();
    match words.next()? {
        "IDS" => {
            let (first, last) = words.next()?.split_once('-')?;
            let run = Run {
                first: first.parse().ok()?,
                last: last.parse().ok()?,
                first_rid: words.next()?.parse().ok()?,
            };
            let domain = domain_of(words.next()?)?;
            let name = words.collect::<Vec<_>>().join(" ");
            Some(Line::Ids { run, domain, name: (!name.is_empty() && name != "-").then_some(name) })
        }
        sid => {
            let sid: Sid = sid.parse().ok()?;
            let kind = match words.next()? {
                "UID" => Kind::User,
                "GID" => Kind::Group,
                _ => return None,
            };
            Some(Line::Id { sid, kind, id: words.next()?.parse().ok()? })
        }
    }
}

/// A domain's SID, or `None` for the reserved range.
fn domain_of(text: &str) -> Option<Option<Sid>> {
    if text == "ALLOC" { Some(None) } else { text.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_net_idmap_are_understood() {
        let domain: Sid = "S-1-5-21-1-2-3".parse().unwrap();
        assert_eq!(read("RANGE 0: ALLOC"), Some(Line::Part { number: 0, domain: None, index: 0 }));
        assert_eq!(
            read("RANGE 3: S-1-5-21-1-2-3#7"),
            Some(Line::Part { number: 3, domain: Some(domain), index: 7 })
        );
        let everyone = Line::Id { sid: Sid::WORLD, kind: Kind::Group, id: 1_099_999 };
        assert_eq!(read("S-1-1-0 GID 1099999"), Some(everyone));
        assert_eq!(read("GID HWM: 0"), Some(Line::Nothing));
        let config = read("CONFIG: minvalue:1000000 rangesize:100000 maxranges:10");
        assert_eq!(config, Some(Line::Config { first: 1_000_000, size: 100_000 }));
        for wrong in ["RANGE x: ALLOC", "RANGE 1: S-2", "S-1-1-0 SID 3", "hello", "IDS 1-2", "CONFIG: x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
