//! What the computer is called, and what it is a member of (MS-WKST 3.2.4.13, 3.2.4.18).

use crate::ndr::{Enum16, Ndr, NdrError, Parameter, Reader, Writer, read_container, write_container};

/// NETSETUP_JOIN_STATUS of a computer in a workgroup (MS-WKST 2.2.3.1).
pub const NET_SETUP_WORKGROUP_NAME: Enum16 = Enum16(2);

/// UNICODE_STRING (MS-WKST 2.2.5.17): it has a length instead of a terminator.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct UnicodeString(pub String);

impl Ndr for UnicodeString {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        let octets = u16::try_from(self.0.encode_utf16().count().saturating_mul(2)).unwrap_or(u16::MAX);
        to.u16(octets);
        to.u16(octets);
        to.pointer(true);
    }

    fn write_deferred(&self, to: &mut Writer) {
        let units: Vec<u16> = self.0.encode_utf16().collect();
        to.count(units.len());
        to.u32(0);
        to.count(units.len());
        for unit in units {
            to.u16(unit);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let _length = from.u16()?;
        let _maximum = from.u16()?;
        if from.pointer()? { Ok(Self::default()) } else { Err(NdrError::Truncated) }
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        self.0 = from.string()?;
        Ok(())
    }
}

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
    use super::{ComputerNameArray, UnicodeString};
    use crate::entropy::{Any, Entropy};

    impl Any for UnicodeString {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self(Any::any(from))
        }
    }

    impl Any for ComputerNameArray {
        fn any(from: &mut Entropy<'_>) -> Self {
            Self { names: Any::any(from) }
        }
    }
}
