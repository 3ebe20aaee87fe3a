//! Keytabs: the file format of MIT Kerberos, versions 0x501 and 0x502, as written by `net ads`, adcli, ktpass and ktutil.
//!
//! The format is described in MIT's documentation ("Keytab file format"): two bytes of version, then records with a
//! length in front; a negative length is a hole. Version 0x501 has the machine's byte order and counts the realm as a
//! component; 0x502 has the network's.

use core::fmt;

use thiserror::Error;
use wire::names::eq_ignore_case;

use super::crypto::{Enctype, Key};

/// The keys of the services of a host.
#[derive(Clone, Debug, Default)]
pub struct Keytab {
    entries: Vec<KeytabEntry>,
}

/// A key of a keytab.
#[derive(Clone, PartialEq, Eq)]
pub struct KeytabEntry {
    /// The components of the principal's name: `["cifs", "files.corp.example"]` or `["FILES$"]`.
    pub components: Vec<String>,
    /// The realm.
    pub realm: String,
    /// The version of the key.
    pub version: u32,
    /// The time of the entry, in seconds since 1970.
    pub time: u32,
    /// The number of the encryption type.
    pub enctype: i32,
    /// The key; `None` if its encryption type is not supported.
    pub key: Option<Key>,
    /// True if the file has only the last 8 bits of the version.
    short_version: bool,
}

/// The kinds of services that tickets are accepted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// The file service: `cifs/HOST`. A controller lets `host/` stand for it (the attribute sPNMappings).
    Files,
    /// The web service: `HTTP/HOST` (RFC 4559 4.1).
    Web,
}

impl ServiceKind {
    /// The first components of the names by which clients ask for the service, in any case.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Files => &["cifs", "host"],
            Self::Web => &["HTTP"],
        }
    }

    /// The first components of the names under which a keytab has keys of the service. In a domain, those of the
    /// machine's account are the same.
    const fn key_names(self) -> &'static [&'static str] {
        match self {
            Self::Files => &["cifs", "host", "restrictedkrbhost"],
            Self::Web => &["HTTP", "host", "restrictedkrbhost"],
        }
    }
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "file service",
            Self::Web => "web service",
        })
    }
}

/// The reason for not reading a keytab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeytabError {
    /// The file is not a keytab.
    #[error("not a keytab: it does not begin with 0x0501 or 0x0502")]
    NotAKeytab,
    /// A record is malformed or cut.
    #[error("the keytab is malformed at byte {0}")]
    Malformed(usize),
    /// There are too many entries.
    #[error("the keytab has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// The file is too large.
    #[error("the keytab is larger than {MAX_KEYTAB} bytes")]
    TooLarge,
}

impl Keytab {
    /// Reads the contents of a keytab.
    pub fn parse(data: &[u8]) -> Result<Self, KeytabError> {
        if data.len() > MAX_KEYTAB {
            return Err(KeytabError::TooLarge);
        }
        let order = match data {
            [5, 1, ..] => Order::Native,
            [5, 2, ..] => Order::Network,
            _ => return Err(KeytabError::NotAKeytab),
        };
        let mut input = Input { rest: data.get(2..).unwrap_or_default(), order };
        let mut entries = Vec::new();
        while !input.rest.is_empty() {
            let malformed = KeytabError::Malformed(data.len().saturating_sub(input.rest.len()));
            let size = i32::from_ne_bytes(input.u32().ok_or(malformed)?.to_ne_bytes());
            // The rest of the file is unused.
            if size == 0 {
                break;
            }
            let len = usize::try_from(size.unsigned_abs()).map_err(|_| malformed)?;
            let Some(record) = input.take(len) else {
                // A hole may end the file.
                if size < 0 {
                    break;
                }
                return Err(malformed);
            };
            if size < 0 {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                return Err(KeytabError::TooMany);
            }
            entries.push(KeytabEntry::parse(Input { rest: record, order }).ok_or(malformed)?);
        }
        Ok(Self { entries })
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> &[KeytabEntry] {
        &self.entries
    }

    /// The keys of this version and encryption type of services of the realm, each once, the newest first.
    pub(super) fn keys(
        &self,
        kind: ServiceKind,
        realm: &str,
        version: Option<u32>,
        enctype: Enctype,
    ) -> Vec<&Key> {
        let mut keys = Vec::new();
        let entries = self.entries.iter().filter(|it| it.realm == realm && it.is_for(kind));
        let mut entries: Vec<_> =
            entries.filter(|it| version.is_none_or(|version| it.has_version(version))).collect();
        entries.sort_by_key(|it| core::cmp::Reverse(it.version));
        for entry in entries {
            if let Some(key) =
                entry.key.as_ref().filter(|key| key.enctype() == enctype && !keys.contains(key))
                && keys.len() < MAX_KEYS_TRIED
            {
                keys.push(key);
            }
        }
        keys
    }

    /// True if a service is this one of a host that the keytab names.
    pub(super) fn serves(&self, kind: ServiceKind, realm: &str, service: &[String]) -> bool {
        let [name, host] = service else { return false };
        let is_kind = kind.names().iter().any(|it| eq_ignore_case(it, name));
        is_kind && self.entries.iter().any(|it| it.realm == realm && it.names_host(kind, host))
    }
}

impl KeytabEntry {
    fn parse(mut input: Input<'_>) -> Option<Self> {
        let count = usize::from(input.u16()?);
        let count = if input.order == Order::Native { count.checked_sub(1)? } else { count };
        let realm = input.text()?;
        let components = (0..count).map(|_| input.text()).collect::<Option<Vec<_>>>()?;
        if input.order == Order::Network {
            let _kind = input.u32()?;
        }
        let time = input.u32()?;
        let short = input.u8()?;
        let enctype = i32::from(input.u16()?);
        let len = usize::from(input.u16()?);
        let bytes = input.take(len)?;
        // Newer writers add the whole version. Zero stands for "not there".
        let long = input.u32().filter(|it| *it != 0);
        let key = match Enctype::from_number(enctype) {
            Some(enctype) => Some(Key::new(enctype, bytes)?),
            None => None,
        };
        let version = long.unwrap_or(u32::from(short));
        Some(Self { components, realm, version, time, enctype, key, short_version: long.is_none() })
    }

    /// The principal's name, as `cifs/files.corp.example@CORP.EXAMPLE`.
    pub fn principal(&self) -> String {
        format!("{}@{}", self.components.join("/"), self.realm)
    }

    /// True if the key may be that of the service: of the machine's account, or of a service of its host.
    fn is_for(&self, kind: ServiceKind) -> bool {
        match self.components.as_slice() {
            [account] => account.ends_with('$'),
            [name, _] => kind.key_names().iter().any(|it| eq_ignore_case(it, name)),
            _ => false,
        }
    }

    fn has_version(&self, version: u32) -> bool {
        self.version == version || self.short_version && self.version == version & 0xff
    }

    /// True if the entry is of this host: `host/files.corp.example`, or `FILES$` for the host `FILES` and for
    /// `files.corp.example` in the realm `CORP.EXAMPLE`.
    fn names_host(&self, kind: ServiceKind, host: &str) -> bool {
        if !self.is_for(kind) {
            return false;
        }
        match self.components.as_slice() {
            [account] => {
                let name = account.strip_suffix('$').unwrap_or(account);
                eq_ignore_case(name, host)
                    || host.split_once('.').is_some_and(|(it, domain)| {
                        eq_ignore_case(it, name) && eq_ignore_case(domain, &self.realm)
                    })
            }
            [_, named] => eq_ignore_case(named, host),
            _ => false,
        }
    }
}

impl fmt::Debug for KeytabEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeytabEntry")
            .field("principal", &self.principal())
            .field("version", &self.version)
            .field("enctype", &self.enctype)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Native,
    Network,
}

struct Input<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = *self.take(2)?.first_chunk()?;
        Some(if self.order == Order::Native { u16::from_ne_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = *self.take(4)?.first_chunk()?;
        Some(if self.order == Order::Native { u32::from_ne_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::from(self.u16()?);
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
}

/// Bytes of a keytab: thousands of keys, and a bound for a path given by mistake.
pub const MAX_KEYTAB: usize = 1024 * 1024;

/// Entries of a keytab. A host has some dozens: its names, encryption types and the last versions.
const MAX_ENTRIES: usize = 8192;

/// Different keys that a ticket is tried with. Of one version and encryption type a host has one, or one for each
/// account that serves one of its names.
const MAX_KEYS_TRIED: usize = 16;

#[cfg(test)]
mod tests;
