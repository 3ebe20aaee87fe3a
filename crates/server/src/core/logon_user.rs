//! The user of a logon: under which account an attempt at a password is counted, and who has logged on.

use auth::users::without_domain;
use auth::{Claim, IdentityKind};
use wire::NtStatus;

use crate::core::audit::Why;
use crate::core::config::{GUEST_ACCOUNT, Settings};
use crate::core::domain::NotAdmitted;
use crate::core::server::Server;
use crate::core::session::User;

/// The reason why a successful authentication does not lead to a session.
pub(crate) struct NotBegun {
    /// The status for the client.
    pub(crate) status: NtStatus,
    /// The reason for the log.
    pub(crate) why: Why,
}

impl From<NtStatus> for NotBegun {
    fn from(status: NtStatus) -> Self {
        Self { status, why: Why::from(status.to_string().as_str()) }
    }
}

/// The account name under which an attempt at a password is counted.
pub(crate) fn account_tried(server: &Server, claim: &Claim) -> String {
    let Claim { user, domain, .. } = claim;
    let accounts = server.accounts();
    if let Some(account) =
        server.settings().acceptor_config().domain_account(claim, &accounts.at(server.file_time(), 0))
    {
        return account;
    }
    let account = accounts.meant(domain, user).map(|account| account.name.as_str());
    account.unwrap_or_else(|| without_domain(domain, user)).to_owned()
}

/// The user with the permissions that apply, and with the administrator flag.
pub(crate) fn user_of(
    server: &Server,
    settings: &Settings,
    identity: &auth::Identity,
) -> Result<User, NotBegun> {
    if let Some(user) = &identity.domain_user {
        return server.domain_user(settings, user).map_err(|reason| NotBegun {
            status: match reason {
                NotAdmitted::NotGranted(_) => NtStatus::LOGON_TYPE_NOT_GRANTED,
                NotAdmitted::Unknown(_) => NtStatus::LOGON_FAILURE,
            },
            why: Why::from(reason.to_string().as_str()),
        });
    }
    let is_user = identity.kind == IdentityKind::User;
    if is_user && settings.domain.is_some() && identity.user.contains(['\\', '@']) {
        let reason = "the account in the users file has a name as only users of a domain have";
        return Err(NotBegun { status: NtStatus::LOGON_FAILURE, why: Why::from(reason) });
    }
    let actor = if settings.unix_identities {
        let account = if is_user { identity.user.as_str() } else { GUEST_ACCOUNT };
        crate::core::identity::actor_of(account).ok_or_else(|| NotBegun {
            status: NtStatus::LOGON_FAILURE,
            why: if is_user {
                Why {
                    reason: String::from("the user has no Unix account"),
                    remedy: Some("'useradd NAME' creates one; or set unix_identities = false"),
                }
            } else {
                Why {
                    reason: format!("the Unix user {account}, which guests need, does not exist"),
                    remedy: Some("'useradd --system nobody' creates it"),
                }
            },
        })?
    } else {
        vfs::Actor::Process
    };
    let name = if identity.kind == IdentityKind::Anonymous { String::new() } else { identity.user.clone() };
    Ok(server.user_with(settings, name, identity.kind, actor, None))
}
