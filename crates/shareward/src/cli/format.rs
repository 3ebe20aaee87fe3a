//! Output formats of lists.

use super::{Switch, Takes, Words};
use crate::failure::Numbered;
use crate::messages;
use crate::output::Console;

/// `--json`, or `--json=wmi`.
pub(crate) const JSON: Switch = Switch::own("JSON", Takes::Optional);
const NDJSON: Switch = Switch::own("NDJSON", Takes::Nothing);
/// `--csv`, or `--csv=bom`.
const CSV: Switch = Switch::own("CSV", Takes::Optional);
const NO_HEADER: Switch = Switch::own("NO-HEADER", Takes::Nothing);

/// The switches of a [`Format`].
pub(crate) const SWITCHES: [Switch; 4] = [JSON, NDJSON, CSV, NO_HEADER];

/// The output format of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// A table, for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON document with the classes and properties of WMI.
    Wmi,
    /// One JSON document per line.
    Ndjson,
    /// Comma-separated values (RFC 4180).
    Csv {
        /// True if the first row has the names of the fields.
        header: bool,
        /// True if a byte order mark comes first; spreadsheets recognise UTF-8 by it.
        mark: bool,
    },
}

impl Format {
    /// The format among `words`.
    pub(crate) fn of(words: &Words) -> Result<Self, Numbered> {
        let given = [&JSON, &NDJSON, &CSV].into_iter().filter(|switch| words.has(switch)).count();
        if given > 1 || (words.has(&NO_HEADER) && !words.has(&CSV)) {
            return Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER));
        }
        if words.has(&NDJSON) {
            return Ok(Self::Ndjson);
        }
        if words.has(&CSV) {
            let mark = match words.value(&CSV).map(str::to_ascii_lowercase).as_deref() {
                None => false,
                Some("bom") => true,
                Some(_) => {
                    return Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
                        .about(CSV.shown())
                        .hint("use --csv or --csv=bom"));
                }
            };
            return Ok(Self::Csv { header: !words.has(&NO_HEADER), mark });
        }
        match words.value(&JSON).map(str::to_ascii_lowercase).as_deref() {
            None if words.has(&JSON) => Ok(Self::Json),
            None => Ok(Self::Text),
            Some("wmi") => Ok(Self::Wmi),
            Some(_) => Err(Numbered::new(messages::VALUE_OF_OPTION_NUMBER)
                .about(JSON.shown())
                .hint("use --json or --json=wmi")),
        }
    }

    /// Sets the console to the kind of data that stdout carries.
    pub(crate) fn announce(self, console: &mut Console) {
        match self {
            Self::Text => {}
            Self::Json | Self::Wmi | Self::Ndjson => console.set_json(),
            Self::Csv { .. } => console.set_data(),
        }
    }

    /// True if output other than a list is a JSON document.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Wmi | Self::Ndjson)
    }
}
