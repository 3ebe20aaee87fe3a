//! Sessions: NetrSessionEnum, NetrSessionDel (MS-SRVS 3.1.4.5, 3.1.4.6).

/// `sesi*_user_flags`: a guest (MS-SRVS 2.2.2.3).
pub const SESS_GUEST: u32 = 1;
/// `sesi*_user_flags`: the password was not encrypted (MS-SRVS 2.2.2.3).
pub const SESS_NOENCRYPTION: u32 = 2;

ndr_struct! {
    /// SESSION_INFO_0 (MS-SRVS 2.2.4.11).
    SessionInfo0 {
        client_name: Option<String> = "sesi0_cname",
    }
}

ndr_struct! {
    /// SESSION_INFO_1 (MS-SRVS 2.2.4.12).
    SessionInfo1 {
        client_name: Option<String> = "sesi1_cname",
        user_name: Option<String> = "sesi1_username",
        num_opens: u32 = "sesi1_num_opens",
        time: u32 = "sesi1_time",
        idle_time: u32 = "sesi1_idle_time",
        user_flags: u32 = "sesi1_user_flags",
    }
}

ndr_struct! {
    /// SESSION_INFO_2 (MS-SRVS 2.2.4.13).
    SessionInfo2 {
        client_name: Option<String> = "sesi2_cname",
        user_name: Option<String> = "sesi2_username",
        num_opens: u32 = "sesi2_num_opens",
        time: u32 = "sesi2_time",
        idle_time: u32 = "sesi2_idle_time",
        user_flags: u32 = "sesi2_user_flags",
        client_type_name: Option<String> = "sesi2_cltype_name",
    }
}

ndr_struct! {
    /// SESSION_INFO_10 (MS-SRVS 2.2.4.14).
    SessionInfo10 {
        client_name: Option<String> = "sesi10_cname",
        user_name: Option<String> = "sesi10_username",
        time: u32 = "sesi10_time",
        idle_time: u32 = "sesi10_idle_time",
    }
}

ndr_struct! {
    /// SESSION_INFO_502 (MS-SRVS 2.2.4.15).
    SessionInfo502 {
        client_name: Option<String> = "sesi502_cname",
        user_name: Option<String> = "sesi502_username",
        num_opens: u32 = "sesi502_num_opens",
        time: u32 = "sesi502_time",
        idle_time: u32 = "sesi502_idle_time",
        user_flags: u32 = "sesi502_user_flags",
        client_type_name: Option<String> = "sesi502_cltype_name",
        transport: Option<String> = "sesi502_transport",
    }
}

ndr_enum_struct! {
    /// SESSION_ENUM_STRUCT (MS-SRVS 2.2.4.21).
    SessionEnumStruct {
        0 => Level0(SessionInfo0),
        1 => Level1(SessionInfo1),
        2 => Level2(SessionInfo2),
        10 => Level10(SessionInfo10),
        502 => Level502(SessionInfo502),
    }
}

ndr_call! {
    /// NetrSessionEnum (MS-SRVS 3.1.4.5): the sessions from a client, of a user, or all.
    12 "NetrSessionEnum" SessionEnumRequest {
        server_name: Option<String> = "ServerName",
        client_name: Option<String> = "ClientName",
        user_name: Option<String> = "UserName",
        info: SessionEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => SessionEnumResponse {
        info: SessionEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: SessionEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_call! {
    /// NetrSessionDel (MS-SRVS 3.1.4.6): end the sessions from a client, of a user, or both.
    13 "NetrSessionDel" SessionDelRequest {
        server_name: Option<String> = "ServerName",
        client_name: Option<String> = "ClientName",
        user_name: Option<String> = "UserName",
    } => SessionDelResponse {
    } refused |_| {
    }
}
