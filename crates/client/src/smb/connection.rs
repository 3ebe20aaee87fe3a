//! A connection: requests out, answers back, any number under way.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;
use wire::cursor::Put;
use wire::msg::{CancelRequest, EchoRequest};
use wire::{AsyncId, Command, HeaderFlags, MessageId, SessionId};

use super::breaks::{Break, Breaks};
use super::credits::{Credits, charge};
use super::error::{Ended, Error};
use super::limits;
use super::negotiate::{self, Negotiated};
use super::options::ConnectOptions;
use super::protection::{Expected, SessionState, verify};
use super::receive::read_frames;
use super::renewal;
use super::request::{Part, Response, Scope};
use super::send::{Frame, HEAD_ROOM, Numbers, finish_frame, finish_message, write_frames};

/// A connection to a server. Clones are the same connection; it closes when the last of them, and of the
/// sessions over it, is dropped.
#[derive(Clone)]
pub struct ClientConnection {
    handle: Arc<Handle>,
}

/// A request that was sent. Dropping it leaves the answer to be thrown away when it comes.
#[derive(Debug)]
pub struct InFlight {
    /// The message id it was sent with.
    pub message_id: MessageId,
    /// The command.
    pub command: Command,
    scope: Scope,
    answer: oneshot::Receiver<Response>,
    shared: Arc<Shared>,
    again: Option<Again>,
}

/// The means to send a request again after its session was renewed.
#[derive(Debug)]
struct Again {
    part: Part,
    /// The renewals of the session when the request was sent.
    seen: u64,
    /// The caller may drop the connection while it waits.
    handle: Weak<Handle>,
}

impl ClientConnection {
    /// Connects, from `local` if it is given, and negotiates.
    pub async fn connect(
        server: SocketAddr,
        local: Option<SocketAddr>,
        options: ConnectOptions,
    ) -> Result<Self, Error> {
        let limit = options.connect_timeout;
        let connect = async {
            let connection = Self::open(server, local, options).await?;
            connection.negotiate().await?;
            Ok(connection)
        };
        tokio::time::timeout(limit, connect).await.unwrap_or(Err(Error::TimedOut(Command::NEGOTIATE)))
    }

    /// Connects and sends nothing.
    pub async fn open(
        server: SocketAddr,
        local: Option<SocketAddr>,
        options: ConnectOptions,
    ) -> Result<Self, Error> {
        let stream = match local {
            None => TcpStream::connect(server).await?,
            Some(local) => {
                let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(local)?;
                socket.connect(server).await?
            }
        };
        stream.set_nodelay(true)?;
        let (from, to) = stream.into_split();
        Ok(Self::over(from, to, options))
    }

    /// A connection over any two streams; nothing is sent yet. To be called within a tokio runtime.
    pub fn over<R, W>(from: R, to: W, options: ConnectOptions) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (outgoing, frames) = mpsc::channel(limits::SEND_QUEUE);
        let (raw, raw_answers) = mpsc::channel(limits::RAW_KEPT);
        let shared = Arc::new(Shared {
            credits: Credits::new(options.credits),
            negotiated: OnceLock::new(),
            options,
            state: Mutex::default(),
            sessions: Mutex::default(),
            interim: Notify::new(),
            breaks: Mutex::new(Some(broadcast::Sender::new(limits::BREAKS_KEPT))),
        });
        let reader = tokio::spawn(read_frames(from, Arc::clone(&shared), raw)).abort_handle();
        let writer = tokio::spawn(write_frames(to, frames, Arc::clone(&shared))).abort_handle();
        let raw_answers = tokio::sync::Mutex::new(raw_answers);
        let outgoing = Mutex::new(Some(outgoing));
        Self { handle: Arc::new(Handle { shared, outgoing, raw_answers, reader, writer }) }
    }

    /// Negotiates, which is the first thing to be done and is done once.
    pub async fn negotiate(&self) -> Result<&Negotiated, Error> {
        let negotiated = negotiate::negotiate(self).await?;
        Ok(self.shared().negotiated.get_or_init(|| negotiated))
    }

    /// The result of the negotiation.
    pub fn negotiated(&self) -> Result<&Negotiated, Error> {
        self.shared().negotiated.get().ok_or(Error::Unable("nothing has been negotiated yet"))
    }

    /// The options of the connection.
    pub fn options(&self) -> &ConnectOptions {
        &self.shared().options
    }

    /// Sends a request and waits for its answer, whatever its status.
    pub async fn request(&self, scope: &Scope, part: Part) -> Result<Response, Error> {
        self.submit(scope, part).await?.response().await
    }

    /// Sends a request, once there are credits for it.
    pub async fn submit(&self, scope: &Scope, part: Part) -> Result<InFlight, Error> {
        let again = renewal::seen(scope).map(|seen| Again {
            part: part.clone(),
            seen,
            handle: Arc::downgrade(&self.handle),
        });
        Ok(InFlight { again, ..self.submit_tapped(scope, part, |_| {}).await? })
    }

    /// As [`submit`](Self::submit), once only; also passes the message as sent to `tap`.
    pub(crate) async fn submit_tapped(
        &self,
        scope: &Scope,
        mut part: Part,
        tap: impl FnOnce(&[u8]),
    ) -> Result<InFlight, Error> {
        let shared = self.shared();
        let charge = shared.charge(&part);
        let reserved = self.timed(part.command, shared.credits.reserve(charge.into())).await?;
        let reserved = reserved.map_err(|_| shared.ended())?;
        let outgoing = self.outgoing()?;
        // A server that reads nothing fills the queue.
        let slot = self.timed(part.command, outgoing.reserve()).await?.map_err(|_| shared.ended())?;
        let message_id = shared.credits.spend(reserved);
        let numbers = Numbers {
            message_id,
            charge: shared.wire_charge(charge),
            credits: shared.credits.request(charge),
            flags: HeaderFlags::NONE,
            next_command: 0,
        };
        finish_message(&mut part, scope, numbers)?;
        tap(part.buffer.get(HEAD_ROOM..).unwrap_or_default());
        let in_flight = self.expect(message_id, part.command, scope)?;
        slot.send(finish_frame(part.buffer, part.data, scope)?);
        Ok(in_flight)
    }

    /// Sends requests as one compound. With `related`, all but the first are related to the previous one (MS-SMB2
    /// 3.2.4.1.4); the file of a related request is [`wire::FileId::RELATED`].
    pub async fn submit_compound(
        &self,
        scope: &Scope,
        parts: Vec<Part>,
        related: bool,
    ) -> Result<Vec<InFlight>, Error> {
        let shared = self.shared();
        let Some(first) = parts.first() else { return Ok(Vec::new()) };
        let charges: Vec<u16> = parts.iter().map(|part| shared.charge(part)).collect();
        let total = charges.iter().copied().map(u32::from).sum();
        let reserved = self.timed(first.command, shared.credits.reserve(total)).await?;
        let reserved = reserved.map_err(|_| shared.ended())?;
        let outgoing = self.outgoing()?;
        let slot = self.timed(first.command, outgoing.reserve()).await?.map_err(|_| shared.ended())?;
        let mut message_id = shared.credits.spend(reserved);
        let mut buffer = vec![0; HEAD_ROOM];
        let mut in_flight = Vec::with_capacity(parts.len());
        let last = parts.len().saturating_sub(1);
        for (index, (mut part, charge)) in parts.into_iter().zip(charges).enumerate() {
            part.buffer.extend_from_slice(&std::mem::take(&mut part.data));
            if index < last {
                part.buffer.pad_to(HEAD_ROOM, 8);
            }
            let length = part.buffer.len().saturating_sub(HEAD_ROOM);
            let next_command = if index < last { u32::try_from(length).unwrap_or(u32::MAX) } else { 0 };
            let flags =
                if related && index > 0 { HeaderFlags::RELATED_OPERATIONS } else { HeaderFlags::NONE };
            let numbers = Numbers {
                message_id,
                charge: shared.wire_charge(charge),
                credits: shared.credits.request(charge),
                flags,
                next_command,
            };
            finish_message(&mut part, scope, numbers)?;
            buffer.extend_from_slice(part.buffer.get(HEAD_ROOM..).unwrap_or_default());
            in_flight.push(self.expect(message_id, part.command, scope)?);
            message_id.0 = message_id.0.wrapping_add(charge.into());
        }
        slot.send(finish_frame(buffer, Bytes::new(), scope)?);
        Ok(in_flight)
    }

    /// Sends requests as one compound and waits for all answers, whatever their statuses.
    pub async fn request_compound(
        &self,
        scope: &Scope,
        parts: Vec<Part>,
        related: bool,
    ) -> Result<Vec<Response>, Error> {
        let Some(seen) = renewal::seen(scope) else {
            return self.compound_answers(scope, parts, related).await?.into_iter().collect();
        };
        let answers = self.compound_answers(scope, parts.clone(), related).await?;
        // The others fail with the first, and Samba does not sign their answers.
        if !matches!(answers.first(), Some(Ok(first)) if renewal::is_due(first)) {
            return answers.into_iter().collect();
        }
        renewal::renew(self, scope, seen).await?;
        self.compound_answers(scope, parts, related).await?.into_iter().collect()
    }

    async fn compound_answers(
        &self,
        scope: &Scope,
        parts: Vec<Part>,
        related: bool,
    ) -> Result<Vec<Result<Response, Error>>, Error> {
        let mut answers = Vec::with_capacity(parts.len());
        for in_flight in self.submit_compound(scope, parts, related).await? {
            answers.push(in_flight.response().await);
        }
        Ok(answers)
    }

    /// Requests the cancellation of a request; a CANCEL has no answer (MS-SMB2 3.2.4.24).
    pub async fn cancel(&self, request: &InFlight) -> Result<(), Error> {
        self.cancel_message(request.message_id, &request.scope).await
    }

    /// As [`cancel`](Self::cancel) for a request whose answer is awaited.
    pub async fn cancel_message(&self, message_id: MessageId, scope: &Scope) -> Result<(), Error> {
        let mut part = Part::new(Command::CANCEL, |out, base| CancelRequest.encode(out, base));
        part.asynchronous = self.shared().lock().pending.get(&message_id.0).and_then(|p| p.asynchronous);
        let numbers =
            Numbers { message_id, charge: 0, credits: 0, flags: HeaderFlags::NONE, next_command: 0 };
        finish_message(&mut part, scope, numbers)?;
        self.send(Command::CANCEL, finish_frame(part.buffer, part.data, scope)?).await
    }

    /// ECHO (MS-SMB2 2.2.28).
    pub async fn echo(&self) -> Result<(), Error> {
        let part = Part::new(Command::ECHO, |out, base| EchoRequest.encode(out, base));
        self.request(&Scope::default(), part).await?.success().map(|_| ())
    }

    /// The notifications of the server from now on.
    pub fn breaks(&self) -> Breaks {
        let breaks = self.shared().breaks.lock();
        // A connection that has ended sends nothing more: this sender is dropped at once.
        Breaks(
            breaks
                .as_ref()
                .map_or_else(|| broadcast::Sender::new(1).subscribe(), broadcast::Sender::subscribe),
        )
    }

    /// Sends bytes as one message, unsigned, unsealed and unchecked. Its answers come to
    /// [`raw_recv`](Self::raw_recv), unless they answer another request.
    pub async fn raw_send(&self, message: &[u8]) -> Result<(), Error> {
        self.send(Command::default(), Frame::raw(message)?).await
    }

    /// The next answer that no request of this connection waits for; [`Error::Io`] when it has ended.
    pub async fn raw_recv(&self) -> Result<Response, Error> {
        let mut answers = self.handle.raw_answers.lock().await;
        let next = self.timed(Command::default(), answers.recv()).await?;
        next.ok_or_else(|| self.shared().ended())
    }

    /// Takes `charge` message ids out of use for [`raw_send`](Self::raw_send), waiting for credits: the first.
    pub async fn take_message_ids(&self, charge: u16) -> Result<MessageId, Error> {
        let shared = self.shared();
        let reserved = self.timed(Command::default(), shared.credits.reserve(charge.into())).await?;
        Ok(shared.credits.spend(reserved.map_err(|_| shared.ended())?))
    }

    /// The credits held now.
    pub fn credits(&self) -> usize {
        self.shared().credits.available()
    }

    /// True if the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.shared().lock().ended.is_some()
    }

    /// Ends the connection like a cut cable: requests in progress fail.
    pub fn disconnect(&self) {
        self.handle.end();
        self.handle.writer.abort();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    async fn send(&self, command: Command, frame: Frame) -> Result<(), Error> {
        let outgoing = self.outgoing()?;
        self.timed(command, outgoing.send(frame)).await?.map_err(|_| self.shared().ended())
    }

    fn outgoing(&self) -> Result<mpsc::Sender<Frame>, Error> {
        let outgoing = self.handle.outgoing.lock();
        outgoing.clone().ok_or_else(|| self.shared().ended())
    }

    /// Registers a request whose answer is to come.
    fn expect(&self, message_id: MessageId, command: Command, scope: &Scope) -> Result<InFlight, Error> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.shared().lock();
        if let Some(ended) = state.ended {
            return Err(ended.into());
        }
        state.pending.insert(message_id.0, Pending { answer: sender, asynchronous: None });
        drop(state);
        let (scope, shared) = (scope.clone(), Arc::clone(self.shared()));
        Ok(InFlight { message_id, command, scope, answer, shared, again: None })
    }

    async fn timed<T>(&self, command: Command, wait: impl Future<Output = T>) -> Result<T, Error> {
        let limit = self.shared().options.request_timeout;
        tokio::time::timeout(limit, wait).await.map_err(|_| Error::TimedOut(command))
    }
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("negotiated", &self.shared().negotiated).finish_non_exhaustive()
    }
}

impl InFlight {
    /// Waits for the answer, whatever its status.
    pub async fn response(self) -> Result<Response, Error> {
        let limit = self.shared.options.request_timeout;
        self.response_within(limit).await
    }

    /// As [`response`](Self::response) with a time limit.
    pub async fn response_within(mut self, limit: Duration) -> Result<Response, Error> {
        let (again, scope) = (self.again.take(), self.scope.clone());
        let answer = self.answer_within(limit).await?;
        let Some(Again { part, seen, handle }) = again.filter(|_| renewal::is_due(&answer)) else {
            return Ok(answer);
        };
        let Some(handle) = handle.upgrade() else { return Ok(answer) };
        let connection = ClientConnection { handle };
        renewal::renew(&connection, &scope, seen).await?;
        connection.submit_tapped(&scope, part, |_| {}).await?.answer_within(limit).await
    }

    /// As [`response`](Self::response), without a renewal of the session.
    pub(crate) async fn only_response(self) -> Result<Response, Error> {
        let limit = self.shared.options.request_timeout;
        self.answer_within(limit).await
    }

    async fn answer_within(self, limit: Duration) -> Result<Response, Error> {
        let answer = tokio::time::timeout(limit, self.answer).await;
        let answer = answer.map_err(|_| Error::TimedOut(self.command))?.map_err(|_| self.shared.ended())?;
        if answer.header.command != self.command {
            return Err(Error::Protocol("an answer is to another command"));
        }
        let expected = Expected { signed: self.scope.signed, sealed: self.scope.sealed };
        verify(self.scope.state.as_deref(), expected, &answer)?;
        Ok(answer)
    }

    /// Waits for an interim response (STATUS_PENDING) and returns its `AsyncId`; `None` if the final response came
    /// first or the connection ended.
    pub async fn pending(&self) -> Option<AsyncId> {
        loop {
            let interim = self.shared.interim.notified();
            match self.shared.lock().pending.get(&self.message_id.0).map(|pending| pending.asynchronous) {
                None => return None,
                Some(Some(id)) => return Some(id),
                Some(None) => {}
            }
            interim.await;
        }
    }
}

/// The state that the connection's tasks and users share.
///
/// The locks are held for a few instructions each, never two at once and never across an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) credits: Credits,
    pub(crate) options: ConnectOptions,
    negotiated: OnceLock<Negotiated>,
    state: Mutex<State>,
    sessions: Mutex<HashMap<SessionId, Arc<SessionState>>>,
    /// Notified when a request becomes pending or is answered.
    interim: Notify,
    breaks: Mutex<Option<broadcast::Sender<Break>>>,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<u64, Pending>,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Response>,
    asynchronous: Option<AsyncId>,
}

impl Shared {
    pub(crate) fn session(&self, id: SessionId) -> Option<Arc<SessionState>> {
        self.sessions().get(&id).cloned()
    }

    pub(crate) fn add_session(&self, session: Arc<SessionState>) -> Result<(), Error> {
        let mut sessions = self.sessions();
        if sessions.len() >= limits::SESSIONS_MAX {
            return Err(Error::Unable("the connection has too many sessions"));
        }
        sessions.insert(session.id, session);
        Ok(())
    }

    pub(crate) fn remove_session(&self, id: SessionId) {
        self.sessions().remove(&id);
    }

    /// Delivers an answer to the waiting request; returns it if none waits.
    pub(crate) fn deliver(&self, answer: Response) -> Option<Response> {
        let pending = self.lock().pending.remove(&answer.header.message_id.0);
        let Some(pending) = pending else { return Some(answer) };
        // The caller may have stopped waiting.
        pending.answer.send(answer).ok();
        self.interim.notify_waiters();
        None
    }

    pub(crate) fn went_pending(&self, message_id: MessageId, id: AsyncId) {
        if let Some(pending) = self.lock().pending.get_mut(&message_id.0) {
            pending.asynchronous = Some(id);
        }
        self.interim.notify_waiters();
    }

    pub(crate) fn notify(&self, notification: Break) {
        let breaks = self.breaks.lock();
        if let Some(breaks) = breaks.as_ref() {
            // There may be no listener.
            breaks.send(notification).ok();
        }
    }

    /// Ends the connection: all waiting and future requests fail.
    pub(crate) fn end(&self, ended: Ended) {
        let mut state = self.lock();
        state.ended.get_or_insert(ended);
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        drop(pending);
        self.credits.close();
        self.breaks.lock().take();
        self.interim.notify_waiters();
    }

    pub(crate) fn ended(&self) -> Error {
        self.lock().ended.unwrap_or(Ended::Io(std::io::ErrorKind::NotConnected)).into()
    }

    fn multi_credit(&self) -> bool {
        self.negotiated.get().is_some_and(|negotiated| negotiated.multi_credit)
    }

    /// Credits that a request costs.
    fn charge(&self, part: &Part) -> u16 {
        if self.multi_credit() { charge(part.carries) } else { 1 }
    }

    /// The charge in the header: none before 2.1 (MS-SMB2 2.2.1.2).
    fn wire_charge(&self, charge: u16) -> u16 {
        if self.multi_credit() { charge } else { 0 }
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    fn sessions(&self) -> parking_lot::MutexGuard<'_, HashMap<SessionId, Arc<SessionState>>> {
        self.sessions.lock()
    }
}

/// The tasks of a connection, which end with it.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    outgoing: Mutex<Option<mpsc::Sender<Frame>>>,
    raw_answers: tokio::sync::Mutex<mpsc::Receiver<Response>>,
    reader: AbortHandle,
    /// Writes the queue even after the end, and ends by itself.
    writer: AbortHandle,
}

impl Handle {
    fn end(&self) {
        self.outgoing.lock().take();
        self.reader.abort();
        self.shared.end(Ended::Io(std::io::ErrorKind::ConnectionAborted));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}
