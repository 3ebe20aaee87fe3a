//! The certificate of the web console: the administrator's, or one that the server makes and keeps in its state
//! directory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth::kerberos::ChannelBindings;
use aws_lc_rs::digest;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;

use crate::core::channel_bindings;
use crate::core::config::Settings;
use crate::core::state_file;

/// A certificate that is ready for use.
#[derive(Debug)]
pub struct Certificate {
    /// The parameters of TLS.
    pub(crate) tls: Arc<ServerConfig>,
    /// The bindings of connections with it; `None` if there are none for its signature.
    pub(crate) bindings: Option<ChannelBindings>,
    /// The SHA-256 of the certificate, as browsers show it: pairs of hexadecimal digits with colons.
    pub fingerprint: String,
    /// The end of its validity, in seconds since 1970.
    pub expires: i64,
    /// True if the server has made it.
    pub is_own: bool,
}

/// The reason why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// A file has the wrong contents.
    #[error("{path}: {problem}")]
    Contents {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The server cannot make or keep one.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl Certificate {
    /// The certificate of the settings at this time, in seconds since 1970. The server's own one is made if there is
    /// none, or if it is about to expire.
    pub(crate) fn load(settings: &Settings, now: i64) -> Result<Self, CertificateError> {
        if let Some(given) = Self::given(settings) {
            return given;
        }
        let directory = &settings.state_directory;
        let path = directory.join(OWN);
        match state_file::read(directory, OWN, FILE_MAX) {
            Ok(pem) => match Self::parse(pem.as_bytes(), pem.as_bytes(), &path, &path) {
                Ok(kept) if kept.expires.saturating_sub(now) > RENEWED_BEFORE => {
                    return Ok(Self { is_own: true, ..kept });
                }
                Ok(_) => tracing::warn!("the console's certificate is about to expire; a new one is made"),
                Err(error) => {
                    tracing::warn!(%error, "cannot use the console's certificate; a new one is made")
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot read the console's certificate; a new one is made")
            }
        }
        let pem = made(settings, now).map_err(|error| CertificateError::Make(error.to_string()))?;
        state_file::replace(directory, OWN, &pem)
            .map_err(|error| CertificateError::Make(format!("{}: {error}", path.display())))?;
        let made = Self::parse(pem.as_bytes(), pem.as_bytes(), &path, &path)?;
        Ok(Self { is_own: true, ..made })
    }

    /// The administrator's certificate; `None` if the settings name none.
    pub fn given(settings: &Settings) -> Option<Result<Self, CertificateError>> {
        let files = settings.console.certificate.as_ref()?;
        Some(read(&files.certificate).and_then(|chain| {
            let key = read(&files.key)?;
            Self::parse(&chain, &key, &files.certificate, &files.key)
        }))
    }

    /// True if it has expired at this time, in seconds since 1970.
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires < now
    }

    fn parse(chain: &[u8], key: &[u8], chain_path: &Path, key_path: &Path) -> Result<Self, CertificateError> {
        let wrong =
            |path: &Path, problem: String| CertificateError::Contents { path: path.to_owned(), problem };
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(chain_path, error.to_string()))?;
        let first = certificates
            .first()
            .ok_or_else(|| wrong(chain_path, String::from("there is no certificate in PEM format")))?;
        let expires = expiry(first).ok_or_else(|| {
            wrong(chain_path, String::from("the first certificate is not one of the form X.509"))
        })?;
        let (fingerprint, bindings) = (fingerprint(first), channel_bindings::of_certificate(first));
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| wrong(key_path, format!("no private key in PEM format: {error}")))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(chain_path, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| wrong(key_path, format!("the key does not fit the certificate: {error}")))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), bindings, fingerprint, expires, is_own: false })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |error| CertificateError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// The end of a certificate's validity, in seconds since 1970.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    i64::try_from(parsed.tbs_certificate().validity().not_after.to_unix_duration().as_secs()).ok()
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = digest::digest(&digest::SHA256, certificate);
    let pairs: Vec<_> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// A new certificate and its key, in PEM format, for the names by which a browser may call the server.
fn made(settings: &Settings, now: i64) -> Result<String, rcgen::Error> {
    let mut names = vec![settings.name.to_ascii_lowercase(), settings.dns_name(), String::from("localhost")];
    names.extend(settings.console.names.iter().cloned());
    names.extend(["127.0.0.1", "::1"].map(String::from));
    let listening = settings.console.listen.iter().map(std::net::SocketAddr::ip);
    names.extend(listening.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    names.sort_unstable();
    names.dedup();
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("Shareward {}", settings.name));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // The beginning of the day of a time.
    let day = |seconds| {
        let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    // A clock that was never set starts in 1970, before which a certificate cannot be valid.
    parameters.not_before = day(now.saturating_sub(SECONDS_OF_DAY).max(0));
    parameters.not_after = day(now.saturating_add(VALIDITY));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// The file of the server's own certificate, with its key.
const OWN: &str = "console-certificate.pem";

/// The size of a file with certificates or a key, in bytes: a chain of many certificates. A longer one is refused.
const FILE_MAX: u64 = 256 * 1024;

const SECONDS_OF_DAY: i64 = 24 * 60 * 60;

/// The validity of a certificate that the server makes: the longest that every browser accepts (825 days).
const VALIDITY: i64 = 820 * SECONDS_OF_DAY;

/// The time before its end at which a start of the server makes a new one, in seconds.
const RENEWED_BEFORE: i64 = 30 * SECONDS_OF_DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::CertificateFiles;

    const NOW: i64 = 1_900_000_000;

    fn settings(state: &Path) -> Settings {
        let mut settings = Settings::conventional(false, |_| None);
        settings.state_directory = state.to_owned();
        settings
    }

    #[test]
    fn own_certificate_is_kept_until_it_is_about_to_expire() {
        let state = tempfile::tempdir().unwrap();
        let settings = settings(state.path());
        let first = Certificate::load(&settings, NOW).unwrap();
        assert!(first.is_own && first.fingerprint.len() == 95, "{}", first.fingerprint);
        assert!((NOW + VALIDITY - SECONDS_OF_DAY..=NOW + VALIDITY).contains(&first.expires));
        assert_eq!(Certificate::load(&settings, NOW + 1).unwrap().fingerprint, first.fingerprint);
        let late = first.expires - RENEWED_BEFORE;
        let second = Certificate::load(&settings, late).unwrap();
        assert_ne!(second.fingerprint, first.fingerprint);
        assert!(second.expires > first.expires && !second.has_expired(late));
        assert!(first.has_expired(first.expires + 1));
    }

    #[test]
    fn damaged_own_certificate_is_replaced() {
        let state = tempfile::tempdir().unwrap();
        let settings = settings(state.path());
        let first = Certificate::load(&settings, NOW).unwrap();
        std::fs::write(state.path().join(OWN), "no certificate").unwrap();
        let second = Certificate::load(&settings, NOW).unwrap();
        assert_ne!(first.fingerprint, second.fingerprint);
        assert_eq!(Certificate::load(&settings, NOW).unwrap().fingerprint, second.fingerprint);
    }

    #[test]
    fn given_files_are_read_and_their_faults_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut settings = settings(directory.path());
        let pem = made(&settings, NOW).unwrap();
        let other = made(&settings, NOW).unwrap();
        std::fs::write(path("pem"), &pem).unwrap();
        std::fs::write(path("other"), &other).unwrap();
        std::fs::write(path("empty"), "").unwrap();
        let mut of = |certificate: &str, key: &str| {
            settings.console.certificate =
                Some(CertificateFiles { certificate: path(certificate), key: path(key) });
            Certificate::load(&settings, NOW)
        };
        let good = of("pem", "pem").unwrap();
        assert!(!good.is_own);
        for (certificate, key, expected) in [
            ("missing", "pem", "missing: No such file"),
            ("empty", "pem", "empty: there is no certificate"),
            ("pem", "empty", "empty: no private key"),
            ("pem", "other", "other: the key does not fit"),
        ] {
            let error = of(certificate, key).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(!path(OWN).exists());
    }
}
