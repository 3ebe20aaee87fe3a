//! Named streams, kept as Samba's `vfs_streams_xattr` keeps them: the extended attribute
//! `user.DosStream.NAME:$DATA` holds the data and one NUL byte.
//!
//! A stream is read and written as a whole, under the inode's lock, and can be no larger than the file system
//! lets an attribute be ([`Error::Limitation`]).

use super::handle::LocalHandle;
use super::open_stream::{OPEN, Place};
use super::xattr;
use crate::backend::Wanted;
use crate::error::{Error, Result};
use crate::handle::{Handle, StreamInfo};
use crate::stat::Kind;
use std::os::fd::BorrowedFd;

const SUFFIX: &[u8] = b":$DATA";

/// The streams of an open file.
pub(super) fn list(fd: BorrowedFd<'_>) -> Result<Vec<StreamInfo>> {
    let mut streams = Vec::new();
    for full in xattr::list(fd)? {
        let Some(name) = stream_name(&full) else { continue };
        let Some(stored) = xattr::get(fd, &full)? else { continue };
        let size = u64::try_from(stored.len().saturating_sub(1)).unwrap_or(u64::MAX);
        streams.push(StreamInfo { name, size, allocation: size });
    }
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(streams)
}

/// The real spelling of a stream, where it exists.
pub(super) fn find(fd: BorrowedFd<'_>, wanted: &str) -> Result<Option<String>> {
    if xattr::get(fd, &full_name(wanted))?.is_some() {
        return Ok(Some(wanted.to_owned()));
    }
    let names = xattr::list(fd)?.into_iter().filter_map(|full| stream_name(&full));
    Ok(names.filter(|name| crate::fold::equal(name, wanted)).min())
}

/// Creates an empty stream.
pub(super) fn create(base: &LocalHandle, name: &str) -> Result<()> {
    xattr::set(base.fd(), &full_name(name), b"\0")
}

/// Removes the stream that `wanted` finds.
pub(super) fn remove(base: &LocalHandle, wanted: &str) -> Result<()> {
    let _lock = base.lock_attributes();
    let name = find(base.fd(), wanted)?.ok_or(Error::NotFound)?;
    xattr::remove(base.fd(), &full_name(&name))?;
    OPEN.moved(base.inode(), &name, Place::Gone);
    Ok(())
}

/// Renames the stream that `from` finds; what has it open follows.
pub(super) fn rename(base: &LocalHandle, from: &str, to: &str, replace: bool) -> Result<()> {
    let _lock = base.lock_attributes();
    let from = find(base.fd(), from)?.ok_or(Error::NotFound)?;
    let existing = find(base.fd(), to)?.filter(|existing| *existing != from);
    if existing.is_some() && !replace {
        return Err(Error::Exists);
    }
    if from == to {
        return Ok(());
    }
    let data = xattr::get(base.fd(), &full_name(&from))?.ok_or(Error::NotFound)?;
    xattr::set(base.fd(), &full_name(to), &data)?;
    if let Some(existing) = existing {
        if existing != to {
            xattr::remove(base.fd(), &full_name(&existing))?;
        }
        OPEN.moved(base.inode(), &existing, Place::Gone);
    }
    xattr::remove(base.fd(), &full_name(&from))?;
    OPEN.moved(base.inode(), &from, Place::Attribute(to.to_owned()));
    Ok(())
}

/// Makes the stream that `from` finds the data of its file, which has none; what has the stream open has the file open
/// then.
pub(super) fn become_data(base: &LocalHandle, from: &str) -> Result<()> {
    let _lock = base.lock_attributes();
    let from = find(base.fd(), from)?.ok_or(Error::NotFound)?;
    let stat = base.stat()?;
    if stat.kind != Kind::File {
        return Err(Error::IsADirectory);
    }
    if stat.size > 0 {
        return Err(Error::Exists);
    }
    let mut data = xattr::get(base.fd(), &full_name(&from))?.ok_or(Error::NotFound)?;
    data.pop();
    let file = base.reopened(Wanted::BOTH)?;
    if file.write_at(&data, 0)? != data.len() {
        file.set_size(0)?;
        return Err(Error::NoSpace);
    }
    xattr::remove(base.fd(), &full_name(&from))?;
    OPEN.moved(base.inode(), &from, Place::Data);
    Ok(())
}

pub(super) fn full_name(name: &str) -> Vec<u8> {
    [xattr::STREAM_PREFIX, name.as_bytes(), SUFFIX].concat()
}

fn stream_name(full: &[u8]) -> Option<String> {
    let name = full.strip_prefix(xattr::STREAM_PREFIX)?.strip_suffix(SUFFIX)?;
    String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty())
}
