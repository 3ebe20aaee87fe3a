//! MS-LSAD and MS-LSAT, as much of them as names of accounts take: on `\PIPE\lsarpc`.
//!
//! A caller opens the policy, asks for names or SIDs, and closes it.

mod lookup;
mod policy;

pub use lookup::*;
pub use policy::*;

pub use crate::revision::{RevisionInfo, RevisionInfo1};

use wire::NtStatus;

use crate::association::Endpoint;
use crate::uuid::{InterfaceId, Uuid};

/// The interface (MS-LSAT 2.1).
pub const INTERFACE: InterfaceId = InterfaceId {
    uuid: Uuid::from_fields(0x12345778, 0x1234, 0xabcd, [0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab]),
    major: 0,
    minor: 0,
};

/// The pipe it is reached by.
pub const ENDPOINT: Endpoint = Endpoint { pipe: "lsarpc", interfaces: &[INTERFACE] };

ndr_interface! {
    returns NtStatus;
    /// LsarClose.
    Close(CloseRequest => CloseResponse),
    /// LsarOpenPolicy.
    OpenPolicy(OpenPolicyRequest => OpenPolicyResponse),
    /// LsarQueryInformationPolicy.
    QueryInformationPolicy(QueryInformationPolicyRequest => QueryInformationPolicyResponse),
    /// LsarLookupNames.
    LookupNames(LookupNamesRequest => LookupNamesResponse),
    /// LsarLookupSids.
    LookupSids(LookupSidsRequest => LookupSidsResponse),
    /// LsarOpenPolicy2.
    OpenPolicy2(OpenPolicy2Request => OpenPolicy2Response),
    /// LsarGetUserName.
    GetUserName(GetUserNameRequest => GetUserNameResponse),
    /// LsarQueryInformationPolicy2.
    QueryInformationPolicy2(QueryInformationPolicy2Request => QueryInformationPolicy2Response),
    /// LsarLookupSids2.
    LookupSids2(LookupSids2Request => LookupSids2Response),
    /// LsarLookupNames2.
    LookupNames2(LookupNames2Request => LookupNames2Response),
    /// LsarLookupNames3.
    LookupNames3(LookupNames3Request => LookupNames3Response),
    /// LsarOpenPolicy3.
    OpenPolicy3(OpenPolicy3Request => OpenPolicy3Response),
}

#[cfg(test)]
mod tests;
