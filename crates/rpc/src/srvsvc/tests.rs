use proptest::prelude::*;

use super::*;
use crate::Win32Error;
use crate::call::{Call, DecodeError, RefusedCall, Stub};
use crate::entropy::{Any, Entropy};
use crate::fault::Fault;
use crate::ndr::NdrError;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn requests_round_trip(seed in prop::collection::vec(any::<u8>(), 0..200)) {
        let request: Request = Any::any(&mut Entropy(&seed));
        let stub = request.encode();
        prop_assert_eq!(Request::decode(request.opnum(), &stub), Ok(request));
    }

    #[test]
    fn responses_round_trip(seed in prop::collection::vec(any::<u8>(), 0..400)) {
        let response: Response = Any::any(&mut Entropy(&seed));
        let stub = response.encode();
        prop_assert_eq!(Response::decode(response.opnum(), &stub), Ok(response));
    }

    /// A refusal echoes the level, carries the status, and can be read by the client.
    #[test]
    fn refusals_round_trip(seed in prop::collection::vec(any::<u8>(), 0..200)) {
        let request: Request = Any::any(&mut Entropy(&seed));
        let refusal = request.refuse(Win32Error::ACCESS_DENIED);
        prop_assert_eq!(refusal.status(), Win32Error::ACCESS_DENIED);
        prop_assert_eq!(Response::decode(request.opnum(), &refusal.encode()), Ok(refusal));
    }

    /// Neither direction panics, and a decoded value takes at most a few times the memory of the stub: every entry
    /// takes at least its fixed part, and every unit of a string at most three octets.
    #[test]
    fn arbitrary_stubs_are_read_or_refused(
        opnum in 0u16..60,
        stub in prop::collection::vec(prop_oneof![4 => 0u8..4, 1 => any::<u8>()], 0..300),
    ) {
        let opnum = Request::OPNUMS.get(usize::from(opnum)).copied().unwrap_or(opnum);
        if let Ok(request) = Request::decode(opnum, &stub) {
            prop_assert!(request.encode().len() <= 4 * stub.len() + 64 + 2 * limit_of(&request));
            request.refuse(Win32Error::INVALID_LEVEL).encode();
        }
        if let Ok(response) = Response::decode(opnum, &stub) {
            prop_assert!(response.encode().len() <= 4 * stub.len() + 64);
        }
    }

    /// A request cut or changed anywhere is read or refused.
    #[test]
    fn mutated_requests_are_read_or_refused(
        seed in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let request: Request = Any::any(&mut Entropy(&seed));
        let mut stub = request.encode();
        let cut = cut.index(stub.len() + 1);
        let _ = Request::decode(request.opnum(), &stub[..cut]);
        if !stub.is_empty() {
            let at = at.index(stub.len());
            stub[at] = octet;
        }
        let _ = Request::decode(request.opnum(), &stub);
    }
}

/// A list of disks is written longer than it was read if a terminator was missing.
fn limit_of(request: &Request) -> usize {
    match request {
        Request::ServerDiskEnum(request) => 8 * request.disks.disks.len(),
        _ => 0,
    }
}

#[test]
fn an_unknown_level_is_decoded_and_refused_with_its_level() {
    for level in [3, 99, 0xffff_ffff] {
        let request = SessionEnumRequest {
            server_name: Some("\\\\server".to_owned()),
            client_name: None,
            user_name: None,
            info: SessionEnumStruct::Absent(level),
            preferred_maximum_length: MAX_PREFERRED_LENGTH,
            resume_handle: Some(5),
        };
        let decoded = SessionEnumRequest::decode(&request.encode()).unwrap();
        assert_eq!(decoded, request);
        let refusal = decoded.refuse(Win32Error::INVALID_LEVEL);
        assert_eq!(refusal.info, SessionEnumStruct::Absent(level));
        assert_eq!(refusal.resume_handle, Some(5));
        let refusal = SessionEnumResponse::decode(&refusal.encode()).unwrap();
        assert_eq!((refusal.info.level(), refusal.status), (level, Win32Error::INVALID_LEVEL));
    }
}

#[test]
fn an_unknown_level_with_an_arm_is_decoded() {
    // Level 2 of SERVER_XPORT_ENUM_STRUCT: a NULL handle, level and union, and an unknown container. The positions of
    // the following parameters are unknown, but the request has its level.
    let words: [u32; 6] = [0, 2, 2, 0x0002_0000, 0, 0];
    let stub: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let request = ServerTransportEnumRequest::decode(&stub).unwrap();
    assert_eq!(request.info, ServerTransportEnumStruct::Absent(2));
}

#[test]
fn a_known_level_gets_an_empty_container() {
    let request = FileEnumRequest {
        server_name: None,
        base_path: None,
        user_name: None,
        info: FileEnumStruct::Absent(3),
        preferred_maximum_length: 0,
        resume_handle: None,
    };
    assert_eq!(request.refuse(Win32Error::ACCESS_DENIED).info, FileEnumStruct::Level3(vec![]));
}

#[test]
fn errors_become_faults() {
    assert_eq!(Request::decode(200, &[]), Err(DecodeError::Opnum(200)));
    assert_eq!(Request::decode(11, &[]), Err(DecodeError::Stub(NdrError::Truncated)));
    assert_eq!(Fault::from(DecodeError::Opnum(200)), Fault::OP_RANGE_ERROR);
    assert_eq!(Fault::from(DecodeError::Stub(NdrError::Truncated)), Fault::BAD_STUB_DATA);
}

#[test]
fn operations_are_numbered_once() {
    let all = || Request::OPNUMS.iter().copied().chain(REFUSED.iter().map(|call| call.opnum));
    let mut opnums: Vec<u16> = all().collect();
    opnums.sort_unstable();
    opnums.dedup();
    assert_eq!(opnums.len(), all().count());
}

#[test]
fn a_refused_call_has_empty_parameters_and_the_status() {
    let call = RefusedCall::find(REFUSED, DFS_GET_VERSION).unwrap();
    assert_eq!(call.response(Win32Error::NOT_SUPPORTED), [0, 0, 0, 0, 50, 0, 0, 0]);
    assert_eq!(RefusedCall::find(REFUSED, FileEnumRequest::OPNUM), None);
}

#[test]
fn ten_thousand_files_round_trip() {
    let entries: Vec<_> = (1..=10_000)
        .map(|id| FileInfo3 {
            id,
            permissions: 1,
            num_locks: id % 3,
            path_name: Some(format!("C:\\data\\projects\\{id}\\Übersicht.xlsx")),
            user_name: Some("alice".to_owned()),
        })
        .collect();
    let response = FileEnumResponse {
        info: FileEnumStruct::Level3(entries),
        total_entries: 10_000,
        resume_handle: None,
        status: Win32Error::SUCCESS,
    };
    assert_eq!(FileEnumResponse::decode(&response.encode()), Ok(response));
}
