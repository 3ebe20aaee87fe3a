//! smb.conf: its sections with the values of their parameters, read as `testparm` reads them.

mod charset;
mod load;
mod scan;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use charset::Charset;
pub use load::{Fault, LoadError, load};
pub use scan::{Broken, Content, Item, scan};
pub use value::{boolean, choice, integer, list, octal, unquoted};

use wire::FoldedName;

use crate::parameters::{self, Kind, Named, ParameterId};

/// The place of a line: the number of its file in [`Config::files`], and the line from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the file.
    pub file: u16,
    /// The line, from 1.
    pub line: u32,
}

/// A value and the line that sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value as written.
    pub bytes: Arc<[u8]>,
    /// True if it is the value of a synonym with the opposite meaning.
    pub inverse: bool,
    /// The line.
    pub place: Place,
}

/// The values of parameters.
pub type Values = BTreeMap<ParameterId, Value>;

/// The values of options of modules, and of `idmap config`, by their [`parameters::key`].
pub type Options = BTreeMap<String, OptionValue>;

/// An option and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionValue {
    /// The name as written.
    pub name: Arc<[u8]>,
    /// The value.
    pub value: Value,
}

/// A section other than `[global]`.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name as the first head writes it.
    pub name: Vec<u8>,
    /// The line of the first head.
    pub place: Place,
    /// The values that the section sets or copies.
    pub values: Values,
    /// The options that the section sets or copies.
    pub options: Options,
    /// The values of `[global]` when the section began, which apply to what it does not set.
    inherited: Arc<Values>,
}

/// A line with a parameter, for the report.
#[derive(Clone, Debug)]
pub struct Line {
    /// The line.
    pub place: Place,
    /// The section: an index of [`Config::shares`], or `None` for `[global]`.
    pub section: Option<usize>,
    /// The name as written.
    pub name: Vec<u8>,
    /// The value as written.
    pub value: Arc<[u8]>,
    /// The meaning of the name.
    pub meaning: Meaning,
}

/// The meaning of a parameter's name.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// A parameter that has an effect here.
    Known(Named),
    /// An option of a module, with its [`parameters::key`].
    Option(String),
    /// A parameter of `[global]` in another section, which Samba ignores.
    Misplaced(Named),
    /// A name that Samba does not know and ignores.
    Unknown,
    /// A line without a value, which Samba ignores.
    Nothing,
}

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The files that were read, in the order of their beginnings.
    pub files: Vec<PathBuf>,
    /// The values of `[global]`, including the defaults for shares.
    pub global: Values,
    /// The options in `[global]`.
    pub options: Options,
    /// The other sections, in the order of their first heads.
    pub shares: Vec<Section>,
    /// The parameters, in the order in which they were read.
    pub lines: Vec<Line>,
    /// Files of `include` that were not read, with the reason.
    pub not_included: Vec<(Place, PathBuf, String)>,
    /// The encoding of the files (`unix charset`).
    pub charset: Charset,
}

impl Config {
    /// The path of the file of a place.
    pub fn file(&self, place: Place) -> &Path {
        self.files.get(usize::from(place.file)).map_or(Path::new(""), PathBuf::as_path)
    }

    /// The value of `[global]`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.global.get(&parameters::by_name(name.as_bytes())?.id)
    }

    /// An option of `[global]`.
    pub fn option(&self, name: &str) -> Option<&OptionValue> {
        self.options.get(&parameters::key(name.as_bytes()))
    }

    /// The value of `[global]` as text; empty if it is not set.
    pub fn text(&self, name: &str) -> String {
        self.value(name).map(|value| self.charset.text(&value.bytes)).unwrap_or_default()
    }

    /// The value of `[global]` or Samba's default, in lower case with one spelling for each meaning.
    pub fn word(&self, name: &str) -> String {
        word(name, self.value(name))
    }
}

impl Section {
    /// The value of a parameter: the section's own, or the default in `[global]`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.by_id(parameters::by_name(name.as_bytes())?.id)
    }

    /// As [`Self::value`], by the number of the parameter.
    pub fn by_id(&self, id: ParameterId) -> Option<&Value> {
        self.values.get(&id).or_else(|| self.inherited.get(&id))
    }

    /// An option: the section's own, or that in `[global]`.
    pub fn option<'a>(&'a self, config: &'a Config, name: &str) -> Option<&'a OptionValue> {
        let key = parameters::key(name.as_bytes());
        self.options.get(&key).or_else(|| config.options.get(&key))
    }

    /// The value or Samba's default, in lower case with one spelling for each meaning.
    pub fn word(&self, name: &str) -> String {
        word(name, self.value(name))
    }

    /// The value of a yes or no parameter.
    pub fn is(&self, name: &str) -> bool {
        self.word(name) == "yes"
    }
}

/// The canonical form of a value: that of its kind, in lower case.
fn word(name: &str, value: Option<&Value>) -> String {
    let Some(named) = parameters::by_name(name.as_bytes()) else { return String::new() };
    match value {
        Some(value) => canonical(named.parameter.kind, value),
        None => canonical_text(named.parameter.kind, named.parameter.default.as_bytes()),
    }
}

/// The value in one spelling for each meaning, in lower case.
pub fn canonical(kind: Kind, value: &Value) -> String {
    let text = canonical_text(kind, &value.bytes);
    match (value.inverse, text.as_str()) {
        (true, "yes") => String::from("no"),
        (true, "no") => String::from("yes"),
        _ => text,
    }
}

/// As [`canonical`], for the text of a value.
pub fn canonical_text(kind: Kind, bytes: &[u8]) -> String {
    let lower = || String::from_utf8_lossy(bytes).to_ascii_lowercase();
    match kind {
        Kind::Bool => boolean(bytes).map_or_else(lower, |it| String::from(if it { "yes" } else { "no" })),
        Kind::Integer => integer(bytes).map_or_else(lower, |it| it.to_string()),
        Kind::Octal => octal(bytes).map_or_else(lower, |it| format!("{it:04o}")),
        Kind::Enum(choices) => choice(bytes, choices).unwrap_or_else(lower),
        Kind::List => list(bytes)
            .iter()
            .map(|it| String::from_utf8_lossy(it).to_ascii_lowercase())
            .collect::<Vec<_>>()
            .join(" "),
        Kind::Bytes | Kind::Text => lower(),
    }
}

/// The index of a section by the key of its name.
type Index = HashMap<FoldedName, usize>;
