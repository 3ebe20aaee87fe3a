//! Security descriptors of files: NetrpGetFileSecurity (MS-SRVS 3.1.4.35).

use crate::ndr::SizedBuffer;

ndr_struct! {
    /// ADT_SECURITY_DESCRIPTOR (MS-SRVS 2.2.4.98).
    AdtSecurityDescriptor {
        descriptor: SizedBuffer = "Length, Buffer",
    }
}

ndr_unique_parameter!(AdtSecurityDescriptor);

ndr_call! {
    /// NetrpGetFileSecurity (MS-SRVS 3.1.4.35): a file's security descriptor.
    39 "NetrpGetFileSecurity" GetFileSecurityRequest {
        server_name: Option<String> = "ServerName",
        share_name: Option<String> = "ShareName",
        file_name: String = "lpFileName",
        requested: u32 = "RequestedInformation",
    } => GetFileSecurityResponse {
        descriptor: Option<AdtSecurityDescriptor> = "SecurityDescriptor",
    } refused |_| {
        descriptor: None,
    }
}
