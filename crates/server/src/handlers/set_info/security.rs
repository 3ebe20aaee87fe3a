//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.21.3, MS-FSA 2.1.5.17.

use wire::NtStatus;
use wire::create_context::AaplServerCaps;
use wire::msg::AdditionalInformation;
use wire::security::{SecurityDescriptor, Sid};

use crate::connection::Request;
use crate::open::{Open, OpenFile};
use crate::security;
use crate::status::of_vfs;

/// Replaces the parts of a file's security descriptor that `which` names.
pub(super) fn set(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    which: AdditionalInformation,
    data: &[u8],
) -> Result<(), NtStatus> {
    if !open.access().contains(security::needed(which, true)) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if which.intersects(NOT_KEPT) {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    if data.len() > DESCRIPTOR_BYTES_MAX {
        return Err(NtStatus::INVALID_SECURITY_DESCR);
    }
    let mut which = which;
    let mut new = SecurityDescriptor::decode(data).map_err(|_| NtStatus::INVALID_SECURITY_DESCR)?;
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    if which.contains(AdditionalInformation::OWNER)
        && !new.owner.is_some_and(|owner| user.token.may_give(owner))
    {
        return Err(NtStatus::INVALID_OWNER);
    }
    if open.tree().apple().contains(AaplServerCaps::NFS_ACE)
        && which.contains(AdditionalInformation::DACL)
        && let Some(dacl) = &mut new.dacl
        && let Some(mode) = security::nfs::take(dacl)
    {
        // Where that was all of it, the list stays as it is.
        if dacl.aces.is_empty() {
            which = which.without(AdditionalInformation::DACL);
        }
        let set = security::keeping(&*file.handle, || file.handle.set_permissions(mode));
        set.map_err(|error| of_vfs(&error))?;
        if which.is_none() {
            return Ok(());
        }
    }
    let descriptor = security::descriptor(&*file.handle)?.replaced(&new, which);
    if which.contains(AdditionalInformation::OWNER) {
        own(request, file, descriptor.owner)?;
    }
    security::store(&*file.handle, &descriptor).map_err(|error| of_vfs(&error))
}

/// Lets the file belong to the owner on the disk too, where that is a Unix user and the server may. Where it may
/// not the descriptor alone tells.
fn own(request: &Request<'_>, file: &OpenFile, owner: Option<Sid>) -> Result<(), NtStatus> {
    let Some(uid) = owner.and_then(|owner| request.connection.server.machine().unix_user(owner)) else {
        return Ok(());
    };
    let stat = file.handle.stat().map_err(|error| of_vfs(&error))?;
    if stat.uid == uid {
        return Ok(());
    }
    match file.handle.set_owner(uid) {
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
