//! MS-WKST: the workstation service, on `\PIPE\wkssvc`, as far as administrators' tools ask it.

pub mod names;
pub mod refused;

pub use names::*;
pub use refused::*;

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

ndr_struct! {
    /// WKSTA_INFO_502 (MS-WKST 2.2.5.4).
    WkstaInfo502 {
        char_wait: u32 = "wki502_char_wait",
        collection_time: u32 = "wki502_collection_time",
        maximum_collection_count: u32 = "wki502_maximum_collection_count",
        keep_conn: u32 = "wki502_keep_conn",
        max_cmds: u32 = "wki502_max_cmds",
        sess_timeout: u32 = "wki502_sess_timeout",
        siz_char_buf: u32 = "wki502_siz_char_buf",
        max_threads: u32 = "wki502_max_threads",
        lock_quota: u32 = "wki502_lock_quota",
        lock_increment: u32 = "wki502_lock_increment",
        lock_maximum: u32 = "wki502_lock_maximum",
        pipe_increment: u32 = "wki502_pipe_increment",
        pipe_maximum: u32 = "wki502_pipe_maximum",
        cache_file_timeout: u32 = "wki502_cache_file_timeout",
        dormant_file_limit: u32 = "wki502_dormant_file_limit",
        read_ahead_throughput: u32 = "wki502_read_ahead_throughput",
        num_mailslot_buffers: u32 = "wki502_num_mailslot_buffers",
        num_srv_announce_buffers: u32 = "wki502_num_srv_announce_buffers",
        max_illegal_datagram_events: u32 = "wki502_max_illegal_datagram_events",
        datagram_event_reset_frequency: u32 = "wki502_datagram_event_reset_frequency",
        log_election_packets: u32 = "wki502_log_election_packets",
        use_opportunistic_locking: u32 = "wki502_use_opportunistic_locking",
        use_unlock_behind: u32 = "wki502_use_unlock_behind",
        use_close_behind: u32 = "wki502_use_close_behind",
        buf_named_pipes: u32 = "wki502_buf_named_pipes",
        use_lock_read_unlock: u32 = "wki502_use_lock_read_unlock",
        utilize_nt_caching: u32 = "wki502_utilize_nt_caching",
        use_raw_read: u32 = "wki502_use_raw_read",
        use_raw_write: u32 = "wki502_use_raw_write",
        use_write_raw_data: u32 = "wki502_use_write_raw_data",
        use_encryption: u32 = "wki502_use_encryption",
        buf_files_deny_write: u32 = "wki502_buf_files_deny_write",
        buf_read_only_files: u32 = "wki502_buf_read_only_files",
        force_core_create_mode: u32 = "wki502_force_core_create_mode",
        use_512_byte_max_transfer: u32 = "wki502_use_512_byte_max_transfer",
    }
}

ndr_info_union! {
    /// WKSTA_INFO (MS-WKST 2.2.4.1).
    WkstaInfo {
        100 => Level100(WkstaInfo100),
        101 => Level101(WkstaInfo101),
        102 => Level102(WkstaInfo102),
        502 => Level502(WkstaInfo502),
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

ndr_struct! {
    /// WKSTA_TRANSPORT_INFO_0 (MS-WKST 2.2.5.8).
    WkstaTransportInfo0 {
        quality_of_service: u32 = "wkti0_quality_of_service",
        number_of_vcs: u32 = "wkti0_number_of_vcs",
        transport_name: Option<String> = "wkti0_transport_name",
        transport_address: Option<String> = "wkti0_transport_address",
        wan_ish: u32 = "wkti0_wan_ish",
    }
}

ndr_enum_struct! {
    /// WKSTA_TRANSPORT_ENUM_STRUCT (MS-WKST 2.2.5.16).
    WkstaTransportEnumStruct {
        0 => Level0(WkstaTransportInfo0),
    }
}

ndr_call! {
    /// NetrWkstaTransportEnum (MS-WKST 3.2.4.4): the addresses of the computer.
    5 "NetrWkstaTransportEnum" WkstaTransportEnumRequest {
        server_name: Option<String> = "ServerName",
        info: WkstaTransportEnumStruct = "TransportInfo",
        preferred_maximum_length: u32 = "PreferredMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => WkstaTransportEnumResponse {
        info: WkstaTransportEnumStruct = "TransportInfo",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: WkstaTransportEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_call! {
    /// NetrWkstaGetInfo (MS-WKST 3.2.4.1): information about the computer.
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
    /// NetrWkstaUserEnum (MS-WKST 3.2.4.3): the users who are logged on.
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
    /// NetrWkstaTransportEnum.
    WkstaTransportEnum(WkstaTransportEnumRequest => WkstaTransportEnumResponse),
    /// NetrGetJoinInformation.
    GetJoinInformation(GetJoinInformationRequest => GetJoinInformationResponse),
    /// NetrEnumerateComputerNames.
    EnumerateComputerNames(EnumerateComputerNamesRequest => EnumerateComputerNamesResponse),
}

#[cfg(test)]
mod tests;
