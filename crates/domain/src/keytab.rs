//! The machine's keys.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use auth::kerberos::Keytab;
use wire::eq_ignore_case;

/// The machine's principal cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keytab cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The keytab.
        path: PathBuf,
        /// The error.
        error: std::io::Error,
    },
    /// The file is not a keytab.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The keytab.
        path: PathBuf,
        /// The error.
        reason: String,
    },
    /// There is no key of the realm.
    #[error("{} has no key of the realm {realm}", path.display())]
    NoPrincipal {
        /// The keytab.
        path: PathBuf,
        /// The realm.
        realm: String,
    },
}

/// Keytabs have some dozens of keys, each of some hundred bytes.
const KEYTAB_MAX: u64 = 4 << 20;

/// The keys in a file. Reads it.
pub fn read(path: &Path) -> Result<Keytab, Error> {
    let failed = |error| Error::Io { path: path.to_owned(), error };
    if fs::metadata(path).map_err(failed)?.len() > KEYTAB_MAX {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    let bytes = zeroize::Zeroizing::new(fs::read(path).map_err(failed)?);
    Keytab::parse(&bytes).map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })
}

/// The principal by which the machine gets tickets. That is the computer's account (`FILES$@REALM`), which `adcli` and
/// `net ads join` put into the keytab. A keytab of `ktpass` has only one, the service's, to which the account's user
/// principal name is set.
pub fn machine_principal(path: &Path, realm: &str) -> Result<String, Error> {
    let keytab = read(path)?;
    let names = keytab.entries().iter().map(|entry| entry.principal());
    choose(names, realm).ok_or_else(|| Error::NoPrincipal { path: path.to_owned(), realm: realm.to_owned() })
}

/// Removes the keys of a realm from a keytab, and the file if it has no others. Returns the number of removed keys.
/// The file is replaced as a whole: a concurrent reader gets the old or the new contents.
pub fn remove_realm(path: &Path, realm: &str) -> Result<usize, Error> {
    let failed = |error| Error::Io { path: path.to_owned(), error };
    let bytes = zeroize::Zeroizing::new(fs::read(path).map_err(failed)?);
    // Only a keytab that is sound as a whole is rewritten.
    Keytab::parse(&bytes)
        .map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })?;
    let left = without_realm(&bytes, realm).ok_or_else(|| Error::Damaged {
        path: path.to_owned(),
        reason: String::from("its form is not that of version 0x502"),
    })?;
    if left.removed == 0 {
        return Ok(0);
    }
    if left.kept == 0 {
        fs::remove_file(path).map_err(failed)?;
        return Ok(left.removed);
    }
    let target = fs::canonicalize(path).map_err(failed)?;
    let mut temporary = target.clone().into_os_string();
    temporary.push(".new");
    let replace = || {
        let before = fs::metadata(&target)?;
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&left.bytes)?;
        std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
        file.set_permissions(before.permissions())?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    };
    replace().map_err(failed)?;
    Ok(left.removed)
}

struct Left {
    bytes: zeroize::Zeroizing<Vec<u8>>,
    removed: usize,
    kept: usize,
}

/// The records of a keytab of version 0x502 that are not of the realm (MIT's documentation, "Keytab file format": a
/// length, then the number of components and the realm, each with 16 bits in front).
fn without_realm(bytes: &[u8], realm: &str) -> Option<Left> {
    let (version, mut rest) = bytes.split_at_checked(2)?;
    if version != [5, 2] {
        return None;
    }
    let mut left = Left { bytes: version.to_vec().into(), removed: 0, kept: 0 };
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let size = i32::from_be_bytes(*length);
        if size == 0 {
            break;
        }
        let size_of_record = usize::try_from(size.unsigned_abs()).ok()?;
        // A hole may end behind the file.
        let record = behind.get(..size_of_record.min(behind.len()))?;
        rest = behind.get(record.len()..)?;
        if size < 0 {
            continue;
        }
        let (_, fields) = record.split_first_chunk::<2>()?;
        let (realm_length, fields) = fields.split_first_chunk::<2>()?;
        let of = fields.get(..usize::from(u16::from_be_bytes(*realm_length)))?;
        if of.eq_ignore_ascii_case(realm.as_bytes()) {
            left.removed = left.removed.saturating_add(1);
        } else {
            left.bytes.extend(length);
            left.bytes.extend(record);
            left.kept = left.kept.saturating_add(1);
        }
    }
    Some(left)
}

pub(crate) fn choose(names: impl Iterator<Item = String>, realm: &str) -> Option<String> {
    let of_realm =
        names.filter(|name| name.rsplit_once('@').is_some_and(|(_, it)| eq_ignore_case(it, realm)));
    of_realm.min_by_key(|name| {
        let name = name.rsplit_once('@').map_or(name.as_str(), |(name, _)| name);
        match name.split_once('/') {
            None if name.ends_with('$') => 0,
            Some(("cifs", _)) => 1,
            Some(("host", _)) => 2,
            None => 3,
            Some(_) => 4,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computers_account_comes_before_services() {
        let choose = |names: &[&str]| choose(names.iter().map(|it| (*it).to_owned()), "CORP.EXAMPLE");
        let all = [
            "host/files@CORP.EXAMPLE",
            "cifs/files@CORP.EXAMPLE",
            "FILES$@CORP.EXAMPLE",
            "OLD$@OTHER.EXAMPLE",
        ];
        assert_eq!(choose(&all).as_deref(), Some("FILES$@CORP.EXAMPLE"));
        assert_eq!(choose(&all[..2]).as_deref(), Some("cifs/files@CORP.EXAMPLE"));
        assert_eq!(choose(&all[3..]), None);
    }

    /// A record with one component and a key of no type.
    fn record(realm: &str, name: &str) -> Vec<u8> {
        let mut record = vec![0, 1];
        for text in [realm, name] {
            record.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            record.extend(text.as_bytes());
        }
        record.extend([0, 0, 0, 1, 0, 0, 0, 9, 2, 0, 99, 0, 1, 7]);
        let mut whole = u32::try_from(record.len()).unwrap().to_be_bytes().to_vec();
        whole.extend(record);
        whole
    }

    #[test]
    fn only_keys_of_the_realm_are_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("krb5.keytab");
        let hole = [0xff, 0xff, 0xff, 0xfe, 1, 2].to_vec();
        let (own, other) = (record("CORP.EXAMPLE", "FILES$"), record("OTHER.EXAMPLE", "X$"));
        let all = [vec![5, 2], own.clone(), hole, other.clone(), own.clone()].concat();
        fs::write(&path, &all).unwrap();
        assert_eq!(remove_realm(&path, "corp.example").unwrap(), 2);
        assert_eq!(fs::read(&path).unwrap(), [vec![5, 2], other].concat());
        assert_eq!(remove_realm(&path, "corp.example").unwrap(), 0);
        assert_eq!(remove_realm(&path, "OTHER.EXAMPLE").unwrap(), 1);
        assert!(!path.exists());
        fs::write(&path, &all[..20]).unwrap();
        remove_realm(&path, "CORP.EXAMPLE").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), all[..20]);
    }
}
