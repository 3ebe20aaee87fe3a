//! A connection over any stream, for tests without sockets and real time.
//!
//! It works like [`super::serve`] without the parts that need a TCP socket: batches, back pressure, content
//! sent from the page cache, and the kernel's information about delivery. Frames are handled by the same
//! code.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::*;

/// Serves a connection until its end.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(server: Arc<Server>, stream: S, peer: SocketAddr) {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let link = Arc::new(ConnectionLink::new(events));
    let now = server.now();
    let added = server.registry.lock("connect").add_connection(peer, link, now);
    let Ok((id, effects)) = added else { return };
    server.made_room(effects);
    let connection = Arc::new(SmbConnection::new(Arc::clone(&server), id, peer));
    let mut waiting = FuturesUnordered::new();
    let end = run(&connection, stream, &mut inbox, &mut waiting).await;
    connection.over.cancel();
    connection.traffic.hand_on(&server.statistics);
    drop(inbox);
    connection.leave(&end, waiting).await;
}

async fn run<S: AsyncRead + AsyncWrite>(
    connection: &Arc<SmbConnection>,
    stream: S,
    inbox: &mut mpsc::UnboundedReceiver<ConnectionEvent>,
    waiting: &mut FuturesUnordered<Handling>,
) -> End {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut reader = FrameReader::default();
    let logon_deadline = tokio::time::sleep(limits::UNAUTHENTICATED_TIMEOUT);
    tokio::pin!(logon_deadline);
    loop {
        let frame = match reader.next_frame(connection.frame_limit()) {
            Ok(frame) => frame,
            Err(end) => return End::Input(end),
        };
        let is_whole = frame.is_some();
        if let Some(frame) = frame {
            let mut answer = Handling::new(connection, frame);
            match poll_once(Pin::new(&mut answer)).await {
                Poll::Ready(Ok(answer)) => connection.push(answer),
                Poll::Ready(Err(violation)) => {
                    let bytes = connection.output().take();
                    let _ = to.write_all(&bytes).await;
                    return End::Violation(violation);
                }
                Poll::Pending => waiting.push(answer),
            }
            while let Ok(event) = inbox.try_recv() {
                if let ControlFlow::Break(end) = connection.take_driven_event(event) {
                    return end;
                }
            }
        }
        let bytes = connection.output().take();
        if let Err(error) = to.write_all(&bytes).await {
            return End::Output(error);
        }
        if is_whole {
            continue;
        }
        connection.traffic.hand_on(&connection.server.statistics);
        tokio::select! {
            biased;
            Some(done) = waiting.next(), if !waiting.is_empty() => match done {
                Ok(answer) => connection.push(answer),
                Err(violation) => return End::Violation(violation),
            },
            () = connection.output_ready.notified() => {}
            Some(event) = inbox.recv() => {
                if let ControlFlow::Break(end) = connection.take_driven_event(event) {
                    return end;
                }
            }
            read = from.read_buf(&mut reader.buffer) => match read {
                Ok(0) => return End::Input(InputEnd::Closed),
                Ok(bytes) => connection.traffic.received(bytes),
                Err(error) => return End::Input(InputEnd::Io(error)),
            },
            () = &mut logon_deadline, if connection.standing() == Standing::Stranger => return End::NoLogon,
        }
    }
}

impl SmbConnection {
    /// Handles an event as [`SmbConnection::take_event`] does, without a socket.
    fn take_driven_event(&self, event: ConnectionEvent) -> ControlFlow<End> {
        match event {
            ConnectionEvent::Break(notice) => self.push(dispatch::break_notification(self, &notice)),
            ConnectionEvent::SessionEnded => self.forget_sessions(),
            ConnectionEvent::Close => return ControlFlow::Break(End::Asked),
        }
        ControlFlow::Continue(())
    }
}

impl Output {
    /// Takes the queued bytes, as on the wire.
    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.waiting());
        for answer in &self.queue {
            bytes.extend_from_slice(&answer.bytes);
            let Some(tail) = &answer.tail else { continue };
            let start = bytes.len();
            bytes.resize(start.saturating_add(tail.length), 0);
            // As with the page cache, zeros replace content that cannot be read.
            let _ = tail.handle.read_at(bytes.get_mut(start..).unwrap_or_default(), tail.offset);
        }
        self.advance(bytes.len());
        bytes
    }
}
