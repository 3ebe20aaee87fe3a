//! Connection-oriented PDUs (C706 12.6, MS-RPCE 2.2.2) of associations without RPC security: over a pipe, the SMB
//! session authenticates, signs and encrypts. Associations with verifiers are secured outside of this crate.
//!
//! A verifier is recognized and skipped. Bodies are read in little endian only; for a PDU in big endian only the
//! header is read, so that it can be refused.

use core::fmt;

use crate::fault::Fault;
use crate::uuid::{InterfaceId, Uuid};

/// The common header (C706 12.6.3.1).
pub const HEADER_LEN: usize = 16;

/// The length before the stub in a response, and in a request without an object.
pub const CALL_HEADER_LEN: usize = 24;

/// `PFC_FIRST_FRAG`.
pub const FIRST_FRAGMENT: u8 = 0x01;
/// `PFC_LAST_FRAG`.
pub const LAST_FRAGMENT: u8 = 0x02;
/// `PFC_DID_NOT_EXECUTE`, in a fault.
pub const DID_NOT_EXECUTE: u8 = 0x20;
/// `PFC_OBJECT_UUID`, in a request.
pub const OBJECT_UUID: u8 = 0x80;
/// A PDU that is not fragmented.
pub const WHOLE: u8 = FIRST_FRAGMENT | LAST_FRAGMENT;

/// `PTYPE` (C706 12.6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PacketType(pub u8);

#[expect(missing_docs, reason = "the specification's names say all there is")]
impl PacketType {
    pub const REQUEST: Self = Self(0);
    pub const RESPONSE: Self = Self(2);
    pub const FAULT: Self = Self(3);
    pub const BIND: Self = Self(11);
    pub const BIND_ACK: Self = Self(12);
    pub const BIND_NAK: Self = Self(13);
    pub const ALTER_CONTEXT: Self = Self(14);
    pub const ALTER_CONTEXT_RESPONSE: Self = Self(15);
    pub const AUTH3: Self = Self(16);
    pub const SHUTDOWN: Self = Self(17);
    pub const CO_CANCEL: Self = Self(18);
    pub const ORPHANED: Self = Self(19);
}

impl fmt::Debug for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::REQUEST => "request",
            Self::RESPONSE => "response",
            Self::FAULT => "fault",
            Self::BIND => "bind",
            Self::BIND_ACK => "bind_ack",
            Self::BIND_NAK => "bind_nak",
            Self::ALTER_CONTEXT => "alter_context",
            Self::ALTER_CONTEXT_RESPONSE => "alter_context_resp",
            Self::AUTH3 => "auth3",
            Self::SHUTDOWN => "shutdown",
            Self::CO_CANCEL => "co_cancel",
            Self::ORPHANED => "orphaned",
            Self(other) => return write!(f, "PTYPE {other}"),
        })
    }
}

/// The reason that octets are not a PDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PduError {
    /// The version is not 5.0 or 5.1.
    #[error("RPC version {0}.{1}")]
    Version(u8, u8),
    /// `frag_length` is too short for the PDU, or `auth_length` is longer than it.
    #[error("a PDU shorter than its contents")]
    Length,
    /// The body is in big endian.
    #[error("big endian data representation")]
    ByteOrder,
}

/// The common header (C706 12.6.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// `PTYPE`.
    pub packet_type: PacketType,
    /// `pfc_flags`.
    pub flags: u8,
    /// True if integers are little endian (`packed_drep`).
    pub little_endian: bool,
    /// The length of the PDU, this header and the verifier included.
    pub frag_length: u16,
    /// The length of the verifier's credentials; 0 is no verifier.
    pub auth_length: u16,
    /// The call's id.
    pub call_id: u32,
}

impl Header {
    /// Reads a header.
    pub fn decode(octets: &[u8; HEADER_LEN]) -> Result<Self, PduError> {
        let [major, minor, packet_type, flags, drep, _, _, _, f0, f1, a0, a1, c0, c1, c2, c3] = *octets;
        if major != 5 || minor > 1 {
            return Err(PduError::Version(major, minor));
        }
        let little_endian = drep & 0xf0 == 0x10;
        let short = if little_endian { u16::from_le_bytes } else { u16::from_be_bytes };
        let long = if little_endian { u32::from_le_bytes } else { u32::from_be_bytes };
        let header = Self {
            packet_type: PacketType(packet_type),
            flags,
            little_endian,
            frag_length: short([f0, f1]),
            auth_length: short([a0, a1]),
            call_id: long([c0, c1, c2, c3]),
        };
        if header.len() < HEADER_LEN { Err(PduError::Length) } else { Ok(header) }
    }

    /// The length of the PDU.
    pub fn len(&self) -> usize {
        usize::from(self.frag_length)
    }

    /// True for a PDU without content, which [`decode`](Self::decode) never returns.
    pub fn is_empty(&self) -> bool {
        self.frag_length == 0
    }

    /// True for the first fragment.
    pub fn is_first(&self) -> bool {
        self.flags & FIRST_FRAGMENT != 0
    }

    /// True for the last fragment.
    pub fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }
}

/// The part after the header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// bind.
    Bind(Bind),
    /// bind_ack.
    BindAck(BindAck),
    /// bind_nak.
    BindNak(BindNak),
    /// alter_context.
    AlterContext(Bind),
    /// alter_context_resp.
    AlterContextResponse(BindAck),
    /// request.
    Request(Request<'a>),
    /// response.
    Response(Response<'a>),
    /// fault.
    Fault(FaultBody),
    /// A PDU whose body is ignored: auth3, shutdown, co_cancel, orphaned, and unknown ones.
    Other(PacketType),
}

/// bind and alter_context (C706 12.6.4.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bind {
    /// The largest fragment the client sends.
    pub max_xmit_frag: u16,
    /// The largest fragment the client receives.
    pub max_recv_frag: u16,
    /// The association group to join; 0 for a new one.
    pub assoc_group_id: u32,
    /// The presentation contexts proposed.
    pub contexts: Vec<ProposedContext>,
    /// The verifier's `auth_level`, if there is a verifier.
    pub auth_level: Option<u8>,
}

/// A proposed presentation context (`p_cont_elem_t`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProposedContext {
    /// The id of the context in requests.
    pub id: u16,
    /// The interface.
    pub interface: InterfaceId,
    /// The transfer syntaxes that would do.
    pub transfer_syntaxes: Vec<InterfaceId>,
}

/// bind_ack and alter_context_resp (C706 12.6.4.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindAck {
    /// The largest fragment the server sends.
    pub max_xmit_frag: u16,
    /// The largest fragment the server receives.
    pub max_recv_frag: u16,
    /// The association group joined.
    pub assoc_group_id: u32,
    /// `sec_addr`: the pipe's name; empty in an alter_context_resp.
    pub secondary_address: String,
    /// One result per context proposed, in that order.
    pub results: Vec<ContextResult>,
}

/// The result for a proposed context (`p_result_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextResult {
    /// Accepted, rejected, or acknowledged.
    pub result: u16,
    /// The reason of a rejection, or the acknowledged features.
    pub reason: u16,
    /// The transfer syntax chosen.
    pub transfer_syntax: InterfaceId,
}

impl ContextResult {
    /// `result`: accepted.
    pub const ACCEPTANCE: u16 = 0;
    /// `result`: rejected by the server.
    pub const PROVIDER_REJECTION: u16 = 2;
    /// `result`: an answer to a bind time feature negotiation (MS-RPCE 2.2.2.4).
    pub const NEGOTIATE_ACK: u16 = 3;

    /// `reason`: the interface is not served here.
    pub const ABSTRACT_SYNTAX_NOT_SUPPORTED: u16 = 1;
    /// `reason`: none of the transfer syntaxes is.
    pub const TRANSFER_SYNTAXES_NOT_SUPPORTED: u16 = 2;
    /// `reason`: too many contexts.
    pub const LOCAL_LIMIT_EXCEEDED: u16 = 3;

    /// A context that is served in NDR20.
    pub const fn accepted() -> Self {
        Self { result: Self::ACCEPTANCE, reason: 0, transfer_syntax: InterfaceId::NDR20 }
    }

    /// A context that is not served.
    pub const fn rejected(reason: u16) -> Self {
        Self { result: Self::PROVIDER_REJECTION, reason, transfer_syntax: InterfaceId::NIL }
    }

    /// The answer to a feature negotiation: the features in common.
    pub const fn negotiated(features: u16) -> Self {
        Self { result: Self::NEGOTIATE_ACK, reason: features, transfer_syntax: InterfaceId::NIL }
    }
}

/// bind_nak (C706 12.6.4.5, MS-RPCE 2.2.2.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BindNak {
    /// The reason of the refusal.
    pub reason: u16,
}

impl BindNak {
    /// No reason given.
    pub const NOT_SPECIFIED: Self = Self { reason: 0 };
    /// The version of the protocol is not served.
    pub const PROTOCOL_VERSION_NOT_SUPPORTED: Self = Self { reason: 4 };
    /// The verifier is of a kind not served.
    pub const AUTHENTICATION_TYPE_NOT_RECOGNIZED: Self = Self { reason: 8 };
}

/// request (C706 12.6.4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// `p_cont_id`: the presentation context.
    pub context_id: u16,
    /// The operation.
    pub opnum: u16,
    /// The remaining length of the stub, including this fragment; a hint.
    pub alloc_hint: u32,
    /// The fragment's part of the stub.
    pub stub: &'a [u8],
}

/// response (C706 12.6.4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// `p_cont_id`: the presentation context.
    pub context_id: u16,
    /// The remaining length of the stub, including this fragment; a hint.
    pub alloc_hint: u32,
    /// The fragment's part of the stub.
    pub stub: &'a [u8],
}

/// fault (C706 12.6.4.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultBody {
    /// `p_cont_id`: the presentation context.
    pub context_id: u16,
    /// The reason of the fault.
    pub status: Fault,
}

impl<'a> Body<'a> {
    /// Reads the body of a whole PDU; `pdu` has the length that its header names.
    pub fn decode(header: &Header, pdu: &'a [u8]) -> Result<Self, PduError> {
        if !header.little_endian {
            return Err(PduError::ByteOrder);
        }
        let (body, verifier) = split_verifier(header, pdu)?;
        let mut fields = Fields { octets: body, at: 0 };
        Ok(match header.packet_type {
            PacketType::BIND => Self::Bind(Bind::decode(&mut fields, verifier)?),
            PacketType::ALTER_CONTEXT => Self::AlterContext(Bind::decode(&mut fields, verifier)?),
            PacketType::BIND_ACK => Self::BindAck(BindAck::decode(&mut fields)?),
            PacketType::ALTER_CONTEXT_RESPONSE => Self::AlterContextResponse(BindAck::decode(&mut fields)?),
            PacketType::BIND_NAK => Self::BindNak(BindNak { reason: fields.u16()? }),
            PacketType::REQUEST => {
                let alloc_hint = fields.u32()?;
                let context_id = fields.u16()?;
                let opnum = fields.u16()?;
                if header.flags & OBJECT_UUID != 0 {
                    fields.take(16)?;
                }
                Self::Request(Request { context_id, opnum, alloc_hint, stub: fields.stub(verifier)? })
            }
            PacketType::RESPONSE => {
                let alloc_hint = fields.u32()?;
                let context_id = fields.u16()?;
                fields.take(2)?;
                Self::Response(Response { context_id, alloc_hint, stub: fields.stub(verifier)? })
            }
            PacketType::FAULT => {
                fields.take(4)?;
                let context_id = fields.u16()?;
                fields.take(2)?;
                Self::Fault(FaultBody { context_id, status: Fault(fields.u32()?) })
            }
            other => Self::Other(other),
        })
    }

    /// Writes the whole PDU. The caller keeps it within 64 KiB, by how it fragments.
    pub fn encode(&self, call_id: u32, flags: u8) -> Vec<u8> {
        let mut pdu = vec![5, 0, self.packet_type().0, flags, 0x10, 0, 0, 0, 0, 0, 0, 0];
        pdu.extend_from_slice(&call_id.to_le_bytes());
        match self {
            Self::Bind(bind) | Self::AlterContext(bind) => bind.encode(&mut pdu),
            Self::BindAck(ack) | Self::AlterContextResponse(ack) => ack.encode(&mut pdu),
            Self::BindNak(nak) => {
                pdu.extend_from_slice(&nak.reason.to_le_bytes());
                // The versions served: one, 5.0.
                pdu.extend_from_slice(&[1, 5, 0]);
            }
            Self::Request(request) => {
                pdu.extend_from_slice(&request.alloc_hint.to_le_bytes());
                pdu.extend_from_slice(&request.context_id.to_le_bytes());
                pdu.extend_from_slice(&request.opnum.to_le_bytes());
                pdu.extend_from_slice(request.stub);
            }
            Self::Response(response) => {
                pdu.extend_from_slice(&response.alloc_hint.to_le_bytes());
                pdu.extend_from_slice(&response.context_id.to_le_bytes());
                pdu.extend_from_slice(&[0, 0]);
                pdu.extend_from_slice(response.stub);
            }
            Self::Fault(fault) => {
                pdu.extend_from_slice(&32u32.to_le_bytes());
                pdu.extend_from_slice(&fault.context_id.to_le_bytes());
                pdu.extend_from_slice(&[0, 0]);
                pdu.extend_from_slice(&fault.status.0.to_le_bytes());
                pdu.extend_from_slice(&[0; 4]);
            }
            Self::Other(_) => {}
        }
        let length = u16::try_from(pdu.len()).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(frag_length) = pdu.get_mut(8..10) {
            frag_length.copy_from_slice(&length);
        }
        pdu
    }

    /// `PTYPE`.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::Bind(_) => PacketType::BIND,
            Self::BindAck(_) => PacketType::BIND_ACK,
            Self::BindNak(_) => PacketType::BIND_NAK,
            Self::AlterContext(_) => PacketType::ALTER_CONTEXT,
            Self::AlterContextResponse(_) => PacketType::ALTER_CONTEXT_RESPONSE,
            Self::Request(_) => PacketType::REQUEST,
            Self::Response(_) => PacketType::RESPONSE,
            Self::Fault(_) => PacketType::FAULT,
            Self::Other(other) => *other,
        }
    }
}

impl Bind {
    fn decode(fields: &mut Fields<'_>, verifier: Option<Verifier>) -> Result<Self, PduError> {
        let max_xmit_frag = fields.u16()?;
        let max_recv_frag = fields.u16()?;
        let assoc_group_id = fields.u32()?;
        let count = fields.u8()?;
        fields.take(3)?;
        let mut contexts = Vec::new();
        for _ in 0..count {
            let id = fields.u16()?;
            let syntaxes = fields.u8()?;
            fields.take(1)?;
            let interface = fields.syntax()?;
            let transfer_syntaxes = (0..syntaxes).map(|_| fields.syntax()).collect::<Result<_, _>>()?;
            contexts.push(ProposedContext { id, interface, transfer_syntaxes });
        }
        let auth_level = verifier.map(|verifier| verifier.level);
        Ok(Self { max_xmit_frag, max_recv_frag, assoc_group_id, contexts, auth_level })
    }

    fn encode(&self, pdu: &mut Vec<u8>) {
        pdu.extend_from_slice(&self.max_xmit_frag.to_le_bytes());
        pdu.extend_from_slice(&self.max_recv_frag.to_le_bytes());
        pdu.extend_from_slice(&self.assoc_group_id.to_le_bytes());
        pdu.extend_from_slice(&[octet(self.contexts.len()), 0, 0, 0]);
        for context in self.contexts.iter().take(usize::from(u8::MAX)) {
            pdu.extend_from_slice(&context.id.to_le_bytes());
            pdu.extend_from_slice(&[octet(context.transfer_syntaxes.len()), 0]);
            put_syntax(&context.interface, pdu);
            for syntax in context.transfer_syntaxes.iter().take(usize::from(u8::MAX)) {
                put_syntax(syntax, pdu);
            }
        }
    }
}

impl BindAck {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, PduError> {
        let max_xmit_frag = fields.u16()?;
        let max_recv_frag = fields.u16()?;
        let assoc_group_id = fields.u32()?;
        let address = fields.u16()?;
        let address = fields.take(usize::from(address))?;
        let address = address.strip_suffix(&[0]).unwrap_or(address);
        let secondary_address = String::from_utf8_lossy(address).into_owned();
        fields.align();
        let count = fields.u8()?;
        fields.take(3)?;
        let mut results = Vec::new();
        for _ in 0..count {
            let result = fields.u16()?;
            let reason = fields.u16()?;
            results.push(ContextResult { result, reason, transfer_syntax: fields.syntax()? });
        }
        Ok(Self { max_xmit_frag, max_recv_frag, assoc_group_id, secondary_address, results })
    }

    fn encode(&self, pdu: &mut Vec<u8>) {
        pdu.extend_from_slice(&self.max_xmit_frag.to_le_bytes());
        pdu.extend_from_slice(&self.max_recv_frag.to_le_bytes());
        pdu.extend_from_slice(&self.assoc_group_id.to_le_bytes());
        if self.secondary_address.is_empty() {
            pdu.extend_from_slice(&[0, 0]);
        } else {
            let length = u16::try_from(self.secondary_address.len()).unwrap_or(u16::MAX).saturating_add(1);
            pdu.extend_from_slice(&length.to_le_bytes());
            pdu.extend_from_slice(self.secondary_address.as_bytes());
            pdu.push(0);
        }
        // The header is a multiple of four long, so the PDU's alignment is the body's.
        pdu.resize(pdu.len().next_multiple_of(4), 0);
        pdu.extend_from_slice(&[octet(self.results.len()), 0, 0, 0]);
        for result in self.results.iter().take(usize::from(u8::MAX)) {
            pdu.extend_from_slice(&result.result.to_le_bytes());
            pdu.extend_from_slice(&result.reason.to_le_bytes());
            put_syntax(&result.transfer_syntax, pdu);
        }
    }
}

/// The relevant fields of `sec_trailer` (MS-RPCE 2.2.2.11).
#[derive(Clone, Copy)]
struct Verifier {
    level: u8,
    padding: u8,
}

/// Splits the data after the header into the body and the verifier.
fn split_verifier<'a>(header: &Header, pdu: &'a [u8]) -> Result<(&'a [u8], Option<Verifier>), PduError> {
    let body = pdu.get(HEADER_LEN..header.len()).ok_or(PduError::Length)?;
    if header.auth_length == 0 {
        return Ok((body, None));
    }
    let trailer = usize::from(header.auth_length).saturating_add(8);
    let at = body.len().checked_sub(trailer).ok_or(PduError::Length)?;
    let (body, trailer) = body.split_at_checked(at).ok_or(PduError::Length)?;
    match trailer {
        [_, level, padding, ..] => Ok((body, Some(Verifier { level: *level, padding: *padding }))),
        _ => Err(PduError::Length),
    }
}

/// Reads a body's fields in order.
struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PduError> {
        let end = self.at.checked_add(count).ok_or(PduError::Length)?;
        let taken = self.octets.get(self.at..end).ok_or(PduError::Length)?;
        self.at = end;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], PduError> {
        self.take(N)?.first_chunk().copied().ok_or(PduError::Length)
    }

    fn u8(&mut self) -> Result<u8, PduError> {
        let [octet] = self.chunk()?;
        Ok(octet)
    }

    fn u16(&mut self) -> Result<u16, PduError> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, PduError> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn syntax(&mut self) -> Result<InterfaceId, PduError> {
        Ok(InterfaceId { uuid: Uuid(self.chunk()?), major: self.u16()?, minor: self.u16()? })
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    /// The rest, without the padding before a verifier.
    fn stub(&mut self, verifier: Option<Verifier>) -> Result<&'a [u8], PduError> {
        let rest = self.octets.get(self.at..).ok_or(PduError::Length)?;
        let padding = verifier.map_or(0, |verifier| usize::from(verifier.padding));
        let end = rest.len().checked_sub(padding).ok_or(PduError::Length)?;
        rest.get(..end).ok_or(PduError::Length)
    }
}

fn put_syntax(syntax: &InterfaceId, pdu: &mut Vec<u8>) {
    pdu.extend_from_slice(&syntax.uuid.0);
    pdu.extend_from_slice(&syntax.major.to_le_bytes());
    pdu.extend_from_slice(&syntax.minor.to_le_bytes());
}

fn octet(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
