//! WS-Discovery over UDP, with a socket for each link.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Announced;
use crate::limits::{ANSWERS_PER_SECOND, LOOK_INTERVAL, MESSAGE_MAX, WSD_GROUP, WSD_PORT};
use crate::links::{self, Link};
use crate::soap::Question;

/// Answers on all links. Links that appear and disappear are noticed.
pub(crate) async fn serve(announced: &Announced) {
    let mut links: Vec<Link> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let now = links::current(announced);
        if now != links {
            // The names are the same afterwards, so nothing is said to the clients of links that stay.
            tasks.shutdown().await;
            for link in &now {
                match Voice::new(link, announced) {
                    Ok(voice) => {
                        tasks.spawn(voice.answer());
                    }
                    Err(error) => {
                        tracing::warn!(%error, interface = link.interface, address = %link.address, "cannot announce the server on a network");
                    }
                }
            }
            links = now;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The server on one link. It says hello when it is made, and good-bye when it is dropped.
struct Voice {
    link: Link,
    announced: Announced,
    /// Receives what is sent to the group on this link.
    group: tokio::net::UdpSocket,
    /// Sends from the address of the link.
    own: UdpSocket,
}

impl Voice {
    fn new(link: &Link, announced: &Announced) -> io::Result<Self> {
        let group = open(WSD_GROUP)?;
        group.join_multicast_v4(&WSD_GROUP, &link.address)?;
        // Without this, the socket also receives what other programs have joined on other interfaces.
        group.set_multicast_all_v4(false)?;
        let own = open(link.address)?;
        own.set_multicast_if_v4(&link.address)?;
        own.set_multicast_ttl_v4(1)?;
        own.set_multicast_loop_v4(false)?;
        // Nothing reads what is sent to this socket.
        own.set_recv_buffer_size(1)?;
        let this = Self {
            link: link.clone(),
            announced: announced.clone(),
            group: tokio::net::UdpSocket::from_std(group.into())?,
            own: own.into(),
        };
        this.send(
            &this.announced.hello(&link.address.to_string()),
            SocketAddrV4::new(WSD_GROUP, WSD_PORT).into(),
        );
        Ok(this)
    }

    async fn answer(self) {
        let mut buffer = vec![0; MESSAGE_MAX + 1];
        let mut pace = Pace { since: Instant::now(), sent: 0 };
        loop {
            let (length, from) = match self.group.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "cannot receive a message of WS-Discovery");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let SocketAddr::V4(from) = from else { continue };
            // Answers to other networks could be used to flood them.
            if !self.link.has(*from.ip()) {
                continue;
            }
            let Some(question) = Question::parse(buffer.get(..length).unwrap_or_default()) else { continue };
            if let Some(answer) = self.announced.answer(&question, &self.link.address.to_string())
                && pace.permits()
            {
                self.send(&answer, from.into());
            }
        }
    }

    fn send(&self, message: &str, to: SocketAddr) {
        // Clients ask again.
        if let Err(error) = self.own.send_to(message.as_bytes(), to) {
            tracing::debug!(%error, "cannot send a message of WS-Discovery");
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.send(&self.announced.bye(), SocketAddrV4::new(WSD_GROUP, WSD_PORT).into());
    }
}

/// The number of answers in the current second.
struct Pace {
    since: Instant,
    sent: u32,
}

impl Pace {
    fn permits(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Self { since: Instant::now(), sent: 0 };
        }
        self.sent = self.sent.saturating_add(1);
        self.sent <= ANSWERS_PER_SECOND
    }
}

/// Another program may have the same port.
fn open(address: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(address, WSD_PORT).into())?;
    Ok(socket)
}
