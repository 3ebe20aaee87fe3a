//! Extended attributes of CREATE and SET_INFO: MS-SMB2 3.3.5.9, 3.3.5.21.1; MS-FSCC 2.4.16.

use vfs::{Handle, Xattr};
use wire::NtStatus;
use wire::fscc::ea::decode_eas;

use crate::status::of_vfs;

/// An attribute to set; an empty value removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EaChange {
    name: String,
    value: Vec<u8>,
}

/// Reads a list as a whole, so that a bad one changes nothing.
pub(crate) fn decode(data: &[u8]) -> Result<Vec<EaChange>, NtStatus> {
    let mut changes = Vec::new();
    for entry in decode_eas(data) {
        let entry = entry.map_err(|_| NtStatus::EA_LIST_INCONSISTENT)?;
        if !matches!(entry.flags, 0 | NEED_EA) {
            return Err(NtStatus::INVALID_EA_FLAG);
        }
        let name = std::str::from_utf8(entry.name).map_err(|_| NtStatus::INVALID_EA_NAME)?;
        if name.contains(|c: char| c < ' ' || "\"*+,/:;<=>?[\\]|".contains(c)) {
            return Err(NtStatus::INVALID_EA_NAME);
        }
        changes.push(EaChange { name: name.to_owned(), value: entry.value.to_vec() });
    }
    Ok(changes)
}

/// Makes the changes.
pub(crate) fn set(handle: &dyn Handle, changes: &[EaChange]) -> Result<(), NtStatus> {
    for EaChange { name, value } in changes {
        let changed =
            if value.is_empty() { handle.remove_xattr(name) } else { handle.set_xattr(name, value) };
        changed.map_err(|error| match error {
            vfs::Error::NotSupported => NtStatus::EAS_NOT_SUPPORTED,
            vfs::Error::InvalidName => NtStatus::INVALID_EA_NAME,
            error => of_vfs(&error),
        })?;
    }
    Ok(())
}

/// Removes all attributes: those of an overwritten file make way for those of the CREATE (MS-FSA 2.1.5.1.2.1).
pub(crate) fn clear(handle: &dyn Handle) -> Result<(), NtStatus> {
    let xattrs = match handle.xattrs() {
        Err(vfs::Error::NotSupported) => return Ok(()),
        xattrs => xattrs.map_err(|error| of_vfs(&error))?,
    };
    for xattr in xattrs {
        handle.remove_xattr(&xattr.name).map_err(|error| of_vfs(&error))?;
    }
    Ok(())
}

/// `EaSize` of a file's attributes.
pub(crate) fn ea_size_of(xattrs: &[Xattr]) -> u32 {
    vfs::handle::ea_size(xattrs.iter().map(|xattr| (xattr.name.len(), xattr.value.len())))
}

/// FILE_NEED_EA (MS-FSCC 2.4.15).
const NEED_EA: u8 = 0x80;
