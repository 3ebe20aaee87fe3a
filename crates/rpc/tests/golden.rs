//! Stubs and PDUs against octets that other implementations wrote.

use rpc::call::Stub;
use rpc::ndr::BufferSized;
use rpc::srvsvc::*;
use rpc::{Association, ClientAssociation, ReadOutcome, Win32Error, srvsvc, wkssvc};

struct Fixture {
    interface: &'static str,
    direction: &'static str,
    opnum: u16,
    name: &'static str,
    stub: Vec<u8>,
}

fn fixtures() -> Vec<Fixture> {
    let lines = include_str!("fixtures/stubs.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            Fixture {
                interface: word(),
                direction: word(),
                opnum: word().parse().unwrap(),
                name: word(),
                stub: unhex(word()),
            }
        })
        .collect()
}

fn fixture(direction: &str, opnum: u16, name: &str) -> Vec<u8> {
    let all = fixtures();
    let found = all.into_iter().find(|fixture| {
        (fixture.interface, fixture.direction, fixture.opnum, fixture.name)
            == ("srvsvc", direction, opnum, name)
    });
    found.unwrap().stub
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Every fixture is understood, and written again to the octet.
#[test]
fn stubs_of_another_implementation_decode_and_encode_again() {
    for Fixture { interface, direction, opnum, name, stub } in fixtures() {
        let (shown, again) = match (interface, direction) {
            ("srvsvc", "request") => {
                let request = srvsvc::Request::decode(opnum, &stub).unwrap();
                (format!("{request:?}"), request.encode())
            }
            ("srvsvc", _) => {
                let response = srvsvc::Response::decode(opnum, &stub).unwrap();
                (format!("{response:?}"), response.encode())
            }
            ("wkssvc", "request") => {
                let request = wkssvc::Request::decode(opnum, &stub).unwrap();
                (format!("{request:?}"), request.encode())
            }
            (_, _) => {
                let response = wkssvc::Response::decode(opnum, &stub).unwrap();
                (format!("{response:?}"), response.encode())
            }
        };
        assert!(!shown.contains("Absent"), "{interface} {direction} {opnum} {name}: {shown}");
        assert_eq!(again, stub, "{interface} {direction} {opnum} {name}: {shown}");
    }
}

#[test]
fn a_session_enum_decodes_to_its_fields() {
    let request = SessionEnumRequest::decode(&fixture("request", 12, "level10")).unwrap();
    assert_eq!(
        request,
        SessionEnumRequest {
            server_name: some("longer$"),
            client_name: None,
            user_name: some("a"),
            info: SessionEnumStruct::Level10(vec![]),
            preferred_maximum_length: MAX_PREFERRED_LENGTH,
            resume_handle: None,
        }
    );
    let response = SessionEnumResponse::decode(&fixture("response", 12, "level10")).unwrap();
    let entry = |client: &str, user: &str, time, idle_time| SessionInfo10 {
        client_name: some(client),
        user_name: some(user),
        time,
        idle_time,
    };
    let entries =
        vec![entry("Ünï", "\\\\x", 0x3b3b3b3b, 0x3c3c3c3c), entry("漢🦀", "longer$", 0x3d3d3d3d, 0x3e3e3e3e)];
    assert_eq!(
        response,
        SessionEnumResponse {
            info: SessionEnumStruct::Level10(entries),
            total_entries: 2,
            resume_handle: Some(7),
            status: Win32Error::SUCCESS,
        }
    );
}

#[test]
fn answers_about_a_transport_and_a_share_decode_to_their_fields() {
    let response = ServerTransportEnumResponse::decode(&fixture("response", 26, "level0")).unwrap();
    let ServerTransportEnumStruct::Level0(entries) = response.info else { panic!() };
    assert_eq!(entries[0].transport_address, BufferSized(Some(vec![9, 8, 7])));
    let response = ShareGetInfoResponse::decode(&fixture("response", 16, "level1005")).unwrap();
    assert_eq!(response.info, ShareInfo::Level1005(ShareInfo1005 { flags: 0xa4a4a4a4 }));
}

/// A bind as Windows sends it to this pipe: NDR20, NDR64 and the feature negotiation.
const WINDOWS_BIND: &str = "
    05000b0310000000a000000002000000b810b8100000000003000000
    00000100c84f324b7016d30112785a47bf6ee18803000000045d888aeb1cc9119fe808002b10486002000000
    01000100c84f324b7016d30112785a47bf6ee1880300000033057171babe37498319b5dbef9ccc3601000000
    02000100c84f324b7016d30112785a47bf6ee188030000002c1cb76c12984045030000000000000001000000";

/// The answer; the server chooses the association group.
const BIND_ACK: &str = "
    05000c03100000007400000002000000b810b81057530000
    0d005c504950455c7372767376630000
    03000000
    00000000045d888aeb1cc9119fe808002b10486002000000
    020002000000000000000000000000000000000000000000
    030002000000000000000000000000000000000000000000";

#[test]
fn the_bind_of_windows_has_the_expected_answer() {
    let mut server = Association::new(srvsvc::ENDPOINT);
    server.receive(&unhex(WINDOWS_BIND)).unwrap();
    assert_eq!(server.next_call(), Ok(None));
    let expected = ReadOutcome::Data { bytes: unhex(BIND_ACK), more: false };
    assert_eq!(server.read(4096), expected);
    ClientAssociation::new(srvsvc::INTERFACE).handle_bind_ack(&unhex(BIND_ACK)).unwrap();
}

#[test]
fn the_bind_of_our_client_has_the_expected_bytes() {
    let bind = "05000b03100000004800000001000000d016d0160000000001000000
        00000100c84f324b7016d30112785a47bf6ee18803000000045d888aeb1cc9119fe808002b10486002000000";
    assert_eq!(ClientAssociation::new(srvsvc::INTERFACE).bind(), unhex(bind));
}
