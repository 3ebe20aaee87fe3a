//! Logons of browsers by Negotiate: tickets for the web service, bound to the TLS connection or not.

use auth::kerberos::ChannelBindings;
use auth::kerberos::testing::Authorization;
use auth::ntlm::{Negotiate, NegotiateFlags};

use super::*;

const HTTP: [&str; 2] = ["HTTP", "files.corp.test"];

/// The hash of a certificate, and its bindings by Microsoft's example for Extended Protection.
const CERTIFICATE: [u8; 32] = [
    0xe3, 0xca, 0x49, 0x27, 0x1e, 0x50, 0x89, 0xcc, 0x48, 0xce, 0x82, 0x10, 0x9f, 0x13, 0x24, 0xf4, 0x1d,
    0xbe, 0xdd, 0xc2, 0x9a, 0x77, 0x74, 0x10, 0xc7, 0x38, 0xf7, 0x86, 0x8c, 0x4f, 0xf4, 0x05,
];
const BINDINGS: [u8; 16] =
    [0x6e, 0xa1, 0x9d, 0xf0, 0x66, 0xda, 0x46, 0x22, 0x05, 0x1f, 0x9c, 0x4f, 0x92, 0xc6, 0xdf, 0x74];

fn channel() -> Option<ChannelBindings> {
    Some(ChannelBindings::tls_server_end_point(&CERTIFICATE))
}

fn issued() -> Issued {
    TicketSpec::new(&HTTP, REALM, service_key(Enctype::Aes256Sha1, 0x33), VERSION, NOW).issue()
}

/// Presents a request in a channel.
fn present(issued: &Issued, request: &RequestSpec, channel: Option<ChannelBindings>) -> Result<(), Refusal> {
    match acceptor(&service()).for_web(channel).step(&request.token(issued), &Nobody, NOW) {
        Step::Done(logon) => {
            assert_eq!(logon.identity.user, "CORP\\carol");
            Ok(())
        }
        Step::Refused { reason, .. } | Step::Again { reason, .. } => Err(reason),
        step => panic!("{step:?}"),
    }
}

fn refused(reason: KerberosRefusal) -> Result<(), Refusal> {
    Err(Refusal::Kerberos(reason))
}

#[test]
fn bindings_have_the_bytes_of_the_specification() {
    assert_eq!(channel().unwrap().as_bytes(), &BINDINGS);
}

#[test]
fn bindings_of_the_connection_are_accepted_and_others_never() {
    let issued = issued();
    let unbound = RequestSpec::new(&issued, NOW);
    let bound = |bindings| RequestSpec { bindings, ..unbound.clone() };
    let mut flipped = BINDINGS;
    flipped[15] ^= 1;
    assert_eq!(present(&issued, &bound(BINDINGS), channel()), Ok(()));
    for wrong in [flipped, [0xff; 16], *ChannelBindings::tls_server_end_point(&[0; 32]).as_bytes()] {
        let another = refused(KerberosRefusal::AnotherChannel);
        assert_eq!(present(&issued, &bound(wrong), channel()), another, "{wrong:?}");
    }
    // A connection without TLS, or with a certificate whose bindings are not defined.
    assert_eq!(present(&issued, &bound(BINDINGS), None), refused(KerberosRefusal::Demands("a channel")));
    assert_eq!(present(&issued, &unbound, None), Ok(()));
}

#[test]
fn client_that_knows_bindings_must_send_them_over_tls() {
    let issued = issued();
    let unbound = RequestSpec::new(&issued, NOW);
    assert_eq!(present(&issued, &unbound, channel()), Ok(()), "it does not know them");
    let knows = RequestSpec {
        authorization: vec![Authorization::knows_bindings()],
        ..RequestSpec::new(&issued, NOW)
    };
    let without_checksum = RequestSpec { gss_flags: None, mutual: false, ..knows.clone() };
    let of_no_data = RequestSpec { application_data: Some(Vec::new()), ..knows.clone() };
    for request in [&knows, &without_checksum, &of_no_data] {
        assert_eq!(present(&issued, request, channel()), refused(KerberosRefusal::Unbound), "{request:?}");
        assert_eq!(present(&issued, request, None), Ok(()), "{request:?}");
    }
    assert_eq!(present(&issued, &RequestSpec { bindings: BINDINGS, ..knows }, channel()), Ok(()));
    let odd = Authorization { contents: vec![0; 3], ..Authorization::knows_bindings() };
    let odd = RequestSpec { authorization: vec![odd], ..unbound.clone() };
    assert_eq!(present(&issued, &odd, channel()), Ok(()), "no options");
}

/// In a domain, both services have the same key.
#[test]
fn tickets_for_files_are_not_accepted_for_the_web_and_the_other_way_round() {
    let for_files = ticket(Enctype::Aes256Sha1).issue();
    let request = RequestSpec::new(&for_files, NOW);
    let reason = present(&for_files, &request, channel());
    assert!(matches!(reason, Err(Refusal::Kerberos(KerberosRefusal::NotUs(..)))), "{reason:?}");
    let issued = issued();
    let reason = accept(&service(), &RequestSpec::new(&issued, NOW).token(&issued)).map(drop);
    assert!(matches!(reason, Err(Refusal::Kerberos(KerberosRefusal::NotUs(..)))), "{reason:?}");
    // The name in the ticket can be changed on the way; the one that Windows puts into the authenticator cannot.
    let wanting = |name| {
        let authorization = vec![Authorization::target(name)];
        present(&issued, &RequestSpec { authorization, ..RequestSpec::new(&issued, NOW) }, channel())
    };
    assert_eq!(wanting("HTTP/files.corp.test@CORP.TEST"), Ok(()));
    let reason = wanting("cifs/files.corp.test@CORP.TEST");
    assert!(matches!(reason, Err(Refusal::Kerberos(KerberosRefusal::AnotherTarget(..)))), "{reason:?}");
}

#[test]
fn password_is_not_accepted() {
    let raw = Negotiate { flags: NegotiateFlags(0) }.encode();
    let step = acceptor(&service()).for_web(None).step(&raw, &Nobody, NOW);
    assert!(matches!(step, Step::Refused { reason: Refusal::NoCommonMechanism, token: None }), "{step:?}");
}
