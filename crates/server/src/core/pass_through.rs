//! Logons with NTLM that a domain controller decides, through winbind.

use auth::{Decided, PassThrough, Refusal};
use domain::winbind::{self, NtlmLogon};
use wire::NtStatus;

use crate::core::limits::DOMAIN_LOGON_WAIT;
use crate::core::server::Server;

impl Server {
    /// The decision of a controller about a response. It is asked once: it counts wrong passwords.
    pub(crate) async fn decided_by_controller(&self, request: PassThrough) -> Result<Decided, Refusal> {
        let PassThrough { user, domain, workstation, challenge, nt_response, lm_response } = request;
        let logon = NtlmLogon { user, domain, workstation, challenge, nt_response, lm_response };
        let granted = self.logons.winbind.authenticate(logon, DOMAIN_LOGON_WAIT).await.map_err(refusal)?;
        let winbind::PassedThrough { session_base_key, user } = granted;
        Ok(Decided { session_base_key, user })
    }
}

fn refusal(refusal: winbind::Refusal) -> Refusal {
    use winbind::Refusal as By;
    let status = match &refusal {
        By::NoSuchUser => return Refusal::NoSuchUser,
        By::WrongPassword => return Refusal::WrongPassword,
        By::LockedOut => return Refusal::LockedOut,
        By::Disabled => return Refusal::Disabled,
        By::AccountExpired => NtStatus::ACCOUNT_EXPIRED,
        By::PasswordExpired => NtStatus::PASSWORD_EXPIRED,
        By::Policy(status) => *status,
        _ if refusal.is_unavailable() => NO_LOGON_SERVERS,
        _ => NtStatus::LOGON_FAILURE,
    };
    Refusal::Domain { reason: refusal.to_string().into(), status }
}

/// STATUS_NO_LOGON_SERVERS (MS-ERREF 2.3.1).
const NO_LOGON_SERVERS: NtStatus = NtStatus(0xc000_005e);
