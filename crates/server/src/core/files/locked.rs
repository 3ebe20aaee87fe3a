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
    if !open.shared().has_locks() {
        return Ok(());
    }
    let checked =
        server.registry.lock("check_io").check_io(open.file_id(), offset, length, writes, server.now());
    checked.map_err(of_io_refusal)
}
