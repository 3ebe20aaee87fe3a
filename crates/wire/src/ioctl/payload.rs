//! The requests and answers of the smaller control codes (MS-FSCC 2.3).

use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::ids::{FileId, Guid};
use crate::layout::{FixedLayout, fixed_layout};
use crate::utf16::{Utf16, encode_utf16le};
use crate::wire_enum;

/// The most elements of one request or answer (chunks, ranges): as many of the smallest as fit into 1 MiB.
pub(super) const LISTED_MAX: usize = (1 << 20) / 16;

fixed_layout! {
    /// FILE_ZERO_DATA_INFORMATION (MS-FSCC 2.3).
    ZeroData {
        /// FileOffset.
        file_offset: i64;
        /// BeyondFinalZero: the first byte that stays.
        beyond_final_zero: i64;
    }
}

impl ZeroData {
    /// The offset and length to zero; `None` if the range is invalid (STATUS_INVALID_PARAMETER).
    pub fn range(self) -> Option<(u64, u64)> {
        let start = u64::try_from(self.file_offset).ok()?;
        let end = u64::try_from(self.beyond_final_zero).ok()?;
        Some((start, end.checked_sub(start)?))
    }
}

fixed_layout! {
    /// FILE_ALLOCATED_RANGE_BUFFER (MS-FSCC 2.3): a query, and each range of its answer.
    AllocatedRange {
        /// FileOffset.
        file_offset: i64;
        /// Length.
        length: i64;
    }
}

/// Appends as many ranges as fit into `max` bytes. Returns false if some are omitted (STATUS_BUFFER_OVERFLOW).
#[must_use]
pub fn encode_allocated_ranges(
    ranges: impl IntoIterator<Item = AllocatedRange>,
    out: &mut Vec<u8>,
    max: usize,
) -> bool {
    let mut left = max;
    ranges.into_iter().all(|range| match left.checked_sub(AllocatedRange::SIZE) {
        Some(rest) => {
            left = rest;
            range.encode(out);
            true
        }
        None => false,
    })
}

/// The ranges of an answer.
pub fn decode_allocated_ranges(data: &[u8]) -> Result<Vec<AllocatedRange>, DecodeError> {
    read_all(ReadCursor::new(data))
}

/// FILE_SET_SPARSE_BUFFER (MS-FSCC 2.3); no input means "sparse".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetSparse(pub bool);

impl SetSparse {
    /// Reads the input.
    pub fn decode(data: &[u8]) -> Self {
        Self(data.first().is_none_or(|byte| *byte != 0))
    }
}

fixed_layout! {
    /// NETWORK_RESILIENCY_REQUEST (MS-SMB2 2.2.31.3).
    ResiliencyRequest {
        /// Timeout in milliseconds.
        timeout_ms: u32, pad 4;
    }
}

fixed_layout! {
    /// FILE_OBJECTID_BUFFER type 1 (MS-FSCC 2.1.3.1).
    ObjectIdBuffer {
        /// ObjectId.
        object_id: Guid;
        /// BirthVolumeId.
        birth_volume_id: Guid;
        /// BirthObjectId.
        birth_object_id: Guid;
        /// DomainId.
        domain_id: Guid;
    }
}

fixed_layout! {
    /// SMB2_DUPLICATE_EXTENTS_DATA (MS-FSCC 2.3).
    DuplicateExtents {
        /// SourceFileID.
        source: FileId;
        /// SourceFileOffset.
        source_offset: i64;
        /// TargetFileOffset.
        target_offset: i64;
        /// ByteCount.
        byte_count: i64;
    }
}

wire_enum! {
    /// `CompressionState` of FSCTL_GET_COMPRESSION and FSCTL_SET_COMPRESSION (MS-FSCC 2.3).
    CompressionFormat(u16) {
        /// COMPRESSION_FORMAT_NONE.
        NONE = 0,
        /// COMPRESSION_FORMAT_DEFAULT.
        DEFAULT = 1,
        /// COMPRESSION_FORMAT_LZNT1.
        LZNT1 = 2,
    }
}

fixed_layout! {
    /// FSCTL_GET_INTEGRITY_INFORMATION_BUFFER (MS-FSCC 2.3).
    IntegrityInformation {
        /// ChecksumAlgorithm: 0 none, 2 CRC64.
        checksum_algorithm: u16, pad 2;
        /// Flags.
        flags: u32;
        /// ChecksumChunkSizeInBytes.
        checksum_chunk_size: u32;
        /// ClusterSizeInBytes.
        cluster_size: u32;
    }
}

fixed_layout! {
    /// FSCTL_SET_INTEGRITY_INFORMATION_BUFFER (MS-FSCC 2.3).
    SetIntegrityInformation {
        /// ChecksumAlgorithm; 0xffff for no change.
        checksum_algorithm: u16, pad 2;
        /// Flags.
        flags: u32;
    }
}

fixed_layout! {
    /// FILE_REGION_INPUT (MS-FSCC 2.3).
    FileRegionsQuery {
        /// FileOffset.
        file_offset: i64;
        /// Length.
        length: i64;
        /// DesiredUsage: 1 for valid data.
        desired_usage: u32, pad 4;
    }
}

fixed_layout! {
    /// FILE_REGION_INFO (MS-FSCC 2.3).
    FileRegion {
        /// FileOffset.
        file_offset: i64;
        /// Length.
        length: i64;
        /// Usage: 1 valid data.
        usage: u32, pad 4;
    }
}

/// Appends FILE_REGION_OUTPUT (MS-FSCC 2.3) with as many regions as fit into `max` bytes. Returns true if these are
/// all, and `None` if not even the fixed part fits (STATUS_BUFFER_TOO_SMALL).
pub fn encode_file_regions(regions: &[FileRegion], out: &mut Vec<u8>, max: usize) -> Option<bool> {
    let room = max.checked_sub(16)? / FileRegion::SIZE;
    let returned = regions.len().min(room);
    out.put_u32(0);
    out.put_u32(wire_u32(regions.len()));
    out.put_u32(wire_u32(returned));
    out.put_u32(0);
    regions.iter().take(returned).for_each(|region| region.encode(out));
    Some(returned == regions.len())
}

/// The regions in FILE_REGION_OUTPUT (MS-FSCC 2.3).
pub fn decode_file_regions(data: &[u8]) -> Result<Vec<FileRegion>, DecodeError> {
    let mut cursor = ReadCursor::new(data);
    cursor.skip(8)?;
    let count = usize::try_from(cursor.u32()?).map_err(|_| DecodeError::TooMany)?;
    cursor.skip(4)?;
    let length = count.checked_mul(FileRegion::SIZE).ok_or(DecodeError::TooMany)?;
    read_all(cursor.sub(length)?)
}

/// FILE_LEVEL_TRIM (MS-FSCC 2.3): ranges whose content does not matter any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrimRanges {
    /// Key; anything but 0 is refused.
    pub key: u32,
    /// Offset and length of each range.
    pub ranges: Vec<(u64, u64)>,
}

impl TrimRanges {
    /// Reads the request.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let (key, count) = (cursor.u32()?, cursor.u32()?);
        let count = usize::try_from(count).map_err(|_| DecodeError::TooMany)?;
        if count > LISTED_MAX {
            return Err(DecodeError::TooMany);
        }
        if count > cursor.remaining() / 16 {
            return Err(DecodeError::Truncated);
        }
        let ranges = (0..count).map(|_| Ok((cursor.u64()?, cursor.u64()?))).collect::<Result<_, _>>()?;
        Ok(Self { key, ranges })
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.key);
        out.put_u32(wire_u32(self.ranges.len()));
        for (offset, length) in &self.ranges {
            out.put_u64(*offset);
            out.put_u64(*length);
        }
    }
}

/// FSCTL_PIPE_WAIT request (MS-FSCC 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeWait<N> {
    /// Timeout in units of 100 ns, negative because it is relative; `None` for the pipe's default.
    pub timeout: Option<i64>,
    /// Name of the pipe without `\pipe\`.
    pub name: N,
}

impl<'a> PipeWait<Utf16<'a>> {
    /// Reads the request.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let timeout = cursor.i64()?;
        let length = usize::try_from(cursor.u32()?).map_err(|_| DecodeError::TooLong)?;
        let specified = cursor.u8()? != 0;
        cursor.skip(1)?;
        let name = Utf16::new(cursor.bytes(length)?)?;
        Ok(Self { timeout: if specified { Some(timeout) } else { None }, name })
    }
}

impl PipeWait<&str> {
    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.timeout.unwrap_or_default());
        let position = out.len();
        out.put_u32(0);
        out.put_u8(u8::from(self.timeout.is_some()));
        out.put_u8(0);
        let start = out.len();
        encode_utf16le(self.name, out);
        let length = wire_u32(out.len().saturating_sub(start));
        out.patch_u32(position, length);
    }
}

fixed_layout! {
    /// FSCTL_PIPE_PEEK reply before its data (MS-FSCC 2.3).
    PipePeek {
        /// NamedPipeState: 3 connected, 4 closing.
        state: u32;
        /// ReadDataAvailable.
        read_data_available: u32;
        /// NumberOfMessages.
        number_of_messages: u32;
        /// MessageLength of the first message.
        message_length: u32;
    }
}

/// Decodes structures up to the cursor's end; a shorter remainder is ignored.
fn read_all<T: FixedLayout>(mut cursor: ReadCursor<'_>) -> Result<Vec<T>, DecodeError> {
    let count = cursor.remaining().checked_div(T::SIZE).unwrap_or_default();
    if count > LISTED_MAX {
        return Err(DecodeError::TooMany);
    }
    (0..count).map(|_| T::read(&mut cursor)).collect()
}
