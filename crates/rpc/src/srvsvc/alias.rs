//! Further names of the server: NetrServerAliasEnum (MS-SRVS 3.1.4.47).

ndr_struct! {
    /// SERVER_ALIAS_INFO_0 (MS-SRVS 2.2.4.102).
    ServerAliasInfo0 {
        alias: Option<String> = "srvai0_alias",
        target: Option<String> = "srvai0_target",
        default: u32 = "srvai0_default, srvai0_reserved",
        reserved: u32 = "srvai0_reserved",
    }
}

ndr_enum_struct! {
    /// SERVER_ALIAS_ENUM_STRUCT (MS-SRVS 2.2.4.104).
    ServerAliasEnumStruct {
        0 => Level0(ServerAliasInfo0),
    }
}

ndr_call! {
    /// NetrServerAliasEnum (MS-SRVS 3.1.4.47): the server's further names.
    55 "NetrServerAliasEnum" ServerAliasEnumRequest {
        server_name: Option<String> = "ServerName",
        info: ServerAliasEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => ServerAliasEnumResponse {
        info: ServerAliasEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: ServerAliasEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}
