//! NetrpGetFileSecurity (MS-SRVS 3.1.4.35): an administrator looks at a file's security descriptor.

use rpc::Win32Error;
use rpc::ndr::SizedBuffer;
use rpc::srvsvc::{AdtSecurityDescriptor, GetFileSecurityRequest, GetFileSecurityResponse};
use vfs::{Actor, RelativePath, Wanted};
use wire::msg::AdditionalInformation;

use crate::admin::{Caller, Error, Right, check};
use crate::security;
use crate::server::Server;
use crate::tree::ShareContent;

pub(super) fn get(
    server: &Server,
    caller: &Caller,
    request: &GetFileSecurityRequest,
) -> Result<GetFileSecurityResponse, Error> {
    check(caller, Right::ReadFiles)?;
    let share = request.share_name.as_deref().ok_or(Error::InvalidParameter)?;
    let share = server.share(share).ok_or(Error::NoSuchShare)?;
    let ShareContent::Disk(backend) = &share.content else { return Err(Error::NotSupported) };
    let name = request.file_name.trim_matches(['\\', '/']).replace('/', "\\");
    let path = RelativePath::new(name).map_err(|_| Error::InvalidName)?;
    let opened = backend.open(&Actor::Process, &path, Wanted::NOTHING).map_err(|_| Error::FileNotFound)?;
    let descriptor = security::descriptor(&*opened.handle).map_err(|_| Error::Internal)?;
    let which = AdditionalInformation(request.requested);
    let mut bytes = Vec::new();
    descriptor.selected(which).encode(&mut bytes).map_err(|_| Error::Internal)?;
    Ok(GetFileSecurityResponse {
        descriptor: Some(AdtSecurityDescriptor { descriptor: SizedBuffer(Some(bytes)) }),
        status: Win32Error::SUCCESS,
    })
}
