//! The server under test, whichever it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::need::{is_root, need};
use crate::samba::Samba;
use crate::setup::{Setup, User};
use crate::shareward::Shareward;

/// Ours or, to test the tests, Samba's.
#[derive(Debug)]
pub enum Subject {
    /// The binary of this repository.
    Shareward(Shareward),
    /// Samba's smbd, with `SHAREWARD_TEST_SUBJECT=samba`.
    Samba(Samba),
}

impl Subject {
    /// Starts the subject with the default [`Setup`] if `programs` are installed (see [`need`]).
    #[track_caller]
    pub fn with(programs: &[&str]) -> Option<Self> {
        need(programs).then(|| Self::start(&Setup::default()))
    }

    /// Starts the subject that `SHAREWARD_TEST_SUBJECT` names.
    #[track_caller]
    pub fn start(setup: &Setup) -> Self {
        match std::env::var("SHAREWARD_TEST_SUBJECT").as_deref() {
            Ok("samba") => {
                assert!(is_root(), "smbd as the subject needs root");
                Self::Samba(Samba::start(setup))
            }
            Ok("shareward") | Err(_) => Self::Shareward(Shareward::start(setup)),
            Ok(other) => panic!("SHAREWARD_TEST_SUBJECT is {other:?}; use shareward or samba"),
        }
    }

    /// True for Samba, so that tests can allow for its known faults.
    pub fn is_samba(&self) -> bool {
        matches!(self, Self::Samba(_))
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Shareward(server) => server.address(),
            Self::Samba(server) => server.address(),
        }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// The users and shares it was started with.
    pub fn setup(&self) -> &Setup {
        match self {
            Self::Shareward(server) => server.setup(),
            Self::Samba(server) => server.setup(),
        }
    }

    /// The account called `name`.
    #[track_caller]
    pub fn user(&self, name: &str) -> &User {
        self.setup().user(name)
    }

    /// The directory behind the share called `name`.
    pub fn share_dir(&self, name: &str) -> PathBuf {
        match self {
            Self::Shareward(server) => server.share_dir(name),
            Self::Samba(server) => server.share_dir(name),
        }
    }

    /// A temporary directory of the server's that no share shows.
    pub fn scratch(&self) -> PathBuf {
        match self {
            Self::Shareward(server) => server.scratch(),
            Self::Samba(server) => server.scratch(),
        }
    }

    /// True if it answers a NEGOTIATE.
    pub fn answers(&self) -> bool {
        match self {
            Self::Shareward(server) => server.answers(),
            Self::Samba(server) => server.answers(),
        }
    }
}
