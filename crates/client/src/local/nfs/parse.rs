//! The text of a client's `info` and `states`: lines of YAML in the few forms that the kernel writes. Fields of later
//! kernels are skipped, and missing ones stay unknown.

use std::collections::BTreeMap;

use control::{OpenFile, Session, Word, address, permission};

use crate::local::reader::{Found, hashed_id};

/// A client's `info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    fields: BTreeMap<String, String>,
}

impl Client {
    /// The fields of `info`, one on each line.
    pub(super) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
        });
        Self { fields: fields.take(FIELDS_MAX).collect() }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The client's address, without its port.
    fn computer(&self) -> Option<String> {
        let whole = self.field("address")?;
        let host = match whole.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?,
            None => whole.rsplit_once(':').map_or(whole, |(host, _port)| host),
        };
        Some(address::parse(host).map_or_else(|| host.to_owned(), |address| address.to_string()))
    }

    /// The host that Linux clients put into their name: `Linux NFSv4.2 HOST` or `Linux NFSv4.2 HOST/UNIQUE`.
    fn host(&self) -> Option<String> {
        let mut words = self.field("name")?.strip_prefix("Linux NFSv4.")?.split(' ');
        let host = words.nth(1)?.split('/').next()?;
        Some(host.to_owned()).filter(|host| !host.is_empty())
    }

    /// The client as a session.
    pub(super) fn session(&self, number: u32, states: &[State]) -> Session {
        Session {
            id: Some(number),
            computer: self.computer().unwrap_or_default(),
            computer_name: self.host(),
            client_type: self.field("name").map(str::to_owned),
            opens: u32::try_from(states.iter().filter(|it| it.kind == Kind::Open).count()).ok(),
            idle_seconds: self.field("seconds from last renew").and_then(|it| it.parse().ok()),
            dialect: self
                .field("minor version")
                .and_then(|it| it.parse().ok())
                .map(|minor: u32| format!("NFS 4.{minor}")),
            ..Session::default()
        }
    }

    /// The client's opens, with its locks and delegations of the same file. A delegation or layout of a file that it
    /// has not open is an entry of its own.
    pub(super) fn opens(&self, number: u32, states: &[State]) -> Vec<Found> {
        let mut by_file: BTreeMap<&str, Vec<&State>> = BTreeMap::new();
        for state in states {
            by_file.entry(state.superblock.as_deref().unwrap_or_default()).or_default().push(state);
        }
        let mut found = Vec::new();
        for state in states.iter().filter(|it| it.kind != Kind::Lock) {
            // Without a superblock nothing says which states are of one file.
            let of_file = match state.superblock.as_deref() {
                Some(superblock) => by_file.get(superblock).map(Vec::as_slice).unwrap_or_default(),
                None => &[],
            };
            let has = |kind| of_file.iter().copied().find(|it| it.kind == kind);
            let is_extra = state.kind != Kind::Open && has(Kind::Open).is_some();
            if !is_extra {
                found.push(self.open(number, state, of_file));
            }
        }
        found
    }

    fn open(&self, number: u32, state: &State, of_file: &[&State]) -> Found {
        let own = |kind| if state.kind == kind { Some(state) } else { None };
        let held = |kind| own(kind).or_else(|| of_file.iter().copied().find(|it| it.kind == kind));
        let caching = match (held(Kind::Delegation), held(Kind::Layout)) {
            (Some(it), _) => Word::from(if it.access.contains('w') { "deleg w" } else { "deleg r" }),
            (None, Some(_)) => Word::known("layout"),
            (None, None) => Word::known("none"),
        };
        let locks = of_file.iter().filter(|it| it.kind == Kind::Lock).count();
        let is_open = state.kind == Kind::Open;
        let is_of_file = state.superblock.is_some();
        let letters = [('r', "read"), ('w', "write")];
        let denied = |letter| state.deny.as_ref().is_some_and(|deny| deny.contains(letter));
        let file = OpenFile {
            id: hashed_id(&[&number.to_be_bytes(), state.id_without_generation().as_bytes()]),
            path: state.filename.as_deref().unwrap_or_default().replace('/', r"\"),
            computer: self.computer(),
            session_id: Some(number),
            permissions: Some(state.permissions()).filter(|_| state.kind != Kind::Layout),
            share_access: state.deny.is_some().then(|| {
                letters
                    .iter()
                    .filter(|(letter, _)| !denied(*letter))
                    .map(|(_, word)| Word::known(word))
                    .collect()
            }),
            // One state is all locks of one owner on the file; the ranges are not reported.
            locks: u32::try_from(locks).ok().filter(|_| is_open && is_of_file),
            oplock: Some(caching).filter(|_| is_of_file),
            ..OpenFile::default()
        };
        Found { file, inode: state.inode(), real_path: None }
    }
}

/// The kind of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Lock,
    Delegation,
    Layout,
}

/// One line of `states`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The stateid in hexadecimal: 8 digits of its generation, 24 of the other part (RFC 8881 3.3.12).
    id: String,
    pub(super) kind: Kind,
    access: String,
    deny: Option<String>,
    /// `MAJOR:MINOR:INODE`, the first two in hexadecimal.
    superblock: Option<String>,
    /// The last components of the path.
    filename: Option<String>,
}

/// The states of a client: `- STATEID: { type: open, access: rw, deny: --, superblock: "fd:10:13649", ... }` on each
/// line.
pub(super) fn states(text: &str) -> Vec<State> {
    text.lines().filter_map(State::parse).collect()
}

impl State {
    fn parse(line: &str) -> Option<Self> {
        let (id, rest) = line.trim().strip_prefix("- ")?.split_once(':')?;
        let fields = flow(rest.trim().strip_prefix('{')?);
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let kind = match field("type")?.as_str() {
            "open" => Kind::Open,
            "lock" => Kind::Lock,
            "deleg" => Kind::Delegation,
            "layout" => Kind::Layout,
            _ => return None,
        };
        Some(Self {
            id: id.trim().to_owned(),
            kind,
            access: field("access").unwrap_or_default(),
            deny: field("deny"),
            superblock: field("superblock").filter(|it| !it.is_empty()),
            filename: field("filename"),
        })
    }

    /// The part of the stateid that stays the same while the state changes.
    fn id_without_generation(&self) -> &str {
        self.id.get("0x00000000".len()..).unwrap_or(&self.id)
    }

    fn permissions(&self) -> u32 {
        let bits = [('r', permission::READ), ('w', permission::WRITE)];
        bits.iter().filter(|(letter, _)| self.access.contains(*letter)).fold(0, |all, (_, bit)| all | bit)
    }

    fn inode(&self) -> Option<(u64, u64)> {
        let mut parts = self.superblock.as_deref()?.split(':');
        let mut hexadecimal = || u32::from_str_radix(parts.next()?, 16).ok();
        let device = rustix::fs::makedev(hexadecimal()?, hexadecimal()?);
        Some((device, parts.next()?.parse().ok()?))
    }
}

/// The pairs of a flow mapping, without its opening brace. A quoted value may contain every character.
fn flow(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once(':') {
        let behind = behind.trim_start();
        let (value, after) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of_quote(quoted);
                (unescaped(quoted.get(..end).unwrap_or(quoted)), quoted.get(end + 1..).unwrap_or_default())
            }
            None => {
                let end = behind.find([',', '}']).unwrap_or(behind.len());
                (behind.get(..end).unwrap_or(behind).trim().to_owned(), behind.get(end..).unwrap_or_default())
            }
        };
        pairs.push((name.trim_matches([',', ' ']).to_owned(), value));
        rest = after.trim_start_matches([',', ' ']);
        if pairs.len() >= FIELDS_MAX {
            break;
        }
    }
    pairs
}

/// The position of the closing quote. Old kernels do not escape quotes in file names, so the closing one is before a
/// comma, a brace or the end.
fn end_of_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' if matches!(text.get(at + 1..).map(str::trim_start), Some(behind) if behind.is_empty() || behind.starts_with([',', '}'])) =>
            {
                return at;
            }
            _ => {}
        }
    }
    text.len()
}

fn unquoted(value: &str) -> String {
    match value.strip_prefix('"') {
        Some(inner) => unescaped(inner.strip_suffix('"').unwrap_or(inner)),
        None => value.to_owned(),
    }
}

/// The text without the kernel's escapes: `\xHH`, `\ooo`, `\"` and `\\`. Bytes that are not UTF-8 become U+FFFD.
fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, after) = match (first, behind) {
            (b'\\', [b'x', high, low, after @ ..]) => match (digit(*high, 16), digit(*low, 16)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'\\', behind),
            },
            (b'\\', [a, b, c, after @ ..])
                if [a, b, c].into_iter().all(|it| digit(*it, 8).is_some()) && *a <= b'3' =>
            {
                let octal = [a, b, c].into_iter().fold(0_u8, |all, it| all << 3 | digit(*it, 8).unwrap_or(0));
                (octal, after)
            }
            (b'\\', [escaped @ (b'"' | b'\\'), after @ ..]) => (*escaped, after),
            _ => (*first, behind),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8, radix: u32) -> Option<u8> {
    char::from(byte).to_digit(radix).and_then(|digit| u8::try_from(digit).ok())
}

/// The fields of a client or of a state have a dozen.
const FIELDS_MAX: usize = 64;
