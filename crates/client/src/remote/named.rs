//! Servers as lists have them: on a command line, and in a file of names.

use std::fmt;
use std::str::FromStr;

use super::{NotAServerAddress, ServerAddress};

/// A server and as whom to ask it: `[USER@]NAME[:PORT]`, or `[USER@]NAME[@PORT]`. A user may have an `@` too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedServer {
    /// The user to log on as, as `[DOMAIN\]USER`.
    pub user: Option<String>,
    /// The server's place.
    pub place: ServerAddress,
}

/// One element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerWord<'a> {
    /// A server.
    Named(NamedServer),
    /// `@FILE`: the servers in a [file of names](servers_of_file).
    File(&'a str),
}

/// The elements of a comma-separated list; an error is the element that is not a server.
pub fn servers_of_list(list: &str) -> Result<Vec<ServerWord<'_>>, &str> {
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| match word.strip_prefix('@') {
            Some(file) => Ok(ServerWord::File(file)),
            None => word.parse().map(ServerWord::Named).map_err(|NotAServerAddress| word),
        })
        .collect()
}

/// The servers in the text of a file of names, one in a line, with `#` before remarks; or the line that names
/// none.
pub fn servers_of_file(text: &str) -> Result<Vec<NamedServer>, &str> {
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).map(|name| name.parse().map_err(|NotAServerAddress| name)).collect()
}

impl FromStr for NamedServer {
    type Err = NotAServerAddress;

    fn from_str(text: &str) -> Result<Self, NotAServerAddress> {
        // A number behind an `@` is the port: no host is called so.
        let is_port = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let end = text
            .rsplit_once('@')
            .filter(|(_, port)| is_port(port))
            .map_or(text.len(), |(rest, _)| rest.len());
        let split = text.get(..end).unwrap_or(text).rfind('@');
        let (user, place) = match split.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
            Some((user, place)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), place),
            None => (None, text),
        };
        let place: ServerAddress = place.parse()?;
        // Spaces and backslashes before such a number do not make it a name: written again, it would be a port.
        if user.is_some() && is_port(place.host()) {
            return Err(NotAServerAddress);
        }
        Ok(Self { user, place })
    }
}

impl fmt::Display for NamedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{user}@{}", self.place),
            None => self.place.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_after_the_name_is_its_port() {
        for (text, user, place) in [
            ("nas", None, "nas"),
            ("nas@1445", None, "nas:1445"),
            ("alice@nas", Some("alice"), "nas"),
            ("alice@nas@1445", Some("alice"), "nas:1445"),
            ("alice@nas:1445", Some("alice"), "nas:1445"),
            (r"LAB\bob@example.org@nas", Some(r"LAB\bob@example.org"), "nas"),
            ("alice@[::1]@1445", Some("alice"), "[::1]:1445"),
        ] {
            let named: NamedServer = text.parse().unwrap();
            assert_eq!((named.user.as_deref(), named.place.to_string().as_str()), (user, place), "{text}");
        }
        for text in ["alice@", "nas:1@2", "@1445", "alice@ 1445", r"alice@\\1445"] {
            assert!(text.parse::<NamedServer>().is_err(), "{text}");
        }
    }
}
