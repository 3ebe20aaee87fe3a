//! Names of servers as command lines have them.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Direct TCP (MS-SMB2 2.1).
const SMB_PORT: u16 = 445;

/// The place of a server: `NAME`, `NAME:PORT`, `[IPV6]:PORT`, or with `@` instead of the colon, as in Windows' UNC
/// paths. Leading backslashes, as NET has them, are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// Text that names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server is written NAME, NAME:PORT, or [IPV6]:PORT")]
pub struct NotAServerAddress;

impl ServerAddress {
    /// The name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The host in the form of UNC paths, which must not contain colons (MS-DTYP 2.2.57).
    pub fn unc_host(&self) -> String {
        let (address, scope) = match self.host.split_once('%') {
            Some((address, scope)) => (address, format!("s{scope}")),
            None => (self.host.as_str(), String::new()),
        };
        match address.parse::<Ipv6Addr>() {
            Ok(_) => format!("{}{scope}.ipv6-literal.net", address.replace(':', "-")),
            Err(_) => self.host.clone(),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = NotAServerAddress;

    fn from_str(text: &str) -> Result<Self, NotAServerAddress> {
        let text = control::address::bare(text.trim());
        let (text, port_behind) = match text.rsplit_once('@') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(NotAServerAddress)?)),
            // An IPv6 address without brackets has more than one colon, and no port.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match (port, port_behind) {
            (Some(_), Some(_)) => return Err(NotAServerAddress),
            (port, behind) => port.or(behind),
        };
        let (bare, scope) = host.split_once('%').unwrap_or((host, ""));
        if host.contains(':') && (bare.parse::<Ipv6Addr>().is_err() || scope.contains(':')) {
            return Err(NotAServerAddress);
        }
        let strange = |character: char| {
            character.is_whitespace() || character.is_control() || "\\/[]@,".contains(character)
        };
        if host.is_empty() || host.contains(strange) {
            return Err(NotAServerAddress);
        }
        let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            None => SMB_PORT,
            Some(port) => {
                Some(port).filter(digits).and_then(|port| port.parse().ok()).ok_or(NotAServerAddress)?
            }
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = control::address::bracketed(&self.host);
        if self.port == SMB_PORT { f.write_str(&host) } else { write!(f, "{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_their_spellings() {
        for (text, host, port, shown) in [
            ("files", "files", 445, "files"),
            (r"\\FILES", "FILES", 445, "FILES"),
            ("//files", "files", 445, "files"),
            ("files.example.org:1445", "files.example.org", 1445, "files.example.org:1445"),
            ("10.0.0.1:445", "10.0.0.1", 445, "10.0.0.1"),
            ("::1", "::1", 445, "[::1]"),
            ("[::1]", "::1", 445, "[::1]"),
            (r"\\[2001:db8::7]:8445", "2001:db8::7", 8445, "[2001:db8::7]:8445"),
            ("files@1445", "files", 1445, "files:1445"),
            ("::1@1445", "::1", 1445, "[::1]:1445"),
            (r"\\[::1]@1445", "::1", 1445, "[::1]:1445"),
            ("fe80::1%eth0", "fe80::1%eth0", 445, "[fe80::1%eth0]"),
            ("dateien-köln", "dateien-köln", 445, "dateien-köln"),
        ] {
            let place: ServerAddress = text.parse().unwrap();
            assert_eq!((place.host(), place.port()), (host, port), "{text}");
            assert_eq!(place.to_string(), shown, "{text}");
        }
        for text in [
            "",
            r"\\",
            "a:",
            "a:b",
            "a:65536",
            "a:-1",
            "a b",
            "[::1",
            "[::1]x",
            "a:b:c",
            r"a\b",
            "[a]b:1",
            "10.0.0.1%a:b:c",
            "::1%a:b",
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(NotAServerAddress), "{text}");
        }
    }

    #[test]
    fn addresses_in_unc_paths() {
        for (text, host) in [
            ("::1", "--1.ipv6-literal.net"),
            ("fe80::1%4", "fe80--1s4.ipv6-literal.net"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().unc_host(), host);
        }
    }
}
