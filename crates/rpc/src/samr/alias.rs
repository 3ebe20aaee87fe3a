//! Local groups (MS-SAMR 3.1.5.1.8, 3.1.5.2.4, 3.1.5.4.3, 3.1.5.5.5, 3.1.5.6.3, 3.1.5.7.2, 3.1.5.8, 3.1.5.9.2).

use wire::NtStatus;
use wire::security::Sid;

use super::RidEnumeration;
use crate::lsarpc::SidInformation;
use crate::ndr::{Container, ContextHandle, Enum16, UnicodeString};

/// ALIAS_ADD_MEMBER (MS-SAMR 2.2.1.6).
pub const ALIAS_ADD_MEMBER: u32 = 0x0000_0001;
/// ALIAS_REMOVE_MEMBER.
pub const ALIAS_REMOVE_MEMBER: u32 = 0x0000_0002;
/// ALIAS_LIST_MEMBERS.
pub const ALIAS_LIST_MEMBERS: u32 = 0x0000_0004;
/// ALIAS_READ_INFORMATION.
pub const ALIAS_READ_INFORMATION: u32 = 0x0000_0008;
/// ALIAS_WRITE_ACCOUNT.
pub const ALIAS_WRITE_ACCOUNT: u32 = 0x0000_0010;

ndr_call! {
    returns NtStatus;
    /// SamrEnumerateAliasesInDomain (MS-SAMR 3.1.5.2.4): which local groups there are.
    15 "SamrEnumerateAliasesInDomain" EnumerateAliasesRequest {
        handle: ContextHandle = "DomainHandle",
        context: u32 = "EnumerationContext",
        preferred_maximum: u32 = "PreferedMaximumLength",
    } => EnumerateAliasesResponse {
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
    /// SamrGetAliasMembership (MS-SAMR 3.1.5.9.2): which local groups these are in.
    16 "SamrGetAliasMembership" GetAliasMembershipRequest {
        handle: ContextHandle = "DomainHandle",
        sids: Container<SidInformation> = "SidArray",
    } => GetAliasMembershipResponse {
        rids: Container<u32> = "Membership",
    } refused |_| {
        rids: Container(Vec::new()),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrOpenAlias (MS-SAMR 3.1.5.1.8): a handle to a local group.
    27 "SamrOpenAlias" OpenAliasRequest {
        handle: ContextHandle = "DomainHandle",
        desired_access: u32 = "DesiredAccess",
        rid: u32 = "AliasId",
    } => OpenAliasResponse {
        handle: ContextHandle = "AliasHandle",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_struct! {
    /// SAMPR_ALIAS_GENERAL_INFORMATION (MS-SAMR 2.2.5.2).
    AliasGeneralInformation {
        name: UnicodeString = "Name",
        members: u32 = "MemberCount",
        comment: UnicodeString = "AdminComment",
    }
}

samr_union! {
    /// SAMPR_ALIAS_INFO_BUFFER (MS-SAMR 2.2.5.6).
    AliasInformation {
        1 => General(AliasGeneralInformation),
        2 => Name(UnicodeString),
        3 => Comment(UnicodeString),
    }
}

impl AliasInformation {
    /// AliasGeneralInformation (MS-SAMR 2.2.5.5).
    pub const GENERAL: Enum16 = Enum16(1);
    /// AliasNameInformation.
    pub const NAME: Enum16 = Enum16(2);
    /// AliasAdminCommentInformation.
    pub const COMMENT: Enum16 = Enum16(3);
}

ndr_call! {
    returns NtStatus;
    /// SamrCreateAliasInDomain (MS-SAMR 3.1.5.4.3): a new local group, and a handle to it.
    14 "SamrCreateAliasInDomain" CreateAliasRequest {
        handle: ContextHandle = "DomainHandle",
        name: UnicodeString = "AccountName",
        desired_access: u32 = "DesiredAccess",
    } => CreateAliasResponse {
        handle: ContextHandle = "AliasHandle",
        rid: u32 = "RelativeId",
    } refused |_| {
        handle: ContextHandle::default(),
        rid: 0,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrQueryInformationAlias (MS-SAMR 3.1.5.5.5): information about a local group.
    28 "SamrQueryInformationAlias" QueryInformationAliasRequest {
        handle: ContextHandle = "AliasHandle",
        class: Enum16 = "AliasInformationClass",
    } => QueryInformationAliasResponse {
        information: Option<AliasInformation> = "Buffer",
    } refused |_| {
        information: None,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrGetMembersInAlias (MS-SAMR 3.1.5.8.3): the members of a local group.
    33 "SamrGetMembersInAlias" GetMembersInAliasRequest {
        handle: ContextHandle = "AliasHandle",
    } => GetMembersInAliasResponse {
        sids: Container<SidInformation> = "Members",
    } refused |_| {
        sids: Container(Vec::new()),
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrSetInformationAlias (MS-SAMR 3.1.5.6.3): a new name or comment of a local group.
    29 "SamrSetInformationAlias" SetInformationAliasRequest {
        handle: ContextHandle = "AliasHandle",
        class: Enum16 = "AliasInformationClass",
        information: AliasInformation = "Buffer",
    } => SetInformationAliasResponse {
    } refused |_| {
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrDeleteAlias (MS-SAMR 3.1.5.7.2): a local group no longer.
    30 "SamrDeleteAlias" DeleteAliasRequest {
        handle: ContextHandle = "AliasHandle",
    } => DeleteAliasResponse {
        handle: ContextHandle = "AliasHandle",
    } refused |request| {
        handle: request.handle,
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrAddMemberToAlias (MS-SAMR 3.1.5.8.4): one more member of a local group.
    31 "SamrAddMemberToAlias" AddMemberToAliasRequest {
        handle: ContextHandle = "AliasHandle",
        sid: Sid = "MemberId",
    } => AddMemberToAliasResponse {
    } refused |_| {
    }
}

ndr_call! {
    returns NtStatus;
    /// SamrRemoveMemberFromAlias (MS-SAMR 3.1.5.8.5): one member less.
    32 "SamrRemoveMemberFromAlias" RemoveMemberFromAliasRequest {
        handle: ContextHandle = "AliasHandle",
        sid: Sid = "MemberId",
    } => RemoveMemberFromAliasResponse {
    } refused |_| {
    }
}
