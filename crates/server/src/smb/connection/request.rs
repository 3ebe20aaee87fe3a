//! A request in the form for its handler.

use std::sync::Arc;

use auth::signing::SigningKey;
use wire::header::{Command, Header, HeaderFlags, TreeOrAsync};
use wire::{Dialect, FileId, NtStatus, SessionId, TreeId};

use super::unread::UnreadData;
use super::{AnswerBuilder, Pending, SmbConnection};
use crate::core::files::replay::Counted;
use crate::core::open::Open;
use crate::core::session::Session;
use crate::core::tree::Tree;

/// The result of a handler: the status of an answer with the body that it wrote, or of one without a body.
pub(crate) type Outcome = Result<NtStatus, NtStatus>;

/// A request with the objects that were looked up for it.
pub(crate) struct Request<'a> {
    pub(crate) connection: &'a SmbConnection,
    pub(crate) header: Header,
    /// The message with its header and padding.
    pub(crate) message: &'a [u8],
    /// The data of a WRITE, if they are not part of `message`.
    pub(crate) unread: Option<&'a UnreadData>,
    /// True if the frame was encrypted.
    pub(crate) sealed: bool,
    /// True for the last request of its compound.
    pub(crate) last: bool,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) tree: Option<Arc<Tree>>,
    pub(crate) chain: &'a mut Chain,
    /// The key that signs the answer.
    pub(crate) signer: Option<Arc<SigningKey>>,
    /// The request's entry among those that change its open.
    pub(crate) counted: Option<Counted>,
    /// True if an interim answer has granted the credits of this request.
    pub(crate) credits_granted: bool,
    /// True if the answer was delayed, so that its duration does not count in the statistics.
    pub(crate) held_back: bool,
}

/// The values that related requests of a compound inherit from those before them (MS-SMB2 3.3.5.2.7.2).
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// True after a request that was not related to another.
    pub(crate) begun: bool,
    pub(crate) session_id: SessionId,
    pub(crate) tree_id: TreeId,
    pub(crate) file: Option<FileId>,
    /// The reason why there is no file.
    pub(crate) create_error: Option<NtStatus>,
}

impl<'a> Request<'a> {
    /// The session; dispatch has looked it up for every command that needs one.
    pub(crate) fn session(&self) -> Result<&Arc<Session>, NtStatus> {
        self.session.as_ref().ok_or(NtStatus::USER_SESSION_DELETED)
    }

    /// The tree connect; dispatch has looked it up for every command that needs one.
    pub(crate) fn tree(&self) -> Result<&Arc<Tree>, NtStatus> {
        self.tree.as_ref().ok_or(NtStatus::NETWORK_NAME_DELETED)
    }

    /// The open of the request's `FileId` (MS-SMB2 3.3.5.10 and related sections).
    pub(crate) fn open(&mut self, id: FileId) -> Result<Arc<Open>, NtStatus> {
        let id = if self.header.is_related() {
            if let Some(status) = self.chain.create_error {
                return Err(status);
            }
            self.chain.file.unwrap_or(id)
        } else {
            id
        };
        let Some(open) = self.session()?.open(id) else {
            // Files of a share that was given up are closed before its tree connects end. Clients come back to the next owner
            // when they hear of the end of the tree connect, while a closed file is the end for them.
            let is_given_up = self.tree.as_ref().is_some_and(|tree| tree.is_fenced());
            return Err(if is_given_up { NtStatus::NETWORK_NAME_DELETED } else { NtStatus::FILE_CLOSED });
        };
        if !Arc::ptr_eq(open.tree(), self.tree()?) {
            return Err(NtStatus::FILE_CLOSED);
        }
        self.chain.file = Some(id);
        if open.use_first() {
            self.connection.server.registry.forget_replay(open.global_id());
        }
        self.count(&open)?;
        Ok(open)
    }

    /// Verifies the channel sequence of a request that changes data (MS-SMB2 3.3.5.2.10).
    fn count(&mut self, open: &Open) -> Result<(), NtStatus> {
        if !self.is_smb3() {
            return Ok(());
        }
        let changes = matches!(self.header.command, Command::WRITE | Command::SET_INFO | Command::IOCTL);
        if !changes {
            open.channel.note(self.header.channel_sequence());
        } else if self.counted.is_none() {
            let is_replay = self.header.flags.contains(HeaderFlags::REPLAY_OPERATION);
            self.counted = Some(open.channel.begin(self.header.channel_sequence(), is_replay)?);
        }
        Ok(())
    }

    /// True if the connection's dialect is of the SMB 3.x family.
    pub(crate) fn is_smb3(&self) -> bool {
        self.connection.negotiated.get().is_some_and(|it| it.dialect >= Dialect::SMB300)
    }

    /// Checks that the credit charge covers this payload, in either direction (MS-SMB2 3.3.5.2.5).
    pub(crate) fn check_charge(&self, bytes: u32) -> Result<(), NtStatus> {
        let multi_credit = self.connection.negotiated.get().is_some_and(|it| it.dialect >= Dialect::SMB210);
        let paid = if multi_credit { u32::from(self.header.credit_charge.max(1)) } else { 1 };
        if bytes.saturating_sub(1) / CREDIT_BYTES < paid { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER) }
    }

    /// Sends the interim answer that the request takes a while (MS-SMB2 3.3.4.2), after the answers of the
    /// compound so far. Only the last request of a compound may wait, and a CREATE whose caller allows it
    /// (MS-SMB2 3.3.5.2.7, note on asynchronous requests).
    pub(crate) fn wait(&mut self, answer: &mut AnswerBuilder) -> Result<Pending<'a>, NtStatus> {
        if !self.last {
            return Err(NtStatus::INTERNAL_ERROR);
        }
        self.wait_anywhere(answer)
    }

    /// Waits as [`Self::wait`] does, for requests that may wait in the middle of a compound.
    pub(crate) fn wait_anywhere(&mut self, answer: &mut AnswerBuilder) -> Result<Pending<'a>, NtStatus> {
        let pending = self.wait_untold()?;
        self.tell_waiting(answer, &pending);
        Ok(pending)
    }

    /// Adds a waiting request to those that can be cancelled, without an interim answer, as Windows does if a
    /// request other than CREATE waits for an oplock break. The answers of the compound so far stay with its
    /// own.
    pub(crate) fn wait_untold(&mut self) -> Result<Pending<'a>, NtStatus> {
        let must_seal = self.tree.as_ref().is_some_and(|tree| tree.must_seal());
        let entered = self.connection.pending.enter(self.header.message_id, self.session.clone(), must_seal);
        // The duration depends on others than the server.
        self.held_back = true;
        entered.ok_or(NtStatus::INSUFFICIENT_RESOURCES)
    }

    /// Sends the interim answer to a waiting request.
    pub(crate) fn tell_waiting(&mut self, answer: &mut AnswerBuilder, pending: &Pending<'a>) {
        let connection = self.connection;
        connection.push(answer.split(connection.buffer()));
        self.header.tree = TreeOrAsync::Async(pending.async_id());
        let credits = connection.grant_credits(self.header.credits);
        self.credits_granted = true;
        let seal = self.session.clone().filter(|_| self.sealed);
        let mut interim = AnswerBuilder::new(connection.buffer(), seal);
        interim.begin();
        wire::msg::error::ErrorResponse::default().encode(interim.body(), 0);
        // An interim answer is never signed (MS-SMB2 3.3.4.1.1).
        let header: Header = self.header.response(NtStatus::PENDING, credits);
        interim.finish(&header, None);
        connection.push(interim.complete());
        // The connection's task may be waiting for input.
        connection.output_ready.notify_one();
    }
}

/// The bytes that one credit pays for.
const CREDIT_BYTES: u32 = 64 * 1024;
