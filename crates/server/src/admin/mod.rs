//! What administrators may ask of the server, whatever way they come in.
//!
//! Each verb asks for the caller's right, looks at the registry or changes it, does what the change
//! obliges to, and writes what was done to the audit log. The pipes and the control API translate:
//! they decide nothing.

mod audit;
mod close;
mod connections;
mod desk;
mod error;
mod file_security;
mod files;
pub(crate) mod idle;
mod logons;
mod meant;
mod names;
mod permissions;
mod rights;
mod server;
mod sessions;
mod settings;
mod share_changes;
mod shares;
mod users;
mod walk;
mod who;

use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use audit::{
    Untold, account_locked, clock_differs, logon_refused, logons_untold, pipe_refused, taken_as_guest,
};
pub(crate) use close::{NotClosed, close_file, close_file_at_once};
pub(crate) use connections::{TreesMeant, connections, connections_within};
#[cfg(test)]
pub(crate) use desk::SOCKET_PLACES;
pub(crate) use desk::{Aside, Desk, Place, Seat};
pub(crate) use error::Error;
pub(crate) use file_security::{file_security, set_file_security};
pub(crate) use files::{FilesMeant, PathMeant, file, files, server_path};
pub(crate) use logons::logons;
pub(crate) use meant::{Account, Computer};
pub(crate) use names::{names_of_sids, sids_of_names};
pub(crate) use permissions::permissions;
pub(crate) use rights::{Own, Right, Roles, Scope, check, may, scope};
pub(crate) use server::{Counts, counts, refusals, statistics};
pub(crate) use sessions::{SessionsMeant, end_session, end_sessions, protection, session, sessions};
pub(crate) use settings::{
    ServiceAction, ServiceState, SettingsEdit, change_settings, clock, control_service, service, settings,
};
pub(crate) use share_changes::{ShareEdit, add_share, change_share, delete_share};
pub(crate) use shares::{share, shares};
pub(crate) use users::{
    NewPassword, NotSet, change_password, guessed, is_administrator, prove, set_active, set_password, user,
    users,
};
pub(crate) use who::{Having, Wanted, wanted, who};

use crate::core::server::Server;
use crate::core::session::{Session, User};

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The user's account; empty for somebody who has none.
    pub(crate) user: String,
    /// Whether the user may administer the server.
    pub(crate) administrator: bool,
    /// What else the user may.
    pub(crate) roles: Roles,
    /// Whether somebody without an account may see the shares that they may use.
    pub(crate) lists_shares: bool,
    /// Where the request comes from.
    pub(crate) from: String,
    /// Who asks as the owners of files know them; none for those who come from the machine itself.
    pub(crate) session_user: Option<Arc<User>>,
}

impl Caller {
    /// The user of an SMB session, with the rights that the settings in force give. A guest has no account, and with
    /// it no name and no rights here.
    pub(crate) fn of_session(server: &Server, session: &Session, peer: SocketAddr) -> Self {
        let user = session.user();
        let account = user.as_ref().filter(|user| user.kind == auth::IdentityKind::User);
        let name = account.map(|user| user.name.clone()).unwrap_or_default();
        let settings = server.settings();
        let roles = Roles::of(&settings.roles, &name, || crate::core::identity::group_names(&name));
        Self {
            lists_shares: user.as_ref().is_some_and(|user| settings.lists_shares(user.kind)),
            administrator: settings.is_administrator(&name) || roles.administer,
            user: name,
            roles,
            from: peer.ip().to_canonical().to_string(),
            session_user: user,
        }
    }

    /// Whether the caller is the account called so, in any case.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        !self.user.is_empty() && self.user.eq_ignore_ascii_case(name)
    }
}

/// A count as administrators are told it, in 32 bits.
pub(crate) fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What ended with an administrator's act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) sessions: usize,
    pub(crate) files: usize,
    /// How a single close went.
    pub(crate) outcome: Option<control::Outcome>,
}
