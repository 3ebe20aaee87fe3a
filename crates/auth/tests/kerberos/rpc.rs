//! Logons with tickets for RPC, and messages in their contexts.

use auth::kerberos::testing::{ClientSeal, Counting, Issued, RequestSpec, third_leg, with_version};
use auth::kerberos::{Enctype, KerberosRefusal, KerberosSeal};
use auth::spnego::{Mechanism, NegState, NegTokenInit, NegTokenResp, Token};
use auth::{Acceptor, Logon, MessageContext, Refusal, Step};

use super::{NOW, Nobody, acceptor, service, ticket};

const AES: [Enctype; 4] =
    [Enctype::Aes128Sha1, Enctype::Aes256Sha1, Enctype::Aes128Sha256, Enctype::Aes256Sha384];

fn rpc() -> Acceptor {
    acceptor(&service()).for_rpc()
}

fn carol(enctype: Enctype) -> (Issued, RequestSpec) {
    let issued = ticket(enctype).issue();
    let request = RequestSpec::new(&issued, NOW).for_rpc();
    (issued, request)
}

#[track_caller]
fn continued(step: Step) -> Vec<u8> {
    let Step::Continue(token) = step else { panic!("{step:?}") };
    token
}

#[track_caller]
fn done(step: Step) -> (Logon, KerberosSeal) {
    let Step::Done(logon) = step else { panic!("{step:?}") };
    let mut logon = *logon;
    match std::mem::replace(&mut logon.messages, MessageContext::None) {
        MessageContext::Kerberos(seal) => (logon, *seal),
        other => panic!("{other:?}"),
    }
}

/// A context without SPNEGO: both ends.
fn context(enctype: Enctype) -> (KerberosSeal, ClientSeal) {
    let (issued, request) = carol(enctype);
    context_of(&issued, &request, &request.ap_req(&issued))
}

fn context_of(issued: &Issued, request: &RequestSpec, token: &[u8]) -> (KerberosSeal, ClientSeal) {
    let mut acceptor = rpc();
    let reply = continued(acceptor.step(token, &Nobody, NOW));
    let (last, client) = third_leg(&reply, issued, request).expect("an answer to the request");
    let (logon, server) = done(acceptor.step(&last, &Nobody, NOW));
    assert_eq!(logon.identity.user, "CORP\\carol");
    assert!(logon.token.is_empty());
    (server, client)
}

#[test]
fn context_protects_messages_in_both_directions() {
    for enctype in AES {
        let (mut server, mut client) = context(enctype);
        for len in [0, 1, 15, 16, 17, 4000] {
            let message: Vec<u8> = (0..len).map(|n| n as u8).collect();
            assert!(server.verify(&message, &client.sign(&message)), "{enctype}: {len}");
            let token = server.sign(&message);
            assert_eq!(token.len(), server.signature_len());
            assert!(client.verify(&message, &token), "{enctype}: {len}");
            // Windows pads with a block, impacket fills the last one, and MIT sends no padding.
            for extra in [0, 5, 16] {
                let mut sealed = message.clone();
                let token = client.seal(&mut sealed, extra);
                assert!(len == 0 || sealed != message);
                assert!(server.open_part(&mut sealed, 0..len, &token), "{enctype}: {len}");
                assert_eq!(sealed, message);
            }
            let mut sealed = message.clone();
            let token = server.seal_part(&mut sealed, 0..len, &mut Counting(9)).unwrap();
            assert_eq!(token.len(), server.seal_len());
            assert!(client.open(&mut sealed, &token), "{enctype}: {len}");
            assert_eq!(sealed, message);
        }
    }
}

/// impacket frames its request.
#[test]
fn request_may_be_framed() {
    let (issued, request) = carol(Enctype::Aes256Sha1);
    let (mut server, mut client) = context_of(&issued, &request, &request.token(&issued));
    assert!(server.verify(b"a message", &client.sign(b"a message")));
}

#[test]
fn every_bit_of_a_message_and_its_token_counts() {
    for enctype in AES {
        let (mut server, mut client) = context(enctype);
        let message = b"a message of more than a block";
        let signature = client.sign(message);
        for bit in 0..(message.len() + signature.len()) * 8 {
            let mut both = [&message[..], &signature].concat();
            both[bit / 8] ^= 1 << (bit % 8);
            let (message, signature) = both.split_at(message.len());
            assert!(!server.verify(message, signature), "{enctype}: {bit}");
        }
        assert!(server.verify(message, &signature));
        let mut sealed = *message;
        let token = client.seal(&mut sealed, 16);
        for bit in 0..(sealed.len() + token.len()) * 8 {
            let mut both = [&sealed[..], &token].concat();
            both[bit / 8] ^= 1 << (bit % 8);
            let (message, token) = both.split_at_mut(sealed.len());
            assert!(!server.open_part(message, 0..sealed.len(), token), "{enctype}: {bit}");
        }
        for len in 0..token.len() {
            assert!(
                !server.open_part(&mut sealed.clone(), 0..sealed.len(), &token[..len]),
                "{enctype}: {len}"
            );
        }
        assert!(!server.open_part(&mut sealed.clone(), 1..sealed.len() + 1, &token));
        assert!(server.open_part(&mut sealed, 0..message.len(), &token));
        assert_eq!(&sealed, message);
    }
}

#[test]
fn message_is_accepted_once_and_in_its_order() {
    let (mut server, mut client) = context(Enctype::Aes256Sha1);
    let (first, second) = (client.sign(b"first"), client.sign(b"second"));
    assert!(!server.verify(b"second", &second));
    assert!(server.verify(b"first", &first));
    assert!(!server.verify(b"first", &first));
    assert!(server.verify(b"second", &second));
    // A signature is no token of an encrypted message, and the server's own messages are not the client's.
    let own = server.sign(b"own");
    assert!(!server.verify(b"own", &own));
    assert!(!server.open_part(&mut b"own".to_vec(), 0..3, &client.sign(b"own")));
}

#[test]
fn last_reply_of_the_client_is_required() {
    let (issued, request) = carol(Enctype::Aes256Sha1);
    let mut other = issued.clone();
    other.session_key = super::service_key(Enctype::Aes256Sha1, 0x12);
    let begun = || {
        let mut acceptor = rpc();
        let reply = continued(acceptor.step(&request.ap_req(&issued), &Nobody, NOW));
        (acceptor, reply)
    };
    let (_, reply) = begun();
    let (right, _) = third_leg(&reply, &issued, &request).unwrap();
    // The random numbers of the tests repeat, so that the reply is right for another exchange, too.
    for flipped in 0..right.len() * 8 {
        let mut altered = right.clone();
        altered[flipped / 8] ^= 1 << (flipped % 8);
        let step = begun().0.step(&altered, &Nobody, NOW);
        let refused = Refusal::Kerberos(KerberosRefusal::ReplyAltered);
        assert!(matches!(&step, Step::Refused { reason, .. } if *reason == refused), "{flipped}: {step:?}");
    }
    // The server's own reply is encrypted in the same key, whatever is around it.
    let own = with_version(&reply, &issued, 1).unwrap();
    for wrong in [&reply[..], &own, b"", &request.ap_req(&issued)] {
        let step = begun().0.step(wrong, &Nobody, NOW);
        assert!(matches!(step, Step::Refused { .. }), "{step:?}");
    }
}

#[test]
fn styles_of_smb_and_rpc_are_not_taken_for_each_other() {
    let (issued, request) = carol(Enctype::Aes128Sha1);
    let two_messages = RequestSpec::new(&issued, NOW);
    let refused = |step: Step| {
        let is_refused = matches!(step, Step::Refused { .. });
        assert!(is_refused, "{step:?}");
    };
    refused(rpc().step(&two_messages.token(&issued), &Nobody, NOW));
    refused(rpc().step(&two_messages.ap_req(&issued), &Nobody, NOW));
    refused(rpc().step(&RequestSpec { gss_flags: None, ..request.clone() }.ap_req(&issued), &Nobody, NOW));
    refused(acceptor(&service()).step(&request.ap_req(&issued), &Nobody, NOW));
    refused(acceptor(&service()).step(&request.token(&issued), &Nobody, NOW));
    let (issued, request) = carol(Enctype::Rc4);
    refused(rpc().step(&request.ap_req(&issued), &Nobody, NOW));
}

#[test]
fn negotiated_context_counts_the_codes_of_the_list() {
    for with_mic in [false, true] {
        let (issued, request) = carol(Enctype::Aes256Sha1);
        let mut acceptor = rpc();
        let init = NegTokenInit::new(
            vec![Mechanism::MsKerberos, Mechanism::Kerberos, Mechanism::NtlmSsp],
            Some(request.ap_req(&issued)),
        );
        let answer = response(&continued(acceptor.step(&init.encode(), &Nobody, NOW)));
        assert_eq!(answer.state, Some(NegState::AcceptIncomplete));
        let (last, mut client) = third_leg(&answer.token.unwrap(), &issued, &request).unwrap();
        let mechanism_list_mic = with_mic.then(|| client.sign(&init.mechanism_list));
        let last = NegTokenResp { token: Some(last), mechanism_list_mic, ..NegTokenResp::default() };
        let (logon, mut server) = done(acceptor.step(&last.encode(), &Nobody, NOW));
        let answer = response(&logon.token);
        assert_eq!(answer.state, Some(NegState::AcceptCompleted));
        assert_eq!(answer.mechanism_list_mic.is_some(), with_mic);
        if let Some(mic) = answer.mechanism_list_mic {
            assert!(client.verify(&init.mechanism_list, &mic));
        }
        assert!(server.verify(b"a message", &client.sign(b"a message")));
        assert!(client.verify(b"an answer", &server.sign(b"an answer")));
    }
}

fn response(token: &[u8]) -> NegTokenResp {
    match Token::decode(token) {
        Ok(Token::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}
