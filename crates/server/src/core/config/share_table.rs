//! Reads a table `[[share]]` of `shareward.toml` into [`ShareSettings`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use wire::ShareName;

use super::file_settings::FileKeys;
use super::parse::{MAX_REMARK, Reader, check_share_name};
use super::recycle::RecycleTable;
use super::{Caching, Grant, GrantRight, Grantee, ShareSettings};
use crate::core::path_variables::has_variables;

/// The table as it is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareTable {
    name: Spanned<String>,
    path: Spanned<PathBuf>,
    #[serde(default)]
    remark: Option<Spanned<String>>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    guest: bool,
    #[serde(default)]
    encrypt: bool,
    #[serde(default)]
    access_based_enum: bool,
    follow_symlinks: Option<bool>,
    posix_locking: Option<bool>,
    strict_locking: Option<Spanned<bool>>,
    continuous: Option<Spanned<bool>>,
    durable_over_restart: Option<Spanned<bool>>,
    streams: Option<Spanned<String>>,
    unicode_forms: Option<Spanned<String>>,
    #[serde(default)]
    hidden: bool,
    max_users: Option<Spanned<u32>>,
    #[serde(default)]
    users: Vec<Spanned<String>>,
    #[serde(default)]
    grants: Vec<GrantTable>,
    caching: Option<Spanned<String>>,
    autodisconnect: Option<Spanned<i64>>,
    hosts_allow: Option<Vec<Spanned<String>>>,
    hosts_deny: Option<Vec<Spanned<String>>>,
    file_mode: Option<Spanned<String>>,
    directory_mode: Option<Spanned<String>>,
    inherit_permissions: Option<Spanned<bool>>,
    force_user: Option<Spanned<String>>,
    force_group: Option<Spanned<String>>,
    #[serde(default)]
    veto_files: Vec<Spanned<String>>,
    #[serde(default)]
    delete_veto_files: bool,
    #[serde(default)]
    hide_files: Vec<Spanned<String>>,
    #[serde(default)]
    hide_dot_files: bool,
    recycle: Option<RecycleTable>,
    history: Option<bool>,
    #[serde(default)]
    homes: bool,
    time_machine: Option<Spanned<bool>>,
    time_machine_limit: Option<Spanned<String>>,
}

/// An entry of `grants`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantTable {
    user: Option<Spanned<String>>,
    group: Option<Spanned<String>>,
    right: Spanned<String>,
}

impl Reader<'_> {
    /// Reads a share. `names` has the names of the shares before it, as they are written.
    pub(super) fn share(
        &mut self,
        table: ShareTable,
        unix_identities: bool,
        names: &mut HashMap<ShareName, String>,
    ) -> Option<ShareSettings> {
        if let Err(message) = check_share_name(table.name.get_ref()) {
            self.error(&table.name, message);
            return None;
        }
        let name = table.name.get_ref();
        if let Some(other) = names.get(&ShareName::new(name)) {
            let message = format!("share {name:?} is defined twice; {other:?} is the same name");
            self.error(&table.name, message);
            return None;
        }
        names.insert(ShareName::new(name), name.clone());
        if let Some(remark) = &table.remark {
            self.text_of("remark", remark, MAX_REMARK);
        }
        if let Some(max_users) = table.max_users.as_ref().filter(|max| *max.get_ref() == 0) {
            self.error(max_users, String::from("max_users must be at least 1"));
        }
        let caching = table.caching.and_then(|word| self.word("caching", &word, &CACHING));
        let streams = table.streams.and_then(|word| self.word("streams", &word, &STREAMS));
        let forms = table.unicode_forms.and_then(|word| self.word("unicode_forms", &word, &FORMS));
        let grants = table.grants.into_iter().filter_map(|grant| self.grant(grant)).collect();
        let keys = FileKeys {
            file_mode: table.file_mode,
            directory_mode: table.directory_mode,
            inherit_permissions: table.inherit_permissions,
            force_user: table.force_user,
            force_group: table.force_group,
            veto_files: table.veto_files,
            delete_veto_files: table.delete_veto_files,
            hide_files: table.hide_files,
            hide_dot_files: table.hide_dot_files,
            recycle: table.recycle,
        };
        let path = self.share_path(table.path);
        let time_machine = self.time_machine(table.time_machine, table.read_only);
        Some(ShareSettings {
            files: self.file_settings(keys, unix_identities),
            hosts: self.hosts(table.hosts_allow, table.hosts_deny),
            grants,
            history: table.history.unwrap_or(true),
            homes: table.homes,
            time_machine,
            time_machine_limit: self.time_machine_limit(table.time_machine_limit, time_machine),
            temporary: false,
            caching: caching.unwrap_or_default(),
            autodisconnect: table.autodisconnect.and_then(|minutes| self.minutes(&minutes)),
            trusted: None,
            path: path.clone(),
            remark: table.remark.map(Spanned::into_inner).unwrap_or_default(),
            read_only: table.read_only,
            guest: table.guest,
            encrypt: table.encrypt,
            access_based_enum: table.access_based_enum,
            follow_symlinks: table.follow_symlinks.unwrap_or(true),
            posix_locking: table.posix_locking,
            strict_locking: self.strict_locking(table.strict_locking, table.posix_locking),
            continuous: self.kept_opens("continuous", table.continuous, &path, table.read_only),
            durable_over_restart: self.kept_opens(
                "durable_over_restart",
                table.durable_over_restart,
                &path,
                table.read_only,
            ),
            streams: streams.unwrap_or_default(),
            unicode_forms: forms.unwrap_or_default(),
            hidden: table.hidden || table.name.get_ref().ends_with('$'),
            max_users: table.max_users.map(Spanned::into_inner),
            users: table.users.into_iter().map(Spanned::into_inner).collect(),
            name: table.name.into_inner(),
        })
    }

    fn grant(&mut self, table: GrantTable) -> Option<Grant> {
        let (who, name): (fn(String) -> Grantee, _) = match (table.user, table.group) {
            (Some(name), None) => (Grantee::User, name),
            (None, Some(name)) => (Grantee::Group, name),
            _ => {
                self.error(&table.right, String::from("a grant has either a user or a group"));
                return None;
            }
        };
        if name.get_ref().is_empty() {
            self.error(&name, String::from("the name of a user or group is empty"));
        }
        let right = self.word("right", &table.right, &GRANT_RIGHTS)?;
        Some(Grant { who: who(name.into_inner()), right })
    }

    /// A setting for which the share needs a log of its opens, in its directory.
    fn kept_opens(&mut self, key: &str, set: Option<Spanned<bool>>, path: &Path, read_only: bool) -> bool {
        let Some(set) = set.filter(|set| *set.get_ref()) else { return false };
        if has_variables(path) {
            let message =
                format!("{key} needs one directory for all users; the path of the share has variables");
            self.error(&set, message);
        } else if read_only {
            let message = format!("{key} needs a share that is not read_only: the log is in its directory");
            self.error(&set, message);
        }
        true
    }

    fn time_machine(&mut self, set: Option<Spanned<bool>>, read_only: bool) -> bool {
        let Some(set) = set.filter(|set| *set.get_ref()) else { return false };
        if read_only {
            let message = "time_machine needs a share that is not read_only: Macs write their backups to it";
            self.error(&set, message.to_owned());
        }
        true
    }

    fn time_machine_limit(&mut self, set: Option<Spanned<String>>, time_machine: bool) -> Option<u64> {
        let set = set?;
        if !time_machine {
            self.error(&set, String::from("time_machine_limit needs time_machine = true"));
        }
        let bytes = bytes_of(set.get_ref());
        if bytes.is_none() {
            let message = "time_machine_limit is a number with K, M, G, T or P, such as \"500G\"";
            self.error(&set, message.to_owned());
        }
        bytes
    }

    /// The path of a share, which may begin with the variable for the user's home directory.
    fn share_path(&mut self, path: Spanned<PathBuf>) -> PathBuf {
        let text = path.get_ref().to_string_lossy();
        let begins_at_home = text.starts_with(HOME);
        if text.strip_prefix(HOME).unwrap_or(&text).contains(HOME) {
            self.error(&path, format!("{HOME} can only be the beginning of the path"));
        }
        if begins_at_home { path.into_inner() } else { self.path(path) }
    }
}

/// A number of bytes with a unit, which is a power of 1024. Returns `None` for other text, for 0, and for more than
/// [`MAX_SIZE`].
fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        "P" | "p" => 1 << 50,
        _ => return None,
    };
    if !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| (1..=MAX_SIZE).contains(bytes))
}

/// The largest size of a volume: an exbibyte, more than a file system has.
const MAX_SIZE: u64 = 1 << 60;

/// The variable for the home directory of the user.
const HOME: &str = "%H";

const CACHING: [(&str, Caching); 4] = [
    ("manual", Caching::Manual),
    ("documents", Caching::Documents),
    ("programs", Caching::Programs),
    ("none", Caching::None),
];

const STREAMS: [(&str, vfs::Streams); 3] =
    [("auto", vfs::Streams::Auto), ("xattr", vfs::Streams::Attributes), ("depot", vfs::Streams::Depot)];

const FORMS: [(&str, vfs::Forms); 2] = [("exact", vfs::Forms::Exact), ("any", vfs::Forms::Any)];

const GRANT_RIGHTS: [(&str, GrantRight); 3] =
    [("read", GrantRight::Read), ("change", GrantRight::Change), ("full", GrantRight::Full)];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{ConfigError, Settings, parse};
    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<ConfigError>> {
        parse(text, Path::new("/etc/shareward"), Settings::conventional(false, |_| None))
    }

    fn errors(text: &str) -> Vec<String> {
        read(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn opens_are_kept_in_one_directory_that_can_be_written() {
        let share = |lines: &str| format!("[[share]]\nname = \"a\"\n{lines}\n");
        let kept = read(&share("path = \"/srv\"\ncontinuous = true")).unwrap();
        assert!(
            kept.shares[0].continuous && kept.shares[0].keeps_opens() && !kept.shares[0].durable_over_restart
        );
        let variables = errors(&share("path = \"/srv/%U\"\ndurable_over_restart = true"));
        assert!(variables[0].contains("durable_over_restart needs one directory"), "{variables:?}");
        let read_only = errors(&share("path = \"/srv\"\nread_only = true\ncontinuous = true"));
        assert!(read_only[0].contains("continuous needs a share that is not read_only"), "{read_only:?}");
    }

    #[test]
    fn share_for_time_machine_can_be_written() {
        let share = |lines: &str| format!("[[share]]\nname = \"a\"\npath = \"/srv\"\n{lines}\n");
        assert!(!read(&share("")).unwrap().shares[0].time_machine);
        assert!(read(&share("time_machine = true")).unwrap().shares[0].time_machine);
        let read_only = errors(&share("read_only = true\ntime_machine = true"));
        assert_eq!(
            read_only,
            ["5:16: time_machine needs a share that is not read_only: Macs write their backups to it"]
        );
    }

    #[test]
    fn limit_for_time_machine_is_a_number_with_a_unit() {
        let share = |lines: &str| format!("[[share]]\nname = \"a\"\npath = \"/srv\"\n{lines}\n");
        let limit = |text: &str| {
            let lines = format!("time_machine = true\ntime_machine_limit = \"{text}\"");
            read(&share(&lines)).map(|settings| settings.shares[0].time_machine_limit)
        };
        assert_eq!(limit("500G").unwrap(), Some(500 << 30));
        assert_eq!(limit("2t").unwrap(), Some(2 << 40));
        assert_eq!(limit("1024P").unwrap(), Some(1 << 60));
        for wrong in [
            "",
            "G",
            "500",
            "0G",
            "-1G",
            "+1G",
            "1.5T",
            "500 G",
            "500GB",
            "1025P",
            "99999999999999999999G",
            "5é",
        ] {
            let errors = limit(wrong).unwrap_err();
            assert!(errors[0].to_string().contains("such as \"500G\""), "{wrong}: {errors:?}");
        }
        assert_eq!(
            errors(&share("time_machine_limit = \"1T\"")),
            ["4:22: time_machine_limit needs time_machine = true"]
        );
    }

    #[test]
    fn grants_caching_and_autodisconnect_are_read() {
        let settings = read(
            "[server]\nhidden = true\nautodisconnect = 15\n\n[[share]]\nname = 'data'\npath = '/srv'\n\
             caching = 'documents'\nautodisconnect = 5\n\
             grants = [{ user = 'Everyone', right = 'read' }, { user = 'ann', right = 'full' }, \
             { group = 'staff', right = 'change' }]\n",
        )
        .unwrap();
        let share = &settings.shares[0];
        assert!(settings.hidden);
        assert_eq!((settings.autodisconnect, share.autodisconnect), (Some(15), Some(5)));
        assert_eq!(share.caching, Caching::Documents);
        let grant = |who, right| Grant { who, right };
        assert_eq!(share.grants[1], grant(Grantee::User(String::from("ann")), GrantRight::Full));
        assert_eq!(share.grants[2], grant(Grantee::Group(String::from("staff")), GrantRight::Change));
        assert_eq!(read("[server]\nautodisconnect = -1\n").unwrap().autodisconnect, None);
        assert_eq!(
            errors(
                "[server]\nautodisconnect = 65536\n[[share]]\nname = 'a'\npath = '/'\ncaching = 'much'\n\
                 grants = [{ user = '', right = 'all' }, { right = 'read' }, \
                 { user = 'a', group = 'b', right = 'read' }]\n"
            ),
            [
                "2:18: autodisconnect is 0 to 65535 minutes, or -1 for never",
                "6:11: caching is one of manual, documents, programs, none",
                "7:20: the name of a user or group is empty",
                "7:32: right is one of read, change, full",
                "7:51: a grant has either a user or a group",
                "7:96: a grant has either a user or a group"
            ]
        );
    }

    #[test]
    fn streams_and_unicode_forms_are_read() {
        use vfs::{Forms, Streams};
        let of = |line: &str| {
            let share = read(&format!("[[share]]\nname = 'a'\npath = '/'\n{line}\n"))?.shares.remove(0);
            Ok::<_, Vec<ConfigError>>((share.streams, share.unicode_forms))
        };
        assert_eq!(of("").unwrap(), (Streams::Auto, Forms::Exact));
        assert_eq!(of("streams = 'xattr'").unwrap(), (Streams::Attributes, Forms::Exact));
        assert_eq!(of("streams = 'depot'\nunicode_forms = 'any'").unwrap(), (Streams::Depot, Forms::Any));
        let error = |line| of(line).unwrap_err()[0].to_string();
        assert_eq!(error("streams = 'none'"), "4:11: streams is one of auto, xattr, depot");
        assert_eq!(error("unicode_forms = 'nfc'"), "4:17: unicode_forms is one of exact, any");
    }

    #[test]
    fn locking_settings_of_a_share_override_the_servers() {
        let told = |text: &str| {
            let settings = read(text).unwrap();
            let share = &settings.shares[0];
            (
                share.posix_locking.unwrap_or(settings.posix_locking),
                share.strict_locking.unwrap_or(settings.strict_locking),
            )
        };
        let share = "[[share]]\nname = 'data'\npath = '/srv'\n";
        assert_eq!(told(share), (true, false));
        let server = "[server]\nposix_locking = false\n";
        assert_eq!(told(&format!("{server}{share}")), (false, false));
        assert_eq!(
            told(&format!("{server}{share}posix_locking = true\nstrict_locking = true\n")),
            (true, true)
        );
        assert_eq!(
            told(&format!("[server]\nstrict_locking = true\n{share}strict_locking = false\n")),
            (true, false)
        );
        assert_eq!(
            errors(&format!(
                "{server}strict_locking = true\n{share}strict_locking = true\nposix_locking = false\n"
            )),
            ["3:18: strict_locking needs posix_locking", "7:18: strict_locking needs posix_locking"]
        );
    }
}
