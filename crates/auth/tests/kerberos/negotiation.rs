//! Tickets in SPNEGO (RFC 4178, MS-SPNG), and the keys that result.

use auth::kerberos::testing::{Issued, RequestSpec, TicketSpec, acceptors_subkey};
use auth::kerberos::{Enctype, KerberosTime, Key};
use auth::spnego::{Mechanism, NegState, NegTokenInit, NegTokenResp, Token};
use auth::{Acceptor, Logon, Refusal, Step};

use super::{NOW, Nobody, acceptor, service, ticket};

const AES: Enctype = Enctype::Aes256Sha384;

fn response(token: &[u8]) -> NegTokenResp {
    let Ok(Token::Response(response)) = Token::decode(token) else { panic!("no response: {token:?}") };
    response
}

fn done(step: Step) -> Logon {
    let Step::Done(logon) = step else { panic!("{step:?}") };
    *logon
}

fn offer(mechanisms: &[Mechanism], token: Option<Vec<u8>>) -> NegTokenInit {
    NegTokenInit::new(mechanisms.to_vec(), token)
}

fn step(acceptor: &mut Acceptor, token: &[u8]) -> Step {
    acceptor.step(token, &Nobody, NOW)
}

fn carol(enctype: Enctype) -> (Issued, RequestSpec) {
    let issued = ticket(enctype).issue();
    let request = RequestSpec::new(&issued, NOW);
    (issued, request)
}

/// The acceptor's subkey in the reply, or the client's if there is none.
fn key_of(reply: &[u8], issued: &Issued, request: &RequestSpec) -> Key {
    let subkey = acceptors_subkey(reply, issued, request).expect("an AP-REP to the request");
    subkey.or_else(|| request.subkey.clone()).unwrap()
}

#[test]
fn server_offers_kerberos_before_ntlm() {
    for (kerberos, expected) in [
        (true, &[Mechanism::MsKerberos, Mechanism::Kerberos, Mechanism::NtlmSsp][..]),
        (false, &[Mechanism::NtlmSsp]),
    ] {
        let Ok(Token::Init(init)) = Token::decode(&Acceptor::offer(kerberos)) else { panic!("no offer") };
        assert_eq!(init.mechanisms, expected);
    }
}

#[test]
fn ticket_of_the_first_mechanism_is_accepted_at_once() {
    for enctype in Enctype::ALL {
        for first in [Mechanism::Kerberos, Mechanism::MsKerberos] {
            let (issued, request) = carol(enctype);
            let init = offer(&[first.clone(), Mechanism::NtlmSsp], Some(request.token(&issued)));
            let logon = done(step(&mut acceptor(&service()), &init.encode()));
            let answer = response(&logon.token);
            assert_eq!(answer.state, Some(NegState::AcceptCompleted));
            assert_eq!((answer.mechanism, answer.mechanism_list_mic), (Some(first), None));
            let key = key_of(&answer.token.unwrap(), &issued, &request);
            assert_eq!(logon.session_key.full(), key.as_bytes(), "{enctype}");
            assert_eq!(key.enctype(), enctype);
            assert_eq!(enctype == Enctype::Rc4, Some(&key) == request.subkey.as_ref());
        }
    }
}

#[test]
fn ticket_without_spnego_is_answered_without_it() {
    let (issued, request) = carol(AES);
    let logon = done(step(&mut acceptor(&service()), &request.token(&issued)));
    assert_eq!(logon.session_key.full(), key_of(&logon.token, &issued, &request).as_bytes());
}

/// MS-KILE 3.4.5: clients that make their tokens by hand have no checksum, and want no answer.
#[test]
fn client_without_mutual_authentication_gets_no_reply() {
    for gss_flags in [None, Some(0x3c)] {
        let (issued, request) = carol(AES);
        let request = RequestSpec { gss_flags, mutual: false, ..request };
        let init = offer(&[Mechanism::MsKerberos], Some(request.token(&issued)));
        let logon = done(step(&mut acceptor(&service()), &init.encode()));
        assert_eq!(response(&logon.token).token, None);
        assert_eq!(logon.session_key.full(), request.subkey.unwrap().as_bytes());
        let bare = RequestSpec { gss_flags, mutual: false, subkey: None, ..RequestSpec::new(&issued, NOW) };
        let logon = done(step(&mut acceptor(&service()), &bare.token(&issued)));
        assert!(logon.token.is_empty());
        assert_eq!(logon.session_key.full(), issued.session_key.as_bytes());
    }
}

/// RFC 4178 5: the choice of a mechanism that is not the client's first is proved by the MICs of both.
#[test]
fn list_is_proved_if_kerberos_is_not_the_first_choice() {
    for enctype in Enctype::ALL {
        for forged in [false, true] {
            let (issued, request) = carol(enctype);
            let mut acceptor = acceptor(&service());
            let init =
                offer(&[Mechanism::NegoEx, Mechanism::MsKerberos, Mechanism::NtlmSsp], Some(vec![1, 2, 3]));
            let Step::Continue(token) = step(&mut acceptor, &init.encode()) else { panic!("no selection") };
            let selected = response(&token);
            assert_eq!(selected.state, Some(NegState::RequestMic));
            assert_eq!(selected.mechanism, Some(Mechanism::MsKerberos));
            let token = NegTokenResp { token: Some(request.token(&issued)), ..NegTokenResp::default() };
            let Step::Continue(token) = step(&mut acceptor, &token.encode()) else {
                panic!("{enctype}: no MIC")
            };
            let answer = response(&token);
            assert_eq!((answer.state, answer.mechanism), (Some(NegState::AcceptIncomplete), None));
            let key = key_of(&answer.token.unwrap(), &issued, &request);
            let is_acceptors = enctype != Enctype::Rc4;
            let mic = answer.mechanism_list_mic.unwrap();
            assert!(
                RequestSpec::is_acceptors_mic(&key, is_acceptors, &init.mechanism_list, &mic),
                "{enctype}"
            );
            let mut mic = RequestSpec::mic(&key, is_acceptors, &init.mechanism_list);
            if forged {
                *mic.last_mut().unwrap() ^= 1;
            }
            let token = NegTokenResp { mechanism_list_mic: Some(mic), ..NegTokenResp::default() };
            match step(&mut acceptor, &token.encode()) {
                Step::Done(logon) => {
                    assert!(!forged, "{enctype}");
                    assert_eq!(response(&logon.token).state, Some(NegState::AcceptCompleted));
                    assert_eq!(logon.session_key.full(), key.as_bytes());
                }
                Step::Refused { reason, .. } => {
                    assert_eq!((forged, reason), (true, Refusal::BadMic), "{enctype}")
                }
                step => panic!("{step:?}"),
            }
        }
    }
}

#[test]
fn every_bit_of_the_clients_mic_counts() {
    for enctype in Enctype::ALL {
        let (issued, request) = carol(enctype);
        // Without a reply, the client knows the key with its ticket, and can send the MIC at once.
        let request = RequestSpec { gss_flags: Some(0x3c), mutual: false, ..request };
        let init = |bit: Option<usize>| {
            let mut init = offer(&[Mechanism::Kerberos, Mechanism::NtlmSsp], Some(request.token(&issued)));
            let mut mic = RequestSpec::mic(request.subkey.as_ref().unwrap(), false, &init.mechanism_list);
            let bits = mic.len() * 8;
            if let Some(bit) = bit {
                mic[bit / 8] ^= 1 << (bit % 8);
            }
            init.mechanism_list_mic = Some(mic);
            (init.encode(), bits)
        };
        let logon = done(step(&mut acceptor(&service()), &init(None).0));
        assert!(response(&logon.token).mechanism_list_mic.is_some());
        for bit in 0..init(None).1 {
            let step = step(&mut acceptor(&service()), &init(Some(bit)).0);
            // The sequence number in a MIC of RC4 is encrypted with a key from the checksum, and not compared.
            if enctype == Enctype::Rc4 && (21 * 8..25 * 8).contains(&bit) {
                assert!(matches!(step, Step::Done(_)), "{bit}: {step:?}");
                continue;
            }
            let is_refused = matches!(step, Step::Refused { reason: Refusal::BadMic, .. });
            assert!(is_refused, "{enctype}, {bit}: {step:?}");
        }
    }
}

/// A second ticket takes the negotiation beyond its first message, so that both sides prove the list: smbclient, whose
/// clock is wrong, fails if the server is content without.
#[test]
fn list_is_proved_if_a_client_corrects_its_clock() {
    let (issued, request) = carol(AES);
    let mut acceptor = acceptor(&service());
    let late = RequestSpec { time: KerberosTime(NOW.to_unix().0 - 900), ..request.clone() };
    let init = offer(&[Mechanism::MsKerberos, Mechanism::NtlmSsp], Some(late.token(&issued)));
    let Step::Again { token, .. } = step(&mut acceptor, &init.encode()) else { panic!("no error") };
    let answer = response(&token);
    assert_eq!(answer.state, Some(NegState::AcceptIncomplete));
    assert_eq!(answer.mechanism, Some(Mechanism::MsKerberos));
    let token = NegTokenResp { token: Some(request.token(&issued)), ..NegTokenResp::default() };
    let Step::Continue(token) = step(&mut acceptor, &token.encode()) else { panic!("no MIC") };
    let answer = response(&token);
    assert_eq!((answer.state, answer.mechanism), (Some(NegState::AcceptIncomplete), None));
    let key = key_of(&answer.token.unwrap(), &issued, &request);
    let mic = answer.mechanism_list_mic.unwrap();
    assert!(RequestSpec::is_acceptors_mic(&key, true, &init.mechanism_list, &mic));
    let mic = RequestSpec::mic(&key, true, &init.mechanism_list);
    let token = NegTokenResp { mechanism_list_mic: Some(mic), ..NegTokenResp::default() };
    let logon = done(step(&mut acceptor, &token.encode()));
    assert_eq!(response(&logon.token).state, Some(NegState::AcceptCompleted));
    assert_eq!(logon.session_key.full(), key.as_bytes());
}

#[test]
fn list_without_its_proof_is_refused() {
    let (issued, request) = carol(AES);
    let mut acceptor = acceptor(&service());
    let init = offer(&[Mechanism::NegoEx, Mechanism::Kerberos], None);
    let Step::Continue(_) = step(&mut acceptor, &init.encode()) else { panic!("no selection") };
    let token = NegTokenResp { token: Some(request.token(&issued)), ..NegTokenResp::default() };
    let Step::Continue(_) = step(&mut acceptor, &token.encode()) else { panic!("no MIC") };
    let step = step(&mut acceptor, &NegTokenResp::default().encode());
    assert!(matches!(step, Step::Refused { reason: Refusal::BadMic, .. }), "{step:?}");
}

/// A ticket that is refused is not replaced by another mechanism within the logon.
#[test]
fn refused_ticket_ends_the_logon() {
    let issued = TicketSpec { pac: None, ..ticket(AES) }.issue();
    let request = RequestSpec::new(&issued, NOW);
    let init = offer(&[Mechanism::Kerberos, Mechanism::NtlmSsp], Some(request.token(&issued)));
    let mut acceptor = acceptor(&service());
    let Step::Refused { token, .. } = step(&mut acceptor, &init.encode()) else { panic!("accepted") };
    assert_eq!(response(&token.unwrap()).state, Some(NegState::Reject));
    let again = step(&mut acceptor, &offer(&[Mechanism::NtlmSsp], None).encode());
    assert!(matches!(again, Step::Refused { reason: Refusal::OutOfOrder, .. }));
}

#[test]
fn clients_first_choice_is_followed() {
    let mut acceptor = acceptor(&service());
    let init = offer(&[Mechanism::NtlmSsp, Mechanism::Kerberos], None);
    let Step::Continue(token) = step(&mut acceptor, &init.encode()) else { panic!("no selection") };
    assert_eq!(response(&token).mechanism, Some(Mechanism::NtlmSsp));
}
