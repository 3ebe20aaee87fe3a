//! Access masks in the form of MS-SRVS.

use control::permission;
use wire::AccessMask;

/// `fi3_permissions` (MS-SRVS 2.2.4.7) of an open with this access.
pub(crate) fn permissions(access: AccessMask, is_directory: bool) -> u32 {
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
