//! MS-SAMR, as much of it as it takes to list accounts, to change local groups and to change one's own password: on
//! `\PIPE\samr`.
//!
//! A caller connects, asks for the domain of the machine's accounts, opens it and then the accounts in it. The calls
//! that change a password by its owner's knowledge of the old one need none of that.

#[macro_use]
mod union;

mod alias;
mod domain;
mod password;
mod server;
mod user;

pub use alias::*;
pub use domain::*;
pub use password::*;
pub use server::*;
pub use user::*;

use wire::NtStatus;

use crate::association::Endpoint;
pub use crate::revision::{RevisionInfo, RevisionInfo1};
use crate::uuid::{InterfaceId, Uuid};

/// The interface (MS-SAMR 2.1).
pub const INTERFACE: InterfaceId = InterfaceId {
    uuid: Uuid::from_fields(0x12345778, 0x1234, 0xabcd, [0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xac]),
    major: 1,
    minor: 0,
};

/// The pipe it is reached by.
pub const ENDPOINT: Endpoint = Endpoint { pipe: "samr", interfaces: &[INTERFACE] };

ndr_interface! {
    returns NtStatus;
    /// SamrConnect.
    Connect(ConnectRequest => ConnectResponse),
    /// SamrCloseHandle.
    CloseHandle(CloseHandleRequest => CloseHandleResponse),
    /// SamrQuerySecurityObject.
    QuerySecurityObject(QuerySecurityObjectRequest => QuerySecurityObjectResponse),
    /// SamrLookupDomainInSamServer.
    LookupDomain(LookupDomainRequest => LookupDomainResponse),
    /// SamrEnumerateDomainsInSamServer.
    EnumerateDomains(EnumerateDomainsRequest => EnumerateDomainsResponse),
    /// SamrOpenDomain.
    OpenDomain(OpenDomainRequest => OpenDomainResponse),
    /// SamrQueryInformationDomain.
    QueryInformationDomain(QueryInformationDomainRequest => QueryInformationDomainResponse),
    /// SamrEnumerateGroupsInDomain.
    EnumerateGroups(EnumerateGroupsRequest => EnumerateGroupsResponse),
    /// SamrEnumerateUsersInDomain.
    EnumerateUsers(EnumerateUsersRequest => EnumerateUsersResponse),
    /// SamrCreateAliasInDomain.
    CreateAlias(CreateAliasRequest => CreateAliasResponse),
    /// SamrEnumerateAliasesInDomain.
    EnumerateAliases(EnumerateAliasesRequest => EnumerateAliasesResponse),
    /// SamrGetAliasMembership.
    GetAliasMembership(GetAliasMembershipRequest => GetAliasMembershipResponse),
    /// SamrLookupNamesInDomain.
    LookupNames(LookupNamesRequest => LookupNamesResponse),
    /// SamrLookupIdsInDomain.
    LookupIds(LookupIdsRequest => LookupIdsResponse),
    /// SamrOpenAlias.
    OpenAlias(OpenAliasRequest => OpenAliasResponse),
    /// SamrQueryInformationAlias.
    QueryInformationAlias(QueryInformationAliasRequest => QueryInformationAliasResponse),
    /// SamrSetInformationAlias.
    SetInformationAlias(SetInformationAliasRequest => SetInformationAliasResponse),
    /// SamrDeleteAlias.
    DeleteAlias(DeleteAliasRequest => DeleteAliasResponse),
    /// SamrAddMemberToAlias.
    AddMemberToAlias(AddMemberToAliasRequest => AddMemberToAliasResponse),
    /// SamrRemoveMemberFromAlias.
    RemoveMemberFromAlias(RemoveMemberFromAliasRequest => RemoveMemberFromAliasResponse),
    /// SamrGetMembersInAlias.
    GetMembersInAlias(GetMembersInAliasRequest => GetMembersInAliasResponse),
    /// SamrOpenUser.
    OpenUser(OpenUserRequest => OpenUserResponse),
    /// SamrQueryInformationUser.
    QueryInformationUser(QueryInformationUserRequest => QueryInformationUserResponse),
    /// SamrChangePasswordUser.
    ChangePasswordUser(ChangePasswordUserRequest => ChangePasswordUserResponse),
    /// SamrGetGroupsForUser.
    GetGroupsForUser(GetGroupsForUserRequest => GetGroupsForUserResponse),
    /// SamrQueryDisplayInformation.
    QueryDisplayInformation(QueryDisplayInformationRequest => QueryDisplayInformationResponse),
    /// SamrGetUserDomainPasswordInformation.
    GetUserDomainPasswordInformation(
        GetUserDomainPasswordInformationRequest => GetUserDomainPasswordInformationResponse
    ),
    /// SamrQueryInformationDomain2.
    QueryInformationDomain2(QueryInformationDomain2Request => QueryInformationDomain2Response),
    /// SamrQueryInformationUser2.
    QueryInformationUser2(QueryInformationUser2Request => QueryInformationUser2Response),
    /// SamrQueryDisplayInformation2.
    QueryDisplayInformation2(QueryDisplayInformation2Request => QueryDisplayInformation2Response),
    /// SamrQueryDisplayInformation3.
    QueryDisplayInformation3(QueryDisplayInformation3Request => QueryDisplayInformation3Response),
    /// SamrOemChangePasswordUser2.
    OemChangePasswordUser2(OemChangePasswordUser2Request => OemChangePasswordUser2Response),
    /// SamrUnicodeChangePasswordUser2.
    UnicodeChangePasswordUser2(UnicodeChangePasswordUser2Request => UnicodeChangePasswordUser2Response),
    /// SamrGetDomainPasswordInformation.
    GetDomainPasswordInformation(GetDomainPasswordInformationRequest => GetDomainPasswordInformationResponse),
    /// SamrConnect2.
    Connect2(Connect2Request => Connect2Response),
    /// SamrConnect4.
    Connect4(Connect4Request => Connect4Response),
    /// SamrUnicodeChangePasswordUser3.
    UnicodeChangePasswordUser3(UnicodeChangePasswordUser3Request => UnicodeChangePasswordUser3Response),
    /// SamrConnect5.
    Connect5(Connect5Request => Connect5Response),
    /// SamrRidToSid.
    RidToSid(RidToSidRequest => RidToSidResponse),
    /// SamrUnicodeChangePasswordUser4.
    UnicodeChangePasswordUser4(UnicodeChangePasswordUser4Request => UnicodeChangePasswordUser4Response),
}

#[cfg(test)]
mod tests;
