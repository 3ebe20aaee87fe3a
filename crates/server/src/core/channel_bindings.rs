//! The bindings of TLS connections, to which browsers bind their tickets: `tls-server-end-point` (RFC 5929 4).

use auth::kerberos::ChannelBindings;
use aws_lc_rs::digest::{self, Algorithm, SHA224, SHA256, SHA384, SHA512};
use rustls::pki_types::CertificateDer;
use x509_cert::der::asn1::ContextSpecific;
use x509_cert::der::{Decode, SliceReader, TagNumber};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// The bindings of connections with a certificate; `None` if they are not defined for its signature (RFC 5929 4.1), as for
/// Ed25519.
pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<ChannelBindings> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let hash = hash_function(parsed.signature_algorithm())?;
    let hash = digest::digest(hash, certificate);
    Some(ChannelBindings::tls_server_end_point(hash.as_ref()))
}

/// The function that hashes the certificate: that of its signature, and SHA-256 in place of MD5 and SHA-1.
fn hash_function(signature: &AlgorithmIdentifierOwned) -> Option<&'static Algorithm> {
    Some(match signature.oid.to_string().as_str() {
        MD5_RSA | SHA1_RSA | SHA1_ECDSA | SHA256_RSA | SHA256_ECDSA => &SHA256,
        SHA224_RSA | SHA224_ECDSA => &SHA224,
        SHA384_RSA | SHA384_ECDSA => &SHA384,
        SHA512_RSA | SHA512_ECDSA => &SHA512,
        RSA_PSS => {
            let parameters = signature.parameters.as_ref()?;
            let mut fields = SliceReader::new(parameters.value()).ok()?;
            let hash =
                ContextSpecific::<AlgorithmIdentifierOwned>::decode_explicit(&mut fields, TagNumber(0));
            // SHA-1 is left out of the parameters (RFC 4055 3.1).
            match hash.ok()?.map(|hash| hash.value.oid.to_string()).as_deref() {
                None | Some(SHA1 | SHA256_ALONE) => &SHA256,
                Some(SHA224_ALONE) => &SHA224,
                Some(SHA384_ALONE) => &SHA384,
                Some(SHA512_ALONE) => &SHA512,
                Some(_) => return None,
            }
        }
        _ => return None,
    })
}

/// Signatures with RSA (RFC 8017 A.2.4; RFC 4055 5).
const MD5_RSA: &str = "1.2.840.113549.1.1.4";
const SHA1_RSA: &str = "1.2.840.113549.1.1.5";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const SHA256_RSA: &str = "1.2.840.113549.1.1.11";
const SHA384_RSA: &str = "1.2.840.113549.1.1.12";
const SHA512_RSA: &str = "1.2.840.113549.1.1.13";
const SHA224_RSA: &str = "1.2.840.113549.1.1.14";
/// Signatures with ECDSA (RFC 5758 3.2; RFC 3279 2.2.3).
const SHA1_ECDSA: &str = "1.2.840.10045.4.1";
const SHA224_ECDSA: &str = "1.2.840.10045.4.3.1";
const SHA256_ECDSA: &str = "1.2.840.10045.4.3.2";
const SHA384_ECDSA: &str = "1.2.840.10045.4.3.3";
const SHA512_ECDSA: &str = "1.2.840.10045.4.3.4";
/// The functions alone (RFC 4055 2.1).
const SHA1: &str = "1.3.14.3.2.26";
const SHA256_ALONE: &str = "2.16.840.1.101.3.4.2.1";
const SHA384_ALONE: &str = "2.16.840.1.101.3.4.2.2";
const SHA512_ALONE: &str = "2.16.840.1.101.3.4.2.3";
const SHA224_ALONE: &str = "2.16.840.1.101.3.4.2.4";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> CertificateDer<'static> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::new(vec![String::from("files")]).unwrap().self_signed(&key).unwrap().into()
    }

    #[test]
    fn certificate_is_hashed_by_the_function_of_its_signature() {
        for (algorithm, hash) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, &SHA256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, &SHA384),
            (&rcgen::PKCS_RSA_SHA256, &SHA256),
            (&rcgen::PKCS_RSA_SHA512, &SHA512),
        ] {
            let certificate = certificate(algorithm);
            let expected = ChannelBindings::tls_server_end_point(digest::digest(hash, &certificate).as_ref());
            assert_eq!(of_certificate(&certificate), Some(expected), "{algorithm:?}");
        }
        assert_eq!(of_certificate(&certificate(&rcgen::PKCS_ED25519)), None, "it has no hash function");
        assert_eq!(of_certificate(&CertificateDer::from(vec![0x30, 0])), None);
    }

    #[test]
    fn old_functions_are_replaced_and_those_of_pss_are_in_its_parameters() {
        let algorithm = |der: &[u8]| AlgorithmIdentifierOwned::from_der(der).unwrap();
        let sha1 = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 5, 5, 0];
        assert_eq!(hash_function(&algorithm(&sha1)), Some(&SHA256));
        let pss = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 10];
        let with = |parameters: &[u8]| {
            let length = u8::try_from(pss.len() + parameters.len()).unwrap();
            hash_function(&algorithm(&[&[0x30, length], &pss[..], parameters].concat()))
        };
        let sha384 = [0x30, 17, 0xa0, 15, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0];
        assert_eq!(with(&sha384), Some(&SHA384));
        assert_eq!(with(&[0x30, 0]), Some(&SHA256), "SHA-1 is the default");
        assert_eq!(with(&[0x30, 3, 0xa0, 1, 0x30]), None);
        assert_eq!(with(&[]), None);
    }
}
