use proptest::prelude::*;

use super::*;
use crate::client::{ClientAssociation, ClientError};
use crate::pdu::ProposedContext;
use crate::srvsvc::{ENDPOINT, INTERFACE};
use crate::uuid::Uuid;

/// Answers with the stub it got, operation 1 repeated to 20000 octets; faults operation 9.
struct Echo;

impl Dispatch for Echo {
    fn call(&mut self, interface: InterfaceId, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
        assert_eq!(interface, INTERFACE);
        match opnum {
            1 => Ok(stub.iter().copied().cycle().take(20_000).collect()),
            9 => Err(Fault::OP_RANGE_ERROR),
            _ => Ok(stub.to_vec()),
        }
    }
}

fn proposed(id: u16, interface: InterfaceId, transfer_syntaxes: &[InterfaceId]) -> ProposedContext {
    ProposedContext { id, interface, transfer_syntaxes: transfer_syntaxes.to_vec() }
}

fn bind_of(contexts: Vec<ProposedContext>) -> Bind {
    Bind { max_xmit_frag: 4280, max_recv_frag: 4280, assoc_group_id: 0, contexts, auth_level: None }
}

fn plain_bind() -> Vec<u8> {
    Body::Bind(bind_of(vec![proposed(0, INTERFACE, &[InterfaceId::NDR20])])).encode(1, WHOLE)
}

fn request(call_id: u32, flags: u8, opnum: u16, stub: &[u8]) -> Vec<u8> {
    let alloc_hint = stub.len() as u32;
    Body::Request(Request { context_id: 0, opnum, alloc_hint, stub }).encode(call_id, flags)
}

fn bound() -> Association {
    let mut association = Association::new(ENDPOINT);
    association.write(&plain_bind(), &mut Echo).unwrap();
    assert!(matches!(association.read(usize::MAX), ReadOutcome::Data { more: false, .. }));
    association
}

/// Every message there is to read.
fn drain(association: &mut Association) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| match association.read(usize::MAX) {
        ReadOutcome::Data { bytes, more } => {
            assert!(!more);
            Some(bytes)
        }
        ReadOutcome::Empty => None,
    })
    .collect()
}

fn parsed(message: &[u8]) -> (Header, Body<'_>) {
    let header = Header::decode(message.first_chunk().unwrap()).unwrap();
    assert_eq!(header.len(), message.len());
    (header, Body::decode(&header, message).unwrap())
}

fn fault_of(message: &[u8]) -> Fault {
    match parsed(message).1 {
        Body::Fault(fault) => fault.status,
        other => panic!("{other:?}"),
    }
}

fn results_of(message: &[u8]) -> Vec<ContextResult> {
    match parsed(message).1 {
        Body::BindAck(ack) | Body::AlterContextResponse(ack) => ack.results,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bind_as_windows_proposes_it() {
    let features = Uuid::from_fields(0x6cb71c2c, 0x9812, 0x4540, [3, 0, 0, 0, 0, 0, 0, 0]);
    let features = InterfaceId { uuid: features, major: 1, minor: 0 };
    let bind = bind_of(vec![
        proposed(0, INTERFACE, &[InterfaceId::NDR20]),
        proposed(1, INTERFACE, &[InterfaceId::NDR64]),
        proposed(2, INTERFACE, &[features]),
        proposed(3, crate::wkssvc::INTERFACE, &[InterfaceId::NDR20]),
    ]);
    let mut association = Association::new(ENDPOINT);
    association.write(&Body::Bind(bind).encode(7, WHOLE), &mut Echo).unwrap();
    let messages = drain(&mut association);
    let (header, Body::BindAck(ack)) = parsed(&messages[0]) else { panic!() };
    assert_eq!((header.call_id, ack.max_xmit_frag, ack.max_recv_frag), (7, 4280, 4280));
    assert_ne!(ack.assoc_group_id, 0);
    assert_eq!(ack.secondary_address, "\\PIPE\\srvsvc");
    assert_eq!(
        ack.results,
        [
            ContextResult::accepted(),
            ContextResult::rejected(ContextResult::TRANSFER_SYNTAXES_NOT_SUPPORTED),
            ContextResult::negotiated(2),
            ContextResult::rejected(ContextResult::ABSTRACT_SYNTAX_NOT_SUPPORTED),
        ]
    );
}

#[test]
fn a_higher_minor_version_is_not_served() {
    let newer = InterfaceId { minor: 1, ..INTERFACE };
    let mut association = Association::new(ENDPOINT);
    let bind = bind_of(vec![proposed(0, newer, &[InterfaceId::NDR20])]);
    association.write(&Body::Bind(bind).encode(1, WHOLE), &mut Echo).unwrap();
    let expected = ContextResult::rejected(ContextResult::ABSTRACT_SYNTAX_NOT_SUPPORTED);
    assert_eq!(results_of(&drain(&mut association)[0]), [expected]);
}

#[test]
fn fragment_sizes_stay_within_bounds() {
    for (offered, negotiated) in [(0, 1432), (1432, 1432), (4280, 4280), (65535, 5840)] {
        let mut bind = bind_of(vec![proposed(0, INTERFACE, &[InterfaceId::NDR20])]);
        bind.max_recv_frag = offered;
        let mut association = Association::new(ENDPOINT);
        association.write(&Body::Bind(bind).encode(1, WHOLE), &mut Echo).unwrap();
        let messages = drain(&mut association);
        let (_, Body::BindAck(ack)) = parsed(&messages[0]) else { panic!() };
        assert_eq!(ack.max_xmit_frag, negotiated);
        association.write(&request(2, WHOLE, 1, b"x"), &mut Echo).unwrap();
        assert!(drain(&mut association).iter().all(|message| message.len() <= usize::from(negotiated)));
    }
}

#[test]
fn contexts_are_added_up_to_their_limit() {
    let mut association = bound();
    let contexts = (1..=20).map(|id| proposed(id, INTERFACE, &[InterfaceId::NDR20])).collect();
    let alter = Body::AlterContext(bind_of(contexts)).encode(2, WHOLE);
    association.write(&alter, &mut Echo).unwrap();
    let messages = drain(&mut association);
    let results = results_of(&messages[0]);
    let accepted = results.iter().filter(|result| result.result == ContextResult::ACCEPTANCE).count();
    assert_eq!(accepted, limits::CONTEXTS_MAX - 1);
    assert_eq!(results[19], ContextResult::rejected(ContextResult::LOCAL_LIMIT_EXCEEDED));
    let (_, Body::AlterContextResponse(ack)) = parsed(&messages[0]) else { panic!() };
    assert_eq!(ack.secondary_address, "");
}

#[test]
fn authentication_in_the_association_is_refused() {
    let mut pdu = plain_bind();
    // sec_trailer of NTLM at level connect, and eight octets of credentials.
    pdu.extend_from_slice(&[10, 2, 0, 0, 0, 0, 0, 0]);
    pdu.extend_from_slice(b"NTLMSSP\0");
    let length = pdu.len() as u8;
    pdu[8] = length;
    pdu[10] = 8;
    let mut association = Association::new(ENDPOINT);
    association.write(&pdu, &mut Echo).unwrap();
    let messages = drain(&mut association);
    assert_eq!(parsed(&messages[0]).1, Body::BindNak(BindNak::AUTHENTICATION_TYPE_NOT_RECOGNIZED));
    association.write(&plain_bind(), &mut Echo).unwrap();
    assert_eq!(results_of(&drain(&mut association)[0]), [ContextResult::accepted()]);
}

#[test]
fn a_verifier_behind_a_stub_is_skipped() {
    let mut pdu = request(2, WHOLE, 0, b"stub\0\0\0\0");
    pdu.extend_from_slice(&[10, 2, 4, 0, 0, 0, 0, 0]);
    pdu.extend_from_slice(&[0xaa; 16]);
    let length = pdu.len() as u8;
    pdu[8] = length;
    pdu[10] = 16;
    let mut association = bound();
    association.write(&pdu, &mut Echo).unwrap();
    let messages = drain(&mut association);
    let Body::Response(response) = parsed(&messages[0]).1 else { panic!() };
    assert_eq!(response.stub, b"stub");
}

#[test]
fn an_object_in_front_of_a_stub_is_skipped() {
    let stub = [[0xee; 16].as_slice(), b"stub"].concat();
    let mut association = bound();
    association.write(&request(2, WHOLE | crate::pdu::OBJECT_UUID, 0, &stub), &mut Echo).unwrap();
    let messages = drain(&mut association);
    let Body::Response(response) = parsed(&messages[0]).1 else { panic!() };
    assert_eq!(response.stub, b"stub");
}

#[test]
fn versions_and_byte_orders_not_served_are_refused() {
    let mut old = plain_bind();
    old[0] = 4;
    let mut association = Association::new(ENDPOINT);
    assert_eq!(association.write(&old, &mut Echo), Err(Broken));
    let messages = drain(&mut association);
    assert_eq!(parsed(&messages[0]).1, Body::BindNak(BindNak::PROTOCOL_VERSION_NOT_SUPPORTED));

    let mut big_endian = plain_bind();
    big_endian[4] = 0;
    big_endian[8..10].reverse();
    big_endian[12..16].reverse();
    let mut association = Association::new(ENDPOINT);
    assert_eq!(association.write(&big_endian, &mut Echo), Err(Broken));
    let messages = drain(&mut association);
    let (header, body) = parsed(&messages[0]);
    assert_eq!((header.call_id, body), (1, Body::BindNak(BindNak::NOT_SPECIFIED)));
}

#[test]
fn a_call_before_the_bind_breaks_the_association() {
    let mut association = Association::new(ENDPOINT);
    assert_eq!(association.write(&request(1, WHOLE, 0, b""), &mut Echo), Err(Broken));
    assert_eq!(fault_of(&drain(&mut association)[0]), Fault::PROTO_ERROR);
    assert_eq!(association.write(&plain_bind(), &mut Echo), Err(Broken));
}

#[test]
fn calls_fault_and_the_association_goes_on() {
    let mut association = bound();
    let unknown =
        Body::Request(Request { context_id: 5, opnum: 0, alloc_hint: 0, stub: &[] }).encode(2, WHOLE);
    association.write(&unknown, &mut Echo).unwrap();
    association.write(&request(3, WHOLE, 9, b""), &mut Echo).unwrap();
    association.write(&request(4, WHOLE, 0, b"on"), &mut Echo).unwrap();
    let messages = drain(&mut association);
    assert_eq!(fault_of(&messages[0]), Fault::UNKNOWN_INTERFACE);
    assert_eq!(fault_of(&messages[1]), Fault::OP_RANGE_ERROR);
    assert_eq!(parsed(&messages[1]).0.flags, WHOLE | DID_NOT_EXECUTE);
    assert!(matches!(parsed(&messages[2]).1, Body::Response(Response { stub: b"on", .. })));
}

#[test]
fn a_request_too_large_faults_when_it_is_complete() {
    let mut association = bound();
    let part = vec![0; 60_000];
    let fragments = limits::REQUEST_STUB_MAX / part.len() + 2;
    for at in 0..fragments {
        let first = if at == 0 { FIRST_FRAGMENT } else { 0 };
        association.write(&request(2, first, 0, &part), &mut Echo).unwrap();
        assert!(!association.has_unread());
    }
    association.write(&request(2, LAST_FRAGMENT, 0, &part), &mut Echo).unwrap();
    assert_eq!(fault_of(&drain(&mut association)[0]), Fault::REMOTE_NO_MEMORY);
    association.write(&request(3, WHOLE, 0, b"on"), &mut Echo).unwrap();
    assert_eq!(drain(&mut association).len(), 1);
}

#[test]
fn an_orphaned_call_is_forgotten() {
    let mut association = bound();
    association.write(&request(2, FIRST_FRAGMENT, 0, b"part"), &mut Echo).unwrap();
    association.write(&Body::Other(PacketType::ORPHANED).encode(2, WHOLE), &mut Echo).unwrap();
    association.write(&Body::Other(PacketType::CO_CANCEL).encode(2, WHOLE), &mut Echo).unwrap();
    association.write(&request(3, WHOLE, 0, b"whole"), &mut Echo).unwrap();
    let messages = drain(&mut association);
    assert!(matches!(parsed(&messages[0]).1, Body::Response(Response { stub: b"whole", .. })));
}

#[test]
fn interleaved_calls_break_the_association() {
    let mut association = bound();
    association.write(&request(2, FIRST_FRAGMENT, 0, b"part"), &mut Echo).unwrap();
    assert_eq!(association.write(&request(3, WHOLE, 0, b""), &mut Echo), Err(Broken));
    assert_eq!(fault_of(&drain(&mut association)[0]), Fault::PROTO_ERROR);
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let mut association = bound();
    let broke = (0..200).find(|id| association.write(&request(*id, WHOLE, 0, b""), &mut Echo).is_err());
    assert_eq!(broke, Some(limits::PDUS_UNREAD_MAX as u32));
}

#[test]
fn calls_wait_until_earlier_answers_are_read() {
    struct Large;
    impl Dispatch for Large {
        fn call(&mut self, _: InterfaceId, _: u16, _: &[u8]) -> Result<Vec<u8>, Fault> {
            Ok(vec![1; limits::RESPONSE_BYTES_UNREAD_MAX + 1])
        }
    }
    let mut association = bound();
    association.write(&request(2, WHOLE, 0, b""), &mut Large).unwrap();
    association.write(&request(3, WHOLE, 0, b""), &mut Large).unwrap();
    assert_eq!(fault_of(drain(&mut association).last().unwrap()), Fault::SERVER_TOO_BUSY);
    association.write(&request(4, WHOLE, 0, b""), &mut Large).unwrap();
    assert!(drain(&mut association).len() > 1);
}

#[test]
fn trailing_zeros_of_a_response_are_sent_but_not_stored() {
    struct Buffer(Vec<u8>);
    impl Dispatch for Buffer {
        fn call(&mut self, _: InterfaceId, _: u16, _: &[u8]) -> Result<Vec<u8>, Fault> {
            Ok(self.0.clone())
        }
    }
    for (text, zeros) in [(0, 64_000), (7, 64_000), (9_000, 3_000), (5_000, 511), (5_000, 0)] {
        let stub = [vec![1; text], vec![0; zeros]].concat();
        let mut association = bound();
        association.write(&request(2, WHOLE, 0, b""), &mut Buffer(stub.clone())).unwrap();
        assert!(association.kept() <= text + limits::ZEROS_KEPT_MAX, "{} octets", association.kept());
        let mut length = association.message_len();
        let mut read = Vec::new();
        for message in drain(&mut association) {
            assert_eq!(std::mem::take(&mut length).max(message.len()), message.len());
            let Body::Response(response) = parsed(&message).1 else { panic!() };
            assert_eq!(response.alloc_hint as usize, stub.len() - read.len());
            read.extend_from_slice(response.stub);
        }
        assert!(read == stub, "{text} octets and {zeros} zeros");
        assert_eq!(association.kept(), 0);
    }
}

#[test]
fn memory_of_incomplete_requests_is_counted_and_released() {
    let mut association = bound();
    let first = request(2, FIRST_FRAGMENT, 0, &[1; 4_000]);
    association.receive(&first).unwrap();
    assert_eq!(association.next_call(), Ok(None));
    assert_eq!(association.kept(), 4_000, "a fragment");
    association.receive(&request(2, LAST_FRAGMENT, 0, b"12345678")[..20]).unwrap();
    assert_eq!(association.next_call(), Ok(None));
    assert_eq!(association.kept(), 4_020, "and part of the next one");
    association.receive(&request(2, LAST_FRAGMENT, 0, b"12345678")[20..]).unwrap();
    let call = association.next_call().unwrap().unwrap();
    assert_eq!((call.stub.len(), association.kept()), (4_008, 0));
    association.answer(call.ticket, Ok(vec![1; 100]));
    assert_eq!(association.kept(), 100);
    association.read(10);
    assert!(association.kept() > 100, "a message that is read in part");
    drain(&mut association);
    assert_eq!(association.kept(), 0);
}

#[test]
fn a_short_read_returns_part_of_one_message() {
    let mut association = bound();
    association.write(&request(2, WHOLE, 0, b"12345678"), &mut Echo).unwrap();
    association.write(&request(3, WHOLE, 0, b"12345678"), &mut Echo).unwrap();
    assert_eq!(association.message_len(), 32);
    let ReadOutcome::Data { bytes: start, more: true } = association.read(20) else { panic!() };
    assert_eq!((start.len(), association.message_len()), (20, 12));
    let ReadOutcome::Data { bytes: end, more: false } = association.read(100) else { panic!() };
    assert!(matches!(parsed(&[start, end].concat()).1, Body::Response(Response { stub: b"12345678", .. })));
    assert_eq!(drain(&mut association).len(), 1);
    assert_eq!(association.read(10), ReadOutcome::Empty);
}

#[test]
fn transceive_requires_an_empty_pipe() {
    let mut association = bound();
    let outcome = association.transceive(&request(2, WHOLE, 0, b"12345678"), 20, &mut Echo);
    assert!(matches!(outcome, Ok(ReadOutcome::Data { more: true, .. })));
    let outcome = association.transceive(&request(3, WHOLE, 0, b""), 20, &mut Echo);
    assert_eq!(outcome, Err(TransceiveError::Busy));
    drain(&mut association);
    let outcome = association.transceive(&[0; 16], 1024, &mut Echo);
    assert!(matches!(outcome, Ok(ReadOutcome::Data { .. })), "the fault is read");
    let outcome = association.transceive(&[0; 16], 1024, &mut Echo);
    assert_eq!(outcome, Err(TransceiveError::Broken(Broken)));
}

#[test]
fn calls_may_be_answered_later() {
    let mut association = bound();
    association.receive(&request(2, WHOLE, 0, b"a")).unwrap();
    association.receive(&request(3, WHOLE, 0, b"b")).unwrap();
    let first = association.next_call().unwrap().unwrap();
    let second = association.next_call().unwrap().unwrap();
    assert_eq!(association.next_call(), Ok(None));
    assert_eq!(association.read(100), ReadOutcome::Empty);
    association.answer(second.ticket, Ok(second.stub));
    association.answer(first.ticket, Err(Fault::ACCESS_DENIED));
    let messages = drain(&mut association);
    assert_eq!(parsed(&messages[0]).0.call_id, 3);
    assert_eq!((parsed(&messages[1]).0.call_id, fault_of(&messages[1])), (2, Fault::ACCESS_DENIED));
}

#[test]
fn both_ends_understand_each_other() {
    for length in [0, 1, 5000, 5816, 5817, 60_000] {
        let stub: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut server = Association::new(ENDPOINT);
        let mut client = ClientAssociation::new(INTERFACE);
        server.write(&client.bind(), &mut Echo).unwrap();
        client.handle_bind_ack(&drain(&mut server)[0]).unwrap();
        for fragment in client.request_stub(3, &stub) {
            server.write(&fragment, &mut Echo).unwrap();
        }
        let mut answer = None;
        for message in drain(&mut server) {
            assert_eq!(answer, None);
            let (start, end) = message.split_at(message.len() / 2);
            assert_eq!(client.handle_response(start), Ok(None));
            answer = client.handle_response(end).unwrap();
        }
        assert_eq!(answer.as_deref(), Some(stub.as_slice()), "{length}");
        for fragment in client.request_stub(9, b"") {
            server.write(&fragment, &mut Echo).unwrap();
        }
        let fault = client.handle_response(&drain(&mut server)[0]);
        assert_eq!(fault, Err(ClientError::Fault(Fault::OP_RANGE_ERROR)));
    }
}

/// Good, bad and half-good PDUs.
fn pdus() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0u32..4, 0u8..4, 0u16..10, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(call_id, flags, opnum, stub)| request(call_id, flags, opnum, &stub)),
        20 => (0u32..9, 0u16..10, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(call_id, opnum, stub)| request(call_id, WHOLE, opnum, &stub)),
        2 => Just(Body::AlterContext(bind_of(vec![proposed(1, INTERFACE, &[InterfaceId::NDR20])])).encode(1, WHOLE)),
        1 => (any::<u8>(), 0u8..4).prop_map(|(packet_type, flags)| Body::Other(PacketType(packet_type)).encode(1, flags)),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #[test]
    fn fragments_may_be_split_anywhere(
        bind in prop::bool::weighted(0.9),
        pdus in prop::collection::vec(pdus(), 0..12),
        cuts in prop::collection::vec(1usize..50, 1..60),
    ) {
        let mut stream = if bind { plain_bind() } else { Vec::new() };
        stream.extend(pdus.concat());

        let mut whole = Association::new(ENDPOINT);
        let whole_outcome = whole.write(&stream, &mut Echo);

        let mut split = Association::new(ENDPOINT);
        let mut split_outcome = Ok(());
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (part, behind) = rest.split_at(rest.len().min(*cut));
            split_outcome = split.write(part, &mut Echo);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole_outcome, split_outcome);
        prop_assert_eq!(drain(&mut whole), drain(&mut split));
    }

    #[test]
    fn reads_of_any_size_return_the_same(
        stub in prop::collection::vec(any::<u8>(), 1..30),
        sizes in prop::collection::vec(1usize..6000, 1..20),
    ) {
        let mut association = bound();
        association.write(&request(2, WHOLE, 1, &stub), &mut Echo).unwrap();
        let mut again = bound();
        again.write(&request(2, WHOLE, 1, &stub), &mut Echo).unwrap();
        let mut read = Vec::new();
        for size in sizes.iter().cycle() {
            match again.read(*size) {
                ReadOutcome::Data { bytes, .. } => read.extend(bytes),
                ReadOutcome::Empty => break,
            }
        }
        prop_assert_eq!(read, drain(&mut association).concat());
    }

    #[test]
    fn arbitrary_octets_never_panic(
        bind in any::<bool>(),
        header in any::<bool>(),
        packet_type in 0u8..22,
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut pdu = Vec::new();
        if header {
            pdu.extend_from_slice(&[5, 0, packet_type, 3, 0x10, 0, 0, 0]);
            pdu.extend_from_slice(&(octets.len() as u16 + 16).to_le_bytes());
            pdu.extend_from_slice(&[octets.first().copied().unwrap_or(0) & 15, 0, 1, 0, 0, 0]);
        }
        pdu.extend(octets);
        let mut association = if bind { bound() } else { Association::new(ENDPOINT) };
        let _ = association.write(&pdu, &mut Echo);
        drain(&mut association);
        let mut client = ClientAssociation::new(INTERFACE);
        let _ = client.handle_bind_ack(&pdu);
        client.request_stub(0, b"");
        let _ = client.handle_response(&pdu);
    }
}
