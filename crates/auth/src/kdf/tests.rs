//! The key derivation examples Microsoft published for SMB 3.0 and 3.1.1 ("The anatomy of signing and
//! cryptographic keys"); they name the keys from the client's side.

use super::*;
use crate::sealing::SealingKey;
use crate::signing::{SigningAlgorithm, SigningKey};
use wire::Dialect;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

fn preauth() -> PreauthHash {
    PreauthHash::from_value(hex("0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79
         28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01"))
}

#[test]
fn smb_3_0_example() {
    let session_key: [u8; 16] = hex("7CD451825D0450D235424E44BA6E78CC");
    for dialect in [Dialect::SMB300, Dialect::SMB302] {
        let keys = SessionKeys::derive(dialect, &session_key, &PreauthHash::new(), None);
        assert_eq!(keys.signing, hex("0B7E9C5CAC36C0F6EA9AB275298CEDCE"));
        assert_eq!(keys.client_to_server.unwrap().as_bytes(), hex::<16>("FAD27796665B313EBB578F388632B4F7"));
        assert_eq!(keys.server_to_client.unwrap().as_bytes(), hex::<16>("B0F0427F7CEB416D1D9DCC0CD4F99447"));
        assert_eq!(keys.application, hex("BB23A4575AA26C721AF525AF15A87B4F"));
    }
    let second_channel =
        channel_signing_key(Dialect::SMB300, &hex("4E01A2B313BCF660CC250BEF021AEDE6"), &PreauthHash::new());
    assert_eq!(second_channel, hex("BA1A17DBBFEC349BCA105563D598952F"));
}

#[test]
fn smb_3_1_1_example() {
    let session_key: [u8; 16] = hex("270E1BA896585EEB7AF3472D3B4C75A7");
    let keys = SessionKeys::derive(Dialect::SMB311, &session_key, &preauth(), Some(Cipher::Aes128Gcm));
    assert_eq!(keys.signing, hex("73FE7A9A77BEF0BDE49C650D8CCB5F76"));
    assert_eq!(keys.client_to_server.unwrap().as_bytes(), hex::<16>("629BCBC54422A0F572B97F45989B6073"));
    assert_eq!(keys.server_to_client.unwrap().as_bytes(), hex::<16>("E2AF0DCEFAC68DA71A0DFBD0D1350D74"));
    assert_eq!(keys.application, hex("6D7AD7954E9EC61E907B4D473DC178FF"));

    let response: [u8; 101] =
        hex("FE534D4240000100000000000100800009000000000000000300000000000000FFFE000000000000
         1900000000100000EBE146DA120BA25FC3376A49DFE31BC10900000048001D00A11B3019A0030A01
         00A3120410010000003B453CDC3524164200000000");
    let key = SigningKey::new(SigningAlgorithm::AesCmac, &keys.signing).unwrap();
    assert_eq!(key.verify(&response), Ok(()));
}

#[test]
fn ciphers_of_256_bits_use_the_full_session_key() {
    let full: Vec<u8> = (0..32).collect();
    let derive = |full: &[u8], cipher| SessionKeys::derive(Dialect::SMB311, full, &preauth(), Some(cipher));
    let long = derive(&full, Cipher::Aes256Gcm);
    let short = derive(&full[..16], Cipher::Aes256Gcm);
    assert_eq!(long.signing, short.signing);
    assert_eq!(long.server_to_client.as_ref().unwrap().as_bytes().len(), 32);
    assert_ne!(long.server_to_client.unwrap().as_bytes(), short.server_to_client.unwrap().as_bytes());
    let of_128 = |full| derive(full, Cipher::Aes128Gcm).server_to_client.unwrap();
    assert_eq!(of_128(&full).as_bytes(), of_128(&full[..16]).as_bytes());
}

#[test]
fn smb_2_uses_the_session_key_itself() {
    let session_key = [3; 16];
    for dialect in [Dialect::SMB202, Dialect::SMB210] {
        let keys = SessionKeys::derive(dialect, &session_key, &PreauthHash::new(), None);
        assert_eq!((keys.signing, keys.application), (session_key, session_key));
        assert!(keys.server_to_client.is_none() && keys.client_to_server.is_none());
    }
}

/// The sealed WRITE responses of Microsoft's examples for AES-128-CCM and AES-128-GCM.
#[test]
fn published_sealed_messages_open() {
    let ccm = open_response(
        Dialect::SMB300,
        "B4546771B515F766A86735532DD6C4F0",
        &PreauthHash::new(),
        Cipher::Aes128Ccm,
        hex("FD534D42A6015530A18F6D9AFFE22AFAE8E66484860000000000000011000014
             00E4080050000000000001001100001400E40800DBF46435C5F14169293CE079
             E344479BF670227E49873F458672C3098DAC467DD5809F369D67409166515787
             1483E01F7BECD02064EAC3E235F913668BBC2F097980D4B378F1993EFF6E60D1
             77309E5B"),
    );
    assert_eq!(
        ccm,
        hex::<80>(
            "FE534D4240000100000000000900210009000000000000000400000000000000
             FFFE0000010000001100001400E4080000000000000000000000000000000000
             11000000170000000000000000000000"
        )
    );
    let preauth = PreauthHash::from_value(hex(
        "B23F3CBFD69487D9832B79B1594A367CDD950909B774C3A4C412B4FCEA9EDDDBA7DB256BA2EA30E9
         77F11F9B113247578E0E915C6D2A513B8F2FCA5707DC8770",
    ));
    let gcm = open_response(
        Dialect::SMB311,
        "419FDDF34C1E001909D362AE7FB6AF79",
        &preauth,
        Cipher::Aes128Gcm,
        hex("FD534D42ACBE1CB7ED343ADF1725EF144D90D4B0E06831DD2E8EB7B4000000000000000050000000
             00000100250000000010000026BBBF949983A6C1C796559D0F2C510CB651D1F7B6AC8DED32A2A0B8
             F2D793A815C6F6B848D69767A215841A42D400AE6DDB5F0B44173A014973321FDD7950DA6179159B
             82E03C9E18A050FF0EA1C967"),
    );
    assert_eq!(
        gcm,
        hex::<80>(
            "FE534D4240000100000000000900010001000000000000000500000000000000FFFE000001000000
             25000000001000000000000000000000000000000000000011000000170000000000000000000000"
        )
    );
}

fn open_response(
    dialect: Dialect,
    session_key: &str,
    preauth: &PreauthHash,
    cipher: Cipher,
    mut message: [u8; 132],
) -> [u8; 80] {
    let keys = SessionKeys::derive(dialect, &hex::<16>(session_key), preauth, Some(cipher));
    let key = SealingKey::new(cipher, keys.server_to_client.unwrap().as_bytes()).unwrap();
    let (header, payload) = message.split_first_chunk_mut().unwrap();
    key.open_in_place(header, payload).unwrap();
    payload.try_into().unwrap()
}
