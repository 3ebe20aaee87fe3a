//! The client's end of an association: calls in, fragments out, and back.
//!
//! The order of calls: [`bind`](ClientAssociation::bind), [`handle_bind_ack`](ClientAssociation::handle_bind_ack),
//! and then per call [`request`](ClientAssociation::request) and
//! [`handle_response`](ClientAssociation::handle_response) until it returns the stub.

use crate::call::{Call, Stub};
use crate::fault::Fault;
use crate::limits;
use crate::ndr::NdrError;
use crate::pdu::{
    Bind, Body, CALL_HEADER_LEN, ContextResult, FIRST_FRAGMENT, HEADER_LEN, Header, LAST_FRAGMENT,
    PacketType, PduError, ProposedContext, Request, WHOLE,
};
use crate::uuid::InterfaceId;

/// The reason that a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused the association (bind_nak).
    #[error("the server refused to bind (reason {0})")]
    Refused(u16),
    /// The server serves no such interface, or not in NDR20.
    #[error("the server does not serve the interface (result {result}, reason {reason})")]
    Rejected {
        /// `result` of the presentation context.
        result: u16,
        /// `reason` of the presentation context.
        reason: u16,
    },
    /// The server did not execute the call, or not to its end.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The server's data is not a PDU.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// The server's PDU is not an answer to the request.
    #[error("unexpected {0:?} from the server")]
    Unexpected(PacketType),
    /// The response is larger than is taken.
    #[error("the response is too large")]
    TooLarge,
    /// The response's stub does not fit the operation's parameters.
    #[error(transparent)]
    Stub(#[from] NdrError),
}

/// The client's end of an association for one interface.
#[derive(Debug)]
pub struct ClientAssociation {
    interface: InterfaceId,
    call_id: u32,
    max_xmit_frag: u16,
    inbound: Vec<u8>,
    response: Option<Reassembly>,
}

/// A response of which some fragments may still be to come.
#[derive(Debug, Default)]
struct Reassembly {
    stub: Vec<u8>,
    /// True if the first fragment was received.
    begun: bool,
}

/// The presentation context that this end proposes.
const CONTEXT_ID: u16 = 0;

impl ClientAssociation {
    /// An association that is not bound yet.
    pub fn new(interface: InterfaceId) -> Self {
        Self {
            interface,
            call_id: 1,
            max_xmit_frag: limits::FRAGMENT_MUST_RECEIVE,
            inbound: Vec::new(),
            response: None,
        }
    }

    /// The bind to send.
    pub fn bind(&self) -> Vec<u8> {
        let bind = Bind {
            max_xmit_frag: limits::FRAGMENT_OFFERED_MAX,
            max_recv_frag: limits::FRAGMENT_OFFERED_MAX,
            assoc_group_id: 0,
            contexts: vec![ProposedContext {
                id: CONTEXT_ID,
                interface: self.interface,
                transfer_syntaxes: vec![InterfaceId::NDR20],
            }],
            auth_level: None,
        };
        Body::Bind(bind).encode(self.call_id, WHOLE)
    }

    /// Takes the answer to the bind, which is one message.
    pub fn handle_bind_ack(&mut self, pdu: &[u8]) -> Result<(), ClientError> {
        let start = pdu.first_chunk::<HEADER_LEN>().ok_or(PduError::Length)?;
        let header = Header::decode(start)?;
        match Body::decode(&header, pdu)? {
            Body::BindAck(ack) => {
                let outcome = ack.results.first().ok_or(ClientError::Unexpected(header.packet_type))?;
                if outcome.result != ContextResult::ACCEPTANCE
                    || outcome.transfer_syntax != InterfaceId::NDR20
                {
                    return Err(ClientError::Rejected { result: outcome.result, reason: outcome.reason });
                }
                self.max_xmit_frag =
                    ack.max_recv_frag.clamp(limits::FRAGMENT_MUST_RECEIVE, limits::FRAGMENT_OFFERED_MAX);
                Ok(())
            }
            Body::BindNak(nak) => Err(ClientError::Refused(nak.reason)),
            Body::Fault(fault) => Err(fault.status.into()),
            _ => Err(ClientError::Unexpected(header.packet_type)),
        }
    }

    /// The fragments of a call's request; the last one is to be transceived. Discards the rest of the previous call.
    pub fn request<C: Call>(&mut self, call: &C) -> Vec<Vec<u8>> {
        self.request_stub(C::OPNUM, &call.encode())
    }

    /// As [`request`](Self::request) for an encoded stub.
    pub fn request_stub(&mut self, opnum: u16, stub: &[u8]) -> Vec<Vec<u8>> {
        self.call_id = self.call_id.wrapping_add(1);
        self.inbound.clear();
        self.response = Some(Reassembly::default());
        let chunk = usize::from(self.max_xmit_frag).saturating_sub(CALL_HEADER_LEN) & !7;
        let mut fragments = Vec::new();
        let mut rest = stub;
        loop {
            let (part, behind) = rest.split_at_checked(chunk).unwrap_or((rest, &[]));
            let first = if fragments.is_empty() { FIRST_FRAGMENT } else { 0 };
            let last = if behind.is_empty() { LAST_FRAGMENT } else { 0 };
            let alloc_hint = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let request = Request { context_id: CONTEXT_ID, opnum, alloc_hint, stub: part };
            fragments.push(Body::Request(request).encode(self.call_id, first | last));
            if behind.is_empty() {
                return fragments;
            }
            rest = behind;
        }
    }

    /// Takes data that was read from the pipe, in parts of any size, and returns the response's stub when it is
    /// complete; decode it as `C::Response`. After an error the association is unusable, except after
    /// [`ClientError::Fault`], which ends only the call.
    pub fn handle_response(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, ClientError> {
        self.inbound.extend_from_slice(bytes);
        let inbound = std::mem::take(&mut self.inbound);
        let mut rest = inbound.as_slice();
        while let Some(start) = rest.first_chunk::<HEADER_LEN>() {
            let header = Header::decode(start)?;
            let Some((pdu, behind)) = rest.split_at_checked(header.len()) else { break };
            rest = behind;
            if let Some(stub) = self.fragment(&header, pdu)? {
                return Ok(Some(stub));
            }
        }
        self.inbound = rest.to_vec();
        Ok(None)
    }

    /// As [`handle_response`](Self::handle_response), with decoding.
    pub fn handle_response_of<C: Call>(&mut self, bytes: &[u8]) -> Result<Option<C::Response>, ClientError> {
        match self.handle_response(bytes)? {
            Some(stub) => Ok(Some(C::Response::decode(&stub)?)),
            None => Ok(None),
        }
    }

    fn fragment(&mut self, header: &Header, pdu: &[u8]) -> Result<Option<Vec<u8>>, ClientError> {
        let unexpected = ClientError::Unexpected(header.packet_type);
        if header.call_id != self.call_id {
            return Err(unexpected);
        }
        match Body::decode(header, pdu)? {
            Body::Response(response) => {
                let whole = self.response.as_mut().ok_or(unexpected)?;
                // One that adds nothing and does not end the response could be followed by any number of its kind.
                let adds = header.is_last() || !response.stub.is_empty();
                if header.is_first() == whole.begun || !adds {
                    return Err(unexpected);
                }
                whole.begun = true;
                if whole.stub.len().saturating_add(response.stub.len()) > limits::RESPONSE_STUB_MAX {
                    return Err(ClientError::TooLarge);
                }
                whole.stub.extend_from_slice(response.stub);
                Ok(if header.is_last() { self.response.take().map(|whole| whole.stub) } else { None })
            }
            Body::Fault(fault) => {
                self.response = None;
                Err(fault.status.into())
            }
            _ => Err(unexpected),
        }
    }
}

#[cfg(test)]
mod tests;
