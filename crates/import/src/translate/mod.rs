//! Translates a configuration into `shareward.toml`.

mod access;
mod domain;
mod files;
mod hosts;
mod names;
mod network;
mod server;
mod share;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::report::{Answers, Entry, ShareEntry, ShareOutcome, Verdict, entries};
use crate::share_info::ShareInfo;
use crate::smbconf::{Config, Line, list};
use crate::system::System;

/// The text of `shareward.toml` and the answers to all lines.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The text.
    pub toml: String,
    /// The answers, in the order of the lines.
    pub entries: Vec<Entry>,
    /// The sections.
    pub shares: Vec<ShareEntry>,
    /// The steps that have to be done by hand.
    pub notes: Vec<String>,
}

/// Settings of the result that do not come from Samba.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `users_file`, if it is not in the conventional place.
    pub users_file: Option<String>,
    /// `state_dir`, if it is not the conventional one.
    pub state_dir: Option<String>,
}

/// The place of Samba's accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountsSource {
    /// A passdb.tdb.
    Tdb(PathBuf),
    /// A file in smbpasswd format.
    Smbpasswd(PathBuf),
    /// A backend that the import cannot read (`ldapsam:...`).
    Other(String),
}

/// The place of the accounts (`passdb backend`).
pub fn accounts_source(config: &Config) -> AccountsSource {
    let value = config.value("passdb backend").and_then(|value| list(&value.bytes).into_iter().next());
    let backend = value.map_or_else(|| String::from("tdbsam"), |value| config.charset.text(&value));
    let (kind, place) = match backend.split_once(':') {
        Some((kind, place)) => (kind.to_ascii_lowercase(), Some(PathBuf::from(place))),
        None => (backend.to_ascii_lowercase(), None),
    };
    match kind.as_str() {
        "tdbsam" => {
            AccountsSource::Tdb(place.unwrap_or_else(|| private_directory(config).join("passdb.tdb")))
        }
        "smbpasswd" => {
            let set = config.text("smb passwd file");
            let file = if set.is_empty() { String::from("/etc/samba/smbpasswd") } else { set };
            AccountsSource::Smbpasswd(place.unwrap_or_else(|| PathBuf::from(file)))
        }
        _ => AccountsSource::Other(backend),
    }
}

/// The directory of passdb.tdb and secrets.tdb.
pub fn private_directory(config: &Config) -> PathBuf {
    let set = config.text("private dir");
    PathBuf::from(if set.is_empty() { "/var/lib/samba/private" } else { &set })
}

/// The NetBIOS name of the Samba server, in capitals.
pub fn server_name(config: &Config, system: &dyn System) -> String {
    let set = config.text("netbios name");
    let name = if set.is_empty() { system.host_name() } else { set };
    let short: String = name.split('.').next().unwrap_or_default().chars().take(server::NAME_MAX).collect();
    short.to_ascii_uppercase()
}

/// The inputs of a translation.
struct Context<'a> {
    config: &'a Config,
    system: &'a dyn System,
    /// The names of the accounts of the users file.
    accounts: &'a [String],
    /// The NetBIOS name of the server.
    server: String,
    /// True if the server is a member of a domain, so that there are users without an account.
    is_member: bool,
    /// The permissions of shares.
    share_info: ShareInfo,
    /// The lines of each section; those of `[global]` have no index.
    lines: HashMap<Option<usize>, Vec<&'a Line>>,
}

/// Translates a configuration. `accounts` are the names in the users file.
pub fn translate(config: &Config, accounts: &[String], places: &Places, system: &dyn System) -> Translation {
    let is_member = server::is_member(config);
    let mut lines: HashMap<Option<usize>, Vec<&Line>> = HashMap::new();
    for line in &config.lines {
        lines.entry(line.section).or_default().push(line);
    }
    let (server, share_info) = (server_name(config, system), ShareInfo::of(config, system));
    let context = Context { config, system, accounts, server, is_member, share_info, lines };
    let mut answers = Answers::default();
    let mut notes = Vec::new();
    match &context.share_info {
        ShareInfo::Missing => notes.push(format!(
            "permissions of shares (sharesec): there is no {}, so none were imported",
            crate::share_info::path(config).display()
        )),
        ShareInfo::Unknown(reason) => notes.push(format!("{reason}; no share is served")),
        ShareInfo::Known(_) => {}
    }
    let main = config.files.first().map(|path| path.display().to_string()).unwrap_or_default();
    let mut toml = format!(
        "# From {} by `shareward import samba`; the comments name the lines. The settings of Shareward are described in\n\
         # the default shareward.toml and in docs/samba.md.\n\n",
        text::one_line(&main)
    );
    let mut below = String::new();
    let mut shares = Vec::new();
    let mut left_out = BTreeMap::new();
    let mut names = std::collections::HashSet::new();
    for (index, section) in config.shares.iter().enumerate() {
        let name = config.charset.text(&section.name);
        let (outcome, detail) = match share::share(&context, (index, section), &mut names, &mut answers) {
            share::Outcome::Share(text) => {
                below.push_str(&text);
                (ShareOutcome::Share, String::new())
            }
            share::Outcome::Comment(text, reason) => {
                let _ = writeln!(below, "# Not served: {}.", text::one_line(&reason));
                below.push_str(&text::commented(&text));
                (ShareOutcome::Comment, reason)
            }
            share::Outcome::LeftOut(verdict, reason) => {
                left_out.insert(index, (verdict, reason.clone()));
                let _ = writeln!(
                    below,
                    "# [{}] ({}): {}.",
                    text::one_line(&name),
                    text::place(config, section.place),
                    reason
                );
                (ShareOutcome::LeftOut, reason)
            }
        };
        below.push('\n');
        let file = config.file(section.place).display().to_string();
        shares.push(ShareEntry { name, file, line: section.place.line, outcome, detail });
    }
    includes(config, &mut answers);
    // The answers to defaults for shares depend on the shares.
    server::head(&context, places, &mut toml, &mut answers, &mut notes);
    domain::table(&context, &mut toml, &mut answers, &mut notes);
    toml.push_str(&below);
    let entries = entries(config, &answers, &left_out);
    Translation { toml, entries, shares, notes }
}

/// The answers to files that were not included.
fn includes(config: &Config, answers: &mut Answers) {
    for (place, path, reason) in &config.not_included {
        let value = crate::smbconf::Value { bytes: std::sync::Arc::default(), inverse: false, place: *place };
        answers.not_yet(Some(&value), format!("{}: {reason}", path.display()));
    }
}

/// The lines that ask for something that is missing, as comments of a table.
fn missing(context: &Context<'_>, section: Option<usize>, answers: &Answers) -> Vec<String> {
    let config = context.config;
    let lines = context.lines.get(&section).map(Vec::as_slice).unwrap_or_default();
    let entries = lines.iter().filter_map(|line| {
        let entry = crate::report::entry(config, answers, &BTreeMap::new(), line);
        (entry.answer == Verdict::NotYet).then(|| {
            format!(
                "{}: {} = {}: {}",
                text::place(config, line.place),
                entry.parameter,
                entry.value,
                entry.detail
            )
        })
    });
    entries.collect()
}

impl Context<'_> {
    /// The text with the variables that are the same for all clients; the first other variable is the error.
    fn substituted(&self, text: &str, share: &str) -> Result<String, char> {
        let mut whole = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            whole.push_str(before);
            if let Some((name, after)) = after.strip_prefix("$(").and_then(|it| it.split_once(')')) {
                whole.push_str(&self.system.environment(name).unwrap_or_default());
                rest = after;
                continue;
            }
            let mut characters = after.chars();
            match characters.next() {
                Some('h') => whole.push_str(&self.system.host_name()),
                Some('L') => whole.push_str(&self.server),
                Some('S') if !share.is_empty() => whole.push_str(share),
                Some('v') => {}
                Some(other) if VARIABLES.contains(other) => return Err(other),
                Some(other) => whole.extend(['%', other]),
                None => whole.push('%'),
            }
            rest = characters.as_str();
        }
        whole.push_str(rest);
        Ok(whole)
    }

    /// The path with those variables that Shareward does not have; the first that neither has is the error. In [homes],
    /// the name of the share is that of the user. In a domain, Samba's names of users are others.
    fn substituted_path(&self, text: &str, share: &str, is_homes: bool) -> Result<String, char> {
        let mut marked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            marked.push_str(before);
            let variable = match after.chars().next() {
                Some('U' | 'u') if !self.is_member => Some('U'),
                Some('S') if is_homes && !self.is_member => Some('U'),
                Some('G' | 'g') if !self.is_member => Some('G'),
                Some('H') if marked.is_empty() => Some('H'),
                Some('I') => Some('I'),
                Some('S') if is_homes => return Err('S'),
                _ => None,
            };
            match variable {
                Some(letter) => {
                    marked.extend([MARK, letter]);
                    rest = after.get(1..).unwrap_or_default();
                }
                None => {
                    marked.push('%');
                    // Samba's other variables have one letter, too.
                    let end = after.chars().next().map_or(0, char::len_utf8);
                    marked.push_str(after.get(..end).unwrap_or_default());
                    rest = after.get(end..).unwrap_or_default();
                }
            }
        }
        marked.push_str(rest);
        Ok(self.substituted(&marked, share)?.replace(MARK, "%"))
    }

    /// The name as Shareward has it: without the server's own name before it, and with a backslash after the domain.
    /// `None` for a name of a domain if the server is not a member of one.
    fn qualified(&self, name: &str) -> Option<String> {
        let separator = self.config.text("winbind separator");
        let separator = separator.chars().next().unwrap_or('\\');
        let Some((domain, user)) = name.split_once(separator).or_else(|| name.split_once('\\')) else {
            return Some(name.to_owned());
        };
        if domain.eq_ignore_ascii_case(&self.server) {
            return Some(user.to_owned());
        }
        // Without a domain, `+` is a character of the name.
        match self.is_member {
            true => Some(format!("{}\\{user}", domain.to_ascii_uppercase())),
            false if separator == '\\' || name.contains('\\') => None,
            false => Some(name.to_owned()),
        }
    }
}

/// Stands for the sign of a variable that Shareward has; paths have no control characters.
const MARK: char = '\u{1}';

/// The variables that depend on the client or the user (smb.conf, "VARIABLE SUBSTITUTIONS").
const VARIABLES: &str = "UGugHNpRdmMIiTDwVPSaJj";
