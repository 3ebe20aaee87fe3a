//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.21.3, MS-FSA 2.1.5.17.

use wire::NtStatus;
use wire::create_context::AaplServerCaps;
use wire::msg::AdditionalInformation;

use crate::core::domain::Unsure;
use crate::core::open::{Open, OpenFile};
use crate::core::security;
use crate::core::status::OrStatus;
use crate::smb::connection::Request;

/// Replaces the parts of a file's security descriptor that `which` selects.
pub(super) async fn set(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    which: AdditionalInformation,
    data: &[u8],
) -> Result<(), NtStatus> {
    if !open.access().contains(security::needed(which, true)) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let mut which = which;
    let mut new = security::decode(which, data)?;
    let server = &request.connection.server;
    // An owner whose id is not sure could not be made the owner on the disk.
    server.find_ids(security::ids_to_set(which, &new)).await.map_err(|Unsure| NtStatus::IO_TIMEOUT)?;
    let user = crate::smb::handlers::user_of_files(request)?;
    // The lock preserves concurrent changes of the other parts.
    let _lock = file.handle.lock_security_record();
    if file.posix {
        let machine = request.connection.server.machine();
        return security::mode::change(machine, &user.token, &*file.handle, which, new);
    }
    security::check_owner(&user.token, which, &new)?;
    if open.tree().apple().contains(AaplServerCaps::NFS_ACE)
        && which.contains(AdditionalInformation::DACL)
        && let Some(dacl) = &mut new.dacl
        && let Some(mode) = security::nfs::take(dacl)
    {
        // If the list contained only the mode, it stays unchanged.
        if dacl.aces.is_empty() {
            which = which.without(AdditionalInformation::DACL);
        }
        let set = security::keeping(&*file.handle, || file.handle.set_permissions(mode));
        set.or_status()?;
        if which.is_none() {
            return Ok(());
        }
    }
    let machine = request.connection.server.machine();
    security::replace(machine, &user.token, &*file.handle, which, &new)
}
