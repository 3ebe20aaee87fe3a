use super::*;
use proptest::prelude::*;

const CIPHERS: [Cipher; 4] = [Cipher::Aes128Ccm, Cipher::Aes128Gcm, Cipher::Aes256Ccm, Cipher::Aes256Gcm];

fn header() -> [u8; TRANSFORM_HEADER] {
    let mut header = [0; TRANSFORM_HEADER];
    header[..4].copy_from_slice(b"\xfdSMB");
    header[42] = 1;
    header[44..].copy_from_slice(&77_u64.to_le_bytes());
    header
}

fn pair(cipher: Cipher) -> (SealingKey, SealingKey) {
    let key = vec![9; cipher.key_len()];
    (SealingKey::new(cipher, &key).unwrap(), SealingKey::new(cipher, &key).unwrap())
}

proptest! {
    #[test]
    fn encrypted_messages_decrypt(
        cipher in prop::sample::select(&CIPHERS[..]),
        payload in proptest::collection::vec(any::<u8>(), 0..5000),
    ) {
        let (sender, receiver) = pair(cipher);
        let mut header = header();
        let mut sealed = payload.clone();
        sender.seal_in_place(&mut header, &mut sealed).unwrap();
        prop_assert!(payload.len() < 16 || sealed != payload);
        receiver.open_in_place(&header, &mut sealed).unwrap();
        prop_assert_eq!(sealed, payload);
    }
}

#[test]
fn a_change_of_any_byte_fails_authentication() {
    for cipher in CIPHERS {
        let (sender, receiver) = pair(cipher);
        let mut header = header();
        let mut sealed = b"READ".to_vec();
        sender.seal_in_place(&mut header, &mut sealed).unwrap();
        for at in 4..TRANSFORM_HEADER {
            let mut changed = header;
            changed[at] ^= 0x80;
            let result = receiver.open_in_place(&changed, &mut sealed.clone());
            assert_eq!(result, Err(SealingError::BadSignature), "{cipher:?} byte {at}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(receiver.open_in_place(&header, &mut changed), Err(SealingError::BadSignature));
        }
        assert_eq!(receiver.open_in_place(&header, &mut sealed), Ok(()));
    }
}

#[test]
fn nonces_increase_and_end_with_zeros() {
    for cipher in CIPHERS {
        let (sender, _) = pair(cipher);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut header = header();
            sender.seal_in_place(&mut header, &mut [0; 3]).unwrap();
            assert!(header[20 + cipher.nonce_len()..36].iter().all(|byte| *byte == 0));
            assert!(seen.insert(header[20..36].to_vec()));
        }
    }
}

#[test]
fn a_key_without_nonces_encrypts_nothing_more() {
    let (sender, _) = pair(Cipher::Aes128Gcm);
    sender.nonces.counter.store(MAX_SEALED_MESSAGES - 1, Ordering::Relaxed);
    let seal = || sender.seal_in_place(&mut header(), &mut [0; 3]);
    assert_eq!(seal(), Ok(()));
    assert_eq!(seal(), Err(SealingError::NoncesExhausted));
    assert_eq!(seal(), Err(SealingError::NoncesExhausted));
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for cipher in CIPHERS {
        let key = vec![0; cipher.key_len() - 1];
        assert_eq!(SealingKey::new(cipher, &key).err(), Some(SealingError::WrongKeyLength));
    }
}

#[test]
fn wire_values_round_trip() {
    for cipher in CIPHERS {
        assert_eq!(Cipher::from_id(cipher.id()), Some(cipher));
    }
    assert_eq!(Cipher::from_id(5), None);
}
