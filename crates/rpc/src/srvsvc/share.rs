//! Shares: NetrShareAdd to NetrShareCheck, NetrShareDelEx (MS-SRVS 3.1.4.7 to 3.1.4.16).

use crate::call::WithLevel;
use crate::ndr::{ContextHandle, SizedBuffer};

/// `shi*_type`: a directory (MS-SRVS 2.2.2.4).
pub const STYPE_DISKTREE: u32 = 0;
/// `shi*_type`: a print queue.
pub const STYPE_PRINTQ: u32 = 1;
/// `shi*_type`: a communication device.
pub const STYPE_DEVICE: u32 = 2;
/// `shi*_type`: pipes.
pub const STYPE_IPC: u32 = 3;
/// `shi*_type`: an administrative share; combined with another type.
pub const STYPE_SPECIAL: u32 = 0x8000_0000;
/// `shi*_type`: a share that ends with the server; combined with another type.
pub const STYPE_TEMPORARY: u32 = 0x4000_0000;
/// `shi*_max_uses`: no limit.
pub const SHI_USES_UNLIMITED: u32 = 0xffff_ffff;

ndr_struct! {
    /// SHARE_INFO_0 (MS-SRVS 2.2.4.22).
    ShareInfo0 {
        net_name: Option<String> = "shi0_netname",
    }
}

ndr_struct! {
    /// SHARE_INFO_1 (MS-SRVS 2.2.4.23).
    ShareInfo1 {
        net_name: Option<String> = "shi1_netname",
        share_type: u32 = "shi1_type",
        remark: Option<String> = "shi1_remark",
    }
}

ndr_struct! {
    /// SHARE_INFO_2 (MS-SRVS 2.2.4.24).
    ShareInfo2 {
        net_name: Option<String> = "shi2_netname",
        share_type: u32 = "shi2_type",
        remark: Option<String> = "shi2_remark",
        permissions: u32 = "shi2_permissions",
        max_uses: u32 = "shi2_max_uses",
        current_uses: u32 = "shi2_current_uses",
        path: Option<String> = "shi2_path",
        password: Option<String> = "shi2_passwd",
    }
}

ndr_struct! {
    /// SHARE_INFO_501 (MS-SRVS 2.2.4.25).
    ShareInfo501 {
        net_name: Option<String> = "shi501_netname",
        share_type: u32 = "shi501_type",
        remark: Option<String> = "shi501_remark",
        flags: u32 = "shi501_flags",
    }
}

ndr_struct! {
    /// SHARE_INFO_502_I (MS-SRVS 2.2.4.26).
    ShareInfo502 {
        net_name: Option<String> = "shi502_netname",
        share_type: u32 = "shi502_type",
        remark: Option<String> = "shi502_remark",
        permissions: u32 = "shi502_permissions",
        max_uses: u32 = "shi502_max_uses",
        current_uses: u32 = "shi502_current_uses",
        path: Option<String> = "shi502_path",
        password: Option<String> = "shi502_passwd",
        security_descriptor: SizedBuffer = "shi502_reserved, shi502_security_descriptor",
    }
}

ndr_struct! {
    /// SHARE_INFO_503_I (MS-SRVS 2.2.4.27).
    ShareInfo503 {
        net_name: Option<String> = "shi503_netname",
        share_type: u32 = "shi503_type",
        remark: Option<String> = "shi503_remark",
        permissions: u32 = "shi503_permissions",
        max_uses: u32 = "shi503_max_uses",
        current_uses: u32 = "shi503_current_uses",
        path: Option<String> = "shi503_path",
        password: Option<String> = "shi503_passwd",
        server_name: Option<String> = "shi503_servername",
        security_descriptor: SizedBuffer = "shi503_reserved, shi503_security_descriptor",
    }
}

ndr_struct! {
    /// SHARE_INFO_1004 (MS-SRVS 2.2.4.28).
    ShareInfo1004 {
        remark: Option<String> = "shi1004_remark",
    }
}

ndr_struct! {
    /// SHARE_INFO_1005 (MS-SRVS 2.2.4.29).
    ShareInfo1005 {
        flags: u32 = "shi1005_flags",
    }
}

ndr_struct! {
    /// SHARE_INFO_1006 (MS-SRVS 2.2.4.30).
    ShareInfo1006 {
        max_uses: u32 = "shi1006_max_uses",
    }
}

ndr_struct! {
    /// SHARE_INFO_1501_I (MS-SRVS 2.2.4.31).
    ShareInfo1501 {
        security_descriptor: SizedBuffer = "shi1501_reserved, shi1501_security_descriptor",
    }
}

ndr_enum_struct! {
    /// SHARE_ENUM_STRUCT (MS-SRVS 2.2.4.38).
    ShareEnumStruct {
        0 => Level0(ShareInfo0),
        1 => Level1(ShareInfo1),
        2 => Level2(ShareInfo2),
        501 => Level501(ShareInfo501),
        502 => Level502(ShareInfo502),
        503 => Level503(ShareInfo503),
    }
}

ndr_info_union! {
    /// SHARE_INFO (MS-SRVS 2.2.3.6).
    ShareInfo {
        0 => Level0(ShareInfo0),
        1 => Level1(ShareInfo1),
        2 => Level2(ShareInfo2),
        501 => Level501(ShareInfo501),
        502 => Level502(ShareInfo502),
        503 => Level503(ShareInfo503),
        1004 => Level1004(ShareInfo1004),
        1005 => Level1005(ShareInfo1005),
        1006 => Level1006(ShareInfo1006),
        1501 => Level1501(ShareInfo1501),
    }
}

ndr_call! {
    /// NetrShareAdd (MS-SRVS 3.1.4.7): share a directory.
    14 "NetrShareAdd" ShareAddRequest {
        server_name: Option<String> = "ServerName",
        info: WithLevel<ShareInfo> = "Level, InfoStruct",
        parameter_error: Option<u32> = "ParmErr",
    } => ShareAddResponse {
        parameter_error: Option<u32> = "ParmErr",
    } refused |request| {
        parameter_error: request.parameter_error,
    }
}

ndr_call! {
    /// NetrShareEnum (MS-SRVS 3.1.4.8): the shares.
    15 "NetrShareEnum" ShareEnumRequest {
        server_name: Option<String> = "ServerName",
        info: ShareEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => ShareEnumResponse {
        info: ShareEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: ShareEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_call! {
    /// NetrShareEnumSticky (MS-SRVS 3.1.4.9): the shares that outlive a restart.
    36 "NetrShareEnumSticky" ShareEnumStickyRequest {
        server_name: Option<String> = "ServerName",
        info: ShareEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => ShareEnumStickyResponse {
        info: ShareEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: ShareEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}

ndr_call! {
    /// NetrShareGetInfo (MS-SRVS 3.1.4.10): one share.
    16 "NetrShareGetInfo" ShareGetInfoRequest {
        server_name: Option<String> = "ServerName",
        net_name: String = "NetName",
        level: u32 = "Level",
    } => ShareGetInfoResponse {
        info: ShareInfo = "InfoStruct",
    } refused |request| {
        info: ShareInfo::Absent(request.level),
    }
}

ndr_call! {
    /// NetrShareSetInfo (MS-SRVS 3.1.4.11): change a share.
    17 "NetrShareSetInfo" ShareSetInfoRequest {
        server_name: Option<String> = "ServerName",
        net_name: String = "NetName",
        info: WithLevel<ShareInfo> = "Level, ShareInfo",
        parameter_error: Option<u32> = "ParmErr",
    } => ShareSetInfoResponse {
        parameter_error: Option<u32> = "ParmErr",
    } refused |request| {
        parameter_error: request.parameter_error,
    }
}

ndr_call! {
    /// NetrShareDel (MS-SRVS 3.1.4.12): share no longer.
    18 "NetrShareDel" ShareDelRequest {
        server_name: Option<String> = "ServerName",
        net_name: String = "NetName",
        reserved: u32 = "Reserved",
    } => ShareDelResponse {
    } refused |_| {
    }
}

ndr_call! {
    /// NetrShareDelSticky (MS-SRVS 3.1.4.13): share no longer after the next restart.
    19 "NetrShareDelSticky" ShareDelStickyRequest {
        server_name: Option<String> = "ServerName",
        net_name: String = "NetName",
        reserved: u32 = "Reserved",
    } => ShareDelStickyResponse {
    } refused |_| {
    }
}

ndr_call! {
    /// NetrShareDelStart (MS-SRVS 3.1.4.14): announce the end of a share.
    37 "NetrShareDelStart" ShareDelStartRequest {
        server_name: Option<String> = "ServerName",
        net_name: String = "NetName",
        reserved: u32 = "Reserved",
    } => ShareDelStartResponse {
        context_handle: ContextHandle = "ContextHandle",
    } refused |_| {
        context_handle: ContextHandle::default(),
    }
}

ndr_call! {
    /// NetrShareDelCommit (MS-SRVS 3.1.4.15): completes an announced deletion.
    38 "NetrShareDelCommit" ShareDelCommitRequest {
        context_handle: ContextHandle = "ContextHandle",
    } => ShareDelCommitResponse {
        context_handle: ContextHandle = "ContextHandle",
    } refused |request| {
        context_handle: request.context_handle,
    }
}

ndr_call! {
    /// NetrShareCheck (MS-SRVS 3.1.4.16): checks if a device is shared.
    20 "NetrShareCheck" ShareCheckRequest {
        server_name: Option<String> = "ServerName",
        device: String = "Device",
    } => ShareCheckResponse {
        share_type: u32 = "Type",
    } refused |_| {
        share_type: 0,
    }
}

ndr_call! {
    /// NetrShareDelEx (MS-SRVS 3.1.4.47): share no longer, with the scope in level 503.
    57 "NetrShareDelEx" ShareDelExRequest {
        server_name: Option<String> = "ServerName",
        info: WithLevel<ShareInfo> = "Level, ShareInfo",
    } => ShareDelExResponse {
    } refused |_| {
    }
}
