//! MS-SWN: the Service Witness Protocol, over TCP.

use crate::Win32Error;
use crate::association::Endpoint;
use crate::ndr::{ContextHandle, Ndr, NdrError, Parameter, Reader, Writer, read_container, write_container};
use crate::uuid::{InterfaceId, Uuid};

/// The interface (MS-SWN 1.9).
pub const INTERFACE: InterfaceId = InterfaceId {
    uuid: Uuid::from_fields(0xccd8c074, 0xd0e5, 0x4a40, [0x92, 0xb4, 0xd0, 0x74, 0xfa, 0xa6, 0xba, 0x28]),
    major: 1,
    minor: 1,
};

/// The interfaces of the port: the endpoint mapper is on the same one.
pub const ENDPOINT: Endpoint = Endpoint { pipe: "witness", interfaces: &[INTERFACE, crate::epm::INTERFACE] };

/// The versions of the protocol (MS-SWN 1.7).
pub const VERSION_1: u32 = 0x0001_0001;
/// Version 2, with [`RegisterExRequest`].
pub const VERSION_2: u32 = 0x0002_0000;

/// ERROR_NOT_FOUND.
pub const NOT_FOUND: Win32Error = Win32Error(1168);
/// ERROR_REVISION_MISMATCH.
pub const REVISION_MISMATCH: Win32Error = Win32Error(1306);
/// ERROR_NO_SYSTEM_RESOURCES.
pub const NO_SYSTEM_RESOURCES: Win32Error = Win32Error(1450);
/// ERROR_TIMEOUT.
pub const TIMEOUT: Win32Error = Win32Error(1460);
/// ERROR_INVALID_STATE.
pub const INVALID_STATE: Win32Error = Win32Error(5023);

/// WITNESS_INTERFACE_INFO (MS-SWN 2.2.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// `InterfaceGroupName`: the name of the node, 259 UTF-16 units at most.
    pub group_name: String,
    /// `Version`.
    pub version: u32,
    /// `State`.
    pub state: u16,
    /// `IPV4`, in network order; zero without [`InterfaceInfo::IPV4`].
    pub ipv4: [u8; 4],
    /// `IPV6`, in network order; zero without [`InterfaceInfo::IPV6`].
    pub ipv6: [u8; 16],
    /// `Flags`.
    pub flags: u32,
}

impl InterfaceInfo {
    /// The interface is available.
    pub const AVAILABLE: u16 = 1;
    /// `ipv4` has an address.
    pub const IPV4: u32 = 1;
    /// `ipv6` has an address.
    pub const IPV6: u32 = 2;
    /// INTERFACE_WITNESS: clients can register there.
    pub const WITNESS: u32 = 4;
}

impl Ndr for InterfaceInfo {
    const MIN: usize = 552;

    fn write(&self, to: &mut Writer) {
        to.align();
        let mut name: Vec<u8> = self.group_name.encode_utf16().take(259).flat_map(u16::to_le_bytes).collect();
        name.resize(520, 0);
        to.octets(&name);
        to.u32(self.version);
        to.u16(self.state);
        to.align();
        to.octets(&self.ipv4);
        to.octets(&self.ipv6);
        to.u32(self.flags);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.align();
        let (units, _) = from.octets(520)?.as_chunks::<2>();
        let units = units.iter().map(|it| u16::from_le_bytes(*it)).take_while(|it| *it != 0).take(259);
        let group_name =
            char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        let (version, state) = (from.u32()?, from.u16()?);
        from.align();
        let ipv4 = from.octets(4)?.first_chunk().copied().ok_or(NdrError::Truncated)?;
        let ipv6 = from.octets(16)?.first_chunk().copied().ok_or(NdrError::Truncated)?;
        Ok(Self { group_name, version, state, ipv4, ipv6, flags: from.u32()? })
    }
}

/// WITNESS_INTERFACE_LIST (MS-SWN 2.2.2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceList {
    /// `InterfaceInfo`, of `NumberOfInterfaces` entries.
    pub interfaces: Vec<InterfaceInfo>,
}

impl Parameter for InterfaceList {
    fn write_whole(&self, to: &mut Writer) {
        write_container(&self.interfaces, to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        Ok(Self { interfaces: read_container(from)? })
    }
}

ndr_unique_parameter!(InterfaceList);

/// RESP_ASYNC_NOTIFY (MS-SWN 2.2.2.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsyncNotification {
    /// `MessageType`.
    pub message_type: u32,
    /// `NumberOfMessages`.
    pub messages: u32,
    /// `MessageBuffer`, of `Length` octets.
    pub buffer: Vec<u8>,
}

impl Parameter for AsyncNotification {
    fn write_whole(&self, to: &mut Writer) {
        to.u32(self.message_type);
        to.count(self.buffer.len());
        to.u32(self.messages);
        to.pointer(!self.buffer.is_empty());
        if !self.buffer.is_empty() {
            to.count(self.buffer.len());
            to.octets(&self.buffer);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let (message_type, length, messages) = (from.u32()?, from.u32()?, from.u32()?);
        let mut buffer = Vec::new();
        if from.pointer()? {
            let count = from.u32()?;
            if count != length {
                return Err(NdrError::Count(length));
            }
            buffer = from.octets(count)?.to_vec();
        }
        Ok(Self { message_type, messages, buffer })
    }
}

ndr_unique_parameter!(AsyncNotification);

/// A message of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// RESOURCE_CHANGE (MS-SWN 2.2.2.3): a resource has become available or unavailable.
    ResourceChange {
        /// `ResourceName`.
        name: String,
        /// True if `ChangeType` is WITNESS_RESOURCE_STATE_AVAILABLE.
        is_available: bool,
    },
    /// The client is to move to one of these addresses.
    ClientMove(Vec<AddressInfo>),
    /// The client is to move the share to one of these addresses.
    ShareMove(Vec<AddressInfo>),
    /// Addresses have come or gone.
    IpChange(Vec<AddressInfo>),
}

/// IPADDR_INFO (MS-SWN 2.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    /// The address.
    pub address: std::net::IpAddr,
    /// True if it can be reached.
    pub is_online: bool,
}

impl Message {
    /// The answer with this message.
    pub fn to_notification(&self) -> AsyncNotification {
        let (message_type, buffer) = match self {
            Self::ResourceChange { name, is_available } => (1, resource_change(name, *is_available)),
            Self::ClientMove(addresses) => (2, address_list(addresses)),
            Self::ShareMove(addresses) => (3, address_list(addresses)),
            Self::IpChange(addresses) => (4, address_list(addresses)),
        };
        AsyncNotification { message_type, messages: 1, buffer }
    }
}

fn resource_change(name: &str, is_available: bool) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let length = u32::try_from(name.len().saturating_add(8)).unwrap_or(u32::MAX);
    let mut buffer = Vec::from(length.to_le_bytes());
    let change: u32 = if is_available { 1 } else { 0xff };
    buffer.extend_from_slice(&change.to_le_bytes());
    buffer.extend_from_slice(&name);
    buffer
}

/// IPADDR_INFO_LIST (MS-SWN 2.2.2.2).
fn address_list(addresses: &[AddressInfo]) -> Vec<u8> {
    let count = u32::try_from(addresses.len()).unwrap_or(0);
    let mut buffer = Vec::from(count.saturating_mul(24).saturating_add(12).to_le_bytes());
    buffer.extend_from_slice(&0_u32.to_le_bytes());
    buffer.extend_from_slice(&count.to_le_bytes());
    for it in addresses {
        let (flag, ipv4, ipv6) = match it.address {
            std::net::IpAddr::V4(address) => (IPADDR_V4, address.octets(), [0; 16]),
            std::net::IpAddr::V6(address) => (IPADDR_V6, [0; 4], address.octets()),
        };
        let state = if it.is_online { IPADDR_ONLINE } else { IPADDR_OFFLINE };
        buffer.extend_from_slice(&(flag | state).to_le_bytes());
        buffer.extend_from_slice(&ipv4);
        buffer.extend_from_slice(&ipv6);
    }
    buffer
}

const IPADDR_V4: u32 = 1;
const IPADDR_V6: u32 = 2;
const IPADDR_ONLINE: u32 = 8;
const IPADDR_OFFLINE: u32 = 0x10;

/// WITNESS_REGISTER_IP_NOTIFICATION (MS-SWN 3.1.4.5).
pub const REGISTER_IP_NOTIFICATION: u32 = 1;

ndr_call! {
    /// WitnessrGetInterfaceList (MS-SWN 3.1.4.1): the addresses of the cluster.
    0 "WitnessrGetInterfaceList" GetInterfaceListRequest {
    } => GetInterfaceListResponse {
        list: Option<InterfaceList> = "InterfaceList",
    } refused |_| {
        list: None,
    }
}

ndr_call! {
    /// WitnessrRegister (MS-SWN 3.1.4.2).
    1 "WitnessrRegister" RegisterRequest {
        version: u32 = "Version",
        net_name: Option<String> = "NetName",
        address: Option<String> = "IpAddress",
        client: Option<String> = "ClientComputerName",
    } => RegisterResponse {
        handle: ContextHandle = "ppContext",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_call! {
    /// WitnessrUnRegister (MS-SWN 3.1.4.3).
    2 "WitnessrUnRegister" UnRegisterRequest {
        handle: ContextHandle = "pContext",
    } => UnRegisterResponse {
    } refused |_| {
    }
}

ndr_call! {
    /// WitnessrAsyncNotify (MS-SWN 3.1.4.4): waits for a notification.
    3 "WitnessrAsyncNotify" AsyncNotifyRequest {
        handle: ContextHandle = "pContext",
    } => AsyncNotifyResponse {
        notification: Option<AsyncNotification> = "pResp",
    } refused |_| {
        notification: None,
    }
}

ndr_call! {
    /// WitnessrRegisterEx (MS-SWN 3.1.4.5).
    4 "WitnessrRegisterEx" RegisterExRequest {
        version: u32 = "Version",
        net_name: Option<String> = "NetName",
        share_name: Option<String> = "ShareName",
        address: Option<String> = "IpAddress",
        client: Option<String> = "ClientComputerName",
        flags: u32 = "Flags",
        keep_alive_timeout: u32 = "KeepAliveTimeout",
    } => RegisterExResponse {
        handle: ContextHandle = "ppContext",
    } refused |_| {
        handle: ContextHandle::default(),
    }
}

ndr_interface! {
    /// WitnessrGetInterfaceList.
    GetInterfaceList(GetInterfaceListRequest => GetInterfaceListResponse),
    /// WitnessrRegister.
    Register(RegisterRequest => RegisterResponse),
    /// WitnessrUnRegister.
    UnRegister(UnRegisterRequest => UnRegisterResponse),
    /// WitnessrAsyncNotify.
    AsyncNotify(AsyncNotifyRequest => AsyncNotifyResponse),
    /// WitnessrRegisterEx.
    RegisterEx(RegisterExRequest => RegisterExResponse),
}

#[cfg(test)]
mod any {
    use super::*;
    use crate::entropy::{Any, Entropy};

    impl Any for InterfaceList {
        fn any(from: &mut Entropy<'_>) -> Self {
            let count = from.below(3);
            let one = |from: &mut Entropy<'_>| InterfaceInfo {
                group_name: String::from("node"),
                version: Any::any(from),
                state: Any::any(from),
                ipv4: [from.octet(); 4],
                ipv6: [from.octet(); 16],
                flags: Any::any(from),
            };
            Self { interfaces: (0..count).map(|_| one(from)).collect() }
        }
    }

    impl Any for AsyncNotification {
        fn any(from: &mut Entropy<'_>) -> Self {
            let length = from.below(40);
            let buffer = (0..length).map(|_| from.octet()).collect();
            Self { message_type: Any::any(from), messages: Any::any(from), buffer }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::{Any, Entropy};

    proptest! {
        #[test]
        fn requests_and_refusals_round_trip(seed in prop::collection::vec(any::<u8>(), 0..100)) {
            let request: Request = Any::any(&mut Entropy(&seed));
            let refusal = request.refuse(INVALID_STATE);
            prop_assert_eq!(Response::decode(request.opnum(), &refusal.encode()), Ok(refusal));
            prop_assert_eq!(Request::decode(request.opnum(), &request.encode()), Ok(request));
        }

        #[test]
        fn responses_round_trip(seed in prop::collection::vec(any::<u8>(), 0..200)) {
            let response: Response = Any::any(&mut Entropy(&seed));
            prop_assert_eq!(Response::decode(response.opnum(), &response.encode()), Ok(response));
        }
    }

    /// MS-SWN 4.1 has the layout of an interface.
    #[test]
    fn interfaces_have_their_size_and_network_order() {
        let info = InterfaceInfo {
            group_name: String::from("NODE02"),
            version: u32::MAX,
            state: 1,
            ipv4: [192, 168, 1, 22],
            ipv6: [0; 16],
            flags: 5,
        };
        let response = GetInterfaceListResponse {
            list: Some(InterfaceList { interfaces: vec![info] }),
            status: Win32Error::SUCCESS,
        };
        let stub = Response::from(response).encode();
        // The pointer, the count, the pointer to the array, its size, the entry and the status.
        assert_eq!(stub.len(), 4 + 4 + 4 + 4 + 552 + 4);
        assert_eq!(stub[16..20], [b'N', 0, b'O', 0]);
        assert_eq!(stub[544..548], [192, 168, 1, 22]);
        assert_eq!(stub[564..568], [5, 0, 0, 0]);
    }

    #[test]
    fn messages_have_their_lengths() {
        let moved = AddressInfo { address: "192.0.2.1".parse().unwrap(), is_online: true };
        let notification = Message::ShareMove(vec![moved]).to_notification();
        assert_eq!((notification.message_type, notification.messages), (3, 1));
        assert_eq!(
            notification.buffer[..20],
            [36, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 192, 0, 2, 1]
        );
        let gone = Message::ResourceChange { name: String::from("a"), is_available: false };
        assert_eq!(gone.to_notification().buffer, [12, 0, 0, 0, 0xff, 0, 0, 0, b'a', 0, 0, 0]);
    }
}
