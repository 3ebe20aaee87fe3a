//! File system information classes (MS-FSCC 2.5).

use super::{Fit, encode_truncated, index, name_bytes, put_name};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::ids::Guid;
use crate::layout::fixed_layout;
use crate::time::FileTime;
use crate::utf16::Utf16;
use crate::{bit_mask, wire_enum};

wire_enum! {
    /// `FsInformationClass` of SMB2_0_INFO_FILESYSTEM (MS-FSCC 2.5).
    FsInfoClass(u8) {
        /// FileFsVolumeInformation (2.5.9).
        VOLUME = 1,
        /// FileFsLabelInformation (2.5.5).
        LABEL = 2,
        /// FileFsSizeInformation (2.5.8).
        SIZE = 3,
        /// FileFsDeviceInformation (2.5.10).
        DEVICE = 4,
        /// FileFsAttributeInformation (2.5.1).
        ATTRIBUTE = 5,
        /// FileFsControlInformation (2.5.2).
        CONTROL = 6,
        /// FileFsFullSizeInformation (2.5.4).
        FULL_SIZE = 7,
        /// FileFsObjectIdInformation (2.5.6).
        OBJECT_ID = 8,
        /// FileFsDriverPathInformation (2.5.3).
        DRIVER_PATH = 9,
        /// FileFsVolumeFlagsInformation.
        VOLUME_FLAGS = 10,
        /// FileFsSectorSizeInformation (2.5.7).
        SECTOR_SIZE = 11,
        /// FS_POSIX_INFORMATION of the POSIX extensions.
        POSIX = 100,
    }
}

bit_mask! {
    /// `FileSystemAttributes` (MS-FSCC 2.5.1).
    FsAttributes(u32) {
        /// FILE_CASE_SENSITIVE_SEARCH.
        CASE_SENSITIVE_SEARCH = 0x0000_0001,
        /// FILE_CASE_PRESERVED_NAMES.
        CASE_PRESERVED_NAMES = 0x0000_0002,
        /// FILE_UNICODE_ON_DISK.
        UNICODE_ON_DISK = 0x0000_0004,
        /// FILE_PERSISTENT_ACLS.
        PERSISTENT_ACLS = 0x0000_0008,
        /// FILE_FILE_COMPRESSION.
        FILE_COMPRESSION = 0x0000_0010,
        /// FILE_VOLUME_QUOTAS.
        VOLUME_QUOTAS = 0x0000_0020,
        /// FILE_SUPPORTS_SPARSE_FILES.
        SUPPORTS_SPARSE_FILES = 0x0000_0040,
        /// FILE_SUPPORTS_REPARSE_POINTS.
        SUPPORTS_REPARSE_POINTS = 0x0000_0080,
        /// FILE_SUPPORTS_REMOTE_STORAGE.
        SUPPORTS_REMOTE_STORAGE = 0x0000_0100,
        /// FILE_VOLUME_IS_COMPRESSED.
        VOLUME_IS_COMPRESSED = 0x0000_8000,
        /// FILE_SUPPORTS_OBJECT_IDS.
        SUPPORTS_OBJECT_IDS = 0x0001_0000,
        /// FILE_SUPPORTS_ENCRYPTION.
        SUPPORTS_ENCRYPTION = 0x0002_0000,
        /// FILE_NAMED_STREAMS.
        NAMED_STREAMS = 0x0004_0000,
        /// FILE_READ_ONLY_VOLUME.
        READ_ONLY_VOLUME = 0x0008_0000,
        /// FILE_SEQUENTIAL_WRITE_ONCE.
        SEQUENTIAL_WRITE_ONCE = 0x0010_0000,
        /// FILE_SUPPORTS_TRANSACTIONS.
        SUPPORTS_TRANSACTIONS = 0x0020_0000,
        /// FILE_SUPPORTS_HARD_LINKS.
        SUPPORTS_HARD_LINKS = 0x0040_0000,
        /// FILE_SUPPORTS_EXTENDED_ATTRIBUTES.
        SUPPORTS_EXTENDED_ATTRIBUTES = 0x0080_0000,
        /// FILE_SUPPORTS_OPEN_BY_FILE_ID.
        SUPPORTS_OPEN_BY_FILE_ID = 0x0100_0000,
        /// FILE_SUPPORTS_USN_JOURNAL.
        SUPPORTS_USN_JOURNAL = 0x0200_0000,
        /// FILE_SUPPORTS_INTEGRITY_STREAMS.
        SUPPORTS_INTEGRITY_STREAMS = 0x0400_0000,
        /// FILE_SUPPORTS_BLOCK_REFCOUNTING.
        SUPPORTS_BLOCK_REFCOUNTING = 0x0800_0000,
        /// FILE_SUPPORTS_SPARSE_VDL.
        SUPPORTS_SPARSE_VDL = 0x1000_0000,
    }
}

/// FileFsVolumeInformation (MS-FSCC 2.5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsVolumeInfo<N> {
    /// VolumeCreationTime.
    pub created: FileTime,
    /// VolumeSerialNumber.
    pub serial: u32,
    /// SupportsObjects.
    pub supports_objects: bool,
    /// VolumeLabel.
    pub label: N,
}

/// The smallest buffer Windows accepts for FileFsVolumeInformation: with the structure's padding.
pub const FS_VOLUME_INFO_SIZE_MIN: usize = 24;

impl FsVolumeInfo<&str> {
    /// Appends the class.
    pub fn encode(&self, out: &mut Vec<u8>, max: usize) -> Fit {
        encode_truncated(out, FS_VOLUME_INFO_SIZE_MIN, max, |out| {
            out.put_time(self.created);
            out.put_u32(self.serial);
            out.put_u32(wire_u32(name_bytes(self.label)));
            out.put_u8(u8::from(self.supports_objects));
            out.put_u8(0);
            put_name(out, self.label);
        })
    }
}

impl<'a> FsVolumeInfo<Utf16<'a>> {
    /// Reads the class.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let (created, serial, length) = (cursor.time()?, cursor.u32()?, index(cursor.u32()?)?);
        let supports_objects = cursor.u8()? != 0;
        cursor.skip(1)?;
        Ok(Self { created, serial, supports_objects, label: Utf16::new(cursor.bytes(length)?)? })
    }
}

/// FileFsAttributeInformation (MS-FSCC 2.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsAttributeInfo<N> {
    /// FileSystemAttributes.
    pub attributes: FsAttributes,
    /// MaximumComponentNameLength, in characters.
    pub maximum_component_length: u32,
    /// FileSystemName.
    pub file_system: N,
}

/// The smallest buffer Windows accepts for FileFsAttributeInformation: with the structure's padding.
pub const FS_ATTRIBUTE_INFO_SIZE_MIN: usize = 16;

impl FsAttributeInfo<&str> {
    /// Appends the class.
    pub fn encode(&self, out: &mut Vec<u8>, max: usize) -> Fit {
        encode_truncated(out, FS_ATTRIBUTE_INFO_SIZE_MIN, max, |out| {
            out.put_u32(self.attributes.0);
            out.put_u32(self.maximum_component_length);
            out.put_u32(wire_u32(name_bytes(self.file_system)));
            put_name(out, self.file_system);
        })
    }
}

impl<'a> FsAttributeInfo<Utf16<'a>> {
    /// Reads the class.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let (attributes, maximum_component_length) = (FsAttributes(cursor.u32()?), cursor.u32()?);
        let length = index(cursor.u32()?)?;
        Ok(Self { attributes, maximum_component_length, file_system: Utf16::new(cursor.bytes(length)?)? })
    }
}

/// Reads FileFsLabelInformation (MS-FSCC 2.5.5), which is only set.
pub fn decode_fs_label(data: &[u8]) -> Result<Utf16<'_>, DecodeError> {
    let mut cursor = ReadCursor::new(data);
    let length = index(cursor.u32()?)?;
    Utf16::new(cursor.bytes(length)?)
}

/// Appends FileFsLabelInformation (MS-FSCC 2.5.5).
pub fn encode_fs_label(label: &str, out: &mut Vec<u8>) {
    out.put_u32(wire_u32(name_bytes(label)));
    put_name(out, label);
}

fixed_layout! {
    /// FileFsSizeInformation (MS-FSCC 2.5.8).
    FsSizeInfo {
        /// TotalAllocationUnits.
        total_units: u64;
        /// AvailableAllocationUnits.
        available_units: u64;
        /// SectorsPerAllocationUnit.
        sectors_per_unit: u32;
        /// BytesPerSector.
        bytes_per_sector: u32;
    }
}

fixed_layout! {
    /// FileFsFullSizeInformation (MS-FSCC 2.5.4).
    FsFullSizeInfo {
        /// TotalAllocationUnits.
        total_units: u64;
        /// CallerAvailableAllocationUnits: the units that quotas leave to this user.
        caller_available_units: u64;
        /// ActualAvailableAllocationUnits.
        actual_available_units: u64;
        /// SectorsPerAllocationUnit.
        sectors_per_unit: u32;
        /// BytesPerSector.
        bytes_per_sector: u32;
    }
}

fixed_layout! {
    /// FileFsDeviceInformation (MS-FSCC 2.5.10).
    FsDeviceInfo {
        /// DeviceType: [`FsDeviceInfo::DISK`] or [`FsDeviceInfo::CD_ROM`].
        device_type: u32;
        /// Characteristics.
        characteristics: u32;
    }
}

impl FsDeviceInfo {
    /// FILE_DEVICE_DISK.
    pub const DISK: u32 = 7;
    /// FILE_DEVICE_CD_ROM.
    pub const CD_ROM: u32 = 2;
    /// FILE_DEVICE_NAMED_PIPE, for IPC$.
    pub const NAMED_PIPE: u32 = 0x11;
    /// FILE_DEVICE_IS_MOUNTED.
    pub const IS_MOUNTED: u32 = 0x20;
    /// FILE_READ_ONLY_DEVICE.
    pub const READ_ONLY: u32 = 0x02;
}

fixed_layout! {
    /// FileFsControlInformation (MS-FSCC 2.5.2).
    FsControlInfo {
        /// FreeSpaceStartFiltering.
        free_space_start_filtering: i64;
        /// FreeSpaceThreshold.
        free_space_threshold: i64;
        /// FreeSpaceStopFiltering.
        free_space_stop_filtering: i64;
        /// DefaultQuotaThreshold; `u64::MAX` for none.
        default_quota_threshold: u64;
        /// DefaultQuotaLimit; `u64::MAX` for none.
        default_quota_limit: u64;
        /// FileSystemControlFlags.
        flags: u32, pad 4;
    }
}

fixed_layout! {
    /// FileFsObjectIdInformation (MS-FSCC 2.5.6).
    FsObjectIdInfo {
        /// ObjectId.
        object_id: Guid;
        /// ExtendedInfo, first part.
        extended_info_1: Guid;
        /// ExtendedInfo, second part.
        extended_info_2: Guid;
        /// ExtendedInfo, third part.
        extended_info_3: Guid;
    }
}

fixed_layout! {
    /// FileFsSectorSizeInformation (MS-FSCC 2.5.7).
    FsSectorSizeInfo {
        /// LogicalBytesPerSector.
        logical_bytes_per_sector: u32;
        /// PhysicalBytesPerSectorForAtomicity.
        physical_bytes_per_sector_for_atomicity: u32;
        /// PhysicalBytesPerSectorForPerformance.
        physical_bytes_per_sector_for_performance: u32;
        /// FileSystemEffectivePhysicalBytesPerSectorForAtomicity.
        effective_physical_bytes_per_sector: u32;
        /// Flags: 1 aligned device, 2 partition aligned, 4 no seek penalty, 8 trim.
        flags: u32;
        /// ByteOffsetForSectorAlignment.
        byte_offset_for_sector_alignment: u32;
        /// ByteOffsetForPartitionAlignment.
        byte_offset_for_partition_alignment: u32;
    }
}
