//! The examples of MS-NLMP 4.2, and decoders with arbitrary bytes.

use proptest::prelude::*;
use wire::FileTime;

use super::av_pair::ClientChallenge;
use super::*;

const SERVER_CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const CLIENT_CHALLENGE: [u8; 8] = [0xaa; 8];
const RANDOM_SESSION_KEY: [u8; 16] = [0x55; 16];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn target_info() -> AvPairs {
    let mut pairs = AvPairs::default();
    pairs.push_text(AvId::NB_DOMAIN_NAME, "Domain");
    pairs.push_text(AvId::NB_COMPUTER_NAME, "Server");
    pairs
}

fn response_key() -> [u8; 16] {
    compute::response_key(&compute::nt_hash("Password"), "User", "Domain")
}

/// `temp` of 4.2.4.1.3.
fn blob() -> Vec<u8> {
    ClientChallenge { timestamp: FileTime(0), challenge: CLIENT_CHALLENGE, pairs: target_info() }.encode()
}

#[test]
fn section_4_2_2_1_1_nt_hash() {
    assert_eq!(compute::nt_hash("Password").to_vec(), hex("a4f49c406510bdcab6824ee7c30fd852"));
}

#[test]
fn section_4_2_4_1_1_response_key() {
    assert_eq!(response_key().to_vec(), hex("0c868a403bfd7a93a3001ef22ef02e3f"));
}

#[test]
fn section_4_2_4_2_1_lm_response() {
    assert_eq!(
        compute::lm_response(&response_key(), &SERVER_CHALLENGE, &CLIENT_CHALLENGE).to_vec(),
        hex("86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa")
    );
}

#[test]
fn section_4_2_4_2_2_proof_and_keys() {
    let proof = compute::proof(&response_key(), &SERVER_CHALLENGE, &blob());
    assert_eq!(proof.to_vec(), hex("68cd0ab851e51c96aabc927bebef6a1c"));
    let base_key = compute::session_base_key(&response_key(), &proof);
    assert_eq!(base_key.to_vec(), hex("8de40ccadbc14a82f15cb0ad0de95ca3"));
    let encrypted = compute::exchange_key(&base_key, &RANDOM_SESSION_KEY);
    assert_eq!(encrypted.to_vec(), hex("c5dad2544fc9799094ce1ce90bc9d03e"));
}

#[test]
fn section_4_2_4_3_challenge_message() {
    let bytes = hex("4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef
         0000000000000000240024004400000006007017 0000000f 53006500720076
         00650072000 2000c0044006f006d00610069006e0001000c00530065007200
         760065007200 00000000");
    let challenge = Challenge::decode(&bytes).unwrap();
    assert_eq!(challenge.challenge, SERVER_CHALLENGE);
    assert_eq!(challenge.target_name, "Server");
    assert_eq!(challenge.target_info, Some(target_info()));
    let mut encoded = challenge.encode();
    // The example's product version is not ours.
    encoded[48..56].copy_from_slice(&bytes[48..56]);
    assert_eq!(encoded, bytes);
}

#[test]
fn section_4_2_4_3_authenticate_message() {
    let flags = NegotiateFlags(0xe288_8235);
    let proof = compute::proof(&response_key(), &SERVER_CHALLENGE, &blob());
    let message = Authenticate {
        flags,
        lm_response: compute::lm_response(&response_key(), &SERVER_CHALLENGE, &CLIENT_CHALLENGE).to_vec(),
        nt_response: [proof.as_slice(), &blob()].concat(),
        domain: "Domain".into(),
        user: "User".into(),
        workstation: "COMPUTER".into(),
        encrypted_session_key: hex("c5dad2544fc9799094ce1ce90bc9d03e"),
        mic: None,
    };
    let expected = hex("4e544c4d535350000300000018001800 6c000000540054008400000 00c000c00
         48000000080008005400000010001000 5c00000010001000d8000000358288e2
         0501280a0000000f44006f006d006100 69006e00550073006500720043004f00
         4d0050005500540045005200");
    let mut encoded = message.encode();
    encoded[64..72].copy_from_slice(&expected[64..72]);
    assert_eq!(encoded[..expected.len()], expected);
    assert_eq!(Authenticate::decode(&encoded), Ok(message));
}

#[test]
fn section_4_2_4_4_seal() {
    let flags = NegotiateFlags(0xe288_8235);
    let mut client = NtlmSeal::new(flags, &RANDOM_SESSION_KEY, Sender::Client).unwrap();
    let mut server_view = NtlmSeal::new(flags, &RANDOM_SESSION_KEY, Sender::Client).unwrap();
    let plain = crate::bytes::utf16le("Plaintext");
    let mut message = plain.clone();
    let signature = client.seal(&mut message);
    assert_eq!(message, hex("54e50165bf1936dc996020c1811b0f06fb5f"));
    assert_eq!(signature.to_vec(), hex("010000007fb38ec5c55d497600000000"));
    assert!(server_view.open(&mut message, &signature));
    assert_eq!(message, plain);

    let signature = client.sign(b"next");
    assert!(!NtlmSeal::new(flags, &RANDOM_SESSION_KEY, Sender::Server).unwrap().verify(b"next", &signature));
    assert!(server_view.verify(b"next", &signature));
}

#[test]
fn the_user_is_folded_and_the_domain_is_not() {
    let hash = compute::nt_hash("x");
    let key = compute::response_key(&hash, "müller", "Dom");
    assert_eq!(key, compute::response_key(&hash, "MÜLLER", "Dom"));
    assert_ne!(key, compute::response_key(&hash, "müller", "DOM"));
    // One character for one, as Windows folds.
    assert_ne!(compute::response_key(&hash, "straße", ""), compute::response_key(&hash, "STRASSE", ""));
}

#[test]
fn fields_outside_the_message_are_refused() {
    let message =
        Authenticate { flags: NegotiateFlags::UNICODE, user: "u".into(), ..Authenticate::default() };
    let bytes = message.encode();
    assert!(Authenticate::decode(&bytes).is_ok());
    for offset in [bytes.len() as u32 - 1, u32::MAX, u32::MAX - 1] {
        let mut changed = bytes.clone();
        changed[40..44].copy_from_slice(&offset.to_le_bytes());
        assert_eq!(Authenticate::decode(&changed), Err(NtlmError::Malformed));
    }
}

#[test]
fn a_mic_is_decoded_only_if_the_message_has_room_for_it() {
    let mut message =
        Authenticate { flags: NegotiateFlags::UNICODE, user: "u".into(), ..Authenticate::default() };
    assert_eq!(Authenticate::decode(&message.encode()).unwrap().mic, None);
    message.mic = Some([3; 16]);
    assert_eq!(Authenticate::decode(&message.encode()).unwrap().mic, Some([3; 16]));
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter)
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..100)
}

proptest! {
    #[test]
    fn authenticate_round_trips(
        lm_response in data(), nt_response in data(), domain in text(), user in text(), workstation in text(),
        encrypted_session_key in data(), mic: Option<[u8; 16]>,
    ) {
        let message = Authenticate {
            flags: NegotiateFlags::UNICODE, lm_response, nt_response, domain, user, workstation,
            encrypted_session_key, mic,
        };
        prop_assert_eq!(Authenticate::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn client_challenge_round_trips(
        time: u64, challenge: [u8; 8], pairs in proptest::collection::vec((1_u16..20, data()), 0..10),
    ) {
        let mut list = AvPairs::default();
        pairs.into_iter().for_each(|(id, value)| list.push(AvId(id), value));
        let blob = ClientChallenge { timestamp: FileTime(time), challenge, pairs: list };
        prop_assert_eq!(ClientChallenge::decode(&blob.encode()), Ok(blob));
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 1_u8..4, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = message::SIGNATURE.to_vec();
        bytes.extend([kind, 0, 0, 0]);
        bytes.extend(body);
        let _ = Negotiate::decode(&bytes);
        let _ = Challenge::decode(&bytes);
        let _ = Authenticate::decode(&bytes);
        let _ = AvPairs::decode(&bytes);
        let _ = ClientChallenge::decode(&bytes);
    }

    #[test]
    fn arbitrary_fields_never_panic(fields: [(u8, u8); 6], flags: u32, body in data()) {
        let mut bytes = message::SIGNATURE.to_vec();
        bytes.extend([3, 0, 0, 0]);
        for (len, offset) in fields {
            bytes.extend([len, 0, len, 0, offset, 0, 0, 0]);
        }
        bytes.extend(flags.to_le_bytes());
        bytes.extend(body);
        let _ = Authenticate::decode(&bytes);
    }
}
