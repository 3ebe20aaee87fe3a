//! CREATE of a path with a symlink, which the client must follow (MS-SMB2 2.2.2.2.1).

use vfs::SymlinkTarget;
use wire::msg::{SymlinkErrorResponse, SymlinkFlags};
use wire::utf16::{units, utf16le};
use wire::{NtStatus, Utf16};

use super::decode::Wish;
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};
use crate::smb::handlers::{actor, put_error_data};

/// Answers with the target of the symlink, unless it leads out of the share on this machine.
pub(super) fn stop(request: &Request<'_>, answer: &mut AnswerBuilder, wish: &Wish) -> Outcome {
    let backend = request.tree()?.backend().ok_or(NtStatus::BAD_DEVICE_TYPE)?;
    let found = backend.first_symlink(&actor(request)?, &wish.path).or_status()?;
    // There was none to follow: the server's symlinks form a loop.
    let link = found.ok_or(NtStatus::OBJECT_PATH_NOT_FOUND)?;
    let (flags, substitute, print) = match link.target {
        SymlinkTarget::Relative(target) => {
            let target = target.replace('/', "\\");
            (SymlinkFlags::RELATIVE, target.clone(), target)
        }
        SymlinkTarget::Absolute { substitute, print } => (SymlinkFlags::NONE, substitute, print),
    };
    let (substitute, print) = (utf16le(&substitute), utf16le(&print));
    let name = |bytes| Utf16::new(bytes).map_err(|_| NtStatus::INTERNAL_ERROR);
    let mut data = Vec::new();
    SymlinkErrorResponse {
        unparsed_path_length: unparsed_bytes(&wish.written, link.components_behind),
        flags,
        substitute_name: name(&substitute)?,
        print_name: name(&print)?,
    }
    .encode(&mut data);
    put_error_data(request, answer, &data);
    Ok(NtStatus::STOPPED_ON_SYMLINK)
}

/// The length in bytes of the last components and the stream, with the separators before them, in the
/// client's spelling.
fn unparsed_bytes(written: &str, components: usize) -> u16 {
    let end = written.find(':').unwrap_or(written.len());
    let mut parsed = written.get(..end).unwrap_or(written);
    for _ in 0..components {
        parsed = parsed.trim_end_matches('\\').rsplit_once('\\').map_or("", |(before, _)| before);
    }
    let unparsed = written.get(parsed.trim_end_matches('\\').len()..).unwrap_or_default();
    u16::try_from(units(unparsed).count().saturating_mul(2)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unparsed_length_includes_separators_and_the_stream() {
        let written = "dir\\link\\\u{1f600}\\file";
        assert_eq!(unparsed_bytes(written, 0), 0);
        assert_eq!(unparsed_bytes(written, 2), 2 * "\\xx\\file".len() as u16);
        assert_eq!(unparsed_bytes(r"link\file:s", 1), 2 * r"\file:s".len() as u16);
        assert_eq!(unparsed_bytes(r"link\\\file\", 1), 2 * r"\\\file\".len() as u16);
        assert_eq!(unparsed_bytes("\u{10d800}", 1), 2);
    }
}
