//! The state of the web console that does not depend on who uses it: its certificate, its addresses, and the token of
//! programs that read the metrics.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::constant_time;
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::core::certificate::{Certificate, CertificateError};
use crate::core::config::Settings;

/// The certificate, the addresses and the token.
#[derive(Default)]
pub(crate) struct Console {
    /// True if the console was started with TLS. A change in the settings applies from the next start on, because the
    /// addresses, too, are those of the start.
    tls: OnceLock<bool>,
    /// `None` without TLS.
    certificate: RwLock<Option<Arc<Certificate>>>,
    token: RwLock<Option<Zeroizing<String>>>,
    /// The addresses of the configuration, with the ports that the system chose.
    listening: OnceLock<Vec<SocketAddr>>,
}

impl Console {
    /// Loads the certificate and the token of the settings; `now` is in seconds since 1970. After an error, what was
    /// loaded before stays.
    pub(crate) fn load(&self, settings: &Settings, now: i64) -> Result<(), CertificateError> {
        let token = settings.metrics.token_file.as_deref().map(read_token).transpose()?;
        *self.token.write() = token;
        if !self.tls.get_or_init(|| settings.console.tls && !settings.console.listen.is_empty()) {
            return Ok(());
        }
        let certificate = Certificate::load(settings, now)?;
        if certificate.has_expired(now) {
            tracing::warn!("the console's certificate has expired; browsers will refuse it");
        }
        *self.certificate.write() = Some(Arc::new(certificate));
        Ok(())
    }

    /// True if the connections are protected by TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.get().is_some_and(|tls| *tls)
    }

    /// The certificate in use; `None` without TLS.
    pub(crate) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.read().clone()
    }

    /// True if this is the token of programs that read the metrics.
    pub(crate) fn is_token(&self, given: &str) -> bool {
        let token = self.token.read();
        token.as_ref().is_some_and(|token| {
            constant_time::verify_slices_are_equal(token.as_bytes(), given.as_bytes()).is_ok()
        })
    }

    /// Records the addresses that the console listens on. This happens once: new addresses in the settings need a restart.
    pub(crate) fn listens_on(&self, addresses: Vec<SocketAddr>) {
        let _ = self.listening.set(addresses);
    }

    /// The addresses that the console listens on.
    pub(crate) fn listening(&self) -> &[SocketAddr] {
        self.listening.get().map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads the token in a file: its first line.
pub fn read_token(path: &Path) -> Result<Zeroizing<String>, CertificateError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CertificateError::Read { path: path.to_owned(), error })?;
    let text = Zeroizing::new(text);
    let token = text.lines().next().unwrap_or_default().trim();
    if token.len() < TOKEN_MIN
        || token.len() > TOKEN_MAX
        || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let problem = format!("a token is one line of {TOKEN_MIN} to {TOKEN_MAX} characters without spaces");
        return Err(CertificateError::Contents { path: path.to_owned(), problem });
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// The fewest characters of a token: 96 bits in base64, so that it cannot be guessed.
const TOKEN_MIN: usize = 16;

/// The most characters of a token: it is a header field of each request.
const TOKEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The listener may be open to the network.
    #[test]
    fn console_that_was_started_with_tls_keeps_it() {
        let state = tempfile::tempdir().unwrap();
        let mut settings = Settings::conventional(false, |_| None);
        settings.state_directory = state.path().to_owned();
        settings.console.listen = vec![SocketAddr::from(([0, 0, 0, 0], 0))];
        let console = Console::default();
        console.load(&settings, 0).unwrap();
        assert!(console.has_tls() && console.certificate().is_some());
        settings.console.tls = false;
        console.load(&settings, 0).unwrap();
        assert!(console.has_tls() && console.certificate().is_some());
    }

    #[test]
    fn token_is_compared_and_bad_ones_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mut settings = Settings::conventional(false, |_| None);
        settings.metrics.token_file = Some(path.clone());
        let console = Console::default();
        assert!(!console.is_token(""), "there is no token");
        assert!(console.load(&settings, 0).unwrap_err().to_string().contains("No such file"));
        std::fs::write(&path, "0123456789abcdef\nanything\n").unwrap();
        console.load(&settings, 0).unwrap();
        assert!(console.is_token("0123456789abcdef"));
        assert!(!console.is_token("0123456789abcdeF") && !console.is_token("") && !console.is_token("0123"));
        for bad in ["short\n", "", "with a space in the token\n"] {
            std::fs::write(&path, bad).unwrap();
            assert!(console.load(&settings, 0).is_err(), "{bad:?}");
            assert!(console.is_token("0123456789abcdef"), "the token before stays");
        }
    }
}
