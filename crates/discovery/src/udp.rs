//! WS-Discovery over UDP, with sockets for each link.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::Announced;
use crate::limits::{ANSWERS_PER_SECOND, LOOK_INTERVAL, MESSAGE_MAX, WSD_GROUP, WSD_GROUP_V6, WSD_PORT};
use crate::links::{self, Link};
use crate::soap::{self, Question};

/// Answers on all links. Links that appear and disappear are noticed.
pub(crate) async fn serve(announced: &Announced) {
    let mut voices: Vec<(Link, AbortHandle)> = Vec::new();
    let mut tasks = JoinSet::new();
    // The links that have been reported as silent.
    let mut silent: HashSet<Link> = HashSet::new();
    loop {
        let now: HashSet<Link> = links::current(announced).into_iter().filter(Link::speaks_wsd).collect();
        voices.retain(|(link, task)| {
            let stays = now.contains(link);
            if !stays {
                // It says good-bye when it is dropped.
                task.abort();
            }
            stays
        });
        silent.retain(|link| now.contains(link));
        while tasks.try_join_next().is_some() {}
        let mut wait = LOOK_INTERVAL;
        for link in now {
            if voices.iter().any(|(it, _)| *it == link) {
                continue;
            }
            match Voice::new(&link, announced) {
                Ok(voice) => {
                    silent.remove(&link);
                    voices.push((link, tasks.spawn(voice.answer())));
                }
                // An address of IPv6 cannot be used until the kernel knows that no other machine has it.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => wait = LOOK_AGAIN,
                Err(error) => {
                    if silent.insert(link.clone()) {
                        tracing::warn!(%error, interface = link.interface, address = %link.address, "cannot announce the server on a network");
                    }
                }
            }
        }
        tokio::time::sleep(wait).await;
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
        let group = open(group(link))?;
        let own = open(place(link, link.address))?;
        match link.address {
            IpAddr::V4(address) => {
                group.join_multicast_v4(&WSD_GROUP, &address)?;
                // Without this, the socket also receives what other programs have joined on other interfaces.
                group.set_multicast_all_v4(false)?;
                own.set_multicast_if_v4(&address)?;
                own.set_multicast_ttl_v4(1)?;
                own.set_multicast_loop_v4(false)?;
            }
            IpAddr::V6(_) => {
                group.join_multicast_v6(&WSD_GROUP_V6, link.index)?;
                group.set_multicast_all_v6(false)?;
                own.set_multicast_if_v6(link.index)?;
                own.set_multicast_hops_v6(1)?;
                own.set_multicast_loop_v6(false)?;
            }
        }
        // Nothing reads what is sent to this socket.
        own.set_recv_buffer_size(1)?;
        let this = Self {
            link: link.clone(),
            announced: announced.clone(),
            group: tokio::net::UdpSocket::from_std(group.into())?,
            own: own.into(),
        };
        this.send_to_all(&this.announced.hello(&soap::host(link.address)));
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
            // Answers to other networks could be used to flood them.
            if !self.link.has(from.ip()) {
                continue;
            }
            let Some(question) = Question::parse(buffer.get(..length).unwrap_or_default()) else { continue };
            if let Some(answer) = self.announced.answer(&question, &soap::host(self.link.address))
                && pace.permits()
            {
                self.send(&answer, from);
            }
        }
    }

    fn send_to_all(&self, message: &str) {
        self.send(message, group(&self.link));
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
        self.send_to_all(&self.announced.bye());
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

/// The group on the link.
fn group(link: &Link) -> SocketAddr {
    let group = match link.address {
        IpAddr::V4(_) => IpAddr::V4(WSD_GROUP),
        IpAddr::V6(_) => IpAddr::V6(WSD_GROUP_V6),
    };
    place(link, group)
}

/// An address on the link, with the port of WS-Discovery.
fn place(link: &Link, address: IpAddr) -> SocketAddr {
    match address {
        IpAddr::V4(address) => SocketAddrV4::new(address, WSD_PORT).into(),
        IpAddr::V6(address) => SocketAddrV6::new(address, WSD_PORT, 0, link.index).into(),
    }
}

/// Another program may have the same port.
fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The time until an address that cannot be used yet is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
