//! Logons with NTLM: MS-NLMP 3.2.5.

use wire::FileTime;
use wire::names::eq_ignore_case;
use zeroize::Zeroizing;

use super::{
    Acceptor, AcceptorConfig, Accounts, Framing, Identity, IdentityKind, Logon, MessageContext, Negotiation,
    Outdated, State, Step, expect_response,
};
use crate::domain_user::{DomainUser, Method};
use crate::kdf::SessionKey;
use crate::limits::MAX_NEGOTIATE;
use crate::ntlm::av_pair::ClientChallenge;
use crate::ntlm::{
    Authenticate, AvFlags, AvId, AvPairs, Challenge, Negotiate, NegotiateFlags, NtlmSeal, Sender, compute,
};
use crate::refusal::Refusal;
use crate::spnego::{Mechanism, NegState, NegTokenResp};

impl Acceptor {
    /// Answers a NEGOTIATE message with a CHALLENGE (MS-NLMP 3.2.5.1.1).
    pub(super) fn challenge(
        &mut self,
        negotiate: &[u8],
        framing: Framing,
        now: FileTime,
    ) -> Result<Step, Refusal> {
        if negotiate.len() > MAX_NEGOTIATE {
            return Err(Refusal::Malformed);
        }
        let asked = Negotiate::decode(negotiate)?.flags;
        let charset = if asked.contains(NegotiateFlags::UNICODE) {
            NegotiateFlags::UNICODE
        } else if asked.contains(NegotiateFlags::OEM) {
            NegotiateFlags::OEM
        } else {
            return Err(Refusal::Malformed);
        };
        let mut server_challenge = [0; 8];
        self.random.fill(&mut server_challenge)?;
        let flags = (asked & ECHOED_FLAGS) | charset | ALWAYS_FLAGS;
        let message = Challenge {
            flags,
            challenge: server_challenge,
            target_name: self.config.netbios_name.clone(),
            target_info: Some(self.target_info(now)),
        }
        .encode();
        let token = match &framing {
            Framing::Raw => message.clone(),
            Framing::Spnego(negotiation) => NegTokenResp {
                state: Some(NegState::AcceptIncomplete),
                mechanism: (!negotiation.announced).then_some(Mechanism::NtlmSsp),
                token: Some(message.clone()),
                mechanism_list_mic: None,
            }
            .encode(),
        };
        self.state = State::Challenged(Exchange {
            framing,
            negotiate: negotiate.to_vec(),
            challenge: message,
            server_challenge,
        });
        Ok(Step::Continue(token))
    }

    fn target_info(&self, now: FileTime) -> AvPairs {
        let config = &*self.config;
        let domain = if config.domain.is_empty() { &config.netbios_name } else { &config.domain };
        let mut pairs = AvPairs::default();
        pairs.push_text(AvId::NB_DOMAIN_NAME, domain);
        pairs.push_text(AvId::NB_COMPUTER_NAME, &config.netbios_name);
        pairs.push_text(AvId::DNS_DOMAIN_NAME, &config.dns_domain);
        pairs.push_text(AvId::DNS_COMPUTER_NAME, &config.dns_name);
        pairs.push(AvId::TIMESTAMP, now.0.to_le_bytes().to_vec());
        pairs
    }

    /// Judges an AUTHENTICATE message (MS-NLMP 3.2.5.1.2).
    pub(super) fn authenticate(
        &mut self,
        exchange: Exchange,
        token: &[u8],
        accounts: &dyn Accounts,
    ) -> Result<Step, Refusal> {
        let (bytes, list_mic) = match &exchange.framing {
            Framing::Raw => (token.to_vec(), None),
            Framing::Spnego(_) => {
                let response = expect_response(token)?;
                (response.token.ok_or(Refusal::Malformed)?, response.mechanism_list_mic)
            }
        };
        let message = Authenticate::decode(&bytes)?;
        let (verified, client_time) = if message.is_anonymous() {
            (self.verify_anonymous(&message)?, None)
        } else {
            match V2Response::parse(&message.nt_response) {
                Ok(parsed) if self.config.is_of_domain(&message, accounts) => {
                    if self.config.pass_through {
                        return Ok(self.pass_on(exchange, &message, &bytes, list_mic, &parsed));
                    }
                    (self.guest(&message).map_err(|_| Refusal::DomainNtlm)?, None)
                }
                Ok(parsed) => {
                    let client_time = parsed.client.timestamp;
                    (self.verify_user(&exchange, &message, &bytes, parsed, accounts)?, Some(client_time))
                }
                // A guest's password is not checked: smbclient -N sends none.
                Err(Refusal::NotNtlmV2) if accounts.nt_hash(&message.domain, &message.user).is_none() => {
                    (self.guest(&message).map_err(|_| Refusal::NotNtlmV2)?, None)
                }
                Err(refusal) => return Err(refusal),
            }
        };
        verified.finish(&exchange.framing, message, list_mic, client_time)
    }

    fn verify_anonymous(&self, message: &Authenticate) -> Result<Verified, Refusal> {
        if !self.config.allow_anonymous {
            return Err(Refusal::AnonymousNotAllowed);
        }
        Ok(Verified {
            user: String::new(),
            domain_user: None,
            kind: IdentityKind::Anonymous,
            session_key: exported_key(message, &[0; 16])?,
        })
    }

    /// The treatment of a user without an account.
    pub(super) fn guest(&self, message: &Authenticate) -> Result<Verified, Refusal> {
        if !self.config.guest_for_unknown {
            return Err(Refusal::NoSuchUser);
        }
        if !self.domain_has_guests(message) {
            return Err(Refusal::NotAGuest);
        }
        Ok(Verified {
            user: message.user.clone(),
            domain_user: None,
            kind: IdentityKind::Guest,
            session_key: Zeroizing::new([0; 16]),
        })
    }

    /// True if unknown users of this domain become guests. Clients without a domain send their own computer, the
    /// server, or WORKGROUP. A user with another domain has an account there, and the logon is refused.
    fn domain_has_guests(&self, message: &Authenticate) -> bool {
        let AcceptorConfig { netbios_name, dns_name, domain, dns_domain, guest_domains, .. } = &*self.config;
        let (named, user) = match message.user.rsplit_once('@').filter(|_| message.domain.is_empty()) {
            Some((user, named)) => (named, user),
            None => (message.domain.as_str(), message.user.as_str()),
        };
        if guest_domains.iter().any(|it| it == "*" || eq_ignore_case(it, named)) {
            return true;
        }
        // The users of a real domain, which has a DNS name, have accounts there.
        let workgroup = if dns_domain.is_empty() { domain } else { netbios_name };
        let own = ["", ".", "WORKGROUP", netbios_name, dns_name, workgroup, &message.workstation];
        !user.contains(['@', '\\']) && own.iter().any(|it| eq_ignore_case(it, named))
    }

    /// Verifies the response. For an unknown user everything is computed with a random hash, so that the time of a
    /// refusal does not reveal which names exist.
    fn verify_user(
        &mut self,
        exchange: &Exchange,
        message: &Authenticate,
        bytes: &[u8],
        response: V2Response<'_>,
        accounts: &dyn Accounts,
    ) -> Result<Verified, Refusal> {
        let mut stand_in = Zeroizing::new([0; 16]);
        self.random.fill(stand_in.as_mut_slice())?;
        let account = accounts.nt_hash(&message.domain, &message.user);
        let hash = Zeroizing::new(account.as_ref().and_then(|it| it.nt_hash).unwrap_or(*stand_in));

        let key = Zeroizing::new(compute::response_key(&hash, &message.user, &message.domain));
        let proof = compute::proof(&key, &exchange.server_challenge, response.blob);
        let proven = compute::equal(&proof, response.proof);
        let base_key = Zeroizing::new(compute::session_base_key(&key, &proof));
        let session_key = exported_key(message, &base_key)?;
        let protected = exchange.check_protection(message, bytes, &response.client, &session_key);

        let Some(account) = account else { return self.guest(message) };
        if !proven {
            return Err(Refusal::WrongPassword);
        }
        protected?;
        if account.locked_out {
            return Err(Refusal::LockedOut);
        }
        if account.disabled {
            return Err(Refusal::Disabled);
        }
        match account.outdated {
            Some(Outdated::Account) => return Err(Refusal::AccountExpired),
            Some(Outdated::Hours) => return Err(Refusal::LogonHours),
            Some(Outdated::Password) => return Err(Refusal::PasswordExpired),
            Some(Outdated::MustChange) => return Err(Refusal::MustChangePassword),
            None => {}
        }
        Ok(Verified { user: account.name, domain_user: None, kind: IdentityKind::User, session_key })
    }
}

/// A CHALLENGE that awaits its AUTHENTICATE message.
pub(super) struct Exchange {
    pub(super) framing: Framing,
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    pub(super) server_challenge: [u8; 8],
}

impl Exchange {
    /// Checks the MIC that the response promises, and its channel bindings.
    pub(super) fn check_protection(
        &self,
        message: &Authenticate,
        bytes: &[u8],
        client: &ClientChallenge,
        session_key: &[u8; 16],
    ) -> Result<(), Refusal> {
        let mic = compute::mic(session_key, &self.negotiate, &self.challenge, bytes);
        let mic_right = message.mic.is_some_and(|claimed| compute::equal(&mic, &claimed));
        if client.pairs.flags().contains(AvFlags::MIC_PRESENT) && !mic_right {
            return Err(Refusal::BadMic);
        }
        // The server uses no channel binding. A response that is bound to a channel was relayed from another
        // connection.
        if client.pairs.value(AvId::CHANNEL_BINDINGS).is_some_and(|hash| hash.iter().any(|byte| *byte != 0)) {
            return Err(Refusal::BadBindings);
        }
        Ok(())
    }
}

/// A user who has proved to be one, a guest, or an anonymous caller.
pub(super) struct Verified {
    pub(super) user: String,
    pub(super) domain_user: Option<Box<DomainUser>>,
    pub(super) kind: IdentityKind,
    pub(super) session_key: Zeroizing<[u8; 16]>,
}

impl Verified {
    /// Makes the logon, after the client's `mechListMIC` is checked.
    pub(super) fn finish(
        self,
        framing: &Framing,
        message: Authenticate,
        list_mic: Option<Vec<u8>>,
        client_time: Option<FileTime>,
    ) -> Result<Step, Refusal> {
        let mut follows_list_mics = false;
        let token = match framing {
            Framing::Raw => Vec::new(),
            Framing::Spnego(negotiation) => {
                let mic = self.mechanism_list_mic(negotiation, &message, list_mic)?;
                follows_list_mics = mic.is_some();
                NegTokenResp {
                    state: Some(NegState::AcceptCompleted),
                    mechanism_list_mic: mic,
                    ..NegTokenResp::default()
                }
                .encode()
            }
        };
        let Authenticate { domain, workstation, flags, .. } = message;
        Ok(Step::Done(Box::new(Logon {
            token,
            identity: Identity {
                user: self.user,
                domain: self.domain_user.as_ref().map_or(domain, |user| user.domain.clone()),
                kind: self.kind,
                workstation: Some(workstation).filter(|name| !name.is_empty()),
                method: Method::Ntlm,
                domain_user: self.domain_user,
            },
            session_key: SessionKey::from(*self.session_key),
            client_time,
            expires: None,
            messages: MessageContext::Ntlm { flags, follows_list_mics },
        })))
    }

    /// Checks the client's `mechListMIC` and makes the server's, which answers one.
    fn mechanism_list_mic(
        &self,
        negotiation: &Negotiation,
        message: &Authenticate,
        claimed: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        if self.kind == IdentityKind::Guest {
            return Ok(None);
        }
        let Some(claimed) = claimed else {
            // An anonymous logon has nothing to protect.
            let needed = negotiation.mic_required && self.kind == IdentityKind::User;
            return if needed { Err(Refusal::BadMic) } else { Ok(None) };
        };
        let context = |sender| NtlmSeal::new(message.flags, &self.session_key, sender).ok_or(Refusal::BadMic);
        if !context(Sender::Client)?.verify(&negotiation.mechanism_list, &claimed) {
            return Err(Refusal::BadMic);
        }
        Ok(Some(context(Sender::Server)?.sign(&negotiation.mechanism_list).to_vec()))
    }
}

/// `NTLMv2_RESPONSE` (MS-NLMP 2.2.2.8).
pub(super) struct V2Response<'a> {
    proof: &'a [u8; 16],
    blob: &'a [u8],
    pub(super) client: ClientChallenge,
}

impl<'a> V2Response<'a> {
    fn parse(response: &'a [u8]) -> Result<Self, Refusal> {
        // A response that is only LM, LMv2, or the 24 bytes of NTLMv1 (MS-NLMP 2.2.2.6).
        if matches!(response.len(), 0 | 24) {
            return Err(Refusal::NotNtlmV2);
        }
        let (proof, blob) = response.split_first_chunk::<16>().ok_or(Refusal::Malformed)?;
        Ok(Self { proof, blob, client: ClientChallenge::decode(blob)? })
    }
}

/// `ExportedSessionKey` from the key exchange key (MS-NLMP 3.2.5.1.2).
pub(super) fn exported_key(
    message: &Authenticate,
    exchange_key: &[u8; 16],
) -> Result<Zeroizing<[u8; 16]>, Refusal> {
    if !message.flags.contains(NegotiateFlags::KEY_EXCHANGE) {
        return Ok(Zeroizing::new(*exchange_key));
    }
    let encrypted = message.encrypted_session_key.as_slice().try_into().map_err(|_| Refusal::Malformed)?;
    Ok(Zeroizing::new(compute::exchange_key(exchange_key, encrypted)))
}

/// The flags that the challenge grants if the client requests them.
const ECHOED_FLAGS: NegotiateFlags = NegotiateFlags(
    NegotiateFlags::SIGN.0
        | NegotiateFlags::SEAL.0
        | NegotiateFlags::ALWAYS_SIGN.0
        | NegotiateFlags::EXTENDED_SESSION_SECURITY.0
        | NegotiateFlags::KEY_128.0
        | NegotiateFlags::KEY_56.0
        | NegotiateFlags::KEY_EXCHANGE.0,
);

/// The flags of every challenge.
const ALWAYS_FLAGS: NegotiateFlags = NegotiateFlags(
    NegotiateFlags::REQUEST_TARGET.0
        | NegotiateFlags::NTLM.0
        | NegotiateFlags::TARGET_TYPE_SERVER.0
        | NegotiateFlags::TARGET_INFO.0
        | NegotiateFlags::VERSION.0,
);
