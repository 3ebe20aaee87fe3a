//! Reads a configuration with the files that it includes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use wire::FoldedName;

use super::{
    Broken, Charset, Config, Content, Index, Line, Meaning, OptionValue, Place, Section, Value, Values,
    boolean, choice, octal, scan, unquoted,
};
use crate::limits::{CONFIG_BYTES_MAX, FAULTS_MAX, INCLUDE_DEPTH_MAX, INCLUDES_MAX};
use crate::parameters::{self, Kind, Named, Scope};
use crate::system::System;

/// The reasons that a configuration cannot be read.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Lines with which Samba does not load the configuration either.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

/// A line with which Samba does not load the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}:{line}: {message}", path.display())]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// The error.
    pub message: String,
}

/// Reads the configuration in `path`. The error has all faults.
pub fn load(path: &Path, system: &dyn System) -> Result<Config, LoadError> {
    let mut loader = Loader {
        system,
        config: Config {
            files: Vec::new(),
            global: Values::new(),
            options: super::Options::new(),
            shares: Vec::new(),
            lines: Vec::new(),
            not_included: Vec::new(),
            charset: Charset::Utf8,
        },
        index: Index::new(),
        current: None,
        defaults: Arc::default(),
        faults: Vec::new(),
        is_invalid: Vec::new(),
    };
    let bytes = system
        .read(path, CONFIG_BYTES_MAX)
        .map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
    loader.file(path, &bytes, 0);
    if !loader.faults.is_empty() {
        return Err(LoadError::Faults(loader.faults));
    }
    let mut config = loader.config;
    let charset = config.value("unix charset").map(|value| Charset::of(&value.bytes));
    config.charset = charset.unwrap_or(Charset::Utf8);
    for line in loader.is_invalid.into_iter().rev() {
        remove(&mut config, line);
    }
    Ok(config)
}

/// Removes a section that is not valid (`-valid = no`), with its lines.
fn remove(config: &mut Config, section: usize) {
    if section < config.shares.len() {
        config.shares.remove(section);
    }
    config.lines.retain(|line| line.section != Some(section));
    for line in &mut config.lines {
        line.section = line.section.map(|it| if it > section { it - 1 } else { it });
    }
}

struct Loader<'a> {
    system: &'a dyn System,
    config: Config,
    index: Index,
    /// The section that parameters belong to; `None` for `[global]`. An included file changes it for the including one.
    current: Option<usize>,
    /// The defaults for shares, as they are in `[global]` so far.
    defaults: Arc<Values>,
    faults: Vec<Fault>,
    /// The sections with `-valid = no`, in their order.
    is_invalid: Vec<usize>,
}

impl Loader<'_> {
    fn file(&mut self, path: &Path, bytes: &[u8], depth: usize) {
        let number = u16::try_from(self.config.files.len()).unwrap_or(u16::MAX);
        self.config.files.push(path.to_owned());
        let items = match scan(bytes) {
            Ok(items) => items,
            Err(Broken { line, message }) => {
                self.fault(Place { file: number, line }, message.to_owned());
                return;
            }
        };
        for item in items {
            let place = Place { file: number, line: item.line };
            match item.content {
                Content::Section(name) => self.section(name, place),
                Content::Parameter { name, value } => self.parameter(name, value.into(), place, depth),
                Content::Ignored => self.line(Vec::new(), Arc::default(), Meaning::Nothing, place),
            }
            if self.faults.len() >= FAULTS_MAX {
                return;
            }
        }
    }

    fn fault(&mut self, place: Place, message: String) {
        let path = self.config.file(place).to_owned();
        self.faults.push(Fault { path, line: place.line, message });
    }

    fn section(&mut self, name: Vec<u8>, place: Place) {
        let folded = folded(&name);
        if matches!(parameters::key(&name).as_str(), "global" | "globals") {
            self.current = None;
            return;
        }
        if let Some(known) = self.index.get(&folded) {
            self.current = Some(*known);
            // Samba forgets the options of a section that begins again, but not its other values.
            if let Some(section) = self.config.shares.get_mut(*known) {
                section.options.clear();
            }
            return;
        }
        self.current = Some(self.config.shares.len());
        self.index.insert(folded, self.config.shares.len());
        self.config.shares.push(Section {
            name,
            place,
            values: Values::new(),
            options: super::Options::new(),
            inherited: Arc::clone(&self.defaults),
        });
    }

    fn line(&mut self, name: Vec<u8>, value: Arc<[u8]>, meaning: Meaning, place: Place) {
        self.config.lines.push(Line { place, section: self.current, name, value, meaning });
    }

    fn parameter(&mut self, name: Vec<u8>, value: Arc<[u8]>, place: Place, depth: usize) {
        if parameters::key(&name) == "-valid" {
            if let (Some(section), Some(false)) = (self.current, boolean(&value))
                && !self.is_invalid.contains(&section)
            {
                self.is_invalid.push(section);
                self.is_invalid.sort_unstable();
            }
            return;
        }
        if name.contains(&b':') {
            let key = parameters::key(&name);
            let option = OptionValue {
                name: name.as_slice().into(),
                value: Value { bytes: Arc::clone(&value), inverse: false, place },
            };
            let options = match self.current.and_then(|section| self.config.shares.get_mut(section)) {
                Some(section) => &mut section.options,
                None => &mut self.config.options,
            };
            options.insert(key.clone(), option);
            self.line(name, value, Meaning::Option(key), place);
            return;
        }
        let Some(named) = parameters::by_name(&name) else {
            self.line(name, value, Meaning::Unknown, place);
            return;
        };
        if self.current.is_some() && named.parameter.scope == Scope::Global {
            self.line(name, value, Meaning::Misplaced(named), place);
            return;
        }
        if let Err(message) = check(named, &value) {
            self.fault(place, message);
            return;
        }
        self.line(name, Arc::clone(&value), Meaning::Known(named), place);
        match named.parameter.name {
            "include" => self.include(&value, place, depth),
            "copy" => self.copy(&value, place),
            _ => self.set(named, Value { bytes: value, inverse: named.inverse, place }),
        }
    }

    fn set(&mut self, named: Named, value: Value) {
        match self.current.and_then(|section| self.config.shares.get_mut(section)) {
            Some(section) => _ = section.values.insert(named.id, value),
            None => {
                if named.parameter.scope == Scope::Share {
                    Arc::make_mut(&mut self.defaults).insert(named.id, value.clone());
                }
                self.config.global.insert(named.id, value);
            }
        }
    }

    /// `copy`: takes over the values of an earlier section that this one has not set itself.
    fn copy(&mut self, value: &[u8], place: Place) {
        let Some(current) = self.current else {
            self.fault(place, String::from("copy: [global] cannot be a copy of a share"));
            return;
        };
        let wanted = String::from_utf8_lossy(unquoted(value));
        let source = match self.index.get(&folded(unquoted(value))) {
            Some(source) if *source != current => self.config.shares.get(*source).cloned(),
            Some(_) => {
                self.fault(place, String::from("a share cannot be a copy of itself"));
                return;
            }
            None => None,
        };
        let Some(source) = source else {
            self.fault(place, format!("copy: there is no share {wanted:?} above"));
            return;
        };
        let Some(section) = self.config.shares.get_mut(current) else { return };
        for (id, value) in source.values {
            section.values.entry(id).or_insert(value);
        }
        for (key, option) in source.options {
            section.options.entry(key).or_insert(option);
        }
        section.inherited = source.inherited;
    }

    fn include(&mut self, value: &[u8], place: Place, depth: usize) {
        let path = self.expanded(&String::from_utf8_lossy(value));
        let path = PathBuf::from(path);
        let mut leave_out =
            |reason: &str| self.config.not_included.push((place, path.clone(), reason.to_owned()));
        if value.eq_ignore_ascii_case(b"registry") {
            leave_out("shares in Samba's registry are not read; `net conf list` shows them");
            return;
        }
        if depends_on_client(value) {
            leave_out("the file depends on the client or the user");
        }
        if depth >= INCLUDE_DEPTH_MAX {
            self.fault(place, format!("more than {INCLUDE_DEPTH_MAX} files that include each other"));
            return;
        }
        if self.config.files.len() >= INCLUDES_MAX {
            self.fault(place, format!("more than {INCLUDES_MAX} included files"));
            return;
        }
        match self.system.read(&path, CONFIG_BYTES_MAX) {
            Ok(bytes) => self.file(&path, &bytes, depth + 1),
            Err(_) if depends_on_client(value) => {}
            Err(error) => self.config.not_included.push((place, path, error.to_string())),
        }
    }

    /// The path of an included file. Variables that depend on the client are empty, as for `testparm`.
    fn expanded(&self, text: &str) -> String {
        let mut path = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            path.push_str(before);
            if let Some((name, after)) = after.strip_prefix("$(").and_then(|it| it.split_once(')')) {
                path.push_str(&self.system.environment(name).unwrap_or_default());
                rest = after;
                continue;
            }
            let mut characters = after.chars();
            match characters.next() {
                Some('h') => path.push_str(&self.system.host_name()),
                Some('L') => path.push_str(&self.server_name()),
                Some('m' | 'M' | 'I' | 'i' | 'U' | 'u' | 'G' | 'g' | 'a' | 'd' | 'R' | 'T') => {}
                Some(other) => path.extend(['%', other]),
                None => path.push('%'),
            }
            rest = characters.as_str();
        }
        path.push_str(rest);
        path
    }

    fn server_name(&self) -> String {
        let set =
            self.config.value("netbios name").map(|value| String::from_utf8_lossy(&value.bytes).into_owned());
        set.unwrap_or_else(|| self.system.host_name()).to_ascii_uppercase()
    }
}

/// The name of a section as the key of a table. As in Samba, with any `unix charset`, bytes that are not UTF-8 are all
/// the same.
fn folded(name: &[u8]) -> FoldedName {
    FoldedName::new(&String::from_utf8_lossy(name))
}

/// True if a path has variables for the client or the user.
fn depends_on_client(value: &[u8]) -> bool {
    value
        .windows(2)
        .any(|pair| matches!(pair, [b'%', b'm' | b'M' | b'I' | b'U' | b'u' | b'G' | b'g' | b'a' | b'R']))
}

/// Checks a value as Samba does when it loads it.
fn check(named: Named, value: &[u8]) -> Result<(), String> {
    let shown = String::from_utf8_lossy(value);
    let name = named.parameter.name;
    match named.parameter.kind {
        Kind::Bool if boolean(value).is_none() => Err(format!("{name}: {shown:?} is not yes or no")),
        Kind::Octal if octal(value).is_none() && !value.starts_with(b"-") => {
            Err(format!("{name}: {shown:?} is not an octal number"))
        }
        Kind::Enum(choices) if choice(value, choices).is_none() => {
            Err(format!("{name}: {shown:?} is not one of {}", choices.replace('|', ", ")))
        }
        _ => Ok(()),
    }
}
