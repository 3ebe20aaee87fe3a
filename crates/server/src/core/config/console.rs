//! Reads the tables `[console]` and `[metrics]` of `shareward.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::parse::{Reader, addresses_with_port};

/// The `[console]` table: the web console and the control API on TCP. Without addresses there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// True if the connections are protected by TLS.
    pub tls: bool,
    /// The certificate of the administrator; `None` for one that the server makes.
    pub certificate: Option<CertificateFiles>,
    /// Further names of the server in the address line of a browser.
    pub names: Vec<String>,
}

/// The files of a certificate, in PEM format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The `[metrics]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// The addresses on which everybody who can connect may read the metrics, without TLS.
    pub listen: Vec<SocketAddr>,
    /// The file with the token by which programs may read the metrics on the addresses of the console.
    pub token_file: Option<PathBuf>,
    /// True if there are metrics for each share, with its name.
    pub per_share: bool,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { listen: Vec::new(), tls: true, certificate: None, names: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsoleTable {
    #[serde(default)]
    listen: Vec<Spanned<String>>,
    tls: Option<Spanned<bool>>,
    #[serde(default)]
    allow_plain: bool,
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    #[serde(default)]
    names: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsTable {
    #[serde(default)]
    listen: Vec<Spanned<String>>,
    #[serde(default)]
    allow_plain: bool,
    token_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    per_share: bool,
}

impl Reader<'_> {
    /// The settings of the console. Errors are added to those of the reader.
    pub(super) fn console(&mut self, table: ConsoleTable) -> ConsoleSettings {
        let tls = table.tls.as_ref().is_none_or(|tls| *tls.get_ref());
        let listen = self.listeners(&table.listen, CONSOLE_PORT, |address| {
            (!tls && !table.allow_plain && !address.ip().is_loopback()).then(|| {
                format!(
                    "passwords would cross the network unprotected at {address}: leave tls on, or listen on a \
                     loopback address; allow_plain = true allows it all the same"
                )
            })
        });
        let certificate = match (table.certificate, table.key) {
            (Some(certificate), Some(key)) => {
                if let Some(off) = table.tls.as_ref().filter(|_| !tls) {
                    self.error(off, String::from("a certificate is of no use without tls"));
                }
                Some(CertificateFiles { certificate: self.path(certificate), key: self.path(key) })
            }
            (Some(alone), None) => {
                self.error(&alone, String::from("certificate needs key, the file with its private key"));
                None
            }
            (None, Some(alone)) => {
                self.error(&alone, String::from("key needs certificate"));
                None
            }
            (None, None) => None,
        };
        for name in &table.names {
            let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            if name.get_ref().is_empty() || !name.get_ref().chars().all(is_good) {
                self.error(name, String::from("a name is a host name of letters, digits, '-' and '.'"));
            }
        }
        let names = table.names.into_iter().map(|name| name.into_inner().to_ascii_lowercase()).collect();
        ConsoleSettings { listen, tls, certificate, names }
    }

    /// The settings of the metrics. Errors are added to those of the reader.
    pub(super) fn metrics(&mut self, table: MetricsTable) -> MetricsSettings {
        let listen = self.listeners(&table.listen, METRICS_PORT, |address| {
            (!table.allow_plain && !address.ip().is_loopback()).then(|| {
                format!(
                    "everybody who can reach {address} could read the metrics: listen on a loopback address, or use \
                     the console's address and token_file; allow_plain = true allows it all the same"
                )
            })
        });
        let token_file = table.token_file.map(|path| self.path(path));
        MetricsSettings { listen, token_file, per_share: table.per_share }
    }

    /// The addresses of a list, each of which `objection` may refuse.
    fn listeners(
        &mut self,
        list: &[Spanned<String>],
        port: u16,
        objection: impl Fn(&SocketAddr) -> Option<String>,
    ) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for text in list {
            match addresses_with_port(text.get_ref(), port) {
                Ok(addresses) => {
                    if let Some(message) = addresses.iter().find_map(&objection) {
                        self.error(text, message);
                    }
                    all.extend(addresses);
                }
                Err(message) => self.error(text, message),
            }
        }
        all
    }
}

/// The port of the console if none is given.
const CONSOLE_PORT: u16 = 8445;

/// The port of the metrics if none is given.
const METRICS_PORT: u16 = 9445;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::core::config::{Settings, parse};

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        let defaults = Settings::conventional(false, |_| None);
        parse(text, Path::new("/etc/shareward"), defaults)
            .map_err(|errors| errors.into_iter().map(|error| error.to_string()).collect())
    }

    #[test]
    fn console_and_metrics_are_off_by_default() {
        let settings = read("").unwrap();
        assert_eq!(settings.console, ConsoleSettings::default());
        assert_eq!(settings.metrics, MetricsSettings::default());
        assert!(settings.console.listen.is_empty() && settings.metrics.listen.is_empty());
    }

    #[test]
    fn tables_are_read() {
        let text = "[console]\nlisten = [\"192.0.2.1\", \"[::1]:99\"]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\n\
                    names = [\"Files.Example.com\"]\n\
                    [metrics]\nlisten = [\"127.0.0.1\"]\ntoken_file = \"token\"\nper_share = true\n";
        let settings = read(text).unwrap();
        let addresses = |list: &[SocketAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses(&settings.console.listen), ["192.0.2.1:8445", "[::1]:99"]);
        assert_eq!(addresses(&settings.metrics.listen), ["127.0.0.1:9445"]);
        let files = settings.console.certificate.unwrap();
        assert_eq!(files.certificate, Path::new("/etc/shareward/c.pem"));
        assert_eq!(files.key, Path::new("/k.pem"));
        assert_eq!(settings.console.names, ["files.example.com"]);
        assert_eq!(settings.metrics.token_file.unwrap(), Path::new("/etc/shareward/token"));
        assert!(settings.metrics.per_share);
    }

    #[test]
    fn plain_listeners_are_refused_except_on_loopback_or_if_forced() {
        let plain = |table: &str, address: &str, more: &str| {
            read(&format!("[{table}]\nlisten = [\"{address}:1\"]\n{more}"))
        };
        for (table, more) in [("console", "tls = false"), ("metrics", "")] {
            let refused = plain(table, "0.0.0.0", more).unwrap_err();
            assert!(refused[0].starts_with("2:11: ") && refused[0].contains("0.0.0.0:1"), "{refused:?}");
            assert!(plain(table, "127.0.0.1", more).is_ok());
            assert!(plain(table, "[::1]", more).is_ok());
            assert!(plain(table, "0.0.0.0", &format!("{more}\nallow_plain = true")).is_ok());
        }
        assert!(plain("console", "0.0.0.0", "").is_ok(), "with TLS");
    }

    #[test]
    fn certificate_and_key_belong_together() {
        let wrong = |text: &str| read(&format!("[console]\n{text}")).unwrap_err();
        assert!(wrong("certificate = \"c\"")[0].contains("needs key"));
        assert!(wrong("key = \"k\"")[0].contains("needs certificate"));
        assert!(wrong("certificate = \"c\"\nkey = \"k\"\ntls = false")[0].contains("without tls"));
        assert!(wrong("names = [\"a b\"]")[0].contains("host name"));
    }
}
