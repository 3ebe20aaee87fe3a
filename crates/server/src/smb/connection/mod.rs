//! One client connection: its task, which alone reads and writes the socket.
//!
//! Requests are handled in the order of arrival until they have to wait; then they run concurrently with
//! later ones (MS-SMB2 3.3.4.2) and are answered as they finish. Other tasks access a connection only through
//! its [`ConnectionLink`].

mod answer;
mod break_delivery;
mod delayed_logons;
mod dispatch;
mod frame;
mod handling;
mod input;
mod large_frame;
mod negotiated;
mod output;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod over_stream;
mod pending;
mod request;
mod sequence;
mod traffic;
mod unread;
mod unseal;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use auth::preauth::PreauthHash;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::{Mutex, MutexGuard};
use registry::{ConnectionId, Standing};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use wire::SessionId;

pub(crate) use answer::AnswerBuilder;
pub(crate) use delayed_logons::DelayedLogon;
pub(crate) use dispatch::{Refusal, Violation};
pub(crate) use negotiated::Negotiated;
pub(crate) use output::{Answer, Check, Tail};
pub(crate) use pending::Pending;
pub(crate) use request::{Chain, Outcome, Request};

use crate::core::connection_link::{ConnectionEvent, ConnectionLink};
use crate::core::limits;
use crate::core::server::Server;
use crate::core::session::{Channel, PendingLogon, Session};
use break_delivery::{Review, Unconfirmed};
use handling::Handling;
use input::{FrameReader, InputEnd, Room};
use output::Output;
use pending::PendingRequests;
use sequence::SequenceWindow;
use traffic::Traffic;

/// The state that the requests of a connection share.
pub(crate) struct SmbConnection {
    pub(crate) server: Arc<Server>,
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    /// The result of NEGOTIATE; empty before it.
    pub(crate) negotiated: OnceLock<Negotiated>,
    pub(crate) pending: PendingRequests,
    /// The sessions that this connection has used, by id; the registry decides whether they still exist.
    sessions: Mutex<HashMap<SessionId, Channel>>,
    /// The logons in progress: `Session.PreauthIntegrityHashValue` and `Connection.PreauthSessionTable`.
    pub(crate) logons: Mutex<HashMap<SessionId, PendingLogon>>,
    output: Mutex<Output>,
    /// The counts for the server's statistics.
    traffic: Traffic,
    sequence: Mutex<SequenceWindow>,
    /// `Connection.PreauthIntegrityHashValue` (3.1.1).
    preauth: Mutex<PreauthHash>,
    /// The most privileged user ever known on this connection: a [`Standing`].
    standing: AtomicU8,
    /// The number of delayed logons.
    held_back: AtomicUsize,
    /// Cancelled when the connection ends, so that delayed answers are not waited for.
    over: CancellationToken,
    /// True if a break was ever sent on this connection.
    peer_awaited: AtomicBool,
    /// The number of requests in separate tasks, and the bytes of their frames.
    apart_requests: AtomicUsize,
    apart_bytes: AtomicUsize,
    /// Notified when such a task has output.
    output_ready: Notify,
}

/// Serves a connection until its end. `place` is released together with the socket.
pub(crate) async fn serve(
    server: Arc<Server>,
    mut socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY; small answers may be delayed");
    }
    if !server.settings().hosts.admit(peer.ip()) {
        if server.logons.log.has_room(peer.ip(), server.now()) {
            crate::core::audit::host_refused(&peer);
        }
        return;
    }
    let (events, mut inbox) = mpsc::unbounded_channel();
    let local = socket.local_addr().ok().map(|it| it.ip());
    let link = Arc::new(ConnectionLink::new(events).at(local));
    let now = server.now();
    let added = server.registry.lock("connect").add_connection(peer, Arc::clone(&link), now);
    let Ok((id, effects)) = added else {
        tracing::debug!(%peer, "connection refused: the limit of connections is reached");
        return;
    };
    server.made_room(effects);
    let connection = Arc::new(SmbConnection::new(Arc::clone(&server), id, peer));
    tracing::debug!(conn = id.0, "connected");
    let mut waiting = FuturesUnordered::new();
    let (mut input, _) = socket.split();
    let end = run(&connection, &link, &mut input, &mut inbox, &mut waiting).await;
    connection.over.cancel();
    server.capacity.strangers_input.release(id);
    server.capacity.guests_input.release(id);
    connection.traffic.hand_on(&server.statistics);
    tracing::debug!(conn = id.0, ?end, "disconnected");
    drop((socket, inbox, place));
    connection.leave(&end, waiting).await;
}

/// The reason why a connection ended.
#[derive(Debug)]
#[expect(dead_code, reason = "the values are for the log")]
enum End {
    Input(InputEnd),
    Output(std::io::Error),
    Violation(dispatch::Violation),
    Asked,
    NoLogon,
    Stalled,
}

async fn run(
    connection: &Arc<SmbConnection>,
    link: &Arc<ConnectionLink>,
    input: &mut ReadHalf<'_>,
    inbox: &mut mpsc::UnboundedReceiver<ConnectionEvent>,
    waiting: &mut FuturesUnordered<Handling>,
) -> End {
    let mut reader = FrameReader::default();
    let logon_deadline = tokio::time::sleep(limits::UNAUTHENTICATED_TIMEOUT);
    tokio::pin!(logon_deadline);
    let mut unconfirmed = Unconfirmed::default();
    loop {
        let socket: &TcpStream = input.as_ref();
        let frame_limit = connection.frame_limit();
        let mut more = false;
        for handled in 0.. {
            if handled == limits::BATCH_REQUESTS || connection.output().waiting() > limits::BATCH_BYTES {
                more = true;
                break;
            }
            let frame = match reader.next_frame(connection.frame_limit()) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(end) => return End::Input(end),
            };
            let mut answer = Handling::new(connection, frame);
            match poll_once(Pin::new(&mut answer)).await {
                Poll::Ready(Ok(Some(answer))) => connection.push(Some(answer)),
                // A CANCEL: the answer to the cancelled request is sent before those to later requests.
                Poll::Ready(Ok(None)) => {
                    while let Poll::Ready(Some(done)) = poll_once(pin!(waiting.next())).await {
                        match done {
                            Ok(answer) => connection.push(answer),
                            Err(violation) => return connection.violated(socket, violation),
                        }
                    }
                }
                Poll::Ready(Err(violation)) => return connection.violated(socket, violation),
                Poll::Pending => waiting.push(answer),
            }
            // Notifications for the client that this request has caused are sent before later answers.
            while let Ok(event) = inbox.try_recv() {
                if let ControlFlow::Break(end) = connection.take_event(socket, event, &mut unconfirmed) {
                    return end;
                }
            }
        }
        let drained = match connection.write_out(socket) {
            Ok(drained) => drained,
            Err(error) => return End::Output(error),
        };
        if more && drained {
            tokio::task::yield_now().await;
            continue;
        }
        connection.traffic.hand_on(&connection.server.statistics);
        let may_read = !more
            && connection.output().waiting() < connection.output_high_water()
            && connection.apart_requests.load(Ordering::Relaxed) < limits::APART_REQUESTS
            && connection.apart_bytes.load(Ordering::Relaxed) < limits::APART_BYTES;
        connection.budget_input(link, &mut reader);
        tokio::select! {
            ready = socket.readable(), if may_read => {
                if let Err(error) = ready {
                    return End::Input(InputEnd::Io(error));
                }
                match reader.fill(input, frame_limit, connection.room()).await {
                    Ok(bytes) => connection.traffic.received(bytes),
                    Err(end) => return End::Input(end),
                }
            }
            ready = socket.writable(), if !drained => {
                if let Err(error) = ready {
                    return End::Output(error);
                }
            }
            Some(done) = waiting.next(), if !waiting.is_empty() => match done {
                Ok(answer) => connection.push(answer),
                Err(violation) => return End::Violation(violation),
            },
            Some(event) = inbox.recv() => {
                if let ControlFlow::Break(end) = connection.take_event(socket, event, &mut unconfirmed) {
                    return end;
                }
            }
            () = connection.output_ready.notified() => {}
            () = reader.overdue() => reader.read_as_it_arrives(socket),
            () = unconfirmed.due() => {
                if unconfirmed.review(&connection.server, connection.id, socket) == Review::GiveUp {
                    // Resets the connection, because the peer may receive data that it cannot acknowledge.
                    if let Err(error) = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
                        tracing::debug!(conn = connection.id.0, %error, "cannot reset a stalled connection");
                    }
                    return End::Stalled;
                }
            }
            () = &mut logon_deadline, if connection.standing() == Standing::Stranger => return End::NoLogon,
        }
    }
}

/// Polls a future once.
async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

impl SmbConnection {
    /// A connection before its first request.
    fn new(server: Arc<Server>, id: ConnectionId, peer: SocketAddr) -> Self {
        Self {
            server,
            id,
            peer,
            negotiated: OnceLock::new(),
            pending: PendingRequests::default(),
            sessions: Mutex::default(),
            logons: Mutex::default(),
            output: Mutex::default(),
            traffic: Traffic::default(),
            sequence: Mutex::new(SequenceWindow::new(limits::MAX_CREDITS)),
            preauth: Mutex::default(),
            standing: AtomicU8::new(Standing::Stranger as u8),
            held_back: AtomicUsize::new(0),
            over: CancellationToken::new(),
            peer_awaited: AtomicBool::new(false),
            apart_requests: AtomicUsize::new(0),
            apart_bytes: AtomicUsize::new(0),
            output_ready: Notify::new(),
        }
    }

    /// The end by a protocol violation. Answers to earlier requests are still sent.
    fn violated(&self, socket: &TcpStream, violation: Violation) -> End {
        if let Err(error) = self.write_out(socket) {
            tracing::debug!(conn = self.id.0, %error, "cannot send the answers that precede a protocol violation");
        }
        End::Violation(violation)
    }

    /// Removes the connection, which has ended, from the registry and ends its waiting requests.
    async fn leave(&self, end: &End, mut waiting: FuturesUnordered<Handling>) {
        let (server, id) = (&self.server, self.id);
        server.apply({
            let mut registry = server.registry.lock("disconnect");
            if matches!(end, End::Input(InputEnd::Closed)) {
                registry.connection_hung_up(id);
            }
            registry.disconnect(id, server.now())
        });
        // Waiting requests are cancelled; a CREATE that its client can replay on another channel continues.
        self.pending.abandon(|key| server.registry.lock("abandon").is_waiting(key));
        waiting.iter().for_each(Handling::stop_waiting);
        let finished = async { while waiting.next().await.is_some() {} };
        if tokio::time::timeout(limits::ABANDONED_TIMEOUT, finished).await.is_err() {
            tracing::warn!(
                conn = id.0,
                requests = waiting.len(),
                "requests of a lost connection did not end in time; they are abandoned"
            );
            handling::discard(waiting);
        }
    }

    /// Handles an event from another task.
    fn take_event(
        &self,
        socket: &TcpStream,
        event: ConnectionEvent,
        unconfirmed: &mut Unconfirmed,
    ) -> ControlFlow<End> {
        match event {
            ConnectionEvent::Break(notice) => {
                self.await_peer(socket);
                self.push(dispatch::break_notification(self, &notice));
                unconfirmed.watch(*notice);
            }
            ConnectionEvent::SessionEnded => self.forget_sessions(),
            ConnectionEvent::Close => return ControlFlow::Break(End::Asked),
        }
        ControlFlow::Continue(())
    }

    /// Sets a timeout after which the kernel ends the connection if its peer is gone while others wait for an
    /// acknowledgment: the break is then sent on another channel (MS-SMB2 3.3.4.6, 3.3.4.7). It stays in
    /// effect, because a client that caches may receive further breaks.
    fn await_peer(&self, socket: &TcpStream) {
        if !self.peer_awaited.swap(true, Ordering::Relaxed)
            && let Err(error) =
                socket2::SockRef::from(socket).set_tcp_user_timeout(Some(limits::UNACKNOWLEDGED_TIMEOUT))
        {
            tracing::debug!(conn = self.id.0, %error, "cannot set TCP_USER_TIMEOUT; a dead client may delay others for long");
        }
    }

    /// Queues a frame.
    pub(crate) fn push(&self, answer: Option<Answer>) {
        if let Some(answer) = answer {
            self.output().push(answer);
        }
    }

    /// True if output is waiting.
    fn has_output(&self) -> bool {
        self.output().waiting() != 0
    }

    /// Writes the queue until it is empty (true) or the socket accepts no more (false).
    fn write_out(&self, socket: &TcpStream) -> std::io::Result<bool> {
        let mut output = self.output();
        let drained = output.write(socket);
        self.traffic.sent(output.take_sent());
        drained
    }

    /// A buffer for an answer.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.output().buffer()
    }

    /// Appends `length` bytes to an answer: zeros or, if there are many, bytes of an earlier answer. The caller writes over them,
    /// or removes them.
    pub(crate) fn append_room(&self, answer: &mut AnswerBuilder, length: usize) {
        if length < limits::FILLED_FROM {
            let end = answer.body().len().saturating_add(length);
            answer.body().resize(end, 0);
            return;
        }
        let filled = self.output().filled_buffer();
        let replaced = answer.append_room(filled, length);
        self.output().keep(replaced);
    }

    /// The session of a request (MS-SMB2 3.3.5.2.9), if it still exists.
    pub(crate) fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.channel(id).map(|channel| channel.session)
    }

    /// The session of a request, with this connection's signing key.
    pub(crate) fn channel(&self, id: SessionId) -> Option<Channel> {
        let sessions = self.sessions.lock();
        sessions.get(&id).filter(|channel| !channel.session.has_ended()).cloned()
    }

    /// Returns true if the log has room for a line about a refused logon from the client's address.
    pub(crate) fn has_log_room(&self) -> bool {
        self.server.logons.log.has_room(self.peer.ip(), self.server.now())
    }

    /// Returns true if the log has room for a line about a granted logon from the client's address.
    pub(crate) fn has_log_room_for_granted(&self) -> bool {
        self.server.logons.granted_log.has_room(self.peer.ip(), self.server.now())
    }

    /// Returns true if the log has room for a line about a share that is refused to the client's address.
    pub(crate) fn has_log_room_for_share(&self) -> bool {
        self.server.logons.share_log.has_room(self.peer.ip(), self.server.now())
    }

    /// The session with the keys of an encrypted request, even if it has ended: its client then receives
    /// STATUS_USER_SESSION_DELETED instead of losing the connection with all other sessions.
    pub(crate) fn channel_for_keys(&self, id: SessionId) -> Option<Channel> {
        let sessions = self.sessions.lock();
        sessions.get(&id).cloned()
    }

    /// Adds a session that belongs to this connection.
    pub(crate) fn remember_session(&self, channel: Channel) {
        let id = channel.session.id();
        self.sessions.lock().insert(id, channel);
    }

    /// Removes a session that could not be bound.
    pub(crate) fn forget_session(&self, id: SessionId) {
        self.sessions.lock().remove(&id);
    }

    /// Removes ended sessions except for the last few.
    pub(crate) fn forget_sessions(&self) {
        let mut sessions = self.sessions.lock();
        let mut ended = sessions.values().filter(|channel| channel.session.has_ended()).count();
        sessions.retain(|_, channel| {
            let forget = channel.session.has_ended() && ended > limits::ENDED_SESSIONS;
            ended -= usize::from(forget);
            !forget
        });
        let known = |id: &SessionId| sessions.get(id).is_some_and(|channel| !channel.session.has_ended());
        self.logons
            .lock()
            .retain(|id, logon| logon.binding.as_ref().map_or(known(id), |session| !session.has_ended()));
    }

    /// Uses the message ids of a request; false ends the connection.
    pub(crate) fn take_message_ids(&self, header: &wire::header::Header) -> bool {
        let taken = self.sequence.lock().take(header.message_id, header.credit_charge);
        if taken {
            self.traffic.charged(header.credit_charge.max(1));
        }
        taken
    }

    /// Grants credits for an answer.
    pub(crate) fn grant_credits(&self, requested: u16) -> u16 {
        let mut sequence = self.sequence.lock();
        let granted = match self.standing() {
            Standing::Stranger => sequence.grant_within(requested, limits::STRANGER_CREDITS),
            Standing::Guest | Standing::User | Standing::Administrator => sequence.grant(requested),
        };
        drop(sequence);
        self.traffic.granted(granted);
        granted
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock()
    }

    /// `Connection.PreauthIntegrityHashValue`.
    pub(crate) fn preauth(&self) -> MutexGuard<'_, PreauthHash> {
        self.preauth.lock()
    }

    /// Raises the standing of the connection; a lower one has no effect.
    pub(crate) fn raise_standing(&self, standing: Standing) {
        self.standing.fetch_max(standing as u8, Ordering::Relaxed);
    }

    fn standing(&self) -> Standing {
        let number = self.standing.load(Ordering::Relaxed);
        [Standing::Guest, Standing::User, Standing::Administrator]
            .into_iter()
            .find(|standing| *standing as u8 == number)
            .unwrap_or_default()
    }

    fn frame_limit(&self) -> usize {
        match self.standing() {
            Standing::Stranger => limits::MAX_FRAME_UNAUTHENTICATED,
            Standing::Guest | Standing::User | Standing::Administrator => limits::MAX_FRAME,
        }
    }

    fn room(&self) -> Room {
        match self.standing() {
            Standing::Stranger | Standing::Guest => Room::AsItArrives,
            Standing::User | Standing::Administrator => Room::Whole,
        }
    }

    fn output_high_water(&self) -> usize {
        match self.standing() {
            Standing::Stranger => limits::STRANGER_OUTPUT_HIGH_WATER,
            Standing::Guest | Standing::User | Standing::Administrator => limits::OUTPUT_HIGH_WATER,
        }
    }

    /// Keeps the input of connections without a known user within its budget.
    fn budget_input(&self, link: &Arc<ConnectionLink>, reader: &mut FrameReader) {
        let standing = self.standing();
        if standing >= Standing::User {
            // The connection may have been a stranger's until now.
            if reader.budgeted {
                reader.budgeted = false;
                self.server.capacity.strangers_input.release(self.id);
                self.server.capacity.guests_input.release(self.id);
            }
            return;
        }
        reader.shrink();
        let held = reader.held().saturating_sub(limits::STRANGER_READ);
        if held == 0 && !reader.budgeted {
            return;
        }
        reader.budgeted = held != 0;
        let (own, other) = match standing {
            Standing::Guest => (&self.server.capacity.guests_input, &self.server.capacity.strangers_input),
            _ => (&self.server.capacity.strangers_input, &self.server.capacity.guests_input),
        };
        other.release(self.id);
        own.hold(self.id, link, held);
    }
}
