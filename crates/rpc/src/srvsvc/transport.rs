//! Transports: NetrServerTransportEnum (MS-SRVS 3.1.4.24).

use crate::ndr::BufferSized;

ndr_struct! {
    /// SERVER_TRANSPORT_INFO_0 (MS-SRVS 2.2.4.93).
    ServerTransportInfo0 {
        number_of_vcs: u32 = "svti0_numberofvcs",
        transport_name: Option<String> = "svti0_transportname",
        transport_address: BufferSized = "svti0_transportaddress, svti0_transportaddresslength",
        network_address: Option<String> = "svti0_networkaddress",
    }
}

ndr_struct! {
    /// SERVER_TRANSPORT_INFO_1 (MS-SRVS 2.2.4.94).
    ServerTransportInfo1 {
        number_of_vcs: u32 = "svti1_numberofvcs",
        transport_name: Option<String> = "svti1_transportname",
        transport_address: BufferSized = "svti1_transportaddress, svti1_transportaddresslength",
        network_address: Option<String> = "svti1_networkaddress",
        domain: Option<String> = "svti1_domain",
    }
}

ndr_enum_struct! {
    /// SERVER_XPORT_ENUM_STRUCT (MS-SRVS 2.2.4.101).
    ServerTransportEnumStruct {
        0 => Level0(ServerTransportInfo0),
        1 => Level1(ServerTransportInfo1),
    }
}

ndr_call! {
    /// NetrServerTransportEnum (MS-SRVS 3.1.4.24): the addresses on which the server listens.
    26 "NetrServerTransportEnum" ServerTransportEnumRequest {
        server_name: Option<String> = "ServerName",
        info: ServerTransportEnumStruct = "InfoStruct",
        preferred_maximum_length: u32 = "PreferedMaximumLength",
        resume_handle: Option<u32> = "ResumeHandle",
    } => ServerTransportEnumResponse {
        info: ServerTransportEnumStruct = "InfoStruct",
        total_entries: u32 = "TotalEntries",
        resume_handle: Option<u32> = "ResumeHandle",
    } refused |request| {
        info: ServerTransportEnumStruct::empty(request.info.level()),
        total_entries: 0,
        resume_handle: request.resume_handle,
    }
}
