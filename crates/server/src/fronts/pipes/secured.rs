//! RPC messages that are encrypted or signed themselves, in addition to SMB (MS-RPCE 2.2.2.11, 3.3.1.5.2): some of
//! Samba's programs change passwords in no other way.
//!
//! Only NTLM is supported, and only for the user of the session. A wrong password counts as in a logon. The messages of
//! an association are the same with security and without; this module removes verifiers from incoming PDUs and adds
//! them to outgoing ones.

use auth::ntlm::{Authenticate, NtlmSeal, Sender};
use auth::{Acceptor, IdentityKind, Step};
use rpc::association::Ticket;
use rpc::pdu::{CALL_HEADER_LEN, HEADER_LEN, Header, OBJECT_UUID, PacketType};
use rpc::{Association, Broken, Endpoint, Fault, IncomingCall, ReadOutcome};

use crate::admin::{self, Caller};
use crate::core::server::Server;

/// An association with the security of its messages.
///
/// ```text
///   none --bind, answered with a challenge--> begun --auth3--> established
/// ```
pub(super) struct Secured {
    association: Association,
    security: Security,
    /// The received part of an incomplete PDU.
    inbound: Vec<u8>,
    /// The message that is being read.
    message: Vec<u8>,
    read: usize,
}

/// The state of the security of an association.
enum Security {
    /// There was no verifier yet.
    None,
    /// A bind has brought the first token. `token` is the answer to it, until it is sent.
    Begun { acceptor: Box<Acceptor>, trailer: Trailer, token: Option<Vec<u8>> },
    /// Both sides have keys.
    Established { trailer: Trailer, keys: Box<Keys> },
}

/// The keys of both directions.
struct Keys {
    inward: NtlmSeal,
    outward: NtlmSeal,
}

/// The fields of `sec_trailer` that are the same in all messages; and true if headers are signed, too.
#[derive(Clone, Copy)]
struct Trailer {
    level: u8,
    context_id: [u8; 4],
    signs_headers: bool,
}

impl Secured {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            association: Association::new(endpoint),
            security: Security::None,
            inbound: Vec::new(),
            message: Vec::new(),
            read: 0,
        }
    }

    /// Processes the data that a client has written to the pipe: any part of a PDU, or several.
    pub(super) fn receive(&mut self, bytes: &[u8], server: &Server, caller: &Caller) -> Result<(), Broken> {
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
                let mut acceptor = Box::new(Acceptor::new(server.settings().acceptor_config()));
                let step = acceptor.step(verifier.token, &*server.accounts(), server.file_time());
                let Step::Continue(token) = step else { return Err(Broken) };
                let trailer = verifier.trailer(header);
                self.security = Security::Begun { acceptor, trailer, token: Some(token) };
                let mut bind = verifier.without(pdu).ok_or(Broken)?;
                // Leaves room for verifiers in the fragments of answers.
                let room = bind.get_mut(MAX_RECV_FRAG).and_then(|it| it.first_chunk_mut()).ok_or(Broken)?;
                *room = u16::from_le_bytes(*room).saturating_sub(VERIFIER_ROOM).to_le_bytes();
                Ok(Some(bind))
            }
            (Security::Begun { acceptor, trailer, token: None }, PacketType::AUTH3, Some(verifier)) => {
                let keys = keys(acceptor, verifier.token, server, caller).ok_or(Broken)?;
                self.security = Security::Established { trailer: *trailer, keys: Box::new(keys) };
                Ok(None)
            }
            (Security::Established { trailer, keys }, PacketType::REQUEST, Some(verifier)) => {
                let inward = &mut keys.inward;
                if verifier.level != trailer.level || verifier.context_id != trailer.context_id {
                    return Err(Broken);
                }
                let object = if header.flags & OBJECT_UUID == 0 { 0 } else { 16 };
                let start = CALL_HEADER_LEN.saturating_add(object);
                let mut plain = pdu.to_vec();
                let signed = plain.get_mut(..pdu.len().saturating_sub(verifier.token.len())).ok_or(Broken)?;
                let sealed = start..verifier.at;
                let is_right = match (trailer.level, trailer.signs_headers) {
                    (PRIVACY, true) => inward.open_part(signed, sealed, verifier.token),
                    (PRIVACY, false) => inward.open(signed.get_mut(sealed).ok_or(Broken)?, verifier.token),
                    (_, true) => inward.verify(signed, verifier.token),
                    (_, false) => inward.verify(signed.get(sealed).ok_or(Broken)?, verifier.token),
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

    pub(super) fn next_call(&mut self) -> Result<Option<IncomingCall>, Broken> {
        self.association.next_call()
    }

    pub(super) fn answer(&mut self, ticket: Ticket, result: Result<Vec<u8>, Fault>) {
        self.association.answer(ticket, result);
    }

    /// Reads at most `max` octets of the next message, or of the rest of the present one.
    pub(super) fn read(&mut self, max: usize) -> ReadOutcome {
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
            (Security::Begun { trailer, token, .. }, PacketType::BIND_ACK) => {
                let Some(token) = token.take() else { return pdu };
                trailer.put(&mut pdu, HEADER_LEN, token.len());
                pdu.extend_from_slice(&token);
                if let (true, Some(flags)) = (trailer.signs_headers, pdu.get_mut(FLAGS)) {
                    *flags |= SUPPORTS_HEADER_SIGNING;
                }
                pdu
            }
            (Security::Established { trailer, keys }, PacketType::RESPONSE) => {
                let outward = &mut keys.outward;
                let at = trailer.put(&mut pdu, CALL_HEADER_LEN, SIGNATURE_BYTES);
                let sealed = CALL_HEADER_LEN..at;
                let signature = match (trailer.level, trailer.signs_headers) {
                    (PRIVACY, true) => outward.seal_part(&mut pdu, sealed),
                    (PRIVACY, false) => outward.seal(pdu.get_mut(sealed).unwrap_or_default()),
                    (_, true) => outward.sign(&pdu),
                    (_, false) => outward.sign(pdu.get(sealed).unwrap_or_default()),
                };
                pdu.extend_from_slice(&signature);
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
    pub(super) fn kept(&self) -> usize {
        [self.inbound.len(), self.rest().len()]
            .into_iter()
            .fold(self.association.kept(), usize::saturating_add)
    }

    fn rest(&self) -> &[u8] {
        self.message.get(self.read..).unwrap_or_default()
    }
}

/// The keys, if the token proves that the client is the caller.
fn keys(acceptor: &mut Acceptor, token: &[u8], server: &Server, caller: &Caller) -> Option<Keys> {
    let claim = acceptor.claim(token)?;
    if caller.user.is_empty() || !wire::eq_ignore_case(&claim.user, &caller.user) {
        return None;
    }
    // The session may be older than the password in this token, so a wrong one counts as a guess.
    let accounts = server.accounts();
    let logon =
        admin::prove(server, caller, || match acceptor.step(token, &*accounts, server.file_time()) {
            Step::Done(logon) if logon.identity.kind == IdentityKind::User => Some(logon),
            _ => None,
        })?;
    let flags = Authenticate::decode(token).ok()?.flags;
    let direction = |sender| NtlmSeal::new(flags, &logon.session_key.first_16(), sender);
    Some(Keys { inward: direction(Sender::Client)?, outward: direction(Sender::Server)? })
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
        self.auth_type == NTLM && matches!(self.level, INTEGRITY | PRIVACY)
    }

    fn trailer(&self, header: &Header) -> Trailer {
        Trailer {
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
    /// header. The data from `start` on are padded to a multiple of 16 (MS-RPCE 2.2.2.11).
    fn put(self, pdu: &mut Vec<u8>, start: usize, token: usize) -> usize {
        let body = pdu.len().saturating_sub(start);
        let padding = body.next_multiple_of(16).saturating_sub(body);
        let at = pdu.len().saturating_add(padding);
        pdu.resize(at, 0);
        pdu.extend_from_slice(&[NTLM, self.level, u8::try_from(padding).unwrap_or(0), 0]);
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

/// RPC_C_AUTHN_WINNT (MS-RPCE 2.2.1.1.7).
const NTLM: u8 = 10;

/// RPC_C_AUTHN_LEVEL_PKT_INTEGRITY and RPC_C_AUTHN_LEVEL_PKT_PRIVACY (MS-RPCE 2.2.1.1.8).
const INTEGRITY: u8 = 5;
const PRIVACY: u8 = 6;

/// `pfc_flags` of a header, and PFC_SUPPORT_HEADER_SIGN of binds (MS-RPCE 2.2.2.3).
const FLAGS: usize = 3;
const SUPPORTS_HEADER_SIGNING: u8 = 0x04;

/// `max_recv_frag` of a bind.
const MAX_RECV_FRAG: std::ops::Range<usize> = 18..20;

/// Bytes of `sec_trailer` without the token, and of an NTLM signature.
const TRAILER_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 16;

/// The maximal size of a response's verifier with its padding, in bytes.
const VERIFIER_ROOM: u16 = 40;
