//! The endpoint mapper (C706 appendix O): it tells clients the port of an interface. Only the question for one interface is
//! served, `ept_map`.

use std::net::Ipv4Addr;

use crate::fault::Fault;
use crate::ndr::{NdrError, Reader, Writer};
use crate::uuid::{InterfaceId, Uuid};

/// The interface.
pub const INTERFACE: InterfaceId = InterfaceId {
    uuid: Uuid::from_fields(0xe1af8308, 0x5d1f, 0x11c9, [0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa]),
    major: 3,
    minor: 0,
};

/// The address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The interface.
    pub interface: InterfaceId,
    /// The address of the server. Towers have no addresses of IPv6; clients take the one that they have connected to.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// Executes a call: `ept_map` for the interface of `mapping`, over TCP.
///
/// # Errors
/// A fault for all other operations, and for requests that are not those of the operation.
pub fn call(opnum: u16, stub: &[u8], mapping: &Mapping) -> Result<Vec<u8>, Fault> {
    if opnum != EPT_MAP {
        return Err(Fault::OP_RANGE_ERROR);
    }
    let asked = read(stub).map_err(|_| Fault::BAD_STUB_DATA)?;
    let found = asked.is_some_and(|asked| mapping.interface.serves(&asked));
    let mut to = Writer::default();
    to.octets(&[0; 20]);
    let tower = tower(mapping);
    to.u32(u32::from(found));
    // The array of towers: its size, offset and length.
    to.u32(1);
    to.u32(0);
    to.u32(u32::from(found));
    if found {
        to.pointer(true);
        to.count(tower.len());
        to.count(tower.len());
        to.octets(&tower);
    }
    to.u32(if found { 0 } else { EPT_S_NOT_REGISTERED });
    Ok(to.finish())
}

/// The interface of a request over TCP. `None` for another protocol.
fn read(stub: &[u8]) -> Result<Option<InterfaceId>, NdrError> {
    let mut from = Reader::new(stub);
    if from.pointer()? {
        from.octets(16)?;
    }
    if !from.pointer()? {
        return Ok(None);
    }
    let (size, length) = (from.u32()?, from.u32()?);
    if size != length {
        return Err(NdrError::Count(length));
    }
    let tower = from.octets(length)?;
    from.align();
    from.octets(20)?;
    if from.u32()? == 0 {
        return Ok(None);
    }
    Ok(interface_of(tower))
}

/// The interface of a tower for RPC over TCP and IP.
fn interface_of(tower: &[u8]) -> Option<InterfaceId> {
    let (count, mut rest) = tower.split_first_chunk::<2>()?;
    if u16::from_le_bytes(*count) != FLOORS {
        return None;
    }
    let mut floors = Vec::new();
    for _ in 0..FLOORS {
        let mut parts = Vec::new();
        for _ in 0..2 {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (part, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            parts.push(part);
            rest = behind;
        }
        floors.push(parts);
    }
    let protocols: Vec<_> = floors.iter().skip(2).filter_map(|it| it.first()?.first().copied()).collect();
    if protocols != [CONNECTION_ORIENTED, TCP, IP] {
        return None;
    }
    let first = floors.first()?;
    let (kind, id) = first.first()?.split_first()?;
    let (uuid, major) = id.split_first_chunk::<16>()?;
    let major = u16::from_le_bytes(*major.first_chunk()?);
    let minor = u16::from_le_bytes(*first.get(1)?.first_chunk()?);
    (*kind == UUID).then_some(InterfaceId { uuid: Uuid(*uuid), major, minor })
}

/// The protocol tower of a mapping (C706 appendix L).
fn tower(mapping: &Mapping) -> Vec<u8> {
    let mut tower = Vec::from(FLOORS.to_le_bytes());
    let mut floor = |left: &[u8], right: &[u8]| {
        for part in [left, right] {
            tower.extend_from_slice(&u16::try_from(part.len()).unwrap_or(0).to_le_bytes());
            tower.extend_from_slice(part);
        }
    };
    for id in [mapping.interface, InterfaceId::NDR20] {
        let mut left = vec![UUID];
        left.extend_from_slice(&id.uuid.0);
        left.extend_from_slice(&id.major.to_le_bytes());
        floor(&left, &id.minor.to_le_bytes());
    }
    floor(&[CONNECTION_ORIENTED], &[0, 0]);
    floor(&[TCP], &mapping.port.to_be_bytes());
    floor(&[IP], &mapping.address.octets());
    tower
}

const EPT_MAP: u16 = 3;
const EPT_S_NOT_REGISTERED: u32 = 0x16c9_a0d6;
const FLOORS: u16 = 5;
const UUID: u8 = 0x0d;
const CONNECTION_ORIENTED: u8 = 0x0b;
const TCP: u8 = 0x07;
const IP: u8 = 0x09;

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> Mapping {
        Mapping { interface: crate::witness::INTERFACE, address: Ipv4Addr::new(192, 0, 2, 1), port: 135 }
    }

    fn request(interface: InterfaceId) -> Vec<u8> {
        let tower = tower(&Mapping { interface, address: Ipv4Addr::UNSPECIFIED, port: 0 });
        let mut to = Writer::default();
        to.pointer(false);
        to.pointer(true);
        to.count(tower.len());
        to.count(tower.len());
        to.octets(&tower);
        to.align();
        to.octets(&[0; 20]);
        to.u32(4);
        to.finish()
    }

    #[test]
    fn the_port_of_the_interface_is_found() {
        let answer = call(3, &request(crate::witness::INTERFACE), &mapping()).unwrap();
        assert_eq!(answer[20..24], [1, 0, 0, 0]);
        let tower = tower(&mapping());
        assert!(answer.windows(tower.len()).any(|it| it == tower));
        assert_eq!(tower[tower.len() - 13..tower.len() - 9], [2, 0, 0, 135]);
        assert_eq!(answer[answer.len() - 4..], [0; 4]);
    }

    #[test]
    fn others_are_not_registered() {
        let answer = call(3, &request(crate::srvsvc::INTERFACE), &mapping()).unwrap();
        assert_eq!(answer[20..24], [0; 4]);
        assert_eq!(answer[answer.len() - 4..], 0x16c9_a0d6_u32.to_le_bytes());
        assert_eq!(call(2, &[], &mapping()), Err(Fault::OP_RANGE_ERROR));
        assert_eq!(call(3, &[1; 9], &mapping()), Err(Fault::BAD_STUB_DATA));
    }
}
