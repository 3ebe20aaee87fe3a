//! NetrpGetFileSecurity, NetrpSetFileSecurity (MS-SRVS 3.1.4.35, 3.1.4.36).

use rpc::Win32Error;
use rpc::ndr::SizedBuffer;
use rpc::srvsvc::{
    AdtSecurityDescriptor, GetFileSecurityRequest, GetFileSecurityResponse, SetFileSecurityRequest,
    SetFileSecurityResponse,
};
use wire::msg::AdditionalInformation;

use crate::admin::{self, Caller, Error};
use crate::core::server::Server;

pub(super) fn get(
    server: &Server,
    caller: &Caller,
    request: &GetFileSecurityRequest,
) -> Result<GetFileSecurityResponse, Error> {
    let share = request.share_name.as_deref().ok_or(Error::InvalidParameter)?;
    let which = AdditionalInformation(request.requested);
    let descriptor = admin::file_security(server, caller, share, &request.file_name, which)?;
    let mut bytes = Vec::new();
    descriptor.encode(&mut bytes).map_err(|_| Error::Internal)?;
    Ok(GetFileSecurityResponse {
        descriptor: Some(AdtSecurityDescriptor { descriptor: SizedBuffer(Some(bytes)) }),
        status: Win32Error::SUCCESS,
    })
}

pub(super) fn set(
    server: &Server,
    caller: &Caller,
    request: &SetFileSecurityRequest,
) -> Result<SetFileSecurityResponse, Error> {
    let share = request.share_name.as_deref().ok_or(Error::InvalidParameter)?;
    let which = AdditionalInformation(request.information);
    let data = request.descriptor.descriptor.0.as_deref().ok_or(Error::InvalidParameter)?;
    admin::set_file_security(server, caller, share, &request.file_name, which, data)?;
    Ok(SetFileSecurityResponse { status: Win32Error::SUCCESS })
}
