//! FSCTL_GET_REPARSE_POINT, FSCTL_SET_REPARSE_POINT and FSCTL_DELETE_REPARSE_POINT: MS-FSA 2.1.5.10.
//!
//! If the share does not follow symlinks, relative symlinks become symlinks of the file system. All other
//! reparse points are stored unchanged for clients: special files, symlinks to other machines and, if the
//! server follows the file system's symlinks, all that clients create. The server does not follow stored
//! ones.

use vfs::{Capabilities, ReparsePoint};
use wire::fscc::notify::NotifyAction;
use wire::ioctl::{ReparseData, ReparseTag, SymlinkData};
use wire::msg::{CompletionFilter, IoctlRequest};
use wire::{AccessMask, NtStatus, Utf16};

use super::{Answer, done};
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::Request;
use crate::smb::handlers::actor;

/// Returns the data; truncated if the buffer is too small.
pub(super) fn get(file: &OpenFile, ioctl: &IoctlRequest<'_>) -> Answer {
    let mut output = current(file)?.ok_or(NtStatus::NOT_A_REPARSE_POINT)?;
    let max = ioctl.max_output_response as usize;
    if max < HEADER_BYTES {
        return Err(NtStatus::BUFFER_TOO_SMALL);
    }
    let fits = output.len() <= max;
    output.truncate(max);
    Ok((if fits { NtStatus::SUCCESS } else { NtStatus::BUFFER_OVERFLOW }, output))
}

/// Makes the file a reparse point.
pub(super) fn set(request: &Request<'_>, open: &Open, file: &OpenFile, ioctl: &IoctlRequest<'_>) -> Answer {
    check_access(open)?;
    let new = decode(ioctl.input)?;
    if let Some(old) = current(file)? {
        check_same(&old, ioctl.input)?;
    }
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    if file.is_directory && !backend.is_empty_directory(&*file.handle).or_status()? {
        return Err(NtStatus::DIRECTORY_NOT_EMPTY);
    }
    let path = file.path();
    if path.is_root() || path.stream().is_some() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let target = if new.tag == ReparseTag::SYMLINK { relative_target(&new)? } else { None };
    let done_so = match target {
        Some(target) if backend.capabilities().contains(Capabilities::SYMLINKS) => {
            backend.make_symlink(&actor(request)?, &path, &*file.handle, &target)
        }
        _ => file.handle.set_reparse_data(Some(ioctl.input)),
    };
    done_so.or_status()?;
    told(request, open);
    done(Vec::new())
}

/// Makes the file an ordinary one again, if its tag is the given one.
pub(super) fn delete(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    ioctl: &IoctlRequest<'_>,
) -> Answer {
    check_access(open)?;
    if !decode(ioctl.input)?.data.is_empty() {
        return Err(NtStatus::IO_REPARSE_DATA_INVALID);
    }
    let old = current(file)?.ok_or(NtStatus::NOT_A_REPARSE_POINT)?;
    check_same(&old, ioctl.input)?;
    file.handle.set_reparse_data(None).or_status()?;
    told(request, open);
    done(Vec::new())
}

/// The file's REPARSE_DATA_BUFFER; `None` for an ordinary file.
fn current(file: &OpenFile) -> Result<Option<Vec<u8>>, NtStatus> {
    Ok(match file.handle.reparse_point().or_status()? {
        None => None,
        Some(ReparsePoint::Data(data)) => Some(data),
        Some(ReparsePoint::Symlink(target)) => {
            let target = target.replace('/', "\\");
            let mut data = Vec::new();
            SymlinkData { substitute_name: target.as_str(), print_name: target.as_str(), relative: true }
                .encode(&mut data);
            let mut buffer = Vec::new();
            ReparseData { tag: ReparseTag::SYMLINK, guid: None, data: &data }.encode(&mut buffer);
            Some(buffer)
        }
    })
}

/// MS-FSA 2.1.5.10.38: requires FILE_WRITE_DATA or FILE_WRITE_ATTRIBUTES, and a writable share.
fn check_access(open: &Open) -> Result<(), NtStatus> {
    let writes = AccessMask::WRITE_DATA | AccessMask::WRITE_ATTRIBUTES;
    if open.access().intersects(writes) && open.tree().maximal_access().contains(AccessMask::WRITE_DATA) {
        Ok(())
    } else {
        Err(NtStatus::ACCESS_DENIED)
    }
}

fn decode(input: &[u8]) -> Result<ReparseData<'_>, NtStatus> {
    let new = ReparseData::decode(input).map_err(|_| NtStatus::IO_REPARSE_DATA_INVALID)?;
    if matches!(new.tag.0, 0..=2) {
        return Err(NtStatus::IO_REPARSE_TAG_INVALID);
    }
    Ok(new)
}

/// The kind of a reparse point cannot be changed (MS-FSA 2.1.5.10.38).
fn check_same(old: &[u8], new: &[u8]) -> Result<(), NtStatus> {
    let (old, new) = (decode(old)?, decode(new)?);
    if old.tag != new.tag {
        return Err(NtStatus::IO_REPARSE_TAG_MISMATCH);
    }
    if old.guid != new.guid {
        return Err(NtStatus::REPARSE_ATTRIBUTE_CONFLICT);
    }
    Ok(())
}

/// The target of a relative symlink; `None` for an absolute one, which only clients can interpret.
fn relative_target(new: &ReparseData<'_>) -> Result<Option<String>, NtStatus> {
    let symlink =
        SymlinkData::<Utf16<'_>>::decode(new.data).map_err(|_| NtStatus::IO_REPARSE_DATA_INVALID)?;
    let target = symlink.substitute_name.to_text();
    if !symlink.relative {
        return Ok(None);
    }
    if target.starts_with('\\') {
        return Err(NtStatus::IO_REPARSE_DATA_INVALID);
    }
    Ok(Some(target.replace('\\', "/")))
}

fn told(request: &Request<'_>, open: &Open) {
    request.connection.server.notify_change_of(open, NotifyAction::MODIFIED, CompletionFilter::ATTRIBUTES);
}

/// Bytes of a REPARSE_DATA_BUFFER before its data (MS-FSCC 2.1.2.2).
const HEADER_BYTES: usize = 8;
