//! Byte-range locks that conflict with reads and writes.

use wire::NtStatus;

use crate::core::open::Open;
use crate::core::server::Server;
use crate::core::status::of_io_refusal;

/// Refuses a read or write that conflicts with a lock of another open (MS-FSA 2.1.4.10). The caller must check right
/// before it accesses the file: after a wait for a thread or another chunk, the result would be out of date.
pub(crate) fn check_range(
    server: &Server,
    open: &Open,
    offset: u64,
    length: u64,
    writes: bool,
) -> Result<(), NtStatus> {
    if open.shared().has_locks() {
        let checked =
            server.registry.lock("check_io").check_io(open.file_id(), offset, length, writes, server.now());
        checked.map_err(of_io_refusal)?;
    }
    match open.file().filter(|file| file.locking.is_strict()) {
        Some(file) => {
            let is_denied =
                server.files.host_locks.denies(file, offset..offset.saturating_add(length), writes)?;
            if is_denied { Err(NtStatus::FILE_LOCK_CONFLICT) } else { Ok(()) }
        }
        None => Ok(()),
    }
}
