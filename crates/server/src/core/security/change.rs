//! Changing a file's descriptor (MS-FSA 2.1.5.17).

use vfs::Handle;
use wire::NtStatus;
use wire::msg::AdditionalInformation;
use wire::security::{SecurityDescriptor, Sid};

use super::{Machine, Stored, Token, made_up, store, stored};
use crate::core::status::{OrStatus, of_vfs};

/// The descriptor that is to replace these parts, as far as such parts are kept.
pub(crate) fn decode(which: AdditionalInformation, data: &[u8]) -> Result<SecurityDescriptor, NtStatus> {
    if which.intersects(NOT_KEPT) {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    if data.len() > DESCRIPTOR_BYTES_MAX {
        return Err(NtStatus::INVALID_SECURITY_DESCR);
    }
    SecurityDescriptor::decode(data).map_err(|_| NtStatus::INVALID_SECURITY_DESCR)
}

/// Whether the user may replace these parts so: nobody's file becomes just anybody's.
pub(crate) fn check_owner(
    token: &Token,
    which: AdditionalInformation,
    new: &SecurityDescriptor,
) -> Result<(), NtStatus> {
    let is_owner = which.contains(AdditionalInformation::OWNER);
    if is_owner && !new.owner.is_some_and(|owner| token.may_give(owner)) {
        return Err(NtStatus::INVALID_OWNER);
    }
    Ok(())
}

/// Replaces the parts of a file's descriptor that `which` names; the user may, as far as access goes.
pub(crate) fn replace(
    machine: Machine,
    token: &Token,
    handle: &dyn Handle,
    which: AdditionalInformation,
    new: &SecurityDescriptor,
) -> Result<(), NtStatus> {
    check_owner(token, which, new)?;
    let before = match stored(handle) {
        Stored::Descriptor(descriptor) => descriptor,
        // In the place of one that cannot be read goes what it would be without.
        Stored::Nothing | Stored::Unreadable => made_up(handle, token)?,
    };
    let descriptor = before.replaced(new, which);
    if which.contains(AdditionalInformation::OWNER) {
        own(machine, handle, descriptor.owner)?;
    }
    store(handle, &descriptor).or_status()
}

/// Lets the file belong to the owner on the disk too, where that is a Unix user and the server may. Where it may
/// not the descriptor alone tells.
fn own(machine: Machine, handle: &dyn Handle, owner: Option<Sid>) -> Result<(), NtStatus> {
    let Some(uid) = owner.and_then(|owner| machine.unix_user(owner)) else { return Ok(()) };
    let stat = handle.stat().or_status()?;
    if stat.uid == uid {
        return Ok(());
    }
    match handle.set_owner(uid) {
        Ok(()) | Err(vfs::Error::AccessDenied | vfs::Error::NotSupported) => Ok(()),
        Err(error) => Err(of_vfs(&error)),
    }
}

/// The longest descriptor that is looked at: what one extended attribute holds.
const DESCRIPTOR_BYTES_MAX: usize = vfs::limits::XATTR_VALUE_BYTES_MAX;

/// The parts that descriptors here do not have: labels, claims and central policies.
const NOT_KEPT: AdditionalInformation = AdditionalInformation(
    AdditionalInformation::LABEL.0
        | AdditionalInformation::ATTRIBUTE.0
        | AdditionalInformation::SCOPE.0
        | AdditionalInformation::BACKUP.0,
);
