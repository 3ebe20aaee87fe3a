use super::*;
use crate::random::RandomFailed;
use proptest::prelude::*;

/// The bytes of a text in hexadecimal, which may have spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|it| !it.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A source that gives these bytes.
struct Given(Vec<u8>);

impl Random for Given {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

fn key(enctype: Enctype, bytes: &str) -> Key {
    Key::new(enctype, &hex(bytes)).unwrap()
}

/// RFC 3961 A.1.
#[test]
fn n_fold_is_that_of_the_specification() {
    use derive::n_fold_to;
    assert_eq!(n_fold_to::<8>(b"012345").to_vec(), hex("be072631276b1955"));
    assert_eq!(n_fold_to::<7>(b"password").to_vec(), hex("78a07b6caf85fa"));
    assert_eq!(n_fold_to::<8>(b"Rough Consensus, and Running Code").to_vec(), hex("bb6ed30870b7f0e0"));
    assert_eq!(n_fold_to::<21>(b"password").to_vec(), hex("59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"));
    assert_eq!(
        n_fold_to::<24>(b"MASSACHVSETTS INSTITVTE OF TECHNOLOGY").to_vec(),
        hex("db3b0d8f0b061e603282b308a50841229ad798fab9540c1b")
    );
    assert_eq!(n_fold_to::<21>(b"Q").to_vec(), hex("518a54a215a8452a518a54a215a8452a518a54a215"));
    assert_eq!(n_fold_to::<21>(b"ba").to_vec(), hex("fb25d531ae8974499f52fd92ea9857c4ba24cf297e"));
    assert_eq!(derive::n_fold(b"kerberos").to_vec(), hex("6b65726265726f737b9b5b2b93132b93"));
    assert_eq!(
        n_fold_to::<32>(b"kerberos").to_vec(),
        hex("6b65726265726f737b9b5b2b93132b935c9bdcdad95c9899c4cae4dee6d6cae4")
    );
}

/// RFC 3962 B.
#[test]
fn ciphertext_stealing_is_that_of_the_specification() {
    let text = b"I would like the General Gau's Chicken, please, and wonton soup.";
    for (len, cipher) in [
        (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
        (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
        (
            47,
            "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
        ),
        (
            48,
            "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8",
        ),
        (
            64,
            "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a84807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
        ),
    ] {
        let mut data = text[..len].to_vec();
        cts::encrypt(b"chicken teriyaki", &mut data);
        assert_eq!(data, hex(cipher), "{len}");
        cts::decrypt(b"chicken teriyaki", &mut data).unwrap();
        assert_eq!(data, text[..len], "{len}");
    }
}

const BASE_128: &str = "3705D96080C17728A0E800EAB6E0D23C";
const BASE_256: &str = "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52";

/// RFC 8009 A.
#[test]
fn derived_keys_with_sha2_are_those_of_the_specification() {
    let base = key(Enctype::Aes128Sha256, BASE_128);
    let derived = |purpose| base.derived(KeyUsage(2), purpose).to_vec();
    assert_eq!(derived(CHECKSUM), hex("B31A018A48F54776F403E9A396325DC3"));
    assert_eq!(derived(ENCRYPTION), hex("9B197DD1E8C5609D6E67C3E37C62C72E"));
    assert_eq!(derived(INTEGRITY), hex("9FDA0E56AB2D85E1569A688696C26A6C"));
    let base = key(Enctype::Aes256Sha384, BASE_256);
    let derived = |purpose| base.derived(KeyUsage(2), purpose).to_vec();
    assert_eq!(derived(CHECKSUM), hex("EF5718BE86CC84963D8BBB5031E9F5C4BA41F28FAF69E73D"));
    assert_eq!(derived(ENCRYPTION), hex("56AB22BEE63D82D7BC5227F6773F8EA7A5EB1C825160C38312980C442E5C7E49"));
    assert_eq!(derived(INTEGRITY), hex("69B16514E3CD8E56B82010D5C73012B622C4D00FFC23ED1F"));
}

/// RFC 8009 A.
#[test]
fn encryption_with_sha2_is_that_of_the_specification() {
    for (enctype, base, confounder, plain, cipher) in [
        (
            Enctype::Aes128Sha256,
            BASE_128,
            "7E5895EAF2672435BAD817F545A37148",
            "",
            "EF85FB890BB8472F4DAB20394DCA781DAD877EDA39D50C870C0D5A0A8E48C718",
        ),
        (
            Enctype::Aes128Sha256,
            BASE_128,
            "7BCA285E2FD4130FB55B1A5C83BC5B24",
            "000102030405",
            "84D7F30754ED987BAB0BF3506BEB09CFB55402CEF7E6877CE99E247E52D16ED4421DFDF8976C",
        ),
        (
            Enctype::Aes256Sha384,
            BASE_256,
            "F764E9FA15C276478B2C7D0C4E5F58E4",
            "",
            "41F53FA5BFE7026D91FAF9BE959195A058707273A96A40F0A01960621AC612748B9BBFBE7EB4CE3C",
        ),
        (
            Enctype::Aes256Sha384,
            BASE_256,
            "B80D3251C1F6471494256FFE712D0B9A",
            "000102030405",
            "4ED7B37C2BCAC8F74F23C1CF07E62BC7B75FB3F637B9F559C7F664F69EAB7B6092237526EA0D1F61CB20D69D10F2",
        ),
    ] {
        let key = key(enctype, base);
        let made = key.encrypt(KeyUsage(2), &hex(plain), &mut Given(hex(confounder))).unwrap();
        assert_eq!(made, hex(cipher), "{enctype}, {plain}");
        assert_eq!(*key.decrypt(KeyUsage(2), &made).unwrap(), hex(plain));
    }
}

/// RFC 8009 A.
#[test]
fn checksums_with_sha2_are_those_of_the_specification() {
    let text = hex("000102030405060708090A0B0C0D0E0F1011121314");
    let of = |enctype, base| key(enctype, base).checksum(KeyUsage(2), &[&text]);
    assert_eq!(of(Enctype::Aes128Sha256, BASE_128), hex("D78367186643D67B411CBA9139FC1DEE"));
    assert_eq!(of(Enctype::Aes256Sha384, BASE_256), hex("45EE791567EEFCA37F4AC1E0222DE80D43C3BFA06699672A"));
}

#[test]
fn every_bit_of_a_ciphertext_and_of_a_checksum_counts() {
    for enctype in Enctype::ALL {
        let key = Key::new(enctype, &vec![7; enctype.key_len()]).unwrap();
        let cipher =
            key.encrypt(KeyUsage::AP_REQ, b"a text of more than one block", &mut Given(vec![9; 16])).unwrap();
        assert!(key.decrypt(KeyUsage::AP_REQ, &cipher).is_ok(), "{enctype}");
        assert_eq!(key.decrypt(KeyUsage::TICKET, &cipher), Err(BadIntegrity), "{enctype}: another purpose");
        for bit in 0..cipher.len() * 8 {
            let mut altered = cipher.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.decrypt(KeyUsage::AP_REQ, &altered), Err(BadIntegrity), "{enctype}, bit {bit}");
        }
        for len in 0..cipher.len() {
            assert_eq!(key.decrypt(KeyUsage::AP_REQ, &cipher[..len]), Err(BadIntegrity), "{enctype}, {len}");
        }
        let checksum = key.checksum(KeyUsage::PAC, &[b"a ", b"text"]);
        assert_eq!(checksum.len(), enctype.checksum_len());
        assert!(key.verify(KeyUsage::PAC, &[b"a text"], &checksum).is_ok(), "{enctype}");
        assert!(key.verify(KeyUsage::AP_REQ, &[b"a text"], &checksum).is_err(), "{enctype}");
        assert!(key.verify(KeyUsage::PAC, &[b"a texT"], &checksum).is_err(), "{enctype}");
        assert!(key.verify(KeyUsage::PAC, &[b"a text"], &checksum[1..]).is_err(), "{enctype}");
    }
}

#[test]
fn keys_have_the_length_of_their_type() {
    for enctype in Enctype::ALL {
        assert_eq!(Enctype::from_number(enctype.number()), Some(enctype));
        assert!(Key::new(enctype, &vec![0; enctype.key_len() + 1]).is_none());
        assert!(Key::new(enctype, &[]).is_none());
    }
    assert_eq!(Enctype::from_number(3), None, "single DES");
}

proptest! {
    #[test]
    fn encrypted_data_are_decrypted(which in 0..Enctype::ALL.len(), plain in proptest::collection::vec(any::<u8>(), 0..100)) {
        let enctype = Enctype::ALL[which];
        let key = Key::new(enctype, &vec![1; enctype.key_len()]).unwrap();
        let cipher = key.encrypt(KeyUsage::TICKET, &plain, &mut Given(vec![3; 16])).unwrap();
        prop_assert_eq!(&*key.decrypt(KeyUsage::TICKET, &cipher).unwrap(), &plain);
    }

    #[test]
    fn arbitrary_ciphertexts_never_panic(which in 0..Enctype::ALL.len(), cipher in proptest::collection::vec(any::<u8>(), 0..100)) {
        let enctype = Enctype::ALL[which];
        let key = Key::new(enctype, &vec![1; enctype.key_len()]).unwrap();
        prop_assert_eq!(key.decrypt(KeyUsage::TICKET, &cipher), Err(BadIntegrity));
    }
}
