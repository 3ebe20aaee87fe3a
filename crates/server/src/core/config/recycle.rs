//! `[share.recycle]`: the bin for deleted files.

use serde::Deserialize;
use toml::Spanned;
use vfs::RelativePath;
use wire::fscc::Pattern;

use super::parse::Reader;

/// The bin of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecycleSettings {
    /// The directory of the bin, relative to the share's; each user has a directory in it.
    pub directory: RelativePath,
    /// True if deleted files keep the directories of their paths.
    pub keep_tree: bool,
    /// True if files of the same name are kept beside each other.
    pub versions: bool,
    /// Patterns of names of files that are removed at once.
    pub exclude: Vec<Pattern>,
    /// Files larger than this, in bytes, are removed at once; `None` for no limit.
    pub max_file_size: Option<u64>,
    /// The bytes that all files in the bin may have together; the oldest are removed first. `None` for no limit.
    pub max_total: Option<u64>,
    /// True if the bin also takes files that clients replace by renaming another.
    pub overwritten: bool,
    /// The days after which files in the bin are removed; `None` for never.
    pub max_age_days: Option<u32>,
}

/// The table in a `[[share]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecycleTable {
    directory: Option<Spanned<String>>,
    keep_tree: Option<bool>,
    versions: Option<bool>,
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
    max_file_mib: Option<Spanned<i64>>,
    max_total_mib: Option<Spanned<i64>>,
    overwritten: Option<bool>,
    max_age_days: Option<Spanned<i64>>,
}

impl Reader<'_> {
    /// Reads the table.
    pub(super) fn recycle(&mut self, table: RecycleTable) -> RecycleSettings {
        let mut directory = RelativePath::root();
        match &table.directory {
            Some(text) => match RelativePath::new(text.get_ref().as_str()) {
                Ok(path) if !path.is_root() => directory = path,
                _ => self
                    .error(text, String::from("the bin is a directory in the share, such as \".recycle\"")),
            },
            None => directory = RelativePath::new(DIRECTORY).unwrap_or(directory),
        }
        let mut exclude = Vec::new();
        for pattern in &table.exclude {
            self.name_pattern(pattern, |text| Pattern::new(text).map(|pattern| exclude.push(pattern)));
        }
        let mut number = |name: &str, number: Option<Spanned<i64>>, most: i64| {
            let number = number?;
            if !(1..=most).contains(number.get_ref()) {
                self.error(&number, format!("{name} is 1 to {most}"));
            }
            u32::try_from(number.into_inner()).ok()
        };
        let max_file = number("max_file_mib", table.max_file_mib, MAX_MIB);
        let max_total = number("max_total_mib", table.max_total_mib, MAX_MIB);
        let bytes = |mebibytes: u32| u64::from(mebibytes) << 20;
        RecycleSettings {
            directory,
            keep_tree: table.keep_tree.unwrap_or(true),
            versions: table.versions.unwrap_or(true),
            exclude,
            max_file_size: max_file.map(bytes),
            max_total: max_total.map(bytes),
            overwritten: table.overwritten.unwrap_or(false),
            max_age_days: number("max_age_days", table.max_age_days, MAX_AGE_DAYS),
        }
    }
}

/// The default of `directory`.
const DIRECTORY: &str = ".recycle";

/// The largest limits: a pebibyte, and a century.
const MAX_MIB: i64 = 1 << 30;
const MAX_AGE_DAYS: i64 = 36_500;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Settings, parse};
    use super::*;

    fn of(lines: &str) -> Result<RecycleSettings, Vec<String>> {
        let text = format!("[[share]]\nname = 'a'\npath = '/'\n[share.recycle]\n{lines}\n");
        let settings = parse(&text, Path::new("/"), Settings::conventional(false, |_| None));
        settings
            .map(|mut settings| settings.shares.remove(0).files.recycle.unwrap())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_bin_has_defaults_and_limits() {
        let plain = of("").unwrap();
        assert_eq!(plain.directory.as_str(), ".recycle");
        assert!(plain.keep_tree && plain.versions && !plain.overwritten && plain.exclude.is_empty());
        let set = of("directory = 'bin/of all'\nkeep_tree = false\nversions = false\nexclude = ['*.tmp']\n\
                      max_file_mib = 2\nmax_total_mib = 3\noverwritten = true\nmax_age_days = 30");
        let set = set.unwrap();
        assert_eq!((set.directory.as_str(), set.max_file_size), ("bin/of all", Some(2 << 20)));
        assert_eq!((set.keep_tree, set.versions, set.max_age_days), (false, false, Some(30)));
        assert_eq!((set.max_total, set.overwritten), (Some(3 << 20), true));
        assert!(set.exclude[0].matches("A.TMP"));
        for (line, error) in [
            ("directory = '../x'", "5:13: the bin is a directory in the share, such as \".recycle\""),
            ("directory = ''", "5:13: the bin is a directory in the share, such as \".recycle\""),
            ("exclude = ['']", "5:12: a pattern of names is not empty and has no '/'"),
            ("max_total_mib = 0", "5:17: max_total_mib is 1 to 1073741824"),
            ("max_age_days = 0", "5:16: max_age_days is 1 to 36500"),
        ] {
            assert_eq!(of(line), Err(vec![error.to_owned()]), "{line}");
        }
    }
}
