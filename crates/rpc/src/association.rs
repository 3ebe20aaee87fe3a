//! The server's end of a pipe (C706 chapter 9, MS-RPCE 3.3): turns octets into calls, and responses into messages.
//!
//! The order of calls: pass the data that was written to the pipe to [`Association::receive`]; take each
//! [`next_call`](Association::next_call) and [`answer`](Association::answer) it; then [`read`](Association::read)
//! until the association is empty. [`write`](Association::write) combines the first three for calls that can be
//! answered at once.
//!
//! ```text
//!   unbound --bind--> bound --alter_context--> bound
//!      |                |
//!      +----------------+--invalid PDU, or one that does not fit the state--> broken
//! ```
//!
//! A broken association accepts nothing more. Earlier answers, including the last fault, can still be read.

use std::collections::VecDeque;

use crate::fault::Fault;
use crate::limits;
use crate::pdu::{
    Bind, BindAck, BindNak, Body, CALL_HEADER_LEN, ContextResult, DID_NOT_EXECUTE, FIRST_FRAGMENT, FaultBody,
    HEADER_LEN, Header, LAST_FRAGMENT, PacketType, PduError, Request, Response, WHOLE,
};
use crate::uuid::InterfaceId;

/// A pipe and the interfaces on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The pipe's name, as in `\PIPE\srvsvc`, without the prefix.
    pub pipe: &'static str,
    /// The interfaces.
    pub interfaces: &'static [InterfaceId],
}

/// The executor of calls.
pub trait Dispatch {
    /// Executes a call: a request's stub becomes a response's stub, or a fault.
    fn call(&mut self, interface: InterfaceId, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// The client broke the protocol; the pipe is to be closed (STATUS_PIPE_DISCONNECTED).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the RPC association is broken")]
pub struct Broken;

/// The reason that a transceive failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransceiveError {
    /// Some responses have not been read yet (STATUS_PIPE_BUSY).
    #[error("the pipe holds unread data")]
    Busy,
    /// The association is broken, by this transceive or before.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// The result of reading from the pipe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// A message, or as much of it as was asked for.
    Data {
        /// The octets.
        bytes: Vec<u8>,
        /// True if the message continues (STATUS_BUFFER_OVERFLOW); the next read continues it.
        more: bool,
    },
    /// Nothing can be read: the read waits.
    Empty,
}

/// A call whose request is complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IncomingCall {
    /// The ticket for [`Association::answer`].
    pub ticket: Ticket,
    /// The interface that is called.
    pub interface: InterfaceId,
    /// The operation.
    pub opnum: u16,
    /// The request's stub.
    pub stub: Vec<u8>,
}

/// The call that an answer belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    call_id: u32,
    context_id: u16,
}

/// The server's end of an association.
#[derive(Debug)]
pub struct Association {
    endpoint: Endpoint,
    /// `sec_addr` of the answer to a bind.
    address: String,
    state: State,
    inbound: Vec<u8>,
    consumed: usize,
    contexts: Vec<(u16, InterfaceId)>,
    max_xmit_frag: u16,
    max_recv_frag: u16,
    assoc_group_id: u32,
    partial: Option<PartialCall>,
    outbound: VecDeque<Outgoing>,
    unread: usize,
    message: Message,
}

/// Associations of a group share nothing here, so all of them can have the same group id.
const ASSOC_GROUP_ID: u32 = 0x0000_5357;

/// The features of MS-RPCE 3.3.1.5.3 that are served: the connection is kept when a call is orphaned.
const KEEP_CONNECTION_ON_ORPHAN: u16 = 0x0002;

/// `RPC_C_AUTHN_LEVEL_NONE` (MS-RPCE 2.2.1.1.8).
const AUTH_LEVEL_NONE: u8 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unbound,
    Bound,
    Broken,
}

/// A request of which fragments are missing.
#[derive(Debug)]
struct PartialCall {
    ticket: Ticket,
    opnum: u16,
    stub: Vec<u8>,
    too_large: bool,
}

/// The data that waits to be read, in the order of the answers.
#[derive(Debug)]
enum Outgoing {
    Pdu(Vec<u8>),
    /// A response's stub, of whose end `zeros` octets are not kept.
    Response {
        ticket: Ticket,
        stub: Vec<u8>,
        zeros: usize,
        sent: usize,
    },
}

/// The pipe message that is being read.
#[derive(Debug, Default)]
struct Message {
    octets: Vec<u8>,
    read: usize,
}

impl Association {
    /// An association with the interfaces of the endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            address: format!("\\PIPE\\{}", endpoint.pipe),
            state: State::Unbound,
            inbound: Vec::new(),
            consumed: 0,
            contexts: Vec::new(),
            max_xmit_frag: limits::FRAGMENT_MUST_RECEIVE,
            max_recv_frag: limits::FRAGMENT_MUST_RECEIVE,
            assoc_group_id: ASSOC_GROUP_ID,
            partial: None,
            outbound: VecDeque::new(),
            unread: 0,
            message: Message::default(),
        }
    }

    /// The association on a TCP port instead of a pipe.
    #[must_use]
    pub fn on_port(self, port: u16) -> Self {
        Self { address: port.to_string(), ..self }
    }

    /// Takes data that was written to the pipe and executes every call that it completes.
    pub fn write(&mut self, bytes: &[u8], dispatch: &mut dyn Dispatch) -> Result<(), Broken> {
        self.receive(bytes)?;
        while let Some(call) = self.next_call()? {
            let result = dispatch.call(call.interface, call.opnum, &call.stub);
            self.answer(call.ticket, result);
        }
        Ok(())
    }

    /// Writes, then reads one message: FSCTL_PIPE_TRANSCEIVE.
    pub fn transceive(
        &mut self,
        bytes: &[u8],
        max: usize,
        dispatch: &mut dyn Dispatch,
    ) -> Result<ReadOutcome, TransceiveError> {
        if self.has_unread() {
            return Err(TransceiveError::Busy);
        }
        match self.write(bytes, dispatch) {
            Err(broken) if !self.has_unread() => Err(broken.into()),
            _ => Ok(self.read(max)),
        }
    }

    /// Takes data that was written to the pipe: a part of a PDU, or several.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.state == State::Broken {
            return Err(Broken);
        }
        self.inbound.drain(..self.consumed.min(self.inbound.len()));
        self.consumed = 0;
        self.inbound.extend_from_slice(bytes);
        Ok(())
    }

    /// Processes the received data until a call is complete or more data is needed.
    pub fn next_call(&mut self) -> Result<Option<IncomingCall>, Broken> {
        let inbound = std::mem::take(&mut self.inbound);
        let mut rest = inbound.get(self.consumed..).unwrap_or_default();
        let mut call = None;
        while call.is_none() && self.state != State::Broken {
            let Some(start) = rest.first_chunk::<HEADER_LEN>() else { break };
            let header = match Header::decode(start) {
                Ok(header) => header,
                Err(error) => {
                    self.refuse_header(start, error);
                    break;
                }
            };
            let Some((pdu, behind)) = rest.split_at_checked(header.len()) else { break };
            rest = behind;
            call = if self.outbound.len() < limits::PDUS_UNREAD_MAX {
                self.handle(&header, pdu)
            } else {
                self.state = State::Broken;
                None
            };
        }
        if self.state == State::Broken {
            return Err(Broken);
        }
        // Processed data is released, together with its memory.
        if !rest.is_empty() {
            self.consumed = inbound.len().saturating_sub(rest.len());
            self.inbound = inbound;
        } else {
            self.consumed = 0;
        }
        Ok(call)
    }

    /// Queues the response, or the fault, of a call.
    pub fn answer(&mut self, ticket: Ticket, result: Result<Vec<u8>, Fault>) {
        match result {
            Ok(mut stub) => {
                let zeros = stub.iter().rev().take_while(|octet| **octet == 0).count();
                let zeros = zeros.saturating_sub(limits::ZEROS_KEPT_MAX);
                stub.truncate(stub.len().saturating_sub(zeros));
                stub.shrink_to_fit();
                self.unread = self.unread.saturating_add(stub.len());
                self.outbound.push_back(Outgoing::Response { ticket, stub, zeros, sent: 0 });
            }
            Err(fault) => self.queue_fault(ticket, fault),
        }
    }

    /// Reads at most `max` octets of the next message, or of the rest of the one begun.
    pub fn read(&mut self, max: usize) -> ReadOutcome {
        if self.message.rest().is_empty() {
            match self.next_message() {
                Some(octets) => self.message = Message { octets, read: 0 },
                None => return ReadOutcome::Empty,
            }
        }
        let rest = self.message.rest();
        let bytes = rest.get(..max).unwrap_or(rest).to_vec();
        let more = bytes.len() < rest.len();
        self.message.read = self.message.read.saturating_add(bytes.len());
        ReadOutcome::Data { bytes, more }
    }

    /// True if something can be read.
    pub fn has_unread(&self) -> bool {
        !self.message.rest().is_empty() || !self.outbound.is_empty()
    }

    /// The number of octets in memory: of incomplete requests and of answers that were not read.
    pub fn kept(&self) -> usize {
        let waiting = self.outbound.iter().map(|it| match it {
            Outgoing::Pdu(pdu) => pdu.len(),
            Outgoing::Response { stub, .. } => stub.len(),
        });
        let partial = self.partial.as_ref().map_or(0, |call| call.stub.len());
        let parts = [self.inbound.len(), partial, self.message.rest().len()];
        parts.into_iter().chain(waiting).fold(0, usize::saturating_add)
    }

    /// The length of the next message, or of the rest of the current one: FSCTL_PIPE_PEEK.
    pub fn message_len(&self) -> usize {
        if !self.message.rest().is_empty() {
            return self.message.rest().len();
        }
        match self.outbound.front() {
            Some(Outgoing::Pdu(pdu)) => pdu.len(),
            Some(Outgoing::Response { stub, zeros, sent, .. }) => {
                let rest = stub.len().saturating_add(*zeros).saturating_sub(*sent);
                CALL_HEADER_LEN.saturating_add(rest.min(self.response_chunk()))
            }
            None => 0,
        }
    }

    fn handle(&mut self, header: &Header, pdu: &[u8]) -> Option<IncomingCall> {
        match (Body::decode(header, pdu), self.state) {
            (Ok(Body::Bind(bind)), State::Unbound) => self.bind(header, &bind),
            (Ok(Body::AlterContext(bind)), State::Bound) => self.alter_context(header, &bind),
            (Ok(Body::Request(request)), State::Bound) => return self.request(header, &request),
            (Ok(Body::Other(PacketType::ORPHANED)), State::Bound) => {
                self.partial.take_if(|partial| partial.ticket.call_id == header.call_id);
            }
            // A call is executed as soon as it is complete, so that a cancel is always late; the third part of an
            // authentication that was not requested has no meaning.
            (Ok(Body::Other(PacketType::CO_CANCEL | PacketType::AUTH3)), State::Bound) => {}
            (Ok(Body::Bind(_)), _) | (Err(_), _) if header.packet_type == PacketType::BIND => {
                self.queue(Body::BindNak(BindNak::NOT_SPECIFIED), header.call_id, WHOLE);
                self.state = State::Broken;
            }
            _ => self.violation(header.call_id),
        }
        None
    }

    /// MS-RPCE 3.3.1.5.
    fn bind(&mut self, header: &Header, bind: &Bind) {
        if bind.auth_level.is_some_and(|level| level != AUTH_LEVEL_NONE) {
            self.queue(Body::BindNak(BindNak::AUTHENTICATION_TYPE_NOT_RECOGNIZED), header.call_id, WHOLE);
            return;
        }
        let negotiated =
            |theirs: u16| theirs.clamp(limits::FRAGMENT_MUST_RECEIVE, limits::FRAGMENT_OFFERED_MAX);
        self.max_xmit_frag = negotiated(bind.max_recv_frag);
        self.max_recv_frag = negotiated(bind.max_xmit_frag);
        if bind.assoc_group_id != 0 {
            self.assoc_group_id = bind.assoc_group_id;
        }
        self.state = State::Bound;
        let ack = self.acknowledge(bind, self.address.clone());
        self.queue(Body::BindAck(ack), header.call_id, WHOLE);
    }

    fn alter_context(&mut self, header: &Header, bind: &Bind) {
        let ack = self.acknowledge(bind, String::new());
        self.queue(Body::AlterContextResponse(ack), header.call_id, WHOLE);
    }

    fn acknowledge(&mut self, bind: &Bind, secondary_address: String) -> BindAck {
        let mut results = Vec::with_capacity(bind.contexts.len());
        for proposed in &bind.contexts {
            let features = proposed.transfer_syntaxes.iter().find_map(InterfaceId::bind_time_features);
            let served =
                self.endpoint.interfaces.iter().find(|ours| ours.serves(&proposed.interface)).copied();
            results.push(match (features, served) {
                (Some(features), _) => ContextResult::negotiated(features & KEEP_CONNECTION_ON_ORPHAN),
                (None, None) => ContextResult::rejected(ContextResult::ABSTRACT_SYNTAX_NOT_SUPPORTED),
                (None, Some(_)) if !proposed.transfer_syntaxes.contains(&InterfaceId::NDR20) => {
                    ContextResult::rejected(ContextResult::TRANSFER_SYNTAXES_NOT_SUPPORTED)
                }
                (None, Some(interface)) => self.add_context(proposed.id, interface),
            });
        }
        BindAck {
            max_xmit_frag: self.max_xmit_frag,
            max_recv_frag: self.max_recv_frag,
            assoc_group_id: self.assoc_group_id,
            secondary_address,
            results,
        }
    }

    fn add_context(&mut self, id: u16, interface: InterfaceId) -> ContextResult {
        if let Some(known) = self.contexts.iter_mut().find(|(known, _)| *known == id) {
            known.1 = interface;
        } else if self.contexts.len() >= limits::CONTEXTS_MAX {
            return ContextResult::rejected(ContextResult::LOCAL_LIMIT_EXCEEDED);
        } else {
            self.contexts.push((id, interface));
        }
        ContextResult::accepted()
    }

    /// Puts a request together of its fragments (C706 12.4.1).
    fn request(&mut self, header: &Header, request: &Request<'_>) -> Option<IncomingCall> {
        let mut call = match (header.is_first(), self.partial.take()) {
            (true, None) => PartialCall {
                ticket: Ticket { call_id: header.call_id, context_id: request.context_id },
                opnum: request.opnum,
                stub: Vec::new(),
                too_large: false,
            },
            (false, Some(call)) if call.ticket.call_id == header.call_id => call,
            // Calls at the same time over one association (PFC_CONC_MPX) are not offered.
            _ => {
                self.violation(header.call_id);
                return None;
            }
        };
        if call.stub.len().saturating_add(request.stub.len()) > limits::REQUEST_STUB_MAX {
            call.too_large = true;
            call.stub = Vec::new();
        }
        if !call.too_large {
            call.stub.extend_from_slice(request.stub);
        }
        if header.is_last() {
            self.admit(call)
        } else {
            self.partial = Some(call);
            None
        }
    }

    /// Checks a complete request. `None` if it is not executed.
    fn admit(&mut self, call: PartialCall) -> Option<IncomingCall> {
        let context = self.contexts.iter().find(|(id, _)| *id == call.ticket.context_id);
        let refusal = match context {
            None => Fault::UNKNOWN_INTERFACE,
            Some(_) if call.too_large => Fault::REMOTE_NO_MEMORY,
            Some(_) if self.unread > limits::RESPONSE_BYTES_UNREAD_MAX => Fault::SERVER_TOO_BUSY,
            Some((_, interface)) => {
                let PartialCall { ticket, opnum, stub, .. } = call;
                return Some(IncomingCall { ticket, interface: *interface, opnum, stub });
            }
        };
        self.queue_fault(call.ticket, refusal);
        None
    }

    /// Answers data that does not begin with a header of this protocol once, so that the client learns the reason.
    fn refuse_header(&mut self, start: &[u8; HEADER_LEN], error: PduError) {
        let [.., c0, c1, c2, c3] = *start;
        let call_id = u32::from_le_bytes([c0, c1, c2, c3]);
        match (error, start) {
            (PduError::Version(..), [_, _, packet_type, ..]) if *packet_type == PacketType::BIND.0 => {
                self.queue(Body::BindNak(BindNak::PROTOCOL_VERSION_NOT_SUPPORTED), call_id, WHOLE);
                self.state = State::Broken;
            }
            _ => self.violation(call_id),
        }
    }

    fn violation(&mut self, call_id: u32) {
        self.queue_fault(Ticket { call_id, context_id: 0 }, Fault::PROTO_ERROR);
        self.state = State::Broken;
    }

    fn queue_fault(&mut self, ticket: Ticket, status: Fault) {
        let flags = if status.before_execution() { WHOLE | DID_NOT_EXECUTE } else { WHOLE };
        let body = Body::Fault(FaultBody { context_id: ticket.context_id, status });
        self.queue(body, ticket.call_id, flags);
    }

    fn queue(&mut self, body: Body<'_>, call_id: u32, flags: u8) {
        self.outbound.push_back(Outgoing::Pdu(body.encode(call_id, flags)));
    }

    /// Removes the next fragment, which is the next message, from the queue.
    fn next_message(&mut self) -> Option<Vec<u8>> {
        let chunk = self.response_chunk();
        match self.outbound.front_mut()? {
            Outgoing::Pdu(pdu) => {
                let pdu = std::mem::take(pdu);
                self.outbound.pop_front();
                Some(pdu)
            }
            Outgoing::Response { ticket, stub, zeros, sent } => {
                let rest = stub.len().saturating_add(*zeros).saturating_sub(*sent);
                let kept = stub.get(*sent..).unwrap_or_default();
                let mut part = kept.get(..chunk).unwrap_or(kept).to_vec();
                let of_stub = part.len();
                part.resize(rest.min(chunk), 0);
                let last = part.len() == rest;
                let flags =
                    if *sent == 0 { FIRST_FRAGMENT } else { 0 } | if last { LAST_FRAGMENT } else { 0 };
                let alloc_hint = u32::try_from(rest).unwrap_or(u32::MAX);
                let body =
                    Body::Response(Response { context_id: ticket.context_id, alloc_hint, stub: &part });
                let pdu = body.encode(ticket.call_id, flags);
                *sent = sent.saturating_add(part.len());
                self.unread = self.unread.saturating_sub(of_stub);
                if last {
                    self.outbound.pop_front();
                }
                Some(pdu)
            }
        }
    }

    /// The octets of a stub in one fragment: a multiple of eight (C706 12.6.2).
    fn response_chunk(&self) -> usize {
        usize::from(self.max_xmit_frag).saturating_sub(CALL_HEADER_LEN) & !7
    }
}

impl Message {
    fn rest(&self) -> &[u8] {
        self.octets.get(self.read..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
