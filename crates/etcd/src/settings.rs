//! The endpoints of etcd, the files for TLS, and the login.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::SettingsError;
use crate::limits::ENDPOINTS_MAX;

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The members of etcd, which are used one after the other as they fail.
    pub endpoints: Vec<Endpoint>,
    /// The files for endpoints with `https://`.
    pub tls: TlsFiles,
    /// The user, if etcd asks for one.
    pub login: Option<Login>,
    /// The time for one call, with the connection.
    pub timeout: Duration,
}

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address of the host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// True for `https://`.
    pub tls: bool,
}

/// The files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that sign etcd's certificates.
    pub ca_file: Option<PathBuf>,
    /// The certificate and the key of the client, if etcd asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The user and the file with the password. The file is read at each login, so that a new password needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The file with the password, without the end of its last line.
    pub password_file: PathBuf,
}

impl Endpoint {
    /// The endpoint of a URL: `http://HOST:PORT` or `https://HOST:PORT`, without a path.
    ///
    /// # Errors
    /// [`SettingsError::Endpoint`] if it is not one.
    pub fn parse(url: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::Endpoint(url.to_owned());
        let uri: hyper::Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !is_bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(CLIENT_PORT), tls })
    }

    /// The value of the header `Host`.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl Settings {
    /// Checks the endpoints, and reads the files for TLS. Returns `None` if no endpoint has TLS.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, SettingsError> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            return Err(SettingsError::Count);
        }
        let with_tls = self.endpoints.iter().filter(|it| it.tls).count();
        match with_tls {
            0 => return Ok(None),
            some if some != self.endpoints.len() => return Err(SettingsError::MixedTls),
            _ => {}
        }
        let ca_file = self.tls.ca_file.as_ref().ok_or(SettingsError::NoAuthority)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca_file)? {
            // A bundle may have certificates that this library does not support; the others count.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(unusable(ca_file, "it has no certificate"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| SettingsError::Tls(error.to_string()))?;
        let builder = builder.with_root_certificates(roots);
        let config = match &self.tls.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| SettingsError::Tls(error.to_string()))?
            }
        };
        Ok(Some(Arc::new(config)))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let pem = std::fs::read(file).map_err(|error| unusable(file, error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    read.map_err(|error| unusable(file, error))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> SettingsError {
    SettingsError::File { path: path.to_owned(), reason: reason.to_string() }
}

/// The port on which members of etcd take clients (IANA).
const CLIENT_PORT: u16 = 2379;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(urls: &[&str]) -> Settings {
        Settings {
            endpoints: urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect(),
            tls: TlsFiles::default(),
            login: None,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn endpoints_are_urls_of_a_host_and_a_port() {
        let parsed = Endpoint::parse("https://etcd-1.example:2379/").unwrap();
        assert_eq!(parsed, Endpoint { host: "etcd-1.example".into(), port: 2379, tls: true });
        assert_eq!(Endpoint::parse("http://[::1]").unwrap().to_string(), "http://[::1]:2379");
        let wrong =
            ["", "etcd-1:2379", "ftp://a:1", "http://", "http://a/v3", "http://u@a:1", "http://a:1/?x"];
        for url in wrong {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn wrong_settings_of_tls_are_refused() {
        assert!(matches!(settings(&[]).tls(), Err(SettingsError::Count)));
        let mixed = settings(&["http://a:1", "https://b:1"]);
        assert!(matches!(mixed.tls(), Err(SettingsError::MixedTls)));
        let mut without = settings(&["https://b:1"]);
        assert!(matches!(without.tls(), Err(SettingsError::NoAuthority)));
        let scratch = tempfile::tempdir().unwrap();
        without.tls.ca_file = Some(scratch.path().join("missing"));
        assert!(matches!(without.tls(), Err(SettingsError::File { .. })));
        std::fs::write(scratch.path().join("missing"), "no certificate").unwrap();
        assert!(matches!(without.tls(), Err(SettingsError::File { .. })));
    }
}
