//! The text of ksmbd's files.
//!
//! A field is a line with a name, which may end in a colon, a tab, and the value. The first form of `files` is a table
//! whose rows have a line break behind the names of the oplock.

use std::collections::BTreeMap;

use control::{Access, OpenFile, Session, SessionShare, ShareKind, Word, address, smb};
use wire::{AccessMask, ShareAccess};

use crate::local::reader::Found;

/// A session's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionText {
    id: u64,
    fields: BTreeMap<String, String>,
    pub(super) shares: Vec<ShareText>,
}

/// A tree connect of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShareText {
    pub(super) name: String,
    /// The tree id, which is a session's own.
    pub(super) tree: u32,
    pub(super) is_pipe: bool,
}

impl SessionText {
    /// The session with this name in the directory.
    pub(super) fn parse(name: &str, text: &str) -> Self {
        let mut session = Self { id: name.parse().unwrap_or_default(), ..Self::default() };
        for (name, value) in text.lines().filter_map(field) {
            if name == "share" {
                session.shares.extend(ShareText::parse(value));
            } else if session.fields.len() < FIELDS_MAX {
                // A session with several channels has the fields of each; the first is shown.
                session.fields.entry(name).or_insert_with(|| value.to_owned());
            }
            if session.shares.len() >= SHARES_MAX {
                break;
            }
        }
        session
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn id(&self) -> Option<u32> {
        u32::try_from(self.id).ok()
    }

    fn computer(&self) -> Option<String> {
        let told = self.field("client").or_else(|| self.field("address"))?;
        Some(address::parse(told).map_or_else(|| told.to_owned(), |address| address.to_string()))
    }

    /// The account, and if it is a guest's or none.
    fn user(&self) -> (String, Option<bool>, Option<bool>) {
        let kind = self.field("account_type");
        match (self.field("user"), kind) {
            (Some("(Guest)"), _) | (_, Some("guest")) => (String::from("Guest"), Some(true), Some(false)),
            (Some("(Anonymous)"), _) | (_, Some("anonymous")) => (String::new(), Some(false), Some(true)),
            (Some(user), _) => (user.to_owned(), Some(false), Some(false)),
            (None, _) => (String::new(), None, None),
        }
    }

    pub(super) fn session(&self) -> Session {
        let (user, guest, anonymous) = self.user();
        // The first form names one of both, the one that is used.
        let (signing, cipher) = (self.field("signing"), self.field("encryption"));
        let is_told = signing.is_some() || cipher.is_some();
        let number = |name: &str| self.field(name).and_then(|it| it.parse().ok());
        let shares = self.shares.iter().map(|share| SessionShare {
            name: share.name.clone(),
            kind: if share.is_pipe { ShareKind::Ipc } else { ShareKind::Disk },
            opens: None,
        });
        Session {
            id: self.id(),
            computer: self.computer().unwrap_or_default(),
            user,
            guest,
            anonymous,
            opens: number("open_files").and_then(|it| u32::try_from(it).ok()),
            idle_seconds: number("last_active_seconds"),
            dialect: self.field("dialect").and_then(hexadecimal).map(smb::dialect),
            signed: is_told.then_some(signing.is_some()),
            signing: signing.map(algorithm),
            encrypted: is_told.then_some(cipher.is_some()),
            cipher: cipher.map(algorithm),
            transport: self.field("transport").map(str::to_owned),
            shares: Some(shares.collect()),
            ..Session::default()
        }
    }
}

impl ShareText {
    /// `NAME`, a tab, the tree id and `disk` or `pipe`. A name may contain spaces.
    fn parse(value: &str) -> Option<Self> {
        let (name, rest) = value.split_once('\t').unwrap_or((value, ""));
        let name = name.trim();
        let mut words = rest.split_whitespace();
        let tree = words.next().and_then(|it| it.parse().ok()).unwrap_or_default();
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            tree,
            is_pipe: words.next() == Some("pipe"),
        })
    }
}

/// An open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileText {
    tree: Option<u32>,
    /// The id among the opens of all sessions.
    id: Option<u32>,
    oplock: Option<String>,
    access: Option<u32>,
    share_access: Option<u32>,
    is_durable: Option<bool>,
    is_deleted_on_close: Option<bool>,
    /// The last component of the path.
    name: String,
}

impl FileText {
    pub(super) fn found(&self, sessions: &[SessionText]) -> Found {
        // Tree ids are a session's own: only an id that one session has says whose open it is.
        let owner = self.tree.and_then(|tree| {
            let mut with = sessions.iter().filter_map(|session| {
                Some((session, session.shares.iter().find(|share| share.tree == tree)?))
            });
            with.next().filter(|_| with.next().is_none())
        });
        let (user, guest, _) = owner.map(|(session, _)| session.user()).unwrap_or_default();
        let lease = self.oplock.as_deref().and_then(|it| it.strip_prefix("LEASE_"));
        let oplock = match self.oplock.as_deref() {
            Some("none" | "OPLOCK_NONE") => Some("none"),
            Some("OPLOCK_II") => Some("level2"),
            Some("OPLOCK_EXECL" | "OPLOCK_EXCLUSIVE") => Some("exclusive"),
            Some("OPLOCK_BATCH") => Some("batch"),
            Some(_) if lease.is_some() => Some("lease"),
            _ => None,
        };
        let is_durable_alone = self.tree == Some(0);
        let file = OpenFile {
            id: self.id.unwrap_or_default(),
            path: self.name.clone(),
            share: owner.map(|(_, share)| share.name.clone()),
            user,
            guest,
            computer: owner.and_then(|(session, _)| session.computer()),
            session_id: owner.and_then(|(session, _)| session.id()),
            access: self.access.map(|mask| Access::of_mask(AccessMask(mask))),
            permissions: self.access.map(|mask| smb::permissions(AccessMask(mask), false)),
            share_access: self.share_access.map(|mask| smb::share_access(ShareAccess(mask))),
            oplock: oplock.map(Word::from),
            lease: lease.map(letters),
            durable: self.is_durable.or_else(|| is_durable_alone.then_some(true)),
            delete_pending: self.is_deleted_on_close,
            ..OpenFile::default()
        };
        Found { file, ..Found::default() }
    }
}

/// The opens of `files`.
pub(super) fn files(text: &str) -> Vec<FileText> {
    let is_table = text.trim_start().starts_with('#');
    let mut files = if is_table { table(text) } else { blocks(text) };
    // Without an id an open could not be named.
    files.retain(|file| file.id.is_some());
    files
}

/// A field for each line, with an empty line behind each open.
fn blocks(text: &str) -> Vec<FileText> {
    let mut files = Vec::new();
    let mut file: Option<FileText> = None;
    for line in text.lines() {
        let Some((name, value)) = field(line) else {
            // A file's name may contain line breaks; the fields that follow a new open begin with its tree id.
            continue;
        };
        if name == "tree_id" {
            files.extend(file.replace(FileText::default()));
        }
        let Some(file) = &mut file else { continue };
        match name.as_str() {
            "tree_id" => file.tree = hexadecimal(value),
            "persistent_id" => file.id = hexadecimal(value),
            "oplock" => file.oplock = Some(value.to_owned()),
            "desired_access" => file.access = hexadecimal(value),
            "share_access" => file.share_access = hexadecimal(value),
            "flags" => {
                let has = |flag: &str| value.split(',').any(|it| it == flag);
                file.is_durable = Some(has("durable") || has("persistent") || has("resilient"));
                file.is_deleted_on_close = Some(has("delete-on-close"));
            }
            "name" => value.clone_into(&mut file.name),
            _ => {}
        }
    }
    files.extend(file);
    files
}

/// A row of tree id, persistent id, volatile id, count of references, oplock, access, share access and name. The
/// first kernels write several names of an oplock, the exact one among them, and a line break behind these.
fn table(text: &str) -> Vec<FileText> {
    let mut files = Vec::new();
    let mut pending: Option<FileText> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut rest = line;
        if pending.is_none() {
            let mut next = || word(&mut rest).and_then(hexadecimal);
            let (tree, id, _volatile, _references) = (next(), next(), next(), next());
            pending = Some(FileText { tree, id, ..FileText::default() });
        }
        let Some(file) = &mut pending else { continue };
        let mut names = Vec::new();
        while let Some(name) = peek(rest).filter(|it| it.starts_with("LEASE_") || it.starts_with("OPLOCK_")) {
            names.push(name.to_owned());
            word(&mut rest);
        }
        if let Some(exact) = names.into_iter().max_by_key(String::len) {
            file.oplock = Some(exact);
        }
        if rest.trim().is_empty() {
            continue;
        }
        file.access = word(&mut rest).and_then(hexadecimal);
        file.share_access = word(&mut rest).and_then(hexadecimal);
        rest.strip_prefix(' ').unwrap_or(rest).clone_into(&mut file.name);
        files.extend(pending.take());
    }
    files
}

/// Takes the next word off the text.
fn word<'a>(text: &mut &'a str) -> Option<&'a str> {
    let trimmed = text.trim_start();
    let end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
    let (word, rest) = trimmed.split_at_checked(end)?;
    *text = rest;
    Some(word).filter(|word| !word.is_empty())
}

fn peek(mut text: &str) -> Option<&str> {
    word(&mut text)
}

/// A name and its value.
fn field(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once('\t')?;
    let name = name.trim().trim_end_matches(':').to_ascii_lowercase();
    // A share's value has columns of its own.
    let value = if name == "share" { value.trim_start() } else { value.trim() };
    Some((name, value))
}

/// A number as the kernel writes it: `0x1f`, or `0` without a prefix.
fn hexadecimal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(digits, 16).ok()).flatten().and_then(|it| u32::try_from(it).ok())
}

/// The name of an algorithm as other answers have it.
fn algorithm(name: &str) -> String {
    match name {
        "aes128-ccm" => "AES-128-CCM",
        "aes128-gcm" => "AES-128-GCM",
        "aes256-ccm" => "AES-256-CCM",
        "aes256-gcm" => "AES-256-GCM",
        "hmac-sha256" => "HMAC-SHA256",
        "aes-cmac" => "AES-128-CMAC",
        "aes-gmac" => "AES-128-GMAC",
        other => other,
    }
    .to_owned()
}

/// The letters of a lease in the order of other answers.
fn letters(lease: &str) -> Word {
    let has = |letter: char| lease != "NONE" && lease.contains(letter);
    let letters: String = ['R', 'W', 'H'].into_iter().filter(|letter| has(*letter)).collect();
    Word::from(letters.as_str())
}

/// A session has a dozen fields, and as many again for each channel.
const FIELDS_MAX: usize = 64;

/// More tree connects than a session of a person has.
const SHARES_MAX: usize = 65_536;
