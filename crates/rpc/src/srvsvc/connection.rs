//! Connections, which are tree connects: NetrConnectionEnum (MS-SRVS 3.1.4.1).

ndr_struct! {
    /// CONNECTION_INFO_0 (MS-SRVS 2.2.4.1).
    ConnectionInfo0 {
        id: u32 = "coni0_id",
    }
}

ndr_struct! {
    /// CONNECTION_INFO_1 (MS-SRVS 2.2.4.2).
    ConnectionInfo1 {
        id: u32 = "coni1_id",
        connection_type: u32 = "coni1_type",
        num_opens: u32 = "coni1_num_opens",
        num_users: u32 = "coni1_num_users",
        time: u32 = "coni1_time",
        user_name: Option<String> = "coni1_username",
        net_name: Option<String> = "coni1_netname",
    }
}

ndr_enum_struct! {
    /// CONNECT_ENUM_STRUCT (MS-SRVS 2.2.4.5).
    ConnectionEnumStruct {
        0 => Level0(ConnectionInfo0),
        1 => Level1(ConnectionInfo1),
    }
}

ndr_call! {
    /// NetrConnectionEnum (MS-SRVS 3.1.4.1): the tree connects to a share, or from a client.
    8 "NetrConnectionEnum" ConnectionEnumRequest {
        server_name: Option<String> = "ServerName",
        qualifier: Option<String> = "Qualifier",
        info: ConnectionEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => ConnectionEnumResponse {
        info: ConnectionEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: ConnectionEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}
