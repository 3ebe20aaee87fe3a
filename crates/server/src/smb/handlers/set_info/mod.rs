//! SET_INFO: MS-SMB2 3.3.5.21.

mod basic;
mod disposition;
mod rename;
mod security;
mod stream;

use std::sync::Arc;

use wire::fscc::file_info::{
    AllocationInfo, BasicInfo, DispositionInfo, DispositionInfoEx, EndOfFileInfo, FileMode, ModeInfo,
    PipeInfo, PositionInfo, ValidDataLengthInfo,
};
use wire::fscc::notify::NotifyAction;
use wire::fscc::{FileInfoClass, FsInfoClass};
use wire::layout::FixedLayout;
use wire::msg::{CompletionFilter, InfoType, SetInfoRequest, SetInfoResponse};
use wire::security::Privileges;
use wire::{AccessMask, FileAttributes, NtStatus};

use super::{check_transact, ea, flush, malformed};
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};
use disposition::Disposition;

/// Handles SET_INFO.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let set = SetInfoRequest::decode(request.message).map_err(malformed)?;
    let length = u32::try_from(set.buffer.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    check_transact(request, &[length])?;
    let open = request.open(set.file_id)?;
    let class = FileInfoClass(set.file_info_class);
    // The classes that may wait for others begin their change after the wait.
    let waits = set.info_type == InfoType::FILE && waits(class);
    let change = open.file().filter(|_| !waits).map(|file| file.begin_change());
    match (set.info_type, open.file()) {
        (InfoType::FILE, Some(file)) => {
            set_file(request, &open, file, class, set.buffer).await?;
            if is_logged(class) {
                request.connection.server.commit_share(open.tree()).await?;
            }
        }
        (InfoType::FILE, None) => set_pipe(class, set.buffer)?,
        (InfoType::FILESYSTEM, _) => return Err(refuse_file_system(FsInfoClass(set.file_info_class))),
        (InfoType::SECURITY, Some(file)) => {
            security::set(request, &open, file, set.additional_information, set.buffer).await?;
        }
        // 3.3.5.21.4: there are no quotas.
        (InfoType::SECURITY | InfoType::QUOTA, _) => return Err(NtStatus::NOT_SUPPORTED),
        _ => return Err(NtStatus::INVALID_PARAMETER),
    }
    drop(change);
    if let Some(what) = listed_change(set.info_type, class, set.buffer) {
        request.connection.server.notify_change_of(&open, NotifyAction::MODIFIED, what);
    }
    if let Some(file) = open.file() {
        flush::through(&open, file).await?;
    }
    let base = answer.base();
    SetInfoResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// True if a change of this class concerns opens that a log keeps: a name, or a pending delete.
fn is_logged(class: FileInfoClass) -> bool {
    matches!(class, FileInfoClass::RENAME | FileInfoClass::DISPOSITION | FileInfoClass::DISPOSITION_EX)
}

/// The classes that may wait until others have given up their caches. Their change begins after the wait:
/// times that the open keeps are restored to those at the begin of the change, which must not be old.
fn waits(class: FileInfoClass) -> bool {
    matches!(
        class,
        FileInfoClass::RENAME
            | FileInfoClass::LINK
            | FileInfoClass::DISPOSITION
            | FileInfoClass::DISPOSITION_EX
    )
}

/// The filter for watches of the directory after a change; changes of sizes and names send their own
/// notifications.
fn listed_change(kind: InfoType, class: FileInfoClass, data: &[u8]) -> Option<CompletionFilter> {
    match (kind, class) {
        (InfoType::SECURITY, _) => Some(CompletionFilter::SECURITY),
        (InfoType::FILE, FileInfoClass::FULL_EA) => Some(CompletionFilter::EA),
        (InfoType::FILE, FileInfoClass::BASIC) => {
            let info = BasicInfo::decode(data).ok()?;
            let mut what = CompletionFilter::NONE;
            let times = [
                (info.created, CompletionFilter::CREATION),
                (info.accessed, CompletionFilter::LAST_ACCESS),
                (info.modified, CompletionFilter::LAST_WRITE),
            ];
            for (time, bit) in times {
                if time.0 != 0 {
                    what |= bit;
                }
            }
            if !info.attributes.is_none() {
                what |= CompletionFilter::ATTRIBUTES;
            }
            Some(what)
        }
        _ => None,
    }
}

/// 3.3.5.21.1.
async fn set_file(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    class: FileInfoClass,
    data: &[u8],
) -> Result<(), NtStatus> {
    match class {
        FileInfoClass::BASIC => basic::set(open, file, &decode::<BasicInfo>(data)?),
        FileInfoClass::DISPOSITION => {
            let wish = Disposition::of(file, decode::<DispositionInfo>(data)?);
            disposition::set(request, open, file, wish).await
        }
        FileInfoClass::DISPOSITION_EX => {
            let wish = Disposition::of_ex(file, decode::<DispositionInfoEx>(data)?)?;
            disposition::set(request, open, file, wish).await
        }
        FileInfoClass::RENAME => rename::rename(request, open, file, data).await,
        FileInfoClass::LINK => rename::link(request, open, file, data).await,
        FileInfoClass::END_OF_FILE => {
            set_size(request, open, file, unsigned(decode::<EndOfFileInfo>(data)?.end_of_file)?)
        }
        FileInfoClass::ALLOCATION => {
            allocate(request, open, file, unsigned(decode::<AllocationInfo>(data)?.allocation_size)?)
        }
        FileInfoClass::VALID_DATA_LENGTH => {
            let length = unsigned(decode::<ValidDataLengthInfo>(data)?.valid_data_length)?;
            check_valid_data_length(request, open, file, length)
        }
        FileInfoClass::POSITION => {
            let position = decode::<PositionInfo>(data)?.current_byte_offset;
            if i64::try_from(position).is_err() {
                return Err(NtStatus::INVALID_PARAMETER);
            }
            file.state().position = position;
            Ok(())
        }
        FileInfoClass::MODE => set_mode(file, decode::<ModeInfo>(data)?.mode),
        FileInfoClass::FULL_EA => set_eas(open, file, data),
        FileInfoClass::RENAME_EX
        | FileInfoClass::SHORT_NAME
        | FileInfoClass::OBJECT_ID
        | FileInfoClass::QUOTA
        | FileInfoClass::REPARSE_POINT
        | FileInfoClass::SFIO_RESERVE
        | FileInfoClass::CASE_SENSITIVE => Err(NtStatus::NOT_SUPPORTED),
        _ => Err(NtStatus::INVALID_INFO_CLASS),
    }
}

/// Decodes a class of fixed size; clients may send more.
fn decode<T: FixedLayout>(data: &[u8]) -> Result<T, NtStatus> {
    T::decode(data).map_err(|_| NtStatus::INFO_LENGTH_MISMATCH)
}

fn unsigned(value: i64) -> Result<u64, NtStatus> {
    u64::try_from(value).map_err(|_| NtStatus::INVALID_PARAMETER)
}

/// MS-FSA 2.1.5.15.5.
fn set_size(request: &Request<'_>, open: &Open, file: &OpenFile, size: u64) -> Result<(), NtStatus> {
    check_data_change(open, file)?;
    let change = file.begin_write();
    file.handle.set_size(size).or_status()?;
    change.done();
    super::write::announce_size(request, open);
    Ok(())
}

/// MS-FSA 2.1.5.15.1: the size is rounded up to clusters; if it is less than the file's size, the file is
/// truncated.
fn allocate(request: &Request<'_>, open: &Open, file: &OpenFile, bytes: u64) -> Result<(), NtStatus> {
    check_data_change(open, file)?;
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let space = backend.space(&*file.handle).or_status()?;
    let cluster = u64::from(space.unit_bytes);
    let rounded = bytes.checked_next_multiple_of(cluster).ok_or(NtStatus::INVALID_PARAMETER)?;
    let size = file.handle.size().or_status()?;
    if rounded < size {
        let change = file.begin_write();
        file.handle.set_size(rounded).or_status()?;
        change.done();
        file.state().reserved = Some(rounded);
        super::write::announce_size(request, open);
        return Ok(());
    }
    let change = file.begin_allocation();
    let allocated = file.handle.allocate(bytes);
    change.done();
    match allocated {
        // If the file system cannot reserve space, the request succeeds as long as there is enough free
        // space.
        Err(vfs::Error::NotSupported)
            if space.available.saturating_mul(cluster) >= rounded.saturating_sub(size) => {}
        Err(vfs::Error::NotSupported) => return Err(NtStatus::DISK_FULL),
        allocated => allocated.or_status()?,
    }
    file.state().reserved = Some(bytes);
    super::write::announce_size(request, open);
    Ok(())
}

/// MS-FSA 2.1.5.15.14: all data of a file are valid, because unwritten ranges are zeros, so there is nothing
/// to change.
fn check_valid_data_length(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    length: u64,
) -> Result<(), NtStatus> {
    check_data_change(open, file)?;
    let user = crate::smb::handlers::user_of_files(request)?;
    if !user.token.privileges().contains(Privileges::MANAGE_VOLUME) {
        return Err(NtStatus::PRIVILEGE_NOT_HELD);
    }
    let stat = file.handle.stat().or_status()?;
    if length != stat.size || stat.attributes.contains(FileAttributes::SPARSE_FILE) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok(())
}

fn check_data_change(open: &Open, file: &OpenFile) -> Result<(), NtStatus> {
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if !open.access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    Ok(())
}

/// MS-FSA 2.1.5.15.8: the flags for caching may be changed, but not delete-on-close and the synchronous
/// modes.
fn set_mode(file: &OpenFile, mode: u32) -> Result<(), NtStatus> {
    if mode & !SETTABLE_MODE.0 != 0 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    file.set_mode(SETTABLE_MODE.0, mode);
    Ok(())
}

/// MS-FSA 2.1.5.15.6.
fn set_eas(open: &Open, file: &OpenFile, data: &[u8]) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::WRITE_EA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    ea::set(&*file.handle, &ea::decode(data)?)
}

/// Checks a change of a pipe's mode: pipes support only message mode (MS-FSCC 2.4.35).
fn set_pipe(class: FileInfoClass, data: &[u8]) -> Result<(), NtStatus> {
    if class != FileInfoClass::PIPE {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    match decode::<PipeInfo>(data)? {
        PipeInfo { read_mode: 1, completion_mode: 0 } => Ok(()),
        PipeInfo { read_mode: 0 | 1, completion_mode: 0 | 1 } => Err(NtStatus::NOT_SUPPORTED),
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// 3.3.5.21.2: labels, quotas and object ids of a volume belong to its administrator.
fn refuse_file_system(class: FsInfoClass) -> NtStatus {
    match class {
        FsInfoClass::LABEL => NtStatus::ACCESS_DENIED,
        FsInfoClass::CONTROL | FsInfoClass::OBJECT_ID => NtStatus::NOT_SUPPORTED,
        _ => NtStatus::INVALID_INFO_CLASS,
    }
}

/// The bits of FileModeInformation that can be set.
const SETTABLE_MODE: FileMode = FileMode(FileMode::WRITE_THROUGH.0 | FileMode::SEQUENTIAL_ONLY.0);
