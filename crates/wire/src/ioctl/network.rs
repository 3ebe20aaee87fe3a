//! FSCTL_VALIDATE_NEGOTIATE_INFO (MS-SMB2 2.2.31.4, 2.2.32.6) and FSCTL_QUERY_NETWORK_INTERFACE_INFO (2.2.32.5).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bit_mask;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::fscc::{Chain, ChainWriter};
use crate::ids::Guid;
use crate::layout::fixed_layout;
use crate::limits::DIALECTS_MAX;

/// VALIDATE_NEGOTIATE_INFO request (MS-SMB2 2.2.31.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidateNegotiateRequest {
    /// Capabilities.
    pub capabilities: u32,
    /// Guid.
    pub client_guid: Guid,
    /// SecurityMode.
    pub security_mode: u16,
    /// Dialects.
    pub dialects: Vec<u16>,
}

impl ValidateNegotiateRequest {
    /// Reads the request.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let (capabilities, client_guid, security_mode) = (cursor.u32()?, cursor.guid()?, cursor.u16()?);
        let count = usize::from(cursor.u16()?);
        if count > DIALECTS_MAX {
            return Err(DecodeError::TooMany);
        }
        let dialects = (0..count).map(|_| cursor.u16()).collect::<Result<_, _>>()?;
        Ok(Self { capabilities, client_guid, security_mode, dialects })
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.capabilities);
        out.put_guid(self.client_guid);
        out.put_u16(self.security_mode);
        out.put_u16(wire_u16(self.dialects.len()));
        self.dialects.iter().for_each(|dialect| out.put_u16(*dialect));
    }
}

fixed_layout! {
    /// VALIDATE_NEGOTIATE_INFO response (MS-SMB2 2.2.32.6).
    ValidateNegotiateResponse {
        /// Capabilities.
        capabilities: u32;
        /// Guid.
        server_guid: Guid;
        /// SecurityMode.
        security_mode: u16;
        /// Dialect.
        dialect: u16;
    }
}

bit_mask! {
    /// `Capability` of NETWORK_INTERFACE_INFO (MS-SMB2 2.2.32.5).
    InterfaceCapability(u32) {
        /// RSS_CAPABLE.
        RSS = 1,
        /// RDMA_CAPABLE.
        RDMA = 2,
    }
}

/// NETWORK_INTERFACE_INFO (MS-SMB2 2.2.32.5): one address of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    /// IfIndex, never 0.
    pub index: u32,
    /// Capability.
    pub capability: InterfaceCapability,
    /// LinkSpeed in bits per second.
    pub link_speed: u64,
    /// SockAddr_Storage.
    pub address: IpAddr,
    /// Scope of a link-local IPv6 address (MS-SMB2 2.2.32.5.1.2).
    pub scope_id: u32,
}

/// Appends as many interfaces as fit into `max` bytes. Returns false if some are omitted (STATUS_BUFFER_OVERFLOW).
#[must_use]
pub fn encode_network_interfaces(interfaces: &[NetworkInterface], out: &mut Vec<u8>, max: usize) -> bool {
    let mut chain = ChainWriter::new(out, max, 8);
    interfaces.iter().all(|interface| {
        let Some(out) = chain.begin(INTERFACE_SIZE) else { return false };
        let start = out.len();
        out.put_u32(0);
        out.put_u32(interface.index);
        out.put_u32(interface.capability.0);
        out.put_u32(0);
        out.put_u64(interface.link_speed);
        match interface.address {
            IpAddr::V4(address) => {
                out.put_u16(FAMILY_INET);
                out.put_u16(0);
                out.put_bytes(&address.octets());
            }
            IpAddr::V6(address) => {
                out.put_u16(FAMILY_INET6);
                out.put_u16(0);
                out.put_u32(0);
                out.put_bytes(&address.octets());
                out.put_u32(interface.scope_id);
            }
        }
        let used = out.len().saturating_sub(start);
        out.put_zeros(INTERFACE_SIZE.saturating_sub(used));
        true
    })
}

/// The interfaces in an answer; those of other address families are skipped.
pub fn decode_network_interfaces(
    data: &[u8],
) -> impl Iterator<Item = Result<NetworkInterface, DecodeError>> + use<'_> {
    Chain::new(data, INTERFACES_MAX).filter_map(|element| element.and_then(read_interface).transpose())
}

fn read_interface(element: &[u8]) -> Result<Option<NetworkInterface>, DecodeError> {
    let mut cursor = ReadCursor::new(element);
    cursor.skip(4)?;
    let (index, capability) = (cursor.u32()?, InterfaceCapability(cursor.u32()?));
    cursor.skip(4)?;
    let link_speed = cursor.u64()?;
    let mut address = cursor.sub(128)?;
    let family = address.u16()?;
    address.skip(2)?;
    let (address, scope_id) = match family {
        FAMILY_INET => (IpAddr::from(Ipv4Addr::from(address.array::<4>()?)), 0),
        FAMILY_INET6 => {
            address.skip(4)?;
            (IpAddr::from(Ipv6Addr::from(address.array::<16>()?)), address.u32()?)
        }
        _ => return Ok(None),
    };
    Ok(Some(NetworkInterface { index, capability, link_speed, address, scope_id }))
}

/// Bytes of one NETWORK_INTERFACE_INFO.
const INTERFACE_SIZE: usize = 152;

/// Addresses taken from one answer: servers with more than a few dozen are unknown.
const INTERFACES_MAX: usize = 1024;

/// `Family` of MS-SMB2 2.2.32.5.1: Windows' numbers, whatever the platform's are.
const FAMILY_INET: u16 = 2;
const FAMILY_INET6: u16 = 23;
