//! Byte-range locks that are in the way of reads and writes.

use wire::NtStatus;

use crate::core::open::Open;
use crate::core::server::Server;
use crate::core::status::of_io_refusal;

/// Refuses what somebody else's lock is in the way of (MS-FSA 2.1.4.10). To be asked right before the file is touched,
/// by whoever touches it: of what waits first, for a thread or another chunk, the answer would be an old one.
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
            let is_denied = server.host_locks.denies(file, offset..offset.saturating_add(length), writes)?;
            if is_denied { Err(NtStatus::FILE_LOCK_CONFLICT) } else { Ok(()) }
        }
        None => Ok(()),
    }
}
