//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.21.3, MS-FSA 2.1.5.17.

use wire::NtStatus;
use wire::msg::AdditionalInformation;
use wire::security::SecurityDescriptor;

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
    let new = SecurityDescriptor::decode(data).map_err(|_| NtStatus::INVALID_SECURITY_DESCR)?;
    let user = request.session()?.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    if which.contains(AdditionalInformation::OWNER)
        && !new.owner.is_some_and(|owner| user.token.may_give(owner))
    {
        return Err(NtStatus::INVALID_OWNER);
    }
    let descriptor = security::descriptor(&*file.handle)?.replaced(&new, which);
    security::store(&*file.handle, &descriptor).map_err(|error| of_vfs(&error))
}

/// The parts that descriptors here do not have: labels, claims and central policies.
const NOT_KEPT: AdditionalInformation = AdditionalInformation(
    AdditionalInformation::LABEL.0
        | AdditionalInformation::ATTRIBUTE.0
        | AdditionalInformation::SCOPE.0
        | AdditionalInformation::BACKUP.0,
);
