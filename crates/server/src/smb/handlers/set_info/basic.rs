//! FileBasicInformation: MS-FSA 2.1.5.15.2.

use vfs::{Kind, SetTimes};
use wire::fscc::file_info::BasicInfo;
use wire::{AccessMask, FileAttributes, FileTime, NtStatus};

use crate::core::files::times::{self, TimeWish};
use crate::core::open::{Open, OpenFile};
use crate::core::security;
use crate::core::status::OrStatus;

/// Sets times and attributes.
pub(super) fn set(open: &Open, file: &OpenFile, info: &BasicInfo) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::WRITE_ATTRIBUTES) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let wishes = [info.created, info.accessed, info.modified, info.changed].map(wish);
    let [created, accessed, modified, changed] = wishes;
    let (created, accessed, modified, changed) = (created?, accessed?, modified?, changed?);
    // Frozen times keep the values from before this change.
    let stat = file.stat().or_status()?;
    // A symlink to a directory counts as a directory.
    let is_directory = match stat.kind {
        Kind::Symlink => stat.attributes.contains(FileAttributes::DIRECTORY),
        _ => file.is_directory,
    };
    let attributes = attributes(info.attributes, is_directory)?;
    if let Some(mut attributes) = attributes {
        // Clients write back attributes that they have read. HIDDEN is not stored if it only comes from the name.
        let of_name = open.tree().shown_attributes(file.path().name(), FileAttributes::NONE);
        if attributes.intersects(of_name) && !stat.attributes.intersects(of_name) {
            attributes = attributes.without(of_name) | FileAttributes::NORMAL;
        }
        let _lock = file.handle.lock_security_record();
        security::keeping(&*file.handle, || file.handle.set_attributes(attributes)).or_status()?;
    }
    // Set last, because changes of attributes may change times.
    let set = SetTimes {
        created: created.time(),
        accessed: accessed.time(),
        modified: modified.time(),
        changed: changed.time(),
    };
    times::set(file, set, (modified, changed), &stat).or_status()
}

/// The requested change of a time (MS-FSCC 2.4.7). Freezing has no effect on CreationTime and LastAccessTime:
/// operations of an open do not change them, or not in a way that could be prevented.
fn wish(time: FileTime) -> Result<TimeWish, NtStatus> {
    match time.0.cast_signed() {
        0 => Ok(TimeWish::Leave),
        -1 => Ok(TimeWish::Freeze),
        -2 => Ok(TimeWish::Thaw),
        1.. => Ok(TimeWish::Set(time)),
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// The attributes to set; `None` if they stay unchanged (0).
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
    fn special_times_set_nothing() {
        for special in [0_i64, -1, -2] {
            assert_eq!(wish(FileTime(special.cast_unsigned())).unwrap().time(), None, "{special}");
        }
        for wrong in [-3, i64::MIN] {
            assert_eq!(wish(FileTime(wrong.cast_unsigned())), Err(NtStatus::INVALID_PARAMETER), "{wrong}");
        }
        assert_eq!(wish(FileTime::UNIX_EPOCH).unwrap().time(), Some(FileTime::UNIX_EPOCH));
    }

    #[test]
    fn attributes_must_match_the_kind_of_the_file() {
        assert_eq!(attributes(FileAttributes::NONE, false), Ok(None));
        assert_eq!(attributes(FileAttributes::DIRECTORY, true), Ok(Some(FileAttributes::DIRECTORY)));
        assert_eq!(attributes(FileAttributes::DIRECTORY, false), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(attributes(FileAttributes::TEMPORARY, true), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(attributes(FileAttributes::HIDDEN, true), Ok(Some(FileAttributes::HIDDEN)));
    }
}
