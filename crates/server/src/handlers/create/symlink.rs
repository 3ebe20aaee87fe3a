//! CREATE that meets a symlink on its way: the client follows it (MS-SMB2 2.2.2.2.1).

use vfs::RelativePath;
use wire::msg::{SymlinkErrorResponse, SymlinkFlags};
use wire::utf16::encode_utf16le;
use wire::{NtStatus, Utf16};

use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::handlers::{actor, put_error_data};
use crate::status::of_vfs;

/// Tells the client where the symlink leads, if that is nowhere outside the share.
pub(super) fn stop(request: &Request<'_>, answer: &mut AnswerBuilder, path: &RelativePath) -> Outcome {
    let backend = request.tree()?.backend().ok_or(NtStatus::BAD_DEVICE_TYPE)?;
    let found = backend.first_symlink(&actor(request)?, path).map_err(|error| of_vfs(&error))?;
    // Symlinks that the server follows turned in a circle.
    let link = found.ok_or(NtStatus::OBJECT_PATH_NOT_FOUND)?;
    let mut target = Vec::new();
    encode_utf16le(&link.target.replace('/', "\\"), &mut target);
    let target = Utf16::new(&target).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    let mut data = Vec::new();
    SymlinkErrorResponse {
        unparsed_path_length: unparsed_bytes(path, link.components_behind),
        flags: SymlinkFlags::RELATIVE,
        substitute_name: target,
        print_name: target,
    }
    .encode(&mut data);
    put_error_data(request, answer, &data);
    Ok(NtStatus::STOPPED_ON_SYMLINK)
}

/// The bytes of the last components and of the stream, each with the separator before it, as the client
/// wrote them.
fn unparsed_bytes(path: &RelativePath, components: usize) -> u16 {
    let behind = path.components().rev().take(components).chain(path.stream());
    let units: usize = behind.map(|part| part.encode_utf16().count().saturating_add(1)).sum();
    u16::try_from(units.saturating_mul(2)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_symlink_is_counted_with_its_separators() {
        let path = RelativePath::new("dir/link/\u{1f600}/file").unwrap();
        assert_eq!(unparsed_bytes(&path, 0), 0);
        assert_eq!(unparsed_bytes(&path, 2), 2 * "\\xx\\file".len() as u16);
        assert_eq!(unparsed_bytes(&path.with_stream("s").unwrap(), 1), 2 * "\\file:s".len() as u16);
    }
}
