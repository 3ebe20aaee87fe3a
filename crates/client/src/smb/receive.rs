//! The task that reads: from bytes to answers, each to whom it belongs.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use wire::header::{Compound, PacketKind, TransformHeader};
use wire::msg::{NotificationType, OplockBreakResponse, ServerToClientNotification};
use wire::{Command, MessageId, NtStatus, SessionId, frame};

use super::breaks::Break;
use super::connection::Shared;
use super::error::Ended;
use super::limits::{FRAME_MAX, READ_CHUNK};
use super::request::Response;

/// The `MessageId` of notifications.
const UNSOLICITED: MessageId = MessageId(u64::MAX);

/// Reads until the connection ends.
pub(crate) async fn read_frames<R: AsyncRead + Unpin>(
    mut from: R,
    shared: Arc<Shared>,
    raw: mpsc::Sender<Response>,
) {
    let ended = loop_frames(&mut from, &shared, &raw).await;
    shared.end(ended);
}

async fn loop_frames<R: AsyncRead + Unpin>(
    from: &mut R,
    shared: &Shared,
    raw: &mpsc::Sender<Response>,
) -> Ended {
    let mut buffer = BytesMut::with_capacity(READ_CHUNK);
    loop {
        // The read ends exactly with a large message, so that the next one starts in its own buffer and no large data
        // is moved.
        let room = loop {
            match frame_length(&buffer) {
                Err(ended) => return ended,
                Ok(Some(length)) if buffer.len() >= frame::PREFIX_SIZE + length => {
                    buffer.advance(frame::PREFIX_SIZE);
                    let message = buffer.split_to(length);
                    if let Err(ended) = dispatch(message, shared, raw) {
                        return ended;
                    }
                }
                Ok(Some(length)) => break (frame::PREFIX_SIZE + length - buffer.len()).max(READ_CHUNK / 4),
                Ok(None) => break READ_CHUNK,
            }
        };
        if buffer.capacity() - buffer.len() < room {
            buffer.reserve(room.max(READ_CHUNK));
        }
        match from.read_buf(&mut (&mut buffer).limit(room)).await {
            Ok(0) => return Ended::Io(std::io::ErrorKind::UnexpectedEof),
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

/// The length of the message at the start of `buffer`, once the prefix is complete.
fn frame_length(buffer: &[u8]) -> Result<Option<usize>, Ended> {
    match buffer.first_chunk() {
        None => Ok(None),
        Some(prefix) => frame::decode_prefix(*prefix, FRAME_MAX)
            .map(Some)
            .map_err(|_| Ended::Protocol("a frame is too long or not an SMB2 frame")),
    }
}

fn dispatch(mut message: BytesMut, shared: &Shared, raw: &mpsc::Sender<Response>) -> Result<(), Ended> {
    match PacketKind::of(&message) {
        Ok(PacketKind::Smb2) => messages(message.freeze(), None, shared, raw),
        Ok(PacketKind::Encrypted) => {
            let header = TransformHeader::decode(&message)
                .map_err(|_| Ended::Protocol("a transform header cannot be read"))?;
            let plain = message.split_off(TransformHeader::SIZE);
            let bytes = message.first_chunk().ok_or(Ended::Protocol("a transform header is cut off"))?;
            let plain = open(header.session_id, bytes, plain, shared)?;
            messages(plain, Some(header.session_id), shared, raw)
        }
        _ => Err(Ended::Protocol("a message is neither plain nor encrypted SMB2")),
    }
}

fn open(
    session: SessionId,
    header: &[u8; TransformHeader::SIZE],
    mut message: BytesMut,
    shared: &Shared,
) -> Result<Bytes, Ended> {
    let session = shared.session(session).ok_or(Ended::Protocol("an encrypted message has no session"))?;
    session
        .open(header, &mut message)
        .map_err(|_| Ended::Protocol("an encrypted message fails authentication"))?;
    Ok(message.freeze())
}

fn messages(
    compound: Bytes,
    sealed_for: Option<SessionId>,
    shared: &Shared,
    raw: &mpsc::Sender<Response>,
) -> Result<(), Ended> {
    for step in Compound::new(&compound) {
        let (header, message) = step.map_err(|_| Ended::Protocol("an answer has no SMB2 header"))?;
        if !header.is_response() {
            return Err(Ended::Protocol("the server sent a request"));
        }
        let asked = header.message_id != UNSOLICITED;
        if asked && sealed_for.is_some_and(|session| session != header.session_id) {
            // One session's key does not authenticate another session (MS-SMB2 3.2.5.1.1). Notifications have no
            // session.
            return Err(Ended::Protocol("an encrypted message and its key belong to different sessions"));
        }
        shared.credits.granted(header.credits);
        let sealed = sealed_for.is_some();
        let answer = Response { header, message: compound.slice_ref(message), sealed };
        if header.message_id == UNSOLICITED {
            shared.notify(notification(&answer)?);
        } else if let (NtStatus::PENDING, Some(id)) = (header.status, header.async_id()) {
            shared.went_pending(header.message_id, id);
        } else if let Some(answer) = shared.deliver(answer) {
            // No request is waiting, except for raw answers. Without a reader for these, the answer is dropped.
            raw.try_send(answer).ok();
        }
    }
    Ok(())
}

fn notification(message: &Response) -> Result<Break, Ended> {
    let unreadable = |_| Ended::Protocol("a notification cannot be read");
    match message.header.command {
        Command::OPLOCK_BREAK => match OplockBreakResponse::decode(&message.message).map_err(unreadable)? {
            OplockBreakResponse::Oplock(notification) => Ok(Break::Oplock(notification)),
            OplockBreakResponse::LeaseNotification(notification) => Ok(Break::Lease(notification)),
            OplockBreakResponse::Lease(_) => Err(Ended::Protocol("a notification is an acknowledgment")),
        },
        Command::SERVER_TO_CLIENT_NOTIFICATION => {
            let body = ServerToClientNotification::decode(&message.message).map_err(unreadable)?;
            if body.notification_type != NotificationType::SESSION_CLOSED {
                return Err(Ended::Protocol("a notification of no known type"));
            }
            Ok(Break::SessionClosed(message.header.session_id))
        }
        _ => Err(Ended::Protocol("a notification with a command that has none")),
    }
}
