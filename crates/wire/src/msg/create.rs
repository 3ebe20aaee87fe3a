//! SMB2 CREATE (MS-SMB2 2.2.13, 2.2.14) and the chain of its contexts; `create_context` decodes their content.

use super::{behind, end32, fixed, put_variable, variable};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16, wire_u32};
use crate::ids::FileId;
use crate::limits::CREATE_CONTEXTS_MAX;
use crate::masks::{AccessMask, FileAttributes, OplockLevel, ShareAccess};
use crate::time::FileTime;
use crate::utf16::Utf16;
use crate::{bit_mask, wire_enum};

wire_enum! {
    /// `ImpersonationLevel` (MS-SMB2 2.2.13).
    ImpersonationLevel(u32) {
        /// Anonymous.
        ANONYMOUS = 0,
        /// Identification.
        IDENTIFICATION = 1,
        /// Impersonation.
        IMPERSONATION = 2,
        /// Delegate.
        DELEGATE = 3,
    }
}

wire_enum! {
    /// `CreateDisposition` (MS-SMB2 2.2.13).
    CreateDisposition(u32) {
        /// FILE_SUPERSEDE: replaces the file or creates it.
        SUPERSEDE = 0,
        /// FILE_OPEN: opens an existing file.
        OPEN = 1,
        /// FILE_CREATE: creates a file that must not exist.
        CREATE = 2,
        /// FILE_OPEN_IF: opens the file or creates it.
        OPEN_IF = 3,
        /// FILE_OVERWRITE: truncates an existing file.
        OVERWRITE = 4,
        /// FILE_OVERWRITE_IF: truncates the file or creates it.
        OVERWRITE_IF = 5,
    }
}

bit_mask! {
    /// `CreateOptions` (MS-SMB2 2.2.13).
    CreateOptions(u32) {
        /// FILE_DIRECTORY_FILE.
        DIRECTORY_FILE = 0x0000_0001,
        /// FILE_WRITE_THROUGH.
        WRITE_THROUGH = 0x0000_0002,
        /// FILE_SEQUENTIAL_ONLY.
        SEQUENTIAL_ONLY = 0x0000_0004,
        /// FILE_NO_INTERMEDIATE_BUFFERING.
        NO_INTERMEDIATE_BUFFERING = 0x0000_0008,
        /// FILE_SYNCHRONOUS_IO_ALERT.
        SYNCHRONOUS_IO_ALERT = 0x0000_0010,
        /// FILE_SYNCHRONOUS_IO_NONALERT.
        SYNCHRONOUS_IO_NONALERT = 0x0000_0020,
        /// FILE_NON_DIRECTORY_FILE.
        NON_DIRECTORY_FILE = 0x0000_0040,
        /// FILE_COMPLETE_IF_OPLOCKED.
        COMPLETE_IF_OPLOCKED = 0x0000_0100,
        /// FILE_NO_EA_KNOWLEDGE.
        NO_EA_KNOWLEDGE = 0x0000_0200,
        /// FILE_OPEN_REMOTE_INSTANCE.
        OPEN_REMOTE_INSTANCE = 0x0000_0400,
        /// FILE_RANDOM_ACCESS.
        RANDOM_ACCESS = 0x0000_0800,
        /// FILE_DELETE_ON_CLOSE.
        DELETE_ON_CLOSE = 0x0000_1000,
        /// FILE_OPEN_BY_FILE_ID.
        OPEN_BY_FILE_ID = 0x0000_2000,
        /// FILE_OPEN_FOR_BACKUP_INTENT.
        OPEN_FOR_BACKUP_INTENT = 0x0000_4000,
        /// FILE_NO_COMPRESSION.
        NO_COMPRESSION = 0x0000_8000,
        /// FILE_OPEN_REQUIRING_OPLOCK.
        OPEN_REQUIRING_OPLOCK = 0x0001_0000,
        /// FILE_DISALLOW_EXCLUSIVE.
        DISALLOW_EXCLUSIVE = 0x0002_0000,
        /// FILE_RESERVE_OPFILTER.
        RESERVE_OPFILTER = 0x0010_0000,
        /// FILE_OPEN_REPARSE_POINT.
        OPEN_REPARSE_POINT = 0x0020_0000,
        /// FILE_OPEN_NO_RECALL.
        OPEN_NO_RECALL = 0x0040_0000,
        /// FILE_OPEN_FOR_FREE_SPACE_QUERY.
        OPEN_FOR_FREE_SPACE_QUERY = 0x0080_0000,
    }
}

wire_enum! {
    /// `CreateAction` (MS-SMB2 2.2.14).
    CreateAction(u32) {
        /// FILE_SUPERSEDED.
        SUPERSEDED = 0,
        /// FILE_OPENED.
        OPENED = 1,
        /// FILE_CREATED.
        CREATED = 2,
        /// FILE_OVERWRITTEN.
        OVERWRITTEN = 3,
    }
}

bit_mask! {
    /// `Flags` of the response (MS-SMB2 2.2.14).
    CreateResponseFlags(u8) {
        /// SMB2_CREATE_FLAG_REPARSEPOINT.
        REPARSEPOINT = 1,
    }
}

/// SMB2 CREATE Request (MS-SMB2 2.2.13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateRequest<'a> {
    /// `RequestedOplockLevel`.
    pub requested_oplock_level: OplockLevel,
    /// `ImpersonationLevel`.
    pub impersonation_level: ImpersonationLevel,
    /// `DesiredAccess`.
    pub desired_access: AccessMask,
    /// `FileAttributes`.
    pub file_attributes: FileAttributes,
    /// `ShareAccess`.
    pub share_access: ShareAccess,
    /// `CreateDisposition`.
    pub create_disposition: CreateDisposition,
    /// `CreateOptions`.
    pub create_options: CreateOptions,
    /// The name, relative to the share; empty for its root.
    pub name: Utf16<'a>,
    /// The create contexts, not judged yet.
    pub contexts: CreateContexts<'a>,
}

impl<'a> CreateRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        cursor.skip(1)?;
        let requested_oplock_level = OplockLevel(cursor.u8()?);
        let impersonation_level = ImpersonationLevel(cursor.u32()?);
        cursor.skip(16)?;
        let desired_access = AccessMask(cursor.u32()?);
        let file_attributes = FileAttributes(cursor.u32()?);
        let share_access = ShareAccess(cursor.u32()?);
        let create_disposition = CreateDisposition(cursor.u32()?);
        let create_options = CreateOptions(cursor.u32()?);
        let name_offset = cursor.u16()?;
        let name_length = cursor.u16()?;
        let contexts_offset = cursor.u32()?;
        let contexts_length = cursor.u32()?;
        let name = Utf16::new(variable(message, REQUEST_FIXED, name_offset.into(), name_length.into())?)?;
        let contexts = CreateContexts(variable(message, REQUEST_FIXED, contexts_offset, contexts_length)?);
        Ok(Self {
            requested_oplock_level,
            impersonation_level,
            desired_access,
            file_attributes,
            share_access,
            create_disposition,
            create_options,
            name,
            contexts,
        })
    }

    /// `CreateDisposition` of a message, without a look at the rest.
    #[inline]
    pub fn disposition_of(message: &[u8]) -> Result<CreateDisposition, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        cursor.skip(34)?;
        Ok(CreateDisposition(cursor.u32()?))
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u8(0);
        out.put_u8(self.requested_oplock_level.0);
        out.put_u32(self.impersonation_level.0);
        out.put_zeros(16);
        out.put_u32(self.desired_access.0);
        out.put_u32(self.file_attributes.0);
        out.put_u32(self.share_access.0);
        out.put_u32(self.create_disposition.0);
        out.put_u32(self.create_options.0);
        out.put_u16(behind(56));
        out.put_u16(wire_u16(self.name.as_bytes().len()));
        let contexts_at = out.len();
        out.put_zeros(8);
        put_variable(out, self.name.as_bytes());
        self.contexts.encode(out, base, contexts_at);
    }
}

/// SMB2 CREATE Response (MS-SMB2 2.2.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateResponse<'a> {
    /// `OplockLevel`.
    pub oplock_level: OplockLevel,
    /// `Flags`.
    pub flags: CreateResponseFlags,
    /// `CreateAction`.
    pub create_action: CreateAction,
    /// `CreationTime`.
    pub creation_time: FileTime,
    /// `LastAccessTime`.
    pub last_access_time: FileTime,
    /// `LastWriteTime`.
    pub last_write_time: FileTime,
    /// `ChangeTime`.
    pub change_time: FileTime,
    /// `AllocationSize`.
    pub allocation_size: u64,
    /// `EndofFile`.
    pub end_of_file: u64,
    /// `FileAttributes`.
    pub file_attributes: FileAttributes,
    /// `FileId`.
    pub file_id: FileId,
    /// The create contexts.
    pub contexts: CreateContexts<'a>,
}

impl<'a> CreateResponse<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<RESPONSE_FIXED>(message, RESPONSE_SIZE)?;
        let oplock_level = OplockLevel(cursor.u8()?);
        let flags = CreateResponseFlags(cursor.u8()?);
        let create_action = CreateAction(cursor.u32()?);
        let creation_time = cursor.time()?;
        let last_access_time = cursor.time()?;
        let last_write_time = cursor.time()?;
        let change_time = cursor.time()?;
        let allocation_size = cursor.u64()?;
        let end_of_file = cursor.u64()?;
        let file_attributes = FileAttributes(cursor.u32()?);
        cursor.skip(4)?;
        let file_id = cursor.file_id()?;
        let contexts_offset = cursor.u32()?;
        let contexts_length = cursor.u32()?;
        let contexts = CreateContexts(variable(message, RESPONSE_FIXED, contexts_offset, contexts_length)?);
        Ok(Self {
            oplock_level,
            flags,
            create_action,
            creation_time,
            last_access_time,
            last_write_time,
            change_time,
            allocation_size,
            end_of_file,
            file_attributes,
            file_id,
            contexts,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        out.put_u16(RESPONSE_SIZE);
        out.put_u8(self.oplock_level.0);
        out.put_u8(self.flags.0);
        out.put_u32(self.create_action.0);
        out.put_time(self.creation_time);
        out.put_time(self.last_access_time);
        out.put_time(self.last_write_time);
        out.put_time(self.change_time);
        out.put_u64(self.allocation_size);
        out.put_u64(self.end_of_file);
        out.put_u32(self.file_attributes.0);
        out.put_u32(0);
        out.put_file_id(self.file_id);
        let contexts_at = out.len();
        out.put_zeros(8);
        self.contexts.encode(out, base, contexts_at);
    }
}

/// A chain of `SMB2_CREATE_CONTEXT` (MS-SMB2 2.2.13.2) as bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateContexts<'a>(pub &'a [u8]);

/// One `SMB2_CREATE_CONTEXT` (MS-SMB2 2.2.13.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateContext<'a> {
    /// The name: four letters, or a GUID.
    pub name: &'a [u8],
    /// The data; the name determines its structure.
    pub data: &'a [u8],
}

impl<'a> CreateContexts<'a> {
    /// True if there are no contexts.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The contexts in their order; a broken chain ends with an error.
    pub fn iter(self) -> impl Iterator<Item = Result<CreateContext<'a>, DecodeError>> + use<'a> {
        let mut rest = self.0;
        let mut count: usize = 0;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let step = if count == CREATE_CONTEXTS_MAX { Err(DecodeError::TooMany) } else { read(rest) };
            count = count.saturating_add(1);
            rest = step.map_or(&[], |(_, behind)| behind);
            Some(step.map(|(context, _)| context))
        })
    }

    /// The data of the first context of that name, provided the chain is sound up to it.
    pub fn find(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().map_while(Result::ok).find(|context| context.name == name).map(|context| context.data)
    }

    /// Appends one more context to the chain that starts at `start` in `out` and reaches to its end.
    pub fn append(out: &mut Vec<u8>, start: usize, name: &[u8], data: &[u8]) {
        out.pad_to(start, 8);
        link_last(out, start);
        let context = out.len();
        out.put_u32(0);
        out.put_u16(wire_u16(CONTEXT_FIXED));
        out.put_u16(wire_u16(name.len()));
        out.put_u16(0);
        let data_offset_at = out.len();
        out.put_u16(0);
        out.put_u32(wire_u32(data.len()));
        out.put_bytes(name);
        if !data.is_empty() {
            out.pad_to(context, 8);
            let data_offset = wire_u16(out.len().saturating_sub(context));
            out.patch_u16(data_offset_at, data_offset);
            out.put_bytes(data);
        }
    }

    fn encode(self, out: &mut Vec<u8>, base: usize, offset_at: usize) {
        if !self.is_empty() {
            out.pad_to(base, 8);
            let offset = end32(out, base);
            out.patch_u32(offset_at, offset);
            out.patch_u32(offset_at.saturating_add(4), wire_u32(self.0.len()));
            out.put_bytes(self.0);
        }
    }
}

const REQUEST_SIZE: u16 = 57;
const REQUEST_FIXED: usize = 56;
const RESPONSE_SIZE: u16 = 89;
const RESPONSE_FIXED: usize = 88;
const CONTEXT_FIXED: usize = 16;

/// The first context of `chain`, and the chain behind it.
fn read(chain: &[u8]) -> Result<(CreateContext<'_>, &[u8]), DecodeError> {
    let mut cursor = ReadCursor::new(chain);
    let next = super::size(cursor.u32()?)?;
    let name_offset = usize::from(cursor.u16()?);
    let name_length = usize::from(cursor.u16()?);
    cursor.skip(2)?;
    let data_offset = usize::from(cursor.u16()?);
    let data_length = super::size(cursor.u32()?)?;
    if !next.is_multiple_of(8) {
        return Err(DecodeError::Misaligned);
    }
    let (own, behind) = match next {
        0 => (chain, [].as_slice()),
        _ => chain.split_at_checked(next).ok_or(DecodeError::BrokenChain)?,
    };
    if next != 0 && (next < CONTEXT_FIXED || behind.is_empty()) {
        return Err(DecodeError::BrokenChain);
    }
    if name_length == 0 {
        return Err(DecodeError::Empty);
    }
    if name_offset < CONTEXT_FIXED || (data_length != 0 && data_offset < CONTEXT_FIXED) {
        return Err(DecodeError::OffsetOutOfRange);
    }
    let own = ReadCursor::new(own);
    let name = own.at(name_offset, name_length)?;
    let data = own.at(data_offset, data_length)?;
    Ok((CreateContext { name, data }, behind))
}

/// Makes the last context of the chain at `start` point to the end of `out`.
fn link_last(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    let mut last = start;
    while last < end {
        let Some(next) = out.get(last..).and_then(|chain| chain.first_chunk::<4>()) else { return };
        match u32::from_le_bytes(*next) {
            0 => {
                out.patch_u32(last, wire_u32(end.saturating_sub(last)));
                return;
            }
            next => last = last.saturating_add(usize::try_from(next).unwrap_or(usize::MAX)),
        }
    }
}
