//! The pipes: associations with data in any parts, and the stubs of calls.

use rpc::pdu::{Body, HEADER_LEN, Header, OBJECT_UUID};
use rpc::srvsvc::{ENDPOINT, INTERFACE, SessionEnumRequest, SessionEnumStruct};
use rpc::{Association, ClientAssociation, Dispatch, Fault, InterfaceId, ReadOutcome, Win32Error};

use crate::input::Input;

/// The data that a client writes to a pipe, in parts. Their division makes no difference.
pub fn rpc_server(data: &[u8]) {
    let parts: Vec<&[u8]> = Input(data).pieces().collect();
    let mut one_by_one = Association::new(ENDPOINT);
    let broken = parts.iter().any(|part| one_by_one.write(part, &mut Refusing).is_err());
    let mut at_once = Association::new(ENDPOINT);
    let all = parts.concat();
    assert_eq!(at_once.write(&all, &mut Refusing).is_err(), broken);
    loop {
        let length = one_by_one.message_len();
        let whole = at_once.read(usize::MAX);
        assert_eq!(one_by_one.read(usize::MAX), whole);
        let ReadOutcome::Data { bytes, more } = whole else { break };
        assert!(!more && bytes.len() == length, "a message that is not as long as it was said to be");
        pdu(&bytes);
    }
    assert!(!at_once.has_unread());
    // As a client of FSCTL_PIPE_TRANSCEIVE that reads little at a time.
    let mut transceiving = Association::new(ENDPOINT);
    for part in parts {
        let mut outcome = transceiving.transceive(part, 100, &mut Refusing).ok();
        while let Some(ReadOutcome::Data { bytes, more }) = outcome {
            assert!(bytes.len() <= 100);
            outcome = more.then(|| transceiving.read(100));
        }
    }
    pdu(&all);
}

/// The answers of a server to a bind and to a call, in parts. Their division makes no difference.
pub fn rpc_client(data: &[u8]) {
    let mut input = Input(data);
    let ack = input.piece();
    let parts: Vec<&[u8]> = input.pieces().collect();
    let begin = || {
        let mut client = ClientAssociation::new(INTERFACE);
        let _ = client.bind();
        let bound = client.handle_bind_ack(ack).is_ok();
        let fragments = client.request(&SessionEnumRequest {
            server_name: Some("\\\\server".into()),
            client_name: None,
            user_name: None,
            info: SessionEnumStruct::Level502(Vec::new()),
            preferred_maximum_length: u32::MAX,
            resume_handle: None,
        });
        assert!(!fragments.is_empty());
        (client, bound)
    };
    let (mut one_by_one, _) = begin();
    let mut result = Ok(None);
    for part in &parts {
        result = one_by_one.handle_response(part);
        if result != Ok(None) {
            break;
        }
    }
    let (mut at_once, _) = begin();
    assert_eq!(at_once.handle_response(&parts.concat()), result);
    if let Ok(Some(stub)) = result {
        for opnum in rpc::srvsvc::Request::OPNUMS {
            let _ = rpc::srvsvc::Response::decode(*opnum, &stub);
        }
    }
}

/// A call of an interface: its number, a flag for the answer, and the stub.
macro_rules! call {
    ($interface:ident, $refused:expr, $data:expr) => {{
        use rpc::$interface::{Request, Response};
        let [opnum, answer, stub @ ..] = $data else { return };
        let opnum = Request::OPNUMS[usize::from(*opnum) % Request::OPNUMS.len()];
        if answer & 1 == 1 {
            let Ok(response) = Response::decode(opnum, stub) else { return };
            assert_eq!(Response::decode(opnum, &response.encode()), Ok(response));
            return;
        }
        let Ok(request) = Request::decode(opnum, stub) else { return };
        assert_eq!(request.opnum(), opnum);
        let refusal = request.refuse($refused);
        assert_eq!(refusal.status(), $refused);
        assert_eq!(Response::decode(opnum, &refusal.encode()), Ok(refusal));
        assert_eq!(Request::decode(opnum, &request.encode()), Ok(request));
    }};
}

/// A call of the server service: its number, a flag for the answer, and the stub.
pub fn srvsvc(data: &[u8]) {
    call!(srvsvc, Win32Error::ACCESS_DENIED, data);
}

/// A call of the workstation service, as for [`srvsvc`].
pub fn wkssvc(data: &[u8]) {
    call!(wkssvc, Win32Error::ACCESS_DENIED, data);
}

/// A call for names or SIDs, as for [`srvsvc`].
pub fn lsarpc(data: &[u8]) {
    call!(lsarpc, wire::NtStatus::ACCESS_DENIED, data);
}

/// A call for accounts or with a new password, as for [`srvsvc`].
pub fn samr(data: &[u8]) {
    call!(samr, wire::NtStatus::ACCESS_DENIED, data);
}

/// A call of the witness service, as for [`srvsvc`].
pub fn witness(data: &[u8]) {
    call!(witness, Win32Error::ACCESS_DENIED, data);
}

/// A call of the endpoint mapper: its number and the stub. The answer has the port, or says that there is none.
pub fn epm(data: &[u8]) {
    let Some((opnum, stub)) = data.split_first() else { return };
    let (address, port) = (std::net::Ipv4Addr::new(192, 0, 2, 1), 0x1234);
    let mapping = rpc::epm::Mapping { interface: rpc::witness::INTERFACE, address, port };
    match rpc::epm::call(u16::from(*opnum), stub, &mapping) {
        Ok(answer) => {
            let (found, status) = (answer[20..24] == [1, 0, 0, 0], &answer[answer.len() - 4..]);
            assert_eq!(*status == [0; 4], found);
            let has_port = answer.windows(5).any(|it| it == [7, 2, 0, 0x12, 0x34]);
            assert_eq!(has_port, found, "{answer:02x?}");
            let names = |id: &rpc::Uuid| stub.windows(16).any(|it| it == id.0);
            assert!(!found || names(&rpc::witness::INTERFACE.uuid), "an interface that was not asked for");
        }
        Err(fault) => assert!([Fault::OP_RANGE_ERROR, Fault::BAD_STUB_DATA].contains(&fault)),
    }
}

/// One PDU: a decoded one encodes to the same meaning.
fn pdu(octets: &[u8]) {
    let Some(Ok(header)) = octets.first_chunk::<HEADER_LEN>().map(Header::decode) else { return };
    let Some(pdu) = octets.get(..header.len()) else { return };
    let Ok(body) = Body::decode(&header, pdu) else { return };
    if matches!(body, Body::Other(_)) {
        return;
    }
    // The object of a request is not written: no interface here has objects.
    let again = body.encode(header.call_id, header.flags & !OBJECT_UUID);
    let Some(Ok(read)) = again.first_chunk::<HEADER_LEN>().map(Header::decode) else {
        panic!("a PDU that was written is none");
    };
    let mut written = Body::decode(&read, &again);
    // A verifier is not written.
    if let (
        Ok(Body::Bind(written) | Body::AlterContext(written)),
        Body::Bind(read) | Body::AlterContext(read),
    ) = (&mut written, &body)
    {
        written.auth_level = read.auth_level;
    }
    assert_eq!(written.as_ref(), Ok(&body));
}

/// Understands every call and refuses it, which is an answer too.
struct Refusing;

impl Dispatch for Refusing {
    fn call(&mut self, interface: InterfaceId, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault> {
        assert_eq!(interface, INTERFACE);
        let request = rpc::srvsvc::Request::decode(opnum, stub)?;
        Ok(request.refuse(Win32Error::ACCESS_DENIED).encode())
    }
}
