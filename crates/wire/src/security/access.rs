//! The access check (MS-DTYP 2.5.3.2), and the meaning of generic rights for files.

use super::{AceBody, AceFlags, AceType, SdControl, SecurityDescriptor, Sid};
use crate::bit_mask;
use crate::masks::AccessMask;

bit_mask! {
    /// The privileges of a token that grant access to files in addition to the DACL (MS-LSAD 3.1.1.2.1).
    Privileges(u32) {
        /// SeSecurityPrivilege: ACCESS_SYSTEM_SECURITY.
        SECURITY = 1,
        /// SeTakeOwnershipPrivilege: WRITE_OWNER.
        TAKE_OWNERSHIP = 2,
        /// SeBackupPrivilege: grants reading if the open requests it (FILE_OPEN_FOR_BACKUP_INTENT).
        BACKUP = 4,
        /// SeRestorePrivilege: grants writing if the open requests it.
        RESTORE = 8,
        /// SeManageVolumePrivilege: telling which data of a file are valid.
        MANAGE_VOLUME = 16,
    }
}

/// A refusal of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// The DACL does not grant these rights: STATUS_ACCESS_DENIED.
    Dacl {
        /// The rights that are missing.
        missing: AccessMask,
    },
    /// ACCESS_SYSTEM_SECURITY without SeSecurityPrivilege: STATUS_PRIVILEGE_NOT_HELD.
    PrivilegeNotHeld,
}

impl AccessMask {
    /// The mask with generic rights replaced by their meaning for files and directories (MS-FSA 2.1.4.14).
    pub const fn map_generic(self) -> Self {
        let mut mask = self.without(GENERIC);
        if self.contains(Self::GENERIC_READ) {
            mask = mask.union(Self::FILE_GENERIC_READ);
        }
        if self.contains(Self::GENERIC_WRITE) {
            mask = mask.union(Self::FILE_GENERIC_WRITE);
        }
        if self.contains(Self::GENERIC_EXECUTE) {
            mask = mask.union(Self::FILE_GENERIC_EXECUTE);
        }
        if self.contains(Self::GENERIC_ALL) {
            mask = mask.union(Self::FILE_ALL);
        }
        mask
    }
}

/// Checks `desired` for a token with these SIDs (the user's and those of its groups) and privileges. Returns the
/// granted mask, with generic rights and MAXIMUM_ALLOWED resolved.
///
/// Conditions of callback ACEs are not evaluated: such an ACE never allows and always denies.
pub fn access_check(
    sids: &[Sid],
    privileges: Privileges,
    descriptor: &SecurityDescriptor,
    desired: AccessMask,
) -> Result<AccessMask, AccessDenied> {
    let maximum = desired.contains(AccessMask::MAXIMUM_ALLOWED);
    let wanted = desired.without(AccessMask::MAXIMUM_ALLOWED).map_generic();
    let mut granted = from_privileges(privileges);
    if wanted.contains(AccessMask::ACCESS_SYSTEM_SECURITY)
        && !granted.contains(AccessMask::ACCESS_SYSTEM_SECURITY)
    {
        return Err(AccessDenied::PrivilegeNotHeld);
    }
    granted |= from_dacl(sids, descriptor);
    let missing = wanted.without(granted);
    if !missing.is_none() {
        return Err(AccessDenied::Dacl { missing });
    }
    Ok(if maximum { wanted | granted.without(AccessMask::ACCESS_SYSTEM_SECURITY) } else { wanted })
}

/// All rights that the DACL and ownership grant.
fn from_dacl(sids: &[Sid], descriptor: &SecurityDescriptor) -> AccessMask {
    let dacl = match &descriptor.dacl {
        Some(dacl) if descriptor.control.contains(SdControl::DACL_PRESENT) => dacl,
        _ => return AccessMask::FILE_ALL,
    };
    let is_owner = descriptor.owner.is_some_and(|owner| sids.contains(&owner));
    let effective = || dacl.aces.iter().filter(|ace| !ace.flags.contains(AceFlags::INHERIT_ONLY));
    let has_owner_rights = effective().any(|ace| {
        matches!(ace.kind, AceType::ACCESS_ALLOWED | AceType::ACCESS_DENIED)
            && matches!(ace.body, AceBody::Principal { sid: Sid::OWNER_RIGHTS, .. })
    });
    let mut granted = AccessMask::NONE;
    if is_owner && !has_owner_rights {
        granted |= AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
    }
    let mut denied = AccessMask::NONE;
    for ace in effective() {
        let AceBody::Principal { mask, sid, .. } = &ace.body else { continue };
        if !(sids.contains(sid) || (is_owner && *sid == Sid::OWNER_RIGHTS)) {
            continue;
        }
        let mask = mask.map_generic();
        match ace.kind {
            AceType::ACCESS_ALLOWED => granted |= mask.without(denied),
            AceType::ACCESS_DENIED | AceType::ACCESS_DENIED_CALLBACK => denied |= mask.without(granted),
            _ => {}
        }
    }
    granted.without(AccessMask::ACCESS_SYSTEM_SECURITY | AccessMask::MAXIMUM_ALLOWED)
}

fn from_privileges(privileges: Privileges) -> AccessMask {
    let mut granted = AccessMask::NONE;
    if privileges.contains(Privileges::SECURITY) {
        granted |= AccessMask::ACCESS_SYSTEM_SECURITY;
    }
    if privileges.contains(Privileges::TAKE_OWNERSHIP) {
        granted |= AccessMask::WRITE_OWNER;
    }
    if privileges.contains(Privileges::BACKUP) {
        granted |= AccessMask::FILE_GENERIC_READ | AccessMask::EXECUTE;
    }
    if privileges.contains(Privileges::RESTORE) {
        granted |= AccessMask::FILE_GENERIC_WRITE
            | AccessMask::WRITE_DAC
            | AccessMask::WRITE_OWNER
            | AccessMask::DELETE;
    }
    granted
}

const GENERIC: AccessMask = AccessMask(
    AccessMask::GENERIC_ALL.0
        | AccessMask::GENERIC_EXECUTE.0
        | AccessMask::GENERIC_READ.0
        | AccessMask::GENERIC_WRITE.0,
);
