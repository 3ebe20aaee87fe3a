//! File information classes of fixed size (MS-FSCC 2.4) and the numbers of all.

use crate::layout::fixed_layout;
use crate::masks::{AccessMask, FileAttributes};
use crate::time::FileTime;
use crate::{bit_mask, wire_enum};

wire_enum! {
    /// `FileInfoClass` of SMB2_0_INFO_FILE and of QUERY_DIRECTORY (MS-FSCC 2.4).
    FileInfoClass(u8) {
        /// FileDirectoryInformation.
        DIRECTORY = 1,
        /// FileFullDirectoryInformation.
        FULL_DIRECTORY = 2,
        /// FileBothDirectoryInformation.
        BOTH_DIRECTORY = 3,
        /// FileBasicInformation.
        BASIC = 4,
        /// FileStandardInformation.
        STANDARD = 5,
        /// FileInternalInformation.
        INTERNAL = 6,
        /// FileEaInformation.
        EA = 7,
        /// FileAccessInformation.
        ACCESS = 8,
        /// FileNameInformation; local only over SMB2.
        NAME = 9,
        /// FileRenameInformation.
        RENAME = 10,
        /// FileLinkInformation.
        LINK = 11,
        /// FileNamesInformation.
        NAMES = 12,
        /// FileDispositionInformation.
        DISPOSITION = 13,
        /// FilePositionInformation.
        POSITION = 14,
        /// FileFullEaInformation.
        FULL_EA = 15,
        /// FileModeInformation.
        MODE = 16,
        /// FileAlignmentInformation.
        ALIGNMENT = 17,
        /// FileAllInformation.
        ALL = 18,
        /// FileAllocationInformation.
        ALLOCATION = 19,
        /// FileEndOfFileInformation.
        END_OF_FILE = 20,
        /// FileAlternateNameInformation.
        ALTERNATE_NAME = 21,
        /// FileStreamInformation.
        STREAM = 22,
        /// FilePipeInformation.
        PIPE = 23,
        /// FilePipeLocalInformation.
        PIPE_LOCAL = 24,
        /// FilePipeRemoteInformation.
        PIPE_REMOTE = 25,
        /// FileMailslotQueryInformation; local only.
        MAILSLOT_QUERY = 26,
        /// FileMailslotSetInformation; local only.
        MAILSLOT_SET = 27,
        /// FileCompressionInformation.
        COMPRESSION = 28,
        /// FileObjectIdInformation.
        OBJECT_ID = 29,
        /// FileMoveClusterInformation; local only.
        MOVE_CLUSTER = 31,
        /// FileQuotaInformation.
        QUOTA = 32,
        /// FileReparsePointInformation.
        REPARSE_POINT = 33,
        /// FileNetworkOpenInformation.
        NETWORK_OPEN = 34,
        /// FileAttributeTagInformation.
        ATTRIBUTE_TAG = 35,
        /// FileTrackingInformation; local only.
        TRACKING = 36,
        /// FileIdBothDirectoryInformation.
        ID_BOTH_DIRECTORY = 37,
        /// FileIdFullDirectoryInformation.
        ID_FULL_DIRECTORY = 38,
        /// FileValidDataLengthInformation.
        VALID_DATA_LENGTH = 39,
        /// FileShortNameInformation.
        SHORT_NAME = 40,
        /// FileSfioReserveInformation.
        SFIO_RESERVE = 44,
        /// FileSfioVolumeInformation.
        SFIO_VOLUME = 45,
        /// FileHardLinkInformation.
        HARD_LINK = 46,
        /// FileNormalizedNameInformation.
        NORMALIZED_NAME = 48,
        /// FileIdGlobalTxDirectoryInformation.
        ID_GLOBAL_TX_DIRECTORY = 50,
        /// FileStandardLinkInformation.
        STANDARD_LINK = 54,
        /// FileIdInformation.
        ID = 59,
        /// FileIdExtdDirectoryInformation.
        ID_EXTD_DIRECTORY = 60,
        /// FileIdExtdBothDirectoryInformation.
        ID_EXTD_BOTH_DIRECTORY = 63,
        /// FileDispositionInformationEx.
        DISPOSITION_EX = 64,
        /// FileRenameInformationEx.
        RENAME_EX = 65,
        /// FileCaseSensitiveInformation.
        CASE_SENSITIVE = 71,
        /// FileId64ExtdDirectoryInformation.
        ID_64_EXTD_DIRECTORY = 78,
        /// FileId64ExtdBothDirectoryInformation.
        ID_64_EXTD_BOTH_DIRECTORY = 79,
        /// FileIdAllExtdDirectoryInformation.
        ID_ALL_EXTD_DIRECTORY = 80,
        /// FileIdAllExtdBothDirectoryInformation.
        ID_ALL_EXTD_BOTH_DIRECTORY = 81,
        /// SMB_FIND_FILE_POSIX_INFORMATION of the POSIX extensions.
        POSIX = 100,
    }
}

fixed_layout! {
    /// FileBasicInformation (MS-FSCC 2.4). In a set request a time of 0 or -1 leaves the stored one.
    BasicInfo {
        /// CreationTime.
        created: FileTime;
        /// LastAccessTime.
        accessed: FileTime;
        /// LastWriteTime.
        modified: FileTime;
        /// ChangeTime.
        changed: FileTime;
        /// FileAttributes.
        attributes: FileAttributes, pad 4;
    }
}

fixed_layout! {
    /// FileStandardInformation (MS-FSCC 2.4).
    StandardInfo {
        /// AllocationSize.
        allocation_size: u64;
        /// EndOfFile.
        end_of_file: u64;
        /// NumberOfLinks.
        number_of_links: u32;
        /// DeletePending.
        delete_pending: bool;
        /// Directory.
        directory: bool, pad 2;
    }
}

fixed_layout! {
    /// FileInternalInformation (MS-FSCC 2.4).
    InternalInfo {
        /// IndexNumber: the file's 64-bit id.
        index_number: u64;
    }
}

fixed_layout! {
    /// FileEaInformation (MS-FSCC 2.4).
    EaInfo {
        /// EaSize: bytes of all extended attributes.
        ea_size: u32;
    }
}

fixed_layout! {
    /// FileAccessInformation (MS-FSCC 2.4).
    AccessInfo {
        /// AccessFlags: the granted access.
        access: AccessMask;
    }
}

fixed_layout! {
    /// FilePositionInformation (MS-FSCC 2.4).
    PositionInfo {
        /// CurrentByteOffset.
        current_byte_offset: u64;
    }
}

bit_mask! {
    /// `Mode` of FileModeInformation (MS-FSCC 2.4), in the numbers of CreateOptions.
    FileMode(u32) {
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
        /// FILE_DELETE_ON_CLOSE.
        DELETE_ON_CLOSE = 0x0000_1000,
    }
}

fixed_layout! {
    /// FileModeInformation (MS-FSCC 2.4).
    ModeInfo {
        /// Mode: bits of [`FileMode`].
        mode: u32;
    }
}

fixed_layout! {
    /// FileAlignmentInformation (MS-FSCC 2.4).
    AlignmentInfo {
        /// AlignmentRequirement: one less than the alignment in bytes.
        alignment_requirement: u32;
    }
}

fixed_layout! {
    /// FileNetworkOpenInformation (MS-FSCC 2.4).
    NetworkOpenInfo {
        /// CreationTime.
        created: FileTime;
        /// LastAccessTime.
        accessed: FileTime;
        /// LastWriteTime.
        modified: FileTime;
        /// ChangeTime.
        changed: FileTime;
        /// AllocationSize.
        allocation_size: u64;
        /// EndOfFile.
        end_of_file: u64;
        /// FileAttributes.
        attributes: FileAttributes, pad 4;
    }
}

fixed_layout! {
    /// FileAttributeTagInformation (MS-FSCC 2.4).
    AttributeTagInfo {
        /// FileAttributes.
        attributes: FileAttributes;
        /// ReparseTag, 0 for none.
        reparse_tag: u32;
    }
}

fixed_layout! {
    /// FileCompressionInformation (MS-FSCC 2.4).
    CompressionInfo {
        /// CompressedFileSize.
        compressed_size: u64;
        /// CompressionFormat: 0 none, 2 LZNT1.
        format: u16;
        /// CompressionUnitShift.
        unit_shift: u8;
        /// ChunkShift.
        chunk_shift: u8;
        /// ClusterShift.
        cluster_shift: u8, pad 3;
    }
}

fixed_layout! {
    /// FileIdInformation (MS-FSCC 2.4).
    IdInfo {
        /// VolumeSerialNumber.
        volume_serial: u64;
        /// FileId: 128 bits.
        file_id: [u8; 16];
    }
}

fixed_layout! {
    /// FileStandardLinkInformation (MS-FSCC 2.4).
    StandardLinkInfo {
        /// NumberOfAccessibleLinks.
        accessible_links: u32;
        /// TotalNumberOfLinks.
        total_links: u32;
        /// DeletePending.
        delete_pending: bool;
        /// Directory.
        directory: bool, pad 2;
    }
}

fixed_layout! {
    /// FileReparsePointInformation (MS-FSCC 2.4).
    ReparsePointInfo {
        /// FileReferenceNumber.
        file_reference: u64;
        /// Tag.
        tag: u32;
    }
}

fixed_layout! {
    /// FileDispositionInformation (MS-FSCC 2.4).
    DispositionInfo {
        /// DeletePending.
        delete_pending: bool;
    }
}

bit_mask! {
    /// `Flags` of FileDispositionInformationEx (MS-FSCC 2.4).
    DispositionFlags(u32) {
        /// FILE_DISPOSITION_DELETE; without it the file is kept.
        DELETE = 0x01,
        /// FILE_DISPOSITION_POSIX_SEMANTICS: the name goes at once.
        POSIX_SEMANTICS = 0x02,
        /// FILE_DISPOSITION_FORCE_IMAGE_SECTION_CHECK.
        FORCE_IMAGE_SECTION_CHECK = 0x04,
        /// FILE_DISPOSITION_ON_CLOSE.
        ON_CLOSE = 0x08,
        /// FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE.
        IGNORE_READONLY_ATTRIBUTE = 0x10,
    }
}

fixed_layout! {
    /// FileDispositionInformationEx (MS-FSCC 2.4).
    DispositionInfoEx {
        /// Flags: bits of [`DispositionFlags`].
        flags: u32;
    }
}

fixed_layout! {
    /// FileEndOfFileInformation (MS-FSCC 2.4).
    EndOfFileInfo {
        /// EndOfFile; negative is refused with STATUS_INVALID_PARAMETER.
        end_of_file: i64;
    }
}

fixed_layout! {
    /// FileAllocationInformation (MS-FSCC 2.4).
    AllocationInfo {
        /// AllocationSize; negative is refused with STATUS_INVALID_PARAMETER.
        allocation_size: i64;
    }
}

fixed_layout! {
    /// FileValidDataLengthInformation (MS-FSCC 2.4).
    ValidDataLengthInfo {
        /// ValidDataLength; negative is refused with STATUS_INVALID_PARAMETER.
        valid_data_length: i64;
    }
}

fixed_layout! {
    /// FilePipeInformation (MS-FSCC 2.4).
    PipeInfo {
        /// ReadMode: 0 byte stream, 1 message.
        read_mode: u32;
        /// CompletionMode: 0 blocking, 1 not.
        completion_mode: u32;
    }
}

fixed_layout! {
    /// FilePipeLocalInformation (MS-FSCC 2.4).
    PipeLocalInfo {
        /// NamedPipeType: 0 byte stream, 1 message.
        pipe_type: u32;
        /// NamedPipeConfiguration: 0 inbound, 1 outbound, 2 both ways.
        configuration: u32;
        /// MaximumInstances.
        maximum_instances: u32;
        /// CurrentInstances.
        current_instances: u32;
        /// InboundQuota.
        inbound_quota: u32;
        /// ReadDataAvailable.
        read_data_available: u32;
        /// OutboundQuota.
        outbound_quota: u32;
        /// WriteQuotaAvailable.
        write_quota_available: u32;
        /// NamedPipeState: 1 disconnected, 2 listening, 3 connected, 4 closing.
        state: u32;
        /// NamedPipeEnd: 0 client, 1 server.
        end: u32;
    }
}

fixed_layout! {
    /// FilePipeRemoteInformation (MS-FSCC 2.4).
    PipeRemoteInfo {
        /// CollectDataTime.
        collect_data_time: u64;
        /// MaximumCollectionCount.
        maximum_collection_count: u32, pad 4;
    }
}

fixed_layout! {
    /// FileCaseSensitiveInformation: bit 0 for a directory whose names are case-sensitive.
    CaseSensitiveInfo {
        /// Flags.
        flags: u32;
    }
}
