//! Reads a table `[[notice]]` of `shareward.toml` into [`NoticeSettings`].

use std::net::IpAddr;
use std::path::PathBuf;

use control::NoticeEvent;
use hyper::Uri;
use serde::Deserialize;
use toml::Spanned;

use super::parse::{Reader, check_share_name};

/// One `[[notice]]`: events, and where they are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSettings {
    /// The events.
    pub events: Vec<NoticeEvent>,
    /// The shares whose events are reported, compared without regard to case; empty for all events.
    pub shares: Vec<String>,
    /// Patterns of paths below a share whose events are reported; empty for all events.
    pub paths: Vec<String>,
    /// The number of failed logons that is reported.
    pub failures: u64,
    /// The seconds within which that many logons fail.
    pub within: u64,
    /// The receiver.
    pub target: NoticeTarget,
}

/// The receiver of notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeTarget {
    /// A URL that gets each notice as a POST.
    Webhook {
        /// The URL: http or https.
        url: Uri,
        /// The file with the key of the signatures.
        secret_file: PathBuf,
        /// The file with the certificates of authorities, in PEM.
        ca_file: PathBuf,
    },
    /// A program with its arguments, which gets each notice on standard input.
    Command(Vec<String>),
}

/// The table as it is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticeTable {
    events: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    shares: Vec<Spanned<String>>,
    #[serde(default)]
    paths: Vec<Spanned<String>>,
    failures: Option<Spanned<i64>>,
    within: Option<Spanned<i64>>,
    url: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    allow_http: bool,
    command: Option<Spanned<Vec<String>>>,
}

impl NoticeTable {
    /// The place of the table in the file.
    pub(super) fn place(&self) -> &Spanned<Vec<Spanned<String>>> {
        &self.events
    }
}

impl Reader<'_> {
    /// Reads the table.
    pub(super) fn notice(&mut self, table: NoticeTable) -> Option<NoticeSettings> {
        if table.events.get_ref().is_empty() {
            self.error(&table.events, String::from("events is empty: a notice needs at least one"));
        }
        let mut events = Vec::new();
        for word in table.events.get_ref() {
            events.extend(self.word("events", word, &NoticeEvent::NAMES));
        }
        for name in &table.shares {
            if let Err(message) = check_share_name(name.get_ref()) {
                self.error(name, message);
            }
        }
        for pattern in table.paths.iter().filter(|it| it.get_ref().is_empty()) {
            self.error(pattern, String::from("the pattern of a path is empty"));
        }
        for word in table.events.get_ref() {
            let event = NoticeEvent::NAMES.iter().find(|(name, _)| name == word.get_ref());
            let Some((name, event)) = event else { continue };
            let lacks = [
                ("shares", table.shares.is_empty() || event.can_have_share()),
                ("paths", table.paths.is_empty() || event.can_have_path()),
            ];
            for (filter, _) in lacks.into_iter().filter(|(_, is_possible)| !is_possible) {
                let message =
                    format!("{filter} would never select {name}, which has none: use a table of its own");
                self.error(word, message);
            }
        }
        let failures = self.number("failures", table.failures, FAILURES, FAILURES_MAX);
        let within = self.number("within", table.within, WITHIN, WITHIN_MAX);
        let target = match (table.url, table.command) {
            (Some(url), None) => {
                let is_remote = self.check_url(&url, table.allow_http);
                let Some(secret_file) = table.secret_file else {
                    let message = "a notice with url needs secret_file, the key of its signatures";
                    self.error(&url, String::from(message));
                    return None;
                };
                let secret_file = self.path(secret_file);
                let ca_file = table.ca_file.map_or_else(|| PathBuf::from(CA_FILE), |it| self.path(it));
                NoticeTarget::Webhook { url: is_remote?, secret_file, ca_file }
            }
            (None, Some(command)) => {
                let is_absolute = command.get_ref().first().is_some_and(|it| it.starts_with('/'));
                if !is_absolute {
                    let message = "command is a list: the absolute path of a program, and its arguments";
                    self.error(&command, String::from(message));
                }
                for (name, file) in [("secret_file", &table.secret_file), ("ca_file", &table.ca_file)] {
                    if let Some(file) = file {
                        self.error(file, format!("{name} is for notices with url"));
                    }
                }
                if table.allow_http {
                    self.error(&command, String::from("allow_http is for notices with url"));
                }
                NoticeTarget::Command(command.into_inner())
            }
            (Some(url), Some(_)) => {
                self.error(&url, String::from("a notice has either url or command"));
                return None;
            }
            (None, None) => {
                self.error(&table.events, String::from("a notice needs url or command"));
                return None;
            }
        };
        let names = |all: Vec<Spanned<String>>| all.into_iter().map(Spanned::into_inner).collect();
        let (shares, paths) = (names(table.shares), names(table.paths));
        Some(NoticeSettings { events, shares, paths, failures, within, target })
    }

    fn number(&mut self, name: &str, given: Option<Spanned<i64>>, usual: u64, most: u64) -> u64 {
        let Some(given) = given else { return usual };
        match u64::try_from(*given.get_ref()) {
            Ok(number) if (1..=most).contains(&number) => number,
            _ => {
                self.error(&given, format!("{name} is 1 to {most}"));
                usual
            }
        }
    }

    /// Checks a URL: https, or http to this machine unless the table allows it elsewhere.
    fn check_url(&mut self, text: &Spanned<String>, allow_http: bool) -> Option<Uri> {
        let wrong = "url is 'https://HOST[:PORT]/PATH', without a user";
        let Ok(url) = text.get_ref().parse::<Uri>() else {
            self.error(text, String::from(wrong));
            return None;
        };
        let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else {
            self.error(text, String::from(wrong));
            return None;
        };
        let has_user = url.authority().is_some_and(|it| it.as_str().contains('@'));
        if !["http", "https"].contains(&scheme) || host.is_empty() || has_user {
            self.error(text, String::from(wrong));
            return None;
        }
        if scheme == "http" && !is_loopback(host) && !allow_http {
            let message =
                "http to another machine can be read and changed on the way: use https, or set allow_http";
            self.error(text, String::from(message));
            return None;
        }
        Some(url)
    }
}

/// True for an address of this machine itself, as it stands in a URL.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
}

/// The number of tables, each of which has a queue and a task. One more is an error.
pub(super) const NOTICES_MAX: usize = 32;

/// Failed logons within a minute that people do not cause by mistyping.
const FAILURES: u64 = 20;
const FAILURES_MAX: u64 = 1_000_000;

/// Seconds.
const WITHIN: u64 = 60;
const WITHIN_MAX: u64 = 86_400;

/// The certificates of authorities on Debian and most other systems.
const CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Settings, parse};
    use super::*;

    fn read(table: &str) -> Result<Vec<NoticeSettings>, Vec<String>> {
        let text = format!("[[notice]]\n{table}");
        let settings = parse(&text, Path::new("/etc/shareward"), Settings::conventional(false, |_| None));
        settings.map(|it| it.notices).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_notice_has_events_and_one_receiver() {
        let hook =
            read("events = ['closed', 'drain_done']\ncommand = ['/bin/hook', '-v']\nshares = ['data']")
                .unwrap();
        assert_eq!(hook[0].target, NoticeTarget::Command(vec!["/bin/hook".into(), "-v".into()]));
        assert_eq!(hook[0].events, [NoticeEvent::Closed, NoticeEvent::DrainDone]);
        assert_eq!((hook[0].failures, hook[0].within), (20, 60));
        let web = read(
            "events = ['refused']\npaths = ['*.db']\nurl = 'https://h.example/x?y'\nsecret_file = 'key'",
        )
        .unwrap();
        let NoticeTarget::Webhook { url, secret_file, .. } = &web[0].target else { panic!() };
        assert_eq!((url.host(), secret_file.as_path()), (Some("h.example"), Path::new("/etc/shareward/key")));
        for good in ["http://127.0.0.1:9/x", "http://[::1]:9/", "http://localhost/"] {
            assert!(
                read(&format!("events = ['closed']\nurl = '{good}'\nsecret_file = 'k'")).is_ok(),
                "{good}"
            );
        }
        let plain = "events = ['closed']\nurl = 'http://h.example/'\nsecret_file = 'k'\n";
        assert!(read(plain).is_err() && read(&format!("{plain}allow_http = true")).is_ok());
    }

    #[test]
    fn wrong_notices_are_errors_with_their_place() {
        for (table, error) in [
            ("events = []\ncommand = ['/x']", "events is empty"),
            ("events = ['opened']\ncommand = ['/x']", "events"),
            ("events = ['closed']", "needs url or command"),
            (
                "events = ['closed']\ncommand = ['/x']\nurl = 'https://h/'\nsecret_file = 'k'",
                "either url or command",
            ),
            ("events = ['closed']\ncommand = ['hook']", "absolute path"),
            ("events = ['closed']\ncommand = []", "absolute path"),
            ("events = ['closed']\nurl = 'https://h/'", "secret_file"),
            ("events = ['closed']\nurl = 'ftp://h/'\nsecret_file = 'k'", "url is"),
            ("events = ['closed']\nurl = 'https://u:p@h/'\nsecret_file = 'k'", "url is"),
            ("events = ['closed']\nurl = '/x'\nsecret_file = 'k'", "url is"),
            ("events = ['closed']\ncommand = ['/x']\nfailures = 0", "failures is 1 to"),
            ("events = ['closed']\ncommand = ['/x']\nwithin = -1", "within is 1 to"),
            ("events = ['closed']\ncommand = ['/x']\nshares = ['a/b']", ""),
            ("events = ['closed']\ncommand = ['/x']\npaths = ['']", "pattern"),
            ("events = ['closed']\ncommand = ['/x']\nwhen = 1", "unknown field"),
            ("events = ['closed']\ncommand = ['/x']\nca_file = 'c'", "ca_file is for notices with url"),
            (
                "events = ['closed']\ncommand = ['/x']\nallow_http = true",
                "allow_http is for notices with url",
            ),
            (
                "events = ['refused', 'logon_failures']\ncommand = ['/x']\nshares = ['data']",
                "shares would never select logon_failures",
            ),
            (
                "events = ['drain_done']\ncommand = ['/x']\npaths = ['*.db']",
                "paths would never select drain_done",
            ),
        ] {
            let errors = read(table).unwrap_err();
            assert!(errors.iter().any(|it| it.contains(error)), "{table}: {errors:?}");
        }
    }
}
