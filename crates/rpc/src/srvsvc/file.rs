//! Opens: NetrFileEnum, NetrFileGetInfo, NetrFileClose (MS-SRVS 3.1.4.2 to 3.1.4.4).

ndr_struct! {
    /// FILE_INFO_2 (MS-SRVS 2.2.4.6).
    FileInfo2 {
        id: u32 = "fi2_id",
    }
}

ndr_struct! {
    /// FILE_INFO_3 (MS-SRVS 2.2.4.7).
    FileInfo3 {
        id: u32 = "fi3_id",
        permissions: u32 = "fi3_permissions",
        num_locks: u32 = "fi3_num_locks",
        path_name: Option<String> = "fi3_path_name",
        user_name: Option<String> = "fi3_username",
    }
}

ndr_enum_struct! {
    /// FILE_ENUM_STRUCT (MS-SRVS 2.2.4.10).
    FileEnumStruct {
        2 => Level2(FileInfo2),
        3 => Level3(FileInfo3),
    }
}

ndr_info_union! {
    /// FILE_INFO (MS-SRVS 2.2.3.3).
    FileInfo {
        2 => Level2(FileInfo2),
        3 => Level3(FileInfo3),
    }
}

ndr_call! {
    /// NetrFileEnum (MS-SRVS 3.1.4.2): the opens below a path, of a user, or of a client if the user name begins with
    /// `\\`.
    9 "NetrFileEnum" FileEnumRequest {
        server_name: Option<String> = "ServerName",
        base_path: Option<String> = "BasePath",
        user_name: Option<String> = "UserName",
        info: FileEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => FileEnumResponse {
        info: FileEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: FileEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_call! {
    /// NetrFileGetInfo (MS-SRVS 3.1.4.3): one open.
    10 "NetrFileGetInfo" FileGetInfoRequest {
        server_name: Option<String> = "ServerName",
        file_id: u32 = "FileId",
        level: u32 = "Level",
    } => FileGetInfoResponse {
        info: FileInfo = "InfoStruct",
    } refused |request| {
        info: FileInfo::Absent(request.level),
    }
}

ndr_call! {
    /// NetrFileClose (MS-SRVS 3.1.4.4): close an open.
    11 "NetrFileClose" FileCloseRequest {
        server_name: Option<String> = "ServerName",
        file_id: u32 = "FileId",
    } => FileCloseResponse {
    } refused |_| {
    }
}
