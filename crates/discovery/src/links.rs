//! The links of the machine: its IPv4 addresses on interfaces with multicast.

use std::net::{IpAddr, Ipv4Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::Announced;

/// An address of the machine and its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) interface: String,
    pub(crate) address: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Link {
    /// True if an address is in the network of the link.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        self.address & self.mask == address & self.mask
    }
}

/// The links on which the server listens, without those that are left out. Loopback and point-to-point interfaces have no
/// neighbours.
pub(crate) fn current(announced: &Announced) -> Vec<Link> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let mut links = Vec::new();
    for it in all {
        let without = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_POINTOPOINT;
        let with = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST;
        if it.flags.intersects(without)
            || !it.flags.contains(with)
            || announced.leave_out.contains(&it.interface_name)
        {
            continue;
        }
        let ip = |address: Option<nix::sys::socket::SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
        if let (Some(address), Some(mask)) = (ip(it.address), ip(it.netmask)) {
            let listens = |it: &IpAddr| it.is_ipv4() && it.is_unspecified() || *it == IpAddr::V4(address);
            if announced.listening.iter().any(listens) {
                links.push(Link { interface: it.interface_name, address, mask });
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_the_network() {
        let address = |text: &str| text.parse().unwrap();
        let link = Link {
            interface: "eth0".into(),
            address: address("192.0.2.70"),
            mask: address("255.255.255.192"),
        };
        assert!(link.has(address("192.0.2.65")));
        assert!(!link.has(address("192.0.2.63")));
        assert!(!link.has(address("198.51.100.70")));
    }
}
