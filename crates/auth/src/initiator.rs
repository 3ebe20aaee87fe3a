//! The client's side of a logon (RFC 4178 4.2; MS-NLMP 3.1.5).

mod kerberos;

use core::fmt;

use thiserror::Error;
use wire::FileTime;
use zeroize::Zeroizing;

use crate::ntlm::av_pair::ClientChallenge;
use crate::ntlm::message::MIC_OFFSET;
use crate::ntlm::{
    Authenticate, AvFlags, AvId, AvPairs, Challenge, Negotiate, NegotiateFlags, NtlmError, NtlmSeal, Sender,
    compute,
};
use crate::random::{Random, RandomFailed, SystemRandom};
use crate::spnego::{Malformed, Mechanism, NegState, NegTokenInit, NegTokenResp, Token};
use kerberos::Choice;

pub use kerberos::{KerberosError, KerberosExchange, KerberosStep};

/// The user who logs on.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    domain: String,
    /// `None` for the anonymous logon.
    nt_hash: Option<Zeroizing<[u8; 16]>>,
}

impl Credentials {
    /// A user with a password.
    pub fn password(user: impl Into<String>, domain: impl Into<String>, password: &str) -> Self {
        Self::nt_hash(user, domain, compute::nt_hash(password))
    }

    /// A user with the NT hash of a password.
    pub fn nt_hash(user: impl Into<String>, domain: impl Into<String>, nt_hash: [u8; 16]) -> Self {
        Self { user: user.into(), domain: domain.into(), nt_hash: Some(Zeroizing::new(nt_hash)) }
    }

    /// The credentials of the anonymous logon.
    pub const fn anonymous() -> Self {
        Self { user: String::new(), domain: String::new(), nt_hash: None }
    }

    /// True for the anonymous logon, which has no password that a server could check.
    pub const fn is_anonymous(&self) -> bool {
        self.nt_hash.is_none()
    }

    /// The user's name; empty for the anonymous logon.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, domain, .. } = self;
        f.debug_struct("Credentials").field("user", user).field("domain", domain).finish_non_exhaustive()
    }
}

/// The options of a client's NTLM. The defaults are those of Windows.
#[derive(Clone, Debug)]
pub struct InitiatorOptions {
    /// Speaks NTLM without SPNEGO around it.
    pub raw_ntlmssp: bool,
    /// Offers Kerberos first, without a token for it. For tests of servers.
    pub offer_kerberos_first: bool,
    /// Sends the first NTLM message with the offer.
    pub optimistic_token: bool,
    /// Sends the MIC of the AUTHENTICATE message.
    pub send_mic: bool,
    /// Sends `mechListMIC`.
    pub send_mech_list_mic: bool,
    /// Sends the server's target information back inside the response.
    pub send_target_info: bool,
    /// Offers the exchange of a new session key.
    pub key_exchange: bool,
    /// The name this computer gives itself.
    pub workstation: String,
    /// The time put into the response when the server sends none.
    pub now: FileTime,
}

impl Default for InitiatorOptions {
    fn default() -> Self {
        Self {
            raw_ntlmssp: false,
            offer_kerberos_first: false,
            optimistic_token: true,
            send_mic: true,
            send_mech_list_mic: true,
            send_target_info: true,
            key_exchange: true,
            workstation: String::new(),
            now: FileTime::NONE,
        }
    }
}

/// The result of a step.
pub enum ClientStep {
    /// Send this token.
    Token(Vec<u8>),
    /// The logon is complete on this side.
    Done {
        /// The key that both sides have: `ExportedSessionKey` of NTLM (MS-NLMP 3.1.1.1), 16 bytes; of Kerberos 16 or
        /// 32, as long as the keys of its encryption type.
        session_key: Zeroizing<Vec<u8>>,
    },
}

impl fmt::Debug for ClientStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => f.debug_tuple("Token").field(&token.len()).finish(),
            Self::Done { .. } => f.debug_struct("Done").finish_non_exhaustive(),
        }
    }
}

/// The reason that a logon fails.
#[derive(Debug, Error)]
pub enum InitiatorError {
    /// The server's `mechListMIC` is wrong, or missing although it is required.
    #[error("the server's message integrity code is missing or wrong")]
    BadMic,
    /// Kerberos failed: the server's answer to the ticket is wrong or an error.
    #[error("{0}")]
    Kerberos(#[source] KerberosError),
    /// The server's token is not the one that the protocol requires at this point.
    #[error("the server's security token is malformed")]
    Malformed,
    /// The server chose a mechanism that was not offered: none of this program's, or one that the caller forbids.
    #[error("no common authentication mechanism")]
    NoCommonMechanism,
    /// A step was asked for after the logon had ended.
    #[error("the logon had already ended")]
    OutOfOrder,
    /// The system gave no random bytes.
    #[error("cannot get random bytes")]
    Random,
    /// The server rejected the negotiation.
    #[error("the server rejected the authentication")]
    Rejected,
    /// The server does not offer the features that NTLMv2 with session security requires.
    #[error("the server's NTLM is too old to be safe")]
    TooWeak,
}

/// One logon, from the first token to the last: `step(None)`, then a step for every token of the
/// server. The last token may be empty.
pub struct Initiator {
    /// The user of NTLM; `None` if the server must accept Kerberos.
    credentials: Option<Credentials>,
    kerberos: Option<(Box<dyn KerberosExchange>, Vec<u8>)>,
    target: String,
    options: InitiatorOptions,
    random: Box<dyn Random>,
    state: State,
}

impl Initiator {
    /// A logon of `credentials` at the server named `target`, with NTLM.
    pub fn new(credentials: Credentials, target: impl Into<String>) -> Self {
        Self::any(Some(credentials), None, target)
    }

    /// A logon with Kerberos at the server named `target`: `exchange` has made `token`, its first one. If the server
    /// does not take Kerberos, the logon goes on with NTLM as `fallback`; without that it fails.
    pub fn with_kerberos(
        exchange: Box<dyn KerberosExchange>,
        token: Vec<u8>,
        fallback: Option<Credentials>,
        target: impl Into<String>,
    ) -> Self {
        Self::any(fallback, Some((exchange, token)), target)
    }

    fn any(
        credentials: Option<Credentials>,
        kerberos: Option<(Box<dyn KerberosExchange>, Vec<u8>)>,
        target: impl Into<String>,
    ) -> Self {
        Self {
            credentials,
            kerberos,
            target: target.into(),
            options: InitiatorOptions::default(),
            random: Box::new(SystemRandom),
            state: State::Start,
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: InitiatorOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the random source.
    #[must_use]
    pub fn with_random(mut self, random: Box<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// True if the server is to answer a token of Kerberos.
    pub const fn is_kerberos(&self) -> bool {
        matches!(self.state, State::Kerberos(_))
    }

    /// Processes the server's token (`None` at first) and returns the next one.
    pub fn step(&mut self, token: Option<&[u8]>) -> Result<ClientStep, InitiatorError> {
        match core::mem::replace(&mut self.state, State::Finished) {
            State::Start => Ok(ClientStep::Token(self.begin())),
            State::Negotiating(negotiation) => {
                self.answer(negotiation, token.ok_or(InitiatorError::Malformed)?).map(ClientStep::Token)
            }
            State::Authenticated(session) => {
                session.accept(token.unwrap_or_default())?;
                Ok(ClientStep::Done { session_key: Zeroizing::new(session.key.to_vec()) })
            }
            State::Kerberos(negotiation) => match token {
                Some(token) if !token.is_empty() => self.answer_kerberos(negotiation, token),
                _ => negotiation.end(),
            },
            State::Finished => Err(InitiatorError::OutOfOrder),
        }
    }

    /// Offers Kerberos under both of its identifiers, with its token, and NTLM after it if that may follow.
    fn begin_kerberos(&mut self, exchange: Box<dyn KerberosExchange>, token: Vec<u8>) -> Vec<u8> {
        let mut mechanisms = vec![Mechanism::MsKerberos, Mechanism::Kerberos];
        if self.credentials.is_some() {
            mechanisms.push(Mechanism::NtlmSsp);
        }
        let init = NegTokenInit::new(mechanisms, Some(token));
        let bytes = init.encode();
        self.state = State::Kerberos(kerberos::Negotiation::new(exchange, init.mechanism_list));
        bytes
    }

    fn answer_kerberos(
        &mut self,
        negotiation: Box<kerberos::Negotiation>,
        token: &[u8],
    ) -> Result<ClientStep, InitiatorError> {
        match negotiation.answer(expect_response(token)?)? {
            Choice::Kerberos(negotiation, step) => {
                if matches!(step, ClientStep::Token(_)) {
                    self.state = State::Kerberos(negotiation);
                }
                Ok(step)
            }
            Choice::Ntlm(_) if self.credentials.is_none() => Err(InitiatorError::NoCommonMechanism),
            Choice::Ntlm(list) => {
                let token = Negotiate { flags: self.flags() }.encode();
                let next = NegTokenResp { token: Some(token.clone()), ..NegTokenResp::default() };
                // The choice of a mechanism that was not the first one must be proved (RFC 4178 5).
                self.state = State::Negotiating(Negotiation {
                    token,
                    mechanism_list: Some(list),
                    sent: true,
                    mic_required: true,
                });
                Ok(ClientStep::Token(next.encode()))
            }
        }
    }

    fn flags(&self) -> NegotiateFlags {
        let mut flags = WANTED_FLAGS;
        if self.options.key_exchange {
            flags |= NegotiateFlags::KEY_EXCHANGE;
        }
        flags
    }

    fn begin(&mut self) -> Vec<u8> {
        if let Some((exchange, token)) = self.kerberos.take() {
            return self.begin_kerberos(exchange, token);
        }
        let negotiate = Negotiate { flags: self.flags() }.encode();
        if self.options.raw_ntlmssp {
            self.state = State::Negotiating(Negotiation {
                token: negotiate.clone(),
                mechanism_list: None,
                sent: true,
                mic_required: false,
            });
            return negotiate;
        }
        let mut mechanisms = vec![Mechanism::NtlmSsp];
        if self.options.offer_kerberos_first {
            mechanisms.insert(0, Mechanism::Kerberos);
        }
        let sent = self.options.optimistic_token && !self.options.offer_kerberos_first;
        let init = NegTokenInit::new(mechanisms, sent.then(|| negotiate.clone()));
        let bytes = init.encode();
        self.state = State::Negotiating(Negotiation {
            token: negotiate,
            mechanism_list: Some(init.mechanism_list),
            sent,
            mic_required: false,
        });
        bytes
    }

    fn answer(&mut self, mut negotiation: Negotiation, token: &[u8]) -> Result<Vec<u8>, InitiatorError> {
        if negotiation.mechanism_list.is_none() {
            return self.authenticate(negotiation, token);
        }
        let response = expect_response(token)?;
        negotiation.mic_required |= response.state == Some(NegState::RequestMic);
        if response.mechanism.is_some_and(|mechanism| mechanism != Mechanism::NtlmSsp) {
            return Err(InitiatorError::NoCommonMechanism);
        }
        match response.token {
            Some(challenge) if negotiation.sent => self.authenticate(negotiation, &challenge),
            None if !negotiation.sent => {
                negotiation.sent = true;
                let answer =
                    NegTokenResp { token: Some(negotiation.token.clone()), ..NegTokenResp::default() }
                        .encode();
                self.state = State::Negotiating(negotiation);
                Ok(answer)
            }
            _ => Err(InitiatorError::Malformed),
        }
    }

    /// Answers the CHALLENGE with an AUTHENTICATE message (MS-NLMP 3.1.5.1.2).
    fn authenticate(
        &mut self,
        negotiation: Negotiation,
        challenge_bytes: &[u8],
    ) -> Result<Vec<u8>, InitiatorError> {
        let challenge = Challenge::decode(challenge_bytes)?;
        let mut flags = challenge.flags & (WANTED_FLAGS | NegotiateFlags::KEY_EXCHANGE);
        if !flags.contains(NegotiateFlags::UNICODE | NegotiateFlags::EXTENDED_SESSION_SECURITY) {
            return Err(InitiatorError::TooWeak);
        }
        if !self.options.key_exchange {
            flags = flags.without(NegotiateFlags::KEY_EXCHANGE);
        }
        let mut message =
            Authenticate { flags, workstation: self.options.workstation.clone(), ..Authenticate::default() };
        let credentials = self.credentials.clone().ok_or(InitiatorError::NoCommonMechanism)?;
        let exchange_key = match &credentials.nt_hash {
            None => {
                message.flags |= NegotiateFlags::ANONYMOUS;
                message.lm_response = vec![0];
                Zeroizing::new([0; 16])
            }
            Some(nt_hash) => self.respond(&challenge, &credentials, nt_hash, &mut message)?,
        };
        let mut key = exchange_key.clone();
        if flags.contains(NegotiateFlags::KEY_EXCHANGE) {
            self.random.fill(key.as_mut_slice())?;
            message.encrypted_session_key = compute::exchange_key(&exchange_key, &key).to_vec();
        }
        let mut bytes = message.encode();
        if message.mic.is_some() {
            let mic = compute::mic(&key, &negotiation.token, challenge_bytes, &bytes);
            if let Some(place) = bytes.get_mut(MIC_OFFSET..MIC_OFFSET + 16) {
                place.copy_from_slice(&mic);
            }
        }
        let session = Session {
            flags,
            key,
            mechanism_list: negotiation.mechanism_list,
            mic_due: negotiation.mic_required,
        };
        let Some(list) = &session.mechanism_list else {
            self.state = State::Authenticated(session);
            return Ok(bytes);
        };
        let mechanism_list_mic = if self.options.send_mech_list_mic {
            Some(session.context(Sender::Client)?.sign(list).to_vec())
        } else {
            None
        };
        self.state = State::Authenticated(session);
        Ok(NegTokenResp { token: Some(bytes), mechanism_list_mic, ..NegTokenResp::default() }.encode())
    }

    /// Fills in the identity and the NTLMv2 responses, and returns the key exchange key.
    fn respond(
        &mut self,
        challenge: &Challenge,
        credentials: &Credentials,
        nt_hash: &[u8; 16],
        message: &mut Authenticate,
    ) -> Result<Zeroizing<[u8; 16]>, InitiatorError> {
        let mut client_challenge = [0; 8];
        self.random.fill(&mut client_challenge)?;
        let offered = challenge.target_info.as_ref();
        let timestamp = offered.and_then(AvPairs::timestamp);
        let mut pairs = AvPairs::default();
        if let Some(offered) = offered.filter(|_| self.options.send_target_info) {
            pairs = offered.clone();
            if self.options.send_mic {
                let flags = pairs.flags() | AvFlags::MIC_PRESENT;
                pairs.set(AvId::FLAGS, flags.0.to_le_bytes().to_vec());
                message.mic = Some([0; 16]);
            }
            pairs.set(AvId::CHANNEL_BINDINGS, vec![0; 16]);
            pairs.set(AvId::TARGET_NAME, crate::bytes::utf16le(&format!("cifs/{}", self.target)));
        }
        let blob = ClientChallenge {
            timestamp: timestamp.unwrap_or(self.options.now),
            challenge: client_challenge,
            pairs,
        }
        .encode();
        let Credentials { user, domain, .. } = credentials;
        let key = Zeroizing::new(compute::response_key(nt_hash, user, domain));
        let proof = compute::proof(&key, &challenge.challenge, &blob);
        message.nt_response = [proof.as_slice(), &blob].concat();
        message.lm_response = if timestamp.is_some() {
            vec![0; 24]
        } else {
            compute::lm_response(&key, &challenge.challenge, &client_challenge).to_vec()
        };
        message.user.clone_from(user);
        message.domain.clone_from(domain);
        Ok(Zeroizing::new(compute::session_base_key(&key, &proof)))
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("credentials", &self.credentials)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl From<Malformed> for InitiatorError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<NtlmError> for InitiatorError {
    fn from(error: NtlmError) -> Self {
        match error {
            NtlmError::Malformed => Self::Malformed,
        }
    }
}

impl From<RandomFailed> for InitiatorError {
    fn from(_: RandomFailed) -> Self {
        Self::Random
    }
}

enum State {
    Start,
    Kerberos(Box<kerberos::Negotiation>),
    Negotiating(Negotiation),
    Authenticated(Session),
    Finished,
}

struct Negotiation {
    /// The NEGOTIATE message.
    token: Vec<u8>,
    /// The DER of the offered mechanisms; `None` without SPNEGO.
    mechanism_list: Option<Vec<u8>>,
    /// The NEGOTIATE message has been sent.
    sent: bool,
    /// The server asked for the MIC of the list.
    mic_required: bool,
}

struct Session {
    flags: NegotiateFlags,
    key: Zeroizing<[u8; 16]>,
    mechanism_list: Option<Vec<u8>>,
    /// The server asked for the MIC of the list, so it owes its own (RFC 4178 5).
    mic_due: bool,
}

impl Session {
    fn context(&self, sender: Sender) -> Result<NtlmSeal, InitiatorError> {
        NtlmSeal::new(self.flags, &self.key, sender).ok_or(InitiatorError::TooWeak)
    }

    /// Checks the server's last token. A server that sends none has accepted by its status, unless it owes the MIC.
    fn accept(&self, token: &[u8]) -> Result<(), InitiatorError> {
        let Some(list) = &self.mechanism_list else {
            return if token.is_empty() { Ok(()) } else { Err(InitiatorError::Malformed) };
        };
        if token.is_empty() {
            return if self.mic_due { Err(InitiatorError::BadMic) } else { Ok(()) };
        }
        let response = expect_response(token)?;
        if !matches!(response.state, None | Some(NegState::AcceptCompleted)) {
            return Err(InitiatorError::Malformed);
        }
        match response.mechanism_list_mic {
            Some(mic) if self.context(Sender::Server)?.verify(list, &mic) => Ok(()),
            Some(_) => Err(InitiatorError::BadMic),
            None if self.mic_due => Err(InitiatorError::BadMic),
            None => Ok(()),
        }
    }
}

fn expect_response(token: &[u8]) -> Result<NegTokenResp, InitiatorError> {
    match Token::decode(token)? {
        Token::Response(NegTokenResp { state: Some(NegState::Reject), .. }) => Err(InitiatorError::Rejected),
        Token::Response(response) => Ok(response),
        Token::Init(_) => Err(InitiatorError::Malformed),
    }
}

/// The flags that the client requests; the key exchange only if it is an option.
const WANTED_FLAGS: NegotiateFlags = NegotiateFlags(
    NegotiateFlags::UNICODE.0
        | NegotiateFlags::REQUEST_TARGET.0
        | NegotiateFlags::SIGN.0
        | NegotiateFlags::SEAL.0
        | NegotiateFlags::NTLM.0
        | NegotiateFlags::ALWAYS_SIGN.0
        | NegotiateFlags::EXTENDED_SESSION_SECURITY.0
        | NegotiateFlags::TARGET_INFO.0
        | NegotiateFlags::VERSION.0
        | NegotiateFlags::KEY_128.0
        | NegotiateFlags::KEY_56.0,
);
