//! The server's side of a logon (RFC 4178 4.2; MS-NLMP 3.2.5; MS-SMB2 3.3.5.5.3).
//!
//! ```text
//!                    SPNEGO, NTLMSSP not first or no token
//!   Start ───────────────────────────────────────────────► Selected
//!     │ SPNEGO with NEGOTIATE, raw NEGOTIATE                  │ NEGOTIATE
//!     └───────────────► Challenged ◄─────────────────────────┘
//!                            │ AUTHENTICATE
//!                            ▼
//!                        Finished (also after every refusal)
//! ```

use core::fmt;
use std::sync::Arc;

use wire::FileTime;
use wire::names::eq_ignore_case;
use zeroize::Zeroizing;

use crate::domain_user::{DomainUser, Method};
use crate::limits::{MAX_MECHANISM_LIST, MAX_NEGOTIATE, MAX_TOKEN};
use crate::ntlm::av_pair::ClientChallenge;
use crate::ntlm::{
    self, Authenticate, AvFlags, AvId, AvPairs, Challenge, Negotiate, NegotiateFlags, NtlmSeal, Sender,
    compute,
};
use crate::random::{Random, SystemRandom};
use crate::refusal::Refusal;
use crate::spnego::{self, Mechanism, NegState, NegTokenInit, NegTokenResp, Token};

/// The names that the server presents, and the logons that it accepts without a password.
#[derive(Clone, Debug, Default)]
pub struct AcceptorConfig {
    /// The server's NetBIOS name, in upper case.
    pub netbios_name: String,
    /// The server's DNS name.
    pub dns_name: String,
    /// The NetBIOS name of its domain or workgroup; empty means the server's own name.
    pub domain: String,
    /// The DNS name of its domain; empty if it has none.
    pub dns_domain: String,
    /// Takes the anonymous logon.
    pub allow_anonymous: bool,
    /// Takes users that do not exist as guests, if they name no domain of their own: none, a workgroup, this server
    /// or the computer that they come from. A known user's wrong password stays refused.
    pub guest_for_unknown: bool,
    /// Further domains whose users become guests then, in any case; `*` means all.
    pub guest_domains: Vec<String>,
}

/// The accounts: the users file, or a table of a test.
pub trait Accounts {
    /// The account `user` of `domain`, with the names as the client sent them; `None` if it does not exist.
    fn nt_hash(&self, domain: &str, user: &str) -> Option<AccountRecord>;
}

/// The properties of an account that the acceptor uses.
#[derive(Clone)]
pub struct AccountRecord {
    /// The account's name as the database writes it.
    pub name: String,
    /// The NT hash of its password; `None` if nobody can log on with the account.
    pub nt_hash: Option<[u8; 16]>,
    /// The account is disabled, or is not a user's.
    pub disabled: bool,
    /// The account is locked out.
    pub locked_out: bool,
}

/// The result of a token.
#[derive(Debug)]
pub enum Step {
    /// Send this token and wait for the next (STATUS_MORE_PROCESSING_REQUIRED).
    Continue(Vec<u8>),
    /// The logon succeeded.
    Done(Box<Logon>),
    /// The logon failed; `token` may go with the error.
    Refused {
        /// The reason, for the log and for the choice of a status.
        reason: Refusal,
        /// The SPNEGO reject, if the client uses SPNEGO.
        token: Option<Vec<u8>>,
    },
}

/// A successful logon.
pub struct Logon {
    /// The last token to send; empty for raw NTLM.
    pub token: Vec<u8>,
    /// The user who logged on.
    pub identity: Identity,
    /// `ExportedSessionKey` (MS-NLMP 3.1.1.1); zeros for a guest, with whom nothing is shared.
    pub session_key: [u8; 16],
    /// The time in the client's response (MS-NLMP 2.2.2.7 `TimeStamp`), from its own clock or from the challenge, or
    /// zero; `None` for an anonymous logon.
    ///
    /// It is not checked. `MaxLifetime` (MS-NLMP 3.1.1.1) limits how long a recorded response can be used, but a
    /// response can be used only once here: it answers a challenge that no other logon gets, and a logon has its own
    /// deadline. Windows, for local accounts, and Samba accept any time, too.
    pub client_time: Option<FileTime>,
    /// The end of the user's ticket, after which the session has to be authenticated again (MS-SMB2 3.3.5.5.3,
    /// `Session.ExpirationTime`); `None` if the logon has no end.
    pub expires: Option<FileTime>,
}

/// The identity that a client claims, before any proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The account.
    pub user: String,
    /// The domain.
    pub domain: String,
    /// The client's computer.
    pub workstation: String,
}

/// The user who logged on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's name as in the database; for a guest, the name that it sent; empty if anonymous.
    pub user: String,
    /// The domain the client named.
    pub domain: String,
    /// The kind of logon.
    pub kind: IdentityKind,
    /// The name that the client's computer sent, which is not checked.
    pub workstation: Option<String>,
    /// The protocol of the logon.
    pub method: Method,
    /// The user as its domain describes it; `None` for accounts of the users file, guests and anonymous users. If it is
    /// there, `user` is its qualified name (`CORP\\carol`).
    pub domain_user: Option<Box<DomainUser>>,
}

/// The kinds of logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// An anonymous user (SMB2_SESSION_FLAG_IS_NULL).
    Anonymous,
    /// A guest (SMB2_SESSION_FLAG_IS_GUEST).
    Guest,
    /// An account that proved its password.
    User,
}

/// One logon, from the first token to the last.
pub struct Acceptor {
    config: Arc<AcceptorConfig>,
    random: Box<dyn Random>,
    state: State,
}

impl Acceptor {
    /// A logon that has not begun.
    pub fn new(config: impl Into<Arc<AcceptorConfig>>) -> Self {
        Self::with_random(config, Box::new(SystemRandom))
    }

    /// As [`Acceptor::new`] with the caller's random source.
    pub fn with_random(config: impl Into<Arc<AcceptorConfig>>, random: Box<dyn Random>) -> Self {
        Self { config: config.into(), random, state: State::Start }
    }

    /// The token for the server's NEGOTIATE response (MS-SMB2 2.2.4 `Buffer`).
    pub fn offer() -> Vec<u8> {
        spnego::server_offer(&[Mechanism::NtlmSsp])
    }

    /// The identity that the client claims in this token, if it is the AUTHENTICATE message that [`step`](Self::step)
    /// will check. `None` for an anonymous logon and for a malformed token.
    pub fn claim(&self, token: &[u8]) -> Option<Claim> {
        let State::Challenged(exchange) = &self.state else { return None };
        let bytes = match &exchange.framing {
            Framing::Raw => token.to_vec(),
            Framing::Spnego(_) => expect_response(token).ok()?.token?,
        };
        let message = Authenticate::decode(&bytes).ok().filter(|message| !message.is_anonymous())?;
        let Authenticate { user, domain, workstation, .. } = message;
        Some(Claim { user, domain, workstation })
    }

    /// Takes the client's next token. `now` must not be [`FileTime::NONE`].
    pub fn step(&mut self, token: &[u8], accounts: &dyn Accounts, now: FileTime) -> Step {
        let state = core::mem::replace(&mut self.state, State::Finished);
        let spnego = match &state {
            State::Start => !ntlm::is_raw(token),
            State::Selected(_) => true,
            State::Challenged(exchange) => exchange.framing.is_spnego(),
            State::Finished => false,
        };
        self.advance(state, token, accounts, now).unwrap_or_else(|reason| Step::Refused {
            reason,
            token: spnego
                .then(|| NegTokenResp { state: Some(NegState::Reject), ..NegTokenResp::default() }.encode()),
        })
    }

    fn advance(
        &mut self,
        state: State,
        token: &[u8],
        accounts: &dyn Accounts,
        now: FileTime,
    ) -> Result<Step, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::Malformed);
        }
        match state {
            State::Start if ntlm::is_raw(token) => self.challenge(token, Framing::Raw, now),
            State::Start => self.select(token, now),
            State::Selected(negotiation) => {
                let response = expect_response(token)?;
                let negotiate = response.token.ok_or(Refusal::Malformed)?;
                self.challenge(&negotiate, Framing::Spnego(negotiation), now)
            }
            State::Challenged(exchange) => self.authenticate(exchange, token, accounts),
            State::Finished => Err(Refusal::OutOfOrder),
        }
    }

    /// Chooses NTLMSSP from the client's offer (RFC 4178 4.2.1, 5).
    fn select(&mut self, token: &[u8], now: FileTime) -> Result<Step, Refusal> {
        let Token::Init(init) = Token::decode(token).map_err(|_| Refusal::Malformed)? else {
            return Err(Refusal::Malformed);
        };
        let NegTokenInit { mechanisms, mechanism_list, token, .. } = init;
        if mechanism_list.len() > MAX_MECHANISM_LIST {
            return Err(Refusal::Malformed);
        }
        if !mechanisms.contains(&Mechanism::NtlmSsp) {
            return Err(Refusal::NoCommonMechanism);
        }
        let preferred = mechanisms.first() == Some(&Mechanism::NtlmSsp);
        let mut negotiation = Negotiation { mechanism_list, mic_required: !preferred, announced: false };
        if let Some(negotiate) = token.filter(|_| preferred) {
            return self.challenge(&negotiate, Framing::Spnego(negotiation), now);
        }
        negotiation.announced = true;
        let answer = NegTokenResp {
            state: Some(if preferred { NegState::AcceptIncomplete } else { NegState::RequestMic }),
            mechanism: Some(Mechanism::NtlmSsp),
            ..NegTokenResp::default()
        };
        self.state = State::Selected(negotiation);
        Ok(Step::Continue(answer.encode()))
    }

    /// Answers a NEGOTIATE message with a CHALLENGE (MS-NLMP 3.2.5.1.1).
    fn challenge(&mut self, negotiate: &[u8], framing: Framing, now: FileTime) -> Result<Step, Refusal> {
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
    fn authenticate(
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
        let token = match &exchange.framing {
            Framing::Raw => Vec::new(),
            Framing::Spnego(negotiation) => {
                let mic = verified.mechanism_list_mic(negotiation, &message, list_mic)?;
                NegTokenResp {
                    state: Some(NegState::AcceptCompleted),
                    mechanism_list_mic: mic,
                    ..NegTokenResp::default()
                }
                .encode()
            }
        };
        let Authenticate { domain, workstation, .. } = message;
        Ok(Step::Done(Box::new(Logon {
            token,
            identity: Identity {
                user: verified.user,
                domain,
                kind: verified.kind,
                workstation: Some(workstation).filter(|name| !name.is_empty()),
                method: Method::Ntlm,
                domain_user: None,
            },
            session_key: *verified.session_key,
            client_time,
            expires: None,
        })))
    }

    fn verify_anonymous(&self, message: &Authenticate) -> Result<Verified, Refusal> {
        if !self.config.allow_anonymous {
            return Err(Refusal::AnonymousNotAllowed);
        }
        Ok(Verified {
            user: String::new(),
            kind: IdentityKind::Anonymous,
            session_key: exported_key(message, &[0; 16])?,
        })
    }

    /// The treatment of a user without an account.
    fn guest(&self, message: &Authenticate) -> Result<Verified, Refusal> {
        if !self.config.guest_for_unknown {
            return Err(Refusal::NoSuchUser);
        }
        if !self.domain_has_guests(message) {
            return Err(Refusal::NotAGuest);
        }
        Ok(Verified {
            user: message.user.clone(),
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
        let mic = compute::mic(&session_key, &exchange.negotiate, &exchange.challenge, bytes);
        let mic_right = message.mic.is_some_and(|claimed| compute::equal(&mic, &claimed));

        let Some(account) = account else { return self.guest(message) };
        if !proven {
            return Err(Refusal::WrongPassword);
        }
        let client = &response.client;
        if client.pairs.flags().contains(AvFlags::MIC_PRESENT) && !mic_right {
            return Err(Refusal::BadMic);
        }
        // The server uses no channel binding. A response that is bound to a channel was relayed from another
        // connection.
        if client.pairs.value(AvId::CHANNEL_BINDINGS).is_some_and(|hash| hash.iter().any(|byte| *byte != 0)) {
            return Err(Refusal::BadBindings);
        }
        if account.locked_out {
            return Err(Refusal::LockedOut);
        }
        if account.disabled {
            return Err(Refusal::Disabled);
        }
        Ok(Verified { user: account.name, kind: IdentityKind::User, session_key })
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Start => "Start",
            State::Selected(_) => "Selected",
            State::Challenged(_) => "Challenged",
            State::Finished => "Finished",
        };
        f.debug_struct("Acceptor").field("state", &state).finish_non_exhaustive()
    }
}

impl fmt::Debug for AccountRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, disabled, locked_out, .. } = self;
        f.debug_struct("AccountRecord")
            .field("name", name)
            .field("disabled", disabled)
            .field("locked_out", locked_out)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Logon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logon").field("identity", &self.identity).finish_non_exhaustive()
    }
}

enum State {
    Start,
    Selected(Negotiation),
    Challenged(Exchange),
    Finished,
}

enum Framing {
    Raw,
    Spnego(Negotiation),
}

impl Framing {
    const fn is_spnego(&self) -> bool {
        matches!(self, Self::Spnego(_))
    }
}

struct Negotiation {
    mechanism_list: Vec<u8>,
    /// NTLMSSP was not the client's first choice, so the list must be protected (RFC 4178 5).
    mic_required: bool,
    /// `supportedMech` has been sent.
    announced: bool,
}

struct Exchange {
    framing: Framing,
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    server_challenge: [u8; 8],
}

struct Verified {
    user: String,
    kind: IdentityKind,
    session_key: Zeroizing<[u8; 16]>,
}

impl Verified {
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
struct V2Response<'a> {
    proof: &'a [u8; 16],
    blob: &'a [u8],
    client: ClientChallenge,
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

fn expect_response(token: &[u8]) -> Result<NegTokenResp, Refusal> {
    match Token::decode(token) {
        Ok(Token::Response(response)) if response.state != Some(NegState::Reject) => Ok(response),
        _ => Err(Refusal::Malformed),
    }
}

/// `ExportedSessionKey` from the key exchange key (MS-NLMP 3.2.5.1.2).
fn exported_key(message: &Authenticate, exchange_key: &[u8; 16]) -> Result<Zeroizing<[u8; 16]>, Refusal> {
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
