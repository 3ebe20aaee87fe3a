//! The server object and its domains (MS-SAMR 3.1.5.1, 3.1.5.2, 3.1.5.11.1, 3.1.5.13.1).

use wire::NtStatus;
use wire::security::Sid;

use super::{RevisionInfo, RevisionInfo1};
use crate::lsarpc::FirstCharacter;
use crate::ndr::{Container, ContextHandle, SizedBuffer, UnicodeString};

/// SAM_SERVER_CONNECT (MS-SAMR 2.2.1.3): every handle to the server has it.
pub const SAM_SERVER_CONNECT: u32 = 0x0000_0001;
/// SAM_SERVER_ENUMERATE_DOMAINS.
pub const SAM_SERVER_ENUMERATE_DOMAINS: u32 = 0x0000_0010;
/// SAM_SERVER_LOOKUP_DOMAIN.
pub const SAM_SERVER_LOOKUP_DOMAIN: u32 = 0x0000_0020;

/// The server's SAMPR_REVISION_INFO_V1 (MS-SAMR 2.2.7.15): the revision of Windows 2000 and later, and support for
/// passwords that are encrypted with AES.
pub const SERVER_REVISION: RevisionInfo1 = RevisionInfo1 { revision: 3, supported_features: 0x10 };

ndr_struct! {
    /// SAMPR_RID_ENUMERATION (MS-SAMR 2.2.7.9): one of a list.
    RidEnumeration {
        rid: u32 = "RelativeId",
        name: UnicodeString = "Name",
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrConnect (MS-SAMR 3.1.5.1.4): as [`Connect5Request`].
    0 "SamrConnect" ConnectRequest {
        server_name: FirstCharacter = "ServerName",
        desired_access: u32 = "DesiredAccess",
    } => ConnectResponse {
        handle: ContextHandle = "ServerHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrConnect2 (MS-SAMR 3.1.5.1.3): as [`Connect5Request`].
    57 "SamrConnect2" Connect2Request {
        server_name: Option<String> = "ServerName",
        desired_access: u32 = "DesiredAccess",
    } => Connect2Response {
        handle: ContextHandle = "ServerHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrConnect4 (MS-SAMR 3.1.5.1.2): as [`Connect5Request`].
    62 "SamrConnect4" Connect4Request {
        server_name: Option<String> = "ServerName",
        client_revision: u32 = "ClientRevision",
        desired_access: u32 = "DesiredAccess",
    } => Connect4Response {
        handle: ContextHandle = "ServerHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrConnect5 (MS-SAMR 3.1.5.1.1): a handle to the server.
    64 "SamrConnect5" Connect5Request {
        server_name: Option<String> = "ServerName",
        desired_access: u32 = "DesiredAccess",
        revision: RevisionInfo = "InVersion, InRevisionInfo",
    } => Connect5Response {
        revision: RevisionInfo = "OutVersion, OutRevisionInfo",
        handle: ContextHandle = "ServerHandle",
    } refused |_| {
        revision: RevisionInfo::V1(SERVER_REVISION),
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrCloseHandle (MS-SAMR 3.1.5.13.1): a handle no longer.
    1 "SamrCloseHandle" CloseHandleRequest {
        handle: ContextHandle = "SamHandle",
    } => CloseHandleResponse {
        handle: ContextHandle = "SamHandle",
    } refused |request| {
        handle: request.handle,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrQuerySecurityObject (MS-SAMR 3.1.5.12.2): the security descriptor of the object of a handle.
    3 "SamrQuerySecurityObject" QuerySecurityObjectRequest {
        handle: ContextHandle = "ObjectHandle",
        information: u32 = "SecurityInformation",
    } => QuerySecurityObjectResponse {
        descriptor: Option<SizedBuffer> = "SecurityDescriptor",
    } refused |_| {
        descriptor: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrLookupDomainInSamServer (MS-SAMR 3.1.5.11.1): the SID of a domain.
    5 "SamrLookupDomainInSamServer" LookupDomainRequest {
        handle: ContextHandle = "ServerHandle",
        name: UnicodeString = "Name",
    } => LookupDomainResponse {
        sid: Option<Sid> = "DomainId",
    } refused |_| {
        sid: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrEnumerateDomainsInSamServer (MS-SAMR 3.1.5.2.1): which domains there are.
    6 "SamrEnumerateDomainsInSamServer" EnumerateDomainsRequest {
        handle: ContextHandle = "ServerHandle",
        context: u32 = "EnumerationContext",
        preferred_maximum: u32 = "PreferedMaximumLength",
    } => EnumerateDomainsResponse {
        context: u32 = "EnumerationContext",
        found: Option<Container<RidEnumeration>> = "Buffer",
        count: u32 = "CountReturned",
    } refused |request| {
        context: request.context,
        found: None,
        count: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrOpenDomain (MS-SAMR 3.1.5.1.5): a handle to a domain.
    7 "SamrOpenDomain" OpenDomainRequest {
        handle: ContextHandle = "ServerHandle",
        desired_access: u32 = "DesiredAccess",
        sid: Sid = "DomainId",
    } => OpenDomainResponse {
        handle: ContextHandle = "DomainHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}
