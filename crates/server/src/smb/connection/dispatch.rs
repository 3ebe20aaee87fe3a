//! From a frame to its answers: the common part of MS-SMB2 3.3.5.2, before and after each command.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use auth::IdentityKind;
use wire::header::{Command, Compound, Header, HeaderFlags, PacketKind, TreeOrAsync};
use wire::msg::error::ErrorResponse;
use wire::msg::{CreateDisposition, CreateRequest};
use wire::{DecodeError, Dialect, MessageId, NtStatus, SessionId};

use super::frame::Frame;
use super::pending::Protected;
use super::request::Outcome;
use super::unseal;
use super::{Answer, AnswerBuilder, Chain, Request, SmbConnection};
use crate::core::bulkhead::{self, Bulkhead, Kind};
use crate::core::effects::BreakNotification;
use crate::core::server::Server;
use crate::core::session::Session;
use crate::core::tree::Tree;
use crate::smb::handlers;

/// The reason why the server ends a connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// MS-SMB2 3.3.5.2.1.1: an encrypted frame that cannot be decrypted, or that contains requests of another
    /// session than that of its key.
    BadSeal,
    /// MS-SMB2 3.3.5.2.3: a message id that was not granted or is already used.
    BadMessageId,
    /// MS-SMB2 3.3.5.2: an invalid header.
    Malformed(DecodeError),
    /// MS-SMB2 3.3.5.2: a command before NEGOTIATE.
    NotNegotiated,
    /// MS-SMB2 3.3.5.4, 3.3.5.15.12: a second NEGOTIATE, or a manipulated one.
    Negotiation,
    /// MS-SMB2 3.3.5.2: a response.
    Response,
    /// MS-SMB2 3.3.5.7: a TREE_CONNECT of 3.1.1 that is neither signed nor encrypted.
    Unprotected,
    /// The share has moved to another server of the cluster, which keeps the client's handles. An error would reach the
    /// application, while a client that loses its connection reclaims its handles.
    Moved,
    /// The server failed internally.
    Failed,
    /// SMB1, except for the one NEGOTIATE of MS-SMB2 3.3.5.3.
    Smb1,
}

/// Handles the requests of one frame; `None` if there is no answer (CANCEL).
pub(crate) async fn process(connection: &SmbConnection, frame: Frame) -> Result<Option<Answer>, Violation> {
    let (frame, seal) = match PacketKind::of(&frame).map_err(Violation::Malformed)? {
        PacketKind::Smb2 => (frame, None),
        PacketKind::Encrypted => {
            let (frame, session) = unseal::unseal(connection, frame)?;
            (frame, Some(session))
        }
        PacketKind::Smb1 => return handlers::negotiate::handle_smb1(connection, &frame),
        // Compression is never negotiated (MS-SMB2 3.3.5.2.13).
        PacketKind::Compressed => return Err(Violation::Malformed(DecodeError::ProtocolId)),
    };
    let mut answer = AnswerBuilder::new(connection.buffer(), seal.clone());
    let mut chain = Chain::default();
    let mut messages = Compound::new(&frame).peekable();
    while let Some(message) = messages.next() {
        let (header, message) = message.map_err(Violation::Malformed)?;
        if header.is_response() {
            return Err(Violation::Response);
        }
        let is_cancel = header.command == Command::CANCEL;
        if !is_cancel && !connection.take_message_ids(&header) {
            return Err(Violation::BadMessageId);
        }
        let mut request = Request {
            connection,
            header,
            message,
            unread: frame.unread().map(|unread| &**unread),
            sealed: seal.is_some(),
            last: messages.peek().is_none(),
            session: None,
            tree: None,
            chain: &mut chain,
            signer: None,
            credits_granted: false,
            held_back: false,
            counted: None,
        };
        if is_cancel {
            cancel(&mut request, seal.as_ref())?;
            continue;
        }
        answer.begin();
        let begun = Instant::now();
        let outcome = match prepare(&mut request, seal.as_ref()) {
            Ok(()) => {
                let place = Place::of(&request);
                let kind = kind(&request);
                let handled = pin!(handlers::handle(&mut request, &mut answer));
                let mut handled = pin!(bulkhead::behind(place.bulkhead(), kind, handled));
                bulkhead::settled(handled.as_mut()).await
            }
            Err(refusal) => Err(refusal),
        };
        let outcome = match outcome {
            Ok(status) => Ok(status),
            Err(Refusal::Status(status)) => Err(status),
            Err(Refusal::Violation(violation)) => return Err(violation),
        };
        let has_moved = || request.tree.as_ref().is_some_and(|tree| tree.has_moved());
        if outcome == Err(NtStatus::NETWORK_NAME_DELETED) && has_moved() {
            return Err(Violation::Moved);
        }
        // After an interim answer, the time was spent waiting for others.
        let time = (!request.credits_granted && !request.held_back).then(|| begun.elapsed());
        if let Some(time) = time {
            connection.traffic.took(time);
        }
        let status = outcome.unwrap_or_else(|status| status);
        connection.server.requests.count(request.header.command, status, time);
        finish(&mut request, &mut answer, outcome)?;
    }
    Ok(answer.complete())
}

/// Tells requests that may change a directory from others. A CLOSE that deletes a file passes for one of the others:
/// whether it does is not yet known.
fn kind(request: &Request<'_>) -> Kind {
    let changes = match request.header.command {
        Command::CREATE => CreateRequest::disposition_of(request.message)
            .is_ok_and(|disposition| disposition != CreateDisposition::OPEN),
        Command::SET_INFO => true,
        _ => false,
    };
    if changes { Kind::Change } else { Kind::Other }
}

/// The place where a request may hang: the files of its share, or the name service.
enum Place {
    Share(Arc<Tree>),
    Logons(Arc<Server>),
    Connects(Arc<Server>),
    Nowhere,
}

impl Place {
    fn of(request: &Request<'_>) -> Self {
        match (&request.tree, request.header.command) {
            // The tree connect ends at once, and its opens gradually.
            (_, Command::TREE_DISCONNECT) => Self::Nowhere,
            (Some(tree), _) => Self::Share(Arc::clone(tree)),
            (None, Command::SESSION_SETUP) => Self::Logons(Arc::clone(&request.connection.server)),
            (None, Command::TREE_CONNECT) => Self::Connects(Arc::clone(&request.connection.server)),
            (None, _) => Self::Nowhere,
        }
    }

    fn bulkhead(&self) -> Option<&Bulkhead> {
        match self {
            Self::Share(tree) => Some(&tree.share.bulkhead),
            Self::Logons(server) => Some(&server.capacity.logons),
            Self::Connects(server) => Some(&server.capacity.connects),
            Self::Nowhere => None,
        }
    }
}

/// The reason why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The answer has this status.
    Status(NtStatus),
    /// The connection ends without an answer.
    Violation(Violation),
}

impl From<NtStatus> for Refusal {
    fn from(status: NtStatus) -> Self {
        Self::Status(status)
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// The checks before any command (MS-SMB2 3.3.5.2.2 to 3.3.5.2.11).
fn prepare(request: &mut Request<'_>, seal: Option<&Arc<Session>>) -> Result<(), Refusal> {
    let command = request.header.command;
    if command == Command::NEGOTIATE {
        return match request.connection.negotiated.get() {
            Some(_) => Err(Refusal::Violation(Violation::Negotiation)),
            // 3.3.5.2.4: there is no signing key yet.
            None if request.header.is_signed() => Err(NtStatus::INVALID_PARAMETER.into()),
            None => Ok(()),
        };
    }
    let Some(negotiated) = request.connection.negotiated.get() else {
        return Err(Refusal::Violation(Violation::NotNegotiated));
    };
    if request.header.is_related() {
        if !request.chain.begun {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        request.header.session_id = request.chain.session_id;
        if let TreeOrAsync::Tree { tree_id, .. } = &mut request.header.tree {
            *tree_id = request.chain.tree_id;
        }
    } else {
        *request.chain = Chain {
            session_id: request.header.session_id,
            tree_id: request.header.tree_id().unwrap_or_default(),
            ..Chain::default()
        };
    }
    if !is_sealed_for(request, seal) {
        return Err(Refusal::Violation(Violation::BadSeal));
    }
    let is_unsigned_echo = command == Command::ECHO && !request.header.is_signed();
    if command == Command::SESSION_SETUP || (is_unsigned_echo && request.header.session_id == SessionId(0)) {
        request.chain.begun = true;
        return Ok(());
    }
    let Some(channel) = request.connection.channel(request.header.session_id) else {
        handlers::session_setup::sign_refusal(request);
        return Err(NtStatus::USER_SESSION_DELETED.into());
    };
    let session = Arc::clone(&channel.session);
    request.chain.begun = true;
    let Some(established) = session.established() else {
        // 3.3.5.2.9: a logon in progress can be ended. There is no signing key yet.
        return match command {
            Command::LOGOFF if request.header.is_signed() => Err(NtStatus::ACCESS_DENIED.into()),
            Command::LOGOFF => {
                request.session = Some(session);
                Ok(())
            }
            _ => Err(NtStatus::USER_SESSION_DELETED.into()),
        };
    };
    if seal.is_none() {
        if request.header.is_signed() {
            let message = signed_part(&request.header, request.message);
            let Some(key) = channel.verify(message) else {
                // An anonymous session's key is publicly known, so the refusal can be signed without reusing
                // a nonce that another holder of the key needs.
                let is_nobodys = established.kind == IdentityKind::Anonymous;
                request.signer = channel.signing.clone().filter(|_| is_nobodys);
                return Err(NtStatus::ACCESS_DENIED.into());
            };
            request.signer = Some(key);
        } else if established.must_sign {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        if established.must_seal && negotiated.dialect >= Dialect::SMB300 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        // 3.3.5.7: only a signature proves the result of NEGOTIATE. Guests and anonymous users have no key to
        // sign with.
        if command == Command::TREE_CONNECT
            && negotiated.dialect >= Dialect::SMB311
            && request.signer.is_none()
            && session.user().is_some_and(|user| user.kind == IdentityKind::User)
        {
            return Err(Refusal::Violation(Violation::Unprotected));
        }
    }
    // 3.3.5.2.9. The handler of LOCK refuses new locks. Windows and Samba answer ECHO, too.
    let is_closing = matches!(command, Command::LOGOFF | Command::CLOSE | Command::LOCK | Command::ECHO);
    if session.has_expired() && !is_closing {
        request.session = Some(session);
        return Err(NtStatus::NETWORK_SESSION_EXPIRED.into());
    }
    // ECHO does not end the idle time of a session.
    if command != Command::ECHO {
        session.touch(request.connection.server.now());
    }
    let tree_needed = !matches!(command, Command::LOGOFF | Command::TREE_CONNECT | Command::ECHO);
    if tree_needed {
        let tree_id = request.header.tree_id().ok_or(NtStatus::NETWORK_NAME_DELETED)?;
        let tree = session.tree(tree_id).ok_or(NtStatus::NETWORK_NAME_DELETED)?;
        if tree.must_seal() && seal.is_none() {
            request.session = Some(session);
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        request.tree = Some(tree);
    }
    request.session = Some(session);
    Ok(())
}

/// True if a request in an encrypted frame belongs to the session whose key decrypted the frame (MS-SMB2
/// 3.3.5.2.1.1).
fn is_sealed_for(request: &Request<'_>, seal: Option<&Arc<Session>>) -> bool {
    seal.is_none_or(|session| session.id() == request.header.session_id)
}

/// CANCEL (MS-SMB2 3.3.5.16), which has no answer. It must come from the session of the waiting request and
/// be protected as that session's requests must be; otherwise it is ignored.
fn cancel(request: &mut Request<'_>, seal: Option<&Arc<Session>>) -> Result<(), Violation> {
    let connection = request.connection;
    if connection.negotiated.get().is_none() {
        return Err(Violation::NotNegotiated);
    }
    if request.header.is_related() && request.chain.begun {
        request.header.session_id = request.chain.session_id;
    }
    if !is_sealed_for(request, seal) {
        return Err(Violation::BadSeal);
    }
    let header = request.header;
    let Some(channel) = connection.channel(header.session_id) else { return Ok(()) };
    let protected = if seal.is_some() {
        Protected::Sealed
    } else if !header.is_signed() {
        Protected::Not
    } else if channel.verify(signed_part(&header, request.message)).is_some() {
        Protected::Signed
    } else {
        return Ok(());
    };
    connection.pending.cancel(&channel.session, protected, header.async_id(), header.message_id);
    Ok(())
}

/// The signed part of a message, which includes its padding.
fn signed_part<'a>(header: &Header, message: &'a [u8]) -> &'a [u8] {
    let length = usize::try_from(header.next_command).ok().filter(|&next| next != 0).unwrap_or(message.len());
    message.get(..length).unwrap_or(message)
}

/// Writes the header of an answer, and the body of one that has only a status (MS-SMB2 3.3.4.4).
fn finish(request: &mut Request<'_>, answer: &mut AnswerBuilder, outcome: Outcome) -> Result<(), Violation> {
    let status = match outcome {
        Ok(status) => status,
        Err(status) => {
            answer.clear_body();
            let base = answer.base();
            ErrorResponse::default().encode(answer.body(), base);
            status
        }
    };
    if status.is_error() {
        request.connection.traffic.answered(status);
        tracing::trace!(conn = request.connection.id.0, command = ?request.header.command, ?status);
        if request.header.command == Command::CREATE {
            request.chain.create_error = Some(status);
        }
    }
    let credits =
        if request.credits_granted { 0 } else { request.connection.grant_credits(request.header.credits) };
    let mut header = request.header.response(status, credits);
    // This status means that the session, and perhaps its key, no longer exist.
    let may_sign = status != NtStatus::USER_SESSION_DELETED
        || request.session.is_none()
        || request.header.command == Command::SESSION_SETUP;
    let signer = request.signer.take().filter(|_| !request.sealed && may_sign);
    if signer.is_some() {
        header.flags |= HeaderFlags::SIGNED;
    }
    answer.finish(&header, signer.clone());
    handlers::answered(request, status, answer.last_message(), signer.as_deref());
    Ok(())
}

/// An OPLOCK_BREAK notification (MS-SMB2 3.3.4.6, 3.3.4.7).
pub(crate) fn break_notification(connection: &SmbConnection, notice: &BreakNotification) -> Option<Answer> {
    let mut answer = AnswerBuilder::new(connection.buffer(), notice.seal.clone());
    answer.begin();
    let base = answer.base();
    notice.encode(answer.body(), base);
    let header = Header {
        command: Command::OPLOCK_BREAK,
        flags: HeaderFlags::SERVER_TO_REDIR,
        message_id: MessageId(u64::MAX),
        ..Header::default()
    };
    answer.finish(&header, None);
    answer.complete()
}

/// A decrypted frame and the session whose key was used.
pub(crate) type ClearFrame = (Frame, Arc<Session>);
