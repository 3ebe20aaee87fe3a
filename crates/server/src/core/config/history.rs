//! `[history]`: the record of sessions, opens, changes and acts of administration.

use serde::Deserialize;
use toml::Spanned;

use super::parse::Reader;

/// The history's settings. It is on by default, because the question who deleted a file comes afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// True if the server records a history.
    pub enabled: bool,
    /// The days after which entries are deleted.
    pub keep_days: u32,
    /// The mebibytes that the history may use; beyond that, the oldest entries are deleted.
    pub size_mib: u32,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { enabled: true, keep_days: 30, size_mib: 1024 }
    }
}

/// The table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryTable {
    enabled: Option<bool>,
    keep_days: Option<Spanned<i64>>,
    size_mib: Option<Spanned<i64>>,
}

impl Reader<'_> {
    /// Reads the table.
    pub(super) fn history(&mut self, table: HistoryTable) -> HistorySettings {
        let mut history = HistorySettings::default();
        history.enabled = table.enabled.unwrap_or(history.enabled);
        for (name, given, (least, most), value) in [
            ("keep_days", table.keep_days, KEEP_DAYS, &mut history.keep_days),
            ("size_mib", table.size_mib, SIZE_MIB, &mut history.size_mib),
        ] {
            let Some(given) = given else { continue };
            match u32::try_from(*given.get_ref()) {
                Ok(number) if (least..=most).contains(&number) => *value = number,
                _ => self.error(&given, format!("{name} is {least} to {most}")),
            }
        }
        history
    }
}

/// The bounds of `keep_days`: up to a century.
const KEEP_DAYS: (u32, u32) = (1, 36_500);

/// The bounds of `size_mib`: from some ten thousand entries to a tebibyte.
const SIZE_MIB: (u32, u32) = (8, 1 << 20);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Settings, parse};
    use super::*;

    fn of(lines: &str) -> Result<HistorySettings, Vec<String>> {
        let settings = parse(lines, Path::new("/"), Settings::conventional(false, |_| None));
        settings.map(|it| it.history).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_history_has_defaults_and_limits() {
        assert_eq!(of(""), Ok(HistorySettings::default()));
        assert_eq!(
            of("[history]\nenabled = false\nkeep_days = 7\nsize_mib = 64"),
            Ok(HistorySettings { enabled: false, keep_days: 7, size_mib: 64 })
        );
        for (line, message) in [
            ("keep_days = 0", "2:13: keep_days is 1 to 36500"),
            ("size_mib = -1", "2:12: size_mib is 8 to 1048576"),
        ] {
            assert_eq!(of(&format!("[history]\n{line}")), Err(vec![message.to_owned()]));
        }
        let text = "[[share]]\nname = 'a'\npath = '/'\nhistory = false\n[[share]]\nname = 'b'\npath = '/'";
        let settings = parse(text, Path::new("/"), Settings::conventional(false, |_| None)).unwrap();
        assert_eq!(settings.shares.iter().map(|it| it.history).collect::<Vec<_>>(), [false, true]);
    }
}
