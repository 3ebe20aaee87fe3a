//! Security descriptors of files: NetrpGetFileSecurity, NetrpSetFileSecurity (MS-SRVS 3.1.4.35, 3.1.4.36).

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

ndr_call! {
    /// NetrpSetFileSecurity (MS-SRVS 3.1.4.36): change a file's security descriptor.
    40 "NetrpSetFileSecurity" SetFileSecurityRequest {
        server_name: Option<String> = "ServerName",
        share_name: Option<String> = "ShareName",
        file_name: String = "lpFileName",
        information: u32 = "SecurityInformation",
        descriptor: AdtSecurityDescriptor = "SecurityDescriptor",
    } => SetFileSecurityResponse {
    } refused |_| {
    }
}
