//! Names and paths: NetprPathType to NetprNameCompare (MS-SRVS 3.1.4.29 to 3.1.4.34).

ndr_call! {
    /// NetprPathType (MS-SRVS 3.1.4.29): the kind of a path.
    30 "NetprPathType" PathTypeRequest {
        server_name: Option<String> = "ServerName",
        path_name: String = "PathName",
        flags: u32 = "Flags",
    } => PathTypeResponse {
        path_type: u32 = "PathType",
    } refused |_| {
        path_type: 0,
    }
}

ndr_call! {
    /// NetprPathCanonicalize (MS-SRVS 3.1.4.30): a path in its canonical form.
    31 "NetprPathCanonicalize" PathCanonicalizeRequest {
        server_name: Option<String> = "ServerName",
        path_name: String = "PathName",
        outbuf_len: u32 = "OutbufLen",
        prefix: String = "Prefix",
        path_type: u32 = "PathType",
        flags: u32 = "Flags",
    } => PathCanonicalizeResponse {
        outbuf: Vec<u8> = "Outbuf",
        path_type: u32 = "PathType",
    } refused |request| {
        outbuf: vec![0; outbuf_len(request.outbuf_len)],
        path_type: request.path_type,
    }
}

ndr_call! {
    /// NetprPathCompare (MS-SRVS 3.1.4.31): compares two paths; the status is the result.
    32 "NetprPathCompare" PathCompareRequest {
        server_name: Option<String> = "ServerName",
        path_name_1: String = "PathName1",
        path_name_2: String = "PathName2",
        path_type: u32 = "PathType",
        flags: u32 = "Flags",
    } => PathCompareResponse {
    } refused |_| {
    }
}

ndr_call! {
    /// NetprNameValidate (MS-SRVS 3.1.4.32): checks a name of a kind.
    33 "NetprNameValidate" NameValidateRequest {
        server_name: Option<String> = "ServerName",
        name: String = "Name",
        name_type: u32 = "NameType",
        flags: u32 = "Flags",
    } => NameValidateResponse {
    } refused |_| {
    }
}

ndr_call! {
    /// NetprNameCanonicalize (MS-SRVS 3.1.4.33): a name in its canonical form.
    34 "NetprNameCanonicalize" NameCanonicalizeRequest {
        server_name: Option<String> = "ServerName",
        name: String = "Name",
        outbuf_len: u32 = "OutbufLen",
        name_type: u32 = "NameType",
        flags: u32 = "Flags",
    } => NameCanonicalizeResponse {
        outbuf: Vec<u16> = "Outbuf",
    } refused |request| {
        outbuf: vec![0; outbuf_len(request.outbuf_len)],
    }
}

ndr_call! {
    /// NetprNameCompare (MS-SRVS 3.1.4.34): compares two names; the status is the result.
    35 "NetprNameCompare" NameCompareRequest {
        server_name: Option<String> = "ServerName",
        name_1: String = "Name1",
        name_2: String = "Name2",
        name_type: u32 = "NameType",
        flags: u32 = "Flags",
    } => NameCompareResponse {
    } refused |_| {
    }
}

/// The buffer's size in a refusal: the size that the client provides, within the range of the IDL.
fn outbuf_len(asked: u32) -> usize {
    usize::try_from(asked.min(crate::limits::OUTBUF_LEN_MAX)).unwrap_or(0)
}
