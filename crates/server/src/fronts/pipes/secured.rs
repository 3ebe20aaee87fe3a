//! RPC messages that are encrypted or signed themselves, in addition to SMB (MS-RPCE 2.2.2.11, 3.3.1.5.2): some of
//! Samba's programs change passwords in no other way, and administrators' tools demand it by default.
//!
//! NTLM and Kerberos are supported, each also in SPNEGO. On a pipe they are for the user of the session alone; on a TCP port
//! they are the logon. A wrong password counts as in a logon. The messages of an association are the same with security and without; this module removes verifiers from
//! incoming PDUs and adds them to outgoing ones.

use std::net::{IpAddr, SocketAddr};

use auth::kerberos::KerberosSeal;
use auth::ntlm::{NtlmSeal, Sender};
use auth::{
    Acceptor, AcceptorConfig, Claim, IdentityKind, Logon, MessageContext, Refusal, Step, SystemRandom,
};
use rpc::association::Ticket;
use rpc::pdu::{CALL_HEADER_LEN, HEADER_LEN, Header, OBJECT_UUID, PacketType};
use rpc::{Association, Broken, Endpoint, Fault, IncomingCall, ReadOutcome};

use crate::admin::{self, Caller};
use crate::core::audit::{Why, logon_refused, port_logon_granted};
use crate::core::server::Server;

/// An association with the security of its messages.
///
/// ```text
///   none --bind--> begun --auth3 or alter_context--> established
///                  ^   |
///                  +---+ alter_context, if the exchange has more messages
/// ```
pub(in crate::fronts) struct Secured {
    association: Association,
    security: Security,
    /// The received part of an incomplete PDU.
    inbound: Vec<u8>,
    /// The message that is being read.
    message: Vec<u8>,
    read: usize,
    door: Door,
}

/// The users whose messages are taken.
enum Door {
    /// The user of the session of the pipe.
    Session,
    /// Any user, who is known when the security is established.
    Port { user: Option<String> },
}

/// The state of the security of an association.
enum Security {
    /// There was no verifier yet.
    None,
    /// A bind has brought the first token. `token` is the answer to the last one, until it is sent.
    Begun { acceptor: Box<Acceptor>, trailer: Trailer, token: Option<Vec<u8>> },
    /// Both sides have keys. `token` is the last answer of the exchange, until it is sent.
    Established { trailer: Trailer, keys: Box<Keys>, token: Option<Vec<u8>> },
}

/// The keys of both directions.
enum Keys {
    Ntlm(Box<NtlmKeys>),
    Kerberos(KerberosSeal),
}

struct NtlmKeys {
    inward: NtlmSeal,
    outward: NtlmSeal,
}

/// The fields of `sec_trailer` that are the same in all messages; and true if headers are signed, too.
#[derive(Clone, Copy)]
struct Trailer {
    auth_type: u8,
    level: u8,
    context_id: [u8; 4],
    signs_headers: bool,
}

impl Secured {
    pub(in crate::fronts) fn new(endpoint: Endpoint) -> Self {
        Self {
            association: Association::new(endpoint),
            security: Security::None,
            inbound: Vec::new(),
            message: Vec::new(),
            read: 0,
            door: Door::Session,
        }
    }

    /// An association on a TCP port, where the security is the logon of a user.
    pub(in crate::fronts) fn on_port(endpoint: Endpoint, port: u16) -> Self {
        let association = Association::new(endpoint).on_port(port);
        Self { association, door: Door::Port { user: None }, ..Self::new(endpoint) }
    }

    /// The user who has logged on at a port.
    pub(in crate::fronts) fn user(&self) -> Option<&str> {
        match &self.door {
            Door::Port { user } => user.as_deref(),
            Door::Session => None,
        }
    }

    /// True if the data may be a part of a logon, which waits for the file system.
    pub(in crate::fronts) fn may_log_on(&self, bytes: &[u8]) -> bool {
        let is_complete = bytes.first_chunk().is_some_and(|start| {
            Header::decode(start).is_ok_and(|header| header.auth_length == 0 && header.len() == bytes.len())
        });
        match self.security {
            Security::None => !is_complete || !self.inbound.is_empty(),
            Security::Begun { .. } => true,
            Security::Established { .. } => false,
        }
    }

    /// Processes the data that a client has written to the pipe: any part of a PDU, or several.
    pub(in crate::fronts) fn receive(
        &mut self,
        bytes: &[u8],
        server: &Server,
        caller: &Caller,
    ) -> Result<(), Broken> {
        self.inbound.extend_from_slice(bytes);
        let inbound = std::mem::take(&mut self.inbound);
        let mut rest = inbound.as_slice();
        while let Some(start) = rest.first_chunk::<HEADER_LEN>() {
            // If the data are no PDU, the association refuses them.
            let Some(header) = Header::decode(start).ok().filter(|header| header.little_endian) else {
                return self.association.receive(rest);
            };
            let Some((pdu, behind)) = rest.split_at_checked(header.len()) else { break };
            rest = behind;
            if let Some(plain) = self.opened(&header, pdu, server, caller)? {
                self.association.receive(&plain)?;
            }
        }
        self.inbound = rest.to_vec();
        Ok(())
    }

    /// Removes the verifier from a PDU; returns `None` if the PDU consists of nothing else.
    fn opened(
        &mut self,
        header: &Header,
        pdu: &[u8],
        server: &Server,
        caller: &Caller,
    ) -> Result<Option<Vec<u8>>, Broken> {
        let verifier = Verifier::of(header, pdu);
        match (&mut self.security, header.packet_type, verifier) {
            (Security::None, PacketType::BIND, Some(verifier)) if verifier.is_served() => {
                let mut acceptor = Box::new(Acceptor::new(config(server, verifier.auth_type)).for_rpc());
                let (accounts, now) = (server.accounts(), server.file_time());
                let step = acceptor.step(verifier.token, &accounts.at(now, server.password_age_max()), now);
                let Step::Continue(token) = step else {
                    return Err(refused(server, caller, acceptor.ticket_holder(), &step));
                };
                let trailer = verifier.trailer(header);
                self.security = Security::Begun { acceptor, trailer, token: Some(token) };
                let mut bind = verifier.without(pdu).ok_or(Broken)?;
                // Leaves room for verifiers in the fragments of answers.
                let room = bind.get_mut(MAX_RECV_FRAG).and_then(|it| it.first_chunk_mut()).ok_or(Broken)?;
                *room = u16::from_le_bytes(*room).saturating_sub(VERIFIER_ROOM).to_le_bytes();
                Ok(Some(bind))
            }
            (
                Security::Begun { acceptor, trailer, token: token @ None },
                PacketType::AUTH3 | PacketType::ALTER_CONTEXT,
                Some(verifier),
            ) => {
                // An auth3 has no answer.
                let is_answered = header.packet_type == PacketType::ALTER_CONTEXT;
                let step = if verifier.is_of(trailer) {
                    step(acceptor, verifier.token, server, caller, &self.door)
                } else {
                    return Err(Broken);
                };
                match step {
                    Step::Continue(answer) if is_answered => *token = Some(answer),
                    Step::Done(logon) => {
                        let answer = logon.token.clone();
                        let identity = logon.identity.clone();
                        let Some(keys) = Keys::of(*logon, caller, &self.door) else {
                            if let Some(holder) = acceptor.ticket_holder() {
                                let why = Why::from("the ticket is not one of the session's user");
                                audit_ticket(server, caller, Some(holder), why);
                            }
                            return Err(Broken);
                        };
                        if let Door::Port { user: known } = &mut self.door {
                            if let Some(address) = caller.address {
                                port_logon_granted(&SocketAddr::new(address, 0), &identity);
                            }
                            *known = Some(identity.user);
                        }
                        let keys = Box::new(keys);
                        let token = is_answered.then_some(answer).filter(|it| !it.is_empty());
                        self.security = Security::Established { trailer: *trailer, keys, token };
                    }
                    step => return Err(refused(server, caller, acceptor.ticket_holder(), &step)),
                }
                if is_answered { verifier.without(pdu).map(Some).ok_or(Broken) } else { Ok(None) }
            }
            (Security::Established { trailer, keys, .. }, PacketType::REQUEST, Some(verifier)) => {
                if !verifier.is_of(trailer) {
                    return Err(Broken);
                }
                let object = if header.flags & OBJECT_UUID == 0 { 0 } else { 16 };
                let start = CALL_HEADER_LEN.saturating_add(object);
                let mut plain = pdu.to_vec();
                let signed = plain.get_mut(..pdu.len().saturating_sub(verifier.token.len())).ok_or(Broken)?;
                let body = start..verifier.at;
                let (signed, sealed) = if trailer.signs_headers || keys.sign_headers() {
                    (signed, body)
                } else {
                    let body = signed.get_mut(body).ok_or(Broken)?;
                    let len = body.len();
                    (body, 0..len)
                };
                let is_right = match trailer.level {
                    PRIVACY => keys.open(signed, sealed, verifier.token),
                    _ => keys.verify(signed, verifier.token),
                };
                if !is_right {
                    return Err(Broken);
                }
                verifier.without(&plain).map(Some).ok_or(Broken)
            }
            // A client that has begun to protect messages may neither continue without protection nor begin again.
            (Security::None, _, _) | (_, PacketType::CO_CANCEL | PacketType::ORPHANED, None) => {
                Ok(Some(pdu.to_vec()))
            }
            _ => Err(Broken),
        }
    }

    pub(in crate::fronts) fn next_call(&mut self) -> Result<Option<IncomingCall>, Broken> {
        self.association.next_call()
    }

    pub(in crate::fronts) fn answer(&mut self, ticket: Ticket, result: Result<Vec<u8>, Fault>) {
        self.association.answer(ticket, result);
    }

    /// Reads at most `max` octets of the next message, or of the rest of the present one.
    pub(in crate::fronts) fn read(&mut self, max: usize) -> ReadOutcome {
        if let Security::None = self.security
            && self.rest().is_empty()
        {
            return self.association.read(max);
        }
        if self.rest().is_empty() {
            let ReadOutcome::Data { bytes, .. } = self.association.read(usize::MAX) else {
                return ReadOutcome::Empty;
            };
            self.message = self.closed(bytes);
            self.read = 0;
        }
        let rest = self.rest();
        let bytes = rest.get(..max).unwrap_or(rest).to_vec();
        let more = bytes.len() < rest.len();
        self.read = self.read.saturating_add(bytes.len());
        ReadOutcome::Data { bytes, more }
    }

    /// Adds the verifier to a PDU.
    fn closed(&mut self, mut pdu: Vec<u8>) -> Vec<u8> {
        let Some(header) = pdu.first_chunk().and_then(|start| Header::decode(start).ok()) else { return pdu };
        match (&mut self.security, header.packet_type) {
            (
                Security::Begun { trailer, token, .. } | Security::Established { trailer, token, .. },
                PacketType::BIND_ACK | PacketType::ALTER_CONTEXT_RESPONSE,
            ) => {
                let Some(token) = token.take() else { return pdu };
                trailer.put(&mut pdu, HEADER_LEN, BIND_ALIGNMENT, token.len());
                pdu.extend_from_slice(&token);
                if let (true, Some(flags)) = (trailer.signs_headers, pdu.get_mut(FLAGS)) {
                    *flags |= SUPPORTS_HEADER_SIGNING;
                }
                pdu
            }
            (Security::Established { trailer, keys, .. }, PacketType::RESPONSE) => {
                let seals = trailer.level == PRIVACY;
                let at = trailer.put(&mut pdu, CALL_HEADER_LEN, STUB_ALIGNMENT, keys.token_len(seals));
                let body = CALL_HEADER_LEN..at;
                let (signed, sealed) = if trailer.signs_headers || keys.sign_headers() {
                    (pdu.as_mut_slice(), body)
                } else {
                    let body = pdu.get_mut(body).unwrap_or_default();
                    let len = body.len();
                    (body, 0..len)
                };
                let token = if seals { keys.seal(signed, sealed) } else { Some(keys.sign(signed)) };
                // Without random bytes there is no answer: a message that is not encrypted would be worse.
                let Some(token) = token else { return Vec::new() };
                pdu.extend_from_slice(&token);
                pdu
            }
            _ => pdu,
        }
    }

    /// True if there is something to read.
    pub(super) fn has_unread(&self) -> bool {
        !self.rest().is_empty() || self.association.has_unread()
    }

    /// The number of octets in memory.
    pub(in crate::fronts) fn kept(&self) -> usize {
        [self.inbound.len(), self.rest().len()]
            .into_iter()
            .fold(self.association.kept(), usize::saturating_add)
    }

    fn rest(&self) -> &[u8] {
        self.message.get(self.read..).unwrap_or_default()
    }
}

/// The parameters of the logon. Waits for the file system, if the logon may be one with a ticket.
fn config(server: &Server, auth_type: u8) -> AcceptorConfig {
    if auth_type == NTLM { server.settings().acceptor_config() } else { server.acceptor_config() }
}

/// Passes a token to the acceptor. A response with a password counts as an attempt at the caller's, which the session may
/// be older than.
fn step(acceptor: &mut Acceptor, token: &[u8], server: &Server, caller: &Caller, door: &Door) -> Step {
    let (accounts, now) = (server.accounts(), server.file_time());
    let accounts = accounts.at(now, server.password_age_max());
    let Some(claim) = acceptor.claim(token) else {
        return acceptor.step(token, &accounts, now);
    };
    let wrong = || Step::Refused { reason: Refusal::WrongPassword, token: None };
    let claimed;
    let caller = match door {
        Door::Session => caller,
        Door::Port { .. } => {
            claimed = Caller { user: claim.user.clone(), ..caller.clone() };
            &claimed
        }
    };
    if caller.user.is_empty() || !wire::eq_ignore_case(&claim.user, &caller.user) {
        return wrong();
    }
    let proven = admin::prove(server, caller, || match acceptor.step(token, &accounts, now) {
        Step::Done(logon) if logon.identity.kind == IdentityKind::User => Ok(Step::Done(logon)),
        Step::Refused { reason, .. } => Err(reason.is_wrong_guess()),
        _ => Err(true),
    });
    proven.unwrap_or_else(wrong)
}

/// Writes a refused ticket to the audit log. Wrong passwords have their own entries.
fn refused(server: &Server, caller: &Caller, holder: Option<&Claim>, step: &Step) -> Broken {
    if let Step::Refused { reason, .. } | Step::Again { reason, .. } = step
        && matches!(reason, Refusal::Kerberos(_))
    {
        audit_ticket(server, caller, holder, Why::from(reason));
    }
    Broken
}

/// Writes a ticket that is refused for this reason to the audit log, if the log has room.
fn audit_ticket(server: &Server, caller: &Caller, holder: Option<&Claim>, why: Why) {
    if let Ok(address) = caller.from.parse::<IpAddr>()
        && server.logons.log.has_room(address, server.now())
    {
        let why = Why { reason: format!("within a named pipe: {}", why.reason), ..why };
        logon_refused(server, &SocketAddr::new(address, 0), holder, "Kerberos", &why);
    }
}

impl Keys {
    /// The keys of a logon, if it is the caller's, or any user's at a port.
    fn of(logon: Logon, caller: &Caller, door: &Door) -> Option<Self> {
        let identity = &logon.identity;
        let is_callers = match door {
            Door::Session => !caller.user.is_empty() && wire::eq_ignore_case(&identity.user, &caller.user),
            Door::Port { .. } => !identity.user.is_empty(),
        };
        let is_callers = is_callers && identity.kind == IdentityKind::User;
        match logon.messages {
            _ if !is_callers => None,
            MessageContext::Ntlm { flags, follows_list_mics } => {
                let direction = |sender| {
                    let seal = NtlmSeal::new(flags, &logon.session_key.first_16(), sender)?;
                    Some(if follows_list_mics { seal.after_list_mic() } else { seal })
                };
                let (inward, outward) = (direction(Sender::Client)?, direction(Sender::Server)?);
                Some(Self::Ntlm(Box::new(NtlmKeys { inward, outward })))
            }
            MessageContext::Kerberos(seal) => Some(Self::Kerberos(*seal)),
            MessageContext::None => None,
        }
    }

    /// True if the headers are signed without an agreement on that: NTLM signs whole messages, with Windows, Samba and
    /// impacket. Clients of Kerberos sign the body alone unless both sides have PFC_SUPPORT_HEADER_SIGN.
    fn sign_headers(&self) -> bool {
        matches!(self, Self::Ntlm(_))
    }

    /// Bytes of the token of an outgoing message.
    fn token_len(&self, seals: bool) -> usize {
        match self {
            Self::Ntlm(_) => NTLM_SIGNATURE_BYTES,
            Self::Kerberos(seal) if seals => seal.seal_len(),
            Self::Kerberos(seal) => seal.signature_len(),
        }
    }

    fn sign(&mut self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ntlm(keys) => keys.outward.sign(message).to_vec(),
            Self::Kerberos(seal) => seal.sign(message),
        }
    }

    fn verify(&mut self, message: &[u8], token: &[u8]) -> bool {
        match self {
            Self::Ntlm(keys) => keys.inward.verify(message, token),
            Self::Kerberos(seal) => seal.verify(message, token),
        }
    }

    /// Encrypts a part of an outgoing message. `None` if there are no random bytes.
    fn seal(&mut self, message: &mut [u8], part: std::ops::Range<usize>) -> Option<Vec<u8>> {
        match self {
            Self::Ntlm(keys) => Some(keys.outward.seal_part(message, part).to_vec()),
            Self::Kerberos(seal) => seal.seal_part(message, part, &mut SystemRandom).ok(),
        }
    }

    /// Decrypts a part of an incoming message, and returns true if the message is right.
    fn open(&mut self, message: &mut [u8], part: std::ops::Range<usize>, token: &[u8]) -> bool {
        match self {
            Self::Ntlm(keys) => keys.inward.open_part(message, part, token),
            Self::Kerberos(seal) => seal.open_part(message, part, token),
        }
    }
}

/// The verifier of a PDU (MS-RPCE 2.2.2.11).
struct Verifier<'a> {
    auth_type: u8,
    level: u8,
    padding: u8,
    context_id: [u8; 4],
    /// The offset of the verifier.
    at: usize,
    token: &'a [u8],
}

impl<'a> Verifier<'a> {
    fn of(header: &Header, pdu: &'a [u8]) -> Option<Self> {
        if header.auth_length == 0 {
            return None;
        }
        let at = pdu.len().checked_sub(usize::from(header.auth_length))?.checked_sub(TRAILER_BYTES)?;
        let (trailer, token) = pdu.get(at..)?.split_first_chunk::<TRAILER_BYTES>()?;
        let [auth_type, level, padding, _, a, b, c, d] = *trailer;
        Some(Self { auth_type, level, padding, context_id: [a, b, c, d], at, token })
    }

    fn is_served(&self) -> bool {
        matches!(self.auth_type, NTLM | SPNEGO | KERBEROS) && matches!(self.level, INTEGRITY | PRIVACY)
    }

    /// True if the verifier is one of this security context.
    fn is_of(&self, trailer: &Trailer) -> bool {
        self.auth_type == trailer.auth_type
            && self.level == trailer.level
            && self.context_id == trailer.context_id
    }

    fn trailer(&self, header: &Header) -> Trailer {
        Trailer {
            auth_type: self.auth_type,
            level: self.level,
            context_id: self.context_id,
            signs_headers: header.flags & SUPPORTS_HEADER_SIGNING != 0,
        }
    }

    /// The PDU without the verifier and the padding before it.
    fn without(&self, pdu: &[u8]) -> Option<Vec<u8>> {
        let end = self.at.checked_sub(usize::from(self.padding)).filter(|end| *end >= HEADER_LEN)?;
        let mut plain = pdu.get(..end)?.to_vec();
        put_lengths(&mut plain, end, 0);
        Some(plain)
    }
}

impl Trailer {
    /// Appends the padding and the header of a verifier whose token has `token` bytes, and returns the offset of the
    /// header. The data from `start` on are padded to a multiple of `alignment`.
    fn put(self, pdu: &mut Vec<u8>, start: usize, alignment: usize, token: usize) -> usize {
        let body = pdu.len().saturating_sub(start);
        let padding = body.next_multiple_of(alignment).saturating_sub(body);
        let at = pdu.len().saturating_add(padding);
        pdu.resize(at, 0);
        pdu.extend_from_slice(&[self.auth_type, self.level, u8::try_from(padding).unwrap_or(0), 0]);
        pdu.extend_from_slice(&self.context_id);
        let length = pdu.len().saturating_add(token);
        put_lengths(pdu, length, token);
        at
    }
}

/// Writes `frag_length` and `auth_length`.
fn put_lengths(pdu: &mut [u8], length: usize, token: usize) {
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    if let Some([frag_length, auth_length]) =
        pdu.get_mut(8..12).and_then(|lengths| lengths.as_chunks_mut::<2>().0.first_chunk_mut())
    {
        *frag_length = short(length);
        *auth_length = short(token);
    }
}

/// RPC_C_AUTHN_GSS_NEGOTIATE, RPC_C_AUTHN_WINNT and RPC_C_AUTHN_GSS_KERBEROS (MS-RPCE 2.2.1.1.7).
const SPNEGO: u8 = 9;
const NTLM: u8 = 10;
const KERBEROS: u8 = 16;

/// RPC_C_AUTHN_LEVEL_PKT_INTEGRITY and RPC_C_AUTHN_LEVEL_PKT_PRIVACY (MS-RPCE 2.2.1.1.8).
const INTEGRITY: u8 = 5;
const PRIVACY: u8 = 6;

/// `pfc_flags` of a header, and PFC_SUPPORT_HEADER_SIGN of binds (MS-RPCE 2.2.2.3).
const FLAGS: usize = 3;
const SUPPORTS_HEADER_SIGNING: u8 = 0x04;

/// `max_recv_frag` of a bind.
const MAX_RECV_FRAG: std::ops::Range<usize> = 18..20;

/// The multiples of bytes before a verifier: of the PDU, and of a stub (MS-RPCE 2.2.2.11). impacket has no padding in
/// answers to binds.
const BIND_ALIGNMENT: usize = 4;
const STUB_ALIGNMENT: usize = 16;

/// Bytes of `sec_trailer` without the token, and of an NTLM signature.
const TRAILER_BYTES: usize = 8;
const NTLM_SIGNATURE_BYTES: usize = 16;

/// The maximal size of a response's verifier with its padding, in bytes: with Kerberos and SHA-384, 8, 88 and 15.
const VERIFIER_ROOM: u16 = 112;
