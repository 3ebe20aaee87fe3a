//! SMB2_0_INFO_FILESYSTEM: MS-SMB2 3.3.5.20.2, MS-FSA 2.1.5.13, MS-FSCC 2.5.

use vfs::{Backend, Capabilities, Handle, Volume};
use wire::fscc::fs_info::{
    FsAttributeInfo, FsAttributes, FsControlInfo, FsDeviceInfo, FsFullSizeInfo, FsObjectIdInfo,
    FsSectorSizeInfo, FsSizeInfo, FsVolumeInfo,
};
use wire::fscc::{Fit, FsInfoClass, encode_fixed};
use wire::msg::QueryInfoRequest;
use wire::posix::FsPosixInfo;
use wire::{Guid, NtStatus};

use crate::core::open::Open;
use crate::core::server::Server;
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome};
use crate::smb::handlers::put_output;

/// Answers with one class of the file system that the open is in.
pub(super) fn answer(
    server: &Server,
    open: &Open,
    query: &QueryInfoRequest<'_>,
    answer: &mut AnswerBuilder,
) -> Outcome {
    let class = FsInfoClass(query.file_info_class);
    let max = query.output_buffer_length as usize;
    let fit = put_output(answer, |out| match (open.tree().backend(), open.file()) {
        (Some(_), Some(file)) if class == FsInfoClass::POSIX && !file.posix => {
            Err(NtStatus::INVALID_INFO_CLASS)
        }
        (Some(backend), Some(file)) => {
            let of = Source { server, open, backend: &**backend, handle: &*file.handle };
            encode(&of, class, out, max)
        }
        _ => encode_pipes(class, out, max),
    })?;
    super::status(fit)
}

/// The open that is asked about, and its file.
struct Source<'a> {
    server: &'a Server,
    open: &'a Open,
    backend: &'a dyn Backend,
    handle: &'a dyn Handle,
}

fn encode(of: &Source<'_>, class: FsInfoClass, out: &mut Vec<u8>, max: usize) -> Result<Fit, NtStatus> {
    let Source { server, open, backend, handle } = *of;
    let volume = || backend.volume(handle).or_status();
    let space = || {
        let space = backend.space(handle).or_status()?;
        Ok::<_, NtStatus>(server.files.used_space.limited(open, space))
    };
    Ok(match class {
        FsInfoClass::VOLUME => {
            let volume = volume()?;
            let info = FsVolumeInfo {
                created: volume.created,
                serial: volume.serial,
                supports_objects: false,
                label: volume.label.as_str(),
            };
            info.encode(out, max)
        }
        FsInfoClass::SIZE => {
            let space = space()?;
            let (sectors_per_unit, bytes_per_sector) = sectors(space.unit_bytes);
            encode_fixed(
                &FsSizeInfo {
                    total_units: space.total,
                    available_units: space.available,
                    sectors_per_unit,
                    bytes_per_sector,
                },
                out,
                max,
            )
        }
        FsInfoClass::FULL_SIZE => {
            let space = space()?;
            let (sectors_per_unit, bytes_per_sector) = sectors(space.unit_bytes);
            encode_fixed(
                &FsFullSizeInfo {
                    total_units: space.total,
                    caller_available_units: space.available,
                    actual_available_units: space.free,
                    sectors_per_unit,
                    bytes_per_sector,
                },
                out,
                max,
            )
        }
        FsInfoClass::DEVICE => encode_fixed(
            &FsDeviceInfo { device_type: FsDeviceInfo::DISK, characteristics: FsDeviceInfo::IS_MOUNTED },
            out,
            max,
        ),
        FsInfoClass::ATTRIBUTE => {
            let volume = volume()?;
            let read_only = open.tree().share.settings.read_only || space()?.read_only;
            let capabilities = backend.capabilities_at(handle).or_status()?;
            let info = FsAttributeInfo {
                attributes: attributes(capabilities, read_only),
                maximum_component_length: volume.component_units_max,
                file_system: volume.file_system.as_str(),
            };
            info.encode(out, max)
        }
        FsInfoClass::SECTOR_SIZE => encode_fixed(
            &FsSectorSizeInfo {
                logical_bytes_per_sector: SECTOR,
                physical_bytes_per_sector_for_atomicity: PHYSICAL_SECTOR,
                physical_bytes_per_sector_for_performance: PHYSICAL_SECTOR,
                effective_physical_bytes_per_sector: PHYSICAL_SECTOR,
                flags: ALIGNED,
                ..FsSectorSizeInfo::default()
            },
            out,
            max,
        ),
        // Quotas are not supported: there are no limits.
        FsInfoClass::CONTROL => encode_fixed(
            &FsControlInfo {
                default_quota_threshold: u64::MAX,
                default_quota_limit: u64::MAX,
                ..FsControlInfo::default()
            },
            out,
            max,
        ),
        FsInfoClass::POSIX => {
            let (space, serial) = (space()?, volume()?.serial);
            let info = FsPosixInfo {
                optimal_transfer_size: u32::MAX,
                block_size: space.unit_bytes,
                total_blocks: space.total,
                free_blocks: space.free,
                available_blocks: space.available,
                // Not known.
                total_file_nodes: u64::MAX,
                free_file_nodes: u64::MAX,
                file_system_id: serial.into(),
            };
            encode_fixed(&info, out, max)
        }
        FsInfoClass::OBJECT_ID => encode_fixed(
            &FsObjectIdInfo { object_id: object_id(&volume()?), ..FsObjectIdInfo::default() },
            out,
            max,
        ),
        _ => return Err(NtStatus::INVALID_INFO_CLASS),
    })
}

fn encode_pipes(class: FsInfoClass, out: &mut Vec<u8>, max: usize) -> Result<Fit, NtStatus> {
    if class != FsInfoClass::DEVICE {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let info = FsDeviceInfo { device_type: FsDeviceInfo::NAMED_PIPE, characteristics: 0 };
    Ok(encode_fixed(&info, out, max))
}

/// An allocation unit in sectors, if it is a multiple of the usual sector size.
fn sectors(unit_bytes: u32) -> (u32, u32) {
    if unit_bytes >= SECTOR && unit_bytes.is_multiple_of(SECTOR) {
        (unit_bytes / SECTOR, SECTOR)
    } else {
        (1, unit_bytes)
    }
}

/// The attributes of the file system.
///
/// Names are found in any case, but Windows sets CASE_SENSITIVE_SEARCH for such volumes as well. Explorer
/// shows the Security page only with PERSISTENT_ACLS, and offers no changes with READ_ONLY_VOLUME, which
/// Samba sets for read-only shares.
///
/// Of MS-FSCC 2.5.1, these are not set: FILE_COMPRESSION, VOLUME_IS_COMPRESSED and SUPPORTS_ENCRYPTION,
/// because neither is supported; VOLUME_QUOTAS, because quotas cannot be set; SUPPORTS_REMOTE_STORAGE and
/// SEQUENTIAL_WRITE_ONCE, which concern other media; SUPPORTS_OBJECT_IDS, because ids can be read but not
/// set, and neither they nor file ids (SUPPORTS_OPEN_BY_FILE_ID) can open a file; SUPPORTS_TRANSACTIONS,
/// SUPPORTS_USN_JOURNAL, SUPPORTS_INTEGRITY_STREAMS and SUPPORTS_SPARSE_VDL, because their requests are
/// refused.
fn attributes(capabilities: Capabilities, read_only: bool) -> FsAttributes {
    let mut attributes = FsAttributes::CASE_SENSITIVE_SEARCH
        | FsAttributes::CASE_PRESERVED_NAMES
        | FsAttributes::UNICODE_ON_DISK;
    if read_only {
        attributes |= FsAttributes::READ_ONLY_VOLUME;
    }
    for (capability, attribute) in [
        (Capabilities::SECURITY, FsAttributes::PERSISTENT_ACLS),
        (Capabilities::STREAMS, FsAttributes::NAMED_STREAMS),
        (Capabilities::XATTR, FsAttributes::SUPPORTS_EXTENDED_ATTRIBUTES),
        (Capabilities::SPARSE, FsAttributes::SUPPORTS_SPARSE_FILES),
        (Capabilities::HARD_LINKS, FsAttributes::SUPPORTS_HARD_LINKS),
        (Capabilities::BLOCK_CLONES, FsAttributes::SUPPORTS_BLOCK_REFCOUNTING),
        (Capabilities::REPARSE_POINTS, FsAttributes::SUPPORTS_REPARSE_POINTS),
    ] {
        if capabilities.contains(capability) {
            attributes |= attribute;
        }
    }
    attributes
}

/// An id of the volume that survives restarts.
fn object_id(volume: &Volume) -> Guid {
    let mut id = [0; 16];
    let bytes = volume.created.0.to_le_bytes().into_iter().chain(volume.serial.to_le_bytes());
    id.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    Guid(id)
}

/// Bytes of a logical sector.
const SECTOR: u32 = 512;

/// Bytes of a physical sector.
const PHYSICAL_SECTOR: u32 = 4096;

/// SSINFO_FLAGS_ALIGNED_DEVICE and SSINFO_FLAGS_PARTITION_ALIGNED_ON_DEVICE (MS-FSCC 2.5.8).
const ALIGNED: u32 = 3;
