//! The links of the machine: its addresses on interfaces with multicast.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use crate::Announced;

/// An address of the machine and its network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Link {
    pub(crate) interface: String,
    /// The number of the interface, by which the kernel knows it.
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) mask: IpAddr,
}

impl Link {
    /// True if an address is in the network of the link.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match (self.address, self.mask, address) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(it)) => it & mask == own & mask,
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(it)) => it & mask == own & mask,
            _ => false,
        }
    }

    /// True if the messages of WS-Discovery go out from this address: each one of IPv4, and the link-local one of IPv6.
    pub(crate) fn speaks_wsd(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
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
        if let (Some(address), Some(mask)) = (ip(it.address), ip(it.netmask))
            && let Ok(index) = if_nametoindex(it.interface_name.as_str())
        {
            let listens =
                |it: &IpAddr| it.is_unspecified() && it.is_ipv4() == address.is_ipv4() || *it == address;
            if announced.listening.iter().any(listens) {
                links.push(Link { interface: it.interface_name, index, address, mask });
            }
        }
    }
    links
}

fn ip(address: Option<SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::from(it.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::from(it.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(address: &str, mask: &str) -> Link {
        Link {
            interface: "eth0".into(),
            index: 2,
            address: address.parse().unwrap(),
            mask: mask.parse().unwrap(),
        }
    }

    #[test]
    fn neighbours_are_those_of_the_network() {
        let address = |text: &str| text.parse().unwrap();
        let v4 = link("192.0.2.70", "255.255.255.192");
        assert!(v4.has(address("192.0.2.65")));
        assert!(!v4.has(address("192.0.2.63")));
        assert!(!v4.has(address("198.51.100.70")));
        assert!(!v4.has(address("fe80::1")));
        let v6 = link("fe80::1", "ffff:ffff:ffff:ffff::");
        assert!(v6.has(address("fe80::2")));
        assert!(!v6.has(address("2001:db8::2")));
        assert!(!v6.has(address("192.0.2.65")));
        assert!(v6.speaks_wsd() && v4.speaks_wsd());
        assert!(!link("2001:db8::1", "ffff:ffff:ffff:ffff::").speaks_wsd());
    }
}
