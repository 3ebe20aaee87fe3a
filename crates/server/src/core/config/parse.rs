//! Reads `shareward.toml` into [`Settings`], and reports every error with its line and column.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wire::Dialect;

use crate::core::limits::{
    LOCKOUT_MINUTES_MAX, LOCKOUT_THRESHOLD_MAX, PASSWORD_DAYS_MAX, PASSWORD_HISTORY_MAX, PASSWORD_LENGTH_MAX,
};

use super::cluster_table::ClusterTable;
use super::console::{ConsoleTable, MetricsTable};
use super::domain_table::DomainTable;
use super::history::HistoryTable;
use super::local_group::GroupTable;
use super::notice_table::{NOTICES_MAX, NoticeTable};
use super::role_table::RoleTable;
use super::share_table::ShareTable;
use super::{
    DiscoverySettings, Encryption, ListShares, MAX_NAME, PasswordPolicy, SMB_PORT, Settings, Signing,
};

/// An error in a configuration, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The description of the error.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Reads a configuration over `defaults`. Relative paths are below `base`, the file's directory. The function does not
/// access files, so it does not check if directories exist.
pub fn parse(text: &str, base: &Path, defaults: Settings) -> Result<Settings, Vec<ConfigError>> {
    let (file, errors) = read_file(text)?;
    let mut reader = Reader { text, base, errors };
    let settings = reader.settings(file, defaults);
    if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
}

/// Reads the tables of a text, with an error for each unknown key. If there is another kind of error, only errors are
/// returned.
fn read_file(text: &str) -> Result<(File, Vec<ConfigError>), Vec<ConfigError>> {
    let of = |error: &toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, located(text, at, error.message().to_owned()))
    };
    let mut document = DeTable::parse(text).map_err(|error| vec![of(&error).1])?;
    let mut errors = Vec::new();
    loop {
        let error = match File::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(file) => return Ok((file, errors)),
            Err(error) => error,
        };
        let (at, told) = of(&error);
        let is_unknown = told.message.starts_with("unknown field");
        errors.push(told);
        // Without the unknown key, the rest can be checked.
        if !is_unknown || errors.len() >= MAX_ERRORS || !remove_key(document.get_mut(), at) {
            return Err(errors);
        }
    }
}

/// Removes the key that begins at this offset of the text, in any table.
fn remove_key(table: &mut DeTable<'_>, at: usize) -> bool {
    let found = table.keys().find(|key| key.span().start == at).map(|key| key.get_ref().to_string());
    found.is_some_and(|key| table.remove(key.as_str()).is_some())
        || table.iter_mut().any(|(_, value)| remove_within(value.get_mut(), at))
}

fn remove_within(value: &mut DeValue<'_>, at: usize) -> bool {
    match value {
        DeValue::Table(table) => remove_key(table, at),
        DeValue::Array(values) => values.iter_mut().any(|value| remove_within(value.get_mut(), at)),
        _ => false,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    server: ServerTable,
    domain: Option<DomainTable>,
    cluster: Option<ClusterTable>,
    discovery: Option<DiscoveryTable>,
    console: Option<ConsoleTable>,
    metrics: Option<MetricsTable>,
    history: Option<HistoryTable>,
    #[serde(default, rename = "role")]
    roles: Vec<RoleTable>,
    #[serde(default, rename = "group")]
    groups: Vec<GroupTable>,
    #[serde(default, rename = "notice")]
    notices: Vec<NoticeTable>,
    #[serde(default, rename = "share")]
    shares: Vec<ShareTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscoveryTable {
    #[serde(default)]
    mdns: bool,
    #[serde(default)]
    wsd: bool,
    workgroup: Option<Spanned<String>>,
    #[serde(default)]
    leave_out: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerTable {
    name: Option<Spanned<String>>,
    comment: Option<Spanned<String>>,
    hidden: bool,
    autodisconnect: Option<Spanned<i64>>,
    listen: Option<Vec<Spanned<String>>>,
    hosts_allow: Option<Vec<Spanned<String>>>,
    hosts_deny: Option<Vec<Spanned<String>>>,
    users_file: Option<Spanned<PathBuf>>,
    control_socket: Option<Spanned<PathBuf>>,
    state_dir: Option<Spanned<PathBuf>>,
    administrators: Option<Vec<Spanned<String>>>,
    signing: Option<Spanned<String>>,
    encryption: Option<Spanned<String>>,
    min_dialect: Option<Spanned<String>>,
    max_dialect: Option<Spanned<String>>,
    posix_extensions: Option<bool>,
    unix_identities: Option<bool>,
    posix_locking: Option<bool>,
    strict_locking: Option<Spanned<bool>>,
    sandbox: Option<Spanned<String>>,
    list_shares: Option<Spanned<String>>,
    guest_domains: Option<Vec<Spanned<String>>>,
    lockout_threshold: Option<Spanned<i64>>,
    lockout_duration: Option<Spanned<i64>>,
    lockout_window: Option<Spanned<i64>>,
    min_password_length: Option<Spanned<i64>>,
    max_password_age: Option<Spanned<i64>>,
    min_password_age: Option<Spanned<i64>>,
    password_history: Option<Spanned<i64>>,
}

/// The reader of the tables, which collects errors.
pub(super) struct Reader<'a> {
    text: &'a str,
    base: &'a Path,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn settings(&mut self, file: File, mut settings: Settings) -> Settings {
        let table = file.server;
        if let Some(name) = table.name {
            self.server_name(&name);
            settings.name = name.into_inner();
        }
        if let Some(comment) = table.comment {
            self.text_of("comment", &comment, MAX_REMARK);
            settings.comment = comment.into_inner();
        }
        settings.hidden = table.hidden;
        if let Some(minutes) = table.autodisconnect {
            settings.autodisconnect = self.minutes(&minutes);
        }
        if let Some(listen) = table.listen {
            settings.listen = listen.iter().flat_map(|address| self.addresses(address)).collect();
        }
        settings.hosts = self.hosts(table.hosts_allow, table.hosts_deny);
        if let Some(path) = table.users_file {
            settings.users_file = self.path(path);
        }
        if let Some(path) = table.control_socket {
            settings.control_socket =
                if path.get_ref().as_os_str().is_empty() { None } else { Some(self.path(path)) };
        }
        if let Some(path) = table.state_dir {
            settings.state_directory = self.path(path);
        }
        if let Some(administrators) = table.administrators {
            settings.administrators = administrators.into_iter().map(Spanned::into_inner).collect();
        }
        if let Some(word) = table.signing {
            let words = [("enabled", Signing::Enabled), ("required", Signing::Required)];
            settings.signing = self.word("signing", &word, &words).unwrap_or_default();
        }
        if let Some(word) = table.encryption {
            let words = [
                ("off", Encryption::Off),
                ("enabled", Encryption::Enabled),
                ("required", Encryption::Required),
            ];
            settings.encryption = self.word("encryption", &word, &words).unwrap_or_default();
        }
        if let Some(word) = table.list_shares {
            settings.list_shares = self.word("list_shares", &word, &LIST_SHARES).unwrap_or_default();
        }
        if let Some(domains) = table.guest_domains {
            settings.guest_domains = domains.into_iter().map(Spanned::into_inner).collect();
        }
        if let Some(word) = &table.min_dialect {
            settings.dialects.0 = self.word("min_dialect", word, &DIALECTS).unwrap_or(settings.dialects.0);
        }
        if let Some(word) = &table.max_dialect {
            settings.dialects.1 = self.word("max_dialect", word, &DIALECTS).unwrap_or(settings.dialects.1);
        }
        if settings.dialects.0 > settings.dialects.1
            && let Some(word) = table.min_dialect.as_ref().or(table.max_dialect.as_ref())
        {
            self.error(word, String::from("min_dialect is above max_dialect"));
        }
        let min_age = table.min_password_age.clone();
        let (lockout, passwords) = (&mut settings.lockout, &mut settings.passwords);
        let days = PASSWORD_DAYS_MAX;
        for (name, given, least, most, value) in [
            (
                "min_password_length",
                table.min_password_length,
                0,
                PASSWORD_LENGTH_MAX,
                &mut passwords.min_length,
            ),
            ("max_password_age", table.max_password_age, 0, days, &mut passwords.max_age_days),
            ("min_password_age", table.min_password_age, 0, days, &mut passwords.min_age_days),
            ("password_history", table.password_history, 0, PASSWORD_HISTORY_MAX, &mut passwords.history),
            ("lockout_threshold", table.lockout_threshold, 0, LOCKOUT_THRESHOLD_MAX, &mut lockout.threshold),
            ("lockout_duration", table.lockout_duration, 0, LOCKOUT_MINUTES_MAX, &mut lockout.duration),
            ("lockout_window", table.lockout_window, 1, LOCKOUT_MINUTES_MAX, &mut lockout.window),
        ] {
            let Some(given) = given else { continue };
            match u32::try_from(*given.get_ref()) {
                Ok(number) if (least..=most).contains(given.get_ref()) => *value = number,
                _ => self.error(&given, format!("{name} is {least} to {most}")),
            }
        }
        let PasswordPolicy { min_age_days, max_age_days, .. } = settings.passwords;
        if let Some(min_age) = min_age.filter(|_| max_age_days != 0 && min_age_days >= max_age_days) {
            self.error(&min_age, String::from("min_password_age must be below max_password_age"));
        }
        settings.posix_extensions = table.posix_extensions.unwrap_or(settings.posix_extensions);
        settings.unix_identities = table.unix_identities.unwrap_or(settings.unix_identities);
        settings.posix_locking = table.posix_locking.unwrap_or(settings.posix_locking);
        let strict_locking = self.strict_locking(table.strict_locking, table.posix_locking);
        settings.strict_locking = strict_locking.unwrap_or(settings.strict_locking);
        if let Some(word) = &table.sandbox {
            settings.sandbox = self.word("sandbox", word, &sandbox::Mode::NAMES).unwrap_or_default();
        }
        if let Some(table) = file.discovery {
            settings.discovery = self.discovery(table);
        }
        if let Some(table) = file.console {
            settings.console = self.console(table);
        }
        if let Some(table) = file.metrics {
            settings.metrics = self.metrics(table);
        }
        if let Some(table) = file.history {
            settings.history = self.history(table);
        }
        settings.domain = file.domain.map(|table| self.domain(table, &settings.name));
        settings.cluster = file.cluster.and_then(|table| self.cluster(table, &settings.name));
        settings.groups = self.local_groups(file.groups, &settings.name);
        settings.roles = file.roles.into_iter().filter_map(|role| self.role(role)).collect();
        if let Some(one_more) = file.notices.get(NOTICES_MAX) {
            let message = format!("there are more than {NOTICES_MAX} notices");
            self.error(one_more.place(), message);
        }
        settings.notices = file.notices.into_iter().filter_map(|it| self.notice(it)).collect();
        let mut names = HashMap::new();
        for share in file.shares {
            let share = self.share(share, settings.unix_identities, &mut names);
            settings.shares.extend(share);
        }
        settings
    }

    /// `strict_locking`, which requires `posix_locking`.
    pub(super) fn strict_locking(
        &mut self,
        strict: Option<Spanned<bool>>,
        posix: Option<bool>,
    ) -> Option<bool> {
        let strict = strict?;
        if *strict.get_ref() && posix == Some(false) {
            self.error(&strict, String::from("strict_locking needs posix_locking"));
        }
        Some(strict.into_inner())
    }

    /// The minutes of `autodisconnect`; `None` for never.
    pub(super) fn minutes(&mut self, minutes: &Spanned<i64>) -> Option<u32> {
        match *minutes.get_ref() {
            -1 => None,
            0..=MAX_AUTODISCONNECT => u32::try_from(*minutes.get_ref()).ok(),
            _ => {
                self.error(
                    minutes,
                    format!("autodisconnect is 0 to {MAX_AUTODISCONNECT} minutes, or -1 for never"),
                );
                None
            }
        }
    }

    fn discovery(&mut self, table: DiscoveryTable) -> DiscoverySettings {
        let mut discovery = DiscoverySettings {
            mdns: table.mdns,
            wsd: table.wsd,
            leave_out: table.leave_out,
            ..DiscoverySettings::default()
        };
        if let Some(workgroup) = table.workgroup {
            self.server_name(&workgroup);
            discovery.workgroup = workgroup.into_inner();
        }
        discovery
    }

    fn server_name(&mut self, name: &Spanned<String>) {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let length = name.get_ref().len();
        if length == 0 || length > MAX_NAME || !name.get_ref().chars().all(good) {
            self.error(name, format!("a server name is 1 to {MAX_NAME} letters, digits, '-' or '_'"));
        }
    }

    pub(super) fn text_of(&mut self, what: &str, text: &Spanned<String>, limit: usize) {
        if text.get_ref().chars().count() > limit {
            self.error(text, format!("{what} is longer than {limit} characters"));
        }
    }

    fn addresses(&mut self, text: &Spanned<String>) -> Vec<SocketAddr> {
        match listen_addresses(text.get_ref()) {
            Ok(addresses) => addresses,
            Err(message) => {
                self.error(text, message);
                Vec::new()
            }
        }
    }

    pub(super) fn path(&self, path: Spanned<PathBuf>) -> PathBuf {
        self.base.join(path.into_inner())
    }

    pub(super) fn word<T: Copy>(
        &mut self,
        what: &str,
        word: &Spanned<String>,
        words: &[(&str, T)],
    ) -> Option<T> {
        let found = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.get_ref()));
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
            self.error(word, format!("{what} is one of {}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn error<T>(&mut self, at: &Spanned<T>, message: String) {
        self.errors.push(located(self.text, at.span().start, message));
    }
}

/// The addresses of a `listen` entry or of `--listen`: an address or host name, with or without a port (`127.0.0.1`,
/// `[::1]:4450`, `localhost:4450`, `::`, `:4450` for every address).
pub fn listen_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    addresses_with_port(text, SMB_PORT)
}

/// The addresses of an entry, with this port if it has none.
pub(super) fn addresses_with_port(text: &str, default: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, default)]);
    }
    if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
        return Ok(vec![SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from(([0u16; 8], port))]);
    }
    let resolved = match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => text.to_socket_addrs(),
        _ => (text, default).to_socket_addrs(),
    };
    match resolved {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(format!("{text:?} is no address to listen on: {error}")),
    }
}

/// Checks the name of a share (MS-SRVS 2.2.4.22, and characters that no client can send).
pub fn check_share_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.chars().count() > MAX_SHARE_NAME {
        return Err(format!("a share name has 1 to {MAX_SHARE_NAME} characters"));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || "\\/[]:|<>+=;,*?\"".contains(*c)) {
        return Err(format!("a share name cannot have {bad:?}"));
    }
    if RESERVED_SHARES.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return Err(format!("{name} is reserved"));
    }
    Ok(())
}

/// Checks a remark or comment.
pub(crate) fn check_remark(text: &str) -> Result<(), String> {
    if text.chars().count() > MAX_REMARK {
        return Err(format!("longer than {MAX_REMARK} characters"));
    }
    Ok(())
}

fn located(text: &str, offset: usize, message: String) -> ConfigError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConfigError {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message,
    }
}

/// The maximal number of unknown keys that are reported together: each of them takes another pass over the whole file.
const MAX_ERRORS: usize = 100;

/// The maximal length of a share name, in characters (MS-SRVS 2.2.4.22: NNLEN).
const MAX_SHARE_NAME: usize = 80;

/// The maximal length of a remark or comment, in characters (MAXCOMMENTSZ).
pub(super) const MAX_REMARK: usize = 256;

/// Names that every client uses for something other than a share of files.
const RESERVED_SHARES: [&str; 4] = ["IPC$", "PIPE", "MAILSLOT", "ADMIN$"];

/// The maximal minutes of `autodisconnect`, as in NET CONFIG SERVER.
pub(crate) const MAX_AUTODISCONNECT: i64 = 65535;

const LIST_SHARES: [(&str, ListShares); 3] =
    [("users", ListShares::Users), ("guests", ListShares::Guests), ("anonymous", ListShares::Anonymous)];

const DIALECTS: [(&str, Dialect); 5] = [
    ("2.0.2", Dialect::SMB202),
    ("2.1", Dialect::SMB210),
    ("3.0", Dialect::SMB300),
    ("3.0.2", Dialect::SMB302),
    ("3.1.1", Dialect::SMB311),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::Lockout;

    fn read(text: &str) -> Result<Settings, Vec<ConfigError>> {
        let defaults = Settings::conventional(false, |_| None);
        parse(text, Path::new("/etc/shareward"), defaults)
    }

    fn errors(text: &str) -> Vec<String> {
        read(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn empty_file_gives_the_default_settings() {
        let settings = read("").unwrap();
        assert!(settings.shares.is_empty());
        assert_eq!(settings.listen.len(), 2);
    }

    #[test]
    fn settings_of_server_and_shares_are_read() {
        let settings = read(
            "[server]\nname = 'ATTIC'\nlisten = ['127.0.0.1:4450', '::1']\nencryption = 'required'\n\
             users_file = 'people'\ncontrol_socket = ''\n\n[[share]]\nname = 'data'\npath = '/srv/data'\n\
             max_users = 3\nusers = ['ann']\n\n[[share]]\nname = 'secret$'\npath = 'x'\n",
        )
        .unwrap();
        assert_eq!(settings.listen, ["127.0.0.1:4450".parse().unwrap(), "[::1]:445".parse().unwrap()]);
        assert_eq!(settings.users_file, Path::new("/etc/shareward/people"));
        assert_eq!(settings.control_socket, None);
        assert_eq!(settings.encryption, Encryption::Required);
        assert_eq!(settings.shares[0].max_users, Some(3));
        assert!(settings.shares[1].hidden && !settings.shares[0].hidden);
        assert_eq!(settings.shares[1].path, Path::new("/etc/shareward/x"));
    }

    #[test]
    fn posix_extensions_are_on_unless_turned_off() {
        assert!(read("").unwrap().posix_extensions);
        assert!(!read("[server]\nposix_extensions = false\n").unwrap().posix_extensions);
        assert!(read("[server]\nposix_extensions = 'off'\n").is_err());
    }

    #[test]
    fn rules_for_passwords_are_read_within_their_limits() {
        let text = "[server]\nmin_password_length = 8\nmax_password_age = 90\nmin_password_age = 1\npassword_history = 24\n";
        let read = read(text).unwrap().passwords;
        assert_eq!((read.min_length, read.max_age_days, read.min_age_days, read.history), (8, 90, 1, 24));
        let told = errors("[server]\npassword_history = 25\nmax_password_age = 5\nmin_password_age = 5\n");
        assert_eq!(
            told,
            ["2:20: password_history is 0 to 24", "4:20: min_password_age must be below max_password_age"]
        );
    }

    #[test]
    fn lockout_is_off_unless_it_is_asked_for() {
        assert_eq!(read("").unwrap().lockout, Lockout { threshold: 0, duration: 10, window: 10 });
        let text = "[server]\nlockout_threshold = 5\nlockout_duration = 0\nlockout_window = 30\n";
        assert_eq!(read(text).unwrap().lockout, Lockout { threshold: 5, duration: 0, window: 30 });
        assert_eq!(
            errors("[server]\nlockout_threshold = 1000\nlockout_duration = -1\nlockout_window = 0\n"),
            [
                "2:21: lockout_threshold is 0 to 999",
                "3:20: lockout_duration is 0 to 99999",
                "4:18: lockout_window is 1 to 99999"
            ]
        );
    }

    #[test]
    fn all_errors_are_reported_with_line_and_column() {
        assert_eq!(
            errors("[server]\nsigning = 'maybe'\nname = 'much too long a name'\n"),
            [
                "3:8: a server name is 1 to 15 letters, digits, '-' or '_'",
                "2:11: signing is one of enabled, required"
            ]
        );
        assert!(errors("[server]\nnmae = 'x'\n")[0].starts_with("2:1: unknown field `nmae`"));
        let all = errors(
            "[server]\nnmae = 'x'\nsigning = 'maybe'\n[[share]]\nname='a'\npath='/'\nraed_only = true\n\
             grants = [{ user = 'a', rihgt = 'x', right = 'read' }]\n[extra]\na = 1\n",
        );
        let places: Vec<_> = all.iter().map(|error| error.split_once(": ").unwrap().0).collect();
        assert_eq!(places.len(), 5, "{all:?}");
        for place in ["2:1", "3:11", "7:1", "8:25"] {
            assert!(places.contains(&place), "{place} {all:?}");
        }
        assert!(errors("[server\n")[0].starts_with("1:8: "));
        for (one, other) in [("a", "A"), ("ü", "Ü")] {
            assert_eq!(
                errors(&format!("[[share]]\nname='{one}'\npath='/'\n[[share]]\nname='{other}'\npath='/'\n")),
                [format!("5:6: share {other:?} is defined twice; {one:?} is the same name")]
            );
        }
        assert_eq!(errors("[[share]]\nname='IPC$'\npath='/'\n"), ["2:6: IPC$ is reserved"]);
    }
}
