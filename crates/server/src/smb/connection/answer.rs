//! Building one frame of answers: space for the prefix, the messages of a compound with their padding and
//! signatures, and the encryption of all of it (MS-SMB2 3.3.4.1).

use std::sync::Arc;

use auth::signing::SigningKey;
use wire::header::{Header, TransformHeader};

use super::output::{Answer, FRAME_PREFIX, Tail};
use crate::core::session::Session;

/// A frame of answers under construction.
pub(crate) struct AnswerBuilder {
    bytes: Vec<u8>,
    /// The start of the message being built.
    base: usize,
    /// The finished messages, with their starts and signing keys.
    finished: Vec<Finished>,
    tail: Option<Tail>,
    seal: Option<Arc<Session>>,
}

struct Finished {
    base: usize,
    signer: Option<Arc<SigningKey>>,
}

impl AnswerBuilder {
    /// Creates a frame without messages, in a reused buffer; it is encrypted for the session `seal`.
    pub(crate) fn new(mut bytes: Vec<u8>, seal: Option<Arc<Session>>) -> Self {
        bytes.clear();
        bytes.resize(FRAME_PREFIX + if seal.is_some() { TransformHeader::SIZE } else { 0 }, 0);
        let base = bytes.len();
        Self { bytes, base, finished: Vec::new(), tail: None, seal }
    }

    /// Starts the next message: space for its header is reserved, and its body can be appended to
    /// [`Self::body`].
    pub(crate) fn begin(&mut self) {
        if let Some(previous) = self.finished.last() {
            let length = (self.bytes.len() - previous.base).next_multiple_of(8);
            self.bytes.resize(previous.base + length, 0);
            self.lead_on(u32::try_from(length).unwrap_or(u32::MAX));
        }
        self.base = self.bytes.len();
        self.bytes.resize(self.base + Header::SIZE, 0);
    }

    /// The buffer; its end is the end of the message being built.
    pub(crate) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Moves the frame into `filled` and appends `length` bytes, which are those that this buffer had there, or zeros. Returns
    /// the buffer that the frame was in.
    pub(super) fn append_room(&mut self, mut filled: Vec<u8>, length: usize) -> Vec<u8> {
        let start = self.bytes.len();
        let end = start.saturating_add(length);
        filled.reserve_exact(end.saturating_sub(filled.len()));
        filled.resize(end, 0);
        if let Some(first) = filled.get_mut(..start) {
            first.copy_from_slice(&self.bytes);
        }
        std::mem::replace(&mut self.bytes, filled)
    }

    /// The start of the message being built in [`Self::body`].
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Removes the body of the message being built.
    pub(crate) fn clear_body(&mut self) {
        self.bytes.truncate(self.base + Header::SIZE);
        self.tail = None;
    }

    /// True if [`Self::set_tail`] can be used: no signature or encryption needs the content.
    pub(crate) fn may_have_tail(&self) -> bool {
        self.seal.is_none() && self.finished.is_empty()
    }

    /// Ends the frame with file content that is sent from the file.
    pub(crate) fn set_tail(&mut self, tail: Tail) {
        self.tail = Some(tail);
    }

    /// Ends the message being built with its header. It is signed once its padding is known.
    pub(crate) fn finish(&mut self, header: &Header, signer: Option<Arc<SigningKey>>) {
        if let Some(room) = self.bytes.get_mut(self.base..self.base + Header::SIZE) {
            room.copy_from_slice(&header.to_bytes());
        }
        self.finished.push(Finished { base: self.base, signer });
    }

    /// The last finished message, as on the wire except for its signature.
    pub(crate) fn last_message(&self) -> &[u8] {
        self.finished.last().and_then(|last| self.bytes.get(last.base..)).unwrap_or_default()
    }

    /// Takes the finished messages out as a frame of their own; the message being built becomes the first of
    /// a new frame. `None` if no message is finished.
    pub(crate) fn split(&mut self, spare: Vec<u8>) -> Option<Answer> {
        if self.finished.is_empty() {
            return None;
        }
        let rest = self.bytes.split_off(self.base);
        // The next message is in the next frame.
        self.lead_on(0);
        let mut next = Self::new(spare, self.seal.clone());
        next.base = next.bytes.len();
        next.bytes.extend_from_slice(&rest);
        std::mem::replace(self, next).complete()
    }

    /// Sets `NextCommand` of the last finished message.
    fn lead_on(&mut self, next: u32) {
        let Some(field) = self.finished.last().map(|last| last.base + Header::NEXT_COMMAND_OFFSET) else {
            return;
        };
        if let Some(field) = self.bytes.get_mut(field..field + 4) {
            field.copy_from_slice(&next.to_le_bytes());
        }
    }

    /// The complete frame, signed and encrypted; `None` if it has no message. If it cannot be protected as
    /// required, it ends the connection, because the client would wait for its answer forever.
    pub(crate) fn complete(mut self) -> Option<Answer> {
        if self.finished.is_empty() {
            return None;
        }
        // Every message of a compound is padded, including the last one, as in Windows.
        if let [_, .., last] = self.finished.as_slice() {
            let padded = last.base + (self.bytes.len() - last.base).next_multiple_of(8);
            self.bytes.resize(padded, 0);
        }
        let mut end = self.bytes.len();
        for message in self.finished.iter().rev() {
            if let (Some(signer), Some(bytes)) = (&message.signer, self.bytes.get_mut(message.base..end)) {
                // Signing fails only for messages shorter than a header, which are never built.
                if signer.sign(bytes).is_err() {
                    return Some(Answer::unsendable());
                }
            }
            end = message.base;
        }
        Some(self.frame().unwrap_or_else(Answer::unsendable))
    }

    /// Encrypts the messages and prepends their length; `None` if that fails.
    fn frame(mut self) -> Option<Answer> {
        if let Some(session) = &self.seal {
            let (transform, payload) = self.bytes.get_mut(FRAME_PREFIX..)?.split_first_chunk_mut()?;
            // Without a fresh nonce, nothing may be sent under this key.
            session.seal(transform, payload).ok()?;
        }
        let length = self.bytes.len() - FRAME_PREFIX + self.tail.as_ref().map_or(0, |tail| tail.length);
        let length = u32::try_from(length).ok()?;
        *self.bytes.first_chunk_mut::<FRAME_PREFIX>()? = length.to_be_bytes();
        Some(Answer { bytes: self.bytes, tail: self.tail, unsendable: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_a_split_frame_has_no_next_command() {
        let mut answer = AnswerBuilder::new(Vec::new(), None);
        for body in [&[1_u8; 9][..], &[2; 4]] {
            answer.begin();
            answer.body().extend_from_slice(body);
            answer.finish(&Header::default(), None);
        }
        answer.begin();
        answer.body().push(3);
        let first = answer.split(Vec::new()).expect("two messages").bytes;
        let next = |message: &[u8]| Header::decode(message).expect("a header").next_command;
        let messages = first.get(FRAME_PREFIX..).expect("a frame");
        assert_eq!(next(messages), 80, "64 bytes, 9, and their padding");
        let second = messages.get(80..).expect("a second message");
        assert_eq!(next(second), 0);
        assert_eq!(messages.len(), 80 + 72);

        answer.finish(&Header::default(), None);
        let rest = answer.complete().expect("one message").bytes;
        assert_eq!(rest.get(FRAME_PREFIX + Header::SIZE..), Some(&[3][..]));
    }

    #[test]
    fn appended_room_keeps_the_frame_and_takes_the_memory_of_the_buffer() {
        let filled = vec![7; 1000];
        let memory = filled.as_ptr();
        for (length, expected) in [(0, &[][..]), (100, &[7; 100]), (1000, &[7; 1000])] {
            let mut answer = AnswerBuilder::new(Vec::new(), None);
            answer.begin();
            answer.body().extend_from_slice(b"body");
            let before = answer.body().clone();
            let replaced = answer.append_room(filled.clone(), length);
            assert_eq!(replaced, before);
            let (frame, room) = answer.body().split_at(before.len());
            assert_eq!(frame, before);
            let inherited = expected.len().min(1000 - before.len());
            assert_eq!(room.len(), length);
            assert_eq!(room.get(..inherited), expected.get(..inherited));
            assert!(room.iter().skip(inherited).all(|byte| *byte == 0));
        }
        let mut answer = AnswerBuilder::new(Vec::new(), None);
        answer.append_room(filled, 500);
        assert_eq!(answer.body().as_ptr(), memory, "the buffer is large enough");
    }

    #[test]
    fn an_answer_that_cannot_be_sealed_ends_its_connection() {
        let id = wire::SessionGlobalId::new(1).expect("an id");
        let keyless = Session::new(wire::SessionId(1), id, Arc::default());
        let mut answer = AnswerBuilder::new(Vec::new(), Some(Arc::new(keyless)));
        assert!(AnswerBuilder::new(Vec::new(), None).complete().is_none(), "no message, no frame");
        answer.begin();
        answer.finish(&Header::default(), None);
        assert!(answer.complete().is_some_and(|answer| answer.unsendable));
    }
}
