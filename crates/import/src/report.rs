//! The answers to the lines of a configuration.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::parameters::{self, Answer, Kind};
use crate::smbconf::{Config, Line, Meaning, Place, Section, Value, canonical};

/// The answers to a line, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Shareward does the same without a setting, or the line has no effect in Samba either.
    NotNeeded,
    /// The line became a setting.
    Carried,
    /// Shareward does not have this.
    NotYet,
}

impl Verdict {
    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotNeeded => "not needed",
            Self::Carried => "carried over",
            Self::NotYet => "not there yet",
        }
    }
}

/// The answer to one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The section.
    pub section: String,
    /// The parameter as written.
    pub parameter: String,
    /// The value as written.
    pub value: String,
    /// The answer.
    pub answer: Verdict,
    /// The setting, the reason, or the missing ability.
    pub detail: String,
}

/// The outcome of a section other than `[global]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareEntry {
    /// The name.
    pub name: String,
    /// The file of its head.
    pub file: String,
    /// The line of its head.
    pub line: u32,
    /// The outcome.
    pub outcome: ShareOutcome,
    /// The reason, for a share that is not served; else empty.
    pub detail: String,
}

/// The outcomes of sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareOutcome {
    /// The section is a share.
    Share,
    /// The share is written as a comment, because it would admit other users or files.
    Comment,
    /// The section is left out.
    LeftOut,
}

/// The answers to lines that the translation gives, instead of those in the table.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    given: BTreeMap<Place, (Verdict, String)>,
}

impl Answers {
    /// Answers the line that sets `value`. Of several answers the worst counts.
    pub(crate) fn say(&mut self, value: Option<&Value>, verdict: Verdict, detail: impl Into<String>) {
        let Some(value) = value else { return };
        let given = self.given.entry(value.place).or_insert_with(|| (Verdict::NotNeeded, String::new()));
        if verdict > given.0 || given.1.is_empty() {
            *given = (verdict, detail.into());
        }
    }

    pub(crate) fn not_yet(&mut self, value: Option<&Value>, detail: impl Into<String>) {
        self.say(value, Verdict::NotYet, detail);
    }

    pub(crate) fn carried(&mut self, value: Option<&Value>, detail: impl Into<String>) {
        self.say(value, Verdict::Carried, detail);
    }

    pub(crate) fn not_needed(&mut self, value: Option<&Value>, detail: impl Into<String>) {
        self.say(value, Verdict::NotNeeded, detail);
    }
}

/// The entry of every line. `left_out` has the answer to all lines of sections that are left out.
pub(crate) fn entries(
    config: &Config,
    answers: &Answers,
    left_out: &BTreeMap<usize, (Verdict, String)>,
) -> Vec<Entry> {
    config.lines.iter().map(|line| entry(config, answers, left_out, line)).collect()
}

/// The entry of one line.
pub(crate) fn entry(
    config: &Config,
    answers: &Answers,
    left_out: &BTreeMap<usize, (Verdict, String)>,
    line: &Line,
) -> Entry {
    let (answer, detail) = answer(config, answers, left_out, line);
    let section = line.section.and_then(|index| config.shares.get(index));
    Entry {
        file: config.file(line.place).display().to_string(),
        line: line.place.line,
        section: section.map_or_else(|| String::from("global"), |it| config.charset.text(&it.name)),
        parameter: config.charset.text(&line.name),
        value: config.charset.text(&line.value),
        answer,
        detail,
    }
}

fn answer(
    config: &Config,
    answers: &Answers,
    left_out: &BTreeMap<usize, (Verdict, String)>,
    line: &Line,
) -> (Verdict, String) {
    let not_needed = |text: String| (Verdict::NotNeeded, text);
    let named = match &line.meaning {
        Meaning::Nothing => return not_needed(String::from("Samba ignores a line without '='")),
        Meaning::Unknown => {
            return not_needed(String::from("Samba does not know this parameter and ignores it"));
        }
        Meaning::Misplaced(_) => return not_needed(String::from("Samba ignores it outside of [global]")),
        Meaning::Known(named) => Some(named),
        Meaning::Option(_) => None,
    };
    if let Some(answer) = line.section.and_then(|section| left_out.get(&section)) {
        return answer.clone();
    }
    let section = line.section.and_then(|index| config.shares.get(index));
    if let (Meaning::Option(key), Some(section)) = (&line.meaning, section)
        && !section.options.contains_key(key)
    {
        return not_needed(String::from("Samba forgets it, because the section begins again below"));
    }
    if let Some(place) = later(config, section, line) {
        let file = if place.file == line.place.file {
            String::new()
        } else {
            config.file(place).display().to_string() + ":"
        };
        return not_needed(format!("line {file}{} sets it again", place.line));
    }
    if let Some(given) = answers.given.get(&line.place) {
        return given.clone();
    }
    match named {
        Some(named) => {
            let value = Value { bytes: line.value.clone(), inverse: named.inverse, place: line.place };
            let parameter = named.parameter;
            let value = canonical(parameter.kind, &value);
            by_table(parameter.answer, &value, Some((parameter.kind, parameter.default)))
        }
        None => of_option(config, section, line),
    }
}

/// The place of a later line that sets the same in the same section.
fn later(config: &Config, section: Option<&Section>, line: &Line) -> Option<Place> {
    let (values, options) = match section {
        Some(section) => (&section.values, &section.options),
        None => (&config.global, &config.options),
    };
    let set = match &line.meaning {
        Meaning::Known(named) => values.get(&named.id)?.place,
        Meaning::Option(key) => options.get(key)?.value.place,
        _ => return None,
    };
    (set != line.place).then_some(set)
}

/// The answer of a table to a canonical value.
pub(crate) fn by_table(answer: Answer, value: &str, parameter: Option<(Kind, &str)>) -> (Verdict, String) {
    match answer {
        Answer::Carried(setting) => (Verdict::Carried, setting.to_owned()),
        Answer::NotNeeded(reason) => (Verdict::NotNeeded, reason.to_owned()),
        Answer::NotYet { missing, fine } => {
            let canonical = |text: &str| match parameter {
                Some((kind, _)) => crate::smbconf::canonical_text(kind, text.as_bytes()),
                None => text.to_ascii_lowercase(),
            };
            let is_fine = fine.iter().any(|it| canonical(it) == value)
                || parameter.is_some_and(|(_, default)| {
                    canonical(default) == value && (fine.is_empty() || default.is_empty())
                });
            if is_fine {
                (Verdict::NotNeeded, String::from("nothing is missing with this value"))
            } else {
                (Verdict::NotYet, missing.to_owned())
            }
        }
    }
}

/// The answer to an option of a module.
fn of_option(config: &Config, section: Option<&Section>, line: &Line) -> (Verdict, String) {
    let name = config.charset.text(&line.name);
    let key = parameters::key(&line.name);
    let prefix = key.split(':').next().unwrap_or_default();
    if parameters::module(prefix).is_some() && !uses(config, section, prefix) {
        return (Verdict::NotNeeded, format!("'vfs objects' does not have the module {prefix}"));
    }
    match parameters::option(&name) {
        Some(answer) => {
            let value = config.charset.text(&line.value).to_ascii_lowercase();
            let value = crate::smbconf::boolean(value.as_bytes())
                .map_or(value.as_str(), |it| if it { "yes" } else { "no" });
            by_table(answer, value, None)
        }
        None if OTHERS.iter().any(|it| prefix.starts_with(it)) => {
            (Verdict::NotNeeded, String::from("an option of Samba's processes"))
        }
        None => (Verdict::NotYet, String::from("an option that the import does not know")),
    }
}

/// True if the section, or any share for `[global]`, has the module.
fn uses(config: &Config, section: Option<&Section>, module: &str) -> bool {
    let has = |value: Option<&Value>| {
        value.is_some_and(|it| {
            crate::smbconf::list(&it.bytes).iter().any(|name| name.eq_ignore_ascii_case(module.as_bytes()))
        })
    };
    match section {
        Some(section) => has(section.value("vfs objects")),
        None => {
            has(config.value("vfs objects")) || config.shares.iter().any(|it| has(it.value("vfs objects")))
        }
    }
}

/// The beginnings of options that belong to Samba's processes and libraries.
const OTHERS: &[&str] = &[
    "smbd",
    "winbind",
    "idmap",
    "rpc_",
    "ldapsam",
    "ads",
    "krb5",
    "dsdb",
    "tls",
    "printing",
    "spoolss",
    "registry",
    "smbxsrv",
    "brlock",
    "dbwrap",
    "auth",
    "ntlm",
    "gensec",
    "kdc",
    "server",
    "nbtd",
    "dns",
    "samba",
    "ctdb",
    "g_lock",
    "messaging",
    "prefork",
    "smb2srv",
    "netbios",
    "cldap",
    "client",
    "locking",
    "mdssd",
    "elasticsearch",
    "tracker",
    "drs",
    "repl",
    "posix",
    "notify",
    "fss",
    "msdfs",
    "wsp",
    "nss",
    "pdb",
    "sid_generator",
    "bad",
    "net",
];
