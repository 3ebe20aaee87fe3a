//! Values of SMB in the words of the control API, for the server and for the readers of other servers.

use wire::{AccessMask, Dialect, ShareAccess};

use crate::{Access, Word, permission};

impl Access {
    /// The access of a mask, with the names of its bits.
    pub fn of_mask(mask: AccessMask) -> Self {
        let names = ACCESS_NAMES.iter().filter(|(bit, _)| mask.contains(*bit));
        Self::new(mask.0, names.map(|(_, name)| Word::known(name)).collect())
    }
}

/// `fi3_permissions` (MS-SRVS 2.2.4.7) of an open with this access.
pub fn permissions(access: AccessMask, is_directory: bool) -> u32 {
    let adds = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA;
    [
        (permission::READ, access.intersects(AccessMask::READ_DATA)),
        (permission::WRITE, access.intersects(adds)),
        (permission::CREATE, is_directory && access.intersects(adds)),
        (permission::EXECUTE, access.intersects(AccessMask::EXECUTE)),
        (permission::DELETE, access.intersects(AccessMask::DELETE | AccessMask::DELETE_CHILD)),
        (permission::ATTRIBUTES, access.intersects(AccessMask::WRITE_ATTRIBUTES)),
        (permission::PERMISSIONS, access.intersects(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER)),
    ]
    .into_iter()
    .filter_map(|(bit, has)| has.then_some(bit))
    .fold(0, |all, bit| all | bit)
}

/// The access that other opens may have (MS-SMB2 2.2.13, `ShareAccess`).
pub fn share_access(access: ShareAccess) -> Vec<Word> {
    [(ShareAccess::READ, "read"), (ShareAccess::WRITE, "write"), (ShareAccess::DELETE, "delete")]
        .into_iter()
        .filter(|(bit, _)| access.contains(*bit))
        .map(|(_, name)| Word::known(name))
        .collect()
}

/// The name of the dialect with this revision (MS-SMB2 2.2.3); the number of an unknown one.
pub fn dialect(revision: u32) -> String {
    let name = match u16::try_from(revision).map(Dialect) {
        Ok(Dialect::SMB202) => "2.0.2",
        Ok(Dialect::SMB210) => "2.1",
        Ok(Dialect::SMB300) => "3.0",
        Ok(Dialect::SMB302) => "3.0.2",
        Ok(Dialect::SMB311) => "3.1.1",
        _ => return format!("{revision:#06x}"),
    };
    name.to_owned()
}

/// The names of the bits of an access mask in MS-SMB2 2.2.13.1.1.
const ACCESS_NAMES: [(AccessMask, &str); 15] = [
    (AccessMask::READ_DATA, "FILE_READ_DATA"),
    (AccessMask::WRITE_DATA, "FILE_WRITE_DATA"),
    (AccessMask::APPEND_DATA, "FILE_APPEND_DATA"),
    (AccessMask::READ_EA, "FILE_READ_EA"),
    (AccessMask::WRITE_EA, "FILE_WRITE_EA"),
    (AccessMask::EXECUTE, "FILE_EXECUTE"),
    (AccessMask::DELETE_CHILD, "FILE_DELETE_CHILD"),
    (AccessMask::READ_ATTRIBUTES, "FILE_READ_ATTRIBUTES"),
    (AccessMask::WRITE_ATTRIBUTES, "FILE_WRITE_ATTRIBUTES"),
    (AccessMask::DELETE, "DELETE"),
    (AccessMask::READ_CONTROL, "READ_CONTROL"),
    (AccessMask::WRITE_DAC, "WRITE_DAC"),
    (AccessMask::WRITE_OWNER, "WRITE_OWNER"),
    (AccessMask::SYNCHRONIZE, "SYNCHRONIZE"),
    (AccessMask::ACCESS_SYSTEM_SECURITY, "ACCESS_SYSTEM_SECURITY"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_masks_are_converted_to_permissions() {
        assert_eq!(permissions(AccessMask::FILE_GENERIC_READ, false), permission::READ);
        assert_eq!(
            permissions(AccessMask::FILE_GENERIC_WRITE, false),
            permission::WRITE | permission::ATTRIBUTES
        );
        assert_eq!(permissions(AccessMask::FILE_ALL, true), 0x7f);
        assert_eq!(permissions(AccessMask::READ_ATTRIBUTES | AccessMask::SYNCHRONIZE, false), 0);
        assert_eq!(permissions(AccessMask::DELETE, false), permission::DELETE);
    }
}
