//! The process that holds the addresses of shares. The server's sandbox has neither the right to change addresses nor to
//! send frames, so this process is started before the server enters the sandbox. It keeps these two rights alone, and
//! touches only addresses in the networks that it gets at its start.
//!
//! Each request has all addresses to be held, and the end of the permission. The process removes addresses that a request
//! does not have any more, and all of them at the end of the permission, or when the server ends in any way. Besides, the
//! kernel removes them by itself, because each is added for the whole seconds that are left: a process that stands still
//! holds no address.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use cluster::clock::Moment;
use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::frames::{self, Hardware};
use crate::core::cluster::now;

/// The only argument of the process.
pub const KEEPER_WORD: &str = "address-keeper";

/// The first line of standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Bounds {
    /// The networks in which addresses may be, as texts.
    pub(super) networks: Vec<String>,
    /// The interface. `None` for the one in whose network an address is.
    pub(super) interface: Option<String>,
}

/// A request, on a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    /// All addresses to be held.
    pub(super) hold: Vec<IpAddr>,
    /// The end of the permission, in microseconds by CLOCK_BOOTTIME.
    pub(super) until: u64,
}

/// The answer to a request, on a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u64,
    /// The addresses that are not held, or were not announced, with the reason.
    pub(super) faults: BTreeMap<IpAddr, String>,
}

/// Runs the process, until standard input ends.
pub fn run_keeper() -> io::Result<()> {
    give_up_rights()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(serve());
    // A read of standard input cannot be ended.
    runtime.shutdown_background();
    ended
}

/// Gives up all capabilities but those for addresses and frames.
fn give_up_rights() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    rustix::thread::set_no_new_privs(true)?;
    let kept = capabilities(None)?.permitted & (CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW);
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}

async fn serve() -> io::Result<()> {
    // A service manager that stops the server sends its signal to this process as well. The server still needs it.
    let _ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let mut lines = lines_of_input()?;
    let Some(first) = lines.recv().await else { return Ok(()) };
    let Bounds { networks, interface } = serde_json::from_str(&first)?;
    let networks = networks.iter().map(|it| it.parse::<IpNet>().map_err(io::Error::other));
    let mut keeper =
        Keeper { networks: networks.collect::<Result<_, _>>()?, interface, held: BTreeMap::new() };
    let mut until = Moment::default();
    loop {
        let wait = if keeper.held.is_empty() { LOOK } else { until.since(now()).min(LOOK) };
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = tokio::time::sleep(wait) => {
                if until <= now() {
                    keeper.remove_all();
                }
                continue;
            }
        };
        let Some(line) = line else {
            keeper.remove_all();
            return Ok(());
        };
        let Ok(request) = serde_json::from_str::<Request>(&line) else { continue };
        until = bounded(Moment(request.until), now());
        let answer = Answer { id: request.id, faults: keeper.hold(&request.hold, until) };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        // The server is gone if this fails, and standard input ends as well.
        let _ = io::Write::write_all(&mut io::stdout(), &text);
    }
}

/// The end of a permission, which is not beyond that of any lease: the longest time of the kernel means for ever, and a server
/// that was taken over could leave addresses behind.
fn bounded(until: Moment, now: Moment) -> Moment {
    until.min(now.after(HOLD_MAX))
}

/// The lines of standard input, which a thread reads. They end with the server.
fn lines_of_input() -> io::Result<mpsc::UnboundedReceiver<String>> {
    let (lines, received) = mpsc::unbounded_channel();
    std::thread::Builder::new().name(String::from("input")).spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if lines.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(received)
}

struct Keeper {
    networks: Vec<IpNet>,
    interface: Option<String>,
    held: BTreeMap<IpAddr, Held>,
}

/// An address that is held.
struct Held {
    interface: Interface,
    /// The announcements to come: one is easily lost.
    announcements: u32,
}

#[derive(Clone, Debug)]
struct Interface {
    index: u32,
    /// The socket address of packet(7), and the hardware address in it. `None` on a link that needs no announcements.
    link: Option<(nix::sys::socket::LinkAddr, Hardware)>,
}

impl Keeper {
    /// Holds these addresses and no others. Returns those that it cannot hold.
    fn hold(&mut self, addresses: &[IpAddr], until: Moment) -> BTreeMap<IpAddr, String> {
        let mut faults = BTreeMap::new();
        let gone: Vec<IpAddr> = self.held.keys().filter(|it| !addresses.contains(it)).copied().collect();
        for address in gone {
            if let Err(reason) = self.remove(address) {
                faults.insert(address, reason);
            }
        }
        for address in addresses {
            if let Err(reason) = self.hold_one(*address, until) {
                faults.insert(*address, reason);
            }
        }
        faults
    }

    fn hold_one(&mut self, address: IpAddr, until: Moment) -> Result<(), String> {
        let interface = match self.held.get(&address) {
            Some(held) => held.interface.clone(),
            None => self.interface_for(address)?,
        };
        let seconds = u32::try_from(until.since(now()).as_secs()).unwrap_or(0);
        if seconds == 0 {
            // Too late to begin, and the kernel holds the address for what is left of its time.
            return Ok(());
        }
        let message = frames::hold(interface.index, address, seconds);
        let held = self.held.entry(address).or_insert(Held { interface, announcements: ANNOUNCEMENTS });
        if let Err(error) = ask(&message) {
            // It may be there from before, or all the same: one that cannot be removed now is removed later.
            let _ = self.remove(address);
            return Err(format!("cannot add the address: {error}"));
        }
        if held.announcements == 0 {
            return Ok(());
        }
        held.announcements = held.announcements.saturating_sub(1);
        let Some((link, own)) = held.interface.link else { return Ok(()) };
        announce(&link, &frames::announcement(address, own)).map_err(|error| {
            // An announcement is tried again until one has left.
            held.announcements = ANNOUNCEMENTS;
            format!("cannot announce the address: {error}")
        })
    }

    /// Removes an address. One that cannot be removed is still held, and each request tries it again.
    fn remove(&mut self, address: IpAddr) -> Result<(), String> {
        let Some(held) = self.held.get_mut(&address) else { return Ok(()) };
        match ask(&frames::remove(held.interface.index, address)) {
            Err(error) if !error.raw_os_error().is_some_and(|it| GONE.contains(&it)) => {
                held.announcements = ANNOUNCEMENTS;
                Err(format!("cannot remove the address: {error}"))
            }
            _ => {
                self.held.remove(&address);
                Ok(())
            }
        }
    }

    fn remove_all(&mut self) {
        let all: Vec<IpAddr> = self.held.keys().copied().collect();
        for address in all {
            // If it fails, the kernel removes it at the end of its time.
            let _ = self.remove(address);
        }
        self.held.clear();
    }

    /// The interface for an address.
    fn interface_for(&self, address: IpAddr) -> Result<Interface, String> {
        if !self.networks.iter().any(|it| it.contains(&address)) {
            return Err(String::from("it is not in share_addresses of [cluster] of this server"));
        }
        let all: Vec<InterfaceAddress> =
            getifaddrs().map_err(|error| format!("cannot list the interfaces: {error}"))?.collect();
        // One that an earlier process left behind stands alone in its network and is taken over.
        if let Some(there) = all.iter().find(|it| {
            network(it).is_some_and(|it| it.addr() == address && it.prefix_len() < it.max_prefix_len())
        }) {
            return Err(format!("it is configured on {} by somebody else", there.interface_name));
        }
        // Alone in its network, it may be somebody else's all the same: those of such a process have a short lifetime.
        if is_permanent(address).map_err(|error| format!("cannot list the addresses: {error}"))? {
            return Err(String::from("it is configured for ever by somebody else"));
        }
        let up = |it: &&InterfaceAddress| it.flags.contains(InterfaceFlags::IFF_UP);
        let name = match &self.interface {
            Some(name) => all.iter().filter(up).find(|it| it.interface_name == *name).map(|_| name.clone()),
            None => all
                .iter()
                .filter(up)
                .filter_map(|it| Some((network(it)?, it)))
                .filter(|(network, _)| network.contains(&address) && network.addr() != address)
                .max_by_key(|(network, _)| network.prefix_len())
                .map(|(_, it)| it.interface_name.clone()),
        };
        let name = name.ok_or_else(|| match &self.interface {
            Some(name) => format!("the interface {name} is not up"),
            None => String::from("no interface of this server is in its network: set interface in [cluster]"),
        })?;
        let index = if_nametoindex(name.as_str()).map_err(|error| format!("{name}: {error}"))?;
        let link = all.iter().filter(|it| it.interface_name == name && !it.flags.contains(QUIET));
        let link = link
            .filter_map(|it| it.address.as_ref()?.as_link_addr().copied())
            .find_map(|link| Some((link, link.addr()?)));
        Ok(Interface { index, link })
    }
}

/// The network of an address of an interface.
fn network(found: &InterfaceAddress) -> Option<IpNet> {
    let (address, mask) = (found.address.as_ref()?, found.netmask.as_ref()?);
    let ip = |it: &nix::sys::socket::SockaddrStorage| match (it.as_sockaddr_in(), it.as_sockaddr_in6()) {
        (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
        (None, Some(v6)) => Some(IpAddr::V6(v6.ip())),
        _ => None,
    };
    IpNet::with_netmask(ip(address)?, ip(mask)?).ok()
}

/// True if an interface of this machine has an address without a lifetime, or with a longer one than this process gives, such
/// as one of DHCP.
fn is_permanent(address: IpAddr) -> io::Result<bool> {
    let socket = netlink()?;
    send(&socket, &frames::list(address), SendFlags::empty())?;
    let mut buffer = vec![0; LIST_BYTES];
    let most = u32::try_from(HOLD_MAX.as_secs()).unwrap_or(u32::MAX);
    let mut found = false;
    loop {
        // With this flag the length is that of the whole datagram.
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::TRUNC)?;
        let part = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        let listed = frames::listed(part, address, most).ok_or(io::ErrorKind::InvalidData)?;
        found |= listed.is_permanent;
        if listed.is_end {
            return Ok(found);
        }
    }
}

/// A socket of rtnetlink(7).
fn netlink() -> io::Result<std::os::fd::OwnedFd> {
    // No protocol is NETLINK_ROUTE.
    let family = rustix::net::AddressFamily::NETLINK;
    Ok(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

/// Carries out a request of rtnetlink(7).
fn ask(message: &[u8]) -> io::Result<()> {
    let socket = netlink()?;
    send(&socket, message, SendFlags::empty())?;
    let mut answer = [0; ANSWER_BYTES];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match frames::error_of(answer.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(number)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Sends a frame on a link.
fn announce(link: &nix::sys::socket::LinkAddr, frame: &[u8]) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    // The address has no protocol, so that nothing is received.
    nix::sys::socket::bind(socket.as_raw_fd(), link)?;
    send(&socket, frame, SendFlags::empty())?;
    Ok(())
}

/// Links on which nobody asks for hardware addresses.
const QUIET: InterfaceFlags = InterfaceFlags::IFF_LOOPBACK.union(InterfaceFlags::IFF_NOARP);

/// Announcements of an address, one with each request: they come with the renewals, twice a second.
const ANNOUNCEMENTS: u32 = 5;

/// The longest time of a permission: leases have 60 seconds at most.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// The clock of the runtime stands still while the machine is suspended.
const LOOK: Duration = Duration::from_secs(1);

/// EADDRNOTAVAIL, ENODEV and ENXIO: the interface does not have the address any more, or there is no such interface.
const GONE: [i32; 3] = [99, 19, 6];

/// The kernel fills datagrams of at most 32 KiB with a list.
const LIST_BYTES: usize = 64 * 1024;

/// An error repeats the request.
const ANSWER_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_holds_addresses_for_ever() {
        let now = Moment(5_000_000);
        let soon = now.after(Duration::from_secs(10));
        assert_eq!(bounded(soon, now), soon);
        assert_eq!(bounded(Moment(0), now), Moment(0));
        // 0xffff_ffff seconds are INFINITY_LIFE_TIME of the kernel.
        for far in [now.after(Duration::from_secs(u32::MAX.into())), Moment::NEVER] {
            assert_eq!(bounded(far, now).since(now), HOLD_MAX);
        }
    }

    /// The kernel gives the loopback address without a lifetime.
    #[test]
    fn addresses_without_a_lifetime_are_known() {
        assert!(is_permanent("127.0.0.1".parse().unwrap()).unwrap());
        assert!(!is_permanent("192.0.2.9".parse().unwrap()).unwrap());
        assert!(!is_permanent("2001:db8::9".parse().unwrap()).unwrap());
    }
}
