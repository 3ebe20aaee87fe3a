//! The control API on a named pipe: the bytes of HTTP/1.1 in both directions, with the identity of the session.
//!
//! The pipe has the byte type (MS-FSCC 2.4.36): written data are a stream, and a READ returns the available part of the
//! answer, as soon as there is any. If the server has ended the conversation, READ and WRITE fail with
//! STATUS_PIPE_BROKEN.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::AbortHandle;
use wire::{FileGlobalId, NtStatus};

use crate::admin::Caller;
use crate::core::pipe::{Pipe, PipeMode, Writer};
use crate::core::pipe_usage::Charge;
use crate::core::server::Server;
use crate::core::session::Session;
use crate::fronts::http::Peer;

/// An open pipe that carries the control API.
pub(super) struct ApiPipe {
    answers: tokio::sync::Mutex<ReadHalf<DuplexStream>>,
    requests: tokio::sync::Mutex<WriteHalf<DuplexStream>>,
    conversation: Mutex<Conversation>,
    /// Kept as long as the pipe is open.
    _charge: Charge,
}

/// The server's end of the pipe.
enum Conversation {
    /// No data were written yet.
    Silent(DuplexStream),
    /// The task that answers, and the account for which it answers.
    Begun(AbortHandle, String),
    /// The pipe is closed.
    Over,
}

impl ApiPipe {
    /// Creates a pipe before any data are written.
    pub(super) fn new(charge: Charge) -> Result<Self, NtStatus> {
        if !charge.reserve(2 * BUFFERED) {
            return Err(NtStatus::PIPE_NOT_AVAILABLE);
        }
        let (ours, theirs) = tokio::io::duplex(BUFFERED);
        let (answers, requests) = tokio::io::split(theirs);
        Ok(Self {
            answers: tokio::sync::Mutex::new(answers),
            requests: tokio::sync::Mutex::new(requests),
            conversation: Mutex::new(Conversation::Silent(ours)),
            _charge: charge,
        })
    }

    /// Begins to answer, or checks that the user is still the same. The user's rights are determined at each request.
    fn connect(
        &self,
        server: &Arc<Server>,
        session: &Arc<Session>,
        open: FileGlobalId,
        address: SocketAddr,
    ) -> Result<(), NtStatus> {
        let caller = Caller::of_session(server, session, address);
        let user = caller.user.clone();
        let mut conversation = self.conversation.lock();
        *conversation = match std::mem::replace(&mut *conversation, Conversation::Over) {
            Conversation::Silent(stream) => {
                let peer = Peer::Session { session: Arc::clone(session), open, address, user: user.clone() };
                let serving = crate::fronts::http::serve_pipe(Arc::clone(server), stream, peer, &caller);
                let serving = serving.ok_or(NtStatus::PIPE_NOT_AVAILABLE)?;
                Conversation::Begun(serving, user)
            }
            Conversation::Begun(serving, before) if before == user => Conversation::Begun(serving, before),
            // The session has been reauthenticated as another user.
            Conversation::Begun(serving, _) => {
                serving.abort();
                return Err(NtStatus::PIPE_BROKEN);
            }
            Conversation::Over => return Err(NtStatus::PIPE_BROKEN),
        };
        Ok(())
    }
}

impl Pipe for ApiPipe {
    fn name(&self) -> &'static str {
        control::socket_paths::PIPE
    }

    fn mode(&self) -> PipeMode {
        PipeMode::Byte
    }

    /// Passes on the bytes of a request, and waits if the server has not read earlier ones.
    fn write<'a>(
        &'a self,
        data: &'a [u8],
        by: &'a Writer<'a>,
        written: &'a mut usize,
    ) -> BoxFuture<'a, Result<(), NtStatus>> {
        Box::pin(async move {
            self.connect(by.server, by.session, by.open, by.peer)?;
            let mut requests = self.requests.lock().await;
            while let Some(rest) = data.get(*written..).filter(|rest| !rest.is_empty()) {
                let count = requests.write(rest).await.map_err(|_| NtStatus::PIPE_BROKEN)?;
                if count == 0 {
                    return Err(NtStatus::PIPE_BROKEN);
                }
                *written = written.saturating_add(count);
            }
            Ok(())
        })
    }

    fn read(&self, max: usize) -> BoxFuture<'_, Result<(Vec<u8>, bool), NtStatus>> {
        Box::pin(async move {
            let mut bytes = vec![0; max.min(BUFFERED)];
            if bytes.is_empty() {
                return Ok((bytes, false));
            }
            let got = self.answers.lock().await.read(&mut bytes).await.map_err(|_| NtStatus::PIPE_BROKEN)?;
            bytes.truncate(got);
            if bytes.is_empty() { Err(NtStatus::PIPE_BROKEN) } else { Ok((bytes, false)) }
        })
    }

    fn has_unread(&self) -> bool {
        false
    }

    fn close(&self) {
        let mut conversation = self.conversation.lock();
        if let Conversation::Begun(serving, _) = std::mem::replace(&mut *conversation, Conversation::Over) {
            serving.abort();
        }
    }
}

/// The size of the buffer in each direction: the data of one credit. If it is full, a WRITE waits, and so does the
/// server with its answer.
const BUFFERED: usize = 64 * 1024;
