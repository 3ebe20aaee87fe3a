//! The space that the files of a share use.

use super::metadata;
use super::recycle::DIRECTORY;
use super::resolve::{Root, device, open_entry, statx};
use super::vetoed::entries;
use crate::error::Result;
use crate::limits::COUNTED_DEPTH_MAX;
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, Statx};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes on the disk of everything below the root, except of file systems that are mounted below. A file with several
/// names counts once if all of them are in the share.
pub(super) fn count(root: &Root) -> Result<u64> {
    let at = root.open_at(b"", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    below(at.as_fd(), root.device, COUNTED_DEPTH_MAX)
}

fn below(directory: BorrowedFd<'_>, of_device: u64, depth: u32) -> Result<u64> {
    let mut used = 0_u64;
    for name in entries(directory)? {
        let raw = match statx(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            raw => raw?,
        };
        if device(&raw) != of_device {
            continue;
        }
        used = used.saturating_add(bytes(&raw));
        let Some(depth) = depth.checked_sub(1) else { continue };
        if metadata::kind(&raw) == Kind::Directory {
            match open_entry(directory, &name, DIRECTORY, Mode::empty()) {
                // It was removed or replaced meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                opened => used = used.saturating_add(below(opened?.as_fd(), of_device, depth)?),
            }
        }
    }
    Ok(used)
}

fn bytes(raw: &Statx) -> u64 {
    let names = if metadata::kind(raw) == Kind::Directory { 1 } else { u64::from(raw.stx_nlink.max(1)) };
    raw.stx_blocks.saturating_mul(BLOCK) / names
}

/// Bytes of a block as `statx` counts them.
const BLOCK: u64 = 512;
