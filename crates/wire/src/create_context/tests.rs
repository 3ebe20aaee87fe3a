use proptest::prelude::*;

use super::*;
use crate::security::{Acl, Sid};

fn chain(contexts: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    contexts.iter().for_each(|(name, data)| CreateContexts::append(&mut out, 0, name, data));
    out
}

fn request(contexts: &[(&[u8], &[u8])]) -> Result<(), DecodeError> {
    CreateContextsRequest::decode(CreateContexts(&chain(contexts))).map(drop)
}

/// The contexts of Windows' opens: DH2Q, MxAc, QFid and a lease.
#[test]
fn usual_request() {
    let guid = Guid([7; 16]);
    let request = CreateContextsRequest {
        durable_request_v2: Some(DurableRequestV2 { timeout_ms: 0, flags: 0, create_guid: guid }),
        maximal_access: Some(FileTime::NONE),
        query_on_disk_id: true,
        lease: Some(LeaseContext {
            key: guid,
            state: LeaseState::READ | LeaseState::HANDLE,
            flags: LeaseFlags::PARENT_LEASE_KEY_SET,
            v2: Some(LeaseV2 { parent_key: Guid([8; 16]), epoch: 1 }),
        }),
        ..CreateContextsRequest::default()
    };
    let mut out = Vec::new();
    request.encode(&mut out).unwrap();
    let contexts = CreateContexts(&out);
    let lengths: Vec<_> = contexts.iter().map(|context| context.unwrap().data.len()).collect();
    assert_eq!(lengths, [0, 0, 52, 32]);
    assert_eq!(CreateContextsRequest::decode(contexts), Ok(request));
}

#[test]
fn everything_at_once_survives() {
    let request = CreateContextsRequest {
        extended_attributes: Some(b"\0\0\0\0\0\x01\0\0A\0"),
        security_descriptor: Some(SecurityDescriptor::new(Sid::SYSTEM, Sid::SYSTEM, Acl::default())),
        durable_request: true,
        durable_reconnect: Some(FileId { persistent: 1, volatile: 2 }),
        allocation_size: Some(3),
        maximal_access: Some(FileTime(4)),
        timewarp: Some(FileTime(5)),
        query_on_disk_id: true,
        lease: Some(LeaseContext {
            key: Guid([6; 16]),
            state: LeaseState::READ,
            flags: LeaseFlags::NONE,
            v2: None,
        }),
        durable_request_v2: Some(DurableRequestV2 { timeout_ms: 7, flags: 2, create_guid: Guid([8; 16]) }),
        durable_reconnect_v2: Some(DurableReconnectV2 {
            file_id: FileId { persistent: 9, volatile: 10 },
            create_guid: Guid([11; 16]),
            flags: 2,
        }),
        app_instance_id: Some(Guid([12; 16])),
        app_instance_version: Some(AppInstanceVersion { padding: 0, high: 13, low: 14 }),
        aapl: Some(AaplRequest::ServerQuery {
            parts: AaplParts(7),
            client_caps: AaplServerCaps::READ_DIR_ATTR,
        }),
        posix_mode: Some(0o644),
    };
    let mut out = Vec::new();
    request.encode(&mut out).unwrap();
    assert_eq!(CreateContextsRequest::decode(CreateContexts(&out)), Ok(request));
    let sizes: Vec<_> = CreateContexts(&out)
        .iter()
        .map(Result::unwrap)
        .filter(|context| matches!(context.name, names::APP_INSTANCE_ID | names::APP_INSTANCE_VERSION))
        .map(|context| context.data.len())
        .collect();
    assert_eq!(sizes, [20, 24]);
}

#[test]
fn malformed_and_doubled_contexts_are_refused_and_unknown_ones_not() {
    assert_eq!(request(&[(b"ZzZz", b"what"), (b"longer name", b"")]), Ok(()));
    assert!(request(&[(b"abc", b"")]).is_err());
    assert!(request(&[(b"MxAc", b""), (b"MxAc", b"")]).is_err());
    assert!(request(&[(b"DHnQ", &[0; 16]), (b"DHnQ", &[0; 16])]).is_err());
    for (name, length) in [
        (&b"DHnQ"[..], 15),
        (b"DHnC", 17),
        (b"DH2Q", 31),
        (b"DH2C", 32),
        (b"MxAc", 7),
        (b"TWrp", 0),
        (b"AlSi", 4),
        (b"RqLs", 31),
        (b"RqLs", 40),
        (b"RqLs", 53),
        (b"AAPL", 7),
        (b"SecD", 19),
        (names::APP_INSTANCE_ID, 20),
        (names::APP_INSTANCE_VERSION, 24),
        (names::POSIX, 3),
    ] {
        assert!(request(&[(name, &vec![0; length])]).is_err(), "{name:?} {length}");
    }
}

#[test]
fn responses_survive_and_have_their_sizes() {
    let response = CreateContextsResponse {
        durable: true,
        durable_v2: Some(DurableResponseV2 { timeout_ms: 60_000, flags: 2 }),
        maximal_access: Some(MaximalAccess { status: NtStatus(0), access: AccessMask::FILE_ALL }),
        disk_id: Some(DiskId { file_id: 1, volume_id: 2 }),
        lease: Some(LeaseContext {
            key: Guid([1; 16]),
            state: LeaseState::READ,
            flags: LeaseFlags::BREAK_IN_PROGRESS,
            v2: Some(LeaseV2 { parent_key: Guid([0; 16]), epoch: 3 }),
        }),
        aapl: Some(AaplServerAnswer {
            server_caps: Some(AaplServerCaps::UNIX_BASED),
            volume_caps: Some(AaplVolumeCaps::FULL_SYNC),
            model: Some("MacSamba".into()),
        }),
        posix: Some(PosixAttributes { links: 2, owner: Sid::WORLD, ..PosixAttributes::default() }),
    };
    let mut out = Vec::new();
    response.encode(&mut out);
    let lengths: Vec<_> = CreateContexts(&out).iter().map(|context| context.unwrap().data.len()).collect();
    assert_eq!(lengths, [8, 8, 8, 32, 52, 56, 32]);
    assert_eq!(CreateContextsResponse::decode(CreateContexts(&out)), Ok(response));
    let mut out = Vec::new();
    CreateContextsResponse::default().encode(&mut out);
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn any_data_never_panics(
        name in proptest::sample::select(&[
            names::EA_BUFFER, names::SD_BUFFER, names::DURABLE_HANDLE_REQUEST, names::REQUEST_LEASE,
            names::APP_INSTANCE_ID, names::APP_INSTANCE_VERSION, names::AAPL, names::POSIX,
            names::QUERY_MAXIMAL_ACCESS, names::DURABLE_HANDLE_RECONNECT_V2,
        ][..]),
        data in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let chain = chain(&[(name, &data)]);
        let _ = CreateContextsRequest::decode(CreateContexts(&chain));
        let _ = CreateContextsResponse::decode(CreateContexts(&chain));
        let _ = CreateContextsRequest::decode(CreateContexts(&data));
    }
}
