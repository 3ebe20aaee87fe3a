//! The matrix of altered tokens.

use auth::kerberos::testing::{PacSpec, RequestSpec, TicketSpec};
use auth::kerberos::{Enctype, Keytab};

use super::{CIFS, NOW, accept, service, ticket};

/// Every bit of an AP-REQ is flipped once, and the logon refused, with three exceptions outside of the encryption: the
/// name of the service is the same in upper and lower case, and with any hint at its type (RFC 4120 5.3); and the option
/// of mutual authentication says what the authenticator's flag says, which counts.
#[test]
fn altered_by_one_bit_is_refused() {
    for enctype in Enctype::ALL {
        let issued = ticket(enctype).issue();
        let token = RequestSpec::new(&issued, NOW).token(&issued);
        let logon = accept(&service(), &token).expect("as it is");
        assert_eq!(logon.identity.user, "CORP\\carol");
        let find = |what: &[u8]| token.windows(what.len()).position(|it| it == what).unwrap();
        let letters = CIFS.map(|name| find(name.as_bytes())..find(name.as_bytes()) + name.len());
        // SEQUENCE { [0] INTEGER 2, [1] SEQUENCE OF ...
        let name_type = find(&[0xa0, 3, 2, 1, 2, 0xa1]) + 4;
        // pvno 5, msg-type 14, and the options in a BIT STRING without unused bits.
        let options = find(&[0xa0, 3, 2, 1, 5, 0xa1, 3, 2, 1, 14, 0xa2, 7, 3, 5, 0]) + 15;
        let mut same_service = 0;
        for bit in 0..token.len() * 8 {
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            let mut altered = token.clone();
            altered[byte] ^= mask;
            let is_case = mask == 0x20
                && letters.iter().any(|it| it.contains(&byte))
                && token[byte].is_ascii_alphabetic();
            let is_mutual = byte == options && mask == 0x20;
            let is_same_service = is_case || is_mutual || byte == name_type;
            match accept(&service(), &altered) {
                Ok(altered) if is_same_service => {
                    assert_eq!(altered.identity, logon.identity);
                    same_service += 1;
                }
                Ok(_) => panic!("{enctype}: bit {bit} of byte {byte} may be flipped"),
                Err(_) => {}
            }
        }
        let letters = CIFS.concat().bytes().filter(u8::is_ascii_alphabetic).count();
        assert_eq!(same_service, letters + 8 + 1, "{enctype}");
    }
}

#[test]
fn cut_or_lengthened_token_is_refused() {
    for enctype in Enctype::ALL {
        let issued = ticket(enctype).issue();
        let token = RequestSpec::new(&issued, NOW).token(&issued);
        let service = service();
        for len in 0..token.len() {
            assert!(accept(&service, &token[..len]).is_err(), "{enctype}: {len} bytes");
        }
        let longer = [token.as_slice(), &[0]].concat();
        assert!(accept(&service, &longer).is_err(), "{enctype}");
        assert!(accept(&service, &token).is_ok(), "{enctype}");
    }
}

/// The ticket is encrypted again after each change, as only the holder of the service's key can, so that the signature
/// of the PAC alone protects it. The controller's own signature (12 bytes, or its 4 of the type) is for controllers.
#[test]
fn pac_that_was_altered_by_one_bit_after_it_was_signed_is_refused() {
    for enctype in Enctype::ALL {
        let spec =
            |flipped| TicketSpec { pac: Some(PacSpec { flipped, ..PacSpec::carol() }), ..ticket(enctype) };
        let bits = PacSpec::carol().bits(&ticket(enctype));
        let signature = enctype.checksum_len();
        let controllers = bits / 8 - signature..bits / 8;
        let mut accepted = Vec::new();
        for bit in 0..bits {
            let issued = spec(Some(bit)).issue();
            if accept(&service(), &RequestSpec::new(&issued, NOW).token(&issued)).is_ok() {
                accepted.push(bit / 8);
            }
        }
        accepted.dedup();
        assert!(accepted.iter().all(|byte| controllers.contains(byte)), "{enctype}: {accepted:?}");
        assert_eq!(accepted.len(), signature, "{enctype}");
    }
}

#[test]
fn altered_keytab_never_panics() {
    let key = super::service_key(Enctype::Aes128Sha1, 1);
    let bytes = auth::kerberos::testing::keytab(&[
        (&CIFS, super::REALM, 1, &key),
        (&["FILES$"], super::REALM, 2, &key),
    ]);
    assert_eq!(Keytab::parse(&bytes).unwrap().entries().len(), 2);
    for len in 0..bytes.len() {
        let _ = Keytab::parse(&bytes[..len]);
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut altered = bytes.clone();
            altered[len] = value;
            let _ = Keytab::parse(&altered);
        }
    }
}

mod arbitrary {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn token_never_panics(
            which in 0..Enctype::ALL.len(), cut: prop::sample::Index,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let issued = ticket(Enctype::ALL[which]).issue();
            let mut token = RequestSpec::new(&issued, NOW).token(&issued);
            for (at, value) in changes {
                let at = at.index(token.len());
                token[at] = value;
            }
            let service = service();
            let _ = accept(&service, &token);
            let _ = accept(&service, &token[..cut.index(token.len())]);
        }

        #[test]
        fn pac_of_a_controller_never_panics(bits in proptest::collection::vec(any::<prop::sample::Index>(), 1..2)) {
            let plain = ticket(Enctype::Aes128Sha256);
            let bits = bits.first().map(|it| it.index(PacSpec::carol().bits(&plain)));
            let spec = TicketSpec { pac: Some(PacSpec { flipped: bits, ..PacSpec::carol() }), ..plain };
            let issued = spec.issue();
            let _ = accept(&service(), &RequestSpec::new(&issued, NOW).token(&issued));
        }

        #[test]
        fn keytab_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Keytab::parse(&bytes);
            let _ = Keytab::parse(&[&[5, 2], bytes.as_slice()].concat());
            let _ = Keytab::parse(&[&[5, 1], bytes.as_slice()].concat());
        }
    }
}
