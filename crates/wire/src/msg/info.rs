//! SMB2 QUERY_INFO (MS-SMB2 2.2.37) and SET_INFO (2.2.39).

use super::{behind, fixed, put_variable, variable};
use crate::cursor::{DecodeError, Put, wire_u32};
use crate::ids::FileId;
use crate::{bit_mask, wire_enum};

wire_enum! {
    /// `InfoType` (MS-SMB2 2.2.37, 2.2.39).
    InfoType(u8) {
        /// SMB2_0_INFO_FILE.
        FILE = 1,
        /// SMB2_0_INFO_FILESYSTEM.
        FILESYSTEM = 2,
        /// SMB2_0_INFO_SECURITY.
        SECURITY = 3,
        /// SMB2_0_INFO_QUOTA.
        QUOTA = 4,
    }
}

bit_mask! {
    /// `AdditionalInformation` for the `InfoType` SECURITY (MS-SMB2 2.2.37, 2.2.39).
    AdditionalInformation(u32) {
        /// OWNER_SECURITY_INFORMATION.
        OWNER = 0x0000_0001,
        /// GROUP_SECURITY_INFORMATION.
        GROUP = 0x0000_0002,
        /// DACL_SECURITY_INFORMATION.
        DACL = 0x0000_0004,
        /// SACL_SECURITY_INFORMATION.
        SACL = 0x0000_0008,
        /// LABEL_SECURITY_INFORMATION.
        LABEL = 0x0000_0010,
        /// ATTRIBUTE_SECURITY_INFORMATION.
        ATTRIBUTE = 0x0000_0020,
        /// SCOPE_SECURITY_INFORMATION.
        SCOPE = 0x0000_0040,
        /// BACKUP_SECURITY_INFORMATION.
        BACKUP = 0x0001_0000,
    }
}

bit_mask! {
    /// `Flags` of QUERY_INFO for extended attributes (MS-SMB2 2.2.37).
    QueryInfoFlags(u32) {
        /// SL_RESTART_SCAN.
        RESTART_SCAN = 1,
        /// SL_RETURN_SINGLE_ENTRY.
        RETURN_SINGLE_ENTRY = 2,
        /// SL_INDEX_SPECIFIED.
        INDEX_SPECIFIED = 4,
    }
}

/// SMB2 QUERY_INFO Request (MS-SMB2 2.2.37).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryInfoRequest<'a> {
    /// `InfoType`.
    pub info_type: InfoType,
    /// `FileInfoClass` (MS-FSCC 2.4, 2.5).
    pub file_info_class: u8,
    /// `OutputBufferLength`.
    pub output_buffer_length: u32,
    /// `AdditionalInformation`: the parts of a security descriptor, or the index of an extended attribute.
    pub additional_information: AdditionalInformation,
    /// `Flags`.
    pub flags: QueryInfoFlags,
    /// `FileId`.
    pub file_id: FileId,
    /// The input buffer: names of extended attributes, or a quota query.
    pub input_buffer: &'a [u8],
}

impl<'a> QueryInfoRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<QUERY_FIXED>(message, QUERY_SIZE)?;
        let info_type = InfoType(cursor.u8()?);
        let file_info_class = cursor.u8()?;
        let output_buffer_length = cursor.u32()?;
        let input_offset = cursor.u16()?;
        cursor.skip(2)?;
        let input_length = cursor.u32()?;
        let additional_information = AdditionalInformation(cursor.u32()?);
        let flags = QueryInfoFlags(cursor.u32()?);
        let file_id = cursor.file_id()?;
        let input_buffer = variable(message, QUERY_FIXED, input_offset.into(), input_length)?;
        Ok(Self {
            info_type,
            file_info_class,
            output_buffer_length,
            additional_information,
            flags,
            file_id,
            input_buffer,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(QUERY_SIZE);
        out.put_u8(self.info_type.0);
        out.put_u8(self.file_info_class);
        out.put_u32(self.output_buffer_length);
        out.put_u16(if self.input_buffer.is_empty() { 0 } else { behind(40) });
        out.put_u16(0);
        out.put_u32(wire_u32(self.input_buffer.len()));
        out.put_u32(self.additional_information.0);
        out.put_u32(self.flags.0);
        out.put_file_id(self.file_id);
        put_variable(out, self.input_buffer);
    }
}

/// SMB2 SET_INFO Request (MS-SMB2 2.2.39).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetInfoRequest<'a> {
    /// `InfoType`.
    pub info_type: InfoType,
    /// `FileInfoClass` (MS-FSCC 2.4, 2.5).
    pub file_info_class: u8,
    /// `AdditionalInformation`: the parts of a security descriptor.
    pub additional_information: AdditionalInformation,
    /// `FileId`.
    pub file_id: FileId,
    /// The information.
    pub buffer: &'a [u8],
}

impl<'a> SetInfoRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<SET_FIXED>(message, SET_SIZE)?;
        let info_type = InfoType(cursor.u8()?);
        let file_info_class = cursor.u8()?;
        let buffer_length = cursor.u32()?;
        let buffer_offset = cursor.u16()?;
        cursor.skip(2)?;
        let additional_information = AdditionalInformation(cursor.u32()?);
        let file_id = cursor.file_id()?;
        let buffer = variable(message, SET_FIXED, buffer_offset.into(), buffer_length)?;
        Ok(Self { info_type, file_info_class, additional_information, file_id, buffer })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(SET_SIZE);
        out.put_u8(self.info_type.0);
        out.put_u8(self.file_info_class);
        out.put_u32(wire_u32(self.buffer.len()));
        out.put_u16(behind(32));
        out.put_u16(0);
        out.put_u32(self.additional_information.0);
        out.put_file_id(self.file_id);
        put_variable(out, self.buffer);
    }
}

const QUERY_SIZE: u16 = 41;
const QUERY_FIXED: usize = 40;
const SET_SIZE: u16 = 33;
const SET_FIXED: usize = 32;
