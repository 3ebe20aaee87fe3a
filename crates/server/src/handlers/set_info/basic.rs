//! FileBasicInformation: MS-FSA 2.1.5.15.2.

use vfs::SetTimes;
use wire::fscc::file_info::BasicInfo;
use wire::{AccessMask, FileAttributes, FileTime, NtStatus};

use crate::open::{Open, OpenFile};
use crate::security;
use crate::status::of_vfs;

/// Sets times and attributes.
pub(super) fn set(open: &Open, file: &OpenFile, info: &BasicInfo) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::WRITE_ATTRIBUTES) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let times = SetTimes {
        created: time(info.created)?,
        accessed: time(info.accessed)?,
        modified: time(info.modified)?,
        changed: time(info.changed)?,
    };
    let attributes = attributes(info.attributes, file.is_directory)?;
    if let Some(attributes) = attributes {
        security::keeping(&*file.handle, || file.handle.set_attributes(attributes))
            .map_err(|error| of_vfs(&error))?;
    }
    // Last: a change of the attributes may change times.
    if times != SetTimes::default() {
        file.handle.set_times(times).map_err(|error| of_vfs(&error))?;
    }
    Ok(())
}

/// The time to set. 0 leaves it; -1 and -2 stop and resume its automatic update (MS-FSCC 2.4.7), which
/// leaves it as well: how POSIX files update their times cannot be told.
fn time(time: FileTime) -> Result<Option<FileTime>, NtStatus> {
    match time.0.cast_signed() {
        -2..=0 => Ok(None),
        1.. => Ok(Some(time)),
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// The attributes to set. 0 leaves them.
fn attributes(wanted: FileAttributes, is_directory: bool) -> Result<Option<FileAttributes>, NtStatus> {
    let wrong = if is_directory { FileAttributes::TEMPORARY } else { FileAttributes::DIRECTORY };
    if wanted.intersects(wrong) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok((!wanted.is_none()).then_some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_times_leave_what_is_stored() {
        for special in [0_i64, -1, -2] {
            assert_eq!(time(FileTime(special.cast_unsigned())), Ok(None), "{special}");
        }
        for wrong in [-3, i64::MIN] {
            assert_eq!(time(FileTime(wrong.cast_unsigned())), Err(NtStatus::INVALID_PARAMETER), "{wrong}");
        }
        assert_eq!(time(FileTime::UNIX_EPOCH), Ok(Some(FileTime::UNIX_EPOCH)));
    }

    #[test]
    fn attributes_fit_what_the_file_is() {
        assert_eq!(attributes(FileAttributes::NONE, false), Ok(None));
        assert_eq!(attributes(FileAttributes::DIRECTORY, true), Ok(Some(FileAttributes::DIRECTORY)));
        assert_eq!(attributes(FileAttributes::DIRECTORY, false), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(attributes(FileAttributes::TEMPORARY, true), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(attributes(FileAttributes::HIDDEN, true), Ok(Some(FileAttributes::HIDDEN)));
    }
}
