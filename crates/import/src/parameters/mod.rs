//! The parameters of smb.conf: one entry for each that Samba 4.17 to 4.25 knows, with Shareward's answer to it.

mod carried;
mod modules;
mod not_needed;
mod not_yet;
mod synonyms;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use modules::{Module, module, modules, option};
pub(crate) use modules::{TIME_MACHINE, TIME_MACHINE_LIMIT};

/// A parameter of smb.conf.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name as `testparm` prints it.
    pub name: &'static str,
    /// The sections in which it has an effect.
    pub scope: Scope,
    /// The form of its value.
    pub kind: Kind,
    /// The default of Samba, as `testparm` prints it; empty if it depends on the machine.
    pub default: &'static str,
    /// Shareward's answer.
    pub answer: Answer,
}

/// The sections in which a parameter has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `[global]` only.
    Global,
    /// Shares; in `[global]`, it is the default of the shares that follow.
    Share,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A decimal, octal or hexadecimal number.
    Integer,
    /// A number of bytes.
    Bytes,
    /// Permission bits.
    Octal,
    /// One of several words, separated by `|`.
    Enum(&'static str),
    /// A list of words.
    List,
    /// Text.
    Text,
}

/// Shareward's answer to a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The parameter becomes this setting of `shareward.toml`. Some values have an answer of their own.
    Carried(&'static str),
    /// Shareward does the same without it, for this reason.
    NotNeeded(&'static str),
    /// Shareward does not have this.
    NotYet {
        /// The missing ability.
        missing: &'static str,
        /// Values for which nothing is missing, in addition to the default.
        fine: &'static [&'static str],
    },
}

const fn carried(
    name: &'static str,
    scope: Scope,
    kind: Kind,
    default: &'static str,
    setting: &'static str,
) -> Parameter {
    Parameter { name, scope, kind, default, answer: Answer::Carried(setting) }
}

/// The reason is that of the group in the table.
const fn not_needed(name: &'static str, scope: Scope, kind: Kind, default: &'static str) -> Parameter {
    Parameter { name, scope, kind, default, answer: Answer::NotNeeded("") }
}

const fn not_yet(
    name: &'static str,
    scope: Scope,
    kind: Kind,
    default: &'static str,
    missing: &'static str,
    fine: &'static [&'static str],
) -> Parameter {
    Parameter { name, scope, kind, default, answer: Answer::NotYet { missing, fine } }
}

const TRISTATE: Kind = Kind::Enum("No|False|0|Off|Yes|True|1|On|Auto");
const TRISTATE_OR_DEFAULT: Kind = Kind::Enum("No|False|0|Off|Yes|True|1|On|Auto|default");
const PROTOCOLS: Kind = Kind::Enum(
    "default|SMB2|SMB3|SMB3_11|SMB3_02|SMB3_00|SMB2_10|SMB2_02|NT1|LANMAN2|LANMAN1|CORE|COREPLUS|CORE+",
);
const SIGNING: Kind = Kind::Enum(
    "default|No|False|0|Off|disabled|if_required|Yes|True|1|On|enabled|auto|desired|required|mandatory|force|forced|\
     enforced",
);

/// A parameter that a name stands for.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The number of the parameter, for [`by_id`].
    pub id: ParameterId,
    /// The parameter.
    pub parameter: &'static Parameter,
    /// True if the name has the opposite meaning (`writeable` of `read only`).
    pub inverse: bool,
}

/// The number of a parameter in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(u16);

struct Table {
    parameters: Vec<Parameter>,
    names: HashMap<String, (ParameterId, bool)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut parameters: Vec<Parameter> = carried::CARRIED.to_vec();
    parameters.extend_from_slice(not_yet::NOT_YET);
    for (reason, group) in not_needed::NOT_NEEDED {
        parameters.extend(group.iter().map(|it| Parameter { answer: Answer::NotNeeded(reason), ..*it }));
    }
    parameters.sort_by_key(|it| key(it.name.as_bytes()));
    let mut names: HashMap<String, (ParameterId, bool)> = HashMap::new();
    for (parameter, number) in parameters.iter().zip(0u16..) {
        names.insert(key(parameter.name.as_bytes()), (ParameterId(number), false));
        names.insert(parameter.name.to_owned(), (ParameterId(number), false));
    }
    for (other, name, inverse) in synonyms::SYNONYMS {
        if let Some((id, _)) = names.get(&key(name.as_bytes())).copied() {
            names.insert(key(other.as_bytes()), (id, *inverse));
        }
    }
    Table { parameters, names }
});

/// All parameters, in the order of their names.
pub fn all() -> &'static [Parameter] {
    &TABLE.parameters
}

/// The parameter that a name or synonym stands for, whatever its case and spaces.
pub fn by_name(name: &[u8]) -> Option<Named> {
    // Most look-ups are with the names of the table.
    let exact = core::str::from_utf8(name).ok().and_then(|name| TABLE.names.get(name));
    let (id, inverse) = exact.or_else(|| TABLE.names.get(&key(name))).copied()?;
    Some(Named { id, parameter: by_id(id)?, inverse })
}

/// The parameter with this number.
pub fn by_id(id: ParameterId) -> Option<&'static Parameter> {
    TABLE.parameters.get(usize::from(id.0))
}

/// Other names of a parameter.
pub fn synonyms(name: &str) -> impl Iterator<Item = &'static str> {
    synonyms::SYNONYMS.iter().filter(move |(_, it, _)| *it == name).map(|(other, ..)| *other)
}

/// The form in which names of parameters are compared: Samba ignores case and all spaces in them.
pub fn key(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_synonyms_stand_for_parameters() {
        let mut names = HashSet::new();
        for parameter in all() {
            assert!(names.insert(key(parameter.name.as_bytes())), "{}", parameter.name);
        }
        for (other, name, _) in synonyms::SYNONYMS {
            assert!(by_name(name.as_bytes()).is_some_and(|it| !it.inverse), "{name}");
            assert!(names.insert(key(other.as_bytes())), "{other}");
        }
    }

    #[test]
    fn every_answer_has_a_reason() {
        for parameter in all() {
            let reason = match parameter.answer {
                Answer::Carried(text) | Answer::NotNeeded(text) | Answer::NotYet { missing: text, .. } => {
                    text
                }
            };
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{}", parameter.name);
        }
    }

    #[test]
    fn case_and_spaces_of_names_do_not_count() {
        for name in ["read only", "ReadOnly", "READ  ONLY", "re ad\tonly"] {
            assert!(by_name(name.as_bytes()).is_some_and(|it| it.parameter.name == "read only"), "{name}");
        }
        assert!(by_name(b"write ok").is_some_and(|it| it.inverse && it.parameter.name == "read only"));
        assert!(by_name(b"bogus").is_none());
    }
}
