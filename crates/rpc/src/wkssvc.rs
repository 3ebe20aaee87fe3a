//! MS-WKST: the workstation service, on `\PIPE\wkssvc`, as far as administrators' tools ask it.

use crate::association::Endpoint;
use crate::uuid::{InterfaceId, Uuid};

/// The interface (MS-WKST 1.9).
pub const INTERFACE: InterfaceId = InterfaceId {
    uuid: Uuid::from_fields(0x6bffd098, 0xa112, 0x3610, [0x98, 0x33, 0x46, 0xc3, 0xf8, 0x7e, 0x34, 0x5a]),
    major: 1,
    minor: 0,
};

/// The pipe it is reached by.
pub const ENDPOINT: Endpoint = Endpoint { pipe: "wkssvc", interfaces: &[INTERFACE] };

ndr_struct! {
    /// WKSTA_INFO_100 (MS-WKST 2.2.5.1).
    WkstaInfo100 {
        platform_id: u32 = "wki100_platform_id",
        computer_name: Option<String> = "wki100_computername",
        lan_group: Option<String> = "wki100_langroup",
        version_major: u32 = "wki100_ver_major",
        version_minor: u32 = "wki100_ver_minor",
    }
}

ndr_struct! {
    /// WKSTA_INFO_101 (MS-WKST 2.2.5.2).
    WkstaInfo101 {
        platform_id: u32 = "wki101_platform_id",
        computer_name: Option<String> = "wki101_computername",
        lan_group: Option<String> = "wki101_langroup",
        version_major: u32 = "wki101_ver_major",
        version_minor: u32 = "wki101_ver_minor",
        lan_root: Option<String> = "wki101_lanroot",
    }
}

ndr_struct! {
    /// WKSTA_INFO_102 (MS-WKST 2.2.5.3).
    WkstaInfo102 {
        platform_id: u32 = "wki102_platform_id",
        computer_name: Option<String> = "wki102_computername",
        lan_group: Option<String> = "wki102_langroup",
        version_major: u32 = "wki102_ver_major",
        version_minor: u32 = "wki102_ver_minor",
        lan_root: Option<String> = "wki102_lanroot",
        logged_on_users: u32 = "wki102_logged_on_users",
    }
}

ndr_info_union! {
    /// WKSTA_INFO (MS-WKST 2.2.4.1).
    WkstaInfo {
        100 => Level100(WkstaInfo100),
        101 => Level101(WkstaInfo101),
        102 => Level102(WkstaInfo102),
    }
}

ndr_struct! {
    /// WKSTA_USER_INFO_0 (MS-WKST 2.2.5.9).
    WkstaUserInfo0 {
        user_name: Option<String> = "wkui0_username",
    }
}

ndr_struct! {
    /// WKSTA_USER_INFO_1 (MS-WKST 2.2.5.10).
    WkstaUserInfo1 {
        user_name: Option<String> = "wkui1_username",
        logon_domain: Option<String> = "wkui1_logon_domain",
        other_domains: Option<String> = "wkui1_oth_domains",
        logon_server: Option<String> = "wkui1_logon_server",
    }
}

ndr_enum_struct! {
    /// WKSTA_USER_ENUM_STRUCT (MS-WKST 2.2.5.14).
    WkstaUserEnumStruct {
        0 => Level0(WkstaUserInfo0),
        1 => Level1(WkstaUserInfo1),
    }
}

ndr_call! {
    /// NetrWkstaGetInfo (MS-WKST 3.2.4.1): what the computer is.
    0 "NetrWkstaGetInfo" WkstaGetInfoRequest {
        server_name: Option<String> = "ServerName",
        level: u32 = "Level",
    } => WkstaGetInfoResponse {
        info: WkstaInfo = "WkstaInfo",
    } refused |request| {
        info: WkstaInfo::Absent(request.level),
    }
}

ndr_call! {
    /// NetrWkstaUserEnum (MS-WKST 3.2.4.3): who is logged on.
    2 "NetrWkstaUserEnum" WkstaUserEnumRequest {
        server_name: Option<String> = "ServerName",
        info: WkstaUserEnumStruct = "UserInfo",
        preferred_maximum_length: u32 = "PreferredMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => WkstaUserEnumResponse {
        info: WkstaUserEnumStruct = "UserInfo",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: WkstaUserEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_interface! {
    /// NetrWkstaGetInfo.
    WkstaGetInfo(WkstaGetInfoRequest => WkstaGetInfoResponse),
    /// NetrWkstaUserEnum.
    WkstaUserEnum(WkstaUserEnumRequest => WkstaUserEnumResponse),
}

#[cfg(test)]
mod tests;
