//! Servers of other makes on this machine: Samba, the kernel's ksmbd, and the kernel's NFS server.
//!
//! Each make has a [`Reader`] that turns what the server shows about itself into the types of the control API: the output
//! of a program, or files below /proc. [`LocalClient`] makes an [`Administration`](crate::Administration) of a reader;
//! [`AllLocal`] joins those that run here. Information that a server does not show stays unknown.

mod all;
mod client;
mod discover;
mod ksmbd;
mod nfs;
mod reader;
mod samba;
mod source;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use control::{Word, number};

pub use all::AllLocal;
pub use discover::running_makes;

use crate::smb::LogonCredentials;
use crate::{Administration, Error};
use client::LocalClient;
use source::Machine;

/// A make of server that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Make {
    /// Samba's smbd.
    Samba,
    /// The kernel's SMB server.
    Ksmbd,
    /// The kernel's NFS server.
    Nfs,
}

impl Make {
    /// All makes, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Samba, Self::Ksmbd, Self::Nfs];

    /// The name, as `--server NAME:` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Samba => "samba",
            Self::Ksmbd => "ksmbd",
            Self::Nfs => "nfs",
        }
    }

    /// The name in entries.
    pub(crate) const fn word(self) -> Word {
        Word::known(self.name())
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A server of this machine as a command line names it: `samba:`, `ksmbd:`, `nfs:`, or one of these with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalServer {
    /// The make.
    pub make: Make,
    /// For Samba, the configuration file of the server, if it is not the usual one; for the others, a copy of the
    /// server's directory in /proc.
    pub place: Option<PathBuf>,
}

/// The text is not a server of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server of this machine is samba:, ksmbd: or nfs:")]
pub struct NotALocalServer;

impl FromStr for LocalServer {
    type Err = NotALocalServer;

    /// A colon at the end, or before a path from the root, keeps these names apart from those of hosts with ports.
    fn from_str(text: &str) -> Result<Self, NotALocalServer> {
        let (name, place) = text.split_once(':').ok_or(NotALocalServer)?;
        let make = Make::ALL.into_iter().find(|make| make.name().eq_ignore_ascii_case(name));
        let place = match place {
            "" => None,
            place if place.starts_with('/') => Some(PathBuf::from(place)),
            _ => return Err(NotALocalServer),
        };
        Ok(Self { make: make.ok_or(NotALocalServer)?, place })
    }
}

impl fmt::Display for LocalServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.make)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, "{}", place.display()))
    }
}

impl LocalServer {
    /// The usual server of this make.
    pub const fn usual(make: Make) -> Self {
        Self { make, place: None }
    }

    /// The client of the server. Samba asks for a logon to close an open; the other makes have no use for it.
    pub fn administration(self, logon: Option<LogonCredentials>) -> Box<dyn Administration> {
        match self.make {
            Make::Samba => Box::new(LocalClient::new(samba::Samba::new(Machine, self.place, logon))),
            Make::Ksmbd => Box::new(LocalClient::new(ksmbd::Ksmbd::new(Machine, self.place))),
            Make::Nfs => Box::new(LocalClient::new(nfs::Nfs::new(Machine, self.place))),
        }
    }
}

/// 5, and why.
fn denied(hint: impl Into<String>) -> Error {
    control::Error::new(number::ACCESS_DENIED, "Access is denied.").with_hint(hint).into()
}

/// 2114, and why.
fn not_started(hint: impl Into<String>) -> Error {
    control::Error::new(number::SERVER_NOT_STARTED, "The Server service is not started.")
        .with_hint(hint)
        .into()
}

/// The failure to read a file of the server.
fn unreadable(make: Make, path: &std::path::Path, error: &std::io::Error) -> Error {
    let path = path.display();
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return denied(format!("{make}: only root may read {path}; run the command as root"));
    }
    Error::Nonsense(format!("{make}: cannot read {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_this_machine_have_a_colon_and_no_port() {
        for (text, make, place) in [
            ("samba:", Make::Samba, None),
            ("NFS:", Make::Nfs, None),
            ("ksmbd:/tree", Make::Ksmbd, Some("/tree")),
            ("samba:/etc/samba/smb.conf", Make::Samba, Some("/etc/samba/smb.conf")),
        ] {
            let server: LocalServer = text.parse().unwrap();
            assert_eq!(server, LocalServer { make, place: place.map(PathBuf::from) }, "{text}");
            assert_eq!(server.to_string().to_lowercase(), text.to_lowercase());
        }
        for text in ["samba", "samba:445", "nas:", ":", "", "samba:relative", "[::1]:"] {
            assert_eq!(text.parse::<LocalServer>(), Err(NotALocalServer), "{text}");
        }
    }
}
