//! Changes of a file's security descriptor (MS-FSA 2.1.5.17).

use vfs::Handle;
use wire::NtStatus;
use wire::msg::AdditionalInformation;
use wire::security::{SecurityDescriptor, Sid};

use super::{Machine, Stored, Token, made_up, store, stored};
use crate::core::status::{OrStatus, of_vfs};

/// Decodes the descriptor with the new parts; refuses parts that the server does not store.
pub(crate) fn decode(which: AdditionalInformation, data: &[u8]) -> Result<SecurityDescriptor, NtStatus> {
    if which.intersects(NOT_KEPT) {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    if data.len() > DESCRIPTOR_BYTES_MAX {
        return Err(NtStatus::INVALID_SECURITY_DESCR);
    }
    SecurityDescriptor::decode(data).map_err(|_| NtStatus::INVALID_SECURITY_DESCR)
}

/// Checks that the user may make the new owner the owner of a file.
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

/// Replaces the parts of a file's descriptor that `which` names. The caller has checked the access of the open.
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
        // A descriptor that cannot be read is replaced by the one of a file without a stored descriptor.
        Stored::Nothing | Stored::Unreadable => made_up(handle, token)?,
    };
    let descriptor = before.replaced(new, which);
    if which.contains(AdditionalInformation::OWNER) {
        own(machine, token, handle, descriptor.owner)?;
    }
    store(handle, &descriptor).or_status()
}

/// Changes the owner of the file on the disk as well, if the new owner is a Unix user or a user of the
/// domain with a uid, and the server may change it.
/// Otherwise only the descriptor has the new owner.
fn own(machine: Machine, token: &Token, handle: &dyn Handle, owner: Option<Sid>) -> Result<(), NtStatus> {
    let uid_of = |owner| machine.unix_user(owner).or_else(|| token.uid(owner));
    let Some(uid) = owner.and_then(uid_of) else { return Ok(()) };
    let stat = handle.stat().or_status()?;
    if stat.uid == uid {
        return Ok(());
    }
    match handle.set_owner(uid) {
        Ok(()) | Err(vfs::Error::AccessDenied | vfs::Error::NotSupported) => Ok(()),
        Err(error) => Err(of_vfs(&error)),
    }
}

/// The maximal length of a descriptor: the size of an extended attribute.
const DESCRIPTOR_BYTES_MAX: usize = vfs::limits::XATTR_VALUE_BYTES_MAX;

/// The parts that the server does not store: labels, claims and central policies.
const NOT_KEPT: AdditionalInformation = AdditionalInformation(
    AdditionalInformation::LABEL.0
        | AdditionalInformation::ATTRIBUTE.0
        | AdditionalInformation::SCOPE.0
        | AdditionalInformation::BACKUP.0,
);
