//! The permissions of shares that `sharesec` and Windows set: share_info.tdb.
//!
//! A record `SECDESC/<share>` has a security descriptor (MS-DTYP 2.4.6). Samba grants a user of the share no more than it
//! does. A share without a record has no limit.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use wire::ShareName;
use wire::security::{AceBody, AceFlags, AceType, SdControl, SecurityDescriptor, ShareRight, Sid};

use crate::limits::SHARE_INFO_BYTES_MAX;
use crate::smbconf::{Charset, Config};
use crate::system::System;
use crate::tdb::Tdb;

/// The permission of everyone for a share, or the reason that a right for everyone cannot say the same.
pub(crate) type Permission = Result<ShareRight, String>;

/// The permissions of all shares.
#[derive(Debug)]
pub(crate) enum ShareInfo {
    /// There is no database.
    Missing,
    /// The database cannot be read, with the reason.
    Unknown(String),
    /// The shares that have a descriptor.
    Known(HashMap<ShareName, Permission>),
}

impl ShareInfo {
    /// Reads the database of a configuration.
    pub(crate) fn of(config: &Config, system: &dyn System) -> Self {
        let path = path(config);
        let unknown = |error: &dyn core::fmt::Display| {
            Self::Unknown(format!("the permissions of shares in {} cannot be read: {error}", path.display()))
        };
        match system.read(&path, SHARE_INFO_BYTES_MAX) {
            Ok(bytes) => match permissions(&bytes, &config.charset) {
                Ok(permissions) => Self::Known(permissions),
                Err(error) => unknown(&error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => unknown(&error),
        }
    }

    /// The permission for a share.
    pub(crate) fn permission(&self, share: &str) -> Permission {
        match self {
            Self::Missing => Ok(ShareRight::Full),
            Self::Unknown(reason) => Err(reason.clone()),
            Self::Known(all) => all.get(&ShareName::new(share)).cloned().unwrap_or(Ok(ShareRight::Full)),
        }
    }
}

/// The path of the database.
pub(crate) fn path(config: &Config) -> PathBuf {
    let set = config.text("state directory");
    PathBuf::from(if set.is_empty() { "/var/lib/samba" } else { &set }).join("share_info.tdb")
}

fn permissions(
    bytes: &[u8],
    charset: &Charset,
) -> Result<HashMap<ShareName, Permission>, crate::tdb::TdbError> {
    let mut all = HashMap::new();
    for (key, data) in Tdb::open(bytes)?.records()? {
        let Some(name) = key.strip_prefix(b"SECDESC/") else { continue };
        let name = charset.text(name.strip_suffix(b"\0").unwrap_or(name));
        let new = permission(data);
        // Databases of old versions have names in capitals, too; of two records for a share the lower counts.
        let both = match (all.remove(&ShareName::new(&name)), new) {
            (Some(Err(reason)), _) | (_, Err(reason)) => Err(reason),
            (Some(Ok(old)), Ok(new)) => Ok(new.min(old)),
            (None, Ok(new)) => Ok(new),
        };
        all.insert(ShareName::new(&name), both);
    }
    Ok(all)
}

/// The highest right that the descriptor grants to everyone, if it grants others no more and denies nobody anything.
fn permission(descriptor: &[u8]) -> Permission {
    let damaged = |_| String::from("the descriptor of its permissions is damaged");
    let descriptor = SecurityDescriptor::decode(descriptor).map_err(damaged)?;
    let Some(dacl) = descriptor.dacl else {
        return match descriptor.control.contains(SdControl::DACL_PRESENT) {
            true => Ok(ShareRight::Full),
            false => Err(String::from("the descriptor of its permissions has no list")),
        };
    };
    let mut everyone = 0;
    let mut others = Vec::new();
    for ace in &dacl.aces {
        if ace.flags.contains(AceFlags::INHERIT_ONLY) {
            continue;
        }
        match &ace.body {
            AceBody::Principal { mask, sid, .. } if ace.kind == AceType::ACCESS_ALLOWED => {
                let mask = mask.map_generic().0;
                if *sid == Sid::WORLD {
                    everyone |= mask;
                } else {
                    others.push((sid, mask));
                }
            }
            AceBody::Principal { sid, .. } if ace.kind == AceType::ACCESS_DENIED => {
                return Err(format!("its permissions (sharesec) deny something to {sid}"));
            }
            _ => return Err(format!("its permissions (sharesec) have an entry of type {}", ace.kind.0)),
        }
    }
    let grants = |right: &ShareRight| everyone & right.access().0 == right.access().0;
    let right = ShareRight::ALL.into_iter().rev().find(grants);
    match (right, others.iter().find(|(_, mask)| mask & !everyone != 0)) {
        (Some(ShareRight::Full), _) => Ok(ShareRight::Full),
        (_, Some((sid, _))) => Err(format!("its permissions (sharesec) grant {sid} more than everyone")),
        (Some(right), None) => Ok(right),
        (None, None) => Err(String::from("its permissions (sharesec) do not let everyone read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tdb::make::tdb;
    use wire::masks::AccessMask;
    use wire::security::{Ace, Acl};

    const ADMINISTRATORS: Sid = Sid::ADMINISTRATORS;

    fn of(aces: &[Ace]) -> Permission {
        let mut bytes = Vec::new();
        let descriptor = SecurityDescriptor {
            control: SdControl::SELF_RELATIVE | SdControl::DACL_PRESENT,
            dacl: Some(Acl { aces: aces.to_vec() }),
            ..SecurityDescriptor::default()
        };
        descriptor.encode(&mut bytes).unwrap();
        permission(&bytes)
    }

    fn allow(sid: Sid, mask: u32) -> Ace {
        Ace::allow(sid, AccessMask(mask), AceFlags(0))
    }

    #[test]
    fn rights_of_everyone_are_those_of_sharesec() {
        for (mask, right) in [
            (0x001F_01FF, ShareRight::Full),
            (0x1000_0000, ShareRight::Full),
            (0x0013_01FF, ShareRight::Change),
            (0x0013_01BF, ShareRight::Change),
            (0x0012_00A9, ShareRight::Read),
        ] {
            assert_eq!(of(&[allow(Sid::WORLD, mask)]), Ok(right), "{mask:#x}");
        }
        let more = [allow(Sid::WORLD, 0x001F_01FF), allow(ADMINISTRATORS, 0x001F_01FF)];
        assert_eq!(of(&more), Ok(ShareRight::Full));
    }

    #[test]
    fn permissions_of_some_are_none_for_everyone() {
        let read = allow(Sid::WORLD, 0x0012_00A9);
        for aces in [
            vec![],
            vec![allow(ADMINISTRATORS, 0x001F_01FF)],
            vec![read.clone(), allow(ADMINISTRATORS, 0x001F_01FF)],
            vec![Ace::deny(ADMINISTRATORS, AccessMask(2), AceFlags(0)), allow(Sid::WORLD, 0x001F_01FF)],
            vec![allow(Sid::WORLD, 0x0002_0000)],
            vec![Ace { flags: AceFlags::INHERIT_ONLY, ..read }],
        ] {
            assert!(of(&aces).is_err(), "{aces:?}");
        }
        assert!(permission(b"\x01\x00\x04\x80").is_err());
        assert!(permission(b"").is_err());
    }

    #[test]
    fn of_two_records_for_a_share_the_lower_counts() {
        let descriptor = |mask: [u8; 4]| {
            let mut bytes =
                b"\x01\0\x04\x80\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\x02\0\x1C\0\x01\0\0\0\0\0\x14\0".to_vec();
            bytes.extend(mask);
            bytes.extend(b"\x01\x01\0\0\0\0\0\x01\0\0\0\0");
            bytes
        };
        let (full, read) = (descriptor([0xFF, 1, 0x1F, 0]), descriptor([0xA9, 0, 0x12, 0]));
        let bytes = tdb(&[
            (b"SECDESC/DATA\0", &read),
            (b"SECDESC/data\0", &full),
            (b"INFO/version\0", b"\x03\0\0\0"),
        ]);
        let info = ShareInfo::Known(permissions(&bytes, &Charset::Utf8).unwrap());
        assert_eq!(info.permission("Data"), Ok(ShareRight::Read));
        assert_eq!(info.permission("other"), Ok(ShareRight::Full));
    }
}
