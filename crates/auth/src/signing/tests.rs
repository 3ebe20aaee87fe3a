use super::*;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use proptest::prelude::*;

const KEY: [u8; 16] = *b"0123456789abcdef";

fn message(message_id: u64, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 64];
    message[..4].copy_from_slice(b"\xfeSMB");
    message[12..14].copy_from_slice(&command.to_le_bytes());
    message[16..20].copy_from_slice(&flags.to_le_bytes());
    message[24..32].copy_from_slice(&message_id.to_le_bytes());
    message.extend_from_slice(body);
    message
}

fn whole_gmac(nonce: [u8; 12], message: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &KEY).unwrap());
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_separate_tag(nonce, Aad::from(message), &mut []).unwrap().as_ref().to_vec()
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

#[test]
fn cmac_gives_the_results_of_rfc_4493() {
    let key = cmac::Key::new(cmac::AES_128, &hex::<16>("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
    let text: [u8; 64] = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    for (len, expected) in [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ] {
        let mut context = cmac::Context::with_key(&key);
        text[..len].chunks(7).for_each(|part| context.update(part).unwrap());
        assert_eq!(context.sign().unwrap().as_ref(), hex::<16>(expected), "length {len}");
    }
}

#[test]
fn gmac_nonce_is_made_of_message_id_direction_and_cancel() {
    for (command, flags, role) in [(0x8, 0, 0), (0x8, 1, 1), (0xc, 0, 2), (0xc, 1, 3)] {
        let mut signed = message(0x0102_0304_0506_0708, command, flags, b"body");
        SigningKey::new(SigningAlgorithm::AesGmac, &KEY).unwrap().sign(&mut signed).unwrap();
        let signature = signed[48..64].to_vec();
        signed[48..64].fill(0);
        let nonce = [8, 7, 6, 5, 4, 3, 2, 1, role, 0, 0, 0];
        assert_eq!(signature, whole_gmac(nonce, &signed), "command {command} flags {flags}");
    }
}

#[test]
fn signing_sets_the_flag_and_covers_every_byte() {
    for algorithm in [SigningAlgorithm::HmacSha256, SigningAlgorithm::AesCmac, SigningAlgorithm::AesGmac] {
        let key = SigningKey::new(algorithm, &KEY).unwrap();
        let mut signed = message(5, 9, 1, b"some payload of no particular length");
        key.sign(&mut signed).unwrap();
        assert_eq!(signed[16] & 8, 8);
        assert_eq!(key.verify(&signed), Ok(()));
        for at in 0..signed.len() {
            signed[at] ^= 1;
            assert_eq!(key.verify(&signed), Err(SigningError::BadSignature), "{algorithm:?} byte {at}");
            signed[at] ^= 1;
        }
        let other = SigningKey::new(algorithm, &[7; 16]).unwrap();
        assert_eq!(other.verify(&signed), Err(SigningError::BadSignature));
        assert_eq!(key.verify(&signed[..63]), Err(SigningError::TooShort));
        assert_eq!(key.sign(&mut [0; 63]), Err(SigningError::TooShort));
    }
}

#[test]
fn gmac_combines_the_tags_of_large_pieces() {
    let body: Vec<u8> = (0..(1 << 20) + 5_u32).map(|n| (n * 7) as u8).collect();
    let key = SigningKey::new(SigningAlgorithm::AesGmac, &KEY).unwrap();
    let mut signed = message(1, 8, 8, &body);
    let expected = whole_gmac([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &signed);
    let (head, rest) = signed.split_at_mut(80);
    key.sign_parts(head, &[rest]).unwrap();
    assert_eq!(head[48..64], expected);
}

proptest! {
    #[test]
    fn slices_sign_like_the_whole(
        body in proptest::collection::vec(any::<u8>(), 0..3000),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        algorithm in prop::sample::select(&[
            SigningAlgorithm::HmacSha256, SigningAlgorithm::AesCmac, SigningAlgorithm::AesGmac,
        ][..]),
        message_id: u64,
    ) {
        let key = SigningKey::new(algorithm, &KEY).unwrap();
        let mut whole = message(message_id, 8, 9, &body);
        let unsigned = whole.clone();
        key.sign(&mut whole).unwrap();
        if algorithm == SigningAlgorithm::AesGmac {
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&message_id.to_le_bytes());
            nonce[8] = 1;
            prop_assert_eq!(&whole[48..64], whole_gmac(nonce, &unsigned));
        }

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1) + 64).collect();
        cuts.sort_unstable();
        cuts.push(unsigned.len());
        let mut head = unsigned[..cuts[0]].to_vec();
        let rest: Vec<&[u8]> = cuts.windows(2).map(|pair| &unsigned[pair[0]..pair[1]]).collect();
        key.sign_parts(&mut head, &rest).unwrap();
        prop_assert_eq!(&head[48..64], &whole[48..64]);
        prop_assert_eq!(key.verify_parts(&head, &rest), Ok(()));
    }
}
