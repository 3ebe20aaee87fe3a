use super::*;
use crate::pdu::{BindAck, BindNak, FaultBody, Response};
use crate::srvsvc::INTERFACE;

fn ack(result: ContextResult, max_recv_frag: u16) -> Vec<u8> {
    let ack = BindAck {
        max_xmit_frag: 4280,
        max_recv_frag,
        assoc_group_id: 1,
        secondary_address: "\\PIPE\\srvsvc".to_owned(),
        results: vec![result],
    };
    Body::BindAck(ack).encode(1, WHOLE)
}

fn response(call_id: u32, flags: u8, stub: &[u8]) -> Vec<u8> {
    Body::Response(Response { context_id: 0, alloc_hint: 0, stub }).encode(call_id, flags)
}

#[test]
fn refusals_of_the_bind() {
    let mut client = ClientAssociation::new(INTERFACE);
    let rejected = ContextResult::rejected(ContextResult::ABSTRACT_SYNTAX_NOT_SUPPORTED);
    let expected = ClientError::Rejected { result: 2, reason: 1 };
    assert_eq!(client.handle_bind_ack(&ack(rejected, 4280)), Err(expected));
    let nak = Body::BindNak(BindNak { reason: 2 }).encode(1, WHOLE);
    assert_eq!(client.handle_bind_ack(&nak), Err(ClientError::Refused(2)));
    let stray = response(1, WHOLE, b"");
    assert_eq!(client.handle_bind_ack(&stray), Err(ClientError::Unexpected(PacketType::RESPONSE)));
    assert_eq!(client.handle_bind_ack(&[]), Err(ClientError::Pdu(PduError::Length)));
}

#[test]
fn requests_keep_to_the_negotiated_size() {
    let mut client = ClientAssociation::new(INTERFACE);
    client.handle_bind_ack(&ack(ContextResult::accepted(), 2000)).unwrap();
    let fragments = client.request_stub(12, &[7; 5000]);
    assert!(fragments.iter().all(|fragment| fragment.len() <= 2000));
    assert_eq!(fragments.iter().map(|fragment| fragment.len() - CALL_HEADER_LEN).sum::<usize>(), 5000);
    let flags: Vec<_> = fragments.iter().map(|fragment| fragment[3]).collect();
    assert_eq!(flags, [FIRST_FRAGMENT, 0, LAST_FRAGMENT]);
}

#[test]
fn fragments_are_reassembled() {
    let mut client = ClientAssociation::new(INTERFACE);
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(2, FIRST_FRAGMENT, b"ab")), Ok(None));
    assert_eq!(client.handle_response(&response(2, 0, b"cd")), Ok(None));
    assert_eq!(client.handle_response(&response(2, LAST_FRAGMENT, b"e")), Ok(Some(b"abcde".to_vec())));
}

#[test]
fn a_pdu_that_is_not_an_answer_is_unexpected() {
    let unexpected = Err(ClientError::Unexpected(PacketType::RESPONSE));
    let mut client = ClientAssociation::new(INTERFACE);
    assert_eq!(client.handle_response(&response(1, WHOLE, b"early")), unexpected);
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(9, WHOLE, b"other call")), unexpected);
    assert_eq!(client.handle_response(&response(2, LAST_FRAGMENT, b"no first")), unexpected);
}

#[test]
fn endless_fragments_are_refused() {
    let unexpected = Err(ClientError::Unexpected(PacketType::RESPONSE));
    let mut client = ClientAssociation::new(INTERFACE);
    // Without a stub, any number of first fragments would look like the first.
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(2, FIRST_FRAGMENT, b"")), unexpected);
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(3, FIRST_FRAGMENT, b"ab")), Ok(None));
    assert_eq!(client.handle_response(&response(3, FIRST_FRAGMENT, b"ab")), unexpected);
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(4, FIRST_FRAGMENT, b"ab")), Ok(None));
    assert_eq!(client.handle_response(&response(4, 0, b"")), unexpected);
    // The last one may add nothing.
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(5, FIRST_FRAGMENT, b"ab")), Ok(None));
    assert_eq!(client.handle_response(&response(5, LAST_FRAGMENT, b"")), Ok(Some(b"ab".to_vec())));
}

#[test]
fn a_fault_ends_the_call_only() {
    let mut client = ClientAssociation::new(INTERFACE);
    client.request_stub(12, b"");
    let fault = FaultBody { context_id: 0, status: Fault::ACCESS_DENIED };
    let fault = Body::Fault(fault).encode(2, WHOLE);
    assert_eq!(client.handle_response(&fault), Err(ClientError::Fault(Fault::ACCESS_DENIED)));
    client.request_stub(12, b"");
    assert_eq!(client.handle_response(&response(3, WHOLE, b"x")), Ok(Some(b"x".to_vec())));
}
