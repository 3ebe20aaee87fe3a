//! The content of create contexts (MS-SMB2 2.2.13.2, 2.2.14.2); [`CreateContexts`] is their chain.

use crate::bit_mask;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::ids::{FileId, Guid};
use crate::layout::{FixedLayout, fixed_layout};
use crate::masks::{AccessMask, LeaseState};
use crate::msg::create::CreateContexts;
use crate::posix::PosixAttributes;
use crate::security::{SecurityDescriptor, TooLarge};
use crate::status::NtStatus;
use crate::time::FileTime;
use crate::utf16::{Utf16, encode_utf16le};

/// The names of the contexts (MS-SMB2 2.2.13.2).
pub mod names {
    /// SMB2_CREATE_EA_BUFFER.
    pub const EA_BUFFER: &[u8] = b"ExtA";
    /// SMB2_CREATE_SD_BUFFER.
    pub const SD_BUFFER: &[u8] = b"SecD";
    /// SMB2_CREATE_DURABLE_HANDLE_REQUEST.
    pub const DURABLE_HANDLE_REQUEST: &[u8] = b"DHnQ";
    /// SMB2_CREATE_DURABLE_HANDLE_RECONNECT.
    pub const DURABLE_HANDLE_RECONNECT: &[u8] = b"DHnC";
    /// SMB2_CREATE_ALLOCATION_SIZE.
    pub const ALLOCATION_SIZE: &[u8] = b"AlSi";
    /// SMB2_CREATE_QUERY_MAXIMAL_ACCESS_REQUEST.
    pub const QUERY_MAXIMAL_ACCESS: &[u8] = b"MxAc";
    /// SMB2_CREATE_TIMEWARP_TOKEN.
    pub const TIMEWARP_TOKEN: &[u8] = b"TWrp";
    /// SMB2_CREATE_QUERY_ON_DISK_ID.
    pub const QUERY_ON_DISK_ID: &[u8] = b"QFid";
    /// SMB2_CREATE_REQUEST_LEASE and its second version.
    pub const REQUEST_LEASE: &[u8] = b"RqLs";
    /// SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2.
    pub const DURABLE_HANDLE_REQUEST_V2: &[u8] = b"DH2Q";
    /// SMB2_CREATE_DURABLE_HANDLE_RECONNECT_V2.
    pub const DURABLE_HANDLE_RECONNECT_V2: &[u8] = b"DH2C";
    /// SMB2_CREATE_APP_INSTANCE_ID.
    pub const APP_INSTANCE_ID: &[u8] = b"\x45\xbc\xa6\x6a\xef\xa7\xf7\x4a\x90\x08\xfa\x46\x2e\x14\x4d\x74";
    /// SMB2_CREATE_APP_INSTANCE_VERSION.
    pub const APP_INSTANCE_VERSION: &[u8] =
        b"\xb9\x82\xd0\xb7\x3b\x56\x07\x4f\xa0\x7b\x52\x4a\x81\x16\xa0\x10";
    /// SMB2_CREATE_TAG_POSIX of the POSIX extensions.
    pub const POSIX: &[u8] = &crate::posix::POSIX_VERSION;
    /// Apple's extensions.
    pub const AAPL: &[u8] = b"AAPL";
}

/// The contexts of a CREATE request, each at most once; unknown ones are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateContextsRequest<'a> {
    /// ExtA: the list that [`crate::fscc::ea::decode_eas`] reads.
    pub extended_attributes: Option<&'a [u8]>,
    /// SecD.
    pub security_descriptor: Option<SecurityDescriptor>,
    /// DHnQ.
    pub durable_request: bool,
    /// DHnC.
    pub durable_reconnect: Option<FileId>,
    /// AlSi.
    pub allocation_size: Option<u64>,
    /// MxAc: the time since which a change interests the client; [`FileTime::NONE`] for always.
    pub maximal_access: Option<FileTime>,
    /// TWrp: the snapshot to look into.
    pub timewarp: Option<FileTime>,
    /// QFid.
    pub query_on_disk_id: bool,
    /// RqLs.
    pub lease: Option<LeaseContext>,
    /// DH2Q.
    pub durable_request_v2: Option<DurableRequestV2>,
    /// DH2C.
    pub durable_reconnect_v2: Option<DurableReconnectV2>,
    /// SMB2_CREATE_APP_INSTANCE_ID.
    pub app_instance_id: Option<Guid>,
    /// SMB2_CREATE_APP_INSTANCE_VERSION.
    pub app_instance_version: Option<AppInstanceVersion>,
    /// AAPL.
    pub aapl: Option<AaplRequest>,
    /// The POSIX extensions' context: the mode for a new file.
    pub posix_mode: Option<u32>,
}

impl<'a> CreateContextsRequest<'a> {
    /// Reads the chain; any error is STATUS_INVALID_PARAMETER (MS-SMB2 3.3.5.9).
    pub fn decode(contexts: CreateContexts<'a>) -> Result<Self, DecodeError> {
        let mut request = Self::default();
        for context in contexts.iter() {
            let context = context?;
            let data = context.data;
            match context.name {
                names::EA_BUFFER => once(&mut request.extended_attributes, data)?,
                names::SD_BUFFER => {
                    once(&mut request.security_descriptor, SecurityDescriptor::decode(data)?)?
                }
                names::DURABLE_HANDLE_REQUEST => {
                    exact::<[u8; 16]>(data)?;
                    flag(&mut request.durable_request)?;
                }
                names::DURABLE_HANDLE_RECONNECT => once(&mut request.durable_reconnect, exact(data)?)?,
                names::ALLOCATION_SIZE => once(&mut request.allocation_size, exact(data)?)?,
                names::QUERY_MAXIMAL_ACCESS if data.is_empty() => {
                    once(&mut request.maximal_access, FileTime::NONE)?;
                }
                names::QUERY_MAXIMAL_ACCESS => once(&mut request.maximal_access, exact(data)?)?,
                names::TIMEWARP_TOKEN => once(&mut request.timewarp, exact(data)?)?,
                names::QUERY_ON_DISK_ID => flag(&mut request.query_on_disk_id)?,
                names::REQUEST_LEASE => once(&mut request.lease, LeaseContext::decode(data)?)?,
                names::DURABLE_HANDLE_REQUEST_V2 => once(&mut request.durable_request_v2, exact(data)?)?,
                names::DURABLE_HANDLE_RECONNECT_V2 => once(&mut request.durable_reconnect_v2, exact(data)?)?,
                names::APP_INSTANCE_ID => {
                    let instance: AppInstanceId = sized(data)?;
                    once(&mut request.app_instance_id, instance.id)?;
                }
                names::APP_INSTANCE_VERSION => {
                    once(&mut request.app_instance_version, sized::<AppInstanceVersion>(data)?)?;
                }
                names::AAPL => once(&mut request.aapl, AaplRequest::decode(data)?)?,
                names::POSIX => once(&mut request.posix_mode, exact(data)?)?,
                name if name.len() < 4 => return Err(DecodeError::InvalidValue),
                _ => {}
            }
        }
        Ok(request)
    }

    /// Appends the chain.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let mut chain = ChainOut::new(out);
        if let Some(attributes) = self.extended_attributes {
            chain.put(names::EA_BUFFER, |data| data.put_bytes(attributes));
        }
        if let Some(descriptor) = &self.security_descriptor {
            let mut bytes = Vec::new();
            descriptor.encode(&mut bytes)?;
            chain.put(names::SD_BUFFER, |data| data.put_bytes(&bytes));
        }
        if self.durable_request {
            chain.put(names::DURABLE_HANDLE_REQUEST, |data| data.put_zeros(16));
        }
        chain.put_some(names::DURABLE_HANDLE_RECONNECT, &self.durable_reconnect);
        chain.put_some(names::ALLOCATION_SIZE, &self.allocation_size);
        match self.maximal_access {
            Some(FileTime::NONE) => chain.put(names::QUERY_MAXIMAL_ACCESS, |_| {}),
            time => chain.put_some(names::QUERY_MAXIMAL_ACCESS, &time),
        }
        chain.put_some(names::TIMEWARP_TOKEN, &self.timewarp);
        if self.query_on_disk_id {
            chain.put(names::QUERY_ON_DISK_ID, |_| {});
        }
        if let Some(lease) = &self.lease {
            chain.put(names::REQUEST_LEASE, |data| lease.encode(data));
        }
        chain.put_some(names::DURABLE_HANDLE_REQUEST_V2, &self.durable_request_v2);
        chain.put_some(names::DURABLE_HANDLE_RECONNECT_V2, &self.durable_reconnect_v2);
        if let Some(id) = self.app_instance_id {
            chain.put(names::APP_INSTANCE_ID, |data| put_sized(&AppInstanceId { id }, data));
        }
        if let Some(version) = &self.app_instance_version {
            chain.put(names::APP_INSTANCE_VERSION, |data| put_sized(version, data));
        }
        if let Some(aapl) = &self.aapl {
            chain.put(names::AAPL, |data| aapl.encode(data));
        }
        chain.put_some(names::POSIX, &self.posix_mode);
        Ok(())
    }
}

/// The contexts of a CREATE response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateContextsResponse {
    /// DHnQ: the handle is durable.
    pub durable: bool,
    /// DH2Q: the handle is durable or persistent.
    pub durable_v2: Option<DurableResponseV2>,
    /// MxAc.
    pub maximal_access: Option<MaximalAccess>,
    /// QFid.
    pub disk_id: Option<DiskId>,
    /// RqLs.
    pub lease: Option<LeaseContext>,
    /// AAPL, the answer to a server query.
    pub aapl: Option<AaplServerAnswer>,
    /// The POSIX extensions' context: the open is a POSIX open.
    pub posix: Option<PosixAttributes>,
}

impl CreateContextsResponse {
    /// Reads the chain.
    pub fn decode(contexts: CreateContexts<'_>) -> Result<Self, DecodeError> {
        let mut response = Self::default();
        for context in contexts.iter() {
            let context = context?;
            let data = context.data;
            match context.name {
                names::DURABLE_HANDLE_REQUEST => flag(&mut response.durable)?,
                names::DURABLE_HANDLE_REQUEST_V2 => once(&mut response.durable_v2, exact(data)?)?,
                names::QUERY_MAXIMAL_ACCESS => once(&mut response.maximal_access, exact(data)?)?,
                names::QUERY_ON_DISK_ID => once(&mut response.disk_id, exact(data)?)?,
                names::REQUEST_LEASE => once(&mut response.lease, LeaseContext::decode(data)?)?,
                names::AAPL => once(&mut response.aapl, AaplServerAnswer::decode(data)?)?,
                names::POSIX => {
                    once(&mut response.posix, PosixAttributes::read(&mut ReadCursor::new(data))?)?;
                }
                _ => {}
            }
        }
        Ok(response)
    }

    /// Appends the chain; appends nothing without contexts.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut chain = ChainOut::new(out);
        if self.durable {
            chain.put(names::DURABLE_HANDLE_REQUEST, |data| data.put_zeros(8));
        }
        chain.put_some(names::DURABLE_HANDLE_REQUEST_V2, &self.durable_v2);
        chain.put_some(names::QUERY_MAXIMAL_ACCESS, &self.maximal_access);
        chain.put_some(names::QUERY_ON_DISK_ID, &self.disk_id);
        if let Some(lease) = &self.lease {
            chain.put(names::REQUEST_LEASE, |data| lease.encode(data));
        }
        if let Some(aapl) = &self.aapl {
            chain.put(names::AAPL, |data| aapl.encode(data));
        }
        if let Some(posix) = &self.posix {
            chain.put(names::POSIX, |data| posix.encode(data));
        }
    }
}

bit_mask! {
    /// `LeaseFlags` (MS-SMB2 2.2.13.2.10, 2.2.14.2.10).
    LeaseFlags(u32) {
        /// SMB2_LEASE_FLAG_BREAK_IN_PROGRESS, in responses.
        BREAK_IN_PROGRESS = 0x02,
        /// SMB2_LEASE_FLAG_PARENT_LEASE_KEY_SET.
        PARENT_LEASE_KEY_SET = 0x04,
    }
}

/// SMB2_CREATE_REQUEST_LEASE and SMB2_CREATE_RESPONSE_LEASE in both versions (MS-SMB2 2.2.13.2.8,
/// 2.2.13.2.10, 2.2.14.2.10, 2.2.14.2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseContext {
    /// LeaseKey.
    pub key: Guid,
    /// LeaseState.
    pub state: LeaseState,
    /// LeaseFlags.
    pub flags: LeaseFlags,
    /// The fields of version 2.
    pub v2: Option<LeaseV2>,
}

fixed_layout! {
    /// The fields of the second version of a lease context.
    LeaseV2 {
        /// ParentLeaseKey, valid if the flags say so.
        parent_key: Guid;
        /// Epoch.
        epoch: u16, pad 2;
    }
}

impl LeaseContext {
    /// Decodes the data. Its length determines the version.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let (key, state, flags) = (cursor.guid()?, LeaseState(cursor.u32()?), LeaseFlags(cursor.u32()?));
        cursor.skip(8)?;
        let v2 = if cursor.is_empty() { None } else { Some(exact(cursor.rest())?) };
        Ok(Self { key, state, flags, v2 })
    }

    /// Appends the data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_guid(self.key);
        out.put_u32(self.state.0);
        out.put_u32(self.flags.0);
        out.put_u64(0);
        if let Some(v2) = &self.v2 {
            v2.encode(out);
        }
    }
}

bit_mask! {
    /// `Flags` of the durable handle contexts of version 2 (MS-SMB2 2.2.13.2.11).
    DurableFlags(u32) {
        /// SMB2_DHANDLE_FLAG_PERSISTENT.
        PERSISTENT = 0x02,
    }
}

fixed_layout! {
    /// SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2 (MS-SMB2 2.2.13.2.11).
    DurableRequestV2 {
        /// Timeout in milliseconds; 0 leaves it to the server.
        timeout_ms: u32;
        /// Flags: bits of [`DurableFlags`].
        flags: u32, pad 8;
        /// CreateGuid.
        create_guid: Guid;
    }
}

fixed_layout! {
    /// SMB2_CREATE_DURABLE_HANDLE_RECONNECT_V2 (MS-SMB2 2.2.13.2.12).
    DurableReconnectV2 {
        /// FileId.
        file_id: FileId;
        /// CreateGuid.
        create_guid: Guid;
        /// Flags: bits of [`DurableFlags`].
        flags: u32;
    }
}

fixed_layout! {
    /// SMB2_CREATE_DURABLE_HANDLE_RESPONSE_V2 (MS-SMB2 2.2.14.2.12).
    DurableResponseV2 {
        /// Timeout in milliseconds.
        timeout_ms: u32;
        /// Flags: bits of [`DurableFlags`].
        flags: u32;
    }
}

fixed_layout! {
    /// SMB2_CREATE_APP_INSTANCE_ID behind its StructureSize (MS-SMB2 2.2.13.2.13).
    AppInstanceId {
        /// AppInstanceId.
        id: Guid;
    }
}

fixed_layout! {
    /// SMB2_CREATE_APP_INSTANCE_VERSION behind its StructureSize (MS-SMB2 2.2.13.2.15).
    AppInstanceVersion {
        /// Padding.
        padding: u32;
        /// AppInstanceVersionHigh.
        high: u64;
        /// AppInstanceVersionLow.
        low: u64;
    }
}

/// SMB2_CREATE_QUERY_MAXIMAL_ACCESS_RESPONSE (MS-SMB2 2.2.14.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaximalAccess {
    /// QueryStatus.
    pub status: NtStatus,
    /// MaximalAccess.
    pub access: AccessMask,
}

impl FixedLayout for MaximalAccess {
    const SIZE: usize = 8;

    fn read(cursor: &mut ReadCursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self { status: NtStatus(cursor.u32()?), access: AccessMask(cursor.u32()?) })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.status.0);
        out.put_u32(self.access.0);
    }
}

fixed_layout! {
    /// SMB2_CREATE_QUERY_ON_DISK_ID response (MS-SMB2 2.2.14.2.9).
    DiskId {
        /// DiskFileId.
        file_id: u64;
        /// VolumeId.
        volume_id: u64, pad 16;
    }
}

bit_mask! {
    /// The parts that an AAPL server query requests and that its answer contains.
    AaplParts(u64) {
        /// kAAPL_SERVER_CAPS.
        SERVER_CAPS = 1,
        /// kAAPL_VOLUME_CAPS.
        VOLUME_CAPS = 2,
        /// kAAPL_MODEL_INFO.
        MODEL_INFO = 4,
    }
}

bit_mask! {
    /// The capabilities of an AAPL client or server.
    AaplServerCaps(u64) {
        /// kAAPL_SUPPORTS_READ_DIR_ATTR: listings carry Finder information and modes.
        READ_DIR_ATTR = 0x01,
        /// kAAPL_SUPPORTS_OSX_COPYFILE: server-side copy keeps metadata.
        OSX_COPYFILE = 0x02,
        /// kAAPL_UNIX_BASED.
        UNIX_BASED = 0x04,
        /// kAAPL_SUPPORTS_NFS_ACE: modes as SIDs of S-1-5-88.
        NFS_ACE = 0x08,
    }
}

bit_mask! {
    /// The capabilities of an AAPL volume.
    AaplVolumeCaps(u64) {
        /// kAAPL_SUPPORT_RESOLVE_ID.
        RESOLVE_ID = 0x01,
        /// kAAPL_CASE_SENSITIVE.
        CASE_SENSITIVE = 0x02,
        /// kAAPL_SUPPORTS_FULL_SYNC, which Time Machine requires.
        FULL_SYNC = 0x04,
    }
}

/// The AAPL context of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AaplRequest {
    /// kAAPL_SERVER_QUERY.
    ServerQuery {
        /// The requested parts.
        parts: AaplParts,
        /// The capabilities of the client.
        client_caps: AaplServerCaps,
    },
    /// kAAPL_RESOLVE_ID: the path of a file id.
    ResolveId {
        /// The file id.
        file_id: u64,
    },
    /// A command that is not known here.
    Other(u32),
}

impl AaplRequest {
    /// Reads the data.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let command = cursor.u32()?;
        cursor.skip(4)?;
        Ok(match command {
            AAPL_SERVER_QUERY => Self::ServerQuery {
                parts: AaplParts(cursor.u64()?),
                client_caps: AaplServerCaps(cursor.u64()?),
            },
            AAPL_RESOLVE_ID => Self::ResolveId { file_id: cursor.u64()? },
            command => Self::Other(command),
        })
    }

    /// Appends the data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (command, fields): (u32, &[u64]) = match self {
            Self::ServerQuery { parts, client_caps } => (AAPL_SERVER_QUERY, &[parts.0, client_caps.0]),
            Self::ResolveId { file_id } => (AAPL_RESOLVE_ID, &[*file_id]),
            Self::Other(command) => (*command, &[]),
        };
        out.put_u32(command);
        out.put_u32(0);
        fields.iter().for_each(|field| out.put_u64(*field));
    }
}

/// The AAPL answer to a server query; absent parts were not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AaplServerAnswer {
    /// The capabilities of the server.
    pub server_caps: Option<AaplServerCaps>,
    /// The capabilities of the volume.
    pub volume_caps: Option<AaplVolumeCaps>,
    /// The model, which chooses the icon in Finder.
    pub model: Option<String>,
}

impl AaplServerAnswer {
    /// Reads the data.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        if cursor.u32()? != AAPL_SERVER_QUERY {
            return Err(DecodeError::InvalidValue);
        }
        cursor.skip(4)?;
        let parts = AaplParts(cursor.u64()?);
        let mut answer = Self::default();
        if parts.contains(AaplParts::SERVER_CAPS) {
            answer.server_caps = Some(AaplServerCaps(cursor.u64()?));
        }
        if parts.contains(AaplParts::VOLUME_CAPS) {
            answer.volume_caps = Some(AaplVolumeCaps(cursor.u64()?));
        }
        if parts.contains(AaplParts::MODEL_INFO) {
            cursor.skip(4)?;
            let length = usize::try_from(cursor.u32()?).map_err(|_| DecodeError::TooLong)?;
            answer.model = Some(Utf16::new(cursor.bytes(length)?)?.to_text());
        }
        Ok(answer)
    }

    /// Appends the data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut parts = AaplParts::NONE;
        for (present, part) in [
            (self.server_caps.is_some(), AaplParts::SERVER_CAPS),
            (self.volume_caps.is_some(), AaplParts::VOLUME_CAPS),
            (self.model.is_some(), AaplParts::MODEL_INFO),
        ] {
            if present {
                parts |= part;
            }
        }
        out.put_u32(AAPL_SERVER_QUERY);
        out.put_u32(0);
        out.put_u64(parts.0);
        if let Some(caps) = self.server_caps {
            out.put_u64(caps.0);
        }
        if let Some(caps) = self.volume_caps {
            out.put_u64(caps.0);
        }
        if let Some(model) = &self.model {
            out.put_u32(0);
            let length_at = out.len();
            out.put_u32(0);
            let start = out.len();
            encode_utf16le(model, out);
            let length = wire_u32(out.len().saturating_sub(start));
            out.patch_u32(length_at, length);
        }
    }
}

/// Appends contexts to a chain.
struct ChainOut<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
    data: Vec<u8>,
}

impl<'b> ChainOut<'b> {
    fn new(out: &'b mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, data: Vec::new() }
    }

    fn put(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.data.clear();
        write(&mut self.data);
        CreateContexts::append(self.out, self.start, name, &self.data);
    }

    fn put_some<T: FixedLayout>(&mut self, name: &[u8], value: &Option<T>) {
        if let Some(value) = value {
            self.put(name, |data| value.encode(data));
        }
    }
}

/// Sets a field that no previous context has set.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::InvalidValue),
    }
}

fn flag(place: &mut bool) -> Result<(), DecodeError> {
    if core::mem::replace(place, true) { Err(DecodeError::InvalidValue) } else { Ok(()) }
}

/// A structure that fills the data.
fn exact<T: FixedLayout>(data: &[u8]) -> Result<T, DecodeError> {
    if data.len() != T::SIZE {
        return Err(DecodeError::StructureSize);
    }
    T::decode(data)
}

/// Decodes a structure that fills the data after its `StructureSize` and two reserved bytes.
fn sized<T: FixedLayout>(data: &[u8]) -> Result<T, DecodeError> {
    let mut cursor = ReadCursor::new(data);
    if usize::from(cursor.u16()?) != data.len() {
        return Err(DecodeError::StructureSize);
    }
    cursor.skip(2)?;
    exact(cursor.rest())
}

fn put_sized<T: FixedLayout>(value: &T, out: &mut Vec<u8>) {
    out.put_u16(crate::cursor::wire_u16(T::SIZE.saturating_add(4)));
    out.put_u16(0);
    value.encode(out);
}

const AAPL_SERVER_QUERY: u32 = 1;
const AAPL_RESOLVE_ID: u32 = 2;

#[cfg(test)]
mod tests;
