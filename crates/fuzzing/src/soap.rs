//! Messages of WS-Discovery.

use std::net::Ipv6Addr;

use discovery::soap::{Kind, Question, host};
use discovery::{Announced, Group};

/// A message, as it comes over UDP or HTTP.
pub fn soap(data: &[u8]) {
    let Some(question) = Question::parse(data) else { return };
    assert!(!question.message_id.is_empty());
    let server = server();
    let here = host(Ipv6Addr::LOCALHOST.into());
    let plain = Question { message_id: String::from("x"), kind: question.kind.clone() };
    let of = |it: &Question| [server.answer(it, &here), server.metadata(it)];
    for (answer, plain) in of(&question).into_iter().zip(of(&plain)) {
        assert_eq!(answer.is_some(), plain.is_some());
        let (Some(answer), Some(plain)) = (answer, plain) else { continue };
        // The id, which the answer repeats, adds no element.
        assert_eq!(answer.matches('<').count(), plain.matches('<').count(), "{answer}");
        assert_eq!(Question::parse(answer.as_bytes()), None, "{answer}");
        match &question.kind {
            Kind::Probe(_) => {}
            Kind::Resolve(to) | Kind::Get(to) => assert_eq!(*to, server.address()),
        }
    }
}

fn server() -> Announced {
    Announced {
        name: String::from("FILES"),
        group: Group::Workgroup(String::from("R&D")),
        port: 445,
        uuid: String::from("11111111-2222-4333-8444-555555555555"),
        listening: Vec::new(),
        leave_out: Vec::new(),
        disks: Vec::new(),
    }
}

/// The seeds: the questions as Windows asks them, and the server's own messages.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let discovery = "http://schemas.xmlsoap.org/ws/2005/04/discovery";
    let address = server().address();
    let message = |action: &str, to: &str, body: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope \
             xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:wsa=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" xmlns:wsd=\"{discovery}\" \
             xmlns:wsdp=\"http://schemas.xmlsoap.org/ws/2006/02/devprof\"><soap:Header><wsa:To>{to}</wsa:To>\
             <wsa:Action>{action}</wsa:Action><wsa:MessageID>urn:uuid:c0ffee&amp;</wsa:MessageID></soap:Header>\
             <soap:Body>{body}</soap:Body></soap:Envelope>"
        )
        .into_bytes()
    };
    let all = "urn:schemas-xmlsoap-org:ws:2005:04:discovery";
    let resolve = format!(
        "<wsd:Resolve><wsa:EndpointReference><wsa:Address>{address}</wsa:Address></wsa:EndpointReference></wsd:Resolve>"
    );
    let probe = format!("{discovery}/Probe");
    vec![
        ("probe", message(&probe, all, "<wsd:Probe><wsd:Types>wsdp:Device</wsd:Types></wsd:Probe>")),
        ("probe-for-all", message(&probe, all, "<!-- all --><wsd:Probe/>")),
        ("resolve", message(&format!("{discovery}/Resolve"), all, &resolve)),
        ("get", message("http://schemas.xmlsoap.org/ws/2004/09/transfer/Get", &address, "")),
        ("hello", server().hello("192.0.2.1").into_bytes()),
        ("bye", server().bye().into_bytes()),
    ]
}
