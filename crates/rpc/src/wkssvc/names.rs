//! The names of the computer, and its domain or workgroup (MS-WKST 3.2.4.13, 3.2.4.18).

use crate::ndr::{
    Enum16, NdrError, Parameter, Reader, UnicodeString, Writer, read_container, write_container,
};

/// NETSETUP_JOIN_STATUS of a computer in a workgroup (MS-WKST 2.2.3.1).
pub const NET_SETUP_WORKGROUP_NAME: Enum16 = Enum16(2);
/// NetSetupDomainName: the computer is in a domain.
pub const NET_SETUP_DOMAIN_NAME: Enum16 = Enum16(3);

/// NET_COMPUTER_NAME_ARRAY (MS-WKST 2.2.5.19).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ComputerNameArray {
    /// `ComputerNames`, of `EntryCount` entries.
    pub names: Vec<UnicodeString>,
}

impl Parameter for ComputerNameArray {
    fn write_whole(&self, to: &mut Writer) {
        write_container(&self.names, to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        Ok(Self { names: read_container(from)? })
    }
}

ndr_unique_parameter!(ComputerNameArray);

ndr_call! {
    /// NetrGetJoinInformation (MS-WKST 3.2.4.13): the domain or workgroup.
    20 "NetrGetJoinInformation" GetJoinInformationRequest {
        server_name: Option<String> = "ServerName",
        name_buffer: Option<String> = "NameBuffer",
    } => GetJoinInformationResponse {
        name_buffer: Option<String> = "NameBuffer",
        buffer_type: Enum16 = "BufferType",
    } refused |request| {
        name_buffer: request.name_buffer.clone(),
        buffer_type: Enum16(0),
    }
}

ndr_call! {
    /// NetrEnumerateComputerNames (MS-WKST 3.2.4.22): the computer's names.
    30 "NetrEnumerateComputerNames" EnumerateComputerNamesRequest {
        server_name: Option<String> = "ServerName",
        name_type: Enum16 = "NameType",
        reserved: u32 = "Reserved",
    } => EnumerateComputerNamesResponse {
        names: Option<ComputerNameArray> = "ComputerNames",
    } refused |_| {
        names: None,
    }
}

#[cfg(test)]
mod any {
    use super::ComputerNameArray;
    use crate::entropy::{Any, Entropy};

    impl Any for ComputerNameArray {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self { names: Any::any(from) }
        }
    }
}
