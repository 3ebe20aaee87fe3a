use super::*;
use proptest::prelude::*;

#[test]
fn offer_is_what_windows_sends() {
    let offer = server_offer(&[Mechanism::NtlmSsp]);
    let head = [
        0x60, 0x48, 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02, 0xa0, 0x3e, 0x30, 0x3c, 0xa0, 0x0e, 0x30,
        0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a, 0xa3, 0x2a, 0x30, 0x28,
        0xa0, 0x26, 0x1b, 0x24,
    ];
    assert_eq!(offer[..head.len()], head);
    assert_eq!(&offer[head.len()..], HINT);
    let Ok(Token::Init(init)) = Token::decode(&offer) else { panic!("the offer does not decode") };
    assert_eq!(init.mechanisms, [Mechanism::NtlmSsp]);
    assert_eq!(init.mechanism_list_mic, None);
}

#[test]
fn the_mechanism_list_is_kept_as_received() {
    // mechTypes with a length that is not in the shortest form.
    let list = [0x30, 0x81, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
    let token = framed_init(&[element(context(0), &[&list])]);
    let Ok(Token::Init(init)) = Token::decode(&token) else { panic!("does not decode") };
    assert_eq!(init.mechanism_list, list);
}

#[test]
fn too_many_mechanisms_are_refused() {
    let token = |count| NegTokenInit::new(vec![Mechanism::Kerberos; count], None).encode();
    assert!(Token::decode(&token(MAX_MECHANISMS)).is_ok());
    assert_eq!(Token::decode(&token(MAX_MECHANISMS + 1)), Err(Malformed));
    assert_eq!(Token::decode(&token(0)), Err(Malformed));
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    prop_oneof![
        Just(Mechanism::NtlmSsp),
        Just(Mechanism::Kerberos),
        Just(Mechanism::MsKerberos),
        Just(Mechanism::NegoEx),
        proptest::collection::vec(any::<u8>(), 1..8).prop_map(|oid| Mechanism::from_oid(&oid)),
    ]
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400))
}

proptest! {
    #[test]
    fn init_round_trips(
        mechanisms in proptest::collection::vec(mechanism(), 1..6), token in bytes(), mic in bytes(),
    ) {
        let mut init = NegTokenInit::new(mechanisms, token);
        init.mechanism_list_mic = mic;
        prop_assert_eq!(Token::decode(&init.encode()), Ok(Token::Init(init)));
    }

    #[test]
    fn response_round_trips(
        state in proptest::option::of(prop::sample::select(&[
            NegState::AcceptCompleted, NegState::AcceptIncomplete, NegState::Reject, NegState::RequestMic,
        ][..])),
        mechanism in proptest::option::of(mechanism()), token in bytes(), mechanism_list_mic in bytes(),
    ) {
        let response = NegTokenResp { state, mechanism, token, mechanism_list_mic };
        prop_assert_eq!(Token::decode(&response.encode()), Ok(Token::Response(response)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Token::decode(&bytes);
    }

    #[test]
    fn mutated_tokens_never_panic(at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let mut init = NegTokenInit::new(vec![Mechanism::Kerberos, Mechanism::NtlmSsp], Some(vec![1; 140]));
        init.mechanism_list_mic = Some(vec![2; 16]);
        let mut bytes = init.encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = Token::decode(&bytes);
        let _ = Token::decode(&bytes[..cut.index(bytes.len())]);
    }
}
