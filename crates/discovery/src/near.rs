//! Keeps questions of other networks from the responder of mDNS (RFC 6762 11).
//!
//! The responder does not report its clients, and its sockets belong to it. But messages to the machine's own address, which
//! is all that a router forwards, go to only one of the sockets that share a port, and a program in the kernel selects it: the
//! responder's, or for other networks a socket that nothing reads. Messages to the group do not leave their link.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc::{self, sock_filter};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::NETWORKS_MAX;
use crate::links::Link;

/// The sockets for messages that are ignored. They have to be the first of their port.
pub(crate) struct Ignored {
    v4: Socket,
    /// `None` if the machine has no IPv6.
    v6: Option<Socket>,
}

impl Ignored {
    /// Opens the sockets. Until there is another one on the port, they receive all messages.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let v4 = socket((Ipv4Addr::UNSPECIFIED, port).into())?;
        v4.set_multicast_all_v4(false)?;
        let v6 = socket((Ipv6Addr::UNSPECIFIED, port).into()).and_then(|socket| {
            socket.set_multicast_all_v6(false)?;
            Ok(socket)
        });
        if let Err(error) = &v6 {
            tracing::debug!(%error, "mDNS without IPv6");
        }
        Ok(Self { v4, v6: v6.ok() })
    }

    /// Lets the messages of clients in these networks go to the next socket of the port.
    pub(crate) fn except(&self, links: &[Link]) -> io::Result<()> {
        let of = |is_v4: bool| links.iter().filter(move |it| it.address.is_ipv4() == is_v4);
        attach(&self.v4, &program(of(true)))?;
        self.v6.as_ref().map_or(Ok(()), |socket| attach(socket, &program(of(false))))
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // As the responder's, which receives IPv6 with a socket that may be for both.
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(1)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn attach(socket: &Socket, program: &[sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    // The kernel copies the program and does not write to it.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    Ok(setsockopt(socket, AttachReusePortCbpf, &program)?)
}

/// The program that returns the number of the socket for a message: [`RESPONDER`] if its source is in one of the networks.
fn program<'a>(links: impl Iterator<Item = &'a Link>) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for link in links.take(NETWORKS_MAX) {
        let (first, own, mask): (u32, Vec<u32>, Vec<u32>) = match (link.address, link.mask) {
            (IpAddr::V4(own), IpAddr::V4(mask)) => (SOURCE_V4, vec![own.to_bits()], vec![mask.to_bits()]),
            (IpAddr::V6(own), IpAddr::V6(mask)) => (SOURCE_V6, words(own), words(mask)),
            _ => continue,
        };
        let words = || (first..).step_by(4).zip(own.iter().zip(&mask)).filter(|(_, (_, mask))| **mask != 0);
        // Each word takes three instructions, and the return one.
        let mut rest: u8 = words().map(|_| 3).sum();
        for (offset, (own, mask)) in words() {
            rest = rest.saturating_sub(3);
            program.push(instruction(LOAD, NETWORK_HEADER.saturating_add(offset)));
            program.push(instruction(AND, *mask));
            // If they differ, the program goes on with the next network.
            let differs = rest.saturating_add(1);
            program.push(sock_filter { jf: differs, ..instruction(JUMP_IF_EQUAL, own & mask) });
        }
        program.push(instruction(RETURN, RESPONDER));
    }
    program.push(instruction(RETURN, IGNORED));
    program
}

fn words(address: Ipv6Addr) -> Vec<u32> {
    let bits = address.to_bits();
    [96, 64, 32, 0]
        .map(|shift| u32::try_from(bits >> shift & u128::from(u32::MAX)).unwrap_or_default())
        .to_vec()
}

const fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// The sockets of a port are counted in the order in which they were opened.
const IGNORED: u32 = 0;
const RESPONDER: u32 = 1;

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// The offset from which the kernel counts from the IP header.
const NETWORK_HEADER: u32 = libc::SKF_NET_OFF.cast_unsigned();
/// The offsets of the source in the headers.
const SOURCE_V4: u32 = 12;
const SOURCE_V6: u32 = 8;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn link(address: &str, mask: &str) -> Link {
        Link {
            interface: "lo".into(),
            index: 1,
            address: address.parse().unwrap(),
            mask: mask.parse().unwrap(),
        }
    }

    /// True if a message from `own` reaches a responder that ignores all but the networks.
    fn reaches(own: IpAddr, port: u16, networks: &[Link]) -> bool {
        let ignored = Ignored::open(port).unwrap();
        ignored.except(networks).unwrap();
        let any =
            if own.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let responder = socket((any, port).into()).unwrap();
        responder.set_recv_buffer_size(1 << 16).unwrap();
        let responder: UdpSocket = responder.into();
        responder.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // The kernel distributes what comes from different ports, unless the program decides.
        for _ in 0..8 {
            UdpSocket::bind((own, 0)).unwrap().send_to(b"?", (own, port)).unwrap();
        }
        let count = (0..8).take_while(|_| responder.recv_from(&mut [0; 8]).is_ok()).count();
        assert!(count == 0 || count == 8, "{count}");
        count > 0
    }

    #[test]
    fn messages_of_other_networks_do_not_reach_the_responder() {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let other = link("192.0.2.1", "255.255.255.0");
        assert!(!reaches(own, port, &[]));
        assert!(!reaches(
            own,
            port,
            &[other.clone(), link("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
        ));
        assert!(reaches(own, port, &[other.clone(), link("127.9.9.9", "255.0.0.0")]));
        assert!(reaches(own, port, &[link("127.9.9.9", "0.0.0.0"), other]));

        let own: IpAddr = "::1".parse().unwrap();
        if UdpSocket::bind((own, 0)).is_ok() {
            let other = link("fe80::1", "ffff:ffff:ffff:ffff::");
            assert!(!reaches(own, port, std::slice::from_ref(&other)));
            assert!(!reaches(own, port, &[link("::2", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]));
            assert!(reaches(own, port, &[other, link("::2", "ffff:ffff:ffff:ffff::")]));
        }
    }

    #[test]
    fn program_has_a_limit() {
        let many = vec![link("fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"); NETWORKS_MAX * 2];
        assert_eq!(program(many.iter()).len(), NETWORKS_MAX * 13 + 1);
        Ignored::open(0).unwrap().except(&many).unwrap();
    }
}
