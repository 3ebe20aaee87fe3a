//! The server's side of a logon (RFC 4178 4.2; MS-NLMP 3.2.5; RFC 4121; MS-SMB2 3.3.5.5.3).
//!
//! ```text
//!                    SPNEGO, the chosen mechanism not first or no token
//!   Start ───────────────────────────────────────────────► Selected ──────────► AP-REQ
//!     │ SPNEGO with NEGOTIATE, raw NEGOTIATE                  │ NEGOTIATE          │
//!     ├───────────────► Challenged ◄─────────────────────────┘                    │
//!     │                      │ AUTHENTICATE (for users of domains over PassedOn)  │
//!     │                      ▼                       MIC                          │
//!     │                  Finished ◄───────────────────────────── ListUnproven ◄───┤
//!     │                  (also after every refusal)                               │
//!     │                      ▲                       AP-REQ                       │
//!     │                      ├───────────────────────────── TicketRefused ◄───────┤
//!     │ AP-REQ, raw AP-REQ   │                                                    │
//!     └──────────────────────┴────────────────────────────────────────────────────┘
//! ```
//!
//! For RPC, an AP-REQ leads to `Replied`, in which the client's AP-REP ends the logon (MS-KILE 3.4.5.1).
//!
//! Of the mechanisms that the client offers, the first that the server has is chosen. There is no second mechanism within
//! a logon: a ticket that is refused ends it, or can be followed by one other ticket.

mod ntlm;
mod pass_through;
mod ticket;

use core::fmt;
use std::sync::Arc;

use wire::FileTime;

use self::ntlm::Exchange;
use crate::domain_user::{DomainUser, Method};
use crate::kdf::SessionKey;
use crate::kerberos::{self, ChannelBindings, KerberosSeal, KerberosService, Purpose, ServiceKind, Style};
use crate::limits::{MAX_MECHANISM_LIST, MAX_TOKEN};
use crate::ntlm::{Authenticate, NegotiateFlags};
use crate::random::{Random, SystemRandom};
use crate::refusal::Refusal;
use crate::spnego::{self, Mechanism, NegState, NegTokenInit, NegTokenResp, Token};
use pass_through::PassedOn;
pub use pass_through::{Decided, PassThrough};
use ticket::{ListUnproven, Replied};

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
    /// Has a controller decide about users of domains (`Step::PassThrough`). Only used if the domain has a DNS name.
    pub pass_through: bool,
    /// The keys for tickets; `None` if the server does not offer Kerberos.
    pub kerberos: Option<Arc<KerberosService>>,
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
    /// The account or its password is too old; `None` if neither is.
    pub outdated: Option<Outdated>,
}

/// The reason why an account with the right password is too old for a logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// The account has expired.
    Account,
    /// The account may not log on at this hour of the week.
    Hours,
    /// The password is older than the rules allow.
    Password,
    /// The user must change the password before the first logon with it.
    MustChange,
}

/// The result of a token.
#[derive(Debug)]
pub enum Step {
    /// Send this token and wait for the next (STATUS_MORE_PROCESSING_REQUIRED).
    Continue(Vec<u8>),
    /// The ticket was refused for a reason that the client may be able to remove: the clocks differ, the ticket has ended,
    /// or its key is not in the keytab. Send this token, a KRB-ERROR with the server's time, and wait for the next
    /// (STATUS_MORE_PROCESSING_REQUIRED); some clients try once more, with the right time or with a new ticket.
    Again {
        /// The reason, for the log.
        reason: Refusal,
        /// The token.
        token: Vec<u8>,
    },
    /// The user is one of a domain: have a controller decide, and call [`Acceptor::passed_through`].
    PassThrough(Box<PassThrough>),
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
    /// The last token to send; may be empty without SPNEGO.
    pub token: Vec<u8>,
    /// The user who logged on.
    pub identity: Identity,
    /// `ExportedSessionKey` (MS-NLMP 3.1.1.1), or the key of the Kerberos context (MS-KILE 3.1.1.2); zeros for a guest,
    /// with whom nothing is shared.
    pub session_key: SessionKey,
    /// The time in the client's response (MS-NLMP 2.2.2.7 `TimeStamp`), from its own clock or from the challenge, or
    /// zero; `None` for an anonymous logon and for a ticket.
    ///
    /// It is not checked. `MaxLifetime` (MS-NLMP 3.1.1.1) limits how long a recorded response can be used, but a
    /// response can be used only once here: it answers a challenge that no other logon gets, and a logon has its own
    /// deadline. Windows, for local accounts, and Samba accept any time, too.
    pub client_time: Option<FileTime>,
    /// The end of the user's ticket, after which the session has to be authenticated again (MS-SMB2 3.3.5.5.3,
    /// `Session.ExpirationTime`); `None` if the logon has no end.
    pub expires: Option<FileTime>,
    /// The protection of messages in the context of the logon.
    pub messages: MessageContext,
}

/// The protection of messages in the context of a logon, apart from that of SMB: GSS-API's calls for each message.
#[derive(Debug)]
pub enum MessageContext {
    /// The session key and these flags make [`NtlmSeal`](crate::ntlm::NtlmSeal)s.
    Ntlm {
        /// The flags.
        flags: NegotiateFlags,
        /// True if both sides have sent a `mechListMIC`, which was the first message of each direction.
        follows_list_mics: bool,
    },
    /// The context of a ticket for RPC.
    Kerberos(Box<KerberosSeal>),
    /// The logon was not for RPC.
    None,
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
    /// The demands on tickets.
    purpose: Purpose,
    state: State,
    /// The client of the last ticket that was decrypted.
    holder: Option<Claim>,
}

impl Acceptor {
    /// A logon that has not begun.
    pub fn new(config: impl Into<Arc<AcceptorConfig>>) -> Self {
        Self::with_random(config, Box::new(SystemRandom))
    }

    /// As [`Acceptor::new`] with the caller's random source.
    pub fn with_random(config: impl Into<Arc<AcceptorConfig>>, random: Box<dyn Random>) -> Self {
        let purpose = Purpose { style: Style::Framed, service: ServiceKind::Files, channel: None };
        Self { config: config.into(), random, purpose, state: State::Start, holder: None }
    }

    /// Makes this a logon for RPC: its tickets come in the DCE style (MS-KILE 3.4.5.1), and its messages are protected in
    /// the context of the logon.
    #[must_use]
    pub fn for_rpc(self) -> Self {
        let purpose = Purpose { style: Style::Dce, ..self.purpose };
        Self { purpose, ..self }
    }

    /// Makes this a logon of a browser by Negotiate (RFC 4559), with tickets for the web service only. `channel` is that
    /// of the browser's connection; a browser that is bound to another one is refused.
    #[must_use]
    pub fn for_web(self, channel: Option<ChannelBindings>) -> Self {
        let purpose = Purpose { service: ServiceKind::Web, channel, ..self.purpose };
        Self { purpose, ..self }
    }

    /// The token for the server's NEGOTIATE response (MS-SMB2 2.2.4 `Buffer`). With `kerberos`, it offers tickets first,
    /// in the order of Windows.
    pub fn offer(kerberos: bool) -> Vec<u8> {
        if kerberos {
            spnego::server_offer(&[Mechanism::MsKerberos, Mechanism::Kerberos, Mechanism::NtlmSsp])
        } else {
            spnego::server_offer(&[Mechanism::NtlmSsp])
        }
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

    /// The client of the ticket that [`step`](Self::step) has decrypted, also if it was refused: the controller has named
    /// it, but nobody has proved to be it unless the logon succeeded.
    pub const fn ticket_holder(&self) -> Option<&Claim> {
        self.holder.as_ref()
    }

    /// Takes the client's next token. `now` must not be [`FileTime::NONE`].
    pub fn step(&mut self, token: &[u8], accounts: &dyn Accounts, now: FileTime) -> Step {
        let state = core::mem::replace(&mut self.state, State::Finished);
        let spnego = match &state {
            State::Start => !crate::ntlm::is_raw(token) && !self.is_raw_ticket(token),
            State::Selected(_) | State::ListUnproven(_) => true,
            State::Replied(replied) => replied.is_spnego(),
            State::Challenged(exchange) => exchange.framing.is_spnego(),
            State::TicketRefused(framing) => framing.is_spnego(),
            State::PassedOn(passed) => passed.is_spnego(),
            State::Finished => false,
        };
        self.advance(state, token, accounts, now).unwrap_or_else(|reason| refused(reason, spnego))
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
            State::Start if crate::ntlm::is_raw(token) && !self.has(&Mechanism::NtlmSsp) => {
                Err(Refusal::NoCommonMechanism)
            }
            State::Start if crate::ntlm::is_raw(token) => self.challenge(token, Framing::Raw, now),
            State::Start if self.is_raw_ticket(token) => self.ticket(token, None, Framing::Raw, true, now),
            State::Start => self.select(token, now),
            State::Selected(negotiation) => {
                let response = expect_response(token)?;
                let token = response.token.ok_or(Refusal::Malformed)?;
                if negotiation.mechanism == Mechanism::NtlmSsp {
                    self.challenge(&token, Framing::Spnego(negotiation), now)
                } else {
                    let mic = response.mechanism_list_mic;
                    self.ticket(&token, mic, Framing::Spnego(negotiation), true, now)
                }
            }
            State::Challenged(exchange) => self.authenticate(exchange, token, accounts),
            State::TicketRefused(Framing::Raw) => self.ticket(token, None, Framing::Raw, false, now),
            State::TicketRefused(framing) => {
                let response = expect_response(token)?;
                let token = response.token.ok_or(Refusal::Malformed)?;
                self.ticket(&token, response.mechanism_list_mic, framing, false, now)
            }
            State::ListUnproven(unproven) => unproven.prove(token),
            State::Replied(replied) => replied.prove(token),
            // The client must wait for the decision.
            State::PassedOn(_) | State::Finished => Err(Refusal::OutOfOrder),
        }
    }

    /// Chooses a mechanism from the client's offer (RFC 4178 4.2.1, 5).
    fn select(&mut self, token: &[u8], now: FileTime) -> Result<Step, Refusal> {
        let Token::Init(init) = Token::decode(token).map_err(|_| Refusal::Malformed)? else {
            return Err(Refusal::Malformed);
        };
        let NegTokenInit { mechanisms, mechanism_list, token, mechanism_list_mic } = init;
        if mechanism_list.len() > MAX_MECHANISM_LIST {
            return Err(Refusal::Malformed);
        }
        let chosen = mechanisms.iter().position(|it| self.has(it)).ok_or(Refusal::NoCommonMechanism)?;
        let preferred = chosen == 0;
        let mechanism = mechanisms.into_iter().nth(chosen).ok_or(Refusal::NoCommonMechanism)?;
        let mut negotiation =
            Negotiation { mechanism, mechanism_list, mic_required: !preferred, announced: false };
        if let Some(token) = token.filter(|_| preferred) {
            return if negotiation.mechanism == Mechanism::NtlmSsp {
                self.challenge(&token, Framing::Spnego(negotiation), now)
            } else {
                self.ticket(&token, mechanism_list_mic, Framing::Spnego(negotiation), true, now)
            };
        }
        negotiation.announced = true;
        let answer = NegTokenResp {
            state: Some(if preferred { NegState::AcceptIncomplete } else { NegState::RequestMic }),
            mechanism: Some(negotiation.mechanism.clone()),
            ..NegTokenResp::default()
        };
        self.state = State::Selected(negotiation);
        Ok(Step::Continue(answer.encode()))
    }

    /// True if the token is an AP-REQ without SPNEGO around it.
    fn is_raw_ticket(&self, token: &[u8]) -> bool {
        match self.purpose.style {
            Style::Framed => kerberos::is_framed(token),
            Style::Dce => kerberos::is_ap_req(token) || kerberos::is_framed(token),
        }
    }

    /// True if the server has this mechanism.
    fn has(&self, mechanism: &Mechanism) -> bool {
        match mechanism {
            // A password is for the form of a page, which counts wrong ones.
            Mechanism::NtlmSsp => self.purpose.service == ServiceKind::Files,
            Mechanism::Kerberos | Mechanism::MsKerberos => self.config.kerberos.is_some(),
            Mechanism::NegoEx | Mechanism::Other(_) => false,
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Start => "Start",
            State::Selected(_) => "Selected",
            State::Challenged(_) => "Challenged",
            State::ListUnproven(_) => "ListUnproven",
            State::Replied(_) => "Replied",
            State::PassedOn(_) => "PassedOn",
            State::TicketRefused(_) => "TicketRefused",
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
    /// A controller decides about the response.
    PassedOn(Box<PassedOn>),
    /// The ticket was accepted, and the client owes the MIC of its list.
    ListUnproven(ListUnproven),
    /// The ticket was accepted for RPC, and the client owes its last reply.
    Replied(Replied),
    /// A ticket was refused with a KRB-ERROR; another one may follow.
    TicketRefused(Framing),
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
    /// The chosen mechanism.
    mechanism: Mechanism,
    /// The DER of the client's list.
    mechanism_list: Vec<u8>,
    /// The mechanism was not the client's first choice, so the list must be protected (RFC 4178 5).
    mic_required: bool,
    /// `supportedMech` has been sent.
    announced: bool,
}

/// A refusal, with the reject of SPNEGO if the client uses that.
fn refused(reason: Refusal, spnego: bool) -> Step {
    let reject = || NegTokenResp { state: Some(NegState::Reject), ..NegTokenResp::default() }.encode();
    Step::Refused { reason, token: spnego.then(reject) }
}

fn expect_response(token: &[u8]) -> Result<NegTokenResp, Refusal> {
    match Token::decode(token) {
        Ok(Token::Response(response)) if response.state != Some(NegState::Reject) => Ok(response),
        _ => Err(Refusal::Malformed),
    }
}
