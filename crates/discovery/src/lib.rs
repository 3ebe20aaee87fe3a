//! Announces a server to the local network, so that file managers list it: mDNS with DNS-SD (RFC 6762, RFC 6763) for
//! Finder, GNOME and KDE, and WS-Discovery (WS-Discovery 1.0, April 2005, with Microsoft's PUBS) for Windows Explorer.
//!
//! Only clients on the links of the machine are answered, and none on interfaces that are left out.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod http;
mod limits;
mod links;
mod mdns;
mod near;
pub mod soap;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

pub use mdns::Mdns;
use socket2::{Domain, Protocol, Socket, Type};

/// The server as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The name of the server.
    pub name: String,
    /// The group that the server is in.
    pub group: Group,
    /// The TCP port of SMB.
    pub port: u16,
    /// A number that the server keeps, in the usual form of a UUID.
    pub uuid: String,
    /// The addresses on which the server listens; an unspecified one stands for all.
    pub listening: Vec<IpAddr>,
    /// The names of network interfaces on which the server is silent.
    pub leave_out: Vec<String>,
    /// The shares that Macs can use for Time Machine.
    pub disks: Vec<Disk>,
}

/// A share that Macs can use for Time Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The name of the share.
    pub name: String,
    /// A number by which Macs find the share again, in the usual form of a UUID.
    pub uuid: String,
}

/// The group of computers that a server is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// A workgroup.
    Workgroup(String),
    /// A domain, by its NetBIOS name.
    Domain(String),
}

/// The sockets for WS-Discovery, which are opened before the process gives up the right to open them.
#[derive(Debug)]
pub struct WsdSockets {
    metadata: Vec<TcpListener>,
}

impl WsdSockets {
    /// Opens the TCP port of the metadata.
    ///
    /// # Errors
    ///
    /// Those of the system; [`io::ErrorKind::AddrInUse`] if another program announces this machine.
    pub fn open() -> io::Result<Self> {
        let mut metadata = vec![listen((Ipv4Addr::UNSPECIFIED, limits::METADATA_PORT).into())?];
        match listen((Ipv6Addr::UNSPECIFIED, limits::METADATA_PORT).into()) {
            Ok(listener) => metadata.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => tracing::debug!(%error, "WS-Discovery without IPv6"),
        }
        Ok(Self { metadata })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::METADATA_BACKLOG)?;
    Ok(socket.into())
}

/// Announces the server with WS-Discovery until the future is dropped, which says good-bye.
pub async fn run_wsd(sockets: WsdSockets, announced: Announced) {
    let metadata = sockets.metadata.into_iter().map(tokio::net::TcpListener::from_std);
    let metadata: Vec<_> = match metadata.collect() {
        Ok(metadata) => metadata,
        Err(error) => {
            tracing::warn!(%error, "cannot announce the server with WS-Discovery");
            return;
        }
    };
    tokio::join!(http::serve(metadata, &announced), udp::serve(&announced));
}
