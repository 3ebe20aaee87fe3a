//! Logons with NTLM of users of domains: a controller decides about the response (MS-NLMP 3.2.5.1.2, MS-APDS 3.1.5).

use core::fmt;

use wire::FileTime;
use wire::names::eq_ignore_case;
use zeroize::Zeroizing;

use super::ntlm::{Exchange, V2Response, Verified, exported_key};
use super::{Acceptor, AcceptorConfig, Accounts, Claim, IdentityKind, State, Step, refused};
use crate::domain_user::DomainUser;
use crate::ntlm::Authenticate;
use crate::ntlm::av_pair::ClientChallenge;
use crate::refusal::Refusal;

/// A response for a controller to decide about: the fields of `NETLOGON_NETWORK_INFO` (MS-NRPC 2.2.1.4.5). The names are
/// as the client sent them, because the response is computed from them.
#[derive(Clone, PartialEq, Eq)]
pub struct PassThrough {
    /// The user.
    pub user: String,
    /// The domain; may be empty.
    pub domain: String,
    /// The client's computer.
    pub workstation: String,
    /// The server's challenge.
    pub challenge: [u8; 8],
    /// `NtChallengeResponse`.
    pub nt_response: Vec<u8>,
    /// `LmChallengeResponse`.
    pub lm_response: Vec<u8>,
}

impl fmt::Debug for PassThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, domain, workstation, .. } = self;
        f.debug_struct("PassThrough")
            .field("user", user)
            .field("domain", domain)
            .field("workstation", workstation)
            .finish_non_exhaustive()
    }
}

/// A response that a controller has found right.
pub struct Decided {
    /// The session base key (MS-NLMP 3.3.2).
    pub session_base_key: Zeroizing<[u8; 16]>,
    /// The user.
    pub user: DomainUser,
}

/// A logon that a controller decides about.
pub(super) struct PassedOn {
    exchange: Exchange,
    message: Authenticate,
    /// The bytes of the message, over which its MIC is.
    bytes: Vec<u8>,
    list_mic: Option<Vec<u8>>,
    client: ClientChallenge,
}

impl PassedOn {
    pub(super) const fn is_spnego(&self) -> bool {
        self.exchange.framing.is_spnego()
    }
}

impl Acceptor {
    /// Leaves the decision about a response to a controller.
    pub(super) fn pass_on(
        &mut self,
        exchange: Exchange,
        message: &Authenticate,
        bytes: &[u8],
        list_mic: Option<Vec<u8>>,
        response: &V2Response<'_>,
    ) -> Step {
        let request = PassThrough {
            user: message.user.clone(),
            domain: message.domain.clone(),
            workstation: message.workstation.clone(),
            challenge: exchange.server_challenge,
            nt_response: message.nt_response.clone(),
            lm_response: message.lm_response.clone(),
        };
        self.state = State::PassedOn(Box::new(PassedOn {
            exchange,
            message: message.clone(),
            bytes: bytes.to_vec(),
            list_mic,
            client: response.client.clone(),
        }));
        Step::PassThrough(Box::new(request))
    }

    /// True if the logon waits for the decision about the response to this challenge of the server.
    pub fn awaits_decision(&self, challenge: &[u8; 8]) -> bool {
        matches!(&self.state, State::PassedOn(passed) if passed.exchange.server_challenge == *challenge)
    }

    /// Continues a logon after [`Step::PassThrough`] with the controller's decision. A user that it does not know becomes
    /// a guest where unknown users do.
    pub fn passed_through(&mut self, decided: Result<Decided, Refusal>) -> Step {
        match core::mem::replace(&mut self.state, State::Finished) {
            State::PassedOn(passed) => {
                let spnego = passed.is_spnego();
                self.decide(*passed, decided).unwrap_or_else(|reason| refused(reason, spnego))
            }
            _ => refused(Refusal::OutOfOrder, false),
        }
    }

    fn decide(&self, passed: PassedOn, decided: Result<Decided, Refusal>) -> Result<Step, Refusal> {
        let PassedOn { exchange, message, bytes, list_mic, client } = passed;
        let verified = match decided {
            Ok(Decided { session_base_key, user }) => {
                let session_key = exported_key(&message, &session_base_key)?;
                exchange.check_protection(&message, &bytes, &client, &session_key)?;
                Verified {
                    user: user.qualified_name(),
                    domain_user: Some(Box::new(user)),
                    kind: IdentityKind::User,
                    session_key,
                }
            }
            Err(Refusal::NoSuchUser) => self.guest(&message)?,
            Err(reason) => return Err(reason),
        };
        let client_time: Option<FileTime> = Some(client.timestamp);
        verified.finish(&exchange.framing, message, list_mic, client_time)
    }
}

impl AcceptorConfig {
    /// The name under which attempts at the password of a user of a domain are counted; `None` if the client means a
    /// local account.
    pub fn domain_account(&self, claim: &Claim, accounts: &dyn Accounts) -> Option<String> {
        let Claim { user, domain, workstation } = claim;
        self.means_domain(domain, user, workstation, accounts).then(|| {
            let domain = if domain.is_empty() || eq_ignore_case(domain, &self.dns_domain) {
                &self.domain
            } else {
                domain
            };
            let is_own = |realm: &str| eq_ignore_case(realm, &self.dns_domain);
            let name = match user.rsplit_once('@') {
                Some((name, realm)) if is_own(realm) => name,
                _ => user,
            };
            format!("{domain}\\{name}")
        })
    }

    /// True if the user of the message is one of a domain.
    pub(super) fn is_of_domain(&self, message: &Authenticate, accounts: &dyn Accounts) -> bool {
        self.means_domain(&message.domain, &message.user, &message.workstation, accounts)
    }

    /// True if these names mean a user of a domain: of the server's own, in any spelling; of another one, which the
    /// controller knows or not; and without a domain, if there is no local account of that name.
    fn means_domain(&self, domain: &str, user: &str, workstation: &str, accounts: &dyn Accounts) -> bool {
        // The domain of a workgroup has no DNS name.
        if self.dns_domain.is_empty() {
            return false;
        }
        let is = |names: &[&str]| names.iter().any(|name| eq_ignore_case(domain, name));
        if is(&[".", &self.netbios_name, &self.dns_name]) {
            return false;
        }
        if is(&[&self.domain, &self.dns_domain]) {
            return true;
        }
        if domain.is_empty()
            && let Some((_, realm)) = user.rsplit_once('@')
        {
            // An account of the users file may have such a name. With a domain, nothing is cut off the name.
            let is_own = [&self.domain, &self.dns_domain].iter().any(|it| eq_ignore_case(realm, it));
            return is_own || accounts.nt_hash(".", user).is_none();
        }
        // Clients outside of domains send these for their own users.
        let is_nobodys = is(&["WORKGROUP"]) || (!domain.is_empty() && is(&[workstation]));
        !is_nobodys && accounts.nt_hash(domain, user).is_none()
    }
}
