//! Checks whether a break reaches its client, while its acknowledgment is awaited and another channel is
//! available (MS-SMB2 3.3.4.6, 3.3.4.7: a break that cannot be sent is sent on another channel). If the
//! network drops what is sent on a connection, writes still succeed; only the kernel knows.

use std::io;
use std::net::SocketAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags, Timer};
use registry::ConnectionId;
use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::core::effects::BreakNotification;
use crate::core::limits;
use crate::core::server::Server;

/// The breaks that were sent on a connection and are being monitored.
#[derive(Default)]
pub(super) struct Unconfirmed {
    breaks: Vec<BreakNotification>,
    review: Option<Instant>,
}

/// The result of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    /// The connection continues.
    Stay,
    /// Data sent on the connection does not arrive, and the connection is dispensable.
    GiveUp,
}

impl Unconfirmed {
    /// Monitors a break that was just queued, if it must be acknowledged and could be sent elsewhere.
    pub(super) fn watch(&mut self, notice: BreakNotification) {
        if notice.awaited.is_some() && !notice.elsewhere.is_empty() {
            self.breaks.push(notice);
            self.review.get_or_insert_with(|| Instant::now() + limits::BREAK_REVIEW);
        }
    }

    /// Waits until a [review](Self::review) is due; forever if nothing is monitored.
    pub(super) async fn due(&self) {
        match self.review {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Checks whether the breaks arrive. If they do not, the connection is given up if all of its sessions
    /// have other connections, which makes the registry send the breaks again; otherwise the breaks are
    /// passed to the next connection from here.
    pub(super) fn review(&mut self, server: &Server, id: ConnectionId, socket: &TcpStream) -> Review {
        let registry = server.registry.lock("review");
        self.breaks.retain(|notice| notice.awaited.as_ref().is_some_and(|it| registry.is_awaited(it)));
        let is_dispensable = registry.is_dispensable(id);
        drop(registry);
        let progress = if self.breaks.is_empty() { Progress::Delivered } else { progress(socket) };
        match progress {
            Progress::Delivered | Progress::Unknown => {
                self.breaks.clear();
                self.review = None;
            }
            Progress::UnderWay => self.review = Some(Instant::now() + limits::BREAK_REVIEW),
            Progress::Stalled if is_dispensable => return Review::GiveUp,
            Progress::Stalled => {
                self.breaks.drain(..).for_each(BreakNotification::send);
                self.review = None;
            }
        }
        Review::Stay
    }
}

/// The state of the bytes written to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The peer has acknowledged all.
    Delivered,
    /// The peer is receiving them.
    UnderWay,
    /// The peer acknowledges none in spite of retransmissions.
    Stalled,
    /// The kernel does not report it.
    Unknown,
}

fn progress(socket: &TcpStream) -> Progress {
    let asked = || {
        let (local, peer) = (socket.local_addr()?, socket.peer_addr()?);
        let query = query(local, peer);
        let diagnosis =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        send(&diagnosis, &query, SendFlags::DONTWAIT)?;
        let mut answer = [0; ANSWER_BYTES];
        let (_, length) = recv(&diagnosis, &mut answer[..], RecvFlags::DONTWAIT)?;
        Ok::<_, io::Error>(read(answer.get(..length).unwrap_or_default()))
    };
    asked().ok().flatten().unwrap_or(Progress::Unknown)
}

/// The question about one TCP socket: sock_diag(7).
fn query(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let [from, to] = [local, peer].map(|it| it.ip().to_canonical());
    let socket_id = SocketId {
        source_port: local.port(),
        destination_port: peer.port(),
        source_address: from,
        destination_address: to,
        interface_id: if let SocketAddr::V6(local) = local { local.scope_id() } else { 0 },
        cookie: INET_DIAG_NOCOOKIE,
    };
    let request = InetRequest {
        family: if from.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut query = vec![0; message.buffer_len()];
    message.serialize(&mut query);
    query
}

/// Reads the progress from an answer. While sent data waits for an acknowledgment, the timer is that of retransmissions.
/// With a closed window it is another one: a peer that does not read is alive.
fn read(answer: &[u8]) -> Option<Progress> {
    let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer).ok()?;
    let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = message.payload else {
        return None;
    };
    Some(match response.header.timer {
        _ if response.header.send_queue == 0 => Progress::Delivered,
        Some(Timer::Retransmit(_, count)) if count >= limits::STALLED_RETRANSMISSIONS => Progress::Stalled,
        _ => Progress::UnderWay,
    })
}

const INET_DIAG_NOCOOKIE: [u8; 8] = [0xff; 8];
/// Both structures of the answer, and space for attributes.
const ANSWER_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use netlink_packet_sock_diag::constants::SOCK_DIAG_BY_FAMILY;

    use super::*;

    /// `idiag_timer`: sent data waits for an acknowledgment.
    const TIMER_RETRANSMIT: u8 = 1;

    async fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let to = (listener.local_addr().unwrap().ip().to_canonical(), listener.local_addr().unwrap().port());
        let to = if to.0.is_unspecified() { ("127.0.0.1".parse().unwrap(), to.1) } else { to };
        let (client, server) = tokio::join!(TcpStream::connect(to), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    fn answer(timer: u8, retransmissions: u8, unacknowledged: u32) -> [u8; 88] {
        let mut answer = [0; 88];
        answer[..4].copy_from_slice(&88u32.to_ne_bytes());
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        answer[16] = AF_INET;
        (answer[18], answer[19]) = (timer, retransmissions);
        answer[76..80].copy_from_slice(&unacknowledged.to_ne_bytes());
        answer
    }

    #[test]
    fn only_repeated_retransmissions_count_as_stalled() {
        let again = limits::STALLED_RETRANSMISSIONS;
        assert_eq!(read(&answer(TIMER_RETRANSMIT, again, 1)), Some(Progress::Stalled));
        assert_eq!(read(&answer(TIMER_RETRANSMIT, again - 1, 1)), Some(Progress::UnderWay));
        assert_eq!(read(&answer(4, again, 1)), Some(Progress::UnderWay), "a closed window");
        assert_eq!(read(&answer(0, 0, 0)), Some(Progress::Delivered));
        let mut error = answer(0, 0, 0);
        error[4] = 2;
        assert_eq!(read(&error), None);
        assert!((0..80).all(|length| read(&answer(0, 0, 0)[..length]).is_none()));
    }

    #[tokio::test]
    async fn the_kernel_reports_unacknowledged_data() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let (client, server) = pair(address).await;
            assert_eq!(progress(&server), Progress::Delivered, "{address}");
            // The client does not read, so the window closes with unsent bytes.
            let block = vec![0; 1 << 20];
            while server.try_write(&block).is_ok() {}
            assert_eq!(progress(&server), Progress::UnderWay, "{address}");
            drop(client);
        }
    }
}
