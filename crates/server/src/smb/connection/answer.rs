//! One frame of answers being built: room for what goes before, the messages of a compound with
//! their padding and signatures, and the seal around all of it (MS-SMB2 3.3.4.1).

use std::sync::Arc;

use auth::signing::SigningKey;
use wire::header::{Header, TransformHeader};

use super::output::{Answer, FRAME_PREFIX, Tail};
use crate::core::session::Session;

/// A frame of answers under construction.
pub(crate) struct AnswerBuilder {
    bytes: Vec<u8>,
    /// Where the message being built starts.
    base: usize,
    /// The messages that are finished: where they start and who signs them.
    finished: Vec<Finished>,
    tail: Option<Tail>,
    seal: Option<Arc<Session>>,
}

struct Finished {
    base: usize,
    signer: Option<Arc<SigningKey>>,
}

impl AnswerBuilder {
    /// A frame without messages, in a buffer that may be used again; sealed for `seal`.
    pub(crate) fn new(mut bytes: Vec<u8>, seal: Option<Arc<Session>>) -> Self {
        bytes.clear();
        bytes.resize(FRAME_PREFIX + if seal.is_some() { TransformHeader::SIZE } else { 0 }, 0);
        let base = bytes.len();
        Self { bytes, base, finished: Vec::new(), tail: None, seal }
    }

    /// Starts the next message: its header is still to come, its body may be appended to [`Self::body`].
    pub(crate) fn begin(&mut self) {
        if let Some(previous) = self.finished.last() {
            let length = (self.bytes.len() - previous.base).next_multiple_of(8);
            self.bytes.resize(previous.base + length, 0);
            self.lead_on(u32::try_from(length).unwrap_or(u32::MAX));
        }
        self.base = self.bytes.len();
        self.bytes.resize(self.base + Header::SIZE, 0);
    }

    /// The buffer, whose end is the end of the message being built.
    pub(crate) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Where the message being built starts in [`Self::body`].
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Forgets the body of the message being built.
    pub(crate) fn clear_body(&mut self) {
        self.bytes.truncate(self.base + Header::SIZE);
        self.tail = None;
    }

    /// Whether [`Self::set_tail`] may be used: nothing has to be computed over the content.
    pub(crate) fn may_have_tail(&self) -> bool {
        self.seal.is_none() && self.finished.is_empty()
    }

    /// Ends the frame with file content that is not in memory.
    pub(crate) fn set_tail(&mut self, tail: Tail) {
        self.tail = Some(tail);
    }

    /// Ends the message being built with its header. A signer signs it once its padding is known.
    pub(crate) fn finish(&mut self, header: &Header, signer: Option<Arc<SigningKey>>) {
        if let Some(room) = self.bytes.get_mut(self.base..self.base + Header::SIZE) {
            room.copy_from_slice(&header.to_bytes());
        }
        self.finished.push(Finished { base: self.base, signer });
    }

    /// The message that was finished last, as it is on the wire but for its signature.
    pub(crate) fn last_message(&self) -> &[u8] {
        self.finished.last().and_then(|last| self.bytes.get(last.base..)).unwrap_or_default()
    }

    /// Takes out the messages that are finished, as a frame of their own; the message being built
    /// becomes the first of a new frame. None if there is nothing to take out.
    pub(crate) fn split(&mut self, spare: Vec<u8>) -> Option<Answer> {
        if self.finished.is_empty() {
            return None;
        }
        let rest = self.bytes.split_off(self.base);
        // What would have followed comes in the next frame.
        self.lead_on(0);
        let mut next = Self::new(spare, self.seal.clone());
        next.base = next.bytes.len();
        next.bytes.extend_from_slice(&rest);
        std::mem::replace(self, next).complete()
    }

    /// Sets `NextCommand` of the message that was finished last.
    fn lead_on(&mut self, next: u32) {
        let Some(field) = self.finished.last().map(|last| last.base + Header::NEXT_COMMAND_OFFSET) else {
            return;
        };
        if let Some(field) = self.bytes.get_mut(field..field + 4) {
            field.copy_from_slice(&next.to_le_bytes());
        }
    }

    /// The whole frame, signed and sealed; none if it has no message. One that cannot be protected as it must be ends
    /// the connection: a client that waits for an answer for ever is not better off.
    pub(crate) fn complete(mut self) -> Option<Answer> {
        if self.finished.is_empty() {
            return None;
        }
        // Every message of a compound is padded, the last one too, as Windows does.
        if let [_, .., last] = self.finished.as_slice() {
            let padded = last.base + (self.bytes.len() - last.base).next_multiple_of(8);
            self.bytes.resize(padded, 0);
        }
        let mut end = self.bytes.len();
        for message in self.finished.iter().rev() {
            if let (Some(signer), Some(bytes)) = (&message.signer, self.bytes.get_mut(message.base..end)) {
                // Only a message shorter than a header fails, and none is built.
                if signer.sign(bytes).is_err() {
                    return Some(Answer::unsendable());
                }
            }
            end = message.base;
        }
        Some(self.frame().unwrap_or_else(Answer::unsendable))
    }

    /// Seals the messages and puts their length before them; none if that cannot be.
    fn frame(mut self) -> Option<Answer> {
        if let Some(session) = &self.seal {
            let (transform, payload) = self.bytes.get_mut(FRAME_PREFIX..)?.split_first_chunk_mut()?;
            // Without a fresh nonce nothing may be sent under this key.
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
    fn what_is_split_off_leads_nowhere() {
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
