//! The settings of a share that decide about its files on the disk: modes of new files, and the Unix identity of users.

use std::sync::Arc;

use toml::Spanned;
use wire::fscc::{Pattern, PatternTooLong};

use super::parse::Reader;
use super::recycle::{RecycleSettings, RecycleTable};

/// The settings of a share that decide about its files on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// The modes of new files and directories.
    pub modes: vfs::Modes,
    /// The Unix user that all users of the share act as; `None` if each acts as itself.
    pub force_user: Option<String>,
    /// The rules about names; `None` if there are none.
    pub names: Option<Arc<vfs::NameRules>>,
    /// The bin for deleted files; `None` if they are removed.
    pub recycle: Option<RecycleSettings>,
    /// The Unix group that users of the share act with, and that new files belong to; `None` for that of the user.
    pub force_group: Option<ForcedGroup>,
}

/// The setting `force_group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedGroup {
    /// The name of the Unix group.
    pub name: String,
    /// True if only members of the group act with it (`"+staff"`).
    pub members_only: bool,
}

impl FileSettings {
    /// True if the users of the share act with another Unix identity than their own.
    pub(crate) fn forces_identity(&self) -> bool {
        self.force_user.is_some() || self.force_group.is_some()
    }
}

/// The keys of these settings in a `[[share]]`.
#[derive(Default)]
pub(super) struct FileKeys {
    pub(super) file_mode: Option<Spanned<String>>,
    pub(super) directory_mode: Option<Spanned<String>>,
    pub(super) inherit_permissions: Option<Spanned<bool>>,
    pub(super) force_user: Option<Spanned<String>>,
    pub(super) force_group: Option<Spanned<String>>,
    pub(super) veto_files: Vec<Spanned<String>>,
    pub(super) delete_veto_files: bool,
    pub(super) hide_files: Vec<Spanned<String>>,
    pub(super) hide_dot_files: bool,
    pub(super) recycle: Option<RecycleTable>,
}

impl Reader<'_> {
    /// Reads the settings. `unix_identities`: users act with Unix identities of their own.
    pub(super) fn file_settings(&mut self, keys: FileKeys, unix_identities: bool) -> FileSettings {
        let inherited = keys.inherit_permissions.is_some_and(|inherit| {
            let modes = keys.file_mode.is_some() || keys.directory_mode.is_some();
            if *inherit.get_ref() && modes {
                let message = "inherit_permissions excludes file_mode and directory_mode";
                self.error(&inherit, String::from(message));
            }
            inherit.into_inner()
        });
        let modes = vfs::Modes {
            file: keys.file_mode.and_then(|mode| self.mode("file_mode", &mode, FILE_MODE)),
            directory: keys
                .directory_mode
                .and_then(|mode| self.mode("directory_mode", &mode, DIRECTORY_MODE)),
            inherited,
        };
        for name in keys.force_user.iter().chain(&keys.force_group) {
            if name.get_ref().trim_start_matches('+').is_empty() {
                self.error(name, String::from("the name of a user or group is empty"));
            } else if !unix_identities {
                let message = "force_user and force_group need a server of root with unix_identities = true";
                self.error(name, String::from(message));
            }
        }
        let group = |name: String| match name.strip_prefix('+') {
            Some(name) => ForcedGroup { name: name.to_owned(), members_only: true },
            None => ForcedGroup { name, members_only: false },
        };
        let mut names = vfs::NameRules::default();
        for pattern in keys.veto_files {
            self.name_pattern(&pattern, |text| names.veto(text));
        }
        for pattern in keys.hide_files {
            self.name_pattern(&pattern, |text| names.hide(text));
        }
        names.hides_dot_files = keys.hide_dot_files;
        names.removes_vetoed = keys.delete_veto_files;
        FileSettings {
            modes,
            names: (names != vfs::NameRules::default()).then(|| Arc::new(names)),
            recycle: keys.recycle.map(|table| self.recycle(table)),
            force_user: keys.force_user.map(Spanned::into_inner),
            force_group: keys.force_group.map(Spanned::into_inner).map(group),
        }
    }

    /// A pattern of names; `add` takes it.
    pub(super) fn name_pattern(
        &mut self,
        pattern: &Spanned<String>,
        add: impl FnOnce(&str) -> Result<(), PatternTooLong>,
    ) {
        let text = pattern.get_ref();
        if text.is_empty() || text.contains('/') {
            self.error(pattern, String::from("a pattern of names is not empty and has no '/'"));
        } else if Pattern::new(text).is_ok_and(|pattern| pattern.is_all()) {
            self.error(pattern, String::from("this pattern matches all names"));
        } else if add(text).is_err() {
            self.error(pattern, String::from("the pattern is too long"));
        }
    }

    /// An octal mode that has the bits `least` and no others than `most`.
    fn mode(&mut self, what: &str, text: &Spanned<String>, (least, most): (u32, u32)) -> Option<u32> {
        let digits = text.get_ref();
        let is_octal = (3..=5).contains(&digits.len()) && digits.chars().all(|c| c.is_digit(8));
        let mode = u32::from_str_radix(digits, 8).ok().filter(|_| is_octal);
        match mode {
            None => self.error(text, format!("{what} is an octal mode such as \"0{:o}\"", least | 0o040)),
            Some(mode) if mode & !most != 0 => {
                self.error(text, format!("{what} has bits outside of 0{most:o}"));
            }
            Some(mode) if mode & least != least => {
                let message = format!("{what} gives the owner fewer rights than 0{least:o}");
                self.error(text, message);
            }
            Some(_) => {}
        }
        mode
    }
}

/// The bits that the server needs itself to complete a new file, and all bits that one can have.
const FILE_MODE: (u32, u32) = (0o600, 0o777);
const DIRECTORY_MODE: (u32, u32) = (0o700, 0o3777);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Settings, parse};
    use super::*;

    fn of(lines: &str) -> Result<FileSettings, Vec<String>> {
        let text = format!("[[share]]\nname = 'a'\npath = '/'\n{lines}\n");
        let settings = parse(&text, Path::new("/"), Settings::conventional(true, |_| None));
        settings
            .map(|mut settings| settings.shares.remove(0).files)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn modes_and_forced_identities_are_read() {
        assert_eq!(of(""), Ok(FileSettings::default()));
        let read =
            of("file_mode = '0660'\ndirectory_mode = '2770'\nforce_user = 'www'\nforce_group = '+staff'");
        let group = ForcedGroup { name: String::from("staff"), members_only: true };
        let modes = vfs::Modes { file: Some(0o660), directory: Some(0o2770), inherited: false };
        let force_user = Some(String::from("www"));
        assert_eq!(
            read,
            Ok(FileSettings { modes, force_user, force_group: Some(group), ..FileSettings::default() })
        );
        assert!(of("inherit_permissions = true").unwrap().modes.inherited);
    }

    #[test]
    fn modes_that_are_none_or_lock_the_owner_out_are_refused() {
        for (line, error) in [
            ("file_mode = '664x'", "4:13: file_mode is an octal mode such as \"0640\""),
            ("file_mode = '0888'", "4:13: file_mode is an octal mode such as \"0640\""),
            ("file_mode = '2664'", "4:13: file_mode has bits outside of 0777"),
            ("directory_mode = '4775'", "4:18: directory_mode has bits outside of 03777"),
            ("directory_mode = '0675'", "4:18: directory_mode gives the owner fewer rights than 0700"),
            (
                "inherit_permissions = true\nfile_mode = '0664'",
                "4:23: inherit_permissions excludes file_mode and directory_mode",
            ),
            ("force_group = '+'", "4:15: the name of a user or group is empty"),
        ] {
            assert_eq!(of(line), Err(vec![error.to_owned()]), "{line}");
        }
        let text =
            "[server]\nunix_identities = false\n[[share]]\nname = 'a'\npath = '/'\nforce_user = 'www'\n";
        let errors = parse(text, Path::new("/"), Settings::conventional(true, |_| None)).unwrap_err();
        assert!(errors[0].to_string().starts_with("6:14: force_user and force_group need"), "{errors:?}");
    }
}
