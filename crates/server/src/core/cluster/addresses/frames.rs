//! The messages about addresses: those of rtnetlink(7) that add and remove one, and the frames by which a host announces
//! that an address is now its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address of Ethernet.
pub(super) type Hardware = [u8; 6];

/// The request that adds an address to an interface for some seconds, or extends the time of one. The kernel removes the
/// address at their end, whatever happens to the process.
///
/// The address is deprecated from the beginning: it is not the source of connections that this host opens. An IPv6 address
/// is used at once, without a search for duplicates, which the lease in etcd excludes.
pub(super) fn hold(index: u32, address: IpAddr, seconds: u32) -> Vec<u8> {
    let mut message = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, address);
    let mut lifetimes = Vec::new();
    for number in [0, seconds, 0, 0] {
        lifetimes.extend_from_slice(&u32::to_ne_bytes(number));
    }
    attribute(&mut message, IFA_CACHEINFO, &lifetimes);
    if address.is_ipv6() {
        attribute(&mut message, IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes());
    }
    end(message)
}

/// The request that removes an address from an interface.
pub(super) fn remove(index: u32, address: IpAddr) -> Vec<u8> {
    end(begin(RTM_DELADDR, 0, index, address))
}

/// The request for a list of all addresses of the family of this one.
pub(super) fn list(address: IpAddr) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend_from_slice(&RTM_GETADDR.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
    message.extend_from_slice(&[family, 0, 0, 0, 0, 0, 0, 0]);
    end(message)
}

/// A datagram of a list of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// True if it has the address in question, without a lifetime or with a longer one than this server gives.
    pub(super) is_permanent: bool,
    /// True if the list ends.
    pub(super) is_end: bool,
}

/// Looks for an address in a datagram of the answer to [`list`]. `None` if it is not one, or reports an error. An address that
/// stays for more than `most` seconds counts as one without a lifetime.
pub(super) fn listed(mut datagram: &[u8], address: IpAddr, most: u32) -> Option<Listed> {
    let octets = octets(address);
    let mut found = Listed::default();
    while !datagram.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
        let message = datagram.get(..length)?;
        match u16::from_ne_bytes(*message.get(4..6)?.first_chunk()?) {
            NLMSG_DONE => found.is_end = true,
            RTM_NEWADDR => {
                let mut is_permanent = message.get(HEADER_BYTES.checked_add(2)?)? & IFA_F_PERMANENT != 0;
                let mut rest = message.get(HEADER_BYTES.checked_add(8)?..)?;
                let mut is_it = false;
                while !rest.is_empty() {
                    let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
                    let kind = u16::from_ne_bytes(*rest.get(2..4)?.first_chunk()?);
                    let value = rest.get(4..length)?;
                    if kind == IFA_CACHEINFO {
                        is_permanent |= u32::from_ne_bytes(*value.get(4..8)?.first_chunk()?) > most;
                    }
                    is_it |= matches!(kind, IFA_LOCAL | IFA_ADDRESS) && value == octets;
                    rest = rest.get(length.checked_next_multiple_of(4)?..).unwrap_or_default();
                }
                found.is_permanent |= is_permanent && is_it;
            }
            _ => return None,
        }
        // A message has its header at least, so that each step is one.
        datagram = datagram.get(length.checked_next_multiple_of(4)?..).unwrap_or_default();
    }
    Some(found)
}

/// The error number of an answer, 0 for success. `None` if it is not an answer.
pub(super) fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = answer.get(4..6)?.first_chunk()?;
    let number = answer.get(16..20)?.first_chunk()?;
    (u16::from_ne_bytes(*kind) == NLMSG_ERROR).then(|| i32::from_ne_bytes(*number).saturating_neg())
}

/// The frame that announces an address: an ARP announcement (RFC 5227 2.3) or an unsolicited neighbor advertisement
/// (RFC 4861 7.2.6).
pub(super) fn announcement(address: IpAddr, own: Hardware) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(address, own),
        IpAddr::V6(address) => advertisement(address, own),
    }
}

fn arp(address: Ipv4Addr, own: Hardware) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], own, ETHERTYPE_ARP);
    // Ethernet, IPv4, their lengths, and a request.
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&own);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&address.octets());
    frame.resize(FRAME_BYTES_MIN, 0);
    frame
}

fn advertisement(address: Ipv6Addr, own: Hardware) -> Vec<u8> {
    // Type, code, checksum; the flag Override; the target; the option with the link-layer address of the target.
    let mut payload = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    payload.extend_from_slice(&address.octets());
    payload.extend_from_slice(&[2, 1]);
    payload.extend_from_slice(&own);
    let sum = checksum(address, ALL_NODES, &payload).to_be_bytes();
    if let Some(place) = payload.get_mut(2..4) {
        place.copy_from_slice(&sum);
    }
    let mut frame = ethernet(ALL_NODES_HARDWARE, own, ETHERTYPE_IPV6);
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    frame.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    frame.extend_from_slice(&[ICMPV6, 255]);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&ALL_NODES.octets());
    frame.extend_from_slice(&payload);
    frame
}

fn ethernet(to: Hardware, from: Hardware, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::from(to);
    frame.extend_from_slice(&from);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame
}

/// The checksum of ICMPv6, with the pseudo-header of RFC 8200 8.1.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> u16 {
    let mut bytes = Vec::from(from.octets());
    bytes.extend_from_slice(&to.octets());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, ICMPV6]);
    bytes.extend_from_slice(payload);
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut sum: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The headers of a request about an address, which stands alone in its network.
fn begin(kind: u16, flags: u16, index: u32, address: IpAddr) -> Vec<u8> {
    let (family, prefix) = if address.is_ipv4() { (AF_INET, 32) } else { (AF_INET6, 128) };
    let mut message = vec![0; 4];
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[family, prefix, 0, 0]);
    message.extend_from_slice(&index.to_ne_bytes());
    let octets = octets(address);
    attribute(&mut message, IFA_LOCAL, &octets);
    attribute(&mut message, IFA_ADDRESS, &octets);
    message
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Adds an attribute, whose length is a multiple of four.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(0);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
}

fn end(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(0).to_ne_bytes();
    if let Some(place) = message.get_mut(..4) {
        place.copy_from_slice(&length);
    }
    message
}

/// The header of a message of netlink(7).
const HEADER_BYTES: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
const IFA_F_PERMANENT: u8 = 0x80;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_HARDWARE: Hardware = [0x33, 0x33, 0, 0, 0, 1];

/// The shortest frame of Ethernet, without its check sequence.
const FRAME_BYTES_MIN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Hardware = [2, 0, 0, 0, 0, 9];

    #[test]
    fn requests_have_the_layout_of_rtnetlink() {
        let message = hold(7, "192.0.2.5".parse().unwrap(), 2);
        let length = u32::from_ne_bytes(*message.first_chunk().unwrap());
        assert_eq!(length as usize, message.len());
        assert_eq!(message[16..24], [2, 32, 0, 0, 7, 0, 0, 0]);
        // IFA_LOCAL, IFA_ADDRESS, and the lifetimes: preferred 0, valid 2.
        assert_eq!(message[24..32], [8, 0, 2, 0, 192, 0, 2, 5]);
        assert_eq!(message[32..40], [8, 0, 1, 0, 192, 0, 2, 5]);
        assert_eq!(message[40..52], [20, 0, 6, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(remove(7, "2001:db8::1".parse().unwrap()).len(), 24 + 20 + 20);
    }

    #[test]
    fn answers_of_the_kernel_are_read() {
        let mut answer = vec![0; 36];
        answer[4] = 2;
        assert_eq!(error_of(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-99_i32).to_ne_bytes());
        assert_eq!(error_of(&answer), Some(99));
        assert_eq!(error_of(&answer[..19]), None);
        answer[4] = 3;
        assert_eq!(error_of(&answer), None);
    }

    #[test]
    fn addresses_without_a_lifetime_are_found_in_a_list() {
        let (own, other) = ("192.0.2.5".parse().unwrap(), "192.0.2.6".parse().unwrap());
        // The kernel lists an address as it is added.
        let mut permanent = hold(7, own, 2);
        permanent[18] |= IFA_F_PERMANENT;
        let done = end([&[0; 4][..], &NLMSG_DONE.to_ne_bytes(), &[0; 14]].concat());
        let datagram = [hold(7, other, 2), permanent, done].concat();
        assert_eq!(listed(&datagram, own, 60), Some(Listed { is_permanent: true, is_end: true }));
        assert_eq!(listed(&datagram, other, 60), Some(Listed { is_permanent: false, is_end: true }));
        // One of DHCP has a lifetime, too.
        assert_eq!(listed(&datagram, other, 1), Some(Listed { is_permanent: true, is_end: true }));
        for length in 1..datagram.len() {
            // None of them hangs or panics.
            let _ = listed(&datagram[..length], own, 60);
        }
        assert_eq!(listed(&[0; 16], own, 60), None);
        assert_eq!(listed(&end([&[0; 4][..], &NLMSG_ERROR.to_ne_bytes(), &[0; 14]].concat()), own, 60), None);
    }

    #[test]
    fn announcements_name_the_own_hardware_address() {
        let frame = announcement("192.0.2.5".parse().unwrap(), OWN);
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6]);
        assert_eq!(frame[22..32], [2, 0, 0, 0, 0, 9, 192, 0, 2, 5]);
        assert_eq!(frame[38..42], [192, 0, 2, 5]);
    }

    #[test]
    fn checksum_of_an_advertisement_makes_the_sum_zero() {
        let frame = announcement("2001:db8::1".parse().unwrap(), OWN);
        let payload = &frame[54..];
        assert_eq!((payload[0], payload[4], payload.len()), (136, 0x20, 32));
        // RFC 1071: over a message with its checksum, the sum is all ones.
        assert_eq!(checksum("2001:db8::1".parse().unwrap(), ALL_NODES, payload), 0);
    }
}
