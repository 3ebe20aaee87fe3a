//! What administrators may ask of the server, whatever way they come in.
//!
//! Each verb asks for the caller's right, looks at the registry or changes it, does what the change
//! obliges to, and writes what was done to the audit log. The pipes and the control API translate:
//! they decide nothing.

mod audit;
mod connections;
mod error;
mod files;
pub(crate) mod logons;
mod meant;
mod permissions;
mod rights;
mod server;
mod sessions;
mod settings;
mod share_changes;
mod shares;
mod users;
mod walk;

use std::net::SocketAddr;

pub(crate) use connections::{TreesMeant, connections};
pub(crate) use error::Error;
pub(crate) use files::{FilesMeant, PathMeant, close_file, file, files, server_path};
pub(crate) use logons::logons;
pub(crate) use meant::{Account, Computer};
pub(crate) use permissions::permissions;
pub(crate) use rights::{Right, check};
pub(crate) use server::{Counts, counts, refusals, statistics};
pub(crate) use sessions::{SessionsMeant, end_session, end_sessions, protection, session, sessions};
pub(crate) use settings::{
    ServiceAction, ServiceState, SettingsEdit, change_settings, clock, control_service, service, settings,
};
pub(crate) use share_changes::{ShareEdit, add_share, change_share, delete_share};
pub(crate) use shares::{share, shares};
pub(crate) use users::{is_administrator, set_password, users};

use crate::session::Session;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user's name; empty for an anonymous one.
    pub(crate) user: String,
    /// Whether the user may administer the server.
    pub(crate) administrator: bool,
    /// Where the request comes from.
    pub(crate) from: String,
}

impl Caller {
    /// The user of an SMB session.
    pub(crate) fn of_session(session: &Session, peer: SocketAddr) -> Self {
        let user = session.user();
        Self {
            administrator: user.as_ref().is_some_and(|user| user.administrator),
            user: user.map(|user| user.name.clone()).unwrap_or_default(),
            from: peer.ip().to_canonical().to_string(),
        }
    }
}

/// What ended with an administrator's act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) sessions: usize,
    pub(crate) files: usize,
}
